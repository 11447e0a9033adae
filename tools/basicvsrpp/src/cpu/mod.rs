//! The network on the CPU.

pub mod plain;

use crate::{
    Engine, EngineError, Model, Precision, Settings, Weights,
    network::{self, Out},
    picture::Output,
};
use bytes::Bytes;
use plain::Plain;
use std::ops::Range;

/// Runs the network on the CPU, in float32.
#[derive(Debug)]
pub struct CpuEngine {
    weights: Weights,
    settings: Settings,
    output: Output,
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
        Ok(Self { weights: model.weights.clone(), settings: settings.clone(), output })
    }
}

impl Engine for CpuEngine {
    fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let Settings { width, height, in_fmt, .. } = self.settings;
        let mut backend = Plain { weights: &self.weights, width, height, input: in_fmt, output: self.output };
        network::enlarge(&mut backend, frames, emit, out)
    }
}
