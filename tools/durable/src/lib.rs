//! The one way in which anything of a job is written to the disk: each change with the `fsync` that makes it last.
//!
//! A file that counts is written under a temporary name, synced, renamed, and its folder synced; only then may go what it
//! replaces. Everything else (a command's unfinished file, a log) may vanish at any moment without harm.
//!
//! In builds with debug assertions each change is also a place where a test can have the process killed or the change
//! recorded: `DURABLE_KILL_AT=N` kills the process at its N-th change, `DURABLE_TRACE=DIR` records each.

use nix::fcntl::OFlag;
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use trace::trace;

/// Held by whoever is between two names: what is half written has a temporary one.
static HALFWAY: RwLock<()> = RwLock::new(());

fn halfway() -> RwLockReadGuard<'static, ()> {
    HALFWAY.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no file is half written, and lets none be begun for as long as what it returns is held: for a process that is
/// about to end by a signal and is to leave no temporary file behind.
pub fn settled() -> RwLockWriteGuard<'static, ()> {
    HALFWAY.write().unwrap_or_else(PoisonError::into_inner)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes what is in `path` outlast a power cut. A link is refused (`ELOOP`): what it points to is not a job's.
pub fn sync_file(path: &Path) -> io::Result<()> {
    File::options().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?.sync_all()?;
    trace("sync_file", path, None);
    Ok(())
}

/// Makes the name `path` itself outlast a power cut.
pub fn sync_name(path: &Path) -> io::Result<()> {
    let folder = folder_of(path);
    File::open(folder)?.sync_all()?;
    trace("sync_folder", folder, None);
    Ok(())
}

/// A folder that stays, if it is not there yet.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let _halfway = halfway();
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        other => other?,
    }
    trace("create_folder", path, None);
    sync_name(path)
}

/// `from` becomes `to`, for good.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    trace("rename", from, Some(to));
    sync_name(to)
}

/// What is in `part` is all there and becomes `path`, for good.
pub fn finish(part: &Path, path: &Path) -> io::Result<()> {
    sync_file(part)?;
    rename(part, path)
}

/// An empty file for what may be lost. What had the name is gone; if that was a link, what it points to is untouched.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => File::create_new(path),
    }
}

/// `path` holds `bytes`, all of them or what it held before. `part` beside it is used on the way; where something of that
/// name is left over it is replaced, not followed.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _halfway = halfway();
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let written = create(part).and_then(|mut file| file.write_all(bytes));
    trace("write", part, None);
    let finished = written.and_then(|()| finish(part, path));
    if finished.is_err() {
        // On a full disk, say: half of it is of no use to anybody.
        let _ = fs::remove_file(part);
    }
    finished
}

/// `path` is gone, for good. That it was gone before is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    trace("remove", path, None);
    sync_name(path)
}

/// Opens `path` for adding to it; it is made where it is missing, and then its name lasts. A link is refused (`ELOOP`).
pub fn open(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    trace("write", path, None);
    sync_name(path)?;
    Ok(file)
}

/// Adds `bytes` to the end of `path`, which is open as `file`, and waits until they last.
pub fn append(path: &Path, file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    trace("write", path, None);
    file.sync_data()?;
    trace("sync_file", path, None);
    Ok(())
}

/// Cuts `path`, which is open as `file`, to `len` bytes.
pub fn truncate(path: &Path, file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    trace("write", path, None);
    file.sync_all()?;
    trace("sync_file", path, None);
    Ok(())
}

/// Where tests take hold: `DURABLE_KILL_AT=N` kills the process at its N-th change to the disk;
/// `DURABLE_TRACE=DIR` records each change as a line of `DIR/ops`, with a copy of the file that it wrote or synced.
#[cfg(debug_assertions)]
mod trace {
    use nix::sys::signal::{Signal, raise};
    use std::{
        env, fs,
        io::Write,
        path::{Path, PathBuf},
        sync::{LazyLock, Mutex, PoisonError},
    };

    static DONE: Mutex<u64> = Mutex::new(0);
    static KILL_AT: LazyLock<Option<u64>> =
        LazyLock::new(|| env::var("DURABLE_KILL_AT").ok().and_then(|n| n.parse().ok()));
    static RECORD: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| env::var_os("DURABLE_TRACE").map(PathBuf::from));

    pub(super) fn trace(change: &str, path: &Path, to: Option<&Path>) {
        let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        *done += 1;
        if let Some(record) = &*RECORD {
            if change == "write" || change == "sync_file" {
                let _ = fs::copy(path, record.join(done.to_string()));
            }
            let line = serde_json::json!({ "number": *done, "change": change, "path": path, "to": to });
            let ops = fs::File::options().create(true).append(true).open(record.join("ops"));
            let _ = ops.and_then(|mut ops| writeln!(ops, "{line}"));
        }
        if *KILL_AT == Some(*done) {
            let _ = raise(Signal::SIGKILL);
        }
    }
}

#[cfg(not(debug_assertions))]
mod trace {
    #[inline]
    pub(super) fn trace(_: &str, _: &std::path::Path, _: Option<&std::path::Path>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn once_settled_nothing_is_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let (path, part) = (folder.path().join("file"), folder.path().join("file.part"));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    write(&path, b"whole").unwrap();
                    if over.load(Relaxed) {
                        break;
                    }
                }
            });
            for _ in 0..100 {
                let _settled = settled();
                assert!(!part.exists());
            }
            over.store(true, Relaxed);
        });
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }
}
