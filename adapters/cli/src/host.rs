//! The laboratory's front end on real sockets: whatever the machine wants is done, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use mio::{Events, Poll, Token, Waker};
use sansip::{ListenError, Transport};
use sansip_mio::{Net, NetEvent, Settings, SocketId, Tap};
use sansip_net::TlsServerConfig;
use sansip_testkit::frontend::{Conn, FrontEnd, FrontEndEvent, Output};

use crate::address::ListenAt;

/// Outside of the tokens of the sockets.
const WAKER: Token = Token(usize::MAX);
/// A peer that does not take this much is cut off.
const QUEUE: usize = 1 << 20;
/// How long the last bytes of each connection may take.
const GRACE: Duration = Duration::from_secs(2);

/// What a host tells whoever runs it.
pub(crate) enum Seen<'a> {
    /// Bytes arrived from this peer.
    In(Conn, &'a [u8]),
    /// Bytes go to this peer.
    Out(Conn, &'a [u8]),
    /// The front end's own words.
    Log(FrontEndEvent),
}

/// Ends a [`Host::run`] of another thread.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stop {
    pub(crate) fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        // Should the system refuse, the loop looks at its next wake-up.
        let _ = self.waker.wake();
    }
}

pub(crate) struct Host {
    poll: Poll,
    events: Events,
    net: Net,
    server: FrontEnd,
    listeners: BTreeMap<SocketId, Transport>,
    /// Why listening on one address has ended.
    lost: Option<ListenError>,
    conns: BTreeMap<SocketId, Peer>,
    sockets: BTreeMap<Conn, SocketId>,
    next: u64,
    stop: Stop,
}

/// A connection, which the front end knows from when it is ready.
struct Peer {
    conn: Conn,
    transport: Transport,
    ends: Option<(SocketAddr, SocketAddr)>,
    /// What the socket has not taken yet.
    queue: VecDeque<Bytes>,
    queued: usize,
}

impl Host {
    /// `tap` sees what passes on its connections.
    pub(crate) fn new(server: FrontEnd, tap: Option<Tap>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let settings = Settings {
            tap,
            ..Settings::default()
        };
        let net = Net::new(poll.registry(), &settings)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            net,
            server,
            listeners: BTreeMap::new(),
            lost: None,
            conns: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next: 0,
            stop: Stop {
                asked: Arc::new(AtomicBool::new(false)),
                waker,
            },
        })
    }

    pub(crate) fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Listens, and says the address in use.
    pub(crate) fn listen(
        &mut self,
        at: ListenAt,
        tls: Option<&TlsServerConfig>,
    ) -> Result<SocketAddr, ListenError> {
        let tls = match at.transport {
            Transport::Tcp => None,
            Transport::Tls => Some(tls.ok_or(ListenError::NoCertificate)?.clone()),
        };
        let (listener, address) = self.net.listen(at.address, tls)?;
        self.listeners.insert(listener, at.transport);
        Ok(address)
    }

    /// Serves until it is stopped, or for so long. Then connections are closed in order.
    pub(crate) fn run(mut self, stay: Option<Duration>, mut seen: impl FnMut(Seen<'_>)) -> io::Result<()> {
        let until = stay.map(|stay| self.net.now() + stay);
        loop {
            let now = self.net.now();
            if self.stop.asked.load(Ordering::Acquire) || until.is_some_and(|until| until <= now) {
                return self.close_all();
            }
            let due = self.server.poll_timeout().into_iter().chain(until).min();
            let wait = due
                .map(|due| self.net.until(due))
                .into_iter()
                .chain(self.net.timeout())
                .min();
            self.wait(wait)?;
            if self
                .server
                .poll_timeout()
                .is_some_and(|due| due <= self.net.now())
            {
                self.server.handle_timeout(self.net.now());
            }
            self.drain(&mut seen);
            while self.take_in(&mut seen) {
                self.drain(&mut seen);
            }
            if let Some(error) = self.lost.take().filter(|_| self.listeners.is_empty()) {
                return Err(io::Error::other(format!("listening has ended: {error}")));
            }
        }
    }

    fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        for event in &self.events {
            self.net.handle_event(event);
        }
        self.net.handle_deadline();
        Ok(())
    }

    /// Tells the front end one thing that happened; false when there is none.
    fn take_in(&mut self, seen: &mut impl FnMut(Seen<'_>)) -> bool {
        let now = self.net.now();
        let Some(event) = self.net.poll() else {
            return false;
        };
        match event {
            NetEvent::Accepted {
                listener,
                socket,
                local,
                remote,
            } => {
                let transport = self.listeners.get(&listener).copied().unwrap_or(Transport::Tcp);
                self.next += 1;
                let conn = Conn(self.next);
                let mut peer = Peer {
                    conn,
                    transport,
                    ends: None,
                    queue: VecDeque::new(),
                    queued: 0,
                };
                if transport == Transport::Tcp {
                    peer.ends = Some((local, remote));
                    self.server.handle_accepted(conn, local, remote, transport);
                }
                self.conns.insert(socket, peer);
                self.sockets.insert(conn, socket);
            }
            NetEvent::Connected { socket, established } => {
                if let Some(peer) = self.conns.get_mut(&socket) {
                    peer.ends = Some((established.local, established.remote));
                    self.server.handle_accepted(
                        peer.conn,
                        established.local,
                        established.remote,
                        peer.transport,
                    );
                }
            }
            NetEvent::Received { socket, bytes } => {
                if let Some(peer) = self.conns.get(&socket) {
                    seen(Seen::In(peer.conn, bytes));
                    self.server.handle_bytes(now, peer.conn, bytes);
                }
            }
            NetEvent::Writable { socket } => self.flush(socket),
            NetEvent::Closed { socket, .. } => {
                if let Some(peer) = self.conns.remove(&socket) {
                    self.sockets.remove(&peer.conn);
                    if peer.ends.is_some() {
                        self.server.handle_closed(now, peer.conn);
                    }
                }
            }
            NetEvent::ListenerLost { listener, error } => {
                self.listeners.remove(&listener);
                self.lost = Some(error);
            }
            NetEvent::Resolved { .. } => {}
        }
        true
    }

    /// Does what the front end wants.
    fn drain(&mut self, seen: &mut impl FnMut(Seen<'_>)) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send { conn, bytes } => {
                    seen(Seen::Out(conn, &bytes));
                    self.send(conn, bytes);
                }
                Output::Close(conn) => {
                    if let Some(socket) = self.sockets.remove(&conn) {
                        self.flush(socket);
                        self.conns.remove(&socket);
                        self.net.close(socket);
                    }
                }
                Output::Log(event) => seen(Seen::Log(event)),
            }
        }
    }

    fn send(&mut self, conn: Conn, bytes: Bytes) {
        let Some(&socket) = self.sockets.get(&conn) else {
            return;
        };
        let Some(peer) = self.conns.get_mut(&socket) else {
            return;
        };
        peer.queued += bytes.len();
        peer.queue.push_back(bytes);
        self.flush(socket);
        if self.conns.get(&socket).is_some_and(|peer| peer.queued > QUEUE) {
            self.conns.remove(&socket);
            self.sockets.remove(&conn);
            self.net.close(socket);
            self.server.handle_closed(self.net.now(), conn);
        }
    }

    /// Gives the socket what it takes; [`NetEvent::Writable`] comes back where that is not all.
    fn flush(&mut self, socket: SocketId) {
        let Some(peer) = self.conns.get_mut(&socket) else {
            return;
        };
        while let Some(first) = peer.queue.front_mut() {
            let taken = self.net.write(socket, &[IoSlice::new(first)]);
            peer.queued = peer.queued.saturating_sub(taken);
            first.advance(taken.min(first.len()));
            if !first.is_empty() {
                return;
            }
            peer.queue.pop_front();
        }
    }

    fn close_all(mut self) -> io::Result<()> {
        for &listener in self.listeners.keys() {
            self.net.stop_listening(listener);
        }
        for &socket in self.conns.keys() {
            self.net.close(socket);
        }
        let deadline = self.net.now() + GRACE;
        while self.net.connections() > 0 {
            let left = deadline.since(self.net.now());
            if left.is_zero() {
                break;
            }
            let wait = self.net.timeout().into_iter().chain([left]).min();
            self.wait(wait)?;
            while self.net.poll().is_some() {}
        }
        Ok(())
    }
}
