//! WebVTT: timing lines, stamps inside a cue's text, and the header's X-TIMESTAMP-MAP (RFC 8216, 3.5).

use super::{Found, angle, srt};
use crate::{
    cue::{Cue, Losses, Piece, Time},
    field::{ClockStyle, Field, Role},
    text::lines,
};
use timebase::Rational;

const STYLE: ClockStyle = ClockStyle { points: b".,", decimals: 3, hours_optional: true };

/// Where in the file a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Header,
    /// Between blocks, or in a NOTE, STYLE or REGION.
    Other,
    Cue,
}

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    let mut block = Block::Header;
    for (at, line) in lines(text) {
        if line.contains(srt::ARROW) {
            match srt::timing(line, at, &STYLE) {
                Some((start, end)) => found.fields.extend([Some(start), end].into_iter().flatten()),
                None => found.odd.push(at),
            }
            block = Block::Cue;
        } else if line.is_empty() {
            block = Block::Other;
        } else if block == Block::Cue {
            inline_stamps(line, at, &mut found);
        } else if block == Block::Header && line.starts_with("X-TIMESTAMP-MAP=") {
            timestamp_map(line, at, &mut found);
        }
    }
    found
}

/// `<00:00:01.500>` in the text of a cue.
fn inline_stamps(line: &str, base: usize, found: &mut Found) {
    for (open, _) in line.match_indices('<') {
        let stamp = Field::clock(&line.as_bytes()[open + 1..], base + open + 1, &STYLE);
        found.fields.extend(stamp.filter(|f| line.as_bytes().get(f.end() - base) == Some(&b'>')));
    }
}

/// `X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000` ties the cues' clock to the stream's. The stream is slowed too,
/// so both sides are scaled; a shift is meant to move the cues against the stream, so neither is shifted.
fn timestamp_map(line: &str, base: usize, found: &mut Found) {
    let mut sides = Vec::new();
    for (name, at) in
        ["MPEGTS:", "LOCAL:"].iter().filter_map(|name| Some((name, line.find(name)? + name.len())))
    {
        let rest = &line.as_bytes()[at..];
        let side = match *name {
            "LOCAL:" => Field::clock(rest, base + at, &STYLE).map(|f| f.with_role(Role::Duration)),
            _ => Field::number(rest, base + at, Rational::whole(90_000), 0, Role::Duration),
        };
        match side {
            Some(side) => sides.push(side),
            None => found.odd.push(base),
        }
    }
    sides.sort_by_key(|side| side.at.start);
    found.fields.extend(sides);
}

/// What a tag other than a style is.
fn tag(word: &str) -> Option<&'static str> {
    match word.chars().next()? {
        '0'..='9' => Some("inline times"),
        'v' => Some("voices"),
        'c' => Some("classes"),
        'l' | 'r' => Some("languages and ruby"),
        _ => Some("tags"),
    }
}

/// The characters that cue text spells out.
const SPELLED: [(&str, &str); 6] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&nbsp;", "\u{a0}"),
    ("&lrm;", "\u{200e}"),
    ("&rlm;", "\u{200f}"),
    ("&amp;", "&"),
];

pub(super) fn read(text: &str, losses: &mut Losses) -> Vec<Cue> {
    let mut cues = Vec::new();
    let mut lines = lines(text);
    while let Some((_, line)) = lines.next() {
        if let Some((start, end)) = srt::timing(line, 0, &STYLE) {
            if end.as_ref().is_some_and(|end| !line[end.end()..].trim().is_empty()) {
                losses.add("positions");
            }
            let mut text = angle::read(&srt::block(&mut lines), tag, losses);
            for piece in &mut text {
                if let Piece::Text(text) = piece {
                    *text = SPELLED
                        .iter()
                        .fold(std::mem::take(text), |text, (spelled, is)| text.replace(spelled, is));
                }
            }
            cues.push(Cue { start: Time::of(&start), end: end.as_ref().map(Time::of), text });
        } else {
            let block = ["NOTE", "STYLE", "REGION"].into_iter().find(|block| line.starts_with(block));
            if let Some(block) = block {
                losses.add(match block {
                    "NOTE" => "notes",
                    "STYLE" => "style sheets",
                    _ => "regions",
                });
                srt::block(&mut lines);
            }
        }
    }
    cues
}

pub(super) fn write(cues: &[Cue]) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let cue = |cue: &Cue| {
        let [start, end] = [cue.start, cue.end.unwrap_or(cue.start)].map(|time| time.spelled(2, '.'));
        format!(
            "\n{start} {} {end}\n{}\n",
            srt::ARROW,
            angle::write(&srt::without_empty_lines(&cue.text), escape)
        )
    };
    format!("WEBVTT\n{}", cues.iter().map(cue).collect::<String>())
}
