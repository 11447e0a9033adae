//! MicroDVD: `{first frame}{last frame}text`. The frames are the film's, and the film keeps its frames when it is
//! slowed; what changes is the rate that a first cue `{1}{1}25.000` declares.

use super::Found;
use crate::{
    cue::{Cue, Losses, Piece, Style, Time, push_text, unstyled},
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
    let rate = Rational::parse_rate(&line[at..field.end() - base]).ok()?.value;
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

/// Cues, and how many frames a second they are counted in.
pub(super) fn read(text: &str, frame_rate: Rational, losses: &mut Losses) -> (Vec<Cue>, Rational) {
    let mut cues = Vec::new();
    let mut frame_rate = frame_rate;
    for (n, (at, line)) in lines(text).filter(|(_, line)| !line.trim().is_empty()).enumerate() {
        if let Some((_, rate)) = declared(line, at).filter(|_| n == 0) {
            frame_rate = rate;
        } else if let Some((start, end, text)) = cue(line, 0, frame_rate) {
            let text = pieces(&line[text..], losses);
            cues.push(Cue { start: Time::of(&start), end: end.as_ref().map(Time::of), text });
        }
    }
    (cues, frame_rate)
}

/// `{y:i}` at the start of a line is a style of that line, `{Y:i}` of the whole cue.
fn pieces(text: &str, losses: &mut Losses) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut whole: Vec<Style> = Vec::new();
    for (n, mut line) in text.split('|').enumerate() {
        if n > 0 {
            pieces.push(Piece::Break);
        }
        let mut styles = Vec::new();
        while let Some((code, rest)) = line.strip_prefix('{').and_then(|line| line.split_once('}')) {
            let named = code.strip_prefix("y:").or(code.strip_prefix("Y:")).unwrap_or_default();
            let found: Vec<_> = named.split(',').filter_map(Style::of).collect();
            if found.is_empty() {
                losses.add("control codes");
            }
            if code.starts_with('Y') { &mut whole } else { &mut styles }.extend(found);
            line = rest;
        }
        pieces.extend(styles.iter().map(|&style| Piece::Style(style, true)));
        push_text(&mut pieces, line);
        pieces.extend(styles.iter().rev().map(|&style| Piece::Style(style, false)));
    }
    let styles = |on| whole.iter().map(move |&style| Piece::Style(style, on)).collect::<Vec<_>>();
    [styles(true), pieces, styles(false)].concat()
}

pub(super) fn write(cues: &[Cue], frame_rate: Rational, losses: &mut Losses) -> String {
    let mut out = format!("{{1}}{{1}}{:.3}\n", frame_rate.to_f64());
    for cue in cues {
        let end = cue.end.map_or(String::new(), |end| end.ticks.to_string());
        out += &format!("{{{}}}{{{end}}}{}\n", cue.start.ticks, unstyled(&cue.text, "|", losses));
    }
    out
}
