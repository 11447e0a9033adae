//! The process around the library: see `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main::<seg_sink::SegSink>()
}
