//! Arithmetic on rows.
//!
//! [`plain`] is the specification. What LLVM vectorizes well from it is compiled again for AVX2 and AVX-512; what it
//! does not is written for them in [`avx2`] and [`avx512`]. All give the same bits: integer arithmetic is exact, and
//! every float result is made by the same operations (fused multiply-adds among them) in the same order.
//!
//! Rows are padded: every slice is at least [`PADDING`] samples longer than the picture is wide, so that kernels may
//! read and write whole vectors beyond its edge. What they leave there has no meaning.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod gather;
mod plain;

pub(crate) use gather::{GatherF32, GatherU16};

use crate::filter::Filter;
use simd::Level;
use std::ops::Range;

/// Samples behind each row, and what widths are rounded up to.
pub(crate) const PADDING: usize = 64;

/// Rows that a vertical resize makes at once: their windows overlap, so that a row is fetched once for all of them.
pub(crate) const BATCH: usize = 4;

/// Samples in a row's slice for a picture of `width`.
pub(crate) fn stride(width: usize) -> usize {
    width.next_multiple_of(PADDING) + PADDING
}

/// Compiles a function of [`plain`] for the level that it is given first.
macro_rules! vectorized {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),* $(,)?)) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        pub(crate) fn $name(level: Level, $($arg: $type),*) {
            level.vectorize(#[inline(always)] move || plain::$name($($arg),*));
        }
    };
}

vectorized! {
    /// Rows `made` (at most [`BATCH`]) of a vertical resize in float; `rows` are all those that their windows span.
    vertical_f32(filter: &Filter, rows: &[&[f32]], made: Range<usize>, out: &mut [&mut [f32]], width: usize)
}
vectorized! {
    /// `x << bits`.
    shift(row: &[u16], out: &mut [u16], width: usize, bits: u32)
}
vectorized! {
    /// `x * scale + offset`.
    to_float(row: &[u16], out: &mut [f32], width: usize, scale: f32, offset: f32)
}
vectorized! {
    /// Three channels to three.
    matrix(rows: [&[f32]; 3], out: [&mut [f32]; 3], width: usize, matrix: &[[f32; 3]; 3])
}
vectorized! {
    /// [`to_float`] of three channels, and [`matrix`] of these.
    matrix_u16(
        rows: [&[u16]; 3],
        out: [&mut [f32]; 3],
        width: usize,
        matrix: &[[f32; 3]; 3],
        scale: f32,
        offset: f32,
    )
}
vectorized! {
    /// Bytes to samples.
    unpack_u8(row: &[u8], out: &mut [u16])
}
vectorized! {
    /// Samples to bytes.
    pack_u8(row: &[u16], out: &mut [u8])
}
vectorized! {
    /// Little-endian words to samples.
    unpack_u16(row: &[u8], out: &mut [u16])
}
vectorized! {
    /// Samples to little-endian words.
    pack_u16(row: &[u16], out: &mut [u8])
}
vectorized! {
    /// Packed bytes to three rows, in the order of the pixel.
    unpack3_u8(row: &[u8], out: [&mut [u16]; 3])
}
vectorized! {
    /// Three rows to packed bytes.
    pack3_u8(rows: [&[u16]; 3], out: &mut [u8])
}
vectorized! {
    /// Floyd and Steinberg's error diffusion of one row.
    diffuse(row: &[f32], out: &mut [u16], scale: f32, offset: f32, above: &mut [f32], max: u16)
}

/// As [`vertical_f32`], in integers.
pub(crate) fn vertical_u16(
    level: Level,
    filter: &Filter,
    rows: &[&[u16]],
    made: Range<usize>,
    out: &mut [&mut [u16]],
    width: usize,
    max: u16,
) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level proves the features.
        Level::Avx512(_) => unsafe { avx512::vertical_u16(filter, rows, made, out, width, max) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2(_) => unsafe { avx2::vertical_u16(filter, rows, made, out, width, max) },
        _ => plain::vertical_u16(filter, rows, made, out, width, max),
    }
}

/// Rows of a horizontal resize in integers: those of one, two or three channels together, so that the weights are
/// fetched once.
pub(crate) fn horizontal_u16<const N: usize>(
    level: Level,
    filter: &Filter,
    gather: &GatherU16,
    rows: [&[u16]; N],
    out: [&mut [u16]; N],
    max: u16,
) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level proves the features.
        Level::Avx512(_) if avx512::reaches_u16(gather) => unsafe {
            avx512::horizontal_u16(gather, filter.src, rows, out, max)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2(_) => unsafe { avx2::horizontal_u16(gather, filter.src, rows, out, max) },
        _ => {
            for (row, out) in rows.into_iter().zip(out) {
                plain::horizontal_u16(filter, row, out, max);
            }
        }
    }
}

/// Rows of a horizontal resize in float.
pub(crate) fn horizontal_f32<const N: usize>(
    level: Level,
    filter: &Filter,
    gather: &GatherF32,
    rows: [&[f32]; N],
    out: [&mut [f32]; N],
) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level proves the features.
        Level::Avx512(_) if avx512::reaches_f32(gather) => unsafe {
            avx512::horizontal_f32(gather, filter.src, rows, out)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2(_) => unsafe { avx2::horizontal_f32(gather, filter.src, rows, out) },
        _ => {
            for (row, out) in rows.into_iter().zip(out) {
                plain::horizontal_f32(filter, row, out);
            }
        }
    }
}

/// Packed little-endian words to three rows.
pub(crate) fn unpack3_u16(level: Level, row: &[u8], mut out: [&mut [u16]; 3]) {
    let done = match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level proves the features.
        Level::Avx512(_) => unsafe { avx512::unpack3_u16(row, &mut out) },
        _ => 0,
    };
    plain::unpack3_u16(&row[6 * done..], out.map(|out| &mut out[done..]));
}

/// Three rows to packed little-endian words.
pub(crate) fn pack3_u16(level: Level, rows: [&[u16]; 3], out: &mut [u8]) {
    let done = match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level proves the features.
        Level::Avx512(_) => unsafe { avx512::pack3_u16(rows, out) },
        _ => 0,
    };
    plain::pack3_u16(rows.map(|row| &row[done..]), &mut out[6 * done..]);
}

/// `x * scale + offset + threshold`, to the nearest integer from 0 to `max`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn quantize(
    level: Level,
    row: &[f32],
    out: &mut [u16],
    width: usize,
    scale: f32,
    offset: f32,
    thresholds: &[f32; 16],
    max: u16,
) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level proves the features.
        Level::Avx512(_) => unsafe { avx512::quantize(row, out, width, scale, offset, thresholds, max) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2(_) => unsafe { avx2::quantize(row, out, width, scale, offset, thresholds, max) },
        _ => plain::quantize(row, out, width, scale, offset, thresholds, max),
    }
}
