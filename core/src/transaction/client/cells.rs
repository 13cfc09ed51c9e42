//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Trying: Self::Trying { .. },
        Proceeding: Self::Proceeding { .. },
        Completed: Self::Completed,
        Terminated: Self::Terminated,
    }
}

names! {
    Input {
        Provisional: Self::Provisional,
        Final: Self::Final,
        TransportError: Self::TransportError,
        TimerE: Self::TimerE,
        TimerF: Self::TimerF,
        TimerK: Self::TimerK,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "client transaction",
    &[
        Impossible {
            states: &["Trying", "Proceeding"],
            inputs: &["TimerE", "TimerK"],
            reason: "every transport is reliable: nothing is retransmitted, nothing is waited for",
        },
        Impossible {
            states: &["Completed"],
            inputs: Input::NAMES,
            reason: "on a reliable transport Completed is passed through within the step",
        },
        Impossible {
            states: &["Terminated"],
            inputs: Input::NAMES,
            reason: "a terminated machine is removed before its next input",
        },
    ],
);
