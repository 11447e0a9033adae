//! From two frames to the flow between them: a pyramid, each level of which corrects what the one before it found.

use super::{
    Fast,
    network::{INPUT, Network, RGB},
};
use crate::cpu::{
    direct::Direct,
    map::{Map, map_bytes, padded},
    plain::{Activation, QUARTER},
    sample::{self, Bilinear, Flow},
    sink::ToMap,
};
use rayon::prelude::*;

/// One level of a frame's pyramid: normalised R, G, B.
#[derive(Debug)]
pub struct Image {
    width: usize,
    data: Vec<[f32; 3]>,
}

impl Fast {
    /// Size of the finest level: that of a feature, rounded up so that it can be halved for every other level.
    fn finest(&self) -> (usize, usize) {
        let multiple = 1 << (self.network.spynet.len() - 1);
        (self.width.next_multiple_of(multiple), self.height.next_multiple_of(multiple))
    }

    /// Bytes of a pyramid, which has 4/3 of the pixels of its finest level.
    pub fn pyramid_bytes(&self) -> u64 {
        let (w, h) = self.finest();
        (w * h * size_of::<[f32; 3]>()) as u64 * 4 / 3
    }

    /// Bytes of the maps of all levels.
    pub fn flow_bytes(&self) -> u64 {
        let (w, h) = self.finest();
        let finest = &self.network.spynet[0].convs;
        map_bytes(finest.iter().map(Direct::channels).sum::<usize>() + padded(INPUT), w, h) * 4 / 3
    }

    /// A frame at the size of the features.
    fn small(&self, frame: &Map) -> Image {
        let mut small = Image { width: self.width, data: vec![[0.0; 3]; self.width * self.height] };
        let same = frame.width() == self.width;
        small.data.par_chunks_mut(self.width).enumerate().for_each(|(y, out)| {
            for (x, out) in out.iter_mut().enumerate() {
                *out = std::array::from_fn(|c| {
                    let at = |y: usize, x: usize| frame.row(y)[x * RGB + c];
                    if same {
                        return at(y, x);
                    }
                    let row = |i: usize| (0..4).map(|j| QUARTER[j] * at(4 * y + i, 4 * x + j)).sum::<f32>();
                    (0..4).map(|i| QUARTER[i] * row(i)).sum()
                });
            }
        });
        small
    }

    /// The pyramid of a frame, coarsest level first.
    pub fn pyramid(&self, frame: &Map) -> Vec<Image> {
        let Network { spynet, mean, std, .. } = &self.network;
        let small = self.small(frame);
        let (w, h) = self.finest();
        let columns = sample::positions(self.width, w, false);
        let rows = sample::positions(self.height, h, false);
        let row = |y: usize| &small.data[y * self.width..][..self.width];
        let mut finest = Image { width: w, data: vec![[0.0; 3]; w * h] };
        finest.data.par_chunks_mut(w).zip(&rows).for_each(|(out, &(y0, y1, fy))| {
            sample::resize_row(
                [row(y0).as_flattened(), row(y1).as_flattened()],
                fy,
                3,
                &columns,
                |x, rgb| {
                    out[x] = std::array::from_fn(|c| (rgb[c] - mean[c]) / std[c]);
                },
            );
        });
        let mut levels = vec![finest];
        while levels.len() < spynet.len() {
            let fine = &levels[levels.len() - 1];
            let width = fine.width / 2;
            let mut data = vec![[0.0; 3]; fine.data.len() / 4];
            data.par_chunks_mut(width).zip(fine.data.par_chunks(2 * fine.width)).for_each(|(out, two)| {
                let (top, bottom) = two.split_at(fine.width);
                for (x, out) in out.iter_mut().enumerate() {
                    *out = std::array::from_fn(|c| {
                        (top[2 * x][c] + top[2 * x + 1][c] + bottom[2 * x][c] + bottom[2 * x + 1][c]) * 0.25
                    });
                }
            });
            levels.push(Image { width, data });
        }
        levels.reverse();
        levels
    }

    /// The flow from a reference to its support.
    pub fn flow(&self, reference: &[Image], support: &[Image]) -> Flow {
        let coarsest = &reference[0];
        let mut flow = Flow::zeros(coarsest.width, coarsest.data.len() / coarsest.width);
        for (i, level) in self.network.spynet.iter().enumerate() {
            let (reference, support) = (&reference[i], &support[i]);
            let (w, h) = (reference.width, reference.data.len() / reference.width);
            if i > 0 {
                flow = flow.resize(w, h, true, [2.0; 2]);
            }
            let stride = if level.convs.is_empty() { padded(INPUT) } else { INPUT };
            let mut x = self.maps.map(stride, w, h);
            x.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
                for (x, out) in row.chunks_exact_mut(stride).enumerate() {
                    let moved = flow.data[y * w + x];
                    let at = Bilinear::edge_outside(x as f32 + moved[0], y as f32 + moved[1], w, h);
                    let (left, top) = (at.x as usize, at.y as usize);
                    let (right, bottom) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
                    let taps = [[top, left], [top, right], [bottom, left], [bottom, right]];
                    out[..3].copy_from_slice(&reference.data[y * w + x]);
                    for c in 0..3 {
                        let tap = |i: usize| at.weights[i] * support.data[taps[i][0] * w + taps[i][1]][c];
                        out[3 + c] = tap(0) + tap(1) + tap(2) + tap(3);
                    }
                    out[6..8].copy_from_slice(&moved);
                }
            });
            for conv in &level.convs {
                let mut out = self.maps.map(conv.channels(), w, h);
                let sink = ToMap { out: out.canvas(), act: Activation::Relu, add: [None; 2] };
                conv.run(self.level, &x, sink);
                x = out;
            }
            flow.data.par_chunks_mut(w).enumerate().for_each_init(
                || vec![[0.0; 2]; w],
                |correction, (y, row)| {
                    level.last.row(self.level, &x, y, correction);
                    for (flow, more) in row.iter_mut().zip(correction) {
                        flow[0] += more[0];
                        flow[1] += more[1];
                    }
                },
            );
        }
        let (w, h) = (flow.width, flow.height());
        let Self { width, height, .. } = *self;
        flow.resize(width, height, false, [width as f32 / w as f32, height as f32 / h as f32])
    }
}
