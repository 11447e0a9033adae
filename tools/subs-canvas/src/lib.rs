//! Bitmap subtitles of a film in, the same on the canvas of the film that was cropped out.
//!
//! VobSub and PGS place their pictures on a canvas of so many columns and rows, which players stretch over the film. When
//! the film loses its bars and the canvas does not, texts are stretched and stand in the wrong place: 1.33 times too wide
//! where 576 rows became 432. Here the canvas loses what the film lost.
//!
//! The canvas is taken in fractions of the picture, whatever the columns of either: as players show the film before it is
//! cropped, so its canvas covers the whole picture, and so the texts keep their shape and place. With `SCALE=sar` 720
//! columns of 64:45 become 1024, and 704 of 16:11 do, too. Of the latter a disc means the middle 704 of the 720 columns
//! that its subtitles are made for, but every player stretches 720 over them, 2 % too narrow; what is cropped of such a
//! film looks as before, and no different from one that is not cropped.
//!
//! What is left has square pixels and the shape of the film: 720x576 over 1024x576, cropped to 1024x432, become 1024x432.
//! Players that stretch a canvas over the film and players that know no pixels but square ones, once it has none of the
//! shapes of a DVD, then show the same letters. A canvas never loses columns or rows to that, it gets more of either: over
//! 768x576, 720x576 become 768x576, and over 640x480, 720x480 become 720x540. What is square already, such as 1920x1080 over
//! 1024x576, keeps its size, and its bitmaps stay as they are as long as they fit. Columns and rows are repeated, not mixed.
//! A `SCALE` that makes no square pixels distorts texts as it distorts the film.

mod canvas;
mod redraw;
mod sup;
mod tool;
mod vobsub;

pub use canvas::{Canvas, Kept};
pub use sup::sup;
pub use tool::Args;
pub use vobsub::{VobSub, vobsub};

use cli::{Error, Result};

/// A file on its new canvas.
#[derive(Debug)]
pub struct Relaid {
    /// All of it, or all that is whole.
    pub bytes: Vec<u8>,
    /// What was done.
    pub counts: Counts,
    /// Why it is not all.
    pub ending: Result<()>,
}

/// What was done to the pictures of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pictures that are shown.
    pub pictures: u64,
    /// Those that were not within what is left, and were moved there.
    pub moved: u64,
    /// Bitmaps that were drawn anew: pixels made square, margins cut off that reach beyond the
    /// canvas, gaps closed, or made smaller.
    pub redrawn: u64,
    /// Pictures that cannot be read, and where the first is. They are moved at most.
    pub odd: Option<(u64, usize)>,
}

impl Counts {
    /// What to say of pictures that cannot be read; `None` where all can.
    pub fn odd_as_text(&self) -> Option<String> {
        let (count, first) = self.odd?;
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        Some(format!("byte {first}{more}: a picture that cannot be read, moved as far as can be"))
    }

    /// One more that cannot be read.
    fn odd(&mut self, at: usize) {
        let (count, first) = self.odd.unwrap_or((0, at));
        self.odd = Some((count + 1, first));
    }
}

/// How a file ended that its reader says is broken.
fn ending(name: &str, broken: Option<&subpicture::Broken>) -> Result<()> {
    broken.map_or(Ok(()), |broken| {
        let error = if broken.torn { Error::torn } else { Error::failed };
        Err(error(name, format!("byte {}: {}", broken.at, broken.reason)))
    })
}
