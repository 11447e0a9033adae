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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::shape::tests::shapes;
    use proptest::prelude::*;

    fn shape(name: &str) -> Shape {
        shapes().into_iter().find(|shape| shape.name == name).unwrap()
    }

    const RATES: Rates = Rates { pre: 10.0, mezz: 100.0, video: 3.0, sound: 1.0 };

    fn segments(jobs: u64, lag: f64) -> Segments {
        Segments { frames: 100, jobs, lag, window: 0 }
    }

    #[test]
    fn without_segments_everything_is_there_at_once() {
        let none = segments(1, Segments::SLOWEST);
        let bytes = on_disk(&shape("option0"), 1000, RATES, none, 8);
        assert_eq!(
            bytes,
            Bytes { peak: 10_080.0 + 100_000.0 + 3000.0, pre: 10_080.0, mezz: 100_000.0, film: 4000.0 }
        );
        // The mux has pictures and sound, and the film of both.
        let small = Rates { pre: 0.0, mezz: 1.0, ..RATES };
        assert_eq!(on_disk(&shape("option2"), 1000, small, none, 0).peak, 8000.0);
    }

    #[test]
    fn an_encoder_that_is_slower_has_one_mezzanine_more_than_it_encodes() {
        for jobs in [1, 3] {
            let bytes = on_disk(&shape("option5"), 1000, RATES, segments(jobs, Segments::SLOWEST), 0);
            assert_eq!(bytes.mezz, (jobs + 1) as f64 * 100.0 * RATES.mezz);
        }
        // One that is quick has done with a mezzanine before the next has come far.
        let quick = on_disk(&shape("option5"), 1000, RATES, segments(1, 0.1), 0);
        assert_eq!(quick.mezz, 110.0 * RATES.mezz);
    }

    #[test]
    fn segments_are_joined_beside_the_pre_mezzanine() {
        let rates = Rates { mezz: 0.1, ..RATES };
        let bytes = on_disk(&shape("recommended"), 1000, rates, segments(1, 1.0), 0);
        assert_eq!(bytes.peak, 10_000.0 + 2.0 * 3000.0);
    }

    proptest! {
        #[test]
        fn whatever_the_rates(
            frames in 1u64..3000, more in 0u64..3000, length in 1u64..500, jobs in 1u64..5, lag in 0.01f64..50.0, window in 0u64..100,
            pre in 0.0f64..1e6, mezz in 0.0f64..1e6, video in 0.0f64..1e6, sound in 0.0f64..1e6, context in 0u64..100,
        ) {
            let rates = Rates { pre, mezz, video, sound };
            let segments = Segments { frames: length, jobs, lag, window };
            for shape in shapes() {
                let rates = Rates { pre: shape.pre().map_or(0.0, |_| pre), mezz: shape.mezz().map_or(0.0, |_| mezz), ..rates };
                let is = on_disk(&shape, frames, rates, segments, context);
                for part in [is.pre, is.mezz, is.film] {
                    prop_assert!(is.peak >= part, "{} {is:?}", shape.name);
                }
                prop_assert!(is.mezz <= rates.mezz * frames as f64 * 1.000_001);
                if shape.segmented {
                    prop_assert!(is.mezz <= rates.mezz * ((jobs + 1) * length) as f64 * 1.000_001);
                    // The slowest encoder is the worst case.
                    let worst = Segments { lag: Segments::SLOWEST, window: 0, ..segments };
                    prop_assert!(on_disk(&shape, frames, rates, worst, context).peak >= is.peak * 0.999_999);
                } else {
                    let longer = on_disk(&shape, frames + more, rates, segments, context);
                    prop_assert!(longer.peak >= is.peak && longer.film >= is.film && longer.mezz >= is.mezz);
                }
            }
        }
    }
}
