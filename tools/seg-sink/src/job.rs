//! What all threads of a run share, and the one way in which a file comes to count.

use crate::{
    args::SegSink,
    child::Failure,
    control::Control,
    disk::Disk,
    event::Events,
    folder::Folder,
    journal::{Chunk, Journal, Record, Stage},
    proof::{self, Verify},
    queue::Queue,
    settings::{Commands, Geometry, Settings},
    state::State,
    template::Fields,
};
use cli::{Error, Result, Session, locked};
use serde_json::json;
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, atomic::AtomicUsize},
    time::SystemTime,
};

/// A run of a job.
pub(crate) struct Job<'a> {
    pub(crate) args: &'a SegSink,
    pub(crate) output: PathBuf,
    pub(crate) folder: Folder,
    pub(crate) settings: Settings,
    pub(crate) commands: Commands,
    pub(crate) geometry: Geometry,
    /// What each command that takes frames reads first.
    pub(crate) preamble: Vec<u8>,
    /// Of one frame.
    pub(crate) frame_bytes: u64,
    /// True where frames can be spliced.
    pub(crate) from_pipe: bool,
    pub(crate) started: SystemTime,
    pub(crate) control: Arc<Control>,
    pub(crate) disk: &'a Disk,
    pub(crate) events: &'a Events<'a>,
    pub(crate) session: &'a Session,
    pub(crate) book: Mutex<Book>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) queue_changed: Condvar,
    /// Mezzanines being proved and segments waiting or being finished: work that will free disk.
    pub(crate) under_way: AtomicUsize,
    /// Final commands at work on mezzanines.
    pub(crate) finishing: AtomicUsize,
}

/// Journal and state change together.
pub(crate) struct Book {
    pub(crate) journal: Journal,
    pub(crate) state: State,
}

impl Job<'_> {
    /// Threads that finish segments; without a mezzanine the intake does.
    pub(crate) fn workers(&self) -> usize {
        if self.args.mezz.is_some() { self.args.jobs.into() } else { 0 }
    }

    /// Why the run stops.
    pub(crate) fn stopped(&self) -> Error {
        self.control.why().unwrap_or_else(|| Error::failed("bug", "stopped for nothing"))
    }

    pub(crate) fn fields<'f>(
        &self,
        input: Option<&'f Path>,
        output: &'f Path,
        index: u64,
        frames: u64,
    ) -> Fields<'f> {
        let Geometry { size, pix_fmt, rate } = self.geometry;
        Fields { input, output, index, frames, size, pix_fmt, rate }
    }

    /// Adds a fact to the journal.
    pub(crate) fn note(&self, book: &mut Book, record: &Record) -> Result<()> {
        book.journal.add(record).map_err(|e| Error::failed(self.folder.journal().display(), cli::reason(&e)))
    }

    /// The most that was ever on the disk, looking once more.
    pub(crate) fn disk_peak(&self) -> u64 {
        self.disk.look();
        self.disk.peak()
    }

    /// Proves a chunk under its temporary name and makes it count.
    pub(crate) fn admit(&self, stage: Stage, first: u64, frames: u64) -> std::result::Result<(), Failure> {
        let part = self.folder.part(stage, first);
        let fatal = |e: io::Error| Failure::Fatal(Error::failed(part.display(), cli::reason(&e)));
        // That a mezzanine decodes is proved by the segment made of it.
        let verify = if stage == Stage::Final { self.args.verify } else { Verify::Count };
        durable::sync_file(&part).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Failure::Command("exited with 0 and wrote no file".into()),
            _ => fatal(e),
        })?;
        let found = proof::prove(&part, &[frames], verify, &self.control)?;
        durable::sync_name(&part).map_err(fatal)?;
        let chunk = Chunk {
            stage,
            first_frame: first,
            frames,
            bytes: found.bytes,
            crc: found.crc,
            stream: found.stream,
            decoded: found.decoded.into_iter().next(),
        };
        self.same_stream(&chunk)?;
        let bytes = chunk.bytes;
        let record = Record::Chunk { chunk: chunk.clone(), disk_peak_bytes: self.disk_peak() };
        let mut book = locked(&self.book);
        self.note(&mut book, &record).map_err(Failure::Fatal)?;
        durable::rename(&part, &self.folder.chunk(stage, first)).map_err(fatal)?;
        let index = book.state.index_of(first);
        for old in book.state.add(chunk) {
            if old.first_frame != first {
                durable::remove(&self.folder.chunk(stage, old.first_frame)).map_err(fatal)?;
            }
        }
        drop(book);
        let what = json!({ "index": index, "first_frame": first, "frames": frames, "bytes": bytes,
                           "stage": stage.name() });
        if self.args.mezz.is_none() || stage == Stage::Mezz {
            self.events.say("segment_closed", what.clone()).map_err(Failure::Fatal)?;
        }
        if stage == Stage::Final {
            self.events.say("final_verified", what).map_err(Failure::Fatal)?;
            if index == 0 {
                self.forecast().map_err(Failure::Fatal)?;
            }
        }
        Ok(())
    }

    /// All segments of the film are streams of one kind.
    fn same_stream(&self, chunk: &Chunk) -> std::result::Result<(), Failure> {
        if chunk.stage == Stage::Mezz {
            return Ok(());
        }
        let (is, rate) =
            (&chunk.stream.r_frame_rate, self.args.film_rate.as_ref().map(|r| r.value.fraction()));
        if let Some(rate) = rate.filter(|rate| rate != is) {
            return Err(Failure::Command(format!("wrote {is} frames a second, not {rate}")));
        }
        let book = locked(&self.book);
        let other = book.state.segments.values().find_map(|s| s.final_.as_ref());
        match other.and_then(|other| other.stream.difference(&chunk.stream)) {
            Some(difference) => Err(Failure::Command(format!(
                "wrote another kind of stream than the first segment: {difference}"
            ))),
            None => Ok(()),
        }
    }

    /// Says what the job will take, and whether that fits, as far as the frames so far can tell.
    pub(crate) fn forecast(&self) -> Result<()> {
        let book = locked(&self.book);
        let total = self.args.input.expect_frames.or(book.state.ended);
        let film = total.and_then(|total| book.state.projected_final_bytes(total));
        let mezz = book.state.mezz_bytes_per_segment().unwrap_or(0).saturating_mul(1 + self.workers() as u64);
        drop(book);
        // At the end the film is there twice, as segments and whole.
        let peak = |is_twice: bool| {
            film.map(|film| film.saturating_add(if is_twice { mezz.max(film) } else { mezz }))
        };
        let in_folder = peak(self.output.starts_with(self.folder.root()));
        let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
        let on_device = peak(self.output.parent().and_then(device) == device(self.folder.root()));
        let free = nix::sys::statvfs::statvfs(self.folder.root())
            .map_or(0, |s| s.blocks_available() * s.fragment_size());
        let now = self.disk.look();
        let fits = in_folder.zip(on_device).map(|(folder, device)| {
            folder <= self.args.max_disk.unwrap_or(u64::MAX) && device.saturating_sub(now) <= free
        });
        if let (Some(false), Some(most)) = (fits, in_folder.max(on_device)) {
            let max = self.args.max_disk.map_or(String::new(), |max| format!(", --max-disk is {max}"));
            self.session.note(format_args!(
                "the job will need about {most} bytes at its peak; {now} are taken, {free} are free{max}"
            ));
        }
        self.events.say(
            "forecast",
            json!({ "frames": total, "bytes": in_folder, "final_bytes": film, "free_bytes": free,
                    "max_disk": self.args.max_disk, "fits": fits }),
        )
    }
}
