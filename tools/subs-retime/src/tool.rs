//! The flags, and what a run of the tool does with them.

use crate::{
    Format, Map, Scanned,
    convert::convert,
    text::{LONGEST_LINE, LineLimit, Text},
};
use clap::Parser;
use cli::{Error, Result, RunArgs, Session, Tool, create_beside, parse_rate};
use memmap2::Mmap;
use std::{
    fs::File,
    io::{Read, Write},
    ops::Deref,
    path::{Path, PathBuf},
};
use timebase::{Rational, Retime, Spoken};

const FORMATS: &str = "auto|srt|vtt|ass|microdvd|ttml|idx|sup|chapters-xml|ffmetadata|ogm|json";

/// Subtitles or chapters in, the same with every time on the slower clock out
///
/// Reads standard input and writes standard output; every byte that is not part of a time is copied as it is.
#[derive(Parser, Clone, Debug)]
#[command(name = "subs-retime", version)]
pub struct Args {
    /// Frames a second of the film so far
    #[arg(long, value_name = "N[/D]", default_value = "25", value_parser = parse_rate)]
    from: Spoken,
    /// Frames a second of the film to be; times are multiplied by FROM/TO
    #[arg(long, value_name = "N[/D]", default_value = "24", value_parser = parse_rate)]
    to: Spoken,
    /// Multiply times by this instead; FROM is then only what a MicroDVD file counts in that does not say
    #[arg(long, value_name = "N[/D]", conflicts_with = "to", value_parser = parse_rate)]
    ratio: Option<Spoken>,
    /// Then add this to every time, such as 1.5s or -200ms
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = parse_shift)]
    shift: Option<Rational>,
    /// What standard input is
    #[arg(short, long, value_name = FORMATS, default_value = "auto", hide_default_value = true, value_parser = parse_format)]
    from_format: Named,
    /// What standard output is to be [default: the input's]
    #[arg(short, long, value_name = FORMATS, default_value = "auto", hide_default_value = true, value_parser = parse_format)]
    to_format: Named,
    /// VobSub's second file, which holds stamps and durations of its own
    #[arg(long, value_name = "IN.sub", requires = "out_sub")]
    sub: Option<PathBuf>,
    /// Where the retimed second file goes
    #[arg(long, value_name = "OUT.sub", requires = "sub")]
    out_sub: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

/// A format that was named; `None`: to be found out.
#[derive(Clone, Copy, Debug)]
struct Named(Option<Format>);

fn parse_format(name: &str) -> std::result::Result<Named, String> {
    if name == "auto" { Ok(Named(None)) } else { name.parse().map(|format| Named(Some(format))) }
}

/// A duration with a sign, in seconds.
fn parse_shift(text: &str) -> std::result::Result<Rational, String> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = humantime::parse_duration(size).map_err(|e| e.to_string())?;
    let ns = i64::try_from(size.as_nanos()).map_err(|_| "too long")?;
    Rational::new(sign * ns, 1_000_000_000).ok_or_else(|| "too long".to_owned())
}

impl Args {
    fn map(&self, session: &Session) -> Result<Map<'static>> {
        let spoken =
            [("--from", Some(&self.from)), ("--to", Some(&self.to)), ("--ratio", self.ratio.as_ref())];
        for (flag, note) in spoken.iter().filter_map(|(flag, s)| Some((flag, s.as_ref()?.note.as_ref()?))) {
            session.note(format_args!("{flag}: {note}"));
        }
        let retime = match &self.ratio {
            Some(ratio) => Retime::new(ratio.value),
            None => Retime::between(self.from.value, self.to.value),
        };
        let retime =
            retime.ok_or_else(|| Error::usage("--from, --to", "their ratio does not fit 64 bits"))?;
        session.setting("ratio", retime.ratio().fraction());
        session.setting("shift_s", self.shift.unwrap_or(Rational::whole(0)).fraction());
        let instants = self.shift.map_or(retime, |shift| retime.shifted(shift));
        Ok(Map { instants, frame_rate: self.from.value, cuts: &[] })
    }

    /// Is the input, which begins like this, anything but bytes?
    fn may_be_text(&self, file: &[u8]) -> bool {
        self.from_format.0.map_or(!file.starts_with(b"PG"), |format| !format.is_binary())
    }

    /// What the input is: as told, or as its first lines say.
    fn format(&self, file: &[u8]) -> Result<Format> {
        if let Some(format) = self.from_format.0 {
            return Ok(format);
        }
        if file.is_empty() {
            return Err(Error::torn("<stdin>", "ended before the first byte"));
        }
        Format::detect(file, &Text::of(file).seen)
            .ok_or_else(|| Error::failed("<stdin>", "of no format that is known; --from-format can name it"))
    }
}

impl Tool for Args {
    const NAME: &'static str = "subs-retime";

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn run(self, session: &Session) -> Result<()> {
        let map = self.map(session)?;
        let input = Bytes::stdin(|file| self.may_be_text(file))?;
        session.count_in(0, input.len() as u64);
        let format = self.format(&input)?;
        session.setting("format", format.name());
        if let Some(to) = self.to_format.0.filter(|&to| to != format) {
            return converted(session, &input, format, to, map);
        }
        if self.sub.is_some() && format != Format::Idx {
            return Err(Error::usage("--sub", format!("belongs to idx; <stdin> is {format}")));
        }
        let mut times = 0;
        if let (Some(sub), Some(out_sub)) = (&self.sub, &self.out_sub) {
            let file = Bytes::open(sub)?;
            session.count_in(0, file.len() as u64);
            let mut out = create_beside("--out-sub", out_sub, sub)?;
            let (name, out_name) = (sub.display().to_string(), out_sub.display().to_string());
            let failed = |e| Error::cannot("write", &out_name, &e);
            times += retime(session, &Scanned::sub(&file), map, &name, |bytes| {
                out.write_all(bytes).map_err(failed)
            })?;
        } else if format == Format::Idx {
            session.note(
                "the .sub beside the idx holds stamps and durations too; --sub and --out-sub retime them",
            );
        }
        let mut stdout = rawstream::stdout().map_err(|e| Error::stdout(&e))?;
        let scanned = Scanned::new(&input, format, &map);
        times += retime(session, &scanned, map, "<stdin>", |bytes| {
            stdout.write_all(bytes).map_err(|e| Error::stdout(&e))
        })?;
        session.fact("times", times);
        Ok(())
    }
}

/// Retimes one file and has what is whole of it written; how many times that holds.
fn retime(
    session: &Session,
    file: &Scanned<'_>,
    map: Map<'_>,
    name: &str,
    write: impl FnOnce(&[u8]) -> Result<()>,
) -> Result<u64> {
    if let Some((count, first)) = file.odd() {
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        session.note(format_args!("{name}: {first}{more}: looks like a time but is none, copied as it is"));
    }
    let retimed = file.retime(map, name)?;
    write(&retimed.bytes)?;
    session.count_out(0, retimed.bytes.len() as u64);
    retimed.ending.and(Ok(retimed.times))
}

/// Converts standard input to another format, and says what that has no place for.
fn converted(session: &Session, input: &[u8], from: Format, to: Format, map: Map<'_>) -> Result<()> {
    let text = str::from_utf8(input).map_err(|e| {
        Error::failed("<stdin>", format!("byte {}: not UTF-8, which a conversion needs", e.valid_up_to()))
    })?;
    let converted = convert(text.trim_start_matches('\u{feff}'), from, to, map)
        .map_err(|e| Error::failed("<stdin>", e))?;
    if let Some(lost) = converted.losses.named() {
        session.note(format_args!("<stdin>: lost from {from} to {to}: {lost}"));
    }
    let mut stdout = rawstream::stdout().map_err(|e| Error::stdout(&e))?;
    stdout.write_all(converted.text.as_bytes()).map_err(|e| Error::stdout(&e))?;
    session.count_out(0, converted.text.len() as u64);
    session.fact("cues", converted.cues);
    Ok(())
}

/// A whole input: mapped where it is a file, read where it is a pipe.
enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl Bytes {
    fn stdin(is_text: impl Fn(&[u8]) -> bool) -> Result<Self> {
        let stdin = rawstream::stdin().map_err(|e| Error::io("<stdin>", &e))?;
        Self::of(stdin, "<stdin>", is_text)
    }

    /// A file that is no text.
    fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| Error::cannot("read", &name, &e))?;
        Self::of(file, &name, |_| false)
    }

    /// Errors: it cannot be read; it is text, as `is_text` says of what there is of it, and a line of it is too long.
    fn of(mut file: File, name: &str, is_text: impl Fn(&[u8]) -> bool) -> Result<Self> {
        let failed = |e: std::io::Error| Error::cannot("read", name, &e);
        let mut limit = LineLimit::default();
        let mut check = |file: &[u8]| {
            let checked = if is_text(file) { limit.check(file) } else { Ok(()) };
            checked.map_err(|at| {
                let long = format!("byte {at}: a line of more than {LONGEST_LINE} bytes begins here");
                Error::failed(name, format!("{long}; subtitles and chapters have none"))
            })
        };
        let kind = file.metadata().map_err(failed)?;
        // A file that is read from somewhere else than its beginning is read like a pipe.
        let at_start = std::io::Seek::stream_position(&mut file).is_ok_and(|at| at == 0);
        if kind.is_file() && kind.len() > 0 && at_start {
            // SAFETY: the mapping is read-only and private to this run; that nobody cuts the file short meanwhile is
            // the user's side of the bargain, as with every tool that maps files, and the output is never the input.
            let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
            check(&map)?;
            return Ok(Self::Mapped(map));
        }
        let mut bytes = Vec::new();
        while (&file).take(1 << 20).read_to_end(&mut bytes).map_err(failed)? > 0 {
            check(&bytes)?;
        }
        Ok(Self::Read(bytes))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}
