//! Only times change. Each fixture is a file in which `⟨old→new⟩` stands for a time field: what it says at 25 frames a
//! second and what it must say at 24. Every byte around is the same on both sides.

use subs_retime::{Format, Map, Scanned};
use timebase::{Rational, Retime};

const SRT: &str = "\
1
⟨00:00:00,480→00:00:00,500⟩ --> ⟨00:00:01,960→00:00:02,042⟩
Who woke <i>me</i> up at 00:00:05,000 --

2
  ⟨0:59:59.999→1:02:29.999⟩  -->⟨01:00:00,0→01:02:30,000⟩   X1:100 X2:200 Y1:1 Y2:2
é — ü

not a number
⟨96:00:00,000→100:00:00,000⟩ --> ⟨99:59:59,999→104:09:59,999⟩
⟨-00:00:00,500→-00:00:00,521⟩ --> ⟨00:00:00,011→00:00:00,011⟩
4
⟨00:00:12,000→00:00:12,500⟩ -->
no end

5
⟨00:57:35,999→00:59:59,999⟩ --> ⟨00:57:36,000→01:00:00,000⟩
broken --> line
00:00:01,000 -> 00:00:02,000
00:00:x1,000 --> 00:00:02,000
";

const VTT: &str = "\
WEBVTT - a title 00:00:01.000
X-TIMESTAMP-MAP=LOCAL:⟨00:00:04.800→00:00:05.000⟩,MPEGTS:⟨900000→937500⟩

STYLE
::cue(.a) { color: red }

REGION
id:fred width:40% lines:3

NOTE <00:00:09.000> is no stamp here

id 1
⟨00:00.480→00:00.500⟩ --> ⟨57:36.000→01:00:00.000⟩ align:start region:fred
<v Bob>One <⟨00:00:00.960→00:00:01.000⟩>two <⟨00:01.200→00:01.250⟩><b>three</b> <00:00> 00:00:07.000

⟨100:00:00.000→104:10:00.000⟩ --> ⟨101:00:00.024→105:12:30.025⟩
Late
";

const ASS: &str = "\
[Script Info]
; 0:00:01.00
Timer: 100.0000
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,⟨0:00:00.48→0:00:00.50⟩,⟨0:00:01.96→0:00:02.04⟩,Default,,0,0,0,,Plain, with commas, 0:00:01.00
Comment: 0,⟨0:59:59.99→1:02:29.99⟩,⟨9:59:59.99→10:24:59.99⟩,D,,0,0,0,,{\\fad(⟨120→125⟩,⟨240→250⟩)\\pos(100,200)}Fade
Dialogue: 0,⟨0:00:02.00→0:00:02.08⟩,⟨0:00:03.00→0:00:03.13⟩,D,,0,0,0,,{\\k⟨20→21⟩}a{\\kf⟨20→21⟩}b{\\ko⟨20→21⟩}c{\\K⟨20→20⟩}d
Dialogue: 0,⟨0:00:02.40→0:00:02.50⟩,⟨0:00:04.80→0:00:05.00⟩,D,,0,0,0,,{\\move(1,2,3,4,⟨480→500⟩,⟨960→1000⟩)\\move(1,2,3,4)}m
Dialogue: 0,⟨0:00:02.40→0:00:02.50⟩,⟨0:00:04.80→0:00:05.00⟩,D,,0,0,0,,{\\t(⟨0→0⟩,⟨480→500⟩,\\fscx120)\\t( ⟨480→500⟩ , ⟨960→1000⟩ ,1.5,\\fscy1)\\t(2,\\b1)\\t(\\i1)}t
Dialogue: 0,⟨0:00:02.40→0:00:02.50⟩,⟨0:00:04.80→0:00:05.00⟩,D,,0,0,0,,{\\fade(255,0,255,⟨0→0⟩,⟨240→250⟩,⟨480→500⟩,⟨720→750⟩)}f \\k50 {\\kt⟨48→50⟩\\k⟨12→13⟩\\fs20}
Dialogue: 0,⟨0:57:35.99→0:59:59.99⟩,⟨0:57:36.00→1:00:00.00⟩,D,,0,0,0,,carried into the hours
Dialogue: 0,0:00:x,⟨0:00:04.80→0:00:05.00⟩,D,,0,0,0,,half broken
[Fonts]
Dialogue: 0,0:00:02.40,0:00:04.80,D,,0,0,0,,not an event here
";

/// SSA's columns are others, and a file may have its own.
const SSA: &str = "\
[Script Info]
ScriptType: v4.00
[events]
Format: Marked, End, Start, Text
Dialogue: Marked=0,⟨0:00:04.80→0:00:05.00⟩,⟨0:00:02.40→0:00:02.50⟩,{\\fad(⟨24→25⟩,0)}x
";

const MICRODVD: &str = "\
{1}{1}⟨25.000→24.000⟩
{DEFAULT}{C:$0000FF}
{12}{49}Who woke|me up?
{100}{}no end
{x}{1}broken
";

const TTML: &str = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<tt xmlns=\"http://www.w3.org/ns/ttml\" xmlns:ttp=\"http://www.w3.org/ns/ttml#parameter\" ttp:frameRate=\"25\" ttp:tickRate=\"10000\">
<head><!-- <p begin=\"00:00:01.000\"/> --><styling><style xml:id=\"s\" color='red'/></styling></head>
<body begin='⟨0s→0s⟩'>
<div><p xml:id=\"a\" begin=\"⟨00:00:00.480→00:00:00.500⟩\" end=\"⟨00:00:01.960→00:00:02.042⟩\">Who &amp; why<br/>me</p>
<p begin=\"⟨00:00:04:20→00:00:05:00⟩\" dur='⟨12s→12.5s⟩'>x</p><p begin='⟨480ms→500ms⟩' end=\"⟨1.2h→1.25h⟩\"/>
<p begin=\"⟨48f→50f⟩\" end=\"⟨24000t→25000t⟩\">y<span begin=\"⟨2.4s→2.5s⟩\">z</span></p>
<p begin=\"⟨10.5s→10.938s⟩\" end=\"⟨4m→4.16667m⟩\"/><p begin=\"wallclock(12:00)\"/></div></body></tt>
";

const TTML_PARTS: &str = "\
<tt:tt xmlns:tt='http://www.w3.org/ns/ttml' xmlns:ttp='x' ttp:frameRate='30' ttp:frameRateMultiplier='1000 1001' ttp:subFrameRate='2'>
<tt:p begin='⟨00:00:24:00.1→00:00:25:00.1⟩' end='⟨00:00:23:29→00:00:24:29⟩'/></tt:tt>
";

const IDX: &str = "\
# VobSub index file, v7 (do not modify this line!)
# delay: -00:00:01:000
time offset: ⟨240→250⟩
id: en, index: 0
# alt: English
delay: ⟨-00:00:00:480→-00:00:00:500⟩
timestamp: ⟨00:00:00:560→00:00:00:583⟩, filepos: 000000000
timestamp: ⟨-00:00:00:048→-00:00:00:050⟩, filepos: 000000800
timestamp: ⟨99:59:59:999→104:09:59:999⟩, filepos: 000001800
timestamp: what, filepos: 000001800
";

const CHAPTERS_XML: &str = "\
<?xml version=\"1.0\"?>
<!-- <ChapterTimeStart>00:00:01.000000000</ChapterTimeStart> -->
<Chapters><EditionEntry><ChapterAtom><ChapterUID>1</ChapterUID>
<ChapterTimeStart>⟨00:00:00.000000000→00:00:00.000000000⟩</ChapterTimeStart>
<ChapterTimeEnd> ⟨00:00:02.640000000→00:00:02.750000000⟩ </ChapterTimeEnd>
<ChapterAtom><ChapterTimeStart>⟨01:00:00.000000001→01:02:30.000000001⟩</ChapterTimeStart></ChapterAtom>
<ChapterDisplay><ChapterString>At 00:00:02.640</ChapterString></ChapterDisplay><ChapterTimeEnd/>
</ChapterAtom></EditionEntry></Chapters>
";

const FFMETADATA: &str = "\
;FFMETADATA1
title=START=5
START=24
[CHAPTER]
TIMEBASE=1/1000
START=⟨2640→2750⟩
END=⟨5320→5542⟩
title=goes on\\
START=24
#END=24
[STREAM]
START=24
[CHAPTER]
START=⟨-24→-25⟩
END=2.5
";

const OGM: &str = "\
CHAPTER01=⟨00:00:00.000→00:00:00.000⟩
CHAPTER01NAME=00:00:01.000
CHAPTER02=⟨00:00:02.640→00:00:02.750⟩
CHAPTERX=00:00:01.000
CHAPTER03=soon
";

const JSON: &str = r#"{ "rate": "25/1", "cues": [
  {"start_ms": ⟨480→500⟩, "end_ms":⟨1960→2042⟩, "text": "\"start_ms\": 5 \\", "start_ms " : 7},
  {"start_ms":⟨-480→-500⟩ ,"end_ms": null,"duration_ms":⟨11.25→11.72⟩,"confidence":96.5}
] }
"#;

const FIXTURES: [(Format, &str); 13] = [
    (Format::Srt, SRT),
    (Format::Vtt, VTT),
    (Format::Ass, ASS),
    (Format::Ass, SSA),
    (Format::MicroDvd, MICRODVD),
    (Format::Ttml, TTML),
    (Format::Ttml, TTML_PARTS),
    (Format::Idx, IDX),
    (Format::ChaptersXml, CHAPTERS_XML),
    (Format::Ffmetadata, FFMETADATA),
    (Format::Ogm, OGM),
    (Format::Json, JSON),
    (Format::Srt, "⟨00:00:24,000→00:00:25,000⟩ --> ⟨00:00:48,000→00:00:50,000⟩"),
];

/// The fixture before and after.
fn sides(fixture: &str) -> (String, String) {
    let (mut before, mut after) = (String::new(), String::new());
    let mut rest = fixture;
    while let Some((same, field)) = rest.split_once('⟨') {
        let (old, more) = field.split_once('→').unwrap();
        let (new, more) = more.split_once('⟩').unwrap();
        for (side, time) in [(&mut before, old), (&mut after, new)] {
            side.push_str(same);
            side.push_str(time);
        }
        rest = more;
    }
    (before + rest, after + rest)
}

fn map(from: i64, to: i64) -> Map<'static> {
    let (from, to) = (Rational::whole(from), Rational::whole(to));
    Map { instants: Retime::between(from, to).unwrap(), frame_rate: from, cuts: &[] }
}

fn retimed(file: &[u8], format: Format, map: Map) -> Vec<u8> {
    let retimed = Scanned::new(file, format, &map).retime(map, "test").unwrap();
    retimed.ending.unwrap();
    retimed.bytes
}

/// A text in another encoding; `None` where that has no such characters.
type Encoding = fn(&str) -> Option<Vec<u8>>;

const ENCODINGS: [(&str, Encoding); 6] = [
    ("UTF-8", |text| Some(text.into())),
    ("UTF-8 with a mark", |text| Some(format!("\u{feff}{text}").into())),
    ("UTF-16LE", |text| Some(format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect())),
    ("UTF-16BE", |text| Some(format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect())),
    ("Latin-1", |text| text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()),
    ("Shift JIS and other lead bytes", |text| {
        Some(text.chars().flat_map(|c| if c.is_ascii() { vec![c as u8] } else { vec![0x83, 0x5c] }).collect())
    }),
];

#[test]
fn only_times_change() {
    for (format, fixture) in FIXTURES {
        let (before, after) = sides(fixture);
        for (ending, [before, after]) in [
            ("LF", [before.clone(), after.clone()]),
            ("CRLF", [before.replace('\n', "\r\n"), after.replace('\n', "\r\n")]),
            ("CR", [before.replace('\n', "\r"), after.replace('\n', "\r")]),
            ("no end", [before.trim_end().to_owned(), after.trim_end().to_owned()]),
        ] {
            for (name, encode) in ENCODINGS {
                let (Some(before), Some(after)) = (encode(&before), encode(&after)) else { continue };
                let what = format!("{format}, {name}, {ending}");
                let got = retimed(&before, format, map(25, 24));
                assert!(got == after, "{what}:\n{}", String::from_utf8_lossy(&got));
                assert_eq!(
                    retimed(&before, format, map(25, 25)),
                    before,
                    "{what}: a map that changes nothing"
                );
                let text = subs_retime::text::Text::of(&before);
                assert_eq!(Format::detect(&before, &text.seen), Some(format), "{what}: found out");
            }
        }
    }
}

#[test]
fn back_within_a_tick_in_the_same_order() {
    for (format, fixture) in FIXTURES {
        let (before, _) = sides(fixture);
        let there = retimed(before.as_bytes(), format, map(25, 24));
        let back = retimed(&there, format, map(24, 25));
        let times = |file: &[u8]| format.scan(str::from_utf8(file).unwrap(), Rational::whole(25)).fields;
        let (first, slow, last) = (times(before.as_bytes()), times(&there), times(&back));
        assert!(first.len() == slow.len() && first.len() == last.len() && !first.is_empty());
        for (a, b) in first.iter().zip(&last) {
            let difference =
                a.ticks as i128 * b.clock.num() as i128 - b.ticks as i128 * a.clock.num() as i128;
            assert!(difference.abs() <= a.clock.num() as i128, "{format}: {a:?} came back as {b:?}");
        }
        for i in 1..first.len() {
            if (first[i].role, first[i].clock) == (first[i - 1].role, first[i - 1].clock)
                && slow[i].clock == slow[i - 1].clock
            {
                let (a, b) = (first[i].ticks.cmp(&first[i - 1].ticks), slow[i].ticks.cmp(&slow[i - 1].ticks));
                assert_eq!(a, b, "{format}: {:?} {:?}", first[i - 1], first[i]);
            }
        }
    }
}

#[test]
fn a_shift_moves_instants_and_nothing_else() {
    let shifted = |format, text: &str, by: i64| {
        let map = map(1, 1);
        let map = Map {
            instants: map.instants.shifted(Rational::whole(by)),
            frame_rate: Rational::whole(25),
            cuts: &[],
        };
        let retimed = Scanned::new(text.as_bytes(), format, &map).retime(map, "test");
        retimed.map(|r| String::from_utf8(r.bytes).unwrap()).map_err(|e| e.to_string())
    };
    for (format, fixture) in [
        (
            Format::Vtt,
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:900000\n\n⟨00:01.000→00:03.000⟩ --> ⟨00:02.000→00:04.000⟩\n<⟨00:01.500→00:03.500⟩>x\n",
        ),
        (
            Format::Ass,
            "[Events]\nDialogue: 0,⟨0:00:01.00→0:00:03.00⟩,⟨0:00:02.00→0:00:04.00⟩,,,0,0,0,,{\\k20\\fad(1,2)}x\n",
        ),
        (Format::MicroDvd, "{⟨25→75⟩}{⟨50→100⟩}x\n"),
        (Format::MicroDvd, "{1}{1}10\n{⟨25→45⟩}{⟨50→70⟩}x\n"),
        (Format::Idx, "delay: 00:00:01:000\ntimestamp: ⟨00:00:01:000→00:00:03:000⟩, filepos: 0\n"),
        (Format::Ttml, "<tt><body begin='⟨1s→3s⟩' end='⟨9s→11s⟩'><p begin='1s' dur='2s'/></body></tt>"),
        (
            Format::Ttml,
            "<tt><body><p begin='⟨1s→3s⟩' dur='2s'><span begin='0s'/></p><p end='⟨5s→7s⟩'/></body></tt>",
        ),
        (Format::Json, "{\"start_ms\":⟨1000→3000⟩,\"duration_ms\":500}"),
        (Format::Ffmetadata, "[CHAPTER]\nTIMEBASE=1/90\nSTART=⟨0→180⟩\n[CHAPTER]\nEND=⟨1→2000000001⟩\n"),
    ] {
        let (before, after) = sides(fixture);
        assert_eq!(shifted(format, &before, 2).as_deref(), Ok(&*after), "{format}");
        assert_eq!(shifted(format, &after, -2).as_deref(), Ok(&*before), "{format}");
    }
    let early = shifted(Format::MicroDvd, "{0}{49}a\n{50}{60}b\n", -2).unwrap_err();
    assert_eq!(early, "test: line 1: shifted to before the first frame");
}

#[test]
fn syllables_end_where_they_should_however_many_there_are() {
    let line = format!("[Events]\nDialogue: 0,0:00:00.00,0:00:40.00,,,0,0,0,,{}\n", "{\\k20}a".repeat(200));
    let slow = String::from_utf8(retimed(line.as_bytes(), Format::Ass, map(25, 24))).unwrap();
    let sung: i64 =
        slow.split("{\\k").skip(1).map(|rest| rest.split_once('}').unwrap().0.parse::<i64>().unwrap()).sum();
    assert_eq!(
        sung, 4167,
        "200 times 20 hundredths are 41.6667 s; each rounded for itself they would be 42 s"
    );
}
