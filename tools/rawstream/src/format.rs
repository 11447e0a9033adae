//! What a stream is: geometry, rate and the little a header can say about colour.

use crate::{PixFmt, names};
use timebase::Rational;

/// The framing of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Frames back to back, nothing else.
    Raw,
    /// YUV4MPEG2: one header line, then `FRAME` lines before the frames.
    Y4m,
}

names!(Container, "unknown format; there are raw and y4m": "raw" => Raw, "y4m" => Y4m);

/// Which field of a frame was first in time. Displayed and read by ffprobe's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOrder {
    /// The fields are of one moment.
    Progressive,
    /// Top field first.
    Tff,
    /// Bottom field first.
    Bff,
}

names!(FieldOrder, "there are progressive, tt and bb":
    "progressive" => Progressive,
    "tt" => Tff,
    "bb" => Bff,
);

/// Range of the code values. Displayed and read by ffmpeg's names (`tv`/`pc` and their synonyms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorRange {
    /// 16 to 235 (luma) and 16 to 240 (chroma), times 2^(bits-8).
    Limited,
    /// 0 to 2^bits - 1.
    Full,
}

names!(ColorRange, "unknown range; there are tv (limited) and pc (full)":
    "tv" | "limited" | "mpeg" => Limited,
    "pc" | "full" | "jpeg" => Full,
);

/// Where chroma samples sit among luma samples. Displayed and read by ffmpeg's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChromaLocation {
    /// Left: horizontally on the left luma sample, vertically between two rows (MPEG-2, H.264, HEVC).
    Left,
    /// Centre of four luma samples (JPEG, MPEG-1).
    Center,
    /// On the top left luma sample (UHD, and PAL DV's `Cb`).
    TopLeft,
}

names!(ChromaLocation, "unknown chroma location; there are left, center and topleft":
    "left" => Left,
    "center" => Center,
    "topleft" => TopLeft,
);

/// Matrix coefficients of Y'CbCr. Displayed and read by ffmpeg's names (`color_space`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// BT.709: HDTV.
    Bt709,
    /// BT.470BG: PAL and SECAM; the numbers are BT.601's.
    Bt470bg,
    /// SMPTE 170M: NTSC; the same numbers as BT.470BG.
    Smpte170m,
    /// SMPTE 240M.
    Smpte240m,
    /// FCC.
    Fcc,
    /// BT.2020, non-constant luminance.
    Bt2020nc,
}

names!(Matrix, "unknown matrix; there are bt709, bt470bg, smpte170m, smpte240m, fcc, bt2020nc":
    "bt709" => Bt709,
    "bt470bg" => Bt470bg,
    "smpte170m" => Smpte170m,
    "smpte240m" => Smpte240m,
    "fcc" => Fcc,
    "bt2020nc" => Bt2020nc,
);

impl Matrix {
    /// Every matrix, in the order of the manual pages.
    pub const ALL: [Self; 6] =
        [Self::Bt709, Self::Bt470bg, Self::Smpte170m, Self::Smpte240m, Self::Fcc, Self::Bt2020nc];

    /// Weights of R and B in luma (H.273, table 4).
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt470bg | Self::Smpte170m => (0.299, 0.114),
            Self::Smpte240m => (0.212, 0.087),
            Self::Fcc => (0.30, 0.11),
            Self::Bt2020nc => (0.2627, 0.0593),
        }
    }
}

/// ffmpeg counts a frame's bytes in an `int`. Larger ones come of a mistyped size or a broken header, and would only
/// exhaust the memory.
const MAX_FRAME_BYTES: usize = i32::MAX as usize;

/// What a stream is. Raw video says none of it; there the flags do, and what they leave open is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoFormat {
    /// Pixels across.
    pub width: usize,
    /// Rows down.
    pub height: usize,
    /// Sample format.
    pub pix_fmt: PixFmt,
    /// Frames a second; `None` where nobody said.
    pub rate: Option<Rational>,
    /// Sample (pixel) aspect ratio; `None` where unknown.
    pub sar: Option<Rational>,
    /// Field order; `None` where unknown or where it changes from frame to frame.
    pub field_order: Option<FieldOrder>,
    /// Range of the code values.
    pub color_range: Option<ColorRange>,
    /// Where chroma sits.
    pub chroma_location: Option<ChromaLocation>,
    /// `X` tags of a YUV4MPEG2 header that mean nothing to us, as they stood, without the `X`. They pass through.
    pub extensions: Vec<String>,
}

impl VideoFormat {
    /// A format of which only the picture's shape is known.
    pub fn new(width: usize, height: usize, pix_fmt: PixFmt) -> Self {
        Self {
            width,
            height,
            pix_fmt,
            rate: None,
            sar: None,
            field_order: None,
            color_range: None,
            chroma_location: None,
            extensions: Vec::new(),
        }
    }

    /// Bytes of one frame, without framing.
    pub fn frame_bytes(&self) -> usize {
        self.pix_fmt.frame_bytes(self.width, self.height)
    }

    /// The format itself.
    ///
    /// Errors: its frames are too large to be held.
    pub fn bounded(self) -> Result<Self, String> {
        let bytes = self.frame_bytes();
        if bytes <= MAX_FRAME_BYTES {
            return Ok(self);
        }
        let Self { width, height, pix_fmt, .. } = self;
        Err(format!(
            "a frame of {width}x{height} {pix_fmt} has {bytes} bytes; {MAX_FRAME_BYTES} are the most"
        ))
    }
}
