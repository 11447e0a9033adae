//! `--field-phase auto` on film with compression noise, in phase and a field out of it.

use pipelines::{Ended, clip, shell, tool};
use serde_json::Value;

const FRAME: usize = 720 * 576 * 3 / 2;
const FRAMES: usize = 30;

/// A zoom into fine detail, and pictures that roll by whole lines (where fields of two frames are most alike) on top of
/// what moves in them. Each has grain of a seed of its own.
const FILMS: [&str; 5] = [
    "mandelbrot=s=720x576:rate=25:end_scale=0.01",
    "testsrc2=s=720x576:rate=25,scroll=vertical=1/576",
    "testsrc2=s=720x576:rate=25,scroll=vertical=2/576",
    "testsrc2=s=720x576:rate=25,scroll=vertical=3/576",
    "testsrc2=s=720x576:rate=25,scroll=vertical=8/576",
];

/// Film frames, one more than the disc will have.
fn film(seed: usize) -> Vec<u8> {
    shell(&format!(
        "ffmpeg -v error -nostdin -f lavfi -i {},noise=alls=4:allf=t:all_seed={seed} -frames:v {} -pix_fmt yuv420p \
         -f rawvideo -",
        FILMS[seed],
        FRAMES + 1
    ))
    .run()
    .ok()
    .stdout
}

/// As a disc has it that begins with film frame 1: every frame's `late` lines (0: top, 1: bottom) are those of the film
/// frame before.
fn shifted(film: &[u8], late: usize) -> Vec<u8> {
    let mut disc = film[FRAME..].to_vec();
    let (mut row, mut y) = (0, 0);
    while row < disc.len() {
        // 576 rows of luma, then twice 288 of chroma; all three are even, so that parity runs on.
        let width = if y % 1152 < 576 { 720 } else { 360 };
        if y % 2 == late {
            disc[row..row + width].copy_from_slice(&film[row..row + width]);
        }
        row += width;
        y += 1;
    }
    disc
}

/// Through an interlaced MPEG-2 encode at a disc's rate, then through the tool: the log, and the frames that went in and
/// came out.
fn solve(disc: Vec<u8>) -> (Vec<Value>, Vec<u8>, Vec<u8>) {
    let folder = clip::folder();
    let log = folder.path().join("log");
    let decoded = shell(
        "ffmpeg -v error -nostdin -f rawvideo -s 720x576 -pix_fmt yuv420p -r 25 -i - -vf setfield=tff -c:v mpeg2video -b:v 6M \
         -flags +ildct+ilme -f mpegts - | ffmpeg -v error -nostdin -f mpegts -i - -fps_mode passthrough \
         -pix_fmt yuv420p -f rawvideo -",
    )
    .input(disc)
    .run()
    .ok()
    .stdout;
    assert_eq!(decoded.len(), FRAMES * FRAME);
    let args = "-q -s 720x576 -p yuv420p -P yuv420p --scale none --field tff --field-phase auto --log";
    let Ended { stdout, .. } = tool("deint-crop", args).arg(&log).input(decoded.clone()).run().ok();
    let log = std::fs::read_to_string(log).unwrap();
    (log.lines().map(|l| serde_json::from_str(l).unwrap()).collect(), decoded, stdout)
}

#[test]
fn a_frame_that_was_right_is_never_touched() {
    for seed in 0..FILMS.len() {
        let (log, disc, out) = solve(film(seed)[FRAME..].to_vec());
        assert_eq!(log.len(), FRAMES);
        assert!(log.iter().all(|line| line["done"] == "kept"), "{seed}: {log:?}");
        assert!(out == disc);
    }
}

/// Detail as fine as the lines, under grain, that moves by a line or so for each frame: fields of two film frames look as
/// well together as those of one, or better, and a frame that looks combed was so in the film.
#[test]
fn fine_detail_is_no_reason_to_touch_a_frame() {
    let still = "testsrc=s=720x576:rate=25:d=0.04,noise=alls=60,loop=-1:1:0";
    for film in [
        format!("{still},scroll=vertical=1/576,noise=alls=2:allf=t"),
        format!("{still},scroll=vertical=2/576,noise=alls=2:allf=t"),
        format!("{still},scroll=vertical=4/576,noise=alls=2:allf=t"),
        "mandelbrot=s=720x576:rate=25:start_scale=0.02:end_scale=0.015:end_pts=400,noise=alls=6:allf=t"
            .into(),
    ] {
        let frames = shell(&format!(
            "ffmpeg -v error -nostdin -f lavfi -i '{film}' -frames:v {FRAMES} -pix_fmt yuv420p -f rawvideo -"
        ));
        let (log, disc, out) = solve(frames.run().ok().stdout);
        assert!(log.iter().all(|line| line["done"] == "kept"), "{film}: {log:?}");
        assert!(out == disc);
    }
}

#[test]
fn every_frame_is_paired_anew() {
    for seed in 0..FILMS.len() {
        let film = film(seed);
        for (late, done) in [(1, "top_with_next"), (0, "bottom_with_next")] {
            let (log, disc, out) = solve(shifted(&film, late));
            assert!(log[..FRAMES - 1].iter().all(|line| line["done"] == done), "{seed} {late}: {log:?}");
            assert_eq!(log[FRAMES - 1]["done"], "deinterlaced");
            // Paired with the next frame the fields are of one film frame: closer to it than the disc's own frames.
            let error = |a: &[u8], n: usize| -> u64 {
                let pairs = a[n * FRAME..][..720 * 576].iter().zip(&film[(n + 1) * FRAME..]);
                pairs.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum()
            };
            for n in 0..FRAMES - 1 {
                let (anew, before) = (error(&out, n), error(&disc, n));
                assert!(anew < before, "{seed} {late} {n}: {anew} {before}");
            }
        }
    }
}

/// Frames of `first` top field first, then as many of `second` bottom field first: the log's words, and what came out.
fn changing(first: &[u8], second: &[u8]) -> (Vec<String>, Vec<u8>) {
    let folder = clip::folder();
    let (log, list) = (folder.path().join("log"), folder.path().join("list"));
    let run = |n: usize, order: &str| format!("{{\"first_frame\":{n},\"field_order\":\"{order}\"}}\n");
    std::fs::write(&list, run(0, "tt") + &run(first.len() / FRAME, "bb")).unwrap();
    let args = "-q -s 720x576 -p yuv420p -P yuv420p --scale none --field-phase auto --field-orders";
    let tool = tool("deint-crop", args).arg(&list).arg("--log").arg(&log);
    let Ended { stdout, .. } = tool.input([first, second].concat()).run().ok();
    let log = std::fs::read_to_string(log).unwrap();
    let done = log.lines().map(|l| {
        let line: Value = serde_json::from_str(l).unwrap();
        line["done"].as_str().unwrap().to_owned()
    });
    (done.collect(), stdout)
}

/// Where the field order changes one film ends and another begins: no frame is joined with one of the other.
#[test]
fn nothing_is_paired_across_a_change_of_order() {
    const N: usize = 8;
    let (a, b) = (film(0), film(4));
    let (late, early) = (shifted(&a, 1), shifted(&b, 0));
    let (done, out) = changing(&late[..N * FRAME], &early[..N * FRAME]);
    fn last(word: &str) -> Vec<&str> {
        [vec![word; N - 1], vec!["deinterlaced"]].concat()
    }
    assert_eq!(done, [last("top_with_next"), last("bottom_with_next")].concat());
    // The first film's end is what it is where nothing follows.
    let (alone, end) = changing(&late[..N * FRAME], &[]);
    assert_eq!(alone, done[..N]);
    assert!(end[..(N - 1) * FRAME] == out[..(N - 1) * FRAME]);
    // A film in phase that comes after one out of phase, and the other way round.
    let right = &b[..N * FRAME];
    let (done, out) = changing(&late[..N * FRAME], right);
    assert_eq!(done, [last("top_with_next"), vec!["kept"; N]].concat());
    assert!(out[N * FRAME..] == *right);
    let (done, out) = changing(right, &late[..N * FRAME]);
    assert_eq!(done, [vec!["kept"; N], last("top_with_next")].concat());
    assert!(out[..N * FRAME] == *right);
}

/// Of video every frame is deinterlaced, the last before a change and the film's last too.
#[test]
fn the_last_frame_of_video_is_deinterlaced() {
    let video = |order: &str| {
        let script = format!(
            "ffmpeg -v error -nostdin -f lavfi -i testsrc2=s=720x576:rate=50,scroll=0.01,interlace=scan={order}:lowpass=off \
             -frames:v 8 -pix_fmt yuv420p -f rawvideo -"
        );
        shell(&script).run().ok().stdout
    };
    let (done, _) = changing(&video("tff"), &video("bff"));
    assert_eq!(done, ["deinterlaced"; 16]);
}

#[test]
fn says_what_does_not_go_together() {
    for (args, message) in [
        (
            "--field-phase auto --mode field",
            "--field-phase auto: decides itself what to deinterlace, one frame for each",
        ),
        ("--log x", "--log: is about --field-phase auto, which is off"),
        ("--field-phase auto", "--field-phase auto: needs YUV; RGB has no luma to compare fields by"),
    ] {
        tool("deint-crop", &format!("-q -s 8x8 -p rgb24 {args}"))
            .input([0; 192])
            .run()
            .failed(2, &format!("deint-crop: {message}"));
    }
}
