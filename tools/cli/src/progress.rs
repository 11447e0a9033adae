//! Progress on standard error, drawn by a thread of its own from counters that the tool bumps.

use crate::{lock::locked, session::Session};
use rawstream::names;
use serde_json::json;
use std::{
    io::{IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A bar on a terminal, nothing elsewhere.
    Auto,
    /// A line that is drawn over itself.
    Bar,
    /// One JSON object a second.
    Json,
    /// Nothing.
    None,
}

names!(Progress, "unknown progress; there are auto, bar, json and none":
    "auto" => Auto,
    "bar" => Bar,
    "json" => Json,
    "none" => None,
);

impl Progress {
    /// What it comes to on this standard error.
    pub(crate) fn resolve(self, quiet: bool) -> Self {
        match self {
            Self::Auto if quiet || !std::io::stderr().is_terminal() => Self::None,
            Self::Auto => Self::Bar,
            told => told,
        }
    }

    /// Between two drawings.
    fn period(self) -> Duration {
        if self == Self::Json { Duration::from_secs(1) } else { Duration::from_millis(200) }
    }

    /// Draws the state; `last` for the final time. A failure to write is not the tool's failure.
    fn draw(self, session: &Session, started: Instant, last: bool) {
        let elapsed = started.elapsed().as_secs_f64();
        let (frames, total) = (session.frames_out(), session.expected_frames());
        let fps = frames as f64 / elapsed.max(1e-9);
        let eta = total.filter(|_| frames > 0).map(|t| t.saturating_sub(frames) as f64 / fps);
        let mut stderr = std::io::stderr().lock();
        let _ = match self {
            Self::Json => writeln!(
                stderr,
                "{}",
                json!({ "tool": session.tool(), "frames": frames, "total": total, "fps": round(fps),
                        "elapsed_s": round(elapsed), "eta_s": eta.map(round) })
            ),
            Self::Bar => {
                let of = total.map_or(String::new(), |t| format!("/{t}"));
                let eta = eta.map_or(String::new(), |s| format!("  {} left", clock(s)));
                let end = if last { "\n" } else { "" };
                let tool = session.tool();
                write!(
                    stderr,
                    "\r{tool}: {frames}{of} frames  {fps:.1} fps  {}{eta}\x1b[K{end}",
                    clock(elapsed)
                )
            }
            Self::Auto | Self::None => Ok(()),
        };
    }
}

/// The thread that draws progress.
pub(crate) struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    /// Draws until it is stopped.
    pub(crate) fn start(progress: Progress, session: Arc<Session>, started: Instant) -> Self {
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

    /// Draws the final state.
    pub(crate) fn stop(self) {
        *locked(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

/// Three decimals are more than a clock on a shared machine can say.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn clock(seconds: f64) -> String {
    let s = seconds as u64;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
