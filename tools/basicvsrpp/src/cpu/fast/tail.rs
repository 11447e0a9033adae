//! From the features of a frame to the enlarged frame, some rows at a time: the maps at full resolution are only as high
//! as that asks.

use super::{
    Fast,
    network::{Network, RGB},
};
use crate::cpu::{
    map::{Map, map_bytes},
    plain::Activation,
    sample,
    sink::{Shuffle, ToMap},
    winograd::TILE,
};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of the features that are enlarged together.
const BAND: usize = 16;

impl Fast {
    /// Bytes of the maps between the pixel shuffles and after them.
    pub fn tail_bytes(&self) -> u64 {
        let Network { upsample1, upsample2, conv_hr, .. } = &self.network;
        let rows = |scale: usize| scale * (BAND + 2 * TILE);
        map_bytes(upsample1.channels() / 4, 2 * self.width, rows(2))
            + map_bytes(upsample2.channels() / 4, 4 * self.width, rows(4))
            + map_bytes(conv_hr.channels(), 4 * self.width, rows(4))
    }

    /// Enlarges into `enlarged`.
    pub fn enlarge(&self, frame: &Map, features: [&Map; 5], enlarged: &mut [f32]) {
        let Network { reconstruction: (input, blocks), upsample1, upsample2, conv_hr, conv_last, .. } =
            &self.network;
        let x = self.conv(input, &features, Activation::Leaky, [None; 2]);
        let x = self.blocks(blocks, x, None);

        let Self { width, height, .. } = *self;
        let bands: Vec<_> =
            (0..height).step_by(BAND).map(|y| Band::new(y..height.min(y + BAND), height)).collect();
        let most = |rows: fn(&Band) -> usize| bands.iter().map(rows).max().unwrap_or(0);
        let mut twice = self.maps.map(upsample1.channels() / 4, 2 * width, most(|b| 2 * b.upsample1.len()));
        let mut full = self.maps.map(upsample2.channels() / 4, 4 * width, most(|b| 2 * b.upsample2.len()));
        let mut hr = self.maps.map(conv_hr.channels(), 4 * width, most(|b| b.conv_hr.len()));
        // The base; a network that keeps the size has the frame itself.
        let columns = sample::positions(frame.width(), 4 * width, false);
        let rows = sample::positions(frame.height(), 4 * height, false);
        for band in bands {
            twice.set_band(2 * band.upsample1.start, 2 * band.upsample1.len());
            full.set_band(2 * band.upsample2.start, 2 * band.upsample2.len());
            hr.set_band(band.conv_hr.start, band.conv_hr.len());
            let vectors = upsample1.vectors() / 4;
            upsample1.run(self.level, &[&x], band.upsample1, Shuffle { out: twice.canvas(), vectors });
            let vectors = upsample2.vectors() / 4;
            upsample2.run(self.level, &[&twice], band.upsample2, Shuffle { out: full.canvas(), vectors });
            let sink = ToMap { out: hr.canvas(), act: Activation::Leaky, add: [None; 2] };
            conv_hr.run(self.level, &[&full], band.conv_hr, sink);

            let (w, plane) = (4 * width, 16 * width * height);
            let values = band.out.start * w..band.out.end * w;
            let (r, rest) = enlarged.split_at_mut(plane);
            let (g, b) = rest.split_at_mut(plane);
            let [r, g, b] = [r, g, b].map(|plane| plane[values.clone()].par_chunks_mut(w));
            r.zip(g).zip(b).enumerate().for_each_init(
                || vec![[0.0; 3]; w],
                |residue, (i, ((r, g), b))| {
                    let y = band.out.start + i;
                    conv_last.row(self.level, &hr, y, residue);
                    let (y0, y1, fy) = rows[y];
                    sample::resize_row([frame.row(y0), frame.row(y1)], fy, RGB, &columns, |x, base| {
                        [r[x], g[x], b[x]] = std::array::from_fn(|c| residue[x][c] + base[c]);
                    });
                },
            );
        }
    }
}

/// The rows that each convolution of the tail computes for some rows of the enlarged picture, in the convolution's own
/// picture: with the rows around them that the next one wants, rounded up to whole tiles.
#[derive(Debug)]
struct Band {
    upsample1: Range<usize>,
    upsample2: Range<usize>,
    conv_hr: Range<usize>,
    out: Range<usize>,
}

impl Band {
    /// For rows `rows` of a small picture of `height` rows.
    fn new(rows: Range<usize>, height: usize) -> Self {
        let around = |rows: &Range<usize>, height: usize| {
            let start = rows.start.saturating_sub(1);
            let end = start + (rows.end + 1 - start).next_multiple_of(TILE);
            start..end.min(height)
        };
        // The rows of a picture before a pixel shuffle that make up the rows after it.
        let before = |rows: Range<usize>, height: usize| {
            let start = rows.start / 2;
            let end = start + (rows.end.div_ceil(2) - start).next_multiple_of(TILE);
            start..end.min(height)
        };
        let out = 4 * rows.start..4 * rows.end;
        let conv_hr = around(&out, 4 * height);
        let wanted = conv_hr.start.saturating_sub(1)..(conv_hr.end + 1).min(4 * height);
        let upsample2 = before(wanted, 2 * height);
        let wanted = upsample2.start.saturating_sub(1)..(upsample2.end + 1).min(2 * height);
        let upsample1 = before(wanted, height);
        Self { upsample1, upsample2, conv_hr, out }
    }
}
