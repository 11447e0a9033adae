//! What every engine does: enlarge one sequence of frames.

use crate::Weights;
use bytes::Bytes;
use rawstream::RgbFmt;
use std::{io, ops::Range};

/// Arithmetic of features and convolutions. Flows and sampling coordinates are always float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// float16 storage, float32 accumulation.
    Fp16,
    /// float32 throughout.
    Fp32,
}

/// What an engine is built for; it never changes over the life of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Width of the input frames in pixels: 64 or more; for a network that keeps the size a multiple of 4, 256 or more.
    pub width: usize,
    /// Height of the input frames in pixels, likewise.
    pub height: usize,
    /// Pixel format of the frames that go in.
    pub in_fmt: RgbFmt,
    /// Pixel format of the frames that come out.
    pub out_fmt: RgbFmt,
    /// Arithmetic.
    pub precision: Precision,
    /// Worker threads on the host.
    pub threads: usize,
    /// The most bytes of device (or, for the CPU engine, host) memory that the engine may hold; `None`: no limit.
    pub max_memory: Option<u64>,
}

impl Settings {
    /// The smallest width and height of a feature.
    pub const MIN_SIDE: usize = 64;

    /// What every engine asks alike before it runs a network: size, threads.
    pub fn check(&self, weights: &Weights) -> Result<(), EngineError> {
        let Self { width, height, threads, .. } = *self;
        let pixels = weights.pixels();
        let least = pixels * Self::MIN_SIDE;
        if width < least || height < least {
            return Err(EngineError::Failed(format!(
                "frames of {width}x{height}: the network takes {least}x{least} and larger"
            )));
        }
        if !width.is_multiple_of(pixels) || !height.is_multiple_of(pixels) {
            return Err(EngineError::Failed(format!(
                "frames of {width}x{height}: the network takes multiples of {pixels}"
            )));
        }
        if threads == 0 {
            return Err(EngineError::Failed("0 threads: 1 or more are needed".into()));
        }
        Ok(())
    }
}

/// Why a sequence could not be enlarged.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The receiver of the frames failed; the message is its own.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// The device, the model or the arithmetic failed: one line with the numbers.
    #[error("{0}")]
    Failed(String),
}

/// Receives the enlarged frames, in film order.
pub type Out<'a> = dyn FnMut(Bytes) -> io::Result<()> + 'a;

/// Runs the network on sequences, one after another. Nothing is carried from one sequence to the next.
pub trait Engine: Send {
    /// Output pixels for one input pixel, across and down: 4, or 1 where the network keeps the size.
    fn scale(&self) -> usize {
        Weights::SCALE
    }

    /// Enlarges `frames`, a whole sequence in film order, each one frame in wire order in `Settings::in_fmt`.
    ///
    /// `out` is called once for every frame in `emit` (indices into `frames`), in order, with the enlarged frame
    /// in wire order in `Settings::out_fmt`. It may keep the frame: the memory is used again once the last clone is
    /// dropped. Frames outside `emit` are context: they are computed as far as the
    /// emitted ones need them. The bytes depend on `frames`, the weights and the settings only.
    fn enlarge(&mut self, frames: &[Bytes], emit: Range<usize>, out: &mut Out<'_>)
    -> Result<(), EngineError>;
}
