//! A job in a folder of its own, real commands around the real binary.

#![allow(dead_code, reason = "each test file uses its part")]
use serde_json::Value;
use std::{
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

/// What every test's frames are.
pub const WIDTH: usize = 16;
pub const HEIGHT: usize = 16;
pub const FRAME: usize = WIDTH * HEIGHT * 3 / 2;

/// Lossless, so that what comes out can be compared with what went in.
pub const FFV1: &str =
    "ffmpeg -v error -f rawvideo -s {size} -pix_fmt {pix_fmt} -r {rate} -i - -c:v ffv1 -g 1 {out}";
/// The same from a mezzanine.
pub const FFV1_FROM_MEZZ: &str = "ffmpeg -v error -i {in} -c:v ffv1 -g 1 {out}";

/// Frames of noise that is the same every time, each different from every other.
pub fn frames(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in range {
        let mut x = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..FRAME {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes.push(16 + (x >> 32) as u8 % 200);
        }
    }
    bytes
}

/// How a run ended.
pub struct Ended {
    /// Exit code, or 128 and the signal.
    pub code: i32,
    /// The events.
    pub events: Vec<Value>,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn failed(&self, code: i32, stderr: &str) {
        assert_eq!((self.code, self.stderr.trim_end()), (code, stderr));
    }

    /// The names of the events.
    pub fn names(&self) -> Vec<&str> {
        self.events.iter().map(|e| e["event"].as_str().unwrap()).collect()
    }

    pub fn event(&self, name: &str) -> Option<&Value> {
        self.events.iter().find(|e| e["event"] == name)
    }
}

pub struct Job {
    folder: tempfile::TempDir,
}

impl Job {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `seg-sink` on this job with the geometry of [`frames`]; `flags` follow.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = self.bare();
        command.args(["-o", "film.mkv", "-s", "16x16", "-p", "yuv420p", "-r", "24"]);
        if !flags.contains(&"--segment") {
            command.args(["--segment", "10f"]);
        }
        command.args(flags);
        command
    }

    /// `seg-sink --dir job` and nothing else.
    pub fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-sink"));
        command.current_dir(self.folder.path()).args(["--dir", "job"]);
        command
    }

    pub fn run(&self, flags: &[&str], input: &[u8]) -> Ended {
        run(self.command(flags), input)
    }

    pub fn status(&self) -> Value {
        let output = self.bare().arg("--status").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The film's frames, decoded.
    pub fn film(&self) -> Vec<u8> {
        decode(&self.path("film.mkv"))
    }

    /// Names in a folder of the job, in order.
    pub fn list(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("job").join(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// An executable script in the job's parent folder.
    pub fn script(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

pub fn decode(path: &Path) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Starts a run with its input on a pipe, fed by a thread.
pub fn start(mut command: Command, input: &[u8]) -> Child {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A tool that refuses does not read: that is its right.
    thread::spawn(move || pipe.write_all(&input));
    child
}

pub fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let line = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"));
    Ended {
        code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap()),
        events: String::from_utf8(output.stdout).unwrap().lines().map(line).collect(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn run(command: Command, input: &[u8]) -> Ended {
    ended(start(command, input))
}
