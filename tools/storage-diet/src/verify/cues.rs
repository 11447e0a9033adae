//! What is read and jumped to: when each subtitle and each chapter begins.

use super::{seconds, worst};
use crate::{
    clock::Clock,
    cues::cues,
    mux::chapters,
    probe::{Chapter, Film},
};
use cli::Result;
use std::path::Path;
use timebase::Rational;

/// Seconds at which the cues of each subtitle stream that has one begin, from the film's zero on; `clock` is given for a
/// source, of which only what is in the film counts.
///
/// Errors: ffprobe cannot read the film.
pub fn subtitles(film: &Path, clock: Option<&Clock>) -> Result<Vec<Vec<f64>>> {
    let in_film = |time: Rational| match clock {
        Some(clock) => clock.cue(time),
        None => Some(time).filter(|time| *time >= Rational::whole(0)),
    };
    let streams = cues(film)?.into_values().map(|times| {
        let mut times: Vec<f64> = times.into_iter().filter_map(in_film).map(seconds).collect();
        times.sort_by(f64::total_cmp);
        times
    });
    Ok(streams.filter(|times| !times.is_empty()).collect())
}

/// Seconds at which the chapters of the film at `path` begin, from its zero on, the earliest first; of a source, which has
/// `clock`, those that are put into the film.
///
/// Errors: mkvextract cannot read it.
pub fn chapters(path: &Path, film: &Film, clock: Option<&Clock>) -> Result<Vec<f64>> {
    let starts = if film.is_matroska() {
        // ffprobe leaves out some of what is there.
        let (xml, _) = chapters::read(path)?;
        match clock {
            Some(clock) => {
                let starts = chapters::cut(&xml, clock).map_or(Vec::new(), |xml| chapters::starts(&xml));
                let film = |start: Rational| clock.since_zero(start.checked_add(clock.zero)?);
                starts.into_iter().filter_map(film).collect()
            }
            None => chapters::starts(&xml),
        }
    } else {
        let start = |chapter: &Chapter| {
            let start = chapter.start_time?;
            match clock {
                Some(clock) if clock.has_chapter(start, chapter.end_time) => clock.since_zero(start),
                Some(_) => None,
                None => Some(start),
            }
        };
        film.chapters.iter().filter_map(start).collect()
    };
    let mut starts: Vec<f64> = starts.into_iter().map(seconds).collect();
    starts.sort_by(f64::total_cmp);
    Ok(starts)
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
