//! What each option takes of disk and time, predicted from samples of the film that really go through every stage.

pub mod bytes;
pub mod earlier;
pub mod measure;
pub mod model;
pub mod samples;
pub mod shape;
pub mod table;
pub mod time;

use crate::{
    check,
    ending::{self, Clocks},
    folder::{Folder, REPORTS, WORK},
    mux::{self, Mux},
    pipe::{self, Surroundings},
    pipeline::Program,
    probe,
    reading::Reading,
    recipe::Recipe,
    run::Run,
    span::{self, Span},
    template::Values,
    timeline::Timeline,
    values,
    variables::Variables,
};
use cli::{Error, Result, reason};
use measure::{Asked, Streams, measure};
use model::{Model, Request};
use nix::sys::statvfs::statvfs;
use samples::{Measurement, StageSample};
use shape::{Shape, Stage};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Instant,
};
use table::{Circumstances, Plan};
use time::{Measured, Work};

/// The folder of a plan in OUT, and the target that makes it.
pub const NAME: &str = "plan";

/// What a plan is kept as, in its folder.
pub const FILE: &str = "plan.json";
/// What it was made from.
const SAMPLES: &str = "samples.json";

/// Takes samples of the film, says what every option would take, and keeps that as `OUT/plan/plan.json`.
///
/// Errors: a film that cannot be planned for; a stage that fails on a sample; no option that this machine can run.
pub fn plan(run: Run<'_>, variables: &Variables) -> Result<Plan> {
    if variables.part().is_some() {
        return Err(Error::usage(
            format!("PART={}", variables.get("PART")),
            "a plan is made for all of a film",
        ));
    }
    let path = Path::new(variables.get("OUT")).join(NAME);
    check::source(variables)?;
    let variables = &check::cropping(run, variables.clone())?;
    check::weights(variables)?;
    is_a_plans(&path)?;
    let src = Path::new(variables.get("SRC"));
    mux::check(src, values::audio(variables))?;
    let recipes = Recipe::all(run.makefile).map_err(|why| Error::failed("Makefile", why))?;
    let shapes = Shape::all(run.makefile, &recipes);
    let (can, cannot) = here(run, recipes, variables)?;

    let (began, clocks) = (Instant::now(), Clocks::start());
    let reading = check::reading(run, NAME, src)?;
    let (timeline, span) = check::frames(run, &reading, variables)?;
    let pictures = check::pictures(run, &reading, &timeline, variables, span)?;
    let crop = check::crop(run, variables, pictures)?;
    let prepared = check::prepared(run, variables, pictures, crop.as_deref())?;
    let enlarged = values::enlarged(&prepared);
    let learned = StageSample {
        stage: Stage::Learn,
        frames: 0,
        wall_s: began.elapsed().as_secs_f64(),
        packets: Vec::new(),
    };
    let values = values::values(variables, pictures, (crop.as_deref(), &prepared), span)?;
    let folder = Folder::enter(&path)?;
    run.stop.remember(folder.path(WORK), "stopped; `make plan` begins afresh".into());
    folder.begin()?;
    let measured = samples_of(run, variables, (&reading, &timeline), (&values, span), &can, &folder);
    folder.end();
    let measurements: Vec<_> = std::iter::once(Measurement::Stage(learned)).chain(measured?).collect();
    folder.write(SAMPLES, &measurements)?;

    let (settings, machine) = (variables.to_keep(), ending::machine());
    let grid = span::grid(variables);
    let work = Work {
        frames: span.frames(),
        segment: span::segment(variables),
        window: grid.window,
        overlap: grid.overlap,
    };
    let request = Request {
        start: span.start,
        work,
        context: span.start - span.first,
        jobs: variables.number("JOBS"),
        sound: sound(src, span.film)?,
    };
    let earlier = earlier::runs(Path::new(variables.get("OUT")), &settings, &machine);
    let model = Model::new(Measured::new(measurements), &shapes, earlier, request);
    let circumstances = Circumstances {
        source: variables.get("SRC").into(),
        enlarged,
        free_bytes: free(folder.root())?,
        machine,
        elsewhere: (clocks.elsewhere() * 1000.0).round() / 1000.0,
    };
    let plan = Plan::new(&model, circumstances).ok_or_else(|| Error::failed(NAME, "there are no options"))?;
    folder.write(FILE, &plan)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cli::print_line(plan.text(&shapes, &cannot, cores))?;
    Ok(plan)
}

/// Is there nothing at `path`, or a plan? Errors: there is something else, which is nobody's to be deleted.
fn is_a_plans(path: &Path) -> Result<()> {
    let failed = |why: &str| Err(Error::failed(path.display(), why));
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return failed(&reason(&e)),
        Ok(meta) if meta.is_symlink() => return failed("is a link; a plan is made in a folder of its own"),
        Ok(meta) if !meta.is_dir() => return failed("is not a folder"),
        Ok(_) => {}
    }
    let ours = [WORK, REPORTS, FILE, SAMPLES].map(str::to_owned);
    let entries = fs::read_dir(path).map_err(|e| Error::failed(path.display(), reason(&e)))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !ours.iter().any(|ours| name.trim_end_matches(".part") == ours) {
            return failed(&format!("holds {name}, which no plan has made; say another OUT"));
        }
    }
    Ok(())
}

/// Measures samples of a film, in the unfinished part of a job's folder.
fn samples_of(
    run: Run<'_>,
    variables: &Variables,
    (reading, timeline): (&Reading, &Timeline),
    (values, span): (&Values, Span),
    recipes: &[Recipe],
    folder: &Folder,
) -> Result<Vec<Measurement>> {
    let work = |name: &str| {
        let path = folder.path(&Folder::unfinished(name));
        fs::create_dir(&path).map_err(|e| Error::failed(path.display(), reason(&e))).map(|()| path)
    };
    let asked = Asked {
        film: span.film,
        start: span.start,
        frames: span.frames(),
        samples: variables.number("SAMPLES"),
        grid: span::grid(variables),
    };
    let mut run_pipe = |programs: &[Program], streams: &Streams<'_>| {
        let failed = |path: &Path, e: &io::Error| Error::failed(path.display(), reason(e));
        let open = |path: &PathBuf| File::open(path).map_err(|e| failed(path, &e));
        let create = |path: &PathBuf| File::create(path).map_err(|e| failed(path, &e));
        let around = Surroundings {
            folder: streams.folder,
            stop: run.stop,
            made: &|_| {},
            note: &|words| run.session.detail(words),
            input: streams.input.as_ref().map(open).transpose()?,
            output: streams.output.as_ref().map(create).transpose()?,
        };
        pipe::run(programs, &around)
    };
    let wrong = |why| Error::failed(NAME, why);
    let prepare = values::prepare(variables, values.word("crop")).map_err(wrong)?;
    let mut mux_sample = |video: &Path, out: &Path| {
        let mux = Mux {
            src: variables.get("SRC").into(),
            reading,
            timeline,
            video: video.into(),
            out: out.into(),
            audio: values::audio(variables),
            start: span.start,
            prepare: Some(prepare),
            work: work("mux")?,
        };
        mux::mux(run.session, &mux)?;
        fs::remove_dir_all(&mux.work).map_err(|e| Error::failed(mux.work.display(), reason(&e)))
    };
    let say = |words: &str| run.session.note(format!("{NAME}: {words}"));
    measure(asked, (run.makefile, recipes), values, &work("samples")?, &mut run_pipe, &mut mux_sample, &say)
}

/// Options that this machine cannot run, and why.
type Cannot = Vec<(String, Error)>;

/// The recipes that this machine can make films by, and of the others what they lack.
fn here(run: Run<'_>, recipes: Vec<Recipe>, variables: &Variables) -> Result<(Vec<Recipe>, Cannot)> {
    let (mut can, mut cannot) = (Vec::new(), Vec::new());
    for recipe in recipes {
        match check::machine(run, &recipe, variables) {
            Ok(()) => can.push(recipe),
            Err(e) => cannot.push((recipe.name, e)),
        }
    }
    match cannot.pop() {
        Some((_, why)) if can.is_empty() => Err(why),
        last => {
            cannot.extend(last);
            Ok((can, cannot))
        }
    }
}

/// Bytes a frame of all that is not pictures, in a film of so many frames.
fn sound(src: &Path, frames: u64) -> Result<f64> {
    let mut bytes = 0u64;
    probe::lines(src, "packet=codec_type,size", &[], |line| {
        if let Some((_, size)) = line.split_once('|').filter(|(kind, _)| *kind != "video") {
            bytes += size.parse::<u64>().unwrap_or(0);
        }
    })?;
    Ok(bytes as f64 / frames as f64)
}

/// Bytes that are free where a folder is.
fn free(folder: &Path) -> Result<u64> {
    let stat = statvfs(folder).map_err(|e| Error::failed(folder.display(), reason(&e.into())))?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_made_only_where_nothing_else_is() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join(NAME);
        let said = || is_a_plans(&path).map_err(|e| e.to_string());
        assert_eq!(said(), Ok(()));
        fs::create_dir(&path).unwrap();
        for name in [FILE, SAMPLES, "plan.json.part", WORK, REPORTS] {
            fs::write(path.join(name), "").unwrap();
        }
        assert_eq!(said(), Ok(()));
        fs::write(path.join("precious"), "").unwrap();
        let name = path.display();
        assert_eq!(said(), Err(format!("{name}: holds precious, which no plan has made; say another OUT")));
        fs::rename(&path, out.path().join("mine")).unwrap();
        std::os::unix::fs::symlink("mine", &path).unwrap();
        assert_eq!(said(), Err(format!("{name}: is a link; a plan is made in a folder of its own")));
    }
}
