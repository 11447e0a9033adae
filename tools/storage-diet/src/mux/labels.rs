//! What a track is called: its language, its name and its flags, which are carried over as they are.

use crate::probe::Track;

/// mkvmerge's options for track 0 of the input that follows, from what `track` of the source says.
///
/// They are for mkvmerge's option file, in which each is one string whatever is in it.
pub fn labels(track: &Track) -> Vec<String> {
    let known = &track.properties;
    // mkvmerge names no language that it would refuse; where it knows none, neither do we.
    let languages = [known.language_ietf.as_deref(), known.language.as_deref()];
    let language = languages.into_iter().flatten().find(|tag| !tag.is_empty()).unwrap_or("und");
    let mut options = vec!["--language".into(), format!("0:{language}")];
    if let Some(name) = &known.track_name {
        options.extend(["--track-name".into(), format!("0:{name}")]);
    }
    for (flag, value) in [
        ("--default-track-flag", known.default_track),
        ("--forced-display-flag", known.forced_track),
        ("--track-enabled-flag", known.enabled_track),
        ("--hearing-impaired-flag", known.flag_hearing_impaired),
        ("--visual-impaired-flag", known.flag_visual_impaired),
        ("--text-descriptions-flag", known.flag_text_descriptions),
        ("--original-flag", known.flag_original),
        ("--commentary-flag", known.flag_commentary),
    ] {
        if let Some(value) = value {
            options.extend([flag.into(), format!("0:{}", u8::from(value))]);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_string_whatever_is_in_it() {
        let track: Track = serde_json::from_str(
            r#"{"id": 3, "type": "audio", "properties": {"language": "ger", "language_ietf": null, "default_track": false,
                "track_name": "x\n--attach-file\n/etc/passwd", "flag_commentary": true, "codec_id": "A_AC3"}}"#,
        )
        .unwrap();
        assert_eq!(
            labels(&track),
            [
                "--language",
                "0:ger",
                "--track-name",
                "0:x\n--attach-file\n/etc/passwd",
                "--default-track-flag",
                "0:0",
                "--commentary-flag",
                "0:1"
            ]
        );
    }
}
