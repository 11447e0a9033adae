//! How fast each kernel is by itself, at the sizes of a 1024x432 film: `cuda-kernels`.

use basicvsrpp::{
    Conv,
    cuda::{
        Kernels,
        call::{Activation, Call, Target},
        deform::{DeformLayer, OFFSET_PLANES, Source},
        driver::{Gpu, Stream},
        layer::Layer,
        motion,
        pack::{Order, halves},
        view::View,
    },
};

/// Milliseconds of the median of twelve runs.
fn time(gpu: &Gpu, mut run: impl FnMut(usize)) -> f32 {
    run(0);
    let mut times: Vec<f32> = (0..12)
        .map(|i| {
            let start = gpu.record(Stream::Compute).unwrap();
            run(2 * i);
            run(2 * i + 1);
            let end = gpu.record(Stream::Compute).unwrap();
            gpu.synchronize_event(&end).unwrap();
            gpu.between(&start, &end).unwrap() / 2.0
        })
        .collect();
    times.sort_by(f32::total_cmp);
    times[6]
}

fn part(of: View, at: usize, bytes: usize) -> View {
    of.slice(at..at + bytes).unwrap()
}

fn main() {
    let gpu = Gpu::open(0).unwrap();
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut conv = |cin: usize, cout: usize, k: usize| {
        let scale = (3.0 / (cin * k * k) as f32).sqrt();
        let weight = (0..cin * cout * k * k).map(|_| scale * random()).collect();
        Conv { cin, cout, k, weight, bias: vec![0.1; cout] }
    };
    let (w, h) = (1024, 432);
    let plane = w * h * 8;
    // 40 planes at twice the size, three times over, so that no run finds its input in the cache.
    let mut seed = 1u32;
    let noise: Vec<f32> = (0..1 << 20)
        .map(|_| {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let noise = halves(&noise);
    let bytes = 2 * 160 * plane;
    let buffers: Vec<_> = (0..3).map(|_| gpu.allocate(bytes).unwrap()).collect();
    for buffer in &buffers {
        for at in (0..bytes - noise.len()).step_by(noise.len()) {
            gpu.upload(part(buffer.view(), at, noise.len()), &noise).unwrap();
        }
    }
    let out = gpu.allocate(4 * bytes).unwrap();
    let identity = |n: usize| (0..n).map(Some).collect::<Vec<_>>();
    let mut offsets = identity(196);
    offsets.extend(vec![None; 28]);
    let rgb: Vec<_> = (0..8).map(|c| (c < 3).then_some(c)).collect();
    let cases = [
        ("3 > 64", conv(3, 64, 3), Order::Same, 1, rgb, 0, 1, 1),
        ("64 > 64", conv(64, 64, 3), Order::Same, 4, identity(64), 0, 1, 1),
        ("64 > 64 + residual", conv(64, 64, 3), Order::Same, 4, identity(64), 1, 1, 1),
        ("196 > 64", conv(196, 64, 3), Order::Same, 4, offsets, 0, 1, 1),
        ("320 > 64", conv(320, 64, 3), Order::Same, 4, identity(320), 0, 1, 1),
        ("64 > 432", conv(64, 432, 3), Order::Offsets, 4, identity(64), 0, 1, 1),
        ("64 > 256 shuffle", conv(64, 256, 3), Order::Shuffle, 4, identity(64), 0, 1, 1),
        ("64 > 256 shuffle at 2048x864", conv(64, 256, 3), Order::Shuffle, 4, identity(64), 0, 1, 2),
        ("64 > 64 at 2048x864", conv(64, 64, 3), Order::Same, 4, identity(64), 0, 1, 2),
        ("7x7 8 > 32, 4 images", conv(8, 32, 7), Order::Flow, 1, identity(8), 0, 4, 1),
        ("7x7 32 > 64, 4 images", conv(32, 64, 7), Order::Flow, 4, identity(32), 0, 4, 1),
        ("7x7 64 > 32, 4 images", conv(64, 32, 7), Order::Flow, 4, identity(64), 0, 4, 1),
        ("7x7 32 > 16, 4 images", conv(32, 16, 7), Order::Flow, 4, identity(32), 0, 4, 1),
    ];
    for (name, conv, order, unit, inputs, residual, batch, scale) in &cases {
        for kernels in [Kernels::Mma, Kernels::Wgmma] {
            let layer = Layer::new(&gpu, kernels, conv, *order, *unit, inputs).unwrap();
            if kernels == Kernels::Wgmma && !layer.function().contains("wgmma") {
                continue;
            }
            let size = (w * scale, h * scale);
            let plane = plane * scale * scale;
            let act = if *order == Order::Offsets { Activation::Offsets } else { Activation::Leaky };
            let ms = time(&gpu, |run| {
                let read = part(buffers[run % 3].view(), 0, batch * layer.planes() * plane * 2);
                let inputs = [read];
                let planes = layer.planes_out(*order == Order::Shuffle);
                let area = if *order == Order::Shuffle { 4 * plane } else { plane };
                let bytes = batch * planes * area * 2;
                let out = part(out.view(), 0, bytes);
                let target = match order {
                    Order::Shuffle => Target::Shuffled(out),
                    _ => Target::Feature(out),
                };
                let residuals: Vec<_> =
                    (0..*residual).map(|_| part(buffers[(run + 1) % 3].view(), 0, bytes)).collect();
                let call = Call::new(&inputs, target, act, size);
                layer.run(&gpu, &Call { residuals: &residuals, images: *batch, ..call }).unwrap();
            });
            let flop = 2 * conv.cin * conv.cout * conv.k * conv.k * w * h * scale * scale * batch;
            println!("{name:30} {:12} {ms:.4} ms {:5.0} TFLOP/s", layer.function(), flop as f32 / ms / 1e9);
        }
    }
    let smooth: Vec<u8> =
        (0..2 * w * h).flat_map(|i| ((i / 64 % 1000) as f32 / 250.0 - 2.0).to_le_bytes()).collect();
    let flow = gpu.store(&smooth).unwrap();
    let conv = conv(128, 64, 3);
    let layer = DeformLayer::new(&gpu, Kernels::Mma, &conv).unwrap();
    let feature = 8 * plane * 2;
    let source = |run: usize, i: usize| Source {
        feature: part(buffers[run % 3].view(), i * feature, feature),
        flow: flow.view(),
    };
    // Offsets within a pixel (the noise), then zero.
    for (name, zero) in [("offsets of a pixel", false), ("no offsets", true)] {
        let at = |run: usize| part(buffers[run % 3].view(), 20 * plane * 2, OFFSET_PLANES * plane * 2);
        if zero {
            for run in 0..3 {
                gpu.fill(at(run), 0).unwrap();
            }
        }
        let out = part(out.view(), 0, feature);
        let ms = time(&gpu, |run| {
            layer.run(&gpu, source(run, 0), Some(source(run, 1)), at(run), out, (w, h)).unwrap();
        });
        println!("deformable, {name}: {ms:.4} ms");
    }
    let ms = time(&gpu, |run| {
        let outs = [part(out.view(), 0, feature), part(out.view(), feature, feature + plane * 2)];
        motion::condition(&gpu, Kernels::Mma, source(run, 0), Some(source(run, 1)), outs, 8, (w, h)).unwrap();
    });
    println!("two warps: {ms:.4} ms");
}
