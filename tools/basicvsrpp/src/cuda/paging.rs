//! Features on the device, and beyond that in pinned host memory.
//!
//! Where a sequence's features do not all fit, those that were used longest ago are copied to the host and come back ahead
//! of use, in streams of their own. The branches go through the sequence to and fro, so what was used last is needed
//! first again, and "longest ago" is the right choice. A feature never changes once it is there: one that has a copy on
//! the host leaves the device for nothing.

use super::{
    driver::{Event, Gpu, Memory, Pinned, Stream},
    memory::lock,
    view::View,
};
use crate::EngineError;
use std::{
    cell::RefCell,
    sync::{Arc, Mutex, Weak},
};

/// Device memory for one feature, and the event after which it may be written; kernels before that are in the order of
/// their stream anyway.
#[derive(Debug)]
struct Slot {
    memory: Memory,
    ready: Option<Arc<Event>>,
}

#[derive(Debug, Default)]
struct Place {
    device: Option<Slot>,
    /// After this event the device's bytes are there; only while they come back from the host.
    arriving: Option<Arc<Event>>,
    host: Option<Pinned>,
    /// When it was used last.
    used: u64,
}

#[derive(Debug, Default)]
struct Free {
    slots: Vec<Slot>,
    copies: Vec<Pinned>,
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
    free: Arc<Mutex<Free>>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    allocated: usize,
    all: Vec<Weak<Mutex<Place>>>,
    clock: u64,
}

impl Features {
    /// Of `bytes` each.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, most: usize::MAX, free: Arc::default(), state: RefCell::default() }
    }

    /// From now on at most so many are on the device at a time. No feature is alive.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
        let state = self.state.get_mut();
        state.all.clear();
        let mut free = lock(&self.free);
        while state.allocated > most && free.slots.pop().is_some() {
            state.allocated -= 1;
        }
    }

    /// A new feature on the device; its contents are undefined.
    pub fn take(&self, gpu: &Gpu) -> Result<Feature, EngineError> {
        let mut slot = self.slot(gpu)?;
        let ready = slot.ready.take();
        let mut state = self.state.borrow_mut();
        state.clock += 1;
        let place = Place { device: Some(slot), used: state.clock, ..Place::default() };
        let place = Arc::new(Mutex::new(place));
        state.all.retain(|p| p.strong_count() > 0);
        state.all.push(Arc::downgrade(&place));
        let feature = Feature { place, free: self.free.clone() };
        if let Some(ready) = ready {
            gpu.wait_event(Stream::Compute, &ready)?;
        }
        Ok(feature)
    }

    /// Where a feature is on the device, for kernels that are queued next.
    pub fn view<'a>(&'a self, gpu: &Gpu, feature: &Feature) -> Result<View<'a>, EngineError> {
        self.fetch(gpu, feature)?;
        let mut place = lock(&feature.place);
        if let Some(arriving) = place.arriving.take() {
            gpu.wait_event(Stream::Compute, &arriving)?;
        }
        match &place.device {
            Some(slot) if Arc::ptr_eq(&feature.free, &self.free) => {
                // SAFETY: a slot's memory goes from feature to feature. It is freed in `limit` or with `self`, neither of
                // which can be while `self` is borrowed.
                Ok(unsafe { View::new(slot.memory.address(), self.bytes) })
            }
            _ => Err(EngineError::Failed("a feature of another engine".into())),
        }
    }

    /// Lets a feature come back, if it is on the host.
    pub fn fetch(&self, gpu: &Gpu, feature: &Feature) -> Result<(), EngineError> {
        let mut place = lock(&feature.place);
        {
            let mut state = self.state.borrow_mut();
            state.clock += 1;
            place.used = state.clock;
        }
        if place.device.is_some() {
            return Ok(());
        }
        drop(place);
        let slot = self.slot(gpu)?;
        let mut place = lock(&feature.place);
        let Place { device, arriving, host, .. } = &mut *place;
        let slot = device.insert(slot);
        let Some(copy) = host else {
            return Err(EngineError::Failed("a feature is neither on the device nor on the host".into()));
        };
        // Kernels that have been queued may still use the slot for another feature.
        gpu.wait_event(Stream::PageIn, &gpu.record(Stream::Compute)?)?;
        if let Some(ready) = slot.ready.take() {
            gpu.wait_event(Stream::PageIn, &ready)?;
        }
        // Neither may be written before the copy is through.
        *arriving = Some(gpu.upload_async(Stream::PageIn, slot.memory.view(), copy)?);
        Ok(())
    }

    /// Free device memory: new, or that of the feature that was used longest ago.
    fn slot(&self, gpu: &Gpu) -> Result<Slot, EngineError> {
        if let Some(slot) = lock(&self.free).slots.pop() {
            return Ok(slot);
        }
        let mut state = self.state.borrow_mut();
        if state.allocated < self.most {
            let memory = gpu.allocate(self.bytes)?;
            state.allocated += 1;
            return Ok(Slot { memory, ready: None });
        }
        let resident = state.all.iter().filter_map(Weak::upgrade).filter(|p| lock(p).device.is_some());
        let Some(oldest) = resident.min_by_key(|p| lock(p).used) else {
            return Err(EngineError::Failed("no room for a feature".into()));
        };
        let mut place = lock(&oldest);
        let Place { device, arriving, host, .. } = &mut *place;
        let Some(slot) = device else {
            return Err(EngineError::Failed("no room for a feature".into()));
        };
        slot.ready = if host.is_some() {
            arriving.take()
        } else {
            // All kernels that write and read it have been queued by now.
            let used = gpu.record(Stream::Compute)?;
            let free = lock(&self.free).copies.pop();
            let copy = host.insert(free.map_or_else(|| gpu.pinned(self.bytes), Ok)?);
            gpu.wait_event(Stream::PageOut, &used)?;
            Some(gpu.download_async(Stream::PageOut, copy, slot.memory.view())?)
        };
        device.take().ok_or_else(|| EngineError::Failed("no room for a feature".into()))
    }
}
