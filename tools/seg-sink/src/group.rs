//! A command and all that it has started: a process group.

use nix::{
    libc,
    sys::{
        resource::RLIM_INFINITY,
        signal::{Signal, killpg},
    },
    unistd::{Pid, getpgid},
};
use std::fs;

/// A process group, by its leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(pub(crate) Pid);

impl Group {
    /// Its processes.
    fn members(self) -> impl Iterator<Item = Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).map(Pid::from_raw);
        pids.filter(move |pid| getpgid(Some(*pid)) == Ok(self.0))
    }

    /// Ends all of them.
    pub(crate) fn kill(self) {
        let _ = killpg(self.0, Signal::SIGKILL);
    }

    /// Raises the size that the files they write may have. One that is born meanwhile has it from its parent.
    pub(crate) fn raise_limit(self, bytes: u64) {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: RLIM_INFINITY };
        for pid in self.members() {
            // SAFETY: reads one valid rlimit and writes none. A process that is gone needs none.
            unsafe { libc::prlimit(pid.as_raw(), libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
        }
    }

    /// The processor time they have used so far, in ticks. Processes that end take theirs with them.
    pub(crate) fn ticks(self) -> u64 {
        let ticks = |pid: Pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name, in brackets, may have blanks in it; after it utime and stime are the 12th and 13th (proc(5)).
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        };
        self.members().filter_map(ticks).sum()
    }
}
