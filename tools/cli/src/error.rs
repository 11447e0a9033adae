//! One error voice for the suite.

use std::{fmt, io};

/// How a tool ends when it does not end well; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Exit 1.
    Failed,
    /// Exit 2.
    Usage,
    /// Exit 3.
    Torn,
    /// SIGPIPE.
    BrokenPipe,
    /// That signal, after what could be saved was saved.
    Stopped(i32),
}

/// A failure: what it happened to, and why. Printed as `tool: object: reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub(crate) kind: Kind,
    object: String,
    reason: String,
}

/// What a tool's `run` returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn new(kind: Kind, object: impl fmt::Display, reason: impl fmt::Display) -> Self {
        // One line, whatever a library or a child had to say, and in the system's words, not in Rust's.
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Self { kind, object: shown(object), reason: shown(without_number(&reason)) }
    }

    /// Something failed: exit 1.
    pub fn failed(object: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, object, reason)
    }

    /// The system refused something about `object`, and says why: exit 1.
    pub fn io(object: impl fmt::Display, error: &io::Error) -> Self {
        Self::failed(object, error)
    }

    /// The system did not let `object` be read, written or whatever `what` says: exit 1.
    pub fn cannot(what: &str, object: impl fmt::Display, error: &io::Error) -> Self {
        Self::failed(object, format!("cannot {what}: {}", reason(error)))
    }

    /// The flags make no sense together or with the input: exit 2.
    pub fn usage(object: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, object, reason)
    }

    /// The input is torn, or not as many frames or not of the shape that was promised: exit 3.
    pub fn torn(object: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(Kind::Torn, object, reason)
    }

    /// The reader of standard output has gone: death by SIGPIPE, in silence.
    pub fn broken_pipe() -> Self {
        Self::new(Kind::BrokenPipe, "<stdout>", "broken pipe")
    }

    /// A signal asked for the end, and what could be saved was saved: the process ends by that signal.
    pub fn stopped(signal: i32, reason: impl fmt::Display) -> Self {
        let name = nix::sys::signal::Signal::try_from(signal);
        Self::new(Kind::Stopped(signal), name.map_or_else(|_| signal.to_string(), |s| s.to_string()), reason)
    }

    /// The signal of [`Error::stopped`].
    pub fn signal(&self) -> Option<i32> {
        if let Kind::Stopped(signal) = self.kind { Some(signal) } else { None }
    }

    /// Why a write to standard output failed.
    pub fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::broken_pipe(),
            io::ErrorKind::InvalidInput => Self::usage("<stdout>", error),
            _ => Self::cannot("write", "<stdout>", error),
        }
    }

    /// Why standard input could not be read on.
    pub fn stdin(error: &rawstream::Error) -> Self {
        use rawstream::Error as E;
        let kind = match error {
            E::Usage(_) => Kind::Usage,
            E::Torn(_) => Kind::Torn,
            E::Header(_) | E::Io(_) => Kind::Failed,
        };
        match error {
            E::Io(e) => Self::new(kind, "<stdin>", format!("cannot read: {}", reason(e))),
            _ => Self::new(kind, "<stdin>", error),
        }
    }

    /// The exit code of the contract; a broken pipe's is what a shell shows for SIGPIPE.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Torn => 3,
            Kind::BrokenPipe => 128 + 13,
            Kind::Stopped(signal) => 128 + signal as u8,
        }
    }

    /// The report's word for this ending.
    pub(crate) fn status(&self) -> &'static str {
        match self.kind {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Torn => "torn",
            Kind::BrokenPipe => "broken_pipe",
            Kind::Stopped(_) => "signal",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)
    }
}

impl std::error::Error for Error {}

/// A name as it is printed: on one line, whatever is in it. What is no character to be seen is written as `\n` or `\u{1b}`.
pub fn shown(name: impl fmt::Display) -> String {
    let mut shown = String::new();
    for c in name.to_string().chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The system's words for an error, without Rust's ` (os error 28)`.
pub fn reason(error: &io::Error) -> String {
    without_number(&error.to_string()).to_owned()
}

fn without_number(text: &str) -> &str {
    match text.rfind(" (os error ") {
        Some(at) if text.ends_with(')') => &text[..at],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_a_name_stays_itself() {
        let said = |object: &str, reason: &str| Error::failed(object, reason).to_string();
        assert_eq!(said("two\nlines  it's", "no\n  such\tfile"), "two\\nlines  it's: no such file");
        assert_eq!(said("a\u{1b}[31mb", "\u{7}"), "a\\u{1b}[31mb: \\u{7}");
        assert_eq!(said("\u{fc}\u{96fb}", "none (os error 2)"), "\u{fc}\u{96fb}: none");
    }
}
