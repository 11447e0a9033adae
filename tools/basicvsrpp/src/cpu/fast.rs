//! The stages made fast: weights prepared for the kernels, maps with channels together, everything threaded.

use super::{
    deform::Deform,
    direct::{Direct, Narrow},
    map::{Map, Pool, map_bytes, padded},
    memory::Sizes,
    plain::{Activation, Planes, QUARTER},
    sample::{self, Bilinear, Flow},
    simd::Level,
    sink::{Shuffle, ToMap, shuffled},
    winograd::{TILE, Winograd, in_order},
};
use crate::{
    Branch, EngineError, Model, Precision, Settings, Weights,
    network::{Backend, Earlier, Out},
    picture::{self, Output},
};
use half::{f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;
use std::ops::{Deref, Range};

/// Values of a pixel of an RGB map.
const RGB: usize = 4;
/// Values of a pixel of what a level of the flow network works on: reference, support, flow.
const FLOW_INPUT: usize = 8;
/// Rows of the small picture that are enlarged together: the maps at full resolution are only as high as that asks.
const BAND: usize = 16;
/// Working memory of a thread, roughly: transformed tiles and offsets.
const THREAD_BYTES: u64 = 3 << 20;

/// The network with its weights as the kernels want them.
#[derive(Debug)]
struct Network {
    spynet: Vec<FlowLevel>,
    mean: [f32; 3],
    std: [f32; 3],
    /// Strided convolutions, if any, and the first of the feature extractor; and its blocks.
    feat_extract: (Vec<Direct>, Vec<[Winograd; 2]>),
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
                let direct = Direct::new(conv, stride, 1);
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
        let mut stride = RGB;
        let strided = weights.strided.iter().map(|conv| (conv, 2));
        let extract = strided
            .chain([(&feat_extract.input, 1)])
            .map(|(conv, step)| Direct::new(conv, std::mem::replace(&mut stride, padded(conv.cout)), step))
            .collect();
        Self {
            spynet: spynet.collect(),
            mean: weights.spynet.mean,
            std: weights.spynet.std,
            feat_extract: (extract, residual_blocks(&feat_extract.blocks)),
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
    /// Size of a feature: that of a frame, or a quarter of it in networks that keep the size.
    width: usize,
    height: usize,
    settings: Settings,
    output: Output,
    level: Level,
    workers: rayon::ThreadPool,
    maps: Pool,
    /// Frames whose spatial features are kept until the last branch.
    kept: usize,
    /// An enlarged picture: planes R, G, B.
    enlarged: Vec<f32>,
    wire: Vec<u8>,
}

impl Network {
    /// Bytes of the weights.
    fn bytes(&self) -> u64 {
        let blocks = |blocks: &[[Winograd; 2]]| blocks.iter().flatten().map(Winograd::bytes).sum::<u64>();
        let flow = self.spynet.iter().flat_map(|level| &level.convs).map(Direct::bytes).sum::<u64>();
        let branch = |b: &Propagation| {
            b.offset.iter().map(Winograd::bytes).sum::<u64>()
                + b.deform.bytes()
                + b.input.bytes()
                + blocks(&b.blocks)
        };
        let tail = [&self.reconstruction.0, &self.upsample1, &self.upsample2, &self.conv_hr];
        flow + self.feat_extract.0.iter().map(Direct::bytes).sum::<u64>()
            + blocks(&self.feat_extract.1)
            + self.branches.iter().map(branch).sum::<u64>()
            + blocks(&self.reconstruction.1)
            + tail.into_iter().map(Winograd::bytes).sum::<u64>()
    }
}

/// A feature as it waits for later branches.
#[derive(Debug)]
pub enum Feature {
    /// As it was computed.
    Single(Map),
    /// Rounded to float16: rows of pixels, no margin.
    Half(Vec<f16>),
}

/// A feature as kernels read it.
enum Opened<'a> {
    Kept(&'a Map),
    Widened(Map),
}

impl Deref for Opened<'_> {
    type Target = Map;

    fn deref(&self) -> &Map {
        match self {
            Self::Kept(map) => map,
            Self::Widened(map) => map,
        }
    }
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
        let pixels = model.weights.pixels();
        let (width, height) = (settings.width / pixels, settings.height / pixels);
        // Places in a map are computed as float32 numbers of pixels.
        if (width + 8) * (height + 8) >= 1 << 24 {
            return Err(EngineError::Failed(format!(
                "frames of {width}x{height}: 16 million pixels are too many"
            )));
        }
        Ok(Self {
            network: workers.install(|| Network::new(&model.weights)),
            channels: model.weights.mid_channels,
            width,
            height,
            settings: settings.clone(),
            output,
            level,
            workers,
            maps: Pool::default(),
            kept: usize::MAX,
            enlarged: Vec::new(),
            wire: Vec::new(),
        })
    }

    /// Sizes in memory.
    pub fn sizes(&self) -> Sizes {
        let Self { width, height, .. } = *self;
        let Settings { threads, precision, .. } = self.settings;
        let Network { spynet, reconstruction, upsample1, upsample2, conv_hr, .. } = &self.network;
        let map = map_bytes(padded(self.channels), width, height);
        let single = size_of::<f32>() as u64;
        let pixels = (width * height) as u64;
        let multiple = 1 << (spynet.len() - 1);
        let (w, h) = (width.next_multiple_of(multiple), height.next_multiple_of(multiple));
        // A pyramid has 4/3 of the pixels of its finest level.
        let strides = spynet[0].convs.iter().map(Direct::channels).sum::<usize>() + padded(FLOW_INPUT);
        let flows = map_bytes(strides, w, h) * 4 / 3;
        let rows = |scale: usize| scale * (BAND + 2 * TILE);
        let tail = map_bytes(upsample1.channels() / 4, 2 * width, rows(2))
            + map_bytes(upsample2.channels() / 4, 4 * width, rows(4))
            + map_bytes(conv_hr.channels(), 4 * width, rows(4));
        let offsets = self.network.branches[0].offset.iter().map(Winograd::channels).max().unwrap_or(0);
        // An alignment has two warped features, the flows, two maps between convolutions and its result; with float16
        // the three features that it reads are there as maps as well. A reconstruction reads five.
        let working = 4 * map
            + 2 * map_bytes(offsets, width, height)
            + 2 * map_bytes(reconstruction.0.channels(), width, height)
            + if precision == Precision::Fp16 { 5 * map } else { 0 };
        let enlarged = 16 * pixels * 3 * single + self.output.frame_bytes(4 * width, 4 * height) as u64;
        let frame = map_bytes(RGB, self.settings.width, self.settings.height)
            + 4 * pixels * single
            + (w * h) as u64 * 4 / 3 * size_of::<[f32; 3]>() as u64;
        let feature = match precision {
            Precision::Fp32 => map,
            Precision::Fp16 => map / 2,
        };
        let fixed = self.network.bytes() + flows + tail + working + enlarged + threads as u64 * THREAD_BYTES;
        Sizes { fixed, frame, feature }
    }

    /// Keeps spatial features of the first `frames` frames of a sequence only.
    pub fn keep(&mut self, frames: usize) {
        self.kept = frames;
    }

    /// Bytes of the weights and of all maps that there are.
    pub fn bytes(&self) -> u64 {
        self.network.bytes() + self.maps.bytes()
    }

    /// Puts a finished feature away.
    fn put_away(&self, map: Map) -> Feature {
        if self.settings.precision == Precision::Fp32 {
            return Feature::Single(map);
        }
        let row = map.width() * map.stride();
        let mut half = vec![f16::ZERO; row * map.height()];
        half.par_chunks_mut(row).enumerate().for_each(|(y, out)| out.convert_from_f32_slice(map.row(y)));
        Feature::Half(half)
    }

    fn open<'a>(&self, feature: &'a Feature) -> Opened<'a> {
        match feature {
            Feature::Single(map) => Opened::Kept(map),
            Feature::Half(half) => {
                let mut map = self.map(self.channels);
                let row = map.width() * map.stride();
                let rows = map.rows_mut().into_par_iter().zip(half.par_chunks(row));
                rows.for_each(|(out, half)| half.convert_to_f32_slice(out));
                Opened::Widened(map)
            }
        }
    }

    /// A feature as the plain stages have it: for comparisons.
    pub fn feature_planes(&self, feature: &Feature) -> Planes {
        let feature = self.open(feature);
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
        self.maps.map(padded(channels), self.width, self.height)
    }

    fn zeros(&self) -> Map {
        let mut map = self.map(self.channels);
        map.rows_mut().into_iter().for_each(|row| row.fill(0.0));
        map
    }

    /// What the offsets depend on besides the spatial feature: both features warped, and both flows.
    fn condition(&self, features: [&Map; 2], flows: [&Flow; 2]) -> [Map; 3] {
        let mut condition = [self.map(self.channels), self.map(self.channels), self.map(4)];
        let [first, second, both] = &mut condition;
        sample::warp(self.level, features[0], flows[0], first);
        sample::warp(self.level, features[1], flows[1], second);
        let width = both.width();
        both.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
            for (x, out) in row.chunks_exact_mut(padded(4)).enumerate() {
                let at = y * width + x;
                out[..2].copy_from_slice(&flows[0].data[at]);
                out[2..4].copy_from_slice(&flows[1].data[at]);
            }
        });
        condition
    }

    /// A 3x3 convolution of the whole picture.
    fn conv(&self, conv: &Winograd, inputs: &[&Map], act: Activation, add: [Option<&Map>; 2]) -> Map {
        let mut out = self.map(conv.channels());
        let sink = ToMap { out: out.canvas(), act, add: add.map(|map| map.map(Map::view)) };
        conv.run(self.level, inputs, 0..self.height, sink);
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
    fn pyramid(&self, frame: &Map) -> Vec<Image> {
        let Network { spynet, mean, std, .. } = &self.network;
        let small = self.small(frame);
        let multiple = 1 << (spynet.len() - 1);
        let (w, h) = (self.width.next_multiple_of(multiple), self.height.next_multiple_of(multiple));
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
        let Self { width, height, .. } = *self;
        flow.resize(width, height, false, [width as f32 / w as f32, height as f32 / h as f32])
    }

    /// Enlarges into `enlarged`.
    fn enlarge(&self, frame: &Map, features: [&Map; 5], enlarged: &mut [f32]) {
        let Network { reconstruction: (input, blocks), upsample1, upsample2, conv_hr, conv_last, .. } =
            &self.network;
        let x = self.conv(input, &features, Activation::Leaky, [None; 2]);
        let x = self.blocks(blocks, x, None);

        let Self { width, height, .. } = *self;
        let bands: Vec<_> =
            (0..height).step_by(BAND).map(|y| Band::new(y..height.min(y + BAND), height)).collect();
        let most = |rows: fn(&Band) -> usize| bands.iter().map(rows).max().unwrap_or(0);
        let mut twice = self.maps.map(upsample1.channels() / 4, 2 * width, most(|b| 2 * b.upsample1.len()));
        let mut full = self.maps.map(upsample2.channels() / 4, 4 * width, most(|b| 2 * b.upsample2.len()));
        let mut hr = self.maps.map(conv_hr.channels(), 4 * width, most(|b| b.conv_hr.len()));
        // The base; a network that keeps the size has the frame itself.
        let columns = sample::positions(frame.width(), 4 * width, false);
        let rows = sample::positions(frame.height(), 4 * height, false);
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
    type Feature = Feature;
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

    fn spatial(&mut self, frame: &Map) -> Result<Feature, EngineError> {
        Ok(self.workers.install(|| {
            let (convs, blocks) = &self.network.feat_extract;
            let (mut width, mut height) = (frame.width(), frame.height());
            let mut x = None;
            for conv in convs {
                (width, height) = (width.div_ceil(conv.step()), height.div_ceil(conv.step()));
                let mut out = self.maps.map(conv.channels(), width, height);
                let sink = ToMap { out: out.canvas(), act: Activation::Leaky, add: [None; 2] };
                conv.run(self.level, x.as_ref().unwrap_or(frame), sink);
                x = Some(out);
            }
            let Some(x) = x else { unreachable!("the extractor has a first convolution") };
            self.put_away(self.blocks(blocks, x, None))
        }))
    }

    fn align(
        &mut self,
        branch: Branch,
        spatial: &Feature,
        earlier: &Earlier<'_, Self>,
    ) -> Result<Feature, EngineError> {
        let Propagation { offset, deform, .. } = &self.network.branches[branch as usize];
        let none = earlier.second.is_none().then(|| {
            let flow = Flow::zeros(self.width, self.height);
            (Feature::Single(self.zeros()), flow)
        });
        let second = earlier.second.or(none.as_ref().map(|(feature, flow)| (feature, flow)));
        let Some((second, second_flow)) = second else { unreachable!("one of the two is there") };
        let (first, flows) = (earlier.first, [earlier.first_flow, second_flow]);
        Ok(self.workers.install(|| {
            let (spatial, first, second) = (self.open(spatial), self.open(first), self.open(second));
            let features = [&*first, &*second];
            let mut out = self.map(self.channels);
            let condition = self.condition(features, flows);
            let mut parts = vec![&condition[0], &*spatial, &condition[1], &condition[2]];
            let mut hidden;
            for conv in offset {
                hidden = self.conv(conv, &parts, Activation::Leaky, [None; 2]);
                parts = vec![&hidden];
            }
            deform.run(self.level, &parts, features, flows, &mut out);
            Feature::Single(out)
        }))
    }

    fn refine(
        &mut self,
        branch: Branch,
        found: &[&Feature],
        aligned: Option<Feature>,
    ) -> Result<Feature, EngineError> {
        let Propagation { input, blocks, .. } = &self.network.branches[branch as usize];
        let aligned = aligned.unwrap_or_else(|| Feature::Single(self.zeros()));
        Ok(self.workers.install(|| {
            let found: Vec<_> = found.iter().map(|feature| self.open(feature)).collect();
            let aligned = self.open(&aligned);
            let parts: Vec<&Map> = found.iter().chain([&aligned]).map(|feature| &**feature).collect();
            let add = blocks.is_empty().then_some(&*aligned);
            let x = self.conv(input, &parts, Activation::Leaky, [add, None]);
            self.put_away(self.blocks(blocks, x, Some(&aligned)))
        }))
    }

    fn reconstruct(
        &mut self,
        frame: &Map,
        features: [&Feature; 5],
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let Self { width, height, .. } = *self;
        let mut enlarged = std::mem::take(&mut self.enlarged);
        enlarged.resize(3 * 16 * width * height, 0.0);
        self.wire.resize(self.output.frame_bytes(4 * width, 4 * height), 0);
        self.workers.install(|| {
            let features = features.map(|feature| self.open(feature));
            self.enlarge(frame, features.each_ref().map(|feature| &**feature), &mut enlarged);
        });
        picture::pack(self.output, &enlarged, &mut self.wire);
        self.enlarged = enlarged;
        Ok(out(&self.wire)?)
    }

    fn keep_spatial(&self, frame: usize) -> bool {
        frame < self.kept
    }
}
