//! Loops over the samples of a row, once for each sample size and level.

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

/// `vectorize!(level, wide, function(arguments))` calls `function::<S: Sample>` for samples that are wide or narrow,
/// compiled for the level. The integer arithmetic is exact, so every level gives the same.
macro_rules! vectorize {
    ($level:expr, $wide:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $level.vectorize(
            #[inline(always)]
            || match $wide {
                true => $function::<crate::sample::Wide>($($argument),*),
                false => $function::<crate::sample::Narrow>($($argument),*),
            },
        )
    };
}

pub(crate) use vectorize;
