//! A horizontal filter as vectors see it.
//!
//! Output samples are made in groups, one per lane. The samples that tap `t` weighs for a whole group begin at one
//! address, `base + t`, and always lie in the same places behind it: one load (or two) and one permutation by `index`
//! fetch them all.

use crate::filter::Filter;
use simd::Level;

/// Groups of integer samples: taps are taken two by two, as the multiply-add instructions do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatherU16 {
    /// Output samples of a group: 32-bit lanes of a vector.
    pub lanes: usize,
    /// The farthest that `index` reaches.
    pub reach: usize,
    /// Pairs of taps.
    pub pairs: usize,
    /// For each group, the first sample of its first pair.
    pub base: Vec<usize>,
    /// For each group, `2 * lanes` places behind the base: both samples of each lane's pair.
    pub index: Vec<u16>,
    /// For each group and pair, `2 * lanes` weights.
    pub weights: Vec<i16>,
}

/// Groups of float samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatherF32 {
    /// Output samples of a group.
    pub lanes: usize,
    /// The farthest that `index` reaches.
    pub reach: usize,
    /// Taps of a sample.
    pub taps: usize,
    /// For each group, the first sample of its first tap.
    pub base: Vec<usize>,
    /// For each group, `lanes` places behind the base.
    pub index: Vec<u32>,
    /// For each group and tap, `lanes` weights.
    pub weights: Vec<f32>,
}

/// 32-bit lanes of a vector.
fn lanes(level: Level) -> usize {
    match level {
        Level::Portable(_) => 1,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => 8,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => 16,
    }
}

/// The output samples of each group; the last one is filled up by repeating its last sample.
fn groups(filter: &Filter, lanes: usize) -> impl Iterator<Item = Vec<usize>> {
    let last = filter.left.len() - 1;
    (0..filter.left.len())
        .step_by(lanes)
        .map(move |first| (first..first + lanes).map(|i| i.min(last)).collect())
}

impl GatherU16 {
    pub fn new(filter: &Filter, level: Level) -> Self {
        let lanes = lanes(level);
        let pairs = filter.taps.div_ceil(2);
        let mut gather = Self { lanes, reach: 0, pairs, base: vec![], index: vec![], weights: vec![] };
        for group in groups(filter, lanes) {
            let base = filter.left[group[0]];
            gather.base.push(base);
            for &i in &group {
                let place = filter.left[i] - base;
                gather.index.extend([place as u16, place as u16 + 1]);
                gather.reach = gather.reach.max(place + 1);
            }
            for pair in 0..pairs {
                for &i in &group {
                    let weight =
                        |tap: usize| if tap < filter.taps { filter.i16[i * filter.taps + tap] } else { 0 };
                    gather.weights.extend([weight(2 * pair), weight(2 * pair + 1)]);
                }
            }
        }
        gather
    }
}

impl GatherF32 {
    pub fn new(filter: &Filter, level: Level) -> Self {
        let lanes = lanes(level);
        let taps = filter.taps;
        let mut gather = Self { lanes, reach: 0, taps, base: vec![], index: vec![], weights: vec![] };
        for group in groups(filter, lanes) {
            let base = filter.left[group[0]];
            gather.base.push(base);
            for &i in &group {
                let place = filter.left[i] - base;
                gather.index.push(place as u32);
                gather.reach = gather.reach.max(place);
            }
            for tap in 0..taps {
                gather.weights.extend(group.iter().map(|&i| filter.f32[i * taps + tap]));
            }
        }
        gather
    }
}
