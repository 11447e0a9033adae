//! The manual against the tools: every flag of every `--help` is in its page and the other way round, and the pages are
//! well formed.

use pipelines::{TOOLS, root, shell, tool};
use std::collections::BTreeSet;

/// The tools that have their page, and the page.
fn pages() -> impl Iterator<Item = (&'static str, String)> {
    TOOLS
        .into_iter()
        .filter_map(|tool| Some((tool, std::fs::read_to_string(root().join(format!("man/{tool}.1"))).ok()?)))
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
