//! The rows of a node that may be asked for again: the last few, in memory that is written round and round.

use crate::ops::{PADDING, stride};
use std::{array::from_fn, ops::Range};

/// What a node holds while a band of a frame is made: rows of `u16` or of `f32`.
#[derive(Default)]
pub(crate) struct Ring {
    /// Samples across.
    pub width: usize,
    /// The rows that the band needs.
    pub wanted: Range<usize>,
    /// The row to be made next.
    pub next: usize,
    pub u16: Rows<u16>,
    pub f32: Rows<f32>,
    /// Errors of the row above, for error diffusion: `width + 2` for each channel.
    pub errors: Vec<f32>,
}

/// The last `held` rows of each channel.
#[derive(Default)]
pub(crate) struct Rows<T> {
    channels: usize,
    held: usize,
    stride: usize,
    samples: Vec<T>,
    /// Where the rows begin: on a cache line, so that no vector of a row lies on two.
    start: usize,
}

impl<T: Copy + Default> Rows<T> {
    pub fn new(channels: usize, width: usize, held: usize) -> Self {
        let stride = stride(width);
        let samples = vec![T::default(); channels * stride * held + PADDING];
        let start = samples.as_ptr().align_offset(64);
        Self { channels, held, stride, samples, start }
    }

    /// Row `y` of a channel.
    pub fn row(&self, channel: usize, y: usize) -> &[T] {
        let start = self.start + ((y % self.held) * self.channels + channel) * self.stride;
        &self.samples[start..start + self.stride]
    }

    /// Row `y` of each channel, to be written.
    pub fn row_mut(&mut self, y: usize) -> impl Iterator<Item = &mut [T]> {
        let row = self.channels * self.stride;
        let start = self.start + (y % self.held) * row;
        self.samples[start..start + row].chunks_exact_mut(self.stride)
    }

    /// The same for `N` channels; those that there are not are empty.
    pub fn channels_mut<const N: usize>(&mut self, y: usize) -> [&mut [T]; N] {
        let mut channels = self.row_mut(y);
        from_fn(|_| channels.next().unwrap_or_default())
    }

    /// Rows `rows` of a channel, to be written.
    pub fn rows_mut(&mut self, channel: usize, rows: Range<usize>) -> Vec<&mut [T]> {
        let (row, stride) = (self.channels * self.stride, self.stride);
        let channel = &mut self.samples[self.start + channel * stride..];
        let mut places: Vec<_> =
            channel.chunks_mut(row).take(self.held).map(|row| &mut row[..stride]).collect();
        places.rotate_left(rows.start % self.held);
        places.truncate(rows.len());
        places
    }
}
