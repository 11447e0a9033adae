//! The finished film: pictures, and everything else of the source on the slower clock.

mod ac3;
pub(crate) mod audio;
pub(crate) mod chapters;
mod labels;
mod subtitles;

pub use ac3::Mix;
pub use audio::Audio;

use crate::{
    clock::Clock,
    prepare::Prepare,
    probe::{self, Container, Film, Kind, Stream, Track},
    program::Program,
    progress::size,
    reading::Reading,
    timeline::Timeline,
};
use cli::{Error, Result, Session, reason};
use nix::sys::statvfs::statvfs;
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use subs_canvas::Kept;
use subs_retime::{Format, Map};
use timebase::{Cut, Rational};

/// What becomes a finished film.
#[derive(Clone, Debug)]
pub struct Mux<'a> {
    /// The film that it is made from.
    pub src: PathBuf,
    /// What was read of that.
    pub reading: &'a Reading,
    /// Where its pictures belong.
    pub timeline: &'a Timeline,
    /// Its pictures, on the slower clock.
    pub video: PathBuf,
    /// The finished film.
    pub out: PathBuf,
    /// How the sound is slowed.
    pub audio: Audio,
    /// Which frame of the source the first picture is. The time of that frame is the film's zero.
    pub start: u64,
    /// How its pictures were prepared, where that is known: bitmap subtitles stand where they stood over what is left.
    pub prepare: Option<Prepare>,
    /// A folder for what is made on the way, on the same file system as `out`. It stays.
    pub work: PathBuf,
}

/// Refuses what [`mux`] would refuse of `src` or of this machine, before there are pictures.
///
/// Errors: a program is not there or cannot do `audio`; a track that could not be carried over.
pub fn check(src: &Path, audio: Audio) -> Result<()> {
    probe::exists(src)?;
    audio.check()?;
    let source = Source::read(src, Film::read(src)?)?;
    audio::check(src, source.film.of(Kind::Audio))
}

/// The source, as far as it concerns what is put beside the pictures.
struct Source {
    film: Film,
    container: Container,
    /// XML; none in other containers than Matroska.
    chapters: String,
    /// The chapters' languages were refused, and are taken out.
    without_languages: bool,
}

impl Source {
    fn read(src: &Path, film: Film) -> Result<Self> {
        let failed = |reason: String| Error::failed(src.display(), reason);
        let container = Container::read(src)?;
        Program::mkvextract().arg("--version").run()?;
        let is_bare = container.of(Kind::Subtitle).next().is_none() && container.chapters.is_empty();
        if !container.is_matroska() && !is_bare {
            let advice = format!("`mkvmerge -o film.mkv {}` makes it that", src.display());
            return Err(failed(format!("subtitles and chapters are read from Matroska; {advice}")));
        }
        for (kind, name) in [(Kind::Audio, "audio"), (Kind::Subtitle, "subtitle")] {
            let codecs: Vec<_> = film.of(kind).map(Stream::codec).collect();
            let known = container.of(kind).count();
            if known != codecs.len() {
                let (all, codecs) = (codecs.len(), codecs.join(" "));
                let lost = "the others would be lost";
                return Err(failed(format!(
                    "mkvmerge knows {known} of its {all} {name} tracks ({codecs}); {lost}"
                )));
            }
        }
        let is_known = |track: &&Track| subtitles::format(&track.properties.codec_id).is_some();
        if let Some(track) = container.of(Kind::Subtitle).find(|track| !is_known(track)) {
            return Err(subtitles::unknown(src, track));
        }
        let (chapters, without_languages) =
            if container.is_matroska() { chapters::read(src)? } else { Default::default() };
        Ok(Self { film, container, chapters, without_languages })
    }
}

/// A mux at work.
struct Job<'a> {
    /// Absolute, whatever folder a program runs in.
    src: PathBuf,
    work: PathBuf,
    audio: Audio,
    /// What is left of the picture.
    kept: Kept,
    clock: &'a Clock,
    /// What is cut out, since the film's zero.
    cuts: Vec<Cut>,
    is_excerpt: bool,
    /// Milliseconds from the film's zero to its first picture.
    delay: i64,
}

impl Job<'_> {
    /// A file to be written in the job's folder, of which nothing is there any more: not even a link.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.work.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(&path, &e)),
            _ => Ok(path),
        }
    }

    /// A name of ours for a file that may have any.
    fn link(&self, name: &str, to: &Path) -> Result<()> {
        let path = self.fresh(name)?;
        absolute(to).and_then(|to| symlink(to, &path).map_err(|e| failed(&path, &e)))
    }

    fn map(&self) -> Result<Map<'_>> {
        let times =
            || Error::failed(self.src.display(), "the ratio of its rate and the film's cannot be counted");
        Ok(Map {
            instants: self.clock.retime().ok_or_else(times)?,
            frame_rate: self.clock.from,
            cuts: &self.cuts,
        })
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::failed(path.display(), reason(error))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| failed(path, &e))
}

/// Makes the finished film: the pictures of `video`, and everything else of `src` on the slower clock: all sound, subtitles
/// (text and bitmap), chapters, titles, languages, flags, attachments and tags. Every time t of `src` becomes t times its
/// frame rate over that of `video`. The sound begins and ends with the pictures.
///
/// With a start, or where `video` has fewer frames than `src`, it is an excerpt: what lies before frame `start` of `src` or
/// after the last picture is left out.
///
/// It is `out` when all of it is on the disk, and not before.
///
/// Errors: all of [`check`]; torn where `video` has frames that `src` has not; what the programs that do the work say.
pub fn mux(session: &Session, mux: &Mux<'_>) -> Result<()> {
    let (src, video) = (&mux.src, &mux.video);
    for path in [src, video] {
        probe::exists(path)?;
    }
    mux.audio.check()?;
    let source = Source::read(src, Film::read(src)?)?;
    let film = Film::counted(video)?;
    let pictures = film.pictures().ok_or_else(|| Error::failed(video.display(), "has no pictures"))?;
    let (frames, in_film) = (pictures.nb_read_packets.unwrap_or(0), mux.timeline.frames());
    if mux.start.saturating_add(frames) > in_film {
        let has = format!(
            "has {frames} frames; {} has {in_film}, and --start leaves out {}",
            src.display(),
            mux.start
        );
        return Err(Error::torn(video.display(), has));
    }
    let to = pictures.rate().ok_or_else(|| Error::failed(video.display(), "has no rate"))?;
    let times = || Error::failed(src.display(), "has times that cannot be counted");
    let of_film = mux.start..mux.start + frames;
    let clock = Clock::new(mux.timeline, source.film.is_matroska(), to, of_film).ok_or_else(times)?;
    let delay = clock.lead_in().zip(clock.retime()).and_then(|(lead, retime)| {
        lead.checked_mul(retime.ratio())?.checked_mul(Rational::whole(1000)).map(Rational::round)
    });
    let since_zero = |cut: &Cut| Some(Cut { at: cut.at.checked_sub(clock.zero)?, ..*cut });
    let job = Job {
        src: absolute(src)?,
        work: mux.work.clone(),
        audio: mux.audio,
        cuts: clock.cuts.iter().map(since_zero).collect::<Option<_>>().ok_or_else(times)?,
        kept: subtitles::kept(session, mux, &source.film)?,
        clock: &clock,
        is_excerpt: frames != in_film,
        delay: delay.ok_or_else(times)?,
    };
    job.link("source", src)?;
    job.link("pictures", video)?;

    // What is quick, and might fail, comes first. Its place in the film is after the sound.
    let mut beside = Vec::new();
    let tracks: Vec<_> = source.container.of(Kind::Subtitle).collect();
    let (from, tracks) = subtitles::cut(session, &job, &tracks)?;
    for (id, track) in tracks {
        beside.extend(subtitles::track(session, &job, from, id, track)?);
    }
    if source.without_languages {
        session.note(format_args!("{}: chapters: in a language that is none, now in none", src.display()));
    }
    if let Some(xml) = chapters::cut(&source.chapters, &clock) {
        let name = format!("{}: chapters", src.display());
        let retimed = subtitles::retime(session, &job, &name, Format::ChaptersXml, xml.as_bytes())?;
        let path = job.fresh("chapters.xml")?;
        fs::write(&path, retimed).map_err(|e| failed(&path, &e))?;
        beside.extend(["--chapters".into(), "chapters.xml".into()]);
    }
    if source.container.is_matroska() {
        // The title, attachments and what is tagged for the film as a whole come from the source itself.
        let only = "--no-audio --no-video --no-subtitles --no-buttons --no-chapters --no-track-tags source";
        beside.extend(only.split(' ').map(str::to_owned));
    }

    let mut sound = Vec::new();
    let tracks = source.film.of(Kind::Audio).zip(source.container.of(Kind::Audio)).zip(&mux.reading.sound);
    for (n, ((stream, track), read)) in tracks.enumerate() {
        sound.extend(audio::track(session, &job, n, (stream, read), track)?);
    }
    let picture = source.container.of(Kind::Video).next().map(labels::labels);
    let options =
        [vec!["--quiet".into(), "--output".into(), "film.mkv".into()], pictured(pictures, to, job.delay)];
    let inputs = [picture.unwrap_or_default(), vec!["pictures".into()], sound, beside];
    let options = options.into_iter().chain(inputs).flatten().collect::<Vec<String>>();
    let (film, told) = (job.fresh("film.mkv")?, job.fresh("options.json")?);
    // Its own file is how mkvmerge is told what a film says of itself: each is one string, whatever is in it.
    let json = serde_json::Value::from(options).to_string();
    fs::write(&told, json).map_err(|e| failed(&told, &e))?;
    let merged = Program::mkvmerge().about(mux.out.display()).within(&job.work).arg("@options.json").run();
    merged.map_err(|e| if is_full(&e) { no_room(&job, video, &mux.out) } else { e })?;
    durable::finish(&film, &mux.out).map_err(|e| failed(&mux.out, &e))?;
    let ms = clock.duration.checked_mul(Rational::whole(1000)).map_or(0, Rational::round);
    session.detail(format_args!("{}: {frames} frames, {} s", mux.out.display(), ms as f64 / 1000.0));
    Ok(())
}

/// Does mkvmerge say that the disk is full? It does so with some words around the system's.
fn is_full(error: &Error) -> bool {
    error.to_string().contains("No space left")
}

/// How much room there is not: what is put together, less what there was room for.
fn no_room(job: &Job<'_>, video: &Path, out: &Path) -> Error {
    let bytes = |path: &Path| path.symlink_metadata().map_or(0, |meta| meta.len());
    let entries = fs::read_dir(&job.work).into_iter().flatten().flatten();
    let beside: u64 = entries.map(|entry| bytes(&entry.path())).sum();
    let free = statvfs(&job.work).map_or(0, |disk| disk.blocks_available() * disk.fragment_size());
    let written = bytes(&job.work.join("film.mkv"));
    let missing = (bytes(video) + beside).saturating_sub(2 * written + free);
    let more =
        if missing == 0 { String::new() } else { format!("; about {} more are needed", size(missing)) };
    Error::failed(out.display(), format!("the disk is full{more}"))
}

/// mkvmerge's options for the pictures: on the slower clock, BT.709, square pixels.
fn pictured(pictures: &Stream, to: Rational, delay: i64) -> Vec<String> {
    let (width, height) = (pictures.width.unwrap_or(0), pictures.height.unwrap_or(0));
    format!(
        "--no-chapters --no-track-tags --no-global-tags --no-attachments --default-duration 0:{}p --sync 0:{delay} \
         --color-matrix-coefficients 0:1 --color-transfer-characteristics 0:1 --color-primaries 0:1 --color-range 0:1 \
         --display-dimensions 0:{width}x{height}",
        to.fraction()
    )
    .split(' ')
    .map(str::to_owned)
    .collect()
}
