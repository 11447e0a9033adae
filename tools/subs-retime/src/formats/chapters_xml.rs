//! Matroska chapters: the text of every ChapterTimeStart and ChapterTimeEnd.

use super::{Found, xml};
use crate::{
    cue::{Cue, Losses, Time, plain, unstyled},
    field::{ClockStyle, Field},
};
use quick_xml::{escape::escape, events::Event};

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

/// Nested chapters follow the one that they are in.
pub(super) fn read(text: &str) -> Result<Vec<Cue>, String> {
    let mut chapters: Vec<Cue> = Vec::new();
    // The atoms that are open, and what the element says that is being read.
    let (mut open, mut said) = (Vec::new(), String::new());
    let none = Time { ticks: 0, clock: timebase::Rational::whole(1_000_000_000) };
    let broken = xml::walk(text, |event, _| match event {
        Event::Start(element) => {
            said.clear();
            if element.local_name().as_ref() == "ChapterAtom" {
                open.push(chapters.len());
                chapters.push(Cue { start: none, end: None, text: Vec::new() });
            }
        }
        Event::End(element) => {
            let chapter = open.last().and_then(|&n: &usize| chapters.get_mut(n));
            let time = Time::clock(said.trim(), &STYLE);
            match (element.local_name().as_ref(), chapter) {
                ("ChapterAtom", _) => drop(open.pop()),
                ("ChapterTimeStart", Some(chapter)) => chapter.start = time.unwrap_or(chapter.start),
                ("ChapterTimeEnd", Some(chapter)) => chapter.end = time,
                ("ChapterString", Some(chapter)) if chapter.text.is_empty() => chapter.text = plain(&said),
                _ => (),
            }
            said.clear();
        }
        event => xml::say(event, &mut said),
    });
    broken.map_or(Ok(chapters), |broken| Err(broken.reason))
}

pub(super) fn write(chapters: &[Cue], losses: &mut Losses) -> String {
    let mut chapter = |chapter: &Cue| {
        let end = chapter
            .end
            .map(|end| format!("      <ChapterTimeEnd>{}</ChapterTimeEnd>\n", end.spelled(2, '.')));
        let title = unstyled(&chapter.text, " ", losses);
        format!(
            "    <ChapterAtom>\n      <ChapterTimeStart>{}</ChapterTimeStart>\n{}      <ChapterDisplay>\n        \
             <ChapterString>{}</ChapterString>\n        <ChapterLanguage>und</ChapterLanguage>\n      \
             </ChapterDisplay>\n    </ChapterAtom>\n",
            chapter.start.spelled(2, '.'),
            end.unwrap_or_default(),
            escape(&title)
        )
    };
    let atoms: String = chapters.iter().map(&mut chapter).collect();
    format!("<?xml version=\"1.0\"?>\n<Chapters>\n  <EditionEntry>\n{atoms}  </EditionEntry>\n</Chapters>\n")
}
