//! A network that is ready to run: the weights and where they came from.

use crate::{
    Weights,
    checkpoint::{Checkpoint, CheckpointError},
};
use serde_json::{Value, json};
use std::path::Path;

/// Trained by `scripts/train` on scenes that it generates; its metadata says from what, and how good it is.
const BUILTIN: &[u8] = include_bytes!("../models/builtin.safetensors");

/// A loaded network.
#[derive(Clone, Debug)]
pub struct Model {
    /// The weights.
    pub weights: Weights,
    info: Value,
}

impl Model {
    /// Loads a checkpoint: `.pth` (zip, legacy stream or tar) or `.safetensors`.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::new(&Checkpoint::read(path)?)
    }

    /// The small network that is part of the program.
    pub fn builtin() -> Result<Self, CheckpointError> {
        Self::new(&Checkpoint::safetensors("builtin", BUILTIN)?)
    }

    /// Types and checks the tensors of a checkpoint that has been read.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let weights = Weights::new(checkpoint)?;
        let tensors = &checkpoint.tensors;
        let info = json!({
            "file": checkpoint.file,
            "container": checkpoint.container,
            "bytes": checkpoint.bytes,
            "network": "BasicVSR++",
            "scale": weights.scale(),
            "mid_channels": weights.mid_channels,
            "num_blocks": weights.num_blocks(),
            "deform_groups": weights.branches[0].align.groups(),
            "flow_levels": weights.spynet.levels.len(),
            "tail_channels": weights.conv_hr.cout,
            "tensors": tensors.len(),
            "parameters": tensors.values().map(|t| t.data.len()).sum::<usize>(),
            "dtypes": checkpoint.dtypes,
            "prefix": checkpoint.prefix,
            "meta": checkpoint.meta,
        });
        Ok(Self { weights, info })
    }

    /// Weights that come from no file.
    pub fn from_weights(weights: Weights) -> Self {
        Self { weights, info: Value::Null }
    }

    /// What is known of the checkpoint, as one JSON object; null where there is none.
    pub fn info(&self) -> &Value {
        &self.info
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Precision, Settings, cpu::CpuEngine, formula};
    use rawstream::RgbFmt;

    fn enlarge(model: &Model) -> Vec<u8> {
        let (in_fmt, out_fmt) = (RgbFmt::named("rgb24").unwrap(), RgbFmt::named("rgb48le").unwrap());
        let settings = Settings {
            width: 64,
            height: 64,
            in_fmt,
            out_fmt,
            precision: Precision::Fp32,
            threads: 2,
            max_memory: None,
        };
        let frames: Vec<_> = (0..3).map(|k| formula::frame(64, 64, k)).collect();
        let mut out = Vec::new();
        let mut engine = CpuEngine::new(model, &settings).unwrap();
        let mut keep = |frame: bytes::Bytes| {
            out.extend_from_slice(&frame);
            Ok(())
        };
        engine.enlarge(&frames, 0..3, &mut keep).unwrap();
        out
    }

    #[test]
    fn groups_that_share_offsets_are_the_same_network() {
        let few = Model::builtin().unwrap();
        let mut many = few.clone();
        for branch in &mut many.weights.branches {
            branch.align = branch.align.in_groups(16);
        }
        assert_eq!(
            (few.weights.branches[0].align.groups(), many.weights.branches[0].align.groups()),
            (2, 16)
        );
        assert_ne!(few.weights, many.weights);
        let words = |bytes: Vec<u8>| -> Vec<u16> {
            bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
        };
        let apart = words(enlarge(&few)).iter().zip(words(enlarge(&many))).map(|(a, b)| a.abs_diff(b)).max();
        assert!(apart <= Some(1), "{apart:?} of 65535");
    }
}
