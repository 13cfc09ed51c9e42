//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Offered: Self::Offered { .. },
        Watched: Self::Watched { .. },
        Leaving: Self::Leaving { .. },
        Over: Self::Over,
    }
}

names! {
    Input {
        Accept: Self::Accept { granted: Some(_) },
        AcceptOnce: Self::Accept { granted: None },
        Reject: Self::Reject,
        Notify: Self::Notify,
        Terminate: Self::Terminate(_),
        Refreshed: Self::Refreshed { .. },
        Left: Self::Left,
        Settled: Self::Settled,
        Gone: Self::Gone,
        Fired: Self::Fired,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "watcher",
    &[
        Impossible {
            states: &["Watched", "Leaving"],
            inputs: &["Accept", "AcceptOnce", "Reject"],
            reason: "refused as misuse: it was answered (B5)",
        },
        Impossible {
            states: &["Offered", "Leaving"],
            inputs: &["Notify", "Refreshed", "Left"],
            reason: "refused as misuse, or with 481, by its table: nothing is notified of before it is accepted, nor after the end",
        },
        Impossible {
            states: &["Offered"],
            inputs: &["Settled", "Gone"],
            reason: "no NOTIFY has been sent",
        },
        Impossible {
            states: &["Leaving"],
            inputs: &["Fired"],
            reason: "no timer is set",
        },
        Impossible {
            states: &["Over"],
            inputs: Input::NAMES,
            reason: "it is taken out of the table as it ends",
        },
    ],
);
