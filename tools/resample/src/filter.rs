//! One axis of a resize: for every output sample, where its input samples begin and how they are weighted.

use crate::Kernel;
use std::ops::Range;

/// The weights of one axis, in both of zimg's storage forms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    /// Input samples.
    pub src: usize,
    /// Weights of each output sample.
    pub taps: usize,
    /// For each output sample the first input sample that it weighs; never decreases.
    pub left: Vec<usize>,
    /// `taps` weights for each output sample; they sum to 1.
    pub f32: Vec<f32>,
    /// The same times 2^14, rounded; they sum to 2^14 exactly.
    pub i16: Vec<i16>,
}

impl Filter {
    /// Resamples the stretch of `width` input samples that begins at `shift` (both may be fractions) to `dst` samples,
    /// out of `src` in all. Beyond an edge the picture is mirrored, as zimg has it.
    pub fn new(kernel: Kernel, src: usize, dst: usize, shift: f64, width: f64) -> Self {
        let scale = dst as f64 / width;
        // When it shrinks the picture, the kernel is stretched to be its own low-pass.
        let step = scale.min(1.0);
        let taps = ((f64::from(kernel.support()) / step).ceil() as usize * 2).max(1);
        let last = src as f64 - 0.5;
        let mut rows = Vec::with_capacity(dst);
        for i in 0..dst {
            let position = (i as f64 + 0.5) / scale + shift;
            // `f64::round` takes halves away from zero, as zimg does.
            let begin = (position - taps as f64 / 2.0).round() + 0.5;
            let weight = |tap: usize| kernel.weight((begin + tap as f64 - position) * step);
            let total: f64 = (0..taps).map(weight).sum();
            // Mirrored samples fall onto each other, so a row's weights are a dense run from its lowest sample on.
            let mut row: Vec<(usize, f64)> = Vec::with_capacity(taps);
            for tap in 0..taps {
                let at = begin + tap as f64;
                let at = if at < 0.0 {
                    -at
                } else if at >= src as f64 {
                    2.0 * src as f64 - at
                } else {
                    at
                };
                let at = at.clamp(0.5, last).floor() as usize;
                match row.iter_mut().find(|(sample, _)| *sample == at) {
                    Some((_, sum)) => *sum += weight(tap) / total,
                    None => row.push((at, weight(tap) / total)),
                }
            }
            row.sort_unstable_by_key(|&(sample, _)| sample);
            rows.push(row);
        }
        let span = |row: &Vec<(usize, f64)>| row[row.len() - 1].0 + 1 - row[0].0;
        let taps = rows.iter().map(span).max().unwrap_or(1);
        let mut filter = Self { src, taps, left: Vec::with_capacity(dst), f32: Vec::new(), i16: Vec::new() };
        for row in &rows {
            let left = row[0].0.min(src - taps);
            let mut dense = vec![0.0; taps];
            for &(sample, weight) in row {
                dense[sample - left] = weight;
            }
            filter.left.push(left);
            filter.store(&dense);
        }
        filter
    }

    /// Rounds a row of weights to both forms. What one weight loses the next one is given, so that their sum stays.
    fn store(&mut self, weights: &[f64]) {
        let (mut f32_error, mut i16_error) = (0.0, 0.0);
        let (mut sum, mut greatest, mut greatest_at) = (0, 0, 0);
        let base = self.i16.len();
        for (at, &weight) in weights.iter().enumerate() {
            let wanted = weight - f32_error;
            self.f32.push(wanted as f32);
            f32_error = f64::from(wanted as f32) - wanted;

            let wanted = weight * f64::from(1 << 14) - i16_error;
            let stored = wanted.round_ties_even() as i16;
            self.i16.push(stored);
            i16_error = f64::from(stored) - wanted;
            if i32::from(stored).abs() > greatest {
                (greatest, greatest_at) = (i32::from(stored), at);
            }
            sum += i32::from(stored);
        }
        self.i16[base + greatest_at] += ((1 << 14) - sum) as i16;
    }

    /// The integer weights of output samples `made`, at most `N`, as multiply-add instructions want them: for each pair
    /// of the input samples that they span, both weights of each output sample, the first one in the lower half; zeros
    /// where its window does not reach.
    pub fn pairs<const N: usize>(&self, made: Range<usize>) -> Vec<[i32; N]> {
        let Range { start: first, end } = self.windows(made.clone());
        let mut pairs = vec![[0; N]; (end - first).div_ceil(2)];
        for (n, i) in made.enumerate() {
            for (tap, sample) in self.window(i).enumerate() {
                let weight = i32::from(self.i16[i * self.taps + tap] as u16);
                pairs[(sample - first) / 2][n] |= weight << (16 * ((sample - first) % 2));
            }
        }
        pairs
    }

    /// The input samples that output samples `made` weigh.
    pub fn windows(&self, made: Range<usize>) -> Range<usize> {
        self.window(made.start).start..self.window(made.end - 1).end
    }

    /// The input samples that output sample `i` weighs.
    pub fn window(&self, i: usize) -> Range<usize> {
        self.left[i]..self.left[i] + self.taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is asked, the weights sum to one, windows stay inside the picture and never step back.
        #[test]
        fn is_sound(src in 1usize..400, dst in 1usize..400, shift in -0.5f64..0.5, which in 0..4) {
            let kernel =
                [Kernel::BICUBIC, Kernel::Spline16, Kernel::Spline36, Kernel::LANCZOS][which as usize];
            let filter = Filter::new(kernel, src, dst, shift, src as f64);
            prop_assert_eq!(filter.left.len(), dst);
            for i in 0..dst {
                let at = i * filter.taps..(i + 1) * filter.taps;
                let sum: i32 = filter.i16[at.clone()].iter().map(|&c| i32::from(c)).sum();
                prop_assert_eq!(sum, 1 << 14);
                prop_assert!((filter.f32[at].iter().sum::<f32>() - 1.0).abs() < 1e-5);
                prop_assert!(filter.window(i).end <= src);
                prop_assert!(i == 0 || filter.left[i - 1] <= filter.left[i]);
            }
        }
    }

    #[test]
    fn equal_sizes_copy() {
        let filter = Filter::new(Kernel::LANCZOS, 9, 9, 0.0, 9.0);
        for i in 0..9 {
            for (tap, sample) in filter.window(i).enumerate() {
                assert_eq!(filter.i16[i * filter.taps + tap], if sample == i { 1 << 14 } else { 0 });
            }
        }
    }
}
