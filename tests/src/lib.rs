//! Real binaries in real pipes: what the tests of the whole suite share.
//!
//! [`tool`] runs one of the tools, [`shell`] a pipeline of them and ffmpeg, [`make`] a target of the Makefile; each ends as
//! an [`Ended`]. [`clip`] and [`clip::dvd`] make what flows through them.

pub mod clip;
pub mod pgs;

use std::{
    ffi::OsStr,
    io::Write,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
};

/// The six filters.
pub const TOOLS: [&str; 6] =
    ["deint-crop", "sr-window", "retime25to24", "seg-sink", "subs-canvas", "subs-retime"];

/// Where the repository is.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Where the binaries of this build are: beside the folder that holds the test itself.
pub fn bin() -> &'static Path {
    static BIN: LazyLock<PathBuf> = LazyLock::new(|| {
        let test = std::env::current_exe().unwrap();
        let bin = test.ancestors().nth(2).unwrap().to_owned();
        for tool in TOOLS.into_iter().chain(["storage-diet"]) {
            assert!(
                bin.join(tool).exists(),
                "{tool} is not built: run `cargo build --workspace --bins` first"
            );
        }
        bin
    });
    &BIN
}

/// Another model for `sr-window --engine`, which repeats pixels: everything around the network is as with the network,
/// which would take a second a frame.
pub fn nearest() -> &'static str {
    static NEAREST: LazyLock<PathBuf> = LazyLock::new(|| bin().join("examples/engine-nearest"));
    assert!(NEAREST.exists(), "engine-nearest is not built: run `cargo build --workspace --examples` first");
    NEAREST.to_str().unwrap()
}

/// The reference clips and fixtures beside the repository; `None`, said aloud, where there are none.
pub fn shared(path: &str) -> Option<PathBuf> {
    let shared = root().parent()?.join("shared").join(path);
    if !shared.exists() {
        eprintln!("skipped: no ../shared/{path} beside the repository");
        return None;
    }
    Some(shared)
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// What a shell would show: the exit code, or 128 and the signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("standard output is text")
    }

    /// Asserts success, and shows what was said otherwise.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// Asserts the exit code and everything that was said on standard error.
    #[track_caller]
    pub fn failed(&self, code: i32, stderr: &str) {
        assert_eq!((self.code, self.stderr.trim_end()), (code, stderr));
    }
}

/// A process to be: a tool, a shell pipeline or make.
pub struct Run {
    command: Command,
    input: Vec<u8>,
    stdin: Stdio,
    stdout: Stdio,
}

/// One of the tools, with arguments separated by blanks.
pub fn tool(name: &str, args: &str) -> Run {
    let mut command = Command::new(bin().join(name));
    command.args(args.split_whitespace());
    Run::new(command)
}

/// A shell script that finds the tools; a dead stage fails it.
pub fn shell(script: &str) -> Run {
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-euc", script]);
    Run::new(command)
}

/// `make TARGET NAME=VALUE…` with this build's binaries.
pub fn make(target: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = Command::new("make");
    command.arg("-C").arg(root()).arg("--no-print-directory").arg(target);
    command.arg(format!("BIN={}", bin().display()));
    command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
    Run::new(command)
}

impl Run {
    fn new(mut command: Command) -> Self {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", bin().display()));
        // A make that a test starts is no part of the make that started the test.
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
        Self { command, input: Vec::new(), stdin: Stdio::piped(), stdout: Stdio::piped() }
    }

    /// One more argument, as it stands.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The folder to run in.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What flows in.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Standard input comes from there instead of from [`Run::input`].
    pub fn stdin(mut self, file: impl Into<Stdio>) -> Self {
        self.stdin = file.into();
        self
    }

    /// Standard output goes there instead of into [`Ended::stdout`].
    pub fn output(mut self, file: impl Into<Stdio>) -> Self {
        self.stdout = file.into();
        self
    }

    /// It leads a process group of its own, which can be killed as one.
    pub fn leader(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Runs to the end.
    pub fn run(self) -> Ended {
        self.start().wait()
    }

    /// Starts; a thread feeds the input, so that no pipe fills up unread.
    pub fn start(mut self) -> Running {
        let child = self.command.stdin(self.stdin).stdout(self.stdout).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        if let Some(mut stdin) = child.stdin.take() {
            // That the reader goes away early is what some tests are about.
            thread::spawn(move || drop(stdin.write_all(&self.input)));
        }
        Running { child }
    }
}

/// A process that runs.
pub struct Running {
    child: Child,
}

impl Running {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(self) -> Ended {
        let output = self.child.wait_with_output().unwrap();
        let code = output.status.code().or_else(|| Some(128 + output.status.signal()?)).unwrap();
        Ended { code, stdout: output.stdout, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
    }
}

/// ffprobe's JSON of a film: streams with packet counts, chapters and format.
pub fn ffprobe(film: &Path) -> serde_json::Value {
    let probe = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_packets",
            "-show_streams",
            "-show_chapters",
            "-show_format",
            "-of",
            "json",
        ])
        .arg(film)
        .output()
        .unwrap();
    assert!(probe.status.success(), "{}", String::from_utf8_lossy(&probe.stderr));
    serde_json::from_slice(&probe.stdout).unwrap()
}
