//! The one time map of a film that is slowed down: what becomes of its video, its audio, its subtitles, its chapters.

use cli::{Error, Result, Session};
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use timebase::{Rational, Retime};

/// Reads ffprobe's JSON from standard input and prints the map to standard output.
pub fn run(session: &Session, from: Rational, to: Rational) -> Result<()> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|e| Error::failed("<stdin>", format!("cannot read: {}", cli::reason(&e))))?;
    let probe: Value = serde_json::from_str(&text)
        .map_err(|e| if e.is_eof() { Error::torn("<stdin>", e) } else { Error::failed("<stdin>", e) })?;
    let map = map(&probe, from, to)?;
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

/// The map of the film that `probe` describes, slowed from `from` to `to` frames a second. Its fields are documented in
/// `retime25to24(1)`.
///
/// Errors: no list of streams, a video stream of another rate than `from`, times that are none.
pub fn map(probe: &Value, from: Rational, to: Rational) -> Result<Value> {
    let streams = probe.get("streams").and_then(Value::as_array).ok_or_else(|| {
        wrong("no streams; the map is made from ffprobe -of json -show_format -show_streams -show_chapters")
    })?;
    let retime =
        Retime::between(from, to).ok_or_else(|| wrong("the ratio of the rates cannot be counted"))?;
    let ratio = retime.ratio();
    let slowed = |time: Option<Rational>| time.map(|t| times(t, ratio)).transpose();
    let format = probe.get("format").cloned().unwrap_or_default();
    let duration = seconds(&format, "duration")?;
    let mut mapped = Vec::new();
    for stream in streams {
        mapped.push(match stream.get("codec_type").and_then(Value::as_str) {
            Some("video") => video(stream, from, to, duration, ratio)?,
            Some("audio") => audio(stream, from, to, duration, ratio)?,
            _ => other(stream),
        });
    }
    let mut chapters = Vec::new();
    for chapter in probe.get("chapters").and_then(Value::as_array).into_iter().flatten() {
        let (start, end) = (seconds(chapter, "start_time")?, seconds(chapter, "end_time")?);
        let mut one = Map::new();
        one.insert("id".into(), chapter.get("id").cloned().unwrap_or_default());
        one.insert("start_time_in".into(), fraction(start));
        one.insert("end_time_in".into(), fraction(end));
        one.insert("start_time".into(), fraction(slowed(start)?));
        one.insert("end_time".into(), fraction(slowed(end)?));
        if let Some(tags) = chapter.get("tags") {
            one.insert("tags".into(), tags.clone());
        }
        chapters.push(Value::Object(one));
    }
    Ok(json!({
        "from": from.fraction(),
        "to": to.fraction(),
        "ratio": ratio.fraction(),
        "format": {
            "filename": format.get("filename").cloned().unwrap_or_default(),
            "start_time_in": fraction(seconds(&format, "start_time")?),
            "duration_in": fraction(duration),
            "duration": fraction(slowed(duration)?),
        },
        "streams": mapped,
        "chapters": chapters,
    }))
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

/// The duration of a stream: its own, its `DURATION` tag's (Matroska), else the film's.
fn length(stream: &Value, film: Option<Rational>) -> Result<Option<Rational>> {
    if let Some(own) = seconds(stream, "duration")? {
        return Ok(Some(own));
    }
    Ok(stream.pointer("/tags/DURATION").and_then(Value::as_str).and_then(clock).or(film))
}

/// `00:00:05.280000000` in seconds.
fn clock(text: &str) -> Option<Rational> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let seconds: Rational = seconds.trim_end_matches('0').trim_end_matches('.').parse().ok()?;
    let whole = hours
        .parse::<i64>()
        .ok()?
        .checked_mul(3600)?
        .checked_add(minutes.parse::<i64>().ok()?.checked_mul(60)?)?;
    Rational::new(whole.checked_mul(seconds.den())?.checked_add(seconds.num())?, seconds.den())
}

fn video(
    stream: &Value,
    from: Rational,
    to: Rational,
    film: Option<Rational>,
    ratio: Rational,
) -> Result<Value> {
    let mut all = same(stream);
    let still = stream.pointer("/disposition/attached_pic").and_then(Value::as_i64) == Some(1);
    if still {
        return Ok(Value::Object(all));
    }
    // r_frame_rate counts fields in some interlaced streams; avg_frame_rate counts frames.
    let rates = [rate(stream, "avg_frame_rate"), rate(stream, "r_frame_rate")];
    let said = rates.iter().flatten().copied().collect::<Vec<_>>();
    if let (Some(&first), false) = (said.first(), said.contains(&from)) {
        return Err(wrong(format!(
            "stream {} has {first} frames a second, --from says {from}",
            all["index"]
        )));
    }
    let duration = length(stream, film)?;
    let counted = whole(stream, "nb_frames").or_else(|| {
        let tags = stream.get("tags")?;
        whole(tags, "NUMBER_OF_FRAMES").or_else(|| whole(tags, "NUMBER_OF_FRAMES-eng"))
    });
    all.insert("r_frame_rate_in".into(), from.fraction().into());
    all.insert("r_frame_rate".into(), to.fraction().into());
    all.insert("nb_frames".into(), counted.map_or(Value::Null, Value::from));
    all.insert("duration_in".into(), fraction(duration));
    // Every frame is kept: the new duration is their number at the new rate where the number is known.
    let slowed = match counted.and_then(|n| Rational::whole(n).checked_div(to)) {
        Some(exact) => Some(exact),
        None => duration.map(|d| times(d, ratio)).transpose()?,
    };
    all.insert("duration".into(), fraction(slowed));
    start(&mut all, stream, ratio)?;
    Ok(Value::Object(all))
}

fn audio(
    stream: &Value,
    from: Rational,
    to: Rational,
    film: Option<Rational>,
    ratio: Rational,
) -> Result<Value> {
    let mut all = same(stream);
    let sample_rate = whole(stream, "sample_rate")
        .filter(|&r| r > 0)
        .ok_or_else(|| wrong(format!("stream {} has no sample rate", all["index"])))?;
    let duration = length(stream, film)?;
    let slowed = duration.map(|d| times(d, ratio)).transpose()?;
    let samples = |time: Option<Rational>| -> Result<Value> {
        let Some(time) = time else { return Ok(Value::Null) };
        let exact = times(time, Rational::whole(sample_rate))?;
        let identity = Retime::new(Rational::whole(1)).ok_or_else(|| wrong("no identity"))?;
        let count = identity.ticks_between(exact.num(), Rational::whole(exact.den()), Rational::whole(1));
        Ok(count.map_or(Value::Null, Value::from))
    };
    let slower = to.checked_div(from).ok_or_else(|| wrong("the ratio of the rates cannot be counted"))?;
    all.insert("sample_rate".into(), sample_rate.into());
    all.insert("channels".into(), stream.get("channels").cloned().unwrap_or_default());
    all.insert("duration_in".into(), fraction(duration));
    all.insert("duration".into(), fraction(slowed));
    all.insert("samples_in".into(), samples(duration)?);
    all.insert("samples".into(), samples(slowed)?);
    // Two ways to slow it: keep the pitch (atempo), or lower it with the speed (asetrate, then aresample back).
    all.insert("atempo".into(), slower.fraction().into());
    all.insert("asetrate".into(), times(Rational::whole(sample_rate), slower)?.fraction().into());
    start(&mut all, stream, ratio)?;
    Ok(Value::Object(all))
}

/// Where the stream begins, before and after.
fn start(all: &mut Map<String, Value>, stream: &Value, ratio: Rational) -> Result<()> {
    let start = seconds(stream, "start_time")?;
    all.insert("start_time_in".into(), fraction(start));
    all.insert("start_time".into(), fraction(start.map(|t| times(t, ratio)).transpose()?));
    Ok(())
}

/// Subtitles and the rest: their times are the map's ratio, no more is to be known.
fn other(stream: &Value) -> Value {
    Value::Object(same(stream))
}
