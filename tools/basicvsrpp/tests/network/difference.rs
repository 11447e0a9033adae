//! How far computed values are from expected ones.

/// Largest and mean square difference of two series.
#[derive(Debug)]
pub struct Difference {
    pub max_abs: f64,
    pub mean_square: f64,
}

impl Difference {
    pub fn of(have: &[f32], want: &[f32]) -> Self {
        assert_eq!(have.len(), want.len());
        assert!(have.iter().all(|v| v.is_finite()));
        let each = || have.iter().zip(want).map(|(a, b)| f64::from(a - b).abs());
        Self {
            max_abs: each().fold(0.0, f64::max),
            mean_square: each().map(|d| d * d).sum::<f64>() / have.len() as f64,
        }
    }

    /// Peak 1, in decibels.
    pub fn psnr(&self) -> f64 {
        -10.0 * self.mean_square.log10()
    }
}

/// Little-endian float32.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}
