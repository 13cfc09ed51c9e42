//! What the stack costs: cases that do one thing as often as they are told, and the instruments that count what they
//! took. `benches/README.md` keeps the table.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark looks at the events and fields it knows"
)]

pub mod held;
pub mod measure;
pub mod messages;
pub mod pair;
pub mod registrar;
pub mod signing;
pub mod wire;

use measure::Case;

/// Every case that needs nothing but this stack.
pub fn cases() -> Vec<Case> {
    wire::cases()
        .into_iter()
        .chain(pair::cases())
        .chain(registrar::cases())
        .chain(signing::cases())
        .collect()
}
