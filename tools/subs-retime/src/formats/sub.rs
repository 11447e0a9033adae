//! VobSub's second file: an MPEG-2 program stream whose packs carry DVD subpictures. Times are in the pack headers
//! (SCR), in the packet headers (PTS, DTS), and inside the subpictures, whose control sequences begin so and so long
//! after the PTS.

use super::{Broken, Found, sup::Unwrap};
use crate::field::{Field, Role, Spelling, read_pts, read_scr};
use subpicture::{
    program::{NotMpeg2, PACK, Packet, Subpictures, Unit, units},
    spu::sequences,
};
use timebase::Rational;

const HZ: Rational = Rational::whole(90_000);
/// The system clock that an SCR counts in.
const SYSTEM_HZ: Rational = Rational::whole(27_000_000);
/// The delay with which ffmpeg's encoder writes that a picture stays until the next one.
const NO_END: u16 = 0xffff;

/// The time fields of a `.sub` file.
pub fn scan(file: &[u8]) -> Found {
    let mut scan = Scan {
        file,
        found: Found::default(),
        pts: Unwrap::new(33),
        scr: Unwrap::new(33),
        subpictures: Subpictures::default(),
    };
    for unit in units(file) {
        match unit {
            Ok(unit) if unit.code == Some(PACK) => scan.pack(unit.at.start),
            Ok(unit) => scan.packet(&unit),
            Err(broken) => scan.found.broken = Some(Broken::from(broken)),
        }
    }
    // Control sequences may lie in packets after the next stamp of another stream.
    scan.found.fields.sort_by_key(|field| field.at.start);
    scan.found
}

struct Scan<'a> {
    file: &'a [u8],
    found: Found,
    pts: Unwrap,
    scr: Unwrap,
    subpictures: Subpictures,
}

impl Scan<'_> {
    /// The bytes from `at` on, which are there.
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|n| self.file[at + n])
    }

    fn pack(&mut self, at: usize) {
        let scr = read_scr(self.bytes(at + 4));
        let ticks = self.scr.unwrap(scr / 300) * 300 + scr % 300;
        let (clock, role, spelling) = (SYSTEM_HZ, Role::Decode, Spelling::Scr);
        self.found.fields.push(Field { at: at + 4..at + 10, ticks, clock, role, spelling });
    }

    /// The stamps of a packet and what it adds to a subpicture.
    fn packet(&mut self, unit: &Unit) {
        let packet = match Packet::of(self.file, unit) {
            Ok(Some(packet)) => packet,
            Ok(None) => return,
            Err(NotMpeg2) => return self.found.odd.push(unit.at.start),
        };
        if let Some(at) = packet.pts {
            let field =
                |at, ticks, role| Field { at: at..at + 5, ticks, clock: HZ, role, spelling: Spelling::Pts };
            let pts = read_pts(self.bytes(at));
            let presented = self.pts.unwrap(pts);
            self.found.fields.push(field(at, presented, Role::Instant));
            if let Some(at) = packet.dts {
                let before = (pts - read_pts(self.bytes(at))) << 31 >> 31;
                self.found.fields.push(field(at, presented - before, Role::Decode));
            }
        }
        if let Some(whole) = self.subpictures.take(self.file, &packet) {
            self.control_sequences(&whole);
        }
    }

    /// The delays, in units of 1024/90000 s, at the head of each control sequence of a whole subpicture.
    fn control_sequences(&mut self, subpicture: &[usize]) {
        let byte = |at: usize| subpicture.get(at).map(|&at| self.file[at]);
        for start in sequences(byte).map(|sequence| sequence.at) {
            let delay = u16::from_be_bytes([start, start + 1].map(|at| self.file[subpicture[at]]));
            // Its two bytes may lie in two packets.
            for (byte, shift) in [(start, 8), (start + 1, 0)].into_iter().filter(|_| delay != NO_END) {
                let at = subpicture[byte];
                self.found.fields.push(Field {
                    at: at..at + 1,
                    ticks: delay.into(),
                    clock: HZ.checked_div(Rational::whole(1024)).unwrap_or(HZ),
                    role: Role::Duration,
                    spelling: Spelling::Byte { shift, most: i64::from(NO_END) - 1 },
                });
            }
        }
    }
}
