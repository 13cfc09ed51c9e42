//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Trying: Self::Trying,
        Proceeding: Self::Proceeding { .. },
        Completed: Self::Completed { .. },
        Terminated: Self::Terminated,
    }
}

names! {
    Input {
        Request: Self::Request,
        Provisional: Self::Provisional(_),
        Final: Self::Final(_),
        TransportError: Self::TransportError,
        TimerJ: Self::TimerJ,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "server transaction",
    &[
        Impossible {
            states: &["Trying", "Proceeding"],
            inputs: &["TimerJ"],
            reason: "on a reliable transport timer J is not set",
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
