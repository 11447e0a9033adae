//! Commands as the user gives them: argument vectors with places to fill in, never a shell's.

use cli::Size;
use rawstream::PixFmt;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path, str::FromStr};
use timebase::Rational;

/// A command: words, some with places such as `{out}` in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Template {
    words: Vec<String>,
}

/// What the places are filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    /// `{in}`: the mezzanine to read; `None` where frames come on standard input.
    pub(crate) input: Option<&'a Path>,
    /// `{out}`: the file to write.
    pub(crate) output: &'a Path,
    /// `{index}`: the segment's number, from 0.
    pub(crate) index: u64,
    /// `{frames}`: its length; for frames on standard input the most that will come.
    pub(crate) frames: u64,
    /// `{size}`: of a frame.
    pub(crate) size: Size,
    /// `{pix_fmt}`: of a frame.
    pub(crate) pix_fmt: PixFmt,
    /// `{rate}`: frames a second.
    pub(crate) rate: Rational,
}

const PLACES: [&str; 7] = ["{in}", "{out}", "{index}", "{frames}", "{size}", "{pix_fmt}", "{rate}"];

impl Template {
    /// The program's name.
    pub(crate) fn program(&self) -> &str {
        &self.words[0]
    }

    /// True when it takes a mezzanine's name; otherwise frames come on its standard input.
    pub(crate) fn reads_file(&self) -> bool {
        self.words.iter().any(|w| w.contains("{in}"))
    }

    /// The argument vector.
    pub(crate) fn fill(&self, fields: &Fields<'_>) -> Vec<String> {
        let path = |p: &Path| p.to_string_lossy().into_owned();
        let values = [
            fields.input.map_or(String::new(), path),
            path(fields.output),
            fields.index.to_string(),
            fields.frames.to_string(),
            fields.size.to_string(),
            fields.pix_fmt.to_string(),
            fields.rate.to_string(),
        ];
        self.words.iter().map(|word| replace(word, &values)).collect()
    }
}

/// One pass from left to right: what was filled in is not looked at again.
fn replace(word: &str, values: &[String; PLACES.len()]) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match PLACES.iter().position(|p| rest.starts_with(p)) {
            Some(place) => {
                out.push_str(&values[place]);
                rest = &rest[PLACES[place].len()..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// The first thing in `word` that looks like a place and is none, such as `{output}`.
fn unknown_place(word: &str) -> Option<&str> {
    word.match_indices('{').find_map(|(at, _)| {
        let end = at + word[at..].find('}')? + 1;
        let place = &word[at..end];
        let name = &place[1..place.len() - 1];
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (named && !PLACES.contains(&place)).then_some(place)
    })
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = shell_words::split(text).map_err(|e| e.to_string())?;
        if words.is_empty() {
            return Err("a command has at least one word".into());
        }
        if let Some(place) = words.iter().find_map(|w| unknown_place(w)) {
            return Err(format!("unknown place {place}; there are {}", PLACES.join(" ")));
        }
        if !words.iter().any(|w| w.contains("{out}")) {
            return Err("a command must name {out}, the file it writes".into());
        }
        Ok(Self { words })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shell_words::join(&self.words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_every_place_once() {
        let t: Template = "enc --size={size} -f {pix_fmt} -r {rate} 'a {in} {index}/{frames}' {X} -o {out}"
            .parse()
            .unwrap();
        let fields = Fields {
            input: Some(Path::new("m {out}.mkv")),
            output: Path::new("o.mkv"),
            index: 7,
            frames: 250,
            size: "64x48".parse().unwrap(),
            pix_fmt: PixFmt::named("rgb48le").unwrap(),
            rate: Rational::new(24000, 1001).unwrap(),
        };
        let want = [
            "enc",
            "--size=64x48",
            "-f",
            "rgb48le",
            "-r",
            "24000/1001",
            "a m {out}.mkv 7/250",
            "{X}",
            "-o",
            "o.mkv",
        ];
        assert_eq!(t.fill(&fields), want);
        assert!(t.reads_file());
    }

    #[test]
    fn refuses_what_cannot_work() {
        let refuse = |text: &str| text.parse::<Template>().unwrap_err();
        assert_eq!(refuse(""), "a command has at least one word");
        assert_eq!(refuse("enc -o film.mkv"), "a command must name {out}, the file it writes");
        assert_eq!(
            refuse("enc {output} {out}"),
            "unknown place {output}; there are {in} {out} {index} {frames} {size} {pix_fmt} {rate}"
        );
        assert_eq!(refuse("enc '{out}"), "missing closing quote");
    }
}
