//! Never more disk than was allowed.

mod job;

use job::{FFV1, FFV1_FROM_MEZZ, FRAME, Job, frames, start};
use std::{
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// Bytes below a folder, as `du` counts and as `ls` does: whichever is more.
fn bytes_below(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = path.symlink_metadata() else { return 0 };
    let within =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| bytes_below(&e.path())).sum::<u64>();
    meta.len().max(meta.blocks() * 512) + within
}

/// The most that the job's folder holds while `child` runs, looked at every 10 ms or oftener.
fn peak_of(job: &Job, child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(bytes_below(&job.path("job")));
        thread::sleep(Duration::from_millis(5));
    }
    peak
}

/// Frames large enough to fill a disk with: 32 to a picture of 64x192.
const LARGE: [&str; 6] = ["-s", "64x192", "-p", "yuv420p", "-r", "24"];
const LARGE_FRAME: usize = 64 * 192 * 3 / 2;

fn large(count: u64) -> Vec<u8> {
    frames(0..count * (LARGE_FRAME / FRAME) as u64)
}

#[test]
fn the_pipe_stalls_and_flows_again() {
    let job = Job::new();
    let limit = 900_000;
    let mut command = job.bare();
    command.args(LARGE).args(["-o", "film.mkv", "--segment", "10f", "--mezz", FFV1, "--max-disk", "900kB"]);
    command.args(["--final", "ffmpeg -v error -i {in} -c:v libx264 -preset ultrafast -qp 40 {out}"]);
    let mut child = start(command, &large(60));
    let peak = peak_of(&job, &mut child);
    let run = job::ended(child).ok();
    assert!(run.event("stalled").is_some() && run.event("flowing").is_some());
    assert!(peak <= limit, "{peak}");
    assert!(job.status()["disk_peak_bytes"].as_u64().unwrap() <= limit);
    assert_eq!(job.film().len(), 60 * LARGE_FRAME);
}

/// Without `--max-disk` too: a final command slower than the input leaves one mezzanine being written beside those that
/// the final commands read.
#[test]
fn mezzanines_do_not_pile_up() {
    let job = Job::new();
    let mut command = job.bare();
    command.args(LARGE).args(["-o", "film.mkv", "--segment", "10f", "--mezz", FFV1]);
    let slow = "ls job/mezz/*.mkv | wc -l >>seen; sleep 0.3; ffmpeg -v error -i $0 -c:v ffv1 $1";
    command.arg("--final").arg(format!("sh -c '{slow}' {{in}} {{out}}"));
    let run = job::ended(start(command, &large(60))).ok();
    assert_eq!(run.event("stalled").unwrap()["jobs"], 1);
    let seen = std::fs::read_to_string(job.path("seen")).unwrap();
    assert_eq!(seen.lines().count(), 6);
    // Two whole ones at most; a third is still a part.
    assert!(seen.lines().all(|n| n.trim().parse::<u32>().unwrap() <= 2), "{seen}");
    assert_eq!(job.film().len(), 60 * LARGE_FRAME);
}

#[test]
fn a_limit_that_cannot_be_kept_fails_with_the_numbers() {
    let job = Job::new();
    let mut command = job.bare();
    command.args(LARGE).args(["-o", "film.mkv", "--segment", "10f", "--final", FFV1, "--max-disk", "500kB"]);
    command.args(["--expect-frames", "60"]);
    let mut child = start(command, &large(60));
    let peak = peak_of(&job, &mut child);
    let run = job::ended(child);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("seg-sink: --max-disk: ") && run.stderr.contains(" of 500000 bytes are taken"),
        "{}",
        run.stderr
    );
    assert!(peak <= 500_000, "{peak}");
    // It was said as soon as it was known.
    let forecast = |first: bool| {
        run.events.iter().filter(|e| e["event"] == "forecast").nth(usize::from(!first)).unwrap()
    };
    assert_eq!((&forecast(true)["frames"], &forecast(true)["fits"]), (&60.into(), &serde_json::Value::Null));
    assert_eq!(forecast(false)["fits"], false);
    assert!(forecast(false)["bytes"].as_u64().unwrap() > 500_000);
    assert!(run.stderr.contains("seg-sink: the job will need about "), "{}", run.stderr);
    // More room, and it goes on.
    let next = job.status()["next_frame"].as_u64().unwrap() as usize;
    assert!(next > 0);
    let mut command = job.bare();
    command.args(LARGE).args(["-o", "film.mkv", "--segment", "10f", "--final", FFV1, "--resume"]);
    job::run(command, &large(60)[next * LARGE_FRAME..]).ok();
    assert_eq!(job.film(), large(60));
}

/// What is said beforehand to be the least is no more than what is needed.
#[test]
fn less_than_the_least_is_never_enough() {
    for mezzanine in [false, true] {
        let job = Job::new();
        let least = seg_sink::least_disk(LARGE_FRAME as u64, 10, mezzanine);
        let mut command = job.bare();
        command.args(LARGE).args(["-o", "film.mkv", "--segment", "10f"]);
        command.args(["--max-disk", &(least - 1).to_string()]);
        command.args(if mezzanine {
            &["--mezz", FFV1, "--final", FFV1_FROM_MEZZ][..]
        } else {
            &["--final", FFV1]
        });
        let run = job::ended(start(command, &large(10)));
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.starts_with("seg-sink: --max-disk: "), "{}", run.stderr);
    }
}

/// A mezzanine without its final segment would be no use: room for both is wanted before the first frame is taken.
#[test]
fn a_mezzanine_is_not_begun_without_room_for_its_final() {
    let job = Job::new();
    let run = job.run(
        &["--mezz", FFV1, "--final", FFV1_FROM_MEZZ, "--segment", "4f", "--max-disk", "220kB"],
        &frames(0..22),
    );
    assert_eq!(run.code, 1);
    let (begin, end) = (
        "mezz/000000000.part.mkv needs 65944 bytes; ",
        " bytes are taken and 166752 are left and nothing more will be deleted\n",
    );
    assert!(run.stderr.contains(begin) && run.stderr.ends_with(end), "{}", run.stderr);
    // With a little more there is room, also for the second one, which is asked for while the first is in the way.
    job.run(
        &["--mezz", FFV1, "--final", FFV1_FROM_MEZZ, "--segment", "4f", "--max-disk", "260kB", "--resume"],
        &frames(0..22),
    )
    .ok();
    assert_eq!(job.film(), frames(0..22));
}

/// The command writes far more than anyone could foresee: the kernel stops it at its grant.
#[test]
fn a_command_cannot_write_past_its_grant() {
    let job = Job::new();
    let script = job.script("greedy", "(head -c 50000000 /dev/zero >$1) || exit 9");
    let greedy = format!("{script} {{out}} {{in}}");
    let mut command = job.bare();
    command.args(LARGE).args([
        "-o",
        "film.mkv",
        "--segment",
        "5f",
        "--mezz",
        FFV1,
        "--max-disk",
        "1MB",
        "--final",
        &greedy,
    ]);
    let mut child = start(command, &large(5));
    let peak = peak_of(&job, &mut child);
    let run = job::ended(child);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with("seg-sink: segment 0: the final command wrote as much as --max-disk allows ("),
        "{}",
        run.stderr
    );
    assert!(peak <= 1_000_000, "{peak}");
}

#[test]
fn a_command_that_hangs_is_ended_and_tried_again() {
    let job = Job::new();
    let script = job.script(
        "lazy",
        "[ -e once ] || { touch once; sleep 1000; }; exec ffmpeg -v error -i $1 -c:v ffv1 -g 1 $2",
    );
    let lazy = format!("{script} {{in}} {{out}}");
    let begun = Instant::now();
    let run = job.run(&["--mezz", FFV1, "--final", &lazy, "--stall-timeout", "2s"], &frames(0..10)).ok();
    assert_eq!(run.event("final_failed").unwrap()["reason"], "did nothing for 2s and was ended");
    assert!(begun.elapsed() < Duration::from_secs(500));
    assert_eq!(job.film(), frames(0..10));
}

/// Slow is not dead.
#[test]
fn a_command_that_works_without_writing_is_let_be() {
    let job = Job::new();
    let script = job.script("slow", "end=$((SECONDS + 3)); while [ $SECONDS -lt $end ]; do :; done; exec ffmpeg -v error -i $1 -c:v ffv1 -g 1 $2");
    let slow = format!("{script} {{in}} {{out}}");
    let run = job.run(&["--mezz", FFV1, "--final", &slow, "--stall-timeout", "1s"], &frames(0..10)).ok();
    assert!(run.event("final_failed").is_none());
}

#[test]
fn a_command_that_takes_no_frames_is_ended() {
    let job = Job::new();
    let script = job.script("deaf", "sleep 1000");
    let flags = ["--final", &format!("{script} {{out}}"), "--segment", "9000f", "--stall-timeout", "1s"];
    let run = job.run(&flags, &frames(0..9000));
    assert_eq!(run.code, 1);
    let (begin, end) = (
        "seg-sink: segment 0: the final command took nothing for 1s and was ended after ",
        " frames; its frames came through the pipe and are gone: --resume goes on with frame 0\n",
    );
    assert!(run.stderr.starts_with(begin) && run.stderr.ends_with(end), "{}", run.stderr);
}

#[test]
fn frames_for_a_final_command_that_reads_no_file() {
    let job = Job::new();
    job.run(&["--mezz", FFV1, "--final", FFV1], &frames(0..25)).ok();
    assert_eq!(job.film(), frames(0..25));
}

/// More segments than a process may have files open.
#[test]
fn a_film_of_1200_segments() {
    let job = Job::new();
    job.run(&["--final", FFV1, "--segment", "1f", "--verify", "count", "--keep"], &frames(0..2)).ok();
    let (journal, film) = (job.path("job/journal.jsonl"), job.path("film.mkv"));
    // The other segments are the first two again, entered in the journal as a run would have done.
    let lines = std::fs::read_to_string(&journal).unwrap();
    let chunks: Vec<&str> = lines.lines().filter(|l| l.contains(r#""type":"chunk""#)).collect();
    let mut text: String = lines.lines().take(2).map(|l| format!("{l}\n")).collect();
    for n in 0..1200u64 {
        let kind = (n % 2) as usize;
        let from = job.path(&format!("job/final/{kind:09}.mkv"));
        if n > 1 {
            std::fs::copy(from, job.path(&format!("job/final/{n:09}.mkv"))).unwrap();
        }
        let (_, fact) = chunks[kind].split_once(',').unwrap();
        let body = format!("{{\"seq\":{},{}", n + 2, &fact[..fact.len() - 20]);
        text += &seal(&body.replace(&format!("\"first_frame\":{kind}"), &format!("\"first_frame\":{n}")));
    }
    text += &seal(r#"{"seq":1202,"type":"ended","frames":1200"#);
    std::fs::write(&journal, text).unwrap();
    std::fs::remove_file(&film).unwrap();
    job.run(&["--final", FFV1, "--segment", "1f", "--resume"], &[]).ok();
    assert_eq!(job.film(), frames(0..2).repeat(600));
}

/// A journal line, given without its end.
fn seal(body: &str) -> String {
    let crc = crc32fast::hash(format!("{body}}}").as_bytes());
    format!("{body},\"crc32\":\"{crc:08x}\"}}\n")
}

#[test]
fn the_film_so_far_plays() {
    let job = Job::new();
    let input = frames(0..40);
    job.run(&["--final", FFV1], &input[..35 * FRAME + 1]);
    let mut command = job.bare();
    let output = command.args(["--status", "--join-so-far", "so-far.mkv"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&status["so_far"]["frames"], &status["next_frame"]), (&30.into(), &30.into()));
    assert_eq!(job::decode(&job.path("so-far.mkv")), input[..30 * FRAME]);
    job.run(&["--final", FFV1, "--resume"], &input[30 * FRAME..]).ok();
}

#[test]
fn upstream_reports_must_agree() {
    let job = Job::new();
    let report = job.path("up.json");
    let flags = ["--final", FFV1, "--upstream-report", report.to_str().unwrap()];
    // As a stage would: the report is there before the pipe ends.
    let write = |frames: u64| {
        let text = format!(r#"{{"tool":"sr-window","status":"ok","frames_in":9,"frames_out":{frames}}}"#);
        let report = report.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            std::fs::write(report, text).unwrap();
        })
    };
    let run = |frames_out: u64, flags: &[&str], input: &[u8]| {
        let mut child = job
            .command(flags)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut pipe, input).unwrap();
        write(frames_out).join().unwrap();
        drop(pipe);
        job::ended(child)
    };
    run(26, &flags, &frames(0..25)).failed(3, "seg-sink: <stdin>: ended after 25 frames; sr-window wrote 26");
    run(6, &[&flags[..], &["--resume"]].concat(), &frames(20..26)).ok();
    assert_eq!(job.film(), frames(0..26));
}
