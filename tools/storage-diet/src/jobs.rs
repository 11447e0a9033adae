//! All jobs in OUT: going on with them, joining parts, proving films, saying how far they have come.

use crate::{
    disk::{Bytes, Disk},
    film::Source,
    folder::{Finished, Folder, RECORD, SEGMENTS, WORK},
    job::{self, Job},
    order::{self, Order},
    program::{Program, file},
    progress::size,
    recipe::{Pass, VIDEO},
    record::{Record, film_name},
    run::Run,
    values,
    variables::{Typed, Variables, typed},
    verify::{self, Against},
};
use cli::{Error, Result, reason};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A job's folder, and what it says it is.
struct Found {
    path: PathBuf,
    record: Record,
    variables: Variables,
}

impl Found {
    fn read(path: PathBuf, given: &[(String, String)]) -> Result<Self> {
        let record = Record::read(&path)?;
        let wrong = |why: String| Error::failed(path.join(RECORD).display(), why);
        let variables = record.variables(given).map_err(|e| wrong(e.to_string()))?;
        if path.file_name() != order::folder_of(&record.option, &variables).file_name() {
            return Err(wrong("is of another folder's job".into()));
        }
        Ok(Self { path, record, variables })
    }

    fn is_finished(&self) -> bool {
        self.record.is_finished(&self.path)
    }
}

/// The jobs in a folder, in the order of their names; errors where a record cannot be read.
fn found(out: &Path, given: &[(String, String)]) -> Result<Vec<Result<Found>>> {
    let entries = fs::read_dir(out).map_err(|e| Error::failed(out.display(), reason(&e)))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) && path.join(RECORD).is_file()
    });
    paths.sort();
    let mut given = given.to_vec();
    given.retain(|(name, _)| name != "OUT");
    given.push(("OUT".into(), out.display().to_string()));
    Ok(paths.into_iter().map(|path| Found::read(path, &given)).collect())
}

fn out(operands: &[String]) -> Result<(PathBuf, Variables, Typed)> {
    let given = typed(operands)?;
    let variables = Variables::new(&given)?;
    Ok((variables.get("OUT").into(), variables, given))
}

/// Does one thing after another. What fails is said before the next is begun, and at the end how many did.
fn all<T>(run: Run<'_>, things: Vec<T>, each: impl Fn(T) -> Result<()>) -> Result<()> {
    let count = things.len();
    let mut failed = 0;
    for (i, thing) in things.into_iter().enumerate() {
        let Err(e) = each(thing) else { continue };
        failed += 1;
        if count == 1 || e.signal().is_some() {
            return Err(e);
        }
        run.session.complain(&e);
        if i + 1 == count {
            break;
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Error::failed(format!("{failed} of {count}"), "failed, as said")),
    }
}

/// Makes the film of an option.
pub fn make(run: Run<'_>, option: &str, variables: Variables) -> Result<()> {
    Order::take(run, option, variables)?.map_or(Ok(()), |order| Job::begin(run, order)?.make())
}

/// Goes on with every job that has not come to its film, and with the next where one fails again.
pub fn resume(run: Run<'_>, operands: &[String]) -> Result<()> {
    let (out, variables, given) = out(operands)?;
    let own = |name: &str| variables.to_keep().contains_key(name) && !["SRC", "ENGINE"].contains(&name);
    if let Some((name, _)) = given.iter().find(|(name, _)| own(name)) {
        return Err(Error::usage(
            name,
            "a job goes on with the settings that it was begun with; only SRC and ENGINE may be said",
        ));
    }
    let mut open = found(&out, &given)?;
    open.retain(|job| !job.as_ref().is_ok_and(Found::is_finished));
    if open.is_empty() {
        cli::print_line(format_args!("resume: {}: nothing was interrupted here", cli::shown(out.display())))?;
        return Ok(());
    }
    all(run, open, |found| {
        let found = found?;
        // A command is run where a person says it, not where a folder does.
        if found.variables.get("ENGINE") != variables.get("ENGINE") {
            let [out, engine] = [variables.get("OUT"), found.variables.get("ENGINE")].map(shell_words::quote);
            let hint = format!("`make resume OUT={out} ENGINE={engine}` goes on");
            let why = format!("was begun with an ENGINE, which is not taken from a folder; {hint}");
            return Err(Error::failed(found.path.display(), why));
        }
        make(run, &found.record.option, found.variables)
    })
}

/// Makes one film of parts.
pub fn join(run: Run<'_>, operands: &[String]) -> Result<()> {
    let (out, _, given) = out(operands)?;
    let jobs = found(&out, &given)?.into_iter().collect::<Result<Vec<_>>>()?;
    let mut groups: BTreeMap<(String, u64), Vec<Found>> = BTreeMap::new();
    for job in jobs {
        if let Some((_, n)) = job.variables.part() {
            groups.entry((job.record.option.clone(), n)).or_default().push(job);
        }
    }
    if groups.is_empty() {
        return Err(Error::failed(out.display(), "no parts of a film are here"));
    }
    all(run, groups.into_iter().collect(), |((option, n), parts)| join_parts(run, &out, &option, n, parts))
}

fn join_parts(run: Run<'_>, out: &Path, option: &str, n: u64, mut parts: Vec<Found>) -> Result<()> {
    parts.sort_by_key(|part| part.variables.part());
    for i in 1..=n {
        let part = parts.iter().find(|part| part.variables.part() == Some((i, n)));
        if !part.is_some_and(Found::is_finished) {
            let path = out.join(format!("{option}.{i}of{n}"));
            let resume = format!("`make resume OUT={}`", shell_words::quote(&out.to_string_lossy()));
            return Err(match part.and_then(|part| part.record.damage(&part.path)) {
                Some(why) => {
                    Error::failed(path.join("part.mkv").display(), format!("{why}; {resume} makes it again"))
                }
                None => Error::failed(path.display(), format!("is not finished; {resume} goes on with it")),
            });
        }
    }
    let without_part = |part: &Found| {
        let mut settings = part.record.settings.clone();
        settings.retain(|name, _| name != "PART" && name != "SRC");
        settings
    };
    let first = &parts[0];
    for part in &parts {
        if without_part(part) != without_part(first) {
            return Err(Error::failed(
                part.path.display(),
                "was made with other settings than the first part",
            ));
        }
        if let Err(why) = first.record.source.same(&part.record.source) {
            return Err(Error::failed(
                part.path.display(),
                format!("was made of another film than the first part: it {why}"),
            ));
        }
    }
    let variables = first.variables.clone().with("PART", "")?;
    let source = crate::check::source(&variables)?;
    if let Err(why) = first.record.source.same(&source) {
        return Err(Error::failed(variables.get("SRC"), format!("is not the film of the parts: {why}")));
    }
    let path = order::folder_of(option, &variables);
    if Folder::is_there(&path)? {
        let old = Record::read(&path)?;
        let film = path.join("film.mkv");
        if old.is_finished(&path) {
            cli::print_line(format_args!("join: {} is there already", cli::shown(film.display())))?;
            return Ok(());
        }
        if let Some(why) = old.damage(&path) {
            run.session.note(format_args!("{}: {why}; it is made again", film.display()));
        }
    }
    let folder = Folder::enter(&path)?;
    let hint = format!("stopped; `make join OUT={}` begins anew", shell_words::quote(&out.to_string_lossy()));
    run.stop.remember(folder.path(WORK), hint);
    folder.begin()?;
    let mut record = Record { settings: variables.to_keep(), finished: None, ..first.record.clone() };
    folder.write(RECORD, &record)?;
    let span = record.span(&variables)?;
    let joined = concatenate(&folder, &parts).and_then(|()| {
        let frames = job::count(&folder.path(VIDEO), span.frames())?;
        job::add_the_rest(run, &folder, (&variables, &record), span.start)?;
        Ok(frames)
    });
    folder.end();
    let frames = joined?;
    let (film, video_bytes) =
        (folder.path("film.mkv"), folder.path(VIDEO).metadata().map_or(0, |meta| meta.len()));
    let bytes = film.metadata().map_or(0, |meta| meta.len());
    record.finished = Some(Finished { bytes, frames, video_bytes });
    folder.write(RECORD, &record)?;
    folder.remove(VIDEO)?;
    let name = cli::shown(film.display());
    cli::print_line(format_args!("film: {name}, {frames} frames, {}", size(bytes)))?;
    Ok(())
}

/// Makes [`VIDEO`] of the pictures of all parts, one behind another.
fn concatenate(folder: &Folder, parts: &[Found]) -> Result<()> {
    let mut list = String::from("ffconcat version 1.0\n");
    for part in parts {
        let path = part.path.join("part.mkv");
        let frames = part.record.finished.as_ref().map_or(0, |finished| finished.frames);
        // In quotes everything is itself but a quote.
        let quoted = path.to_string_lossy().replace('\'', "'\\''");
        list += &format!("file 'file:{quoted}'\nduration {}\n", frames as f64 / 24.0);
    }
    let (name, unfinished) = (folder.path(&Folder::unfinished("parts")), Folder::unfinished(VIDEO));
    fs::write(&name, list).map_err(|e| Error::failed(name.display(), reason(&e)))?;
    let ffmpeg = Program::ffmpeg().within(folder.root()).args(["-f", "concat", "-safe", "0"]);
    ffmpeg
        .args(["-protocol_whitelist", "file"])
        .arg("-i")
        .arg(file(&name))
        .args(["-map", "0:v", "-c", "copy"])
        .arg(unfinished)
        .run()?;
    folder.finish(VIDEO)
}

/// Adds sound, subtitles and chapters to the pictures that a shell has made in this folder.
pub fn finish(run: Run<'_>) -> Result<()> {
    let here = std::env::current_dir().map_err(|e| Error::failed(".", reason(&e)))?;
    let mut job = Job::of(run, &here)?;
    let disk = Disk::watch(&here, &here.join("reports/disk"))?;
    let frames = job.finish(&disk)?;
    job.end();
    let film = cli::shown(here.join("film.mkv").display());
    cli::print_line(format_args!("film: {film}, {frames} frames"))?;
    Ok(())
}

/// Proves every film against the one that its job made it from.
pub fn verify(run: Run<'_>, operands: &[String]) -> Result<()> {
    let (out, _, given) = out(operands)?;
    let mut jobs = found(&out, &given)?;
    jobs.retain(|job| job.as_ref().map_or(true, |job| job.path.join("film.mkv").is_file()));
    if jobs.is_empty() {
        return Err(Error::failed(out.display(), "no film is here"));
    }
    all(run, jobs, |job| {
        let job = job?;
        let source = Path::new(job.variables.get("SRC"));
        if let Err(why) = job.record.source.same(&Source::read(source)?) {
            let why = format!("is not the film that {} was made from: it {why}", job.path.display());
            return Err(Error::failed(source.display(), why));
        }
        let wrong = |why: String| Error::failed(job.path.join(RECORD).display(), why);
        let prepare = values::prepare(&job.variables, job.record.crop.as_deref()).map_err(wrong)?;
        let (reading, timeline) = (&job.record.reading, &job.record.timeline(&job.variables));
        let start = job.record.span(&job.variables)?.start;
        let against = Against { path: source, reading, timeline, start, prepare: Some(&prepare) };
        verify::verify(run.session, &job.path.join("film.mkv"), Some(against))
    })
}

/// Prints how far each job has come.
pub fn status(run: Run<'_>, operands: &[String]) -> Result<()> {
    let (out, _, given) = out(operands)?;
    let jobs = found(&out, &given)?;
    if jobs.is_empty() {
        return Err(Error::failed(out.display(), "no job is here"));
    }
    all(run, jobs, |job| {
        let job = job?;
        let name = job.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let disk = size(Bytes::of(&job.path).sum());
        let total = job.record.span(&job.variables)?.frames();
        cli::print_line(format_args!(
            "{name:<16} {}, {disk} on the disk",
            cli::shown(stands(run, &job, total)?)
        ))
    })
}

fn stands(run: Run<'_>, found: &Found, total: u64) -> Result<String> {
    if found.is_finished() {
        return Ok(format!(
            "done: {total} frames in {}",
            found.path.join(film_name(&found.variables)).display()
        ));
    }
    let recipe = order::recipe(run.makefile, &found.record.option)?;
    let passes = recipe.passes.len();
    let open = recipe.passes.iter().position(|pass| !found.path.join(pass.leaves()).is_file());
    let at = match open {
        None => "pictures done; sound, subtitles and chapters are next".to_owned(),
        Some(number) => format!(
            "pass {} of {passes}: {} of {total} frames",
            number + 1,
            made(&found.path, &recipe.passes[number])?
        ),
    };
    let lock = fs::File::open(&found.path).map_err(|e| Error::failed(found.path.display(), reason(&e)))?;
    let now = match (lock.try_lock(), found.record.damage(&found.path)) {
        (Ok(()), Some(why)) => {
            let (film, out) = (found.record.film(), shell_words::quote(found.variables.get("OUT")));
            return Ok(format!("damaged: {film} {why}; `make resume OUT={out}` makes it again"));
        }
        (Ok(()), None) => "stopped",
        (Err(_), _) => "at work",
    };
    Ok(format!("{now}, {at}"))
}

/// The frames that are safe in segments; of a pass without them there are none before it is whole.
fn made(path: &Path, pass: &Pass) -> Result<u64> {
    let segments = path.join(SEGMENTS);
    if pass.is_segmented() && segments.is_dir() { order::segments_done(&segments) } else { Ok(0) }
}
