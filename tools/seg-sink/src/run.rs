//! A run: frames to chunks, chunks to segments, segments to the film.
//!
//! The main thread takes frames in and starts the commands that read them. Proving what those wrote goes on beside it,
//! one chunk at a time; `--jobs` workers finish segments whose mezzanine is complete.

use crate::{
    args::SegSink,
    child::{self, Failure, Feed, Refusal, Running},
    control::{Control, Stop},
    disk::Disk,
    durable,
    event::Events,
    folder::{Folder, part_of},
    join,
    journal::{Chunk, Film, Journal, Record, Stage},
    proof,
    settings::{Geometry, Settings},
    state::State,
    template::{Fields, Template},
};
use cli::{Error, Result, Session};
use nix::poll::PollFlags;
use rawstream::{FrameReader, VideoFormat};
use serde_json::json;
use std::{
    collections::{BTreeSet, VecDeque},
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};
use timebase::Rational;

/// Between two looks at a disk that is full.
const GLANCE: Duration = Duration::from_millis(5);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard input that gives way when the run must stop.
struct Source {
    file: File,
    control: Arc<Control>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.control.wait(self.file.as_fd(), PollFlags::POLLIN, Duration::from_secs(60)).map_err(
            |e| if e.kind() == io::ErrorKind::Interrupted { io::Error::other("stopped") } else { e },
        )? {}
        self.file.read(buffer)
    }
}

type Reader = FrameReader<Source>;

/// Segments waiting for a worker.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<u64>,
    /// All that were ever put in.
    seen: BTreeSet<u64>,
    closed: bool,
}

/// What all threads of a run share.
struct Job<'a> {
    args: &'a SegSink,
    output: PathBuf,
    folder: Folder,
    settings: Settings,
    geometry: Geometry,
    /// What each command reads first.
    preamble: Vec<u8>,
    control: Arc<Control>,
    disk: &'a Disk,
    events: &'a Events<'a>,
    session: &'a Session,
    book: Mutex<Book>,
    queue: Mutex<Queue>,
    queue_changed: Condvar,
    /// Chunks being proved and segments waiting or being finished: work that may yet free disk.
    under_way: AtomicUsize,
}

/// Journal and state change together.
struct Book {
    journal: Journal,
    state: State,
}

/// Runs the job in `dir` to its end, or as far as the input goes.
pub(crate) fn run(args: &SegSink, dir: &Path, session: &Session) -> Result<()> {
    let final_ = args.final_.clone().ok_or_else(|| Error::usage("--final", "says how a segment is made"))?;
    let output = args.output.clone().ok_or_else(|| Error::usage("--output", "says where the film goes"))?;
    check_commands(args.mezz.as_ref(), &final_)?;
    proof::find_tools()?;
    let output = absolute(&output)?;
    if !args.resume && Folder::is_used(dir) {
        return Err(Error::usage(dir.display(), "holds a job already; --resume goes on with it"));
    }
    if !args.resume && output.exists() {
        return Err(Error::failed(output.display(), "is there already"));
    }

    let folder = Folder::create(dir)?;
    let _lock = folder.lock()?;
    let path = folder.journal();
    let (records, sound) = Journal::read(&path).map_err(|e| Error::failed(path.display(), e))?;
    let broken = |e: io::Error| Error::failed(folder.root().display(), cli::reason(&e));
    let mut state = State::new(&records);
    if let Some(Record::Job { settings, fingerprint }) = records.first()
        && settings.fingerprint() != *fingerprint
    {
        return Err(Error::failed(path.display(), "the settings do not fit their fingerprint"));
    }
    if state.done && state.film.as_ref().is_some_and(|f| f.path == output && output.exists()) {
        session.note(format_args!("{}: is finished already", output.display()));
        return Ok(());
    }

    let control = Control::new().map_err(|e| Error::failed("signals", cli::reason(&e)))?;
    // Refuse other settings before anything is mended.
    let told_end = args.input.expect_frames;
    let known = state.settings.clone();
    if let Some(known) = &known {
        let again = Settings {
            version: env!("CARGO_PKG_VERSION").into(),
            mezz: args.mezz.clone(),
            final_: final_.clone(),
            segment_frames: segment_frames(args, known.rate.parse().ok())?,
            ..known.clone()
        };
        same(known, &again, dir)?;
    }
    for loss in state.mend(&folder, args.keep).map_err(broken)? {
        session.note(loss);
    }
    if state.film.is_none() && output.exists() {
        return Err(Error::failed(output.display(), "is there already"));
    }
    let all_here = state.next_missing(0).is_none()
        || told_end.is_some_and(|n| known.is_some() && n == state.next_frame());
    let mut reader = None;
    let settings = match (known, all_here) {
        (Some(known), true) => known,
        (known, _) => {
            let (opened, settings) = open_input(args, &control, session, final_)?;
            if let Some(known) = &known {
                same(known, &settings, dir)?;
            }
            reader = Some(opened);
            settings
        }
    };
    let geometry =
        settings.geometry().ok_or_else(|| Error::failed(path.display(), "the settings make no sense"))?;
    let first = args.first_frame.unwrap_or(state.next_frame());
    if first > state.next_frame() {
        return Err(Error::usage(
            "--first-frame",
            format!("standard input begins with frame {first}, but {} has to come first", state.next_frame()),
        ));
    }

    let mut journal = Journal::open(&path, records.len() as u64, sound).map_err(broken)?;
    if state.settings.is_none() {
        let record = Record::Job { settings: settings.clone(), fingerprint: settings.fingerprint() };
        journal.add(&record).map_err(broken)?;
        state.settings = Some(settings.clone());
    }
    let begin =
        Record::Run { next_frame: state.next_frame(), expect_frames: told_end, max_disk: args.max_disk };
    journal.add(&begin).map_err(broken)?;
    if all_here && state.ended.is_none() {
        journal.add(&Record::Ended { frames: state.next_frame() }).map_err(broken)?;
        state.ended = Some(state.next_frame());
    }

    let disk = Disk::new(folder.clone(), args.max_disk, state.disk_peak_bytes);
    let events = Events::new(session, &disk)?;
    events.begin_at(first);
    let job = Job {
        preamble: if settings.header.is_empty() {
            Vec::new()
        } else {
            format!("{}\n", settings.header).into_bytes()
        },
        args,
        output,
        folder,
        geometry,
        settings,
        control,
        disk: &disk,
        events: &events,
        session,
        book: Mutex::new(Book { journal, state }),
        queue: Mutex::default(),
        queue_changed: Condvar::new(),
        under_way: AtomicUsize::new(0),
    };
    job.run(reader, first)
}

fn check_commands(mezz: Option<&Template>, final_: &Template) -> Result<()> {
    match mezz {
        Some(mezz) if mezz.reads_file() => {
            return Err(Error::usage("--mezz", "frames come on its standard input; it has no {in}"));
        }
        Some(_) if !final_.reads_file() => {
            return Err(Error::usage("--final", "must read the mezzanine {in}"));
        }
        None if final_.reads_file() => {
            return Err(Error::usage("--final", "{in} is a mezzanine, and there is no --mezz"));
        }
        _ => {}
    }
    for command in mezz.into_iter().chain([final_]) {
        child::find(command.program()).map_err(|e| Error::failed(command.program(), e))?;
    }
    Ok(())
}

/// Where the output is to be, independent of the folder we are in. Its folder must be there.
fn absolute(output: &Path) -> Result<PathBuf> {
    let failed = |e: io::Error| Error::failed(output.display(), cli::reason(&e));
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = output.file_name().ok_or_else(|| Error::usage(output.display(), "is not a file's name"))?;
    Ok(folder.canonicalize().map_err(failed)?.join(name))
}

fn segment_frames(args: &SegSink, rate: Option<Rational>) -> Result<u64> {
    let frames = rate.and_then(|rate| args.segment.frames(rate));
    frames.ok_or_else(|| Error::usage("--segment", "has not one frame in it"))
}

fn same(known: &Settings, now: &Settings, dir: &Path) -> Result<()> {
    match known.difference(now) {
        None => Ok(()),
        Some(difference) => {
            Err(Error::usage(dir.display(), format!("the job was begun with other settings: {difference}")))
        }
    }
}

/// Opens standard input and settles what the job is.
fn open_input(
    args: &SegSink,
    control: &Arc<Control>,
    session: &Session,
    final_: Template,
) -> Result<(Reader, Settings)> {
    for (flag, rate) in [("--rate", &args.input.rate), ("--film-rate", &args.film_rate)] {
        if let Some(note) = rate.as_ref().and_then(|r| r.note.as_ref()) {
            session.note(format_args!("{flag}: {note}"));
        }
    }
    let file = rawstream::stdin().map_err(|e| Error::failed("<stdin>", cli::reason(&e)))?;
    let source = Source { file, control: Arc::clone(control) };
    let reader = FrameReader::open(source, &args.input.told())
        .map_err(|e| control.why().unwrap_or_else(|| Error::stdin(&e)))?;
    let format: &VideoFormat = reader.format();
    let rate = format.rate.or(args.input.rate.as_ref().map(|r| r.value));
    let rate = rate.ok_or_else(|| Error::usage("--rate", "must say how many frames a second there are"))?;
    let commands = (args.mezz.clone(), final_);
    let shape = (reader.container(), format);
    let settings = Settings::new(shape, rate, segment_frames(args, Some(rate))?, commands);
    let settings = settings.map_err(|e| Error::failed("<stdin>", cli::reason(&e)))?;
    Ok((reader, settings))
}

/// Why a chunk's frames ended.
enum Close {
    /// The segment is full.
    Full,
    /// The input ended, in order.
    End,
    /// The input broke off or the run stops; what there is may be kept as a part.
    Broken(Error),
}

impl Job<'_> {
    fn run(&self, reader: Option<Reader>, first: u64) -> Result<()> {
        let before = locked(&self.book).state.next_frame();
        if self.args.resume {
            self.events.say("resumed", json!({ "next_frame": before, "first_frame": first }))?;
        }
        if let Some(frames) = self.args.input.expect_frames {
            self.session.expect(frames.saturating_sub(first));
        }
        self.enqueue();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.workers()).map(|_| scope.spawn(|| self.work())).collect();
            let taken = reader.map_or(Ok(()), |reader| self.take_in(reader, first, scope));
            if let Err(e) = taken {
                self.control.fail(e);
            }
            locked(&self.queue).closed = true;
            self.queue_changed.notify_all();
            for worker in workers {
                if worker.join().is_err() {
                    self.control.fail(Error::failed("bug", "a worker broke"));
                }
            }
        });
        if let Some(why) = self.control.why() {
            return Err(self.last_words(why));
        }
        self.film()
    }

    /// A stop is told with what is safe and how to go on.
    fn last_words(&self, why: Error) -> Error {
        match why.signal() {
            Some(signal) => {
                let next = locked(&self.book).state.next_frame();
                Error::stopped(signal, format!("stopped; --resume goes on with frame {next}"))
            }
            None => why,
        }
    }

    fn workers(&self) -> usize {
        if self.args.mezz.is_some() { self.args.jobs.into() } else { 0 }
    }

    // ---- intake

    /// Reads frames and gives them to commands until the input or the job ends, and waits for their proof.
    fn take_in<'scope, 'env>(
        &'env self,
        reader: Reader,
        first: u64,
        scope: &'scope thread::Scope<'scope, 'env>,
    ) -> Result<()> {
        let mut proving = VecDeque::new();
        let result = self.chunks(reader, first, |running, from, frames| {
            let at_once = if self.args.mezz.is_some() { 1 } else { usize::from(self.args.jobs) };
            while proving.len() >= at_once {
                proving.pop_front().map(thread::ScopedJoinHandle::join);
            }
            self.under_way.fetch_add(1, SeqCst);
            proving.push_back(scope.spawn(move || {
                self.settle(running, from, frames);
                self.under_way.fetch_sub(1, SeqCst);
            }));
        });
        for proof in proving {
            if proof.join().is_err() {
                return Err(Error::failed("bug", "a proof broke"));
            }
        }
        result
    }

    /// Feeds one command after another; `settle` takes each with its first frame and their number.
    fn chunks(
        &self,
        mut reader: Reader,
        first: u64,
        mut settle: impl FnMut(Running, u64, u64),
    ) -> Result<()> {
        let mut at = first;
        let mut frame = Vec::new();
        while self.control.stop() == Stop::No {
            let target = locked(&self.book).state.next_missing(at);
            if !self.next(&mut reader, &mut frame, at)? {
                return self.end(at);
            }
            // Frames that are safe are let go.
            if target.is_none_or(|t| at < t) {
                at += 1;
                continue;
            }
            let from = at;
            let (running, frames, close) = self.fill(&mut reader, &mut frame, from)?;
            at += frames;
            let ended = match close {
                Close::Full => None,
                Close::End => Some(self.end(at)),
                Close::Broken(e) => Some(Err(e)),
            };
            if matches!(ended, Some(Err(_))) && self.args.mezz.is_none() {
                // Half a final segment is of no use: the next run makes it anew.
                running.kill();
                let part = self.folder.part(Stage::Final, from);
                durable::remove(&part).map_err(|e| Error::failed(part.display(), cli::reason(&e)))?;
            } else {
                settle(running, from, frames);
            }
            if let Some(result) = ended {
                return result;
            }
        }
        Ok(())
    }

    /// The next frame of the film, which is number `at`.
    fn next(&self, reader: &mut Reader, frame: &mut Vec<u8>, at: u64) -> Result<bool> {
        let before = reader.bytes();
        let more = reader.read(frame).map_err(|e| self.control.why().unwrap_or_else(|| Error::stdin(&e)))?;
        self.session.count_in(u64::from(more), reader.bytes() - before);
        match self.args.input.expect_frames {
            Some(expect) if more && at >= expect => {
                Err(Error::torn("<stdin>", format!("goes on after {expect} frames; {expect} were expected")))
            }
            _ => Ok(more),
        }
    }

    /// The input ended before frame `at`. Is that the film's end?
    fn end(&self, at: u64) -> Result<()> {
        let torn = |reason: String| Err(Error::torn("<stdin>", reason));
        let mut book = locked(&self.book);
        match (self.args.input.expect_frames, book.state.ended) {
            (Some(expect), _) if at != expect => {
                torn(format!("ended after {at} frames; {expect} were expected"))
            }
            (_, Some(ended)) if at != ended => {
                torn(format!("ended after {at} frames; the run before saw the film end after {ended}"))
            }
            _ if at == 0 => torn("ended before the first frame".into()),
            (_, Some(_)) => Ok(()),
            (_, None) => {
                self.note(&mut book, &Record::Ended { frames: at })?;
                book.state.ended = Some(at);
                drop(book);
                self.enqueue();
                Ok(())
            }
        }
    }

    /// Opens the chunk that begins with film frame `first`, which is in `frame`, and feeds its command to the
    /// segment's end or the input's.
    fn fill(&self, reader: &mut Reader, frame: &mut Vec<u8>, first: u64) -> Result<(Running, u64, Close)> {
        let (index, end) = {
            let state = &locked(&self.book).state;
            let index = state.index_of(first);
            (index, state.span(index).1)
        };
        let planned = self.args.input.expect_frames.map_or(end, |n| n.clamp(first + 1, end)) - first;
        let (stage, template) = match &self.settings.mezz {
            Some(mezz) => (Stage::Mezz, mezz),
            None => (Stage::Final, &self.settings.final_),
        };
        let part = self.folder.part(stage, first);
        self.events
            .say("segment_opened", json!({ "index": index, "first_frame": first, "stage": stage.name() }))?;
        let argv = template.fill(&self.fields(None, &part, index, planned));
        let lost = |why: String, fed: u64| {
            Error::failed(
                format!("segment {index}"),
                format!(
                    "the {} command {why} after {fed} frames; they came through the pipe and are gone: --resume goes \
                     on with frame {first}",
                    stage.name()
                ),
            )
        };
        let mut running = Running::start(&argv, true, &self.folder.log(stage, first))
            .map_err(|e| Error::failed(&argv[0], cli::reason(&e)))?;
        let mut feed = running.take_feed().map_err(|e| Error::failed(&argv[0], cli::reason(&e)))?;
        let mut fed = 0;
        let close = loop {
            let given = self.give(&mut feed, frame, fed == 0);
            match given {
                Ok(()) => {}
                Err(Refusal::Stopped) => {
                    // A frame was cut off inside: the command's chunk cannot be told from a torn one.
                    running.kill();
                    return Err(self
                        .control
                        .why()
                        .unwrap_or_else(|| Error::failed("bug", "stopped for nothing")));
                }
                Err(Refusal::Closed) => {
                    drop(feed);
                    let why = match running.wait(&self.control, Stop::Now, &part, self.args.stall_timeout) {
                        Err(Failure::Command(why)) => why,
                        Ok(()) => "exited with 0 before the end of its frames".into(),
                        Err(Failure::Fatal(e)) => return Err(e),
                        Err(Failure::Stopped) => "was ended".into(),
                    };
                    return Err(lost(why, fed));
                }
                Err(Refusal::Stalled) => {
                    running.kill();
                    let stall = humantime::format_duration(self.args.stall_timeout);
                    return Err(lost(format!("took nothing for {stall} and was ended"), fed));
                }
                Err(Refusal::Failed(e)) => return Err(Error::failed(&argv[0], cli::reason(&e))),
            }
            fed += 1;
            self.session.count_out(1, frame.len() as u64);
            let at = first + fed;
            if at == end {
                break Close::Full;
            }
            match self.room().and_then(|()| self.next(reader, frame, at)) {
                Ok(true) => {}
                Ok(false) => break Close::End,
                Err(e) => break Close::Broken(e),
            }
        };
        Ok((running, fed, close))
    }

    /// Gives one frame, framed as the input was.
    fn give(&self, feed: &mut Feed, frame: &[u8], is_first: bool) -> std::result::Result<(), Refusal> {
        let stall = self.args.stall_timeout;
        if is_first {
            feed.give(&self.preamble, &self.control, stall)?;
        }
        if !self.preamble.is_empty() {
            feed.give(b"FRAME\n", &self.control, stall)?;
        }
        feed.give(frame, &self.control, stall)
    }

    /// Waits for room on the disk; fails when none can come.
    fn room(&self) -> Result<()> {
        if !self.disk.is_full() {
            return Ok(());
        }
        let limit = self.disk.limit().unwrap_or(u64::MAX);
        self.events.say("stalled", json!({ "max_disk": limit }))?;
        while self.disk.is_full() {
            if let Some(why) = self.control.why().filter(|_| self.control.stop() >= Stop::Now) {
                return Err(why);
            }
            if self.under_way.load(SeqCst) == 0 {
                let bytes = self.disk.look();
                return Err(Error::failed(
                    "--max-disk",
                    format!("{bytes} of {limit} bytes are taken and nothing is left that could be deleted"),
                ));
            }
            self.control.sleep(GLANCE);
        }
        self.events.say("flowing", json!({}))
    }

    fn fields<'f>(&self, input: Option<&'f Path>, output: &'f Path, index: u64, frames: u64) -> Fields<'f> {
        let Geometry { size, pix_fmt, rate } = self.geometry;
        Fields { input, output, index, frames, size, pix_fmt, rate }
    }

    // ---- proving

    /// Waits for the command that was fed `frames` frames from `first` on and takes what it wrote.
    fn settle(&self, running: Running, first: u64, frames: u64) {
        let (stage, give_up_at) = match self.args.mezz {
            Some(_) => (Stage::Mezz, Stop::Abort),
            None => (Stage::Final, Stop::Now),
        };
        let part = self.folder.part(stage, first);
        let result = running
            .wait(&self.control, give_up_at, &part, self.args.stall_timeout)
            .and_then(|()| self.admit(stage, first, frames));
        match result {
            Ok(()) => self.enqueue(),
            Err(Failure::Stopped) => {}
            Err(Failure::Fatal(e)) => self.control.fail(e),
            Err(Failure::Command(why)) => {
                let index = locked(&self.book).state.index_of(first);
                self.control.fail(Error::failed(
                    format!("segment {index}"),
                    format!(
                        "the {} command {why}; its frames came through the pipe and are gone: --resume goes on with \
                         frame {first}",
                        stage.name()
                    ),
                ));
            }
        }
    }

    /// Proves a chunk under its temporary name and makes it count.
    fn admit(&self, stage: Stage, first: u64, frames: u64) -> std::result::Result<(), Failure> {
        let part = self.folder.part(stage, first);
        let fatal = |e: io::Error| Failure::Fatal(Error::failed(part.display(), cli::reason(&e)));
        let verify = if stage == Stage::Final { self.args.verify } else { proof::Verify::Count };
        durable::sync_file(&part).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Failure::Command("exited with 0 and wrote no file".into()),
            _ => fatal(e),
        })?;
        let found = proof::prove(&part, frames, verify, &self.control)?;
        durable::sync_name(&part).map_err(fatal)?;
        let chunk = Chunk {
            stage,
            first_frame: first,
            frames,
            bytes: found.bytes,
            crc: found.crc,
            stream: found.stream,
            decoded: found.hashes.as_deref().map(proof::digest),
        };
        self.same_stream(&chunk)?;
        let peak = {
            self.disk.look();
            self.disk.peak()
        };
        let mut book = locked(&self.book);
        self.note(&mut book, &Record::Chunk { chunk: chunk.clone(), disk_peak_bytes: peak })
            .map_err(Failure::Fatal)?;
        durable::rename(&part, &self.folder.chunk(stage, first)).map_err(fatal)?;
        let index = book.state.index_of(first);
        let what = json!({ "index": index, "first_frame": first, "frames": frames, "bytes": chunk.bytes,
                           "stage": stage.name() });
        for old in book.state.add(chunk) {
            if old.first_frame != first {
                durable::remove(&self.folder.chunk(stage, old.first_frame)).map_err(fatal)?;
            }
        }
        drop(book);
        if self.args.mezz.is_none() || stage == Stage::Mezz {
            self.events.say("segment_closed", what.clone()).map_err(Failure::Fatal)?;
        }
        if stage == Stage::Final {
            self.events.say("final_verified", what).map_err(Failure::Fatal)?;
        }
        Ok(())
    }

    /// All segments of the film are streams of one kind.
    fn same_stream(&self, chunk: &Chunk) -> std::result::Result<(), Failure> {
        if chunk.stage == Stage::Mezz {
            return Ok(());
        }
        if let Some(rate) = self.args.film_rate.as_ref().map(|r| r.value.fraction())
            && chunk.stream.r_frame_rate != rate
        {
            let is = &chunk.stream.r_frame_rate;
            return Err(Failure::Command(format!("wrote {is} frames a second, not {rate}")));
        }
        let book = locked(&self.book);
        let others = book.state.segments.values().find_map(|s| s.final_.as_ref());
        match others.filter(|other| other.stream != chunk.stream) {
            Some(other) => Err(Failure::Command(format!(
                "wrote another kind of stream ({:?}) than that of frame {} ({:?})",
                chunk.stream, other.first_frame, other.stream
            ))),
            None => Ok(()),
        }
    }

    fn note(&self, book: &mut Book, record: &Record) -> Result<()> {
        book.journal.add(record).map_err(|e| Error::failed(self.folder.journal().display(), cli::reason(&e)))
    }

    // ---- finishing

    /// Hands segments whose mezzanine is complete to the workers, each once.
    fn enqueue(&self) {
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

    fn work(&self) {
        loop {
            let mut queue = locked(&self.queue);
            let index = loop {
                // A look now and then: a stop does not wake this.
                if self.control.stop() != Stop::No {
                    return;
                }
                match queue.waiting.pop_front() {
                    Some(index) => break index,
                    None if queue.closed => return,
                    None => {
                        let waited = self.queue_changed.wait_timeout(queue, Duration::from_millis(100));
                        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            };
            drop(queue);
            if let Err(e) = self.finish(index) {
                self.control.fail(e);
            }
            self.under_way.fetch_sub(1, SeqCst);
        }
    }

    /// Makes segment `index` of its mezzanine, proves it and deletes the mezzanine.
    fn finish(&self, index: u64) -> Result<()> {
        let (first, end, chunks) = {
            let state = &locked(&self.book).state;
            let (first, end) = state.span(index);
            let mezz = state.segments.get(&index).map(|s| s.mezz.values().cloned().collect::<Vec<_>>());
            (first, end, mezz.unwrap_or_default())
        };
        let frames = end - first;
        let part = self.folder.part(Stage::Final, first);
        let mezz = self
            .mezzanine(&chunks)
            .map_err(|e| Error::failed(self.folder.root().display(), cli::reason(&e)))?;
        let argv = self.settings.final_.fill(&self.fields(Some(&mezz), &part, index, frames));
        let mut tries = 0;
        loop {
            tries += 1;
            self.events.say(
                "final_started",
                json!({ "index": index, "first_frame": first, "frames": frames, "try": tries }),
            )?;
            let done = Running::start(&argv, false, &self.folder.log(Stage::Final, first))
                .map_err(|e| Failure::Command(format!("cannot be run: {}", cli::reason(&e))))
                .and_then(|running| running.wait(&self.control, Stop::Now, &part, self.args.stall_timeout))
                .and_then(|()| self.admit(Stage::Final, first, frames));
            match done {
                Ok(()) => break,
                Err(Failure::Stopped) => return Ok(()),
                Err(Failure::Fatal(e)) => return Err(e),
                Err(Failure::Command(why)) => {
                    self.events
                        .say("final_failed", json!({ "index": index, "try": tries, "reason": why }))?;
                    if tries >= self.args.max_tries {
                        let times = if tries == 1 { "once".into() } else { format!("{tries} times") };
                        return Err(Error::failed(
                            format!("segment {index}"),
                            format!("the final command failed {times}; at last it {why}"),
                        ));
                    }
                }
            }
        }
        if self.args.keep {
            return Ok(());
        }
        for chunk in &chunks {
            let path = self.folder.chunk(Stage::Mezz, chunk.first_frame);
            durable::remove(&path).map_err(|e| Error::failed(path.display(), cli::reason(&e)))?;
            if let Some(segment) = locked(&self.book).state.segments.get_mut(&index) {
                segment.mezz.remove(&chunk.first_frame);
            }
            self.events.say(
                "chunk_deleted",
                json!({ "index": index, "first_frame": chunk.first_frame, "bytes": chunk.bytes }),
            )?;
        }
        if chunks.len() > 1 {
            durable::remove(&mezz).map_err(|e| Error::failed(mezz.display(), cli::reason(&e)))?;
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
        std::fs::write(&list, format!("ffconcat version 1.0\n{text}"))?;
        Ok(list)
    }

    // ---- the film

    /// Joins the segments, proves the film and clears up.
    fn film(&self) -> Result<()> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |e: io::Error| Error::failed(&path, cli::reason(&e))
        };
        let output = &self.output;
        let is_there = locked(&self.book).state.film.is_some();
        if !is_there {
            self.join()?;
        }
        let mut book = locked(&self.book);
        let film = book.state.film.clone().ok_or_else(|| Error::failed("bug", "no film"))?;
        if !self.args.keep {
            for chunk in book.state.segments.values().filter_map(|s| s.final_.as_ref()) {
                let path = self.folder.chunk(Stage::Final, chunk.first_frame);
                durable::remove(&path).map_err(failed(&path))?;
            }
        }
        let list = self.folder.segment_list();
        durable::remove(&list).map_err(failed(&list))?;
        if !book.state.done {
            self.note(&mut book, &Record::Done)?;
        }
        drop(book);
        self.events.say("done", json!({ "film": output, "frames": film.frames, "bytes": film.bytes }))
    }

    fn join(&self) -> Result<()> {
        let mut book = locked(&self.book);
        if !book.state.is_finished() {
            return Err(Error::failed(self.folder.root().display(), "the film is not complete"));
        }
        let chunks: Vec<_> = book.state.finished().into_iter().cloned().collect();
        let frames = chunks.last().map_or(0, Chunk::end);
        let (output, part) = (&self.output, part_of(&self.output));
        let wrong = |why: Failure| match why {
            Failure::Command(why) => Error::failed(output.display(), format!("joining: {why}")),
            Failure::Fatal(e) => e,
            Failure::Stopped => self
                .control
                .why()
                .map_or_else(|| Error::failed("bug", "stopped for nothing"), |why| self.last_words(why)),
        };
        let broken = |e: io::Error| Error::failed(part.display(), cli::reason(&e));
        let rate =
            chunks.first().and_then(|c| c.stream.r_frame_rate.parse().ok()).unwrap_or(self.geometry.rate);
        let all: Vec<_> = chunks.iter().collect();
        join::join(&all, rate, &self.folder, &part, &self.control, self.args.stall_timeout).map_err(wrong)?;
        durable::sync_file(&part).map_err(broken)?;
        let found = proof::prove(&part, frames, self.args.verify, &self.control).map_err(wrong)?;
        if chunks.iter().any(|c| c.stream != found.stream) {
            return Err(wrong(Failure::Command(format!(
                "the film is another kind of stream ({:?})",
                found.stream
            ))));
        }
        if let Some(hashes) = &found.hashes {
            for chunk in &chunks {
                let own = &hashes[chunk.first_frame as usize..chunk.end() as usize];
                if chunk.decoded.as_ref().is_some_and(|d| *d != proof::digest(own)) {
                    let index = book.state.index_of(chunk.first_frame);
                    return Err(wrong(Failure::Command(format!(
                        "segment {index} decodes to other frames in the film"
                    ))));
                }
            }
        }
        durable::sync_name(&part).map_err(broken)?;
        let film = Film { path: output.clone(), frames, bytes: found.bytes, crc: found.crc };
        let peak = {
            self.disk.look();
            self.disk.peak()
        };
        self.note(&mut book, &Record::Film { film: film.clone(), disk_peak_bytes: peak })?;
        durable::rename(&part, output).map_err(broken)?;
        book.state.film = Some(film);
        drop(book);
        self.events.say("joined", json!({ "film": output, "frames": frames, "segments": chunks.len() }))
    }
}
