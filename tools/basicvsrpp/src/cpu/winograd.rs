//! 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): 36 products for 16 outputs instead of 144.
//!
//! A tile of 4x4 outputs comes from 6x6 inputs: `Y = A' [ (G g G') . (B' d B) ] A`, summed over input channels between
//! the brackets, which is 36 small matrix products (tiles x input channels x output channels), one for each place of
//! the transformed tile. See Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
//!
//! The textbook's interpolation points 0, ±1, ±2 lose more than two bits. With 0, ±5/8, ±3/2 and infinity the error is
//! 2.4 times that of summing directly, instead of 5 times (root mean square, 64 channels), and all of the factors below
//! are exact in float32.

use super::{
    buffer::Buffer,
    gemm::{self, Tile},
    map::{Map, View, padded},
    sink::Sink,
};
use crate::Conv;
use rayon::prelude::*;
use simd::{Kernel, LANES, Level, Simd};
use std::{cell::RefCell, ops::Range};

/// Side of a tile of outputs.
pub const TILE: usize = 4;
/// Side of the inputs that a tile of outputs depends on.
const SPAN: usize = TILE + 2;
/// Places of a transformed tile.
const PLACES: usize = SPAN * SPAN;
/// Tiles that are worked on together: enough to use the weights well, few enough for the second-level cache.
const GROUP: usize = 48;
/// Input channels that are transformed together.
const SLICE: usize = 64;
/// Vectors of output channels whose sums are held together.
const BLOCK: usize = 4;

/// The squares of the interpolation points that are neither zero nor infinite.
const A: f32 = 0.625;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

/// A convolution's weights, transformed.
#[derive(Debug)]
pub struct Winograd {
    slices: Vec<Slice>,
    /// Vectors of output channels.
    vectors: usize,
    /// For each block of outputs, slice and place: `vectors in the block, slice depth, LANES`.
    weights: Buffer,
    /// `vectors * LANES`
    bias: Buffer,
    /// Values of one place of a transformed tile: the channels of the deepest slice, padded.
    row: usize,
}

/// Input channels `first..first + depth` of input map `part`.
#[derive(Clone, Copy, Debug)]
struct Slice {
    part: usize,
    first: usize,
    depth: usize,
}

/// The convolution's own output channels, padded to whole vectors.
pub fn in_order(cout: usize) -> Vec<Option<usize>> {
    (0..padded(cout)).map(|o| (o < cout).then_some(o)).collect()
}

impl Winograd {
    /// Prepares `conv`, whose input is `parts` (numbers of channels) one after another, each a map of its own.
    /// `outputs` says which output channel each lane holds; lanes without one give zero.
    pub fn new(conv: &Conv, parts: &[usize], outputs: &[Option<usize>]) -> Self {
        assert_eq!((conv.k, conv.cin, outputs.len() % LANES), (3, parts.iter().sum(), 0));
        let mut slices = Vec::new();
        for (part, &channels) in parts.iter().enumerate() {
            let firsts = (0..channels).step_by(SLICE);
            slices.extend(firsts.map(|first| Slice { part, first, depth: SLICE.min(channels - first) }));
        }
        let vectors = outputs.len() / LANES;
        let mut weights = Vec::new();
        for block in outputs.chunks(BLOCK * LANES) {
            for slice in &slices {
                let before: usize = parts[..slice.part].iter().sum::<usize>() + slice.first;
                // Transformed kernels of all pairs first, since a place takes one value of each.
                let pairs: Vec<_> = block
                    .par_iter()
                    .map(|&o| {
                        let kernel = |c: usize| {
                            let o = o?;
                            let at = (o * conv.cin + before + c) * 9;
                            conv.weight[at..at + 9].first_chunk::<9>()
                        };
                        (0..slice.depth)
                            .map(|c| kernel(c).map_or([0.0; PLACES], transform_kernel))
                            .collect::<Vec<_>>()
                    })
                    .collect();
                for place in 0..PLACES {
                    for vector in pairs.chunks(LANES) {
                        for c in 0..slice.depth {
                            weights.extend(vector.iter().map(|kernels| kernels[c][place]));
                        }
                    }
                }
            }
        }
        let bias: Vec<_> = outputs.iter().map(|o| o.map_or(0.0, |o| conv.bias[o])).collect();
        let row = slices.iter().map(|slice| padded(slice.depth)).max().unwrap_or(LANES);
        Self { slices, vectors, weights: weights.into(), bias: bias.into(), row }
    }

    /// Vectors of output channels.
    pub fn vectors(&self) -> usize {
        self.vectors
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        (self.weights.len() * size_of::<f32>()) as u64
    }

    /// Output channels, padding included.
    pub fn channels(&self) -> usize {
        self.vectors * LANES
    }

    /// Convolves rows `rows` of the picture. Rows just outside of `rows` must be in the inputs, or be the picture's
    /// margin; the height of `rows` is a multiple of [`TILE`] except where the picture ends.
    pub fn run<K: Sink>(&self, level: Level, inputs: &[&Map], rows: Range<usize>, sink: K) {
        let views: Vec<_> = inputs.iter().map(|map| map.view()).collect();
        assert!(sink.takes(views[0].width, &rows, self.vectors));
        let grid = self.grid(&views, rows);
        let groups = grid.tiles().div_ceil(GROUP);
        (0..groups).into_par_iter().for_each(|group| {
            SCRATCH.with_borrow_mut(|scratch| {
                let tiles = group * GROUP..grid.tiles().min((group + 1) * GROUP);
                level.run(Group { weights: self, inputs: &views, grid: &grid, tiles, scratch, sink });
            });
        });
    }

    /// The tiles of rows `rows`, after checking that the inputs have them and all of their channels.
    pub fn grid(&self, inputs: &[View<'_>], rows: Range<usize>) -> Grid {
        let width = inputs[0].width;
        for input in inputs {
            assert!(input.width == width && input.top <= rows.start && rows.end <= input.bottom);
        }
        for slice in &self.slices {
            assert!(slice.first + padded(slice.depth) <= inputs[slice.part].stride);
        }
        Grid { width, across: width.div_ceil(TILE), rows }
    }

    /// Convolves some tiles of `grid`, which [`grid`](Self::grid) has made of the same inputs.
    ///
    /// # Safety
    /// That of the sink for every pixel of the tiles.
    #[inline(always)]
    pub unsafe fn tiles<S: Simd, K: Sink>(
        &self,
        s: S,
        inputs: &[View<'_>],
        grid: &Grid,
        tiles: Range<usize>,
        scratch: &mut Scratch,
        sink: K,
    ) {
        let at_once = gemm::pixels::<S>(self.vectors);
        let sums_row = BLOCK.min(self.vectors) * LANES;
        // Of a transformed tile, one place after another; of a place, `at_once` tiles; then a vector of padding, since
        // at a distance of whole kilobytes all places would fall into the same few lines of the first-level cache.
        let transformed_place = at_once * self.row + LANES;
        let sums_place = at_once * sums_row + LANES;
        let chunks = tiles.len().div_ceil(at_once);
        scratch.transformed.reserve(chunks * PLACES * transformed_place);
        scratch.sums.reserve(chunks * PLACES * sums_place);
        let (transformed, sums) = (scratch.transformed.as_mut_ptr(), scratch.sums.as_mut_ptr());
        let mut weights = self.weights.as_ptr();
        for block in (0..self.vectors).step_by(BLOCK) {
            let block_vectors = BLOCK.min(self.vectors - block);
            for (i, slice) in self.slices.iter().enumerate() {
                if block == 0 || self.slices.len() > 1 {
                    let input = &inputs[slice.part];
                    for (t, tile) in tiles.clone().enumerate() {
                        let (x, y) = grid.corner(tile);
                        let to = t / at_once * PLACES * transformed_place + t % at_once * self.row;
                        for c in (0..slice.depth).step_by(LANES) {
                            // SAFETY: a tile's inputs reach from one pixel before its corner to four beyond, which is
                            // inside the margin; a pixel's channels fill whole vectors. Scratch has been sized.
                            unsafe {
                                let from = input.pixel(x as isize - 1, y as isize - 1).add(slice.first + c);
                                let to = transformed.add(to + c);
                                transform_input(s, from, input.stride, input.pitch, to, transformed_place);
                            }
                        }
                    }
                }
                for place in 0..PLACES {
                    let mut n = 0;
                    while n < block_vectors {
                        let vectors = gemm::most_vectors::<S>().min(block_vectors - n);
                        // SAFETY: scratch has been sized; the weights have `block_vectors` vectors of `depth` rows for
                        // the place.
                        unsafe {
                            let product = Product {
                                a: transformed.add(place * transformed_place),
                                a_row: self.row,
                                a_chunk: PLACES * transformed_place,
                                b: weights.add(n * slice.depth * LANES),
                                sums: sums.add(place * sums_place + n * LANES),
                                sums_row,
                                sums_chunk: PLACES * sums_place,
                                depth: slice.depth,
                                chunks,
                                first: i == 0,
                            };
                            gemm::tile(s, at_once, vectors, product);
                        }
                        n += vectors;
                    }
                    // SAFETY: `new` has put as many weights there.
                    weights = unsafe { weights.add(block_vectors * slice.depth * LANES) };
                }
            }
            for (t, tile) in tiles.clone().enumerate() {
                let (x, y) = grid.corner(tile);
                let (columns, rows) = (TILE.min(grid.width - x), TILE.min(grid.rows.end - y));
                let from = t / at_once * PLACES * sums_place + t % at_once * sums_row;
                for n in 0..block_vectors {
                    // SAFETY: the sums of all tiles are there; the sink is given pixels of the tile only.
                    unsafe {
                        let bias = s.load(self.bias.as_ptr().add((block + n) * LANES));
                        let out = transform_output(s, sums.add(from + n * LANES), sums_place);
                        for (j, row) in out.iter().enumerate().take(rows) {
                            for (i, &v) in row.iter().enumerate().take(columns) {
                                sink.put(s, x + i, y + j, t, block + n, s.add(v, bias));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The tiles of some rows of a picture, row by row.
#[derive(Debug)]
pub struct Grid {
    width: usize,
    rows: Range<usize>,
    across: usize,
}

impl Grid {
    /// How many there are.
    pub fn tiles(&self) -> usize {
        self.across * self.rows.len().div_ceil(TILE)
    }

    /// Column and row of a tile's first pixel.
    #[inline(always)]
    pub fn corner(&self, tile: usize) -> (usize, usize) {
        (tile % self.across * TILE, self.rows.start + tile / self.across * TILE)
    }
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Transformed inputs: chunks of tiles, places, tiles, channels.
    transformed: Buffer,
    /// Their products with the weights: chunks of tiles, places, tiles, output channels of a block.
    sums: Buffer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

struct Group<'a, K> {
    weights: &'a Winograd,
    inputs: &'a [View<'a>],
    grid: &'a Grid,
    tiles: Range<usize>,
    scratch: &'a mut Scratch,
    sink: K,
}

impl<K: Sink> Kernel for Group<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the sink takes all of the grid's pixels; groups do not share tiles, so each is written by one thread.
        unsafe { self.weights.tiles(s, self.inputs, self.grid, self.tiles, self.scratch, self.sink) }
    }
}

/// The products of one place: `sums[tile] (+)= a[tile] * b` for chunks of tiles.
struct Product {
    a: *const f32,
    a_row: usize,
    a_chunk: usize,
    b: *const f32,
    sums: *mut f32,
    sums_row: usize,
    sums_chunk: usize,
    depth: usize,
    chunks: usize,
    /// Whether the sums begin here.
    first: bool,
}

impl Tile for Product {
    #[inline(always)]
    unsafe fn run<S: Simd, const P: usize, const N: usize>(self, s: S) {
        for chunk in 0..self.chunks {
            // SAFETY: the creator has seen to it that everything is there for whole chunks of `P` tiles.
            unsafe {
                let sums = self.sums.add(chunk * self.sums_chunk);
                let mut acc = [[s.splat(0.0); N]; P];
                if !self.first {
                    for (p, acc) in acc.iter_mut().enumerate() {
                        for (n, acc) in acc.iter_mut().enumerate() {
                            *acc = s.load(sums.add(p * self.sums_row + n * LANES));
                        }
                    }
                }
                let a = self.a.add(chunk * self.a_chunk);
                gemm::accumulate(s, &mut acc, a, self.a_row, self.b, self.depth * LANES, self.depth);
                for (p, acc) in acc.iter().enumerate() {
                    for (n, &acc) in acc.iter().enumerate() {
                        s.store(sums.add(p * self.sums_row + n * LANES), acc);
                    }
                }
            }
        }
    }
}

/// One dimension of the input transform `B'`: six inputs to the places of points 0, a, -a, b, -b and infinity.
#[inline(always)]
fn input_points<S: Simd>(s: S, d: [S::V; SPAN]) -> [S::V; SPAN] {
    // x (x^2 - b^2) (x ± a), and the same with a and b exchanged, in even and odd parts.
    let even_a = s.mul_sub_from(s.splat(B2), d[2], d[4]);
    let odd_a = s.mul_sub_from(s.splat(B2), d[1], d[3]);
    let even_b = s.mul_sub_from(s.splat(A2), d[2], d[4]);
    let odd_b = s.mul_sub_from(s.splat(A2), d[1], d[3]);
    // (x^2 - a^2) (x^2 - b^2), once plain and once times x.
    [
        s.mul_add(s.splat(A2 * B2), d[0], s.mul_sub_from(s.splat(A2 + B2), d[2], d[4])),
        s.mul_add(s.splat(A), odd_a, even_a),
        s.mul_sub_from(s.splat(A), odd_a, even_a),
        s.mul_add(s.splat(B), odd_b, even_b),
        s.mul_sub_from(s.splat(B), odd_b, even_b),
        s.mul_add(s.splat(A2 * B2), d[1], s.mul_sub_from(s.splat(A2 + B2), d[3], d[5])),
    ]
}

/// One dimension of the output transform `A'`: the places of a product to four outputs.
#[inline(always)]
fn output_points<S: Simd>(s: S, m: [S::V; SPAN]) -> [S::V; TILE] {
    let (even_a, odd_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(even_a, even_b)),
        s.mul_add(s.splat(A), odd_a, s.mul(s.splat(B), odd_b)),
        s.mul_add(s.splat(A2), even_a, s.mul(s.splat(B2), even_b)),
        s.mul_add(s.splat(A * A2), odd_a, s.mul_add(s.splat(B * B2), odd_b, m[5])),
    ]
}

/// Transforms a vector of channels of the 6x6 pixels at `from`; the values go to `to`, one `place` apart.
///
/// # Safety
/// The pixels are readable and the places writable.
#[inline(always)]
unsafe fn transform_input<S: Simd>(
    s: S,
    from: *const f32,
    stride: usize,
    pitch: usize,
    to: *mut f32,
    place: usize,
) {
    let mut rows = [[s.splat(0.0); SPAN]; SPAN];
    for (y, row) in rows.iter_mut().enumerate() {
        let mut d = [s.splat(0.0); SPAN];
        for (x, d) in d.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *d = unsafe { s.load(from.add(y * pitch + x * stride)) };
        }
        *row = input_points(s, d);
    }
    #[allow(clippy::needless_range_loop)] // x is the column's place as well
    for x in 0..SPAN {
        let column = [rows[0][x], rows[1][x], rows[2][x], rows[3][x], rows[4][x], rows[5][x]];
        for (y, &v) in input_points(s, column).iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { s.store(to.add((y * SPAN + x) * place), v) };
        }
    }
}

/// The 4x4 outputs, row by row, of the products at `from`, which are one `place` apart.
///
/// # Safety
/// All places are readable.
#[inline(always)]
unsafe fn transform_output<S: Simd>(s: S, from: *const f32, place: usize) -> [[S::V; TILE]; TILE] {
    let mut half = [[s.splat(0.0); SPAN]; TILE];
    #[allow(clippy::needless_range_loop)] // as above
    for x in 0..SPAN {
        let mut m = [s.splat(0.0); SPAN];
        for (y, m) in m.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *m = unsafe { s.load(from.add((y * SPAN + x) * place)) };
        }
        for (y, &v) in output_points(s, m).iter().enumerate() {
            half[y][x] = v;
        }
    }
    [
        output_points(s, half[0]),
        output_points(s, half[1]),
        output_points(s, half[2]),
        output_points(s, half[3]),
    ]
}

/// `G g G'` in double precision, rounded once.
fn transform_kernel(g: &[f32; 9]) -> [f32; PLACES] {
    let (a, b) = (f64::from(A), f64::from(B));
    let (a2, b2) = (a * a, b * b);
    // Row of a point p: (1, p, p^2) over the product of its distances to the other points.
    let row = |p: f64, scale: f64| [1.0 / scale, p / scale, p * p / scale];
    let rows = [
        row(0.0, a2 * b2),
        row(a, 2.0 * a2 * (a2 - b2)),
        row(-a, 2.0 * a2 * (a2 - b2)),
        row(b, 2.0 * b2 * (b2 - a2)),
        row(-b, 2.0 * b2 * (b2 - a2)),
        [0.0, 0.0, 1.0],
    ];
    let mut out = [0.0; PLACES];
    for (y, along_y) in rows.iter().enumerate() {
        for (x, along_x) in rows.iter().enumerate() {
            let mut sum = 0.0;
            for (i, wy) in along_y.iter().enumerate() {
                for (j, wx) in along_x.iter().enumerate() {
                    sum += wy * wx * f64::from(g[3 * i + j]);
                }
            }
            out[y * SPAN + x] = sum as f32;
        }
    }
    out
}
