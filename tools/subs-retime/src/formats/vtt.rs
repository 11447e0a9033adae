//! WebVTT: timing lines, stamps inside a cue's text, and the header's X-TIMESTAMP-MAP (RFC 8216, 3.5).

use super::{Found, srt};
use crate::{
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
