//! One film of many segments.
//!
//! ffmpeg's concat demuxer joins: it opens one segment at a time (mkvmerge opens all of them and fails above the limit
//! on open files, at about 1,000), and each segment's place is given exactly, so that rounding cannot add up.

use crate::{
    child::{Failure, Running},
    control::{Control, Stop},
    disk::Grant,
    folder::{from_here, is_there, part_of},
    job::Job,
    journal::{Chunk, Film, Record, Stage},
    proof::{self, Found},
};
use cli::{Error, Result, locked};
use serde_json::json;
use std::{fmt::Write, io, path::Path, process::Stdio, time::Duration};
use timebase::Rational;

/// The list by which ffmpeg knows the segments: each by its `name`, quoted, and with its length.
pub(crate) fn list(
    segments: &[Chunk],
    name: impl Fn(&Chunk) -> String,
) -> std::result::Result<String, Failure> {
    let mut text = String::from("ffconcat version 1.0\n");
    for chunk in segments {
        let name = name(chunk);
        let rate = chunk.stream.r_frame_rate.parse().ok().filter(|rate: &Rational| rate.is_positive());
        let rate = rate.ok_or_else(|| Failure::Command(format!("has no rate in {name}")))?;
        let micros = i128::from(chunk.frames) * i128::from(rate.den()) * 1_000_000 / i128::from(rate.num());
        let name = name.replace('\'', r"'\''");
        let _ = writeln!(text, "file '{name}'\nduration {}.{:06}", micros / 1_000_000, micros % 1_000_000);
    }
    Ok(text)
}

/// Writes the segments in the file `list` to `output`, which is not there.
pub(crate) fn join(
    list: &Path,
    (output, grant): (&Path, Option<Grant<'_>>),
    control: &Control,
    stall: Duration,
) -> std::result::Result<(), Failure> {
    let failed = |e: io::Error| Failure::Command(cli::reason(&e));
    let words = ["ffmpeg", "-v", "error", "-nostdin", "-n", "-f", "concat", "-safe", "0", "-i"]
        .map(str::to_owned)
        .into_iter();
    let argv = words
        .chain([from_here(list).to_string_lossy().into_owned()])
        .chain(["-map", "0:v:0", "-c", "copy"].map(str::to_owned))
        .chain([output.to_string_lossy().into_owned()])
        .collect();
    Running::start(&[argv], Stdio::null(), None, grant).map_err(failed)?.wait(
        control,
        Stop::Now,
        output,
        stall,
    )
}

impl Job<'_> {
    /// Joins the segments, proves the film and clears up.
    pub(crate) fn film(&self) -> Result<()> {
        if locked(&self.book).state.film.is_none() {
            self.join()?;
        }
        let mut book = locked(&self.book);
        let film = book.state.film.clone().ok_or_else(|| Error::failed("bug", "no film"))?;
        let remove =
            |path: &Path| durable::remove(path).map_err(|e| Error::failed(path.display(), cli::reason(&e)));
        if !self.args.keep {
            for chunk in book.state.segments.values().filter_map(|s| s.final_.as_ref()) {
                remove(&self.folder.chunk(Stage::Final, chunk.first_frame))?;
            }
        }
        remove(&self.folder.segment_list())?;
        if !book.state.done {
            self.note(&mut book, &Record::Done)?;
        }
        drop(book);
        self.events.say("done", json!({ "film": film.path, "frames": film.frames, "bytes": film.bytes }))
    }

    fn join(&self) -> Result<()> {
        let segments: Vec<Chunk> = {
            let state = &locked(&self.book).state;
            if !state.is_finished() {
                return Err(Error::failed(self.folder.root().display(), "the film is not complete"));
            }
            state.finished().into_iter().cloned().collect()
        };
        let (output, part) = (&self.output, part_of(&self.output));
        let parts: Vec<u64> = segments.iter().map(|c| c.frames).collect();
        let frames = parts.iter().sum();
        let wrong = |why: Failure| match why {
            Failure::Command(why) => Error::failed(output.display(), format!("the film {why}")),
            Failure::Full => Error::failed(output.display(), format!("the film {}", self.full())),
            Failure::Fatal(e) => e,
            Failure::Stopped => self.stopped(),
        };
        let broken = |e: io::Error| Error::failed(part.display(), cli::reason(&e));
        let bytes: u64 = segments.iter().map(|c| c.bytes).sum();
        // The film counts as the job's where it lies in the job's folder.
        let grant = match part.starts_with(self.folder.root()) {
            false => None,
            true => {
                let least = bytes + bytes / 50;
                let grant = self.disk.claim(&part, least, least, 0);
                Some(grant.ok_or_else(|| {
                    Error::failed(
                        "--max-disk",
                        format!("the film needs {least} bytes; {}", self.disk.taken()),
                    )
                })?)
            }
        };
        let (control, stall) = (&self.control, self.args.stall_timeout);
        // Names within the folder: that of the folder itself may hold what a list cannot.
        let name = |chunk: &Chunk| format!("{}/{:09}.mkv", chunk.stage.name(), chunk.first_frame);
        let text = list(&segments, name).map_err(wrong)?;
        let list = self.folder.segment_list();
        // It lasts before the part is begun: a part without it is not ours.
        durable::write(&list, text.as_bytes()).map_err(|e| Error::failed(list.display(), cli::reason(&e)))?;
        durable::remove(&part).map_err(broken)?;
        join(&list, (&part, grant), control, stall).map_err(wrong)?;
        durable::sync_file(&part).map_err(broken)?;
        let found = proof::prove(&part, &parts, self.args.verify, control).map_err(wrong)?;
        is_made_of(&segments, &found).map_err(|why| wrong(Failure::Command(why)))?;
        durable::sync_name(&part).map_err(broken)?;
        let film = Film { path: output.clone(), frames, bytes: found.bytes, crc: found.crc };
        let record = Record::Film { film: film.clone(), disk_peak_bytes: self.disk_peak() };
        let mut book = locked(&self.book);
        self.note(&mut book, &record)?;
        if is_there(output) {
            return Err(Error::failed(output.display(), "is there already"));
        }
        durable::rename(&part, output).map_err(broken)?;
        book.state.film = Some(film);
        drop(book);
        self.events.say(
            "joined",
            json!({ "film": output, "frames": frames, "bytes": found.bytes, "segments": segments.len() }),
        )
    }
}

/// The film is a stream of the segments' kind, and decodes to the frames that they decoded to.
fn is_made_of(segments: &[Chunk], film: &Found) -> std::result::Result<(), String> {
    for (index, chunk) in segments.iter().enumerate() {
        if let Some(difference) = chunk.stream.difference(&film.stream) {
            return Err(format!("is another kind of stream than segment {index}: {difference}"));
        }
        let differs = |(own, in_film): (&String, &String)| own != in_film;
        if chunk.decoded.as_ref().zip(film.decoded.get(index)).is_some_and(differs) {
            return Err(format!("does not decode to the frames of segment {index}"));
        }
    }
    Ok(())
}
