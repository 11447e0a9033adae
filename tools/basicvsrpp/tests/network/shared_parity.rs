//! The larger fixture, which stays outside of the repository (`../shared/parity` beside it): real film, a network of
//! the published size, PyTorch's own files, broken files. Skipped, aloud, where it is not there.

use crate::difference::{Difference, floats};
use basicvsrpp::{
    EngineError, Model, Out, Precision, Settings,
    checkpoint::Checkpoint,
    cpu::CpuEngine,
    cuda::{self, CudaEngine},
    picture::Output,
};
use bytes::Bytes;
use rawstream::RgbFmt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{fs, path::PathBuf};

/// The fixture's folder and manifest.
fn fixture() -> Option<(PathBuf, Value)> {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    // The second place: seen from a worktree that lies one folder deeper.
    let places = ["../shared/parity", "../../shared/parity"];
    let folder = places.map(|place| repository.join(place)).into_iter().find(|folder| folder.is_dir());
    let Some(folder) = folder else {
        eprintln!("skipped: no ../shared/parity beside the repository");
        return None;
    };
    let manifest = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    Some((folder, manifest))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Shape and values of a little-endian float32 `.npy` file in C order.
fn npy(file: &[u8]) -> (Vec<usize>, Vec<f32>) {
    assert!(file.starts_with(b"\x93NUMPY\x01\x00"));
    let (header, data) = file[10..].split_at(u16::from_le_bytes([file[8], file[9]]).into());
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split(['(', ')']).nth(1).unwrap();
    (shape.split(',').filter_map(|n| n.trim().parse().ok()).collect(), floats(data))
}

#[test]
fn tensors_are_those_of_pytorch() {
    let Some((folder, manifest)) = fixture() else { return };
    for entry in list(&manifest["checkpoints"]) {
        let read = Checkpoint::read(&folder.join(text(&entry["file"]))).unwrap();
        let want: Value =
            serde_json::from_slice(&fs::read(folder.join(text(&entry["tensors"]))).unwrap()).unwrap();
        let mut count = 0;
        for tensor in list(&want) {
            let name = text(&tensor["name"]);
            let Some(have) = read.tensors.get(name.strip_prefix("generator.").unwrap_or(name)) else {
                assert_eq!(name, "step_counter");
                continue;
            };
            let shape: Vec<_> = list(&tensor["shape"]).iter().map(number).collect();
            assert_eq!(have.shape, shape, "{name}");
            let bytes: Vec<u8> = have.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(format!("{:x}", Sha256::digest(bytes)), text(&tensor["sha256"]), "{name}");
            count += 1;
        }
        assert_eq!(read.tensors.len(), count, "{}", read.file);
    }
}

#[test]
fn broken_files_are_refused_in_one_clear_line() {
    let Some((folder, manifest)) = fixture() else { return };
    let broken = |name: &str| folder.join("broken").join(name);
    Model::load(&broken("control-ok.pth")).unwrap();
    let reasons = [
        ("missing-key.pth", "tensor deform_align.forward_1.conv_offset.2.weight of BasicVSR++ is missing"),
        (
            "wrong-shape.pth",
            "tensor backbone.backward_2.main.0.weight: found 16,32,3,3 where 16,64,3,3 is needed",
        ),
        (
            "truncated-zip.pth",
            "truncated at 120000 bytes or damaged: invalid Zip archive: Could not find EOCD",
        ),
        (
            "truncated-legacy.pth",
            "truncated at 120000 bytes: storage '94727272026128' (29952 bytes) extends beyond the end of the file",
        ),
        ("truncated.safetensors", "truncated: 60000 bytes of 7829944"),
        (
            "not-a-checkpoint.pth",
            "not a checkpoint: not a PyTorch checkpoint: no ZIP, TAR, legacy or pickle header found",
        ),
        ("empty.pth", "not a checkpoint: the file is empty"),
        (
            "foreign-global.pth",
            "refused: the pickle asks for posix.getcwd, which is neither a tensor nor a plain value",
        ),
    ];
    for (name, reason) in reasons {
        let path = broken(name);
        let error = Model::load(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: {reason}", path.display()));
    }
    assert_eq!(list(&manifest["broken"]).len(), 1 + reasons.len());
}

/// On the CPU in float32, and on a GPU, where there is one, in both precisions.
fn check(name: &str) {
    check_on(name, Precision::Fp32, |model, settings, frames, out| {
        let mut engine = CpuEngine::with_output(model, settings, Output::Float).unwrap();
        engine.enlarge(frames, 0..frames.len(), out)
    });
    match cuda::devices() {
        Ok(all) if !all.is_empty() => {
            for precision in [Precision::Fp32, Precision::Fp16] {
                check_on(name, precision, |model, settings, frames, out| {
                    let mut engine = CudaEngine::with(model, settings, 0, None, Output::Float).unwrap();
                    engine.enlarge(frames, 0..frames.len(), out)
                });
            }
        }
        _ => eprintln!("CUDA skipped: no GPU"),
    }
}

fn check_on(
    name: &str,
    precision: Precision,
    enlarge: impl Fn(&Model, &Settings, &[Bytes], &mut Out<'_>) -> Result<(), EngineError>,
) {
    let Some((folder, manifest)) = fixture() else { return };
    let case = list(&manifest["cases"]).iter().find(|c| c["name"] == name).unwrap();
    let arithmetic = if precision == Precision::Fp32 { "fp32" } else { "tf32_or_fp16_convs" };
    let limits = &manifest["tolerances"][arithmetic];
    let limit = |name: &str| limits[name].as_f64().unwrap();
    let model = Model::load(&folder.join(text(&case["checkpoint"]))).unwrap();
    let rgb24 = RgbFmt::named("rgb24").unwrap();
    let (width, height) = (number(&case["width"]), number(&case["height"]));
    let settings =
        Settings { width, height, in_fmt: rgb24, out_fmt: rgb24, precision, threads: 2, max_memory: None };
    let input = Bytes::from(fs::read(folder.join(text(&case["input"]))).unwrap());
    let bytes = rgb24.frame_bytes(width, height);
    let frames: Vec<_> =
        (0..number(&case["frames"])).map(|k| input.slice(k * bytes..(k + 1) * bytes)).collect();

    let mut enlarged = Vec::new();
    enlarge(&model, &settings, &frames, &mut |frame| {
        enlarged.push(floats(&frame));
        Ok(())
    })
    .unwrap();

    let expected = &case["expected_f32"];
    let (shape, want) = npy(&fs::read(folder.join(text(&expected["file"]))).unwrap());
    let stride = number(&expected["stride"]);
    let (w, h) = (4 * width, 4 * height);
    assert_eq!(shape, [frames.len(), 3, h.div_ceil(stride), w.div_ceil(stride)]);
    let rows =
        enlarged.iter().flat_map(|frame| frame.chunks(w * h)).flat_map(|p| p.chunks(w).step_by(stride));
    let samples: Vec<f32> = rows.flat_map(|row| row.iter().copied().step_by(stride)).collect();
    let found = Difference::of(&samples, &want);
    println!("{name} {precision:?}: {:.2e}, {:.1} dB", found.max_abs, found.psnr());
    if precision == Precision::Fp32 {
        assert!(found.max_abs <= limit("max_abs"), "{found:?}");
    }
    assert!(found.psnr() >= limit("psnr_db_min"), "{} dB", found.psnr());

    let Some(expected) = case.get("expected_q8") else { return };
    let want = fs::read(folder.join(text(&expected["file"]))).unwrap();
    let mut have = Vec::new();
    for k in list(&expected["frames"]) {
        let mut wire = vec![0; rgb24.frame_bytes(w, h)];
        basicvsrpp::picture::pack(Output::Wire(rgb24), &enlarged[number(k)], &mut wire);
        have.extend(wire);
    }
    assert_eq!(have.len(), want.len());
    let differing = have.iter().zip(&want).filter(|(a, b)| a != b).count();
    let most = have.iter().zip(&want).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    println!("{name} {precision:?}, 8 bits: {differing} of {} differ, by at most {most}", have.len());
    assert!(f64::from(most) <= limit("q8_max_diff"), "differ by {most}");
    if precision == Precision::Fp16 {
        return;
    }
    assert!(differing as f64 <= limit("q8_differing_fraction_max") * want.len() as f64, "{differing} differ");
}

#[test]
fn seven_frames() {
    check("tiny-96x72-t7");
}

#[test]
fn three_frames() {
    check("tiny-64x64-t3");
}

#[test]
fn odd_size() {
    check("tiny-101x75-t3");
}

#[test]
fn one_frame() {
    check("tiny-64x64-t1");
}

#[test]
fn two_frames() {
    check("tiny-64x64-t2");
}

/// The general path must serve: the reference takes a shortcut here that gives the same numbers.
#[test]
fn mirrored_sequence() {
    check("tiny-64x64-mirror4");
}

#[test]
fn shared_storages() {
    check("tied-64x64-t2");
}

#[test]
fn published_size() {
    check("full-96x72-t5");
}

#[test]
fn whole_picture() {
    check("tiny-320x180-t5");
}
