//! This machine's ffmpeg and a current one (`scripts/fetch-ffmpeg`): a film does not depend on which of them runs.

use pipelines::{Ended, Run, clip, ffprobe, make, nearest, root, shell};
use std::path::{Path, PathBuf};

/// Each option with the mezzanines that it keeps.
const OPTIONS: [(&str, &[&str]); 7] = [
    ("option0", &["pre.mov", "mezz.mov"]),
    ("option1", &["pre.mov", "mezz.mov"]),
    ("option2", &["mezz.mov"]),
    ("option3", &["mezz.mkv"]),
    ("option4", &[]),
    ("option5", &["segments/mezz/000000000.mkv", "segments/mezz/000000010.mkv"]),
    ("recommended", &["pre.mov", "segments/mezz/000000000.mkv", "segments/mezz/000000010.mkv"]),
];

/// Frames of the film, a segment and a bit.
const FRAMES: &str = "12";

/// A search path on which a current ffmpeg is the first. `None` on a machine that none is built for.
fn current() -> Option<String> {
    let folder = root().join(".tools/ffmpeg");
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("skipped: scripts/fetch-ffmpeg has none for this machine");
        return None;
    }
    assert!(
        folder.join("done").exists(),
        "no current ffmpeg: run scripts/fetch-ffmpeg, which takes it from PyPI"
    );
    Some(format!("{}:{}", folder.display(), usual()))
}

fn usual() -> String {
    std::env::var("PATH").unwrap()
}

/// `make TARGET` of a small film, with what is on that search path.
fn made(target: &str, source: &Path, out: &Path, path: &str, more: &[(&str, &str)]) -> Ended {
    let mut variables = vec![
        ("SRC", source.to_str().unwrap()),
        ("OUT", out.to_str().unwrap()),
        ("ENGINE", nearest()),
        ("WINDOW", "8"),
        ("OVERLAP", "2"),
        ("HEIGHT", "144"),
        ("PRESET", "ultrafast"),
        ("SEGMENT", "10f"),
        ("MEZZ", "x265"),
    ];
    variables.extend(more);
    make(target, &variables).env("PATH", path).run()
}

fn verified(out: &Path, path: &str) {
    let run: Run = make("verify", &[("OUT", out.to_str().unwrap())]);
    run.env("PATH", path).run().ok();
}

/// All options in full torture; else those that have every stage between them.
fn options() -> Vec<(&'static str, &'static [&'static str])> {
    let is_full = std::env::var_os("TORTURE").is_some_and(|torture| torture == "full");
    let has_all = |name: &str| ["option0", "option3", "option5"].contains(&name);
    OPTIONS.into_iter().filter(|(name, _)| is_full || has_all(name)).collect()
}

/// The colours that a film says it has, to this machine's ffprobe; the other's is asked by `verify`.
fn tags(film: &Path) -> String {
    let entries = "stream=color_range,color_space,color_transfer,color_primaries";
    let film = film.display();
    let command = format!("ffprobe -v error -select_streams v -show_entries {entries} -of csv=p=0 '{film}'");
    shell(&command).run().ok().text().trim().trim_end_matches(',').to_owned()
}

#[test]
fn every_option_makes_the_same_film_with_either() {
    let Some(current) = current() else { return };
    let (folder, source) = (clip::folder(), clip::second());
    let legs =
        [("usual", usual()), ("current", current)].map(|(name, path)| (folder.path().join(name), path));
    for (out, path) in &legs {
        for (option, _) in options() {
            let told = [("SCALE", "64x64"), ("FRAMES", FRAMES), ("KEEP", "1")];
            made(option, source, out, path, &told).ok();
        }
        verified(out, path);
    }
    let both = |file: &str| legs.each_ref().map(|(out, _)| out.join(file));
    for (option, mezzanines) in options() {
        for file in mezzanines {
            let [usual, current] = both(&format!("{option}/{file}"));
            assert_eq!(clip::decoded(&usual), clip::decoded(&current), "{option}: {file}");
            assert_eq!(ffprobe(&current)["streams"][0]["color_transfer"], "bt709", "{option}: {file}");
        }
        // Two versions of x265 differ as two encodes do.
        let films = both(&format!("{option}/film.mkv"));
        let alike = alike(&films);
        assert!(alike > 35.0, "{option}: {alike} dB");
        assert_eq!(tags(&films[1]), "tv,bt709,bt709,bt709", "{option}");
    }
}

/// The PSNR of two films of [`FRAMES`], in dB, of the frame where it is least.
fn alike(films: &[PathBuf; 2]) -> f64 {
    let [a, b] = films.each_ref().map(|film| film.display());
    let command =
        format!("ffmpeg -v error -nostdin -i '{a}' -i '{b}' -lavfi '[0:v][1:v]psnr=stats_file=-' -f null -");
    let ended = shell(&command).run().ok();
    let frames = ended.text().lines().map(|line| {
        let psnr = line.split("psnr_avg:").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        psnr.parse::<f64>().unwrap()
    });
    let frames: Vec<_> = frames.collect();
    assert_eq!(frames.len().to_string(), FRAMES);
    frames.into_iter().fold(f64::INFINITY, f64::min)
}

/// ffmpeg crops what a container says from 7.1 on, before it does not, and either has its own idea of the shape.
#[test]
fn edges_that_the_container_hides_are_hidden_alike() {
    let Some(current) = current() else { return };
    let (folder, source) = (clip::folder(), clip::second());
    let path = |name: &str| folder.path().join(name);
    // Bars above and below, and a display size of what is left; the second has nothing but the bars taken off.
    let files = format!(
        "cp '{}' all.mkv
         mkvmerge -q -o left.mkv --display-dimensions 0:1024x432 --cropping 0:0,72,0,72 all.mkv
         mkvpropedit -q all.mkv -e track:v1 -s pixel-crop-top=72 -s pixel-crop-bottom=72",
        source.display()
    );
    shell(&files).within(folder.path()).run().ok();
    for (film, said) in
        [("left.mkv", "SCALE=1024x576 CROP=1024:432:0:72"), ("all.mkv", "SCALE=768x576 CROP=768:432:0:72")]
    {
        let mut pictures = Vec::new();
        for (leg, on) in [("usual", usual()), ("current", current.clone())] {
            let out = path(&format!("{leg} {film}"));
            let ended = made("option0", &path(film), &out, &on, &[("FRAMES", "1"), ("KEEP", "1")]).ok();
            let hides = "its container hides 0, 72, 0 and 72 pixels at the left, top, right and bottom";
            assert!(ended.stderr.contains(&format!("{film}: {hides}: {said}\n")), "{}", ended.stderr);
            pictures.push(clip::decoded(&out.join("option0/pre.mov")));
            verified(&out, &on);
        }
        assert_eq!(pictures[0].len(), 1);
        assert_eq!(pictures[0], pictures[1], "{film}");
    }
    // Whoever wants all of the picture says so.
    let out = path("whole");
    let whole = [("FRAMES", "1"), ("KEEP", "1"), ("SCALE", "128x96"), ("CROP", "128:96:0:0")];
    let ended = made("option0", &path("left.mkv"), &out, &current, &whole).ok();
    assert!(!ended.stderr.contains("hides"), "{}", ended.stderr);
    let pre = &ffprobe(&out.join("option0/pre.mov"))["streams"][0];
    assert_eq!((&pre["width"], &pre["height"]), (&128.into(), &96.into()));
}
