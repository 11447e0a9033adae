//! A plan, as it is printed and as it is kept.

use super::{
    model::{Model, Row, Spread},
    shape::Shape,
};
use crate::{
    progress::{clock, size},
    variables::RATE,
};
use cli::Error;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A finished plan: `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The film.
    pub source: String,
    /// Frames of it that are asked about.
    pub frames: u64,
    /// Frames that the plan is made from.
    pub sampled_frames: u64,
    /// The network's picture, `WxH`.
    pub enlarged: String,
    /// Frames before the first that a pre-mezzanine begins with.
    pub context: u64,
    /// Bytes that are free where the plan was made.
    pub free_bytes: u64,
    /// The machine, as reports name theirs.
    pub machine: String,
    /// The share of the processors that other work had meanwhile.
    pub elsewhere: f64,
    /// Runs that count.
    pub earlier: Vec<Span>,
    /// What each option takes for all of it.
    pub options: Vec<Row>,
    /// And for its first five minutes.
    pub five_minutes: Vec<Row>,
    /// The option to take.
    pub recommended: String,
    /// Why.
    pub reason: String,
}

/// An earlier run, in the plan's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which option was run.
    pub option: String,
    /// On which frames: from this one on.
    pub first_frame: u64,
    /// And so many.
    pub frames: u64,
}

/// Where a plan was made, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Circumstances {
    /// The film.
    pub source: String,
    /// The network's picture, `WxH`.
    pub enlarged: String,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// The machine, as reports name theirs.
    pub machine: String,
    /// The share of the processors that other work had meanwhile.
    pub elsewhere: f64,
}

impl Plan {
    /// The plan that a model makes; `None` where it covers no option.
    pub fn new(model: &Model, here: Circumstances) -> Option<Self> {
        let options = model.whole();
        let (recommended, reason) = recommend(&options, here.free_bytes)?;
        let span = |run: &super::earlier::Run| Span {
            option: run.option.clone(),
            first_frame: run.first_frame,
            frames: run.frames,
        };
        Some(Self {
            source: here.source,
            frames: model.request().work.frames,
            sampled_frames: model.sampled_frames(),
            enlarged: here.enlarged,
            context: model.request().context,
            free_bytes: here.free_bytes,
            machine: here.machine,
            elsewhere: here.elsewhere,
            earlier: model.earlier().iter().map(span).collect(),
            options,
            five_minutes: model.of_frames(5 * 60 * RATE),
            recommended,
            reason,
        })
    }

    /// What is printed of it. `shapes` are all options that there are; of those that cannot be run here, `cannot` says why.
    pub fn text(&self, shapes: &[Shape], cannot: &[(String, Error)], cores: usize) -> String {
        let free = size(self.free_bytes);
        let mut blocks = vec![format!(
            "{}: {} frames, {} of them sampled; {free} free, {cores} cores\n",
            self.source, self.frames, self.sampled_frames
        )];
        for Span { option, first_frame, frames } in &self.earlier {
            blocks[0] += &format!(
                "{option} was run on {frames} frames from film frame {first_frame} on, which counts\n"
            );
        }
        let title = format!("All of it, {}", clock(self.frames as f64 / RATE as f64));
        blocks.push(table(&title, &self.options, shapes, self.free_bytes));
        blocks.push(table("Five minutes of it", &self.five_minutes, shapes, self.free_bytes));
        blocks.extend(cannot.iter().map(|(option, why)| format!("{option}: {why}\n")));
        if self.elsewhere > 0.05 {
            blocks.push(format!(
                "Other work had {:.0}% of the processors meanwhile: the times are off by as much, or more.\n",
                100.0 * self.elsewhere
            ));
        }
        blocks.push(format!("make {}: {}.", self.recommended, self.reason));
        blocks.join("\n")
    }
}

fn table(title: &str, rows: &[Row], shapes: &[Shape], free: u64) -> String {
    let mut text = format!("{title}\n\n");
    let mut line = |[option, pre, mezz, film, peak, peaks, time, times, fits]: [&str; 9]| {
        let _ = writeln!(
            text,
            "  {option:<16} {pre:>9} {mezz:>9} {film:>9} {peak:>9}   {peaks:<20} {time:>9}   {times:<20} {fits}"
        );
    };
    line([
        "option",
        "pre",
        "mezzanine",
        "film",
        "peak",
        "range of the peak",
        "time",
        "range of the time",
        "fits",
    ]);
    for row in rows {
        let file = |bytes: Option<Spread<u64>>| bytes.map_or("-".into(), |b| size(b.expected));
        let alias =
            shapes.iter().find(|shape| shape.name == row.option).and_then(|shape| shape.alias.as_ref());
        let name = alias.map_or(row.option.clone(), |alias| format!("{} ({alias})", row.option));
        let (peak, wall) = (row.peak_bytes.map(size), row.wall_s.map(clock));
        let fits = match row.peak_bytes {
            Spread { high, .. } if high <= free => "yes",
            Spread { low, .. } if low <= free => "perhaps",
            _ => "no",
        };
        line([
            &name,
            &file(row.files_bytes.pre),
            &file(row.files_bytes.mezz),
            &file(row.files_bytes.film),
            &peak.expected,
            &format!("{} to {}", peak.low, peak.high),
            &wall.expected,
            &format!("{} to {}", wall.low, wall.high),
            fits,
        ]);
    }
    text
}

/// The option to take, and why; `None` when there is none.
fn recommend(rows: &[Row], free: u64) -> Option<(String, String)> {
    let free_size = size(free);
    let safe: Vec<_> = rows.iter().filter(|row| row.peak_bytes.high <= free).collect();
    let Some(quickest) = safe.iter().map(|row| row.wall_s.expected).min_by(f64::total_cmp) else {
        let least = rows.iter().min_by_key(|row| row.peak_bytes.high)?;
        let needed = size(least.peak_bytes.high);
        let reason =
            format!("it takes the least disk, but may need {needed} of the {free_size} that are free");
        return Some((least.option.clone(), reason));
    };
    let quick = safe.iter().filter(|row| row.wall_s.expected <= 1.1 * quickest);
    let best = quick.min_by_key(|row| row.peak_bytes.expected)?;
    let reason = format!(
        "of those that surely fit into the {free_size} that are free, none is more than 10 % quicker, and of the quick ones it \
         takes the least disk"
    );
    Some((best.option.clone(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        model::{
            Files,
            tests::{recorded, request},
        },
        shape::tests::shapes,
        time::Measured,
    };

    fn plan(free_bytes: u64, elsewhere: f64) -> Plan {
        let model = Model::new(Measured::new(recorded()), &shapes(), Vec::new(), request(300, 50, 1));
        let here = Circumstances {
            source: "/a film.mkv".into(),
            enlarged: "256x256".into(),
            free_bytes,
            machine: "this one".into(),
            elsewhere,
        };
        Plan::new(&model, here).unwrap()
    }

    #[test]
    fn a_plan_is_printed() {
        let mut plan = plan(3_000_000, 0.25);
        plan.options.truncate(4);
        plan.five_minutes.truncate(1);
        plan.earlier.push(Span { option: "option4".into(), first_frame: 7, frames: 9 });
        let cannot = [("option3".to_owned(), Error::failed("MEZZ=nvenc", "this machine cannot"))];
        let text = plan.text(&shapes(), &cannot, 2);
        assert_eq!(text, TEXT);
    }

    const TEXT: &str = "\
/a film.mkv: 300 frames, 144 of them sampled; 3.0 MB free, 2 cores
option4 was run on 9 frames from film frame 7 on, which counts

All of it, 0:00:12

  option                 pre mezzanine      film      peak   range of the peak         time   range of the time    fits
  option0           668.5 kB    8.4 MB    1.0 MB    9.4 MB   9.3 MB to 9.4 MB       0:00:10   0:00:09 to 0:00:10   no
  option1           473.6 kB    8.4 MB    1.0 MB    9.2 MB   9.1 MB to 9.2 MB       0:00:10   0:00:09 to 0:00:10   no
  option2                  -    8.4 MB  982.8 kB    8.7 MB   8.5 MB to 8.7 MB       0:00:09   0:00:08 to 0:00:09   no
  option3 (tight)          -    3.2 MB  982.8 kB    3.5 MB   3.4 MB to 3.5 MB       0:00:12   0:00:11 to 0:00:13   no

Five minutes of it

  option                 pre mezzanine      film      peak   range of the peak         time   range of the time    fits
  option0            16.7 MB    210 MB   25.4 MB    234 MB   231 MB to 235 MB       0:03:15   0:03:00 to 0:03:32   no

option3: MEZZ=nvenc: this machine cannot

Other work had 25% of the processors meanwhile: the times are off by as much, or more.

make option4: of those that surely fit into the 3.0 MB that are free, none is more than 10 % quicker, and of the quick ones it takes the least disk.";

    #[test]
    fn a_plan_is_json() {
        let plan = plan(3_000_000, 0.0);
        let json = serde_json::to_value(&plan).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "source",
                "frames",
                "sampled_frames",
                "enlarged",
                "context",
                "free_bytes",
                "machine",
                "elsewhere",
                "earlier",
                "options",
                "five_minutes",
                "recommended",
                "reason"
            ]
        );
        assert_eq!(
            json["options"][4]["files_bytes"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["final"]
        );
        assert_eq!(serde_json::from_value::<Plan>(json).unwrap(), plan);
    }

    fn row(option: &str, peak: u64, seconds: f64) -> Row {
        let (peak_bytes, wall_s) = (
            Spread { low: peak / 2, expected: peak, high: 2 * peak },
            Spread { low: seconds, expected: seconds, high: seconds },
        );
        let files_bytes = Files { pre: None, mezz: None, film: None };
        Row { option: option.into(), peak_bytes, files_bytes, wall_s, lag: None }
    }

    #[test]
    fn of_the_quick_ones_that_fit_the_smallest_is_recommended() {
        let rows = [row("large", 900, 100.0), row("small", 300, 109.0), row("slow", 100, 111.0)];
        let best = |free| recommend(&rows, free).unwrap();
        assert_eq!(best(2000).0, "small");
        assert_eq!(best(599).0, "slow");
        let (option, reason) = best(150);
        assert_eq!(option, "slow");
        assert_eq!(reason, "it takes the least disk, but may need 0.2 kB of the 0.1 kB that are free");
        assert_eq!(recommend(&[], 1), None);
    }
}
