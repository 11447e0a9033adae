//! SubRip: `00:00:01,000 --> 00:00:02,000` on a line of its own, whatever stands around it.

use super::Found;
use crate::{
    field::{ClockStyle, Field},
    text::lines,
};

pub(super) const STYLE: ClockStyle = ClockStyle { points: b",.", decimals: 3, hours_optional: false };

/// What separates start and end.
pub(super) const ARROW: &str = "-->";

/// The start and, where there is one, the end on a timing line that begins at byte `base`.
pub(super) fn timing(line: &str, base: usize, style: &ClockStyle) -> Option<(Field, Option<Field>)> {
    let bytes = line.as_bytes();
    let blank = |c: &u8| matches!(c, b' ' | b'\t');
    let skip = |at: usize| at + bytes[at..].iter().take_while(|c| blank(c)).count();
    let at = skip(0);
    let start = Field::clock(&bytes[at..], base + at, style)?;
    let at = skip(start.end() - base);
    let at = skip(at + bytes[at..].strip_prefix(ARROW.as_bytes()).map(|_| ARROW.len())?);
    if at == bytes.len() {
        return Some((start, None));
    }
    let end = Field::clock(&bytes[at..], base + at, style)?;
    let after = bytes.get(end.end() - base);
    after.is_none_or(blank).then_some((start, Some(end)))
}

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    for (at, line) in lines(text).filter(|(_, line)| line.contains(ARROW)) {
        match timing(line, at, &STYLE) {
            Some((start, end)) => found.fields.extend([Some(start), end].into_iter().flatten()),
            None => found.odd.push(at),
        }
    }
    found
}
