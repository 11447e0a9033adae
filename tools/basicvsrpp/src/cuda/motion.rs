//! The kernels of `motion.cu` as functions: warps, flows and the flow network's pyramid.
//!
//! Sizes are in pixels. Each view is exactly as long as what it holds. All functions queue their work and return.

use super::{
    arguments::{Condition, FlowInput, MAX_PAIRS, argument},
    deform::Source,
    driver::Gpu,
    format::PixelFormat,
    kernels::Kernels,
    view::View,
};
use crate::EngineError;

/// Bytes of a pixel of a flow: two float32.
const FLOW: usize = 8;
/// Bytes of a pixel of the pyramid: four float32.
const LEVEL: usize = 16;

/// Both features, of `planes` planes, warped by their flows to `outs`; the second one has a plane more, for the flows.
pub fn condition(
    gpu: &Gpu,
    kernels: Kernels,
    first: Source,
    second: Option<Source>,
    outs: [View; 2],
    planes: usize,
    (w, h): (usize, usize),
) -> Result<(), EngineError> {
    let (pixels, pixel) = (w * h, kernels.pixel());
    let source = |source: Source| source.addresses(planes, pixels, pixel);
    let [first, first_flow] = source(first)?;
    let [second, second_flow] = second.map_or(Ok([0, 0]), source)?;
    let a = Condition {
        first,
        second,
        first_flow,
        second_flow,
        out_first: outs[0].address("the warped feature", planes * pixels, pixel)?,
        out_second: outs[1].address("the warped feature and flows", (planes + 1) * pixels, pixel)?,
        plane: (pixels * 8) as i64,
        planes: planes as i32,
        w: w as i32,
        h: h as i32,
    };
    let kernel = kernels.typed(["condition_f16", "condition_f32"]);
    // SAFETY: all memory is as large as has just been checked.
    unsafe { gpu.launch(kernel, [w.div_ceil(128), h, 2], 128, 0, &[argument(&a)]) }
}

/// `flow + warp(previous, by flow)`
pub fn compose(
    gpu: &Gpu,
    flow: View,
    previous: View,
    out: View,
    (w, h): (usize, usize),
) -> Result<(), EngineError> {
    let flow = flow.address("the flow", w * h, FLOW)?;
    let previous = previous.address("the flow of the previous visit", w * h, FLOW)?;
    let out = out.address("the flow over two steps", w * h, FLOW)?;
    let size = [w as i32, h as i32];
    let arguments =
        [argument(&flow), argument(&previous), argument(&out), argument(&size[0]), argument(&size[1])];
    // SAFETY: all memory is as large as has just been checked.
    unsafe { gpu.launch("compose", [w.div_ceil(128), h, 1], 128, 0, &arguments) }
}

/// A frame of `pixels` pixels as one plane, RGB and zeros.
pub fn rgb(
    gpu: &Gpu,
    kernels: Kernels,
    frame: View,
    format: &PixelFormat,
    out: View,
    pixels: usize,
) -> Result<(), EngineError> {
    let (samples, bytes) = format.samples(pixels);
    let frame = frame.address("the frame", samples, bytes)?;
    let out = out.address("the frame's plane", pixels, kernels.pixel())?;
    let count = pixels as i32;
    let arguments = [argument(&frame), argument(format), argument(&out), argument(&count)];
    // SAFETY: all memory is as large as has just been checked.
    unsafe {
        gpu.launch(kernels.typed(["rgb_f16", "rgb_f32"]), [pixels.div_ceil(128), 1, 1], 128, 0, &arguments)
    }
}

/// Every second pixel and row of `planes` planes of size `from`.
pub fn every_second(
    gpu: &Gpu,
    kernels: Kernels,
    [input, out]: [View; 2],
    planes: usize,
    (from_w, from_h): (usize, usize),
) -> Result<(), EngineError> {
    let (w, h) = (from_w.div_ceil(2), from_h.div_ceil(2));
    let input = input.address("the input", planes * from_w * from_h, kernels.pixel())?;
    let out = out.address("the output", planes * w * h, kernels.pixel())?;
    let sizes = [from_w as i32, from_h as i32, w as i32, h as i32];
    let mut arguments = vec![argument(&input), argument(&out)];
    arguments.extend(sizes.iter().map(argument));
    let kernel = kernels.typed(["every_second_f16", "every_second_f32"]);
    // SAFETY: all memory is as large as has just been checked.
    unsafe { gpu.launch(kernel, [w.div_ceil(128), h, planes], 128, 0, &arguments) }
}

/// The finest level of a frame's pyramid, of size `to`, four float32 for a pixel, normalised by mean and deviation. `from`
/// is the frame's size divided by `stride`, 1 or 4.
pub fn pyramid_base(
    gpu: &Gpu,
    frame: View,
    format: &PixelFormat,
    stride: usize,
    [from, to]: [(usize, usize); 2],
    [mean, std]: [[f32; 3]; 2],
    out: View,
) -> Result<(), EngineError> {
    // A CUDA float4 is passed like this.
    #[repr(C, align(16))]
    struct Float4([f32; 4]);
    let four = |[r, g, b]: [f32; 3]| Float4([r, g, b, 1.0]);
    let (mean, std) = (four(mean), four(std));
    let (samples, bytes) = format.samples(stride * from.0 * stride * from.1);
    let frame = frame.address("the frame", samples, bytes)?;
    let out = out.address("the finest level", to.0 * to.1, LEVEL)?;
    let sizes = [from.0 as i32, from.1 as i32, to.0 as i32, to.1 as i32];
    let stride = stride as i32;
    let arguments = [
        argument(&frame),
        argument(format),
        argument(&stride),
        argument(&sizes[0]),
        argument(&sizes[1]),
        argument(&mean),
        argument(&std),
        argument(&out),
        argument(&sizes[2]),
        argument(&sizes[3]),
    ];
    // SAFETY: all memory is as large as has just been checked.
    unsafe { gpu.launch("pyramid_base", [to.0.div_ceil(128), to.1, 1], 128, 0, &arguments) }
}

/// The next coarser level, of size `to`.
pub fn pyramid_next(gpu: &Gpu, from: View, out: View, to: (usize, usize)) -> Result<(), EngineError> {
    let from = from.address("a level", 4 * to.0 * to.1, LEVEL)?;
    let out = out.address("the next level", to.0 * to.1, LEVEL)?;
    let size = [to.0 as i32, to.1 as i32];
    let arguments = [argument(&from), argument(&out), argument(&size[0]), argument(&size[1])];
    // SAFETY: all memory is as large as has just been checked.
    unsafe { gpu.launch("pyramid_next", [to.0.div_ceil(128), to.1, 1], 128, 0, &arguments) }
}

/// One level of the flow network, for a batch of pairs.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// The level's size.
    pub size: (usize, usize),
    /// The level of `frames` frames, one after another.
    pub pyramid: View<'a>,
    /// How many frames.
    pub frames: usize,
    /// Reference and support of each pair: which of the frames.
    pub pairs: &'a [[usize; 2]],
    /// Flows of the coarser level, of half the size, one after another; none at the coarsest.
    pub coarse: Option<View<'a>>,
    /// Receives the flows so far.
    pub flow: View<'a>,
    /// Receives one plane for each pair.
    pub out: View<'a>,
}

impl Level<'_> {
    /// Checked against the memory that there is.
    fn arguments(&self, pixel: usize) -> Result<FlowInput, EngineError> {
        let ((w, h), count) = (self.size, self.pairs.len());
        if count > MAX_PAIRS || self.pairs.as_flattened().iter().any(|&frame| frame >= self.frames) {
            return Err(EngineError::Failed(format!("{count} pairs of {} frames", self.frames)));
        }
        let mut pairs = [[0; 2]; MAX_PAIRS];
        for (to, pair) in pairs.iter_mut().zip(self.pairs) {
            *to = pair.map(|frame| frame as i32);
        }
        let coarse = |flow: View| flow.address("the coarser flows", count * (w * h / 4), FLOW);
        Ok(FlowInput {
            pyramid: self.pyramid.address("a level", self.frames * w * h, LEVEL)?,
            coarse: self.coarse.map_or(Ok(0), coarse)?,
            flow: self.flow.address("the flows", count * w * h, FLOW)?,
            out: self.out.address("the flow network's input", count * w * h, pixel)?,
            w: w as i32,
            h: h as i32,
            pairs,
        })
    }
}

/// What the flow network reads at one level.
pub fn flow_input(gpu: &Gpu, kernels: Kernels, level: &Level) -> Result<(), EngineError> {
    let a = level.arguments(kernels.pixel())?;
    let kernel = kernels.typed(["flow_input_f16", "flow_input_f32"]);
    let grid = [level.size.0.div_ceil(128), level.size.1, level.pairs.len()];
    // SAFETY: all memory is as large as has just been checked.
    unsafe { gpu.launch(kernel, grid, 128, 0, &[argument(&a)]) }
}

/// A flow at another size, its vectors rescaled with it.
pub fn flow_resize(
    gpu: &Gpu,
    flow: View,
    from: (usize, usize),
    out: View,
    to: (usize, usize),
) -> Result<(), EngineError> {
    let flow = flow.address("the flow", from.0 * from.1, FLOW)?;
    let out = out.address("the resized flow", to.0 * to.1, FLOW)?;
    let sizes = [from.0 as i32, from.1 as i32, to.0 as i32, to.1 as i32];
    let arguments = [
        argument(&flow),
        argument(&sizes[0]),
        argument(&sizes[1]),
        argument(&out),
        argument(&sizes[2]),
        argument(&sizes[3]),
    ];
    // SAFETY: all memory is as large as has just been checked.
    unsafe { gpu.launch("flow_resize", [to.0.div_ceil(128), to.1, 1], 128, 0, &arguments) }
}

#[cfg(test)]
mod tests {
    use super::{super::view::tests::view, *};

    #[test]
    fn a_level_is_checked_against_its_memory() {
        let (w, h, frames) = (8, 4, 3);
        let pairs = [[0, 1], [1, 2]];
        let level = Level {
            size: (w, h),
            pyramid: view(1 << 20, frames * w * h * 16),
            frames,
            pairs: &pairs,
            coarse: Some(view(2 << 20, 2 * w * h / 4 * 8)),
            flow: view(3 << 20, 2 * w * h * 8),
            out: view(4 << 20, 2 * w * h * 16),
        };
        let a = level.arguments(16).unwrap();
        assert_eq!((a.coarse, a.pairs[1], a.pairs[2]), (2 << 20, [1, 2], [0, 0]));
        assert_eq!(Level { coarse: None, ..level }.arguments(16).unwrap().coarse, 0);
        let refused = |level: Level| level.arguments(16).unwrap_err().to_string();
        assert_eq!(refused(Level { pairs: &[[0, 3]], ..level }), "1 pairs of 3 frames");
        assert_eq!(refused(Level { pairs: &[[0, 0]; 65], ..level }), "65 pairs of 3 frames");
        let short = "1040 bytes of device memory for 96 elements of 16";
        assert_eq!(refused(Level { pyramid: view(1 << 20, 1040), ..level }), format!("a level: {short}"));
        assert!(refused(Level { coarse: Some(level.flow), ..level }).starts_with("the coarser flows: "));
        assert!(refused(Level { flow: level.out, ..level }).starts_with("the flows: "));
        assert!(refused(Level { out: level.flow, ..level }).starts_with("the flow network's input: "));
    }
}
