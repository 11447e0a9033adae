//! What decides the film's bytes; a job goes on only with the settings it was begun with.

use crate::template::Template;
use cli::Size;
use rawstream::{Container, PixFmt, VideoFormat};
use serde::{Deserialize, Serialize};
use serde_json::{Value, to_value};
use sha2::{Digest, Sha256};
use timebase::Rational;

/// The settings of a job. Everything else (`--jobs`, `--max-disk`, `--verify`, …) may change from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// seg-sink's own version.
    pub(crate) version: String,
    /// `raw` or `y4m`: how frames reach the commands.
    pub(crate) format: String,
    /// The YUV4MPEG2 header line that each command reads first; empty for raw video.
    pub(crate) header: String,
    /// `WxH`.
    pub(crate) size: String,
    /// ffmpeg's name.
    pub(crate) pix_fmt: String,
    /// Frames a second of the input, `N/D`.
    pub(crate) rate: String,
    /// Frames of a full segment.
    pub(crate) segment_frames: u64,
    /// `--mezz`: its words, which are compared and never run.
    pub(crate) mezz: Value,
    /// `--final`, likewise.
    #[serde(rename = "final")]
    pub(crate) final_: Value,
}

/// What is run for each segment.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    /// `--mezz`.
    pub(crate) mezz: Option<Template>,
    /// `--final`.
    pub(crate) final_: Template,
}

impl Commands {
    /// The command that the frames of standard input go to.
    pub(crate) fn fed(&self) -> &Template {
        self.mezz.as_ref().unwrap_or(&self.final_)
    }

    fn words(&self) -> (Value, Value) {
        (to_value(&self.mezz).unwrap_or_default(), to_value(&self.final_).unwrap_or_default())
    }
}

/// The geometry that the commands' places are filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) size: Size,
    pub(crate) pix_fmt: PixFmt,
    pub(crate) rate: Rational,
}

impl Settings {
    /// The settings of a stream of that format.
    pub(crate) fn new(
        (container, format): (Container, &VideoFormat),
        rate: Rational,
        segment_frames: u64,
        commands: &Commands,
    ) -> std::io::Result<Self> {
        let mut header = Vec::new();
        rawstream::FrameWriter::new(&mut header, container, format)?;
        let (mezz, final_) = commands.words();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").into(),
            format: container.to_string(),
            header: String::from_utf8_lossy(&header).trim_end().into(),
            size: format!("{}x{}", format.width, format.height),
            pix_fmt: format.pix_fmt.to_string(),
            rate: rate.fraction(),
            segment_frames,
            mezz,
            final_,
        })
    }

    /// The same with what a later run says before it has read anything.
    pub(crate) fn with(self, segment_frames: u64, commands: &Commands) -> Self {
        let (mezz, final_) = commands.words();
        Self { version: env!("CARGO_PKG_VERSION").into(), segment_frames, mezz, final_, ..self }
    }

    /// What each command that takes frames reads first: the header, as a line; nothing for raw video.
    pub(crate) fn preamble(&self) -> Vec<u8> {
        if self.header.is_empty() { Vec::new() } else { format!("{}\n", self.header).into_bytes() }
    }

    /// The geometry in types; `None` for a journal that was written by hand.
    pub(crate) fn geometry(&self) -> Option<Geometry> {
        Some(Geometry {
            size: self.size.parse().ok()?,
            pix_fmt: self.pix_fmt.parse().ok()?,
            rate: self.rate.parse().ok().filter(|r: &Rational| r.is_positive())?,
        })
    }

    fn json(&self) -> Value {
        to_value(self).unwrap_or_default()
    }

    /// SHA-256 over all of them.
    pub(crate) fn fingerprint(&self) -> String {
        hex(&Sha256::digest(self.json().to_string()))
    }

    /// The first setting that differs, both values with it.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (self.json(), other.json());
        let names = ours.as_object()?.keys().find(|k| ours[*k] != theirs[*k])?.clone();
        Some(format!("{names} was {}, is {}", ours[&names], theirs[&names]))
    }
}

#[cfg(test)]
impl Settings {
    /// Those of a job for tests.
    pub(crate) fn example(segment_frames: u64) -> Self {
        let format = VideoFormat::new(16, 16, PixFmt::ALL[0]);
        let commands = Commands { mezz: None, final_: "encode {out}".parse().unwrap() };
        Self::new((Container::Raw, &format), Rational::whole(24), segment_frames, &commands).unwrap()
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
