//! Pixel formats, geometry, raw and YUV4MPEG2 framing: what flows through the pipes. The format is specified for
//! users in `rawstream(5)`.
//!
//! A [`FrameReader`] opens a stream of either framing and yields whole frames; a stream that ends inside a frame or a
//! header is an [`Error::Torn`], never an end. A [`FrameWriter`] writes whole frames. Frames are plain bytes in wire
//! order; [`VideoFormat`] says what they mean.

mod format;
mod names;
mod pipe;
mod pixfmt;
mod read;
mod write;
mod y4m;

pub use format::{ChromaLocation, ColorRange, Container, FieldOrder, Matrix, VideoFormat};
pub use pipe::{stdin, stdout};
pub use pixfmt::{Component, PixFmt, RgbFmt};
pub use read::{Declared, Error, FrameReader, PassError, Sink};
pub use write::FrameWriter;
