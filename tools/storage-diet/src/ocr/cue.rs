//! What was read, as cues: of two readings of each picture the more legible one.

use super::{
    pictures::{Event, Letters},
    tesseract::{Area, Word},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Letters are light or dark in all of a track; a cue that is by so much more legible the other way is an exception.
const MORE_LEGIBLE: f64 = 20.0;

/// A cue below this confidence is for a person to look at.
const DOUBTFUL: u8 = 60;

/// A cue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Cue {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) text: String,
    /// That of the worst word, 0 to 100.
    pub(super) confidence: u8,
    /// Which picture it was read in.
    #[serde(skip)]
    pub(super) letters: Letters,
    /// Where in that; `None` where nothing could be read.
    #[serde(skip)]
    pub(super) area: Option<Area>,
}

impl Cue {
    pub(super) fn is_doubtful(&self) -> bool {
        self.confidence < DOUBTFUL
    }

    fn of(event: Event, words: &[&Word]) -> Self {
        // A line's words come in their order, but lines need not.
        let mut lines: BTreeMap<[u32; 3], Vec<&str>> = BTreeMap::new();
        for word in words {
            lines.entry(word.line).or_default().push(&word.text);
        }
        let lines: Vec<_> = lines.into_values().map(|words| words.join(" ")).collect();
        let worst = words.iter().map(|word| word.confidence).reduce(f64::min);
        Self {
            start_ms: event.start_ms,
            end_ms: event.end_ms,
            text: lines.join("\n"),
            confidence: worst.unwrap_or(0.0).round() as u8,
            letters: words.first().map_or(Letters::Light, |word| word.letters),
            area: words.iter().map(|word| word.area).reduce(Area::with),
        }
    }
}

/// A cue for each event, of what was read for light or for dark letters.
pub(super) fn chosen(events: &[Event], words: &[Word]) -> Vec<Cue> {
    let mut readings: BTreeMap<(i64, Letters), Vec<&Word>> = BTreeMap::new();
    for word in words {
        readings.entry((word.start_ms, word.letters)).or_default().push(word);
    }
    let of_all = |letters| mean(words.iter().filter(|word| word.letters == letters));
    let usual = Letters::BOTH
        .into_iter()
        .filter_map(|letters| Some((of_all(letters)?, letters)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, letters)| letters);
    let cue = |event: &Event| {
        let score = |letters| {
            let words = readings.get(&(event.start_ms, letters))?;
            let more = if Some(letters) == usual { MORE_LEGIBLE } else { 0.0 };
            Some((mean(words.iter().copied())? + more, words))
        };
        let best = Letters::BOTH.into_iter().filter_map(score).max_by(|(a, _), (b, _)| a.total_cmp(b));
        Cue::of(*event, best.map_or(&[], |(_, words)| words))
    };
    events.iter().map(cue).collect()
}

/// How sure tesseract is of words; `None` where there are none.
fn mean<'a>(words: impl Iterator<Item = &'a Word>) -> Option<f64> {
    let (sum, count) = words.fold((0.0, 0u32), |(sum, count), word| (sum + word.confidence, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Letters::{Dark, Light};

    fn word(letters: Letters, start_ms: i64, line: u32, confidence: f64, text: &str) -> Word {
        let area = Area { left: 10 * line, top: 0, right: 10 * line + 5, bottom: 7 };
        Word { letters, start_ms, line: [1, 1, line], confidence, area, text: text.into() }
    }

    fn event(start_ms: i64) -> Event {
        Event { start_ms, end_ms: start_ms + 1000 }
    }

    #[test]
    fn letters_are_as_in_most_of_the_track_unless_they_are_plainly_not() {
        let words = [
            word(Light, 0, 1, 95.0, "usual"),
            word(Dark, 0, 1, 30.0, "noise"),
            word(Light, 1000, 1, 70.0, "still"),
            word(Dark, 1000, 1, 89.0, "not plainly"),
            word(Light, 2000, 1, 70.0, "noise"),
            word(Dark, 2000, 1, 91.0, "plainly"),
            word(Dark, 3000, 1, 10.0, "only"),
        ];
        let cues = chosen(&[0, 1000, 2000, 3000, 4000].map(event), &words);
        let read: Vec<_> = cues.iter().map(|cue| (cue.text.as_str(), cue.letters)).collect();
        assert_eq!(
            read,
            [("usual", Light), ("still", Light), ("plainly", Dark), ("only", Dark), ("", Light)]
        );
        assert_eq!((cues[4].confidence, cues[4].area), (0, None));
        assert_eq!((cues[1].start_ms, cues[1].end_ms), (1000, 2000));
    }

    #[test]
    fn a_cue_is_as_sure_as_its_worst_word() {
        let words = [
            word(Light, 0, 2, 96.0, "down"),
            word(Light, 0, 10, 99.0, "below"),
            word(Light, 0, 1, 59.6, "Two"),
            word(Light, 0, 1, 90.0, "words"),
        ];
        let [cue] = &chosen(&[event(0)], &words)[..] else { panic!("not one cue") };
        assert_eq!((cue.text.as_str(), cue.confidence), ("Two words\ndown\nbelow", 60));
        assert_eq!(cue.area, Some(Area { left: 10, top: 0, right: 105, bottom: 7 }));
        assert!(!cue.is_doubtful());
        let json = serde_json::to_value(cue).unwrap();
        let whole = serde_json::json!({ "start_ms": 0, "end_ms": 1000, "text": cue.text, "confidence": 60 });
        assert_eq!(json, whole);
    }
}
