//! Films as discs have them: cut, joined, broken, on another clock, changing on the way. Each one's film is right to 20 ms, or
//! it is refused before the first frame, in one line that says what can be done.
//!
//! Every source has a white frame and a beep each second. Where they are in source and film is found by ffmpeg alone.
//!
//! `cargo test` refuses all that is to be refused and makes a few films, by option4; `TORTURE=full` makes all of them by all three
//! options, and has `make verify` prove each. The table is printed with `--nocapture`; `DISC=words` runs those with such names.

mod list;
mod seen;

use pipelines::{Ended, Run, clip, nearest, shared, shell, tool};
use seen::{Asked, Seen};
use std::{
    cell::OnceCell,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Words that the sources are made with: `film OUT SECONDS SECONDS_OF_SOUND`, whose pictures and sound are `pictures SECONDS` and
/// `beeps SECONDS` to ffmpeg, encoded as `$mpeg` and `$ac3` say. White frames and beeps begin at 0.48 s of each second.
const WORDS: &str = r#"
f() { ffmpeg -v error -nostdin -y "$@"; }
pictures() { echo "testsrc=s=${size:-720x576}:r=${rate:-25}:d=$1,format=yuv420p,lutyuv=y=val/4+16,scroll=h=0.013,drawbox=t=fill:c=white:enable='eq(mod(n,${rate:-25}),12)',setsar=${sar:-64/45}"; }
beeps() { echo "aevalsrc='0.7*sin(6283*t)*between(mod(t-0.48,1),0,0.06)':s=${samples:-48000}:d=$1"; }
mpeg='-c:v mpeg2video -b:v 1500k -g 12 -bf 2 -fps_mode passthrough'
ac3='-c:a ac3 -b:a 192k'
film() { f -f lavfi -i "$(pictures $2)" -f lavfi -i "$(beeps ${3:-$2})" $mpeg $ac3 "$1"; }
missing() { f -f lavfi -i "$(pictures $2),select='not($3)'" -f lavfi -i "$(beeps $2)" $mpeg $ac3 "$1"; }
lost() { dd if=/dev/zero of="$1" bs=2048 count=1 seek=$(($(stat -c %s "$1") * $2 / 100 / 2048)) conv=notrunc status=none; }
of() { head -c $(($(stat -c %s "$1") * $2 / 100)) "$1"; }
concat() { out=$1; shift; printf 'file %s\n' "$@" >list; f -f concat -i list -map 0 -c copy "$out"; }
"#;

/// What is to come of a disc.
enum Becomes {
    /// A film with everything in its place.
    Right,
    /// A film with everything in its place; this is said, where `*` is anything.
    Noted(&'static str),
    /// One line, behind the disc's name, where `*` is anything and `…` how gaps are mended.
    Refused(&'static str),
    /// That, or a film with everything in its place: what a bad sector hits depends on who has made the disc.
    RightOrRefused(&'static str),
}
use Becomes::{Noted, Refused, RightOrRefused};

/// A source, and what is to come of it with which variables.
struct Disc {
    name: &'static str,
    file: &'static str,
    /// Words for bash that make the file.
    made_by: &'static str,
    runs: &'static [(&'static str, Becomes)],
}

const REPAIRS: &str =
    "GAPS=repeat shows the one before for as long, GAPS=cut takes as much out of sound and subtitles";

/// `storage-diet OPTION` on a disc, small and fast.
fn option(name: &str, disc: &Path, out: &Path, more: &[(&str, &str)]) -> Run {
    let small = [
        ("SRC", disc.to_str().unwrap()),
        ("OUT", out.to_str().unwrap()),
        ("ENGINE", nearest()),
        ("SCALE", "64x64"),
        ("WINDOW", "8"),
        ("OVERLAP", "2"),
        ("HEIGHT", "144"),
        ("PRESET", "ultrafast"),
        ("SEGMENT", "200f"),
    ];
    small
        .iter()
        .chain(more)
        .fold(tool("storage-diet", name), |run, (name, value)| run.arg(format!("{name}={value}")))
}

/// Runs a disc: what happened, for the table.
///
/// Errors: that is not what is to happen.
fn runs<'a>(
    disc: &Path,
    seen: &dyn Fn() -> &'a Seen,
    name: &str,
    variables: &str,
    becomes: &Becomes,
) -> Result<String, String> {
    let folder = clip::folder();
    let asked = Asked {
        variables: variables.split_whitespace().filter_map(|word| word.split_once('=')).collect(),
        is_matroska: disc.extension().is_some_and(|extension| extension == "mkv"),
    };
    let Ended { code, stderr, .. } = option(name, disc, folder.path(), &asked.variables).run();
    let said = stderr.trim_end().replace(&format!("{}: ", disc.display()), "");
    let said = said.strip_prefix("storage-diet: ").unwrap_or(&said);
    let film = folder.path().join(name).join("film.mkv");
    if let Refused(why) | RightOrRefused(why) = becomes
        && !(code == 0 && matches!(becomes, RightOrRefused(_)))
    {
        let why = why.replace('…', REPAIRS);
        let is_clean = !folder.path().join(name).exists();
        return match (code, is_like(said, &why), is_clean) {
            (1 | 2, true, true) => Ok("refused".into()),
            (_, _, false) => Err(format!("work is left; exit {code}: {said}")),
            _ => Err(format!("exit {code}: {said}\n  not: {why}")),
        };
    }
    if code != 0 {
        return Err(format!("exit {code}: {said}"));
    }
    let noted = match becomes {
        Noted(words) => words,
        RightOrRefused(_) => "*",
        _ => "",
    };
    if !is_like(said, noted) {
        return Err(format!("said: {said}\n  not: {noted}"));
    }
    let (at, worst) = asked.off(seen(), &Seen::of(&film))?;
    if !is_full() {
        return Ok(told(at, worst));
    }
    let verified = tool("storage-diet", "verify")
        .arg(format!("SRC={}", disc.display()))
        .arg(format!("OUT={}", folder.path().display()))
        .run();
    if verified.code != 0 {
        return Err(format!("verify: {}", verified.stderr));
    }
    Ok(told(at, worst))
}

/// Is it that, where `*` is anything?
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| is_like(&text[at..], rest))
}

fn told([start, middle, end]: [f64; 3], worst: f64) -> String {
    format!("film    {start:+6.1} {middle:+6.1} {end:+6.1} {worst:6.1}")
}

/// Does each thing on a few threads.
fn at_once<T: Sync>(things: &[T], each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().clamp(1, 4));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(thing);
                }
            });
        }
    });
}

fn is_full() -> bool {
    std::env::var_os("TORTURE").is_some_and(|torture| torture == "full")
}

/// Runs discs by the options, and prints the table.
fn matrix(discs: &[Disc]) {
    let (table, wrong) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let only = std::env::var("DISC").unwrap_or_default();
    at_once(discs, |disc| {
        if !disc.name.contains(&only) {
            return;
        }
        let folder = clip::folder();
        let path = folder.path().join(disc.file);
        if let Some(own) = disc.made_by.strip_prefix("shared ") {
            let Some(own) = shared(&format!("cases/{own}")) else { return };
            std::fs::copy(own, &path).unwrap();
        } else {
            if disc.made_by.contains("soft.m2v") {
                pulldown(folder.path());
            }
            shell(&format!("{WORDS}\n{}", disc.made_by)).within(folder.path()).run().ok();
        }
        let seen = OnceCell::new();
        let mut films = 0;
        for (variables, becomes) in disc.runs {
            let is_film = !matches!(becomes, Refused(_));
            films += usize::from(is_film);
            for option in ["option0", "option4", "option5"] {
                let has_time = !is_film || films == 1 && list::SAMPLED.contains(&disc.name);
                let is_sampled = has_time && option == "option4";
                if !is_full() && !is_sampled {
                    continue;
                }
                let row = format!("{:<34} {option} {variables:<20}", disc.name);
                match runs(&path, &|| seen.get_or_init(|| Seen::of(&path)), option, variables, becomes) {
                    Ok(happened) => table.lock().unwrap().push(format!("{row} {happened}")),
                    Err(why) => wrong.lock().unwrap().push(format!("{row} {why}")),
                }
            }
        }
    });
    let (mut table, wrong) = (table.into_inner().unwrap(), wrong.into_inner().unwrap());
    table.sort();
    println!("{:<34} option  {:<20}          start middle    end  worst, ms", "disc", "variables");
    println!("{}", table.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Makes `soft.m2v` in that folder: five seconds of film, 24 pictures a second, of which each twelfth shows its first field once
/// more, so that 25 a second are shown.
fn pulldown(folder: &Path) {
    let film = "rate=24; f -f lavfi -i \"$(pictures 5)\" -r 25 -vf setpts=N/25/TB -c:v mpeg2video -b:v 1500k -g 12 -bf 0 -f mpeg2video -";
    let mut stream = shell(&format!("{WORDS}\n{film}")).within(folder).run().ok().stdout;
    let (mut picture, mut is_top_first) = (0, true);
    for at in 0..stream.len().saturating_sub(9) {
        // ISO/IEC 13818-2, 6.2.2.3 and 6.2.3.1: sequence_extension and picture_coding_extension.
        match (&stream[at..at + 4], stream[at + 4] >> 4) {
            ([0, 0, 1, 0xb5], 1) => stream[at + 5] &= !0x08,
            ([0, 0, 1, 0xb5], 8) => {
                let repeats = picture % 12 == 11;
                stream[at + 7] &= !0x82;
                stream[at + 7] |= u8::from(is_top_first) << 7 | u8::from(repeats) << 1 | 1;
                stream[at + 8] |= 0x80;
                is_top_first ^= repeats;
                picture += 1;
            }
            _ => {}
        }
    }
    std::fs::write(folder.join("soft.m2v"), stream).unwrap();
}

#[test]
fn cut_and_joined() {
    matrix(&list::CUT_AND_JOINED);
}

#[test]
fn on_another_clock() {
    matrix(&list::ON_ANOTHER_CLOCK);
}

#[test]
fn broken() {
    matrix(&list::BROKEN);
}

#[test]
fn changing() {
    matrix(&list::CHANGING);
}

#[test]
fn with_other_sound() {
    matrix(&list::WITH_OTHER_SOUND);
}

#[test]
fn small_inputs_that_failed() {
    matrix(&list::SHARED);
}

#[test]
fn what_is_no_film() {
    let folder = clip::folder();
    let here = |name: &str| folder.path().join(name);
    let made_by = r#"
        : >empty.mkv; echo "no film" >text.mkv
        f -f lavfi -i sine=d=1 -c:a ac3 audio.mkv
        f -f lavfi -i testsrc=s=720x576:r=25:d=0.4 -c:v libx264 -preset ultrafast -pix_fmt yuv420p10le ten.mkv
        mkdir -p dvd/VIDEO_TS; for part in 01_1 02_0 02_1 02_2; do echo part >dvd/VIDEO_TS/VTS_$part.VOB; done
        (head -c 32768 /dev/zero; printf '\001CD001\001\000'; head -c 65536 /dev/zero) >disc.iso
    "#;
    shell(&format!("{WORDS}\n{made_by}")).within(folder.path()).run().ok();
    let shown = |name: &str| here(name).display().to_string();
    let vob = shown("dvd/VIDEO_TS/VTS_02_1.VOB");
    let folder_of_a_dvd =
        format!("is the folder of a DVD; `mkvmerge -o film.mkv {vob}` makes a film of its largest title set");
    let ffv1 = format!(
        "`ffmpeg -i {} -map 0 -c copy -c:v ffv1 -pix_fmt yuv420p film.mkv` makes them that",
        shown("ten.mkv")
    );
    for (name, why) in [
        ("none.mkv", "no such file"),
        ("empty.mkv", "is empty"),
        ("text.mkv", "is no film that ffmpeg knows"),
        ("audio.mkv", "has no pictures"),
        ("ten.mkv", &format!("its pictures are yuv420p10le, and those of PAL discs yuv420p; {ffv1}")),
        ("dvd", &folder_of_a_dvd),
        ("dvd/VIDEO_TS", &folder_of_a_dvd),
        (
            "dvd/VIDEO_TS/VTS_02_2.VOB",
            &format!("is one of 2 parts of a film; `mkvmerge -o film.mkv {vob}` makes a film of all of them"),
        ),
        // By ffmpeg's own demuxer, where it has one.
        ("disc.iso", "is the image of a disc; `*"),
    ] {
        let ended = option("option4", &here(name), &here("out"), &[]).run();
        let said = ended.stderr.trim_end();
        assert!(is_like(said, &format!("storage-diet: {}: {why}", shown(name))), "{said}\n  not: {why}");
        assert_eq!((ended.code, said.lines().count()), (1, 1), "{said}");
        assert!(!here("out").exists(), "{name}: work is left");
    }
}

/// Puts captions (EIA-608, in A/53's user data) behind each picture's header.
fn captioned(stream: &[u8]) -> Vec<u8> {
    let captions = [0, 0, 1, 0xb2, b'G', b'A', b'9', b'4', 3, 0x41, 0xff, 0xfc, 0x94, 0x20, 0xff];
    let mut captioned = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let is_coded =
            stream[at..].starts_with(&[0, 0, 1, 0xb5]) && stream.get(at + 4).is_some_and(|id| id >> 4 == 8);
        // A picture_coding_extension of nine bytes.
        let length = if is_coded { 9.min(stream.len() - at) } else { 1 };
        captioned.extend(&stream[at..at + length]);
        if is_coded {
            captioned.extend(captions);
        }
        at += length;
    }
    captioned
}

#[test]
fn what_is_left_out_is_said() {
    let folder = clip::folder();
    let film = "f -f lavfi -i \"$(pictures 1)\" -c:v mpeg2video -b:v 1500k -f mpeg2video -";
    let stream = shell(&format!("{WORDS}\n{film}")).within(folder.path()).run().ok().stdout;
    std::fs::write(folder.path().join("captions.m2v"), captioned(&stream)).unwrap();
    let made_by =
        "mkvmerge -q -o a.mkv captions.m2v; f -f lavfi -i testsrc=s=64x64:r=25:d=1 -c:v mpeg2video b.mkv
        mkvmerge -q -o film.mkv a.mkv b.mkv";
    shell(&format!("{WORDS}\n{made_by}")).within(folder.path()).run().ok();
    let film = folder.path().join("film.mkv");
    let ended = option("option4", &film, folder.path(), &[]).run().ok();
    let name = film.display();
    let want = format!(
        "storage-diet: {name}: captions inside its pictures (EIA-608), left out\n\
         storage-diet: {name}: stream 1: a second video track (mpeg2video), left out"
    );
    assert_eq!(ended.stderr.trim_end(), want);
}

/// The container says one shape of all of it: a part of another has to be told.
#[test]
fn a_part_of_another_shape_needs_a_scale() {
    let folder = clip::folder();
    let made_by = "sar=16/15 film a.mkv 1.04; film b.mkv 1.04; concat film.mkv a.mkv b.mkv";
    shell(&format!("{WORDS}\n{made_by}")).within(folder.path()).run().ok();
    let film = folder.path().join("film.mkv");
    let said = |words: &str| {
        let run = tool("storage-diet", &format!("option4 {words}")).arg(format!("SRC={}", film.display()));
        run.arg(format!("OUT={}", folder.path().display())).arg(format!("ENGINE={}", nearest())).run()
    };
    let why =
        "is 16:9 there, and its container says something else of all of it; SCALE=1024x576 makes it that";
    said("START=25").failed(1, &format!("storage-diet: {}: {why}", film.display()));
}
