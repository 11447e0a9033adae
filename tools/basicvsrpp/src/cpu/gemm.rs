//! The matrix product in registers that all convolutions end in: some pixels times some vectors of output channels.

use simd::{LANES, Simd};

/// `acc[p][n] += sum over k < depth of a[p * a_step + k] * b[n * b_step + k * LANES ..]`
///
/// # Safety
/// Everything named there is readable.
#[inline(always)]
pub unsafe fn accumulate<S: Simd, const P: usize, const N: usize>(
    s: S,
    acc: &mut [[S::V; N]; P],
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    depth: usize,
) {
    for k in 0..depth {
        let mut weights = [s.splat(0.0); N];
        for (n, w) in weights.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *w = unsafe { s.load(b.add(n * b_step + k * LANES)) };
        }
        for (p, sums) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let x = s.splat(unsafe { *a.add(p * a_step + k) });
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum = s.mul_add(x, w, *sum);
            }
        }
    }
}

/// Work on `P` pixels and `N` vectors of output channels at once.
pub trait Tile {
    /// Does it.
    ///
    /// # Safety
    /// The implementation's own.
    unsafe fn run<S: Simd, const P: usize, const N: usize>(self, s: S);
}

/// Vectors of output channels that [`tile`] takes at once.
pub const fn most_vectors<S: Simd>() -> usize {
    if S::ACCUMULATORS >= 24 { 4 } else { 1 }
}

/// Pixels to work on at once in a convolution to `vectors` vectors of output channels: as many as keep their sums in
/// registers.
pub const fn pixels<S: Simd>(vectors: usize) -> usize {
    match (S::ACCUMULATORS, vectors) {
        (24.., 4..) => 6,
        (24.., 3) => 8,
        (24.., _) => 12,
        (6.., _) => 6,
        _ => 4,
    }
}

/// The most that [`pixels`] gives.
pub const MOST_PIXELS: usize = 12;

/// Runs `work` on `pixels`, as [`pixels`] has them, and 1 to [`most_vectors`] vectors.
///
/// # Safety
/// That of the work.
#[inline(always)]
pub unsafe fn tile<S: Simd>(s: S, pixels: usize, vectors: usize, work: impl Tile) {
    // SAFETY: passed on.
    unsafe {
        match (S::ACCUMULATORS, pixels, vectors) {
            (24.., 6, 4) => work.run::<S, 6, 4>(s),
            (24.., 6, 3) => work.run::<S, 6, 3>(s),
            (24.., 6, 2) => work.run::<S, 6, 2>(s),
            (24.., 8, 3) => work.run::<S, 8, 3>(s),
            (24.., 12, 2) => work.run::<S, 12, 2>(s),
            (24.., 12, 1) => work.run::<S, 12, 1>(s),
            (6.., 6, 1) => work.run::<S, 6, 1>(s),
            (..6, 4, 1) => work.run::<S, 4, 1>(s),
            _ => unreachable!("{pixels} pixels, {vectors} vectors"),
        }
    }
}
