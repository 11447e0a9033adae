//! The sets of kernels.

/// Which kernels run. Faster ones are tested equal to slower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernels {
    /// The specification: plain loops, float32 features.
    PlainF32,
    /// The same with float16 features.
    PlainF16,
    /// Tensor cores through mma.sync: sm_80 and later.
    Mma,
    /// And through wgmma where it pays: sm_90a.
    Wgmma,
}

impl Kernels {
    /// Bytes of one element of a feature.
    pub fn element(self) -> usize {
        if self == Self::PlainF32 { 4 } else { 2 }
    }

    /// Bytes of the eight channels of a pixel of a plane.
    pub fn pixel(self) -> usize {
        8 * self.element()
    }

    /// The name of a kernel that exists for both types of feature.
    pub fn typed(self, names: [&'static str; 2]) -> &'static str {
        names[usize::from(self == Self::PlainF32)]
    }
}
