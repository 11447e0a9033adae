//! Sound on the slower clock, from the first picture to the end of the last, to the sample, or to the nearest frame of a
//! codec that cannot end inside one.

use super::{Job, ac3::Mix, labels::labels};
use crate::{
    clock::Clock,
    probe::{Stream, Track},
    program::{Program, file},
    reading::{Layout, Sound},
};
use cli::{Error, Result, Session};
use std::{fmt, path::Path, str::FromStr};
use timebase::{Rational, Retime};

/// How sound is slowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    /// Its pitch stays.
    PitchKept,
    /// Its pitch falls with the speed, which undoes the PAL speed-up.
    PitchLowered,
}

impl FromStr for Audio {
    type Err = &'static str;

    fn from_str(name: &str) -> std::result::Result<Self, Self::Err> {
        match name {
            "pitch-kept" => Ok(Self::PitchKept),
            "pitch-lowered" => Ok(Self::PitchLowered),
            "copy" => Err(
                "sound that is not slowed runs ahead of the pictures, by 4 %; say pitch-kept or pitch-lowered",
            ),
            _ => Err("there are pitch-kept and pitch-lowered"),
        }
    }
}

impl fmt::Display for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PitchKept => "pitch-kept",
            Self::PitchLowered => "pitch-lowered",
        })
    }
}

impl Audio {
    /// Can this machine's ffmpeg do it?
    pub fn check(self) -> Result<()> {
        if self == Self::PitchLowered {
            return Ok(());
        }
        silence(["-af", "rubberband"]).run().map_err(|e| {
            Error::failed(
                "AUDIO=pitch-kept",
                format!("this machine cannot: {e}; AUDIO=pitch-lowered does without"),
            )
        })
    }

    /// ffmpeg's filters that multiply the times of sound of `rate` samples a second by `ratio`.
    fn slower(self, ratio: Rational, rate: u64) -> String {
        let (slow, fast) = (ratio.num(), ratio.den());
        match self {
            // Rubber Band keeps transients where they belong (atempo wanders by 20 ms and loses the end). It swallows the
            // first moments of a sound, so it gets silence in front, and it is early by 85 samples: 60 for clicks, 110 for
            // noise.
            Self::PitchKept => {
                let lead = (5000 / slow).max(1);
                format!(
                    "adelay={}S:all=1,rubberband=tempo={fast}/{slow}:channels=together,\
                     atrim=start_sample={},asetpts=N/SR/TB",
                    lead * fast,
                    lead * slow - 85
                )
            }
            // The names of rates do not matter, their ratio does; these are whole whatever the sound's own rate is.
            Self::PitchLowered => format!("asetrate={fast}000,aresample={slow}000,asetrate={rate}"),
        }
    }
}

/// What a track is encoded with.
#[derive(Debug, PartialEq)]
struct Encoder {
    /// The file's extension, by which ffmpeg knows its format.
    file: &'static str,
    options: Vec<String>,
    /// Samples in a frame of the codec.
    frame: i64,
    /// Samples by which its decoder is late, which are cut off in front of the encoder.
    lag: i64,
    /// Frames that mkvmerge needs to see to know such a file for what it is.
    least: i64,
}

impl Encoder {
    fn new(file: &'static str, codec: &str, options: Vec<String>) -> Self {
        let options = ["-c:a".to_owned(), codec.to_owned()].into_iter().chain(options).collect();
        Self { file, options, frame: 1, lag: 0, least: 1 }
    }

    /// What ffmpeg cannot encode well becomes FLAC.
    fn of(sound: &Stream, mix: impl FnOnce() -> Result<Vec<String>>) -> Result<Self> {
        let rate = || {
            let asked = sound.bit_rate.unwrap_or(192_000);
            vec!["-b:a".to_owned(), allowed(sound.codec(), asked).unwrap_or(asked).to_string()]
        };
        let wide = sound.channels.is_some_and(|channels| channels > 6);
        Ok(match sound.codec() {
            "ac3" | "eac3" if !wide => {
                let (name, options) =
                    (if sound.codec() == "ac3" { "ac3" } else { "eac3" }, [rate(), mix()?].concat());
                Self { frame: 1536, lag: 256, least: 2, ..Self::new(name, name, options) }
            }
            "mp2" => Self { frame: 1152, lag: 481, least: 5, ..Self::new("mp2", "mp2", rate()) },
            "mp3" => {
                let options = [rate(), vec!["-write_xing".into(), "0".into()]].concat();
                Self { frame: 1152, lag: 1105, least: 5, ..Self::new("mp3", "libmp3lame", options) }
            }
            "aac" => Self { frame: 1024, lag: 1024, ..Self::new("aac", "aac", rate()) },
            "opus" => Self::new("opus", "libopus", rate()),
            "vorbis" => Self::new("ogg", "libvorbis", rate()),
            codec if codec.starts_with("pcm_s16") => {
                Self::new("flac", "flac", vec!["-sample_fmt".into(), "s16".into()])
            }
            _ => Self::new("flac", "flac", Vec::new()),
        })
    }

    /// Whole frames of the codec that are nearest to `samples`, in samples.
    fn whole(&self, samples: i64) -> i64 {
        (2 * samples + self.frame) / (2 * self.frame) * self.frame
    }
}

/// ffmpeg, at work on a moment of silence.
fn silence(how: [&str; 2]) -> Program {
    Program::ffmpeg().args(["-f", "lavfi", "-i", "anullsrc=d=0.1"]).args(how).args(["-f", "null", "-"])
}

/// Can this machine's ffmpeg encode the sound tracks of `src`, each by its own codec?
pub(super) fn check<'a>(src: &Path, tracks: impl Iterator<Item = &'a Stream>) -> Result<()> {
    let mut tried = Vec::new();
    for (n, sound) in tracks.enumerate() {
        let codec = Encoder::of(sound, || Ok(Vec::new()))?.options.swap_remove(1);
        if !tried.contains(&codec) {
            silence(["-c:a", &codec]).about(format_args!("{}: sound track {n}", src.display())).run()?;
            tried.push(codec);
        }
    }
    Ok(())
}

/// The bit rate nearest to `asked` that frames of a codec can have; where all can be had, none. What is measured of packets is
/// rounded as their times are.
fn allowed(codec: &str, asked: u64) -> Option<u64> {
    // ISO/IEC 11172-3, table 3-B.2, layers II and III; ATSC A/52, table 5.18.
    let kilobits: &[u64] = match codec {
        "mp2" => &[32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        "mp3" => &[32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        "ac3" => &[32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640],
        _ => return None,
    };
    kilobits.iter().map(|kilobits| kilobits * 1000).min_by_key(|allowed| allowed.abs_diff(asked))
}

/// Makes sound track `n`, which is `sound` to ffprobe and `track` to mkvmerge; mkvmerge's options for it.
pub(super) fn track(
    session: &Session,
    job: &Job<'_>,
    n: usize,
    (sound, read): (&Stream, &Sound),
    track: &Track,
) -> Result<Vec<String>> {
    let name = format!("{}: sound track {n}", job.src.display());
    let failed = |reason: &str| Error::failed(&name, reason);
    let index = sound.index.to_string();
    let Some(layout) = read.layout() else {
        session.note(format_args!("{name}: nothing of it can be decoded, left out"));
        return Ok(Vec::new());
    };
    let sound = &Stream {
        channels: Some(layout.channels),
        sample_rate: Some(layout.sample_rate),
        bit_rate: read.bit_rate().or(sound.bit_rate),
        ..sound.clone()
    };
    let rate = sound.sample_rate.filter(|&rate| rate > 0).ok_or_else(|| failed("has no sample rate"))?;
    let long = Rational::whole(rate.try_into().map_err(|_| failed("has no sample rate"))?);
    let samples = long.checked_mul(job.clock.duration).ok_or_else(|| failed("has too many samples"))?.round();

    let mix = || {
        let first = ["-map", &format!("0:{index}"), "-c", "copy", "-frames:a", "1", "-f", "data", "-"];
        let bytes = Program::ffmpeg().about(&name).arg("-i").arg(file(&job.src)).args(first).output()?;
        if Mix::of(&bytes).is_none() {
            session.note(format_args!("{name}: its first frame does not say how loud it is"));
        }
        Ok(Mix::of(&bytes).map_or_else(Vec::new, |mix| mix.options()))
    };
    let mut encoder = Encoder::of(sound, mix)?;
    if encoder.whole(samples) < encoder.least * encoder.frame {
        encoder = Encoder::new("flac", "flac", Vec::new());
    }
    if encoder.file == "flac" && sound.codec() != "flac" {
        session.note(format_args!("{name}: {} becomes FLAC", sound.codec()));
    }

    let micro = |seconds: Rational| seconds.checked_mul(Rational::whole(1_000_000)).map(Rational::round);
    let begins = micro(job.clock.begins);
    let begins = begins.ok_or_else(|| failed("begins at a time that cannot be counted"))?;
    let ratio =
        job.clock.retime().map(Retime::ratio).ok_or_else(|| failed("has a rate that cannot be counted"))?;
    let (lag, end) = (encoder.lag, encoder.lag + encoder.whole(samples));
    let filters = format!(
        "asetpts=PTS-{begins}/1000000/TB,aresample=async=1:min_hard_comp=0.02:first_pts=0,{}{},apad,\
         atrim=start_sample={lag}:end_sample={end},asetpts=N/SR/TB",
        without(job.clock, job.clock.begins.to_f64(), rate),
        job.audio.slower(ratio, rate)
    );
    let out = format!("sound{n}.{}", encoder.file);
    let decoder: &[&str] = if matches!(sound.codec(), "ac3" | "eac3") { &["-drc_scale", "0"] } else { &[] };
    let map = ["-map", &format!("0:{index}"), "-map_metadata", "-1", "-map_chapters", "-1"];
    let decode = || {
        Program::ffmpeg().about(&name).arg("-copyts").args(decoder).arg("-i").arg(file(&job.src)).args(map)
    };
    let out_file = job.fresh(&out)?;
    if read.changes() {
        // Filters begin anew at each change, and with them their clock: one ffmpeg brings all of it to one layout, with the
        // times that it has, and another does the rest.
        let Layout { channels, channel_layout, .. } = layout;
        let one = format!("aformat=sample_fmts=flt:sample_rates={rate}:channel_layouts={channel_layout}");
        let all: Vec<String> = (0..*channels).map(|channel| channel.to_string()).collect();
        let named = format!("channelmap=map={}:channel_layout={channel_layout},{filters}", all.join("|"));
        let mut one = decode().args(["-af", &one, "-c:a", "pcm_f32le", "-f", "nut", "-"]).start()?;
        let pipe = one.stdout().ok_or_else(|| failed("cannot be read"))?;
        let rest = Program::ffmpeg()
            .about(&name)
            .stdin(pipe)
            .args(["-copyts", "-f", "nut", "-i", "-", "-af", &named]);
        let rest = rest.args(encoder.options).arg(file(&out_file)).run();
        match one.finish() {
            Err(e) if rest.is_ok() => return Err(e),
            _ => rest?,
        }
        session.note(format_args!("{name}: {}", becomes(read, layout)));
    } else {
        decode().args(["-af", &filters]).args(encoder.options).arg(file(&out_file)).run()?;
    }
    Ok([vec!["--sync".into(), format!("0:{}", job.delay)], labels(track), vec![out]].concat())
}

/// What changes in a track, and what all of it becomes.
fn becomes(read: &Sound, layout: &Layout) -> String {
    let differs =
        |differs: fn(&Layout, &Layout) -> bool| read.stretches.iter().any(|one| differs(&one.layout, layout));
    let layouts = differs(|one, other| one.channel_layout != other.channel_layout);
    let rates = differs(|one, other| one.sample_rate != other.sample_rate);
    let Layout { channel_layout, sample_rate, .. } = layout;
    match (layouts, rates) {
        (true, true) => {
            format!("its layout and rate change; all of it becomes {channel_layout} at {sample_rate} Hz")
        }
        (false, true) => format!("its rate changes; all of it becomes {sample_rate} Hz"),
        _ => format!("its layout changes; all of it becomes {channel_layout}"),
    }
}

/// Filters that leave out what is cut out of the film, of sound without a hole whose first sample is heard at second `origin`
/// of the source.
pub(crate) fn without(clock: &Clock, origin: f64, rate: u64) -> String {
    if clock.cuts.is_empty() {
        return String::new();
    }
    // Pieces of a quarter of a frame, or so that they are whole samples: what is left out is as long as the frames are.
    let frames = clock.from.round().unsigned_abs().max(1);
    let per_second =
        [4 * frames, 2 * frames, frames].into_iter().find(|&n| rate.is_multiple_of(n)).unwrap_or(100);
    let outside = clock.cuts.iter().map(|cut| {
        let pieces = |seconds: f64| (seconds * per_second as f64).round();
        let begins = pieces(cut.at.to_f64() - origin);
        // Borders between the beginnings of two pieces.
        let at = |piece: f64| (piece - 0.5) / per_second as f64;
        format!("between(t,{:.4},{:.4})", at(begins), at(begins + pieces(cut.length.to_f64())))
    });
    format!(
        "asetnsamples=n={}:p=0,aselect='not({})',asetpts=N/SR/TB,",
        rate / per_second,
        outside.collect::<Vec<_>>().join("+")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(codec: &str, channels: usize) -> Encoder {
        let (codec_name, channels) = (Some(codec.to_owned()), Some(channels));
        let sound = Stream { codec_name, channels, bit_rate: Some(448_000), ..Stream::default() };
        Encoder::of(&sound, || Ok(vec!["-dialnorm".into(), "-27".into()])).unwrap()
    }

    #[test]
    fn a_codec_stays_where_ffmpeg_can_encode_it_well() {
        let ac3 = encoder("ac3", 6);
        assert_eq!(ac3.options.join(" "), "-c:a ac3 -b:a 448000 -dialnorm -27");
        assert_eq!((ac3.file, ac3.frame, ac3.lag), ("ac3", 1536, 256));
        assert_eq!(encoder("dts", 6).options.join(" "), "-c:a flac");
        assert_eq!(encoder("pcm_s16be", 2).options.join(" "), "-c:a flac -sample_fmt s16");
        assert_eq!(encoder("eac3", 8).file, "flac", "ffmpeg's encoder knows six channels");
    }

    #[test]
    fn bit_rates_are_those_of_the_codec() {
        assert_eq!(allowed("mp2", 418_000), Some(384_000));
        assert_eq!(allowed("ac3", 192_512), Some(192_000));
        assert_eq!(allowed("aac", 123_456), None);
    }

    #[test]
    fn sound_ends_with_the_pictures() {
        // 50 frames at 24 a second, 48 kHz.
        assert_eq!(encoder("ac3", 2).whole(100_000), 65 * 1536);
        assert_eq!(encoder("flac", 2).whole(100_000), 100_000);
    }

    #[test]
    fn speed_and_pitch_are_whole_numbers_apart() {
        let ratio = Rational::new(25, 24).unwrap();
        assert_eq!(
            Audio::PitchLowered.slower(ratio, 48_000),
            "asetrate=24000,aresample=25000,asetrate=48000"
        );
        assert_eq!(
            Audio::PitchKept.slower(ratio, 48_000),
            "adelay=4800S:all=1,rubberband=tempo=24/25:channels=together,atrim=start_sample=4915,asetpts=N/SR/TB"
        );
    }
}
