//! Files that a tool writes beside its standard output.

use crate::{Error, Result};
use std::{fs::File, os::unix::fs::MetadataExt, path::Path};

/// Creates the file that `flag` names, which must not be `input`: that is read while this is written.
///
/// Errors: usage where it is `input`; it cannot be written.
pub fn create_beside(flag: &str, path: &Path, input: &Path) -> Result<File> {
    let identity = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino()));
    if identity(path).is_ok_and(|out| identity(input).is_ok_and(|input| input == out)) {
        return Err(Error::usage(flag, format!("{} is the input", path.display())));
    }
    File::create(path).map_err(|e| Error::cannot("write", path.display(), &e))
}
