//! The process around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main::<retime25to24::Retime25To24>()
}
