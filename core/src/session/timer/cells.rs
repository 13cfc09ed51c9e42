//! The cells of this machine.

use super::{Input, State, Timer};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Off: Self::Off,
        Waiting: Self::Waiting { .. },
        Refreshing: Self::Refreshing { .. },
        Watching: Self::Watching { .. },
        Over: Self::Over,
    }
}

names! {
    Input {
        Agreed: Self::Agreed { .. },
        NotAgreed: Self::NotAgreed,
        Refused: Self::Refused,
        Lost: Self::Lost,
        FiredDue: Self::Fired(Timer::Due),
        FiredEnd: Self::Fired(Timer::End),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "session timer",
    &[
        Impossible {
            states: &["Off"],
            inputs: &["FiredDue", "FiredEnd"],
            reason: "no timer is set",
        },
        Impossible {
            states: &["Refreshing", "Watching"],
            inputs: &["FiredDue"],
            reason: "no timer is set: each is stopped with its state",
        },
        Impossible {
            states: &["Off", "Waiting", "Watching"],
            inputs: &["Refused", "Lost"],
            reason: "its session passes on how its own refresh fails, and no other",
        },
        Impossible {
            states: &["Over"],
            inputs: Input::NAMES,
            reason: "its session ends, and gives it nothing more",
        },
    ],
);
