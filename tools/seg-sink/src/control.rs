//! How a run is told to stop: by signals, by a failure in one of its threads.

use cli::locked;
use cli::{Error, ending_signals};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use signal_hook::consts::SIGINT;
use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
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

/// Urgencies but [`Stop::No`].
const LEVELS: usize = Stop::Abort as usize;

/// Shared by all threads of a run.
pub(crate) struct Control {
    stop: AtomicU8,
    why: Mutex<Option<Error>>,
    /// For each urgency a pipe that is never written; its write end is closed for good when the run must stop as urgently
    /// as that, which every poll notices.
    wake: [PipeReader; LEVELS],
    wakers: Mutex<[Option<PipeWriter>; LEVELS]>,
}

impl Control {
    /// Takes over the signals that ask for an end.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let [a, b, c] = [io::pipe()?, io::pipe()?, io::pipe()?];
        let control = Arc::new(Self {
            stop: AtomicU8::new(Stop::No as u8),
            why: Mutex::new(None),
            wake: [a.0, b.0, c.0],
            wakers: Mutex::new([Some(a.1), Some(b.1), Some(c.1)]),
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
        let mut first = locked(&self.why);
        if first.as_ref().is_none_or(|e| e.signal().is_some() && why.signal().is_none()) {
            *first = Some(why);
        }
        self.stop.fetch_max(stop as u8, SeqCst);
        let mut wakers = locked(&self.wakers);
        wakers[..stop as usize].iter_mut().for_each(|waker| drop(waker.take()));
    }

    /// A thread has failed: the run stops now.
    pub(crate) fn fail(&self, why: Error) {
        self.rise(Stop::Now, why);
    }

    /// Why the run stops.
    pub(crate) fn why(&self) -> Option<Error> {
        locked(&self.why).clone()
    }

    /// Waits until one of `fds` is ready for `events`. `Ok(false)`: not within `timeout`.
    ///
    /// Errors: [`io::ErrorKind::Interrupted`] when the run must stop as urgently as `give_up_at`, which is not
    /// [`Stop::No`].
    pub(crate) fn wait<'fd>(
        &'fd self,
        fds: impl IntoIterator<Item = BorrowedFd<'fd>>,
        events: PollFlags,
        timeout: Duration,
        give_up_at: Stop,
    ) -> io::Result<bool> {
        let wake = PollFd::new(self.wake[give_up_at as usize - 1].as_fd(), PollFlags::POLLIN);
        let fds = fds.into_iter().map(|fd| PollFd::new(fd, events));
        let mut fds: Vec<_> = std::iter::once(wake).chain(fds).collect();
        let begun = Instant::now();
        loop {
            // Rounded up to whole milliseconds.
            let left = timeout.saturating_sub(begun.elapsed()).saturating_add(Duration::from_micros(999));
            let ready = match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| !r.is_empty());
            if is_ready(&fds[0]) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if ready > 0 || begun.elapsed() >= timeout {
                return Ok(ready > 0);
            }
        }
    }
}
