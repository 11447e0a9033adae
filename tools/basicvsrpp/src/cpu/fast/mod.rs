//! The stages made fast: weights prepared for the kernels, maps with channels together, everything threaded.

mod flow;
mod network;
mod tail;

use super::{
    map::{Map, Pool, map_bytes, padded},
    memory::Sizes,
    plain::{Activation, Planes},
    sample::{self, Flow},
    sink::ToMap,
    winograd::Winograd,
};
use crate::{
    Branch, EngineError, Model, Out, Precision, Settings,
    network::{Backend, Earlier},
    picture::{self, Output},
};
use half::{f16, slice::HalfFloatSliceExt};
use network::{Network, Propagation, RGB};
use rayon::prelude::*;
use simd::Level;
use std::ops::Deref;

/// Working memory of a thread, roughly: transformed tiles and offsets.
const THREAD_BYTES: u64 = 3 << 20;

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
        let stride = model.weights.stride();
        let (width, height) = (settings.width / stride, settings.height / stride);
        // Places in a map are computed as float32 numbers of pixels.
        if (width + 8) * (height + 8) >= 1 << 24 {
            return Err(EngineError::Failed(format!(
                "frames of {}x{}: features of 16 million pixels are too many",
                settings.width, settings.height
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
        })
    }

    /// Sizes in memory.
    pub fn sizes(&self) -> Sizes {
        let Self { width, height, .. } = *self;
        let Settings { threads, precision, .. } = self.settings;
        let map = map_bytes(padded(self.channels), width, height);
        let single = size_of::<f32>() as u64;
        let pixels = (width * height) as u64;
        let offsets = self.network.branches[0].offset.iter().map(Winograd::channels).max().unwrap_or(0);
        // An alignment has two warped features, the flows, two maps between convolutions and its result; with float16
        // the three features that it reads are there as maps as well. A reconstruction reads five.
        let working = 4 * map
            + 2 * map_bytes(offsets, width, height)
            + 2 * map_bytes(self.network.reconstruction.0.channels(), width, height)
            + if precision == Precision::Fp16 { 5 * map } else { 0 };
        let enlarged = 16 * pixels * 3 * single + self.output.frame_bytes(4 * width, 4 * height) as u64;
        let frame = map_bytes(RGB, self.settings.width, self.settings.height)
            + 4 * pixels * single
            + self.pyramid_bytes();
        let feature = match precision {
            Precision::Fp32 => map,
            Precision::Fp16 => map / 2,
        };
        let fixed = self.network.bytes()
            + self.flow_bytes()
            + self.tail_bytes()
            + working
            + enlarged
            + threads as u64 * THREAD_BYTES;
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
        let mut wire = vec![0; self.output.frame_bytes(4 * width, 4 * height)];
        self.workers.install(|| {
            let features = features.map(|feature| self.open(feature));
            self.enlarge(frame, features.each_ref().map(|feature| &**feature), &mut enlarged);
        });
        picture::pack(self.output, &enlarged, &mut wire);
        self.enlarged = enlarged;
        Ok(out(wire.into())?)
    }

    fn keep_spatial(&self, frame: usize) -> bool {
        frame < self.kept
    }
}
