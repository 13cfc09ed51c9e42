//! Typed ids. Each is counted up by the stack and never used again, so a stale one can only miss.

use core::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(u64);

            impl $name {
                /// The number behind the id, unique among the ids of its kind in one stack.
                pub const fn number(self) -> u64 {
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
    ManagerId "m",
    /// A connection, from the decision to make it (or its arrival) until its removal.
    ConnId "c",
    /// A listening address of a server connection manager.
    ListenerId "l",
    /// A DNS question put to the embedder.
    QueryId "q",
    /// A SIP transaction.
    TransactionId "t",
    /// A request on its way to its one outcome, over as many transactions as that takes.
    ExchangeId "x",
    /// A counter of CSeq numbers, shared by the requests of one dialog or registration.
    SequenceId "n",
    /// A dialog, early or confirmed.
    DialogId "d",
    /// A real-time endpoint.
    EndpointId "e",
    /// A signaling session.
    SessionId "s",
    /// A request of the application that completes once.
    OperationId "o",
    /// A request that arrived and waits for its answer.
    IncomingId "i",
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
