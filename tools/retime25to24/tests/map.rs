//! `--map`, from what ffprobe says of a film.

use pipelines::{clip, ffprobe, tool};
use serde_json::{Value, json};

fn map(args: &str, probe: &Value) -> Value {
    let end = tool("retime25to24", args).input(probe.to_string()).run().ok();
    serde_json::from_str(end.text()).unwrap()
}

#[test]
fn a_real_film() {
    let folder = clip::folder();
    let film = folder.path().join("film.mkv");
    clip::dvd(&film, 50);
    let map = map("--map", &ffprobe(&film));
    assert_eq!((&map["from"], &map["to"], &map["ratio"]), (&json!("25/1"), &json!("24/1"), &json!("25/24")));
    let streams = map["streams"].as_array().unwrap();
    let of = |kind: &str| {
        streams.iter().find(|s| s["codec_type"] == kind).unwrap_or_else(|| panic!("no {kind}: {map}"))
    };
    let video = of("video");
    assert_eq!((&video["r_frame_rate_in"], &video["r_frame_rate"]), (&json!("25/1"), &json!("24/1")));
    let audio = of("audio");
    assert_eq!((&audio["atempo"], &audio["asetrate"]), (&json!("24/25"), &json!("46080/1")));
    assert_eq!((&video["nb_frames"], &audio["samples"]), (&json!(50), &json!(100_000)));
    assert!(!map["chapters"].as_array().unwrap().is_empty());
}

#[test]
fn times_are_exact() {
    let probe = json!({
        "streams": [
            { "index": 0, "codec_type": "video", "codec_name": "mpeg2video", "avg_frame_rate": "25/1", "r_frame_rate": "50/1",
              "nb_frames": "192000", "start_time": "0.040000" },
            { "index": 1, "codec_type": "audio", "codec_name": "ac3", "sample_rate": "48000", "channels": 6,
              "tags": { "language": "deu", "DURATION": "02:08:00.000000000" } },
            { "index": 2, "codec_type": "subtitle", "codec_name": "dvd_subtitle" },
        ],
        "chapters": [{ "id": 1, "start_time": "0.000000", "end_time": "600.012000", "tags": { "title": "One" } }],
        "format": { "filename": "film.mkv", "duration": "7680.032000" },
    });
    let map = map("--map", &probe);
    let [video, audio, subtitle] = [0, 1, 2].map(|i| &map["streams"][i]);
    assert_eq!(video["nb_frames"], 192_000);
    assert_eq!(video["duration"], "8000/1");
    assert_eq!(video["start_time"], "1/24");
    assert_eq!((&audio["duration_in"], &audio["duration"]), (&json!("7680/1"), &json!("8000/1")));
    assert_eq!((&audio["samples_in"], &audio["samples"]), (&json!(368_640_000), &json!(384_000_000)));
    assert_eq!(subtitle, &json!({ "index": 2, "codec_type": "subtitle", "codec_name": "dvd_subtitle" }));
    assert_eq!(map["chapters"][0]["end_time"], "50001/80");
    assert_eq!(map["format"]["duration"], "8000/1", "the pictures', not the container's");
}

/// 23.976 seconds are no NTSC rate.
#[test]
fn a_time_is_not_taken_for_a_rate() {
    let tags = json!({ "DURATION": "00:00:23.976000000" });
    let audio = json!({ "index": 0, "codec_type": "audio", "sample_rate": "48000", "tags": tags });
    let map = map("--map", &json!({ "streams": [audio], "format": { "duration": "29.97" } }));
    assert_eq!(map["streams"][0]["duration_in"], "2997/125");
    assert_eq!(map["format"]["duration_in"], "2997/100");
}

#[test]
fn flags_that_it_would_ignore_are_refused() {
    for (flag, shown) in [
        ("--expect-frames 3", "--expect-frames <N>"),
        ("--height 1440", "--height <ROWS>"),
        ("--matrix bt709", "--matrix <M>"),
        ("--threads 2", "--threads <N>"),
    ] {
        let why = format!("usage: the argument '--map' cannot be used with '{shown}'");
        tool("retime25to24", &format!("--map {flag}")).run().failed(2, &format!("retime25to24: {why}"));
    }
}

#[test]
fn an_excerpt_has_its_own_zero() {
    let chapter = |id, start: &str, end: &str| json!({ "id": id, "start_time": start, "end_time": end });
    let probe = json!({
        "streams": [
            { "index": 0, "codec_type": "video", "avg_frame_rate": "25/1", "nb_read_packets": "100" },
            { "index": 1, "codec_type": "audio", "sample_rate": "44100" },
        ],
        "chapters": [chapter(1, "0", "0.96"), chapter(2, "0.48", "1.92"), chapter(3, "1.2", "2"), chapter(4, "1.92", "4")],
    });
    let map = map("--map --start 24 --frames 24", &probe);
    assert_eq!((&map["zero_in"], &map["format"]["duration"]), (&json!("24/25"), &json!("1/1")));
    assert_eq!(
        (&map["streams"][0]["nb_frames"], &map["streams"][1]["samples"]),
        (&json!(24), &json!(44_100))
    );
    let chapters: Vec<_> = map["chapters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["id"], &c["start_time"], &c["end_time"]))
        .collect();
    let [zero, quarter] = [json!("0/1"), json!("1/4")];
    assert_eq!(chapters, [(&json!(2), &zero, &json!("1/1")), (&json!(3), &quarter, &json!("13/12"))]);
    tool("retime25to24", "--map --start 90 --frames 20")
        .input(probe.to_string())
        .run()
        .failed(3, "retime25to24: <stdin>: ended after 100 frames; --start 90 --frames 20 was asked for");
}

#[test]
fn says_what_is_wrong() {
    let film =
        |rate: &str| json!({ "streams": [{ "index": 0, "codec_type": "video", "avg_frame_rate": rate }] });
    let run = |text: String| tool("retime25to24", "--map").input(text).run();
    run(film("30000/1001").to_string())
        .failed(1, "retime25to24: <stdin>: stream 0 has 30000/1001 frames a second, --from says 25");
    run("{}".into()).failed(
        1,
        "retime25to24: <stdin>: no streams; the map is made from ffprobe -of json -show_format -show_streams \
         -show_chapters",
    );
    tool("retime25to24", "--map --start 1").input(film("25/1").to_string()).run().failed(
        1,
        "retime25to24: <stdin>: --start needs the number of frames, which ffprobe -count_packets says",
    );
    let torn = film("25/1").to_string();
    run(torn[..20].into())
        .failed(3, "retime25to24: <stdin>: EOF while parsing an object at line 1 column 20");
}

#[test]
fn a_duration_may_be_whole_seconds() {
    let audio = |duration: &str| {
        let tags = json!({ "DURATION": duration });
        let probe = json!({ "streams": [{ "index": 0, "codec_type": "audio", "sample_rate": "48000", "tags": tags }] });
        map("--map", &probe)["streams"][0]["duration_in"].clone()
    };
    assert_eq!(audio("00:01:20"), "80/1");
    assert_eq!(audio("00:01:20.500000000"), "161/2");
}

#[test]
fn what_has_no_end_is_not_read_to_it() {
    let ended = tool("retime25to24", "--map").input(vec![b'['; 32 << 20]).run();
    let why = "<stdin>: has more than 16777216 bytes, as nothing has that ffprobe says of a film";
    ended.failed(1, &format!("retime25to24: {why}"));
}
