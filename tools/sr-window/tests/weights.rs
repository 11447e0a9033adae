//! Files that are no checkpoint: refused in one line, without waiting and before they have cost anything.

use std::{
    io::{Cursor, Write},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The opcode of a pickle that says `None`, more often than any network needs.
const NONES: &[u8] = &[b'N'; 5_000_000];

/// The one line that `--info` says of a file.
fn refusal(path: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sr-window"))
        .arg("--info")
        .arg("--weights")
        .arg(path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn refused(path: &Path, reason: &str) {
    assert_eq!(refusal(path), format!("sr-window: {}: not a checkpoint: {reason}\n", path.display()));
}

fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&fifo, &link).unwrap();
    for path in [&fifo, &link, folder.path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
        refused(path, "not a regular file");
    }
    // Behind a link, a file is one.
    let link = folder.path().join("link to a file");
    std::os::unix::fs::symlink(file(&folder, "empty", b""), &link).unwrap();
    refused(&link, "the file is empty");
}

#[test]
fn a_million_tensors_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let empty = |n| format!(r#""t{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    let header = |count| format!("{{{}}}", (0..count).map(empty).collect::<Vec<_>>().join(","));
    let safetensors = |name, header: &str| {
        file(&folder, name, &[&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat())
    };
    let header_of_many = header(1_000_000);
    refused(
        &safetensors("many.safetensors", &header_of_many),
        &format!("a header of {} bytes: no network needs more than 4194304", header_of_many.len()),
    );
    let few = safetensors("few.safetensors", &header(1000));
    assert!(refusal(&few).contains(": no BasicVSR++ in it: of 1000 tensors "), "{}", refusal(&few));
}

#[test]
fn a_pickle_that_grows_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let list = [b"\x80\x02(", NONES, b"l."].concat();
    let reason = format!("a pickle of {} bytes: no network needs more than 4194304", list.len());

    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", stored).unwrap();
    zip.write_all(&list).unwrap();
    refused(&file(&folder, "zip.pth", &zip.finish().unwrap().into_inner()), &reason);

    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(list.len() as u64);
    tar.append_data(&mut header, "pickle", &list[..]).unwrap();
    refused(&file(&folder, "tar.pth", &tar.into_inner().unwrap()), &reason);

    let reason = "pickles of more than 4194304 bytes: no network needs as much";
    refused(&file(&folder, "bare.pth", &list), reason);
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let start = [&magic[..], b"\x80\x02M\xe9\x03.", b"\x80\x02}X\x0d\0\0\0little_endian\x88s."].concat();
    refused(&file(&folder, "legacy.pth", &[&start[..], &list].concat()), reason);
    // What follows the pickles may be as long as it likes.
    let legacy = [&start[..], b"\x80\x02}.", b"\x80\x02].", NONES].concat();
    let said = refusal(&file(&folder, "legacy and data.pth", &legacy));
    assert!(said.contains(": no BasicVSR++ in it: of 0 tensors "), "{said}");
}

#[test]
fn an_archive_of_too_many_entries_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for n in 0..70_000 {
        zip.start_file(format!("archive/data/{n}"), stored).unwrap();
    }
    let path = file(&folder, "entries.pth", &zip.finish().unwrap().into_inner());
    refused(&path, "an archive of 70000 entries: no network needs more than 65536");
}
