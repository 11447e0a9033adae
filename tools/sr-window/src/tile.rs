//! A frame in parts, for devices with too little memory for whole ones.
//!
//! Every tile is a film of its own to the engine, of one size; neighbours overlap and each gives the half of the
//! overlap that is nearer to its middle. What is seen across a tile's edge is lost, so the picture is not bit for bit
//! that of a whole frame. A sequence's enlarged frames are held until its last tile is done.

use crate::engine::{Engine, EngineError, Out};
use basicvsrpp::Settings;
use bytes::Bytes;
use rawstream::RgbFmt;
use std::ops::Range;

/// Pixels that neighbouring tiles share at least, where the tile is large enough for it.
const OVERLAP: usize = 32;

/// Where a tile lies along one axis, and which part of the result is taken from it, in input pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    begin: usize,
    takes: Range<usize>,
}

/// Tiles of `tile` pixels that cover `whole`, spread evenly.
fn spans(whole: usize, tile: usize) -> Vec<Span> {
    let overlap = OVERLAP.min(tile / 2);
    let count = if whole <= tile { 1 } else { (whole - overlap).div_ceil(tile - overlap) };
    let begin = |i: usize| if count == 1 { 0 } else { i * (whole - tile) / (count - 1) };
    let border = |i: usize| (begin(i) + begin(i - 1) + tile) / 2;
    (0..count)
        .map(|i| Span {
            begin: begin(i),
            takes: if i == 0 { 0 } else { border(i) }..if i + 1 == count { whole } else { border(i + 1) },
        })
        .collect()
}

/// How many tiles of `tile` pixels cover `whole`.
pub fn count(whole: (usize, usize), tile: (usize, usize)) -> usize {
    spans(whole.0, tile.0).len() * spans(whole.1, tile.1).len()
}

/// A rectangle of a picture, in pixels.
#[derive(Clone, Copy)]
struct Part {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

/// Byte ranges of the rows of a part of a picture of `width` x `height`, plane after plane.
fn rows(fmt: RgbFmt, (width, height): (usize, usize), part: Part) -> impl Iterator<Item = Range<usize>> {
    let pixel = fmt.component(0).step;
    (0..fmt.planes()).flat_map(move |plane| {
        (part.y..part.y + part.height).map(move |y| {
            let at = ((plane * height + y) * width + part.x) * pixel;
            at..at + part.width * pixel
        })
    })
}

/// An engine for whole frames around one for tiles.
pub struct Tiled {
    engine: Box<dyn Engine>,
    tile: (usize, usize),
    whole: (usize, usize),
    in_fmt: RgbFmt,
    out_fmt: RgbFmt,
    across: Vec<Span>,
    down: Vec<Span>,
}

impl Tiled {
    /// `settings` are those of `engine`, whose frames are the tiles; `width` and `height` the whole frame's.
    pub fn new(engine: Box<dyn Engine>, settings: &Settings, width: usize, height: usize) -> Self {
        Self {
            engine,
            tile: (settings.width, settings.height),
            whole: (width, height),
            in_fmt: settings.in_fmt,
            out_fmt: settings.out_fmt,
            across: spans(width, settings.width),
            down: spans(height, settings.height),
        }
    }
}

impl Engine for Tiled {
    fn scale(&self) -> usize {
        self.engine.scale()
    }

    fn enlarge(
        &mut self,
        frames: &[Bytes],
        emit: Range<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        let scale = self.engine.scale();
        let scaled = |(width, height): (usize, usize)| (scale * width, scale * height);
        let (whole, tile) = (scaled(self.whole), scaled(self.tile));
        let mut enlarged = vec![vec![0u8; self.out_fmt.frame_bytes(whole.0, whole.1)]; emit.len()];
        for down in &self.down {
            for across in &self.across {
                let part = Part { x: across.begin, y: down.begin, width: self.tile.0, height: self.tile.1 };
                let cut = |frame: &Bytes| {
                    let rows = rows(self.in_fmt, self.whole, part);
                    Bytes::from_iter(rows.flat_map(|row| frame[row].iter().copied()))
                };
                let tiles: Vec<Bytes> = frames.iter().map(cut).collect();
                let takes = Part {
                    x: scale * across.takes.start,
                    y: scale * down.takes.start,
                    width: scale * across.takes.len(),
                    height: scale * down.takes.len(),
                };
                let within = Part { x: takes.x - scale * part.x, y: takes.y - scale * part.y, ..takes };
                let mut n = 0;
                self.engine.enlarge(&tiles, emit.clone(), &mut |part| {
                    let to = rows(self.out_fmt, whole, takes);
                    for (to, from) in to.zip(rows(self.out_fmt, tile, within)) {
                        enlarged[n][to].copy_from_slice(&part[from]);
                    }
                    n += 1;
                    Ok(())
                })?;
            }
        }
        for frame in enlarged {
            out(frame.into())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use basicvsrpp::Precision;

    const SCALE: usize = 4;

    #[test]
    fn spans_cover_everything_once() {
        for whole in 64..300 {
            for tile in [64, 65, 100, 299].into_iter().filter(|&t| t <= whole) {
                let spans = spans(whole, tile);
                let mut next = 0;
                for s in &spans {
                    assert_eq!(s.takes.start, next);
                    assert!(
                        s.begin <= s.takes.start && s.takes.end <= s.begin + tile && s.begin + tile <= whole
                    );
                    next = s.takes.end;
                }
                assert_eq!(next, whole);
            }
        }
    }

    /// Enlarges by repeating pixels, so that tiles cannot be told from the whole.
    struct Nearest {
        width: usize,
        fmt: RgbFmt,
    }

    impl Engine for Nearest {
        fn scale(&self) -> usize {
            SCALE
        }

        fn enlarge(
            &mut self,
            frames: &[Bytes],
            emit: Range<usize>,
            out: &mut Out<'_>,
        ) -> Result<(), EngineError> {
            let pixel = self.fmt.component(0).step;
            for frame in &frames[emit] {
                let wide = frame.chunks(pixel).flat_map(|p| p.repeat(SCALE)).collect::<Vec<_>>();
                let tall = wide.chunks(SCALE * self.width * pixel).flat_map(|row| row.repeat(SCALE));
                out(tall.collect())?;
            }
            Ok(())
        }
    }

    #[test]
    fn tiles_join_without_a_seam() {
        let (width, height) = (150, 97);
        for name in ["rgb24", "rgb48le", "gbrp"] {
            let fmt = RgbFmt::named(name).unwrap();
            let noise =
                |seed: usize| (0..fmt.frame_bytes(width, height)).map(move |i| (i * (seed + 7) % 251) as u8);
            let frames: Vec<Bytes> = (0..3).map(|seed| noise(seed).collect()).collect();
            let enlarge = |engine: &mut dyn Engine| {
                let mut all = Vec::new();
                engine
                    .enlarge(&frames, 1..3, &mut |frame| {
                        all.push(frame);
                        Ok(())
                    })
                    .unwrap();
                all
            };
            let settings = Settings {
                width: 64,
                height: 70,
                in_fmt: fmt,
                out_fmt: fmt,
                precision: Precision::Fp32,
                threads: 1,
                max_memory: None,
            };
            let whole = enlarge(&mut Nearest { width, fmt });
            let tiles =
                enlarge(&mut Tiled::new(Box::new(Nearest { width: 64, fmt }), &settings, width, height));
            assert!(whole == tiles, "{name}");
        }
    }
}
