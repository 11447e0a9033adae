//! The kernels as functions on device memory: `kernels/*.cu` from the host's side.
//!
//! Addresses are those of the first element; sizes are in pixels unless said otherwise. All functions queue their work
//! and return.

use super::{
    driver::{Gpu, Memory},
    layer::{self, Activation, Kernels, Layer, PICTURE, floats, halves, pack, store},
};
use crate::{Conv, EngineError, picture::Output};
use half::f16;
use std::ffi::c_void;

/// `PixelFormat` in `tensor.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PixelFormat {
    bytes: i32,
    step: i32,
    first: [i64; 3],
    max: f32,
    level: f32,
}

impl PixelFormat {
    /// Frames of `pixels` pixels in wire order.
    pub fn new(output: Output, pixels: usize) -> Self {
        let fmt = match output {
            Output::Float => {
                let first = [0, 1, 2].map(|c| (4 * c * pixels) as i64);
                return Self { bytes: 4, step: 4, first, max: 1.0, level: 1.0 };
            }
            Output::Wire(fmt) => fmt,
        };
        let components = [0, 1, 2].map(|c| fmt.component(c));
        Self {
            bytes: fmt.sample_bytes() as i32,
            step: components[0].step as i32,
            first: components.map(|c| (fmt.plane_range(pixels, 1, c.plane).start + c.offset) as i64),
            max: f32::from(fmt.max()),
            level: 1.0 / f32::from(fmt.max()),
        }
    }
}

/// `Picture` in `tensor.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture {
    /// The input frame.
    pub frame: u64,
    /// The output frame.
    pub out: u64,
    /// Of the input frame.
    pub in_format: PixelFormat,
    /// Of the output frame.
    pub out_format: PixelFormat,
    /// One `int`, set to 1 where a sum is not finite.
    pub invalid: u64,
    /// Width of the input frame.
    pub w: i32,
    /// Height of the input frame.
    pub h: i32,
    /// Width of the output frame.
    pub out_w: i32,
    /// Input pixels for an output pixel, across and down: 1/4, or 1.
    pub step: f32,
}

const MAX_INPUTS: usize = 24;

/// `Convolution` in `tensor.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Convolution {
    input: [u64; MAX_INPUTS],
    weight: u64,
    bias: u64,
    residual: [u64; 2],
    out: u64,
    flow: u64,
    out_flow: u64,
    in_plane: i64,
    in_image: i64,
    out_plane: i64,
    out_image: i64,
    inputs: i32,
    planes: i32,
    couts: i32,
    h: i32,
    w: i32,
    y0: i32,
    y1: i32,
    in_row: i32,
    out_row: i32,
    activation: i32,
    store: i32,
    tiles: i32,
    picture: Picture,
}

/// Where a convolution's sums go.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// A feature at this address.
    Feature(u64),
    /// A feature of twice the size at this address.
    Shuffled(u64),
    /// The first flow plus the sums becomes the second.
    Flow(u64, u64),
    /// The enlarged frame.
    Picture(Picture),
}

/// The part of a picture that a buffer holds.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// The picture's row that comes first.
    pub first: usize,
    /// How many rows.
    pub count: usize,
}

/// One call of a convolution.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The layer's inputs.
    pub inputs: &'a [u64],
    /// Where the sums go.
    pub target: Target,
    /// Features that are added before the activation, laid out like the output.
    pub residuals: &'a [u64],
    /// The activation.
    pub activation: Activation,
    /// Size of the picture that is read.
    pub size: (usize, usize),
    /// Rows to compute.
    pub rows: std::ops::Range<usize>,
    /// What the inputs hold.
    pub held: Rows,
    /// What the output has room for, in rows of the output.
    pub room: Rows,
    /// Pictures in the batch and the elements between them, in and out.
    pub batch: (usize, usize, usize),
}

impl<'a> Call<'a> {
    /// Over a whole picture of `w` x `h`.
    pub fn new(inputs: &'a [u64], target: Target, activation: Activation, (w, h): (usize, usize)) -> Self {
        let scale = if matches!(target, Target::Shuffled(_)) { 2 } else { 1 };
        Self {
            inputs,
            target,
            residuals: &[],
            activation,
            size: (w, h),
            rows: 0..h,
            held: Rows { first: 0, count: h },
            room: Rows { first: 0, count: scale * h },
            batch: (1, 0, 0),
        }
    }
}

fn argument<T>(value: &T) -> *const c_void {
    std::ptr::from_ref(value).cast()
}

/// A convolution.
pub fn conv(gpu: &Gpu, layer: &Layer, call: &Call) -> Result<(), EngineError> {
    let (w, h) = call.size;
    let (store, picture, width) = match call.target {
        Target::Feature(_) => (0, Picture::default(), w),
        Target::Shuffled(_) => (1, Picture::default(), 2 * w),
        Target::Flow(..) => (2, Picture::default(), w),
        Target::Picture(p) => (3, p, w),
    };
    let (flow, out, out_flow) = match call.target {
        Target::Feature(out) | Target::Shuffled(out) => (0, out, 0),
        Target::Flow(flow, out_flow) => (flow, 0, out_flow),
        Target::Picture(_) => (0, 0, 0),
    };
    let mut a = Convolution {
        weight: layer.weights[0].address,
        bias: layer.bias.address,
        out,
        flow,
        out_flow,
        in_plane: (call.held.count * w * 8) as i64,
        in_image: call.batch.1 as i64,
        out_plane: (call.room.count * width * 8) as i64,
        out_image: call.batch.2 as i64,
        inputs: layer.inputs as i32,
        planes: layer.unit as i32,
        couts: layer.couts as i32,
        h: h as i32,
        w: w as i32,
        y0: call.rows.start as i32,
        y1: call.rows.end as i32,
        in_row: call.held.first as i32,
        out_row: call.room.first as i32,
        activation: call.activation as i32,
        store,
        picture,
        ..Convolution::default()
    };
    a.residual[..call.residuals.len()].copy_from_slice(call.residuals);
    let rows = call.rows.len();

    if !layer.passes.is_empty() {
        // One pass for every 64 channels; the sums so far wait in the output, in float16.
        let last = layer.passes.len() - 1;
        for (pass, &planes) in layer.passes.iter().enumerate() {
            a.input[0] = call.inputs[2 * pass];
            a.weight = layer.weights[pass].address;
            if let (1.., Some(zeros)) = (pass, &layer.no_bias) {
                a.bias = zeros.address;
                a.residual = [out, 0];
            }
            a.activation = if pass == last { call.activation } else { Activation::None } as i32;
            // Residuals of the caller's come in with the first pass.
            let (kernel, ring) = if planes == 8 { ("conv_wgmma_64", 9) } else { ("conv_wgmma_80", 6) };
            let shared = (9 * planes * 64 + ring * planes * 130) * 16 + (2 * ring + 2) * 8;
            let jobs = w.div_ceil(128) * (layer.couts / 64) * rows;
            let blocks = jobs.min(gpu.info.multiprocessors as usize);
            // SAFETY: the layer was packed for this kernel; the addresses are the caller's buffers.
            unsafe { gpu.launch(kernel, [blocks, 1, 1], 4 * 128, shared as u32, &[argument(&a)])? };
        }
        return Ok(());
    }

    a.input[..call.inputs.len()].copy_from_slice(call.inputs);
    let images = call.batch.0;
    if layer.kernel == PICTURE {
        let grid = [w.div_ceil(32), rows.div_ceil(8), 1];
        // SAFETY: the layer was packed for this kernel; the addresses are the caller's buffers.
        return unsafe { gpu.launch(layer.kernel, grid, 128, 8 * 352 * 16, &[argument(&a)]) };
    }
    if let Some((unit, block)) = layer::block(layer.kernel) {
        let paired = usize::from(unit == 1);
        let halo = (32 + layer.k - 1 + paired) * (8 + layer.k - 1);
        let stage = if unit == 1 { 2 * block } else { unit * block };
        // One pixel more: the last pair of taps looks there, with weight zero.
        let bytes = |tiles: usize| (tiles * (unit * halo + paired) + 4 * stage) * 16;
        // A second tile, if two blocks still fit on a multiprocessor, each with the 1 KB that the system takes.
        let two = layer.inputs > 1 && 2 * (bytes(2) + 1024) <= gpu.info.shared[0] as usize;
        a.tiles = if two { 2 } else { 1 };
        let grid = [w.div_ceil(32), rows.div_ceil(8), images * layer.couts / block];
        // SAFETY: as above.
        return unsafe {
            gpu.launch(layer.kernel, grid, 128, bytes(a.tiles as usize) as u32, &[argument(&a)])
        };
    }
    let grid = [w.div_ceil(128), rows, images * layer.couts / 8];
    // SAFETY: as above.
    unsafe { gpu.launch(layer.kernel, grid, 128, 0, &[argument(&a)]) }
}

/// `Deformable` in `tensor.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Deformable {
    first: u64,
    second: u64,
    first_flow: u64,
    second_flow: u64,
    offsets: u64,
    weight: u64,
    bias: u64,
    out: u64,
    plane: i64,
    channels: i32,
    groups: i32,
    couts: i32,
    h: i32,
    w: i32,
}

/// A deformable convolution on the device.
#[derive(Debug)]
pub struct DeformLayer {
    kernel: &'static str,
    channels: usize,
    couts: usize,
    weight: Memory,
    bias: Memory,
}

/// Deformable groups of every network that the kernels take.
pub const GROUPS: usize = 16;

impl DeformLayer {
    /// `conv` reads `2C` channels.
    pub fn new(gpu: &Gpu, kernels: Kernels, conv: &Conv) -> Result<Self, EngineError> {
        let channels = conv.cin / 2;
        let couts = layer::planes(conv.cout) * 8;
        let weight = |o: usize, i: usize, tap: usize| {
            if o < conv.cout { conv.weight[(o * conv.cin + i) * 9 + tap] } else { 0.0 }
        };
        // A group is one plane.
        let fast = channels == 64 && conv.cout == 64 && kernels >= Kernels::Mma;
        let (kernel, packed) = if fast {
            let packed = pack(&[4, 9, 2, 4, 32, 2, 2, 2], |&[quad, tap, k, n, lane, upper, high, odd]| {
                let channel = quad * 32 + k * 16 + high * 8 + lane % 4 * 2 + odd;
                weight(n * 16 + upper * 8 + lane / 4, channel, tap)
            });
            ("deform_mma", halves(&packed))
        } else {
            let round = kernels != Kernels::PlainF32;
            let packed = pack(&[couts / 8, 9, conv.cin, 8], |at| {
                let w = weight(at[0] * 8 + at[3], at[2], at[1]);
                if round { f16::from_f32(w).to_f32() } else { w }
            });
            (kernels.typed(["deform_f16", "deform_f32"]), floats(&packed))
        };
        let bias: Vec<f32> = (0..couts).map(|o| conv.bias.get(o).copied().unwrap_or(0.0)).collect();
        let (weight, bias) = (store(gpu, &packed)?, store(gpu, &floats(&bias))?);
        Ok(Self { kernel, channels, couts, weight, bias })
    }
}

/// A feature and the flow that leads to it.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The feature.
    pub feature: u64,
    /// The flow.
    pub flow: u64,
}

/// Flow-guided deformable convolution; without `second` zeros take its place.
pub fn deform(
    gpu: &Gpu,
    layer: &DeformLayer,
    first: Source,
    second: Option<Source>,
    offsets: u64,
    out: u64,
    (w, h): (usize, usize),
) -> Result<(), EngineError> {
    let a = Deformable {
        first: first.feature,
        second: second.map_or(0, |s| s.feature),
        first_flow: first.flow,
        second_flow: second.map_or(0, |s| s.flow),
        offsets,
        weight: layer.weight.address,
        bias: layer.bias.address,
        out,
        plane: (w * h * 8) as i64,
        channels: layer.channels as i32,
        groups: GROUPS as i32,
        couts: layer.couts as i32,
        h: h as i32,
        w: w as i32,
    };
    let grid = if layer.kernel == "deform_mma" {
        [w.div_ceil(32), h.div_ceil(4), 1]
    } else {
        [w.div_ceil(128), h, layer.couts / 8]
    };
    // SAFETY: the layer was packed for this kernel; the addresses are the caller's buffers of this size.
    unsafe { gpu.launch(layer.kernel, grid, 128, 0, &[argument(&a)]) }
}

/// `Condition` in `motion.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    first: u64,
    second: u64,
    first_flow: u64,
    second_flow: u64,
    out_first: u64,
    out_second: u64,
    plane: i64,
    planes: i32,
    w: i32,
    h: i32,
}

/// Both features warped by their flows to `outs`; in the plane after the second one's, the flows.
pub fn condition(
    gpu: &Gpu,
    kernels: Kernels,
    first: Source,
    second: Option<Source>,
    outs: [u64; 2],
    planes: usize,
    (w, h): (usize, usize),
) -> Result<(), EngineError> {
    let a = Condition {
        first: first.feature,
        second: second.map_or(0, |s| s.feature),
        first_flow: first.flow,
        second_flow: second.map_or(0, |s| s.flow),
        out_first: outs[0],
        out_second: outs[1],
        plane: (w * h * 8) as i64,
        planes: planes as i32,
        w: w as i32,
        h: h as i32,
    };
    let kernel = kernels.typed(["condition_f16", "condition_f32"]);
    // SAFETY: the addresses are the caller's buffers of these sizes.
    unsafe { gpu.launch(kernel, [w.div_ceil(128), h, 2], 128, 0, &[argument(&a)]) }
}

/// `flow + warp(previous, by flow)`
pub fn compose(
    gpu: &Gpu,
    flow: u64,
    previous: u64,
    out: u64,
    (w, h): (usize, usize),
) -> Result<(), EngineError> {
    let size = [w as i32, h as i32];
    let arguments =
        [argument(&flow), argument(&previous), argument(&out), argument(&size[0]), argument(&size[1])];
    // SAFETY: the addresses are the caller's flows of this size.
    unsafe { gpu.launch("compose", [w.div_ceil(128), h, 1], 128, 0, &arguments) }
}

/// A frame as one plane, RGB and zeros.
pub fn rgb(
    gpu: &Gpu,
    kernels: Kernels,
    frame: u64,
    format: &PixelFormat,
    out: u64,
    pixels: usize,
) -> Result<(), EngineError> {
    let count = pixels as i32;
    let arguments = [argument(&frame), argument(format), argument(&out), argument(&count)];
    // SAFETY: the addresses are the caller's buffers of this size.
    unsafe {
        gpu.launch(kernels.typed(["rgb_f16", "rgb_f32"]), [pixels.div_ceil(128), 1, 1], 128, 0, &arguments)
    }
}

/// Every second pixel and row of `planes` planes of size `from`.
pub fn every_second(
    gpu: &Gpu,
    kernels: Kernels,
    [input, out]: [u64; 2],
    planes: usize,
    (from_w, from_h): (usize, usize),
) -> Result<(), EngineError> {
    let (w, h) = (from_w.div_ceil(2), from_h.div_ceil(2));
    let sizes = [from_w as i32, from_h as i32, w as i32, h as i32];
    let mut arguments = vec![argument(&input), argument(&out)];
    arguments.extend(sizes.iter().map(argument));
    let kernel = kernels.typed(["every_second_f16", "every_second_f32"]);
    // SAFETY: the addresses are the caller's buffers of these sizes.
    unsafe { gpu.launch(kernel, [w.div_ceil(128), h, planes], 128, 0, &arguments) }
}

/// The finest level of a frame's pyramid, of size `to`, four float32 for a pixel, normalised by mean and deviation. `from`
/// is the frame's size divided by `pixels`, 1 or 4.
pub fn pyramid_base(
    gpu: &Gpu,
    frame: u64,
    format: &PixelFormat,
    pixels: usize,
    [from, to]: [(usize, usize); 2],
    [mean, std]: [[f32; 3]; 2],
    out: u64,
) -> Result<(), EngineError> {
    // A CUDA float4 is passed like this.
    #[repr(C, align(16))]
    struct Float4([f32; 4]);
    let four = |[r, g, b]: [f32; 3]| Float4([r, g, b, 1.0]);
    let (mean, std) = (four(mean), four(std));
    let sizes = [from.0 as i32, from.1 as i32, to.0 as i32, to.1 as i32];
    let pixels = pixels as i32;
    let arguments = [
        argument(&frame),
        argument(format),
        argument(&pixels),
        argument(&sizes[0]),
        argument(&sizes[1]),
        argument(&mean),
        argument(&std),
        argument(&out),
        argument(&sizes[2]),
        argument(&sizes[3]),
    ];
    // SAFETY: the addresses are the caller's buffers of these sizes.
    unsafe { gpu.launch("pyramid_base", [to.0.div_ceil(128), to.1, 1], 128, 0, &arguments) }
}

/// The next coarser level, of size `to`.
pub fn pyramid_next(gpu: &Gpu, from: u64, out: u64, to: (usize, usize)) -> Result<(), EngineError> {
    let size = [to.0 as i32, to.1 as i32];
    let arguments = [argument(&from), argument(&out), argument(&size[0]), argument(&size[1])];
    // SAFETY: the addresses are the caller's buffers of these sizes.
    unsafe { gpu.launch("pyramid_next", [to.0.div_ceil(128), to.1, 1], 128, 0, &arguments) }
}

/// The most pairs of frames in a batch of the flow network's.
pub const MAX_PAIRS: usize = 64;

/// `FlowInput` in `motion.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FlowInput {
    /// One level of the pyramids of all frames, one after another.
    pub pyramid: u64,
    /// Flows of the coarser level, one after another; 0 at the coarsest.
    pub coarse: u64,
    /// Receives the flows so far.
    pub flow: u64,
    /// Receives one plane for each pair.
    pub out: u64,
    /// Width of the level.
    pub w: i32,
    /// Height of the level.
    pub h: i32,
    /// Indices in `pyramid` of each pair's reference and support.
    pub pairs: [[i32; 2]; MAX_PAIRS],
}

/// What the flow network reads at one level, for a batch of pairs.
pub fn flow_input(gpu: &Gpu, kernels: Kernels, a: &FlowInput, pairs: usize) -> Result<(), EngineError> {
    let kernel = kernels.typed(["flow_input_f16", "flow_input_f32"]);
    let grid = [(a.w as usize).div_ceil(128), a.h as usize, pairs];
    // SAFETY: the addresses are the caller's buffers of these sizes.
    unsafe { gpu.launch(kernel, grid, 128, 0, &[argument(a)]) }
}

/// A flow at another size, its vectors rescaled with it.
pub fn flow_resize(
    gpu: &Gpu,
    flow: u64,
    from: (usize, usize),
    out: u64,
    to: (usize, usize),
) -> Result<(), EngineError> {
    let sizes = [from.0 as i32, from.1 as i32, to.0 as i32, to.1 as i32];
    let arguments = [
        argument(&flow),
        argument(&sizes[0]),
        argument(&sizes[1]),
        argument(&out),
        argument(&sizes[2]),
        argument(&sizes[3]),
    ];
    // SAFETY: the addresses are the caller's buffers of these sizes.
    unsafe { gpu.launch("flow_resize", [to.0.div_ceil(128), to.1, 1], 128, 0, &arguments) }
}

// The same numbers stand in `tensor.cuh` and `motion.cu`.
const _: () = assert!(size_of::<PixelFormat>() == 40);
const _: () = assert!(size_of::<Picture>() == 120);
const _: () = assert!(size_of::<Convolution>() == 448);
const _: () = assert!(size_of::<Deformable>() == 96);
const _: () = assert!(size_of::<Condition>() == 72);
const _: () = assert!(size_of::<FlowInput>() == 552);
