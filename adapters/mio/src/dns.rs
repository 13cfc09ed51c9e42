//! The sockets of the resolver: a new one for each message, so that its port cannot be foreseen.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::socket::Connection;

/// A query on its way over UDP. The socket is connected: the system drops what comes from elsewhere, and reports a
/// server that refuses.
#[derive(Debug)]
pub(crate) struct Datagram {
    socket: UdpSocket,
    pub(crate) name: sansip_net::SocketId,
    pub(crate) server: SocketAddr,
    readable: bool,
}

impl Datagram {
    /// Opens a socket and sends the query.
    pub(crate) fn send(name: sansip_net::SocketId, server: SocketAddr, query: &[u8]) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        socket.send(query)?;
        Ok(Self {
            socket,
            name,
            server,
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

    pub(crate) const fn has_work(&self) -> bool {
        self.readable
    }

    pub(crate) const fn on_edge(&mut self) {
        self.readable = true;
    }

    /// Takes one datagram; `None` when none waits.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) fn receive(&mut self, wire: &mut [u8]) -> io::Result<Option<usize>> {
        match self.socket.recv(wire) {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A query on its way over TCP, for answers that no datagram holds.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) connection: Connection,
    pub(crate) name: sansip_net::SocketId,
    /// What is still to be sent.
    pub(crate) unsent: Vec<u8>,
}

impl Stream {
    /// The connection takes bytes.
    pub(crate) fn write(&mut self) {
        let taken = self.connection.write(&[io::IoSlice::new(&self.unsent)]);
        self.unsent.drain(..taken);
    }
}
