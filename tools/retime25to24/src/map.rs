//! The one time map of a film that is slowed down: what becomes of its video, its audio, its subtitles, its chapters.

use cli::{Emit, Error, Result, Session};
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use timebase::{Rational, Retime};

/// ffprobe says some thousand bytes, and some hundred for each chapter.
const MOST_BYTES: u64 = 16 << 20;

/// Reads ffprobe's JSON from standard input and prints the map to standard output.
pub fn run(session: &Session, from: Rational, to: Rational, emit: Emit) -> Result<()> {
    let mut text = Vec::new();
    let stdin = rawstream::stdin().map_err(|e| Error::io("<stdin>", &e))?;
    stdin.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(|e| Error::cannot("read", "<stdin>", &e))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(wrong(format!(
            "has more than {MOST_BYTES} bytes, as nothing has that ffprobe says of a film"
        )));
    }
    let probe: Value = serde_json::from_slice(&text)
        .map_err(|e| if e.is_eof() { Error::torn("<stdin>", e) } else { Error::failed("<stdin>", e) })?;
    let map = map(&probe, from, to, emit)?;
    session.fact("map", map.clone());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{map:#}").and_then(|()| out.flush()).map_err(|e| Error::stdout(&e))
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::failed("<stdin>", what)
}

/// ffprobe's decimal seconds (`"5.320000"`) as an exact rational; `None` where there are none.
fn seconds(object: &Value, key: &str) -> Result<Option<Rational>> {
    match object.get(key).and_then(Value::as_str) {
        None | Some("N/A") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|e| wrong(format!("{key}: {e}"))),
    }
}

/// A rate such as `"25/1"`; `None` for ffprobe's `"0/0"`.
fn rate(object: &Value, key: &str) -> Option<Rational> {
    object.get(key)?.as_str()?.parse().ok().filter(|r: &Rational| r.is_positive())
}

/// A whole number, which ffprobe writes as a number or as text.
fn whole(object: &Value, key: &str) -> Option<i64> {
    let value = object.get(key)?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn times(time: Rational, factor: Rational) -> Result<Rational> {
    time.checked_mul(factor).ok_or_else(|| wrong(format!("{time} s is beyond what can be counted")))
}

fn fraction(time: Option<Rational>) -> Value {
    time.map_or(Value::Null, |t| Value::String(t.fraction()))
}

/// What all streams share.
struct Clock {
    from: Rational,
    to: Rational,
    ratio: Rational,
    /// The second of the film at which the map begins.
    zero: Rational,
    /// How many frames the pictures have, where that is known.
    frames: Option<i64>,
    /// How long the film becomes: as long as its pictures.
    duration: Option<Rational>,
}

impl Clock {
    fn of(probe: &Value, streams: &[Value], from: Rational, to: Rational, emit: Emit) -> Result<Self> {
        let uncountable = || wrong("the ratio of the rates cannot be counted");
        let ratio = Retime::between(from, to).ok_or_else(uncountable)?.ratio();
        let pictures = streams.iter().find(|stream| is_video(stream));
        let available = pictures.and_then(counted);
        if let Some(available) = available {
            emit.check(available)?;
        } else if emit.start > 0 {
            return Err(wrong("--start needs the number of frames, which ffprobe -count_packets says"));
        }
        let frames = emit.frames.or(available.map(|all| all - emit.start));
        let whole = |n: u64| i64::try_from(n).map(Rational::whole).map_err(|_| wrong("too many frames"));
        let frames = frames.map(whole).transpose()?;
        let own = pictures.map(length).transpose()?.flatten();
        let film = own.or(seconds(&probe["format"], "duration")?);
        let duration = match frames {
            Some(frames) => frames.checked_div(to),
            None => film.map(|film| times(film, ratio)).transpose()?,
        };
        let zero = whole(emit.start)?.checked_div(from).ok_or_else(uncountable)?;
        Ok(Self { from, to, ratio, zero, frames: frames.map(Rational::num), duration })
    }

    fn slowed(&self, time: Option<Rational>) -> Result<Option<Rational>> {
        time.map(|t| times(t, self.ratio)).transpose()
    }
}

/// The map of the frames `emit` of the film that `probe` describes, slowed from `from` to `to` frames a second. Its fields
/// are documented in `retime25to24(1)`.
///
/// Errors: no list of streams, a video stream of another rate than `from`, fewer frames than asked for, times that are
/// none.
pub fn map(probe: &Value, from: Rational, to: Rational, emit: Emit) -> Result<Value> {
    let streams = probe.get("streams").and_then(Value::as_array).ok_or_else(|| {
        wrong("no streams; the map is made from ffprobe -of json -show_format -show_streams -show_chapters")
    })?;
    let clock = Clock::of(probe, streams, from, to, emit)?;
    let format = probe.get("format").cloned().unwrap_or_default();
    let mut mapped = Vec::new();
    for stream in streams {
        mapped.push(match stream.get("codec_type").and_then(Value::as_str) {
            Some("video") => video(stream, &clock)?,
            Some("audio") => audio(stream, &clock)?,
            _ => other(stream),
        });
    }
    let mut chapters = Vec::new();
    for chapter in probe.get("chapters").and_then(Value::as_array).into_iter().flatten() {
        chapters.extend(mapped_chapter(chapter, &clock)?);
    }
    Ok(json!({
        "from": from.fraction(),
        "to": to.fraction(),
        "ratio": clock.ratio.fraction(),
        "zero_in": clock.zero.fraction(),
        "format": {
            "filename": format.get("filename").cloned().unwrap_or_default(),
            "start_time_in": fraction(seconds(&format, "start_time")?),
            "duration_in": fraction(seconds(&format, "duration")?),
            "duration": fraction(clock.duration),
        },
        "streams": mapped,
        "chapters": chapters,
    }))
}

/// A chapter, unless it is over before the map begins or begins after its end.
fn mapped_chapter(chapter: &Value, clock: &Clock) -> Result<Option<Value>> {
    let zero = Rational::whole(0);
    let since_zero = |time: Option<Rational>| clock.slowed(time.and_then(|t| t.checked_sub(clock.zero)));
    let (start_in, end_in) = (seconds(chapter, "start_time")?, seconds(chapter, "end_time")?);
    let (start, end) = (since_zero(start_in)?, since_zero(end_in)?);
    let is_before = clock.zero > zero && end.is_some_and(|end| end <= zero);
    let is_after = start.zip(clock.duration).is_some_and(|(start, duration)| start >= duration);
    if is_before || is_after {
        return Ok(None);
    }
    let mut all = Map::new();
    all.insert("id".into(), chapter.get("id").cloned().unwrap_or_default());
    all.insert("start_time_in".into(), fraction(start_in));
    all.insert("end_time_in".into(), fraction(end_in));
    all.insert("start_time".into(), fraction(start.map(|start| start.max(zero))));
    all.insert("end_time".into(), fraction(end));
    if let Some(tags) = chapter.get("tags") {
        all.insert("tags".into(), tags.clone());
    }
    Ok(Some(Value::Object(all)))
}

/// What every stream says of itself, in ffprobe's words.
fn same(stream: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for key in ["index", "codec_type", "codec_name"] {
        all.insert(key.into(), stream.get(key).cloned().unwrap_or_default());
    }
    if let Some(language) = stream.pointer("/tags/language") {
        all.insert("language".into(), language.clone());
    }
    all
}

/// The duration of a stream: its own, or its `DURATION` tag's (Matroska).
fn length(stream: &Value) -> Result<Option<Rational>> {
    if let Some(own) = seconds(stream, "duration")? {
        return Ok(Some(own));
    }
    Ok(stream.pointer("/tags/DURATION").and_then(Value::as_str).and_then(clock_time))
}

/// `00:00:05.280000000` in seconds.
fn clock_time(text: &str) -> Option<Rational> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let seconds: Rational = seconds.parse().ok()?;
    let whole = hours
        .parse::<i64>()
        .ok()?
        .checked_mul(3600)?
        .checked_add(minutes.parse::<i64>().ok()?.checked_mul(60)?)?;
    Rational::new(whole.checked_mul(seconds.den())?.checked_add(seconds.num())?, seconds.den())
}

/// Moving pictures, not a cover.
fn is_video(stream: &Value) -> bool {
    let still = stream.pointer("/disposition/attached_pic").and_then(Value::as_i64) == Some(1);
    stream.get("codec_type").and_then(Value::as_str) == Some("video") && !still
}

/// How many frames a stream has: counted by ffprobe, or as it says itself.
fn counted(stream: &Value) -> Option<u64> {
    let tags = stream.get("tags").unwrap_or(&Value::Null);
    let said = [
        (stream, "nb_read_packets"),
        (stream, "nb_frames"),
        (tags, "NUMBER_OF_FRAMES"),
        (tags, "NUMBER_OF_FRAMES-eng"),
    ];
    said.iter().find_map(|(object, key)| whole(object, key)).and_then(|count| count.try_into().ok())
}

fn video(stream: &Value, clock: &Clock) -> Result<Value> {
    let mut all = same(stream);
    if !is_video(stream) {
        return Ok(Value::Object(all));
    }
    // r_frame_rate counts fields in some interlaced streams; avg_frame_rate counts frames.
    let rates = [rate(stream, "avg_frame_rate"), rate(stream, "r_frame_rate")];
    let said = rates.iter().flatten().copied().collect::<Vec<_>>();
    if let (Some(&first), false) = (said.first(), said.contains(&clock.from)) {
        return Err(wrong(format!(
            "stream {} has {first} frames a second, --from says {}",
            all["index"], clock.from
        )));
    }
    all.insert("r_frame_rate_in".into(), clock.from.fraction().into());
    all.insert("r_frame_rate".into(), clock.to.fraction().into());
    all.insert("nb_frames".into(), clock.frames.map_or(Value::Null, Value::from));
    all.insert("duration_in".into(), fraction(length(stream)?));
    all.insert("duration".into(), fraction(clock.duration));
    start(&mut all, stream, clock)?;
    Ok(Value::Object(all))
}

fn audio(stream: &Value, clock: &Clock) -> Result<Value> {
    let mut all = same(stream);
    let sample_rate = whole(stream, "sample_rate")
        .filter(|&r| r > 0)
        .ok_or_else(|| wrong(format!("stream {} has no sample rate", all["index"])))?;
    let duration_in = length(stream)?;
    // The sound ends with the pictures; where nobody knows when that is, it stays as long as it is.
    let duration = clock.duration.map_or_else(|| clock.slowed(duration_in), |known| Ok(Some(known)))?;
    let samples = |time: Option<Rational>| -> Result<Value> {
        let Some(time) = time else { return Ok(Value::Null) };
        let exact = times(time, Rational::whole(sample_rate))?;
        let identity = Retime::new(Rational::whole(1)).ok_or_else(|| wrong("no identity"))?;
        let count = identity.ticks_between(exact.num(), Rational::whole(exact.den()), Rational::whole(1));
        Ok(count.map_or(Value::Null, Value::from))
    };
    let slower = clock.ratio.recip().ok_or_else(|| wrong("the ratio of the rates cannot be counted"))?;
    all.insert("sample_rate".into(), sample_rate.into());
    all.insert("channels".into(), stream.get("channels").cloned().unwrap_or_default());
    all.insert("duration_in".into(), fraction(duration_in));
    all.insert("duration".into(), fraction(duration));
    all.insert("samples_in".into(), samples(duration_in)?);
    all.insert("samples".into(), samples(duration)?);
    // Two ways to slow it: keep the pitch (rubberband, atempo), or lower it with the speed (asetrate, then aresample).
    all.insert("atempo".into(), slower.fraction().into());
    all.insert("asetrate".into(), times(Rational::whole(sample_rate), slower)?.fraction().into());
    start(&mut all, stream, clock)?;
    Ok(Value::Object(all))
}

/// Where the stream begins, before and after.
fn start(all: &mut Map<String, Value>, stream: &Value, clock: &Clock) -> Result<()> {
    let start = seconds(stream, "start_time")?;
    all.insert("start_time_in".into(), fraction(start));
    all.insert("start_time".into(), fraction(clock.slowed(start)?));
    Ok(())
}

/// Subtitles and the rest: their times are the map's ratio, no more is to be known.
fn other(stream: &Value) -> Value {
    Value::Object(same(stream))
}
