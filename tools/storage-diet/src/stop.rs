//! The wish that all of this ends: SIGINT, SIGTERM and SIGHUP, and the death of the make that asked for it.

use cli::{Error, Result, ending_signals, reason};
use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::{Pid, getppid},
};
use signal_hook::low_level::emulate_default_handler;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What is at work, and what is to be removed, when the wish comes.
#[derive(Debug, Default)]
struct State {
    signal: Option<i32>,
    /// The stages of a pass. While there are some, they end, and then this program does as it has been told.
    stages: Vec<Pid>,
    /// Unfinished work that nobody goes on with.
    scratch: Option<PathBuf>,
    /// How to go on, for the last message.
    hint: String,
}

/// Shared by everything that may have to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Mutex<State>>);

impl Stop {
    /// Takes over the signals that ask for an end.
    ///
    /// Errors: the system does not let it.
    pub fn on_signals(tool: &'static str) -> Result<Self> {
        let stop = Self::default();
        stop.state().hint = "stopped".into();
        let mut signals = ending_signals().map_err(|e| Error::failed("signals", reason(&e)))?;
        let shared = stop.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                shared.rise(signal, tool);
            }
        });
        Ok(stop)
    }

    fn rise(&self, signal: i32, tool: &str) {
        let mut state = self.state();
        state.signal = Some(signal);
        if state.stages.is_empty() {
            let _settled = durable::settled();
            // What runs now are programs whose work counts only when they have ended; the kernel ends them with us.
            if let Some(scratch) = &state.scratch {
                // Twice, since they may make a file in it meanwhile.
                let _ = std::fs::remove_dir_all(scratch).or_else(|_| std::fs::remove_dir_all(scratch));
            }
            eprintln!("{tool}: {}", Error::stopped(signal, &state.hint));
            let _ = emulate_default_handler(signal);
        }
        for stage in &state.stages {
            // One that has ended is not waited for yet: its number is no other's.
            let _ = kill(*stage, Signal::SIGTERM);
        }
    }

    /// The signal that came.
    pub fn signal(&self) -> Option<i32> {
        self.state().signal
    }

    /// Why the work ends early, where a signal wants it to.
    pub fn error(&self) -> Option<Error> {
        let state = self.state();
        state.signal.map(|signal| Error::stopped(signal, &state.hint))
    }

    /// What is to be removed where nothing is left to be gone on with, and what to say.
    pub fn remember(&self, scratch: PathBuf, hint: String) {
        let mut state = self.state();
        (state.scratch, state.hint) = (Some(scratch), hint);
    }

    /// Stages that are told to end by a signal. Until they are [forgotten](Self::forget) none may be waited for by anybody
    /// but the thread that forgets it.
    pub(crate) fn add(&self, stage: Pid) {
        let mut state = self.state();
        state.stages.push(stage);
        // The signal may have come before.
        if state.signal.is_some() {
            let _ = kill(stage, Signal::SIGTERM);
        }
    }

    /// Forgets a stage, and calls `wait`, which takes its number away.
    pub(crate) fn forget<T>(&self, stage: Pid, wait: impl FnOnce() -> T) -> T {
        let mut state = self.state();
        state.stages.retain(|other| *other != stage);
        wait()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has this process end as if by SIGTERM when the make that started it is gone, however that ended: make, killed, leaves
/// nothing at work. A process that a person started from a shell is not asked.
pub fn end_with_make() {
    let parent = getppid();
    if std::env::var_os("MAKELEVEL").is_some()
        && prctl::set_pdeathsig(Signal::SIGTERM).is_ok()
        && getppid() != parent
    {
        // It had gone before the wish was known.
        let _ = nix::sys::signal::raise(Signal::SIGTERM);
    }
}
