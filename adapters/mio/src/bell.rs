//! What wakes a selector from other threads: a pair of sockets. mio has one `Waker` for each `Poll`, and that is the
//! application's.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use mio::{Interest, Registry, Token};

/// The end of the other threads.
#[derive(Debug)]
pub(crate) struct Bell(UdpSocket);

impl Bell {
    /// Wakes the selector.
    pub(crate) fn ring(&self) {
        // Where there is no room for one more datagram, the selector is awake. Where nobody listens, nobody is to be woken.
        let _ = self.0.send(&[0]);
    }
}

/// The end of the selector.
#[derive(Debug)]
pub(crate) struct Chime {
    socket: mio::net::UdpSocket,
    readable: bool,
}

/// Both ends. They are connected: the system drops what comes from elsewhere.
///
/// # Errors
/// The system gives no sockets on its loopback interface.
pub(crate) fn bell() -> io::Result<(Bell, Chime)> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (near, far) = (UdpSocket::bind(any)?, UdpSocket::bind(any)?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    for socket in [&near, &far] {
        socket.set_nonblocking(true)?;
    }
    let chime = Chime {
        socket: mio::net::UdpSocket::from_std(near),
        readable: true,
    };
    Ok((Bell(far), chime))
}

impl Chime {
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

    /// Takes one ring away. That the selector has woken is all there is to it.
    pub(crate) fn hear(&mut self) {
        self.readable = self.socket.recv(&mut [0]).is_ok();
    }
}
