//! Bitmaps whose pixels are not square, or that have no room on a canvas.
//!
//! Rows and columns are repeated or left out, never mixed: a bitmap has few colours, most of DVD's four are not between two
//! others, and what would be thinned by a filter is the outline that makes a text legible. Nothing is lost where pixels
//! are made square, for that only ever repeats.

use crate::canvas::{Canvas, MARGIN, Rect};
use std::ops::Range;
use subpicture::Bitmap;

/// What is to be seen of a bitmap, and how it is drawn where its pixels are not square or all of it has no room.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Columns and rows that all of the bitmap has in square pixels.
    pub(crate) size: (usize, usize),
    /// Does it have others as it is?
    is_enlarged: bool,
    /// The part that is not transparent, within the bitmap, in square pixels.
    pub(crate) part: Rect,
    /// The rows and columns of the bitmap that are drawn: no transparent margins, and no more than fits.
    pub(crate) rows: Places,
    pub(crate) columns: Places,
}

/// Rows or columns of a bitmap, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Which, in square pixels.
    among: Vec<Range<usize>>,
    /// How many of these are drawn.
    count: usize,
    /// How many the bitmap has.
    old: usize,
    /// How many it has in square pixels.
    square: usize,
}

/// Of so many rows or columns, the one that is drawn at `n` of `square`.
fn nearest(n: usize, old: usize, square: usize) -> usize {
    (2 * n + 1) * old / (2 * square)
}

impl Places {
    fn all(among: Vec<Range<usize>>, old: usize, square: usize) -> Self {
        let count = among.iter().map(Range::len).sum();
        Self { among, count, old, square }
    }

    /// So many of these, as evenly as can be.
    fn fewer(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Each of them, by its number in the bitmap.
    pub(crate) fn list(&self) -> Vec<usize> {
        let all: Vec<_> = self.among.iter().cloned().flatten().collect();
        let drawn = (0..self.count).map(|n| all[nearest(n, all.len(), self.count)]);
        drawn.map(|n| nearest(n, self.old, self.square)).collect()
    }
}

/// A gap in a picture that may be closed is longer than one in so many of the canvas's columns or rows: what is between
/// lines and words is not.
const GAP: usize = 24;

impl Seen {
    /// What `is_opaque` colours show of a bitmap.
    ///
    /// A picture that is larger than the canvas, such as one with a text at the top and one at the bottom of the frame, loses
    /// transparent rows and columns between its parts; only if that is not enough is it made smaller, by leaving out
    /// rows and columns alike.
    pub(crate) fn of(bitmap: &Bitmap, is_opaque: impl Fn(u8) -> bool, canvas: &Canvas) -> Self {
        let (old, size) = ((bitmap.width, bitmap.height()), canvas.size(bitmap.width, bitmap.height()));
        let (mut columns, mut rows) = (vec![false; old.0], Vec::new());
        for row in bitmap.rows() {
            let mut any = false;
            for (column, _) in columns.iter_mut().zip(row).filter(|(_, pixel)| is_opaque(**pixel)) {
                *column = true;
                any = true;
            }
            rows.push(any);
        }
        let square = |set: &[bool], square| -> Vec<_> {
            (0..square).map(|n| set[nearest(n, set.len(), square)]).collect()
        };
        let (columns, rows) = (square(&columns, size.0), square(&rows, size.1));
        // ffmpeg shows nothing that is of one row.
        let (top, bottom) = ends(&rows, 2.min(rows.len()));
        let (left, right) = ends(&columns, 1);
        let part = Rect {
            x: left as i64,
            y: top as i64,
            width: (right - left) as i64,
            height: (bottom - top) as i64,
        };
        let mut rows = Places::all(closed(&rows, (top, bottom), canvas.height), old.1, size.1);
        let mut columns = Places::all(closed(&columns, (left, right), canvas.width), old.0, size.0);
        // By the same factor, the smaller of the two.
        let (w, h) = (columns.len(), rows.len());
        if w > canvas.width || h > canvas.height {
            let (width, height) = (inside(canvas.width), inside(canvas.height));
            let (n, d) = if width * h < height * w { (width, w) } else { (height, h) };
            let part = |of: usize| ((2 * of * n + d) / (2 * d)).max(1);
            columns = columns.fewer(part(w));
            rows = rows.fewer(part(h));
        }
        Self { size, is_enlarged: size != old, part, rows, columns }
    }

    /// Where its middle was, on a canvas in square pixels where the bitmap begins at `x`, `y`, and as large as it is drawn.
    pub(crate) fn on(&self, x: i64, y: i64) -> Rect {
        let (width, height) = (self.columns.len() as i64, self.rows.len() as i64);
        Rect {
            x: x + self.part.x + (self.part.width - width) / 2,
            y: y + self.part.y + (self.part.height - height) / 2,
            width,
            height,
        }
    }

    /// Is it drawn as large as it was?
    pub(crate) fn fits(&self) -> bool {
        (self.columns.len() as i64, self.rows.len() as i64) == (self.part.width, self.part.height)
    }

    /// Is it to be drawn although it has room?
    pub(crate) fn is_enlarged(&self) -> bool {
        self.is_enlarged
    }

    /// All of a bitmap of `old` columns and rows, whatever is to be seen of it, in `size` of them.
    pub(crate) fn all(old: (usize, usize), size: (usize, usize)) -> Self {
        let part = Rect { x: 0, y: 0, width: size.0 as i64, height: size.1 as i64 };
        let places = |old, end| Places::all(vec![Range { start: 0, end }], old, end);
        let (columns, rows) = (places(old.0, size.0), places(old.1, size.1));
        Self { size, is_enlarged: size != old, part, rows, columns }
    }
}

/// From the first that is set to behind the last, but at least `least`; all where none is.
fn ends(set: &[bool], least: usize) -> (usize, usize) {
    let Some(first) = set.iter().position(|&set| set) else { return (0, set.len()) };
    let end = set.iter().rposition(|&set| set).map_or(set.len(), |last| last + 1);
    let first = first.min(set.len() - least);
    (first, end.max(first + least))
}

/// The rows or columns of a canvas between its margins.
fn inside(room: usize) -> usize {
    room - 2 * (room / MARGIN as usize)
}

/// The places from `first` to before `end`; where there are more than `room`, with gaps of those that are not set closed as
/// far as needed, the longest first.
fn closed(set: &[bool], (first, end): (usize, usize), room: usize) -> Vec<Range<usize>> {
    if end - first <= room {
        return vec![Range { start: first, end }];
    }
    let runs: Vec<_> = set[first..end].chunk_by(|a, b| a == b).collect();
    let kept = |run: &[bool], most: usize| if run[0] { run.len() } else { run.len().min(most) };
    let room = inside(room);
    // The longest that gaps may be.
    let (mut least, mut most) = (room / GAP, end - first);
    while least < most {
        let middle = (least + most).div_ceil(2);
        if runs.iter().map(|run| kept(run, middle)).sum::<usize>() <= room {
            least = middle;
        } else {
            most = middle - 1;
        }
    }
    let mut at = first;
    let among = runs.iter().map(|run| {
        let start = at;
        at += run.len();
        start..start + kept(run, least)
    });
    among.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cli::Size;

    fn seen(rows: &[&str], (width, height): (usize, usize)) -> Seen {
        on(rows, (width, height), (width, height))
    }

    /// On a canvas whose pixels are made square.
    fn on(rows: &[&str], (columns, height): (usize, usize), (width, square): (usize, usize)) -> Seen {
        let pixels = rows.concat().bytes().map(|c| u8::from(c == b'#')).collect();
        let (old, whole) = (Size { width: columns, height }, Size { width, height: square });
        let canvas = Canvas { old, whole, left: 0, top: 0, width, height: square };
        Seen::of(&Bitmap { width: rows[0].len(), pixels }, |pixel| pixel > 0, &canvas)
    }

    #[test]
    fn margins_are_not_seen() {
        let text = seen(&["....", ".##.", ".#..", "...."], (4, 4));
        assert_eq!((text.rows.list(), text.columns.list()), (vec![1, 2], vec![1, 2]));
        assert_eq!(text.part, Rect { x: 1, y: 1, width: 2, height: 2 });
        assert_eq!(seen(&["....", "....", ".##."], (4, 4)).rows.list(), [1, 2], "a row alone");
        assert_eq!(seen(&["....", "...."], (4, 4)).columns.list(), [0, 1, 2, 3], "nothing");
    }

    #[test]
    fn gaps_are_closed_before_anything_is_made_smaller() {
        let tall = ["##", "..", "..", "..", "..", "##", "..", "##"];
        assert_eq!(seen(&tall, (2, 6)).rows.list(), [0, 1, 2, 5, 6, 7]);
        assert_eq!(seen(&tall, (2, 5)).rows.list(), [0, 1, 5, 6, 7]);
        let smaller = seen(&["####", "####", "####", "####"], (4, 2));
        assert_eq!((smaller.rows.list(), smaller.columns.list()), (vec![1, 3], vec![1, 3]));
        assert_eq!(smaller.part.width, 4);
    }

    #[test]
    fn pixels_are_made_square() {
        let text = on(&["....", ".##.", ".#..", "...."], (8, 4), (12, 4));
        assert_eq!((text.size, text.is_enlarged()), ((6, 4), true));
        assert_eq!((text.rows.list(), text.columns.list()), (vec![1, 2], vec![1, 1, 2]));
        assert_eq!(text.part, Rect { x: 1, y: 1, width: 3, height: 2 });
        assert!(text.fits());
        // Every column is drawn, and twice at most.
        let all = on(&["##########"; 2], (720, 2), (1024, 2)).columns.list();
        assert_eq!(all, [0, 1, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 8, 9]);
        let rows = on(&["##"; 8], (720, 480), (720, 540)).rows.list();
        assert_eq!(rows, [0, 1, 2, 3, 4, 4, 5, 6, 7]);
        assert!(!on(&["#"; 4], (720, 480), (720, 480)).is_enlarged());
    }
}
