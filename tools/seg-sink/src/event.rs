//! What happens, as it happens: one JSON line each on standard output.

use crate::disk::Disk;
use cli::locked;
use cli::{Error, Result, Session};
use serde_json::{Map, Value};
use std::{
    fs::File,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The event stream. Every line has `event`, the `frames` and `bytes` that it is about, and where the job stands:
/// `frames_in` so far and this run's `bytes_in`, `disk_bytes` and their peak.
pub(crate) struct Events<'a> {
    out: Mutex<File>,
    disk: &'a Disk,
    session: &'a Session,
    /// Film frames that this run did not have to take in.
    before: AtomicU64,
}

impl<'a> Events<'a> {
    pub(crate) fn new(session: &'a Session, disk: &'a Disk) -> Result<Self> {
        let out = rawstream::stdout().map_err(|e| Error::stdout(&e))?;
        Ok(Self { out: Mutex::new(out), disk, session, before: AtomicU64::new(0) })
    }

    /// This run begins with film frame `first`.
    pub(crate) fn begin_at(&self, first: u64) {
        self.before.store(first, Relaxed);
    }

    /// Says that `event` happened; `more` is an object with what is to be known about it. Where that has no `frames`
    /// and `bytes` of its own, they are those taken in.
    pub(crate) fn say(&self, event: &str, more: Value) -> Result<()> {
        let (frames, bytes_in) = self.session.taken_in();
        let frames_in = self.before.load(Relaxed) + frames;
        let mut line = Map::new();
        line.insert("event".into(), event.into());
        if let Value::Object(more) = more {
            line.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let disk = self.disk.look();
        for (name, value) in [
            ("frames", frames_in),
            ("bytes", bytes_in),
            ("frames_in", frames_in),
            ("bytes_in", bytes_in),
            ("disk_bytes", disk),
            ("disk_peak_bytes", self.disk.peak()),
        ] {
            line.entry(name).or_insert(value.into());
        }
        let text = format!("{}\n", Value::Object(line));
        // One write for one line: readers see whole lines, whichever thread speaks.
        let mut out = locked(&self.out);
        out.write_all(text.as_bytes()).map_err(|e| Error::stdout(&e))
    }
}
