//! Segments out of mezzanines.

use crate::{
    child::{Failure, Running},
    control::Stop,
    disk::Grant,
    folder::from_here,
    job::Job,
    journal::{Chunk, Stage},
    state::{OVERHEAD, State},
};
use cli::{Error, Result, locked};
use serde_json::json;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{PoisonError, atomic::Ordering::SeqCst},
    time::Duration,
};

impl<'j> Job<'j> {
    /// Hands segments whose mezzanine is complete to the workers, each once.
    pub(crate) fn enqueue(&self) {
        if self.args.mezz.is_none() {
            return;
        }
        let ready = locked(&self.book).state.ready();
        let mut queue = locked(&self.queue);
        for index in ready {
            if queue.seen.insert(index) {
                queue.waiting.push_back(index);
                self.under_way.fetch_add(1, SeqCst);
            }
        }
        self.queue_changed.notify_all();
    }

    /// A worker: finishes segments until there are no more or the run stops.
    pub(crate) fn work(&self) {
        while let Some(index) = self.next_segment() {
            if let Err(e) = self.finish(index) {
                self.control.fail(e);
            }
            self.under_way.fetch_sub(1, SeqCst);
            self.disk.freed();
        }
    }

    fn next_segment(&self) -> Option<u64> {
        let mut queue = locked(&self.queue);
        loop {
            if self.control.stop() != Stop::No {
                return None;
            }
            match queue.waiting.pop_front() {
                Some(index) => return Some(index),
                None if queue.closed => return None,
                None => {
                    // A look now and then: a stop does not wake this.
                    let waited = self.queue_changed.wait_timeout(queue, Duration::from_millis(100));
                    queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// What the final segment made of segment `index`'s mezzanine will probably take, generously.
    pub(crate) fn final_bytes(&self, state: &State, index: u64) -> u64 {
        let (first, end) = state.span(index);
        let mezz = || state.segments.get(&index).map_or(0, |s| s.mezz.values().map(|c| c.bytes).sum::<u64>());
        state.likely_bytes(Stage::Final, end - first).unwrap_or_else(|| mezz() + OVERHEAD)
    }

    /// Makes segment `index` of its mezzanine, proves it and deletes the mezzanine.
    fn finish(&self, index: u64) -> Result<()> {
        let (first, end, chunks, mut bytes) = {
            let state = &locked(&self.book).state;
            let (first, end) = state.span(index);
            let mezz = state.segments.get(&index).map(|s| s.mezz.values().cloned().collect::<Vec<_>>());
            (first, end, mezz.unwrap_or_default(), self.final_bytes(state, index))
        };
        let mezz = self
            .mezzanine(&chunks)
            .map_err(|e| Error::failed(self.folder.root().display(), cli::reason(&e)))?;
        let part = self.folder.part(Stage::Final, first);
        let mut tries = 1;
        loop {
            let Some((grant, has_all)) = self.grant_final(&part, bytes)? else { return Ok(()) };
            let most = grant.bytes();
            self.events.say(
                "final_started",
                json!({ "index": index, "first_frame": first, "frames": end - first, "bytes": 0, "try": tries }),
            )?;
            let done = self
                .run_final(&mezz, index, (first, end), grant)
                .and_then(|()| self.admit(Stage::Final, first, end - first));
            if done.is_err() {
                durable::remove(&part).map_err(|e| Error::failed(part.display(), cli::reason(&e)))?;
            }
            self.finishing.fetch_sub(1, SeqCst);
            self.disk.freed();
            match done {
                Ok(()) => break,
                Err(Failure::Stopped) => return Ok(()),
                Err(Failure::Fatal(e)) => return Err(e),
                Err(Failure::Full) if has_all => {
                    return Err(Error::failed(
                        format!("segment {index}"),
                        format!("the final command {}", self.full()),
                    ));
                }
                // The estimate was too low: not the command's fault.
                Err(Failure::Full) => bytes = most.unwrap_or(bytes).saturating_mul(2),
                Err(Failure::Command(why)) => {
                    self.events.say(
                        "final_failed",
                        json!({ "index": index, "first_frame": first, "try": tries, "reason": why }),
                    )?;
                    if tries >= self.args.max_tries {
                        let times = if tries == 1 { "once".into() } else { format!("{tries} times") };
                        return Err(Error::failed(
                            format!("segment {index}"),
                            format!("the final command failed {times}; at last it {why}"),
                        ));
                    }
                    tries += 1;
                }
            }
        }
        if !self.args.keep {
            self.delete_mezzanine(index, &chunks, &mezz)?;
        }
        Ok(())
    }

    /// Waits for room for `bytes` bytes; takes all that there is when nobody else is finishing. The second value says
    /// so. `None` when the run stops.
    fn grant_final(&self, part: &Path, bytes: u64) -> Result<Option<(Grant<'j>, bool)>> {
        loop {
            if self.control.stop() >= Stop::Now {
                return Ok(None);
            }
            let alone = self.finishing.fetch_add(1, SeqCst) == 0;
            if let Some(grant) = self.disk.claim(part, bytes, bytes, 0) {
                return Ok(Some((grant, false)));
            }
            if alone && let Some(grant) = self.disk.claim(part, OVERHEAD, u64::MAX, 0) {
                return Ok(Some((grant, true)));
            }
            self.finishing.fetch_sub(1, SeqCst);
            if alone {
                let taken = self.disk.taken();
                return Err(Error::failed(
                    "--max-disk",
                    format!("{} needs {bytes} bytes; {taken}", part.display()),
                ));
            }
            self.disk.wait();
        }
    }

    fn run_final(
        &self,
        mezz: &Path,
        index: u64,
        (first, end): (u64, u64),
        grant: Grant<'_>,
    ) -> std::result::Result<(), Failure> {
        let cannot = |e: io::Error| Failure::Command(format!("cannot be run: {}", cli::reason(&e)));
        let part = self.folder.part(Stage::Final, first);
        let commands = self.commands.final_.fill(&self.fields(Some(mezz), &part, index, end - first));
        let log = Some(self.folder.log(Stage::Final, first));
        let stall = self.args.stall_timeout;
        if self.commands.final_.reads_file() {
            let running = Running::start(&commands, Stdio::null(), log, Some(grant)).map_err(cannot)?;
            return running.wait(&self.control, Stop::Now, &part, stall);
        }
        // The command wants frames: ffmpeg reads the mezzanine for it.
        let (source, frames) = Running::start_source(self.decode(mezz)).map_err(cannot)?;
        let running = Running::start(&commands, frames.into(), log, Some(grant)).map_err(cannot)?;
        let done = running.wait(&self.control, Stop::Now, &part, stall);
        match source.wait(&self.control, Stop::Now, &part, stall) {
            Err(Failure::Command(why)) if done.is_ok() => {
                Err(Failure::Command(format!("was fed by ffmpeg, which {why}")))
            }
            _ => done,
        }
    }

    /// ffmpeg, giving a mezzanine's frames as the input had them.
    fn decode(&self, mezz: &Path) -> Vec<String> {
        let format: &[&str] = if self.preamble.is_empty() {
            &["-f", "rawvideo"]
        } else {
            &["-strict", "-1", "-f", "yuv4mpegpipe"]
        };
        let words = ["ffmpeg", "-v", "error", "-nostdin", "-i"].map(str::to_owned).into_iter();
        let words = words.chain([mezz.to_string_lossy().into_owned()]);
        let words = words.chain(["-map", "0:v:0", "-pix_fmt", &self.settings.pix_fmt].map(str::to_owned));
        words.chain(format.iter().map(|w| (*w).to_owned())).chain(["-".to_owned()]).collect()
    }

    fn delete_mezzanine(&self, index: u64, chunks: &[Chunk], mezz: &Path) -> Result<()> {
        let failed = |path: &Path, e: io::Error| Error::failed(path.display(), cli::reason(&e));
        for chunk in chunks {
            let path = self.folder.chunk(Stage::Mezz, chunk.first_frame);
            durable::remove(&path).map_err(|e| failed(&path, e))?;
            if let Some(segment) = locked(&self.book).state.segments.get_mut(&index) {
                segment.mezz.remove(&chunk.first_frame);
            }
            self.events.say(
                "chunk_deleted",
                json!({ "index": index, "first_frame": chunk.first_frame, "frames": chunk.frames, "bytes": chunk.bytes }),
            )?;
        }
        if chunks.len() > 1 {
            durable::remove(mezz).map_err(|e| failed(mezz, e))?;
        }
        Ok(())
    }

    /// What the final command reads: the mezzanine chunk, or a list of them that ffmpeg reads as one.
    fn mezzanine(&self, chunks: &[Chunk]) -> io::Result<PathBuf> {
        let first = chunks.first().map_or(0, |c| c.first_frame);
        if chunks.len() == 1 {
            return Ok(self.folder.chunk(Stage::Mezz, first));
        }
        let list = self.folder.chunk(Stage::Mezz, first).with_extension("ffconcat");
        let name = |c: &Chunk| format!("file {:09}.mkv\n", c.first_frame);
        let text: String = chunks.iter().map(name).collect();
        durable::create(&list)?.write_all(format!("ffconcat version 1.0\n{text}").as_bytes())?;
        Ok(from_here(&list))
    }
}
