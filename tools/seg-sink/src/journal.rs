//! The journal: what this job has proved so far, one JSON line for each fact, each with its checksum.
//!
//! Lines are only ever added. A line is `{"seq":N,"type":…,…,"crc32":"…"}`; the checksum covers the object as it would
//! stand without its last member. An unfinished or damaged *end* is what a crash leaves and is cut off; damage before a
//! sound line, or a hole in the numbering, cannot come from a crash and is refused.

use crate::{durable, settings::Settings};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Which of a segment's two products a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The intermediate: written from frames, read by the final command, then deleted.
    Mezz,
    /// The segment of the finished film.
    Final,
}

impl Stage {
    /// The folder of its chunks, and the word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mezz => "mezz",
            Self::Final => "final",
        }
    }
}

/// What ffprobe says of a video stream, in its own words; all segments of a film must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamFacts {
    /// ffmpeg's name of the codec.
    pub codec_name: String,
    /// Pixels across.
    pub width: u64,
    /// Rows down.
    pub height: u64,
    /// Sample format.
    pub pix_fmt: String,
    /// Frames a second, `24/1`.
    pub r_frame_rate: String,
    /// Range, where tagged.
    pub color_range: Option<String>,
    /// Matrix, where tagged.
    pub color_space: Option<String>,
    /// Transfer, where tagged.
    pub color_transfer: Option<String>,
    /// Primaries, where tagged.
    pub color_primaries: Option<String>,
}

impl StreamFacts {
    /// The first thing in which another stream differs.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (serde_json::to_value(self).ok()?, serde_json::to_value(other).ok()?);
        let (name, value) =
            ours.as_object()?.iter().find(|(name, value)| theirs[name.as_str()] != **value)?;
        Some(format!("{name} is {}, not {value}", theirs[name.as_str()]))
    }
}

/// A proved file: what it holds and how to know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// What it is.
    pub stage: Stage,
    /// The film frame it begins with; names the file.
    pub first_frame: u64,
    /// Frames in it.
    pub frames: u64,
    /// Its size.
    pub bytes: u64,
    /// CRC-32 of its bytes.
    pub crc: u32,
    /// What ffprobe says of it.
    pub stream: StreamFacts,
    /// SHA-256 over the hashes of its decoded frames, where it was decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded: Option<String>,
}

impl Chunk {
    /// One past its last film frame.
    pub fn end(&self) -> u64 {
        self.first_frame + self.frames
    }
}

/// The finished film, proved under its temporary name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Film {
    /// Where it is to be.
    pub path: PathBuf,
    /// Frames in it.
    pub frames: u64,
    /// Its size.
    pub bytes: u64,
    /// CRC-32 of its bytes.
    pub crc: u32,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// The first line: what the job is.
    Job {
        /// Everything that decides the film's bytes.
        settings: Settings,
        /// SHA-256 of them.
        fingerprint: String,
    },
    /// A run began, or began again.
    Run {
        /// The film frame it goes on with.
        next_frame: u64,
        /// `--expect-frames`.
        expect_frames: Option<u64>,
        /// `--max-disk`.
        max_disk: Option<u64>,
    },
    /// A chunk was proved under its temporary name; its renaming follows.
    Chunk {
        /// The chunk.
        chunk: Chunk,
        /// The most that the folder has held so far.
        disk_peak_bytes: u64,
    },
    /// The input came to its proper end.
    Ended {
        /// Frames in the whole film.
        frames: u64,
    },
    /// The film was proved under its temporary name; its renaming follows.
    Film {
        /// The film.
        film: Film,
        /// The most that the folder has held so far.
        disk_peak_bytes: u64,
    },
    /// Nothing is left to do.
    Done,
}

/// Length of `,"crc32":"01234567"}`.
const SEAL: usize = 20;

fn seal(seq: u64, record: &Record) -> io::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        seq: u64,
        #[serde(flatten)]
        record: &'a Record,
    }
    let text = serde_json::to_string(&Line { seq, record })?;
    let crc = crc32fast::hash(text.as_bytes());
    Ok(format!("{},\"crc32\":\"{crc:08x}\"}}\n", &text[..text.len() - 1]))
}

fn unseal(seq: u64, line: &[u8]) -> Option<Record> {
    #[derive(Deserialize)]
    struct Line {
        seq: u64,
        #[serde(flatten)]
        record: Record,
    }
    let line: Line = serde_json::from_slice(&unsealed(line)?).ok()?;
    (line.seq == seq).then_some(line.record)
}

/// The object that a line's checksum covers; `None` where there is no newline or the checksum is wrong.
fn unsealed(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.strip_suffix(b"\n")?;
    let (body, end) = line.split_at(line.len().checked_sub(SEAL)?);
    let text = [body, b"}"].concat();
    let crc = crc32fast::hash(&text);
    (end == format!(",\"crc32\":\"{crc:08x}\"}}").as_bytes()).then_some(text)
}

/// The sound records of a journal's bytes and the length they take; an error names the line that is damaged.
fn replay(bytes: &[u8]) -> Result<(Vec<Record>, usize), String> {
    let mut records = Vec::new();
    let mut sound = 0;
    let mut lines = bytes.split_inclusive(|&b| b == b'\n');
    for line in lines.by_ref() {
        let Some(record) = unseal(records.len() as u64, line) else {
            break;
        };
        records.push(record);
        sound += line.len();
    }
    // A crash damages the end only: a sound line after a damaged one means that something else was at work.
    if lines.any(|line| unsealed(line).is_some()) {
        return Err(format!("line {} is damaged, and sound ones follow it", records.len() + 1));
    }
    Ok((records, sound))
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    seq: u64,
    /// A line may be half written: nothing may follow it.
    is_broken: bool,
}

impl Journal {
    /// What a journal says, without touching it. No file: no records.
    pub(crate) fn read(path: &Path) -> Result<(Vec<Record>, u64), String> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => file.read_to_end(&mut bytes).map_err(|e| cli::reason(&e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(e) => return Err(cli::reason(&e)),
        };
        let (records, sound) = replay(&bytes)?;
        Ok((records, sound as u64))
    }

    /// Opens or begins a journal of which `records` records in `sound` bytes are sound, and cuts off the rest.
    pub(crate) fn open(path: &Path, records: u64, sound: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        if file.metadata()?.len() > sound {
            durable::truncate(path, &file, sound)?;
        }
        durable::sync_name(path)?;
        Ok(Self { path: path.to_owned(), file, seq: records, is_broken: false })
    }

    /// Adds a fact. When this returns, the fact outlasts a power cut.
    pub(crate) fn add(&mut self, record: &Record) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("an earlier line could not be written"));
        }
        let line = seal(self.seq, record)?;
        self.is_broken = true;
        durable::append(&self.path, &mut self.file, line.as_bytes())?;
        self.is_broken = false;
        self.seq += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<u8> {
        let run = |next_frame| Record::Run { next_frame, expect_frames: None, max_disk: Some(7) };
        [run(0), run(10), Record::Ended { frames: 20 }]
            .iter()
            .enumerate()
            .flat_map(|(seq, r)| seal(seq as u64, r).unwrap().into_bytes())
            .collect()
    }

    #[test]
    fn every_cut_leaves_the_lines_before_it() {
        let bytes = three();
        let ends: Vec<_> =
            bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        for cut in 0..=bytes.len() {
            let (records, sound) = replay(&bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|&&e| e <= cut).count();
            assert_eq!(records.len(), whole);
            assert_eq!(sound, if whole == 0 { 0 } else { ends[whole - 1] });
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = three();
        let last = bytes[..bytes.len() - 1].iter().rposition(|&b| b == b'\n').unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                match replay(&bad) {
                    Ok((records, _)) => assert!(at >= last && records.len() < 3, "byte {at}"),
                    Err(e) => assert!(e.ends_with("is damaged, and sound ones follow it"), "{e}"),
                }
            }
        }
    }

    #[test]
    fn a_tail_of_zeros_is_a_crash() {
        let mut bytes = three();
        bytes.extend([0; 700]);
        assert_eq!(replay(&bytes).unwrap().0.len(), 3);
    }

    #[test]
    fn a_missing_line_is_not() {
        let bytes = three();
        let first = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
        assert_eq!(replay(&bytes[first..]).unwrap_err(), "line 1 is damaged, and sound ones follow it");
    }
}
