//! The reports of the stages before this one: what they say they wrote must be what came.

use cli::{Error, Result};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Holds the reports of the stages, given in the pipeline's order, against each other and against the `seen` frames
/// that came: each stage ended well, read what the one before it wrote, and the last wrote what came. A report that was
/// there before `started` is of another run.
pub(crate) fn check(reports: &[PathBuf], seen: u64, started: SystemTime) -> Result<()> {
    let mut before: Option<(String, u64)> = None;
    for path in reports {
        let report = read(path, started)?;
        let said = |name: &str| report[name].as_u64();
        let torn = |reason: String| Err(Error::torn(path.display(), reason));
        let tool = report["tool"].as_str().unwrap_or("a stage").to_owned();
        let status = report["status"].as_str().unwrap_or("nothing");
        if status != "ok" {
            return torn(format!("{tool} ended with status {status}"));
        }
        let (Some(frames_in), Some(frames_out)) = (said("frames_in"), said("frames_out")) else {
            return torn("has no frames_in and frames_out".into());
        };
        if let Some((stage, wrote)) = before.filter(|(_, wrote)| *wrote != frames_in) {
            return torn(format!("{tool} read {frames_in} frames; {stage} wrote {wrote}"));
        }
        before = Some((tool, frames_out));
    }
    match before.filter(|(_, wrote)| *wrote != seen) {
        Some((stage, wrote)) => {
            Err(Error::torn("<stdin>", format!("ended after {seen} frames; {stage} wrote {wrote}")))
        }
        None => Ok(()),
    }
}

/// The stages of a pipeline start one after another; a short film may be through the first before the last is there.
const STARTING: Duration = Duration::from_secs(10);

fn read(path: &Path, started: SystemTime) -> Result<Value> {
    // A stage that died left none: that its frames ended is then no proof that they were all.
    let missing = |reason: String| Error::torn(path.display(), format!("no report of this run: {reason}"));
    let at = path.metadata().and_then(|m| m.modified()).map_err(|e| missing(cli::reason(&e)))?;
    if at + STARTING < started {
        return Err(missing("it is older".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| missing(cli::reason(&e)))?;
    serde_json::from_str(&text).map_err(|e| missing(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, status: &str, frames_in: u64, frames_out: u64| {
            let path = dir.path().join(name);
            let text = format!(
                r#"{{"tool":"{name}","status":"{status}","frames_in":{frames_in},"frames_out":{frames_out}}}"#
            );
            std::fs::write(&path, text).unwrap();
            path
        };
        let (first, last) = (write("first", "ok", 30, 25), write("last", "ok", 25, 20));
        let started = SystemTime::now() - Duration::from_secs(60);
        let says = |reports: &[&PathBuf], seen| {
            let reports: Vec<_> = reports.iter().map(|p| (*p).clone()).collect();
            check(&reports, seen, started)
                .map_err(|e| e.to_string().replace(dir.path().to_str().unwrap(), ""))
        };
        assert_eq!(says(&[&first, &last], 20), Ok(()));
        assert_eq!(says(&[&first, &last], 19), Err("<stdin>: ended after 19 frames; last wrote 20".into()));
        assert_eq!(says(&[&last, &first], 25), Err("/first: first read 30 frames; last wrote 20".into()));
        let bad = write("bad", "torn", 1, 1);
        assert_eq!(says(&[&bad], 1), Err("/bad: bad ended with status torn".into()));
        let none = dir.path().join("none");
        assert_eq!(says(&[&none], 1), Err("/none: no report of this run: No such file or directory".into()));
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(
            check(&[last], 20, later)
                .unwrap_err()
                .to_string()
                .ends_with("no report of this run: it is older")
        );
    }
}
