//! TTML: `begin`, `end` and `dur` of any element, as clock times, frames, ticks or numbers with a unit (TTML2, 12.3.1).

use super::{Found, xml};
use crate::field::{ClockStyle, Field, Role, Spelling};
use quick_xml::events::{BytesStart, Event};
use timebase::Rational;

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
        let positive = |text: String| text.parse().ok().filter(|rate: &Rational| rate.is_positive());
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
