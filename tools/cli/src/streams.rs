//! Standard input and output as streams of frames, counted, with the suite's errors.

use crate::{Error, InputArgs, Result, Session};
use rawstream::{Container, FieldOrder, FrameReader, FrameWriter, VideoFormat};
use std::fs::File;

/// Frames from standard input.
pub struct Input<'a> {
    reader: FrameReader<File>,
    session: &'a Session,
    expect: Option<u64>,
    counted: u64,
}

impl<'a> Input<'a> {
    /// Reads the header, if there is one, and settles the format.
    pub fn open(session: &'a Session, args: &InputArgs) -> Result<Self> {
        if let Some(note) = args.rate.as_ref().and_then(|r| r.note.as_ref()) {
            session.note(format_args!("--rate: {note}"));
        }
        let stdin = rawstream::stdin().map_err(|e| Error::failed("<stdin>", crate::reason(&e)))?;
        let reader = FrameReader::open(stdin, &args.told()).map_err(|e| Error::stdin(&e))?;
        Ok(Self { reader, session, expect: args.expect_frames, counted: 0 })
    }

    /// What the stream is.
    pub fn format(&self) -> &VideoFormat {
        self.reader.format()
    }

    /// How it is framed.
    pub fn container(&self) -> Container {
        self.reader.container()
    }

    /// Whole frames read so far.
    pub fn frames(&self) -> u64 {
        self.reader.frames()
    }

    /// Field order of the frame read last.
    pub fn field_order(&self) -> Option<FieldOrder> {
        self.reader.field_order()
    }

    /// The next frame; `false` at the end.
    ///
    /// Errors: torn input; a stream without a single frame; another count than `--expect-frames` promised.
    pub fn read(&mut self, frame: &mut Vec<u8>) -> Result<bool> {
        let more = self.reader.read(frame).map_err(|e| Error::stdin(&e))?;
        self.session.count_in(u64::from(more), self.reader.bytes() - self.counted);
        self.counted = self.reader.bytes();
        if more {
            return Ok(true);
        }
        let frames = self.reader.frames();
        match self.expect {
            Some(expect) if frames != expect => {
                Err(Error::torn("<stdin>", format!("ended after {frames} frames; {expect} were expected")))
            }
            None if frames == 0 => Err(Error::torn("<stdin>", "ended before the first frame")),
            _ => Ok(false),
        }
    }
}

/// Frames to standard output.
pub struct Output<'a> {
    writer: FrameWriter<File>,
    session: &'a Session,
    counted: u64,
}

impl<'a> Output<'a> {
    /// Begins the stream; a header is written at once.
    pub fn begin(session: &'a Session, container: Container, format: &VideoFormat) -> Result<Self> {
        let stdout = rawstream::stdout().map_err(|e| Error::stdout(&e))?;
        let writer = FrameWriter::new(stdout, container, format).map_err(|e| Error::stdout(&e))?;
        Ok(Self { writer, session, counted: 0 })
    }

    /// Writes one whole frame.
    pub fn write(&mut self, frame: &[u8]) -> Result<()> {
        self.writer.write(frame).map_err(|e| Error::stdout(&e))?;
        self.session.count_out(1, self.writer.bytes() - self.counted);
        self.counted = self.writer.bytes();
        Ok(())
    }
}
