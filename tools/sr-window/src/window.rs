//! Which frames are computed together: the window rule.
//!
//! Window `j` emits film frames `[jN, (j+1)N)` and computes `[jN-K, (j+1)N+K)`, cut short at the film's ends. Scene
//! cuts split what a window computes into sequences that do not see each other. All of it depends on film frame
//! numbers and on the frames themselves, never on where the stream was started: that is what lets a run be
//! restarted at any frame, or spread over machines, bit for bit.

use bytes::Bytes;
use std::{collections::VecDeque, ops::Range};

/// `--window N --overlap K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Frames emitted per window; at least 1.
    pub window: u64,
    /// Context frames before and after.
    pub overlap: u64,
}

impl Grid {
    /// The window that emits film frame `n`.
    pub fn index(self, n: u64) -> u64 {
        n / self.window
    }

    /// What window `j` emits, in a film without end.
    pub fn emits(self, j: u64) -> Range<u64> {
        j * self.window..(j + 1) * self.window
    }

    /// What window `j` computes, in a film without end.
    pub fn computes(self, j: u64) -> Range<u64> {
        let emits = self.emits(j);
        emits.start.saturating_sub(self.overlap)..emits.end + self.overlap
    }

    /// The film frame that standard input may begin with at the latest when emission starts at `start`.
    pub fn first_frame_needed(self, start: u64) -> u64 {
        self.computes(self.index(start)).start
    }

    /// The most frames that are computed together.
    pub fn longest_sequence(self) -> u64 {
        self.window + 2 * self.overlap
    }
}

/// A frame of the film, and whether a scene begins with it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The picture in wire order.
    pub picture: Bytes,
    /// True when a scene cut lies between the frame before and this one.
    pub cut: bool,
}

/// One window's work, complete: everything it computes has arrived.
#[derive(Clone, Debug)]
pub struct Window {
    /// Film frame number of `frames[0]`.
    pub first: u64,
    /// All frames that are computed.
    pub frames: Vec<Frame>,
    /// Film frames that are emitted.
    pub emits: Range<u64>,
}

/// Frames that see each other: a part of a window between two cuts that has something to emit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Indices into the window's frames.
    pub frames: Range<usize>,
    /// Indices into the sequence of what is emitted; never empty.
    pub emits: Range<usize>,
}

impl Window {
    /// The window's sequences in film order. Scenes that lie wholly in the context are left out: nothing that is
    /// emitted could see them.
    pub fn sequences(&self) -> Vec<Sequence> {
        let mut begins: Vec<usize> = vec![0];
        begins.extend((1..self.frames.len()).filter(|&i| self.frames[i].cut));
        let index = |n: u64| n.saturating_sub(self.first) as usize;
        let emits = index(self.emits.start)..index(self.emits.end);
        let ends = begins.iter().skip(1).copied().chain([self.frames.len()]);
        let mut sequences = Vec::new();
        for (begin, end) in begins.iter().copied().zip(ends) {
            let (from, to) = (emits.start.max(begin), emits.end.min(end));
            if from < to {
                sequences.push(Sequence { frames: begin..end, emits: from - begin..to - begin });
            }
        }
        sequences
    }
}

/// Collects frames in film order and hands out windows as they become complete.
#[derive(Debug)]
pub struct Schedule {
    grid: Grid,
    /// Film frames to emit.
    wanted: Range<u64>,
    /// Number of the next window.
    next: u64,
    /// Film frame number of `held[0]`.
    first: u64,
    held: VecDeque<Frame>,
}

impl Schedule {
    /// Emits `wanted` from a stream that begins with film frame `first_frame`; `u64::MAX` as an end means the film's.
    ///
    /// `first_frame` must not lie beyond [`Grid::first_frame_needed`] of the first wanted frame.
    pub fn new(grid: Grid, wanted: Range<u64>, first_frame: u64) -> Self {
        let next = grid.index(wanted.start);
        Self { grid, wanted, next, first: first_frame, held: VecDeque::new() }
    }

    /// True when nothing that is wanted is still to come: reading may stop.
    pub fn is_done(&self) -> bool {
        self.grid.emits(self.next).start >= self.wanted.end
    }

    /// The next frame of the film; a window when this frame completes it.
    pub fn push(&mut self, frame: Frame) -> Option<Window> {
        self.held.push_back(frame);
        self.drop_unneeded();
        let end = self.first + self.held.len() as u64;
        (end >= self.grid.computes(self.next).end && !self.is_done()).then(|| self.take(end))
    }

    /// The film has ended: what is left, one window a call, cut short at its end.
    pub fn finish(&mut self) -> Option<Window> {
        let end = self.first + self.held.len() as u64;
        (self.grid.emits(self.next).start < end && !self.is_done()).then(|| self.take(end))
    }

    /// Frames that no window to come computes.
    fn drop_unneeded(&mut self) {
        let needed = self.grid.computes(self.next).start;
        while self.first < needed && self.held.pop_front().is_some() {
            self.first += 1;
        }
    }

    fn take(&mut self, end: u64) -> Window {
        let (computes, emits) = (self.grid.computes(self.next), self.grid.emits(self.next));
        let computed = (computes.end.min(end) - self.first) as usize;
        let window = Window {
            first: self.first,
            frames: self.held.iter().take(computed).cloned().collect(),
            emits: emits.start.max(self.wanted.start)..emits.end.min(self.wanted.end).min(end),
        };
        self.next += 1;
        self.drop_unneeded();
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(cut: bool) -> Frame {
        Frame { picture: Bytes::new(), cut }
    }

    /// For every emitted film frame: the film frames of its sequence. This is all that may decide its bytes.
    fn run(grid: Grid, film: &[bool], wanted: Range<u64>, first: u64) -> Vec<(u64, Range<u64>)> {
        let mut schedule = Schedule::new(grid, wanted, first);
        let mut windows = Vec::new();
        for &cut in &film[first as usize..] {
            if schedule.is_done() {
                break;
            }
            windows.extend(schedule.push(frame(cut)));
        }
        windows.extend(std::iter::from_fn(|| schedule.finish()));
        let mut emitted = Vec::new();
        for window in windows {
            for s in window.sequences() {
                let film = |i: usize| window.first + (s.frames.start + i) as u64;
                for i in s.emits.clone() {
                    emitted.push((film(i), film(0)..film(s.frames.len())));
                }
            }
        }
        emitted
    }

    #[test]
    fn the_rule_by_hand() {
        let grid = Grid { window: 4, overlap: 2 };
        let film = vec![false; 10];
        let whole = run(grid, &film, 0..u64::MAX, 0);
        assert_eq!(whole.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!(whole[0].1, 0..6);
        assert_eq!(whole[4].1, 2..10);
        assert_eq!(whole[9].1, 6..10);
        let mut film = film;
        film[5] = true;
        let cut = run(grid, &film, 0..u64::MAX, 0);
        assert_eq!((&cut[3].1, &cut[4].1, &cut[5].1), (&(0..5), &(2..5), &(5..10)));
    }

    /// Wherever the stream starts and whatever part is wanted, a frame sees the same frames.
    #[test]
    fn every_restart_sees_the_same() {
        for (window, overlap) in [(1, 0), (1, 2), (3, 1), (4, 2), (5, 7), (16, 3)] {
            let grid = Grid { window, overlap };
            for cuts in [vec![], vec![1], vec![3, 4], vec![6, 12], vec![5]] {
                let film: Vec<bool> = (0..13).map(|n| cuts.contains(&n)).collect();
                let whole = run(grid, &film, 0..u64::MAX, 0);
                assert_eq!(whole.len(), 13);
                for start in 0..13 {
                    for end in start + 1..=13 {
                        for first in [0, grid.first_frame_needed(start)] {
                            let part = run(grid, &film, start..end, first);
                            assert_eq!(
                                part,
                                whole[start as usize..end as usize],
                                "{grid:?} {start} {end} {first}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn holds_no_more_than_it_computes() {
        let grid = Grid { window: 4, overlap: 2 };
        let mut schedule = Schedule::new(grid, 40..u64::MAX, 0);
        for _ in 0..100 {
            schedule.push(frame(false));
            assert!(schedule.held.len() as u64 <= grid.longest_sequence());
        }
    }
}
