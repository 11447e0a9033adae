//! `--analyze` on films whose fields, bars, pixel aspect and range are known.

use pipelines::{clip, shell, tool};
use serde_json::{Value, json};

/// What is found in the film that an ffmpeg filter chain makes of a moving picture with 2:1 bars above and below.
fn analyze(filters: &str, args: &str) -> Value {
    let film = shell(&format!(
        "ffmpeg -v error -nostdin -f lavfi -i 'testsrc2=s=720x432:r=50:d=1.2,noise=alls=6:allf=t,pad=720:576:0:72' \
         -vf '{filters},setsar=64/45' -pix_fmt yuv420p -f yuv4mpegpipe -"
    ))
    .run()
    .ok();
    let end = tool("deint-crop", &format!("--analyze {args}")).input(film.stdout).run().ok();
    serde_json::from_str(end.text()).unwrap()
}

#[test]
fn interlaced_video() {
    for (order, name, first) in [("tff", "tt", "top_first_frames"), ("bff", "bb", "bottom_first_frames")] {
        let found = analyze(&format!("interlace=scan={order}:lowpass=off"), "");
        assert_eq!((&found["field_order"], &found["phase"]), (&json!(name), &json!("interlaced")), "{found}");
        assert!(found["field_order_evidence"][first].as_u64() > Some(20), "{found}");
        assert_eq!(found["nb_frames"], 30);
        assert!(found["combed_frames"].as_u64() > Some(27), "{found}");
    }
}

#[test]
fn film_in_and_out_of_phase() {
    let film = analyze("fps=25,setfield=tff", "");
    assert_eq!((&film["field_order"], &film["phase"]), (&json!("progressive"), &json!("aligned")), "{film}");
    assert_eq!((&film["field_order_evidence"]["said"], &film["combed_frames"]), (&json!("tt"), &json!(0)));
    // A field late: each frame is woven from two film frames.
    let late = analyze("fps=25,setfield=tff,phase=t,setfield=tff", "");
    assert!(["bottom_late", "top_late"].map(Value::from).contains(&late["phase"]), "{late}");
    assert!(late["combed_frames"].as_u64() > Some(25), "{late}");
}

#[test]
fn bars_aspect_and_range() {
    let found = analyze("fps=25", "");
    assert_eq!(found["crop"], "1024:432:0:72", "{found}");
    assert_eq!(found["crop_evidence"]["picture"], "720:432:0:72");
    assert_eq!(found["sample_aspect_ratio"], "64:45");
    assert_eq!(found["color_range"], "tv", "{found}");
    let said: Vec<_> = found["sample_aspect_ratio_candidates"].as_array().unwrap().iter().collect();
    assert!(
        said.iter()
            .any(|c| c["sample_aspect_ratio"] == "64:45" && c["said"] == true && c["scaled_width"] == 1024)
    );
    // A film that is dark but for one frame is as large as that frame.
    let dark = analyze("fps=25,drawbox=t=fill:c=black:enable=not(eq(n\\,7))", "--scale none");
    assert_eq!(dark["crop"], "720:432:0:72", "{dark}");
    assert_eq!(dark["crop_evidence"]["frames_with_picture"], 1);
    let black = analyze("fps=25,drawbox=t=fill:c=black", "");
    assert_eq!((&black["crop"], &black["field_order"]), (&json!("none"), &Value::Null), "{black}");
    assert_eq!(black["phase"], Value::Null);
}

/// A part is looked at as if it were a film.
#[test]
fn a_part_is_looked_at_alone() {
    let film = clip::y4m(64, 48, 12);
    let analyze = |args: &str| tool("deint-crop", &format!("--analyze {args}")).input(film.clone()).run();
    let frames = |args| {
        let found: Value = serde_json::from_str(analyze(args).ok().text()).unwrap();
        found["nb_frames"].as_u64().unwrap()
    };
    assert_eq!([frames(""), frames("--start 5"), frames("--start 5 --frames 2")], [12, 7, 2]);
    analyze("--start 5 --frames 8")
        .failed(3, "deint-crop: <stdin>: ended after 12 frames; --start 5 --frames 8 was asked for");
}

#[test]
fn flags_that_it_would_ignore_are_refused() {
    for (flag, shown) in [
        ("--crop 8:8:0:0", "--crop <W:H:X:Y|none>"),
        ("--matrix bt709", "--matrix <M>"),
        ("--format y4m", "--format <raw|y4m>"),
    ] {
        let why = format!("usage: the argument '--analyze' cannot be used with '{shown}'");
        tool("deint-crop", &format!("--analyze {flag}")).run().failed(2, &format!("deint-crop: {why}"));
    }
}

#[test]
fn rgb_says_nothing() {
    tool("deint-crop", "-q -s 4x4 -p rgb24 --analyze")
        .input([0; 48])
        .run()
        .failed(2, "deint-crop: --analyze: needs YUV; RGB says nothing of how it was coded");
}
