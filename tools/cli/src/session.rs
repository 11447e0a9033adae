//! One run of a tool: what it counts and what it says.

use crate::{error::shown, lock::locked};
use serde_json::{Map, Value};
use std::{
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

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

impl Session {
    /// A session without a process around it, for tests of a tool's library.
    pub fn new(tool: &'static str) -> Self {
        Self::with_voice(tool, true, false)
    }

    /// A session that is as loud as `--quiet` and `--verbose` have it.
    pub(crate) fn with_voice(tool: &'static str, quiet: bool, verbose: bool) -> Self {
        Self {
            tool,
            quiet,
            verbose,
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

    /// Says what failed, where the tool has more to do.
    pub fn complain(&self, error: &crate::Error) {
        say(self.tool, &error.to_string());
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
pub(crate) fn say(tool: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{tool}: {}", shown(text));
}
