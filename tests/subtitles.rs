//! Bitmap subtitles made here: read by `make subs`, and retimed as mkvmerge would.

use pipelines::{
    clip, make,
    pgs::{Cue, Picture, pgs},
    shell,
};
use std::path::Path;

/// When each packet is presented, in microseconds.
fn presented(film: &Path) -> Vec<i64> {
    let probe = "ffprobe -v error -show_entries packet=pts_time -of csv=p=0 \"$0\" | tr -d '.,'";
    let times = shell(probe).arg(film).run().ok();
    times.text().lines().map(|time| time.parse().unwrap()).collect()
}

/// The stamps of a VobSub index.
fn idx_stamps(file: &Path) -> Vec<String> {
    let idx = std::fs::read_to_string(file).unwrap();
    idx.lines()
        .filter(|l| l.starts_with("timestamp:"))
        .map(|l| l.split(',').next().unwrap().to_owned())
        .collect()
}

fn run(folder: &Path, script: &str) {
    shell(script).within(folder).run().ok();
}

const WORDS: [&str; 3] = ["Who woke me up", "The rabbit sleeps all day", "and dreams of butterflies"];

#[test]
fn pgs_and_vobsub_are_read() {
    let folder = clip::folder();
    let path = |name: &str| folder.path().join(name);
    let pictures = WORDS.map(|words| Picture::of(words, (720, 90), 40));
    let cue = |(picture, n): (_, u32)| Cue {
        ticks: n * 180_000 + 43_200..n * 180_000 + 133_200,
        objects: vec![(picture, (0, 456))],
    };
    let cues: Vec<_> = pictures.iter().zip(0..).map(cue).collect();
    std::fs::write(path("a.sup"), pgs((720, 576), &cues)).unwrap();
    run(
        folder.path(),
        "mkvmerge -q -o pgs.mkv --language 0:eng a.sup
         ffmpeg -v error -i pgs.mkv -c:s dvdsub -metadata:s language=eng vobsub.mkv",
    );
    for film in ["pgs", "vobsub"] {
        let source = path(&format!("{film}.mkv"));
        make("subs", &[("SRC", source.to_str().unwrap()), ("OUT", folder.path().to_str().unwrap())])
            .run()
            .ok();
        let read = |end: &str| std::fs::read_to_string(path(&format!("{film}.eng.{end}"))).unwrap();
        let cue = |(n, words): (usize, &&str)| {
            format!("{}\n00:00:0{},480 --> 00:00:0{},480\n{words}\n\n", n + 1, 2 * n, 2 * n + 1)
        };
        let text = read("25.srt");
        if film == "pgs" {
            assert_eq!(text, WORDS.iter().enumerate().map(cue).collect::<String>());
            assert!(read("24.srt").contains("\n00:00:02,583 --> 00:00:03,625\n"));
        }
        // ffmpeg's encoder takes the ends away.
        assert_eq!(text.lines().skip(2).step_by(4).collect::<Vec<_>>(), WORDS, "{film}");
        let cues: serde_json::Value = serde_json::from_str(&read("json")).unwrap();
        assert!(cues["cues"].as_array().unwrap().iter().all(|cue| cue["confidence"].as_u64() > Some(60)));
        let page = read("html");
        assert!(
            WORDS.iter().all(|words| page.contains(words))
                && page.matches("data:image/png;base64,").count() == 3
        );
    }
}

#[test]
fn mkvmerge_stretches_alike() {
    let folder = clip::folder();
    let path = |name: &str| folder.path().join(name);
    let dot = Picture { width: 8, height: 2, alpha: vec![255; 16] };
    // Two hours; ticks that stay whole, and ticks that do not.
    let cue =
        |n: u32| Cue { ticks: n * 432_000 + n % 50..n * 432_000 + 180_024, objects: vec![(&dot, (0, 456))] };
    let cues: Vec<_> = (1..=1500).map(cue).collect();
    std::fs::write(path("a.sup"), pgs((720, 576), &cues)).unwrap();
    run(
        folder.path(),
        "subs-retime <a.sup >slow.sup
         mkvmerge -q -o ours.mkv --timestamp-scale 1000 slow.sup
         mkvmerge -q -o theirs.mkv --timestamp-scale 1000 --sync 0:0,25/24 a.sup",
    );
    let [ours, theirs] = ["ours.mkv", "theirs.mkv"].map(|name| presented(&path(name)));
    let ticks = cues.iter().flat_map(|cue| [cue.ticks.start, cue.ticks.end]);
    assert_eq!((ours.len(), theirs.len()), (3000, 3000));
    for (tick, (ours, theirs)) in ticks.zip(ours.iter().zip(&theirs)) {
        // Half a tick of 90 kHz, where theirs went on without a rounding, is 5.6 microseconds.
        let most = if tick % 24 == 0 { 0 } else { 6 };
        assert!((ours - theirs).abs() <= most, "{tick}: {ours} {theirs}");
    }

    run(
        folder.path(),
        "ffmpeg -v error -i a.sup -c:s dvdsub vobsub.mkv
         mkvextract -q vobsub.mkv tracks 0:a.idx
         subs-retime --sub a.sub --out-sub ours.sub <a.idx >ours.idx
         mkvmerge -q -o theirs.mkv --sync 0:0,25/24 a.idx
         mkvextract -q theirs.mkv tracks 0:theirs.idx",
    );
    let [ours, theirs] = ["ours.idx", "theirs.idx"].map(|name| idx_stamps(&path(name)));
    assert_eq!(ours.len(), 1500);
    assert_eq!(ours, theirs);
}
