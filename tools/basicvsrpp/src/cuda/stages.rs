//! The network's stages on a GPU: [`Backend`] in terms of [`ops`](super::ops).

use super::{
    driver::{Event, Gpu, Memory, Pinned, Queue},
    layer::{Activation, Kernels, Layer, Order},
    memory::{OFFSET_PLANES, OUTPUTS, Piece, Plan, Pool, STAGED, Sizes},
    ops::{self, Call, DeformLayer, FlowInput, MAX_PAIRS, Picture, PixelFormat, Rows, Source, Target},
    paging::{Feature, Features},
};
use crate::{
    Blocks, Branch, Conv, EngineError, Out, Weights,
    network::{Backend, Earlier},
};
use bytes::Bytes;
use std::cell::OnceCell;

/// Residual blocks with input convolution.
#[derive(Debug)]
struct BlockLayers {
    input: Layer,
    blocks: Vec<[Layer; 2]>,
}

/// One propagation branch.
#[derive(Debug)]
struct BranchLayers {
    offset: Vec<Layer>,
    deform: DeformLayer,
    backbone: BlockLayers,
}

/// All weights on the device.
#[derive(Debug)]
pub struct Layers {
    mean_std: [[f32; 3]; 2],
    spynet: Vec<Vec<Layer>>,
    strided: Vec<Layer>,
    feat_extract: BlockLayers,
    branches: Vec<BranchLayers>,
    reconstruction: BlockLayers,
    upsample1: Layer,
    upsample2: Layer,
    conv_hr: Layer,
    conv_last: Layer,
}

/// The channels of `count` features of `channels` each, as their planes hold them.
fn features(channels: usize, count: usize) -> Vec<Option<usize>> {
    let padded = super::layer::planes(channels) * 8;
    (0..count * padded).map(|i| (i % padded < channels).then(|| i / padded * channels + i % padded)).collect()
}

impl Layers {
    /// Uploads the weights.
    pub fn new(gpu: &Gpu, kernels: Kernels, weights: &Weights) -> Result<Self, EngineError> {
        let c = weights.mid_channels;
        let every = || {
            let convs = weights.spynet.levels.iter().flatten();
            convs.chain([&weights.upsample1, &weights.upsample2, &weights.conv_hr, &weights.conv_last])
        };
        if let Some(conv) = every().find(|conv| conv.k != 3 && conv.k != 7) {
            return Err(EngineError::Failed(format!(
                "a convolution of {0}x{0}: CUDA has 3x3 and 7x7",
                conv.k
            )));
        }
        let groups = weights.branches[0].align.groups();
        if !ops::GROUPS.is_multiple_of(groups) || !(2 * c).is_multiple_of(ops::GROUPS) {
            return Err(EngineError::Failed(format!("{groups} deformable groups: CUDA has {}", ops::GROUPS)));
        }
        let layer = |conv: &Conv, order, count| {
            Layer::new(gpu, kernels, conv, order, 4, &features(conv.cin / count, count))
        };
        let same = |conv: &Conv| layer(conv, Order::Same, 1);
        let rest = |blocks: &Blocks, input| {
            let pairs = blocks.blocks.iter().map(|[a, b]| Ok([same(a)?, same(b)?]));
            Ok::<_, EngineError>(BlockLayers { input, blocks: pairs.collect::<Result<_, EngineError>>()? })
        };
        let rgb: Vec<_> = (0..8).map(|c| (c < 3).then_some(c)).collect();
        let mut extraction = Vec::new();
        for (i, conv) in weights.strided.iter().chain([&weights.feat_extract.input]).enumerate() {
            extraction.push(match i {
                0 => Layer::new(gpu, kernels, conv, Order::Same, 1, &rgb)?,
                _ => same(conv)?,
            });
        }

        let mut branches = Vec::new();
        for branch in &weights.branches {
            let mut condition = features(c, 3);
            condition.extend((0..32).map(|i| (i < 4).then_some(3 * c + i)));
            let align = branch.align.in_groups(ops::GROUPS);
            let convs = &align.offset;
            let mut offset = Vec::new();
            for (i, conv) in convs.iter().enumerate() {
                let order = if i + 1 == convs.len() { Order::Offsets } else { Order::Same };
                let inputs = if i == 0 { condition.clone() } else { features(conv.cin, 1) };
                offset.push(Layer::new(gpu, kernels, conv, order, 4, &inputs)?);
            }
            let input = &branch.backbone.input;
            branches.push(BranchLayers {
                offset,
                deform: DeformLayer::new(gpu, kernels, &align.deform)?,
                backbone: rest(&branch.backbone, layer(input, Order::Same, input.cin / c)?)?,
            });
        }
        let mut spynet = Vec::new();
        for level in &weights.spynet.levels {
            let convs = level.iter().map(|conv| {
                let planes = conv.cin.div_ceil(8);
                let unit = [4, 2, 1].into_iter().find(|u| planes.is_multiple_of(*u)).unwrap_or(1);
                let inputs: Vec<_> = (0..planes * 8).map(|i| (i < conv.cin).then_some(i)).collect();
                Layer::new(gpu, kernels, conv, Order::Flow, unit, &inputs)
            });
            spynet.push(convs.collect::<Result<_, EngineError>>()?);
        }
        let input = extraction.remove(weights.strided.len());
        let feat_extract = rest(&weights.feat_extract, input)?;
        let recon = &weights.reconstruction;
        Ok(Self {
            mean_std: [weights.spynet.mean, weights.spynet.std],
            spynet,
            feat_extract,
            strided: extraction,
            branches,
            reconstruction: rest(recon, layer(&recon.input, Order::Same, 5)?)?,
            upsample1: layer(&weights.upsample1, Order::Shuffle, 1)?,
            upsample2: layer(&weights.upsample2, Order::Shuffle, 1)?,
            conv_hr: same(&weights.conv_hr)?,
            conv_last: same(&weights.conv_last)?,
        })
    }
}

/// An output frame under way.
#[derive(Debug)]
struct Output {
    device: Memory,
    /// Where it goes on the host, and the mark after which it is there; `None` while there is none.
    host: Option<(Piece<Pinned>, Event)>,
}

/// A frame in wire order, on the device once it has been needed.
#[derive(Debug)]
pub struct Frame {
    wire: Bytes,
    device: OnceCell<Piece<Memory>>,
}

/// Pinned memory for frames on their way to the device.
#[derive(Debug)]
struct Staging {
    host: Pinned,
    done: Option<Event>,
}

/// The stages and the memory they work in.
#[derive(Debug)]
pub struct Stages {
    kernels: Kernels,
    sizes: Sizes,
    layers: Layers,
    formats: [PixelFormat; 2],
    kept: usize,
    scratch: Memory,
    features: Features,
    flows: Pool<Memory>,
    frames: Pool<Memory>,
    staging: Vec<Staging>,
    next_staging: usize,
    outputs: Vec<Output>,
    /// Enlarged frames on the host, until whoever has received them drops them.
    enlarged: Pool<Pinned>,
    /// Output frames queued and delivered, since the engine exists.
    queued: usize,
    delivered: usize,
    /// The GPU; last, so that all memory is freed before the context goes.
    pub gpu: Gpu,
}

/// Scratch memory, handed out from the start.
struct Bump {
    next: u64,
    end: u64,
}

impl Bump {
    fn take(&mut self, bytes: usize) -> u64 {
        let at = self.next;
        self.next += bytes.next_multiple_of(256) as u64;
        debug_assert!(self.next <= self.end, "scratch memory");
        at
    }
}

impl Stages {
    /// Allocates what does not depend on the sequence.
    pub fn new(
        gpu: Gpu,
        kernels: Kernels,
        weights: &Weights,
        sizes: Sizes,
        formats: [PixelFormat; 2],
    ) -> Result<Self, EngineError> {
        let layers = Layers::new(&gpu, kernels, weights)?;
        let [wire_in, wire_out] = sizes.wire;
        // The flag for invalid numbers comes after the frame.
        let with_flag = wire_out.next_multiple_of(16) + 16;
        let outputs = (0..OUTPUTS).map(|_| Ok(Output { device: gpu.allocate(with_flag)?, host: None }));
        let outputs = outputs.collect::<Result<_, EngineError>>()?;
        let staging = (0..STAGED).map(|_| Ok(Staging { host: gpu.pinned(wire_in)?, done: None }));
        Ok(Self {
            staging: staging.collect::<Result<_, EngineError>>()?,
            next_staging: 0,
            outputs,
            enlarged: Pool::new(with_flag),
            queued: 0,
            delivered: 0,
            kept: 0,
            scratch: gpu.allocate(sizes.scratch() + 64 * 256)?,
            features: Features::new(sizes.feature()),
            flows: Pool::new(sizes.flow_field()),
            frames: Pool::new(wire_in),
            kernels,
            sizes,
            layers,
            formats,
            gpu,
        })
    }

    /// Prepares for a sequence. What an earlier one that failed has left is forgotten.
    pub fn begin(&mut self, plan: &Plan) -> Result<(), EngineError> {
        self.gpu.make_current()?;
        self.kept = plan.kept;
        self.features.limit(plan.slots);
        self.delivered = self.queued;
        self.outputs.iter_mut().for_each(|o| o.host = None);
        Ok(())
    }

    /// Where a frame is on the device, where it goes when it is first asked for: so uploads run beside kernels.
    fn upload(&mut self, frame: &Frame) -> Result<u64, EngineError> {
        if let Some(piece) = frame.device.get() {
            return Ok(piece.address);
        }
        let piece = self.frames.take(&self.gpu)?;
        let address = piece.address;
        let count = self.staging.len();
        let staging = &mut self.staging[self.next_staging % count];
        self.next_staging += 1;
        if let Some(done) = staging.done.take() {
            self.gpu.wait_for(&done)?;
        }
        staging.host.bytes_mut()[..frame.wire.len()].copy_from_slice(&frame.wire);
        // The piece may have been another frame's, which kernels that are under way still read.
        self.gpu.queue_upload(Queue::Compute, address, &staging.host, frame.wire.len())?;
        staging.done = Some(self.gpu.record(Queue::Compute)?);
        let _ = frame.device.set(piece);
        Ok(address)
    }

    fn bump(&self) -> Bump {
        Bump { next: self.scratch.address, end: self.scratch.address + self.scratch.bytes as u64 }
    }

    /// The inputs of a convolution: features cut into groups of four planes.
    fn groups(&self, features: &[u64]) -> Vec<u64> {
        let (planes, plane) = (self.sizes.planes, self.sizes.plane());
        let cut = |f: &u64| {
            (0..planes / 4)
                .map(move |i| (f, i))
                .map(move |(f, i)| f + (i * 4 * plane) as u64)
                .collect::<Vec<_>>()
        };
        features.iter().flat_map(cut).collect()
    }

    fn conv(
        &self,
        layer: &Layer,
        inputs: &[u64],
        out: u64,
        act: Activation,
        residuals: &[u64],
    ) -> Result<(), EngineError> {
        let call = Call::new(inputs, Target::Feature(out), act, self.sizes.frame);
        ops::conv(&self.gpu, layer, &Call { residuals, ..call })
    }

    /// Residual blocks with input convolution, to `out`, using `inner`; `plus` is added to the result.
    fn blocks(
        &self,
        layers: &BlockLayers,
        inputs: &[u64],
        out: u64,
        inner: u64,
        plus: Option<u64>,
    ) -> Result<(), EngineError> {
        self.conv(&layers.input, inputs, out, Activation::Leaky, &[])?;
        let (x, y) = (self.groups(&[out]), self.groups(&[inner]));
        for (i, [conv1, conv2]) in layers.blocks.iter().enumerate() {
            self.conv(conv1, &x, inner, Activation::Relu, &[])?;
            let both = [out, plus.unwrap_or(0)];
            let count = if i + 1 == layers.blocks.len() && plus.is_some() { 2 } else { 1 };
            self.conv(conv2, &y, out, Activation::None, &both[..count])?;
        }
        Ok(())
    }

    /// Hands the oldest output frame on.
    fn deliver(&mut self, out: &mut Out<'_>) -> Result<(), EngineError> {
        let output = &mut self.outputs[self.delivered % OUTPUTS];
        self.delivered += 1;
        let Some((host, done)) = output.host.take() else { return Ok(()) };
        self.gpu.wait_for(&done)?;
        let bytes = self.sizes.wire[1];
        if host.bytes()[bytes.next_multiple_of(16)] != 0 {
            return Err(EngineError::Failed(format!(
                "cuda:{}: the network's output is not a finite number: broken weights, or too large for fp16",
                self.gpu.info.index
            )));
        }
        out(Bytes::from_owner(host).slice(..bytes)).map_err(EngineError::from)
    }

    /// The flows of a batch of pairs.
    fn flow_batch(
        &mut self,
        frames: &[Frame],
        pairs: &[(usize, usize)],
    ) -> Result<Vec<Piece<Memory>>, EngineError> {
        let mut used: Vec<usize> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
        used.sort_unstable();
        used.dedup();
        let wires = used.iter().map(|&i| self.upload(&frames[i])).collect::<Result<Vec<_>, _>>()?;
        let (gpu, sizes) = (&self.gpu, &self.sizes);
        let (w, h) = sizes.flow;
        let place = |frame| used.binary_search(&frame).unwrap_or(0) as i32;
        let mut indices = [[0; 2]; MAX_PAIRS];
        for (index, &(a, b)) in indices.iter_mut().zip(pairs) {
            *index = [place(a), place(b)];
        }

        let count = pairs.len();
        let mut bump = self.bump();
        // Coarsest level first, as the network has them.
        let size = |level: usize| (w >> (sizes.levels - 1 - level), h >> (sizes.levels - 1 - level));
        let pixels = |level| size(level).0 * size(level).1;
        let pyramid: Vec<u64> = (0..sizes.levels).map(|l| bump.take(used.len() * pixels(l) * 16)).collect();
        let finest = sizes.levels - 1;
        let mut flow = [0, 1].map(|_| bump.take(count * pixels(finest) * 8));
        let input = bump.take(count * pixels(finest) * 8 * sizes.element);
        let hidden = sizes.flow_channels.map(|c| bump.take(count * pixels(finest) * c * sizes.element));

        for (i, &frame) in wires.iter().enumerate() {
            let at = |l: usize| pyramid[l] + (i * pixels(l) * 16) as u64;
            ops::pyramid_base(
                gpu,
                frame,
                &self.formats[0],
                sizes.input,
                [sizes.frame, (w, h)],
                self.layers.mean_std,
                at(finest),
            )?;
            for level in (0..finest).rev() {
                ops::pyramid_next(gpu, at(level + 1), at(level), size(level))?;
            }
        }
        for (level, convs) in self.layers.spynet.iter().enumerate() {
            let (w, h) = size(level);
            let area = pixels(level) * 8;
            let coarse = if level == 0 { 0 } else { flow[1] };
            let a = FlowInput {
                pyramid: pyramid[level],
                coarse,
                flow: flow[0],
                out: input,
                w: w as i32,
                h: h as i32,
                pairs: indices,
            };
            ops::flow_input(gpu, self.kernels, &a, count)?;
            let mut from = input;
            for (i, layer) in convs.iter().enumerate() {
                let unit = (layer.unit * area * sizes.element) as u64;
                let inputs: Vec<u64> = (0..layer.inputs as u64).map(|g| from + g * unit).collect();
                let last = i + 1 == convs.len();
                let to = hidden[i % 2];
                let (target, act) = if last {
                    (Target::Flow(flow[0], flow[0]), Activation::None)
                } else {
                    (Target::Feature(to), Activation::Relu)
                };
                let call = Call::new(&inputs, target, act, (w, h));
                let batch = (count, layer.inputs * layer.unit * area, layer.couts / 8 * area);
                ops::conv(gpu, layer, &Call { batch, ..call })?;
                from = to;
            }
            flow.swap(0, 1);
        }
        let mut done = Vec::with_capacity(count);
        for i in 0..count {
            let piece = self.flows.take(gpu)?;
            let at = flow[1] + (i * pixels(finest) * 8) as u64;
            ops::flow_resize(gpu, at, (w, h), piece.address, sizes.frame)?;
            done.push(piece);
        }
        Ok(done)
    }

    /// Everything after the reconstruction's blocks, from feature `x` to `picture`, in bands of rows.
    fn tail(&self, x: u64, mut bump: Bump, picture: Picture) -> Result<(), EngineError> {
        let (gpu, sizes, layers) = (&self.gpu, &self.sizes, &self.layers);
        let (w, h) = sizes.frame;
        let cut = |at: u64, planes: usize, rows: usize, w: usize| -> Vec<u64> {
            (0..planes / 4).map(|i| at + (i * 4 * rows * w * 8 * sizes.element) as u64).collect()
        };
        let once = bump.take(sizes.tail[0] * 4 * sizes.plane());
        gpu.stage("upsample");
        ops::conv(
            gpu,
            &layers.upsample1,
            &Call::new(&self.groups(&[x]), Target::Shuffled(once), Activation::Leaky, (w, h)),
        )?;
        let band = sizes.band.min(4 * h);
        let [wide, wider] = [0, 1].map(|_| bump.take((band + 4) * sizes.wide_row()));
        let (w, h, wide_w, wide_h) = (2 * w, 2 * h, 4 * w, 4 * h);
        for first in (0..wide_h).step_by(band) {
            let rows = first..(first + band).min(wide_h);
            // Each convolution needs a row more on either side; the shuffled one comes in pairs of rows.
            let hr = rows.start.saturating_sub(1)..(rows.end + 1).min(wide_h);
            let up = (rows.start / 2).saturating_sub(1)..(rows.end / 2 + 1).min(h);
            let room = Rows { first: 2 * up.start, count: 2 * up.len() };
            gpu.stage("upsample");
            let inputs = cut(once, sizes.tail[0], h, w);
            let call = Call::new(&inputs, Target::Shuffled(wide), Activation::Leaky, (w, h));
            ops::conv(gpu, &layers.upsample2, &Call { rows: up, room, ..call })?;
            gpu.stage("conv_hr");
            let inputs = cut(wide, sizes.tail[1], room.count, wide_w);
            let call = Call::new(&inputs, Target::Feature(wider), Activation::Leaky, (wide_w, wide_h));
            let held = Rows { first: hr.start, count: hr.len() };
            ops::conv(gpu, &layers.conv_hr, &Call { rows: hr, held: room, room: held, ..call })?;
            gpu.stage("conv_last");
            let inputs = cut(wider, sizes.tail[1], held.count, wide_w);
            let call = Call::new(&inputs, Target::Picture(picture), Activation::None, (wide_w, wide_h));
            ops::conv(gpu, &layers.conv_last, &Call { rows, held, ..call })?;
        }
        Ok(())
    }
}

impl Backend for Stages {
    type Frame = Frame;
    type Feature = Feature;
    type Flow = Piece<Memory>;

    fn frame(&mut self, wire: &Bytes) -> Result<Frame, EngineError> {
        let bytes = self.sizes.wire[0];
        if wire.len() != bytes {
            return Err(EngineError::Failed(format!(
                "a frame of {} bytes where {bytes} are needed",
                wire.len()
            )));
        }
        Ok(Frame { wire: wire.clone(), device: OnceCell::new() })
    }

    fn flows(
        &mut self,
        frames: &[Frame],
        pairs: &[(usize, usize)],
    ) -> Result<Vec<Piece<Memory>>, EngineError> {
        self.gpu.stage("flow network");
        let mut flows = Vec::with_capacity(pairs.len());
        for batch in pairs.chunks(self.sizes.pairs) {
            flows.extend(self.flow_batch(frames, batch)?);
        }
        Ok(flows)
    }

    fn compose(
        &mut self,
        flow: &Piece<Memory>,
        previous: &Piece<Memory>,
    ) -> Result<Piece<Memory>, EngineError> {
        self.gpu.stage("warps");
        let out = self.flows.take(&self.gpu)?;
        ops::compose(&self.gpu, flow.address, previous.address, out.address, self.sizes.frame)?;
        Ok(out)
    }

    fn spatial(&mut self, frame: &Frame) -> Result<Feature, EngineError> {
        self.gpu.stage("spatial");
        let frame = self.upload(frame)?;
        let out = self.features.take(&self.gpu)?;
        let address = self.features.address(&self.gpu, &out)?;
        let (gpu, sizes, mut bump) = (&self.gpu, &self.sizes, self.bump());
        let (mut w, mut h) = (sizes.input * sizes.frame.0, sizes.input * sizes.frame.1);
        let bytes = |planes: usize, w: usize, h: usize| planes * w * h * 8 * sizes.element;
        let plane = bump.take(bytes(1, w, h));
        ops::rgb(gpu, self.kernels, frame, &self.formats[0], plane, w * h)?;
        let mut inputs = vec![plane];
        for (layer, &planes) in self.layers.strided.iter().zip(&sizes.strided) {
            // Of stride 1 with the kernels that there are; three quarters of it are for nothing, but it is little.
            let every = bump.take(bytes(planes, w, h));
            ops::conv(gpu, layer, &Call::new(&inputs, Target::Feature(every), Activation::Leaky, (w, h)))?;
            let second = bump.take(bytes(planes, w / 2, h / 2));
            ops::every_second(gpu, self.kernels, [every, second], planes, (w, h))?;
            (w, h) = (w / 2, h / 2);
            inputs = (0..planes / 4).map(|i| second + bytes(4 * i, w, h) as u64).collect();
        }
        let inner = bump.take(sizes.feature());
        self.blocks(&self.layers.feat_extract, &inputs, address, inner, None)?;
        Ok(out)
    }

    fn soon(&mut self, features: &[&Feature]) -> Result<(), EngineError> {
        features.iter().try_for_each(|feature| self.features.fetch(&self.gpu, feature))
    }

    fn align(
        &mut self,
        branch: Branch,
        spatial: &Feature,
        earlier: &Earlier<'_, Self>,
    ) -> Result<Feature, EngineError> {
        let mut source = |feature: &Feature, flow: &Piece<Memory>| {
            Ok::<_, EngineError>(Source {
                feature: self.features.address(&self.gpu, feature)?,
                flow: flow.address,
            })
        };
        let first = source(earlier.first, earlier.first_flow)?;
        let second = earlier.second.map(|(feature, flow)| source(feature, flow)).transpose()?;
        let spatial = self.features.address(&self.gpu, spatial)?;
        let out = self.features.take(&self.gpu)?;
        let to = self.features.address(&self.gpu, &out)?;

        let (gpu, sizes) = (&self.gpu, &self.sizes);
        let layers = &self.layers.branches[branch as usize];
        let mut bump = self.bump();
        let warped = bump.take(sizes.feature());
        let warped_and_flows = bump.take(sizes.feature() + 4 * sizes.plane());
        let [mut x, mut y] = [0, 1].map(|_| bump.take(sizes.feature()));
        let offsets = bump.take(OFFSET_PLANES * sizes.plane());

        gpu.stage("warps");
        let flows = warped_and_flows + sizes.feature() as u64;
        gpu.fill(flows + sizes.plane() as u64, 0, 3 * sizes.plane())?;
        ops::condition(
            gpu,
            self.kernels,
            first,
            second,
            [warped, warped_and_flows],
            sizes.planes,
            sizes.frame,
        )?;

        gpu.stage("offset convolutions");
        let mut inputs = self.groups(&[warped, spatial, warped_and_flows]);
        inputs.push(flows);
        let last = layers.offset.len() - 1;
        for (i, layer) in layers.offset.iter().enumerate() {
            if i == last {
                gpu.stage("offset convolutions, last");
                self.conv(layer, &inputs, offsets, Activation::Offsets, &[])?;
            } else {
                self.conv(layer, &inputs, x, Activation::Leaky, &[])?;
                inputs = self.groups(&[x]);
                std::mem::swap(&mut x, &mut y);
            }
        }
        gpu.stage("deformable convolution");
        ops::deform(gpu, &layers.deform, first, second, offsets, to, sizes.frame)?;
        Ok(out)
    }

    fn refine(
        &mut self,
        branch: Branch,
        found: &[&Feature],
        aligned: Option<Feature>,
    ) -> Result<Feature, EngineError> {
        self.gpu.stage("backbones");
        let mut address = |feature: &Feature| self.features.address(&self.gpu, feature);
        let mut inputs = found.iter().map(|f| address(f)).collect::<Result<Vec<_>, _>>()?;
        let plus = aligned.as_ref().map(&mut address).transpose()?;
        let out = self.features.take(&self.gpu)?;
        let to = self.features.address(&self.gpu, &out)?;
        let inner = self.bump().take(self.sizes.feature());
        match plus {
            Some(aligned) => inputs.push(aligned),
            None => {
                // The branch's first visit: no feature to align, so zeros.
                self.gpu.fill(inner, 0, self.sizes.feature())?;
                inputs.push(inner);
            }
        }
        let layers = &self.layers.branches[branch as usize].backbone;
        self.blocks(layers, &self.groups(&inputs), to, inner, plus)?;
        Ok(out)
    }

    fn reconstruct(
        &mut self,
        frame: &Frame,
        features: [&Feature; 5],
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        while self.queued - self.delivered >= OUTPUTS {
            self.deliver(out)?;
        }
        self.gpu.stage("reconstruction");
        let mut bump = self.bump();
        let [x, inner] = [0, 1].map(|_| bump.take(self.sizes.feature()));
        let found =
            features.iter().map(|f| self.features.address(&self.gpu, f)).collect::<Result<Vec<_>, _>>()?;
        let inputs = self.groups(&found);
        self.blocks(&self.layers.reconstruction, &inputs, x, inner, None)?;

        let (w, h) = self.sizes.frame;
        let slot = self.queued % OUTPUTS;
        let device = self.outputs[slot].device.address;
        let bytes = self.sizes.wire[1];
        let invalid = device + bytes.next_multiple_of(16) as u64;
        self.gpu.fill(invalid, 0, 16)?;
        let [in_format, out_format] = self.formats;
        let input = self.sizes.input;
        let picture = Picture {
            frame: self.upload(frame)?,
            out: device,
            in_format,
            out_format,
            invalid,
            w: (input * w) as i32,
            h: (input * h) as i32,
            out_w: (Weights::SCALE * w) as i32,
            step: input as f32 / Weights::SCALE as f32,
        };
        self.tail(x, bump, picture)?;

        let computed = self.gpu.record(Queue::Compute)?;
        self.gpu.after(Queue::Copy, &computed)?;
        let mut host = self.enlarged.take(&self.gpu)?;
        self.gpu.queue_download(Queue::Copy, &mut host, device, bytes.next_multiple_of(16) + 16)?;
        self.outputs[slot].host = Some((host, self.gpu.record(Queue::Copy)?));
        self.queued += 1;
        Ok(())
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Result<(), EngineError> {
        while self.delivered < self.queued {
            self.deliver(out)?;
        }
        Ok(())
    }

    fn keep_spatial(&self, frame: usize) -> bool {
        frame < self.kept
    }
}
