//! From one text format to another: one rounding, the words and their styles, and a name for what was lost.

use subs_retime::{Format, Map, Scanned, convert::convert};
use timebase::{Rational, Retime};

fn pal() -> Map<'static> {
    let (from, to) = (Rational::whole(25), Rational::whole(24));
    Map { instants: Retime::between(from, to).unwrap(), frame_rate: from, cuts: &[] }
}

/// The converted text, and what was lost.
fn converted(text: &str, from: Format, to: Format) -> (String, String) {
    let done = convert(text, from, to, pal()).unwrap();
    (done.text, done.losses.named().unwrap_or_default())
}

const SRT: &str = "\
1
00:00:00,480 --> 00:00:01,960
Who <b>woke</b> <i>me</i> & <u>you</u> up?

2
00:00:02,400 --> 00:00:04,800
Two
lines < one
";

const SLOW: &str = "\
1
00:00:00,500 --> 00:00:02,042
Who <b>woke</b> <i>me</i> & <u>you</u> up?

2
00:00:02,500 --> 00:00:05,000
Two
lines < one

";

#[test]
fn to_each_text_format() {
    let to = |format| converted(SRT, Format::Srt, format);
    let lost = |what: &str| what.to_owned();
    assert_eq!(
        to(Format::Vtt),
        (
            "WEBVTT\n\n00:00:00.500 --> 00:00:02.042\nWho <b>woke</b> <i>me</i> &amp; <u>you</u> up?\n\n\
             00:00:02.500 --> 00:00:05.000\nTwo\nlines &lt; one\n"
                .into(),
            lost("")
        )
    );
    let (ass, none) = to(Format::Ass);
    assert!(none.is_empty() && ass.starts_with("[Script Info]\nScriptType: v4.00+\n"));
    assert!(ass.ends_with(
        "Dialogue: 0,0:00:00.50,0:00:02.04,Default,,0,0,0,,Who {\\b1}woke{\\b0} {\\i1}me{\\i0} & {\\u1}you{\\u0} up?\n\
         Dialogue: 0,0:00:02.50,0:00:05.00,Default,,0,0,0,,Two\\Nlines < one\n"
    ));
    assert_eq!(
        to(Format::MicroDvd),
        (
            "{1}{1}24.000\n{12}{49}Who woke me & you up?\n{60}{120}Two|lines < one\n".into(),
            lost("styles (3)")
        )
    );
    assert_eq!(
        to(Format::Json),
        (
            "{\"cues\": [\n  {\"start_ms\":500,\"end_ms\":2042,\"text\":\"Who woke me & you up?\"},\n  \
             {\"start_ms\":2500,\"end_ms\":5000,\"text\":\"Two\\nlines < one\"}\n]}\n"
                .into(),
            lost("styles (3)")
        )
    );
    assert_eq!(
        to(Format::Ogm),
        (
            "CHAPTER01=00:00:00.500\nCHAPTER01NAME=Who woke me & you up?\n\
             CHAPTER02=00:00:02.500\nCHAPTER02NAME=Two lines < one\n"
                .into(),
            lost("ends (2), styles (3)")
        )
    );
    assert!(to(Format::Ttml).0.contains(
        "<p begin=\"00:00:00.500\" end=\"00:00:02.042\">Who <span tts:fontWeight=\"bold\">woke</span> \
         <span tts:fontStyle=\"italic\">me</span> &amp; <span tts:textDecoration=\"underline\">you</span> up?</p>"
    ));
    for format in [Format::Idx, Format::Sup] {
        let error = convert(SRT, Format::Srt, format, pal()).unwrap_err();
        assert_eq!(error, format!("{format} is pictures, which text cannot become"));
    }
}

#[test]
fn and_back() {
    let unchanged = Map {
        instants: Retime::new(Rational::whole(1)).unwrap(),
        frame_rate: Rational::whole(24),
        cuts: &[],
    };
    for format in [Format::Vtt, Format::Ass, Format::Ttml] {
        let (there, _) = converted(SRT, Format::Srt, format);
        let back = convert(&there, format, Format::Srt, unchanged).unwrap();
        let expected = if format == Format::Ass { SLOW.replace(",042", ",040") } else { SLOW.to_owned() };
        assert_eq!(back.text, expected, "{format}");
    }
    let chapters =
        "CHAPTER01=00:00:00.000\nCHAPTER01NAME=A & <b>; =\\\nCHAPTER02=00:00:02.750\nCHAPTER02NAME=B\n";
    for format in [Format::ChaptersXml, Format::Ffmetadata, Format::Json] {
        let there = convert(chapters, Format::Ogm, format, unchanged).unwrap();
        let back = convert(&there.text, format, Format::Ogm, unchanged).unwrap();
        assert_eq!(back.text, chapters, "{format}");
    }
}

#[test]
fn losses_have_names() {
    let vtt = "WEBVTT\n\nSTYLE\n::cue{}\n\nNOTE x\n\n1\n00:01.000 --> 00:02.000 align:left\n\
               <v Bob>a<00:01.500> <c.x>b</c> &lt;c&gt; &amp;lt;</v>\n";
    let (srt, lost) = converted(vtt, Format::Vtt, Format::Srt);
    assert_eq!(srt, "1\n00:00:01,042 --> 00:00:02,083\na b <c> &lt;\n\n");
    assert_eq!(lost, "classes (1), inline times (1), notes (1), positions (1), style sheets (1), voices (1)");
    let ass = "[V4+ Styles]\nStyle: x\n[Events]\nComment: 0,0:00:00.00,0:00:01.00,x,,0,0,0,,c\n\
               Dialogue: 0,0:00:04.80,0:00:05.00,x,,0,0,0,,later\n\
               Dialogue: 0,0:00:02.40,0:00:04.80,x,,0,0,0,,{\\i1\\pos(1,2)\\k20}it{\\i0}, {\\fad(1,2)}no\\hw\\\\\n";
    let (srt, lost) = converted(ass, Format::Ass, Format::Srt);
    assert_eq!(
        srt,
        "1\n00:00:02,500 --> 00:00:05,000\n<i>it</i>, no\u{a0}w\\\\\n\n2\n00:00:05,000 --> 00:00:05,208\nlater\n\n"
    );
    assert_eq!(lost, "comments (1), named styles (1), override tags (3)");
    let (srt, lost) = converted("{24}{}{C:$1}{Y:i}a|{y:b}b\n{48}{}c\n", Format::MicroDvd, Format::Srt);
    assert_eq!(
        srt,
        "1\n00:00:01,000 --> 00:00:02,000\n<i>a\n<b>b</b></i>\n\n2\n00:00:02,000 --> 00:00:05,125\nc\n\n",
        "frame 24 of the slowed film is at one second"
    );
    assert_eq!(lost, "control codes (1), ends that were not given (2)");
}

#[test]
fn nested_times_of_ttml_add_up() {
    let ttml = "<tt><body begin='2.4s'><div><p begin='2.4s' dur='2.4s'>a <span begin='1s'>b</span>\n  c</p></div></body></tt>";
    let (srt, lost) = converted(ttml, Format::Ttml, Format::Srt);
    assert_eq!(srt, "1\n00:00:05,000 --> 00:00:07,500\na b c\n\n");
    assert_eq!(lost, "inline times (1)");
}

/// Each of these was quadratic in what it repeats, and would take hours.
#[test]
fn depth_length_and_number_cost_no_more_than_their_bytes() {
    const N: usize = 2_000_000;
    let many = |text: &str| text.repeat(N);
    let cue = |words: String| format!("1\n00:00:00,480 --> 00:00:00,960\n{words}\n");
    let event = |words: String| format!("[Events]\nDialogue: 0,0:00:00.48,0:00:00.96,D,,0,0,0,,{words}\n");
    let nested = |root: &str, open: &str, inside: &str, close: &str| {
        format!("<{root}>{}{inside}{}</{root}>", open.repeat(N / 4), close.repeat(N / 4))
    };
    let words = |text: &str, from| {
        let srt = converted(text, from, Format::Srt).0;
        srt.split_once("\n00:00:00,500 --> 00:00:01,000\n").unwrap().1.trim_end().to_owned()
    };
    assert_eq!(words(&cue(many("<") + ">"), Format::Srt), many("<") + ">");
    assert_eq!(words(&cue(many("{\\an8}") + "x"), Format::Srt), "x");
    assert_eq!(words(&event(many("{") + "x"), Format::Ass), many("{") + "x");
    assert_eq!(
        words(&event("x".to_owned() + &many("\\h") + "x"), Format::Ass),
        format!("x{}x", many("\u{a0}"))
    );
    let p = "<p begin='480ms' end='960ms'>x</p>";
    assert_eq!(words(&nested("tt", "<div begin='0s'>", p, "</div>"), Format::Ttml), "x");

    let atom = "<ChapterAtom><ChapterTimeStart>00:00:00.480</ChapterTimeStart></ChapterAtom>";
    let chapters = nested("Chapters", "<ChapterTimeStart>\n", atom, "</ChapterTimeStart>\n");
    assert_eq!(
        converted(&chapters, Format::ChaptersXml, Format::Ogm).0,
        "CHAPTER01=00:00:00.500\nCHAPTER01NAME=\n"
    );
    // A clock for each chapter.
    let chapter = |n: usize| format!("[CHAPTER]\nTIMEBASE=1/{}\nSTART=0\n", 1000 + n);
    let chapters = ";FFMETADATA1\n".to_owned() + &(0..N / 4).map(chapter).collect::<String>();
    let retimed =
        Scanned::new(chapters.as_bytes(), Format::Ffmetadata, &pal()).retime(pal(), "chapters").unwrap();
    assert_eq!((retimed.times, retimed.bytes == chapters.as_bytes()), (N as u64 / 4, true));
}

/// The order of cues is that of their times, however far apart the clocks are on which they count.
#[test]
fn a_clock_beyond_all_bounds_does_not_change_the_order() {
    let chapters = format!(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE={}/1\nSTART=1000000\ntitle=last\n[CHAPTER]\nTIMEBASE=1/1\nSTART=24\ntitle=first\n",
        i64::MAX
    );
    let error = convert(&chapters, Format::Ffmetadata, Format::Ogm, pal()).unwrap_err();
    assert_eq!(error, "cue 2: a time that is too long");
}
