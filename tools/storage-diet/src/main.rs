//! The process around the library: see `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    storage_diet::end_with_make();
    cli::main::<storage_diet::StorageDiet>()
}
