//! VobSub's second file: an MPEG-2 program stream whose packs carry DVD subpictures. Times are in the pack headers
//! (SCR), in the packet headers (PTS, DTS), and inside the subpictures, whose control sequences begin so and so long
//! after the PTS.

use super::{Broken, Found, sup::Unwrap};
use crate::field::{Field, Role, Spelling, read_pts, read_scr};
use bytes::Buf;
use std::collections::BTreeMap;
use timebase::Rational;

const HZ: Rational = Rational::whole(90_000);
/// The system clock that an SCR counts in.
const SYSTEM_HZ: Rational = Rational::whole(27_000_000);
/// Start codes after `00 00 01`.
const END: u8 = 0xb9;
const PACK: u8 = 0xba;
const PRIVATE_1: u8 = 0xbd;
/// The delay with which ffmpeg's encoder writes that a picture stays until the next one.
const NO_END: u16 = 0xffff;
/// Packs begin at multiples of a DVD's sector; what they leave of one may be empty.
const SECTOR: usize = 2048;

/// The time fields of a `.sub` file.
pub fn scan(file: &[u8]) -> Found {
    let mut scan = Scan {
        file,
        found: Found::default(),
        pts: Unwrap::new(33),
        scr: Unwrap::new(33),
        subpictures: BTreeMap::new(),
    };
    let mut at = 0;
    while at < file.len() {
        match scan.unit(at) {
            Ok(end) => at = end,
            Err((torn, reason)) => {
                scan.found.broken = Some(Broken { whole: at, at, torn, reason });
                break;
            }
        }
    }
    // Control sequences may lie in packets after the next stamp of another stream.
    scan.found.fields.sort_by_key(|field| field.at.start);
    scan.found
}

/// A subpicture on its way: where its bytes lie in the file.
type Subpicture = Vec<usize>;

struct Scan<'a> {
    file: &'a [u8],
    found: Found,
    pts: Unwrap,
    scr: Unwrap,
    /// By substream, 0x20 to 0x3f.
    subpictures: BTreeMap<u8, Subpicture>,
}

impl Scan<'_> {
    /// Takes in the pack header or packet at `at`; where the next one begins.
    ///
    /// Errors: is it torn, and why it could not be read.
    fn unit(&mut self, at: usize) -> Result<usize, (bool, String)> {
        let torn = || (true, "ends inside a packet".to_owned());
        let unit = &self.file[at..];
        let [0, 0, 1, code, ..] = *unit else {
            let rest = unit.len().min(SECTOR - at % SECTOR);
            let empty = |byte: &u8| matches!(byte, 0 | 0xff);
            return if rest < SECTOR
                && (unit.len() >= 4 || rest == SECTOR - at % SECTOR)
                && unit[..rest].iter().all(empty)
            {
                Ok(at + rest)
            } else if unit.len() < 4 {
                Err(torn())
            } else {
                Err((false, "neither a pack nor a packet of a program stream begins here".to_owned()))
            };
        };
        match code {
            END => Ok(at + 4),
            PACK => {
                let header: [u8; 14] = unit.get(..14).and_then(|h| h.try_into().ok()).ok_or_else(torn)?;
                if header[4] >> 6 != 1 {
                    return Err((false, "not an MPEG-2 pack".to_owned()));
                }
                let scr = read_scr([header[4], header[5], header[6], header[7], header[8], header[9]]);
                let ticks = self.scr.unwrap(scr / 300) * 300 + scr % 300;
                let clock = SYSTEM_HZ;
                let role = Role::Decode;
                self.found.fields.push(Field {
                    at: at + 4..at + 10,
                    ticks,
                    clock,
                    role,
                    spelling: Spelling::Scr,
                });
                let end = 14 + usize::from(header[13] & 7);
                if unit.len() < end { Err(torn()) } else { Ok(at + end) }
            }
            _ => {
                let length =
                    unit.get(4..6).map(|mut length| usize::from(length.get_u16())).ok_or_else(torn)?;
                let end = 6 + length;
                let packet = unit.get(..end).ok_or_else(torn)?;
                // Streams with a header of their own: sound, pictures and what DVDs call private stream 1.
                if code == PRIVATE_1 || (0xc0..=0xef).contains(&code) {
                    self.packet(at, packet, code == PRIVATE_1);
                }
                Ok(at + end)
            }
        }
    }

    /// The stamps of a packet and what it adds to a subpicture.
    fn packet(&mut self, at: usize, packet: &[u8], private: bool) {
        let [_, _, _, _, _, _, flags, more, header, ..] = *packet else { return };
        if flags >> 6 != 2 {
            return self.found.odd.push(at);
        }
        let stamp = |from: usize| -> Option<[u8; 5]> { packet.get(from..from + 5)?.try_into().ok() };
        let field = |from, ticks, role| {
            let from = at + from;
            Field { at: from..from + 5, ticks, clock: HZ, role, spelling: Spelling::Pts }
        };
        let pts = stamp(9).filter(|_| more & 0x80 != 0 && header >= 5);
        if let Some(pts) = pts {
            let presented = self.pts.unwrap(read_pts(pts));
            self.found.fields.push(field(9, presented, Role::Instant));
            if let Some(dts) = stamp(14).filter(|_| more & 0x40 != 0 && header >= 10) {
                let before = (read_pts(pts) - read_pts(dts)) << 31 >> 31;
                self.found.fields.push(field(14, presented - before, Role::Decode));
            }
        }
        let payload = 9 + usize::from(header);
        let Some(&substream) = packet.get(payload).filter(|id| private && (0x20..0x40).contains(*id)) else {
            return;
        };
        let bytes = at + payload + 1..at + packet.len();
        // A subpicture begins in the packet that has a stamp.
        if pts.is_some() {
            self.subpictures.insert(substream, bytes.collect());
        } else if let Some(begun) = self.subpictures.get_mut(&substream) {
            begun.extend(bytes);
        }
        let Some(begun) = self.subpictures.get(&substream) else { return };
        if u16_at(self.file, begun, 0).is_some_and(|size| begun.len() >= size.into()) {
            let whole = self.subpictures.remove(&substream).unwrap_or_default();
            self.control_sequences(&whole);
        }
    }

    /// The delays, in units of 1024/90000 s, at the head of each control sequence of a whole subpicture.
    fn control_sequences(&mut self, subpicture: &[usize]) {
        let mut sequence = u16_at(self.file, subpicture, 2).unwrap_or(0);
        let mut before = 0;
        // Each points to the next, the last to itself. One that begins inside the four bytes at the head of the
        // subpicture or of another sequence is none.
        while usize::from(sequence) >= before + 4 {
            let start = usize::from(sequence);
            let (Some(delay), Some(next)) =
                (u16_at(self.file, subpicture, start), u16_at(self.file, subpicture, start + 2))
            else {
                return;
            };
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
            (before, sequence) = (start, next);
        }
    }
}

/// The big-endian number at byte `at` of a subpicture.
fn u16_at(file: &[u8], subpicture: &[usize], at: usize) -> Option<u16> {
    let byte = |at: usize| file.get(*subpicture.get(at)?).copied();
    Some(u16::from_be_bytes([byte(at)?, byte(at + 1)?]))
}
