//! `deint-crop --scale none --crop none` against `ffmpeg -vf bwdif`: the same bytes.

use pipelines::tool;
use rawstream::PixFmt;
use std::{path::Path, process::Command};

/// Frames in which everything moves: noise, ramps that travel with the field, stripes of single lines, near-flat parts.
fn film(seed: u32, format: PixFmt, (width, height): (usize, usize), frames: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let max = u32::from(format.max());
    let mut bytes = Vec::new();
    for n in 0..frames {
        for plane in 0..format.planes() {
            let (across, rows) = format.plane_size(width, height, plane);
            for y in 0..rows {
                for x in 0..across {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    let time = 2 * n + y % 2;
                    let value = match (x / 8 + y / 8 + seed as usize) % 5 {
                        0 => state % (max + 1),
                        1 => max * ((x + 3 * time + y) % across) as u32 / across as u32,
                        2 => max * u32::from((x + time) % 5 < 2),
                        3 => max * u32::from(y % 2 == 0),
                        _ => max / 2 + state % (max / 64 + 1),
                    };
                    if format.sample_bytes() == 2 {
                        bytes.extend((value as u16).to_le_bytes());
                    } else {
                        bytes.push(value as u8);
                    }
                }
            }
        }
    }
    bytes
}

/// What ffmpeg makes of `input` with each of the filters; one process for all.
fn ffmpeg(input: &[&str], file: &Path, filters: &[String], format: PixFmt) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let n = filters.len();
    let outputs: String = (0..n).map(|i| format!("[i{i}]")).collect();
    let mut graph = format!("[0:v]split={n}{outputs}");
    for (i, filter) in filters.iter().enumerate() {
        graph += &format!(";[i{i}]{filter}[o{i}]");
    }
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(input).arg("-i").arg(file);
    command.args(["-filter_complex", &graph]);
    for i in 0..n {
        command.args(["-map", &format!("[o{i}]"), "-pix_fmt", format.name(), "-f", "rawvideo"]);
        command.arg(folder.path().join(i.to_string()));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (0..n).map(|i| std::fs::read(folder.path().join(i.to_string())).unwrap()).collect()
}

/// Twenty random sources for each of eight formats: sizes odd and even (but no plane under seven lines, where ffmpeg reads
/// beside the picture), both modes, both orders, films of one frame and more.
#[test]
fn raw_video() {
    let formats = [
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuv420p10le",
        "yuv422p10le",
        "yuv420p12le",
        "yuv444p16le",
        "gbrp10le",
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film");
    let cases: Vec<_> = ["frame", "field"].iter().flat_map(|m| ["tff", "bff"].map(|o| (*m, o))).collect();
    let filters: Vec<_> =
        cases.iter().map(|(m, o)| format!("bwdif=mode=send_{m}:parity={o}:deint=all")).collect();
    for (name, source) in formats.iter().flat_map(|name| (0..20).map(move |source| (*name, source))) {
        let format = PixFmt::named(name).unwrap();
        // 17 and 29 are coprime with the spans, so that the twenty sizes are all over them.
        let (width, height) = (33 + 17 * source % 40, 15 + 29 * source % 40);
        let film = film(source as u32, format, (width, height), 1 + source % 6);
        std::fs::write(&file, &film).unwrap();
        let size = format!("{width}x{height}");
        let expected = ffmpeg(&["-f", "rawvideo", "-pix_fmt", name, "-s", &size], &file, &filters, format);
        for ((mode, order), expected) in cases.iter().zip(&expected) {
            let args = format!(
                "-q -s {size} -p {name} -P {name} --scale none --crop none --mode {mode} --field {order}"
            );
            let got = tool("deint-crop", &args).input(film.clone()).run().ok().stdout;
            assert!(got == *expected, "{args}, source {source}: {} bytes, {}", got.len(), expected.len());
        }
    }
}

/// The field order of a YUV4MPEG2 header, and `--deint interlaced`, which leaves progressive frames alone.
#[test]
fn y4m_says_its_order() {
    let format = PixFmt::named("yuv420p").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.y4m");
    for (seed, order) in ["t", "b", "p"].into_iter().enumerate() {
        let mut stream = format!("YUV4MPEG2 W64 H48 F25:1 I{order} A64:45 C420mpeg2\n").into_bytes();
        let (film, frame) = (film(seed as u32, format, (64, 48), 4), 64 * 48 * 3 / 2);
        for frame in film.chunks(frame) {
            stream.extend(b"FRAME\n");
            stream.extend(frame);
        }
        std::fs::write(&file, &stream).unwrap();
        let cases: Vec<_> =
            ["frame", "field"].iter().flat_map(|m| ["all", "interlaced"].map(|d| (*m, d))).collect();
        let filters: Vec<_> = cases.iter().map(|(m, d)| format!("bwdif=mode=send_{m}:deint={d}")).collect();
        let expected = ffmpeg(&[], &file, &filters, format);
        for ((mode, deint), expected) in cases.iter().zip(&expected) {
            let args = format!("-q -P yuv420p -f raw --scale none --mode {mode} --deint {deint}");
            let got = tool("deint-crop", &args).input(stream.clone()).run().ok().stdout;
            if (order, *mode, *deint) == ("p", "field", "interlaced") {
                // Here ffmpeg's filter sends each frame once and leaves its muxer to fill the gaps as it sees fit.
                assert!(got.chunks(2 * frame).all(|pair| pair[..frame] == pair[frame..]));
                assert!(got.chunks(2 * frame).map(|pair| &pair[..frame]).eq(film.chunks(frame)));
                continue;
            }
            assert!(got == *expected, "I{order} {args}: {} bytes, {}", got.len(), expected.len());
        }
    }
}

/// A field order that changes in mid-stream is followed frame by frame.
#[test]
fn the_order_may_change() {
    let format = PixFmt::named("yuv420p").unwrap();
    let film = film(7, format, (64, 48), 6);
    let stream = |tags: [&str; 6]| -> Vec<u8> {
        let mut stream = b"YUV4MPEG2 W64 H48 F25:1 Im A64:45 C420mpeg2\n".to_vec();
        for (frame, tag) in film.chunks(64 * 48 * 3 / 2).zip(tags) {
            stream.extend(format!("FRAME I{tag}pi\n").as_bytes());
            stream.extend(frame);
        }
        stream
    };
    let run = |tags| {
        let args = "-P yuv420p -f raw --scale none --mode field";
        tool("deint-crop", args).input(stream(tags)).run().ok().stdout
    };
    let (tff, bff) = (run(["t"; 6]), run(["b"; 6]));
    let mixed = run(["t", "t", "t", "b", "b", "b"]);
    // Two output frames for each film frame.
    let half = tff.len() / 2;
    assert!(mixed[..half] == tff[..half] && mixed[half..] == bff[half..] && tff != bff);
}
