//! How long stages take, alone and side by side.
//!
//! Each stage was timed by itself on samples of the film, one of them of one frame; so were whole passes. What the pass took
//! beyond its slowest stage says how much its stages slow each other down on this machine, and that holds for a film.

use super::{
    bytes::Segments,
    samples::{Measurement, PassSample, StageSample},
    shape::{Pass, Shape, Stage},
};
use std::collections::BTreeMap;

/// Which of the samples a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The leanest or quickest.
    Low,
    /// All of them, in the mean.
    Expected,
    /// The richest or slowest.
    High,
}

impl End {
    pub(super) fn of(self, values: impl IntoIterator<Item = f64>) -> f64 {
        let values = values.into_iter();
        match self {
            Self::Low => values.fold(f64::INFINITY, f64::min),
            Self::Expected => mean(values),
            Self::High => values.fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (count, sum) = values.into_iter().fold((0u32, 0.0), |(n, sum), value| (n + 1, sum + value));
    sum / f64::from(count)
}

/// How many frames, and in which pieces they are worked on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Frames.
    pub frames: u64,
    /// Frames in a segment.
    pub segment: u64,
    /// Frames that the network emits per window.
    pub window: u64,
    /// And those on either side that it computes and throws away.
    pub overlap: u64,
}

/// A stage by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    /// Seconds before the first frame.
    start: f64,
    /// Seconds a frame.
    frame: f64,
}

impl Pace {
    /// Of samples of one frame and of many.
    fn of(samples: &[StageSample], end: End) -> Self {
        if samples.iter().all(|s| s.frames == 0) {
            return Self { start: mean(samples.iter().map(|s| s.wall_s)), frame: 0.0 };
        }
        let start = intercept(samples).max(0.0);
        let frame = end.of(long(samples).map(|s| (s.wall_s - start) / s.frames as f64));
        Self { start, frame: frame.max(0.0) }
    }
}

/// Where the line through the samples' seconds, by least squares, begins; 0 where they are all of one length.
fn intercept(samples: &[StageSample]) -> f64 {
    let x = mean(samples.iter().map(|s| s.frames as f64));
    let y = mean(samples.iter().map(|s| s.wall_s));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        samples.iter().map(|s| of(s.frames as f64 - x, s.wall_s - y)).sum()
    };
    let spread = sum(&|dx, _| dx * dx);
    if spread > 0.0 { y - sum(&|dx, dy| dx * dy) / spread * x } else { 0.0 }
}

/// Something of that many frames.
pub(super) trait Sample {
    fn frames(&self) -> u64;
}

impl Sample for StageSample {
    fn frames(&self) -> u64 {
        self.frames
    }
}

impl Sample for PassSample {
    fn frames(&self) -> u64 {
        self.frames
    }
}

/// Without the shortest, which was only for what starting takes, unless there are no others. At a film's ends, samples have
/// less around them and so are of fewer frames as well.
pub(super) fn long<S: Sample>(samples: &[S]) -> impl Iterator<Item = &S> {
    let least = samples.iter().map(S::frames).min().unwrap_or(0);
    let all = samples.iter().all(|s| s.frames() == least);
    samples.iter().filter(move |s| all || s.frames() > least)
}

/// How long some take side by side: as long as the longest, and of what the others take, the share `extra` by which they slow
/// each other down; none where each has processors of its own, more than all of it where they get into each other's way.
fn together(seconds: &[f64], extra: f64) -> f64 {
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    longest + extra * (seconds.iter().sum::<f64>() - longest)
}

/// Seconds that stages take in one pipe which, one by one, take `alone`. What comes after the network works on whole windows of
/// its: it cannot do anything during the first, nor can those before during the last.
fn in_a_pipe(alone: &[f64], stages: &[Stage], frames: u64, window: u64, extra: f64) -> f64 {
    let Some((ahead, behind)) = behind_the_network(stages).and_then(|at| alone.split_at_checked(at)) else {
        return together(alone, extra);
    };
    let (first, last) = ends(frames, window);
    let part = |seconds: &[f64], share: f64| seconds.iter().map(|s| share * s).collect::<Vec<_>>();
    let both = [part(ahead, 1.0 - first), part(behind, 1.0 - last)].concat();
    together(&part(ahead, first), extra) + together(&both, extra) + together(&part(behind, last), extra)
}

/// The index of the first stage that works on what the network made.
fn behind_the_network(stages: &[Stage]) -> Option<usize> {
    stages.iter().position(|s| *s == Stage::Enlarge).map(|at| at + 1)
}

/// The shares of `frames` frames that are in the first and in the last run of `length`.
fn ends(frames: u64, length: u64) -> (f64, f64) {
    let all = frames as f64;
    (length.min(frames) as f64 / all, 1.0 - ((frames - 1) / length * length) as f64 / all)
}

/// What was measured, by stage and by pass.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    stages: BTreeMap<Stage, Vec<StageSample>>,
    /// By [`Pass::kind`].
    passes: BTreeMap<Pass, Vec<PassSample>>,
}

impl Measured {
    /// In the order in which it was measured.
    pub fn new(measurements: impl IntoIterator<Item = Measurement>) -> Self {
        let mut measured = Self::default();
        for measurement in measurements {
            match measurement {
                Measurement::Stage(s) => measured.stages.entry(s.stage.clone()).or_default().push(s),
                Measurement::Pass(p) => measured.passes.entry(p.pass.kind()).or_default().push(p),
            }
        }
        measured
    }

    /// Is there all that has to be known to plan an option of that shape?
    pub fn covers(&self, shape: &Shape) -> bool {
        let always = [Stage::Learn, Stage::Mux, Stage::Final];
        always.iter().chain(&shape.measured_stages()).all(|stage| self.stages.contains_key(stage))
            && shape.measured_passes().iter().all(|pass| !self.pass(pass).is_empty())
    }

    /// A stage's samples.
    pub(super) fn stage(&self, stage: &Stage) -> &[StageSample] {
        self.stages.get(stage).map_or(&[], Vec::as_slice)
    }

    /// The samples of a pass, or of one that only a proof makes another.
    fn pass(&self, pass: &Pass) -> &[PassSample] {
        let kind = pass.kind();
        let found = self.passes.get(&kind).or_else(|| self.passes.get(&kind.without_proof()));
        found.map_or(&[], Vec::as_slice)
    }

    fn pace(&self, stage: &Stage, end: End) -> Pace {
        Pace::of(self.stage(stage), end)
    }

    /// Seconds of the shortest sample of a pass: what starting it takes.
    fn start_of(&self, pass: &Pass) -> f64 {
        self.pass(pass).iter().min_by_key(|s| s.frames).map_or(0.0, |s| s.wall_s)
    }

    /// Seconds of a pass's samples, in the mean, beyond those of the one of one frame.
    fn beyond_start(&self, pass: &Pass) -> f64 {
        mean(long(self.pass(pass)).map(|s| s.wall_s)) - self.start_of(pass)
    }

    /// By how much a pass's stages slow each other down, for [`together`]: what its samples took, against what its stages take
    /// by themselves.
    fn extra(&self, pass: &Pass) -> f64 {
        let stages = &pass.0;
        let start = self.start_of(pass);
        let shares = long(self.pass(pass)).map(|sample| {
            let proved = sample.pass.0.contains(&Stage::Prove);
            // Those that this sample ran, and what a pre-mezzanine makes of them.
            let ran = stages.iter().filter(|&stage| proved || *stage != Stage::Prove);
            let alone = ran.map(|stage| {
                let pace = self.pace(stage, End::Expected);
                let frames = match stage {
                    Stage::Prepare => sample.read,
                    Stage::Enlarge => sample.computed,
                    _ => sample.frames,
                };
                // A sample with a proof is in two segments; the short one is in one.
                let anew = proved && matches!(stage, Stage::Final | Stage::Prove);
                pace.frame * frames as f64 + if anew { pace.start } else { 0.0 }
            });
            let alone = alone.collect::<Vec<f64>>();
            let [least, more] =
                [0.0, 1.0].map(|extra| in_a_pipe(&alone, stages, sample.frames, sample.window, extra));
            // Of stages too quick to be measured nothing can be told: as if they came one after another.
            if more > least { (sample.wall_s - start - least) / (more - least) } else { 1.0 }
        });
        mean(shares).max(0.0)
    }

    /// Seconds that the proof of the long sample's two segments takes by itself, beyond that of the short one's.
    fn sampled_proof(&self) -> f64 {
        let [proof, film] = [Stage::Prove, Stage::Final].map(|stage| self.pace(&stage, End::Expected));
        let frames = self.stage(&Stage::Final).iter().map(|s| s.frames).max().unwrap_or(0);
        proof.start + film.start + proof.frame * frames as f64
    }

    /// The paces of a pass's stages, at work on a film. Encoders begin anew with every segment where they are followed by its
    /// proof. Only the network also computes frames that it throws away: its windows' overlaps.
    fn alone(&self, stages: &[Stage], work: &Work, end: End) -> Vec<Pace> {
        let frames = work.frames as f64;
        let windows = work.frames.div_ceil(work.window);
        let more = 1.0 + ((windows - 1) * 2 * work.overlap) as f64 / frames;
        let proved = stages.iter().skip(1).any(|s| *s == Stage::Prove);
        let encoders = if proved { behind_the_network(stages).unwrap_or(0) } else { stages.len() };
        let at_work = |(i, stage): (usize, &Stage)| {
            let pace = self.pace(stage, end);
            if *stage == Stage::Enlarge {
                Pace { frame: pace.frame * more, ..pace }
            } else if i >= encoders {
                Pace { start: 0.0, frame: pace.frame + pace.start / work.segment.min(work.frames) as f64 }
            } else {
                pace
            }
        };
        stages.iter().enumerate().map(at_work).collect()
    }

    /// Seconds of one pass.
    fn seconds(&self, pass: &Pass, work: &Work, end: End) -> f64 {
        let paces = self.alone(&pass.0, work, end);
        let alone: Vec<_> = paces.iter().map(|p| p.frame * work.frames as f64).collect();
        match (&paces[..], &alone[..]) {
            ([pace], [seconds]) => pace.start + seconds,
            _ => self.start_of(pass) + in_a_pipe(&alone, &pass.0, work.frames, work.window, self.extra(pass)),
        }
    }

    /// Seconds of an option in all, and how far a mezzanine's encode lags behind its writing, for
    /// [`on_disk`](super::bytes::on_disk).
    pub(super) fn time(&self, shape: &Shape, work: &Work, end: End) -> (f64, f64) {
        let mux = self.pace(&Stage::Mux, end);
        let mut seconds = self.pace(&Stage::Learn, end).start + mux.start + mux.frame * work.frames as f64;
        let mut lag = Segments::SLOWEST;
        if let Some((_, network, encode)) = shape.overlapped() {
            let apart = [network, &encode].map(|pass| self.seconds(pass, work, end));
            lag = apart[1] / apart[0];
            // Both at the same time, a segment apart. In the sample there were two segments.
            let both = self.beyond_start(&network.beside(&encode));
            let two = [self.beyond_start(network), self.beyond_start(&encode) + self.sampled_proof()];
            let [shorter, longer] = [two[0].min(two[1]), two[0].max(two[1])];
            let extra = if shorter > 0.0 {
                (2.0 * both - (shorter + longer) - longer).max(0.0) / shorter
            } else {
                1.0
            };
            let (first, last) = ends(work.frames, work.segment);
            let meanwhile = together(&[(1.0 - first) * apart[0], (1.0 - last) * apart[1]], extra);
            seconds += first * apart[0] + meanwhile + last * apart[1];
        }
        (seconds + shape.in_turn().iter().map(|pass| self.seconds(pass, work, end)).sum::<f64>(), lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples(pairs: &[(u64, f64)]) -> Vec<StageSample> {
        let sample = |&(frames, wall_s): &(u64, f64)| StageSample {
            stage: Stage::Retime,
            frames,
            wall_s,
            packets: Vec::new(),
        };
        pairs.iter().map(sample).collect()
    }

    #[test]
    fn a_pace_is_a_start_and_seconds_a_frame() {
        let recorded = samples(&[(1, 2.5), (10, 7.0), (10, 7.0)]);
        assert_eq!(Pace::of(&recorded, End::Expected), Pace { start: 2.0, frame: 0.5 });
        let uneven = samples(&[(1, 1.0), (10, 9.0), (10, 11.0)]);
        assert_eq!(Pace::of(&uneven, End::Low), Pace { start: 0.0, frame: 0.9 });
        assert_eq!(Pace::of(&uneven, End::High), Pace { start: 0.0, frame: 1.1 });
        assert_eq!(Pace::of(&samples(&[(0, 3.0)]), End::High), Pace { start: 3.0, frame: 0.0 });
        // Nothing takes less than no time, whatever the clock says.
        assert_eq!(Pace::of(&samples(&[(1, 2.0), (10, 1.0)]), End::Low).frame, 0.0);
    }

    #[test]
    fn what_is_behind_the_network_works_a_window_later() {
        let pass: Vec<Stage> = [Stage::Prepare, Stage::Enlarge, Stage::Final].to_vec();
        // In ten windows each of two stages takes a second: the last is one window behind.
        assert!((in_a_pipe(&[0.0, 10.0, 10.0], &pass, 100, 10, 0.0) - 11.0).abs() < 1e-9);
        // Where each gets into the other's way, they take as long as one after another.
        assert!((in_a_pipe(&[0.0, 10.0, 10.0], &pass, 100, 10, 1.0) - 20.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn side_by_side_is_never_quicker_than_the_slowest(
            alone in prop::collection::vec(0.0f64..100.0, 3), frames in 1u64..1000, window in 1u64..200, extra in 0.0f64..1.0,
        ) {
            let pass = [Stage::Prepare, Stage::Enlarge, Stage::Final];
            let seconds = in_a_pipe(&alone, &pass, frames, window, extra);
            let (longest, all) = (alone.iter().copied().fold(0.0, f64::max), alone.iter().sum::<f64>());
            prop_assert!(seconds >= longest * 0.999_999 && seconds <= all * 1.000_001);
        }
    }
}
