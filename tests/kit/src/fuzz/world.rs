//! A whole world: the bytes are a scenario of [`soak`](crate::soak).

use crate::soak::{self, Scenario};

/// What takes more steps to find is found sooner by those who draw longer scenarios from seeds.
const MOST: usize = 60;

/// Lives the scenario that the bytes are (see [`Scenario::of_bytes`]), twice, under the eyes of the oracle; steps after
/// the 60th are not taken. Gives how many were, one that does something for hundreds counted so.
///
/// # Panics
/// Something objected, or the two lives differ.
pub fn world(bytes: &[u8]) -> usize {
    let mut scenario = Scenario::of_bytes(bytes);
    scenario.steps.truncate(MOST);
    if let Err(failure) = soak::run(&scenario) {
        panic!("{failure}");
    }
    scenario.steps.iter().map(|step| step.weight()).sum()
}
