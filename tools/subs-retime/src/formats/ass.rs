//! Advanced SubStation Alpha: start and end of every event, and the times inside the override tags of its text.

use super::Found;
use crate::{
    cue::{Cue, Losses, Piece, Style, Time, push_text},
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

pub(super) fn read(text: &str, losses: &mut Losses) -> Vec<Cue> {
    let mut cues = Vec::new();
    let mut columns = Columns::USUAL;
    for (_, line) in lines(text) {
        match line.split_once(':') {
            Some(("Format", rest)) => columns = Columns::of(rest).unwrap_or(columns),
            Some(("Comment", _)) => losses.add("comments"),
            Some(("Style", _)) => losses.add("named styles"),
            Some(("Dialogue", rest)) => {
                let parts: Vec<_> = rest.splitn(columns.text + 1, ',').collect();
                let time = |n: usize| Time::clock(parts.get(n)?.trim(), &STYLE);
                if let (Some(start), Some(text)) = (time(columns.start), parts.get(columns.text)) {
                    cues.push(Cue { start, end: time(columns.end), text: pieces(text, losses) });
                }
            }
            _ => (),
        }
    }
    cues
}

fn pieces(text: &str, losses: &mut Losses) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    // Whether an opened block is ever closed; to look for its end each time would be quadratic where none is.
    let last_closing = text.rfind('}');
    while let Some(at) = rest.find(['{', '\\']) {
        push_text(&mut pieces, &rest[..at]);
        let (escape, length) = rest[at..].chars().nth(1).map_or((' ', 1), |c| (c, 1 + c.len_utf8()));
        let opens = rest[at..].starts_with('{') && last_closing > Some(text.len() - rest.len() + at);
        match (opens.then(|| rest[at..].find('}')).flatten(), escape) {
            (Some(end), _) => {
                for tag in rest[at + 1..at + end].split('\\').skip(1) {
                    let style = tag
                        .get(..1)
                        .and_then(Style::of)
                        .zip(tag.get(1..).and_then(|on| on.parse::<u16>().ok()));
                    match style {
                        Some((style, on)) => pieces.push(Piece::Style(style, on > 0)),
                        None => losses.add("override tags"),
                    }
                }
                rest = &rest[at + end + 1..];
                continue;
            }
            (None, 'N' | 'n') => pieces.push(Piece::Break),
            (None, 'h') => push_text(&mut pieces, "\u{a0}"),
            (None, _) => {
                push_text(&mut pieces, &rest[at..=at]);
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = &rest[at + length..];
    }
    push_text(&mut pieces, rest);
    pieces
}

/// What a player takes where a script has no style of its own.
const HEAD: &str = "\
[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
";

pub(super) fn write(cues: &[Cue]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Break => "\\N".to_owned(),
        Piece::Style(style, on) => format!("{{\\{}{}}}", style.letter(), u8::from(*on)),
    };
    let cue = |cue: &Cue| {
        let [start, end] = [cue.start, cue.end.unwrap_or(cue.start)].map(|time| time.spelled(1, '.'));
        format!(
            "Dialogue: 0,{start},{end},Default,,0,0,0,,{}\n",
            cue.text.iter().map(piece).collect::<String>()
        )
    };
    HEAD.to_owned() + &cues.iter().map(cue).collect::<String>()
}
