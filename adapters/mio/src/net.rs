//! Sockets, TLS and DNS for one owner: what a machine that speaks over connections needs, and nothing of SIP.
//!
//! Every socket with something to do stands once in a queue; [`Net::poll`] takes the first, does one bounded piece of
//! work (one read, one accept) and puts it to the end where more is left. So nobody waits for a neighbour that never
//! stops, and mio's edges need not be used up at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Registry, Token};
use sansip::{CloseReason, ListenError, Question, Time, TlsFailure};
use sansip_net::{Protocol, Resolver, TlsServerConfig, TlsSession, Transmit};

use crate::bell::{Bell, Chime, bell};
use crate::clock::{Clock, seed};
use crate::dns::{Datagram, Stream};
use crate::event::NetEvent;
use crate::listen::{Accepted, Listener, listen_error};
use crate::settings::{Settings, SocketSettings};
use crate::socket::{Connection, Scratch, Step, close_reason};
use crate::tap::{Tap, Tapped};

/// How many pieces of work [`Net::poll`] does after one wake-up before it wants mio to be asked again.
const WORK_PER_WAKE: usize = 256;

/// A connection or listener of a [`Net`]; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    serial: u64,
    slot: usize,
}

impl SocketId {
    /// The number behind the id, unique among the ids of one [`Net`].
    pub const fn number(self) -> u64 {
        self.serial
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket{}", self.serial)
    }
}

/// A question to the resolver of a [`Net`]; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(u64);

/// How a connection that is to be made speaks TLS.
#[derive(Clone, Copy, Debug)]
pub struct ConnectTls<'a> {
    /// Trust, and the certificate to show.
    pub config: &'a sansip_net::TlsClientConfig,
    /// The name that the application asked for: the server name indication where it is a domain name.
    pub name: &'a str,
}

#[derive(Debug)]
enum Kind {
    Listener(Listener),
    Connection(Connection),
    Datagram(Datagram),
    Stream(Stream),
    Chime(Chime),
}

impl Kind {
    fn has_work(&self) -> bool {
        match self {
            Self::Listener(listener) => listener.has_work(),
            Self::Connection(connection) => connection.has_work(),
            Self::Datagram(datagram) => datagram.has_work(),
            Self::Stream(stream) => stream.connection.has_work(),
            Self::Chime(chime) => chime.has_work(),
        }
    }

    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Listener(listener) => listener.register(registry, token),
            Self::Connection(connection) => connection.register(registry, token),
            Self::Datagram(datagram) => datagram.register(registry, token),
            Self::Stream(stream) => stream.connection.register(registry, token),
            Self::Chime(chime) => chime.register(registry, token),
        }
    }

    fn deregister(&mut self, registry: &Registry) {
        match self {
            Self::Listener(listener) => listener.deregister(registry),
            Self::Connection(connection) => connection.deregister(registry),
            Self::Datagram(datagram) => datagram.deregister(registry),
            Self::Stream(stream) => stream.connection.deregister(registry),
            Self::Chime(chime) => chime.deregister(registry),
        }
    }
}

#[derive(Debug)]
struct Slot {
    id: SocketId,
    kind: Kind,
    /// It stands in the queue of the ready.
    queued: bool,
    deadline: Option<Time>,
}

/// What a step found, without the loan of the data.
enum Found {
    Event(NetEvent<'static>),
    Wire(SocketId, usize),
    Plain(SocketId),
}

/// See the module. It works on a `mio::Poll` that somebody else waits on:
///
/// ```
/// use mio::{Events, Poll};
/// use sansip_mio::{Net, NetEvent, Settings};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(64);
/// let mut net = Net::new(poll.registry(), &Settings::default())?;
/// let (listener, address) = net.listen("127.0.0.1:0".parse()?, None).map_err(|error| error.to_string())?;
/// let client = net.connect(address, None);
/// let mut answer = Vec::new();
/// while answer.len() < 5 {
///     poll.poll(&mut events, net.timeout())?;
///     for event in &events {
///         net.handle_event(event);
///     }
///     net.handle_deadline();
///     while let Some(event) = net.poll() {
///         match event {
///             NetEvent::Connected { socket, .. } => assert_eq!(net.write_all(socket, b"hello"), 5),
///             NetEvent::Received { socket, bytes } if socket == client => answer.extend_from_slice(bytes),
///             NetEvent::Received { socket, bytes } => {
///                 let echo = bytes.to_vec();
///                 assert_eq!(net.write_all(socket, &echo), echo.len());
///             }
///             _ => {}
///         }
///     }
/// }
/// assert_eq!(answer, b"hello");
/// net.stop_listening(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Net {
    registry: Registry,
    tokens: Range<usize>,
    socket_settings: SocketSettings,
    handshake_timeout: Duration,
    close_timeout: Duration,
    accept_pause: Duration,
    backlog: u16,
    tap: Option<Tap>,
    clock: Clock,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    serial: u64,
    ready: VecDeque<SocketId>,
    budget: usize,
    deadlines: BTreeSet<(Time, SocketId)>,
    events: VecDeque<NetEvent<'static>>,
    scratch: Scratch,
    resolver: Resolver<LookupId>,
    resolver_sockets: BTreeMap<sansip_net::SocketId, SocketId>,
}

impl Net {
    /// Sockets at this registry. Of the settings, those of single managers and of Kerberos are not looked at.
    ///
    /// # Errors
    /// The system gives no second handle of the registry, or no entropy.
    pub fn new(registry: &Registry, settings: &Settings) -> io::Result<Self> {
        Ok(Self {
            registry: registry.try_clone()?,
            tokens: settings.tokens.clone(),
            socket_settings: settings.socket.clone(),
            handshake_timeout: settings.handshake_timeout,
            close_timeout: settings.close_timeout,
            accept_pause: settings.accept_pause,
            backlog: settings.backlog,
            tap: settings.tap.clone(),
            clock: Clock::start(),
            slots: Vec::new(),
            free: Vec::new(),
            serial: 0,
            ready: VecDeque::new(),
            budget: WORK_PER_WAKE,
            deadlines: BTreeSet::new(),
            events: VecDeque::new(),
            scratch: Scratch::new(),
            resolver: Resolver::new(settings.dns.conf.clone(), settings.dns.hosts.clone(), seed()?),
            resolver_sockets: BTreeMap::new(),
        })
    }

    /// The time since this was made.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// How long mio is to wait for this time; at least until it, for to wake early is to spin.
    pub fn until(&self, time: Time) -> Duration {
        self.clock.until(time)
    }

    // --- commands

    /// Begins to connect. It always ends in [`NetEvent::Connected`] or [`NetEvent::Closed`], unless it is closed first. How
    /// long it may take is the owner's to say, by closing it.
    pub fn connect(&mut self, remote: SocketAddr, tls: Option<ConnectTls<'_>>) -> SocketId {
        let session = tls
            .map(|tls| tls.config.connect(tls.name, remote.ip()).map(Box::new))
            .transpose();
        let made = session
            .map_err(CloseReason::Tls)
            .and_then(|session| Connection::connect(remote, session, &self.socket_settings))
            .and_then(|connection| {
                self.insert(Kind::Connection(connection))
                    .map_err(|error| close_reason(&error))
            });
        made.unwrap_or_else(|reason| {
            let socket = self.next_id(usize::MAX);
            self.events.push_back(NetEvent::Closed { socket, reason });
            socket
        })
    }

    /// Listens, and says the address in use (port 0 lets the system choose). A listener on an IPv6 address takes IPv6 only.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn listen(
        &mut self,
        address: SocketAddr,
        tls: Option<TlsServerConfig>,
    ) -> Result<(SocketId, SocketAddr), ListenError> {
        let listener = Listener::bind(address, tls, self.backlog)?;
        let local = listener.local().map_err(|error| listen_error(&error))?;
        let id = self
            .insert(Kind::Listener(listener))
            .map_err(|error| listen_error(&error))?;
        Ok((id, local))
    }

    /// Shows another certificate to peers that connect from now on (rule C34); only at a listener that speaks TLS.
    pub fn set_listener_tls(&mut self, listener: SocketId, tls: TlsServerConfig) {
        if let Some(Slot {
            kind: Kind::Listener(listener),
            ..
        }) = self.slot(listener)
            && listener.tls.is_some()
        {
            listener.tls = Some(tls);
        }
    }

    /// Stops listening; nothing more is said of it. Accepted connections go on.
    pub fn stop_listening(&mut self, listener: SocketId) {
        if let Some(Slot {
            kind: Kind::Listener(_),
            ..
        }) = self.slot(listener)
        {
            self.remove(listener);
        }
        self.events.retain(|event| !event.is_of(listener));
    }

    /// Takes from these slices what the socket accepts now, in order, and says how many bytes that were. Where it is less
    /// than was offered, [`NetEvent::Writable`] or [`NetEvent::Closed`] follows. Over TLS a little more is taken than the
    /// socket accepts (64 KiB).
    pub fn write(&mut self, socket: SocketId, slices: &[IoSlice<'_>]) -> usize {
        let Some(connection) = self.connection(socket) else {
            return 0;
        };
        let taken = connection.write(slices);
        if let Some(tap) = &self.tap {
            let mut left = taken;
            for slice in slices {
                let bytes = slice.get(..left).unwrap_or(slice);
                left -= bytes.len();
                if !bytes.is_empty() {
                    tap.see(&Tapped::Sent { socket, bytes });
                }
            }
        }
        self.enqueue(socket);
        taken
    }

    /// [`Net::write`] of one slice.
    pub fn write_all(&mut self, socket: SocketId, bytes: &[u8]) -> usize {
        self.write(socket, &[IoSlice::new(bytes)])
    }

    /// Asks for [`NetEvent::Writable`], for an owner that has more to write and lets others go first.
    pub fn request_writable(&mut self, socket: SocketId) {
        if let Some(connection) = self.connection(socket) {
            connection.request_writable();
            self.enqueue(socket);
        }
    }

    /// Stops (`false`) or resumes the delivery of data. The end of a connection is told behind its data.
    pub fn set_reading(&mut self, socket: SocketId, reading: bool) {
        if let Some(connection) = self.connection(socket) {
            connection.set_reading(reading);
            self.enqueue(socket);
        }
    }

    /// Closes; nothing more is said of it. What [`Net::write`] took is still sent, then the end (of TLS too) is announced.
    pub fn close(&mut self, socket: SocketId) {
        self.events.retain(|event| !event.is_of(socket));
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let lingers = connection.close();
        self.tap_closed(socket, true);
        if lingers {
            self.set_deadline(socket, Some(self.clock.now() + self.close_timeout));
            self.enqueue(socket);
        } else {
            self.remove(socket);
        }
    }

    /// Asks the domain name system; [`NetEvent::Resolved`] answers. It never blocks and always ends.
    pub fn resolve(&mut self, question: Question) -> LookupId {
        self.serial += 1;
        let lookup = LookupId(self.serial);
        let now = self.clock.now();
        self.resolver.ask(now, lookup, question);
        self.drain_resolver(now);
        lookup
    }

    /// What wakes the selector from other threads; nothing is told of it.
    ///
    /// # Errors
    /// There are no sockets or no token for it.
    pub(crate) fn bell(&mut self) -> io::Result<Bell> {
        let (bell, chime) = bell()?;
        self.insert(Kind::Chime(chime))?;
        Ok(bell)
    }

    /// How many connections there are, those that are still being closed among them.
    pub fn connections(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .filter(|slot| matches!(slot.kind, Kind::Connection(_)))
            .count()
    }

    // --- the world

    /// Whether this token is one of ours.
    pub fn owns(&self, token: Token) -> bool {
        self.tokens.contains(&token.0)
    }

    /// mio saw something; tokens that are not ours are ignored.
    ///
    /// A late event may meet the next user of its token. Edges are hints, so that does no harm.
    pub fn handle_event(&mut self, event: &mio::event::Event) {
        self.budget = WORK_PER_WAKE;
        if !self.owns(event.token()) {
            return;
        }
        let index = event.token().0 - self.tokens.start;
        let Some(Some(slot)) = self.slots.get_mut(index) else {
            return;
        };
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let writable = event.is_writable() || event.is_write_closed() || event.is_error();
        match &mut slot.kind {
            Kind::Listener(listener) => listener.on_edge(),
            Kind::Connection(connection) => connection.on_edge(readable, writable),
            Kind::Datagram(datagram) => datagram.on_edge(),
            Kind::Stream(stream) => stream.connection.on_edge(readable, writable),
            Kind::Chime(chime) => chime.on_edge(),
        }
        let id = slot.id;
        self.enqueue(id);
    }

    /// Time has passed. To be called when [`Net::timeout`] is over; calling it after every wait is as good.
    pub fn handle_deadline(&mut self) {
        self.budget = WORK_PER_WAKE;
        let now = self.clock.now();
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.set_deadline(id, None);
            let Some(slot) = self.slot(id) else { continue };
            match &mut slot.kind {
                Kind::Listener(listener) => {
                    listener.on_edge();
                    self.enqueue(id);
                }
                Kind::Connection(connection) => {
                    let was_closing = connection.is_closing();
                    self.remove(id);
                    if !was_closing {
                        self.events.push_back(NetEvent::Closed {
                            socket: id,
                            reason: CloseReason::TimedOut,
                        });
                    }
                }
                Kind::Datagram(_) | Kind::Stream(_) | Kind::Chime(_) => {}
            }
        }
        if self
            .resolver
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            self.resolver.handle_timeout(now);
            self.drain_resolver(now);
        }
    }

    /// How long mio may wait: not at all while there is work to do.
    pub fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.events.is_empty() {
            return Some(Duration::ZERO);
        }
        let own = self.deadlines.first().map(|(deadline, _)| *deadline);
        own.into_iter()
            .chain(self.resolver.poll_timeout())
            .min()
            .map(|deadline| self.clock.until(deadline))
    }

    /// The next thing that happened, with the work to find it. `None` where nothing is left, or enough was done for one
    /// wake-up.
    pub fn poll(&mut self) -> Option<NetEvent<'_>> {
        let found = loop {
            if let Some(event) = self.events.pop_front() {
                break Found::Event(event);
            }
            if self.budget == 0 {
                return None;
            }
            let id = self.ready.pop_front()?;
            self.budget -= 1;
            if let Some(found) = self.step(id) {
                break found;
            }
        };
        Some(match found {
            Found::Event(event) => event,
            Found::Wire(socket, length) => NetEvent::Received {
                socket,
                bytes: self.scratch.wire.get(..length).unwrap_or_default(),
            },
            Found::Plain(socket) => NetEvent::Received {
                socket,
                bytes: &self.scratch.plain,
            },
        })
    }

    // --- one piece of work

    fn step(&mut self, id: SocketId) -> Option<Found> {
        self.scratch.plain.clear();
        let has_room = !self.free.is_empty() || self.slots.len() < self.tokens.len();
        let slot = self
            .slots
            .get_mut(id.slot)?
            .as_mut()
            .filter(|slot| slot.id == id)?;
        slot.queued = false;
        let found = match &mut slot.kind {
            Kind::Connection(connection) => {
                let step = connection.step(&mut self.scratch);
                self.on_connection_step(id, step)
            }
            Kind::Listener(listener) => {
                // Without a token to give, what waits is not touched.
                let accepted = if has_room {
                    listener.accept()
                } else {
                    Accepted::NoRoom
                };
                self.on_accept_step(id, accepted)
            }
            Kind::Datagram(datagram) => {
                let (name, server) = (datagram.name, datagram.server);
                let received = datagram.receive(&mut self.scratch.wire);
                self.on_datagram_step(name, server, received);
                None
            }
            Kind::Stream(stream) => {
                let name = stream.name;
                let step = stream.connection.step(&mut self.scratch);
                if matches!(step, Step::Connected(_) | Step::Writable) {
                    stream.write();
                }
                self.on_stream_step(id, name, step);
                None
            }
            Kind::Chime(chime) => {
                chime.hear();
                None
            }
        };
        self.enqueue(id);
        found
    }

    fn on_connection_step(&mut self, socket: SocketId, step: Step) -> Option<Found> {
        match step {
            Step::Nothing => None,
            Step::Connected(established) => {
                self.set_deadline(socket, None);
                self.tap_ready(socket, established.local, established.remote);
                Some(Found::Event(NetEvent::Connected { socket, established }))
            }
            Step::Received(length) => {
                let bytes = self.scratch.wire.get(..length).unwrap_or_default();
                if let Some(tap) = &self.tap {
                    tap.see(&Tapped::Received { socket, bytes });
                }
                Some(Found::Wire(socket, length))
            }
            Step::Decrypted => {
                let bytes = &self.scratch.plain;
                if let Some(tap) = &self.tap {
                    tap.see(&Tapped::Received { socket, bytes });
                }
                Some(Found::Plain(socket))
            }
            Step::Writable => Some(Found::Event(NetEvent::Writable { socket })),
            Step::Closed(reason) => {
                self.tap_closed(socket, false);
                if matches!(reason, CloseReason::Tls(_)) {
                    if let Some(connection) = self.connection(socket) {
                        connection.linger();
                    }
                    self.set_deadline(socket, Some(self.clock.now() + self.close_timeout));
                } else {
                    self.remove(socket);
                }
                Some(Found::Event(NetEvent::Closed { socket, reason }))
            }
            Step::Finished => {
                self.remove(socket);
                None
            }
        }
    }

    fn on_accept_step(&mut self, listener: SocketId, accepted: Accepted) -> Option<Found> {
        match accepted {
            Accepted::Connection(stream, remote) => {
                self.on_accepted(listener, stream, remote).map(Found::Event)
            }
            Accepted::Nothing | Accepted::Aborted => None,
            Accepted::NoRoom => {
                if let Some(Slot {
                    kind: Kind::Listener(listener),
                    ..
                }) = self.slot(listener)
                {
                    listener.pause();
                }
                self.set_deadline(listener, Some(self.clock.now() + self.accept_pause));
                None
            }
            Accepted::Broken(error) => {
                self.remove(listener);
                Some(Found::Event(NetEvent::ListenerLost { listener, error }))
            }
        }
    }

    /// A connection that cannot be set up is dropped without a word: nobody has heard of it.
    fn on_accepted(
        &mut self,
        listener: SocketId,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> Option<NetEvent<'static>> {
        let Slot {
            kind: Kind::Listener(Listener { tls, .. }),
            ..
        } = self.slot(listener)?
        else {
            return None;
        };
        let session: Option<Result<TlsSession, TlsFailure>> = tls.as_ref().map(TlsServerConfig::accept);
        let session = session.transpose().ok()?.map(Box::new);
        let connection = Connection::accepted(stream, remote, session, &self.socket_settings);
        let local = connection.local().ok()?;
        let is_handshaking = connection.is_handshaking();
        let socket = self.insert(Kind::Connection(connection)).ok()?;
        if is_handshaking {
            self.set_deadline(socket, Some(self.clock.now() + self.handshake_timeout));
        } else {
            self.tap_ready(socket, local, remote);
        }
        Some(NetEvent::Accepted {
            listener,
            socket,
            local,
            remote,
        })
    }

    // --- the tap

    fn tap_ready(&mut self, socket: SocketId, local: SocketAddr, remote: SocketAddr) {
        let Some(tap) = self.tap.clone() else { return };
        if let Some(connection) = self.connection(socket) {
            tap.see(&Tapped::Ready {
                socket,
                local,
                remote,
                outgoing: connection.is_outgoing(),
                tls: connection.is_secured(),
            });
        }
    }

    fn tap_closed(&self, socket: SocketId, ours: bool) {
        if let Some(tap) = &self.tap {
            tap.see(&Tapped::Closed { socket, ours });
        }
    }

    // --- the resolver's sockets

    fn on_datagram_step(
        &mut self,
        name: sansip_net::SocketId,
        server: SocketAddr,
        received: io::Result<Option<usize>>,
    ) {
        let now = self.clock.now();
        match received {
            Ok(Some(length)) => {
                let bytes = self.scratch.wire.get(..length).unwrap_or_default();
                self.resolver.handle_datagram(now, name, server, bytes);
            }
            Ok(None) => return,
            Err(_) => self.resolver.handle_failed(now, name),
        }
        self.drain_resolver(now);
    }

    fn on_stream_step(&mut self, id: SocketId, name: sansip_net::SocketId, step: Step) {
        let now = self.clock.now();
        match step {
            Step::Nothing | Step::Connected(_) | Step::Writable => return,
            Step::Received(length) => {
                let bytes = self.scratch.wire.get(..length).unwrap_or_default();
                self.resolver.handle_tcp(now, name, bytes);
            }
            Step::Decrypted => self.resolver.handle_tcp(now, name, &self.scratch.plain),
            Step::Closed(_) | Step::Finished => {
                self.remove(id);
                self.resolver_sockets.remove(&name);
                self.resolver.handle_failed(now, name);
            }
        }
        self.drain_resolver(now);
    }

    fn drain_resolver(&mut self, now: Time) {
        loop {
            if let Some(name) = self.resolver.poll_close() {
                if let Some(id) = self.resolver_sockets.remove(&name) {
                    self.remove(id);
                }
            } else if let Some(transmit) = self.resolver.poll_transmit() {
                let name = transmit.socket;
                match self
                    .open_resolver_socket(transmit)
                    .and_then(|kind| self.insert(kind))
                {
                    Ok(id) => {
                        self.resolver_sockets.insert(name, id);
                    }
                    Err(_) => self.resolver.handle_failed(now, name),
                }
            } else if let Some((lookup, result)) = self.resolver.poll_answer() {
                self.events.push_back(NetEvent::Resolved { lookup, result });
            } else {
                return;
            }
        }
    }

    fn open_resolver_socket(&self, transmit: Transmit) -> io::Result<Kind> {
        let Transmit {
            socket: name,
            server,
            protocol,
            bytes,
        } = transmit;
        match protocol {
            Protocol::Udp => Datagram::send(name, server, &bytes).map(Kind::Datagram),
            Protocol::Tcp => Connection::connect(server, None, &self.socket_settings)
                .map(|connection| {
                    Kind::Stream(Stream {
                        connection,
                        name,
                        unsent: bytes,
                    })
                })
                .map_err(|reason| io::Error::other(reason.to_string())),
        }
    }

    // --- the table

    fn next_id(&mut self, slot: usize) -> SocketId {
        self.serial += 1;
        SocketId {
            serial: self.serial,
            slot,
        }
    }

    fn insert(&mut self, mut kind: Kind) -> io::Result<SocketId> {
        let index = self.free.last().copied().unwrap_or(self.slots.len());
        if index >= self.tokens.len() {
            return Err(io::Error::other("no token is left"));
        }
        kind.register(&self.registry, Token(self.tokens.start + index))?;
        let id = self.next_id(index);
        let slot = Slot {
            id,
            kind,
            queued: false,
            deadline: None,
        };
        match self.slots.get_mut(index) {
            Some(place) => {
                self.free.pop();
                *place = Some(slot);
            }
            None => self.slots.push(Some(slot)),
        }
        self.enqueue(id);
        Ok(id)
    }

    fn slot(&mut self, id: SocketId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot)?.as_mut().filter(|slot| slot.id == id)
    }

    /// A connection whose owner has not let go of it.
    fn connection(&mut self, id: SocketId) -> Option<&mut Connection> {
        match self.slot(id)? {
            Slot {
                kind: Kind::Connection(connection),
                ..
            } if !connection.is_closing() => Some(connection),
            _ => None,
        }
    }

    fn enqueue(&mut self, id: SocketId) {
        let Some(slot) = self.slot(id) else { return };
        if !slot.queued && slot.kind.has_work() {
            slot.queued = true;
            self.ready.push_back(id);
        }
    }

    fn set_deadline(&mut self, id: SocketId, deadline: Option<Time>) {
        let Some(slot) = self.slot(id) else { return };
        let before = std::mem::replace(&mut slot.deadline, deadline);
        if let Some(before) = before {
            self.deadlines.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    fn remove(&mut self, id: SocketId) {
        self.set_deadline(id, None);
        let Some(place) = self.slots.get_mut(id.slot) else {
            return;
        };
        if place.as_ref().is_none_or(|slot| slot.id != id) {
            return;
        }
        if let Some(mut slot) = place.take() {
            slot.kind.deregister(&self.registry);
            self.free.push(id.slot);
        }
    }
}
