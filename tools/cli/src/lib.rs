//! What makes the tools one suite: flags, messages, exit codes, progress, reports, signals.
//!
//! A tool is a clap parser that implements [`Tool`]; its `main` is [`main`]`::<ItsArgs>()`. The tool's `run` returns a
//! [`Result`]; everything a process must do around it happens here, the same way in each:
//!
//! * usage errors are one line and exit 2; failures `tool: object: reason` and exit 1; torn input exits 3;
//! * a broken output pipe ends the process by SIGPIPE, without a word;
//! * SIGINT, SIGTERM and SIGHUP end it by that signal, after the report was written, unless it was started to ignore
//!   them;
//! * progress and messages go to standard error, the report to the file that `--report` names.

mod args;
mod child;
mod error;
mod files;
mod length;
mod lock;
mod process;
mod procfs;
mod progress;
mod report;
mod session;
mod signals;
mod streams;

pub use args::{
    ColorArgs, Emit, InputArgs, OutputArgs, RunArgs, Size, ThreadArgs, frame_count, parse_bytes, parse_rate,
};
pub use child::ends_with_us;
pub use error::{Error, Result, reason, shown};
pub use files::create_beside;
pub use length::Length;
pub use lock::locked;
pub use process::{Tool, main};
pub use session::Session;
pub use signals::ending_signals;
pub use streams::{Input, Output, print_line};
