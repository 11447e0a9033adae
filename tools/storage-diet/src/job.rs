//! A job: one option at work on one film, in a folder of its own, from what was typed to the finished film.
//!
//! A pass writes its file under a temporary name, and when it is whole and on the disk it gets its own: a job that is gone
//! on with does not make it again. What it was made from goes after that. So whatever happens, what has a name is whole, and
//! what it takes to go on is there.

use crate::{
    check,
    disk::Disk,
    ending,
    film::{Facts, Source},
    folder::{Finished, Folder, RECORD, REPORTS, SEGMENTS, WORK, read},
    makefile::Makefile,
    mux::{self, Audio, Mux},
    pipe::{self, Surroundings},
    pipeline::{self, Program},
    probe::Film,
    program,
    progress::{Progress, clock, size},
    recipe::{Pass, Recipe, VIDEO},
    span::{self, Span},
    stop::Stop,
    template::Values,
    variables::{Variables, is_crop},
};
use cli::{Error, Result, Session};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// What a job is, kept in its folder. Anybody may have written it: nothing in it is taken for more than it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Of what is written here.
    pub version: u32,
    /// The option's name.
    pub option: String,
    /// The variables that the film depends on.
    pub settings: BTreeMap<String, String>,
    /// The film that it is made from.
    pub source: Source,
    /// What is in that.
    pub facts: Facts,
    /// The crop, where `CROP=auto` was asked for.
    pub crop: Option<String>,
    /// The picture's size before the network, `WxH`.
    pub prepared: String,
    /// The finished film, or part of one.
    pub finished: Option<Finished>,
}

const VERSION: u32 = 1;

impl Record {
    /// That of a job's folder.
    pub fn read(job: &Path) -> Result<Self> {
        let path = job.join(RECORD);
        let record: Self = read(&path)?;
        let wrong = |why: String| Err(Error::failed(path.display(), why));
        if record.version != VERSION {
            return wrong(format!("is of version {}; this is for {VERSION}", record.version));
        }
        if !record.crop.as_deref().is_none_or(is_crop) {
            return wrong(format!("crop: {:?} is none", record.crop));
        }
        if record.prepared.parse::<cli::Size>().is_err() {
            return wrong(format!("prepared: {:?} is not WxH", record.prepared));
        }
        Ok(record)
    }

    /// The variables of the job, checked as if they were typed.
    pub fn variables(&self, typed: &[(String, String)]) -> Result<Variables> {
        Variables::kept(&self.settings, typed)
    }
}

/// What all jobs of a run share.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The process.
    pub session: &'a Session,
    /// The wish to end.
    pub stop: &'a Stop,
    /// Where options are written down.
    pub makefile: &'a Makefile,
    /// No progress.
    pub quiet: bool,
    /// Pipes are only printed: this machine need not be able to run them.
    pub dry: bool,
}

/// What is to be made, with everything asked for that can be wrong, and nothing made yet.
pub struct Order {
    recipe: Recipe,
    variables: Variables,
    record: Record,
    /// The job's folder, which need not be there.
    path: PathBuf,
    /// Is there nothing in it that can be gone on with?
    is_new: bool,
}

/// A job at work.
pub struct Job<'a> {
    run: Run<'a>,
    order: Order,
    folder: Folder,
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

impl Order {
    /// Takes an order: asks for everything before anything is made. `None`: there is nothing to be done, and that is said.
    ///
    /// Errors: a film that cannot be made; a folder that is another job's.
    pub fn take(run: Run<'_>, option: &str, variables: Variables) -> Result<Option<Self>> {
        let recipe = recipe(run.makefile, option)?;
        let path = folder_of(&recipe.name, &variables);
        if variables.part().is_some() && !recipe.is_segmented() {
            let why = format!("{} does not work in segments", recipe.name);
            return Err(Error::usage(format!("PART={}", variables.get("PART")), why));
        }
        let source = check::source(&variables)?;
        check::weights(&variables)?;
        let old = if Folder::is_there(&path)? { Some(Record::read(&path)?) } else { None };
        if let Some(old) = old {
            match old.stands(&path, &recipe, &variables, &source)? {
                Stands::Done => {
                    if !run.dry {
                        tidy(&recipe, &variables, &path)?;
                    }
                    let film = path.join(film_name(&variables));
                    cli::print_line(format_args!("{}: {} is there already", recipe.name, film.display()))?;
                    return Ok(None);
                }
                Stands::Open => {
                    check::machine(run, &recipe, &variables)?;
                    let record = Record { settings: variables.to_keep(), source, ..old };
                    return Ok(Some(Self { recipe, variables, record, path, is_new: false }));
                }
                Stands::Empty => {}
            }
        }
        check::machine(run, &recipe, &variables)?;
        let src = Path::new(variables.get("SRC"));
        mux::check(src, audio(&variables))?;
        let facts = Facts::read(src)?;
        Span::new(facts.frames, &variables)?;
        let crop = check::crop(run, &variables)?;
        let prepared = check::prepared(run, &variables, crop.as_deref())?;
        let record = Record {
            version: VERSION,
            option: recipe.name.clone(),
            settings: variables.to_keep(),
            source,
            facts,
            crop,
            prepared,
            finished: None,
        };
        Ok(Some(Self { recipe, variables, record, path, is_new: true }))
    }

    /// Enters the job's folder and says there what the job is.
    pub fn begin(self, run: Run<'_>) -> Result<Job<'_>> {
        let folder = Folder::enter(&self.path)?;
        folder.begin()?;
        if self.is_new {
            // Of a job that came to nothing, seg-sink may have begun a journal for other settings.
            folder.remove(SEGMENTS)?;
        }
        folder.write(RECORD, &self.record)?;
        Ok(Job { run, order: self, folder })
    }

    /// The frames of the job's film.
    fn frames(&self) -> Result<Span> {
        Span::new(self.record.facts.frames, &self.variables)
    }

    /// The frames that a pass works on.
    fn span(&self, pass: &Pass) -> Result<Span> {
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
    fn programs(&self, makefile: &Makefile, pass: &Pass, span: Span) -> Result<Vec<Program>> {
        let values = values(&self.variables, (self.record.crop.as_deref(), &self.record.prepared), span);
        let out = if pass.is_segmented() { VIDEO.into() } else { Folder::unfinished(pass.leaves()) };
        let mut programs = pipeline::programs(makefile, pass, &values, &out)
            .map_err(|why| Error::failed("Makefile", why))?;
        if span.next == span.end {
            programs.drain(..programs.len() - 1);
        }
        Ok(programs)
    }

    /// The passes that are still to be run, with their numbers from 0.
    fn open(&self) -> impl Iterator<Item = (usize, &Pass)> {
        let is_open = |pass: &Pass| self.is_new || !self.path.join(pass.leaves()).is_file();
        let pictures = is_open(&self.recipe.passes[self.recipe.passes.len() - 1]);
        self.recipe.passes.iter().enumerate().filter(move |(_, pass)| pictures && is_open(pass))
    }

    /// The pipes that are still to be run, and all around them, as bash runs them.
    pub fn as_shell(&self, makefile: &Makefile) -> Result<String> {
        let quoted = |text: &str| shell_words::quote(text).into_owned();
        let defaults = Variables::new(&[])?;
        let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.display().to_string()));
        let mut text = format!(
            "( set -euo pipefail
PATH={}:$PATH
",
            quoted(&own.unwrap_or_default())
        );
        text += &format!("storage-diet begin {}", self.recipe.name);
        let out = [("OUT".to_owned(), self.variables.get("OUT").to_owned())];
        for (name, value) in self.variables.to_keep().into_iter().chain(out) {
            if value != defaults.get(&name) {
                text += &format!(" {}", quoted(&format!("{name}={value}")));
            }
        }
        text += &format!(
            "
cd {}
",
            quoted(&self.path.display().to_string())
        );
        for (_, pass) in self.open() {
            text += &pipeline::as_shell(&self.programs(makefile, pass, self.span(pass)?)?);
            text += &match pass.is_segmented() {
                true => " >>reports/events
"
                .to_owned(),
                false => format!(
                    "
storage-diet keep {}
",
                    quoted(pass.leaves())
                ),
            };
        }
        Ok(text + "storage-diet finish )")
    }
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

impl<'a> Job<'a> {
    /// Removes unfinished work.
    pub fn end(&self) {
        self.folder.end();
    }

    /// The job whose folder this is, to be finished there.
    pub fn of(run: Run<'a>, path: &Path) -> Result<Self> {
        let record = Record::read(path)?;
        let recipe = recipe(run.makefile, &record.option)?;
        let variables = record.variables(&[])?;
        let order = Order { recipe, variables, record, path: path.to_owned(), is_new: false };
        Ok(Self { run, order, folder: Folder::enter(path)? })
    }

    /// Makes the film.
    pub fn make(mut self) -> Result<()> {
        let began = Instant::now();
        let root = self.folder.root().to_owned();
        let hint = format!(
            "stopped; `make resume OUT={}` goes on",
            shell_words::quote(self.order.variables.get("OUT"))
        );
        self.run.stop.remember(root.join("work"), hint);
        let disk = Disk::watch(&root, &root.join(REPORTS).join("disk"))?;
        let clocks = ending::Clocks::start();
        let recipe = &self.order.recipe;
        let progress = Progress::start(&recipe.name, recipe.passes.len(), Arc::clone(&disk), self.run.quiet);
        let is_resumed = !self.order.is_new;
        let made = self.passes(&progress, &disk).and_then(|()| self.finish(&disk));
        drop(progress);
        let ending = ending::Ending {
            made: made.as_ref().map(drop).map_err(Clone::clone),
            is_resumed,
            disk: &disk,
            clocks,
        };
        let (film, first) = (film_name(&self.order.variables), self.order.frames()?.start);
        let told = ending::write(&self.folder, &self.order.record, first, film, ending);
        self.end();
        let frames = made?;
        told?;
        let film = self.folder.path(film);
        let bytes = film.metadata().map_or(0, |meta| meta.len());
        let took = clock(began.elapsed().as_secs_f64());
        cli::print_line(format_args!("film: {}, {frames} frames, {}, {took}", film.display(), size(bytes)))?;
        Ok(())
    }

    /// Makes each file that is not there yet.
    fn passes(&self, progress: &Progress, disk: &Disk) -> Result<()> {
        for (number, pass) in self.order.open() {
            let span = self.order.span(pass)?;
            let programs = self.order.programs(self.run.makefile, pass, span)?;
            let stages: Vec<&str> = pass.stages.iter().map(|stage| &*stage.name).collect();
            progress.pass(number, &stages.join(", "), span.next - span.start, span.frames());
            let around = Surroundings {
                folder: self.folder.root(),
                stop: self.run.stop,
                made: &|frames| progress.made(frames),
                note: &|words| self.run.session.note(words),
                input: None,
                output: if pass.is_segmented() { Some(self.folder.append("reports/events")?) } else { None },
            };
            pipe::run(&programs, &around)?;
            disk.look();
            if !pass.is_segmented() {
                self.folder.finish(pass.leaves())?;
            }
        }
        Ok(())
    }

    /// Counts the pictures, deletes what they were made from, and puts sound, subtitles and chapters beside them: how many
    /// pictures.
    pub fn finish(&mut self, disk: &Disk) -> Result<u64> {
        let (span, variables) = (self.order.frames()?, &self.order.variables);
        let video = self.folder.path(VIDEO);
        let frames = count(&video, span.frames())?;
        let video_bytes = video.metadata().map_or(0, |meta| meta.len());
        disk.look();
        if variables.given("KEEP").is_none() {
            for file in self.order.recipe.files().chain([SEGMENTS]) {
                self.folder.remove(file)?;
            }
        }
        let name = film_name(variables);
        if variables.part().is_some() {
            // Said before it is renamed: what says that a part is finished is believed only where the part is.
            let finished = Finished { bytes: video_bytes, frames, video_bytes };
            let record = Record { finished: Some(finished), ..self.order.record.clone() };
            self.folder.write(RECORD, &record)?;
            let part = self.folder.path(name);
            durable::finish(&video, &part).map_err(|e| Error::failed(video.display(), cli::reason(&e)))?;
        } else {
            add_the_rest(self.run, &self.folder, variables, span.start)?;
        }
        disk.look();
        let bytes = self.folder.path(name).metadata().map_or(0, |meta| meta.len());
        self.order.record.finished = Some(Finished { bytes, frames, video_bytes });
        self.folder.write(RECORD, &self.order.record)?;
        self.folder.remove(VIDEO)?;
        Ok(frames)
    }
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

/// The pictures of a file, which are to be `expected`.
///
/// Errors: it cannot be read; torn, where there are others.
pub fn count(video: &Path, expected: u64) -> Result<u64> {
    let film = Film::counted(video)?;
    let frames = film.pictures().and_then(|stream| stream.nb_read_packets).unwrap_or(0);
    if frames == expected {
        return Ok(frames);
    }
    Err(Error::torn(video.display(), format!("has {frames} frames; {expected} were expected")))
}

/// Makes the film of [`VIDEO`]: puts the sound, subtitles and chapters of SRC beside it, from frame `start` on.
pub fn add_the_rest(run: Run<'_>, folder: &Folder, variables: &Variables, start: u64) -> Result<()> {
    let work = Folder::unfinished("mux");
    folder.remove(&work)?;
    let work = folder.path(&work);
    std::fs::create_dir(&work).map_err(|e| Error::failed(work.display(), cli::reason(&e)))?;
    let (src, video) = (variables.get("SRC").into(), folder.path(VIDEO));
    let mux = Mux { src, video, out: folder.path("film.mkv"), audio: audio(variables), start, work };
    mux::mux(run.session, &mux)
}

/// What a job leaves: a film, or a part of one.
pub fn film_name(variables: &Variables) -> &'static str {
    if variables.part().is_some() { "part.mkv" } else { "film.mkv" }
}

/// How the sound is slowed.
pub fn audio(variables: &Variables) -> Audio {
    if variables.get("AUDIO") == "pitch-lowered" { Audio::PitchLowered } else { Audio::PitchKept }
}

/// How far a job has come that is found in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// Nothing of it is worth keeping.
    Empty,
    /// It can be gone on with.
    Open,
    /// Its film is there.
    Done,
}

impl Record {
    /// Is the film there that this says was finished?
    pub fn is_finished(&self, path: &Path) -> bool {
        let film = path.join(if self.settings.get("PART").is_none_or(String::is_empty) {
            "film.mkv"
        } else {
            "part.mkv"
        });
        self.finished.as_ref().is_some_and(|finished| {
            film.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == finished.bytes)
        })
    }

    /// How far this job, found at `path`, has come, and is it the one that is asked for?
    ///
    /// Errors: it is another one, and something of it is worth keeping.
    fn stands(&self, path: &Path, recipe: &Recipe, variables: &Variables, source: &Source) -> Result<Stands> {
        let is_finished = self.is_finished(path);
        let is_file = |name: &str| path.join(name).symlink_metadata().is_ok_and(|meta| meta.is_file());
        let has_chunks = |stage: &str| {
            let chunks = std::fs::read_dir(path.join(SEGMENTS).join(stage)).into_iter().flatten().flatten();
            chunks.map(|chunk| chunk.file_name()).any(|name| {
                let name = name.to_string_lossy();
                name.ends_with(".mkv") && !name.ends_with(".part.mkv")
            })
        };
        if !is_finished
            && !recipe.files().chain([VIDEO]).any(is_file)
            && !["mezz", "final"].into_iter().any(has_chunks)
        {
            return Ok(Stands::Empty);
        }
        let failed = |why: String| Error::failed(path.display(), why);
        let was = if is_finished { "was made" } else { "was begun" };
        let afresh = "remove the folder to start afresh, or say another OUT";
        if let Err(why) = self.source.same(source) {
            return Err(failed(format!("{was} from another film: {} {why}; {afresh}", variables.get("SRC"))));
        }
        let now = variables.to_keep();
        let others =
            now.iter().filter(|(name, value)| *name != "SRC" && self.settings.get(*name) != Some(*value));
        let others: Vec<String> = others
            .map(|(name, value)| {
                let shown =
                    |value: &str| if value.is_empty() { "not set".to_owned() } else { value.to_owned() };
                let then = shown(self.settings.get(name).map_or("", String::as_str));
                format!("{name} was {then}, is {}", shown(value))
            })
            .collect();
        if others.is_empty() {
            return Ok(if is_finished { Stands::Done } else { Stands::Open });
        }
        let out = shell_words::quote(variables.get("OUT"));
        let go_on =
            if is_finished { String::new() } else { format!("`make resume OUT={out}` goes on with those; ") };
        Err(failed(format!("{was} with other settings ({}); {go_on}{afresh}", others.join(", "))))
    }
}

/// What the stages are told: of pictures that are cropped so, as CROP has it or as was found, and then have the size `prepared`.
pub fn values(variables: &Variables, (crop, prepared): (Option<&str>, &str), span: Span) -> Values {
    let mut values = Values::default();
    settings(variables, &mut values);
    values.set("crop", crop.unwrap_or(variables.get("CROP")));
    values.set("prepared", prepared);
    values.set("enlarged", enlarged(prepared));
    span.tell(&mut values);
    values
}

/// Those that are typed.
pub fn settings(variables: &Variables, values: &mut Values) {
    for (name, variable) in [
        ("src", "SRC"),
        ("scale", "SCALE"),
        ("field_phase", "FIELD_PHASE"),
        ("window", "WINDOW"),
        ("overlap", "OVERLAP"),
        ("height", "HEIGHT"),
        ("encoder", "ENCODER"),
        ("preset", "PRESET"),
        ("crf", "CRF"),
        ("tune", "TUNE"),
        ("mezz", "MEZZ"),
        ("qp", "QP"),
        ("jobs", "JOBS"),
    ] {
        values.set(name, variables.get(variable));
    }
    let engine = variables.given("ENGINE");
    values.set_or_not("engine", engine);
    for (name, variable) in [("weights", "WEIGHTS"), ("device", "DEVICE")] {
        values.set_or_not(name, Some(variables.get(variable)).filter(|_| engine.is_none()));
    }
    values.set_or_not("max_disk", variables.given("MAX_DISK"));
    values.set_or_not("keep", variables.given("KEEP").map(|_| "--keep"));
    values.set("segment", span::segment(variables));
    values.set("reports", REPORTS);
}

/// The size that a picture has after the network.
pub fn enlarged(prepared: &str) -> String {
    match prepared.parse::<cli::Size>() {
        Ok(size) => format!("{}x{}", 4 * size.width, 4 * size.height),
        Err(_) => prepared.into(),
    }
}
