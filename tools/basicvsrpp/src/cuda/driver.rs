//! The CUDA driver behind safe types: devices, memory, streams, events, kernels.
//!
//! The driver is loaded when it is first asked for, so a binary runs where there is none. All that the driver refuses
//! becomes a one-line error with the device's name.

use super::image;
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
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A GPU that the driver knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number: `cuda:0` is 0.
    pub index: usize,
    /// Its name, as the maker gives it.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// Bytes of memory.
    pub memory: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory of a multiprocessor, and the most that one block may have.
    pub shared: [u32; 2],
}

impl DeviceInfo {
    /// Why the engine cannot run on it, if it cannot.
    pub fn unfit(&self) -> Option<String> {
        let (major, minor) = self.capability;
        image::architecture(self.capability).is_none().then(|| {
            format!(
                "{} has compute capability {major}.{minor}: there are kernels for 8.x, 9.0, 10.x and 12.x",
                self.name
            )
        })
    }
}

/// All GPUs, in the driver's order; empty where there is a driver and no GPU. The error says why there is no driver, or
/// what is wrong with it.
pub fn devices() -> Result<Vec<DeviceInfo>, EngineError> {
    // Loading the library, or a function that an old driver lacks, panics in cudarc. Nobody should see that.
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let answer = panic::catch_unwind(AssertUnwindSafe(probe));
    panic::set_hook(quiet);
    match answer {
        Ok(answer) => answer.map_err(EngineError::Failed),
        Err(_) => Err(EngineError::Failed(format!("{OLD}: it lacks functions of CUDA 12"))),
    }
}

const OLD: &str = "the NVIDIA driver is too old (525 or newer is needed)";

fn probe() -> Result<Vec<DeviceInfo>, String> {
    // SAFETY: tries to load the library and lets go of it again.
    if !unsafe { sys::is_culib_present() } {
        return Err("no NVIDIA driver (libcuda.so.1 was not found)".into());
    }
    let mut version = 0;
    // SAFETY: the pointer is valid for the call.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(|e| format!("the NVIDIA driver: {}", reason(e)))?;
    if version < 12000 {
        return Err(format!("{OLD}: it knows CUDA up to {}.{}", version / 1000, version % 1000 / 10));
    }
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
        Err(e) => return Err(format!("the NVIDIA driver: {}", reason(e))),
        Ok(()) => {}
    }
    let all = (|| {
        let count = result::device::get_count()?;
        (0..count)
            .map(|index| {
                use sys::CUdevice_attribute as A;
                let device = result::device::get(index)?;
                // SAFETY: `device` is what the driver gave.
                unsafe {
                    let attribute = |a| result::device::get_attribute(device, a);
                    Ok(DeviceInfo {
                        index: index as usize,
                        name: result::device::get_name(device)?,
                        capability: (
                            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
                        ),
                        memory: result::device::total_mem(device)? as u64,
                        multiprocessors: attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
                        shared: [
                            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)? as u32,
                            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)? as u32,
                        ],
                    })
                }
            })
            .collect::<Result<Vec<_>, DriverError>>()
    })();
    all.map_err(|e| format!("the NVIDIA driver: {}", reason(e)))
}

/// What the driver says of an error, in words.
fn reason(error: DriverError) -> String {
    let DriverError(code) = error;
    match code {
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => "out of memory".into(),
        sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => "no kernels for this GPU".into(),
        _ => {
            let text =
                |s: Result<&std::ffi::CStr, DriverError>| s.ok().map(|s| s.to_string_lossy().into_owned());
            match (text(error.error_string()), text(error.error_name())) {
                (Some(text), Some(name)) => format!("{text} ({name})"),
                _ => format!("error {}", code as u32),
            }
        }
    }
}

/// Time spent per label, collected where asked for.
#[derive(Debug, Default)]
struct Profile {
    label: &'static str,
    spans: Vec<(&'static str, Event, Event)>,
}

/// An opened GPU: its context, its kernels, the queues in which its work is put.
#[derive(Debug)]
pub struct Gpu {
    /// What it is.
    pub info: DeviceInfo,
    context: Arc<Context>,
    /// The loaded kernel files, each with what it was loaded from.
    modules: Vec<(Cow<'static, [u8]>, sys::CUmodule)>,
    functions: RefCell<HashMap<&'static str, sys::CUfunction>>,
    /// By `Queue`.
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

/// Work in one queue is done in its order; queues run beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Kernels and what they need.
    Compute,
    /// Results on their way to the host.
    Copy,
    /// Features on their way to the host.
    Out,
    /// Features on their way back.
    In,
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
        Ok(Pinned { start: start.cast(), bytes, context: self.context.clone() })
    }

    fn stream(&self, queue: Queue) -> sys::CUstream {
        self.streams[queue as usize]
    }

    /// Copies `data` to `at` and waits for it: for weights and tests.
    pub fn upload(&self, at: u64, data: &[u8]) -> Result<(), EngineError> {
        // SAFETY: callers pass the start of an allocation of at least this size (see the `ops` module); the copy is
        // over when the stream has been waited for.
        unsafe { result::memcpy_htod_async(at, data, self.stream(Queue::Compute)) }
            .map_err(|e| self.error("upload", e))?;
        self.wait()
    }

    /// Copies from `at` to `data` after all that has been queued: for tests.
    pub fn download(&self, at: u64, data: &mut [u8]) -> Result<(), EngineError> {
        // SAFETY: as in `upload`.
        unsafe { result::memcpy_dtoh_async(data, at, self.stream(Queue::Compute)) }
            .map_err(|e| self.error("download", e))?;
        self.wait()
    }

    /// Queues a copy from pinned memory. The caller leaves `from` alone until an event after it has passed.
    pub fn queue_upload(
        &self,
        queue: Queue,
        at: u64,
        from: &Pinned,
        bytes: usize,
    ) -> Result<(), EngineError> {
        // SAFETY: `from` is pinned and outlives the copy, as said above.
        unsafe { result::memcpy_htod_async(at, &from.bytes()[..bytes], self.stream(queue)) }
            .map_err(|e| self.error("upload", e))
    }

    /// Queues a copy to pinned memory. The caller reads `to` only when an event after it has passed.
    pub fn queue_download(
        &self,
        queue: Queue,
        to: &mut Pinned,
        at: u64,
        bytes: usize,
    ) -> Result<(), EngineError> {
        // SAFETY: `to` is pinned and outlives the copy, as said above.
        unsafe { result::memcpy_dtoh_async(&mut to.bytes_mut()[..bytes], at, self.stream(queue)) }
            .map_err(|e| self.error("download", e))
    }

    /// Fills device memory with one byte value.
    pub fn fill(&self, at: u64, value: u8, bytes: usize) -> Result<(), EngineError> {
        // SAFETY: callers pass memory of at least this size.
        unsafe { result::memset_d8_async(at, value, bytes, self.stream(Queue::Compute)) }
            .map_err(|e| self.error("fill", e))
    }

    /// Waits until all that has been queued is done; an error of any of it comes out here.
    pub fn wait(&self) -> Result<(), EngineError> {
        for &stream in &self.streams {
            // SAFETY: the streams live as long as `self`.
            unsafe { stream::synchronize(stream) }.map_err(|e| self.error("computing", e))?;
        }
        Ok(())
    }

    /// Marks this point of a queue.
    pub fn record(&self, queue: Queue) -> Result<Event, EngineError> {
        let mark = || {
            let event = Event(event::create(sys::CUevent_flags::CU_EVENT_DEFAULT)?);
            // SAFETY: both live.
            unsafe { event::record(event.0, self.stream(queue))? };
            Ok(event)
        };
        mark().map_err(|e| self.error("event", e))
    }

    /// Lets what is queued from now on wait for a mark.
    pub fn after(&self, queue: Queue, event: &Event) -> Result<(), EngineError> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live.
        unsafe { stream::wait_event(self.stream(queue), event.0, flags) }.map_err(|e| self.error("event", e))
    }

    /// Waits on the host for a mark.
    pub fn wait_for(&self, event: &Event) -> Result<(), EngineError> {
        // SAFETY: the event lives.
        unsafe { event::synchronize(event.0) }.map_err(|e| self.error("computing", e))
    }

    /// Milliseconds between two marks that have passed.
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
        let start = if self.profile.borrow().is_some() { Some(self.record(Queue::Compute)?) } else { None };
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
            hStream: self.stream(Queue::Compute),
            attrs: &mut early,
            numAttrs: u32::from(self.info.capability.0 >= 9),
        };
        // SAFETY: the caller's promise; the driver copies the arguments before it returns.
        unsafe { sys::cuLaunchKernelEx(&config, function, arguments.as_mut_ptr(), std::ptr::null_mut()) }
            .result()
            .map_err(|e| self.error(kernel, e))?;
        if let (Some(start), Some(profile)) = (start, &mut *self.profile.borrow_mut()) {
            let end = self.record(Queue::Compute)?;
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
        self.wait()?;
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
        let _ = self.wait();
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
    /// Its first byte.
    pub address: u64,
    /// Its size.
    pub bytes: usize,
    account: Arc<Account>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.account.now.fetch_sub(self.bytes as u64, Ordering::Relaxed);
        // SAFETY: allocated by `Gpu::allocate`; freeing waits for the device.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

/// Pinned host memory. It may outlive the [`Gpu`], on any thread.
#[derive(Debug)]
pub struct Pinned {
    start: *mut u8,
    bytes: usize,
    context: Arc<Context>,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Its contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this size; fresh pages are zero.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    /// Its contents.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.make_current();
        // SAFETY: allocated by `Gpu::pinned`.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}

/// A mark in a queue.
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
