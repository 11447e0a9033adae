//! What only the kernel knows of this process, and what follows from it.

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
    status("SigIgn").and_then(|mask| u64::from_str_radix(&mask, 16).ok()).unwrap_or(0)
}

/// What the kernel says of this process under that name.
pub(crate) fn status(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}
