//! What the stages are told: the typed variables, and what is known of the film and of the frames to be made.

use crate::{
    folder::REPORTS,
    mux::Audio,
    prepare::Prepare,
    program,
    reading::{Picture, Reading},
    span::{self, Span},
    template::Values,
    timeline::{Gaps, Timeline},
    variables::{RATE, Variables},
};
use rawstream::Matrix;
use timebase::Rational;

/// How a film's pictures come.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Where they belong.
    pub timeline: &'a Timeline,
    /// What they are.
    pub kind: &'a Picture,
    /// Seconds to seek before the first of them that is read, where that is not the film's first.
    pub seek: Option<f64>,
    /// The file that says which field of each comes first, where that is not the same of all.
    pub field_orders: Option<&'static str>,
}

/// What the stages are told: of pictures that are cropped so, as CROP has it or as was found, and then have the size `prepared`.
///
/// Errors: ffmpeg does not say what options it has.
pub fn values(
    variables: &Variables,
    pictures: Pictures<'_>,
    (crop, prepared): (Option<&str>, &str),
    span: Span,
) -> cli::Result<Values> {
    let mut values = Values::default();
    settings(variables, &mut values)?;
    values.set("crop", crop.unwrap_or(variables.get("CROP")));
    values.set("prepared", prepared);
    values.set("enlarged", enlarged(prepared));
    span.tell(&mut values);
    pictures.tell(variables, span.read, &mut values);
    Ok(values)
}

impl<'a> Pictures<'a> {
    /// Those of a film that begins with frame `start` of its timeline.
    pub fn new(reading: &'a Reading, timeline: &'a Timeline, start: u64) -> Option<Self> {
        let kind = reading.pictures.at(timeline.of_source(start))?;
        // Half a frame before the first, from where ffmpeg counts.
        let half = 0.5 / timeline.rate.to_f64();
        let at = timeline.time(0)?.to_f64() - reading.start_us as f64 / 1e6 - half;
        Some(Self { timeline, kind, seek: (timeline.base > 0).then_some(at), field_orders: None })
    }

    /// When each is shown, for ffmpeg's `setpts`, where that is not as the film has it. Where all are there they are numbered;
    /// where some are missing their times say which, one tick less, so that of two places that are as near the earlier one
    /// is taken, as everywhere else.
    pub fn places(self) -> Option<String> {
        match self.timeline.is_mended() {
            true => Some("PTS-STARTPTS-1".to_owned()),
            false => (self.timeline.rate != Rational::whole(RATE as i64))
                .then(|| format!("N/{}/TB", self.timeline.rate)),
        }
    }

    /// Each at its place, up to the one before `read`, and in the colours that they are in.
    pub fn tell(self, variables: &Variables, read: u64, values: &mut Values) {
        let places = self.places();
        if places.is_some() || self.timeline.orphans() > 0 {
            values.set("limit", read);
        }
        values.set_or_not("places", places);
        values.set_or_not("seek", self.seek.map(|seek| format!("{seek:.6}")));
        values.set_or_not("matrix", matrix(variables, self.kind).map(|matrix| matrix.to_string()));
        values.set_or_not("field_orders", self.field_orders);
        values.set_or_not("chromaloc", self.kind.chroma_location.is_none().then_some("left"));
    }
}

/// The matrix of the film's colours: as MATRIX says, or the film itself; `None` where neither does, or the film in words
/// that the filters do not know.
pub fn matrix(variables: &Variables, picture: &Picture) -> Option<Matrix> {
    let said = variables.given("MATRIX").or(picture.color_space.as_deref());
    said.and_then(|name| name.parse().ok())
}

/// Those that are typed.
///
/// Errors: ffmpeg does not say what options it has.
pub fn settings(variables: &Variables, values: &mut Values) -> cli::Result<()> {
    for (name, variable) in [
        ("src", "SRC"),
        ("from", "FROM"),
        ("scale", "SCALE"),
        ("field_phase", "FIELD_PHASE"),
        ("window", "WINDOW"),
        ("overlap", "OVERLAP"),
        ("height", "HEIGHT"),
        ("encoder", "ENCODER"),
        ("preset", "PRESET"),
        ("crf", "CRF"),
        ("tune", "TUNE"),
        ("mezz", "MEZZ"),
        ("qp", "QP"),
        ("jobs", "JOBS"),
    ] {
        values.set(name, variables.get(variable));
    }
    let engine = variables.given("ENGINE");
    values.set_or_not("engine", engine);
    for (name, variable) in [("weights", "WEIGHTS"), ("device", "DEVICE")] {
        values.set_or_not(name, Some(variables.get(variable)).filter(|_| engine.is_none()));
    }
    values.set_words("whole", program::whole()?.iter().map(|word| (*word).into()).collect());
    values.set_or_not("max_disk", variables.given("MAX_DISK"));
    values.set_or_not("keep", variables.given("KEEP").map(|_| "--keep"));
    values.set("segment", span::segment(variables));
    values.set("reports", REPORTS);
    Ok(())
}

/// The size that a picture has after the network.
pub fn enlarged(prepared: &str) -> String {
    match prepared.parse::<cli::Size>() {
        Ok(size) => format!("{}x{}", 4 * size.width, 4 * size.height),
        Err(_) => prepared.into(),
    }
}

/// How the pictures are prepared, where they are cropped as CROP has it or as was found.
///
/// Errors: a scale, a crop or a matrix that is none.
pub fn prepare(variables: &Variables, crop: Option<&str>) -> Result<Prepare, String> {
    let crop = crop.unwrap_or(variables.get("CROP")).parse()?;
    let matrix = variables.given("MATRIX").map(str::parse).transpose()?;
    Ok(Prepare { scale: variables.get("SCALE").parse()?, crop, matrix })
}

/// How the sound is slowed.
pub fn audio(variables: &Variables) -> Audio {
    if variables.get("AUDIO") == "pitch-lowered" { Audio::PitchLowered } else { Audio::PitchKept }
}

/// Where the film's pictures belong.
pub fn timeline(reading: &Reading, variables: &Variables) -> Timeline {
    let rate = Rational::whole(i64::try_from(variables.number("FROM")).unwrap_or(i64::MAX));
    let gaps = match variables.get("GAPS") {
        "repeat" => Gaps::Repeat,
        "cut" => Gaps::Cut,
        _ => Gaps::Refuse,
    };
    Timeline::new(&reading.pictures, rate, gaps, variables.number("START"))
}
