//! The process around the library: see `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main::<sr_window::args::Args>()
}
