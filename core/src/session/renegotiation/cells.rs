//! The cells of this machine.

use super::{Input, State, Timer};
use crate::cells::{Impossible, Machine, names};

names! {
    State {
        Idle: Self::Idle,
        Held: Self::Held { .. },
        Sent: Self::Sent { .. },
        Cancelling: Self::Cancelling { .. },
        Waiting: Self::Waiting { .. },
    }
}

names! {
    Input {
        Renegotiate: Self::Renegotiate { .. },
        Free: Self::Free { .. },
        Taken: Self::Taken,
        RefusedForNow: Self::Refused(_, Some(_)),
        Refused: Self::Refused(_, None),
        Cancel: Self::Cancel,
        Over: Self::Over,
        FiredAgain: Self::Fired { timer: Timer::Again, .. },
        FiredLimit: Self::Fired { timer: Timer::Limit, .. },
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "renegotiation",
    &[
        Impossible {
            states: &["Held", "Sent", "Cancelling", "Waiting"],
            inputs: &["Renegotiate"],
            reason: "refused as misuse (S6)",
        },
        Impossible {
            states: &["Idle"],
            inputs: &["Cancel"],
            reason: "refused as misuse (S6)",
        },
        Impossible {
            states: &["Cancelling"],
            inputs: &["Cancel"],
            reason: "its session sees that it was cancelled",
        },
        Impossible {
            states: &["Held", "Waiting"],
            inputs: &["Taken", "RefusedForNow", "Refused"],
            reason: "no request of its is on its way",
        },
        Impossible {
            states: &["Idle", "Cancelling"],
            inputs: &["RefusedForNow"],
            reason: "its session asks for no repetition of what is given up",
        },
        Impossible {
            states: &["Idle", "Sent", "Cancelling", "Waiting"],
            inputs: &["Free"],
            reason: "its session frees what is held, and nothing else",
        },
        Impossible {
            states: &["Idle", "Held", "Cancelling"],
            inputs: &["FiredAgain", "FiredLimit"],
            reason: "no timer is set: each is stopped with its state",
        },
        Impossible {
            states: &["Sent"],
            inputs: &["FiredAgain"],
            reason: "only in Waiting is it set",
        },
        Impossible {
            states: &["Waiting"],
            inputs: &["FiredLimit"],
            reason: "only in Sent is it set",
        },
    ],
);
