//! The journal: what this job has proved so far, one JSON line for each fact, each with its checksum.
//!
//! Lines are only ever added. A line is `{"seq":N,"type":…,…,"crc32":"…"}`; the checksum covers the object as it would
//! stand without its last member. An unfinished or damaged *end* is what a crash leaves and is cut off; damage before a
//! sound line, or a hole in the numbering, cannot come from a crash and is refused.

use crate::settings::Settings;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Which of a segment's two products a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The intermediate: written from frames, read by the final command, then deleted.
    Mezz,
    /// The segment of the finished film.
    Final,
}

impl Stage {
    /// The folder of its chunks, and the word for it in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mezz => "mezz",
            Self::Final => "final",
        }
    }
}

/// What ffprobe says of a video stream, in its own words; all segments of a film must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StreamFacts {
    /// ffmpeg's name of the codec.
    pub(crate) codec_name: String,
    /// Pixels across.
    pub(crate) width: u64,
    /// Rows down.
    pub(crate) height: u64,
    /// Sample format.
    pub(crate) pix_fmt: String,
    /// Frames a second, `24/1`.
    pub(crate) r_frame_rate: String,
    /// Range, where tagged.
    pub(crate) color_range: Option<String>,
    /// Matrix, where tagged.
    pub(crate) color_space: Option<String>,
    /// Transfer, where tagged.
    pub(crate) color_transfer: Option<String>,
    /// Primaries, where tagged.
    pub(crate) color_primaries: Option<String>,
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
pub(crate) struct Chunk {
    /// What it is.
    pub(crate) stage: Stage,
    /// The film frame it begins with; names the file.
    pub(crate) first_frame: u64,
    /// Frames in it.
    pub(crate) frames: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// CRC-32 of its bytes.
    pub(crate) crc: u32,
    /// What ffprobe says of it.
    pub(crate) stream: StreamFacts,
    /// SHA-256 over the hashes of its decoded frames, where it was decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decoded: Option<String>,
}

impl Chunk {
    /// One past its last film frame.
    pub(crate) fn end(&self) -> u64 {
        self.first_frame + self.frames
    }
}

/// The finished film, proved under its temporary name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Film {
    /// Where it is to be.
    pub(crate) path: PathBuf,
    /// Frames in it.
    pub(crate) frames: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// CRC-32 of its bytes.
    pub(crate) crc: u32,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Record {
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

/// More frames and more bytes than any film has; sums of less do not overflow.
const NO_FILM: u64 = 1 << 48;

impl Record {
    /// False for numbers that only another hand has written: every number may be reckoned with.
    fn is_possible(&self) -> bool {
        let some = 1..NO_FILM;
        match self {
            Self::Job { settings, .. } => some.contains(&settings.segment_frames),
            Self::Run { next_frame, expect_frames, .. } => {
                [Some(*next_frame), *expect_frames].into_iter().flatten().all(|n| n < NO_FILM)
            }
            Self::Chunk { chunk, .. } => {
                some.contains(&chunk.frames) && chunk.first_frame < NO_FILM && chunk.bytes < NO_FILM
            }
            Self::Ended { frames } => some.contains(frames),
            Self::Film { film, .. } => some.contains(&film.frames) && film.bytes < NO_FILM,
            Self::Done => true,
        }
    }
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

/// The object that a line's checksum covers; `None` where there is no newline or the checksum is wrong.
fn unseal(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.strip_suffix(b"\n")?;
    let (body, end) = line.split_at(line.len().checked_sub(SEAL)?);
    let text = [body, b"}"].concat();
    let crc = crc32fast::hash(&text);
    (end == format!(",\"crc32\":\"{crc:08x}\"}}").as_bytes()).then_some(text)
}

/// The fact in a sealed line, if it is the line number `seq`.
fn parse(seq: u64, text: &[u8]) -> Result<Record, String> {
    #[derive(Deserialize)]
    struct Line {
        seq: u64,
        #[serde(flatten)]
        record: Record,
    }
    match serde_json::from_slice(text) {
        Ok(Line { seq: found, .. }) if found != seq => Err(format!("line {} is missing", seq + 1)),
        Ok(Line { record: Record::Job { settings, fingerprint }, .. })
            if settings.fingerprint() != fingerprint =>
        {
            Err("the settings do not fit their fingerprint".into())
        }
        Ok(Line { record, .. }) if !record.is_possible() => {
            Err(format!("line {}: holds a number that no job has", seq + 1))
        }
        Ok(Line { record, .. }) => Ok(record),
        Err(e) => Err(format!("line {}: {e}", seq + 1)),
    }
}

/// How far a journal is sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sound {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Hands the sound records of a journal to `each`, one after another. An error names the line that no crash can have
/// damaged.
fn replay(mut journal: impl BufRead, mut each: impl FnMut(Record)) -> Result<Sound, String> {
    let mut sound = Sound::default();
    let mut is_damaged = false;
    let mut line = Vec::new();
    while journal.read_until(b'\n', &mut line).map_err(|e| cli::reason(&e))? > 0 {
        match unseal(&line) {
            // A crash damages the end only: a sound line after a damaged one means that something else was at work.
            Some(_) if is_damaged => {
                return Err(format!("line {} is damaged, and sound ones follow it", sound.records + 1));
            }
            Some(text) => {
                each(parse(sound.records, &text)?);
                sound.records += 1;
                sound.bytes += line.len() as u64;
            }
            None => is_damaged = true,
        }
        line.clear();
    }
    Ok(sound)
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
    /// Hands what a journal says to `each`, without touching it. No file: no records.
    pub(crate) fn read(path: &Path, each: impl FnMut(Record)) -> Result<Sound, String> {
        match File::open(path) {
            Ok(file) => replay(BufReader::new(file), each),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Sound::default()),
            Err(e) => Err(cli::reason(&e)),
        }
    }

    /// Opens or begins a journal, and cuts off what is not sound.
    pub(crate) fn open(path: &Path, sound: Sound) -> io::Result<Self> {
        let file = durable::open(path)?;
        if file.metadata()?.len() > sound.bytes {
            durable::truncate(path, &file, sound.bytes)?;
        }
        Ok(Self { path: path.to_owned(), file, seq: sound.records, is_broken: false })
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

    /// The number of sound records and the bytes they take.
    fn sound(bytes: &[u8]) -> Result<(usize, usize), String> {
        let mut records = 0;
        let sound = replay(bytes, |_| records += 1)?;
        assert_eq!(sound.records, records as u64);
        Ok((records, sound.bytes as usize))
    }

    #[test]
    fn every_cut_leaves_the_lines_before_it() {
        let bytes = three();
        let ends: Vec<_> =
            bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|&&e| e <= cut).count();
            assert_eq!(sound(&bytes[..cut]), Ok((whole, if whole == 0 { 0 } else { ends[whole - 1] })));
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
                match sound(&bad) {
                    Ok((records, _)) => assert!(at >= last && records < 3, "byte {at}"),
                    Err(e) => assert!(e.ends_with("is damaged, and sound ones follow it"), "{e}"),
                }
            }
        }
    }

    #[test]
    fn a_tail_of_zeros_is_a_crash() {
        let mut bytes = three();
        bytes.extend([0; 700]);
        assert_eq!(sound(&bytes), Ok((3, three().len())));
    }

    #[test]
    fn a_missing_line_is_not() {
        let bytes = three();
        let lines: Vec<_> = bytes.split_inclusive(|&b| b == b'\n').collect();
        assert_eq!(sound(&lines[1..].concat()), Err("line 1 is missing".into()));
        assert_eq!(sound(&[lines[0], lines[2]].concat()), Err("line 2 is missing".into()));
    }

    #[test]
    fn settings_are_held_against_their_fingerprint() {
        let settings = Settings::example(10);
        let job = |settings: &Settings, fingerprint| {
            let record = Record::Job { settings: settings.clone(), fingerprint };
            sound(seal(0, &record).unwrap().as_bytes()).map(|(records, _)| records)
        };
        let fingerprint = settings.fingerprint();
        assert_eq!(job(&settings, fingerprint.clone()), Ok(1));
        let other = Settings { segment_frames: 11, ..settings };
        assert_eq!(job(&other, fingerprint), Err("the settings do not fit their fingerprint".into()));
    }

    #[test]
    fn nor_is_a_fact_that_nobody_knows() {
        let mut bytes = three();
        let text = r#"{"seq":3,"type":"gossip"}"#;
        bytes.extend(
            format!("{},\"crc32\":\"{:08x}\"}}\n", &text[..24], crc32fast::hash(text.as_bytes())).bytes(),
        );
        assert!(sound(&bytes).unwrap_err().starts_with("line 4: unknown variant `gossip`"));
    }
}
