//! A job: one option at work on one film, in a folder of its own, from what was typed to the finished film.
//!
//! A pass writes its file under a temporary name, and when it is whole and on the disk it gets its own: a job that is gone
//! on with does not make it again. What it was made from goes after that. So whatever happens, what has a name is whole, and
//! what it takes to go on is there.

use crate::{
    disk::Disk,
    ending,
    folder::{FIELD_ORDERS, Finished, Folder, RECORD, REPORTS, SEGMENTS, WORK},
    mux::{self, Mux},
    order::{Order, recipe},
    pipe::{self, Surroundings},
    probe::Film,
    progress::{Progress, clock, size},
    recipe::VIDEO,
    record::{Record, film_name},
    run::Run,
    values,
    variables::Variables,
};
use cli::{Error, Result};
use std::{path::Path, sync::Arc};

/// A job at work.
pub struct Job<'a> {
    run: Run<'a>,
    order: Order,
    folder: Folder,
}

impl<'a> Job<'a> {
    /// Enters the job's folder and says there what the job is.
    ///
    /// Errors: another is at work there; a link is there; it cannot be written.
    pub fn begin(run: Run<'a>, order: Order) -> Result<Self> {
        let folder = Folder::enter(&order.path)?;
        // Before there is anything: a signal may come at any time.
        let out = shell_words::quote(order.variables.get("OUT"));
        let hint = format!("stopped; `make resume OUT={out}` goes on");
        run.stop.remember(folder.path(WORK), hint);
        folder.begin()?;
        if order.is_new {
            // Of a job that came to nothing, seg-sink may have begun a journal for other settings.
            folder.remove(SEGMENTS)?;
        }
        folder.write(RECORD, &order.record)?;
        let timeline = order.record.timeline(&order.variables);
        if let Some(orders) = order.record.field_orders(&timeline, order.frames()?) {
            folder.write_text(FIELD_ORDERS, &orders.to_string())?;
        }
        Ok(Self { run, order, folder })
    }

    /// Removes unfinished work.
    pub fn end(&self) {
        self.folder.end();
    }

    /// The job whose folder this is, to be finished there.
    pub fn of(run: Run<'a>, path: &Path) -> Result<Self> {
        let record = Record::read(path)?;
        let recipe = recipe(run.makefile, &record.option)?;
        let variables = record.variables(&[])?;
        let order = Order {
            recipe,
            variables,
            record,
            path: path.to_owned(),
            is_new: false,
            clocks: ending::Clocks::start(),
        };
        Ok(Self { run, order, folder: Folder::enter(path)? })
    }

    /// Makes the film.
    pub fn make(mut self) -> Result<()> {
        let root = self.folder.root().to_owned();
        let disk = Disk::watch(&root, &root.join(REPORTS).join("disk"))?;
        let recipe = &self.order.recipe;
        let progress =
            Progress::start(&recipe.name, recipe.passes.len(), Some(Arc::clone(&disk)), self.run.quiet);
        let is_resumed = !self.order.is_new;
        let made = self.passes(&progress, &disk).and_then(|()| self.finish(&disk));
        drop(progress);
        let ending = ending::Ending {
            made: made.as_ref().map(drop).map_err(Clone::clone),
            is_resumed,
            disk: &disk,
            clocks: self.order.clocks,
        };
        let (film, first) = (film_name(&self.order.variables), self.order.frames()?.start);
        let told = ending::write(&self.folder, &self.order.record, first, film, ending);
        self.end();
        let frames = made?;
        told?;
        let film = self.folder.path(film);
        let bytes = film.metadata().map_or(0, |meta| meta.len());
        let took = clock(self.order.clocks.wall_s());
        let name = cli::shown(film.display());
        cli::print_line(format_args!("film: {name}, {frames} frames, {}, {took}", size(bytes)))?;
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
            add_the_rest(self.run, &self.folder, (variables, &self.order.record), span.start)?;
        }
        disk.look();
        let bytes = self.folder.path(name).metadata().map_or(0, |meta| meta.len());
        self.order.record.finished = Some(Finished { bytes, frames, video_bytes });
        self.folder.write(RECORD, &self.order.record)?;
        self.folder.remove(VIDEO)?;
        Ok(frames)
    }
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
pub fn add_the_rest(
    run: Run<'_>,
    folder: &Folder,
    (variables, record): (&Variables, &Record),
    start: u64,
) -> Result<()> {
    let wrong = |why| Error::failed(folder.path(RECORD).display(), why);
    let prepare = values::prepare(variables, record.crop.as_deref()).map_err(wrong)?;
    let work = Folder::unfinished("mux");
    folder.remove(&work)?;
    let work = folder.path(&work);
    std::fs::create_dir(&work).map_err(|e| Error::failed(work.display(), cli::reason(&e)))?;
    let (src, video) = (variables.get("SRC").into(), folder.path(VIDEO));
    let (reading, timeline) = (&record.reading, &record.timeline(variables));
    let (out, audio, prepare) = (folder.path("film.mkv"), values::audio(variables), Some(prepare));
    let mux = Mux { src, reading, timeline, video, out, audio, start, prepare, work };
    mux::mux(run.session, &mux)
}
