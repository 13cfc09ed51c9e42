//! The cells of this machine.

use super::{Input, State, Timer};
use crate::cells::{Impossible, Machine, names};

names! {
    State {
        Idle: Self::Idle,
        Waiting: Self::Waiting { .. },
        Closed: Self::Closed,
    }
}

names! {
    Input {
        Send: Self::Send,
        Prack: Self::Prack(_),
        Final: Self::Final,
        Over: Self::Over,
        FiredAgain: Self::Fired(Timer::Again),
        FiredLimit: Self::Fired(Timer::Limit),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "reliable",
    &[
        Impossible {
            states: &["Waiting"],
            inputs: &["Send"],
            reason: "its session keeps what has to wait",
        },
        Impossible {
            states: &["Idle"],
            inputs: &["Final", "Over"],
            reason: "its session asks only where a response waits",
        },
        Impossible {
            states: &["Closed"],
            inputs: &["Send", "Final"],
            reason: "an INVITE has one final response, and nothing after it",
        },
        Impossible {
            states: &["Idle", "Closed"],
            inputs: &["FiredAgain", "FiredLimit"],
            reason: "no timer is set: each is stopped with its state",
        },
    ],
);
