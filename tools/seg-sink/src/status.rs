//! `--status`: the job as JSON, without touching it.

use crate::{folder::Folder, journal::Journal, state::State};
use cli::{Error, Result};
use serde_json::json;
use std::{io::Write, path::Path};

/// Prints the job in `dir`.
pub(crate) fn print(dir: &Path) -> Result<()> {
    let folder = Folder::open(dir)?;
    let path = folder.journal();
    let (records, _) = Journal::read(&path).map_err(|e| Error::failed(path.display(), e))?;
    let mut state = State::new(&records);
    let lost = state.compare(&folder);
    let disk = folder.bytes();
    let finals = state.segments.values().filter_map(|s| s.final_.as_ref());
    let (frames_done, final_bytes) = match &state.film {
        Some(film) => (film.frames, film.bytes),
        None => (state.frames_done(), finals.clone().map(|c| c.bytes).sum()),
    };
    let total = state.ended.or(state.expect_frames);
    let projected = total
        .filter(|_| frames_done > 0)
        .map(|total| (u128::from(final_bytes) * u128::from(total) / u128::from(frames_done)) as u64);
    let job = json!({
        "state": if state.done { "done" } else if state.settings.is_none() { "empty" } else { "open" },
        "frames_done": frames_done,
        "next_frame": if state.film.is_some() { state.ended.unwrap_or(0) } else { state.next_frame() },
        "frames": total,
        "input_ended": state.ended.is_some(),
        "segments_done": finals.count(),
        "segments_ready": state.ready().len(),
        "runs": state.runs,
        "disk_bytes": disk,
        "disk_peak_bytes": state.disk_peak_bytes.max(disk),
        "final_bytes": final_bytes,
        "projected_final_bytes": projected,
        "film": state.film.as_ref().map(|f| f.path.display().to_string()),
        "lost": lost,
        "settings": state.settings,
    });
    writeln!(std::io::stdout(), "{job:#}").map_err(|e| Error::stdout(&e))
}
