//! Matroska chapters: the text of every ChapterTimeStart and ChapterTimeEnd.

use super::{Found, xml};
use crate::field::{ClockStyle, Field};
use quick_xml::events::Event;

/// mkvmerge writes nanoseconds and takes less.
const STYLE: ClockStyle = ClockStyle { points: b".,", decimals: 3, hours_optional: false };

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    let mut in_time = false;
    let broken = xml::walk(text, |event, _| match event {
        Event::Start(element) => {
            in_time = matches!(element.local_name().as_ref(), "ChapterTimeStart" | "ChapterTimeEnd");
        }
        Event::Text(content) if in_time => time(text, content, &mut found),
        Event::CData(content) if in_time => time(text, content, &mut found),
        Event::End(_) => in_time = false,
        _ => (),
    });
    Found { broken, ..found }
}

fn time(text: &str, content: &str, found: &mut Found) {
    let trimmed = content.trim();
    let Some(at) = xml::offset(text, trimmed).filter(|_| !trimmed.is_empty()) else { return };
    match Field::clock(trimmed.as_bytes(), at, &STYLE) {
        Some(field) if field.end() == at + trimmed.len() => found.fields.push(field),
        _ => found.odd.push(at),
    }
}
