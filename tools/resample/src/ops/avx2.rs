//! What LLVM does not vectorize well, in AVX2 with FMA.

use super::{BATCH, GatherF32, GatherU16, stride};
use crate::filter::Filter;
use std::{arch::x86_64::*, ops::Range};

/// As in [`super::avx512`].
const BIAS: i32 = (1 << 29) + (1 << 13);

#[target_feature(enable = "avx2,fma")]
pub fn vertical_u16(
    filter: &Filter,
    rows: &[&[u16]],
    made: Range<usize>,
    out: &mut [&mut [u16]],
    width: usize,
    max: u16,
) {
    let width = width.next_multiple_of(32);
    assert!(rows.iter().all(|row| row.len() >= width));
    assert!(out.len() == made.len() && out.iter().all(|out| out.len() >= width));
    let pairs = filter.pairs::<BATCH>(made);
    let sign = _mm256_set1_epi16(i16::MIN);
    let max = _mm256_set1_epi16(max as i16);
    let last = rows.len() - 1;
    for x in (0..width).step_by(32) {
        for (n, out) in out.iter_mut().enumerate() {
            let mut sums = [_mm256_set1_epi32(BIAS); 4];
            for (k, weights) in pairs.iter().enumerate().filter(|(_, weights)| weights[n] != 0) {
                let w = _mm256_set1_epi32(weights[n]);
                let (a, b) = (rows[2 * k].as_ptr(), rows[(2 * k + 1).min(last)].as_ptr());
                for half in 0..2 {
                    // SAFETY: `x + 32` samples of every row are there, as asserted.
                    let (a, b) = unsafe {
                        (
                            _mm256_loadu_si256(a.add(x + 16 * half).cast()),
                            _mm256_loadu_si256(b.add(x + 16 * half).cast()),
                        )
                    };
                    let (a, b) = (_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign));
                    let low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w);
                    let high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w);
                    sums[2 * half] = _mm256_add_epi32(sums[2 * half], low);
                    sums[2 * half + 1] = _mm256_add_epi32(sums[2 * half + 1], high);
                }
            }
            for half in 0..2 {
                let low = _mm256_srai_epi32::<14>(sums[2 * half]);
                let high = _mm256_srai_epi32::<14>(sums[2 * half + 1]);
                let both = _mm256_min_epu16(_mm256_packus_epi32(low, high), max);
                // SAFETY: `x + 32` samples of `out` are there, as asserted.
                unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(x + 16 * half).cast(), both) };
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub fn horizontal_u16<const N: usize>(
    gather: &GatherU16,
    src: usize,
    rows: [&[u16]; N],
    out: [&mut [u16]; N],
    max: u16,
) {
    assert!(rows.iter().all(|row| row.len() >= stride(src)));
    assert!(out.iter().all(|out| out.len() >= gather.base.len() * 8));
    assert!(gather.lanes == 8);
    let sign = _mm256_set1_epi16(i16::MIN);
    let max = _mm_set1_epi16(max as i16);
    for (g, &base) in gather.base.iter().enumerate() {
        // Pairs of words are fetched as one 32-bit lane each; both begin at the even entries.
        let places: [i32; 8] = std::array::from_fn(|i| i32::from(gather.index[g * 16 + 2 * i]));
        // SAFETY: `places` holds eight lanes.
        let places = unsafe { _mm256_loadu_si256(places.as_ptr().cast()) };
        let mut sums = [_mm256_set1_epi32(BIAS); N];
        for k in 0..gather.pairs {
            // SAFETY: `weights` has 16 entries for each pair of each group.
            let weights = unsafe {
                _mm256_loadu_si256(gather.weights.as_ptr().add((g * gather.pairs + k) * 16).cast())
            };
            for n in 0..N {
                // SAFETY: a window ends at or before `src`; the places of a lane's pair are inside its window, or one
                // sample behind it, which a padded row has.
                let samples = unsafe {
                    let at = rows[n].as_ptr().add(base + 2 * k);
                    _mm256_i32gather_epi32::<2>(at.cast(), places)
                };
                let product = _mm256_madd_epi16(_mm256_xor_si256(samples, sign), weights);
                sums[n] = _mm256_add_epi32(sums[n], product);
            }
        }
        for n in 0..N {
            let lanes = _mm256_srai_epi32::<14>(sums[n]);
            let words = _mm_packus_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
            // SAFETY: `out` holds eight samples for each group, as asserted.
            unsafe { _mm_storeu_si128(out[n].as_mut_ptr().add(g * 8).cast(), _mm_min_epu16(words, max)) };
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub fn horizontal_f32<const N: usize>(
    gather: &GatherF32,
    src: usize,
    rows: [&[f32]; N],
    out: [&mut [f32]; N],
) {
    assert!(rows.iter().all(|row| row.len() >= stride(src)));
    assert!(out.iter().all(|out| out.len() >= gather.base.len() * 8));
    assert!(gather.lanes == 8);
    for (g, &base) in gather.base.iter().enumerate() {
        // SAFETY: `index` has eight entries for each group and `weights` eight for each tap of each group.
        let index = unsafe { _mm256_loadu_si256(gather.index.as_ptr().add(g * 8).cast()) };
        let mut sums = [[_mm256_setzero_ps(); 2]; N];
        for tap in 0..gather.taps {
            // SAFETY: as above.
            let weights =
                unsafe { _mm256_loadu_ps(gather.weights.as_ptr().add((g * gather.taps + tap) * 8)) };
            for n in 0..N {
                // SAFETY: each lane fetches a sample of its own window, which ends at or before `src`.
                let samples = unsafe {
                    let at = rows[n].as_ptr().add(base + tap);
                    _mm256_i32gather_ps::<4>(at, index)
                };
                sums[n][tap % 2] = _mm256_fmadd_ps(weights, samples, sums[n][tap % 2]);
            }
        }
        for n in 0..N {
            let sum = if gather.taps > 1 { _mm256_add_ps(sums[n][0], sums[n][1]) } else { sums[n][0] };
            // SAFETY: `out` holds eight samples for each group, as asserted.
            unsafe { _mm256_storeu_ps(out[n].as_mut_ptr().add(g * 8), sum) };
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub fn quantize(
    row: &[f32],
    out: &mut [u16],
    width: usize,
    scale: f32,
    offset: f32,
    thresholds: &[f32; 16],
    max: u16,
) {
    let width = width.next_multiple_of(16);
    assert!(row.len() >= width && out.len() >= width);
    let (scale, offset) = (_mm256_set1_ps(scale), _mm256_set1_ps(offset));
    let max = _mm256_set1_ps(f32::from(max));
    for x in (0..width).step_by(16) {
        let eight = |n: usize| {
            // SAFETY: `row` holds 16 samples from `x` on, as asserted; there are 16 thresholds.
            let (sample, threshold) = unsafe {
                (_mm256_loadu_ps(row.as_ptr().add(x + n)), _mm256_loadu_ps(thresholds.as_ptr().add(n)))
            };
            let value = _mm256_add_ps(_mm256_fmadd_ps(scale, sample, offset), threshold);
            _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(value, _mm256_setzero_ps()), max))
        };
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(eight(0), eight(8)));
        // SAFETY: `out` holds 16 samples from `x` on, as asserted.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(x).cast(), words) };
    }
}
