//! Proof that a file holds the frames it should: counted by its container, or decoded to the end.

use crate::{
    child::{self, Failure},
    control::Control,
    journal::StreamFacts,
    settings::hex,
    state::checksum,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, path::Path, str::FromStr};
use timebase::Rational;

/// What a file must pass before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Its container has the right number of frames, at the right times.
    Count,
    /// And every one of them decodes.
    Decode,
}

impl FromStr for Verify {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "count" => Ok(Self::Count),
            "decode" => Ok(Self::Decode),
            _ => Err("unknown verification; there are count and decode".into()),
        }
    }
}

/// What was found in a file.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
    pub(crate) stream: StreamFacts,
    /// For each part, SHA-256 over the hashes of its decoded frames; nothing where it was not decoded.
    pub(crate) decoded: Vec<String>,
}

/// The programs that prove; they are looked for before the first frame.
pub(crate) fn find_tools() -> cli::Result<()> {
    for tool in ["ffmpeg", "ffprobe"] {
        child::find(tool).map_err(|e| cli::Error::failed(tool, e))?;
    }
    Ok(())
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|w| (*w).to_owned()).collect()
}

/// Proves that `path` holds exactly the frames of its `parts`, whose lengths follow one another, evenly spaced in time.
pub(crate) fn prove(path: &Path, parts: &[u64], verify: Verify, control: &Control) -> Result<Found, Failure> {
    let wrong = Failure::Command;
    let file = path.to_string_lossy();
    let bytes = path.metadata().map_err(|e| wrong(format!("wrote no file: {}", cli::reason(&e))))?.len();
    let stream = count(&file, parts.iter().sum(), control)?;
    let decoded = match verify {
        Verify::Count => Vec::new(),
        Verify::Decode => decode(&file, parts, control)?,
    };
    let crc = checksum(path).map_err(|e| wrong(cli::reason(&e)))?;
    Ok(Found { bytes, crc, stream, decoded })
}

/// The container's word: packets and their times.
fn count(file: &str, frames: u64, control: &Control) -> Result<StreamFacts, Failure> {
    let entries = "packet=pts:stream=codec_name,width,height,pix_fmt,r_frame_rate,time_base,color_range,color_space,\
                   color_transfer,color_primaries";
    let argv = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        entries,
        "-of",
        "compact",
        file,
    ];
    let mut times = Times::new();
    let (mut found, mut untimed) = (0u64, 0u64);
    let mut stream = String::new();
    child::read_lines(&words(&argv), control, |line| {
        if let Some(packet) = line.strip_prefix("packet|") {
            found += 1;
            match packet.split('|').find_map(|f| f.strip_prefix("pts=")).and_then(|t| t.parse::<i64>().ok()) {
                Some(time) => times.add(time),
                None => untimed += 1,
            }
        } else if let Some(facts) = line.strip_prefix("stream|") {
            stream = facts.to_owned();
        }
    })?;
    let wrong = |text: String| Err(Failure::Command(text));
    if found != frames {
        return wrong(format!("has {found} frames, not {frames}"));
    }
    if untimed > 0 {
        return wrong(format!("has {untimed} frames without a time stamp"));
    }
    let field = |name: &str| {
        let value = stream.split('|').filter_map(|f| f.split_once('=')).find(|(n, _)| *n == name)?.1;
        (value != "unknown" && value != "N/A").then(|| value.to_owned())
    };
    let number = |name: &str| field(name).and_then(|v| v.parse().ok()).unwrap_or(0);
    let facts = StreamFacts {
        codec_name: field("codec_name").unwrap_or_default(),
        width: number("width"),
        height: number("height"),
        pix_fmt: field("pix_fmt").unwrap_or_default(),
        r_frame_rate: field("r_frame_rate").unwrap_or_default(),
        color_range: field("color_range"),
        color_space: field("color_space"),
        color_transfer: field("color_transfer"),
        color_primaries: field("color_primaries"),
    };
    let rate =
        |text: Option<String>| text.and_then(|t| t.parse::<Rational>().ok()).filter(|r| r.is_positive());
    let (Some(fps), Some(tick)) = (rate(field("r_frame_rate")), rate(field("time_base"))) else {
        return wrong("has no frame rate".into());
    };
    match times.uneven(fps, tick) {
        Some(at) => wrong(format!("has frame {at} off its time at {} frames a second", fps.fraction())),
        None => Ok(facts),
    }
}

/// How far a codec moves a frame away from its place when it puts frames in decoding order: no more (H.265 keeps 16).
const REORDERED: usize = 32;

/// The times of frames, in ticks: are they evenly spaced at one rate?
///
/// They come in decoding order, and the rate comes last. So that nothing has to be kept until then, each frame narrows
/// down the spacings that would put it and all before it within one tick of their places.
struct Times {
    /// Frames that another may still come before.
    ahead: BTreeSet<i64>,
    /// Frames that are in their order.
    ordered: u64,
    first: i64,
    last: i64,
    /// The least and the greatest spacing, as ticks for so many frames: each is what the frame of that number allows.
    least: (i128, u64),
    most: (i128, u64),
    /// The first frame that does not come after the one before it.
    falling: Option<u64>,
}

impl Times {
    fn new() -> Self {
        let (least, most) = ((0, 1), (i64::MAX.into(), 1));
        Self { ahead: BTreeSet::new(), ordered: 0, first: 0, last: i64::MIN, least, most, falling: None }
    }

    /// Takes the next frame's time.
    fn add(&mut self, time: i64) {
        if !self.ahead.insert(time) {
            self.falling.get_or_insert(self.ordered + self.ahead.len() as u64);
        }
        if self.ahead.len() > REORDERED {
            self.order_next();
        }
    }

    fn order_next(&mut self) {
        let Some(time) = self.ahead.pop_first() else { return };
        let number = self.ordered;
        self.ordered += 1;
        if number == 0 {
            self.first = time;
        } else {
            let ticks = i128::from(time) - i128::from(self.first);
            let is_less = |a: (i128, u64), b: (i128, u64)| a.0 * i128::from(b.1) < b.0 * i128::from(a.1);
            if is_less(self.least, (ticks - 1, number)) {
                self.least = (ticks - 1, number);
            }
            if is_less((ticks + 1, number), self.most) {
                self.most = (ticks + 1, number);
            }
        }
        if time <= self.last {
            self.falling.get_or_insert(number);
        }
        self.last = time;
    }

    /// A frame that is not where `fps` puts it, to within one `tick`, or not after the one before it.
    fn uneven(mut self, fps: Rational, tick: Rational) -> Option<u64> {
        while !self.ahead.is_empty() {
            self.order_next();
        }
        // A frame takes 1 / (fps * tick) ticks.
        let ticks = i128::from(fps.den()) * i128::from(tick.den());
        let frames = i128::from(fps.num()) * i128::from(tick.num());
        let (least, most) = (self.least, self.most);
        let early = (most.0 * frames < ticks * i128::from(most.1)).then_some(most.1);
        let late = (least.0 * frames > ticks * i128::from(least.1)).then_some(least.1);
        self.falling.or(early).or(late)
    }
}

/// The decoder's word: a hash of every frame, digested for each part.
fn decode(file: &str, parts: &[u64], control: &Control) -> Result<Vec<String>, Failure> {
    let argv = [
        "ffmpeg",
        "-v",
        "error",
        "-nostdin",
        "-xerror",
        "-i",
        file,
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "framehash",
        "-hash",
        "murmur3",
        "-",
    ];
    let mut digests = Digests { parts, of_this: 0, found: 0, sha: Sha256::new(), done: Vec::new() };
    child::read_lines(&words(&argv), control, |line| {
        if let Some((_, hash)) = line.rsplit_once(',').filter(|_| !line.starts_with('#')) {
            digests.add(hash.trim());
        }
    })?;
    let (found, frames) = (digests.found, parts.iter().sum::<u64>());
    if found == frames {
        Ok(digests.done)
    } else {
        Err(Failure::Command(format!("decodes to {found} frames, not {frames}")))
    }
}

/// One digest for each part of a row of frames.
struct Digests<'a> {
    parts: &'a [u64],
    /// Frames of the part that is open.
    of_this: u64,
    /// Frames in all.
    found: u64,
    sha: Sha256,
    done: Vec<String>,
}

impl Digests<'_> {
    fn add(&mut self, hash: &str) {
        self.sha.update(hash);
        self.sha.update("\n");
        self.of_this += 1;
        self.found += 1;
        if self.parts.get(self.done.len()) == Some(&self.of_this) {
            self.done.push(hex(&self.sha.finalize_reset()));
            self.of_this = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_held_to_the_rate() {
        let (fps, tick) = (Rational::whole(24), Rational::new(1, 1000).unwrap());
        let uneven = |times: &[i64]| {
            let mut taken = Times::new();
            times.iter().for_each(|&time| taken.add(time));
            taken.uneven(fps, tick)
        };
        let rounded: Vec<i64> = (0..1000).map(|n| (n * 1000 + 12) / 24).collect();
        assert_eq!(uneven(&rounded), None);
        let decoding: Vec<i64> = rounded.chunks(8).flat_map(|gop| gop.iter().rev().copied()).collect();
        assert_eq!(uneven(&decoding), None);
        assert_eq!(uneven(&[7, 49, 90, 132]), None);
        assert_eq!(uneven(&[0, 42, 42]), Some(2));
        assert_eq!(uneven(&[0, 42, 125]), Some(2));
        assert_eq!(uneven(&[0, 42, 60]), Some(2));
        let pal: Vec<i64> = (0..1000).map(|n| n * 40).collect();
        assert_eq!(uneven(&pal), Some(999));
        for frame in [1, 500, 998] {
            let (mut early, mut late, mut gone) = (rounded.clone(), rounded.clone(), rounded.clone());
            early[frame] -= 2;
            late[frame] += 2;
            gone.remove(frame);
            for times in [early, late, gone] {
                assert!(uneven(&times).is_some(), "{frame}");
            }
        }
        // One that comes too late to be put in its place.
        let mut straggler = rounded.clone();
        straggler[..100].rotate_left(1);
        assert_eq!(uneven(&straggler), Some(67));
        assert_eq!(uneven(&[]), None);
    }
}
