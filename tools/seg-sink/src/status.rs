//! `--status`: the job as JSON, without touching it.

use crate::{
    child::Failure,
    control::Control,
    film,
    folder::{Folder, absolute, is_there, part_of},
    journal::Chunk,
    proof::{self, Verify},
    state::State,
};
use cli::{Error, Result};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::Duration,
};

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
    let place = absolute(output)?;
    let part = part_of(&place);
    let list = part.with_extension("ffconcat");
    for path in [output, &part, &list] {
        if is_there(path) {
            return Err(Error::failed(path.display(), "is there already"));
        }
    }
    if folder.root().to_string_lossy().contains(['\n', '\r']) {
        return Err(Error::failed(
            folder.root().display(),
            "has a line break in its name, which a list for ffmpeg cannot hold",
        ));
    }
    proof::find_tools()?;
    let control = Control::new().map_err(|e| Error::failed("signals", cli::reason(&e)))?;
    let segments: Vec<Chunk> = state.finished().into_iter().cloned().collect();
    let frames = segments.last().map_or(0, Chunk::end);
    if frames == 0 {
        return Err(failed("no segment is finished yet".into()));
    }
    let name = |chunk: &Chunk| folder.chunk(chunk.stage, chunk.first_frame).to_string_lossy().into_owned();
    let write = |text: String| {
        let failed = |e: io::Error| Failure::Fatal(Error::failed(list.display(), cli::reason(&e)));
        File::create_new(&list).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
    };
    let joined = film::list(&segments, name)
        .and_then(write)
        .and_then(|()| film::join(&list, (&part, None), &control, Duration::MAX))
        .and_then(|()| proof::prove(&part, &[frames], Verify::Count, &control));
    let _ = fs::remove_file(&list);
    match joined {
        Ok(found) => {
            fs::rename(&part, &place).map_err(|e| failed(cli::reason(&e)))?;
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
