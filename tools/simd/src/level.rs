//! Levels: what a CPU can be asked to do, and the proofs that it can.

use crate::Simd;
use std::fmt;

/// Work that is compiled for every level. `run` must be `#[inline(always)]`, and so must everything that it calls with
/// vectors: only then is it compiled with the level's instructions.
pub trait Kernel {
    /// What the work gives.
    type Output;
    /// Does the work with the instructions of `S`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// The level that every CPU has: what the target of the build has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// A proof: one list of features is what is looked for and what is compiled for.
macro_rules! proof {
    ($(#[$doc:meta])* $name:ident: $($feature:tt),+) => {
        $(#[$doc])*
        #[cfg(target_arch = "x86_64")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(());

        #[cfg(target_arch = "x86_64")]
        impl $name {
            /// The proof, where the CPU has all of it.
            pub fn detect() -> Option<Self> {
                ($(is_x86_feature_detected!($feature))&&+).then_some(Self(()))
            }

            #[inline(always)]
            fn vectorize<R>(self, work: impl FnOnce() -> R) -> R {
                #[target_feature($(enable = $feature),+)]
                fn compiled<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                // SAFETY: `self` was made by `detect`, which found each of the features.
                unsafe { compiled(work) }
            }
        }
    };
}

proof! {
    /// Proof of AVX2 and FMA.
    Avx2: "avx2", "fma"
}
proof! {
    /// Proof of AVX-512 F, BW, DQ, VL and VNNI (Cascade Lake, Zen 4 and later), AVX2 and FMA.
    Avx512: "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx2", "fma"
}

/// Instructions that the CPU was found to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// No more than every CPU has.
    Portable(Portable),
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 with what belongs to it.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Level {
    /// Every level that this CPU has, the best one last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)] // elsewhere there is one only
        let mut all = vec![Self::Portable(Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::detect().map(Self::Avx2));
            all.extend(Avx512::detect().map(Self::Avx512));
        }
        all
    }

    /// The best level.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Portable(Portable))
    }

    /// Does plain work, compiled for the level. `work` and everything that it calls must be `#[inline(always)]`: only
    /// then is it compiled with the level's instructions.
    #[inline(always)]
    pub fn vectorize<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            Self::Portable(_) => work(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.vectorize(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => proof.vectorize(work),
        }
    }

    /// Does the work with the level's instructions.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable(s) => kernel.run(s),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(s) => s.vectorize(
                #[inline(always)]
                move || kernel.run(s),
            ),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(s) => s.vectorize(
                #[inline(always)]
                move || kernel.run(s),
            ),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        })
    }
}
