//! One line for a whole job: which pass, how many frames, how fast, how long still, how much disk.

use crate::disk::Disk;
use std::{
    fmt,
    io::{IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use timebase::Rational;

/// How far a job has come.
#[derive(Clone, Debug)]
struct State {
    /// What is made, such as `option4`.
    name: String,
    /// Passes of the recipe, and the one at work, from 1.
    passes: usize,
    pass: usize,
    /// Its stages.
    stages: String,
    began: Instant,
    /// Frames that this pass has made now, and those that it had when it began.
    frames: u64,
    before: u64,
    /// Those that it is to make.
    total: u64,
    over: bool,
}

/// Draws the line until it is dropped.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// Between two lines where there is no terminal: a log is read afterwards.
const LOG_PERIOD: Duration = Duration::from_secs(60);
const TERMINAL_PERIOD: Duration = Duration::from_millis(500);

impl Progress {
    /// Of a job in `passes` passes, with what it has on the `disk`; it is silent where it is told to be `quiet`.
    pub fn start(name: &str, passes: usize, disk: Option<Arc<Disk>>, quiet: bool) -> Self {
        let state = State {
            name: name.into(),
            passes,
            pass: 1,
            stages: String::new(),
            began: Instant::now(),
            frames: 0,
            before: 0,
            total: 0,
            over: false,
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let on_terminal = std::io::stderr().is_terminal();
        let theirs = Arc::clone(&shared);
        let thread = (!quiet).then(|| thread::spawn(move || draw(&theirs, disk.as_deref(), on_terminal)));
        Self { shared, thread }
    }

    /// The pass numbered so from 0 begins; it has made `before` of its `total` frames already.
    pub fn pass(&self, number: usize, stages: &str, before: u64, total: u64) {
        let mut state = self.state();
        (state.pass, state.stages, state.began) = (number + 1, stages.into(), Instant::now());
        (state.frames, state.before, state.total) = (before, before, total);
    }

    /// The pass has made so many frames since it began.
    pub fn made(&self, frames: u64) {
        let mut state = self.state();
        state.frames = state.before + frames;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.state().over = true;
        self.shared.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn draw(shared: &(Mutex<State>, Condvar), disk: Option<&Disk>, on_terminal: bool) {
    let period = if on_terminal { TERMINAL_PERIOD } else { LOG_PERIOD };
    let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !state.over {
        let (guard, timeout) = shared.1.wait_timeout(state, period).unwrap_or_else(PoisonError::into_inner);
        state = guard;
        if timeout.timed_out() && state.total > 0 {
            let disk = disk.map_or(String::new(), |disk| {
                format!(", disk {}, peak {}", size(disk.now()), size(disk.peak()))
            });
            let line = format!("{state}{disk}");
            // That standard error is closed is no reason to fail.
            let _ = if on_terminal {
                write!(std::io::stderr(), "\r{line}\x1b[K")
            } else {
                writeln!(std::io::stderr(), "{line}")
            };
        }
    }
    if on_terminal && state.total > 0 {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

impl State {
    /// Seconds that the job still takes: the passes to come are taken to be as fast as this one.
    fn left(&self, elapsed: f64) -> Option<f64> {
        let made = self.frames - self.before;
        let to_come = self.total.saturating_sub(self.frames) + (self.passes - self.pass) as u64 * self.total;
        (made > 0).then(|| elapsed / made as f64 * to_come as f64)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = self.began.elapsed().as_secs_f64();
        let rate = (self.frames - self.before) as f64 / elapsed.max(1e-9);
        write!(f, "{}: ", self.name)?;
        if self.passes > 1 {
            write!(f, "pass {} of {}, ", self.pass, self.passes)?;
        }
        write!(f, "{}: {}/{} frames, {rate:.1} fps", self.stages, self.frames, self.total)?;
        match self.left(elapsed) {
            Some(left) => write!(f, ", {} left", clock(left)),
            None => Ok(()),
        }
    }
}

/// `1:05:20`.
pub fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// A time of a film, `0:03:25.040`; what cannot be counted is the beginning.
pub fn clock_ms(seconds: Option<Rational>) -> String {
    let ms = seconds.and_then(|s| s.checked_mul(Rational::whole(1000))).map_or(0, Rational::round);
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    format!("{sign}{}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// `373 GB`, `1.5 MB`.
pub fn size(bytes: u64) -> String {
    let n = bytes as f64;
    for (unit, scale) in [("TB", 1e12), ("GB", 1e9), ("MB", 1e6)] {
        if n >= scale {
            return format!("{:.*} {unit}", usize::from(n < 100.0 * scale), n / scale);
        }
    }
    format!("{:.1} kB", n / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_that_of_all_passes() {
        let began = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let mut state = State {
            name: "option0".into(),
            passes: 3,
            pass: 2,
            stages: "read-rgb, enlarge, prores".into(),
            began,
            frames: 60,
            before: 10,
            total: 100,
            over: false,
        };
        // 50 frames in 10 s: 40 of this pass and 100 of the next are to come.
        assert_eq!(state.left(10.0), Some(28.0));
        assert_eq!(
            state.to_string(),
            "option0: pass 2 of 3, read-rgb, enlarge, prores: 60/100 frames, 5.0 fps, 0:00:28 left"
        );
        state.frames = 10;
        assert_eq!(state.left(10.0), None);
    }

    #[test]
    fn times_of_a_film() {
        assert_eq!(clock_ms(Rational::new(205_040, 1000)), "0:03:25.040");
        assert_eq!(clock_ms(Rational::new(-1, 2)), "-0:00:00.500");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (999, "1.0 kB"),
            (1_500_000, "1.5 MB"),
            (373_000_000_000, "373 GB"),
            (1_200_000_000_000, "1.2 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
