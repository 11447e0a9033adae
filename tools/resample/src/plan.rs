//! zimg's decisions: which nodes lead from the source picture to the target, in which order and precision.
//!
//! The rules, as zimg 3 has them:
//! * If the matrix changes, everything is brought to float and 4:4:4 first, at the smaller of the two sizes on each
//!   axis; then the matrix is applied; then each plane is brought to the
//!   target's size and form.
//! * A plane is resized in 16-bit integers or in float. If source and target are both one of these, in the one that
//!   makes fewer samples change their form; if one of them is, in that one; an 8-bit plane of limited range that stays
//!   8-bit is shifted up to 16 bits; all else is float.
//! * The cheaper axis goes first.

use crate::{
    Dither, Error, Options, Picture,
    color::{Coding, Matrix3, from_rgb, to_rgb},
    filter::Filter,
    node::{
        Diffuse, HorizontalF32, HorizontalU16, MakeRows, Matrix, MatrixU16, Node, Port, Quantize, Shift,
        Source, ToFloat, VerticalF32, VerticalU16,
    },
    ops::{GatherF32, GatherU16},
};
use rawstream::ChromaLocation;

/// The nodes in an order in which each follows those it needs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub nodes: Vec<Node>,
    /// Where the source's components enter.
    pub sources: [Port; 3],
    /// Where the target's components come from.
    pub outputs: [Port; 3],
}

/// A plane during the conversion: its size in samples, what they mean, and which rectangle of it (in samples, fractions allowed)
/// is the picture. The rectangle is what chroma siting shifts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plane {
    geometry: Geometry,
    coding: Coding,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Geometry {
    x: Axis,
    y: Axis,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    samples: usize,
    start: f64,
    length: f64,
}

impl Axis {
    fn whole(samples: usize) -> Self {
        Self { samples, start: 0.0, length: samples as f64 }
    }

    /// Chroma at half the rate (`log2` is 1), or at the same (0). `sited` chroma lies on the first of the two samples,
    /// otherwise between them.
    fn subsampled(samples: usize, log2: u32, sited: bool) -> Self {
        let rate = 1.0 / f64::from(1u32 << log2);
        let offset = if sited { -0.5 + 0.5 * rate } else { 0.0 };
        Self { samples: samples.div_ceil(1 << log2), start: -offset, length: samples as f64 * rate }
    }

    fn smaller(self, other: Self) -> Self {
        if self.samples < other.samples { self } else { other }
    }

    /// The filter from this axis to `to`; `None` when nothing would change.
    fn filter(self, to: Self, options: &Options) -> Option<Filter> {
        let scale = to.length / self.length;
        let shift = self.start - to.start / scale;
        let width = self.length * (to.samples as f64 / to.length);
        let same = self.samples == to.samples && shift == 0.0 && width == self.samples as f64;
        (!same).then(|| Filter::new(options.kernel, self.samples, to.samples, shift, width))
    }
}

/// How far the conversion has come.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Luma, or R, G and B.
    luma: Plane,
    /// Cb and Cr; equal to `luma` for RGB.
    chroma: Plane,
    rgb: bool,
}

impl State {
    fn of(picture: &Picture) -> Self {
        let rgb = picture.pix_fmt.is_rgb();
        let coding = |chroma| Coding::new(picture.pix_fmt, picture.range, chroma);
        let geometry = Geometry { x: Axis::whole(picture.width), y: Axis::whole(picture.height) };
        let luma = Plane { geometry, coding: coding(false) };
        let chroma = if rgb {
            luma
        } else {
            let (sub_w, sub_h) = picture.pix_fmt.subsampling();
            let left = picture.chroma_location != ChromaLocation::Center;
            let top = picture.chroma_location == ChromaLocation::TopLeft;
            let geometry = Geometry {
                x: Axis::subsampled(picture.width, sub_w, left),
                y: Axis::subsampled(picture.height, sub_h, top),
            };
            Plane { geometry, coding: coding(true) }
        };
        Self { luma, chroma, rgb }
    }
}

/// Resizing works on these forms only.
fn resizable(coding: Coding) -> bool {
    coding.bits != Some(8)
}

/// The form in which a plane is resized.
fn resize_form(from: &Plane, to: &Plane) -> Coding {
    let pels = |p: &Plane| p.geometry.x.samples * p.geometry.y.samples;
    match (resizable(from.coding), resizable(to.coding)) {
        (true, true) if pels(from) < pels(to) => to.coding,
        (true, _) => from.coding,
        (false, true) => to.coding,
        (false, false) if !from.coding.full => Coding { bits: Some(16), ..from.coding },
        (false, false) => Coding { chroma: from.coding.chroma, ..Coding::FLOAT },
    }
}

/// The largest integer of `bits` bits.
fn max(bits: u32) -> u16 {
    ((1u32 << bits) - 1) as u16
}

struct Builder<'a> {
    options: &'a Options,
    nodes: Vec<Node>,
    ports: [Port; 3],
    /// Scale and offset of the last node, where that brings all three components to float.
    to_float: Option<(f32, f32)>,
}

impl Builder<'_> {
    /// Adds a node for the components in `which`.
    fn add(&mut self, op: impl MakeRows + 'static, which: &[usize], geometry: Geometry, float: bool) {
        self.to_float = None;
        let node = self.nodes.len();
        self.nodes.push(Node {
            op: Box::new(op),
            inputs: which.iter().map(|&c| self.ports[c]).collect(),
            channels: which.len(),
            width: geometry.x.samples,
            float,
        });
        for (channel, &c) in which.iter().enumerate() {
            self.ports[c] = Port { node, channel };
        }
    }

    fn source(&mut self, source: &Picture, plane: &Plane, which: &[usize]) {
        let Picture { width, height, pix_fmt, .. } = *source;
        let source = Source { first: which[0], pix_fmt, size: (width, height) };
        self.add(source, which, plane.geometry, false);
        if let Some(node) = self.nodes.last_mut() {
            node.inputs.clear();
        }
    }

    /// To integers of `bits` bits.
    fn quantize(&mut self, scale: f32, offset: f32, bits: u32, which: &[usize], geometry: Geometry) {
        let (max, first) = (max(bits), which[0]);
        match self.options.dither {
            Dither::Error => self.add(Diffuse { scale, offset, max }, which, geometry, false),
            dither => self.add(Quantize { scale, offset, max, dither, first }, which, geometry, false),
        }
    }

    fn recode(&mut self, plane: &mut Plane, to: Coding, which: &[usize]) {
        let from = std::mem::replace(&mut plane.coding, to);
        let (scale, offset) = from.scale_and_offset(to);
        match (from.bits, to.bits) {
            _ if from == to => {}
            (Some(a), Some(b)) if !from.full && !to.full && a <= b => {
                self.add(Shift { bits: b - a }, which, plane.geometry, false);
            }
            (Some(_), Some(bits)) => {
                self.add(ToFloat { scale: 1.0, offset: 0.0 }, which, plane.geometry, true);
                self.quantize(scale, offset, bits, which, plane.geometry);
            }
            (Some(_), None) => {
                self.add(ToFloat { scale, offset }, which, plane.geometry, true);
                self.to_float = (which.len() == 3).then_some((scale, offset));
            }
            (None, Some(bits)) => self.quantize(scale, offset, bits, which, plane.geometry),
            (None, None) => {}
        }
    }

    /// Mixes the three components, which are float and of one size. Where they have only just become float, both is done
    /// in one node.
    fn matrix(&mut self, matrix: [[f32; 3]; 3], geometry: Geometry) {
        let Some((scale, offset)) = self.to_float else {
            return self.add(Matrix { matrix }, &[0, 1, 2], geometry, true);
        };
        if let Some(to_float) = self.nodes.pop() {
            self.ports.copy_from_slice(&to_float.inputs);
        }
        self.add(MatrixU16 { matrix, scale, offset }, &[0, 1, 2], geometry, true);
    }

    fn resize(&mut self, plane: &mut Plane, to: Geometry, which: &[usize]) {
        let from = plane.geometry;
        let ratio = |from: Axis, to: Axis| to.length / from.length;
        let (x, y) = (ratio(from.x, to.x), ratio(from.y, to.y));
        // A horizontal node is taken to cost twice a vertical one.
        let x_first = x.max(1.0) * 2.0 + x * y.max(1.0) < y.max(1.0) + y * x.max(1.0) * 2.0;
        for horizontal in [x_first, !x_first] {
            let Geometry { x, y } = &mut plane.geometry;
            let (from, to) = if horizontal { (x, to.x) } else { (y, to.y) };
            let Some(filter) = std::mem::replace(from, to).filter(to, self.options) else { continue };
            let (level, geometry) = (self.options.level, plane.geometry);
            match (horizontal, plane.coding.bits.map(max)) {
                (true, Some(max)) => {
                    let gather = GatherU16::new(&filter, level);
                    self.add(HorizontalU16 { filter, gather, max }, which, geometry, false);
                }
                (true, None) => {
                    let gather = GatherF32::new(&filter, level);
                    self.add(HorizontalF32 { filter, gather }, which, geometry, true);
                }
                (false, Some(max)) => self.add(VerticalU16 { filter, max }, which, geometry, false),
                (false, None) => self.add(VerticalF32 { filter }, which, geometry, true),
            }
        }
    }

    fn plane(&mut self, plane: &mut Plane, mut to: Plane, which: &[usize], reinterpret: bool) {
        // Full-range 8-bit that stays so may be resized as if it were limited: the scale is the same at both ends.
        let full_8_bit = |c: Coding| c.bits == Some(8) && c.full;
        let reinterpreted = reinterpret && full_8_bit(plane.coding) && full_8_bit(to.coding);
        if reinterpreted {
            plane.coding.full = false;
            to.coding.full = false;
        }
        if plane.geometry != to.geometry {
            self.recode(plane, resize_form(plane, &to), which);
            self.resize(plane, to.geometry, which);
        }
        self.recode(plane, to.coding, which);
        if reinterpreted {
            plane.coding.full = true;
        }
    }

    fn planes(&mut self, state: &mut State, to: &State, reinterpret: bool) {
        if state.rgb {
            self.plane(&mut state.luma, to.luma, &[0, 1, 2], reinterpret);
            state.chroma = state.luma;
        } else {
            self.plane(&mut state.luma, to.luma, &[0], reinterpret);
            self.plane(&mut state.chroma, to.chroma, &[1, 2], reinterpret);
        }
    }
}

impl Plan {
    pub fn new(source: &Picture, target: &Picture, options: &Options) -> Result<Self, Error> {
        for picture in [source, target] {
            if picture.width == 0 || picture.height == 0 {
                return Err(Error(format!("a picture of {}x{} is none", picture.width, picture.height)));
            }
        }
        let mut builder =
            Builder { options, nodes: Vec::new(), ports: [Port { node: 0, channel: 0 }; 3], to_float: None };
        let (mut state, target_state) = (State::of(source), State::of(target));
        if state.rgb {
            builder.source(source, &state.luma, &[0, 1, 2]);
        } else {
            builder.source(source, &state.luma, &[0]);
            builder.source(source, &state.chroma, &[1, 2]);
        }
        let sources = builder.ports;
        let matrices = matrices(source, target);
        if !matrices.is_empty() {
            let geometry = Geometry {
                x: state.luma.geometry.x.smaller(target_state.luma.geometry.x),
                y: state.luma.geometry.y.smaller(target_state.luma.geometry.y),
            };
            let luma = Plane { geometry, coding: Coding::FLOAT };
            let chroma = Plane { geometry, coding: Coding { chroma: !state.rgb, ..Coding::FLOAT } };
            let float = State { luma, chroma, rgb: state.rgb };
            builder.planes(&mut state, &float, false);
            for matrix in matrices {
                builder.matrix(matrix.map(|row| row.map(|x| x as f32)), geometry);
            }
            state.rgb = target_state.rgb;
            state.luma.coding.chroma = false;
            state.chroma.coding.chroma = !state.rgb;
        }
        builder.planes(&mut state, &target_state, true);
        Ok(Self { nodes: builder.nodes, sources, outputs: builder.ports })
    }
}

/// From the source's components to the target's, by way of RGB; empty when they are the same.
fn matrices(source: &Picture, target: &Picture) -> Vec<Matrix3> {
    let to_rgb = to_rgb(source.matrix);
    let from_rgb = from_rgb(target.matrix);
    match (source.pix_fmt.is_rgb(), target.pix_fmt.is_rgb()) {
        (true, true) => vec![],
        (true, false) => vec![from_rgb],
        (false, true) => vec![to_rgb],
        (false, false) if source.matrix.weights() == target.matrix.weights() => vec![],
        (false, false) => vec![to_rgb, from_rgb],
    }
}
