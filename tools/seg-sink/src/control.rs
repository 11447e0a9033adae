//! How a run is told to stop: by signals, by a failure in one of its threads.

use cli::{Error, ending_signals};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::SIGINT;
use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// How urgently to stop; only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stop {
    /// Not at all.
    No,
    /// The open segment is finished first: SIGINT.
    AfterSegment,
    /// Now, keeping what can be kept: SIGTERM, SIGHUP, a failure.
    Now,
    /// Now, children killed: SIGINT again.
    Abort,
}

/// Shared by all threads of a run.
pub(crate) struct Control {
    stop: AtomicU8,
    why: Mutex<Option<Error>>,
    /// Never written; its write end is closed for good when the run must stop now, which every poll notices.
    wake: PipeReader,
    waker: Mutex<Option<PipeWriter>>,
}

impl Control {
    /// Takes over the signals that ask for an end.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let (wake, waker) = io::pipe()?;
        let control = Arc::new(Self {
            stop: AtomicU8::new(Stop::No as u8),
            why: Mutex::new(None),
            wake,
            waker: Mutex::new(Some(waker)),
        });
        let mut signals = ending_signals()?;
        let shared = Arc::clone(&control);
        thread::spawn(move || {
            for signal in signals.forever() {
                let again = shared.stop() >= Stop::AfterSegment;
                let stop = match signal {
                    SIGINT if again => Stop::Abort,
                    SIGINT => Stop::AfterSegment,
                    _ => Stop::Now,
                };
                shared.rise(stop, Error::stopped(signal, "stopped"));
            }
        });
        Ok(control)
    }

    pub(crate) fn stop(&self) -> Stop {
        match self.stop.load(SeqCst) {
            0 => Stop::No,
            1 => Stop::AfterSegment,
            2 => Stop::Now,
            _ => Stop::Abort,
        }
    }

    /// The first reason stays the reason, but a failure is worth more than a wish to stop.
    pub(crate) fn rise(&self, stop: Stop, why: Error) {
        let mut first = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if first.as_ref().is_none_or(|e| e.signal().is_some() && why.signal().is_none()) {
            *first = Some(why);
        }
        self.stop.fetch_max(stop as u8, SeqCst);
        if stop >= Stop::Now {
            self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// A thread has failed: the run stops now.
    pub(crate) fn fail(&self, why: Error) {
        self.rise(Stop::Now, why);
    }

    /// Why the run stops.
    pub(crate) fn why(&self) -> Option<Error> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `fd` is ready for `events`. `Ok(false)`: not within `timeout`.
    ///
    /// Errors: [`io::ErrorKind::Interrupted`] when the run must stop now.
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, events: PollFlags, timeout: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(fd, events), PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let happened = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| !r.is_empty());
        if happened(&fds[1]) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(happened(&fds[0]))
    }
}
