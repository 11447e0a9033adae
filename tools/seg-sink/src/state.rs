//! Where a job stands: what the journal says, held against what the disk has.
//!
//! | journal | disk | outcome |
//! | --- | --- | --- |
//! | chunk | the file, size (and on resume checksum) as recorded | it is safe |
//! | chunk | only the temporary file, as recorded | the crash came before the renaming: it is renamed |
//! | chunk | no file, or another size or checksum | it is lost, said aloud; its frames are asked for again |
//! | final chunk safe | mezzanine still there | the crash came before the deletion: it is deleted |
//! | nothing | any file in `mezz/` or `final/` | an unproved leftover: it is deleted on resume |
//! | film | the output as recorded, or its temporary file | kept, or renamed; the job is done |
//! | film | neither | the segments are joined again |

use crate::{
    folder::{Folder, part_of},
    journal::{Chunk, Film, Journal, Record, Sound, Stage},
    settings::Settings,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What a container takes around the frames.
pub(crate) const OVERHEAD: u64 = 64 << 10;

/// One segment of the film.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    /// Its mezzanine: usually one chunk; more where the input broke off inside it. Keyed by first frame.
    pub(crate) mezz: BTreeMap<u64, Chunk>,
    /// The finished segment.
    pub(crate) final_: Option<Chunk>,
}

/// Where a job stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) settings: Option<Settings>,
    /// By number.
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// Frames of the whole film, once its end was seen.
    pub(crate) ended: Option<u64>,
    pub(crate) film: Option<Film>,
    pub(crate) done: bool,
    pub(crate) disk_peak_bytes: u64,
    /// `--expect-frames` of the last run that said one.
    pub(crate) expect_frames: Option<u64>,
    /// Times that the job was started.
    pub(crate) runs: u64,
    sizes: BTreeMap<Stage, Sizes>,
}

/// What the chunks of a stage took so far, also those that are gone.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    frames: u64,
    bytes: u64,
    /// Whether there was a whole segment, and the most bytes that a frame took, rounded up: in whole segments, if so. A
    /// short chunk has few frames to share the cost of its first one and of its container.
    most: (bool, u64),
}

impl State {
    /// What the journal in `folder` says, and how much of it is sound.
    pub(crate) fn read(folder: &Folder) -> cli::Result<(Self, Sound)> {
        let (path, mut state) = (folder.journal(), Self::default());
        let sound = Journal::read(&path, |record| state.apply(&record))
            .map_err(|e| cli::Error::failed(path.display(), e))?;
        Ok((state, sound))
    }

    /// And what one more record adds.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Job { settings, .. } => self.settings = Some(settings.clone()),
            Record::Run { expect_frames, .. } => {
                self.runs += 1;
                self.expect_frames = expect_frames.or(self.expect_frames);
            }
            Record::Chunk { chunk, disk_peak_bytes } => {
                self.add(chunk.clone());
                self.disk_peak_bytes = self.disk_peak_bytes.max(*disk_peak_bytes);
            }
            Record::Ended { frames } => self.ended = Some(*frames),
            Record::Film { film, disk_peak_bytes } => {
                self.film = Some(film.clone());
                self.disk_peak_bytes = self.disk_peak_bytes.max(*disk_peak_bytes);
            }
            Record::Done => self.done = true,
        }
    }

    fn segment_frames(&self) -> u64 {
        self.settings.as_ref().map_or(u64::MAX, |s| s.segment_frames.max(1))
    }

    /// The number of the segment that film frame `frame` belongs to.
    pub(crate) fn index_of(&self, frame: u64) -> u64 {
        frame / self.segment_frames()
    }

    /// The first film frame of segment `index`, and one past its last.
    pub(crate) fn span(&self, index: u64) -> (u64, u64) {
        let first = index.saturating_mul(self.segment_frames());
        let end = first.saturating_add(self.segment_frames());
        (first, self.ended.map_or(end, |total| end.min(total)))
    }

    /// A chunk is safe. Returns chunks of the same frames that it takes the place of.
    pub(crate) fn add(&mut self, chunk: Chunk) -> Vec<Chunk> {
        let is_whole = chunk.frames >= self.segment_frames();
        let sizes = self.sizes.entry(chunk.stage).or_default();
        sizes.most = sizes.most.max((is_whole, chunk.bytes.div_ceil(chunk.frames.max(1))));
        sizes.frames += chunk.frames;
        sizes.bytes += chunk.bytes;
        let segment = self.segments.entry(chunk.first_frame / self.segment_frames()).or_default();
        match chunk.stage {
            Stage::Final => segment.final_.replace(chunk).into_iter().collect(),
            Stage::Mezz => {
                let replaced: Vec<_> = segment
                    .mezz
                    .extract_if(chunk.first_frame.., |_, old| old.first_frame < chunk.end())
                    .collect();
                segment.mezz.insert(chunk.first_frame, chunk);
                replaced.into_iter().map(|(_, old)| old).collect()
            }
        }
    }

    /// One past the last frame of segment `index` that is safe without a gap.
    fn safe_to(&self, index: u64) -> u64 {
        let (mut at, _) = self.span(index);
        let Some(segment) = self.segments.get(&index) else { return at };
        if let Some(chunk) = &segment.final_ {
            return chunk.end();
        }
        while let Some(chunk) = segment.mezz.get(&at).filter(|c| c.frames > 0) {
            at = chunk.end();
        }
        at
    }

    /// True when every frame of segment `index` is safe.
    pub(crate) fn is_received(&self, index: u64) -> bool {
        self.safe_to(index) >= self.span(index).1
    }

    /// The first film frame from `from` on that is not safe; `None` when all of the film is.
    pub(crate) fn next_missing(&self, from: u64) -> Option<u64> {
        let mut index = self.index_of(from);
        loop {
            let at = self.safe_to(index).max(from);
            if self.ended.is_some_and(|total| at >= total) {
                return None;
            }
            if at < self.span(index).1 {
                return Some(at);
            }
            index += 1;
        }
    }

    /// The film frame to go on with; the film's length when all frames are safe.
    pub(crate) fn next_frame(&self) -> u64 {
        self.next_missing(0).or(self.ended).unwrap_or(0)
    }

    /// Segments that have all of their mezzanine and no final chunk yet.
    pub(crate) fn ready(&self) -> Vec<u64> {
        let open = self.segments.iter().filter(|(i, s)| s.final_.is_none() && self.is_received(**i));
        open.map(|(i, _)| *i).collect()
    }

    /// The finished segments in the film's order, up to the first that is missing.
    pub(crate) fn finished(&self) -> Vec<&Chunk> {
        let mut at = 0;
        let finals = self.segments.values().map_while(|s| s.final_.as_ref());
        finals
            .take_while(|c| {
                let follows = c.first_frame == at;
                at = c.end();
                follows
            })
            .collect()
    }

    /// True when every segment of the film is finished.
    pub(crate) fn is_finished(&self) -> bool {
        self.ended.is_some_and(|total| self.finished().last().map_or(0, |c| c.end()) == total)
    }

    /// The most bytes that a frame took in a chunk of that stage so far, rounded up.
    fn bytes_per_frame(&self, stage: Stage) -> Option<u64> {
        self.sizes.get(&stage).map(|sizes| sizes.most.1)
    }

    /// What a chunk of `frames` frames will probably take, generously, judging by those of its stage so far.
    pub(crate) fn likely_bytes(&self, stage: Stage, frames: u64) -> Option<u64> {
        self.bytes_per_frame(stage).map(|each| each.saturating_mul(frames).saturating_mul(5) / 4 + OVERHEAD)
    }

    /// The most bytes that a segment's mezzanine took so far, for a full segment.
    pub(crate) fn mezz_bytes_per_segment(&self) -> Option<u64> {
        self.bytes_per_frame(Stage::Mezz).map(|each| each.saturating_mul(self.segment_frames()))
    }

    /// What `total` frames of film will take, judging by the segments so far.
    pub(crate) fn projected_final_bytes(&self, total: u64) -> Option<u64> {
        let Sizes { frames, bytes, .. } = *self.sizes.get(&Stage::Final)?;
        u64::try_from(u128::from(bytes) * u128::from(total) / u128::from(frames)).ok()
    }

    /// Every chunk on record.
    fn chunks(&self) -> Vec<Chunk> {
        let of = |s: &Segment| s.mezz.values().cloned().chain(s.final_.clone()).collect::<Vec<_>>();
        self.segments.values().flat_map(of).collect()
    }

    fn forget(&mut self, chunk: &Chunk) {
        let index = self.index_of(chunk.first_frame);
        if let Some(segment) = self.segments.get_mut(&index) {
            match chunk.stage {
                Stage::Mezz => drop(segment.mezz.remove(&chunk.first_frame)),
                Stage::Final => segment.final_ = None,
            }
        }
    }

    /// Holds the journal against the disk, as `--status` does: nothing is touched, only sizes are looked at. Returns
    /// what was lost.
    pub(crate) fn compare(&mut self, folder: &Folder) -> Vec<String> {
        self.film = self.film.take().filter(|f| size_of(&f.path) == Some(f.bytes));
        if self.film.is_some() {
            return Vec::new();
        }
        self.drop_lost(folder, |chunk, path| size_of(path) == Some(chunk.bytes))
    }

    /// Forgets the chunks that are not sound, under their own or their temporary name, and tells which those were.
    fn drop_lost(&mut self, folder: &Folder, is_sound: impl Fn(&Chunk, &Path) -> bool) -> Vec<String> {
        let mut lost = Vec::new();
        for chunk in self.chunks() {
            let path = folder.chunk(chunk.stage, chunk.first_frame);
            let part = folder.part(chunk.stage, chunk.first_frame);
            if is_sound(&chunk, &path) || (!path.exists() && is_sound(&chunk, &part)) {
                continue;
            }
            // A mezzanine that has served its segment is meant to be gone.
            if chunk.stage == Stage::Final || !self.is_final(chunk.first_frame) {
                let what = if path.exists() { "is not what was proved" } else { "is gone" };
                let (first, last) = (chunk.first_frame, chunk.end() - 1);
                lost.push(format!(
                    "{}: {what}; frames {first} to {last} are not in it any more",
                    path.display()
                ));
            }
            self.forget(&chunk);
        }
        lost
    }

    fn is_final(&self, frame: u64) -> bool {
        self.segments.get(&self.index_of(frame)).is_some_and(|s| s.final_.is_some())
    }

    /// The film is to be `output`. One that is on record for another place is not this one, whoever wrote the record: it is
    /// never touched. Returns where a finished one lies.
    pub(crate) fn expect_film(&mut self, output: &Path) -> Option<PathBuf> {
        let other = self.film.take_if(|film| film.path != output)?;
        let is_finished = self.done && size_of(&other.path) == Some(other.bytes);
        self.done = false;
        is_finished.then_some(other.path)
    }

    /// Holds the journal against the disk and makes them agree; checksums are looked at. Returns what was lost.
    pub(crate) fn mend(&mut self, folder: &Folder, keep: bool) -> io::Result<Vec<String>> {
        if let Some(film) = self.film.take() {
            let is_it = |path: &Path| is_file_of(path, film.bytes, film.crc);
            let part = part_of(&film.path);
            if !film.path.exists() && is_it(&part) {
                durable::rename(&part, &film.path)?;
            }
            if is_it(&film.path) {
                self.film = Some(film);
                return Ok(Vec::new());
            }
        }
        let lost = self.drop_lost(folder, |chunk, path| is_file_of(path, chunk.bytes, chunk.crc));
        for chunk in self.chunks() {
            let path = folder.chunk(chunk.stage, chunk.first_frame);
            if !path.exists() {
                durable::rename(&folder.part(chunk.stage, chunk.first_frame), &path)?;
            }
            if chunk.stage == Stage::Mezz && self.is_final(chunk.first_frame) && !keep {
                durable::remove(&path)?;
                self.forget(&chunk);
            }
        }
        let known: Vec<_> = self.chunks().iter().map(|c| folder.chunk(c.stage, c.first_frame)).collect();
        for stage in [Stage::Mezz, Stage::Final] {
            for file in folder.files(stage)? {
                if !known.contains(&file) && is_ours(&file) {
                    durable::remove(&file)?;
                }
            }
        }
        Ok(lost)
    }
}

/// True for names that only seg-sink gives: `000015000.mkv`, `000015000.part.mkv`, `000015000.ffconcat`.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let endings = [".part.mkv", ".mkv", ".ffconcat.part", ".ffconcat"];
    let Some(stem) = endings.into_iter().find_map(|ending| name.strip_suffix(ending)) else {
        return false;
    };
    stem.len() >= 9 && stem.bytes().all(|b| b.is_ascii_digit())
}

/// Of a file; a link is none.
fn size_of(path: &Path) -> Option<u64> {
    path.symlink_metadata().ok().filter(|m| m.is_file()).map(|m| m.len())
}

fn is_file_of(path: &Path, bytes: u64, crc: u32) -> bool {
    size_of(path) == Some(bytes) && checksum(path).is_ok_and(|c| c == crc)
}

/// CRC-32 of a file's bytes.
pub(crate) fn checksum(path: &Path) -> io::Result<u32> {
    let mut file = File::open(path)?;
    let mut crc = crc32fast::Hasher::new();
    let mut buffer = [0; 1 << 14];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crc.finalize()),
            n => crc.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::StreamFacts;

    #[test]
    fn a_short_chunk_does_not_stand_for_whole_segments() {
        let mut state = State { settings: Some(Settings::example(10)), ..State::default() };
        let mut add = |first_frame, frames, bytes| {
            let stream = StreamFacts::default();
            let stage = Stage::Final;
            state.add(Chunk { stage, first_frame, frames, bytes, crc: 0, stream, decoded: None });
            (state.bytes_per_frame(stage), state.projected_final_bytes(100))
        };
        assert_eq!(add(90, 1, 500), (Some(500), Some(50_000)));
        assert_eq!(add(0, 10, 1000), (Some(100), Some(13_636)));
        assert_eq!(add(10, 10, 1201), (Some(121), Some(12_861)));
        assert_eq!(add(20, 2, 900), (Some(121), Some(15_656)));
    }
}
