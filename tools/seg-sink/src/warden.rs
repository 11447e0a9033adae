//! A process that outlives seg-sink by a moment, to end what seg-sink has started.
//!
//! The kernel ends a command when seg-sink dies, however it dies (`PR_SET_PDEATHSIG`); but not what the command itself
//! has started, and a shell script that has started an encoder is nothing unusual. The warden reads the numbers of
//! process groups from a pipe; when the pipe ends because seg-sink is gone, it kills the groups that are left.

use nix::{
    sys::signal::{SigHandler, Signal, killpg, signal},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::{self, PipeWriter, Read, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::{Command, ExitCode, Stdio},
    sync::OnceLock,
};

/// What the warden is called in the list of processes.
const NAME: &str = "seg-sink: warden";

static PIPE: OnceLock<PipeWriter> = OnceLock::new();

/// True when this process was started to be the warden.
pub fn is_me() -> bool {
    std::env::args_os().next().as_deref() == Some(OsStr::new(NAME))
}

/// Starts the warden.
pub(crate) fn start() -> io::Result<()> {
    let (pipe, numbers) = io::pipe()?;
    Command::new(std::env::current_exe()?)
        .arg0(NAME)
        .stdin(pipe)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn()?;
    let _ = PIPE.set(numbers);
    Ok(())
}

/// What a command tells the warden about itself, between fork and exec.
pub(crate) fn entry() -> impl Fn() + Send + Sync + 'static {
    let pipe = PIPE.get().map(PipeWriter::as_raw_fd);
    move || {
        if let Some(pipe) = pipe {
            let number = std::process::id().to_ne_bytes();
            // SAFETY: write is async-signal-safe; the buffer lives; the pipe is open for as long as the process.
            // A warden that is gone is no reason not to go on.
            unsafe { nix::libc::write(pipe, number.as_ptr().cast(), number.len()) };
        }
    }
}

/// The group `leader` is gone; its number may come again for someone else.
pub(crate) fn forget(leader: Pid) {
    if let Some(mut pipe) = PIPE.get() {
        let _ = pipe.write_all(&(-leader.as_raw()).to_ne_bytes());
    }
}

/// Is the warden, until seg-sink is gone.
pub fn run() -> ExitCode {
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: ignoring a signal involves no handler.
        let _ = unsafe { signal(number, SigHandler::SigIgn) };
    }
    let mut groups = BTreeSet::new();
    let mut number = [0; 4];
    let mut pipe = io::stdin().lock();
    while pipe.read_exact(&mut number).is_ok() {
        match i32::from_ne_bytes(number) {
            leader @ 1.. => groups.insert(leader),
            gone => groups.remove(&-gone),
        };
    }
    for leader in groups {
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }
    ExitCode::SUCCESS
}
