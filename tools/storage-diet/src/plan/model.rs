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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        makefile::Makefile,
        plan::{
            earlier::FilesFound,
            samples::{Measurement, Packet},
            shape::tests::shapes,
        },
        recipe::Recipe,
    };

    /// What was measured on a film of 300 frames in pictures of 64x64, but for most of the packets.
    pub(in crate::plan) fn recorded() -> Vec<Measurement> {
        serde_json::from_str(include_str!("../../tests/data/measurements.json")).unwrap()
    }

    pub(in crate::plan) fn request(frames: u64, segment: u64, jobs: u64) -> Request {
        let work = Work { frames, segment, window: 8, overlap: 2 };
        Request { start: 0, work, context: 0, jobs, sound: 2345.5 }
    }

    fn runs() -> Vec<Run> {
        let run = |option: &str, first_frame, frames, wall_s, [pre, mezz, video]: [u64; 3]| Run {
            option: option.into(),
            first_frame,
            frames,
            wall_s,
            resumed: false,
            timed: true,
            segment: 50,
            files_bytes: FilesFound { pre, mezz, video, film: video + 1 },
        };
        vec![
            run("option0", 40, 100, 14.5, [226_000, 2_700_000, 110_000]),
            run("option4", 0, 300, 33.25, [0, 0, 330_000]),
        ]
    }

    /// An option, its peak, its pre-mezzanine, its mezzanine, its film, its seconds, and its lag.
    type Figures = (&'static str, [u64; 3], [u64; 3], [u64; 3], [u64; 3], [f64; 3], Option<f64>);

    fn check(rows: &[Row], figures: &[Figures]) {
        assert_eq!(rows.len(), figures.len());
        let spread = |[low, expected, high]: [u64; 3]| Spread { low, expected, high };
        let file = |sizes: [u64; 3]| Some(spread(sizes)).filter(|s| s.high > 0);
        for (row, &(option, peak, pre, mezz, film, [low, expected, high], lag)) in rows.iter().zip(figures) {
            let files_bytes = Files { pre: file(pre), mezz: file(mezz), film: file(film) };
            let wall_s = Spread { low, expected, high };
            let want = Row { option: option.into(), peak_bytes: spread(peak), files_bytes, wall_s, lag };
            assert_eq!(*row, want);
        }
    }

    const NONE: [u64; 3] = [0; 3];

    #[test]
    fn a_film_of_two_hours() {
        let work = Work { frames: 192_000, segment: 15_000, window: 96, overlap: 8 };
        let asked = Request { work, ..request(0, 0, 1) };
        let model = Model::new(Measured::new(recorded()), &shapes(), runs(), asked);
        assert_eq!(model.sampled_frames(), 144);
        check(&model.whole(), &TWO_HOURS);
    }

    #[test]
    fn what_is_known_counts() {
        let model = Model::new(Measured::new(recorded()), &shapes(), runs(), request(300, 50, 2));
        assert_eq!(model.earlier().len(), 2);
        check(&model.whole(), &KNOWN);
    }

    #[test]
    fn an_excerpt_has_its_context_in_the_pre_mezzanine() {
        let asked = Request { start: 60, context: 4, ..request(200, 48, 1) };
        check(&Model::new(Measured::new(recorded()), &shapes(), runs(), asked).whole(), &EXCERPT);
    }

    #[test]
    fn what_was_not_measured_is_not_planned() {
        let is_intra = |m: &Measurement| serde_json::to_string(m).unwrap().contains("mezz-intra");
        let measured = Measured::new(recorded().into_iter().filter(|m| !is_intra(m)));
        let model = Model::new(measured, &shapes(), runs(), request(300, 50, 1));
        assert_eq!(model.shapes().len(), shapes().len() - 1);
        assert!(model.shapes().iter().all(|shape| shape.name != "option3"));
    }

    #[test]
    fn an_option_that_was_slower_will_be_slower_again() {
        let plan = |runs| Model::new(Measured::new(recorded()), &shapes(), runs, request(300, 50, 1)).whole();
        let seconds =
            |rows: &[Row], name: &str| rows.iter().find(|row| row.option == name).unwrap().wall_s.expected;
        let (before, mut run) = (plan(Vec::new()), runs().remove(1));
        run.wall_s = 10.0 * seconds(&before, "option4");
        let after = plan(vec![run.clone()]);
        for name in ["option4", "option0"] {
            let times = seconds(&after, name) / seconds(&before, name);
            assert!((times - 10.0).abs() < 0.05, "{name}: {times}");
        }
        // What another machine took, or a run that went on with another's work, tells nothing.
        for run in [Run { timed: false, ..run.clone() }, Run { resumed: true, ..run }] {
            assert_eq!(seconds(&plan(vec![run]), "option0"), seconds(&before, "option0"));
        }
    }

    #[test]
    fn keyframes_come_with_segments() {
        let packet = |bytes, key| Packet { bytes, key };
        let packets = vec![packet(1000, true), packet(10, false), packet(10, false)];
        let sample = StageSample { stage: Stage::Final, frames: 48, wall_s: 1.0, packets };
        assert_eq!(bytes_per_frame(&sample, 48), (1000.0 + 47.0 * 10.0) / 48.0);
        assert_eq!(bytes_per_frame(&sample, 1), 1000.0);
        let intra = StageSample { packets: vec![packet(30, true), packet(50, true)], ..sample };
        assert_eq!(bytes_per_frame(&intra, 48), 40.0);
    }

    /// An eighth option needs no change here: its mezzanine lies behind the retiming.
    #[test]
    fn another_option_is_planned_from_its_recipe() {
        let makefile = Makefile::parse(
            "option8: pipeline = decode | prepare | enlarge | retime | ffv1 >mezz.mkv; read-yuv <mezz.mkv | encode",
        );
        let shapes = Shape::all(&makefile, &Recipe::all(&makefile).unwrap());
        let names: Vec<_> = shapes[0].measured_passes().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["prepare enlarge retime mezz-ffv1", "read-mezz final"]);
        let sample = |name: &str, frames: u64, bytes: &[u64]| {
            let packets = bytes.iter().map(|&bytes| Packet { bytes, key: true }).collect();
            Measurement::Stage(StageSample {
                stage: Stage::from(name.to_owned()),
                frames,
                wall_s: frames as f64,
                packets,
            })
        };
        let mut all =
            vec![sample("learn", 0, &[]), sample("final", 10, &[5]), sample("mezz-ffv1", 10, &[70])];
        all.extend(["prepare", "enlarge", "retime", "read-mezz", "mux"].map(|name| sample(name, 10, &[])));
        for pass in shapes[0].measured_passes() {
            let (frames, read, computed, window) = (10, 10, 10, 10);
            all.push(Measurement::Pass(crate::plan::samples::PassSample {
                pass,
                frames,
                read,
                computed,
                window,
                wall_s: 20.0,
            }));
        }
        let asked = Request { sound: 0.0, ..request(100, 50, 1) };
        let rows = Model::new(Measured::new(all), &shapes, Vec::new(), asked).whole();
        assert_eq!((rows[0].files_bytes.mezz.unwrap().expected, rows[0].peak_bytes.expected), (7000, 7500));
    }

    // Of the model that was held against whole runs: bench/storage.md.
    const TWO_HOURS: [Figures; 7] = [
        (
            "option0",
            [5_919_279_684, 5_989_929_535, 6_026_577_104],
            [423_269_550, 427_811_183, 430_753_650],
            [5_324_182_950, 5_381_177_250, 5_410_250_100],
            [640_927_184, 650_041_101, 654_673_354],
            [15338.8, 16603.9, 18167.5],
            None,
        ),
        (
            "option1",
            [5_795_434_134, 5_865_222_351, 5_903_311_454],
            [299_424_000, 303_104_000, 307_488_000],
            [5_324_182_950, 5_381_177_250, 5_410_250_100],
            [640_927_184, 650_041_101, 654_673_354],
            [16145.6, 17473.5, 19092.8],
            None,
        ),
        (
            "option2",
            [5_468_574_169, 5_538_675_956, 5_575_734_975],
            NONE,
            [5_324_182_950, 5_381_177_250, 5_410_250_100],
            [613_491_219, 626_598_706, 634_584_875],
            [14087.6, 15254.8, 16588.5],
            None,
        ),
        (
            "option3",
            [2_146_087_219, 2_210_714_706, 2_267_980_875],
            NONE,
            [2_001_696_000, 2_053_216_000, 2_102_496_000],
            [613_491_219, 626_598_706, 634_584_875],
            [23471.4, 24744.1, 25906.8],
            None,
        ),
        (
            "option4",
            [1_227_045_720, 1_253_262_561, 1_269_237_143],
            NONE,
            NONE,
            [613_522_860, 626_631_280, 634_618_572],
            [11760.7, 12602.4, 13485.2],
            None,
        ),
        (
            "option5",
            [1_227_045_720, 1_253_262_561, 1_269_237_143],
            NONE,
            [457_763_352, 462_663_616, 845_351_578],
            [613_522_860, 626_631_280, 634_618_572],
            [13945.3, 15052.2, 16330.8],
            Some(0.104),
        ),
        (
            "recommended",
            [1_281_900_727, 1_300_129_478, 1_312_336_854],
            [299_424_000, 303_104_000, 307_488_000],
            [456_105_822, 460_988_342, 845_351_578],
            [640_950_363, 650_064_739, 654_696_830],
            [16003.3, 17270.9, 18835.0],
            Some(0.1),
        ),
    ];

    const KNOWN: [Figures; 7] = [
        (
            "option0",
            [9_203_777, 9_277_445, 9_315_627],
            [666_900, 671_633, 674_700],
            [8_246_100, 8_305_500, 8_335_800],
            [1_023_746, 1_033_280, 1_038_095],
            [29.8, 31.7, 34.0],
            None,
        ),
        (
            "option1",
            [9_004_727, 9_079_412, 9_121_377],
            [467_850, 473_600, 480_450],
            [8_246_100, 8_305_500, 8_335_800],
            [1_023_746, 1_033_280, 1_038_095],
            [31.7, 33.8, 36.2],
            None,
        ),
        (
            "option2",
            [8_576_100, 8_635_500, 8_665_800],
            NONE,
            [8_246_100, 8_305_500, 8_335_800],
            [1_062_969, 1_062_969, 1_062_969],
            [28.6, 30.4, 32.5],
            None,
        ),
        (
            "option3",
            [3_457_650, 3_538_150, 3_615_150],
            NONE,
            [3_127_650, 3_208_150, 3_285_150],
            [1_062_969, 1_062_969, 1_062_969],
            [40.7, 42.6, 44.4],
            None,
        ),
        (
            "option4",
            [2_125_938, 2_125_938, 2_125_938],
            NONE,
            NONE,
            [1_062_969, 1_062_969, 1_062_969],
            [31.9, 33.2, 34.7],
            None,
        ),
        (
            "option5",
            [2_861_211, 2_879_840, 4_387_900],
            NONE,
            [2_586_211, 2_604_840, 4_167_900],
            [1_062_969, 1_062_969, 1_062_969],
            [44.2, 45.9, 47.9],
            Some(0.962),
        ),
        (
            "recommended",
            [3_266_533, 3_298_769, 4_860_131],
            [467_850, 473_600, 480_450],
            [2_546_303, 2_564_645, 4_167_900],
            [1_035_825, 1_045_598, 1_050_641],
            [47.3, 49.2, 51.6],
            Some(0.933),
        ),
    ];

    const EXCERPT: [Figures; 7] = [
        (
            "option0",
            [6_139_098, 6_183_370, 6_206_310],
            [454_247, 457_144, 459_020],
            [5_487_660, 5_523_300, 5_541_480],
            [685_837, 691_572, 694_456],
            [21.7, 23.0, 24.5],
            None,
        ),
        (
            "option1",
            [6_002_989, 6_048_274, 6_073_996],
            [318_138, 322_048, 326_706],
            [5_487_660, 5_523_300, 5_541_480],
            [685_837, 691_572, 694_456],
            [23.2, 24.5, 26.1],
            None,
        ),
        (
            "option2",
            [5_707_660, 5_743_300, 5_761_480],
            NONE,
            [5_487_660, 5_523_300, 5_541_480],
            [708_646, 708_646, 708_646],
            [21.0, 22.2, 23.6],
            None,
        ),
        (
            "option3",
            [2_305_100, 2_358_767, 2_410_100],
            NONE,
            [2_085_100, 2_138_767, 2_190_100],
            [708_646, 708_646, 708_646],
            [29.2, 30.4, 31.6],
            None,
        ),
        (
            "option4",
            [1_417_292, 1_417_292, 1_417_292],
            NONE,
            NONE,
            [708_646, 708_646, 708_646],
            [23.9, 24.8, 25.8],
            None,
        ),
        (
            "option5",
            [2_792_477, 2_809_584, 2_818_310],
            NONE,
            [2_634_077, 2_651_184, 2_659_910],
            [708_646, 708_646, 708_646],
            [32.2, 33.3, 34.5],
            Some(1.002),
        ),
        (
            "recommended",
            [2_950_796, 2_974_994, 3_133_478],
            [318_138, 322_048, 326_706],
            [2_491_985, 2_508_170, 2_659_910],
            [684_025, 689_724, 692_621],
            [34.3, 35.5, 36.9],
            Some(0.975),
        ),
    ];
}
