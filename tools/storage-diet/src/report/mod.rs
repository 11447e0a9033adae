//! Every option on a sample of the film: what that took, beside what was planned, and at film length beside what the storage
//! note claims. As one page, `OUT/report/report.html`, and as `report.json` beside it.

mod claims;
mod page;

use crate::{
    check,
    disk::{Moment, moments},
    film,
    folder::{Folder, REPORTS, read},
    job::Job,
    order::Order,
    plan::{
        self,
        earlier::FilesFound,
        model::{KEYINT, Row},
        shape::Shape,
        table::Plan,
    },
    probe::Film,
    program::{Program, file},
    recipe::Recipe,
    record::film_name,
    run::Run,
    span, values,
    variables::Variables,
};
use cli::{Error, Result, reason};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of a report in OUT, and the target that makes it.
pub const NAME: &str = "report";

/// All that the page tells.
#[derive(Clone, Debug)]
struct Report {
    facts: Facts,
    plan: Plan,
    options: Vec<Found>,
    /// The option that the others' films are compared with.
    reference: Option<String>,
}

/// What was run, where and how.
#[derive(Clone, Debug, Serialize)]
struct Facts {
    /// The film's name.
    film: String,
    frames: u64,
    start: u64,
    /// Frames in a segment.
    segment: u64,
    /// Of the finished films' pictures, `WxH`.
    #[serde(rename = "final")]
    size: String,
    machine: String,
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

/// An option's run.
#[derive(Clone, Debug)]
struct Found {
    shape: Shape,
    planned: Row,
    report: Took,
    /// All of its report.json.
    json: Value,
    moments: Vec<Moment>,
    quality: Option<Quality>,
}

/// What a report.json says, as far as it is told here.
#[derive(Clone, Debug, Deserialize)]
struct Took {
    option: String,
    frames: u64,
    wall_s: f64,
    cpu_s: f64,
    elsewhere: f64,
    machine: String,
    peak_bytes: u64,
    final_bytes: u64,
    files_bytes: FilesFound,
}

/// A film's luma against another's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Quality {
    /// In dB; `None` where they are equal.
    psnr_db: Option<f64>,
    ssim: f64,
}

/// Plans, runs every option, and compares. Jobs of an earlier report in `OUT/report` are made afresh.
///
/// Errors: a plan or a job that fails; a folder in `OUT/report` that is no job's.
pub fn report(run: Run<'_>, typed: &Variables) -> Result<()> {
    let recipes = Recipe::all(run.makefile).map_err(|why| Error::failed("Makefile", why))?;
    let shapes = Shape::all(run.makefile, &recipes);
    check::source(typed)?;
    let typed = &check::cropping(run, typed.clone())?;
    let (variables, remark) = sample(run, typed, &recipes)?;
    let out = PathBuf::from(variables.get("OUT"));
    for recipe in &recipes {
        remove(&out.join(&recipe.name))?;
    }
    let out = film::folder(&out)?;
    let plan = plan::plan(run, &variables)?;
    let mut options = Vec::new();
    for (i, shape) in shapes.into_iter().enumerate() {
        run.session.note(format!("report: {} of {}: {}", i + 1, recipes.len(), shape.name));
        let Some(planned) = plan.options.iter().find(|row| row.option == shape.name).cloned() else {
            return Err(Error::failed(&shape.name, "could not be planned"));
        };
        if let Some(order) = Order::take(run, &shape.name, variables.clone())? {
            Job::begin(run, order)?.make()?;
        }
        let folder = out.join(&shape.name);
        let (json, report) = (read(&folder.join("report.json"))?, read(&folder.join("report.json"))?);
        let log = folder.join(REPORTS).join("disk");
        let log = fs::read_to_string(&log).map_err(|e| Error::failed(log.display(), reason(&e)))?;
        options.push(Found { shape, planned, report, json, moments: moments(&log).collect(), quality: None });
    }
    let film_of = |option: &str| out.join(option).join(film_name(&variables));
    let reference = options.iter().find(|found| found.shape.pre().or(found.shape.mezz()).is_none());
    let reference = reference.map(|found| found.report.option.clone());
    if let Some(reference) = &reference {
        for found in &mut options {
            found.quality = Some(quality(&film_of(&found.report.option), &film_of(reference))?);
        }
    }
    let shown = reference.as_ref().or(options.first().map(|found| &found.report.option));
    let facts = Facts {
        size: shown.map_or(Ok(String::new()), |option| size_of(&film_of(option)))?,
        machine: machine(&options)?,
        ..facts(typed, &variables, remark)
    };
    let report = Report { facts, plan, options, reference };
    let json = json!({
        "facts": report.facts,
        "plan": report.plan,
        "options": report.options.iter().map(|found| &found.json).collect::<Vec<_>>(),
        "quality": report.options.iter().map(|f| (f.report.option.clone(), json!(f.quality))).collect::<serde_json::Map<_, _>>(),
    });
    let page = out.join("report.html");
    for (path, text) in [(&page, page::page(&report)), (&out.join("report.json"), format!("{json:#}\n"))] {
        durable::write(path, text.as_bytes()).map_err(|e| Error::failed(path.display(), reason(&e)))?;
    }
    cli::print_line(page.display())
}

/// The variables of the report's jobs, and what has to be said of them: SAMPLE of the film, from its middle unless START says
/// otherwise, in some segments, as a film's are, of whole groups of pictures where there is room.
fn sample(run: Run<'_>, typed: &Variables, recipes: &[Recipe]) -> Result<(Variables, Option<String>)> {
    let reading = check::reading(run, NAME, check::film(typed)?)?;
    let film = values::timeline(&reading, typed).frames();
    let asked = typed.given("FRAMES").map(|_| typed.number("FRAMES"));
    let length = typed.get("SAMPLE").trim_end_matches('f').parse().unwrap_or(1);
    let frames = asked.unwrap_or(film.min(length));
    let start = match typed.number("START") {
        0 if asked.is_none() => (film - frames) / 2,
        start => start,
    };
    let groups = (frames as f64 / 5.0 / KEYINT as f64).round_ties_even().max(1.0) as u64;
    let segment = span::segment(typed).min(KEYINT * groups);
    let out = Path::new(typed.get("OUT")).join(NAME);
    let mut variables =
        typed.clone().with("OUT", out.display())?.with("START", start)?.with("FRAMES", frames)?;
    variables = variables.with("SEGMENT", format!("{segment}f"))?.with("KEEP", "")?;
    let fails = |recipe: &&Recipe| check::machine(run, recipe, &variables).is_err();
    if variables.get("MEZZ") == "nvenc"
        && let Some(recipe) = recipes.iter().find(fails)
    {
        let instead = variables.clone().with("MEZZ", "x265")?;
        check::machine(run, recipe, &instead)?;
        let remark = format!("This machine has no NVENC: {}'s mezzanine is x265's (MEZZ=x265).", recipe.name);
        run.session.note(format!("report: no NVENC here: {} is run with MEZZ=x265", recipe.name));
        return Ok((instead, Some(remark)));
    }
    Ok((variables, None))
}

/// Removes a job of an earlier report, unless somebody is at work in it.
fn remove(job: &Path) -> Result<()> {
    if Folder::is_there(job)? {
        let folder = Folder::enter(job)?;
        fs::remove_dir_all(folder.root()).map_err(|e| Error::failed(job.display(), reason(&e)))?;
    }
    Ok(())
}

fn facts(typed: &Variables, variables: &Variables, remark: Option<String>) -> Facts {
    let film = Path::new(typed.get("SRC")).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kept = typed.to_keep();
    let not_said = ["SRC", "START", "FRAMES", "SEGMENT", "KEEP"];
    let given = kept.iter().filter(|(name, value)| !value.is_empty() && !not_said.contains(&name.as_str()));
    let words = [("SRC", film.as_str()), ("SAMPLE", typed.get("SAMPLE"))];
    let words = words.into_iter().chain(given.map(|(name, value)| (name.as_str(), value.as_str())));
    let words: Vec<_> = words.map(|(name, value)| format!("{name}={}", shell_words::quote(value))).collect();
    Facts {
        frames: variables.number("FRAMES"),
        start: variables.number("START"),
        segment: span::segment(variables),
        command: format!("make report {}", words.join(" ")),
        film,
        remark,
        size: String::new(),
        machine: String::new(),
    }
}

/// The machine, and the versions of what was run.
fn machine(options: &[Found]) -> Result<String> {
    let machine = options.first().map_or("", |found| &found.report.machine);
    let here =
        std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)).unwrap_or_default();
    // An installed program is in nobody's repository.
    let git = Program::new("git").arg("-C").arg(here).args(["describe", "--always", "--dirty"]).output();
    let commit = git.ok().and_then(|said| String::from_utf8(said).ok()).unwrap_or_else(|| "unknown".into());
    let ffmpeg = Program::new("ffmpeg").arg("-version").output()?;
    let ffmpeg = String::from_utf8_lossy(&ffmpeg);
    let version = ffmpeg.split_whitespace().nth(2).unwrap_or("unknown");
    Ok(format!("{machine}; commit {}; ffmpeg {version}", commit.trim()))
}

fn size_of(film: &Path) -> Result<String> {
    let pictures = Film::read(film)?.pictures().cloned().unwrap_or_default();
    Ok(format!("{}x{}", pictures.width.unwrap_or(0), pictures.height.unwrap_or(0)))
}

/// PSNR and SSIM, by ffmpeg.
fn quality(film: &Path, reference: &Path) -> Result<Quality> {
    let compare = "[0:v]split[a][b];[1:v]split[c][d];[a][c]psnr;[b][d]ssim";
    let ffmpeg = Program::new("ffmpeg").about(film.display()).args([
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "info",
        "-nostats",
    ]);
    let ffmpeg = ffmpeg
        .arg("-i")
        .arg(file(film))
        .arg("-i")
        .arg(file(reference))
        .args(["-lavfi", compare, "-f", "null", "-"]);
    let said = ffmpeg.start()?.finish()?;
    let after = |mark: &str| -> Option<&str> { said.split_once(mark)?.1.split_whitespace().next() };
    let (psnr, ssim) = (after("PSNR y:"), after("SSIM Y:").and_then(|ssim| ssim.parse().ok()));
    match (psnr, ssim) {
        (Some(psnr), Some(ssim)) => {
            Ok(Quality { psnr_db: psnr.parse().ok().filter(|p: &f64| p.is_finite()), ssim })
        }
        _ => Err(Error::failed(film.display(), "ffmpeg says neither PSNR nor SSIM")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jobs_of_an_earlier_report_are_removed() {
        let out = tempfile::tempdir().unwrap();
        let [job, mine, link] = ["option0", "option1", "option2"].map(|name| out.path().join(name));
        for (folder, file) in [(&job, "job.json"), (&mine, "precious")] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(&mine, &link).unwrap();
        remove(&job).unwrap();
        remove(&job).unwrap();
        assert!(!job.exists());
        assert!(remove(&mine).is_err() && remove(&link).is_err());
        assert!(mine.join("precious").exists());
    }

    #[test]
    fn quality_is_that_of_luma() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, filter: &str| {
            let film = folder.path().join(name);
            let source = format!("testsrc=s=64x48:r=24:d=0.25,format=yuv420p{filter}");
            let ffmpeg = Program::ffmpeg().args(["-f", "lavfi", "-i", &source, "-c:v", "ffv1"]);
            ffmpeg.arg(file(&film)).run().unwrap();
            film
        };
        let (one, darker) = (make("it's a:film.mkv", ""), make("-darker.mkv", ",lutyuv=y=val-16"));
        assert_eq!(quality(&one, &one).unwrap(), Quality { psnr_db: None, ssim: 1.0 });
        let found = quality(&darker, &one).unwrap();
        // 16 of 255: 20 log10(255 / 16), a little more where black cannot become darker.
        assert!((24.0..25.0).contains(&found.psnr_db.unwrap()) && found.ssim < 1.0, "{found:?}");
        assert_eq!(size_of(&one).unwrap(), "64x48");
        let none = folder.path().join("none.mkv");
        let said = quality(&none, &one).unwrap_err().to_string();
        assert_eq!(said, format!("{}: ffmpeg: No such file or directory", none.display()));
    }
}
