//! The commands that seg-sink runs.
//!
//! What a command says goes to a log, and its tail into messages.

use crate::{
    control::{Control, Stop},
    disk::Grant,
    feed::Feed,
    pipeline::{Ending, Pipeline},
};
use nix::{poll::PollFlags, sys::signal::Signal};
use std::{
    io::{self, BufRead},
    path::{Path, PathBuf},
    process::{ChildStdout, Stdio},
    time::{Duration, Instant},
};

/// A running command, and the right to write that goes with it.
pub(crate) struct Running<'a> {
    pipeline: Pipeline,
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

impl<'a> Running<'a> {
    /// Starts `commands`, joined by pipes, with `frames` for the first's standard input, their words in the file `log`, if
    /// there is to be one. The calling thread must outlive them.
    pub(crate) fn start(
        commands: &[Vec<String>],
        frames: Stdio,
        log: Option<PathBuf>,
        grant: Option<Grant<'a>>,
    ) -> io::Result<Self> {
        let most = grant.as_ref().and_then(Grant::bytes);
        Ok(Self { pipeline: Pipeline::start(commands, frames, None, log, most)?, grant })
    }

    /// Starts `argv` with frames on its standard output, which the second value reads.
    pub(crate) fn start_source(argv: Vec<String>) -> io::Result<(Self, ChildStdout)> {
        let mut pipeline = Pipeline::start(&[argv], Stdio::null(), Some(Stdio::piped()), None, None)?;
        let frames = pipeline.take_stdout().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((Self { pipeline, grant: None }, frames))
    }

    /// How much it may write; `None`: as much as it likes.
    pub(crate) fn most(&self) -> Option<u64> {
        self.grant.as_ref().and_then(Grant::bytes)
    }

    /// Raises that, as [`Grant::grow`] does.
    pub(crate) fn grow(&mut self, least: u64, most: u64, reserve: u64) -> bool {
        let grown = self.grant.as_mut().is_none_or(|grant| grant.grow(least, most, reserve));
        if let Some(most) = self.most().filter(|_| grown) {
            self.pipeline.group().raise_limit(most);
        }
        grown
    }

    /// The pipe that takes the frames; once.
    pub(crate) fn take_feed(&mut self) -> io::Result<Feed> {
        Feed::new(self.pipeline.take_stdin().ok_or(io::ErrorKind::BrokenPipe)?)
    }

    /// Ends the command and everything that it started.
    pub(crate) fn kill(self) {}

    /// Waits for its end. A command that neither changes `output` nor uses the processor for `stall` is ended.
    pub(crate) fn wait(
        mut self,
        control: &Control,
        give_up_at: Stop,
        output: &Path,
        stall: Duration,
    ) -> Result<(), Failure> {
        self.wait_for_end(control, give_up_at, output, stall)
    }

    fn wait_for_end(
        &mut self,
        control: &Control,
        give_up_at: Stop,
        output: &Path,
        stall: Duration,
    ) -> Result<(), Failure> {
        let cannot = |e: io::Error| Failure::Command(format!("cannot be waited for: {}", cli::reason(&e)));
        let size = || output.metadata().map_or(0, |m| m.len());
        let glance = (stall / 8).min(Duration::from_secs(5));
        let (mut last, mut since) = ((size(), self.pipeline.group().ticks()), Instant::now());
        let mut look_at = since + glance;
        let culprit = loop {
            match self.pipeline.ended().map_err(cannot)? {
                Some(Ok(())) => return Ok(()),
                Some(Err(culprit)) => break culprit,
                None => {}
            }
            let time = look_at.saturating_duration_since(Instant::now());
            match control.wait(self.pipeline.at_work(), PollFlags::POLLIN, time, give_up_at) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(Failure::Stopped),
                Err(e) => return Err(cannot(e)),
            }
            let now = (size(), self.pipeline.group().ticks());
            look_at = Instant::now() + glance;
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= stall {
                let stall = humantime::format_duration(stall);
                return Err(Failure::Command(format!("did nothing for {stall} and was ended")));
            }
        };
        let is_full = culprit.ending == Ending::Signaled(Some(Signal::SIGXFSZ))
            || self.most().is_some_and(|most| size() >= most);
        Err(if is_full { Failure::Full } else { Failure::Command(culprit.why) })
    }
}

/// Runs a program that judges a file to its end and hands over its lines. It must find nothing to complain of: ffmpeg
/// decodes on after most errors, and ends well. Only an abort ends it early: what is being proved is nearly safe.
pub(crate) fn read_lines(
    argv: &[String],
    control: &Control,
    mut line: impl FnMut(&str),
) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::Command(format!("{}: {}", argv[0], cli::reason(&e)));
    let (mut running, output) = Running::start_source(argv.to_vec()).map_err(failed)?;
    for text in io::BufReader::new(output).lines() {
        if control.stop() >= Stop::Abort {
            return Err(Failure::Stopped);
        }
        line(&text.map_err(failed)?);
    }
    match running.wait_for_end(control, Stop::Abort, Path::new(""), Duration::MAX) {
        Ok(()) => match running.pipeline.tail() {
            words if words.is_empty() => Ok(()),
            words => Err(Failure::Command(format!("does not pass {}{words}", argv[0]))),
        },
        Err(Failure::Command(why)) => {
            Err(Failure::Command(format!("does not pass {}, which {why}", argv[0])))
        }
        Err(other) => Err(other),
    }
}
