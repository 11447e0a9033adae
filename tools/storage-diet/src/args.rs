//! The command line: a subcommand and variables, as make hands them on.

use crate::{
    check,
    folder::Folder,
    job::Job,
    jobs,
    makefile::Makefile,
    mux::{self, Audio, Mux},
    ocr,
    order::{self, Order},
    plan,
    reading::Reading,
    report,
    run::Run,
    stop::Stop,
    timeline::{Gaps, Timeline},
    variables::{RATE, Variables, typed},
    verify::{self, Against},
};
use clap::{Parser, Subcommand};
use cli::{Error, Result, RunArgs, Session, Tool};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use timebase::Rational;

/// A PAL DVD film to 1440p at 24 frames a second on a small disk: options, jobs, sound and subtitles, proof, plan
#[derive(Parser, Clone, Debug)]
#[command(name = "storage-diet", version, max_term_width = 100)]
pub struct StorageDiet {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Go on with what was interrupted in OUT
    Resume {
        /// OUT=dir
        variables: Vec<String>,
    },
    /// Make one film of the parts in OUT
    Join {
        /// OUT=dir
        variables: Vec<String>,
    },
    /// How far the jobs in OUT have come
    Status {
        /// OUT=dir
        variables: Vec<String>,
    },
    /// Prove the films in OUT
    Verify {
        /// OUT=dir
        variables: Vec<String>,
    },
    /// Read the bitmap subtitles of SRC as text, into OUT
    Subs {
        /// SRC=film.mkv OUT=dir LANG=eng
        variables: Vec<String>,
    },
    /// What every option would take of disk and time, from samples of the film
    Plan {
        /// NAME=VALUE
        variables: Vec<String>,
    },
    /// Every option on SAMPLE of the film, measured, beside the plan and the note, as a page
    Report {
        /// NAME=VALUE
        variables: Vec<String>,
    },
    /// Print an option's pipes as a shell runs them
    Print {
        /// The option, then NAME=VALUE
        words: Vec<String>,
    },
    /// Begin a job that a shell goes on with
    Begin {
        /// The option, then NAME=VALUE
        words: Vec<String>,
    },
    /// In a job's folder: what was written to work/FILE is whole, and is FILE from now on
    Keep {
        /// The file
        file: String,
    },
    /// In a job's folder: add sound, subtitles and chapters to video.mkv
    Finish,
    /// Put the sound, subtitles and chapters of SRC beside the pictures of VIDEO
    Mux {
        /// pitch-kept or pitch-lowered
        #[arg(long, default_value = "pitch-kept")]
        audio: Audio,
        #[command(flatten)]
        source: SourceArgs,
        /// The film
        src: PathBuf,
        /// Its pictures, enlarged
        video: PathBuf,
        /// The finished film
        out: PathBuf,
    },
    /// Prove a film, against the one that it was made from where that is named
    VerifyFilm {
        #[command(flatten)]
        source: SourceArgs,
        /// SRC and FILM, or FILM
        #[arg(required = true, num_args = 1..=2)]
        films: Vec<PathBuf>,
    },
    /// An option of `make help`: make its film
    #[command(external_subcommand)]
    Option(Vec<String>),
}

/// What a film is of its source.
#[derive(clap::Args, Clone, Debug)]
struct SourceArgs {
    /// The frame of SRC that the pictures begin with
    #[arg(long, default_value_t = 0, value_parser = cli::frame_count())]
    start: u64,
    /// Frames a second of SRC: 25, or 24
    #[arg(long, default_value_t = RATE, value_parser = clap::value_parser!(u64).range(24..=25))]
    from: u64,
    /// What was done where frames of SRC are missing
    #[arg(long, value_enum, default_value_t)]
    gaps: Gaps,
}

impl SourceArgs {
    fn timeline(&self, reading: &Reading) -> Timeline {
        Timeline::new(&reading.pictures, Rational::whole(self.from as i64), self.gaps, self.start)
    }
}

impl Tool for StorageDiet {
    const NAME: &'static str = "storage-diet";
    const HANDLES_SIGNALS: bool = true;
    const DRAWS_PROGRESS: bool = true;

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn run(self, session: &Session) -> Result<()> {
        let stop = Stop::on_signals(Self::NAME)?;
        let run = Run { session, stop: &stop, makefile: Makefile::own(), quiet: self.run.quiet, dry: false };
        let what = self
            .what
            .ok_or_else(|| Error::usage("option", "say which, such as option4; --help lists the rest"))?;
        match what {
            What::Resume { variables } => jobs::resume(run, &variables),
            What::Join { variables } => jobs::join(run, &variables),
            What::Status { variables } => jobs::status(run, &variables),
            What::Verify { variables } => jobs::verify(run, &variables),
            What::Subs { variables } => {
                let variables = Variables::new(&typed(&variables)?)?;
                let scratch = scratch(&stop, &std::env::temp_dir())?;
                let (src, out) = (check::film(&variables)?, Path::new(variables.get("OUT")));
                ocr::ocr_within(session, scratch.path(), src, out, variables.get("LANG"))
            }
            What::Plan { variables } => plan::plan(run, &Variables::new(&typed(&variables)?)?).map(drop),
            What::Report { variables } => report::report(run, &Variables::new(&typed(&variables)?)?),
            What::Option(words) => {
                let (option, variables) = option(&words)?;
                jobs::make(run, option, variables)
            }
            What::Print { words } => {
                let (option, variables) = option(&words)?;
                if let Some(order) = Order::take(Run { dry: true, ..run }, option, variables)? {
                    cli::print_line(format_args!("{}", order.as_shell(run.makefile)?))?;
                }
                Ok(())
            }
            What::Begin { words } => {
                let (option, variables) = option(&words)?;
                Order::take(run, option, variables)?.map_or(Ok(()), |order| Job::begin(run, order).map(drop))
            }
            What::Keep { file } => Folder::enter(Path::new("."))?.finish(&file),
            What::Finish => jobs::finish(run),
            What::Mux { audio, source, src, video, out } => {
                mux::check(&src, audio)?;
                let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let scratch = scratch(&stop, folder)?;
                let work = scratch.path().into();
                let reading = &check::reading(run, "mux", &src)?;
                let timeline = &source.timeline(reading);
                let start = source.start.saturating_sub(timeline.base);
                let (film, prepare) = (out.clone(), None);
                let mux = Mux { src, reading, timeline, video, out: film, audio, start, prepare, work };
                mux::mux(session, &mux)?;
                cli::print_line(format_args!("film: {}", cli::shown(out.display())))
            }
            What::VerifyFilm { source, films } => {
                let [src, film] = &films[..] else { return verify::verify(session, &films[0], None) };
                let reading = &check::reading(run, "verify-film", src)?;
                let timeline = &source.timeline(reading);
                let start = source.start.saturating_sub(timeline.base);
                let against = Against { path: src, reading, timeline, start, prepare: None };
                verify::verify(session, film, Some(against))
            }
        }
    }
}

/// An option's name and the variables behind it.
fn option(words: &[String]) -> Result<(&str, Variables)> {
    let (option, operands) =
        words.split_first().ok_or_else(|| Error::usage("option", "say which, such as option4"))?;
    // Of a comment, as make has it for `make -n`, the words.
    let option = option.trim_start_matches(['#', ' ']);
    order::recipe(Makefile::own(), option)?;
    Ok((option, Variables::new(&typed(operands)?)?))
}

/// A folder for unfinished work that goes with this process, also where a signal ends it.
fn scratch(stop: &Stop, within: &Path) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix(".storage-diet.").tempdir_in(within);
    let folder = folder.map_err(|e| Error::cannot("make a folder", within.display(), &e))?;
    stop.remember(folder.path().into(), "stopped".into());
    Ok(folder)
}
