//! The edges that a Matroska file has players hide, read from the file itself: ffmpeg applies them from 7.1 on and knows
//! nothing of them before, takes the display size for that of the whole picture or of the part, and mkvmerge tells of them
//! only where all four are written.
//!
//! Elements and their numbers are RFC 8794's (EBML) and RFC 9559's (Matroska).

use cli::Size;
use deint_crop::square_width;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};
use timebase::Rational;

/// What is hidden of a film's pictures, at least a pixel of it, and the shape of what is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cropping {
    /// Pixels of a coded picture: columns and rows.
    coded: [u64; 2],
    /// Columns at the left and rows at the top that are hidden.
    before: [u64; 2],
    /// Columns at the right and rows at the bottom.
    behind: [u64; 2],
    /// Width and height of what is shown, in any unit; the pixels of it where the file does not say.
    display: [Option<u64>; 2],
}

impl Cropping {
    /// What is hidden of the first video track. `None`: nothing, or the file is no Matroska.
    ///
    /// Errors: the file cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut file = BufReader::new(File::open(path)?);
        let tracks = match tracks(&mut file) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => None,
            tracks => tracks?,
        };
        Ok(tracks.and_then(|tracks| {
            let entries = children(&tracks).filter(|(id, _)| *id == TRACK_ENTRY).map(|(_, entry)| entry);
            let video = entries.filter_map(|entry| children(entry).find(|(id, _)| *id == VIDEO)).next()?.1;
            let cropping = Self::of(video);
            (cropping.before != [0, 0] || cropping.behind != [0, 0]).then_some(cropping)
        }))
    }

    fn of(video: &[u8]) -> Self {
        let mut cropping = Self::default();
        for (id, value) in children(video) {
            let number = value.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
            match id {
                0xb0 => cropping.coded[0] = number,
                0xba => cropping.coded[1] = number,
                0x54cc => cropping.before[0] = number,
                0x54bb => cropping.before[1] = number,
                0x54dd => cropping.behind[0] = number,
                0x54aa => cropping.behind[1] = number,
                0x54b0 => cropping.display[0] = Some(number),
                0x54ba => cropping.display[1] = Some(number),
                _ => {}
            }
        }
        cropping
    }

    /// Pixels hidden at the left, top, right and bottom.
    pub fn edges(&self) -> [u64; 4] {
        [self.before[0], self.before[1], self.behind[0], self.behind[1]]
    }

    /// The whole picture with square pixels, scaled across as `deint-crop --scale sar` does it. `None` where nothing is shown,
    /// or sizes are beyond all reason.
    pub fn square(&self) -> Option<Size> {
        let shown = |axis: usize| {
            let hidden = self.before[axis].checked_add(self.behind[axis])?;
            self.coded[axis].checked_sub(hidden).filter(|&shown| shown > 0 && self.coded[axis] <= 65536)
        };
        let pixel = |axis: usize| {
            let shown = shown(axis)?;
            Rational::new(self.display[axis].unwrap_or(shown).try_into().ok()?, shown.try_into().ok()?)
        };
        let aspect = pixel(0)?.checked_div(pixel(1)?).filter(|aspect| aspect.is_positive())?;
        Some(Size { width: square_width(self.coded[0] as usize, aspect), height: self.coded[1] as usize })
    }

    /// What is shown of the whole picture scaled to `size`, to the nearest pixel, as `deint-crop --crop` takes it.
    pub fn shown(&self, size: Size) -> String {
        let [columns, rows] = [(0, size.width), (1, size.height)].map(|(axis, size)| {
            let (all, size) = (self.coded[axis], size as u64);
            let scaled = |at: u64| (2 * at * size + all) / (2 * all);
            let begin = scaled(self.before[axis]).min(size - 1);
            (begin, scaled(all.saturating_sub(self.behind[axis])).max(begin + 1) - begin)
        });
        format!("{}:{}:{}:{}", columns.1, rows.1, columns.0, rows.0)
    }
}

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const SEEK: u32 = 0x4dbb;
const SEEK_ID: u32 = 0x53ab;
const SEEK_POSITION: u32 = 0x53ac;
const CLUSTER: u32 = 0x1f43_b675;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const VIDEO: u32 = 0xe0;

/// Bytes of a head of tracks that are more than any film has.
const TOO_MANY: u64 = 64 << 20;

/// What the element `Tracks` holds; `None` where there is none.
fn tracks(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    match head(file)? {
        Some((EBML, bytes)) => file.seek_relative(bytes as i64)?,
        _ => return Ok(None),
    }
    let Some((SEGMENT, _)) = head(file)? else { return Ok(None) };
    let segment = file.stream_position()?;
    let mut elsewhere = None;
    loop {
        match head(file)? {
            Some((TRACKS, bytes)) => return body(file, bytes).map(Some),
            Some((SEEK_HEAD, bytes)) => elsewhere = elsewhere.or(position(&body(file, bytes)?)),
            // Tracks that an editor has made longer are behind the pictures.
            Some((CLUSTER, _)) => match elsewhere.take() {
                Some(at) => drop(file.seek(SeekFrom::Start(segment.saturating_add(at)))?),
                None => return Ok(None),
            },
            Some((_, bytes)) => file.seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))?,
            None => return Ok(None),
        }
    }
}

/// Where a list of what is where has the tracks, in bytes from the segment's first.
fn position(seek_head: &[u8]) -> Option<u64> {
    let seeks = children(seek_head).filter(|(id, _)| *id == SEEK).map(|(_, seek)| seek);
    let value = |seek, of| children(seek).find(|(id, _)| *id == of).map(|(_, value)| value);
    let mut seeks = seeks.filter(|seek| value(seek, SEEK_ID) == Some(&TRACKS.to_be_bytes()));
    let at = value(seeks.next()?, SEEK_POSITION)?;
    Some(at.iter().fold(0, |at, &byte| at << 8 | u64::from(byte)))
}

fn body(file: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    file.take(bytes.min(TOO_MANY)).read_to_end(&mut body)?;
    Ok(body)
}

/// An element's number, and how many bytes it holds. `None`: it is none.
fn head(file: &mut impl Read) -> io::Result<Option<(u32, u64)>> {
    let Some((id, _)) = number(file, 4)? else { return Ok(None) };
    Ok(number(file, 8)?.map(|(bytes, marker)| (id as u32, bytes & !marker)))
}

/// A number of as many bytes as the first bit that is set in the first byte says, and that bit: a part of an element's number,
/// but not of a size. `None`: it is longer than `most` bytes.
fn number(file: &mut impl Read, most: usize) -> io::Result<Option<(u64, u64)>> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes[..1])?;
    let length = bytes[0].leading_zeros() as usize + 1;
    if length > most {
        return Ok(None);
    }
    file.read_exact(&mut bytes[1..length])?;
    let number = bytes[..length].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    Ok(Some((number, 1 << (7 * length))))
}

/// The elements in what one holds, up to the first that is not whole.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, size) = head(&mut bytes).ok()??;
        let (body, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
        bytes = rest;
        Some((id, body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cropping(before: [u64; 2], behind: [u64; 2], display: [Option<u64>; 2]) -> Cropping {
        Cropping { coded: [720, 576], before, behind, display }
    }

    #[test]
    fn what_is_shown_has_the_shape_that_the_display_says() {
        let bars = |display| cropping([0, 72], [0, 72], display);
        let whole = |cropping: &Cropping| cropping.square().unwrap().to_string();
        // The same film: as mkvmerge writes it, and after an edit of nothing but the edges, which makes it taller.
        assert_eq!(whole(&bars([Some(1024), Some(432)])), "1024x576");
        assert_eq!(whole(&bars([Some(16), Some(9)])), "768x576");
        assert_eq!(whole(&bars([None, None])), "720x576");
        let sides = cropping([8, 72], [8, 72], [Some(704 * 64), Some(432 * 45)]);
        let size = sides.square().unwrap();
        assert_eq!((whole(&sides).as_str(), &*sides.shown(size)), ("1024x576", "1002:432:11:72"));
        assert_eq!(cropping([0, 300], [0, 276], [None, None]).square(), None, "nothing is shown");
        assert_eq!(bars([Some(0), Some(9)]).square(), None);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_they_are_read(bytes in prop::collection::vec(any::<u8>(), 0..64), whole: bool) {
            let mut file = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff".to_vec();
            file.extend(&bytes);
            let file = if whole { file } else { bytes };
            if let Ok(Some(tracks)) = tracks(&mut io::Cursor::new(file)) {
                let mut squares = children(&tracks).filter_map(|(_, entry)| Cropping::of(entry).square());
                prop_assert!(squares.all(|size| size.width <= 65536 && size.height <= 65536));
            }
        }

        #[test]
        fn what_is_shown_is_inside(before in 0u64..360, behind in 0u64..360, width in 64usize..4096) {
            let some = cropping([before, 0], [behind.min(719 - before), 0], [None, None]);
            let shown = some.shown(Size { width, height: 576 });
            let numbers: Vec<usize> = shown.split(':').map(|n| n.parse().unwrap()).collect();
            prop_assert!(numbers[0] > 0 && numbers[0] + numbers[2] <= width && numbers[1..] == [576, numbers[2], 0]);
        }
    }
}
