//! How fast the network is on a GPU: `cuda-bench [WxH [WINDOW [OVERLAP [kernels [WEIGHTS [MAX_MEMORY]]]]]]`.
//!
//! Runs windows of `WINDOW` emitted frames with `OVERLAP` frames before and after, as the middle of a film has them, and
//! prints frames computed per second, peak memory, and milliseconds per stage and frame.

use basicvsrpp::{
    Model, Precision, Settings, Weights,
    cuda::{CudaEngine, Kernels},
    formula,
    picture::Output,
};
use bytes::Bytes;
use rawstream::RgbFmt;
use std::{path::Path, time::Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or(default.into());
    let size = argument(0, "1024x432");
    let (width, height) = size.split_once('x').ok_or("a size is WxH")?;
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let (window, overlap): (usize, usize) = (argument(1, "96").parse()?, argument(2, "8").parse()?);
    let kernels = match &*argument(3, "best") {
        "best" => None,
        "wgmma" => Some(Kernels::Wgmma),
        "mma" => Some(Kernels::Mma),
        "plain" => Some(Kernels::PlainF16),
        other => return Err(format!("{other}: kernels are best, wgmma, mma or plain").into()),
    };
    let model = match arguments.get(4).filter(|file| !file.is_empty()) {
        Some(file) => Model::load(Path::new(file))?,
        None => Model::from_weights(Weights::from_tensors(formula::by_name(formula::tensors_steady(64, 7)))?),
    };
    let max_memory = arguments.get(5).map(|bytes| bytes.parse()).transpose()?;
    let fmt = RgbFmt::named("rgb48le").ok_or("rgb48le")?;
    let settings = Settings {
        width,
        height,
        in_fmt: fmt,
        out_fmt: fmt,
        precision: Precision::Fp16,
        threads: 1,
        max_memory,
    };

    let count = window + 2 * overlap;
    let frames = formula::film(width, height, count);
    let emit = overlap..overlap + window;

    let mut engine = CudaEngine::with(&model, &settings, 0, kernels, Output::Wire(fmt))?;
    let device = engine.device();
    println!(
        "{} ({} multiprocessors), {size}, window {window}, overlap {overlap}",
        device.name, device.multiprocessors
    );
    println!("{:?}", engine.plan(count));
    let mut seen = 0u64;
    let mut once = |engine: &mut CudaEngine| -> Result<f64, Box<dyn std::error::Error>> {
        let start = Instant::now();
        engine.enlarge(&frames, emit.clone(), &mut |frame| {
            seen += u64::from(frame[frame.len() / 2]);
            Ok(())
        })?;
        Ok(start.elapsed().as_secs_f64())
    };
    println!("first window {:.2} s", once(&mut engine)?);
    let mut times = [once(&mut engine)?, once(&mut engine)?];
    times.sort_by(f64::total_cmp);
    println!(
        "{:.1} frames computed per second, {:.1} emitted, {:.2} and {:.2} ms per computed frame, peak {:.2} GB",
        count as f64 / times[0],
        window as f64 / times[0],
        times[0] * 1e3 / count as f64,
        times[1] * 1e3 / count as f64,
        engine.peak_bytes() as f64 / 1e9
    );
    engine.profile(true)?;
    once(&mut engine)?;
    let stages = engine.profiled()?;
    let total: f64 = stages.iter().map(|s| s.1).sum();
    for (stage, ms, kernels) in stages {
        let ms = ms / count as f64;
        println!(
            "{stage:28} {ms:7.3} ms a frame {:5.1} % {:6.1} kernels",
            ms * 100.0 * count as f64 / total,
            kernels as f64 / count as f64
        );
    }
    println!("{:28} {:7.3} ms a frame (checksum {seen})", "all kernels", total / count as f64);
    drop(engine);

    // Agreement with float32 at this size.
    let (few, fmt) = (6, RgbFmt::named("rgb24").ok_or("rgb24")?);
    let mut enlarged = [Vec::new(), Vec::new()];
    for (precision, kernels, all) in [(Precision::Fp32, None), (Precision::Fp16, kernels)]
        .into_iter()
        .zip(&mut enlarged)
        .map(|((p, k), a)| (p, k, a))
    {
        let settings = Settings { in_fmt: fmt, out_fmt: fmt, precision, ..settings.clone() };
        let frames: Vec<Bytes> = (0..few).map(|k| formula::frame(width, height, k)).collect();
        let mut engine = CudaEngine::with(&model, &settings, 0, kernels, Output::Wire(fmt))?;
        engine.enlarge(&frames, 0..few, &mut |frame| {
            all.extend_from_slice(&frame);
            Ok(())
        })?;
    }
    let off = || enlarged[0].iter().zip(&enlarged[1]).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let square = off().map(|d| d * d).sum::<f64>() / enlarged[0].len() as f64;
    println!(
        "against fp32, {few} frames, 8 bits: {:.1} dB, off by at most {}",
        10.0 * (255.0 * 255.0 / square).log10(),
        off().fold(0.0, f64::max)
    );
    Ok(())
}
