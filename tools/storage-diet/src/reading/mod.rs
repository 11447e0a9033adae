//! One reading of a film, before anything is made of it: every picture that decodes, with its time and its kind, and every
//! piece of sound. What a job promises comes from here, and neither from headers nor from counts of packets, which a disc's
//! chapter that begins inside an open GOP, an appended part or a broken copy makes wrong.
//!
//! What does not change is written once: a film without a fault is one run of pictures and one run of each sound.

mod aspect;
mod pictures;
mod sound;

pub use pictures::{FieldOrder, Picture, Pictures, Run};
pub use sound::{Layout, Sound, Stretch};

use crate::{
    probe::{self, Film, Kind},
    progress::clock_ms,
};
use cli::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, thread};
use timebase::Rational;

/// What a film was read to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// ffprobe's names of its container, such as `matroska,webm`.
    pub container: String,
    /// Its pictures.
    pub pictures: Pictures,
    /// Its sound, in the order of its streams.
    pub sound: Vec<Sound>,
    /// Microsecond of its clock from which ffmpeg counts where it seeks.
    pub start_us: i64,
    /// Milliseconds from its first packet to the end of its last, of all streams.
    pub read_ms: i64,
    /// Milliseconds that a container lasts which says so in its header.
    pub declared_ms: Option<i64>,
}

/// Milliseconds by which a film may end before its header says that it does: headers are rounded, and the last subtitle's
/// end is in the header alone.
const SHORT_MS: i64 = 100;

impl Reading {
    /// Reads a film from its beginning to its end; `seen` is told how many pictures there are so far.
    ///
    /// Errors: ffprobe or ffmpeg cannot read it; it has no pictures.
    pub fn of(path: &Path, film: &Film, seen: &(dyn Fn(u64) + Sync)) -> Result<Self> {
        let none = || Error::failed(path.display(), "has no pictures");
        let video = film.pictures().ok_or_else(none)?;
        let sounds: Vec<_> = film.of(Kind::Audio).collect();
        // Side by side: what reads last reads from memory what the first has read from the disk.
        thread::scope(|scope| {
            let sound: Vec<_> =
                sounds.iter().map(|stream| scope.spawn(|| Sound::read(path, stream))).collect();
            let packets = scope.spawn(|| packets(path, video.index));
            let shapes = scope.spawn(|| aspect::shapes(path, video));
            let mut pictures = Pictures::read(path, video, seen)?;
            if pictures.frames() == 0 {
                return Err(none());
            }
            let packets = joined(packets)?;
            let mut sound: Vec<Sound> = sound.into_iter().map(joined).collect::<Result<_>>()?;
            for (sound, stream) in sound.iter_mut().zip(&sounds) {
                sound.peak_bit_rate = packets.peak_bit_rates.get(&stream.index).copied();
            }
            pictures.packets = packets.pictures;
            pictures.shape(&joined(shapes)?);
            let start =
                film.format.start_time.and_then(|start| start.checked_mul(Rational::whole(1_000_000)));
            let start_us = start.map_or(0, Rational::round);
            Ok(Self {
                container: film.format.format_name.clone(),
                pictures,
                sound,
                start_us,
                read_ms: packets.ms,
                declared_ms: declared(path, film)?,
            })
        })
    }

    /// Is it one that could have been made? Anybody may have written what is in a job's folder.
    pub(crate) fn is_sound(&self) -> bool {
        self.pictures.is_sound() && self.sound.iter().all(Sound::is_sound)
    }

    /// Is it in a container of that name?
    pub fn is(&self, container: &str) -> bool {
        self.container.split(',').any(|name| name == container)
    }

    /// Was less of it to be read than its header promises? How much, in words.
    pub fn broken_off(&self) -> Option<String> {
        let declared = self.declared_ms.filter(|declared| declared - self.read_ms > SHORT_MS)?;
        let seconds = |ms: i64| clock_ms(Rational::new(ms, 1000));
        Some(format!(
            "ends at {}; its header says {}: a copy that broke off",
            seconds(self.read_ms),
            seconds(declared)
        ))
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What a container's header says that it lasts, in milliseconds. Some writers take the end of the last chapter for the
/// film's: what a chapter explains is no promise.
fn declared(path: &Path, film: &Film) -> Result<Option<i64>> {
    let ms = |seconds: Rational| seconds.checked_mul(Rational::whole(1000)).map(Rational::round);
    let declared = if film.is_matroska() {
        let ns = probe::Container::read(path)?.duration_ns();
        ns.and_then(|ns| i64::try_from(ns / 1_000_000).ok())
    } else {
        film.format.duration.filter(|_| film.is("mp4")).and_then(ms)
    };
    let chapters = film.chapters.iter().filter_map(|chapter| ms(chapter.end_time?)).max();
    Ok(declared.filter(|declared| chapters.is_none_or(|end| end + SHORT_MS < *declared)))
}

/// What is known of packets without decoding them.
struct Packets {
    /// Those of the pictures.
    pictures: u64,
    /// Milliseconds from the first one's beginning to the last one's end.
    ms: i64,
    /// Bits a second of each stream's largest packet for its length.
    peak_bit_rates: BTreeMap<usize, u64>,
}

fn packets(path: &Path, video: usize) -> Result<Packets> {
    let (mut pictures, mut begins, mut ends) = (0, 0f64, 0f64);
    let mut peak_bit_rates = BTreeMap::<usize, u64>::new();
    probe::lines(path, "packet=stream_index,pts_time,duration_time,size", &[], |line| {
        let mut fields = line.split('|');
        let stream = fields.next().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        pictures += u64::from(stream == video);
        let mut number = || fields.next().and_then(|n| n.parse::<f64>().ok());
        let (at, long, size) = (number(), number(), number());
        if let (Some(long), Some(size)) = (long.filter(|&long| long > 0.0), size) {
            let peak = peak_bit_rates.entry(stream).or_default();
            *peak = (*peak).max((size * 8.0 / long).round() as u64);
        }
        if let Some(at) = at {
            // Matroska counts from its own zero, which is not where the first packet is.
            (begins, ends) = (begins.min(at), ends.max(at + long.unwrap_or(0.0)));
        }
    })?;
    Ok(Packets { pictures, ms: ((ends - begins) * 1000.0).round() as i64, peak_bit_rates })
}
