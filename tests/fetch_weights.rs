//! scripts/fetch-weights, without the network: names, verification, and what it says where nothing can be fetched.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const REDS: &str = "basicvsr_plusplus_c64n7_8x1_600k_reds4_20210217-db622b2f.pth";

fn fetch(args: &[&str], from: &Path) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/fetch-weights"))
        .args(args)
        .env("WEIGHTS_URL", format!("file://{}", from.display()))
        .output()
        .unwrap()
}

fn fails(output: &Output, code: i32, last_line: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().last(), Some(format!("fetch-weights: {last_line}").as_str()), "{said}");
    assert_eq!(output.status.code(), Some(code));
    assert!(output.stdout.is_empty());
}

#[test]
fn an_unknown_name_gets_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let names = "reds4, vimeo90k-bi, vimeo90k-bd, ntire-vsr, ntire-decompress-1, ntire-decompress-2, ntire-decompress-3";
    let said = format!("reds5: no such checkpoint; there are: {names}");
    fails(&fetch(&["reds5"], folder.path()), 2, &said);
    fails(&fetch(&[], folder.path()), 2, "usage: fetch-weights NAME [DIR], or --list");
    let list = fetch(&["--list"], folder.path());
    assert!(list.status.success());
    assert_eq!(String::from_utf8(list.stdout).unwrap().lines().count(), 7);
}

#[test]
fn what_cannot_be_fetched_is_named() {
    let [there, here] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (from, to) = (there.path().display(), here.path().display());
    let said =
        format!("cannot fetch it; fetch file://{from}/{REDS} yourself, put it into {to} and call again");
    fails(&fetch(&["reds4", here.path().to_str().unwrap()], there.path()), 1, &said);
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
}

#[test]
fn a_file_with_another_hash_is_refused() {
    let [there, here] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    fs::write(there.path().join(REDS), "a page that says it is not found").unwrap();
    let target = here.path().join(REDS);
    let wrong = |path: &str| {
        format!("{path}: its SHA-256 begins with f2a02e08, not db622b2f: not the published file")
    };
    let partial = format!("{}.partial", target.display());
    fails(&fetch(&["reds4", here.path().to_str().unwrap()], there.path()), 1, &wrong(&partial));
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
    // Nor is one that was already there, and it stays where it is.
    fs::copy(there.path().join(REDS), &target).unwrap();
    fails(
        &fetch(&["reds4", here.path().to_str().unwrap()], there.path()),
        1,
        &wrong(target.to_str().unwrap()),
    );
    assert!(target.exists());
}
