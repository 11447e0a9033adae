//! Every fast operation against its plain version: random numbers, odd sizes, extremes, all levels of the CPU.

use super::{
    deform::Deform,
    direct::{Direct, Narrow},
    fast::{Fast, Feature},
    map::{MARGIN, Map, Pool, padded},
    plain::{self, Activation, Planes},
    sample::{self, Flow},
    sink::{Shuffle, ToMap, shuffled},
    winograd::{Winograd, in_order},
};
use crate::{
    Align, Conv, Model, Precision, Settings, checkpoint::Checkpoint, formula, network::Backend,
    picture::Output,
};
use simd::{LANES, Level};

/// Numbers in `-1..1`, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn list(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| scale * self.next()).collect()
    }

    fn planes(&mut self, channels: usize, height: usize, width: usize, scale: f32) -> Planes {
        Planes { channels, height, width, data: self.list(channels * height * width, scale) }
    }

    fn conv(&mut self, cin: usize, cout: usize, k: usize) -> Conv {
        let scale = (3.0 / (cin * k * k) as f32).sqrt();
        Conv { cin, cout, k, weight: self.list(cin * cout * k * k, scale), bias: self.list(cout, 0.1) }
    }

    fn flow(&mut self, width: usize, height: usize, scale: f32) -> (Flow, Planes) {
        let planes = self.planes(2, height, width, scale);
        let data = planes.plane(0).iter().zip(planes.plane(1)).map(|(&x, &y)| [x, y]).collect();
        (Flow { width, data }, planes)
    }
}

fn to_map(pool: &Pool, planes: &Planes, stride: usize) -> Map {
    let mut map = pool.map(stride, planes.width, planes.height);
    for (y, row) in map.rows_mut().into_iter().enumerate() {
        for (x, pixel) in row.chunks_exact_mut(stride).enumerate() {
            // What follows the channels must not matter, as long as it is finite.
            pixel.fill(1e6);
            for (c, value) in pixel.iter_mut().enumerate().take(planes.channels) {
                *value = planes.data[(c * planes.height + y) * planes.width + x];
            }
        }
    }
    map
}

fn to_planes(map: &Map, channels: usize) -> Planes {
    let (height, width) = (map.height(), map.width());
    let mut planes = Planes::zeros(channels, height, width);
    for y in 0..height {
        for (x, pixel) in map.row(y).chunks_exact(map.stride()).enumerate() {
            for (c, &value) in pixel.iter().enumerate().take(channels) {
                planes.data[(c * height + y) * width + x] = value;
            }
        }
    }
    planes
}

/// The margin that all kernels rely on.
fn assert_margin(map: &Map) {
    let view = map.view();
    let (w, h) = (view.width as isize, view.bottom as isize);
    let m = MARGIN as isize;
    for y in -m..h + m {
        for x in (-m..0).chain(w..w + m) {
            // SAFETY: within the margin.
            assert_eq!(unsafe { *view.pixel(x, y) }, 0.0, "column {x}, row {y}");
        }
    }
}

fn assert_close(what: &str, have: &Planes, want: &Planes, limit: f32) {
    assert_eq!((have.channels, have.height, have.width), (want.channels, want.height, want.width), "{what}");
    for (at, (a, b)) in have.data.iter().zip(&want.data).enumerate() {
        assert!((a - b).abs() <= limit, "{what}: value {at} is {a}, should be {b}");
    }
}

/// Runs on every level, checks each against `want`, and the two levels with fused multiply-add against each other.
fn on_all_levels(what: &str, want: &Planes, limit: f32, run: impl Fn(Level) -> Planes) {
    let mut fused: Option<Planes> = None;
    for level in Level::available() {
        let have = run(level);
        assert_close(&format!("{what}, {level}"), &have, want, limit);
        if !matches!(level, Level::Portable(_)) {
            assert!(fused.as_ref().is_none_or(|first| *first == have), "{what}: levels differ");
            fused = Some(have);
        }
    }
}

/// Widths and heights around the sizes of tiles and groups of tiles, from one pixel on.
const SIZES: [[usize; 2]; 7] = [[1, 1], [2, 5], [7, 3], [13, 9], [16, 8], [50, 6], [101, 17]];

#[test]
fn winograd() {
    let mut random = Random(1);
    let pool = Pool::default();
    let shapes: [(&[usize], usize); 7] = [
        (&[64], 64),
        (&[16], 16),
        (&[3], 24),
        (&[24, 24, 24, 4], 24),
        (&[64, 5, 80], 33),
        (&[16], 432),
        (&[48], 80),
    ];
    for (parts, cout) in shapes {
        let conv = random.conv(parts.iter().sum(), cout, 3);
        let fast = Winograd::new(&conv, parts, &in_order(cout));
        for [w, h] in SIZES {
            let inputs: Vec<_> = parts.iter().map(|&c| random.planes(c, h, w, 1.0)).collect();
            let add = [random.planes(cout, h, w, 1.0), random.planes(cout, h, w, 1.0)];
            let maps: Vec<_> = inputs.iter().map(|p| to_map(&pool, p, padded(p.channels))).collect();
            let added = add.each_ref().map(|p| to_map(&pool, p, padded(cout)));
            let mut want =
                plain::conv(&conv, &plain::concat(&inputs.iter().collect::<Vec<_>>()), Activation::Leaky);
            want.data.iter_mut().zip(&add[0].data).zip(&add[1].data).for_each(|((v, a), b)| *v += a + b);
            on_all_levels(&format!("{parts:?} to {cout}, {w}x{h}"), &want, 1e-5, |level| {
                let mut out = pool.map(padded(cout), w, h);
                let add = added.each_ref().map(|map| Some(map.view()));
                let sink = ToMap { out: out.canvas(), act: Activation::Leaky, add };
                fast.run(level, &maps.iter().collect::<Vec<_>>(), 0..h, sink);
                assert_margin(&out);
                to_planes(&out, cout)
            });
        }
    }
}

/// Values of very different sizes side by side: the error is that of the largest, not more.
#[test]
fn winograd_with_extremes() {
    let mut random = Random(2);
    let pool = Pool::default();
    let conv = random.conv(16, 16, 3);
    let fast = Winograd::new(&conv, &[16], &in_order(16));
    let mut input = random.planes(16, 9, 14, 1e-3);
    for (i, value) in input.data.iter_mut().enumerate().filter(|(i, _)| i % 37 == 0) {
        *value = if i % 2 == 0 { 1e4 } else { -1e4 };
    }
    let map = to_map(&pool, &input, 16);
    let want = plain::conv(&conv, &input, Activation::None);
    on_all_levels("extremes", &want, 1e4 * 1e-5, |level| {
        let mut out = pool.map(16, 14, 9);
        let sink = ToMap { out: out.canvas(), act: Activation::None, add: [None; 2] };
        fast.run(level, &[&map], 0..9, sink);
        to_planes(&out, 16)
    });
}

#[test]
fn pixel_shuffle() {
    let mut random = Random(3);
    let pool = Pool::default();
    for (cin, cout) in [(16, 64), (24, 96), (64, 256), (8, 20)] {
        let conv = random.conv(cin, cout, 3);
        let fast = Winograd::new(&conv, &[cin], &shuffled(cout));
        for [w, h] in SIZES {
            let input = random.planes(cin, h, w, 1.0);
            let map = to_map(&pool, &input, padded(cin));
            let want = plain::pixel_shuffle(&plain::conv(&conv, &input, Activation::Leaky));
            on_all_levels(&format!("{cin} to {cout}, {w}x{h}"), &want, 1e-5, |level| {
                let mut out = pool.map(padded(cout / 4), 2 * w, 2 * h);
                let vectors = padded(cout / 4) / LANES;
                fast.run(level, &[&map], 0..h, Shuffle { out: out.canvas(), vectors });
                assert_margin(&out);
                to_planes(&out, cout / 4)
            });
        }
    }
}

#[test]
fn direct() {
    let mut random = Random(4);
    let pool = Pool::default();
    let shapes = [
        (3, 4, 64, 3, 1),
        (8, 8, 32, 7, 1),
        (32, 32, 64, 7, 1),
        (16, 16, 16, 5, 1),
        (7, 16, 40, 7, 1),
        (5, 8, 80, 1, 1),
        (3, 4, 64, 3, 2),
        (24, 32, 24, 3, 2),
    ];
    for (cin, stride, cout, k, step) in shapes {
        let conv = random.conv(cin, cout, k);
        let fast = Direct::new(&conv, stride, step);
        for [w, h] in SIZES {
            let input = random.planes(cin, h, w, 1.0);
            let map = to_map(&pool, &input, stride);
            let mut want = plain::conv(&conv, &input, Activation::Relu);
            if step == 2 {
                want = plain::every_second(&want);
            }
            on_all_levels(&format!("{k}x{k} by {step}, {cin} to {cout}, {w}x{h}"), &want, 1e-5, |level| {
                let mut out = pool.map(padded(cout), want.width, want.height);
                fast.run(level, &map, ToMap { out: out.canvas(), act: Activation::Relu, add: [None; 2] });
                assert_margin(&out);
                to_planes(&out, cout)
            });
        }
    }
}

#[test]
fn narrow() {
    let mut random = Random(5);
    let pool = Pool::default();
    for (cin, k) in [(16, 7), (64, 3), (24, 3), (8, 7)] {
        let conv = random.conv(cin, 3, k);
        let fast = Narrow::<3>::new(&conv, padded(cin));
        for [w, h] in SIZES {
            let input = random.planes(cin, h, w, 1.0);
            let map = to_map(&pool, &input, padded(cin));
            let want = plain::conv(&conv, &input, Activation::None);
            on_all_levels(&format!("{k}x{k}, {cin} to 3, {w}x{h}"), &want, 1e-5, |level| {
                let mut out = Planes::zeros(3, h, w);
                let mut row = vec![[0.0; 3]; w];
                for y in 0..h {
                    fast.row(level, &map, y, &mut row);
                    for (x, pixel) in row.iter().enumerate() {
                        for (c, &value) in pixel.iter().enumerate() {
                            out.data[(c * h + y) * w + x] = value;
                        }
                    }
                }
                out
            });
        }
    }
}

/// Offsets from fractions of a pixel to far outside, at every number of channels in a group.
#[test]
fn deformable_convolution() {
    let mut random = Random(6);
    let pool = Pool::default();
    for (c, groups, reach) in [(64, 16, 3.0), (24, 16, 0.2), (16, 16, 40.0), (8, 4, 3.0), (32, 2, 1e9)] {
        let mut align =
            Align { offset: vec![random.conv(c, 27 * groups, 3)], deform: random.conv(2 * c, c, 3) };
        align.offset[0].weight.iter_mut().for_each(|w| *w *= 0.5);
        let fast = Deform::new(&align, &[c]);
        for [w, h] in [[1, 1], [7, 3], [37, 14]] {
            let features = [random.planes(c, h, w, 1.0), random.planes(c, h, w, 1.0)];
            let hidden = random.planes(c, h, w, 1.0);
            let (first, second) = (random.flow(w, h, reach), random.flow(w, h, reach));
            let offsets = plain::conv(&align.offset[0], &hidden, Activation::None);
            let want = plain::deform(&align, [&features[0], &features[1]], [&first.1, &second.1], &offsets);
            let maps = features.each_ref().map(|p| to_map(&pool, p, padded(c)));
            let hidden = to_map(&pool, &hidden, padded(c));
            // A sample moves by up to 10 px times the error of the tanh, on a picture of noise.
            on_all_levels(&format!("{c} channels, {groups} groups, {w}x{h}"), &want, 5e-5, |level| {
                let mut out = pool.map(padded(c), w, h);
                let flows = [&first.0, &second.0];
                fast.run(level, &[&hidden], [&maps[0], &maps[1]], flows, &mut out);
                assert_margin(&out);
                to_planes(&out, c)
            });
        }
    }
}

#[test]
fn warps() {
    let mut random = Random(7);
    let pool = Pool::default();
    for reach in [0.0, 1.0, 5.0, 1e3, f32::MAX] {
        for [w, h] in SIZES {
            let input = random.planes(24, h, w, 1.0);
            let (flow, flow_planes) = random.flow(w, h, reach);
            let map = to_map(&pool, &input, 32);
            let want = plain::warp_zeros(&input, &flow_planes);
            on_all_levels(&format!("up to {reach}, {w}x{h}"), &want, 1e-6, |level| {
                let mut out = pool.map(32, w, h);
                sample::warp(level, &map, &flow, &mut out);
                assert_margin(&out);
                to_planes(&out, 24)
            });

            if reach < 1e4 {
                let (previous, previous_planes) = random.flow(w, h, 5.0);
                let mut want = plain::warp_zeros(&previous_planes, &flow_planes);
                want.data.iter_mut().zip(&flow_planes.data).for_each(|(v, f)| *v += f);
                let have = flow.compose(&previous);
                let planes = |c: usize| have.data.iter().map(move |v| v[c]);
                let have = Planes { data: planes(0).chain(planes(1)).collect(), ..want };
                assert_close("composition", &have, &want, 1e-4);
            }
        }
    }
}

#[test]
fn flow_resizes() {
    let mut random = Random(8);
    for ([w, h], [to_w, to_h]) in
        [([10, 6], [20, 12]), ([96, 96], [69, 67]), ([5, 7], [5, 7]), ([1, 1], [2, 2])]
    {
        let (flow, planes) = random.flow(w, h, 3.0);
        for align_corners in [true, false] {
            let have = flow.resize(to_w, to_h, align_corners, [2.0, 0.5]);
            let resize = if align_corners { plain::resize_align_corners } else { plain::resize_half_pixel };
            let want = resize(&planes, to_h, to_w);
            for (at, vector) in have.data.iter().enumerate() {
                for (c, scale) in [2.0, 0.5].into_iter().enumerate() {
                    assert!((vector[c] - scale * want.plane(c)[at]).abs() < 1e-5);
                }
            }
        }
    }
}

/// The tail in bands is the tail of the whole picture: several bands and a bit, an odd width.
#[test]
fn reconstruction() {
    let (width, height) = (65, 70);
    let bytes = formula::safetensors(&formula::tensors(16, 1), "");
    let model = Model::new(&Checkpoint::safetensors("formula", &bytes).unwrap()).unwrap();
    let rgb24 = rawstream::RgbFmt::named("rgb24").unwrap();
    let settings = Settings {
        width,
        height,
        in_fmt: rgb24,
        out_fmt: rgb24,
        precision: Precision::Fp32,
        threads: 3,
        max_memory: None,
    };
    let mut random = Random(9);
    let features: [_; 5] = std::array::from_fn(|_| random.planes(16, height, width, 2.0));
    let wire = formula::frame(width, height, 0);
    let frame = crate::picture::unpack(rgb24, width * height, &wire);
    let frame = Planes { channels: 3, height, width, data: frame };
    let want = plain::reconstruct(&model.weights, &frame, features.each_ref());
    on_all_levels("reconstruction", &want, 1e-5, |level| {
        let mut fast = Fast::new(&model, &settings, Output::Float, level).unwrap();
        let frame = fast.frame(&wire).unwrap();
        let pool = Pool::default();
        let features = features.each_ref().map(|p| Feature::Single(to_map(&pool, p, 16)));
        let mut have = Vec::new();
        // Twice, so that bands find what an earlier frame has left.
        for _ in 0..2 {
            fast.reconstruct(&frame, features.each_ref(), &mut |bytes| {
                have = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                Ok(())
            })
            .unwrap();
        }
        Planes { channels: 3, height: 4 * height, width: 4 * width, data: have }
    });
}
