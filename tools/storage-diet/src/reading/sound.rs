//! Sound: what each track is, from where to where, and whether anything of it changes on the way.

use crate::{
    probe::Stream,
    program::{Program, file},
};
use cli::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use timebase::Rational;

/// A track of sound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sound {
    /// Pieces of it between two changes, in their order. None where nothing of it decodes.
    pub stretches: Vec<Stretch>,
    /// Bits a second of its largest packet for its length; where that is not known, none.
    pub peak_bit_rate: Option<u64>,
    /// What the decoder complained of first.
    pub complaint: Option<String>,
}

/// How sound is laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Channels.
    pub channels: usize,
    /// ffmpeg's name for where they are heard, such as `5.1(side)`.
    pub channel_layout: String,
    /// Samples a second.
    pub sample_rate: u64,
}

/// Sound without a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// How it is laid out.
    pub layout: Layout,
    /// Millisecond of the source's clock at which its first sample is heard.
    pub start_ms: i64,
    /// And at which its last one is over.
    pub end_ms: i64,
    /// Its samples: fewer than that long holds where there are holes.
    pub samples: u64,
}

impl Sound {
    /// Decodes all of `stream`.
    ///
    /// Errors: ffmpeg cannot read it.
    pub(super) fn read(path: &Path, stream: &Stream) -> Result<Self> {
        // Only ffmpeg's own filter says how many samples a second a decoded piece has; it says that on standard error.
        let ffmpeg = Program::new("ffmpeg").about(format_args!("{}: sound", path.display()));
        let ffmpeg =
            ffmpeg.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-copyts"]);
        let map = format!("0:{}", stream.index);
        let ffmpeg =
            ffmpeg.arg("-i").arg(file(path)).args(["-map", &map, "-af", "ashowinfo", "-f", "null", "-"]);
        let mut sound = Self::default();
        ffmpeg.listen(|line| sound.hear(line))?;
        Ok(sound)
    }

    /// Takes a line of ffmpeg's.
    fn hear(&mut self, line: &str) {
        match line.split_once("ashowinfo").and_then(|(_, told)| Piece::told(told)) {
            Some(piece) => self.add(&piece),
            None if line.contains("[error]") || line.contains("[fatal]") => {
                let words = line.rsplit_once("[error] ").map_or(line, |(_, words)| words);
                self.complaint.get_or_insert_with(|| words.trim().to_owned());
            }
            None => {}
        }
    }

    fn add(&mut self, piece: &Piece<'_>) {
        let is_same = |layout: &Layout| {
            layout.channels == piece.channels
                && layout.channel_layout == piece.channel_layout
                && layout.sample_rate == piece.sample_rate
        };
        let end_ms = piece.start_ms + (piece.samples * 1000).div_ceil(piece.sample_rate.max(1)) as i64;
        match self.stretches.last_mut().filter(|stretch| is_same(&stretch.layout)) {
            Some(stretch) => {
                stretch.samples += piece.samples;
                stretch.end_ms = stretch.end_ms.max(end_ms);
            }
            None => self.stretches.push(Stretch {
                layout: Layout {
                    channels: piece.channels,
                    channel_layout: piece.channel_layout.to_owned(),
                    sample_rate: piece.sample_rate,
                },
                start_ms: piece.start_ms,
                end_ms,
                samples: piece.samples,
            }),
        }
    }

    /// The one layout that all of it is brought to: that of most channels, and among these the one that is heard longest.
    pub fn layout(&self) -> Option<&Layout> {
        let heard = |layout: &Layout| {
            let of = self.stretches.iter().filter(|stretch| stretch.layout == *layout);
            of.map(|stretch| stretch.samples).sum::<u64>()
        };
        let layouts = self.stretches.iter().map(|stretch| &stretch.layout);
        layouts.max_by_key(|layout| (layout.channels, heard(layout)))
    }

    /// Bits a second where what the stream says of itself is true of a part of it.
    pub fn bit_rate(&self) -> Option<u64> {
        self.peak_bit_rate.filter(|_| self.changes())
    }

    /// See [`Reading::is_sound`](super::Reading::is_sound): a layout's name becomes a word of a filter.
    pub(super) fn is_sound(&self) -> bool {
        self.stretches.iter().all(|stretch| {
            let Layout { channels, channel_layout, sample_rate } = &stretch.layout;
            let is_name = channel_layout.bytes().all(|b| b.is_ascii_alphanumeric() || b".()+ ".contains(&b));
            is_name && (1..=64).contains(channels) && (1..=10_000_000).contains(sample_rate)
        })
    }

    /// Does its layout or its rate change?
    pub fn changes(&self) -> bool {
        self.stretches.iter().any(|stretch| stretch.layout != self.stretches[0].layout)
    }
}

/// A decoded piece.
#[derive(Debug, PartialEq)]
struct Piece<'a> {
    start_ms: i64,
    channels: usize,
    channel_layout: &'a str,
    sample_rate: u64,
    samples: u64,
}

impl<'a> Piece<'a> {
    /// ` n:0 pts:1536 pts_time:0.032 fmt:fltp channels:6 chlayout:5.1(side) rate:48000 nb_samples:1536 checksum:…`
    fn told(line: &'a str) -> Option<Self> {
        let get = |name: &str| {
            line.split_whitespace().find_map(|field| field.strip_prefix(name)?.strip_prefix(':'))
        };
        let at = get("pts_time")?.parse::<Rational>().ok()?.checked_mul(Rational::whole(1000))?;
        Some(Self {
            start_ms: at.round(),
            channels: get("channels")?.parse().ok()?,
            channel_layout: get("chlayout")?,
            sample_rate: get("rate")?.parse().ok()?,
            samples: get("nb_samples")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONO: &str = "[Parsed_ashowinfo_0 @ 0x55] [info] n:0 pts:0 pts_time:0 pos:100 fmt:fltp channels:1 chlayout:mono \
                        rate:48000 nb_samples:1536 checksum:2AC0A7A2 plane_checksums: [ 2AC0A7A2 ]";

    #[test]
    fn a_change_begins_a_stretch() {
        let mut sound = Sound::default();
        let wide = MONO
            .replace("pts_time:0", "pts_time:0.064")
            .replace("channels:1 chlayout:mono", "channels:6 chlayout:5.1(side)");
        for line in
            [MONO, &MONO.replace("pts_time:0", "pts_time:0.032"), &wide, "[mp2 @ 0x5] [error] Header missing"]
        {
            sound.hear(line);
        }
        let [mono, wide] = &sound.stretches[..] else { panic!("{sound:?}") };
        assert_eq!((mono.start_ms, mono.end_ms, mono.samples), (0, 64, 3072));
        assert_eq!((wide.start_ms, wide.samples), (64, 1536));
        assert_eq!(sound.layout(), Some(&wide.layout));
        assert!(sound.changes());
        assert_eq!(sound.complaint.as_deref(), Some("Header missing"));
    }

    #[test]
    fn a_layout_is_a_name_and_no_filter() {
        let mut sound = Sound::default();
        sound.hear(MONO);
        assert!(sound.is_sound());
        sound.stretches[0].layout.channel_layout = "mono,amovie=/etc/passwd".into();
        assert!(!sound.is_sound());
    }

    #[test]
    fn one_layout_is_no_change() {
        let mut sound = Sound::default();
        sound.hear(MONO);
        sound.hear(MONO);
        assert!(!sound.changes());
        assert_eq!(sound.layout().unwrap().channel_layout, "mono");
        assert_eq!(Sound::default().layout(), None);
    }
}
