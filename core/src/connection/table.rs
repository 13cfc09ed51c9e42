//! All connections, pools, managers and listeners of a stack, and what the layers above want of them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::lifetime::{End, Input, Lifetime, LifetimePrint, Outcome, Role, Terms};
use super::listener::{self, Listener, ListenerPrint};
use super::manager::{Manager, ManagerConfig, ManagerKind, MutualTls};
use super::pool::{Choice, Pool, PoolPrint};
use super::queue::{SendQueue, Sent};
use super::{ConnectionInfo, Indication, Lease, SendError};
use crate::action::{Action, PeerCertificate, Transport};
use crate::counters::Label;
use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::{ConnectionFailure, Event, OperationError, RemovalReason};
use crate::ids::{ConnId, ListenerId, ManagerId};
use crate::locate::{Found, Hop, Locator, QueryPrint, Search};
use crate::map::HashKey;
use crate::time::Time;
use crate::wire::frame::Framer;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub(super) key: HashKey,
    pub(super) managers: BTreeMap<ManagerId, Manager>,
    pub(super) listeners: BTreeMap<ListenerId, Listener>,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) locator: Locator,
    pub(super) up: VecDeque<Indication>,
    /// While the application lags behind: the connections that are not read from because they brought something.
    pub(super) paused: Option<BTreeSet<ConnId>>,
    /// Those that were stopped and are read from again: what has arrived meanwhile is still to be taken.
    pub(super) backlog: BTreeSet<ConnId>,
    leases: usize,
    queued: usize,
}

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) lifetime: Lifetime,
    pub(super) framer: Framer,
    pub(super) queue: SendQueue,
    pub(super) users: usize,
    pub(super) ends: Option<Ends>,
    /// A keep-alive of ours waits for its answer.
    pub(super) pinged: bool,
    /// When bytes were last queued, keep-alives included.
    pub(super) sent: Time,
    /// When the peer was last heard, whatever it has sent.
    pub(super) heard: Time,
    /// Too much is outstanding on it (C22).
    pub(super) throttled: bool,
    /// It is not read from because of that.
    pub(super) stopped: bool,
}

/// What is known of a connection once it is there.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) matched: Option<Box<str>>,
    pub(super) certificate: Option<Box<PeerCertificate>>,
}

/// The state of the room in canonical form: connections and listeners in the order of their making.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    /// Each with its users and queued bytes, and the pool that it is in.
    pub(crate) connections: Vec<(LifetimePrint, usize, usize, Option<PoolPrint>)>,
    /// Whether each is throttled, and not read from.
    pub(crate) throttled: Vec<[bool; 2]>,
    pub(crate) listeners: Vec<ListenerPrint>,
    pub(crate) queries: Vec<QueryPrint>,
}

impl Connection {
    pub(super) fn new(lifetime: Lifetime, ends: Option<Ends>, cx: &Cx<'_>) -> Self {
        let framer = Framer::new(cx.config.limits.message.clone());
        let queue = SendQueue::default();
        Self {
            lifetime,
            framer,
            queue,
            users: 0,
            ends,
            pinged: false,
            sent: cx.now,
            heard: cx.now,
            throttled: false,
            stopped: false,
        }
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.ends
            .as_ref()
            .map(|ends| ends.remote)
            .or_else(|| self.lifetime.target())
    }

    /// Over TLS, the name that its certificate was accepted for.
    pub(super) fn matched(&self) -> Option<&str> {
        self.ends.as_ref()?.matched.as_deref()
    }
}

impl Connections {
    /// A room without managers.
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            key,
            managers: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            locator: Locator::new(key),
            up: VecDeque::new(),
            paused: None,
            backlog: BTreeSet::new(),
            leases: 0,
            queued: 0,
        }
    }

    /// The next thing that the layers above have to know.
    pub(crate) fn next_indication(&mut self) -> Option<Indication> {
        let next = self.up.pop_front();
        if self.up.is_empty() {
            self.up.shrink_to(64);
        }
        next
    }

    pub(crate) fn has_indication(&self) -> bool {
        !self.up.is_empty()
    }

    /// Whether the application lags behind and connections are not read from.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    // Managers and listeners.

    /// A manager of the stack's own making, with the default settings of its kind.
    pub(crate) fn add_default_manager(&mut self, id: ManagerId, kind: ManagerKind, config: &crate::Config) {
        if let Ok(manager) = Manager::new(ManagerConfig::new(kind), config, self.key) {
            self.managers.insert(id, manager);
        }
    }

    pub(crate) fn add_manager(
        &mut self,
        cx: &mut Cx<'_>,
        config: ManagerConfig,
    ) -> Result<ManagerId, Misuse> {
        let manager = Manager::new(config, cx.config, self.key)?;
        let id = cx.ids.next();
        self.managers.insert(id, manager);
        Ok(id)
    }

    pub(crate) fn manager_kind(&self, id: ManagerId) -> Option<ManagerKind> {
        self.manager_config(id).map(|config| config.kind)
    }

    pub(crate) fn manager_config(&self, id: ManagerId) -> Option<&ManagerConfig> {
        self.managers.get(&id).map(|manager| &manager.config)
    }

    /// Listens on an address more (C14).
    pub(crate) fn listen(
        &mut self,
        cx: &mut Cx<'_>,
        manager: ManagerId,
        address: SocketAddr,
    ) -> Result<ListenerId, Misuse> {
        let kind = self
            .manager_kind(manager)
            .ok_or(Misuse::Unknown("the connection manager"))?;
        let Some(transport) = kind.listens_on() else {
            return Err(Misuse::Kind("a client manager does not listen"));
        };
        if self
            .listeners
            .values()
            .any(|listener| listener.manager == manager && listener.has(address))
        {
            return Err(Misuse::argument("address", "the manager listens on it already"));
        }
        let id = cx.ids.next();
        self.listeners
            .insert(id, Listener::new(id, manager, transport, address, cx));
        Ok(id)
    }

    /// Stops listening; the connections that came in over it go on.
    pub(crate) fn stop_listening(
        &mut self,
        cx: &mut Cx<'_>,
        manager: ManagerId,
        id: ListenerId,
    ) -> Result<(), Misuse> {
        if self
            .listeners
            .get(&id)
            .is_none_or(|listener| listener.manager != manager)
        {
            return Err(Misuse::Unknown("the listener"));
        }
        self.drive_listener(cx, id, listener::Input::Stop);
        Ok(())
    }

    pub(super) fn drive_listener(&mut self, cx: &mut Cx<'_>, id: ListenerId, input: listener::Input) {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return;
        };
        let manager = listener.manager;
        match listener.step(input, cx) {
            Some(listener::Outcome::Listens) => {
                self.up.push_back(Indication::Listening {
                    listener: id,
                    manager,
                });
            }
            Some(listener::Outcome::Gone(error)) => {
                self.listeners.remove(&id);
                self.up.push_back(Indication::NotListening {
                    listener: id,
                    manager,
                    error,
                });
            }
            None => {}
        }
    }

    /// Stops all listening of all managers.
    pub(crate) fn stop_all_listening(&mut self, cx: &mut Cx<'_>) {
        let ids: Vec<ListenerId> = self.listeners.keys().copied().collect();
        for id in ids {
            self.drive_listener(cx, id, listener::Input::Stop);
        }
    }

    /// Whether a manager listens on any address now.
    pub(crate) fn is_listening(&self, manager: ManagerId) -> bool {
        self.listening_addresses(manager).next().is_some()
    }

    /// Whether a manager has asked for an address that it does not have yet.
    pub(crate) fn is_starting(&self, manager: ManagerId) -> bool {
        let mut listeners = self.listeners.values();
        listeners.any(|listener| listener.manager == manager && listener.address().is_none())
    }

    /// The addresses that a manager listens on now, in the order in which they were asked for.
    pub(crate) fn listening_addresses(
        &self,
        manager: ManagerId,
    ) -> impl Iterator<Item = (ListenerId, SocketAddr, Transport)> {
        let own = self
            .listeners
            .iter()
            .filter(move |(_, listener)| listener.manager == manager);
        own.filter_map(|(id, listener)| Some((*id, listener.address()?, listener.transport)))
    }

    // Connections and their users.

    /// A connection to the hop, which may still be on its way: in the order of C4, and for a client manager always a
    /// new one (C5). It does not go to an address of `avoid`.
    pub(crate) fn acquire(
        &mut self,
        cx: &mut Cx<'_>,
        manager: ManagerId,
        hop: &Hop,
        avoid: &[SocketAddr],
    ) -> Result<Lease, ConnectionFailure> {
        let Some(owner) = self.managers.get_mut(&manager) else {
            return Err(ConnectionFailure::NoTransport(
                "the connection manager does not exist",
            ));
        };
        owner.check_transport(hop.transport())?;
        let connections = &self.connections;
        let suits = |conn: ConnId| {
            let remote = connections.get(&conn).and_then(Connection::remote);
            avoid.is_empty() || remote.is_some_and(|remote| !avoid.contains(&remote))
        };
        let choice = owner
            .pools
            .get_mut(hop)
            .map_or(Choice::New, |pool| pool.choose(suits));
        if let Choice::Existing(conn) = choice
            && let Some(lease) = self.share(cx, conn)
        {
            return Ok(lease);
        }
        self.connect(cx, manager, hop, avoid)
    }

    fn connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: ManagerId,
        hop: &Hop,
        avoid: &[SocketAddr],
    ) -> Result<Lease, ConnectionFailure> {
        if self.connections.len() >= cx.config.limits.connections {
            cx.counters.refusals.connections += 1;
            return Err(ConnectionFailure::Limit("connections"));
        }
        let conn: ConnId = cx.ids.next();
        let mut terms = Terms::default();
        let mut role = Role::Private(hop.clone());
        if let Some(manager) = self.managers.get_mut(&id) {
            terms = manager.terms(false, cx.config);
            if manager.shares() {
                role = Role::Shared(hop.clone());
                let size = manager.pool_size(cx.config);
                let pool = manager.pools.or_insert_with(hop.clone(), || Pool::new(size));
                if pool.is_empty() {
                    cx.out.event(Event::PoolAdded {
                        manager: id,
                        host: hop.host().to_string(),
                        port: hop.port(),
                        transport: hop.transport(),
                    });
                }
                pool.add(conn);
            }
        }
        let search = Search::new(hop.clone(), avoid);
        let mut connection = Connection::new(Lifetime::outgoing(conn, id, role, search, terms), None, cx);
        connection.users = 1;
        self.leases += 1;
        self.connections.insert(conn, connection);
        cx.counters.connections.outgoing.started += 1;
        self.locate(cx, conn);
        Ok(Lease { conn })
    }

    /// One user more for a connection that exists; `None` where it takes no further ones.
    pub(crate) fn share(&mut self, cx: &mut Cx<'_>, conn: ConnId) -> Option<Lease> {
        let connection = self
            .connections
            .get_mut(&conn)
            .filter(|connection| connection.lifetime.is_sharable())?;
        connection.users += 1;
        self.leases += 1;
        self.drive(cx, conn, Input::Used);
        Some(Lease { conn })
    }

    /// One user more for the connection of a dialog, where it lasts and does not lead to one of these addresses (C9).
    pub(crate) fn share_own(
        &mut self,
        cx: &mut Cx<'_>,
        own: Option<&Lease>,
        avoid: &[SocketAddr],
    ) -> Option<Lease> {
        let conn = own.map(Lease::conn).filter(|conn| self.is_usable(*conn))?;
        let avoided = self.ends(conn).is_some_and(|(_, remote)| avoid.contains(&remote));
        if avoided { None } else { self.share(cx, conn) }
    }

    /// This connection instead of the one that is held, where it takes a further user (C13).
    pub(crate) fn hold_instead(&mut self, cx: &mut Cx<'_>, held: &mut Option<Lease>, conn: ConnId) {
        if let Some(lease) = self.share(cx, conn)
            && let Some(old) = held.replace(lease)
        {
            self.release(cx, old);
        }
    }

    /// Gives a lease back; one of a connection that is gone is void. What becomes of a connection without users: an
    /// outgoing one of a server manager is kept for a while (C8), that of a client manager is closed once its bytes
    /// have gone (C6), one that is not ready yet is given up, an incoming one stays.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is used up")]
    pub(crate) fn release(&mut self, cx: &mut Cx<'_>, lease: Lease) {
        let Some(connection) = self.connections.get_mut(&lease.conn) else {
            return;
        };
        let Some(users) = connection.users.checked_sub(1) else {
            return;
        };
        connection.users = users;
        self.leases -= 1;
        if users == 0 {
            self.drive(cx, lease.conn, Input::Unused);
        }
    }

    /// Closes a connection now (C32); bytes that wait are lost.
    pub(crate) fn disconnect(&mut self, cx: &mut Cx<'_>, conn: ConnId, reason: RemovalReason) {
        self.drive(cx, conn, Input::Disconnect(reason));
    }

    /// Whether requests can wait for it, or go out over it.
    pub(crate) fn is_usable(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_some_and(|connection| connection.lifetime.is_coming() || connection.lifetime.is_ready())
    }

    /// The manager of a connection, and what it speaks.
    pub(crate) fn manager_of(&self, conn: ConnId) -> Option<(ManagerId, Transport)> {
        let lifetime = &self.connections.get(&conn)?.lifetime;
        Some((lifetime.manager, lifetime.role.transport()))
    }

    /// Whether both sides of it prove who they are by certificates (C18).
    pub(crate) fn is_mutual(&self, conn: ConnId) -> bool {
        let over = self.manager_of(conn);
        over.is_some_and(|(manager, transport)| {
            let config = self.manager_config(manager);
            transport == Transport::Tls && config.is_some_and(|config| config.mutual_tls != MutualTls::Off)
        })
    }

    /// Whether it has one owner: that of a client manager (C5).
    pub(crate) fn is_private(&self, conn: ConnId) -> bool {
        let is_private = |connection: &Connection| matches!(connection.lifetime.role, Role::Private(_));
        self.connections.get(&conn).is_some_and(is_private)
    }

    /// Whether it is ready and at most half of what may wait on it does (C30).
    pub(crate) fn has_room(&self, config: &crate::Config, conn: ConnId) -> bool {
        self.connections.get(&conn).is_some_and(|connection| {
            connection.lifetime.is_ready() && connection.queue.len() <= config.limits.send_queue / 2
        })
    }

    pub(crate) fn is_ready(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_some_and(|connection| connection.lifetime.is_ready())
    }

    /// A message from it has proved to be valid SIP (C12).
    pub(crate) fn proven(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        self.drive(cx, conn, Input::Proven);
    }

    // Bytes out.

    /// Queues bytes of a message. Beyond [`Limits::send_queue`](crate::Limits::send_queue) the connection is closed (C30).
    pub(crate) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        conn: ConnId,
        bytes: Bytes,
        label: Label,
    ) -> Result<Sent, SendError> {
        let sent = self.queue(cx, conn, bytes, label)?;
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.lifetime.traffic(cx.now);
        }
        Ok(sent)
    }

    pub(super) fn queue(
        &mut self,
        cx: &mut Cx<'_>,
        conn: ConnId,
        bytes: Bytes,
        label: Label,
    ) -> Result<Sent, SendError> {
        let connection = self.connections.get_mut(&conn).ok_or(SendError::Gone)?;
        if connection.lifetime.is_coming() {
            return Err(SendError::NotReady);
        }
        if !connection.lifetime.is_writable() {
            return Err(SendError::Gone);
        }
        let (length, was_empty) = (bytes.len(), connection.queue.is_empty());
        let Some(sent) = connection.queue.push(bytes, label, cx.config.limits.send_queue) else {
            cx.counters.refusals.send_queue += 1;
            self.drive(cx, conn, Input::Disconnect(RemovalReason::SlowReader));
            return Err(SendError::Full);
        };
        connection.sent = cx.now;
        self.queued += length;
        if was_empty {
            connection.lifetime.waits(cx);
            cx.out.push(Action::Transmit(conn));
        }
        Ok(sent)
    }

    /// When bytes were last queued on a connection, keep-alives included.
    pub(crate) fn last_sent(&self, conn: ConnId) -> Option<Time> {
        self.connections.get(&conn).map(|connection| connection.sent)
    }

    /// How many bytes of the queue the embedder has taken since the connection was made: of a message that was queued
    /// at [`Sent::start`] no byte has left while this is not greater. `None` once the connection is gone; then
    /// [`Indication::Lost`] has said it.
    pub(crate) fn taken(&self, conn: ConnId) -> Option<u64> {
        self.connections
            .get(&conn)
            .map(|connection| connection.queue.taken())
    }

    /// The bytes that wait, in order.
    pub(crate) fn transmit(&self, conn: ConnId) -> impl Iterator<Item = &Bytes> {
        self.connections
            .get(&conn)
            .into_iter()
            .flat_map(|connection| connection.queue.slices())
    }

    pub(super) fn took(&mut self, cx: &mut Cx<'_>, conn: ConnId, count: usize) -> usize {
        let now = cx.now;
        let gone = |label| cx.counters.taken(label);
        let taken = self.connections.get_mut(&conn).map_or(0, |connection| {
            let taken = connection.queue.take(count, gone);
            if taken > 0 {
                connection.lifetime.progressed(now);
            }
            taken
        });
        self.queued -= taken;
        taken
    }

    // Fail-over.

    /// The address did not answer as it should: it is tried last for a while (C25).
    pub(crate) fn address_failed(&mut self, cx: &Cx<'_>, address: SocketAddr) {
        self.locator.address_failed(cx, address);
    }

    /// Whether the hop is known to have an address that is not among `tried`.
    pub(crate) fn has_other_target(&self, hop: &Hop, tried: &[SocketAddr]) -> bool {
        self.locator.has_other_target(hop, tried)
    }

    // Looking.

    pub(crate) fn info(&self, conn: ConnId) -> Option<ConnectionInfo<'_>> {
        let connection = self.connections.get(&conn)?;
        let (lifetime, ends) = (&connection.lifetime, connection.ends.as_ref());
        let hop = lifetime.role.hop();
        Some(ConnectionInfo {
            manager: lifetime.manager,
            transport: lifetime.role.transport(),
            local: ends.map(|ends| ends.local),
            remote: connection.remote(),
            incoming: hop.is_none(),
            ready: lifetime.is_ready(),
            held: lifetime.is_held(),
            users: connection.users,
            queued: connection.queue.len(),
            host: hop.map(Hop::host),
            port: hop.and_then(Hop::port),
            matched: connection.matched(),
            certificate: ends.and_then(|ends| ends.certificate.as_deref()),
        })
    }

    /// Both ends of a connection that is ready: this one first.
    pub(crate) fn ends(&self, conn: ConnId) -> Option<(SocketAddr, SocketAddr)> {
        let connection = self
            .connections
            .get(&conn)
            .filter(|connection| connection.lifetime.is_writable())?;
        connection.ends.as_ref().map(|ends| (ends.local, ends.remote))
    }

    /// Where an outgoing connection goes.
    pub(crate) fn hop(&self, conn: ConnId) -> Option<&Hop> {
        self.connections.get(&conn)?.lifetime.role.hop()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The oldest connections, so many at the most.
    pub(crate) fn first(&self, count: usize) -> Vec<ConnId> {
        self.connections.keys().take(count).copied().collect()
    }

    pub(crate) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Leases that are not void and have not been given back.
    pub(crate) const fn leases(&self) -> usize {
        self.leases
    }

    /// Bytes that wait to be sent, on all connections.
    pub(crate) const fn queued_bytes(&self) -> usize {
        self.queued
    }

    /// Questions to the domain name system that are under way.
    pub(crate) fn queries(&self) -> usize {
        self.locator.queries()
    }

    /// The state of the room in canonical form.
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let pool_of = |connection: &Connection| {
            let manager = self.managers.get(&connection.lifetime.manager)?;
            Some(manager.pools.get(connection.lifetime.role.hop()?)?.fingerprint())
        };
        let connections = self.connections.values().map(|connection| {
            let lifetime = connection.lifetime.fingerprint(now);
            (
                lifetime,
                connection.users,
                connection.queue.len(),
                pool_of(connection),
            )
        });
        let throttled = self.connections.values();
        let throttled = throttled.map(|connection| [connection.throttled, connection.stopped]);
        Fingerprint {
            connections: connections.collect(),
            throttled: throttled.collect(),
            listeners: self.listeners.values().map(Listener::fingerprint).collect(),
            queries: self.locator.fingerprint(now),
        }
    }

    // The machines.

    /// Goes on with the search for an address, where it is its turn.
    pub(super) fn locate(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let Some((search, true)) = connection.lifetime.search() else {
            return;
        };
        match search.next(cx, &mut self.locator, conn) {
            Found::Target(address) => self.drive(cx, conn, Input::Target(address)),
            Found::Exhausted(error) => self.drive(cx, conn, Input::Exhausted(error)),
            Found::Wait => {}
        }
    }

    /// One step of a connection's machine, and what follows from it.
    pub(super) fn drive(&mut self, cx: &mut Cx<'_>, conn: ConnId, input: Input) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let pending = !connection.queue.is_empty();
        if let Some(outcome) = connection.lifetime.step(input, pending, cx) {
            self.settle(cx, conn, outcome);
        }
    }

    pub(super) fn settle(&mut self, cx: &mut Cx<'_>, conn: ConnId, outcome: Outcome) {
        match outcome {
            Outcome::Next { failed, error } => {
                self.locator.address_failed(cx, failed);
                let connection = self.connections.get_mut(&conn);
                if let Some((search, _)) = connection.and_then(|connection| connection.lifetime.search()) {
                    search.failed(error);
                }
                self.locate(cx, conn);
            }
            Outcome::Again => self.locate(cx, conn),
            Outcome::Held => self.held(cx, conn),
            Outcome::Ready => self.ready(cx, conn),
            Outcome::Lingers => self.in_pool(cx, conn, |pool| pool.lingers(conn)),
            Outcome::Reused => self.in_pool(cx, conn, |pool| pool.reused(conn)),
            Outcome::Leaves => self.in_pool(cx, conn, |pool| pool.leaves(conn)),
            Outcome::Gone(end) => self.gone(cx, conn, end),
        }
    }

    fn ready(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let Some(remote) = connection.remote() else { return };
        let (lifetime, transport) = (&connection.lifetime, connection.lifetime.role.transport());
        let (manager, incoming) = (lifetime.manager, lifetime.role.hop().is_none());
        if !incoming {
            self.locator.address_works(remote);
        }
        cx.counters.connecting(incoming).made += 1;
        cx.out.event(Event::ConnectionAdded {
            conn,
            manager,
            remote,
            incoming,
            transport,
            matched: connection.matched().map(String::from),
        });
        self.up.push_back(Indication::Ready(conn));
    }

    fn in_pool(&mut self, cx: &mut Cx<'_>, conn: ConnId, change: impl FnOnce(&mut Pool)) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let id = connection.lifetime.manager;
        let Some(manager) = self.managers.get_mut(&id) else {
            return;
        };
        let Role::Shared(hop) = &connection.lifetime.role else {
            return;
        };
        let Some(pool) = manager.pools.get_mut(hop) else {
            return;
        };
        change(pool);
        if pool.is_empty() {
            manager.pools.remove(hop);
            cx.out.event(Event::PoolRemoved {
                manager: id,
                host: hop.host().to_string(),
                port: hop.port(),
                transport: hop.transport(),
            });
        }
    }

    fn gone(&mut self, cx: &mut Cx<'_>, conn: ConnId, end: End) {
        self.tell_end(cx, conn, &end);
        self.in_pool(cx, conn, |pool| pool.leaves(conn));
        let Some(connection) = self.connections.remove(&conn) else {
            return;
        };
        self.leases -= connection.users;
        self.queued -= connection.queue.len();
        if let Some(paused) = &mut self.paused {
            paused.remove(&conn);
        }
        self.backlog.remove(&conn);
        let counted = cx.counters.connecting(connection.lifetime.role.hop().is_none());
        match &end {
            End::Abandoned => counted.abandoned += 1,
            End::Failed(_) | End::Refused(_) | End::Withheld(..) => counted.failed += 1,
            End::Lost(_) => counted.closed += 1,
        }
        match end {
            End::Abandoned | End::Refused(_) => {}
            End::Failed(error) | End::Withheld(_, error) => {
                self.up.push_back(Indication::Failed { conn, error });
            }
            End::Lost(reason) => {
                let taken = connection.queue.taken();
                let remote = connection.remote();
                let hop = connection.lifetime.role.hop();
                let target = hop.cloned().zip(remote);
                self.up.push_back(Indication::Lost {
                    conn,
                    reason,
                    taken,
                    target,
                });
            }
        }
    }

    /// The end of a connection as the application sees it (C16, C28). One that never was there is not told of: the request
    /// that wanted it is.
    fn tell_end(&self, cx: &mut Cx<'_>, conn: ConnId, end: &End) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        // Who has been connected has another end that is known.
        let Some(remote) = connection.remote() else { return };
        let (lifetime, manager) = (&connection.lifetime, connection.lifetime.manager);
        match end {
            End::Abandoned | End::Failed(_) => {}
            End::Refused(failure) => cx.out.event(Event::IncomingTlsFailed {
                manager,
                remote,
                failure: failure.clone(),
            }),
            End::Lost(reason) | End::Withheld(reason, _) => cx.out.event(Event::ConnectionRemoved {
                conn,
                manager,
                remote,
                incoming: lifetime.role.hop().is_none(),
                transport: lifetime.role.transport(),
                matched: connection.matched().map(String::from),
                reason: reason.clone(),
            }),
        }
    }
}

/// What a connection failure is to a request.
impl From<ConnectionFailure> for OperationError {
    fn from(failure: ConnectionFailure) -> Self {
        Self::ConnectionFailure(failure)
    }
}
