//! What each option takes of disk and time.
//!
//! A rate (bytes a frame) is the mean over the samples; the range is that of the leanest and the richest sample. The final
//! encode has a keyframe every 48 frames of a segment, and one more wherever a sample had one besides its first. Where a
//! pre-mezzanine comes first, its losses make the film smaller: such a film is sampled as [`Stage::FinalPre`].
//!
//! What options that were run on frames of this film have reported counts for these frames; samples, for the others. And where
//! an option took longer than would have been predicted, so it will again.

use super::{
    bytes::{Bytes, Rates, Segments, on_disk},
    earlier::Run,
    samples::StageSample,
    shape::{Shape, Stage},
    time::{End, Measured, Work, long, mean},
};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Frames from one keyframe of the final encode to the next.
pub const KEYINT: u64 = 48;

/// What is asked of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// The first film frame.
    pub start: u64,
    /// How many frames, and in which pieces.
    pub work: Work,
    /// Frames before `start` that a pre-mezzanine begins with.
    pub context: u64,
    /// Segments that are encoded at once.
    pub jobs: u64,
    /// Bytes a frame of all that is not pictures, in the source.
    pub sound: f64,
}

/// A figure, with its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread<T> {
    /// If all of the film is like its leanest sample.
    pub low: T,
    /// If its samples are like it.
    pub expected: T,
    /// If all of it is like its richest sample.
    pub high: T,
}

impl<T> Spread<T> {
    fn of(figure: impl Fn(End) -> T) -> Self {
        Self { low: figure(End::Low), expected: figure(End::Expected), high: figure(End::High) }
    }
}

impl<T: Copy> Spread<T> {
    /// The same of each figure.
    pub fn map<U>(self, of: impl Fn(T) -> U) -> Spread<U> {
        Spread { low: of(self.low), expected: of(self.expected), high: of(self.high) }
    }
}

/// The largest that each kind of file gets, in bytes; `None` where an option makes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The pre-mezzanine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pre: Option<Spread<u64>>,
    /// The upscaled mezzanine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mezz: Option<Spread<u64>>,
    /// The film.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none", default)]
    pub film: Option<Spread<u64>>,
}

/// What one option takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub option: String,
    /// The most that is on the disk at once.
    pub peak_bytes: Spread<u64>,
    /// The most of each kind.
    pub files_bytes: Files,
    /// Seconds, to a tenth.
    pub wall_s: Spread<f64>,
    /// How long it takes to encode a mezzanine's frame, in the time that writing one takes, where both are done at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lag: Option<f64>,
}

/// A film's samples and its earlier runs, to plan from.
#[derive(Clone, Debug)]
pub struct Model {
    measured: Measured,
    shapes: Vec<Shape>,
    earlier: Vec<Run>,
    request: Request,
}

impl Model {
    /// Of those of `shapes` that `measured` covers.
    pub fn new(measured: Measured, shapes: &[Shape], earlier: Vec<Run>, request: Request) -> Self {
        let shapes: Vec<_> = shapes.iter().filter(|shape| measured.covers(shape)).cloned().collect();
        let earlier = earlier.into_iter().filter(|run| shapes.iter().any(|s| s.name == run.option)).collect();
        Self { measured, shapes, earlier, request }
    }

    /// The options that can be planned.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// What was asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The earlier runs that count.
    pub fn earlier(&self) -> &[Run] {
        &self.earlier
    }

    /// Frames of the film that the plan is made of.
    pub fn sampled_frames(&self) -> u64 {
        long(self.measured.stage(&Stage::Final)).map(|s| s.frames).sum()
    }

    /// What every option takes for all that is asked about.
    pub fn whole(&self) -> Vec<Row> {
        self.rows(self.request.work.frames, self.request.context)
    }

    /// What every option takes for so many frames from the film's beginning on.
    pub fn of_frames(&self, frames: u64) -> Vec<Row> {
        self.rows(frames, 0)
    }

    fn rows(&self, frames: u64, context: u64) -> Vec<Row> {
        self.shapes.iter().map(|shape| self.row(shape, frames, context)).collect()
    }

    fn row(&self, shape: &Shape, frames: u64, context: u64) -> Row {
        let work = Work { frames, ..self.request.work };
        let (_, lag) = self.measured.time(shape, &work, End::Expected);
        let disk = Spread::of(|end| {
            // The high end is what seg-sink allows, whoever turns out to be slower.
            let (lag, window) = if end == End::High { (Segments::SLOWEST, 0) } else { (lag, work.window) };
            let segments = Segments { frames: work.segment, jobs: self.request.jobs, lag, window };
            on_disk(shape, frames, self.rates(shape, frames, end), segments, context)
        });
        let bytes = |of: fn(&Bytes) -> f64| disk.map(|bytes| of(&bytes).round_ties_even() as u64);
        let file = |of: fn(&Bytes) -> f64| Some(bytes(of)).filter(|sizes| sizes.high > 0);
        let slower = self.slower(&shape.name);
        let wall = |end| format!("{:.1}", self.measured.time(shape, &work, end).0 * slower);
        Row {
            option: shape.name.clone(),
            peak_bytes: bytes(|b| b.peak),
            files_bytes: Files { pre: file(|b| b.pre), mezz: file(|b| b.mezz), film: file(|b| b.film) },
            wall_s: Spread::of(|end| wall(end).parse().unwrap_or_default()),
            lag: shape.overlapped().map(|_| (lag * 1000.0).round() / 1000.0),
        }
    }

    fn rates(&self, shape: &Shape, frames: u64, end: End) -> Rates {
        let stretch = if shape.segmented { self.request.work.segment.min(frames) } else { frames };
        let rate = |stage: &Stage, kind: Kind| {
            let samples = self.measured.stage(stage);
            let sampled = end.of(long(samples).map(|s| bytes_per_frame(s, stretch)));
            let asked = frames == self.request.work.frames;
            let (bytes, of) = if asked { self.known(stage, kind) } else { (0.0, 0) };
            (bytes + sampled * (frames - of) as f64) / frames as f64
        };
        Rates {
            pre: shape.pre().map_or(0.0, |stage| rate(stage, Kind::Pre)),
            mezz: shape.mezz().map_or(0.0, |stage| rate(stage, Kind::Mezz)),
            video: rate(&shape.encoder(), Kind::Video),
            // Sound keeps its bit rate and lasts 25/24 as long.
            sound: self.request.sound * 25.0 / 24.0,
        }
    }

    fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.name == name)
    }

    /// Bytes and frames of a stage's file that options have made of frames that are asked about, each frame once.
    fn known(&self, stage: &Stage, kind: Kind) -> (f64, u64) {
        let asked = self.request.start..self.request.start + self.request.work.frames;
        let mut runs: Vec<_> = self.earlier.iter().collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.frames));
        let (mut bytes, mut seen) = (0.0, Vec::<Range<u64>>::new());
        for run in runs {
            let Some(shape) = self.shape(&run.option) else { continue };
            let wrote = match kind {
                Kind::Pre => shape.pre().cloned(),
                Kind::Mezz => shape.mezz().filter(|_| !shape.segmented).cloned(),
                Kind::Video => Some(shape.encoder()),
            };
            let span =
                asked.start.max(run.first_frame)..asked.end.min(run.first_frame.saturating_add(run.frames));
            let is_new = seen.iter().all(|s| s.start >= span.end || span.start >= s.end);
            if wrote.as_ref() == Some(stage) && !span.is_empty() && is_new {
                let size = match kind {
                    Kind::Pre => run.files_bytes.pre,
                    Kind::Mezz => run.files_bytes.mezz,
                    Kind::Video => run.files_bytes.video,
                };
                bytes += size as f64 * (span.end - span.start) as f64 / run.frames as f64;
                seen.push(span);
            }
        }
        (bytes, seen.iter().map(|s| s.end - s.start).sum())
    }

    /// How much longer than predicted this option has taken, or where it was not run, any has.
    fn slower(&self, name: &str) -> f64 {
        let ratio = |run: &Run| {
            let shape = self.shape(&run.option)?;
            let work = Work { frames: run.frames, segment: run.segment, ..self.request.work };
            Some(run.wall_s / self.measured.time(shape, &work, End::Expected).0)
        };
        let ratios = |of: &dyn Fn(&&Run) -> bool| -> Vec<f64> {
            self.earlier.iter().filter(|run| run.timed && !run.resumed).filter(of).filter_map(ratio).collect()
        };
        let own = ratios(&|run| run.option == name);
        let any = if own.is_empty() { ratios(&|_| true) } else { own };
        if any.is_empty() { 1.0 } else { mean(any) }
    }
}

/// What an option's report tells the size of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pre,
    Mezz,
    Video,
}

/// Of a file in which keyframes come every [`KEYINT`] frames of stretches that are so long, if they do not all stand alone.
fn bytes_per_frame(sample: &StageSample, stretch: u64) -> f64 {
    let sizes = |key| sample.packets.iter().filter(move |p| p.key == key).map(|p| p.bytes as f64);
    if sizes(false).next().is_none() {
        return mean(sizes(true));
    }
    let keys = stretch.div_ceil(KEYINT) as f64 / stretch as f64
        + (sizes(true).count() as f64 - 1.0) / sample.frames as f64;
    keys * mean(sizes(true)) + (1.0 - keys) * mean(sizes(false))
}
