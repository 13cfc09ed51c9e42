//! The command `sansip` from the outside: every test runs the binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;
mod inspect;
mod keep;
mod network;
mod sessions;
mod states;
mod usage;
