//! The cells of this machine.

use super::{Input, Next, OnDrop, State, is_for_good};
use crate::cells::{Impossible, Machine, names};

names! {
    State {
        Unregistered: Self::Unregistered,
        Registering: Self::Registering { .. },
        Registered: Self::Registered { next: Next::Again(_), .. },
        RegisteredRefreshing: Self::Registered { next: Next::Answer, .. },
        RegisteredToTheEnd: Self::Registered { next: Next::End, .. },
        Lapsed: Self::Lapsed { again: Some(_) },
        LapsedRefreshing: Self::Lapsed { again: None },
        Dismissed: Self::Dismissed,
        Unregistering: Self::Unregistering { .. },
    }
}

names! {
    Input {
        Register: Self::Register(_),
        Unregister: Self::Unregister(_),
        Accepted: Self::Accepted { anew: false, .. },
        AcceptedAnew: Self::Accepted { anew: true, .. },
        Missing: Self::Missing(_),
        CredentialsRefused: Self::Refused(error) if is_for_good(error),
        Refused: Self::Refused(_),
        Fired: Self::Fired,
        DroppedReconnect: Self::Dropped(OnDrop::Reconnect(_)),
        DroppedGiveUp: Self::Dropped(OnDrop::GiveUp),
        DroppedKeep: Self::Dropped(OnDrop::Keep),
        NetworkChanged: Self::NetworkChanged,
        Deregistered: Self::Deregistered(_),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "registration",
    &[
        Impossible {
            states: &[
                "Registering",
                "Registered",
                "RegisteredRefreshing",
                "RegisteredToTheEnd",
                "Unregistering",
            ],
            inputs: &["Register"],
            reason: "refused as misuse (R2)",
        },
        Impossible {
            states: &["Unregistered", "Registered", "RegisteredToTheEnd", "Lapsed"],
            inputs: &[
                "Accepted",
                "AcceptedAnew",
                "Missing",
                "CredentialsRefused",
                "Refused",
            ],
            reason: "no REGISTER is under way that could be answered",
        },
        Impossible {
            states: &[
                "Unregistered",
                "Registering",
                "LapsedRefreshing",
                "Dismissed",
                "Unregistering",
            ],
            inputs: &["Fired"],
            reason: "no timer is set",
        },
        Impossible {
            states: &[
                "Unregistered",
                "Registering",
                "Lapsed",
                "LapsedRefreshing",
                "Dismissed",
                "Unregistering",
            ],
            inputs: &["DroppedReconnect", "DroppedGiveUp", "DroppedKeep"],
            reason: "the endpoint tells of a lost connection while it is registered only",
        },
        Impossible {
            states: &["Registered", "RegisteredRefreshing"],
            inputs: &["DroppedGiveUp"],
            reason: "given up is only what does not refresh (R5), and that is registered to the end",
        },
        Impossible {
            states: &["RegisteredToTheEnd"],
            inputs: &["DroppedReconnect"],
            reason: "with refresh disabled nothing reconnects by itself (R5)",
        },
        Impossible {
            states: &["Unregistered"],
            inputs: &["Deregistered"],
            reason: "the endpoint answers that there is no registration to end (R13)",
        },
    ],
);
