//! Generated files: the right lines in any order, with wild times, among broken ones and noise; and the fuzzers' corpus,
//! with a few changes to each file.

#[path = "../fuzz/promise.rs"]
mod promise;

use proptest::{collection::vec, prelude::*, sample::select};
use std::{path::Path, process::Command};
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
        promise::hold(format.name(), text.as_bytes());
        promise::hold(format.name(), format!("\u{feff}{}", text.replace('\n', "\r\n")).as_bytes());
        promise::hold(format.name(), &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..300), text in "[0-9:,.<>{}\\\\ \n-]{0,200}") {
        for format in Format::ALL {
            promise::hold(format.name(), &bytes);
            promise::hold(format.name(), text.as_bytes());
        }
        promise::hold("sub", &bytes);
    }
}

/// What the fuzzers found worth keeping, whole, cut short, and with digits and bytes of its own elsewhere.
#[test]
fn corpus() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus.tar.gz");
    let unpacked =
        Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(unpacked.success(), "{}", archive.display());
    let mut files = 0;
    for target in folder.path().join("corpus").read_dir().unwrap().map(Result::unwrap) {
        let name = target.file_name().into_string().unwrap();
        for path in target.path().read_dir().unwrap().map(Result::unwrap) {
            let file = std::fs::read(path.path()).unwrap();
            promise::hold(&name, &file);
            for change in 0..8 {
                promise::hold(&name, &changed(&file, files + change));
            }
            files += 1;
        }
    }
    assert!(files > 500, "{files} files");
}

/// The file with one thing changed, which `seed` decides.
fn changed(file: &[u8], seed: usize) -> Vec<u8> {
    let mut changed = file.to_vec();
    if file.is_empty() {
        return changed;
    }
    // Knuth's multiplier spreads the seeds.
    let (at, from) = (seed * 2_654_435_761 % file.len(), seed * 40_503 % file.len());
    match seed % 5 {
        0 => changed.truncate(at),
        1 => changed[at] = seed as u8,
        2 => changed[at] = file[from],
        3 => drop(changed.splice(at..at, file[from..].iter().copied())),
        _ => drop(changed.splice(at..at, *b"99999")),
    }
    changed
}
