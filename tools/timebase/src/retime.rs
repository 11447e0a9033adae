//! The map itself.

use crate::Rational;

/// Multiplies times by an exact ratio and then adds a shift, rounding each result once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retime {
    ratio: Rational,
    shift: Rational,
}

impl Retime {
    /// Times are multiplied by `ratio`; `None` unless it is above zero.
    pub fn new(ratio: Rational) -> Option<Self> {
        ratio.is_positive().then_some(Self { ratio, shift: Rational::whole(0) })
    }

    /// The map of a film that was `from` frames a second and becomes `to`: times are multiplied by `from/to`.
    pub fn between(from: Rational, to: Rational) -> Option<Self> {
        if !from.is_positive() || !to.is_positive() {
            return None;
        }
        Self::new(from.checked_div(to)?)
    }

    /// The same map with `seconds` (of the new clock; may be negative) added to every instant.
    pub const fn shifted(self, seconds: Rational) -> Self {
        Self { shift: seconds, ..self }
    }

    /// What times are multiplied by: 25/24 for 25 to 24.
    pub const fn ratio(self) -> Rational {
        self.ratio
    }

    /// The map back of the ratio alone; `None` when a term does not fit.
    pub fn inverse(self) -> Option<Self> {
        Self::new(self.ratio.recip()?)
    }

    /// A duration: `ticks * ratio`, to the nearest tick, halves away from zero; `None` when it does not fit 64 bits.
    pub fn ticks(self, ticks: i64) -> Option<i64> {
        self.shifted(Rational::whole(0)).ticks_between(ticks, Rational::whole(1), Rational::whole(1))
    }

    /// An instant of `ticks` on a clock of `from` ticks a second, mapped, on a clock of `to` ticks a second: still one
    /// rounding. Used with two clocks where the format changes with the map (frames to milliseconds).
    pub fn ticks_between(self, ticks: i64, from: Rational, to: Rational) -> Option<i64> {
        self.clocks(from, to)?.ticks(ticks)
    }

    /// The map of instants between two clocks, its factors worked out once for many ticks; `None` when they do not fit.
    pub fn clocks(self, from: Rational, to: Rational) -> Option<TickMap> {
        let scale = self.ratio.checked_mul(to)?.checked_div(from)?;
        let shift = self.shift.checked_mul(to)?;
        let wide = |a: i64, b: i64| i128::from(a) * i128::from(b);
        Some(TickMap {
            scale: wide(scale.num(), shift.den()),
            shift: wide(shift.num(), scale.den()),
            den: wide(scale.den(), shift.den()),
        })
    }
}

/// A [`Retime`] from ticks of one clock to ticks of another: `(ticks * scale + shift) / den`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickMap {
    scale: i128,
    shift: i128,
    den: i128,
}

impl TickMap {
    /// To the nearest tick, halves away from zero; `None` when it does not fit 64 bits.
    pub fn ticks(self, ticks: i64) -> Option<i64> {
        let num = self.scale.checked_mul(ticks.into())?.checked_add(self.shift)?;
        i64::try_from(round_half_away(num, self.den)?).ok()
    }
}

/// `num/den` to the nearest whole number, halves away from zero; `den` is positive.
pub(crate) fn round_half_away(num: i128, den: i128) -> Option<i128> {
    let magnitude = num.checked_abs()?.checked_mul(2)?.checked_add(den)? / den.checked_mul(2)?;
    Some(magnitude * num.signum())
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
    fn shift_is_rounded_with_the_product() {
        let ms = Rational::whole(1000);
        let shifted = |num, den| pal().shifted(Rational::new(num, den).unwrap());
        // 11 ms become 11.4583 ms; 0.0417 ms more is exactly 11.5 ms
        assert_eq!(shifted(1, 24_000).ticks_between(11, ms, ms), Some(12));
        assert_eq!(shifted(-2, 1).ticks_between(480, ms, ms), Some(-1500));
        assert_eq!(shifted(-2, 1).ticks(480), Some(500), "a duration is not shifted");
        assert_eq!(shifted(i64::MAX, 1).ticks_between(i64::MAX, ms, ms), None);
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
