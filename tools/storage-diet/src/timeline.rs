//! Where each picture belongs: frame n of a film of r frames a second at its first frame's time and n/r seconds.
//!
//! A picture that is shown more than half a frame away from there is out of place: some are missing before it, or there are
//! too many. Each picture is given the place that is nearest to its time, and of two that are as near, the earlier one.

use crate::{progress::clock_ms, reading::Pictures};
use std::ops::Range;
use timebase::{Cut, Rational};

/// What is done where pictures are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Gaps {
    /// No film is made of it.
    #[default]
    Refuse,
    /// The picture before stands in, so that everything else stays in place.
    Repeat,
    /// Sound and subtitles lose the same stretch.
    Cut,
}

/// Pictures that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The picture that comes after them, counted among those that are there, from frame 0 on.
    pub before: u64,
    /// How many there should be. Below 0: so many too many are there, which no film can be made of.
    pub missing: i64,
}

/// The places of a film's pictures, from the first one on that can be decoded together with the film's first frame: where
/// the size of pictures changes, what is decoded begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Frames a second.
    pub rate: Rational,
    /// Second of the source's clock at which the source's first picture is shown.
    pub lead_in: Rational,
    /// The source's frame that is frame 0 here.
    pub base: u64,
    /// How many frames from there on are alike.
    pub alike: u64,
    /// Second of the source's clock at which frame 0 is shown.
    first: Rational,
    /// The same by the first picture alone, for what is said of single ones.
    said: Rational,
    /// The picture of the source that is frame 0.
    skipped: u64,
    /// Pictures that are there.
    pictures: u64,
    /// Where pictures are missing, in their order.
    gaps: Vec<Gap>,
    mend: Gaps,
    /// Pictures at the end that are left out, since those before them were cut off.
    orphans: u64,
}

/// A copy that ends within a GOP has a picture to which pictures refer that are not there any more: at most so many at the
/// end, behind at most so many missing ones.
const CUT_OFF: u64 = 3;

/// Microseconds by which containers round times, and a little: pictures that are so far off are in their places.
const SETTLED_US: f64 = 2000.0;

impl Timeline {
    /// That of pictures which are to be `rate` a second, for a film that begins with frame `start`.
    pub fn new(pictures: &Pictures, rate: Rational, mend: Gaps, start: u64) -> Self {
        let whole = Self::whole(pictures, rate, mend);
        let alike = pictures.alike(whole.picture(start));
        whole.within(alike).settled(pictures, start)
    }

    /// The same, moved so that the earliest and the latest picture from frame `start` on are as far from their places: pictures
    /// that are shown for three fields now and then, or that follow a join, are all on one side of them.
    fn settled(mut self, pictures: &Pictures, start: u64) -> Self {
        let (tick, rate, first) = (pictures.tick().to_f64(), self.rate.to_f64(), self.first.to_f64());
        let from = self.of_source(start.saturating_sub(self.base));
        let alike = self.of_source(self.alike.saturating_sub(1)).saturating_sub(from) + 1;
        let times = pictures.each().skip(from as usize).take(alike as usize).map(|(at, _)| at as f64 * tick);
        let off = times.map(|at| (at - first) * rate).map(|place| (place - (place - 0.5).ceil()) / rate);
        let (least, most) =
            off.fold((f64::MAX, f64::MIN), |(least, most), off| (off.min(least), off.max(most)));
        let us = ((least + most) / 2.0 * 1e6).round();
        if us.abs() < SETTLED_US {
            return self;
        }
        let shift = Rational::new(us as i64, 1_000_000);
        let moved = |time: Rational| shift.and_then(|shift| time.checked_add(shift)).unwrap_or(time);
        // No picture of a film comes before its zero.
        (self.first, self.lead_in) = (moved(self.first), moved(self.lead_in).max(Rational::whole(0)));
        self
    }

    /// That of a part of the pictures.
    fn within(self, alike: Range<u64>) -> Self {
        let place =
            |picture: u64| self.place(picture).and_then(|place| u64::try_from(place).ok()).unwrap_or(picture);
        let frame = |picture: u64| if self.mend == Gaps::Repeat { place(picture) } else { picture };
        let base = frame(alike.start);
        let after = if alike.end < self.pictures { frame(alike.end) } else { self.frames() };
        let gaps = self.gaps.iter().filter(|gap| gap.before > alike.start);
        let gaps = gaps.map(|gap| Gap { before: gap.before - alike.start, ..*gap }).collect();
        let second = self.place(alike.start).and_then(|place| Rational::whole(place).checked_div(self.rate));
        let first = second.and_then(|second| self.first.checked_add(second)).unwrap_or(self.first);
        Self {
            base,
            alike: after - base,
            first,
            said: first,
            skipped: alike.start,
            pictures: self.pictures - alike.start,
            gaps,
            ..self
        }
    }

    fn whole(pictures: &Pictures, rate: Rational, mend: Gaps) -> Self {
        let tick = pictures.tick();
        let times = || pictures.each().map(|(at, _)| at);
        let first = times().next().unwrap_or(0);
        // Frames in a tick, as a fraction.
        let num = i128::from(tick.num()) * i128::from(rate.num());
        let den = i128::from(tick.den()) * i128::from(rate.den());
        // The place that is nearest; where two are, the earlier one.
        let place = |at: i64| {
            let twice = 2 * (i128::from(at) - i128::from(first)) * num - den;
            -(-twice).div_euclid(2 * den)
        };
        let mut gaps = Vec::new();
        let mut next = 0;
        for (n, at) in times().enumerate() {
            let here = place(at);
            if here != next {
                let missing = i64::try_from(here - next).unwrap_or(i64::MAX);
                gaps.push(Gap { before: n as u64, missing });
            }
            next = here + 1;
        }
        let second = Rational::whole(first).checked_mul(tick).unwrap_or(Rational::whole(0));
        let mut pictures = pictures.frames();
        let mut orphans = 0;
        if let (Gaps::Refuse, &[last]) = (mend, &gaps[..])
            && pictures - last.before <= CUT_OFF
            && (1..=CUT_OFF as i64).contains(&last.missing)
        {
            orphans = pictures - last.before;
            pictures = last.before;
            gaps.pop();
        }
        Self {
            rate,
            lead_in: second,
            base: 0,
            alike: pictures,
            first: second,
            said: second,
            skipped: 0,
            pictures,
            gaps,
            mend,
            orphans,
        }
    }

    /// Frames from frame 0 on.
    pub fn frames(&self) -> u64 {
        match self.mend {
            Gaps::Repeat => self.pictures.saturating_add(self.missing(0..self.pictures)),
            Gaps::Refuse | Gaps::Cut => self.pictures,
        }
    }

    /// Those that stand in for missing ones, in a film of these frames, and at how many places.
    pub fn mended(&self, frames: Range<u64>) -> (u64, usize) {
        let inside = self.inside(&frames);
        (inside.iter().map(|gap| gap.missing.max(0) as u64).sum(), inside.len())
    }

    /// Pictures at the end that are left out: they are behind a hole where the copy ends within a GOP.
    pub fn orphans(&self) -> u64 {
        self.orphans
    }

    /// Are frames of this film others than those that are decoded?
    pub fn is_mended(&self) -> bool {
        self.mend == Gaps::Repeat && !self.gaps.is_empty()
    }

    /// The picture of the source that is frame `frame`.
    pub fn of_source(&self, frame: u64) -> u64 {
        self.skipped + self.picture(frame)
    }

    /// The number among the decoded pictures of the one that is frame `frame`.
    fn picture(&self, frame: u64) -> u64 {
        if self.mend != Gaps::Repeat {
            return frame;
        }
        let mut missing = 0;
        for gap in &self.gaps {
            let (last, gone) = (gap.before.saturating_sub(1), gap.missing.max(0) as u64);
            if frame < gap.before + missing {
                break;
            }
            if frame < gap.before + missing + gone {
                return last;
            }
            missing += gone;
        }
        frame - missing
    }

    fn missing(&self, pictures: Range<u64>) -> u64 {
        let gaps = self.gaps.iter().filter(|gap| pictures.contains(&gap.before));
        gaps.map(|gap| gap.missing.max(0) as u64).sum()
    }

    /// Gaps between frames of the film.
    fn inside(&self, frames: &Range<u64>) -> Vec<Gap> {
        let pictures = self.picture(frames.start)..self.picture(frames.end.saturating_sub(1)) + 1;
        let mut inside = self.gaps.clone();
        inside.retain(|gap| pictures.start < gap.before && gap.before < pictures.end);
        inside
    }

    /// Second of the source's clock at which frame `frame` is shown.
    pub fn time(&self, frame: u64) -> Option<Rational> {
        let place = match self.mend {
            Gaps::Repeat => i64::try_from(frame).ok()?,
            Gaps::Refuse | Gaps::Cut => self.place(frame)?,
        };
        self.first.checked_add(Rational::whole(place).checked_div(self.rate)?)
    }

    /// The place of a picture that is there.
    fn place(&self, picture: u64) -> Option<i64> {
        let before = self.gaps.iter().take_while(|gap| gap.before <= picture);
        before.map(|gap| gap.missing).try_fold(i64::try_from(picture).ok()?, i64::checked_add)
    }

    /// What sound and subtitles lose in a film of these frames.
    pub fn cuts(&self, frames: Range<u64>) -> Option<Vec<Cut>> {
        if self.mend != Gaps::Cut {
            return Some(Vec::new());
        }
        let seconds = |frames: i64| Rational::whole(frames).checked_div(self.rate);
        let cut = |gap: Gap| {
            let at = self.first.checked_add(seconds(self.place(gap.before)?.checked_sub(gap.missing)?)?)?;
            Some(Cut { at, length: seconds(gap.missing)? })
        };
        self.inside(&frames).into_iter().map(cut).collect()
    }

    /// Can a film be made of these frames?
    ///
    /// Errors: why not, and what can be done.
    pub fn check(&self, pictures: &Pictures, frames: Range<u64>) -> Result<(), String> {
        let inside = self.inside(&frames);
        let Some(first) = inside.first() else { return Ok(()) };
        let named = |gap: &Gap| (self.skipped + gap.before, self.shown(gap.before));
        let (before, at) = named(first);
        if let Some(rate) = other_rate(pictures, self.rate) {
            return Err(rate);
        }
        if let Some(twice) = inside.iter().find(|gap| gap.missing < 0) {
            let (n, at) = named(twice);
            return Err(format!(
                "frame {n}, at {at}, is {} too early: pictures overlap there, as where parts were joined; \
                 START and FRAMES make a film of one part",
                self.lasting(-twice.missing)
            ));
        }
        let (missing, places) = self.mended(frames);
        match self.mend {
            Gaps::Repeat => Ok(()),
            Gaps::Cut if inside.len() > MOST_CUTS => Err(format!(
                "{missing} frames are missing, at {places} places, more than the {MOST_CUTS} that GAPS=cut takes; \
                 GAPS=repeat takes them"
            )),
            Gaps::Cut => Ok(()),
            Gaps::Refuse => {
                let all = match places {
                    1 => String::new(),
                    _ => format!(", and {missing} at {places} places in all"),
                };
                let are = if first.missing == 1 { "frame is" } else { "frames are" };
                Err(format!(
                    "frame {before}, at {at}, is {} late: {} {are} missing before it{all}; \
                     GAPS=repeat shows the one before for as long, GAPS=cut takes as much out of sound and subtitles",
                    self.lasting(first.missing),
                    first.missing
                ))
            }
        }
    }

    fn shown(&self, picture: u64) -> String {
        let place = self.place(picture).and_then(|place| Rational::whole(place).checked_div(self.rate));
        clock_ms(place.and_then(|at| self.said.checked_add(at)))
    }

    fn lasting(&self, frames: i64) -> String {
        let ms =
            Rational::whole(frames.saturating_mul(1000)).checked_div(self.rate).map_or(0, Rational::round);
        if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1000) }
    }
}

/// Stretches that one chain of filters can be told to leave out.
const MOST_CUTS: usize = 500;

/// Pictures that are in their places at another rate than `rate` are no film with gaps: which rate, in words.
fn other_rate(pictures: &Pictures, rate: Rational) -> Option<String> {
    let is = |rate: Rational| Timeline::whole(pictures, rate, Gaps::Refuse).gaps.is_empty();
    let spoken = |num: i64, den: i64| Rational::new(num, den);
    let others = [
        (24, 1),
        (24_000, 1001),
        (25, 1),
        (30_000, 1001),
        (30, 1),
        (48, 1),
        (50, 1),
        (60_000, 1001),
        (12, 1),
    ];
    let other = others
        .into_iter()
        .filter_map(|(num, den)| spoken(num, den))
        .find(|&other| other != rate && is(other))?;
    let repeats = pictures.each().filter(|&(_, kind)| pictures.kinds[kind].repeat_pict > 0).count();
    let flagged = if repeats > 0 { format!(", {repeats} of them with repeat flags") } else { String::new() };
    let hint = match (other.num(), other.den()) {
        (24, 1) => "; FROM=24 takes it as that, and slows nothing",
        (25, 1) => "; FROM=25 takes it as that",
        _ => "",
    };
    Some(format!(
        "{} frames a second{flagged}; this is for films at {}{hint}",
        other.fraction(),
        rate.fraction()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Picture, Run};
    use proptest::prelude::*;

    /// Pictures at these milliseconds.
    fn pictures(at: &[i64]) -> Pictures {
        let runs = at.iter().map(|&first| Run { frames: 1, first, step: 0, kind: 0 }).collect();
        Pictures { time_base: (1, 1000), kinds: vec![Picture::default()], runs, ..Pictures::default() }
    }

    fn timeline(at: &[i64], mend: Gaps) -> Timeline {
        Timeline::new(&pictures(at), Rational::whole(25), mend, 0)
    }

    /// Why no film is made of all of it.
    fn refused(at: &[i64], rate: i64, mend: Gaps) -> Option<String> {
        let pictures = pictures(at);
        let timeline = Timeline::new(&pictures, Rational::whole(rate), mend, 0);
        timeline.check(&pictures, 0..timeline.frames()).err()
    }

    /// Milliseconds of pictures `from..to` of a film without a fault.
    fn even(from: i64, to: i64) -> Vec<i64> {
        (from..to).map(|n| 5 + 40 * n).collect()
    }

    #[test]
    fn a_film_without_a_fault() {
        let whole = timeline(&even(0, 50), Gaps::Refuse);
        assert_eq!((whole.frames(), whole.base, whole.alike, whole.is_mended()), (50, 0, 50, false));
        assert_eq!(whole.time(25), Rational::new(1005, 1000));
        assert_eq!(refused(&even(0, 50), 25, Gaps::Refuse), None);
    }

    #[test]
    fn half_a_frame_off_is_in_place() {
        let mut at = even(0, 10);
        at[4] += 20;
        at[5] -= 19;
        at[9] += 20;
        assert_eq!(refused(&at, 25, Gaps::Refuse), None);
        at[4] += 1;
        assert!(refused(&at, 25, Gaps::Refuse).is_some());
    }

    #[test]
    fn missing_frames_are_named_and_mended() {
        let at = [even(0, 10), even(15, 30), even(31, 40)].concat();
        assert_eq!(
            refused(&at, 25, Gaps::Refuse).unwrap(),
            "frame 10, at 0:00:00.605, is 200 ms late: 5 frames are missing before it, and 6 at 2 places in all; \
             GAPS=repeat shows the one before for as long, GAPS=cut takes as much out of sound and subtitles"
        );
        let repeated = timeline(&at, Gaps::Repeat);
        assert_eq!((repeated.frames(), repeated.is_mended(), repeated.mended(0..40)), (40, true, (6, 2)));
        let shown: Vec<u64> = [9, 10, 14, 15, 29, 30, 31, 39].map(|n| repeated.of_source(n)).into();
        assert_eq!(shown, [9, 9, 9, 10, 24, 24, 25, 33]);
        assert_eq!(repeated.time(15), Rational::new(605, 1000));
        let cut = timeline(&at, Gaps::Cut);
        assert_eq!((cut.frames(), cut.of_source(12), cut.time(10)), (34, 12, Rational::new(605, 1000)));
        let ms = |at: i64, length: i64| Cut {
            at: Rational::new(at, 1000).unwrap(),
            length: Rational::new(length, 1000).unwrap(),
        };
        assert_eq!(cut.cuts(0..34), Some(vec![ms(405, 200), ms(1205, 40)]));
        assert_eq!(cut.cuts(10..34), Some(vec![ms(1205, 40)]));
        for (frames, is_fine) in [(0..10, true), (10..25, true), (9..11, false), (25..34, true)] {
            let timeline = timeline(&at, Gaps::Refuse);
            assert_eq!(timeline.check(&pictures(&at), frames.clone()).is_ok(), is_fine, "{frames:?}");
        }
    }

    #[test]
    fn pictures_that_overlap_make_no_film() {
        let at = [even(0, 10), even(8, 20)].concat();
        for mend in [Gaps::Refuse, Gaps::Repeat, Gaps::Cut] {
            let said = refused(&at, 25, mend).unwrap();
            assert!(
                said.starts_with("frame 10, at 0:00:00.325, is 80 ms too early: pictures overlap there"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_copy_that_ends_within_a_gop_loses_its_last_picture() {
        let at = [even(0, 20), even(21, 22)].concat();
        let cut_off = timeline(&at, Gaps::Refuse);
        assert_eq!((cut_off.frames(), cut_off.orphans()), (20, 1));
        assert_eq!(refused(&at, 25, Gaps::Refuse), None);
        assert_eq!(timeline(&at, Gaps::Repeat).frames(), 22);
        let still = [even(0, 20), even(60, 61)].concat();
        assert!(refused(&still, 25, Gaps::Refuse).is_some());
    }

    #[test]
    fn pictures_on_one_side_of_their_places_are_met_in_the_middle() {
        // 24 pictures for which 25 are shown: each twelfth stays for a field more.
        let at: Vec<i64> = (0..48).map(|n| 5 + 40 * n + 20 * (n / 12)).collect();
        let (whole, rate) = (pictures(&at), Rational::whole(24));
        let timeline = Timeline::new(&whole, rate, Gaps::Refuse, 0);
        let off = |n: usize| (at[n] as f64 / 1000.0 - timeline.time(n as u64).unwrap().to_f64()) * 1000.0;
        let worst = (0..48).map(off).fold(0.0, |worst: f64, off| worst.max(off.abs()));
        assert!((worst - 9.167).abs() < 0.001, "{worst}");
        assert_eq!(
            (timeline.time(0), timeline.lead_in),
            (Rational::new(-4167, 1_000_000), Rational::whole(0))
        );
        // What follows a join is where it is, and not on the clock of what was before.
        let joined = [even(0, 10), even(10, 20).iter().map(|at| at - 16).collect()].concat();
        let second = Timeline::new(&pictures(&joined), Rational::whole(25), Gaps::Refuse, 10);
        assert_eq!(second.time(10), Rational::new(389, 1000));
    }

    #[test]
    fn other_rates_are_no_gaps() {
        let at = |rate: i64| (0..100).map(|n| 1000 * n / rate).collect::<Vec<_>>();
        assert_eq!(
            refused(&at(24), 25, Gaps::Refuse).unwrap(),
            "24/1 frames a second; this is for films at 25/1; FROM=24 takes it as that, and slows nothing"
        );
        assert_eq!(refused(&at(24), 24, Gaps::Refuse), None);
        assert_eq!(
            refused(&at(50), 25, Gaps::Repeat).unwrap(),
            "50/1 frames a second; this is for films at 25/1"
        );
        assert_eq!(
            refused(&at(25), 24, Gaps::Refuse).unwrap(),
            "25/1 frames a second; this is for films at 24/1; FROM=25 takes it as that"
        );
    }

    #[test]
    fn what_is_decoded_begins_where_pictures_change() {
        let mut pictures = pictures(&even(0, 30));
        pictures.kinds.push(Picture { width: 704, ..Picture::default() });
        pictures.runs[10..].iter_mut().for_each(|run| run.kind = 1);
        let timeline = |start| Timeline::new(&pictures, Rational::whole(25), Gaps::Refuse, start);
        let first = timeline(9);
        assert_eq!((first.base, first.alike, first.frames()), (0, 10, 30));
        let second = timeline(10);
        assert_eq!((second.base, second.alike, second.frames(), second.of_source(0)), (10, 20, 20, 10));
        assert_eq!(second.time(0), Rational::new(405, 1000));
        assert_eq!(second.lead_in, Rational::new(5, 1000).unwrap());
    }

    proptest! {
        #[test]
        fn mended_films_have_each_picture_in_its_place(gone in proptest::collection::btree_set(1usize..99, 0..40)) {
            let at: Vec<i64> = even(0, 100).into_iter().enumerate().filter(|(n, _)| !gone.contains(n)).map(|(_, at)| at).collect();
            let repeated = timeline(&at, Gaps::Repeat);
            prop_assert_eq!(repeated.frames(), 100);
            for frame in 0..100 {
                let shown = at[repeated.of_source(frame) as usize];
                let placed = (repeated.time(frame).unwrap().to_f64() * 1000.0).round() as i64;
                prop_assert!(shown <= placed && (shown == placed || gone.contains(&(frame as usize))));
            }
            let cut = timeline(&at, Gaps::Cut);
            prop_assert_eq!(cut.frames() as usize, at.len());
            for (n, &shown) in at.iter().enumerate() {
                prop_assert_eq!((cut.time(n as u64).unwrap().to_f64() * 1000.0).round() as i64, shown);
            }
        }
    }
}
