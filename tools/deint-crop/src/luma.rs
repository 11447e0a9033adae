//! What the luma of frames says of their fields: the measures behind `--analyze` and `--field-phase`.
//!
//! A picture woven from two fields of different moments is combed: along a moving edge every line lies far from both of
//! its neighbours, on the same side. [`Luma::comb`] sums how far; comparing that sum over the ways in which the
//! fields of two frames can be woven tells which of them belong together, since whatever is still (fine horizontal
//! detail, noise) adds the same to each.

use crate::sample::{Sample, vectorize};
use rawstream::{PixFmt, VideoFormat};
use simd::Level;

/// Reads the luma plane of frames of one format.
#[derive(Clone, Copy, Debug)]
pub struct Luma {
    /// Samples across.
    pub width: usize,
    /// Rows down.
    pub height: usize,
    wide: bool,
    /// Code values of a step of 8-bit video: 2^(bits - 8).
    step: u16,
    level: Level,
}

impl Luma {
    /// For frames of `format`; `None` for RGB, which has no luma.
    pub fn of(format: &VideoFormat, level: Level) -> Option<Self> {
        let PixFmt { bits, .. } = format.pix_fmt;
        (!format.pix_fmt.is_rgb()).then_some(Self {
            width: format.width,
            height: format.height,
            wide: format.pix_fmt.sample_bytes() == 2,
            step: 1 << (bits - 8),
            level,
        })
    }

    /// Row `y` of a frame.
    pub fn row<'a>(&self, frame: &'a [u8], y: usize) -> &'a [u8] {
        let bytes = self.width * if self.wide { 2 } else { 1 };
        &frame[y * bytes..(y + 1) * bytes]
    }

    /// Code values of `value` in 8-bit video.
    pub fn code(&self, value: u16) -> u16 {
        value * self.step
    }

    /// How much the picture woven from the top field of `top` and the bottom field of `bottom` is combed: the sum, in
    /// steps of 8-bit video, of how far each sample lies beyond the nearer of its two neighbours above and below, where
    /// both are on the same side and further than noise is.
    pub fn comb(&self, top: &[u8], bottom: &[u8]) -> u64 {
        let row = |y: usize| self.row(if y.is_multiple_of(2) { top } else { bottom }, y);
        let noise = self.code(NOISE);
        (1..self.height.saturating_sub(1))
            .map(|y| {
                let rows = [row(y - 1), row(y), row(y + 1)];
                u64::from(vectorize!(self.level, self.wide, comb_row(rows, noise)))
            })
            .sum::<u64>()
            / u64::from(self.step)
    }

    /// Is the frame combed where one looks? True if any block of 16x16 has more than 80 combed samples (the rule and
    /// the numbers of the usual field matchers).
    pub fn is_combed(&self, frame: &[u8]) -> bool {
        let blocks = self.width.div_ceil(BLOCK);
        let mut counts = vec![0u16; blocks];
        let threshold = self.code(COMBED);
        for band in (2..self.height.saturating_sub(2)).collect::<Vec<_>>().chunks(BLOCK) {
            counts.fill(0);
            for &y in band {
                let rows = [y - 2, y - 1, y, y + 1, y + 2].map(|y| self.row(frame, y));
                vectorize!(self.level, self.wide, combed_row(rows, threshold, &mut counts));
            }
            if counts.iter().any(|&n| n > 80) {
                return true;
            }
        }
        false
    }

    /// How bright row `y` is, where `black` is in 8-bit code values; adds the row to what is known of the columns.
    pub fn light(&self, frame: &[u8], y: usize, black: u16, columns: &mut Lights) -> Light {
        let (row, black) = (self.row(frame, y), self.code(black));
        vectorize!(self.level, self.wide, light_row(row, black, columns))
    }

    /// Adds the samples of row `y` to a histogram over the 256 steps of 8-bit video.
    pub fn histogram(&self, frame: &[u8], y: usize, counts: &mut [u64; 256]) {
        let row = self.row(frame, y);
        if self.wide {
            for sample in row.as_chunks::<2>().0 {
                counts[usize::from(u16::from_le_bytes(*sample) / self.step).min(255)] += 1;
            }
        } else {
            for &sample in row {
                counts[usize::from(sample)] += 1;
            }
        }
    }
}

/// How bright a line of one frame is, in the code values of its format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Light {
    /// Samples that are brighter than black.
    pub above: u32,
    /// The sum of all its samples. 65,536 of 16 bits still fit.
    pub sum: u32,
    /// The brightest one.
    pub peak: u32,
}

/// The same of many lines.
#[derive(Clone, Debug)]
pub struct Lights {
    above: Vec<u32>,
    sum: Vec<u32>,
    peak: Vec<u32>,
}

impl Lights {
    /// Of `lines` that nothing is known of.
    pub fn new(lines: usize) -> Self {
        Self { above: vec![0; lines], sum: vec![0; lines], peak: vec![0; lines] }
    }

    /// Each line, in order.
    pub fn iter(&self) -> impl Iterator<Item = Light> {
        let lines = self.above.iter().zip(&self.sum).zip(&self.peak);
        lines.map(|((&above, &sum), &peak)| Light { above, sum, peak })
    }
}

/// Differences up to this many steps of 8-bit video are noise.
const NOISE: u16 = 4;
/// A sample that lies further than this from both its neighbours is combed.
const COMBED: u16 = 9;
const BLOCK: usize = 16;

/// How far `b` lies beyond the nearer of `a` and `c`, if it is on the same side of both by more than `noise`.
#[inline(always)]
fn comb_row<S: Sample>(rows: [&[u8]; 3], noise: u16) -> u32 {
    let length = rows[1].len();
    let [a, b, c] = rows.map(|row| &row[..length]);
    let noise = i32::from(noise);
    let mut sum = 0;
    for x in 0..length / S::BYTES {
        let (up, down) = (S::get(b, x) - S::get(a, x), S::get(b, x) - S::get(c, x));
        // On the same side the nearer one is the smaller distance; on different sides one of the two is negative.
        let beyond = up.min(down).max((-up).min(-down));
        sum += if beyond > noise { beyond as u32 } else { 0 };
    }
    sum
}

/// Counts, block by block, the samples that lie beyond both neighbours and stick out of the five lines around them.
#[inline(always)]
fn combed_row<S: Sample>(rows: [&[u8]; 5], threshold: u16, counts: &mut [u16]) {
    let length = rows[2].len();
    let [a, b, c, d, e] = rows.map(|row| &row[..length]);
    let threshold = i32::from(threshold);
    let width = length / S::BYTES;
    for (block, count) in counts.iter_mut().enumerate() {
        for x in block * BLOCK..((block + 1) * BLOCK).min(width) {
            let [a, b, c, d, e] = [a, b, c, d, e].map(|row| S::get(row, x));
            let beyond = (c - b).min(c - d).max((b - c).min(d - c));
            let stands_out = (a + 4 * c + e - 3 * (b + d)).abs() > 6 * threshold;
            *count += u16::from(beyond > threshold && stands_out);
        }
    }
}

#[inline(always)]
fn light_row<S: Sample>(row: &[u8], black: u16, columns: &mut Lights) -> Light {
    let (width, black) = (row.len() / S::BYTES, u32::from(black));
    let (above, sum, peak) =
        (&mut columns.above[..width], &mut columns.sum[..width], &mut columns.peak[..width]);
    let mut light = Light::default();
    for x in 0..width {
        let sample = S::get(row, x) as u32;
        let is_above = u32::from(sample > black);
        above[x] += is_above;
        sum[x] += sample;
        peak[x] = peak[x].max(sample);
        light.above += is_above;
        light.sum += sample;
        light.peak = light.peak.max(sample);
    }
    light
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every level counts, adds up and finds the brightest as a loop over the samples does, of rows and of columns.
        #[test]
        fn light_is_what_the_samples_say(
            (width, samples) in (1usize..90).prop_flat_map(|width| {
                (Just(width), prop::collection::vec(any::<u16>(), width * 5))
            }),
            name in prop::sample::select(vec!["yuv444p", "yuv444p10le", "yuv444p16le"]),
            black in 0u16..256,
        ) {
            let pix_fmt = PixFmt::named(name).unwrap();
            let samples: Vec<u16> = samples.into_iter().map(|sample| sample & pix_fmt.max()).collect();
            let bytes = samples.iter().flat_map(|s| s.to_le_bytes().into_iter().take(pix_fmt.sample_bytes()));
            let frame: Vec<u8> = bytes.collect();
            let line = |line: Vec<u16>| Light {
                above: line.iter().filter(|&&s| s > black << (pix_fmt.bits - 8)).count() as u32,
                sum: line.iter().map(|&s| u32::from(s)).sum(),
                peak: line.iter().copied().max().unwrap_or(0).into(),
            };
            for level in Level::available() {
                let luma = Luma::of(&VideoFormat::new(width, 5, pix_fmt), level).unwrap();
                let mut columns = Lights::new(width);
                for (y, row) in samples.chunks(width).enumerate() {
                    prop_assert_eq!(luma.light(&frame, y, black, &mut columns), line(row.to_vec()), "{}", level);
                }
                let expected = (0..width).map(|x| line(samples.iter().skip(x).step_by(width).copied().collect()));
                prop_assert!(columns.iter().eq(expected), "{}", level);
            }
        }
    }
}
