//! Other programs, run by argument vectors: no shell reads what is in a name.
//!
//! A program ends with this one, and what it said becomes one line: `object: program: its own words`.

use cli::{Error, Result, ends_with_us, reason};
use nix::sys::signal::Signal;
use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::OnceLock,
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
const CONSEQUENCES: [&str; 19] = [
    "Conversion failed!",
    "Could not open encoder before EOF",
    "Error initializing a simple filtergraph",
    "Error initializing output stream",
    "Error opening input file",
    "Error opening output file",
    "Error parsing options for",
    "Error reinitializing filters!",
    "Error selecting an encoder",
    "Error sending frames to consumers",
    "Error splitting the argument list",
    "Error while opening encoder",
    "Error while processing the decoded data",
    "Failed to inject frame into filter network",
    "Failed to set value",
    "Nothing was written into output file",
    "Task finished with error code",
    "Terminating thread with return code",
    "To ignore this, add a trailing",
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
        self.command.stdout(Stdio::piped());
        let mut running = self.spawn()?;
        running.said = running.child.stderr.take().map(|stderr| thread::spawn(move || all_of(stderr)));
        Ok(running)
    }

    fn spawn(mut self) -> Result<Running> {
        let child = ends_with_us(&mut self.command).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| match PACKAGES.iter().find(|(name, _)| *name == self.name) {
            Some((_, package)) if e.kind() == std::io::ErrorKind::NotFound => {
                Error::failed(self.name, format!("not installed; the package is {package}"))
            }
            _ => Error::failed(self.name, format!("cannot be started: {}", reason(&e))),
        })?;
        let stdout = child.stdout.take();
        Ok(Running {
            child,
            stdout,
            said: None,
            name: self.name,
            object: self.object,
            also_fine: self.also_fine,
        })
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

    /// Runs it to its end, and hands over each line that it says on standard error. What it writes is thrown away.
    ///
    /// Errors: it cannot be started; it failed.
    pub fn listen(mut self, mut each: impl FnMut(&str)) -> Result<()> {
        self.command.stdout(Stdio::null());
        let mut running = self.spawn()?;
        let mut last = Vec::new();
        if let Some(stderr) = running.child.stderr.take() {
            for line in BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok) {
                each(&String::from_utf8_lossy(&line));
                last = line;
            }
        }
        running.said = Some(thread::spawn(move || last));
        running.finish().map(drop)
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
        // The suite's own tools begin with their names.
        let words = words.strip_prefix(&format!("{}: ", self.name)).unwrap_or(&words).to_owned();
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

/// The options by which ffmpeg leaves whole what the container, other than the codec, would have it crop: since 7.1 it crops
/// that, before it never did and has no such option.
///
/// Errors: ffmpeg does not say what options it has.
pub fn whole() -> Result<&'static [&'static str]> {
    static WHOLE: OnceLock<&[&str]> = OnceLock::new();
    if let Some(known) = WHOLE.get() {
        return Ok(known);
    }
    let help = Program::new("ffmpeg").args(["-hide_banner", "-h", "long"]).output()?;
    let knows = String::from_utf8_lossy(&help).contains("-apply_cropping");
    Ok(WHOLE.get_or_init(|| if knows { &["-apply_cropping", "codec"] } else { &[] }))
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

/// The last line that tells a cause, or else the last one, without the program's own marks around it.
fn cause(said: &str) -> Option<String> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().rfind(|line| !is_consequence(line)).or_else(|| lines().next_back()).map(bare)
}

/// Does a line tell only that there was a cause?
pub(crate) fn is_consequence(line: &str) -> bool {
    let words = without_marks(line);
    CONSEQUENCES.iter().any(|known| words.starts_with(known))
}

/// `[matroska,webm @ 0x55d0] words` and `Error: words` are `words`; what an ffmpeg lacks is named alike by all versions.
pub(crate) fn bare(line: &str) -> String {
    let words = without_marks(line);
    for (head, kind) in [("No such filter: '", "filter"), ("Unknown encoder '", "encoder")] {
        if let Some(name) = words.strip_prefix(head).and_then(|rest| rest.strip_suffix('\'')) {
            return format!("has no {kind} {name}");
        }
    }
    let heads = ["[error] ", "[fatal] ", "Error: ", "Error opening input: ", "file:"];
    heads.iter().find_map(|head| words.strip_prefix(head)).unwrap_or(words).into()
}

/// A line of ffmpeg's without what says which part of it speaks: one part of another, since ffmpeg 8.
fn without_marks(line: &str) -> &str {
    let after = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match after.filter(|(mark, _)| mark.contains(" @ 0x")) {
        Some((_, words)) => without_marks(words),
        None => line,
    }
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
        assert_eq!(failed("echo 'sh: its own name' >&2; exit 1"), "film.mkv: sh: its own name");
        assert_eq!(failed("echo 'Conversion failed!' >&2; exit 1"), "film.mkv: sh: Conversion failed!");
        assert_eq!(failed("exit 3"), "film.mkv: sh: failed with exit code 3");
        assert_eq!(failed("kill -TERM $$"), "film.mkv: sh: was ended by SIGTERM");
    }

    /// The words are those of ffmpeg 5.1, 7.0 and 9.0.
    #[test]
    fn every_ffmpeg_gives_the_same_reason() {
        let filter = "has no filter zscale";
        let encoder = "has no encoder libx265";
        let preset = "Error setting preset/tune no/(null).";
        let none = "No such file or directory";
        for (said, reason) in [
            (
                "[AVFilterGraph @ 0x5] No such filter: 'zscale'\nError reinitializing filters!\nFailed to inject frame into filter \
              network: Invalid argument\nError while processing the decoded data for stream #0:0",
                filter,
            ),
            (
                "[AVFilterGraph @ 0x5] No such filter: 'zscale'\n[vost#0:0/libx264 @ 0x6] Error initializing a simple filtergraph\n\
              Error opening output file a.mkv.\nError opening output files: Filter not found",
                filter,
            ),
            ("Unknown encoder 'libx265'", encoder),
            (
                "[vost#0:0 @ 0x5] Unknown encoder 'libx265'\n[vost#0:0 @ 0x5] Error selecting an encoder\nError opening output file \
              a.mkv.\nError opening output files: Encoder not found",
                encoder,
            ),
            (
                "[libx265 @ 0x5] Error setting preset/tune no/(null).\nError initializing output stream 0:0 -- Error while opening \
              encoder",
                preset,
            ),
            (
                "[libx265 @ 0x5] Error setting preset/tune no/(null).\n[vost#0:0/libx265 @ 0x6] [enc:libx265 @ 0x7] Error while \
              opening encoder - maybe\n[vf#0:0 @ 0x6] Error sending frames to consumers: Invalid argument\n[vf#0:0 @ 0x6] Task \
              finished with error code: -22 (Invalid argument)\n[vf#0:0 @ 0x6] Terminating thread with return code -22\n\
              [vost#0:0/libx265 @ 0x6] [enc:libx265 @ 0x7] Could not open encoder before EOF\n[out#0/matroska @ 0x8] Nothing was \
              written into output file, because at least one of its streams received no packets.",
                preset,
            ),
            ("file:film.mkv: No such file or directory", "film.mkv: No such file or directory"),
            (
                "[in#0 @ 0x5] Error opening input: No such file or directory\nError opening input file file:film.mkv.\nError opening \
              input files: No such file or directory",
                none,
            ),
        ] {
            assert_eq!(cause(said).as_deref(), Some(reason), "{said}");
        }
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
