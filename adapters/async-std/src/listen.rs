//! One listening socket.
//!
//! Accepting goes on in steps of one connection, so that a burst of them delays nobody else. When the process has run
//! out of descriptors the system keeps what waits, and the listener rests until a deadline wakes it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use sansip::ListenError;
use sansip_net::TlsServerConfig;

use crate::runtime::{Tcp, TcpAcceptor};

/// What one attempt to accept brought.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection.
    Connection(Tcp, SocketAddr),
    /// None waits.
    Nothing,
    /// One that went away again before it was taken; another may wait behind it.
    Aborted,
    /// One waits, but the process has no room for it now.
    NoRoom,
    /// The socket is broken.
    Broken(ListenError),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpAcceptor,
    pub(crate) tls: Option<TlsServerConfig>,
    readable: bool,
}

impl Listener {
    pub(crate) fn bind(
        address: SocketAddr,
        tls: Option<TlsServerConfig>,
        backlog: u16,
    ) -> Result<Self, ListenError> {
        let socket = TcpAcceptor::bind(address, backlog).map_err(|error| listen_error(&error))?;
        Ok(Self {
            socket,
            tls,
            readable: true,
        })
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) const fn has_work(&self) -> bool {
        self.readable
    }

    /// The waker was called, or the rest is over.
    pub(crate) const fn on_wake(&mut self) {
        self.readable = true;
    }

    /// Rests until it is woken.
    pub(crate) const fn pause(&mut self) {
        self.readable = false;
    }

    /// Takes one connection.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list of the standard library is open"
    )]
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>) -> Accepted {
        let error = match self.socket.poll_accept(cx) {
            Poll::Pending => {
                self.readable = false;
                return Accepted::Nothing;
            }
            Poll::Ready(Ok((stream, remote))) => return Accepted::Connection(stream, remote),
            Poll::Ready(Err(error)) => error,
        };
        match error.kind() {
            // Linux hands errors of the waiting connection to whoever accepts it.
            ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::TimedOut
            | ErrorKind::PermissionDenied => Accepted::Aborted,
            ErrorKind::InvalidInput | ErrorKind::Unsupported => Accepted::Broken(listen_error(&error)),
            _ => Accepted::NoRoom,
        }
    }
}

/// The system's error in the words of the stack.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the list of the standard library is open"
)]
pub(crate) fn listen_error(error: &io::Error) -> ListenError {
    match error.kind() {
        ErrorKind::AddrInUse => ListenError::AddressInUse,
        ErrorKind::AddrNotAvailable => ListenError::AddressNotAvailable,
        ErrorKind::PermissionDenied => ListenError::PermissionDenied,
        _ => ListenError::Other(error.to_string()),
    }
}
