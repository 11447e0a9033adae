//! What a cue is when it leaves its format: a time and a text of few styles. For conversion only; retiming never takes
//! a file apart.

use crate::field::{ClockStyle, Field, Spelling};
use std::collections::BTreeMap;
use timebase::Rational;

/// A point on a clock of `clock` ticks a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Ticks from zero.
    pub ticks: i64,
    /// Ticks a second.
    pub clock: Rational,
}

/// A cue, or a chapter with its title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When it appears.
    pub start: Time,
    /// When it goes; not every format says.
    pub end: Option<Time>,
    /// What it says.
    pub text: Vec<Piece>,
}

/// A piece of a cue's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Characters, none of them a line end.
    Text(String),
    /// A line end.
    Break,
    /// A style begins or ends.
    Style(Style, bool),
}

/// The styles that every text format has a word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `b`
    Bold,
    /// `i`
    Italic,
    /// `u`
    Underline,
}

impl Style {
    /// By the letter that all formats use.
    pub fn of(letter: &str) -> Option<Self> {
        match letter {
            "b" => Some(Self::Bold),
            "i" => Some(Self::Italic),
            "u" => Some(Self::Underline),
            _ => None,
        }
    }

    /// The letter that all formats use.
    pub const fn letter(self) -> char {
        match self {
            Self::Bold => 'b',
            Self::Italic => 'i',
            Self::Underline => 'u',
        }
    }
}

/// What a conversion could not carry over, by name, and how often.
#[derive(Debug, Default)]
pub struct Losses(BTreeMap<&'static str, usize>);

impl Losses {
    /// One more `what`, a plural.
    pub fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// `2 colours, 1 positions`; `None` where nothing was lost.
    pub fn named(&self) -> Option<String> {
        let all: Vec<_> = self.0.iter().map(|(what, count)| format!("{what} ({count})")).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl Time {
    /// What a field says.
    pub fn of(field: &Field) -> Self {
        Self { ticks: field.ticks, clock: field.clock }
    }

    /// A clock time that takes up all of `text`.
    pub fn clock(text: &str, style: &ClockStyle) -> Option<Self> {
        let field = Field::clock(text.as_bytes(), 0, style)?;
        (field.end() == text.len()).then(|| Self::of(&field))
    }

    /// `HH:MM:SS` and, after `point`, as many digits as the clock has zeros.
    pub fn spelled(self, hours: u8, point: char) -> String {
        let decimals = self.clock.num().checked_ilog10().unwrap_or(0) as u8;
        let mut out = Vec::new();
        // A clock time has room for every number.
        let _ = Spelling::Clock { hours, point: point as u8, decimals }.write(self.ticks, b"", &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Text in which line ends are breaks.
pub fn plain(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (n, line) in text.split('\n').enumerate() {
        if n > 0 {
            pieces.push(Piece::Break);
        }
        push_text(&mut pieces, line.strip_suffix('\r').unwrap_or(line));
    }
    pieces
}

/// Adds characters to a text.
pub fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ if text.is_empty() => (),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// A text without styles, its lines joined by `line_end`.
pub fn unstyled(pieces: &[Piece], line_end: &str, losses: &mut Losses) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Break => out.push_str(line_end),
            Piece::Style(_, true) => losses.add("styles"),
            Piece::Style(_, false) => (),
        }
    }
    out
}
