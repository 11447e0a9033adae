//! Exact rationals in lowest terms.

use crate::retime::round_half_away;
use std::{cmp::Ordering, fmt, str::FromStr};

/// A rational number in lowest terms with a positive denominator: `25/1`, `24000/1001`, `64/45`.
///
/// Written `N` when whole and `N/D` otherwise; ffprobe's spelling, always with a denominator, is
/// [`Rational::fraction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rational {
    num: i64,
    den: i64,
}

/// A rational as it was typed, and what has to be said aloud about how it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// The exact value.
    pub value: Rational,
    /// `Some("23.976 is taken as 24000/1001")` when the text was the rounded name of an NTSC rate.
    pub note: Option<String>,
}

/// Why a text is not a rational.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRationalError(String);

impl fmt::Display for ParseRationalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseRationalError {}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Rational {
    /// `num/den` in lowest terms; `None` when `den` is zero or the reduced terms do not fit 64 bits.
    pub fn new(num: i64, den: i64) -> Option<Self> {
        Self::reduce(num.into(), den.into())
    }

    /// A whole number.
    pub const fn whole(num: i64) -> Self {
        Self { num, den: 1 }
    }

    fn reduce(num: i128, den: i128) -> Option<Self> {
        if den == 0 {
            return None;
        }
        let g = gcd(num.unsigned_abs(), den.unsigned_abs()) as i128 * den.signum();
        Some(Self { num: i64::try_from(num / g).ok()?, den: i64::try_from(den / g).ok()? })
    }

    /// Numerator; carries the sign.
    pub const fn num(self) -> i64 {
        self.num
    }

    /// Denominator; at least 1.
    pub const fn den(self) -> i64 {
        self.den
    }

    /// True above zero.
    pub const fn is_positive(self) -> bool {
        self.num > 0
    }

    /// The nearest double, for display and speed estimates only.
    pub fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// `1/self`; `None` for zero.
    pub fn recip(self) -> Option<Self> {
        Self::new(self.den, self.num)
    }

    /// The exact product; `None` when it does not fit.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        Self::reduce(self.num as i128 * other.num as i128, self.den as i128 * other.den as i128)
    }

    /// The exact quotient; `None` for a zero divisor or when it does not fit.
    pub fn checked_div(self, other: Self) -> Option<Self> {
        self.checked_mul(other.recip()?)
    }

    /// The exact difference; `None` when it does not fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let wide = |a: i64, b: i64| i128::from(a) * i128::from(b);
        Self::reduce(wide(self.num, other.den) - wide(other.num, self.den), wide(self.den, other.den))
    }

    /// The exact sum; `None` when it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.checked_sub(Self { num: other.num.checked_neg()?, ..other })
    }

    /// The nearest whole number, halves away from zero.
    pub fn round(self) -> i64 {
        // A quotient of 64-bit terms fits 64 bits.
        round_half_away(self.num.into(), self.den.into()).map_or(self.num, |whole| whole as i64)
    }

    /// ffprobe's spelling, always with a denominator: `25/1`.
    pub fn fraction(self) -> String {
        format!("{}/{}", self.num, self.den)
    }

    /// Reads a rate: the bare rounded name of an NTSC rate (23.976, 23.98, 29.97, 47.952, 59.94, 119.88) is taken as
    /// the exact one, and the note says so; all else is what [`Rational::from_str`] makes of it.
    pub fn parse_rate(text: &str) -> Result<Spoken, ParseRationalError> {
        for nominal in [24, 30, 48, 60, 120] {
            let exact = nominal as f64 * 1000.0 / 1001.0;
            if (2..=5).any(|places| text == format!("{exact:.places$}"))
                && let Some(value) = Self::new(nominal * 1000, 1001)
            {
                return Ok(Spoken { value, note: Some(format!("{text} is taken as {value}")) });
            }
        }
        Ok(Spoken { value: text.parse()?, note: None })
    }
}

impl FromStr for Rational {
    type Err = ParseRationalError;

    /// Reads `25`, `24000/1001`, `24000:1001` or `29.97`, as it stands.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let err = || ParseRationalError(format!("`{text}` is not a number, N/D or N:D"));
        if let Some((n, d)) = text.split_once(['/', ':']) {
            let (n, d) = (n.trim().parse().map_err(|_| err())?, d.trim().parse().map_err(|_| err())?);
            return Self::new(n, d).ok_or_else(err);
        }
        let Some((whole, decimals)) = text.split_once('.') else {
            return Ok(Self::whole(text.trim().parse().map_err(|_| err())?));
        };
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let unsigned = whole.strip_prefix('-').unwrap_or(whole);
        if decimals.is_empty() || decimals.len() > 9 || !digits(decimals) || !digits(unsigned) {
            return Err(err());
        }
        let den = 10i64.pow(decimals.len() as u32);
        let num = format!("{whole}{decimals}").parse().map_err(|_| err())?;
        Self::new(num, den).ok_or_else(err)
    }
}

impl fmt::Display for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

impl Ord for Rational {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.num as i128 * other.den as i128).cmp(&(other.num as i128 * self.den as i128))
    }
}

impl PartialOrd for Rational {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        text.parse::<Rational>().unwrap().to_string()
    }

    #[test]
    fn reads_what_people_type() {
        assert_eq!(parsed("25"), "25");
        assert_eq!(parsed("50/2"), "25");
        assert_eq!(parsed("24000/1001"), "24000/1001");
        assert_eq!(parsed("64:45"), "64/45");
        assert_eq!(parsed("12.5"), "25/2");
        assert_eq!(parsed("-1.5"), "-3/2");
    }

    #[test]
    fn ntsc_names_of_rates_are_exact_and_said_aloud() {
        for (text, exact) in [
            ("23.976", "24000/1001"),
            ("23.98", "24000/1001"),
            ("29.97", "30000/1001"),
            ("59.94", "60000/1001"),
        ] {
            let spoken = Rational::parse_rate(text).unwrap();
            assert_eq!(spoken.value.to_string(), exact);
            assert_eq!(spoken.note.unwrap(), format!("{text} is taken as {exact}"));
        }
        assert_eq!(Rational::parse_rate("25.0").unwrap().note, None);
        assert_eq!(parsed("23.976"), "2997/125");
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "x", "1/0", "1/", "/2", "1.", ".", "1.2.3", "1e3", "nan", "9999999999999999999"] {
            assert!(Rational::parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn orders_adds_and_rounds_exactly() {
        let r = |t: &str| t.parse::<Rational>().unwrap();
        assert_eq!(r("1/6").checked_sub(r("2/3")), Some(r("-1/2")));
        assert_eq!([r("5/2").round(), r("-5/2").round(), r("7/3").round()], [3, -3, 2]);
        assert_eq!(r("1/6").checked_add(r("2/3")), Some(r("5/6")));
        assert_eq!(Rational::whole(i64::MIN).checked_sub(r("1")), None);
        assert!(r("24000/1001") < r("24") && r("1/3") < r("1/2") && r("-1/2") < r("-1/3"));
    }
}
