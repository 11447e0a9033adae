//! Subtitles that are pictures, as they lie in their files: VobSub's program stream ([`program`]) and the subpictures in it
//! ([`spu`]), and the segments of PGS ([`pgs`]). What takes a file apart by these knows where each byte of it was, so that
//! all that it does not change can stay.

mod bitmap;
pub mod pgs;
pub mod program;
pub mod spu;

pub use bitmap::Bitmap;

/// Why a file could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The byte from which on it cannot be read; what is before is whole.
    pub at: usize,
    /// It just ends, where it should go on.
    pub torn: bool,
    /// What is wrong.
    pub reason: String,
}

/// The big-endian number of two bytes that stands at `at`; `None` beyond the end.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}
