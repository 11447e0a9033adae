//! From one text format to another: cues are read, mapped with one rounding to the clock of the new format, and written.

use crate::{
    Format, Map,
    cue::{Cue, Losses, Time},
    map::Mapper,
};
use timebase::Rational;

/// A converted file.
#[derive(Debug)]
pub struct Converted {
    /// The file.
    pub text: String,
    /// Cues in it.
    pub cues: usize,
    /// What the new format has no place for.
    pub losses: Losses,
}

/// Reads `text` as `from`, maps its times and writes it as `to`.
///
/// Errors: a format that is pictures; a file that its format's reader cannot make cues of; a time that cannot be mapped.
pub fn convert(text: &str, from: Format, to: Format, map: Map<'_>) -> Result<Converted, String> {
    let mut losses = Losses::default();
    let (mut cues, frame_rate) = from.read(text, map.frame_rate, &mut losses)?;
    cues.sort_by_cached_key(|cue| key(cue.start));
    fill_in_ends(&mut cues, to, &mut losses);
    // The frames of the slower film, for a format that counts them.
    let frame_rate =
        frame_rate.checked_div(map.instants.ratio()).ok_or("a frame rate that cannot be counted")?;
    let clock = to.clock(frame_rate);
    let mut mapper = Mapper::new(map);
    for (n, cue) in cues.iter_mut().enumerate() {
        for time in [Some(&mut cue.start), cue.end.as_mut()].into_iter().flatten() {
            let ticks = mapper.mapped(time.ticks, time.clock, clock, true);
            let ticks = ticks.map_err(|reason| format!("cue {}: {reason}", n + 1))?;
            if ticks < 0 {
                return Err(format!("cue {}: before zero", n + 1));
            }
            *time = Time { ticks, clock };
        }
    }
    let text = to.write(&cues, frame_rate, &mut losses)?;
    Ok(Converted { text, cues: cues.len(), losses })
}

/// Milliseconds or better, for sorting.
fn key(time: Time) -> i128 {
    let wide = i128::from(time.ticks) * 1_000_000;
    wide.saturating_mul(time.clock.den().into()) / i128::from(time.clock.num())
}

/// A cue without an end stays until the next one, the last one for three seconds. Chapters do without.
fn fill_in_ends(cues: &mut [Cue], to: Format, losses: &mut Losses) {
    if matches!(to, Format::Ogm | Format::ChaptersXml | Format::Json) {
        return;
    }
    for n in 0..cues.len() {
        if cues[n].end.is_none() {
            let Cue { start, .. } = cues[n];
            let seconds =
                Rational::whole(3).checked_mul(start.clock).map_or(0, |ticks| ticks.num() / ticks.den());
            let later = Time { ticks: start.ticks.saturating_add(seconds), ..start };
            cues[n].end = Some(cues.get(n + 1).map_or(later, |next| next.start));
            losses.add("ends that were not given");
        }
    }
}
