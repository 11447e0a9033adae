//! Numbers that begin on a cache line's boundary: vectors that straddle two lines are read and written at half speed.

use simd::LANES;
use std::ops::{Deref, DerefMut};

/// A run of numbers, aligned to vectors.
#[derive(Debug, Default)]
pub struct Buffer {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let values = vec![0.0; len + LANES - 1];
        let start = values.as_ptr().align_offset(LANES * size_of::<f32>());
        Self { values, start, len }
    }

    /// Makes it at least `len` long; what was in it is lost if it grows.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeros(len);
        }
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        let mut buffer = Self::zeros(values.len());
        buffer.copy_from_slice(&values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.len]
    }
}
