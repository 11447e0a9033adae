//! Names are taken as they are.

use crate::{Seen, option, sample, whole};
use pipelines::{clip, nearest};
use std::{fs, os::unix::fs::symlink, path::Path};

/// What shells, make, ffmpeg, mkvmerge and templates take for something else than a name.
const NAMES: [&str; 16] = [
    "concat:a|b %03d it's \"q\" $HOME $(HOME) {out} [x] #;*?\\ & \u{fc}\u{96fb}\u{5f71}",
    "-it's a\nnew line",
    "a b",
    "it's",
    "\"quoted\"",
    "$film",
    "$(film)",
    "two\nlines",
    "-dash",
    "--report=x",
    "concat:a|b",
    "%03d",
    "\u{fc}n\u{ef} \u{96fb}\u{5f71}",
    "@file",
    "{out} {src}",
    "back\\slash",
];

/// Called by a relative name in its own folder, the film, the engine and OUT.
#[test]
fn any_name_makes_the_right_film() {
    for (i, name) in NAMES.iter().enumerate().take(sample(2, NAMES.len())) {
        let folder = clip::folder();
        let path = |name: String| folder.path().join(name);
        let (source, engine, out) = (format!("{name}.mkv"), format!("{name} engine"), format!("{name} out"));
        fs::copy(clip::second(), path(source.clone())).unwrap();
        symlink(nearest(), path(engine.clone())).unwrap();
        let option_name = ["option4", "option5", "option0"][i % 3];
        let engine = format!("'./{}'", engine.replace('\'', "'\\''"));
        let ended =
            option(folder.path(), option_name, Path::new(&source), Path::new(&out), &[("ENGINE", &engine)])
                .run();
        assert_eq!(ended.code, 0, "{name:?}: {}", ended.stderr);
        let shown = out.replace('\n', "\\n");
        let closing = format!("film: {}/{option_name}/film.mkv, ", folder.path().join(shown).display());
        assert_eq!(ended.text().lines().count(), 1, "{name:?}: {}", ended.text());
        assert!(ended.text().starts_with(&closing), "{name:?}: {}", ended.text());
        let film = path(out).join(option_name).join("film.mkv");
        // What reads the film here need not know such names.
        fs::rename(film, path("right.mkv".into())).unwrap();
        assert!(Seen::of(&path("right.mkv".into())) == whole(option_name).seen, "{name:?}: another film");
    }
}

/// A checkpoint of any name is the network.
#[test]
fn any_name_is_a_checkpoint() {
    let builtin = pipelines::root().join("tools/basicvsrpp/models/builtin.safetensors");
    let network = |folder: &Path, weights: &str| {
        let more = [("ENGINE", ""), ("WEIGHTS", weights), ("DEVICE", "cpu"), ("FRAMES", "1")];
        option(folder, "option4", clip::second(), Path::new("out"), &more).run().ok();
        clip::decoded(&folder.join("out/option4/film.mkv"))
    };
    let folder = clip::folder();
    let right = network(folder.path(), "builtin");
    for name in NAMES.iter().take(sample(1, NAMES.len())) {
        let folder = clip::folder();
        let name = format!("{name}.safetensors");
        fs::copy(&builtin, folder.path().join(&name)).unwrap();
        assert_eq!(network(folder.path(), &name), right, "{name:?}");
    }
}
