//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, names};

names! {
    State {
        Disconnected: Self::Disconnected,
        Connecting: Self::Connecting,
        Connected: Self::Connected,
    }
}

names! {
    Input {
        Starting: Self::Starting,
        Listening: Self::Listening,
        Gone: Self::Gone { .. },
        Stopped: Self::Stopped { .. },
        Ended: Self::Ended,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "reach",
    &[
        Impossible {
            states: &["Connecting", "Connected"],
            inputs: &["Starting"],
            reason: "it is told only of the first address that the manager asks for",
        },
        Impossible {
            states: &["Disconnected", "Connected"],
            inputs: &["Listening"],
            reason: "it is told only of the first address that the manager has, which was asked for before",
        },
        Impossible {
            states: &["Disconnected"],
            inputs: &["Gone", "Stopped"],
            reason: "the manager has asked for no address, so it has none that could be gone",
        },
    ],
);
