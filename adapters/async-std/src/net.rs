//! Sockets, TLS and DNS for one owner: what a machine that speaks over connections needs, and nothing of SIP.
//!
//! Every socket with something to do stands once in a queue; [`Net::poll`] takes the first, does one bounded piece of
//! work (one read, one accept) and puts it to the end where more is left. So nobody waits for a neighbour that never
//! stops.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sansip::{CloseReason, ListenError, Question, Time, TlsFailure};
use sansip_net::{Protocol, Resolver, TlsServerConfig, TlsSession};

use crate::clock::{Clock, seed};
use crate::dns::Query;
use crate::event::NetEvent;
use crate::listen::{Accepted, Listener, listen_error};
use crate::runtime::{self, Pending, Tcp};
use crate::settings::{Settings, SocketSettings};
use crate::socket::{Connection, Scratch, Step, close_reason};
use crate::waker::{Ready, SocketWaker};

/// How many pieces of work [`Net::poll`] does in one turn before other tasks have theirs.
const WORK_PER_TURN: usize = 256;

/// A connection or listener of a [`Net`]; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SocketId(u64);

impl SocketId {
    #[cfg(test)]
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket{}", self.0)
    }
}

/// A question to the resolver of a [`Net`]; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LookupId(u64);

/// How a connection that is to be made speaks TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectTls<'a> {
    /// Trust, and the certificate to show.
    pub(crate) config: &'a sansip_net::TlsClientConfig,
    /// The name that the application asked for: the server name indication where it is a domain name.
    pub(crate) name: &'a str,
}

/// TCP is being set up.
#[derive(Debug)]
struct Dialing {
    connecting: Pending<io::Result<Tcp>>,
    remote: SocketAddr,
    tls: Option<Box<TlsSession>>,
    want_write: bool,
    woken: bool,
}

#[derive(Debug)]
enum Kind {
    Listener(Listener),
    Dialing(Dialing),
    Connection(Connection),
    Query(Query),
}

impl Kind {
    fn has_work(&self) -> bool {
        match self {
            Self::Listener(listener) => listener.has_work(),
            Self::Dialing(dialing) => dialing.woken,
            Self::Connection(connection) => connection.has_work(),
            Self::Query(query) => query.has_work(),
        }
    }

    const fn on_wake(&mut self) {
        match self {
            Self::Listener(listener) => listener.on_wake(),
            Self::Dialing(dialing) => dialing.woken = true,
            Self::Connection(connection) => connection.on_wake(),
            Self::Query(query) => query.on_wake(),
        }
    }
}

#[derive(Debug)]
struct Slot {
    kind: Kind,
    waker: Arc<SocketWaker>,
    /// It stands in the queue of those with work.
    queued: bool,
    deadline: Option<Time>,
}

/// What a step found, without the loan of the data.
enum Found {
    Event(NetEvent<'static>),
    Wire(SocketId, usize),
    Plain(SocketId),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Net {
    socket_settings: SocketSettings,
    handshake_timeout: Duration,
    close_timeout: Duration,
    accept_pause: Duration,
    backlog: u16,
    clock: Clock,
    slots: BTreeMap<SocketId, Slot>,
    serial: u64,
    woken: Arc<Ready>,
    queue: VecDeque<SocketId>,
    budget: usize,
    intake: bool,
    deadlines: BTreeSet<(Time, SocketId)>,
    events: VecDeque<NetEvent<'static>>,
    scratch: Scratch,
    resolver: Resolver<LookupId>,
    resolver_sockets: BTreeMap<sansip_net::SocketId, SocketId>,
}

impl Net {
    /// Of the settings, those of single managers and of Kerberos are not looked at.
    ///
    /// # Errors
    /// The system gives no entropy.
    pub(crate) fn new(settings: &Settings) -> io::Result<Self> {
        Ok(Self {
            socket_settings: settings.socket.clone(),
            handshake_timeout: settings.handshake_timeout,
            close_timeout: settings.close_timeout,
            accept_pause: settings.accept_pause,
            backlog: settings.backlog,
            clock: Clock::start(),
            slots: BTreeMap::new(),
            serial: 0,
            woken: Arc::new(Ready::default()),
            queue: VecDeque::new(),
            budget: WORK_PER_TURN,
            intake: true,
            deadlines: BTreeSet::new(),
            events: VecDeque::new(),
            scratch: Scratch::new(),
            resolver: Resolver::new(settings.dns.conf.clone(), settings.dns.hosts.clone(), seed()?),
            resolver_sockets: BTreeMap::new(),
        })
    }

    /// The time since this was made.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// How long to wait for this time; at least until it, for to wake early is to spin.
    pub(crate) fn until(&self, time: Time) -> Duration {
        self.clock.until(time)
    }

    /// What wakes the task of the owner from other threads.
    pub(crate) fn bell(&self) -> impl Fn() + Send + Sync + 'static {
        let woken = Arc::clone(&self.woken);
        move || woken.wake_task()
    }

    // --- commands

    /// Begins to connect. It always ends in [`NetEvent::Connected`] or [`NetEvent::Closed`], unless it is closed first. How
    /// long it may take is the owner's to say, by closing it.
    pub(crate) fn connect(&mut self, remote: SocketAddr, tls: Option<ConnectTls<'_>>) -> SocketId {
        let session = tls
            .map(|tls| tls.config.connect(tls.name, remote.ip()).map(Box::new))
            .transpose();
        match session {
            Ok(tls) => self.insert(Kind::Dialing(Dialing {
                connecting: runtime::connect(remote, self.socket_settings.clone()),
                remote,
                tls,
                want_write: false,
                woken: true,
            })),
            Err(failure) => {
                let socket = self.next_id();
                let reason = CloseReason::Tls(failure);
                self.events.push_back(NetEvent::Closed { socket, reason });
                socket
            }
        }
    }

    /// Listens, and says the address in use (port 0 lets the system choose). A listener on an IPv6 address takes IPv6 only.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) fn listen(
        &mut self,
        address: SocketAddr,
        tls: Option<TlsServerConfig>,
    ) -> Result<(SocketId, SocketAddr), ListenError> {
        let listener = Listener::bind(address, tls, self.backlog)?;
        let local = listener.local().map_err(|error| listen_error(&error))?;
        Ok((self.insert(Kind::Listener(listener)), local))
    }

    /// Shows another certificate to peers that connect from now on (rule C34); only at a listener that speaks TLS.
    pub(crate) fn set_listener_tls(&mut self, listener: SocketId, tls: TlsServerConfig) {
        if let Some(Slot {
            kind: Kind::Listener(listener),
            ..
        }) = self.slots.get_mut(&listener)
            && listener.tls.is_some()
        {
            listener.tls = Some(tls);
        }
    }

    /// Stops listening; nothing more is said of it. Accepted connections go on.
    pub(crate) fn stop_listening(&mut self, listener: SocketId) {
        if let Some(Slot {
            kind: Kind::Listener(_),
            ..
        }) = self.slots.get(&listener)
        {
            self.remove(listener);
        }
        self.events.retain(|event| !event.is_of(listener));
    }

    /// Takes from these slices what the socket accepts now, in order, and says how many bytes that were. Where it is less
    /// than was offered, [`NetEvent::Writable`] or [`NetEvent::Closed`] follows. Over TLS a little more is taken than the
    /// socket accepts (64 KiB).
    pub(crate) fn write(&mut self, socket: SocketId, slices: &[IoSlice<'_>]) -> usize {
        if let Some(Slot {
            kind: Kind::Dialing(dialing),
            ..
        }) = self.slots.get_mut(&socket)
        {
            dialing.want_write = true;
        }
        let Some(connection) = self.connection(socket) else {
            return 0;
        };
        let taken = connection.write(slices);
        self.enqueue(socket);
        taken
    }

    /// Asks for [`NetEvent::Writable`], for an owner that has more to write and lets others go first.
    pub(crate) fn request_writable(&mut self, socket: SocketId) {
        if let Some(connection) = self.connection(socket) {
            connection.request_writable();
            self.enqueue(socket);
        }
    }

    /// Stops (`false`) or resumes the delivery of data. The end of a connection is told behind its data.
    pub(crate) fn set_reading(&mut self, socket: SocketId, reading: bool) {
        if let Some(connection) = self.connection(socket) {
            connection.set_reading(reading);
            self.enqueue(socket);
        }
    }

    /// [`Net::set_reading`] of every connection that there is and will be; a connection is read while both say so.
    pub(crate) fn set_intake(&mut self, intake: bool) {
        if self.intake == intake {
            return;
        }
        self.intake = intake;
        let ids: Vec<_> = self.slots.keys().copied().collect();
        for id in ids {
            if let Some(connection) = self.connection(id) {
                connection.set_intake(intake);
                self.enqueue(id);
            }
        }
    }

    /// Closes; nothing more is said of it. What [`Net::write`] took is still sent, then the end (of TLS too) is announced.
    pub(crate) fn close(&mut self, socket: SocketId) {
        self.events.retain(|event| !event.is_of(socket));
        let closing = self.connection(socket).map(Connection::close);
        match closing {
            Some(true) => {
                self.set_deadline(socket, Some(self.clock.now() + self.close_timeout));
                self.enqueue(socket);
            }
            Some(false) => self.remove(socket),
            None => {
                if let Some(Slot {
                    kind: Kind::Dialing(_),
                    ..
                }) = self.slots.get(&socket)
                {
                    self.remove(socket);
                }
            }
        }
    }

    /// Asks the domain name system; [`NetEvent::Resolved`] answers. It never blocks and always ends.
    pub(crate) fn resolve(&mut self, question: Question) -> LookupId {
        self.serial += 1;
        let lookup = LookupId(self.serial);
        let now = self.clock.now();
        self.resolver.ask(now, lookup, question);
        self.drain_resolver();
        lookup
    }

    /// How many connections there are, those that are still being closed among them.
    pub(crate) fn connections(&self) -> usize {
        self.slots
            .values()
            .filter(|slot| matches!(slot.kind, Kind::Connection(_) | Kind::Dialing(_)))
            .count()
    }

    // --- the world

    /// A new turn: this task is to be woken, and what has been woken is looked at.
    pub(crate) fn begin_turn(&mut self, task: &Waker) {
        self.budget = WORK_PER_TURN;
        self.woken.set_task(task);
        while let Some(id) = self.woken.pop() {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.waker.reset();
                slot.kind.on_wake();
                self.enqueue(id);
            }
        }
    }

    /// Time has passed.
    pub(crate) fn handle_deadline(&mut self) {
        let now = self.clock.now();
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.set_deadline(id, None);
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            match &mut slot.kind {
                Kind::Listener(listener) => {
                    listener.on_wake();
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
                Kind::Dialing(_) | Kind::Query(_) => {}
            }
        }
        if self
            .resolver
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            self.resolver.handle_timeout(now);
            self.drain_resolver();
        }
    }

    /// Whether there is work that waits for no waker and no deadline.
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.events.is_empty()
    }

    /// When [`Net::handle_deadline`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let own = self.deadlines.first().map(|(deadline, _)| *deadline);
        own.into_iter().chain(self.resolver.poll_timeout()).min()
    }

    /// The next thing that happened, with the work to find it. `None` where nothing is left, or enough was done for one
    /// turn.
    pub(crate) fn poll(&mut self) -> Option<NetEvent<'_>> {
        let found = loop {
            if let Some(event) = self.events.pop_front() {
                break Found::Event(event);
            }
            if self.budget == 0 {
                return None;
            }
            let id = self.queue.pop_front()?;
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
        let slot = self.slots.get_mut(&id)?;
        slot.queued = false;
        let waker = Waker::from(Arc::clone(&slot.waker));
        let mut cx = Context::from_waker(&waker);
        let found = match &mut slot.kind {
            Kind::Connection(connection) => {
                let step = connection.step(&mut self.scratch);
                self.on_connection_step(id, step)
            }
            Kind::Dialing(dialing) => match dialing.connecting.poll(&mut cx) {
                Poll::Pending => {
                    dialing.woken = false;
                    None
                }
                Poll::Ready(result) => self.on_dialed(id, result, waker),
            },
            Kind::Listener(listener) => {
                let accepted = listener.accept(&mut cx);
                self.on_accept_step(id, accepted)
            }
            Kind::Query(query) => {
                let received = query.receive(&mut cx);
                let (name, server, protocol) = (query.name, query.server, query.protocol);
                self.on_query_step(name, server, protocol, received);
                None
            }
        };
        self.enqueue(id);
        found
    }

    fn on_dialed(&mut self, socket: SocketId, result: io::Result<Tcp>, waker: Waker) -> Option<Found> {
        let Slot {
            kind: Kind::Dialing(dialing),
            ..
        } = self.slots.get_mut(&socket)?
        else {
            return None;
        };
        let (remote, tls, want_write) = (dialing.remote, dialing.tls.take(), dialing.want_write);
        let made = result.and_then(|tcp| {
            let stream = tcp.polled_by(waker);
            Ok((stream.local_addr()?, stream))
        });
        let reason = match made {
            // A socket connects to itself when the system gives it the very port that it is to connect to.
            Ok((local, _)) if local == remote => CloseReason::Refused,
            Ok((_, stream)) => {
                let mut connection = Connection::new(stream, remote, tls, want_write);
                connection.set_intake(self.intake);
                let established = (!connection.is_handshaking()).then(|| connection.established());
                if let Some(slot) = self.slots.get_mut(&socket) {
                    slot.kind = Kind::Connection(connection);
                }
                return self.on_connection_step(socket, established?);
            }
            Err(error) => close_reason(&error),
        };
        self.remove(socket);
        Some(Found::Event(NetEvent::Closed { socket, reason }))
    }

    fn on_connection_step(&mut self, socket: SocketId, step: Step) -> Option<Found> {
        match step {
            Step::Nothing => None,
            Step::Connected(established) => {
                self.set_deadline(socket, None);
                Some(Found::Event(NetEvent::Connected { socket, established }))
            }
            Step::Received(length) => Some(Found::Wire(socket, length)),
            Step::Decrypted => Some(Found::Plain(socket)),
            Step::Writable => Some(Found::Event(NetEvent::Writable { socket })),
            Step::Closed(reason) => {
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
                }) = self.slots.get_mut(&listener)
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
    fn on_accepted(&mut self, listener: SocketId, tcp: Tcp, remote: SocketAddr) -> Option<NetEvent<'static>> {
        let Slot {
            kind: Kind::Listener(Listener { tls, .. }),
            ..
        } = self.slots.get(&listener)?
        else {
            return None;
        };
        let session: Option<Result<TlsSession, TlsFailure>> = tls.as_ref().map(TlsServerConfig::accept);
        let session = session.transpose().ok()?.map(Box::new);
        tcp.apply(&self.socket_settings);
        let socket = self.next_id();
        let waker = SocketWaker::new(socket, &self.woken);
        let stream = tcp.polled_by(Waker::from(Arc::clone(&waker)));
        let mut connection = Connection::new(stream, remote, session, false);
        connection.set_intake(self.intake);
        let local = connection.local().ok()?;
        let is_handshaking = connection.is_handshaking();
        self.place(socket, waker, Kind::Connection(connection));
        if is_handshaking {
            self.set_deadline(socket, Some(self.clock.now() + self.handshake_timeout));
        }
        Some(NetEvent::Accepted {
            listener,
            socket,
            local,
            remote,
        })
    }

    // --- the resolver's sockets

    fn on_query_step(
        &mut self,
        name: sansip_net::SocketId,
        server: SocketAddr,
        protocol: Protocol,
        received: io::Result<Option<Vec<u8>>>,
    ) {
        let now = self.clock.now();
        match received {
            Ok(Some(bytes)) => match protocol {
                Protocol::Udp => self.resolver.handle_datagram(now, name, server, &bytes),
                Protocol::Tcp => self.resolver.handle_tcp(now, name, &bytes),
            },
            Ok(None) => return,
            Err(_) => {
                if let Some(id) = self.resolver_sockets.remove(&name) {
                    self.remove(id);
                }
                self.resolver.handle_failed(now, name);
            }
        }
        self.drain_resolver();
    }

    fn drain_resolver(&mut self) {
        loop {
            if let Some(name) = self.resolver.poll_close() {
                if let Some(id) = self.resolver_sockets.remove(&name) {
                    self.remove(id);
                }
            } else if let Some(transmit) = self.resolver.poll_transmit() {
                let name = transmit.socket;
                let id = self.insert(Kind::Query(Query::send(transmit)));
                self.resolver_sockets.insert(name, id);
            } else if let Some((lookup, result)) = self.resolver.poll_answer() {
                self.events.push_back(NetEvent::Resolved { lookup, result });
            } else {
                return;
            }
        }
    }

    // --- the table

    fn next_id(&mut self) -> SocketId {
        self.serial += 1;
        SocketId(self.serial)
    }

    fn insert(&mut self, kind: Kind) -> SocketId {
        let id = self.next_id();
        let waker = SocketWaker::new(id, &self.woken);
        self.place(id, waker, kind);
        id
    }

    fn place(&mut self, id: SocketId, waker: Arc<SocketWaker>, kind: Kind) {
        let slot = Slot {
            kind,
            waker,
            queued: false,
            deadline: None,
        };
        self.slots.insert(id, slot);
        self.enqueue(id);
    }

    /// A connection whose owner has not let go of it.
    fn connection(&mut self, id: SocketId) -> Option<&mut Connection> {
        match self.slots.get_mut(&id)? {
            Slot {
                kind: Kind::Connection(connection),
                ..
            } if !connection.is_closing() => Some(connection),
            _ => None,
        }
    }

    fn enqueue(&mut self, id: SocketId) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if !slot.queued && slot.kind.has_work() {
            slot.queued = true;
            self.queue.push_back(id);
        }
    }

    fn set_deadline(&mut self, id: SocketId, deadline: Option<Time>) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
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
        self.slots.remove(&id);
    }
}
