//! A film's length never shows in memory: a tool's peak is the same for 100 frames and for 2,000, within 5 %.
//!
//! A tool takes so little for frames this small that chance is up to 5 % too: which parts of the program the kernel maps
//! along, how many threads' heaps meet. So the median of three long runs counts, beside the most that three short ones
//! take. How many frames wait for a reader is chance as well: here the reader is late, and as many wait as ever may.

use pipelines::{Run, clip, nearest, tool};
use serde_json::Value;
use std::{
    io::{self, PipeWriter},
    path::Path,
    thread,
    time::Duration,
};

/// Peak resident bytes of a tool on `frames` frames of `bytes` each.
fn peak(run: Run, folder: &Path, frames: usize, bytes: usize) -> f64 {
    run.within(folder).arg("--report").arg("report.json").input(clip::raw(frames, bytes)).run().ok();
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["frames_in"], frames);
    report["peak_rss_bytes"].as_f64().unwrap()
}

fn same_for_100_and_2000_frames(bytes: usize, run: impl Fn() -> Run) {
    let of = |frames| {
        let mut peaks = [(); 3].map(|()| peak(run(), clip::folder().path(), frames, bytes));
        peaks.sort_by(f64::total_cmp);
        peaks
    };
    let (short, long) = (of(100)[2], of(2000)[1]);
    println!("{short} bytes for 100 frames, {long} for 2,000: {:.3}", long / short);
    assert!(long <= 1.05 * short, "{short} bytes for 100 frames, {long} for 2,000");
}

#[test]
fn deint_crop() {
    same_for_100_and_2000_frames(64 * 32 * 3 / 2, || {
        tool("deint-crop", "-s 64x32 -p yuv420p -r 25 --scale 96x32 --crop 64:16:0:8").output(late())
    });
}

#[test]
fn retime25to24() {
    same_for_100_and_2000_frames(64 * 32 * 6, || {
        tool("retime25to24", "-s 64x32 -p rgb48le -r 25 --height 24").output(late())
    });
}

#[test]
fn seg_sink() {
    same_for_100_and_2000_frames(32 * 32 * 3, || {
        tool("seg-sink", "--dir job -o film.mkv -s 32x32 -p rgb24 -r 25 --segment 200f --final")
            .arg("ffmpeg -v error -f rawvideo -s {size} -pix_fmt {pix_fmt} -r {rate} -i - -c:v ffv1 {out}")
    });
}

#[test]
fn sr_window() {
    same_for_100_and_2000_frames(128 * 128 * 3, || {
        tool("sr-window", "-s 128x128 -p rgb24 -r 25 --window 16 --overlap 4 --engine")
            .arg(nearest())
            .output(late())
    });
}

/// A pipe whose reader takes its time before the first byte.
fn late() -> PipeWriter {
    let (mut reader, writer) = io::pipe().unwrap();
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(1));
        io::copy(&mut reader, &mut io::sink())
    });
    writer
}
