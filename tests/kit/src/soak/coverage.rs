//! What was reached: a life in which nothing happens proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use sansip::cells::{Cell, Cells, MACHINES, Reach};

use crate::world::Fault;

/// How often each fault has struck, and how often while an operation was under way on the host that it struck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    counts: BTreeMap<Fault, (u64, u64)>,
}

impl Faults {
    pub(super) fn count(&mut self, fault: Fault, busy: bool) {
        let (all, with_operation) = self.counts.entry(fault).or_default();
        *all += 1;
        *with_operation += u64::from(busy);
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        for (fault, (all, busy)) in &other.counts {
            let known = self.counts.entry(*fault).or_default();
            known.0 += all;
            known.1 += busy;
        }
    }

    /// Each fault there is, how often it has struck, and how often while an operation was under way.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64, u64)> {
        Fault::ALL.iter().map(|fault| {
            let (all, busy) = self.counts.get(fault).copied().unwrap_or_default();
            (*fault, all, busy)
        })
    }

    /// Those that never struck while an operation was under way.
    pub fn missing(&self) -> Vec<Fault> {
        self.iter()
            .filter(|(.., busy)| *busy == 0)
            .map(|(fault, ..)| fault)
            .collect()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>10} {:>22}",
            "fault", "struck", "during an operation"
        )?;
        self.iter()
            .try_for_each(|(fault, all, busy)| writeln!(f, "{fault:<26} {all:>10} {busy:>22}"))
    }
}

/// Cells that a stack can come to and these scenarios do not yet: machine, state, inputs. Most want two things at one
/// time, while a lazy adapter holds a connection between two of its steps. The table tests of the machines cover them.
const NOT_YET: &[(&str, &str, &[&str])] = &[
    (
        "connection",
        "Parting",
        &["Connected", "Untrusted", "Unused", "Proven", "Disconnect"],
    ),
    (
        "connection",
        "Closing",
        &[
            "Connected",
            "Untrusted",
            "Closed",
            "Unused",
            "Proven",
            "Disconnect",
        ],
    ),
    ("listener", "Starting", &["Stop"]),
    ("invitation", "Accepting", &["Cancel"]),
    ("invitation", "Leaving", &["Cancel"]),
];

fn is_wanted(cell: Cell) -> bool {
    !NOT_YET.iter().any(|(machine, state, inputs)| {
        *machine == cell.machine && *state == cell.state && inputs.contains(&cell.input)
    })
}

/// The cells that a whole stack can come to and none has been in; those of [`NOT_YET`] apart.
pub(super) fn missing(cells: &Cells) -> Vec<Cell> {
    let all = MACHINES.iter().flat_map(sansip::cells::Machine::cells);
    let reachable = all.filter(|(_, reach)| *reach == Reach::Reachable);
    reachable
        .map(|(cell, _)| cell)
        .filter(|cell| is_wanted(*cell))
        .filter(|cell| cells.count(*cell) == 0)
        .collect()
}

/// How often each cell of each machine was reached: states down, inputs across; `-` for what cannot be.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a Cells);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for machine in MACHINES {
            write!(f, "\n{:<14}", machine.name)?;
            machine
                .inputs
                .iter()
                .try_for_each(|input| write!(f, " {input:>9}"))?;
            for state in machine.states {
                write!(f, "\n  {state:<12}")?;
                for (cell, reach) in machine.cells().filter(|(cell, _)| cell.state == *state) {
                    let width = cell.input.len().max(9);
                    match reach {
                        Reach::Impossible(_) if self.0.count(cell) == 0 => write!(f, " {:>width$}", "-")?,
                        _ => write!(f, " {:>width$}", self.0.count(cell))?,
                    }
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
