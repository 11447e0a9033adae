//! The "Bob Weaver" deinterlacer, bit for bit ffmpeg's `bwdif`.
//!
//! The lines of one field are kept; each line between them is made from its neighbours. Where the picture moves, Weston's
//! three-field filter (BBC R&D report PH-2071) joins the low vertical frequencies of the kept field with the high ones of
//! the fields before and after it; a window of values that the motion allows, found as in yadif, bounds the result.

use crate::sample::{Sample, vectorize};
use rawstream::PixFmt;
use rayon::prelude::*;
use simd::Level;
use std::ops::Range;

/// Weights of the low and high frequencies and of the purely spatial filter, times 2^13.
const LOW: [i32; 2] = [4309, 213];
const HIGH: [i32; 3] = [5570, 3801, 1016];
const SPATIAL: [i32; 2] = [5077, 981];

/// A field of a frame: its lines are 0, 2, 4 … or 1, 3, 5 …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Lines 0, 2, 4 …
    Top,
    /// Lines 1, 3, 5 …
    Bottom,
}

impl Field {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Top => Self::Bottom,
            Self::Bottom => Self::Top,
        }
    }

    /// Is line `y` one of this field's?
    fn has(self, y: usize) -> bool {
        y.is_multiple_of(2) == (self == Self::Top)
    }
}

/// Three frames in a row, in wire order. At the film's ends the missing one is `current` again.
#[derive(Clone, Copy)]
pub struct Neighbours<'a> {
    /// The frame before.
    pub previous: &'a [u8],
    /// The frame that is deinterlaced.
    pub current: &'a [u8],
    /// The frame after.
    pub next: &'a [u8],
}

/// What to make of the current frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The field that is kept.
    pub keep: Field,
    /// It is the later one of its frame, so that its neighbours in time are in this frame and the next, not in the
    /// previous frame and this one.
    pub second: bool,
    /// Look at the kept field only. ffmpeg does this at the film's ends, where one neighbour is missing.
    pub alone: bool,
}

/// Deinterlaces frames of one format.
#[derive(Clone, Debug)]
pub struct Bwdif {
    pix_fmt: PixFmt,
    width: usize,
    height: usize,
    level: Level,
}

impl Bwdif {
    /// For frames of `width` x `height`.
    ///
    /// Errors: fewer than three columns or lines, which ffmpeg refuses too.
    pub fn new(pix_fmt: PixFmt, width: usize, height: usize, level: Level) -> Result<Self, String> {
        if width < 3 || height < 3 {
            return Err(format!("{width}x{height} is too small to deinterlace; it takes 3x3"));
        }
        Ok(Self { pix_fmt, width, height, level })
    }

    /// Makes a progressive frame. Of plane `p` only the rows in `rows(p)` are made; the others of `out` are left as they
    /// were.
    pub fn deinterlace(
        &self,
        frames: Neighbours<'_>,
        task: Task,
        rows: impl Fn(usize) -> Range<usize>,
        out: &mut [u8],
    ) {
        for plane in 0..self.pix_fmt.planes() {
            let bytes = self.pix_fmt.plane_range(self.width, self.height, plane);
            let row_bytes = self.pix_fmt.row_bytes(self.width, plane);
            let plane_of = Plane {
                previous: &frames.previous[bytes.clone()],
                current: &frames.current[bytes.clone()],
                next: &frames.next[bytes.clone()],
                row_bytes,
                height: self.pix_fmt.plane_size(self.width, self.height, plane).1,
                wide: self.pix_fmt.sample_bytes() == 2,
                max: i32::from(self.pix_fmt.max()),
                task,
            };
            let rows = rows(plane);
            // Rows are cheap; a job of 32 of them is worth a thread's while.
            out[bytes][rows.start * row_bytes..rows.end * row_bytes]
                .par_chunks_mut(32 * row_bytes)
                .enumerate()
                .for_each(|(job, out)| {
                    for (n, out) in out.chunks_exact_mut(row_bytes).enumerate() {
                        plane_of.line(self.level, rows.start + 32 * job + n, out);
                    }
                });
        }
    }
}

/// A plane of the three frames.
struct Plane<'a> {
    previous: &'a [u8],
    current: &'a [u8],
    next: &'a [u8],
    row_bytes: usize,
    height: usize,
    wide: bool,
    max: i32,
    task: Task,
}

/// Where the neighbours of a line in the kept field are, in lines; above and below, at distance 1 and 3.
struct Reach {
    above: isize,
    below: isize,
    above3: isize,
    below3: isize,
}

impl Plane<'_> {
    fn row<'b>(&self, plane: &'b [u8], y: usize, offset: isize) -> &'b [u8] {
        // Only planes of fewer than six lines have neighbours outside; there ffmpeg reads what happens to lie there.
        let y = y.saturating_add_signed(offset).min(self.height - 1);
        &plane[y * self.row_bytes..(y + 1) * self.row_bytes]
    }

    /// ffmpeg compares the line with the bytes of a sample instead of with 1, so that with two-byte samples the lines
    /// next to the edges take their neighbours from the other side. Bit for bit the same means doing so too.
    fn reach(&self, y: usize) -> Reach {
        let unit = if self.wide { 2 } else { 1 };
        let (y, h) = (y as isize, self.height as isize);
        Reach {
            above: if y > unit - 1 { -1 } else { 1 },
            below: if y + unit < h { 1 } else { -1 },
            above3: if y > 3 * unit - 1 { -3 } else { 1 },
            below3: if y + 3 * unit < h { 3 } else { -1 },
        }
    }

    fn line(&self, level: Level, y: usize, out: &mut [u8]) {
        let here = |offset| self.row(self.current, y, offset);
        if self.task.keep.has(y) {
            out.copy_from_slice(here(0));
            return;
        }
        let reach = self.reach(y);
        if self.task.alone {
            let rows = [here(reach.above), here(reach.below), here(reach.above3), here(reach.below3)];
            vectorize!(level, self.wide, alone(rows, out, self.max));
            return;
        }
        // The fields of the other parity before and after the kept one.
        let (before, after) =
            if self.task.second { (self.current, self.next) } else { (self.previous, self.current) };
        let edge = y < 4 || y + 5 > self.height;
        let (above, below) = if edge { (reach.above, reach.below) } else { (-1, 1) };
        let lines = Lines {
            before: [-4, -2, 0, 2, 4].map(|n| self.row(before, y, n)),
            after: [-4, -2, 0, 2, 4].map(|n| self.row(after, y, n)),
            previous: [above, below].map(|n| self.row(self.previous, y, n)),
            next: [above, below].map(|n| self.row(self.next, y, n)),
            current: [-3, above, below, 3].map(|n| self.row(self.current, y, n)),
        };
        let place = match (edge, y < 2 || y + 3 > self.height) {
            (false, _) => Place::Inside,
            (true, false) => Place::NearEdge,
            (true, true) => Place::Edge,
        };
        vectorize!(level, self.wide, temporal(&lines, place, out, self.max));
    }
}

/// The rows that a new line is made from.
struct Lines<'a> {
    /// Other parity, before: lines -4, -2, 0, 2, 4.
    before: [&'a [u8]; 5],
    /// Other parity, after.
    after: [&'a [u8]; 5],
    /// Kept parity, frame before: lines -1, 1.
    previous: [&'a [u8]; 2],
    /// Kept parity, frame after.
    next: [&'a [u8]; 2],
    /// Kept field: lines -3, -1, 1, 3.
    current: [&'a [u8]; 4],
}

/// How much of the filter fits where the line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// All of it.
    Inside,
    /// The window, not the filter.
    NearEdge,
    /// Neither.
    Edge,
}

/// From the kept field only: lines -1, 1, -3, 3.
#[inline(always)]
fn alone<S: Sample>(rows: [&[u8]; 4], out: &mut [u8], max: i32) {
    let length = out.len();
    let [above, below, above3, below3] = rows.map(|row| &row[..length]);
    for x in 0..length / S::BYTES {
        let near = S::get(above, x) + S::get(below, x);
        let far = S::get(above3, x) + S::get(below3, x);
        S::put(out, x, ((SPATIAL[0] * near - SPATIAL[1] * far) >> 13).clamp(0, max));
    }
}

#[inline(always)]
fn temporal<S: Sample>(lines: &Lines<'_>, place: Place, out: &mut [u8], max: i32) {
    match place {
        Place::Inside => temporal_at::<S, 0>(lines, out, max),
        Place::NearEdge => temporal_at::<S, 1>(lines, out, max),
        Place::Edge => temporal_at::<S, 2>(lines, out, max),
    }
}

/// Samples that are worked on together: into vectors the compiler turns loops over arrays of this length, not loops over
/// eighteen slices.
const BLOCK: usize = 16;

/// `EDGE` is the [`Place`]: 0 inside, 1 near the edge, 2 at it.
#[inline(always)]
fn temporal_at<S: Sample, const EDGE: u8>(lines: &Lines<'_>, out: &mut [u8], max: i32) {
    let width = out.len() / S::BYTES;
    let mut x = 0;
    while x + BLOCK <= width {
        let block: [i32; BLOCK] = temporal_block::<S, BLOCK, EDGE>(lines, x, max);
        for (n, value) in block.into_iter().enumerate() {
            S::put(out, x + n, value);
        }
        x += BLOCK;
    }
    while x < width {
        let [value] = temporal_block::<S, 1, EDGE>(lines, x, max);
        S::put(out, x, value);
        x += 1;
    }
}

/// Samples `x` to `x + N` of the new line.
#[inline(always)]
fn temporal_block<S: Sample, const N: usize, const EDGE: u8>(
    lines: &Lines<'_>,
    x: usize,
    max: i32,
) -> [i32; N] {
    // A macro, since a closure would be compiled without the instruction set of its caller.
    macro_rules! at {
        ($row:expr) => {{
            let row = &$row[x * S::BYTES..(x + N) * S::BYTES];
            let mut samples = [0; N];
            for (n, sample) in samples.iter_mut().enumerate() {
                *sample = S::get(row, n);
            }
            samples
        }};
    }
    let [b_4, b_2, b0, b2, b4] = lines.before;
    let [a_4, a_2, a0, a2, a4] = lines.after;
    let [p_1, p1] = lines.previous;
    let [n_1, n1] = lines.next;
    let [c_3, c_1, c1, c3] = lines.current;
    let (b_4, b_2, b0, b2, b4) = (at!(b_4), at!(b_2), at!(b0), at!(b2), at!(b4));
    let (a_4, a_2, a0, a2, a4) = (at!(a_4), at!(a_2), at!(a0), at!(a2), at!(a4));
    let (p_1, p1, n_1, n1) = (at!(p_1), at!(p1), at!(n_1), at!(n1));
    let (c_3, c_1, c1, c3) = (at!(c_3), at!(c_1), at!(c1), at!(c3));
    let mut out = [0; N];
    for n in 0..N {
        let (above, below) = (c_1[n], c1[n]);
        let (before, after) = (b0[n], a0[n]);
        // What the line would be if nothing moved, and how far things have moved here and on the lines beside it.
        let still = (before + after) >> 1;
        let moved = (before - after).abs();
        let moved_before = ((p_1[n] - above).abs() + (p1[n] - below).abs()) >> 1;
        let moved_after = ((n_1[n] - above).abs() + (n1[n] - below).abs()) >> 1;
        let mut window = (moved >> 1).max(moved_before).max(moved_after);
        let none = window == 0;
        if EDGE < 2 {
            let over = ((b_2[n] + a_2[n]) >> 1) - above;
            let under = ((b2[n] + a2[n]) >> 1) - below;
            let (from_above, from_below) = (still - above, still - below);
            let most = from_below.max(from_above).max(over.min(under));
            let least = from_below.min(from_above).min(over.max(under));
            window = window.max(least).max(-most);
        }
        let wanted = if EDGE > 0 {
            (above + below) >> 1
        } else {
            let far = c_3[n] + c3[n];
            let high = (HIGH[0] * (before + after) - HIGH[1] * (b_2[n] + a_2[n] + b2[n] + a2[n])
                + HIGH[2] * (b_4[n] + a_4[n] + b4[n] + a4[n]))
                >> 2;
            let mixed = (high + LOW[0] * (above + below) - LOW[1] * far) >> 13;
            let spatial = (SPATIAL[0] * (above + below) - SPATIAL[1] * far) >> 13;
            if (above - below).abs() > moved { mixed } else { spatial }
        };
        let bounded = wanted.min(still + window).max(still - window).clamp(0, max);
        out[n] = if none { still } else { bounded };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use simd::Portable;

    proptest! {
        /// Every level makes the same frame, of noise and of extremes, at any size.
        #[test]
        fn same_bits(
            seed in any::<u64>(),
            extreme in any::<bool>(),
            width in 3usize..90,
            height in 3usize..30,
            name in prop::sample::select(vec!["yuv420p", "yuv422p10le", "yuv444p16le", "gbrp", "rgb48le"]),
            (top, second, alone) in any::<(bool, bool, bool)>(),
        ) {
            let pix_fmt = PixFmt::named(name).unwrap();
            let mut state = seed | 1;
            let mut frame = || -> Vec<u8> {
                let samples = pix_fmt.frame_bytes(width, height) / pix_fmt.sample_bytes();
                (0..samples)
                    .flat_map(|_| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let max = pix_fmt.max();
                        let value = if extreme { max * (state >> 40 & 1) as u16 } else { (state >> 32) as u16 & max };
                        value.to_le_bytes().into_iter().take(pix_fmt.sample_bytes())
                    })
                    .collect()
            };
            let (previous, current, next) = (frame(), frame(), frame());
            let around = Neighbours { previous: &previous, current: &current, next: &next };
            let task = Task { keep: if top { Field::Top } else { Field::Bottom }, second, alone };
            let made = |level| {
                let mut out = vec![0; current.len()];
                let rows = |plane| 0..pix_fmt.plane_size(width, height, plane).1;
                Bwdif::new(pix_fmt, width, height, level).unwrap().deinterlace(around, task, rows, &mut out);
                out
            };
            let expected = made(Level::Portable(Portable));
            for level in Level::available() {
                prop_assert!(made(level) == expected, "{}", level);
            }
        }
    }
}
