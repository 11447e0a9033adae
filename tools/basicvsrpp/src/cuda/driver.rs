//! The CUDA driver behind safe types: memory, streams, events, kernels of one GPU.
//!
//! All that the driver refuses becomes a one-line error with the device's name.

use super::{
    devices::{DeviceInfo, devices, reason},
    image,
    view::View,
};
use crate::EngineError;
use cudarc::driver::{
    DriverError,
    result::{self, event, stream},
    sys,
};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    ffi::{CString, c_void},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Time spent per label, collected where asked for.
#[derive(Debug, Default)]
struct Profile {
    label: &'static str,
    spans: Vec<(&'static str, Event, Event)>,
}

/// An opened GPU: its context, its kernels, its streams.
#[derive(Debug)]
pub struct Gpu {
    /// What it is.
    pub info: DeviceInfo,
    context: Arc<Context>,
    /// The loaded kernel files, each with what it was loaded from.
    modules: Vec<(Cow<'static, [u8]>, sys::CUmodule)>,
    functions: RefCell<HashMap<&'static str, sys::CUfunction>>,
    /// By `Stream`.
    streams: [sys::CUstream; 4],
    in_use: Arc<Account>,
    profile: RefCell<Option<Profile>>,
}

/// A GPU's context: gone when neither the GPU nor any pinned memory of its needs it any more.
#[derive(Debug)]
struct Context {
    device: sys::CUdevice,
    handle: sys::CUcontext,
}

impl Context {
    fn make_current(&self) -> Result<(), DriverError> {
        // SAFETY: the context lives as long as `self`.
        unsafe { result::ctx::set_current(self.handle) }
    }
}

// SAFETY: handles of the driver's, which takes them from any thread, and from several at a time.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once, in `Gpu::open`. An error at the end has no one to tell.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// Bytes of device memory, now and at most.
#[derive(Debug, Default)]
struct Account {
    now: AtomicU64,
    peak: AtomicU64,
}

// SAFETY: the handles belong to the driver, which takes them from any thread once the context is current there;
// `make_current` sees to that. The cells keep `Gpu` from being shared.
unsafe impl Send for Gpu {}

/// Work in one stream is done in its order; streams run beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Kernels and what they need.
    Compute,
    /// Finished frames on their way to the host.
    Download,
    /// Features on their way to the host.
    PageOut,
    /// Features on their way back.
    PageIn,
}

impl Gpu {
    /// Opens a GPU and loads the kernels.
    pub fn open(index: usize) -> Result<Self, EngineError> {
        let all = devices()?;
        let count = all.len();
        let info = all.into_iter().nth(index).ok_or_else(|| {
            EngineError::Failed(match count {
                0 => "there is a driver but no NVIDIA GPU".to_owned(),
                _ => format!("cuda:{index}: there are {count} GPUs, cuda:0 to cuda:{}", count - 1),
            })
        })?;
        let name = format!("cuda:{index}");
        if let Some(why) = info.unfit() {
            return Err(EngineError::Failed(format!("{name}: {why}")));
        }
        let arch = image::architecture(info.capability).unwrap_or_default();
        let images = image::images(arch).map_err(|e| EngineError::Failed(format!("{name}: {e}")))?;
        let open = || {
            let device = result::device::get(index as i32)?;
            // SAFETY: `device` is the driver's; the context is released in `Context::drop`.
            let handle = unsafe { result::primary_ctx::retain(device)? };
            let context = Arc::new(Context { device, handle });
            context.make_current()?;
            let mut modules = Vec::new();
            for image in images {
                // SAFETY: an image is a whole ELF file, which says its own size.
                let module = unsafe { result::module::load_data(image.as_ptr().cast())? };
                modules.push((image, module));
            }
            Ok(Self {
                info,
                context,
                modules,
                functions: RefCell::default(),
                streams: {
                    let new = || stream::create(stream::StreamKind::NonBlocking);
                    [new()?, new()?, new()?, new()?]
                },
                in_use: Arc::default(),
                profile: RefCell::default(),
            })
        };
        open().map_err(|e: DriverError| EngineError::Failed(format!("{name}: {}", reason(e))))
    }

    fn error(&self, what: &str, error: DriverError) -> EngineError {
        let Self { info: DeviceInfo { index, name, .. }, .. } = self;
        EngineError::Failed(format!("cuda:{index} ({name}): {what}: {}", reason(error)))
    }

    /// Lets the calling thread use this GPU.
    pub fn make_current(&self) -> Result<(), EngineError> {
        self.context.make_current().map_err(|e| self.error("context", e))
    }

    /// Bytes of device memory that are free, by the driver's account.
    pub fn free_memory(&self) -> Result<u64, EngineError> {
        result::mem_get_info().map(|(free, _)| free as u64).map_err(|e| self.error("memory", e))
    }

    /// The most bytes of device memory that have been allocated here at a time.
    pub fn peak_bytes(&self) -> u64 {
        self.in_use.peak.load(Ordering::Relaxed)
    }

    /// Device memory, its contents undefined.
    pub fn allocate(&self, bytes: usize) -> Result<Memory, EngineError> {
        // SAFETY: freed once, in `Memory::drop`.
        let address = unsafe { result::malloc_sync(bytes.max(256)) }.map_err(|e| {
            let now = self.in_use.now.load(Ordering::Relaxed);
            self.error(&format!("allocating {bytes} bytes with {now} in use"), e)
        })?;
        let now = self.in_use.now.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.in_use.peak.fetch_max(now, Ordering::Relaxed);
        Ok(Memory { address, bytes, account: self.in_use.clone() })
    }

    /// Pinned host memory, which copies to and from the device run fastest with and beside other work.
    pub fn pinned(&self, bytes: usize) -> Result<Pinned, EngineError> {
        // SAFETY: freed once, in `Pinned::drop`.
        let start = unsafe { result::malloc_host(bytes.max(1), 0) }
            .map_err(|e| self.error(&format!("allocating {bytes} bytes of pinned host memory"), e))?;
        Ok(Pinned { start: start.cast(), bytes, copying: None, context: self.context.clone() })
    }

    fn stream(&self, stream: Stream) -> sys::CUstream {
        self.streams[stream as usize]
    }

    /// Device memory with these contents.
    pub fn store(&self, data: &[u8]) -> Result<Memory, EngineError> {
        let memory = self.allocate(data.len())?;
        self.upload(memory.view(), data)?;
        Ok(memory)
    }

    /// Copies `data` to the device, as much as `to` holds, and waits for it: for weights and tests.
    pub fn upload(&self, to: View, data: &[u8]) -> Result<(), EngineError> {
        let to = to.address("upload", data.len(), 1)?;
        // SAFETY: as many bytes are allocated there; the copy is over when the stream has been waited for.
        unsafe { result::memcpy_htod_async(to, data, self.stream(Stream::Compute)) }
            .map_err(|e| self.error("upload", e))?;
        self.synchronize()
    }

    /// Copies all of `from` to `data` after all that has been queued: for tests.
    pub fn download(&self, from: View, data: &mut [u8]) -> Result<(), EngineError> {
        let from = from.address("download", data.len(), 1)?;
        // SAFETY: as in `upload`.
        unsafe { result::memcpy_dtoh_async(data, from, self.stream(Stream::Compute)) }
            .map_err(|e| self.error("download", e))?;
        self.synchronize()
    }

    /// Queues a copy of the first bytes of `from`, as many as `to` has, after the last copy to or from `from`. The event
    /// comes when it is done.
    pub fn upload_async(
        &self,
        stream: Stream,
        to: View,
        from: &mut Pinned,
    ) -> Result<Arc<Event>, EngineError> {
        let bytes = to.bytes();
        let start = self.pinned_bytes(stream, from, bytes)?;
        // SAFETY: the memory has so many bytes, and lives and is left alone until the copy is done: see `Pinned`.
        let data = unsafe { std::slice::from_raw_parts(start, bytes) };
        // SAFETY: as many bytes are allocated on the device.
        unsafe { result::memcpy_htod_async(to.address("upload", bytes, 1)?, data, self.stream(stream)) }
            .map_err(|e| self.error("upload", e))?;
        self.copying(stream, from)
    }

    /// Queues a copy of all of `from` to the first bytes of `to`, after the last copy to or from `to`. The event comes when
    /// it is done.
    pub fn download_async(
        &self,
        stream: Stream,
        to: &mut Pinned,
        from: View,
    ) -> Result<Arc<Event>, EngineError> {
        let bytes = from.bytes();
        let start = self.pinned_bytes(stream, to, bytes)?;
        // SAFETY: the memory has so many bytes, and lives and is left alone until the copy is done: see `Pinned`.
        let data = unsafe { std::slice::from_raw_parts_mut(start, bytes) };
        // SAFETY: as many bytes are allocated on the device.
        unsafe { result::memcpy_dtoh_async(data, from.address("download", bytes, 1)?, self.stream(stream)) }
            .map_err(|e| self.error("download", e))?;
        self.copying(stream, to)
    }

    /// Where `bytes` bytes of pinned memory are, for a copy in a stream that waits for the copy before it.
    fn pinned_bytes(&self, stream: Stream, memory: &Pinned, bytes: usize) -> Result<*mut u8, EngineError> {
        if bytes > memory.bytes {
            let have = memory.bytes;
            return Err(EngineError::Failed(format!(
                "a copy of {bytes} bytes of {have} of pinned host memory"
            )));
        }
        if let Some(before) = &memory.copying {
            self.wait_event(stream, before)?;
        }
        Ok(memory.start)
    }

    /// Notes that a copy has been queued.
    fn copying(&self, stream: Stream, memory: &mut Pinned) -> Result<Arc<Event>, EngineError> {
        // A copy without an event is waited for at once.
        let done = self.record(stream).or_else(|e| self.synchronize().and(Err(e)))?;
        let done = Arc::new(done);
        memory.copying = Some(done.clone());
        Ok(done)
    }

    /// Waits for the last copy to or from pinned memory, after which it may be looked at.
    pub fn settle(&self, memory: &mut Pinned) -> Result<(), EngineError> {
        if let Some(done) = &memory.copying {
            self.synchronize_event(done)?;
            memory.copying = None;
        }
        Ok(())
    }

    /// Fills device memory with one byte value.
    pub fn fill(&self, memory: View, value: u8) -> Result<(), EngineError> {
        let bytes = memory.bytes();
        // SAFETY: as many bytes are allocated there.
        unsafe {
            result::memset_d8_async(
                memory.address("fill", bytes, 1)?,
                value,
                bytes,
                self.stream(Stream::Compute),
            )
        }
        .map_err(|e| self.error("fill", e))
    }

    /// Waits until all that has been queued is done; an error of any of it comes out here.
    pub fn synchronize(&self) -> Result<(), EngineError> {
        for &stream in &self.streams {
            // SAFETY: the streams live as long as `self`.
            unsafe { stream::synchronize(stream) }.map_err(|e| self.error("computing", e))?;
        }
        Ok(())
    }

    /// An event at this point of a stream.
    pub fn record(&self, stream: Stream) -> Result<Event, EngineError> {
        let record = || {
            let event = Event(event::create(sys::CUevent_flags::CU_EVENT_DEFAULT)?);
            // SAFETY: both live.
            unsafe { event::record(event.0, self.stream(stream))? };
            Ok(event)
        };
        record().map_err(|e| self.error("event", e))
    }

    /// Lets what is queued in a stream from now on wait for an event.
    pub fn wait_event(&self, stream: Stream, event: &Event) -> Result<(), EngineError> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live.
        unsafe { stream::wait_event(self.stream(stream), event.0, flags) }.map_err(|e| self.error("event", e))
    }

    /// Waits on the host for an event.
    pub fn synchronize_event(&self, event: &Event) -> Result<(), EngineError> {
        // SAFETY: the event lives.
        unsafe { event::synchronize(event.0) }.map_err(|e| self.error("computing", e))
    }

    /// Milliseconds between two events that have come.
    pub fn between(&self, start: &Event, end: &Event) -> Result<f32, EngineError> {
        // SAFETY: both live and have been recorded.
        unsafe { event::elapsed(start.0, end.0) }.map_err(|e| self.error("event", e))
    }

    fn function(&self, kernel: &'static str, shared: u32) -> Result<sys::CUfunction, EngineError> {
        if let Some(&function) = self.functions.borrow().get(kernel) {
            return Ok(function);
        }
        let name = CString::new(kernel).unwrap_or_default();
        let missing = DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND);
        // The driver is asked for nothing that is not there: checkers count that as an error.
        let section = format!(".text.{kernel}\0").into_bytes();
        let find = || {
            let holds = |image: &[u8]| image.windows(section.len()).any(|bytes| bytes == section);
            let (_, module) = self.modules.iter().find(|(image, _)| holds(image)).ok_or(missing)?;
            // SAFETY: the modules live as long as `self`.
            let function = unsafe { result::module::get_function(*module, name.clone())? };
            if shared > 0 {
                let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                // SAFETY: the function has just been found.
                unsafe {
                    result::function::set_function_attribute(function, most, self.info.shared[1] as i32)?
                };
            }
            Ok(function)
        };
        let function = find().map_err(|e| self.error(kernel, e))?;
        self.functions.borrow_mut().insert(kernel, function);
        Ok(function)
    }

    /// Queues a kernel. `shared` is its dynamic shared memory in bytes; a kernel has none always or never.
    ///
    /// From sm_90 on it may start while the kernel before it ends: see `after_previous` in `tensor.cuh`.
    ///
    /// # Safety
    /// `arguments` point to values of the types of the kernel's parameters, and every address in them is that of
    /// device memory as large as the kernel takes it to be, which is not freed before the kernel has run.
    pub unsafe fn launch(
        &self,
        kernel: &'static str,
        grid: [usize; 3],
        threads: u32,
        shared: u32,
        arguments: &[*const c_void],
    ) -> Result<(), EngineError> {
        let function = self.function(kernel, shared)?;
        let mut arguments: Vec<*mut c_void> = arguments.iter().map(|a| a.cast_mut()).collect();
        let start = if self.profile.borrow().is_some() { Some(self.record(Stream::Compute)?) } else { None };
        let mut early = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: grid[0] as u32,
            gridDimY: grid[1] as u32,
            gridDimZ: grid[2] as u32,
            blockDimX: threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shared,
            hStream: self.stream(Stream::Compute),
            attrs: &mut early,
            numAttrs: u32::from(self.info.capability.0 >= 9),
        };
        // SAFETY: the caller's promise; the driver copies the arguments before it returns.
        unsafe { sys::cuLaunchKernelEx(&config, function, arguments.as_mut_ptr(), std::ptr::null_mut()) }
            .result()
            .map_err(|e| self.error(kernel, e))?;
        if let (Some(start), Some(profile)) = (start, &mut *self.profile.borrow_mut()) {
            let end = self.record(Stream::Compute)?;
            let label = if profile.label.is_empty() { kernel } else { profile.label };
            profile.spans.push((label, start, end));
        }
        Ok(())
    }

    /// From now on the time of every kernel is measured (or no longer); what has been measured is forgotten.
    pub fn profile(&self, on: bool) {
        *self.profile.borrow_mut() = on.then(Profile::default);
    }

    /// The stage to which the kernels that follow belong; the empty label stands for the kernels' own names.
    pub fn stage(&self, label: &'static str) {
        if let Some(profile) = &mut *self.profile.borrow_mut() {
            profile.label = label;
        }
    }

    /// Milliseconds and kernels per label since [`profile`](Self::profile), in the order of their first use.
    pub fn profiled(&self) -> Result<Vec<(&'static str, f64, usize)>, EngineError> {
        self.synchronize()?;
        let mut all: Vec<(&'static str, f64, usize)> = Vec::new();
        for (label, start, end) in self.profile.borrow().iter().flat_map(|p| &p.spans) {
            let ms = f64::from(self.between(start, end)?);
            match all.iter_mut().find(|(l, ..)| l == label) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + ms, *count + 1),
                None => all.push((label, ms, 1)),
            }
        }
        Ok(all)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let _ = self.make_current();
        let _ = self.synchronize();
        *self.profile.borrow_mut() = None;
        // SAFETY: nothing uses the handles any more. Errors at the end have no one to tell.
        unsafe {
            for (_, module) in &self.modules {
                let _ = result::module::unload(*module);
            }
            for &stream in &self.streams {
                let _ = stream::destroy(stream);
            }
        }
    }
}

/// Device memory.
#[derive(Debug)]
pub struct Memory {
    address: u64,
    bytes: usize,
    account: Arc<Account>,
}

impl Memory {
    /// All of it.
    pub fn view(&self) -> View<'_> {
        // SAFETY: allocated with this size, and freed only when `self` is dropped.
        unsafe { View::new(self.address, self.bytes) }
    }

    /// Where it is, for kernels whose weights it holds.
    pub(super) fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.account.now.fetch_sub(self.bytes as u64, Ordering::Relaxed);
        // SAFETY: allocated by `Gpu::allocate`; freeing waits for the device.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

/// Pinned host memory. It may outlive the [`Gpu`], on any thread. While a copy to or from it is under way nobody looks at
/// it and it is not freed: [`Gpu::settle`] comes first.
#[derive(Debug)]
pub struct Pinned {
    start: *mut u8,
    bytes: usize,
    /// Comes after the last copy, unless that has been waited for.
    copying: Option<Arc<Event>>,
    context: Arc<Context>,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for Pinned {}
// SAFETY: behind a shared reference it is only read.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Its contents.
    ///
    /// # Panics
    /// If a copy has not been waited for.
    pub fn bytes(&self) -> &[u8] {
        assert!(self.copying.is_none(), "pinned memory is read during a copy");
        // SAFETY: allocated with this size; fresh pages are zero.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    /// Its contents.
    ///
    /// # Panics
    /// If a copy has not been waited for.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(self.copying.is_none(), "pinned memory is written during a copy");
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.make_current();
        if let Some(done) = &self.copying {
            // SAFETY: the event lives.
            let _ = unsafe { event::synchronize(done.0) };
        }
        // SAFETY: allocated by `Gpu::pinned`, and no copy is under way.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}

/// A point in a stream.
#[derive(Debug)]
pub struct Event(sys::CUevent);

// SAFETY: a handle of the driver's, which may be used from any thread, and from several at a time.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: destroyed once; the driver waits for pending uses.
        let _ = unsafe { event::destroy(self.0) };
    }
}
