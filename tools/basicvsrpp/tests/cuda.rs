//! The CUDA kernels against plainer ones: fast against plain on the GPU, operation by operation, and the plain network on
//! the GPU against the one on the CPU. Skipped, aloud, where there is no GPU.

use basicvsrpp::{
    Conv, EngineError, Model, Out, Precision, Settings, Weights,
    cpu::CpuEngine,
    cuda::{
        CudaEngine, Kernels, PixelFormat,
        call::{Activation, Call, Picture, Rows, Target},
        deform::{DeformLayer, Source},
        devices,
        driver::{Gpu, Memory},
        layer::Layer,
        pack::{Order, halves},
        view::View,
    },
    formula,
    picture::Output,
};
use bytes::Bytes;
use half::f16;
use rawstream::RgbFmt;

fn gpu() -> Option<Gpu> {
    match devices() {
        Ok(all) if !all.is_empty() => Some(Gpu::open(0).unwrap()),
        Ok(_) => {
            eprintln!("skipped: no NVIDIA GPU");
            None
        }
        Err(e) => {
            eprintln!("skipped: {e}");
            None
        }
    }
}

/// The fast kernels that this GPU has.
fn fast(gpu: &Gpu) -> Vec<Kernels> {
    if gpu.info.capability == (9, 0) { vec![Kernels::Mma, Kernels::Wgmma] } else { vec![Kernels::Mma] }
}

/// Pseudo-random numbers in -1..1; another series on every run.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        eprintln!("seed {seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn many(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.next()).collect()
    }

    fn conv(&mut self, cin: usize, cout: usize, k: usize) -> Conv {
        let scale = (3.0 / (cin * k * k) as f32).sqrt();
        let (weight, bias) = (self.many(cout * cin * k * k, scale), self.many(cout, 0.2));
        Conv { cin, cout, k, weight, bias }
    }

    fn feature(&mut self, gpu: &Gpu, elements: usize) -> Memory {
        gpu.store(&halves(&self.many(elements, 1.0))).unwrap()
    }

    fn flow(&mut self, gpu: &Gpu, pixels: usize, scale: f32) -> Memory {
        let bytes: Vec<u8> = self.many(2 * pixels, scale).iter().flat_map(|v| v.to_le_bytes()).collect();
        gpu.store(&bytes).unwrap()
    }
}

/// Memory full of a value that is not a number in any format.
fn poisoned(gpu: &Gpu, bytes: usize) -> Memory {
    let memory = gpu.allocate(bytes).unwrap();
    gpu.fill(memory.view(), 0xff).unwrap();
    memory
}

fn read(gpu: &Gpu, memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; memory.view().bytes()];
    gpu.download(memory.view(), &mut bytes).unwrap();
    bytes
}

fn read_halves(gpu: &Gpu, memory: &Memory) -> Vec<f32> {
    let bytes = read(gpu, memory);
    bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
}

fn read_floats(gpu: &Gpu, memory: &Memory) -> Vec<f32> {
    let bytes = read(gpu, memory);
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn close(what: &str, have: &[f32], want: &[f32], limit: f32) {
    assert_eq!(have.len(), want.len(), "{what}");
    assert!(want.iter().all(|v| v.is_finite()), "{what}: the plain one is not finite");
    let worst = (0..have.len()).max_by(|&a, &b| {
        let off = |i: usize| if have[i].is_finite() { (have[i] - want[i]).abs() } else { f32::INFINITY };
        off(a).total_cmp(&off(b))
    });
    let Some(i) = worst else { return };
    let off = (have[i] - want[i]).abs();
    let within = have.iter().zip(want).filter(|(a, b)| (**a - **b).abs() <= limit).count();
    let wrong = have.len() - within;
    eprintln!("{what}: off by at most {off:.2e} (at {i} of {}), {wrong} beyond {limit:.0e}", have.len());
    assert!(
        wrong == 0,
        "{what}: {wrong} of {} are off, worst {} for {} at {i}",
        have.len(),
        have[i],
        want[i]
    );
}

/// One convolution in all its kernels.
struct Case {
    name: &'static str,
    conv: Conv,
    order: Order,
    unit: usize,
    inputs: Vec<Option<usize>>,
    activation: Activation,
    residuals: usize,
    batch: usize,
    /// Rows that are computed, and those that the buffers hold (in, out), of a picture `size`.
    rows: Option<(std::ops::Range<usize>, Rows, Rows)>,
    size: (usize, usize),
    limit: f32,
}

fn identity(channels: usize) -> Vec<Option<usize>> {
    (0..channels).map(Some).collect()
}

fn check_conv(gpu: &Gpu, random: &mut Random, case: &Case) {
    let (w, h) = case.size;
    let scale = if case.order == Order::Shuffle { 2 } else { 1 };
    let (rows, held, room) =
        case.rows.clone().unwrap_or((0..h, Rows { first: 0, count: h }, Rows { first: 0, count: scale * h }));
    let planes = case.inputs.len() / 8;
    let plane = held.count * w * 8;
    let input = random.feature(gpu, case.batch * planes * plane);
    let inputs = [input.view()];
    let mut results = Vec::new();
    let mut kernels = vec![Kernels::PlainF16];
    kernels.extend(fast(gpu));
    let residuals: Vec<Memory> = (0..case.residuals)
        .map(|_| random.feature(gpu, case.conv.cout.next_multiple_of(64) * room.count * scale * w))
        .collect();
    let residuals: Vec<View> = residuals.iter().map(|m| m.view()).collect();
    for kernels in kernels {
        let layer = Layer::new(gpu, kernels, &case.conv, case.order, case.unit, &case.inputs).unwrap();
        let planes = layer.planes_out(scale == 2);
        // The rows of a band that it does not compute are set, so that they compare equal.
        let out = poisoned(gpu, case.batch * planes * room.count * scale * w * 16);
        if case.rows.is_some() {
            gpu.fill(out.view(), 0).unwrap();
        }
        let target = match case.order {
            Order::Shuffle => Target::Shuffled(out.view()),
            _ => Target::Feature(out.view()),
        };
        let call = Call::new(&inputs, target, case.activation, case.size);
        let call = Call { residuals: &residuals, rows: rows.clone(), held, room, images: case.batch, ..call };
        layer.run(gpu, &call).unwrap();
        results.push((kernels, layer.function(), read_halves(gpu, &out)));
    }
    let (plain, rest) = results.split_first().unwrap();
    for (kernels, kernel, result) in rest {
        close(&format!("{} {w}x{h} {kernels:?} {kernel}", case.name), result, &plain.2, case.limit);
    }
}

/// Every convolution of the network, in every kernel that it has, against the plain one.
fn convolutions(size: (usize, usize)) {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new();
    let base = |name, conv, order, unit, inputs, activation| Case {
        name,
        conv,
        order,
        unit,
        inputs,
        activation,
        residuals: 0,
        batch: 1,
        rows: None,
        size,
        limit: 4e-3,
    };
    use Activation::{Leaky, None as Nothing, Offsets, Relu};
    let mut flows = identity(196);
    flows.extend(vec![None; 28]);
    let rgb = (0..8).map(|c| (c < 3).then_some(c)).collect();
    let cases = [
        base("rgb", random.conv(3, 64, 3), Order::Same, 1, rgb, Leaky),
        base("64", random.conv(64, 64, 3), Order::Same, 4, identity(64), Relu),
        Case { residuals: 1, ..base("64+1", random.conv(64, 64, 3), Order::Same, 4, identity(64), Nothing) },
        Case { residuals: 2, ..base("64+2", random.conv(64, 64, 3), Order::Same, 4, identity(64), Nothing) },
        Case { limit: 1e-2, ..base("320", random.conv(320, 64, 3), Order::Same, 4, identity(320), Leaky) },
        Case { limit: 1e-2, ..base("196", random.conv(196, 64, 3), Order::Same, 4, flows, Leaky) },
        base("shuffle", random.conv(64, 256, 3), Order::Shuffle, 4, identity(64), Leaky),
        Case {
            limit: 2e-2,
            ..base("offsets", random.conv(64, 432, 3), Order::Offsets, 4, identity(64), Offsets)
        },
        Case { batch: 3, ..base("flow 8", random.conv(8, 16, 3), Order::Flow, 1, identity(8), Relu) },
        Case { batch: 3, ..base("flow 16", random.conv(16, 32, 3), Order::Flow, 2, identity(16), Relu) },
        Case { batch: 3, ..base("flow 32", random.conv(32, 16, 3), Order::Flow, 4, identity(32), Relu) },
        Case { batch: 3, ..base("7x7 8", random.conv(8, 32, 7), Order::Flow, 1, identity(8), Relu) },
        Case { batch: 3, ..base("7x7 32", random.conv(32, 64, 7), Order::Flow, 4, identity(32), Relu) },
        Case { batch: 3, ..base("7x7 64", random.conv(64, 32, 7), Order::Flow, 4, identity(64), Relu) },
        Case { batch: 3, ..base("7x7 32 to 16", random.conv(32, 16, 7), Order::Flow, 4, identity(32), Relu) },
    ];
    for case in &cases {
        check_conv(&gpu, &mut random, case);
    }
    let (_, h) = size;
    if h > 30 {
        // Bands: rows 10 to 20 of a picture of which rows 8 to 24 are held, results from row 9 on.
        let held = Rows { first: 8, count: 16 };
        let room = Rows { first: 9, count: 12 };
        let rows = Some((10..20, held, room));
        let conv = random.conv(64, 64, 3);
        check_conv(
            &gpu,
            &mut random,
            &Case { rows, ..base("band", conv, Order::Same, 4, identity(64), Relu) },
        );
        let room = Rows { first: 20, count: 20 };
        let rows = Some((10..20, held, room));
        let conv = random.conv(64, 256, 3);
        let case = base("shuffled band", conv, Order::Shuffle, 4, identity(64), Leaky);
        check_conv(&gpu, &mut random, &Case { rows, ..case });
    }
}

/// One test for each size: small enough, one by one, for a checker that takes a hundred times as long.
mod convolutions_equal_the_plain_one {
    macro_rules! at {
        ($($name:ident: $width:literal x $height:literal)*) => {
            $(#[test] fn $name() { super::convolutions(($width, $height)) })*
        };
    }
    at! {
        at_64x64: 64 x 64
        at_131x37: 131 x 37
        at_300x9: 300 x 9
        at_1x70: 1 x 70
        at_129x130: 129 x 130
        at_256x67: 256 x 67
    }
}

#[test]
fn flow_and_picture_outputs_equal_the_plain_ones() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new();
    for (w, h) in [(64, 64), (131, 37), (33, 70)] {
        let input = random.feature(&gpu, 3 * 16 * w * h);
        let flow = random.flow(&gpu, 3 * w * h, 4.0);
        let conv = random.conv(16, 2, 7);
        let mut results = Vec::new();
        for kernels in [Kernels::PlainF16, Kernels::Mma] {
            let layer = Layer::new(&gpu, kernels, &conv, Order::Same, 2, &identity(16)).unwrap();
            let out = poisoned(&gpu, 3 * 8 * w * h);
            let inputs = [input.view()];
            let call = Call::new(&inputs, Target::Flow(flow.view(), out.view()), Activation::None, (w, h));
            layer.run(&gpu, &Call { images: 3, ..call }).unwrap();
            results.push(read_floats(&gpu, &out));
        }
        close(&format!("flow {w}x{h}"), &results[1], &results[0], 1e-4);

        for (in_fmt, output) in [
            ("rgb24", Output::Float),
            ("rgb48le", Output::Wire(RgbFmt::named("rgb48le").unwrap())),
            ("gbrp10le", Output::Wire(RgbFmt::named("bgr24").unwrap())),
        ] {
            let in_fmt = RgbFmt::named(in_fmt).unwrap();
            let bytes = in_fmt.frame_bytes(w, h);
            let bytes: Vec<u8> = (0..bytes).map(|_| (random.next() * 127.0 + 128.0) as u8).collect();
            let frame = gpu.store(&bytes).unwrap();
            let input = random.feature(&gpu, 64 * 16 * w * h);
            let mut conv = random.conv(64, 3, 3);
            conv.weight.iter_mut().for_each(|v| *v *= 0.2);
            let mut results = Vec::new();
            for kernels in [Kernels::PlainF16, Kernels::Mma] {
                let layer = Layer::new(&gpu, kernels, &conv, Order::Same, 4, &identity(64)).unwrap();
                let out = poisoned(&gpu, output.frame_bytes(4 * w, 4 * h));
                let flag = gpu.store(&[0; 4]).unwrap();
                let inputs = [input.view()];
                let picture = Picture {
                    frame: frame.view(),
                    in_format: PixelFormat::new(Output::Wire(in_fmt), w * h),
                    size: (w, h),
                    out: out.view(),
                    out_format: PixelFormat::new(output, 16 * w * h),
                    invalid: flag.view(),
                };
                let call = Call::new(&inputs, Target::Picture(picture), Activation::None, (4 * w, 4 * h));
                layer.run(&gpu, &call).unwrap();
                let bytes = read(&gpu, &out);
                let values: Vec<f32> = match output {
                    Output::Float => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                    Output::Wire(fmt) if fmt.sample_bytes() == 2 => bytes
                        .as_chunks()
                        .0
                        .iter()
                        .map(|b| f32::from(u16::from_le_bytes(*b)) / 65535.0)
                        .collect(),
                    Output::Wire(_) => bytes.iter().map(|&b| f32::from(b) / 255.0).collect(),
                };
                assert_eq!(read(&gpu, &flag), [0; 4]);
                results.push(values);
            }
            // One step of the coarsest format, where a value lies between two.
            let limit = if matches!(output, Output::Float) { 1e-4 } else { 0.004 };
            close(&format!("picture {w}x{h} {output:?}"), &results[1], &results[0], limit);
        }
    }
}

#[test]
fn deformable_convolution_equals_the_plain_one() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new();
    for (w, h) in [(64, 64), (131, 37), (33, 70), (300, 5)] {
        let pixels = w * h;
        let features = [random.feature(&gpu, 64 * pixels), random.feature(&gpu, 64 * pixels)];
        let flows = [random.flow(&gpu, pixels, 6.0), random.flow(&gpu, pixels, 300.0)];
        // Offsets up to ten pixels, masks 0 to 1.
        let planes: Vec<f32> = (0..448 * pixels)
            .map(|i| {
                let v = random.next();
                if i / 8 / pixels % 6 < 4 { 10.0 * v } else { (v + 1.0) / 2.0 }
            })
            .collect();
        let offsets = gpu.store(&halves(&planes)).unwrap();
        let conv = random.conv(128, 64, 3);
        let source = |i: usize| Source { feature: features[i].view(), flow: flows[i].view() };
        for second in [None, Some(source(1))] {
            let mut results = Vec::new();
            for kernels in [Kernels::PlainF16, Kernels::Mma] {
                let layer = DeformLayer::new(&gpu, kernels, &conv).unwrap();
                let out = poisoned(&gpu, 2 * 64 * pixels);
                layer.run(&gpu, source(0), second, offsets.view(), out.view(), (w, h)).unwrap();
                results.push(read_halves(&gpu, &out));
            }
            close(&format!("deform {w}x{h} {}", second.is_some()), &results[1], &results[0], 4e-3);
        }
    }
}

fn model(c: usize, b: usize) -> Model {
    Model::from_weights(Weights::from_tensors(formula::by_name(formula::tensors(c, b))).unwrap())
}

fn keeping_size(c: usize, b: usize) -> Model {
    Model::from_weights(Weights::from_tensors(formula::by_name(formula::tensors_keeping_size(c, b))).unwrap())
}

fn settings(width: usize, height: usize, precision: Precision) -> Settings {
    let fmt = RgbFmt::named("rgb24").unwrap();
    Settings { width, height, in_fmt: fmt, out_fmt: fmt, precision, threads: 1, max_memory: None }
}

/// All bytes that an engine gives.
fn run(enlarge: impl FnOnce(&mut Out<'_>) -> Result<(), EngineError>) -> Result<Vec<u8>, EngineError> {
    let mut all = Vec::new();
    enlarge(&mut |frame| {
        all.extend_from_slice(&frame);
        Ok(())
    })?;
    Ok(all)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn psnr(have: &[f32], want: &[f32]) -> f64 {
    let sum: f64 = have.iter().zip(want).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    -10.0 * (sum / have.len() as f64).log10()
}

#[test]
fn the_network_equals_the_one_on_the_cpu() {
    if gpu().is_none() {
        return;
    }
    let builtin = Model::builtin().unwrap();
    for (what, model, w, h, t) in [
        ("c16 b1", model(16, 1), 72, 64, 4),
        ("c16 b1", model(16, 1), 69, 67, 3),
        ("c24 b2", model(24, 2), 64, 64, 2),
        ("c64 b1", model(64, 1), 101, 75, 3),
        ("c16 b1", model(16, 1), 64, 64, 1),
        ("builtin", builtin.clone(), 96, 64, 4),
        ("builtin", builtin, 69, 67, 3),
        ("keeping size, c16 b1", keeping_size(16, 1), 256, 264, 3),
        ("keeping size, c64 b1", keeping_size(64, 1), 268, 260, 4),
    ] {
        let frames: Vec<Bytes> = (0..t).map(|k| formula::frame(w, h, k)).collect();
        let mut cpu =
            CpuEngine::with_output(&model, &settings(w, h, Precision::Fp32), Output::Float).unwrap();
        let want = floats(&run(|out| cpu.enlarge(&frames, 0..t, out)).unwrap());
        for (kernels, limit, least) in [
            (Kernels::PlainF32, 3e-5, 115.0),
            (Kernels::PlainF16, 2e-3, 75.0),
            (Kernels::Mma, 2e-3, 75.0),
            (Kernels::Wgmma, 2e-3, 75.0),
        ] {
            let precision = if kernels == Kernels::PlainF32 { Precision::Fp32 } else { Precision::Fp16 };
            let settings = settings(w, h, precision);
            let Ok(mut engine) = CudaEngine::with(&model, &settings, 0, Some(kernels), Output::Float) else {
                continue;
            };
            let have = floats(&run(|out| engine.enlarge(&frames, 0..t, out)).unwrap());
            let found = psnr(&have, &want);
            eprintln!("{what} {w}x{h} t{t} {kernels:?}: {found:.1} dB");
            close(&format!("{what} {w}x{h} t{t} {kernels:?}"), &have, &want, limit);
            assert!(found >= least, "{found:.1} dB");
        }
    }
}

#[test]
fn a_sequence_gives_the_same_bytes_every_time() {
    if gpu().is_none() {
        return;
    }
    let model = model(64, 1);
    let frames: Vec<Bytes> = (0..6).map(|k| formula::frame(131, 70, k)).collect();
    let mut engine = CudaEngine::new(&model, &settings(131, 70, Precision::Fp16), 0).unwrap();
    let first = run(|out| engine.enlarge(&frames, 0..6, out)).unwrap();
    assert!(first == run(|out| engine.enlarge(&frames, 0..6, out)).unwrap());
    let frame = first.len() / 6;
    assert!(first[2 * frame..4 * frame] == run(|out| engine.enlarge(&frames, 2..4, out)).unwrap());
}

/// Spatial features computed again, and features that wait on the host, change no byte.
#[test]
fn the_limit_on_memory_changes_no_byte() {
    if gpu().is_none() {
        return;
    }
    let model = model(16, 1);
    let frames: Vec<Bytes> = (0..14).map(|k| formula::frame(131, 70, k)).collect();
    let mut engine = CudaEngine::new(&model, &settings(131, 70, Precision::Fp16), 0).unwrap();
    let (plan, want) = (engine.plan(14), run(|out| engine.enlarge(&frames, 2..12, out)).unwrap());
    assert_eq!((plan.kept, plan.resident), (14, plan.features));
    let feature = 131 * 70 * 64 * 2;
    for (fewer, kept, resident) in [(5, 9, 55), (20, 0, 40), (39, 0, 21)] {
        let mut tight = settings(131, 70, Precision::Fp16);
        tight.max_memory = Some(plan.device_bytes - fewer * feature);
        let mut engine = CudaEngine::new(&model, &tight, 0).unwrap();
        let plan = engine.plan(14);
        assert_eq!((plan.kept, plan.resident), (kept, resident), "{plan:?}");
        for _ in 0..2 {
            assert!(run(|out| engine.enlarge(&frames, 2..12, out)).unwrap() == want, "{plan:?}");
        }
        assert!(engine.peak_bytes() <= plan.device_bytes, "{} of {plan:?}", engine.peak_bytes());
    }
    let mut tight = settings(131, 70, Precision::Fp16);
    tight.max_memory = Some(1_000_000);
    let mut engine = CudaEngine::new(&model, &tight, 0).unwrap();
    let error = run(|out| engine.enlarge(&frames, 2..12, out)).unwrap_err().to_string();
    assert!(
        error.starts_with("cuda:0: a sequence of 14 frames needs ")
            && error.ends_with(" 1000000 are available: take a smaller --window"),
        "{error}"
    );
}

#[test]
fn what_is_no_number_is_an_error() {
    if gpu().is_none() {
        return;
    }
    let mut model = model(16, 1);
    model.weights.conv_hr.weight[0] = 1e30;
    let frames = [formula::frame(64, 64, 0)];
    let mut engine = CudaEngine::new(&model, &settings(64, 64, Precision::Fp16), 0).unwrap();
    let error = run(|out| engine.enlarge(&frames, 0..1, out)).unwrap_err().to_string();
    assert_eq!(
        error,
        "cuda:0: the network's output is not a finite number: broken weights, or too large for fp16"
    );
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let model = model(16, 1);
    let error = CudaEngine::new(&model, &settings(64, 64, Precision::Fp16), 999).unwrap_err().to_string();
    match devices() {
        Ok(all) if all.is_empty() => assert_eq!(error, "there is a driver but no NVIDIA GPU"),
        Ok(all) => assert!(error.starts_with(&format!("cuda:999: there are {} GPUs", all.len())), "{error}"),
        Err(e) => assert_eq!(error, e.to_string()),
    }
}

#[test]
fn measuring_finds_what_is_no_number_before_the_first_frame() {
    if gpu().is_none() {
        return;
    }
    let settings = settings(128, 96, Precision::Fp16);
    let mut broken = model(16, 1);
    assert!(CudaEngine::new(&broken, &settings, 0).unwrap().measure().unwrap().is_normal());
    broken.weights.conv_hr.weight[0] = 1e30;
    let error = CudaEngine::new(&broken, &settings, 0).unwrap().measure().unwrap_err().to_string();
    assert!(error.contains("not a finite number"), "{error}");
}
