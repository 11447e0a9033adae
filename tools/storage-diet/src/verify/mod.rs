//! Proves a finished film.

mod cues;
mod decoded;
mod levels;
mod pictures;
mod sound;

use crate::{
    clock::Clock,
    prepare::Prepare,
    probe::{Film, Kind, Stream},
    reading::{Reading, Sound},
    timeline::Timeline,
};
use cli::{Error, Result, Session};
use decoded::Decoded;
use sound::Pieces;
use std::{fmt::Display, io::Write, path::Path};
use timebase::Rational;

/// What every finished film says of its pictures.
const PROMISES: [(&str, &str); 5] = [
    ("pix_fmt", "yuv420p10le"),
    ("color_space", "bt709"),
    ("color_transfer", "bt709"),
    ("color_primaries", "bt709"),
    ("color_range", "tv"),
];

/// What a film was made from.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// The source.
    pub path: &'a Path,
    /// What was read of it.
    pub reading: &'a Reading,
    /// Where its pictures belong.
    pub timeline: &'a Timeline,
    /// The frame that the film begins with.
    pub start: u64,
    /// How the pictures were prepared; without it, that is found out from the film's shape.
    pub prepare: Option<&'a Prepare>,
}

/// Proves a finished film: decodes all of it, counts its frames, and holds every stream against the one clock, on which frame
/// n comes n/24 s after the first. Against the film that it was made from, also that no frame is missing, that each picture is
/// the source's picture of that number, as bright and as colourful, and that was where it belongs, and that what is heard, read and jumped to is where the
/// source has it, times 25/24.
///
/// Prints a line for each stream to standard output: how far it is off at its start, in its middle and at its end, in
/// milliseconds.
///
/// Errors: anything that is wrong, after everything was looked at. The last finding is the error, those before it are noted.
pub fn verify(session: &Session, film: &Path, against: Option<Against<'_>>) -> Result<()> {
    let probed = Film::counted(film)?;
    let source = against.map(|against| Ok((against, Film::read(against.path)?))).transpose()?;
    let videos: Vec<_> = probed.of(Kind::Video).filter(|stream| !stream.is_cover()).collect();
    let [video] = videos[..] else {
        return Err(Error::failed(film.display(), format!("{} video streams, not 1", videos.len())));
    };
    let mut proof = Proof { film, wrong: Vec::new() };
    proof.promises(video);
    let decoded = proof.decoded(video)?;
    let Some(frames) = proof.frames(video, &decoded)? else {
        return proof.verdict(session);
    };
    let zero = decoded.pictures[0];
    let finish = zero + frames as f64 / 24.0;
    let clock = match &source {
        Some((against, source)) => {
            let of_film = against.start..against.start + frames;
            if let Err(why) = against.timeline.check(&against.reading.pictures, of_film.clone()) {
                proof.fail(format_args!("{}: {why}", against.path.display()));
            }
            let times = || Error::failed(against.path.display(), "has times that cannot be counted");
            let clock = Clock::new(against.timeline, source.is_matroska(), Rational::whole(24), of_film);
            Some((*against, source, clock.ok_or_else(times)?))
        }
        None => None,
    };
    if let Some((against, source, _)) = &clock {
        proof.pictures(*against, source, &decoded.pictures, video)?;
    }

    for (n, stream) in probed.of(Kind::Audio).enumerate() {
        let pieces = decoded.sound.get(&stream.index).map_or(&[][..], Vec::as_slice);
        let rate = stream.sample_rate.unwrap_or(0).max(1) as f64;
        match Pieces::of(pieces, rate, zero) {
            Some(pieces) => proof.sound(n, stream, pieces, rate, finish - zero)?,
            None => proof.fail(format_args!("sound {n}: nothing of it can be decoded")),
        }
        if let Some((against, source, clock)) = &clock {
            let mut heard = source.of(Kind::Audio).zip(&against.reading.sound);
            let Some((old, read)) = heard.by_ref().filter(|(_, read)| read.layout().is_some()).nth(n) else {
                proof.fail(format_args!("sound {n}: the source has none of that number"));
                continue;
            };
            proof.heard(n, stream, (against.path, old, read), clock, (zero, finish))?;
        }
    }

    let new = cues::subtitles(film, None)?;
    let old =
        clock.as_ref().map(|(against, _, clock)| cues::subtitles(against.path, Some(clock))).transpose()?;
    if let Some(old) = old.as_ref().filter(|old| old.len() != new.len()) {
        let (old, new) = (old.len(), new.len());
        proof.fail(format_args!("subtitles: {new} streams with cues, the source has {old}"));
    }
    let ratio = clock.as_ref().map_or(1.0, |(.., clock)| clock.from.to_f64() / clock.to.to_f64());
    for (n, stream) in probed.of(Kind::Subtitle).enumerate() {
        // Half a tick of Matroska's and half one of the format's; ASS also rounds what it is extracted to.
        let tick = if stream.codec() == "ass" { 0.0108 } else { 0.0011 };
        let times = |cues: &Vec<Vec<f64>>| cues.get(n).cloned().unwrap_or_default();
        let times = Times { old: old.as_ref().map(times), new: times(&new), ratio, finish };
        proof.times(&format!("subtitles {n}"), tick, &times)?;
    }
    let new = cues::chapters(film, &probed, None)?;
    let old =
        clock.as_ref().map(|(of, source, clock)| cues::chapters(of.path, source, Some(clock))).transpose()?;
    if !new.is_empty() || old.as_ref().is_some_and(|old| !old.is_empty()) {
        proof.times("chapters", 0.0011, &Times { old, new, ratio, finish })?;
    }
    proof.verdict(session)
}

/// When the cues of a stream begin.
struct Times {
    /// In the source, where there is one.
    old: Option<Vec<f64>>,
    new: Vec<f64>,
    ratio: f64,
    /// Second at which the pictures are over.
    finish: f64,
}

/// A film that is looked at, and what was found to be wrong with it.
struct Proof<'a> {
    film: &'a Path,
    wrong: Vec<String>,
}

impl Proof<'_> {
    fn fail(&mut self, what: impl Display) {
        self.wrong.push(what.to_string());
    }

    /// Fails unless `off` is at most `most` seconds. What is no number is wrong, too.
    fn within(&mut self, off: f64, most: f64, what: impl Display) {
        if off.abs().is_nan() || off.abs() > most {
            self.fail(what);
        }
    }

    fn promises(&mut self, video: &Stream) {
        let codec = video.codec();
        if !matches!(codec, "hevc" | "av1") {
            self.fail(format_args!("video: codec_name is {codec}, neither hevc nor av1"));
        }
        let said = [&video.pix_fmt, &video.color_space, &video.color_transfer, &video.color_primaries];
        for ((name, expected), said) in PROMISES.iter().zip(said.into_iter().chain([&video.color_range])) {
            let is = said.as_deref().unwrap_or("unknown");
            if is != *expected {
                self.fail(format_args!("video: {name} is {is}, not {expected}"));
            }
        }
        let unknown = |value: Option<Rational>, between: char| match value {
            Some(value) => format!("{}{between}{}", value.num(), value.den()),
            None => "unknown".into(),
        };
        for (name, value, expected, between) in [
            ("r_frame_rate", video.r_frame_rate, 24, '/'),
            ("avg_frame_rate", video.avg_frame_rate, 24, '/'),
            ("sample_aspect_ratio", video.sample_aspect_ratio, 1, ':'),
        ] {
            if value != Some(Rational::whole(expected)) {
                let is = unknown(value, between);
                self.fail(format_args!("video: {name} is {is}, not {expected}{between}1"));
            }
        }
    }

    fn decoded(&mut self, video: &Stream) -> Result<Decoded> {
        let decoded = Decoded::read(self.film, video.index).unwrap_or_else(|e| {
            self.fail(format_args!("cannot be decoded: {e}"));
            Decoded::default()
        });
        if let Some(first) = &decoded.complaint {
            self.fail(format_args!("decodes with errors, the first: {first}"));
        }
        Ok(decoded)
    }

    /// Are all pictures there, and on time? How many there are, if any.
    fn frames(&mut self, video: &Stream, decoded: &Decoded) -> Result<Option<u64>> {
        let (packets, frames) = (video.nb_read_packets.unwrap_or(0), decoded.pictures.len() as u64);
        if frames != packets {
            self.fail(format_args!("video: {packets} frames, of which {frames} can be decoded"));
        }
        let Some([middle, end, worst]) = decoded::off(&decoded.pictures, 24.0) else {
            self.fail("video: not one frame");
            return Ok(None);
        };
        self.within(worst, 0.002, format_args!("video: a frame is {:.3} ms off", worst * 1000.0));
        print("                    start   middle      end")?;
        let finish = decoded.pictures[0] + frames as f64 / 24.0;
        line(
            "video",
            [Some(0.0), Some(middle), Some(end)],
            format_args!("{frames} frames, until {finish:.9} s"),
        )?;
        Ok(Some(frames))
    }

    fn pictures(&mut self, against: Against<'_>, source: &Film, times: &[f64], video: &Stream) -> Result<()> {
        let Against { path, timeline, start, .. } = against;
        let (frames, in_source) = (times.len() as u64, timeline.frames());
        let seen = pictures::compare(self.film, against, source, times, video)?;
        if start + frames > seen.decoded {
            let has = format!("{} has {}", path.display(), seen.decoded);
            self.fail(format_args!("video: {frames} frames from {start} on; {has}"));
        } else if frames != in_source {
            print(&format!("{:16}an excerpt: {frames} of {in_source} frames", "video"))?;
        }
        print(&format!("{:16}{}", "  as seen", seen.summary()))?;
        if let Some([luma, cb, cr]) = seen.levels.most {
            let off =
                format!("luma {luma:+.1}, Cb {cb:+.1}, Cr {cr:+.1} of 255 at most, beside the source's");
            print(&format!("{:16}{off}", "  levels"))?;
        }
        if let Some(wrong) = seen.wrong {
            self.fail(wrong);
        }
        if let Some(wrong) = seen.levels.wrong {
            self.fail(format_args!("levels: {wrong}"));
        }
        Ok(())
    }

    fn sound(&mut self, n: usize, stream: &Stream, pieces: Pieces, rate: f64, span: f64) -> Result<()> {
        let codec = stream.codec();
        let Pieces { late, gap, samples, longest } = pieces;
        let over = late[0] + samples as f64 / rate - span;
        let ends = format!("{codec}, {samples} samples, ends {:+.1} ms after the pictures", over * 1000.0);
        line(&format!("sound {n}"), late.map(Some), ends)?;
        self.within(late[0], 0.002, format_args!("sound {n}: begins {:.6} s after the pictures", late[0]));
        self.within(gap, 0.002, format_args!("sound {n}: has a gap or an overlap of {gap:.6} s"));
        // Half a frame of the codec, and Matroska's millisecond.
        let half =
            if matches!(codec, "flac" | "opus" | "vorbis") { 0.0 } else { longest as f64 / rate / 2.0 };
        self.within(over, half + 0.002, format_args!("sound {n}: ends {over:.9} s after the pictures"));
        Ok(())
    }

    fn heard(
        &mut self,
        n: usize,
        new: &Stream,
        (path, old, read): (&Path, &Stream, &Sound),
        clock: &Clock,
        (zero, finish): (f64, f64),
    ) -> Result<()> {
        let span = seconds(clock.duration).min(6.0);
        // Start, middle and end, and so many between that no five minutes are without one.
        let steps = 2 * ((finish - zero) / 600.0).ceil().clamp(1.0, 100.0) as usize;
        let mut offs = Vec::new();
        for step in 0..=steps {
            let at = zero + (finish - zero - span) * step as f64 / steps as f64;
            let off = sound::heard((self.film, new.index), (path, old.index), read, clock, at, span)?;
            if let Some(off) = off {
                self.within(off, 0.020, format_args!("sound {n}: at {at:.9} s is {off:.6} s off"));
            }
            offs.push(off);
        }
        let heard = offs.iter().flatten().count();
        let at = [offs[0], offs[steps / 2], offs[steps]];
        line("  as heard", at, format_args!("against the source's, at {heard} of {} places", offs.len()))
    }

    /// None after the end, and each where the source has it, within `tick` seconds.
    fn times(&mut self, name: &str, tick: f64, times: &Times) -> Result<()> {
        let count = times.new.len();
        if times.new.iter().any(|&time| time > times.finish) {
            self.fail(format_args!("{name}: has something after the end"));
        }
        let Some(old) = &times.old else {
            let last = times.new.last().map_or(String::new(), |last| format!(", the last at {last:.9} s"));
            return print(&format!("{name:16}{count}{last}"));
        };
        if old.len() != count {
            self.fail(format_args!("{name}: {count}, the source has {}", old.len()));
            return Ok(());
        }
        let [first, middle, last, worst] = cues::off(old, &times.new, times.ratio);
        let most = format!("{count}, at most {:.3} ms off", worst * 1000.0);
        line(name, [first, middle, last].map(Some), most)?;
        self.within(worst, tick, format_args!("{name}: {worst:.9} s off"));
        Ok(())
    }

    fn verdict(mut self, session: &Session) -> Result<()> {
        let film = self.film.display();
        let Some(last) = self.wrong.pop() else {
            return print(&format!("{}: verified", cli::shown(film)));
        };
        for wrong in &self.wrong {
            session.complain(&Error::failed(&film, wrong));
        }
        Err(Error::failed(film, last))
    }
}

/// The one that is furthest from zero; what is no number is further than all.
fn worst(off: impl IntoIterator<Item = f64>) -> f64 {
    off.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0)
}

/// The nearest double.
fn seconds(time: Rational) -> f64 {
    time.to_f64()
}

fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").map_err(|e| Error::stdout(&e))
}

/// A line of the report: how many seconds something is off at its start, in its middle and at its end, where that is known;
/// and then words.
fn line(name: &str, off: [Option<f64>; 3], words: impl Display) -> Result<()> {
    let ms = off.map(|off| off.map_or(format!("{:>9}", "?"), |off| format!("{:+9.1}", off * 1000.0)));
    print(&format!("{name:16}{} ms  {words}", ms.concat()))
}
