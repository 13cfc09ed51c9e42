//! The engine: owns every machine, and hands what one reports to the next.

mod authorize;
mod drain;
mod ended;
mod fingerprint;
mod parts;
mod receive;
#[cfg(feature = "record")]
pub(crate) mod recorder;
mod view;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use crate::action::{Action, Answer, CloseReason, Established, ListenError, ResolveError};
use crate::auth::AuthTable;
#[cfg(any(test, feature = "cells"))]
use crate::cells::Cells;
use crate::config::Config;
use crate::connection::{ConnectionInfo, Connections, LostAddresses, ManagerConfig, ManagerKind};
use crate::counters::Counters;
use crate::cx::{Cx, Outbox};
use crate::endpoint::{Endpoints, PeerToPeerConfig, SipEndpointConfig};
use crate::entropy::Entropy;
use crate::error::Misuse;
use crate::event::{Event, RemovalReason};
use crate::exchange::{self, Exchanges, Incomings, Lower, Replies};
use crate::ids::{
    ConnId, EndpointId, HandshakeId, Ids, IncomingId, ListenerId, ManagerId, OperationId, PublicationId,
    QueryId, SessionId, SubscriptionId, WatcherId,
};
use crate::notifier::Watchers;
use crate::publication::Publications;
use crate::security::{KerberosFailure, SecurityContext};
use crate::session::Sessions;
use crate::subscription::Subscriptions;
use crate::time::{Time, UnixTime};
use crate::timers::{TimerKey, Timers};
use crate::transaction::Transactions;
use crate::wire::write::Scratch;

use drain::Drain;
pub use fingerprint::Fingerprint;
use parts::Parts;
pub use view::{
    EndpointView, IncomingView, ManagerView, PublicationView, SessionView, SubscriptionView, WatcherView,
};

/// A SIP stack: one endpoint or a million, with their connections, registrations and sessions.
///
/// See the [crate documentation](crate) for the contract: which call when, and what can follow.
#[derive(Clone)]
pub struct Stack {
    now: Time,
    epoch: (Time, UnixTime),
    config: Box<Config>,
    timers: Timers,
    ids: Ids,
    entropy: Entropy,
    out: Outbox,
    counters: Counters,
    #[cfg(any(test, feature = "cells"))]
    cells: Cells,
    scratch: Scratch,
    connections: Connections,
    transactions: Transactions,
    auth: AuthTable,
    replies: Replies,
    exchanges: Exchanges,
    incomings: Incomings,
    sessions: Sessions,
    subscriptions: Subscriptions,
    watchers: Watchers,
    publications: Publications,
    endpoints: Endpoints,
    /// What exchanges have to say, until it is handed on within the same call.
    from_exchanges: VecDeque<exchange::Indication>,
    telling: ended::Telling,
    /// The request whose event was taken last: unanswered at the next poll, it has been let pass (M4).
    passing: Option<IncomingId>,
    drain: Option<Drain>,
    client_manager: ManagerId,
    server_tcp_manager: ManagerId,
    #[cfg(feature = "record")]
    recorder: Option<Box<recorder::Recorder>>,
}

/// Writes a call down as an [`Input`](recorder::Input) before it is made. Where nothing is recorded it is one branch, and
/// the input is not even put together; without the feature it is nothing.
#[cfg(feature = "record")]
macro_rules! record {
    ($stack:expr, $now:expr, $variant:ident $({ $($field:ident $(: $value:expr)?),* $(,)? })?) => {
        if $stack.is_recording() {
            let input = $crate::stack::recorder::Input::$variant $({ $($field $(: $value)?),* })?;
            $stack.note($now, &input);
        }
    };
}
#[cfg(not(feature = "record"))]
macro_rules! record {
    ($($any:tt)*) => {};
}
use record;

/// What a deadline is for; it helps people to read a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Actions are queued: take them.
    Drain,
    /// A transaction.
    Transaction,
    /// A connection: its attempt, its linger or idle time, its proof, and more of those who wait for it or had it.
    Connection,
    /// A question to the domain name system.
    Resolve,
    /// A pause before a request is sent again, or the wait for the end of a cancelled one.
    Exchange,
    /// A request that the application holds.
    Incoming,
    /// A session.
    Session,
    /// A subscription: its refresh, the next attempt, or the end of the wait for a NOTIFY; of somebody, its expiry.
    Subscription,
    /// A publication: its refresh, or the next attempt.
    Publication,
    /// A registration: its refresh, or the next attempt.
    Registration,
    /// A keep-alive to a server.
    KeepAlive,
    /// A question to a server whether it is still there.
    Probe,
    /// The graceful end of the stack.
    Ending,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Transaction => "transaction",
            Self::Connection => "connection",
            Self::Resolve => "resolve",
            Self::Exchange => "exchange",
            Self::Incoming => "incoming",
            Self::Session => "session",
            Self::Subscription => "subscription",
            Self::Publication => "publication",
            Self::Registration => "registration",
            Self::KeepAlive => "keep-alive",
            Self::Probe => "probe",
            Self::Ending => "ending",
        })
    }
}

/// How much a stack holds (X6). At quiescence everything but what is configured (endpoints, managers) is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each field counts what its name says")]
pub struct Census {
    pub connections: usize,
    pub listeners: usize,
    pub leases: usize,
    pub queued_bytes: usize,
    pub queries: usize,
    pub transactions: usize,
    pub exchanges: usize,
    pub replies: usize,
    pub incoming: usize,
    pub dialogs: usize,
    pub sessions: usize,
    pub subscriptions: usize,
    pub publications: usize,
    pub operations: usize,
    pub timers: usize,
    pub actions: usize,
    pub endpoints: usize,
}

impl Census {
    /// Whether nothing is held at all.
    pub fn is_quiescent(&self) -> bool {
        *self == Self::default()
    }
}

/// What it holds, in numbers: what waits to be sent has credentials in it, and is not for logs (A9).
impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("now", &self.now)
            .field("census", &self.census())
            .finish_non_exhaustive()
    }
}

impl Stack {
    /// A stack. `seed` is its only entropy: it has to be unpredictable, since tags, branches and nonces are made of it;
    /// the same seed and inputs give the same outputs. `now` and `unix` are one instant on the embedder's two clocks.
    pub fn new(config: Config, seed: [u8; 32], now: Time, unix: UnixTime) -> Self {
        let mut entropy = Entropy::new(seed);
        let key = entropy.hash_key();
        let mut ids = Ids::default();
        let (client_manager, server_tcp_manager) = (ids.next(), ids.next());
        let mut connections = Connections::new(key);
        connections.add_default_manager(client_manager, ManagerKind::Client, &config);
        connections.add_default_manager(server_tcp_manager, ManagerKind::ServerTcp, &config);
        Self {
            now,
            epoch: (now, unix),
            config: Box::new(config),
            timers: Timers::default(),
            ids,
            entropy,
            out: Outbox::default(),
            counters: Counters::default(),
            #[cfg(any(test, feature = "cells"))]
            cells: Cells::default(),
            scratch: Scratch::default(),
            connections,
            transactions: Transactions::new(key),
            auth: AuthTable::new(key),
            replies: Replies::default(),
            exchanges: Exchanges::new(key),
            incomings: Incomings::default(),
            sessions: Sessions::new(key),
            subscriptions: Subscriptions::new(key),
            watchers: Watchers::new(key),
            publications: Publications::new(key),
            endpoints: Endpoints::new(key),
            from_exchanges: VecDeque::new(),
            telling: ended::Telling::default(),
            passing: None,
            drain: None,
            client_manager,
            server_tcp_manager,
            #[cfg(feature = "record")]
            recorder: None,
        }
    }

    // What the world did.

    /// A connection is ready for data: one that [`Action::Connect`] asked for, or an accepted one after its TLS
    /// handshake.
    pub fn handle_connected(&mut self, now: Time, conn: ConnId, established: Established) {
        record!(
            self,
            now,
            Connected {
                conn,
                established: established.clone()
            }
        );
        self.step(now, |p| {
            p.low.connections.handle_connected(&mut p.cx, conn, established)
        });
    }

    /// A listener has accepted a connection. Over TLS it is ready once the handshake has been reported with
    /// [`handle_connected`](Self::handle_connected).
    pub fn handle_accepted(
        &mut self,
        now: Time,
        listener: ListenerId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> ConnId {
        record!(
            self,
            now,
            Accepted {
                listener,
                local,
                remote
            }
        );
        self.step(now, |p| {
            p.low
                .connections
                .handle_accepted(&mut p.cx, listener, local, remote)
        })
    }

    /// Bytes have arrived, above TLS where there is TLS.
    pub fn handle_bytes(&mut self, now: Time, conn: ConnId, bytes: &[u8]) {
        record!(
            self,
            now,
            Bytes {
                conn,
                bytes: Bytes::copy_from_slice(bytes)
            }
        );
        self.step(now, |p| p.low.connections.handle_bytes(&mut p.cx, conn, bytes));
        self.take_frames(now, conn);
    }

    /// Takes all that has come on a connection, one thing after the other.
    fn take_frames(&mut self, now: Time, conn: ConnId) {
        while self.step(now, |p| p.low.connections.take_frame(&mut p.cx, conn)) {
            if self.connections.is_paused() {
                self.step(now, |p| p.low.connections.hold_back(&mut p.cx, conn));
            }
        }
    }

    /// The socket has taken so many bytes of [`transmit`](Self::transmit).
    pub fn handle_transmitted(&mut self, now: Time, conn: ConnId, bytes: usize) {
        record!(self, now, Transmitted { conn, bytes });
        self.step(now, |p| {
            p.low.connections.handle_transmitted(&mut p.cx, conn, bytes);
            p.exchanges
                .handle_taken(&mut p.cx, &mut p.low, conn, p.from_exchanges);
        });
    }

    /// A connection could not be made, or is gone.
    pub fn handle_closed(&mut self, now: Time, conn: ConnId, reason: CloseReason) {
        record!(
            self,
            now,
            Closed {
                conn,
                reason: reason.clone()
            }
        );
        self.step(now, |p| p.low.connections.handle_closed(&mut p.cx, conn, reason));
    }

    /// Listening has begun at this address, or could not.
    pub fn handle_listening(
        &mut self,
        now: Time,
        listener: ListenerId,
        result: Result<SocketAddr, ListenError>,
    ) {
        record!(
            self,
            now,
            Listening {
                listener,
                result: result.clone()
            }
        );
        self.step(now, |p| {
            p.low.connections.handle_listening(&mut p.cx, listener, result)
        });
    }

    /// Listening has ended without a command.
    pub fn handle_listener_lost(&mut self, now: Time, listener: ListenerId, error: ListenError) {
        record!(
            self,
            now,
            ListenerLost {
                listener,
                error: error.clone()
            }
        );
        self.step(now, |p| {
            p.low.connections.handle_listener_lost(&mut p.cx, listener, error)
        });
    }

    /// The domain name system has answered.
    pub fn handle_resolved(&mut self, now: Time, query: QueryId, result: Result<Answer, ResolveError>) {
        record!(
            self,
            now,
            Resolved {
                query,
                result: result.clone()
            }
        );
        self.step(now, |p| {
            p.low.connections.handle_resolved(&mut p.cx, query, result)
        });
    }

    /// A security context has been made, or could not. Where it was not, the next protocol is tried that the server offers
    /// and the endpoint may use. One that nobody waits for any more is dropped.
    pub fn handle_authenticated(
        &mut self,
        now: Time,
        endpoint: EndpointId,
        handshake: HandshakeId,
        result: Result<SecurityContext, KerberosFailure>,
    ) {
        record!(
            self,
            now,
            Authenticated {
                endpoint,
                handshake,
                result: result.clone()
            }
        );
        self.step(now, |p| {
            p.exchanges.handle_authenticated(
                &mut p.cx,
                &mut p.low,
                (endpoint, handshake),
                result,
                p.from_exchanges,
            );
        });
    }

    /// The time is `now`. Before the deadline of [`poll_timeout`](Self::poll_timeout) it does nothing. Of what concerns
    /// very many it does a slice, and the deadline of the next one is now: so others have their turn.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        if self.timers.next().is_some_and(|(at, _)| at <= self.now) {
            record!(self, now, Timeout);
        }
        let before = self.timers.mark();
        while !self.timers.resumes_since(before)
            && let Some((_, key)) = self.timers.pop_due(self.now)
        {
            if key == TimerKey::Drain {
                self.go_on_draining(true);
            } else {
                self.step(now, |p| p.fire(key));
            }
        }
    }

    // What the stack wants.

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        #[cfg(feature = "record")]
        let passes = self.passing.is_some();
        if let Some(id) = self.passing.take() {
            self.step(self.now, |p| p.incomings.pass(&mut p.cx, &mut p.low, id));
        }
        let action = self.out.pop();
        match &action {
            Some(Action::Event(
                Event::MessageReceived { incoming, .. } | Event::SessionMessage { incoming, .. },
            )) => {
                self.passing = Some(*incoming);
            }
            Some(Action::Event(Event::Session { session, new, .. })) => self.sessions.seen(*session, *new),
            Some(Action::Event(Event::RenegotiationReceived { session, message, .. })) => {
                let number = message.cseq().ok().map(|cseq| cseq.number);
                self.sessions.seen_proposal(*session, number);
            }
            Some(Action::Event(Event::RenegotiationWithdrawn { session })) => {
                self.sessions.seen_proposal(*session, None);
            }
            Some(Action::Event(Event::Subscription {
                subscription, new, ..
            })) => self.subscriptions.seen(*subscription, *new),
            Some(Action::Event(Event::Publication { publication, new, .. })) => {
                self.publications.seen(*publication, *new)
            }
            Some(Action::Event(Event::WatcherEnded { watcher, .. })) => self.watchers.seen_end(*watcher),
            _ => {}
        }
        if matches!(action, Some(Action::Event(_))) {
            self.relieve();
        }
        #[cfg(feature = "record")]
        if passes || action.is_some() {
            self.note_poll(action.as_ref());
        }
        action
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, and what for. While actions are queued it says now.
    pub fn poll_timeout(&self) -> Option<(Time, Reason)> {
        if self.out.len() > 0 || self.passing.is_some() {
            return Some((self.now, Reason::Drain));
        }
        self.timers.next().map(|(at, key)| (at, reason_of(key)))
    }

    /// The bytes that wait to be sent on a connection, in order, for a vectored write; how many of them the socket
    /// took is to be reported with [`handle_transmitted`](Self::handle_transmitted).
    pub fn transmit(&self, conn: ConnId) -> impl Iterator<Item = &Bytes> {
        self.connections.transmit(conn)
    }

    // Managers.

    /// The default client connection manager (C2).
    pub const fn client_manager(&self) -> ManagerId {
        self.client_manager
    }

    /// The default server TCP connection manager (C2).
    pub const fn server_tcp_manager(&self) -> ManagerId {
        self.server_tcp_manager
    }

    /// A further connection manager.
    ///
    /// # Errors
    /// Settings that do not go with the kind of manager.
    pub fn add_manager(&mut self, config: ManagerConfig) -> Result<ManagerId, Misuse> {
        record!(
            self,
            self.now,
            AddManager {
                config: config.clone()
            }
        );
        self.step(self.now, |p| p.low.connections.add_manager(&mut p.cx, config))
    }

    /// A connection manager, to listen with.
    ///
    /// # Errors
    /// No such manager.
    pub fn manager(&mut self, now: Time, id: ManagerId) -> Result<ManagerView<'_>, Misuse> {
        self.advance(now);
        match self.connections.manager_kind(id) {
            Some(_) => Ok(ManagerView { stack: self, id }),
            None => Err(Misuse::Unknown("manager")),
        }
    }

    /// Closes a connection now; does nothing if it is closed (C32).
    pub fn disconnect(&mut self, now: Time, conn: ConnId) {
        record!(self, now, Disconnect { conn });
        self.step(now, |p| {
            p.low
                .connections
                .disconnect(&mut p.cx, conn, RemovalReason::Local);
        });
    }

    /// The host's network has changed, or the host has slept (R20): a connection whose local address is lost is closed, what
    /// is being connected starts anew, and every endpoint that is registered and refreshes, or is out of order and tries to
    /// be registered again, registers again within [`Config::reconnect_jitter`], however long it had to wait for its next
    /// attempt. Where a REGISTER is under way it is the one; there are never two. Sessions live on, and their next request
    /// makes a new connection (C13). Endpoints whose refresh is disabled do what R5 says when they lose a connection.
    ///
    /// Whether [`handle_timeout`](Self::handle_timeout) is called before or after it, with however many deadlines due, makes
    /// no difference. Listeners are not touched: an embedder whose listening address is gone says so with
    /// [`handle_listener_lost`](Self::handle_listener_lost).
    pub fn network_changed(&mut self, now: Time, lost: &LostAddresses) {
        record!(self, now, NetworkChanged { lost: lost.clone() });
        self.step(now, |p| p.low.connections.network_changed(&mut p.cx, lost));
        for id in self.endpoints.all() {
            self.step(now, |p| p.handle_network_changed(id));
        }
    }

    /// Another idle time for one connection of a server manager; zero means never (C10).
    ///
    /// # Errors
    /// No such connection, or one of a client manager (C11).
    pub fn set_idle(&mut self, now: Time, conn: ConnId, after: Duration) -> Result<(), Misuse> {
        record!(self, now, SetIdle { conn, after });
        self.step(now, |p| p.low.connections.set_idle(&mut p.cx, conn, after))
    }

    // Endpoints.

    /// An endpoint that lives at a server.
    ///
    /// # Errors
    /// A malformed setting, an endpoint with this URI and endpoint id exists (E1), or the stack is draining.
    pub fn add_sip_endpoint(&mut self, now: Time, config: SipEndpointConfig) -> Result<EndpointId, Misuse> {
        record!(
            self,
            now,
            AddSipEndpoint {
                config: Box::new(config.clone())
            }
        );
        self.may_begin("add_sip_endpoint")?;
        let manager = self.client_manager;
        self.step(now, |p| {
            p.endpoints
                .add_sip(&mut p.cx, &mut p.low, p.exchanges, config, manager)
        })
    }

    /// An endpoint without a server of its own.
    ///
    /// # Errors
    /// A malformed setting, a client manager (C1), or an endpoint with this URI and endpoint id, or this GRUU, exists
    /// (E1, E4), or the stack is draining.
    pub fn add_peer_to_peer_endpoint(
        &mut self,
        now: Time,
        config: PeerToPeerConfig,
    ) -> Result<EndpointId, Misuse> {
        record!(
            self,
            now,
            AddPeerToPeerEndpoint {
                config: Box::new(config.clone())
            }
        );
        self.may_begin("add_peer_to_peer_endpoint")?;
        let manager = self.server_tcp_manager;
        self.step(now, |p| {
            p.endpoints
                .add_peer_to_peer(&mut p.cx, p.low.connections, config, manager)
        })
    }

    /// An endpoint, to command and to read.
    ///
    /// # Errors
    /// It does not exist, or is gone.
    pub fn endpoint(&mut self, now: Time, id: EndpointId) -> Result<EndpointView<'_>, Misuse> {
        self.advance(now);
        if self.endpoints.contains(id) {
            Ok(EndpointView { stack: self, id })
        } else {
            Err(Misuse::Unknown("endpoint"))
        }
    }

    /// All endpoints, oldest first.
    pub fn endpoints(&self) -> Vec<EndpointId> {
        self.endpoints.all()
    }

    /// The endpoint that takes what no other is found for (M5), or none.
    pub fn set_default_endpoint(&mut self, id: Option<EndpointId>) {
        record!(self, self.now, SetDefaultEndpoint { endpoint: id });
        self.endpoints.set_default(id);
    }

    /// Ends an endpoint: its sessions, its subscriptions, its registration, its connections (E13). It never fails; the operation completes
    /// when all that is done, at once where there is no such endpoint any more.
    pub fn terminate(&mut self, now: Time, id: EndpointId) -> OperationId {
        record!(self, now, Terminate { endpoint: id });
        self.step(now, |p| p.terminate(id))
    }

    /// Ends every endpoint and all listening, as the last thing that a host does with a stack.
    pub fn terminate_all(&mut self, now: Time) {
        record!(self, now, TerminateAll);
        for id in self.endpoints.all() {
            self.step(now, |p| p.end_unasked(id));
        }
        self.step(now, |p| p.low.connections.stop_all_listening(&mut p.cx));
    }

    // Sessions and requests.

    /// A session, to command and to read. One that has ended can still be commanded until the event that tells its end
    /// was taken: such a command completes as SessionTerminated (X2).
    ///
    /// # Errors
    /// It does not exist, or its end has been told.
    pub fn session(&mut self, now: Time, id: SessionId) -> Result<SessionView<'_>, Misuse> {
        self.advance(now);
        if self.sessions.state(id).is_some() || self.sessions.ended(id).is_some() {
            Ok(SessionView { stack: self, id })
        } else {
            Err(Misuse::Unknown("session"))
        }
    }

    /// A subscription, to command and to read. One that has ended can still be commanded until the event that tells its
    /// end was taken: such a command completes as SessionTerminated (X2).
    ///
    /// # Errors
    /// It does not exist, or its end has been told.
    pub fn subscription(&mut self, now: Time, id: SubscriptionId) -> Result<SubscriptionView<'_>, Misuse> {
        self.advance(now);
        if self.subscriptions.state(id).is_some() || self.subscriptions.ended(id).is_some() {
            Ok(SubscriptionView { stack: self, id })
        } else {
            Err(Misuse::Unknown("subscription"))
        }
    }

    /// A subscription of somebody to a state of ours, to answer and to notify. One that has ended can still be commanded
    /// until the event that tells its end was taken (X2).
    ///
    /// # Errors
    /// It does not exist, or its end has been told.
    pub fn watcher(&mut self, now: Time, id: WatcherId) -> Result<WatcherView<'_>, Misuse> {
        self.advance(now);
        if self.watchers.endpoint(id).is_some() {
            Ok(WatcherView { stack: self, id })
        } else {
            Err(Misuse::Unknown("watcher"))
        }
    }

    /// A published state, to change and to remove. One that is over can still be commanded until the event that tells its
    /// end was taken: such a command completes as SessionTerminated (X2).
    ///
    /// # Errors
    /// It does not exist, or its end has been told.
    pub fn publication(&mut self, now: Time, id: PublicationId) -> Result<PublicationView<'_>, Misuse> {
        self.advance(now);
        if self.publications.endpoint(id).is_some() {
            Ok(PublicationView { stack: self, id })
        } else {
            Err(Misuse::Unknown("publication"))
        }
    }

    /// A request that waits for its answer.
    ///
    /// # Errors
    /// It has been answered.
    pub fn incoming(&mut self, now: Time, id: IncomingId) -> Result<IncomingView<'_>, Misuse> {
        self.advance(now);
        if self.incomings.contains(id) {
            Ok(IncomingView { stack: self, id })
        } else {
            Err(Misuse::Answered)
        }
    }

    // Looking.

    /// What the stack has done since it was made (X7).
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What the stack holds (X6).
    pub fn census(&self) -> Census {
        Census {
            connections: self.connections.connections(),
            listeners: self.connections.listeners(),
            leases: self.connections.leases(),
            queued_bytes: self.connections.queued_bytes(),
            queries: self.connections.queries(),
            transactions: self.transactions.count(),
            exchanges: self.exchanges.len(),
            replies: self.replies.len(),
            incoming: self.incomings.len(),
            dialogs: self.sessions.dialogs() + self.subscriptions.dialogs() + self.watchers.len(),
            sessions: self.sessions.len(),
            subscriptions: self.subscriptions.len() + self.watchers.len(),
            publications: self.publications.len(),
            operations: self.out.operations(),
            timers: self.timers.len(),
            actions: self.out.len(),
            endpoints: self.endpoints.len(),
        }
    }

    /// What is known of a connection that exists.
    pub fn connection(&self, id: ConnId) -> Option<ConnectionInfo<'_>> {
        self.connections.info(id)
    }

    /// The settings of this stack.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which cells its machines have been in; see [`cells`](crate::cells).
    #[cfg(any(test, feature = "cells"))]
    pub const fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The latest time that the stack has been told.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The wall-clock time that goes with [`now`](Self::now).
    pub const fn unix(&self) -> UnixTime {
        let (origin, unix) = self.epoch;
        UnixTime(unix.0.saturating_add(self.now.since(origin).as_secs()))
    }

    /// Nothing new begins while the stack is draining.
    const fn may_begin(&self, operation: &'static str) -> Result<(), Misuse> {
        if self.is_draining() {
            let state = "draining";
            return Err(Misuse::State { operation, state });
        }
        Ok(())
    }

    /// Time never runs backwards: an earlier `now` counts as the latest one.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// One step of the engine: the given change, and all that follows from it.
    fn step<T>(&mut self, now: Time, change: impl FnOnce(&mut Parts<'_>) -> T) -> T {
        self.advance(now);
        let mut parts = Parts {
            cx: Cx {
                now: self.now,
                unix: self.unix(),
                timers: &mut self.timers,
                ids: &mut self.ids,
                entropy: &mut self.entropy,
                out: &mut self.out,
                config: &self.config,
                counters: &mut self.counters,
                #[cfg(any(test, feature = "cells"))]
                cells: &mut self.cells,
                scratch: &mut self.scratch,
            },
            low: Lower {
                connections: &mut self.connections,
                transactions: &mut self.transactions,
                auth: &mut self.auth,
                replies: &mut self.replies,
            },
            exchanges: &mut self.exchanges,
            incomings: &mut self.incomings,
            sessions: &mut self.sessions,
            subscriptions: &mut self.subscriptions,
            watchers: &mut self.watchers,
            publications: &mut self.publications,
            endpoints: &mut self.endpoints,
            from_exchanges: &mut self.from_exchanges,
            telling: &mut self.telling,
        };
        let result = change(&mut parts);
        parts.pump();
        if self.out.events() > self.config.limits.events {
            self.counters.refusals.events += u64::from(!self.connections.is_paused());
            self.connections.pause_all();
        }
        if self.drain.is_some() {
            self.go_on_draining(false);
        }
        result
    }

    /// Reading goes on when half of the events that stopped it have been taken.
    fn relieve(&mut self) {
        if self.connections.is_paused() && self.out.events() <= self.config.limits.events / 2 {
            self.step(self.now, |p| p.low.connections.resume_all(&mut p.cx));
        }
    }
}

const fn reason_of(key: &TimerKey) -> Reason {
    match key {
        TimerKey::Transaction(..) => Reason::Transaction,
        TimerKey::Connection(..) | TimerKey::Waiting(_) | TimerKey::Ended => Reason::Connection,
        TimerKey::Resolve(_) => Reason::Resolve,
        TimerKey::Exchange(_) => Reason::Exchange,
        TimerKey::Incoming(_) => Reason::Incoming,
        TimerKey::Session(..) | TimerKey::Referral(..) | TimerKey::Refresh(..) | TimerKey::Ringing(_) => {
            Reason::Session
        }
        TimerKey::Subscription(..) | TimerKey::Watcher(_) => Reason::Subscription,
        TimerKey::Publication(_) => Reason::Publication,
        TimerKey::Registration(_) | TimerKey::Association(_) => Reason::Registration,
        TimerKey::KeepAlive(_) => Reason::KeepAlive,
        TimerKey::Probe(_) => Reason::Probe,
        TimerKey::Drain => Reason::Ending,
    }
}
