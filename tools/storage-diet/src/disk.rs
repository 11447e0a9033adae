//! What a job's folder holds while it is worked in, looked at ten times a second.

use cli::{Error, Result, reason};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const PERIOD: Duration = Duration::from_millis(100);

/// Bytes of a job's files by kind. What is in `reports` does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Of the pre-mezzanine.
    pub pre: u64,
    /// Of the upscaled mezzanine, whole or in segments.
    pub mezz: u64,
    /// Of all else.
    pub film: u64,
}

impl Bytes {
    /// All of them.
    pub fn sum(self) -> u64 {
        self.pre + self.mezz + self.film
    }

    /// What is in a folder now. No link is followed, and what vanishes meanwhile is not there.
    pub fn of(folder: &Path) -> Self {
        let mut bytes = Self::default();
        bytes.add(folder, Path::new(""));
        bytes
    }

    fn add(&mut self, root: &Path, below: &Path) {
        for entry in fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
            let path = below.join(entry.file_name());
            match entry.metadata() {
                Ok(meta) if meta.is_dir() && path != Path::new("reports") => self.add(root, &path),
                Ok(meta) if meta.is_file() => *self.kind(&path) += meta.len(),
                _ => {}
            }
        }
    }

    fn kind(&mut self, path: &Path) -> &mut u64 {
        // What is not finished yet is what it will be.
        let path = path.strip_prefix("work").unwrap_or(path);
        let begins = |head: &str| path.to_string_lossy().starts_with(head);
        if begins("pre.") {
            &mut self.pre
        } else if begins("mezz.") || begins("segments/mezz") {
            &mut self.mezz
        } else {
            &mut self.film
        }
    }
}

/// What was in a folder at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Seconds since 1970.
    pub at: f64,
    /// What was there.
    pub bytes: Bytes,
}

/// Reads what a [`Disk`] has written. Lines that are no moments are passed over: the last one may be torn.
pub fn moments(text: &str) -> impl Iterator<Item = Moment> {
    text.lines().filter_map(|line| {
        let [at, pre, mezz, film] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let bytes = Bytes { pre: pre.parse().ok()?, mezz: mezz.parse().ok()?, film: film.parse().ok()? };
        Some(Moment { at: at.parse().ok().filter(|at: &f64| at.is_finite())?, bytes })
    })
}

/// Watches a folder until it is dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    now: AtomicU64,
    most: Mutex<Most>,
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Most {
    peak: Bytes,
    sum: u64,
    last: Bytes,
    moments: File,
}

impl Most {
    fn count(&mut self, bytes: Bytes) {
        let Bytes { pre, mezz, film } = self.peak;
        self.peak = Bytes { pre: pre.max(bytes.pre), mezz: mezz.max(bytes.mezz), film: film.max(bytes.film) };
        self.sum = self.sum.max(bytes.sum());
    }
}

impl Disk {
    /// Watches `folder`, and writes to `moments`, a line whenever something has changed: seconds since 1970, and bytes of
    /// the pre-mezzanine, of the mezzanine, and of all else.
    ///
    /// Errors: `moments` cannot be written.
    pub fn watch(folder: &Path, moments: &Path) -> Result<Arc<Self>> {
        let failed = |e: &io::Error| Error::failed(moments.display(), reason(e));
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(moments);
        let mut moments = file.map_err(|e| failed(&e))?;
        let mut before = Vec::new();
        moments.read_to_end(&mut before).map_err(|e| failed(&e))?;
        let mut most = Most { peak: Bytes::default(), sum: 0, last: Bytes::default(), moments };
        // Earlier runs of the job have had their peaks, too.
        for moment in self::moments(&String::from_utf8_lossy(&before)) {
            most.count(moment.bytes);
        }
        let disk = Arc::new(Self {
            folder: folder.to_owned(),
            now: AtomicU64::new(0),
            most: Mutex::new(most),
            over: Arc::default(),
            thread: Mutex::default(),
        });
        disk.look();
        let (weak, over) = (Arc::downgrade(&disk), Arc::clone(&disk.over));
        let watcher = thread::spawn(move || {
            let mut done = over.0.lock().unwrap_or_else(PoisonError::into_inner);
            while !*done {
                done = over.1.wait_timeout(done, PERIOD).unwrap_or_else(PoisonError::into_inner).0;
                match weak.upgrade() {
                    Some(disk) if !*done => disk.look(),
                    _ => return,
                }
            }
        });
        *disk.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
        Ok(disk)
    }

    /// Looks now: what is there together for a moment only, the watcher might miss.
    pub fn look(&self) {
        let bytes = Bytes::of(&self.folder);
        self.now.store(bytes.sum(), SeqCst);
        let mut guard = self.most.lock().unwrap_or_else(PoisonError::into_inner);
        let most = &mut *guard;
        most.count(bytes);
        if most.last != bytes {
            most.last = bytes;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            // A full disk is for those to tell whose files matter.
            let _: io::Result<()> =
                writeln!(most.moments, "{now:.6} {} {} {}", bytes.pre, bytes.mezz, bytes.film);
        }
    }

    /// Bytes at the last look.
    pub fn now(&self) -> u64 {
        self.now.load(SeqCst)
    }

    /// The most that was there at one time.
    pub fn peak(&self) -> u64 {
        self.most.lock().unwrap_or_else(PoisonError::into_inner).sum
    }

    /// The most that was there of each kind.
    pub fn peaks(&self) -> Bytes {
        self.most.lock().unwrap_or_else(PoisonError::into_inner).peak
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
        let watcher = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The watcher itself may be the one that drops the last handle.
        if let Some(watcher) = watcher.filter(|w| w.thread().id() != thread::current().id()) {
            let _ = watcher.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_kind_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, bytes) in [
            ("pre.mov", 1),
            ("work/mezz.mov", 10),
            ("segments/mezz/0.mkv", 100),
            ("segments/final/0.mkv", 1000),
            ("film.mkv", 10_000),
            ("reports/events", 100_000),
        ] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), vec![0; bytes]).unwrap();
        }
        std::os::unix::fs::symlink("/usr", path("usr")).unwrap();
        let bytes = Bytes::of(folder.path());
        assert_eq!(bytes, Bytes { pre: 1, mezz: 110, film: 11_000 });
        let disk = Disk::watch(folder.path(), &path("reports/disk")).unwrap();
        fs::remove_file(path("film.mkv")).unwrap();
        disk.look();
        assert_eq!((disk.now(), disk.peak()), (1111, 11_111));
        drop(disk);
        let lines = fs::read_to_string(path("reports/disk")).unwrap();
        let ends: Vec<_> = lines.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(ends, ["1 110 11000", "1 110 1000"]);
    }

    #[test]
    fn a_torn_line_is_no_moment() {
        let read: Vec<_> = moments("12.5 1 2 3\nx\n13.5 4 5").collect();
        assert_eq!(read, [Moment { at: 12.5, bytes: Bytes { pre: 1, mezz: 2, film: 3 } }]);
    }
}
