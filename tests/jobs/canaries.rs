//! What is typed and what lies in a job's folder is data: whatever it says, nothing of it is run.

use crate::{below, files, interrupted, make, option, said, sample};
use pipelines::{Ended, clip, nearest, root};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file that is there where something was run.
const CANARY: &str = "CANARY";

/// What would run `touch C` in a shell, in make or in bash's arithmetic, and what would be an option.
const PAYLOADS: [&str; 11] = [
    "$(touch C)",
    "`touch C`",
    "; touch C",
    "' ; touch C ; '",
    "\" ; touch C ; \"",
    "RANDOM[$(touch C)]",
    "$(shell touch C)",
    "\ntouch C",
    "--report=C",
    "--eval=$(shell touch C)",
    "x\n--attach-file\nC",
];

/// Every `step`-th of them is tried.
fn chosen<T>(all: Vec<T>, step: usize) -> impl Iterator<Item = T> {
    all.into_iter().step_by(step)
}

/// A folder with a name that no shell is to see, in which make is called.
fn here(root: &Path) -> PathBuf {
    let here = root.join("a \"b\" it's");
    fs::create_dir(&here).unwrap();
    fs::create_dir(root.join("home")).unwrap();
    here
}

/// Nothing was run, and the answer is a film or one line that names the culprit.
#[track_caller]
fn is_harmless(root: &Path, ended: &Ended, what: &str, names: &[&str]) {
    // A folder of that name may be what OUT asks for.
    let canaries: Vec<_> = below(root)
        .into_iter()
        .filter(|p| p.ends_with(CANARY) && p.symlink_metadata().unwrap().is_file())
        .collect();
    assert!(canaries.is_empty(), "{what}: {canaries:?}");
    if ended.code != 0 {
        let said = said(ended);
        assert!(
            said.len() == 1 && names.iter().any(|name| said[0].contains(name)),
            "{what}: {} and {:?}, which should be one line with one of {names:?}",
            ended.code,
            ended.stderr
        );
    }
}

#[test]
fn what_is_typed_is_not_run() {
    let folder = clip::folder();
    let here = here(folder.path());
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let names = makefile.lines().filter_map(|line| {
        let name = line.split_once('=')?.0.trim_end();
        let is_variable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        is_variable.then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    assert!(names.len() > 20 && names.contains(&"SRC".to_owned()), "{names:?}");
    let absolute = folder.path().join(CANARY).display().to_string();
    let mut all = Vec::new();
    for (n, name) in names.iter().enumerate() {
        for (p, payload) in PAYLOADS.iter().enumerate() {
            // A command of two words is what an engine may be.
            if name == "ENGINE" && *payload == "\ntouch C" {
                continue;
            }
            let canary = if (n + p) % 2 == 0 { CANARY } else { &absolute };
            all.push((name.clone(), payload.replace('C', canary)));
        }
    }
    for (name, value) in chosen(all, sample(19, 1)) {
        let ended =
            option(&here, "option4", clip::second(), Path::new("out"), &[("FRAMES", "2"), (&name, &value)]);
        let ended = ended.env("HOME", folder.path().join("home")).run();
        let first = value.split_whitespace().next().unwrap_or_default();
        is_harmless(folder.path(), &ended, &format!("{name}={value}"), &[&name, first, "sr-window: "]);
        for file in files(&here) {
            fs::remove_dir_all(here.join(file)).unwrap();
        }
    }
}

/// The places of all values in a JSON text that are neither lists nor objects.
fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            for (name, value) in all {
                leaves(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(i, value)| leaves(value, format!("{at}/{i}"), found));
        }
        _ => found.push(at),
    }
}

/// A field of a file that is JSON, or of one of its lines where it is JSON Lines.
struct Field {
    file: PathBuf,
    line: Option<usize>,
    place: String,
}

/// All fields of all files of a job.
fn fields(job: &Path) -> Vec<Field> {
    let mut found = Vec::new();
    for path in below(job) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let file = path.strip_prefix(job).unwrap().to_owned();
        let mut add = |line: Option<usize>, text: &str| {
            let mut places = Vec::new();
            leaves(&serde_json::from_str(text).unwrap_or_default(), String::new(), &mut places);
            places.retain(|place| !place.is_empty());
            found.extend(places.into_iter().map(|place| Field { file: file.clone(), line, place }));
        };
        if serde_json::from_str::<Value>(&text).is_ok() {
            add(None, &text);
        } else {
            text.lines().enumerate().for_each(|(i, line)| add(Some(i), line));
        }
    }
    found
}

impl Field {
    /// Puts `value` there in the files of `job`.
    fn set(&self, job: &Path, value: &str) {
        let path = job.join(&self.file);
        let text = fs::read_to_string(&path).unwrap();
        let changed = |text: &str| {
            let mut json: Value = serde_json::from_str(text).unwrap();
            *json.pointer_mut(&self.place).unwrap() = value.into();
            json.to_string()
        };
        let text = match self.line {
            None => changed(&text),
            Some(n) => {
                let lines = text.lines().enumerate();
                lines.map(|(i, line)| if i == n { changed(line) } else { line.to_owned() } + "\n").collect()
            }
        };
        fs::write(path, text).unwrap();
    }
}

/// A copy of a job's folder whose fields are payloads, and `make TARGET` in it.
fn what_lies_there_is_not_run(from: &Path, name: &str, targets: &[&str], step: usize) {
    let job = from.join(name);
    let all: Vec<_> = fields(&job)
        .into_iter()
        .flat_map(|field| {
            let field = std::rc::Rc::new(field);
            PAYLOADS.map(move |payload| (std::rc::Rc::clone(&field), payload))
        })
        .collect();
    assert!(all.len() > 100);
    for (n, (field, payload)) in chosen(all, step).enumerate() {
        let folder = clip::folder();
        let here = here(folder.path());
        let copied = pipelines::shell("cp -a \"$1\" out").arg("cp").arg(from).within(&here).run();
        copied.ok();
        let absolute = folder.path().join(CANARY).display().to_string();
        let value = payload.replace('C', if n % 2 == 0 { CANARY } else { &absolute });
        field.set(&here.join("out").join(name), &value);
        for target in targets {
            let variables =
                [("OUT", "out"), ("ENGINE", nearest()), ("SRC", clip::second().to_str().unwrap())];
            let ended = make(&here, target, &variables).env("HOME", folder.path().join("home")).run();
            let what = format!("{target}: {}{} = {value}", field.file.display(), field.place);
            is_harmless(folder.path(), &ended, &what, &[name, "SRC", "ENGINE", "WEIGHTS", "/out: "]);
        }
    }
}

#[test]
fn what_lies_in_an_interrupted_job_is_not_run() {
    let out = interrupted("recommended");
    what_lies_there_is_not_run(out.path(), "recommended", &["status", "join", "resume"], sample(163, 1));
}

#[test]
fn what_lies_in_a_finished_job_is_not_run() {
    let out = clip::folder();
    option(out.path(), "option4", clip::second(), out.path(), &[]).run().ok();
    let targets = sample(&["resume", "verify"][..], &["resume", "verify", "status", "join", "plan"]);
    what_lies_there_is_not_run(out.path(), "option4", targets, sample(331, 7));
}
