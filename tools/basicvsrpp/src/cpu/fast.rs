//! The stages made fast: weights prepared for the kernels, maps with channels together, everything threaded.

use super::{
    deform::Deform,
    direct::{Direct, Narrow},
    map::{Map, Pool, padded},
    plain::{Activation, Planes},
    sample::{self, Bilinear, Flow},
    simd::Level,
    sink::{Shuffle, ToMap, shuffled},
    winograd::{TILE, Winograd, in_order},
};
use crate::{
    Branch, EngineError, Model, Settings, Weights,
    network::{Backend, Earlier, Out},
    picture::{self, Output},
};
use rayon::prelude::*;
use std::ops::Range;

/// Values of a pixel of an RGB map.
const RGB: usize = 4;
/// Values of a pixel of what a level of the flow network works on: reference, support, flow.
const FLOW_INPUT: usize = 8;
/// Rows of the small picture that are enlarged together: the maps at full resolution are only as high as that asks.
const BAND: usize = 16;

/// The network with its weights as the kernels want them.
#[derive(Debug)]
struct Network {
    spynet: Vec<FlowLevel>,
    mean: [f32; 3],
    std: [f32; 3],
    feat_extract: (Direct, Vec<[Winograd; 2]>),
    branches: [Propagation; 4],
    reconstruction: (Winograd, Vec<[Winograd; 2]>),
    upsample1: Winograd,
    upsample2: Winograd,
    conv_hr: Winograd,
    conv_last: Narrow<3>,
}

#[derive(Debug)]
struct FlowLevel {
    convs: Vec<Direct>,
    last: Narrow<2>,
}

#[derive(Debug)]
struct Propagation {
    /// All offset convolutions but the last.
    offset: Vec<Winograd>,
    deform: Deform,
    input: Winograd,
    blocks: Vec<[Winograd; 2]>,
}

fn residual_blocks(blocks: &[[crate::Conv; 2]]) -> Vec<[Winograd; 2]> {
    let conv = |conv: &crate::Conv| Winograd::new(conv, &[conv.cin], &in_order(conv.cout));
    blocks.iter().map(|[conv1, conv2]| [conv(conv1), conv(conv2)]).collect()
}

impl Network {
    fn new(weights: &Weights) -> Self {
        let c = weights.mid_channels;
        let spynet = weights.spynet.levels.iter().map(|convs| {
            let (last, convs) = convs.split_last().expect("a level has a convolution");
            let mut stride = if convs.is_empty() { padded(FLOW_INPUT) } else { FLOW_INPUT };
            let convs = convs.iter().map(|conv| {
                let direct = Direct::new(conv, stride);
                stride = padded(conv.cout);
                direct
            });
            let convs = convs.collect();
            FlowLevel { convs, last: Narrow::new(last, stride) }
        });
        let branch = |branch: Branch| {
            let weights = &weights.branches[branch as usize];
            let mut parts = vec![c, c, c, 4];
            let hidden = &weights.align.offset[..weights.align.offset.len() - 1];
            let offset = hidden
                .iter()
                .map(|conv| {
                    Winograd::new(conv, &std::mem::replace(&mut parts, vec![conv.cout]), &in_order(conv.cout))
                })
                .collect();
            let input = &weights.backbone.input;
            Propagation {
                offset,
                deform: Deform::new(&weights.align, &parts),
                input: Winograd::new(input, &vec![c; input.cin / c], &in_order(c)),
                blocks: residual_blocks(&weights.backbone.blocks),
            }
        };
        let upsample = |conv: &crate::Conv| Winograd::new(conv, &[conv.cin], &shuffled(conv.cout));
        let (feat_extract, reconstruction) = (&weights.feat_extract, &weights.reconstruction);
        let conv_hr = &weights.conv_hr;
        Self {
            spynet: spynet.collect(),
            mean: weights.spynet.mean,
            std: weights.spynet.std,
            feat_extract: (Direct::new(&feat_extract.input, RGB), residual_blocks(&feat_extract.blocks)),
            branches: Branch::ALL.map(branch),
            reconstruction: (
                Winograd::new(&reconstruction.input, &[c; 5], &in_order(c)),
                residual_blocks(&reconstruction.blocks),
            ),
            upsample1: upsample(&weights.upsample1),
            upsample2: upsample(&weights.upsample2),
            conv_hr: Winograd::new(conv_hr, &[conv_hr.cin], &in_order(conv_hr.cout)),
            conv_last: Narrow::new(&weights.conv_last, padded(conv_hr.cout)),
        }
    }
}

/// The fast stages as a backend.
#[derive(Debug)]
pub struct Fast {
    network: Network,
    /// Channels of a feature, without padding.
    channels: usize,
    settings: Settings,
    output: Output,
    level: Level,
    workers: rayon::ThreadPool,
    maps: Pool,
    /// An enlarged picture: planes R, G, B.
    enlarged: Vec<f32>,
    wire: Vec<u8>,
}

/// One level of a frame's pyramid: normalised R, G, B.
#[derive(Debug)]
struct Image {
    width: usize,
    data: Vec<[f32; 3]>,
}

impl Fast {
    /// Prepares the network for frames of one size and the instructions of one level.
    pub fn new(
        model: &Model,
        settings: &Settings,
        output: Output,
        level: Level,
    ) -> Result<Self, EngineError> {
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.threads)
            .thread_name(|i| format!("basicvsrpp-{i}"))
            .build()
            .map_err(|e| EngineError::Failed(format!("{} threads: {e}", settings.threads)))?;
        let (width, height) = (settings.width, settings.height);
        // Places in a map are computed as float32 numbers of pixels.
        if (width + 8) * (height + 8) >= 1 << 24 {
            return Err(EngineError::Failed(format!(
                "frames of {width}x{height}: 16 million pixels are too many"
            )));
        }
        Ok(Self {
            network: workers.install(|| Network::new(&model.weights)),
            channels: model.weights.mid_channels,
            settings: settings.clone(),
            output,
            level,
            workers,
            maps: Pool::default(),
            enlarged: Vec::new(),
            wire: Vec::new(),
        })
    }

    /// A feature as the plain stages have it: for comparisons.
    pub fn feature_planes(&self, feature: &Map) -> Planes {
        let (height, width) = (feature.height(), feature.width());
        let mut planes = Planes::zeros(self.channels, height, width);
        for y in 0..height {
            for (x, pixel) in feature.row(y).chunks_exact(feature.stride()).enumerate() {
                for (c, &value) in pixel.iter().take(self.channels).enumerate() {
                    planes.data[(c * height + y) * width + x] = value;
                }
            }
        }
        planes
    }

    /// A flow field as the plain stages have it: for comparisons.
    pub fn flow_planes(&self, flow: &Flow) -> Planes {
        let mut planes = Planes::zeros(2, flow.height(), flow.width);
        let size = flow.data.len();
        for (at, vector) in flow.data.iter().enumerate() {
            (planes.data[at], planes.data[size + at]) = (vector[0], vector[1]);
        }
        planes
    }

    fn map(&self, channels: usize) -> Map {
        self.maps.map(padded(channels), self.settings.width, self.settings.height)
    }

    /// A 3x3 convolution of the whole picture.
    fn conv(&self, conv: &Winograd, inputs: &[&Map], act: Activation, add: [Option<&Map>; 2]) -> Map {
        let mut out = self.map(conv.channels());
        let sink = ToMap { out: out.canvas(), act, add: add.map(|map| map.map(Map::view)) };
        conv.run(self.level, inputs, 0..self.settings.height, sink);
        out
    }

    /// Residual blocks; `add` is added at the very end, if there is a block.
    fn blocks(&self, blocks: &[[Winograd; 2]], mut x: Map, add: Option<&Map>) -> Map {
        for (i, [conv1, conv2]) in blocks.iter().enumerate() {
            let inner = self.conv(conv1, &[&x], Activation::Relu, [None; 2]);
            let add = add.filter(|_| i + 1 == blocks.len());
            x = self.conv(conv2, &[&inner], Activation::None, [Some(&x), add]);
        }
        x
    }

    /// The pyramid of a frame, coarsest level first.
    fn pyramid(&self, frame: &Map) -> Vec<Image> {
        let Network { spynet, mean, std, .. } = &self.network;
        let multiple = 1 << (spynet.len() - 1);
        let (w, h) = (frame.width().next_multiple_of(multiple), frame.height().next_multiple_of(multiple));
        let columns = sample::positions(frame.width(), w, false);
        let rows = sample::positions(frame.height(), h, false);
        let mut finest = Image { width: w, data: vec![[0.0; 3]; w * h] };
        finest.data.par_chunks_mut(w).zip(&rows).for_each(|(out, &(y0, y1, fy))| {
            sample::resize_row([frame.row(y0), frame.row(y1)], fy, RGB, &columns, |x, rgb| {
                out[x] = std::array::from_fn(|c| (rgb[c] - mean[c]) / std[c]);
            });
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

    fn flow(&self, reference: &[Image], support: &[Image]) -> Flow {
        let coarsest = &reference[0];
        let mut flow = Flow::zeros(coarsest.width, coarsest.data.len() / coarsest.width);
        for (i, level) in self.network.spynet.iter().enumerate() {
            let (reference, support) = (&reference[i], &support[i]);
            let (w, h) = (reference.width, reference.data.len() / reference.width);
            if i > 0 {
                flow = flow.resize(w, h, true, [2.0; 2]);
            }
            let stride = if level.convs.is_empty() { padded(FLOW_INPUT) } else { FLOW_INPUT };
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
        let Settings { width, height, .. } = self.settings;
        flow.resize(width, height, false, [width as f32 / w as f32, height as f32 / h as f32])
    }

    /// Enlarges into `enlarged`.
    fn enlarge(&self, frame: &Map, features: [&Map; 5], enlarged: &mut [f32]) {
        let Network { reconstruction: (input, blocks), upsample1, upsample2, conv_hr, conv_last, .. } =
            &self.network;
        let x = self.conv(input, &features, Activation::Leaky, [None; 2]);
        let x = self.blocks(blocks, x, None);

        let Settings { width, height, .. } = self.settings;
        let bands: Vec<_> =
            (0..height).step_by(BAND).map(|y| Band::new(y..height.min(y + BAND), height)).collect();
        let most = |rows: fn(&Band) -> usize| bands.iter().map(rows).max().unwrap_or(0);
        let mut twice = self.maps.map(upsample1.channels() / 4, 2 * width, most(|b| 2 * b.upsample1.len()));
        let mut full = self.maps.map(upsample2.channels() / 4, 4 * width, most(|b| 2 * b.upsample2.len()));
        let mut hr = self.maps.map(conv_hr.channels(), 4 * width, most(|b| b.conv_hr.len()));
        let columns = sample::positions(width, 4 * width, false);
        let rows = sample::positions(height, 4 * height, false);
        for band in bands {
            twice.set_band(2 * band.upsample1.start, 2 * band.upsample1.len());
            full.set_band(2 * band.upsample2.start, 2 * band.upsample2.len());
            hr.set_band(band.conv_hr.start, band.conv_hr.len());
            let vectors = upsample1.vectors() / 4;
            upsample1.run(self.level, &[&x], band.upsample1, Shuffle { out: twice.canvas(), vectors });
            let vectors = upsample2.vectors() / 4;
            upsample2.run(self.level, &[&twice], band.upsample2, Shuffle { out: full.canvas(), vectors });
            let sink = ToMap { out: hr.canvas(), act: Activation::Leaky, add: [None; 2] };
            conv_hr.run(self.level, &[&full], band.conv_hr, sink);

            let (w, plane) = (4 * width, 16 * width * height);
            let values = band.out.start * w..band.out.end * w;
            let (r, rest) = enlarged.split_at_mut(plane);
            let (g, b) = rest.split_at_mut(plane);
            let [r, g, b] = [r, g, b].map(|plane| plane[values.clone()].par_chunks_mut(w));
            r.zip(g).zip(b).enumerate().for_each_init(
                || vec![[0.0; 3]; w],
                |residue, (i, ((r, g), b))| {
                    let y = band.out.start + i;
                    conv_last.row(self.level, &hr, y, residue);
                    let (y0, y1, fy) = rows[y];
                    sample::resize_row([frame.row(y0), frame.row(y1)], fy, RGB, &columns, |x, base| {
                        [r[x], g[x], b[x]] = std::array::from_fn(|c| residue[x][c] + base[c]);
                    });
                },
            );
        }
    }
}

/// The rows that each convolution of the tail computes for some rows of the enlarged picture, in the convolution's own
/// picture: with the rows around them that the next one wants, rounded up to whole tiles.
#[derive(Debug)]
struct Band {
    upsample1: Range<usize>,
    upsample2: Range<usize>,
    conv_hr: Range<usize>,
    out: Range<usize>,
}

impl Band {
    /// For rows `rows` of a small picture of `height` rows.
    fn new(rows: Range<usize>, height: usize) -> Self {
        let around = |rows: &Range<usize>, height: usize| {
            let start = rows.start.saturating_sub(1);
            let end = start + (rows.end + 1 - start).next_multiple_of(TILE);
            start..end.min(height)
        };
        // The rows of a picture before a pixel shuffle that make up the rows after it.
        let before = |rows: Range<usize>, height: usize| {
            let start = rows.start / 2;
            let end = start + (rows.end.div_ceil(2) - start).next_multiple_of(TILE);
            start..end.min(height)
        };
        let out = 4 * rows.start..4 * rows.end;
        let conv_hr = around(&out, 4 * height);
        let wanted = conv_hr.start.saturating_sub(1)..(conv_hr.end + 1).min(4 * height);
        let upsample2 = before(wanted, 2 * height);
        let wanted = upsample2.start.saturating_sub(1)..(upsample2.end + 1).min(2 * height);
        let upsample1 = before(wanted, height);
        Self { upsample1, upsample2, conv_hr, out }
    }
}

impl Backend for Fast {
    type Frame = Map;
    type Feature = Map;
    type Flow = Flow;

    fn frame(&mut self, wire: &bytes::Bytes) -> Result<Map, EngineError> {
        let Settings { width, height, in_fmt, .. } = self.settings;
        let planes = picture::unpack(in_fmt, width * height, wire);
        let mut map = self.maps.map(RGB, width, height);
        for (y, row) in map.rows_mut().into_iter().enumerate() {
            for (x, pixel) in row.chunks_exact_mut(RGB).enumerate() {
                for c in 0..3 {
                    pixel[c] = planes[(c * height + y) * width + x];
                }
            }
        }
        Ok(map)
    }

    fn flows(&mut self, frames: &[Map], pairs: &[(usize, usize)]) -> Result<Vec<Flow>, EngineError> {
        Ok(self.workers.install(|| {
            let pyramids: Vec<_> = frames.iter().map(|frame| self.pyramid(frame)).collect();
            pairs
                .iter()
                .map(|&(reference, support)| self.flow(&pyramids[reference], &pyramids[support]))
                .collect()
        }))
    }

    fn compose(&mut self, flow: &Flow, previous: &Flow) -> Result<Flow, EngineError> {
        Ok(self.workers.install(|| flow.compose(previous)))
    }

    fn spatial(&mut self, frame: &Map) -> Result<Map, EngineError> {
        Ok(self.workers.install(|| {
            let (input, blocks) = &self.network.feat_extract;
            let mut x = self.map(input.channels());
            input.run(self.level, frame, ToMap { out: x.canvas(), act: Activation::Leaky, add: [None; 2] });
            self.blocks(blocks, x, None)
        }))
    }

    fn align(
        &mut self,
        branch: Branch,
        spatial: &Map,
        earlier: &Earlier<'_, Self>,
    ) -> Result<Map, EngineError> {
        let Propagation { offset, deform, .. } = &self.network.branches[branch as usize];
        let none = match earlier.second {
            Some(_) => None,
            None => {
                let mut zeros = self.maps.map(spatial.stride(), spatial.width(), spatial.height());
                zeros.rows_mut().into_iter().for_each(|row| row.fill(0.0));
                Some((zeros, Flow::zeros(spatial.width(), spatial.height())))
            }
        };
        let second = earlier.second.or(none.as_ref().map(|(map, flow)| (map, flow)));
        let Some((second, second_flow)) = second else { unreachable!("one of the two is there") };
        let (first, first_flow) = (earlier.first, earlier.first_flow);
        Ok(self.workers.install(|| {
            let mut hidden = [self.map(spatial.stride()), self.map(spatial.stride())];
            sample::warp(self.level, first, first_flow, &mut hidden[0]);
            sample::warp(self.level, second, second_flow, &mut hidden[1]);
            let mut flows = self.map(4);
            let width = flows.width();
            flows.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
                for (x, out) in row.chunks_exact_mut(padded(4)).enumerate() {
                    let at = y * width + x;
                    out[..2].copy_from_slice(&first_flow.data[at]);
                    out[2..4].copy_from_slice(&second_flow.data[at]);
                    out[4..].fill(0.0);
                }
            });
            let mut out = self.map(spatial.stride());
            let Some((conv, more)) = offset.split_first() else {
                let condition = [&hidden[0], spatial, &hidden[1], &flows];
                deform.run(self.level, &condition, [first, second], [first_flow, second_flow], &mut out);
                return out;
            };
            let mut x =
                self.conv(conv, &[&hidden[0], spatial, &hidden[1], &flows], Activation::Leaky, [None; 2]);
            for conv in more {
                x = self.conv(conv, &[&x], Activation::Leaky, [None; 2]);
            }
            deform.run(self.level, &[&x], [first, second], [first_flow, second_flow], &mut out);
            out
        }))
    }

    fn refine(&mut self, branch: Branch, found: &[&Map], aligned: Option<Map>) -> Result<Map, EngineError> {
        let Propagation { input, blocks, .. } = &self.network.branches[branch as usize];
        let aligned = aligned.unwrap_or_else(|| {
            let mut zeros = self.map(input.channels());
            zeros.rows_mut().into_iter().for_each(|row| row.fill(0.0));
            zeros
        });
        Ok(self.workers.install(|| {
            let mut parts = found.to_vec();
            parts.push(&aligned);
            let add = blocks.is_empty().then_some(&aligned);
            let x = self.conv(input, &parts, Activation::Leaky, [add, None]);
            self.blocks(blocks, x, Some(&aligned))
        }))
    }

    fn reconstruct(
        &mut self,
        frame: &Map,
        features: [&Map; 5],
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let Settings { width, height, .. } = self.settings;
        let mut enlarged = std::mem::take(&mut self.enlarged);
        enlarged.resize(3 * 16 * width * height, 0.0);
        self.wire.resize(self.output.frame_bytes(4 * width, 4 * height), 0);
        self.workers.install(|| self.enlarge(frame, features, &mut enlarged));
        picture::pack(self.output, &enlarged, &mut self.wire);
        self.enlarged = enlarged;
        Ok(out(&self.wire)?)
    }
}
