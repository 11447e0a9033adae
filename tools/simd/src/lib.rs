//! The instruction sets of a machine, proved before they are used, and vectors of float32 on each.
//!
//! An instruction that the CPU does not have is undefined behaviour, so code compiled for AVX-512 may be reached only
//! where AVX-512 was found. [`Avx2`] and [`Avx512`] are the proofs: values without content that nothing but detection
//! makes. A [`Level`] holds one of them, and whoever has a level may use what it stands for.
//!
//! * [`Level::vectorize`] compiles plain loops for the level, and leaves the vectors to the compiler.
//! * [`Level::run`] compiles a [`Kernel`], which is written once over the vectors of [`Simd`].
//! * `match` on a level leads to functions written in intrinsics for one of them; calling those is `unsafe`, and the
//!   proof in the pattern is the reason why it is sound.
//!
//! All levels of a machine give the same results, bit for bit, except where [`Simd`] says otherwise. Tests run on
//! each: `for level in Level::available()`.
//!
//! Safe code cannot make a proof. Where there is AVX-512, detection gives one:
//!
//! ```
//! # #[cfg(target_arch = "x86_64")] {
//! let found: Option<simd::Level> = simd::Avx512::detect().map(|proof: simd::Avx512| simd::Level::Avx512(proof));
//! assert_eq!(found.is_some(), is_x86_feature_detected!("avx512vnni"));
//! # }
//! ```
//!
//! and nothing else does:
//!
//! ```compile_fail,E0423
//! # #[cfg(target_arch = "x86_64")] {
//! let forged: Option<simd::Level> = Some(simd::Avx512(())).map(|proof: simd::Avx512| simd::Level::Avx512(proof));
//! # }
//! # #[cfg(not(target_arch = "x86_64"))] compile_error!("there is no AVX-512 to forge");
//! ```
//!
//! ```compile_fail,E0277
//! # #[cfg(target_arch = "x86_64")] {
//! let forged: Option<simd::Level> = Some(Default::default()).map(|proof: simd::Avx512| simd::Level::Avx512(proof));
//! # }
//! # #[cfg(not(target_arch = "x86_64"))] compile_error!("there is no AVX-512 to forge");
//! ```

mod level;
mod vector;

#[cfg(target_arch = "x86_64")]
pub use level::{Avx2, Avx512};
pub use level::{Kernel, Level, Portable};
pub use vector::{LANES, Simd};
