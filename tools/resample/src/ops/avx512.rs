//! What LLVM does not vectorize well, in AVX-512 (F, BW, DQ, VL and VNNI).

use super::{GatherF32, GatherU16, stride};
use crate::filter::Filter;
use std::{arch::x86_64::*, ops::Range};

/// 2^15 and the rounding of [`super::plain`]'s `descale`, both times 2^14: samples enter the signed multiply-add less
/// 2^15, and weights sum to 2^14.
const BIAS: i32 = (1 << 29) + (1 << 13);

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn vertical_u16(
    filter: &Filter,
    rows: &[&[u16]],
    made: Range<usize>,
    out: &mut [&mut [u16]],
    width: usize,
    max: u16,
) {
    match out {
        [a, b, c, d] => vertical_batch_u16(filter, rows, made, [a, b, c, d], width, max),
        out => {
            for (n, (y, out)) in made.zip(out).enumerate() {
                let rows = &rows[filter.left[y] - filter.left[y - n]..];
                vertical_batch_u16(filter, &rows[..filter.taps], y..y + 1, [out], width, max);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn vertical_batch_u16<const N: usize>(
    filter: &Filter,
    rows: &[&[u16]],
    made: Range<usize>,
    out: [&mut [u16]; N],
    width: usize,
    max: u16,
) {
    let width = width.next_multiple_of(64);
    assert!(rows.iter().all(|row| row.len() >= width));
    assert!(made.len() == N && out.iter().all(|out| out.len() >= width));
    let pairs = filter.pairs::<N>(made);
    let sign = _mm512_set1_epi16(i16::MIN);
    let max = _mm512_set1_epi16(max as i16);
    let last = rows.len() - 1;
    for x in (0..width).step_by(64) {
        let mut sums = [[_mm512_set1_epi32(BIAS); 4]; N];
        for (k, weights) in pairs.iter().enumerate() {
            let (a, b) = (rows[2 * k], rows[(2 * k + 1).min(last)]);
            // SAFETY: `x + 64` samples of every row are there, as asserted.
            let load = |row: &[u16], half: usize| unsafe {
                _mm512_loadu_si512(row.as_ptr().add(x + 32 * half).cast())
            };
            let (a0, b0) = (_mm512_xor_si512(load(a, 0), sign), _mm512_xor_si512(load(b, 0), sign));
            let (a1, b1) = (_mm512_xor_si512(load(a, 1), sign), _mm512_xor_si512(load(b, 1), sign));
            let samples = [
                _mm512_unpacklo_epi16(a0, b0),
                _mm512_unpackhi_epi16(a0, b0),
                _mm512_unpacklo_epi16(a1, b1),
                _mm512_unpackhi_epi16(a1, b1),
            ];
            for n in 0..N {
                if weights[n] != 0 {
                    let w = _mm512_set1_epi32(weights[n]);
                    for i in 0..4 {
                        sums[n][i] = _mm512_dpwssd_epi32(sums[n][i], samples[i], w);
                    }
                }
            }
        }
        for n in 0..N {
            for half in 0..2 {
                let low = _mm512_srai_epi32::<14>(sums[n][2 * half]);
                let high = _mm512_srai_epi32::<14>(sums[n][2 * half + 1]);
                let both = _mm512_min_epu16(_mm512_packus_epi32(low, high), max);
                // SAFETY: `x + 64` samples of every row of `out` are there, as asserted.
                unsafe { _mm512_storeu_si512(out[n].as_mut_ptr().add(x + 32 * half).cast(), both) };
            }
        }
    }
}

/// Can [`horizontal_u16`] fetch a group's samples?
pub fn reaches_u16(gather: &GatherU16) -> bool {
    gather.reach < 64
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn horizontal_u16<const N: usize>(
    gather: &GatherU16,
    src: usize,
    rows: [&[u16]; N],
    out: [&mut [u16]; N],
    max: u16,
) {
    assert!(rows.iter().all(|row| row.len() >= stride(src)));
    assert!(out.iter().all(|out| out.len() >= gather.base.len() * 16));
    assert!(gather.lanes == 16 && reaches_u16(gather));
    let sign = _mm512_set1_epi16(i16::MIN);
    let max = _mm256_set1_epi16(max as i16);
    // Does one vector hold all that a group weighs? Or all that a pair of its taps does?
    let whole = gather.reach + 2 * (gather.pairs - 1) < 32;
    let near = gather.reach < 32;
    for (g, &base) in gather.base.iter().enumerate() {
        // SAFETY: `index` has 32 entries for each group and `weights` 32 for each pair of each group.
        let index = unsafe { _mm512_loadu_si512(gather.index.as_ptr().add(g * 32).cast()) };
        // SAFETY: a window ends at or before `src`, so that the last pair begins there at the latest, and 64 samples
        // follow in a padded row.
        let load = |row: &[u16], at: usize| unsafe { _mm512_loadu_si512(row.as_ptr().add(base + at).cast()) };
        let all = rows.map(|row| _mm512_xor_si512(load(row, 0), sign));
        let mut sums = [_mm512_set1_epi32(BIAS); N];
        for k in 0..gather.pairs {
            // SAFETY: as above.
            let weights = unsafe {
                _mm512_loadu_si512(gather.weights.as_ptr().add((g * gather.pairs + k) * 32).cast())
            };
            let index_in_all = _mm512_add_epi16(index, _mm512_set1_epi16(2 * k as i16));
            for n in 0..N {
                let samples = if whole {
                    _mm512_permutexvar_epi16(index_in_all, all[n])
                } else if near {
                    _mm512_xor_si512(_mm512_permutexvar_epi16(index, load(rows[n], 2 * k)), sign)
                } else {
                    let (low, high) = (load(rows[n], 2 * k), load(rows[n], 2 * k + 32));
                    _mm512_xor_si512(_mm512_permutex2var_epi16(low, index, high), sign)
                };
                sums[n] = _mm512_dpwssd_epi32(sums[n], samples, weights);
            }
        }
        for n in 0..N {
            let words = _mm512_cvtusepi32_epi16(_mm512_max_epi32(
                _mm512_srai_epi32::<14>(sums[n]),
                _mm512_setzero_si512(),
            ));
            // SAFETY: `out` holds 16 samples for each group, as asserted.
            unsafe {
                _mm256_storeu_si256(out[n].as_mut_ptr().add(g * 16).cast(), _mm256_min_epu16(words, max))
            };
        }
    }
}

/// Can [`horizontal_f32`] fetch a group's samples?
pub fn reaches_f32(gather: &GatherF32) -> bool {
    gather.reach < 32
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn horizontal_f32<const N: usize>(
    gather: &GatherF32,
    src: usize,
    rows: [&[f32]; N],
    out: [&mut [f32]; N],
) {
    assert!(rows.iter().all(|row| row.len() >= stride(src)));
    assert!(out.iter().all(|out| out.len() >= gather.base.len() * 16));
    assert!(gather.lanes == 16 && reaches_f32(gather));
    let near = gather.reach < 16;
    for (g, &base) in gather.base.iter().enumerate() {
        // SAFETY: `index` has 16 entries for each group and `weights` 16 for each tap of each group.
        let index = unsafe { _mm512_loadu_si512(gather.index.as_ptr().add(g * 16).cast()) };
        let mut sums = [[_mm512_setzero_ps(); 2]; N];
        for tap in 0..gather.taps {
            // SAFETY: as above.
            let weights =
                unsafe { _mm512_loadu_ps(gather.weights.as_ptr().add((g * gather.taps + tap) * 16)) };
            for n in 0..N {
                // SAFETY: a window ends at or before `src`, so that its last tap begins before it, and 64 samples follow
                // in a padded row.
                let samples = unsafe {
                    let at = rows[n].as_ptr().add(base + tap);
                    let low = _mm512_loadu_ps(at);
                    if near {
                        _mm512_permutexvar_ps(index, low)
                    } else {
                        _mm512_permutex2var_ps(low, index, _mm512_loadu_ps(at.add(16)))
                    }
                };
                sums[n][tap % 2] = _mm512_fmadd_ps(weights, samples, sums[n][tap % 2]);
            }
        }
        for n in 0..N {
            let sum = if gather.taps > 1 { _mm512_add_ps(sums[n][0], sums[n][1]) } else { sums[n][0] };
            // SAFETY: `out` holds 16 samples for each group, as asserted.
            unsafe { _mm512_storeu_ps(out[n].as_mut_ptr().add(g * 16), sum) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
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
    let (scale, offset) = (_mm512_set1_ps(scale), _mm512_set1_ps(offset));
    let max = _mm512_set1_ps(f32::from(max));
    // SAFETY: there are 16 thresholds.
    let thresholds = unsafe { _mm512_loadu_ps(thresholds.as_ptr()) };
    for x in (0..width).step_by(16) {
        // SAFETY: `row` and `out` hold 16 samples from `x` on, as asserted.
        unsafe {
            let value = _mm512_fmadd_ps(scale, _mm512_loadu_ps(row.as_ptr().add(x)), offset);
            let value = _mm512_max_ps(_mm512_add_ps(value, thresholds), _mm512_setzero_ps());
            // Rounds to the nearest, ties to even: the mode that every process starts in.
            let words = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_min_ps(value, max)));
            _mm256_storeu_si256(out.as_mut_ptr().add(x).cast(), words);
        }
    }
}

/// For each of three rows, which words of the three vectors that hold 32 packed pixels are its own: from the first two
/// (the places of the third are filled with what does not matter), then from that and the third.
const UNPACK: [[[u16; 32]; 2]; 3] = {
    let mut all = [[[0; 32]; 2]; 3];
    let mut row = 0;
    while row < 3 {
        let mut x = 0;
        while x < 32 {
            let place = 3 * x + row;
            if place < 64 {
                all[row][0][x] = place as u16;
                all[row][1][x] = x as u16;
            } else {
                all[row][1][x] = (place - 64 + 32) as u16;
            }
            x += 1;
        }
        row += 1;
    }
    all
};

/// Packed words to three rows. Returns how many pixels are done: those that do not fill a vector are not.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn unpack3_u16(row: &[u8], out: &mut [&mut [u16]; 3]) -> usize {
    let blocks = row.len() / 192;
    assert!(out.iter().all(|out| out.len() >= blocks * 32));
    let load = |at: *const u16| {
        // SAFETY: the tables hold 32 words.
        unsafe { _mm512_loadu_si512(at.cast()) }
    };
    for block in 0..blocks {
        let at = row[block * 192..(block + 1) * 192].as_ptr();
        // SAFETY: the block is 192 bytes long.
        let (a, b, c) = unsafe {
            (
                _mm512_loadu_si512(at.cast()),
                _mm512_loadu_si512(at.add(64).cast()),
                _mm512_loadu_si512(at.add(128).cast()),
            )
        };
        for (tables, out) in UNPACK.iter().zip(out.iter_mut()) {
            let two = _mm512_permutex2var_epi16(a, load(tables[0].as_ptr()), b);
            let three = _mm512_permutex2var_epi16(two, load(tables[1].as_ptr()), c);
            // SAFETY: `out` holds 32 samples for each block, as asserted.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(block * 32).cast(), three) };
        }
    }
    blocks * 32
}

/// For each of the three vectors of 32 packed pixels, which words of the three rows it holds: from the first two rows,
/// then from that and the third.
const PACK: [[[u16; 32]; 2]; 3] = {
    let mut all = [[[0; 32]; 2]; 3];
    let mut vector = 0;
    while vector < 3 {
        let mut word = 0;
        while word < 32 {
            let place = 32 * vector + word;
            let (x, row) = (place / 3, place % 3);
            if row < 2 {
                all[vector][0][word] = (32 * row + x) as u16;
                all[vector][1][word] = word as u16;
            } else {
                all[vector][1][word] = (32 + x) as u16;
            }
            word += 1;
        }
        vector += 1;
    }
    all
};

/// Three rows to packed words. Returns how many pixels are done: those that do not fill a vector are not.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn pack3_u16(rows: [&[u16]; 3], out: &mut [u8]) -> usize {
    let blocks = out.len() / 192;
    assert!(rows.iter().all(|row| row.len() >= blocks * 32));
    let load = |at: *const u16| {
        // SAFETY: the tables hold 32 words.
        unsafe { _mm512_loadu_si512(at.cast()) }
    };
    for block in 0..blocks {
        let [a, b, c] = rows;
        // SAFETY: each row holds 32 samples for each block, as asserted.
        let (a, b, c) = unsafe {
            (
                _mm512_loadu_si512(a.as_ptr().add(block * 32).cast()),
                _mm512_loadu_si512(b.as_ptr().add(block * 32).cast()),
                _mm512_loadu_si512(c.as_ptr().add(block * 32).cast()),
            )
        };
        for (vector, tables) in PACK.iter().enumerate() {
            let two = _mm512_permutex2var_epi16(a, load(tables[0].as_ptr()), b);
            let three = _mm512_permutex2var_epi16(two, load(tables[1].as_ptr()), c);
            let out = &mut out[block * 192 + vector * 64..][..64];
            // SAFETY: the slice is 64 bytes long.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), three) };
        }
    }
    blocks * 32
}
