//! From whole frames to bytes.

use crate::{Container, VideoFormat, y4m};
use std::io::{self, Write};

/// Writes a stream of frames: raw or YUV4MPEG2.
pub struct FrameWriter<W> {
    output: W,
    container: Container,
    frame_bytes: usize,
    frames: u64,
    bytes: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a stream; a YUV4MPEG2 header is written at once.
    ///
    /// Errors: a format that YUV4MPEG2 cannot carry or whose frames are too large to be held
    /// ([`io::ErrorKind::InvalidInput`]), and what the system says.
    pub fn new(output: W, container: Container, format: &VideoFormat) -> io::Result<Self> {
        let invalid = |e| io::Error::new(io::ErrorKind::InvalidInput, e);
        format.clone().bounded().map_err(invalid)?;
        let mut writer = Self { output, container, frame_bytes: format.frame_bytes(), frames: 0, bytes: 0 };
        if container == Container::Y4m {
            let header = y4m::header(format).map_err(invalid)?;
            writer.put(header.as_bytes())?;
        }
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes one whole frame in wire order.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        assert_eq!(frame.len(), self.frame_bytes, "a frame of another format");
        if self.container == Container::Y4m {
            self.put(b"FRAME\n")?;
        }
        self.put(frame)?;
        self.frames += 1;
        Ok(())
    }

    /// Frames written so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes written so far, headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
