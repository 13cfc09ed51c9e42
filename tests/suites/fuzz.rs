//! The committed corpus of the fuzzers through the same functions, with the same bounds on what an input may cost.
//! Alone in its binary, and one test: nothing else may allocate meanwhile.

#![allow(clippy::unwrap_used, reason = "in a suite, a panic is a failed test")]

use std::alloc::System;
use std::path::Path;

use sansip_testkit::fuzz::{TARGETS, Work};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn spent() -> Work {
    let stats = ALLOCATOR.stats();
    Work {
        bytes: stats.bytes_allocated,
        calls: stats.allocations + stats.reallocations,
    }
}

// rules: X1, X2, X3, X5, X6, C29, C31
#[test]
fn what_the_fuzzers_begin_with_finds_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut failed = Vec::new();
    for target in TARGETS {
        let folder = std::fs::read_dir(corpus.join(target.name)).unwrap();
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} has a corpus", target.name);
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let found = std::panic::catch_unwind(|| target.judge(&bytes, spent));
            if found.is_err() {
                failed.push(file.display().to_string());
            }
        }
        target.judge(&[], spent);
    }
    assert!(failed.is_empty(), "found by {failed:#?}");
}
