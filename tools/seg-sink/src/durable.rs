//! The few changes to the disk that the job's truth hangs on, each with the `fsync` that makes it last.
//!
//! Everything else on the disk (a command's unfinished file, a log) may vanish at any moment without harm. In builds
//! with debug assertions each change is also a place where a test can have the process killed or the change recorded:
//! see [`trace`].

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};
use trace::trace;

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes what is in `path` outlast a power cut.
pub(crate) fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    trace("sync_file", path, None);
    Ok(())
}

/// Makes the name `path` itself outlast a power cut.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let folder = folder_of(path);
    File::open(folder)?.sync_all()?;
    trace("sync_folder", folder, None);
    Ok(())
}

/// A folder that stays, if it is not there yet.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        other => other?,
    }
    trace("create_folder", path, None);
    sync_name(path)
}

/// `from` becomes `to`, for good.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    trace("rename", from, Some(to));
    sync_name(to)
}

/// `path` is gone, for good. That it was gone before is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    trace("remove", path, None);
    sync_name(path)
}

/// Opens `path` for adding to it; it is made where it is missing, and then its name lasts.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).open(path)?;
    trace("write", path, None);
    sync_name(path)?;
    Ok(file)
}

/// Adds `bytes` to the end of `path`, which is open as `file`, and waits until they last.
pub(crate) fn append(path: &Path, file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    trace("write", path, None);
    file.sync_data()?;
    trace("sync_file", path, None);
    Ok(())
}

/// Cuts `path`, which is open as `file`, to `len` bytes.
pub(crate) fn truncate(path: &Path, file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    trace("write", path, None);
    file.sync_all()?;
    trace("sync_file", path, None);
    Ok(())
}

/// Where tests take hold: `SEG_SINK_KILL_AT=N` kills the process at its N-th change to the disk;
/// `SEG_SINK_TRACE=DIR` records each change as a line of `DIR/ops`, with a copy of the file that it wrote or synced.
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
        LazyLock::new(|| env::var("SEG_SINK_KILL_AT").ok().and_then(|n| n.parse().ok()));
    static RECORD: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| env::var_os("SEG_SINK_TRACE").map(PathBuf::from));

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
