//! Frames in, a film out: what goes well.

mod job;

use job::{FFV1, FFV1_FROM_MEZZ, FRAME, Job, frames, run};
use std::process::Command;

fn probe(path: &std::path::Path, entries: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-show_entries", entries, "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn straight_to_the_final_segments() {
    let job = Job::new();
    let input = frames(0..25);
    let run = job.run(&["--final", FFV1], &input).ok();
    assert_eq!(job.film(), input);
    assert_eq!(probe(&job.path("film.mkv"), "stream=r_frame_rate,nb_read_packets"), "24/1,25");
    assert_eq!(run.names().iter().filter(|n| **n == "final_verified").count(), 3);
    let done = run.event("done").unwrap();
    assert_eq!((&done["frames"], &done["event"]), (&25.into(), &"done".into()));
    assert!(job.list("final").is_empty() && job.list("mezz").is_empty());
    let status = job.status();
    assert_eq!(
        (&status["state"], &status["next_frame"], &status["frames_done"]),
        (&"done".into(), &25.into(), &25.into())
    );
}

#[test]
fn through_a_mezzanine_that_is_deleted_in_time() {
    let job = Job::new();
    let input = frames(0..40);
    let run = job.run(&["--mezz", FFV1, "--final", FFV1_FROM_MEZZ, "--jobs", "2"], &input).ok();
    assert_eq!(job.film(), input);
    for index in 0..4 {
        let at =
            |name: &str| run.events.iter().position(|e| e["event"] == name && e["index"] == index).unwrap();
        assert!(at("segment_opened") < at("segment_closed") && at("segment_closed") < at("final_started"));
        assert!(at("final_started") < at("final_verified") && at("final_verified") < at("chunk_deleted"));
    }
    assert!(job.list("mezz").is_empty());
}

#[test]
fn kept_where_asked() {
    let job = Job::new();
    job.run(&["--mezz", FFV1, "--final", FFV1_FROM_MEZZ, "--keep"], &frames(0..20)).ok();
    assert_eq!(job.list("mezz"), ["000000000.mkv", "000000010.mkv"]);
    assert_eq!(job.list("final"), ["000000000.mkv", "000000010.mkv"]);
}

#[test]
fn one_frame() {
    let job = Job::new();
    job.run(&["--final", FFV1], &frames(0..1)).ok();
    assert_eq!(job.film(), frames(0..1));
}

/// The last segment has one frame; x265 with its delays makes the film.
#[test]
fn one_frame_more_than_a_segment() {
    let job = Job::new();
    let x265 = "ffmpeg -v error -f rawvideo -s {size} -pix_fmt {pix_fmt} -r {rate} -i - \
                -vf setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709 \
                -c:v libx265 -x265-params log-level=none {out}";
    let flags =
        ["-s", "64x64", "-p", "yuv420p", "-r", "24", "--segment", "10f", "-o", "film.mkv", "--final", x265];
    let mut command = job.bare();
    command.args(flags);
    let input: Vec<u8> = frames(0..16 * 21);
    run(command, &input).ok();
    let entries =
        "stream=r_frame_rate,nb_read_packets,color_range,color_space,color_transfer,color_primaries";
    assert_eq!(probe(&job.path("film.mkv"), entries), "tv,bt709,bt709,bt709,24/1,21");
}

#[test]
fn y4m_reaches_the_command_as_it_came() {
    let job = Job::new();
    let mut input = b"YUV4MPEG2 W16 H16 F24:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n".to_vec();
    for frame in frames(0..15).chunks(FRAME) {
        input.extend_from_slice(b"FRAME\n");
        input.extend_from_slice(frame);
    }
    let mut command = job.bare();
    command.args(["-o", "film.mkv", "--segment", "500ms", "--final"]);
    command.arg("ffmpeg -v error -f yuv4mpegpipe -i - -c:v ffv1 -g 1 {out}");
    run(command, &input).ok();
    assert_eq!(job.film(), frames(0..15));
    assert_eq!(probe(&job.path("film.mkv"), "stream=color_range,chroma_location"), "tv,left");
}

/// A film at 24 made of a mezzanine at 25.
#[test]
fn the_film_may_have_its_own_rate() {
    let job = Job::new();
    let slower = "ffmpeg -v error -r 24 -i {in} -c:v ffv1 -g 1 {out}";
    let mut command = job.bare();
    command.args(["-o", "film.mkv", "-s", "16x16", "-p", "yuv420p", "-r", "25", "--segment", "10f"]);
    command.args(["--mezz", FFV1, "--final", slower, "--film-rate", "24"]);
    run(command, &frames(0..25)).ok();
    assert_eq!(job.film(), frames(0..25));
    assert_eq!(probe(&job.path("film.mkv"), "stream=r_frame_rate,nb_read_packets"), "24/1,25");
}
