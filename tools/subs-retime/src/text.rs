//! Text of any encoding as the scanners see it.

use std::{borrow::Cow, ops::Range};

/// A text file in which every ASCII character of the file is itself, whatever the encoding.
///
/// UTF-8 is seen as it is. In UTF-16 one character stands for one code unit, and in everything else for one byte;
/// what is not ASCII there is seen as `?`. The time fields of every format are ASCII, so nothing more is needed to
/// find and to replace them, and the rest is copied from the file.
pub struct Text<'a> {
    /// What is seen, without the byte-order mark.
    pub seen: Cow<'a, str>,
    mark: usize,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Byte,
    Utf16Le,
    Utf16Be,
}

fn ascii(byte: u8) -> char {
    if byte.is_ascii() { byte.into() } else { '?' }
}

impl<'a> Text<'a> {
    /// Looks at a file. UTF-16 is known by its byte-order mark.
    pub fn of(file: &'a [u8]) -> Self {
        let utf16 = |unit, order: fn([u8; 2]) -> u16| {
            let units = file[2..].chunks_exact(2);
            let seen = units.map(|pair| u8::try_from(order([pair[0], pair[1]])).map_or('?', ascii)).collect();
            Self { seen: Cow::Owned(seen), mark: 2, unit }
        };
        match file {
            [0xff, 0xfe, ..] => return utf16(Unit::Utf16Le, u16::from_le_bytes),
            [0xfe, 0xff, ..] => return utf16(Unit::Utf16Be, u16::from_be_bytes),
            _ => (),
        }
        let mark = if file.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let seen = match str::from_utf8(&file[mark..]) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(file[mark..].iter().map(|&byte| ascii(byte)).collect()),
        };
        Self { seen, mark, unit: Unit::Byte }
    }

    /// Where in the file the seen bytes `at` are.
    pub fn place(&self, at: &Range<usize>) -> Range<usize> {
        let width = if self.unit == Unit::Byte { 1 } else { 2 };
        self.mark + at.start * width..self.mark + at.end * width
    }

    /// Writes ASCII `text` in the file's encoding.
    pub fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        match self.unit {
            Unit::Byte => out.extend_from_slice(text),
            Unit::Utf16Le => out.extend(text.iter().flat_map(|&c| [c, 0])),
            Unit::Utf16Be => out.extend(text.iter().flat_map(|&c| [0, c])),
        }
    }
}

/// The lines of a text and where each begins; `\n`, `\r\n` and `\r` end a line.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let length = rest.bytes().position(|c| c == b'\n' || c == b'\r').unwrap_or(rest.len());
        let line = (at, &rest[..length]);
        let end = &rest.as_bytes()[length..];
        at += length + if end.starts_with(b"\r\n") { 2 } else { usize::from(!end.is_empty()) };
        Some(line)
    })
}

/// The most bytes in a line. JSON and XML may have all of a film's subtitles in one, pictures included.
pub const LONGEST_LINE: usize = 64 << 20;

/// Sees to it that no line of a file is longer than [`LONGEST_LINE`], while the file still comes in: what has no lines
/// is no text, and may have no end.
#[derive(Debug, Default)]
pub struct LineLimit {
    /// Where the line begins that is not at its end.
    line: usize,
    /// So much was looked at.
    seen: usize,
}

impl LineLimit {
    /// Looks at what joined the file since the last time; `file` is all of it.
    ///
    /// Errors: where a line that is too long begins.
    pub fn check(&mut self, file: &[u8]) -> Result<(), usize> {
        for (at, byte) in file.iter().enumerate().skip(self.seen) {
            if matches!(byte, b'\n' | b'\r') {
                self.line = at + 1;
            } else if at - self.line >= LONGEST_LINE {
                return Err(self.line);
            }
        }
        self.seen = file.len();
        Ok(())
    }
}

/// The line, from 1, that byte `at` of `text` is in.
pub fn line_number(text: &str, at: usize) -> usize {
    lines(text).take_while(|(start, _)| *start <= at).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end() {
        let all: Vec<_> = lines("a\r\n\r\nb\rc\n\nd").collect();
        assert_eq!(all, [(0, "a"), (3, ""), (5, "b"), (7, "c"), (9, ""), (10, "d")]);
        assert_eq!([0, 3, 5, 8, 10].map(|at| line_number("a\r\n\r\nb\rc\n\nd", at)), [1, 2, 3, 4, 6]);
        assert_eq!(lines("").count(), 0);
    }

    #[test]
    fn utf16_is_seen_unit_by_unit() {
        let file: Vec<u8> = "\u{feff}1é€\u{1f600}2".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let text = Text::of(&file);
        assert_eq!(text.seen, "1????2");
        assert_eq!(text.place(&(5..6)), 12..14);
        let mut out = Vec::new();
        text.write(b"34", &mut out);
        assert_eq!(out, [0, b'3', 0, b'4']);
    }
}
