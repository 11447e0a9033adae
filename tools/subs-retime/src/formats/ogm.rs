//! Chapters as OGM tools write them: `CHAPTER01=00:00:00.000`, `CHAPTER01NAME=…`.

use super::Found;
use crate::{
    cue::{Cue, Losses, Time, plain, unstyled},
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

pub(super) fn read(text: &str) -> Vec<Cue> {
    let mut chapters: Vec<Cue> = Vec::new();
    for (_, line) in lines(text) {
        let title =
            line.split_once('=').filter(|(key, _)| key.starts_with("CHAPTER") && key.ends_with("NAME"));
        if let Some(start) = time(line, 0) {
            chapters.push(Cue { start: Time::of(&start), end: None, text: Vec::new() });
        } else if let (Some((_, title)), Some(last)) = (title, chapters.last_mut()) {
            last.text = plain(title);
        }
    }
    chapters
}

pub(super) fn write(chapters: &[Cue], losses: &mut Losses) -> String {
    let mut out = String::new();
    for (n, chapter) in chapters.iter().enumerate() {
        if chapter.end.is_some() {
            losses.add("ends");
        }
        let (n, start) = (n + 1, chapter.start.spelled(2, '.'));
        out +=
            &format!("CHAPTER{n:02}={start}\nCHAPTER{n:02}NAME={}\n", unstyled(&chapter.text, " ", losses));
    }
    out
}
