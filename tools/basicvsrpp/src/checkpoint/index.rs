//! How much of a PyTorch file names tensors rather than holding them: told before anything is parsed, since a parsed
//! pickle takes fifty times its own size, and a compressed one is a thousand times smaller still.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
};
use zip::ZipArchive;

/// The most bytes of pickle, or of a safetensors header. The largest networks of this kind need a hundredth of it, a
/// tenth with all that a trainer saves beside them.
pub const MAX_BYTES: u64 = 4 << 20;

/// The most entries of a zip archive, one for each tensor.
const MAX_ENTRIES: usize = 1 << 16;

/// The pickles of a tar archive.
const TABLES: [&str; 3] = ["sys_info", "tensors", "pickle"];

/// Refuses a file that says more about its tensors than any network has to say. Other faults are left to the reader.
/// `file` is at its start, `head` is what it begins with.
pub fn check(file: &File, head: &[u8]) -> Result<(), String> {
    let pickle = |bytes: u64| match bytes > MAX_BYTES {
        true => Err(format!("a pickle of {bytes} bytes: no network needs more than {MAX_BYTES}")),
        false => Ok(()),
    };
    if head.starts_with(b"PK") {
        let Ok(mut archive) = ZipArchive::new(BufReader::new(file)) else { return Ok(()) };
        let entries = archive.len();
        if entries > MAX_ENTRIES {
            return Err(format!("an archive of {entries} entries: no network needs more than {MAX_ENTRIES}"));
        }
        for i in 0..entries {
            let Ok(entry) = archive.by_index_raw(i) else { continue };
            if entry.name().is_ok_and(|name| name.ends_with("data.pkl")) {
                pickle(entry.size())?;
            }
        }
        return Ok(());
    }
    if head.get(257..262) == Some(b"ustar") {
        let mut archive = tar::Archive::new(BufReader::new(file));
        let Ok(entries) = archive.entries_with_seek() else { return Ok(()) };
        for entry in entries.map_while(Result::ok) {
            if entry.path().is_ok_and(|path| TABLES.iter().any(|table| path.ends_with(table))) {
                pickle(entry.size())?;
            }
        }
        return Ok(());
    }
    // A bare pickle, or a legacy stream: magic number, version, system, tensors, keys, and then what the tensors hold.
    if !matches!(head.first(), Some(0x80 | 0x8a | b'(' | b'}' | b']' | b'c' | b'L')) {
        return Ok(());
    }
    let mut start = BufReader::new(file.take(MAX_BYTES));
    for _ in 0..5 {
        if skip_pickle(&mut start).is_err() {
            break;
        }
    }
    match start.get_ref().limit() == 0 && start.buffer().is_empty() {
        true => Err(format!("pickles of more than {MAX_BYTES} bytes: no network needs as much")),
        false => Ok(()),
    }
}

/// Reads to the end of a pickle without making anything of it.
fn skip_pickle(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let opcode = byte(reader)?;
        match opcode {
            b'.' => return Ok(()),
            // An argument of fixed size: numbers, places in the memo, protocol, frame.
            b'K' | b'h' | b'q' | 0x80 | 0x82 => skip(reader, 1)?,
            b'M' | 0x83 => skip(reader, 2)?,
            b'J' | b'j' | b'r' | 0x84 => skip(reader, 4)?,
            b'G' | 0x95 => skip(reader, 8)?,
            // Lines of text.
            b'F' | b'I' | b'L' | b'P' | b'S' | b'V' | b'g' | b'p' => skip_line(reader)?,
            b'c' | b'i' => {
                skip_line(reader)?;
                skip_line(reader)?;
            }
            // A length and so many bytes.
            b'U' | b'C' | 0x8a | 0x8c => counted::<1>(reader)?,
            b'B' | b'T' | b'X' | 0x8b => counted::<4>(reader)?,
            0x8d | 0x8e | 0x96 => counted::<8>(reader)?,
            _ => {}
        }
    }
}

fn byte(reader: &mut impl BufRead) -> io::Result<u8> {
    let mut byte = [0];
    reader.read_exact(&mut byte).map(|()| byte[0])
}

fn skip(reader: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    match io::copy(&mut reader.take(bytes), &mut io::sink())? == bytes {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    while byte(reader)? != b'\n' {}
    Ok(())
}

fn counted<const N: usize>(reader: &mut impl BufRead) -> io::Result<()> {
    let mut length = [0; 8];
    reader.read_exact(&mut length[..N])?;
    skip(reader, u64::from_le_bytes(length))
}
