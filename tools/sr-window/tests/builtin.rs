//! The model that is built in: what it says of itself, and that it is worth running.

use serde_json::Value;
use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
};

/// Side of the high-resolution pictures, in pixels.
const SIDE: usize = 288;
const FRAMES: usize = 4;

/// What `program` makes of `input`.
fn filter(program: &str, args: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut child =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// rgb24 frames of what the model has not been trained on: rings that grow finer outwards, cut by a bar that turns.
fn rings() -> Vec<u8> {
    let mut film = Vec::new();
    for k in 0..FRAMES {
        let turn = 0.3 + 0.04 * k as f64;
        for y in 0..SIDE {
            for x in 0..SIDE {
                // Four samples to the pixel, so that edges are as soft as a lens leaves them.
                let mut sum = 0.0;
                for sample in 0..16 {
                    let px = x as f64 + (sample % 4) as f64 / 4.0 - 120.0 - 1.3 * k as f64;
                    let py = y as f64 + (sample / 4) as f64 / 4.0 - 150.0;
                    let across = px * f64::sin(turn) - py * f64::cos(turn);
                    let ring = (px.hypot(py) / 9.0).floor() as i64 % 2 == 0;
                    sum += if across.abs() < 14.0 { 0.8 } else { f64::from(u8::from(ring)) * 0.5 + 0.1 };
                }
                let value = (sum / 16.0 * 255.0).round() as u8;
                film.extend([value, value, (f64::from(value) * 0.7) as u8]);
            }
        }
    }
    film
}

/// Averages of 4 x 4 pixels.
fn shrink(film: &[u8]) -> Vec<u8> {
    let small = SIDE / 4;
    let mut out = Vec::new();
    for frame in film.chunks(SIDE * SIDE * 3) {
        for i in 0..small * small * 3 {
            let (y, x, c) = (i / (small * 3) * 4, i / 3 % small * 4, i % 3);
            let pixels = (0..16).map(|p| u32::from(frame[((y + p / 4) * SIDE + x + p % 4) * 3 + c]));
            out.push(((pixels.sum::<u32>() + 8) / 16) as u8);
        }
    }
    out
}

/// PSNR in dB, and the mean square error of the change from frame to frame.
fn errors(film: &[u8], truth: &[u8]) -> (f64, f64) {
    assert_eq!(film.len(), truth.len());
    let error: Vec<f64> = film.iter().zip(truth).map(|(&a, &b)| f64::from(a) - f64::from(b)).collect();
    let square = error.iter().map(|e| e * e).sum::<f64>() / error.len() as f64;
    let frame = SIDE * SIDE * 3;
    let changes = error.iter().zip(&error[frame..]).map(|(a, b)| (a - b) * (a - b));
    (10.0 * (255.0 * 255.0 / square).log10(), changes.sum::<f64>() / (error.len() - frame) as f64)
}

#[test]
fn info_tells_where_it_comes_from() {
    let info = filter(env!("CARGO_BIN_EXE_sr-window"), &["--info"], Vec::new());
    let info: Value = serde_json::from_slice(&info).unwrap();
    assert_eq!(info["file"], "builtin");
    assert_eq!(info["network"], "BasicVSR++");
    assert!(info["bytes"].as_u64() < Some(600_000), "{info}");
    for fact in ["commit", "seed", "steps", "data", "quality", "licence"] {
        assert!(info["meta"][fact].is_string(), "{fact} is missing: {info}");
    }
}

#[test]
fn it_beats_the_classical_filters() {
    let truth = rings();
    let small = shrink(&truth);
    let size = format!("{0}x{0}", SIDE / 4);
    let raw = ["-s", &size, "-p", "rgb24", "-f", "raw", "--device", "cpu", "--cuts", "off", "-q"];
    let (ours, our_change) = errors(&filter(env!("CARGO_BIN_EXE_sr-window"), &raw, small.clone()), &truth);
    for kernel in ["bicubic", "lanczos"] {
        let scale = format!("scale={SIDE}:{SIDE}:flags={kernel}+accurate_rnd+full_chroma_int");
        let raw = ["-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-i", "-"];
        let out = ["-vf", &scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
        let (theirs, their_change) =
            errors(&filter("ffmpeg", &[&raw[..], &out].concat(), small.clone()), &truth);
        assert!(ours > theirs + 1.5, "{ours:.2} dB, {kernel} {theirs:.2} dB");
        assert!(our_change < their_change, "change {our_change:.1}, {kernel} {their_change:.1}");
    }
}
