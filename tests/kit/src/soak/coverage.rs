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

/// The cells that a whole stack can come to and none has been in.
pub(super) fn missing(cells: &Cells) -> Vec<Cell> {
    let reachable = |(cell, reach): &(Cell, Reach)| *reach == Reach::Reachable && cells.count(*cell) == 0;
    let all = MACHINES.iter().flat_map(sansip::cells::Machine::cells);
    all.filter(reachable).map(|(cell, _)| cell).collect()
}

/// The cells that a stack was in though it is said that none can be.
pub(super) fn refuted(cells: &Cells) -> Vec<(Cell, &'static str)> {
    let all = MACHINES.iter().flat_map(sansip::cells::Machine::cells);
    all.filter(|(cell, _)| cells.count(*cell) > 0)
        .filter_map(|(cell, reach)| match reach {
            Reach::Impossible(reason) => Some((cell, reason)),
            _ => None,
        })
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
