//! The job's folder: where each thing lies.
//!
//! ```text
//! DIR/journal.jsonl             what has been proved
//! DIR/lock                      held by the process at work
//! DIR/mezz/000015000.mkv        a chunk, named by the film frame it begins with
//! DIR/final/000015000.part.mkv  one that is not proved yet
//! DIR/log/final-000015000.log   what its command said
//! ```

use crate::journal::Stage;
use cli::{Error, Result};
use std::{
    fs::{self, File, Metadata, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where a job lives.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

const PARTS: [&str; 3] = ["mezz", "final", "log"];
const FILES: [&str; 3] = ["journal.jsonl", "lock", "segments.ffconcat"];

impl Folder {
    /// The folder, which must be there. It may be somebody else's: what it holds must lie in it, so that nothing outside
    /// is read or written for it.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        // Without the `/` at its end, which would be the folder that a link points to.
        is_own(&root.components().collect::<PathBuf>(), Metadata::is_dir)?;
        let root = fs::canonicalize(root).map_err(|e| Error::failed(root.display(), cli::reason(&e)))?;
        for part in PARTS {
            is_own(&root.join(part), Metadata::is_dir)?;
        }
        for file in FILES {
            is_own(&root.join(file), Metadata::is_file)?;
        }
        utf8(&root)?;
        Ok(Self { root })
    }

    /// The folder and those in it, made where they are missing.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        let failed = |e: io::Error| Error::failed(root.display(), cli::reason(&e));
        if !root.is_symlink() {
            fs::create_dir_all(root).map_err(failed)?;
        }
        let folder = Self::open(root)?;
        durable::sync_name(&folder.root).map_err(failed)?;
        for part in PARTS {
            durable::create_folder(&folder.root.join(part)).map_err(failed)?;
        }
        Ok(folder)
    }

    /// True when there is more in it than a run leaves that was refused before its first frame.
    pub(crate) fn is_used(root: &Path) -> bool {
        let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| match entry.file_name().to_str() {
            Some("lock") => false,
            Some(name) if PARTS.contains(&name) => !is_empty(&entry.path()),
            _ => true,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// The list of segments for joining.
    pub(crate) fn segment_list(&self) -> PathBuf {
        self.root.join("segments.ffconcat")
    }

    /// The one process at work holds this until it ends, however it ends.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let failed = |e: &io::Error| Error::failed(path.display(), cli::reason(e));
        let file =
            File::options().write(true).create(true).truncate(false).open(&path).map_err(|e| failed(&e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(Error::failed(self.root.display(), "another seg-sink is at work here"))
            }
            Err(TryLockError::Error(e)) => Err(failed(&e)),
        }
    }

    /// A proved chunk.
    pub(crate) fn chunk(&self, stage: Stage, first_frame: u64) -> PathBuf {
        self.root.join(format!("{}/{first_frame:09}.mkv", stage.name()))
    }

    /// The same, not proved yet.
    pub(crate) fn part(&self, stage: Stage, first_frame: u64) -> PathBuf {
        self.root.join(format!("{}/{first_frame:09}.part.mkv", stage.name()))
    }

    /// Removes the chunks that are not proved.
    pub(crate) fn remove_parts(&self) {
        for file in
            [Stage::Mezz, Stage::Final].into_iter().flat_map(|stage| self.files(stage).unwrap_or_default())
        {
            if file.to_string_lossy().ends_with(".part.mkv") {
                // What stays is removed by the run that goes on.
                let _ = fs::remove_file(file);
            }
        }
    }

    pub(crate) fn log(&self, stage: Stage, first_frame: u64) -> PathBuf {
        self.root.join(format!("log/{}-{first_frame:09}.log", stage.name()))
    }

    /// Bytes of everything in it but what `skip` names: whole blocks, as `du` counts.
    pub(crate) fn bytes(&self, skip: impl Fn(&Path) -> bool) -> u64 {
        bytes_below(&self.root, &skip)
    }

    /// The files in a stage's folder.
    pub(crate) fn files(&self, stage: Stage) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(self.root.join(stage.name())) {
            Ok(entries) => entries.map(|e| Ok(e?.path())).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
}

/// Refuses what is there and is not of the kind that a job makes. What is missing is none of that.
fn is_own(path: &Path, is_right: impl Fn(&Metadata) -> bool) -> Result<()> {
    let refused = |why| Err(Error::failed(path.display(), why));
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() || meta.is_file() && meta.nlink() > 1 => {
            refused("is a link; a job's folder holds what is its own".into())
        }
        Ok(meta) if is_right(&meta) => Ok(()),
        Ok(_) => refused("is not what a job makes of that name".into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => refused(cli::reason(&e)),
    }
}

/// Refuses a path that the words of a command and lines of JSON cannot hold.
fn utf8(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(Error::failed(path.display(), "is a name that is not UTF-8; give it another")),
    }
}

/// Where an output is to be, independent of the folder we are in. Its folder must be there.
pub(crate) fn absolute(output: &Path) -> Result<PathBuf> {
    let failed = |e: io::Error| Error::failed(output.display(), cli::reason(&e));
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = output.file_name().ok_or_else(|| Error::usage(output.display(), "is not a file's name"))?;
    let output = folder.canonicalize().map_err(failed)?.join(name);
    utf8(&output)?;
    Ok(output)
}

/// Whether something has that name; where a link leads does not matter.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A file that vanishes meanwhile counts nothing.
fn bytes_below(path: &Path, skip: &impl Fn(&Path) -> bool) -> u64 {
    let Ok(meta) = path.symlink_metadata() else { return 0 };
    if skip(path) {
        return 0;
    }
    // Blocks are given out late by some file systems: what will be taken counts already.
    let own = meta.len().next_multiple_of(4096).max(meta.blocks() * 512);
    let within = if meta.is_dir() {
        fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|e| bytes_below(&e.path(), skip)).sum())
    } else {
        0
    };
    own + within
}

/// The same file by its path from the current folder, where it is below that. ffmpeg takes a list's path for a URL, which ends for
/// it at a `#` or a `?`: the fewer folders are in it the better.
pub(crate) fn from_here(path: &Path) -> PathBuf {
    let below = |here: PathBuf| path.strip_prefix(here).ok().map(Path::to_owned);
    std::env::current_dir().ok().and_then(below).unwrap_or_else(|| path.to_owned())
}

/// The temporary name beside a file: `film.part.mkv` for `film.mkv`, so that the ending still names the format.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(".part");
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}
