//! From bytes to whole frames.

use crate::{Container, FieldOrder, PixFmt, VideoFormat, y4m};
use std::io::{self, Read};
use timebase::Rational;

/// What `--size`, `--pix-fmt` and `--rate` declare the input to be.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Width and height.
    pub size: Option<(usize, usize)>,
    /// Sample format.
    pub pix_fmt: Option<PixFmt>,
    /// Frames a second.
    pub rate: Option<Rational>,
}

/// Why a stream could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Flags are missing or contradict the header.
    #[error("{0}")]
    Usage(String),
    /// The header is whole, but not one we can read.
    #[error("{0}")]
    Header(String),
    /// The stream ended inside a header or a frame, or never began.
    #[error("{0}")]
    Torn(String),
    /// The system would not let us read.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
}

/// Reads a stream of frames: raw, or YUV4MPEG2 where the magic says so.
pub struct FrameReader<R> {
    input: R,
    format: VideoFormat,
    container: Container,
    /// Bytes of the coming frame that were read while looking for the magic or for the frame itself.
    sniffed: Vec<u8>,
    /// The `FRAME` line of the coming frame, once it was read.
    frame_line: Option<String>,
    /// Field order of the frame read last, where its own `FRAME` line gave one.
    frame_order: Option<FieldOrder>,
    frames: u64,
    bytes: u64,
}

impl<R: Read> FrameReader<R> {
    /// Looks at the first bytes and settles the format.
    ///
    /// Errors: raw video without a size and pixel format, or a flag that contradicts the header ([`Error::Usage`]); a
    /// header that is torn or unreadable; frames that are too large to be held.
    pub fn open(mut input: R, declared: &Declared) -> Result<Self, Error> {
        let mut first = Vec::with_capacity(y4m::MAGIC.len());
        input.by_ref().take(y4m::MAGIC.len() as u64).read_to_end(&mut first)?;
        let bytes = first.len() as u64;
        if first == y4m::MAGIC {
            let mut reader = Self {
                input,
                format: VideoFormat::new(0, 0, PixFmt::ALL[0]),
                container: Container::Y4m,
                sniffed: Vec::new(),
                frame_line: None,
                frame_order: None,
                frames: 0,
                bytes,
            };
            let rest = reader.line("the YUV4MPEG2 header")?;
            reader.format = y4m::parse_header(&format!("YUV4MPEG2{rest}"))
                .and_then(VideoFormat::bounded)
                .map_err(Error::Header)?;
            reader.check(declared)?;
            return Ok(reader);
        }
        let (Some((width, height)), Some(pix_fmt)) = (declared.size, declared.pix_fmt) else {
            // A writer that failed before its first byte is not a user who forgot a flag.
            return Err(match first.as_slice() {
                [] => Error::Torn("ended before the first frame".into()),
                begun if y4m::MAGIC.starts_with(begun) => {
                    Error::Torn(format!("ends inside the YUV4MPEG2 header, at byte {bytes}"))
                }
                _ => Error::Usage(
                    "not YUV4MPEG2, so --size and --pix-fmt must say what the raw video is".into(),
                ),
            });
        };
        let mut format = VideoFormat::new(width, height, pix_fmt).bounded().map_err(Error::Usage)?;
        format.rate = declared.rate;
        Ok(Self {
            input,
            format,
            container: Container::Raw,
            sniffed: first,
            frame_line: None,
            frame_order: None,
            frames: 0,
            bytes: 0,
        })
    }

    fn check(&self, declared: &Declared) -> Result<(), Error> {
        let contradiction = |flag: &str, said: String, header: String| {
            Err(Error::Usage(format!("{flag} {said} contradicts the YUV4MPEG2 header, which says {header}")))
        };
        let f = &self.format;
        match (declared.size, declared.pix_fmt, declared.rate, f.rate) {
            (Some((w, h)), ..) if (w, h) != (f.width, f.height) => {
                contradiction("--size", format!("{w}x{h}"), format!("{}x{}", f.width, f.height))
            }
            (_, Some(p), ..) if p != f.pix_fmt => {
                contradiction("--pix-fmt", p.to_string(), f.pix_fmt.to_string())
            }
            (.., Some(declared), Some(rate)) if declared != rate => {
                contradiction("--rate", declared.to_string(), rate.to_string())
            }
            _ => Ok(()),
        }
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

    /// Bytes read so far, headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Field order of the frame read last: its own, or the stream's.
    pub fn field_order(&self) -> Option<FieldOrder> {
        self.frame_order.or(self.format.field_order)
    }

    /// The rest of a line, without its newline, byte by byte: a header must not swallow what follows it.
    fn line(&mut self, what: &str) -> Result<String, Error> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            if self.fill(&mut byte)? == 0 {
                return Err(Error::Torn(format!("ends inside {what}, at byte {}", self.bytes)));
            }
            match byte {
                [b'\n'] => break,
                [b] => line.push(b),
            }
            if line.len() > y4m::MAX_READ {
                return Err(Error::Header(format!("{what} is longer than {} bytes", y4m::MAX_READ)));
            }
        }
        String::from_utf8(line).map_err(|_| Error::Header(format!("{what} is not text")))
    }

    /// Reads until `buffer` is full or the stream ends; returns how many bytes it got.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut have = self.sniffed.len().min(buffer.len());
        buffer[..have].copy_from_slice(&self.sniffed[..have]);
        self.sniffed.drain(..have);
        while have < buffer.len() {
            match self.input.read(&mut buffer[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.bytes += have as u64;
        Ok(have)
    }

    /// Is there another frame? Reads no further than its beginning, and nothing when asked again.
    ///
    /// Errors: [`Error::Torn`] when the stream ends inside a `FRAME` line.
    pub fn begin(&mut self) -> Result<bool, Error> {
        match self.container {
            Container::Raw => {
                if self.sniffed.is_empty() {
                    self.sniffed.resize(FIRST_BYTES.min(self.format.frame_bytes()), 0);
                    let have = self.some_bytes()?;
                    self.sniffed.truncate(have);
                }
                Ok(!self.sniffed.is_empty())
            }
            Container::Y4m if self.frame_line.is_some() => Ok(true),
            Container::Y4m => {
                let mut magic = [0; y4m::FRAME.len()];
                let have = self.fill(&mut magic)?;
                if have == 0 {
                    return Ok(false);
                }
                if have < magic.len() && y4m::FRAME.starts_with(&magic[..have]) {
                    return Err(Error::Torn(format!(
                        "ends inside the header of frame {}, at byte {}",
                        self.frames, self.bytes
                    )));
                }
                if magic != y4m::FRAME {
                    return Err(Error::Torn(format!(
                        "frame {}, byte {}: no FRAME line where one must be",
                        self.frames,
                        self.bytes - have as u64
                    )));
                }
                let line = format!("FRAME{}", self.line(&format!("the header of frame {}", self.frames))?);
                self.frame_order = y4m::parse_frame_line(&line).map_err(Error::Header)?;
                self.frame_line = Some(line);
                Ok(true)
            }
        }
    }

    /// One read into `sniffed`; how much it got.
    fn some_bytes(&mut self) -> Result<usize, Error> {
        loop {
            match self.input.read(&mut self.sniffed) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return Ok(other?),
            }
        }
    }

    fn torn_frame(&self, have: usize) -> Error {
        let want = self.format.frame_bytes();
        Error::Torn(format!(
            "ends inside frame {}, at byte {}: {have} of {want} bytes",
            self.frames, self.bytes
        ))
    }

    /// Reads the next frame into `frame`, which takes the frame's size. `false` at the end of the stream.
    ///
    /// Errors: [`Error::Torn`] when the stream ends inside the frame or its header, with frame and byte position. What
    /// is in `frame` then is not a frame.
    pub fn read(&mut self, frame: &mut Vec<u8>) -> Result<bool, Error> {
        if !self.begin()? {
            return Ok(false);
        }
        // Only the first call pays for zeroing: later frames have the same size.
        frame.resize(self.format.frame_bytes(), 0);
        let have = self.fill(frame)?;
        if have < frame.len() {
            return Err(self.torn_frame(have));
        }
        self.frame_line = None;
        self.frames += 1;
        Ok(true)
    }

    /// Moves the next frame to `sink`, framed as it came, without holding it. `false` at the end of the stream.
    ///
    /// Errors: as for [`FrameReader::read`], but the sink then has the beginning of a torn frame; and the sink's own.
    pub fn pass<S: Sink<R>>(&mut self, sink: &mut S) -> Result<bool, PassError<S::Error>> {
        if !self.begin()? {
            return Ok(false);
        }
        if let Some(line) = self.frame_line.take() {
            sink.bytes(line.as_bytes()).and_then(|()| sink.bytes(b"\n")).map_err(PassError::Sink)?;
        }
        let want = self.format.frame_bytes();
        let mut have = self.sniffed.len().min(want);
        sink.bytes(&self.sniffed[..have]).map_err(PassError::Sink)?;
        self.sniffed.drain(..have);
        self.bytes += have as u64;
        while have < want {
            let moved = sink.move_from(&mut self.input, want - have).map_err(PassError::Sink)?;
            if moved == 0 {
                return Err(self.torn_frame(have).into());
            }
            have += moved;
            self.bytes += moved as u64;
        }
        self.frames += 1;
        Ok(true)
    }
}

/// How much of a raw frame is read to see that there is one.
const FIRST_BYTES: usize = 4096;

/// Where [`FrameReader::pass`] moves frames.
pub trait Sink<R> {
    /// Why it takes no more.
    type Error;

    /// Takes all of `bytes`.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Takes up to `most` bytes from `input` and says how many; 0 when the input has ended.
    fn move_from(&mut self, input: &mut R, most: usize) -> Result<usize, Self::Error>;
}

/// Why a frame could not be moved on.
#[derive(Debug, thiserror::Error)]
pub enum PassError<E> {
    /// The stream's fault.
    #[error(transparent)]
    Input(#[from] Error),
    /// The sink's.
    #[error("the sink takes no more")]
    Sink(E),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(w: usize, h: usize, name: &str) -> Declared {
        Declared { size: Some((w, h)), pix_fmt: PixFmt::named(name), rate: None }
    }

    fn drain(input: &[u8], declared: &Declared) -> (u64, Option<Error>) {
        let mut reader = match FrameReader::open(input, declared) {
            Ok(reader) => reader,
            Err(e) => return (0, Some(e)),
        };
        let mut frame = Vec::new();
        loop {
            match reader.read(&mut frame) {
                Ok(true) => {}
                Ok(false) => return (reader.frames(), None),
                Err(e) => return (reader.frames(), Some(e)),
            }
        }
    }

    /// Collects, two bytes at a time.
    impl Sink<&[u8]> for Vec<u8> {
        type Error = std::convert::Infallible;

        fn bytes(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
            self.extend_from_slice(bytes);
            Ok(())
        }

        fn move_from(&mut self, input: &mut &[u8], most: usize) -> Result<usize, Self::Error> {
            let (now, later) = input.split_at(input.len().min(most).min(2));
            self.extend_from_slice(now);
            *input = later;
            Ok(now.len())
        }
    }

    /// Passing on sees the same frames, ends and tears as reading.
    fn passes(input: &[u8], declared: &Declared, preamble: usize) {
        let (frames, error) = drain(input, declared);
        let Ok(mut reader) = FrameReader::open(input, declared) else { return };
        let mut out = Vec::new();
        let end = loop {
            match reader.pass(&mut out) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(e) => break Some(e.to_string()),
            }
        };
        assert_eq!((reader.frames(), &end), (frames, &error.map(|e| e.to_string())));
        assert!(input[preamble..].starts_with(&out), "{input:?} {out:?}");
        assert!(end.is_some() || out.len() == input.len() - preamble);
    }

    /// Every byte position of a short stream: it ends whole, or is torn and says where.
    #[test]
    fn torn_everywhere() {
        let frame = 4 * 2 * 3 / 2;
        let raw = vec![7u8; 3 * frame];
        for cut in 0..=raw.len() {
            passes(&raw[..cut], &declared(4, 2, "yuv420p"), 0);
            let (frames, error) = drain(&raw[..cut], &declared(4, 2, "yuv420p"));
            assert_eq!(frames, (cut / frame) as u64);
            if cut % frame == 0 {
                assert!(error.is_none());
            } else {
                let expected =
                    format!("ends inside frame {frames}, at byte {cut}: {} of 12 bytes", cut % frame);
                assert!(matches!(&error, Some(Error::Torn(m)) if *m == expected), "{error:?}");
            }
        }
        let head = b"YUV4MPEG2 W4 H2 F25:1 Ip C420\n";
        let mut y4m = head.to_vec();
        for _ in 0..2 {
            y4m.extend_from_slice(b"FRAME\n");
            y4m.extend_from_slice(&[1; 12]);
        }
        for cut in 9..=y4m.len() {
            passes(&y4m[..cut], &Declared::default(), head.len());
            let (frames, error) = drain(&y4m[..cut], &Declared::default());
            let whole = cut >= head.len() && (cut - head.len()).is_multiple_of(18);
            assert_eq!(error.is_none(), whole, "{cut}: {error:?}");
            assert!(whole || matches!(error, Some(Error::Torn(_))));
            assert_eq!(frames, (cut.saturating_sub(head.len()) / 18) as u64);
        }
    }

    #[test]
    fn flags_may_repeat_the_header_but_not_contradict_it() {
        let y4m = b"YUV4MPEG2 W4 H2 F25:1 Ip C420\n";
        assert!(drain(y4m, &declared(4, 2, "yuv420p")).1.is_none());
        let message = drain(y4m, &declared(4, 4, "yuv420p")).1.unwrap().to_string();
        assert_eq!(message, "--size 4x4 contradicts the YUV4MPEG2 header, which says 4x2");
        let message = drain(y4m, &declared(4, 2, "yuv422p")).1.unwrap().to_string();
        assert_eq!(message, "--pix-fmt yuv422p contradicts the YUV4MPEG2 header, which says yuv420p");
    }

    #[test]
    fn raw_video_needs_words() {
        assert!(matches!(drain(b"abc", &Declared::default()).1, Some(Error::Usage(_))));
    }

    #[test]
    fn nothing_at_all_is_torn_not_misused() {
        let message = |input| match drain(input, &Declared::default()).1 {
            Some(Error::Torn(message)) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(message(b""), "ended before the first frame");
        assert_eq!(message(b"YUV4"), "ends inside the YUV4MPEG2 header, at byte 4");
    }

    #[test]
    fn lost_framing_is_not_an_end() {
        let (_, error) = drain(b"YUV4MPEG2 W4 H2 F25:1 Ip C420\nFRAMX\n", &Declared::default());
        assert_eq!(error.unwrap().to_string(), "frame 0, byte 30: no FRAME line where one must be");
    }
}
