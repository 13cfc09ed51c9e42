//! The whole table: this stack beside others, on the same twelve messages and in the same rounds.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`

mod ezk;
mod http;
mod rsip;
mod rsipstack;
mod sip_core;
mod verdict;

use sansip_benches::measure::{self, Case};

fn main() -> std::io::Result<()> {
    measure::run(&cases, &verdict::of)
}

fn cases() -> Vec<Case> {
    http::cases()
        .into_iter()
        .chain(sansip_benches::wire::cases())
        .chain(ezk::cases())
        .chain(rsip::cases())
        .chain(rsipstack::cases())
        .chain(sip_core::cases())
        .chain(sansip_benches::pair::cases())
        .chain(sansip_benches::registrar::cases())
        .collect()
}
