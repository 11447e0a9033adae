//! The commands that seg-sink runs.
//!
//! Each is the leader of a process group of its own, so that a ^C on the terminal reaches seg-sink alone and what the
//! command has started ends with it. What it says goes to a log and its tail into messages.

use crate::control::{Control, Stop};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::PollFlags,
    sys::{
        prctl,
        signal::{Signal, killpg},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{self, PipeReader, Read, Write},
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What is kept of a command's words on disk.
const LOG_BYTES: usize = 64 << 10;
/// And in a message.
const TAIL_BYTES: usize = 400;
/// How often a running command is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// A running command.
pub(crate) struct Running {
    child: Child,
    log: Option<JoinHandle<String>>,
}

/// Why a command's work does not count.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed, or what it wrote is not what it was to write.
    Command(String),
    /// The run is stopping; nothing is said against the command.
    Stopped,
    /// The job cannot go on, whatever the command did.
    Fatal(cli::Error),
}

/// A program is found in the path before anything begins.
pub(crate) fn find(program: &str) -> Result<(), String> {
    use nix::unistd::{AccessFlags, access};
    let runs = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let found = if program.contains('/') {
        runs(Path::new(program))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| runs(&folder.join(program)))
    };
    if found { Ok(()) } else { Err("not found, or not a program".into()) }
}

fn command(argv: &[String]) -> Command {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).process_group(0);
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only prctl and getppid are called, which are plain system calls.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the wish was known.
            if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
    command
}

impl Running {
    /// Starts `argv`, its standard input a pipe or empty, its words in `log`. The calling thread must outlive the
    /// command: the kernel ends it with the thread that started it.
    pub(crate) fn start(argv: &[String], with_frames: bool, log: &Path) -> io::Result<Self> {
        let (said, words) = io::pipe()?;
        let log = File::create(log)?;
        let child = command(argv)
            .stdin(if with_frames { Stdio::piped() } else { Stdio::null() })
            .stdout(words.try_clone()?)
            .stderr(words)
            .spawn()?;
        Ok(Self { child, log: Some(thread::spawn(move || keep(said, Some(log)))) })
    }

    /// The pipe that takes the frames; once.
    pub(crate) fn take_feed(&mut self) -> io::Result<Feed> {
        let pipe = self.child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // As large as the system allows an unprivileged process; it stays as it is where it may not grow.
        let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(1 << 20));
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Feed { pipe })
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Ends the command and everything that it started.
    pub(crate) fn kill(mut self) {
        let _ = killpg(self.group(), Signal::SIGKILL);
        let _ = self.child.wait();
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }

    /// Waits for its end. A command that does nothing to `output` and says nothing for `stall` is ended.
    pub(crate) fn wait(
        mut self,
        control: &Control,
        give_up_at: Stop,
        output: &Path,
        stall: Duration,
    ) -> Result<(), Failure> {
        let size = |path: &Path| path.metadata().map_or(0, |m| m.len());
        let (mut last, mut since) = (size(output), Instant::now());
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(e) => return Err(Failure::Command(format!("cannot be waited for: {}", cli::reason(&e)))),
            }
            if control.stop() >= give_up_at {
                self.kill();
                return Err(Failure::Stopped);
            }
            if size(output) != last {
                (last, since) = (size(output), Instant::now());
            } else if since.elapsed() >= stall {
                self.kill();
                let stall = humantime::format_duration(stall);
                return Err(Failure::Command(format!("wrote nothing for {stall} and was ended")));
            }
            thread::sleep(GLANCE);
        };
        // What it may have left behind must not write on.
        let _ = killpg(self.group(), Signal::SIGKILL);
        let tail = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        if status.success() { Ok(()) } else { Err(Failure::Command(ending(status) + &tail)) }
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(number)) => {
            let name =
                Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.to_string());
            format!("was ended by {name}")
        }
        _ => "ended".into(),
    }
}

/// Writes what a command says to its log, up to a bound, and returns the tail of it as `: words`.
fn keep(mut said: PipeReader, mut log: Option<File>) -> String {
    let (mut tail, mut written) = (Vec::new(), 0);
    let mut buffer = [0; 4096];
    while let Ok(n) = said.read(&mut buffer) {
        if n == 0 {
            break;
        }
        let room = LOG_BYTES.saturating_sub(written).min(n);
        // A log that cannot be written is no reason to fail.
        let _ = log.as_mut().map(|log| log.write_all(&buffer[..room]));
        written += room;
        tail.extend_from_slice(&buffer[..n]);
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
    }
    let tail = String::from_utf8_lossy(&tail);
    let words = tail.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { words } else { format!(": {words}") }
}

/// The pipe into a command.
pub(crate) struct Feed {
    pipe: ChildStdin,
}

/// Why a command takes no more.
pub(crate) enum Refusal {
    /// It closed its standard input, most likely because it is gone.
    Closed,
    /// It did not take a byte for the time given.
    Stalled,
    /// The run must stop now.
    Stopped,
    /// The system would not.
    Failed(io::Error),
}

impl Feed {
    /// Gives all of `bytes`.
    pub(crate) fn give(
        &mut self,
        mut bytes: &[u8],
        control: &Control,
        stall: Duration,
    ) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            match self.pipe.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    match control.wait(self.pipe.as_fd(), PollFlags::POLLOUT, stall) {
                        Ok(true) => {}
                        Ok(false) => return Err(Refusal::Stalled),
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(Refusal::Stopped),
                        Err(e) => return Err(Refusal::Failed(e)),
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Err(Refusal::Closed),
                Err(e) => return Err(Refusal::Failed(e)),
            }
        }
        Ok(())
    }
}

/// Runs a program to its end and hands over its lines; what it says on standard error is in the failure.
pub(crate) fn read_lines(
    argv: &[String],
    control: &Control,
    give_up_at: Stop,
    mut line: impl FnMut(&str),
) -> Result<(), Failure> {
    use std::io::BufRead;
    let failed = |e: io::Error| Failure::Command(format!("{}: {}", argv[0], cli::reason(&e)));
    let (said, words) = io::pipe().map_err(failed)?;
    let mut child =
        command(argv).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(words).spawn().map_err(failed)?;
    let log = thread::spawn(move || keep(said, None));
    let output = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    let mut stopped = false;
    for text in io::BufReader::new(output).lines() {
        if control.stop() >= give_up_at {
            stopped = true;
            break;
        }
        line(&text.map_err(failed)?);
    }
    let running = Running { child, log: Some(log) };
    if stopped {
        running.kill();
        return Err(Failure::Stopped);
    }
    match running.wait(control, give_up_at, Path::new(""), Duration::MAX) {
        Err(Failure::Command(why)) => Err(Failure::Command(format!("{} {why}", argv[0]))),
        other => other,
    }
}
