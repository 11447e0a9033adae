//! The process around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main::<deint_crop::DeintCrop>()
}
