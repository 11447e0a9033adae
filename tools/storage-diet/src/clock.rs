//! The clock that a film and its source share: every time of the source, since the film's zero, times 25/24.

use crate::probe::{self, Film};
use cli::{Error, Result};
use std::path::Path;
use timebase::{Rational, Retime};

/// Which part of a source becomes a film, and on which clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The source's frames a second.
    pub from: Rational,
    /// The film's.
    pub to: Rational,
    /// The source's second of its frame 0.
    pub first: Rational,
    /// The source's second that is the film's zero.
    pub zero: Rational,
    /// The source's second at which the last picture of the film is over.
    pub end: Rational,
    /// Seconds of the film's pictures.
    pub duration: Rational,
}

impl Clock {
    /// The clock of a film of `frames` frames at `to` a second that begins with frame `start` of the source at `path`.
    ///
    /// Errors: a source without pictures, without a rate, or with times that cannot be counted.
    pub fn new(path: &Path, source: &Film, to: Rational, start: u64, frames: u64) -> Result<Self> {
        let failed = |reason: &str| Error::failed(path.display(), reason);
        let pictures = source.pictures().ok_or_else(|| failed("has no pictures"))?;
        let from = pictures.rate().ok_or_else(|| failed("does not say how many frames a second it has"))?;
        let first = probe::first_picture(path, pictures.index)?;
        let clock = || {
            let at = |n: u64| Rational::whole(i64::try_from(n).ok()?).checked_div(from);
            let begins = first.checked_add(at(start)?)?;
            let end = first.checked_add(at(start.checked_add(frames)?)?)?;
            // Only Matroska has a zero of its own; elsewhere the first picture is it.
            let zero = if source.is_matroska() { at(start)? } else { begins };
            let duration = Rational::whole(i64::try_from(frames).ok()?).checked_div(to)?;
            Some(Self { from, to, first, zero, end, duration })
        };
        clock().ok_or_else(|| failed("has times that cannot be counted"))
    }

    /// The map of times.
    pub fn retime(&self) -> Option<Retime> {
        Retime::between(self.from, self.to)
    }

    /// Seconds from the film's zero to its first picture, on the source's clock; how far the sound is from it, too.
    pub fn lead_in(&self, start: u64) -> Option<Rational> {
        let at = Rational::whole(start.try_into().ok()?).checked_div(self.from)?;
        self.first.checked_add(at)?.checked_sub(self.zero)
    }

    /// Where a cue of the source that begins at `start` begins in the film, on the source's clock; `None` for one that begins
    /// before the film's zero or when the pictures are over: nobody would see it.
    pub fn cue(&self, start: Rational) -> Option<Rational> {
        let since_zero = start.checked_sub(self.zero)?;
        (start < self.end && since_zero >= Rational::whole(0)).then_some(since_zero)
    }

    /// Where a chapter of the source that begins at `start` and is over at `end` begins in the film, on the source's clock;
    /// `None` for one that is over before the film's zero or begins when the pictures are over.
    pub fn chapter(&self, start: Rational, end: Option<Rational>) -> Option<Rational> {
        let zero = Rational::whole(0);
        let is_before = self.zero > zero && start < self.zero && end.is_some_and(|end| end <= self.zero);
        if is_before || start >= self.end {
            return None;
        }
        start.checked_sub(self.zero).map(|start| start.max(zero))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_the_film_is_no_part_of_it() {
        let seconds = Rational::whole;
        let (from, to) = (seconds(25), seconds(24));
        let first = Rational::whole(0);
        let clock = Clock { from, to, first, zero: seconds(4), end: seconds(8), duration: seconds(4) };
        let chapter = |start, end| clock.chapter(seconds(start), Some(seconds(end)));
        assert_eq!(chapter(0, 4), None);
        assert_eq!(chapter(0, 5), Some(seconds(0)));
        assert_eq!(chapter(4, 4), Some(seconds(0)));
        assert_eq!(chapter(7, 20), Some(seconds(3)));
        assert_eq!(chapter(8, 20), None);
        assert_eq!(clock.chapter(seconds(1), None), Some(seconds(0)));
        assert_eq!(
            [3, 4, 7, 8].map(|start| clock.cue(seconds(start))),
            [None, Some(seconds(0)), Some(seconds(3)), None]
        );
        let whole = Clock { zero: first, ..clock };
        assert_eq!(
            whole.chapter(first, Some(first)),
            Some(first),
            "a chapter without length at the beginning"
        );
    }
}
