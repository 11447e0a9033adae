//! The process around the library: see `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if seg_sink::warden::is_me() { seg_sink::warden::run() } else { cli::main::<seg_sink::SegSink>() }
}
