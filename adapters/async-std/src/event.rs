//! What [`Net`](crate::net::Net) tells its owner.

use std::net::SocketAddr;

use sansip::{Answer, CloseReason, Established, ListenError, ResolveError};

use crate::net::{LookupId, SocketId};

/// What happened at the sockets.
#[derive(Debug)]
pub(crate) enum NetEvent<'a> {
    /// A peer has connected. Over plain TCP the connection is ready; over TLS either [`NetEvent::Connected`] or
    /// [`NetEvent::Closed`] follows.
    Accepted {
        /// Where.
        listener: SocketId,
        socket: SocketId,
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// A connection is ready: one that we made, or an accepted one after its TLS handshake.
    Connected {
        socket: SocketId,
        established: Established,
    },
    /// Data arrived; never empty.
    Received { socket: SocketId, bytes: &'a [u8] },
    /// After a write that did not take everything: it takes more now.
    Writable { socket: SocketId },
    /// The connection could not be made or is gone; everything that had arrived was delivered before.
    Closed { socket: SocketId, reason: CloseReason },
    /// A listener is broken and gone.
    ListenerLost { listener: SocketId, error: ListenError },
    /// The answer to a question.
    Resolved {
        lookup: LookupId,
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
