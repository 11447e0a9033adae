//! Feature maps: pixels of interleaved channels inside a margin of zeros.
//!
//! Every convolution pads with zeros and every warp of a feature counts zero outside, so the zeros are there in memory
//! and no inner loop asks where the picture ends. The margin is [`MARGIN`] pixels on all sides; that on the right of a
//! row is that on the left of the next.

use super::buffer::Buffer;
use simd::LANES;
use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// Pixels of zeros around a map: three for 7x7 kernels; four where blocks of 4x4 pixels overhang the picture's end.
pub const MARGIN: usize = 4;

/// Channels of `n` rounded up to whole vectors.
pub const fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// Bytes of a map.
pub fn map_bytes(stride: usize, width: usize, height: usize) -> u64 {
    (Shape { stride, width, capacity: height }.values() * size_of::<f32>()) as u64
}

/// The memory of maps. Buffers that are free again wait here, by shape; they come back with their margins still zero.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    free: Arc<Mutex<HashMap<Shape, Vec<Buffer>>>>,
    bytes: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    stride: usize,
    width: usize,
    capacity: usize,
}

impl Shape {
    /// Values of a buffer: margins, and a vector more for kernels that read whole vectors of fewer channels.
    fn values(self) -> usize {
        let pixels = (self.capacity + 2 * MARGIN) * (self.width + MARGIN) + MARGIN;
        pixels * self.stride + LANES
    }
}

impl Pool {
    /// Bytes of all maps, in use or free.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A map of `height` rows of `width` pixels of `stride` values. What is inside the margin is undefined.
    pub fn map(&self, stride: usize, width: usize, height: usize) -> Map {
        let shape = Shape { stride, width, capacity: height };
        let free = self.free.lock().ok().and_then(|mut free| free.get_mut(&shape).and_then(Vec::pop));
        let data = free.unwrap_or_else(|| {
            self.bytes.fetch_add(map_bytes(stride, width, height), Ordering::Relaxed);
            Buffer::zeros(shape.values())
        });
        Map { shape, height, top: 0, data, home: self.clone() }
    }
}

/// A feature map, or a band of its rows.
#[derive(Debug)]
pub struct Map {
    shape: Shape,
    height: usize,
    top: usize,
    data: Buffer,
    home: Pool,
}

impl Drop for Map {
    fn drop(&mut self) {
        if let Ok(mut free) = self.home.free.lock() {
            free.entry(self.shape).or_default().push(std::mem::take(&mut self.data));
        }
    }
}

impl Map {
    /// Values from one pixel to the next: the channels, rounded up.
    pub fn stride(&self) -> usize {
        self.shape.stride
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Makes the map a band that holds rows `top` to `top + height` of a taller picture. Rows after the band are zero
    /// again, as the picture may end there.
    pub fn set_band(&mut self, top: usize, height: usize) {
        assert!(height <= self.shape.capacity);
        (self.top, self.height) = (top, height);
        let end = self.index(0, height as isize);
        let margin = MARGIN * (self.shape.width + MARGIN) * self.shape.stride;
        self.data[end..end + margin].fill(0.0);
    }

    fn index(&self, x: isize, row: isize) -> usize {
        let pitch = (self.shape.width + MARGIN) as isize;
        let pixel = (row + MARGIN as isize) * pitch + x + MARGIN as isize;
        pixel as usize * self.shape.stride
    }

    /// The values of the pixels of row `row` of the map, without the margins.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[self.index(0, row as isize)..][..self.shape.width * self.shape.stride]
    }

    /// Rows in order, each with the values of its pixels, to be written in parallel.
    pub fn rows_mut(&mut self) -> Vec<&mut [f32]> {
        let values = self.shape.width * self.shape.stride;
        let pitch = (self.shape.width + MARGIN) * self.shape.stride;
        let (first, height) = (self.index(0, 0), self.height);
        self.data[first..].chunks_mut(pitch).take(height).map(|row| &mut row[..values]).collect()
    }

    /// For kernels: see [`View`].
    pub fn view(&self) -> View<'_> {
        let origin = self.data.as_ptr().wrapping_add(self.index(0, 0));
        View {
            origin,
            pitch: (self.shape.width + MARGIN) * self.shape.stride,
            stride: self.shape.stride,
            width: self.shape.width,
            top: self.top,
            bottom: self.top + self.height,
            map: PhantomData,
        }
    }

    /// For kernels: see [`Canvas`].
    pub fn canvas(&mut self) -> Canvas<'_> {
        let first = self.index(0, 0);
        let origin = self.data.as_mut_ptr().wrapping_add(first);
        Canvas {
            origin,
            pitch: (self.shape.width + MARGIN) * self.shape.stride,
            stride: self.shape.stride,
            width: self.shape.width,
            top: self.top,
            bottom: self.top + self.height,
            map: PhantomData,
        }
    }
}

/// A map as kernels read it: by pointers, margin included.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    origin: *const f32,
    /// Values from one row to the next.
    pub pitch: usize,
    /// Values from one pixel to the next.
    pub stride: usize,
    /// Pixels of a row.
    pub width: usize,
    /// The picture's row that the map begins with.
    pub top: usize,
    /// The picture's row that follows the map's last.
    pub bottom: usize,
    map: PhantomData<&'a Map>,
}

// SAFETY: a view is a shared borrow of a map's values.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl View<'_> {
    /// The values of the pixel at column `x` of the picture's row `y`. Both may lie in the margin; the pointer is good
    /// for reading from there to the end of the margin after the last row.
    ///
    /// # Safety
    /// `-MARGIN <= x < width + MARGIN` and `top - MARGIN <= y < bottom + MARGIN`.
    #[inline(always)]
    pub unsafe fn pixel(&self, x: isize, y: isize) -> *const f32 {
        debug_assert!(-(MARGIN as isize) <= x && x < (self.width + MARGIN) as isize);
        debug_assert!(self.top as isize - MARGIN as isize <= y && y < (self.bottom + MARGIN) as isize);
        let row = y - self.top as isize;
        // SAFETY: the caller's promise keeps this within the allocation.
        unsafe { self.origin.offset(row * self.pitch as isize + x * self.stride as isize) }
    }
}

/// A map as kernels write it: several at once, each its own pixels.
#[derive(Clone, Copy, Debug)]
pub struct Canvas<'a> {
    origin: *mut f32,
    /// Values from one row to the next.
    pub pitch: usize,
    /// Values from one pixel to the next.
    pub stride: usize,
    /// Pixels of a row.
    pub width: usize,
    /// The picture's row that the map begins with.
    pub top: usize,
    /// The picture's row that follows the map's last.
    pub bottom: usize,
    map: PhantomData<&'a mut Map>,
}

// SAFETY: writing goes through `pixel`, whose callers promise not to meet.
unsafe impl Send for Canvas<'_> {}
// SAFETY: as above.
unsafe impl Sync for Canvas<'_> {}

impl Canvas<'_> {
    /// The `stride` values of the pixel at column `x` of the picture's row `y`.
    ///
    /// # Safety
    /// `x < width` and `top <= y < bottom`, and no one else uses the pixel meanwhile.
    #[inline(always)]
    pub unsafe fn pixel(&self, x: usize, y: usize) -> *mut f32 {
        debug_assert!(x < self.width && self.top <= y && y < self.bottom);
        // SAFETY: the caller's promise keeps this within the allocation.
        unsafe { self.origin.add((y - self.top) * self.pitch + x * self.stride) }
    }
}
