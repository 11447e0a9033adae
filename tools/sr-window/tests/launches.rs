//! The network on a GPU that is not there: a driver that computes nothing (`driver.c`) under the real binary. Every view
//! of device memory is compared with what its kernel touches, whatever the kernels would have made of it.

use basicvsrpp::{checkpoint::Tensor, formula};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const WIDTH: usize = 132;
const HEIGHT: usize = 76;
const FRAMES: usize = 9;

/// Runs the tool on a device of this compute capability; the kernels that were launched.
fn launched(tensors: Option<&[(String, Tensor)]>, capability: u32, arguments: &[&str]) -> BTreeSet<String> {
    sized(WIDTH, HEIGHT, 16, tensors, capability, arguments)
}

fn sized(
    width: usize,
    height: usize,
    enlarged: usize,
    tensors: Option<&[(String, Tensor)]>,
    capability: u32,
    arguments: &[&str],
) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let (driver, launches, weights) =
        (folder.path().join("libcuda.so"), folder.path().join("launches"), folder.path().join("weights"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/driver.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-w", "-o"]).arg(&driver).arg(source).status();
    assert!(compiled.unwrap().success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-window"));
    if let Some(tensors) = tensors {
        fs::write(&weights, formula::safetensors(tensors, "")).unwrap();
        command.arg("--weights").arg(weights);
    }
    let mut tool = command
        .args(["--device", "cuda:0", "--window", "5", "--overlap", "2", "-p", "rgb24", "-s"])
        .arg(format!("{width}x{height}"))
        .args(arguments)
        .env("LD_LIBRARY_PATH", folder.path())
        .env("STORAGE_DIET_NVRTC", &driver)
        .env("CAPABILITY", capability.to_string())
        .env("LAUNCHES", &launches)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let frame = 3 * width * height;
    let mut stdin = tool.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&vec![0; FRAMES * frame])));
    let output = tool.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.len(), FRAMES * enlarged * frame);
    fs::read_to_string(launches).unwrap().lines().map(str::to_owned).collect()
}

fn has(kernels: &BTreeSet<String>, names: &[&str]) {
    for name in names {
        assert!(kernels.contains(*name), "{name} is not among {kernels:?}");
    }
}

#[test]
fn published_sizes() {
    let tensors = formula::tensors_steady(64, 1);
    let fast =
        ["conv3_8_64", "conv7_8_32", "conv7_32_64", "picture_mma", "deform_mma", "condition_f16", "compose"];
    let mma = launched(Some(&tensors), 86, &[]);
    has(&mma, &fast);
    has(&mma, &["conv3_32_64"]);
    let wgmma = launched(Some(&tensors), 90, &[]);
    has(&wgmma, &fast);
    has(&wgmma, &["conv_wgmma_64", "conv_wgmma_80"]);
    let plain = launched(Some(&tensors), 90, &["--precision", "fp32"]);
    has(&plain, &["conv3_f32", "conv7_f32", "deform_f32", "condition_f32"]);
    assert!(plain.iter().all(|name| !name.contains("mma")), "{plain:?}");
}

#[test]
fn other_sizes() {
    has(&launched(None, 90, &[]), &["conv_wgmma_64", "deform_f16"]);
    has(&launched(Some(&formula::tensors(24, 2)), 86, &[]), &["conv3_32_64", "deform_f16"]);
    has(&launched(Some(&formula::tensors(128, 1)), 90, &[]), &["conv_wgmma_80", "deform_f16"]);
}

#[test]
fn a_network_that_keeps_the_size() {
    let tensors = formula::tensors_keeping_size(64, 1);
    has(&sized(264, 268, 1, Some(&tensors), 90, &[]), &["every_second_f16", "picture_mma"]);
}

/// Bytes on the device and on the host, as the report plans them.
fn planned(arguments: &[&str]) -> [u64; 2] {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let arguments = [arguments, &["--report", report.to_str().unwrap()]].concat();
    launched(Some(&formula::tensors(16, 1)), 86, &arguments);
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    ["device_bytes", "host_bytes"].map(|name| report["plan"][0][name].as_u64().unwrap())
}

#[test]
fn features_that_wait_on_the_host() {
    let [device, host] = planned(&[]);
    let feature = (128 * WIDTH * HEIGHT) as u64;
    // The spatial features of all nine frames of a window go first.
    let limit = device - (9 + 5) * feature;
    assert_eq!(planned(&["--max-memory", &limit.to_string()]), [limit, host + 5 * feature]);
}

#[test]
fn tiles() {
    has(&launched(Some(&formula::tensors(16, 1)), 86, &["--tile", "100x70"]), &["picture_mma"]);
}
