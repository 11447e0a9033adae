//! How much the job's folder holds, and how much it may.

use crate::folder::Folder;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The folder's size: looked at often, its peak remembered.
pub(crate) struct Disk {
    folder: Folder,
    limit: Option<u64>,
    peak: AtomicU64,
}

impl Disk {
    pub(crate) fn new(folder: Folder, limit: Option<u64>, peak: u64) -> Self {
        Self { folder, limit, peak: AtomicU64::new(peak) }
    }

    /// Bytes in the folder now.
    pub(crate) fn look(&self) -> u64 {
        let bytes = self.folder.bytes();
        self.peak.fetch_max(bytes, Relaxed);
        bytes
    }

    /// The most it held so far.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    /// True when it holds as much as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.look() >= limit)
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }
}
