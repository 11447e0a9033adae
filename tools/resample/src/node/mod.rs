//! The nodes of a plan as values: each makes rows of its channels from rows of the nodes before it.

mod depth;
mod matrix;
mod resize;
mod source;

pub(crate) use depth::{Diffuse, Quantize, Shift, ToFloat};
pub(crate) use matrix::{Matrix, MatrixU16};
pub(crate) use resize::{HorizontalF32, HorizontalU16, VerticalF32, VerticalU16};
pub(crate) use source::Source;

use crate::ring::Ring;
use simd::Level;
use std::{array::from_fn, fmt, ops::Range};

/// Channel `channel` of node `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub node: usize,
    pub channel: usize,
}

/// A node. Channel `i` of its output is made from `inputs[i]`, but a matrix mixes its three.
#[derive(Debug)]
pub(crate) struct Node {
    pub op: Box<dyn MakeRows>,
    pub inputs: Vec<Port>,
    pub channels: usize,
    pub width: usize,
    /// Rows of `f32`, else of `u16`.
    pub float: bool,
}

/// What a node does.
pub(crate) trait MakeRows: fmt::Debug + Send + Sync {
    /// The rows of the inputs that rows `rows` need.
    fn needs(&self, rows: Range<usize>) -> Range<usize> {
        rows
    }

    /// The most rows to make at once.
    fn batch(&self) -> usize {
        1
    }

    /// Makes rows `rows`.
    fn make_rows(&self, inputs: &Inputs<'_>, out: &mut Ring, rows: Range<usize>);
}

/// What a node makes rows from.
pub(crate) struct Inputs<'a> {
    pub level: Level,
    /// The source frame.
    pub frame: &'a [u8],
    /// What the nodes before this one hold.
    pub before: &'a [Ring],
    /// Where among them the inputs are.
    pub ports: &'a [Port],
}

impl<'a> Inputs<'a> {
    /// Row `y` of input `n`.
    fn u16(&self, n: usize, y: usize) -> &'a [u16] {
        let Port { node, channel } = self.ports[n];
        self.before[node].u16.row(channel, y)
    }

    fn f32(&self, n: usize, y: usize) -> &'a [f32] {
        let Port { node, channel } = self.ports[n];
        self.before[node].f32.row(channel, y)
    }

    /// Row `y` of each of `N` inputs.
    fn each_u16<const N: usize>(&self, y: usize) -> [&'a [u16]; N] {
        from_fn(|n| self.u16(n, y))
    }

    fn each_f32<const N: usize>(&self, y: usize) -> [&'a [f32]; N] {
        from_fn(|n| self.f32(n, y))
    }
}

impl Node {
    /// The rows of the inputs that rows `rows` need.
    pub fn needs(&self, rows: Range<usize>) -> Range<usize> {
        self.op.needs(rows)
    }

    /// The rows to make at once when row `y` is the next one, of `end` in all.
    pub fn batch(&self, y: usize, end: usize) -> Range<usize> {
        y..end.min(y + self.op.batch())
    }

    /// Makes rows `rows`, a batch, from the rows of the nodes `before` it.
    pub fn make_rows(&self, level: Level, frame: &[u8], before: &[Ring], out: &mut Ring, rows: Range<usize>) {
        let inputs = Inputs { level, frame, before, ports: &self.inputs };
        self.op.make_rows(&inputs, out, rows);
    }
}
