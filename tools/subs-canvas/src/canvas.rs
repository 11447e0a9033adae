//! What is left of a picture, and of a canvas that covers it.

use cli::Size;
use deint_crop::Crop;

/// The part of a picture that is left when it is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    scaled: Size,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Kept {
    /// What `crop` leaves of a picture of the size `scaled`, as `deint-crop` has the two.
    ///
    /// Errors: it reaches beyond the picture.
    pub fn new(scaled: Size, crop: Crop) -> Result<Self, String> {
        let Some(rect) = crop.0 else {
            return Ok(Self { scaled, left: 0, top: 0, width: scaled.width, height: scaled.height });
        };
        let (left, top, width, height) = (rect.x, rect.y, rect.width, rect.height);
        let is_within =
            |from: usize, length: usize, of: usize| from.checked_add(length).is_some_and(|end| end <= of);
        if is_within(left, width, scaled.width) && is_within(top, height, scaled.height) {
            Ok(Self { scaled, left, top, width, height })
        } else {
            Err(format!("{crop} reaches beyond the picture of {scaled}"))
        }
    }

    /// Is that all of it?
    pub fn is_all(&self) -> bool {
        (self.width, self.height) == (self.scaled.width, self.scaled.height)
    }

    /// What is left of a canvas of so many columns and rows over the picture, with square pixels, to the nearest column and
    /// row, and at least one.
    pub fn of(&self, columns: usize, rows: usize) -> Canvas {
        let old = Size { width: columns, height: rows };
        let whole = self.square(old);
        let across = |n| part(whole.width, n, self.scaled.width);
        let down = |n| part(whole.height, n, self.scaled.height);
        let (width, height) = (across(self.width).max(1), down(self.height).max(1));
        Canvas {
            old,
            whole,
            left: across(self.left).min(whole.width.saturating_sub(width)),
            top: down(self.top).min(whole.height.saturating_sub(height)),
            width,
            height,
        }
    }

    /// A canvas over the whole picture with as many columns or rows more as make its pixels square; the same one where they
    /// are, or where that would be out of all proportion.
    fn square(&self, old: Size) -> Size {
        let width = part(self.scaled.width, old.height, self.scaled.height);
        let height = part(self.scaled.height, old.width, self.scaled.width);
        let is_near = |side: usize, square: usize| side.abs_diff(square) <= side / NEARLY;
        let is_sane = |side: usize, square: usize| square <= LARGEST.min(side * MOST);
        match old {
            Size { width: side, .. } if is_near(side, width) => old,
            Size { width: side, .. } if side < width && is_sane(side, width) => Size { width, ..old },
            Size { height: side, .. } if side < height && is_sane(side, height) => Size { height, ..old },
            _ => old,
        }
    }
}

/// Pixels whose sides differ by no more than one in so many are square: 704 columns that were scaled as players show 720 are
/// 2 % off, which is not worth drawing letters anew.
const NEARLY: usize = 40;
/// The most columns or rows that a canvas is given: subpictures have twelve bits for them.
const LARGEST: usize = 4095;
/// How many times more columns or rows a canvas is given at most; 352 columns of 16:9 become 1024.
const MOST: usize = 4;

/// `n` in `d` of something, to the nearest whole number.
fn part(of: usize, n: usize, d: usize) -> usize {
    ((2 * of as u128 * n as u128 + d as u128) / (2 * d as u128)) as usize
}

/// What is left of a canvas, in square pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Columns and rows that it had.
    pub old: Size,
    /// Columns and rows that all of it has in square pixels: no fewer than it had.
    pub whole: Size,
    /// Columns that it lost on the left.
    pub left: usize,
    /// Rows that it lost at the top.
    pub top: usize,
    /// Its columns, above 0.
    pub width: usize,
    /// Its rows, above 0.
    pub height: usize,
}

/// A rectangle on a canvas, or outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) x: i64,
    pub(crate) y: i64,
    pub(crate) width: i64,
    pub(crate) height: i64,
}

impl Rect {
    pub(crate) fn is_within(self, canvas: &Canvas) -> bool {
        self.x >= 0
            && self.y >= 0
            && self.x + self.width <= canvas.width as i64
            && self.y + self.height <= canvas.height as i64
    }

    pub(crate) fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let end = |a: i64, b: i64, c: i64, d: i64| (a + b).max(c + d);
        Self {
            x,
            y,
            width: end(self.x, self.width, other.x, other.width) - x,
            height: end(self.y, self.height, other.y, other.height) - y,
        }
    }

    /// One of another size with the same middle.
    pub(crate) fn resized(self, (width, height): (usize, usize)) -> Self {
        let (width, height) = (width as i64, height as i64);
        Self {
            x: self.x + (self.width - width).div_euclid(2),
            y: self.y + (self.height - height).div_euclid(2),
            width,
            height,
        }
    }
}

/// What is moved or made smaller to be within a canvas comes no closer to its edge than one in so many of its columns or rows, where there is room:
/// 16 rows of 576.
pub(crate) const MARGIN: i64 = 36;

/// How far to move what begins at `from` so that it is within `room`.
fn inward(from: i64, length: i64, room: i64) -> i64 {
    if from >= 0 && from + length <= room {
        return 0;
    }
    let free = (room - length).max(0);
    let margin = (room / MARGIN).min(free / 2);
    from.clamp(margin, free - margin) - from
}

impl Canvas {
    /// A place of the old canvas in square pixels: column and row.
    pub(crate) fn squared(&self, x: usize, y: usize) -> (i64, i64) {
        let (x, y) = (part(self.whole.width, x, self.old.width), part(self.whole.height, y, self.old.height));
        (x as i64, y as i64)
    }

    /// Columns and rows that a bitmap has in square pixels, wherever it stands; at least one each.
    pub(crate) fn size(&self, width: usize, height: usize) -> (usize, usize) {
        let (width, height) = self.squared(width, height);
        (width.max(1) as usize, height.max(1) as usize)
    }

    /// Where things of the whole canvas, in square pixels, that are shown together come to stand on this one: where they stood
    /// over the picture if they are within it, else moved inside as one, and one by one where that is larger than the
    /// canvas.
    pub(crate) fn place(&self, shown: &[Rect]) -> Vec<Rect> {
        let (left, top) = (self.left as i64, self.top as i64);
        let mut shown: Vec<_> = shown.iter().map(|r| Rect { x: r.x - left, y: r.y - top, ..*r }).collect();
        let Some(all) = shown.iter().copied().reduce(Rect::union) else { return shown };
        let (width, height) = (self.width as i64, self.height as i64);
        for rect in &mut shown {
            let across = if all.width <= width { all } else { *rect };
            let down = if all.height <= height { all } else { *rect };
            rect.x += inward(across.x, across.width, width);
            rect.y += inward(down.y, down.height, height);
        }
        shown
    }

    /// Is it where it was over the picture?
    pub(crate) fn stayed(&self, was: Rect, is: Rect) -> bool {
        (is.x + self.left as i64, is.y + self.top as i64) == (was.x, was.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(scaled: &str, crop: &str) -> Result<Kept, String> {
        Kept::new(scaled.parse().unwrap(), crop.parse().unwrap())
    }

    #[test]
    fn the_canvas_loses_what_the_picture_lost() {
        let canvas = |scaled, crop, (columns, rows)| {
            let Canvas { left, top, width, height, .. } = kept(scaled, crop).unwrap().of(columns, rows);
            (width, height, left, top)
        };
        assert_eq!(canvas("1024x576", "1024:432:0:72", (1920, 1080)), (1920, 810, 0, 135));
        assert_eq!(canvas("1024x576", "1024:432:0:72", (720, 576)), (1024, 432, 0, 72));
        assert_eq!(canvas("1024x576", "1000:428:12:74", (720, 576)), (1000, 428, 12, 74));
        assert_eq!(canvas("1024x576", "1024:432:0:72", (352, 576)), (1024, 432, 0, 72));
        assert_eq!(canvas("768x576", "768:416:0:80", (720, 576)), (768, 416, 0, 80));
        assert_eq!(canvas("1920x1080", "1920:810:0:135", (720, 576)), (1024, 432, 0, 72));
        assert_eq!(canvas("640x480", "640:400:0:40", (720, 480)), (720, 450, 0, 45), "more rows");
        assert_eq!(canvas("1047x576", "1047:432:0:72", (1920, 1080)), (1920, 810, 0, 135), "nearly square");
        assert_eq!(canvas("1920x1080", "1920:810:0:135", (1920, 1088)), (1920, 816, 0, 136), "nearly square");
        assert_eq!(canvas("128x72", "96:51:31:21", (60, 48)), (64, 34, 21, 14), "rounded");
        assert_eq!(canvas("65536x65536", "1:1:0:0", (720, 576)), (1, 1, 0, 0));
        // Out of all proportion: they keep the pixels that they have.
        assert_eq!(canvas("1000x10", "500:10:0:0", (720, 576)), (360, 576, 0, 0));
        assert_eq!(canvas("1024x576", "1024:432:0:72", (1920, 2304)), (1920, 1728, 0, 288));
    }

    #[test]
    fn a_crop_is_within_the_picture() {
        assert_eq!(
            kept("1024x576", "1024:432:0:146").unwrap_err(),
            "1024:432:0:146 reaches beyond the picture of 1024x576"
        );
        assert!(kept("1024x576", "1024:576:0:0").unwrap().is_all());
        assert!(!kept("1024x576", "1024:432:0:144").unwrap().is_all());
    }

    #[test]
    fn what_is_shown_together_moves_together() {
        let canvas = kept("720x576", "720:432:0:72").unwrap().of(720, 576);
        let rect = |y, height| Rect { x: 100, y, width: 500, height };
        let tops = |shown: &[Rect]| canvas.place(shown).iter().map(|rect| rect.y).collect::<Vec<_>>();
        assert_eq!(tops(&[rect(400, 60)]), [328]);
        assert_eq!(tops(&[rect(510, 60)]), [432 - 60 - 12]);
        assert_eq!(tops(&[rect(10, 60)]), [12]);
        assert_eq!(tops(&[rect(470, 30), rect(510, 30)]), [350, 390]);
        assert_eq!(tops(&[rect(10, 60), rect(510, 60)]), [12, 360], "too far apart for this canvas");
        assert_eq!(tops(&[rect(0, 432)]), [0]);
        assert_eq!(canvas.place(&[rect(0, 432)])[0].x, 100);
    }
}
