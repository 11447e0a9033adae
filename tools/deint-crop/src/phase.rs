//! `--field-phase auto`: film that is a field out of phase, put together again.
//!
//! A film at 25 frames a second is often a field late on a PAL disc: each frame is woven from the late field of one film
//! frame and the early field of the next. Nothing is lost; the fields only have to be paired anew. Which pairing is right
//! is measured ([`Combs`]) for every frame that moves enough to tell; the others go with those before them.

use crate::{
    analyze::{Combs, Weave},
    bwdif::Field,
    luma::Luma,
};
use cli::{Error, Result};
use rawstream::{PixFmt, VideoFormat};
use serde_json::{Value, json};
use simd::Level;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// What was done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was right, and is untouched.
    Kept,
    /// Its top field was joined with the next frame's bottom field.
    TopWithNext,
    /// Its bottom field was joined with the next frame's top field.
    BottomWithNext,
    /// No pairing was right: deinterlaced.
    Deinterlaced,
}

impl Done {
    /// The log's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::TopWithNext => "top_with_next",
            Self::BottomWithNext => "bottom_with_next",
            Self::Deinterlaced => "deinterlaced",
        }
    }
}

/// Decides frame by frame.
pub struct Solver {
    luma: Luma,
    pix_fmt: PixFmt,
    /// The pairing that frames go with which show none themselves: the last one that two frames agreed on.
    phase: Weave,
    /// The pairing of the last frame that showed one.
    last: Weave,
    /// The last frame that showed anything was of no two fields that go together.
    interlaced: bool,
    /// A frame paired anew.
    pub woven: Vec<u8>,
}

/// A decision and what it rests on.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// What to do.
    pub done: Done,
    /// The field to keep where it comes to deinterlacing and the phase is known: the other one is of another film frame.
    pub keep: Option<Field>,
    /// The measure; `None` for a film's last frame.
    pub combs: Option<Combs>,
}

impl Solver {
    /// For frames of `format`; `None` for RGB.
    pub fn new(format: &VideoFormat) -> Option<Self> {
        let luma = Luma::of(format, Level::best())?;
        let woven = vec![0; format.frame_bytes()];
        let (phase, last, interlaced) = (Weave::Aligned, Weave::Aligned, false);
        Some(Self { luma, pix_fmt: format.pix_fmt, phase, last, interlaced, woven })
    }

    /// Forgets the frames so far: with the next one another film begins.
    pub fn begin(&mut self) {
        (self.phase, self.last, self.interlaced) = (Weave::Aligned, Weave::Aligned, false);
    }

    /// Decides on a frame by looking at it and the one after it, and joins the fields in `woven` where they are to be.
    /// A film's last frame has none after it.
    pub fn decide(&mut self, frame: &[u8], next: Option<&[u8]>) -> Decision {
        let keep = match self.phase {
            Weave::BottomLate => Some(Field::Top),
            Weave::TopLate => Some(Field::Bottom),
            _ => None,
        };
        let Some(next) = next else {
            // Out of phase, the last frame holds a field of a film frame that the disc does not have. In phase it is taken
            // for what the frames before it are.
            let is_mixed = keep.is_some() || (self.interlaced && self.luma.is_combed(frame));
            let done = if is_mixed { Done::Deinterlaced } else { Done::Kept };
            return Decision { done, keep, combs: None };
        };
        let combs = Combs::of(&self.luma, frame, next);
        let combed = self.luma.is_combed(frame);
        let weave = combs.weave(self.luma.width * self.luma.height, combed);
        let done = match (weave, self.phase) {
            (Weave::Aligned, _) => Done::Kept,
            (Weave::BottomLate, _) => Done::TopWithNext,
            (Weave::TopLate, _) => Done::BottomWithNext,
            // Too little moves to tell: the frame goes with those before it, unless it is better as it is.
            (Weave::Unclear, Weave::BottomLate) if combs.bottom_late <= combs.own => Done::TopWithNext,
            (Weave::Unclear, Weave::TopLate) if combs.top_late <= combs.own => Done::BottomWithNext,
            (Weave::Unclear, _) => Done::Kept,
            (Weave::Interlaced, _) => Done::Deinterlaced,
        };
        if weave != Weave::Unclear {
            self.interlaced = weave == Weave::Interlaced;
        }
        if matches!(weave, Weave::Aligned | Weave::BottomLate | Weave::TopLate) {
            if self.last == weave {
                self.phase = weave;
            }
            self.last = weave;
        }
        match done {
            Done::TopWithNext => self.weave(frame, next),
            Done::BottomWithNext => self.weave(next, frame),
            Done::Kept | Done::Deinterlaced => {}
        }
        Decision { done, keep, combs: Some(combs) }
    }

    /// Joins the top field of `top` and the bottom field of `bottom`.
    fn weave(&mut self, top: &[u8], bottom: &[u8]) {
        for plane in 0..self.pix_fmt.planes() {
            let start = self.pix_fmt.plane_range(self.luma.width, self.luma.height, plane).start;
            let row_bytes = self.pix_fmt.row_bytes(self.luma.width, plane);
            for y in 0..self.pix_fmt.plane_size(self.luma.width, self.luma.height, plane).1 {
                let row = start + y * row_bytes..start + (y + 1) * row_bytes;
                self.woven[row.clone()].copy_from_slice(&if y.is_multiple_of(2) { top } else { bottom }[row]);
            }
        }
    }
}

impl Decision {
    /// A line of the log.
    pub fn line(&self, frame: u64) -> Value {
        json!({
            "frame": frame,
            "done": self.done.name(),
            "comb": self.combs.map(|c| json!({
                "own": c.own,
                "top_with_next": c.bottom_late,
                "bottom_with_next": c.top_late,
            })),
        })
    }
}

/// How many frames were treated in each way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts([u64; 4]);

impl Counts {
    /// One more.
    pub fn add(&mut self, done: Done) {
        self.0[done as usize] += 1;
    }

    /// For the report.
    pub fn value(self) -> Value {
        let all = [Done::Kept, Done::TopWithNext, Done::BottomWithNext, Done::Deinterlaced];
        all.into_iter().map(|done| (done.name().to_owned(), Value::from(self.0[done as usize]))).collect()
    }
}

/// `--log`: a JSON line for each frame.
pub struct Log<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl<'a> Log<'a> {
    /// Begins the file.
    pub fn create(path: &'a Path) -> Result<Self> {
        let file = File::create(path).map_err(|e| Error::io(path.display(), &e))?;
        Ok(Self { path, file: BufWriter::new(file) })
    }

    /// Adds a line.
    pub fn line(&mut self, line: &Value) -> Result<()> {
        let failed = |e| Error::io(self.path.display(), &e);
        writeln!(self.file, "{line}").map_err(failed)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|e| Error::io(self.path.display(), &e))
    }
}
