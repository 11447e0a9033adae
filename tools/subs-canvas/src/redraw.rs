//! Bitmaps that have no room on a canvas.

use crate::canvas::{Canvas, MARGIN, Rect};
use std::ops::Range;
use subpicture::Bitmap;

/// What is to be seen of a bitmap, and how it is drawn where all of it has no room.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The part that is not transparent, within the bitmap.
    pub(crate) part: Rect,
    /// The rows and columns of the bitmap that are drawn: no transparent margins, and no more than fits.
    pub(crate) rows: Places,
    pub(crate) columns: Places,
}

/// Rows or columns of a bitmap, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    among: Vec<Range<usize>>,
    count: usize,
}

impl Places {
    fn all(among: Vec<Range<usize>>) -> Self {
        let count = among.iter().map(Range::len).sum();
        Self { among, count }
    }

    /// So many of these, as evenly as can be.
    fn fewer(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Each of them.
    pub(crate) fn list(&self) -> Vec<usize> {
        let all: Vec<_> = self.among.iter().cloned().flatten().collect();
        (0..self.count).map(|n| all[(2 * n + 1) * all.len() / (2 * self.count)]).collect()
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
        let mut rows = Vec::new();
        let mut columns = vec![false; bitmap.width];
        for row in bitmap.rows() {
            let mut any = false;
            for (column, _) in columns.iter_mut().zip(row).filter(|(_, pixel)| is_opaque(**pixel)) {
                *column = true;
                any = true;
            }
            rows.push(any);
        }
        // ffmpeg shows nothing that is of one row.
        let (top, bottom) = ends(&rows, 2.min(rows.len()));
        let (left, right) = ends(&columns, 1);
        let part = Rect {
            x: left as i64,
            y: top as i64,
            width: (right - left) as i64,
            height: (bottom - top) as i64,
        };
        let mut rows = closed(&rows, (top, bottom), canvas.height);
        let mut columns = closed(&columns, (left, right), canvas.width);
        // By the same factor, the smaller of the two.
        let (w, h) = (columns.len(), rows.len());
        if w > canvas.width || h > canvas.height {
            let (width, height) = (inside(canvas.width), inside(canvas.height));
            let (n, d) = if width * h < height * w { (width, w) } else { (height, h) };
            let part = |of: usize| ((2 * of * n + d) / (2 * d)).max(1);
            columns = columns.fewer(part(w));
            rows = rows.fewer(part(h));
        }
        Self { part, rows, columns }
    }

    /// Where its middle was, on a canvas where the bitmap begins at `x`, `y`, and as large as it is drawn.
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

    /// Of a bitmap that cannot be read: all of it.
    pub(crate) fn unknown(width: usize, height: usize) -> Self {
        let part = Rect { x: 0, y: 0, width: width as i64, height: height as i64 };
        let places = |end: usize| Places::all(vec![Range { start: 0, end }]);
        Self { part, rows: places(height), columns: places(width) }
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
fn closed(set: &[bool], (first, end): (usize, usize), room: usize) -> Places {
    if end - first <= room {
        return Places::all(vec![Range { start: first, end }]);
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
    Places::all(among.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rows: &[&str], (width, height): (usize, usize)) -> Seen {
        let pixels = rows.concat().bytes().map(|c| u8::from(c == b'#')).collect();
        let canvas = Canvas { left: 0, top: 0, width, height };
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
}
