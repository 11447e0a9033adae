//! Frames in: from standard input to the commands, and what those wrote to proof.

use crate::{
    child::{Failure, Running},
    control::{Control, Stop},
    disk::{most_written, whole_blocks},
    feed::{Feed, Refusal},
    job::Job,
    journal::{Record, Stage},
    state::OVERHEAD,
    upstream,
};
use cli::{Error, Result, locked};
use nix::poll::PollFlags;
use rawstream::{FrameReader, PassError, Sink};
use serde_json::json;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::Path,
    process::Stdio,
    sync::{Arc, atomic::Ordering::SeqCst},
    thread,
    time::Duration,
};

/// Standard input that gives way when the run must stop.
pub(crate) struct Source {
    pub(crate) file: File,
    pub(crate) control: Arc<Control>,
}

pub(crate) type Reader = FrameReader<Source>;

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stopped = |e: io::Error| match e.kind() {
            io::ErrorKind::Interrupted => io::Error::other("stopped"),
            _ => e,
        };
        self.control
            .wait([self.file.as_fd()], PollFlags::POLLIN, Duration::MAX, Stop::Now)
            .map_err(stopped)?;
        self.file.read(buffer)
    }
}

/// Moves frames from pipe to pipe.
struct Splice<'a> {
    feed: &'a mut Feed,
    control: &'a Control,
    stall: Duration,
}

impl Sink<Source> for Splice<'_> {
    type Error = Refusal;

    fn bytes(&mut self, bytes: &[u8]) -> std::result::Result<(), Refusal> {
        self.feed.give(bytes, self.control, self.stall)
    }

    fn move_from(&mut self, input: &mut Source, most: usize) -> std::result::Result<usize, Refusal> {
        self.feed.splice(&input.file, most, self.control, self.stall)
    }
}

/// A command that was fed.
struct Fed<'a> {
    running: Running<'a>,
    /// The film frame it began with.
    first: u64,
    /// Whole frames it was given.
    frames: u64,
    close: Close,
}

/// Why a command was given no more.
enum Close {
    /// The segment is full.
    Full,
    /// The input ended, in order.
    End,
    /// The input broke off or the run stops; what there is may be kept as a part.
    Broken(Error),
}

impl<'j> Job<'j> {
    fn fed_stage(&self) -> Stage {
        if self.args.mezz.is_some() { Stage::Mezz } else { Stage::Final }
    }

    /// Reads frames and gives them to commands until the input or the job ends, and waits for their proof.
    pub(crate) fn take_in<'scope, 'env>(
        &'env self,
        mut reader: Reader,
        first: u64,
        scope: &'scope thread::Scope<'scope, 'env>,
    ) -> Result<()> {
        let mut proving: VecDeque<thread::ScopedJoinHandle<'scope, ()>> = VecDeque::new();
        let result = self.feed_all(&mut reader, first, |fed, is_part| {
            let at_once = if self.args.mezz.is_some() { 1 } else { usize::from(self.args.jobs) };
            while proving.len() >= at_once {
                proving.pop_front().map(thread::ScopedJoinHandle::join);
            }
            self.under_way.fetch_add(1, SeqCst);
            proving.push_back(scope.spawn(move || {
                self.settle(fed, is_part);
                self.under_way.fetch_sub(1, SeqCst);
                self.disk.freed();
            }));
        });
        for proof in proving {
            if proof.join().is_err() {
                return Err(Error::failed("bug", "a proof broke"));
            }
        }
        result
    }

    /// Feeds one command after another; `settle` takes each, and whether it is only a part of what it should be.
    fn feed_all(&self, reader: &mut Reader, first: u64, mut settle: impl FnMut(Fed<'j>, bool)) -> Result<()> {
        let mut at = first;
        let mut frame = Vec::new();
        while self.control.stop() == Stop::No {
            let target = locked(&self.book).state.next_missing(at);
            if !self.another(reader, at)? {
                return self.end(at);
            }
            // Frames that are safe are let go.
            if target.is_none_or(|t| at < t) {
                self.counted(reader, |reader| reader.read(&mut frame)).map_err(|e| self.input_error(&e))?;
                at += 1;
                continue;
            }
            self.wait_for_finishers()?;
            let mut fed = self.feed_one(reader, &mut frame, at)?;
            at += fed.frames;
            let ended = match std::mem::replace(&mut fed.close, Close::Full) {
                Close::Full => None,
                Close::End => Some(self.end(at)),
                Close::Broken(e) => Some(Err(e)),
            };
            let is_part = matches!(ended, Some(Err(_)));
            if is_part && (self.args.mezz.is_none() || fed.frames == 0) {
                // Half a final segment is of no use: the next run makes it anew.
                fed.running.kill();
                self.remove_part(fed.first)?;
            } else {
                settle(fed, is_part);
            }
            if let Some(result) = ended {
                return result;
            }
        }
        Ok(())
    }

    /// Is there a frame `at`?
    fn another(&self, reader: &mut Reader, at: u64) -> Result<bool> {
        let more = reader.begin().map_err(|e| self.input_error(&e))?;
        match self.args.input.expect_frames {
            Some(expect) if more && at >= expect => {
                Err(Error::torn("<stdin>", format!("goes on after {expect} frames; {expect} were expected")))
            }
            _ => Ok(more),
        }
    }

    /// A read that gave way to a stop is no fault of the input.
    fn input_error(&self, error: &rawstream::Error) -> Error {
        let stopped = self.control.why().filter(|_| self.control.stop() >= Stop::Now);
        stopped.unwrap_or_else(|| Error::stdin(error))
    }

    /// Takes a frame from the input by `take` and counts it.
    fn counted<T>(&self, reader: &mut Reader, take: impl FnOnce(&mut Reader) -> T) -> T {
        let before = (reader.frames(), reader.bytes());
        let result = take(reader);
        self.session.count_in(reader.frames() - before.0, reader.bytes() - before.1);
        result
    }

    /// The input ended before frame `at`. Is that the film's end?
    fn end(&self, at: u64) -> Result<()> {
        let torn = |reason: String| Err(Error::torn("<stdin>", reason));
        let (seen, _) = self.session.taken_in();
        let mut book = locked(&self.book);
        match (self.args.input.expect_frames, book.state.ended) {
            (Some(expect), _) if at != expect => {
                return torn(format!("ended after {at} frames; {expect} were expected"));
            }
            (_, Some(ended)) if at != ended => {
                return torn(format!(
                    "ended after {at} frames; the run before saw the film end after {ended}"
                ));
            }
            _ if at == 0 => return torn("ended before the first frame".into()),
            _ => upstream::check(&self.args.upstream_report, seen, self.started)?,
        }
        if book.state.ended.is_none() {
            self.note(&mut book, &Record::Ended { frames: at })?;
            book.state.ended = Some(at);
        }
        drop(book);
        self.enqueue();
        Ok(())
    }

    /// Opens the chunk that begins with film frame `first` and feeds its command to the segment's end or the input's.
    fn feed_one(&self, reader: &mut Reader, frame: &mut Vec<u8>, first: u64) -> Result<Fed<'j>> {
        let (index, end) = {
            let state = &locked(&self.book).state;
            let index = state.index_of(first);
            (index, state.span(index).1)
        };
        let planned = self.args.input.expect_frames.map_or(end, |n| n.clamp(first + 1, end)) - first;
        let stage = self.fed_stage();
        let part = self.folder.part(stage, first);
        let commands = self.commands.fed().fill(&self.fields(None, &part, index, planned));
        let cannot = |e: io::Error| Error::failed(format!("segment {index}"), cli::reason(&e));

        let bound = self.bound(1, &part);
        let claim = || self.disk.claim(&part, bound, self.likely_bytes(planned), self.reserve(bound));
        let grant = match claim() {
            Some(grant) => grant,
            None => self.stalled(&part, bound, claim)?,
        };
        self.events.say(
            "segment_opened",
            json!({ "index": index, "first_frame": first, "frames": planned, "bytes": 0, "stage": stage.name() }),
        )?;
        let mut running =
            Running::start(&commands, Stdio::piped(), Some(self.folder.log(stage, first)), Some(grant))
                .map_err(cannot)?;
        let mut feed = running.take_feed().map_err(cannot)?;
        let mut frames = 0;
        let refused = |running, refusal, frames| {
            let why = self.refusal(running, refusal, &part)?;
            Err(self.lost(index, first, &format!("{why} after {frames} frames")))
        };
        if let Err(refusal) = feed.give(&self.preamble, &self.control, self.args.stall_timeout) {
            drop(feed);
            return refused(running, refusal, 0);
        }
        let close = loop {
            match self.counted(reader, |reader| self.pass(reader, &mut feed, frame)) {
                Ok(()) => frames += 1,
                Err(PassError::Input(e)) => break Close::Broken(self.input_error(&e)),
                Err(PassError::Sink(Refusal::Stopped)) => break Close::Broken(self.stopped()),
                Err(PassError::Sink(refusal)) => {
                    drop(feed);
                    return refused(running, refusal, frames);
                }
            }
            self.session.count_out(1, self.frame_bytes);
            if first + frames == end {
                break Close::Full;
            }
            let room = self.room_for(&mut running, frames + 1, &part);
            match room.and_then(|()| self.another(reader, first + frames)) {
                Ok(true) => {}
                Ok(false) => break Close::End,
                Err(e) => break Close::Broken(e),
            }
        };
        Ok(Fed { running, first, frames, close })
    }

    /// Passes one frame on: by `splice` where the input is a pipe, so that it never enters this process.
    ///
    /// Then the command may see the beginning of a torn frame. That is why what it wrote must have exactly the whole
    /// frames before it. Read from anything else, a frame is held until it is whole.
    fn pass(
        &self,
        reader: &mut Reader,
        feed: &mut Feed,
        frame: &mut Vec<u8>,
    ) -> std::result::Result<(), PassError<Refusal>> {
        let stall = self.args.stall_timeout;
        if self.from_pipe {
            return reader.pass(&mut Splice { feed, control: &self.control, stall }).map(drop);
        }
        reader.read(frame)?;
        if !self.preamble.is_empty() {
            feed.give(b"FRAME\n", &self.control, stall).map_err(PassError::Sink)?;
        }
        feed.give(frame, &self.control, stall).map_err(PassError::Sink)
    }

    /// Why a command took no more frames, in words.
    fn refusal(&self, running: Running<'_>, refusal: Refusal, part: &Path) -> Result<String> {
        if let Refusal::Closed = refusal {
            return match running.wait(&self.control, Stop::Now, part, self.args.stall_timeout) {
                Err(Failure::Command(why)) => Ok(why),
                Err(Failure::Full) => Ok(self.full()),
                Ok(()) => Ok("exited with 0 before the end of its frames".into()),
                Err(Failure::Fatal(e)) => Err(e),
                Err(Failure::Stopped) => Err(self.stopped()),
            };
        }
        running.kill();
        match refusal {
            Refusal::Stalled => {
                let stall = humantime::format_duration(self.args.stall_timeout);
                Ok(format!("took nothing for {stall} and was ended"))
            }
            Refusal::Failed(e) => Ok(format!("could not be fed ({})", cli::reason(&e))),
            Refusal::Stopped | Refusal::Closed => Err(self.stopped()),
        }
    }

    /// The frames of a chunk are gone with its command.
    fn lost(&self, index: u64, first: u64, why: &str) -> Error {
        let stage = self.fed_stage().name();
        Error::failed(
            format!("segment {index}"),
            format!(
                "the {stage} command {why}; its frames came through the pipe and are gone: --resume goes on with frame {first}"
            ),
        )
    }

    pub(crate) fn full(&self) -> String {
        format!("wrote as much as --max-disk allows ({})", self.disk.taken())
    }

    /// Deletes what the command that is fed from frame `first` on has written.
    fn remove_part(&self, first: u64) -> Result<()> {
        let part = self.folder.part(self.fed_stage(), first);
        durable::remove(&part).map_err(|e| Error::failed(part.display(), cli::reason(&e)))
    }

    /// Waits for the command that was fed and takes what it wrote.
    fn settle(&self, fed: Fed<'_>, is_part: bool) {
        let stage = self.fed_stage();
        let give_up_at = if stage == Stage::Mezz { Stop::Abort } else { Stop::Now };
        let part = self.folder.part(stage, fed.first);
        let result = fed
            .running
            .wait(&self.control, give_up_at, &part, self.args.stall_timeout)
            .and_then(|()| self.admit(stage, fed.first, fed.frames));
        let why = match result {
            Ok(()) => return self.enqueue(),
            Err(Failure::Stopped) => return,
            Err(Failure::Fatal(e)) => return self.control.fail(e),
            Err(Failure::Command(why)) => why,
            Err(Failure::Full) => self.full(),
        };
        if is_part {
            // Why the input broke off matters more.
            self.session.note(format_args!("the open chunk could not be kept: its command {why}"));
            self.remove_part(fed.first).unwrap_or_else(|e| self.control.fail(e));
        } else {
            let index = locked(&self.book).state.index_of(fed.first);
            self.control.fail(self.lost(index, fed.first, &why));
        }
    }

    // ---- how much a command may write

    /// What a command that was fed `frames` frames can have written at most when all of it is out.
    fn bound(&self, frames: u64, part: &Path) -> u64 {
        most_written(self.frame_bytes, frames, part.metadata().map_or(0, |m| m.len()))
    }

    /// What a chunk of `frames` frames will probably take, generously; unknown before the first: half of the room.
    fn likely_bytes(&self, frames: u64) -> u64 {
        let known = locked(&self.book).state.likely_bytes(self.fed_stage(), frames);
        known.unwrap_or_else(|| {
            frames.saturating_mul(self.frame_bytes).saturating_add(OVERHEAD).min(self.disk.room() / 2)
        })
    }

    /// What must stay free so that the segments that wait can be finished; the one that is open, of `open` bytes, too.
    fn reserve(&self, open: u64) -> u64 {
        if self.args.mezz.is_none() {
            return 0;
        }
        let state = &locked(&self.book).state;
        let waiting = state.ready().into_iter().map(|index| self.final_bytes(state, index)).max();
        let own = state.likely_bytes(Stage::Final, self.settings.segment_frames).unwrap_or(open);
        whole_blocks(waiting.unwrap_or(0).max(own))
    }

    /// Lets the command grow enough for `frames` frames; waits for room where there is none.
    fn room_for(&self, running: &mut Running<'_>, frames: u64, part: &Path) -> Result<()> {
        let Some(most) = running.most() else { return Ok(()) };
        let bound = self.bound(frames, part);
        if bound <= most {
            return Ok(());
        }
        let step = self.args.max_disk.unwrap_or(0) / 32;
        let mut grow = || running.grow(bound, bound + step, self.reserve(bound)).then_some(());
        match grow() {
            Some(()) => Ok(()),
            None => self.stalled(part, bound, grow),
        }
    }

    /// Waits while more segments are being finished than `--jobs` says: where the final command is the slowest stage,
    /// mezzanines would pile up.
    fn wait_for_finishers(&self) -> Result<()> {
        let behind = || self.args.mezz.is_some() && self.under_way.load(SeqCst) > usize::from(self.args.jobs);
        if !behind() {
            return Ok(());
        }
        self.events
            .say("stalled", json!({ "segments": self.under_way.load(SeqCst), "jobs": self.args.jobs }))?;
        while behind() {
            if self.control.stop() != Stop::No {
                return Err(self.stopped());
            }
            self.disk.wait();
        }
        self.events.say("flowing", json!({}))
    }

    /// Takes no more frames until `ready` gives something; fails when nothing is under way that could help.
    fn stalled<T>(&self, part: &Path, bytes: u64, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        self.events.say("stalled", json!({ "bytes": bytes, "max_disk": self.args.max_disk }))?;
        let got = loop {
            // After an interrupt no segment is finished any more: nothing would come free.
            if self.control.stop() != Stop::No {
                return Err(self.stopped());
            }
            let idle = self.under_way.load(SeqCst) == 0 && !self.disk.is_shared(part);
            if let Some(got) = ready() {
                break got;
            }
            if idle || (self.args.mezz.is_none() && !self.disk.is_shared(part)) {
                return Err(Error::failed(
                    "--max-disk",
                    format!(
                        "{} needs {bytes} bytes; {} and nothing more will be deleted",
                        part.display(),
                        self.disk.taken()
                    ),
                ));
            }
            self.disk.wait();
        };
        self.events.say("flowing", json!({}))?;
        Ok(got)
    }
}
