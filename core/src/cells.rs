//! Which cells the machines have been in: how often each machine, in which state, was given which input.
//!
//! It adds a table of counts and nothing else: what a stack does is the same with and without it. Tests use it to see
//! how far they reach, with [`MACHINES`] as the whole that there is to reach: each machine with its states and inputs,
//! and of each pair whether a whole stack can come to it or why not.
//!
//! A machine is here if it has a `step` over its state and an input. Not here, since they have none: the exchange (its
//! table drives it by many calls), the search for addresses (a walk with two calls), authentication (tables, no states).

use alloc::collections::BTreeMap;
use core::fmt;

use crate::{
    connection, endpoint, locate, notifier, publication, registration, session, subscription, transaction,
};

/// Every machine that reports.
pub const MACHINES: &[Machine] = &[
    transaction::CLIENT_INVITE,
    transaction::CLIENT,
    transaction::SERVER_INVITE,
    transaction::SERVER,
    connection::LIFETIME,
    connection::LISTENER,
    locate::QUERY,
    registration::cells::MACHINE,
    endpoint::reach::cells::MACHINE,
    session::INVITATION,
    session::REFERRAL,
    session::REFEREE,
    session::TIMER,
    session::OFFER,
    session::RENEGOTIATION,
    session::PROPOSAL,
    session::RELIABLE_RESPONSES,
    session::RECOVERY,
    subscription::SUBSCRIPTION,
    notifier::WATCHER,
    publication::PUBLICATION,
];

/// One machine in one state, given one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The name of the machine.
    pub machine: &'static str,
    /// The state that it was in before the step.
    pub state: &'static str,
    /// What it was given.
    pub input: &'static str,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} <- {}", self.machine, self.state, self.input)
    }
}

/// Whether a whole stack can come to a cell, whatever its peer, its embedder and its application do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// It can.
    Reachable,
    /// It cannot, and why: the figure of the machine, or what its owner sees to.
    Impossible(&'static str),
}

/// A machine: its states, its inputs, and the cells that no stack comes to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Machine {
    /// Unique among the machines.
    pub name: &'static str,
    /// As it tells them apart: a state of the figure that its step divides is there in its parts.
    pub states: &'static [&'static str],
    /// Likewise.
    pub inputs: &'static [&'static str],
    impossible: &'static [Impossible],
}

/// Cells that one reason keeps a stack from: these states with these inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Impossible {
    pub(crate) states: &'static [&'static str],
    pub(crate) inputs: &'static [&'static str],
    pub(crate) reason: &'static str,
}

impl Machine {
    pub(crate) const fn new<S: Named, I: Named>(
        name: &'static str,
        impossible: &'static [Impossible],
    ) -> Self {
        Self {
            name,
            states: S::NAMES,
            inputs: I::NAMES,
            impossible,
        }
    }

    /// Every cell of the machine, state by state.
    pub fn cells(&self) -> impl Iterator<Item = (Cell, Reach)> {
        let Self {
            name, states, inputs, ..
        } = *self;
        states.iter().flat_map(move |state| {
            inputs.iter().map(move |input| {
                let cell = Cell {
                    machine: name,
                    state,
                    input,
                };
                (cell, self.reach(cell))
            })
        })
    }

    pub(crate) fn reach(&self, cell: Cell) -> Reach {
        let found = self
            .impossible
            .iter()
            .find(|group| group.states.contains(&cell.state) && group.inputs.contains(&cell.input));
        found.map_or(Reach::Reachable, |group| Reach::Impossible(group.reason))
    }
}

/// How often each cell was visited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells(BTreeMap<Cell, u64>);

impl Cells {
    /// The cells that were visited, with how often, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Cell, u64)> {
        self.0.iter().map(|(cell, count)| (*cell, *count))
    }

    /// How often a cell was visited.
    pub fn count(&self, cell: Cell) -> u64 {
        self.0.get(&cell).copied().unwrap_or(0)
    }

    /// Adds what another table has counted.
    pub fn absorb(&mut self, other: &Self) {
        for (cell, count) in other.iter() {
            *self.0.entry(cell).or_default() += count;
        }
    }

    pub(crate) fn visit(&mut self, machine: &Machine, state: &impl Named, input: &impl Named) {
        let cell = Cell {
            machine: machine.name,
            state: state.name(),
            input: input.name(),
        };
        *self.0.entry(cell).or_default() += 1;
    }
}

/// A state or an input that has a name; see [`names`].
pub(crate) trait Named {
    const NAMES: &'static [&'static str];
    fn name(&self) -> &'static str;
}

/// Names what a step tells apart, by patterns that leave nothing out: a new variant does not compile before it is here.
macro_rules! names {
    ($type:ty { $($name:ident: $pattern:pat $(if $guard:expr)?),+ $(,)? }) => {
        impl $crate::cells::Named for $type {
            const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            fn name(&self) -> &'static str {
                match self {
                    $($pattern $(if $guard)? => stringify!($name)),+
                }
            }
        }
    };
}
pub(crate) use names;

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    fn is_set(names: &[&'static str]) -> bool {
        names.iter().collect::<BTreeSet<_>>().len() == names.len()
    }

    #[test]
    fn every_cell_is_listed_once() {
        let mut cells = BTreeSet::new();
        for machine in MACHINES {
            assert!(
                is_set(machine.states) && is_set(machine.inputs),
                "{}",
                machine.name
            );
            assert_eq!(
                machine.cells().count(),
                machine.states.len() * machine.inputs.len()
            );
            for (cell, _) in machine.cells() {
                assert!(cells.insert(cell), "{cell} is listed twice");
            }
        }
    }

    #[test]
    fn every_cell_that_is_impossible_is_so_for_one_reason() {
        for machine in MACHINES {
            let mut reasons: BTreeMap<(&str, &str), &str> = BTreeMap::new();
            for group in machine.impossible {
                assert!(!group.reason.is_empty());
                for state in group.states {
                    assert!(machine.states.contains(state), "{}: {state}", machine.name);
                    for input in group.inputs {
                        assert!(machine.inputs.contains(input), "{}: {input}", machine.name);
                        let other = reasons.insert((state, input), group.reason);
                        assert_eq!(other, None, "{}: {state} <- {input}", machine.name);
                    }
                }
            }
            let reachable = machine.cells().filter(|(_, reach)| *reach == Reach::Reachable);
            assert!(reachable.count() > 0, "{} cannot be reached", machine.name);
        }
    }

    #[test]
    fn counts_add_up() {
        let [first, second] = [&MACHINES[0], &MACHINES[1]].map(|machine| machine.cells().next().unwrap().0);
        let table = |visits: &[Cell]| {
            let mut table = Cells::default();
            for cell in visits {
                *table.0.entry(*cell).or_default() += 1;
            }
            table
        };
        let mut sum = table(&[first, first]);
        sum.absorb(&table(&[first, second]));
        assert_eq!(sum, table(&[first, second, first, first]));
        assert_eq!((sum.count(first), sum.count(second)), (3, 1));
        assert_eq!(sum.iter().map(|(_, count)| count).sum::<u64>(), 4);
    }
}
