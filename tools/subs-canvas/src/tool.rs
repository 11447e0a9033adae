//! The flags, and what a run of the tool does with them.

use crate::{Counts, Kept, Relaid, sup, vobsub};
use clap::Parser;
use cli::{Error, Result, RunArgs, Session, Size, Tool, create_beside};
use deint_crop::Crop;
use std::{
    fs::File,
    io::{Read, Write},
    path::PathBuf,
};

/// Bitmap subtitles of a film in, the same on the canvas of the film that was cropped out
///
/// Reads PGS, or with --sub the index of VobSub, from standard input, and writes the same to standard output.
#[derive(Parser, Clone, Debug)]
#[command(name = "subs-canvas", version)]
pub struct Args {
    /// Size of the picture that was cropped, which is what deint-crop scaled the film to
    #[arg(long, value_name = "WxH")]
    scale: Option<Size>,
    /// The part of that picture that was kept [default: none, all of it]
    #[arg(long, value_name = "W:H:X:Y|none", default_value = "none", hide_default_value = true)]
    crop: Crop,
    /// VobSub's second file, which holds the pictures
    #[arg(long, value_name = "IN.sub", requires = "out_sub")]
    sub: Option<PathBuf>,
    /// Where the second file goes
    #[arg(long, value_name = "OUT.sub", requires = "sub")]
    out_sub: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

impl Args {
    fn kept(&self) -> Result<Kept> {
        let scaled = match (self.scale, self.crop.0) {
            (Some(scaled), _) => scaled,
            // All of a picture of any size.
            (None, None) => Size { width: 1, height: 1 },
            (None, Some(_)) => {
                return Err(Error::usage(
                    "--crop",
                    "needs --scale WxH, the size of the picture that it is of",
                ));
            }
        };
        Kept::new(scaled, self.crop).map_err(|e| Error::usage("--crop", e))
    }
}

impl Tool for Args {
    const NAME: &'static str = "subs-canvas";

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn run(self, session: &Session) -> Result<()> {
        let kept = self.kept()?;
        session.setting("crop", self.crop.to_string());
        session.setting("scale", self.scale.map(|size| size.to_string()));
        let stdin = rawstream::stdin().map_err(|e| Error::io("<stdin>", &e))?;
        let input = read(session, stdin, "<stdin>")?;
        if input.is_empty() {
            return Err(Error::torn("<stdin>", "ended before the first byte"));
        }
        let mut stdout = rawstream::stdout().map_err(|e| Error::stdout(&e))?;
        let mut write = |bytes: &[u8]| {
            stdout.write_all(bytes).map_err(|e| Error::stdout(&e))?;
            session.count_out(0, bytes.len() as u64);
            Ok(())
        };
        let is_pgs = input.starts_with(b"PG");
        let (Some(path), Some(out_path)) = (&self.sub, &self.out_sub) else {
            if !is_pgs {
                let why = "neither PGS nor, with --sub and --out-sub, the index of VobSub";
                return Err(Error::failed("<stdin>", why));
            }
            let relaid = sup(&input, &kept, "<stdin>");
            write(&relaid.bytes)?;
            return told(session, relaid, "<stdin>");
        };
        if is_pgs {
            return Err(Error::usage("--sub", "belongs to the index of VobSub; <stdin> is PGS"));
        }
        let (name, out_name) = (path.display().to_string(), out_path.display().to_string());
        let file = File::open(path).map_err(|e| Error::cannot("read", &name, &e))?;
        let stream = read(session, file, &name)?;
        let relaid = vobsub(&input, &stream, &kept, &name);
        let mut out = create_beside("--out-sub", out_path, path)?;
        out.write_all(&relaid.sub.bytes).map_err(|e| Error::cannot("write", &out_name, &e))?;
        session.count_out(0, relaid.sub.bytes.len() as u64);
        write(&relaid.idx)?;
        told(session, relaid.sub, &name)
    }
}

fn read(session: &Session, mut file: File, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| Error::cannot("read", name, &e))?;
    session.count_in(0, bytes.len() as u64);
    Ok(bytes)
}

/// Says what was done, and how the file ended.
fn told(session: &Session, relaid: Relaid, name: &str) -> Result<()> {
    let Counts { pictures, moved, redrawn, .. } = relaid.counts;
    for (fact, count) in [("pictures", pictures), ("moved", moved), ("redrawn", redrawn)] {
        session.fact(fact, count);
    }
    if let Some(odd) = relaid.counts.odd_as_text() {
        session.note(format_args!("{name}: {odd}"));
    }
    session.detail(format_args!("{name}: {pictures} pictures, {moved} moved inside, {redrawn} drawn anew"));
    relaid.ending
}
