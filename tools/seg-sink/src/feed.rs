//! The pipe that takes frames into a command.

use crate::control::{Control, Stop};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
    poll::PollFlags,
};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    process::ChildStdin,
    time::Duration,
};

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
    pub(crate) fn new(pipe: ChildStdin) -> io::Result<Self> {
        // As large as the system allows an unprivileged process; it stays as it is where it may not grow.
        let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(1 << 20));
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe })
    }

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
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait_for_room(control, stall)?,
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
        loop {
            match splice(input, None, &self.pipe, None, most, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(n) => return Ok(n),
                Err(Errno::EINTR) => {}
                // Either there is nothing to take or no room to put it.
                Err(Errno::EAGAIN) => {
                    wait(control, input.as_fd(), PollFlags::POLLIN, Duration::MAX)?;
                    self.wait_for_room(control, stall)?;
                }
                Err(Errno::EPIPE) => return Err(Refusal::Closed),
                Err(e) => return Err(Refusal::Failed(e.into())),
            }
        }
    }

    fn wait_for_room(&self, control: &Control, stall: Duration) -> Result<(), Refusal> {
        if wait(control, self.pipe.as_fd(), PollFlags::POLLOUT, stall)? {
            Ok(())
        } else {
            Err(Refusal::Stalled)
        }
    }
}

fn wait(control: &Control, fd: BorrowedFd<'_>, events: PollFlags, time: Duration) -> Result<bool, Refusal> {
    control.wait([fd], events, time, Stop::Now).map_err(|e| match e.kind() {
        io::ErrorKind::Interrupted => Refusal::Stopped,
        _ => Refusal::Failed(e),
    })
}
