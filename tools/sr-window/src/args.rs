//! The flags.

use crate::window::Grid;
use basicvsrpp::Precision;
use clap::Parser;
use cli::{InputArgs, OutputArgs, RunArgs, Size, ThreadArgs, frame_count, parse_bytes};
use std::{path::PathBuf, str::FromStr, time::Duration};

/// The flags that `--info`, `--devices` and `--plan` would ignore, and so refuse: of what computes, of the windows, and of
/// what flows through.
const ENGINE: [&str; 7] = ["device", "precision", "cuts", "tile", "max_memory", "engine", "engine_timeout"];
const WINDOWS: [&str; 3] = ["window", "overlap", "start"];
const STREAMS: [&str; 9] =
    ["first_frame", "size", "pix_fmt", "rate", "expect_frames", "out_pix_fmt", "format", "frames", "threads"];

/// BasicVSR++ in temporal windows: W x H frames in, one for one 4W x 4H frames out, or W x H where the checkpoint
/// keeps the size
#[derive(Parser, Clone, Debug)]
#[command(name = "sr-window", version, about)]
pub struct Args {
    /// The checkpoint: .pth or .safetensors
    #[arg(long, value_name = "FILE|builtin", default_value = "builtin", hide_default_value = true)]
    pub weights: PathBuf,
    /// Where the network runs [default: auto, the first GPU or else the CPU, said aloud]
    #[arg(long, value_name = "auto|cpu|cuda[:0[,1...]]", default_value = "auto", hide_default_value = true)]
    pub device: Device,
    /// Arithmetic of features and convolutions [default: fp16 on CUDA, fp32 on the CPU]
    #[arg(long, value_name = "fp16|fp32", value_parser = parse_precision)]
    pub precision: Option<Precision>,
    /// Frames emitted per window
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub window: u64,
    /// Context frames before and after a window, computed and thrown away
    #[arg(long, value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u64).range(..=100_000))]
    pub overlap: u64,
    /// No propagation across scene cuts [default: on]
    #[arg(long, value_name = "on|off", default_value = "on", hide_default_value = true)]
    pub cuts: Switch,
    /// Enlarge the picture in overlapping tiles of this input size
    #[arg(long, value_name = "WxH")]
    pub tile: Option<Size>,
    /// The most memory the engine may hold (of the device, or of the host for the CPU): 8GB, 20GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub max_memory: Option<u64>,
    /// Standard input begins with film frame M
    #[arg(long, value_name = "M", default_value_t = 0, hide_default_value = true, value_parser = frame_count())]
    pub first_frame: u64,
    /// Run CMD as the engine instead: the same windows around a child process that holds another model
    #[arg(long, value_name = "CMD", conflicts_with_all = ["weights", "device", "precision", "tile", "max_memory"])]
    pub engine: Option<String>,
    /// Give up on a child that neither takes nor gives a byte for so long
    #[arg(long, value_name = "DURATION", default_value = "10min", value_parser = humantime::parse_duration)]
    pub engine_timeout: Duration,
    /// Print the checkpoint as JSON, its scale (4 or 1) and sizes, and exit
    #[arg(long, conflicts_with_all = ENGINE.into_iter().chain(WINDOWS).chain(STREAMS))]
    pub info: bool,
    /// Print what there is to run on as JSON and exit
    #[arg(long, conflicts_with_all = ["info", "weights"].into_iter().chain(ENGINE).chain(WINDOWS).chain(STREAMS))]
    pub devices: bool,
    /// Print the windows of --start as JSON, with the first_frame that standard input may begin with, and exit
    #[arg(long, conflicts_with_all = ["info", "devices", "weights"].into_iter().chain(ENGINE).chain(STREAMS))]
    pub plan: bool,
    /// What standard input is.
    #[command(flatten)]
    pub input: InputArgs,
    /// What standard output is to be.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Worker threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// Flags of the process.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Where the network runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The first GPU, or else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// These GPUs, at least one.
    Cuda(Vec<usize>),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a device is auto, cpu, cuda or cuda:0,1,...".to_owned();
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(vec![0])),
            _ => {
                let list = text.strip_prefix("cuda:").ok_or_else(wrong)?;
                let numbers = list
                    .split(',')
                    .map(|n| n.parse().map_err(|_| wrong()))
                    .collect::<Result<Vec<usize>, _>>()?;
                let distinct =
                    numbers.iter().collect::<std::collections::BTreeSet<_>>().len() == numbers.len();
                if distinct { Ok(Self::Cuda(numbers)) } else { Err("a device is named twice".into()) }
            }
        }
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("on or off".into()),
        }
    }
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    match text {
        "fp16" => Ok(Precision::Fp16),
        "fp32" => Ok(Precision::Fp32),
        _ => Err("a precision is fp16 or fp32".into()),
    }
}

impl Args {
    /// `--window` and `--overlap`.
    pub fn grid(&self) -> Grid {
        Grid { window: self.window, overlap: self.overlap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        assert_eq!("cuda:0,2".parse(), Ok(Device::Cuda(vec![0, 2])));
        assert_eq!("cuda".parse(), Ok(Device::Cuda(vec![0])));
        for text in ["gpu", "cuda:", "cuda:x", "cuda:1,1", "cuda:0,"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }
}
