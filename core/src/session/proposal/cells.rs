//! The cells of this machine.

use super::{Input, State, Timer};
use crate::cells::{Impossible, Machine, names};

names! {
    State {
        Idle: Self::Idle,
        Asked: Self::Asked { .. },
        Accepted: Self::Accepted { .. },
    }
}

names! {
    Input {
        Received: Self::Received,
        Accept: Self::Accept { .. },
        Reject: Self::Reject,
        Cancel: Self::Cancel,
        Ack: Self::Ack,
        Over: Self::Over,
        FiredAgain: Self::Fired(Timer::Again),
        FiredLimit: Self::Fired(Timer::Limit),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "proposal",
    &[
        Impossible {
            states: &["Asked"],
            inputs: &["Received"],
            reason: "its session answers a second change with 500 before the first is answered (S5)",
        },
        Impossible {
            states: &["Idle", "Accepted"],
            inputs: &["Accept", "Reject"],
            reason: "refused as misuse, or overtaken (S6, X2)",
        },
        Impossible {
            states: &["Idle", "Accepted"],
            inputs: &["Cancel"],
            reason: "the stack passes on no CANCEL of an INVITE that has had its final response",
        },
        Impossible {
            states: &["Idle", "Asked"],
            inputs: &["Ack"],
            reason: "only the ACK to a 2xx comes here, and its session knows whether one waits for it",
        },
        Impossible {
            states: &["Idle"],
            inputs: &["FiredAgain", "FiredLimit"],
            reason: "no timer is set: each is stopped with its state",
        },
        Impossible {
            states: &["Asked"],
            inputs: &["FiredAgain"],
            reason: "only a 2xx is repeated",
        },
    ],
);
