//! Mixing three channels to three.

use super::{Inputs, MakeRows};
use crate::{ops, ring::Ring};
use std::ops::Range;

/// Of floats.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub matrix: [[f32; 3]; 3],
}

impl MakeRows for Matrix {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        let made = out.f32.channels_mut(rows.start);
        ops::matrix(inputs.level, inputs.each_f32(rows.start), made, out.width, &self.matrix);
    }
}

/// Of integers, each of which is `x * scale + offset` as a float.
#[derive(Debug)]
pub(crate) struct MatrixU16 {
    pub matrix: [[f32; 3]; 3],
    pub scale: f32,
    pub offset: f32,
}

impl MakeRows for MatrixU16 {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        let Self { matrix, scale, offset } = self;
        let (input, made) = (inputs.each_u16(rows.start), out.f32.channels_mut(rows.start));
        ops::matrix_u16(inputs.level, input, made, out.width, matrix, *scale, *offset);
    }
}
