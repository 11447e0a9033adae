//! What happens to the fraction when a sample is stored in fewer bits.

use rawstream::names;

/// How samples are rounded to fewer bits; zimg's definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dither {
    /// To the nearest code value.
    #[default]
    None,
    /// A threshold from a 16x16 Bayer matrix is added first: no banding, the same pattern in every frame.
    Ordered,
    /// Floyd and Steinberg's error diffusion, row by row from left to right. Each sample depends on those before it,
    /// so a plane cannot be spread over threads.
    Error,
}

names!(Dither, "unknown dither; there are none, ordered and error":
    "none" => None,
    "ordered" => Ordered,
    "error" => Error,
);

/// Side of the Bayer matrix.
pub(crate) const BAYER: usize = 16;

/// Row `y` of the thresholds of component `component`, from -0.5 to 0.5. The second component's matrix is mirrored left
/// to right and the third's top to bottom, so that their patterns do not add up. Each doubling of the matrix is one
/// more pair of bits: the exclusive or of the coordinates' bits, then the horizontal one.
pub(crate) fn bayer_row(component: usize, y: usize) -> [f32; BAYER] {
    let y = if component == 2 { BAYER - 1 - y % BAYER } else { y };
    std::array::from_fn(|x| {
        let x = if component == 1 { BAYER - 1 - x } else { x };
        let mut value = 0;
        for bit in 0..4 {
            value |= (((x ^ y) >> bit) & 1) << (7 - 2 * bit);
            value |= ((x >> bit) & 1) << (6 - 2 * bit);
        }
        (value + 1) as f32 / 257.0 - 0.5
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold_once() {
        for component in 0..3 {
            let mut all: Vec<f32> = (0..BAYER).flat_map(|y| bayer_row(component, y)).collect();
            all.sort_by(f32::total_cmp);
            for (n, &t) in all.iter().enumerate() {
                assert_eq!(t, (n + 1) as f32 / 257.0 - 0.5);
            }
        }
    }
}
