//! Watching what passes on connections, above TLS.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::net::SocketId;

/// Sees what passes on every connection of a [`Net`](crate::Net), in plain where the connection speaks TLS: for a capture.
/// It is called from the loop, which waits for it.
#[derive(Clone)]
pub struct Tap(Arc<dyn Fn(&Tapped<'_>) + Send + Sync>);

/// What a [`Tap`] sees. Every connection begins with [`Tapped::Ready`]; one that could not be made is not seen.
#[derive(Debug)]
pub enum Tapped<'a> {
    /// A connection is ready for data.
    Ready {
        /// Its name until it is closed.
        socket: SocketId,
        /// This end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// We made it, and did not accept it.
        outgoing: bool,
        /// It speaks TLS.
        tls: bool,
    },
    /// Data arrived.
    Received {
        /// On which connection.
        socket: SocketId,
        /// The data.
        bytes: &'a [u8],
    },
    /// Data was taken from the owner, to be sent.
    Sent {
        /// On which connection.
        socket: SocketId,
        /// The data.
        bytes: &'a [u8],
    },
    /// The connection is gone; nothing more is seen of it.
    Closed {
        /// Which.
        socket: SocketId,
        /// The owner closed it, and not the peer or the network.
        ours: bool,
    },
}

impl Tap {
    /// A tap that tells this function.
    pub fn new(see: impl Fn(&Tapped<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }

    pub(crate) fn see(&self, seen: &Tapped<'_>) {
        (self.0)(seen);
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}
