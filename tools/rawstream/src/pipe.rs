//! Standard input and output as plain files, their pipes made as large as the system allows.

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// What an unprivileged process may ask for by default (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: i32 = 1 << 20;

/// Which of standard input, output and error were closed when the process began.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Before `main` Rust opens `/dev/null` in place of what is closed, which nothing tells from one that was asked for; so
/// this looks before that.
extern "C" fn look() {
    for (fd, closed) in (0..).zip(&CLOSED) {
        // SAFETY: any number may be asked about; nothing changes.
        closed.store(unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1, Relaxed);
    }
}

// SAFETY: the loader calls what stands in this section before `main`, on the only thread there is; `look` needs nothing
// that is set up later: it makes system calls and sets flags, and neither allocates nor panics.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

fn plain(fd: BorrowedFd<'_>) -> io::Result<File> {
    if CLOSED.get(fd.as_raw_fd() as usize).is_some_and(|closed| closed.load(Relaxed)) {
        return Err(io::Error::other("closed"));
    }
    // A pipe holds 64 KiB by default: a frame of 42 MB would cost 650 turns of reader and writer. Not a pipe, or not
    // allowed: then it stays as it is.
    let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok(File::from(fd.try_clone_to_owned()?))
}

/// Standard input, unbuffered.
///
/// Errors: it was closed when the process began.
pub fn stdin() -> io::Result<File> {
    plain(io::stdin().as_fd())
}

/// Standard output, unbuffered: what `write` accepted has left the process.
///
/// Errors: it was closed when the process began.
pub fn stdout() -> io::Result<File> {
    plain(io::stdout().as_fd())
}
