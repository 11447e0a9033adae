//! The binary as a process: streams, messages, exit codes.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Standard output, standard error and exit code.
fn ran(folder: &Path, args: &str, input: &[u8]) -> (Vec<u8>, String, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_subs-canvas"))
        .args(args.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A tool that refuses its flags does not wait for its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output.stdout, String::from_utf8(output.stderr).unwrap(), output.status.code())
}

fn segment(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [b"PG", &[0, 0, 1, 0][..], &[0; 4], &[kind], &length, payload].concat()
}

/// A composition on a canvas of that size of an object at `x`, `y` that nothing defines.
fn composition((width, height): (u16, u16), (x, y): (u16, u16)) -> Vec<u8> {
    let [[w1, w0], [h1, h0], [x1, x0], [y1, y0]] = [width, height, x, y].map(u16::to_be_bytes);
    segment(0x16, &[w1, w0, h1, h0, 16, 0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, x1, x0, y1, y0])
}

const CROP: &str = "--scale 1024x576 --crop 1024:432:0:72";

#[test]
fn both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pgs = composition((720, 576), (100, 300));
    assert_eq!(ran(folder, CROP, &pgs), (composition((1024, 432), (142, 228)), String::new(), Some(0)));
    for whole in ["", "--crop none", "--scale 1024x576", "--scale 8x8 --crop 8:8:0:0"] {
        assert_eq!(ran(folder, whole, &pgs), (pgs.clone(), String::new(), Some(0)), "{whole}");
    }
    std::fs::write(folder.join("a.sub"), b"").unwrap();
    let files = format!("{CROP} --sub a.sub --out-sub b.sub");
    for (idx, cut) in [
        ("# VobSub\r\nsize: 720x480\r\norg: 1, 2\r\n", "# VobSub\r\nsize: 853x360\r\norg: 0, 0\r\n"),
        ("# VobSub\r\npalette: 0\r\n", "# VobSub\r\nsize: 1024x432\r\npalette: 0\r\n"),
        ("palette: 0", "size: 1024x432\npalette: 0"),
        ("size: wide\n", "size: 1024x432\n"),
    ] {
        assert_eq!(ran(folder, &files, idx.as_bytes()), (cut.into(), String::new(), Some(0)), "{idx}");
        assert_eq!(std::fs::read(folder.join("b.sub")).unwrap(), b"");
    }
}

#[test]
fn usage_and_input_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pgs = composition((720, 576), (100, 300));
    std::fs::write(folder.join("a.sub"), b"\0\0\x01\xb9\0").unwrap();
    let refused = |args: &str, input: &[u8], message: &str, code: i32| {
        let told = (Vec::new(), format!("subs-canvas: {message}\n"), Some(code));
        assert_eq!(ran(folder, args, input), told, "{args}");
    };
    let needs = "--crop: needs --scale WxH, the size of the picture that it is of";
    refused("--crop 1024:432:0:72", &pgs, needs, 2);
    let beyond = "--crop: 1024:432:0:146 reaches beyond the picture of 1024x576";
    refused("--scale 1024x576 --crop 1024:432:0:146", &pgs, beyond, 2);
    refused("--sub a.sub --out-sub b.sub", &pgs, "--sub: belongs to the index of VobSub; <stdin> is PGS", 2);
    refused("--sub a.sub --out-sub a.sub", b"#", "--out-sub: a.sub is the input", 2);
    refused("--sub no.sub --out-sub b.sub", b"#", "no.sub: cannot read: No such file or directory", 1);
    let neither = "<stdin>: neither PGS nor, with --sub and --out-sub, the index of VobSub";
    refused(CROP, b"# VobSub", neither, 1);
    refused(CROP, b"", "<stdin>: ended before the first byte", 3);
    // What is whole is written.
    let torn = [&pgs[..], b"PG"].concat();
    let told = "subs-canvas: <stdin>: byte 32: ends inside a segment's header\n";
    assert_eq!(ran(folder, CROP, &torn), (composition((1024, 432), (142, 228)), told.into(), Some(3)));
    let told = "subs-canvas: a.sub: byte 4: ends inside a packet\n";
    assert_eq!(ran(folder, "--sub a.sub --out-sub b.sub", b"#\n"), (b"#\n".to_vec(), told.into(), Some(3)));
    assert_eq!(std::fs::read(folder.join("b.sub")).unwrap(), b"\0\0\x01\xb9");
    let odd = [pgs, segment(0x15, &[0, 0, 0, 0xc0, 0, 0, 5, 0, 2, 0, 2, 1])].concat();
    let (_, said, code) = ran(folder, CROP, &odd);
    let told = "subs-canvas: <stdin>: byte 32: a picture that cannot be read, moved as far as can be\n";
    assert_eq!((said.as_str(), code), (told, Some(0)));
}
