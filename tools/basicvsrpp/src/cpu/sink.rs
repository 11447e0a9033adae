//! Where the results of a convolution go, and what is done to them on the way.

use super::{
    map::{Canvas, View},
    plain::Activation,
};
use simd::{LANES, Simd};
use std::ops::Range;

/// Takes the results of a convolution, one vector of channels of one pixel at a time. Implementations are small, cheap
/// to copy, and `#[inline(always)]`.
pub trait Sink: Copy + Send + Sync {
    /// Whether there is a place for `vectors` vectors of every pixel of these rows of `width` pixels.
    fn takes(&self, width: usize, rows: &Range<usize>, vectors: usize) -> bool;

    /// Takes `v`, vector `vector` of the output channels at column `x` of row `y`, bias included. `tile` counts the
    /// tiles within the group that is being worked on.
    ///
    /// # Safety
    /// The pixel is one that the sink [`takes`](Self::takes), and no other thread is given it.
    unsafe fn put<S: Simd>(&self, s: S, x: usize, y: usize, tile: usize, vector: usize, v: S::V);
}

/// The activation of a vector.
#[inline(always)]
fn activate<S: Simd>(s: S, act: Activation, v: S::V) -> S::V {
    match act {
        Activation::None => v,
        Activation::Relu => s.max(v, s.splat(0.0)),
        // Where v is negative a tenth of it is the larger one.
        Activation::Leaky => s.max(v, s.mul(v, s.splat(0.1))),
    }
}

/// Into a map: activation, then the sum with up to two other maps.
#[derive(Clone, Copy, Debug)]
pub struct ToMap<'a> {
    /// The map.
    pub out: Canvas<'a>,
    /// Comes first.
    pub act: Activation,
    /// Maps that are added.
    pub add: [Option<View<'a>>; 2],
}

impl Sink for ToMap<'_> {
    fn takes(&self, width: usize, rows: &Range<usize>, vectors: usize) -> bool {
        let Canvas { stride, top, bottom, .. } = self.out;
        let same = |v: &View<'_>| {
            v.width == width && v.top <= rows.start && rows.end <= v.bottom && v.stride == stride
        };
        self.out.width == width
            && top <= rows.start
            && rows.end <= bottom
            && stride == vectors * LANES
            && self.add.iter().flatten().all(same)
    }

    #[inline(always)]
    unsafe fn put<S: Simd>(&self, s: S, x: usize, y: usize, _tile: usize, vector: usize, v: S::V) {
        let mut v = activate(s, self.act, v);
        // SAFETY: the pixel is the output's, and the other maps have it as well.
        unsafe {
            for other in self.add.iter().flatten() {
                v = s.add(v, s.load(other.pixel(x as isize, y as isize).add(vector * LANES)));
            }
            s.store(self.out.pixel(x, y).add(vector * LANES), v);
        }
    }
}

/// Through a leaky ReLU and a pixel shuffle by 2 into a map twice as wide and high. The convolution's outputs are in
/// the order of [`shuffled`].
#[derive(Clone, Copy, Debug)]
pub struct Shuffle<'a> {
    /// The map.
    pub out: Canvas<'a>,
    /// Vectors of its channels.
    pub vectors: usize,
}

/// The order of a convolution's outputs in which each vector holds channels of one pixel of the shuffled picture:
/// the four pixels one after another, each with all of its `cout / 4` channels.
pub fn shuffled(cout: usize) -> Vec<Option<usize>> {
    let channels = cout / 4;
    let lanes = channels.next_multiple_of(LANES);
    (0..4).flat_map(|pixel| (0..lanes).map(move |c| (c < channels).then_some(4 * c + pixel))).collect()
}

impl Sink for Shuffle<'_> {
    fn takes(&self, width: usize, rows: &Range<usize>, vectors: usize) -> bool {
        let Canvas { stride, top, bottom, .. } = self.out;
        self.out.width == 2 * width
            && top <= 2 * rows.start
            && 2 * rows.end <= bottom
            && stride == self.vectors * LANES
            && vectors == 4 * self.vectors
    }

    #[inline(always)]
    unsafe fn put<S: Simd>(&self, s: S, x: usize, y: usize, _tile: usize, vector: usize, v: S::V) {
        let (pixel, vector) = (vector / self.vectors, vector % self.vectors);
        let (x, y) = (2 * x + pixel % 2, 2 * y + pixel / 2);
        // SAFETY: the output has twice the size, so all four pixels are its own.
        unsafe { s.store(self.out.pixel(x, y).add(vector * LANES), activate(s, Activation::Leaky, v)) }
    }
}
