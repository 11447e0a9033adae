//! Whole jobs under hostile circumstances: robbed of power, killed, lied to by what is typed, by what films say of themselves
//! and by what lies in their folders. After each, the job ends with the film of an uninterrupted run, or with one line that
//! says what is wrong.
//!
//! `cargo test` runs a sample; `scripts/torture` (`TORTURE=full`) all of it.

mod canaries;
mod folders;
mod kills;
mod names;
mod power;

use pipelines::{Ended, Run, bin, clip, ffprobe, nearest, root, shell};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The options that are interrupted.
const OPTIONS: [&str; 5] = ["option0", "option3", "option4", "option5", "recommended"];

/// What is left of a job that is done.
const FINISHED: [&str; 4] = ["film.mkv", "job.json", "report.json", "reports"];

/// What a check has time for, or all of it.
fn sample<T>(some: T, all: T) -> T {
    if std::env::var_os("TORTURE").is_some_and(|t| t == "full") { all } else { some }
}

/// Does something with each number from 0 on, in as many threads as the machine has pairs of processors, until that says that
/// it is enough.
fn side_by_side(each: impl Fn(u64) -> bool + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while each(next.fetch_add(1, Relaxed)) {});
        }
    });
}

/// Says what a test came to; `scripts/torture` adds it up.
fn tell(name: &str, interruptions: u64) {
    println!("{name}: {interruptions} interruptions, each with the same film");
}

/// Random numbers that are the same every time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A moment within `length`.
    fn within(&mut self, length: Duration) -> Duration {
        Duration::from_millis(self.below(length.as_millis() as u64))
    }
}

/// `make TARGET NAME=VALUE…`, called from `here`.
fn make(here: &Path, target: &str, more: &[(&str, &str)]) -> Run {
    let mut run = shell("exec make --no-print-directory \"$@\"").within(here).arg("make").arg("-f");
    run = run.arg(root().join("Makefile")).arg(target).arg(format!("BIN={}", bin().display()));
    more.iter().fold(run, |run, (name, value)| run.arg(format!("{name}={value}")))
}

/// The variables of an option's film, small and fast.
fn small<'a>(source: &'a str, out: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("SRC", source),
        ("OUT", out),
        ("ENGINE", nearest()),
        ("SCALE", "64x64"),
        ("WINDOW", "8"),
        ("OVERLAP", "2"),
        ("HEIGHT", "144"),
        ("PRESET", "ultrafast"),
        ("SEGMENT", "10f"),
        ("MEZZ", "x265"),
    ]
}

/// `make OPTION` on a film, small and fast; of the variables, those in `more` are as they are there.
fn option(here: &Path, name: &str, source: &Path, out: &Path, more: &[(&str, &str)]) -> Run {
    let (source, out) = (source.to_str().unwrap(), out.to_str().unwrap());
    let mut variables = small(source, out);
    variables.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    variables.extend(more);
    make(here, name, &variables)
}

/// What two films have to have in common to be the same to whoever sees and hears them.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The MD5 of each picture.
    pictures: Vec<String>,
    /// Every packet of sound and subtitles: its stream, its times, its bytes' MD5.
    packets: Vec<String>,
    /// Of each chapter, when it is and what it is called.
    chapters: Vec<Value>,
    /// Of each stream, what it is and what it is called.
    streams: Vec<Value>,
}

impl Seen {
    fn of(film: &Path) -> Self {
        let probe = ffprobe(film);
        let all = |kind: &str, fields: &[&str]| -> Vec<Value> {
            let list = probe[kind].as_array().unwrap();
            let bare = |one: &Value| {
                // What is measured of a file, such as its statistics, may differ where the film does not.
                fields.iter().map(|field| one.pointer(field).cloned().unwrap_or_default()).collect::<Value>()
            };
            list.iter().map(bare).collect()
        };
        let streams =
            all("streams", &["/codec_type", "/codec_name", "/tags/title", "/tags/language", "/disposition"]);
        let packets = if streams.len() > 1 {
            let words = "-v error -nostdin -i \"$1\" -map 0:a? -map 0:s? -c copy -f framemd5 -";
            let ended = shell(&format!("ffmpeg {words}")).arg("ffmpeg").arg(film).run().ok();
            ended.text().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        let pictures =
            shell("ffmpeg -v error -nostdin -i \"$1\" -map 0:v:0 -fps_mode passthrough -f framemd5 -")
                .arg("ffmpeg")
                .arg(film)
                .run()
                .ok();
        let pictures = pictures.text().lines().filter(|line| !line.starts_with('#'));
        Self {
            pictures: pictures.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect(),
            packets,
            chapters: all("chapters", &["/start_time", "/end_time", "/tags/title"]),
            streams,
        }
    }
}

/// An uninterrupted run: its film, and how long it took.
struct Whole {
    seen: Seen,
    took: Duration,
}

/// The uninterrupted run of an option, made once a test process.
fn whole(name: &str) -> Arc<Whole> {
    type Once = Arc<OnceLock<Arc<Whole>>>;
    static ALL: LazyLock<Mutex<BTreeMap<String, Once>>> = LazyLock::new(Mutex::default);
    let once = Arc::clone(ALL.lock().unwrap().entry(name.to_owned()).or_default());
    let whole = once.get_or_init(|| {
        let folder = clip::folder();
        let began = Instant::now();
        option(folder.path(), name, clip::second(), folder.path(), &[]).run().ok();
        let took = began.elapsed();
        let job = folder.path().join(name);
        assert_eq!(files(&job), FINISHED);
        Arc::new(Whole { seen: Seen::of(&job.join("film.mkv")), took })
    });
    Arc::clone(whole)
}

/// The film of an option in `out` is that of the uninterrupted run, and nothing else is left.
#[track_caller]
fn is_whole(name: &str, out: &Path) {
    let job = out.join(name);
    let seen = Seen::of(&job.join("film.mkv"));
    assert!(seen == whole(name).seen, "{name}: another film: {seen:#?}");
    assert_eq!(files(&job), FINISHED, "{name}");
}

/// What lies in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Everything below a folder; links are not followed.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(below(&entry.path()));
        }
    }
    found
}

/// What was said that is not make's own `make: *** … Error 2`.
fn said(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| !line.starts_with("make: ***")).collect()
}

/// A folder with one of a job in it that was killed in the middle of its segments.
fn interrupted(name: &str) -> TempDir {
    use nix::{
        sys::signal::{Signal, killpg},
        unistd::Pid,
    };
    for _ in 0..20 {
        let out = clip::folder();
        let run = option(out.path(), name, clip::second(), out.path(), &[]).leader().start();
        // Something worth keeping: a segment, or the mezzanine of one.
        let has_chunk = || {
            let files = below(&out.path().join(name).join("segments"));
            files
                .iter()
                .map(|path| path.to_string_lossy())
                .any(|path| path.ends_with(".mkv") && !path.contains(".part"))
        };
        let film = out.path().join(name).join("film.mkv");
        while !film.exists() && !has_chunk() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = killpg(Pid::from_raw(run.id() as i32), Signal::SIGKILL);
        run.wait();
        if !film.exists() && has_chunk() {
            return out;
        }
    }
    panic!("{name}: it is always finished before it can be killed");
}
