//! What is given for a film and is none yet: a disc's folder, its image, a part of its film, nothing at all. Each with the line
//! that makes a film of it.

use crate::program::Program;
use cli::{Error, Result, reason};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Refuses what is no film by itself. What is not there is left to be found out by whoever reads it.
///
/// Errors: a folder of a DVD, an image of one, a `.vob` of several that are one film, an empty file.
pub fn check(path: &Path) -> Result<()> {
    let shown = path.display();
    let failed = |why: String| Err(Error::failed(shown, why));
    let quoted = |path: &Path| shell_words::quote(&path.to_string_lossy()).into_owned();
    let Ok(kind) = path.metadata() else { return Ok(()) };
    if kind.is_dir() {
        let Some(first) = largest_title(path) else { return Ok(()) };
        let line = format!("`mkvmerge -o film.mkv {}` makes a film of its largest title set", quoted(&first));
        return failed(format!("is the folder of a DVD; {line}"));
    }
    if !kind.is_file() {
        return Ok(());
    }
    if kind.len() == 0 {
        return failed("is empty".into());
    }
    if let Some((title, part)) = path.file_name().and_then(|name| title_and_part(&name.to_string_lossy())) {
        let parts = path.parent().map(parts).unwrap_or_default().remove(&title).unwrap_or_default();
        if part > 0 && parts.len() > 1 {
            let (n, first) = (parts.len(), quoted(&parts[0].path));
            return failed(format!(
                "is one of {n} parts of a film; `mkvmerge -o film.mkv {first}` makes a film of all of them"
            ));
        }
    }
    if is_image(path)? {
        let line = match has_dvdvideo() {
            true => format!(
                "`ffmpeg -f dvdvideo -i {} -map 0 -c copy film.mkv` makes a film of its first title",
                quoted(path)
            ),
            false => format!(
                "`bsdtar -x -f {} VIDEO_TS` unpacks its films, and SRC=VIDEO_TS says what is next",
                quoted(path)
            ),
        };
        return failed(format!("is the image of a disc; {line}"));
    }
    Ok(())
}

/// A file `VTS_nn_m.VOB`.
struct Part {
    number: u64,
    bytes: u64,
    path: PathBuf,
}

/// `(nn, m)` of `VTS_nn_m.VOB`, in capitals or not.
fn title_and_part(name: &str) -> Option<(u64, u64)> {
    let name = name.to_ascii_uppercase();
    let (title, part) = name.strip_prefix("VTS_")?.strip_suffix(".VOB")?.split_once('_')?;
    Some((title.parse().ok()?, part.parse().ok()?))
}

/// The parts of each title set in a folder, in their order; part 0 is its menu and no film.
fn parts(folder: &Path) -> BTreeMap<u64, Vec<Part>> {
    let mut titles = BTreeMap::<u64, Vec<Part>>::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some((title, number)) = title_and_part(&entry.file_name().to_string_lossy()) else { continue };
        let bytes = entry.metadata().map_or(0, |meta| meta.len());
        if number > 0 {
            titles.entry(title).or_default().push(Part { number, bytes, path: entry.path() });
        }
    }
    titles.values_mut().for_each(|parts| parts.sort_by_key(|part| part.number));
    titles
}

/// The first part of the title set with most bytes, of a disc's folder or of its `VIDEO_TS`.
fn largest_title(folder: &Path) -> Option<PathBuf> {
    let inner = [folder.join("VIDEO_TS"), folder.join("video_ts"), folder.to_owned()];
    let titles = inner.iter().map(|folder| parts(folder)).find(|titles| !titles.is_empty())?;
    let bytes = |parts: &Vec<Part>| parts.iter().map(|part| part.bytes).sum::<u64>();
    // Of two that are as large, the first.
    let largest = titles.into_values().rev().max_by_key(bytes)?;
    largest.into_iter().next().map(|part| part.path)
}

/// Is it an image of a disc: ISO 9660, which DVDs have beside UDF, or UDF alone?
fn is_image(path: &Path) -> Result<bool> {
    let failed = |e: std::io::Error| Error::failed(path.display(), reason(&e));
    let file = File::open(path).map_err(failed)?;
    // The first volume descriptor is in sector 16 (ECMA-119, 8.1; ECMA-167, part 3, 9.1).
    let mut identifier = [0; 5];
    let read = file.read_exact_at(&mut identifier, 16 * 2048 + 1);
    Ok(read.is_ok() && [b"CD001", b"BEA01"].contains(&&identifier))
}

/// Can this machine's ffmpeg read discs?
fn has_dvdvideo() -> bool {
    let demuxers = Program::ffmpeg().arg("-demuxers").output().unwrap_or_default();
    String::from_utf8_lossy(&demuxers).split_whitespace().any(|word| word == "dvdvideo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_title_set_is_the_film() {
        let disc = tempfile::tempdir().unwrap();
        let folder = disc.path().join("VIDEO_TS");
        fs::create_dir(&folder).unwrap();
        let said = |path: &Path| check(path).unwrap_err().to_string();
        for (name, bytes) in [
            ("VTS_01_1.VOB", 3),
            ("VTS_02_0.VOB", 9),
            ("VTS_02_1.VOB", 2),
            ("VTS_02_2.VOB", 2),
            ("VIDEO_TS.IFO", 1),
        ] {
            fs::write(folder.join(name), vec![0; bytes]).unwrap();
        }
        let first = folder.join("VTS_02_1.VOB");
        let line = format!("`mkvmerge -o film.mkv {}` makes a film of", first.display());
        for path in [disc.path(), &folder] {
            let want = format!("{}: is the folder of a DVD; {line} its largest title set", path.display());
            assert_eq!(said(path), want);
        }
        let second = folder.join("VTS_02_2.VOB");
        let want = format!("{}: is one of 2 parts of a film; {line} all of them", second.display());
        assert_eq!(said(&second), want);
        assert!(check(&folder.join("VTS_01_1.VOB")).is_ok());
    }

    #[test]
    fn what_is_no_disc_is_no_concern() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path()).is_ok());
        assert!(check(&folder.path().join("none")).is_ok());
        let path = folder.path().join("film.mkv");
        fs::write(&path, "no film").unwrap();
        assert!(check(&path).is_ok());
        fs::write(&path, "").unwrap();
        assert_eq!(check(&path).unwrap_err().to_string(), format!("{}: is empty", path.display()));
    }
}
