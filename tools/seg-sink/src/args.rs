//! The command line.

use crate::{proof::Verify, template::Template};
use clap::Parser;
use cli::{InputArgs, Length, RunArgs, frame_count, parse_bytes, parse_rate};
use std::{path::PathBuf, time::Duration};
use timebase::Spoken;

/// The flags of a run, which `--status` would ignore and so refuses.
const RUN: [&str; 18] = [
    "size",
    "pix_fmt",
    "rate",
    "expect_frames",
    "output",
    "segment",
    "mezz",
    "final_",
    "jobs",
    "max_disk",
    "resume",
    "first_frame",
    "keep",
    "max_tries",
    "verify",
    "film_rate",
    "stall_timeout",
    "upstream_report",
];

/// Frames in; a finished, verified film out; never more than a bounded amount of disk
#[derive(Parser, Clone, Debug)]
#[command(name = "seg-sink", version, max_term_width = 100)]
pub struct SegSink {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// The job's folder
    #[arg(long, value_name = "DIR", required_unless_present = "completions")]
    pub(crate) dir: Option<PathBuf>,
    /// The finished film
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["status", "completions"])]
    pub(crate) output: Option<PathBuf>,
    /// Length of a segment: a time, or frames as 15000f
    #[arg(long, value_name = "LENGTH", default_value = "10min")]
    pub(crate) segment: Length,
    /// Command that writes frames from its standard input to the mezzanine {out}
    #[arg(long, value_name = "CMD")]
    pub(crate) mezz: Option<Template>,
    /// Command that writes the film's segment {out}, from the mezzanine {in} or from frames
    #[arg(long = "final", value_name = "CMD", required_unless_present_any = ["status", "completions"])]
    pub(crate) final_: Option<Template>,
    /// Segments that are finished at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
    /// The most that the job's folder may ever hold
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) max_disk: Option<u64>,
    /// Go on with the job in --dir: standard input begins with the frame that --status calls next_frame
    #[arg(long)]
    pub(crate) resume: bool,
    /// Standard input begins with film frame N; what is safe already is read and let go
    #[arg(long, value_name = "N", requires = "resume", value_parser = frame_count())]
    pub(crate) first_frame: Option<u64>,
    /// Delete neither mezzanines nor segments
    #[arg(long)]
    pub(crate) keep: bool,
    /// Times that a segment's final command may run before the job fails
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_tries: u16,
    /// What a segment must pass before its mezzanine is deleted
    #[arg(long, value_name = "count|decode", default_value = "decode")]
    pub(crate) verify: Verify,
    /// Frames a second of the film [default: what its first segment has]
    #[arg(long, value_name = "N[/D]", value_parser = parse_rate)]
    pub(crate) film_rate: Option<Spoken>,
    /// A command that takes no frame and does nothing for so long is ended
    #[arg(long, value_name = "DURATION", default_value = "10min", value_parser = humantime::parse_duration)]
    pub(crate) stall_timeout: Duration,
    /// Report of an upstream stage, which must agree with the frames that came; several in the pipeline's order
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_report: Vec<PathBuf>,
    /// Print the job in --dir as JSON
    #[arg(long, conflicts_with_all = RUN)]
    pub(crate) status: bool,
    /// With --status: join the segments that are finished so far to FILE, which plays
    #[arg(long, value_name = "FILE", requires = "status")]
    pub(crate) join_so_far: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}
