//! VobSub's second file: an MPEG-2 program stream (ISO 13818-1, 2.5.3) whose packs carry DVD subpictures.

use crate::{Broken, be16};
use std::{collections::BTreeMap, ops::Range};

/// Packs begin at multiples of a DVD's sector; what they leave of one may be empty.
pub const SECTOR: usize = 2048;
/// Bytes of a pack header without what it is stuffed with.
pub const PACK_HEADER: usize = 14;
/// Start codes after `00 00 01`.
pub const END: u8 = 0xb9;
/// That of a pack.
pub const PACK: u8 = 0xba;
/// That of a packet with a subpicture.
pub const PRIVATE_1: u8 = 0xbd;

/// What a program stream is a row of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The bytes that it takes up.
    pub at: Range<usize>,
    /// Its start code; `None`: what a pack left of its sector.
    pub code: Option<u8>,
}

/// The pack headers, packets, ends and fillings of a file, up to where it is broken.
pub fn units(file: &[u8]) -> impl Iterator<Item = Result<Unit, Broken>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < file.len()).then(|| {
            let unit = unit(file, at);
            at = unit.as_ref().map_or(file.len(), |unit| unit.at.end);
            unit
        })
    })
}

fn unit(file: &[u8], at: usize) -> Result<Unit, Broken> {
    let torn = || Broken { at, torn: true, reason: "ends inside a packet".into() };
    let wrong = |reason: &str| Broken { at, torn: false, reason: reason.into() };
    let unit = &file[at..];
    let whole = |length: usize, code| match unit.len() {
        there if there < length => Err(torn()),
        _ => Ok(Unit { at: at..at + length, code }),
    };
    let [0, 0, 1, code, ..] = *unit else {
        let rest = unit.len().min(SECTOR - at % SECTOR);
        let empty = |byte: &u8| matches!(byte, 0 | 0xff);
        return if rest < SECTOR
            && (unit.len() >= 4 || rest == SECTOR - at % SECTOR)
            && unit[..rest].iter().all(empty)
        {
            whole(rest, None)
        } else if unit.len() < 4 {
            Err(torn())
        } else {
            Err(wrong("neither a pack nor a packet of a program stream begins here"))
        };
    };
    match code {
        END => whole(4, Some(code)),
        PACK => {
            let header = unit.get(..PACK_HEADER).ok_or_else(torn)?;
            if header[4] >> 6 != 1 {
                return Err(wrong("not an MPEG-2 pack"));
            }
            whole(PACK_HEADER + usize::from(header[13] & 7), Some(code))
        }
        _ => whole(6 + usize::from(be16(unit, 4).ok_or_else(torn)?), Some(code)),
    }
}

/// A packet with a header of its own (2.4.3.6): sound, pictures and what DVDs call private stream 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where its presentation stamp is, five bytes.
    pub pts: Option<usize>,
    /// Where its decoding stamp is, five bytes.
    pub dts: Option<usize>,
    /// Of a subpicture: the substream, 0x20 to 0x3f, and where the subpicture's bytes are.
    pub subpicture: Option<(u8, Range<usize>)>,
}

/// A packet's header is not MPEG-2's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMpeg2;

impl Packet {
    /// The packet of a unit; `Ok(None)` for one that has no header of its own.
    ///
    /// Errors: it has one of another kind.
    pub fn of(file: &[u8], unit: &Unit) -> Result<Option<Self>, NotMpeg2> {
        let is_private = unit.code == Some(PRIVATE_1);
        if !is_private && !unit.code.is_some_and(|code| (0xc0..=0xef).contains(&code)) {
            return Ok(None);
        }
        let (at, packet) = (unit.at.start, &file[unit.at.clone()]);
        let [_, _, _, _, _, _, flags, more, header, ..] = *packet else { return Ok(None) };
        if flags >> 6 != 2 {
            return Err(NotMpeg2);
        }
        let stamp = |from: usize, bit: u8, least: u8| {
            (more & bit != 0 && header >= least && packet.len() >= from + 5).then_some(at + from)
        };
        let pts = stamp(9, 0x80, 5);
        let dts = stamp(14, 0x40, 10).filter(|_| pts.is_some());
        let payload = 9 + usize::from(header);
        let substream = packet.get(payload).filter(|id| is_private && (0x20..0x40).contains(*id));
        let subpicture = substream.map(|&id| (id, at + payload + 1..unit.at.end));
        Ok(Some(Self { pts, dts, subpicture }))
    }
}

/// Subpictures on their way, by substream: where their bytes are in the file.
#[derive(Debug, Default)]
pub struct Subpictures(BTreeMap<u8, Vec<usize>>);

impl Subpictures {
    /// Takes in what a packet adds; where the bytes are of the subpicture that it makes whole, and of what follows that in
    /// the packet.
    pub fn take(&mut self, file: &[u8], packet: &Packet) -> Option<Vec<usize>> {
        let (substream, bytes) = packet.subpicture.clone()?;
        // A subpicture begins in the packet that has a stamp.
        if packet.pts.is_some() {
            self.0.insert(substream, bytes.collect());
        } else {
            self.0.get_mut(&substream)?.extend(bytes);
        }
        let begun = self.0.get(&substream)?;
        let byte = |n: usize| Some(file[*begun.get(n)?]);
        let size = u16::from_be_bytes([byte(0)?, byte(1)?]);
        if begun.len() >= size.into() { self.0.remove(&substream) } else { None }
    }
}
