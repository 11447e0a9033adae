//! Flags, streams, messages and exit codes of the real binary.

use pipelines::{clip, tool};

const GRAY: &str = "-s 16x8 -p yuv420p";
const FRAME: usize = 16 * 8 * 3 / 2;

fn deint_crop(args: &str, input: Vec<u8>) -> pipelines::Ended {
    tool("deint-crop", args).input(input).run()
}

#[test]
fn a_torn_frame_never_goes_downstream() {
    let film = clip::raw(3, FRAME);
    let whole = deint_crop(&format!("-q {GRAY} -P yuv420p --scale none"), film.clone()).ok().stdout;
    for cut in [1, FRAME - 1, FRAME + 1, 2 * FRAME + 7] {
        let end = deint_crop(&format!("-q {GRAY} -P yuv420p --scale none"), film[..cut].to_vec());
        let frames = cut / FRAME;
        end.failed(
            3,
            &format!(
                "deint-crop: <stdin>: ends inside frame {frames}, at byte {cut}: {} of {FRAME} bytes",
                cut % FRAME
            ),
        );
        // The last frame before the tear is deinterlaced as a film's last frame is; those before it know no difference.
        assert_eq!(end.stdout.len(), frames * FRAME);
        let sure = frames.saturating_sub(1) * FRAME;
        assert_eq!(end.stdout[..sure], whole[..sure]);
        // Told that the film is longer, it does not take the tear for its end.
        let promised =
            deint_crop(&format!("-q {GRAY} -P yuv420p --scale none --expect-frames 3"), film[..cut].to_vec());
        assert_eq!((promised.code, promised.stdout.len()), (3, sure));
    }
}

#[test]
fn says_what_is_wrong() {
    let film = || clip::raw(1, FRAME);
    for (args, code, message) in [
        ("-P yuv420p", 2, "<stdin>: not YUV4MPEG2, so --size and --pix-fmt must say what the raw video is"),
        (
            "-s 16x8 -p yuv420p --scale sar",
            2,
            "--scale sar: the input does not say its pixel aspect; --sar N:D can",
        ),
        ("-q -s 16x8 -p yuv420p --crop 16:8:0:1", 2, "--crop: 16x8 at 0,1 is not inside 16x8"),
        (
            "-q -s 16x8 -p yuv420p -P yuv420p --crop 8:4:1:0",
            2,
            "--crop: 1,0 splits a chroma sample of yuv420p",
        ),
        (
            "-s 16x8 -p yuv420p --mode field --deint none",
            2,
            "--mode field: needs deinterlacing, and --deint is none",
        ),
        ("-q -s 2x8 -p yuv420p", 2, "<stdin>: 2x8 is too small to deinterlace; it takes 3x3"),
        ("-q -s 16x8 -p yuv420p --expect-frames 2", 3, "<stdin>: ended after 1 frames; 2 were expected"),
        ("-q -s 16x8 -p yuv420p --start 1", 3, "<stdin>: ended after 1 frames; --start 1 was asked for"),
        ("-q -s 16x8 -p yuv420p -f y4m", 2, "<stdout>: YUV4MPEG2 cannot carry rgb48le; ask for raw"),
        (
            "-s 16x8 -p yuv420p --kernel box",
            2,
            "usage: invalid value 'box' for '--kernel <KERNEL>': unknown kernel; there are bicubic[:B:C] (0 to 1), \
             spline16, spline36 and lanczos[:TAPS] (1 to 16)",
        ),
    ] {
        deint_crop(args, film()).failed(code, &format!("deint-crop: {message}"));
    }
    deint_crop(&format!("-q {GRAY}"), Vec::new())
        .failed(3, "deint-crop: <stdin>: ended before the first frame");
}

#[test]
fn a_part_is_the_same_bytes_as_in_the_whole() {
    let film = clip::y4m(32, 24, 9);
    for mode in ["frame", "field"] {
        let rgb = if mode == "frame" { 1 } else { 2 } * 46 * 24 * 6;
        let args = format!("--mode {mode} --crop 46:24:0:0");
        let whole = deint_crop(&args, film.clone()).ok().stdout;
        assert_eq!(whole.len(), 9 * rgb);
        for (start, frames) in [(0, 1), (0, 4), (3, 2), (8, 1), (5, 4)] {
            let part =
                deint_crop(&format!("{args} --start {start} --frames {frames}"), film.clone()).ok().stdout;
            assert!(part == whole[start * rgb..(start + frames) * rgb], "{mode} {start} {frames}");
        }
        let rest = deint_crop(&format!("{args} --start 7"), film.clone()).ok().stdout;
        assert!(rest == whole[7 * rgb..]);
    }
}

#[test]
fn threads_change_nothing() {
    let film = clip::y4m(64, 50, 3);
    let one = deint_crop("--threads 1", film.clone()).ok().stdout;
    for threads in [2, 3, 7, 64] {
        assert!(deint_crop(&format!("--threads {threads}"), film.clone()).ok().stdout == one, "{threads}");
    }
}

#[test]
fn a_pal_film_becomes_what_the_network_wants() {
    let end = deint_crop("--crop 1024:432:0:72 -P yuv444p16le -f y4m", clip::y4m(720, 576, 1)).ok();
    let header = end.stdout.split(|&b| b == b'\n').next().unwrap();
    assert_eq!(
        String::from_utf8_lossy(header),
        "YUV4MPEG2 W1024 H432 F25:1 Ip A1:1 C444p16 XCOLORRANGE=LIMITED"
    );
    let raw = deint_crop("--crop 1024:432:0:72", clip::y4m(720, 576, 1)).ok();
    assert_eq!(raw.stdout.len(), 1024 * 432 * 6);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let end = pipelines::shell("ffmpeg -v error -f lavfi -i testsrc=s=720x576:r=25:d=4 -f yuv4mpegpipe -pix_fmt yuv420p - 2>/dev/null | \
         { deint-crop; echo $? >&2; } | head -c 1000 >/dev/null || true")
        .run();
    assert_eq!(end.stderr.lines().last(), Some("141"));
}

#[test]
fn a_list_of_field_orders_is_refused_before_the_first_frame() {
    let folder = pipelines::clip::folder();
    let list = folder.path().join("orders");
    let run = |args: &str| {
        let args = format!("{GRAY} -P yuv420p --scale none {args} --field-orders");
        tool("deint-crop", &args).arg(&list).input(clip::raw(2, FRAME)).run()
    };
    let name = list.display();
    run("").failed(1, &format!("deint-crop: {name}: No such file or directory"));
    std::fs::write(&list, "{\"first_frame\":2,\"field_order\":\"tt\"}\n").unwrap();
    let end = run("");
    end.failed(1, &format!("deint-crop: {name}: line 1: begins at frame 2; nothing is said of frame 0"));
    assert!(end.stdout.is_empty());
    std::fs::write(&list, "{\"first_frame\":0,\"field_order\":\"progressive\"}\n").unwrap();
    run("--field bff").failed(2, "deint-crop: --field-orders: says it of each frame, and --field bff of all");
    run("--deint none").failed(2, "deint-crop: --field-orders: is about deinterlacing, and --deint is none");
    assert_eq!(
        run("").ok().stderr.trim_end(),
        "deint-crop: frame 0 is said to be progressive, where the top field is taken as the first"
    );
    assert_eq!(run("--deint interlaced").ok().stdout, clip::raw(2, FRAME));
    tool("deint-crop", "--analyze --field-orders x")
        .run()
        .failed(2, "deint-crop: usage: the argument '--analyze' cannot be used with '--field-orders <FILE>'");
}
