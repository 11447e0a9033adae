//! The network: checkpoint, graph and the engines that run it.
//!
//! BasicVSR++ (Chan et al., "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation and
//! Alignment", CVPR 2022): frames of `w` x `h` in, frames of `4w` x `4h` out, one for one.
//!
//! A [`Engine`] runs the network on one *sequence*: frames that see each other and nothing else. Which frames
//! form a sequence (windows, overlap, scene cuts) is decided outside, in `sr-window`.

mod engine;

pub use engine::{Engine, EngineError, Precision, Settings};
