//! How long a piece of film is.

use std::{str::FromStr, time::Duration};
use timebase::Rational;

/// A length of film, as it is typed: a time such as `10min`, or frames such as `15000f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many frames; at least one.
    Frames(u64),
    /// As many frames as go into that time.
    Time(Duration),
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let positive =
            |n: u64| if n > 0 { Ok(Self::Frames(n)) } else { Err("at least one frame".to_owned()) };
        match text.strip_suffix('f').map(str::parse) {
            Some(Ok(frames)) => positive(frames),
            _ => humantime::parse_duration(text)
                .map(Self::Time)
                .map_err(|e| format!("{e}; a length is a time such as 10min, or frames such as 15000f")),
        }
    }
}

impl Length {
    /// In whole frames of a film of `rate` frames a second; `None` when there is not one in it.
    pub fn frames(self, rate: Rational) -> Option<u64> {
        match self {
            Self::Frames(n) => Some(n),
            Self::Time(time) => {
                let nanos = i128::try_from(time.as_nanos()).ok()?;
                let frames = nanos.checked_mul(rate.num().into())? / (i128::from(rate.den()) * 1_000_000_000);
                u64::try_from(frames).ok().filter(|&n| n > 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let frames = |text: &str, rate: &str| text.parse::<Length>().unwrap().frames(rate.parse().unwrap());
        assert_eq!(frames("10min", "25"), Some(15_000));
        assert_eq!(frames("15000f", "25"), Some(15_000));
        assert_eq!(frames("10min", "24000/1001"), Some(14_385));
        assert_eq!(frames("1ms", "25"), None);
        assert_eq!(frames("1h 30m", "24"), Some(129_600));
        assert_eq!(frames("1.5h", "25"), Some(135_000));
        for text in ["", "0f", "f", "-3f", "10", "ten minutes", "1.h", "1h x", "1hourly"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
