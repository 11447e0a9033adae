//! From `--weights` and `--device` to engines.

use crate::{
    args::{Args, Device},
    child::Child,
    tile::Tiled,
};
use basicvsrpp::{Engine, Model, Precision, Settings, cpu::CpuEngine};
use cli::{Error, Result, Session};
use rawstream::{PixFmt, VideoFormat};
use serde_json::{Value, json};
use std::path::Path;

/// How much larger the frames come out.
pub const SCALE: usize = 4;

/// Loads a checkpoint.
pub fn model(weights: &Path) -> Result<Model> {
    if weights == Path::new("builtin") {
        return Err(Error::failed(
            "builtin",
            "no model is built in yet; name a checkpoint with --weights FILE",
        ));
    }
    Model::load(weights).map_err(|e| Error::failed(weights.display(), e.reason))
}

/// What there is to run on.
pub fn devices() -> Value {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    json!([{ "device": "cpu", "cores": cores }])
}

/// Builds one engine for each device that was asked for. Everything that can fail fails here, before the first frame.
pub fn build(
    args: &Args,
    session: &Session,
    input: &VideoFormat,
    out_fmt: PixFmt,
) -> Result<Vec<Box<dyn Engine>>> {
    let (width, height) = (input.width, input.height);
    if let Some(command) = &args.engine {
        session.setting("engine", command.as_str());
        let child = Child::start(command, args.engine_timeout, input, out_fmt)?;
        return Ok(vec![Box::new(child)]);
    }
    let model = model(&args.weights)?;
    session.setting("weights", args.weights.display().to_string());
    session.fact("model", model.info().clone());
    let device = match &args.device {
        Device::Auto => {
            session.note("no CUDA in this build: running on the CPU");
            Device::Cpu
        }
        told => told.clone(),
    };
    let (tile_width, tile_height) =
        args.tile.map_or((width, height), |t| (t.width.min(width), t.height.min(height)));
    let settings = Settings {
        width: tile_width,
        height: tile_height,
        in_fmt: input.pix_fmt,
        out_fmt,
        precision: args.precision.unwrap_or(Precision::Fp32),
        threads: args.threads.count(),
        max_memory: args.max_memory,
    };
    let engines: Vec<Box<dyn Engine>> = match device {
        Device::Cpu => {
            session.setting("device", "cpu");
            vec![Box::new(CpuEngine::new(&model, &settings).map_err(|e| Error::failed("cpu", e))?)]
        }
        Device::Cuda(_) | Device::Auto => {
            return Err(Error::failed("cuda", "not in this build"));
        }
    };
    Ok(if args.tile.is_some() {
        let tiled = |engine| Box::new(Tiled::new(engine, &settings, width, height)) as Box<dyn Engine>;
        engines.into_iter().map(tiled).collect()
    } else {
        engines
    })
}
