//! What a sequence needs in memory, and the memory itself.

use super::{
    arguments::MAX_PAIRS,
    deform::OFFSET_PLANES,
    driver::{Gpu, Memory, Pinned},
    pack::planes,
};
use crate::{EngineError, Settings, Weights};
use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

/// Sizes of everything that depends on the frame's size.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// A feature, pixels across and down: the input frame, or a quarter of it in networks that keep the size.
    pub frame: (usize, usize),
    /// Input pixels for one pixel of a feature, across and down: 1, or 4 in networks that keep the size.
    pub stride: usize,
    /// Planes of what the strided convolutions give.
    pub strided: Vec<usize>,
    /// The size at which flows are computed.
    pub flow: (usize, usize),
    /// Planes of a feature.
    pub planes: usize,
    /// Planes of the features in the tail, between the pixel shuffles and after.
    pub tail: [usize; 2],
    /// Bytes of an element.
    pub element: usize,
    /// Rows of output frames that are computed at a time, a multiple of 4.
    pub band: usize,
    /// Pairs of frames whose flows are computed at a time.
    pub pairs: usize,
    /// Most channels of the flow network's odd and even layers.
    pub flow_channels: [usize; 2],
    /// Levels of the flow network.
    pub levels: usize,
    /// Bytes of a frame in wire order, in and out.
    pub wire: [usize; 2],
}

/// Output frames that are under way at a time.
pub const OUTPUTS: usize = 3;

/// Input frames that are on their way to the device at a time: more than the flow network takes at once.
pub const STAGED: usize = 16;

/// What is left free of a device's memory: other programs' and the driver's own.
const MARGIN: u64 = 600 << 20;

/// The most that is taken unless more is needed: the memory of the largest consumer GPUs of three generations.
const ENOUGH: u64 = 23_000_000_000;

impl Sizes {
    /// For these weights and settings.
    pub fn new(weights: &Weights, settings: &Settings, element: usize, wire: [usize; 2]) -> Self {
        let multiple = weights.spynet.multiple();
        let stride = weights.stride();
        let (w, h) = (settings.width / stride, settings.height / stride);
        let convs = || weights.spynet.levels.iter().flat_map(|level| level.iter().enumerate());
        let most = |odd: usize| {
            convs().filter(|(i, _)| i % 2 == odd).map(|(_, c)| c.cout.next_multiple_of(8)).max().unwrap_or(8)
        };
        let mut sizes = Self {
            frame: (w, h),
            stride,
            strided: weights.strided.iter().map(|conv| planes(conv.cout)).collect(),
            flow: (w.next_multiple_of(multiple), h.next_multiple_of(multiple)),
            planes: planes(weights.mid_channels),
            tail: [planes(weights.upsample1.cout / 4), planes(weights.conv_hr.cout)],
            element,
            band: 4 * h,
            pairs: 1,
            flow_channels: [most(0), most(1)],
            levels: weights.spynet.levels.len(),
            wire,
        };
        // Bands and batches that need no more than the alignment does anyway, but enough to fill a GPU.
        let room = sizes.align_bytes();
        while sizes.tail_bytes() > room && sizes.band > 64 {
            sizes.band = (sizes.band / 2).next_multiple_of(4);
        }
        while sizes.pairs < MAX_PAIRS
            && (sizes.flow_bytes(sizes.pairs + 1) <= room || sizes.flow_bytes(sizes.pairs + 1) < 64 << 20)
        {
            sizes.pairs += 1;
        }
        sizes
    }

    /// Pixels of a feature.
    pub fn pixels(&self) -> usize {
        self.frame.0 * self.frame.1
    }

    /// Bytes of a plane of a feature.
    pub fn plane(&self) -> usize {
        self.pixels() * 8 * self.element
    }

    /// Bytes of a feature.
    pub fn feature(&self) -> usize {
        self.planes * self.plane()
    }

    /// Bytes of a flow.
    pub fn flow_field(&self) -> usize {
        self.pixels() * 8
    }

    /// Scratch of the alignment and the blocks: warped features with the flows, two features, offsets.
    pub fn align_bytes(&self) -> usize {
        (self.planes + self.planes + 4 + 2 * self.planes + OFFSET_PLANES) * self.plane()
    }

    /// Scratch of the spatial features: the frame's plane, what each strided convolution gives and what is kept of
    /// that, a feature.
    pub fn spatial_bytes(&self) -> usize {
        let plane = |side: usize| side * side * self.plane();
        let strided = self.strided.iter().enumerate();
        let bytes =
            strided.map(|(i, planes)| planes * (plane(self.stride >> i) + plane(self.stride >> (i + 1))));
        plane(self.stride) + bytes.sum::<usize>() + self.feature()
    }

    /// Bytes of a row of the feature before the last two convolutions.
    pub fn wide_row(&self) -> usize {
        self.tail[1] * 4 * self.frame.0 * 8 * self.element
    }

    /// Scratch of the reconstruction: two features, the once enlarged feature, two bands at full size.
    pub fn tail_bytes(&self) -> usize {
        let band = self.band.min(4 * self.frame.1);
        2 * self.feature() + self.tail[0] * 4 * self.plane() + (2 * band + 8) * self.wide_row()
    }

    /// Scratch of the flow network for a batch of pairs.
    pub fn flow_bytes(&self, pairs: usize) -> usize {
        let pixels = self.flow.0 * self.flow.1;
        let pyramid = (pairs + 1) * pixels * 16 * 4 / 3 + 4096;
        let features = (8 + self.flow_channels[0] + self.flow_channels[1]) * self.element;
        pyramid + pairs * pixels * (features + 2 * 8) + 4096
    }

    /// All scratch.
    pub fn scratch(&self) -> usize {
        let stages =
            [self.align_bytes(), self.tail_bytes(), self.flow_bytes(self.pairs), self.spatial_bytes()];
        stages.into_iter().max().unwrap_or(0)
    }

    /// What the engine holds whatever the sequence is.
    pub fn fixed(&self) -> u64 {
        (self.scratch() + OUTPUTS * (self.wire[1] + 256)) as u64
    }

    /// Features that a sequence of `frames` has at its peak: three for every frame, the spatial ones that are kept, and
    /// those that are being worked on.
    pub fn features(frames: usize, kept: usize) -> usize {
        3 * frames + kept + 4
    }

    /// What a sequence of `frames` holds besides its features: every frame, both flows of every pair.
    pub fn motion(&self, frames: usize) -> u64 {
        let flows = 2 * frames.saturating_sub(1) + 2;
        (flows * self.flow_field() + frames * self.wire[0].next_multiple_of(256)) as u64
    }
}

/// What a sequence will need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of device memory at the peak.
    pub device_bytes: u64,
    /// Bytes of pinned host memory, without the enlarged frames that wait to be received.
    pub host_bytes: u64,
    /// Bytes of device memory that may be used; less than `device_bytes` where the sequence does not fit.
    pub available: u64,
    /// How many frames' spatial features are kept rather than computed twice.
    pub kept: usize,
    /// Features of the sequence at its peak.
    pub features: usize,
    /// How many of them are on the device; the others wait in pinned host memory.
    pub resident: usize,
    /// How many would have room there.
    pub slots: usize,
}

/// The fewest features on the device with which copies run ahead of use: those that one visit of a frame touches, and
/// those of the next.
const FEWEST: usize = 20;

impl Plan {
    /// For a sequence of `frames`; `weights` bytes are the network's own. `free` bytes of device memory are not in use
    /// by others; `limit` is the user's.
    pub fn new(sizes: &Sizes, frames: usize, weights: u64, free: u64, limit: Option<u64>) -> Self {
        let available = limit.unwrap_or(u64::MAX).min(free.saturating_sub(MARGIN));
        let rest = weights + sizes.fixed() + sizes.motion(frames);
        let feature = sizes.feature() as u64;
        let need = |features: usize| rest + features as u64 * feature;
        let room = |bytes: u64| (bytes.saturating_sub(rest) / feature) as usize;
        let kept = room(available.min(limit.unwrap_or(ENOUGH)))
            .saturating_sub(Sizes::features(frames, 0))
            .min(frames);
        let features = Sizes::features(frames, kept);
        let slots = room(available).max(FEWEST);
        let resident = features.min(slots);
        let paged = ((features - resident) * sizes.feature()) as u64;
        let host_bytes = (OUTPUTS * sizes.wire[1] + STAGED * sizes.wire[0]) as u64 + paged;
        Self { device_bytes: need(resident), host_bytes, available, kept, features, resident, slots }
    }
}

/// Pieces of memory of one size, used again and again. Since all kernels run in one stream, a piece of device memory may
/// be handed out again as soon as the last kernel that uses it has been queued.
#[derive(Debug)]
pub struct Pool<M> {
    bytes: usize,
    free: Arc<Mutex<Vec<M>>>,
}

impl<M> Pool<M> {
    /// Of pieces of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, free: Arc::default() }
    }

    fn piece(&self, new: impl FnOnce(usize) -> Result<M, EngineError>) -> Result<Piece<M>, EngineError> {
        let free = lock(&self.free).pop();
        let memory = free.map_or_else(|| new(self.bytes), Ok)?;
        Ok(Piece { memory: Some(memory), free: self.free.clone() })
    }
}

impl Pool<Memory> {
    /// A piece; its contents are undefined.
    pub fn take(&self, gpu: &Gpu) -> Result<Piece<Memory>, EngineError> {
        self.piece(|bytes| gpu.allocate(bytes))
    }
}

impl Pool<Pinned> {
    /// A piece; its contents are undefined.
    pub fn take(&self, gpu: &Gpu) -> Result<Piece<Pinned>, EngineError> {
        self.piece(|bytes| gpu.pinned(bytes))
    }
}

/// The contents of a lock that nobody holds for longer than a line.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A piece of a [`Pool`]'s, to which it returns.
#[derive(Debug)]
pub struct Piece<M> {
    memory: Option<M>,
    free: Arc<Mutex<Vec<M>>>,
}

impl<M> Deref for Piece<M> {
    type Target = M;

    fn deref(&self) -> &M {
        match &self.memory {
            Some(memory) => memory,
            None => unreachable!("given back while it is in use"),
        }
    }
}

impl<M> DerefMut for Piece<M> {
    fn deref_mut(&mut self) -> &mut M {
        match &mut self.memory {
            Some(memory) => memory,
            None => unreachable!("given back while it is in use"),
        }
    }
}

impl AsRef<[u8]> for Piece<Pinned> {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl<M> Drop for Piece<M> {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            lock(&self.free).push(memory);
        }
    }
}
