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
            "scale": Weights::SCALE,
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
