//! Whether the film's pictures are the source's: some of each stretch of the film, as small as a stamp, beside the source's
//! frames of those numbers, of the numbers around them, and of the other stretches.
//!
//! Which picture it is is told by correlation, which neither brightness nor contrast changes, nor a smooth fade: 1 is the
//! same picture. Luma is not the same in another matrix, so the source's is compared as it is in the film's. Of pictures that
//! are the source's, [`levels`] are compared, too. The source is decoded once from its beginning, as the pipeline decodes it,
//! so that its frames are counted and not looked up by their times. What is seen of a frame is its first field, from which
//! its picture in the film is made.

use super::{
    Against,
    levels::{self, Colours, GRID, Pair},
};
use crate::{
    prepare::Prepare,
    probe::{Film, Stream},
    program::{self, Program, file},
    reading::FieldOrder,
    reading::Picture,
    values,
};
use cli::{Error, Result, reason};
use deint_crop::square_width;
use rawstream::{ColorRange, Matrix};
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read},
    ops::Range,
    path::Path,
};

/// Stretches of a film of which the frame that differs most from both its neighbours is compared.
const STRETCHES: u64 = 24;
/// Frames of the source that are looked at on either side.
const AROUND: usize = 3;
/// A source's frame at first.
const WHOLE: (usize, usize) = (160, 120);
/// Stamps that are compared: at most that large, and no larger than what the network was given.
const STAMP: (usize, usize) = (96, 54);
/// Codes by which luma differs from its mean in a picture that shows something.
const SHOWS: f32 = 1.7;
/// One minus the correlation of frames with their neighbours, summed over so many pictures as it takes: from here on it is
/// enough to tell which is which.
const MOVED: f32 = 1e-2;
/// The same, of all pictures of a film in which little moves.
const LITTLE: f32 = 2e-3;
/// Codes as in [`SHOWS`] of a picture in which motion is more than what the encoder leaves of darkness.
const BRIGHT: f32 = 10.3;
/// The same of two stretches that show something else.
const OTHER: f32 = 0.05;
/// A correlation under which nobody would call it the same picture.
const ALIKE: f32 = 0.4;
/// One minus the correlation of a picture with the frame that it is most like, in times that of the frame and its neighbours:
/// from here on, coding has lost more than what moves, and the picture may as well be one of some frames ago. Almost still
/// films that x265 made at CRF 40 lag by two frames or three, where this is 16.
const LOST: f32 = 5.0;
/// By how much more pictures must be like the neighbours than like their own frames, as a part of how unlike these are. It is
/// all of that where each is the neighbour, and none where each is half-way there.
const BESIDE: f32 = 0.2;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Frames of the source that were decoded.
    pub decoded: u64,
    /// What is wrong.
    pub wrong: Option<String>,
    /// What was found of the levels of those pictures that are the source's.
    pub levels: levels::Found,
    compared: usize,
    /// Groups of pictures in which enough moves to tell frames apart.
    groups: usize,
    /// Those of which coding has left enough.
    told: usize,
    least: f32,
}

impl Seen {
    /// How many pictures were compared, and how alike they are.
    pub fn summary(&self) -> String {
        let Self { compared, groups, told, least, .. } = self;
        let told = match (told, groups) {
            (_, 0) => "too little moves to tell a frame from the next".into(),
            (0, _) => "coding has lost too much to tell a frame from the next".into(),
            (told, groups) => format!("{told} of {groups} groups told from the frames beside theirs"),
        };
        format!("{compared} pictures beside the source's, {least:.4} alike or more; {told}")
    }
}

/// Compares the pictures of `film`, which come at `times`, with those of the source that it was made from.
///
/// Errors: ffmpeg cannot decode one of them.
pub fn compare(
    film: &Path,
    against: Against<'_>,
    source: &Film,
    times: &[f64],
    video: &Stream,
) -> Result<Seen> {
    let Against { path, start, prepare, .. } = against;
    let failed = |reason: &str| Error::failed(path.display(), reason);
    let old = source.pictures().ok_or_else(|| failed("has no pictures"))?;
    let frames = times.len() as u64;
    let (samples, decoded) = sampled(against, old, frames)?;
    let size = |of: &Stream| Some((of.width.filter(|&w| w > 0)?, of.height.filter(|&h| h > 0)?));
    let (width, height) = size(video).ok_or_else(|| Error::failed(film.display(), "has no size"))?;
    let stamp = (STAMP.0.min(width / 3).max(8), STAMP.1.min(height / 3).max(8));
    let mut pictures = Vec::new();
    for sample in &samples {
        let n = (sample.number - start) as usize;
        pictures.push(picture_at(film, video.index, times[n], n == 0, stamp)?);
    }
    let new: Vec<Vec<f32>> = pictures
        .iter()
        .map(|picture| luma(picture, stamp).iter().map(|&luma| luma.into()).collect())
        .collect();
    let shape = size(old).ok_or_else(|| failed("has no size"))?;
    let colours = colours(against);
    let window = match prepare {
        Some(prepare) => Window::of(prepare, old, shape),
        None if is_whole(old, shape, (width, height)) => Window::WHOLE,
        None => {
            let own = |sample: &Sample| sample.own().map(|own| colours.luma(own)).unwrap_or_default();
            Window::found(&samples.iter().map(own).collect::<Vec<_>>(), &new, stamp)
        }
    };
    let within = window.within_field(first_field(against), shape.1);
    let looks: Vec<_> = samples.iter().map(|sample| sample.looks(colours, within, stamp)).collect();
    let mut seen = Seen { decoded, compared: samples.len(), least: 1.0, ..Seen::default() };
    let mut wrong = Vec::new();
    let mut motion = Vec::new();
    for (n, (sample, picture)) in samples.iter().zip(&new).enumerate() {
        let look = Look::of(picture);
        let others =
            looks.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, looks)| &looks[AROUND]);
        let (alike, why) = judged(&look, &looks[n], others.flatten());
        seen.least = seen.least.min(alike);
        wrong.extend(why.map(|why| (sample.number, why)));
        motion.push(Motion::of(&look, &looks[n]));
    }
    for group in together(&motion) {
        seen.groups += 1;
        let sum = Motion::sum(&motion[group.clone()]);
        if !sum.can_be_told(group.len()) {
            continue;
        }
        seen.told += 1;
        if !sum.is_own() {
            let named = |n: usize| Some((samples[n].number, nearest(&Look::of(&new[n]), &looks[n])?));
            wrong.extend(group.filter_map(named));
        }
    }
    wrong.sort();
    wrong.dedup_by_key(|(number, _)| *number);
    if let Some((number, why)) = wrong.first() {
        let (some, all) = (wrong.len(), samples.len());
        let which = format!("frame {} is not frame {number} of the source: {why}", number - start);
        seen.wrong = Some(format!("pictures: {some} of {all} are not the source's, the first: {which}"));
    }
    let pairs = samples.iter().zip(&pictures).filter_map(|(sample, picture)| {
        let is_wrong = wrong.iter().any(|(number, _)| *number == sample.number);
        let own = sample.own().filter(|_| !is_wrong)?;
        // Both by way of a stamp: an edge between two of its pixels is then as soft in both.
        let grid = |stamps: [Vec<f32>; 3]| stamps.map(|plane| Window::WHOLE.shrunk(&plane, stamp, GRID));
        let new = grid(levels::planes(picture, |codes| codes.map(f32::from)));
        let taken = |matrix| {
            let planes = levels::planes(own, |codes| Colours { matrix, ..colours }.bt709(codes));
            grid(planes.map(|plane| within.shrunk(&plane, WHOLE, stamp)))
        };
        let others = Matrix::ALL.into_iter().filter(|matrix| matrix.weights() != colours.matrix.weights());
        let taken_as = others.map(|matrix| (matrix, taken(matrix))).collect();
        Some(Pair { frame: sample.number - start, new, old: taken(colours.matrix), taken_as })
    });
    seen.levels = levels::compare(&pairs.collect::<Vec<_>>(), colours.matrix);
    Ok(seen)
}

/// What the samples of the source's pictures were taken to mean.
fn colours(against: Against<'_>) -> Colours {
    let kind = against.reading.pictures.at(against.timeline.of_source(against.start));
    let said = |of: fn(&Picture) -> &Option<String>| kind.and_then(|kind| of(kind).as_deref());
    let own = said(|kind| &kind.color_space).and_then(|name| name.parse().ok());
    let matrix = against.prepare.and_then(|prepare| prepare.matrix).or(own).unwrap_or(Matrix::Bt470bg);
    let range = said(|kind| &kind.color_range).and_then(|name| name.parse().ok());
    Colours { matrix, range: range.unwrap_or(ColorRange::Limited) }
}

/// Y of a picture of `size`.
fn luma(picture: &[u8], (width, height): (usize, usize)) -> &[u8] {
    &picture[..width * height]
}

/// A frame of the source and those around it, as far as there are any. A frame is Y, Cb and Cr, one plane after another.
#[derive(Clone)]
struct Sample {
    number: u64,
    /// One minus the correlation with the neighbour that is more like it.
    motion: f32,
    around: [Option<Vec<u8>>; 2 * AROUND + 1],
}

impl Sample {
    fn looks(&self, colours: Colours, window: Window, stamp: (usize, usize)) -> Vec<Option<Look>> {
        let look = |frame: &Vec<u8>| Look::of(&window.shrunk(&colours.luma(frame), WHOLE, stamp));
        self.around.iter().map(|frame| frame.as_ref().map(look)).collect()
    }

    fn own(&self) -> Option<&Vec<u8>> {
        self.around[AROUND].as_ref()
    }
}

/// The frames of the source to be compared: the first, the last, and of each stretch the one that moves most; and how many
/// frames of the source were decoded.
fn sampled(against: Against<'_>, pictures: &Stream, frames: u64) -> Result<(Vec<Sample>, u64)> {
    let start = against.start;
    let stretches = STRETCHES.min(frames);
    let mut best: Vec<Option<Sample>> = vec![None; stretches as usize];
    let (mut ends, mut last) = (Vec::new(), None);
    let mut consider = |near: &VecDeque<Frame>, n: u64| {
        let Some(in_film) = n.checked_sub(start).filter(|&n| n < frames) else { return };
        let mut sample = Sample { number: n, motion: motion(near, n), around: Default::default() };
        let best = &mut best[(in_film * stretches / frames) as usize];
        let is_end = in_film == 0 || in_film + 1 == frames;
        if is_end || best.as_ref().is_none_or(|best| best.motion < sample.motion) {
            for frame in near {
                let at = (frame.number + AROUND as u64).checked_sub(n).map(|at| at as usize);
                if let Some(place) = at.and_then(|at| sample.around.get_mut(at)) {
                    *place = Some(frame.bytes.clone());
                }
            }
            if is_end {
                ends.push(sample.clone());
            }
            if best.as_ref().is_none_or(|best| best.motion < sample.motion) {
                *best = Some(sample);
            }
        }
    };
    let mut near: VecDeque<Frame> = VecDeque::new();
    let count = start.saturating_add(frames).saturating_add(AROUND as u64);
    let decoded = decoded(against, pictures, count, |number, bytes| {
        let look = Look::of(&luma(bytes, WHOLE).iter().map(|&luma| f32::from(luma)).collect::<Vec<_>>());
        near.push_back(Frame { number, bytes: bytes.to_vec(), look });
        if near.len() > 2 * AROUND + 1 {
            near.pop_front();
        }
        if let Some(n) = number.checked_sub(AROUND as u64) {
            consider(&near, n);
        }
        last = Some(number);
    })?;
    if let Some(last) = last {
        (0..AROUND as u64).rev().filter_map(|back| last.checked_sub(back)).for_each(|n| consider(&near, n));
    }
    let mut samples: Vec<_> = best.into_iter().flatten().chain(ends).collect();
    samples.sort_by_key(|sample| sample.number);
    samples.dedup_by_key(|sample| sample.number);
    Ok((samples, decoded))
}

/// A frame on its way past.
struct Frame {
    number: u64,
    bytes: Vec<u8>,
    look: Look,
}

/// One minus the correlation of frame `n` with the neighbour that is more like it.
fn motion(near: &VecDeque<Frame>, n: u64) -> f32 {
    let look = |n: Option<u64>| near.iter().find(|frame| Some(frame.number) == n).map(|frame| &frame.look);
    let Some(own) = look(Some(n)).filter(|own| own.shows()) else { return 0.0 };
    let neighbours = [look(n.checked_sub(1)), look(n.checked_add(1))];
    let unlike = neighbours
        .into_iter()
        .flatten()
        .map(|other| if other.shows() { 1.0 - own.alike(other) } else { 0.0 });
    unlike.fold(f32::INFINITY, f32::min).min(2.0)
}

/// Shows the first field of each frame of the source up to so many, as large as [`WHOLE`]; how many there are.
fn decoded(
    against: Against<'_>,
    pictures: &Stream,
    most: u64,
    mut see: impl FnMut(u64, &[u8]),
) -> Result<u64> {
    let Against { path, reading, timeline, start, .. } = against;
    let field = match first_field(against) {
        FieldOrder::Top => "field=top,",
        FieldOrder::Bottom => "field=bottom,",
        FieldOrder::Progressive => "",
    };
    let none = || Error::failed(path.display(), "does not have the film's first frame");
    let come = values::Pictures::new(reading, timeline, start).ok_or_else(none)?;
    let places =
        come.places().map_or(String::new(), |places| format!("setpts={places},fps={},", timeline.rate));
    let filters = format!("{places}{field}{}", scaled(WHOLE));
    let seek = come.seek.map_or(Vec::new(), |seek| vec!["-ss".into(), format!("{seek:.6}")]);
    let ffmpeg = Program::ffmpeg().about(path.display()).args(program::whole()?).args(seek);
    let (map, most) = (format!("0:{}", pictures.index), most.min(timeline.alike).to_string());
    let ffmpeg = ffmpeg.arg("-i").arg(file(path)).args(["-copyts", "-map", &map, "-fps_mode", "passthrough"]);
    let ffmpeg = ffmpeg.args(["-vf", &filters, "-frames:v", &most, "-f", "rawvideo", "-"]);
    let mut running = ffmpeg.start()?;
    let (mut frame, mut count) = (vec![0; 3 * WHOLE.0 * WHOLE.1], 0);
    if let Some(mut stdout) = running.stdout() {
        loop {
            match stdout.read_exact(&mut frame) {
                Ok(()) => see(count, &frame),
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                Err(e) => return Err(Error::failed(path.display(), format!("ffmpeg: {}", reason(&e)))),
            }
            count += 1;
        }
    }
    running.finish().and(Ok(count))
}

/// The field of the film's first frame that is shown first.
fn first_field(against: Against<'_>) -> FieldOrder {
    let picture = against.timeline.of_source(against.start);
    against.reading.pictures.at(picture).map_or(FieldOrder::Progressive, |picture| picture.field_order)
}

/// ffmpeg's filters that shrink a picture, each sample to the mean of what it covers. Its codes stay what they are: between
/// the same two ranges, whichever it says that it has, nothing is converted.
fn scaled((width, height): (usize, usize)) -> String {
    format!("scale={width}:{height}:flags=area:in_range=tv:out_range=tv,format=yuv444p")
}

/// The picture that comes `at` a second of the film, as a stamp: Y, Cb and Cr, one plane after another.
fn picture_at(
    film: &Path,
    index: usize,
    at: f64,
    is_first: bool,
    (width, height): (usize, usize),
) -> Result<Vec<u8>> {
    let mut ffmpeg = Program::ffmpeg().about(film.display());
    if !is_first {
        // The seek is exact: what comes before that time is decoded and left out.
        ffmpeg = ffmpeg.args(["-seek_timestamp", "1", "-ss", &format!("{:.6}", at - 0.5 / 24.0)]);
    }
    let filters = scaled((width, height));
    let ffmpeg = ffmpeg.arg("-i").arg(file(film)).args(["-map", &format!("0:{index}"), "-frames:v", "1"]);
    let picture =
        ffmpeg.args(["-fps_mode", "passthrough", "-vf", &filters, "-f", "rawvideo", "-"]).output()?;
    if picture.len() != 3 * width * height {
        return Err(Error::failed(film.display(), format!("no picture at {at:.3} s")));
    }
    Ok(picture)
}

/// Has a film of that size the shape of the source's whole picture, as near as even sizes come to it?
fn is_whole(source: &Stream, (width, height): (usize, usize), film: (usize, usize)) -> bool {
    let wide = source.sample_aspect_ratio.map_or(width, |sar| square_width(width, sar));
    let (source, film) = (wide as f64 / height as f64, film.0 as f64 / film.1 as f64);
    (source / film - 1.0).abs() < 0.005
}

/// The part of a source's picture that the film shows, in fractions of its width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

impl Window {
    const WHOLE: Self = Self { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };

    /// As the preparation says, of a source's pictures of that shape.
    fn of(prepare: &Prepare, source: &Stream, shape: (usize, usize)) -> Self {
        let Some(rect) = prepare.crop.0 else { return Self::WHOLE };
        let scaled = prepare.scaled(source, shape);
        let part = |of: usize, all: usize| of as f32 / all as f32;
        Self {
            x: part(rect.x, scaled.width),
            y: part(rect.y, scaled.height),
            width: part(rect.width, scaled.width),
            height: part(rect.height, scaled.height),
        }
    }

    /// The same part in the field that is seen: its rows lie half a row of the frame above the middle of those that they
    /// stand for, or below.
    fn within_field(self, first: FieldOrder, rows: usize) -> Self {
        let half = 0.5 / rows as f32;
        match first {
            FieldOrder::Top => Self { y: self.y + half, ..self },
            FieldOrder::Bottom => Self { y: self.y - half, ..self },
            FieldOrder::Progressive => self,
        }
    }

    /// Where the film's pictures are most like the source's: the whole, or less of its height or of its width, and from the
    /// best of these on by ever smaller steps.
    fn found(own: &[Vec<f32>], new: &[Vec<f32>], stamp: (usize, usize)) -> Self {
        let mut pairs: Vec<_> = own.iter().zip(new).map(|(own, new)| (own, Look::of(new))).collect();
        pairs.retain(|(own, new)| !own.is_empty() && new.shows());
        pairs.sort_by(|a, b| b.1.deviation.total_cmp(&a.1.deviation));
        pairs.truncate(10);
        let alike = |window: Self| -> f32 {
            pairs.iter().map(|(own, new)| Look::of(&window.shrunk(own, WHOLE, stamp)).alike(new)).sum()
        };
        let centred =
            |width: f32, height: f32| Self { x: (1.0 - width) / 2.0, y: (1.0 - height) / 2.0, width, height };
        let sizes = (0..12).map(|n| 1.0 - n as f32 / 24.0);
        let candidates = sizes.flat_map(|part| [centred(1.0, part), centred(part, 1.0)]);
        let scored = candidates.map(|window| (alike(window), window));
        let Some((mut most, mut best)) = scored.max_by(|a, b| a.0.total_cmp(&b.0)) else {
            return Self::WHOLE;
        };
        for step in [1.0 / 48.0, 1.0 / 96.0, 1.0 / 192.0, 1.0 / 384.0, 1.0 / 768.0] {
            // As often as it gets better, but not for ever.
            for _ in 0..16 {
                let moves = [step, -step].into_iter().flat_map(|by| best.moved(by));
                let scored = moves.filter(Self::is_inside).map(|window| (alike(window), window));
                match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
                    Some((better, window)) if better > most => (most, best) = (better, window),
                    _ => break,
                }
            }
        }
        best
    }

    /// Elsewhere, or with one edge elsewhere.
    fn moved(self, by: f32) -> [Self; 6] {
        [
            Self { x: self.x + by, ..self },
            Self { y: self.y + by, ..self },
            Self { width: self.width + by, ..self },
            Self { height: self.height + by, ..self },
            Self { x: self.x + by, width: self.width - by, ..self },
            Self { y: self.y + by, height: self.height - by, ..self },
        ]
    }

    fn is_inside(&self) -> bool {
        let fits = |at: f32, size: f32| at >= 0.0 && size > 0.1 && at + size <= 1.0;
        fits(self.x, self.width) && fits(self.y, self.height)
    }

    /// This part of a plane of `size`, each pixel of it the mean of what it covers, as large as `stamp`.
    fn shrunk<T: Copy + Into<f32>>(
        self,
        plane: &[T],
        size: (usize, usize),
        stamp: (usize, usize),
    ) -> Vec<f32> {
        let columns = cover(self.x, self.width, size.0, stamp.0);
        let rows = cover(self.y, self.height, size.1, stamp.1);
        let across: Vec<f32> = plane
            .chunks_exact(size.0)
            .flat_map(|row| columns.iter().map(|column| column.mean(|x| row[x].into())))
            .collect();
        rows.iter()
            .flat_map(|row| {
                let across = &across;
                (0..stamp.0).map(move |x| row.mean(|y| across[y * stamp.0 + x]))
            })
            .collect()
    }
}

/// Pixels that one of a stamp covers, and how much of each.
struct Cover {
    first: usize,
    parts: Vec<f32>,
}

impl Cover {
    fn mean(&self, value: impl Fn(usize) -> f32) -> f32 {
        self.parts.iter().zip(self.first..).map(|(part, n)| part * value(n)).sum()
    }
}

/// For each of `to` pixels, what it covers of the part of `from` pixels that begins at the fraction `at` of them.
fn cover(at: f32, part: f32, from: usize, to: usize) -> Vec<Cover> {
    let edge = |n: usize| ((at + part * n as f32 / to as f32) * from as f32).clamp(0.0, from as f32);
    (0..to)
        .map(|n| {
            let (begin, end) = (edge(n), edge(n + 1));
            let first = (begin as usize).min(from - 1);
            let last = (end.ceil() as usize).clamp(first + 1, from);
            let inside = |n: usize| (end.min(n as f32 + 1.0) - begin.max(n as f32)).max(1e-6);
            let all: f32 = (first..last).map(inside).sum();
            Cover { first, parts: (first..last).map(|n| inside(n) / all).collect() }
        })
        .collect()
}

/// A picture without its brightness and its contrast.
#[derive(Clone, Debug)]
struct Look {
    /// With a mean of 0 and a length of 1.
    pixels: Vec<f32>,
    mean: f32,
    /// Of the pixels from the mean, in codes.
    deviation: f32,
}

impl Look {
    fn of(luma: &[f32]) -> Self {
        let mean = luma.iter().sum::<f32>() / luma.len() as f32;
        let length = luma.iter().map(|luma| (luma - mean).powi(2)).sum::<f32>().sqrt();
        let pixels = luma.iter().map(|luma| (luma - mean) / length.max(f32::MIN_POSITIVE)).collect();
        Self { pixels, mean, deviation: length / (luma.len() as f32).sqrt() }
    }

    /// Is there anything to be seen?
    fn shows(&self) -> bool {
        self.deviation >= SHOWS
    }

    /// The correlation: 1 for the same picture, 0 for another one.
    fn alike(&self, other: &Self) -> f32 {
        self.pixels.iter().zip(&other.pixels).map(|(a, b)| a * b).sum()
    }
}

/// How alike `new` is to the frame in the middle of `old`, and why it is not that frame: it is another picture altogether, or
/// one of `others`.
fn judged<'a>(
    new: &Look,
    old: &[Option<Look>],
    others: impl Iterator<Item = &'a Look>,
) -> (f32, Option<String>) {
    let Some(own) = &old[AROUND] else { return (0.0, Some("there is none".into())) };
    if !own.shows() {
        // Nothing to be recognised, but nothing must be there, either; black is not white.
        let is_nothing = new.deviation < 4.0 * SHOWS && (new.mean - own.mean).abs() < 41.0;
        return (1.0, (!is_nothing).then(|| "that shows nothing, this does".into()));
    }
    let alike = own.alike(new);
    let mut others = others.filter(|other| other.shows() && 1.0 - own.alike(other) >= OTHER);
    let wrong = if alike < ALIKE {
        Some(format!("they are {alike:.2} alike"))
    } else if others.any(|other| other.alike(new) > alike) {
        Some("it is more like another part of the source".into())
    } else {
        None
    };
    (alike, wrong)
}

/// Which frame of the source `new` is, where it is not the one in the middle of `old`.
fn nearest(new: &Look, old: &[Option<Look>]) -> Option<String> {
    let alike = old.iter().enumerate().filter_map(|(n, old)| Some((n, old.as_ref()?.alike(new))));
    let (nearest, _) = alike.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (by, side) = (nearest.abs_diff(AROUND), if nearest > AROUND { "after" } else { "before" });
    let plural = if by == 1 { "" } else { "s" };
    (by > 0).then(|| format!("it is the one {by} frame{plural} {side} it"))
}

/// What a picture has to say about whether it is its frame or one of the two beside it.
#[derive(Clone, Copy, Debug, Default)]
struct Motion {
    /// How unlike its frame and the neighbours are: the one before and the one after.
    apart: [f32; 2],
    /// By how much more alike the picture is to its frame than to the neighbours.
    nearer: [f32; 2],
    /// How unlike the picture is to the frame that it is most like, of its own and those around it.
    lost: f32,
}

impl Motion {
    fn of(new: &Look, old: &[Option<Look>]) -> Self {
        let mut motion = Self::default();
        let is_bright = |look: &&Look| look.deviation >= BRIGHT;
        let Some(own) = old[AROUND].as_ref().filter(is_bright) else { return motion };
        for (side, neighbour) in [&old[AROUND - 1], &old[AROUND + 1]].into_iter().enumerate() {
            if let Some(neighbour) = neighbour.as_ref().filter(is_bright) {
                motion.apart[side] = 1.0 - own.alike(neighbour);
                motion.nearer[side] = own.alike(new) - neighbour.alike(new);
            }
        }
        motion.lost = old.iter().flatten().map(|old| 1.0 - old.alike(new)).fold(f32::INFINITY, f32::min);
        motion
    }

    fn sum(all: &[Self]) -> Self {
        let sum = |of: fn(&Self) -> [f32; 2]| [0, 1].map(|side| all.iter().map(|one| of(one)[side]).sum());
        let lost = all.iter().map(|one| one.lost).sum();
        Self { apart: sum(|one| one.apart), nearer: sum(|one| one.nearer), lost }
    }

    /// Is as much left of what moves in so many pictures that they can be told from their neighbours? What is as unlike as
    /// other parts of the source are was not lost by coding.
    fn can_be_told(self, pictures: usize) -> bool {
        let apart = self.apart.iter().sum::<f32>() / 2.0;
        self.lost <= LOST * apart || self.lost > OTHER * pictures as f32
    }

    fn moves(self, by: f32) -> bool {
        self.apart.iter().sum::<f32>() >= by
    }

    fn is_own(self) -> bool {
        self.nearer.iter().zip(self.apart).all(|(nearer, apart)| *nearer >= -BESIDE * apart)
    }
}

/// Pictures that follow each other, as many together as it takes to have moved by [`MOVED`], or all, where these have moved
/// by [`LITTLE`]. What is left over at the end goes with those before it.
fn together(all: &[Motion]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut begin = 0;
    for end in 1..=all.len() {
        if Motion::sum(&all[begin..end]).moves(MOVED) {
            groups.push(begin..end);
            begin = end;
        }
    }
    match groups.last_mut() {
        Some(last) => last.end = all.len(),
        None if Motion::sum(all).moves(LITTLE) => groups.push(0..all.len()),
        None => {}
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture in which a bright disc has come to `x`, of 48x27.
    fn disc(x: f32) -> Vec<f32> {
        let pixel = |n: usize| {
            let (dx, dy) = ((n % 48) as f32 - x, (n / 48) as f32 - 13.0);
            30.0 + 0.5 * (n % 48) as f32 + 150.0 * (-(dx * dx + dy * dy) / 40.0).exp()
        };
        (0..48 * 27).map(pixel).collect()
    }

    /// A frame and those around it, the disc moving by `speed`.
    fn around(x: f32, speed: f32) -> Vec<Option<Look>> {
        (0..=2 * AROUND).map(|n| Some(Look::of(&disc(x + speed * (n as f32 - AROUND as f32))))).collect()
    }

    /// Are pictures with the disc at `new` their frames, with the disc at `old` and moving by `speed`? `None` where it does not
    /// move enough.
    fn is_own(new: &[f32], old: &[f32], speed: f32) -> Option<bool> {
        let pairs = new.iter().zip(old);
        let motion: Vec<_> =
            pairs.map(|(new, old)| Motion::of(&Look::of(&disc(*new)), &around(*old, speed))).collect();
        let groups = together(&motion);
        (!groups.is_empty()).then(|| groups.into_iter().all(|group| Motion::sum(&motion[group]).is_own()))
    }

    #[test]
    fn a_frame_is_its_own_and_no_neighbour() {
        assert_eq!(is_own(&[20.0], &[20.0], 1.0), Some(true));
        assert_eq!(is_own(&[21.0], &[20.0], 1.0), Some(false));
        assert_eq!(is_own(&[18.0], &[20.0], 1.0), Some(false));
        let old = around(20.0, 0.5);
        assert_eq!(nearest(&Look::of(&disc(20.5)), &old).unwrap(), "it is the one 1 frame after it");
        assert_eq!(nearest(&Look::of(&disc(19.0)), &old).unwrap(), "it is the one 2 frames before it");
        assert_eq!(nearest(&Look::of(&disc(20.1)), &old), None);
        let dimmed: Vec<f32> = disc(20.0).iter().map(|luma| 16.0 + luma * 0.7).collect();
        assert!(judged(&Look::of(&dimmed), &old, std::iter::empty()).0 > 0.9999);
    }

    #[test]
    fn what_moves_little_is_told_apart_by_many() {
        let all: Vec<f32> = (0..40).map(|n| n as f32 + 4.0).collect();
        let shifted: Vec<f32> = all.iter().map(|x| x + 0.2).collect();
        assert_eq!(is_own(&all[..1], &all[..1], 0.2), None);
        assert_eq!(is_own(&all, &all, 0.2), Some(true));
        assert_eq!(is_own(&shifted, &all, 0.2), Some(false));
        assert_eq!(is_own(&shifted, &all, 0.0), None, "nothing moves");
        let one = [None, None, None, Some(Look::of(&disc(20.0))), None, None, None];
        let motion = Motion::of(&Look::of(&disc(20.0)), &one);
        assert!(together(&[motion]).is_empty(), "a film of one frame");
    }

    #[test]
    fn what_coding_has_lost_cannot_be_told() {
        let told = |apart: f32, lost| Motion { apart: [apart; 2], nearer: [0.0; 2], lost }.can_be_told(1);
        assert!(told(1e-3, 0.0) && told(1e-3, 4e-3));
        assert!(!told(1e-3, 6e-3) && !told(1e-3, 0.04));
        assert!(told(1e-3, 0.06), "another part of the source");
        // Late by half a frame is nothing; by a whole one it is.
        let late = |nearer| Motion { apart: [1e-3; 2], nearer: [nearer, 3e-3], lost: 0.0 }.is_own();
        assert!(late(0.0) && late(-0.1e-3) && !late(-1e-3));
    }

    #[test]
    fn what_is_left_over_goes_with_those_before_it() {
        let motion = |apart| Motion { apart: [apart, 0.0], ..Motion::default() };
        let [much, half, little, none] = [1.0, 0.6, 0.25, 0.01].map(|part| motion(part * MOVED));
        assert_eq!(together(&[much, half, half, much, none]), [0..1, 1..3, 3..5]);
        assert_eq!(together(&[little, none]), vec![0..2]);
        assert!(together(&[none, none]).is_empty());
    }

    #[test]
    fn another_film_is_not_this_one() {
        let wrong = |new: &[f32], old: &[Option<Look>]| judged(&Look::of(new), old, std::iter::empty()).1;
        let old = around(10.0, 0.5);
        assert_eq!(wrong(&disc(40.0), &old).unwrap(), "they are -0.15 alike");
        let other = Look::of(&disc(14.0));
        let near = judged(&Look::of(&disc(12.6)), &around(10.0, 0.0), [&other].into_iter()).1;
        assert_eq!(near.unwrap(), "it is more like another part of the source");
        let (black, white) = (vec![16.0; 48 * 27], vec![235.0; 48 * 27]);
        let nothing: Vec<_> = (0..=2 * AROUND).map(|_| Some(Look::of(&black))).collect();
        assert_eq!(wrong(&black, &nothing), None);
        assert!(wrong(&white, &nothing).is_some() && wrong(&disc(10.0), &nothing).is_some());
        assert!(wrong(&black, &old).is_some());
    }

    #[test]
    fn a_film_of_the_same_shape_shows_the_whole() {
        let dvd = Stream { sample_aspect_ratio: "64:45".parse().ok(), ..Stream::default() };
        assert!(is_whole(&dvd, (720, 576), (2560, 1440)) && !is_whole(&dvd, (720, 576), (3414, 1440)));
        assert!(is_whole(&Stream::default(), (640, 480), (1920, 1440)), "square pixels");
    }

    #[test]
    fn a_stamp_is_the_mean_of_what_it_covers() {
        let luma: Vec<u8> = (0..8 * 4).map(|n| n as u8).collect();
        assert_eq!(Window::WHOLE.shrunk(&luma, (8, 4), (2, 2)), [5.5, 9.5, 21.5, 25.5]);
        let right = Window { x: 0.5, width: 0.5, ..Window::WHOLE };
        assert_eq!(right.shrunk(&luma, (8, 4), (1, 1)), [17.5]);
    }

    #[test]
    fn the_part_that_the_film_shows_is_found() {
        let shown = Window { x: 0.05, y: 0.125, width: 0.9, height: 0.75 };
        let mut seed = 1u32;
        let mut own = Vec::new();
        for _ in 0..4 {
            // Soft spots in different places.
            let mut spot = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 24) as f32
            };
            let spots: Vec<_> = (0..12).map(|_| (spot() * 160.0, spot() * 120.0)).collect();
            let pixel = |n: usize| {
                let near = |&(x, y): &(f32, f32)| {
                    let (dx, dy) = ((n % 160) as f32 - x, (n / 160) as f32 - y);
                    (-(dx * dx + dy * dy) / 120.0).exp()
                };
                200.0 * spots.iter().map(near).sum::<f32>().min(1.0)
            };
            own.push((0..160 * 120).map(pixel).collect::<Vec<f32>>());
        }
        let new: Vec<_> = own.iter().map(|own| shown.shrunk(own, WHOLE, STAMP)).collect();
        let found = Window::found(&own, &new, STAMP);
        let near = |a: f32, b: f32| (a - b).abs() < 0.004;
        assert!(near(found.x, shown.x) && near(found.y, shown.y), "{found:?}");
        assert!(near(found.width, shown.width) && near(found.height, shown.height), "{found:?}");
    }
}
