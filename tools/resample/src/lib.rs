//! Scaling, matrix, range, chroma siting and dither with zimg's arithmetic.
//!
//! zimg (the library behind ffmpeg's `zscale`) decides in which order and in which precision a picture is scaled,
//! its colours converted and its samples rounded; [`Converter`] decides the same, so that its pictures are zimg's.
//! `plan` holds these decisions, `filter` and `color` the numbers, `ops` the arithmetic on rows (in plain Rust, which
//! is the specification, and compiled or written for AVX2 and AVX-512, equal to it bit for bit), and `engine` pulls
//! rows through the plan: no node ever holds a whole frame.

mod color;
mod dither;
mod engine;
mod filter;
mod kernel;
mod node;
mod ops;
mod plan;
mod ring;

pub use dither::Dither;
pub use engine::Converter;
pub use kernel::Kernel;

use rawstream::{ChromaLocation, ColorRange, Matrix, PixFmt};
use simd::Level;

/// A picture's shape and what its samples mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Rows down.
    pub height: usize,
    /// Sample format.
    pub pix_fmt: PixFmt,
    /// Matrix of a YUV format; RGB has none, and this is ignored.
    pub matrix: Matrix,
    /// Range of a YUV format; RGB is always full, and this is ignored.
    pub range: ColorRange,
    /// Siting of subsampled chroma; ignored where there is none.
    pub chroma_location: ChromaLocation,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Pixels across.
    pub width: usize,
    /// Rows down.
    pub height: usize,
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
}

/// How a picture is converted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Interpolation, of luma and chroma alike.
    pub kernel: Kernel,
    /// Rounding to fewer bits.
    pub dither: Dither,
    /// The part of the target picture that is wanted; all of it when `None`. Nothing else is computed.
    pub crop: Option<Rect>,
    /// Into how many bands of rows the work is cut; each can run on a thread of its own.
    pub bands: usize,
    /// The instructions to use. Every level gives the same bits.
    pub level: Level,
}

/// Why a conversion cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);
