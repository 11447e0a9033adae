//! PGS and VobSub: streams made here, stamps read back by a reader of the test's own.

use std::process::Command;
use subs_retime::{Format, Map, Scanned};
use timebase::{Rational, Retime};

fn map(from: i64, to: i64) -> Map<'static> {
    let (from, to) = (Rational::whole(from), Rational::whole(to));
    Map { instants: Retime::between(from, to).unwrap(), frame_rate: from, cuts: &[] }
}

fn shifted(seconds: i64) -> Map<'static> {
    let map = map(1, 1);
    Map { instants: map.instants.shifted(Rational::whole(seconds)), ..map }
}

/// A PGS segment.
fn segment(pts: u32, dts: u32, payload: &[u8]) -> Vec<u8> {
    [
        b"PG",
        &pts.to_be_bytes()[..],
        &dts.to_be_bytes(),
        &[0x16],
        &(payload.len() as u16).to_be_bytes(),
        payload,
    ]
    .concat()
}

fn sup(segments: &[(u32, u32)]) -> Vec<u8> {
    // A payload that looks like a header must not be taken for one.
    segments.iter().flat_map(|&(pts, dts)| segment(pts, dts, &segment(pts, dts, b"PG"))).collect()
}

fn pgs(file: &[u8], map: Map) -> (Vec<u8>, Result<(), String>) {
    let retimed = Scanned::new(file, Format::Sup, &map).retime(map, "x.sup").unwrap();
    (retimed.bytes, retimed.ending.map_err(|e| e.to_string()))
}

#[test]
fn pgs_stamps() {
    let before = [(0, 0), (43_200, 43_188), (43_200, 0), (176_400, 176_399), (176_400, 176_400)];
    let after = [(0, 0), (45_000, 44_988), (45_000, 0), (183_750, 183_749), (183_750, 183_750)];
    let payloads = |times: &[(u32, u32)]| -> Vec<u8> {
        let inner = before.iter().map(|&(pts, dts)| segment(pts, dts, b"PG"));
        times.iter().zip(inner).flat_map(|(&(pts, dts), inner)| segment(pts, dts, &inner)).collect()
    };
    assert_eq!(pgs(&sup(&before), map(25, 24)), (payloads(&after), Ok(())));
    assert_eq!(pgs(&payloads(&after), map(24, 25)), (sup(&before), Ok(())));
}

/// SupMover's `resync 25/24` multiplies in floating point and rounds as we do: `round((double)pts * (25.0 / 24))`
/// (github.com/MonoS/SupMover, main.cpp at 8968b7c). Up to where its 32 bits are full, that is the same.
#[test]
fn pgs_stamps_are_supmovers() {
    let last = u32::MAX / 25 * 24;
    let stamps: Vec<u32> = (0..200_000).map(|n| (n * (last / 200_000)) + n % 24).collect();
    let file: Vec<u8> = stamps.iter().flat_map(|&pts| segment(pts, 0, b"")).collect();
    let theirs = stamps.iter().map(|&pts| (f64::from(pts) * (25.0 / 24.0)).round() as u32);
    let theirs: Vec<u8> = theirs.flat_map(|pts| segment(pts, 0, b"")).collect();
    assert!(pgs(&file, map(25, 24)).0 == theirs);
}

#[test]
fn pgs_wraps_after_thirteen_hours() {
    let wrap = 1u64 << 32;
    // Before the wrap at 47,721.86 s, just before it, decoded before and shown after it, after it.
    let times = [40_000u64, 47_721, 47_722, 48_000].map(|s| s * 90_000);
    let file: Vec<u8> =
        times.iter().flat_map(|&t| segment((t % wrap) as u32, ((t - 90_000) % wrap) as u32, b"")).collect();
    let (slow, _) = pgs(&file, map(25, 24));
    for (i, t) in times.iter().enumerate() {
        let stamp = |at: usize| u64::from(u32::from_be_bytes(slow[13 * i + at..][..4].try_into().unwrap()));
        assert_eq!(stamp(2), t * 25 / 24 % wrap);
        assert_eq!(stamp(6), (t - 90_000) * 25 / 24 % wrap);
    }
    assert_eq!(pgs(&slow, map(24, 25)).0, file);
}

#[test]
fn pgs_shift() {
    // A picture that would have to be decoded before zero is decoded at once.
    assert_eq!(pgs(&segment(270_000, 90_000, b""), shifted(-2)).0, segment(90_000, 0, b""));
    assert_eq!(pgs(&segment(270_000, 0, b""), shifted(-2)).0, segment(90_000, 0, b""));
    let map = shifted(-4);
    let error = Scanned::new(&segment(270_000, 0, b""), Format::Sup, &map).retime(map, "x.sup").unwrap_err();
    assert_eq!(error.to_string(), "x.sup: byte 2: shifted to before zero");
}

#[test]
fn torn_pgs_ends_after_the_last_whole_segment() {
    let file = [segment(24, 0, b"abc"), segment(48, 0, b"defg")].concat();
    for cut in 0..file.len() {
        let (bytes, ending) = pgs(&file[..cut], map(25, 24));
        let whole = if cut < 16 { 0 } else { 16 };
        let expected = match cut - whole {
            0 => Ok(()),
            n if n < 13 => Err(format!("x.sup: byte {whole}: ends inside a segment's header")),
            n => Err(format!(
                "x.sup: byte {whole}: ends inside a segment, {} of {} bytes in",
                n - 13,
                if whole == 0 { 3 } else { 4 }
            )),
        };
        assert_eq!((bytes, ending), (segment(25, 0, b"abc")[..whole].to_vec(), expected), "{cut}");
    }
}

/// 33 bits between marker bits, as in a PES header: `tag` in the upper four.
fn stamp(tag: u8, t: u64) -> [u8; 5] {
    [
        tag << 4 | (t >> 29) as u8 & 14 | 1,
        (t >> 22) as u8,
        (t >> 14) as u8 | 1,
        (t >> 7) as u8,
        (t << 1) as u8 | 1,
    ]
}

/// A pack header (ISO 13818-1, 2.5.3.3) of a clock at `base` ticks of 90 kHz and `ext` of 27 MHz, and then `packets`.
fn pack(base: u64, ext: u64, packets: &[u8]) -> Vec<u8> {
    let scr = 0b01u64 << 46
        | (base >> 30 & 7) << 43
        | 1 << 42
        | (base >> 15 & 0x7fff) << 27
        | 1 << 26
        | (base & 0x7fff) << 11
        | 1 << 10
        | ext << 1
        | 1;
    let mut pack = [&[0, 0, 1, 0xba], &scr.to_be_bytes()[2..], &[1, 0x89, 0xc3, 0xf8]].concat();
    pack.extend_from_slice(packets);
    pack
}

/// A private packet of substream 0x20.
fn packet(pts: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let header: Vec<u8> = pts.map_or(vec![], |pts| stamp(2, pts).to_vec());
    let length = (3 + header.len() + 1 + payload.len()) as u16;
    let flags = if pts.is_some() { 0x80 } else { 0 };
    [
        &[0, 0, 1, 0xbd][..],
        &length.to_be_bytes(),
        &[0x81, flags, header.len() as u8],
        &header,
        &[0x20],
        payload,
    ]
    .concat()
}

/// A padding packet that fills a pack of `used` bytes up to a sector.
fn padding(used: usize) -> Vec<u8> {
    let length = 2048 - used - 6;
    [&[0, 0, 1, 0xbe][..], &(length as u16).to_be_bytes(), &vec![0xff; length]].concat()
}

/// A subpicture of 3000 bytes whose control sequences start and stop the display after `start` and `stop` units.
fn subpicture(start: u16, stop: u16) -> Vec<u8> {
    let mut spu = vec![0x5a; 3000];
    spu[..4].copy_from_slice(&[0x0b, 0xb8, 0x0b, 0x00]);
    // The first sequence at 2816, the second at 2900, each: delay, next, commands.
    spu[2816..2822].copy_from_slice(&[(start >> 8) as u8, start as u8, 0x0b, 0x54, 0x01, 0xff]);
    spu[2900..2906].copy_from_slice(&[(stop >> 8) as u8, stop as u8, 0x0b, 0x54, 0x02, 0xff]);
    spu
}

/// Two sectors with a subpicture at `pts` that is cut in two after `cut` bytes.
fn sub(scr: u64, ext: u64, pts: u64, spu: &[u8], cut: usize) -> Vec<u8> {
    let sector = |packet: &[u8]| {
        let pack = pack(scr, ext, packet);
        let fill = padding(pack.len());
        [pack, fill].concat()
    };
    [sector(&packet(Some(pts), &spu[..cut])), sector(&packet(None, &spu[cut..]))].concat()
}

fn vobsub(file: &[u8], map: Map) -> Vec<u8> {
    let retimed = Scanned::sub(file).retime(map, "x.sub").unwrap();
    retimed.ending.unwrap();
    retimed.bytes
}

#[test]
fn vobsub_stamps_and_durations() {
    for cut in [1500, 1999] {
        let before = sub(43_200, 120, 43_200, &subpicture(0, 240), cut);
        let after = sub(45_000, 125, 45_000, &subpicture(0, 250), cut);
        assert!(vobsub(&before, map(25, 24)) == after, "{cut}");
        assert!(vobsub(&after, map(24, 25)) == before, "{cut}");
    }
    let spu = |delay| {
        let mut spu = subpicture(24, delay);
        // The control sequences begin at 1989 and the first delay lies across the packets.
        spu.copy_within(2816..2822, 1989);
        spu[2..4].copy_from_slice(&1989u16.to_be_bytes());
        spu[2816..2822].fill(0x5a);
        spu
    };
    let slow = {
        let mut spu = spu(4854);
        spu[1990] = 25;
        spu
    };
    let (before, after) = (sub(0, 0, 90_000, &spu(4660), 1990), sub(0, 0, 93_750, &slow, 1990));
    assert!(vobsub(&before, map(25, 24)) == after);
}

#[test]
fn vobsub_sequences_that_overlap_are_none() {
    let mut spu = subpicture(24, 48);
    // The control sequences are said to begin in the head itself, and then the second inside the first.
    for (at, start) in [(2, 1u16), (2, 3), (2818, 2819)] {
        let mut broken = spu.clone();
        broken[at..at + 2].copy_from_slice(&start.to_be_bytes());
        let slow = vobsub(&sub(0, 0, 24, &broken, 1000), map(25, 24));
        if at == 2818 {
            broken[2816..2818].copy_from_slice(&[0, 25]);
        }
        assert!(slow == sub(0, 0, 25, &broken, 1000), "{at} {start}");
    }
    spu[2816..2818].copy_from_slice(&[0, 25]);
    spu[2900..2902].copy_from_slice(&[0, 50]);
    assert!(vobsub(&sub(0, 0, 24, &subpicture(24, 48), 1000), map(25, 24)) == sub(0, 0, 25, &spu, 1000));
}

#[test]
fn vobsub_wraps_after_twenty_six_hours() {
    let wrap = 1u64 << 33;
    let times = [80_000u64, 95_443, 95_444, 96_000].map(|s| s * 90_000);
    let film = |ratio: fn(u64) -> u64, delay| -> Vec<u8> {
        times
            .iter()
            .flat_map(|&t| sub(ratio(t) % wrap, 0, ratio(t) % wrap, &subpicture(0, delay), 1000))
            .collect()
    };
    let (before, after) = (film(|t| t, 24), film(|t| t * 25 / 24, 25));
    assert!(vobsub(&before, map(25, 24)) == after);
    assert!(vobsub(&after, map(24, 25)) == before);
}

#[test]
fn vobsub_delay_beyond_its_field() {
    let file = sub(0, 0, 0, &subpicture(0, 65_000), 1000);
    let error = Scanned::sub(&file).retime(map(25, 24), "x.sub").unwrap_err();
    assert_eq!(error.to_string(), "x.sub: byte 3972: 67708 is none of 0 to 65534, which fit here");
    let no_end = subpicture(24, 65_535);
    let slow = vobsub(&sub(0, 0, 24, &no_end, 1000), map(25, 24));
    assert!(slow == sub(0, 0, 25, &subpicture(25, 65_535), 1000), "no end stays no end");
}

#[test]
fn torn_vobsub() {
    let file = sub(0, 0, 24, &subpicture(0, 24), 1000);
    for cut in [1, 5, 13, 20, 100, 2047, 2049, 3500, 4095] {
        let retimed = Scanned::sub(&file[..cut]).retime(map(25, 24), "x.sub").unwrap();
        let error = retimed.ending.unwrap_err();
        assert!(
            error.exit_code() == 3 && error.to_string().ends_with(": ends inside a packet"),
            "{cut}: {error}"
        );
        assert!(retimed.bytes.len() <= cut);
    }
    let retimed = Scanned::sub(b"\0\0\x01\xb9RIFF").retime(map(25, 24), "x.sub").unwrap();
    let message = "x.sub: byte 4: neither a pack nor a packet of a program stream begins here";
    assert_eq!(retimed.ending.unwrap_err().to_string(), message);
}

#[test]
fn both_files_through_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    std::fs::write(path("a.sub"), sub(0, 0, 43_200, &subpicture(0, 240), 1000)).unwrap();
    std::fs::write(path("a.idx"), "timestamp: 00:00:00:480, filepos: 000000000\n").unwrap();
    let run = |out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_subs-retime"))
            .args(["--sub", "a.sub", "--out-sub", out])
            .current_dir(folder.path())
            .stdin(std::fs::File::open(path("a.idx")).unwrap())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code())
    };
    assert_eq!(
        run("b.sub"),
        ("timestamp: 00:00:00:500, filepos: 000000000\n".into(), String::new(), Some(0))
    );
    assert!(std::fs::read(path("b.sub")).unwrap() == sub(0, 0, 45_000, &subpicture(0, 250), 1000));
    std::os::unix::fs::symlink("a.sub", path("c.sub")).unwrap();
    for out in ["a.sub", "c.sub"] {
        assert_eq!(
            run(out),
            (String::new(), format!("subs-retime: --out-sub: {out} is the input\n"), Some(2))
        );
    }
    let missing = "subs-retime: no/b.sub: cannot write: No such file or directory\n";
    assert_eq!(run("no/b.sub"), (String::new(), missing.into(), Some(1)));
}
