//! Checkpoint files: named tensors out of PyTorch's containers and safetensors.
//!
//! PyTorch files are read as data: the pickle in them is parsed, never executed, and a file whose pickle asks for
//! anything but tensors and plain values is refused.

mod index;

use half::{bf16, f16};
use pytorch_reader::{DType, FileFormat, PickleValue, PytorchReader};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Seek},
    path::Path,
};

/// Why a file is not a usable checkpoint, in one line: `FILE: reason`.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct CheckpointError {
    /// The file as it was given.
    pub file: String,
    /// What is wrong with it, with the numbers.
    pub reason: String,
}

/// A tensor of the checkpoint, converted to float32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Values in C order.
    pub data: Vec<f32>,
}

/// What a checkpoint file holds.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Where it came from, for messages.
    pub file: String,
    /// `torch zip`, `torch legacy`, `torch tar` or `safetensors`.
    pub container: &'static str,
    /// Size of the file.
    pub bytes: u64,
    /// What stood before the network's own tensor names, such as `state_dict.generator.`.
    pub prefix: String,
    /// Element types found, by name of the type: how many tensors have it.
    pub dtypes: BTreeMap<&'static str, usize>,
    /// What the file says about itself (`meta` of a PyTorch file, `__metadata__` of safetensors); null if nothing.
    pub meta: Value,
    /// The network's tensors under their own names, without the prefix.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Bytes that tell the containers apart: tar's magic ends there.
const HEAD: u64 = 262;

/// Tensors that only a BasicVSR++ generator has; the first that is found tells where the network is in the file.
const ANCHORS: [&str; 3] = ["spynet.mean", "conv_last.weight", "reconstruction.main.0.weight"];

impl Checkpoint {
    /// Reads a file in any of the containers; which one is told from the file's first bytes, not from its name.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let fail = |reason: String| CheckpointError { file: path.display().to_string(), reason };
        let io = |e: std::io::Error| fail(e.to_string());
        // Asked before it is opened: to open a FIFO is to wait for its writer.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(fail("not a checkpoint: not a regular file".into()));
        }
        let mut file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        if bytes == 0 {
            return Err(fail("not a checkpoint: the file is empty".into()));
        }
        let mut head = Vec::new();
        (&file).take(HEAD).read_to_end(&mut head).map_err(io)?;
        if head.get(8) == Some(&b'{') {
            // SAFETY: the mapping is read-only and everything is copied out of it before this function returns;
            // another process that truncates the file meanwhile can fault us, as with every mapped read.
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
            return Self::safetensors(&path.display().to_string(), &map);
        }
        file.rewind().map_err(io)?;
        index::check(&file, &head).map_err(|e| fail(format!("not a checkpoint: {e}")))?;
        Self::pytorch(path, bytes).map_err(fail)
    }

    /// Reads the bytes of a safetensors file; `name` is for messages.
    pub fn safetensors(name: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let fail = |reason: String| CheckpointError { file: name.into(), reason };
        let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
        if length > index::MAX_BYTES {
            let most = index::MAX_BYTES;
            return Err(fail(format!(
                "not a checkpoint: a header of {length} bytes: no network needs more than {most}"
            )));
        }
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|e| fail(safetensors_reason(&e, bytes)))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| fail(safetensors_reason(&e, bytes)))?;
        let names: Vec<String> = file.names().into_iter().map(String::from).collect();
        let prefix = network_prefix(&names).map_err(fail)?;
        let mut dtypes = BTreeMap::new();
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let Some(own) = name.strip_prefix(&prefix) else { continue };
            let dtype = match view.dtype() {
                Dtype::F64 => Element::F64,
                Dtype::F32 => Element::F32,
                Dtype::F16 => Element::F16,
                Dtype::BF16 => Element::Bf16,
                other => {
                    return Err(fail(format!("tensor {own}: elements are {other:?}, not floating point")));
                }
            };
            *dtypes.entry(dtype.name()).or_insert(0) += 1;
            tensors.insert(
                own.to_owned(),
                Tensor { shape: view.shape().to_vec(), data: dtype.to_f32(view.data()) },
            );
        }
        let meta = match header.metadata() {
            None => Value::Null,
            Some(map) => {
                let sorted: BTreeMap<_, _> = map.iter().collect();
                Value::Object(sorted.into_iter().map(|(k, v)| (k.clone(), json!(v))).collect())
            }
        };
        let bytes = bytes.len() as u64;
        Ok(Self { file: name.into(), container: "safetensors", bytes, prefix, dtypes, meta, tensors })
    }

    fn pytorch(path: &Path, bytes: u64) -> Result<Self, String> {
        let root = PytorchReader::read_pickle_data(path, None).map_err(|e| pytorch_reason(&e, bytes))?;
        if let Some(name) = foreign(&root) {
            return Err(format!(
                "refused: the pickle asks for {name}, which is neither a tensor nor a plain value"
            ));
        }
        let reader = PytorchReader::new(path).map_err(|e| pytorch_reason(&e, bytes))?;
        let container = match reader.metadata().format_type {
            FileFormat::Zip => "torch zip",
            FileFormat::Legacy => "torch legacy",
            FileFormat::Tar => "torch tar",
            FileFormat::Pickle => "pickle",
        };
        let prefix = network_prefix(&reader.keys())?;
        let mut dtypes = BTreeMap::new();
        let mut tensors = BTreeMap::new();
        for (name, tensor) in reader.tensors() {
            let Some(own) = name.strip_prefix(&prefix) else { continue };
            let dtype = match tensor.dtype() {
                DType::F64 => Element::F64,
                DType::F32 => Element::F32,
                DType::F16 => Element::F16,
                DType::BF16 => Element::Bf16,
                other => return Err(format!("tensor {own}: elements are {other:?}, not floating point")),
            };
            let raw = tensor.read().map_err(|e| e.to_string())?;
            *dtypes.entry(dtype.name()).or_insert(0) += 1;
            tensors
                .insert(own.to_owned(), Tensor { shape: tensor.shape().to_vec(), data: dtype.to_f32(&raw) });
        }
        let meta = match &root {
            PickleValue::Dict(map) => map.get("meta").map_or(Value::Null, to_json),
            _ => Value::Null,
        };
        Ok(Self { file: path.display().to_string(), container, bytes, prefix, dtypes, meta, tensors })
    }
}

/// Floating-point element types.
#[derive(Clone, Copy)]
enum Element {
    F64,
    F32,
    F16,
    Bf16,
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Little-endian bytes to float32. The readers have checked that the length is a whole number of elements.
    fn to_f32(self, raw: &[u8]) -> Vec<f32> {
        match self {
            Self::F64 => raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            Self::F32 => raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => raw.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Self::Bf16 => raw.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        }
    }
}

/// What stands before the network's tensor names. A file that carries averaged weights beside the trained ones
/// (`generator_ema.` or `params_ema.`) is meant to be run with the averaged ones.
fn network_prefix(names: &[String]) -> Result<String, String> {
    let starts = |anchor: &str| {
        let whole = |p: &&str| p.is_empty() || p.ends_with('.');
        let mut all: Vec<_> = names.iter().filter_map(|n| n.strip_suffix(anchor)).filter(whole).collect();
        all.sort_by_key(|p| (!p.contains("ema."), p.len()));
        all.first().map(|p| p.to_string())
    };
    ANCHORS.into_iter().find_map(starts).ok_or_else(|| {
        format!(
            "no BasicVSR++ in it: of {} tensors none is named {}",
            names.len(),
            ANCHORS.map(|a| format!("…{a}")).join(" or ")
        )
    })
}

/// The first thing in the pickle that is neither a tensor nor a plain value.
fn foreign(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => {
            let known = name == "int" || name.starts_with("torch.");
            (!known).then_some(name)
        }
        PickleValue::List(items) => items.iter().find_map(foreign),
        PickleValue::Dict(map) => map.values().find_map(foreign),
        _ => None,
    }
}

fn to_json(value: &PickleValue) -> Value {
    match value {
        PickleValue::None => Value::Null,
        PickleValue::Bool(b) => json!(b),
        PickleValue::Int(i) => json!(i),
        PickleValue::Float(x) => json!(x),
        PickleValue::String(s) => json!(s),
        PickleValue::List(items) => items.iter().map(to_json).collect(),
        PickleValue::Dict(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            Value::Object(sorted.into_iter().map(|(k, v)| (k.clone(), to_json(v))).collect::<Map<_, _>>())
        }
        PickleValue::Bytes(bytes) => json!(format!("{} bytes", bytes.len())),
        PickleValue::Unsupported(name) => json!(name),
    }
}

fn pytorch_reason(e: &pytorch_reader::PytorchError, bytes: u64) -> String {
    use pytorch_reader::PytorchError::{InvalidFormat, Zip};
    match e {
        InvalidFormat(why) if why.contains("extends beyond") => format!("truncated at {bytes} bytes: {why}"),
        InvalidFormat(why) => format!("not a checkpoint: {why}"),
        Zip(why) => format!("truncated at {bytes} bytes or damaged: {why}"),
        other => other.to_string(),
    }
}

fn safetensors_reason(e: &SafeTensorError, bytes: &[u8]) -> String {
    match (e, safetensors_length(bytes)) {
        (SafeTensorError::MetadataIncompleteBuffer, Some(whole)) => {
            format!("truncated: {} bytes of {whole}", bytes.len())
        }
        _ => format!("not a safetensors file: {e}"),
    }
}

/// The length that a safetensors file should have by its header.
fn safetensors_length(bytes: &[u8]) -> Option<u64> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let header = bytes.get(8..)?.get(..usize::try_from(length).ok()?)?;
    let header: Map<String, Value> = serde_json::from_slice(header).ok()?;
    let data = header.values().filter_map(|t| t["data_offsets"][1].as_u64()).max()?;
    data.checked_add(8)?.checked_add(length)
}
