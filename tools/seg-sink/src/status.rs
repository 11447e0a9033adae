//! `--status`: the job as JSON, without touching it.

use crate::{
    child::Failure,
    control::Control,
    film,
    folder::{Folder, part_of},
    journal::Chunk,
    proof::{self, Verify},
    state::State,
};
use cli::{Error, Result};
use serde_json::{Value, json};
use std::{fs, io::Write, path::Path, time::Duration};

/// Prints the job in `dir`; joins what is finished to `so_far`.
pub(crate) fn print(dir: &Path, so_far: Option<&Path>) -> Result<()> {
    let folder = Folder::open(dir)?;
    let (mut state, _) = State::read(&folder)?;
    let lost = state.compare(&folder);
    let disk = folder.bytes(|_| false);
    let segments: Vec<&Chunk> = state.segments.values().filter_map(|s| s.final_.as_ref()).collect();
    let (frames_done, final_bytes) = match &state.film {
        Some(film) => (film.frames, film.bytes),
        None => (segments.iter().map(|c| c.frames).sum(), segments.iter().map(|c| c.bytes).sum()),
    };
    let total = state.ended.or(state.expect_frames);
    let stands = match (&state.settings, &state.film) {
        (None, _) => "empty",
        (_, Some(_)) if state.done => "done",
        _ => "open",
    };
    let mut job = json!({
        "state": stands,
        "frames_done": frames_done,
        "next_frame": if state.film.is_some() { state.ended.unwrap_or(0) } else { state.next_frame() },
        "frames": total,
        "input_ended": state.ended.is_some(),
        "segments_done": segments.len(),
        "segments_ready": state.ready().len(),
        "runs": state.runs,
        "disk_bytes": disk,
        "disk_peak_bytes": state.disk_peak_bytes.max(disk),
        "final_bytes": final_bytes,
        "projected_final_bytes": total.and_then(|total| state.projected_final_bytes(total)),
        "film": state.film.as_ref().map(|f| f.path.display().to_string()),
        "lost": lost,
        "settings": state.settings,
    });
    if let Some(output) = so_far {
        job["so_far"] = join_so_far(&folder, &state, output)?;
    }
    writeln!(std::io::stdout(), "{job:#}").map_err(|e| Error::stdout(&e))
}

/// Joins the finished segments up to the first that is missing.
fn join_so_far(folder: &Folder, state: &State, output: &Path) -> Result<Value> {
    let failed = |why: String| Error::failed(output.display(), why);
    if output.exists() {
        return Err(failed("is there already".into()));
    }
    proof::find_tools()?;
    let control = Control::new().map_err(|e| Error::failed("signals", cli::reason(&e)))?;
    let segments: Vec<Chunk> = state.finished().into_iter().cloned().collect();
    let frames = segments.last().map_or(0, Chunk::end);
    if frames == 0 {
        return Err(failed("no segment is finished yet".into()));
    }
    let part = part_of(output);
    let list = part.with_extension("ffconcat");
    let joined = film::join(&segments, folder, &list, (&part, None), &control, Duration::MAX)
        .and_then(|()| proof::prove(&part, &[frames], Verify::Count, &control));
    let _ = fs::remove_file(&list);
    match joined {
        Ok(found) => {
            fs::rename(&part, output).map_err(|e| failed(cli::reason(&e)))?;
            Ok(json!({ "film": output, "frames": frames, "bytes": found.bytes }))
        }
        Err(why) => {
            let _ = fs::remove_file(&part);
            Err(match why {
                Failure::Command(why) => failed(why),
                Failure::Fatal(e) => e,
                Failure::Full => failed("no room".into()),
                Failure::Stopped => control.why().unwrap_or_else(|| failed("stopped".into())),
            })
        }
    }
}
