//! Resizing and warping: everything that reads a picture between its pixels, but for the deformable convolution.

use super::map::{Map, View};
use rayon::prelude::*;
use simd::{Kernel, LANES, Level, Simd};

/// A flow field: `[x, y]` in pixels for every pixel, row by row.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Pixels of a row.
    pub width: usize,
    /// The pixels.
    pub data: Vec<[f32; 2]>,
}

impl Flow {
    /// No motion anywhere.
    pub fn zeros(width: usize, height: usize) -> Self {
        Self { width, data: vec![[0.0; 2]; width * height] }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.data.len() / self.width
    }

    /// `self + warp(previous, by self)`, zeros outside.
    pub fn compose(&self, previous: &Self) -> Self {
        let (width, height) = (self.width, self.height());
        let mut out = Self::zeros(width, height);
        out.data.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
            for (x, out) in row.iter_mut().enumerate() {
                let flow = self.data[y * width + x];
                let at = Bilinear::zeros_outside(x as f32 + flow[0], y as f32 + flow[1], width, height);
                *out = flow;
                for (tap, weight) in at.weights.into_iter().enumerate() {
                    let (x, y) = (at.x + (tap % 2) as isize, at.y + (tap / 2) as isize);
                    if x >= 0 && y >= 0 && x < width as isize && y < height as isize {
                        let value = previous.data[y as usize * width + x as usize];
                        out[0] += weight * value[0];
                        out[1] += weight * value[1];
                    }
                }
            }
        });
        out
    }

    /// Resized like [`resize_row`], with aligned corners or with half-pixel centres; the vectors grow by `scale`.
    pub fn resize(&self, width: usize, height: usize, align_corners: bool, scale: [f32; 2]) -> Self {
        let (w, h) = (self.width, self.height());
        let mut out = Self::zeros(width, height);
        let columns = positions(w, width, align_corners);
        let rows = positions(h, height, align_corners);
        out.data.par_chunks_mut(width).zip(&rows).for_each(|(out, &(y0, y1, fy))| {
            let (top, bottom) = (&self.data[y0 * w..][..w], &self.data[y1 * w..][..w]);
            for (out, &(x0, x1, fx)) in out.iter_mut().zip(&columns) {
                for c in 0..2 {
                    let row = |r: &[[f32; 2]]| r[x0][c] * (1.0 - fx) + r[x1][c] * fx;
                    out[c] = scale[c] * (row(top) * (1.0 - fy) + row(bottom) * fy);
                }
            }
        });
        out
    }
}

/// Two neighbours and the weight of the second for every one of `want` rows or columns among `have`.
///
/// Half-pixel centres: the edges of the pictures coincide. Aligned corners: the centres of the corner pixels do.
pub fn positions(have: usize, want: usize, align_corners: bool) -> Vec<(usize, usize, f32)> {
    let place = |i: usize| {
        if align_corners {
            i as f64 * (have - 1) as f64 / (want - 1).max(1) as f64
        } else {
            (i as f64 + 0.5) * have as f64 / want as f64 - 0.5
        }
    };
    let last = have - 1;
    let neighbours = |position: f64| {
        let position = position.clamp(0.0, last as f64);
        let first = position as usize;
        (first, (first + 1).min(last), (position - first as f64) as f32)
    };
    (0..want).map(|i| neighbours(place(i))).collect()
}

/// One row of a bilinear resize: `top` and `bottom` are rows of pixels of `stride` values, mixed by `fy`.
pub fn resize_row(
    [top, bottom]: [&[f32]; 2],
    fy: f32,
    stride: usize,
    columns: &[(usize, usize, f32)],
    mut out: impl FnMut(usize, [f32; 3]),
) {
    for (x, &(x0, x1, fx)) in columns.iter().enumerate() {
        out(
            x,
            std::array::from_fn(|c| {
                let row = |r: &[f32]| r[x0 * stride + c] * (1.0 - fx) + r[x1 * stride + c] * fx;
                row(top) * (1.0 - fy) + row(bottom) * fy
            }),
        );
    }
}

/// Four neighbours of a place and their weights.
#[derive(Clone, Copy, Debug)]
pub struct Bilinear {
    /// Column of the left ones; those on the right are one further.
    pub x: isize,
    /// Row of the upper ones; the lower ones are one further.
    pub y: isize,
    /// Upper left, upper right, lower left, lower right.
    pub weights: [f32; 4],
}

impl Bilinear {
    /// For pictures with zeros around them: places further out than a pixel move there, where all is zero anyway, so
    /// that the neighbours are at most two pixels outside. What is not a number counts as outside.
    #[inline(always)]
    pub fn zeros_outside(x: f32, y: f32, width: usize, height: usize) -> Self {
        Self::clamped(x, y, [-1.0, width as f32], [-1.0, height as f32])
    }

    /// For pictures that continue with the pixels of their edges.
    #[inline(always)]
    pub fn edge_outside(x: f32, y: f32, width: usize, height: usize) -> Self {
        Self::clamped(x, y, [0.0, (width - 1) as f32], [0.0, (height - 1) as f32])
    }

    #[inline(always)]
    fn clamped(x: f32, y: f32, xs: [f32; 2], ys: [f32; 2]) -> Self {
        // `max` first: it takes the bound where the place is not a number.
        #[allow(clippy::manual_clamp)]
        let (x, y) = (x.max(xs[0]).min(xs[1]), y.max(ys[0]).min(ys[1]));
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
        Self { x: left as isize, y: top as isize, weights }
    }
}

/// `out(y, x) = input(y + flow_y, x + flow_x)`, bilinear, zero outside, all channels.
pub fn warp(level: Level, input: &Map, flow: &Flow, out: &mut Map) {
    let view = input.view();
    assert!(flow.width == view.width && flow.data.len() == view.width * (view.bottom - view.top));
    assert!(view.stride.is_multiple_of(LANES) && out.stride() == view.stride);
    out.rows_mut().into_par_iter().enumerate().for_each(|(y, out)| {
        let flow = &flow.data[y * view.width..][..view.width];
        level.run(WarpRow { input: view, flow, y, out });
    });
}

struct WarpRow<'a> {
    input: View<'a>,
    flow: &'a [[f32; 2]],
    y: usize,
    out: &'a mut [f32],
}

impl Kernel for WarpRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let View { pitch, stride, width, bottom, .. } = self.input;
        for (x, (flow, out)) in self.flow.iter().zip(self.out.chunks_exact_mut(stride)).enumerate() {
            let at = Bilinear::zeros_outside(x as f32 + flow[0], self.y as f32 + flow[1], width, bottom);
            let [w0, w1, w2, w3] = at.weights;
            let weights = [s.splat(w0), s.splat(w1), s.splat(w2), s.splat(w3)];
            // SAFETY: the place is at most two pixels outside, in the margin; a pixel has whole vectors.
            unsafe {
                let from = self.input.pixel(at.x, at.y);
                for c in (0..stride).step_by(LANES) {
                    let from = from.add(c);
                    let v = s.mul(s.load(from), weights[0]);
                    let v = s.mul_add(s.load(from.add(stride)), weights[1], v);
                    let v = s.mul_add(s.load(from.add(pitch)), weights[2], v);
                    let v = s.mul_add(s.load(from.add(pitch + stride)), weights[3], v);
                    s.store(out.as_mut_ptr().add(c), v);
                }
            }
        }
    }
}
