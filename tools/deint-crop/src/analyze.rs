//! `--analyze`: what the whole film shows of its fields, its bars, its pixel aspect and its range, with the evidence.
//!
//! Every frame is looked at, and a verdict is given only where the frames carry it; otherwise it is null.

use crate::{
    bars::{Bars, Crops, Outside},
    geometry::square_width,
    luma::Luma,
};
use rawstream::{FieldOrder, VideoFormat};
use resample::Rect;
use serde_json::{Value, json};
use simd::Level;
use timebase::Rational;

/// How the fields of a frame go with those of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weave {
    /// Undecided: too little moves.
    Unclear,
    /// Both fields of the frame are of one moment.
    Aligned,
    /// Its top field goes with the next frame's bottom field.
    BottomLate,
    /// Its bottom field goes with the next frame's top field.
    TopLate,
    /// No two fields are of one moment: video.
    Interlaced,
}

/// How much each way to weave two fields is combed.
#[derive(Clone, Copy, Debug)]
pub struct Combs {
    /// The frame as it is.
    pub own: u64,
    /// Its top field with the next frame's bottom field.
    pub bottom_late: u64,
    /// Its bottom field with the next frame's top field.
    pub top_late: u64,
}

impl Combs {
    /// Measures a frame and the one after it.
    pub fn of(luma: &Luma, frame: &[u8], next: &[u8]) -> Self {
        let ((own, bottom_late), top_late) = rayon::join(
            || rayon::join(|| luma.comb(frame, frame), || luma.comb(frame, next)),
            || luma.comb(next, frame),
        );
        Self { own, bottom_late, top_late }
    }

    /// The verdict on a frame that is visibly `combed` or not. `samples` are those of the luma plane.
    pub fn weave(self, samples: usize, combed: bool) -> Weave {
        let Self { own, bottom_late, top_late } = self;
        let (least, most) = (own.min(bottom_late).min(top_late), own.max(bottom_late).max(top_late));
        // Motion that combs is at least a fiftieth of a code value on the average sample, and stands out from what grain
        // and fine detail add to all three.
        if (most - least) * 50 < samples as u64 || (most - least) * 2 < least {
            return Weave::Unclear;
        }
        // Fields of one moment are woven without combs, so that the two other ways lie far off: as far as each other, or,
        // out of phase, one of them at half the distance. In video the two nearest fields are equally near on both sides,
        // and those of a frame are among them: else what looks combed is stripes.
        let clear = |best: u64, others: [u64; 2], part: u64| {
            others.iter().all(|&o| o.saturating_sub(best) * part > most - least)
        };
        if clear(own, [bottom_late, top_late], 2) {
            Weave::Aligned
        } else if clear(bottom_late, [own, top_late], 3) {
            Weave::BottomLate
        } else if clear(top_late, [own, bottom_late], 3) {
            Weave::TopLate
        } else if combed && own < most {
            Weave::Interlaced
        } else {
            Weave::Unclear
        }
    }
}

/// What was seen so far.
pub struct Analysis {
    luma: Luma,
    format: VideoFormat,
    frames: u64,
    combed: u64,
    /// Frames by [`Weave`], in the order of its variants.
    weaves: [u64; 5],
    /// Interlaced frames whose fields follow each other top first, and bottom first.
    top_first: u64,
    bottom_first: u64,
    bars: Bars,
    histogram: [u64; 256],
}

impl Analysis {
    /// Of a film of `format`; `None` for RGB.
    pub fn new(format: &VideoFormat) -> Option<Self> {
        let luma = Luma::of(format, Level::best())?;
        Some(Self {
            luma,
            format: format.clone(),
            frames: 0,
            combed: 0,
            weaves: [0; 5],
            top_first: 0,
            bottom_first: 0,
            bars: Bars::new(format)?,
            histogram: [0; 256],
        })
    }

    /// Takes in a frame and, unless it is the last one, the one after it.
    pub fn add(&mut self, frame: &[u8], next: Option<&[u8]>) {
        self.frames += 1;
        let luma = self.luma;
        let (fields, combed) =
            rayon::join(|| next.map(|next| Combs::of(&luma, frame, next)), || luma.is_combed(frame));
        if let Some(combs) = fields {
            let weave = combs.weave(luma.width * luma.height, combed);
            self.weaves[weave as usize] += 1;
            // Fine stripes look combed too; only what another weave would mend, or what moves, is.
            self.combed += u64::from(combed && !matches!(weave, Weave::Aligned | Weave::Unclear));
            // Fields that follow each other directly lie closer together than those three fields apart.
            if weave == Weave::Interlaced {
                self.top_first += u64::from(combs.top_late * 5 < combs.bottom_late * 4);
                self.bottom_first += u64::from(combs.bottom_late * 5 < combs.top_late * 4);
            }
        }
        self.bars.add(frame);
        for y in (0..luma.height).step_by(8) {
            luma.histogram(frame, y, &mut self.histogram);
        }
    }

    /// The verdicts and their evidence; the crop is given for a picture scaled to `scaled`.
    pub fn verdict(&self, scaled: (usize, usize)) -> Value {
        let format = &self.format;
        let [unclear, aligned, bottom_late, top_late, interlaced] = self.weaves;
        let moving = aligned + bottom_late + top_late + interlaced;
        // Nine of ten frames that show anything must agree, and ten of them at least.
        let agree = |n: u64, of: u64| n >= 10 && n * 10 >= of * 9;
        let field_order = if agree(aligned, moving) {
            Some(FieldOrder::Progressive)
        } else if agree(self.top_first, self.top_first + self.bottom_first) {
            Some(FieldOrder::Tff)
        } else if agree(self.bottom_first, self.top_first + self.bottom_first) {
            Some(FieldOrder::Bff)
        } else {
            None
        };
        let phase = [
            ("aligned", aligned),
            ("bottom_late", bottom_late),
            ("top_late", top_late),
            ("interlaced", interlaced),
        ];
        let phase = phase.into_iter().find(|&(_, n)| agree(n, moving)).map(|(name, _)| name);
        let crops = self.bars.crops();
        let show = |r: Rect| format!("{}:{}:{}:{}", r.width, r.height, r.x, r.y);
        let crop = |of: fn(&Crops) -> Rect| match &crops {
            Some(crops) => show(in_scaled(of(crops), (format.width, format.height), scaled)),
            None => "none".into(),
        };
        let picture = crops.as_ref().map(|c| c.loose);
        let ratio = |r: Rational| format!("{}:{}", r.num(), r.den());
        json!({
            "width": format.width,
            "height": format.height,
            "pix_fmt": format.pix_fmt.name(),
            "r_frame_rate": format.rate.map(Rational::fraction),
            "nb_frames": self.frames,
            "field_order": field_order.map(|o| o.to_string()),
            "field_order_evidence": {
                "said": format.field_order.map(|o| o.to_string()),
                "top_first_frames": self.top_first,
                "bottom_first_frames": self.bottom_first,
                "progressive_frames": aligned,
            },
            "combed_frames": self.combed,
            "phase": phase,
            "phase_evidence": {
                "unclear_frames": unclear,
                "aligned_frames": aligned,
                "bottom_late_frames": bottom_late,
                "top_late_frames": top_late,
                "interlaced_frames": interlaced,
            },
            "crop": crop(|c| c.loose),
            "auto_crop": crop(|c| c.auto),
            "tight_crop": crop(|c| c.tight),
            "crop_evidence": {
                "scale": format!("{}x{}", scaled.0, scaled.1),
                "picture": picture.map(show),
                "auto_picture": crops.as_ref().map(|c| show(c.auto)),
                "tight_picture": crops.as_ref().map(|c| show(c.tight)),
                "outside_tight": crops.iter().flat_map(|c| &c.outside).map(Outside::value).collect::<Vec<_>>(),
                "frames_with_picture": self.bars.frames_with_picture(),
                "edge_frames": picture.map(|p| json!({
                    "left": self.bars.column(p.x),
                    "right": self.bars.column(p.x + p.width - 1),
                    "top": self.bars.row(p.y),
                    "bottom": self.bars.row(p.y + p.height - 1),
                })),
            },
            "sample_aspect_ratio": format.sar.map(ratio),
            "sample_aspect_ratio_candidates": self.aspects(crops.as_ref().map(|c| c.auto.width)),
            "color_range": self.range(),
            "color_range_evidence": {
                "said": format.color_range.map(|r| r.to_string()),
                "lowest": self.percentile(0.0),
                "dark": self.percentile(0.001),
                "bright": self.percentile(0.999),
                "highest": self.percentile(1.0),
            },
        })
    }

    /// The luma, in 8-bit code values, below which this part of the samples lies.
    fn percentile(&self, part: f64) -> Option<usize> {
        let all: u64 = self.histogram.iter().sum();
        let wanted = (all as f64 * part).ceil().max(1.0) as u64;
        let mut sum = 0;
        self.histogram.iter().position(|&n| {
            sum += n;
            sum >= wanted
        })
    }

    /// Limited range has its black at 16 and its white at 235; a thousandth of the samples may shoot over.
    fn range(&self) -> Option<&'static str> {
        let (dark, bright) = (self.percentile(0.001)?, self.percentile(0.999)?);
        if dark < 8 || bright > 247 {
            Some("pc")
        } else if (13..=20).contains(&dark) && bright <= 240 {
            Some("tv")
        } else {
            None
        }
    }

    /// What the pixel aspect may be: for 576 and 480 lines by the width that the picture has, if any.
    fn aspects(&self, filled: Option<usize>) -> Vec<Value> {
        let format = &self.format;
        // (wide-screen, 4:3) of the whole 720 or 704 samples being the picture, and of the 702.9 or 710.9 of BT.601.
        let (generic, itu) = match (format.width, format.height) {
            (720, 576) => ([(64, 45), (16, 15)], [(16, 11), (12, 11)]),
            (704, 576) => ([(16, 11), (12, 11)], [(16, 11), (12, 11)]),
            (720, 480) => ([(32, 27), (8, 9)], [(40, 33), (10, 11)]),
            (704, 480) => ([(40, 33), (10, 11)], [(40, 33), (10, 11)]),
            _ => return Vec::new(),
        };
        let mut all: Vec<Value> = Vec::new();
        for (pairs, active) in [(generic, format.width), (itu, 704)] {
            for (pair, display) in pairs.into_iter().zip(["16:9", "4:3"]) {
                let Some(sar) = Rational::new(pair.0, pair.1) else { continue };
                let name = format!("{}:{}", pair.0, pair.1);
                if all.iter().any(|c| c["sample_aspect_ratio"] == name.as_str()) {
                    continue;
                }
                all.push(json!({
                    "sample_aspect_ratio": name,
                    "display_aspect_ratio": display,
                    "active_width": active,
                    "scaled_width": square_width(format.width, sar),
                    "said": format.sar == Some(sar),
                    "picture_fits": filled.map(|w| w <= active),
                }));
            }
        }
        all
    }
}

/// The rectangle of a picture scaled from `from` to `to` that holds `rect`, its edges moved outward to even numbers.
fn in_scaled(rect: Rect, from: (usize, usize), to: (usize, usize)) -> Rect {
    let axis = |start: usize, length: usize, from: usize, to: usize| {
        let first = start * to / from / 2 * 2;
        let end = ((start + length) * to).div_ceil(from).next_multiple_of(2).min(to);
        (first, end - first)
    };
    let (x, width) = axis(rect.x, rect.width, from.0, to.0);
    let (y, height) = axis(rect.y, rect.height, from.1, to.1);
    Rect { width, height, x, y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_grow_outward_to_even_numbers() {
        let rect = |width, height, x, y| Rect { width, height, x, y };
        let pal = |r| in_scaled(r, (720, 576), (1024, 576));
        assert_eq!(pal(rect(720, 432, 0, 72)), rect(1024, 432, 0, 72));
        assert_eq!(pal(rect(704, 431, 8, 73)), rect(1004, 432, 10, 72));
        assert_eq!(pal(rect(720, 576, 0, 0)), rect(1024, 576, 0, 0));
        assert_eq!(in_scaled(rect(1, 1, 0, 0), (3, 3), (3, 3)), rect(2, 2, 0, 0));
    }
}
