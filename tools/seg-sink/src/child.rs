//! The commands that seg-sink runs.
//!
//! Each is the leader of a process group of its own, so that a ^C on the terminal reaches seg-sink alone and what the
//! command has started ends with it. What it says goes to a log and its tail into messages.

use crate::{
    control::{Control, Stop},
    disk::Grant,
    group::Group,
    log::Log,
    warden,
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
    poll::PollFlags,
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, setrlimit},
        signal::Signal,
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often a running command is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// A running command, and the right to write that goes with it.
pub(crate) struct Running<'a> {
    child: Child,
    log: Log,
    grant: Option<Grant<'a>>,
}

/// Why a command's work does not count.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed, or what it wrote is not what it was to write.
    Command(String),
    /// It wrote as much as it was granted.
    Full,
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

/// A command that ends with us and may write files of `most` bytes.
fn command(argv: &[String], most: Option<u64>) -> Command {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).process_group(0);
    let parent = nix::unistd::getpid();
    let register = warden::entry();
    // SAFETY: between fork and exec only plain system calls are made: write, prctl, getppid, setrlimit.
    unsafe {
        command.pre_exec(move || {
            register();
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            if let Some(most) = most {
                setrlimit(Resource::RLIMIT_FSIZE, most, RLIM_INFINITY)?;
            }
            // The parent may have died before the wish was known.
            if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
    command
}

impl<'a> Running<'a> {
    /// Starts `argv` with `frames` for standard input, its words in the file `log`, if there is to be one. The calling
    /// thread must outlive the command: the kernel ends it with the thread that started it.
    pub(crate) fn start(
        argv: &[String],
        frames: Stdio,
        log: Option<PathBuf>,
        grant: Option<Grant<'a>>,
    ) -> io::Result<Self> {
        let (said, words) = io::pipe()?;
        let most = grant.as_ref().and_then(Grant::bytes);
        let child = command(argv, most).stdin(frames).stdout(words.try_clone()?).stderr(words).spawn()?;
        Ok(Self { child, log: Log::listen(said, log), grant })
    }

    /// Starts `argv` with frames on its standard output, which the second value reads.
    pub(crate) fn start_source(argv: &[String]) -> io::Result<(Self, Stdio)> {
        let (said, words) = io::pipe()?;
        let mut child =
            command(argv, None).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(words).spawn()?;
        let frames = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((Self { child, log: Log::listen(said, None), grant: None }, frames.into()))
    }

    /// How much it may write; `None`: as much as it likes.
    pub(crate) fn most(&self) -> Option<u64> {
        self.grant.as_ref().and_then(Grant::bytes)
    }

    /// Raises that, as [`Grant::grow`] does.
    pub(crate) fn grow(&mut self, least: u64, most: u64, reserve: u64) -> bool {
        let grown = self.grant.as_mut().is_none_or(|grant| grant.grow(least, most, reserve));
        if let Some(most) = self.most().filter(|_| grown) {
            self.group().raise_limit(most);
        }
        grown
    }

    /// The pipe that takes the frames; once.
    pub(crate) fn take_feed(&mut self) -> io::Result<Feed> {
        let pipe = self.child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // As large as the system allows an unprivileged process; it stays as it is where it may not grow.
        let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(1 << 20));
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Feed { pipe })
    }

    fn group(&self) -> Group {
        Group(Pid::from_raw(self.child.id() as i32))
    }

    /// Ends the command and everything that it started.
    pub(crate) fn kill(mut self) {
        self.group().kill();
        let _ = self.child.wait();
        self.group().end();
    }

    /// Waits for its end. A command that neither changes `output` nor uses the processor for `stall` is ended.
    pub(crate) fn wait(
        self,
        control: &Control,
        give_up_at: Stop,
        output: &Path,
        stall: Duration,
    ) -> Result<(), Failure> {
        self.wait_for_words(control, give_up_at, output, stall).map(drop)
    }

    /// The same, and hands over what it said although it ended well.
    fn wait_for_words(
        mut self,
        control: &Control,
        give_up_at: Stop,
        output: &Path,
        stall: Duration,
    ) -> Result<Log, Failure> {
        let size = || output.metadata().map_or(0, |m| m.len());
        let life = |group: Group| (size(), group.ticks());
        let (mut last, mut since, mut looked) = (life(self.group()), Instant::now(), Instant::now());
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
            if looked.elapsed() >= (stall / 8).min(Duration::from_secs(5)) {
                looked = Instant::now();
                let now = life(self.group());
                if now != last {
                    (last, since) = (now, looked);
                } else if since.elapsed() >= stall {
                    self.kill();
                    let stall = humantime::format_duration(stall);
                    return Err(Failure::Command(format!("did nothing for {stall} and was ended")));
                }
            }
            thread::sleep(GLANCE);
        };
        // What it may have left behind must not write on.
        self.group().end();
        let full =
            status.signal() == Some(Signal::SIGXFSZ as i32) || self.most().is_some_and(|m| size() >= m);
        match status.success() {
            true => Ok(self.log),
            false if full => Err(Failure::Full),
            false => Err(Failure::Command(ending(status) + &self.log.tail())),
        }
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

    /// Moves up to `most` bytes from the pipe `input` without looking at them; 0 when that has ended.
    pub(crate) fn splice(
        &mut self,
        input: &File,
        most: usize,
        control: &Control,
        stall: Duration,
    ) -> Result<usize, Refusal> {
        let wait = |fd: BorrowedFd<'_>, events, time| match control.wait(fd, events, time) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(Refusal::Stopped),
            other => other.map_err(Refusal::Failed),
        };
        loop {
            match splice(input, None, &self.pipe, None, most, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(n) => return Ok(n),
                Err(Errno::EINTR) => {}
                // Either there is nothing to take or no room to put it.
                Err(Errno::EAGAIN) => {
                    while !wait(input.as_fd(), PollFlags::POLLIN, Duration::from_secs(60))? {}
                    if !wait(self.pipe.as_fd(), PollFlags::POLLOUT, stall)? {
                        return Err(Refusal::Stalled);
                    }
                }
                Err(Errno::EPIPE) => return Err(Refusal::Closed),
                Err(e) => return Err(Refusal::Failed(e.into())),
            }
        }
    }
}

/// Runs a program that judges a file to its end and hands over its lines. It must find nothing to complain of: ffmpeg
/// decodes on after most errors, and ends well. Only an abort ends it early: what is being proved is nearly safe.
pub(crate) fn read_lines(
    argv: &[String],
    control: &Control,
    mut line: impl FnMut(&str),
) -> Result<(), Failure> {
    use std::io::BufRead;
    let failed = |e: io::Error| Failure::Command(format!("{}: {}", argv[0], cli::reason(&e)));
    let (said, words) = io::pipe().map_err(failed)?;
    let mut child = command(argv, None)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(words)
        .spawn()
        .map_err(failed)?;
    let log = Log::listen(said, None);
    let output = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    let mut stopped = false;
    for text in io::BufReader::new(output).lines() {
        if control.stop() >= Stop::Abort {
            stopped = true;
            break;
        }
        line(&text.map_err(failed)?);
    }
    let running = Running { child, log, grant: None };
    if stopped {
        running.kill();
        return Err(Failure::Stopped);
    }
    match running.wait_for_words(control, Stop::Abort, Path::new(""), Duration::MAX) {
        Ok(log) => match log.tail() {
            words if words.is_empty() => Ok(()),
            words => Err(Failure::Command(format!("does not pass {}{words}", argv[0]))),
        },
        Err(Failure::Command(why)) => {
            Err(Failure::Command(format!("does not pass {}, which {why}", argv[0])))
        }
        Err(other) => Err(other),
    }
}
