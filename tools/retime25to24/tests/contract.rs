//! Flags, streams, messages and exit codes of the real binary.

use pipelines::{Ended, clip, tool};

const FRAME: usize = 16 * 8 * 6;
const INPUT: &str = "-s 16x8 -p rgb48le";

fn retime(args: &str, input: impl Into<Vec<u8>>) -> Ended {
    tool("retime25to24", args).input(input).run()
}

#[test]
fn relabels_and_keeps_every_frame() {
    for frames in [1, 2, 25, 26] {
        let end = retime(&format!("{INPUT} -r 25 --height 6 -f y4m"), clip::raw(frames, FRAME)).ok();
        let header = b"YUV4MPEG2 W12 H6 F24:1 Ip A0:0 C420p10 XCOLORRANGE=LIMITED XYSCSS=420MPEG2\n";
        assert!(end.stdout.starts_with(header), "{}", String::from_utf8_lossy(&end.stdout[..header.len()]));
        assert_eq!(end.stdout.len(), header.len() + frames * (6 + 12 * 6 * 3));
    }
}

/// The tag of the input says where chroma was, that of the output where it is.
#[test]
fn siting_in_and_out() {
    let film = [b"YUV4MPEG2 W4 H2 F25:1 Ip C420jpeg XYSCSS=420JPEG\nFRAME\n", &[7; 12][..]].concat();
    for (flags, space) in [
        ("", "C420p10 XCOLORRANGE=LIMITED XYSCSS=420MPEG2"),
        ("--chromaloc center", "C420p10 XCOLORRANGE=LIMITED XYSCSS=420JPEG"),
        ("-P yuv420p", "C420mpeg2 XCOLORRANGE=LIMITED"),
        ("-P yuv444p16le", "C444p16 XCOLORRANGE=LIMITED"),
    ] {
        let end = retime(&format!("{flags} -f y4m"), film.clone()).ok();
        let header = end.stdout.split(|&b| b == b'\n').next().unwrap();
        let wanted = format!("YUV4MPEG2 W4 H2 F24:1 Ip A0:0 {space}");
        assert_eq!(String::from_utf8_lossy(header), wanted, "{flags}");
    }
}

#[test]
fn a_stream_that_needs_no_change_passes_through() {
    let film = clip::raw(3, 32 * 16 * 3);
    let end = retime("-s 32x16 -p yuv420p10le", film.clone()).ok();
    assert!(end.stdout == film);
}

#[test]
fn torn_input_is_no_end() {
    let film = clip::raw(2, FRAME);
    let out = 16 * 8 * 3;
    for cut in [1, FRAME, FRAME + 1, 2 * FRAME - 1] {
        let end = retime(INPUT, &film[..cut]);
        let (frames, rest) = (cut / FRAME, cut % FRAME);
        if rest == 0 {
            end.failed(0, "");
        } else {
            let message = format!("ends inside frame {frames}, at byte {cut}: {rest} of {FRAME} bytes");
            end.failed(3, &format!("retime25to24: <stdin>: {message}"));
        }
        assert_eq!(end.stdout.len(), frames * out);
    }
}

#[test]
fn says_what_is_wrong() {
    for (args, code, message) in [
        ("", 2, "<stdin>: not YUV4MPEG2, so --size and --pix-fmt must say what the raw video is"),
        ("-s 16x8 -p rgb48le -r 30", 2, "--from: 25: the input has 30 frames a second"),
        ("-s 16x8 -p rgb48le --expect-frames 2", 3, "<stdin>: ended after 1 frames; 2 were expected"),
        (
            "-s 16x8 -p rgb48le --height 4 --scale 8x4",
            2,
            "usage: the argument '--height <ROWS>' cannot be used with '--scale <WxH>'",
        ),
        (
            "-s 16x8 -p rgb48le --dither random",
            2,
            "usage: invalid value 'random' for '--dither <none|ordered|error>': unknown dither; there are none, ordered \
             and error",
        ),
    ] {
        retime(args, clip::raw(1, FRAME)).failed(code, &format!("retime25to24: {message}"));
    }
    let end = retime(&format!("{INPUT} --from 23.976 --to 24"), clip::raw(1, FRAME)).ok();
    assert_eq!(end.stderr, "retime25to24: --from: 23.976 is taken as 24000/1001\n");
}

#[test]
fn a_part_is_the_same_bytes_as_in_the_whole() {
    let film = clip::raw(5, FRAME);
    for dither in ["none", "ordered", "error"] {
        let args = format!("{INPUT} --scale 10x6 --dither {dither}");
        let whole = retime(&args, film.clone()).ok().stdout;
        let out = whole.len() / 5;
        let part = retime(&format!("{args} --start 2 --frames 2"), film.clone()).ok().stdout;
        assert!(part == whole[2 * out..4 * out], "{dither}");
        let threads = retime(&format!("{args} --threads 3"), film.clone()).ok().stdout;
        assert!(threads == whole, "{dither}");
    }
}

/// The report says what became of the film.
#[test]
fn reports() {
    let folder = clip::folder();
    let report = folder.path().join("report.json");
    retime(&format!("{INPUT} --height 6 --report {}", report.display()), clip::raw(3, FRAME)).ok();
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["status"], "ok");
    assert_eq!((&report["frames_in"], &report["frames_out"]), (&3.into(), &3.into()));
    assert_eq!(report["settings"]["r_frame_rate"], "24/1");
    assert_eq!(report["settings"]["width"], 12);
}
