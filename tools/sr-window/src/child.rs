//! Another model, in a process of its own: `--engine CMD`.
//!
//! For every sequence the child reads one JSON line and then the frames, and answers with one JSON line and the
//! enlarged frames; it lives for the whole film and ends when its standard input does. The protocol is specified in
//! `sr-window(1)`.

use crate::engine::{Engine, EngineError, Out};
use bytes::Bytes;
use cli::{Error, reason};
use rawstream::{PixFmt, VideoFormat};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    ops::Range,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Lines of a child's standard error that a message quotes.
const TAIL: usize = 5;
/// The longest answer line.
const LINE: u64 = 4096;
/// How much larger a child's frames come out.
const SCALE: usize = 4;

/// A child process that holds a model.
pub struct Child {
    process: process::Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<()>>,
    tail: Arc<Mutex<VecDeque<String>>>,
    program: String,
    timeout: Duration,
    width: usize,
    height: usize,
    in_fmt: PixFmt,
    out_fmt: PixFmt,
}

impl Child {
    /// Starts the child; `command` is an argument vector in shell quoting, never run by a shell.
    pub fn start(
        command: &str,
        timeout: Duration,
        input: &VideoFormat,
        out_fmt: PixFmt,
    ) -> cli::Result<Self> {
        let words = shell_words::split(command).map_err(|e| Error::usage("--engine", e))?;
        let (program, arguments) =
            words.split_first().ok_or_else(|| Error::usage("--engine", "the command is empty"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = cli::ends_with_us(&mut command)
            .spawn()
            .map_err(|e| Error::failed(program, format_args!("cannot start: {}", reason(&e))))?;
        let missing = || Error::failed(program, "cannot start: no pipe");
        let stdin = process.stdin.take().ok_or_else(missing)?;
        let stdout = process.stdout.take().ok_or_else(missing)?;
        let stderr = process.stderr.take().ok_or_else(missing)?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let keep = Arc::clone(&tail);
        let stderr = thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let mut tail = keep.lock().unwrap_or_else(PoisonError::into_inner);
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(String::from_utf8_lossy(&line).trim().to_owned());
            }
        });
        Ok(Self {
            process,
            stdin: Some(stdin),
            stdout: BufReader::new(stdout),
            stderr: Some(stderr),
            tail,
            program: program.clone(),
            timeout,
            width: input.width,
            height: input.height,
            in_fmt: input.pix_fmt,
            out_fmt,
        })
    }

    /// Ends the child and says what went wrong, with the last it said.
    fn failure(&mut self, what: &str) -> EngineError {
        drop(self.stdin.take());
        // A child that is ending by itself is given the moment to say how.
        let mut status = None;
        for _ in 0..50 {
            status = self.process.try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let ending = match status {
            None => {
                let _ = self.process.kill();
                let _ = self.process.wait();
                "killed".to_owned()
            }
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
        };
        if let Some(thread) = self.stderr.take() {
            let _ = thread.join();
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let said = match tail.len() {
            0 => "nothing".to_owned(),
            _ => tail.iter().map(String::as_str).collect::<Vec<_>>().join(" | "),
        };
        EngineError::Failed(format!("{}: {what} ({ending}); it said: {said}", self.program))
    }

    /// The answer's line: it must name the size that was asked for.
    fn answer(&mut self, frames: usize) -> Result<(), String> {
        let mut line = Vec::new();
        let mut limited = Watched { input: &mut self.stdout, timeout: self.timeout }.take(LINE);
        let mut limited = BufReader::with_capacity(1, &mut limited);
        limited.read_until(b'\n', &mut line).map_err(|e| reading(&e))?;
        if line.is_empty() {
            return Err("closed its output before it answered".into());
        }
        let text = String::from_utf8_lossy(&line);
        let answer: Value = serde_json::from_slice(&line)
            .map_err(|_| format!("answered `{}`, not a JSON line", text.trim()))?;
        let want = [("width", SCALE * self.width), ("height", SCALE * self.height), ("frames", frames)];
        for (name, want) in want {
            let have = &answer[name];
            if have.as_u64() != Some(want as u64) {
                return Err(format!("answered with {name} {have}; {want} was asked for"));
            }
        }
        Ok(())
    }
}

fn reading(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => "closed its output inside a frame".into(),
        io::ErrorKind::TimedOut => e.to_string(),
        _ => format!("cannot read from it: {}", reason(e)),
    }
}

/// Reads that give up when nothing comes for too long.
struct Watched<'a> {
    input: &'a mut BufReader<ChildStdout>,
    timeout: Duration,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        if self.input.buffer().is_empty() {
            let timeout = PollTimeout::try_from(self.timeout).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.input.get_ref().as_fd(), PollFlags::POLLIN)];
            let ready = loop {
                match poll(&mut fds, timeout) {
                    Err(nix::errno::Errno::EINTR) => {}
                    ready => break ready?,
                }
            };
            if ready == 0 {
                let waited = humantime::format_duration(self.timeout);
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("hangs: not a byte for {waited}"),
                ));
            }
        }
        self.input.read(buffer)
    }
}

impl Engine for Child {
    fn scale(&self) -> usize {
        SCALE
    }

    fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let head = json!({
            "width": self.width, "height": self.height,
            "pix_fmt": self.in_fmt.name(), "out_pix_fmt": self.out_fmt.name(),
            "scale": SCALE, "frames": frames.len(), "emit": [emit.start, emit.end],
        });
        let Some(mut stdin) = self.stdin.take() else {
            return Err(EngineError::Failed(format!("{}: has ended", self.program)));
        };
        let frames = frames.to_vec();
        // The child may answer before it has read everything: writing and reading take turns in two threads.
        let feeder = thread::spawn(move || {
            let fed = writeln!(stdin, "{head}")
                .and_then(|()| frames.iter().try_for_each(|frame| stdin.write_all(frame)))
                .and_then(|()| stdin.flush());
            (stdin, fed)
        });
        let bytes = self.out_fmt.frame_bytes(SCALE * self.width, SCALE * self.height);
        let mut received = self.answer(emit.len());
        for _ in emit.clone() {
            if received.is_ok() {
                let mut input = Watched { input: &mut self.stdout, timeout: self.timeout };
                let mut enlarged = vec![0; bytes];
                received = input.read_exact(&mut enlarged).map_err(|e| reading(&e));
                if received.is_ok() {
                    out(enlarged.into())?;
                }
            }
        }
        if let Err(what) = received {
            return Err(self.failure(&what));
        }
        match feeder.join() {
            Ok((stdin, Ok(()))) => {
                self.stdin = Some(stdin);
                Ok(())
            }
            Ok((_, Err(e))) => Err(self.failure(&format!("does not take its frames: {}", reason(&e)))),
            Err(_) => Err(self.failure("the thread that feeds it has failed")),
        }
    }
}

impl Drop for Child {
    /// The end of its input is the child's word to end; one that does not is killed with the tool.
    fn drop(&mut self) {
        drop(self.stdin.take());
        for _ in 0..200 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
