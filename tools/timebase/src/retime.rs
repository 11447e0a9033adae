//! The map itself.

use crate::Rational;

/// Multiplies times by an exact ratio, rounding each result once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retime {
    ratio: Rational,
}

impl Retime {
    /// Times are multiplied by `ratio`; `None` unless it is above zero.
    pub fn new(ratio: Rational) -> Option<Self> {
        ratio.is_positive().then_some(Self { ratio })
    }

    /// The map of a film that was `from` frames a second and becomes `to`: times are multiplied by `from/to`.
    pub fn between(from: Rational, to: Rational) -> Option<Self> {
        if !from.is_positive() || !to.is_positive() {
            return None;
        }
        Self::new(from.checked_div(to)?)
    }

    /// What times are multiplied by: 25/24 for 25 to 24.
    pub const fn ratio(self) -> Rational {
        self.ratio
    }

    /// The map back; `None` when a term does not fit.
    pub fn inverse(self) -> Option<Self> {
        Self::new(self.ratio.recip()?)
    }

    /// `ticks * ratio`, to the nearest tick, halves away from zero; `None` when it does not fit 64 bits.
    pub fn ticks(self, ticks: i64) -> Option<i64> {
        self.ticks_between(ticks, Rational::whole(1), Rational::whole(1))
    }

    /// A time of `ticks` on a clock of `from` ticks a second, mapped, on a clock of `to` ticks a second: still one
    /// rounding. Used where the format changes with the map (frames to milliseconds).
    pub fn ticks_between(self, ticks: i64, from: Rational, to: Rational) -> Option<i64> {
        let scale = self.ratio.checked_mul(to)?.checked_div(from)?;
        let (num, den) = (ticks as i128 * scale.num() as i128, scale.den() as i128);
        i64::try_from(round_half_away(num, den)).ok()
    }
}

/// `num/den` to the nearest whole number, halves away from zero; `den` is positive.
fn round_half_away(num: i128, den: i128) -> i128 {
    let magnitude = (2 * num.abs() + den) / (2 * den);
    magnitude * num.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pal() -> Retime {
        Retime::between(Rational::whole(25), Rational::whole(24)).unwrap()
    }

    #[test]
    fn one_rounding() {
        assert_eq!(pal().ticks(7_680_000), Some(8_000_000)); // 128 minutes in milliseconds
        assert_eq!(pal().ticks(12), Some(13)); // 12.5
        assert_eq!(pal().ticks(-12), Some(-13));
        assert_eq!(pal().ticks(11), Some(11)); // 11.46
        assert_eq!(pal().ticks(i64::MAX), None);
        // frame 100 at 25 fps is 4 s, which becomes 4.1666... s
        assert_eq!(pal().ticks_between(100, Rational::whole(25), Rational::whole(1000)), Some(4167));
    }

    #[test]
    fn back_within_a_tick() {
        let (there, back) = (pal(), pal().inverse().unwrap());
        for t in -5000..5000 {
            let there_and_back = back.ticks(there.ticks(t).unwrap()).unwrap();
            assert!((there_and_back - t).abs() <= 1, "{t}");
        }
    }
}
