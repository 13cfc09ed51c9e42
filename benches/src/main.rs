//! The table without the other stacks; `benches/peers` prints it with them.

use sansip_benches::{cases, measure};

fn main() -> std::io::Result<()> {
    measure::run(&cases, &|_, _| String::new())
}
