//! The processes of a command: one, or several that are joined by pipes.
//!
//! They are a process group of their own, so that a ^C on the terminal reaches seg-sink alone and what they have started
//! ends with them.

use crate::{
    group::Group,
    log::{Log, Words},
    warden,
};
use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, setrlimit},
        signal::Signal,
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::{Pid, getpid, getppid},
};
use std::{
    fmt, io,
    os::{
        fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// The processes of a command, each reading what the one before it writes. They end with this value.
pub(crate) struct Pipeline {
    /// The first leads the group. None is waited for before all of the group is dead: until then its number, and with it
    /// the group's, belongs to nobody else.
    processes: Vec<Process>,
}

struct Process {
    /// The program's name, without its folder.
    name: String,
    child: Child,
    /// Readable once the process has ended.
    pidfd: OwnedFd,
    words: Words,
    ending: Option<Ending>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With that code.
    Exited(i32),
    /// By a signal; `None`: by one that has no name.
    Signaled(Option<Signal>),
}

/// The process that a pipeline failed at.
#[derive(Debug)]
pub(crate) struct Culprit {
    pub(crate) ending: Ending,
    /// What happened, in words that go on after `the command`.
    pub(crate) why: String,
}

impl Pipeline {
    /// Starts a process for each of `commands`, the first with `input` for its standard input, all with the right to
    /// write files of `most` bytes. What they say goes to the file `log`, if there is to be one; what the last one writes
    /// to its standard output counts as said unless that is `Stdio::piped()`. The calling thread must outlive them: the
    /// kernel ends them with the thread that started them.
    pub(crate) fn start(
        commands: &[Vec<String>],
        input: Stdio,
        output: Option<Stdio>,
        log: Option<PathBuf>,
        most: Option<u64>,
    ) -> io::Result<Self> {
        let log = Log::new(log);
        let mut pipeline = Self { processes: Vec::new() };
        let (mut input, mut output) = (Some(input), output);
        for (n, argv) in commands.iter().enumerate() {
            let (said, words) = io::pipe()?;
            let (stdout, next) = if n + 1 < commands.len() {
                let (reader, writer) = io::pipe()?;
                (writer.into(), Some(reader.into()))
            } else {
                (output.take().map_or_else(|| words.try_clone().map(Stdio::from), Ok)?, None)
            };
            let stdin = std::mem::replace(&mut input, next).unwrap_or_else(Stdio::null);
            let mut child = command(argv, pipeline.leader(), most)
                .stdin(stdin)
                .stdout(stdout)
                .stderr(words)
                .spawn()
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {}", argv[0], cli::reason(&e))))?;
            let pidfd = pidfd(&child).inspect_err(|_| {
                let _ = child.kill();
                let _ = child.wait();
            })?;
            let name = Path::new(&argv[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let words = Words::listen(said, log.clone());
            pipeline.processes.push(Process { name, child, pidfd, words, ending: None });
        }
        Ok(pipeline)
    }

    fn leader(&self) -> Option<Pid> {
        self.processes.first().map(Process::pid)
    }

    /// All that was started by the processes, and they.
    pub(crate) fn group(&self) -> Group {
        Group(self.leader().unwrap_or(getpid()))
    }

    /// The pipe into the first process, where it was given one; once.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.processes.first_mut()?.child.stdin.take()
    }

    /// The pipe out of the last process, where it was given one; once.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.processes.last_mut()?.child.stdout.take()
    }

    /// What the last process said at last, as `: words`.
    pub(crate) fn tail(&self) -> String {
        self.processes.last().map_or_else(String::new, |process| process.words.tail())
    }

    /// What becomes readable as soon as one of the processes that are still at work ends.
    pub(crate) fn at_work(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.processes.iter().filter(|process| process.ending.is_none()).map(|process| process.pidfd.as_fd())
    }

    /// How it ended; `None` while it is at work. One process that failed for a reason of its own ends all of them.
    pub(crate) fn ended(&mut self) -> io::Result<Option<Result<(), Culprit>>> {
        let last = self.processes.len().saturating_sub(1);
        for process in &mut self.processes {
            process.look(WaitPidFlag::WNOHANG)?;
        }
        let is_culprit =
            |(n, process): (usize, &Process)| process.failed() && !(n < last && process.lost_its_reader());
        if let Some(mut culprit) = self.processes.iter().enumerate().position(is_culprit) {
            // The frames of a process that fails end early: one after it may have failed of that and be seen first.
            self.group().kill();
            for n in 0..culprit {
                let was_at_work = self.processes[n].ending.is_none();
                self.processes[n].look(WaitPidFlag::empty())?;
                let process = &self.processes[n];
                let killed = process.ending == Some(Ending::Signaled(Some(Signal::SIGKILL)));
                if was_at_work && !killed && is_culprit((n, process)) {
                    culprit = n;
                    break;
                }
            }
            return Ok(Some(Err(self.culprit(culprit))));
        }
        if self.at_work().next().is_some() {
            return Ok(None);
        }
        // Where nobody failed but those whose reader ended well without having read all, the last of them is to be told.
        let failed = self.processes.iter().rposition(Process::failed);
        Ok(Some(failed.map_or(Ok(()), |n| Err(self.culprit(n)))))
    }

    fn culprit(&self, n: usize) -> Culprit {
        let process = &self.processes[n];
        let ending = process.ending.unwrap_or(Ending::Signaled(None));
        let tail = process.words.tail();
        let why = match self.processes.len() {
            1 => format!("{ending}{tail}"),
            all => format!("failed at {} ({} of {all}), which {ending}{tail}", process.name, n + 1),
        };
        Culprit { ending, why }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let Some(leader) = self.leader() else { return };
        Group(leader).kill();
        warden::forget(leader);
        for process in &mut self.processes {
            let _ = process.child.wait();
        }
    }
}

impl Process {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Looks whether it has ended, and leaves it to be waited for.
    fn look(&mut self, flags: WaitPidFlag) -> io::Result<()> {
        if self.ending.is_some() {
            return Ok(());
        }
        let flags = flags | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        self.ending = loop {
            match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
                Ok(WaitStatus::Exited(_, code)) => break Some(Ending::Exited(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => break Some(Ending::Signaled(Some(signal))),
                Ok(_) => break None,
                Err(Errno::EINTR) => {}
                // What nix has no name for: a real-time signal.
                Err(Errno::EINVAL) => break Some(Ending::Signaled(None)),
                Err(e) => return Err(e.into()),
            }
        };
        Ok(())
    }

    fn failed(&self) -> bool {
        self.ending.is_some_and(|ending| ending != Ending::Exited(0))
    }

    /// Did it fail because nobody read what it wrote? It died of that, as a shell tells it, or complained.
    fn lost_its_reader(&self) -> bool {
        matches!(self.ending, Some(Ending::Signaled(Some(Signal::SIGPIPE)) | Ending::Exited(141)))
            || self.words.tail().contains("Broken pipe")
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signaled(Some(signal)) => write!(f, "was ended by {signal}"),
            Self::Signaled(None) => f.write_str("was ended by a signal"),
        }
    }
}

/// A process of the group that `leader` leads, or of a new one, that ends with us and may write files of `most` bytes.
fn command(argv: &[String], leader: Option<Pid>, most: Option<u64>) -> Command {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).process_group(leader.map_or(0, Pid::as_raw));
    let parent = getpid();
    let register = leader.is_none().then(warden::entry);
    // SAFETY: between fork and exec only plain system calls are made: write, prctl, getppid, setrlimit.
    unsafe {
        command.pre_exec(move || {
            if let Some(register) = &register {
                register();
            }
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            if let Some(most) = most {
                setrlimit(Resource::RLIMIT_FSIZE, most, RLIM_INFINITY)?;
            }
            // The parent may have died before the wish was known.
            if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
    command
}

/// A file that stands for a child that was not waited for yet.
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two numbers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let fd = Errno::result(fd)? as i32;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
