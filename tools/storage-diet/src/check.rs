//! What is wrong is said before the first frame: the film, the weights, this machine's encoders.

use crate::{
    crop::Findings,
    cropping::Cropping,
    disc,
    film::Source,
    makefile::Makefile,
    pipeline::{self, Program as Words},
    probe::{Film, Kind, ratio},
    program::Program,
    progress::{Progress, clock_ms},
    reading::{Picture, Reading},
    recipe::{Pass, Recipe, Stage},
    run::Run,
    span::{self, Span},
    template::Values,
    timeline::Timeline,
    values::{self, Pictures},
    variables::{RATE, Variables, is_crop},
};
use cli::{Error, Result, Size, reason};
use retime25to24::even_width;
use std::{
    fs::File,
    io::{Seek, Write},
    ops::Range,
    path::Path,
};
use timebase::Rational;

/// Where the film is.
pub fn film(variables: &Variables) -> Result<&Path> {
    variables
        .given("SRC")
        .map(Path::new)
        .ok_or_else(|| Error::usage("SRC", "say which film, as SRC=film.mkv"))
}

/// The film: a file, by its bytes.
pub fn source(variables: &Variables) -> Result<Source> {
    let src = film(variables)?;
    disc::check(src)?;
    Source::read(src)
}

/// Reads the film, with progress in the name of what it is read for.
///
/// Errors: it has no pictures, or such as no PAL disc has.
pub fn reading(run: Run<'_>, name: &str, src: &Path) -> Result<Reading> {
    let film = Film::read(src)?;
    pal(src, &film)?;
    let seconds = film.format.duration.map_or(0.0, timebase::Rational::to_f64);
    let progress = Progress::start(name, 1, None, run.quiet || run.dry);
    progress.pass(0, "reading the film", 0, (seconds * RATE as f64) as u64);
    Reading::of(src, &film, &|frames| progress.made(frames))
}

/// Are there pictures that the filters take?
fn pal(src: &Path, film: &Film) -> Result<()> {
    let failed = |why: String| Err(Error::failed(src.display(), why));
    let Some(pictures) = film.pictures() else {
        return failed("has no pictures".into());
    };
    match pictures.pix_fmt.as_deref() {
        None | Some("yuv420p" | "yuvj420p" | "yuv422p" | "yuv444p") => Ok(()),
        Some(other) => {
            let src = shell_words::quote(&src.to_string_lossy()).into_owned();
            let line = format!("`ffmpeg -i {src} -map 0 -c copy -c:v ffv1 -pix_fmt yuv420p film.mkv`");
            failed(format!(
                "its pictures are {other}, and those of PAL discs yuv420p; {line} makes them that"
            ))
        }
    }
}

/// Says what of a film is not in the one that is made of it.
///
/// Errors: ffprobe cannot read it.
pub fn left_out(run: Run<'_>, reading: &Reading, src: &Path) -> Result<()> {
    let film = Film::read(src)?;
    let note = |what: String| run.session.note(format!("{}: {what}, left out", src.display()));
    if reading.pictures.captions {
        note("captions inside its pictures (EIA-608)".into());
    }
    let pictures = film.pictures().map(|stream| stream.index);
    for stream in &film.streams {
        let (index, codec) = (stream.index, stream.codec());
        match stream.codec_type {
            Kind::Video if Some(index) != pictures && !stream.is_cover() => {
                note(format!("stream {index}: a second video track ({codec})"));
            }
            Kind::Data => note(format!("stream {index}: data ({codec})")),
            _ => {}
        }
    }
    Ok(())
}

/// The frames that are to be made, each of which is there and in its place, or mended.
///
/// Errors: frames that are not there, or not where they belong, or not alike.
pub fn frames(run: Run<'_>, reading: &Reading, variables: &Variables) -> Result<(Timeline, Span)> {
    let failed = |why: String| Error::failed(variables.get("SRC"), why);
    let timeline = values::timeline(reading, variables);
    let span = Span::new(&timeline, variables)?;
    let read = span.start..span.end.max(span.read);
    if let Some(why) = reading.broken_off().filter(|_| variables.given("FRAMES").is_none()) {
        let hint = format!("FRAMES={} makes a film of what is there", span.end - span.start);
        return Err(failed(format!("{why}; {hint}")));
    }
    if read.end > timeline.alike {
        let of_source = timeline.of_source(timeline.alike);
        let now = reading.pictures.at(of_source);
        let differs = now.zip(reading.pictures.at(of_source - 1)).map(|(now, then)| now.differs(then));
        let frame = timeline.base + timeline.alike;
        return Err(failed(format!(
            "frame {frame}, at {}, is {}; START and FRAMES make a film of one part",
            clock_ms(timeline.time(timeline.alike)),
            differs.unwrap_or_default()
        )));
    }
    one_clock(reading, &timeline, variables, read.clone()).map_err(failed)?;
    timeline.check(&reading.pictures, read.clone()).map_err(failed)?;
    let (missing, places) = timeline.mended(read);
    if timeline.orphans() > 0 && variables.given("FRAMES").is_none() {
        let last = match timeline.orphans() {
            1 => "the last picture, which is behind missing ones, is".to_owned(),
            n => format!("the last {n} pictures, which are behind missing ones, are"),
        };
        run.session
            .note(format!("{}: ends within a group of pictures: {last} left out", variables.get("SRC")));
    }
    if missing > 0 {
        let how = match timeline.is_mended() {
            true => "the one before each is shown for as long",
            false => "sound and subtitles go without them, too",
        };
        let are = if missing == 1 { "frame is" } else { "frames are" };
        let at = if places == 1 { String::new() } else { format!(", at {places} places") };
        run.session.note(format!("{}: {missing} {are} missing{at}: {how}", variables.get("SRC")));
    }
    if span.end == span.film {
        outlasting(run, reading, &timeline, variables, span.end - 1);
    }
    Ok((timeline, span))
}

/// Refuses pictures that are shown behind a place where the clock goes back: what is heard there cannot be told from what is
/// heard before it.
fn one_clock(
    reading: &Reading,
    timeline: &Timeline,
    variables: &Variables,
    frames: Range<u64>,
) -> std::result::Result<(), String> {
    let Some((picture, by)) = reading.pictures.goes_back(GOES_BACK_MS) else { return Ok(()) };
    if timeline.of_source(frames.end - 1) < picture {
        return Ok(());
    }
    let at = reading.pictures.each().nth(picture as usize).map_or(0, |(at, _)| at);
    let at = Rational::whole(at).checked_mul(reading.pictures.tick());
    let src = shell_words::quote(variables.get("SRC"));
    let one = match () {
        () if reading.is("mpeg") => format!("`mkvmerge -o film.mkv {src}` gives all of it one clock"),
        () => {
            let before = match picture.saturating_sub(timeline.of_source(frames.start)) {
                0 => format!("START=0 FRAMES={picture} make"),
                frames => format!("FRAMES={frames} makes"),
            };
            format!(
                "{before} a film of what is before, `mkvmerge -o film.mkv PART + PART` joins parts on one clock"
            )
        }
    };
    let at = clock_ms(at);
    Err(format!(
        "frame {picture}, at {at}, is {by} ms too early: the clock begins anew there, as where parts were joined; {one}"
    ))
}

/// Milliseconds by which the clock goes back where it begins anew. Less is an overlap, of which one part's sound can be left out.
const GOES_BACK_MS: i64 = 200;

/// Says what sound goes on when the last picture is over, or begins before the first: nothing is shown then.
fn outlasting(run: Run<'_>, reading: &Reading, timeline: &Timeline, variables: &Variables, last: u64) {
    let ms = |time: Option<Rational>| time?.checked_mul(Rational::whole(1000)).map(Rational::round);
    let frame = Rational::whole(1).checked_div(timeline.rate);
    let end = timeline.time(last).zip(frame).and_then(|(last, frame)| last.checked_add(frame));
    let Some(end) = ms(end) else { return };
    for (n, sound) in reading.sound.iter().enumerate() {
        let over = sound.stretches.iter().map(|stretch| stretch.end_ms - end).max().unwrap_or(0);
        if over >= OUTLASTS_MS {
            let seconds = over as f64 / 1000.0;
            run.session.note(format!(
                "{}: sound track {n} goes on for {seconds:.1} s when the pictures are over, left out",
                variables.get("SRC")
            ));
        }
    }
}

/// Milliseconds of sound behind the last picture that are worth a word.
const OUTLASTS_MS: i64 = 500;

/// How the pictures come. What is odd about them is said.
///
/// Errors: colours that the filters do not know.
pub fn pictures<'a>(
    run: Run<'_>,
    reading: &'a Reading,
    timeline: &'a Timeline,
    variables: &Variables,
    span: Span,
) -> Result<Pictures<'a>> {
    let src = variables.get("SRC");
    let none = || Error::failed(src, "has no pictures");
    let pictures = Pictures::new(reading, timeline, span.start).ok_or_else(none)?;
    let said = pictures.kind.color_space.as_deref();
    let taken = values::matrix(variables, pictures.kind);
    match (said, taken) {
        (Some(said), None) => {
            let why = format!("its colours are in {said}, which the filters do not know");
            return Err(Error::failed(src, format!("{why}; MATRIX=bt470bg takes them for PAL's")));
        }
        (Some(said), _)
            if variables.given("MATRIX").is_none() && !["bt470bg", "smpte170m"].contains(&said) =>
        {
            run.session.note(format!("{src}: says that its colours are in {said}, and is taken at its word; MATRIX=bt470bg takes them for PAL's"));
        }
        _ => {}
    }
    if let Some(why) = reshaped(pictures.kind).filter(|_| variables.get("SCALE") == "sar") {
        return Err(Error::failed(src, why));
    }
    if let Some(complaint) = &reading.pictures.complaint {
        let more = match reading.pictures.complaints {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        run.session.note(format!("{src}: its pictures decode with errors: {complaint}{more}"));
    }
    Ok(pictures)
}

/// The variables, in which the edges that the film's container hides are those of SCALE and CROP: what players show is what
/// becomes the film, and no ffmpeg's own idea of such edges, and of the shape that they leave, has a say in it.
///
/// Errors: the film cannot be read; nothing is shown of it.
pub fn cropping(run: Run<'_>, variables: Variables) -> Result<Variables> {
    let src = film(&variables)?;
    let found = Cropping::read(src).map_err(|e| Error::failed(src.display(), reason(&e)))?;
    let (is_sar, is_none) = (variables.get("SCALE") == "sar", variables.get("CROP") == "none");
    let Some(cropping) = found.filter(|_| is_sar || is_none) else { return Ok(variables) };
    let [left, top, right, bottom] = cropping.edges();
    let hides = format!(
        "its container hides {left}, {top}, {right} and {bottom} pixels at the left, top, right and bottom"
    );
    let square = cropping.square().ok_or_else(|| {
        Error::failed(src.display(), format!("{hides}; say which shape it has, as SCALE=1024x576 CROP=auto"))
    })?;
    let size = if is_sar { square } else { variables.get("SCALE").parse().unwrap_or(square) };
    let crop = if is_none { cropping.shown(size) } else { variables.get("CROP").into() };
    run.session.note(format_args!("{}: {hides}: SCALE={size} CROP={crop}", src.display()));
    variables.with("SCALE", size)?.with("CROP", crop)
}

/// A part of a film whose shape is another than its container says, which is what a decoder goes by: why it needs a SCALE.
fn reshaped(picture: &Picture) -> Option<String> {
    let said = picture.display_aspect_ratio.as_deref()?;
    let shape = ratio(said)?;
    let (width, height) = (i64::try_from(picture.width).ok()?, i64::try_from(picture.height).ok()?);
    let pixel = shape.checked_mul(Rational::new(height, width)?)?;
    if picture.sample_aspect_ratio.as_deref().and_then(ratio) == Some(pixel) {
        return None;
    }
    let across = shape.checked_mul(Rational::whole(height))?.to_f64();
    let even = 2 * (across / 2.0).round() as i64;
    Some(format!(
        "is {said} there, and its container says something else of all of it; SCALE={even}x{height} makes it that"
    ))
}

/// The network's weights.
pub fn weights(variables: &Variables) -> Result<()> {
    let weights = variables.get("WEIGHTS");
    if weights == "builtin" || Path::new(weights).is_file() {
        return Ok(());
    }
    Err(Error::failed(
        format_args!("WEIGHTS={weights}"),
        "no such checkpoint; `scripts/fetch-weights --list` says which there are to fetch",
    ))
}

/// Every program that writes a file is tried on one frame, and so is the network where it comes late.
pub fn machine(run: Run<'_>, recipe: &Recipe, variables: &Variables) -> Result<()> {
    if run.dry {
        return Ok(());
    }
    let makefile = run.makefile;
    let mut tried = Vec::new();
    for stage in writers(&recipe.passes) {
        if !tried.contains(&stage.name) {
            tried.push(stage.name.clone());
            encoder(makefile, stage, variables)?;
        }
    }
    let late =
        recipe.passes.iter().skip(1).flat_map(|pass| &pass.stages).find(|stage| stage.name == "enlarge");
    late.map_or(Ok(()), |stage| network(makefile, stage, variables))
}

/// The stages that end a pipe: they encode.
fn writers(passes: &[Pass]) -> Vec<&Stage> {
    let last = passes.iter().filter_map(|pass| pass.stages.last());
    last.flat_map(|stage| if stage.segment.is_empty() { vec![stage] } else { writers(&stage.segment) })
        .collect()
}

/// Rows and columns of a frame to try an encoder on; NVENC takes no smaller ones than 145x49.
const TRIAL: usize = 256;

fn encoder(makefile: &Makefile, stage: &Stage, variables: &Variables) -> Result<()> {
    let (words, raw) = alone(makefile, stage, variables)?;
    let mut frame = Vec::new();
    if raw {
        frame.resize(TRIAL * TRIAL * 6, 0);
    } else {
        frame.extend(format!("YUV4MPEG2 W{TRIAL} H{TRIAL} F24:1 Ip A1:1 C420p10\nFRAME\n").into_bytes());
        frame.resize(frame.len() + TRIAL * TRIAL * 3, 0);
    }
    let (about, or) = match &*stage.name {
        "encode" => {
            let told = |name: &str| variables.given(name).map(|value| format!("{name}={value}"));
            (
                ["ENCODER", "PRESET", "CRF", "TUNE"]
                    .into_iter()
                    .filter_map(told)
                    .collect::<Vec<_>>()
                    .join(" "),
                "",
            )
        }
        "intra" if variables.get("MEZZ") == "nvenc" => {
            ("MEZZ=nvenc".into(), "; MEZZ=x265 makes the mezzanine on the CPU")
        }
        name => (name.to_owned(), ""),
    };
    let tried = Program::new("ffmpeg").args(&words[1..]).stdin(spooled(&frame)?).run();
    tried.map_err(|e| Error::failed(about, format!("this machine cannot: {e}{or}")))
}

/// The network, on one picture of the least size.
fn network(makefile: &Makefile, stage: &Stage, variables: &Variables) -> Result<()> {
    let (words, _) = alone(makefile, stage, variables)?;
    Program::new("sr-window").args(&words[1..]).arg("--quiet").stdin(spooled(&[0; 64 * 64 * 6])?).run()
}

/// The words of a stage that works on one frame by itself, and whether it takes frames without a header.
fn alone(makefile: &Makefile, stage: &Stage, variables: &Variables) -> Result<(Vec<String>, bool)> {
    let wrong = |why: String| Error::failed("Makefile", why);
    let mut values = Values::default();
    values::settings(variables, &mut values)?;
    let choose = |name: &str| values.word(name).map(str::to_owned);
    let text = makefile.text(&stage.name, &choose).map_err(&wrong)?;
    let raw = text.contains("{raw}");
    let size = if stage.name == "enlarge" { 64 } else { TRIAL };
    values.set("raw", format!("{size}x{size}"));
    values.set_words("out", ["-f", "matroska", "/dev/null"].map(String::from).to_vec());
    for (name, value) in [("first", 0), ("next", 0), ("seen", 1), ("frames", 1)] {
        values.set(name, value);
    }
    for name in ["emit", "reports"] {
        values.set_or_not(name, None::<u8>);
    }
    Ok((crate::template::fill(&text, &values).map_err(wrong)?, raw))
}

/// Bytes as a file that has no name.
fn spooled(bytes: &[u8]) -> Result<File> {
    let spool = || -> std::io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    };
    spool().map_err(|e| Error::failed("temporary file", reason(&e)))
}

/// What `CROP=auto` comes to, from all of the film; `None` where something else was asked for.
pub fn crop(run: Run<'_>, variables: &Variables, pictures: Pictures<'_>) -> Result<Option<String>> {
    if variables.get("CROP") != "auto" {
        return Ok(None);
    }
    let [decode, _] = preparation(run.makefile, variables, pictures, "none", None)?;
    let analyze = ["--analyze", "--scale", variables.get("SCALE")].map(String::from).to_vec();
    let found: Findings = serde_json::from_slice(&piped(&decode.words, "deint-crop", &analyze)?)
        .map_err(|e| Error::failed("deint-crop", e))?;
    if !is_crop(&found.auto_crop) {
        return Err(Error::failed("CROP=auto", "no crop was found; say which, as CROP=1024:432:0:72"));
    }
    if let Some(words) = found.words() {
        run.session.note(format_args!("CROP=auto: {words}"));
    }
    Ok(Some(found.auto_crop))
}

/// The size that the preparation of the film's first frame gives it.
pub fn prepared(
    run: Run<'_>,
    variables: &Variables,
    pictures: Pictures<'_>,
    crop: Option<&str>,
) -> Result<String> {
    let [decode, prepare] =
        preparation(run.makefile, variables, pictures, crop.unwrap_or(variables.get("CROP")), Some(1))?;
    let mut words = prepare.words[1..].to_vec();
    words.extend(["--out-pix-fmt", "yuv444p16le", "--format", "y4m"].map(String::from));
    let frame = piped(&decode.words, "deint-crop", &words)?;
    let header = frame.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let header = String::from_utf8_lossy(header);
    let side = |head: char| header.split(' ').find_map(|word| word.strip_prefix(head)?.parse::<usize>().ok());
    let size = match (side('W'), side('H')) {
        (Some(width), Some(height)) => Size { width, height },
        _ => return Err(Error::failed(variables.get("SRC"), "its first frame cannot be prepared")),
    };
    if size.width < 64 || size.height < 64 {
        let why = format!("the picture becomes {size}; the network takes 64x64 and more");
        return Err(Error::usage(
            format!("SCALE={} CROP={}", variables.get("SCALE"), variables.get("CROP")),
            why,
        ));
    }
    Ok(size.to_string())
}

/// Is `MAX_DISK` enough for the first segment of `frames` frames of pictures that have the size `prepared` before the network?
///
/// Errors (usage): it certainly is not. That a film needs more, nobody knows before it is made; `plan` has an estimate.
pub fn room(recipe: &Recipe, variables: &Variables, prepared: Size, frames: u64) -> Result<()> {
    let Some(given) = variables.given("MAX_DISK") else { return Ok(()) };
    let Some(pass) = recipe.passes.last().filter(|pass| pass.is_segmented()) else { return Ok(()) };
    let Size { width, height } = prepared;
    let frame_bytes = if pass.has("retime") {
        // yuv420p10le: three samples for two pixels, of two bytes.
        let rows = variables.number("HEIGHT");
        3 * rows * even_width(4 * width, 4 * height, rows as usize) as u64
    } else {
        // rgb48le.
        6 * 16 * (width * height) as u64
    };
    let has_mezzanine = pass.stages.last().is_some_and(|stage| stage.segment.len() > 1);
    let frames = span::segment(variables).min(frames);
    let least = seg_sink::least_disk(frame_bytes, frames, has_mezzanine);
    if variables.number("MAX_DISK") >= least {
        return Ok(());
    }
    let why = format!("too little: a segment of {frames} frames needs {least} bytes at least");
    Err(Error::usage(format!("MAX_DISK={given}"), why))
}

/// The decoder and the preparation, of all of the film or of its first frames.
fn preparation(
    makefile: &Makefile,
    variables: &Variables,
    pictures: Pictures<'_>,
    crop: &str,
    frames: Option<u64>,
) -> Result<[Words; 2]> {
    let count = frames.unwrap_or(pictures.timeline.frames());
    let mut values = Values::default();
    values::settings(variables, &mut values)?;
    values.set("crop", crop);
    Span { start: 0, end: count, next: 0, first: 0, seen: count, read: count, film: count }.tell(&mut values);
    pictures.tell(variables, count, &mut values);
    values.set_or_not("limit", frames);
    values.set_or_not("reports", None::<u8>);
    let stage = |name: &str| Stage { name: name.into(), segment: Vec::new() };
    let pass = Pass { stages: vec![stage("decode"), stage("prepare")], input: None, output: None };
    let programs =
        pipeline::programs(makefile, &pass, &values, "-").map_err(|why| Error::failed("Makefile", why))?;
    programs.try_into().map_err(|_| Error::failed("Makefile", "decode | prepare: are not two programs"))
}

/// What the second of two programs writes, which reads what ffmpeg writes.
fn piped(ffmpeg: &[String], second: &'static str, words: &[String]) -> Result<Vec<u8>> {
    let mut first = Program::new("ffmpeg").args(&ffmpeg[1..]).start()?;
    let input = first.stdout().ok_or_else(|| Error::failed("ffmpeg", "has no output"))?;
    let output = Program::new(second).args(words).stdin(input).output();
    // Where the decoder failed, what reads from it failed for that.
    match first.finish() {
        Err(e) if !e.to_string().contains("Broken pipe") => Err(e),
        _ => output,
    }
}
