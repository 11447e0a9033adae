//! Times the CPU engine stage by stage: `bench-cpu [WIDTHxHEIGHT] [FRAMES] [MODEL] [THREADS] [LEVEL]`.
//!
//! MODEL is `builtin`, a file, or `cCbB`: C channels, B blocks, weights from formulas. LEVEL is one of those that the
//! CPU has: avx512, avx2, portable. The frames come from formulas.

use basicvsrpp::{
    Branch, EngineError, Model, Out, Precision, Settings,
    checkpoint::Checkpoint,
    cpu::fast::Fast,
    formula,
    network::{self, Backend, Earlier},
    picture::Output,
};
use rawstream::RgbFmt;
use simd::Level;
use std::{collections::BTreeMap, env, time::Instant};

/// Time on the wall and on all cores, in seconds.
#[derive(Default)]
struct Spent {
    wall: f64,
    cores: f64,
    calls: usize,
}

/// Seconds that all threads of this process have computed, to 10 ms.
fn cores() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A backend that takes the time of every stage.
struct Timed<B> {
    inner: B,
    stages: BTreeMap<&'static str, Spent>,
}

impl<B: Backend> Timed<B> {
    fn time<T>(&mut self, stage: &'static str, work: impl FnOnce(&mut B) -> T) -> T {
        let (start, before) = (Instant::now(), cores());
        let result = work(&mut self.inner);
        let spent = self.stages.entry(stage).or_default();
        spent.wall += start.elapsed().as_secs_f64();
        spent.cores += cores() - before;
        spent.calls += 1;
        result
    }
}

impl<B: Backend> Backend for Timed<B> {
    type Frame = B::Frame;
    type Feature = B::Feature;
    type Flow = B::Flow;

    fn frame(&mut self, wire: &bytes::Bytes) -> Result<B::Frame, EngineError> {
        self.time("frame", |b| b.frame(wire))
    }

    fn flows(&mut self, frames: &[B::Frame], pairs: &[(usize, usize)]) -> Result<Vec<B::Flow>, EngineError> {
        self.time("flows", |b| b.flows(frames, pairs))
    }

    fn compose(&mut self, flow: &B::Flow, previous: &B::Flow) -> Result<B::Flow, EngineError> {
        self.time("compose", |b| b.compose(flow, previous))
    }

    fn spatial(&mut self, frame: &B::Frame) -> Result<B::Feature, EngineError> {
        self.time("spatial", |b| b.spatial(frame))
    }

    fn align(
        &mut self,
        branch: Branch,
        spatial: &B::Feature,
        earlier: &Earlier<'_, Self>,
    ) -> Result<B::Feature, EngineError> {
        let Earlier { first, first_flow, second } = *earlier;
        self.time("align", |b| b.align(branch, spatial, &Earlier { first, first_flow, second }))
    }

    fn refine(
        &mut self,
        branch: Branch,
        found: &[&B::Feature],
        aligned: Option<B::Feature>,
    ) -> Result<B::Feature, EngineError> {
        self.time("refine", |b| b.refine(branch, found, aligned))
    }

    fn reconstruct(
        &mut self,
        frame: &B::Frame,
        features: [&B::Feature; 5],
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        self.time("reconstruct", |b| b.reconstruct(frame, features, out))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let arg = |i: usize, default: &str| args.get(i).cloned().unwrap_or_else(|| default.into());
    let size = arg(0, "320x180");
    let (width, height) = size.split_once('x').ok_or("size: WIDTHxHEIGHT")?;
    let (width, height) = (width.parse()?, height.parse()?);
    let (frames, model, threads) = (arg(1, "5").parse()?, arg(2, "c64b7"), arg(3, "2").parse()?);
    let level = Level::available()
        .into_iter()
        .rfind(|level| args.get(4).is_none_or(|name| level.to_string() == *name))
        .ok_or("this CPU has no such level")?;

    let rgb24 = RgbFmt::named("rgb24").ok_or("rgb24")?;
    let settings = Settings {
        width,
        height,
        in_fmt: rgb24,
        out_fmt: rgb24,
        precision: Precision::Fp32,
        threads,
        max_memory: None,
    };
    let sizes = model.strip_prefix('c').and_then(|sizes| sizes.split_once('b'));
    let sizes = sizes.and_then(|(c, b)| Some((c.parse().ok()?, b.parse().ok()?)));
    println!("{size}, {frames} frames, {model}, {threads} threads, {level}");
    let model = match sizes {
        Some((channels, blocks)) => {
            let bytes = formula::safetensors(&formula::tensors(channels, blocks), "formula");
            Model::new(&Checkpoint::safetensors(&model, &bytes)?)?
        }
        None if model == "builtin" => Model::builtin()?,
        None => Model::load(model.as_ref())?,
    };
    let film: Vec<_> = (0..frames).map(|k| formula::frame(width, height, k)).collect();
    let inner = Fast::new(&model, &settings, Output::Wire(rgb24), level)?;
    let mut timed = Timed { inner, stages: BTreeMap::new() };
    for round in 1..=2 {
        timed.stages.clear();
        let (start, before) = (Instant::now(), cores());
        network::enlarge(&mut timed, &film, 0..frames, &mut |_| Ok(()))?;
        let per_frame = |seconds: f64| 1e3 * seconds / frames as f64;
        let (wall, all) = (per_frame(start.elapsed().as_secs_f64()), per_frame(cores() - before));
        println!("round {round}, ms a frame    wall {wall:8.1}   cores {all:8.1}");
        for (stage, Spent { wall, cores, calls }) in &timed.stages {
            let (wall, cores) = (per_frame(*wall), per_frame(*cores));
            println!("  {stage:12} {calls:4} calls  wall {wall:8.1}   cores {cores:8.1}");
        }
    }
    Ok(())
}
