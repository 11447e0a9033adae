//! Convolution by summing directly, for kernels of any size: the flow network's 7x7, and layers with so few input or
//! output channels that a transform would not pay.

use super::{
    buffer::Buffer,
    gemm::{self, Tile},
    map::{MARGIN, Map, View, padded},
    sink::Sink,
};
use crate::Conv;
use rayon::prelude::*;
use simd::{Kernel, LANES, Level, Simd};

/// A convolution to whole vectors of output channels.
///
/// The pixels of a row lie one after another, so those under a row of the kernel are one run of numbers, and so are
/// the weights that go with them.
#[derive(Debug)]
pub struct Direct {
    k: usize,
    /// Input pixels from one output pixel to the next, across and down.
    step: usize,
    /// Values of an input pixel, padding included.
    stride: usize,
    vectors: usize,
    /// `vectors, k, k, stride, LANES`
    weights: Buffer,
    /// `vectors * LANES`
    bias: Buffer,
}

impl Direct {
    /// Prepares `conv` for maps of `stride` values a pixel, every `step`th of which has an output.
    pub fn new(conv: &Conv, stride: usize, step: usize) -> Self {
        let (k, lanes) = (conv.k, padded(conv.cout));
        let mut weights = Vec::with_capacity(lanes * k * k * stride);
        for first in (0..lanes).step_by(LANES) {
            for tap in 0..k * k {
                for c in 0..stride {
                    weights.extend((first..first + LANES).map(|o| {
                        let real = o < conv.cout && c < conv.cin;
                        if real { conv.weight[(o * conv.cin + c) * k * k + tap] } else { 0.0 }
                    }));
                }
            }
        }
        let bias: Vec<_> = (0..lanes).map(|o| conv.bias.get(o).copied().unwrap_or(0.0)).collect();
        Self { k, step, stride, vectors: lanes / LANES, weights: weights.into(), bias: bias.into() }
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        (self.weights.len() * size_of::<f32>()) as u64
    }

    /// Output channels, padding included.
    pub fn channels(&self) -> usize {
        self.vectors * LANES
    }

    /// Input pixels for one output pixel, across and down.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Convolves the whole map.
    pub fn run<K: Sink>(&self, level: Level, input: &Map, sink: K) {
        let input = input.view();
        assert!(input.stride == self.stride && input.top == 0 && self.k / 2 <= MARGIN);
        let (width, height) = (input.width.div_ceil(self.step), input.bottom.div_ceil(self.step));
        assert!(sink.takes(width, &(0..height), self.vectors));
        (0..height).into_par_iter().for_each(|y| level.run(Row { conv: self, input, y, sink }));
    }
}

struct Row<'a, K> {
    conv: &'a Direct,
    input: View<'a>,
    y: usize,
    sink: K,
}

impl<K: Sink> Kernel for Row<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Direct { k, step, stride, vectors, .. } = *self.conv;
        let at_once = gemm::pixels::<S>(vectors);
        let mut first = 0;
        while first < vectors {
            let count = gemm::most_vectors::<S>().min(vectors - first);
            // SAFETY: rows are not shared and the sink takes them; the margin is as wide as the kernel reaches.
            unsafe {
                let weights = self.conv.weights.as_ptr().add(first * k * k * stride * LANES);
                let bias = self.conv.bias.as_ptr().add(first * LANES);
                let Self { input, y, sink, .. } = self;
                gemm::tile(s, at_once, count, Pixels { k, step, input, y, weights, bias, first, sink });
            }
            first += count;
        }
    }
}

/// One row of the output, some of its vectors of channels.
struct Pixels<'a, K> {
    k: usize,
    step: usize,
    input: View<'a>,
    y: usize,
    weights: *const f32,
    bias: *const f32,
    first: usize,
    sink: K,
}

impl<K: Sink> Tile for Pixels<'_, K> {
    #[inline(always)]
    unsafe fn run<S: Simd, const P: usize, const N: usize>(self, s: S) {
        let width = self.input.width.div_ceil(self.step);
        let mut x = 0;
        // SAFETY: see the caller.
        unsafe {
            while x + P <= width {
                self.some::<S, P, N>(s, x);
                x += P;
            }
            if x < width && width >= P {
                // The last `P` pixels, some of which are done and get the same sums again: none is left over.
                self.some::<S, P, N>(s, width - P);
            } else {
                for x in x..width {
                    self.some::<S, 1, N>(s, x);
                }
            }
        }
    }
}

impl<K: Sink> Pixels<'_, K> {
    /// Pixels `x..x + P`.
    #[inline(always)]
    unsafe fn some<S: Simd, const P: usize, const N: usize>(&self, s: S, x: usize) {
        let Self { k, step, input, y, .. } = *self;
        let reach = (k / 2) as isize;
        let depth = k * input.stride;
        let mut acc = [[s.splat(0.0); N]; P];
        // SAFETY: the taps are inside the margin, and the weights are as `Direct::new` has laid them out.
        unsafe {
            for dy in 0..k {
                let a = input.pixel((step * x) as isize - reach, (step * y + dy) as isize - reach);
                let b = self.weights.add(dy * depth * LANES);
                gemm::accumulate(s, &mut acc, a, step * input.stride, b, k * depth * LANES, depth);
            }
            for n in 0..N {
                let bias = s.load(self.bias.add(n * LANES));
                for (p, acc) in acc.iter().enumerate() {
                    self.sink.put(s, x + p, y, 0, self.first + n, s.add(acc[n], bias));
                }
            }
        }
    }
}

/// A convolution to `O` single output channels: lanes run over the input channels and are summed at the end.
#[derive(Debug)]
pub struct Narrow<const O: usize> {
    k: usize,
    stride: usize,
    /// `O, k, k, stride`
    weights: Buffer,
    bias: [f32; O],
}

/// Pixels that are worked on together.
const RUN: usize = 6;

impl<const O: usize> Narrow<O> {
    /// Prepares `conv` for maps of `stride` values a pixel, whole vectors.
    pub fn new(conv: &Conv, stride: usize) -> Self {
        assert!(conv.cout == O && stride.is_multiple_of(LANES));
        let taps = conv.k * conv.k;
        let mut weights = Vec::with_capacity(O * taps * stride);
        for o in 0..O {
            for tap in 0..taps {
                let weight = |c: usize| conv.weight[(o * conv.cin + c) * taps + tap];
                weights.extend((0..stride).map(|c| if c < conv.cin { weight(c) } else { 0.0 }));
            }
        }
        Self { k: conv.k, stride, weights: weights.into(), bias: std::array::from_fn(|o| conv.bias[o]) }
    }

    /// Convolves row `y` of the picture: `O` values for each pixel.
    pub fn row(&self, level: Level, input: &Map, y: usize, out: &mut [[f32; O]]) {
        let input = input.view();
        assert!(input.stride == self.stride && input.width == out.len());
        assert!(input.top <= y && y < input.bottom);
        level.run(NarrowRow { conv: self, input, y, out });
    }
}

struct NarrowRow<'a, const O: usize> {
    conv: &'a Narrow<O>,
    input: View<'a>,
    y: usize,
    out: &'a mut [[f32; O]],
}

impl<const O: usize> Kernel for NarrowRow<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.out.len();
        let mut x = 0;
        // SAFETY: the pixels are the row's.
        unsafe {
            while x + RUN <= width {
                self.conv.some::<S, RUN>(s, &self.input, x, self.y, &mut self.out[x..]);
                x += RUN;
            }
            for x in x..width {
                self.conv.some::<S, 1>(s, &self.input, x, self.y, &mut self.out[x..]);
            }
        }
    }
}

impl<const O: usize> Narrow<O> {
    #[inline(always)]
    unsafe fn some<S: Simd, const P: usize>(
        &self,
        s: S,
        input: &View<'_>,
        x: usize,
        y: usize,
        out: &mut [[f32; O]],
    ) {
        let reach = (self.k / 2) as isize;
        let depth = self.k * self.stride;
        let mut acc = [[s.splat(0.0); O]; P];
        // SAFETY: the taps are inside the margin, and the weights are as `new` has laid them out.
        unsafe {
            for dy in 0..self.k {
                let a = input.pixel(x as isize - reach, y as isize - reach + dy as isize);
                let b = self.weights.as_ptr().add(dy * depth);
                for i in (0..depth).step_by(LANES) {
                    let mut weights = [s.splat(0.0); O];
                    for (o, w) in weights.iter_mut().enumerate() {
                        *w = s.load(b.add(o * self.k * depth + i));
                    }
                    for (p, acc) in acc.iter_mut().enumerate() {
                        let pixel = s.load(a.add(p * self.stride + i));
                        for o in 0..O {
                            acc[o] = s.mul_add(pixel, weights[o], acc[o]);
                        }
                    }
                }
            }
        }
        for (out, acc) in out.iter_mut().zip(acc) {
            for o in 0..O {
                out[o] = s.sum(acc[o]) + self.bias[o];
            }
        }
    }
}
