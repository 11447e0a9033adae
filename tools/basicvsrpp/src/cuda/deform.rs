//! Flow-guided deformable convolution.

use super::{
    arguments::{Deformable, argument},
    driver::{Gpu, Memory},
    kernels::Kernels,
    pack::{floats, halves, pack, planes},
    view::View,
};
use crate::{Conv, EngineError};
use half::f16;

/// Deformable groups of every network that the kernels take.
pub const GROUPS: usize = 16;

/// Planes of the offsets and masks.
pub const OFFSET_PLANES: usize = 56;

/// A deformable convolution on the device.
#[derive(Debug)]
pub struct DeformLayer {
    function: &'static str,
    /// Channels of each of both features.
    channels: usize,
    couts: usize,
    /// Bytes of a pixel of a plane.
    pixel: usize,
    weight: Memory,
    bias: Memory,
}

/// A feature and the flow that leads to it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The feature.
    pub feature: View<'a>,
    /// The flow.
    pub flow: View<'a>,
}

impl Source<'_> {
    /// The addresses of both, for features of `planes` planes of `pixels` pixels of `pixel` bytes.
    pub(super) fn addresses(
        self,
        planes: usize,
        pixels: usize,
        pixel: usize,
    ) -> Result<[u64; 2], EngineError> {
        Ok([
            self.feature.address("the feature", planes * pixels, pixel)?,
            self.flow.address("the flow to it", pixels, 8)?,
        ])
    }
}

impl DeformLayer {
    /// `conv` reads `2C` channels.
    pub fn new(gpu: &Gpu, kernels: Kernels, conv: &Conv) -> Result<Self, EngineError> {
        let channels = conv.cin / 2;
        let couts = planes(conv.cout) * 8;
        let weight = |o: usize, i: usize, tap: usize| {
            if o < conv.cout { conv.weight[(o * conv.cin + i) * 9 + tap] } else { 0.0 }
        };
        // A group is one plane.
        let fast = channels == 64 && conv.cout == 64 && kernels >= Kernels::Mma;
        let (function, packed) = if fast {
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
        let (weight, bias) = (gpu.store(&packed)?, gpu.store(&floats(&bias))?);
        Ok(Self { function, channels, couts, pixel: kernels.pixel(), weight, bias })
    }

    /// Queues it; without `second` zeros take its place.
    pub fn run(
        &self,
        gpu: &Gpu,
        first: Source,
        second: Option<Source>,
        offsets: View,
        out: View,
        (w, h): (usize, usize),
    ) -> Result<(), EngineError> {
        let (pixels, pixel) = (w * h, self.pixel);
        let source = |source: Source| source.addresses(planes(self.channels), pixels, pixel);
        let [first, first_flow] = source(first)?;
        let [second, second_flow] = second.map_or(Ok([0, 0]), source)?;
        let a = Deformable {
            first,
            second,
            first_flow,
            second_flow,
            offsets: offsets.address("the offsets", OFFSET_PLANES * pixels, pixel)?,
            weight: self.weight.address(),
            bias: self.bias.address(),
            out: out.address("the output", self.couts / 8 * pixels, pixel)?,
            plane: (pixels * 8) as i64,
            channels: self.channels as i32,
            groups: GROUPS as i32,
            couts: self.couts as i32,
            h: h as i32,
            w: w as i32,
        };
        let grid = if self.function == "deform_mma" {
            [w.div_ceil(32), h.div_ceil(4), 1]
        } else {
            [w.div_ceil(128), h, self.couts / 8]
        };
        // SAFETY: the weights were packed for this kernel; all other memory is as large as has just been checked.
        unsafe { gpu.launch(self.function, grid, 128, 0, &[argument(&a)]) }
    }
}
