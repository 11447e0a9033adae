//! The network: checkpoint, graph and the engines that run it.
//!
//! BasicVSR++ (Chan et al., "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation and
//! Alignment", CVPR 2022): frames of `w` x `h` in, frames of `4w` x `4h` out, one for one.
//!
//! An engine ([`cpu::CpuEngine`], [`cuda::CudaEngine`]) runs the network on one *sequence*: frames that see each other and
//! nothing else. Which frames form a sequence (windows, overlap, scene cuts) is decided outside, in `sr-window`.
//!
//! | module | idea |
//! | --- | --- |
//! | [`checkpoint`] | named tensors out of a file |
//! | [`weights`](Weights) | the same, typed and checked; [`Model`] joins them with where they came from |
//! | [`network`] | the recurrence, written once over a [`network::Backend`] of stages |
//! | [`cpu`] | the stages on the CPU: plain ones as the specification, and fast ones |
//! | [`cuda`] | the stages on an NVIDIA GPU |
//! | [`picture`] | frames in wire order to numbers and back |
//! | [`formula`] | weights and frames from formulas, for tests |

pub mod checkpoint;
pub mod cpu;
pub mod cuda;
mod engine;
pub mod formula;
mod model;
pub mod network;
pub mod picture;
mod weights;

pub use checkpoint::CheckpointError;
pub use engine::{EngineError, Out, Precision, Settings};
pub use model::Model;
pub use weights::{Align, Blocks, Branch, Conv, Propagation, Spynet, Weights};
