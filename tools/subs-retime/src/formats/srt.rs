//! SubRip: `00:00:01,000 --> 00:00:02,000` on a line of its own, whatever stands around it.

use super::{Found, angle};
use crate::{
    cue::{Cue, Losses, Piece, Time},
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

/// A block of cue text: the lines from `lines` up to an empty one.
pub(super) fn block<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> String {
    lines.map(|(_, line)| line).take_while(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

pub(super) fn read(text: &str, losses: &mut Losses) -> Vec<Cue> {
    let mut cues = Vec::new();
    let mut lines = lines(text);
    while let Some((_, line)) = lines.next() {
        let Some((start, end)) = timing(line, 0, &STYLE) else { continue };
        if line.contains("X1:") {
            losses.add("positions");
        }
        let text = without_override_tags(&block(&mut lines), losses);
        let tag = |word: &str| {
            let font = word.as_bytes().get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"font"));
            font.then_some("fonts and colours")
        };
        let text = angle::read(&text, tag, losses);
        cues.push(Cue { start: Time::of(&start), end: end.as_ref().map(Time::of), text });
    }
    cues
}

/// Text without what players took over from ASS.
fn without_override_tags(text: &str, losses: &mut Losses) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, (_, after))) =
        rest.split_once("{\\").and_then(|(before, tag)| Some((before, tag.split_once('}')?)))
    {
        losses.add("override tags");
        kept += before;
        rest = after;
    }
    kept + rest
}

pub(super) fn write(cues: &[Cue]) -> String {
    let cue = |(n, cue): (usize, &Cue)| {
        let [start, end] = [cue.start, cue.end.unwrap_or(cue.start)].map(|time| time.spelled(2, ','));
        format!(
            "{}\n{start} {ARROW} {end}\n{}\n\n",
            n + 1,
            angle::write(&without_empty_lines(&cue.text), str::to_owned)
        )
    };
    cues.iter().enumerate().map(cue).collect()
}

/// An empty line would end the cue.
pub(super) fn without_empty_lines(text: &[Piece]) -> Vec<Piece> {
    let mut kept: Vec<Piece> = Vec::new();
    for piece in text {
        if *piece != Piece::Break || !matches!(kept.last(), None | Some(Piece::Break)) {
            kept.push(piece.clone());
        }
    }
    kept
}
