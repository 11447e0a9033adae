//! Generated pictures on generated canvases: what is within what is left stays where it is, pixel for pixel if pixels are
//! square, and to within a pixel if they are made square; everything else comes to stand within it. And bytes of every kind: nothing that is not asked for changes.

use proptest::{collection::vec, prelude::*};
use std::process::Command;
use subpicture::{
    Bitmap,
    pgs::{self, kind, segments},
    program::{Packet, Subpictures, units},
    spu::{self, Area, command, commands, sequences},
};
use subs_canvas::{Canvas, Counts, Kept, sup, vobsub};

const CANVAS: (usize, usize) = (90, 72);

/// A bitmap and where on the canvas it stands.
#[derive(Clone, Debug)]
struct Drawn {
    bitmap: Bitmap,
    x: usize,
    y: usize,
}

/// Pixels of a canvas: what is opaque there.
fn canvas(drawn: &[Drawn], (width, height): (usize, usize)) -> Vec<u8> {
    let mut pixels = vec![0; width * height];
    for Drawn { bitmap, x, y } in drawn {
        for (row, line) in bitmap.rows().enumerate() {
            for (column, &pixel) in line.iter().enumerate().filter(|(_, pixel)| **pixel > 0) {
                assert!(x + column < width && y + row < height, "a pixel at {}, {}", x + column, y + row);
                pixels[(y + row) * width + x + column] = pixel;
            }
        }
    }
    pixels
}

/// The same in square pixels, by repeating rows and columns.
fn square(Drawn { bitmap, x, y }: &Drawn, Canvas { old, whole, .. }: &Canvas) -> Drawn {
    let side = |n: usize, old: usize, new: usize| (n as f64 * new as f64 / old as f64).round() as usize;
    let repeated = |n: usize, old: usize, new: usize| -> Vec<_> {
        let square = side(n, old, new).max(1);
        (0..square).map(|at| ((at as f64 + 0.5) * n as f64 / square as f64) as usize).collect()
    };
    let rows = repeated(bitmap.height(), old.height, whole.height);
    let columns = repeated(bitmap.width, old.width, whole.width);
    let (x, y) = (side(*x, old.width, whole.width), side(*y, old.height, whole.height));
    Drawn { bitmap: bitmap.of(&rows, &columns), x, y }
}

/// Each pixel that is seen on the one canvas is seen on the other, no further than a pixel from where it was over the
/// picture.
fn are_near(old: &[u8], new: &[u8], left: &Canvas) -> bool {
    let places = |pixels: &[u8], width: usize| -> Vec<_> {
        let seen = pixels.iter().enumerate().filter(|(_, pixel)| **pixel > 0);
        seen.map(|(at, &pixel)| (at % width, at / width, pixel)).collect()
    };
    let (old, new) = (places(old, left.old.width), places(new, left.width));
    let is_near = |a: usize, old: usize, whole: usize, b: usize| {
        let pixel = whole as f64 / old as f64;
        let (from, to) = (a as f64 * pixel, (a as f64 + 1.0) * pixel);
        (from - 1.0..=to + 1.0).contains(&(b as f64 + 0.5))
    };
    let same = |a: &(usize, usize, u8), b: &(usize, usize, u8)| {
        a.2 == b.2
            && is_near(a.0, left.old.width, left.whole.width, b.0 + left.left)
            && is_near(a.1, left.old.height, left.whole.height, b.1 + left.top)
    };
    old.iter().all(|a| new.iter().any(|b| same(a, b))) && new.iter().all(|b| old.iter().any(|a| same(a, b)))
}

/// The part of a canvas in square pixels that is left.
fn cut(pixels: &[u8], left: &Canvas) -> Vec<u8> {
    let rows = pixels.chunks(left.whole.width).skip(left.top).take(left.height);
    rows.flat_map(|row| row[left.left..].iter().take(left.width)).copied().collect()
}

/// Does all of it that is seen stand within what is left? A row that is alone takes the next one with it.
fn stands_within(drawn: &Drawn, left: &Canvas) -> bool {
    let Drawn { bitmap, x, y } = drawn;
    let rows: Vec<_> = bitmap.rows().enumerate().filter(|(_, row)| row.iter().any(|&p| p > 0)).collect();
    let (first, last) = (rows[0].0, rows[rows.len() - 1].0);
    let last = last.max((first + 1).min(bitmap.height() - 1));
    let first = first.min(last - 1);
    let seen = |column: &usize| rows.iter().any(|(_, row)| row[*column] > 0);
    let columns: Vec<_> = (0..bitmap.width).filter(seen).collect();
    let (from, to) = (x + columns[0], x + columns[columns.len() - 1]);
    (left.top..left.top + left.height).contains(&(y + first))
        && y + last < left.top + left.height
        && from >= left.left
        && to < left.left + left.width
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (1usize..=CANVAS.0, 2usize..=CANVAS.1, 0usize..CANVAS.0, 0usize..CANVAS.1).prop_flat_map(
        |(w, h, x, y)| {
            let (x, y) = (x.min(CANVAS.0 - w), y.min(CANVAS.1 - h));
            // Few pixels, so that there are margins.
            vec((0..w * h, 1u8..4), 1..6).prop_map(move |set| {
                let mut pixels = vec![0; w * h];
                set.into_iter().for_each(|(at, colour)| pixels[at] = colour);
                Drawn { bitmap: Bitmap { width: w, pixels }, x, y }
            })
        },
    )
}

/// What is left of a picture over which the canvas has square pixels, wide ones, and tall ones.
fn kept() -> impl Strategy<Value = Kept> {
    let scaled = prop::sample::select(vec![(90usize, 72usize), (128, 72), (180, 160)]);
    scaled.prop_flat_map(|(w, h)| {
        (w / 3..=w, h / 2..=h, 0..w, 0..h).prop_map(move |(width, height, x, y)| {
            let (x, y) = (x.min(w - width), y.min(h - height));
            let crop = format!("{width}:{height}:{x}:{y}");
            Kept::new(format!("{w}x{h}").parse().unwrap(), crop.parse().unwrap()).unwrap()
        })
    })
}

/// The subpicture of a bitmap.
fn subpicture(drawn: &Drawn) -> Vec<u8> {
    with_fields(drawn, &spu::encode(&drawn.bitmap, true))
}

/// The subpicture of a bitmap whose odd rows are these, or the even ones once more where these are none.
fn with_fields(Drawn { bitmap, x, y }: &Drawn, odd: &[u8]) -> Vec<u8> {
    let even = spu::encode(bitmap, false);
    let control = 4 + even.len() + odd.len();
    let word = |n: usize| (n as u16).to_be_bytes();
    let area = Area { left: *x, right: x + bitmap.width - 1, top: *y, bottom: y + bitmap.height() - 1 };
    let first = [
        &word(0)[..],
        &word(control + 24),
        &[command::COLOURS, 0x32, 0x10, command::CONTRAST, 0xff, 0xf0, command::AREA],
        &area.write(),
        &[command::FIELDS],
        &word(4),
        &word(if odd.is_empty() { 4 } else { 4 + even.len() }),
        &[1, command::END],
    ]
    .concat();
    assert_eq!(first.len(), 24);
    let second = [&word(100)[..], &word(control + 24), &[2, command::END]].concat();
    let size = control + 24 + second.len();
    [&word(size)[..], &word(control), &even, odd, &first, &second].concat()
}

/// A program stream of one substream, and its index.
fn stream(spus: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let (mut idx, mut sub) = (format!("# VobSub\nsize: {}x{}\norg: 4, 5\n", CANVAS.0, CANVAS.1), Vec::new());
    for (n, spu) in spus.iter().enumerate() {
        idx += &format!("timestamp: 00:00:{n:02}:000, filepos: {:09x}\n", sub.len());
        for (part, bytes) in spu.chunks(2000).enumerate() {
            let stamp: &[u8] = if part == 0 { &[0x80, 5, 0x21, 0, 1, 0, 1] } else { &[0, 0] };
            let pack =
                [&[0, 0, 1, 0xba, 0x44, 0, 4, 0, 4, 1, 1, 0x89, 0xc3, 0xf8][..], &[0, 0, 1, 0xbd]].concat();
            let length = (stamp.len() + 2 + bytes.len()) as u16;
            let mut sector = [&pack[..], &length.to_be_bytes(), &[0x81], stamp, &[0x20], bytes].concat();
            if let Some(fill) = (2048 - 6usize).checked_sub(sector.len()) {
                sector
                    .extend([&[0, 0, 1, 0xbe][..], &(fill as u16).to_be_bytes(), &vec![0xff; fill]].concat());
            }
            sub.extend(sector);
        }
    }
    (idx.into_bytes(), sub)
}

/// The bitmaps that the subpictures of a stream show.
fn shown(sub: &[u8]) -> Vec<Option<Drawn>> {
    let mut subpictures = Subpictures::default();
    let mut all = Vec::new();
    for unit in units(sub) {
        let Ok(Some(packet)) = Packet::of(sub, &unit.unwrap()) else { continue };
        let Some(places) = subpictures.take(sub, &packet) else { continue };
        let spu: Vec<u8> = places.iter().map(|&at| sub[at]).collect();
        let (mut area, mut fields) = (None, None);
        for sequence in sequences(|at| spu.get(at).copied()) {
            for at in commands(&spu, &sequence).unwrap() {
                match spu[at] {
                    [command::AREA, ref rest @ ..] => area = Area::read(*rest.first_chunk().unwrap()),
                    [command::FIELDS, a, b, c, d] => {
                        fields = Some([[a, b], [c, d]].map(|word| u16::from_be_bytes(word).into()))
                    }
                    _ => {}
                }
            }
        }
        all.push(area.zip(fields).and_then(|(area, fields)| {
            Some(Drawn { bitmap: spu::decode(&spu, fields, area.size())?, x: area.left, y: area.top })
        }));
    }
    all
}

/// Two fields that share their run lengths become two, which have no room: packs are put in, and the index says where what
/// is behind them is.
#[test]
fn what_becomes_longer_gets_further_packs() {
    let pixel =
        |n: usize| if n < 9000 || n % 720 < 20 { 0 } else { (n % 720 * 7 + n / 1440 * 13) as u8 % 5 % 4 };
    let bitmap = Bitmap { width: 720, pixels: (0..720 * 60).map(pixel).collect() };
    let long = with_fields(&Drawn { bitmap, x: 0, y: 60 }, &[]);
    let short = subpicture(&Drawn { bitmap: Bitmap { width: 4, pixels: vec![1; 16] }, x: 300, y: 300 });
    let (idx, sub) = stream(&[long.clone(), short.clone(), short.clone()]);
    let idx = String::from_utf8(idx).unwrap().replace("size: 90x72", "size: 720x576").into_bytes();
    let kept = Kept::new("1024x576".parse().unwrap(), "1024:432:0:72".parse().unwrap()).unwrap();
    let relaid = vobsub(&idx, &sub, &kept, "x.sub");
    let old = shown(&sub)[0].clone().unwrap();
    let new = shown(&relaid.sub.bytes);
    assert_eq!(relaid.sub.counts, Counts { pictures: 3, moved: 0, redrawn: 3, odd: None });
    assert_eq!((new.len(), relaid.sub.bytes.len() % 2048), (3, 0));
    let (packs, first) = ((relaid.sub.bytes.len() - sub.len()) / 2048, new[0].clone().unwrap());
    assert!(packs > 1, "{packs}");
    // Its first twelve rows are empty, its first twenty columns, too: 28 of 1024.
    assert_eq!((first.x, first.y), (28, 0));
    let rows: Vec<_> = (12..60).collect();
    let columns: Vec<_> = (28..28 + first.bitmap.width).map(|n| (2 * n + 1) * 720 / 2048).collect();
    assert!(first.bitmap == old.bitmap.of(&rows, &columns));
    let places = |idx: &[u8]| {
        let lines = str::from_utf8(idx).unwrap().lines().map(str::to_owned);
        lines
            .filter_map(|line| usize::from_str_radix(line.split_once("filepos: ")?.1, 16).ok())
            .collect::<Vec<_>>()
    };
    let (before, after) = (places(&idx), places(&relaid.idx));
    assert_eq!(after, [before[0], before[1] + packs * 2048, before[2] + packs * 2048]);
    let stamp = |at: usize| relaid.sub.bytes[at..].starts_with(&[0, 0, 1, 0xba]);
    assert!(after.into_iter().all(stamp));
}

fn segment(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [b"PG", &[0, 0, 1, 0][..], &[0; 4], &[kind], &length, payload].concat()
}

/// An epoch with a display set for each row of objects, of which the later ones only move what the first has defined.
fn epoch(objects: &[Drawn], moves: &[Vec<(usize, usize)>]) -> Vec<u8> {
    let words = |all: &[usize]| all.iter().flat_map(|&n| (n as u16).to_be_bytes()).collect::<Vec<_>>();
    let mut out = Vec::new();
    for (n, places) in moves.iter().enumerate() {
        let state = if n == 0 { 0x80 } else { 0 };
        let head =
            [&words(&[CANVAS.0, CANVAS.1])[..], &[16, 0, n as u8, state, 0, 0, places.len() as u8]].concat();
        let shown = places
            .iter()
            .enumerate()
            .map(|(id, &(x, y))| [&[0, id as u8, id as u8, 0x40][..], &words(&[x, y])].concat());
        out.extend(segment(kind::COMPOSITION, &[head, shown.collect::<Vec<_>>().concat()].concat()));
        if n == 0 {
            let windows = objects.iter().enumerate().map(|(id, d)| {
                [&[id as u8][..], &words(&[d.x, d.y, d.bitmap.width, d.bitmap.height()])].concat()
            });
            let windows: Vec<_> = windows.collect();
            out.extend(segment(kind::WINDOWS, &[&[windows.len() as u8][..], &windows.concat()].concat()));
            let colours = (0..4).flat_map(|colour| [colour, 200, 128, 128, colour * 80]);
            out.extend(segment(kind::PALETTE, &[0, 0].into_iter().chain(colours).collect::<Vec<_>>()));
            for (id, Drawn { bitmap, .. }) in objects.iter().enumerate() {
                let runs = pgs::encode(bitmap);
                let length = (runs.len() + 4).to_be_bytes();
                let size = words(&[bitmap.width, bitmap.height()]);
                // In two parts.
                let (one, two) = runs.split_at(runs.len() / 2);
                out.extend(segment(
                    kind::OBJECT,
                    &[&[0, id as u8, 0, 0x80], &length[5..], &size, one].concat(),
                ));
                out.extend(segment(kind::OBJECT, &[&[0, id as u8, 0, 0x40], two].concat()));
            }
        }
        out.extend(segment(0x80, &[]));
    }
    out
}

/// What each composition of an epoch shows, each object within the window that it names.
fn compositions(file: &[u8]) -> Vec<((usize, usize), Vec<Drawn>)> {
    let word = |b: &[u8], at: usize| usize::from(u16::from_be_bytes([b[at], b[at + 1]]));
    let all: Vec<_> = segments(file).map(Result::unwrap).collect();
    let payloads = |kind| all.iter().filter(move |s| s.kind == kind).map(|s| &file[s.payload.clone()]);
    let mut objects: Vec<(usize, (usize, usize), Vec<u8>)> = Vec::new();
    for object in payloads(kind::OBJECT) {
        let id = word(object, 0);
        if object[3] & 0x80 != 0 {
            objects.push((id, (word(object, 7), word(object, 9)), object[11..].to_vec()));
        } else {
            objects.last_mut().unwrap().2.extend_from_slice(&object[4..]);
        }
    }
    let windows: Vec<_> = payloads(kind::WINDOWS).next().unwrap()[1..].chunks(9).collect();
    let mut out = Vec::new();
    for composition in payloads(kind::COMPOSITION) {
        let size = (word(composition, 0), word(composition, 2));
        let shown = composition[11..].chunks(8).map(|shown| {
            let (_, (width, height), runs) = &objects.iter().find(|o| o.0 == word(shown, 0)).unwrap();
            let (x, y) = (word(shown, 4), word(shown, 6));
            let window = windows.iter().find(|w| w[0] == shown[2]).unwrap();
            let [left, top, w, h] = [1, 3, 5, 7].map(|at| word(window, at));
            assert!(
                left <= x && x + width <= left + w && top <= y && y + height <= top + h,
                "outside its window"
            );
            assert!(left + w <= size.0 && top + h <= size.1, "a window beyond the canvas");
            assert_eq!(shown[3], 0x40, "forced is forced");
            Drawn { bitmap: pgs::decode(runs, *width, *height).unwrap(), x, y }
        });
        out.push((size, shown.collect()));
    }
    out
}

fn count(pixels: &[u8]) -> usize {
    pixels.iter().filter(|pixel| **pixel > 0).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn subpictures(all in vec(drawn(), 1..4), kept in kept()) {
        let (idx, sub) = stream(&all.iter().map(subpicture).collect::<Vec<_>>());
        let relaid = vobsub(&idx, &sub, &kept, "x.sub");
        prop_assert_eq!(relaid.sub.ending.clone(), Ok(()));
        if kept.is_all() {
            prop_assert!(relaid.idx == idx && relaid.sub.bytes == sub);
            return Ok(());
        }
        let left = kept.of(CANVAS.0, CANVAS.1);
        prop_assert_eq!((relaid.sub.counts.pictures, relaid.sub.counts.odd), (all.len() as u64, None));
        let head = format!("# VobSub\nsize: {}x{}\norg: 0, 0\n", left.width, left.height);
        prop_assert!(relaid.idx.starts_with(head.as_bytes()));
        let new = shown(&relaid.sub.bytes);
        prop_assert_eq!(
            relaid.sub.counts.moved as usize,
            all.iter().filter(|drawn| !stands_within(&square(drawn, &left), &left)).count()
        );
        for (old, new) in all.iter().zip(&new) {
            let (squared, new) = (square(old, &left), new.clone().unwrap());
            let whole = canvas(std::slice::from_ref(&squared), (left.whole.width, left.whole.height));
            prop_assert!(new.x + new.bitmap.width <= left.width && new.y + new.bitmap.height() <= left.height);
            let new = canvas(&[new], (left.width, left.height));
            if stands_within(&squared, &left) {
                prop_assert!(new == cut(&whole, &left));
                prop_assert!(are_near(&canvas(std::slice::from_ref(old), CANVAS), &new, &left));
            }
            prop_assert!(count(&new) > 0);
        }
        // Done twice it is done once.
        let again = vobsub(&relaid.idx, &relaid.sub.bytes, &Kept::new("9x9".parse().unwrap(), "none".parse().unwrap()).unwrap(), "x");
        prop_assert!(again.idx == relaid.idx && again.sub.bytes == relaid.sub.bytes);
    }

    #[test]
    fn epochs(objects in vec(drawn(), 1..3), kept in kept(), moves in vec((0usize..90, 0usize..72), 0..3)) {
        let first: Vec<_> = objects.iter().map(|d| (d.x, d.y)).collect();
        let within = |d: &Drawn, x: usize, y: usize| (x.min(CANVAS.0 - d.bitmap.width), y.min(CANVAS.1 - d.bitmap.height()));
        let later = moves.iter().map(|&(x, y)| objects.iter().map(|d| within(d, x, y)).collect());
        let places: Vec<Vec<_>> = std::iter::once(first).chain(later).collect();
        let file = epoch(&objects, &places);
        let relaid = sup(&file, &kept, "x.sup");
        prop_assert_eq!((relaid.ending, relaid.counts.odd), (Ok(()), None));
        if kept.is_all() {
            prop_assert!(relaid.bytes == file);
            return Ok(());
        }
        let left = kept.of(CANVAS.0, CANVAS.1);
        let new = compositions(&relaid.bytes);
        prop_assert_eq!(new.len(), places.len());
        let mut moved = 0;
        for (places, (size, new)) in places.iter().zip(&new) {
            prop_assert_eq!(*size, (left.width, left.height));
            let old = objects.iter().zip(places).map(|(d, &(x, y))| Drawn { x, y, ..d.clone() });
            let old: Vec<_> = old.collect();
            let new = canvas(new, *size);
            let squared: Vec<_> = old.iter().map(|drawn| square(drawn, &left)).collect();
            if squared.iter().all(|drawn| stands_within(drawn, &left)) {
                let whole = canvas(&squared, (left.whole.width, left.whole.height));
                prop_assert!(new == cut(&whole, &left));
                prop_assert!(old.len() > 1 || are_near(&canvas(&old, CANVAS), &new, &left));
            } else {
                moved += 1;
            }
            prop_assert!(count(&new) > 0);
        }
        prop_assert_eq!(relaid.counts.moved, moved);
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..300), kept in kept()) {
        hold(&bytes, &kept);
    }
}

/// Whatever the bytes are: they are taken or refused, and the whole canvas changes nothing.
fn hold(bytes: &[u8], kept: &Kept) {
    let all = Kept::new("1x1".parse().unwrap(), "none".parse().unwrap()).unwrap();
    let (same, idx) = (sup(bytes, &all, "x"), b"size: 720x576\n");
    assert!(bytes.starts_with(&same.bytes) && (same.ending.is_err() || same.bytes.len() == bytes.len()));
    let same = vobsub(idx, bytes, &all, "x");
    assert!(
        bytes.starts_with(&same.sub.bytes)
            && (same.sub.ending.is_err() || same.sub.bytes.len() == bytes.len())
    );
    let same = vobsub(bytes, b"", &all, "x");
    assert_eq!(same.idx, bytes);
    let relaid = sup(bytes, kept, "x");
    assert_eq!(segments(&relaid.bytes).filter(Result::is_err).count(), 0);
    let relaid = vobsub(bytes, bytes, kept, "x");
    assert_eq!(units(&relaid.sub.bytes).filter(Result::is_err).count(), 0);
}

/// What the fuzzers of subs-retime found worth keeping.
#[test]
fn corpus() {
    let folder = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/../subs-retime/fuzz/corpus.tar.gz");
    let unpacked =
        Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(unpacked.success(), "{archive}");
    let kept = Kept::new("128x72".parse().unwrap(), "100:50:11:7".parse().unwrap()).unwrap();
    let mut files = 0;
    for target in ["sup", "sub", "idx"] {
        for path in folder.path().join("corpus").join(target).read_dir().unwrap().map(Result::unwrap) {
            let file = std::fs::read(path.path()).unwrap();
            hold(&file, &kept);
            for cut in (0..file.len()).step_by(7) {
                hold(&file[..cut], &kept);
                let mut other = file.clone();
                other[cut] ^= 1 << (cut % 8);
                hold(&other, &kept);
            }
            files += 1;
        }
    }
    assert!(files > 50, "{files} files");
}
