//! An order: what is to be made, with everything asked for that can be wrong, before anything is.

use crate::{
    check,
    ending::Clocks,
    film::Source,
    folder::{FIELD_ORDERS, Folder, RECORD, SEGMENTS, WORK},
    makefile::Makefile,
    mux,
    pipeline::{self, Program},
    program,
    reading::Reading,
    recipe::{Pass, Recipe, VIDEO},
    record::{Record, Stands, VERSION, film_name},
    run::Run,
    span::Span,
    values::{Pictures, audio, values},
    variables::Variables,
};
use cli::{Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What is to be made, with everything asked for that can be wrong, and nothing made yet.
pub struct Order {
    pub(crate) recipe: Recipe,
    pub(crate) variables: Variables,
    pub(crate) record: Record,
    /// The job's folder, which need not be there.
    pub(crate) path: PathBuf,
    /// Is there nothing in it that can be gone on with?
    pub(crate) is_new: bool,
    /// Since it was taken.
    pub(crate) clocks: Clocks,
}

impl Order {
    /// Takes an order: asks for everything before anything is made. `None`: there is nothing to be done, and that is said.
    ///
    /// Errors: a film that cannot be made; a folder that is another job's.
    pub fn take(run: Run<'_>, option: &str, variables: Variables) -> Result<Option<Self>> {
        let clocks = Clocks::start();
        let recipe = recipe(run.makefile, option)?;
        let path = folder_of(&recipe.name, &variables);
        if variables.part().is_some() && !recipe.is_segmented() {
            let why = format!("{} does not work in segments", recipe.name);
            return Err(Error::usage(format!("PART={}", variables.get("PART")), why));
        }
        let source = check::source(&variables)?;
        let variables = check::cropping(run, variables)?;
        check::weights(&variables)?;
        let old = if Folder::is_there(&path)? { Some(Record::read(&path)?) } else { None };
        if let Some(old) = old {
            let stands = old.stands(&path, &recipe, &variables, &source)?;
            if let Some(why) = old.damage(&path) {
                let film = path.join(old.film());
                run.session.note(format_args!("{}: {why}; it is made again", film.display()));
            }
            match stands {
                Stands::Done => {
                    if !run.dry {
                        tidy(&recipe, &variables, &path)?;
                    }
                    let film = path.join(film_name(&variables));
                    let film = cli::shown(film.display());
                    cli::print_line(format_args!("{}: {film} is there already", recipe.name))?;
                    return Ok(None);
                }
                Stands::Open => {
                    check::machine(run, &recipe, &variables)?;
                    let record = Record { settings: variables.to_keep(), source, finished: None, ..old };
                    return Ok(Some(Self { recipe, variables, record, path, is_new: false, clocks }));
                }
                Stands::Empty => {}
            }
        }
        check::machine(run, &recipe, &variables)?;
        let src = Path::new(variables.get("SRC"));
        mux::check(src, audio(&variables))?;
        let reading = match read_before(Path::new(variables.get("OUT")), &source) {
            Some(reading) => reading,
            None => check::reading(run, &recipe.name, src)?,
        };
        check::left_out(run, &reading, src)?;
        let (timeline, span) = check::frames(run, &reading, &variables)?;
        let pictures = check::pictures(run, &reading, &timeline, &variables, span)?;
        let crop = check::crop(run, &variables, pictures)?;
        let prepared = check::prepared(run, &variables, pictures, crop.as_deref())?;
        if let Ok(size) = prepared.parse() {
            check::room(&recipe, &variables, size, span.frames())?;
        }
        let record = Record {
            version: VERSION,
            option: recipe.name.clone(),
            settings: variables.to_keep(),
            source,
            reading,
            crop,
            prepared,
            finished: None,
        };
        Ok(Some(Self { recipe, variables, record, path, is_new: true, clocks }))
    }

    /// The frames of the job's film.
    pub(crate) fn frames(&self) -> Result<Span> {
        self.record.span(&self.variables)
    }

    /// The frames that a pass works on.
    pub(crate) fn span(&self, pass: &Pass) -> Result<Span> {
        let span = self.frames()?;
        // A pre-mezzanine is kept from its first frame on; without one, sr-window is fed from where its window begins.
        match (pass.is_segmented(), &pass.input) {
            (false, _) => Ok(span),
            (true, None) => span.from(span.start + self.segments_done()?, &self.variables),
            (true, Some(_)) => Ok(Span { next: span.start + self.segments_done()?, ..span }),
        }
    }

    /// Frames that seg-sink has in finished segments, or in mezzanines of theirs.
    fn segments_done(&self) -> Result<u64> {
        let segments = self.path.join(SEGMENTS);
        if self.is_new || !segments.is_dir() { Ok(0) } else { segments_done(&segments) }
    }

    /// What a pass comes to. Where all frames are in segments there is nothing left but to join them.
    pub(crate) fn programs(&self, makefile: &Makefile, pass: &Pass, span: Span) -> Result<Vec<Program>> {
        let timeline = self.record.timeline(&self.variables);
        let pictures = Pictures::new(&self.record.reading, &timeline, span.start)
            .ok_or_else(|| Error::failed(self.path.display(), "its reading does not hold its frames"))?;
        let orders = self.record.field_orders(&timeline, span);
        let pictures = Pictures { field_orders: orders.map(|_| FIELD_ORDERS), ..pictures };
        let values =
            values(&self.variables, pictures, (self.record.crop.as_deref(), &self.record.prepared), span)?;
        let out = if pass.is_segmented() { VIDEO.into() } else { Folder::unfinished(pass.leaves()) };
        let mut programs = pipeline::programs(makefile, pass, &values, &out)
            .map_err(|why| Error::failed("Makefile", why))?;
        if span.next == span.end {
            programs.drain(..programs.len() - 1);
        }
        Ok(programs)
    }

    /// The passes that are still to be run, with their numbers from 0.
    pub(crate) fn open(&self) -> impl Iterator<Item = (usize, &Pass)> {
        let is_open = |pass: &Pass| self.is_new || !self.path.join(pass.leaves()).is_file();
        let pictures = is_open(&self.recipe.passes[self.recipe.passes.len() - 1]);
        self.recipe.passes.iter().enumerate().filter(move |(_, pass)| pictures && is_open(pass))
    }

    /// The pipes that are still to be run, and all around them, as bash runs them.
    pub fn as_shell(&self, makefile: &Makefile) -> Result<String> {
        let quoted = |text: &str| shell_words::quote(text).into_owned();
        let defaults = Variables::new(&[])?;
        let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.display().to_string()));
        let own = quoted(&own.unwrap_or_default());
        let mut text = format!("( set -euo pipefail\nPATH={own}:$PATH\n");
        text += &format!("storage-diet begin {}", self.recipe.name);
        let out = [("OUT".to_owned(), self.variables.get("OUT").to_owned())];
        for (name, value) in self.variables.to_keep().into_iter().chain(out) {
            if value != defaults.get(&name) {
                text += &format!(" {}", quoted(&format!("{name}={value}")));
            }
        }
        text += &format!("\ncd {}\n", quoted(&self.path.display().to_string()));
        for (_, pass) in self.open() {
            text += &pipeline::as_shell(&self.programs(makefile, pass, self.span(pass)?)?);
            text += &match pass.is_segmented() {
                true => " >>reports/events\n".to_owned(),
                false => format!("\nstorage-diet keep {}\n", quoted(pass.leaves())),
            };
        }
        Ok(text + "storage-diet finish )")
    }
}

/// The recipe of that name, or of that alias.
///
/// Errors (usage): there is none.
pub fn recipe(makefile: &Makefile, option: &str) -> Result<Recipe> {
    let all = Recipe::all(makefile).map_err(|why| Error::failed("Makefile", why))?;
    let name = makefile.aliases.iter().find(|(alias, _)| alias == option).map_or(option, |(_, name)| name);
    let names = all.iter().map(|recipe| recipe.name.clone()).collect::<Vec<_>>().join(", ");
    all.into_iter()
        .find(|recipe| recipe.name == name)
        .ok_or_else(|| Error::usage(option, format!("no such option; there are {names}")))
}

/// The folder of a job: `OUT/option4`, or of a part `OUT/option4.1of4`.
pub fn folder_of(option: &str, variables: &Variables) -> PathBuf {
    let part = variables.part().map_or(String::new(), |(i, n)| format!(".{i}of{n}"));
    Path::new(variables.get("OUT")).join(format!("{option}{part}"))
}

/// Frames that seg-sink has in finished segments, or in mezzanines of theirs, in that folder of its.
///
/// Errors: what seg-sink says.
pub fn segments_done(segments: &Path) -> Result<u64> {
    #[derive(Deserialize)]
    struct Status {
        next_frame: u64,
    }
    let status = program::Program::new("seg-sink").args(["--status", "--dir"]).arg(segments).output()?;
    let status: Status = serde_json::from_slice(&status).map_err(|e| Error::failed(segments.display(), e))?;
    Ok(status.next_frame)
}

/// What another job in that folder has read of the same film.
fn read_before(out: &Path, source: &Source) -> Option<Reading> {
    let jobs = std::fs::read_dir(out).ok()?.flatten().map(|entry| entry.path());
    let records = jobs.filter(|job| job.join(RECORD).is_file()).filter_map(|job| Record::read(&job).ok());
    records.filter(|record| record.source.same(source).is_ok()).map(|record| record.reading).next()
}

/// Removes what a finished film was made from, where the power was cut between the one and the other.
fn tidy(recipe: &Recipe, variables: &Variables, path: &Path) -> Result<()> {
    let mut needless = vec![VIDEO, WORK];
    if variables.given("KEEP").is_none() {
        needless.extend(recipe.files().chain([SEGMENTS]));
    }
    needless.retain(|name| path.join(name).symlink_metadata().is_ok());
    if needless.is_empty() {
        return Ok(());
    }
    let folder = Folder::enter(path)?;
    needless.into_iter().try_for_each(|name| folder.remove(name))
}
