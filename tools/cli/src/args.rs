//! Flags that mean the same in every tool.

use crate::{Error, Result, progress::Progress};
use clap::{Args, builder::RangedU64ValueParser};
use clap_complete::Shell;
use rawstream::{ChromaLocation, ColorRange, Container, Declared, Matrix, PixFmt};
use std::{path::PathBuf, str::FromStr};
use timebase::{Rational, Spoken};

/// Flags of the process itself.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Progress on standard error: a bar on a terminal, JSON Lines for programs
    #[arg(long, value_name = "auto|bar|json|none", default_value = "auto", hide_default_value = true)]
    pub progress: Progress,
    /// No progress and no notes, only errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more about what is done
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// At the end, write one JSON object about the run to FILE
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the completion script for SHELL and exit
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,
}

/// Worker threads.
#[derive(Args, Clone, Debug)]
pub struct ThreadArgs {
    /// Worker threads, 1 to 1024 [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

impl ThreadArgs {
    /// The number asked for, or that of the cores this process may use.
    pub fn count(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

/// What raw standard input is.
#[derive(Args, Clone, Debug)]
pub struct InputArgs {
    /// Width and height of raw input
    #[arg(short, long, value_name = "WxH")]
    pub size: Option<Size>,
    /// Pixel format of raw input, by ffmpeg's name
    #[arg(short, long, value_name = "FMT")]
    pub pix_fmt: Option<PixFmt>,
    /// Frames a second of raw input
    #[arg(short, long, value_name = "N[/D]", value_parser = parse_rate)]
    pub rate: Option<Spoken>,
    /// Fail with exit 3 unless the input has exactly N frames
    #[arg(long, value_name = "N", value_parser = frame_count())]
    pub expect_frames: Option<u64>,
}

impl InputArgs {
    /// What the flags declare the input to be.
    pub fn declared(&self) -> Declared {
        Declared {
            size: self.size.map(|s| (s.width, s.height)),
            pix_fmt: self.pix_fmt,
            rate: self.rate.as_ref().map(|r| r.value),
        }
    }
}

/// What standard output is to be, and how much of it.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Pixel format of the output
    #[arg(short = 'P', long, value_name = "FMT")]
    pub out_pix_fmt: Option<PixFmt>,
    /// Framing of the output [default: the input's; raw for RGB, which y4m cannot carry]
    #[arg(short, long, value_name = "raw|y4m")]
    pub format: Option<Container>,
    /// Emit from film frame N on; frames before it are read and serve as context
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = frame_count())]
    pub start: u64,
    /// Emit N frames, then stop reading
    #[arg(long, value_name = "N", value_parser = frame_count())]
    pub frames: Option<u64>,
}

impl OutputArgs {
    /// The framing to write: what was asked for, else the input's where it can carry `pix_fmt`.
    pub fn container(&self, input: Container, pix_fmt: PixFmt) -> Container {
        self.format.unwrap_or(if pix_fmt.is_rgb() { Container::Raw } else { input })
    }

    /// Which frames are wanted.
    pub fn emit(&self) -> Emit {
        Emit { start: self.start, frames: self.frames }
    }
}

/// What the code values of input and output mean, where the pixel format does not say it.
#[derive(Args, Clone, Debug)]
pub struct ColorArgs {
    /// Matrix of YUV input
    #[arg(long, value_name = "M")]
    pub matrix_in: Option<Matrix>,
    /// Matrix of YUV output [default: bt709]
    #[arg(long, value_name = "M")]
    pub matrix: Option<Matrix>,
    /// Range of YUV input [default: the header's, else tv]
    #[arg(long, value_name = "tv|pc")]
    pub range_in: Option<ColorRange>,
    /// Range of YUV output [default: tv]
    #[arg(long, value_name = "tv|pc")]
    pub range: Option<ColorRange>,
    /// Siting of subsampled input chroma [default: the header's, else left]
    #[arg(long, value_name = "left|center|topleft")]
    pub chromaloc_in: Option<ChromaLocation>,
    /// Siting of subsampled output chroma [default: left]
    #[arg(long, value_name = "left|center|topleft")]
    pub chromaloc: Option<ChromaLocation>,
}

/// Which frames of the film are wanted: `--start` and `--frames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emit {
    /// The first one.
    pub start: u64,
    /// How many; `None`: to the end.
    pub frames: Option<u64>,
}

impl Emit {
    /// One past the last wanted frame; `None`: to the end.
    pub fn end(self) -> Option<u64> {
        self.frames.map(|n| self.start.saturating_add(n))
    }

    /// Is frame `n` wanted?
    pub fn contains(self, n: u64) -> bool {
        n >= self.start && self.end().is_none_or(|end| n < end)
    }

    /// Was everything there that was asked for, in a stream of `available` frames? Torn otherwise.
    pub fn check(self, available: u64) -> Result<()> {
        let short = match self.end() {
            Some(end) => available < end,
            None => self.start > 0 && available <= self.start,
        };
        if !short {
            return Ok(());
        }
        let asked = match self.frames {
            Some(n) => format!("--start {} --frames {n}", self.start),
            None => format!("--start {}", self.start),
        };
        Err(Error::torn("<stdin>", format!("ended after {available} frames; {asked} was asked for")))
    }
}

/// A picture's size, `WxH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels across, 1 to 65536.
    pub width: usize,
    /// Rows down, 1 to 65536.
    pub height: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let side = |s: &str| s.parse().ok().filter(|n| (1..=65536).contains(n));
        text.split_once('x')
            .and_then(|(w, h)| Some(Self { width: side(w)?, height: side(h)? }))
            .ok_or_else(|| "a size is WxH, each 1 to 65536".into())
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A number of frames: up to a thousand years of film, so that no sum or product of such numbers overflows.
pub fn frame_count() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(..=1_000_000_000_000)
}

/// A rate above zero, exact: `25`, `24000/1001`, or `23.976` with a note.
pub fn parse_rate(text: &str) -> std::result::Result<Spoken, String> {
    let spoken = Rational::parse_rate(text).map_err(|e| e.to_string())?;
    if spoken.value.is_positive() { Ok(spoken) } else { Err("a rate is above zero".into()) }
}

/// A number of bytes: `30GB` (10^9), `28GiB` (2^30), `512M` is 10^6; a bare number is bytes.
pub fn parse_bytes(text: &str) -> std::result::Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let base = match unit.to_ascii_lowercase().trim_end_matches('b') {
        "" => 1u64,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return Err("unknown unit; there are B kB MB GB TB KiB MiB GiB TiB".into()),
    };
    let wrong = || "a size is a number and a unit, such as 30GB or 28GiB".to_owned();
    let number: Rational = number.parse().map_err(|_| wrong())?;
    let bytes =
        i64::try_from(base).ok().and_then(|b| number.checked_mul(Rational::whole(b))).ok_or_else(wrong)?;
    Ok((bytes.num() / bytes.den()).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        for (text, bytes) in [
            ("30GB", 30_000_000_000),
            ("28GiB", 28 << 30),
            ("512M", 512_000_000),
            ("1.5KiB", 1536),
            ("7", 7),
            ("29.97GB", 29_970_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "12XB", "-3GB", "1.2.3M"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!("720x576".parse(), Ok(Size { width: 720, height: 576 }));
        for text in ["720", "720x", "0x5", "x", "70000x2", "720X576"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn emit() {
        let emit = Emit { start: 3, frames: Some(2) };
        assert_eq!((0..7).filter(|&n| emit.contains(n)).collect::<Vec<_>>(), [3, 4]);
        assert!(emit.check(5).is_ok());
        let message = emit.check(4).unwrap_err().to_string();
        assert_eq!(message, "<stdin>: ended after 4 frames; --start 3 --frames 2 was asked for");
        assert!(Emit { start: 0, frames: None }.check(0).is_ok());
        assert!(Emit { start: 4, frames: None }.check(4).is_err());
    }
}
