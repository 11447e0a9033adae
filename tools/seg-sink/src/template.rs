//! Commands as the user gives them: argument vectors with places to fill in, joined to a pipe by `|`, never a shell's.

use cli::Size;
use rawstream::PixFmt;
use serde::{Serialize, Serializer};
use std::{path::Path, str::FromStr};
use timebase::Rational;

/// A command: the words of a program, or of several that are joined by pipes; some with places such as `{out}` in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    programs: Vec<Vec<String>>,
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
    /// The programs' names.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &str> {
        self.programs.iter().map(|words| words[0].as_str())
    }

    fn words(&self) -> impl Iterator<Item = &String> {
        self.programs.iter().flatten()
    }

    /// True when it takes a mezzanine's name; otherwise frames come on its standard input.
    pub(crate) fn reads_file(&self) -> bool {
        self.words().any(|w| w.contains("{in}"))
    }

    /// The argument vector of each program.
    pub(crate) fn fill(&self, fields: &Fields<'_>) -> Vec<Vec<String>> {
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
        let filled = |words: &Vec<String>| words.iter().map(|word| replace(word, &values)).collect();
        self.programs.iter().map(filled).collect()
    }
}

/// The words between the `|` that stand alone and unquoted.
fn split(text: &str) -> Result<Vec<Vec<String>>, shell_words::ParseError> {
    let (mut programs, mut rest) = (Vec::new(), text);
    let mut from = 0;
    while let Some(at) = rest[from..].find('|').map(|at| from + at) {
        from = at + 1;
        let stands_alone =
            !rest[..at].ends_with(|c| !is_blank(c)) && !rest[from..].starts_with(|c| !is_blank(c));
        // Inside quotes what comes before it is no whole number of words; after a backslash or `#` it is not their last.
        if stands_alone
            && let Ok(mut words) = shell_words::split(&rest[..from])
            && words.pop().as_deref() == Some("|")
        {
            programs.push(words);
            (rest, from) = (&rest[from..], 0);
        }
    }
    programs.push(shell_words::split(rest)?);
    Ok(programs)
}

/// What separates words.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
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
        let template = Self { programs: split(text).map_err(|e| e.to_string())? };
        if template.programs.iter().any(Vec::is_empty) {
            return Err(match template.programs.len() {
                1 => "a command has at least one word".into(),
                _ => "a command is missing before or after |".into(),
            });
        }
        if let Some(place) = template.words().find_map(|w| unknown_place(w)) {
            return Err(format!("unknown place {place}; there are {}", PLACES.join(" ")));
        }
        if !template.words().any(|w| w.contains("{out}")) {
            return Err("a command must name {out}, the file it writes".into());
        }
        Ok(template)
    }
}

/// A list of words, where there is one program; else a list of such lists.
impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.programs[..] {
            [words] => words.serialize(serializer),
            programs => programs.serialize(serializer),
        }
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
        assert_eq!(t.fill(&fields), [want]);
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
        for text in ["|", "enc {out} |", "| enc {out}", "dec | | enc {out}", "dec |\t| enc {out}"] {
            assert_eq!(refuse(text), "a command is missing before or after |", "{text}");
        }
        assert_eq!(refuse("dec | enc"), "a command must name {out}, the file it writes");
    }

    /// Only a `|` that a shell would take for a pipe, with blanks around it, joins programs.
    #[test]
    fn quotes_decide_what_joins() {
        let split = |text: &str| super::split(text).unwrap();
        assert_eq!(split("a b | c\t|\nd"), [vec!["a", "b"], vec!["c"], vec!["d"]]);
        for (text, word) in [
            ("a '|'", "|"),
            (r#"a "|""#, "|"),
            (r"a \|", "|"),
            ("a ''|", "|"),
            ("a 'b | c'", "b | c"),
            (r#"a "b \" | c""#, "b \" | c"),
            (r"a b\ | ", "b |"),
            ("a b|c", "b|c"),
            ("a ||", "||"),
            ("a b # | c", "b"),
        ] {
            assert_eq!(split(text), [["a", word]], "{text}");
        }
        assert_eq!(split("a 'b | c' | d '|' | e"), [vec!["a", "b | c"], vec!["d", "|"], vec!["e"]]);
        assert!(super::split("a | b 'c").is_err());
    }

    /// Jobs that were begun with one program go on; a quoted `|` is never the same command as a pipe.
    #[test]
    fn what_the_journal_keeps() {
        let json = |text: &str| serde_json::to_string(&text.parse::<Template>().unwrap()).unwrap();
        assert_eq!(json("enc {out}"), r#"["enc","{out}"]"#);
        assert_eq!(json("dec | enc {out}"), r#"[["dec"],["enc","{out}"]]"#);
        assert_eq!(json("dec '|' enc {out}"), r#"["dec","|","enc","{out}"]"#);
    }
}
