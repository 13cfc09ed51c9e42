//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, Named, names};
use crate::subscription::Refusal;

names! {
    State {
        Publishing: Self::Publishing,
        Published: Self::Published { .. },
        Updating: Self::Updating,
        WaitingForRetry: Self::WaitingForRetry { .. },
        Ending: Self::Ending,
        Removing: Self::Removing,
        Removed: Self::Removed,
    }
}

names! {
    Input {
        Modify: Self::Modify(_),
        Remove: Self::Remove(_),
        Accepted: Self::Accepted { .. },
        Stale: Self::Stale(_),
        RefusedForNow: Self::Refused(Refusal::Temporary { .. }, _),
        Refused: Self::Refused(Refusal::Final(_), _),
        Withdrawn: Self::Withdrawn,
        Lost: Self::Lost(_),
        Fired: Self::Fired,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "publication",
    &[
        Impossible {
            states: &["Ending", "Removing"],
            inputs: &["Modify"],
            reason: "refused as misuse: the application has removed it (B6)",
        },
        Impossible {
            states: &["Published", "WaitingForRetry"],
            inputs: &["Accepted", "Stale", "RefusedForNow", "Refused", "Withdrawn"],
            reason: "no PUBLISH is under way that could be answered",
        },
        Impossible {
            states: &["Publishing", "Updating", "Removing"],
            inputs: &["Withdrawn"],
            reason: "only what is to be removed is given up before it is sent",
        },
        Impossible {
            states: &["Publishing", "Updating", "Ending", "Removing"],
            inputs: &["Fired"],
            reason: "no timer is set",
        },
        Impossible {
            states: &["Removed"],
            inputs: Input::NAMES,
            reason: "it is taken out of the table as it ends",
        },
    ],
);
