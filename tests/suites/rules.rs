//! The page of the rules (`sansip::rules`) and the tests that prove them say the same.

#![allow(clippy::unwrap_used, reason = "in a suite, a panic is a failed test")]

#[path = "common/named.rs"]
mod named;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sansip_testkit::vectors;

use named::{function, is_made, places, read, sources};

/// Rules that are open in part or whole. The list only gets shorter.
const OPEN: [&str; 0] = [];

/// A rule as the page has it.
#[derive(Debug, Default)]
struct Rule {
    text: String,
    proofs: Vec<String>,
    open: Option<String>,
}

/// A function under a `// rules:` comment.
#[derive(Debug)]
struct Proof {
    /// The crate and the modules of its file: `sansip::connection`, or the suite.
    place: String,
    /// With a `$` where a macro gives it its name.
    name: Option<String>,
    is_test: bool,
    rules: Vec<String>,
    line: String,
}

/// A letter of the groups and a number.
fn is_rule(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|group| "ERACPMSBX".contains(group))
        && !chars.as_str().is_empty()
        && chars.all(|digit| digit.is_ascii_digit())
}

/// By group and number, as they stand in the page.
fn order(rule: &str) -> (usize, u32) {
    let (group, number) = rule.split_at(1);
    ("ERACPMSBX".find(group).unwrap(), number.parse().unwrap())
}

fn page() -> BTreeMap<String, Rule> {
    let mut rules = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in read("core/src/rules.md").lines() {
        if let Some(name) = line.strip_prefix("## ") {
            assert!(is_rule(name), "'{name}' is no rule");
            assert!(
                last.as_ref().is_none_or(|last| order(last) < order(name)),
                "{name} is not in its place"
            );
            rules.insert(name.to_owned(), Rule::default());
            last = Some(name.to_owned());
        } else if let Some(rule) = last.as_ref().and_then(|name| rules.get_mut(name)) {
            if let Some(proofs) = line.strip_prefix("Proved by ") {
                rule.proofs = names_of(proofs);
            } else if let Some(open) = line.strip_prefix("Open: ") {
                rule.open = Some(open.to_owned());
            } else if !line.starts_with("# ") {
                rule.text.push_str(line);
            }
        }
    }
    rules
}

/// The names between back quotes, which a comma parts and a full stop ends.
fn names_of(proofs: &str) -> Vec<String> {
    let list = proofs.strip_suffix('.').unwrap();
    let name = |quoted: &str| {
        let name = quoted.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        name.unwrap_or_else(|| panic!("'{quoted}' is no name in back quotes"))
            .to_owned()
    };
    list.split(", ").map(name).collect()
}

/// Every `// rules:` comment of the tests.
fn proofs() -> Vec<Proof> {
    let mut proofs = Vec::new();
    for (file, place) in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(rules) = line.strip_prefix("// rules: ") else {
                continue;
            };
            let after = lines.iter().skip(index + 1);
            let head: Vec<&str> = after
                .copied()
                .take_while(|line| !line.is_empty() && !line.starts_with('}'))
                .collect();
            let name = head.iter().find_map(|line| function(line));
            let before = head.iter().take_while(|line| function(line).is_none());
            proofs.push(Proof {
                place: place.clone(),
                name: name.map(str::to_owned),
                is_test: before.clone().any(|line| *line == "#[test]"),
                rules: rules.split(", ").map(str::to_owned).collect(),
                line: format!("{}:{}", file.display(), index + 1),
            });
        }
    }
    proofs
}

fn is_at(proof: &Proof, test: &str) -> bool {
    places(test).any(|place| place == proof.place)
        && match &proof.name {
            Some(name) if name.starts_with('$') => is_made(test),
            Some(name) => test.rsplit("::").next() == Some(name),
            None => false,
        }
}

#[test]
fn every_rule_is_proved_or_said_to_be_open() {
    for (name, rule) in page() {
        assert!(!rule.text.is_empty(), "{name} says nothing");
        assert_eq!(
            rule.open.is_some(),
            OPEN.contains(&&*name),
            "{name}: what is open is on the list, and nothing else"
        );
        assert!(
            rule.open.is_some() || !rule.proofs.is_empty(),
            "{name} has no test"
        );
        let distinct: BTreeSet<&String> = rule.proofs.iter().collect();
        assert_eq!(distinct.len(), rule.proofs.len(), "{name} names a test twice");
    }
}

#[test]
fn every_test_that_is_named_is_there_and_names_its_rule() {
    let proofs = proofs();
    let mut wrong = Vec::new();
    for (name, rule) in page() {
        for test in &rule.proofs {
            let found: Vec<&Proof> = proofs.iter().filter(|proof| is_at(proof, test)).collect();
            if !found.iter().any(|proof| proof.rules.contains(&name)) {
                wrong.push(format!("{name}: {test}, of {found:?}"));
            }
            if !found.iter().any(|proof| proof.is_test || is_made(test)) {
                wrong.push(format!("{name}: {test} is no test"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_test_names_a_rule_that_the_page_does_not_have() {
    let page = page();
    let proofs = proofs();
    assert!(proofs.len() > 500, "{} comments found", proofs.len());
    for proof in &proofs {
        for rule in &proof.rules {
            assert!(page.contains_key(rule), "{}: '{rule}'", proof.line);
        }
        assert!(proof.name.is_some(), "{}: of no function", proof.line);
    }
}

#[test]
fn the_page_has_every_rule_that_was_promised() {
    let Some(promised) = vectors::shared("spec/rules.md") else {
        return;
    };
    let text = fs::read_to_string(promised).unwrap();
    let promised: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("- ")?.split(' ').next())
        .filter(|word| is_rule(word))
        .collect();
    assert!(promised.len() > 100, "{} rules found", promised.len());
    let here: Vec<String> = page().into_keys().collect();
    let mut promised: Vec<String> = promised.into_iter().map(str::to_owned).collect();
    promised.sort();
    assert_eq!(promised, here);
}

/// `tests/planted/run --rules` makes each and looks for a test of the page that fails.
#[test]
fn every_rule_that_is_proved_has_one_change_that_breaks_it() {
    let mut changes = BTreeMap::new();
    for line in read("tests/planted/rules").lines() {
        let Some(rule) = line.split(' ').next().filter(|word| is_rule(word)) else {
            continue;
        };
        *changes.entry(rule.to_owned()).or_insert(0) += 1;
    }
    for (name, rule) in page() {
        let count = changes.remove(&name).unwrap_or(0);
        assert!(count <= 1, "{name} has {count} changes");
        assert_eq!(count == 1, !rule.proofs.is_empty(), "{name} has {count} changes");
    }
    assert_eq!(changes, BTreeMap::new(), "changes of no rule");
}
