//! Where the picture ends: the black bars around it, and what lies in them.
//!
//! A line, row or column, has picture in a frame where a sixty-fourth of it is brighter than black. Over all of a film that
//! gives three crops. The loosest one loses nothing that was ever bright. Some of that is no picture: the half-lines 23 and
//! 623 of analogue PAL (ITU-R BT.470), what is left of signals in the vertical blanking interval, the last lines of a
//! tape's head switch. It lies at the very edge of the frame, is a few lines deep, and black lines cut it from the picture;
//! the second crop is the loosest one without it. The tight crop is that of the picture alone, without subtitles or a logo
//! in the bars and without lines that hardly ever have picture; it comes with what it would lose.

use crate::luma::{Light, Lights, Luma};
use rawstream::VideoFormat;
use resample::Rect;
use serde_json::{Value, json};
use simd::Level;
use std::ops::Range;

/// Luma above this, in 8-bit code values, is picture: black is 16, and what coding adds to a bar stays below.
const BLACK: u16 = 32;
/// A line that is never brighter than this on average, in 8-bit code values, is black: noise comes to nothing there, while
/// a dark scene stays above it.
const BAR: u16 = 20;
/// So many black lines cut what is beside them from the picture.
const GAP: usize = 4;

/// What was seen of the bars so far.
pub struct Bars {
    luma: Luma,
    rows: Lines,
    columns: Lines,
    lit: u64,
}

/// The lines of one direction, and how many samples each has.
struct Lines {
    samples: usize,
    lines: Vec<Line>,
}

/// A row or a column over all frames.
#[derive(Clone, Copy, Default)]
struct Line {
    /// Frames in which it has picture.
    frames: u64,
    /// Its samples above black, in the frame that has most.
    samples: u32,
    /// Its brightest sample, in 8-bit code values.
    level: u32,
    /// Some frame has it brighter than a bar.
    dim: bool,
}

/// What the film's own pixels that are picture may be said to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Crops {
    /// Loses nothing that was ever bright.
    pub loose: Rect,
    /// The same, but for what cannot be picture.
    pub auto: Rect,
    /// The picture alone. Like `auto` it lies inside `loose`, and it lies inside `auto`.
    pub tight: Rect,
    /// What is in `loose` and not in `tight`: top, bottom, left, right, each from the first line on.
    pub outside: Vec<Outside>,
}

/// Lines beside the tight crop that are bright in some frame, and less than four lines apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// `top`, `bottom`, `left` or `right`.
    pub edge: &'static str,
    /// Rows or columns of the film.
    pub lines: Range<usize>,
    /// Frames in which the line that has most of them is bright.
    pub frames: u64,
    /// Bright samples of a line, at most.
    pub samples: u32,
    /// The brightest one, in 8-bit code values.
    pub level: u32,
    /// It is in `auto`.
    pub counted: bool,
}

impl Outside {
    /// For the findings.
    pub fn value(&self) -> Value {
        json!({
            "edge": self.edge,
            "first": self.lines.start,
            "last": self.lines.end - 1,
            "frames": self.frames,
            "samples": self.samples,
            "level": self.level,
            "counted": self.counted,
        })
    }
}

impl Bars {
    /// Of a film of `format`; `None` for RGB.
    pub fn new(format: &VideoFormat) -> Option<Self> {
        let luma = Luma::of(format, Level::best())?;
        let lines = |lines, samples| Lines { samples, lines: vec![Line::default(); lines] };
        let (width, height) = (luma.width, luma.height);
        Some(Self { luma, rows: lines(height, width), columns: lines(width, height), lit: 0 })
    }

    /// Takes in a frame.
    pub fn add(&mut self, frame: &[u8]) {
        let luma = self.luma;
        let mut columns = Lights::new(luma.width);
        let mut any = false;
        for y in 0..luma.height {
            let row = luma.light(frame, y, BLACK, &mut columns);
            any |= self.rows.add(y, row, luma);
        }
        for (x, column) in columns.iter().enumerate() {
            self.columns.add(x, column, luma);
        }
        self.lit += u64::from(any);
    }

    /// Frames in which any row has picture.
    pub fn frames_with_picture(&self) -> u64 {
        self.lit
    }

    /// Frames that have picture in row `y`.
    pub fn row(&self, y: usize) -> u64 {
        self.rows.lines[y].frames
    }

    /// Frames that have picture in column `x`.
    pub fn column(&self, x: usize) -> u64 {
        self.columns.lines[x].frames
    }

    /// What was found; `None` where there never was any picture.
    pub fn crops(&self) -> Option<Crops> {
        let (across, down) = (self.columns.spans(self.lit)?, self.rows.spans(self.lit)?);
        let rect = |x: &Range<usize>, y: &Range<usize>| Rect {
            width: x.len(),
            height: y.len(),
            x: x.start,
            y: y.start,
        };
        let mut outside = self.rows.outside(&down, ["top", "bottom"]);
        outside.extend(self.columns.outside(&across, ["left", "right"]));
        Some(Crops {
            loose: rect(&across.loose, &down.loose),
            auto: rect(&across.auto, &down.auto),
            tight: rect(&across.tight, &down.tight),
            outside,
        })
    }
}

/// The three crops in one direction.
struct Spans {
    loose: Range<usize>,
    auto: Range<usize>,
    tight: Range<usize>,
}

impl Lines {
    /// Takes in a line of one frame; does it have picture?
    fn add(&mut self, n: usize, light: Light, luma: Luma) -> bool {
        let line = &mut self.lines[n];
        let picture = light.above as usize * 64 >= self.samples;
        line.frames += u64::from(picture);
        line.samples = line.samples.max(light.above);
        line.level = line.level.max(light.peak / u32::from(luma.code(1)));
        line.dim |= u64::from(light.sum) > u64::from(luma.code(BAR)) * self.samples as u64;
        picture
    }

    fn spans(&self, lit: u64) -> Option<Spans> {
        let lines = self.lines.len();
        let loose = self.span(0..lines)?;
        let auto = self.span(self.dirt(|n| n)..lines - self.dirt(|n| lines - 1 - n));
        let auto = auto.unwrap_or(loose.clone());
        // Of these a hundredth of the frames, or more, have picture.
        let often = auto.clone().filter(|&n| self.lines[n].frames * 100 >= lit);
        let tight = groups(often).into_iter().rev().max_by_key(|group| group.len());
        Some(Spans { loose, tight: tight.unwrap_or(auto.clone()), auto })
    }

    /// From the first to the last of these lines that ever has picture.
    fn span(&self, lines: Range<usize>) -> Option<Range<usize>> {
        let has = |&n: &usize| self.lines[n].frames > 0;
        Some(lines.clone().find(has)?..lines.rev().find(has)? + 1)
    }

    /// How many lines at an edge are not to be counted; `at(0)` is the outermost one.
    ///
    /// Eight of 576 at most, in smaller pictures fewer: not a sixty-fourth, so that they are nothing to lines that cross
    /// them, and less than any letter.
    fn dirt(&self, at: impl Fn(usize) -> usize) -> usize {
        let is_black = |n: usize| {
            let line = self.lines[at(n)];
            line.frames == 0 && !line.dim
        };
        let edge = (self.lines.len() / 72).min(8);
        let ends = |depth: usize| {
            !is_black(depth - 1) && (depth..depth + GAP).all(|n| n < self.lines.len() && is_black(n))
        };
        (1..=edge).rev().find(|&depth| ends(depth)).unwrap_or(0)
    }

    /// What is beside the tight crop.
    fn outside(&self, spans: &Spans, edges: [&'static str; 2]) -> Vec<Outside> {
        let beside = [spans.loose.start..spans.tight.start, spans.tight.end..spans.loose.end];
        let of = |(edge, lines): (&'static str, Range<usize>)| {
            let bright = lines.filter(|&n| self.lines[n].frames > 0);
            groups(bright).into_iter().map(move |lines| {
                let seen = &self.lines[lines.clone()];
                Outside {
                    edge,
                    frames: seen.iter().map(|line| line.frames).max().unwrap_or(0),
                    samples: seen.iter().map(|line| line.samples).max().unwrap_or(0),
                    level: seen.iter().map(|line| line.level).max().unwrap_or(0),
                    counted: spans.auto.contains(&lines.start),
                    lines,
                }
            })
        };
        edges.into_iter().zip(beside).flat_map(of).collect()
    }
}

/// Rising numbers, in ranges that are at least [`GAP`] others apart.
fn groups(lines: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for n in lines {
        match groups.last_mut() {
            Some(group) if n < group.end + GAP => group.end = n + 1,
            _ => groups.push(n..n + 1),
        }
    }
    groups
}
