//! The promise, as something that a fuzzer or a generator of files can try to break: whatever the bytes are, only times
//! change, they change as the map says, and the way back leads back. Used by the fuzz targets and by
//! `tests/properties.rs`.

use subs_retime::{
    Format, Map, Scanned,
    convert::convert,
    field::{Role, Spelling},
};
use timebase::{Rational, Retime};

fn scanned<'a>(format: Option<Format>, file: &'a [u8], map: &Map) -> Scanned<'a> {
    format.map_or_else(|| Scanned::sub(file), |format| Scanned::new(file, format, map))
}

/// Holds a file to the promise of `target`: a format's name, `sub` for VobSub's second file, or `convert`.
pub fn hold(target: &str, file: &[u8]) {
    match target {
        "convert" => converts(file),
        "sub" => only_times_change(None, file),
        format => only_times_change(Some(format.parse().unwrap()), file),
    }
}

fn only_times_change(format: Option<Format>, file: &[u8]) {
    let map = |from, to| {
        let (from, to) = (Rational::whole(from), Rational::whole(to));
        Map { instants: Retime::between(from, to).unwrap(), frame_rate: Rational::whole(25), cuts: &[] }
    };
    let unchanged = scanned(format, file, &map(1, 1)).retime(map(1, 1), "file").unwrap();
    assert!(file.starts_with(&unchanged.bytes));
    assert!(unchanged.ending.is_err() || unchanged.bytes == file);
    // What is whole of a torn file is the file from here on.
    let file = &unchanged.bytes[..];
    let before = scanned(format, file, &map(1, 1));
    let Ok(there) = before.retime(map(25, 24), "file") else { return };
    let after = scanned(format, &there.bytes, &map(1, 1));
    // A first cue of MicroDVD is a frame rate only while it is one that a film can have.
    let near_zero = |s: &Scanned<'_>| s.fields().any(|(_, f)| f.role == Role::FrameRate && f.ticks < 2000);
    if format == Some(Format::MicroDvd) && near_zero(&before) {
        return;
    }
    assert_eq!(before.fields().count(), after.fields().count());
    let (mut old, mut new) = (0, 0);
    for ((old_at, _), (new_at, _)) in before.fields().zip(after.fields()) {
        assert_eq!(file[old..old_at.start], there.bytes[new..new_at.start], "a byte outside the times");
        (old, new) = (old_at.end, new_at.end);
    }
    assert_eq!(file[old..], there.bytes[new..], "a byte outside the times");
    let Ok(back) = after.retime(map(24, 25), "file") else { return };
    let back = scanned(format, &back.bytes, &map(1, 1));
    for ((_, was), (_, is)) in before.fields().zip(back.fields()) {
        // Stamps of so many bits wrap, and where they begin again is lost with a single one.
        let tick = match was.spelling {
            Spelling::Be32 | Spelling::Pts | Spelling::Scr => continue,
            Spelling::Frames { frame, part, .. } => part.unwrap_or(frame),
            _ => 1,
        };
        assert!(was.clock != is.clock || (was.ticks - is.ticks).abs() <= tick, "{was:?} came back as {is:?}");
    }
}

/// A conversion ends in a file or an error. The first two bytes say from which format to which.
fn converts(file: &[u8]) {
    let [from, to, text @ ..] = file else { return };
    let format = |n: &u8| Format::ALL[usize::from(*n) % Format::ALL.len()];
    let instants = Retime::new(Rational::new(25, 24).unwrap()).unwrap();
    let map = Map { instants, frame_rate: Rational::whole(25), cuts: &[] };
    let _ = convert(&String::from_utf8_lossy(text), format(from), format(to), map);
}
