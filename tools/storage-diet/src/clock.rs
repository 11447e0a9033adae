//! The clock that a film and its source share: every time of the source, since the film's zero and without what was cut out,
//! times 25/24.

use crate::timeline::Timeline;
use std::ops::Range;
use timebase::{Cut, Rational, Retime, without};

/// Which part of a source becomes a film, and on which clock.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The source's frames a second.
    pub from: Rational,
    /// The film's.
    pub to: Rational,
    /// The source's second that is the film's zero.
    pub zero: Rational,
    /// The source's second of the film's first picture.
    pub begins: Rational,
    /// The source's second at which the last picture of the film is over.
    pub end: Rational,
    /// Seconds of the film's pictures.
    pub duration: Rational,
    /// What the film goes without, in order.
    pub cuts: Vec<Cut>,
}

impl Clock {
    /// The clock of a film at `to` frames a second of these frames of a source. Only Matroska has a zero of its own;
    /// elsewhere the first picture is it.
    ///
    /// `None`: its times cannot be counted.
    pub fn new(timeline: &Timeline, is_matroska: bool, to: Rational, frames: Range<u64>) -> Option<Self> {
        let from = timeline.rate;
        let begins = timeline.time(frames.start)?;
        let last = timeline.time(frames.end.checked_sub(1)?)?;
        let end = last.checked_add(Rational::whole(1).checked_div(from)?)?;
        let zero = if is_matroska { begins.checked_sub(timeline.lead_in)? } else { begins };
        let count = i64::try_from(frames.end.checked_sub(frames.start)?).ok()?;
        let duration = Rational::whole(count).checked_div(to)?;
        Some(Self { from, to, zero, begins, end, duration, cuts: timeline.cuts(frames)? })
    }

    /// The map of times.
    pub fn retime(&self) -> Option<Retime> {
        Retime::between(self.from, self.to)
    }

    /// Seconds from the film's zero to its first picture, on the source's clock; how far the sound is from it, too.
    pub fn lead_in(&self) -> Option<Rational> {
        self.begins.checked_sub(self.zero)
    }

    /// A time of the source since the film's zero, without what is cut out before it. What lies within a cut is at its
    /// beginning.
    pub fn since_zero(&self, time: Rational) -> Option<Rational> {
        without(&self.cuts, time)?.checked_sub(self.zero)
    }

    /// The second of the source that is so many of its seconds after the film's zero.
    pub fn of_source(&self, since_zero: f64) -> f64 {
        let zero = self.zero.to_f64();
        self.cuts.iter().fold(zero + since_zero, |at, cut| {
            if at > cut.at.to_f64() { at + cut.length.to_f64() } else { at }
        })
    }

    /// Where a cue of the source that begins at `start` begins in the film, on the source's clock without what is cut out;
    /// `None` for one that begins before the film's zero or when the pictures are over: nobody would see it.
    pub fn cue(&self, start: Rational) -> Option<Rational> {
        (self.zero <= start && start < self.end).then(|| self.since_zero(start))?
    }

    /// Is a chapter of the source that begins at `start` and is over at `end` in the film, on the source's clock? One that is
    /// over before the film's zero or begins when the pictures are over is not.
    pub fn has_chapter(&self, start: Rational, end: Option<Rational>) -> bool {
        let is_before =
            self.zero > Rational::whole(0) && start < self.zero && end.is_some_and(|end| end <= self.zero);
        !is_before && start < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zero: i64, end: i64) -> Clock {
        let seconds = Rational::whole;
        let (from, to) = (seconds(25), seconds(24));
        let (zero, end) = (seconds(zero), seconds(end));
        Clock { from, to, zero, begins: zero, end, duration: seconds(4), cuts: Vec::new() }
    }

    #[test]
    fn what_is_outside_the_film_is_no_part_of_it() {
        let seconds = Rational::whole;
        let own = clock(4, 8);
        let chapters = [(0, 4), (0, 5), (4, 4), (7, 20), (8, 20)];
        let has = chapters.map(|(start, end)| own.has_chapter(seconds(start), Some(seconds(end))));
        assert_eq!(has, [false, true, true, true, false]);
        assert!(own.has_chapter(seconds(1), None));
        let first = seconds(0);
        assert!(clock(0, 8).has_chapter(first, Some(first)), "a chapter without length at the beginning");
        let cues = [3, 4, 7, 8].map(|start| own.cue(seconds(start)));
        assert_eq!(cues, [None, Some(seconds(0)), Some(seconds(3)), None]);
    }

    #[test]
    fn what_is_cut_out_takes_no_time() {
        let seconds = Rational::whole;
        let cuts = vec![Cut { at: seconds(2), length: seconds(3) }];
        let clock = Clock { cuts, ..clock(1, 10) };
        assert_eq!(
            [1, 2, 4, 5, 7].map(|s| clock.since_zero(seconds(s))),
            [0, 1, 1, 1, 3].map(|s| Some(seconds(s)))
        );
        assert_eq!([0.0, 1.0, 1.5, 3.0].map(|s| clock.of_source(s)), [1.0, 2.0, 5.5, 7.0]);
    }
}
