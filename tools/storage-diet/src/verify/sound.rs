//! Sound: whether it is all there and on time, and whether what is heard is where the source has it.

use super::{decoded::Piece, worst};
use crate::{
    clock::Clock,
    mux::audio::without,
    program::{Program, file},
    reading::{Layout, Sound},
};
use cli::Result;
use std::{path::Path, process::Stdio};

/// What the pieces of a stream of sound come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pieces {
    /// Seconds by which the first, the one in the middle and the last are late, beside the first picture and the samples
    /// before them.
    pub late: [f64; 3],
    /// How far one is from where the samples before it end, where that is worst; in seconds.
    pub gap: f64,
    /// All samples.
    pub samples: u64,
    /// Samples of the longest piece.
    pub longest: u64,
}

impl Pieces {
    /// Of sound of `rate` samples a second in a film whose first picture comes at `zero`; `None` without a piece.
    pub fn of(pieces: &[Piece], rate: f64, zero: f64) -> Option<Self> {
        let mut samples = 0;
        let late: Vec<f64> = pieces
            .iter()
            .map(|piece| {
                let late = piece.at - zero - samples as f64 / rate;
                samples += piece.samples;
                late
            })
            .collect();
        let (first, last) = (*late.first()?, *late.last()?);
        let gap = worst(late.iter().map(|late| late - first));
        let longest = pieces.iter().map(|piece| piece.samples).max()?;
        Some(Self { late: [first, late[late.len() / 2], last], gap, samples, longest })
    }
}

/// Loudnesses a second that are compared.
const RATE: usize = 2000;
/// How many of them sound may be off and still be found.
const MOST: usize = 60;

/// A correlation under which two sounds are not taken for the same: slowing smears what is short.
const ALIKE: f64 = 0.65;

/// How many seconds the sound `index.0` of the film is behind the source's sound `index.1` around the film's second `at`,
/// listening for `span` seconds; `None` where there is no landmark.
///
/// Errors: ffmpeg cannot decode one of them.
pub fn heard(
    film: (&Path, usize),
    source: (&Path, usize),
    read: &Sound,
    clock: &Clock,
    at: f64,
    span: f64,
) -> Result<Option<f64>> {
    let slower = clock.to.to_f64() / clock.from.to_f64();
    let begins = clock.of_source(at * slower);
    let old_span = clock.of_source((at + span) * slower) - begins;
    let new = loudness(film, at, span, "", None)?;
    // Played at the film's speed, as if 48,000 samples were that many.
    let (from, to) = (clock.from, clock.to);
    let rate = 48_000 * i128::from(to.num()) * i128::from(from.den())
        / (i128::from(to.den()) * i128::from(from.num()));
    let filters = format!("{}asetrate={rate},", without(clock, begins, 48_000));
    let old = loudness(source, begins, old_span, &filters, read.layout().filter(|_| read.changes()))?;
    Ok(lag(&old, &new).map(|lag| lag / RATE as f64))
}

/// How loud a film is, [`RATE`] times a second, for `span` seconds from `at` on.
fn loudness(
    (film, index): (&Path, usize),
    at: f64,
    span: f64,
    filter: &str,
    one: Option<&Layout>,
) -> Result<Vec<i16>> {
    let mut ffmpeg = Program::ffmpeg().about(film.display()).arg("-copyts");
    if at > 20.0 {
        // To seconds before: what a seek finds first may not be the first.
        ffmpeg = ffmpeg.args(["-seek_timestamp", "1", "-ss", &format!("{:.9}", at - 10.0)]);
    }
    const MONO: &str = "aformat=channel_layouts=mono:sample_rates=48000:sample_fmts=flt";
    let filters = format!(
        "asetpts=PTS-{at:.9}/TB,{MONO},aresample=async=1:first_pts=0,atrim=end={span:.9},asetpts=N/SR/TB,{filter}\
         aeval=abs(val(0)),lowpass=f=100,aresample={RATE}"
    );
    let ffmpeg = ffmpeg.arg("-i").arg(file(film)).args(["-map", &format!("0:{index}")]);
    let raw = ["-f", "s16le", "-"];
    let bytes = if let Some(layout) = one {
        // Filters begin anew where the layout changes; see the mux.
        let one = format!("aformat=channel_layouts={},{MONO}", layout.channel_layout);
        let end = format!("{:.9}", at + span);
        let mut one =
            ffmpeg.args(["-to", &end, "-af", &one, "-c:a", "pcm_f32le", "-f", "nut", "-"]).start()?;
        let rest = Program::ffmpeg()
            .about(film.display())
            .args(["-copyts", "-f", "nut", "-i", "-", "-af", &filters]);
        let pipe = one.stdout().map_or(Stdio::null(), Stdio::from);
        let bytes = rest.stdin(pipe).args(raw).output()?;
        // It ends where the other has heard enough.
        let _ = one.finish();
        bytes
    } else {
        ffmpeg.args(["-af", &filters]).args(raw).output()?
    };
    Ok(bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect())
}

/// By how many loudnesses `new` is behind `old`, to fractions of one; `None` where they are too short, without a landmark,
/// not alike, or further apart than can be found.
pub fn lag(old: &[i16], new: &[i16]) -> Option<f64> {
    let n = old.len().min(new.len());
    if n < 8 * MOST {
        return None;
    }
    let (old, new) = (Loudness::of(&old[..n])?, Loudness::of(&new[..n])?);
    let alike: Vec<f64> = (0..=2 * MOST)
        .map(|lag| {
            let pairs = old.around[MOST..n - MOST].iter().zip(&new.around[lag..]);
            pairs.map(|(x, y)| x * y).sum::<f64>() / (old.power * new.power).sqrt()
        })
        .collect();
    let best = (0..alike.len()).max_by(|&a, &b| alike[a].total_cmp(&alike[b]).then(b.cmp(&a)))?;
    if alike[best] < ALIKE || best == 0 || best == 2 * MOST {
        return None;
    }
    // The vertex of the parabola through the best and its neighbours.
    let (before, after) = (alike[best - 1], alike[best + 1]);
    let bend = before - 2.0 * alike[best] + after;
    let fraction = if bend == 0.0 { 0.0 } else { (before - after) / 2.0 / bend };
    Some(best as f64 - MOST as f64 + fraction)
}

/// Loudness around its mean.
struct Loudness {
    around: Vec<f64>,
    power: f64,
}

impl Loudness {
    /// `None` where it varies too little to be recognised.
    fn of(values: &[i16]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / n;
        let around: Vec<f64> = values.iter().map(|&value| f64::from(value) - mean).collect();
        let power: f64 = around.iter().map(|value| value * value).sum();
        ((power / n).sqrt() >= mean / 3.0 && power > 0.0).then_some(Self { around, power })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bursts that begin where `at` says, as loud as a bell curve is high.
    fn bursts(at: &[f64], n: usize) -> Vec<i16> {
        let loud = |t: f64| at.iter().map(|at| 9000.0 * (-((t - at) / 40.0).powi(2)).exp()).sum::<f64>();
        (0..n).map(|t| loud(t as f64) as i16).collect()
    }

    #[test]
    fn a_lag_is_found_to_a_fraction() {
        let at = [200.0, 900.0, 1300.0];
        for lag_in in [0.0, 7.0, -31.0, 12.5, 55.0] {
            let found = lag(&bursts(&at, 2000), &bursts(&at.map(|t| t + lag_in), 2000)).unwrap();
            assert!((found - lag_in).abs() < 0.05, "{lag_in}: {found}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not() {
        let (some, at) = (bursts(&[500.0], 2000), [200.0, 900.0, 1300.0]);
        assert_eq!(lag(&some, &bursts(&[570.0], 2000)), None, "too far");
        assert_eq!(lag(&some, &vec![0; 2000]), None, "silence");
        assert_eq!(lag(&vec![4000; 2000], &vec![4000; 2000]), None, "a tone");
        assert_eq!(lag(&some, &bursts(&at, 2000)), None, "another sound");
        assert_eq!(lag(&some[..479], &some), None, "too short");
    }

    #[test]
    fn pieces_follow_each_other() {
        let piece = |at, samples| Piece { at, samples };
        let whole = [piece(0.5, 100), piece(1.5, 100), piece(2.5, 50)];
        let found = Pieces::of(&whole, 100.0, 0.5).unwrap();
        assert_eq!(found, Pieces { late: [0.0; 3], gap: 0.0, samples: 250, longest: 100 });
        let with_gap = [piece(0.5, 100), piece(1.75, 100), piece(2.5, 50)];
        assert_eq!(Pieces::of(&with_gap, 100.0, 0.25).unwrap().late, [0.25, 0.5, 0.25]);
        assert_eq!(Pieces::of(&with_gap, 100.0, 0.25).unwrap().gap, 0.25);
        assert_eq!(Pieces::of(&[], 100.0, 0.0), None);
    }
}
