//! Advanced SubStation Alpha: start and end of every event, and the times inside the override tags of its text.

use super::Found;
use crate::{
    field::{ClockStyle, Field, Role},
    text::lines,
};
use timebase::Rational;

const STYLE: ClockStyle = ClockStyle { points: b".,:", decimals: 2, hours_optional: false };
const MS: Rational = Rational::whole(1000);
const CS: Rational = Rational::whole(100);

/// The lines of `[Events]` that are events; commented-out ones move along with the rest.
const EVENTS: [&str; 6] = ["Dialogue", "Comment", "Picture", "Sound", "Movie", "Command"];

/// A `[Section]` that only this format has.
pub(super) fn is_section(line: &str) -> bool {
    let line = line.trim_end();
    ["[Script Info]", "[Events]", "[V4+ Styles]", "[V4 Styles]"].iter().any(|s| line.eq_ignore_ascii_case(s))
}

/// Which comma-separated column holds what.
struct Columns {
    start: usize,
    end: usize,
    text: usize,
}

impl Columns {
    /// What every writer uses: `Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text`.
    const USUAL: Self = Self { start: 1, end: 2, text: 9 };

    fn of(format: &str) -> Option<Self> {
        let place =
            |name: &str| format.split(',').position(|column| column.trim().eq_ignore_ascii_case(name));
        Some(Self { start: place("Start")?, end: place("End")?, text: place("Text")? })
    }
}

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    let mut columns = Columns::USUAL;
    let mut in_events = false;
    for (at, line) in lines(text) {
        if line.starts_with('[') {
            in_events = line.trim_end().eq_ignore_ascii_case("[Events]");
        }
        let Some((kind, rest)) = line.split_once(':').filter(|_| in_events) else { continue };
        if kind == "Format" {
            columns = Columns::of(rest).unwrap_or(columns);
        } else if EVENTS.contains(&kind) {
            event(rest, at + kind.len() + 1, &columns, &mut found);
        }
    }
    found
}

/// The columns of one event; the last one, the text, may hold commas of its own.
fn event(line: &str, base: usize, columns: &Columns, found: &mut Found) {
    let mut at = base;
    for (index, column) in line.splitn(columns.text + 1, ',').enumerate() {
        if index == columns.text {
            override_times(column, at, &mut found.fields);
        } else if index == columns.start || index == columns.end {
            let lead = column.len() - column.trim_start().len();
            match Field::clock(column.trim_start().as_bytes(), at + lead, &STYLE) {
                Some(time) if time.end() == at + column.trim_end().len() => found.fields.push(time),
                _ => found.odd.push(base),
            }
        }
        at += column.len() + 1;
    }
}

/// Times in the `{\…}` blocks of an event's text, which count from the event's start.
fn override_times(text: &str, base: usize, fields: &mut Vec<Field>) {
    // Syllables follow each other: each lasts from the end of the one before.
    let mut sung = 0;
    let mut at = 0;
    while let Some(open) = text[at..].find('{') {
        let start = at + open + 1;
        let Some(length) = text[start..].find('}') else { return };
        tags(&text[start..start + length], base + start, &mut sung, fields);
        at = start + length + 1;
    }
}

fn tags(block: &str, base: usize, sung: &mut i64, fields: &mut Vec<Field>) {
    for (backslash, _) in block.match_indices('\\') {
        let at = backslash + 1;
        let tag = &block[at..];
        let name = tag.len() - tag.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (name, rest, at) = (&tag[..name], &tag[name..], base + at + name);
        match name {
            "k" | "K" | "kf" | "ko" => {
                if let Some(syllable) = Field::number(rest.as_bytes(), at, CS, 0, Role::After(*sung)) {
                    // A fraction of a centisecond is on a clock of its own and so is not in the chain.
                    let whole = syllable.clock == CS;
                    *sung += if whole { syllable.ticks } else { 0 };
                    fields.push(if whole { syllable } else { syllable.with_role(Role::Duration) });
                }
            }
            "kt" => {
                if let Some(start) = Field::number(rest.as_bytes(), at, CS, 0, Role::Duration) {
                    *sung = start.ticks;
                    fields.push(start);
                }
            }
            "t" | "move" | "fad" | "fade" => arguments(name, rest, at, fields),
            _ => (),
        }
    }
}

/// The times among the arguments of a tag, known by how many there are, as libass and VSFilter do.
fn arguments(name: &str, rest: &str, base: usize, fields: &mut Vec<Field>) {
    let Some(inside) = rest.strip_prefix('(') else { return };
    let closed = inside.find([')', '\\']).unwrap_or(inside.len());
    // What comes before the tags that \t animates ends with a comma.
    let list = if inside[closed..].starts_with('\\') {
        inside[..closed].trim_end().strip_suffix(',')
    } else {
        Some(&inside[..closed])
    };
    let Some(list) = list else { return };
    let count = list.split(',').count();
    let times = match (name, count) {
        ("t", 2 | 3) => 0..2,
        ("move", 6) => 4..6,
        ("fad" | "fade", 2) => 0..2,
        ("fad" | "fade", 7) => 3..7,
        _ => return,
    };
    let mut at = base + 1;
    for (index, argument) in list.split(',').enumerate() {
        if times.contains(&index) {
            let lead = argument.len() - argument.trim_start().len();
            fields.extend(Field::number(argument.trim_start().as_bytes(), at + lead, MS, 0, Role::Duration));
        }
        at += argument.len() + 1;
    }
}
