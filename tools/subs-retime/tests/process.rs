//! The binary as a process: streams, messages, exit codes.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_subs-retime"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A tool that refuses its flags does not wait for its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Standard output, standard error and exit code.
fn ran(args: &[&str], input: &[u8]) -> (String, String, Option<i32>) {
    let output = run(args, input);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

const SRT: &str = "1\n00:00:00,480 --> 00:00:01,960\nWho woke me up?\n";

fn refused(args: &[&str], input: &[u8], message: &str, code: i32) {
    assert_eq!(
        ran(args, input),
        (String::new(), format!("subs-retime: {message}\n"), Some(code)),
        "{args:?}"
    );
}

#[test]
fn slows_by_default() {
    let slow = "1\n00:00:00,500 --> 00:00:02,042\nWho woke me up?\n";
    assert_eq!(ran(&[], SRT.as_bytes()), (slow.into(), String::new(), Some(0)));
    assert_eq!(ran(&["--ratio", "25/24", "-f", "srt", "-t", "srt"], SRT.as_bytes()).0, slow);
    assert_eq!(ran(&["--from", "24", "--to", "25"], slow.as_bytes()).0, SRT);
}

/// With a ratio the rate so far is no part of it, but what frames of MicroDVD are counted in.
#[test]
fn a_ratio_leaves_the_rate_to_what_counts_frames() {
    let srt = |from| {
        let flags = ["--ratio", "1", "--from", from, "-f", "microdvd", "-t", "srt"];
        ran(&flags, b"{50}{100}Who woke me up?\n").0.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(srt("25"), "00:00:02,000 --> 00:00:04,000");
    assert_eq!(srt("50"), "00:00:01,000 --> 00:00:02,000");
}

#[test]
fn a_shift_comes_after_the_ratio() {
    let shifted =
        |shift| ran(&["--ratio", "1", "--shift", shift], SRT.as_bytes()).0.lines().nth(1).unwrap().to_owned();
    assert_eq!(shifted("1.5s"), "00:00:01,980 --> 00:00:03,460");
    assert_eq!(shifted("-480ms"), "00:00:00,000 --> 00:00:01,480");
    assert_eq!(
        ran(&["--shift", "-500ms"], SRT.as_bytes()).0.lines().nth(1),
        Some("00:00:00,000 --> 00:00:01,542")
    );
    refused(&["--shift", "-501ms"], SRT.as_bytes(), "<stdin>: line 2: shifted to before zero", 1);
}

#[test]
fn rounded_names_of_rates_are_said_aloud() {
    let (out, err, code) = ran(&["--to", "23.976"], SRT.as_bytes());
    assert_eq!(err, "subs-retime: --to: 23.976 is taken as 24000/1001\n");
    assert_eq!((out.lines().nth(1), code), (Some("00:00:00,501 --> 00:00:02,044"), Some(0)));
}

#[test]
fn usage() {
    for (args, message) in [
        (
            &["-f", "doc"][..],
            "usage: invalid value 'doc' for '--from-format <auto|srt|vtt|ass|microdvd|ttml|idx|sup|chapters-xml|ffmetadata|ogm|json>': unknown format; there are auto, srt, vtt, ass, microdvd, ttml, idx, sup, chapters-xml, ffmetadata, ogm, json",
        ),
        (&["--from", "0"], "usage: invalid value '0' for '--from <N[/D]>': a rate is above zero"),
        (
            &["--ratio", "2", "--to", "3"],
            "usage: the argument '--ratio <N[/D]>' cannot be used with '--to <N[/D]>'",
        ),
        (
            &["--shift", "3"],
            "usage: invalid value '3' for '--shift <DURATION>': time unit needed, for example 3sec or 3ms",
        ),
        (
            &["--sub", "a.sub"],
            "usage: the following required arguments were not provided: --out-sub <OUT.sub>",
        ),
        (&["--sub", "a.sub", "--out-sub", "b.sub"], "--sub: belongs to idx; <stdin> is srt"),
    ] {
        refused(args, SRT.as_bytes(), message, 2);
    }
}

#[test]
fn input_of_no_use() {
    refused(&[], b"", "<stdin>: ended before the first byte", 3);
    refused(&[], b"Dear Sir,\n", "<stdin>: of no format that is known; --from-format can name it", 1);
    assert_eq!(ran(&["-f", "srt"], b""), (String::new(), String::new(), Some(0)), "no cues are no failure");
    refused(&["-f", "sup"], b"1\n00:00", "<stdin>: byte 0: ends inside a segment's header", 3);
    refused(
        &["-f", "sup"],
        SRT.as_bytes(),
        "<stdin>: byte 0: a PGS segment begins with PG, this one does not",
        1,
    );
    refused(&[], b"<tt><body><p begin='1s'>", "<stdin>: line 1: ends inside 3 open elements", 3);
    refused(
        &["-f", "json"],
        b"{\"start_ms\": 1",
        "<stdin>: line 1: EOF while parsing an object at line 1 column 14",
        3,
    );
}

#[test]
fn what_only_looks_like_a_time_is_said_and_copied() {
    let input = "1\n00:00:01 -> 00:00:02\na --> b\n\n2\n0:0:x --> 1\n";
    let message = "subs-retime: <stdin>: line 3 and 1 more: looks like a time but is none, copied as it is\n";
    assert_eq!(ran(&["-f", "srt"], input.as_bytes()), (input.into(), message.into(), Some(0)));
    assert_eq!(ran(&["-f", "srt", "-q"], input.as_bytes()).1, "");
}

#[test]
fn a_file_is_read_as_a_pipe_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.srt");
    std::fs::write(&path, SRT).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_subs-retime")).stdin(file).output().unwrap();
    assert_eq!(output.stdout, run(&[], SRT.as_bytes()).stdout);
}

#[test]
fn a_closed_pipe_ends_it_in_silence() {
    use std::os::unix::process::ExitStatusExt;
    let srt = SRT.repeat(100_000);
    let mut child = Command::new(env!("CARGO_BIN_EXE_subs-retime"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let _ = child.stdin.take().unwrap().write_all(srt.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.signal(), output.stderr), (Some(13), Vec::new()));
}

/// What has no lines may have no end, and is not read to it.
#[test]
fn a_line_without_end_is_refused_where_it_begins() {
    const LONGEST: usize = 64 << 20;
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let line = [SRT.as_bytes(), &vec![b'x'; 5 * LONGEST]].concat();
    let message = format!(
        "<stdin>: byte {}: a line of more than {LONGEST} bytes begins here; subtitles and chapters have none",
        SRT.len()
    );
    for format in ["auto", "srt", "ttml", "json"] {
        refused(&["-f", format, "--report", report.to_str().unwrap()], &line, &message, 1);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        assert!(report["peak_rss_bytes"].as_u64().unwrap() < 3 * LONGEST as u64, "{report}");
    }
    // A file is refused alike, and a line of just that length is none that is too long.
    let path = folder.path().join("a.srt");
    for (more, code) in [(0, 0), (1, 1)] {
        std::fs::write(&path, &line[..SRT.len() + LONGEST + more]).unwrap();
        let mut tool = Command::new(env!("CARGO_BIN_EXE_subs-retime"));
        let output = tool.stdin(std::fs::File::open(&path).unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
    }
    // Bytes have no lines.
    refused(&["-f", "sup"], &line, "<stdin>: byte 0: a PGS segment begins with PG, this one does not", 1);
}
