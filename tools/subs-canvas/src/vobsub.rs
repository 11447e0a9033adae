//! VobSub. The index says how large the canvas is, each subpicture where on it its bitmap stands.

use crate::{
    Counts, Kept, Relaid,
    canvas::{Canvas, Rect},
    ending,
    redraw::Seen,
};
use std::{collections::BTreeMap, ops::Range};
use subpicture::{
    Bitmap,
    program::{END, PACK, PACK_HEADER, Packet, SECTOR, Subpictures, units},
    spu::{Area, command, commands, decode, encode, sequences},
};

/// The two files.
#[derive(Debug)]
pub struct VobSub {
    /// The index.
    pub idx: Vec<u8>,
    /// The program stream.
    pub sub: Relaid,
}

/// The canvas of an index that does not say how large it is: PAL's.
const PAL: (usize, usize) = (720, 576);

/// An index and its program stream on the canvas of what is kept of the picture; `name` stands for the latter in messages.
pub fn vobsub(idx: &[u8], sub: &[u8], kept: &Kept, name: &str) -> VobSub {
    let mut lines: Vec<Vec<u8>> = idx.split_inclusive(|&c| c == b'\n').map(<[u8]>::to_vec).collect();
    let (columns, rows) = lines.iter().find_map(|line| size(line)).unwrap_or(PAL);
    let canvas = kept.of(columns, rows);
    let stream = Stream::read(sub, (!kept.is_all()).then_some(&canvas), name);
    if !kept.is_all() {
        resize(&mut lines, &canvas);
        for line in &mut lines {
            stream.refer(line);
        }
    }
    VobSub { idx: lines.concat(), sub: stream.write() }
}

/// What is behind a key at the beginning of a line, without the line's end.
fn behind<'a>(line: &'a [u8], key: &str) -> Option<&'a str> {
    let rest = str::from_utf8(line.strip_prefix(key.as_bytes())?).ok()?;
    Some(rest.trim())
}

fn size(line: &[u8]) -> Option<(usize, usize)> {
    let (width, height) = behind(line, "size:")?.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| (1..=65536).contains(side));
    Some((side(width)?, side(height)?))
}

/// Has the lines of an index say how large the canvas is, and that it begins in the corner of the picture: players disagree
/// about canvases that do not.
fn resize(lines: &mut Vec<Vec<u8>>, canvas: &Canvas) {
    let size = format!("size: {}x{}", canvas.width, canvas.height);
    let end = |line: &[u8]| line[line.trim_ascii_end().len()..].to_vec();
    let mut is_said = false;
    for line in lines.iter_mut() {
        if behind(line, "size:").is_some() {
            *line = [size.as_bytes(), &end(line)].concat();
            is_said = true;
        } else if behind(line, "org:").is_some() {
            *line = [b"org: 0, 0", &end(line)[..]].concat();
        }
    }
    if !is_said {
        // Behind the line that says what the file is.
        let first = lines.first().filter(|line| line.starts_with(b"#")).map(|line| end(line));
        let at = usize::from(first.is_some());
        let end = first.filter(|end| end.ends_with(b"\n")).unwrap_or_else(|| b"\n".to_vec());
        lines.insert(at, [size.as_bytes(), &end].concat());
    }
}

/// A program stream with what is to be changed in it.
struct Stream<'a> {
    file: &'a [u8],
    /// Up to here it is whole.
    whole: usize,
    relaid: Relaid,
    /// Bytes that are others now, and where they stood.
    changes: Vec<(usize, u8)>,
    /// Packs that are put in, by where.
    packs: BTreeMap<usize, Vec<u8>>,
    /// Pixels that are yet to be looked at, at most.
    pixels: usize,
}

impl<'a> Stream<'a> {
    /// Reads a stream, and re-lays its subpictures where there is a canvas to lay them on.
    fn read(file: &'a [u8], canvas: Option<&Canvas>, name: &str) -> Self {
        let relaid = Relaid { bytes: Vec::new(), counts: Counts::default(), ending: Ok(()) };
        let mut stream = Self {
            file,
            whole: 0,
            relaid,
            changes: Vec::new(),
            packs: BTreeMap::new(),
            pixels: PIXELS + DENSITY * file.len(),
        };
        let mut subpictures = Subpictures::default();
        let mut pack = None;
        // Subpictures that have no room where they are, and wait for the end of their last pack.
        let mut longer = Vec::new();
        for unit in units(file) {
            let unit = match unit {
                Ok(unit) => unit,
                Err(broken) => {
                    stream.relaid.ending = ending(name, Some(&broken));
                    break;
                }
            };
            if matches!(unit.code, Some(PACK | END)) {
                stream.insert(unit.at.start, &mut longer);
                pack = Some(unit.at.start).filter(|_| unit.code == Some(PACK));
            }
            stream.whole = unit.at.end;
            let (Some(canvas), Ok(Some(packet))) = (canvas, Packet::of(file, &unit)) else { continue };
            let Some(places) = subpictures.take(file, &packet) else { continue };
            let substream = packet.subpicture.map_or(0, |(substream, _)| substream);
            let rest = stream.subpicture(&places, canvas, pack.is_some());
            longer.extend(pack.filter(|_| !rest.is_empty()).map(|pack| (pack, substream, rest)));
        }
        stream.insert(stream.whole, &mut longer);
        stream
    }

    /// Re-lays the subpicture whose bytes are at `places`; what has no room there, if there can be more packs.
    fn subpicture(&mut self, places: &[usize], canvas: &Canvas, is_in_packs: bool) -> Vec<u8> {
        let spu: Vec<u8> = places.iter().map(|&at| self.file[at]).collect();
        let size = usize::from(u16::from_be_bytes([spu[0], spu[1]]));
        self.relaid.counts.pictures += 1;
        let room = (!is_in_packs).then_some(places.len());
        let mut pixels = self.pixels.min(PIXELS);
        self.pixels -= pixels;
        let relaid = relaid(&spu[..size], canvas, room, &mut pixels);
        self.pixels += pixels;
        let Some(relaid) = relaid else {
            self.relaid.counts.odd(places[0]);
            return Vec::new();
        };
        self.relaid.counts.moved += u64::from(relaid.moved);
        self.relaid.counts.redrawn += relaid.redrawn;
        if relaid.is_odd {
            self.relaid.counts.odd(places[0]);
        }
        let here = relaid.spu.iter().zip(places).zip(&spu);
        self.changes.extend(here.filter(|((new, _), old)| new != old).map(|((&new, &at), _)| (at, new)));
        relaid.spu.get(places.len()..).unwrap_or_default().to_vec()
    }

    /// Puts packs in before `at`, with what had no room in the packs before.
    fn insert(&mut self, at: usize, longer: &mut Vec<(usize, u8, Vec<u8>)>) {
        for (pack, substream, rest) in longer.drain(..) {
            let out = self.packs.entry(at).or_default();
            // The clock of the pack before, and no stuffing.
            let mut header = self.file[pack..pack + PACK_HEADER].to_vec();
            header[13] &= 0xf8;
            for part in rest.chunks(SECTOR - PACK_HEADER - 10) {
                let free = SECTOR - PACK_HEADER - 10 - part.len();
                // Less than a packet's head is filled up within the header.
                let stuffing = if free < 6 { free } else { 0 };
                let length = (3 + stuffing + 1 + part.len()) as u16;
                out.extend_from_slice(&header);
                out.extend([0, 0, 1, 0xbd]);
                out.extend(length.to_be_bytes());
                out.extend([0x81, 0, stuffing as u8]);
                out.extend(std::iter::repeat_n(0xff, stuffing));
                out.push(substream);
                out.extend_from_slice(part);
                if let Some(fill) = free.checked_sub(6 + stuffing) {
                    out.extend([0, 0, 1, 0xbe]);
                    out.extend((fill as u16).to_be_bytes());
                    out.extend(std::iter::repeat_n(0xff, fill));
                }
            }
        }
    }

    /// Has a line of the index say where in the stream its subpicture is now.
    fn refer(&self, line: &mut Vec<u8>) {
        const KEY: &[u8] = b"filepos:";
        let Some(key) = line.windows(KEY.len()).position(|word| word == KEY) else { return };
        let from =
            key + KEY.len() + line[key + KEY.len()..].iter().take_while(|c| c.is_ascii_whitespace()).count();
        let digits = line[from..].iter().take_while(|c| c.is_ascii_hexdigit()).count();
        let old = str::from_utf8(&line[from..from + digits])
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(old) = old else { return };
        let before: usize = self.packs.range(..=old).map(|(_, packs)| packs.len()).sum();
        if before > 0 {
            line.splice(from..from + digits, format!("{:0digits$x}", old + before).into_bytes());
        }
    }

    fn write(mut self) -> Relaid {
        let mut file = self.file[..self.whole].to_vec();
        for (at, byte) in self.changes {
            file[at] = byte;
        }
        let mut from = 0;
        for (at, packs) in self.packs {
            self.relaid.bytes.extend_from_slice(&file[from..at]);
            self.relaid.bytes.extend(packs);
            from = at;
        }
        self.relaid.bytes.extend_from_slice(&file[from..]);
        self.relaid
    }
}

/// A subpicture on its new canvas.
struct Spu {
    spu: Vec<u8>,
    moved: bool,
    /// Bitmaps that were drawn anew.
    redrawn: u64,
    /// Its bitmap cannot be read.
    is_odd: bool,
}

/// A bitmap that a control sequence begins to show, or moves.
struct Picture {
    /// The number of the sequence.
    sequence: usize,
    area: Area,
    fields: [usize; 2],
    /// `None`: it cannot be read.
    bitmap: Option<Bitmap>,
    seen: Seen,
    /// Where all of it that is drawn comes to stand.
    place: Rect,
}

/// A control sequence.
struct Sequence {
    delay: [u8; 2],
    commands: Vec<Range<usize>>,
}

/// Re-lays a subpicture, in at most `room` bytes where there is a bound; `None` for one that cannot be taken apart.
/// `pixels` is how many may be looked at.
fn relaid(spu: &[u8], canvas: &Canvas, room: Option<usize>, pixels: &mut usize) -> Option<Spu> {
    let chain: Vec<_> = sequences(|at| spu.get(at).copied()).collect();
    let mut all = Vec::new();
    for sequence in &chain {
        let delay = [spu[sequence.at], spu[sequence.at + 1]];
        all.push(Sequence { delay, commands: commands(spu, sequence)? });
    }
    let mut pictures = pictures(spu, &all, canvas, pixels)?;
    let was: Vec<_> = pictures
        .iter()
        .map(|picture| {
            let (x, y) = canvas.squared(picture.area.left, picture.area.top);
            picture.seen.on(x, y)
        })
        .collect();
    let is = canvas.place(&was);
    let moved = was.iter().zip(&is).any(|(&was, &is)| !canvas.stayed(was, is))
        || pictures.iter().any(|picture| !picture.seen.fits());
    let is_odd = pictures.iter().any(|picture| picture.bitmap.is_none());
    let whole = |picture: &Picture, place: Rect| {
        let (width, height) = picture.seen.size;
        let (x, y) = (place.x - picture.seen.part.x, place.y - picture.seen.part.y);
        Rect { x, y, width: width as i64, height: height as i64 }
    };
    // Either all of its bitmaps stay as they are, or none.
    let has_room = |(picture, &place): (&Picture, &Rect)| {
        !picture.seen.is_enlarged() && picture.seen.fits() && whole(picture, place).is_within(canvas)
    };
    let is_redrawn = !is_odd && !pictures.iter().zip(&is).all(has_room);
    if is_redrawn {
        for (picture, &place) in pictures.iter_mut().zip(&is) {
            picture.place = place;
        }
        let new = redrawn(spu, &all, &pictures);
        if let Some(new) = new.filter(|new| room.is_none_or(|room| new.len() <= room)) {
            return Some(Spu { spu: new, moved, redrawn: pictures.len() as u64, is_odd });
        }
    }
    for (picture, &place) in pictures.iter_mut().zip(&is) {
        let size = picture.area.size();
        picture.place = whole(picture, place).resized(size);
        picture.seen = Seen::all(size, size);
    }
    let mut new = spu.to_vec();
    let mut current = None;
    for (n, sequence) in all.iter().enumerate() {
        current = pictures.iter().find(|picture| picture.sequence == n).or(current);
        for at in &sequence.commands {
            let changed = current.and_then(|picture| changed(&spu[at.clone()], picture));
            new[at.clone()].copy_from_slice(changed.as_deref().unwrap_or(&spu[at.clone()]));
        }
    }
    Some(Spu { spu: new, moved, redrawn: 0, is_odd: is_odd || is_redrawn })
}

/// The most pixels in all bitmaps of a subpicture that are looked at: a whole picture of 1920x1080, or five of a DVD. More
/// than that is no text, and would take its time: two bytes can be a row of 4096.
const PIXELS: usize = 1920 * 1088;
/// The most pixels in all bitmaps of a stream that are looked at, by byte of it: a subpicture has at least one pack to itself,
/// of 2048 bytes, and a whole picture of a DVD is 203 of these.
const DENSITY: usize = 256;
/// The most bitmaps in a subpicture.
const PICTURES: usize = 256;

/// The bitmaps that the control sequences show, where they stood; `None` where there are too many.
fn pictures(spu: &[u8], all: &[Sequence], canvas: &Canvas, pixels: &mut usize) -> Option<Vec<Picture>> {
    let opaque = opaque(spu, all);
    let (mut area, mut fields) = (None, None);
    let mut pictures = Vec::new();
    for (sequence, Sequence { commands, .. }) in all.iter().enumerate() {
        let mut is_new = false;
        for command in commands.iter().map(|at| &spu[at.clone()]) {
            match *command {
                [command::AREA, ref rest @ ..] => area = rest.first_chunk().and_then(|b| Area::read(*b)),
                [command::FIELDS, a, b, c, d] => {
                    fields = Some([[a, b], [c, d]].map(|field| u16::from_be_bytes(field).into()))
                }
                _ => continue,
            }
            is_new = true;
        }
        let (true, Some(area), Some(fields)) = (is_new, area, fields) else { continue };
        let (width, height) = area.size();
        if pictures.len() == PICTURES {
            return None;
        }
        let bitmap = pixels.checked_sub(width * height).and_then(|rest| {
            *pixels = rest;
            decode(spu, fields, (width, height))
        });
        let seen = bitmap.as_ref().map_or_else(
            || Seen::all((width, height), canvas.size(width, height)),
            |bitmap| Seen::of(bitmap, |pixel| opaque[usize::from(pixel & 3)], canvas),
        );
        let place = Rect { x: 0, y: 0, width: 1, height: 1 };
        pictures.push(Picture { sequence, area, fields, bitmap, seen, place });
    }
    Some(pictures)
}

/// Which of the four colours are ever seen; all of them where that is never said.
fn opaque(spu: &[u8], all: &[Sequence]) -> [bool; 4] {
    let mut contrasts = Vec::new();
    for command in all.iter().flat_map(|sequence| &sequence.commands).map(|at| &spu[at.clone()]) {
        match *command {
            [command::CONTRAST, a, b] => contrasts.push([a, b]),
            [command::CHANGES, ..] => changes(command, |what| {
                if let Change::Column(entry) = what {
                    contrasts.push([entry[4], entry[5]]);
                }
            }),
            _ => {}
        }
    }
    let shows = |colour: usize| {
        let nibble = |[a, b]: &[u8; 2]| (u16::from(*a) << 8 | u16::from(*b)) >> (4 * colour) & 15;
        contrasts.is_empty() || contrasts.iter().any(|contrast| nibble(contrast) > 0)
    };
    std::array::from_fn(shows)
}

/// What [`command::CHANGES`] is a row of.
enum Change<'a> {
    /// The first row, the last one, and how many columns' changes follow.
    Rows(&'a [u8]),
    /// From which column on, colours, contrasts.
    Column(&'a [u8]),
}

fn changes(command: &[u8], mut each: impl FnMut(Change<'_>)) {
    let mut rest = command.get(3..).unwrap_or_default();
    while let Some((rows, behind)) =
        rest.split_at_checked(4).filter(|(rows, _)| *rows != [0x0f, 0xff, 0xff, 0xff])
    {
        each(Change::Rows(rows));
        rest = behind;
        for _ in 0..rows[2] >> 4 {
            let Some((column, behind)) = rest.split_at_checked(6) else { return };
            each(Change::Column(column));
            rest = behind;
        }
    }
}

/// A command that says where something stands, for a picture that stands elsewhere now; as long as it was.
fn changed(command: &[u8], picture: &Picture) -> Option<Vec<u8>> {
    let Picture { area, place, seen, .. } = picture;
    match command[0] {
        command::AREA => {
            let most = |from: i64, length: i64| {
                let from = from.clamp(0, 4095);
                (from as usize, (from + length - 1).clamp(from, 4095) as usize)
            };
            let ((left, right), (top, bottom)) = (most(place.x, place.width), most(place.y, place.height));
            Some([&[command::AREA][..], &Area { left, right, top, bottom }.write()].concat())
        }
        command::CHANGES => {
            let mut out = command.get(..3)?.to_vec();
            let (rows, columns) = (seen.rows.list(), seen.columns.list());
            // Of the places that are drawn, the first that is not before `at`, and the last that is not behind it.
            let first = |drawn: &[usize], at: usize| drawn.partition_point(|&place| place < at) as i64;
            let last = |drawn: &[usize], at: usize| drawn.partition_point(|&place| place <= at) as i64 - 1;
            let twelve = |high: u8, low: u8| usize::from(high & 15) << 8 | usize::from(low);
            let bytes = |high: u8, n: i64| {
                let n = n.clamp(0, 4095);
                [high & 0xf0 | (n >> 8) as u8, n as u8]
            };
            changes(command, |what| match what {
                Change::Rows(row) => {
                    let [from, to] = [twelve(row[0], row[1]), twelve(row[2], row[3])];
                    let [from, to] = [from, to].map(|row| row.saturating_sub(area.top));
                    out.extend(bytes(row[0], place.y + first(&rows, from)));
                    out.extend(bytes(row[2], place.y + last(&rows, to)));
                }
                Change::Column(column) => {
                    let from = twelve(column[0], column[1]).saturating_sub(area.left);
                    out.extend(bytes(column[0], place.x + first(&columns, from)));
                    out.extend_from_slice(&column[2..]);
                }
            });
            // What is behind them stays.
            out.extend_from_slice(&command[out.len()..]);
            Some(out)
        }
        _ => None,
    }
}

/// A subpicture put together anew, with the seen parts of its bitmaps only, and no shorter than it was; `None` where that
/// does not fit in one.
fn redrawn(spu: &[u8], all: &[Sequence], pictures: &[Picture]) -> Option<Vec<u8>> {
    let mut new = vec![0; 4];
    let mut fields: Vec<[u16; 2]> = Vec::new();
    for (n, picture) in pictures.iter().enumerate() {
        let same = |other: &&Picture| {
            (other.fields, &other.seen.rows, &other.seen.columns)
                == (picture.fields, &picture.seen.rows, &picture.seen.columns)
        };
        if let Some(drawn) = pictures[..n].iter().position(|other| same(&other)) {
            fields.push(fields[drawn]);
            continue;
        }
        let bitmap = picture.bitmap.as_ref()?.of(&picture.seen.rows.list(), &picture.seen.columns.list());
        let even = u16::try_from(new.len()).ok()?;
        new.extend(encode(&bitmap, false));
        let odd = u16::try_from(new.len()).ok()?;
        new.extend(encode(&bitmap, true));
        fields.push([even, odd]);
    }
    let first = u16::try_from(new.len()).ok()?;
    new[2..4].copy_from_slice(&first.to_be_bytes());
    let mut current = None;
    for (n, sequence) in all.iter().enumerate() {
        let at = new.len();
        let begins = pictures.iter().position(|picture| picture.sequence == n);
        current = begins.or(current);
        new.extend(sequence.delay);
        new.extend([0; 2]);
        for command in sequence.commands.iter().map(|at| &spu[at.clone()]) {
            match (command[0], begins, current) {
                (command::AREA | command::FIELDS, Some(_), _) => {}
                (command::END, Some(n), _) => {
                    let area = [&[command::AREA][..], &[0; 6]].concat();
                    new.extend(changed(&area, &pictures[n])?);
                    new.push(command::FIELDS);
                    new.extend(fields[n].map(u16::to_be_bytes).concat());
                    new.push(command::END);
                }
                (_, _, Some(n)) => {
                    new.extend(changed(command, &pictures[n]).unwrap_or_else(|| command.to_vec()))
                }
                _ => new.extend_from_slice(command),
            }
        }
        // The last one points to itself.
        let next = if n + 1 == all.len() { at } else { new.len() };
        new[at + 2..at + 4].copy_from_slice(&u16::try_from(next).ok()?.to_be_bytes());
    }
    if new.len() < spu.len() {
        new.resize(spu.len(), 0xff);
    }
    let size = u16::try_from(new.len()).ok()?;
    new[..2].copy_from_slice(&size.to_be_bytes());
    Some(new)
}
