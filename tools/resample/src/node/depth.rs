//! Between integers of several depths and floats.

use super::{Inputs, MakeRows};
use crate::{Dither, dither::bayer_row, ops, ring::Ring};
use std::ops::Range;

/// `x << bits`.
#[derive(Debug)]
pub(crate) struct Shift {
    pub bits: u32,
}

impl MakeRows for Shift {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        for (n, row) in out.u16.row_mut(rows.start).enumerate() {
            ops::shift(inputs.level, inputs.u16(n, rows.start), row, out.width, self.bits);
        }
    }
}

/// `x * scale + offset`, integer to float.
#[derive(Debug)]
pub(crate) struct ToFloat {
    pub scale: f32,
    pub offset: f32,
}

impl MakeRows for ToFloat {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        for (n, row) in out.f32.row_mut(rows.start).enumerate() {
            ops::to_float(inputs.level, inputs.u16(n, rows.start), row, out.width, self.scale, self.offset);
        }
    }
}

/// `x * scale + offset`, rounded to integers up to `max`, with the dither of component `first + i` in channel `i`.
#[derive(Debug)]
pub(crate) struct Quantize {
    pub scale: f32,
    pub offset: f32,
    pub max: u16,
    pub dither: Dither,
    pub first: usize,
}

impl MakeRows for Quantize {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        let Self { scale, offset, max, dither, first } = *self;
        let (y, width) = (rows.start, out.width);
        for (n, row) in out.u16.row_mut(y).enumerate() {
            let thresholds = match dither {
                Dither::Ordered => bayer_row(first + n, y),
                _ => [0.0; 16],
            };
            ops::quantize(inputs.level, inputs.f32(n, y), row, width, scale, offset, &thresholds, max);
        }
    }
}

/// `x * scale + offset`, rounded to integers up to `max`, by error diffusion.
#[derive(Debug)]
pub(crate) struct Diffuse {
    pub scale: f32,
    pub offset: f32,
    pub max: u16,
}

impl MakeRows for Diffuse {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        let Self { scale, offset, max } = *self;
        let (y, width) = (rows.start, out.width);
        out.errors.resize(inputs.ports.len() * (width + 2), 0.0);
        let errors = out.errors.chunks_exact_mut(width + 2);
        for ((n, row), errors) in out.u16.row_mut(y).enumerate().zip(errors) {
            ops::diffuse(inputs.level, inputs.f32(n, y), &mut row[..width], scale, offset, errors, max);
        }
    }
}
