//! The machines of a stack side by side, for one step: what one reports is handed to the next until nothing is left.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::ended::{Ended, Telling};
use crate::connection::{self, Indication as FromConnection, Lease};
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::endpoint::{Endpoints, Life, Way, reach};
use crate::event::{ConnectionFailure, OperationError, PublicationReason, SubscriptionReason};
use crate::exchange::{self, Exchanges, Incomings, Lost, Lower, Owner, Pending, Reply, SessionPart, What};
use crate::ids::{ConnId, EndpointId, OperationId};
use crate::notifier::Watchers;
use crate::publication::Publications;
use crate::session::Sessions;
use crate::subscription::Subscriptions;
use crate::timers::TimerKey;
use crate::transaction::{self, What as FromTransaction};
use crate::wire::StatusCode;

/// See the module.
pub(super) struct Parts<'a> {
    pub(super) cx: Cx<'a>,
    pub(super) low: Lower<'a>,
    pub(super) exchanges: &'a mut Exchanges,
    pub(super) incomings: &'a mut Incomings,
    pub(super) sessions: &'a mut Sessions,
    pub(super) subscriptions: &'a mut Subscriptions,
    pub(super) watchers: &'a mut Watchers,
    pub(super) publications: &'a mut Publications,
    pub(super) endpoints: &'a mut Endpoints,
    pub(super) from_exchanges: &'a mut VecDeque<exchange::Indication>,
    pub(super) telling: &'a mut Telling,
}

/// The layers below sessions and endpoints, out of the parts.
macro_rules! below {
    ($parts:expr) => {
        &mut $crate::session::Below {
            low: &mut $parts.low,
            exchanges: $parts.exchanges,
            up: $parts.from_exchanges,
        }
    };
}
pub(super) use below;

impl Parts<'_> {
    /// Hands on what connections and exchanges report, until nothing is left.
    pub(super) fn pump(&mut self) {
        loop {
            if let Some(indication) = self.from_exchanges.pop_front() {
                self.on_exchange(indication);
            } else if let Some(indication) = self.low.connections.next_indication() {
                self.on_connection(indication);
            } else if !self.settle() {
                return;
            }
        }
    }

    /// What no report tells: connections that closed as a consequence, sessions and endpoints that have ended. Whether
    /// there is more to hand on.
    fn settle(&mut self) -> bool {
        self.recover_routes();
        for (session, endpoint) in self.sessions.take_ended() {
            self.endpoints.remove_session(endpoint, session);
        }
        for (subscription, endpoint) in self.subscriptions.take_ended() {
            self.endpoints
                .remove_life(endpoint, Life::Subscription(subscription));
        }
        for (watcher, endpoint) in self.watchers.take_ended() {
            self.endpoints.remove_life(endpoint, Life::Watcher(watcher));
        }
        for (publication, endpoint) in self.publications.take_ended() {
            self.endpoints
                .remove_life(endpoint, Life::Publication(publication));
        }
        for conn in self.low.transactions.take_changed() {
            let open = self.low.transactions.open(conn);
            match self
                .low
                .connections
                .weigh(&mut self.cx, conn, open.ours + open.theirs, open.theirs)
            {
                Some(true) => self.low.transactions.stand_still(&mut self.cx, conn),
                Some(false) => self.low.transactions.go_on(&mut self.cx, conn),
                None => {}
            }
        }
        self.exchanges
            .release_held(&mut self.cx, &mut self.low, self.from_exchanges);
        let mut freed = self.cx.out.take_freed();
        freed.append(&mut self.incomings.take_freed());
        let incomings = &*self.incomings;
        self.endpoints
            .settle(&mut self.cx, below!(self), freed, &|endpoint| {
                incomings.of(endpoint)
            });
        let has_more = self.low.connections.has_indication() || !self.from_exchanges.is_empty();
        has_more || self.low.connections.take_backlog(&mut self.cx)
    }

    /// A timer has fired.
    pub(super) fn fire(&mut self, key: TimerKey) {
        match key {
            TimerKey::Transaction(id, timer) => {
                let mut out = Vec::new();
                let indication = self
                    .low
                    .transactions
                    .handle_timer(&mut self.cx, &mut out, id, timer);
                self.low.flush(&mut self.cx, out);
                if let Some(indication) = indication {
                    self.on_transaction(indication, None);
                }
            }
            TimerKey::Connection(id, timer) => {
                self.low.connections.handle_timer(&mut self.cx, id, timer);
            }
            TimerKey::Resolve(id) => {
                self.low.connections.handle_resolve_timer(&mut self.cx, id);
            }
            TimerKey::Exchange(id) => {
                self.exchanges
                    .handle_timer(&mut self.cx, &mut self.low, id, self.from_exchanges);
            }
            TimerKey::Waiting(conn) => {
                self.exchanges
                    .handle_waiting_timer(&mut self.cx, &mut self.low, conn, self.from_exchanges);
            }
            TimerKey::Ended => self.tell_more(),
            TimerKey::Incoming(id) => self.incomings.handle_timer(&mut self.cx, &mut self.low, id),
            TimerKey::Session(id, timer) => self.sessions.handle_timer(&mut self.cx, below!(self), id, timer),
            TimerKey::Refresh(id, timer) => {
                self.sessions
                    .handle_refresh_timer(&mut self.cx, below!(self), id, timer);
            }
            TimerKey::Ringing(id) => self.sessions.handle_ringing_timer(&mut self.cx, below!(self), id),
            TimerKey::Referral(id, referral) => {
                self.sessions
                    .handle_referral_timer(&mut self.cx, below!(self), id, referral);
            }
            TimerKey::Subscription(id, timer) => {
                self.subscriptions
                    .handle_timer(&mut self.cx, below!(self), id, timer);
            }
            TimerKey::Watcher(id) => self.watchers.handle_timer(&mut self.cx, below!(self), id),
            TimerKey::Publication(id) => self.publications.handle_timer(&mut self.cx, below!(self), id),
            TimerKey::Association(id) => {
                self.endpoints
                    .handle_association_timer(&mut self.cx, below!(self), id);
            }
            TimerKey::KeepAlive(id) => self
                .endpoints
                .handle_keep_alive_timer(&mut self.cx, below!(self), id),
            TimerKey::Probe(id) => self.endpoints.handle_probe_timer(&mut self.cx, below!(self), id),
            TimerKey::Registration(id) => {
                self.endpoints
                    .handle_register_timer(&mut self.cx, below!(self), id)
            }
            // The stack's own.
            TimerKey::Drain => {}
        }
    }

    /// The host is in another network: what that means for an endpoint (R20).
    pub(super) fn handle_network_changed(&mut self, id: EndpointId) {
        self.endpoints
            .handle_network_changed(&mut self.cx, below!(self), id);
    }

    /// Begins the end of an endpoint and of all that it has (E13).
    pub(super) fn terminate(&mut self, id: EndpointId) -> OperationId {
        let operation = self.cx.out.start(self.cx.ids, id);
        self.end(id, operation);
        operation
    }

    /// The same for nobody in particular.
    pub(super) fn end_unasked(&mut self, id: EndpointId) {
        let operation = self.cx.ids.next();
        self.end(id, operation);
    }

    fn end(&mut self, id: EndpointId, operation: OperationId) {
        for session in self.endpoints.sessions(id) {
            // Its completion is nobody's: the terminate command waits for the session.
            let end = self.cx.ids.next();
            let why = Some(Diagnosis::EndpointTerminated);
            self.sessions
                .terminate(&mut self.cx, below!(self), session, end, why);
        }
        for life in self.endpoints.lives(id) {
            let end = self.cx.ids.next();
            match life {
                Life::Subscription(subscription) => {
                    self.subscriptions
                        .terminate(&mut self.cx, below!(self), subscription, end, false);
                }
                Life::Watcher(watcher) => {
                    self.watchers
                        .terminate(&mut self.cx, below!(self), watcher, end, None);
                }
                Life::Publication(publication) => {
                    self.publications
                        .remove(&mut self.cx, below!(self), publication, end);
                }
            }
        }
        self.endpoints
            .terminate(&mut self.cx, below!(self), id, operation);
    }

    /// The registrations that the recovery of routes waits for are refreshed, and then all dialogs of their endpoints are
    /// recovered (S17): sessions by a target refresh, subscriptions anew.
    fn recover_routes(&mut self) {
        for endpoint in self.sessions.take_unrouted() {
            if !self.endpoints.reroute(&mut self.cx, below!(self), endpoint) {
                self.reroute(endpoint);
            }
        }
        for endpoint in self.endpoints.take_rerouted() {
            self.reroute(endpoint);
        }
    }

    fn reroute(&mut self, endpoint: EndpointId) {
        for session in self.endpoints.sessions(endpoint) {
            self.sessions.recover(&mut self.cx, below!(self), session);
        }
        for life in self.endpoints.lives(endpoint) {
            if let Life::Subscription(id) = life {
                let why = SubscriptionReason::Forgotten;
                self.subscriptions.forget(&mut self.cx, below!(self), id, why);
            }
        }
    }

    /// The established sessions of endpoints that their server had lost are over (R14), and their subscriptions are made
    /// again; so are those of endpoints that have another server (B7).
    fn forget_sessions(&mut self) {
        for endpoint in self.endpoints.take_forgotten() {
            for session in self.endpoints.sessions(endpoint) {
                self.sessions.forget(&mut self.cx, below!(self), session);
            }
            let why = (SubscriptionReason::Forgotten, PublicationReason::Forgotten);
            self.make_again(endpoint, why);
        }
        for endpoint in self.endpoints.take_moved() {
            let why = (SubscriptionReason::FailedOver, PublicationReason::FailedOver);
            self.make_again(endpoint, why);
        }
    }

    fn make_again(
        &mut self,
        endpoint: EndpointId,
        (why, published): (SubscriptionReason, PublicationReason),
    ) {
        for life in self.endpoints.lives(endpoint) {
            match life {
                Life::Subscription(id) => self.subscriptions.forget(&mut self.cx, below!(self), id, why),
                Life::Publication(id) => {
                    self.publications
                        .forget(&mut self.cx, below!(self), id, published);
                }
                // Its subscriber sees to that.
                Life::Watcher(_) => {}
            }
        }
    }

    fn on_connection(&mut self, indication: FromConnection) {
        match indication {
            FromConnection::Ready(conn) => {
                self.low.handle_reply_ready(&mut self.cx, conn);
                self.exchanges
                    .handle_ready(&mut self.cx, &mut self.low, conn, self.from_exchanges);
            }
            FromConnection::Failed { conn, error } => self.on_ended(Ended::failed(conn, error)),
            FromConnection::Lost {
                conn,
                reason,
                taken,
                target,
            } => {
                for endpoint in self.low.auth.handle_lost(&mut self.cx, conn) {
                    self.exchanges.gate(&self.low, endpoint);
                }
                self.on_ended(Ended::lost(conn, &reason, taken, target));
            }
            FromConnection::Message { conn, bytes } => self.receive(conn, bytes),
            FromConnection::BadFraming { conn, error } => self.refuse_framing(conn, &error),
            FromConnection::Ping(_) | FromConnection::Pong(_) => {}
            FromConnection::Listening { manager, .. } => {
                if self.low.connections.listening_addresses(manager).count() == 1 {
                    self.endpoints
                        .handle_listening(&mut self.cx, manager, reach::Input::Listening);
                }
            }
            FromConnection::NotListening { manager, error, .. } => {
                if !self.low.connections.is_listening(manager) {
                    let others = self.low.connections.is_starting(manager);
                    let input = match error {
                        Some(_) => reach::Input::Gone { others },
                        None => reach::Input::Stopped { others },
                    };
                    self.endpoints.handle_listening(&mut self.cx, manager, input);
                }
            }
        }
    }

    pub(super) fn on_transaction(&mut self, indication: transaction::Indication, lost: Option<&Lost<'_>>) {
        if indication.owner.is_some() {
            let up = &mut *self.from_exchanges;
            return self
                .exchanges
                .handle_transaction(&mut self.cx, &mut self.low, indication, lost, up);
        }
        match indication.what {
            FromTransaction::SendTrying => {
                if let Some(invite) = self.sessions.invite(indication.transaction) {
                    self.low
                        .reply(&mut self.cx, invite, &Reply::new(StatusCode::TRYING));
                }
            }
            // The session's own timer, or its application, ends the wait for the ACK; another way for the response is
            // looked for when there is one (C33).
            FromTransaction::TimedOut
            | FromTransaction::ConnectionLost
            | FromTransaction::Ended
            | FromTransaction::Provisional(_)
            | FromTransaction::Final(_) => {}
        }
    }

    fn on_exchange(&mut self, indication: exchange::Indication) {
        let exchange::Indication {
            exchange,
            owner,
            what,
        } = indication;
        match (owner, what) {
            (Owner::Registration(endpoint), What::Redirected(target)) => {
                self.endpoints
                    .handle_redirect(&mut self.cx, below!(self), endpoint, &target);
                self.supply(exchange, owner, &[]);
            }
            (owner, What::NeedConnection(avoid)) => self.supply(exchange, owner, &avoid),
            (Owner::Registration(endpoint), what) => {
                self.endpoints
                    .handle_register_exchange(&mut self.cx, below!(self), endpoint, what);
                self.forget_sessions();
            }
            (Owner::Probe(endpoint), what) => {
                self.endpoints
                    .handle_probe(&mut self.cx, below!(self), endpoint, what);
            }
            (Owner::Message(endpoint, operation), what) => {
                self.endpoints
                    .handle_message_exchange(&mut self.cx, endpoint, operation, what);
            }
            (Owner::Session(session, part), what) => {
                self.sessions
                    .handle_exchange(&mut self.cx, below!(self), session, part, exchange, what);
            }
            (Owner::Subscription(subscription), what) => {
                self.subscriptions
                    .handle_exchange(&mut self.cx, below!(self), subscription, what);
            }
            (Owner::Watcher(watcher, operation), what) => {
                let which = (watcher, operation);
                self.watchers
                    .handle_exchange(&mut self.cx, below!(self), which, exchange, what);
            }
            (Owner::Publication(publication), what) => {
                self.publications
                    .handle_exchange(&mut self.cx, below!(self), publication, what);
            }
            (Owner::Nobody, _) => {}
        }
    }

    /// Finds a connection for an exchange that asks for one.
    fn supply(&mut self, exchange: crate::ids::ExchangeId, owner: Owner, avoid: &[core::net::SocketAddr]) {
        let (cx, connections) = (&mut self.cx, &mut *self.low.connections);
        let lease = match owner {
            Owner::Registration(endpoint) => {
                let way = Way {
                    target: "",
                    in_dialog: false,
                    next_hop: None,
                    avoid,
                };
                self.endpoints.lease(cx, connections, endpoint, &way)
            }
            Owner::Message(endpoint, operation) => {
                self.endpoints
                    .lease_for_message(cx, connections, endpoint, operation, avoid)
            }
            Owner::Session(session, _) => {
                match (self.sessions.endpoint(session), self.sessions.next_hop(session)) {
                    (Some(endpoint), Some((target, in_dialog))) => {
                        if let Some(own) = self.sessions.share(cx, connections, session, avoid) {
                            return self.exchanges.supply(
                                &mut self.cx,
                                &mut self.low,
                                exchange,
                                Ok(own),
                                self.from_exchanges,
                            );
                        }
                        let next_hop = self.sessions.first_hop(session).filter(|_| !in_dialog);
                        self.endpoints.lease(
                            cx,
                            connections,
                            endpoint,
                            &Way {
                                target,
                                in_dialog,
                                next_hop,
                                avoid,
                            },
                        )
                    }
                    (_, _) => Err(OperationError::ConnectionFailure(ConnectionFailure::NotConnected)),
                }
            }
            Owner::Subscription(id) => {
                let subscriptions = &*self.subscriptions;
                match (subscriptions.endpoint(id), subscriptions.next_hop(id)) {
                    (Some(endpoint), Some((target, in_dialog))) => {
                        match subscriptions.share(cx, connections, id, avoid) {
                            Some(own) => Ok(own),
                            None => {
                                let next_hop = subscriptions.first_hop(id).filter(|_| !in_dialog);
                                let way = Way {
                                    target,
                                    in_dialog,
                                    next_hop,
                                    avoid,
                                };
                                self.endpoints.lease(cx, connections, endpoint, &way)
                            }
                        }
                    }
                    (_, _) => Err(OperationError::ConnectionFailure(ConnectionFailure::NotConnected)),
                }
            }
            Owner::Watcher(id, _) => {
                let watchers = &*self.watchers;
                match (watchers.endpoint(id), watchers.next_hop(id)) {
                    (Some(endpoint), Some(target)) => match watchers.share(cx, connections, id, avoid) {
                        Some(own) => Ok(own),
                        None => {
                            let way = Way {
                                target,
                                in_dialog: true,
                                next_hop: None,
                                avoid,
                            };
                            self.endpoints.lease(cx, connections, endpoint, &way)
                        }
                    },
                    (_, _) => Err(OperationError::ConnectionFailure(ConnectionFailure::NotConnected)),
                }
            }
            Owner::Publication(id) => match (self.publications.endpoint(id), self.publications.way(id)) {
                (Some(endpoint), Some((target, next_hop))) => {
                    let way = Way {
                        target,
                        in_dialog: false,
                        next_hop,
                        avoid,
                    };
                    self.endpoints.lease(cx, connections, endpoint, &way)
                }
                (_, _) => Err(OperationError::ConnectionFailure(ConnectionFailure::NotConnected)),
            },
            // A probe is of one connection, and of no other.
            Owner::Probe(_) | Owner::Nobody => {
                Err(OperationError::ConnectionFailure(ConnectionFailure::NotConnected))
            }
        };
        let conn = lease.as_ref().ok().map(Lease::conn);
        // The peer learns our new address before anything else, but a dialog begins with its ACK.
        let begins = matches!(owner, Owner::Session(_, SessionPart::Ack));
        if let (Owner::Session(session, _), Some(conn), false) = (owner, conn, begins) {
            self.sessions.adopt(&mut self.cx, below!(self), session, conn);
        }
        if let (Owner::Subscription(id), Some(conn)) = (owner, conn) {
            self.subscriptions
                .adopt(&mut self.cx, self.low.connections, id, conn);
        }
        if let (Owner::Watcher(id, _), Some(conn)) = (owner, conn) {
            self.watchers.adopt(&mut self.cx, self.low.connections, id, conn);
        }
        self.exchanges
            .supply(&mut self.cx, &mut self.low, exchange, lease, self.from_exchanges);
        if let (Owner::Session(session, _), Some(conn), true) = (owner, conn, begins) {
            self.sessions.adopt(&mut self.cx, below!(self), session, conn);
        }
    }
}

/// A request that no dialog has, as the layers above see it.
pub(super) fn pending(
    cx: &mut Cx<'_>,
    connections: &connection::Connections,
    transaction: crate::ids::TransactionId,
    conn: ConnId,
    message: crate::wire::Message,
) -> Option<Pending> {
    let (manager, transport) = connections.manager_of(conn)?;
    let reach = exchange::reach(connections, cx.config, conn);
    let tag = message
        .to()
        .ok()
        .and_then(|to| to.tag().map(alloc::borrow::ToOwned::to_owned));
    let tag = tag.unwrap_or_else(|| cx.entropy.hex(16)).into_boxed_str();
    let message = alloc::boxed::Box::new(message);
    Some(Pending {
        transaction,
        conn,
        manager,
        transport,
        reach,
        message,
        tag,
    })
}
