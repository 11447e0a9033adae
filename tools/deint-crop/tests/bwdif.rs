//! `deint-crop --scale none --crop none` against `ffmpeg -vf bwdif`: the same bytes.

use pipelines::{clip, shell, tool};
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
        command.args([
            "-fps_mode",
            "passthrough",
            "-map",
            &format!("[o{i}]"),
            "-pix_fmt",
            format.name(),
            "-f",
            "rawvideo",
        ]);
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

/// Pieces of MPEG-2, one behind the other: top field first, bottom field first, progressive, and so on. What the decoder
/// says of each frame is the list.
fn pieces(orders: &[&str], film: &Path) -> String {
    let mut script = String::new();
    for (n, order) in orders.iter().enumerate() {
        let source = format!("testsrc2=s=96x80:r=50:d=2,scroll=vertical=0.0{}", n + 1);
        let (filter, flags) = match *order {
            "progressive" => ("fps=25".to_owned(), String::new()),
            order => {
                let top = u8::from(order == "tff");
                (format!("interlace=scan={order}"), format!("-flags +ildct+ilme -top {top}"))
            }
        };
        script += &format!(
            "ffmpeg -v error -nostdin -f lavfi -i '{source}' -vf '{filter}' -frames:v {} -pix_fmt yuv420p \
             -c:v mpeg2video -g 5 -b:v 2M {flags} -f mpeg2video -;",
            7 + n
        );
    }
    std::fs::write(film, shell(&script).run().ok().stdout).unwrap();
    shell(&format!(
        "ffprobe -v error -select_streams v:0 -show_entries frame=interlaced_frame,top_field_first -of csv=p=0 '{}'",
        film.display()
    ))
    .run()
    .ok()
    .text()
    .lines()
    // Side data has lines of its own.
    .filter_map(|line| match line.trim_end_matches(',') {
        "1,1" => Some("tt"),
        "1,0" => Some("bb"),
        "0,0" | "0,1" => Some("progressive"),
        _ => None,
    })
    .enumerate()
    .map(|(n, order)| format!("{{\"first_frame\":{n},\"field_order\":\"{order}\"}}\n"))
    .collect()
}

/// A film whose order changes inside becomes what ffmpeg makes of it, which knows each frame's own order; with the header's
/// order for all it does not.
#[test]
fn a_list_gives_each_frame_its_order() {
    let folder = clip::folder();
    let (film, list) = (folder.path().join("film.m2v"), folder.path().join("orders"));
    for (orders, expected_names) in [
        (&["tff", "bff", "tff"][..], &["tt", "bb", "tt"][..]),
        (
            &["bff", "progressive", "tff", "progressive", "progressive"],
            &["bb", "progressive", "tt", "progressive"],
        ),
    ] {
        let said = pieces(orders, &film);
        let mut names: Vec<_> = said.lines().map(|line| line.rsplit('"').nth(1).unwrap()).collect();
        names.dedup();
        assert_eq!(names, expected_names);
        std::fs::write(&list, &said).unwrap();
        let decoded = shell(&format!(
            "ffmpeg -v error -nostdin -i '{}' -fps_mode passthrough -f yuv4mpegpipe -",
            film.display()
        ));
        let decoded = decoded.run().ok().stdout;
        let cases = [("frame", "all"), ("frame", "interlaced"), ("field", "all")];
        let filters: Vec<_> =
            cases.iter().map(|(m, d)| format!("bwdif=mode=send_{m}:parity=auto:deint={d}")).collect();
        let expected = ffmpeg(&[], &film, &filters, PixFmt::named("yuv420p").unwrap());
        for ((mode, deint), expected) in cases.iter().zip(&expected) {
            let args = format!("-q -P yuv420p -f raw --scale none --mode {mode} --deint {deint}");
            let run = |args: &str| tool("deint-crop", args).input(decoded.clone());
            let got = run(&format!("{args} --field-orders")).arg(&list).run().ok().stdout;
            assert!(got == *expected, "{orders:?} {args}: {} bytes, {}", got.len(), expected.len());
            assert!(run(&args).run().ok().stdout != got);
            // A part of it counts frames as the film does.
            let frame = 96 * 80 * 3 / 2 * if *mode == "field" { 2 } else { 1 };
            let part = format!("{args} --start 6 --frames 3 --field-orders");
            assert!(run(&part).arg(&list).run().ok().stdout == got[6 * frame..9 * frame]);
        }
    }
}

/// The list goes before what the stream says of its frames, and a run lasts until the next.
#[test]
fn a_list_is_read_as_runs() {
    let folder = clip::folder();
    let list = folder.path().join("orders");
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
    let args = "-P yuv420p -f raw --scale none";
    let expected = tool("deint-crop", args).input(stream(["t", "t", "t", "b", "b", "b"])).run().ok().stdout;
    std::fs::write(
        &list,
        "{\"first_frame\":0,\"field_order\":\"tt\"}\n{\"first_frame\":3,\"field_order\":\"bb\"}\n",
    )
    .unwrap();
    for tags in [["b"; 6], ["t"; 6]] {
        let got =
            tool("deint-crop", &format!("{args} --field-orders")).arg(&list).input(stream(tags)).run().ok();
        assert!(got.stdout == expected && got.stderr.is_empty(), "{}", got.stderr);
    }
}
