//! Bitmap subtitles as text: VobSub and PGS, read by tesseract.
//!
//! For each track of a language the folder gets
//!
//! | file | what it holds |
//! | --- | --- |
//! | `NAME.LANG.25.srt` | the text, on the clock of the film at 25 frames a second |
//! | `NAME.LANG.24.srt` | the same on the slowed film's |
//! | `NAME.LANG.json` | the cues with a confidence, 0 to 100: that of the worst word |
//! | `NAME.LANG.html` | every picture beside its text, the doubtful ones first, for a person to look at |
//!
//! A second track of that language is `NAME.LANG.2`, and so on.

mod cue;
mod language;
mod pictures;
mod sheet;
mod tesseract;

use cli::{Error, Result, Session};
use cue::Cue;
use pictures::Track;
use serde::Serialize;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use subs_retime::{Format, Map, convert::convert};
use timebase::{Rational, Retime};

/// Reads the bitmap subtitles of `src` that are in `language`, three letters, and writes what it read to the folder `out`.
/// Pictures on their way lie in a folder for temporary files.
///
/// Errors: tesseract or that language of it is not installed; `src` has no such track; a program fails; a file cannot be
/// written.
pub fn ocr(session: &Session, src: &Path, out: &Path, language: &str) -> Result<()> {
    let scratch = tempfile::tempdir()
        .map_err(|e| Error::cannot("make a folder", std::env::temp_dir().display(), &e))?;
    ocr_within(session, scratch.path(), src, out, language)
}

/// The same with the pictures in `scratch`, an empty folder, for a caller that sees to its end.
///
/// Errors: as of [`ocr`].
pub fn ocr_within(session: &Session, scratch: &Path, src: &Path, out: &Path, language: &str) -> Result<()> {
    if !src.is_file() {
        return Err(Error::failed(src.display(), "no such file"));
    }
    let language = language::terminological(language);
    tesseract::can_read(language)?;
    let tracks = pictures::tracks(src)?;
    let wanted: Vec<_> =
        tracks.iter().filter(|track| track.is_bitmap() && track.language() == language).collect();
    if wanted.is_empty() {
        return Err(Error::failed(src.display(), none_in(language, &tracks)));
    }
    fs::create_dir_all(out).map_err(|e| Error::cannot("make the folder", out.display(), &e))?;
    let name = src.file_stem().unwrap_or_default();
    for (n, track) in (1..).zip(wanted) {
        let mut base = name.to_owned();
        base.push(format!(".{language}"));
        if n > 1 {
            base.push(format!(".{n}"));
        }
        session.detail(format_args!("{}: subtitle track {}", src.display(), track.place));
        read_track(scratch, src, track, language, &out.join(base))?;
    }
    Ok(())
}

fn none_in(language: &str, tracks: &[Track]) -> String {
    let names: Vec<_> = tracks.iter().map(Track::to_string).collect();
    let there = if names.is_empty() { "no subtitles".to_owned() } else { names.join(", ") };
    format!("no VobSub or PGS track in {language}; there are: {there}")
}

/// What `NAME.LANG.json` holds.
#[derive(Serialize)]
struct Document<'a> {
    cues: &'a [Cue],
}

/// Reads one track into the four files whose names begin with `base`, and says so on standard output.
fn read_track(scratch: &Path, src: &Path, track: &Track, language: &str, base: &Path) -> Result<()> {
    // Of the track before.
    let pictures = scratch.join(track.place.to_string());
    fs::create_dir(&pictures).map_err(|e| Error::cannot("make the folder", pictures.display(), &e))?;
    pictures::render(src, track.place, &pictures)?;
    let events = pictures::events(src, track.place)?;
    let words = tesseract::read(&pictures, &events, language)?;
    let cues = cue::chosen(&events, &words);

    let file = |end: &str| {
        let mut path = OsString::from(base);
        path.push(end);
        PathBuf::from(path)
    };
    let write = |path: &Path, text: &str| {
        durable::write(path, text.as_bytes()).map_err(|e| Error::cannot("write", path.display(), &e))
    };
    let json =
        serde_json::to_string_pretty(&Document { cues: &cues }).map_err(|e| Error::failed("json", e))?;
    let (subtitles, page) = (file(".25.srt"), file(".html"));
    write(&file(".json"), &(json.clone() + "\n"))?;
    for (path, to) in [(&subtitles, 25), (&file(".24.srt"), 24)] {
        write(path, &srt(&json, to).map_err(|e| Error::failed(path.display(), e))?)?;
    }
    write(&page, &sheet::page(&cues, &pictures)?)?;
    fs::remove_dir_all(&pictures).map_err(|e| Error::cannot("remove", pictures.display(), &e))?;

    let doubtful = cues.iter().filter(|cue| cue.is_doubtful()).count();
    let (subtitles, page) = (subtitles.display(), page.display());
    let said = format!("{subtitles}: {} cues, {doubtful} doubtful: see {page}", cues.len());
    cli::print_line(cli::shown(said))
}

/// The cues of a film of 25 frames a second as SubRip, on the clock of one of `to`.
fn srt(json: &str, to: i64) -> std::result::Result<String, String> {
    let from = Rational::whole(25);
    let instants = Retime::between(from, Rational::whole(to)).ok_or("no such rate")?;
    convert(json, Format::Json, Format::Srt, Map { instants, frame_rate: from, cuts: &[] })
        .map(|srt| srt.text)
}
