//! What this film's options have reported, as far as the settings that a plan is made for were theirs.

use crate::variables::RATE;
use cli::Length;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use timebase::Rational;

/// The settings that files depend on, and those that only time does.
const SIZING: [&str; 15] = [
    "SRC",
    "WEIGHTS",
    "ENGINE",
    "SCALE",
    "CROP",
    "FIELD_PHASE",
    "WINDOW",
    "OVERLAP",
    "HEIGHT",
    "ENCODER",
    "PRESET",
    "CRF",
    "TUNE",
    "MEZZ",
    "QP",
];
const TIMING: [&str; 3] = ["DEVICE", "AUDIO", "PART"];

/// Settings, by the names of make's variables.
pub type Settings = BTreeMap<String, String>;

/// A finished run of an option.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The option's name.
    pub option: String,
    /// The first film frame.
    pub first_frame: u64,
    /// How many frames; at least one.
    pub frames: u64,
    /// Seconds.
    pub wall_s: f64,
    /// It went on with what another run had begun.
    pub resumed: bool,
    /// It was made in the way and on the machine that the plan is for, so that its time tells something.
    pub timed: bool,
    /// Frames in a segment.
    pub segment: u64,
    /// The largest that each kind of file was.
    pub files_bytes: FilesFound,
}

/// The largest that each kind of file was in a run, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesFound {
    /// The pre-mezzanine; 0 without one.
    pub pre: u64,
    /// The upscaled mezzanine; 0 without one.
    pub mezz: u64,
    /// The film's pictures.
    pub video: u64,
    /// The film.
    #[serde(rename = "final")]
    pub film: u64,
}

/// A report.json, as far as a plan looks at it.
#[derive(Deserialize)]
struct Report {
    option: String,
    status: String,
    first_frame: u64,
    frames: u64,
    wall_s: f64,
    resumed: bool,
    machine: String,
    files_bytes: FilesFound,
    settings: Settings,
}

impl Run {
    /// What `report` says, where it is that of a finished run whose files are those that `settings` make; `None` where it is
    /// anything else.
    fn read(report: &[u8], settings: &Settings, machine: &str) -> Option<Self> {
        // That of a failed run, of `make report` itself, and somebody else's file, are not what is looked for.
        let report: Report = serde_json::from_slice(report).ok()?;
        let same = |names: &[&str]| names.iter().all(|&name| report.settings.get(name) == settings.get(name));
        let segment: Length = report.settings.get("SEGMENT")?.parse().ok()?;
        let counts = report.status == "ok" && report.frames > 0 && same(&SIZING);
        counts.then_some(Self {
            segment: segment.frames(Rational::whole(RATE as i64))?,
            timed: same(&TIMING) && report.machine == machine,
            option: report.option,
            first_frame: report.first_frame,
            frames: report.frames,
            wall_s: report.wall_s,
            resumed: report.resumed,
            files_bytes: report.files_bytes,
        })
    }
}

/// The runs in `out`, the folder that `make` was told, and those of its report, in the order of their names.
pub fn runs(out: &Path, settings: &Settings, machine: &str) -> Vec<Run> {
    let reports = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|job| job.path().join("report.json"))
            .collect()
    };
    let mut paths = [reports(out), reports(&out.join("report"))].concat();
    paths.sort();
    paths.iter().filter_map(|path| Run::read(&fs::read(path).ok()?, settings, machine)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        let all = SIZING.iter().chain(&TIMING).map(|name| (name.to_string(), "as it is".to_owned()));
        all.chain([("SEGMENT".into(), "2s".into()), ("JOBS".into(), "1".into())]).collect()
    }

    fn report() -> serde_json::Value {
        json!({ "option": "option0", "status": "ok", "first_frame": 40, "frames": 100, "wall_s": 14.5, "resumed": false,
                "machine": "this one", "files_bytes": { "pre": 1, "mezz": 2, "video": 3, "final": 4 }, "settings": settings() })
    }

    fn read(report: &serde_json::Value) -> Option<Run> {
        Run::read(report.to_string().as_bytes(), &settings(), "this one")
    }

    #[test]
    fn a_run_counts_where_its_settings_were_the_same() {
        let run = read(&report()).unwrap();
        assert_eq!((run.frames, run.segment, run.timed, run.files_bytes.film), (100, 50, true, 4));
        let with = |name: &str, value: &str| {
            let mut report = report();
            report["settings"][name] = value.into();
            read(&report)
        };
        assert_eq!(with("CRF", "17"), None);
        assert!(!with("DEVICE", "another").unwrap().timed);
        assert!(with("JOBS", "2").unwrap().timed);
    }

    #[test]
    fn what_is_no_report_of_a_finished_run_does_not_count() {
        for (field, value) in [
            ("status", json!("failed")),
            ("frames", json!(0)),
            ("frames", json!(null)),
            ("files_bytes", json!({ "pre": 1, "mezz": 2, "video": null, "final": null })),
            ("settings", json!("none")),
            ("option", json!(7)),
        ] {
            let mut report = report();
            report[field] = value;
            assert_eq!(read(&report), None, "{field}");
        }
        for text in ["", "[]", "not JSON"] {
            assert_eq!(Run::read(text.as_bytes(), &settings(), "this one"), None, "{text}");
        }
        let mut elsewhere = report();
        elsewhere["machine"] = "another".into();
        assert!(!read(&elsewhere).unwrap().timed);
    }

    #[test]
    fn runs_are_found_beside_the_plan_and_in_the_report() {
        let out = tempfile::tempdir().unwrap();
        for job in ["option4", "report/option0", "report/plan", "mine"] {
            fs::create_dir_all(out.path().join(job)).unwrap();
        }
        let write =
            |job: &str, text: &str| fs::write(out.path().join(job).join("report.json"), text).unwrap();
        write("mine", "somebody else's");
        write("report", "{}");
        for job in ["option4", "report/option0"] {
            let mut report = report();
            report["option"] = job.trim_start_matches("report/").into();
            write(job, &report.to_string());
        }
        let names: Vec<_> =
            runs(out.path(), &settings(), "this one").into_iter().map(|run| run.option).collect();
        assert_eq!(names, ["option4", "option0"]);
    }
}
