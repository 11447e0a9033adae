//! seg-sink under torture: killed at random and at every change it makes to the disk, robbed of power, of space and of
//! its children, lied to, its chunks deleted. After each, `--resume` must end with the film of an uninterrupted run.
//!
//! Every frame carries its number and the encoders are lossless, so what was lost or doubled can be counted.
//! `cargo test` runs a sample; `scripts/torture` (`TORTURE=full`) all of it.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pipelines::bin;
use serde_json::Value;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const FRAME: usize = 16 * 16 * 3 / 2;
const SEGMENT: u64 = 4;

const FFV1: &str =
    "ffmpeg -v error -f rawvideo -s {size} -pix_fmt {pix_fmt} -r {rate} -i - -c:v ffv1 -g 1 {out}";
const FROM_MEZZ: &str = "ffmpeg -v error -i {in} -c:v ffv1 -g 1 {out}";

const MEZZ: &[&str] = &["--mezz", FFV1, "--final", FROM_MEZZ];
const DIRECT: &[&str] = &["--final", FFV1];

/// The cheapest encoder: YUV4MPEG2 kept as it comes, which ffmpeg knows by its first bytes. For what is done so often that
/// starting encoders would take most of the time.
const COPIED_MEZZ: &[&str] = &["--mezz", "cp /dev/stdin {out}", "--final", "cp {in} {out}"];
const COPIED: &[&str] = &["--final", "cp /dev/stdin {out}"];

thread_local! {
    /// Interruptions, frames lost, frames doubled in the test of this thread.
    static TALLY: Cell<(u64, u64, u64)> = const { Cell::new((0, 0, 0)) };
}

/// What a check has time for, or all of it.
fn sample(some: u64, all: u64) -> u64 {
    if std::env::var_os("TORTURE").is_some_and(|t| t == "full") { all } else { some }
}

/// Frames `range`: each begins with its number; the rest is noise that it determines.
fn frames(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in range {
        bytes.extend_from_slice(&n.to_le_bytes());
        let mut chance = Chance(n + 1);
        bytes.extend((8..FRAME).map(|_| chance.below(256) as u8));
    }
    bytes
}

/// The same as YUV4MPEG2.
fn y4m(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W16 H16 F24:1 Ip A1:1 C420mpeg2\n".to_vec();
    for frame in frames(range).chunks(FRAME) {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(frame);
    }
    bytes
}

/// Random numbers that are the same every time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }
}

/// How a run ended.
struct Ended {
    code: i32,
    stderr: String,
}

/// A job on a film of `length` frames.
struct Job {
    folder: TempDir,
    flags: Vec<String>,
    length: u64,
    /// What was safe when it was last looked at.
    safe: (u64, u64),
}

impl Job {
    fn new(flags: &[&str], length: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("torture-").tempdir().unwrap();
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        Self { folder, flags, length, safe: (0, 0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(bin().join("seg-sink"));
        command.current_dir(self.folder.path()).args(["--dir", "job"]);
        command
    }

    /// `--status`; nothing yet where there is no folder.
    fn status(&self) -> Value {
        if !self.path("job").exists() {
            return serde_json::json!({ "next_frame": 0, "frames_done": 0, "state": "empty" });
        }
        let output = self.command().arg("--status").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What is safe never becomes less: nothing was deleted before what was made of it was safe.
    fn check_safe(&mut self) -> u64 {
        let status = self.status();
        let now = (status["next_frame"].as_u64().unwrap(), status["frames_done"].as_u64().unwrap());
        assert!(
            now.0 >= self.safe.0 && now.1 >= self.safe.1,
            "{now:?} are safe; {:?} were before",
            self.safe
        );
        self.safe = now;
        now.0
    }

    /// Starts a run whose input begins where `--status` says.
    fn start(&mut self, more: &[&str], variables: &[(&str, String)]) -> Child {
        let next = self.check_safe();
        let mut command = self.command();
        command.args(["-o", "film.mkv", "-s", "16x16", "-p", "yuv420p", "-r", "24", "--resume"]);
        command.args(["--segment", &format!("{SEGMENT}f"), "--expect-frames", &self.length.to_string()]);
        command.args(&self.flags).args(more).envs(variables.iter().cloned());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let wanted = next..self.length.max(next);
        let is_copied = self.flags.iter().any(|f| f.starts_with("cp "));
        let input = if is_copied { y4m(wanted) } else { frames(wanted) };
        thread::spawn(move || pipe.write_all(&input));
        child
    }

    /// Runs to the film, which must be the one of an uninterrupted run.
    fn finish(&mut self) {
        let run = ended(self.start(&[], &[]));
        assert_eq!(run.code, 0, "{}", run.stderr);
        self.compare();
    }

    fn compare(&self) {
        let decoded = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(self.path("film.mkv"))
            .args(["-f", "rawvideo", "-"])
            .output()
            .unwrap();
        let mut seen = BTreeMap::new();
        for frame in decoded.stdout.chunks(FRAME) {
            let number = u64::from_le_bytes(frame[..8].try_into().unwrap());
            *seen.entry(number).or_insert(0u64) += 1;
        }
        let lost = (0..self.length).filter(|n| !seen.contains_key(n)).count() as u64;
        let doubled: u64 = seen.values().map(|times| times - 1).sum();
        let (interruptions, ..) = TALLY.get();
        TALLY.set((interruptions, lost, doubled));
        assert_eq!((lost, doubled), (0, 0), "frames lost and doubled");
        assert!(
            decoded.stdout == frames(0..self.length),
            "another film: {:?}",
            seen.keys().collect::<Vec<_>>()
        );
        assert_eq!(self.status()["state"], "done");
    }

    /// No process that knows this job's folder is left.
    fn check_orphans(&self) {
        let begun = Instant::now();
        loop {
            let left = self.children();
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "left behind: {left:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Processes that have this job's folder on their command line: the commands of a run.
    fn children(&self) -> Vec<i32> {
        let output = Command::new("pgrep").args(["-f", "--"]).arg(self.path("job/")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(|l| l.parse().unwrap()).collect()
    }

    /// Proved chunks.
    fn chunks(&self) -> Vec<PathBuf> {
        let folders = ["job/mezz", "job/final"].map(|f| self.path(f));
        let files =
            folders.iter().flat_map(|f| fs::read_dir(f).into_iter().flatten().flatten()).map(|e| e.path());
        let mut chunks: Vec<_> = files
            .filter(|p| p.extension().is_some_and(|e| e == "mkv") && !p.to_string_lossy().contains(".part"))
            .collect();
        chunks.sort();
        chunks
    }
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap());
    Ended { code, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

fn interrupted() {
    let (interruptions, lost, doubled) = TALLY.get();
    TALLY.set((interruptions + 1, lost, doubled));
}

/// Says what a test came to; `scripts/torture` adds it up.
fn tell(name: &str) {
    let (interruptions, lost, doubled) = TALLY.get();
    println!("{name}: {interruptions} interruptions, {lost} frames lost, {doubled} doubled");
}

/// SIGKILL at random moments, over and over until the film is there.
fn random_kills(flags: &[&str], seed: u64, count: u64) {
    let mut chance = Chance(seed);
    let mut kills = 0;
    while kills < count {
        let mut job = Job::new(flags, 22);
        // On a slow machine a run needs longer to come anywhere.
        for patience in 4.. {
            let mut child = job.start(&[], &[]);
            let until = Instant::now() + Duration::from_millis(20 + chance.below(400 * patience));
            while Instant::now() < until && child.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_millis(2));
            }
            let _ = child.kill();
            let run = ended(child);
            job.check_orphans();
            match run.code {
                0 => break,
                137 => kills += 1,
                code => panic!("{code}: {}", run.stderr),
            }
            interrupted();
        }
        job.compare();
    }
}

/// SIGKILL after each change to the disk.
fn kills_at_every_change(flags: &[&str], every: u64) {
    for at in (1..).step_by(every as usize) {
        let mut job = Job::new(flags, 10);
        let run = ended(job.start(&[], &[("DURABLE_KILL_AT", at.to_string())]));
        job.check_orphans();
        if run.code == 0 {
            job.compare();
            return;
        }
        assert_eq!(run.code, 137, "{}", run.stderr);
        interrupted();
        job.finish();
    }
}

/// Files as a power cut may leave them: inodes with what they hold and what was synced of that, names likewise.
#[derive(Default)]
struct Platter {
    inodes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    synced_folders: BTreeSet<PathBuf>,
}

/// What survives.
#[derive(Clone, Copy, Debug)]
enum Survives {
    /// Only what was synced.
    Synced,
    /// All names, but only synced contents.
    Names,
    /// All, but the last write only in part.
    Torn,
}

impl Platter {
    fn apply(&mut self, change: &Value, contents: impl Fn() -> Vec<u8>) {
        let path = PathBuf::from(change["path"].as_str().unwrap());
        match change["change"].as_str().unwrap() {
            what @ ("write" | "sync_file") => {
                let inodes = &mut self.inodes;
                let inode = *self.names.entry(path).or_insert_with(|| {
                    inodes.push(Default::default());
                    inodes.len() - 1
                });
                self.inodes[inode].0 = contents();
                if what == "sync_file" {
                    self.inodes[inode].1 = Some(self.inodes[inode].0.clone());
                }
            }
            "rename" => {
                let inode = self.names.remove(&path).unwrap();
                self.names.insert(change["to"].as_str().unwrap().into(), inode);
            }
            "remove" => drop(self.names.remove(&path)),
            "create_folder" => drop(self.folders.insert(path)),
            "sync_folder" => {
                self.synced_names.retain(|name, _| name.parent() != Some(&path));
                self.synced_names.extend(
                    self.names
                        .iter()
                        .filter(|(n, _)| n.parent() == Some(&path))
                        .map(|(n, i)| (n.clone(), *i)),
                );
                self.synced_folders
                    .extend(self.folders.iter().filter(|f| f.parent() == Some(&path)).cloned());
            }
            other => panic!("unknown change {other}"),
        }
    }

    /// The folders and files that a power cut leaves.
    fn cut(&self, survives: Survives) -> Remains {
        let (names, folders) = match survives {
            Survives::Synced => (&self.synced_names, &self.synced_folders),
            Survives::Names | Survives::Torn => (&self.names, &self.folders),
        };
        let files = names.iter().map(|(name, inode)| {
            let (now, synced) = &self.inodes[*inode];
            let synced = synced.as_deref().unwrap_or_default();
            let contents = match survives {
                Survives::Torn if now.len() > synced.len() => {
                    &now[..synced.len() + (now.len() - synced.len()) / 2]
                }
                Survives::Torn => now,
                _ => synced,
            };
            (name.clone(), contents.to_vec())
        });
        Remains { folders: folders.clone(), files: files.collect() }
    }
}

/// What a power cut leaves.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Remains {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Remains {
    fn write(&self) {
        for folder in &self.folders {
            fs::create_dir_all(folder).unwrap();
        }
        // A folder may be lost with its files.
        for (name, contents) in self.files.iter().filter(|(name, _)| name.parent().is_some_and(Path::exists))
        {
            fs::write(name, contents).unwrap();
        }
    }
}

/// A power cut after each change to the disk: what was not synced is lost, in three ways. Many leave the same.
fn power_cuts(flags: &[&str], every: u64) {
    let mut job = Job::new(flags, 10);
    let trace = tempfile::tempdir().unwrap();
    let run = ended(job.start(&[], &[("DURABLE_TRACE", trace.path().to_str().unwrap().to_owned())]));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let changes: Vec<Value> = fs::read_to_string(trace.path().join("ops"))
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let ways = [Survives::Synced, Survives::Names, Survives::Torn];
    // What is safe in each that was looked at, and in the last one of each way.
    let mut seen: BTreeMap<Remains, (u64, u64)> = BTreeMap::new();
    let mut safe = [(0, 0); 3];
    for (cut, way) in (0..=changes.len()).flat_map(|cut| (0..3).map(move |way| (cut, way))) {
        let mut platter = Platter::default();
        // The folder itself was made before the first change.
        platter.folders.insert(job.path("job").canonicalize().unwrap_or_else(|_| job.path("job")));
        for change in &changes[..cut] {
            platter.apply(change, || fs::read(trace.path().join(change["number"].to_string())).unwrap());
        }
        let remains = platter.cut(ways[way]);
        let now = seen.get(&remains).copied().unwrap_or_else(|| {
            let _ = fs::remove_dir_all(job.path("job"));
            let _ = fs::remove_file(job.path("film.mkv"));
            remains.write();
            job.safe = (0, 0);
            job.check_safe();
            let now = job.safe;
            if (seen.len() as u64).is_multiple_of(every) {
                interrupted();
                job.finish();
            }
            now
        });
        seen.insert(remains, now);
        // Each change leaves at least as much safe as the one before it; the last leaves the film.
        assert!(
            now.0 >= safe[way].0 && now.1 >= safe[way].1,
            "{now:?} after {:?}, {:?}",
            safe[way],
            ways[way]
        );
        safe[way] = now;
    }
    assert_eq!(safe, [(job.length, job.length); 3]);
}

/// What a small disk is full of.
#[derive(Clone, Copy)]
enum FullOf {
    Bytes,
    Files,
}

/// A disk that is full at every size from hardly anything to enough: each write fails once, or each new file.
fn full_disks(flags: &[&str], of: FullOf, step: usize) {
    let mount = |job: &Job, options: &str| {
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "torture"])
            .arg(job.folder.path())
            .output()
            .unwrap()
    };
    let unmount = |job: &Job| Command::new("umount").arg("-l").arg(job.folder.path()).output().unwrap();
    for size in (1..).step_by(step) {
        let mut job = Job::new(flags, 10);
        let options = match of {
            FullOf::Bytes => format!("size={}k", 4 * size),
            FullOf::Files => format!("nr_inodes={}", 1 + size),
        };
        let mounted = mount(&job, &options);
        if !mounted.status.success() {
            eprintln!("skipped: no small disk: {}", String::from_utf8_lossy(&mounted.stderr).trim());
            return;
        }
        let run = ended(job.start(&[], &[]));
        if run.code == 0 {
            job.compare();
            unmount(&job);
            return;
        }
        assert_eq!((run.code, run.stderr.lines().count() > 0), (1, true), "{}", run.stderr);
        interrupted();
        mount(&job, "remount,size=64m,nr_inodes=1000");
        job.finish();
        unmount(&job);
    }
}

/// Children killed at random; the run may survive it or fail, and goes on.
fn murdered_children(flags: &[&str], seed: u64, count: u64) {
    let mut chance = Chance(seed);
    let mut murders = 0;
    while murders < count {
        let mut job = Job::new(flags, 22);
        for attempt in 0.. {
            assert!(attempt < 200, "no end");
            let mut child = job.start(&["--max-tries", "9"], &[]);
            thread::sleep(Duration::from_millis(chance.below(600)));
            let victims = job.children();
            // A run that is never left alone never ends.
            if attempt < 4 && !victims.is_empty() {
                let victim = victims[chance.below(victims.len() as u64) as usize];
                let signals = [Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGTERM];
                let signal = signals[chance.below(3) as usize];
                if kill(Pid::from_raw(victim), signal).is_ok() {
                    murders += 1;
                    interrupted();
                }
            }
            let _ = child.try_wait();
            let run = ended(child);
            job.check_orphans();
            if run.code == 0 {
                break;
            }
            assert_eq!(run.code, 1, "{}", run.stderr);
        }
        job.compare();
    }
}

/// Commands that fail now and then: with an I/O error after half of their work, with fewer frames and exit 0, with a
/// file cut short, reading in small pieces.
fn bad_commands(seed: u64, count: u64) {
    let script = |job: &Job, name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = job.path(name);
        fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // A third of the calls go wrong, each in one of three ways.
    let moods = "mood=$(( $(od -An -N1 -tu1 /dev/urandom) % 9 )); touch moods/$mood.$$";
    let encode = "ffmpeg -v error -f rawvideo -s 16x16 -pix_fmt yuv420p -r 24 -i - -c:v ffv1 -g 1";
    let mut chance = Chance(seed);
    for _ in 0..count {
        let mut job = Job::new(&[], 14);
        fs::create_dir(job.path("moods")).unwrap();
        let mezz = script(
            &job,
            "mezz",
            &format!(
                "{moods}\ncase $mood in\n0) head -c 500 | {encode} $1; echo Input/output error; exit 5;;\n\
                 1) head -c 768 | {encode} $1; cat >/dev/null;;\n2) {encode} $1; truncate -s -300 $1;;\n\
                 *) dd bs=7 status=none | {encode} $1;;\nesac"
            ),
        );
        let finish = script(
            &job,
            "finish",
            &format!(
                "{moods}\ncase $mood in\n0) head -c 900 $1 >$2; echo Input/output error; exit 5;;\n\
                 1) ffmpeg -v error -i $1 -frames:v 2 -c:v ffv1 -g 1 $2;;\n\
                 2) ffmpeg -v error -i $1 -c:v ffv1 -g 1 $2; truncate -s -300 $2;;\n\
                 *) ffmpeg -v error -i $1 -c:v ffv1 -g 1 $2;;\nesac"
            ),
        );
        job.flags = vec![
            "--mezz".into(),
            format!("{mezz} {{out}}"),
            "--final".into(),
            format!("{finish} {{in}} {{out}}"),
        ];
        for attempt in 0.. {
            assert!(attempt < 100, "no end");
            let tries = (1 + chance.below(3)).to_string();
            let run = ended(job.start(&["--max-tries", &tries], &[]));
            if run.code == 0 {
                break;
            }
            assert_eq!(run.code, 1, "{}", run.stderr);
        }
        job.compare();
        let moods = fs::read_dir(job.path("moods")).unwrap().flatten();
        moods
            .filter(|m| m.file_name().to_string_lossy().starts_with(['0', '1', '2']))
            .for_each(|_| interrupted());
    }
}

/// Chunks deleted, cut short, changed behind the tool's back.
fn vandalism(flags: &[&str], seed: u64, count: u64) {
    let mut chance = Chance(seed);
    for _ in 0..count {
        let mut job = Job::new(flags, 22);
        let mut child = job.start(&[], &[]);
        let wanted = 1 + chance.below(4) as usize;
        while child.try_wait().unwrap().is_none() && job.chunks().len() < wanted {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        ended(child);
        job.check_orphans();
        job.check_safe();
        let chunks = job.chunks();
        let mut expect_refusal = false;
        if !chunks.is_empty() {
            let victim = &chunks[chance.below(chunks.len() as u64) as usize];
            let mut bytes = fs::read(victim).unwrap();
            match chance.below(3) {
                0 => fs::remove_file(victim).unwrap(),
                1 => fs::write(victim, &bytes[..bytes.len() / 2]).unwrap(),
                _ => {
                    let at = chance.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1;
                    fs::write(victim, bytes).unwrap();
                    expect_refusal = true;
                }
            }
            interrupted();
        }
        job.safe = (0, 0);
        if expect_refusal {
            // Only --resume looks at checksums; it may find that other frames are wanted than --status said.
            let before = job.status()["next_frame"].clone();
            let run = ended(job.start(&[], &[]));
            job.safe = (0, 0);
            if run.code == 0 {
                job.compare();
                continue;
            }
            assert_eq!(run.code, 1, "{}", run.stderr);
            assert!(
                run.stderr.contains(&format!("has to come now, not {before}: start again")),
                "{}",
                run.stderr
            );
        }
        job.finish();
    }
}

/// A bounded disk, looked at every 10 ms or oftener, under kills.
fn bounded_disk(seed: u64, count: u64) {
    fn bytes_below(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let Ok(meta) = path.symlink_metadata() else { return 0 };
        let within =
            fs::read_dir(path).into_iter().flatten().flatten().map(|e| bytes_below(&e.path())).sum::<u64>();
        meta.len().max(meta.blocks() * 512) + within
    }
    const LIMIT: u64 = 260_000;
    let mut chance = Chance(seed);
    let mut kills = 0;
    while kills < count {
        let mut job = Job::new(MEZZ, 22);
        job.flags.extend(["--max-disk".into(), LIMIT.to_string()]);
        for patience in 4.. {
            let mut child = job.start(&[], &[]);
            let until = Instant::now() + Duration::from_millis(100 + chance.below(500 * patience));
            while Instant::now() < until && child.try_wait().unwrap().is_none() {
                let bytes = bytes_below(&job.path("job"));
                assert!(bytes <= LIMIT, "{bytes} of {LIMIT}");
                thread::sleep(Duration::from_millis(4));
            }
            let _ = child.kill();
            let run = ended(child);
            match run.code {
                0 => break,
                137 => kills += 1,
                code => panic!("{code}: {}", run.stderr),
            }
            interrupted();
        }
        job.compare();
    }
}

/// A second instance is refused while the first is at work, and does no harm.
fn two_instances() {
    let mut job = Job::new(MEZZ, 22);
    let first = job.start(&[], &[]);
    while !job.path("job/journal.jsonl").exists() {
        thread::sleep(Duration::from_millis(2));
    }
    let second = ended(job.start(&[], &[]));
    assert_eq!(second.code, 1);
    assert!(second.stderr.ends_with("another seg-sink is at work here\n"), "{}", second.stderr);
    interrupted();
    assert_eq!(ended(first).code, 0);
    job.compare();
}

#[test]
fn killed_at_random_with_mezzanine() {
    random_kills(MEZZ, 1, sample(3, 100));
    random_kills(COPIED_MEZZ, 2, sample(3, 150));
    tell("killed_at_random_with_mezzanine");
}

#[test]
fn killed_at_random_without() {
    random_kills(DIRECT, 3, sample(3, 100));
    random_kills(COPIED, 4, sample(3, 150));
    tell("killed_at_random_without");
}

#[test]
fn killed_at_every_change_with_mezzanine() {
    kills_at_every_change(COPIED_MEZZ, sample(13, 1));
    tell("killed_at_every_change_with_mezzanine");
}

#[test]
fn killed_at_every_change_without() {
    kills_at_every_change(COPIED, sample(11, 1));
    tell("killed_at_every_change_without");
}

#[test]
fn power_cut_with_mezzanine() {
    power_cuts(COPIED_MEZZ, sample(18, 1));
    tell("power_cut_with_mezzanine");
}

#[test]
fn power_cut_without() {
    power_cuts(COPIED, sample(14, 1));
    tell("power_cut_without");
}

#[test]
fn disk_full_with_mezzanine() {
    full_disks(MEZZ, FullOf::Bytes, sample(3, 1) as usize);
    full_disks(MEZZ, FullOf::Files, sample(5, 1) as usize);
    tell("disk_full_with_mezzanine");
}

#[test]
fn disk_full_without() {
    full_disks(DIRECT, FullOf::Bytes, sample(3, 1) as usize);
    full_disks(DIRECT, FullOf::Files, sample(5, 1) as usize);
    tell("disk_full_without");
}

#[test]
fn commands_killed() {
    murdered_children(MEZZ, 5, sample(2, 40));
    murdered_children(DIRECT, 6, sample(2, 20));
    tell("commands_killed");
}

#[test]
fn commands_that_fail_and_lie() {
    bad_commands(7, sample(1, 20));
    tell("commands_that_fail_and_lie");
}

#[test]
fn chunks_spoilt_with_mezzanine() {
    vandalism(COPIED_MEZZ, 8, sample(2, 40));
    tell("chunks_spoilt_with_mezzanine");
}

#[test]
fn chunks_spoilt_without() {
    vandalism(COPIED, 9, sample(2, 40));
    tell("chunks_spoilt_without");
}

#[test]
fn killed_on_a_bounded_disk() {
    bounded_disk(10, sample(2, 60));
    tell("killed_on_a_bounded_disk");
}

#[test]
fn two_at_one_job() {
    two_instances();
    tell("two_at_one_job");
}
