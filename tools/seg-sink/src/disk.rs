//! How much the job's folder holds, and that it never holds more than it may.
//!
//! Whoever is about to write asks for a [`Grant`] first. What is on the disk and what is granted never add up to more
//! than `--max-disk`, and a command cannot write past its grant: the kernel refuses (`RLIMIT_FSIZE`), also to the
//! command's own children. So the limit holds however late anyone looks.

use crate::{folder::Folder, state::OVERHEAD};
use cli::locked;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What a command may say into its log, part of its grant.
pub(crate) const LOG_BYTES: u64 = 16 << 10;
/// The journal and the folders may grow by this between two looks.
const SLACK: u64 = 32 << 10;
/// Space is given out in the unit in which it is taken.
const BLOCK: u64 = 4096;

/// A muxer may hold back this much (ffmpeg's Matroska collects clusters of 5 MB) and write it at once.
const HELD_BACK: u64 = 8 << 20;

/// Bytes that a command can have written at most when it was fed `frames` frames of `frame_bytes` bytes and all of it is out,
/// where its file has `now` bytes.
pub(crate) fn most_written(frame_bytes: u64, frames: u64, now: u64) -> u64 {
    let fed = frames.saturating_mul(frame_bytes);
    // No encoder for pictures makes them larger, but for a little around them.
    let all = fed.saturating_add(fed / 16).saturating_add(OVERHEAD);
    all.min(now.saturating_add(HELD_BACK).saturating_add(frame_bytes.saturating_mul(2)))
}

/// Bytes of `--max-disk` below which no segment of `frames` frames of `frame_bytes` bytes can be made, with a mezzanine or
/// without: what is granted for it before its last frame is taken, and what is kept for the segment made of a mezzanine. More
/// than that may be needed, and less never is.
pub fn least_disk(frame_bytes: u64, frames: u64, has_mezzanine: bool) -> u64 {
    let granted = |frames| whole_blocks(most_written(frame_bytes, frames, 0));
    SLACK + granted(frames) + if has_mezzanine { granted(1) } else { 0 }
}

/// The folder's size: its bound, its grants, its peak.
pub(crate) struct Disk {
    folder: Folder,
    limit: Option<u64>,
    peak: AtomicU64,
    grants: Mutex<BTreeMap<PathBuf, u64>>,
    released: Condvar,
}

/// The right to let one file grow to a size.
pub(crate) struct Grant<'a> {
    disk: &'a Disk,
    path: PathBuf,
}

/// What a grant for a file of `bytes` bytes takes: the file and its command's log, in whole blocks.
pub(crate) fn whole_blocks(bytes: u64) -> u64 {
    bytes.saturating_add(LOG_BYTES).div_ceil(BLOCK).saturating_mul(BLOCK)
}

impl Disk {
    pub(crate) fn new(folder: Folder, limit: Option<u64>, peak: u64) -> Self {
        let (grants, released) = (Mutex::default(), Condvar::new());
        Self { folder, limit, peak: AtomicU64::new(peak), grants, released }
    }

    /// Bytes in the folder now.
    pub(crate) fn look(&self) -> u64 {
        let bytes = self.folder.bytes(|_| false);
        self.peak.fetch_max(bytes, Relaxed);
        bytes
    }

    /// The most it held so far.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    fn grants(&self) -> MutexGuard<'_, BTreeMap<PathBuf, u64>> {
        locked(&self.grants)
    }

    /// Bytes that nobody has and nobody was promised.
    fn left(&self, grants: &BTreeMap<PathBuf, u64>) -> u64 {
        let Some(limit) = self.limit else { return u64::MAX };
        let kept = self.folder.bytes(|path| grants.contains_key(path));
        limit.saturating_sub(SLACK + kept + grants.values().sum::<u64>())
    }

    /// Bytes that could be granted now.
    pub(crate) fn room(&self) -> u64 {
        self.left(&self.grants())
    }

    /// A grant for `path` of at least `least` bytes and up to `most`, where that is more, leaving `reserve` to others;
    /// `None` when there is no room for it now.
    pub(crate) fn claim(&self, path: &Path, least: u64, most: u64, reserve: u64) -> Option<Grant<'_>> {
        let mut grants = self.grants();
        let room = self.left(&grants).saturating_sub(reserve);
        let bytes = whole_blocks(most.max(least)).min(room / BLOCK * BLOCK);
        if self.limit.is_some() && bytes < whole_blocks(least) {
            return None;
        }
        if self.limit.is_some() {
            grants.insert(path.to_owned(), bytes);
        }
        Some(Grant { disk: self, path: path.to_owned() })
    }

    /// True when a grant other than for `path` is out: its end may make room.
    pub(crate) fn is_shared(&self, path: &Path) -> bool {
        self.grants().keys().any(|p| p != path)
    }

    /// Waits until a grant comes back, or a moment.
    pub(crate) fn wait(&self) {
        let _ = self.released.wait_timeout(self.grants(), Duration::from_millis(50));
    }

    /// Space was freed.
    pub(crate) fn freed(&self) {
        self.released.notify_all();
    }

    /// What is taken and promised, for messages.
    pub(crate) fn taken(&self) -> String {
        let grants = self.grants();
        let (now, limit) = (self.folder.bytes(|_| false), self.limit.unwrap_or(u64::MAX));
        format!("{now} of {limit} bytes are taken and {} are left", self.left(&grants))
    }
}

impl Grant<'_> {
    /// How large the file may become; `None`: as large as it likes.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.disk.grants().get(&self.path).map(|bytes| bytes - LOG_BYTES)
    }

    /// Raises it to at least `least` and up to `most` bytes, leaving `reserve` to others. False when there is no room.
    pub(crate) fn grow(&mut self, least: u64, most: u64, reserve: u64) -> bool {
        let mut grants = self.disk.grants();
        let Some(&has) = grants.get(&self.path) else { return true };
        let room = has.saturating_add(self.disk.left(&grants).saturating_sub(reserve));
        let bytes = whole_blocks(most.max(least)).min(room / BLOCK * BLOCK);
        if bytes < whole_blocks(least) {
            return false;
        }
        grants.insert(self.path.clone(), bytes.max(has));
        true
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        self.disk.grants().remove(&self.path);
        self.disk.freed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_never_exceed_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let limit = 1 << 20;
        let disk = Disk::new(folder.clone(), Some(limit), 0);
        let base = disk.look();
        let room = limit - base - SLACK;
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let mut first = disk.claim(&a, 1, 400_000, 100_000).unwrap();
        assert_eq!(first.bytes(), Some(whole_blocks(400_000) - LOG_BYTES));
        assert!(disk.claim(&b, room, room, 0).is_none());
        let rest = disk.claim(&b, 1, u64::MAX, 0).unwrap();
        assert!(first.bytes().unwrap() + rest.bytes().unwrap() + 2 * LOG_BYTES <= room);
        assert!(!first.grow(420_000, 420_000, 0));
        drop(rest);
        assert!(first.grow(420_000, 420_000, 0));
        // What was written counts once: as the grant while that is out, as the file later.
        std::fs::write(&a, vec![0; 300_000]).unwrap();
        let granted = disk.room();
        drop(first);
        assert!(disk.room() > granted);
    }

    /// A guess may be too low; what is needed at least decides whether there is room.
    #[test]
    fn a_low_guess_refuses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(Folder::create(dir.path()).unwrap(), Some(1 << 20), 0);
        let mut grant = disk.claim(&dir.path().join("a"), 100_000, 7, 0).unwrap();
        assert_eq!(grant.bytes(), Some(whole_blocks(100_000) - LOG_BYTES));
        assert!(grant.grow(200_000, 7, 0));
        assert_eq!(grant.bytes(), Some(whole_blocks(200_000) - LOG_BYTES));
    }

    #[test]
    fn without_a_limit_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(Folder::create(dir.path()).unwrap(), None, 0);
        let mut grant = disk.claim(&dir.path().join("a"), u64::MAX, u64::MAX, u64::MAX).unwrap();
        assert_eq!(grant.bytes(), None);
        assert!(grant.grow(u64::MAX, u64::MAX, u64::MAX));
    }
}
