//! `zero-residue FILE`: a small BasicVSR++ checkpoint whose last layer is zero.
//!
//! The whole network runs on it, and what comes out is the network's base: the frame, enlarged bilinearly. The demo and
//! the benchmarks of pipelines use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("zero-residue: usage: zero-residue FILE");
        return ExitCode::from(2);
    };
    match std::fs::write(&file, pipelines::clip::checkpoint()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("zero-residue: {file}: {e}");
            ExitCode::FAILURE
        }
    }
}
