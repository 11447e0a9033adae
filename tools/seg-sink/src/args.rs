//! The command line.

use crate::{proof::Verify, template::Template};
use clap::Parser;
use cli::{InputArgs, RunArgs, frame_count, parse_bytes, parse_rate};
use std::{path::PathBuf, str::FromStr, time::Duration};
use timebase::{Rational, Spoken};

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
    #[arg(long)]
    pub(crate) status: bool,
    /// With --status: join the segments that are finished so far to FILE, which plays
    #[arg(long, value_name = "FILE", requires = "status")]
    pub(crate) join_so_far: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// A length of film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many frames.
    Frames(u64),
    /// As many frames as go into that time.
    Time(Duration),
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let positive =
            |n: u64| if n > 0 { Ok(Self::Frames(n)) } else { Err("at least one frame".to_owned()) };
        match text.strip_suffix('f').map(str::parse) {
            Some(Ok(frames)) => positive(frames),
            _ => humantime::parse_duration(text)
                .map(Self::Time)
                .map_err(|e| format!("{e}; a length is a time such as 10min, or frames such as 15000f")),
        }
    }
}

impl Length {
    /// In frames; `None` when there is not one in it.
    pub(crate) fn frames(self, rate: Rational) -> Option<u64> {
        match self {
            Self::Frames(n) => Some(n),
            Self::Time(time) => {
                let nanos = i128::try_from(time.as_nanos()).ok()?;
                let frames = nanos.checked_mul(rate.num().into())? / (i128::from(rate.den()) * 1_000_000_000);
                u64::try_from(frames).ok().filter(|&n| n > 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let frames = |text: &str, rate: &str| text.parse::<Length>().unwrap().frames(rate.parse().unwrap());
        assert_eq!(frames("10min", "25"), Some(15_000));
        assert_eq!(frames("15000f", "25"), Some(15_000));
        assert_eq!(frames("10min", "24000/1001"), Some(14_385));
        assert_eq!(frames("1ms", "25"), None);
        assert_eq!(frames("1h 30m", "24"), Some(129_600));
        for text in ["", "0f", "f", "-3f", "10", "ten minutes"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
