//! The network on an NVIDIA GPU, with kernels of its own: no cuDNN, no PyTorch, nothing but the driver at run time.
//!
//! | module | idea |
//! | --- | --- |
//! | [`devices`](DeviceInfo) | which GPUs there are |
//! | [`driver`] | the driver behind safe types |
//! | [`image`] | the compiled kernels for a GPU |
//! | [`nvrtc`] | the compiler that makes them |
//! | [`kernels`] | the sets of kernels to choose from |
//! | [`view`] | runs of device memory with a length: what kernels are given |
//! | [`format`](PixelFormat) | frames in wire order as kernels see them |
//! | [`pack`] | weights in the order in which a kernel reads them |
//! | [`call`] | what a convolution is to do: inputs, output, rows |
//! | [`layer`] | a convolution: the kernel that computes it, its weights, its launch |
//! | [`deform`] | the same for deformable convolutions |
//! | [`motion`] | warps, flows, the flow network's pyramid |
//! | `arguments` | what kernels take, field by field |
//! | [`memory`] | what a sequence needs, and where it lies |
//! | [`paging`] | features on the device, and beyond that on the host |
//! | [`stages`] | the network's stages: [`network::Backend`] |
//!
//! Kernels of one sequence run in one stream, copies of finished frames in another. No sum depends on the order in which
//! blocks run, so the bytes depend on the sequence alone.

mod arguments;
pub mod call;
pub mod deform;
mod devices;
pub mod driver;
mod format;
pub mod image;
pub mod kernels;
pub mod layer;
pub mod memory;
pub mod motion;
pub mod nvrtc;
pub mod pack;
pub mod paging;
pub mod stages;
pub mod view;

use crate::{
    EngineError, Model, Out, Precision, Settings, network,
    picture::{self, Output},
};
use bytes::Bytes;
pub use devices::{DeviceInfo, devices};
use driver::Gpu;
pub use format::PixelFormat;
pub use kernels::Kernels;
pub use memory::Plan;
use memory::Sizes;
use stages::Stages;
use std::{ops::Range, time::Instant};

/// Runs the network on one GPU.
#[derive(Debug)]
pub struct CudaEngine {
    stages: Stages,
    sizes: Sizes,
    /// Bytes of the weights.
    weights: u64,
    /// Bytes of device memory that were free before the engine took any.
    free: u64,
    settings: Settings,
    scale: usize,
}

impl CudaEngine {
    /// An engine on the GPU with this index, for frames of one size and format, with the fastest kernels it has.
    pub fn new(model: &Model, settings: &Settings, device: usize) -> Result<Self, EngineError> {
        Self::with(model, settings, device, None, Output::Wire(settings.out_fmt))
    }

    /// The same with chosen kernels, and with another output than `Settings::out_fmt`.
    pub fn with(
        model: &Model,
        settings: &Settings,
        device: usize,
        kernels: Option<Kernels>,
        output: Output,
    ) -> Result<Self, EngineError> {
        settings.check(&model.weights)?;
        let gpu = Gpu::open(device)?;
        let best = match (settings.precision, gpu.info.capability) {
            (Precision::Fp32, _) => Kernels::PlainF32,
            (Precision::Fp16, (9, 0)) => Kernels::Wgmma,
            (Precision::Fp16, _) => Kernels::Mma,
        };
        let kernels = kernels.unwrap_or(best);
        if kernels == Kernels::Wgmma && best != Kernels::Wgmma {
            return Err(EngineError::Failed(format!("cuda:{device} ({}): no wgmma there", gpu.info.name)));
        }
        let (w, h, scale) = (settings.width, settings.height, model.weights.scale());
        let wire = [settings.in_fmt.frame_bytes(w, h), output.frame_bytes(scale * w, scale * h)];
        let formats = [
            PixelFormat::new(Output::Wire(settings.in_fmt), w * h),
            PixelFormat::new(output, scale * scale * w * h),
        ];
        let sizes = Sizes::new(&model.weights, settings, kernels.element(), wire);
        let free = gpu.free_memory()?;
        let stages = Stages::new(gpu, kernels, &model.weights, sizes.clone(), formats)?;
        let weights = stages.gpu.peak_bytes().saturating_sub(sizes.fixed());
        Ok(Self { stages, sizes, weights, free, settings: settings.clone(), scale })
    }

    /// What a sequence of so many frames will need.
    pub fn plan(&self, frames: usize) -> Plan {
        Plan::new(&self.sizes, frames, self.weights, self.free, self.settings.max_memory)
    }

    /// Frames computed a second in the middle of a long sequence, measured on a short one. Weights that do not give
    /// numbers are found here, before the first frame.
    pub fn measure(&mut self) -> Result<f64, EngineError> {
        let Settings { width, height, in_fmt, .. } = self.settings;
        let frame = |k: usize| {
            let wave =
                |i: usize| ((i % width + 2 * k) as f32 * 0.13).sin() * ((i / width) as f32 * 0.17).sin();
            let planes: Vec<f32> = (0..3 * width * height).map(|i| 0.5 + 0.4 * wave(i)).collect();
            let mut wire = vec![0; in_fmt.frame_bytes(width, height)];
            picture::pack(Output::Wire(in_fmt), &planes, &mut wire);
            Bytes::from(wire)
        };
        const FEW: usize = 3;
        let frames: Vec<_> = (0..3 * FEW).map(frame).collect();
        let mut seconds = |frames: &[Bytes]| {
            let start = Instant::now();
            self.enlarge(frames, 0..frames.len(), &mut |_| Ok(())).map(|()| start.elapsed().as_secs_f64())
        };
        // The first run loads the kernels, which is nothing beside frames that take seconds, as float32 can.
        let first = seconds(&frames[..FEW])?;
        if first > FEW as f64 {
            return Ok(FEW as f64 / first);
        }
        // What begins a sequence costs less than what continues it.
        let few = seconds(&frames[..FEW])?;
        let many = seconds(&frames)?;
        Ok((frames.len() - FEW) as f64 / (many - few).max(1e-6))
    }

    /// The GPU that it runs on.
    pub fn device(&self) -> &DeviceInfo {
        &self.stages.gpu.info
    }

    /// The most bytes of device memory that the engine has held.
    pub fn peak_bytes(&self) -> u64 {
        self.stages.gpu.peak_bytes()
    }

    /// Measures the time of every stage from now on (or no longer).
    pub fn profile(&self, on: bool) -> Result<(), EngineError> {
        self.stages.gpu.make_current()?;
        self.stages.gpu.profile(on);
        Ok(())
    }

    /// Stage, milliseconds and kernels since [`profile`](Self::profile).
    pub fn profiled(&self) -> Result<Vec<(&'static str, f64, usize)>, EngineError> {
        self.stages.gpu.profiled()
    }
}

impl CudaEngine {
    /// Output pixels for one input pixel, across and down: 4, or 1 where the network keeps the size.
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// Runs the network on a sequence: see [`network::enlarge`]. Nothing is carried from one sequence to the next.
    pub fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let plan = self.plan(frames.len());
        if plan.device_bytes > plan.available {
            return Err(EngineError::Failed(format!(
                "cuda:{}: a sequence of {} frames needs {} bytes of device memory, {} are available: take a smaller \
                 --window",
                self.device().index,
                frames.len(),
                plan.device_bytes,
                plan.available
            )));
        }
        self.stages.begin(&plan)?;
        network::enlarge(&mut self.stages, frames, emit, out)
    }
}
