//! The cells of this machine.

use super::{Ending, Input, Next, Refusal, Standing, State, Timer, Why};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Idle: Self::Idle,
        Subscribing: Self::Subscribing { notified: None },
        SubscribingNotified: Self::Subscribing { notified: Some(Standing::Lasts { .. }) },
        SubscribingOver: Self::Subscribing { notified: Some(Standing::Over { .. }) },
        Querying: Self::Querying { notified: false, silent: None },
        QueryingNotified: Self::Querying { notified: true, .. },
        QueryingAnswered: Self::Querying { silent: Some(_), .. },
        SubscribedSilent: Self::Subscribed { next: Next::Refresh(_), silent: Some(_) },
        Subscribed: Self::Subscribed { next: Next::Refresh(_), silent: None },
        RefreshingSilent: Self::Subscribed { next: Next::Answer, silent: Some(_) },
        Refreshing: Self::Subscribed { next: Next::Answer, silent: None },
        WaitingForRetry: Self::WaitingForRetry { .. },
        EndingFirst: Self::Terminating(Ending::Answer { in_dialog: false, .. }),
        EndingLater: Self::Terminating(Ending::Answer { in_dialog: true, .. }),
        Leaving: Self::Terminating(Ending::Leaving { patient: true }),
        LeavingInHaste: Self::Terminating(Ending::Leaving { patient: false }),
        LeavingAnswered: Self::Terminating(Ending::Last { .. }),
        Terminated: Self::Terminated,
    }
}

names! {
    Input {
        Subscribe: Self::Subscribe(_),
        Query: Self::Query(_),
        Update: Self::Update(_),
        Terminate: Self::Terminate { patient: true, .. },
        TerminateInHaste: Self::Terminate { patient: false, .. },
        Accepted: Self::Accepted { .. },
        RefusedForNow: Self::Refused(Refusal::Temporary { .. }, _),
        Refused: Self::Refused(Refusal::Final(_), _),
        Withdrawn: Self::Withdrawn,
        Notified: Self::Notified(Standing::Lasts { .. }),
        NotifiedOver: Self::Notified(Standing::Over {
            why: Why::Rejected | Why::NoResource | Why::Invariant,
            ..
        }),
        NotifiedAgain: Self::Notified(Standing::Over {
            why: Why::Deactivated | Why::Timeout | Why::Probation | Why::GivenUp | Why::Other,
            ..
        }),
        Lost: Self::Lost(_),
        FiredDue: Self::Fired(Timer::Due),
        FiredSilent: Self::Fired(Timer::Silent),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "subscription",
    &[
        Impossible {
            states: &[
                "Subscribing",
                "SubscribingNotified",
                "SubscribingOver",
                "Querying",
                "QueryingNotified",
                "QueryingAnswered",
                "SubscribedSilent",
                "Subscribed",
                "RefreshingSilent",
                "Refreshing",
                "WaitingForRetry",
                "EndingFirst",
                "EndingLater",
                "Leaving",
                "LeavingInHaste",
                "LeavingAnswered",
            ],
            inputs: &["Subscribe", "Query"],
            reason: "refused as misuse (B1)",
        },
        Impossible {
            states: &[
                "Idle",
                "Querying",
                "QueryingNotified",
                "QueryingAnswered",
                "EndingFirst",
                "EndingLater",
                "Leaving",
                "LeavingInHaste",
                "LeavingAnswered",
            ],
            inputs: &["Update"],
            reason: "refused as misuse: only what was begun, and not to ask once, is changed until it is ended (B1)",
        },
        Impossible {
            states: &[
                "Idle",
                "QueryingAnswered",
                "SubscribedSilent",
                "Subscribed",
                "WaitingForRetry",
                "LeavingAnswered",
            ],
            inputs: &["Accepted", "RefusedForNow", "Refused", "Withdrawn"],
            reason: "no SUBSCRIBE is under way that could be answered",
        },
        Impossible {
            states: &[
                "Subscribing",
                "SubscribingNotified",
                "SubscribingOver",
                "Querying",
                "QueryingNotified",
                "RefreshingSilent",
                "Refreshing",
                "Leaving",
                "LeavingInHaste",
            ],
            inputs: &["Withdrawn"],
            reason: "only what is to end is given up before it is sent",
        },
        Impossible {
            states: &["Idle"],
            inputs: &["Notified", "NotifiedOver", "NotifiedAgain"],
            reason: "nothing was sent that a NOTIFY could belong to",
        },
        Impossible {
            states: &[
                "Idle",
                "Subscribing",
                "SubscribingNotified",
                "SubscribingOver",
                "Querying",
                "QueryingNotified",
                "QueryingAnswered",
                "RefreshingSilent",
                "Refreshing",
                "EndingFirst",
                "EndingLater",
                "Leaving",
                "LeavingInHaste",
                "LeavingAnswered",
            ],
            inputs: &["FiredDue"],
            reason: "no time is set for a SUBSCRIBE: one is under way, or none is to be",
        },
        Impossible {
            states: &[
                "Idle",
                "Subscribing",
                "SubscribingNotified",
                "SubscribingOver",
                "Querying",
                "QueryingNotified",
                "Subscribed",
                "Refreshing",
                "WaitingForRetry",
                "EndingFirst",
                "EndingLater",
                "Leaving",
                "LeavingInHaste",
            ],
            inputs: &["FiredSilent"],
            reason: "no NOTIFY is waited for, or the answer comes first",
        },
        Impossible {
            states: &["Terminated"],
            inputs: Input::NAMES,
            reason: "it is taken out of the table as it ends",
        },
    ],
);
