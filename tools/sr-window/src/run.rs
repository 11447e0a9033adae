//! Frames through windows, in order: one thread reads and cuts, one thread for each engine computes and, when it is
//! its window's turn, writes.
//!
//! Nothing is ever held beyond the window being computed by each engine, the one being gathered, and a window's enlarged
//! frames that wait to be written: an engine takes the next window straight from the reader's hand, and a window's frames
//! leave as they are computed.

use crate::{
    args::{Args, Switch},
    cut::Signature,
    engine::{Engine, EngineError},
    engines,
    window::{Frame, Schedule, Window},
};
use bytes::Bytes;
use cli::{Error, Input, Output, Result, Session};
use rawstream::{PixFmt, RgbFmt};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

/// Runs the tool from standard input to standard output.
pub fn run(args: &Args, session: &Session) -> Result<()> {
    let emit = args.output.emit();
    let needed = args.grid().first_frame_needed(emit.start);
    if args.first_frame > needed {
        let reason = format!("--start {} needs the film from frame {needed} on; see --plan", emit.start);
        return Err(Error::usage(format_args!("--first-frame {}", args.first_frame), reason));
    }
    let input = Input::open(session, &args.input)?;
    let format = input.format().clone();
    let out_fmt = args.output.out_pix_fmt.unwrap_or(format.pix_fmt);
    let rgb = |pix_fmt: PixFmt| {
        let reason =
            "the network works on RGB: rgb48le, rgb24, gbrp16le and their like; deint-crop writes them";
        pix_fmt.rgb().ok_or_else(|| Error::usage(pix_fmt, reason))
    };
    let (in_fmt, out_fmt) = (rgb(format.pix_fmt)?, rgb(out_fmt)?);
    settings(args, session, &input);
    let engines = engines::build(args, session, &format, in_fmt, out_fmt)?;
    let mut enlarged = format.clone();
    let scale = engines.first().map_or(1, |engine| engine.scale());
    enlarged.width *= scale;
    enlarged.height *= scale;
    enlarged.pix_fmt = *out_fmt;
    if let Some(frames) = emit.frames {
        session.expect(frames);
    } else if let Some(frames) = args.input.expect_frames {
        session.expect((args.first_frame + frames).saturating_sub(emit.start));
    }
    let container = args.output.container(input.container(), *out_fmt);
    // A window's frames come in a burst at its end, faster than what reads them wants them. They may wait: the next window
    // and whatever reads are then at work side by side.
    let output = Output::begin(session, container, &enlarged, args.window as usize)?;
    through(args, input, in_fmt, output, engines)
}

fn settings(args: &Args, session: &Session, input: &Input<'_>) {
    let format = input.format();
    session.setting("width", format.width);
    session.setting("height", format.height);
    session.setting("pix_fmt", format.pix_fmt.name());
    session.setting("window", args.window);
    session.setting("overlap", args.overlap);
    session.setting("cuts", args.cuts == Switch::On);
    session.setting("first_frame", args.first_frame);
    session.setting("start", args.output.start);
}

/// What the engines share: who writes next, and the first thing that went wrong.
struct Line<'a> {
    state: Mutex<State<'a>>,
    turn: Condvar,
}

struct State<'a> {
    output: Output<'a>,
    /// Position of the window that writes now.
    turn: u64,
    failure: Option<Error>,
}

impl<'a> Line<'a> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is window `position`'s turn, or until there is no point any more.
    fn wait(&self, position: u64) -> Option<MutexGuard<'_, State<'a>>> {
        let mut state = self.lock();
        while state.turn != position && state.failure.is_none() {
            state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failure.is_none().then_some(state)
    }

    /// The first failure stands; later ones are its consequences.
    fn fail(&self, error: Error) {
        self.lock().failure.get_or_insert(error);
        self.turn.notify_all();
    }

    fn write(&self, position: u64, frame: Bytes) -> io::Result<()> {
        // What the error says is never seen: the failure that was noted is.
        let stop = || io::Error::other("stopped");
        let mut state = self.wait(position).ok_or_else(stop)?;
        if let Err(e) = state.output.give(frame) {
            state.failure = Some(e);
            self.turn.notify_all();
            return Err(stop());
        }
        Ok(())
    }

    fn pass_turn(&self, position: u64) {
        if let Some(mut state) = self.wait(position) {
            state.turn += 1;
            self.turn.notify_all();
        }
    }
}

fn through(
    args: &Args,
    input: Input<'_>,
    in_fmt: RgbFmt,
    output: Output<'_>,
    engines: Vec<Box<dyn Engine>>,
) -> Result<()> {
    let line = Line { state: Mutex::new(State { output, turn: 0, failure: None }), turn: Condvar::new() };
    // A rendezvous: the reader gathers the next window while the engines work, and no further.
    let (send, receive) = sync_channel(0);
    let receive = Mutex::new(receive);
    let (done, spent) = channel();
    let ending = thread::scope(|scope| {
        for engine in engines {
            let done = done.clone();
            scope.spawn(|| work(engine, &receive, done, &line));
        }
        read(args, input, in_fmt, send, &spent, &line)
    });
    let state = line.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.failure.map_or(ending, Err)?;
    state.output.finish()
}

/// Reads to the end, or until all that is wanted was handed out.
fn read(
    args: &Args,
    mut input: Input<'_>,
    in_fmt: RgbFmt,
    send: SyncSender<(u64, Window)>,
    spent: &Receiver<Window>,
    line: &Line<'_>,
) -> Result<()> {
    let format = input.format().clone();
    let emit = args.output.emit();
    let wanted = emit.start..emit.end().unwrap_or(u64::MAX);
    let mut schedule = Schedule::new(args.grid(), wanted, args.first_frame);
    let mut position = 0;
    let mut hand_out = |window: Window| {
        let sent = send.send((position, window)).is_ok();
        position += 1;
        // Nobody receives any more: an engine has failed and said why.
        sent && line.lock().failure.is_none()
    };
    let mut before: Option<Signature> = None;
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let ending = loop {
        if schedule.is_done() {
            return Ok(());
        }
        // The memory of frames that no window needs any more.
        for frame in spent.try_iter().flat_map(|window| window.frames) {
            spare.extend(frame.picture.try_into_mut().ok().map(Vec::from));
        }
        let mut buffer = spare.pop().unwrap_or_default();
        match input.read(&mut buffer) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(e) => break Err(e),
        }
        let picture = Bytes::from(buffer);
        let mut cut = false;
        if args.cuts == Switch::On {
            let signature = Signature::of(&picture, format.width, format.height, in_fmt);
            cut = before.as_ref().is_some_and(|before| signature.is_cut(before));
            before = Some(signature);
        }
        if let Some(window) = schedule.push(Frame { picture, cut })
            && !hand_out(window)
        {
            return Ok(());
        }
    };
    // An end that comes before the promised one is not the film's: what lacks its context is not the film's picture.
    if args.input.expect_frames.is_none_or(|n| n == input.frames()) {
        while let Some(window) = schedule.finish() {
            if !hand_out(window) {
                return Ok(());
            }
        }
    }
    ending.and_then(|()| emit.check(args.first_frame + input.frames()))
}

/// One engine's life: window after window, each written when its turn has come. After a failure it goes on taking
/// windows, and drops them, so that the reader is never left waiting. Windows that are done go back to the reader: to
/// give their memory back to the system would take as long as a GPU needs for a frame.
fn work(
    mut engine: Box<dyn Engine>,
    receive: &Mutex<Receiver<(u64, Window)>>,
    done: Sender<Window>,
    line: &Line<'_>,
) {
    loop {
        let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((position, window)) = next else { return };
        if line.lock().failure.is_some() {
            continue;
        }
        for sequence in window.sequences() {
            let frames: Vec<Bytes> =
                window.frames[sequence.frames].iter().map(|f| f.picture.clone()).collect();
            let mut write = |frame: Bytes| line.write(position, frame);
            let enlarge = AssertUnwindSafe(|| engine.enlarge(&frames, sequence.emits, &mut write));
            // A bug in an engine must not leave the others waiting for its turn to pass.
            let written = catch_unwind(enlarge).unwrap_or_else(|_| {
                Err(EngineError::Failed("a bug in the engine; see standard error".into()))
            });
            match written {
                Ok(()) => {}
                Err(EngineError::Output(_)) => break,
                Err(EngineError::Failed(reason)) => {
                    let film = window.first..window.first + window.frames.len() as u64;
                    line.fail(Error::failed(
                        format_args!("frames {} to {}", film.start, film.end - 1),
                        reason,
                    ));
                    break;
                }
            }
        }
        line.pass_turn(position);
        // The reader may have ended.
        let _ = done.send(window);
    }
}
