//! The tracks of bitmaps in a film, when their pictures are shown, and the pictures themselves.

use super::language::terminological;
use crate::program::{Program, file};
use cli::{Error, Result};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fmt,
    path::{Path, absolute},
};

/// Whether letters are light or dark. A picture is made for each, dark on light; which of the two is legible is for
/// tesseract to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Letters {
    Light,
    Dark,
}

impl Letters {
    pub(super) const BOTH: [Self; 2] = [Self::Light, Self::Dark];

    /// The file of the picture that appears at `start_ms`.
    pub(super) fn picture(self, start_ms: i64) -> String {
        let letters = match self {
            Self::Light => "light",
            Self::Dark => "dark",
        };
        format!("{letters}-{start_ms}.png")
    }
}

/// A track of subtitles.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    /// Which one it is among the subtitles, from 0.
    pub(super) place: usize,
    codec: String,
    language: String,
}

impl Track {
    pub(super) fn is_bitmap(&self) -> bool {
        matches!(self.codec.as_str(), "dvd_subtitle" | "hdmv_pgs_subtitle")
    }

    /// By tesseract's name.
    pub(super) fn language(&self) -> &str {
        terminological(&self.language)
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.codec, self.language)
    }
}

/// From when to when a picture is shown, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

/// What ffprobe says to `-show_streams`.
#[derive(Deserialize)]
struct Streams {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    codec_name: Option<String>,
    #[serde(default)]
    tags: Tags,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tags {
    language: Option<String>,
}

/// The tracks of subtitles in `src`.
///
/// Errors: ffprobe fails.
pub(super) fn tracks(src: &Path) -> Result<Vec<Track>> {
    let Streams { streams } = probed(src, &["-select_streams", "s", "-show_streams"])?;
    let track = |(place, stream): (usize, Stream)| Track {
        place,
        codec: stream.codec_name.unwrap_or_else(|| "unknown".into()),
        language: stream.tags.language.unwrap_or_else(|| "und".into()),
    };
    Ok(streams.into_iter().enumerate().map(track).collect())
}

/// What ffprobe says to `-show_frames`.
#[derive(Deserialize)]
struct Frames {
    frames: Vec<Frame>,
}

/// A change of what is shown.
#[derive(Clone, Deserialize)]
struct Frame {
    /// Seconds.
    pts_time: String,
    /// Milliseconds after that.
    start_display_time: i64,
    end_display_time: i64,
    /// Pictures; where there are none, what was shown goes.
    num_rects: u64,
}

/// The end of a picture that stays until the next one.
const NO_END: i64 = u32::MAX as i64;

/// When the pictures of that track are shown.
///
/// Errors: ffprobe fails.
pub(super) fn events(src: &Path, place: usize) -> Result<Vec<Event>> {
    let Frames { frames } = probed(src, &["-select_streams", &format!("s:{place}"), "-show_frames"])?;
    shown(&frames).map_err(|reason| Error::failed(src.display(), format!("ffprobe: {reason}")))
}

fn shown(frames: &[Frame]) -> std::result::Result<Vec<Event>, String> {
    let time = |frame: &Frame| {
        let seconds: f64 = frame.pts_time.parse().map_err(|_| format!("{}: no time", frame.pts_time))?;
        Ok::<_, String>((seconds * 1000.0).round() as i64)
    };
    let times = frames.iter().map(time).collect::<std::result::Result<Vec<_>, _>>()?;
    let starts: Vec<_> =
        frames.iter().zip(&times).map(|(frame, time)| time + frame.start_display_time).collect();
    let event = |n: usize| {
        // One that does not say how long it stays does so until the next event.
        let next = starts.get(n + 1).copied().unwrap_or(starts[n] + 3000);
        let end = times[n] + frames[n].end_display_time;
        let open = frames[n].end_display_time >= NO_END;
        Event { start_ms: starts[n], end_ms: if open { next } else { end.min(next) } }
    };
    Ok((0..frames.len()).filter(|&n| frames[n].num_rects > 0).map(event).collect())
}

fn probed<T: DeserializeOwned>(src: &Path, what: &[&str]) -> Result<T> {
    let output =
        Program::ffprobe().about(src.display()).args(what).args(["-of", "json"]).arg(file(src)).output()?;
    serde_json::from_slice(&output).map_err(|e| Error::failed(src.display(), format!("ffprobe: {e}")))
}

/// Makes the pictures of that track in `folder`, three times as large, under the names of [`Letters::picture`].
///
/// Errors: ffmpeg fails.
pub(super) fn render(src: &Path, place: usize, folder: &Path) -> Result<()> {
    // It runs where it writes, since a `%` in the folder's name would be a number's place.
    let src = absolute(src).map_err(|e| Error::io(src.display(), &e))?;
    let larger = "format=gray,negate,scale=3*iw:3*ih:flags=lanczos";
    let graph = format!(
        "[0:s:{place}]format=gbrap,split[a][b];[a]premultiply=inplace=1,{larger}[light];\
         [b]negate,premultiply=inplace=1,{larger}[dark]"
    );
    let mut ffmpeg = Program::ffmpeg().about(src.display()).within(folder).args(["-copyts", "-i"]);
    ffmpeg = ffmpeg.arg(file(&src)).args(["-filter_complex", &graph]);
    for pictures in ["light", "dark"] {
        // A picture's number is the millisecond at which it appears.
        let named = "-fps_mode passthrough -enc_time_base 1:1000 -frame_pts 1".split(' ');
        ffmpeg =
            ffmpeg.args(["-map", &format!("[{pictures}]")]).args(named).arg(format!("{pictures}-%d.png"));
    }
    ffmpeg.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pts_time: &str, end_display_time: i64, num_rects: u64) -> Frame {
        Frame { pts_time: pts_time.into(), start_display_time: 0, end_display_time, num_rects }
    }

    #[test]
    fn a_picture_stays_until_it_goes_or_the_next_comes() {
        let ends = |frames: &[Frame]| -> Vec<_> {
            shown(frames).unwrap().iter().map(|event| (event.start_ms, event.end_ms)).collect()
        };
        let clears = [frame("0.480000", NO_END, 1), frame("1.4804", NO_END, 0), frame("2.4806", NO_END, 1)];
        assert_eq!(ends(&clears), [(480, 1480), (2481, 5481)]);
        let says = [frame("1.0", 500, 1), frame("2.0", 3000, 1), frame("4.0", 9000, 1)];
        assert_eq!(ends(&says), [(1000, 1500), (2000, 4000), (4000, 7000)]);
        let later = Frame { start_display_time: 100, ..frame("1.0", 500, 1) };
        assert_eq!(ends(&[later]), [(1100, 1500)]);
        assert_eq!(shown(&[frame("N/A", 500, 1)]).unwrap_err(), "N/A: no time");
    }
}
