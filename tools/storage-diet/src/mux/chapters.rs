//! Chapters: those of the source that are in the film, with all that they are called.

use crate::{clock::Clock, program::Program};
use cli::{Error, Result, reason};
use quick_xml::{Reader, events::Event};
use std::{
    fs::File,
    io::{Seek, Write},
    ops::Range,
    path::Path,
};
use timebase::Rational;

/// The chapters of a Matroska file as mkvextract writes them, in languages that mkvmerge takes, and whether it had to be
/// given others; nothing where there are none.
///
/// Errors: mkvextract cannot read the file; mkvmerge would not take them.
pub fn read(path: &Path) -> Result<(String, bool)> {
    let open = File::open(path).map_err(|e| Error::failed(path.display(), reason(&e)))?;
    let mkvextract = Program::mkvextract().about(path.display()).stdin(open);
    let xml = mkvextract.args(["--quiet", "/proc/self/fd/0", "chapters"]).output()?;
    let xml = String::from_utf8_lossy(&xml).trim_start_matches('\u{feff}').to_owned();
    if xml.trim().is_empty() || is_taken(path, &xml).is_ok() {
        return Ok((xml, false));
    }
    let plain = without_languages(&xml);
    is_taken(path, &plain).and(Ok((plain, true)))
}

/// Has mkvmerge read them.
fn is_taken(path: &Path, xml: &str) -> Result<()> {
    let unnamed = || {
        let mut file = tempfile::tempfile()?;
        file.write_all(xml.as_bytes())?;
        file.rewind()?;
        Ok(file)
    };
    let file = unnamed().map_err(|e| Error::failed("a temporary file", reason(&e)))?;
    let mkvmerge = Program::mkvmerge().about(format_args!("{}: chapters", path.display())).stdin(file);
    mkvmerge.args(["--quiet", "--output", "/dev/null", "--chapters", "/proc/self/fd/0"]).run()
}

/// The same of no language: tags that are none are in films, and mkvmerge refuses them.
fn without_languages(xml: &str) -> String {
    let mut edits = Vec::new();
    for element in elements(xml) {
        match element.name {
            "ChapterLanguage" => edits.push((element.inside, "und".to_owned())),
            "ChapLanguageIETF" | "ChapterCountry" => edits.push((element.all, String::new())),
            _ => {}
        }
    }
    edited(xml, edits)
}

/// Those of `xml` that are in the film, moved to its zero; `None` where there are none. Times stay on the source's clock.
///
/// Errors: `xml` is none.
pub fn cut(xml: &str, clock: &Clock) -> Option<String> {
    let elements = elements(xml);
    let inside = |outer: &Element<'_>, inner: &Element<'_>| {
        inner.depth == outer.depth + 1 && outer.all.start < inner.all.start && inner.all.end <= outer.all.end
    };
    let atoms: Vec<_> = elements.iter().filter(|element| element.name == "ChapterAtom").collect();
    let time = |atom: &Element<'_>, name: &str| {
        let element = elements.iter().find(|e| e.name == name && inside(atom, e))?;
        Some((element, seconds(xml.get(element.inside.clone())?.trim())?))
    };
    let (mut edits, mut kept) = (Vec::new(), Vec::new());
    for (n, atom) in atoms.iter().enumerate() {
        let Some((place, start)) = time(atom, "ChapterTimeStart") else {
            kept.push(*atom);
            continue;
        };
        let own_end = time(atom, "ChapterTimeEnd");
        let next = atoms[n + 1..].iter().find(|next| next.depth == atom.depth);
        let end = own_end.map(|(_, end)| end).or_else(|| Some(time(next?, "ChapterTimeStart")?.1));
        if !clock.has_chapter(start, end) {
            edits.push((atom.all.clone(), String::new()));
            continue;
        }
        kept.push(*atom);
        let moved = start.checked_sub(clock.zero).unwrap_or(start).max(Rational::whole(0));
        if clock.zero != Rational::whole(0) {
            edits.push((place.inside.clone(), spelled(moved)));
            if let Some((place, end)) =
                own_end.and_then(|(place, end)| Some((place, end.checked_sub(clock.zero)?)))
            {
                edits.push((place.inside.clone(), spelled(end)));
            }
        }
    }
    if kept.is_empty() {
        return None;
    }
    let is_empty =
        |edition: &&Element<'_>| edition.name == "EditionEntry" && !kept.iter().any(|a| inside(edition, a));
    edits.extend(elements.iter().filter(is_empty).map(|edition| (edition.all.clone(), String::new())));
    Some(edited(xml, edits))
}

/// Seconds at which the chapters of `xml` begin, nested and hidden ones as well, in its order.
pub fn starts(xml: &str) -> Vec<Rational> {
    let elements = elements(xml);
    let starts = elements.iter().filter(|element| element.name == "ChapterTimeStart");
    starts.filter_map(|start| seconds(xml.get(start.inside.clone())?.trim())).collect()
}

/// `text` with pieces of it replaced; what is in a piece that is replaced goes with it.
fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let (mut out, mut at) = (String::new(), 0);
    for (range, new) in edits {
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(&new);
            at = range.end;
        }
    }
    out.push_str(&text[at..]);
    out
}

/// An element and where it stands in the text.
struct Element<'a> {
    name: &'a str,
    depth: usize,
    all: Range<usize>,
    inside: Range<usize>,
}

/// The elements of `xml` in the order in which they begin, up to where it is broken.
fn elements(xml: &str) -> Vec<Element<'_>> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut open): (Vec<Element<'_>>, Vec<usize>) = (Vec::new(), Vec::new());
    loop {
        let before = reader.buffer_position() as usize;
        let Ok(event) = reader.read_event() else { return found };
        let after = reader.buffer_position() as usize;
        match event {
            Event::Start(_) => {
                // `<Name attributes>`
                let tag = xml.get(before + 1..after.saturating_sub(1)).unwrap_or_default();
                let name = tag.split_whitespace().next().unwrap_or_default();
                open.push(found.len());
                found.push(Element {
                    name,
                    depth: open.len(),
                    all: before..xml.len(),
                    inside: after..xml.len(),
                });
            }
            Event::End(_) => {
                if let Some(element) = open.pop().and_then(|n| found.get_mut(n)) {
                    element.all.end = after;
                    element.inside.end = before;
                }
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

/// `00:00:01.200000000`.
fn seconds(text: &str) -> Option<Rational> {
    let mut parts = text.rsplit(':');
    let mut sum: Rational = parts.next()?.parse().ok()?;
    for (part, unit) in parts.zip([60, 3600]) {
        sum = sum.checked_add(Rational::whole(part.parse::<i64>().ok()?.checked_mul(unit)?))?;
    }
    Some(sum)
}

fn spelled(seconds: Rational) -> String {
    let ns = seconds.checked_mul(Rational::whole(1_000_000_000)).map_or(0, Rational::round).max(0);
    let (s, ns) = (ns / 1_000_000_000, ns % 1_000_000_000);
    format!("{:02}:{:02}:{:02}.{ns:09}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zero: i64, end: i64) -> Clock {
        let seconds = Rational::whole;
        let (from, to, zero) = (seconds(25), seconds(24), seconds(zero));
        Clock { from, to, zero, begins: zero, end: seconds(end), duration: seconds(1), cuts: Vec::new() }
    }

    fn atom(start: &str, more: &str) -> String {
        format!("<ChapterAtom><ChapterTimeStart>{start}</ChapterTimeStart>{more}</ChapterAtom>")
    }

    fn edition(atoms: &[String]) -> String {
        format!("<EditionEntry><EditionUID>1</EditionUID>{}</EditionEntry>", atoms.concat())
    }

    #[test]
    fn chapters_after_the_end_are_no_part_of_the_film() {
        let (one, late) = (atom("00:00:00.000000000", ""), atom("00:00:08.000000000", ""));
        let nested = atom("00:00:07.999999999", &late);
        let xml = |editions: &[String]| format!("<Chapters>\n{}</Chapters>\n", editions.concat());
        let all = xml(&[edition(&[one.clone(), nested]), edition(std::slice::from_ref(&late))]);
        let kept = xml(&[edition(&[one, atom("00:00:07.999999999", "")])]);
        assert_eq!(cut(&all, &clock(0, 8)), Some(kept));
        assert_eq!(cut(&xml(&[edition(&[late])]), &clock(0, 8)), None);
    }

    #[test]
    fn those_of_an_excerpt_begin_at_its_zero() {
        let over = atom("00:00:00.000000000", "");
        let at_work = atom("00:00:03.000000000", "<ChapterTimeEnd>00:00:05.500000000</ChapterTimeEnd>");
        let moved = atom("00:00:00.000000000", "<ChapterTimeEnd>00:00:01.500000000</ChapterTimeEnd>");
        let later = atom("01:00:00.250000000", "");
        let last = atom("00:59:56.250000000", "");
        let xml = |atoms: &[String]| format!("<Chapters>{}</Chapters>", edition(atoms));
        assert_eq!(cut(&xml(&[over, at_work, later]), &clock(4, 4000)), Some(xml(&[moved, last])));
    }

    #[test]
    fn languages_that_are_none_are_taken_out() {
        let xml = "<ChapterDisplay><ChapterString>zzz</ChapterString><ChapterLanguage>zzz</ChapterLanguage>\
                   <ChapLanguageIETF>z</ChapLanguageIETF></ChapterDisplay>";
        let plain = "<ChapterDisplay><ChapterString>zzz</ChapterString><ChapterLanguage>und</ChapterLanguage>\
                     </ChapterDisplay>";
        assert_eq!(without_languages(xml), plain);
    }
}
