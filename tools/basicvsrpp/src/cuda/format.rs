//! Frames in wire order as the kernels see them.

use crate::picture::Output;

/// `PixelFormat` in `tensor.cuh`: where the samples of a frame are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PixelFormat {
    pub(super) bytes: i32,
    pub(super) step: i32,
    pub(super) first: [i64; 3],
    pub(super) max: f32,
    pub(super) level: f32,
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

    /// Samples of a frame of `pixels` pixels, up to the last that a kernel touches, and the bytes of each.
    pub(super) fn samples(&self, pixels: usize) -> (usize, usize) {
        let Self { bytes, step, first, .. } = *self;
        let last = first.into_iter().max().unwrap_or(0) as usize + pixels.saturating_sub(1) * step as usize;
        let bytes = (bytes as usize).max(1);
        (last / bytes + 1, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rawstream::PixFmt;

    #[test]
    fn a_format_reaches_to_the_end_of_its_frame() {
        let pixels = 7 * 5;
        for fmt in PixFmt::ALL.into_iter().filter_map(PixFmt::rgb) {
            let (count, bytes) = PixelFormat::new(Output::Wire(fmt), pixels).samples(pixels);
            assert_eq!((count * bytes, bytes), (fmt.frame_bytes(7, 5), fmt.sample_bytes()), "{fmt}");
        }
        let float = PixelFormat::new(Output::Float, pixels).samples(pixels);
        assert_eq!(float, (3 * pixels, 4));
    }
}
