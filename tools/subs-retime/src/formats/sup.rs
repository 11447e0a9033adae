//! Blu-ray's Presentation Graphic Stream: segments, each with a presentation and a decoding stamp of 32 bits at 90 kHz.

use super::{Broken, Found};
use crate::field::{Field, Role, Spelling};
use subpicture::pgs;
use timebase::Rational;

const HZ: Rational = Rational::whole(90_000);

pub(super) fn scan(file: &[u8]) -> Found {
    let mut found = Found::default();
    let mut clock = Unwrap::new(32);
    for segment in pgs::segments(file) {
        let pgs::Segment { at, pts, dts, .. } = match segment {
            Ok(segment) => segment,
            Err(broken) => {
                found.broken = Some(Broken::from(broken));
                break;
            }
        };
        let presented = clock.unwrap(pts.into());
        // Zero is not a time but "none"; any other stamp is not after, and near, the moment of presentation.
        let decoded = (dts != 0).then(|| presented - i64::from(pts.wrapping_sub(dts) as i32));
        let stamp =
            |at, ticks, role| Field { at: at..at + 4, ticks, clock: HZ, role, spelling: Spelling::Be32 };
        found.fields.push(stamp(at + 2, presented, Role::Instant));
        found.fields.extend(decoded.map(|ticks| stamp(at + 6, ticks, Role::Decode)));
    }
    found
}

/// Stamps of so many bits as times that go on when the stamp begins again at zero.
pub(super) struct Unwrap {
    period: i64,
    epoch: i64,
    last: Option<i64>,
}

impl Unwrap {
    pub(super) const fn new(bits: u32) -> Self {
        Self { period: 1 << bits, epoch: 0, last: None }
    }

    /// The time of the next stamp: a step of more than half the period, back or forth, is a wrap.
    pub(super) fn unwrap(&mut self, stamp: i64) -> i64 {
        let half = self.period / 2;
        if let Some(last) = self.last.replace(stamp) {
            if stamp < last - half {
                self.epoch += self.period;
            } else if stamp > last + half && self.epoch > 0 {
                self.epoch -= self.period;
            }
        }
        self.epoch + stamp
    }
}
