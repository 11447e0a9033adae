//! TTML: `begin`, `end` and `dur` of any element, as clock times, frames, ticks or numbers with a unit (TTML2, 12.3.1).

use super::{Found, xml};
use crate::{
    cue::{Cue, Losses, Piece, Style, Time, push_text},
    field::{ClockStyle, Field, Role, Spelling},
};
use quick_xml::{
    escape::escape,
    events::{BytesStart, Event},
};
use timebase::{Rational, Retime};

const STYLE: ClockStyle = ClockStyle { points: b".", decimals: 3, hours_optional: false };

/// The clocks that the root element declares.
struct Clocks {
    /// Frames a second, the multiplier included.
    frame: Rational,
    /// Parts of a frame.
    sub_frames: i64,
    tick: Rational,
}

impl Clocks {
    fn of(root: &BytesStart<'_>) -> Self {
        let value = |name: &str| {
            let attribute = root.attributes().flatten().find(|a| a.key.local_name().as_ref() == name)?;
            Some(attribute.value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let positive = |text: String| {
            Rational::parse_rate(&text).ok().map(|rate| rate.value).filter(|rate| rate.is_positive())
        };
        let multiplier =
            value("frameRateMultiplier").map(|text| text.replace([' ', ':'], "/")).and_then(positive);
        let declared = value("frameRate").and_then(positive);
        let base = declared.unwrap_or(Rational::whole(30));
        let frame = multiplier.and_then(|m| base.checked_mul(m)).unwrap_or(base);
        let sub_frames =
            value("subFrameRate").and_then(|text| text.parse().ok()).filter(|n| *n > 0).unwrap_or(1);
        let frames = declared.and_then(|_| frame.checked_mul(Rational::whole(sub_frames)));
        let tick = value("tickRate").and_then(positive).or(frames).unwrap_or(Rational::whole(1));
        Self { frame, sub_frames, tick }
    }
}

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    let mut clocks = None;
    // Times count from the beginning of the nearest element around that has one, so a shift moves the outermost only.
    let mut begun_at = usize::MAX;
    let broken = xml::walk(text, |event, depth| match event {
        Event::Start(element) | Event::Empty(element) => {
            let clocks = clocks.get_or_insert_with(|| Clocks::of(element));
            let role = if depth > begun_at { Role::Duration } else { Role::Instant };
            for attribute in element.attributes().flatten() {
                let role = match attribute.key.as_ref() {
                    "begin" | "end" => role,
                    "dur" => Role::Duration,
                    _ => continue,
                };
                let value = attribute.value.trim();
                let Some(at) = xml::offset(text, value) else { continue };
                match time(value, at, clocks) {
                    Some(field) => found.fields.push(field.with_role(role)),
                    None => found.odd.push(at),
                }
                if attribute.key.as_ref() == "begin" && matches!(event, Event::Start(_)) {
                    begun_at = begun_at.min(depth);
                }
            }
        }
        Event::End(_) if depth <= begun_at => begun_at = usize::MAX,
        _ => (),
    });
    Found { broken, ..found }
}

/// A time expression that takes up all of `value`.
fn time(value: &str, at: usize, clocks: &Clocks) -> Option<Field> {
    let bytes = value.as_bytes();
    let end = at + bytes.len();
    if value.contains(':') {
        let field = Field::clock(bytes, at, &STYLE)?;
        return if field.end() == end { Some(field) } else { frames(value, field, clocks) };
    }
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    // Where the unit is long, digits are added until a tick is a millisecond or less.
    let (rate, decimals) = match unit {
        "h" => (Rational::new(1, 3600)?, 7),
        "m" => (Rational::new(1, 60)?, 5),
        "s" => (Rational::whole(1), 3),
        "ms" => (Rational::whole(1000), 0),
        "f" => (clocks.frame, 0),
        "t" => (clocks.tick, 0),
        _ => return None,
    };
    Field::number(bytes, at, rate, decimals, Role::Instant).filter(|field| field.end() + unit.len() == end)
}

/// `HH:MM:SS:FF` or `HH:MM:SS:FF.S`, of which `seconds` is the beginning.
fn frames(value: &str, seconds: Field, clocks: &Clocks) -> Option<Field> {
    let Spelling::Clock { hours, decimals, .. } = seconds.spelling else { return None };
    if value.starts_with('-') || clocks.frame < Rational::whole(1) {
        return None;
    }
    let seen = seconds.end() - seconds.at.start;
    let rest = value.get(seen..)?.strip_prefix(':').filter(|_| !value[..seen].contains('.'))?;
    let (frames, part, parts) = match rest.split_once('.') {
        Some((frames, part)) => (frames, part, clocks.sub_frames),
        None => (rest, "0", 1),
    };
    let number = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    // Ticks of which a whole number make a second, a frame and a part of a frame, whatever the rate.
    let second = clocks.frame.num().checked_mul(parts)?;
    let (frame, one_part) = (clocks.frame.den().checked_mul(parts)?, clocks.frame.den());
    let whole = seconds.ticks / 10i64.pow(decimals.into());
    let ticks = whole
        .checked_mul(second)?
        .checked_add(number(frames)?.checked_mul(frame)?)?
        .checked_add(number(part)?.checked_mul(one_part)?)?;
    Some(Field {
        at: seconds.at.start..seconds.at.start + value.len(),
        ticks,
        clock: Rational::whole(second),
        role: Role::Instant,
        spelling: Spelling::Frames { hours, second, frame, part: rest.contains('.').then_some(one_part) },
    })
}

/// Nanoseconds, in which the times of nested elements add up.
const NS: Rational = Rational::whole(1_000_000_000);

/// What `p` and `span` elements say, each `p` a cue.
pub(super) fn read(text: &str, losses: &mut Losses) -> Result<Vec<Cue>, String> {
    let mut cues: Vec<Cue> = Vec::new();
    let mut clocks = None;
    // For each open element: when it begins, its styles, and whether it is in a cue or one itself.
    let mut open: Vec<(i64, Vec<Style>, bool)> = Vec::new();
    let broken = xml::walk(text, |event, _| match event {
        Event::Start(element) | Event::Empty(element) => {
            let clocks = clocks.get_or_insert_with(|| Clocks::of(element));
            let outer = open.last().map_or(0, |(begin, ..)| *begin);
            let at = |name: &str| {
                let value = element.attributes().flatten().find(|a| a.key.as_ref() == name)?.value;
                let field = time(value.trim(), 0, clocks)?;
                Retime::new(Rational::whole(1))?.ticks_between(field.ticks, field.clock, NS)
            };
            let begin = outer.saturating_add(at("begin").unwrap_or(0));
            let end = at("end")
                .map(|end| outer.saturating_add(end))
                .or(at("dur").map(|dur| begin.saturating_add(dur)));
            let name = element.local_name();
            let is_cue = name.as_ref() == "p";
            let ns = |ticks| Time { ticks, clock: NS };
            if is_cue {
                cues.push(Cue { start: ns(begin), end: end.map(ns), text: Vec::new() });
            }
            let inside = is_cue || open.last().is_some_and(|(.., inside)| *inside);
            let mut styles = Vec::new();
            for attribute in element.attributes().flatten().filter(|_| inside) {
                match (attribute.key.local_name().as_ref(), &*attribute.value) {
                    ("fontStyle", "italic") => styles.push(Style::Italic),
                    ("fontWeight", "bold") => styles.push(Style::Bold),
                    ("textDecoration", "underline") => styles.push(Style::Underline),
                    ("region", _) => losses.add("regions"),
                    ("style", _) => losses.add("named styles"),
                    ("color" | "backgroundColor" | "fontFamily" | "fontSize", _) => {
                        losses.add("fonts and colours")
                    }
                    ("begin", _) if !is_cue => losses.add("inline times"),
                    _ => (),
                }
            }
            if let Some(cue) = cues.last_mut().filter(|_| inside) {
                cue.text.extend(styles.iter().map(|&style| Piece::Style(style, true)));
                if name.as_ref() == "br" {
                    cue.text.push(Piece::Break);
                }
            }
            if matches!(event, Event::Start(_)) {
                open.push((begin, styles, inside));
            }
        }
        Event::End(_) => {
            if let (Some((_, styles, _)), Some(cue)) = (open.pop(), cues.last_mut()) {
                cue.text.extend(styles.iter().rev().map(|&style| Piece::Style(style, false)));
            }
        }
        event => {
            let mut said = String::new();
            xml::say(event, &mut said);
            if let Some(cue) = cues.last_mut().filter(|_| open.last().is_some_and(|(.., inside)| *inside)) {
                // White space is one space, and none where a line begins.
                let line_start = matches!(cue.text.last(), None | Some(Piece::Break));
                let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
                let before = !line_start && said.starts_with(char::is_whitespace);
                let after = !words.is_empty() && said.ends_with(char::is_whitespace);
                let space = |there| if there { " " } else { "" };
                push_text(&mut cue.text, &format!("{}{words}{}", space(before), space(after)));
            }
        }
    });
    for cue in &mut cues {
        if let Some(Piece::Text(last)) = cue.text.last_mut() {
            last.truncate(last.trim_end().len());
        }
    }
    broken.map_or(Ok(cues), |broken| Err(broken.reason))
}

pub(super) fn write(cues: &[Cue]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => escape(text).into_owned(),
        Piece::Break => "<br/>".to_owned(),
        Piece::Style(Style::Bold, true) => "<span tts:fontWeight=\"bold\">".to_owned(),
        Piece::Style(Style::Italic, true) => "<span tts:fontStyle=\"italic\">".to_owned(),
        Piece::Style(Style::Underline, true) => "<span tts:textDecoration=\"underline\">".to_owned(),
        Piece::Style(_, false) => "</span>".to_owned(),
    };
    let cue = |cue: &Cue| {
        let [start, end] = [cue.start, cue.end.unwrap_or(cue.start)].map(|time| time.spelled(2, '.'));
        format!(
            "      <p begin=\"{start}\" end=\"{end}\">{}</p>\n",
            nested(&cue.text).iter().map(piece).collect::<String>()
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tt xmlns=\"http://www.w3.org/ns/ttml\" \
         xmlns:tts=\"http://www.w3.org/ns/ttml#styling\" xml:lang=\"\">\n  <body>\n    <div>\n{}    </div>\n  </body>\n</tt>\n",
        cues.iter().map(cue).collect::<String>()
    )
}

/// The same text with every style ended that was begun, and none that was not.
fn nested(text: &[Piece]) -> Vec<Piece> {
    let mut open = 0usize;
    let mut kept = Vec::new();
    for piece in text {
        match piece {
            Piece::Style(_, true) => open += 1,
            Piece::Style(_, false) if open == 0 => continue,
            Piece::Style(_, false) => open -= 1,
            _ => (),
        }
        kept.push(piece.clone());
    }
    kept.extend(std::iter::repeat_n(Piece::Style(Style::Italic, false), open));
    kept
}
