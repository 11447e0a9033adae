//! What was measured on samples of a film.

use super::shape::{Pass, Stage};
use serde::{Deserialize, Serialize};

/// What was measured once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measurement {
    /// A pass, on one sample.
    Pass(PassSample),
    /// A stage by itself, on one sample.
    Stage(StageSample),
}

/// A stage by itself, on one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSample {
    /// Which one.
    pub stage: Stage,
    /// Frames that it worked on: more than the sample's where it also needs what lies around them.
    pub frames: u64,
    /// Seconds.
    pub wall_s: f64,
    /// Of the file that it wrote.
    pub packets: Vec<Packet>,
}

/// The stages of a pass side by side, on one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassSample {
    /// Which ones.
    pub pass: Pass,
    /// Frames that came out.
    pub frames: u64,
    /// Frames that were decoded and prepared.
    pub read: u64,
    /// Frames that the network computed, those of its windows' overlaps as well.
    pub computed: u64,
    /// Frames that the network hands on at a time.
    pub window: u64,
    /// Seconds.
    pub wall_s: f64,
}

/// An encoded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Its size.
    pub bytes: u64,
    /// It stands alone.
    pub key: bool,
}
