//! One film of many segments.
//!
//! ffmpeg's concat demuxer does it: it opens one segment at a time (mkvmerge opens all of them and fails above the
//! limit on open files, at about 1,000), and each segment's place is given exactly, so that rounding cannot add up.

use crate::{
    child::{Failure, Running},
    control::{Control, Stop},
    folder::Folder,
    journal::Chunk,
};
use std::{fmt::Write, fs, path::Path, time::Duration};
use timebase::Rational;

/// Writes the segments, one after another, to `output`.
pub(crate) fn join(
    segments: &[&Chunk],
    rate: Rational,
    folder: &Folder,
    output: &Path,
    control: &Control,
    stall: Duration,
) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::Command(cli::reason(&e));
    let mut list = String::from("ffconcat version 1.0\n");
    for chunk in segments {
        let name = Folder::chunk_name(chunk.stage, chunk.first_frame);
        let micros = i128::from(chunk.frames) * i128::from(rate.den()) * 1_000_000 / i128::from(rate.num());
        let _ = writeln!(list, "file {name}\nduration {}.{:06}", micros / 1_000_000, micros % 1_000_000);
    }
    fs::write(folder.segment_list(), list).map_err(failed)?;
    let list = folder.segment_list();
    let argv =
        ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "concat", "-i"].map(str::to_owned).into_iter();
    let argv: Vec<_> = argv
        .chain([list.to_string_lossy().into_owned()])
        .chain(["-map", "0:v:0", "-c", "copy"].map(str::to_owned))
        .chain([output.to_string_lossy().into_owned()])
        .collect();
    let running = Running::start(&argv, false, &folder.root().join("log/join.log")).map_err(failed)?;
    running.wait(control, Stop::Now, output, stall)
}
