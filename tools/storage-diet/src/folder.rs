//! A job's folder, OUT/OPTION: what lies in it, and that only one is at work in it.

use crate::film;
use cli::{Error, Result, reason};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::error::Category;
use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// What a killed run started is given a moment to end with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A job's folder, with the right to work in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    // Held until this is dropped, or the process ends.
    _lock: File,
}

/// Unfinished work, which nobody goes on with.
pub const WORK: &str = "work";
/// Which field of each frame comes first, for deint-crop.
pub const FIELD_ORDERS: &str = "work/field-orders";
/// What the stages have to say of themselves.
pub const REPORTS: &str = "reports";
/// seg-sink's.
pub const SEGMENTS: &str = "segments";

impl Folder {
    /// Is there a job's folder? Errors: there is something else of that name, which is nobody's to be deleted.
    pub fn is_there(path: &Path) -> Result<bool> {
        let failed = |why: &str| Err(Error::failed(path.display(), why));
        match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => failed(&reason(&e)),
            Ok(meta) if meta.is_symlink() => failed("is a link; a job works in a folder of its own"),
            Ok(meta) if !meta.is_dir() => failed("is not a folder"),
            Ok(_) if path.join(RECORD).is_file() => Ok(true),
            Ok(_) => {
                let made_first = [WORK, REPORTS, "job.json.part"];
                let mut entries =
                    fs::read_dir(path).map_err(|e| Error::failed(path.display(), reason(&e)))?;
                let foreign = entries.any(|entry| {
                    entry.is_ok_and(|entry| !made_first.iter().any(|ours| entry.file_name() == *ours))
                });
                if foreign {
                    failed(&format!("is not a job's folder: there is no {RECORD} in it; say another OUT"))
                } else {
                    Ok(false)
                }
            }
        }
    }

    /// Enters the folder, which is made where it is missing, and waits a moment for another to leave it.
    ///
    /// Errors: another is at work in it; a link is in it.
    pub fn enter(path: &Path) -> Result<Self> {
        let path = film::folder(path)?;
        let failed = |e: &io::Error| Error::failed(path.display(), reason(e));
        let lock = File::open(&path).map_err(|e| failed(&e))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    thread::sleep(Duration::from_millis(50))
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::failed(path.display(), "another run is at work here"));
                }
                Err(TryLockError::Error(e)) => return Err(failed(&e)),
            }
        }
        let folder = Self { path, _lock: lock };
        folder.has_no_links()?;
        Ok(folder)
    }

    /// What is written here must stay here, whoever has made the folder.
    fn has_no_links(&self) -> Result<()> {
        for below in ["", REPORTS, SEGMENTS, "segments/mezz", "segments/final", "segments/log"] {
            for entry in fs::read_dir(self.path.join(below)).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    return Err(Error::failed(
                        entry.path().display(),
                        "is a link; nothing is written through links",
                    ));
                }
            }
        }
        Ok(())
    }

    fn make(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        durable::create_folder(&path).map_err(|e| Error::failed(path.display(), reason(&e)))
    }

    /// Removes the unfinished work of an earlier run, and makes room for that of this one.
    pub fn begin(&self) -> Result<()> {
        self.remove(WORK)?;
        self.make(WORK)?;
        self.make(REPORTS)
    }

    /// Removes unfinished work.
    pub fn end(&self) {
        // What is left there is of no use to anybody; a job that failed has said why.
        let _ = fs::remove_dir_all(self.path(WORK));
    }

    /// Removes what the job has made under that name.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        let removed = match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path).and_then(|()| durable::sync_name(&path)),
            Ok(_) => durable::remove(&path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        };
        removed.map_err(|e| Error::failed(path.display(), reason(&e)))
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// The file of that name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Is there something of that name?
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Where `name` is written before it is whole, as the programs in the folder call it.
    pub fn unfinished(name: &str) -> String {
        format!("{WORK}/{name}")
    }

    /// What was written for `name` is whole, and has its name from now on.
    pub fn finish(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        durable::finish(&self.path(&Self::unfinished(name)), &path)
            .map_err(|e| Error::failed(path.display(), reason(&e)))
    }

    /// Writes `name` as JSON, whole or not at all.
    pub fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text =
            serde_json::to_string_pretty(value).map_err(|e| Error::failed(self.path(name).display(), e))?;
        self.write_text(name, &(text + "\n"))
    }

    /// Writes `name` as text, whole or not at all.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        durable::write(&path, text.as_bytes()).map_err(|e| Error::failed(path.display(), reason(&e)))
    }

    /// Opens `name` for adding to it.
    pub fn append(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        let file = File::options().append(true).create(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path);
        file.map_err(|e| Error::failed(path.display(), reason(&e)))
    }
}

/// Reads a JSON file of a job's folder, which anybody may have written.
///
/// Errors: it cannot be read, or is not what it should be.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(|e| Error::failed(path.display(), reason(&e)))?;
    serde_json::from_slice(&text).map_err(|e| {
        let what = match e.classify() {
            _ if text.is_empty() => "is empty".into(),
            Category::Eof => format!("breaks off in line {}", e.line()),
            Category::Syntax | Category::Io => {
                format!("is not JSON: line {}, column {}", e.line(), e.column())
            }
            Category::Data => {
                format!("is JSON, but not what a job writes: line {}, column {}", e.line(), e.column())
            }
        };
        Error::failed(path.display(), format!("{what}; {AFRESH}"))
    })
}

/// What to do with a job's folder that cannot be gone on with.
pub const AFRESH: &str = "remove the folder to start afresh";

/// The part of a job that outlives a run, as its folder has it in [`RECORD`].
pub const RECORD: &str = "job.json";

/// A file that is finished: a later run trusts it only as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// Its size.
    pub bytes: u64,
    /// Its pictures.
    pub frames: u64,
    /// Bytes of these alone, as they were encoded.
    pub video_bytes: u64,
}
