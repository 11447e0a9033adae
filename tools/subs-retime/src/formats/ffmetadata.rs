//! ffmpeg's metadata file: START and END of every `[CHAPTER]`, in ticks of its TIMEBASE.

use super::Found;
use crate::{
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
