//! Films as discs have them: cut, joined, broken, on another clock, changing on the way. Each one's film is right to 20 ms, or
//! it is refused before the first frame, in one line that says what can be done.
//!
//! Every source has a white frame and a beep each second. Where they are in source and film is found by ffmpeg alone.
//!
//! `cargo test` runs each disc by option4 and some by the others; `TORTURE=full` all of them by all three. The table is printed
//! with `--nocapture`.

mod list;
mod seen;

use pipelines::{Ended, Run, clip, nearest, shared, shell, tool};
use seen::{Asked, Seen};
use std::{
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
    /// A film with everything in its place; this is said, beside other things.
    Noted(&'static str),
    /// How the one line begins, behind the disc's name.
    Refused(&'static str),
}
use Becomes::{Noted, Refused, Right};

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
fn runs(disc: &Path, seen: &Seen, name: &str, variables: &str, becomes: &Becomes) -> Result<String, String> {
    let folder = clip::folder();
    let asked = Asked {
        variables: variables.split_whitespace().filter_map(|word| word.split_once('=')).collect(),
        is_matroska: disc.extension().is_some_and(|extension| extension == "mkv"),
    };
    let Ended { code, stderr, .. } = option(name, disc, folder.path(), &asked.variables).run();
    let said = stderr.trim_end().replace(&format!("{}: ", disc.display()), "");
    let said = said.strip_prefix("storage-diet: ").unwrap_or(&said);
    let film = folder.path().join(name).join("film.mkv");
    if let Refused(why) = becomes {
        let why = why.replace("…", REPAIRS);
        let is_clean = !folder.path().join(name).exists();
        return match (code, said.starts_with(&why), is_clean) {
            (1 | 2, true, true) => Ok("refused".into()),
            (_, _, false) => Err(format!("work is left; exit {code}: {said}")),
            _ => Err(format!("exit {code}: {said}\n  not: {why}")),
        };
    }
    if code != 0 {
        return Err(format!("exit {code}: {said}"));
    }
    match becomes {
        Noted(words) if said.contains(words) => {}
        Right if said.is_empty() => {}
        Noted(words) => return Err(format!("said: {said}\n  not: {words}")),
        _ => return Err(format!("said: {said}")),
    }
    let (at, worst) = asked.off(seen, &Seen::of(&film))?;
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
        let seen = Seen::of(&path);
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
                match runs(&path, &seen, option, variables, becomes) {
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
