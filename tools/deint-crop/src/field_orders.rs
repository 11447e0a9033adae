//! `--field-orders`: which field of each frame came first, where the stream cannot say it.
//!
//! A YUV4MPEG2 header has one field order for all frames, and ffmpeg, which knows it of each frame, writes no other. A
//! list does: a JSON line for each run of frames of one order, as `{"first_frame":15,"field_order":"bb"}`. A run lasts
//! until the next one begins, the last one as long as the film.

use cli::{Error, Result};
use rawstream::FieldOrder;
use serde_json::{Value, json};
use std::{fmt, path::Path, str::FromStr};

/// The field order of every frame from frame 0 on. Written and read as the list, and collected from the frames' orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOrders {
    /// First frames, rising from 0, with orders that differ from one to the next.
    runs: Vec<(u64, FieldOrder)>,
}

impl FieldOrders {
    /// Reads a list.
    ///
    /// Errors: the file cannot be read, or is no list; the error has the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path.display(), &e))?;
        text.parse().map_err(|why: String| Error::failed(path.display(), why))
    }

    /// That of a frame.
    pub fn of(&self, frame: u64) -> FieldOrder {
        let after = self.runs.partition_point(|&(first, _)| first <= frame);
        self.runs[after - 1].1
    }
}

/// Of the frames of a film, from its first one on; of a film without frames nothing is known.
impl FromIterator<FieldOrder> for FieldOrders {
    fn from_iter<I: IntoIterator<Item = FieldOrder>>(frames: I) -> Self {
        let mut runs: Vec<(u64, FieldOrder)> = Vec::new();
        for (n, order) in (0..).zip(frames) {
            if runs.last().is_none_or(|&(_, before)| before != order) {
                runs.push((n, order));
            }
        }
        if runs.is_empty() {
            runs.push((0, FieldOrder::Progressive));
        }
        Self { runs }
    }
}

impl fmt::Display for FieldOrders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (first, order) in &self.runs {
            writeln!(f, "{}", json!({ "first_frame": first, "field_order": order.to_string() }))?;
        }
        Ok(())
    }
}

impl FromStr for FieldOrders {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (mut runs, mut before): (Vec<(u64, FieldOrder)>, _) = (Vec::new(), None);
        for (n, line) in (1..).zip(text.lines()) {
            let run: Value = serde_json::from_str(line).unwrap_or_default();
            let (Some(first), Some(order)) = (run["first_frame"].as_u64(), run["field_order"].as_str())
            else {
                return Err(format!(
                    r#"line {n}: not a run of frames, as {{"first_frame":0,"field_order":"tt"}}"#
                ));
            };
            let order = order.parse().map_err(|why| format!("line {n}: no field order `{order}`; {why}"))?;
            match before {
                None if first > 0 => {
                    return Err(format!("line {n}: begins at frame {first}; nothing is said of frame 0"));
                }
                Some(before) if first <= before => {
                    return Err(format!("line {n}: frame {first} does not come after frame {before}"));
                }
                _ => before = Some(first),
            }
            if runs.last().is_none_or(|&(_, last)| last != order) {
                runs.push((first, order));
            }
        }
        if runs.is_empty() {
            return Err("is empty; it needs a line for each run of frames".into());
        }
        Ok(Self { runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FieldOrder::{Bff, Progressive, Tff};
    use proptest::prelude::*;

    proptest! {
        /// What is collected, written and read says of each frame what it was.
        #[test]
        fn every_frame_keeps_its_order(
            frames in prop::collection::vec(prop::sample::select(vec![Tff, Bff, Progressive]), 1..60),
        ) {
            let list: FieldOrders = frames.iter().copied().collect();
            let read: FieldOrders = list.to_string().parse().unwrap();
            prop_assert_eq!(&read, &list);
            for (n, &order) in (0..).zip(&frames) {
                prop_assert_eq!(read.of(n), order);
            }
            prop_assert_eq!(read.of(u64::MAX), frames[frames.len() - 1]);
        }
    }

    #[test]
    fn what_is_no_list_is_named() {
        let run =
            |first: u64, order: &str| format!("{{\"first_frame\":{first},\"field_order\":\"{order}\"}}\n");
        for (text, why) in [
            (String::new(), "is empty; it needs a line for each run of frames"),
            (run(3, "tt"), "line 1: begins at frame 3; nothing is said of frame 0"),
            (run(0, "tt") + &run(0, "bb"), "line 2: frame 0 does not come after frame 0"),
            (run(0, "tt") + &run(9, "tt") + &run(4, "bb"), "line 3: frame 4 does not come after frame 9"),
            (run(0, "tb"), "line 1: no field order `tb`; there are progressive, tt and bb"),
            (
                run(0, "tt") + "\n" + &run(4, "bb"),
                r#"line 2: not a run of frames, as {"first_frame":0,"field_order":"tt"}"#,
            ),
            ("0 tt".into(), r#"line 1: not a run of frames, as {"first_frame":0,"field_order":"tt"}"#),
        ] {
            assert_eq!(text.parse::<FieldOrders>(), Err(why.into()), "{text}");
        }
    }
}
