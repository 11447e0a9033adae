//! An independent look at a film: where its white frames and beeps are, by ffmpeg.

use pipelines::shell;
use std::path::Path;

/// What is seen and heard of a film, in seconds of its own clock.
#[derive(Debug)]
pub struct Seen {
    /// Pictures.
    pub pictures: Vec<f64>,
    /// White ones, the first of each row of them.
    pub flashes: Vec<f64>,
    /// Beginnings of beeps.
    pub beeps: Vec<f64>,
}

impl Seen {
    pub fn of(film: &Path) -> Self {
        let ffmpeg = |words: &str| {
            let script =
                format!("ffmpeg -hide_banner -nostats -nostdin -copyts -i \"$1\" {words} -f null - 2>&1");
            shell(&script).arg("ffmpeg").arg(film).run().ok().text().to_owned()
        };
        let after = |line: &str, name: &str| -> Option<f64> {
            let (_, rest) = line.split_once(name)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let lumas = "-v error -map 0:V:0 -fps_mode passthrough \
                     -vf scale=16:16:flags=area,format=gray,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-";
        let (mut pictures, mut flashes, mut was_white) = (Vec::new(), Vec::new(), false);
        for line in ffmpeg(lumas).lines() {
            if let Some(at) = after(line, "pts_time:") {
                pictures.push(at);
            }
            if let (Some(luma), Some(&at)) = (after(line, "signalstats.YAVG="), pictures.last()) {
                let is_white = luma > 140.0;
                if is_white && !was_white {
                    flashes.push(at);
                }
                was_white = is_white;
            }
        }
        // A beep is what is between the end of a silence and the beginning of the next: where the layout changes, the filter
        // begins anew, and there is nothing between.
        let has_sound = pipelines::ffprobe(film)["streams"]
            .as_array()
            .unwrap()
            .iter()
            .any(|s| s["codec_type"] == "audio");
        let silences = if has_sound {
            ffmpeg("-v info -map 0:a:0 -af silencedetect=noise=-20dB:d=0.06")
        } else {
            String::new()
        };
        let (mut beeps, mut end) = (Vec::new(), None);
        for line in silences.lines() {
            if let Some(at) = after(line, "silence_end: ") {
                end = Some(at);
            } else if let (Some(at), Some(begins)) = (after(line, "silence_start: "), end.take())
                && at - begins > 0.05
            {
                beeps.push(begins);
            }
        }
        Self { pictures, flashes, beeps }
    }
}

/// How a film is made of a source.
pub struct Asked<'a> {
    pub variables: Vec<(&'a str, &'a str)>,
    pub is_matroska: bool,
}

impl Asked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    /// Milliseconds by which beeps are further from pictures than in the source, at the start, in the middle and at the end; and
    /// the most by which anything is out of its place.
    ///
    /// Errors: something is not there, is there twice, or is 20 ms out of its place or more.
    pub fn off(&self, source: &Seen, film: &Seen) -> Result<([f64; 3], f64), String> {
        let rate = self.number("FROM").unwrap_or(25) as f64;
        let slower = rate / 24.0;
        let start = self.number("START").unwrap_or(0);
        // Where the clock begins anew, only what is before that becomes films.
        let in_order = |times: &[f64]| {
            times.windows(2).position(|pair| pair[1] < pair[0] - 0.1).map_or(times.len(), |at| at + 1)
        };
        let mut pictures = source.pictures[start..in_order(&source.pictures)].to_vec();
        if let Some(frames) = self.number("FRAMES") {
            pictures.truncate(frames);
        }
        // Behind a hole, the very last ones refer to what was cut off.
        let tail = pictures.len().saturating_sub(3).max(1);
        if self.get("GAPS").is_none()
            && let Some(hole) = (tail..pictures.len()).find(|&n| (pictures[n] - pictures[n - 1]) * rate > 1.6)
        {
            pictures.truncate(hole);
        }
        let first = pictures[0];
        let holes: Vec<(f64, f64)> = pictures
            .windows(2)
            .filter(|pair| (pair[1] - pair[0]) * rate > 1.6)
            .map(|pair| (pair[0] + 1.0 / rate, pair[1]))
            .collect();
        let frames = match self.get("GAPS") {
            Some("repeat") => ((pictures[pictures.len() - 1] - first) * rate).round() as usize + 1,
            _ => pictures.len(),
        };
        if film.pictures.len() != frames {
            return Err(format!("{} frames, not {frames}", film.pictures.len()));
        }
        let lead = if self.is_matroska { source.pictures[0] * slower } else { 0.0 };
        if (film.pictures[0] - lead).abs() > 0.020 {
            return Err(format!("begins at {}, not {lead}", film.pictures[0]));
        }
        // Where a moment of the source is in the film; nowhere, where it was cut out.
        let place = |at: f64| {
            let cut = self.get("GAPS") == Some("cut");
            let before: f64 =
                holes.iter().filter(|hole| cut && hole.1 <= at + 0.001).map(|hole| hole.1 - hole.0).sum();
            let gone = cut && holes.iter().any(|hole| hole.0 <= at && at + 0.001 < hole.1);
            let place = lead + (at - first - before) * slower;
            (!gone && at > first - 0.02 && place < lead + frames as f64 / 24.0 - 0.2).then_some(place)
        };
        let out_of_place =
            |name: &str, of_source: &[f64], of_film: &[f64]| -> Result<Vec<(f64, f64)>, String> {
                let of_source = &of_source[..in_order(of_source)];
                let places: Vec<f64> = of_source.iter().filter_map(|&at| place(at)).collect();
                let within = |at: &&f64| **at < lead + frames as f64 / 24.0 - 0.2;
                let there: Vec<f64> = of_film.iter().filter(within).copied().collect();
                if places.len() != there.len() || places.is_empty() != of_source.is_empty() {
                    return Err(format!("{name} at {there:.3?}, not at {places:.3?}"));
                }
                Ok(places
                    .into_iter()
                    .zip(there)
                    .map(|(place, there)| (place, (there - place) * 1000.0))
                    .collect())
            };
        let flashes = out_of_place("flashes", &source.flashes, &film.flashes)?;
        let beeps = out_of_place("beeps", &source.beeps, &film.beeps)?;
        let nearest = |at: f64| {
            let near = flashes.iter().min_by(|a, b| (a.0 - at).abs().total_cmp(&(b.0 - at).abs()));
            near.map_or(0.0, |flash| flash.1)
        };
        let apart: Vec<f64> = beeps.iter().map(|&(at, off)| off - nearest(at)).collect();
        let all = flashes.iter().chain(&beeps).map(|(_, off)| *off).chain(apart.iter().copied());
        let worst = all.fold(0.0, |worst: f64, off| worst.max(off.abs()));
        let at =
            [0, apart.len() / 2, apart.len().saturating_sub(1)].map(|n| apart.get(n).copied().unwrap_or(0.0));
        if worst >= 20.0 {
            Err(format!("{worst:.1} ms off: {flashes:.3?} {beeps:.3?}"))
        } else {
            Ok((at, worst))
        }
    }
}
