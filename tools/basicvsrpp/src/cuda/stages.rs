//! The network's stages on a GPU: [`Backend`] in terms of kernels.

use super::{
    call::{Activation, Call, Picture, Rows, Target},
    deform::{DeformLayer, GROUPS, OFFSET_PLANES, Source},
    driver::{Gpu, Memory, Pinned, Stream},
    format::PixelFormat,
    kernels::Kernels,
    layer::Layer,
    memory::{OUTPUTS, Piece, Plan, Pool, STAGED, Sizes},
    motion::{self, Level},
    pack::{Order, planes},
    paging::{Feature, Features},
    view::View,
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
    let padded = planes(channels) * 8;
    (0..count * padded).map(|i| (i % padded < channels).then(|| i / padded * channels + i % padded)).collect()
}

impl Layers {
    /// Uploads the weights.
    pub fn new(gpu: &Gpu, kernels: Kernels, weights: &Weights) -> Result<Self, EngineError> {
        let c = weights.mid_channels;
        let groups = weights.branches[0].align.groups();
        if !GROUPS.is_multiple_of(groups) || !(2 * c).is_multiple_of(GROUPS) {
            return Err(EngineError::Failed(format!("{groups} deformable groups: CUDA has {}", GROUPS)));
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
            let align = branch.align.in_groups(GROUPS);
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
    /// Where it goes on the host; `None` while there is none.
    host: Option<Piece<Pinned>>,
}

/// A frame in wire order, on the device once it has been needed.
#[derive(Debug)]
pub struct Frame {
    wire: Bytes,
    device: OnceCell<Piece<Memory>>,
}

/// Input frames on the device, and pinned memory for those on their way there.
#[derive(Debug)]
struct Frames {
    device: Pool<Memory>,
    staging: Vec<Pinned>,
    next: usize,
}

impl Frames {
    /// Where a frame is on the device, where it goes when it is first asked for: so uploads run beside kernels.
    fn view<'a>(&mut self, gpu: &Gpu, frame: &'a Frame) -> Result<View<'a>, EngineError> {
        if let Some(piece) = frame.device.get() {
            return Ok(piece.view());
        }
        let piece = self.device.take(gpu)?;
        let count = self.staging.len();
        let staging = &mut self.staging[self.next % count];
        self.next += 1;
        gpu.settle(staging)?;
        staging.bytes_mut()[..frame.wire.len()].copy_from_slice(&frame.wire);
        // The piece may have been another frame's, which kernels that are under way still read.
        gpu.upload_async(Stream::Compute, piece.view(), staging)?;
        Ok(frame.device.get_or_init(|| piece).view())
    }
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
    frames: Frames,
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
struct Bump<'a>(View<'a>);

impl<'a> Bump<'a> {
    fn new(scratch: &'a Memory) -> Self {
        Self(scratch.view())
    }

    fn take(&mut self, bytes: usize) -> Result<View<'a>, EngineError> {
        let view = self.0.slice(0..bytes)?;
        let whole = self.0.bytes();
        self.0 = self.0.slice(bytes.next_multiple_of(256).min(whole)..whole)?;
        Ok(view)
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
        let staging = (0..STAGED).map(|_| gpu.pinned(wire_in)).collect::<Result<_, EngineError>>()?;
        Ok(Self {
            frames: Frames { device: Pool::new(wire_in), staging, next: 0 },
            outputs,
            enlarged: Pool::new(with_flag),
            queued: 0,
            delivered: 0,
            kept: 0,
            scratch: gpu.allocate(sizes.scratch() + 64 * 256)?,
            features: Features::new(sizes.feature()),
            flows: Pool::new(sizes.flow_field()),
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

    fn conv(
        &self,
        layer: &Layer,
        inputs: &[View],
        out: View,
        activation: Activation,
        residuals: &[View],
    ) -> Result<(), EngineError> {
        let call = Call::new(inputs, Target::Feature(out), activation, self.sizes.frame);
        layer.run(&self.gpu, &Call { residuals, ..call })
    }

    /// Residual blocks with input convolution, to `out`, using `inner`; `plus` is added to the result.
    fn blocks(
        &self,
        layers: &BlockLayers,
        inputs: &[View],
        out: View,
        inner: View,
        plus: Option<View>,
    ) -> Result<(), EngineError> {
        self.conv(&layers.input, inputs, out, Activation::Leaky, &[])?;
        for (i, [conv1, conv2]) in layers.blocks.iter().enumerate() {
            self.conv(conv1, &[out], inner, Activation::Relu, &[])?;
            let both = [out, plus.unwrap_or(out)];
            let count = if i + 1 == layers.blocks.len() && plus.is_some() { 2 } else { 1 };
            self.conv(conv2, &[inner], out, Activation::None, &both[..count])?;
        }
        Ok(())
    }

    /// Hands the oldest output frame on.
    fn deliver(&mut self, out: &mut Out<'_>) -> Result<(), EngineError> {
        let output = &mut self.outputs[self.delivered % OUTPUTS];
        self.delivered += 1;
        let Some(mut host) = output.host.take() else { return Ok(()) };
        self.gpu.settle(&mut host)?;
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
        let wires = used.iter().map(|&i| self.frames.view(&self.gpu, &frames[i]));
        let wires = wires.collect::<Result<Vec<_>, _>>()?;
        let (gpu, sizes) = (&self.gpu, &self.sizes);
        let (w, h) = sizes.flow;
        let place = |frame| used.binary_search(&frame).unwrap_or(0);
        let pairs: Vec<_> = pairs.iter().map(|&(a, b)| [place(a), place(b)]).collect();

        let count = pairs.len();
        let mut bump = Bump::new(&self.scratch);
        // Coarsest level first, as the network has them.
        let size = |level: usize| (w >> (sizes.levels - 1 - level), h >> (sizes.levels - 1 - level));
        let pixels = |level| size(level).0 * size(level).1;
        let pyramid = (0..sizes.levels).map(|l| bump.take(used.len() * pixels(l) * 16));
        let pyramid = pyramid.collect::<Result<Vec<_>, _>>()?;
        let finest = sizes.levels - 1;
        let pixel = 8 * sizes.element;
        let mut flow = [bump.take(count * pixels(finest) * 8)?, bump.take(count * pixels(finest) * 8)?];
        let input = bump.take(count * pixels(finest) * pixel)?;
        let mut hidden = Vec::new();
        for channels in sizes.flow_channels {
            hidden.push(bump.take(count * pixels(finest) * channels * sizes.element)?);
        }

        for (i, &frame) in wires.iter().enumerate() {
            let at = |l: usize| pyramid[l].slice(i * pixels(l) * 16..(i + 1) * pixels(l) * 16);
            motion::pyramid_base(
                gpu,
                frame,
                &self.formats[0],
                sizes.stride,
                [sizes.frame, (w, h)],
                self.layers.mean_std,
                at(finest)?,
            )?;
            for level in (0..finest).rev() {
                motion::pyramid_next(gpu, at(level + 1)?, at(level)?, size(level))?;
            }
        }
        for (level, convs) in self.layers.spynet.iter().enumerate() {
            let area = count * pixels(level);
            let so_far = flow[0].slice(0..area * 8)?;
            let mut from = input.slice(0..area * pixel)?;
            motion::flow_input(
                gpu,
                self.kernels,
                &Level {
                    size: size(level),
                    pyramid: pyramid[level],
                    frames: used.len(),
                    pairs: &pairs,
                    coarse: if level == 0 { None } else { Some(flow[1].slice(0..area / 4 * 8)?) },
                    flow: so_far,
                    out: from,
                },
            )?;
            for (i, layer) in convs.iter().enumerate() {
                let (inputs, mut to) = ([from], from);
                let (target, activation) = if i + 1 == convs.len() {
                    (Target::Flow(so_far, so_far), Activation::None)
                } else {
                    to = hidden[i % 2].slice(0..layer.planes_out(false) * area * pixel)?;
                    (Target::Feature(to), Activation::Relu)
                };
                let call = Call::new(&inputs, target, activation, size(level));
                layer.run(gpu, &Call { images: count, ..call })?;
                from = to;
            }
            flow.swap(0, 1);
        }
        let mut done = Vec::with_capacity(count);
        for i in 0..count {
            let piece = self.flows.take(gpu)?;
            let at = flow[1].slice(i * pixels(finest) * 8..(i + 1) * pixels(finest) * 8)?;
            motion::flow_resize(gpu, at, (w, h), piece.view(), sizes.frame)?;
            done.push(piece);
        }
        Ok(done)
    }

    /// Everything after the reconstruction's blocks, from feature `x` to `picture`, in bands of rows.
    fn tail(&self, x: View, mut bump: Bump, picture: Picture) -> Result<(), EngineError> {
        let (gpu, sizes, layers) = (&self.gpu, &self.sizes, &self.layers);
        let (w, h) = sizes.frame;
        let once = bump.take(sizes.tail[0] * 4 * sizes.plane())?;
        gpu.stage("upsample");
        let inputs = [x];
        let call = Call::new(&inputs, Target::Shuffled(once), Activation::Leaky, (w, h));
        layers.upsample1.run(gpu, &call)?;
        let band = sizes.band.min(4 * h);
        let rows = |rows: usize| rows * sizes.wide_row();
        let [wide, wider] = [bump.take(rows(band + 4))?, bump.take(rows(band + 4))?];
        let (w, h, wide_w, wide_h) = (2 * w, 2 * h, 4 * w, 4 * h);
        for first in (0..wide_h).step_by(band) {
            let last = (first + band).min(wide_h);
            // Each convolution needs a row more on either side; the shuffled one comes in pairs of rows.
            let hr = first.saturating_sub(1)..(last + 1).min(wide_h);
            let up = (first / 2).saturating_sub(1)..(last / 2 + 1).min(h);
            let room = Rows { first: 2 * up.start, count: 2 * up.len() };
            gpu.stage("upsample");
            let (inputs, wide) = ([once], wide.slice(0..rows(room.count))?);
            let call = Call::new(&inputs, Target::Shuffled(wide), Activation::Leaky, (w, h));
            layers.upsample2.run(gpu, &Call { rows: up, room, ..call })?;
            gpu.stage("conv_hr");
            let held = Rows { first: hr.start, count: hr.len() };
            let (inputs, wider) = ([wide], wider.slice(0..rows(held.count))?);
            let call = Call::new(&inputs, Target::Feature(wider), Activation::Leaky, (wide_w, wide_h));
            layers.conv_hr.run(gpu, &Call { rows: hr, held: room, room: held, ..call })?;
            gpu.stage("conv_last");
            let inputs = [wider];
            let call = Call::new(&inputs, Target::Picture(picture), Activation::None, (wide_w, wide_h));
            layers.conv_last.run(gpu, &Call { rows: first..last, held, ..call })?;
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
        motion::compose(&self.gpu, flow.view(), previous.view(), out.view(), self.sizes.frame)?;
        Ok(out)
    }

    fn spatial(&mut self, frame: &Frame) -> Result<Feature, EngineError> {
        self.gpu.stage("spatial");
        let frame = self.frames.view(&self.gpu, frame)?;
        let out = self.features.take(&self.gpu)?;
        let to = self.features.view(&self.gpu, &out)?;
        let (gpu, sizes, mut bump) = (&self.gpu, &self.sizes, Bump::new(&self.scratch));
        let (mut w, mut h) = (sizes.stride * sizes.frame.0, sizes.stride * sizes.frame.1);
        let bytes = |planes: usize, w: usize, h: usize| planes * w * h * 8 * sizes.element;
        let mut input = bump.take(bytes(1, w, h))?;
        motion::rgb(gpu, self.kernels, frame, &self.formats[0], input, w * h)?;
        for (layer, &planes) in self.layers.strided.iter().zip(&sizes.strided) {
            // Of stride 1 with the kernels that there are; three quarters of it are for nothing, but it is little.
            let (inputs, every) = ([input], bump.take(bytes(planes, w, h))?);
            layer.run(gpu, &Call::new(&inputs, Target::Feature(every), Activation::Leaky, (w, h)))?;
            let second = bump.take(bytes(planes, w / 2, h / 2))?;
            motion::every_second(gpu, self.kernels, [every, second], planes, (w, h))?;
            (w, h, input) = (w / 2, h / 2, second);
        }
        let inner = bump.take(sizes.feature())?;
        self.blocks(&self.layers.feat_extract, &[input], to, inner, None)?;
        Ok(out)
    }

    fn prefetch(&mut self, features: &[&Feature]) -> Result<(), EngineError> {
        features.iter().try_for_each(|feature| self.features.fetch(&self.gpu, feature))
    }

    fn align(
        &mut self,
        branch: Branch,
        spatial: &Feature,
        earlier: &Earlier<'_, Self>,
    ) -> Result<Feature, EngineError> {
        let (gpu, sizes) = (&self.gpu, &self.sizes);
        let source = |feature, flow| {
            let (feature, flow): (&Feature, &Piece<Memory>) = (feature, flow);
            Ok::<_, EngineError>(Source { feature: self.features.view(gpu, feature)?, flow: flow.view() })
        };
        let first = source(earlier.first, earlier.first_flow)?;
        let second = earlier.second.map(|(feature, flow)| source(feature, flow)).transpose()?;
        let spatial = self.features.view(gpu, spatial)?;
        let out = self.features.take(gpu)?;
        let to = self.features.view(gpu, &out)?;

        let layers = &self.layers.branches[branch as usize];
        let (feature, plane) = (sizes.feature(), sizes.plane());
        let mut bump = Bump::new(&self.scratch);
        let warped = bump.take(feature)?;
        let warped_and_flows = bump.take(feature + 4 * plane)?;
        let [mut x, mut y] = [bump.take(feature)?, bump.take(feature)?];
        let offsets = bump.take(OFFSET_PLANES * plane)?;

        gpu.stage("warps");
        gpu.fill(warped_and_flows.slice(feature + plane..feature + 4 * plane)?, 0)?;
        let outs = [warped, warped_and_flows.slice(0..feature + plane)?];
        motion::condition(gpu, self.kernels, first, second, outs, sizes.planes, sizes.frame)?;

        gpu.stage("offset convolutions");
        let mut inputs = vec![warped, spatial, warped_and_flows];
        let last = layers.offset.len() - 1;
        for (i, layer) in layers.offset.iter().enumerate() {
            if i == last {
                gpu.stage("offset convolutions, last");
                self.conv(layer, &inputs, offsets, Activation::Offsets, &[])?;
            } else {
                self.conv(layer, &inputs, x, Activation::Leaky, &[])?;
                inputs = vec![x];
                std::mem::swap(&mut x, &mut y);
            }
        }
        gpu.stage("deformable convolution");
        layers.deform.run(gpu, first, second, offsets, to, sizes.frame)?;
        Ok(out)
    }

    fn refine(
        &mut self,
        branch: Branch,
        found: &[&Feature],
        aligned: Option<Feature>,
    ) -> Result<Feature, EngineError> {
        self.gpu.stage("backbones");
        let view = |feature: &Feature| self.features.view(&self.gpu, feature);
        let mut inputs = found.iter().map(|f| view(f)).collect::<Result<Vec<_>, _>>()?;
        let plus = aligned.as_ref().map(view).transpose()?;
        let out = self.features.take(&self.gpu)?;
        let to = self.features.view(&self.gpu, &out)?;
        let inner = Bump::new(&self.scratch).take(self.sizes.feature())?;
        match plus {
            Some(aligned) => inputs.push(aligned),
            None => {
                // The branch's first visit: no feature to align, so zeros.
                self.gpu.fill(inner, 0)?;
                inputs.push(inner);
            }
        }
        let layers = &self.layers.branches[branch as usize].backbone;
        self.blocks(layers, &inputs, to, inner, plus)?;
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
        let sizes = &self.sizes;
        self.gpu.stage("reconstruction");
        let mut bump = Bump::new(&self.scratch);
        let [x, inner] = [bump.take(sizes.feature())?, bump.take(sizes.feature())?];
        let inputs = features.iter().map(|f| self.features.view(&self.gpu, f));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        self.blocks(&self.layers.reconstruction, &inputs, x, inner, None)?;

        let slot = self.queued % OUTPUTS;
        let device = self.outputs[slot].device.view();
        let (bytes, flag) = (sizes.wire[1], sizes.wire[1].next_multiple_of(16));
        self.gpu.fill(device.slice(flag..flag + 16)?, 0)?;
        let [in_format, out_format] = self.formats;
        let (w, h) = sizes.frame;
        let picture = Picture {
            frame: self.frames.view(&self.gpu, frame)?,
            in_format,
            size: (sizes.stride * w, sizes.stride * h),
            out: device.slice(0..bytes)?,
            out_format,
            invalid: device.slice(flag..flag + 4)?,
        };
        self.tail(x, bump, picture)?;

        let computed = self.gpu.record(Stream::Compute)?;
        self.gpu.wait_event(Stream::Download, &computed)?;
        let mut host = self.enlarged.take(&self.gpu)?;
        self.gpu.download_async(Stream::Download, &mut host, device)?;
        self.outputs[slot].host = Some(host);
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
