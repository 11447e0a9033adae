//! The network on an NVIDIA GPU, with kernels of its own: no cuDNN, no PyTorch, nothing but the driver at run time.
//!
//! | module | idea |
//! | --- | --- |
//! | [`driver`] | the driver behind safe types |
//! | [`image`] | the compiled kernels for a GPU |
//! | [`nvrtc`] | the compiler that makes them |
//! | [`layer`] | a convolution's weights in the order in which a kernel reads them |
//! | [`ops`] | the kernels as functions on device memory |
//! | [`memory`] | what a sequence needs, and where it lies |
//! | [`paging`] | features on the device, and beyond that on the host |
//! | [`stages`] | the network's stages: [`network::Backend`](crate::network::Backend) |
//!
//! Kernels of one sequence run in one queue, copies of finished frames in another. No sum depends on the order in which
//! blocks run, so the bytes depend on the sequence alone.

pub mod driver;
pub mod image;
pub mod layer;
pub mod memory;
pub mod nvrtc;
pub mod ops;
pub mod paging;
pub mod stages;

use crate::{Engine, EngineError, Model, Out, Precision, Settings, Weights, network, picture::Output};
use bytes::Bytes;
use driver::Gpu;
pub use driver::{DeviceInfo, devices};
pub use layer::Kernels;
pub use memory::Plan;
use memory::Sizes;
use ops::PixelFormat;
use stages::Stages;
use std::ops::Range;

/// Runs the network on one GPU.
#[derive(Debug)]
pub struct CudaEngine {
    stages: Stages,
    sizes: Sizes,
    /// Bytes of the weights.
    weights: u64,
    /// Bytes of device memory that were free before the engine took any.
    free: u64,
    limit: Option<u64>,
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
        if model.weights.scale() != Weights::SCALE {
            return Err(EngineError::Failed("a network that keeps the size: runs on the CPU only".into()));
        }
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
        let (w, h) = (settings.width, settings.height);
        let wire = [settings.in_fmt.frame_bytes(w, h), output.frame_bytes(4 * w, 4 * h)];
        let formats =
            [PixelFormat::new(Output::Wire(settings.in_fmt), w * h), PixelFormat::new(output, 16 * w * h)];
        let sizes = Sizes::new(&model.weights, settings, kernels.element(), wire);
        let free = gpu.free_memory()?;
        let stages = Stages::new(gpu, kernels, &model.weights, sizes.clone(), formats)?;
        let weights = stages.gpu.peak_bytes().saturating_sub(sizes.fixed());
        Ok(Self { stages, sizes, weights, free, limit: settings.max_memory })
    }

    /// What a sequence of so many frames will need.
    pub fn plan(&self, frames: usize) -> Plan {
        Plan::new(&self.sizes, frames, self.weights, self.free, self.limit)
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

impl Engine for CudaEngine {
    fn enlarge(
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
