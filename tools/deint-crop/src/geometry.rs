//! How large the picture becomes and which part of it is kept.

use cli::Size;
use resample::Rect;
use std::{fmt, str::FromStr};
use timebase::Rational;

/// `--scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// To this size.
    To(Size),
    /// To square pixels: the width follows the pixel aspect.
    Sar,
    /// Not at all.
    None,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sar" => Ok(Self::Sar),
            "none" => Ok(Self::None),
            _ => {
                text.parse().map(Self::To).map_err(|_| "there are WxH (each 1 to 65536), sar and none".into())
            }
        }
    }
}

/// The width at which pixels of aspect `sar` become square, to the nearest even number.
pub fn square_width(width: usize, sar: Rational) -> usize {
    let (num, den) = (width as u128 * sar.num() as u128, 2 * sar.den() as u128);
    ((2 * num + den) / (2 * den) * 2).clamp(2, 65536) as usize
}

/// `--crop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop(pub Option<Rect>);

impl FromStr for Crop {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let numbers: Option<Vec<usize>> =
            text.split(':').map(|n| n.parse().ok().filter(|&n| n <= 65536)).collect();
        match numbers.as_deref() {
            Some(&[width, height, x, y]) if width > 0 && height > 0 => {
                Ok(Self(Some(Rect { width, height, x, y })))
            }
            _ => Err("a crop is W:H:X:Y or none".into()),
        }
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(r) => write!(f, "{}:{}:{}:{}", r.width, r.height, r.x, r.y),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pal_becomes_1024_wide() {
        let sar = |text: &str| text.parse().unwrap();
        assert_eq!(square_width(720, sar("64:45")), 1024);
        assert_eq!(square_width(704, sar("16:11")), 1024);
        assert_eq!(square_width(720, sar("16:15")), 768);
        assert_eq!(square_width(720, sar("8:9")), 640);
        assert_eq!(square_width(1, sar("1:9")), 2);
    }

    #[test]
    fn crops() {
        let rect = Rect { width: 1024, height: 432, x: 0, y: 72 };
        assert_eq!("1024:432:0:72".parse(), Ok(Crop(Some(rect))));
        assert_eq!("none".parse(), Ok(Crop(None)));
        for text in ["", "1:2:3", "0:1:0:0", "a:b:c:d", "1:1:1:1:1", "1:1:-1:0"] {
            assert!(text.parse::<Crop>().is_err(), "{text}");
        }
    }
}
