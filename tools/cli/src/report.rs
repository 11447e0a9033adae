//! The one JSON object at the end of a run, written whole or not at all.

use crate::{Error, Result, procfs, progress::round, reason, session::Session};
use nix::unistd::{AccessFlags, access};
use serde_json::{Map, Value, json};
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    iter::successors,
    path::{Path, PathBuf},
    time::Instant,
};
use tempfile::{Builder, NamedTempFile};

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file that `path` is a link to, which need not be there; without links `path` itself.
fn followed(path: &Path) -> PathBuf {
    let next = |link: &PathBuf| Some(folder_of(link).join(link.read_link().ok()?));
    // The procfs follows as many.
    successors(Some(path.to_owned()), next).take(41).last().unwrap_or_default()
}

/// A new file, and the one whose place it is to take; both in one folder, so that a rename can do it. `None` where a
/// device or a pipe is: it takes the report as it comes.
fn replacement(path: &Path) -> io::Result<Option<(NamedTempFile<File>, PathBuf)>> {
    match path.metadata() {
        Ok(there) if there.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => return Ok(None),
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let path = followed(path);
    // Made as any file is: the umask says who may read it, and an error is the system's alone.
    let file = Builder::new().make_in(folder_of(&path), |name| File::create_new(name))?;
    Ok(Some((file, path)))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::failed(path.display(), format!("cannot write the report: {}", reason(error)))
}

/// Can a report be written there? Asked before the first frame.
pub(crate) fn probe(path: &Path) -> Result<()> {
    let found = replacement(path).and_then(|file| match file {
        Some(_) => Ok(()),
        // To open a pipe and close it again would tell its reader that this was all.
        None => Ok(access(path, AccessFlags::W_OK)?),
    });
    found.map_err(|e| failed(path, &e))
}

fn put(path: &Path, report: &[u8]) -> io::Result<()> {
    let Some((mut file, path)) = replacement(path)? else {
        return File::options().write(true).open(path)?.write_all(report);
    };
    file.as_file_mut().write_all(report)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Largest resident size of this process so far in bytes, from the procfs's high-water mark; 0 where there is none.
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
    put(path, format!("{report}\n").as_bytes()).map_err(|e| failed(path, &e))
}

/// How the run ended, in the report's words.
pub(crate) struct Ending<'a> {
    pub(crate) status: &'a str,
    pub(crate) exit_code: u8,
    pub(crate) error: Option<String>,
}
