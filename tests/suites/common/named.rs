//! The tests of the workspace by name: `suites::NAME::TEST` is one of `tests/suites`, `CRATE::PATH::TEST` one beside the
//! code.

#![allow(dead_code, reason = "no suite needs all of it")]
#![allow(clippy::unwrap_used, reason = "in a suite, a panic is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

/// Every source that has tests, with the crate and the modules of its file: `sansip::connection`, or the suite.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for (folder, place) in [
        ("core/src", "sansip"),
        ("adapters/net/src", "sansip_net"),
        ("adapters/mio/src", "sansip_mio"),
        ("adapters/mio/tests", "sansip_mio::tests"),
        ("adapters/async-std/src", "sansip_async_std"),
        ("adapters/async-std/tests", "sansip_async_std::tests"),
        ("adapters/gssapi/src", "sansip_gssapi"),
        ("adapters/gssapi/tests", "sansip_gssapi::tests"),
        ("adapters/cli/src", "sansip_cli"),
        ("adapters/cli/tests", "sansip_cli::tests"),
        ("tests/kit/src", "sansip_testkit"),
        ("tests/suites", "suites"),
    ] {
        collect(&top().join(folder), place, &mut files);
    }
    for (_, place) in &mut files {
        // A suite of several files is one crate, in which a macro makes the tests.
        if let ["suites", suite, ..] = place.split("::").collect::<Vec<_>>()[..] {
            *place = format!("suites::{suite}");
        }
    }
    files
}

/// The sources below a folder, each with its crate and modules.
fn collect(folder: &Path, place: &str, files: &mut Vec<(PathBuf, String)>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let inner = match &*name {
            "lib" | "main" | "mod" => place.to_owned(),
            _ => format!("{place}::{name}"),
        };
        if path.is_dir() {
            collect(&path, &inner, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((path, inner));
        }
    }
}

/// The name of the function that the line begins.
pub(crate) fn function(line: &str) -> Option<&str> {
    let rest = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn "]
        .iter()
        .find_map(|start| line.strip_prefix(start))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')?;
    Some(&rest[..end])
}

/// The places of a test, longest first: of `a::b::c`, `a::b` and `a`.
pub(crate) fn places(test: &str) -> impl Iterator<Item = &str> {
    test.match_indices("::").map(|(end, _)| &test[..end])
}

/// Whether a macro of the suite makes a test of the function: its name stands in a list. `false` where there is no suite.
pub(crate) fn is_made(test: &str) -> bool {
    let (suite, name) = (
        test.split("::").nth(1).unwrap(),
        test.rsplit("::").next().unwrap(),
    );
    let single = format!("tests/suites/{suite}.rs");
    let path = if top().join(&single).exists() {
        single
    } else {
        format!("tests/suites/{suite}/main.rs")
    };
    let text = fs::read_to_string(top().join(path)).unwrap_or_default();
    text.lines().any(|line| line.trim().trim_end_matches(',') == name)
}

/// Every function under `#[test]`, with the place of its file before its name.
pub(crate) fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (file, place) in sources() {
        let text = fs::read_to_string(file).unwrap();
        let mut lines = text.lines().map(str::trim);
        while lines.any(|line| line == "#[test]") {
            if let Some(name) = lines.by_ref().find_map(function) {
                tests.insert(format!("{place}::{name}"));
            }
        }
    }
    tests
}

/// Whether one of the tests has this name: modules within a file may stand between its place and it.
pub(crate) fn is_among(tests: &BTreeSet<String>, test: &str) -> bool {
    let name = test.rsplit("::").next().unwrap_or(test);
    places(test).any(|place| tests.contains(&format!("{place}::{name}")))
        || (test.starts_with("suites::") && is_made(test))
}
