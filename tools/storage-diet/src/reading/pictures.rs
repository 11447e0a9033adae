//! Pictures: when each one is shown, and what it is.

use super::aspect::Shape;
use crate::{
    probe::{self, Stream},
    program::{Program, file},
};
use cli::{Error, Result, reason};
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead, BufReader},
    ops::Range,
    path::Path,
};
use timebase::Rational;

/// The pictures of a film that decode, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pictures {
    /// Seconds of a tick, as numerator and denominator.
    pub time_base: (i64, i64),
    /// Packets that there are; those that do not decode are no pictures.
    pub packets: u64,
    /// What pictures there are, each once, in the order in which they are met.
    pub kinds: Vec<Picture>,
    /// All of them.
    pub runs: Vec<Run>,
    /// Are there captions for the deaf (EIA-608) inside them?
    pub captions: bool,
    /// What the decoder complained of, in lines, and the first of these.
    pub complaints: u64,
    /// The first complaint.
    pub complaint: Option<String>,
}

/// What a picture is. The names and words are ffprobe's; what the stream does not say is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are ffprobe's own")]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub sample_aspect_ratio: Option<String>,
    /// As the stream says it, where it says something else elsewhere and the container does not follow.
    pub display_aspect_ratio: Option<String>,
    pub field_order: FieldOrder,
    /// Fields for which it stays longer than a frame.
    pub repeat_pict: u32,
    pub color_range: Option<String>,
    pub color_space: Option<String>,
    pub color_primaries: Option<String>,
    pub color_transfer: Option<String>,
    pub chroma_location: Option<String>,
}

/// Which field of a picture is shown first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldOrder {
    /// Both at once.
    #[default]
    #[serde(rename = "progressive")]
    Progressive,
    /// The top one.
    #[serde(rename = "tt")]
    Top,
    /// The bottom one.
    #[serde(rename = "bb")]
    Bottom,
}

impl From<FieldOrder> for rawstream::FieldOrder {
    fn from(order: FieldOrder) -> Self {
        match order {
            FieldOrder::Progressive => Self::Progressive,
            FieldOrder::Top => Self::Tff,
            FieldOrder::Bottom => Self::Bff,
        }
    }
}

/// Pictures one behind another which are of one kind and equally far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, i64, i64, usize)", into = "(u64, i64, i64, usize)")]
pub struct Run {
    /// How many.
    pub frames: u64,
    /// When the first is shown, in ticks.
    pub first: i64,
    /// From one to the next, in ticks.
    pub step: i64,
    /// Which of the kinds they are.
    pub kind: usize,
}

impl From<(u64, i64, i64, usize)> for Run {
    fn from((frames, first, step, kind): (u64, i64, i64, usize)) -> Self {
        Self { frames, first, step, kind }
    }
}

impl From<Run> for (u64, i64, i64, usize) {
    fn from(run: Run) -> Self {
        (run.frames, run.first, run.step, run.kind)
    }
}

/// What is asked of ffprobe of each picture. What a version does not know is left out.
const ENTRIES: &str = "frame=best_effort_timestamp,width,height,sample_aspect_ratio,interlaced_frame,top_field_first,repeat_pict,\
                       color_range,color_space,color_primaries,color_transfer,chroma_location:stream=closed_captions";

impl Pictures {
    /// Decodes all pictures of `video`. Their times and kinds are wanted and not what they show, so that the slow half of
    /// decoding is left out.
    ///
    /// Errors: ffprobe cannot read it; a picture has no time.
    pub(super) fn read(path: &Path, video: &Stream, seen: &(dyn Fn(u64) + Sync)) -> Result<Self> {
        let failed = |why: String| Error::failed(path.display(), why);
        let time_base = video.time_base.ok_or_else(|| failed("its pictures have no clock".into()))?;
        let mut pictures = Self { time_base: (time_base.num(), time_base.den()), ..Self::default() };
        let ffprobe = Program::ffprobe().about(path.display()).args(["-threads", "0", "-skip_idct", "all"]);
        let ffprobe = ffprobe.args(["-skip_loop_filter", "all", "-select_streams", &video.index.to_string()]);
        let mut running =
            ffprobe.args(["-show_entries", ENTRIES, "-of", "compact=p=0"]).arg(file(path)).start()?;
        let (mut last, mut count, mut timeless) = (None::<(String, usize)>, 0u64, None);
        let (mut before, mut step) = (None::<i64>, None);
        if let Some(stdout) = running.stdout() {
            for line in BufReader::with_capacity(1 << 16, stdout).split(b'\n') {
                let line = line.map_err(|e| failed(format!("ffprobe: {}", reason(&e))))?;
                let line = String::from_utf8_lossy(&line);
                pictures.captions |= line.starts_with("closed_captions=1");
                let Some((at, told)) =
                    line.strip_prefix("best_effort_timestamp=").and_then(|rest| rest.split_once('|'))
                else {
                    continue;
                };
                // Of a file that was cut off within a packet, the last picture has no time: it follows the one before.
                let Some(at) = at.parse().ok().or_else(|| before?.checked_add(step?)) else {
                    timeless = timeless.or(Some(count));
                    continue;
                };
                step = before.map(|before| at.saturating_sub(before)).filter(|&step| step > 0).or(step);
                before = Some(at);
                let kind = match &last {
                    Some((same, kind)) if same == told => *kind,
                    _ => pictures.kind(Picture::told(told)),
                };
                if last.as_ref().is_none_or(|(same, _)| same != told) {
                    last = Some((told.to_owned(), kind));
                }
                pictures.push(at, kind);
                count += 1;
                seen(count);
            }
        }
        let said = running.finish()?;
        let mut complaints = said.lines().filter(|line| !line.trim().is_empty()).map(crate::program::bare);
        pictures.complaint = complaints.next();
        pictures.complaints = u64::from(pictures.complaint.is_some()) + complaints.count() as u64;
        match timeless {
            Some(frame) => {
                let hint = "a container such as Matroska gives each picture its time";
                Err(failed(format!("frame {frame} does not say when it is shown; {hint}")))
            }
            None => Ok(pictures),
        }
    }

    fn kind(&mut self, picture: Picture) -> usize {
        self.kinds.iter().position(|known| *known == picture).unwrap_or_else(|| {
            self.kinds.push(picture);
            self.kinds.len() - 1
        })
    }

    /// One more picture.
    fn push(&mut self, at: i64, kind: usize) {
        let Some(run) = self.runs.last_mut().filter(|run| run.kind == kind) else {
            return self.runs.push(Run { frames: 1, first: at, step: 0, kind });
        };
        let last = run.first + run.step * (run.frames as i64 - 1);
        match run.frames {
            1 => (run.frames, run.step) = (2, at - last),
            _ if at - last == run.step => run.frames += 1,
            _ => self.runs.push(Run { frames: 1, first: at, step: 0, kind }),
        }
    }

    /// Says of each picture which shape the stream gives it, where that changes.
    pub(super) fn shape(&mut self, shapes: &[Shape]) {
        let Some(first) = shapes.first() else { return };
        let of = |at: i64| shapes.iter().rev().find(|shape| shape.from <= at).unwrap_or(first);
        let (time_base, packets) = (self.time_base, self.packets);
        let mut shaped = Self { time_base, packets, ..Self::default() };
        for (at, kind) in self.each() {
            let shape = of(at).display_aspect_ratio();
            let kind = shaped
                .kind(Picture { display_aspect_ratio: Some(shape.to_owned()), ..self.kinds[kind].clone() });
            shaped.push(at, kind);
        }
        (self.kinds, self.runs) = (shaped.kinds, shaped.runs);
    }

    /// How many.
    pub fn frames(&self) -> u64 {
        self.runs.iter().map(|run| run.frames).sum()
    }

    /// Seconds of a tick.
    pub fn tick(&self) -> Rational {
        Rational::new(self.time_base.0, self.time_base.1).unwrap_or(Rational::whole(0))
    }

    /// When each is shown, in ticks, and which of the kinds it is.
    pub fn each(&self) -> impl Iterator<Item = (i64, usize)> {
        self.runs.iter().flat_map(|run| {
            (0..run.frames).map(|n| (run.first.saturating_add(run.step.saturating_mul(n as i64)), run.kind))
        })
    }

    /// The first picture that is shown `ms` milliseconds before the one before it, or more, and by how many.
    pub fn goes_back(&self, ms: i64) -> Option<(u64, i64)> {
        let tick_ms = self.tick().to_f64() * 1000.0;
        let mut before = None;
        self.each().zip(0..).find_map(|((at, _), n)| {
            let by = before.replace(at).map_or(0.0, |before| before as f64 - at as f64) * tick_ms;
            (by >= ms as f64).then_some((n, by.round() as i64))
        })
    }

    /// What picture `frame` is.
    pub fn at(&self, frame: u64) -> Option<&Picture> {
        let mut before = 0;
        let run = self.runs.iter().find(|run| {
            before += run.frames;
            frame < before
        })?;
        self.kinds.get(run.kind)
    }

    /// Those around picture `frame` that can be decoded in one go with it, since they are of one size and shape and in the same
    /// colours.
    pub fn alike(&self, frame: u64) -> Range<u64> {
        let (mut alike, mut kind) = (0..0, None::<&Picture>);
        let mut before = 0;
        for run in &self.runs {
            let this = &self.kinds[run.kind];
            if kind.is_none_or(|kind| !kind.is_alike(this)) {
                if frame < before {
                    break;
                }
                alike.start = before;
            }
            kind = Some(this);
            before += run.frames;
            alike.end = before;
        }
        alike
    }

    /// See [`Reading::is_sound`](super::Reading::is_sound).
    pub(super) fn is_sound(&self) -> bool {
        let frames = self.runs.iter().try_fold(0u64, |sum, run| sum.checked_add(run.frames));
        self.tick().is_positive()
            && frames.is_some_and(|frames| (1..1 << 40).contains(&frames))
            && self.runs.iter().all(|run| run.kind < self.kinds.len())
    }
}

impl Picture {
    /// Does a filter that works on this picture take the other one, too?
    pub fn is_alike(&self, other: &Self) -> bool {
        let shape =
            |picture: &Self| Self { field_order: FieldOrder::default(), repeat_pict: 0, ..picture.clone() };
        self == other || shape(self) == shape(other)
    }

    /// What is another than in `other`: `704x576 and not 720x576`.
    pub fn differs(&self, other: &Self) -> String {
        let size = |picture: &Self| Some(format!("{}x{}", picture.width, picture.height));
        type Aspect = fn(&Picture) -> Option<String>;
        let aspects: [(&str, Aspect); 7] = [
            ("", |picture| picture.display_aspect_ratio.clone()),
            ("pixel aspect ", |picture| picture.sample_aspect_ratio.clone()),
            ("range ", |picture| picture.color_range.clone()),
            ("matrix ", |picture| picture.color_space.clone()),
            ("primaries ", |picture| picture.color_primaries.clone()),
            ("transfer ", |picture| picture.color_transfer.clone()),
            ("chroma location ", |picture| picture.chroma_location.clone()),
        ];
        let unknown = |said: Option<String>| said.unwrap_or_else(|| "unknown".into());
        let aspects = aspects.iter().map(|(name, of)| (*name, of(self), of(other)));
        let mut all = std::iter::once(("", size(self), size(other))).chain(aspects);
        all.find(|(_, own, other)| own != other).map_or(String::new(), |(name, own, other)| {
            format!("{name}{} and not {}", unknown(own), unknown(other))
        })
    }

    /// `width=720|height=576|…`
    fn told(line: &str) -> Self {
        let fields: Vec<_> = line.split('|').filter_map(|field| field.split_once('=')).collect();
        let get = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        let number = |name: &str| get(name).and_then(|value| value.parse().ok()).unwrap_or(0usize);
        let word = |name: &str| {
            get(name)
                .filter(|v| !["unknown", "unspecified", "N/A", "reserved"].contains(v))
                .map(str::to_owned)
        };
        let field_order = match (get("interlaced_frame"), get("top_field_first")) {
            (Some("1"), Some("1")) => FieldOrder::Top,
            (Some("1"), _) => FieldOrder::Bottom,
            _ => FieldOrder::Progressive,
        };
        let aspect = get("sample_aspect_ratio").filter(|aspect| !aspect.starts_with("0:"));
        Self {
            width: number("width"),
            height: number("height"),
            display_aspect_ratio: None,
            sample_aspect_ratio: aspect.and_then(probe::ratio).map(|r| format!("{}:{}", r.num(), r.den())),
            field_order,
            repeat_pict: number("repeat_pict") as u32,
            color_range: word("color_range"),
            color_space: word("color_space"),
            color_primaries: word("color_primaries"),
            color_transfer: word("color_transfer"),
            chroma_location: word("chroma_location"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(line: &str) -> Picture {
        Picture::told(line)
    }

    #[test]
    fn what_a_picture_is() {
        let told = picture(
            "width=720|height=576|sample_aspect_ratio=64:45|interlaced_frame=1|top_field_first=0|repeat_pict=1|\
             color_range=tv|color_space=unknown|chroma_location=left|side_data|",
        );
        assert_eq!((told.width, told.height, told.repeat_pict), (720, 576, 1));
        assert_eq!(told.field_order, FieldOrder::Bottom);
        assert_eq!((told.color_range.as_deref(), told.color_space), (Some("tv"), None));
        assert_eq!(
            picture("sample_aspect_ratio=0:1|interlaced_frame=0|top_field_first=1"),
            Picture::default()
        );
    }

    #[test]
    fn the_longest_film_is_a_small_file() {
        let mut pictures = Pictures { time_base: (1, 90_000), ..Pictures::default() };
        let kind = pictures.kind(picture("width=720|height=576"));
        // No two steps are the same.
        (0..192_000).for_each(|n| pictures.push(3600 * n + n * n % 977, kind));
        let bytes = serde_json::to_string_pretty(&pictures).unwrap().len();
        assert!((1_000_000..20_000_000).contains(&bytes), "{bytes}");
        let read: Pictures = serde_json::from_str(&serde_json::to_string(&pictures).unwrap()).unwrap();
        assert_eq!(read, pictures);
    }

    #[test]
    fn equal_steps_are_one_run() {
        let mut pictures = Pictures { time_base: (1, 1000), ..Pictures::default() };
        let [one, other] = [576, 480].map(|height| {
            let picture = Picture { height, ..Picture::default() };
            pictures.kind(picture)
        });
        for at in [5, 45, 85, 325, 365] {
            pictures.push(at, one);
        }
        pictures.push(405, other);
        let runs: Vec<(u64, i64, i64, usize)> = pictures.runs.iter().map(|&run| run.into()).collect();
        assert_eq!(runs, [(3, 5, 40, 0), (2, 325, 40, 0), (1, 405, 0, 1)]);
        assert_eq!(pictures.frames(), 6);
        assert_eq!(pictures.each().map(|(at, _)| at).collect::<Vec<_>>(), [5, 45, 85, 325, 365, 405]);
        assert_eq!(pictures.at(4).unwrap().height, 576);
        assert_eq!(pictures.at(5).unwrap().height, 480);
        assert_eq!(pictures.at(6), None);
        assert_eq!((pictures.alike(0), pictures.alike(4), pictures.alike(5)), (0..5, 0..5, 5..6));
        assert_eq!(pictures.kinds[1].differs(&pictures.kinds[0]), "0x480 and not 0x576");
        let shape = |from, code| Shape { from, code };
        pictures.shape(&[shape(5, 2), shape(325, 3)]);
        assert_eq!((pictures.alike(0), pictures.alike(3), pictures.frames()), (0..3, 3..5, 6));
        assert_eq!(pictures.at(3).unwrap().differs(pictures.at(2).unwrap()), "16:9 and not 4:3");
        assert!(pictures.is_sound());
        pictures.runs[0].kind = 7;
        assert!(!pictures.is_sound());
    }
}
