//! The cells of this machine.

use super::{Carrier, Input, State};
use crate::cells::{Impossible, Machine, names};

names! {
    State {
        Settled: Self::Settled,
        Awaited: Self::Awaited,
        Owed: Self::Owed,
        Ours: Self::Ours(_),
        Theirs: Self::Theirs(_),
    }
}

names! {
    Input {
        SentInRequest: Self::Sent(Carrier::Invite | Carrier::Update),
        SentInInviteResponse: Self::Sent(Carrier::Reliable | Carrier::Success),
        SentInPrack: Self::Sent(Carrier::Prack),
        SentInOther: Self::Sent(Carrier::Ack | Carrier::PrackSuccess | Carrier::UpdateSuccess),
        ReceivedInRequest: Self::Received(Carrier::Invite | Carrier::Prack | Carrier::Update),
        ReceivedInInviteResponse: Self::Received(Carrier::Reliable | Carrier::Success),
        ReceivedInOther: Self::Received(
            Carrier::Ack | Carrier::PrackSuccess | Carrier::UpdateSuccess
        ),
        Asks: Self::Asks,
        Asked: Self::Asked,
        Lapsed: Self::Lapsed,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "offer",
    &[
        Impossible {
            states: &["Awaited", "Owed", "Ours", "Theirs"],
            inputs: &["SentInRequest", "Asks"],
            reason: "its session sends no offer while something is open",
        },
        Impossible {
            states: &["Settled", "Awaited", "Ours"],
            inputs: &["SentInInviteResponse", "SentInOther"],
            reason: "its session sends no body in a response or an ACK that means nothing",
        },
        Impossible {
            states: &["Awaited", "Owed", "Ours"],
            inputs: &["SentInPrack"],
            reason: "its session puts into a PRACK an answer that waits for it, or an offer where nothing is open",
        },
        Impossible {
            states: &["Owed"],
            inputs: &["SentInOther"],
            reason: "what is owed goes into a response to the INVITE",
        },
        Impossible {
            states: &["Settled"],
            inputs: &["ReceivedInInviteResponse", "ReceivedInOther", "Lapsed"],
            reason: "its session asks only where something is open",
        },
        Impossible {
            states: &["Awaited", "Owed", "Theirs"],
            inputs: &["ReceivedInOther"],
            reason: "no request of ours that offers is under way, and no 2xx that does",
        },
        Impossible {
            states: &["Owed"],
            inputs: &["ReceivedInInviteResponse"],
            reason: "no INVITE of ours is under way",
        },
        Impossible {
            states: &["Awaited", "Owed", "Theirs"],
            inputs: &["Asked"],
            reason: "its session refuses an INVITE while another is under way, whatever it brings",
        },
    ],
);
