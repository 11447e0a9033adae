//! The process around a tool, from the command line to the exit code.

use crate::{
    Error, Result, RunArgs,
    error::Kind,
    lock::locked,
    progress::{Progress, Ticker},
    report::{self, Ending},
    session::{Session, say},
    signals::ending_signals,
};
use clap::{CommandFactory, Parser};
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use signal_hook::low_level::emulate_default_handler;
use std::{
    io::Write,
    panic,
    process::ExitCode,
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// A tool: its parsed flags, and what it does with them.
pub trait Tool: Parser + CommandFactory {
    /// The binary's name, as it stands in messages.
    const NAME: &'static str;

    /// True for a tool that has something to finish or save when a signal comes, and installs its own handlers.
    const HANDLES_SIGNALS: bool = false;

    /// True for a tool that draws its own progress, since it counts other frames than its own.
    const DRAWS_PROGRESS: bool = false;

    /// The shared flags.
    fn run_args(&self) -> &RunArgs;

    /// Does the work. Whatever it returns has been written when it returns.
    fn run(self, session: &Session) -> Result<()>;
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
    match rawstream::stdout().and_then(|mut stdout| stdout.write_all(text.as_bytes())) {
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

/// Held by what writes how the run ended, the run itself or a signal, until the process is gone. So report and exit code
/// say the same, and no signal comes between a report's beginning and its end.
static END: Mutex<()> = Mutex::new(());

fn process<T: Tool>(tool: T, args: &RunArgs) -> u8 {
    let started = Instant::now();
    let session = Arc::new(Session::with_voice(T::NAME, args.quiet, args.verbose));
    if let Some(Err(e)) = args.report.as_deref().map(report::probe) {
        say(T::NAME, &e.to_string());
        return e.exit_code();
    }
    let run = || {
        // Whatever a tool is for, it says so there.
        rawstream::stdout().map_err(|e| Error::stdout(&e))?;
        if !T::HANDLES_SIGNALS {
            die_by_signal_with_a_report(Arc::clone(&session), args.clone(), started)?;
        }
        let progress = if T::DRAWS_PROGRESS { Progress::None } else { args.progress.resolve(args.quiet) };
        let ticker = Ticker::start(progress, Arc::clone(&session), started);
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| tool.run(&session)));
        ticker.stop();
        // The hook has spoken; the report says it again.
        result.unwrap_or_else(|_| Err(Error::failed("bug", "see standard error")))
    };
    let result = run();
    // Not given back: a signal that comes now comes too late to change anything.
    std::mem::forget(locked(&END));
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
    let mut signals = ending_signals().map_err(|e| Error::io("signals", &e))?;
    thread::spawn(move || {
        if let Some(number) = signals.forever().next() {
            let _end = locked(&END);
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
