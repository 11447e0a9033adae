//! The process around a tool.

use crate::{
    Error, Result, RunArgs,
    error::Kind,
    kernel,
    progress::Progress,
    report::{self, Ending},
};
use clap::{CommandFactory, Parser};
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use serde_json::{Map, Value};
use signal_hook::low_level::emulate_default_handler;
use std::{
    io::Write,
    panic,
    process::ExitCode,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

/// A tool: its parsed flags, and what it does with them.
pub trait Tool: Parser + CommandFactory {
    /// The binary's name, as it stands in messages.
    const NAME: &'static str;

    /// True for a tool that has something to finish or save when a signal comes, and installs its own handlers.
    const HANDLES_SIGNALS: bool = false;

    /// The shared flags.
    fn run_args(&self) -> &RunArgs;

    /// Does the work. Whatever it returns has been written when it returns.
    fn run(self, session: &Session) -> Result<()>;
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// One run of a tool: counters for progress and report, and a voice.
#[derive(Debug)]
pub struct Session {
    tool: &'static str,
    quiet: bool,
    verbose: bool,
    frames_in: AtomicU64,
    frames_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// `u64::MAX`: nobody knows.
    expected: AtomicU64,
    settings: Mutex<Map<String, Value>>,
    facts: Mutex<Map<String, Value>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// A session without a process around it, for tests of a tool's library.
    pub fn new(tool: &'static str) -> Self {
        Self {
            tool,
            quiet: true,
            verbose: false,
            frames_in: AtomicU64::new(0),
            frames_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            expected: AtomicU64::new(u64::MAX),
            settings: Mutex::default(),
            facts: Mutex::default(),
        }
    }

    /// The tool's name.
    pub fn tool(&self) -> &'static str {
        self.tool
    }

    /// Says something the user should know; silent with `--quiet`.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            say(self.tool, &text.to_string());
        }
    }

    /// Says something only `--verbose` wants to hear.
    pub fn detail(&self, text: impl std::fmt::Display) {
        if self.verbose {
            say(self.tool, &text.to_string());
        }
    }

    /// A frame of `bytes` came in.
    pub fn count_in(&self, frames: u64, bytes: u64) {
        self.frames_in.fetch_add(frames, Relaxed);
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    /// A frame of `bytes` left the process.
    pub fn count_out(&self, frames: u64, bytes: u64) {
        self.frames_out.fetch_add(frames, Relaxed);
        self.bytes_out.fetch_add(bytes, Relaxed);
    }

    /// How many frames will leave, once that is known: gives progress an end.
    pub fn expect(&self, frames: u64) {
        self.expected.store(frames, Relaxed);
    }

    /// A resolved setting, for the report.
    pub fn setting(&self, name: &str, value: impl Into<Value>) {
        locked(&self.settings).insert(name.into(), value.into());
    }

    /// A further field of the report.
    pub fn fact(&self, name: &str, value: impl Into<Value>) {
        locked(&self.facts).insert(name.into(), value.into());
    }

    /// Frames that came in so far, and their bytes.
    pub fn taken_in(&self) -> (u64, u64) {
        (self.frames_in.load(Relaxed), self.bytes_in.load(Relaxed))
    }

    /// Frames that left so far.
    pub fn frames_out(&self) -> u64 {
        self.frames_out.load(Relaxed)
    }

    pub(crate) fn expected_frames(&self) -> Option<u64> {
        Some(self.expected.load(Relaxed)).filter(|&n| n != u64::MAX)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            frames_in: self.frames_in.load(Relaxed),
            frames_out: self.frames_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }

    pub(crate) fn settings_value(&self) -> Value {
        Value::Object(locked(&self.settings).clone())
    }

    pub(crate) fn facts_value(&self) -> Value {
        Value::Object(locked(&self.facts).clone())
    }
}

/// One line on standard error. That it may be closed is no reason to fail.
fn say(tool: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{tool}: {text}");
}

/// clap's several lines, as one: `--size <WxH>: invalid value …`.
fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("usage: {}", words.strip_prefix("error: ").unwrap_or(&words))
}

/// Runs the tool that `T` parses, from the command line to the exit code.
pub fn main<T: Tool>() -> ExitCode {
    // A bug is still one line that says where; the exit code says that nothing can be relied on.
    panic::set_hook(Box::new(|bug| {
        let what = bug.payload_as_str().unwrap_or("no message");
        let at = bug.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
        say(T::NAME, &format!("bug: {}{at}", what.lines().next().unwrap_or_default()));
    }));
    let tool = match T::try_parse() {
        Ok(tool) => tool,
        Err(e) if !e.use_stderr() => return printed(&e.render().to_string(), T::NAME),
        Err(e) => {
            say(T::NAME, &usage_line(&e));
            return ExitCode::from(2);
        }
    };
    let args = tool.run_args().clone();
    if let Some(shell) = args.completions {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut T::command(), T::NAME, &mut script);
        return printed(&String::from_utf8_lossy(&script), T::NAME);
    }
    let code = process(tool, &args);
    match code {
        141 => die_of_sigpipe(),
        128.. => {
            // As the shell expects of a process that a signal stopped.
            let _ = emulate_default_handler(i32::from(code) - 128);
            ExitCode::from(code)
        }
        _ => ExitCode::from(code),
    }
}

/// Help, version and completions, on standard output.
fn printed(text: &str, tool: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let e = Error::stdout(&e);
            if e.kind == Kind::BrokenPipe {
                die_of_sigpipe()
            } else {
                say(tool, &e.to_string());
                ExitCode::from(e.exit_code())
            }
        }
    }
}

/// Rust ignores SIGPIPE so that a failed write can be seen; now that it was, die as any filter does.
fn die_of_sigpipe() -> ExitCode {
    // SAFETY: resets a disposition to the default; no handler of ours is involved.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    let _ = raise(Signal::SIGPIPE);
    ExitCode::from(Error::broken_pipe().exit_code())
}

fn process<T: Tool>(tool: T, args: &RunArgs) -> u8 {
    let started = Instant::now();
    let session = Arc::new(Session { quiet: args.quiet, verbose: args.verbose, ..Session::new(T::NAME) });
    if let Some(Err(e)) = args.report.as_deref().map(report::probe) {
        say(T::NAME, &e.to_string());
        return e.exit_code();
    }
    let run = || {
        if !T::HANDLES_SIGNALS {
            die_by_signal_with_a_report(Arc::clone(&session), args.clone(), started)?;
        }
        let ticker = Ticker::start(args.progress.resolve(args.quiet), Arc::clone(&session), started);
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| tool.run(&session)));
        ticker.stop();
        // The hook has spoken; the report says it again.
        result.unwrap_or_else(|_| Err(Error::failed("bug", "see standard error")))
    };
    let result = run();
    let (mut code, status, error) = match &result {
        Ok(()) => (0, "ok", None),
        Err(e) => {
            if e.kind != Kind::BrokenPipe {
                say(T::NAME, &e.to_string());
            }
            (e.exit_code(), e.status(), Some(e.to_string()))
        }
    };
    if let Some(path) = &args.report {
        let ending = Ending { status, exit_code: code, error };
        if let Err(e) = report::write(path, &session, started, ending) {
            say(T::NAME, &e.to_string());
            code = code.max(e.exit_code());
        }
    }
    code
}

/// A filter has nothing to save: on a signal its report is written and it dies of the signal, as the shell expects.
fn die_by_signal_with_a_report(session: Arc<Session>, args: RunArgs, started: Instant) -> Result<()> {
    let mut signals = kernel::ending_signals().map_err(|e| Error::failed("signals", crate::reason(&e)))?;
    thread::spawn(move || {
        if let Some(number) = signals.forever().next() {
            if let Some(path) = &args.report {
                let ending = Ending {
                    status: "signal",
                    exit_code: 128 + number as u8,
                    error: Some(format!("stopped by signal {number}")),
                };
                let _ = report::write(path, &session, started, ending);
            }
            let _ = emulate_default_handler(number);
        }
    });
    Ok(())
}

/// The thread that draws progress.
struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(progress: Progress, session: Arc<Session>, started: Instant) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        if progress == Progress::None {
            return Self { stop, thread: None };
        }
        let shared = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (stopped, wake) = &*shared;
            let mut done = locked(stopped);
            while !*done {
                let (guard, timeout) =
                    wake.wait_timeout(done, progress.period()).unwrap_or_else(PoisonError::into_inner);
                done = guard;
                if timeout.timed_out() {
                    progress.draw(&session, started, false);
                }
            }
            progress.draw(&session, started, true);
        });
        Self { stop, thread: Some(thread) }
    }

    fn stop(self) {
        *locked(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}
