//! A pass as programs: each stage's text filled in with what is known of the job and of the stages before it.

use crate::{
    makefile::Makefile,
    recipe::{Pass, Stage},
    template::{Values, fill},
};

/// One program of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The stage that it is.
    pub stage: String,
    /// Its argument vector.
    pub words: Vec<String>,
}

/// What flows from one stage to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Flow {
    /// YUV4MPEG2, which says itself how large its pictures are.
    Y4m,
    /// RGB without a header, in pictures of that size.
    Raw(String),
}

/// The programs of `pass`, from the first of the pipe to the last; the last one writes `out`, where it writes a file.
///
/// Errors: a stage that the Makefile does not have, a value that nothing knows.
pub fn programs(
    makefile: &Makefile,
    pass: &Pass,
    values: &Values,
    out: &str,
) -> Result<Vec<Program>, String> {
    let mut values = values.clone();
    values.set_or_not("in", pass.input.as_ref());
    values.set("out", out);
    pipe(makefile, &pass.stages, &mut values, Flow::Y4m)
}

fn pipe(
    makefile: &Makefile,
    stages: &[Stage],
    values: &mut Values,
    mut flow: Flow,
) -> Result<Vec<Program>, String> {
    let mut programs: Vec<Program> = Vec::new();
    for stage in stages {
        values.set_or_not("raw", if let Flow::Raw(size) = &flow { Some(size) } else { None });
        values.set_words("upstream", upstream(&programs));
        let choose = |name: &str| values.word(name).map(str::to_owned);
        let text = makefile
            .text(&stage.name, &choose)
            .map_err(|name| format!("{name}: the Makefile has no such stage"))?;
        let mut words = fill(&text, values)?;
        words.extend(segment(makefile, &stage.segment, values, &flow)?);
        flow = after(&stage.name, values, flow);
        programs.push(Program { stage: stage.name.clone(), words });
    }
    Ok(programs)
}

/// What leaves a stage.
fn after(stage: &str, values: &Values, flow: Flow) -> Flow {
    let raw = |size| values.word(size).map_or(Flow::Y4m, |size| Flow::Raw(size.into()));
    match stage {
        "decode" | "read-yuv" | "retime" => Flow::Y4m,
        "prepare" | "read-rgb" => raw("prepared"),
        "enlarge" => raw("enlarged"),
        _ => flow,
    }
}

/// seg-sink looks whether as many frames came as the stages before it have reported.
fn upstream(before: &[Program]) -> Vec<String> {
    let reports = before.iter().filter_map(|program| {
        let at = program.words.iter().position(|word| word == "--report")?;
        program.words.get(at + 1)
    });
    reports.flat_map(|report| ["--upstream-report".to_owned(), report.clone()]).collect()
}

/// What seg-sink runs on each segment: `--mezz` and `--final`, in which it fills in the rest.
fn segment(
    makefile: &Makefile,
    passes: &[Pass],
    values: &Values,
    flow: &Flow,
) -> Result<Vec<String>, String> {
    let mut flags = Vec::new();
    for (i, pass) in passes.iter().enumerate() {
        let mut values = values.clone();
        for (name, place) in [("in", "{in}"), ("out", "{out}"), ("frames", "{frames}")] {
            values.set(name, place);
        }
        values.set_or_not("reports", None::<&str>);
        let flow = match flow {
            Flow::Raw(_) if pass.input.is_none() => Flow::Raw("{size}".into()),
            _ => Flow::Y4m,
        };
        let programs = pipe(makefile, &pass.stages, &mut values, flow)?;
        let command: Vec<String> = programs.iter().map(|p| as_template(&p.words)).collect();
        flags.push(if i + 1 == passes.len() { "--final" } else { "--mezz" }.to_owned());
        flags.push(command.join(" | "));
    }
    Ok(flags)
}

/// A command as seg-sink takes it: its places in braces stand as they are.
fn as_template(words: &[String]) -> String {
    let is_place = |word: &str| word.starts_with('{') && word.ends_with('}');
    let quoted =
        |word: &String| if is_place(word) { word.clone() } else { shell_words::quote(word).into_owned() };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// As a shell runs them.
pub fn as_shell(programs: &[Program]) -> String {
    let lines: Vec<String> = programs.iter().map(|program| shell_words::join(&program.words)).collect();
    lines.join(" |\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    fn values() -> Values {
        let mut values = Values::default();
        for (name, value) in [
            ("src", "/a film's.mkv"),
            ("from", "25"),
            ("prepared", "64x64"),
            ("enlarged", "256x256"),
            ("frames", "25"),
            ("all", "25"),
            ("done", "0"),
            ("segment", "10"),
            ("jobs", "1"),
            ("height", "144"),
            ("crf", "16"),
            ("preset", "slow"),
            ("encoder", "x265"),
            ("tune", "grain"),
            ("reports", "reports"),
            ("first", "0"),
            ("read", "25"),
            ("seen", "25"),
            ("next", "0"),
            ("window", "8"),
            ("overlap", "2"),
            ("field_phase", "off"),
            ("scale", "sar"),
            ("crop", "none"),
            ("engine", "nearest"),
            ("mezz", "nvenc"),
            ("qp", "18"),
        ] {
            values.set(name, value);
        }
        for name in [
            "whole",
            "seek",
            "limit",
            "places",
            "matrix",
            "chromaloc",
            "field_orders",
            "context",
            "emit",
            "weights",
            "device",
            "max_disk",
            "keep",
        ] {
            values.set_or_not(name, None::<&str>);
        }
        values
    }

    #[test]
    fn every_stage_of_every_option_can_be_filled_in() {
        for recipe in Recipe::all(Makefile::own()).unwrap() {
            for pass in &recipe.passes {
                programs(Makefile::own(), pass, &values(), "work/x").unwrap();
            }
        }
    }

    #[test]
    fn seg_sink_is_told_what_to_run_on_a_segment() {
        let all = Recipe::all(Makefile::own()).unwrap();
        let option5 = all.iter().find(|recipe| recipe.name == "option5").unwrap();
        let programs = programs(Makefile::own(), &option5.passes[0], &values(), "video.mkv").unwrap();
        let names: Vec<_> = programs.iter().map(|p| &*p.stage).collect();
        assert_eq!(names, ["decode", "prepare", "enlarge", "segments"]);
        let after = |flag: &str| {
            let words = &programs[3].words;
            words[words.iter().position(|word| word == flag).unwrap() + 1].clone()
        };
        assert_eq!(after("--size"), "256x256");
        assert!(
            after("--mezz").contains(" -s {size} ") && after("--mezz").ends_with(" {out}"),
            "{}",
            after("--mezz")
        );
        assert!(after("--final").contains(" -i {in} ") && after("--final").contains(" | retime25to24 "));
        assert_eq!(programs[3].words.iter().filter(|word| *word == "--upstream-report").count(), 2);
    }
}
