//! The network on the CPU.

mod buffer;
mod deform;
mod direct;
pub mod fast;
mod gemm;
mod map;
mod memory;
pub mod plain;
mod sample;
mod sink;
mod winograd;

#[cfg(test)]
mod equal_to_plain;

use crate::{EngineError, Model, Out, Settings, network, picture::Output};
use bytes::Bytes;
use fast::Fast;
use simd::Level;
use std::ops::Range;

pub use memory::Plan;

/// Runs the network on the CPU. It computes in float32; [`Precision::Fp16`](crate::Precision::Fp16) halves the memory
/// of features that wait for later branches.
#[derive(Debug)]
pub struct CpuEngine {
    stages: Fast,
    scale: usize,
    limit: Option<u64>,
}

impl CpuEngine {
    /// An engine for frames of one size and format.
    pub fn new(model: &Model, settings: &Settings) -> Result<Self, EngineError> {
        Self::with_output(model, settings, Output::Wire(settings.out_fmt))
    }

    /// The same with another output than `Settings::out_fmt`.
    pub fn with_output(model: &Model, settings: &Settings, output: Output) -> Result<Self, EngineError> {
        settings.check(&model.weights)?;
        let stages = Fast::new(model, settings, output, Level::best())?;
        Ok(Self { stages, scale: model.weights.scale(), limit: settings.max_memory })
    }

    /// What a sequence of so many frames will need.
    pub fn plan(&self, frames: usize) -> Plan {
        let sizes = self.stages.sizes();
        // What the engine has by now is not available any more, and will be used again.
        let held = self.stages.bytes();
        let available = memory::available().saturating_add(held);
        Plan::new(&sizes, frames, self.limit.unwrap_or(u64::MAX).min(available))
    }
}

impl CpuEngine {
    /// Output pixels for one input pixel, across and down: 4, or 1 where the network keeps the size.
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// Runs the network on a sequence: see [`network::enlarge`]. Nothing is carried from one sequence to the next.
    pub fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let Plan { bytes, available, kept } = self.plan(frames.len());
        if bytes > available {
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            return Err(EngineError::Failed(format!(
                "a sequence of {} frames needs {:.2} GB of memory, {:.2} GB are available",
                frames.len(),
                gigabytes(bytes),
                gigabytes(available)
            )));
        }
        self.stages.keep(kept);
        network::enlarge(&mut self.stages, frames, emit, out)
    }
}
