//! NVIDIA's run-time compiler, loaded where there is one: kernels to machine code of one architecture.
//!
//! The build script uses it to put the compiled kernels into the binary, the tests to check that every kernel compiles
//! for every architecture. It needs neither a GPU nor a driver.

use libloading::Library;
use std::{
    ffi::{CStr, CString, OsString, c_char, c_int, c_void},
    path::{Path, PathBuf},
};

type Program = *mut c_void;

/// The loaded compiler.
pub struct Nvrtc {
    library: Library,
}

impl Nvrtc {
    /// The compiler that `STORAGE_DIET_NVRTC` names (a library file), else the one that `scripts/setup` puts into
    /// `tools`, else what the system's loader knows. `None` where there is none.
    pub fn find(tools: &Path) -> Option<Self> {
        let named = std::env::var_os("STORAGE_DIET_NVRTC").map(PathBuf::from);
        let local = tools.join("nvrtc/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
        let system = ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"].map(PathBuf::from);
        let places: Vec<PathBuf> = match named {
            Some(file) => vec![file],
            None => [local].into_iter().chain(system).collect(),
        };
        places.into_iter().find_map(|place| {
            // SAFETY: loading NVRTC runs its initialisers only, which have no requirements.
            unsafe { Library::new(OsString::from(place)) }.ok().map(|library| Self { library })
        })
    }

    /// `major.minor` of the compiler.
    pub fn version(&self) -> String {
        let (mut major, mut minor): (c_int, c_int) = (0, 0);
        // SAFETY: the signature is NVRTC's; both pointers are valid for the call.
        let known = unsafe {
            self.library
                .get::<unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int>(b"nvrtcVersion")
                .map(|version| version(&mut major, &mut minor))
        };
        if known.is_ok() { format!("{major}.{minor}") } else { "unknown".into() }
    }

    /// Compiles `source` (its name is for messages) for `arch`, such as `sm_90a`. `headers` are name and text of the
    /// files that it includes.
    pub fn compile(
        &self,
        name: &str,
        source: &str,
        headers: &[(&str, &str)],
        arch: &str,
    ) -> Result<Vec<u8>, String> {
        let c = |s: &str| CString::new(s).map_err(|_| format!("{name}: a zero byte in the source"));
        let (text, file) = (c(source)?, c(name)?);
        let headers = headers.iter().map(|(n, t)| Ok((c(n)?, c(t)?))).collect::<Result<Vec<_>, String>>()?;
        let names: Vec<*const c_char> = headers.iter().map(|(n, _)| n.as_ptr()).collect();
        let texts: Vec<*const c_char> = headers.iter().map(|(_, t)| t.as_ptr()).collect();
        let options = [c(&format!("--gpu-architecture={arch}"))?, c("--std=c++17")?, c("-default-device")?];
        let options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let fail = |what: &str, code: c_int| format!("{name} for {arch}: {what} failed ({code})");

        // SAFETY: the signatures are NVRTC's; every string and array outlives the calls, sizes are those that NVRTC
        // reports, and the program is destroyed once, after its last use.
        unsafe {
            type Create = unsafe extern "C" fn(
                *mut Program,
                *const c_char,
                *const c_char,
                c_int,
                *const *const c_char,
                *const *const c_char,
            ) -> c_int;
            type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
            type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
            type Get = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
            type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
            let missing = |e: libloading::Error| format!("NVRTC: {e}");
            let create = self.library.get::<Create>(b"nvrtcCreateProgram").map_err(missing)?;
            let compile = self.library.get::<Compile>(b"nvrtcCompileProgram").map_err(missing)?;
            let destroy = self.library.get::<Destroy>(b"nvrtcDestroyProgram").map_err(missing)?;
            let read = |size: &[u8], get: &[u8], program: Program| {
                let size = self.library.get::<Size>(size).map_err(missing)?;
                let get = self.library.get::<Get>(get).map_err(missing)?;
                let mut count = 0;
                match size(program, &mut count) {
                    0 => {}
                    code => return Err(fail("reading the result's size", code)),
                }
                let mut bytes = vec![0u8; count];
                match get(program, bytes.as_mut_ptr().cast()) {
                    0 => Ok(bytes),
                    code => Err(fail("reading the result", code)),
                }
            };
            let mut program = std::ptr::null_mut();
            let count = names.len() as c_int;
            match create(&mut program, text.as_ptr(), file.as_ptr(), count, texts.as_ptr(), names.as_ptr()) {
                0 => {}
                code => return Err(fail("creating the program", code)),
            }
            let result = match compile(program, options.len() as c_int, options.as_ptr()) {
                0 => read(b"nvrtcGetCUBINSize", b"nvrtcGetCUBIN", program),
                code => {
                    let log = read(b"nvrtcGetProgramLogSize", b"nvrtcGetProgramLog", program)?;
                    let log = CStr::from_bytes_until_nul(&log).map(CStr::to_string_lossy).unwrap_or_default();
                    Err(format!("{}: {log}", fail("compiling", code)))
                }
            };
            destroy(&mut program);
            result
        }
    }
}
