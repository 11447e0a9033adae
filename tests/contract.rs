//! What every tool promises, whatever it does: torn and empty streams, wrong words, full disks, broken pipes, signals,
//! reports. Each test is one promise, made by every tool that can make it.

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use pipelines::{Ended, Run, TOOLS, clip, nearest, shell, tool};
use serde_json::Value;
use std::{
    fs::File,
    io::Write,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, symlink},
    },
    path::Path,
    time::Duration,
};
use tempfile::TempDir;

/// A tool that turns frames into frames, with the flags that let it take the smallest frames it can.
struct Filter {
    name: &'static str,
    args: String,
    /// Bytes of one frame in.
    frame: usize,
    /// Bytes of one frame out.
    enlarged: usize,
}

impl Filter {
    fn run(&self, more: &str) -> Run {
        tool(self.name, &format!("{} {more}", self.args))
    }
}

fn filters() -> [Filter; 3] {
    let nearest = nearest();
    [
        Filter {
            name: "deint-crop",
            args: "-s 16x8 -p yuv420p -r 25 --field tff --scale none --crop none -P yuv420p".into(),
            frame: 16 * 8 * 3 / 2,
            enlarged: 16 * 8 * 3 / 2,
        },
        Filter {
            name: "sr-window",
            args: format!("-s 64x64 -p rgb24 -r 25 --engine {nearest} --window 2 --overlap 1"),
            frame: 64 * 64 * 3,
            enlarged: 256 * 256 * 3,
        },
        Filter {
            name: "retime25to24",
            args: "-s 16x8 -p rgb24 -r 25 --scale 8x4 -P yuv444p -f raw".into(),
            frame: 16 * 8 * 3,
            enlarged: 8 * 4 * 3,
        },
    ]
}

/// seg-sink on frames of 16x16 rgb24, five to a segment, with an encoder that loses nothing.
fn seg_sink(folder: &Path, more: &str) -> Run {
    tool("seg-sink", &format!("--dir job -o film.mkv -s 16x16 -p rgb24 -r 25 --segment 5f {more}"))
        .arg("--final")
        .arg("ffmpeg -v error -f rawvideo -s {size} -pix_fmt {pix_fmt} -r {rate} -i - -c:v ffv1 {out}")
        .within(folder)
}
const SEG_SINK_FRAME: usize = 16 * 16 * 3;

fn report(folder: &TempDir) -> Value {
    serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_stream_without_a_frame_is_torn() {
    for filter in filters() {
        let ended = filter.run("").run();
        ended.failed(3, &format!("{}: <stdin>: ended before the first frame", filter.name));
        assert!(ended.stdout.is_empty());
    }
    let folder = clip::folder();
    seg_sink(folder.path(), "").run().failed(3, "seg-sink: <stdin>: ended before the first frame");
    assert!(!folder.path().join("film.mkv").exists());
}

#[test]
fn a_torn_frame_never_goes_downstream_and_every_whole_one_before_it_does() {
    for filter in filters() {
        let at = 2 * filter.frame + filter.frame / 2;
        let ended = filter.run("").input(&clip::raw(3, filter.frame)[..at]).run();
        let (half, frame) = (filter.frame / 2, filter.frame);
        let why =
            format!("{}: <stdin>: ends inside frame 2, at byte {at}: {half} of {frame} bytes", filter.name);
        ended.failed(3, &why);
        assert_eq!(ended.stdout.len(), 2 * filter.enlarged, "{}", filter.name);
    }
}

#[test]
fn a_torn_header_is_torn() {
    let stream = clip::y4m(16, 8, 1);
    let line = stream.iter().position(|&b| b == b'\n').unwrap();
    for name in ["deint-crop", "retime25to24"] {
        let ended = tool(name, "").input(&stream[..20]).run();
        ended.failed(3, &format!("{name}: <stdin>: ends inside the YUV4MPEG2 header, at byte 20"));
        let ended = tool(name, "").input(&stream[..line + 4]).run();
        ended.failed(3, &format!("{name}: <stdin>: ends inside the header of frame 0, at byte {}", line + 4));
    }
}

#[test]
fn one_frame_is_a_film() {
    for filter in filters() {
        let ended = filter.run("--expect-frames 1").input(clip::raw(1, filter.frame)).run().ok();
        assert_eq!(ended.stdout.len(), filter.enlarged, "{}", filter.name);
    }
    let folder = clip::folder();
    seg_sink(folder.path(), "--expect-frames 1").input(clip::raw(1, SEG_SINK_FRAME)).run().ok();
    assert_eq!(clip::decoded(&folder.path().join("film.mkv")).len(), 1);
}

#[test]
fn another_count_than_promised_is_torn() {
    for filter in filters() {
        for promised in [2, 4] {
            let ended =
                filter.run(&format!("--expect-frames {promised}")).input(clip::raw(3, filter.frame)).run();
            assert_eq!(ended.code, 3, "{}: {}", filter.name, ended.stderr);
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        }
        filter.run("--expect-frames 3").input(clip::raw(3, filter.frame)).run().ok();
    }
    let folder = clip::folder();
    let ended = seg_sink(folder.path(), "--expect-frames 9").input(clip::raw(8, SEG_SINK_FRAME)).run();
    assert_eq!((ended.code, ended.stderr.lines().count()), (3, 1), "{}", ended.stderr);
    assert!(!folder.path().join("film.mkv").exists(), "a short stream is not a film");
}

#[test]
fn wrong_words_are_usage_errors_of_one_line() {
    let usage = |ended: Ended, name: &str| {
        assert_eq!((ended.code, ended.stderr.lines().count()), (2, 1), "{name}: {}", ended.stderr);
        assert!(ended.stderr.starts_with(&format!("{name}: ")), "{}", ended.stderr);
        assert!(ended.stdout.is_empty());
    };
    for name in TOOLS {
        usage(tool(name, "--no-such-flag").run(), name);
        usage(tool(name, "--progress loudly").run(), name);
    }
    for filter in filters() {
        for more in
            ["-p yuv999p", "-s 0x16", "-s 16", "-r nan", "-r 25/0", "-P rgb99", "-f avi", "--start -1"]
        {
            // A flag given twice is itself an error, so the bad one stands alone.
            usage(tool(filter.name, more).input(clip::raw(1, filter.frame)).run(), filter.name);
        }
        usage(tool(filter.name, "").input(vec![0; 100]).run(), filter.name);
    }
    usage(tool("deint-crop", "-s 8x8").input(clip::y4m(16, 8, 1)).run(), "deint-crop");
    usage(tool("deint-crop", "-p rgb24").input(clip::y4m(16, 8, 1)).run(), "deint-crop");
}

#[test]
fn what_only_prints_refuses_the_flags_of_a_run() {
    for (mode, flags) in [
        (
            "sr-window --info",
            "--device cpu|--precision fp32|--cuts on|--tile 64x64|--max-memory 1GB|--engine cat|--engine-timeout 1s|\
             --window 9|--overlap 9|--start 9|--first-frame 9|-s 64x64|-p rgb24|-r 25|--expect-frames 9|-P rgb24|-f raw|\
             --frames 9|--threads 9|--devices|--plan",
        ),
        (
            "sr-window --devices",
            "--weights builtin|--device cpu|--precision fp32|--cuts on|--tile 64x64|--max-memory 1GB|--engine cat|\
             --engine-timeout 1s|--window 9|--overlap 9|--start 9|--first-frame 9|-s 64x64|-p rgb24|-r 25|\
             --expect-frames 9|-P rgb24|-f raw|--frames 9|--threads 9|--plan",
        ),
        (
            "sr-window --plan",
            "--weights builtin|--device cpu|--precision fp32|--cuts on|--tile 64x64|--max-memory 1GB|--engine cat|\
             --engine-timeout 1s|--first-frame 9|-s 64x64|-p rgb24|-r 25|--expect-frames 9|-P rgb24|-f raw|\
             --frames 9|--threads 9",
        ),
        (
            "seg-sink --status --dir job",
            "-s 64x64|-p rgb24|-r 25|--expect-frames 9|-o film.mkv|--segment 9f|--mezz {out}|--final {out}|--jobs 9|\
             --max-disk 1GB|--resume|--keep|--max-tries 9|--verify count|--film-rate 25|--stall-timeout 1s|\
             --upstream-report up.json",
        ),
    ] {
        let (name, mode) = mode.split_once(' ').unwrap();
        let mode_flag = mode.split(' ').next().unwrap();
        for flag in flags.split('|').map(str::trim) {
            let ended = tool(name, &format!("{mode} {flag}")).run();
            assert_eq!(ended.code, 2, "{name} {mode} {flag}: {}", ended.stderr);
            let why = format!("{name}: usage: the argument '{mode_flag}' cannot be used with '");
            assert!(ended.stderr.starts_with(&why), "{flag}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_closed_standard_output_is_a_failure() {
    let closed = |tool: &str| shell(&format!("exec {tool} >&-")).run();
    for filter in filters() {
        let run = shell(&format!("exec {} {} >&-", filter.name, filter.args));
        let ended = run.input(clip::raw(1, filter.frame)).run();
        ended.failed(1, &format!("{}: <stdout>: cannot write: closed", filter.name));
    }
    for tool in [
        "deint-crop --analyze",
        "retime25to24 --map",
        "sr-window --plan",
        "sr-window --devices",
        "seg-sink --dir job --status",
        "seg-sink --dir job -o film.mkv --final {out}",
        "subs-canvas",
        "subs-retime",
    ] {
        let name = tool.split(' ').next().unwrap();
        closed(tool).failed(1, &format!("{name}: <stdout>: cannot write: closed"));
    }
    for name in TOOLS {
        for flag in ["--help", "--version", "--completions bash"] {
            let ended = closed(&format!("{name} {flag}"));
            ended.failed(1, &format!("{name}: <stdout>: cannot write: closed"));
        }
    }
}

#[test]
fn a_closed_standard_input_is_no_empty_one() {
    let folder = clip::folder();
    let closed = |tool: &str| shell(&format!("exec {tool} <&-")).within(folder.path()).run();
    for filter in filters() {
        let ended = closed(&format!("{} {}", filter.name, filter.args));
        ended.failed(1, &format!("{}: <stdin>: closed", filter.name));
    }
    for tool in [
        "deint-crop --analyze",
        "retime25to24 --map",
        "seg-sink --dir job -o film.mkv --final \"true {out}\"",
        "subs-canvas",
        "subs-retime -f srt",
    ] {
        closed(tool).failed(1, &format!("{}: <stdin>: closed", tool.split(' ').next().unwrap()));
    }
    // What reads nothing does not care.
    closed("sr-window --plan").ok();
}

#[test]
fn a_closed_standard_error_is_no_reason_to_fail() {
    for filter in filters() {
        let run = shell(&format!("exec {} {} --verbose --progress json 2>&-", filter.name, filter.args));
        assert_eq!(run.input(clip::raw(1, filter.frame)).run().ok().stdout.len(), filter.enlarged);
    }
}

#[test]
fn counts_have_bounds() {
    let refused = |name: &str, flag: &str, value: &str, why: &str| {
        let ended = tool(name, &format!("{} {value}", flag.split(' ').next().unwrap())).run();
        ended.failed(2, &format!("{name}: usage: invalid value '{value}' for '{flag}': {why}"));
    };
    for filter in filters() {
        refused(filter.name, "--threads <N>", "0", "0 is not in 1..=1024");
        refused(filter.name, "--threads <N>", "1025", "1025 is not in 1..=1024");
        for flag in ["--start <N>", "--frames <N>", "--expect-frames <N>"] {
            let why = "18446744073709551615 is not in 0..=1000000000000";
            refused(filter.name, flag, "18446744073709551615", why);
        }
    }
    for (name, flag) in [("sr-window", "--first-frame <M>"), ("seg-sink", "--first-frame <N>")] {
        refused(name, flag, "1000000000001", "1000000000001 is not in 0..=1000000000000");
    }
    refused("seg-sink", "--jobs <N>", "1025", "1025 is not in 1..=1024");
}

#[test]
fn a_frame_that_no_memory_holds_is_refused() {
    let too_large =
        |shape: &str, bytes: u64| format!("a frame of {shape} has {bytes} bytes; 2147483647 are the most");
    for name in ["deint-crop", "sr-window", "retime25to24"] {
        let ended = tool(name, "-s 65536x65536 -p rgb48le").input([0; 100]).run();
        ended.failed(2, &format!("{name}: <stdin>: {}", too_large("65536x65536 rgb48le", 6 << 32)));
        let ended = tool(name, "").input("YUV4MPEG2 W65536 H65535 F25:1 Ip C420p10\n").run();
        let shape = "65536x65535 yuv420p10le";
        ended.failed(1, &format!("{name}: <stdin>: {}", too_large(shape, 2 * 65536 * (65535 + 32768))));
    }
    for (name, more, shape, bytes) in [
        ("deint-crop", "--scale 65536x65536", "65536x65536 rgb48le", 6 << 32),
        ("retime25to24", "--height 65536 -f y4m", "65536x65536 yuv420p10le", 3 << 32),
    ] {
        let ended = tool(name, &format!("-s 8x8 -p yuv420p {more}")).input([0; 96]).run();
        ended.failed(2, &format!("{name}: <stdout>: {}", too_large(shape, bytes)));
        assert!(ended.stdout.is_empty());
    }
    let engine = nearest();
    let ended = tool("sr-window", &format!("-s 8192x8192 -p rgb24 --engine {engine}")).run();
    let why = too_large("32768x32768 rgb24", 3 << 30);
    ended.failed(2, &format!("sr-window: <stdout>: {why}"));
}

#[test]
fn what_is_not_there_is_missed_before_the_first_frame() {
    let frames = clip::raw(1, 64 * 64 * 3);
    let ended =
        tool("sr-window", "-s 64x64 -p rgb24 --device cpu --weights /no/such.pth").input(frames).run();
    ended.failed(1, "sr-window: /no/such.pth: No such file or directory");
    for filter in filters() {
        let ended = filter.run("--report /no/such/report.json").input(clip::raw(1, filter.frame)).run();
        let why = "/no/such/report.json: cannot write the report: No such file or directory";
        ended.failed(1, &format!("{}: {why}", filter.name));
        assert!(ended.stdout.is_empty());
    }
    let folder = clip::folder();
    let ended = tool("seg-sink", "--dir job -o film.mkv -s 16x16 -p rgb24 -r 25 --final")
        .arg("no-such-encoder {out}")
        .within(folder.path())
        .input(clip::raw(1, SEG_SINK_FRAME))
        .run();
    ended.failed(1, "seg-sink: no-such-encoder: not found, or not a program");
}

#[test]
fn a_full_disk_is_said_in_one_line() {
    for filter in filters() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = filter.run("").input(clip::raw(2, filter.frame)).output(full).run();
        ended.failed(1, &format!("{}: <stdout>: cannot write: No space left on device", filter.name));
    }
}

#[test]
fn a_broken_pipe_ends_the_tool_quietly_by_sigpipe() {
    for filter in filters() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = filter.run("").input(clip::raw(4, filter.frame)).output(OwnedFd::from(writer)).run();
        ended.failed(128 + Signal::SIGPIPE as i32, "");
    }
    for name in TOOLS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        tool(name, "--help").output(OwnedFd::from(writer)).run().failed(128 + Signal::SIGPIPE as i32, "");
    }
}

#[test]
fn a_signal_ends_the_tool_by_that_signal_with_a_report() {
    for filter in filters() {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let folder = clip::folder();
            // Standard input stays open and empty, so the tool waits until the signal comes.
            let (reader, _writer) = std::io::pipe().unwrap();
            let tool = format!("{} {} --report report.json", filter.name, filter.args);
            // Whatever these tests themselves were started to ignore.
            let run = shell(&format!("exec env --default-signal {tool}")).within(folder.path());
            let waiting = run.stdin(OwnedFd::from(reader)).start();
            std::thread::sleep(Duration::from_millis(300));
            kill(Pid::from_raw(waiting.id() as i32), signal).unwrap();
            waiting.wait().failed(128 + signal as i32, "");
            let report = report(&folder);
            assert_eq!(report["status"], "signal", "{}", filter.name);
            assert_eq!(report["exit_code"], 128 + signal as i32);
        }
    }
}

#[test]
fn a_signal_that_is_ignored_when_the_tool_starts_stays_ignored() {
    for filter in filters() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let run = shell(&format!("exec env --ignore-signal=HUP {} {}", filter.name, filter.args));
        let waiting = run.stdin(OwnedFd::from(reader)).start();
        std::thread::sleep(Duration::from_millis(300));
        kill(Pid::from_raw(waiting.id() as i32), Signal::SIGHUP).unwrap();
        writer.write_all(&clip::raw(1, filter.frame)).unwrap();
        drop(writer);
        assert_eq!(waiting.wait().ok().stdout.len(), filter.enlarged, "{}", filter.name);
    }
}

#[test]
fn a_report_counts_what_went_through() {
    for filter in filters() {
        let folder = clip::folder();
        let run = filter.run("--report report.json").within(folder.path());
        run.input(clip::raw(3, filter.frame)).run().ok();
        let whole = report(&folder);
        assert_eq!(whole["tool"], filter.name);
        assert_eq!(whole["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!((&whole["status"], &whole["exit_code"]), (&"ok".into(), &0.into()));
        assert_eq!((&whole["frames_in"], &whole["frames_out"]), (&3.into(), &3.into()));
        assert_eq!(whole["bytes_in"], 3 * filter.frame);
        assert_eq!(whole["bytes_out"], 3 * filter.enlarged);
        assert!(whole["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
        assert!(whole["settings"].is_object());

        let torn = filter.run("--report report.json").within(folder.path());
        torn.input(&clip::raw(3, filter.frame)[..2 * filter.frame + 1]).run();
        let torn = report(&folder);
        assert_eq!((&torn["status"], &torn["exit_code"]), (&"torn".into(), &3.into()));
        assert_eq!((&torn["frames_in"], &torn["frames_out"]), (&2.into(), &2.into()), "{}", filter.name);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "nothing but the report is left behind");
    }
}

#[test]
fn a_report_goes_where_any_file_would() {
    for filter in filters() {
        let folder = clip::folder();
        let run = |umask, report: &str| {
            let tool = format!("{} {} --report {report}", filter.name, filter.args);
            let run = shell(&format!("umask {umask}; {tool}")).within(folder.path());
            run.input(clip::raw(1, filter.frame)).run().ok();
        };
        let path = |name| folder.path().join(name);
        let mode = |name| path(name).symlink_metadata().unwrap().mode() & 0o777;
        for (umask, left) in [("022", 0o644), ("007", 0o660)] {
            run(umask, "report.json");
            assert_eq!(mode("report.json"), left, "{}", filter.name);
        }
        // A link is followed, whether or not there is a file at its end.
        std::fs::create_dir(path("far")).unwrap();
        symlink("far/away.json", path("near.json")).unwrap();
        symlink("near.json", path("link.json")).unwrap();
        for _ in 0..2 {
            run("022", "link.json");
            assert!(path("near.json").is_symlink() && path("link.json").is_symlink());
            assert_eq!(std::fs::read_dir(path("far")).unwrap().count(), 1);
            assert!(std::fs::read_to_string(path("far/away.json")).unwrap().ends_with("}\n"));
            std::fs::write(path("far/away.json"), "before").unwrap();
        }
        // A pipe stays one, and its reader gets the report whole.
        mkfifo(&path("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let pipe = path("pipe");
        let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
        run("022", "pipe");
        assert!(path("pipe").metadata().unwrap().file_type().is_fifo(), "{}", filter.name);
        let piped: Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
        assert_eq!(piped["frames_out"], 1);
    }
}

#[test]
fn a_report_goes_on_where_messages_or_frames_go() {
    for filter in filters() {
        let folder = clip::folder();
        for (descriptor, target) in [(2, "/dev/stderr"), (2, "said"), (1, "/dev/stdout"), (1, "said")] {
            let tool = format!("{} {}", filter.name, filter.args);
            let script =
                format!("echo before >&{descriptor}; {tool} --report {target}; echo after >&{descriptor}");
            let run = shell(&format!("{{ {script}; }} {descriptor}>said")).within(folder.path());
            run.input(clip::raw(1, filter.frame)).run().ok();
            let said = std::fs::read(folder.path().join("said")).unwrap();
            let stream = if descriptor == 1 { filter.enlarged } else { 0 };
            let said = said.strip_prefix(b"before\n").unwrap().split_at(stream).1;
            let report = said.strip_suffix(b"after\n").unwrap();
            let report: Value = serde_json::from_slice(report).unwrap();
            assert_eq!(report["frames_out"], 1, "{}: {target}", filter.name);
        }
    }
}

#[test]
fn no_signal_leaves_a_part_of_a_report_behind() {
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGKILL] {
        for n in 0..100 {
            let folder = clip::folder();
            // Whatever these tests themselves were started to ignore.
            let run = shell("exec env --default-signal subs-retime -f srt --report report.json </dev/null");
            let running = run.within(folder.path()).start();
            // All of a run takes some milliseconds.
            std::thread::sleep(Duration::from_micros(100 * n));
            let _ = kill(Pid::from_raw(running.id() as i32), signal);
            running.wait();
            let left = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
            assert!(left.into_iter().all(|name| name == "report.json"), "{signal}");
        }
    }
}

#[test]
fn a_range_is_cut_out_of_the_whole_run() {
    for filter in filters() {
        let frames = clip::raw(5, filter.frame);
        let whole = filter.run("").input(frames.clone()).run().ok().stdout;
        let range = filter.run("--start 2 --frames 2").input(frames.clone()).run().ok().stdout;
        let cut = &whole[2 * filter.enlarged..4 * filter.enlarged];
        assert!(range == cut, "{}: --start 2 --frames 2 gives other bytes", filter.name);
        let ended = filter.run("--start 4 --frames 2").input(frames).run();
        let why = "<stdin>: ended after 5 frames; --start 4 --frames 2 was asked for";
        ended.failed(3, &format!("{}: {why}", filter.name));
    }
}

#[test]
fn progress_is_json_lines_on_standard_error() {
    for filter in filters() {
        let ended = filter.run("--progress json").input(clip::raw(2, filter.frame)).run().ok();
        let last: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
        assert_eq!((&last["tool"], &last["frames"]), (&filter.name.into(), &2.into()));
    }
}

#[test]
fn every_tool_says_what_it_is_and_how_it_is_completed() {
    for name in TOOLS {
        let version = tool(name, "--version").run().ok();
        assert_eq!(version.text(), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
        for shell in ["bash", "zsh", "fish"] {
            let script = tool(name, &format!("--completions {shell}")).run().ok();
            assert!(script.text().contains("report"), "{name}: {shell}");
        }
    }
}
