//! Bitmap subtitles on cropped films, as players show them: letters have the aspect that they have over the whole film, stand
//! where they stood if that is within what is left, and are within it.
//!
//! ffmpeg stretches the canvas over the film as most players do, and draws it with square pixels as Kodi does; where mpv is
//! installed, its own pictures are looked at, too.

use pipelines::{
    clip, make, nearest,
    pgs::{Cue, Picture, pgs},
    shell, tool,
};
use std::{ops::Range, path::Path};

/// The picture that is cropped, and how much larger the film is.
const SCALED: (usize, usize) = (1024, 576);
const ENLARGED: usize = 2;

/// What shows a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Player {
    /// The canvas over all of the film.
    Stretched,
    /// As large as it can be on the film with square pixels, in its middle; all of a DVD's canvas, which is 5:4, over all of
    /// the film.
    Square,
    Mpv,
}

/// The pixels of a film that a player shows at `second` and that are light.
struct Shown {
    width: usize,
    height: usize,
    light: Vec<bool>,
}

impl Player {
    fn all() -> Vec<Self> {
        if shell("command -v mpv").run().code == 0 {
            return vec![Self::Stretched, Self::Square, Self::Mpv];
        }
        eprintln!("skipped: what mpv shows; mpv is not installed");
        vec![Self::Stretched, Self::Square]
    }

    fn shows(self, folder: &Path, film: &str, second: usize, (width, height): (usize, usize)) -> Shown {
        let is_square = self == Self::Square && !film.ends_with("-whole");
        let shape = if is_square { ":force_original_aspect_ratio=decrease" } else { "" };
        let look = match self {
            Self::Stretched | Self::Square => format!(
                "ffmpeg -v error -y -i {film}.mkv -filter_complex \
                 '[0:s]scale={width}:{height}{shape}[s];[0:v][s]overlay=(W-w)/2:(H-h)/2,\
                 trim=start={second},format=rgb24' -frames:v 1 {film}.png"
            ),
            Self::Mpv => format!(
                "mpv --no-config --really-quiet --sid=1 --start={second} --frames=1 --no-audio {film}.mkv \
                 --o={film}.png --of=image2 --ofopts=update=1 --ovc=png"
            ),
        };
        let script = format!("{look}; ffmpeg -v error -i {film}.png -pix_fmt gray -f rawvideo -");
        let pixels = shell(&script).within(folder).run().ok().stdout;
        assert_eq!(pixels.len(), width * height, "{self:?} {film}");
        // For a person to look at.
        if let Some(kept) = std::env::var_os("CANVAS_PICTURES") {
            let name = format!("{film}-{second}-{self:?}.png");
            std::fs::copy(folder.join(format!("{film}.png")), Path::new(&kept).join(name)).unwrap();
        }
        Shown { width, height, light: pixels.iter().map(|&pixel| pixel > 100).collect() }
    }
}

/// Columns and rows, in pixels of the scaled picture.
#[derive(Clone, Copy, Debug)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Shown {
    /// Where there is text between rows of the picture.
    fn text(&self, rows: Range<usize>) -> Place {
        let is_light = |x: usize, y: usize| self.light[y * self.width + x];
        let rows: Vec<_> = rows.filter(|&y| (0..self.width).any(|x| is_light(x, y))).collect();
        let columns: Vec<_> = (0..self.width).filter(|&x| rows.iter().any(|&y| is_light(x, y))).collect();
        let (Some((x, right)), Some((y, bottom))) =
            (columns.first().zip(columns.last()), rows.first().zip(rows.last()))
        else {
            panic!("no text is shown");
        };
        let scaled = |n: usize| n as f64 / ENLARGED as f64;
        Place { x: scaled(*x), y: scaled(*y), width: scaled(right + 1 - x), height: scaled(bottom + 1 - y) }
    }

    fn all(&self) -> Place {
        self.text(0..self.height)
    }
}

/// Black film of that size with the subtitles `subs`.
fn film(folder: &Path, name: &str, subs: &str, (width, height): (usize, usize)) {
    let script = format!(
        "ffmpeg -v error -f lavfi -i color=black:s={width}x{height}:r=2:d=11 -c:v libx264 -preset ultrafast -y black.mkv
         mkvmerge -q -o {name}.mkv black.mkv {subs}"
    );
    shell(&script).within(folder).run().ok();
}

/// The seconds at which the texts are there: inside every crop, in the lower bar, in both bars, across the whole picture.
const INSIDE: usize = 1;
const LOW: usize = 4;
const BOTH: usize = 7;
const WIDE: usize = 10;

const TEXTS: [(usize, &str); 4] = [(INSIDE, "inside"), (LOW, "low"), (BOTH, "both"), (WIDE, "wide")];

/// A stream of those four texts on a canvas of that size.
fn stream(canvas: (u16, u16)) -> Vec<u8> {
    let part = |n: u16, of: u16, all: u32| (u32::from(n) * u32::from(of) / all) as u16;
    let (x, y) = (|n| part(n, canvas.0, 1024), |n| part(n, canvas.1, 576));
    // Letters are drawn as the picture shows them, and then squeezed as the canvas is.
    let text = |words: &str, width| Picture::of(words, (y(width), y(60)), y(40)).in_columns(x(width));
    let short = text("Who woke me", 360);
    let long = text("The rabbit sleeps all day and dreams of grass", 1000);
    let cue = |second: usize, objects| {
        let start = second as u32 * 90_000 - 45_000;
        Cue { ticks: start..start + 180_000, objects }
    };
    pgs(
        canvas,
        &[
            cue(INSIDE, vec![(&short, (x(300), y(300)))]),
            cue(LOW, vec![(&short, (x(300), y(512)))]),
            cue(BOTH, vec![(&short, (x(300), y(4))), (&short, (x(300), y(512)))]),
            cue(WIDE, vec![(&long, (x(12), y(400)))]),
        ],
    )
}

/// PGS as discs have it, PGS on the canvas of a DVD, and VobSub.
const FORMATS: [&str; 3] = ["pgs", "pgs-720", "vobsub"];

const CROPS: [(usize, usize, usize, usize); 4] =
    [(1024, 432, 0, 72), (768, 576, 128, 0), (768, 432, 128, 72), (1000, 428, 12, 74)];

/// The files of a format, made in the folder, as mkvmerge takes them: `old`, and on the canvas of a crop `new`.
fn files(folder: &Path, format: &str) {
    let canvas = if format == "pgs" { (1920, 1080) } else { (720, 576) };
    std::fs::write(folder.join("old.sup"), stream(canvas)).unwrap();
    if format == "vobsub" {
        let script =
            "ffmpeg -v error -y -i old.sup -c:s dvdsub vobsub.mkv; mkvextract -q vobsub.mkv tracks 0:old.idx";
        shell(script).within(folder).run().ok();
    }
}

fn relay(folder: &Path, format: &str, crop: &str) -> &'static str {
    let flags = format!("--scale {}x{} --crop {crop}", SCALED.0, SCALED.1);
    let open = |name: &str| std::fs::File::open(folder.join(name)).unwrap();
    let create = |name: &str| std::fs::File::create(folder.join(name)).unwrap();
    let (old, new) = if format == "vobsub" { ("old.idx", "new.idx") } else { ("old.sup", "new.sup") };
    let files = if format == "vobsub" { " --sub old.sub --out-sub new.sub" } else { "" };
    let run = tool("subs-canvas", &format!("{flags}{files}")).within(folder);
    let ended = run.stdin(open(old)).output(create(new)).run().ok();
    assert_eq!(ended.stderr, "");
    new
}

#[test]
fn letters_keep_their_aspect_and_place() {
    let folder = clip::folder();
    let folder = folder.path();
    let players = Player::all();
    let enlarged = |(width, height): (usize, usize)| (width * ENLARGED, height * ENLARGED);
    let mut table = String::new();
    for format in FORMATS {
        files(folder, format);
        let all = format!("{format}-whole");
        film(folder, &all, if format == "vobsub" { "old.idx" } else { "old.sup" }, enlarged(SCALED));
        let whole =
            |player: &Player| TEXTS.map(|(second, _)| player.shows(folder, &all, second, enlarged(SCALED)));
        let whole: Vec<_> = players.iter().map(whole).collect();
        // What letters are: the canvas is made to be stretched over the film. Of PGS, mpv draws the canvas of a DVD with square
        // pixels all the same.
        let true_ones = &whole[0];
        for (player, shown) in players.iter().zip(&whole) {
            let (was, is) = (true_ones[0].all(), shown[0].all());
            let aspect = is.width / is.height * was.height / was.width;
            table +=
                &format!("{:<15} {format:<8} {:<9}  inside {aspect:.3}\n", "whole", format!("{player:?}"));
            let is_narrow = (format, *player) == ("pgs-720", Player::Mpv);
            assert!(is_narrow || (aspect - 1.0).abs() < 0.03, "whole {format} {player:?}: {aspect}");
        }
        let is_full = std::env::var_os("TORTURE").is_some_and(|torture| torture == "full");
        for (width, height, left, top) in CROPS.into_iter().take(if is_full { CROPS.len() } else { 2 }) {
            let crop = format!("{width}:{height}:{left}:{top}");
            let (name, size) = (format!("{format}-{width}x{height}"), enlarged((width, height)));
            let new = relay(folder, format, &crop);
            film(folder, &name, new, size);
            for &player in &players {
                let cropped = |second| player.shows(folder, &name, second, size);
                let named = format!("{crop} {format} {player:?}");
                let mut row = format!("{crop:<15} {format:<8} {:<9}", format!("{player:?}"));
                for ((second, what), before) in TEXTS.into_iter().zip(true_ones) {
                    let after = cropped(second);
                    let (was, is) = if second == BOTH {
                        // The upper one of the two.
                        (before.text(0..before.height / 2), after.text(0..after.height / 2))
                    } else {
                        (before.all(), after.all())
                    };
                    let aspect = is.width / is.height * was.height / was.width;
                    row += &format!("  {what} {aspect:.3}");
                    assert!((aspect - 1.0).abs() < 0.03, "{named} {what}: {aspect} {was:?} {is:?}");
                    let all = after.all();
                    assert!(
                        all.x > 0.0
                            && all.y > 0.0
                            && all.x + all.width < width as f64
                            && all.y + all.height < height as f64,
                        "{named} {what}: at the edge: {all:?}"
                    );
                    if second == INSIDE {
                        let off = (is.x + left as f64 - was.x, is.y + top as f64 - was.y);
                        row += &format!(" off {:+.1} {:+.1}", off.0, off.1);
                        assert!(off.0.abs() < 2.5 && off.1.abs() < 1.5, "{named}: {off:?}");
                    }
                    if second == BOTH {
                        let lower = after.text(after.height / 2..after.height);
                        let ratio = lower.height / is.height;
                        assert!((ratio - 1.0).abs() < 0.1, "{named}: two texts became one: {is:?} {lower:?}");
                    }
                }
                table += &format!("{row}\n");
            }
        }
    }
    println!(
        "aspect of texts beside that of a canvas stretched over the whole film, and pixels of 1024x576 that one is off:\n{table}"
    );
}

/// A cropped film has its bitmap subtitles on the canvas of what is left, is proved, and one that was not cropped has them as
/// they were.
#[test]
fn films_have_their_subtitles_on_their_canvas() {
    let folder = clip::folder();
    let path = |name: &str| folder.path().join(name);
    files(folder.path(), "vobsub");
    clip::dvd(&path("film.mkv"), 300);
    shell("mkvmerge -q -o source.mkv film.mkv old.idx old.sup").within(folder.path()).run().ok();
    let [source, out] = ["source.mkv", "out"].map(|name| path(name).to_str().unwrap().to_owned());
    for (crop, columns, rows) in [("128:64:0:4", 1024u16, 512u16), ("none", 720, 576)] {
        let variables = [
            ("SRC", &*source),
            ("OUT", &*out),
            ("DEVICE", "cpu"),
            ("ENGINE", nearest()),
            ("SCALE", "128x72"),
            ("CROP", crop),
            ("HEIGHT", "64"),
            ("PRESET", "ultrafast"),
            ("SEGMENT", "100f"),
        ];
        make("option4", &variables).run().ok();
        make("verify", &[("OUT", &out)]).run().ok();
        let tracks = "tracks=$(mkvmerge -J out/option4/film.mkv | jq -r '.tracks[] | select(.codec == \"VobSub\" or .codec == \"HDMV PGS\") | .id')
             set -- $tracks
             mkvextract -q out/option4/film.mkv tracks $1:new.idx $2:new.sup";
        shell(tracks).within(folder.path()).run().ok();
        let idx = std::fs::read_to_string(path("new.idx")).unwrap();
        assert!(idx.contains(&format!("\nsize: {columns}x{rows}\n")), "{crop}: {idx}");
        let sup = std::fs::read(path("new.sup")).unwrap();
        assert_eq!(sup[13..17], [columns, rows].map(u16::to_be_bytes).concat(), "{crop}");
        std::fs::remove_dir_all(&out).unwrap();
    }
}
