//! What GPUs there are, and whether the driver is one that we can use.
//!
//! The driver is loaded when it is first asked for, so a binary runs where there is none.

use super::image;
use crate::EngineError;
use cudarc::driver::{DriverError, result, sys};
use std::ffi::c_void;

/// A GPU that the driver knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number: `cuda:0` is 0.
    pub index: usize,
    /// Its name, as the maker gives it.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// Bytes of memory.
    pub memory: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory of a multiprocessor, and the most that one block may have.
    pub shared: [u32; 2],
}

impl DeviceInfo {
    /// Why the engine cannot run on it, if it cannot.
    pub fn unfit(&self) -> Option<String> {
        let (major, minor) = self.capability;
        image::architecture(self.capability).is_none().then(|| {
            format!(
                "{} has compute capability {major}.{minor}: there are kernels for 8.x, 9.0, 10.x and 12.x",
                self.name
            )
        })
    }
}

/// All GPUs, in the driver's order; empty where there is a driver and no GPU. The error says why there is no driver, or
/// what is wrong with it.
pub fn devices() -> Result<Vec<DeviceInfo>, EngineError> {
    probe().map_err(EngineError::Failed)
}

const OLD: &str = "the NVIDIA driver is too old (525 or newer is needed)";

fn probe() -> Result<Vec<DeviceInfo>, String> {
    // SAFETY: tries to load the library and lets go of it again.
    if !unsafe { sys::is_culib_present() } {
        return Err("no NVIDIA driver (libcuda.so.1 was not found)".into());
    }
    // cudarc panics at the first call of a function that is not there. These are the one that is called first, and the
    // newest of all that are called.
    for function in ["cuDriverGetVersion", "cuLaunchKernelEx"] {
        // SAFETY: the library has just been found, and the address is only asked for.
        if unsafe { sys::culib().get::<*const c_void>(function.as_bytes()) }.is_err() {
            return Err(format!("{OLD}: it lacks functions of CUDA 12"));
        }
    }
    let mut version = 0;
    // SAFETY: the pointer is valid for the call.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(|e| format!("the NVIDIA driver: {}", reason(e)))?;
    if version < 12000 {
        return Err(format!("{OLD}: it knows CUDA up to {}.{}", version / 1000, version % 1000 / 10));
    }
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
        Err(e) => return Err(format!("the NVIDIA driver: {}", reason(e))),
        Ok(()) => {}
    }
    let all = (|| {
        let count = result::device::get_count()?;
        (0..count)
            .map(|index| {
                use sys::CUdevice_attribute as A;
                let device = result::device::get(index)?;
                // SAFETY: `device` is what the driver gave.
                unsafe {
                    let attribute = |a| result::device::get_attribute(device, a);
                    Ok(DeviceInfo {
                        index: index as usize,
                        name: result::device::get_name(device)?,
                        capability: (
                            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
                        ),
                        memory: result::device::total_mem(device)? as u64,
                        multiprocessors: attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
                        shared: [
                            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)? as u32,
                            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)? as u32,
                        ],
                    })
                }
            })
            .collect::<Result<Vec<_>, DriverError>>()
    })();
    all.map_err(|e| format!("the NVIDIA driver: {}", reason(e)))
}

/// What the driver says of an error, in words.
pub fn reason(error: DriverError) -> String {
    let DriverError(code) = error;
    match code {
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => "out of memory".into(),
        sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => "no kernels for this GPU".into(),
        _ => {
            let text =
                |s: Result<&std::ffi::CStr, DriverError>| s.ok().map(|s| s.to_string_lossy().into_owned());
            match (text(error.error_string()), text(error.error_name())) {
                (Some(text), Some(name)) => format!("{text} ({name})"),
                _ => format!("error {}", code as u32),
            }
        }
    }
}
