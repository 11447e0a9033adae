//! Writes a small checkpoint whose weights come from formulas, for tests and for trying the pipeline without a
//! trained network: `formula-weights FILE [CHANNELS BLOCKS] [--without-residue|--keeping-size|--steady]`.
//!
//! What the network makes of a picture means nothing, unless `--without-residue` is given: then its last layer is
//! zero and what comes out is its bilinear base. With `--keeping-size` it is one that does not enlarge;
//! with `--steady` one that runs for hundreds of frames in float16.

use basicvsrpp::formula;
use std::{env, fs, process::ExitCode};

fn usage() -> ExitCode {
    eprintln!(
        "usage: formula-weights FILE [CHANNELS BLOCKS] [--without-residue|--keeping-size|--steady]; CHANNELS: a multiple of 8"
    );
    ExitCode::from(2)
}

fn main() -> ExitCode {
    let (flags, args): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let sizes: Result<Vec<usize>, _> = args.iter().skip(1).map(|n| n.parse()).collect();
    let (file, channels, blocks) = match (&args[..], sizes.as_deref()) {
        ([file], _) => (file, 16, 1),
        ([file, _, _], Ok(&[channels, blocks])) if channels % 8 == 0 && channels > 0 => {
            (file, channels, blocks)
        }
        _ => return usage(),
    };
    let noise = "pseudo-random weights: gives nothing to look at";
    let (tensors, what) = match flags.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (formula::tensors(channels, blocks), noise),
        ["--keeping-size"] => (formula::tensors_keeping_size(channels, blocks), noise),
        ["--steady"] => (formula::tensors_steady(channels, blocks), noise),
        ["--without-residue"] => {
            (formula::tensors_without_residue(channels, blocks), "last layer zero: gives the bilinear base")
        }
        _ => return usage(),
    };
    match fs::write(file, formula::safetensors(&tensors, what)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("formula-weights: {file}: {e}");
            ExitCode::FAILURE
        }
    }
}
