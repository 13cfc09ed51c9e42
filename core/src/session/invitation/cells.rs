//! The cells of this machine.

use super::{Input, State, Timer};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Idle: Self::Idle,
        Inviting: Self::Inviting { .. },
        Redirecting: Self::Redirecting { .. },
        Cancelling: Self::Cancelling { .. },
        Answering: Self::Answering { .. },
        Offered: Self::Offered { .. },
        Accepting: Self::Accepting { .. },
        Connected: Self::Connected,
        Leaving: Self::Leaving { .. },
        Disconnected: Self::Disconnected,
    }
}

names! {
    Input {
        Establish: Self::Establish(_),
        Accept: Self::Accept(_),
        Decline: Self::Decline(_),
        Answer: Self::Answer,
        Terminate: Self::Terminate(_),
        Provisional: Self::Provisional,
        Redirected: Self::Redirected,
        Retry: Self::Retry,
        Success: Self::Success { offer: false },
        SuccessWithOffer: Self::Success { offer: true },
        Failure: Self::Failure(..),
        Ack: Self::Ack,
        Bye: Self::Bye,
        Cancel: Self::Cancel,
        ByeDone: Self::ByeDone,
        Gone: Self::Gone,
        Unanswered: Self::Unanswered,
        FiredAgain: Self::Fired(Timer::Again),
        FiredLimit: Self::Fired(Timer::Limit),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "invitation",
    &[
        Impossible {
            states: &["Redirecting"],
            inputs: &[
                "Establish",
                "Accept",
                "Decline",
                "Answer",
                "Provisional",
                "Redirected",
                "Success",
                "SuccessWithOffer",
                "Ack",
                "Bye",
                "Cancel",
                "ByeDone",
                "Gone",
                "Unanswered",
                "FiredAgain",
            ],
            reason: "no INVITE is under way and no dialog is there; but for its end the application only decides",
        },
        Impossible {
            states: &[
                "Idle",
                "Cancelling",
                "Answering",
                "Offered",
                "Accepting",
                "Connected",
                "Leaving",
            ],
            inputs: &["Redirected"],
            reason: "only an INVITE that is under way, and wanted, is redirected",
        },
        Impossible {
            states: &[
                "Idle",
                "Inviting",
                "Cancelling",
                "Answering",
                "Offered",
                "Accepting",
                "Connected",
                "Leaving",
            ],
            inputs: &["Retry"],
            reason: "the application decides while the session is redirected, and once",
        },
        Impossible {
            states: &[
                "Inviting",
                "Cancelling",
                "Answering",
                "Offered",
                "Accepting",
                "Connected",
                "Leaving",
            ],
            inputs: &["Establish"],
            reason: "refused as misuse (S2)",
        },
        Impossible {
            states: &[
                "Idle",
                "Inviting",
                "Cancelling",
                "Answering",
                "Accepting",
                "Connected",
                "Leaving",
            ],
            inputs: &["Accept", "Decline"],
            reason: "refused as misuse (S2)",
        },
        Impossible {
            states: &[
                "Idle",
                "Inviting",
                "Cancelling",
                "Offered",
                "Accepting",
                "Connected",
                "Leaving",
            ],
            inputs: &["Answer"],
            reason: "refused as misuse where no offer was given; its session lets no late answer pass",
        },
        Impossible {
            states: &["Idle"],
            inputs: &["Provisional", "Success", "SuccessWithOffer", "Failure"],
            reason: "no INVITE has been sent",
        },
        Impossible {
            states: &["Offered", "Accepting"],
            inputs: &["Provisional", "Success", "SuccessWithOffer", "Failure"],
            reason: "a callee has sent no INVITE",
        },
        Impossible {
            states: &["Answering", "Connected", "Leaving"],
            inputs: &["Provisional", "SuccessWithOffer", "Failure"],
            reason: "an INVITE has one outcome; after it, its exchange tells of repeated 2xx responses only",
        },
        Impossible {
            states: &["Idle"],
            inputs: &["Ack", "Bye"],
            reason: "before a response there is no dialog that a request could be found to be in",
        },
        Impossible {
            states: &["Inviting", "Cancelling"],
            inputs: &["Bye"],
            reason: "the session refuses it: before its 2xx a callee sends none",
        },
        Impossible {
            states: &["Idle", "Inviting", "Cancelling", "Answering"],
            inputs: &["Cancel"],
            reason: "a caller has no INVITE that could be cancelled by the peer",
        },
        Impossible {
            states: &["Accepting", "Connected", "Leaving"],
            inputs: &["Cancel"],
            reason: "the stack passes on no CANCEL of an INVITE that has had its final response",
        },
        Impossible {
            states: &[
                "Idle",
                "Inviting",
                "Cancelling",
                "Answering",
                "Offered",
                "Accepting",
                "Connected",
            ],
            inputs: &["ByeDone"],
            reason: "no BYE is under way",
        },
        Impossible {
            states: &[
                "Idle",
                "Inviting",
                "Cancelling",
                "Answering",
                "Offered",
                "Accepting",
            ],
            inputs: &["Gone", "Unanswered"],
            reason: "before it is established a session has no requests inside",
        },
        Impossible {
            states: &["Idle", "Cancelling", "Connected", "Leaving"],
            inputs: &["FiredAgain", "FiredLimit"],
            reason: "no timer is set: each is stopped with its state",
        },
        Impossible {
            states: &["Inviting", "Answering", "Offered"],
            inputs: &["FiredAgain"],
            reason: "only a 2xx is repeated",
        },
        Impossible {
            states: &["Disconnected"],
            inputs: Input::NAMES,
            reason: "it is taken out of the table as it ends",
        },
    ],
);
