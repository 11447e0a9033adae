//! Signals, and what becomes of the commands.

mod job;

use job::{FFV1, FFV1_FROM_MEZZ, FRAME, Job, frames};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::Write,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

/// A run whose input stays open, and which heeds every signal, whatever the tests themselves were started to ignore.
fn open(job: &Job, flags: &[&str], input: &[u8]) -> (Child, ChildStdin) {
    open_with("--default-signal", job, flags, input)
}

/// The same, with what `env` is to do about signals.
fn open_with(signals: &str, job: &Job, flags: &[&str], input: &[u8]) -> (Child, ChildStdin) {
    let tool = job.command(flags);
    let mut command = Command::new("env");
    command.current_dir(job.path("")).arg(signals).arg(tool.get_program()).args(tool.get_args());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input).unwrap();
    (child, pipe)
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

fn until(what: impl Fn() -> bool) {
    for _ in 0..3000 {
        if what() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited too long");
}

/// Processes whose command line has `word` in it.
fn processes(word: &str) -> Vec<String> {
    let output = Command::new("pgrep").args(["-f", "--", word]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

const MEZZ: [&str; 4] = ["--mezz", FFV1, "--final", FFV1_FROM_MEZZ];

#[test]
fn the_first_interrupt_finishes_the_open_segment() {
    let job = Job::new();
    let input = frames(0..40);
    let (child, mut pipe) = open(&job, &["--final", FFV1], &input[..23 * FRAME]);
    until(|| job.path("job/final/000000020.part.mkv").exists());
    signal(&child, Signal::SIGINT);
    thread::sleep(Duration::from_millis(100));
    // The tool takes no more than the segment needs.
    let _ = pipe.write_all(&input[23 * FRAME..]);
    drop(pipe);
    job::ended(child).failed(130, "seg-sink: SIGINT: stopped; --resume goes on with frame 30");
    job.run(&["--final", FFV1, "--resume"], &input[30 * FRAME..]).ok();
    assert_eq!(job.film(), input);
}

#[test]
fn the_second_aborts() {
    let job = Job::new();
    let input = frames(0..40);
    let (child, pipe) = open(&job, &MEZZ, &input[..23 * FRAME]);
    until(|| job.path("job/mezz/000000020.part.mkv").exists());
    signal(&child, Signal::SIGINT);
    thread::sleep(Duration::from_millis(100));
    signal(&child, Signal::SIGINT);
    let run = job::ended(child);
    assert_eq!(run.code, 130);
    drop(pipe);
    let next = job.status()["next_frame"].as_u64().unwrap() as usize;
    job.run(&[&MEZZ[..], &["--resume"]].concat(), &input[next * FRAME..]).ok();
    assert_eq!(job.film(), input);
}

/// SIGTERM keeps the open mezzanine's frames, in the middle of a frame too.
#[test]
fn termination_stops_cleanly() {
    let job = Job::new();
    let input = frames(0..40);
    let (child, pipe) = open(&job, &MEZZ, &input[..23 * FRAME + FRAME / 2]);
    until(|| job.path("job/mezz/000000020.part.mkv").exists());
    thread::sleep(Duration::from_millis(200));
    signal(&child, Signal::SIGTERM);
    job::ended(child).failed(143, "seg-sink: SIGTERM: stopped; --resume goes on with frame 23");
    drop(pipe);
    job.run(&[&MEZZ[..], &["--resume"]].concat(), &input[23 * FRAME..]).ok();
    assert_eq!(job.film(), input);
}

#[test]
fn what_it_was_started_to_ignore_does_not_stop_it() {
    let job = Job::new();
    let input = frames(0..40);
    let (child, mut pipe) = open_with("--ignore-signal=HUP", &job, &MEZZ, &input[..23 * FRAME]);
    until(|| job.path("job/mezz/000000020.part.mkv").exists());
    signal(&child, Signal::SIGHUP);
    thread::sleep(Duration::from_millis(100));
    pipe.write_all(&input[23 * FRAME..]).unwrap();
    drop(pipe);
    job::ended(child).ok();
    assert_eq!(job.film(), input);
}

/// An encoder started by a script is not left behind, however seg-sink dies.
#[test]
fn nothing_outlives_a_kill() {
    let job = Job::new();
    let encoder = job.script("encoder-of-a-script", "exec sleep 1000");
    let script = job.script("script", &format!("{encoder} $1\ntrue"));
    let (mut child, _pipe) = open(&job, &["--final", &format!("{script} {{out}}")], &frames(0..1));
    // A script shows as `bash SCRIPT`; the sleep has the number of the encoder.
    let part = "job/final/000000000.part.mkv";
    until(|| !processes(&format!("{script} .*{part}")).is_empty());
    let group = processes(&format!("{script} .*{part}"));
    let members = || Command::new("pgrep").args(["-g", &group[0]]).output().unwrap().stdout;
    until(|| members().iter().filter(|b| **b == b'\n').count() == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| members().is_empty());
}

/// The reader of the events goes away: the run ends by SIGPIPE, and can go on.
#[test]
fn events_that_nobody_reads() {
    let job = Job::new();
    let input = frames(0..40);
    let mut child = job
        .command(&MEZZ)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut pipe = child.stdin.take().unwrap();
    let _ = pipe.write_all(&input);
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(13));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let next = job.status()["next_frame"].as_u64().unwrap() as usize;
    job.run(&[&MEZZ[..], &["--resume"]].concat(), &input[next * FRAME..]).ok();
    assert_eq!(job.film(), input);
}
