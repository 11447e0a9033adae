//! Programs side by side, each reading what the one before it writes, as a shell runs a pipe.
//!
//! What they say is listened to: progress is counted, notes of ours are passed on, and of all failures the one that caused the
//! others is told.

use crate::{
    pipeline::Program,
    program::{bare, is_consequence, is_ours, search_path},
    stop::Stop,
};
use cli::{Error, Result, ends_with_us, reason};
use nix::{
    sys::{
        signal::Signal,
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

/// The surroundings of a pipe.
pub struct Surroundings<'a> {
    /// The folder that the programs work in.
    pub folder: &'a Path,
    /// What has them end early.
    pub stop: &'a Stop,
    /// Is called with the frames that have left the last of the filters so far.
    pub made: &'a (dyn Fn(u64) + Sync),
    /// Is called with what our tools have to say while they work.
    pub note: &'a (dyn Fn(&str) + Sync),
    /// What the first program reads from its standard input; `None`: nothing.
    pub input: Option<File>,
    /// Where what the last program writes to its standard output goes; `None`: nowhere.
    pub output: Option<File>,
}

/// A program that was started.
struct Running {
    stage: String,
    name: String,
    child: Child,
}

/// What a program came to.
struct Ended {
    stage: String,
    name: String,
    status: ExitStatus,
    /// The last line that it said.
    said: String,
}

/// Runs all of them to their ends. No byte is read from this process's standard input.
///
/// Errors: one cannot be started; one failed, and that is what the error says; the run was stopped.
pub fn run(programs: &[Program], around: &Surroundings<'_>) -> Result<()> {
    let path = search_path();
    // The last of our filters before seg-sink has come as far as the pass has.
    let counted = programs.iter().rposition(|p| is_ours(&p.words[0]) && p.words[0] != "seg-sink");
    let ended = thread::scope(|scope| -> Result<Vec<Ended>> {
        let mut started: Vec<(Running, thread::ScopedJoinHandle<'_, String>)> = Vec::new();
        let (mut input, mut failed) = (Stdio::null(), None);
        if let Some(file) = &around.input {
            input = file.try_clone().map_err(|e| Error::failed("pipe", reason(&e)))?.into();
        }
        for (i, program) in programs.iter().enumerate() {
            let (output, next) = match output(i + 1 == programs.len(), around) {
                Ok(both) => both,
                Err(e) => {
                    failed = Some(Error::failed("pipe", reason(&e)));
                    break;
                }
            };
            match start(program, input, output, around.folder, &path) {
                Ok((running, words)) => {
                    around.stop.add(Pid::from_raw(running.child.id() as i32));
                    let is_counted = Some(i) == counted;
                    started.push((running, scope.spawn(move || listen(words, is_counted, around))));
                }
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
            input = next;
        }
        if failed.is_some() {
            for (running, _) in &mut started {
                let _ = running.child.kill();
            }
        }
        let ended = started.into_iter().map(|(running, words)| end(running, words, around.stop)).collect();
        failed.map_or(Ok(ended), Err)
    })?;
    if let Some(stopped) = around.stop.error() {
        return Err(stopped);
    }
    match culprit(&ended) {
        Some(culprit) => Err(culprit.error()),
        None => Ok(()),
    }
}

/// Where a program writes to, and what reads it.
fn output(is_last: bool, around: &Surroundings<'_>) -> io::Result<(Stdio, Stdio)> {
    if !is_last {
        let (reader, writer) = io::pipe()?;
        return Ok((writer.into(), reader.into()));
    }
    let output = match &around.output {
        Some(output) => output.try_clone()?.into(),
        None => Stdio::null(),
    };
    Ok((output, Stdio::null()))
}

fn start(
    program: &Program,
    input: Stdio,
    output: Stdio,
    folder: &Path,
    path: &std::ffi::OsStr,
) -> Result<(Running, PipeReader)> {
    let name = &program.words[0];
    let failed =
        |e: &io::Error| Error::failed(&program.stage, format!("{name}: cannot be started: {}", reason(e)));
    let (words, said) = io::pipe().map_err(|e| failed(&e))?;
    let mut command = Command::new(name);
    command.args(&program.words[1..]).current_dir(folder).env("PATH", path).env("LC_ALL", "C.UTF-8");
    if is_ours(name) {
        command.args(["--progress", "json"]);
    }
    let child = ends_with_us(&mut command).stdin(input).stdout(output).stderr(said).spawn();
    let child = child.map_err(|e| failed(&e))?;
    Ok((Running { stage: program.stage.clone(), name: name.clone(), child }, words))
}

/// Waits for a program's end.
fn end(mut running: Running, words: thread::ScopedJoinHandle<'_, String>, stop: &Stop) -> Ended {
    let id = Pid::from_raw(running.child.id() as i32);
    // It has ended, but keeps its number until nobody can signal it any more.
    while waitid(Id::Pid(id), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::errno::Errno::EINTR) {}
    let status = stop.forget(id, || running.child.wait()).unwrap_or(ExitStatus::from_raw(1 << 8));
    Ended { stage: running.stage, name: running.name, status, said: words.join().unwrap_or_default() }
}

/// Reads what a program says: the last line that it said.
fn listen(words: PipeReader, is_counted: bool, around: &Surroundings<'_>) -> String {
    let mut last: Option<String> = None;
    // A program may say a gigabyte without a newline.
    let mut words = BufReader::new(words);
    loop {
        let mut line = Vec::new();
        match words.by_ref().take(1 << 16).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last.unwrap_or_default(),
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if line.is_empty() {
            continue;
        }
        if let Some(frames) = progress(&line) {
            if is_counted {
                (around.made)(frames);
            }
            continue;
        }
        // That a reader has gone is told by such a line only.
        if last.is_some() && is_consequence(&line) && !line.contains("Broken pipe") {
            continue;
        }
        // A line is a note where another one follows it, and where it is the last, perhaps the reason of a failure.
        // That a reader has gone is no news: why it has is the culprit's to say.
        if let Some(note) = last.replace(line).filter(|note| !note.contains("Broken pipe")) {
            (around.note)(&bare(&note));
        }
    }
}

/// The frames of one of our tools' `--progress json` lines.
fn progress(line: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get("tool")?;
    line.get("frames")?.as_u64()
}

/// The one that failed by itself: those before it have lost their reader, those after it the rest of their input.
fn culprit(ended: &[Ended]) -> Option<&Ended> {
    let failed = || ended.iter().filter(|program| !program.status.success());
    failed().find(|program| !program.lost_its_reader()).or_else(|| failed().next_back())
}

impl Ended {
    fn lost_its_reader(&self) -> bool {
        self.status.signal() == Some(Signal::SIGPIPE as i32) || self.said.contains("Broken pipe")
    }

    fn error(&self) -> Error {
        let Self { stage, name, status, said } = self;
        let how = match (status.code(), status.signal().and_then(|n| Signal::try_from(n).ok())) {
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was ended by {signal}"),
            (None, None) => "ended".into(),
        };
        // Ours say what and why; of the others it is not known what the last line is about.
        match said.strip_prefix(&format!("{name}: ")) {
            Some(words) if status.code() == Some(3) => Error::torn(name, words),
            Some(words) if status.code().is_some() => Error::failed(name, words),
            _ if said.is_empty() || is_ours(name) => Error::failed(stage, format!("{name}: {how}")),
            _ => Error::failed(stage, format!("{name}: {how}: {}", bare(said))),
        }
    }
}
