//! Vectors of 16 float32 on whatever the CPU has: AVX-512, AVX2 with FMA, or what the compiler makes of plain code.
//!
//! A vector has 16 lanes on every level (two registers with AVX2), so a kernel does the same arithmetic in the same
//! order everywhere: AVX-512 and AVX2 agree bit for bit, and the portable level differs only in that its multiply-add
//! rounds twice.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

/// Lanes of a vector; channel counts are rounded up to multiples of it.
pub const LANES: usize = 16;

/// Operations on 16 lanes. A value of an implementing type is the proof that the CPU has the instructions.
pub trait Simd: Copy + Send + Sync + fmt::Debug + 'static {
    /// 16 lanes.
    type V: Copy;
    /// 8 lanes.
    type Half: Copy;

    /// Accumulators that fit into the registers beside the operands of a matrix kernel, in vectors.
    const ACCUMULATORS: usize;

    /// The same value in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// Reads 16 values.
    ///
    /// # Safety
    /// 16 values from `p` on are readable.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes 16 values.
    ///
    /// # Safety
    /// 16 values from `p` on are writable, and no one else uses them meanwhile.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`
    fn mul_sub_from(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where `a` is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where `a` is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The next integer below.
    fn floor(self, a: Self::V) -> Self::V;
    /// `2^n` where `a` is `1.5 * 2^23 + n` and `n` an integer from -126 to 127.
    fn power_of_two(self, a: Self::V) -> Self::V;
    /// Writes 16 integral values as `i32`.
    ///
    /// # Safety
    /// As [`store`](Self::store).
    unsafe fn store_i32(self, p: *mut i32, v: Self::V);
    /// The sum of the lanes: halves first, down to one.
    fn sum(self, v: Self::V) -> f32;

    /// The same value in each of 8 lanes.
    fn splat_half(self, x: f32) -> Self::Half;
    /// Reads 8 values.
    ///
    /// # Safety
    /// 8 values from `p` on are readable.
    unsafe fn load_half(self, p: *const f32) -> Self::Half;
    /// Writes 8 values.
    ///
    /// # Safety
    /// 8 values from `p` on are writable, and no one else uses them meanwhile.
    unsafe fn store_half(self, p: *mut f32, v: Self::Half);
    /// `a * b`
    fn mul_half(self, a: Self::Half, b: Self::Half) -> Self::Half;
    /// `a * b + c`
    fn mul_add_half(self, a: Self::Half, b: Self::Half, c: Self::Half) -> Self::Half;

    /// `e^x` for x from -87 to 87, to about 1e-7 of its value.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
        let shifted = self.mul_add(x, self.splat(std::f32::consts::LOG2_E), self.splat(SHIFT));
        let n = self.sub(shifted, self.splat(SHIFT));
        // ln 2 in two parts: the first has few enough bits that its product with n is exact.
        let r = self.mul_sub_from(n, self.splat(0.693_359_4), x);
        let r = self.mul_sub_from(n, self.splat(-2.121_944_4e-4), r);
        // e^r on [-ln 2 / 2, ln 2 / 2]: the Taylor series up to r^7 is good to 1e-8 there.
        let mut p = self.splat(1.0 / 5040.0);
        for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = self.mul_add(p, r, self.splat(factor));
        }
        self.mul(p, self.power_of_two(shifted))
    }

    /// The logistic function `1 / (1 + e^-x)`.
    #[inline(always)]
    fn logistic(self, x: Self::V) -> Self::V {
        let one = self.splat(1.0);
        let bounded = self.min(self.max(x, self.splat(-80.0)), self.splat(80.0));
        let e = self.exp(self.sub(self.splat(0.0), bounded));
        self.div(one, self.add(one, e))
    }

    /// The hyperbolic tangent, to about 1e-7 absolute.
    #[inline(always)]
    fn tanh(self, x: Self::V) -> Self::V {
        // Beyond 10 it is 1 in float32.
        let bounded = self.min(self.max(x, self.splat(-10.0)), self.splat(10.0));
        let e = self.exp(self.add(bounded, bounded));
        let one = self.splat(1.0);
        self.div(self.sub(e, one), self.add(e, one))
    }
}
