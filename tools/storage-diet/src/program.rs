//! Other programs, run by argument vectors: no shell reads what is in a name.
//!
//! A program ends with this one, and what it said becomes one line: `object: program: its own words`.

use cli::{Error, Result, ends_with_us, reason};
use nix::sys::signal::Signal;
use std::{
    ffi::{OsStr, OsString},
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};

/// A program that is to be run.
pub struct Program {
    name: &'static str,
    object: Option<String>,
    also_fine: Option<i32>,
    command: Command,
}

/// What is the matter where a program is not there: where to get it.
const PACKAGES: [(&str, &str); 4] =
    [("mkvmerge", "mkvtoolnix"), ("mkvextract", "mkvtoolnix"), ("ffmpeg", "ffmpeg"), ("ffprobe", "ffmpeg")];

/// What programs say of a failure that they have told the cause of before.
const CONSEQUENCES: [&str; 6] = [
    "Conversion failed!",
    "Error initializing output stream",
    "Error reinitializing filters!",
    "Failed to inject frame into filter network",
    "Error while processing the decoded data",
    "Error opening output file",
];

impl Program {
    /// The program of that name in the [search path](search_path). It reads nothing and speaks English.
    pub fn new(name: &'static str) -> Self {
        let mut command = Command::new(name);
        command.stdin(Stdio::null()).env("PATH", search_path()).env("LC_ALL", "C.UTF-8");
        Self { name, object: None, also_fine: None, command }
    }

    /// ffmpeg that says nothing but errors and overwrites what it is told to write.
    pub fn ffmpeg() -> Self {
        Self::new("ffmpeg").args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
    }

    /// ffprobe that says nothing but errors.
    pub fn ffprobe() -> Self {
        Self::new("ffprobe").args(["-hide_banner", "-loglevel", "error"])
    }

    /// mkvmerge, whose exit code is 1 where it only warned.
    pub fn mkvmerge() -> Self {
        Self::new("mkvmerge").also_fine(1)
    }

    /// mkvextract, whose exit code is 1 where it only warned.
    pub fn mkvextract() -> Self {
        Self::new("mkvextract").also_fine(1)
    }

    /// One more argument, as it stands.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments, as they stand.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// The folder to run in.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Where standard input comes from.
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
        self
    }

    /// What a failure is about, where it is not the program itself.
    pub fn about(mut self, object: impl std::fmt::Display) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// An exit code besides 0 that is no failure.
    pub fn also_fine(mut self, code: i32) -> Self {
        self.also_fine = Some(code);
        self
    }

    /// Starts it. It is killed when the thread that started it ends, or when what this returns is dropped.
    ///
    /// Errors: it cannot be started.
    pub fn start(mut self) -> Result<Running> {
        let child = ends_with_us(&mut self.command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| match PACKAGES.iter().find(|(name, _)| *name == self.name) {
            Some((_, package)) if e.kind() == std::io::ErrorKind::NotFound => {
                Error::failed(self.name, format!("not installed; the package is {package}"))
            }
            _ => Error::failed(self.name, format!("cannot be started: {}", reason(&e))),
        })?;
        let said = child.stderr.take().map(|stderr| thread::spawn(move || all_of(stderr)));
        let stdout = child.stdout.take();
        Ok(Running { child, stdout, said, name: self.name, object: self.object, also_fine: self.also_fine })
    }

    /// Runs it to its end: what it wrote to standard output.
    ///
    /// Errors: it cannot be started; it failed.
    pub fn output(self) -> Result<Vec<u8>> {
        let mut running = self.start()?;
        let output = running.stdout().map(all_of).unwrap_or_default();
        running.finish_after(&output)?;
        Ok(output)
    }

    /// Runs it to its end.
    ///
    /// Errors: it cannot be started; it failed.
    pub fn run(self) -> Result<()> {
        self.output().map(drop)
    }
}

/// A program that runs.
pub struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    said: Option<JoinHandle<Vec<u8>>>,
    name: &'static str,
    object: Option<String>,
    also_fine: Option<i32>,
}

impl Running {
    /// Its standard output, the first time that it is asked for.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Waits for its end, and says what it said on standard error where it succeeded.
    ///
    /// Errors: it failed.
    pub fn finish(self) -> Result<String> {
        self.finish_after(&[])
    }

    /// `output` is what it wrote to standard output, where some programs complain.
    fn finish_after(mut self, output: &[u8]) -> Result<String> {
        drop(self.stdout.take());
        let failed =
            |e: &std::io::Error| Error::failed(self.name, format!("cannot be waited for: {}", reason(e)));
        let status = self.child.wait().map_err(|e| failed(&e))?;
        let said = self.said.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        if status.success() || status.code().is_some_and(|code| Some(code) == self.also_fine) {
            return Ok(said);
        }
        let words =
            cause(&said).or_else(|| cause(str::from_utf8(output).ok()?)).unwrap_or_else(|| end(status));
        Err(match &self.object {
            Some(object) => {
                let words = words.strip_prefix(&format!("{object}: ")).unwrap_or(&words);
                Error::failed(object, format!("{}: {words}", self.name))
            }
            None => Error::failed(self.name, words),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless something else failed meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file as ffmpeg's programs take it for nothing but a file, whatever it is called.
pub fn file(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Is it one of the six filters?
pub(crate) fn is_ours(program: &str) -> bool {
    ["deint-crop", "sr-window", "retime25to24", "seg-sink", "subs-canvas", "subs-retime"].contains(&program)
}

/// The folders of `PATH`, and before them, where it is none of them, the one that this program is in: an installation's tools
/// are in its own folder. Where that is in `PATH` already, it is no reason to prefer another ffmpeg.
pub(crate) fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    match std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)) {
        Some(own) if !folders.contains(&own) => {
            std::env::join_paths(std::iter::once(own).chain(folders)).unwrap_or(path)
        }
        _ => path,
    }
}

fn all_of(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What could be read before it broke is what there is to be told.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

/// The last line that tells a cause, without the program's own marks around it.
fn cause(said: &str) -> Option<String> {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty()).map(bare);
    let mut told = lines.filter(|line| !CONSEQUENCES.iter().any(|known| line.starts_with(known)));
    told.next_back().map(str::to_owned)
}

/// `[matroska,webm @ 0x55d0] words` and `Error: words` are `words`.
pub(crate) fn bare(line: &str) -> &str {
    let after_mark = line.strip_prefix('[').and_then(|rest| {
        let (mark, words) = rest.split_once("] ")?;
        mark.contains(" @ 0x").then_some(words)
    });
    let words = after_mark.unwrap_or(line);
    words.strip_prefix("Error: ").or_else(|| words.strip_prefix("file:")).unwrap_or(words)
}

/// How a program ended that did not say why.
fn end(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(|signal| Signal::try_from(signal).ok())) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => format!("was ended by {signal}"),
        (None, None) => "failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("sh").args(["-c", script])
    }

    #[test]
    fn what_a_program_says_last_is_the_reason() {
        let failed = |script: &str| shell(script).about("film.mkv").output().unwrap_err().to_string();
        assert_eq!(failed("echo noise >&2; echo '[x265 @ 0x55] no' >&2; exit 1"), "film.mkv: sh: no");
        assert_eq!(failed("echo cause >&2; echo 'Conversion failed!' >&2; exit 1"), "film.mkv: sh: cause");
        assert_eq!(failed("echo 'Error: on stdout'; exit 2"), "film.mkv: sh: on stdout");
        assert_eq!(failed("exit 3"), "film.mkv: sh: failed with exit code 3");
        assert_eq!(failed("kill -TERM $$"), "film.mkv: sh: was ended by SIGTERM");
    }

    #[test]
    fn what_a_program_writes_is_returned() {
        assert_eq!(shell("cat; echo out; echo err >&2").output().unwrap(), b"out\n");
        assert_eq!(
            shell("echo 'only a warning'; exit 1").also_fine(1).output().unwrap(),
            b"only a warning\n"
        );
        assert!(shell("exit 2").also_fine(1).run().is_err());
        assert_eq!(shell("printf %s \"$1\"").args(["", "a\nb"]).output().unwrap(), b"a\nb");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Program::new("no-such-program").run().unwrap_err();
        assert_eq!(error.to_string(), "no-such-program: cannot be started: No such file or directory");
    }

    #[test]
    fn a_name_is_a_file_and_no_protocol() {
        assert_eq!(file(Path::new("concat:a|b")), "file:concat:a|b");
    }
}
