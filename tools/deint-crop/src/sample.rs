//! Loops over the samples of a row, once for each sample size and instruction set.

/// Samples of one or two bytes.
pub(crate) trait Sample {
    /// Bytes of one.
    const BYTES: usize;

    /// Sample `x` of a row.
    fn get(row: &[u8], x: usize) -> i32;

    /// Stores sample `x` of a row.
    fn put(row: &mut [u8], x: usize, value: i32);
}

/// One byte.
pub(crate) struct Narrow;

impl Sample for Narrow {
    const BYTES: usize = 1;

    #[inline(always)]
    fn get(row: &[u8], x: usize) -> i32 {
        row[x].into()
    }

    #[inline(always)]
    fn put(row: &mut [u8], x: usize, value: i32) {
        row[x] = value as u8;
    }
}

/// Two bytes, little-endian.
pub(crate) struct Wide;

impl Sample for Wide {
    const BYTES: usize = 2;

    #[inline(always)]
    fn get(row: &[u8], x: usize) -> i32 {
        u16::from_le_bytes([row[2 * x], row[2 * x + 1]]).into()
    }

    #[inline(always)]
    fn put(row: &mut [u8], x: usize, value: i32) {
        [row[2 * x], row[2 * x + 1]] = (value as u16).to_le_bytes();
    }
}

/// `for_each_isa!(name, plain(arguments) -> result)` makes of `plain::<S: Sample>` a function `name` that takes an
/// instruction set and whether samples are wide before its arguments. The integer arithmetic is exact, so all of them
/// give the same.
macro_rules! for_each_isa {
    ($name:ident, $plain:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?) => {
        fn $name(isa: resample::Isa, wide: bool, $($arg: $type),*) $(-> $result)? {
            use crate::sample::{Narrow, Wide};
            #[inline(always)]
            fn plain(wide: bool, $($arg: $type),*) $(-> $result)? {
                if wide { $plain::<Wide>($($arg),*) } else { $plain::<Narrow>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2(wide: bool, $($arg: $type),*) $(-> $result)? {
                plain(wide, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
            fn avx512(wide: bool, $($arg: $type),*) $(-> $result)? {
                plain(wide, $($arg),*)
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Isa` beyond `Plain` is only made where `Isa::available` found its features.
                resample::Isa::Avx2 => unsafe { avx2(wide, $($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                resample::Isa::Avx512 => unsafe { avx512(wide, $($arg),*) },
                _ => plain(wide, $($arg),*),
            }
        }
    };
}

pub(crate) use for_each_isa;
