//! Subtitles, text and bitmap, on the slower clock; bitmaps on the canvas of the picture that is left.

use super::{Job, Mux, failed, labels::labels};
use crate::{
    cues::cues,
    probe::{Film, Track},
    program::{Program, file},
};
use cli::{Error, Result, Session, Size};
use std::{fs, path::Path};
use subs_canvas::{Kept, Relaid};
use subs_retime::{Format, Map, Scanned};
use timebase::Rational;

/// What mkvextract makes of a subtitle track of that codec: the format, and its file's extension.
pub fn format(codec_id: &str) -> Option<(Format, &'static str)> {
    Some(match codec_id {
        "S_TEXT/UTF8" => (Format::Srt, "srt"),
        "S_TEXT/ASS" | "S_TEXT/SSA" | "S_ASS" | "S_SSA" => (Format::Ass, "ass"),
        "S_TEXT/WEBVTT" => (Format::Vtt, "vtt"),
        "S_VOBSUB" => (Format::Idx, "idx"),
        "S_HDMV/PGS" => (Format::Sup, "sup"),
        _ => return None,
    })
}

/// The tracks `of` the source in one Matroska file of the job, and their numbers there: the source, or what ffmpeg cuts out
/// of it, whose streams it numbers from 0, where cues of the source are no part of the film.
pub(super) fn cut<'a>(
    session: &Session,
    job: &Job<'_>,
    of: &[&'a Track],
) -> Result<(&'static str, Vec<(u64, &'a Track)>)> {
    let is_outside = |time: &&Rational| job.clock.cue(**time).is_none();
    let outside = match of {
        [_, ..] if !job.is_excerpt => cues(&job.src)?.values().flatten().filter(is_outside).count(),
        _ => 0,
    };
    if of.is_empty() || (outside == 0 && !job.is_excerpt) {
        return Ok(("source", of.iter().map(|track| (track.id, *track)).collect()));
    }
    if outside > 0 {
        let plural = if outside == 1 { "" } else { "s" };
        let when = "when the pictures are over, left out";
        session.note(format_args!("{}: subtitles: {outside} cue{plural} {when}", job.src.display()));
    }
    let excerpt = job.fresh("excerpt.mkv")?;
    let micro = |seconds: Option<Rational>| {
        let micro = seconds.and_then(|s| s.checked_mul(Rational::whole(1_000_000)));
        let micro =
            micro.ok_or_else(|| Error::failed(job.src.display(), "has times that cannot be counted"))?;
        Ok(format!("{}us", micro.round()))
    };
    let (zero, span) = (micro(Some(job.clock.zero))?, micro(job.clock.end.checked_sub(job.clock.zero))?);
    let ffmpeg = Program::ffmpeg().about(job.src.display()).arg("-copyts").arg("-i").arg(file(&job.src));
    let what =
        ["-map", "0:s", "-map_chapters", "-1", "-ss", &zero, "-t", &span, "-c", "copy", "-copypriorss", "0"];
    ffmpeg.args(what).arg(file(&excerpt)).run()?;
    Ok(("excerpt.mkv", (0..).zip(of.iter().copied()).collect()))
}

/// Makes the subtitle track `id` of the file `from` in the job's folder, which is `track` of the source; mkvmerge's options
/// for it, none for a track without a cue.
pub(super) fn track(
    session: &Session,
    job: &Job<'_>,
    from: &str,
    id: u64,
    track: &Track,
) -> Result<Vec<String>> {
    let name = format!("{}: subtitle track {}", job.src.display(), track.id);
    let (format, extension) =
        format(&track.properties.codec_id).ok_or_else(|| unknown(job.src.as_path(), track))?;
    let (old, new) = (format!("in{id}.{extension}"), format!("out{id}.{extension}"));
    let extracted = job.fresh(&old)?;
    let (old_sub, new_sub) = (job.fresh(&format!("in{id}.sub"))?, job.fresh(&format!("out{id}.sub"))?);
    let mkvextract = Program::mkvextract().about(&name).within(&job.work);
    mkvextract.args(["--quiet", from, "tracks", &format!("{id}:{old}")]).run()?;
    let mut bytes = fs::read(&extracted).map_err(|e| failed(&extracted, &e))?;
    if bytes.is_empty() {
        session.note(format_args!("{name}: without a cue, left out"));
        return Ok(Vec::new());
    }
    let mut sub = Vec::new();
    match format {
        Format::Idx => {
            sub = fs::read(&old_sub).map_err(|e| failed(&old_sub, &e))?;
            let relaid = subs_canvas::vobsub(&bytes, &sub, &job.kept, &name);
            (bytes, sub) = (relaid.idx, told(session, relaid.sub, &name)?);
        }
        Format::Sup => bytes = told(session, subs_canvas::sup(&bytes, &job.kept, &name), &name)?,
        _ => {}
    }
    let retimed = retime(session, job, &name, format, &bytes)?;
    let retimed_to = job.fresh(&new)?;
    fs::write(&retimed_to, retimed).map_err(|e| failed(&retimed_to, &e))?;
    if format == Format::Idx {
        let retimed = mapped(session, &Scanned::sub(&sub), job.map()?, &name)?;
        fs::write(&new_sub, retimed).map_err(|e| failed(&new_sub, &e))?;
    }
    Ok([vec!["--sub-charset".into(), "0:UTF-8".into()], labels(track), vec![new]].concat())
}

/// What is left of the picture that the source's subtitles stand over: all of it where that is not known.
pub(super) fn kept(session: &Session, mux: &Mux, source: &Film) -> Result<Kept> {
    let failed = |reason: String| Error::failed(mux.src.display(), reason);
    let all = Size { width: 1, height: 1 };
    let whole = || Kept::new(all, deint_crop::Crop(None)).map_err(failed);
    let pictures = source.pictures();
    let shape = pictures.and_then(|pictures| Some((pictures, (pictures.width?, pictures.height?))));
    let (Some(prepare), Some((pictures, shape))) = (mux.prepare, shape) else { return whole() };
    let kept = Kept::new(prepare.scaled(pictures, shape), prepare.crop);
    // It was cropped all the same: not worth a film that is done but for this.
    kept.or_else(|why| {
        session.note(format_args!("{}: bitmap subtitles stay as they are: {why}", mux.src.display()));
        whole()
    })
}

/// The file that was re-laid, once what is odd about it is said.
fn told(session: &Session, relaid: Relaid, name: &str) -> Result<Vec<u8>> {
    if let Some(odd) = relaid.counts.odd_as_text() {
        session.note(format_args!("{name}: {odd}"));
    }
    relaid.ending.and(Ok(relaid.bytes))
}

/// What is said of a track that cannot be carried over.
pub fn unknown(src: &Path, track: &Track) -> Error {
    let (id, codec) = (track.id, &track.properties.codec_id);
    Error::failed(
        src.display(),
        format!("subtitle track {id}: {codec} is not a format that subs-retime knows"),
    )
}

/// `bytes` of a format with their times on the slower clock.
pub(super) fn retime(
    session: &Session,
    job: &Job<'_>,
    name: &str,
    format: Format,
    bytes: &[u8],
) -> Result<Vec<u8>> {
    let map = job.map()?;
    mapped(session, &Scanned::new(bytes, format, &map), map, name)
}

fn mapped(session: &Session, scanned: &Scanned<'_>, map: Map, name: &str) -> Result<Vec<u8>> {
    if let Some((count, first)) = scanned.odd() {
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        session.note(format_args!("{name}: {first}{more}: looks like a time but is none, copied as it is"));
    }
    let retimed = scanned.retime(map, name)?;
    retimed.ending.and(Ok(retimed.bytes))
}
