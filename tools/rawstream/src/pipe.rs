//! Standard input and output as plain files, their pipes made as large as the system allows.

use nix::fcntl::{FcntlArg, fcntl};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// What an unprivileged process may ask for by default (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: i32 = 1 << 20;

fn plain(fd: BorrowedFd<'_>) -> io::Result<File> {
    // A pipe holds 64 KiB by default: a frame of 42 MB would cost 650 turns of reader and writer. Not a pipe, or not
    // allowed: then it stays as it is.
    let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok(File::from(fd.try_clone_to_owned()?))
}

/// Standard input, unbuffered.
pub fn stdin() -> io::Result<File> {
    plain(io::stdin().as_fd())
}

/// Standard output, unbuffered: what `write` accepted has left the process.
pub fn stdout() -> io::Result<File> {
    plain(io::stdout().as_fd())
}
