//! Samples of a film, which really go through every stage and every encoder at full size: each stage by itself, and whole passes,
//! as the options run them.

use super::{
    model::KEYINT,
    samples::{Measurement, Packet, PassSample, StageSample},
    shape::{Pass, Piece, Shape, Stage, named, pieces},
};
use crate::{
    makefile::Makefile,
    pipeline::{self, Program},
    probe,
    recipe::{self, Recipe},
    span::Span,
    template::Values,
};
use cli::{Error, Result, reason};
use sr_window::window::Grid;
use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

/// A film that samples are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Frames that the film has.
    pub film: u64,
    /// The first frame that is asked about.
    pub start: u64,
    /// And how many.
    pub frames: u64,
    /// Samples to take, besides the one of one frame.
    pub samples: u64,
    /// The network's windows.
    pub grid: Grid,
}

/// Consecutive frames of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The first film frame.
    pub first: u64,
    /// How many.
    pub frames: u64,
    /// And so many on either side that the network sees, as in a window's middle: without them it leaves out detail.
    pub around: u64,
}

impl Asked {
    /// Frames in a sample: one group of pictures of the final encode. Of half a group x265's sizes are 4 % off, of a whole one
    /// less than 1 %.
    fn group(self) -> u64 {
        self.frames.min(KEYINT)
    }

    /// The middles of equal parts of what is asked about, and before these, one of one frame only: what starting a stage takes.
    pub fn samples(self) -> Vec<Sample> {
        let group = self.group();
        let count = self.samples.min(self.frames / group).max(1);
        let middle = |i: u64| {
            let first = ((2 * i + 1) * self.frames / (2 * count)).saturating_sub(group / 2);
            Sample { first: self.start + first, frames: group, around: self.grid.overlap }
        };
        let short = Sample { first: self.start, frames: 1, around: 0 };
        std::iter::once(short).chain((0..count).map(middle)).collect()
    }

    /// Frames of two samples of the film's sound, from its beginning on.
    fn lengths(self) -> [u64; 2] {
        [self.group(), self.frames.min(10 * self.group())]
    }

    /// In a film the network is at one window while the encoder is at the one before: so, in a sample, in windows of a quarter.
    fn grid_of_passes(self) -> Grid {
        let group = self.group();
        let window = if group >= 4 { self.grid.window.min(group / 4) } else { self.grid.window };
        Grid { window, ..self.grid }
    }
}

impl Sample {
    /// The film frame that a sample is read from.
    fn begin(self) -> u64 {
        self.first.saturating_sub(self.around)
    }

    /// The sample as the whole film of the stages, which is read from [`begin`](Self::begin) on.
    fn span(self, film: u64) -> Span {
        let (begin, end) = (self.begin(), film.min(self.first + self.frames + self.around));
        let (next, read) = (self.first - begin, end - begin);
        Span { start: next, end: next + self.frames, next, first: 0, seen: read, read, film }
    }
}

/// How many frames the network computes for those of a span, each window's with its overlaps.
fn computed(span: Span, grid: Grid) -> u64 {
    let windows = grid.index(span.next)..=grid.index(span.end - 1);
    windows.map(|j| grid.computes(j)).map(|frames| frames.end.min(span.seen) - frames.start).sum()
}

/// Runs programs side by side in a folder: what the first reads, and where the last one's standard output goes.
pub type Run<'a> = &'a mut dyn FnMut(&[Program], &Streams<'_>) -> Result<()>;

/// The ends of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams<'a> {
    /// Where the programs run.
    pub folder: &'a Path,
    /// What the first reads from its standard input; `None`: nothing.
    pub input: Option<PathBuf>,
    /// Where the last one's standard output goes; `None`: nowhere.
    pub output: Option<PathBuf>,
}

/// A stage that is to be measured by itself.
#[derive(Clone, Debug)]
struct Alone {
    stage: Stage,
    /// A pass that it works in.
    pass: recipe::Pass,
    /// Its programs in there.
    programs: Range<usize>,
    /// The stage whose output it reads from its standard input.
    after: Option<Stage>,
    /// The file that it writes, if it does.
    file: Option<String>,
}

/// What is to be measured on each sample.
#[derive(Debug)]
pub struct Measures {
    alone: Vec<Alone>,
    passes: Vec<(Pass, recipe::Pass)>,
}

impl Measures {
    /// All that has to be known of these recipes.
    pub fn of(recipes: &[Recipe]) -> Self {
        let (mut alone, mut passes) = (Vec::new(), Vec::new());
        for recipe in recipes {
            alone.extend(stages(recipe));
            passes.extend(whole_passes(recipe));
        }
        // Of two passes of a kind, the one that reads the source itself is measured.
        passes.sort_by_key(|(pass, _): &(Pass, _)| pass.0.contains(&Stage::ReadPre));
        Self {
            alone: first_of_each(alone, |alone: &Alone| alone.stage.clone()),
            passes: first_of_each(passes, |(pass, _)| pass.kind()),
        }
    }
}

/// Of those that have the same key, the first.
fn first_of_each<T, K: Ord>(all: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|one| seen.insert(key(one))).collect()
}

/// The file of a stage that writes one, in the format that `name` has.
fn file_of(stage: &Stage, name: &str) -> String {
    let ending = Path::new(name).extension().map_or_else(|| "mkv".into(), |ending| ending.to_string_lossy());
    format!("{stage}.{ending}")
}

/// The pieces of a recipe, in which mezzanines have the names of the stages that write them.
fn pieces_with_files(recipe: &Recipe) -> Vec<Piece> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut pieces = pieces(recipe);
    for Piece { stages, pass } in &mut pieces {
        if let Some(input) = &mut pass.input
            && let Some((_, file)) = files.iter().find(|(name, _)| name == input)
        {
            input.clone_from(file);
        }
        if let (Some(output), Some((stage, _))) = (&mut pass.output, stages.last()) {
            let file = file_of(stage, output);
            files.push((std::mem::replace(output, file.clone()), file));
        }
    }
    pieces
}

/// The stages of a recipe, each behind those whose output or file it needs.
fn stages(recipe: &Recipe) -> Vec<Alone> {
    let pieces = pieces_with_files(recipe);
    // As if there were no mezzanines.
    let mut straight = recipe::Pass { stages: Vec::new(), input: None, output: None };
    for Piece { pass, .. } in &pieces {
        let end = pass.stages.len() - usize::from(pass.output.is_some());
        straight
            .stages
            .extend(pass.stages.get(usize::from(pass.input.is_some())..end).into_iter().flatten().cloned());
    }
    let mut alone: Vec<Alone> = Vec::new();
    for (stage, programs) in named(&straight, true, &mut false) {
        let after = alone.last().map(|a| a.stage.clone());
        let file = (stage == Stage::Final).then(|| file_of(&stage, recipe::VIDEO));
        alone.push(Alone { stage, pass: straight.clone(), programs, after, file });
    }
    for Piece { stages, pass } in &pieces {
        for (i, (stage, programs)) in stages.iter().enumerate() {
            let (file, after) = match stage {
                Stage::Pre(_) | Stage::Mezz(_) => {
                    (pass.output.clone(), i.checked_sub(1).map(|i| stages[i].0.clone()))
                }
                Stage::ReadPre | Stage::ReadMezz => (None, None),
                _ => continue,
            };
            alone.push(Alone {
                stage: stage.clone(),
                pass: pass.clone(),
                programs: programs.clone(),
                after,
                file,
            });
        }
    }
    if alone.iter().any(|a| a.stage == Stage::ReadPre) {
        let from = alone.iter().find(|a| a.stage == Stage::Prepare).map_or(0, |a| a.programs.end);
        let programs = from..straight.stages.len();
        let file = Some(file_of(&Stage::FinalPre, recipe::VIDEO));
        alone.push(Alone {
            stage: Stage::FinalPre,
            pass: straight,
            programs,
            after: Some(Stage::ReadPre),
            file,
        });
    }
    alone
}

/// The passes of a recipe that have to be measured as a whole.
fn whole_passes(recipe: &Recipe) -> Vec<(Pass, recipe::Pass)> {
    let (shape, pieces) = (Shape::of(recipe), pieces_with_files(recipe));
    let mut passes: Vec<_> =
        shape.passes.iter().cloned().zip(pieces.iter().map(|piece| piece.pass.clone())).collect();
    if let Some((at_once, last)) = shape.at_once().zip(recipe.passes.last()) {
        // What it reads is what its first piece reads.
        let first = recipe.passes.len() - 1;
        passes.push((at_once, recipe::Pass { input: pieces[first].pass.input.clone(), ..last.clone() }));
    }
    let measured = shape.measured_passes();
    passes.retain(|(pass, _)| measured.contains(pass));
    passes
}

/// Takes the samples and measures; `values` are those of the job, `folder` is an empty one for what is made on the way, and
/// `mux` makes a film of the pictures that it is given.
///
/// Errors: a stage that fails.
pub fn measure(
    asked: Asked,
    (makefile, recipes): (&Makefile, &[Recipe]),
    values: &Values,
    folder: &Path,
    run: Run<'_>,
    mux: &mut dyn FnMut(&Path, &Path) -> Result<()>,
    say: &dyn Fn(&str),
) -> Result<Vec<Measurement>> {
    let measures = Measures::of(recipes);
    let mut bench = Bench { asked, makefile, values, folder, run, found: Vec::new() };
    let (samples, lengths) = (asked.samples(), asked.lengths());
    let steps = samples.len() + lengths.len();
    for (i, sample) in samples.into_iter().enumerate() {
        let frames = if sample.frames == 1 { "1 frame".into() } else { format!("{} frames", sample.frames) };
        say(&format!("{} of {steps}: {frames} from film frame {}", i + 1, sample.first));
        for alone in &measures.alone {
            bench.stage(alone, &measures, sample)?;
        }
        bench.prove(sample)?;
        for (name, pass) in &measures.passes {
            bench.pass(name, pass, sample)?;
        }
    }
    for (i, frames) in lengths.into_iter().enumerate() {
        say(&format!("{} of {steps}: the sound of {frames} frames", steps - lengths.len() + i + 1));
        bench.mux(frames, mux)?;
    }
    Ok(bench.found)
}

/// Where samples are run.
struct Bench<'a> {
    asked: Asked,
    makefile: &'a Makefile,
    values: &'a Values,
    folder: &'a Path,
    run: Run<'a>,
    found: Vec<Measurement>,
}

impl Bench<'_> {
    /// What the stages are told of a sample.
    fn values(&self, sample: Sample, grid: Grid) -> Values {
        let mut values = self.values.clone();
        sample.span(self.asked.film).tell(&mut values);
        values.set("window", grid.window);
        // Seeking may land on a frame nearby, whose size is as good.
        let rate = values.word("from").and_then(|rate| rate.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
        let base = self.values.word("seek").and_then(|seek| seek.parse::<f64>().ok()).unwrap_or(0.0);
        values.set("seek", base + sample.begin() as f64 / rate);
        // Of a sample, two segments are made.
        values.set("segment", (sample.frames / 2).max(1));
        values.set("jobs", 1);
        for name in ["reports", "max_disk", "keep"] {
            values.set_or_not(name, None::<&str>);
        }
        values
    }

    fn programs(&self, pass: &recipe::Pass, sample: Sample, grid: Grid, out: &str) -> Result<Vec<Program>> {
        pipeline::programs(self.makefile, pass, &self.values(sample, grid), out)
            .map_err(|why| Error::failed("Makefile", why))
    }

    /// Runs programs, and how long that takes, in seconds.
    fn timed(&mut self, programs: &[Program], streams: &Streams<'_>) -> Result<f64> {
        let began = Instant::now();
        (self.run)(programs, streams)?;
        Ok(began.elapsed().as_secs_f64())
    }

    fn stage(&mut self, alone: &Alone, measures: &Measures, sample: Sample) -> Result<()> {
        let Alone { stage, pass, programs, after, file } = alone;
        let out = file.clone().unwrap_or_default();
        let all = self.programs(pass, sample, self.asked.grid, &out)?;
        let output = |stage: &Stage| self.folder.join(stage.to_string());
        let is_read = measures.alone.iter().any(|other| other.after.as_ref() == Some(stage));
        let streams = Streams {
            folder: self.folder,
            input: after.as_ref().map(output),
            output: is_read.then(|| output(stage)),
        };
        let wall_s = self.timed(&all[programs.clone()], &streams)?;
        let span = sample.span(self.asked.film);
        // The last stage that works on the frames before and after as well is the network.
        let frames = match stage {
            Stage::Prepare | Stage::Pre(_) | Stage::ReadPre => span.seen,
            Stage::Enlarge => computed(span, self.asked.grid),
            _ => sample.frames,
        };
        let packets = file.as_ref().map_or(Ok(Vec::new()), |file| packets(&self.folder.join(file)))?;
        self.found.push(Measurement::Stage(StageSample { stage: stage.clone(), frames, wall_s, packets }));
        Ok(())
    }

    /// Decodes and counts the film of a sample, as seg-sink does it.
    fn prove(&mut self, sample: Sample) -> Result<()> {
        let film = file_of(&Stage::Final, recipe::VIDEO);
        let words = "ffmpeg -hide_banner -loglevel error -nostdin -i";
        let hashed = "-map 0:v:0 -f framehash -hash murmur3 -";
        let words = words.split(' ').chain([&*film]).chain(hashed.split(' ')).map(str::to_owned).collect();
        let program = Program { stage: Stage::Prove.to_string(), words };
        let wall_s = self.timed(&[program], &Streams { folder: self.folder, input: None, output: None })?;
        let proof = StageSample { stage: Stage::Prove, frames: sample.frames, wall_s, packets: Vec::new() };
        self.found.push(Measurement::Stage(proof));
        Ok(())
    }

    fn pass(&mut self, name: &Pass, pass: &recipe::Pass, sample: Sample) -> Result<()> {
        let grid = self.asked.grid_of_passes();
        let input = pass.input.as_ref().map(|input| format!("../{input}"));
        let pass = recipe::Pass { input, ..pass.clone() };
        let programs = self.programs(&pass, sample, grid, pass.leaves())?;
        let beside = self.folder.join("beside");
        let failed = |e: std::io::Error| Error::failed(beside.display(), reason(&e));
        fs::create_dir(&beside).map_err(failed)?;
        let wall_s = self.timed(&programs, &Streams { folder: &beside, input: None, output: None })?;
        fs::remove_dir_all(&beside).map_err(failed)?;
        let span = sample.span(self.asked.film);
        self.found.push(Measurement::Pass(PassSample {
            pass: name.clone(),
            frames: sample.frames,
            read: span.seen,
            computed: computed(span, grid),
            window: grid.window,
            wall_s,
        }));
        Ok(())
    }

    /// The pictures of a sample, over and over, with so much of the film's sound.
    fn mux(&mut self, frames: u64, mux: &mut dyn FnMut(&Path, &Path) -> Result<()>) -> Result<()> {
        let [sample, repeated, muxed] =
            [&*file_of(&Stage::Final, recipe::VIDEO), "repeated.mkv", "muxed.mkv"];
        let words = format!(
            "ffmpeg -hide_banner -loglevel error -nostdin -y -stream_loop -1 -i {sample} -c copy -frames:v"
        );
        let words =
            words.split(' ').map(str::to_owned).chain([frames.to_string(), repeated.into()]).collect();
        let program = Program { stage: Stage::Mux.to_string(), words };
        (self.run)(&[program], &Streams { folder: self.folder, input: None, output: None })?;
        let [repeated, muxed] = [repeated, muxed].map(|file| self.folder.join(file));
        let began = Instant::now();
        mux(&repeated, &muxed)?;
        let wall_s = began.elapsed().as_secs_f64();
        self.found.push(Measurement::Stage(StageSample {
            stage: Stage::Mux,
            frames,
            wall_s,
            packets: Vec::new(),
        }));
        Ok(())
    }
}

/// The encoded frames of a file.
fn packets(file: &Path) -> Result<Vec<Packet>> {
    let mut packets = Vec::new();
    probe::lines(file, "packet=size,flags", &["-select_streams", "v:0"], |line| {
        if let Some((Ok(bytes), flags)) = line.split_once('|').map(|(size, flags)| (size.parse(), flags)) {
            packets.push(Packet { bytes, key: flags.starts_with('K') });
        }
    })?;
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { window: 8, overlap: 2 };

    fn asked(film: u64, start: u64, frames: u64, samples: u64) -> Asked {
        Asked { film, start, frames, samples, grid: GRID }
    }

    #[test]
    fn samples_are_the_middles_of_equal_parts() {
        let firsts = |asked: Asked| -> Vec<(u64, u64)> {
            asked.samples().iter().map(|sample| (sample.first, sample.frames)).collect()
        };
        assert_eq!(firsts(asked(300, 0, 300, 3)), [(0, 1), (26, 48), (126, 48), (226, 48)]);
        assert_eq!(firsts(asked(300, 100, 200, 1)), [(100, 1), (176, 48)]);
        // No more than there is room for, and at least one.
        assert_eq!(firsts(asked(100, 0, 100, 5)), [(0, 1), (1, 48), (51, 48)]);
        assert_eq!(firsts(asked(25, 0, 10, 5)), [(0, 1), (0, 10)]);
        assert_eq!(firsts(asked(1, 0, 1, 5)), [(0, 1), (0, 1)]);
    }

    #[test]
    fn a_sample_is_read_with_what_the_network_sees_around_it() {
        let sample = Sample { first: 26, frames: 48, around: 2 };
        let span = sample.span(300);
        assert_eq!(
            (sample.begin(), span.first, span.next, span.end, span.seen, span.read),
            (24, 0, 2, 50, 52, 52)
        );
        // At a film's ends there is less.
        let whole = Sample { first: 1, frames: 48, around: 2 }.span(50);
        assert_eq!((whole.next, whole.seen), (1, 50));
        // Windows of 8 from frame 0 on, each with 2 frames on either side, cut short at the ends.
        assert_eq!(computed(whole, GRID), 10 + 5 * 12 + 4);
    }

    /// What was run, as its words: `prepare <input >output`.
    fn ran(programs: &[Program], streams: &Streams<'_>) -> String {
        let stages: Vec<_> = programs.iter().map(|p| &*p.stage).collect();
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let input = streams.input.as_ref().map_or(String::new(), |path| format!(" <{}", name(path)));
        let output = streams.output.as_ref().map_or(String::new(), |path| format!(" >{}", name(path)));
        format!("{}{input}{output}", stages.join(" | "))
    }

    fn values() -> Values {
        let mut values = Values::default();
        for name in [
            "src",
            "prepared",
            "enlarged",
            "frames",
            "all",
            "done",
            "height",
            "crf",
            "preset",
            "tune",
            "first",
            "read",
            "seen",
            "next",
            "overlap",
            "field_phase",
            "scale",
            "crop",
            "qp",
        ] {
            values.set(name, name);
        }
        for (name, value) in [
            ("encoder", "x265"),
            ("mezz", "x265"),
            ("engine", "nearest"),
            ("reports", "reports"),
            ("from", "25"),
        ] {
            values.set(name, value);
        }
        for name in [
            "whole",
            "weights",
            "device",
            "max_disk",
            "keep",
            "places",
            "matrix",
            "chromaloc",
            "field_orders",
        ] {
            values.set_or_not(name, None::<&str>);
        }
        values
    }

    /// Every stage of every option is run once on each sample, after what it needs, and so is every pass of its kind.
    #[test]
    fn every_stage_and_every_kind_of_pass_is_measured_once() {
        let makefile = Makefile::own();
        let recipes = Recipe::all(makefile).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (mut seen, mut words) = (Vec::new(), Vec::new());
        let mut run = |programs: &[Program], streams: &Streams<'_>| {
            seen.push(ran(programs, streams));
            words.push(programs.iter().map(|p| p.words.join(" ")).collect::<Vec<_>>().join(" | "));
            Ok(())
        };
        let measures = Measures::of(&recipes);
        let asked = asked(300, 0, 300, 1);
        let mut bench = Bench {
            asked,
            makefile,
            values: &values(),
            folder: folder.path(),
            run: &mut run,
            found: Vec::new(),
        };
        let sample = Sample { first: 26, frames: 48, around: 2 };
        for alone in &measures.alone {
            // Without a film to be looked at.
            bench.stage(&Alone { file: None, ..alone.clone() }, &measures, sample).unwrap();
        }
        for (name, pass) in &measures.passes {
            bench.pass(name, pass, sample).unwrap();
        }
        let passes: Vec<_> = measures.passes.iter().map(|(name, _)| name.to_string()).collect();
        let found: Vec<_> = bench
            .found
            .iter()
            .filter_map(|m| {
                if let Measurement::Stage(s) = m { Some((s.stage.to_string(), s.frames)) } else { None }
            })
            .collect();
        assert_eq!(
            seen[..found.len()],
            [
                "decode | prepare >prepare",
                "enlarge <prepare >enlarge",
                "retime <enlarge >retime",
                "encode <retime",
                "prores <prepare",
                "read-rgb >read-pre",
                "prores <enlarge",
                "read-yuv",
                "enlarge | retime | encode <read-pre",
                "prores-lt <prepare",
                "intra <enlarge",
            ]
        );
        let frames: Vec<_> = found.iter().map(|(stage, frames)| (stage.as_str(), *frames)).collect();
        assert_eq!(frames[..2], [("prepare", 52), ("enlarge", 76)]);
        assert_eq!(frames[4..6], [("pre-prores", 52), ("read-pre", 52)]);
        assert_eq!(
            passes,
            [
                "prepare pre-prores",
                "read-mezz retime final",
                "prepare enlarge mezz-prores",
                "prepare enlarge mezz-intra",
                "prepare enlarge retime final prove",
                "prepare enlarge mezz-prores read-mezz retime final prove",
            ]
        );
        assert_eq!(seen[found.len() + 4], "decode | prepare | enlarge | retime | segments");
        let segments = &words[found.len() + 5];
        // Two segments, in a folder of their own, and nothing of a job's: no reports, no limit.
        assert!(
            segments.contains(" --dir segments ") && segments.contains(" --segment 24f --jobs 1 "),
            "{segments}"
        );
        assert!(!segments.contains("report"), "{segments}");
        assert!(words[0].contains(" -ss 0.96 ") && words[0].contains(" -frames:v 52 "), "{}", words[0]);
        // A window of a quarter in a pass, so that the network and the encoder are at work at once.
        assert!(words[1].contains(" --window 8 ") && segments.contains(" --window 8 "));
        assert!(
            words[5].contains(" -i pre-prores.mov ")
                && words[found.len() + 1].contains(" -i ../mezz-prores.mov ")
        );
    }
}
