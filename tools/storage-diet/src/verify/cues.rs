//! What is read and jumped to: when each subtitle and each chapter begins.

use super::{seconds, worst};
use crate::{
    clock::Clock,
    probe::{self, Film},
};
use cli::Result;
use std::{collections::BTreeMap, path::Path};
use timebase::Rational;

/// Seconds at which the cues of each subtitle stream that has one begin, from the film's zero on; `clock` is given for a
/// source, of which only what is in the film counts.
///
/// Errors: ffprobe cannot read the film.
pub fn subtitles(film: &Path, clock: Option<&Clock>) -> Result<Vec<Vec<f64>>> {
    let mut streams: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    probe::lines(film, "packet=stream_index,pts_time", &["-select_streams", "s"], |line| {
        let mut fields = line.split('|');
        let stream = fields.next().and_then(|index| index.parse().ok());
        let time = fields.next().and_then(|time| time.parse::<Rational>().ok());
        let since_zero = time.and_then(|time| match clock {
            Some(clock) => (time < clock.end).then_some(clock.since_zero(time)?),
            None => Some(time),
        });
        if let Some((stream, time)) = stream.zip(since_zero.filter(|time| *time >= Rational::whole(0))) {
            streams.entry(stream).or_default().push(seconds(time));
        }
    })?;
    Ok(streams
        .into_values()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times
        })
        .collect())
}

/// Seconds at which chapters begin, from the film's zero on; of a source, those that are in the film.
pub fn chapters(film: &Film, clock: Option<&Clock>) -> Vec<f64> {
    let in_film = film.chapters.iter().filter_map(|chapter| {
        let start = chapter.start_time?;
        let since_zero = match clock {
            Some(clock) => clock.has_chapter(start, chapter.end_time).then_some(clock.since_zero(start)?)?,
            None => start,
        };
        Some(since_zero.max(Rational::whole(0)))
    });
    in_film.map(seconds).collect()
}

/// How far times are from where `old` ones times `ratio` put them: the first, the one in the middle, the last, and the
/// worst.
pub fn off(old: &[f64], new: &[f64], ratio: f64) -> [f64; 4] {
    let off: Vec<f64> = old.iter().zip(new).map(|(old, new)| new - old * ratio).collect();
    let at = |n: usize| off.get(n).copied().unwrap_or(0.0);
    [at(0), at(off.len() / 2), at(off.len().saturating_sub(1)), worst(off.iter().copied())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_found_among_all() {
        assert_eq!(off(&[0.0, 24.0, 48.0], &[0.0, 25.5, 50.0], 25.0 / 24.0), [0.0, 0.5, 0.0, 0.5]);
        assert_eq!(off(&[], &[], 25.0 / 24.0), [0.0; 4]);
    }
}
