//! Weights and frames that are computed from formulas: a network and a film for tests and for the demonstration of
//! the pipeline, without a file. The weights are pseudo-random, so what the network makes of a picture means nothing.
//!
//! Every number is SplitMix64 started at the FNV-1a hash of a name; `tests/data/README.md` has the formulas, the test
//! vectors and what the reference network computes with them.

use crate::checkpoint::Tensor;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Output number `i` of SplitMix64 started at `seed`.
fn random(seed: u64, i: u64) -> u64 {
    let z = seed.wrapping_add(i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The tensors of a network with `c` channels and `b` residual blocks in each branch, under the names of the published
/// checkpoints, in their order.
pub fn tensors(c: usize, b: usize) -> Vec<(String, Tensor)> {
    network(c, b, false)
}

/// The tensors of a network that keeps the input's size: two strided convolutions come before the feature extractor.
pub fn tensors_keeping_size(c: usize, b: usize) -> Vec<(String, Tensor)> {
    network(c, b, true)
}

/// The same as [`tensors`] with what a branch hands on halved, so that features do not grow over hundreds of frames: for
/// long films in float16.
pub fn tensors_steady(c: usize, b: usize) -> Vec<(String, Tensor)> {
    let mut all = tensors(c, b);
    for branch in crate::Branch::ALL.map(crate::Branch::name) {
        let name = format!("deform_align.{branch}.weight");
        let handed_on = all.iter_mut().filter(|(n, _)| *n == name);
        handed_on.flat_map(|(_, tensor)| &mut tensor.data).for_each(|w| *w *= 0.5);
    }
    all
}

fn network(c: usize, b: usize, keeps_size: bool) -> Vec<(String, Tensor)> {
    let mut all = Vec::new();
    let constant = |data: [f32; 3]| Tensor { shape: vec![1, 3, 1, 1], data: data.to_vec() };
    all.push(("spynet.mean".to_owned(), constant([0.485, 0.456, 0.406])));
    all.push(("spynet.std".to_owned(), constant([0.229, 0.224, 0.225])));
    let mut conv = |name: String, cin: usize, cout: usize, k: usize| {
        for (kind, shape) in [("weight", vec![cout, cin, k, k]), ("bias", vec![cout])] {
            let full = format!("{name}.{kind}");
            let data = values(&name, &full, &shape);
            all.push((full, Tensor { shape, data }));
        }
    };
    for level in 0..6 {
        for (layer, [cin, cout]) in [[8, 32], [32, 64], [64, 32], [32, 16], [16, 2]].into_iter().enumerate() {
            conv(format!("spynet.basic_module.{level}.basic_module.{layer}.conv"), cin, cout, 7);
        }
    }
    let blocks = |conv: &mut dyn FnMut(String, usize, usize, usize), name: &str, cin: usize, count: usize| {
        conv(format!("{name}.main.0"), cin, c, 3);
        for j in 0..count {
            conv(format!("{name}.main.2.{j}.conv1"), c, c, 3);
            conv(format!("{name}.main.2.{j}.conv2"), c, c, 3);
        }
    };
    if keeps_size {
        conv("feat_extract.0".into(), 3, c, 3);
        conv("feat_extract.2".into(), c, c, 3);
        blocks(&mut conv, "feat_extract.4", c, 5);
    } else {
        blocks(&mut conv, "feat_extract", 3, 5);
    }
    let branches = crate::Branch::ALL.map(crate::Branch::name);
    for branch in branches {
        conv(format!("deform_align.{branch}"), 2 * c, c, 3);
        for (layer, [cin, cout]) in [(0, [3 * c + 4, c]), (2, [c, c]), (4, [c, c]), (6, [c, 432])] {
            conv(format!("deform_align.{branch}.conv_offset.{layer}"), cin, cout, 3);
        }
    }
    for (k, branch) in branches.into_iter().enumerate() {
        blocks(&mut conv, &format!("backbone.{branch}"), (2 + k) * c, b);
    }
    blocks(&mut conv, "reconstruction", 5 * c, 5);
    conv("upsample1.upsample_conv".into(), c, 4 * c, 3);
    conv("upsample2.upsample_conv".into(), c, 256, 3);
    conv("conv_hr".into(), 64, 64, 3);
    conv("conv_last".into(), 64, 3, 3);
    all
}

/// The same with a last layer of zeros: the residue vanishes, and what comes out is the network's bilinear base.
pub fn tensors_without_residue(c: usize, b: usize) -> Vec<(String, Tensor)> {
    let mut all = tensors(c, b);
    for (_, tensor) in all.iter_mut().filter(|(name, _)| name.starts_with("conv_last.")) {
        tensor.data.fill(0.0);
    }
    all
}

/// Tensor `full` (`name.weight` or `name.bias`) of convolution `name`.
fn values(name: &str, full: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let row = count / shape[0];
    let is_weight = full.ends_with(".weight");
    let seed = fnv1a64(full.as_bytes());
    let gain = |channel: usize| {
        let (s, b) = spread(name, channel);
        if is_weight { (s * (3.0 / row as f64).sqrt()) as f32 } else { b as f32 }
    };
    let mut data = Vec::with_capacity(count);
    for channel in 0..shape[0] {
        let gain = gain(channel);
        for i in channel * row..(channel + 1) * row {
            let n = (random(seed, i as u64) >> 40) as i32 - (1 << 23);
            data.push(n as f32 / (1 << 23) as f32 * gain);
        }
    }
    data
}

/// How far weights (times the usual `sqrt(3 / fan_in)`) and biases of a layer spread, so that activations, flows,
/// offsets and masks come out at sizes like those of a trained network.
fn spread(name: &str, channel: usize) -> (f64, f64) {
    if let Some(rest) = name.strip_prefix("spynet.basic_module.") {
        let level: i32 = rest[..1].parse().unwrap_or(0);
        let octave = f64::from(level - 5).exp2();
        return if rest.ends_with(".4.conv") { (2.5 * octave, 0.5 * octave) } else { (1.375, 0.125) };
    }
    match name {
        "feat_extract.main.0" | "feat_extract.0" => (4.0, 0.125),
        "conv_last" => (0.046875, 0.015625),
        _ if name.ends_with(".conv2") => (0.375, 0.0625),
        _ if name.ends_with(".conv_offset.6") && channel < 288 => (0.1875, 0.125),
        _ if name.ends_with(".conv_offset.6") => (0.875, 1.0),
        _ if name.starts_with("deform_align.") && !name.contains(".conv_offset.") => (1.0, 0.125),
        _ => (1.25, 0.125),
    }
}

/// A checkpoint of these tensors as the bytes of a safetensors file, with the prefix of the published ones.
/// `what` goes into its metadata.
pub fn safetensors(tensors: &[(String, Tensor)], what: &str) -> Vec<u8> {
    let raw: Vec<_> = tensors
        .iter()
        .map(|(name, t)| {
            let bytes: Vec<u8> = t.data.iter().flat_map(|x| x.to_le_bytes()).collect();
            (format!("generator.{name}"), &t.shape, bytes)
        })
        .collect();
    let views = raw.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, (*shape).clone(), bytes);
        (name, view.expect("four bytes for each value"))
    });
    let about = HashMap::from([("description".to_owned(), what.to_owned())]);
    safetensors::serialize(views, Some(about)).expect("names differ and sizes fit")
}

/// The tensors as [`Weights::from_tensors`](crate::Weights::from_tensors) takes them.
pub fn by_name(tensors: Vec<(String, Tensor)>) -> BTreeMap<String, Tensor> {
    tensors.into_iter().collect()
}

/// Frame `k` of a film of `width` x `height`, rgb24: smooth noise that moves 1.75 pixels to the left and 1.25 down in
/// every frame.
pub fn frame(width: usize, height: usize, k: usize) -> Bytes {
    let seed = fnv1a64(b"frames");
    let lattice = |p: u64, q: u64, r: u64| (random(seed, (p * 4096 + r) * 4096 + q) >> 56) as i64;
    let noise = |p: u64, n: i64, x: i64, y: i64| {
        let (a, fx, b, fy) = ((x / n) as u64, x % n, (y / n) as u64, y % n);
        let top = lattice(p, a, b) * (n - fx) + lattice(p, a + 1, b) * fx;
        let bottom = lattice(p, a, b + 1) * (n - fx) + lattice(p, a + 1, b + 1) * fx;
        (top * (n - fy) + bottom * fy) / (n * n)
    };
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height as i64 {
        for x in 0..width as i64 {
            let (x, y) = (4 * x + 1024 + 7 * k as i64, 4 * y + 1024 - 5 * k as i64);
            let middle = noise(3, 20, x, y);
            for c in 0..3 {
                let v = (9 * noise(c, 64, x, y) + 4 * middle + 3 * noise(4 + c, 8, x, y)) / 8 - 128;
                rgb.push(v.clamp(0, 255) as u8);
            }
        }
    }
    rgb.into()
}

/// A film of `count` frames, rgb48le, that goes through the first six frames, there and back again: for benches.
pub fn film(width: usize, height: usize, count: usize) -> Vec<Bytes> {
    let few: Vec<Bytes> = (0..count.min(6))
        .map(|k| frame(width, height, k).iter().flat_map(|&b| [b, b]).collect::<Vec<u8>>().into())
        .collect();
    (0..count).map(|k| few[(k % 10).min(10 - k % 10)].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_vectors() {
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(random(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random(0xd50e_d3d8_f844_f1fa, 3), 0xfe98_1854_8235_4ad3);
        let all = by_name(tensors(16, 1));
        let bits = |name: &str, i: usize| all[name].data[i].to_bits();
        assert_eq!(bits("conv_last.weight", 0), 0x3b15_6042);
        assert_eq!(bits("feat_extract.main.2.4.conv2.weight", 5), 0x3cd3_486d);
        assert_eq!(bits("spynet.basic_module.0.basic_module.4.conv.weight", 1), 0xbb41_c9f2);
        assert_eq!(bits("deform_align.backward_1.conv_offset.6.weight", 41471), 0xbbd0_d89e);
        assert_eq!(bits("deform_align.backward_1.conv_offset.6.weight", 41472), 0x3dd5_af49);
        let pixel = |k, y: usize, x: usize| frame(72, 64, k)[3 * (72 * y + x)..][..3].to_vec();
        assert_eq!(pixel(0, 0, 1), [139, 193, 129]);
        assert_eq!(pixel(3, 63, 71), [128, 165, 205]);
    }
}
