//! All of a film, decoded once: when each picture and each piece of sound comes.

use crate::probe;
use cli::Result;
use std::{collections::BTreeMap, path::Path};

/// A decoded piece of sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Second at which it begins.
    pub at: f64,
    /// Samples in it.
    pub samples: u64,
}

/// What came out of a film.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Second of each picture of the video stream.
    pub pictures: Vec<f64>,
    /// The pieces of each sound stream, by its index.
    pub sound: BTreeMap<usize, Vec<Piece>>,
    /// What the decoders complained of first.
    pub complaint: Option<String>,
}

impl Decoded {
    /// Decodes the film whose video stream is `video`.
    ///
    /// Errors: ffprobe cannot read it to its end.
    pub fn read(film: &Path, video: usize) -> Result<Self> {
        let mut decoded = Self::default();
        let said =
            probe::lines(film, "frame=stream_index,pts_time,nb_samples", &["-threads", "0"], |line| {
                decoded.add(line, video);
            })?;
        decoded.complaint = said.lines().next().map(str::to_owned);
        Ok(decoded)
    }

    /// Takes a line of ffprobe's: `0|0.040000|` is a picture, `1|0.032000|1536|` a piece of sound.
    fn add(&mut self, line: &str, video: usize) {
        let mut fields = line.split('|');
        let Some(stream) = fields.next().and_then(|index| index.parse::<usize>().ok()) else { return };
        // A picture that has no time is there, but nowhere.
        let at = fields.next().and_then(|time| time.parse().ok()).unwrap_or(f64::NAN);
        if stream == video {
            self.pictures.push(at);
        } else if let Some(samples) = fields.next().and_then(|count| count.parse().ok()) {
            self.sound.entry(stream).or_default().push(Piece { at, samples });
        }
    }
}

/// How far the times of pictures are from where they belong, at `rate` a second from the first on: in the middle, at the
/// end, and where it is worst, in seconds.
pub fn off(pictures: &[f64], rate: f64) -> Option<[f64; 3]> {
    let off = |n: usize| pictures[n] - pictures[0] - n as f64 / rate;
    let last = pictures.len().checked_sub(1)?;
    Some([off(pictures.len() / 2), off(last), super::worst((0..=last).map(off))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pictures_or_sound() {
        let mut decoded = Decoded::default();
        for line in ["0|0.000000|", "1|0.000000|1536|", "0|0.042000|side_data|", "2|1.000000|", "1|N/A|1536|"]
        {
            decoded.add(line, 0);
        }
        assert_eq!(decoded.pictures, [0.0, 0.042]);
        assert_eq!(decoded.sound[&1][0], Piece { at: 0.0, samples: 1536 });
        assert!(decoded.sound[&1][1].at.is_nan() && decoded.sound.len() == 1);
    }

    #[test]
    fn a_picture_that_is_late_is_the_worst() {
        assert_eq!(off(&[], 24.0), None);
        assert_eq!(off(&[5.0], 24.0), Some([0.0; 3]));
        assert_eq!(off(&[1.0, 1.25, 1.75, 1.75], 4.0), Some([0.25, 0.0, 0.25]));
        assert!(
            off(&[0.0, f64::NAN, 0.5], 4.0).is_some_and(|[.., worst]| worst.is_nan()),
            "a picture without a time"
        );
    }
}
