//! Blu-ray's Presentation Graphic Stream as players keep it in `.sup` files: segments, each with a presentation and a
//! decoding stamp of 32 bits at 90 kHz. After US 2009/0185789 A1 and ffmpeg's `pgssubdec.c`, which agree.

use crate::{Bitmap, Broken};
use bytes::Buf;
use std::ops::Range;

/// `PG`, two stamps, type, length of what follows.
pub const HEADER: usize = 13;

/// What is in a segment.
pub mod kind {
    /// Colours.
    pub const PALETTE: u8 = 0x14;
    /// A bitmap, or a part of one.
    pub const OBJECT: u8 = 0x15;
    /// What is shown where.
    pub const COMPOSITION: u8 = 0x16;
    /// The parts of the canvas that are drawn to.
    pub const WINDOWS: u8 = 0x17;
}

/// A segment, by where it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first byte.
    pub at: usize,
    /// When what it belongs to is shown, in ticks of 90 kHz, wrapping.
    pub pts: u32,
    /// When it is decoded; 0: that is not said.
    pub dts: u32,
    /// One of [`kind`], or any other.
    pub kind: u8,
    /// What is behind its header.
    pub payload: Range<usize>,
}

/// The segments of a file, up to where it is broken.
pub fn segments(file: &[u8]) -> impl Iterator<Item = Result<Segment, Broken>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < file.len()).then(|| {
            let segment = segment(file, at);
            at = segment.as_ref().map_or(file.len(), |segment| segment.payload.end);
            segment
        })
    })
}

fn segment(file: &[u8], at: usize) -> Result<Segment, Broken> {
    let broken = |torn, reason: &str| Broken { at, torn, reason: reason.into() };
    let mut header = &file[at..];
    if header.len() < HEADER {
        return Err(broken(true, "ends inside a segment's header"));
    }
    if header.get_u16() != u16::from_be_bytes(*b"PG") {
        return Err(broken(false, "a PGS segment begins with PG, this one does not"));
    }
    let (pts, dts, kind) = (header.get_u32(), header.get_u32(), header.get_u8());
    let length: usize = header.get_u16().into();
    if header.remaining() < length {
        let reason = format!("ends inside a segment, {} of {length} bytes in", header.remaining());
        return Err(broken(true, &reason));
    }
    Ok(Segment { at, pts, dts, kind, payload: at + HEADER..at + HEADER + length })
}

/// The most rows and columns of an object.
pub const LARGEST: usize = 4096;

/// The bitmap of an object, of its run lengths; `None` where they are not those of one of this size.
pub fn decode(mut runs: &[u8], width: usize, height: usize) -> Option<Bitmap> {
    if width == 0 || height == 0 || width > LARGEST || height > LARGEST {
        return None;
    }
    let (mut pixels, mut row) = (Vec::new(), 0);
    while row < height {
        let (length, colour) = match runs.split_first()? {
            (&0, rest) => {
                let (&flags, rest) = rest.split_first()?;
                let (mut length, mut rest) = (usize::from(flags & 0x3f), rest);
                if flags & 0x40 != 0 {
                    length = length << 8 | usize::from(rest.try_get_u8().ok()?);
                }
                let colour = if flags & 0x80 == 0 { 0 } else { rest.try_get_u8().ok()? };
                runs = rest;
                (length, colour)
            }
            (&colour, rest) => {
                runs = rest;
                (1, colour)
            }
        };
        // A run of no pixels is the end of a row.
        let end = (row + 1) * width;
        if length > 0 {
            pixels.resize(pixels.len() + length, colour);
        } else {
            row += 1;
        }
        if pixels.len() > end || length == 0 && pixels.len() != end {
            return None;
        }
    }
    Some(Bitmap { width, pixels })
}

/// The run lengths of a bitmap.
pub fn encode(bitmap: &Bitmap) -> Vec<u8> {
    let mut out = Vec::new();
    for row in bitmap.rows() {
        for run in row.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(0x3fff)) {
            let [high, low] = (run.len() as u16).to_be_bytes();
            match (run[0], run.len()) {
                (0, ..64) => out.extend([0, low]),
                (0, _) => out.extend([0, 0x40 | high, low]),
                (colour, ..3) => out.extend(std::iter::repeat_n(colour, run.len())),
                (colour, ..64) => out.extend([0, 0x80 | low, colour]),
                (colour, _) => out.extend([0, 0xc0 | high, low, colour]),
            }
        }
        out.extend([0, 0]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(runs in vec((0u8..4, 1usize..200), 1..40), width in 9usize..300) {
            let mut pixels: Vec<u8> = runs.iter().flat_map(|&(c, n)| std::iter::repeat_n(c, n)).collect();
            pixels.resize(pixels.len().next_multiple_of(width), 0);
            let bitmap = Bitmap { width, pixels };
            prop_assert_eq!(decode(&encode(&bitmap), width, bitmap.height()), Some(bitmap));
        }

        #[test]
        fn anything_is_decoded_or_not(runs in vec(any::<u8>(), 0..200), width in 0usize..50, height in 0usize..50) {
            if let Some(bitmap) = decode(&runs, width, height) {
                prop_assert_eq!((bitmap.width, bitmap.height()), (width, height));
            }
        }
    }

    #[test]
    fn rows_have_their_length() {
        assert_eq!(decode(&[1, 1, 0, 0, 2, 0, 1, 0, 0], 2, 2).unwrap().pixels, [1, 1, 2, 0]);
        for (runs, why) in [
            (&[1, 0, 0, 2, 2, 0, 0][..], "short"),
            (&[1, 1, 1, 0, 0, 2, 2, 0, 0], "long"),
            (&[1, 1, 0, 0, 2, 2], "torn"),
        ] {
            assert_eq!(decode(runs, 2, 2), None, "{why}");
        }
        assert_eq!(decode(&[0; 40], 4097, 1), None);
    }
}
