//! Compiles the CUDA kernels into the binary where NVRTC is at hand. A build without it is whole too: it carries the
//! kernels' sources and compiles them when it starts on a machine that has NVRTC (see `src/cuda/image.rs`).

#[path = "src/cuda/nvrtc.rs"]
mod nvrtc;

use nvrtc::Nvrtc;
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// One for each major version: machine code runs on later minor versions too, so sm_80's on 8.6 and 8.9.
const ARCHITECTURES: [&str; 4] = ["sm_80", "sm_90a", "sm_100", "sm_120"];

/// Kernels that are written for one architecture only.
const ONLY: [(&str, &str); 1] = [("conv_wgmma.cu", "sm_90a")];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let kernels = root.join("kernels");
    println!("cargo:rerun-if-changed=kernels");
    println!("cargo:rerun-if-changed=src/cuda/nvrtc.rs");
    println!("cargo:rerun-if-env-changed=STORAGE_DIET_NVRTC");
    let tools = root.join("../../.tools");
    // Named only where it is: cargo takes a missing file for a changed one, at every build.
    if tools.join("nvrtc").exists() {
        println!("cargo:rerun-if-changed={}", tools.join("nvrtc").display());
    }

    let mut files: Vec<_> =
        fs::read_dir(&kernels).expect("the kernels' folder").map(|e| e.expect("its files").path()).collect();
    files.sort();
    let name = |file: &Path| file.file_name().expect("a name").to_string_lossy().into_owned();
    let texts: Vec<(String, String)> =
        files.iter().map(|f| (name(f), fs::read_to_string(f).expect("a kernel's source"))).collect();
    let headers: Vec<(&str, &str)> =
        texts.iter().filter(|(n, _)| n.ends_with(".cuh")).map(|(n, t)| (&**n, &**t)).collect();

    let mut jobs = Vec::new();
    for (name, text) in texts.iter().filter(|(n, _)| n.ends_with(".cu")) {
        for arch in ARCHITECTURES {
            if ONLY.iter().all(|(only, on)| only != name || *on == arch) {
                jobs.push((&**name, &**text, arch));
            }
        }
    }
    let nvrtc = Nvrtc::find(&tools);
    match &nvrtc {
        Some(nvrtc) => {
            let rest = Mutex::new(jobs.iter());
            std::thread::scope(|scope| {
                for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
                    scope.spawn(|| {
                        loop {
                            let next = rest.lock().expect("no thread panics with the lock").next();
                            let Some((name, text, arch)) = next else { break };
                            // What this very compiler has made of these very texts stays.
                            let file = out.join(format!("{name}.{arch}"));
                            let note = out.join(format!("{name}.{arch}.from"));
                            let made_from = format!("{}\n{headers:?}\n{text}", nvrtc.version());
                            if file.exists() && fs::read_to_string(&note).is_ok_and(|old| old == made_from) {
                                continue;
                            }
                            let image =
                                nvrtc.compile(name, text, &headers, arch).unwrap_or_else(|e| panic!("{e}"));
                            fs::write(file, image).expect("writing a kernel");
                            fs::write(note, made_from).expect("writing what it was made from");
                        }
                    });
                }
            });
        }
        None => {
            jobs.clear();
            println!(
                "cargo:warning=no NVRTC (scripts/setup installs it): CUDA kernels are compiled at run time, where \
                 NVRTC is present"
            );
        }
    }

    let mut code = String::new();
    code += &format!(
        "/// The compiler's version, where the kernels have been compiled.\npub const NVRTC: Option<&str> = {:?};\n",
        nvrtc.map(|n| n.version())
    );
    code += "/// File, architecture, machine code.\npub static IMAGES: &[(&str, &str, &[u8])] = &[\n";
    for (name, _, arch) in &jobs {
        code +=
            &format!("    ({name:?}, {arch:?}, include_bytes!({:?})),\n", out.join(format!("{name}.{arch}")));
    }
    code += "];\n/// File and text, headers too.\npub static SOURCES: &[(&str, &str)] = &[\n";
    for file in &files {
        code += &format!("    ({:?}, include_str!({file:?})),\n", name(file));
    }
    code += "];\n/// Files that are written for one architecture only.\npub const ONLY: &[(&str, &str)] = &";
    code += &format!("{ONLY:?};\n");
    fs::write(out.join("kernels.rs"), code).expect("writing the list of kernels");
}
