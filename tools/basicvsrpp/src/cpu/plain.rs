//! The network in plain loops over planes: the specification that fast versions are tested against, and slow.
//!
//! Everything is float32 in planar order; sampling positions are computed in float32 as well, except where a resize
//! has them from integers alone.

use crate::{
    Align, Blocks, Branch, Conv, EngineError, Out, Spynet, Weights,
    network::{Backend, Earlier},
    picture::{self, Output},
};
use rawstream::RgbFmt;
use rayon::prelude::*;

/// `channels` planes of `height` rows of `width` values.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// Planes.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Values of a row.
    pub width: usize,
    /// Plane after plane, row after row.
    pub data: Vec<f32>,
}

impl Planes {
    /// Planes of zeros.
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, data: vec![0.0; channels * height * width] }
    }

    /// One plane.
    pub fn plane(&self, channel: usize) -> &[f32] {
        &self.data[channel * self.height * self.width..][..self.height * self.width]
    }

    fn at(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.data[(channel * self.height + y) * self.width + x]
    }

    /// Fills every value from its channel, row and column; planes are computed in parallel.
    fn from_fn(
        [channels, height, width]: [usize; 3],
        value: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let mut all = Self::zeros(channels, height, width);
        all.data.par_chunks_mut(height * width).enumerate().for_each(|(c, plane)| {
            for (y, row) in plane.chunks_mut(width).enumerate() {
                for (x, out) in row.iter_mut().enumerate() {
                    *out = value(c, y, x);
                }
            }
        });
        all
    }

    fn map(mut self, f: impl Fn(f32) -> f32) -> Self {
        self.data.iter_mut().for_each(|v| *v = f(*v));
        self
    }

    fn plus(mut self, other: &Self) -> Self {
        self.data.iter_mut().zip(&other.data).for_each(|(a, b)| *a += b);
        self
    }
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Negative values become zero.
    Relu,
    /// Negative values are divided by ten.
    Leaky,
}

impl Activation {
    /// The activation of one value.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => x.max(0.0),
            Self::Leaky => {
                if x < 0.0 {
                    0.1 * x
                } else {
                    x
                }
            }
        }
    }
}

/// Joins planes of the same size, channel after channel.
pub fn concat(parts: &[&Planes]) -> Planes {
    let data: Vec<f32> = parts.iter().flat_map(|p| &p.data).copied().collect();
    Planes { channels: parts.iter().map(|p| p.channels).sum(), data, ..*parts[0] }
}

/// Convolution, stride 1, zeros outside: `out[o, y, x] = act(bias[o] + sum over c, i, j of weight[o, c, i, j] *
/// in[c, y + i - k/2, x + j - k/2])`.
pub fn conv(conv: &Conv, input: &Planes, act: Activation) -> Planes {
    assert_eq!(conv.cin, input.channels);
    let (h, w, k) = (input.height, input.width, conv.k);
    let mut out = Planes::zeros(conv.cout, h, w);
    out.data.par_chunks_mut(h * w).enumerate().for_each(|(o, plane)| {
        plane.fill(conv.bias[o]);
        for c in 0..conv.cin {
            let source = input.plane(c);
            for (tap, &weight) in conv.weight[(o * conv.cin + c) * k * k..][..k * k].iter().enumerate() {
                // Rows and columns of the output whose tap is inside the picture.
                let (dy, dx) = ((tap / k) as isize - (k / 2) as isize, (tap % k) as isize - (k / 2) as isize);
                let inside = |d: isize, n: usize| {
                    let first = (-d).clamp(0, n as isize);
                    first as usize..(n as isize - d).clamp(first, n as isize) as usize
                };
                let columns = inside(dx, w);
                if columns.is_empty() {
                    continue;
                }
                let from = (columns.start as isize + dx) as usize;
                for y in inside(dy, h) {
                    let row = &source[(y as isize + dy) as usize * w..][from..from + columns.len()];
                    for (sum, value) in plane[y * w..][columns.clone()].iter_mut().zip(row) {
                        *sum += weight * value;
                    }
                }
            }
        }
        plane.iter_mut().for_each(|v| *v = act.of(*v));
    });
    out
}

/// Every second pixel: what a convolution of stride 2 keeps of one of stride 1.
pub fn every_second(input: &Planes) -> Planes {
    let size = [input.channels, input.height.div_ceil(2), input.width.div_ceil(2)];
    Planes::from_fn(size, |c, y, x| input.at(c, 2 * y, 2 * x))
}

/// The spatial feature of a frame.
pub fn spatial(weights: &Weights, frame: &Planes) -> Planes {
    let mut x = frame.clone();
    for layer in &weights.strided {
        x = every_second(&conv(layer, &x, Activation::Leaky));
    }
    blocks(&weights.feat_extract, &x)
}

/// Weights of the four pixels, in a row or column, that a quarter of a picture is made of: bicubic (a = -0.75) in the
/// middle between the second and the third.
pub const QUARTER: [f32; 4] = [-0.09375, 0.59375, 0.59375, -0.09375];

/// A quarter of the width and height, which are multiples of four; bicubic with half-pixel centres, not smoothed.
pub fn quarter(input: &Planes) -> Planes {
    Planes::from_fn([input.channels, input.height / 4, input.width / 4], |c, y, x| {
        let row = |i: usize| (0..4).map(|j| QUARTER[j] * input.at(c, 4 * y + i, 4 * x + j)).sum::<f32>();
        (0..4).map(|i| QUARTER[i] * row(i)).sum()
    })
}

/// Residual blocks with input convolution.
pub fn blocks(weights: &Blocks, input: &Planes) -> Planes {
    let mut x = conv(&weights.input, input, Activation::Leaky);
    for [conv1, conv2] in &weights.blocks {
        let inner = conv(conv1, &x, Activation::Relu);
        x = conv(conv2, &inner, Activation::None).plus(&x);
    }
    x
}

/// `out[c, 2y + i, 2x + j] = in[4c + 2i + j, y, x]`
pub fn pixel_shuffle(input: &Planes) -> Planes {
    Planes::from_fn([input.channels / 4, 2 * input.height, 2 * input.width], |c, y, x| {
        input.at(4 * c + 2 * (y % 2) + x % 2, y / 2, x / 2)
    })
}

/// Two neighbours and the weight of the second.
fn neighbours(position: f64, n: usize) -> (usize, usize, f32) {
    let position = position.clamp(0.0, (n - 1) as f64);
    let first = position as usize;
    (first, (first + 1).min(n - 1), (position - first as f64) as f32)
}

/// Bilinear resize. `position(i, have, want)` is where output row or column `i` of `want` lies among `have` of the
/// input, in input pixels; positions outside are those of the edge.
fn resize(input: &Planes, height: usize, width: usize, position: fn(usize, usize, usize) -> f64) -> Planes {
    let (h, w) = (input.height, input.width);
    Planes::from_fn([input.channels, height, width], |c, y, x| {
        let (y0, y1, fy) = neighbours(position(y, h, height), h);
        let (x0, x1, fx) = neighbours(position(x, w, width), w);
        let row = |y| input.at(c, y, x0) * (1.0 - fx) + input.at(c, y, x1) * fx;
        row(y0) * (1.0 - fy) + row(y1) * fy
    })
}

/// Bilinear resize with half-pixel centres: the edges of the pictures coincide.
pub fn resize_half_pixel(input: &Planes, height: usize, width: usize) -> Planes {
    resize(input, height, width, |i, have, want| (i as f64 + 0.5) * have as f64 / want as f64 - 0.5)
}

/// Bilinear resize with aligned corners: the centres of the corner pixels coincide.
pub fn resize_align_corners(input: &Planes, height: usize, width: usize) -> Planes {
    resize(input, height, width, |i, have, want| i as f64 * (have - 1) as f64 / (want - 1).max(1) as f64)
}

/// Mean of 2 x 2 pixels; width and height are even.
pub fn halve(input: &Planes) -> Planes {
    Planes::from_fn([input.channels, input.height / 2, input.width / 2], |c, y, x| {
        let at = |i, j| input.at(c, 2 * y + i, 2 * x + j);
        (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) * 0.25
    })
}

/// Bilinear sample where each tap outside the picture counts as zero.
pub fn sample_zeros(input: &Planes, channel: usize, y: f32, x: f32) -> f32 {
    let (h, w) = (input.height as f32, input.width as f32);
    // Outside of this everything is zero; as a number that is none fails both comparisons, so it is zero as well.
    if !(y > -1.0 && y < h && x > -1.0 && x < w) {
        return 0.0;
    }
    let (top, left) = (y.floor(), x.floor());
    let (fy, fx) = (y - top, x - left);
    let tap = |y: isize, x: isize| {
        let inside = y >= 0 && x >= 0 && y < input.height as isize && x < input.width as isize;
        if inside { input.at(channel, y as usize, x as usize) } else { 0.0 }
    };
    let (top, left) = (top as isize, left as isize);
    let row = |y| tap(y, left) * (1.0 - fx) + tap(y, left + 1) * fx;
    row(top) * (1.0 - fy) + row(top + 1) * fy
}

/// `out(y, x) = in(y + flow_y, x + flow_x)`, bilinear, zero outside.
pub fn warp_zeros(input: &Planes, flow: &Planes) -> Planes {
    Planes::from_fn([input.channels, input.height, input.width], |c, y, x| {
        sample_zeros(input, c, y as f32 + flow.at(1, y, x), x as f32 + flow.at(0, y, x))
    })
}

/// `out(y, x) = in(y + flow_y, x + flow_x)`, bilinear, the edge repeated outside.
pub fn warp_edge(input: &Planes, flow: &Planes) -> Planes {
    let (bottom, right) = ((input.height - 1) as f32, (input.width - 1) as f32);
    Planes::from_fn([input.channels, input.height, input.width], |c, y, x| {
        // `max` first: it turns what is not a number into the edge.
        let sy = (y as f32 + flow.at(1, y, x)).max(0.0).min(bottom);
        let sx = (x as f32 + flow.at(0, y, x)).max(0.0).min(right);
        sample_zeros(input, c, sy, sx)
    })
}

/// The pyramid of a frame: resized to multiples of [`Spynet::multiple`], normalised, halved; coarsest first.
pub fn pyramid(weights: &Spynet, frame: &Planes) -> Vec<Planes> {
    let multiple = weights.multiple();
    let (h, w) = (frame.height.next_multiple_of(multiple), frame.width.next_multiple_of(multiple));
    let mut level = resize_half_pixel(frame, h, w);
    for (c, plane) in level.data.chunks_exact_mut(h * w).enumerate() {
        plane.iter_mut().for_each(|v| *v = (*v - weights.mean[c]) / weights.std[c]);
    }
    let mut levels = vec![level];
    while levels.len() < weights.levels.len() {
        levels.push(halve(&levels[levels.len() - 1]));
    }
    levels.reverse();
    levels
}

/// The flow from a reference frame to a supporting one out of their pyramids, resized to `height` x `width`.
pub fn flow(
    weights: &Spynet,
    reference: &[Planes],
    support: &[Planes],
    height: usize,
    width: usize,
) -> Planes {
    let mut flow = Planes::zeros(2, reference[0].height, reference[0].width);
    for (level, convs) in weights.levels.iter().enumerate() {
        let (reference, support) = (&reference[level], &support[level]);
        if level > 0 {
            flow = resize_align_corners(&flow, reference.height, reference.width).map(|v| 2.0 * v);
        }
        let mut x = concat(&[reference, &warp_edge(support, &flow), &flow]);
        for (i, layer) in convs.iter().enumerate() {
            let last = i + 1 == convs.len();
            x = conv(layer, &x, if last { Activation::None } else { Activation::Relu });
        }
        flow = flow.plus(&x);
    }
    let (h, w) = (flow.height, flow.width);
    let mut flow = resize_half_pixel(&flow, height, width);
    for (plane, scale) in
        flow.data.chunks_exact_mut(height * width).zip([width as f32 / w as f32, height as f32 / h as f32])
    {
        plane.iter_mut().for_each(|v| *v *= scale);
    }
    flow
}

/// What the offset convolutions of an alignment give, before the limits: `27 * groups` channels.
pub fn offsets(
    weights: &Align,
    spatial: &Planes,
    [first, second]: [&Planes; 2],
    flows: [&Planes; 2],
) -> Planes {
    let warped = [warp_zeros(first, flows[0]), warp_zeros(second, flows[1])];
    let mut x = concat(&[&warped[0], spatial, &warped[1], flows[0], flows[1]]);
    for (i, layer) in weights.offset.iter().enumerate() {
        let last = i + 1 == weights.offset.len();
        x = conv(layer, &x, if last { Activation::None } else { Activation::Leaky });
    }
    x
}

/// Offsets stay within this many pixels of the flow.
pub const MAX_RESIDUE: f32 = 10.0;

/// Modulated deformable convolution of `[first, second]` (`2C` channels): tap `k` of group `g` samples at its own
/// place plus `10 tanh(offset)` plus the flow of its order, times the logistic of its mask.
pub fn deform(
    weights: &Align,
    [first, second]: [&Planes; 2],
    flows: [&Planes; 2],
    offsets: &Planes,
) -> Planes {
    let (h, w) = (first.height, first.width);
    let input = concat(&[first, second]);
    let groups = weights.groups();
    let share = input.channels / groups;
    let conv = &weights.deform;
    let mut by_pixel = vec![0.0; h * w * conv.cout];
    by_pixel.par_chunks_mut(w * conv.cout).enumerate().for_each(|(y, row)| {
        // The samples that all output channels of a pixel share: `2C, 3, 3`.
        let mut column = vec![0.0; 9 * input.channels];
        for (x, out) in row.chunks_exact_mut(conv.cout).enumerate() {
            for g in 0..groups {
                let flow = flows[usize::from(2 * g >= groups)];
                for k in 0..9 {
                    let residue = |i| MAX_RESIDUE * offsets.at(2 * (9 * g + k) + i, y, x).tanh();
                    let sy = (y + k / 3) as f32 - 1.0 + (residue(0) + flow.at(1, y, x));
                    let sx = (x + k % 3) as f32 - 1.0 + (residue(1) + flow.at(0, y, x));
                    let mask = 1.0 / (1.0 + (-offsets.at(18 * groups + 9 * g + k, y, x)).exp());
                    for c in g * share..(g + 1) * share {
                        column[9 * c + k] = mask * sample_zeros(&input, c, sy, sx);
                    }
                }
            }
            for (o, out) in out.iter_mut().enumerate() {
                let weight = &conv.weight[o * column.len()..][..column.len()];
                *out = conv.bias[o] + weight.iter().zip(&column).map(|(w, v)| w * v).sum::<f32>();
            }
        }
    });
    Planes::from_fn([conv.cout, h, w], |c, y, x| by_pixel[(y * w + x) * conv.cout + c])
}

/// The enlarged picture, not clipped.
pub fn reconstruct(weights: &Weights, frame: &Planes, features: [&Planes; 5]) -> Planes {
    let x = blocks(&weights.reconstruction, &concat(&features));
    let x = pixel_shuffle(&conv(&weights.upsample1, &x, Activation::None)).map(|v| Activation::Leaky.of(v));
    let x = pixel_shuffle(&conv(&weights.upsample2, &x, Activation::None)).map(|v| Activation::Leaky.of(v));
    let x = conv(&weights.conv_hr, &x, Activation::Leaky);
    // A network that keeps the size has the frame itself as its base.
    let base = resize_half_pixel(frame, x.height, x.width);
    conv(&weights.conv_last, &x, Activation::None).plus(&base)
}

/// The plain stages as a backend.
#[derive(Debug)]
pub struct Plain<'a> {
    /// The network.
    pub weights: &'a Weights,
    /// Size of the input frames.
    pub width: usize,
    /// Size of the input frames.
    pub height: usize,
    /// Their format.
    pub input: RgbFmt,
    /// What the enlarged frames are written as.
    pub output: Output,
}

impl Backend for Plain<'_> {
    type Frame = Planes;
    type Feature = Planes;
    type Flow = Planes;

    fn frame(&mut self, wire: &bytes::Bytes) -> Result<Planes, EngineError> {
        let data = picture::unpack(self.input, self.width * self.height, wire);
        Ok(Planes { channels: 3, height: self.height, width: self.width, data })
    }

    fn flows(&mut self, frames: &[Planes], pairs: &[(usize, usize)]) -> Result<Vec<Planes>, EngineError> {
        let weights = &self.weights.spynet;
        let small: Vec<_> = match self.weights.stride() {
            1 => frames.to_vec(),
            _ => frames.iter().map(quarter).collect(),
        };
        let pyramids: Vec<_> = small.iter().map(|frame| pyramid(weights, frame)).collect();
        let one = |&(reference, support): &(usize, usize)| {
            let (height, width) = (small[reference].height, small[reference].width);
            flow(weights, &pyramids[reference], &pyramids[support], height, width)
        };
        Ok(pairs.iter().map(one).collect())
    }

    fn compose(&mut self, flow: &Planes, previous: &Planes) -> Result<Planes, EngineError> {
        Ok(warp_zeros(previous, flow).plus(flow))
    }

    fn spatial(&mut self, frame: &Planes) -> Result<Planes, EngineError> {
        Ok(spatial(self.weights, frame))
    }

    fn align(
        &mut self,
        branch: Branch,
        spatial: &Planes,
        earlier: &Earlier<'_, Self>,
    ) -> Result<Planes, EngineError> {
        let weights = &self.weights.branches[branch as usize].align;
        let zeros = |channels| Planes::zeros(channels, spatial.height, spatial.width);
        let none = (&zeros(self.weights.mid_channels), &zeros(2));
        let (second, second_flow) = earlier.second.unwrap_or(none);
        let (features, flows) = ([earlier.first, second], [earlier.first_flow, second_flow]);
        let offsets = offsets(weights, spatial, features, flows);
        Ok(deform(weights, features, flows, &offsets))
    }

    fn refine(
        &mut self,
        branch: Branch,
        found: &[&Planes],
        aligned: Option<Planes>,
    ) -> Result<Planes, EngineError> {
        let aligned = aligned
            .unwrap_or_else(|| Planes::zeros(self.weights.mid_channels, found[0].height, found[0].width));
        let mut parts = found.to_vec();
        parts.push(&aligned);
        let refined = blocks(&self.weights.branches[branch as usize].backbone, &concat(&parts));
        Ok(refined.plus(&aligned))
    }

    fn reconstruct(
        &mut self,
        frame: &Planes,
        features: [&Planes; 5],
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let enlarged = reconstruct(self.weights, frame, features);
        let mut wire = vec![0; self.output.frame_bytes(enlarged.width, enlarged.height)];
        picture::pack(self.output, &enlarged.data, &mut wire);
        Ok(out(wire.into())?)
    }
}
