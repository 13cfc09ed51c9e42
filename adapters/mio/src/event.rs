//! What a [`Net`](crate::Net) tells its owner.

use std::net::SocketAddr;

use sansip::{Answer, CloseReason, Established, ListenError, ResolveError};

use crate::net::{LookupId, SocketId};

/// What happened at the sockets.
#[derive(Debug)]
pub enum NetEvent<'a> {
    /// A peer has connected. Over plain TCP the connection is ready; over TLS either [`NetEvent::Connected`] or
    /// [`NetEvent::Closed`] follows.
    Accepted {
        /// Where.
        listener: SocketId,
        /// The new connection.
        socket: SocketId,
        /// This end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// A connection is ready: one that we made, or an accepted one after its TLS handshake.
    Connected {
        /// Which.
        socket: SocketId,
        /// Its ends, and what the peer's certificate says.
        established: Established,
    },
    /// Data arrived; never empty.
    Received {
        /// On which connection.
        socket: SocketId,
        /// The data.
        bytes: &'a [u8],
    },
    /// After a [`Net::write`](crate::Net::write) that did not take everything: it takes more now.
    Writable {
        /// Which connection.
        socket: SocketId,
    },
    /// The connection could not be made or is gone; everything that had arrived was delivered before.
    Closed {
        /// Which.
        socket: SocketId,
        /// Why.
        reason: CloseReason,
    },
    /// A listener is broken and gone.
    ListenerLost {
        /// Which.
        listener: SocketId,
        /// Why.
        error: ListenError,
    },
    /// The answer to [`Net::resolve`](crate::Net::resolve).
    Resolved {
        /// Which question.
        lookup: LookupId,
        /// What the domain name system says.
        result: Result<Answer, ResolveError>,
    },
}

impl NetEvent<'_> {
    pub(crate) fn is_of(&self, id: SocketId) -> bool {
        match self {
            Self::Accepted { socket, .. }
            | Self::Connected { socket, .. }
            | Self::Received { socket, .. }
            | Self::Writable { socket }
            | Self::Closed { socket, .. } => *socket == id,
            Self::ListenerLost { listener, .. } => *listener == id,
            Self::Resolved { .. } => false,
        }
    }
}
