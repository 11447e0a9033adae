//! Interpolation kernels: the weight of a sample at distance `x` (in samples) from the wanted position.

use std::{f64::consts::PI, fmt, str::FromStr};

/// An interpolation kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// The two-parameter family of Mitchell and Netravali; Catmull-Rom is `b = 0, c = 0.5`.
    Bicubic {
        /// Blur.
        b: f64,
        /// Ringing.
        c: f64,
    },
    /// Cubic spline through four samples.
    Spline16,
    /// Cubic spline through six samples.
    Spline36,
    /// Windowed sinc with `taps` lobes on each side.
    Lanczos {
        /// Lobes on each side, 1 to 16.
        taps: u32,
    },
}

impl Kernel {
    /// Catmull-Rom, zimg's default among the bicubics.
    pub const BICUBIC: Self = Self::Bicubic { b: 0.0, c: 0.5 };
    /// Lanczos with three lobes, zimg's and ffmpeg's default.
    pub const LANCZOS: Self = Self::Lanczos { taps: 3 };

    /// Weights are zero from this distance on.
    pub fn support(self) -> u32 {
        match self {
            Self::Bicubic { .. } | Self::Spline16 => 2,
            Self::Spline36 => 3,
            Self::Lanczos { taps } => taps,
        }
    }

    /// The weight at distance `x`.
    pub fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        if x >= f64::from(self.support()) {
            return 0.0;
        }
        // The bicubics with their powers written out, the splines by Horner's rule: so their last bits are zimg's.
        let (x2, x3) = (x * x, x * x * x);
        match self {
            Self::Bicubic { b, c } if x < 1.0 => {
                (6.0 - 2.0 * b) / 6.0
                    + (-18.0 + 12.0 * b + 6.0 * c) / 6.0 * x2
                    + (12.0 - 9.0 * b - 6.0 * c) / 6.0 * x3
            }
            Self::Bicubic { b, c } => {
                (8.0 * b + 24.0 * c) / 6.0
                    + (-12.0 * b - 48.0 * c) / 6.0 * x
                    + (6.0 * b + 30.0 * c) / 6.0 * x2
                    + (-b - 6.0 * c) / 6.0 * x3
            }
            Self::Spline16 => {
                spline(x, &[[1.0, -1.0 / 5.0, -9.0 / 5.0, 1.0], [0.0, -7.0 / 15.0, 4.0 / 5.0, -1.0 / 3.0]])
            }
            Self::Spline36 => spline(
                x,
                &[
                    [1.0, -3.0 / 209.0, -453.0 / 209.0, 13.0 / 11.0],
                    [0.0, -156.0 / 209.0, 270.0 / 209.0, -6.0 / 11.0],
                    [0.0, 26.0 / 209.0, -45.0 / 209.0, 1.0 / 11.0],
                ],
            ),
            Self::Lanczos { taps } => sinc(x) * sinc(x / f64::from(taps)),
        }
    }
}

/// The piece of the spline that holds `x`; each piece is a cubic in the distance from its own left end.
fn spline(x: f64, pieces: &[[f64; 4]]) -> f64 {
    let [a, b, c, d] = pieces[x as usize];
    let x = x.fract();
    ((d * x + c) * x + b) * x + a
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(':');
        let name = words.next().unwrap_or_default();
        let numbers: Vec<f64> = words
            .map(|w| w.parse().ok().filter(|n: &f64| n.is_finite()))
            .collect::<Option<_>>()
            .ok_or("a kernel's parameters are numbers")?;
        match (name, numbers.as_slice()) {
            ("bicubic", []) => Ok(Self::BICUBIC),
            // Beyond these its weights would not fit the integers that they are stored in.
            ("bicubic", &[b, c]) if [b, c].iter().all(|n| (0.0..=1.0).contains(n)) => Ok(Self::Bicubic { b, c }),
            ("spline16", []) => Ok(Self::Spline16),
            ("spline36", []) => Ok(Self::Spline36),
            ("lanczos", []) => Ok(Self::LANCZOS),
            ("lanczos", &[taps]) if (1.0..=16.0).contains(&taps) && taps.fract() == 0.0 => {
                Ok(Self::Lanczos { taps: taps as u32 })
            }
            _ => Err("unknown kernel; there are bicubic[:B:C] (0 to 1), spline16, spline36 and lanczos[:TAPS] (1 to 16)"
                .into()),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BICUBIC => f.write_str("bicubic"),
            Self::Bicubic { b, c } => write!(f, "bicubic:{b}:{c}"),
            Self::Spline16 => f.write_str("spline16"),
            Self::Spline36 => f.write_str("spline36"),
            Self::LANCZOS => f.write_str("lanczos"),
            Self::Lanczos { taps } => write!(f, "lanczos:{taps}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interpolator passes through the samples, and its weights at any position sum to one (lanczos nearly so).
    #[test]
    fn interpolates() {
        for kernel in [Kernel::BICUBIC, Kernel::Spline16, Kernel::Spline36, Kernel::LANCZOS] {
            assert_eq!(kernel.weight(0.0), 1.0);
            for n in 1..4 {
                assert!(kernel.weight(f64::from(n)).abs() < 1e-15, "{kernel} at {n}");
            }
            for shift in 0..100 {
                let at = f64::from(shift) / 100.0;
                let sum: f64 = (-3..=3).map(|n| kernel.weight(f64::from(n) - at)).sum();
                assert!((sum - 1.0).abs() < 0.01, "{kernel} {at} {sum}");
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for text in ["bicubic", "bicubic:0.3:0.3", "spline16", "spline36", "lanczos", "lanczos:4"] {
            assert_eq!(text.parse::<Kernel>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "cubic",
            "lanczos:0",
            "lanczos:2.5",
            "bicubic:1",
            "bicubic:a:b",
            "bicubic:0:1.1",
            "lanczos:nan",
        ] {
            assert!(text.parse::<Kernel>().is_err(), "{text}");
        }
    }
}
