//! Standard input and output as streams of frames, counted, with the suite's errors.
//!
//! The output has a thread of its own, and the input can have one ([`Input::ahead`]), so that reading, computing and
//! writing overlap. Frames then change hands by swapping buffers, or are given away; none is copied, and a run holds a
//! fixed number of frames more on each side, whatever its length.

use crate::{Error, InputArgs, Result, Session};
use bytes::Bytes;
use rawstream::{Container, FieldOrder, FrameReader, FrameWriter, VideoFormat};
use std::{
    fs::File,
    io,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread::Builder,
};

/// Frames from standard input.
pub struct Input<'a> {
    source: Source,
    format: VideoFormat,
    container: Container,
    session: &'a Session,
    expect: Option<u64>,
    /// Of the frame read last.
    field_order: Option<FieldOrder>,
    frames: u64,
    bytes: u64,
}

enum Source {
    Here(FrameReader<File>),
    Ahead { filled: Receiver<Filled>, empty: Sender<Vec<u8>> },
}

/// A buffer that the reading thread has filled, and how that went.
struct Filled {
    frame: Vec<u8>,
    field_order: Option<FieldOrder>,
    /// Read so far, headers included.
    bytes: u64,
    more: std::result::Result<bool, rawstream::Error>,
}

impl Filled {
    fn new(reader: &mut FrameReader<File>, mut frame: Vec<u8>) -> Self {
        let more = reader.read(&mut frame);
        Self { frame, field_order: reader.field_order(), bytes: reader.bytes(), more }
    }
}

impl<'a> Input<'a> {
    /// Reads the header, if there is one, and settles the format.
    pub fn open(session: &'a Session, args: &InputArgs) -> Result<Self> {
        if let Some(note) = args.rate.as_ref().and_then(|r| r.note.as_ref()) {
            session.note(format_args!("--rate: {note}"));
        }
        let stdin = rawstream::stdin().map_err(|e| Error::io("<stdin>", &e))?;
        let reader = FrameReader::open(stdin, &args.declared()).map_err(|e| Error::stdin(&e))?;
        Ok(Self {
            format: reader.format().clone(),
            container: reader.container(),
            source: Source::Here(reader),
            session,
            expect: args.expect_frames,
            field_order: None,
            frames: 0,
            bytes: 0,
        })
    }

    /// From here on a thread reads one frame ahead.
    pub fn ahead(mut self) -> Result<Self> {
        let Source::Here(mut reader) = self.source else { return Ok(self) };
        let (fill, filled) = sync_channel(1);
        let (empty, to_fill) = channel();
        // Not joined: when the tool ends early, the thread may be waiting for a frame that never comes.
        thread("read", move || {
            loop {
                let next = Filled::new(&mut reader, to_fill.try_recv().unwrap_or_default());
                let last = !matches!(next.more, Ok(true));
                if fill.send(next).is_err() || last {
                    return;
                }
            }
        })?;
        self.source = Source::Ahead { filled, empty };
        Ok(self)
    }

    /// What the stream is.
    pub fn format(&self) -> &VideoFormat {
        &self.format
    }

    /// How it is framed.
    pub fn container(&self) -> Container {
        self.container
    }

    /// Whole frames read so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Field order of the frame read last.
    pub fn field_order(&self) -> Option<FieldOrder> {
        self.field_order
    }

    /// The next frame; `false` at the end. What was in `frame` before is lost, its memory is used again.
    ///
    /// Errors: torn input; a stream without a single frame; another count than `--expect-frames` promised.
    pub fn read(&mut self, frame: &mut Vec<u8>) -> Result<bool> {
        let next = match &mut self.source {
            Source::Here(reader) => Filled::new(reader, std::mem::take(frame)),
            Source::Ahead { filled, empty } => {
                let next = filled.recv().map_err(|_| Error::failed("<stdin>", "read beyond its end"))?;
                // The thread may have ended already; then nobody needs the buffer.
                let _ = empty.send(std::mem::take(frame));
                next
            }
        };
        *frame = next.frame;
        let more = next.more.map_err(|e| Error::stdin(&e));
        self.session.count_in(u64::from(matches!(more, Ok(true))), next.bytes - self.bytes);
        self.bytes = next.bytes;
        if more? {
            self.frames += 1;
            self.field_order = next.field_order;
            return Ok(true);
        }
        let frames = self.frames;
        match self.expect {
            Some(expect) if frames != expect => {
                Err(Error::torn("<stdin>", format!("ended after {frames} frames; {expect} were expected")))
            }
            None if frames == 0 => Err(Error::torn("<stdin>", "ended before the first frame")),
            _ => Ok(false),
        }
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    Builder::new().name(name.into()).spawn(run).map(drop).map_err(|e| Error::cannot("start", "thread", &e))
}

/// Frames to standard output.
pub struct Output<'a> {
    /// `None` once the stream is closed.
    full: Option<SyncSender<Frame>>,
    written: Receiver<Written>,
    spare: Vec<Vec<u8>>,
    session: &'a Session,
    bytes: u64,
}

/// A frame on its way to the writing thread.
enum Frame {
    /// In a buffer that comes back.
    Passed(Vec<u8>),
    /// For good: its owner takes it back when the thread drops it.
    Given(Bytes),
}

/// The bytes written so far, and a passed buffer that the writing thread is done with.
type Written = io::Result<(u64, Option<Vec<u8>>)>;

impl<'a> Output<'a> {
    /// Begins the stream; a header is written at once. A thread writes while further frames are made, of which
    /// `backlog` may wait for it. [`Output::finish`] must end it.
    pub fn begin(
        session: &'a Session,
        container: Container,
        format: &VideoFormat,
        backlog: usize,
    ) -> Result<Self> {
        let stdout = rawstream::stdout().map_err(|e| Error::stdout(&e))?;
        let mut writer = FrameWriter::new(stdout, container, format).map_err(|e| Error::stdout(&e))?;
        let (full, to_write) = sync_channel::<Frame>(backlog);
        let (done, written) = channel();
        thread("write", move || {
            for frame in to_write {
                let result = match frame {
                    Frame::Passed(frame) => writer.write(&frame).map(|()| Some(frame)),
                    Frame::Given(frame) => writer.write(&frame).map(|()| None),
                };
                let result = result.map(|frame| (writer.bytes(), frame));
                let last = result.is_err();
                if done.send(result).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { full: Some(full), written, spare: Vec::new(), session, bytes: 0 })
    }

    /// Writes one whole frame, and lets go of it when it has left the process.
    pub fn give(&mut self, frame: Bytes) -> Result<()> {
        self.collect(false)?;
        self.send(Frame::Given(frame))
    }

    /// Writes one whole frame and leaves another buffer in its place, of the same length and with anything in it.
    pub fn pass(&mut self, frame: &mut Vec<u8>) -> Result<()> {
        self.collect(false)?;
        let next = self.spare.pop().unwrap_or_else(|| vec![0; frame.len()]);
        self.send(Frame::Passed(std::mem::replace(frame, next)))
    }

    fn send(&mut self, frame: Frame) -> Result<()> {
        let Some(full) = &self.full else { return Ok(()) };
        // Refused only after an error, which is then waiting to be collected.
        if full.send(frame).is_err() { self.collect(true) } else { Ok(()) }
    }

    /// Waits until everything is written.
    pub fn finish(mut self) -> Result<()> {
        self.close()
    }

    fn close(&mut self) -> Result<()> {
        self.full = None;
        self.collect(true)
    }

    /// Takes back written buffers: those that are there, or, when `all`, until the thread has ended.
    fn collect(&mut self, all: bool) -> Result<()> {
        loop {
            let next = if all { self.written.recv().ok() } else { self.written.try_recv().ok() };
            let Some(next) = next else { return Ok(()) };
            let (bytes, frame) = next.map_err(|e| Error::stdout(&e))?;
            self.spare.extend(frame);
            self.session.count_out(1, bytes - self.bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Output<'_> {
    /// Whatever has gone wrong elsewhere: the whole frames that were passed on still go downstream.
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// Writes a line to standard output.
///
/// Errors: it cannot be written.
pub fn print_line(text: impl std::fmt::Display) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    std::io::Write::write_fmt(&mut stdout, format_args!("{text}\n")).map_err(|e| Error::stdout(&e))
}
