//! The one JSON object at the end of a run, written whole or not at all.

use crate::{Error, Result, progress::round, reason, session::Session};
use serde_json::{Map, Value, json};
use std::{io::Write, path::Path, time::Instant};
use tempfile::NamedTempFile;

/// A new file beside `path`, so that the rename stays within one file system.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    NamedTempFile::new_in(folder)
        .map_err(|e| Error::failed(path.display(), format!("cannot write the report: {}", reason(&e))))
}

/// Can a report be written there? Asked before the first frame.
pub(crate) fn probe(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::failed(path.display(), "cannot write the report: is a directory"));
    }
    beside(path).map(drop)
}

/// Largest resident size of this process so far in bytes, from the kernel's high-water mark; 0 where there is none.
///
/// `getrusage` would not do: its maximum survives `exec` and so may be the parent's.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).map_or(0, |kib| kib << 10)
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
    let mut file = beside(path)?;
    let failed =
        |e: &std::io::Error| Error::failed(path.display(), format!("cannot write the report: {}", reason(e)));
    writeln!(file, "{report}").and_then(|()| file.as_file().sync_all()).map_err(|e| failed(&e))?;
    file.persist(path).map_err(|e| failed(&e.error))?;
    Ok(())
}

/// How the run ended, in the report's words.
pub(crate) struct Ending<'a> {
    pub(crate) status: &'a str,
    pub(crate) exit_code: u8,
    pub(crate) error: Option<String>,
}
