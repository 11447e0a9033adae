//! The few changes to the disk that the job's truth hangs on, each with the `fsync` that makes it last.
//!
//! Everything else on the disk (a child's unfinished file, a log) may vanish at any moment without harm.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Makes what is in `path` outlast a power cut.
pub(crate) fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the names in the folder of `path` outlast a power cut.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Makes the name `path` itself outlast a power cut.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder_of(path)
}

/// A folder that stays, if it is not there yet.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        other => other?,
    }
    sync_folder_of(path)
}

/// `from` becomes `to`, for good.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// `path` is gone, for good. That it was gone before is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    sync_folder_of(path)
}

/// Adds `bytes` to the end of `file` and waits until they last.
pub(crate) fn append(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_data()
}

/// Cuts `file` to `len` bytes.
pub(crate) fn truncate(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    file.sync_all()
}
