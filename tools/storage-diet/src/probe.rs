//! What ffprobe and mkvmerge know of a film, typed. Times and rates are exact.

use crate::program::{Program, file};
use cli::{Error, Result, reason};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};
use timebase::Rational;

/// A film as ffprobe sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Film {
    /// The container.
    pub format: Format,
    /// All streams of all programs, each once, by their index.
    pub streams: Vec<Stream>,
    /// Chapters in the order of the file.
    #[serde(default)]
    pub chapters: Vec<Chapter>,
}

/// The container.
#[derive(Clone, Debug, Deserialize)]
pub struct Format {
    /// Names of the container, such as `matroska,webm`.
    #[serde(default)]
    pub format_name: String,
    /// Second at which the first stream begins.
    #[serde(default, deserialize_with = "rational")]
    pub start_time: Option<Rational>,
    /// Seconds from there to the end of the last stream.
    #[serde(default, deserialize_with = "rational")]
    pub duration: Option<Rational>,
}

/// What is in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pictures, moving or not.
    Video,
    /// Sound.
    Audio,
    /// Subtitles.
    Subtitle,
    /// What is none of these, such as a DVD's navigation.
    Data,
    /// Attachments, and what ffprobe has no word for.
    #[default]
    #[serde(other)]
    Other,
}

/// A stream; fields have ffprobe's names, and are absent where it does not say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Stream {
    /// Counted from 0 over all kinds.
    pub index: usize,
    /// The container's own number for it, such as a PID.
    pub id: Option<String>,
    /// Its kind.
    pub codec_type: Kind,
    /// Such as `mpeg2video`.
    pub codec_name: Option<String>,
    /// Pixels across.
    pub width: Option<usize>,
    /// Rows down.
    pub height: Option<usize>,
    /// Such as `yuv420p`.
    pub pix_fmt: Option<String>,
    /// Shape of a pixel, `64:45`.
    #[serde(deserialize_with = "rational")]
    pub sample_aspect_ratio: Option<Rational>,
    /// Such as `tt`.
    pub field_order: Option<String>,
    /// `tv` or `pc`.
    pub color_range: Option<String>,
    /// Such as `bt709`.
    pub color_space: Option<String>,
    /// Such as `bt709`.
    pub color_transfer: Option<String>,
    /// Such as `bt709`.
    pub color_primaries: Option<String>,
    /// The slowest rate on whose clock all times are; it counts fields in some interlaced streams.
    #[serde(deserialize_with = "rational")]
    pub r_frame_rate: Option<Rational>,
    /// Frames over duration.
    #[serde(deserialize_with = "rational")]
    pub avg_frame_rate: Option<Rational>,
    /// Second of its first packet.
    #[serde(deserialize_with = "rational")]
    pub start_time: Option<Rational>,
    /// Seconds of a tick of its clock.
    #[serde(deserialize_with = "rational")]
    pub time_base: Option<Rational>,
    /// Samples a second.
    #[serde(deserialize_with = "whole")]
    pub sample_rate: Option<u64>,
    /// Bits a second.
    #[serde(deserialize_with = "whole")]
    pub bit_rate: Option<u64>,
    /// Channels of the first sound.
    pub channels: Option<usize>,
    /// Packets, where they were counted.
    #[serde(deserialize_with = "whole")]
    pub nb_read_packets: Option<u64>,
    /// What it is for.
    pub disposition: Disposition,
}

/// What a stream is for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Disposition {
    /// 1: a cover.
    pub attached_pic: u8,
}

impl Stream {
    /// The codec's name, for messages.
    pub fn codec(&self) -> &str {
        self.codec_name.as_deref().unwrap_or("unknown")
    }

    /// Is it the cover, and no film?
    pub fn is_cover(&self) -> bool {
        self.disposition.attached_pic == 1
    }

    /// Frames a second: where [`Stream::r_frame_rate`] counts fields, half of it.
    pub fn rate(&self) -> Option<Rational> {
        let (real, mean) = (self.r_frame_rate, self.avg_frame_rate);
        let is_twice = real.zip(mean).is_some_and(|(real, mean)| mean.checked_add(mean) == Some(real));
        if is_twice { mean } else { real.or(mean) }
    }
}

/// A chapter.
#[derive(Clone, Debug, Deserialize)]
pub struct Chapter {
    /// Second at which it begins.
    #[serde(default, deserialize_with = "rational")]
    pub start_time: Option<Rational>,
    /// Second at which it is over: the next one's beginning, where the film does not say.
    #[serde(default, deserialize_with = "rational")]
    pub end_time: Option<Rational>,
}

impl Film {
    /// Asks ffprobe.
    ///
    /// Errors: no such file; ffprobe cannot read it.
    pub fn read(path: &Path) -> Result<Self> {
        Self::asked(path, &[])
    }

    /// As [`Film::read`], and reads all of the file to count the packets of its streams.
    ///
    /// Errors: no such file; ffprobe cannot read it.
    pub fn counted(path: &Path) -> Result<Self> {
        Self::asked(path, &["-count_packets"])
    }

    fn asked(path: &Path, more: &[&str]) -> Result<Self> {
        exists(path)?;
        let probe = Program::ffprobe().about(path.display()).args(["-of", "json", "-show_format"]).args(more);
        let output = probe.args(["-show_streams", "-show_chapters"]).arg(file(path)).output();
        let output = output.map_err(|e| {
            match e.to_string().ends_with(": Invalid data found when processing input") {
                true => Error::failed(path.display(), "is no film that ffmpeg knows"),
                false => e,
            }
        })?;
        parsed(path, "ffprobe", &output)
    }

    /// The film's pictures: its first video stream that is no cover.
    pub fn pictures(&self) -> Option<&Stream> {
        self.of(Kind::Video).find(|stream| !stream.is_cover())
    }

    /// The streams of a kind, in order.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(move |stream| stream.codec_type == kind)
    }

    /// Has the container a zero of its own? Elsewhere the first picture is it.
    pub fn is_matroska(&self) -> bool {
        self.is("matroska")
    }

    /// Is it of a container that has this among its names?
    pub fn is(&self, container: &str) -> bool {
        self.format.format_name.split(',').any(|name| name == container)
    }
}

/// Is there a file of that name to be read?
pub fn exists(path: &Path) -> Result<()> {
    if path.is_file() { Ok(()) } else { Err(Error::failed(path.display(), "no such file")) }
}

/// Hands over lines of ffprobe's `entries`, with `|` between the fields; what ffprobe said meanwhile on standard error.
///
/// Errors: ffprobe cannot read the film.
pub fn lines(path: &Path, entries: &str, more: &[&str], mut each: impl FnMut(&str)) -> Result<String> {
    let probe = Program::ffprobe().about(path.display()).args(more);
    let probe = probe.args(["-show_entries", entries, "-of", "compact=p=0:nk=1"]).arg(file(path));
    let mut running = probe.start()?;
    if let Some(stdout) = running.stdout() {
        // A line of text in a film's tags may be no UTF-8; those asked for here are numbers.
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|e| Error::failed(path.display(), format!("ffprobe: {}", reason(&e))))?;
            let line = String::from_utf8_lossy(&line);
            if line.contains('|') {
                each(&line);
            }
        }
    }
    running.finish()
}

/// A film as mkvmerge sees it (`mkvmerge -J`).
#[derive(Clone, Debug, Deserialize)]
pub struct Container {
    container: Recognized,
    /// Tracks, each kind in its order.
    #[serde(default)]
    pub tracks: Vec<Track>,
    /// Lists of chapters.
    #[serde(default)]
    pub chapters: Vec<serde_json::Value>,
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Recognized {
    #[serde(default)]
    recognized: bool,
    #[serde(default)]
    supported: bool,
    #[serde(rename = "type")]
    name: Option<String>,
    #[serde(default)]
    properties: Header,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    duration: Option<u64>,
}

/// A track.
#[derive(Clone, Debug, Deserialize)]
pub struct Track {
    /// mkvmerge's number for it.
    pub id: u64,
    /// `video`, `audio` or `subtitles`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is known of it.
    #[serde(default)]
    pub properties: Properties,
}

/// What is known of a track. A flag that the film does not set is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are mkvmerge's own")]
pub struct Properties {
    pub codec_id: String,
    pub language: Option<String>,
    pub language_ietf: Option<String>,
    pub track_name: Option<String>,
    pub default_track: Option<bool>,
    pub forced_track: Option<bool>,
    pub enabled_track: Option<bool>,
    pub flag_hearing_impaired: Option<bool>,
    pub flag_visual_impaired: Option<bool>,
    pub flag_text_descriptions: Option<bool>,
    pub flag_original: Option<bool>,
    pub flag_commentary: Option<bool>,
}

impl Container {
    /// Asks mkvmerge, which is given the open file: it neither sees the name nor looks for files with similar ones.
    ///
    /// Errors: no such file; mkvmerge is not there, or cannot read the file.
    pub fn read(path: &Path) -> Result<Self> {
        exists(path)?;
        let open = File::open(path).map_err(|e| Error::failed(path.display(), reason(&e)))?;
        let output = Program::mkvmerge().also_fine(2).args(["-J", "/proc/self/fd/0"]).stdin(open).output()?;
        let seen: Self = parsed(path, "mkvmerge", &output)?;
        let why = match &seen.container {
            Recognized { recognized: true, supported: true, .. } if seen.errors.is_empty() => {
                return Ok(seen);
            }
            Recognized { recognized: true, name: Some(name), .. } => format!("{name} is not supported"),
            _ => "not a film that it knows".into(),
        };
        let why = seen.errors.first().map_or(why, |error| error.trim().to_owned());
        Err(Error::failed(path.display(), format!("mkvmerge cannot read it: {why}")))
    }

    /// Nanoseconds that it lasts, as its header says.
    pub fn duration_ns(&self) -> Option<u64> {
        self.container.properties.duration
    }

    /// Is it Matroska?
    pub fn is_matroska(&self) -> bool {
        self.container.name.as_deref() == Some("Matroska")
    }

    /// The tracks of a kind, in order.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Track> {
        let name = match kind {
            Kind::Video => "video",
            Kind::Audio => "audio",
            Kind::Subtitle => "subtitles",
            Kind::Data | Kind::Other => "buttons",
        };
        self.tracks.iter().filter(move |track| track.kind == name)
    }
}

fn parsed<T: DeserializeOwned>(path: &Path, program: &str, output: &[u8]) -> Result<T> {
    serde_json::from_str(&String::from_utf8_lossy(output))
        .map_err(|e| Error::failed(path.display(), format!("{program}: {e}")))
}

/// `"25/1"`, `"64:45"`, `"5.320000"`; `"0/0"`, `"0:1"` and `"N/A"` are nothing known.
fn rational<'de, D: Deserializer<'de>>(field: D) -> std::result::Result<Option<Rational>, D::Error> {
    Ok(Option::<String>::deserialize(field)?.as_deref().and_then(ratio))
}

pub(crate) fn ratio(text: &str) -> Option<Rational> {
    let value = text.parse::<Rational>().ok();
    value.filter(|value| !text.contains(['/', ':']) || value.is_positive())
}

/// A whole number, which ffprobe writes as a number or as text.
fn whole<'de, D: Deserializer<'de>>(field: D) -> std::result::Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_with_what_is_known_of_it() {
        let stream: Stream = serde_json::from_str(
            r#"{"index": 1, "codec_type": "video", "codec_name": "mpeg2video", "width": 720, "r_frame_rate": "50/1",
                "avg_frame_rate": "25/1", "sample_aspect_ratio": "0:1", "start_time": "0.080000", "bit_rate": "N/A",
                "disposition": {"attached_pic": 0}}"#,
        )
        .unwrap();
        assert_eq!((stream.index, stream.codec_type, stream.width), (1, Kind::Video, Some(720)));
        assert_eq!(stream.rate(), Some(Rational::whole(25)));
        assert_eq!((stream.sample_aspect_ratio, stream.bit_rate), (None, None));
        assert_eq!(stream.start_time, Rational::new(2, 25));
    }

    #[test]
    fn pictures_are_the_first_that_are_no_cover() {
        let film: Film = serde_json::from_str(
            r#"{"format": {"format_name": "matroska,webm"}, "streams": [
                {"index": 0, "codec_type": "audio", "sample_rate": "48000"},
                {"index": 1, "codec_type": "video", "disposition": {"attached_pic": 1}},
                {"index": 2, "codec_type": "video"}, {"index": 3, "codec_type": "data"}, {"index": 4}]}"#,
        )
        .unwrap();
        assert_eq!(film.pictures().map(|stream| stream.index), Some(2));
        assert_eq!(film.of(Kind::Audio).next().unwrap().sample_rate, Some(48_000));
        assert!(film.is_matroska());
    }

    #[test]
    fn what_is_no_film_is_named() {
        let none = Path::new("none.mkv");
        assert_eq!(Film::read(none).unwrap_err().to_string(), "none.mkv: no such file");
        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), "no film").unwrap();
        let name = text.path().display();
        assert_eq!(
            Container::read(text.path()).unwrap_err().to_string(),
            format!("{name}: mkvmerge cannot read it: not a film that it knows")
        );
        assert_eq!(
            Film::read(text.path()).unwrap_err().to_string(),
            format!("{name}: is no film that ffmpeg knows")
        );
    }
}
