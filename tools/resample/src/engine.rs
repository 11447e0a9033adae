//! Pulls rows through a plan.
//!
//! For each row of the target every step is asked for the rows that it still lacks, down to the source. A step keeps
//! only the rows that those after it may ask for again: a few kilobytes to a few hundred, which stay in the cache.

use crate::{
    Dither, Error, Options, Picture, Rect,
    dither::bayer_row,
    ops,
    plan::{Node, Op, Plan, Port},
};
use simd::Level;
use std::{array::from_fn, ops::Range};

/// Converts frames of one kind to frames of another.
pub struct Converter {
    plan: Plan,
    source: Picture,
    target: Picture,
    crop: Rect,
    dither: Dither,
    level: Level,
    bands: Vec<Band>,
}

/// A band of rows of the target, and the state of the machine that makes it.
struct Band {
    /// Rows of the cropped target.
    rows: Range<usize>,
    rings: Vec<Ring>,
}

/// The rows of a step that may be asked for again.
#[derive(Default)]
struct Ring {
    channels: usize,
    stride: usize,
    /// Rows held.
    rows: usize,
    /// The rows that the band needs.
    wanted: Range<usize>,
    /// The row to be made next.
    next: usize,
    u16: Vec<u16>,
    f32: Vec<f32>,
    /// Where the rows begin: on a cache line, so that no vector of a row lies on two.
    start: usize,
    /// Errors of the row above, for error diffusion: `width + 2` for each channel.
    errors: Vec<f32>,
}

impl Ring {
    fn at(&self, channel: usize, y: usize) -> Range<usize> {
        let start = self.start + ((y % self.rows) * self.channels + channel) * self.stride;
        start..start + self.stride
    }

    fn u16(&self, channel: usize, y: usize) -> &[u16] {
        &self.u16[self.at(channel, y)]
    }

    fn f32(&self, channel: usize, y: usize) -> &[f32] {
        &self.f32[self.at(channel, y)]
    }

    /// The channels of row `y`, each to be written.
    fn u16_mut(&mut self, y: usize) -> impl Iterator<Item = &mut [u16]> {
        let start = self.at(0, y).start;
        self.u16[start..start + self.channels * self.stride].chunks_exact_mut(self.stride)
    }

    fn f32_mut(&mut self, y: usize) -> impl Iterator<Item = &mut [f32]> {
        let start = self.at(0, y).start;
        self.f32[start..start + self.channels * self.stride].chunks_exact_mut(self.stride)
    }

    /// Rows `rows` of a channel, each to be written.
    fn u16_rows_mut(&mut self, channel: usize, rows: Range<usize>) -> Vec<&mut [u16]> {
        let step = self.channels * self.stride;
        let samples = &mut self.u16[self.start + channel * self.stride..];
        around(samples.chunks_mut(step).take(self.rows).map(|row| &mut row[..self.stride]), rows)
    }

    fn f32_rows_mut(&mut self, channel: usize, rows: Range<usize>) -> Vec<&mut [f32]> {
        let step = self.channels * self.stride;
        let samples = &mut self.f32[self.start + channel * self.stride..];
        around(samples.chunks_mut(step).take(self.rows).map(|row| &mut row[..self.stride]), rows)
    }
}

/// Rows `rows` out of the places of a ring.
fn around<T>(places: impl Iterator<Item = T>, rows: Range<usize>) -> Vec<T> {
    let mut places: Vec<T> = places.collect();
    let first = rows.start % places.len();
    places.rotate_left(first);
    places.truncate(rows.len());
    places
}

/// Rows of its inputs that rows `rows` of a step need.
fn needs(node: &Node, rows: Range<usize>) -> Range<usize> {
    match &node.op {
        Op::Source { .. } => 0..0,
        Op::Vertical { filter, .. } => filter.window(rows.start).start..filter.window(rows.end - 1).end,
        _ => rows,
    }
}

/// The rows that a step makes at once when row `y` is its next one, of `end` in all. The windows of a vertical step's
/// rows overlap: what one has fetched into the first-level cache the others find there.
fn batch(node: &Node, y: usize, end: usize) -> Range<usize> {
    match node.op {
        Op::Vertical { .. } => y..end.min(y + ops::BATCH),
        _ => y..y + 1,
    }
}

impl Converter {
    /// Plans the way from `source` to `target`.
    ///
    /// Errors: an empty picture, or a crop that is not inside the target or splits its chroma samples.
    pub fn new(source: Picture, target: Picture, options: &Options) -> Result<Self, Error> {
        let plan = Plan::new(&source, &target, options)?;
        let whole = Rect { width: target.width, height: target.height, x: 0, y: 0 };
        let crop = options.crop.unwrap_or(whole);
        let inside = |start: usize, length: usize, all: usize| length > 0 && start + length <= all;
        if !inside(crop.x, crop.width, whole.width) || !inside(crop.y, crop.height, whole.height) {
            return Err(Error(format!(
                "{}x{} at {},{} is not inside {}x{}",
                crop.width, crop.height, crop.x, crop.y, whole.width, whole.height
            )));
        }
        let (sub_w, sub_h) = target.pix_fmt.subsampling();
        if !crop.x.is_multiple_of(1 << sub_w) || !crop.y.is_multiple_of(1 << sub_h) {
            return Err(Error(format!("{},{} splits a chroma sample of {}", crop.x, crop.y, target.pix_fmt)));
        }
        // Error diffusion runs down the whole plane.
        let count = if options.dither == Dither::Error { 1 } else { options.bands.max(1) };
        let unit = 1usize << sub_h;
        let units = crop.height.div_ceil(unit);
        let count = count.min(units);
        let edge = |n: usize| (n * units / count * unit).min(crop.height);
        let mut bands: Vec<Band> = (0..count)
            .map(|n| Band {
                rows: edge(n)..edge(n + 1),
                rings: plan.nodes.iter().map(|_| Ring::default()).collect(),
            })
            .collect();
        for band in &mut bands {
            size_rings(&plan, &target, crop, options.dither, band);
        }
        Ok(Self { plan, source, target, crop, dither: options.dither, level: options.level, bands })
    }

    /// The source rows of plane `plane` that matter: the others are never read.
    pub fn source_rows(&self, plane: usize) -> Range<usize> {
        let wanted = wanted_rows(&self.plan, &self.target, self.crop, 0..self.crop.height);
        let source = self.plan.nodes.iter().zip(wanted).find(|(node, _)| {
            let Op::Source { first } = node.op else { return false };
            (first..first + node.channels).any(|c| self.source.pix_fmt.component(c).plane == plane)
        });
        source.map_or(0..0, |(_, rows)| rows)
    }

    /// Converts the frame `src` (of the source's format) to `dst` (of the target's, cropped). Bands run on the threads
    /// of the rayon pool that this is called in.
    pub fn convert(&mut self, src: &[u8], dst: &mut [u8]) {
        let cropped = Picture { width: self.crop.width, height: self.crop.height, ..self.target };
        assert_eq!(src.len(), self.source.pix_fmt.frame_bytes(self.source.width, self.source.height));
        assert_eq!(dst.len(), cropped.pix_fmt.frame_bytes(cropped.width, cropped.height));
        let sub_h = self.target.pix_fmt.subsampling().1;
        let machine = Machine {
            plan: &self.plan,
            source: &self.source,
            target: &self.target,
            crop: self.crop,
            dither: self.dither,
            level: self.level,
            src,
        };
        // Each band gets its rows of every plane.
        let mut planes = Vec::with_capacity(3);
        let mut rest = dst;
        for plane in 0..cropped.pix_fmt.planes() {
            let bytes = cropped.pix_fmt.plane_range(cropped.width, cropped.height, plane).len();
            let (head, tail) = rest.split_at_mut(bytes);
            planes.push((
                head,
                cropped.pix_fmt.row_bytes(cropped.width, plane),
                if plane == 0 { 0 } else { sub_h },
            ));
            rest = tail;
        }
        let mut jobs = Vec::with_capacity(self.bands.len());
        for band in &mut self.bands {
            let mut mine = Vec::with_capacity(planes.len());
            for (plane, row_bytes, sub_h) in &mut planes {
                let rows = band.rows.end.div_ceil(1 << *sub_h) - band.rows.start.div_ceil(1 << *sub_h);
                let (head, tail) = std::mem::take(plane).split_at_mut(rows * *row_bytes);
                mine.push((head, *row_bytes));
                *plane = tail;
            }
            jobs.push((band, mine));
        }
        if let [(band, planes)] = &mut jobs[..] {
            machine.run(band, planes);
        } else {
            rayon::scope(|scope| {
                for (band, mut planes) in jobs {
                    let machine = &machine;
                    scope.spawn(move |_| machine.run(band, &mut planes));
                }
            });
        }
    }
}

/// The rows of component `component` of the uncropped target that are in rows `rows` of the cropped one.
fn component_rows(target: &Picture, crop: Rect, component: usize, rows: Range<usize>) -> Range<usize> {
    let sub = if component == 0 { 0 } else { target.pix_fmt.subsampling().1 };
    let offset = crop.y >> sub;
    offset + rows.start.div_ceil(1 << sub)..offset + rows.end.div_ceil(1 << sub)
}

/// For each step the rows of it that rows `rows` of the cropped target need.
fn wanted_rows(plan: &Plan, target: &Picture, crop: Rect, rows: Range<usize>) -> Vec<Range<usize>> {
    fn want(wanted: &mut [Option<Range<usize>>], node: usize, rows: Range<usize>) {
        let all = match wanted[node].take() {
            Some(had) => had.start.min(rows.start)..had.end.max(rows.end),
            None => rows,
        };
        wanted[node] = Some(all);
    }
    let mut wanted = vec![None; plan.nodes.len()];
    for (component, port) in plan.outputs.iter().enumerate() {
        want(&mut wanted, port.node, component_rows(target, crop, component, rows.clone()));
    }
    for (id, node) in plan.nodes.iter().enumerate().rev() {
        let Some(rows) = wanted[id].clone() else { continue };
        for port in &node.inputs {
            want(&mut wanted, port.node, needs(node, rows.clone()));
        }
    }
    wanted.into_iter().map(Option::unwrap_or_default).collect()
}

/// The order in which a band's rows leave: each row of chroma after the rows of luma that it lies among.
fn schedule(target: &Picture, crop: Rect, rows: &Range<usize>, mut emit: impl FnMut(usize, usize)) {
    let sub = target.pix_fmt.subsampling().1;
    for y in rows.clone() {
        emit(0, crop.y + y);
        let last_of_chroma = (y + 1).is_multiple_of(1 << sub) || y + 1 == crop.height;
        if last_of_chroma {
            for component in 1..3 {
                emit(component, (crop.y >> sub) + (y >> sub));
            }
        }
    }
}

/// Runs a band without pixels to see how many rows of each step are asked for at once, and allocates them.
fn size_rings(plan: &Plan, target: &Picture, crop: Rect, dither: Dither, band: &mut Band) {
    struct Rows {
        wanted: Range<usize>,
        next: usize,
        held: usize,
    }
    fn pull(plan: &Plan, steps: &mut [Rows], id: usize, wanted: Range<usize>) {
        while steps[id].next < wanted.end {
            let rows = batch(&plan.nodes[id], steps[id].next, steps[id].wanted.end);
            for port in &plan.nodes[id].inputs {
                pull(plan, steps, port.node, needs(&plan.nodes[id], rows.clone()));
            }
            steps[id].next = rows.end;
        }
        steps[id].held = steps[id].held.max(steps[id].next - wanted.start);
    }
    let mut steps: Vec<Rows> = wanted_rows(plan, target, crop, band.rows.clone())
        .into_iter()
        .map(|wanted| Rows { next: wanted.start, wanted, held: 1 })
        .collect();
    schedule(target, crop, &band.rows, |component, y| {
        pull(plan, &mut steps, plan.outputs[component].node, y..y + 1);
    });
    for ((node, ring), Rows { wanted, held: rows, .. }) in plan.nodes.iter().zip(&mut band.rings).zip(steps) {
        let (channels, stride) = (node.channels, ops::stride(node.width));
        let samples = channels * stride * rows;
        *ring = Ring { channels, stride, rows, wanted, ..Ring::default() };
        if node.float {
            ring.f32 = vec![0.0; samples + ops::PADDING];
            ring.start = ring.f32.as_ptr().align_offset(64);
        } else {
            ring.u16 = vec![0; samples + ops::PADDING];
            ring.start = ring.u16.as_ptr().align_offset(64);
        }
        if dither == Dither::Error && matches!(node.op, Op::Quantize { .. }) {
            ring.errors = vec![0.0; channels * (node.width + 2)];
        }
    }
}

/// A step's rows, one for each of its channels.
fn channels<'a, T, const N: usize>(rows: &mut impl Iterator<Item = &'a mut [T]>) -> [&'a mut [T]; N] {
    from_fn(|_| rows.next().unwrap_or_default())
}

/// What the bands share while a frame is converted.
struct Machine<'a> {
    plan: &'a Plan,
    source: &'a Picture,
    target: &'a Picture,
    crop: Rect,
    dither: Dither,
    level: Level,
    src: &'a [u8],
}

impl Machine<'_> {
    /// Makes a band; `planes` are its rows of each plane of the target, and the bytes of one.
    fn run(&self, band: &mut Band, planes: &mut [(&mut [u8], usize)]) {
        for ring in &mut band.rings {
            ring.next = ring.wanted.start;
            ring.errors.fill(0.0);
        }
        let rows = band.rows.clone();
        let rings = &mut band.rings;
        schedule(self.target, self.crop, &rows, |component, y| {
            let port = self.plan.outputs[component];
            self.pull(rings, port.node, y..y + 1);
            let sub = if component == 0 { 0 } else { self.target.pix_fmt.subsampling().1 };
            let at = y - (self.crop.y >> sub) - rows.start.div_ceil(1 << sub);
            self.emit(rings, component, y, at, planes);
        });
    }

    /// Makes rows of a step until it has those wanted.
    fn pull(&self, rings: &mut [Ring], id: usize, wanted: Range<usize>) {
        while rings[id].next < wanted.end {
            let node = &self.plan.nodes[id];
            let rows = batch(node, rings[id].next, rings[id].wanted.end);
            let needed = needs(node, rows.clone());
            for port in &node.inputs {
                self.pull(rings, port.node, needed.clone());
            }
            let (before, this) = rings.split_at_mut(id);
            self.step(node, before, &mut this[0], rows.clone());
            rings[id].next = rows.end;
        }
    }

    /// Makes a batch of rows of a step.
    fn step(&self, node: &Node, before: &[Ring], out: &mut Ring, rows: Range<usize>) {
        let level = self.level;
        let width = node.width;
        let y = rows.start;
        let u16_in = |port: &Port, y: usize| before[port.node].u16(port.channel, y);
        let f32_in = |port: &Port, y: usize| before[port.node].f32(port.channel, y);
        match &node.op {
            Op::Source { first } => self.read(*first, out, y),
            Op::Shift { bits } => {
                for (port, out) in node.inputs.iter().zip(out.u16_mut(y)) {
                    ops::shift(level, u16_in(port, y), out, width, *bits);
                }
            }
            Op::ToFloat { scale, offset } => {
                for (port, out) in node.inputs.iter().zip(out.f32_mut(y)) {
                    ops::to_float(level, u16_in(port, y), out, width, *scale, *offset);
                }
            }
            Op::Quantize { scale, offset, bits, first } => {
                let max = ((1u32 << bits) - 1) as u16;
                if self.dither == Dither::Error {
                    let mut errors = std::mem::take(&mut out.errors);
                    let each = errors.chunks_exact_mut(width + 2);
                    for ((port, out), errors) in node.inputs.iter().zip(out.u16_mut(y)).zip(each) {
                        ops::diffuse(level, f32_in(port, y), &mut out[..width], *scale, *offset, errors, max);
                    }
                    out.errors = errors;
                } else {
                    for (channel, (port, out)) in node.inputs.iter().zip(out.u16_mut(y)).enumerate() {
                        let thresholds = match self.dither {
                            Dither::Ordered => bayer_row(first + channel, y),
                            _ => [0.0; 16],
                        };
                        ops::quantize(level, f32_in(port, y), out, width, *scale, *offset, &thresholds, max);
                    }
                }
            }
            Op::Vertical { filter, bits } => {
                let needed = needs(node, rows.clone());
                for (channel, port) in node.inputs.iter().enumerate() {
                    if node.float {
                        let input: Vec<_> = needed.clone().map(|y| f32_in(port, y)).collect();
                        let mut out = out.f32_rows_mut(channel, rows.clone());
                        ops::vertical_f32(level, filter, &input, rows.clone(), &mut out, width);
                    } else {
                        let max = ((1u32 << bits) - 1) as u16;
                        let input: Vec<_> = needed.clone().map(|y| u16_in(port, y)).collect();
                        let mut out = out.u16_rows_mut(channel, rows.clone());
                        ops::vertical_u16(level, filter, &input, rows.clone(), &mut out, width, max);
                    }
                }
            }
            Op::HorizontalU16 { filter, gather, bits } => {
                let max = ((1u32 << bits) - 1) as u16;
                let rows = |n: usize| u16_in(&node.inputs[n], y);
                let mut out = out.u16_mut(y);
                match node.channels {
                    1 => ops::horizontal_u16(
                        level,
                        filter,
                        gather,
                        from_fn::<_, 1, _>(rows),
                        channels(&mut out),
                        max,
                    ),
                    2 => ops::horizontal_u16(
                        level,
                        filter,
                        gather,
                        from_fn::<_, 2, _>(rows),
                        channels(&mut out),
                        max,
                    ),
                    _ => ops::horizontal_u16(
                        level,
                        filter,
                        gather,
                        from_fn::<_, 3, _>(rows),
                        channels(&mut out),
                        max,
                    ),
                }
            }
            Op::HorizontalF32 { filter, gather } => {
                let rows = |n: usize| f32_in(&node.inputs[n], y);
                let mut out = out.f32_mut(y);
                match node.channels {
                    1 => ops::horizontal_f32(
                        level,
                        filter,
                        gather,
                        from_fn::<_, 1, _>(rows),
                        channels(&mut out),
                    ),
                    2 => ops::horizontal_f32(
                        level,
                        filter,
                        gather,
                        from_fn::<_, 2, _>(rows),
                        channels(&mut out),
                    ),
                    _ => ops::horizontal_f32(
                        level,
                        filter,
                        gather,
                        from_fn::<_, 3, _>(rows),
                        channels(&mut out),
                    ),
                }
            }
            Op::MatrixU16 { matrix, scale, offset } => {
                let rows = from_fn(|c| u16_in(&node.inputs[c], y));
                let out = channels(&mut out.f32_mut(y));
                ops::matrix_u16(level, rows, out, width, matrix, *scale, *offset);
            }
            Op::Matrix(matrix) => {
                let rows = from_fn(|c| f32_in(&node.inputs[c], y));
                ops::matrix(level, rows, channels(&mut out.f32_mut(y)), width, matrix);
            }
        }
    }

    /// Row `y` of components `first..` of the source.
    fn read(&self, first: usize, out: &mut Ring, y: usize) {
        let (format, level) = (self.source.pix_fmt, self.level);
        let wide = format.sample_bytes() == 2;
        let row = |plane: usize| {
            let row_bytes = format.row_bytes(self.source.width, plane);
            let bytes = format.plane_range(self.source.width, self.source.height, plane);
            &self.src[bytes][y * row_bytes..(y + 1) * row_bytes]
        };
        if format.planes() == 1 {
            // Each row of samples goes to the channel of its component.
            let mut channels: [Option<&mut [u16]>; 3] = [None, None, None];
            for (component, out) in out.u16_mut(y).enumerate() {
                channels[format.component(component).offset / format.sample_bytes()] = Some(out);
            }
            let out = channels.map(Option::unwrap_or_default);
            if wide {
                ops::unpack3_u16(level, row(0), out);
            } else {
                ops::unpack3_u8(level, row(0), out);
            }
            return;
        }
        for (channel, out) in out.u16_mut(y).enumerate() {
            let row = row(format.component(first + channel).plane);
            if wide {
                ops::unpack_u16(level, row, out);
            } else {
                ops::unpack_u8(level, row, out);
            }
        }
    }

    /// Writes row `y` of a component to row `at` of the band.
    fn emit(
        &self,
        rings: &mut [Ring],
        component: usize,
        y: usize,
        at: usize,
        planes: &mut [(&mut [u8], usize)],
    ) {
        let (format, level) = (self.target.pix_fmt, self.level);
        let wide = format.sample_bytes() == 2;
        let sub_w = if component == 0 { 0 } else { format.subsampling().0 };
        let columns = self.crop.x >> sub_w..(self.crop.x >> sub_w) + self.crop.width.div_ceil(1 << sub_w);
        let samples = |port: Port| &rings[port.node].u16(port.channel, y)[columns.clone()];
        if format.planes() == 1 {
            // All three components of a pixel leave together, with the last one.
            if component == 2 {
                let (plane, row_bytes) = &mut planes[0];
                let out = &mut plane[at * *row_bytes..(at + 1) * *row_bytes];
                let mut rows = [samples(self.plan.outputs[0]); 3];
                for component in 0..3 {
                    rows[format.component(component).offset / format.sample_bytes()] =
                        samples(self.plan.outputs[component]);
                }
                if wide {
                    ops::pack3_u16(level, rows, out);
                } else {
                    ops::pack3_u8(level, rows, out);
                }
            }
            return;
        }
        let (plane, row_bytes) = &mut planes[format.component(component).plane];
        let out = &mut plane[at * *row_bytes..(at + 1) * *row_bytes];
        let row = samples(self.plan.outputs[component]);
        if wide {
            ops::pack_u16(level, row, out);
        } else {
            ops::pack_u8(level, row, out);
        }
    }
}
