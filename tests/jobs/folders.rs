//! What was there before: another film of the same name, a finished job, folders and links of the user's own.

use crate::{files, interrupted, is_whole, make, option, said};
use pipelines::{Ended, clip, nearest};
use std::{fs, os::unix::fs::symlink};

/// Asserts that a target failed with one line, and returns it.
#[track_caller]
fn refused(ended: &Ended) -> String {
    assert!(ended.code != 0, "it was done: {}", ended.text());
    let said = said(ended);
    assert_eq!(said.len(), 1, "{}", ended.stderr);
    said[0].to_owned()
}

#[test]
fn another_film_under_the_same_name_is_refused() {
    let out = interrupted("option5");
    let folder = clip::folder();
    let (other, short) = (folder.path().join("film.mkv"), folder.path().join("short.mkv"));
    clip::dvd(&other, 30);
    clip::dvd(&short, 25);
    let mut bytes = fs::read(clip::second()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&short, &bytes).unwrap();
    let job = out.path().join("option5");
    for source in [&other, &short] {
        let before = fs::read(job.join("job.json")).unwrap();
        let said = refused(&option(out.path(), "option5", source, out.path(), &[]).run());
        let begins =
            format!("storage-diet: {}: was begun from another film: {}", job.display(), source.display());
        assert!(said.starts_with(&begins), "{said}");
        assert_eq!(fs::read(job.join("job.json")).unwrap(), before);
    }
    // The same under the very name that the job knows.
    let record = fs::read_to_string(job.join("job.json")).unwrap();
    let named = record.replace(clip::second().to_str().unwrap(), other.to_str().unwrap());
    fs::write(job.join("job.json"), named).unwrap();
    let resume = [("OUT", out.path().to_str().unwrap()), ("ENGINE", nearest())];
    let said = refused(&make(out.path(), "resume", &resume).run());
    assert!(said.contains("was begun from another film"), "{said}");
    // And a copy of the right one is the right one.
    fs::copy(clip::second(), &other).unwrap();
    make(out.path(), "resume", &resume).run().ok();
    is_whole("option5", out.path());
}

#[test]
fn a_finished_job_is_left_alone_and_an_unfinished_film_is_made_again() {
    let out = clip::folder();
    let run = |more: &[(&str, &str)]| option(out.path(), "option4", clip::second(), out.path(), more).run();
    // Nothing is worth keeping of what failed at once: the corrected command runs.
    refused(&run(&[("ENGINE", "/no/engine")]));
    run(&[("CRF", "20")]).ok();
    let film = out.path().join("option4/film.mkv");
    let made = fs::read(&film).unwrap();
    let said = refused(&run(&[]));
    assert!(said.contains("was made with other settings (CRF was 20, is "), "{said}");
    assert_eq!(fs::read(&film).unwrap(), made);
    assert!(run(&[("CRF", "20")]).ok().text().ends_with("film.mkv is there already\n"));

    for torn in [0, made.len() / 2] {
        let was = film.metadata().unwrap().len();
        fs::write(&film, &made[..torn]).unwrap();
        let why = format!("is not the film that was finished: it has {torn} bytes, that had {was}");
        let status = make(out.path(), "status", &[("OUT", out.path().to_str().unwrap())]).run().ok();
        let again = format!("`make resume OUT={}` makes it again", out.path().display());
        let said = format!("option4          damaged: film.mkv {why}; {again}, ");
        assert!(status.text().starts_with(&said), "{}", status.text());
        // Nothing is left that other settings could be at odds with.
        let ended = run(&[]).ok();
        let note = format!("storage-diet: {}: {why}; it is made again", film.display());
        assert!(ended.stderr.lines().any(|line| line == note), "{}", ended.stderr);
        is_whole("option4", out.path());
    }
}

#[test]
fn a_record_that_is_broken_says_what_to_do() {
    let out = clip::folder();
    let job = out.path().join("option4");
    fs::create_dir(&job).unwrap();
    let record = job.join("job.json");
    for (text, what) in [
        ("", "is empty"),
        ("{\n  \"version\": 1,\n", "breaks off in line 3"),
        ("{\"version\" 1}", "is not JSON: line 1, column 12"),
        ("{\"version\": 1}", "is JSON, but not what a job writes: line 1, column 14"),
    ] {
        fs::write(&record, text).unwrap();
        let said = format!("storage-diet: {}: {what}; remove the folder to start afresh", record.display());
        for target in ["status", "resume", "verify"] {
            fs::write(job.join("film.mkv"), "").unwrap();
            let ended = make(out.path(), target, &[("OUT", out.path().to_str().unwrap())]).run();
            assert_eq!(refused(&ended), said, "{target}");
        }
        assert_eq!(refused(&option(out.path(), "option4", clip::second(), out.path(), &[]).run()), said);
    }
}

#[test]
fn a_folder_of_the_users_own_is_neither_used_nor_deleted() {
    let out = clip::folder();
    let job = out.path().join("option4");
    for file in ["film.mkv", "segments/mine", "pre.mov"] {
        fs::create_dir_all(job.join(file).parent().unwrap()).unwrap();
        fs::write(job.join(file), "mine").unwrap();
        let said = refused(&option(out.path(), "option4", clip::second(), out.path(), &[]).run());
        let why = "is not a job's folder: there is no job.json in it; say another OUT";
        assert_eq!(said, format!("storage-diet: {}: {why}", job.display()));
        assert_eq!(fs::read(job.join(file)).unwrap(), b"mine");
        fs::remove_dir_all(&job).unwrap();
    }
    fs::write(&job, "mine").unwrap();
    let said = refused(&option(out.path(), "option4", clip::second(), out.path(), &[]).run());
    assert_eq!(said, format!("storage-diet: {}: is not a folder", job.display()));
    assert_eq!(fs::read(&job).unwrap(), b"mine");
}

/// Links lead nowhere: what they point at is neither written nor deleted, and nothing is made of what is there.
#[test]
fn links_are_not_followed() {
    let places = [
        "",
        "job.json",
        "job.json.part",
        "reports",
        "reports/disk",
        "reports/events",
        "work",
        "work/film.mkv",
        "segments",
        "segments/mezz",
        "segments/journal.jsonl",
        "video.mkv",
        "film.mkv",
        "report.json",
        "report.json.part",
    ];
    // In an empty folder, and in one of a job that can be gone on with.
    let interrupted = interrupted("option5");
    for (begun, place) in [false, true].into_iter().flat_map(|b| places.map(|place| (b, place))) {
        let folder = clip::folder();
        let (out, precious) = (folder.path().join("out"), folder.path().join("precious"));
        let job = out.join("option5");
        fs::create_dir_all(&precious).unwrap();
        fs::write(precious.join("file"), "mine").unwrap();
        if begun {
            let copied =
                pipelines::shell("cp -a \"$1\" \"$2\"").arg("cp").arg(interrupted.path()).arg(&out).run();
            copied.ok();
        } else {
            fs::create_dir_all(&job).unwrap();
        }
        let link = if place.is_empty() { job.clone() } else { job.join(place) };
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        if link.is_dir() {
            fs::remove_dir_all(&link).unwrap();
        } else if link.exists() {
            fs::remove_file(&link).unwrap();
        }
        let is_folder = ["", "reports", "work", "segments", "segments/mezz"].contains(&place);
        symlink(if is_folder { precious.clone() } else { precious.join("file") }, &link).unwrap();
        let ended = option(folder.path(), "option5", clip::second(), &out, &[]).run();
        let what = format!("{place:?} in a folder that was {}", if begun { "begun" } else { "empty" });
        assert_eq!(files(&precious), ["file"], "{what}");
        assert_eq!(fs::read(precious.join("file")).unwrap(), b"mine", "{what}");
        if ended.code == 0 {
            is_whole("option5", &out);
        } else {
            let said = refused(&ended);
            assert!(said.contains("option5"), "{what}: {said}");
        }
    }
}
