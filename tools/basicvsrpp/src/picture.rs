//! Frames in wire order to planes of numbers and back.

use rawstream::RgbFmt;

/// What enlarged frames are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Clipped to 0..1, times the format's largest value, rounded half to even.
    Wire(RgbFmt),
    /// Planes R, G, B of little-endian float32 as the network computed them, not clipped: for comparisons.
    Float,
}

impl Output {
    /// Bytes of one frame of `width` x `height`.
    pub fn frame_bytes(self, width: usize, height: usize) -> usize {
        match self {
            Self::Wire(fmt) => fmt.frame_bytes(width, height),
            Self::Float => 3 * 4 * width * height,
        }
    }
}

/// Where the samples of component `c` of a frame of `pixels` pixels are: the first one's index and the distance to the
/// next, in samples.
fn samples(fmt: RgbFmt, pixels: usize, c: usize) -> (usize, usize) {
    let component = fmt.component(c);
    let first = fmt.plane_range(pixels, 1, component.plane).start + component.offset;
    (first / fmt.sample_bytes(), component.step / fmt.sample_bytes())
}

/// Planes R, G, B, 0 to 1, out of a frame in wire order: `value / max`.
///
/// `wire` is one whole frame of `pixels` pixels in the format `fmt`.
pub fn unpack(fmt: RgbFmt, pixels: usize, wire: &[u8]) -> Vec<f32> {
    let mut planes = Vec::with_capacity(3 * pixels);
    // Divided in double precision: value times the float32 reciprocal would be off by one unit in the last place.
    let level = |value: u16| (f64::from(value) / f64::from(fmt.max())) as f32;
    for c in 0..3 {
        let (first, step) = samples(fmt, pixels, c);
        if fmt.sample_bytes() == 1 {
            planes.extend(wire[first..].iter().step_by(step).take(pixels).map(|&b| level(b.into())));
        } else {
            let samples = wire.as_chunks().0[first..].iter().step_by(step).take(pixels);
            planes.extend(samples.map(|&b| level(u16::from_le_bytes(b).min(fmt.max()))));
        }
    }
    planes
}

/// A frame in wire order out of planes R, G, B: the inverse of [`unpack`] for values between 0 and 1.
///
/// `planes` holds the three planes one after another; `wire` takes exactly one frame.
pub fn pack(output: Output, planes: &[f32], wire: &mut [u8]) {
    let pixels = planes.len() / 3;
    let fmt = match output {
        Output::Wire(fmt) => fmt,
        Output::Float => {
            for (bytes, value) in wire.as_chunks_mut().0.iter_mut().zip(planes) {
                *bytes = value.to_le_bytes();
            }
            return;
        }
    };
    let max = f32::from(fmt.max());
    for (c, plane) in planes.chunks_exact(pixels).enumerate() {
        let (first, step) = samples(fmt, pixels, c);
        if fmt.sample_bytes() == 1 {
            for (byte, &value) in wire[first..].iter_mut().step_by(step).zip(plane) {
                *byte = quantise(value, max) as u8;
            }
        } else {
            for (bytes, &value) in wire.as_chunks_mut().0[first..].iter_mut().step_by(step).zip(plane) {
                *bytes = (quantise(value, max) as u16).to_le_bytes();
            }
        }
    }
}

/// Clips to 0..1 (not a number counts as 0), multiplies and rounds half to even.
fn quantise(value: f32, max: f32) -> u32 {
    // Around 1.5 * 2^23 the float32 numbers are the integers, so the addition itself rounds half to even.
    const INTEGERS: f32 = 12_582_912.0;
    #[allow(clippy::manual_clamp)] // `clamp` would keep what is not a number
    let scaled = value.max(0.0).min(1.0) * max;
    (scaled + INTEGERS).to_bits() - INTEGERS.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rawstream::PixFmt;

    fn rgb_formats() -> impl Iterator<Item = RgbFmt> {
        PixFmt::ALL.into_iter().filter_map(PixFmt::rgb)
    }

    #[test]
    fn every_value_of_every_rgb_format_survives() {
        for fmt in rgb_formats() {
            let values: Vec<u16> = (0..=fmt.max()).collect();
            let pixels = values.len().div_ceil(3);
            let samples = values.iter().chain([&0, &0]).take(3 * pixels);
            let wire: Vec<u8> =
                samples.flat_map(|v| v.to_le_bytes().into_iter().take(fmt.sample_bytes())).collect();
            let planes = unpack(fmt, pixels, &wire);
            assert!(planes.iter().all(|v| (0.0..=1.0).contains(v)));
            let mut again = vec![0xa5; wire.len()];
            pack(Output::Wire(fmt), &planes, &mut again);
            assert!(wire == again, "{fmt}");
        }
    }

    #[test]
    fn components_are_where_ffmpeg_has_them() {
        let planes = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]; // R 0 51, G 102 153, B 204 255
        let bytes = |name: &str| {
            let fmt = RgbFmt::named(name).unwrap();
            let mut wire = vec![0; fmt.frame_bytes(2, 1)];
            pack(Output::Wire(fmt), &planes, &mut wire);
            assert_eq!(unpack(fmt, 2, &wire), planes, "{name}");
            wire
        };
        assert_eq!(bytes("rgb24"), [0, 102, 204, 51, 153, 255]);
        assert_eq!(bytes("bgr24"), [204, 102, 0, 255, 153, 51]);
        assert_eq!(bytes("gbrp"), [102, 153, 204, 255, 0, 51]);
        assert_eq!(bytes("rgb48le"), [0, 0, 0x66, 0x66, 0xcc, 0xcc, 0x33, 0x33, 0x99, 0x99, 0xff, 0xff]);
    }

    #[test]
    fn half_a_step_rounds_to_even_and_everything_is_clipped() {
        let round = |value: f32| quantise(value, 255.0);
        assert_eq!([round(0.5 / 255.0), round(1.5 / 255.0), round(2.5 / 255.0)], [0, 2, 2]);
        assert_eq!([round(-7.0), round(f32::NEG_INFINITY), round(-0.0), round(f32::NAN)], [0; 4]);
        assert_eq!([round(1.0), round(1.5), round(f32::INFINITY)], [255; 3]);
        assert_eq!(quantise(0.999_999_94, 65535.0), 65535);
    }
}
