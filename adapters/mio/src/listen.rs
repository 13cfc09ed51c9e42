//! One listening socket.
//!
//! Accepting goes on in steps of one connection, so that a burst of them delays nobody else. When the process has run
//! out of descriptors the system keeps what waits, and the listener rests: the edge is gone, so a deadline wakes it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use sansip::ListenError;
use sansip_net::TlsServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

/// What one attempt to accept brought.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection.
    Connection(TcpStream, SocketAddr),
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
    socket: TcpListener,
    pub(crate) tls: Option<TlsServerConfig>,
    readable: bool,
}

impl Listener {
    /// Listens on this address alone: an IPv6 socket takes no IPv4 connections.
    pub(crate) fn bind(
        address: SocketAddr,
        tls: Option<TlsServerConfig>,
        backlog: u16,
    ) -> Result<Self, ListenError> {
        let bind = || -> io::Result<TcpListener> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // On Windows this option would let two processes have one port.
            #[cfg(not(windows))]
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(i32::from(backlog))?;
            Ok(TcpListener::from_std(socket.into()))
        };
        let socket = bind().map_err(|error| listen_error(&error))?;
        Ok(Self {
            socket,
            tls,
            readable: true,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // It is dropped next and leaves the selector with that at the latest, so a failure changes nothing.
        let _ = registry.deregister(&mut self.socket);
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) const fn has_work(&self) -> bool {
        self.readable
    }

    /// mio saw something, or the rest is over.
    pub(crate) const fn on_edge(&mut self) {
        self.readable = true;
    }

    /// Rests until the next edge.
    pub(crate) const fn pause(&mut self) {
        self.readable = false;
    }

    /// Takes one connection.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list of the standard library is open"
    )]
    pub(crate) fn accept(&mut self) -> Accepted {
        let error = match self.socket.accept() {
            Ok((stream, remote)) => return Accepted::Connection(stream, remote),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::WouldBlock => {
                self.readable = false;
                Accepted::Nothing
            }
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
