//! Subtitles or chapters in, the same with every time on the slower clock out, and not one other byte changed.
//!
//! A format ([`formats`]) knows one thing: where in a file its time fields are ([`field::Field`]), on which clock they
//! tick and how they are spelled. The driver ([`Scanned::retime`]) maps each of them by the suite's one map ([`timebase`]),
//! writes it in place of the old one and copies every byte between. So what a format does not know (styles, comments,
//! broken cues, a later version's sections) cannot be lost, and every encoding passes through.

pub mod convert;
pub mod cue;
pub mod field;
pub mod formats;
pub mod map;
pub mod text;
mod tool;

pub use formats::Format;
pub use map::Map;
pub use tool::Args;

use cli::{Error, Result};
use field::Field;
use formats::Found;
use map::Mapper;
use std::ops::Range;
use text::Text;

/// A file with its times mapped.
#[derive(Debug)]
pub struct Retimed {
    /// All of it, or all that is whole.
    pub bytes: Vec<u8>,
    /// Time fields in it.
    pub times: u64,
    /// Why it is not all.
    pub ending: Result<()>,
}

/// A file as its format's scanner found it.
pub struct Scanned<'a> {
    file: &'a [u8],
    /// Absent for bytes.
    text: Option<Text<'a>>,
    found: Found,
}

impl<'a> Scanned<'a> {
    /// Scans text, or bytes where the format is binary.
    pub fn new(file: &'a [u8], format: Format, map: &Map<'_>) -> Self {
        if format.is_binary() {
            return Self { file, text: None, found: format.scan_bytes(file) };
        }
        let text = Text::of(file);
        let found = format.scan(&text.seen, map.frame_rate);
        Self { file, text: Some(text), found }
    }

    /// Scans the second file of VobSub.
    pub fn sub(file: &'a [u8]) -> Self {
        Self { file, text: None, found: formats::sub::scan(file) }
    }

    /// The time fields, and where each stands in the file.
    pub fn fields(&self) -> impl Iterator<Item = (Range<usize>, &Field)> {
        let place = |at: &Range<usize>| self.text.as_ref().map_or(at.clone(), |text| text.place(at));
        let whole = self.found.broken.as_ref().map_or(usize::MAX, |broken| broken.whole);
        self.found.fields.iter().filter(move |field| field.end() <= whole).map(move |f| (place(&f.at), f))
    }

    /// What looks like a time and is none: how often, and where first.
    pub fn odd(&self) -> Option<(usize, String)> {
        self.found.odd.first().map(|&at| (self.found.odd.len(), self.position(at)))
    }

    /// `line 12` of a text, `byte 4096` of anything else.
    fn position(&self, at: usize) -> String {
        match &self.text {
            Some(text) => format!("line {}", text::line_number(&text.seen, at)),
            None => format!("byte {at}"),
        }
    }

    /// The file with its times mapped; `name` stands for it in messages.
    ///
    /// Errors: a time that cannot be mapped or does not fit its field.
    pub fn retime(&self, map: Map<'_>, name: &str) -> Result<Retimed> {
        let mut mapper = Mapper::new(map);
        let mut edited = Vec::with_capacity(self.file.len() + self.file.len() / 16);
        let (mut copied, mut spelled) = (0, Vec::new());
        for (at, field) in self.fields() {
            let failed = |reason| Error::failed(name, format!("{}: {reason}", self.position(field.at.start)));
            let ticks = mapper.ticks(field).map_err(failed)?;
            if ticks == field.ticks {
                continue;
            }
            edited.extend_from_slice(&self.file[copied..at.start]);
            spelled.clear();
            field.spelling.write(ticks, &self.file[at.clone()], &mut spelled).map_err(failed)?;
            match &self.text {
                Some(text) => text.write(&spelled, &mut edited),
                None => edited.extend_from_slice(&spelled),
            }
            copied = at.end;
        }
        let whole = self.found.broken.as_ref().map_or(self.file.len(), |broken| broken.whole);
        edited.extend_from_slice(self.file.get(copied..whole).unwrap_or_default());
        let ending = self.found.broken.as_ref().map_or(Ok(()), |broken| {
            let error = if broken.torn { Error::torn } else { Error::failed };
            Err(error(name, format!("{}: {}", self.position(broken.at), broken.reason)))
        });
        Ok(Retimed { bytes: edited, times: self.fields().count() as u64, ending })
    }
}
