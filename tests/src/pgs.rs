//! Subtitles as pictures, made here: text drawn by ffmpeg, in PGS streams.

use crate::shell;
use std::ops::Range;

/// A picture of text: how opaque each pixel is.
pub struct Picture {
    /// Pixels across.
    pub width: u16,
    /// Rows down.
    pub height: u16,
    /// Row after row.
    pub alpha: Vec<u8>,
}

impl Picture {
    /// White text, as ffmpeg draws it, 40 pixels from the left of a picture of that size.
    pub fn of(text: &str, (width, height): (u16, u16), font: u16) -> Self {
        let draw = format!(
            "ffmpeg -v error -f lavfi -i \"color=black:s={width}x{height},\
             drawtext=text='{text}':fontcolor=white:fontsize={font}:x=40:y=(h-text_h)/2,format=gray\" \
             -frames:v 1 -f rawvideo -"
        );
        // Black is 16, white 235.
        let opaque = |&grey: &u8| (u16::from(grey.saturating_sub(16)) * 255 / 219).min(255) as u8;
        let alpha: Vec<_> = shell(&draw).run().ok().stdout.iter().map(opaque).collect();
        assert_eq!(alpha.len(), usize::from(width) * usize::from(height));
        Self { width, height, alpha }
    }

    /// The same picture in so many columns.
    pub fn in_columns(&self, width: u16) -> Self {
        let old = usize::from(self.width);
        let column = |n: u16| usize::from(n) * old / usize::from(width);
        let rows = self.alpha.chunks(old);
        Self {
            width,
            height: self.height,
            alpha: rows.flat_map(|row| (0..width).map(|n| row[column(n)])).collect(),
        }
    }

    /// Blu-ray's run lengths of 16 shades: the colour itself, or 0, how often, and which colour.
    fn run_lengths(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for row in self.alpha.chunks(self.width.into()) {
            for run in row.chunk_by(|a, b| a >> 4 == b >> 4) {
                let (colour, length) = (run[0] >> 4, run.len() as u16);
                let [high, low] = length.to_be_bytes();
                match (colour, length) {
                    (0, ..64) => out.extend([0, low]),
                    (0, _) => out.extend([0, 0x40 | high, low]),
                    (_, ..3) => out.extend(std::iter::repeat_n(colour, length.into())),
                    (_, ..64) => out.extend([0, 0x80 | low, colour]),
                    _ => out.extend([0, 0xc0 | high, low, colour]),
                }
            }
            out.extend([0, 0]);
        }
        out
    }
}

/// What is shown together, each picture in a window of its own.
pub struct Cue<'a> {
    /// From when to when, in ticks of 90 kHz.
    pub ticks: Range<u32>,
    /// Pictures, one or two, and where they begin on the canvas.
    pub objects: Vec<(&'a Picture, (u16, u16))>,
}

/// A PGS stream on a canvas of so many columns and rows, each cue an epoch of its own.
pub fn pgs(canvas: (u16, u16), cues: &[Cue<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut segment = |pts: u32, kind: u8, payload: &[u8]| {
        out.extend(b"PG");
        out.extend(pts.to_be_bytes());
        out.extend([0; 4]);
        out.push(kind);
        out.extend((payload.len() as u16).to_be_bytes());
        out.extend(payload);
    };
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    for (n, Cue { ticks, objects }) in cues.iter().enumerate() {
        let count = objects.len() as u8;
        let composition = |number: usize, state: u8, objects: &[u8]| {
            [&words(&[canvas.0, canvas.1])[..], &[0x10], &words(&[number as u16]), &[state, 0, 0], objects]
                .concat()
        };
        let (mut shown, mut windows) = (vec![count], vec![count]);
        for (id, (picture, (x, y))) in (0..).zip(objects) {
            shown.extend([&[0, id, id, 0][..], &words(&[*x, *y])].concat());
            windows.extend([&[id][..], &words(&[*x, *y, picture.width, picture.height])].concat());
        }
        let palette: Vec<u8> =
            [0, 0].into_iter().chain((0..16).flat_map(|shade| [shade, 235, 128, 128, shade * 17])).collect();
        segment(ticks.start, 0x16, &composition(2 * n, 0x80, &shown));
        segment(ticks.start, 0x17, &windows);
        segment(ticks.start, 0x14, &palette);
        for (id, (picture, _)) in (0..).zip(objects) {
            let pixels = picture.run_lengths();
            let length = (pixels.len() as u32 + 4).to_be_bytes();
            let size = words(&[picture.width, picture.height]);
            segment(ticks.start, 0x15, &[&[0, id, 0, 0xc0], &length[1..], &size, &pixels].concat());
        }
        segment(ticks.start, 0x80, &[]);
        segment(ticks.end, 0x16, &composition(2 * n + 1, 0, &[0]));
        segment(ticks.end, 0x17, &windows);
        segment(ticks.end, 0x80, &[]);
    }
    out
}
