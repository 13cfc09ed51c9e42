//! Everything that is async-std's: timers, tasks, and sockets that do not block. Nothing else in this package names it,
//! so that another runtime takes this file and no more.
//!
//! A socket is polled with the waker of its place in [`Net`](crate::net::Net); `WouldBlock` says that the waker is
//! kept, and called when it is worth to try again.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_std::io::{ReadExt, WriteExt};
use async_std::net::{TcpListener, TcpStream, UdpSocket};
use sansip_net::Protocol;
use socket2::{Domain, SockRef, Socket, Type};

use crate::settings::SocketSettings;

/// The longest message of the domain name system (RFC 1035 section 4.2).
const DNS_MESSAGE: usize = 65_535;

/// Something of async-std's that is under way. Dropping it ends it.
pub(crate) struct Pending<T>(Pin<Box<dyn Future<Output = T> + Send>>);

impl<T> Pending<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending(..)")
    }
}

/// Runs a future on the threads of async-std until it ends.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    drop(async_std::task::spawn(future));
}

pub(crate) fn sleep(duration: Duration) -> Pending<()> {
    Pending::new(async_std::task::sleep(duration))
}

/// Opens a TCP connection.
pub(crate) fn connect(remote: SocketAddr, settings: SocketSettings) -> Pending<io::Result<Tcp>> {
    Pending::new(async move {
        let socket = TcpStream::connect(remote).await?;
        settings.apply(&SockRef::from(&socket));
        Ok(Tcp(socket))
    })
}

/// A TCP connection that nobody polls yet.
#[derive(Debug)]
pub(crate) struct Tcp(TcpStream);

impl Tcp {
    pub(crate) fn apply(&self, settings: &SocketSettings) {
        settings.apply(&SockRef::from(&self.0));
    }

    /// The connection, whose owner is called by this waker.
    pub(crate) fn polled_by(self, waker: Waker) -> Stream {
        Stream {
            socket: self.0,
            waker,
        }
    }
}

/// A TCP connection whose reads and writes never block.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    waker: Waker,
}

impl Stream {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Announces that nothing more is sent.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

/// Pending, in the words of an ordinary socket that does not block.
fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        now(async_std::io::Read::poll_read(
            Pin::new(&mut self.socket),
            &mut cx,
            into,
        ))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        now(async_std::io::Write::poll_write(
            Pin::new(&mut self.socket),
            &mut cx,
            bytes,
        ))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        now(async_std::io::Write::poll_write_vectored(
            Pin::new(&mut self.socket),
            &mut cx,
            slices,
        ))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct TcpAcceptor {
    socket: Arc<TcpListener>,
    accepting: Option<Pending<io::Result<(Tcp, SocketAddr)>>>,
}

impl TcpAcceptor {
    /// Listens on this address alone: an IPv6 socket takes no IPv4 connections.
    pub(crate) fn bind(address: SocketAddr, backlog: u16) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // On Windows this option would let two processes have one port.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::from(backlog))?;
        let socket: std::net::TcpListener = socket.into();
        Ok(Self {
            socket: Arc::new(socket.into()),
            accepting: None,
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Tcp, SocketAddr)>> {
        let socket = &self.socket;
        let accepting = self.accepting.get_or_insert_with(|| {
            let socket = Arc::clone(socket);
            Pending::new(async move {
                let (stream, remote) = socket.accept().await?;
                Ok((Tcp(stream), remote))
            })
        });
        let result = accepting.poll(cx);
        if result.is_ready() {
            self.accepting = None;
        }
        result
    }
}

/// The socket of one question to a name server: a new one for each, so that its port cannot be foreseen.
#[derive(Debug)]
pub(crate) enum Question {
    /// Connected: the system drops what comes from elsewhere, and reports a server that refuses.
    Udp(UdpSocket),
    /// For answers that no datagram holds.
    Tcp(TcpStream),
}

/// A question under way, and after it what arrived: one datagram, or one message with its length before it.
pub(crate) type Asking = Pending<io::Result<(Question, Vec<u8>)>>;

/// Opens a socket, sends the question, and waits for what comes.
pub(crate) fn ask(protocol: Protocol, server: SocketAddr, question: Vec<u8>) -> Asking {
    Pending::new(async move {
        let socket = match protocol {
            Protocol::Udp => {
                let any: SocketAddr = match server {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(server).await?;
                socket.send(&question).await?;
                Question::Udp(socket)
            }
            Protocol::Tcp => {
                let mut socket = TcpStream::connect(server).await?;
                socket.write_all(&question).await?;
                Question::Tcp(socket)
            }
        };
        socket.receive().await
    })
}

impl Question {
    /// Waits for more.
    pub(crate) fn ask_on(self) -> Asking {
        Pending::new(self.receive())
    }

    async fn receive(self) -> io::Result<(Self, Vec<u8>)> {
        match self {
            Self::Udp(socket) => {
                let mut bytes = vec![0; DNS_MESSAGE];
                let length = socket.recv(&mut bytes).await?;
                bytes.truncate(length);
                Ok((Self::Udp(socket), bytes))
            }
            Self::Tcp(mut socket) => {
                let mut length = [0; 2];
                socket.read_exact(&mut length).await?;
                let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
                socket.read_exact(&mut message).await?;
                let bytes = [&length[..], &message].concat();
                Ok((Self::Tcp(socket), bytes))
            }
        }
    }
}
