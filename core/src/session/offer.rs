//! Whose offer is open (RFC 3264 and RFC 6337; rule S5). Bodies are opaque: what one means is where it travels and what is
//! open. The machine says so, and its session carries them.
//!
//! | offer in | answer in | the machine goes through |
//! |---|---|---|
//! | INVITE | 2xx | Ours or Theirs |
//! | INVITE | reliable 1xx | Ours or Theirs; what a later 1xx or 2xx carries says nothing |
//! | 2xx | ACK | Awaited or Owed, Ours or Theirs |
//! | reliable 1xx | PRACK | Awaited or Owed, Ours or Theirs |
//! | PRACK | 2xx to PRACK | Ours or Theirs |
//! | UPDATE | 2xx to UPDATE | Ours or Theirs |
//!
//! ```text
//!            INVITE without offer sent               INVITE without offer received
//!        +------------------------------- Settled --------------------------------+
//!        v                                 |  ^  |                                v
//!     Awaited              offer received  |  |  |  offer sent                   Owed
//!        |                    +------------+  |  +------------+                   |
//!        | offer in 1xx, 2xx  v               |               v  offer in 1xx, 2xx |
//!        +----------------> Theirs -----------+------------ Ours <----------------+
//!                              answered, or the request that it waits in has ended
//! ```

use crate::cx::{Cx, visit};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// Nothing is open.
    Settled,
    /// Our INVITE asks the peer for an offer.
    Awaited,
    /// The peer's INVITE asks us for one.
    Owed,
    /// Our offer, in this message, waits for the peer's answer.
    Ours(Carrier),
    /// The peer's waits for ours.
    Theirs(Carrier),
}

/// What may carry a body that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Carrier {
    Invite,
    /// A reliable provisional response to INVITE.
    Reliable,
    /// A 2xx to INVITE.
    Success,
    Ack,
    Prack,
    PrackSuccess,
    Update,
    UpdateSuccess,
}

impl Carrier {
    /// Whether it is a request that may offer whatever came before.
    const fn is_request(self) -> bool {
        matches!(self, Self::Invite | Self::Prack | Self::Update)
    }

    /// Whether it answers an offer in this message.
    const fn answers(self, offer: Self) -> bool {
        matches!(
            (offer, self),
            (Self::Invite, Self::Reliable | Self::Success)
                | (Self::Reliable, Self::Prack)
                | (Self::Success, Self::Ack)
                | (Self::Prack, Self::PrackSuccess)
                | (Self::Update, Self::UpdateSuccess)
        )
    }

    /// Whether it may bring the offer that an INVITE asked for.
    const fn is_response(self) -> bool {
        matches!(self, Self::Reliable | Self::Success)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A message with a body has been sent.
    Sent(Carrier),
    /// One has come.
    Received(Carrier),
    /// An INVITE without offer has been sent.
    Asks,
    /// One has come.
    Asked,
    /// The request whose offer is open, or that asks for one, has ended without more.
    Lapsed,
}

/// What a body, or that there is none in an INVITE, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is an offer, or asks for one.
    Offer,
    Answer,
    /// It is neither, and changes nothing.
    Nothing,
    /// It meets our own open offer: 491 (RFC 3261 section 14.2, RFC 3311 section 5.2).
    Glare,
    /// It comes before the last one was answered: 500 with Retry-After (the same).
    Busy,
}

/// The machine of one dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offers {
    state: State,
}

impl Offers {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Settled,
        }
    }

    pub(crate) const fn state(self) -> State {
        self.state
    }

    pub(crate) const fn is_settled(self) -> bool {
        matches!(self.state, State::Settled)
    }

    /// Whether a response to the peer's INVITE is to answer, or to offer.
    pub(crate) const fn awaits_response(self) -> bool {
        matches!(self.state, State::Owed | State::Theirs(Carrier::Invite))
    }

    /// Whether what is open ends with the INVITE that it began with.
    pub(crate) const fn is_of_invite(self) -> bool {
        matches!(
            self.state,
            State::Awaited
                | State::Owed
                | State::Ours(Carrier::Invite | Carrier::Reliable | Carrier::Success)
                | State::Theirs(Carrier::Invite | Carrier::Reliable | Carrier::Success)
        )
    }

    #[cfg_attr(
        not(any(test, feature = "cells")),
        expect(clippy::needless_pass_by_ref_mut, reason = "the cells are written down in it")
    )]
    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input) -> Meaning {
        use Input::{Asked, Asks, Lapsed, Received, Sent};
        use State::{Awaited, Ours, Owed, Settled, Theirs};
        #[cfg(not(any(test, feature = "cells")))]
        let _ = cx;
        visit!(cx, self.state, input);
        let (state, meaning) = match (self.state, input) {
            // An offer begins.
            (Settled, Sent(carrier)) if carrier.is_request() => (Ours(carrier), Meaning::Offer),
            (Settled, Received(carrier)) if carrier.is_request() => (Theirs(carrier), Meaning::Offer),
            (Settled, Asks) => (Awaited, Meaning::Offer),
            (Settled, Asked) => (Owed, Meaning::Offer),
            (Awaited, Received(carrier)) if carrier.is_response() => (Theirs(carrier), Meaning::Offer),
            (Owed, Sent(carrier)) if carrier.is_response() => (Ours(carrier), Meaning::Offer),

            // It is answered.
            (Ours(offer), Received(carrier)) if carrier.answers(offer) => (Settled, Meaning::Answer),
            (Theirs(offer), Sent(carrier)) if carrier.answers(offer) => (Settled, Meaning::Answer),

            // It is not.
            (_, Lapsed) => (Settled, Meaning::Nothing),

            // The peer offers while something is open.
            (state @ (Ours(_) | Awaited), Received(carrier)) if carrier.is_request() => {
                (state, Meaning::Glare)
            }
            (state @ (Ours(_) | Awaited), Asked) => (state, Meaning::Glare),
            (state @ (Theirs(_) | Owed), Received(carrier)) if carrier.is_request() => (state, Meaning::Busy),
            (state @ (Theirs(_) | Owed), Asked) => (state, Meaning::Busy),

            // Ignored. A body that answers nothing and may not offer: that of a 1xx or 2xx after the answer, for example.
            (state, Received(_)) => (state, Meaning::Nothing),
            // The session sends no offer while something is open, and no body that means nothing.
            (state, Sent(_)) => (state, Meaning::Nothing),
            (state @ (Awaited | Owed | Ours(_) | Theirs(_)), Asks) => (state, Meaning::Nothing),
        };
        self.state = state;
        meaning
    }
}
