//! The three crops of `--analyze`, on films with all kinds of things in their bars.

use deint_crop::bars::Bars;
use pipelines::{shell, tool};
use proptest::prelude::*;
use rawstream::{PixFmt, VideoFormat};
use serde_json::{Value, json};

/// What is found in two seconds of a moving picture with 2:1 bars, each with grain, on which a chain of ffmpeg filters has
/// drawn.
fn film(draw: &str) -> Value {
    made(&format!("testsrc2=s=720x432:r=25:d=2,pad=720:576:0:72{draw}"), "null", "")
}

/// What is found in a film that goes through an encoder or through other filters, at a size that it is to be scaled to.
fn made(source: &str, then: &str, args: &str) -> Value {
    let film = shell(&format!(
        "ffmpeg -v error -nostdin -f lavfi -i '{source},noise=alls=6:allf=t,setsar=64/45' -pix_fmt yuv420p {}",
        match then {
            "null" => "-f yuv4mpegpipe -".to_owned(),
            codec => format!("{codec} -f nut - | ffmpeg -v error -nostdin -i - -f yuv4mpegpipe -"),
        }
    ));
    let end = tool("deint-crop", &format!("--analyze {args}")).input(film.run().ok().stdout).run().ok();
    serde_json::from_str(end.text()).unwrap()
}

/// A filter that draws a box of grey.
fn grey(x: usize, y: usize, w: usize, h: usize, when: &str) -> String {
    format!(",drawbox=x={x}:y={y}:w={w}:h={h}:t=fill:c=gray:enable={when}")
}

#[track_caller]
fn crops(found: &Value, loose: &str, auto: &str, tight: &str) {
    let crops = ["crop", "auto_crop", "tight_crop"].map(|name| found[name].as_str().unwrap());
    assert_eq!(crops, [loose, auto, tight], "{:#}", found["crop_evidence"]);
}

/// What is outside the tight crop, as edge, first line, last line, frames and whether it counts.
fn outside(found: &Value) -> Value {
    let all = found["crop_evidence"]["outside_tight"].as_array().unwrap();
    all.iter().map(|o| json!([o["edge"], o["first"], o["last"], o["frames"], o["counted"]])).collect()
}

const WHOLE: &str = "1024:576:0:0";
const SCOPE: &str = "1024:432:0:72";

#[test]
fn clean_bars_have_one_crop() {
    let found = film("");
    crops(&found, SCOPE, SCOPE, SCOPE);
    assert_eq!(outside(&found), json!([]));
}

/// Line 23 is black in its first half, line 623 in its second.
#[test]
fn half_lines_are_no_picture() {
    for (x, y, edge, loose) in [(360, 0, "top", "1024:504:0:0"), (0, 575, "bottom", "1024:504:0:72")] {
        for encoder in ["null", "-c:v mpeg2video -b:v 5M -flags +ildct+ilme -top 1"] {
            let source = format!("testsrc2=s=720x432:r=25:d=2,pad=720:576:0:72{}", grey(x, y, 360, 1, "1"));
            let found = made(&source, encoder, "");
            crops(&found, loose, SCOPE, SCOPE);
            assert_eq!(outside(&found), json!([[edge, y, y, 50, false]]), "{encoder}");
            let half = &found["crop_evidence"]["outside_tight"][0];
            assert!((350..=370).contains(&half["samples"].as_u64().unwrap()), "{half}");
            assert!((110..=145).contains(&half["level"].as_u64().unwrap()), "{half}");
        }
    }
    // The picture itself is where it was.
    let found = film(&(grey(360, 0, 360, 1, "1") + &grey(0, 575, 360, 1, "1")));
    crops(&found, WHOLE, SCOPE, SCOPE);
    assert_eq!(found["crop_evidence"]["picture"], "720:576:0:0");
    assert_eq!(found["crop_evidence"]["auto_picture"], "720:432:0:72");
}

#[test]
fn dirty_lines_at_the_edge_are_no_picture() {
    for depth in 1..=3 {
        let (far_row, far_column) = (576 - depth, 720 - depth);
        let found = film(&grey(0, 0, 720, depth, "lt(mod(n\\,5)\\,2)"));
        crops(&found, "1024:504:0:0", SCOPE, SCOPE);
        assert_eq!(outside(&found), json!([["top", 0, depth - 1, 20, false]]));
        let found = film(&grey(100, far_row, 500, depth, "1"));
        crops(&found, "1024:504:0:72", SCOPE, SCOPE);
        assert_eq!(outside(&found), json!([["bottom", far_row, 575, 50, false]]));
        // 4:3 inside 16:9, with bars left and right.
        let pillars = "testsrc2=s=540x576:r=25:d=2,pad=720:576:90:0";
        let draw = grey(0, 100, depth, 300, "1") + &grey(far_column, 0, depth, 576, "eq(n\\,7)");
        let found = made(&(pillars.to_owned() + &draw), "null", "");
        crops(&found, WHOLE, "768:576:128:0", "768:576:128:0");
        assert_eq!(
            outside(&found),
            json!([["left", 0, depth - 1, 50, false], ["right", far_column, 719, 1, false]])
        );
    }
    // Rows of one field, and as many as a head switch takes.
    let found = film(&(grey(0, 0, 300, 1, "1") + &grey(0, 2, 300, 1, "1") + &grey(9, 568, 700, 8, "1")));
    crops(&found, WHOLE, SCOPE, SCOPE);
    assert_eq!(outside(&found), json!([["top", 0, 2, 50, false], ["bottom", 568, 575, 50, false]]));
}

#[test]
fn pillars_have_one_crop() {
    let found = made("testsrc2=s=540x576:r=25:d=2,pad=720:576:90:0", "null", "");
    crops(&found, "768:576:128:0", "768:576:128:0", "768:576:128:0");
    let found = made("testsrc2=s=540x432:r=25:d=2,pad=720:576:90:72", "null", "--scale none");
    crops(&found, "540:432:90:72", "540:432:90:72", "540:432:90:72");
}

/// Subtitles and logos in the bars are proposed to be lost, and are not.
#[test]
fn what_is_in_the_bars_is_kept() {
    let subtitle =
        ",drawtext=text=Who\\\\?:fontsize=24:fontcolor=white:x=300:y=530:enable=lt(mod(n\\,10)\\,4)";
    let found = film(subtitle);
    let [loose, auto, tight] =
        ["crop", "auto_crop", "tight_crop"].map(|name| found[name].as_str().unwrap().to_owned());
    assert_eq!((&loose, tight.as_str()), (&auto, SCOPE), "{found}");
    assert!(auto.starts_with("1024:47") || auto.starts_with("1024:48"), "{auto}");
    assert_eq!(found["crop_evidence"]["outside_tight"][0]["frames"], 20);
    // A logo in the upper bar, with a half-line above it.
    let found = film(&(grey(600, 20, 60, 30, "1") + &grey(360, 0, 360, 1, "1")));
    crops(&found, "1024:504:0:0", "1024:484:0:20", SCOPE);
    assert_eq!(outside(&found), json!([["top", 0, 0, 50, false], ["top", 20, 49, 50, true]]));
    // One that the edge cuts off, and one at a corner.
    for logo in [grey(20, 0, 60, 30, "1"), grey(20, 3, 40, 9, "1")] {
        let found = film(&logo);
        assert_eq!(found["crop"], found["auto_crop"]);
        assert_eq!(found["tight_crop"], SCOPE);
        assert_eq!(found["crop_evidence"]["outside_tight"][0]["counted"], true);
    }
}

/// Scope with scenes that fill the frame.
#[test]
fn mixed_aspects_are_kept() {
    let bars = |from: usize| {
        let when = format!("gte(n\\,{from})");
        format!(
            "testsrc2=s=720x576:r=25:d=6,drawbox=y=0:w=720:h=72:t=fill:c=black:enable={when},\
             drawbox=y=504:w=720:h=72:t=fill:c=black:enable={when}"
        )
    };
    let half = grey(360, 0, 360, 1, "1");
    for film in [bars(30), bars(30) + &half] {
        crops(&made(&film, "null", ""), WHOLE, WHOLE, WHOLE);
    }
    // One frame of 150 that fills it is kept too; how little forbids the tight crop is said.
    let found = made(&(bars(1) + &half), "null", "");
    crops(&found, WHOLE, WHOLE, SCOPE);
    assert_eq!(outside(&found), json!([["top", 0, 71, 150, true], ["bottom", 504, 575, 1, true]]));
}

#[test]
fn dark_scenes_are_kept() {
    let half = grey(360, 0, 360, 1, "1");
    // Two thirds of the film are black, and then the picture fills the frame.
    let dark = ",drawbox=t=fill:c=black:enable=lt(n\\,33)";
    crops(&made(&format!("testsrc2=s=720x576:r=25:d=2{dark}{half}"), "null", ""), WHOLE, WHOLE, WHOLE);
    crops(&film(&format!("{dark}{half}")), "1024:504:0:0", SCOPE, SCOPE);
    // A picture too dark to be told from black on its upper lines, with light at its very edge: these are no bars.
    let dusk = "color=0x0a0a0a:s=720x576:r=25:d=2,drawbox=y=200:w=720:h=200:t=fill:c=gray";
    let found = made(&format!("{dusk}{half}"), "null", "");
    crops(&found, "1024:400:0:0", "1024:400:0:0", "1024:200:0:200");
    // Nothing but a half-line is no picture at all; nothing but the outermost lines is all that there is.
    let black = "color=black:s=720x576:r=25:d=2";
    crops(&made(&format!("{black}{half}"), "null", ""), "none", "none", "none");
    let dirt = format!("{black}{}{}", grey(0, 0, 720, 8, "1"), grey(0, 568, 720, 8, "1"));
    crops(&made(&dirt, "null", ""), WHOLE, WHOLE, "1024:8:0:0");
    let found = made("color=black:s=720x576:r=25:d=2", "null", "");
    crops(&found, "none", "none", "none");
}

/// Bars with the noise of a tape, below what counts as picture, and above it.
#[test]
fn noise_in_the_bars() {
    let noisy = |strength: usize| {
        let bars = format!("color=black:s=720x576:r=25:d=2,format=yuv420p,noise=alls={strength}:allf=t");
        let half = grey(360, 0, 360, 1, "1");
        format!("{bars}[b];testsrc2=s=720x432:r=25:d=2[p];[b][p]overlay=0:72:format=yuv420{half}")
    };
    crops(&made(&noisy(4), "null", ""), "1024:504:0:0", SCOPE, SCOPE);
    crops(&made(&noisy(60), "null", ""), WHOLE, WHOLE, WHOLE);
}

/// Bits of the picture are kept where only a few black lines part them from the rest, and at the edge of a picture
/// without bars nothing is dirt.
#[test]
fn what_is_close_to_the_picture_is_kept() {
    let source = "testsrc2=s=720x576:r=25:d=2";
    for y in [1, 2, 5] {
        let found = made(&format!("{source},drawbox=y={y}:w=720:h=3:t=fill:c=black"), "null", "");
        crops(&found, WHOLE, WHOLE, WHOLE);
    }
    let black = ",drawbox=y=0:w=360:h=1:t=fill:c=black,drawbox=y=1:w=720:h=3:t=fill:c=black";
    crops(&made(&format!("{source}{black}"), "null", ""), WHOLE, WHOLE, WHOLE);
    // With bars deep enough the same half-line is none of it.
    let black = ",drawbox=y=0:w=360:h=1:t=fill:c=black,drawbox=y=1:w=720:h=4:t=fill:c=black";
    crops(&made(&format!("{source}{black}"), "null", ""), WHOLE, "1024:572:0:4", "1024:572:0:4");
}

proptest! {
    /// Whatever is bright, and in whatever frames and depth: a line with picture is left out by `auto` only at the very
    /// edge, with four black lines between it and any line with picture that is kept. `tight` lies inside `auto`, and that
    /// inside `loose`, and what is said to be outside is just what has picture there.
    #[test]
    fn lines_of_the_picture_are_never_left_out(
        frames in prop::collection::vec(prop::collection::vec((0usize..288, 1usize..90, any::<bool>()), 0..6), 1..4),
        deep in any::<bool>(),
        on_its_side in any::<bool>(),
    ) {
        const LINES: usize = 288;
        let pix_fmt = PixFmt::named(if deep { "yuv444p10le" } else { "yuv444p" }).unwrap();
        let (width, height) = if on_its_side { (LINES, 72) } else { (72, LINES) };
        let mut bars = Bars::new(&VideoFormat::new(width, height, pix_fmt)).unwrap();
        let (mut bright, mut most) = ([false; LINES], 0);
        for groups in &frames {
            let mut lit = [false; LINES];
            for &(start, length, from_the_end) in groups {
                for n in start..(start + length).min(LINES) {
                    lit[if from_the_end { LINES - 1 - n } else { n }] = true;
                }
            }
            let mut frame = Vec::new();
            for plane in 0..3 {
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    let line = if on_its_side { x } else { y };
                    let value = if plane == 0 && lit[line] { 180u16 } else { 16 };
                    match deep {
                        true => frame.extend((value * 4).to_le_bytes()),
                        false => frame.push(value as u8),
                    }
                }
            }
            bars.add(&frame);
            for (all, now) in bright.iter_mut().zip(lit) {
                *all |= now;
            }
            most = most.max(lit.iter().filter(|&&now| now).count());
        }
        let Some(crops) = bars.crops() else {
            // So few lines at once that those which cross them have no picture.
            prop_assert!(most * 64 < LINES);
            return Ok(());
        };
        let span = |r: resample::Rect| {
            if on_its_side { r.x..r.x + r.width } else { r.y..r.y + r.height }
        };
        let (loose, auto, tight) = (span(crops.loose), span(crops.auto), span(crops.tight));
        let has = |lines: std::ops::Range<usize>| lines.clone().filter(|&n| bright[n]).collect::<Vec<_>>();
        let within = |inner: &std::ops::Range<usize>, outer: &std::ops::Range<usize>| {
            outer.start <= inner.start && inner.end <= outer.end && !inner.is_empty()
        };
        prop_assert!(within(&tight, &auto) && within(&auto, &loose));
        prop_assert_eq!(has(loose), has(0..LINES));
        let kept = has(auto.clone());
        for n in has(0..LINES).into_iter().filter(|n| !auto.contains(n)) {
            prop_assert!(!(4..LINES - 4).contains(&n), "{}", n);
            prop_assert!(kept.iter().all(|k| k.abs_diff(n) > 4), "{} {:?}", n, kept);
        }
        let mut said: Vec<usize> = crops.outside.iter().flat_map(|o| has(o.lines.clone())).collect();
        said.sort_unstable();
        let outside: Vec<usize> = has(0..LINES).into_iter().filter(|n| !tight.contains(n)).collect();
        prop_assert_eq!(said, outside);
        for lines in &crops.outside {
            prop_assert_eq!(lines.counted, auto.contains(&lines.lines.start));
            prop_assert_eq!(lines.level, 180);
        }
    }
}
