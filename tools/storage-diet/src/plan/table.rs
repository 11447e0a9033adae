//! A plan, as it is printed and as it is kept.

use super::{
    FPS,
    model::{Model, Row, Spread},
    shape::Shape,
};
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
            five_minutes: model.of_frames(5 * 60 * FPS as u64),
            recommended,
            reason,
        })
    }

    /// What is printed of it. `shapes` are all options that there are, also those that could not be planned here.
    pub fn text(&self, shapes: &[Shape], cores: usize) -> String {
        let free = size(self.free_bytes as f64);
        let mut blocks = vec![format!(
            "{}: {} frames, {} of them sampled; {free} free, {cores} cores\n",
            self.source, self.frames, self.sampled_frames
        )];
        for Span { option, first_frame, frames } in &self.earlier {
            blocks[0] += &format!(
                "{option} was run on {frames} frames from film frame {first_frame} on, which counts\n"
            );
        }
        let title = format!("All of it, {}", clock(self.frames as f64 / FPS as f64));
        blocks.push(table(&title, &self.options, shapes, self.free_bytes));
        blocks.push(table("Five minutes of it", &self.five_minutes, shapes, self.free_bytes));
        for shape in shapes.iter().filter(|shape| self.options.iter().all(|row| row.option != shape.name)) {
            blocks.push(format!(
                "{}: this machine has not the encoder; MEZZ=x265 is the other one\n",
                shape.name
            ));
        }
        if self.elsewhere > 0.05 {
            blocks.push(format!(
                "Other work had {:.0}% of the processors meanwhile: the times are off by as much, or more.\n",
                100.0 * self.elsewhere
            ));
        }
        blocks.push(format!("make {}: {}.\n", self.recommended, self.reason));
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
        let file = |bytes: Option<Spread<u64>>| bytes.map_or("-".into(), |b| size(b.expected as f64));
        let alias =
            shapes.iter().find(|shape| shape.name == row.option).and_then(|shape| shape.alias.as_ref());
        let name = alias.map_or(row.option.clone(), |alias| format!("{} ({alias})", row.option));
        let (peak, wall) = (row.peak_bytes.map(|bytes| size(bytes as f64)), row.wall_s.map(clock));
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
    let free_size = size(free as f64);
    let safe: Vec<_> = rows.iter().filter(|row| row.peak_bytes.high <= free).collect();
    let Some(quickest) = safe.iter().map(|row| row.wall_s.expected).min_by(f64::total_cmp) else {
        let least = rows.iter().min_by_key(|row| row.peak_bytes.high)?;
        let needed = size(least.peak_bytes.high as f64);
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

/// A number of bytes, as one says it: `35.1 MB`, `282 GB`.
pub fn size(bytes: f64) -> String {
    for (unit, scale) in [("TB", 1e12), ("GB", 1e9), ("MB", 1e6)] {
        if bytes >= scale {
            let places = if bytes >= 100.0 * scale { 0 } else { 1 };
            return format!("{:.places$} {unit}", bytes / scale);
        }
    }
    format!("{:.1} kB", bytes / 1e3)
}

/// Seconds as hours, minutes and seconds: `1:02:03`.
pub fn clock(seconds: f64) -> String {
    let s = seconds.round_ties_even() as u64;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
