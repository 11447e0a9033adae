//! Blu-ray's Presentation Graphic Stream: segments, each with a presentation and a decoding stamp of 32 bits at 90 kHz.

use super::{Broken, Found};
use crate::field::{Field, Role, Spelling};
use bytes::Buf;
use timebase::Rational;

/// `PG`, two stamps, type, length of what follows.
const HEADER: usize = 13;
const HZ: Rational = Rational::whole(90_000);

pub(super) fn scan(file: &[u8]) -> Found {
    let mut found = Found::default();
    let mut clock = Unwrap::new(32);
    let mut at = 0;
    while at < file.len() {
        let broken = |torn, reason: &str| Some(Broken { whole: at, at, torn, reason: reason.into() });
        let mut header = &file[at..];
        if header.len() < HEADER {
            found.broken = broken(true, "ends inside a segment's header");
            break;
        }
        if header.get_u16() != u16::from_be_bytes(*b"PG") {
            found.broken = broken(false, "a PGS segment begins with PG, this one does not");
            break;
        }
        let (pts, dts) = (header.get_u32(), header.get_u32());
        header.advance(1);
        let length: usize = header.get_u16().into();
        if header.remaining() < length {
            let reason = format!("ends inside a segment, {} of {length} bytes in", header.remaining());
            found.broken = broken(true, &reason);
            break;
        }
        let presented = clock.unwrap(pts.into());
        // Zero is not a time but "none"; any other stamp is not after, and near, the moment of presentation.
        let decoded = (dts != 0).then(|| presented - i64::from(pts.wrapping_sub(dts) as i32));
        let stamp =
            |at, ticks, role| Field { at: at..at + 4, ticks, clock: HZ, role, spelling: Spelling::Be32 };
        found.fields.push(stamp(at + 2, presented, Role::Instant));
        found.fields.extend(decoded.map(|ticks| stamp(at + 6, ticks, Role::Decode)));
        at += HEADER + length;
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
