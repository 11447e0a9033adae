//! Plain code on arrays: the level that every CPU has.

use crate::{Portable, Simd};

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
