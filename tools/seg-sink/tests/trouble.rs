//! What goes wrong, what is said, and how it goes on.

mod job;

use job::{FFV1, FFV1_FROM_MEZZ, FRAME, Job, frames, run};

#[test]
fn torn_input_keeps_every_whole_frame() {
    let job = Job::new();
    let input = frames(0..40);
    let torn = &input[..27 * FRAME + 100];
    let mezz = ["--mezz", FFV1, "--final", FFV1_FROM_MEZZ];
    job.run(&mezz, torn)
        .failed(3, "seg-sink: <stdin>: ends inside frame 27, at byte 10468: 100 of 384 bytes");
    assert_eq!(job.status()["next_frame"], 27);
    let run = job.run(&[&mezz[..], &["--resume"]].concat(), &input[27 * FRAME..]).ok();
    assert_eq!(run.event("resumed").unwrap()["next_frame"], 27);
    assert_eq!(job.film(), input);
}

#[test]
fn a_torn_segment_without_mezzanine_is_made_again() {
    let job = Job::new();
    let input = frames(0..40);
    let run = job.run(&["--final", FFV1], &input[..27 * FRAME + 1]);
    assert_eq!(run.code, 3);
    assert_eq!(job.status()["next_frame"], 20);
    job.run(&["--final", FFV1, "--resume"], &input[20 * FRAME..]).ok();
    assert_eq!(job.film(), input);
}

#[test]
fn frames_that_are_safe_already_are_let_go() {
    let job = Job::new();
    let input = frames(0..40);
    job.run(&["--final", FFV1], &input[..27 * FRAME + 1]);
    job.run(&["--final", FFV1, "--resume", "--first-frame", "21"], &input)
        .failed(2, "seg-sink: --first-frame: standard input begins with frame 21, but 20 has to come first");
    job.run(&["--final", FFV1, "--resume", "--first-frame", "0"], &input).ok();
    assert_eq!(job.film(), input);
}

#[test]
fn an_early_end_is_not_the_films_end() {
    let job = Job::new();
    let mezz = ["--mezz", FFV1, "--final", FFV1_FROM_MEZZ, "--expect-frames", "40"];
    let input = frames(0..41);
    job.run(&mezz, &input[..35 * FRAME])
        .failed(3, "seg-sink: <stdin>: ended after 35 frames; 40 were expected");
    let resume = [&mezz[..], &["--resume"]].concat();
    job.run(&resume, &input[35 * FRAME..])
        .failed(3, "seg-sink: <stdin>: goes on after 40 frames; 40 were expected");
    job.run(&resume, &[]).ok();
    assert_eq!(job.film(), frames(0..40));
}

#[test]
fn nothing_came() {
    let job = Job::new();
    job.run(&["--final", FFV1], &[]).failed(3, "seg-sink: <stdin>: ended before the first frame");
}

#[test]
fn a_used_folder_is_refused_and_left_alone() {
    let job = Job::new();
    job.run(&["--final", FFV1, "--keep"], &frames(0..20)).ok();
    let before = job.list("final");
    job.run(&["--final", FFV1], &frames(0..20))
        .failed(2, "seg-sink: job: holds a job already; --resume goes on with it");
    assert_eq!(job.list("final"), before);
    // One that was refused before the first frame is not in use.
    let job = Job::new();
    job.run(&["--final", FFV1, "--segment", "1ms"], &frames(0..10))
        .failed(2, "seg-sink: --segment: has not one frame in it");
    job.run(&["--final", FFV1], &frames(0..10)).ok();
}

#[test]
fn other_settings_are_refused() {
    let job = Job::new();
    job.run(&["--final", FFV1], &frames(0..15)[..15 * FRAME - 1]);
    let other = FFV1.replace("-g 1", "-g 2");
    let run = job.run(&["--final", &other, "--resume"], &frames(10..20));
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.starts_with("seg-sink: job: the job was begun with other settings: final was [\"ffmpeg\"")
    );
    let run = job.run(&["--final", FFV1, "--resume", "--segment", "11f"], &frames(10..20));
    assert_eq!(run.code, 2);
    assert!(run.stderr.ends_with("segment_frames was 10, is 11\n"), "{}", run.stderr);
    assert_eq!(job.status()["next_frame"], 10);
}

#[test]
fn another_films_name_is_refused() {
    let job = Job::new();
    std::fs::write(job.path("film.mkv"), "precious").unwrap();
    job.run(&["--final", FFV1], &frames(0..10)).failed(1, "seg-sink: film.mkv: is there already");
    assert_eq!(std::fs::read(job.path("film.mkv")).unwrap(), b"precious");
    assert!(!job.path("job").exists());
}

#[test]
fn the_film_may_lie_in_the_folder_that_the_job_makes() {
    let job = Job::new();
    let to = |output| {
        let mut command = job.bare();
        command.args(["-o", output, "-s", "16x16", "-p", "yuv420p", "-r", "24", "--final", FFV1]);
        run(command, &frames(0..10))
    };
    to("nowhere/film.mkv").failed(1, "seg-sink: nowhere/film.mkv: No such file or directory");
    std::fs::remove_dir_all(job.path("job")).unwrap();
    to("job/film.mkv").ok();
    assert_eq!(job::decode(&job.path("job/film.mkv")), frames(0..10));
}

#[test]
fn missing_programs_are_missed_before_the_first_frame() {
    let job = Job::new();
    job.run(&["--final", "no-such-encoder {out}"], &frames(0..10))
        .failed(1, "seg-sink: no-such-encoder: not found, or not a program");
    assert!(!job.path("job").exists());
}

#[test]
fn commands_that_cannot_work_are_usage_errors() {
    let job = Job::new();
    for (flags, message) in [
        (vec!["--final", "x {in} {out}"], "--final: {in} is a mezzanine, and there is no --mezz"),
        (
            vec!["--mezz", "x {in} {out}", "--final", "x {in} {out}"],
            "--mezz: frames come on its standard input; it has no {in}",
        ),
        (
            vec!["--final", "x"],
            "usage: invalid value 'x' for '--final <CMD>': a command must name {out}, the file it writes",
        ),
        (vec!["--final", FFV1, "--segment", "1ms"], "--segment: has not one frame in it"),
    ] {
        job.run(&flags, &frames(0..1)).failed(2, &format!("seg-sink: {message}"));
    }
}

#[test]
fn a_command_that_dies_is_quoted() {
    let job = Job::new();
    let script = job.script("enc", "head -c 1000 >/dev/null; echo no more room >&2; exit 7");
    job.run(&["--final", &format!("{script} {{out}}")], &frames(0..3000)).failed(
        1,
        "seg-sink: segment 0: the final command exited with 7: no more room; its frames came through the pipe and are \
         gone: --resume goes on with frame 0",
    );
}

#[test]
fn a_command_that_lies_is_found_out() {
    let job = Job::new();
    let nine = FFV1.replace("{out}", "-frames:v 9 {out}");
    job.run(&["--final", &nine], &frames(0..20)).failed(
        1,
        "seg-sink: segment 0: the final command has 9 frames, not 10; its frames came through the pipe and are gone: \
         --resume goes on with frame 0",
    );
}

/// All frames are there, but some are spoilt: ffmpeg says so, decodes on and ends well.
#[test]
fn spoilt_frames_are_found_by_decoding() {
    let noise = r"-g 1 -level 3 -slicecrc 1 -bsf:v 'noise=amount=100*gte(n\,5)'";
    let spoilt = FFV1.replace("-g 1", noise);
    let job = Job::new();
    let run = job.run(&["--final", &spoilt], &frames(0..20));
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with("seg-sink: segment 0: the final command does not pass ffmpeg: ")
            && run.stderr.contains("slice CRC mismatch"),
        "{}",
        run.stderr
    );
    Job::new().run(&["--final", &spoilt, "--verify", "count"], &frames(0..20)).ok();
}

#[test]
fn a_frame_at_the_wrong_time_is_found() {
    let late = "\"settb=1/1000,setpts='PTS+20*eq(N,5)'\" -enc_time_base 1/1000 -fps_mode passthrough";
    let job = Job::new();
    job.run(&["--final", &FFV1.replace("-c:v", &format!("-vf {late} -c:v"))], &frames(0..20)).failed(
        1,
        "seg-sink: segment 0: the final command has frame 5 off its time at 24/1 frames a second; its frames came \
         through the pipe and are gone: --resume goes on with frame 0",
    );
}

#[test]
fn segments_of_another_kind_are_refused() {
    let job = Job::new();
    let script = job.script(
        "encode",
        "[ $1 = 0 ] && format=yuv420p || format=yuv444p; \
         exec ffmpeg -v error -f rawvideo -s 16x16 -pix_fmt yuv420p -r 24 -i - -pix_fmt $format -c:v ffv1 $2",
    );
    let run = job.run(&["--final", &format!("{script} {{index}} {{out}}")], &frames(0..20));
    assert_eq!(run.code, 1);
    let message = "seg-sink: segment 1: the final command wrote another kind of stream than the first segment: pix_fmt \
                   is \"yuv444p\", not \"yuv420p\"; ";
    assert!(run.stderr.starts_with(message), "{}", run.stderr);
}

#[test]
fn a_rate_that_was_asked_for_is_wanted() {
    let job = Job::new();
    let run = job.run(&["--final", FFV1, "--film-rate", "25"], &frames(0..20));
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with(
            "seg-sink: segment 0: the final command wrote 24/1 frames a second, not 25/1; its frames came"
        ),
        "{}",
        run.stderr
    );
}

/// The joined film is held against what its segments decoded to.
#[test]
fn a_film_with_a_segment_twice_is_refused() {
    let job = Job::new();
    let real = std::env::var("PATH").unwrap();
    job.script(
        "ffmpeg",
        &format!(
            "PATH='{real}'; [[ $* != *'-f concat'* ]] || sed -i s/000000010/000000000/ job/segments.ffconcat; \
             exec ffmpeg \"$@\""
        ),
    );
    let mut command = job.command(&["--final", FFV1]);
    command.env("PATH", format!("{}:{real}", job.path("").display()));
    let failed = run(command, &frames(0..20));
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.ends_with("film.mkv: the film does not decode to the frames of segment 1\n"),
        "{}",
        failed.stderr
    );
    assert!(!job.path("film.mkv").exists());
    job.run(&["--final", FFV1, "--resume"], &[]).ok();
    assert_eq!(job.film(), frames(0..20));
}

#[test]
fn a_film_cannot_become_shorter() {
    let job = Job::new();
    let flags = ["--mezz", FFV1, "--final", "cp {in} {out}"];
    let real = std::env::var("PATH").unwrap();
    job.script("ffmpeg", &format!("[[ $* != *'-f concat'* ]] || exit 1; PATH='{real}'; exec ffmpeg \"$@\""));
    let mut command = job.command(&flags);
    command.env("PATH", format!("{}:{real}", job.path("").display()));
    assert_eq!(run(command, &frames(0..20)).code, 1);
    std::fs::remove_file(job.path("job/final/000000010.mkv")).unwrap();
    job.run(&[&flags[..], &["--resume", "--quiet"]].concat(), &frames(10..15))
        .failed(3, "seg-sink: <stdin>: ended after 15 frames; the run before saw the film end after 20");
}

#[test]
fn a_final_command_is_tried_again() {
    let job = Job::new();
    let flaky = job.script("flaky", "[ -e once ] || { touch once; echo not today; exit 3; }; exec ffmpeg -v error -i $1 -c:v ffv1 -g 1 $2");
    let flaky = format!("{flaky} {{in}} {{out}}");
    let run = job.run(&["--mezz", FFV1, "--final", &flaky], &frames(0..20)).ok();
    assert_eq!(run.event("final_failed").unwrap()["reason"], "exited with 3: not today");
    assert_eq!(job.film(), frames(0..20));
}

/// A mezzanine is still there when the segment made of it turns out to be wrong.
#[test]
fn a_final_command_that_lies_is_tried_again() {
    let job = Job::new();
    let liar = job.script(
        "liar",
        "[ -e once ] || { touch once; exec ffmpeg -v error -i $1 -frames:v 9 -c:v ffv1 -g 1 $2; }; \
         exec ffmpeg -v error -i $1 -c:v ffv1 -g 1 $2",
    );
    let run = job.run(&["--mezz", FFV1, "--final", &format!("{liar} {{in}} {{out}}")], &frames(0..20)).ok();
    assert_eq!(run.event("final_failed").unwrap()["reason"], "has 9 frames, not 10");
    assert_eq!(job.film(), frames(0..20));
}

#[test]
fn and_not_more_often_than_said() {
    let job = Job::new();
    let bad = job.script("bad", "echo never; kill -SEGV $$");
    let bad = format!("{bad} {{in}} {{out}}");
    job.run(&["--mezz", FFV1, "--final", &bad, "--max-tries", "2"], &frames(0..10)).failed(
        1,
        "seg-sink: segment 0: the final command failed 2 times; at last it was ended by SIGSEGV: never",
    );
    let run = job.run(&["--mezz", FFV1, "--final", &bad, "--max-tries", "1", "--resume"], &[]);
    assert_eq!(run.code, 1);
}

#[test]
fn a_chunk_changed_behind_our_back_comes_again() {
    let job = Job::new();
    let input = frames(0..40);
    job.run(&["--final", FFV1], &input[..35 * FRAME + 1]);
    let victim = job.path("job/final/000000010.mkv");
    let mut bytes = std::fs::read(&victim).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    std::fs::remove_file(job.path("job/final/000000020.mkv")).unwrap();
    // The changed one is found by its checksum, which only --resume looks at.
    assert_eq!(job.status()["next_frame"], 20);
    std::fs::write(&victim, "short").unwrap();
    assert_eq!(job.status()["next_frame"], 10);
    let run = job.run(&["--final", FFV1, "--resume"], &input[10 * FRAME..]).ok();
    assert!(
        run.stderr.contains("000000010.mkv: is not what was proved; frames 10 to 19 are not in it any more")
    );
    assert!(run.stderr.contains("000000020.mkv: is gone; frames 20 to 29 are not in it any more"));
    assert_eq!(job.film(), input);
}

/// Upstream was started where `--status` said, which looks at no checksums.
#[test]
fn damage_that_only_a_checksum_shows_asks_for_other_frames() {
    let job = Job::new();
    let input = frames(0..40);
    job.run(&["--final", FFV1], &input[..35 * FRAME + 1]);
    let victim = job.path("job/final/000000010.mkv");
    let mut bytes = std::fs::read(&victim).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    assert_eq!(job.status()["next_frame"], 30);
    let run = job.run(&["--final", FFV1, "--resume"], &input[30 * FRAME..]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.ends_with("job: frame 10 has to come now, not 30: start again from there\n"),
        "{}",
        run.stderr
    );
    assert_eq!(job.status()["next_frame"], 10);
    job.run(&["--final", FFV1, "--resume"], &input[10 * FRAME..]).ok();
    assert_eq!(job.film(), input);
}

/// What a crash leaves at the journal's end is cut off before anything is added.
#[test]
fn a_half_written_line_does_no_harm() {
    let job = Job::new();
    let input = frames(0..40);
    job.run(&["--final", FFV1], &input[..35 * FRAME + 1]);
    let journal = job.path("job/journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, &text[..text.len() - 30]).unwrap();
    let next = job.status()["next_frame"].as_u64().unwrap() as usize;
    assert_eq!(next, 20);
    job.run(&["--final", FFV1, "--resume"], &input[next * FRAME..]).ok();
    assert_eq!(job.film(), input);
    assert_eq!(job.status()["state"], "done");
}

#[test]
fn a_finished_job_has_nothing_left_to_do() {
    let job = Job::new();
    job.run(&["--final", FFV1], &frames(0..10)).ok();
    let run = job.run(&["--final", FFV1, "--resume"], &[]).ok();
    assert!(run.stderr.ends_with("film.mkv: is finished already\n"));
}

#[test]
fn two_at_one_job() {
    let job = Job::new();
    let slow = job.script(
        "slow",
        "sleep 1; exec ffmpeg -v error -f rawvideo -s 16x16 -pix_fmt yuv420p -r 24 -i - -c:v ffv1 -g 1 $1",
    );
    let slow = format!("{slow} {{out}}");
    let first = job::start(job.command(&["--final", &slow]), &frames(0..10));
    while !job.path("job/journal.jsonl").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let second = run(job.command(&["--final", &slow, "--resume"]), &[]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.ends_with("job: another seg-sink is at work here\n"), "{}", second.stderr);
    job::ended(first).ok();
}
