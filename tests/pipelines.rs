//! Whole films: the Makefile's options from a DVD remux to the finished MKV.
//!
//! Pictures are 64x64 before the network, the least it takes. option4 runs the network itself; where the network is not
//! what is tested, a model that repeats pixels is in its place. The reference clips beside the repository are run as well
//! where they are there.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use pipelines::{Ended, Run, bin, clip, ffprobe, make, nearest, root, shared, shell};
use serde_json::Value;
use std::{path::Path, time::Duration};

const FRAMES: usize = 25;

/// The variables that make a film small and fast.
fn small<'a>(source: &'a Path, out: &'a Path) -> Vec<(&'a str, &'a str)> {
    vec![
        ("SRC", source.to_str().unwrap()),
        ("OUT", out.to_str().unwrap()),
        ("ENGINE", nearest()),
        ("SCALE", "64x64"),
        ("WINDOW", "8"),
        ("OVERLAP", "2"),
        ("HEIGHT", "144"),
        ("PRESET", "ultrafast"),
        ("SEGMENT", "10f"),
    ]
}

/// The built-in network itself, on the CPU.
fn network() -> [(&'static str, &'static str); 2] {
    [("ENGINE", ""), ("DEVICE", "cpu")]
}

/// `make OPTION` on a film, small and fast.
fn option(name: &str, source: &Path, out: &Path, more: &[(&str, &str)]) -> Run {
    let mut variables = small(source, out);
    variables.extend(more);
    make(name, &variables)
}

/// Everything that is promised of a finished film, whatever option made it from the first `frames` of `source`.
fn is_right(film: &Path, source: &Path, frames: usize) {
    is_right_in("hevc", film, source, frames);
}

/// The same of a film in another codec.
fn is_right_in(codec: &str, film: &Path, source: &Path, frames: usize) {
    let (probe, of_source) = (ffprobe(film), ffprobe(source));
    let stream = |probe: &Value, kind: &str| {
        probe["streams"].as_array().unwrap().iter().find(|s| s["codec_type"] == kind).cloned()
    };
    let video = stream(&probe, "video").unwrap();
    for (field, value) in [
        ("codec_name", codec),
        ("pix_fmt", "yuv420p10le"),
        ("r_frame_rate", "24/1"),
        ("avg_frame_rate", "24/1"),
        ("color_primaries", "bt709"),
        ("color_transfer", "bt709"),
        ("color_space", "bt709"),
        ("color_range", "tv"),
        ("nb_read_packets", &frames.to_string()),
    ] {
        assert_eq!(video[field], value, "{field}");
    }
    assert_eq!(video["height"], 144);
    assert_eq!(clip::decoded(film).len(), frames);

    // Sound ends with the last picture, to the nearest AC-3 frame.
    let slower = 25.0 / 24.0;
    let end = frames as f64 / 25.0;
    let sound = pcm(film).len() as f64 / 48_000.0;
    assert!((sound - end * slower).abs() < 0.020, "{sound} s of sound for {} s of pictures", end * slower);

    // Subtitles and chapters: what begins within the film, 25/24 later, to the millisecond.
    let late = |ms: i64| (2 * ms * 25 + 24) / 48;
    let starts = |film: &Path| -> Vec<i64> {
        let packets = format!(
            "ffprobe -v error -select_streams s:0 -show_entries packet=pts_time -of csv=p=0 '{}'",
            film.display()
        );
        let text = shell(&packets).run().ok();
        text.text()
            .split([',', '\n'])
            .filter_map(|t| t.parse::<f64>().ok())
            .map(|t| (t * 1000.0).round() as i64)
            .collect()
    };
    let within = |ms: &i64| *ms < (end * 1000.0) as i64;
    let want: Vec<i64> = starts(source).into_iter().filter(within).map(late).collect();
    assert_eq!(starts(film), want, "subtitles");
    let chapters = |probe: &Value| -> Vec<i64> {
        let list = probe["chapters"].as_array().unwrap();
        list.iter()
            .map(|c| (c["start_time"].as_str().unwrap().parse::<f64>().unwrap() * 1000.0).round() as i64)
            .collect()
    };
    let want: Vec<i64> = chapters(&of_source).into_iter().filter(within).map(late).collect();
    assert_eq!(chapters(&probe), want, "chapters");
}

/// What is heard, without what is low: 48,000 samples a second, mono.
fn pcm(film: &Path) -> Vec<i16> {
    let film = film.display();
    let bytes =
        shell(&format!("ffmpeg -v error -nostdin -i '{film}' -map a:0 -af highpass=f=2000 -ac 1 -f s16le -"));
    bytes.run().ok().stdout.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

/// When the beeps of `clip::dvd` begin, in seconds after the first picture.
fn beeps(film: &Path) -> Vec<f64> {
    let probe = ffprobe(film);
    let start = |kind: &str| -> f64 {
        let streams = probe["streams"].as_array().unwrap();
        let stream = streams.iter().find(|s| s["codec_type"] == kind).unwrap();
        stream["start_time"].as_str().unwrap().parse().unwrap()
    };
    let (pcm, late) = (pcm(film), start("audio") - start("video"));
    let loud = |range: &[i16]| range.iter().any(|s| s.unsigned_abs() > 3000);
    (1..pcm.len())
        .filter(|&i| loud(&pcm[i..=i]) && !loud(&pcm[i.saturating_sub(4800)..i]))
        .map(|i| i as f64 / 48_000.0 + late)
        .collect()
}

/// What lies in a job's folder.
fn files(job: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(job).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A `PATH` on which `program` fails whenever its arguments are like `pattern`, as the shell sees patterns.
fn path_where(folder: &Path, program: &str, pattern: &str) -> String {
    let real = shell(&format!("command -v {program}")).run().ok().text().trim().to_owned();
    let bin = folder.join(format!("no {program} {pattern}"));
    std::fs::create_dir_all(&bin).unwrap();
    let text = format!("#!/bin/bash\ncase \"$*\" in {pattern}) exit 2;; *) exec {real} \"$@\";; esac\n");
    std::fs::write(bin.join(program), text).unwrap();
    shell(&format!("chmod +x {program}")).within(&bin).run().ok();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

fn ends_with_a_film(name: &str, more: &[(&str, &str)]) {
    let (folder, source) = (clip::folder(), clip::second());
    let out = folder.path().join("out");
    option(name, source, &out, more).run().ok();
    let film = out.join(name).join("film.mkv");
    is_right(&film, source, FRAMES);
    let (was, is) = (beeps(source), beeps(&film));
    assert_eq!((was.len(), is.len()), (2, 2), "one beep every half second");
    for (was, is) in was.into_iter().zip(is) {
        assert!((is - was * 25.0 / 24.0).abs() < 0.020, "the beep at {was} s is at {is} s");
    }
    assert_eq!(files(&out.join(name)), ["film.mkv", "job.json", "report.json", "reports"]);
    let report: Value =
        serde_json::from_slice(&std::fs::read(out.join(name).join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["status"], &report["frames"]), (&"ok".into(), &FRAMES.into()));
    let size = film.metadata().unwrap().len();
    assert_eq!(report["final_bytes"], size);
    assert!(report["peak_bytes"].as_u64().unwrap() >= size);
}

#[test]
fn option0_ends_with_a_film() {
    ends_with_a_film("option0", &[]);
}

#[test]
fn option3_ends_with_a_film_where_x265_is_asked_for() {
    ends_with_a_film("option3", &[("MEZZ", "x265")]);
}

#[test]
fn option4_ends_with_a_film() {
    ends_with_a_film("option4", &network());
}

#[test]
fn option4_ends_with_av1_where_svtav1_is_asked_for() {
    let (folder, source) = (clip::folder(), clip::second());
    option("option4", source, folder.path(), &[("ENCODER", "svtav1"), ("PRESET", "12")]).run().ok();
    is_right_in("av1", &folder.path().join("option4/film.mkv"), source, FRAMES);
    make("verify", &[("OUT", folder.path().to_str().unwrap())]).run().ok();
}

#[test]
fn option5_ends_with_a_film() {
    ends_with_a_film("option5", &[]);
}

#[test]
fn recommended_ends_with_a_film() {
    ends_with_a_film("recommended", &[]);
}

#[test]
fn the_reference_clips_become_films() {
    let Some(clips) = shared("clips") else { return };
    for clip in ["bbb-dvd-psf.mkv", "bbb-dvd-50i.mkv"] {
        for name in ["option4", "option5", "option0"] {
            let folder = clip::folder();
            let mut second = vec![("FRAMES", "25")];
            if name == "option4" {
                second.extend(network());
            }
            option(name, &clips.join(clip), folder.path(), &second).run().ok();
            is_right(&folder.path().join(name).join("film.mkv"), &clips.join(clip), FRAMES);
        }
    }
}

#[test]
fn a_killed_run_is_resumed_to_the_same_film() {
    let (folder, source) = (clip::folder(), clip::second());
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    option("option5", source, &whole, &[]).run().ok();

    // The whole process group dies when the first segment's mezzanine has gone.
    let make_and_all = option("option5", source, &killed, &[]).leader().start();
    let events = killed.join("option5/reports/events");
    while !std::fs::read_to_string(&events).unwrap_or_default().contains("chunk_deleted") {
        std::thread::sleep(Duration::from_millis(20));
    }
    killpg(Pid::from_raw(make_and_all.id() as i32), Signal::SIGKILL).unwrap();
    assert_eq!(make_and_all.wait().code, 128 + Signal::SIGKILL as i32);
    assert!(!killed.join("option5/film.mkv").exists(), "it was finished before it could be killed");

    make("resume", &[("OUT", killed.to_str().unwrap()), ("ENGINE", nearest())]).run().ok();
    let film = |out: &Path| out.join("option5/film.mkv");
    assert_eq!(clip::decoded(&film(&killed)), clip::decoded(&film(&whole)));
    is_right(&film(&killed), source, FRAMES);
}

/// Whatever is in the names of folders and files, and with blanks in the values, from wherever make is called; and `resume`
/// goes on with every option's job, though one of them fails again.
#[test]
fn names_are_taken_as_they_are() {
    let (folder, source) = (clip::folder(), clip::second());
    let (here, out) = (folder.path().join("it's \"$(HOME)\" & more"), "it's the $out folder");
    std::fs::create_dir(&here).unwrap();
    std::os::unix::fs::symlink(nearest(), here.join("engine's")).unwrap();
    std::fs::copy(source, here.join("it's a $film.mkv")).unwrap();
    let called = |target: &str, more: &[&str], path: &str| {
        let mut run =
            shell("exec make --no-print-directory \"$@\"").within(&here).env("PATH", path).arg("make");
        for word in ["-f", root().join("Makefile").to_str().unwrap(), target, &format!("OUT={out}")] {
            run = run.arg(word);
        }
        run = run.arg(format!("BIN={}", bin().display()));
        more.iter().fold(run, |run, word| run.arg(word)).run()
    };
    let usual = std::env::var("PATH").unwrap();
    let part = |part: &str, path: &str| {
        let told = "SCALE=64x64 WINDOW=8 OVERLAP=2 HEIGHT=144 PRESET=ultrafast".split(' ');
        let names =
            ["SRC=it's a $film.mkv", "ENGINE=\"./engine's\"", "SEGMENT=0s 280ms", "MAX_DISK=1 GB", part];
        called("option4", &names.into_iter().chain(told).collect::<Vec<_>>(), path)
    };
    part("PART=2/2", &usual).ok();
    assert_eq!(part("PART=1/2", &path_where(folder.path(), "ffmpeg", "*libx265*segments*")).code, 2);

    // No job, and one that fails before that.
    let job = |name: &str| here.join(out).join(name);
    for name in ["plan", "option0"] {
        std::fs::create_dir(job(name)).unwrap();
    }
    let record = std::fs::read_to_string(job("option4.1of2").join("job.json")).unwrap();
    let record = record.replace("\"option4\"", "\"option0\"").replace("\"1/2\"", "\"\"");
    let gone = record.replace("it's a $film.mkv", "gone.mkv");
    std::fs::write(job("option0").join("job.json"), gone).unwrap();
    let resumed = called("resume", &["ENGINE=\"./engine's\""], &usual);
    let said: Vec<_> = resumed.stderr.lines().filter(|line| !line.starts_with("make")).collect();
    let gone = format!("storage-diet: {}: no such file", here.join("gone.mkv").display());
    assert_eq!((resumed.code, &said[..]), (2, &[&*gone, "storage-diet: 1 of 2: failed, as said"][..]));
    called("join", &[], &usual).ok();
    let film = folder.path().join("film.mkv");
    std::fs::rename(here.join(out).join("option4/film.mkv"), &film).unwrap();
    is_right(&film, source, FRAMES);
}

/// What is installed finds its own tools, and is installed where make was called to.
#[test]
fn an_installation_needs_no_path() {
    let (folder, source) = (clip::folder(), clip::second());
    let install = |prefix: &str| {
        let run = shell("exec \"$0\"").arg(root().join("scripts/install")).env("PREFIX", prefix);
        run.env("DESTDIR", "").env("BIN", bin()).within(folder.path()).run()
    };
    install("there").ok();
    let mut film = shell("exec there/bin/storage-diet option4 FRAMES=4 \"$@\"").arg("storage-diet");
    for (name, value) in small(source, Path::new("out")) {
        film = film.arg(format!("{name}={value}"));
    }
    film.env("PATH", std::env::var("PATH").unwrap()).within(folder.path()).run().ok();
    assert_eq!(clip::decoded(&folder.path().join("out/option4/film.mkv")).len(), 4);

    let blank = folder.path().join("a b");
    std::fs::create_dir(&blank).unwrap();
    std::fs::copy(root().join("Makefile"), blank.join("Makefile")).unwrap();
    let help = shell("exec make help").within(&blank).run().ok();
    assert!(help.text().contains("  option4      straight to x265"), "{}", help.text());
    let printed = shell("exec make -n option4 SRC=\"$0\" BIN=\"$PWD/its bin\"").arg(source).within(&blank);
    std::os::unix::fs::symlink(bin(), blank.join("its bin")).unwrap();
    assert!(printed.run().ok().text().contains(" |\n  sr-window "));
}

/// sbatch hands what it is told to sh, in whatever locale.
#[test]
fn slurm_runs_what_was_typed() {
    let folder = clip::folder();
    let words = "#!/bin/bash\nprintf '<%s>' \"$@\" >&2; echo >&2\n";
    let sbatch = "#!/bin/bash\nSLURM_ARRAY_TASK_ID=3 sh -c \"${*: -1}\"; echo 7\n";
    for (name, text) in [("storage-diet", words), ("sbatch", sbatch)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    shell("chmod +x storage-diet sbatch").within(folder.path()).run().ok();
    let ended = shell("exec \"$0\" 4 option5 \"SRC=it's Amélie's \\$film.mkv\" OUT=out")
        .arg(root().join("scripts/slurm"))
        .env("PATH", format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap()))
        .env("LC_ALL", "C")
        .run()
        .ok();
    let run = |target, part| format!("<{target}><SRC=it's Amélie's $film.mkv><OUT=out>{part}\n");
    assert_eq!(ended.stderr, run("option5", "<PART=3/4>") + &run("join", ""));
}

/// Days of work may lie behind a pass that fails; the passes before it are not run again.
#[test]
fn what_a_pass_has_made_is_not_made_again() {
    let (folder, source) = (clip::folder(), clip::second());
    let out = folder.path().join("out");
    let (no_encoder, no_prores, no_input, no_mux) = (
        path_where(folder.path(), "ffmpeg", "*libx265*work*"),
        path_where(folder.path(), "ffmpeg", "*prores*work*"),
        path_where(folder.path(), "ffmpeg", "*rawvideo*work*"),
        path_where(folder.path(), "mkvmerge", "@*"),
    );
    let variables = [("OUT", out.to_str().unwrap()), ("ENGINE", nearest())];
    let resumed = |path: &str| make("resume", &variables).env("PATH", path).run();
    let job = |name: &str| files(&out.join(name));

    // Where the encoder fails, the mezzanines are there, and need not be made to go on.
    assert_eq!(option("option0", source, &out, &[]).env("PATH", no_encoder).run().code, 2);
    assert_eq!(job("option0"), ["job.json", "mezz.mov", "pre.mov", "report.json", "reports"]);
    let no_more = format!("{}:{no_mux}", no_prores.split(':').next().unwrap());
    let ended = resumed(&no_more);
    let no_mux_said = |name: &str| {
        let film = out.join(name).join("film.mkv");
        format!("storage-diet: {}: mkvmerge: failed with exit code 2", film.display())
    };
    assert_eq!(ended.stderr.lines().next(), Some(&*no_mux_said("option0")));

    // Where the muxing fails, the pictures are there, with and without segments.
    let ended = option("recommended", source, &out, &[]).env("PATH", no_mux).run();
    assert_eq!((ended.code, ended.stderr.lines().next()), (2, Some(&*no_mux_said("recommended"))));
    for name in ["option0", "recommended"] {
        assert_eq!(job(name), ["job.json", "report.json", "reports", "video.mkv"]);
    }
    resumed(&no_input).ok();
    is_right(&out.join("option0/film.mkv"), source, FRAMES);
    for name in ["option0", "recommended"] {
        assert_eq!(job(name), ["film.mkv", "job.json", "report.json", "reports"]);
    }
}

/// Two machines' worth of parts, the second first, give the one-machine film: every packet of every stream is the same.
#[test]
fn parts_of_a_film_are_joined_to_the_same_film() {
    let (folder, source) = (clip::folder(), clip::second());
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    // Neither the segments nor the parts end where windows do, and what is done to a frame depends on those before it.
    let variables = [network()[0], network()[1], ("SEGMENT", "7f"), ("FIELD_PHASE", "auto")];
    option("option4", source, &whole, &variables).run().ok();
    for part in ["2/2", "1/2"] {
        let mut variables = variables.to_vec();
        variables.push(("PART", part));
        option("option4", source, &parts, &variables).run().ok();
    }
    make("join", &[("OUT", parts.to_str().unwrap())]).run().ok();
    let (one, joined) = (whole.join("option4/film.mkv"), parts.join("option4/film.mkv"));
    let packets = |film: &Path| {
        let hash = format!("ffmpeg -v error -nostdin -i '{}' -map 0 -c copy -f streamhash -", film.display());
        shell(&hash).run().ok().text().to_owned()
    };
    assert_eq!(packets(&joined), packets(&one));
    is_right(&joined, source, FRAMES);
}

#[test]
fn parts_that_cannot_be_are_refused() {
    let (folder, source) = (clip::folder(), clip::second());
    let said = |name, part| {
        let ended = option(name, source, folder.path(), &[("PART", part)]).run();
        assert_eq!(ended.code, 2);
        ended.stderr.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(said("option4", "3/2"), "storage-diet: PART=3/2: say which of how many, as PART=1/4");
    assert_eq!(said("option0", "1/2"), "storage-diet: PART=1/2: option0 does not work in segments");
    assert_eq!(said("option4", "1/4"), "storage-diet: PART=1/4: there are only 3 segments of 10 frames");
    assert!(!folder.path().join("option4.1of4").exists());
    option("option4", source, folder.path(), &[("PART", "2/2")]).run().ok();
    let ended = make("join", &[("OUT", folder.path().to_str().unwrap())]).run();
    let unfinished = format!(
        "storage-diet: {0}/option4.1of2: is not finished; `make resume OUT={0}` goes on with it",
        folder.path().display()
    );
    assert_eq!(ended.stderr.lines().next(), Some(unfinished.as_str()));
}

#[test]
fn a_dead_stage_fails_the_target_and_leaves_no_film() {
    let (folder, source) = (clip::folder(), clip::second());
    let out = folder.path().join("out");
    // A decoder that ends inside frame 7 and says that all went well.
    let real = shell("command -v ffmpeg").run().ok().text().trim().to_owned();
    let liar = folder.path().join("bin/ffmpeg");
    std::fs::create_dir(liar.parent().unwrap()).unwrap();
    let lie = format!(
        "#!/bin/bash\ncase \"$*\" in *-fps_mode*) {real} \"$@\" | head -c 4500000;; *) exec {real} \"$@\";; esac\n"
    );
    std::fs::write(&liar, lie).unwrap();
    shell("chmod +x bin/ffmpeg").within(folder.path()).run().ok();
    for name in ["option0", "option4", "option5"] {
        let path = format!("{}:{}", liar.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let ended = option(name, source, &out, &[]).env("PATH", path).run();
        assert_eq!(ended.code, 2, "{name}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("deint-crop: <stdin>: ends inside frame 7"),
            "{name}: {}",
            ended.stderr
        );
        assert!(!out.join(name).join("film.mkv").exists());
        let report: Value =
            serde_json::from_slice(&std::fs::read(out.join(name).join("report.json")).unwrap()).unwrap();
        assert_eq!(report["status"], "failed");
    }
}

#[test]
fn what_cannot_work_is_refused_before_the_first_frame() {
    let (folder, source) = (clip::folder(), clip::second());
    let out = folder.path().join("out");
    let said = |ended: Ended| {
        assert_eq!(ended.code, 2);
        ended.stderr.lines().find(|l| !l.starts_with("make")).unwrap_or_default().to_owned()
    };
    assert_eq!(
        said(option("option4", Path::new(""), &out, &[]).run()),
        "storage-diet: SRC: say which film, as SRC=film.mkv"
    );
    let missing = option("option4", Path::new("/no/film.mkv"), &out, &[]).run();
    assert_eq!(said(missing), "storage-diet: /no/film.mkv: no such file");
    let missing = option("option4", source, &out, &[("WEIGHTS", "/no/weights.pth")]).run();
    assert_eq!(
        said(missing),
        "storage-diet: WEIGHTS=/no/weights.pth: no such checkpoint; `scripts/fetch-weights --list` says which there are to fetch"
    );
    let long = option("option4", source, &out, &[("SEGMENT", "1h x")]).run();
    assert_eq!(
        said(long),
        "storage-diet: SEGMENT=1h x: say a time, such as 10min, or frames, such as 15000f"
    );
    let long = option("option4", source, &out, &[("FRAMES", "26")]).run();
    assert!(said(long).ends_with("film.mkv: has 25 frames; START=0 FRAMES=26 were asked for"));
    for (name, least) in [("option4", 778_240), ("option5", 4_792_320)] {
        for given in [1, least - 1] {
            let ended = option(name, source, &out, &[("MAX_DISK", &given.to_string())]).run();
            let why = format!("too little: a segment of 10 frames needs {least} bytes at least");
            assert_eq!(said(ended), format!("storage-diet: MAX_DISK={given}: {why}"));
        }
    }
    let large = said(option("option4", source, &out, &[("CROP", "9999:9999:0:0")]).run());
    assert_eq!(large.matches("deint-crop").count(), 1, "{large}");
    assert!(!out.exists());
    // That it could not be asked is no answer.
    let mute = path_where(out.parent().unwrap(), "ffmpeg", "*-h?long*");
    let ended = option("option4", source, &out, &[]).env("PATH", mute).run();
    assert_eq!(said(ended), "storage-diet: ffmpeg: failed with exit code 2");
    if shell("ffmpeg -v quiet -f lavfi -i color=d=0.04 -c:v hevc_nvenc -f null -").run().code != 0 {
        let without = said(option("option3", source, &out, &[]).run());
        assert!(without.starts_with("storage-diet: MEZZ=nvenc: this machine cannot"), "{without}");
        assert!(without.ends_with("MEZZ=x265 makes the mezzanine on the CPU"), "{without}");
    }
}

/// Sound, subtitles and chapters come last, but what they cannot work without is asked for first.
#[test]
fn what_cannot_be_muxed_is_refused_before_the_first_frame() {
    let (folder, source) = (clip::folder(), clip::second());
    let out = folder.path().join("out");
    let path = |name: &str| folder.path().join(name);
    let files = format!(
        "ffmpeg -v error -i '{}' -map 0 -c copy -c:s mov_text a.mp4
         ffmpeg -v error -i a.mp4 -map 0:v -map 0:a -map_chapters -1 -c copy b.nut
         # A command is not there where it is the only one that is not.
         mkdir bin; IFS=:; for folder in $PATH; do cp -sn \"$folder\"/* bin 2>/dev/null || :; done; rm bin/mkvmerge",
        source.display()
    );
    shell(&files).within(folder.path()).run().ok();
    let (film, usual) = (source.to_str().unwrap(), std::env::var("PATH").unwrap());
    let [mp4, nut, bin] = ["a.mp4", "b.nut", "bin"].map(|name| path(name).display().to_string());
    let no_rubberband = path_where(folder.path(), "ffmpeg", "*rubberband*");
    for (film, on, reason) in [
        (
            &*mp4,
            &usual,
            format!(
                "{mp4}: subtitles and chapters are read from Matroska; `mkvmerge -o film.mkv {mp4}` makes it that"
            ),
        ),
        (
            &nut,
            &usual,
            format!("{nut}: mkvmerge knows 0 of its 1 audio tracks (ac3); the others would be lost"),
        ),
        (film, &bin, "mkvmerge: not installed; the package is mkvtoolnix".into()),
        (
            film,
            &no_rubberband,
            "AUDIO=pitch-kept: this machine cannot: ffmpeg: failed with exit code 2; AUDIO=pitch-lowered does without"
                .into(),
        ),
    ] {
        let ended = option("option4", Path::new(film), &out, &[]).env("PATH", on).run();
        let said = format!("storage-diet: {reason}");
        assert_eq!((ended.code, ended.stderr.lines().next()), (2, Some(said.as_str())));
        assert!(!out.exists());
    }
}

/// mkvmerge says in many words that a disk is full.
#[test]
fn a_full_disk_is_one_line() {
    let (folder, source) = (clip::folder(), clip::second());
    let real = shell("command -v mkvmerge").run().ok().text().trim().to_owned();
    let words = "Error: An exception occurred when writing the destination file. The drive may be full. Exception details: \
                 reading from/writing to the file error; No space left to write to";
    let full =
        format!("#!/bin/bash\ncase \"$*\" in @*) echo '{words}'; exit 2;; *) exec {real} \"$@\";; esac\n");
    std::fs::write(folder.path().join("mkvmerge"), full).unwrap();
    shell("chmod +x mkvmerge").within(folder.path()).run().ok();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let ended = option("option4", source, folder.path(), &[]).env("PATH", path).run();
    let film = folder.path().join("option4/film.mkv");
    // There is room on the disk of this test.
    let said = format!("storage-diet: {}: the disk is full", film.display());
    assert_eq!((ended.code, ended.stderr.lines().next()), (2, Some(&*said)));
}

/// Settings are kept from the moment that something worth keeping is there.
#[test]
fn a_job_goes_on_only_with_the_settings_it_was_begun_with() {
    let (folder, source) = (clip::folder(), clip::second());
    let out = folder.path().join("out");
    // No frame is made: the weights are not a checkpoint.
    let broken = folder.path().join("broken.pth");
    std::fs::write(&broken, "not a checkpoint").unwrap();
    let weights = [("ENGINE", ""), ("WEIGHTS", broken.to_str().unwrap())];
    assert_eq!(option("option4", source, &out, &weights).run().code, 2);
    // The segments are there, but not the film.
    let no_mux = path_where(folder.path(), "mkvmerge", "@*");
    let ended = option("option4", source, &out, &[]).env("PATH", no_mux).run();
    let job = out.join("option4");
    let no_mux = format!("storage-diet: {}/film.mkv: mkvmerge: failed with exit code 2", job.display());
    assert_eq!(ended.stderr.lines().next(), Some(&*no_mux));
    let ended = option("option4", source, &out, &[("CRF", "20")]).run();
    let said = ended.stderr.lines().next().unwrap();
    let (job, quoted) = (job.display(), out.display());
    let other = "was begun with other settings (CRF was 16, is 20)";
    let hint = format!(
        "`make resume OUT={quoted}` goes on with those; remove the folder to start afresh, or say another OUT"
    );
    assert_eq!((ended.code, said), (2, &*format!("storage-diet: {job}: {other}; {hint}")));
    option("option4", source, &out, &[]).run().ok();
    let ended = option("option4", source, &out, &[("CRF", "20")]).run();
    let other = "was made with other settings (CRF was 16, is 20)";
    let hint = "remove the folder to start afresh, or say another OUT";
    assert_eq!(ended.stderr.lines().next().unwrap(), format!("storage-diet: {job}: {other}; {hint}"));
    let ended = option("option4", source, &out, &[]).run().ok();
    assert_eq!(ended.text().lines().last().unwrap(), format!("option4: {job}/film.mkv is there already"));
}

/// A plan is made afresh, but what is deleted for it is nothing but the last one, and that only when there can be a new one.
#[test]
fn a_plan_deletes_nothing_else() {
    let folder = clip::folder();
    let path = |name: &str| folder.path().join(name);
    for file in ["my/precious", "my out/plan/plan.json"] {
        std::fs::create_dir_all(path(file).parent().unwrap()).unwrap();
        std::fs::write(path(file), "").unwrap();
    }
    let said = |out: &Path| {
        let ended = option("plan", Path::new("/no/film.mkv"), out, &[]).run();
        assert_eq!(ended.code, 2);
        ended.stderr.lines().next().unwrap().to_owned()
    };
    assert_eq!(said(&path("my out")), "storage-diet: /no/film.mkv: no such file");
    assert_eq!(said(Path::new("")), "storage-diet: OUT: say which folder, as OUT=dir");
    assert!(path("my/precious").exists() && path("my out/plan/plan.json").exists());
}

/// Prediction before the run, measurement after it: within 10 % of each other, as peak and as film.
#[test]
fn the_plan_is_what_the_options_then_take() {
    let (folder, source) = (clip::folder(), clip::second());
    // Pictures large enough that a film is more than its headers.
    let large = [("SCALE", "192x144"), ("HEIGHT", "432"), ("MEZZ", "x265")];
    let json = |file: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(file)).unwrap()).unwrap()
    };
    option("plan", source, folder.path(), &large).run().ok();
    let plan = json("plan/plan.json");
    let planned = plan["options"].as_array().unwrap();
    let names: Vec<_> = planned.iter().map(|o| o["option"].as_str().unwrap()).collect();
    assert_eq!(names, ["option0", "option1", "option2", "option3", "option4", "option5", "recommended"]);
    for name in ["option0", "option4", "option5"] {
        option(name, source, folder.path(), &large).run().ok();
        let found = json(&format!("{name}/report.json"));
        let planned = planned.iter().find(|o| o["option"] == name).unwrap();
        for (planned, found) in [
            (&planned["peak_bytes"], &found["peak_bytes"]),
            (&planned["files_bytes"]["final"], &found["final_bytes"]),
        ] {
            // How far the next mezzanine has come when one is encoded is the machine's: then anything in the range.
            let ends = if name == "option5" { ["low", "high"] } else { ["expected"; 2] };
            let [least, most] = ends.map(|end| planned[end].as_f64().unwrap());
            let found = found.as_f64().unwrap();
            assert!(0.9 * least < found && found < 1.1 * most, "{name}: {planned} planned, {found} found");
        }
    }

    // What was made of the same frames with the same settings is known from then on.
    option("plan", source, folder.path(), &large).run().ok();
    let plan = json("plan/plan.json");
    let known: Vec<_> = plan["earlier"].as_array().unwrap().iter().map(|run| &run["option"]).collect();
    assert_eq!(known, ["option0", "option4", "option5"]);
    let found = json("option0/report.json");
    assert_eq!(plan["options"][0]["files_bytes"]["pre"]["expected"], found["files_bytes"]["pre"]);
    assert_eq!(plan["options"][0]["files_bytes"]["mezz"]["expected"], found["files_bytes"]["mezz"]);
    let richer = [&large[..2], &[("CRF", "12")]].concat();
    option("plan", source, folder.path(), &richer).run().ok();
    assert_eq!(json("plan/plan.json")["earlier"], Value::Array(vec![]));
}

#[test]
fn the_report_is_one_page_that_needs_nothing_else() {
    let (folder, source) = (clip::folder(), clip::second());
    option("report", source, folder.path(), &[("MEZZ", "x265"), ("SAMPLE", "1s")]).run().ok();
    let page = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 7);
    for outside in ["http", "src=", "href=", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The pictures are not the note's, so its claims are beside the figures but not judged.
    assert!(page.contains("The network's pictures are 256x256 here, not 4096x1728"));
    assert_eq!(page.matches(">holds<").count(), 0);
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report/report.json")).unwrap()).unwrap();
    for run in report["options"].as_array().unwrap() {
        assert_eq!((&run["status"], &run["frames"]), (&"ok".into(), &FRAMES.into()));
        assert!(run["peak_bytes"].as_u64() >= run["final_bytes"].as_u64());
    }
}

/// What cannot be picture is left out, and said; a subtitle in the bars is kept, and what it forbids is said.
#[test]
fn an_automatic_crop_says_what_it_leaves_out() {
    let folder = clip::folder();
    let source = folder.path().join("film.mkv");
    let draw = |boxes: &str| {
        shell(&format!(
            "ffmpeg -v error -nostdin -y -i '{}' -map 0:v -map 0:a -c copy -vf '{boxes}' -c:v mpeg2video -b:v 7M \
             -flags +ildct+ilme -top 1 '{}'",
            clip::second().display(),
            source.display()
        ))
        .run()
        .ok();
        make("option4", &[("SRC", source.to_str().unwrap()), ("CROP", "auto")]).arg("-n").run().ok()
    };
    let half = "drawbox=x=360:y=0:w=360:h=1:t=fill:c=gray";
    let ended = draw(half);
    assert!(ended.text().contains("--crop 1024:432:0:72 "), "{}", ended.text());
    assert_eq!(
        ended.stderr.trim_end(),
        "storage-diet: CROP=auto: 1024:432:0:72; row 0 (half a line, 25 of 25 frames) is not counted"
    );
    let ended = draw(&format!("{half},drawbox=x=300:y=520:w=100:h=20:t=fill:c=white:enable=lt(n\\,8)"));
    assert!(ended.text().contains("--crop 1024:468:0:72 "), "{}", ended.text());
    assert_eq!(
        ended.stderr.trim_end(),
        "storage-diet: CROP=auto: 1024:468:0:72; row 0 (half a line, 25 of 25 frames) is not counted; CROP=1024:432:0:72 \
         would lose rows 520 to 539 (8 of 25 frames)"
    );
}

#[test]
fn nvenc_is_told_only_what_ffmpeg_knows() {
    let printed = make("option3", &[("SRC", clip::second().to_str().unwrap())]).arg("-n").run().ok();
    let command =
        printed.text().split("-c:v hevc_nvenc").nth(1).unwrap().split("work/mezz.mkv").next().unwrap();
    let known = shell("ffmpeg -v quiet -h encoder=hevc_nvenc").run().ok();
    // Each option with its value: the value is one of the option's named ones, or a number.
    let words: Vec<_> = command.split_whitespace().collect();
    for pair in words.chunks(2) {
        let [flag, value] = pair else { panic!("{command}") };
        let name = flag.split(':').next().unwrap();
        if ["-g", "-bf"].contains(&name) {
            continue; // the codec's own, not the encoder's
        }
        let mut lines = known.text().lines().skip_while(|l| !l.trim_start().starts_with(&format!("{name} ")));
        assert!(lines.next().is_some(), "hevc_nvenc has no {name}");
        let mut values = lines
            .take_while(|l| !l.trim_start().starts_with('-'))
            .filter_map(|l| l.split_whitespace().next());
        assert!(value.parse::<u32>().is_ok() || values.any(|v| v == *value), "{name} has no {value}");
    }
}

#[test]
fn mezzanines_are_what_they_say() {
    let (folder, source) = (clip::folder(), clip::second());
    let (out, kept) = (folder.path().join("out"), ("KEEP", "1"));
    for (name, more) in [("option0", kept), ("option1", kept), ("option3", ("MEZZ", "x265"))] {
        option(name, source, &out, &[more, kept]).run().ok();
    }
    let hevc = [("codec_name", "hevc"), ("pix_fmt", "yuv420p10le"), ("profile", "Rext")];
    let prores = |tag| [("codec_name", "prores"), ("pix_fmt", "yuv422p10le"), ("codec_tag_string", tag)];
    for (file, size, kind) in [
        ("option0/pre.mov", 64, prores("apcn")),
        ("option1/pre.mov", 64, prores("apcs")),
        ("option1/mezz.mov", 256, prores("apcn")),
        ("option3/mezz.mkv", 256, hevc),
    ] {
        let probe = ffprobe(&out.join(file));
        let video = &probe["streams"][0];
        for (field, value) in kind {
            assert_eq!(video[field], value, "{file}: {field}");
        }
        for (field, value) in [
            ("r_frame_rate", "25/1"),
            ("avg_frame_rate", "25/1"),
            ("color_range", "tv"),
            ("color_primaries", "bt709"),
            ("color_transfer", "bt709"),
            ("color_space", "bt709"),
            ("nb_read_packets", "25"),
        ] {
            assert_eq!(video[field], value, "{file}: {field}");
        }
        assert_eq!(video["width"], size);
        // No timecode but what the clock says: from 0, a frame every 40 ms, each a picture of its own.
        let packets = format!(
            "ffprobe -v error -show_entries packet=pts_time,flags -of csv=p=0 '{}' | cut -c1-10 | sort",
            out.join(file).display()
        );
        let clock: Vec<_> = (0..25).map(|k| format!("{:.6},K", k as f64 * 0.04)).collect();
        assert_eq!(shell(&packets).run().ok().text().lines().collect::<Vec<_>>(), clock, "{file}");
        assert!(video["tags"]["timecode"].is_null(), "{file}");
    }
}
