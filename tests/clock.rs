//! One clock for everything: what is put beside the pictures, what a proof has to say about it, and what is read of bitmap
//! subtitles.

use pipelines::{Ended, clip, ffprobe, make, shared, shell, tool};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};
use tempfile::TempDir;

/// A film of two seconds with all that a film can have besides pictures, and its pictures at 24 frames a second.
struct Film {
    folder: TempDir,
    source: PathBuf,
    video: PathBuf,
}

const SRT: &str = "1\n00:00:00,240 --> 00:00:00,960\nOne\n\n2\n00:00:01,200 --> 00:00:01,920\nTwo, é\n";
const ASS: &str = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,20\n\n\
[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n\
Dialogue: 0,0:00:00.48,0:00:00.96,Default,,0,0,0,,{\\fad(240,480)}Three\n";
const CHAPTERS: &str =
    "CHAPTER01=00:00:00.000\nCHAPTER01NAME=Out\nCHAPTER02=00:00:01.200\nCHAPTER02NAME=And in\n";

fn ran(program: &str, args: &[&str], folder: &Path) {
    let output = Command::new(program).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The filters that make frames BT.709 and by which they say so, as the Makefile has it.
const BT709: &str = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p10le,\
                     setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709";

/// HEVC as the options make it, of the source's pictures: `frames` from `first` on.
fn hevc(name: &str, first: u64, frames: u64, folder: &Path) {
    let pictures = format!("testsrc=s=64x64:r=25,trim=start_frame={first},settb=1/24,setpts=N,fps=24");
    let args = format!(
        "-v error -f lavfi -i {pictures} -vf {BT709} -r 24 -frames:v {frames} -pix_fmt yuv420p10le -c:v libx265 -crf 8 \
         -x265-params log-level=error {name}"
    );
    ran("ffmpeg", &args.split_whitespace().collect::<Vec<_>>(), folder);
}

fn film() -> &'static Film {
    static FILM: LazyLock<Film> = LazyLock::new(|| {
        let folder = clip::folder();
        let path = |name| folder.path().join(name);
        for (name, text) in
            [("a.srt", SRT), ("a.ass", ASS), ("a.chapters", CHAPTERS), ("font.ttf", "no font at all")]
        {
            std::fs::write(path(name), text).unwrap();
        }
        // Bursts of noise, so that there is something to align; 6 channels, and 44.1 kHz in the other track.
        let noise = "aevalsrc='0.5*(random(0)*2-1)*lt(mod(t,0.7),0.2)':s=48000:d=2";
        let args = [
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=64x64:r=25:d=2",
            "-f",
            "lavfi",
            "-i",
            noise,
            "-map",
            "0",
            "-map",
            "1",
            "-map",
            "1",
            "-c:v",
            "mpeg2video",
            "-c:a:0",
            "ac3",
            "-ac:a:0",
            "6",
            "-b:a:0",
            "384k",
            "-dialnorm:a:0",
            "-24",
            "-center_mixlev:a:0",
            "0.707",
            "-c:a:1",
            "flac",
            "-ar:a:1",
            "44100",
            "-sample_fmt:a:1",
            "s16",
            "streams.mkv",
        ];
        ran("ffmpeg", &args, folder.path());
        let mux = "--quiet -o film.mkv --title A\u{a0}film --chapters a.chapters --attach-file font.ttf \
             --language 1:ger --track-name 1:Mehrkanal --default-track-flag 1:0 --language 2:en --track-name 2:Commentary,\u{a0}by\u{a0}X \
             --commentary-flag 2:1 streams.mkv --language 0:fre --forced-display-flag 0:1 a.srt --language 0:pt-BR a.ass";
        ran("mkvmerge", &mux.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>(), folder.path());
        hevc("video.mkv", 0, 50, folder.path());
        Film { source: path("film.mkv"), video: path("video.mkv"), folder }
    });
    &FILM
}

fn mux(mode: &str, source: &Path, video: &Path, out: &Path) -> Ended {
    tool("storage-diet", "mux --audio").arg(mode).arg(source).arg(video).arg(out).run()
}

fn verify(source: &Path, out: &Path) -> Ended {
    tool("storage-diet", "verify-film").arg(source).arg(out).run()
}

fn packets(film: &Path, stream: &str, entries: &str) -> Vec<String> {
    let args = ["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0"];
    let output = Command::new("ffprobe").args(args).arg(film).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split_whitespace()
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect()
}

/// Samples that a track decodes to.
fn samples(film: &Path, track: usize) -> u64 {
    packets(film, &format!("a:{track}"), "frame=nb_samples").iter().map(|n| n.parse::<u64>().unwrap()).sum()
}

/// The bytes of a track's first AC-3 frame that say which channels there are, how loud they are and how to mix them.
fn dolby(film: &Path, track: usize) -> Vec<u8> {
    let first =
        format!("ffmpeg -v error -i '{}' -map 0:a:{track} -c copy -frames:a 1 -f data -", film.display());
    shell(&first).run().ok().stdout[5..8].to_vec()
}

#[test]
fn everything_is_carried_over() {
    let Film { folder, source, video } = film();
    for mode in ["pitch-kept", "pitch-lowered"] {
        let out = folder.path().join(format!("{mode}.mkv"));
        let ended = mux(mode, source, video, &out).ok();
        assert_eq!((ended.text(), &*ended.stderr), (&*format!("film: {}\n", out.display()), ""));

        let probe = ffprobe(&out);
        let streams = probe["streams"].as_array().unwrap();
        let words = |key: &str| {
            streams.iter().map(|s| s.pointer(key).map_or("", |v| v.as_str().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(words("/codec_name"), ["hevc", "ac3", "flac", "subrip", "ass", ""]);
        assert_eq!(words("/tags/language"), ["", "ger", "eng", "fre", "por", ""]);
        assert_eq!(words("/tags/title"), ["", "Mehrkanal", "Commentary,\u{a0}by\u{a0}X", "", "", ""]);
        assert_eq!(words("/channel_layout")[1..3], ["5.1(side)", "mono"]);
        assert_eq!(words("/tags/filename")[5], "font.ttf");
        assert_eq!(words("/bit_rate")[1], "384000");
        assert_eq!(dolby(&out, 0), dolby(source, 0));
        let flag = |n: usize, name: &str| streams[n]["disposition"][name] == 1;
        assert!(flag(2, "comment") && flag(3, "forced") && !flag(1, "default"));
        assert_eq!(probe["format"]["tags"]["title"], "A\u{a0}film");
        let video = &streams[0];
        for (key, value) in [
            ("r_frame_rate", "24/1"),
            ("sample_aspect_ratio", "1:1"),
            ("color_space", "bt709"),
            ("color_transfer", "bt709"),
            ("color_primaries", "bt709"),
            ("color_range", "tv"),
            ("nb_read_packets", "50"),
        ] {
            assert_eq!(video[key], value, "{key}");
        }

        // 50/24 s: 100,000 samples at 48 kHz, in AC-3 to the nearest frame of 1536; 91,875 at 44.1 kHz.
        assert_eq!([samples(&out, 0), samples(&out, 1)], [65 * 1536, 91_875]);
        // ffmpeg's Matroska begins 5 ms late; times are that much later, times 25/24.
        assert_eq!(packets(&out, "s:0", "packet=pts_time"), ["0.250000", "1.250000"]);
        assert_eq!(packets(&out, "s:1", "packet=pts_time"), ["0.500000"]);
        let chapters: Vec<_> =
            probe["chapters"].as_array().unwrap().iter().map(|c| c["start_time"].as_str().unwrap()).collect();
        assert_eq!(chapters, ["0.000000", "1.250000"]);
        let titles: Vec<_> = probe["chapters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["tags"]["title"].as_str().unwrap())
            .collect();
        assert_eq!(titles, ["Out", "And in"]);
        let events = folder.path().join("events.ass");
        ran("mkvextract", &["--quiet", out.to_str().unwrap(), "tracks", "4:events.ass"], folder.path());
        assert!(std::fs::read_to_string(events).unwrap().contains("{\\fad(250,500)}Three"));

        let said = verify(source, &out).ok();
        let report: Vec<_> =
            said.text().lines().map(|line| line.split("  ").next().unwrap().trim()).collect();
        let last = format!("{}: verified", out.display());
        assert_eq!(
            report,
            [
                "",
                "video",
                "",
                "",
                "sound 0",
                "",
                "sound 1",
                "",
                "subtitles 0",
                "subtitles 1",
                "chapters",
                &last
            ],
            "{}",
            said.text()
        );
    }
}

/// Ticks of any clock, slowed from 25 to 24.
fn slowed(ticks: u64) -> u64 {
    (2 * ticks * 25 + 24) / 48
}

/// What is 0 at the beginning is 0 at the end. 12 seconds of a film; `scripts/drift` runs all 128 minutes of it.
#[test]
fn no_drift() {
    let seconds = if std::env::var_os("DRIFT").is_some_and(|d| d == "full") { 128 * 60 } else { 12 };
    let frames = seconds * 25;
    let folder = clip::folder();
    let path = |name: &str| folder.path().join(name);
    // Times in milliseconds of which few are whole when they are slowed, up to the last frame.
    let cues: Vec<u64> = (0..frames / 96 + 1).map(|n| (n * 3833 + n % 7).min(seconds * 1000 - 7)).collect();
    let chapters: Vec<u64> = (0..24).map(|n| n * (seconds * 1000 - 1) / 23).collect();
    let clock = |ms: u64| {
        format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    };
    let srt: String =
        cues.iter().map(|&ms| format!("1\n{} --> {}\nx\n\n", clock(ms), clock(ms + 7))).collect();
    let ogm: String = chapters
        .iter()
        .enumerate()
        .map(|(n, &ms)| format!("CHAPTER{n:02}={}\nCHAPTER{n:02}NAME=x\n", clock(ms)))
        .collect();
    std::fs::write(path("a.srt"), srt.replace('.', ",")).unwrap();
    std::fs::write(path("a.chapters"), ogm).unwrap();
    let film = format!(
        "ffmpeg -v error -f lavfi -i testsrc=s=64x64:r=25 -f lavfi -i \
         'aevalsrc=0.1*(random(0)*2-1)*lt(mod(t\\,0.7)\\,0.2):s=48000' -map 0 -map 1 -map 1 -t {seconds} -c:v mpeg2video \
         -c:a:0 ac3 -ac:a:0 6 -b:a:0 384k -c:a:1 flac -ar:a:1 44100 -sample_fmt:a:1 s16 streams.mkv
         mkvmerge -q -o film.mkv --chapters a.chapters streams.mkv a.srt; rm streams.mkv"
    );
    shell(&film).within(folder.path()).run().ok();
    hevc("v.mkv", 0, frames, folder.path());
    for mode in ["pitch-kept", "pitch-lowered"] {
        let out = path("out.mkv");
        mux(mode, &path("film.mkv"), &path("v.mkv"), &out).ok();
        let ms = |stream| -> Vec<u64> {
            let seconds = packets(&out, stream, "packet=pts_time");
            seconds.iter().map(|time| (time.parse::<f64>().unwrap() * 1000.0).round() as u64).collect()
        };
        assert_eq!(ms("s:0"), cues.iter().map(|&ms| slowed(ms)).collect::<Vec<_>>());
        let starts: Vec<_> = ffprobe(&out)["chapters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["start"].as_u64().unwrap())
            .collect();
        assert_eq!(starts, chapters.iter().map(|&ms| slowed(ms * 1_000_000)).collect::<Vec<_>>());

        let said = verify(&path("film.mkv"), &out).ok();
        eprintln!("{mode}:\n{}", said.text());
        let line = |name: &str| -> Vec<&str> {
            said.text().lines().filter(|line| line.trim_start().starts_with(name)).collect()
        };
        assert!(line("video")[0].contains(&format!(" {frames} frames")));
        let samples = (frames * 2000 + 768) / 1536 * 1536;
        assert!(line("sound 0")[0].contains(&format!(" {samples} samples")));
        assert!(line("sound 1")[0].contains(&format!(" {} samples", frames * 44_100 / 24)));
        let heard = line("as heard");
        assert_eq!(heard.len(), 2);
        for off in heard.iter().flat_map(|line| line.split_whitespace().skip(2).take(3)) {
            assert!(off.parse::<f64>().unwrap().abs() < 1.0, "{mode}: {off} ms: {}", said.text());
        }
    }
}

#[test]
fn refusals() {
    let Film { folder, source, video } = film();
    let out = folder.path().join("refused.mkv");
    let faster = "storage-diet: usage: invalid value 'copy' for '--audio <AUDIO>': sound that is not slowed runs ahead of the \
                  pictures, by 4 %; say pitch-kept or pitch-lowered";
    mux("copy", source, video, &out).failed(2, faster);
    let unknown = "storage-diet: usage: invalid value 'pitch' for '--audio <AUDIO>': there are pitch-kept and pitch-lowered";
    mux("pitch", source, video, &out).failed(2, unknown);
    let missing = folder.path().join("none.mkv");
    mux("pitch-kept", &missing, video, &out)
        .failed(1, &format!("storage-diet: {}: no such file", missing.display()));
    hevc("long.mkv", 0, 51, folder.path());
    let long = folder.path().join("long.mkv");
    let many = format!(
        "storage-diet: {}: has 51 frames; {} has 50, and --start leaves out 0",
        long.display(),
        source.display()
    );
    mux("pitch-kept", source, &long, &out).failed(3, &many);
    assert!(!out.exists(), "nothing is left of what was refused");
}

#[test]
fn an_excerpt_has_its_own_zero() {
    let Film { folder, source, .. } = film();
    hevc("half.mkv", 24, 24, folder.path());
    let out = folder.path().join("excerpt.mkv");
    let half = folder.path().join("half.mkv");
    tool("storage-diet", "mux --start 24").arg(source).arg(&half).arg(&out).run().ok();
    // From 0.96 s on, for 24 frames.
    assert_eq!(packets(&out, "s:0", "packet=pts_time"), ["0.250000"]);
    assert_eq!(samples(&out, 1), 44_100);
    let probe = ffprobe(&out);
    let starts: Vec<_> =
        probe["chapters"].as_array().unwrap().iter().map(|c| c["start_time"].as_str().unwrap()).collect();
    assert_eq!(starts, ["0.000000", "0.250000"]);
    tool("storage-diet", "verify-film --start 24").arg(source).arg(&out).run().ok();

    let jobs = folder.path().join("jobs");
    std::fs::create_dir(&jobs).unwrap();
    let none = format!("storage-diet: {}: no film is here", jobs.display());
    let ended = make("verify", &[("OUT", jobs.to_str().unwrap())]).run();
    assert_eq!((ended.code, ended.stderr.lines().next()), (2, Some(&*none)));
}

/// What begins when the pictures are over is no part of the film, to the one that makes it and to the one that proves it; and
/// chapters may be nested, hidden, of no length, and in any order.
#[test]
fn what_begins_after_the_last_picture_is_left_out() {
    let Film { folder, video, .. } = film();
    let path = |name: &str| folder.path().join(name);
    let srt = format!("{SRT}\n3\n00:00:02,040 --> 00:00:03,000\nToo late\n");
    std::fs::write(path("late.srt"), srt).unwrap();
    let atom = |start: &str, more: &str| {
        format!("<ChapterAtom><ChapterTimeStart>00:00:{start}</ChapterTimeStart>{more}</ChapterAtom>")
    };
    let nested = atom("01.0", "<ChapterFlagHidden>1</ChapterFlagHidden>");
    let zero = atom("00.8", &format!("<ChapterTimeEnd>00:00:00.8</ChapterTimeEnd>{nested}"));
    let listed = [atom("00.0", ""), zero, atom("01.6", ""), atom("00.4", ""), atom("59.0", "")].concat();
    let hidden = format!("<EditionFlagHidden>1</EditionFlagHidden>{}", atom("01.0", ""));
    let xml = format!(
        "<?xml version=\"1.0\"?>\n<Chapters><EditionEntry>{listed}</EditionEntry><EditionEntry>{hidden}</EditionEntry></Chapters>"
    );
    std::fs::write(path("late.xml"), xml).unwrap();
    let mux_source = "--quiet -o late-source.mkv --chapters late.xml streams.mkv late.srt";
    ran("mkvmerge", &mux_source.split(' ').collect::<Vec<_>>(), folder.path());
    let (source, out) = (path("late-source.mkv"), path("late-film.mkv"));
    let ended = mux("pitch-lowered", &source, video, &out).ok();
    let left_out = format!(
        "storage-diet: {}: subtitles: 1 cue when the pictures are over, left out\n",
        source.display()
    );
    assert_eq!(ended.stderr, left_out);
    assert_eq!(packets(&out, "s:0", "packet=pts_time"), ["0.250000", "1.250000"]);
    let said = verify(&source, &out).ok();
    let line = |name: &str| said.text().lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("subtitles 0").contains("  2, at most "), "{}", said.text());
    assert!(line("chapters").contains("  6, at most "), "{}", said.text());
}

#[test]
fn pictures_alone() {
    let folder = clip::folder();
    let (source, video, out) =
        (folder.path().join("a.mp4"), folder.path().join("v.mkv"), folder.path().join("o.mkv"));
    let args = "-v error -f lavfi -i testsrc=s=64x64:r=25 -frames:v 25 -c:v mpeg4 a.mp4";
    ran("ffmpeg", &args.split(' ').collect::<Vec<_>>(), folder.path());
    hevc("v.mkv", 0, 25, folder.path());
    mux("pitch-kept", &source, &video, &out).ok();
    assert_eq!(ffprobe(&out)["streams"].as_array().map(Vec::len), Some(1));
    verify(&source, &out).ok();
}

#[test]
fn a_proof_finds_what_is_wrong() {
    let Film { folder, source, video } = film();
    let path = |name: &str| folder.path().join(name);
    mux("pitch-lowered", source, video, &path("good.mkv")).ok();
    let wrong = |name: &str, command: &str| {
        ran("sh", &["-c", command], folder.path());
        let ended = verify(source, &path(name));
        assert_eq!(ended.code, 1, "{name}: {}", ended.text());
        ended.stderr.replace(&format!("storage-diet: {}: ", path(name).display()), "")
    };
    let late = wrong("late.mkv", "mkvmerge -q -o late.mkv --sync 2:40 --sync 3:30 good.mkv");
    assert!(late.contains("sound 1: begins 0.040") && late.contains("subtitles 0: 0.030"), "{late}");
    let short = wrong(
        "short.mkv",
        "ffmpeg -v error -y -i good.mkv -map 0 -c copy -c:a flac -af atrim=end=1.9 short.mkv",
    );
    assert!(short.contains("sound 0: ends -0.1"), "{short}");
    let tags = wrong(
        "tags.mkv",
        "ffmpeg -v error -y -i good.mkv -map 0:v -pix_fmt yuv420p -c:v libx264 -r 25 tags.mkv",
    );
    assert!(
        tags.contains("video: codec_name is h264, neither hevc nor av1")
            && tags.contains("r_frame_rate is 25/1, not 24/1"),
        "{tags}"
    );
    let shifted = wrong(
        "shifted.mkv",
        "ffmpeg -v error -y -i good.mkv -map 0:v -vf trim=start_frame=1,setpts=N/24/TB,tpad=stop=1:stop_mode=clone -r 24 \
         -pix_fmt yuv420p10le -c:v libx265 -crf 8 -x265-params log-level=error shifted.mkv",
    );
    assert!(
        shifted.contains("is not frame") && shifted.contains("it is the one 1 frame after it"),
        "{shifted}"
    );
    let dark = wrong(
        "dark.mkv",
        "ffmpeg -v error -y -i good.mkv -map 0:v -vf format=yuv420p,lutyuv=y=val-10 -pix_fmt yuv420p10le -c:v libx265 -crf 8 \
         -x265-params log-level=error dark.mkv",
    );
    assert!(dark.contains("levels: frame ") && dark.contains(" darker than the source's (luma "), "{dark}");
    let torn = wrong("torn.mkv", "head -c 60000 good.mkv >torn.mkv");
    assert!(!torn.is_empty());
    let slower = wrong("slower.mkv", "mkvmerge -q -o slower.mkv --sync 1:0,1002/1000 good.mkv");
    assert!(slower.contains("sound 0: has a gap"), "{slower}");
}

/// The words of an SRT file.
fn words(srt: &str) -> Vec<&str> {
    srt.lines()
        .filter(|line| !line.contains("-->") && line.parse::<u32>().is_err())
        .flat_map(str::split_whitespace)
        .collect()
}

#[test]
fn bitmap_subtitles_are_read() {
    let (Some(clip), Some(srt)) = (shared("clips/bbb-dvd-psf.mkv"), shared("clips/bbb.srt")) else { return };
    let folder = clip::folder();
    let subs = |film: &Path| {
        make(
            "subs",
            &[("SRC", film.to_str().unwrap()), ("OUT", folder.path().to_str().unwrap()), ("LANG", "eng")],
        )
        .run()
    };
    subs(&clip).ok();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (text, expected) = (read("bbb-dvd-psf.eng.25.srt"), std::fs::read_to_string(srt).unwrap());
    assert_eq!(words(&text), words(&expected));
    let cues: Value = serde_json::from_str(&read("bbb-dvd-psf.eng.json")).unwrap();
    assert!(
        cues["cues"]
            .as_array()
            .unwrap()
            .iter()
            .all(|cue| cue["confidence"].as_u64().is_some_and(|c| c <= 100))
    );
    assert_eq!(read("bbb-dvd-psf.eng.html").matches("<tr").count(), 3);

    let none = shared("clips/bbb-dvd-50i.mkv").unwrap();
    let message =
        format!("storage-diet: {}: no VobSub or PGS track in eng; there are: no subtitles", none.display());
    assert_eq!(subs(&none).stderr.lines().next(), Some(&*message));
}

#[test]
fn bitmap_subtitles_are_carried_over() {
    let Some(clip) = shared("clips/bbb-dvd-psf.mkv") else { return };
    let folder = clip::folder();
    let pictures = format!(
        "ffmpeg -v error -i '{}' -map 0:v -vf bwdif=0,setpts=N/24/TB,scale=256:144,setsar=1,{BT709} -r 24 -frames:v 132 \
         -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params log-level=error v.mkv",
        clip.display()
    );
    shell(&pictures).within(folder.path()).run().ok();
    let out = folder.path().join("film.mkv");
    mux("pitch-lowered", &clip, &folder.path().join("v.mkv"), &out).ok();
    // 0.560, 2.200 and 3.880 s; how long a picture stays is written in it, in units of 1024/90000 s.
    assert_eq!(
        packets(&out, "s:0", "packet=pts_time,duration_time"),
        ["0.583000,1.536000", "2.292000,1.343000", "4.042000,1.343000"]
    );
    verify(&clip, &out).ok();
    // mkvmerge's own arithmetic comes to the same.
    let stretched = folder.path().join("stretched.mkv");
    let args = [
        "--quiet",
        "-o",
        "stretched.mkv",
        "--no-video",
        "--no-audio",
        "--sync",
        "2:0,25/24",
        clip.to_str().unwrap(),
    ];
    ran("mkvmerge", &args, folder.path());
    assert_eq!(packets(&stretched, "s:0", "packet=pts_time"), packets(&out, "s:0", "packet=pts_time"));
}
