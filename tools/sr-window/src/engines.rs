//! From `--weights` and `--device` to engines.

use crate::{
    args::{Args, Device},
    child::Child,
    engine::Engine,
    tile::{self, Tiled},
};
use basicvsrpp::{
    Model, Precision, Settings,
    cpu::CpuEngine,
    cuda::{self, CudaEngine, DeviceInfo},
};
use cli::{Error, Result, Session};
use rawstream::{RgbFmt, VideoFormat};
use serde_json::{Value, json};
use std::path::Path;

/// Loads a checkpoint, or the model that is built in.
pub fn model(weights: &Path) -> Result<Model> {
    let model = if weights == Path::new("builtin") { Model::builtin() } else { Model::load(weights) };
    model.map_err(|e| Error::failed(e.file, e.reason))
}

/// What there is to run on.
pub fn devices() -> Value {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut devices = vec![json!({ "device": "cpu", "cores": cores })];
    let missing = match cuda::devices() {
        Ok(gpus) => {
            devices.extend(gpus.iter().map(|gpu| {
                let (major, minor) = gpu.capability;
                json!({
                    "device": format!("cuda:{}", gpu.index),
                    "name": gpu.name,
                    "compute_capability": format!("{major}.{minor}"),
                    "multiprocessors": gpu.multiprocessors,
                    "memory_bytes": gpu.memory,
                    "unfit": gpu.unfit(),
                })
            }));
            None
        }
        Err(e) => Some(e.to_string()),
    };
    json!({ "devices": devices, "no_cuda": missing })
}

/// The GPU that `--device auto` takes, or why there is none.
fn first_gpu() -> std::result::Result<DeviceInfo, String> {
    let gpus = cuda::devices().map_err(|e| e.to_string())?;
    let mut unfit = "the driver knows no GPU".to_owned();
    for gpu in gpus {
        match gpu.unfit() {
            None => return Ok(gpu),
            Some(reason) => unfit = reason,
        }
    }
    Err(unfit)
}

/// Builds one engine for each device that was asked for. Everything that can fail fails here, before the first frame.
pub fn build(
    args: &Args,
    session: &Session,
    input: &VideoFormat,
    in_fmt: RgbFmt,
    out_fmt: RgbFmt,
) -> Result<Vec<Box<dyn Engine>>> {
    let (width, height) = (input.width, input.height);
    if let Some(command) = &args.engine {
        session.setting("engine", command.as_str());
        let child = Child::start(command, args.engine_timeout, input, *out_fmt)?;
        return Ok(vec![Box::new(child)]);
    }
    let model = model(&args.weights)?;
    session.setting("weights", args.weights.display().to_string());
    session.fact("model", model.info().clone());
    let device = match &args.device {
        Device::Auto => match first_gpu() {
            Ok(gpu) => Device::Cuda(vec![gpu.index]),
            Err(reason) => {
                session.note(format_args!("--device auto: running on the CPU: {reason}"));
                Device::Cpu
            }
        },
        named => named.clone(),
    };
    let on_cpu = device == Device::Cpu;
    let (tile_width, tile_height) =
        args.tile.map_or((width, height), |t| (t.width.min(width), t.height.min(height)));
    let settings = Settings {
        width: tile_width,
        height: tile_height,
        in_fmt,
        out_fmt,
        precision: args.precision.unwrap_or(if on_cpu { Precision::Fp32 } else { Precision::Fp16 }),
        threads: args.threads.count(),
        max_memory: args.max_memory,
    };
    session.setting("precision", if settings.precision == Precision::Fp16 { "fp16" } else { "fp32" });
    let engines: Vec<Box<dyn Engine>> = match device {
        Device::Cuda(indices) => {
            let names: Vec<_> = indices.iter().map(|i| format!("cuda:{i}")).collect();
            session.setting("device", names.join(","));
            let tiles = tile::count((width, height), (tile_width, tile_height));
            let mut engines: Vec<Box<dyn Engine>> = Vec::new();
            let mut plans = Vec::new();
            for index in indices {
                let (engine, plan) = on_gpu(args, session, &model, &settings, tiles, index)?;
                engines.push(Box::new(engine));
                plans.push(plan);
            }
            session.fact("plan", plans);
            engines
        }
        _ => {
            session.setting("device", "cpu");
            vec![Box::new(CpuEngine::new(&model, &settings).map_err(|e| Error::failed("cpu", e))?)]
        }
    };
    if args.tile.is_none() {
        return Ok(engines);
    }
    let tiled = |engine| Box::new(Tiled::new(engine, &settings, width, height)) as Box<dyn Engine>;
    Ok(engines.into_iter().map(tiled).collect())
}

/// An engine on one GPU and its plan, which is said before the first frame, and refused there if it does not fit. A
/// frame comes in so many `tiles`.
fn on_gpu(
    args: &Args,
    session: &Session,
    model: &Model,
    settings: &Settings,
    tiles: usize,
    index: usize,
) -> Result<(CudaEngine, Value)> {
    let device = format!("cuda:{index}");
    let failed = |reason: String| Error::failed(&device, reason);
    let mut engine = CudaEngine::new(model, settings, index).map_err(|e| failed(e.to_string()))?;
    let grid = args.grid();
    let plan = engine.plan(grid.longest_sequence() as usize);
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let (needed, available) = (gigabytes(plan.device_bytes), gigabytes(plan.available));
    let asked = format!("--window {} --overlap {}", grid.window, grid.overlap);
    if plan.device_bytes > plan.available {
        return Err(failed(format!(
            "{asked} needs {needed:.1} GB of device memory, {available:.1} GB are available; take a smaller window \
             or --tile"
        )));
    }
    // A window's frames may wait for the writer where they are; those of tiles are joined first.
    let (width, height) = (engine.scale() * settings.width, engine.scale() * settings.height);
    let waiting =
        if tiles == 1 { grid.window * settings.out_fmt.frame_bytes(width, height) as u64 } else { 0 };
    let host_bytes = plan.host_bytes + waiting;
    let computed = engine.measure().map_err(|e| failed(e.to_string()))?;
    let fps = computed * grid.window as f64 / (grid.longest_sequence() as usize * tiles) as f64;
    session.note(format_args!(
        "{device}: {}: {asked}: {needed:.1} GB of {available:.1} GB of device memory, {:.1} GB of pinned host memory, \
         about {} frames per second",
        engine.device().name,
        gigabytes(host_bytes),
        if fps < 10.0 { format!("{fps:.1}") } else { format!("{fps:.0}") },
    ));
    let plan = json!({
        "device": device,
        "name": engine.device().name,
        "device_bytes": plan.device_bytes,
        "available_bytes": plan.available,
        "host_bytes": host_bytes,
        "fps": (fps * 100.0).round() / 100.0,
    });
    Ok((engine, plan))
}
