//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Asked: Self::Asked { .. },
        Lapsed: Self::Lapsed,
        Following: Self::Following { .. },
        Over: Self::Over,
    }
}

names! {
    Input {
        Accept: Self::Accept,
        Refuse: Self::Refuse(_),
        Progress: Self::Progress(_),
        Unheard: Self::Unheard,
        Fired: Self::Fired,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "referee",
    &[
        Impossible {
            states: &["Asked", "Lapsed"],
            inputs: &["Progress", "Unheard"],
            reason: "no call is followed and no NOTIFY is sent before it is accepted",
        },
        Impossible {
            states: &["Lapsed"],
            inputs: &["Fired"],
            reason: "its one timer has fired",
        },
        Impossible {
            states: &["Following"],
            inputs: &["Accept", "Refuse"],
            reason: "refused as misuse (S14)",
        },
        Impossible {
            states: &["Over"],
            inputs: Input::NAMES,
            reason: "its session forgets it as it ends",
        },
    ],
);
