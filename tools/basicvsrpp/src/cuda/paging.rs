//! Features on the device, and beyond that in pinned host memory.
//!
//! Where a sequence's features do not all fit, those that were used longest ago are copied to the host and come back ahead
//! of use, on queues of their own. The branches go through the sequence to and fro, so what was used last is needed
//! first again, and "longest ago" is the right choice. A feature never changes once it is there: one that has a copy on
//! the host leaves the device for nothing.

use super::{
    driver::{Event, Gpu, Memory, Pinned, Queue},
    memory::lock,
};
use crate::EngineError;
use std::sync::{Arc, Mutex, Weak};

/// Device memory for one feature, and the mark after which it may be written; kernels before that are in the order of
/// their queue anyway.
#[derive(Debug)]
struct Slot {
    memory: Memory,
    ready: Option<Arc<Event>>,
}

/// Host memory for one feature, and the mark after which it may be written or, with a copy in it, read.
#[derive(Debug)]
struct Copy {
    host: Pinned,
    ready: Option<Arc<Event>>,
}

#[derive(Debug, Default)]
struct Place {
    device: Option<Slot>,
    /// After this mark the device's bytes are there; only while they come back from the host.
    arriving: Option<Arc<Event>>,
    host: Option<Copy>,
    /// When it was used last.
    used: u64,
}

#[derive(Debug, Default)]
struct Free {
    slots: Vec<Slot>,
    copies: Vec<Copy>,
}

/// One feature.
#[derive(Debug)]
pub struct Feature {
    place: Arc<Mutex<Place>>,
    free: Arc<Mutex<Free>>,
}

impl Drop for Feature {
    fn drop(&mut self) {
        let mut place = lock(&self.place);
        let mut free = lock(&self.free);
        if let Some(mut slot) = place.device.take() {
            slot.ready = place.arriving.take();
            free.slots.push(slot);
        }
        free.copies.extend(place.host.take());
    }
}

/// All features of a sequence.
#[derive(Debug)]
pub struct Features {
    bytes: usize,
    /// Features that may be on the device at a time.
    most: usize,
    allocated: usize,
    free: Arc<Mutex<Free>>,
    all: Vec<Weak<Mutex<Place>>>,
    clock: u64,
}

impl Features {
    /// Of `bytes` each.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, most: usize::MAX, allocated: 0, free: Arc::default(), all: Vec::new(), clock: 0 }
    }

    /// From now on at most so many are on the device at a time. No feature is alive.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
        self.all.clear();
        let mut free = lock(&self.free);
        while self.allocated > most && free.slots.pop().is_some() {
            self.allocated -= 1;
        }
    }

    /// A new feature on the device; its contents are undefined.
    pub fn take(&mut self, gpu: &Gpu) -> Result<Feature, EngineError> {
        let mut slot = self.slot(gpu)?;
        if let Some(ready) = slot.ready.take() {
            gpu.after(Queue::Compute, &ready)?;
        }
        self.clock += 1;
        let place = Place { device: Some(slot), used: self.clock, ..Place::default() };
        let place = Arc::new(Mutex::new(place));
        self.all.retain(|p| p.strong_count() > 0);
        self.all.push(Arc::downgrade(&place));
        Ok(Feature { place, free: self.free.clone() })
    }

    /// Where a feature is on the device, for kernels that are queued next.
    pub fn address(&mut self, gpu: &Gpu, feature: &Feature) -> Result<u64, EngineError> {
        self.fetch(gpu, feature)?;
        let mut place = lock(&feature.place);
        if let Some(arriving) = place.arriving.take() {
            gpu.after(Queue::Compute, &arriving)?;
        }
        Ok(place.device.as_ref().map_or(0, |slot| slot.memory.address))
    }

    /// Lets a feature come back, if it is on the host.
    pub fn fetch(&mut self, gpu: &Gpu, feature: &Feature) -> Result<(), EngineError> {
        self.clock += 1;
        let mut place = lock(&feature.place);
        place.used = self.clock;
        if place.device.is_some() {
            return Ok(());
        }
        drop(place);
        let mut slot = self.slot(gpu)?;
        let mut place = lock(&feature.place);
        let Some(copy) = &mut place.host else {
            return Err(EngineError::Failed("a feature is neither on the device nor on the host".into()));
        };
        // Kernels that have been queued may still use the slot for another feature.
        let used = Arc::new(gpu.record(Queue::Compute)?);
        for ready in [Some(used), slot.ready.take(), copy.ready.take()].into_iter().flatten() {
            gpu.after(Queue::In, &ready)?;
        }
        gpu.queue_upload(Queue::In, slot.memory.address, &copy.host, self.bytes)?;
        let arrived = Arc::new(gpu.record(Queue::In)?);
        // Neither may be written before the copy is through.
        copy.ready = Some(arrived.clone());
        place.arriving = Some(arrived);
        place.device = Some(slot);
        Ok(())
    }

    /// Free device memory: new, or that of the feature that was used longest ago.
    fn slot(&mut self, gpu: &Gpu) -> Result<Slot, EngineError> {
        if let Some(slot) = lock(&self.free).slots.pop() {
            return Ok(slot);
        }
        if self.allocated < self.most {
            let memory = gpu.allocate(self.bytes)?;
            self.allocated += 1;
            return Ok(Slot { memory, ready: None });
        }
        let resident = self.all.iter().filter_map(Weak::upgrade).filter(|p| lock(p).device.is_some());
        let Some(oldest) = resident.min_by_key(|p| lock(p).used) else {
            return Err(EngineError::Failed("no room for a feature".into()));
        };
        let mut place = lock(&oldest);
        let Some(mut slot) = place.device.take() else {
            return Err(EngineError::Failed("no room for a feature".into()));
        };
        if place.host.is_some() {
            slot.ready = place.arriving.take();
            return Ok(slot);
        }
        // All kernels that write and read it have been queued by now.
        let used = Arc::new(gpu.record(Queue::Compute)?);
        let free = lock(&self.free).copies.pop();
        let mut copy = match free {
            Some(copy) => copy,
            None => Copy { host: gpu.pinned(self.bytes)?, ready: None },
        };
        for ready in [Some(used), copy.ready.take()].into_iter().flatten() {
            gpu.after(Queue::Out, &ready)?;
        }
        gpu.queue_download(Queue::Out, &mut copy.host, slot.memory.address, self.bytes)?;
        let gone = Arc::new(gpu.record(Queue::Out)?);
        copy.ready = Some(gone.clone());
        slot.ready = Some(gone);
        place.host = Some(copy);
        Ok(slot)
    }
}
