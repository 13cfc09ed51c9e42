//! The cells of this machine.

use super::{Input, Lasts, State};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Queued: Self::Queued,
        Requested: Self::Requested { .. },
        Watching: Self::Watching { .. },
        Over: Self::Over,
    }
}

names! {
    Input {
        Release: Self::Release,
        Accepted: Self::Accepted(_),
        Refused: Self::Refused(_),
        Unanswered: Self::Unanswered,
        Report: Self::Report { lasts: Lasts::For(_) | Lasts::AsBefore, .. },
        LastReport: Self::Report { lasts: Lasts::Ended, .. },
        Fired: Self::Fired,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "referral",
    &[
        Impossible {
            states: &["Queued"],
            inputs: &[
                "Accepted",
                "Refused",
                "Unanswered",
                "Report",
                "LastReport",
                "Fired",
            ],
            reason: "it has not been sent: its session looks for no answer and no NOTIFY to it",
        },
        Impossible {
            states: &["Requested", "Watching"],
            inputs: &["Release"],
            reason: "only what is queued is released",
        },
        Impossible {
            states: &["Requested"],
            inputs: &["Fired"],
            reason: "no timer is set: its exchange comes to an end by itself",
        },
        Impossible {
            states: &["Watching"],
            inputs: &["Accepted", "Refused", "Unanswered"],
            reason: "a request has one outcome",
        },
        Impossible {
            states: &["Over"],
            inputs: Input::NAMES,
            reason: "its session forgets it as it ends",
        },
    ],
);
