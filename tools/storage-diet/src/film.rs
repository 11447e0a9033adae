//! The film that a job is made from: which file it is, by its bytes and not by its name.

use cli::{Error, Result, reason};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Samples of a file's bytes: so many, spread evenly with the first at its beginning and the last at its end, each so long. A
/// file that is no larger than all of them is read whole.
const SAMPLES: u64 = 256;
const SAMPLE: u64 = 64 << 10;

/// A film's file, known again whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its size.
    pub bytes: u64,
    /// When it was last written, in seconds since 1970. A copy has another time and is the same film.
    pub modified_s: i64,
    /// SHA-256 of its size and of samples of its bytes, in lower-case hexadecimal.
    pub sha256: String,
}

impl Source {
    /// Reads what a file is known by.
    ///
    /// Errors: there is none, it is no file, it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |e: &io::Error| Error::failed(path.display(), reason(e));
        let kind = path.metadata().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::failed(path.display(), "no such file"),
            _ => failed(&e),
        })?;
        if !kind.is_file() {
            let what = if kind.is_dir() { "is a folder" } else { "is not a file" };
            return Err(Error::failed(
                path.display(),
                format!("{what}; a film is one file, such as a remux in Matroska"),
            ));
        }
        let file = File::open(path).map_err(|e| failed(&e))?;
        let sha256 = sampled(&file, kind.len()).map_err(|e| failed(&e))?;
        Ok(Self { bytes: kind.len(), modified_s: kind.mtime(), sha256 })
    }

    /// Is that the same film? Errors: what differs.
    pub fn same(&self, now: &Self) -> std::result::Result<(), String> {
        if self.bytes != now.bytes {
            Err(format!("had {} bytes then, has {} now", self.bytes, now.bytes))
        } else if self.sha256 != now.sha256 {
            let when = if self.modified_s == now.modified_s { "" } else { ", and it was written since" };
            Err(format!("has as many bytes as then, but others{when}"))
        } else {
            Ok(())
        }
    }
}

fn sampled(file: &File, bytes: u64) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(bytes.to_le_bytes());
    let mut buffer = vec![0; SAMPLE as usize];
    let last = bytes.saturating_sub(SAMPLE);
    let mut read = |at: u64| -> io::Result<()> {
        let length = SAMPLE.min(bytes - at) as usize;
        file.read_exact_at(&mut buffer[..length], at)?;
        hash.update(&buffer[..length]);
        Ok(())
    };
    if bytes <= SAMPLES * SAMPLE {
        (0..bytes).step_by(SAMPLE as usize).try_for_each(&mut read)?;
    } else {
        (0..SAMPLES)
            .map(|i| (u128::from(last) * u128::from(i) / u128::from(SAMPLES - 1)) as u64)
            .try_for_each(&mut read)?;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A folder that a path names, made where it is missing; what it is called where it is.
pub(crate) fn folder(path: &Path) -> Result<PathBuf> {
    let failed = |e: &io::Error| Error::failed(path.display(), reason(e));
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        durable::create_folder(folder).map_err(|e| failed(&e))?;
    }
    path.canonicalize().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_is_known_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            Source::read(&folder.path().join(name)).unwrap()
        };
        let small = write("a", b"film");
        assert!(small.same(&write("b", b"film")).is_ok());
        assert_eq!(small.same(&write("c", b"filn")), Err("has as many bytes as then, but others".into()));
        assert_eq!(small.same(&write("d", b"films")), Err("had 4 bytes then, has 5 now".into()));
        let mut large = vec![7; (SAMPLES * SAMPLE + 5) as usize];
        let whole = write("e", &large);
        *large.last_mut().unwrap() = 8;
        assert!(whole.same(&write("f", &large)).is_err());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let said = Source::read(folder.path()).unwrap_err().to_string();
        assert!(said.ends_with(": is a folder; a film is one file, such as a remux in Matroska"), "{said}");
    }
}
