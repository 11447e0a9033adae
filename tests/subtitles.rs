//! Bitmap subtitles made here: read by `make subs`, and retimed as mkvmerge would.

use pipelines::{clip, make, shell};
use std::path::Path;

/// A picture of text: how opaque each pixel is.
struct Picture {
    width: u16,
    height: u16,
    alpha: Vec<u8>,
}

/// White text, as ffmpeg draws it.
fn drawn(text: &str) -> Picture {
    let (width, height) = (720, 90);
    let draw = format!(
        "ffmpeg -v error -f lavfi -i \"color=black:s={width}x{height},\
         drawtext=text='{text}':fontcolor=white:fontsize=40:x=40:y=24,format=gray\" -frames:v 1 -f rawvideo -"
    );
    let alpha = shell(&draw).run().ok().stdout;
    assert_eq!(alpha.len(), usize::from(width) * usize::from(height));
    Picture { width, height, alpha }
}

/// Blu-ray's run lengths of 16 shades: the colour itself, or 0, how often, and which colour.
fn run_lengths(picture: &Picture) -> Vec<u8> {
    let mut out = Vec::new();
    for row in picture.alpha.chunks(picture.width.into()) {
        for run in row.chunk_by(|a, b| a >> 4 == b >> 4) {
            let (colour, length) = (run[0] >> 4, run.len() as u16);
            let [high, low] = length.to_be_bytes();
            match (colour, length) {
                (0, ..64) => out.extend([0, low]),
                (0, _) => out.extend([0, 0x40 | high, low]),
                (_, ..3) => out.extend(std::iter::repeat_n(colour, length.into())),
                (_, ..64) => out.extend([0, 0x80 | low, colour]),
                _ => out.extend([0, 0xc0 | high, low, colour]),
            }
        }
        out.extend([0, 0]);
    }
    out
}

/// A PGS stream: each picture appears at its start and goes at its end, in ticks of 90 kHz.
fn pgs(cues: &[(u32, u32, &Picture)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut segment = |pts: u32, kind: u8, payload: &[u8]| {
        out.extend(b"PG");
        out.extend(pts.to_be_bytes());
        out.extend([0; 4]);
        out.push(kind);
        out.extend((payload.len() as u16).to_be_bytes());
        out.extend(payload);
    };
    for (n, (start, end, picture)) in cues.iter().enumerate() {
        let [[w1, w0], [h1, h0]] = [picture.width, picture.height].map(u16::to_be_bytes);
        let window = [1, 0, 0, 0, 1, 200, w1, w0, h1, h0];
        let composition = |number: usize, state: u8, objects: &[u8]| {
            let number = (number as u16).to_be_bytes();
            [&[2, 208, 2, 64, 0x10][..], &number, &[state, 0, 0], objects].concat()
        };
        let palette: Vec<u8> =
            [0, 0].into_iter().chain((0..16).flat_map(|shade| [shade, 235, 128, 128, shade * 17])).collect();
        let pixels = run_lengths(picture);
        let length = (pixels.len() as u32 + 4).to_be_bytes();
        let object =
            [&[0, 0, 0, 0xc0, length[1], length[2], length[3], w1, w0, h1, h0][..], &pixels].concat();
        segment(*start, 0x16, &composition(2 * n, 0x80, &[1, 0, 0, 0, 0, 0, 0, 1, 200]));
        segment(*start, 0x17, &window);
        segment(*start, 0x14, &palette);
        segment(*start, 0x15, &object);
        segment(*start, 0x80, &[]);
        segment(*end, 0x16, &composition(2 * n + 1, 0, &[0]));
        segment(*end, 0x17, &window);
        segment(*end, 0x80, &[]);
    }
    out
}

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
    let pictures = WORDS.map(drawn);
    let cues: Vec<_> =
        pictures.iter().zip(0..).map(|(p, n)| (n * 180_000 + 43_200, n * 180_000 + 133_200, p)).collect();
    std::fs::write(path("a.sup"), pgs(&cues)).unwrap();
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
    let cues: Vec<_> = (1..=1500u32).map(|n| (n * 432_000 + n % 50, n * 432_000 + 180_024, &dot)).collect();
    std::fs::write(path("a.sup"), pgs(&cues)).unwrap();
    run(
        folder.path(),
        "subs-retime <a.sup >slow.sup
         mkvmerge -q -o ours.mkv --timestamp-scale 1000 slow.sup
         mkvmerge -q -o theirs.mkv --timestamp-scale 1000 --sync 0:0,25/24 a.sup",
    );
    let [ours, theirs] = ["ours.mkv", "theirs.mkv"].map(|name| presented(&path(name)));
    let ticks = cues.iter().flat_map(|&(start, end, _)| [start, end]);
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
