//! The network on the CPU.

mod buffer;
mod deform;
mod direct;
pub mod fast;
mod gemm;
mod map;
pub mod plain;
mod sample;
pub mod simd;
mod sink;
mod winograd;

#[cfg(test)]
mod equal_to_plain;

use crate::{
    Engine, EngineError, Model, Precision, Settings,
    network::{self, Out},
    picture::Output,
};
use bytes::Bytes;
use fast::Fast;
use simd::Level;
use std::ops::Range;

/// Runs the network on the CPU, in float32.
#[derive(Debug)]
pub struct CpuEngine {
    stages: Fast,
}

impl CpuEngine {
    /// An engine for frames of one size and format.
    pub fn new(model: &Model, settings: &Settings) -> Result<Self, EngineError> {
        Self::with_output(model, settings, Output::Wire(settings.out_fmt))
    }

    /// The same with another output than `Settings::out_fmt`.
    pub fn with_output(model: &Model, settings: &Settings, output: Output) -> Result<Self, EngineError> {
        settings.check()?;
        if settings.precision != Precision::Fp32 {
            return Err(EngineError::Failed("fp16: the CPU computes in fp32".into()));
        }
        Ok(Self { stages: Fast::new(model, settings, output, Level::best())? })
    }
}

impl Engine for CpuEngine {
    fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        network::enlarge(&mut self.stages, frames, emit, out)
    }
}
