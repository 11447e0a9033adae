//! The real binary on real pipes: windows, restarts, cuts, children and endings.

use basicvsrpp::{checkpoint::Tensor, formula};
use serde_json::Value;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    thread,
};

const WIDTH: usize = 64;
const HEIGHT: usize = 64;
const IN: usize = WIDTH * HEIGHT * 3;
const OUT: usize = 16 * IN;

/// A file with these tensors.
fn checkpoint(name: &str, tensors: &[(String, Tensor)]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sr-window-{name}.safetensors"));
    let partial = path.with_extension(std::process::id().to_string());
    std::fs::write(&partial, formula::safetensors(tensors, "sr-window's tests")).unwrap();
    std::fs::rename(partial, &path).unwrap();
    path
}

/// A small network in a file that lives as long as the tests.
fn weights() -> &'static str {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| checkpoint("c16b1", &formula::tensors(16, 1))).to_str().unwrap()
}

/// A film of formula frames; from frame `cut` on it is another scene, the first one upside down and inverted.
fn film(frames: usize, cut: Option<usize>) -> Vec<u8> {
    film_of([WIDTH, HEIGHT], frames, cut)
}

fn film_of([width, height]: [usize; 2], frames: usize, cut: Option<usize>) -> Vec<u8> {
    let mut film = Vec::new();
    for k in 0..frames {
        let frame = formula::frame(width, height, k);
        if cut.is_some_and(|cut| k >= cut) {
            film.extend(frame.iter().rev().map(|b| 255 - b / 2));
        } else {
            film.extend_from_slice(&frame);
        }
    }
    film
}

/// Runs the binary on frames of 64 x 64 in `pix_fmt`.
fn run_as(pix_fmt: &str, args: &[&str], input: &[u8]) -> Output {
    run_plainly(&[&["-s", "64x64", "-p", pix_fmt], args].concat(), input)
}

fn run_plainly(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sr-window"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A tool that stops reading early is no failure of the one who feeds it.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

fn run(args: &[&str], input: &[u8]) -> Output {
    run_as("rgb24", args, input)
}

/// `args` after those that choose the small network on the CPU.
fn on_cpu<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--device", "cpu", "--weights", weights()][..], args].concat()
}

fn enlarge(args: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run(&on_cpu(args), input);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn nearest(fault: &str) -> String {
    let target = Path::new(env!("CARGO_BIN_EXE_sr-window")).parent().unwrap();
    let path = target.join("examples/engine-nearest");
    assert!(path.exists(), "{} was not built", path.display());
    format!("'{}' {fault}", path.display())
}

fn fails(output: &Output, code: i32, message: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("sr-window: {message}\n"));
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_restart_anywhere_gives_the_same_bytes() {
    let film = film(7, Some(5));
    let grid = ["--window", "3", "--overlap", "1"];
    let whole = enlarge(&grid, &film);
    assert_eq!(whole.len(), 7 * OUT);
    for start in [1usize, 3, 5, 6] {
        let text = start.to_string();
        let plan = run_plainly(&[&grid[..], &["--plan", "--start", &text]].concat(), b"");
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        let first = plan["first_frame"].as_u64().unwrap() as usize;
        let first_text = first.to_string();
        let place = ["--first-frame", &first_text, "--start", &text];
        let part = enlarge(&[&grid[..], &place].concat(), &film[first * IN..]);
        assert!(part == whole[start * OUT..], "--start {start} --first-frame {first}");
    }
    let part = enlarge(&[&grid[..], &["--start", "2", "--frames", "3", "--threads", "1"]].concat(), &film);
    assert!(part == whole[2 * OUT..5 * OUT]);
}

/// A scene is enlarged as if it were alone, unless cuts are off.
#[test]
fn nothing_is_seen_across_a_cut() {
    let film = film(5, Some(2));
    let whole = enlarge(&[], &film);
    let scenes = [enlarge(&[], &film[..2 * IN]), enlarge(&[], &film[2 * IN..])].concat();
    assert!(whole == scenes);
    assert!(enlarge(&["--cuts", "off"], &film) != scenes);
}

#[test]
fn one_frame_and_deep_formats() {
    let film = film(1, None);
    let deep: Vec<u8> = film.iter().flat_map(|&b| (u16::from(b) * 257).to_le_bytes()).collect();
    let output = run_as("rgb48le", &on_cpu(&["-P", "rgb24"]), &deep);
    assert!(output.status.success());
    assert!(output.stdout == enlarge(&[], &film), "257 times a value of 255 is the same value of 65535");
}

#[test]
fn torn_input_gives_whole_frames_and_exit_3() {
    let film = film(2, None);
    let output = run(&on_cpu(&[]), &film[..2 * IN - 1]);
    fails(&output, 3, "<stdin>: ends inside frame 1, at byte 24575: 12287 of 12288 bytes");
    assert!(output.stdout == enlarge(&[], &film[..IN]));
}

/// An end before the promised one is not the film's end: frames that lack their context are not emitted.
#[test]
fn an_early_end_emits_only_what_the_whole_film_would() {
    let film = film(5, None);
    let grid = ["--window", "2", "--overlap", "1"];
    let whole = enlarge(&grid, &film);
    let part = run(&on_cpu(&[&grid[..], &["--expect-frames", "5"]].concat()), &film[..4 * IN]);
    fails(&part, 3, "<stdin>: ended after 4 frames; 5 were expected");
    assert!(part.stdout == whole[..2 * OUT]);
}

#[test]
fn words_that_make_no_sense() {
    let late = ["--start", "10", "--window", "4", "--overlap", "2", "--first-frame", "7"];
    let message = "--first-frame 7: --start 10 needs the film from frame 6 on; see --plan";
    fails(&run(&on_cpu(&late), b""), 2, message);
    let message =
        "yuv420p: the network works on RGB: rgb48le, rgb24, gbrp16le and their like; deint-crop writes them";
    fails(&run_as("yuv420p", &[], b""), 2, message);
    fails(&run(&["--weights", "no/such.pth"], b""), 1, "no/such.pth: No such file or directory");
    fails(&run(&on_cpu(&[]), b""), 3, "<stdin>: ended before the first frame");
    let message = "<stdin>: ended after 2 frames; --start 3 was asked for";
    fails(&run(&on_cpu(&["--start", "3"]), &film(2, None)), 3, message);
}

#[test]
fn a_child_engine_gets_the_same_windows() {
    let film = film(5, Some(3));
    let whole = run(&["--engine", &nearest(""), "--window", "2", "--overlap", "1"], &film);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let mut expected = Vec::new();
    for row in film.chunks(WIDTH * 3) {
        let row: Vec<u8> = row.chunks(3).flat_map(|p| p.repeat(4)).collect();
        expected.extend(row.repeat(4));
    }
    assert!(whole.stdout == expected);
}

#[test]
fn a_child_that_fails_is_named_and_quoted() {
    let film = film(1, None);
    let path = nearest("").split('\'').nth(1).unwrap().to_owned();
    let end = |fault: &str, message: &str| {
        let output = run(&["--engine", &nearest(fault), "--engine-timeout", "300ms"], &film);
        fails(&output, 1, &format!("frames 0 to 0: {path}: {message}"));
    };
    end("die", "closed its output before it answered (exit 1); it said: Error: \"out of luck\"");
    end("hang", "hangs: not a byte for 300ms (killed); it said: nothing");
    end("wrong-size", "answered with width 64; 256 was asked for (killed); it said: nothing");
    end("babble", "answered `hello`, not a JSON line (killed); it said: nothing");
    end("short", "closed its output inside a frame (exit 0); it said: nothing");
    let missing = run(&["--engine", "no-such-engine"], &film);
    fails(&missing, 1, "no-such-engine: cannot start: No such file or directory");
}

#[test]
fn the_report_tells_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    enlarge(&["--report", report.to_str().unwrap(), "--progress", "none"], &film(2, None));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(report["tool"], "sr-window");
    assert_eq!(report["status"], "ok");
    assert_eq!((report["frames_in"].as_u64(), report["frames_out"].as_u64()), (Some(2), Some(2)));
    assert_eq!(report["bytes_out"].as_u64(), Some(2 * OUT as u64));
    assert_eq!(report["settings"]["window"], 96);
    assert_eq!(report["model"]["mid_channels"], 16);
}

#[test]
fn a_tile_of_the_whole_picture_is_the_whole_picture() {
    let film = film(2, None);
    assert!(enlarge(&["--tile", "64x64"], &film) == enlarge(&[], &film));
}

/// Where there is no GPU: `cuda` fails before it reads, `auto` takes the CPU and says so.
#[test]
fn no_gpu_is_an_error_for_cuda_and_a_word_for_auto() {
    let devices = run_plainly(&["--devices"], b"");
    let devices: Value = serde_json::from_slice(&devices.stdout).unwrap();
    assert_eq!(devices["devices"][0]["device"], "cpu");
    let Some(reason) = devices["no_cuda"].as_str() else {
        println!("skipped: this machine has an NVIDIA driver");
        return;
    };
    fails(&run(&["--weights", weights(), "--device", "cuda"], b""), 1, &format!("cuda:0: {reason}"));
    let auto = run(&["--weights", weights()], &film(1, None));
    assert!(auto.status.success());
    let said = String::from_utf8_lossy(&auto.stderr);
    assert_eq!(said, format!("sr-window: --device auto: running on the CPU: {reason}\n"));
}

/// A small network that keeps the size, in a file that lives as long as the tests.
fn keeping_size() -> &'static str {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| checkpoint("keeping-size", &formula::tensors_keeping_size(16, 1))).to_str().unwrap()
}

/// Runs it on the CPU on frames of `size`.
fn keep_size(size: &str, args: &[&str], input: &[u8]) -> Output {
    let always = ["-s", size, "-p", "rgb24", "--device", "cpu", "--weights", keeping_size()];
    run_plainly(&[&always[..], args].concat(), input)
}

/// Windows, cuts, restarts and tiles are the same to it.
#[test]
fn a_network_that_keeps_the_size() {
    let film = film_of([256, 260], 4, Some(2));
    let frame = film.len() / 4;
    let restored = |args: &[&str], film: &[u8]| {
        let output = keep_size("256x260", &[&["--window", "2", "--overlap", "1"], args].concat(), film);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let whole = restored(&[], &film);
    assert_eq!(whole.len(), film.len());
    let scenes = film.split_at(2 * frame);
    assert!(whole == [restored(&[], scenes.0), restored(&[], scenes.1)].concat());
    let uncut = restored(&["--cuts", "off"], &film);
    assert!(uncut != whole);
    let late = restored(&["--cuts", "off", "--first-frame", "1", "--start", "3"], &film[frame..]);
    assert!(late == uncut[3 * frame..]);
    assert_eq!(restored(&["--tile", "256x256"], scenes.0).len(), 2 * frame);
}

#[test]
fn what_a_network_that_keeps_the_size_says() {
    let info = run_plainly(&["--info", "--weights", keeping_size()], b"");
    let info: Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!((&info["scale"], &info["mid_channels"]), (&1.into(), &16.into()));
    let message = "cpu: frames of 250x260: the network takes 256x256 and larger";
    fails(&keep_size("250x260", &[], b""), 1, message);
    let message = "cpu: frames of 256x258: the network takes multiples of 4";
    fails(&keep_size("256x258", &[], b""), 1, message);
}

#[test]
fn another_network_is_refused() {
    let mut tensors = formula::tensors(16, 1);
    tensors.retain(|(name, _)| !name.starts_with("spynet."));
    let path = checkpoint("no-flow", &tensors);
    let path = path.to_str().unwrap();
    let message = format!("{path}: tensor spynet.mean of BasicVSR++ is missing");
    fails(&run(&["--weights", path], b""), 1, &message);
}
