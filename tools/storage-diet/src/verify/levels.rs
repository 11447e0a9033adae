//! Whether the film's pictures are as bright, as rich in contrast and as colourful as the source's.
//!
//! Both are brought to limited-range BT.709, in which films are made, and are seen as a coarse grid of means, in codes of 8
//! bits: grain and fine detail, which the network and the encoder change, are no levels.

use rawstream::{ColorRange, Matrix};

/// Columns and rows of a [`Grid`].
pub const GRID: (usize, usize) = (8, 5);
/// Y, Cb and Cr of a picture, each the means of the fields of a grid.
pub type Grid = [Vec<f32>; 3];

/// By how much luma may be off. Films that x265 made at CRF 40, of 144 rows, are off by 0.5, and where they fade in or out by
/// 2.5, as they lag.
const LUMA: f32 = 3.0;
/// The same of Cb and of Cr; such films are off by 1.2.
const CHROMA: f32 = 3.0;
/// By which part contrast may be off; such films lose 0.011.
const CONTRAST: f32 = 0.05;
/// By which part colour may be off; such films lose 0.033.
const COLOUR: f32 = 0.1;
/// A difference of contrast or of colour that is no more than this many codes is none: what coding leaves of the colours of
/// darkness and of grain differs by 1.
const LITTLE: f32 = 1.5;
/// How far apart, in codes, a source taken in two matrices must be for a film to tell which one it was.
const COLOURFUL: f32 = 1.5;
/// The film is another matrix's where it is this part of the way from the right one to it, or as much beyond it.
const WAY: f32 = 2.0 / 3.0;

/// What the samples of a source's picture mean.
#[derive(Clone, Copy, Debug)]
pub struct Colours {
    /// Its matrix.
    pub matrix: Matrix,
    /// Its range.
    pub range: ColorRange,
}

impl Colours {
    /// Y, Cb and Cr in 8 bits as they are in limited-range BT.709 (H.273, equations 38 to 43 and table 4), where there is no
    /// more than black and white of red, green and blue.
    pub fn bt709(self, [y, cb, cr]: [u8; 3]) -> [f32; 3] {
        let [y, cb, cr] = [y, cb, cr].map(f64::from);
        let [y, cb, cr] = match self.range {
            ColorRange::Limited => [(y - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0],
            ColorRange::Full => [y / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0],
        };
        let (of_red, of_blue) = self.matrix.weights();
        let (red, blue) = (y + 2.0 * (1.0 - of_red) * cr, y + 2.0 * (1.0 - of_blue) * cb);
        let green = (y - of_red * red - of_blue * blue) / (1.0 - of_red - of_blue);
        let [red, green, blue] = [red, green, blue].map(|part| part.clamp(0.0, 1.0));
        let (of_red, of_blue) = Matrix::Bt709.weights();
        let y = of_red * red + (1.0 - of_red - of_blue) * green + of_blue * blue;
        let (cb, cr) = ((blue - y) / (2.0 * (1.0 - of_blue)), (red - y) / (2.0 * (1.0 - of_red)));
        [16.0 + 219.0 * y, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr].map(|level| level as f32)
    }

    /// Y alone, of a picture as [`planes`] takes it.
    pub fn luma(self, picture: &[u8]) -> Vec<f32> {
        let [luma, _, _] = planes(picture, |codes| self.bt709(codes));
        luma
    }
}

/// Y, Cb and Cr of a picture that has them one plane after another, in levels that `level` makes of them.
pub fn planes(picture: &[u8], level: impl Fn([u8; 3]) -> [f32; 3]) -> [Vec<f32>; 3] {
    let all = picture.len() / 3;
    let mut planes = [(); 3].map(|()| Vec::with_capacity(all));
    for n in 0..all {
        let levels = level([picture[n], picture[all + n], picture[2 * all + n]]);
        planes.iter_mut().zip(levels).for_each(|(plane, level)| plane.push(level));
    }
    planes
}

/// A picture of the film beside the source's.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The frame of the film that it is.
    pub frame: u64,
    /// In the film.
    pub new: Grid,
    /// In the source.
    pub old: Grid,
    /// In the source, were it in these matrices.
    pub taken_as: Vec<(Matrix, Grid)>,
}

/// What was found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// By how much Y, Cb and Cr are off at most; `None` where there are no pictures.
    pub most: Option<[f32; 3]>,
    /// What is wrong, in words.
    pub wrong: Option<String>,
}

/// Compares pictures in the order of the film with those of a source in `matrix`.
pub fn compare(pairs: &[Pair], matrix: Matrix) -> Found {
    let offs: Vec<_> = pairs.iter().map(|pair| Off::of(&pair.new, &pair.old)).collect();
    let means = offs.iter().map(|off| off.means).reduce(|most, means| {
        std::array::from_fn(|n| if means[n].abs() > most[n].abs() { means[n] } else { most[n] })
    });
    let parts: Vec<_> = offs.iter().map(Off::of_tolerances).collect();
    // A flash that coding took the edge off is one picture; what is wrong is wrong in the next one, too.
    let is_wrong = |n: usize, kind: usize| {
        let part = parts[n][kind];
        let too = |other: usize| parts.get(other).is_some_and(|parts| parts[kind] * part.signum() > 1.0);
        part.abs() > 1.0 && (parts.len() == 1 || too(n + 1) || n.checked_sub(1).is_some_and(too))
    };
    let kinds = |n: usize| (0..KINDS).filter(move |&kind| is_wrong(n, kind));
    let count = (0..pairs.len()).filter(|&n| kinds(n).next().is_some()).count();
    let all = (0..pairs.len()).flat_map(|n| kinds(n).map(move |kind| (n, kind)));
    let worst = all.max_by(|a, b| parts[a.0][a.1].abs().total_cmp(&parts[b.0][b.1].abs()));
    let worst = worst.map(|(n, kind)| {
        format!("{}; {count} of {} are off", offs[n].words(pairs[n].frame, kind), pairs.len())
    });
    let wrong = match (worst, Taken::of(pairs)) {
        (None, Some(taken)) => Some(taken.words(matrix)),
        (Some(_), Some(taken)) if taken.explains() => Some(taken.words(matrix)),
        (worst, _) => worst,
    };
    Found { most: means, wrong }
}

/// How many kinds of levels there are: luma, Cb, Cr, contrast and colour.
const KINDS: usize = 5;

/// How a picture's levels differ from the source's. Pairs are the film's and the source's.
#[derive(Debug)]
struct Off {
    /// Of Y, Cb and Cr.
    means: [f32; 3],
    of_source: [f32; 3],
    /// Deviation of luma from its mean.
    spread: [f32; 2],
    /// How far Cb and Cr are from grey on average.
    from_grey: [[f32; 2]; 2],
    /// What there is of the source's colour: 1 where it is the same, and 0 where it is none or another.
    colour: f32,
    /// By how many codes that changes the picture.
    colour_off: f32,
}

impl Off {
    fn of(new: &Grid, old: &Grid) -> Self {
        let (new_means, of_source) = (new.each_ref().map(|p| mean(p)), old.each_ref().map(|p| mean(p)));
        let spread =
            |luma: &[f32], of: f32| mean(&luma.iter().map(|y| (y - of).powi(2)).collect::<Vec<_>>()).sqrt();
        let grey = |plane: &Vec<f32>| mean(&plane.iter().map(|c| (c - 128.0).abs()).collect::<Vec<_>>());
        let product = |a: &Grid, b: &Grid| -> f32 {
            let planes = a[1..].iter().zip(&b[1..]);
            planes.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| (a - 128.0) * (b - 128.0)).sum()
        };
        let colourful = product(old, old);
        let colour = if colourful > 0.0 { product(new, old) / colourful } else { 1.0 };
        Self {
            means: std::array::from_fn(|n| new_means[n] - of_source[n]),
            of_source,
            spread: [spread(&new[0], new_means[0]), spread(&old[0], of_source[0])],
            from_grey: [new, old].map(|planes| [grey(&planes[1]), grey(&planes[2])]),
            colour,
            colour_off: (colour - 1.0).abs() * (colourful / old[1].len() as f32).sqrt(),
        }
    }

    /// What is off, as parts of what may be.
    fn of_tolerances(&self) -> [f32; KINDS] {
        let [luma, cb, cr] = self.means;
        let [new, old] = self.spread;
        let contrast = if (new - old).abs() > LITTLE { (new - old) / old.max(LITTLE) } else { 0.0 };
        let colour = if self.colour_off > LITTLE { self.colour - 1.0 } else { 0.0 };
        [luma / LUMA, cb / CHROMA, cr / CHROMA, contrast / CONTRAST, colour / COLOUR]
    }

    fn words(&self, frame: u64, kind: usize) -> String {
        let Self { means, of_source, spread: [new, old], from_grey: [film, source], .. } = self;
        let side = |more, less| if means[kind] > 0.0 { more } else { less };
        let by = |n: usize| format!("{:.1}", means[n].abs());
        let both = |n: usize| format!("{:.1}, {:.1}", of_source[n] + means[n], of_source[n]);
        match kind {
            0 => {
                let darker = side("brighter", "darker");
                format!("frame {frame} is {} {darker} than the source's (luma {})", by(0), both(0))
            }
            1 | 2 => {
                let (name, above) = (["Cb", "Cr"][kind - 1], side("above", "below"));
                format!("{name} of frame {frame} is {} {above} the source's ({})", by(kind), both(kind))
            }
            3 => {
                let part = new / old.max(LITTLE);
                format!("frame {frame} has {part:.2} of the source's contrast (spread {new:.1}, {old:.1})")
            }
            _ => format!(
                "frame {frame} has {:.2} of the source's colour (Cb and Cr {:.1} and {:.1} from grey, {:.1} and {:.1})",
                // Without the sign of a zero.
                (self.colour * 100.0).round() / 100.0 + 0.0,
                film[0],
                film[1],
                source[0],
                source[1]
            ),
        }
    }
}

/// A matrix in which the source would have been taken for the film to be as it is.
struct Taken {
    matrix: Matrix,
    /// How far the film is from the source in that matrix, in codes, and in the right one.
    off: [f32; 2],
}

impl Taken {
    /// The one that is nearest, if one is nearer than the right one.
    fn of(pairs: &[Pair]) -> Option<Self> {
        let grids = |n: usize| pairs.iter().map(move |pair| (pair, &pair.taken_as[n]));
        let all = (0..pairs.first()?.taken_as.len()).filter_map(|n| {
            let (mut own, mut other, mut apart) = (0.0, 0.0, 0.0);
            for (pair, (_, taken)) in grids(n) {
                own += square(&pair.new, &pair.old);
                other += square(&pair.new, taken);
                apart += square(&pair.old, taken);
            }
            let fields = (pairs.len() * GRID.0 * GRID.1) as f32;
            // Where the film is on the straight line from the right one, at 0, to this one, at 1.
            let way = (own - other + apart) / (2.0 * apart);
            let tells = (apart / fields).sqrt() > COLOURFUL;
            let is_there = (way - 1.0).abs() < 1.0 - WAY;
            let off = [other, own].map(|sum| (sum / fields).sqrt());
            (tells && is_there).then(|| Self { matrix: pairs[0].taken_as[n].0, off })
        });
        all.min_by(|a, b| a.off[0].total_cmp(&b.off[0]))
    }

    /// Is little off that does not come of it?
    fn explains(&self) -> bool {
        self.off[0] < 0.5 * self.off[1]
    }

    fn words(&self, matrix: Matrix) -> String {
        let [other, own] = self.off;
        format!(
            "the colours are as of a source in {}, not in {matrix} (off by {other:.1}, {own:.1})",
            self.matrix
        )
    }
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

/// The sum of the squares of what is between them.
fn square(a: &Grid, b: &Grid) -> f32 {
    let planes = a.iter().zip(b);
    planes.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| (a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of many colours; in it, everything is `scale` times as far from grey, and brighter by `more`.
    fn grid(scale: f32, more: f32) -> Grid {
        let plane = |phase: f32| {
            let wave = move |n: usize| 128.0 + scale * 40.0 * (n as f32 * 0.37 + phase).sin();
            (0..GRID.0 * GRID.1).map(wave).collect::<Vec<f32>>()
        };
        let [luma, cb, cr] = [0.0, 1.0, 2.5].map(plane);
        [luma.into_iter().map(|luma| luma + more).collect(), cb, cr]
    }

    fn found(new: &[Grid]) -> Option<String> {
        let pair = |(n, new): (usize, &Grid)| {
            let taken_as = vec![(Matrix::Bt709, grid(1.08, 3.0)), (Matrix::Bt2020nc, grid(1.0, 0.5))];
            Pair { frame: 10 * n as u64, new: new.clone(), old: grid(1.0, 0.0), taken_as }
        };
        compare(&new.iter().enumerate().map(pair).collect::<Vec<_>>(), Matrix::Bt470bg).wrong
    }

    #[test]
    fn colours_of_bt470bg_and_full_range_become_bt709s() {
        let bt709 = |matrix, range, codes| Colours { matrix, range }.bt709(codes).map(f32::round);
        let (pal, hd) = (Matrix::Bt470bg, Matrix::Bt709);
        let (limited, full) = (ColorRange::Limited, ColorRange::Full);
        assert_eq!(bt709(pal, limited, [100, 128, 128]), [100.0, 128.0, 128.0]);
        assert_eq!(bt709(hd, limited, [63, 102, 220]), [63.0, 102.0, 220.0]);
        // Red, green and white (BT.601 and BT.709 in 8 bits); whiter than white is white.
        assert_eq!(bt709(pal, limited, [81, 90, 240]), [62.0, 102.0, 240.0]);
        assert_eq!(bt709(pal, limited, [145, 54, 34]), [173.0, 42.0, 26.0]);
        assert_eq!(bt709(pal, full, [255, 128, 128]), [235.0, 128.0, 128.0]);
        assert_eq!(bt709(pal, limited, [254, 128, 128]), [235.0, 128.0, 128.0]);
    }

    #[test]
    fn what_is_wrong_is_wrong_in_the_next_picture_too() {
        let (good, dark) = (grid(1.0, 0.0), grid(1.0, -8.4));
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[good.clone(), dark.clone(), good.clone()]), None, "a flash");
        assert_eq!(found(&[good.clone(), dark.clone(), grid(1.0, 8.4)]), None, "two flashes");
        let words = |found: Option<String>, end: &str| {
            let found = found.unwrap();
            assert!(
                found.contains(" is 8.4 darker than the source's (luma 1") && found.ends_with(end),
                "{found}"
            );
        };
        words(found(std::slice::from_ref(&dark)), "; 1 of 1 are off");
        words(found(&[good, dark.clone(), dark]), "; 2 of 3 are off");
    }

    #[test]
    fn a_matrix_that_was_taken_for_another_is_named() {
        let taken = "the colours are as of a source in bt709, not in bt470bg (off by 0.0, 5.1)";
        assert_eq!(found(&[grid(1.08, 3.0), grid(1.08, 3.0)]).unwrap(), taken);
        assert_eq!(found(&[grid(1.02, 0.8), grid(1.02, 0.8)]), None);
        assert_eq!(found(&[grid(1.0, 0.5), grid(1.0, 0.5)]), None, "too near to be told");
    }
}
