//! VobSub's index: `timestamp: 00:00:01:000, filepos: …`, and the delays that are added to the stamps after them.

use super::Found;
use crate::{
    field::{ClockStyle, Field, Role},
    text::lines,
};
use timebase::Rational;

const STYLE: ClockStyle = ClockStyle { points: b":.", decimals: 3, hours_optional: false };

/// The clock time after `key` at the start of `line`, which begins at byte `base`.
fn clock_after(key: &str, line: &str, base: usize) -> Option<Field> {
    let rest = line.strip_prefix(key)?;
    let at = line.len() - rest.trim_start().len();
    Field::clock(&line.as_bytes()[at..], base + at, &STYLE)
}

pub(super) fn timestamp(line: &str, base: usize) -> Option<Field> {
    clock_after("timestamp:", line, base)
}

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    for (at, line) in lines(text) {
        if line.starts_with("timestamp:") {
            match timestamp(line, at) {
                Some(field) => found.fields.push(field),
                None => found.odd.push(at),
            }
        } else if let Some(delay) = clock_after("delay:", line, at) {
            found.fields.push(delay.with_role(Role::Duration));
        } else if let Some(offset) = line.strip_prefix("time offset:") {
            let skip = line.len() - offset.trim_start().len();
            let ms =
                Field::number(&line.as_bytes()[skip..], at + skip, Rational::whole(1000), 0, Role::Duration);
            found.fields.extend(ms);
        }
    }
    found
}
