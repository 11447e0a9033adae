//! The cases whose weights and frames come from formulas: `tests/data/README.md`.

use crate::{
    difference::{Difference, floats},
    recording::{Readable, Recording},
};
use basicvsrpp::{
    Branch, Model, Precision, Settings,
    checkpoint::Checkpoint,
    cpu::{
        CpuEngine, Plan,
        fast::Fast,
        plain::{self, Plain, Planes},
    },
    formula, network,
    picture::Output,
};
use rawstream::RgbFmt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use simd::Level;
use std::{fs, ops::Range, path::PathBuf};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn manifest() -> Value {
    serde_json::from_slice(&fs::read(data("manifest.json")).unwrap()).unwrap()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// One case of the manifest.
struct Case(Value);

impl Case {
    fn named(name: &str) -> Self {
        let all = manifest();
        Self(all["cases"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone())
    }

    fn number(&self, key: &str) -> usize {
        number(&self.0[key])
    }

    fn model(&self) -> Model {
        let tensors = formula::tensors(self.number("mid_channels"), self.number("num_blocks"));
        Model::new(&Checkpoint::safetensors("formula", &formula::safetensors(&tensors, "")).unwrap()).unwrap()
    }

    fn settings(&self) -> Settings {
        let rgb24 = RgbFmt::named("rgb24").unwrap();
        let (width, height) = (self.number("width"), self.number("height"));
        let (precision, threads) = (Precision::Fp32, 2);
        Settings { width, height, in_fmt: rgb24, out_fmt: rgb24, precision, threads, max_memory: None }
    }

    fn frames(&self) -> Vec<bytes::Bytes> {
        let (w, h) = (self.number("width"), self.number("height"));
        (0..self.number("frames")).map(|k| formula::frame(w, h, k)).collect()
    }

    /// Compares the stored samples of `what` with computed pictures, one for each stored entry.
    fn compare(&self, what: &str, have: &[&Planes]) -> Difference {
        let expected = self.0["expected"].as_array().unwrap().iter().find(|e| e["what"] == what).unwrap();
        let want = floats(&fs::read(data(expected["file"].as_str().unwrap())).unwrap());
        let axis = |name: &str, all: usize| -> Vec<usize> {
            match &expected[name] {
                Value::Null => (0..all).collect(),
                axis => (0..number(&axis["count"]))
                    .map(|k| number(&axis["first"]) + k * number(&axis["step"]))
                    .collect(),
            }
        };
        assert_eq!(have.len(), expected["frames"].as_array().unwrap().len(), "{what}");
        let mut samples = Vec::new();
        for planes in have {
            for c in axis("channels", planes.channels) {
                for y in axis("rows", planes.height) {
                    let row = &planes.plane(c)[y * planes.width..][..planes.width];
                    samples.extend(axis("cols", planes.width).into_iter().map(|x| row[x]));
                }
            }
        }
        Difference::of(&samples, &want)
    }

    /// Runs a backend on the case with unclipped output and compares the output, and the stages where they are stored.
    /// `arithmetic`: whose tolerances hold.
    fn check<B: Readable>(&self, backend: B, arithmetic: &str) -> Recording<B> {
        let mut recording = Recording::new(backend);
        let (w, h) = (4 * self.number("width"), 4 * self.number("height"));
        let frames = self.frames();
        let mut enlarged = Vec::new();
        network::enlarge(&mut recording, &frames, 0..frames.len(), &mut |bytes| {
            enlarged.push(Planes { channels: 3, height: h, width: w, data: floats(&bytes) });
            Ok(())
        })
        .unwrap();

        let all = manifest();
        let limit = |name: &str| all["tolerances"][arithmetic][name].as_f64().unwrap();
        let within = |what: &str, have: &[&Planes], limit: f64| {
            let found = self.compare(what, have);
            println!(
                "{} {what}: {:.2e} of {limit:.0e}, {:.1} dB",
                self.0["name"],
                found.max_abs,
                found.psnr()
            );
            assert!(found.max_abs <= limit, "{what}: {found:?}");
            found
        };
        if arithmetic == "fp32" && self.0["expected"].as_array().unwrap().len() > 1 {
            within("flow_backward", &recording.flows[0].iter().collect::<Vec<_>>(), limit("flow_max_abs"));
            within("flow_forward", &recording.flows[1].iter().collect::<Vec<_>>(), limit("flow_max_abs"));
            // Frames are first visited from the last on.
            within("feat_extract", &[recording.spatial.last().unwrap()], limit("feature_max_abs"));
            let aligned = &recording.aligned[Branch::Backward1 as usize];
            within("aligned_backward_1", &[&aligned[0], &aligned[1]], limit("feature_max_abs"));
            for branch in Branch::ALL {
                within(branch.name(), &recording.in_frame_order(branch), limit("feature_max_abs"));
            }
        }
        let found = within("output", &enlarged.iter().collect::<Vec<_>>(), limit("output_max_abs"));
        assert!(found.psnr() >= limit("output_psnr_db_min"), "{} dB", found.psnr());
        for (k, picture) in enlarged.iter().enumerate() {
            for c in 0..3 {
                let mean = |f: fn(f64) -> f64| {
                    let plane = picture.plane(c);
                    plane.iter().map(|&v| f(v.into())).sum::<f64>() / plane.len() as f64
                };
                let off = |key: &str, have: f64| {
                    let off = (have - self.0[key][k][c].as_f64().unwrap()).abs();
                    assert!(
                        off <= limit("output_mean_abs"),
                        "{key} of frame {k}, plane {c}: off by {off:.1e}"
                    );
                };
                off("output_mean", mean(|v| v));
                off("output_mean_square", mean(|v| v * v));
            }
        }
        recording
    }

    fn check_fast(&self, level: Level) -> Fast {
        println!("{level}");
        self.check(Fast::new(&self.model(), &self.settings(), Output::Float, level).unwrap(), "fp32").inner
    }
}

#[test]
fn weights_and_frames_are_the_fixtures() {
    let hex = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    let all = manifest();
    for net in all["nets"].as_array().unwrap() {
        let mut every = Sha256::new();
        let mut table = String::new();
        for (name, tensor) in formula::tensors(number(&net["mid_channels"]), number(&net["num_blocks"])) {
            let bytes: Vec<u8> = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            let shape: Vec<_> = tensor.shape.iter().map(|n| n.to_string()).collect();
            let (first, whole) = (hex(&bytes[..bytes.len().min(32)]), hex(&bytes));
            table += &format!("{name}\t{}\t{}\t{}\n", shape.join(","), &first[..16], &whole[..16]);
            every.update(&bytes);
        }
        assert!(
            table == fs::read_to_string(data(net["table"].as_str().unwrap())).unwrap(),
            "{}",
            net["name"]
        );
        assert_eq!(format!("{:x}", every.finalize()), net["sha256_all"].as_str().unwrap());
    }
    for case in all["cases"].as_array().unwrap() {
        let case = Case(case.clone());
        assert_eq!(hex(&case.frames().concat()), case.0["input_sha256"].as_str().unwrap());
    }
}

/// The plain stages, and what the offset convolutions of `backward_1` give at its second and third visit. They are
/// inside the alignment, so these two visits are repeated by hand.
#[test]
fn plain_stages() {
    let case = Case::named("c16b1-72x64-t4");
    let Model { weights, .. } = &case.model();
    let Settings { width, height, in_fmt: input, .. } = case.settings();
    let recording = case.check(Plain { weights, width, height, input, output: Output::Float }, "fp32");

    let align = &weights.branches[Branch::Backward1 as usize].align;
    let visited = &recording.features[Branch::Backward1 as usize];
    let spatial = |frame: usize| &recording.spatial[3 - frame];
    let flow = |frame: usize| &recording.flows[0][frame];
    let zeros = |channels| Planes::zeros(channels, height, width);
    let second = plain::offsets(align, spatial(2), [&visited[0], &zeros(16)], [flow(2), &zeros(2)]);
    let mut two_steps = plain::warp_zeros(flow(2), flow(1));
    two_steps.data.iter_mut().zip(&flow(1).data).for_each(|(a, b)| *a += b);
    let third = plain::offsets(align, spatial(1), [&visited[1], &visited[0]], [flow(1), &two_steps]);
    let found = case.compare("offset_raw_backward_1", &[&second, &third]);
    assert!(found.max_abs <= 1e-4, "{found:?}");
}

#[test]
fn fast_stages() {
    Case::named("c16b1-72x64-t4").check_fast(Level::best());
}

#[test]
fn odd_size() {
    Case::named("c16b1-69x67-t3").check_fast(Level::best());
}

#[test]
fn two_frames_three_channels_in_a_group_at_every_level() {
    for level in Level::available() {
        Case::named("c24b2-64x64-t2").check_fast(level);
    }
}

#[test]
fn published_size() {
    let fast = Case::named("c64b7-64x64-t3").check_fast(Level::best());
    let planned = Plan::new(&fast.sizes(), 3, u64::MAX).bytes;
    let used = fast.bytes();
    // The plan has the threads' working memory and the enlarged frame as well.
    assert!(used <= planned && planned <= used * 5 / 4, "{used} bytes used of {planned} planned");
}

#[test]
fn half_precision() {
    let case = Case::named("c16b1-69x67-t3");
    let settings = Settings { precision: Precision::Fp16, ..case.settings() };
    let fast = |settings| Fast::new(&case.model(), settings, Output::Float, Level::best()).unwrap();
    let half = fast(&settings);
    let (single, less) = (fast(&case.settings()).sizes().feature, half.sizes().feature);
    assert_eq!(less, single / 2);
    case.check(half, "half");
}

#[test]
fn memory_is_bounded() {
    let case = Case::named("c16b1-69x67-t3");
    let (model, frames) = (case.model(), case.frames());
    let engine = |max_memory| CpuEngine::new(&model, &Settings { max_memory, ..case.settings() }).unwrap();
    let run = |mut engine: CpuEngine| {
        let mut all = Vec::new();
        let result = engine.enlarge(&frames, 0..3, &mut |frame| {
            all.extend_from_slice(&frame);
            Ok(())
        });
        result.map(|()| all).map_err(|e| e.to_string())
    };
    let whole = engine(None).plan(3);
    assert_eq!(whole.kept, 3);
    let tight = engine(Some(whole.bytes - 1));
    assert_eq!(tight.plan(3).kept, 2);
    assert!(
        run(tight).unwrap() == run(engine(None)).unwrap(),
        "a spatial feature computed twice is the same"
    );
    let least = engine(Some(1)).plan(3).bytes as f64 / 1e9;
    assert_eq!(
        run(engine(Some(20_000_000))).unwrap_err(),
        format!("a sequence of 3 frames needs {least:.2} GB of memory, 0.02 GB are available")
    );
}

/// The bytes are those of the sequence: threads, the frames asked for, and what the engine has done before do not show.
#[test]
fn output_depends_on_the_sequence_only() {
    let case = Case::named("c16b1-69x67-t3");
    let (model, frames) = (case.model(), case.frames());
    let run = |threads: usize, emits: &[Range<usize>]| {
        let settings = Settings { threads, ..case.settings() };
        let mut engine = CpuEngine::new(&model, &settings).unwrap();
        let mut all = Vec::new();
        for emit in emits {
            let mut enlarged = Vec::new();
            engine
                .enlarge(&frames, emit.clone(), &mut |frame| {
                    enlarged.push(frame);
                    Ok(())
                })
                .unwrap();
            assert_eq!(enlarged.len(), emit.len());
            all.extend(enlarged);
        }
        all
    };
    let whole = run(2, &[0..0, 0..3]);
    assert!(run(1, &[0..2, 2..3]) == whole, "one thread");
    assert!(run(7, &[0..1, 1..2, 2..2, 2..3]) == whole, "frame by frame with seven threads");
}

/// A network that keeps the input's size, against PyTorch (`tests/data/keeping-size.py`): plain and fast stages.
#[test]
fn keeping_the_size() {
    let (width, height) = (256, 264);
    let tensors = formula::tensors_keeping_size(16, 1);
    let checkpoint = Checkpoint::safetensors("formula", &formula::safetensors(&tensors, "")).unwrap();
    let model = Model::new(&checkpoint).unwrap();
    assert_eq!((model.weights.scale(), &model.info()["scale"]), (1, &1.into()));
    let settings = Settings { width, height, ..Case::named("c16b1-69x67-t3").settings() };
    let frames: Vec<_> = (0..3).map(|k| formula::frame(width, height, k)).collect();
    let want = floats(&fs::read(data("keeping-size.f32")).unwrap());
    let compare = |what: &str, enlarge: &mut dyn FnMut(&mut basicvsrpp::Out<'_>)| {
        let mut have = Vec::new();
        enlarge(&mut |frame| {
            let planes = floats(&frame);
            assert_eq!(planes.len(), 3 * width * height);
            let rows = planes.chunks(width * height).flat_map(|plane| plane.chunks(width).step_by(15));
            have.extend(rows.flat_map(|row| row.iter().copied().step_by(7)));
            Ok(())
        });
        let found = Difference::of(&have, &want);
        println!("{what}: {:.2e}, {:.1} dB", found.max_abs, found.psnr());
        assert!(found.max_abs <= 2e-5 && found.psnr() >= 120.0, "{what}: {found:?}");
    };
    compare("plain", &mut |out| {
        let Settings { in_fmt: input, .. } = settings;
        let mut plain = Plain { weights: &model.weights, width, height, input, output: Output::Float };
        network::enlarge(&mut plain, &frames, 0..3, out).unwrap();
    });
    compare("fast", &mut |out| {
        let mut engine = CpuEngine::with_output(&model, &settings, Output::Float).unwrap();
        assert_eq!(engine.scale(), 1);
        engine.enlarge(&frames, 0..3, out).unwrap();
    });

    let refused = |width, height| {
        CpuEngine::new(&model, &Settings { width, height, ..settings.clone() }).unwrap_err().to_string()
    };
    assert_eq!(refused(252, 256), "frames of 252x256: the network takes 256x256 and larger");
    assert_eq!(refused(256, 258), "frames of 256x258: the network takes multiples of 4");
}
