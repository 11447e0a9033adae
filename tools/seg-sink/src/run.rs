//! A run: everything that can be refused before the first frame, and then the threads that do the work.

use crate::{
    args::SegSink,
    child,
    control::{Control, Stop},
    disk::Disk,
    event::Events,
    folder::{Folder, absolute, is_there, part_of},
    intake::{Reader, Source},
    job::{Book, Job},
    journal::{Journal, Record},
    proof,
    settings::{Commands, Settings},
    state::State,
    template::Template,
    warden,
};
use cli::{Error, Result, Session, locked};
use nix::{
    libc,
    sys::stat::{SFlag, fstat},
};
use rawstream::{FrameReader, VideoFormat};
use serde_json::json;
use std::{
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};
use timebase::Rational;

/// Runs the job in `dir` to its end, or as far as the input goes.
pub(crate) fn run(args: &SegSink, dir: &Path, session: &Session) -> Result<()> {
    let started = SystemTime::now();
    let final_ = args.final_.clone().ok_or_else(|| Error::usage("--final", "says how a segment is made"))?;
    let output = args.output.clone().ok_or_else(|| Error::usage("--output", "says where the film goes"))?;
    let commands = Commands { mezz: args.mezz.clone(), final_ };
    check_commands(&commands)?;
    proof::find_tools()?;
    if !args.resume && Folder::is_used(dir) {
        return Err(Error::usage(dir.display(), "holds a job already; --resume goes on with it"));
    }
    if !args.resume && is_there(&output) {
        return Err(Error::failed(output.display(), "is there already"));
    }

    let folder = Folder::create(dir)?;
    // Only now: it may lie in the job's own folder.
    let output = absolute(&output)?;
    let _lock = folder.lock()?;
    let (mut state, sound) = State::read(&folder)?;
    if let Some(film) = state.expect_film(&output) {
        return Err(Error::usage(
            "--output",
            format!("the job's film is finished already: {}", film.display()),
        ));
    }
    if state.done && state.film.is_some() && output.exists() {
        session.note(format_args!("{}: is finished already", output.display()));
        return Ok(());
    }
    // Other settings are refused before anything is mended.
    if let Some(known) = &state.settings {
        let frames = segment_frames(args, known.rate.parse().ok())?;
        same(known, &known.clone().with(frames, &commands), dir)?;
    }
    mend(&mut state, &folder, args, session)?;
    if state.film.is_none() {
        let part = part_of(&output);
        // Left over from a run that was joining, as its list is; otherwise it is not the job's.
        let is_bystander = is_there(&part) && !is_there(&folder.segment_list());
        if let Some(path) = [(&output, is_there(&output)), (&part, is_bystander)]
            .into_iter()
            .find_map(|(p, there)| there.then_some(p))
        {
            return Err(Error::failed(path.display(), "is there already"));
        }
    }
    let next_frame = state.next_frame();
    let first = args.first_frame.unwrap_or(next_frame);
    if first > next_frame {
        let reason = format!("standard input begins with frame {first}, but {next_frame} has to come first");
        return Err(Error::usage("--first-frame", reason));
    }

    warden::start().map_err(|e| Error::failed("warden", cli::reason(&e)))?;
    let control = Control::new().map_err(|e| Error::failed("signals", cli::reason(&e)))?;
    let is_all_here = state.settings.is_some()
        && (state.next_missing(0).is_none() || args.input.expect_frames == Some(next_frame));
    let (reader, settings) = match state.settings.clone().filter(|_| is_all_here) {
        Some(known) => (None, known),
        None => {
            let (reader, settings) = open_input(args, &control, session, &commands)?;
            if let Some(known) = &state.settings {
                same(known, &settings, dir)?;
            }
            (Some(reader), settings)
        }
    };
    let path = folder.journal();
    let geometry =
        settings.geometry().ok_or_else(|| Error::failed(path.display(), "the settings make no sense"))?;

    let broken = |e: io::Error| Error::failed(path.display(), cli::reason(&e));
    let mut journal = Journal::open(&path, sound).map_err(broken)?;
    let end_is_news = is_all_here && state.ended.is_none();
    let mut note = |record: Record| {
        state.apply(&record);
        journal.add(&record).map_err(broken)
    };
    if sound.records == 0 {
        note(Record::Job { settings: settings.clone(), fingerprint: settings.fingerprint() })?;
    }
    note(Record::Run { next_frame, expect_frames: args.input.expect_frames, max_disk: args.max_disk })?;
    if end_is_news {
        note(Record::Ended { frames: next_frame })?;
    }

    let disk = Disk::new(folder.clone(), args.max_disk, state.disk_peak_bytes);
    let events = Events::new(session, &disk)?;
    events.begin_at(first);
    let is_pipe = |mode: libc::mode_t| mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits();
    let job = Job {
        preamble: settings.preamble(),
        frame_bytes: geometry.pix_fmt.frame_bytes(geometry.size.width, geometry.size.height) as u64,
        from_pipe: fstat(io::stdin()).is_ok_and(|s| is_pipe(s.st_mode)),
        started,
        args,
        output,
        folder,
        geometry,
        settings,
        commands,
        control,
        disk: &disk,
        events: &events,
        session,
        book: Mutex::new(Book { journal, state }),
        queue: Mutex::default(),
        queue_changed: Condvar::new(),
        under_way: AtomicUsize::new(0),
        finishing: AtomicUsize::new(0),
    };
    let ran = work(&job, reader, first);
    if ran.as_ref().is_err_and(|e| e.signal().is_some()) {
        // All threads have ended: what has not got its own name by now, nobody goes on with.
        job.folder.remove_parts();
    }
    ran
}

/// From the first frame of standard input, which is film frame `first`, to the film.
fn work(job: &Job<'_>, reader: Option<Reader>, first: u64) -> Result<()> {
    let next_frame = locked(&job.book).state.next_frame();
    if job.args.resume {
        job.events.say("resumed", json!({ "next_frame": next_frame, "first_frame": first }))?;
    }
    job.forecast()?;
    if let Some(frames) = job.args.input.expect_frames {
        job.session.expect(frames.saturating_sub(first));
    }
    job.enqueue();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| watch_disk(job, &over));
        let workers: Vec<_> = (0..job.workers()).map(|_| scope.spawn(|| job.work())).collect();
        let taken = reader.map_or(Ok(()), |reader| job.take_in(reader, first, scope));
        if let Err(e) = taken {
            job.control.fail(e);
        }
        locked(&job.queue).close();
        job.queue_changed.notify_all();
        for worker in workers {
            if worker.join().is_err() {
                job.control.fail(Error::failed("bug", "a worker broke"));
            }
        }
        if job.control.stop() == Stop::No
            && let Err(e) = job.film()
        {
            job.control.fail(e);
        }
        over.store(true, SeqCst);
        let _ = watch.join();
    });
    job.control.why().map_or(Ok(()), |why| Err(last_words(job, why)))
}

/// A stop is told with what is safe and how to go on.
fn last_words(job: &Job<'_>, why: Error) -> Error {
    match why.signal() {
        Some(signal) => {
            let next = locked(&job.book).state.next_frame();
            Error::stopped(signal, format!("stopped; --resume goes on with frame {next}"))
        }
        None => why,
    }
}

/// Looks at the disk often enough to know its peak, and rarely enough to cost nothing.
fn watch_disk(job: &Job<'_>, over: &AtomicBool) {
    while !over.load(SeqCst) {
        let began = Instant::now();
        job.disk.look();
        thread::sleep((began.elapsed() * 20).max(Duration::from_millis(10)));
    }
}

/// Makes journal and disk agree. The stages upstream were started where `--status` said, which looks at no checksums:
/// where these tell of more damage, other frames have to come.
fn mend(state: &mut State, folder: &Folder, args: &SegSink, session: &Session) -> Result<()> {
    let failed = |e: io::Error| Error::failed(folder.root().display(), cli::reason(&e));
    let told = {
        let mut state = state.clone();
        state.compare(folder);
        state.next_frame()
    };
    for loss in state.mend(folder, args.keep).map_err(failed)? {
        session.note(loss);
    }
    let now = state.next_frame();
    if args.first_frame.is_none() && now != told {
        let reason = format!("frame {now} has to come now, not {told}: start again from there");
        return Err(Error::failed(folder.root().display(), reason));
    }
    Ok(())
}

fn check_commands(Commands { mezz, final_ }: &Commands) -> Result<()> {
    match mezz {
        Some(mezz) if mezz.reads_file() => {
            return Err(Error::usage("--mezz", "frames come on its standard input; it has no {in}"));
        }
        None if final_.reads_file() => {
            return Err(Error::usage("--final", "{in} is a mezzanine, and there is no --mezz"));
        }
        _ => {}
    }
    for program in mezz.iter().chain([final_]).flat_map(Template::programs) {
        child::find(program).map_err(|e| Error::failed(program, e))?;
    }
    Ok(())
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
    commands: &Commands,
) -> Result<(Reader, Settings)> {
    for (flag, rate) in [("--rate", &args.input.rate), ("--film-rate", &args.film_rate)] {
        if let Some(note) = rate.as_ref().and_then(|r| r.note.as_ref()) {
            session.note(format_args!("{flag}: {note}"));
        }
    }
    let file = rawstream::stdin().map_err(|e| Error::failed("<stdin>", cli::reason(&e)))?;
    let source = Source { file, control: Arc::clone(control) };
    let reader = FrameReader::open(source, &args.input.declared())
        .map_err(|e| control.why().unwrap_or_else(|| Error::stdin(&e)))?;
    let format: &VideoFormat = reader.format();
    let rate = format.rate.or(args.input.rate.as_ref().map(|r| r.value));
    let rate = rate.ok_or_else(|| Error::usage("--rate", "must say how many frames a second there are"))?;
    let shape = (reader.container(), format);
    let settings = Settings::new(shape, rate, segment_frames(args, Some(rate))?, commands);
    let settings = settings.map_err(|e| Error::failed("<stdin>", cli::reason(&e)))?;
    Ok((reader, settings))
}
