//! The ledger of conformance (`tests/ledger.tsv`): each mandatory purpose of a user agent in ETSI TS 102 027-2, the
//! tests that show it, or why it does not apply, or what is not shown yet. This prints it as a table:
//! `cargo test -p sansip-tests --test ledger -- --nocapture`.
//!
//! A line is a purpose, a tab, and names of tests that a comma parts, as the page of the rules writes them; or `n/a: ` or
//! `open: ` and the reason. What a purpose wants is said by the section of RFC 3261 that it names, beside the vectors.

#![allow(clippy::unwrap_used, reason = "in a suite, a panic is a failed test")]

#[path = "common/named.rs"]
mod named;

use std::collections::{BTreeMap, BTreeSet};

use sansip_testkit::vectors;

/// What stands after a purpose.
#[derive(Debug)]
enum Entry {
    Shown(Vec<String>),
    NotApplicable(String),
    Open(String),
}

impl Entry {
    fn new(text: &str) -> Self {
        if let Some(reason) = text.strip_prefix("n/a: ") {
            return Self::NotApplicable(reason.to_owned());
        }
        if let Some(missing) = text.strip_prefix("open: ") {
            return Self::Open(missing.to_owned());
        }
        Self::Shown(text.split(", ").map(str::to_owned).collect())
    }
}

/// In the order of the file, so that a purpose that stands there twice is seen.
fn ledger() -> Vec<(String, Entry)> {
    let line = |line: &str| {
        let (purpose, text) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
        (purpose.to_owned(), Entry::new(text))
    };
    named::read("tests/ledger.tsv").lines().map(line).collect()
}

/// The purposes of the vectors that are mandatory, some under a condition.
fn mandatory() -> Option<Vec<String>> {
    let bytes = vectors::bytes("etsi/ua_purposes.tsv")?;
    let text = String::from_utf8(bytes).unwrap();
    let purpose = |line: &str| {
        let mut cells = line.split('\t');
        let (purpose, status) = (cells.next()?, cells.next()?);
        status.starts_with("Mandatory").then(|| purpose.to_owned())
    };
    Some(text.lines().filter_map(purpose).collect())
}

#[test]
fn each_mandatory_purpose_has_one_line() {
    let Some(mandatory) = mandatory() else {
        return;
    };
    assert!(mandatory.len() > 200, "{} purposes found", mandatory.len());
    let lines: Vec<String> = ledger().into_iter().map(|(purpose, _)| purpose).collect();
    assert_eq!(lines, mandatory);
}

#[test]
fn each_line_names_tests_that_are_there_or_gives_a_reason() {
    let tests = named::tests();
    assert!(tests.len() > 500, "{} tests found", tests.len());
    let mut purposes = BTreeSet::new();
    let mut wrong = Vec::new();
    for (purpose, entry) in ledger() {
        match entry {
            Entry::Shown(names) => {
                let distinct: BTreeSet<&String> = names.iter().collect();
                assert_eq!(distinct.len(), names.len(), "{purpose} names a test twice");
                let missing = names.iter().filter(|test| !named::is_among(&tests, test));
                wrong.extend(missing.map(|test| format!("{purpose}: '{test}' is no test")));
            }
            Entry::NotApplicable(reason) | Entry::Open(reason) => {
                assert!(!reason.trim().is_empty(), "{purpose} has no reason");
            }
        }
        assert!(purposes.insert(purpose.clone()), "{purpose} is there twice");
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// `SIP_CC_OE_CE_V_001` is of the group `CC_OE_CE`.
fn group(purpose: &str) -> &str {
    let inner = purpose.strip_prefix("SIP_").unwrap_or(purpose);
    let ends = ["_TI_", "_I_", "_V_"].iter().filter_map(|kind| inner.find(kind));
    ends.min().map_or(inner, |end| &inner[..end])
}

#[test]
fn the_table_has_every_line() {
    let mut groups: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let ledger = ledger();
    let mut table = String::new();
    for (purpose, entry) in &ledger {
        let (column, word, text) = match entry {
            Entry::Shown(tests) => (0, "shown by", tests.join(", ")),
            Entry::NotApplicable(reason) => (1, "does not apply", reason.clone()),
            Entry::Open(missing) => (2, "not shown yet", missing.clone()),
        };
        groups.entry(group(purpose).to_owned()).or_default()[column] += 1;
        table += &format!("{purpose:<21} {word:<15} {text}\n");
    }
    let [mut shown, mut not_applicable, mut open] = [0; 3];
    table += &format!(
        "\n{:<10} {:>8} {:>15} {:>14}\n",
        "group", "shown by", "does not apply", "not shown yet"
    );
    for (group, counts) in &groups {
        table += &format!(
            "{group:<10} {:>8} {:>15} {:>14}\n",
            counts[0], counts[1], counts[2]
        );
        shown += counts[0];
        not_applicable += counts[1];
        open += counts[2];
    }
    table += &format!("{:<10} {shown:>8} {not_applicable:>15} {open:>14}\n", "all");
    println!("{table}");
    assert_eq!(shown + not_applicable + open, ledger.len());
}
