//! Pulls rows through a plan.
//!
//! For each row of the target every node is asked for the rows that it still lacks, down to the source. A node keeps
//! only the rows that those after it may ask for again: a few kilobytes to a few hundred, which stay in the cache.

use crate::{
    Dither, Error, Options, Picture, Rect,
    node::{Node, Port},
    ops,
    plan::Plan,
    ring::{Ring, Rows},
};
use simd::Level;
use std::ops::Range;

/// Converts frames of one kind to frames of another.
pub struct Converter {
    plan: Plan,
    source: Picture,
    target: Picture,
    crop: Rect,
    level: Level,
    bands: Vec<Band>,
}

/// A band of rows of the target, and the state of the machine that makes it.
struct Band {
    /// Rows of the cropped target.
    rows: Range<usize>,
    rings: Vec<Ring>,
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
            size_rings(&plan, &target, crop, band);
        }
        Ok(Self { plan, source, target, crop, level: options.level, bands })
    }

    /// The source rows of plane `plane` that matter: the others are never read.
    pub fn source_rows(&self, plane: usize) -> Range<usize> {
        let wanted = wanted_rows(&self.plan, &self.target, self.crop, 0..self.crop.height);
        let component = (0..3).find(|&c| self.source.pix_fmt.component(c).plane == plane);
        component.map_or(0..0, |c| wanted[self.plan.sources[c].node].clone())
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
            target: &self.target,
            crop: self.crop,
            level: self.level,
            frame: src,
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

/// For each node the rows of it that rows `rows` of the cropped target need.
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
            want(&mut wanted, port.node, node.needs(rows.clone()));
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

/// Runs a band without pixels to see how many rows of each node are asked for at once, and allocates them.
fn size_rings(plan: &Plan, target: &Picture, crop: Rect, band: &mut Band) {
    struct Asked {
        wanted: Range<usize>,
        next: usize,
        held: usize,
    }
    fn pull(plan: &Plan, asked: &mut [Asked], id: usize, wanted: Range<usize>) {
        while asked[id].next < wanted.end {
            let rows = plan.nodes[id].batch(asked[id].next, asked[id].wanted.end);
            for port in &plan.nodes[id].inputs {
                pull(plan, asked, port.node, plan.nodes[id].needs(rows.clone()));
            }
            asked[id].next = rows.end;
        }
        asked[id].held = asked[id].held.max(asked[id].next - wanted.start);
    }
    let mut asked: Vec<Asked> = wanted_rows(plan, target, crop, band.rows.clone())
        .into_iter()
        .map(|wanted| Asked { next: wanted.start, wanted, held: 1 })
        .collect();
    schedule(target, crop, &band.rows, |component, y| {
        pull(plan, &mut asked, plan.outputs[component].node, y..y + 1);
    });
    for ((node, ring), Asked { wanted, held, .. }) in plan.nodes.iter().zip(&mut band.rings).zip(asked) {
        let Node { channels, width, .. } = *node;
        *ring = Ring { width, wanted, ..Ring::default() };
        if node.float {
            ring.f32 = Rows::new(channels, width, held);
        } else {
            ring.u16 = Rows::new(channels, width, held);
        }
    }
}

/// What the bands share while a frame is converted.
struct Machine<'a> {
    plan: &'a Plan,
    target: &'a Picture,
    crop: Rect,
    level: Level,
    /// The source frame.
    frame: &'a [u8],
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

    /// Makes rows of a node until it has those wanted.
    fn pull(&self, rings: &mut [Ring], id: usize, wanted: Range<usize>) {
        while rings[id].next < wanted.end {
            let node = &self.plan.nodes[id];
            let rows = node.batch(rings[id].next, rings[id].wanted.end);
            let needed = node.needs(rows.clone());
            for port in &node.inputs {
                self.pull(rings, port.node, needed.clone());
            }
            let (before, this) = rings.split_at_mut(id);
            node.make_rows(self.level, self.frame, before, &mut this[0], rows.clone());
            rings[id].next = rows.end;
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
        let samples = |port: Port| &rings[port.node].u16.row(port.channel, y)[columns.clone()];
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
