//! Cues as JSON: objects with `start_ms` and `end_ms` (or `duration_ms`), one document or one object a line.

use super::{Broken, Found};
use crate::{
    cue::{Cue, Losses, Time, plain, unstyled},
    field::{Field, Role},
};
use serde_json::{Value, json};
use timebase::Rational;

const MS: Rational = Rational::whole(1000);

/// Does text that begins so look like JSON, rather than like another format's bracket?
pub(super) fn begins(text: &str) -> bool {
    let mut inside = text.chars().skip(1).filter(|c| !c.is_whitespace());
    match text.chars().next() {
        Some('{') => matches!(inside.next(), Some('"' | '}')),
        Some('[') => matches!(inside.next(), Some('{' | ']')),
        _ => false,
    }
}

fn role(key: &str) -> Option<Role> {
    match key {
        "start_ms" | "end_ms" => Some(Role::Instant),
        "duration_ms" => Some(Role::Duration),
        _ => None,
    }
}

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    // The library says whether it is JSON; after that, finding the numbers is a matter of strings and colons.
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    while let Some(document) = documents.next() {
        if let Err(error) = document {
            let at = documents.byte_offset();
            found.broken = Some(Broken { whole: 0, at, torn: error.is_eof(), reason: error.to_string() });
            return found;
        }
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(open) = bytes[at..].iter().position(|&c| c == b'"') {
        let start = at + open + 1;
        let end = string_end(bytes, start);
        at = end + 1;
        let blanks =
            |from: usize| from + bytes[from..].iter().take_while(|c| c.is_ascii_whitespace()).count();
        let colon = blanks(at.min(bytes.len()));
        let Some(role) = role(&text[start..end]).filter(|_| bytes.get(colon) == Some(&b':')) else {
            continue;
        };
        let value = blanks(colon + 1);
        let after = |field: &Field| bytes.get(field.end()).is_none_or(|c| b",]} \t\r\n".contains(c));
        match Field::number(&bytes[value..], value, MS, 0, role).filter(after) {
            Some(field) => found.fields.push(field),
            None if bytes[value..].starts_with(b"null") => (),
            None => found.odd.push(value),
        }
    }
    found
}

/// Where the string that begins at `start` ends: at its closing quote.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// Every object with a `start_ms`, at any depth.
pub(super) fn read(text: &str) -> Result<Vec<Cue>, String> {
    let mut cues = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        collect(&document.map_err(|e| e.to_string())?, &mut cues);
    }
    Ok(cues)
}

fn collect(value: &Value, cues: &mut Vec<Cue>) {
    let time = |key: &str| {
        let number = value.get(key)?.as_number()?.to_string();
        Field::number(number.as_bytes(), 0, MS, 6, Role::Instant).map(|field| Time::of(&field))
    };
    if let Some(start) = time("start_ms") {
        let lasting =
            |duration: Time| Some(Time { ticks: start.ticks.checked_add(duration.ticks)?, ..start });
        let end = time("end_ms").or_else(|| time("duration_ms").and_then(lasting));
        let text = value.get("text").and_then(Value::as_str).unwrap_or_default();
        cues.push(Cue { start, end, text: plain(text) });
    }
    match value {
        Value::Array(all) => all.iter().for_each(|value| collect(value, cues)),
        Value::Object(all) => all.values().for_each(|value| collect(value, cues)),
        _ => (),
    }
}

pub(super) fn write(cues: &[Cue], losses: &mut Losses) -> String {
    let mut cue = |cue: &Cue| {
        json!({ "start_ms": cue.start.ticks, "end_ms": cue.end.map(|end| end.ticks),
                "text": unstyled(&cue.text, "\n", losses) })
        .to_string()
    };
    let cues: Vec<_> = cues.iter().map(|c| format!("  {}", cue(c))).collect();
    format!("{{\"cues\": [\n{}\n]}}\n", cues.join(",\n"))
}
