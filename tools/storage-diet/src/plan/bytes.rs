//! What an option keeps on the disk, and when: the arithmetic that a plan does beforehand and a report afterwards.

use super::shape::Shape;

/// Bytes a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of the pre-mezzanine.
    pub pre: f64,
    /// Of the upscaled mezzanine.
    pub mezz: f64,
    /// Of the film's pictures, encoded.
    pub video: f64,
    /// Of all else in the film.
    pub sound: f64,
}

/// Segments, as seg-sink makes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segments {
    /// Frames in one.
    pub frames: u64,
    /// How many are encoded at once.
    pub jobs: u64,
    /// How long it takes to encode a mezzanine's frame, in the time that writing one takes: the longer, the more mezzanines
    /// pile up, until seg-sink lets the network wait.
    pub lag: f64,
    /// Frames that come at a time.
    pub window: u64,
}

impl Segments {
    /// The lag of an encoder that always is the slower one.
    pub const SLOWEST: f64 = 1e6;
}

/// Bytes on the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes {
    /// The most at once.
    pub peak: f64,
    /// The most of the pre-mezzanine.
    pub pre: f64,
    /// The most of the upscaled mezzanine.
    pub mezz: f64,
    /// The finished film.
    pub film: f64,
}

/// What `frames` frames of an option take.
///
/// Three moments can be the worst: the encode, when mezzanines and film are there; the joining of segments, when they and the
/// joined pictures are; the muxing, when the pictures, the sound and the film made of both are. A pre-mezzanine begins
/// `context` frames early, with what the first window looks at.
pub fn on_disk(shape: &Shape, frames: u64, rates: Rates, segments: Segments, context: u64) -> Bytes {
    let of = |rate: f64, frames: u64| rate * frames as f64;
    let (pre, video) = (of(rates.pre, frames + context), of(rates.video, frames));
    let film = video + of(rates.sound, frames);
    let (mezz, encode, join) = if shape.segmented {
        let (mezz, encode) = in_segments(frames, rates, segments);
        (mezz, encode, pre + 2.0 * video)
    } else {
        let mezz = of(rates.mezz, frames);
        (mezz, mezz + video, 0.0)
    };
    Bytes { peak: (pre + encode).max(join).max(2.0 * film), pre, mezz, film }
}

/// The most bytes of mezzanines, and of these and the film, while seg-sink makes one of the others.
///
/// It deletes a mezzanine when the segment made of it is whole, so that right before is when most is there. It lets one more be
/// made than are encoded at once. Time is counted in frames written. As these come window by window, half a window less is
/// there in the mean.
fn in_segments(frames: u64, rates: Rates, segments: Segments) -> (f64, f64) {
    let (length, jobs) = (segments.frames, segments.jobs as usize);
    let count = frames.div_ceil(length) as usize;
    let starts: Vec<f64> = (0..count as u64).map(|i| (i * length) as f64).collect();
    let ends: Vec<f64> = starts.iter().skip(1).copied().chain([frames as f64]).collect();
    let (mut written, mut done) = (Vec::<f64>::new(), Vec::<f64>::new());
    for i in 0..count {
        let freed = if i > jobs { done[i - jobs - 1] } else { 0.0 };
        let began = written.last().map_or(0.0, |w| w.max(freed));
        written.push(began + ends[i] - starts[i]);
        let encoder = if i >= jobs { done[i - jobs] } else { 0.0 };
        done.push(written[i].max(encoder) + (ends[i] - starts[i]) * segments.lag);
    }
    let (mut mezz, mut peak) = (0.0f64, 0.0f64);
    for (i, &now) in done.iter().enumerate() {
        // How far the writing has come by then: past this segment, or into one of the next.
        let reached = (i + 1..count.min(i + jobs + 1)).map(|k| {
            let by_now = ends[k] - written[k] + now - segments.window as f64 / 2.0;
            if written[k] <= now {
                ends[k]
            } else if by_now > starts[k] {
                by_now
            } else {
                0.0
            }
        });
        let furthest = reached.fold(ends[i], f64::max);
        let there = rates.mezz * (furthest - starts[i]);
        mezz = mezz.max(there);
        peak = peak.max(there + rates.video * ends[i]);
    }
    (mezz, peak)
}
