//! ffmpeg's metadata file: START and END of every `[CHAPTER]`, in ticks of its TIMEBASE.

use super::Found;
use crate::{
    cue::{Cue, Losses, Time, plain, unstyled},
    field::{Field, Role, Spelling},
    text::lines,
};
use timebase::Rational;

/// What ffmpeg takes where a chapter does not say: nanoseconds.
const DEFAULT: Rational = Rational::whole(1_000_000_000);

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    let mut clock = None;
    let mut continues = false;
    for (at, line) in lines(text) {
        let continued = std::mem::replace(&mut continues, ends_in_escape(line));
        if continued || line.starts_with([';', '#']) {
            continue;
        }
        if line.starts_with('[') {
            clock = (line.trim_end() == "[CHAPTER]").then_some(DEFAULT);
            continue;
        }
        let (Some(clock), Some((key, value))) = (&mut clock, line.split_once('=')) else { continue };
        match key {
            "TIMEBASE" => match value.trim().parse::<Rational>().ok().and_then(Rational::recip) {
                Some(rate) if rate.is_positive() => *clock = rate,
                _ => found.odd.push(at),
            },
            "START" | "END" => {
                let value_at = at + key.len() + 1;
                let field = Field::number(value.as_bytes(), value_at, *clock, 0, Role::Instant);
                match field.filter(|f| f.end() == value_at + value.trim_end().len()) {
                    Some(field) if matches!(field.spelling, Spelling::Number { decimals: 0, .. }) => {
                        found.fields.push(field);
                    }
                    _ => found.odd.push(at),
                }
            }
            _ => (),
        }
    }
    found
}

/// Is the line's end escaped, so that the value goes on in the next line?
fn ends_in_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|&c| c == b'\\').count() % 2 == 1
}

pub(super) fn read(text: &str) -> Vec<Cue> {
    let mut chapters: Vec<Cue> = Vec::new();
    let found = scan(text).fields;
    let mut fields = found.iter().peekable();
    let mut unfinished = String::new();
    for (at, line) in lines(text) {
        let end = at + line.len();
        while let Some(field) = fields.next_if(|field| field.at.start < end) {
            match chapters.last_mut().filter(|_| text[..field.at.start].ends_with("END=")) {
                Some(chapter) => chapter.end = Some(Time::of(field)),
                None => chapters.push(Cue { start: Time::of(field), end: None, text: Vec::new() }),
            }
        }
        if ends_in_escape(line) {
            unfinished += &line[..line.len() - 1];
            unfinished.push('\n');
            continue;
        }
        let whole = std::mem::take(&mut unfinished) + line;
        if let (Some(title), Some(chapter)) = (whole.strip_prefix("title="), chapters.last_mut()) {
            chapter.text = plain(&unescaped(title));
        }
    }
    chapters
}

/// Text without the backslashes in front of special characters.
fn unescaped(text: &str) -> String {
    let mut escaped = false;
    text.chars()
        .filter(|&c| {
            escaped = c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

pub(super) fn write(chapters: &[Cue], losses: &mut Losses) -> String {
    let mut out = ";FFMETADATA1\n".to_owned();
    for chapter in chapters {
        let (start, end) = (chapter.start.ticks, chapter.end.unwrap_or(chapter.start).ticks);
        let title: String = unstyled(&chapter.text, "\n", losses)
            .chars()
            .flat_map(|c| [Some('\\').filter(|_| "=;#\\\n".contains(c)), Some(c)])
            .flatten()
            .collect();
        out += &format!("[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={title}\n");
    }
    out
}
