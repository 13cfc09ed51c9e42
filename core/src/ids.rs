//! Typed ids. Each is counted up by the stack and never used again, so a stale one can only miss.

use core::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $visibility:vis $name:ident $prefix:literal,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            #[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
            $visibility struct $name(u64);

            impl $name {
                /// The number behind the id, unique among the ids of its kind in one stack.
                #[allow(dead_code, reason = "internal ids are only printed")]
                $visibility const fn number(self) -> u64 {
                    self.0
                }

                #[allow(dead_code, reason = "the ends of a range, where ids are keys of an ordered set")]
                pub(crate) const FIRST: Self = Self(0);
                #[allow(dead_code, reason = "the ends of a range, where ids are keys of an ordered set")]
                pub(crate) const LAST: Self = Self(u64::MAX);
            }

            impl FromNumber for $name {
                fn from_number(number: u64) -> Self {
                    Self(number)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!($prefix, "{}"), self.0)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }
        )*
    };
}

/// What [`Ids::next`] can make.
pub(crate) trait FromNumber {
    fn from_number(number: u64) -> Self;
}

ids! {
    /// A connection manager.
    pub ManagerId "m",
    /// A connection, from the decision to make it (or its arrival) until its removal.
    pub ConnId "c",
    /// A listening address of a server connection manager.
    pub ListenerId "l",
    /// A DNS question put to the embedder.
    pub QueryId "q",
    /// A handshake with a server for which the embedder makes a security context.
    pub HandshakeId "k",
    /// A SIP transaction.
    pub(crate) TransactionId "t",
    /// A request on its way to its one outcome, over as many transactions as that takes.
    pub(crate) ExchangeId "x",
    /// A counter of CSeq numbers, shared by the requests of one dialog or registration.
    pub(crate) SequenceId "n",
    /// A real-time endpoint.
    pub EndpointId "e",
    /// A signaling session.
    pub SessionId "s",
    /// A subscription of ours to the state of somebody.
    pub SubscriptionId "b",
    /// A subscription of somebody to a state of ours.
    pub WatcherId "w",
    /// A state that is published at a server.
    pub PublicationId "p",
    /// A request of the application that completes once.
    pub OperationId "o",
    /// A REFER, of this side or of the peer.
    pub ReferralId "f",
    /// A request that arrived and waits for its answer.
    pub IncomingId "i",
}

/// The stack's one counter behind all ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    last: u64,
}

impl Ids {
    pub(crate) fn next<T: FromNumber>(&mut self) -> T {
        self.last += 1;
        T::from_number(self.last)
    }
}
