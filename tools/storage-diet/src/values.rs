//! What the stages are told: the typed variables, and what is known of the film and of the frames to be made.

use crate::{
    folder::REPORTS,
    mux::Audio,
    span::{self, Span},
    template::Values,
    variables::Variables,
    verify::Prepare,
};

/// What the stages are told: of pictures that are cropped so, as CROP has it or as was found, and then have the size `prepared`.
pub fn values(variables: &Variables, (crop, prepared): (Option<&str>, &str), span: Span) -> Values {
    let mut values = Values::default();
    settings(variables, &mut values);
    values.set("crop", crop.unwrap_or(variables.get("CROP")));
    values.set("prepared", prepared);
    values.set("enlarged", enlarged(prepared));
    span.tell(&mut values);
    values
}

/// Those that are typed.
pub fn settings(variables: &Variables, values: &mut Values) {
    for (name, variable) in [
        ("src", "SRC"),
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
    values.set_or_not("max_disk", variables.given("MAX_DISK"));
    values.set_or_not("keep", variables.given("KEEP").map(|_| "--keep"));
    values.set("segment", span::segment(variables));
    values.set("reports", REPORTS);
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
/// Errors: a scale or a crop that is none.
pub fn prepare(variables: &Variables, crop: Option<&str>) -> Result<Prepare, String> {
    let crop = crop.unwrap_or(variables.get("CROP")).parse()?;
    Ok(Prepare { scale: variables.get("SCALE").parse()?, crop })
}

/// How the sound is slowed.
pub fn audio(variables: &Variables) -> Audio {
    if variables.get("AUDIO") == "pitch-lowered" { Audio::PitchLowered } else { Audio::PitchKept }
}
