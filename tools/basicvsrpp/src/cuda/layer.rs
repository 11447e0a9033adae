//! A convolution's weights in the order in which a kernel reads them.

use super::driver::{Gpu, Memory};
use crate::{Conv, EngineError};
use half::f16;

/// Which kernels run. Faster ones are tested equal to slower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernels {
    /// The specification: plain loops, float32 features.
    PlainF32,
    /// The same with float16 features.
    PlainF16,
    /// Tensor cores through mma.sync: sm_80 and later.
    Mma,
    /// And through wgmma where it pays: sm_90a.
    Wgmma,
}

impl Kernels {
    /// Bytes of one element of a feature.
    pub fn element(self) -> usize {
        if self == Self::PlainF32 { 4 } else { 2 }
    }

    /// The name of a kernel that exists for both types of feature.
    pub fn typed(self, names: [&'static str; 2]) -> &'static str {
        names[usize::from(self == Self::PlainF32)]
    }
}

/// What is done to the sums of a convolution: `Activation` in `tensor.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None = 0,
    /// `max(x, 0)`.
    Relu = 1,
    /// `max(x, x / 10)`.
    Leaky = 2,
    /// Offsets to 10 tanh, masks to sigmoid.
    Offsets = 3,
}

/// The order of the output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As in the checkpoint.
    Same,
    /// The same in as few planes as there can be: the flow network's.
    Flow,
    /// For a pixel shuffle by 2: `[row][plane][column][8]`.
    Shuffle,
    /// Of the last convolution before the deformable one, 16 groups: for each tap the offsets, then the masks.
    Offsets,
}

/// Planes of a feature of `channels`: enough for whole groups of 64 channels.
pub fn planes(channels: usize) -> usize {
    channels.div_ceil(64) * 8
}

/// A convolution on the device.
#[derive(Debug)]
pub struct Layer {
    /// The kernel that runs it.
    pub kernel: &'static str,
    /// Side of the kernel.
    pub k: usize,
    /// Planes of each input.
    pub unit: usize,
    /// Inputs.
    pub inputs: usize,
    /// Output channels, padded.
    pub couts: usize,
    /// Weights: one run over all inputs, or one for each of wgmma's passes.
    pub weights: Vec<Memory>,
    /// Planes that each of wgmma's passes reads; empty for the other kernels.
    pub passes: Vec<usize>,
    /// Zeros where there is more than one pass; the bias otherwise comes first.
    pub bias: Memory,
    /// What wgmma's passes after the first add.
    pub no_bias: Option<Memory>,
}

/// How many planes one input of a kernel has, and how many output channels it computes at once.
const MMA: [(usize, usize, usize, &str); 7] = [
    (3, 1, 64, "conv3_8_64"),
    (3, 4, 64, "conv3_32_64"),
    (7, 1, 32, "conv7_8_32"),
    (7, 4, 64, "conv7_32_64"),
    (7, 4, 32, "conv7_32_32"),
    (7, 4, 16, "conv7_32_16"),
    (7, 2, 8, "conv7_16_8"),
];

/// The kernel of the last convolution.
pub const PICTURE: &str = "picture_mma";

/// Channels that a kernel file computes at once, by its name.
pub fn block(kernel: &str) -> Option<(usize, usize)> {
    MMA.iter().find(|(.., name)| *name == kernel).map(|&(_, unit, block, _)| (unit, block))
}

impl Layer {
    /// `inputs` lists, for each channel of the concatenated planes that the convolution reads, the channel of `conv`
    /// that it is (`None`: padding). `unit` is the number of planes per input: all inputs are cut to that size.
    pub fn new(
        gpu: &Gpu,
        kernels: Kernels,
        conv: &Conv,
        order: Order,
        unit: usize,
        inputs: &[Option<usize>],
    ) -> Result<Self, EngineError> {
        let (k, taps) = (conv.k, conv.k * conv.k);
        let outputs = outputs(conv.cout, order);
        let (cin, cout) = (inputs.len(), outputs.len());
        let count = cin / 8 / unit;
        let weight = |o: usize, i: usize, tap: usize| match (outputs[o], inputs[i]) {
            (Some(o), Some(i)) => conv.weight[(o * conv.cin + i) * taps + tap],
            _ => 0.0,
        };
        let mma = MMA
            .iter()
            .filter(|&&(side, planes, block, _)| side == k && planes == unit && cout.is_multiple_of(block))
            .filter(|_| unit != 1 || count == 1)
            .max_by_key(|(_, _, block, _)| *block);
        let wide = k == 3 && unit == 4 && cout.is_multiple_of(64);
        // wgmma takes 8 planes at a time, or 10 with the flows' in the last pass.
        let passes: Vec<usize> = match (wide, count % 2) {
            (true, 0) => vec![8; count / 2],
            (true, _) if count > 1 => {
                let mut passes = vec![8; count / 2];
                passes[count / 2 - 1] = 10;
                passes
            }
            _ => Vec::new(),
        };
        let last = k == 3 && conv.cout == 3 && cin == 64;
        let (kernel, weights, passes) = match (kernels, mma) {
            (Kernels::Mma | Kernels::Wgmma, _) if last => {
                let packed = pack(&[4, 4, 32, 2, 2], |&[k, n, lane, high, odd]| {
                    let (sum, channel) = (n * 8 + lane / 4, k * 16 + high * 8 + lane % 4 * 2 + odd);
                    if sum < 27 { weight(sum % 3, channel, sum / 3) } else { 0.0 }
                });
                (PICTURE, vec![halves(&packed)], Vec::new())
            }
            (Kernels::Wgmma, _) if !passes.is_empty() => {
                let mut from = 0;
                let weights = passes.iter().map(|&planes| {
                    let packed = pack(&[cout / 64, taps, planes, 64, 8], |at| {
                        weight(at[0] * 64 + at[3], from + at[2] * 8 + at[4], at[1])
                    });
                    from += planes * 8;
                    halves(&packed)
                });
                ("conv_wgmma", weights.collect(), passes)
            }
            (Kernels::Mma | Kernels::Wgmma, Some(&(_, 1, block, kernel))) => {
                let pairs = k.div_ceil(2);
                let packed = pack(&[cout / block, k, pairs, 2, block, 8], |at| {
                    let across = at[2] * 2 + at[3];
                    if across < k { weight(at[0] * block + at[4], at[5], at[1] * k + across) } else { 0.0 }
                });
                (kernel, vec![halves(&packed)], Vec::new())
            }
            (Kernels::Mma | Kernels::Wgmma, Some(&(_, _, block, kernel))) => {
                let packed = pack(&[cout / block, count, taps, unit, block, 8], |at| {
                    weight(at[0] * block + at[4], (at[1] * unit + at[3]) * 8 + at[5], at[2])
                });
                (kernel, vec![halves(&packed)], Vec::new())
            }
            _ => {
                // The plain float16 kernels see the same rounded weights as the fast ones.
                let round = kernels != Kernels::PlainF32;
                let packed = pack(&[cout / 8, cin / 8, taps, 8, 8], |at| {
                    let w = weight(at[0] * 8 + at[4], at[1] * 8 + at[3], at[2]);
                    if round { f16::from_f32(w).to_f32() } else { w }
                });
                let names = if k == 3 { ["conv3_f16", "conv3_f32"] } else { ["conv7_f16", "conv7_f32"] };
                (kernels.typed(names), vec![floats(&packed)], Vec::new())
            }
        };
        let bias: Vec<f32> = outputs.iter().map(|o| o.map_or(0.0, |o| conv.bias[o])).collect();
        let no_bias = if passes.len() > 1 { Some(store(gpu, &floats(&vec![0.0; cout]))?) } else { None };
        Ok(Self {
            kernel,
            k,
            unit,
            inputs: count,
            couts: cout,
            weights: weights.iter().map(|w| store(gpu, w)).collect::<Result<_, _>>()?,
            passes,
            bias: store(gpu, &floats(&bias))?,
            no_bias,
        })
    }
}

/// The channel of the checkpoint for each output channel of the kernel.
fn outputs(cout: usize, order: Order) -> Vec<Option<usize>> {
    let there = |o: usize, of: usize, channel: usize| (o < of).then_some(channel);
    match order {
        Order::Flow => (0..cout.next_multiple_of(8)).map(|o| there(o, cout, o)).collect(),
        Order::Same if cout < 8 => (0..cout.next_multiple_of(8)).map(|o| there(o, cout, o)).collect(),
        Order::Same => (0..planes(cout) * 8).map(|o| there(o, cout, o)).collect(),
        Order::Shuffle => {
            let channels = cout / 4;
            let planes = planes(channels);
            let order = (0..2 * planes * 2 * 8).map(|n| {
                let (row, plane, column) = (n / 16 / planes, n / 16 % planes, n / 8 % 2);
                let channel = plane * 8 + n % 8;
                there(channel, channels, 4 * channel + 2 * row + column)
            });
            order.collect()
        }
        Order::Offsets => {
            let order = (0..448).map(|n| {
                let (tap, r) = (n / 48, n % 48);
                let channel = if r < 32 { 2 * (9 * (r / 2) + tap) + r % 2 } else { 288 + 9 * (r - 32) + tap };
                there(tap, 9, channel)
            });
            order.collect()
        }
    }
}

/// An array of these dimensions in C order, element by element from its indices.
pub fn pack<const N: usize>(dims: &[usize; N], element: impl Fn(&[usize; N]) -> f32) -> Vec<f32> {
    let mut all = Vec::with_capacity(dims.iter().product());
    let mut at = [0; N];
    for _ in 0..dims.iter().product() {
        all.push(element(&at));
        for d in (0..N).rev() {
            at[d] += 1;
            if at[d] < dims[d] {
                break;
            }
            at[d] = 0;
        }
    }
    all
}

/// As float16, little-endian.
pub fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
}

/// As float32, little-endian.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// On the device.
pub fn store(gpu: &Gpu, bytes: &[u8]) -> Result<Memory, EngineError> {
    let memory = gpu.allocate(bytes.len())?;
    gpu.upload(memory.address, bytes)?;
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_array_is_in_c_order() {
        assert_eq!(pack(&[2, 3], |at| (10 * at[0] + at[1]) as f32), [0., 1., 2., 10., 11., 12.]);
    }

    #[test]
    fn shuffled_channels_are_a_permutation() {
        let mut all: Vec<_> = outputs(256, Order::Shuffle).into_iter().flatten().collect();
        // Output row 0, plane 0, column 1, channel 3 is the checkpoint's channel 4 * 3 + 1.
        assert_eq!(all[8 + 3], 13);
        all.sort_unstable();
        assert_eq!(all, (0..256).collect::<Vec<_>>());
    }

    #[test]
    fn offsets_are_a_permutation() {
        let all = outputs(432, Order::Offsets);
        assert_eq!(all.len(), 448);
        let mut all: Vec<_> = all.into_iter().flatten().collect();
        assert_eq!(all[48 + 2 * 5 + 1], 2 * (9 * 5 + 1) + 1); // tap 1, group 5, dx
        assert_eq!(all[48 + 32 + 5], 288 + 9 * 5 + 1); // tap 1, group 5, mask
        all.sort_unstable();
        assert_eq!(all, (0..432).collect::<Vec<_>>());
    }
}
