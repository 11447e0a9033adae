//! Child processes that do not outlive this one.

use nix::{
    sys::{prctl, signal::Signal},
    unistd::{getpid, getppid},
};
use std::{io, os::unix::process::CommandExt, process::Command};

/// Has the kernel kill the process that `command` starts when the thread that started it ends, however that ends: a
/// SIGKILL of this process leaves nothing at work.
pub fn ends_with_us(command: &mut Command) -> &mut Command {
    let parent = getpid();
    // SAFETY: between fork and exec only plain system calls are made: prctl and getppid.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the wish was known.
            if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        })
    }
}
