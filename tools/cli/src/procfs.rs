//! What `/proc` says of this process.

use std::fs::read_to_string;

/// The line of `/proc/self/status` of that name.
pub(crate) fn status(name: &str) -> Option<String> {
    let status = read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}
