//! The compiled kernels for a GPU.
//!
//! They travel in the binary as machine code (cubin), one image for each major version of the hardware. Not as PTX:
//! PTX is bound to the version of the compiler that wrote it, and a driver older than that refuses it, while machine
//! code of a CUDA 12 compiler loads under every driver of CUDA 12 and later and needs no compilation at start. NVRTC 12
//! is what the build uses where it can, since it knows all the architectures and asks for the oldest driver.
//!
//! A binary that was built without NVRTC carries the sources and compiles them when it starts, if NVRTC is there.

use super::nvrtc::Nvrtc;
use std::{borrow::Cow, path::Path};

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The architecture whose machine code runs on a GPU of this compute capability.
pub fn architecture((major, minor): (i32, i32)) -> Option<&'static str> {
    match (major, minor) {
        (8, _) => Some("sm_80"),
        (9, _) => Some("sm_90a"),
        (10, _) => Some("sm_100"),
        (12, _) => Some("sm_120"),
        _ => None,
    }
}

/// The kernel files that exist for an architecture.
pub fn files(arch: &str) -> impl Iterator<Item = &'static str> {
    SOURCES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.ends_with(".cu"))
        .filter(move |name| ONLY.iter().all(|(only, on)| only != name || arch == *on))
}

/// Compiles one file of the kernels.
pub fn compile(nvrtc: &Nvrtc, file: &str, arch: &str) -> Result<Vec<u8>, String> {
    let headers: Vec<_> = SOURCES.iter().filter(|(name, _)| name.ends_with(".cuh")).copied().collect();
    let source =
        SOURCES.iter().find(|(name, _)| *name == file).ok_or_else(|| format!("{file}: no such kernel"))?.1;
    nvrtc.compile(file, source, &headers, arch)
}

/// The machine code of all files for an architecture.
pub fn images(arch: &str) -> Result<Vec<Cow<'static, [u8]>>, String> {
    if NVRTC.is_some() {
        return Ok(IMAGES.iter().filter(|(_, on, _)| *on == arch).map(|&(_, _, code)| code.into()).collect());
    }
    let nvrtc = Nvrtc::find(Path::new("")).ok_or(
        "this build carries no compiled kernels and there is no NVRTC (libnvrtc.so.12) to compile them with",
    )?;
    std::thread::scope(|scope| {
        let compiling: Vec<_> = files(arch).map(|file| scope.spawn(|| compile(&nvrtc, file, arch))).collect();
        let failed = |_| Err("NVRTC failed".to_owned());
        compiling.into_iter().map(|c| c.join().unwrap_or_else(failed).map(Cow::from)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_compiles_for_every_architecture() {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools");
        let Some(nvrtc) = Nvrtc::find(&tools) else {
            eprintln!("skipped: no NVRTC here (scripts/setup installs it)");
            return;
        };
        // The others are compiled by the build itself.
        for arch in ["sm_86", "sm_89"] {
            for file in files(arch) {
                let image = compile(&nvrtc, file, arch).unwrap();
                assert_eq!(image[..4], *b"\x7fELF", "{file} for {arch}");
            }
        }
        for arch in ["sm_80", "sm_90a", "sm_100", "sm_120"] {
            let count = images(arch).unwrap().len();
            assert_eq!(count, files(arch).count(), "{arch}");
        }
    }

    #[test]
    fn architectures() {
        assert_eq!(architecture((7, 5)), None);
        assert_eq!(architecture((8, 9)), Some("sm_80"));
        assert_eq!(architecture((9, 0)), Some("sm_90a"));
        assert_eq!(architecture((10, 3)), Some("sm_100"));
        assert_eq!(architecture((12, 1)), Some("sm_120"));
        assert_eq!(architecture((13, 0)), None);
    }
}
