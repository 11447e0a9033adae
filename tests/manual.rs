//! The manual against the tools: every flag of every `--help` is in its page and the other way round, and the pages are
//! well formed.

use pipelines::{TOOLS, bin, clip, root, shell, tool};
use std::collections::BTreeSet;
use storage_diet::{makefile::Makefile, recipe::Recipe};

/// Each tool and its page.
fn pages() -> impl Iterator<Item = (&'static str, String)> {
    let read = |page| std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{page}: {e}"));
    TOOLS.into_iter().map(move |tool| (tool, read(format!("{}/man/{tool}.1", root().display()))))
}

/// The flags that `--help` lists: the lines that begin with one, as `-s, --size <WxH>`.
fn listed(help: &str) -> BTreeSet<String> {
    let heads = help.lines().map(str::trim_start).filter(|l| l.starts_with('-'));
    heads
        .flat_map(|l| l.split_whitespace().take(2))
        .map(|word| word.trim_end_matches(','))
        .filter(|word| word.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

/// The flags that a page describes: those that head an item, as `.It Fl s , Fl -size Ar WxH`.
fn described(page: &str) -> BTreeSet<String> {
    let heads = page.lines().filter_map(|l| l.strip_prefix(".It "));
    heads
        .flat_map(|head| head.split_whitespace().zip(head.split_whitespace().skip(1)))
        .filter(|&(macro_name, _)| macro_name == "Fl")
        .map(|(_, flag)| format!("-{flag}"))
        .collect()
}

#[test]
fn every_flag_is_in_the_manual_and_every_flag_of_the_manual_is_there() {
    for (name, page) in pages() {
        let help = tool(name, "--help").run().ok();
        let (listed, described) = (listed(help.text()), described(&page));
        let unknown: Vec<_> = described.difference(&listed).collect();
        let silent: Vec<_> = listed.difference(&described).collect();
        assert!(
            unknown.is_empty() && silent.is_empty(),
            "{name}: only in the page {unknown:?}, only in --help {silent:?}"
        );
    }
}

#[test]
fn every_page_is_well_formed() {
    let lint = shell("mandoc -T lint -W warning man/*.[157]").within(root()).run();
    assert_eq!((lint.code, lint.text()), (0, ""));
}

#[test]
fn every_page_has_what_its_reader_looks_for() {
    for (name, page) in pages() {
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            assert!(page.contains(&format!(".Sh {section}")), "man/{name}.1 has no {section}");
        }
    }
}

/// Exit codes and reports are in rawstream(5); storage-diet(7) only sends its reader there.
#[test]
fn no_page_sends_its_reader_in_a_circle() {
    for (name, page) in pages() {
        let text = page.split("\n.Sh SEE ALSO").next().unwrap();
        assert!(!text.contains(".Xr storage-diet 7"), "man/{name}.1");
    }
}

/// The commands in a page's EXAMPLES, one string each: `.Dl` lines, and displays whole.
fn examples(page: &str) -> Vec<String> {
    let section = page.split(".Sh EXAMPLES").nth(1).unwrap().split("\n.Sh ").next().unwrap();
    let plain = |line: &str| {
        let line = line.trim_start_matches("$ ").trim_start_matches("> ");
        line.replace("\\(dq", "\"").replace("\\&", "").replace("\\e", "\\").replace("\\ ", " ")
    };
    let (mut all, mut display) = (Vec::new(), None::<String>);
    for line in section.lines() {
        match (&mut display, line) {
            (None, _) if line.starts_with(".Bd ") => display = Some(String::new()),
            (Some(_), ".Ed") => all.extend(display.take()),
            (Some(text), _) if !line.starts_with('.') => *text += &(plain(line) + "\n"),
            // A line after `>` goes on with the one before it.
            (None, _) => match (line.strip_prefix(".Dl "), all.last_mut()) {
                (Some(more), Some(before)) if more.starts_with("> ") => {
                    *before += &("\n".to_owned() + &plain(more))
                }
                (told, _) => all.extend(told.map(plain)),
            },
            _ => {}
        }
    }
    all
}

#[test]
fn every_example_uses_flags_that_exist() {
    let mut seen = 0;
    for (name, page) in pages() {
        for example in examples(&page) {
            // From each tool's name to the end of its stage in the pipe.
            for tool_name in TOOLS {
                let help = listed(tool(tool_name, "--help").run().ok().text());
                for stage in example.split(&format!("{tool_name} ")).skip(1) {
                    let stage = stage.split(['|', '>', '\'', ')', '&']).next().unwrap();
                    for flag in stage.split_whitespace().filter(|w| w.starts_with('-') && *w != "-") {
                        assert!(help.contains(flag), "man/{name}.1: {tool_name} has no {flag}: {example}");
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} flags were found in all examples");
}

#[test]
fn the_examples_that_need_only_a_film_run() {
    let folder = clip::folder();
    std::os::unix::fs::symlink(clip::second(), folder.path().join("film.mkv")).unwrap();
    let page = |file: &str| std::fs::read_to_string(root().join("man").join(file)).unwrap();
    for (file, words, says) in [
        ("deint-crop.1", "--analyze", "1024:432:0:72"),
        ("retime25to24.1", "--map", "5"),
        ("sr-window.1", "--plan", "first_frame"),
        ("rawstream.5", "frame.rgb48le", ""),
    ] {
        let examples = examples(&page(file));
        let example =
            examples.iter().find(|e| e.contains(words)).unwrap_or_else(|| panic!("{file}: no {words}"));
        let ended = shell(example).within(folder.path()).run().ok();
        assert!(ended.text().contains(says), "{file}: {example} says {}", ended.text());
    }
    assert_eq!(folder.path().join("frame.rgb48le").metadata().unwrap().len(), 1024 * 576 * 6);
    std::fs::write(folder.path().join("basicvsr_plusplus_reds4.pth"), "").unwrap();
    for example in examples(&page("storage-diet.7")) {
        // The film that is here is of one second.
        let make = format!("make -f '{}/Makefile' BIN='{}' -n ", root().display(), bin().display());
        let short = [
            ("make ", &*make),
            ("START=90000 FRAMES=250", "START=9 FRAMES=9"),
            ("PART=", "SEGMENT=5f PART="),
        ];
        let example = short.iter().fold(example, |example, (from, to)| example.replace(from, to));
        shell(&example).within(folder.path()).run().ok();
    }
}

/// The README's tour: what follows `$` is run, and the lines after it are what it must say.
#[test]
fn the_tour_says_what_it_says() {
    let folder = clip::folder();
    std::os::unix::fs::symlink(clip::second(), folder.path().join("film.mkv")).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let tour = readme.split("\n## A tour\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut steps: Vec<(&str, String)> = Vec::new();
    for line in tour.lines().filter_map(|l| l.strip_prefix("    ")) {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command, String::new())),
            (None, step) => step.unwrap().1 += &format!("{line}\n"),
        }
    }
    assert!(steps.len() > 9, "{} steps", steps.len());
    for (command, output) in steps {
        let ended =
            shell(&format!("exec 2>&1; set +e; {command}")).env("LC_ALL", "C").within(folder.path()).run();
        assert_eq!(ended.text(), output, "{command}");
    }
}

/// What README and storage-diet(7) say of the options is what the Makefile has.
#[test]
fn the_tables_follow_the_options() {
    let makefile = Makefile::own();
    let recipes = Recipe::all(makefile).unwrap();
    let names: Vec<_> = recipes.iter().map(|recipe| &*recipe.name).collect();

    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section =
        readme.split("\n## What is on the disk meanwhile\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|l| l.starts_with("| `"))
        .map(|l| l.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.iter().map(|row| row[1].trim_matches('`')).collect::<Vec<_>>(), names);
    for (row, recipe) in rows.iter().zip(&recipes) {
        let keeps = |head: &str| recipe.files().any(|file| file.starts_with(head));
        let in_segments = recipe.passes.last().unwrap().stages.last().unwrap().segment.len() > 1;
        // option5's mezzanine is named by `recommended` as option5's.
        let after = keeps("mezz.") || in_segments;
        assert_eq!(row[2].contains("before"), keeps("pre."), "{}: {}", recipe.name, row[2]);
        assert_eq!(
            row[2].contains("after") || row[2].contains("as option5"),
            after,
            "{}: {}",
            recipe.name,
            row[2]
        );
        assert_eq!(row[4].contains("segment"), recipe.is_segmented(), "{}: {}", recipe.name, row[4]);
    }

    let page = std::fs::read_to_string(root().join("man/storage-diet.7")).unwrap();
    let program = |stage: &str| {
        makefile.text(stage, &|_| Some("x265".into())).unwrap().split(' ').next().unwrap().to_owned()
    };
    for recipe in &recipes {
        let item = page.split(&format!(".It Cm {}\n", recipe.name)).nth(1);
        let item = item.unwrap_or_else(|| panic!("storage-diet(7) has no {}", recipe.name));
        let Some(display) = item.split("\n.It ").next().unwrap().split(".Bd -literal\n").nth(1) else {
            continue;
        };
        let display: Vec<_> = display.split("\n.Ed").next().unwrap().lines().map(str::trim).collect();
        let passes: Vec<String> = recipe
            .passes
            .iter()
            .map(|pass| {
                let mut words: Vec<String> = pass.stages.iter().map(|stage| program(&stage.name)).collect();
                if let Some(input) = &pass.input {
                    words[0] += &format!(" {input}");
                }
                let last = words.len() - 1;
                match &pass.output {
                    Some(output) => words[last] += &format!(" {output}"),
                    None if !pass.is_segmented() => words[last] += " film.mkv",
                    None => {}
                }
                words.join(" | ")
            })
            .collect();
        assert_eq!(display[..passes.len()], passes, "{}", recipe.name);
    }
}
