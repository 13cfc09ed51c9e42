//! A kit for tests of SIP applications, sansip's own and others'.
//!
//! - [`frontend`]: a registrar and forking proxy as a pure machine.
//! - [`fuzz`]: what the fuzzers run.
//! - [`races`]: every order in which what stacks do to each other can happen, two or a caller with those whom a proxy rings;
//!   the program of that name searches further.
//! - [`recovery`]: lives in which the path to a server breaks without a word; the program of that name lives many of them.
//! - [`soak`]: scenarios in that world from a seed, bytes or text, judged by what is seen from outside; the program of
//!   that name lives many of them.
//! - [`vectors`]: where shared test vectors are found.
//! - [`world`]: stacks, front ends and scripted peers in a simulated network under one virtual clock.

pub mod frontend;
pub mod fuzz;
mod oracle;
pub mod races;
pub mod recovery;
pub mod soak;
pub mod vectors;
pub mod world;

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
