//! What a run of a job took, in its folder's `report.json`, however it ended.

use crate::{
    disk::Disk,
    folder::{Folder, REPORTS},
    record::Record,
};
use cli::{Error, Result};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike,
    },
    unistd::{SysconfVar, sysconf},
};
use serde_json::{Value, json};
use std::{fs, time::Instant};

/// Time so far: on the wall, of the processors, and of all processors since the machine was started.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    began: Instant,
    ours_s: f64,
    all: Processors,
}

/// Ticks of all processors since the machine was started.
#[derive(Clone, Copy, Debug)]
struct Processors {
    all: u64,
    idle: u64,
}

impl Processors {
    /// From `/proc/stat`; `None` where there is none.
    fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<u64> =
            stat.lines().next()?.split_whitespace().skip(1).take(8).filter_map(|n| n.parse().ok()).collect();
        Some(Self { all: ticks.iter().sum(), idle: ticks.get(3)? + ticks.get(4)? })
    }
}

impl Clocks {
    /// From now on.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            ours_s: ours(),
            all: Processors::now().unwrap_or(Processors { all: 0, idle: 0 }),
        }
    }

    /// Seconds on the wall.
    pub fn wall_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Seconds of processor time that this process and everything that it has waited for took.
    pub fn cpu_s(&self) -> f64 {
        ours() - self.ours_s
    }

    /// The share of the processors that other work, on this machine or beside it on its host, has had.
    pub fn elsewhere(&self) -> f64 {
        let Some(now) = Processors::now() else { return 0.0 };
        let hz = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
        let (all, idle) = ((now.all - self.all.all) as f64, (now.idle - self.all.idle) as f64);
        if all > 0.0 { ((all - idle - self.cpu_s() * hz) / all).max(0.0) } else { 0.0 }
    }
}

fn ours() -> f64 {
    let of = |who| {
        getrusage(who).map_or(0.0, |u| (u.user_time() + u.system_time()).num_microseconds() as f64 / 1e6)
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

/// The processor and how many cores of it there are.
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.map_or("unknown processor", |(_, name)| name))
}

/// How a run of a job ended, and what it took.
pub struct Ending<'a> {
    /// The film, or why there is none.
    pub made: Result<()>,
    /// Was there something made before?
    pub is_resumed: bool,
    /// What was on the disk meanwhile.
    pub disk: &'a Disk,
    /// Since the run began.
    pub clocks: Clocks,
}

/// Writes `report.json`. `film` is the name of what the job makes.
pub fn write(
    folder: &Folder,
    record: &Record,
    first_frame: u64,
    film: &str,
    ending: Ending<'_>,
) -> Result<()> {
    let Ending { made, is_resumed, disk, clocks } = ending;
    let kinds = disk.peaks();
    let bytes = folder.path(film).metadata().map(|meta| meta.len()).ok();
    let (finished, code) = (record.finished.as_ref(), made.as_ref().err().map_or(0, Error::exit_code));
    folder.write(
        "report.json",
        &json!({
            "option": record.option,
            "status": if made.is_ok() { "ok" } else { "failed" },
            "exit_code": code,
            "error": made.err().map(|e| e.to_string()),
            "first_frame": first_frame,
            "frames": finished.map(|film| film.frames),
            "wall_s": clocks.wall_s(),
            "cpu_s": clocks.cpu_s(),
            "elsewhere": clocks.elsewhere(),
            "resumed": is_resumed,
            "machine": machine(),
            "peak_bytes": disk.peak(),
            "files_bytes": { "pre": kinds.pre, "mezz": kinds.mezz, "video": finished.map(|film| film.video_bytes), "final": bytes },
            "final_bytes": bytes,
            "settings": record.settings,
            "stages": stages(folder),
        }),
    )
}

/// The stages' own reports.
fn stages(folder: &Folder) -> Vec<Value> {
    let mut files: Vec<_> =
        fs::read_dir(folder.path(REPORTS)).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    files.iter().filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect()
}
