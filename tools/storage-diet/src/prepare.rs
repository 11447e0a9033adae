//! How a film's pictures are prepared for the network.

use crate::probe::Stream;
use cli::Size;
use deint_crop::{Crop, Scale, square_width};
use rawstream::Matrix;

/// How the source's pictures were prepared.
#[derive(Clone, Copy, Debug)]
pub struct Prepare {
    /// How large the picture became.
    pub scale: Scale,
    /// Which part of it was kept.
    pub crop: Crop,
    /// The matrix that its colours were taken to be in, where that was said; without one, its own.
    pub matrix: Option<Matrix>,
}

impl Prepare {
    /// The size of the picture that is cropped, of a source's pictures of that shape.
    pub fn scaled(&self, source: &Stream, (width, height): (usize, usize)) -> Size {
        match (self.scale, source.sample_aspect_ratio) {
            (Scale::To(size), _) => size,
            (Scale::Sar, Some(sar)) => Size { width: square_width(width, sar), height },
            (Scale::Sar | Scale::None, _) => Size { width, height },
        }
    }
}
