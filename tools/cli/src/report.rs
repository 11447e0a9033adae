//! The one JSON object at the end of a run, written whole or not at all.

use crate::{Error, Result, procfs, progress::round, session::Session};
use nix::{
    fcntl::{AT_FDCWD, AtFlags, OFlag},
    unistd::{AccessFlags, access, linkat},
};
use serde_json::{Map, Value, json};
use std::{
    fs::{File, Metadata},
    io::{self, ErrorKind, Write},
    iter::successors,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::Instant,
};
use tempfile::Builder;

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file that `path` is a link to, which need not be there; without links `path` itself.
fn followed(path: &Path) -> PathBuf {
    let next = |link: &PathBuf| Some(folder_of(link).join(link.read_link().ok()?));
    // The kernel follows as many.
    successors(Some(path.to_owned()), next).take(41).last().unwrap_or_default()
}

/// Where a report goes.
enum Place {
    /// A file: a new one takes its place.
    File(PathBuf),
    /// The file that standard error or output is on: it goes on there, as on a terminal.
    Descriptor(File),
    /// A device or a pipe: it takes the report as it comes.
    Device,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        match path.metadata() {
            Ok(there) if there.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() => Ok(Self::Device),
            Ok(there) => Ok(descriptor(&there).map_or_else(|| Self::File(followed(path)), Self::Descriptor)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::File(followed(path))),
            Err(e) => Err(e),
        }
    }
}

/// Standard error or output, where it is that file.
fn descriptor(there: &Metadata) -> Option<File> {
    let (stderr, stdout) = (io::stderr(), io::stdout());
    let open = [stderr.as_fd(), stdout.as_fd()].into_iter().filter_map(|fd| fd.try_clone_to_owned().ok());
    let identity = |file: &Metadata| (file.dev(), file.ino());
    open.map(File::from).find(|file| file.metadata().is_ok_and(|open| identity(&open) == identity(there)))
}

/// Can a report be written there? Asked before the first frame.
pub(crate) fn probe(path: &Path) -> Result<()> {
    let found = Place::of(path).and_then(|place| match place {
        Place::File(path) => Ok(access(folder_of(&path), AccessFlags::W_OK | AccessFlags::X_OK)?),
        Place::Descriptor(_) => Ok(()),
        // To open a pipe and close it again would tell its reader that this was all.
        Place::Device => Ok(access(path, AccessFlags::W_OK)?),
    });
    found.map_err(|e| Error::cannot("write the report", path.display(), &e))
}

fn put(path: &Path, report: &[u8]) -> io::Result<()> {
    match Place::of(path)? {
        Place::File(path) => replace(&path, report),
        Place::Descriptor(mut file) => file.write_all(report),
        Place::Device => File::options().write(true).open(path)?.write_all(report),
    }
}

/// The file `path` is `report`, for good, or what it was before.
fn replace(path: &Path, report: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let filled = |file: &mut File| file.write_all(report).and_then(|()| file.sync_all());
    // A file without a name vanishes with this process, whatever ends it; so it gets one when it is whole. Not every file
    // system has such files. The umask says who may read it, as with any file.
    let nameless = File::options().write(true).custom_flags(OFlag::O_TMPFILE.bits()).open(folder);
    let part = if let Ok(mut file) = nameless {
        filled(&mut file)?;
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let named = |name: &Path| linkat(AT_FDCWD, &*link, AT_FDCWD, name, AtFlags::AT_SYMLINK_FOLLOW);
        if named(path).is_ok() {
            return durable::sync_name(path);
        }
        Builder::new().make_in(folder, |name| Ok(named(name)?))?.into_temp_path()
    } else {
        let mut file = Builder::new().make_in(folder, |name| File::create_new(name))?;
        filled(file.as_file_mut())?;
        file.into_temp_path()
    };
    durable::rename(&part, path)?;
    // That name is gone.
    let _ = part.keep();
    Ok(())
}

/// Largest resident size of this process so far in bytes, from the kernel's high-water mark; 0 where there is none.
///
/// `getrusage` would not do: its maximum survives `exec` and so may be the parent's.
fn peak_rss_bytes() -> u64 {
    procfs::status("VmHWM")
        .and_then(|l| l.strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}

/// Writes the report of a run that ended with `status`.
pub(crate) fn write(path: &Path, session: &Session, started: Instant, ending: Ending<'_>) -> Result<()> {
    let wall = started.elapsed().as_secs_f64();
    let count = session.counts();
    let mut report = json!({
        "tool": session.tool(),
        "version": env!("CARGO_PKG_VERSION"),
        "status": ending.status,
        "exit_code": ending.exit_code,
        "error": ending.error,
        "frames_in": count.frames_in,
        "frames_out": count.frames_out,
        "bytes_in": count.bytes_in,
        "bytes_out": count.bytes_out,
        "wall_s": round(wall),
        "fps": round(count.frames_out as f64 / wall.max(1e-9)),
        "peak_rss_bytes": peak_rss_bytes(),
        "settings": session.settings_value(),
    });
    if let (Some(all), Value::Object(more)) = (report.as_object_mut(), session.facts_value()) {
        all.extend::<Map<_, _>>(more);
    }
    put(path, format!("{report}\n").as_bytes())
        .map_err(|e| Error::cannot("write the report", path.display(), &e))
}

/// How the run ended, in the report's words.
pub(crate) struct Ending<'a> {
    pub(crate) status: &'a str,
    pub(crate) exit_code: u8,
    pub(crate) error: Option<String>,
}
