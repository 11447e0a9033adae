//! Chapters as OGM tools write them: `CHAPTER01=00:00:00.000`, `CHAPTER01NAME=…`.

use super::Found;
use crate::{
    field::{ClockStyle, Field},
    text::lines,
};

const STYLE: ClockStyle = ClockStyle { points: b".,:", decimals: 3, hours_optional: false };

/// Where the value begins if `line` is `CHAPTERnn=`.
fn value(line: &str) -> Option<usize> {
    let (key, _) = line.split_once('=')?;
    let number = key.trim_end().strip_prefix("CHAPTER")?;
    (!number.is_empty() && number.bytes().all(|c| c.is_ascii_digit())).then_some(key.len() + 1)
}

/// The time of a chapter.
pub(super) fn time(line: &str, base: usize) -> Option<Field> {
    let at = value(line)?;
    let at = line.len() - line[at..].trim_start().len();
    let field = Field::clock(&line.as_bytes()[at..], base + at, &STYLE)?;
    (field.end() == base + line.trim_end().len()).then_some(field)
}

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    for (at, line) in lines(text).filter(|(_, line)| value(line).is_some()) {
        match time(line, at) {
            Some(field) => found.fields.push(field),
            None => found.odd.push(at),
        }
    }
    found
}
