//! Killed, and told to end, as a whole and in parts.

use crate::{Chance, OPTIONS, below, files, is_whole, make, option, sample, side_by_side, tell, whole};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use pipelines::{clip, nearest};
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// What is killed has this long to be gone, with all that it started.
const GONE: Duration = Duration::from_secs(3);

/// Who is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Make,
    Group,
    Program,
    Stage,
}

/// The processes that have `needle` in their command line, their environment, or as the folder that they work in.
fn processes(needle: &Path) -> Vec<(i32, String)> {
    let needle = needle.as_os_str().as_bytes();
    let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let words = read("cmdline");
        let folder = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if has(&words) || has(&read("environ")) || has(folder.as_os_str().as_bytes()) {
            found.push((id, String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    found
}

/// Nothing of the job is at work any more.
fn is_gone(out: &Path, why: &str) {
    let since = Instant::now();
    loop {
        let left = processes(out);
        if left.is_empty() {
            return;
        }
        assert!(since.elapsed() < GONE, "{why}: left behind: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Stops a process, if it has not come to its end meanwhile: a kill of one that is done has nobody notice it.
fn is_caught(process: Pid) -> bool {
    let since = Instant::now();
    while kill(process, Signal::SIGSTOP).is_ok() && since.elapsed() < GONE {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        match stat.rsplit_once(") ").and_then(|(_, after)| after.chars().next()) {
            Some('T') => return true,
            Some('Z' | 'X') | None => return false,
            Some(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
    false
}

/// Hits a victim if it is there.
fn hit(victim: Victim, leader: Pid, out: &Path, signal: Signal, chance: &mut Chance) -> bool {
    let is_program =
        |words: &str| words.split(' ').next().is_some_and(|word| word.ends_with("/storage-diet"));
    match victim {
        Victim::Make => kill(leader, signal).is_ok(),
        Victim::Group => killpg(leader, signal).is_ok(),
        Victim::Program => {
            let found = processes(out).into_iter().find(|(_, words)| is_program(words));
            found.is_some_and(|(id, _)| kill(Pid::from_raw(id), signal).is_ok())
        }
        Victim::Stage => {
            let mut stages = processes(out);
            stages.retain(|(id, words)| {
                *id != leader.as_raw() && !is_program(words) && !words.starts_with("make ")
            });
            if stages.is_empty() {
                return false;
            }
            let (id, _) = stages[chance.below(stages.len() as u64) as usize];
            is_caught(Pid::from_raw(id)) && kill(Pid::from_raw(id), signal).is_ok()
        }
    }
}

/// Interrupts `count` runs of the options in turn, and goes on with each.
fn interrupt(options: &[&str], seed: u64, count: u64, victims: &[Victim], signals: &[Signal]) -> u64 {
    let done = AtomicU64::new(0);
    side_by_side(|n| {
        let name = options[(n % options.len() as u64) as usize];
        let mut chance = Chance(seed + (n << 8));
        if done.load(Relaxed) >= count {
            return false;
        }
        let folder = clip::folder();
        let (out, temporary) = (folder.path().join("out"), folder.path().join("tmp"));
        fs::create_dir(&temporary).unwrap();
        let run = || option(folder.path(), name, clip::second(), &out, &[]).env("TMPDIR", &temporary);
        let (victim, signal) = (chance.of(victims), chance.of(signals));
        let errors = fs::File::create(folder.path().join("said")).unwrap();
        let running = run().leader().output(errors).start();
        let leader = Pid::from_raw(running.id() as i32);
        thread::sleep(chance.within(whole(name).took));
        let was_hit = hit(victim, leader, &out, signal, &mut chance);
        let why = format!("{name}, {signal} to {victim:?}");
        // make waits for its recipe where it alone is interrupted or hung up, and seg-sink tries again what it runs; else the
        // end is near.
        if was_hit && victim != Victim::Stage && !(victim == Victim::Make && signal != Signal::SIGKILL) {
            is_gone(&out, &why);
        }
        let ended = running.wait();
        is_gone(&out, &why);
        assert_eq!(files(&temporary), [""; 0], "{why}");
        if was_hit && signal != Signal::SIGKILL {
            let left: Vec<_> = below(&out.join(name)).into_iter().filter(|p| is_unfinished(p)).collect();
            assert!(left.is_empty(), "{why}: {left:?}: {}", ended.stderr);
        }
        if ended.code != 0 {
            done.fetch_add(1, Relaxed);
        }
        if out.join(name).join("job.json").exists() && chance.below(2) == 0 {
            let words = [("OUT", out.to_str().unwrap()), ("ENGINE", nearest())];
            make(folder.path(), "resume", &words).env("TMPDIR", &temporary).run().ok();
        } else {
            run().run().ok();
        }
        is_whole(name, &out);
        assert_eq!(files(&temporary), [""; 0], "{why}");
        true
    });
    done.into_inner()
}

/// What nobody goes on with.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "work" || name.contains(".part")
}

#[test]
fn killed() {
    let victims = [Victim::Make, Victim::Group, Victim::Program, Victim::Stage];
    let options = sample(&["option5", "option4"][..], &OPTIONS);
    let done = interrupt(options, 21, sample(4, 200), &victims, &[Signal::SIGKILL]);
    tell("killed", done);
}

#[test]
fn told_to_end() {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let victims = [Victim::Make, Victim::Group, Victim::Program];
    let options = sample(&["option4", "recommended"][..], &OPTIONS);
    let done = interrupt(options, 22, sample(3, 60), &victims, &signals);
    tell("told_to_end", done);
}
