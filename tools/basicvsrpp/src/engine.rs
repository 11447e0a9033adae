//! What the engines have in common: their settings, how they fail, where their frames go.

use crate::Weights;
use bytes::Bytes;
use rawstream::RgbFmt;
use std::io;

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
        let stride = weights.stride();
        let least = stride * Self::MIN_SIDE;
        if width < least || height < least {
            return Err(EngineError::Failed(format!(
                "frames of {width}x{height}: the network takes {least}x{least} and larger"
            )));
        }
        if !width.is_multiple_of(stride) || !height.is_multiple_of(stride) {
            return Err(EngineError::Failed(format!(
                "frames of {width}x{height}: the network takes multiples of {stride}"
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
