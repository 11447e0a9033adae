//! Weights as bytes in the order in which a kernel reads them, and the channels of planes.

use half::f16;

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

/// The channel of the checkpoint for each output channel of the kernel.
pub fn outputs(cout: usize, order: Order) -> Vec<Option<usize>> {
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
