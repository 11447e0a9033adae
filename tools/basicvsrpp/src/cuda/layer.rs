//! Convolutions: the kernel that computes one, its weights in that kernel's order, its launch.

use super::{
    arguments::{Convolution, MAX_INPUTS, argument},
    call::{Activation, Call, Target},
    driver::{Gpu, Memory},
    kernels::Kernels,
    pack::{Order, floats, halves, outputs, pack},
};
use crate::{Conv, EngineError};
use half::f16;

/// A convolution, its weights on the device, or on the host (`W` is `Vec<u8>`) before they go there.
#[derive(Debug)]
pub struct Layer<W = Memory> {
    /// Side of the convolution's kernel.
    side: usize,
    /// Planes that are read.
    planes: usize,
    /// Output channels, padded.
    couts: usize,
    /// Bytes of the eight channels of a pixel of a plane.
    pixel: usize,
    bias: W,
    kernel: Kernel<W>,
}

/// The kernel that computes a layer, with the weights as it reads them.
#[derive(Debug)]
enum Kernel<W> {
    /// `plain.cu`: inputs of `unit` planes.
    Plain { function: &'static str, unit: usize, weight: W },
    /// `conv_mma.cu`.
    Mma { tile: &'static Tile, weight: W },
    /// `conv_wgmma.cu`: one pass after another, each over planes of its own. The sums so far wait in the output, in
    /// float16.
    Wgmma { passes: Vec<Pass<W>> },
    /// `picture_mma.cu`: the last convolution and the finished frame.
    Picture { weight: W },
}

/// A kernel of `conv_mma.cu`.
#[derive(Debug, PartialEq, Eq)]
struct Tile {
    side: usize,
    /// Planes of each input.
    unit: usize,
    /// Output channels that are computed at once.
    block: usize,
    function: &'static str,
}

const TILES: [Tile; 7] = [
    Tile { side: 3, unit: 1, block: 64, function: "conv3_8_64" },
    Tile { side: 3, unit: 4, block: 64, function: "conv3_32_64" },
    Tile { side: 7, unit: 1, block: 32, function: "conv7_8_32" },
    Tile { side: 7, unit: 4, block: 64, function: "conv7_32_64" },
    Tile { side: 7, unit: 4, block: 32, function: "conv7_32_32" },
    Tile { side: 7, unit: 4, block: 16, function: "conv7_32_16" },
    Tile { side: 7, unit: 2, block: 8, function: "conv7_16_8" },
];

#[derive(Debug)]
struct Pass<W> {
    planes: usize,
    weight: W,
    /// Zeros in all passes but the first, which has the layer's.
    bias: Option<W>,
}

impl Layer {
    /// `inputs` lists, for each channel of the concatenated planes that the convolution reads, the channel of `conv`
    /// that it is (`None`: padding). `unit` is the number of planes that kernels read at once.
    pub fn new(
        gpu: &Gpu,
        kernels: Kernels,
        conv: &Conv,
        order: Order,
        unit: usize,
        inputs: &[Option<usize>],
    ) -> Result<Self, EngineError> {
        let Layer { side, planes, couts, pixel, bias, kernel } =
            Layer::pack(kernels, conv, order, unit, inputs)?;
        let store = |bytes: Vec<u8>| gpu.store(&bytes);
        let kernel = match kernel {
            Kernel::Plain { function, unit, weight } => {
                Kernel::Plain { function, unit, weight: store(weight)? }
            }
            Kernel::Mma { tile, weight } => Kernel::Mma { tile, weight: store(weight)? },
            Kernel::Wgmma { passes } => {
                let pass = |Pass { planes, weight, bias }| {
                    Ok(Pass { planes, weight: store(weight)?, bias: bias.map(store).transpose()? })
                };
                let passes = passes.into_iter().map(pass).collect::<Result<_, EngineError>>()?;
                Kernel::Wgmma { passes }
            }
            Kernel::Picture { weight } => Kernel::Picture { weight: store(weight)? },
        };
        Ok(Self { side, planes, couts, pixel, bias: store(bias)?, kernel })
    }

    /// Queues the convolution.
    pub fn run(&self, gpu: &Gpu, call: &Call) -> Result<(), EngineError> {
        let mut a = self.arguments(call)?;
        a.bias = self.bias.address();
        let ((w, _), rows) = (call.size, call.rows.len());
        match &self.kernel {
            Kernel::Plain { function, unit, weight } => {
                self.read(&mut a, call, *unit)?;
                a.weight = weight.address();
                let grid = [w.div_ceil(128), rows, call.images * self.couts / 8];
                // SAFETY: the weights were packed for this kernel; `arguments` and `read` have checked all other memory.
                unsafe { gpu.launch(function, grid, 128, 0, &[argument(&a)]) }
            }
            Kernel::Mma { tile, weight } => {
                self.read(&mut a, call, tile.unit)?;
                a.weight = weight.address();
                let (tiles, shared) = tile.shared(a.inputs as usize, gpu.info.shared[0] as usize);
                a.tiles = tiles as i32;
                let grid = [w.div_ceil(32), rows.div_ceil(8), call.images * self.couts / tile.block];
                // SAFETY: as above.
                unsafe { gpu.launch(tile.function, grid, 128, shared as u32, &[argument(&a)]) }
            }
            Kernel::Wgmma { passes } => {
                let jobs = w.div_ceil(128) * (self.couts / 64) * rows;
                let blocks = jobs.min(gpu.info.multiprocessors as usize);
                let last = passes.len() - 1;
                for (n, &Pass { planes, ref weight, ref bias }) in passes.iter().enumerate() {
                    a.input[0] = call.planes(self.pixel, 8 * n, planes)?;
                    a.weight = weight.address();
                    // Residuals of the caller's come in with the first pass.
                    if let Some(zeros) = bias {
                        a.bias = zeros.address();
                        a.residual = [a.out, 0];
                    }
                    a.activation = if n == last { call.activation } else { Activation::None } as i32;
                    let (function, ring) =
                        if planes == 8 { ("conv_wgmma_64", 9) } else { ("conv_wgmma_80", 6) };
                    let shared = (9 * planes * 64 + ring * planes * 130) * 16 + (2 * ring + 2) * 8;
                    // SAFETY: as above.
                    unsafe { gpu.launch(function, [blocks, 1, 1], 4 * 128, shared as u32, &[argument(&a)])? };
                }
                Ok(())
            }
            Kernel::Picture { weight } => {
                a.input[0] = call.planes(self.pixel, 0, 8)?;
                a.weight = weight.address();
                let grid = [w.div_ceil(32), rows.div_ceil(8), 1];
                // SAFETY: as above.
                unsafe { gpu.launch("picture_mma", grid, 128, 8 * 352 * 16, &[argument(&a)]) }
            }
        }
    }
}

impl Layer<Vec<u8>> {
    /// Chooses the kernel and packs the weights for it: see [`Layer::new`].
    fn pack(
        kernels: Kernels,
        conv: &Conv,
        order: Order,
        unit: usize,
        inputs: &[Option<usize>],
    ) -> Result<Self, EngineError> {
        let (side, taps) = (conv.k, conv.k * conv.k);
        if side != 3 && side != 7 {
            return Err(EngineError::Failed(format!("a convolution of {side}x{side}: CUDA has 3x3 and 7x7")));
        }
        let outputs = outputs(conv.cout, order);
        let (planes, couts) = (inputs.len() / 8, outputs.len());
        let count = planes / unit;
        let weight = |o: usize, i: usize, tap: usize| match (outputs[o], inputs[i]) {
            (Some(o), Some(i)) => conv.weight[(o * conv.cin + i) * taps + tap],
            _ => 0.0,
        };
        let tile = TILES
            .iter()
            .filter(|tile| tile.side == side && tile.unit == unit && couts.is_multiple_of(tile.block))
            .filter(|_| unit != 1 || count == 1)
            .max_by_key(|tile| tile.block);
        let fast = kernels >= Kernels::Mma;
        // The flow network's come in batches, which wgmma does not take.
        let wide = kernels == Kernels::Wgmma && side == 3 && unit == 4 && order != Order::Flow;
        let kernel = match tile {
            _ if fast && side == 3 && conv.cout == 3 && planes == 8 => {
                let packed = pack(&[4, 4, 32, 2, 2], |&[k, n, lane, high, odd]| {
                    let (sum, channel) = (n * 8 + lane / 4, k * 16 + high * 8 + lane % 4 * 2 + odd);
                    if sum < 27 { weight(sum % 3, channel, sum / 3) } else { 0.0 }
                });
                Kernel::Picture { weight: halves(&packed) }
            }
            _ if wide && couts.is_multiple_of(64) && count > 1 => {
                // 8 planes at a time, or 10 with the flows' in the last pass.
                let mut passes = vec![8; count / 2];
                passes[count / 2 - 1] += 2 * (count % 2);
                let pass = |(n, planes)| {
                    let packed = pack(&[couts / 64, taps, planes, 64, 8], |at| {
                        weight(at[0] * 64 + at[3], (8 * n + at[2]) * 8 + at[4], at[1])
                    });
                    let bias = (n > 0).then(|| floats(&vec![0.0; couts]));
                    Pass { planes, weight: halves(&packed), bias }
                };
                Kernel::Wgmma { passes: passes.into_iter().enumerate().map(pass).collect() }
            }
            Some(tile @ &Tile { unit: 1, block, .. }) if fast => {
                let pairs = side.div_ceil(2);
                let packed = pack(&[couts / block, side, pairs, 2, block, 8], |at| {
                    let across = at[2] * 2 + at[3];
                    if across < side {
                        weight(at[0] * block + at[4], at[5], at[1] * side + across)
                    } else {
                        0.0
                    }
                });
                Kernel::Mma { tile, weight: halves(&packed) }
            }
            Some(tile @ &Tile { block, .. }) if fast => {
                let packed = pack(&[couts / block, count, taps, unit, block, 8], |at| {
                    weight(at[0] * block + at[4], (at[1] * unit + at[3]) * 8 + at[5], at[2])
                });
                Kernel::Mma { tile, weight: halves(&packed) }
            }
            _ => {
                // The plain float16 kernels see the same rounded weights as the fast ones.
                let round = kernels != Kernels::PlainF32;
                let packed = pack(&[couts / 8, planes, taps, 8, 8], |at| {
                    let w = weight(at[0] * 8 + at[4], at[1] * 8 + at[3], at[2]);
                    if round { f16::from_f32(w).to_f32() } else { w }
                });
                let names = if side == 3 { ["conv3_f16", "conv3_f32"] } else { ["conv7_f16", "conv7_f32"] };
                Kernel::Plain { function: kernels.typed(names), unit, weight: floats(&packed) }
            }
        };
        let one_by_one = matches!(kernel, Kernel::Plain { .. } | Kernel::Mma { .. });
        if one_by_one && count > MAX_INPUTS || !planes.is_multiple_of(unit) {
            let most = MAX_INPUTS * unit * 8;
            let channels = inputs.len();
            return Err(EngineError::Failed(format!(
                "a convolution of {channels} channels: CUDA reads up to {most}, in groups of {}",
                8 * unit
            )));
        }
        let bias: Vec<f32> = outputs.iter().map(|o| o.map_or(0.0, |o| conv.bias[o])).collect();
        Ok(Self { side, planes, couts, pixel: kernels.pixel(), bias: floats(&bias), kernel })
    }
}

impl Tile {
    /// Tiles of the picture that are in shared memory at a time, and the bytes of all of it, for a number of inputs. Two
    /// blocks are to fit on a multiprocessor with `available` bytes.
    fn shared(&self, inputs: usize, available: usize) -> (usize, usize) {
        let paired = usize::from(self.unit == 1);
        let halo = (32 + self.side - 1 + paired) * (8 + self.side - 1);
        let stage = if self.unit == 1 { 2 * self.block } else { self.unit * self.block };
        // One pixel more: the last pair of taps looks there, with weight zero.
        let bytes = |tiles: usize| (tiles * (self.unit * halo + paired) + 4 * stage) * 16;
        // Each block with the 1 KB that the system takes.
        let tiles = if inputs > 1 && 2 * (bytes(2) + 1024) <= available { 2 } else { 1 };
        (tiles, bytes(tiles))
    }
}

impl<W> Layer<W> {
    /// The name of the kernel, for benches.
    pub fn function(&self) -> &'static str {
        match self.kernel {
            Kernel::Plain { function, .. } => function,
            Kernel::Mma { tile, .. } => tile.function,
            Kernel::Wgmma { .. } => "conv_wgmma",
            Kernel::Picture { .. } => "picture_mma",
        }
    }

    /// Planes that are read, of all inputs together.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Planes of the feature that is written: with a pixel shuffle a quarter of it all.
    pub fn planes_out(&self, shuffled: bool) -> usize {
        self.couts / if shuffled { 32 } else { 8 }
    }

    /// All that the call says, checked against the memory that it gives: what a kernel reads and writes lies inside it.
    /// Inputs and weights are left to the kernel's own.
    fn arguments(&self, call: &Call) -> Result<Convolution, EngineError> {
        let fail = |reason: &str| Err(EngineError::Failed(format!("{}: {reason}", self.function())));
        let &Call { size: (w, h), images, activation, ref rows, held, room, .. } = call;
        let (pixel, reach) = (self.pixel, self.side / 2);
        // Of a band no row is read that its results do not need.
        let read = rows.start.saturating_sub(reach)..(rows.end + reach).min(h);
        if w == 0 || images == 0 || rows.is_empty() || rows.end > h {
            return fail("nothing to compute, or rows that the picture does not have");
        }
        if read.start < held.first || read.end > held.first + held.count {
            return fail("the inputs do not hold the rows that are read");
        }
        if call.inputs.iter().map(|input| call.planes_of(pixel, *input)).sum::<usize>() != self.planes {
            return fail("the inputs have another number of planes than the convolution");
        }
        if images > 1 && call.inputs.len() > 1 {
            return fail("the images of a batch lie in one input");
        }
        let mut a = Convolution {
            in_plane: (held.count * w * 8) as i64,
            in_image: (self.planes * held.count * w * 8) as i64,
            couts: self.couts as i32,
            h: read.end as i32,
            w: w as i32,
            y0: rows.start as i32,
            y1: rows.end as i32,
            in_row: held.first as i32,
            out_row: room.first as i32,
            activation: activation as i32,
            ..Convolution::default()
        };
        match (&self.kernel, call.target) {
            (Kernel::Plain { .. } | Kernel::Mma { .. }, Target::Flow(flow, out)) => {
                if *rows != (0..h) {
                    return fail("flows are whole");
                }
                a.store = 2;
                a.flow = flow.address("the flow so far", images * w * h, 8)?;
                a.out_flow = out.address("the flow", images * w * h, 8)?;
            }
            (Kernel::Plain { .. } | Kernel::Picture { .. }, Target::Picture(picture)) if images == 1 => {
                a.store = 3;
                a.picture = picture.arguments(call.size)?;
            }
            (kernel, Target::Feature(out) | Target::Shuffled(out))
                if !matches!(kernel, Kernel::Picture { .. }) =>
            {
                if images > 1 && matches!(kernel, Kernel::Wgmma { .. }) {
                    return fail("it takes no batches");
                }
                let shuffled = matches!(call.target, Target::Shuffled(_));
                let narrow = matches!(kernel, Kernel::Mma { tile, .. } if tile.block < 16);
                if shuffled && (narrow || !self.couts.is_multiple_of(32)) {
                    return fail("channels that cannot be shuffled");
                }
                let (scale, planes) = (if shuffled { 2 } else { 1 }, self.planes_out(shuffled));
                if scale * rows.start < room.first || scale * rows.end > room.first + room.count {
                    return fail("the output has no room for the rows that are computed");
                }
                let plane = room.count * scale * w;
                a.store = i32::from(shuffled);
                a.out_plane = (plane * 8) as i64;
                a.out_image = planes as i64 * a.out_plane;
                a.out = out.address("the output", images * planes * plane, pixel)?;
                if call.residuals.len() > a.residual.len() || shuffled && !call.residuals.is_empty() {
                    return fail("more residuals than it adds");
                }
                for (to, residual) in a.residual.iter_mut().zip(call.residuals) {
                    *to = residual.address("a residual", images * planes * plane, pixel)?;
                }
            }
            _ => return fail("its sums do not go there"),
        }
        Ok(a)
    }

    /// The inputs in groups of `unit` planes, one after another.
    fn read(&self, a: &mut Convolution, call: &Call, unit: usize) -> Result<(), EngineError> {
        (a.inputs, a.planes) = ((self.planes / unit) as i32, unit as i32);
        for (n, input) in a.input[..self.planes / unit].iter_mut().enumerate() {
            *input = call.planes(self.pixel, n * unit, unit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            call::{Picture, Rows},
            format::PixelFormat,
            view::tests::view,
        },
        *,
    };
    use crate::picture::Output;
    use rawstream::RgbFmt;
    use std::ops::Range;

    fn layer(
        kernels: Kernels,
        [cin, cout, k]: [usize; 3],
        order: Order,
        unit: usize,
    ) -> Result<Layer<Vec<u8>>, EngineError> {
        let weight = (0..cout * cin * k * k).map(|i| i as f32).collect();
        let conv = Conv { cin, cout, k, weight, bias: vec![1.0; cout] };
        let inputs: Vec<_> = (0..cin.next_multiple_of(8 * unit)).map(|i| (i < cin).then_some(i)).collect();
        Layer::pack(kernels, &conv, order, unit, &inputs)
    }

    #[test]
    fn each_convolution_has_its_kernel() {
        use Kernels::{Mma, PlainF16, PlainF32, Wgmma};
        use Order::{Flow, Offsets, Same, Shuffle};
        for (sizes, order, unit, names) in [
            ([3, 64, 3], Same, 1, ["conv3_f16", "conv3_8_64", "conv3_8_64"]),
            ([64, 64, 3], Same, 4, ["conv3_f16", "conv3_32_64", "conv_wgmma"]),
            ([320, 64, 3], Same, 4, ["conv3_f16", "conv3_32_64", "conv_wgmma"]),
            ([64, 256, 3], Shuffle, 4, ["conv3_f16", "conv3_32_64", "conv_wgmma"]),
            ([64, 432, 3], Offsets, 4, ["conv3_f16", "conv3_32_64", "conv_wgmma"]),
            ([64, 3, 3], Same, 4, ["conv3_f16", "picture_mma", "picture_mma"]),
            ([8, 32, 7], Flow, 1, ["conv7_f16", "conv7_8_32", "conv7_8_32"]),
            ([32, 64, 7], Flow, 4, ["conv7_f16", "conv7_32_64", "conv7_32_64"]),
            ([16, 2, 7], Flow, 2, ["conv7_f16", "conv7_16_8", "conv7_16_8"]),
            ([8, 16, 3], Flow, 1, ["conv3_f16", "conv3_f16", "conv3_f16"]),
            // wgmma computes one picture, the flow network many at once.
            ([64, 64, 3], Flow, 4, ["conv3_f16", "conv3_32_64", "conv3_32_64"]),
        ] {
            for (kernels, name) in [PlainF16, Mma, Wgmma].into_iter().zip(names) {
                let layer = layer(kernels, sizes, order, unit).unwrap();
                assert_eq!(layer.function(), name, "{sizes:?} {order:?} {kernels:?}");
                assert_eq!(layer.pixel, 16);
            }
        }
        let plain = layer(PlainF32, [64, 64, 3], Same, 4).unwrap();
        assert_eq!((plain.function(), plain.pixel), ("conv3_f32", 32));
    }

    #[test]
    fn weights_are_as_long_as_their_kernel_reads() {
        let size = |kernels, sizes, order, unit| match layer(kernels, sizes, order, unit).unwrap().kernel {
            Kernel::Plain { weight, .. } | Kernel::Mma { weight, .. } | Kernel::Picture { weight } => {
                vec![weight.len()]
            }
            Kernel::Wgmma { passes } => passes.iter().map(|pass| pass.weight.len()).collect(),
        };
        assert_eq!(size(Kernels::PlainF16, [64, 64, 3], Order::Same, 4), [64 * 64 * 9 * 4]);
        assert_eq!(size(Kernels::Mma, [64, 64, 3], Order::Same, 4), [64 * 64 * 9 * 2]);
        // Pairs of taps: 7 rows of 8.
        assert_eq!(size(Kernels::Mma, [8, 32, 7], Order::Flow, 1), [32 * 8 * 7 * 8 * 2]);
        assert_eq!(size(Kernels::Wgmma, [128, 64, 3], Order::Same, 4), [64 * 64 * 9 * 2; 2]);
        assert_eq!(size(Kernels::Mma, [64, 3, 3], Order::Same, 4), [32 * 64 * 2]);
    }

    #[test]
    fn the_flows_come_with_the_last_pass_of_wgmma() {
        let mut inputs: Vec<_> = (0..196).map(Some).collect();
        inputs.extend([None; 28]);
        let conv = Conv { cin: 196, cout: 64, k: 3, weight: vec![1.0; 64 * 196 * 9], bias: vec![1.0; 64] };
        let layer = Layer::pack(Kernels::Wgmma, &conv, Order::Same, 4, &inputs).unwrap();
        let Kernel::Wgmma { passes } = layer.kernel else { panic!("{layer:?}") };
        let planes: Vec<_> = passes.iter().map(|pass| (pass.planes, pass.bias.is_some())).collect();
        assert_eq!(planes, [(8, false), (8, true), (10, true)]);
    }

    #[test]
    fn what_no_kernel_reads_is_an_error() {
        let error = layer(Kernels::PlainF32, [8, 8, 5], Order::Same, 1).unwrap_err().to_string();
        assert_eq!(error, "a convolution of 5x5: CUDA has 3x3 and 7x7");
        let error = layer(Kernels::Mma, [1024, 64, 3], Order::Same, 4).unwrap_err().to_string();
        assert_eq!(error, "a convolution of 1024 channels: CUDA reads up to 768, in groups of 32");
        assert!(layer(Kernels::Wgmma, [1024, 64, 3], Order::Same, 4).is_ok());
    }

    #[test]
    fn a_second_tile_where_two_blocks_still_fit() {
        let tile = |function| TILES.iter().find(|tile| tile.function == function).unwrap();
        let one = (4 * 34 * 10 + 4 * 4 * 64) * 16;
        assert_eq!(tile("conv3_32_64").shared(1, 228 << 10), (1, one));
        assert_eq!(tile("conv3_32_64").shared(2, 228 << 10), (2, one + 4 * 34 * 10 * 16));
        assert_eq!(tile("conv3_32_64").shared(2, 100 << 10), (1, one));
        assert_eq!(tile("conv3_8_64").shared(1, 228 << 10), (1, (35 * 10 + 1 + 4 * 2 * 64) * 16));
    }

    const W: usize = 20;
    const H: usize = 12;
    /// Bytes of a feature of 64 channels.
    const FEATURE: usize = 8 * W * H * 16;

    /// Why a call is refused; nothing if it is not.
    fn refusal(layer: &Layer<Vec<u8>>, call: &Call) -> String {
        layer.arguments(call).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn every_view_is_exactly_as_long_as_it_must_be() {
        let layer = layer(Kernels::Mma, [64, 64, 3], Order::Same, 4).unwrap();
        let refused = |input, out, residual| {
            let (inputs, residuals) = ([view(1 << 20, input)], [view(3 << 20, residual)]);
            let target = Target::Feature(view(2 << 20, out));
            let call = Call::new(&inputs, target, Activation::Relu, (W, H));
            refusal(&layer, &Call { residuals: &residuals, ..call })
        };
        assert_eq!(refused(FEATURE, FEATURE, FEATURE), "");
        let short = format!("{} bytes of device memory for {} elements of 16", FEATURE - 16, FEATURE / 16);
        assert_eq!(refused(FEATURE, FEATURE - 16, FEATURE), format!("the output: {short}"));
        assert_eq!(refused(FEATURE, FEATURE, FEATURE - 16), format!("a residual: {short}"));
        let other = "conv3_32_64: the inputs have another number of planes than the convolution";
        assert_eq!(refused(FEATURE - 16, FEATURE, FEATURE), other);
        assert_eq!(refused(2 * FEATURE, FEATURE, FEATURE), other);
    }

    #[test]
    fn bands_hold_what_is_read_and_have_room_for_what_is_written() {
        let layer = layer(Kernels::Wgmma, [64, 64, 3], Order::Same, 4).unwrap();
        let bytes = |rows: Rows| 8 * W * rows.count * 16;
        let refused = |rows: Range<usize>, held: Rows, room: Rows| {
            let inputs = [view(1 << 20, bytes(held))];
            let target = Target::Feature(view(2 << 20, bytes(room)));
            let call = Call::new(&inputs, target, Activation::Relu, (W, H));
            refusal(&layer, &Call { rows, held, room, ..call })
        };
        let rows = |first: usize, last: usize| Rows { first, count: last - first };
        assert_eq!(refused(4..8, rows(3, 9), rows(4, 8)), "");
        assert_eq!(refused(0..12, rows(0, 12), rows(0, 12)), "");
        let unread = "conv_wgmma: the inputs do not hold the rows that are read";
        assert_eq!(refused(4..8, rows(4, 9), rows(4, 8)), unread);
        assert_eq!(refused(4..8, rows(3, 8), rows(4, 8)), unread);
        let unwritten = "conv_wgmma: the output has no room for the rows that are computed";
        assert_eq!(refused(4..8, rows(3, 9), rows(5, 9)), unwritten);
        assert_eq!(refused(4..8, rows(3, 9), rows(3, 7)), unwritten);
        let nothing = "conv_wgmma: nothing to compute, or rows that the picture does not have";
        assert_eq!(refused(8..13, rows(7, 13), rows(8, 13)), nothing);
        assert_eq!(refused(4..4, rows(3, 9), rows(4, 8)), nothing);
        // Of the rows below, only those that the results need are read.
        let inputs = [view(1 << 20, bytes(rows(3, 9)))];
        let target = Target::Feature(view(2 << 20, bytes(rows(4, 8))));
        let call = Call::new(&inputs, target, Activation::Relu, (W, H));
        let call = Call { rows: 4..8, held: rows(3, 9), room: rows(4, 8), ..call };
        let a = layer.arguments(&call).unwrap();
        assert_eq!((a.h, a.y0, a.y1, a.in_row, a.out_row), (9, 4, 8, 3, 4));
    }

    #[test]
    fn sums_go_only_where_the_kernel_can_put_them() {
        let inputs = [view(1 << 20, FEATURE)];
        let feature = Target::Feature(view(2 << 20, FEATURE));
        let flow = |bytes| Target::Flow(view(2 << 20, 8 * W * H), view(3 << 20, bytes));
        let rgb24 = Output::Wire(RgbFmt::named("rgb24").unwrap());
        let picture = |frame, out, invalid| {
            Target::Picture(Picture {
                frame: view(2 << 20, frame),
                in_format: PixelFormat::new(rgb24, W / 4 * H / 4),
                size: (W / 4, H / 4),
                out: view(3 << 20, out),
                out_format: PixelFormat::new(rgb24, W * H),
                invalid: view(4 << 20, invalid),
            })
        };
        let (small, large) = (3 * W / 4 * H / 4, 3 * W * H);
        let refused = |kernels, cout, target| {
            let layer = layer(kernels, [64, cout, 3], Order::Same, 4).unwrap();
            refusal(&layer, &Call::new(&inputs, target, Activation::None, (W, H)))
        };
        assert_eq!(refused(Kernels::Mma, 64, flow(8 * W * H)), "");
        assert_eq!(
            refused(Kernels::Mma, 64, flow(8 * W * H - 8)),
            format!("the flow: {} bytes of device memory for {} elements of 8", 8 * W * H - 8, W * H)
        );
        assert_eq!(refused(Kernels::Wgmma, 64, flow(8 * W * H)), "conv_wgmma: its sums do not go there");
        assert_eq!(refused(Kernels::Mma, 3, feature), "picture_mma: its sums do not go there");
        for kernels in [Kernels::PlainF16, Kernels::Mma] {
            assert_eq!(refused(kernels, 3, picture(small, large, 4)), "");
            let short = |have, count| format!("{have} bytes of device memory for {count} elements of 1");
            assert_eq!(
                refused(kernels, 3, picture(small - 1, large, 4)),
                format!("the input frame: {}", short(small - 1, small))
            );
            assert_eq!(
                refused(kernels, 3, picture(small, large + 1, 4)),
                format!("the output frame: {}", short(large + 1, large))
            );
            assert!(
                refused(kernels, 3, picture(small, large, 8)).starts_with("the flag for invalid numbers: ")
            );
        }
        assert_eq!(
            refused(Kernels::Mma, 64, picture(small, large, 4)),
            "conv3_32_64: its sums do not go there"
        );
    }
}
