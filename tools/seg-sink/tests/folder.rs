//! A job's folder that somebody else made, or had their hands in: what it holds is data.

mod job;

use job::{Ended, FFV1, FFV1_FROM_MEZZ, FRAME, Job, frames, run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::{Command, Stdio},
};

const MEZZ: [&str; 4] = ["--mezz", FFV1, "--final", FFV1_FROM_MEZZ];
const CANARY: &str = "somebody's own\n";

/// A job that broke off in its third segment, beside a file that is none of its business.
fn begun() -> Job {
    let job = Job::new();
    assert_eq!(job.run(&MEZZ, &frames(0..40)[..25 * FRAME + 1]).code, 3);
    fs::write(job.path("canary"), CANARY).unwrap();
    job
}

fn resume(job: &Job) -> Ended {
    let next = job.status()["next_frame"].as_u64().unwrap() as usize;
    job.run(&[&MEZZ[..], &["--resume"]].concat(), &frames(0..40)[next * FRAME..])
}

#[track_caller]
fn untouched(job: &Job) {
    assert_eq!(fs::read_to_string(job.path("canary")).unwrap(), CANARY);
}

/// Also one that leads to just what would be there.
#[test]
fn links_are_refused() {
    let job = begun();
    fs::write(job.path("job/segments.ffconcat"), "").unwrap();
    let root = job.path("job").canonicalize().unwrap();
    for name in ["mezz", "final", "log", "journal.jsonl", "lock", "segments.ffconcat"] {
        let (path, aside) = (root.join(name), job.path("aside"));
        fs::rename(&path, &aside).unwrap();
        for link in [|to: &Path, at: &Path| symlink(to, at), |to: &Path, at: &Path| fs::hard_link(to, at)] {
            // There are no hard links to folders.
            if link(&aside, &path).is_err() {
                continue;
            }
            let held = || {
                if aside.is_dir() {
                    format!("{:?}", names(&aside))
                } else {
                    fs::read_to_string(&aside).unwrap()
                }
            };
            let before = held();
            let message =
                format!("seg-sink: {}: is a link; a job's folder holds what is its own", path.display());
            job.run(&[&MEZZ[..], &["--resume"]].concat(), &frames(0..1)).failed(1, &message);
            let mut status = job.bare();
            status.arg("--status");
            run(status, &[]).failed(1, &message);
            assert_eq!(held(), before);
            fs::remove_file(&path).unwrap();
        }
        fs::rename(&aside, &path).unwrap();
    }
    resume(&job).ok();
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_that_is_a_link_is_refused() {
    let job = Job::new();
    fs::create_dir(job.path("elsewhere")).unwrap();
    symlink("elsewhere", job.path("link")).unwrap();
    for dir in ["link", "link/", "./link/."] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-sink"));
        command.current_dir(job.path("")).args(["--dir", dir, "-o", "film.mkv", "--final", FFV1]);
        let run = run(command, &[]);
        let message = "link: is a link; a job's folder holds what is its own\n";
        assert!(run.code == 1 && run.stderr.ends_with(message), "{}", run.stderr);
    }
    assert_eq!(names(&job.path("elsewhere")).len(), 0);
}

/// Where the job writes, a link is replaced; what it points to stays as it is.
#[test]
fn links_in_the_way_are_not_followed() {
    let job = Job::new();
    fs::write(job.path("canary"), CANARY).unwrap();
    let noisy = job.script("noisy", "echo said; exec ffmpeg -v error -i $1 -c:v ffv1 -g 1 $2");
    let flags = ["--mezz", FFV1, "--final", &format!("{noisy} {{in}} {{out}}")];
    let input = frames(0..40);
    assert_eq!(job.run(&flags, &input[..25 * FRAME + 1]).code, 3);
    let names = [
        "job/log/final-000000020.log",
        "job/mezz/000000030.part.mkv",
        "job/mezz/000000030.mkv",
        "job/final/000000020.part.mkv",
        "job/final/000000030.mkv",
        "job/mezz/000000020.ffconcat",
        "job/segments.ffconcat.part",
    ];
    for name in names {
        let _ = fs::remove_file(job.path(name));
        symlink(job.path("canary"), job.path(name)).unwrap();
    }
    job.run(&[&flags[..], &["--resume"]].concat(), &input[25 * FRAME..]).ok();
    assert_eq!(job.film(), input);
    assert_eq!(fs::read_to_string(job.path("job/log/final-000000020.log")).unwrap(), "said\n");
    untouched(&job);
}

/// A chunk that is a link is not the chunk, whatever it leads to.
#[test]
fn a_link_to_a_chunk_is_no_chunk() {
    let job = begun();
    let chunk = job.path("job/final/000000010.mkv");
    fs::rename(&chunk, job.path("mine.mkv")).unwrap();
    symlink(job.path("mine.mkv"), &chunk).unwrap();
    assert_eq!(job.status()["next_frame"], 10);
    resume(&job).ok();
    assert!(job.path("mine.mkv").is_file());
    assert_eq!(job.film(), frames(0..40));
}

/// The part beside the film is the job's only where it was joining.
#[test]
fn bystanders_beside_the_film() {
    let job = begun();
    fs::write(job.path("film.part.mkv"), CANARY).unwrap();
    let run = resume(&job);
    assert!(run.code == 1 && run.stderr.ends_with("/film.part.mkv: is there already\n"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(job.path("film.part.mkv")).unwrap(), CANARY);
    fs::remove_file(job.path("film.part.mkv")).unwrap();
    symlink("nowhere", job.path("film.mkv")).unwrap();
    let run = resume(&job);
    assert!(run.code == 1 && run.stderr.ends_with("/film.mkv: is there already\n"), "{}", run.stderr);
    fs::remove_file(job.path("film.mkv")).unwrap();

    for name in ["so-far.part.mkv", "so-far.part.ffconcat", "so-far.mkv"] {
        fs::write(job.path(name), CANARY).unwrap();
        let mut command = job.bare();
        command.args(["--status", "--join-so-far", "so-far.mkv"]);
        let run = job::run(command, &[]);
        assert!(
            run.code == 1 && run.stderr.ends_with(&format!("{name}: is there already\n")),
            "{}",
            run.stderr
        );
        assert_eq!(fs::read_to_string(job.path(name)).unwrap(), CANARY);
        fs::remove_file(job.path(name)).unwrap();
    }
    resume(&job).ok();
}

/// A line of the journal as its author would have sealed it.
fn seal(mut record: Value) -> String {
    let object = record.as_object_mut().unwrap();
    object.shift_remove("crc32");
    if object["type"] == "job" {
        let fingerprint = Sha256::digest(object["settings"].to_string());
        object["fingerprint"] = fingerprint.iter().map(|b| format!("{b:02x}")).collect::<String>().into();
    }
    let text = record.to_string();
    let crc = crc32fast::hash(text.as_bytes());
    format!("{},\"crc32\":\"{crc:08x}\"}}\n", &text[..text.len() - 1])
}

/// The places of all that is no object or list in `value`.
fn leaves(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, v)| leaves(v, &format!("{at}/{name}"))).collect()
        }
        Value::Array(values) => {
            values.iter().enumerate().flat_map(|(n, v)| leaves(v, &format!("{at}/{n}"))).collect()
        }
        _ => vec![at.to_owned()],
    }
}

fn records(job: &Job) -> Vec<Value> {
    let text = fs::read_to_string(job.path("job/journal.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each field of each kind of record, times what somebody might put there: nothing is run, nothing outside is touched, and
/// the answer is one of ours.
#[test]
fn a_journal_is_data() {
    let job = begun();
    let film = json!({ "seq": 0, "type": "film", "disk_peak_bytes": 7,
        "film": { "path": job.path("canary"), "frames": 20, "bytes": CANARY.len(), "crc": crc32fast::hash(CANARY.as_bytes()) } });
    let mut lines = records(&job);
    lines.extend([
        json!({ "seq": 0, "type": "ended", "frames": 40 }),
        film,
        json!({ "seq": 0, "type": "done" }),
    ]);
    // One of each kind.
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|line| seen.insert((line["type"].to_string(), line["chunk"]["stage"].to_string())));
    let evil = [
        json!("$(touch canary)`touch canary`;touch canary"),
        json!(job.path("canary")),
        json!("0/0"),
        json!(0),
        json!(u64::MAX),
        json!([["touch", "canary"]]),
    ];
    for line in 0..lines.len() {
        for leaf in
            leaves(&lines[line], "").iter().filter(|l| !["/seq", "/type", "/crc32"].contains(&l.as_str()))
        {
            for value in &evil {
                let mut lines = lines.clone();
                *lines[line].pointer_mut(leaf).unwrap() = value.clone();
                let text: String = lines
                    .into_iter()
                    .enumerate()
                    .map(|(seq, mut line)| {
                        line["seq"] = seq.into();
                        seal(line)
                    })
                    .collect();
                fs::write(job.path("job/journal.jsonl"), text).unwrap();
                let mut status = job.bare();
                status.arg("--status");
                let output = status.output().unwrap();
                assert!(matches!(output.status.code(), Some(0 | 1)), "{leaf} {value}: {output:?}");
                let mut command = job.command(&MEZZ);
                command.arg("--resume");
                // No frames: as far as it can get without them.
                let output = command.stdin(Stdio::null()).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(matches!(output.status.code(), Some(1..=3)), "{leaf} {value}: {output:?}");
                assert!(
                    said.lines().count() > 0 && !said.contains("panicked") && !said.contains("bug"),
                    "{leaf} {value}: {said}"
                );
                untouched(&job);
                assert!(!job.path("film.mkv").exists());
            }
        }
    }
}

/// A film at a place that only the journal names is not looked for by name, renamed or deleted.
#[test]
fn the_film_is_where_the_command_line_says() {
    let job = begun();
    let mine = job.path("mine.part.mkv");
    fs::write(&mine, CANARY).unwrap();
    let mut lines = records(&job);
    lines.push(json!({ "type": "film", "disk_peak_bytes": 7,
        "film": { "path": job.path("mine.mkv"), "frames": 40, "bytes": CANARY.len(), "crc": crc32fast::hash(CANARY.as_bytes()) } }));
    let text: String = lines
        .into_iter()
        .enumerate()
        .map(|(seq, line)| {
            let mut sealed = json!({ "seq": seq });
            sealed.as_object_mut().unwrap().extend(line.as_object().unwrap().clone());
            sealed["seq"] = seq.into();
            seal(sealed)
        })
        .collect();
    fs::write(job.path("job/journal.jsonl"), text).unwrap();
    resume(&job).ok();
    assert_eq!(fs::read_to_string(&mine).unwrap(), CANARY);
    assert!(!job.path("mine.mkv").exists());
    assert_eq!(job.film(), frames(0..40));
}

#[test]
fn a_finished_film_is_not_made_again_elsewhere() {
    let job = Job::new();
    job.run(&["--final", FFV1], &frames(0..10)).ok();
    let film = job.path("film.mkv").canonicalize().unwrap();
    let mut command = job.bare();
    command.args([
        "-o",
        "other.mkv",
        "-s",
        "16x16",
        "-p",
        "yuv420p",
        "-r",
        "24",
        "--segment",
        "10f",
        "--final",
        FFV1,
    ]);
    command.arg("--resume");
    run(command, &[])
        .failed(2, &format!("seg-sink: --output: the job's film is finished already: {}", film.display()));
    assert!(!job.path("other.mkv").exists());
}

/// Whatever the names of the folders above the job's.
#[test]
fn any_folder_will_do() {
    let job = Job::new();
    for name in ["it's", "a\nb", "-x %d {out} \"$(touch canary)\"", "concat:é|"] {
        let folder = job.path(name);
        fs::create_dir(&folder).unwrap();
        let inside = |flags: &[&str], input: &[u8]| {
            let mut command = job.command(flags);
            command.current_dir(&folder);
            run(command, input)
        };
        let input = frames(0..25);
        assert_eq!(inside(&MEZZ, &input[..15 * FRAME + 1]).code, 3);
        inside(&[&MEZZ[..], &["--resume"]].concat(), &input[15 * FRAME..]).ok();
        assert_eq!(job::decode(&folder.join("film.mkv")), input);
    }
    let folder = job.path("").join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::create_dir(&folder).unwrap();
    let mut command = job.command(&["--final", FFV1]);
    command.current_dir(&folder);
    let run = run(command, &frames(0..10));
    assert_eq!(run.code, 1);
    assert!(run.stderr.ends_with("job: is a name that is not UTF-8; give it another\n"), "{}", run.stderr);
}
