//! Segments that wait to be finished.

use std::collections::{BTreeSet, VecDeque};

/// Segments waiting for a worker.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) waiting: VecDeque<u64>,
    /// All that were ever put in.
    pub(crate) seen: BTreeSet<u64>,
    pub(crate) closed: bool,
}

impl Queue {
    /// Nothing more will come.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}
