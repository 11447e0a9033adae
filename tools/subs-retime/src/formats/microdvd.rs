//! MicroDVD: `{first frame}{last frame}text`. The frames are the film's, and the film keeps its frames when it is
//! slowed; what changes is the rate that a first cue `{1}{1}25.000` declares.

use super::Found;
use crate::{
    field::{Field, Role},
    text::lines,
};
use timebase::Rational;

/// `{123}` at the start of `text`, which stands at byte `base`.
fn braced(text: &str, base: usize, frame_rate: Rational) -> Option<Field> {
    let field = Field::number(text.strip_prefix('{')?.as_bytes(), base + 1, frame_rate, 0, Role::Frame)?;
    (text.as_bytes().get(field.end() - base) == Some(&b'}')).then_some(field)
}

/// Start, end if there is one, and where the text begins in `line`.
fn cue(line: &str, base: usize, frame_rate: Rational) -> Option<(Field, Option<Field>, usize)> {
    let start = braced(line, base, frame_rate)?;
    let at = start.end() + 1 - base;
    let rest = &line[at..];
    if rest.starts_with("{}") {
        return Some((start, None, at + 2));
    }
    let end = braced(rest, base + at, frame_rate)?;
    let text = end.end() + 1 - base;
    Some((start, Some(end), text))
}

pub(super) fn is_cue(line: &str) -> bool {
    cue(line, 0, Rational::whole(25)).is_some()
}

/// The rate that a first cue declares: where it stands and what it says.
fn declared(line: &str, base: usize) -> Option<(Field, Rational)> {
    let (start, end, at) = cue(line, base, Rational::whole(25))?;
    if start.ticks > 1 || end.is_none_or(|end| end.ticks > 1) {
        return None;
    }
    let field =
        Field::number(line[at..].trim_end().as_bytes(), base + at, Rational::whole(1), 3, Role::FrameRate)?;
    let rate = Rational::parse(&line[at..field.end() - base]).ok()?.value;
    (field.end() == base + line.trim_end().len() && rate.is_positive()).then_some((field, rate))
}

pub(super) fn scan(text: &str, frame_rate: Rational) -> Found {
    let mut found = Found::default();
    let mut frame_rate = frame_rate;
    for (index, (at, line)) in lines(text).filter(|(_, line)| !line.trim().is_empty()).enumerate() {
        if let Some((field, rate)) = declared(line, at).filter(|_| index == 0) {
            found.fields.push(field);
            frame_rate = rate;
        } else if let Some((start, end, _)) = cue(line, at, frame_rate) {
            found.fields.extend([Some(start), end].into_iter().flatten());
        } else if line.starts_with('{') && !line.starts_with("{DEFAULT}") {
            found.odd.push(at);
        }
    }
    found
}
