//! Resizing along one axis.

use super::{Inputs, MakeRows};
use crate::{
    filter::Filter,
    ops::{self, GatherF32, GatherU16},
    ring::Ring,
};
use std::ops::Range;

/// Resizes columns of integers up to `max`.
#[derive(Debug)]
pub(crate) struct VerticalU16 {
    pub filter: Filter,
    pub max: u16,
}

/// Resizes columns of floats.
#[derive(Debug)]
pub(crate) struct VerticalF32 {
    pub filter: Filter,
}

/// Resizes rows of integers up to `max`.
#[derive(Debug)]
pub(crate) struct HorizontalU16 {
    pub filter: Filter,
    pub gather: GatherU16,
    pub max: u16,
}

/// Resizes rows of floats.
#[derive(Debug)]
pub(crate) struct HorizontalF32 {
    pub filter: Filter,
    pub gather: GatherF32,
}

impl MakeRows for VerticalU16 {
    fn needs(&self, rows: Range<usize>) -> Range<usize> {
        self.filter.windows(rows)
    }

    fn batch(&self) -> usize {
        ops::BATCH
    }

    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        for n in 0..inputs.ports.len() {
            let input: Vec<_> = self.needs(rows.clone()).map(|y| inputs.u16(n, y)).collect();
            let made = &mut out.u16.rows_mut(n, rows.clone());
            ops::vertical_u16(inputs.level, &self.filter, &input, rows.clone(), made, out.width, self.max);
        }
    }
}

impl MakeRows for VerticalF32 {
    fn needs(&self, rows: Range<usize>) -> Range<usize> {
        self.filter.windows(rows)
    }

    fn batch(&self) -> usize {
        ops::BATCH
    }

    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        for n in 0..inputs.ports.len() {
            let input: Vec<_> = self.needs(rows.clone()).map(|y| inputs.f32(n, y)).collect();
            let made = &mut out.f32.rows_mut(n, rows.clone());
            ops::vertical_f32(inputs.level, &self.filter, &input, rows.clone(), made, out.width);
        }
    }
}

impl HorizontalU16 {
    fn make_channels<const N: usize>(&self, inputs: &Inputs<'_>, out: &mut Ring, y: usize) {
        let (rows, made) = (inputs.each_u16::<N>(y), out.u16.channels_mut(y));
        ops::horizontal_u16(inputs.level, &self.filter, &self.gather, rows, made, self.max);
    }
}

impl MakeRows for HorizontalU16 {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        match inputs.ports.len() {
            1 => self.make_channels::<1>(inputs, out, rows.start),
            2 => self.make_channels::<2>(inputs, out, rows.start),
            _ => self.make_channels::<3>(inputs, out, rows.start),
        }
    }
}

impl HorizontalF32 {
    fn make_channels<const N: usize>(&self, inputs: &Inputs<'_>, out: &mut Ring, y: usize) {
        let (rows, made) = (inputs.each_f32::<N>(y), out.f32.channels_mut(y));
        ops::horizontal_f32(inputs.level, &self.filter, &self.gather, rows, made);
    }
}

impl MakeRows for HorizontalF32 {
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>) {
        match inputs.ports.len() {
            1 => self.make_channels::<1>(inputs, out, rows.start),
            2 => self.make_channels::<2>(inputs, out, rows.start),
            _ => self.make_channels::<3>(inputs, out, rows.start),
        }
    }
}
