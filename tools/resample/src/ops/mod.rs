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
use std::{fmt, ops::Range, str::FromStr};

/// Samples behind each row, and what widths are rounded up to.
pub(crate) const PADDING: usize = 64;

/// Rows that a vertical resize makes at once. Their windows overlap: what one of them fetches the others need not.
pub(crate) const BATCH: usize = 4;

/// Samples in a row's slice for a picture of `width`.
pub(crate) fn stride(width: usize) -> usize {
    width.next_multiple_of(PADDING) + PADDING
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every machine has.
    Plain,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 with BW, DQ, VL and VNNI (Cascade Lake, Zen 4 and later).
    Avx512,
}

impl Isa {
    /// All of them that this machine can run, the best one last.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self::Avx2);
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
                {
                    all.push(Self::Avx512);
                }
            }
        }
        all
    }

    /// The best one of this machine.
    pub fn best() -> Self {
        Self::available().into_iter().next_back().unwrap_or(Self::Plain)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::available().into_iter().find(|isa| isa.to_string() == name).ok_or_else(|| {
            format!(
                "this machine has {}",
                Self::available().iter().map(Self::to_string).collect::<Vec<_>>().join(", ")
            )
        })
    }
}

/// Compiles a function of [`plain`] for each instruction set and picks one at run time.
macro_rules! for_each_isa {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),* $(,)?)) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        pub(crate) fn $name(isa: Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            mod compiled {
                use super::*;
                #[target_feature(enable = "avx2,fma")]
                pub(super) fn avx2($($arg: $type),*) {
                    plain::$name($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
                pub(super) fn avx512($($arg: $type),*) {
                    plain::$name($($arg),*)
                }
            }
            match isa {
                Isa::Plain => plain::$name($($arg),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
                Isa::Avx2 => unsafe { compiled::avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Isa::Avx512 => unsafe { compiled::avx512($($arg),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => plain::$name($($arg),*),
            }
        }
    };
}

for_each_isa! {
    /// Rows `made` (at most [`BATCH`]) of a vertical resize in float; `rows` are all those that their windows span.
    vertical_f32(filter: &Filter, rows: &[&[f32]], made: Range<usize>, out: &mut [&mut [f32]], width: usize)
}
for_each_isa! {
    /// `x << bits`.
    shift(row: &[u16], out: &mut [u16], width: usize, bits: u32)
}
for_each_isa! {
    /// `x * scale + offset`.
    to_float(row: &[u16], out: &mut [f32], width: usize, scale: f32, offset: f32)
}
for_each_isa! {
    /// Three channels to three.
    matrix(rows: [&[f32]; 3], out: [&mut [f32]; 3], width: usize, matrix: &[[f32; 3]; 3])
}
for_each_isa! {
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
for_each_isa! {
    /// Bytes to samples.
    unpack_u8(row: &[u8], out: &mut [u16])
}
for_each_isa! {
    /// Samples to bytes.
    pack_u8(row: &[u16], out: &mut [u8])
}
for_each_isa! {
    /// Little-endian words to samples.
    unpack_u16(row: &[u8], out: &mut [u16])
}
for_each_isa! {
    /// Samples to little-endian words.
    pack_u16(row: &[u16], out: &mut [u8])
}
for_each_isa! {
    /// Packed bytes to three rows, in the order of the pixel.
    unpack3_u8(row: &[u8], out: [&mut [u16]; 3])
}
for_each_isa! {
    /// Three rows to packed bytes.
    pack3_u8(rows: [&[u16]; 3], out: &mut [u8])
}
for_each_isa! {
    /// Floyd and Steinberg's error diffusion of one row.
    diffuse(row: &[f32], out: &mut [u16], scale: f32, offset: f32, above: &mut [f32], max: u16)
}

/// As [`vertical_f32`], in integers.
pub(crate) fn vertical_u16(
    isa: Isa,
    filter: &Filter,
    rows: &[&[u16]],
    made: Range<usize>,
    out: &mut [&mut [u16]],
    width: usize,
    max: u16,
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
        Isa::Avx512 => unsafe { avx512::vertical_u16(filter, rows, made, out, width, max) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::vertical_u16(filter, rows, made, out, width, max) },
        _ => plain::vertical_u16(filter, rows, made, out, width, max),
    }
}

/// Rows of a horizontal resize in integers: those of one, two or three channels together, so that the weights are
/// fetched once.
pub(crate) fn horizontal_u16<const N: usize>(
    isa: Isa,
    filter: &Filter,
    gather: &GatherU16,
    rows: [&[u16]; N],
    out: [&mut [u16]; N],
    max: u16,
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
        Isa::Avx512 if avx512::reaches_u16(gather) => unsafe {
            avx512::horizontal_u16(gather, filter.src, rows, out, max)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::horizontal_u16(gather, filter.src, rows, out, max) },
        _ => {
            for (row, out) in rows.into_iter().zip(out) {
                plain::horizontal_u16(filter, row, out, max);
            }
        }
    }
}

/// Rows of a horizontal resize in float.
pub(crate) fn horizontal_f32<const N: usize>(
    isa: Isa,
    filter: &Filter,
    gather: &GatherF32,
    rows: [&[f32]; N],
    out: [&mut [f32]; N],
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
        Isa::Avx512 if avx512::reaches_f32(gather) => unsafe {
            avx512::horizontal_f32(gather, filter.src, rows, out)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::horizontal_f32(gather, filter.src, rows, out) },
        _ => {
            for (row, out) in rows.into_iter().zip(out) {
                plain::horizontal_f32(filter, row, out);
            }
        }
    }
}

/// Packed little-endian words to three rows.
pub(crate) fn unpack3_u16(isa: Isa, row: &[u8], mut out: [&mut [u16]; 3]) {
    let done = match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
        Isa::Avx512 => unsafe { avx512::unpack3_u16(row, &mut out) },
        _ => 0,
    };
    plain::unpack3_u16(&row[6 * done..], out.map(|out| &mut out[done..]));
}

/// Three rows to packed little-endian words.
pub(crate) fn pack3_u16(isa: Isa, rows: [&[u16]; 3], out: &mut [u8]) {
    let done = match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
        Isa::Avx512 => unsafe { avx512::pack3_u16(rows, out) },
        _ => 0,
    };
    plain::pack3_u16(rows.map(|row| &row[done..]), &mut out[6 * done..]);
}

/// `x * scale + offset + threshold`, to the nearest integer from 0 to `max`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn quantize(
    isa: Isa,
    row: &[f32],
    out: &mut [u16],
    width: usize,
    scale: f32,
    offset: f32,
    thresholds: &[f32; 16],
    max: u16,
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
        Isa::Avx512 => unsafe { avx512::quantize(row, out, width, scale, offset, thresholds, max) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::quantize(row, out, width, scale, offset, thresholds, max) },
        _ => plain::quantize(row, out, width, scale, offset, thresholds, max),
    }
}
