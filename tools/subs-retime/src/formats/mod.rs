//! The formats: for each, where its time fields are. What is no time field is nobody's business.

mod angle;
mod ass;
mod chapters_xml;
mod ffmetadata;
mod idx;
mod json;
mod microdvd;
mod ogm;
mod srt;
pub mod sub;
mod sup;
mod ttml;
mod vtt;
mod xml;

use crate::{
    cue::{Cue, Losses},
    field::Field,
    text::lines,
};
use std::{fmt, str::FromStr};
use timebase::Rational;

/// A subtitle or chapter format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// SubRip.
    Srt,
    /// WebVTT.
    Vtt,
    /// Advanced SubStation Alpha and its elder SSA.
    Ass,
    /// MicroDVD: times are frame numbers.
    MicroDvd,
    /// Timed Text Markup Language.
    Ttml,
    /// VobSub's index; the pictures are in the `.sub` beside it.
    Idx,
    /// Blu-ray's Presentation Graphic Stream.
    Sup,
    /// Matroska chapters as mkvextract and mkvmerge write and read them.
    ChaptersXml,
    /// ffmpeg's metadata file with its chapters.
    Ffmetadata,
    /// Chapters as OGM tools write them.
    Ogm,
    /// Cues as JSON: `start_ms`, `end_ms`, `duration_ms`.
    Json,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Found {
    /// The time fields.
    pub fields: Vec<Field>,
    /// Where something stands that looks like a time but cannot be read as one.
    pub odd: Vec<usize>,
    /// Why the scan did not reach the end.
    pub broken: Option<Broken>,
}

/// Why a file could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Up to here it is whole and can be written.
    pub whole: usize,
    /// Where it went wrong.
    pub at: usize,
    /// It just ends, where it should go on.
    pub torn: bool,
    /// What is wrong.
    pub reason: String,
}

impl From<subpicture::Broken> for Broken {
    fn from(broken: subpicture::Broken) -> Self {
        let subpicture::Broken { at, torn, reason } = broken;
        Self { whole: at, at, torn, reason }
    }
}

impl Format {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 11] = [
        Self::Srt,
        Self::Vtt,
        Self::Ass,
        Self::MicroDvd,
        Self::Ttml,
        Self::Idx,
        Self::Sup,
        Self::ChaptersXml,
        Self::Ffmetadata,
        Self::Ogm,
        Self::Json,
    ];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Ass => "ass",
            Self::MicroDvd => "microdvd",
            Self::Ttml => "ttml",
            Self::Idx => "idx",
            Self::Sup => "sup",
            Self::ChaptersXml => "chapters-xml",
            Self::Ffmetadata => "ffmetadata",
            Self::Ogm => "ogm",
            Self::Json => "json",
        }
    }

    /// Is it bytes, not text?
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Sup)
    }

    /// What the first bytes of binary formats and the first lines of text say.
    pub fn detect(file: &[u8], text: &str) -> Option<Self> {
        if file.starts_with(b"PG") && file.len() >= 13 {
            return Some(Self::Sup);
        }
        let first = text.trim_start();
        if first.starts_with("WEBVTT") {
            return Some(Self::Vtt);
        }
        if first.starts_with(";FFMETADATA") {
            return Some(Self::Ffmetadata);
        }
        if first.starts_with('<') {
            return xml::root(text).and_then(|root| match root.as_str() {
                "Chapters" => Some(Self::ChaptersXml),
                "tt" => Some(Self::Ttml),
                _ => None,
            });
        }
        if json::begins(first) {
            return Some(Self::Json);
        }
        // A cue may stand far down below comments and an empty line or two, but not without end.
        lines(text).take(1000).find_map(|(_, line)| {
            if line.contains("-->") && srt::timing(line, 0, &srt::STYLE).is_some() {
                Some(Self::Srt)
            } else if ass::is_section(line) {
                Some(Self::Ass)
            } else if idx::timestamp(line, 0).is_some() {
                Some(Self::Idx)
            } else if ogm::time(line, 0).is_some() {
                Some(Self::Ogm)
            } else if microdvd::is_cue(line) {
                Some(Self::MicroDvd)
            } else {
                None
            }
        })
    }

    /// The time fields of `text`; `frame_rate` is the film's, where the format counts frames and does not say.
    ///
    /// Binary formats are scanned by [`Format::scan_bytes`].
    pub fn scan(self, text: &str, frame_rate: Rational) -> Found {
        match self {
            Self::Srt => srt::scan(text),
            Self::Vtt => vtt::scan(text),
            Self::Ass => ass::scan(text),
            Self::MicroDvd => microdvd::scan(text, frame_rate),
            Self::Ttml => ttml::scan(text),
            Self::Idx => idx::scan(text),
            Self::Sup => sup::scan(text.as_bytes()),
            Self::ChaptersXml => chapters_xml::scan(text),
            Self::Ffmetadata => ffmetadata::scan(text),
            Self::Ogm => ogm::scan(text),
            Self::Json => json::scan(text),
        }
    }

    /// Ticks a second of the times that [`Format::write`] takes; `frame_rate` is for the format that counts frames.
    pub fn clock(self, frame_rate: Rational) -> Rational {
        match self {
            Self::MicroDvd => frame_rate,
            Self::Ass => Rational::whole(100),
            Self::ChaptersXml => Rational::whole(1_000_000_000),
            _ => Rational::whole(1000),
        }
    }

    /// The cues of `text`, and how many frames a second it counts in: its own word for that, or `frame_rate`.
    ///
    /// Errors: why there are none.
    pub fn read(
        self,
        text: &str,
        frame_rate: Rational,
        losses: &mut Losses,
    ) -> Result<(Vec<Cue>, Rational), String> {
        let cues = match self {
            Self::Srt => srt::read(text, losses),
            Self::Vtt => vtt::read(text, losses),
            Self::Ass => ass::read(text, losses),
            Self::MicroDvd => return Ok(microdvd::read(text, frame_rate, losses)),
            Self::Ttml => ttml::read(text, losses)?,
            Self::ChaptersXml => chapters_xml::read(text)?,
            Self::Ffmetadata => ffmetadata::read(text),
            Self::Ogm => ogm::read(text),
            Self::Json => json::read(text)?,
            Self::Idx | Self::Sup => {
                return Err(format!("{self} is pictures, which `storage-diet subs` reads"));
            }
        };
        Ok((cues, frame_rate))
    }

    /// A file of `cues`, whose times are on [`Format::clock`].
    ///
    /// Errors: a format that is pictures.
    pub fn write(self, cues: &[Cue], frame_rate: Rational, losses: &mut Losses) -> Result<String, String> {
        match self {
            Self::Srt => Ok(srt::write(cues)),
            Self::Vtt => Ok(vtt::write(cues)),
            Self::Ass => Ok(ass::write(cues)),
            Self::MicroDvd => Ok(microdvd::write(cues, frame_rate, losses)),
            Self::Ttml => Ok(ttml::write(cues)),
            Self::ChaptersXml => Ok(chapters_xml::write(cues, losses)),
            Self::Ffmetadata => Ok(ffmetadata::write(cues, losses)),
            Self::Ogm => Ok(ogm::write(cues, losses)),
            Self::Json => Ok(json::write(cues, losses)),
            Self::Idx | Self::Sup => Err(format!("{self} is pictures, which text cannot become")),
        }
    }

    /// The time fields of a binary file.
    pub fn scan_bytes(self, file: &[u8]) -> Found {
        match self {
            Self::Sup => sup::scan(file),
            _ => self.scan(&String::from_utf8_lossy(file), Rational::whole(25)),
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| format!("unknown format; there are auto, {}", names()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
