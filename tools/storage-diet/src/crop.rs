//! `CROP=auto`: what is taken of that which `deint-crop --analyze` finds of a film's bars, and what is said of it.

use serde::Deserialize;

/// The findings about bars; fields have the names that deint-crop(1) gives them.
#[derive(Clone, Debug, Deserialize)]
pub struct Findings {
    /// Columns of the film.
    pub width: u64,
    /// Its frames.
    pub nb_frames: u64,
    /// The crop to take; `none` where there never was any picture.
    pub auto_crop: String,
    /// The crop of the picture alone.
    pub tight_crop: String,
    /// What they rest on.
    pub crop_evidence: Evidence,
}

/// What the crops rest on.
#[derive(Clone, Debug, Deserialize)]
pub struct Evidence {
    /// What is beside the tight crop.
    pub outside_tight: Vec<Outside>,
}

/// Bright lines beside the tight crop.
#[derive(Clone, Debug, Deserialize)]
pub struct Outside {
    /// `top`, `bottom`, `left` or `right`.
    pub edge: String,
    /// The first row or column of the film.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Frames in which they are bright.
    pub frames: u64,
    /// Bright samples of a line, at most.
    pub samples: u64,
    /// The crop to take has them.
    pub counted: bool,
}

impl Findings {
    /// What the crop leaves out, and what a tighter one would; `None` where there is nothing to say.
    pub fn words(&self) -> Option<String> {
        let of = |counted: bool| -> Vec<&Outside> {
            self.crop_evidence.outside_tight.iter().filter(|lines| lines.counted == counted).collect()
        };
        let (kept, left) = (of(true), of(false));
        let mut words = self.auto_crop.clone();
        if !left.is_empty() {
            let is = if left.len() == 1 && left[0].first == left[0].last { "is" } else { "are" };
            words += &format!("; {} {is} not counted", self.list(&left));
        }
        if !kept.is_empty() && self.tight_crop != self.auto_crop {
            words += &format!("; CROP={} would lose {}", self.tight_crop, self.list(&kept));
        }
        (words != self.auto_crop).then_some(words)
    }

    /// The first three of them, and how many more there are.
    fn list(&self, all: &[&Outside]) -> String {
        let mut words: Vec<String> = all.iter().take(3).map(|lines| self.name(lines)).collect();
        if all.len() > 3 {
            words.push(format!("{} more", all.len() - 3));
        }
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{} and {last}", before.join(", ")),
            None => String::new(),
        }
    }

    /// As `row 0 (half a line, 48 of 48 frames)`.
    fn name(&self, lines: &Outside) -> String {
        let Outside { first, last, frames, samples, .. } = lines;
        let is_row = ["top", "bottom"].contains(&lines.edge.as_str());
        let kind = if is_row { "row" } else { "column" };
        let frames = format!("{frames} of {} frames", self.nb_frames);
        if first != last {
            return format!("{kind}s {first} to {last} ({frames})");
        }
        // Samples that are black now and then, as those of a signal are, make it less than half.
        let half = is_row && (3 * self.width..=5 * self.width).contains(&(8 * samples));
        format!("{kind} {first} ({}{frames})", if half { "half a line, " } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(auto: &str, tight: &str, outside: serde_json::Value) -> Option<String> {
        let found = json!({
            "width": 720, "nb_frames": 48, "auto_crop": auto, "tight_crop": tight,
            "crop_evidence": { "outside_tight": outside },
        });
        serde_json::from_value::<Findings>(found).unwrap().words()
    }

    #[test]
    fn what_is_left_out_is_said_and_what_could_be() {
        let lines = |edge: &str, first: u64, last: u64, samples: u64, counted: bool| {
            json!({
                "edge": edge, "first": first, "last": last, "frames": 48, "samples": samples, "level": 126,
                "counted": counted,
            })
        };
        let half = lines("top", 0, 0, 360, false);
        assert_eq!(words("1024:432:0:72", "1024:432:0:72", json!([])), None);
        assert_eq!(
            words("1024:432:0:72", "1024:432:0:72", json!([half])).unwrap(),
            "1024:432:0:72; row 0 (half a line, 48 of 48 frames) is not counted"
        );
        let more = json!([
            half,
            lines("bottom", 573, 575, 700, false),
            lines("left", 0, 0, 300, false),
            lines("right", 718, 719, 9, false),
        ]);
        assert_eq!(
            words("1024:432:0:72", "1024:432:0:72", more).unwrap(),
            "1024:432:0:72; row 0 (half a line, 48 of 48 frames), rows 573 to 575 (48 of 48 frames), column 0 (48 of 48 \
             frames) and 1 more are not counted"
        );
        assert_eq!(
            words("1024:470:0:72", "1024:432:0:72", json!([half, lines("bottom", 520, 541, 300, true)]))
                .unwrap(),
            "1024:470:0:72; row 0 (half a line, 48 of 48 frames) is not counted; CROP=1024:432:0:72 would lose rows \
             520 to 541 (48 of 48 frames)"
        );
        // Where rounding makes them the same, nothing would be gained.
        assert_eq!(words("1024:432:0:72", "1024:432:0:72", json!([lines("top", 72, 72, 9, true)])), None);
    }
}
