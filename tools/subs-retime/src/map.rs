//! The map of a run, as the fields of a file need it.

use crate::field::{Field, Role};
use std::collections::VecDeque;
use timebase::{Cut, Rational, Retime, TickMap, without};

/// How times change: what is cut out before an instant is taken off, and then `time * ratio + shift`, rounded once to a tick
/// of its field.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// Scales instants and shifts them.
    pub instants: Retime,
    /// Frames a second before, for formats that count the film's frames and do not say.
    pub frame_rate: Rational,
    /// Stretches that the film goes without, in order, on the clock before.
    pub cuts: &'a [Cut],
}

/// A [`Map`] at work: factors for the clocks met last. A file usually has one or two; one may have a clock for each of its
/// chapters.
pub struct Mapper<'a> {
    map: Map<'a>,
    known: VecDeque<(Rational, Rational, bool, TickMap)>,
}

/// As many factors are kept.
const KNOWN: usize = 8;

impl<'a> Mapper<'a> {
    /// Nothing met so far.
    pub const fn new(map: Map<'a>) -> Self {
        Self { map, known: VecDeque::new() }
    }

    /// What a field says after the map.
    ///
    /// Errors: the time does not fit 64 bits, or a shift puts before zero what was not.
    pub fn ticks(&mut self, field: &Field) -> Result<i64, String> {
        let ratio = self.map.instants.ratio();
        let too_long = || "a time that is too long".to_owned();
        let (ticks, clock) = (field.ticks, field.clock);
        match field.role {
            Role::Instant => {
                let mapped = self.mapped(ticks, clock, clock, true)?;
                if mapped < 0 && ticks >= 0 { Err("shifted to before zero".to_owned()) } else { Ok(mapped) }
            }
            Role::Decode => Ok(self.mapped(ticks, clock, clock, true)?.max(ticks.min(0))),
            Role::Duration => self.mapped(ticks, clock, clock, false),
            Role::After(before) => {
                let end = ticks.checked_add(before).ok_or_else(too_long)?;
                Ok(self.mapped(end, clock, clock, false)? - self.mapped(before, clock, clock, false)?)
            }
            Role::Frame => {
                let slower = clock.checked_div(ratio).ok_or_else(too_long)?;
                let mapped = self.mapped(ticks, clock, slower, true)?;
                if mapped < 0 && ticks >= 0 {
                    Err("shifted to before the first frame".to_owned())
                } else {
                    Ok(mapped)
                }
            }
            Role::FrameRate => {
                self.map.instants.inverse().and_then(|map| map.ticks(ticks)).ok_or_else(too_long)
            }
        }
    }

    /// `ticks` of the clock `from` on the clock `to`; an instant is shifted, a duration is not.
    ///
    /// Errors: the time does not fit 64 bits.
    pub fn mapped(&mut self, ticks: i64, from: Rational, to: Rational, instant: bool) -> Result<i64, String> {
        let too_long = || "a time that is too long".to_owned();
        let ticks = if instant && !self.map.cuts.is_empty() {
            let time = Rational::whole(ticks).checked_div(from);
            let left = time.and_then(|time| without(self.map.cuts, time)?.checked_mul(from));
            left.ok_or_else(too_long)?.round()
        } else {
            ticks
        };
        let known = self.known.iter().find(|k| (k.0, k.1, k.2) == (from, to, instant)).map(|k| k.3);
        let factors = match known {
            Some(factors) => factors,
            None => {
                let shift =
                    if instant { self.map.instants } else { self.map.instants.shifted(Rational::whole(0)) };
                let factors = shift.clocks(from, to).ok_or_else(too_long)?;
                self.known.truncate(KNOWN - 1);
                self.known.push_front((from, to, instant, factors));
                factors
            }
        };
        factors.ticks(ticks).ok_or_else(too_long)
    }
}
