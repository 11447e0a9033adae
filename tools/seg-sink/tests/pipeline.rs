//! Commands of several programs, joined by pipes.

mod job;

use job::{Ended, FFV1, FRAME, Job, frames};
use std::{process::Command, thread, time::Duration};

const FROM_PIPE: &str = "ffmpeg -v error -f yuv4mpegpipe -i - -c:v ffv1 -g 1 {out}";

#[test]
fn programs_are_joined() {
    let job = Job::new();
    let mezz = format!("tee before-{{index}} | cat | {FFV1}");
    let final_ = format!("ffmpeg -v error -i {{in}} -f yuv4mpegpipe - | tee after-{{index}} | {FROM_PIPE}");
    job.run(&["--mezz", &mezz, "--final", &final_, "--jobs", "2"], &frames(0..25)).ok();
    assert_eq!(job.film(), frames(0..25));
    assert_eq!(std::fs::read(job.path("before-1")).unwrap(), frames(10..20));
    assert_eq!(job::decode(&job.path("after-2")), frames(20..25));
}

/// ffmpeg reads the mezzanine for a pipe that has no `{in}` either.
#[test]
fn frames_of_a_mezzanine_come_on_standard_input() {
    let job = Job::new();
    job.run(&["--mezz", FFV1, "--final", &format!("cat | {FFV1}")], &frames(0..25)).ok();
    assert_eq!(job.film(), frames(0..25));
}

#[test]
fn a_pipe_that_cannot_run_is_refused_before_the_first_frame() {
    let job = Job::new();
    job.run(&["--final", "cat | no-such-program | tee {out}"], &frames(0..10))
        .failed(1, "seg-sink: no-such-program: not found, or not a program");
    job.run(&["--final", "cat | | tee {out}"], &frames(0..10)).failed(
        2,
        "seg-sink: usage: invalid value 'cat | | tee {out}' for '--final <CMD>': a command is missing before or after |",
    );
    assert!(!job.path("job").exists());
}

/// A run whose final command, which has a mezzanine of ten frames to read, fails.
fn failing(job: &Job, final_: &str) -> Ended {
    let flags = ["--mezz", FFV1, "--final", final_, "--max-tries", "1", "--resume", "--quiet"];
    let input = if job.path("job").exists() { Vec::new() } else { frames(0..10) };
    job.run(&flags, &input)
}

/// Whichever of them fails, the others end of it, each in its own way; the message is about the one that began it.
#[test]
fn the_culprit_is_named() {
    let endless = "cat /dev/zero {in}";
    let job = || {
        let job = Job::new();
        for (name, text) in [
            ("fails", "head -c 5000 >/dev/null; echo it is no use >&2; exit 3"),
            ("fails-at-once", "echo it is no use >&2; exit 3"),
            ("is-killed", "head -c 5000; kill -KILL $$"),
            ("wants-more", "cat >$1; echo too few frames >&2; exit 1"),
            ("ends-well", "head -c 5000 >$1"),
            ("complains", "trap '' PIPE; cat /dev/zero; echo cat: write error: Broken pipe >&2; exit 1"),
            ("is-told-as-a-shell-tells", "(cat /dev/zero); exit $?"),
        ] {
            job.script(name, text);
        }
        job
    };
    let (three, killed) = ("exited with 3: it is no use", "was ended by SIGKILL");
    for (final_, culprit) in [
        (format!("{endless} | ./fails | ./wants-more {{out}}"), format!("fails (2 of 3), which {three}")),
        (
            format!("{endless} | ./is-killed | ./wants-more {{out}}"),
            format!("is-killed (2 of 3), which {killed}"),
        ),
        (format!("{endless} | cat | ./fails {{out}}"), format!("fails (3 of 3), which {three}")),
        ("./fails {in} | cat | ./wants-more {out}".into(), format!("fails (1 of 3), which {three}")),
        ("./complains {in} | ./fails | ./wants-more {out}".into(), format!("fails (2 of 3), which {three}")),
        (
            "./is-told-as-a-shell-tells {in} | ./fails | ./wants-more {out}".into(),
            format!("fails (2 of 3), which {three}"),
        ),
        // Nobody failed but the one that was not read to the end.
        (format!("{endless} | ./ends-well {{out}}"), "cat (1 of 2), which was ended by SIGPIPE".into()),
        // The one that sleeps is not waited for.
        (
            "sh -c 'sleep 1000' {in} | ./fails-at-once {out}".into(),
            format!("fails-at-once (2 of 2), which {three}"),
        ),
        (
            "./fails-at-once {in} | sh -c 'sleep 1000' {out}".into(),
            format!("fails-at-once (1 of 2), which {three}"),
        ),
    ] {
        let message =
            format!("seg-sink: segment 0: the final command failed once; at last it failed at {culprit}");
        failing(&job(), &final_).failed(1, &message);
    }
}

/// One that is fed: the frames are gone with it, wherever it failed.
#[test]
fn the_culprit_of_a_pipe_that_is_fed() {
    let job = Job::new();
    let fails = job.script("fails", "head -c 1000 >/dev/null; echo it is no use >&2; exit 3");
    let run = job
        .run(&["--final", &format!("cat | {fails} | cat >{{out}}"), "--segment", "9000f"], &frames(0..9000));
    let (begin, end) = (
        "seg-sink: segment 0: the final command failed at fails (2 of 3), which exited with 3: it is no use after ",
        " frames; its frames came through the pipe and are gone: --resume goes on with frame 0\n",
    );
    assert!(run.code == 1 && run.stderr.starts_with(begin) && run.stderr.ends_with(end), "{}", run.stderr);
}

/// What each says goes to the one log.
#[test]
fn all_that_is_said_is_in_the_log() {
    let job = Job::new();
    let (first, last) =
        (job.script("first", "echo one >&2; cat"), job.script("last", "echo two; cat >$1; exit 3"));
    assert_eq!(job.run(&["--final", &format!("{first} | {last} {{out}}")], &frames(0..10)).code, 1);
    let log = std::fs::read_to_string(job.path("job/log/final-000000000.log")).unwrap();
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "two"]);
}

/// The limit holds for each of them.
#[test]
fn none_of_them_writes_past_its_grant() {
    let job = Job::new();
    let greedy = job.script("greedy", "head -c 50000000 /dev/zero >$1 || exit 9");
    let flags =
        ["--mezz", FFV1, "--final", &format!("cat {{in}} | {greedy} {{out}} | cat"), "--max-disk", "1MB"];
    let run = job.run(&flags, &frames(0..5));
    assert_eq!(run.code, 1);
    let message = "seg-sink: segment 0: the final command wrote as much as --max-disk allows (";
    assert!(run.stderr.starts_with(message), "{}", run.stderr);
}

/// Processes of a group.
fn members(group: &str) -> usize {
    let output = Command::new("pgrep").args(["-g", group]).output().unwrap();
    output.stdout.iter().filter(|b| **b == b'\n').count()
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

/// Also what one of them has started, and also when the first, which leads their group, has ended long ago.
#[test]
fn nothing_of_a_pipe_outlives_a_kill() {
    let job = Job::new();
    let ends = job.script("ends", "echo $$ >leader");
    let encoder = job.script("encoder", "exec sleep 1000");
    let script = job.script("script", &format!("{encoder} $1\ntrue"));
    let final_ = format!("{ends} | cat | {script} 1 | {script} {{out}}");
    let mut child = job::start(job.command(&["--final", &final_]), &frames(0..1));
    until(|| std::fs::read_to_string(job.path("leader")).is_ok_and(|text| text.ends_with('\n')));
    let group = std::fs::read_to_string(job.path("leader")).unwrap().trim().to_owned();
    // The first one, which was not waited for yet, two scripts, two encoders; `cat` has ended as well.
    until(|| members(&group) == 6);
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| members(&group) == 0);
}

/// A process that is killed by another hand ends its pipe, and the job goes on from there.
#[test]
fn a_killed_process_costs_its_segment() {
    let job = Job::new();
    let input = frames(0..20);
    let once = job.script("once", "[ -e killed ] && exec cat; touch killed; head -c 4000; kill -KILL $$");
    let flags = ["--final", &format!("cat | {once} | {FFV1}")];
    let run = job.run(&flags, &input);
    assert_eq!(run.code, 1);
    let message =
        "seg-sink: segment 0: the final command failed at once (2 of 3), which was ended by SIGKILL";
    assert!(run.stderr.starts_with(message), "{}", run.stderr);
    let next = job.status()["next_frame"].as_u64().unwrap() as usize;
    job.run(&[&flags[..], &["--resume"]].concat(), &input[next * FRAME..]).ok();
    assert_eq!(job.film(), input);
}
