//! A kit for tests of SIP applications, sansip's own and others'.
//!
//! - [`frontend`]: a registrar and forking proxy as a pure machine.
//! - [`fuzz`]: what the fuzzers run.
//! - [`soak`]: random lives in that world, judged by what applications see.
//! - [`vectors`]: where shared test vectors are found.
//! - [`world`]: stacks, front ends and scripted peers in a simulated network under one virtual clock.

pub mod frontend;
pub mod fuzz;
pub mod soak;
pub mod vectors;
pub mod world;

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
