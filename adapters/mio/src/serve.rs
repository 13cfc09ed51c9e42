//! A loop around another machine than a stack: one that peers connect to, such as the front end of the test kit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use mio::{Events, Poll, Token, Waker};
use sansip::{CloseReason, ListenError, Time, Transport};
use sansip_net::TlsServerConfig;

use crate::event::NetEvent;
use crate::net::{Net, SocketId};
use crate::settings::Settings;
use crate::waker::{Commands, Handle, commands};

const EVENTS: usize = 256;
/// Never in the range of the sockets, for no range contains its end.
const WAKER: Token = Token(usize::MAX);
/// How many bytes wait for one peer at most. One that does not read them is left.
const SEND_QUEUE: usize = 1 << 20;

/// A pure machine that serves the connections which peers make to it. Connections are called by numbers that are never
/// used again.
pub trait Machine {
    /// A peer has connected, and its TLS handshake, where there is one, is done.
    fn handle_accepted(
        &mut self,
        now: Time,
        conn: u64,
        local: SocketAddr,
        remote: SocketAddr,
        transport: Transport,
    );

    /// Data arrived.
    fn handle_bytes(&mut self, now: Time, conn: u64, bytes: &[u8]);

    /// The connection is gone. Not called for one that the machine has closed.
    fn handle_closed(&mut self, now: Time, conn: u64, reason: CloseReason);

    /// [`Machine::poll_timeout`] is due.
    fn handle_timeout(&mut self, now: Time);

    /// When time matters next.
    fn poll_timeout(&self) -> Option<Time>;

    /// The next thing that the machine wants.
    fn poll_output(&mut self) -> Option<MachineOutput>;
}

/// What a [`Machine`] wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineOutput {
    /// Send these bytes over this connection; one that is gone loses them.
    Send(u64, Bytes),
    /// Close this connection when what was to be sent on it is sent.
    Close(u64),
}

/// Owns a [`Machine`], its sockets and the loop. [`Server::handle`] is for other threads.
#[derive(Debug)]
pub struct Server<M> {
    poll: Poll,
    events: Events,
    net: Net,
    machine: M,
    /// Whether a listener speaks TLS.
    listeners: BTreeMap<SocketId, Transport>,
    /// Those whose TLS handshake is under way.
    handshaking: BTreeSet<SocketId>,
    conns: BTreeMap<u64, Served>,
    handle: Handle<M>,
    commands: Commands<M>,
}

#[derive(Debug)]
struct Served {
    socket: SocketId,
    outbox: VecDeque<Bytes>,
    queued: usize,
    closing: bool,
}

impl<M: Machine> Server<M> {
    /// Serves this machine; it listens nowhere yet.
    ///
    /// # Errors
    /// The system gives no selector, no waker or no entropy.
    pub fn new(machine: M, settings: &Settings) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (handle, commands) = commands(waker, settings.commands);
        Ok(Self {
            net: Net::new(poll.registry(), settings)?,
            poll,
            events: Events::with_capacity(EVENTS),
            machine,
            listeners: BTreeMap::new(),
            handshaking: BTreeSet::new(),
            conns: BTreeMap::new(),
            handle,
            commands,
        })
    }

    /// Listens, over TLS where a configuration is given, and says the address in use.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn listen(
        &mut self,
        address: SocketAddr,
        tls: Option<TlsServerConfig>,
    ) -> Result<SocketAddr, ListenError> {
        let transport = if tls.is_some() {
            Transport::Tls
        } else {
            Transport::Tcp
        };
        let (listener, local) = self.net.listen(address, tls)?;
        self.listeners.insert(listener, transport);
        Ok(local)
    }

    /// The machine.
    pub const fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The time that the machine is told.
    pub fn now(&self) -> Time {
        self.net.now()
    }

    /// What other threads command the machine with.
    pub fn handle(&self) -> Handle<M> {
        self.handle.clone()
    }

    /// Turns until [`Handle::stop`]; then it closes every connection in order, for which it takes a second at most.
    ///
    /// # Errors
    /// The selector fails.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.commands.is_stopped() {
            self.turn(None)?;
        }
        for listener in std::mem::take(&mut self.listeners).into_keys() {
            self.net.stop_listening(listener);
        }
        for served in std::mem::take(&mut self.conns).into_values() {
            self.net.close(served.socket);
        }
        let end = self.now() + Duration::from_secs(1);
        while self.net.connections() > 0 && self.now() < end {
            self.turn(Some(end.since(self.now())))?;
        }
        Ok(())
    }

    /// Waits once, no longer than `max_wait`, and does what there is to do.
    ///
    /// # Errors
    /// The selector fails. An interrupted wait is none.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        self.drain();
        let due = self.machine.poll_timeout().map(|time| self.net.until(time));
        let wait = self.net.timeout().into_iter().chain(due).chain(max_wait).min();
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        for event in &self.events {
            if event.token() == WAKER {
                self.commands.run(&mut self.machine);
            } else {
                self.net.handle_event(event);
            }
        }
        self.net.handle_deadline();
        let now = self.net.now();
        if self.machine.poll_timeout().is_some_and(|time| time <= now) {
            self.machine.handle_timeout(now);
        }
        self.drain();
        while self.take_in() {
            self.drain();
        }
        Ok(())
    }

    /// Tells the machine one thing; false when there is none.
    fn take_in(&mut self) -> bool {
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
            } => match self.listeners.get(&listener) {
                Some(Transport::Tcp) => self.add(socket, local, remote, Transport::Tcp),
                Some(Transport::Tls) => {
                    self.handshaking.insert(socket);
                }
                None => {}
            },
            NetEvent::Connected { socket, established } => {
                if self.handshaking.remove(&socket) {
                    self.add(socket, established.local, established.remote, Transport::Tls);
                }
            }
            NetEvent::Received { socket, bytes } => {
                if self
                    .conns
                    .get(&socket.number())
                    .is_some_and(|served| !served.closing)
                {
                    self.machine.handle_bytes(now, socket.number(), bytes);
                }
            }
            NetEvent::Writable { socket } => self.flush(socket.number()),
            NetEvent::Closed { socket, reason } => {
                self.handshaking.remove(&socket);
                if self
                    .conns
                    .remove(&socket.number())
                    .is_some_and(|served| !served.closing)
                {
                    self.machine.handle_closed(now, socket.number(), reason);
                }
            }
            NetEvent::ListenerLost { listener, .. } => {
                self.listeners.remove(&listener);
            }
            // Nothing is ever asked.
            NetEvent::Resolved { .. } => {}
        }
        true
    }

    fn add(&mut self, socket: SocketId, local: SocketAddr, remote: SocketAddr, transport: Transport) {
        let served = Served {
            socket,
            outbox: VecDeque::new(),
            queued: 0,
            closing: false,
        };
        self.conns.insert(socket.number(), served);
        self.machine
            .handle_accepted(self.net.now(), socket.number(), local, remote, transport);
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                MachineOutput::Send(conn, bytes) => self.send(conn, bytes),
                MachineOutput::Close(conn) => {
                    if let Some(served) = self.conns.get_mut(&conn) {
                        served.closing = true;
                        self.flush(conn);
                    }
                }
            }
        }
    }

    fn send(&mut self, conn: u64, bytes: Bytes) {
        let Some(served) = self.conns.get_mut(&conn).filter(|served| !served.closing) else {
            return;
        };
        served.queued += bytes.len();
        served.outbox.push_back(bytes);
        if served.queued > SEND_QUEUE {
            self.net.close(served.socket);
            self.conns.remove(&conn);
            let reason = CloseReason::Other("the peer does not read".to_owned());
            self.machine.handle_closed(self.net.now(), conn, reason);
        } else {
            self.flush(conn);
        }
    }

    fn flush(&mut self, conn: u64) {
        let Some(served) = self.conns.get_mut(&conn) else {
            return;
        };
        while let Some(first) = served.outbox.front_mut() {
            let taken = self.net.write(served.socket, &[IoSlice::new(first)]);
            served.queued -= taken;
            first.advance(taken);
            if !first.is_empty() {
                return;
            }
            served.outbox.pop_front();
        }
        if served.closing {
            self.net.close(served.socket);
            self.conns.remove(&conn);
        }
    }
}
