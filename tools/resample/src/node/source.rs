//! Rows of the source frame.

use super::{Inputs, MakeRows};
use crate::{ops, ring::Ring};
use rawstream::PixFmt;
use std::ops::Range;

/// Component `first + i` of the source frame as channel `i`.
#[derive(Debug)]
pub(crate) struct Source {
    pub first: usize,
    pub pix_fmt: PixFmt,
    /// Pixels across and rows down.
    pub size: (usize, usize),
}

impl MakeRows for Source {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        let Self { first, pix_fmt, size: (width, height) } = *self;
        let (level, y) = (inputs.level, rows.start);
        let wide = pix_fmt.sample_bytes() == 2;
        let row = |plane: usize| {
            let row_bytes = pix_fmt.row_bytes(width, plane);
            &inputs.frame[pix_fmt.plane_range(width, height, plane)][y * row_bytes..(y + 1) * row_bytes]
        };
        if pix_fmt.planes() == 1 {
            // The samples of a pixel go to the channels of their components.
            let mut in_pixel: [&mut [u16]; 3] = Default::default();
            for (component, out) in out.u16.row_mut(y).enumerate() {
                in_pixel[pix_fmt.component(component).offset / pix_fmt.sample_bytes()] = out;
            }
            let unpack = if wide { ops::unpack3_u16 } else { ops::unpack3_u8 };
            unpack(level, row(0), in_pixel);
        } else {
            let unpack = if wide { ops::unpack_u16 } else { ops::unpack_u8 };
            for (channel, out) in out.u16.row_mut(y).enumerate() {
                unpack(level, row(pix_fmt.component(first + channel).plane), out);
            }
        }
    }
}
