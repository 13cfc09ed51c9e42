//! The laws of the stack's contract on whatever the letters of a scenario can say: mutants of the fuzzers' corpus, from
//! seeds. The scenario itself looks at the laws 1 (any call in any order, lazy and late embedders), 2 (nothing before a
//! deadline, progress at it), 3 (the same actions for all bytes in pieces of one), 4 (each is run twice) and 5 (the
//! census), see [`sansip_testkit::fuzz::stack()`]. One by one, by their numbers, they are properties of random histories in
//! the suite of the contract; law 6, that every bound holds at n and at n + 1, in the suite of the limits; and for each
//! machine alone, in the core's `laws`.

#![allow(clippy::unwrap_used, reason = "in a suite, a panic is a failed test")]

use std::panic::catch_unwind;
use std::path::Path;

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sansip_testkit::fuzz;
use sansip_testkit::world::seeds;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn below(dice: &mut ChaCha12Rng, bound: usize) -> usize {
    usize::try_from(dice.next_u32()).unwrap() % bound.max(1)
}

/// The settings of one scenario, some steps of several, and some letters and digits of neither.
fn mutant(corpus: &[Vec<u8>], dice: &mut ChaCha12Rng) -> Vec<u8> {
    let pick = below(dice, corpus.len());
    let mut out: Vec<u8> = corpus.get(pick).unwrap().iter().take(2).copied().collect();
    for _ in 0..=below(dice, 4) {
        let pick = below(dice, corpus.len());
        let other = corpus.get(pick).unwrap();
        let (from, count) = (below(dice, other.len()), below(dice, 60));
        out.extend(other.iter().skip(from).take(count));
    }
    for _ in 0..below(dice, 6) {
        let (at, letter) = (below(dice, out.len()), below(dice, 26));
        let digit = below(dice, 16);
        let step = [
            b'a' + u8::try_from(letter).unwrap(),
            b'0' + u8::try_from(digit).unwrap(),
        ];
        out.splice(at..at, step);
    }
    out
}

fn hold(target: &str, count: u64, run: fn(&[u8]) -> usize) {
    let corpus = corpus(target);
    let mut steps = 0;
    for seed in seeds(count) {
        let bytes = mutant(&corpus, &mut ChaCha12Rng::seed_from_u64(seed));
        let done = catch_unwind(|| run(&bytes));
        let text = bytes.escape_ascii();
        steps += done.unwrap_or_else(|_| panic!("SANSIP_SEED={seed}, {target}: {text}"));
    }
    assert!(steps > 0, "nothing has happened");
}

// rules: X1, X2, X3, X5, X6, C29
#[test]
fn the_laws_hold_for_a_stack_under_any_scenario() {
    hold("stack", 400, fuzz::stack);
}

// rules: X1, X5, X6
#[test]
fn they_hold_for_a_front_end_too() {
    hold("frontend", 400, fuzz::frontend);
}
