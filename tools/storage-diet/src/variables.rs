//! What is typed: NAME=VALUE, by the Makefile's names, checked once and by the types that the tools use.

use crate::makefile::Makefile;
use cli::{Error, Length, Result, Size, parse_bytes};
use rawstream::Matrix;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use timebase::Rational;

/// The language that `subs` reads unless LANG is typed. The Makefile cannot have it: there it would be everybody's locale.
const LANG: &str = "eng";

/// Frames a second of the films that this is for, where FROM does not say otherwise.
pub const RATE: u64 = 25;

/// What a variable holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A path; `words` that are no path are kept as they are.
    Path { words: &'static [&'static str] },
    /// A command line whose words may be paths.
    Command,
    /// A frame's number, or a time.
    Frame,
    /// At least one frame, or a time.
    Frames,
    /// A length that says its unit.
    Length,
    /// A whole number.
    Whole(u64, u64),
    /// An even whole number.
    Even(u64, u64),
    /// A number with a point.
    Decimal(f64, f64),
    /// A number of bytes.
    Bytes,
    /// One of these words.
    One(&'static [&'static str]),
    /// One of the texts that begin so in the Makefile.
    Choice(&'static str),
    /// `WxH`, or `sar`.
    Scale,
    /// `W:H:X:Y`, `none` or `auto`.
    Crop,
    /// What `deint-crop --matrix-in` takes.
    Matrix,
    /// What `sr-window --device` takes.
    Device,
    /// `I/N`.
    Part,
    /// A word that only the encoder knows, and tries.
    Word,
    /// Three letters.
    Language,
}

/// The kind of each variable, whether it may be empty, and whether the film's bytes or the work depends on it, so that a job
/// keeps it.
const KINDS: &[(&str, Kind, bool, bool)] = &[
    ("SRC", Kind::Path { words: &[] }, true, true),
    ("OUT", Kind::Path { words: &[] }, false, false),
    ("WEIGHTS", Kind::Path { words: &["builtin"] }, false, true),
    ("ENGINE", Kind::Command, true, true),
    ("START", Kind::Frame, false, true),
    ("FRAMES", Kind::Frames, true, true),
    ("FROM", Kind::One(&["24", "25"]), false, true),
    ("GAPS", Kind::One(&["cut", "repeat"]), true, true),
    ("MATRIX", Kind::Matrix, true, true),
    ("PART", Kind::Part, true, true),
    ("KEEP", Kind::One(&["1"]), true, true),
    ("SAMPLES", Kind::Whole(1, 1000), false, false),
    ("SAMPLE", Kind::Length, false, false),
    ("LANG", Kind::Language, false, false),
    ("SCALE", Kind::Scale, false, true),
    ("CROP", Kind::Crop, false, true),
    ("FIELD_PHASE", Kind::One(&["off", "auto"]), false, true),
    ("WINDOW", Kind::Whole(1, 100_000), false, true),
    ("OVERLAP", Kind::Whole(0, 100_000), false, true),
    ("DEVICE", Kind::Device, false, true),
    ("HEIGHT", Kind::Even(16, 16384), false, true),
    ("ENCODER", Kind::Choice("encode-"), false, true),
    ("PRESET", Kind::Word, true, true),
    ("CRF", Kind::Decimal(0.0, 63.0), true, true),
    ("TUNE", Kind::Word, false, true),
    ("MEZZ", Kind::Choice("intra-"), false, true),
    ("QP", Kind::Whole(0, 51), false, true),
    ("AUDIO", Kind::One(&["pitch-kept", "pitch-lowered"]), false, true),
    ("SEGMENT", Kind::Length, false, true),
    ("MAX_DISK", Kind::Bytes, true, true),
    ("JOBS", Kind::Whole(1, 1024), false, true),
];

/// Checked values by name, in the Makefile's order, each in one spelling: `08` has become `8`, a relative path absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The defaults with what is typed in their places. Errors (usage): a name that is none, a value that is none.
    pub fn new(typed: &[(String, String)]) -> Result<Self> {
        let defaults = Makefile::own().variables.iter().cloned().chain([("LANG".into(), LANG.into())]);
        let mut values: BTreeMap<String, String> = defaults.collect();
        for (name, value) in typed {
            if values.insert(name.clone(), value.clone()).is_none() {
                return Err(unknown(name));
            }
        }
        let rate = checked("FROM", values.get("FROM").map_or("", String::as_str), 1)?.parse().unwrap_or(1);
        for (name, value) in &mut values {
            *value = checked(name, value, rate)?;
        }
        // What is left to the encoder, the Makefile says by the encoder's name.
        let encoder = values.get("ENCODER").cloned().unwrap_or_default();
        for (name, head) in [("PRESET", "preset"), ("CRF", "crf")] {
            if values.get(name).is_none_or(String::is_empty) {
                let own = Makefile::own().text(&format!("{head}-{encoder}"), &|_| None);
                values.insert(name.into(), own.unwrap_or_default());
            }
        }
        Ok(Self(values))
    }

    /// What a job's folder holds, which anybody may have written: only what would be taken if it were typed. Those of `typed`
    /// that a job does not keep come with it, and SRC, since a film may lie elsewhere by now: it is known by its bytes.
    pub fn kept(kept: &BTreeMap<String, String>, typed: &[(String, String)]) -> Result<Self> {
        let not_kept =
            |name: &str| name == "SRC" || KINDS.iter().any(|(n, _, _, keeps)| *n == name && !keeps);
        let kept = kept.iter().map(|(name, value)| (name.clone(), value.clone()));
        let all: Vec<_> = kept.chain(typed.iter().filter(|(name, _)| not_kept(name)).cloned()).collect();
        Self::new(&all)
    }

    /// Those that a job keeps.
    pub fn to_keep(&self) -> BTreeMap<String, String> {
        let keeps = |name: &str| KINDS.iter().any(|(n, _, _, keeps)| *n == name && *keeps);
        self.0.iter().filter(|(name, _)| keeps(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    /// The value of that name, which may be empty.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The value of that name, unless it is empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }

    /// The same with another value.
    pub fn with(mut self, name: &str, value: impl ToString) -> Result<Self> {
        let value = checked(name, &value.to_string(), self.number("FROM"))?;
        self.0.insert(name.into(), value);
        Ok(self)
    }

    /// `I/N`.
    pub fn part(&self) -> Option<(u64, u64)> {
        part(self.get("PART"))
    }
}

/// Names and values as they were typed, unchecked.
pub type Typed = Vec<(String, String)>;

/// What is typed on a command line, `NAME=VALUE`, or was to make, which hands it on in the environment; what is on the command
/// line comes last.
///
/// Errors (usage): what is not UTF-8 or not NAME=VALUE; a name that the command line has twice.
pub fn typed(operands: &[String]) -> Result<Typed> {
    let mut all = Vec::new();
    for name in std::env::var("STORAGE_DIET_TYPED").unwrap_or_default().split_whitespace() {
        let value = std::env::var_os(name).unwrap_or_default();
        let value = value.into_string().map_err(|_| Error::usage(name, "is not UTF-8"))?;
        all.push((name.to_owned(), value));
    }
    let mut said = BTreeSet::new();
    for operand in operands {
        let (name, value) =
            operand.split_once('=').ok_or_else(|| Error::usage(operand, "is not NAME=VALUE"))?;
        if !said.insert(name) {
            return Err(Error::usage(operand, format!("{name} is said twice")));
        }
        all.push((name.into(), value.into()));
    }
    Ok(all)
}

fn unknown(name: &str) -> Error {
    let names = || KINDS.iter().map(|(name, ..)| *name);
    let close = names().find(|known| known.eq_ignore_ascii_case(name)).or_else(|| {
        // A letter more, less or another.
        names().filter(|known| distance(known, name) <= 1).min()
    });
    match close {
        Some(close) => Error::usage(name, format!("no such variable; there is {close}")),
        None => Error::usage(
            name,
            format!("no such variable; there are {}", names().collect::<Vec<_>>().join(", ")),
        ),
    }
}

/// How many letters must be added, taken away or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

/// One value in its one spelling; times are frames of a film of so many a second.
fn checked(name: &str, value: &str, rate: u64) -> Result<String> {
    let (_, kind, may_be_empty, _) = KINDS.iter().find(|(n, ..)| *n == name).ok_or_else(|| unknown(name))?;
    let wrong = |why: String| Error::usage(format!("{name}={value}"), why);
    if value.contains('\0') {
        return Err(wrong("has a byte in it that no name can have".into()));
    }
    let empty = value.trim().is_empty();
    if empty && (*may_be_empty || matches!(kind, Kind::Path { .. })) {
        let which = || match name {
            "OUT" => Error::usage(name, "say which folder, as OUT=dir"),
            _ => Error::usage(name, format!("say which file, as {name}=file")),
        };
        return if *may_be_empty { Ok(String::new()) } else { Err(which()) };
    }
    kind.parse(value, rate).map_err(wrong)
}

impl Kind {
    fn parse(self, value: &str, rate: u64) -> std::result::Result<String, String> {
        let word = value.trim();
        match self {
            Self::Path { words } if words.contains(&value) => Ok(value.into()),
            Self::Path { .. } => absolute(value),
            Self::Command => command(value),
            Self::Frame => frames(word, rate).map(|n| n.to_string()),
            Self::Frames => match frames(word, rate)? {
                0 => Err("a film has at least one frame".into()),
                n => Ok(n.to_string()),
            },
            Self::Length => match frames(word, rate) {
                Ok(n) if n > 0 && !word.bytes().all(|b| b.is_ascii_digit()) => Ok(format!("{n}f")),
                _ => Err("say a time, such as 10min, or frames, such as 15000f".into()),
            },
            Self::Whole(least, most) => whole(word, least, most).map(|n| n.to_string()),
            Self::Even(least, most) => match whole(word, least, most)? {
                n if n % 2 == 0 => Ok(n.to_string()),
                _ => Err("is odd; chroma has one row for two".into()),
            },
            Self::Decimal(least, most) => decimal(word, least, most),
            Self::Bytes => {
                parse_bytes(word).map(|n| n.to_string()).map_err(|_| "say a size, such as 60GB".into())
            }
            Self::One(words) => match words.iter().find(|w| **w == word) {
                Some(word) => Ok((*word).into()),
                None => Err(there_are(words.iter().copied())),
            },
            Self::Choice(head) => match Makefile::own().choices(head).find(|w| *w == word) {
                Some(word) => Ok(word.into()),
                None => Err(there_are(Makefile::own().choices(head))),
            },
            Self::Scale if word == "sar" => Ok(word.into()),
            Self::Scale => match word.parse::<Size>() {
                Ok(size) if size.width >= 64 && size.height >= 64 => Ok(size.to_string()),
                Ok(_) => Err("is too small; the network takes 64x64 and more".into()),
                Err(_) => Err("say WxH, such as 1024x576, or sar".into()),
            },
            Self::Crop if ["none", "auto"].contains(&word) => Ok(word.into()),
            Self::Crop => crop(word).ok_or_else(|| "say W:H:X:Y, such as 1024:432:0:72, none or auto".into()),
            Self::Matrix => {
                word.parse::<Matrix>().map(|matrix| matrix.to_string()).map_err(|e| e.to_string())
            }
            Self::Device => device(word).ok_or_else(|| "say auto, cpu, cuda or cuda:0,1".into()),
            Self::Part => match part(word) {
                Some((i, n)) => Ok(format!("{i}/{n}")),
                None => Err("say which of how many, as PART=1/4".into()),
            },
            Self::Word
                if !word.is_empty()
                    && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                    && !word.starts_with('-') =>
            {
                Ok(word.into())
            }
            Self::Word => Err("say one word".into()),
            Self::Language if word.len() == 3 && word.bytes().all(|b| b.is_ascii_lowercase()) => {
                Ok(word.into())
            }
            Self::Language => Err("say a language's three letters, such as eng".into()),
        }
    }
}

fn there_are<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("there is {}", words.collect::<Vec<_>>().join(", "))
}

fn absolute(path: &str) -> std::result::Result<String, String> {
    let path = std::path::absolute(path).map_err(|e| cli::reason(&e))?;
    path.into_os_string().into_string().map_err(|_| "is not UTF-8".into())
}

/// The words of a command, in which those that are files here stay the same wherever it is run.
fn command(line: &str) -> std::result::Result<String, String> {
    let words = shell_words::split(line).map_err(|_| "a quote is not closed".to_owned())?;
    let words = words.into_iter().map(|word| {
        if word.contains('/') && std::path::Path::new(&word).exists() { absolute(&word) } else { Ok(word) }
    });
    Ok(shell_words::join(words.collect::<std::result::Result<Vec<_>, _>>()?))
}

/// Frames as a number, or as many as go into a length.
fn frames(text: &str, rate: u64) -> std::result::Result<u64, String> {
    let wrong = || "say frames, such as 500, or a time, such as 20s".to_owned();
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>());
    let frames = match (number, text.parse::<Length>()) {
        (Some(number), _) => number.ok(),
        (None, Ok(Length::Time(Duration::ZERO))) => Some(0),
        (None, length) => length.ok().and_then(|length| length.frames(Rational::whole(rate as i64))),
    };
    frames.filter(|&n| n <= 1_000_000_000_000).ok_or_else(wrong)
}

fn whole(text: &str, least: u64, most: u64) -> std::result::Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && (least..=most).contains(n));
    number.ok_or_else(|| format!("say a whole number, {least} to {most}"))
}

fn decimal(text: &str, least: f64, most: f64) -> std::result::Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = text.parse::<f64>().ok().filter(|n| plain && (least..=most).contains(n));
    number.map(|n| n.to_string()).ok_or_else(|| format!("say a number, {least} to {most}"))
}

fn crop(text: &str) -> Option<String> {
    let numbers: Vec<u64> = text.split(':').map(|n| whole(n, 0, 65536).ok()).collect::<Option<_>>()?;
    let [width, height, x, y] = numbers[..] else { return None };
    (width > 0 && height > 0).then(|| format!("{width}:{height}:{x}:{y}"))
}

/// Is it a crop that the tools take?
pub fn is_crop(text: &str) -> bool {
    crop(text).is_some()
}

fn device(text: &str) -> Option<String> {
    if ["auto", "cpu", "cuda"].contains(&text) {
        return Some(text.into());
    }
    let numbers: Vec<String> = text
        .strip_prefix("cuda:")?
        .split(',')
        .map(|n| whole(n, 0, 1023).ok().map(|n| n.to_string()))
        .collect::<Option<_>>()?;
    Some(format!("cuda:{}", numbers.join(",")))
}

fn part(text: &str) -> Option<(u64, u64)> {
    let (i, n) = text.split_once('/')?;
    let (i, n) = (whole(i, 1, 1_000_000).ok()?, whole(n, 1, 1_000_000).ok()?);
    (i <= n).then_some((i, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> std::result::Result<String, String> {
        match Variables::new(&[(name.into(), value.into())]) {
            Ok(all) => Ok(all.get(name).to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn every_variable_of_the_makefile_has_a_kind() {
        let mut written: Vec<&str> = Makefile::own().variables.iter().map(|(name, _)| &**name).collect();
        written.push("LANG");
        let mut known: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
        written.sort_unstable();
        known.sort_unstable();
        assert_eq!(written, known);
        Variables::new(&[]).unwrap();
    }

    #[test]
    fn values_have_one_spelling() {
        for (name, value, is) in [
            ("START", "08", "8"),
            ("START", "010", "10"),
            ("START", "20s", "500"),
            ("START", "0s", "0"),
            ("START", "0min 0s", "0"),
            ("FRAMES", "1min", "1500"),
            ("FRAMES", " 25 ", "25"),
            ("FRAMES", "", ""),
            ("SEGMENT", "1.5h", "135000f"),
            ("SEGMENT", "1h 30m", "135000f"),
            ("SEGMENT", "280ms", "7f"),
            ("SEGMENT", "7f", "7f"),
            ("CRF", "16.50", "16.5"),
            ("CRF", "08", "8"),
            ("MAX_DISK", "1 GB", "1000000000"),
            ("CROP", "1024:432:0:072", "1024:432:0:72"),
            ("DEVICE", "cuda:0,1", "cuda:0,1"),
            ("PART", "01/4", "1/4"),
            ("SRC", "/it's a $film\n.mkv", "/it's a $film\n.mkv"),
            ("SRC", "/-x.mkv", "/-x.mkv"),
            ("WEIGHTS", "builtin", "builtin"),
            ("ENGINE", "'a b' c", "'a b' c"),
        ] {
            assert_eq!(one(name, value), Ok(is.into()), "{name}={value}");
        }
    }

    #[test]
    fn a_name_is_said_once() {
        let said = |operands: &[&str]| typed(&operands.iter().map(|&o| o.into()).collect::<Vec<_>>());
        assert_eq!(said(&["SRC=a", "OUT=b"]).unwrap().len(), 2);
        let twice = said(&["SRC=a", "OUT=b", "SRC=c"]).unwrap_err();
        assert_eq!((twice.exit_code(), twice.to_string()), (2, "SRC=c: SRC is said twice".into()));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (name, value, why) in [
            ("START", "abc", "say frames, such as 500, or a time, such as 20s"),
            ("START", "-5", "say frames, such as 500, or a time, such as 20s"),
            ("FRAMES", "0", "a film has at least one frame"),
            ("FRAMES", "0s", "a film has at least one frame"),
            ("SEGMENT", "0s", "say a time, such as 10min, or frames, such as 15000f"),
            ("FRAMES", "RANDOM[$(touch x)]", "say frames, such as 500, or a time, such as 20s"),
            ("SEGMENT", "5", "say a time, such as 10min, or frames, such as 15000f"),
            ("SEGMENT", "1hourly", "say a time, such as 10min, or frames, such as 15000f"),
            ("SEGMENT", "10ms", "say a time, such as 10min, or frames, such as 15000f"),
            ("HEIGHT", "bad", "say a whole number, 16 to 16384"),
            ("HEIGHT", "1441", "is odd; chroma has one row for two"),
            ("HEIGHT", "+144", "say a whole number, 16 to 16384"),
            ("SCALE", "60x64", "is too small; the network takes 64x64 and more"),
            ("CROP", "1:2:3", "say W:H:X:Y, such as 1024:432:0:72, none or auto"),
            ("CRF", "1e1", "say a number, 0 to 63"),
            ("CRF", "nan", "say a number, 0 to 63"),
            ("ENCODER", "x264", "there is svtav1, x265"),
            ("TUNE", "grain -f", "say one word"),
            ("PRESET", "--help", "say one word"),
            ("TUNE", "", "say one word"),
            ("JOBS", "0", "say a whole number, 1 to 1024"),
            ("PART", "3/2", "say which of how many, as PART=1/4"),
            ("ENGINE", "'a", "a quote is not closed"),
            ("LANG", "../x", "say a language's three letters, such as eng"),
        ] {
            assert_eq!(one(name, value), Err(format!("{name}={value}: {why}")), "{name}={value}");
        }
        assert_eq!(one("OUT", ""), Err("OUT: say which folder, as OUT=dir".into()));
        assert_eq!(one("CRFF", "3"), Err("CRFF: no such variable; there is CRF".into()));
        assert_eq!(one("src", "x"), Err("src: no such variable; there is SRC".into()));
    }
}
