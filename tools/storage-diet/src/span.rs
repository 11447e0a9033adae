//! Which frames of the film the stages read and make.

use crate::{template::Values, timeline::Timeline, variables::Variables};
use cli::{Error, Result};
use sr_window::window::Grid;

/// Frames of the film, numbered as its [`Timeline`] has them: from the source's first on, unless its pictures change before. Only where a part ends before the film does are the last three not
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first frame of this job's film.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// The first frame that is not made yet.
    pub next: u64,
    /// The first that sr-window reads.
    pub first: u64,
    /// One past the last that sr-window reads.
    pub seen: u64,
    /// One past the last that deint-crop reads.
    pub read: u64,
    /// How many the film has.
    pub film: u64,
}

impl Span {
    /// That of a job on a film, before it has made any frame.
    ///
    /// Errors (usage): more frames than there are; a part that is not there.
    pub fn new(timeline: &Timeline, variables: &Variables) -> Result<Self> {
        let (film, base) = (timeline.frames(), timeline.base);
        let start = variables.number("START").saturating_sub(base);
        let frames = variables.given("FRAMES").map(|_| variables.number("FRAMES"));
        let last = frames.map_or(film, |frames| start.saturating_add(frames));
        if last > film || start >= last {
            let asked = match frames {
                Some(frames) => format!("START={} FRAMES={frames} were", variables.number("START")),
                None => format!("START={} was", variables.number("START")),
            };
            let has = format!("has {} frames; {asked} asked for", film + base);
            return Err(Error::usage(variables.get("SRC"), has));
        }
        let (start, end) = match variables.part() {
            Some(part) => part_of(start, last, part, segment(variables))?,
            None => (start, last),
        };
        Self { start, end, next: start, first: start, seen: end, read: end, film }
            .until(last, grid(variables))
            .from(start, variables)
    }

    /// A part ends as if the film went on: its last window has all its context, and its last frame the one after it.
    fn until(self, last: u64, grid: Grid) -> Self {
        if self.end == last {
            return self;
        }
        let seen = grid.computes(grid.index(self.end - 1)).end.min(last);
        Self { seen, read: if seen < last { seen + 1 } else { last }, ..self }
    }

    /// The same where everything before frame `next` is made.
    pub fn from(self, next: u64, variables: &Variables) -> Result<Self> {
        Ok(Self {
            next,
            first: grid(variables).first_frame_needed(next.min(self.end.saturating_sub(1)).max(self.start)),
            ..self
        })
    }

    /// How many frames the job makes.
    pub fn frames(self) -> u64 {
        self.end - self.start
    }

    /// What the stages are told.
    pub fn tell(self, values: &mut Values) {
        let Self { start, end, next, first, seen, read, film } = self;
        let is_part = seen != end || read != end;
        for (name, value) in [
            ("first", first),
            ("next", next),
            ("read", read),
            ("seen", seen - first),
            ("frames", end - next),
            ("done", next - start),
            ("all", end - start),
        ] {
            values.set(name, value);
        }
        values.set_or_not("seek", None::<u64>);
        values.set_or_not("limit", (read != film).then_some(read));
        values.set_or_not("context", is_part.then_some(seen - first));
        values.set_or_not("emit", is_part.then_some(end - next));
    }
}

/// `--window` and `--overlap`.
pub fn grid(variables: &Variables) -> Grid {
    Grid { window: variables.number("WINDOW"), overlap: variables.number("OVERLAP") }
}

/// Frames of a segment.
pub fn segment(variables: &Variables) -> u64 {
    variables.get("SEGMENT").trim_end_matches('f').parse().unwrap_or(1)
}

/// The frames of this part's segments.
fn part_of(start: u64, end: u64, (i, n): (u64, u64), segment: u64) -> Result<(u64, u64)> {
    let segments = (end - start).div_ceil(segment);
    if n > segments {
        let why = format!("there are only {segments} segments of {segment} frames");
        return Err(Error::usage(format!("PART={i}/{n}"), why));
    }
    let border = |i: u64| start + (segments * i / n) * segment;
    Ok((border(i - 1), if i == n { end } else { border(i) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reading::{Picture, Pictures, Run},
        timeline::Gaps,
    };
    use proptest::prelude::*;

    fn variables(typed: &str) -> Variables {
        let typed: Vec<_> =
            typed.split(' ').filter_map(|t| t.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect();
        Variables::new(&typed).unwrap()
    }

    fn film(frames: u64) -> Timeline {
        let run = Run { frames, first: 0, step: 40, kind: 0 };
        let kinds = vec![Picture::default()];
        let pictures = Pictures { time_base: (1, 1000), kinds, runs: vec![run], ..Pictures::default() };
        Timeline::new(&pictures, timebase::Rational::whole(25), Gaps::Refuse, 0)
    }

    #[test]
    fn a_whole_film() {
        let span = Span::new(&film(25), &variables("WINDOW=8 OVERLAP=2")).unwrap();
        assert_eq!(span, Span { start: 0, end: 25, next: 0, first: 0, seen: 25, read: 25, film: 25 });
        let from = span.from(20, &variables("WINDOW=8 OVERLAP=2")).unwrap();
        assert_eq!((from.next, from.first), (20, 14));
    }

    #[test]
    fn an_excerpt_begins_with_its_context() {
        let span = Span::new(&film(100), &variables("WINDOW=8 OVERLAP=2 START=40 FRAMES=10")).unwrap();
        assert_eq!(span, Span { start: 40, end: 50, next: 40, first: 38, seen: 50, read: 50, film: 100 });
        let mut values = Values::default();
        span.tell(&mut values);
        assert_eq!((values.word("limit"), values.word("context")), (Some("50"), None));
    }

    #[test]
    fn a_part_ends_as_if_the_film_went_on() {
        let span = Span::new(&film(25), &variables("WINDOW=8 OVERLAP=2 SEGMENT=7f PART=1/2")).unwrap();
        assert_eq!(span, Span { start: 0, end: 14, next: 0, first: 0, seen: 18, read: 19, film: 25 });
        let mut values = Values::default();
        span.tell(&mut values);
        assert_eq!(
            (values.word("context"), values.word("emit"), values.word("limit")),
            (Some("18"), Some("14"), Some("19"))
        );
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let said = |typed: &str| Span::new(&film(25), &variables(typed)).unwrap_err().to_string();
        assert_eq!(said("SRC=/f FRAMES=26"), "/f: has 25 frames; START=0 FRAMES=26 were asked for");
        assert_eq!(said("SRC=/f START=25"), "/f: has 25 frames; START=25 was asked for");
        assert_eq!(said("SEGMENT=10f PART=1/4"), "PART=1/4: there are only 3 segments of 10 frames");
    }

    proptest! {
        #[test]
        fn parts_make_each_frame_once(frames in 1u64..500, segment in 1u64..50, n in 1u64..8) {
            prop_assume!(n <= frames.div_ceil(segment));
            let mut at = 0;
            for i in 1..=n {
                let (start, end) = part_of(0, frames, (i, n), segment).unwrap();
                prop_assert_eq!(start, at);
                prop_assert!(end > start);
                at = end;
            }
            prop_assert_eq!(at, frames);
        }
    }
}
