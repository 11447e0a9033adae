//! Synthetic clips.

use crate::{Ended, root};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};
use tempfile::TempDir;

/// Frame `k` of a clip whose bytes all differ from frame to frame: `bytes` of a ramp that starts at `k`.
pub fn frame(k: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (k * 37 + i * 3) as u8).collect()
}

/// `frames` raw frames of `bytes` each.
pub fn raw(frames: usize, bytes: usize) -> Vec<u8> {
    (0..frames).flat_map(|k| frame(k, bytes)).collect()
}

/// The same as YUV4MPEG2, 8-bit 4:2:0, top field first.
pub fn y4m(width: usize, height: usize, frames: usize) -> Vec<u8> {
    let mut stream = format!("YUV4MPEG2 W{width} H{height} F25:1 It A64:45 C420mpeg2\n").into_bytes();
    let bytes = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    for k in 0..frames {
        stream.extend(b"FRAME\n");
        stream.extend(frame(k, bytes));
    }
    stream
}

/// A folder that goes away with the test.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("pipelines-").tempdir().unwrap()
}

/// A film as a PAL DVD has it, with sound, subtitles and chapters: `scripts/demo-source`.
pub fn dvd(film: &Path, frames: usize) {
    let made =
        Command::new(root().join("scripts/demo-source")).arg(frames.to_string()).arg(film).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// [`dvd`] of one second, made once a test process.
pub fn second() -> &'static Path {
    static SECOND: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = folder();
        let film = folder.path().join("film.mkv");
        dvd(&film, 25);
        (folder, film)
    });
    &SECOND.1
}

/// The MD5 of every decoded frame of a film's video, by ffmpeg.
pub fn decoded(film: &Path) -> Vec<String> {
    let Ended { stdout, .. } = crate::shell(&format!(
        "ffmpeg -v error -nostdin -i '{}' -map 0:v:0 -fps_mode passthrough -f framemd5 -",
        film.display()
    ))
    .run()
    .ok();
    let text = String::from_utf8(stdout).unwrap();
    text.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit(' ').next().unwrap().to_owned()).collect()
}
