//! The specification: every operation in plain Rust, sample by sample.

use crate::filter::Filter;
use std::ops::Range;

/// Weighted sums are 2^14 too large; halves go up.
#[inline(always)]
fn descale(sum: i32, max: u16) -> u16 {
    ((sum + (1 << 13)) >> 14).clamp(0, i32::from(max)) as u16
}

#[inline(always)]
pub fn vertical_u16(
    filter: &Filter,
    rows: &[&[u16]],
    made: Range<usize>,
    out: &mut [&mut [u16]],
    width: usize,
    max: u16,
) {
    for (window, weights, out) in windows(filter, &filter.i16, rows, made, out) {
        for (x, out) in out[..width].iter_mut().enumerate() {
            let sum = window.iter().zip(weights).map(|(row, &w)| i32::from(row[x]) * i32::from(w)).sum();
            *out = descale(sum, max);
        }
    }
}

/// zimg adds eight rows at a time to what it has so far: the even ones to one sum, the odd ones to another.
#[inline(always)]
pub fn vertical_f32(
    filter: &Filter,
    rows: &[&[f32]],
    made: Range<usize>,
    out: &mut [&mut [f32]],
    width: usize,
) {
    // Whole vectors, and few enough of them that the rows they are taken from stay in the first-level cache.
    let width = width.next_multiple_of(16);
    for start in (0..width).step_by(256) {
        let columns = start..width.min(start + 256);
        for (window, weights, out) in windows(filter, &filter.f32, rows, made.clone(), out) {
            for (at, (rows, weights)) in window.chunks(8).zip(weights.chunks(8)).enumerate() {
                let (columns, more) = (columns.clone(), at > 0);
                // The number of rows is a constant in each, so that the sums stay in registers.
                match rows.len() {
                    1 => add_rows::<1>(rows, weights, out, columns, more),
                    2 => add_rows::<2>(rows, weights, out, columns, more),
                    3 => add_rows::<3>(rows, weights, out, columns, more),
                    4 => add_rows::<4>(rows, weights, out, columns, more),
                    5 => add_rows::<5>(rows, weights, out, columns, more),
                    6 => add_rows::<6>(rows, weights, out, columns, more),
                    7 => add_rows::<7>(rows, weights, out, columns, more),
                    _ => add_rows::<8>(rows, weights, out, columns, more),
                }
            }
        }
    }
}

/// For each of the output rows `made`, those of `rows` that it weighs, their weights, and where it goes. `rows` begin
/// with the first one's window.
#[inline(always)]
fn windows<'a, T, W>(
    filter: &'a Filter,
    weights: &'a [W],
    rows: &'a [&'a [T]],
    made: Range<usize>,
    out: &'a mut [&mut [T]],
) -> impl Iterator<Item = (&'a [&'a [T]], &'a [W], &'a mut [T])> {
    let (first, taps) = (filter.left[made.start], filter.taps);
    made.zip(out).map(move |(y, out)| {
        let window = &rows[filter.left[y] - first..][..taps];
        (window, &weights[y * taps..(y + 1) * taps], &mut **out)
    })
}

#[inline(always)]
fn add_rows<const N: usize>(
    rows: &[&[f32]],
    weights: &[f32],
    out: &mut [f32],
    columns: Range<usize>,
    more: bool,
) {
    let rows: [&[f32]; N] = std::array::from_fn(|n| &rows[n][columns.clone()]);
    let weights: [f32; N] = std::array::from_fn(|n| weights[n]);
    for (x, out) in out[columns].iter_mut().enumerate() {
        let mut sums = [if more { *out } else { 0.0 }, 0.0];
        for n in 0..N {
            sums[n % 2] = weights[n].mul_add(rows[n][x], sums[n % 2]);
        }
        *out = if N > 1 { sums[0] + sums[1] } else { sums[0] };
    }
}

#[inline(always)]
pub fn horizontal_u16(filter: &Filter, row: &[u16], out: &mut [u16], max: u16) {
    for (i, weights) in filter.i16.chunks_exact(filter.taps).enumerate() {
        let samples = &row[filter.window(i)];
        let sum = samples.iter().zip(weights).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
        out[i] = descale(sum, max);
    }
}

#[inline(always)]
pub fn horizontal_f32(filter: &Filter, row: &[f32], out: &mut [f32]) {
    for (i, weights) in filter.f32.chunks_exact(filter.taps).enumerate() {
        let samples = &row[filter.window(i)];
        let (mut even, mut odd) = (0.0f32, 0.0f32);
        for (tap, (&x, &w)) in samples.iter().zip(weights).enumerate() {
            if tap % 2 == 0 {
                even = w.mul_add(x, even);
            } else {
                odd = w.mul_add(x, odd);
            }
        }
        out[i] = if weights.len() > 1 { even + odd } else { even };
    }
}

#[inline(always)]
pub fn shift(row: &[u16], out: &mut [u16], width: usize, bits: u32) {
    for (out, &x) in out[..width].iter_mut().zip(row) {
        *out = x << bits;
    }
}

#[inline(always)]
pub fn to_float(row: &[u16], out: &mut [f32], width: usize, scale: f32, offset: f32) {
    for (out, &x) in out[..width].iter_mut().zip(row) {
        *out = scale.mul_add(f32::from(x), offset);
    }
}

/// To the nearest integer, ties to even, between 0 and `max`.
#[inline(always)]
fn round(x: f32, max: u16) -> u16 {
    let x = if x > 0.0 { x } else { 0.0 };
    let max = f32::from(max);
    let x = if x < max { x } else { max };
    // Beside 2^23 a float has no room for a fraction: the addition rounds, ties to even, and the integer is left in the
    // lowest bits.
    (x + 8_388_608.0).to_bits() as u16
}

#[inline(always)]
pub fn quantize(
    row: &[f32],
    out: &mut [u16],
    width: usize,
    scale: f32,
    offset: f32,
    thresholds: &[f32; 16],
    max: u16,
) {
    for (out, row) in out[..width.next_multiple_of(16)].chunks_exact_mut(16).zip(row.chunks_exact(16)) {
        for x in 0..16 {
            out[x] = round(scale.mul_add(row[x], offset) + thresholds[x], max);
        }
    }
}

/// Floyd and Steinberg. `above` holds the errors of the row above and gets those of this one; it has one entry more on
/// each side than the row has samples.
#[inline(always)]
pub fn diffuse(row: &[f32], out: &mut [u16], scale: f32, offset: f32, above: &mut [f32], max: u16) {
    let mut left = 0.0f32;
    // The error above to the left, saved from being overwritten.
    let mut corner = above[0];
    for (x, (out, &sample)) in out.iter_mut().zip(row).enumerate() {
        let ahead = (3.0f32 / 16.0).mul_add(above[x + 2], left * (7.0 / 16.0));
        let behind = (1.0f32 / 16.0).mul_add(corner, above[x + 1] * (5.0 / 16.0));
        let wanted = (scale.mul_add(sample, offset) + (ahead + behind)).max(0.0).min(f32::from(max));
        *out = wanted.round_ties_even() as u16;
        left = wanted - f32::from(*out);
        corner = std::mem::replace(&mut above[x + 1], left);
    }
}

/// The products of a row of the matrix with three samples, summed from the first on.
#[inline(always)]
fn mix(m: [f32; 3], [a, b, c]: [f32; 3]) -> f32 {
    m[2].mul_add(c, m[1].mul_add(b, m[0] * a))
}

#[inline(always)]
pub fn matrix(rows: [&[f32]; 3], out: [&mut [f32]; 3], width: usize, matrix: &[[f32; 3]; 3]) {
    let [a, b, c] = rows.map(|row| &row[..width]);
    let [x, y, z] = out.map(|row| &mut row[..width]);
    for n in 0..width {
        let samples = [a[n], b[n], c[n]];
        (x[n], y[n], z[n]) = (mix(matrix[0], samples), mix(matrix[1], samples), mix(matrix[2], samples));
    }
}

#[inline(always)]
pub fn matrix_u16(
    rows: [&[u16]; 3],
    out: [&mut [f32]; 3],
    width: usize,
    matrix: &[[f32; 3]; 3],
    scale: f32,
    offset: f32,
) {
    let width = width.next_multiple_of(16);
    let [a, b, c] = rows.map(|row| &row[..width]);
    let [x, y, z] = out.map(|row| &mut row[..width]);
    for n in 0..width {
        let samples = [a[n], b[n], c[n]].map(|sample| scale.mul_add(f32::from(sample), offset));
        (x[n], y[n], z[n]) = (mix(matrix[0], samples), mix(matrix[1], samples), mix(matrix[2], samples));
    }
}

#[inline(always)]
pub fn unpack_u8(row: &[u8], out: &mut [u16]) {
    for (out, &x) in out.iter_mut().zip(row) {
        *out = x.into();
    }
}

#[inline(always)]
pub fn pack_u8(row: &[u16], out: &mut [u8]) {
    for (out, &x) in out.iter_mut().zip(row) {
        *out = x as u8;
    }
}

#[inline(always)]
pub fn unpack_u16(row: &[u8], out: &mut [u16]) {
    for (out, x) in out.iter_mut().zip(row.as_chunks().0) {
        *out = u16::from_le_bytes(*x);
    }
}

#[inline(always)]
pub fn pack_u16(row: &[u16], out: &mut [u8]) {
    for (out, &x) in out.as_chunks_mut().0.iter_mut().zip(row) {
        *out = x.to_le_bytes();
    }
}

#[inline(always)]
pub fn unpack3_u8(row: &[u8], out: [&mut [u16]; 3]) {
    let [a, b, c] = out;
    for (((pixel, a), b), c) in row.as_chunks::<3>().0.iter().zip(a).zip(b).zip(c) {
        (*a, *b, *c) = (pixel[0].into(), pixel[1].into(), pixel[2].into());
    }
}

#[inline(always)]
pub fn pack3_u8(rows: [&[u16]; 3], out: &mut [u8]) {
    let [a, b, c] = rows;
    for (((pixel, &a), &b), &c) in out.as_chunks_mut::<3>().0.iter_mut().zip(a).zip(b).zip(c) {
        *pixel = [a as u8, b as u8, c as u8];
    }
}

#[inline(always)]
pub fn unpack3_u16(row: &[u8], out: [&mut [u16]; 3]) {
    let [a, b, c] = out;
    for (((pixel, a), b), c) in row.as_chunks::<6>().0.iter().zip(a).zip(b).zip(c) {
        let &[a0, a1, b0, b1, c0, c1] = pixel;
        *a = u16::from_le_bytes([a0, a1]);
        *b = u16::from_le_bytes([b0, b1]);
        *c = u16::from_le_bytes([c0, c1]);
    }
}

#[inline(always)]
pub fn pack3_u16(rows: [&[u16]; 3], out: &mut [u8]) {
    let [a, b, c] = rows;
    for (((pixel, &a), &b), &c) in out.as_chunks_mut::<6>().0.iter_mut().zip(a).zip(b).zip(c) {
        let ([a0, a1], [b0, b1], [c0, c1]) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
        *pixel = [a0, a1, b0, b1, c0, c1];
    }
}
