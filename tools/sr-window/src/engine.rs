//! What enlarges sequences: the network on some device, or a child process that holds another model.

use basicvsrpp::{cpu::CpuEngine, cuda::CudaEngine};
use bytes::Bytes;
use std::{io, ops::Range};

/// Why a sequence could not be enlarged.
#[derive(Debug)]
pub enum EngineError {
    /// The receiver of the frames failed; the message is its own.
    Output(io::Error),
    /// The device, the model, the arithmetic or the child failed: one line with the numbers.
    Failed(String),
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<basicvsrpp::EngineError> for EngineError {
    fn from(error: basicvsrpp::EngineError) -> Self {
        match error {
            basicvsrpp::EngineError::Output(error) => Self::Output(error),
            basicvsrpp::EngineError::Failed(reason) => Self::Failed(reason),
        }
    }
}

/// Receives the enlarged frames, in film order.
pub type Out<'a> = dyn FnMut(Bytes) -> io::Result<()> + 'a;

/// Enlarges sequences of frames of one size and format, one after another. Nothing is carried from one sequence to the
/// next.
pub trait Engine: Send {
    /// Output pixels for one input pixel, across and down.
    fn scale(&self) -> usize;

    /// Enlarges `frames`, a whole sequence in film order, each one frame in wire order.
    ///
    /// `out` is called once for every frame in `emit` (indices into `frames`), in order, with the enlarged frame in wire
    /// order. Frames outside `emit` are context. The bytes depend on `frames` and on what the engine was built from only.
    fn enlarge(&mut self, frames: &[Bytes], emit: Range<usize>, out: &mut Out<'_>)
    -> Result<(), EngineError>;
}

impl Engine for CpuEngine {
    fn scale(&self) -> usize {
        self.scale()
    }

    fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        Ok(self.enlarge(frames, emit, out)?)
    }
}

impl Engine for CudaEngine {
    fn scale(&self) -> usize {
        self.scale()
    }

    fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        Ok(self.enlarge(frames, emit, out)?)
    }
}
