//! A DVD's subpicture: the run lengths of a bitmap of four colours, field by field, and control sequences that say where and
//! when it is shown. After mpucoder's notes on DVD subpictures and ffmpeg's `dvdsubdec.c`.

use crate::{Bitmap, be16};

/// The most rows and columns of a bitmap: its coordinates have twelve bits.
pub const LARGEST: usize = 4096;

/// A control sequence, by where it stands in its subpicture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Its first byte: two of delay, two that point to the next sequence, then commands.
    pub at: usize,
    /// The next one; the last one points to itself.
    pub next: usize,
}

/// The control sequences of a subpicture of which `byte` gives each byte that is there.
pub fn sequences(byte: impl Fn(usize) -> Option<u8>) -> impl Iterator<Item = Sequence> {
    let word = move |at: usize| Some(usize::from(u16::from_be_bytes([byte(at)?, byte(at + 1)?])));
    let (mut before, mut at) = (0, word(2).unwrap_or(0));
    std::iter::from_fn(move || {
        // One that begins inside the four bytes at the head of the subpicture or of another sequence is none.
        if at < before + 4 {
            return None;
        }
        word(at)?;
        let sequence = Sequence { at, next: word(at + 2)? };
        (before, at) = (at, sequence.next);
        Some(sequence)
    })
}

/// The commands of a control sequence.
pub mod command {
    /// The palette's places of the four colours.
    pub const COLOURS: u8 = 0x03;
    /// How opaque the four colours are, four bits each, the fourth colour first.
    pub const CONTRAST: u8 = 0x04;
    /// The part of the canvas that the bitmap takes up.
    pub const AREA: u8 = 0x05;
    /// Where the run lengths of the two fields begin.
    pub const FIELDS: u8 = 0x06;
    /// Other colours and contrasts in parts of the canvas.
    pub const CHANGES: u8 = 0x07;
    /// No more commands.
    pub const END: u8 = 0xff;
}

/// Where the commands of a control sequence stand, the last one being the end; `None` where one is unknown or not all there
/// before the next sequence.
pub fn commands(spu: &[u8], sequence: &Sequence) -> Option<Vec<std::ops::Range<usize>>> {
    let spu = if sequence.next > sequence.at { spu.get(..sequence.next)? } else { spu };
    let (mut all, mut at) = (Vec::new(), sequence.at + 4);
    loop {
        let length = match *spu.get(at)? {
            0x00..=0x02 | command::END => 1,
            command::COLOURS | command::CONTRAST => 3,
            command::AREA => 7,
            command::FIELDS => 5,
            command::CHANGES => 1 + usize::from(be16(spu, at + 1)?).max(2),
            _ => return None,
        };
        spu.get(at..at + length)?;
        all.push(at..at + length);
        if spu[at] == command::END {
            return Some(all);
        }
        at += length;
    }
}

/// The part of the canvas that a bitmap takes up; the last column and row are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First column, 0 to 4095.
    pub left: usize,
    /// Last column.
    pub right: usize,
    /// First row, 0 to 4095.
    pub top: usize,
    /// Last row.
    pub bottom: usize,
}

impl Area {
    /// That of the six bytes behind [`command::AREA`]; `None` where it has no pixel.
    pub fn read(b: [u8; 6]) -> Option<Self> {
        let b = b.map(usize::from);
        let (left, right) = (b[0] << 4 | b[1] >> 4, (b[1] & 15) << 8 | b[2]);
        let (top, bottom) = (b[3] << 4 | b[4] >> 4, (b[4] & 15) << 8 | b[5]);
        (left <= right && top <= bottom).then_some(Self { left, right, top, bottom })
    }

    /// The six bytes.
    pub fn write(self) -> [u8; 6] {
        let Self { left, right, top, bottom } = self;
        let three = |a: usize, b: usize| [(a >> 4) as u8, (a << 4 & 0xf0 | b >> 8 & 15) as u8, b as u8];
        let ([a, b, c], [d, e, f]) = (three(left, right), three(top, bottom));
        [a, b, c, d, e, f]
    }

    /// Pixels across and rows down.
    pub fn size(self) -> (usize, usize) {
        (self.right - self.left + 1, self.bottom - self.top + 1)
    }
}

/// Four bits after another.
struct Nibbles<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Nibbles<'_> {
    fn next(&mut self) -> Option<usize> {
        let byte = usize::from(*self.bytes.get(self.at / 2)?);
        self.at += 1;
        Some(if self.at % 2 == 1 { byte >> 4 } else { byte & 15 })
    }

    /// A run: how many pixels, 0 for the rest of the row, and their colour.
    fn run(&mut self) -> Option<(usize, u8)> {
        let mut code = self.next()?;
        for least in [0x4, 0x10, 0x40] {
            if code >= least {
                break;
            }
            code = code << 4 | self.next()?;
        }
        Some((code >> 2, (code & 3) as u8))
    }
}

/// The bitmap whose even rows begin at the first of `fields` and whose odd rows at the second; `None` where the run lengths
/// are not those of one of this size.
pub fn decode(spu: &[u8], fields: [usize; 2], (width, height): (usize, usize)) -> Option<Bitmap> {
    if width == 0 || height == 0 || width > LARGEST || height > LARGEST {
        return None;
    }
    let mut fields = fields.map(|at| Nibbles { bytes: spu, at: 2 * at });
    let mut pixels = Vec::new();
    for row in 0..height {
        let (nibbles, end) = (&mut fields[row % 2], (row + 1) * width);
        while pixels.len() < end {
            let (length, colour) = nibbles.run()?;
            let rest = end - pixels.len();
            // A run may go on beyond the row: players cut it there.
            pixels.resize(pixels.len() + if length == 0 { rest } else { length.min(rest) }, colour);
        }
        nibbles.at = nibbles.at.next_multiple_of(2);
    }
    Some(Bitmap { width, pixels })
}

/// The run lengths of a field of a bitmap of four colours: of its even rows, or of its odd ones.
pub fn encode(bitmap: &Bitmap, odd: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for row in bitmap.rows().skip(odd.into()).step_by(2) {
        let (mut nibbles, mut left) = (Vec::new(), row.len());
        for run in row.chunk_by(|a, b| a == b) {
            left -= run.len();
            let colour = run[0] & 3;
            let code = |length: usize| length << 2 | usize::from(colour);
            if left == 0 && run.len() > 63 {
                // The rest of the row.
                nibbles.extend([0, 0, 0, colour]);
                continue;
            }
            for part in run.chunks(255) {
                let code = code(part.len());
                let digits = match part.len() {
                    ..4 => 1,
                    4..16 => 2,
                    16..64 => 3,
                    _ => 4,
                };
                nibbles.extend((0..digits).rev().map(|n| (code >> (4 * n) & 15) as u8));
            }
        }
        out.extend(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(runs in vec((0u8..4, 1usize..600), 1..40), width in 20usize..800) {
            let mut pixels: Vec<u8> = runs.iter().flat_map(|&(c, n)| std::iter::repeat_n(c, n)).collect();
            pixels.resize(pixels.len().next_multiple_of(width), 0);
            let bitmap = Bitmap { width, pixels };
            let (even, odd) = (encode(&bitmap, false), encode(&bitmap, true));
            let spu = [&even[..], &odd].concat();
            prop_assert_eq!(decode(&spu, [0, even.len()], (width, bitmap.height())), Some(bitmap));
        }

        #[test]
        fn areas(bytes in any::<[u8; 6]>()) {
            prop_assert!(Area::read(bytes).is_none_or(|area| area.write() == bytes));
        }

        #[test]
        fn anything_is_taken_apart_or_not(spu in vec(any::<u8>(), 0..200), width in 0usize..50, height in 0usize..50) {
            for sequence in sequences(|at| spu.get(at).copied()) {
                commands(&spu, &sequence);
            }
            decode(&spu, [0, 9], (width, height));
        }
    }

    /// Rows of a whole pattern, as mpucoder's notes have the codes.
    #[test]
    fn codes() {
        let row = |runs: &[(u8, usize)]| Bitmap {
            width: runs.iter().map(|run| run.1).sum(),
            pixels: runs.iter().flat_map(|&(colour, length)| std::iter::repeat_n(colour, length)).collect(),
        };
        for (runs, bytes) in [
            (&[(1, 3), (2, 1)][..], &[0xd6][..]),
            (&[(3, 4), (0, 15), (1, 1)], &[0x13, 0x3c, 0x50]),
            (&[(2, 16), (1, 63)], &[0x04, 0x20, 0xfd]),
            (&[(1, 64), (2, 1)], &[0x01, 0x01, 0x60]),
            (&[(1, 300), (2, 1)], &[0x03, 0xfd, 0x0b, 0x56]),
            (&[(2, 1), (0, 700)], &[0x60, 0x00, 0x00]),
        ] {
            assert_eq!(encode(&row(runs), false), bytes, "{runs:?}");
        }
    }
}
