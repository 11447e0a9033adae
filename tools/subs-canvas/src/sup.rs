//! PGS. An epoch defines objects, which compositions show at places of the canvas, within windows: all three are moved.

use crate::{
    Counts, Kept, Relaid,
    canvas::{Canvas, Rect},
    ending,
    redraw::Seen,
};
use std::collections::BTreeMap;
use subpicture::{
    Bitmap,
    pgs::{HEADER, LARGEST, Segment, decode, encode, kind, segments},
};

/// A stream on the canvas of what is kept of the picture; `name` stands for it in messages.
pub fn sup(file: &[u8], kept: &Kept, name: &str) -> Relaid {
    let (mut all, mut broken) = (Vec::new(), None);
    for segment in segments(file) {
        match segment {
            Ok(segment) => all.push(segment),
            Err(why) => broken = Some(why),
        }
    }
    let mut relaid = Relaid {
        bytes: Vec::with_capacity(file.len()),
        counts: Counts::default(),
        ending: ending(name, broken.as_ref()),
    };
    if kept.is_all() {
        relaid.bytes.extend_from_slice(&file[..all.last().map_or(0, |last| last.payload.end)]);
        return relaid;
    }
    // No epoch needs anything of the one before.
    let begins = |segment: &Segment| {
        let state = file[segment.payload.clone()].get(7);
        segment.kind == kind::COMPOSITION && state.is_some_and(|state| state & 0xc0 == 0x80)
    };
    let mut rest = &all[..];
    while !rest.is_empty() {
        let length = rest.iter().skip(1).position(begins).map_or(rest.len(), |n| n + 1);
        let (epoch, later) = rest.split_at(length);
        Epoch::read(file, epoch, kept).write(&mut relaid);
        rest = later;
    }
    relaid
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

/// The two bytes of a number; what has none becomes the nearest that has.
fn bytes(n: i64) -> [u8; 2] {
    (n.clamp(0, 0xffff) as u16).to_be_bytes()
}

/// An object as it is defined once.
struct Object {
    /// The number, among the epoch's, of each segment that defines it.
    segments: Vec<usize>,
    width: usize,
    height: usize,
    /// Run lengths, as far as they are there.
    runs: Vec<u8>,
    /// `None`: it cannot be read.
    seen: Option<Seen>,
    /// A composition shows a part of it only: all of it stays.
    is_cut: bool,
    /// Its pixels are not square, or all of it has no room.
    is_redrawn: bool,
}

impl Object {
    fn bitmap(&self) -> Option<Bitmap> {
        decode(&self.runs, self.width, self.height)
    }
}

/// An object where a composition shows it.
struct Shown {
    /// Where its x is in the payload of the composition.
    at: usize,
    /// Of the epoch's objects; `None`: one that it does not define.
    object: Option<usize>,
    window: u8,
    x: usize,
    y: usize,
    /// The part that is shown, where it is not all: its first column and row, its columns and rows.
    part: Option<[usize; 4]>,
    /// Where it comes to stand, all of it that is drawn.
    place: Rect,
}

/// A composition.
struct Composition {
    /// Its number among the epoch's segments.
    segment: usize,
    canvas: Canvas,
    shown: Vec<Shown>,
    moved: bool,
}

struct Epoch<'a> {
    file: &'a [u8],
    segments: &'a [Segment],
    objects: Vec<Object>,
    compositions: Vec<Composition>,
    odd: Vec<usize>,
}

impl<'a> Epoch<'a> {
    fn read(file: &'a [u8], segments: &'a [Segment], kept: &Kept) -> Self {
        let mut epoch =
            Self { file, segments, objects: Vec::new(), compositions: Vec::new(), odd: Vec::new() };
        let mut opaque = [false; 256];
        // Which object has a number now.
        let mut current = BTreeMap::new();
        for (n, segment) in segments.iter().enumerate() {
            let payload = &file[segment.payload.clone()];
            match segment.kind {
                kind::PALETTE => {
                    for entry in payload.get(2..).unwrap_or_default().chunks_exact(5) {
                        // A picture that fades in is seen as soon as it ever is.
                        opaque[usize::from(entry[0])] |= entry[4] > 0;
                    }
                }
                kind::OBJECT => epoch.define(n, payload, &mut current),
                kind::COMPOSITION => {
                    // The objects of a composition follow it.
                    epoch.resolve(&current);
                    epoch.compose(n, payload, kept);
                }
                _ => {}
            }
        }
        epoch.resolve(&current);
        epoch.look(&opaque);
        epoch.place();
        epoch
    }

    fn define(&mut self, n: usize, payload: &[u8], current: &mut BTreeMap<usize, usize>) {
        let (Some(id), Some(flags)) = (be16(payload, 0), payload.get(3)) else {
            return self.odd.push(self.segments[n].at);
        };
        if flags & 0x80 == 0 {
            // The next part of one.
            if let Some(&begun) = current.get(&id) {
                self.objects[begun].segments.push(n);
                self.objects[begun].runs.extend_from_slice(&payload[4..]);
            }
            return;
        }
        let (Some(width), Some(height)) = (be16(payload, 7), be16(payload, 9)) else {
            return self.odd.push(self.segments[n].at);
        };
        current.insert(id, self.objects.len());
        let (segments, runs) = (vec![n], payload[11..].to_vec());
        self.objects.push(Object {
            segments,
            width,
            height,
            runs,
            seen: None,
            is_cut: false,
            is_redrawn: false,
        });
    }

    fn compose(&mut self, n: usize, payload: &[u8], kept: &Kept) {
        let size = be16(payload, 0).zip(be16(payload, 2)).filter(|&(width, height)| width > 0 && height > 0);
        let (Some((width, height)), Some(&count)) = (size, payload.get(10)) else {
            return self.odd.push(self.segments[n].at);
        };
        let (mut shown, mut at) = (Vec::new(), 11);
        for _ in 0..count {
            let Some(&[id1, id0, window, flags, x1, x0, y1, y0]) =
                payload.get(at..at + 8).and_then(|o| o.first_chunk())
            else {
                self.odd.push(self.segments[n].at);
                break;
            };
            let number = |high, low| usize::from(u16::from_be_bytes([high, low]));
            let is_part = flags & 0x80 != 0;
            let numbers = [8, 10, 12, 14].map(|n| be16(payload, at + n));
            let part = match numbers {
                [Some(x), Some(y), Some(width), Some(height)] if is_part => Some([x, y, width, height]),
                _ => None,
            };
            let (x, y) = (number(x1, x0), number(y1, y0));
            let place = Rect { x: 0, y: 0, width: 1, height: 1 };
            // Until it is resolved, the object's number.
            shown.push(Shown { at: at + 4, object: Some(number(id1, id0)), window, x, y, part, place });
            at += if is_part { 16 } else { 8 };
        }
        let canvas = kept.of(width, height);
        self.compositions.push(Composition { segment: n, canvas, shown, moved: false });
    }

    /// Finds the objects of the last composition.
    fn resolve(&mut self, current: &BTreeMap<usize, usize>) {
        for shown in self.compositions.last_mut().into_iter().flat_map(|last| &mut last.shown) {
            shown.object = shown.object.and_then(|id| current.get(&id).copied());
            if let Some(object) = shown.object {
                self.objects[object].is_cut |= shown.part.is_some();
            }
        }
    }

    /// Finds out what there is to be seen of each object.
    fn look(&mut self, opaque: &[bool; 256]) {
        let Some(Composition { canvas, .. }) = self.compositions.first() else { return };
        let is_opaque = |pixel: u8| opaque[usize::from(pixel)];
        for object in &mut self.objects {
            let (old, size) = ((object.width, object.height), canvas.size(object.width, object.height));
            object.seen = object.bitmap().map(|bitmap| match object.is_cut {
                true => Seen::all(old, if size.0.max(size.1) <= LARGEST { size } else { old }),
                false => Seen::of(&bitmap, is_opaque, canvas),
            });
            if object.seen.is_none() {
                self.odd.push(self.segments[object.segments[0]].at);
            }
            object.is_redrawn = object.seen.as_ref().is_some_and(|seen| seen.is_enlarged() || !seen.fits());
        }
    }

    /// Finds out where everything comes to stand, and which objects are drawn anew for that.
    fn place(&mut self) {
        for composition in &mut self.compositions {
            let canvas = &composition.canvas;
            let was: Vec<_> =
                composition.shown.iter().map(|shown| shown.seen(&self.objects, canvas)).collect();
            let is = composition.canvas.place(&was);
            composition.moved = was.iter().zip(&is).any(|(&was, &is)| !composition.canvas.stayed(was, is));
            for (shown, place) in composition.shown.iter_mut().zip(is) {
                shown.place = place;
                let Some(object) = shown.object.map(|n| &mut self.objects[n]).filter(|object| !object.is_cut)
                else {
                    continue;
                };
                let all = whole(object, place);
                composition.moved |= object.seen.as_ref().is_some_and(|seen| !seen.fits());
                object.is_redrawn |= object.seen.is_some() && !all.is_within(&composition.canvas);
            }
        }
        for shown in self.compositions.iter_mut().flat_map(|composition| &mut composition.shown) {
            let object = shown.object.map(|n| &self.objects[n]);
            shown.place = match (object, shown.part) {
                (Some(Object { is_redrawn: true, .. }), _) => shown.place,
                (Some(object @ Object { is_cut: false, seen: Some(_), .. }), _) => whole(object, shown.place),
                (_, Some([_, _, width, height])) => shown.place.resized((width, height)),
                (Some(object), None) => shown.place.resized((object.width, object.height)),
                (None, None) => shown.place.resized((1, 1)),
            };
        }
    }

    /// The windows of the epoch, by number: all that is shown in each.
    fn windows(&self) -> BTreeMap<u8, Rect> {
        let mut windows = BTreeMap::new();
        for shown in self.compositions.iter().flat_map(|composition| &composition.shown) {
            let window = windows.entry(shown.window).or_insert(shown.place);
            *window = window.union(shown.place);
        }
        windows
    }

    fn write(self, relaid: &mut Relaid) {
        let windows = self.windows();
        let mut composition = self.compositions.iter().peekable();
        let mut canvas = None;
        // What becomes of the segments that define objects which are drawn anew.
        let mut redrawn: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for object in self.objects.iter().filter(|object| object.is_redrawn) {
            let parts = self.redrawn(object);
            redrawn.extend(object.segments.iter().map(|&n| (n, Vec::new())));
            redrawn.insert(object.segments[0], parts);
            relaid.counts.redrawn += 1;
        }
        for (n, segment) in self.segments.iter().enumerate() {
            let header = &self.file[segment.at..segment.at + HEADER];
            let mut payload = self.file[segment.payload.clone()].to_vec();
            if let Some(parts) = redrawn.get(&n) {
                for part in parts {
                    relaid.bytes.extend_from_slice(&header[..HEADER - 2]);
                    relaid.bytes.extend(bytes(part.len() as i64));
                    relaid.bytes.extend_from_slice(part);
                }
                continue;
            }
            if let Some(composition) = composition.next_if(|composition| composition.segment == n) {
                canvas = Some(composition.canvas);
                payload[..2].copy_from_slice(&bytes(composition.canvas.width as i64));
                payload[2..4].copy_from_slice(&bytes(composition.canvas.height as i64));
                for shown in &composition.shown {
                    payload[shown.at..shown.at + 2].copy_from_slice(&bytes(shown.place.x));
                    payload[shown.at + 2..shown.at + 4].copy_from_slice(&bytes(shown.place.y));
                    let is_redrawn = shown.object.is_some_and(|n| self.objects[n].is_redrawn);
                    if let Some(part) = shown.part.filter(|_| is_redrawn) {
                        let part = squared(part, &composition.canvas);
                        for (at, n) in [(4, part.x), (6, part.y), (8, part.width), (10, part.height)] {
                            payload[shown.at + at..shown.at + at + 2].copy_from_slice(&bytes(n));
                        }
                    }
                }
                relaid.counts.pictures += u64::from(!composition.shown.is_empty());
                relaid.counts.moved += u64::from(composition.moved);
            } else if let (kind::WINDOWS, Some(canvas)) = (segment.kind, canvas) {
                // Behind their count.
                for window in payload.get_mut(1..).unwrap_or_default().chunks_exact_mut(9) {
                    let place = windows.get(&window[0]).copied();
                    let place = moved(window, place, &canvas);
                    for (at, n) in [(1, place.x), (3, place.y), (5, place.width), (7, place.height)] {
                        window[at..at + 2].copy_from_slice(&bytes(n));
                    }
                }
            }
            relaid.bytes.extend_from_slice(header);
            relaid.bytes.extend(payload);
        }
        self.odd.into_iter().for_each(|at| relaid.counts.odd(at));
    }

    /// The payloads of the segments that define an object as it is drawn anew.
    fn redrawn(&self, object: &Object) -> Vec<Vec<u8>> {
        let head = &self.file[self.segments[object.segments[0]].payload.clone()][..3];
        let Some((bitmap, seen)) = object.bitmap().zip(object.seen.as_ref()) else { return Vec::new() };
        let bitmap = bitmap.of(&seen.rows.list(), &seen.columns.list());
        let runs = encode(&bitmap);
        // The length counts the size, too.
        let length = ((runs.len() + 4) as u32).to_be_bytes();
        let size = [bytes(bitmap.width as i64), bytes(bitmap.height() as i64)].concat();
        let data = [&length[1..], &size, &runs].concat();
        let parts: Vec<_> = data.chunks(0xffff - 4).collect();
        let flags = |n: usize| u8::from(n == 0) << 7 | u8::from(n + 1 == parts.len()) << 6;
        parts.iter().enumerate().map(|(n, part)| [head, &[flags(n)], part].concat()).collect()
    }
}

impl Shown {
    /// What there is to be seen of it, in square pixels of the whole canvas.
    fn seen(&self, objects: &[Object], canvas: &Canvas) -> Rect {
        let (x, y) = canvas.squared(self.x, self.y);
        let all = |(width, height)| Rect { x, y, width: width as i64, height: height as i64 };
        match (self.object.map(|n| &objects[n]), self.part) {
            (_, Some(part)) => Rect { x, y, ..squared(part, canvas) },
            (Some(Object { seen: Some(seen), .. }), None) => seen.on(x, y),
            (Some(object), None) => all(canvas.size(object.width, object.height)),
            (None, None) => all(canvas.size(1, 1)),
        }
    }
}

/// Column, row, columns and rows in square pixels.
fn squared([left, top, width, height]: [usize; 4], canvas: &Canvas) -> Rect {
    let ((x, y), (right, bottom)) = (canvas.squared(left, top), canvas.squared(left + width, top + height));
    Rect { x, y, width: right - x, height: bottom - y }
}

/// All of an object of which what is seen comes to stand at `place`.
fn whole(object: &Object, place: Rect) -> Rect {
    match &object.seen {
        Some(Seen { part, size: (width, height), .. }) => {
            Rect { x: place.x - part.x, y: place.y - part.y, width: *width as i64, height: *height as i64 }
        }
        None => place,
    }
}

/// Where the nine bytes of a window come to say that it is: where it was over the picture if all that is shown in it is
/// there, else where that is; and where nothing is, what is left of it.
fn moved(window: &[u8], shown: Option<Rect>, canvas: &Canvas) -> Rect {
    let was = squared([1, 3, 5, 7].map(|at| be16(window, at).unwrap_or(0)), canvas);
    let (x, y) = (was.x - canvas.left as i64, was.y - canvas.top as i64);
    let was = Rect { x, y, ..was };
    match shown {
        Some(shown) if was.union(shown) == was && was.is_within(canvas) => was,
        Some(shown) => shown,
        None => {
            let (width, height) = (canvas.width as i64, canvas.height as i64);
            let (x, y) = (x.clamp(0, width - 1), y.clamp(0, height - 1));
            let end = |end: i64, most: i64, from: i64| end.clamp(from + 1, most) - from;
            Rect { x, y, width: end(was.x + was.width, width, x), height: end(was.y + was.height, height, y) }
        }
    }
}
