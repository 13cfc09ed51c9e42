//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Calling: Self::Calling { .. },
        Proceeding: Self::Proceeding { .. },
        Completed: Self::Completed { .. },
        Accepted: Self::Accepted,
        Terminated: Self::Terminated,
    }
}

names! {
    Input {
        Provisional: Self::Provisional,
        Success: Self::Success,
        Failure: Self::Failure { .. },
        TransportError: Self::TransportError,
        TimerA: Self::TimerA,
        TimerB: Self::TimerB,
        TimerD: Self::TimerD,
        TimerM: Self::TimerM,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "client INVITE transaction",
    &[
        Impossible {
            states: &["Calling", "Proceeding", "Accepted"],
            inputs: &["TimerA", "TimerD"],
            reason: "every transport is reliable: nothing is retransmitted, no failure is waited for",
        },
        Impossible {
            states: &["Calling", "Proceeding"],
            inputs: &["TimerM"],
            reason: "timer M is set with the first 2xx",
        },
        Impossible {
            states: &["Proceeding", "Accepted"],
            inputs: &["TimerB"],
            reason: "timer B is stopped with the first response",
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
