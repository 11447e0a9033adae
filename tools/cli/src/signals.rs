//! The signals that end a run.

use crate::procfs;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::io;

/// Takes over SIGINT, SIGTERM and SIGHUP, but for those that this process was started to ignore: so `nohup` has it
/// outlive its terminal.
pub fn ending_signals() -> io::Result<Signals> {
    let ignored = ignored();
    Signals::new([SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0))
}

/// A bit for each signal, from the kernel; none where it does not say.
fn ignored() -> u64 {
    procfs::status("SigIgn").and_then(|mask| u64::from_str_radix(&mask, 16).ok()).unwrap_or(0)
}
