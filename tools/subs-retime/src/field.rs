//! One time field of a file: where it stands, what it says, on which clock, and how it is spelled.

use std::{io::Write, ops::Range};
use timebase::Rational;

/// A time field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The bytes it takes up in what was scanned.
    pub at: Range<usize>,
    /// What it says, in ticks.
    pub ticks: i64,
    /// Ticks a second.
    pub clock: Rational,
    /// What the ticks mean.
    pub role: Role,
    /// How they are written.
    pub spelling: Spelling,
}

/// What a time means, which decides how it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A point on the film's clock: scaled and shifted.
    Instant,
    /// A decoding stamp: an instant, but one that a shift to before zero leaves at zero, where it means "at once".
    Decode,
    /// A stretch of time: scaled.
    Duration,
    /// The stretch that follows `After(ticks)` in a chain of them. The ends of the links are what is rounded, so that
    /// the roundings of a chain do not add up.
    After(i64),
    /// The number of a film frame. It stays when the film is slowed, for the frames stay; a shift moves it.
    Frame,
    /// Frames a second: divided where times are multiplied.
    FrameRate,
}

/// How ticks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `[-][H:]MM:SS.fff`
    Clock {
        /// Least digits of the hours; 0: there are none unless needed.
        hours: u8,
        /// What stands before the fraction.
        point: u8,
        /// Digits of the fraction; a tick is the last one.
        decimals: u8,
    },
    /// `HH:MM:SS:FF` or `HH:MM:SS:FF.S`
    Frames {
        /// Least digits of the hours.
        hours: u8,
        /// Ticks in one second.
        second: i64,
        /// Ticks in one frame.
        frame: i64,
        /// Ticks in one part of a frame, where parts are written.
        part: Option<i64>,
    },
    /// A decimal number whose last digit is a tick, without the trailing zeros that the input did not have.
    Number {
        /// Digits of the fraction.
        decimals: u8,
        /// Digits of the fraction that stay even if they are zeros.
        least: u8,
    },
    /// 32 bits, big-endian, wrapping.
    Be32,
    /// One byte of a big-endian number: `ticks >> shift`. A number may lie in two packets.
    Byte {
        /// Bits below this byte.
        shift: u8,
        /// The largest number that can be meant.
        most: i64,
    },
    /// 33 bits at 90 kHz among the marker bits of a PES header (ISO 13818-1, 2.4.3.6), wrapping.
    Pts,
    /// 33 bits at 90 kHz and the rest at 27 MHz among the marker bits of a pack header (2.5.3.3), wrapping.
    Scr,
}

const fn power_of_ten(digits: u8) -> i64 {
    10i64.pow(digits as u32)
}

/// Accepted spellings of a clock time.
#[derive(Clone, Copy, Debug)]
pub struct ClockStyle {
    /// What may stand before the fraction; the first is written where there was no fraction.
    pub points: &'static [u8],
    /// The format's own digits of a fraction: written even where the input has fewer.
    pub decimals: u8,
    /// May the hours be missing?
    pub hours_optional: bool,
}

impl Field {
    /// Reads `[-][H:]MM:SS[.fff]` at the start of `text`, which stands at byte `base`.
    pub fn clock(text: &[u8], base: usize, style: &ClockStyle) -> Option<Self> {
        let negative = text.first() == Some(&b'-');
        let mut at = usize::from(negative || text.first() == Some(&b'+'));
        let mut parts = [0i64; 3];
        let mut widths = [0usize; 3];
        let mut count = 0;
        loop {
            let (value, width) = digits(&text[at..])?;
            (parts[count], widths[count]) = (value, width);
            at += width;
            count += 1;
            if count == 3 || text.get(at) != Some(&b':') {
                break;
            }
            at += 1;
        }
        let hours = match count {
            3 => widths[0],
            2 if style.hours_optional => {
                parts = [0, parts[0], parts[1]];
                widths = [0, widths[0], widths[1]];
                0
            }
            _ => return None,
        };
        if widths[1] > 2 || widths[2] > 2 {
            return None;
        }
        let (mut point, mut fraction, mut width) = (style.points[0], 0, 0);
        if let Some(found) = text.get(at).filter(|c| style.points.contains(c)) {
            (fraction, width) = digits(&text[at + 1..])?;
            point = *found;
            at += 1 + width;
        }
        let decimals = style.decimals.max(u8::try_from(width).ok()?);
        if decimals > 12 {
            return None;
        }
        let second = power_of_ten(decimals);
        let ticks = parts[0]
            .checked_mul(3600)?
            .checked_add(parts[1] * 60 + parts[2])?
            .checked_mul(second)?
            .checked_add(fraction * power_of_ten(decimals - width as u8))?;
        Some(Self {
            at: base..base + at,
            ticks: if negative { -ticks } else { ticks },
            clock: Rational::whole(second),
            role: Role::Instant,
            spelling: Spelling::Clock { hours: u8::try_from(hours).ok()?, point, decimals },
        })
    }

    /// Reads `[-]123[.45]` at the start of `text`, which stands at byte `base`: a number of units, of which `unit` make
    /// a second. The result is written with at least `decimals` digits of precision.
    pub fn number(text: &[u8], base: usize, unit: Rational, decimals: u8, role: Role) -> Option<Self> {
        let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
        let (whole, width) = digits(&text[signed..])?;
        let mut at = signed + width;
        let (mut fraction, mut least) = (0, 0);
        if text.get(at) == Some(&b'.')
            && let Some((value, width)) = digits(&text[at + 1..])
        {
            (fraction, least) = (value, u8::try_from(width).ok()?);
            at += 1 + width;
        }
        let decimals = decimals.max(least);
        if decimals > 12 {
            return None;
        }
        let scale = power_of_ten(decimals);
        let ticks = whole.checked_mul(scale)?.checked_add(fraction * power_of_ten(decimals - least))?;
        Some(Self {
            at: base..base + at,
            ticks: if text[0] == b'-' { -ticks } else { ticks },
            clock: unit.checked_mul(Rational::whole(scale))?,
            role,
            spelling: Spelling::Number { decimals, least },
        })
    }

    /// One past its last byte.
    pub const fn end(&self) -> usize {
        self.at.end
    }

    /// The same field with another meaning.
    pub fn with_role(self, role: Role) -> Self {
        Self { role, ..self }
    }
}

/// The decimal number at the start of `text` and its length; `None` without a digit, or with more of them than 64 bits
/// hold.
fn digits(text: &[u8]) -> Option<(i64, usize)> {
    let width = text.iter().take_while(|c| c.is_ascii_digit()).count();
    (1..=18)
        .contains(&width)
        .then(|| (text[..width].iter().fold(0, |value, &c| value * 10 + i64::from(c - b'0')), width))
}

impl Spelling {
    /// Writes `ticks` in place of the bytes `was`, whose marker bits are kept.
    ///
    /// Errors: why the number does not fit the field.
    pub fn write(self, ticks: i64, was: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let sign = if ticks < 0 { "-" } else { "" };
        let size = ticks.unsigned_abs();
        match self {
            Self::Clock { hours, point, decimals } => {
                let second = power_of_ten(decimals).unsigned_abs();
                let (seconds, fraction) = (size / second, size % second);
                let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
                out.extend_from_slice(sign.as_bytes());
                if hours > 0 || h > 0 {
                    // Where there were no hours, two digits are what WebVTT asks for.
                    let width = if hours == 0 { 2 } else { hours.into() };
                    let _ = write!(out, "{h:0width$}:");
                }
                let _ = write!(out, "{m:02}:{s:02}");
                if decimals > 0 {
                    out.push(point);
                    let width = decimals.into();
                    let _ = write!(out, "{fraction:0width$}");
                }
            }
            Self::Frames { hours, second, frame, part } => {
                let [second, frame, unit] = [second, frame, part.unwrap_or(frame)].map(i64::unsigned_abs);
                // To the nearest unit; where the rate is not whole, the next second cuts a second's last frame short.
                let (mut seconds, mut units) = (size / second, (size % second + unit / 2) / unit);
                if units * unit >= second {
                    (seconds, units) = (seconds + 1, 0);
                }
                let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
                let (width, parts) = (hours.into(), frame / unit);
                let _ = write!(out, "{sign}{h:0width$}:{m:02}:{s:02}:{:02}", units / parts);
                if part.is_some() {
                    let _ = write!(out, ".{}", units % parts);
                }
            }
            Self::Number { decimals, least } => {
                let unit = power_of_ten(decimals).unsigned_abs();
                let _ = write!(out, "{sign}{}", size / unit);
                let all = format!("{:0width$}", size % unit, width = decimals.into());
                let kept = all.trim_end_matches('0').len().max(least.into());
                if kept > 0 && decimals > 0 {
                    let _ = write!(out, ".{}", &all[..kept]);
                }
            }
            Self::Be32 => out.extend_from_slice(&(ticks as u32).to_be_bytes()),
            Self::Byte { shift, most } => {
                if !(0..=most).contains(&ticks) {
                    return Err(format!("{ticks} is none of 0 to {most}, which fit here"));
                }
                out.push((ticks >> shift) as u8);
            }
            Self::Pts => {
                let mut bytes: [u8; 5] = was.try_into().map_err(|_| "not a stamp of five bytes")?;
                for (bits, mask, byte) in
                    [(29, 0x0e, 0), (22, 0xff, 1), (14, 0xfe, 2), (7, 0xff, 3), (-1, 0xfe, 4)]
                {
                    bytes[byte] = bytes[byte] & !mask | shifted(ticks, bits) & mask;
                }
                out.extend_from_slice(&bytes);
            }
            Self::Scr => {
                let mut bytes: [u8; 6] = was.try_into().map_err(|_| "not a stamp of six bytes")?;
                let (base, extension) = (ticks.div_euclid(300), ticks.rem_euclid(300));
                for (value, bits, mask, byte) in [
                    (base, 27, 0x38, 0),
                    (base, 28, 0x03, 0),
                    (base, 20, 0xff, 1),
                    (base, 12, 0xf8, 2),
                    (base, 13, 0x03, 2),
                    (base, 5, 0xff, 3),
                    (base, -3, 0xf8, 4),
                    (extension, 7, 0x03, 4),
                    (extension, -1, 0xfe, 5),
                ] {
                    bytes[byte] = bytes[byte] & !mask | shifted(value, bits) & mask;
                }
                out.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

/// `value >> bits`, or `<<` where `bits` is negative; the low byte of it.
const fn shifted(value: i64, bits: i32) -> u8 {
    if bits < 0 { (value << -bits) as u8 } else { (value >> bits) as u8 }
}

/// The 33 bits of a PES stamp.
pub const fn read_pts(b: [u8; 5]) -> i64 {
    ((b[0] as i64 >> 1 & 7) << 30)
        | ((b[1] as i64) << 22)
        | ((b[2] as i64 >> 1) << 15)
        | ((b[3] as i64) << 7)
        | (b[4] as i64 >> 1)
}

/// The stamp of an MPEG-2 pack header, in ticks of 27 MHz.
pub const fn read_scr(b: [u8; 6]) -> i64 {
    let base = ((b[0] as i64 >> 3 & 7) << 30)
        | ((b[0] as i64 & 3) << 28)
        | ((b[1] as i64) << 20)
        | ((b[2] as i64 >> 3) << 15)
        | ((b[2] as i64 & 3) << 13)
        | ((b[3] as i64) << 5)
        | (b[4] as i64 >> 3);
    base * 300 + ((b[4] as i64 & 3) << 7 | b[5] as i64 >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SRT: ClockStyle = ClockStyle { points: b",.", decimals: 3, hours_optional: false };

    fn spelled(text: &str, change: i64) -> String {
        let field = Field::clock(text.as_bytes(), 0, &SRT).unwrap();
        assert_eq!(field.end(), text.len());
        let mut out = Vec::new();
        field.spelling.write(field.ticks + change, text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn clocks() {
        assert_eq!(spelled("00:00:59,999", 1), "00:01:00,000");
        assert_eq!(spelled("99:59:59,999", 1), "100:00:00,000");
        assert_eq!(spelled("-00:00:00,500", 1), "-00:00:00,499");
        assert_eq!(spelled("0:00:01.5", 0), "0:00:01.500");
        assert_eq!(spelled("00:00:01", 0), "00:00:01,000");
        for text in
            ["", "1", "00:01", "00:00:001,0", "0:000:01,0", "00:00:01,", ":00:00", "9999999999999999:0:0"]
        {
            assert!(Field::clock(text.as_bytes(), 0, &SRT).is_none(), "{text}");
        }
    }

    #[test]
    fn stamps_keep_their_marker_bits() {
        let ones = (1i64 << 33) - 1;
        for ticks in [0, 1, 90_000, 0x1_2345_6789, ones] {
            let mut out = Vec::new();
            Spelling::Pts.write(ticks, &[0x21, 0, 1, 0, 1], &mut out).unwrap();
            let bytes: [u8; 5] = out.try_into().unwrap();
            assert_eq!(read_pts(bytes), ticks);
            assert_eq!((bytes[0] & 0xf1, bytes[2] & 1, bytes[4] & 1), (0x21, 1, 1));

            let scr = ticks * 300 + 299;
            let mut out = Vec::new();
            Spelling::Scr.write(scr, &[0x44, 0, 4, 0, 4, 1], &mut out).unwrap();
            let bytes: [u8; 6] = out.try_into().unwrap();
            assert_eq!(read_scr(bytes), scr);
            assert_eq!((bytes[0] & 0xc4, bytes[2] & 4, bytes[4] & 4, bytes[5] & 1), (0x44, 4, 4, 1));
        }
        let mut out = Vec::new();
        Spelling::Pts.write(ones + 91, &[0x21, 0, 1, 0, 1], &mut out).unwrap();
        assert_eq!(read_pts(out.try_into().unwrap()), 90, "33 bits wrap");
    }
}
