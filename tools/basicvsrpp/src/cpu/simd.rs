//! Vectors of 16 float32 on whatever the CPU has: AVX-512, AVX2 with FMA, or what the compiler makes of plain code.
//!
//! Kernels are written once, generic over [`Simd`], and compiled once for each level. A vector has 16 lanes on every
//! level (two registers with AVX2), so a kernel does the same arithmetic in the same order everywhere: AVX-512 and
//! AVX2 agree bit for bit, and the portable level differs only in that its multiply-add rounds twice.

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

/// A piece of work that can be compiled for every level. `run` must be `#[inline(always)]`, and so must everything
/// that it calls with vectors: only then is it compiled with the level's instructions.
pub trait Kernel {
    /// What the work gives.
    type Output;
    /// Does the work with the instructions of `S`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// What the CPU can do, found once.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    /// Whatever the target has at least.
    Portable(Portable),
}

impl Level {
    /// Every level that this CPU has, best first.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(x86::Avx512::detect().map(Self::Avx512));
            all.extend(x86::Avx2::detect().map(Self::Avx2));
        }
        all.push(Self::Portable(Portable));
        all
    }

    /// The best level.
    pub fn best() -> Self {
        Self::all()[0]
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            Self::Portable(_) => "portable",
        }
    }

    /// Does the work with the level's instructions.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(s) => s.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(s) => s.run(kernel),
            Self::Portable(s) => kernel.run(s),
        }
    }
}

/// Plain code on arrays.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

#[inline(always)]
fn each<const N: usize>(f: impl Fn(usize) -> f32) -> [f32; N] {
    let mut out = [0.0; N];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

impl Simd for Portable {
    type V = [f32; 16];
    type Half = [f32; 8];

    const ACCUMULATORS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 16] {
        [x; 16]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [f32; 16] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: [f32; 16]) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(v) }
    }
    #[inline(always)]
    fn add(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        each(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn mul_sub_from(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        each(|i| c[i] - a[i] * b[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn floor(self, a: [f32; 16]) -> [f32; 16] {
        each(|i| a[i].floor())
    }
    #[inline(always)]
    fn power_of_two(self, a: [f32; 16]) -> [f32; 16] {
        each(|i| f32::from_bits((a[i].to_bits() << 23).wrapping_add(1.0f32.to_bits())))
    }
    #[inline(always)]
    unsafe fn store_i32(self, p: *mut i32, v: [f32; 16]) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[i32; 16]>().write_unaligned(v.map(|x| x as i32)) }
    }
    #[inline(always)]
    fn sum(self, v: [f32; 16]) -> f32 {
        let v: [f32; 8] = each(|i| v[i] + v[i + 8]);
        let v: [f32; 4] = each(|i| v[i] + v[i + 4]);
        (v[0] + v[2]) + (v[1] + v[3])
    }

    #[inline(always)]
    fn splat_half(self, x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load_half(self, p: *const f32) -> [f32; 8] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_half(self, p: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    fn mul_half(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn mul_add_half(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        each(|i| a[i] * b[i] + c[i])
    }
}

/// The levels of x86-64.
#[cfg(target_arch = "x86_64")]
pub mod x86 {
    use super::{Kernel, Simd};
    use std::arch::x86_64::*;

    /// Proof of AVX-512 F, AVX2 and FMA.
    #[derive(Clone, Copy, Debug)]
    pub struct Avx512(());

    /// Proof of AVX2 and FMA.
    #[derive(Clone, Copy, Debug)]
    pub struct Avx2(());

    impl Avx512 {
        /// The proof, where the CPU has it.
        pub fn detect() -> Option<Self> {
            let has = is_x86_feature_detected!("avx512f") && Avx2::detect().is_some();
            has.then_some(Self(()))
        }

        /// Does the work with these instructions.
        pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn inner<K: Kernel>(s: Avx512, kernel: K) -> K::Output {
                kernel.run(s)
            }
            // SAFETY: `self` proves that the CPU has the features.
            unsafe { inner(self, kernel) }
        }
    }

    impl Avx2 {
        /// The proof, where the CPU has it.
        pub fn detect() -> Option<Self> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
        }

        /// Does the work with these instructions.
        pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
            #[target_feature(enable = "avx2,fma")]
            fn inner<K: Kernel>(s: Avx2, kernel: K) -> K::Output {
                kernel.run(s)
            }
            // SAFETY: `self` proves that the CPU has the features.
            unsafe { inner(self, kernel) }
        }
    }

    // SAFETY, for every block below: `self` proves that the CPU has the instructions; what goes through pointers is
    // the caller's promise, repeated from the trait.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Simd for Avx512 {
        type V = __m512;
        type Half = __m256;

        const ACCUMULATORS: usize = 24;

        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: __m512) {
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        fn div(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn mul_sub_from(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fnmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn max(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        fn min(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        fn floor(self, a: __m512) -> __m512 {
            unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        fn power_of_two(self, a: __m512) -> __m512 {
            unsafe {
                let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(a));
                _mm512_castsi512_ps(_mm512_add_epi32(n, _mm512_castps_si512(_mm512_set1_ps(1.0))))
            }
        }
        #[inline(always)]
        unsafe fn store_i32(self, p: *mut i32, v: __m512) {
            unsafe { _mm512_storeu_si512(p.cast(), _mm512_cvttps_epi32(v)) }
        }
        #[inline(always)]
        fn sum(self, v: __m512) -> f32 {
            unsafe {
                let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
                sum8(_mm256_add_ps(_mm512_castps512_ps256(v), high))
            }
        }

        #[inline(always)]
        fn splat_half(self, x: f32) -> __m256 {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load_half(self, p: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store_half(self, p: *mut f32, v: __m256) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        fn mul_half(self, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        fn mul_add_half(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
    }

    /// `2^n` in 8 lanes: see [`Simd::power_of_two`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn power8(a: __m256) -> __m256 {
        let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(a));
        _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_castps_si256(_mm256_set1_ps(1.0))))
    }

    /// The sum of 8 lanes, halves first.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sum8(v: __m256) -> f32 {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }

    // SAFETY: as for AVX-512.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Simd for Avx2 {
        type V = [__m256; 2];
        type Half = __m256;

        const ACCUMULATORS: usize = 6;

        #[inline(always)]
        fn splat(self, x: f32) -> [__m256; 2] {
            unsafe { [_mm256_set1_ps(x); 2] }
        }
        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> [__m256; 2] {
            unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: [__m256; 2]) {
            unsafe {
                _mm256_storeu_ps(p, v[0]);
                _mm256_storeu_ps(p.add(8), v[1]);
            }
        }
        #[inline(always)]
        fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn mul_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }
        #[inline(always)]
        fn mul_sub_from(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_fnmadd_ps(a[0], b[0], c[0]), _mm256_fnmadd_ps(a[1], b[1], c[1])] }
        }
        #[inline(always)]
        fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn floor(self, a: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_floor_ps(a[0]), _mm256_floor_ps(a[1])] }
        }
        #[inline(always)]
        fn power_of_two(self, a: [__m256; 2]) -> [__m256; 2] {
            unsafe { [power8(a[0]), power8(a[1])] }
        }
        #[inline(always)]
        unsafe fn store_i32(self, p: *mut i32, v: [__m256; 2]) {
            unsafe {
                _mm256_storeu_si256(p.cast(), _mm256_cvttps_epi32(v[0]));
                _mm256_storeu_si256(p.add(8).cast(), _mm256_cvttps_epi32(v[1]));
            }
        }
        #[inline(always)]
        fn sum(self, v: [__m256; 2]) -> f32 {
            unsafe { sum8(_mm256_add_ps(v[0], v[1])) }
        }

        #[inline(always)]
        fn splat_half(self, x: f32) -> __m256 {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load_half(self, p: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store_half(self, p: *mut f32, v: __m256) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        fn mul_half(self, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        fn mul_add_half(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
    }
}
