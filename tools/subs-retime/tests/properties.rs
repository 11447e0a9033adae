//! Generated files: the right lines in any order, with wild times, among broken ones and noise.

#[path = "../fuzz/promise.rs"]
mod promise;

use proptest::{collection::vec, prelude::*, sample::select};
use subs_retime::Format;

/// What a file is put together from; `#` stands for a generated number.
fn fragments(format: Format) -> &'static [&'static str] {
    match format {
        Format::Srt => {
            &["\n", "\r\n", "1", "#:#:#,#", " --> ", "-->", "-#:#:#,#", "00:#:#.#", "é", "text", " X1:#"]
        }
        Format::Vtt => &[
            "WEBVTT\n",
            "\n\n",
            "\n",
            "#:#.#",
            "#:#:#.#",
            " --> ",
            "<#:#.#>",
            "X-TIMESTAMP-MAP=LOCAL:#:#.#,MPEGTS:#",
            "NOTE",
        ],
        Format::Ass => &[
            "[Events]\n",
            "\nDialogue: 0,#:#:#.#,#:#:#.#,D,,0,0,0,,",
            "{\\k#}",
            "{\\kf#\\t(#,#,\\b1)}",
            "{\\move(1,2,3,4,#,#)}",
            "{\\fad(#,#)}",
            "{\\kt#",
            "}",
            "\\k",
            ",",
            "\n",
        ],
        Format::MicroDvd => &["{1}{1}#.#\n", "{#}{#}", "{#}{}", "text", "\n", "{", "}"],
        Format::Ttml => &[
            "<tt frameRate='#'>",
            "<p begin='#:#:#'",
            " end='#s'",
            " dur='#.#m'",
            " begin=\"#:#:#:#\"",
            "/>",
            "</tt>",
            ">",
            "<p begin='#f' end='#.#ms'/>",
        ],
        Format::Idx => &[
            "timestamp: #:#:#:#, filepos: 0",
            "delay: -#:#:#:#",
            "time offset: #",
            "\n",
            "\r\n",
            "# comment",
        ],
        Format::Sup => &["PG", "PG\0\0\0#\0\0\0#\x16\0\0", "PG\u{1}\u{1}\0#\0\0\0\0\x16\0\x02ab", "\0", "#"],
        Format::ChaptersXml => &[
            "<Chapters>",
            "</Chapters>",
            "<ChapterTimeStart>#:#:#.#</ChapterTimeStart>",
            "<ChapterTimeEnd>",
            "</ChapterTimeEnd>",
            "#:#:#",
            "\n",
        ],
        Format::Ffmetadata => {
            &["[CHAPTER]\n", "TIMEBASE=1/#\n", "START=#\n", "END=-#\n", "title=#\\", "\n", "[STREAM]\n"]
        }
        Format::Ogm => &["CHAPTER#=", "#:#:#.#", "CHAPTER01NAME=x", "\n"],
        Format::Json => &[
            "{\"start_ms\":#",
            ",\"end_ms\": -#.#",
            ",\"text\":\"\\\"#\"",
            "}",
            "{\"duration_ms\" : #}",
            "\n",
            "[",
            "]",
        ],
    }
}

fn file(format: Format) -> impl Strategy<Value = String> {
    let number = prop_oneof![4 => 0u64..100, 2 => 0u64..100_000, 1 => 0u64..1 << 50];
    let piece = (select(fragments(format)), vec(number, 8)).prop_map(|(fragment, numbers)| {
        let mut numbers = numbers.iter();
        fragment.split('#').enumerate().fold(String::new(), |text, (n, part)| match (n, numbers.next()) {
            (1.., Some(number)) => format!("{text}{number:02}{part}"),
            _ => text + part,
        })
    });
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn generated_files(text in select(&Format::ALL[..]).prop_flat_map(|format| (Just(format), file(format)))) {
        let (format, text) = text;
        promise::hold(Some(format), text.as_bytes());
        promise::hold(Some(format), format!("\u{feff}{}", text.replace('\n', "\r\n")).as_bytes());
        promise::hold(Some(format), &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..300), text in "[0-9:,.<>{}\\\\ \n-]{0,200}") {
        for format in Format::ALL {
            promise::hold(Some(format), &bytes);
            promise::hold(Some(format), text.as_bytes());
        }
        promise::hold(None, &bytes);
    }
}
