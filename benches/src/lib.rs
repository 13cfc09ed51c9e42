//! What the stack costs: cases that do one thing as often as they are told, and the instruments that count what they
//! took. `benches/README.md` keeps the table.

pub mod held;
pub mod measure;
pub mod messages;
pub mod pair;
pub mod registrar;
pub mod wire;

use measure::Case;

/// Every case that needs nothing but this stack.
pub fn cases() -> Vec<Case> {
    wire::cases()
        .into_iter()
        .chain(pair::cases())
        .chain(registrar::cases())
        .collect()
}
