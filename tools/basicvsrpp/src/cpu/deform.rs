//! Flow-guided deformable convolution, from the last offset convolution to the aligned feature in one go.
//!
//! For a group of tiles the offsets and masks (432 numbers a pixel) are computed, used and forgotten: as a picture they
//! would be seven times the size of a feature. The samples of a few pixels become the rows of a small matrix, which is
//! multiplied with the weights while it is in the cache.

use super::{
    buffer::Buffer,
    gemm::{self, Tile},
    map::{Canvas, MARGIN, Map, View, padded},
    plain::MAX_RESIDUE,
    sample::Flow,
    sink::Sink,
    winograd::{self, Grid, TILE, Winograd},
};
use crate::Align;
use rayon::prelude::*;
use simd::{Kernel, LANES, Level, Simd};
use std::{cell::RefCell, ops::Range};

/// Tiles that are worked on together: their offsets have to stay in the second-level cache.
const GROUP: usize = 24;
/// Pixels of a tile.
const PIXELS: usize = TILE * TILE;

/// The last offset convolution and the deformable one.
#[derive(Debug)]
pub struct Deform {
    /// To `rows, columns, masks` of all taps, each padded to whole vectors.
    offsets: Winograd,
    /// Taps: 9 for each group, and padding.
    taps: usize,
    /// Groups; the first half belongs to the first order.
    groups: usize,
    /// Channels of a group.
    share: usize,
    /// Vectors of output channels.
    vectors: usize,
    /// `vectors, groups, 9, share, LANES`
    weights: Buffer,
    /// `vectors * LANES`
    bias: Buffer,
    /// For every tap its row and column in the kernel, from -1 to 1, and whether it belongs to the first order.
    places: Places,
}

#[derive(Debug)]
struct Places {
    row: Buffer,
    column: Buffer,
    first: Buffer,
    second: Buffer,
}

impl Deform {
    /// Prepares the last offset convolution and the deformable one of an alignment. `parts`: the channels of the maps
    /// that the former works on.
    pub fn new(align: &Align, parts: &[usize]) -> Self {
        let groups = align.groups();
        let real = 9 * groups;
        let taps = padded(real);
        let last = &align.offset[align.offset.len() - 1];
        // Offsets come as (row, column) pairs, then the masks.
        let section = |channel: fn(usize, usize) -> usize| {
            (0..taps).map(move |tap| (tap < real).then(|| channel(tap, real)))
        };
        let outputs: Vec<_> = section(|tap, _| 2 * tap)
            .chain(section(|tap, _| 2 * tap + 1))
            .chain(section(|tap, real| 2 * real + tap))
            .collect();
        let conv = &align.deform;
        let share = conv.cin / groups;
        let lanes = padded(conv.cout);
        let mut weights = Vec::with_capacity(lanes * conv.cin * 9);
        for first in (0..lanes).step_by(LANES) {
            for group in 0..groups {
                for k in 0..9 {
                    for c in group * share..(group + 1) * share {
                        weights.extend((first..first + LANES).map(|o| {
                            if o < conv.cout { conv.weight[(o * conv.cin + c) * 9 + k] } else { 0.0 }
                        }));
                    }
                }
            }
        }
        let bias: Vec<_> = (0..lanes).map(|o| conv.bias.get(o).copied().unwrap_or(0.0)).collect();
        let place = |f: &dyn Fn(usize) -> f32| Buffer::from((0..taps).map(f).collect::<Vec<_>>());
        let order = |first: bool| move |tap: usize| f32::from((tap < real / 2) == first);
        Self {
            offsets: Winograd::new(last, parts, &outputs),
            taps,
            groups,
            share,
            vectors: lanes / LANES,
            weights: weights.into(),
            bias: bias.into(),
            places: Places {
                row: place(&|tap| (tap % 9 / 3) as f32 - 1.0),
                column: place(&|tap| (tap % 3) as f32 - 1.0),
                first: place(&order(true)),
                second: place(&order(false)),
            },
        }
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        self.offsets.bytes() + (self.weights.len() * size_of::<f32>()) as u64
    }

    /// Aligns two features, given their flows and what the last offset convolution works on.
    pub fn run(&self, level: Level, hidden: &[&Map], features: [&Map; 2], flows: [&Flow; 2], out: &mut Map) {
        let hidden: Vec<_> = hidden.iter().map(|map| map.view()).collect();
        let grid = self.offsets.grid(&hidden, 0..out.height());
        let out = out.canvas();
        let features = features.map(|map| map.view());
        for view in features {
            // Positions are computed as float32 numbers of pixels.
            assert!(view.width == out.width && (view.width + MARGIN) * (view.bottom + 2 * MARGIN) < 1 << 24);
            assert!(view.stride == padded(self.share * self.groups / 2));
        }
        for flow in flows {
            assert!(flow.width == out.width && flow.data.len() == out.width * out.bottom);
        }
        (0..grid.tiles().div_ceil(GROUP)).into_par_iter().for_each(|group| {
            SCRATCH.with_borrow_mut(|scratch| {
                let tiles = group * GROUP..grid.tiles().min((group + 1) * GROUP);
                let (hidden, grid) = (&hidden, &grid);
                level.run(Group { deform: self, hidden, grid, tiles, features, flows, out, scratch });
            });
        });
    }
}

/// Working memory of one thread.
#[derive(Debug, Default)]
struct Scratch {
    winograd: winograd::Scratch,
    /// `GROUP, PIXELS, 3 * taps`
    offsets: Buffer,
    /// Samples of the pixels that are multiplied at once: `groups, 9, share`, and room for half a vector.
    columns: Buffer,
    /// Of one pixel: first neighbour of every tap, counted in pixels of the map.
    neighbours: Vec<i32>,
    /// Of one pixel: weights of the four neighbours, `4, taps`.
    weights: Buffer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Takes the offsets of a group of tiles.
#[derive(Clone, Copy)]
struct ToScratch {
    offsets: *mut f32,
    /// Numbers of a pixel.
    size: usize,
}

// SAFETY: it points into the working memory of the thread that uses it.
unsafe impl Send for ToScratch {}
// SAFETY: as above.
unsafe impl Sync for ToScratch {}

impl Sink for ToScratch {
    fn takes(&self, _width: usize, _rows: &Range<usize>, vectors: usize) -> bool {
        vectors * LANES == self.size
    }

    #[inline(always)]
    unsafe fn put<S: Simd>(&self, s: S, x: usize, y: usize, tile: usize, vector: usize, v: S::V) {
        let pixel = tile * PIXELS + y % TILE * TILE + x % TILE;
        // SAFETY: there is room for every pixel of a group.
        unsafe { s.store(self.offsets.add(pixel * self.size + vector * LANES), v) }
    }
}

struct Group<'a> {
    deform: &'a Deform,
    hidden: &'a [View<'a>],
    grid: &'a Grid,
    tiles: Range<usize>,
    features: [View<'a>; 2],
    flows: [&'a Flow; 2],
    out: Canvas<'a>,
    scratch: &'a mut Scratch,
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { deform, hidden, grid, tiles, features, flows, out, scratch } = self;
        let depth = 9 * deform.groups * deform.share;
        let size = 3 * deform.taps;
        scratch.offsets.reserve(GROUP * PIXELS * size);
        let at_once = gemm::pixels::<S>(deform.vectors);
        scratch.columns.reserve(at_once * depth + LANES);
        scratch.neighbours.resize(deform.taps, 0);
        scratch.weights.reserve(4 * deform.taps);
        let sink = ToScratch { offsets: scratch.offsets.as_mut_ptr(), size };
        // SAFETY: the sink has room for the group.
        unsafe { deform.offsets.tiles(s, hidden, grid, tiles.clone(), &mut scratch.winograd, sink) };

        let mut waiting = [std::ptr::null_mut(); gemm::MOST_PIXELS];
        let mut count = 0;
        for (t, tile) in tiles.enumerate() {
            let (left, top) = grid.corner(tile);
            for pixel in 0..PIXELS {
                let (x, y) = (left + pixel % TILE, top + pixel / TILE);
                if x >= out.width || y >= out.bottom {
                    continue;
                }
                // SAFETY: the pixel is the group's own; scratch has been sized above.
                unsafe {
                    waiting[count] = out.pixel(x, y);
                    let offsets = sink.offsets.add((t * PIXELS + pixel) * size);
                    let flow = flows.map(|flow| flow.data[y * flow.width + x]);
                    let (neighbours, weights) =
                        (scratch.neighbours.as_mut_ptr(), scratch.weights.as_mut_ptr());
                    deform.place(s, &features[0], offsets, [x, y], flow, neighbours, weights);
                    let column = scratch.columns.as_mut_ptr().add(count * depth);
                    deform.sample(s, &features, neighbours, weights, column);
                }
                count += 1;
                if count == at_once {
                    // SAFETY: as many pixels and columns are there.
                    unsafe { deform.multiply(s, scratch.columns.as_ptr(), depth, &waiting[..count]) };
                    count = 0;
                }
            }
        }
        // SAFETY: as above; columns of earlier pixels fill what is missing.
        unsafe { deform.multiply(s, scratch.columns.as_ptr(), depth, &waiting[..count]) };
    }
}

/// An offset in pixels, limited.
#[inline(always)]
fn residue<S: Simd>(s: S, offset: S::V) -> S::V {
    s.mul(s.splat(MAX_RESIDUE), s.tanh(offset))
}

/// `a` in the lanes where `is_a` is one, `b` where `is_b` is.
#[inline(always)]
fn either<S: Simd>(s: S, is_a: S::V, a: f32, is_b: S::V, b: f32) -> S::V {
    s.mul_add(is_a, s.splat(a), s.mul(is_b, s.splat(b)))
}

impl Deform {
    /// Where the taps of a pixel sample, and with which weights, mask included.
    ///
    /// # Safety
    /// `offsets` has `3 * taps` numbers, `neighbours` room for `taps` and `weights` for `4 * taps`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn place<S: Simd>(
        &self,
        s: S,
        view: &View<'_>,
        offsets: *const f32,
        [x, y]: [usize; 2],
        flows: [[f32; 2]; 2],
        neighbours: *mut i32,
        weights: *mut f32,
    ) {
        let one = s.splat(1.0);
        let pitch = s.splat((view.width + MARGIN) as f32);
        let (bottom, right) = (s.splat(view.bottom as f32), s.splat(view.width as f32));
        for tap in (0..self.taps).step_by(LANES) {
            // SAFETY: the caller's promise; `places` has `taps` numbers of each kind.
            unsafe {
                let first = s.load(self.places.first.as_ptr().add(tap));
                let second = s.load(self.places.second.as_ptr().add(tap));
                let row = s.add(s.splat(y as f32), s.load(self.places.row.as_ptr().add(tap)));
                let column = s.add(s.splat(x as f32), s.load(self.places.column.as_ptr().add(tap)));
                let flow_x = either(s, first, flows[0][0], second, flows[1][0]);
                let flow_y = either(s, first, flows[0][1], second, flows[1][1]);
                let dy = residue(s, s.load(offsets.add(tap)));
                let dx = residue(s, s.load(offsets.add(self.taps + tap)));
                let mask = s.logistic(s.load(offsets.add(2 * self.taps + tap)));
                // As `Bilinear::zeros_outside`, 16 at a time.
                let sy = s.min(s.max(s.add(row, s.add(dy, flow_y)), s.splat(-1.0)), bottom);
                let sx = s.min(s.max(s.add(column, s.add(dx, flow_x)), s.splat(-1.0)), right);
                let (top, left) = (s.floor(sy), s.floor(sx));
                let (fy, fx) = (s.sub(sy, top), s.sub(sx, left));
                let upper = s.mul(mask, s.sub(one, fy));
                let lower = s.mul(mask, fy);
                s.store_i32(neighbours.add(tap), s.mul_add(top, pitch, left));
                s.store(weights.add(tap), s.mul(upper, s.sub(one, fx)));
                s.store(weights.add(self.taps + tap), s.mul(upper, fx));
                s.store(weights.add(2 * self.taps + tap), s.mul(lower, s.sub(one, fx)));
                s.store(weights.add(3 * self.taps + tap), s.mul(lower, fx));
            }
        }
    }

    /// Samples the taps of a pixel: `groups, 9, share` numbers and up to half a vector of padding after them.
    ///
    /// # Safety
    /// Neighbours and weights are those of [`place`](Self::place); `column` has the room.
    #[inline(always)]
    unsafe fn sample<S: Simd>(
        &self,
        s: S,
        features: &[View<'_>; 2],
        neighbours: *const i32,
        weights: *const f32,
        column: *mut f32,
    ) {
        let (stride, pitch) = (features[0].stride, features[0].pitch);
        let mut column = column;
        for group in 0..self.groups {
            let half = self.groups / 2;
            let channel = group % half * self.share;
            for tap in 9 * group..9 * group + 9 {
                // SAFETY: neighbours are in the map or its margin. Halves of vectors may reach over the end of the
                // group, into the next group's channels, the next pixel's, or what follows the map.
                unsafe {
                    let first = features[group / half]
                        .pixel(0, 0)
                        .offset(*neighbours.add(tap) as isize * stride as isize);
                    let first = first.add(channel);
                    let w0 = s.splat_half(*weights.add(tap));
                    let w1 = s.splat_half(*weights.add(self.taps + tap));
                    let w2 = s.splat_half(*weights.add(2 * self.taps + tap));
                    let w3 = s.splat_half(*weights.add(3 * self.taps + tap));
                    for c in (0..self.share).step_by(LANES / 2) {
                        let from = first.add(c);
                        let v = s.mul_half(s.load_half(from), w0);
                        let v = s.mul_add_half(s.load_half(from.add(stride)), w1, v);
                        let v = s.mul_add_half(s.load_half(from.add(pitch)), w2, v);
                        let v = s.mul_add_half(s.load_half(from.add(pitch + stride)), w3, v);
                        s.store_half(column.add(c), v);
                    }
                    column = column.add(self.share);
                }
            }
        }
    }

    /// Multiplies the columns of some pixels with the weights and writes the pixels.
    ///
    /// # Safety
    /// There are as many columns of `depth` numbers as [`gemm::pixels`] wants, and the pixels are writable.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, s: S, columns: *const f32, depth: usize, pixels: &[*mut f32]) {
        let at_once = gemm::pixels::<S>(self.vectors);
        let mut first = 0;
        while first < self.vectors {
            let vectors = gemm::most_vectors::<S>().min(self.vectors - first);
            // SAFETY: `new` has laid the weights out like this.
            unsafe {
                let weights = self.weights.as_ptr().add(first * depth * LANES);
                let bias = self.bias.as_ptr().add(first * LANES);
                gemm::tile(s, at_once, vectors, Pixels { columns, depth, weights, bias, first, pixels });
            }
            first += vectors;
        }
    }
}

struct Pixels<'a> {
    columns: *const f32,
    depth: usize,
    weights: *const f32,
    bias: *const f32,
    first: usize,
    pixels: &'a [*mut f32],
}

impl Tile for Pixels<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const P: usize, const N: usize>(self, s: S) {
        let Self { columns, depth, weights, .. } = self;
        let mut acc = [[s.splat(0.0); N]; P];
        // SAFETY: the creator's promise.
        unsafe {
            gemm::accumulate(s, &mut acc, columns, depth, weights, depth * LANES, depth);
            for n in 0..N {
                let bias = s.load(self.bias.add(n * LANES));
                for (&pixel, acc) in self.pixels.iter().zip(&acc) {
                    s.store(pixel.add((self.first + n) * LANES), s.add(acc[n], bias));
                }
            }
        }
    }
}
