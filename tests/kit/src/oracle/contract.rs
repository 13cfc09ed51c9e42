//! What an application may rely on, whatever happens (rules X2, X3): it sees only commands and events.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sansip::{
    ConnId, EndpointId, Event, ListenerId, ManagerId, OperationId, PeerToPeerState, PublicationId,
    PublicationState, ReferralId, ReferralState, RegistrationState, SessionId, SessionState, SubscriptionId,
    SubscriptionState, Time, Transport, WatcherId,
};

/// What was commanded and told so far.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    /// How long an operation may take, where the one who watches lets time pass as it should.
    patience: Option<Duration>,
    /// All that there are.
    pub(crate) endpoints: Vec<EndpointId>,
    operations: BTreeMap<OperationId, Operation>,
    sessions: BTreeMap<SessionId, Session>,
    subscriptions: BTreeMap<SubscriptionId, (EndpointId, SubscriptionState)>,
    publications: BTreeMap<PublicationId, (EndpointId, PublicationState)>,
    /// Subscriptions of others, and whether each is over.
    watchers: BTreeMap<WatcherId, (EndpointId, bool)>,
    registrations: BTreeMap<EndpointId, RegistrationState>,
    peers: BTreeMap<EndpointId, PeerToPeerState>,
    terminated: BTreeSet<EndpointId>,
    /// Connections, and what was told of each last.
    connections: BTreeMap<ConnId, Told>,
    pools: BTreeSet<(ManagerId, String, Option<u16>, Transport)>,
    closed: BTreeSet<ConnId>,
    listening: BTreeMap<ListenerId, SocketAddr>,
    /// What was told of each REFER last.
    referrals: BTreeMap<ReferralId, ReferralState>,
    /// The REFERs of peers that the application was told of.
    pub(crate) asked: BTreeSet<ReferralId>,
    /// How far REFERs have come, one after the other.
    pub(crate) transfers: Vec<ReferralState>,
    /// States that registrations and sessions have come into.
    pub(crate) registered: Vec<RegistrationState>,
    pub(crate) changes: Vec<SessionState>,
    /// The same of subscriptions.
    pub(crate) watched: Vec<SubscriptionState>,
    pub(crate) published: Vec<PublicationState>,
    /// Requests that the application was told of.
    pub(crate) messages: usize,
    /// Operations that ended well.
    pub(crate) succeeded: usize,
}

/// What was told of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// That it is held.
    Asked,
    /// That it is ready.
    Added,
    /// That it is gone.
    Removed,
}

#[derive(Debug)]
struct Operation {
    begun: Time,
    completed: Option<Time>,
    /// The session that it is to establish.
    establishes: Option<SessionId>,
}

#[derive(Debug)]
struct Session {
    endpoint: EndpointId,
    state: SessionState,
    was_connected: bool,
}

impl Contract {
    /// One that wants every operation to be over in this time.
    pub(crate) fn patient(patience: Duration) -> Self {
        let patience = Some(patience);
        Self {
            patience,
            ..Self::default()
        }
    }

    pub(crate) fn on_started(&mut self, at: Time, operation: OperationId, establishes: Option<SessionId>) {
        let new = Operation {
            begun: at,
            completed: None,
            establishes,
        };
        assert!(
            self.operations.insert(operation, new).is_none(),
            "{operation} is used again"
        );
    }

    pub(crate) fn on_session(&mut self, session: SessionId, endpoint: EndpointId) {
        self.know(session, endpoint, SessionState::Idle);
    }

    fn know(&mut self, session: SessionId, endpoint: EndpointId, state: SessionState) {
        let new = Session {
            endpoint,
            state,
            was_connected: false,
        };
        assert!(
            self.sessions.insert(session, new).is_none(),
            "{session} is used again"
        );
    }

    pub(crate) fn on_subscription(&mut self, subscription: SubscriptionId, endpoint: EndpointId) {
        self.know_subscription(subscription, endpoint, SubscriptionState::Idle);
    }

    fn know_subscription(
        &mut self,
        subscription: SubscriptionId,
        endpoint: EndpointId,
        state: SubscriptionState,
    ) {
        let before = self.subscriptions.insert(subscription, (endpoint, state));
        assert!(before.is_none(), "{subscription} is used again");
    }

    /// Nothing follows the end of a subscription, and nothing comes of one that was never made.
    fn subscription_alive(
        &self,
        subscription: SubscriptionId,
        event: &Event,
    ) -> (EndpointId, SubscriptionState) {
        let known = self.subscriptions.get(&subscription).copied();
        let known = known.unwrap_or_else(|| panic!("{event:?}: never made"));
        assert_ne!(known.1, SubscriptionState::Terminated, "{event:?}: ended before");
        known
    }

    /// The subscriptions that have not ended, with the state that was told last.
    pub(crate) fn open_subscriptions(&self) -> impl Iterator<Item = (SubscriptionId, SubscriptionState)> {
        let all = self.subscriptions.iter().map(|(id, (_, state))| (*id, *state));
        all.filter(|(_, state)| *state != SubscriptionState::Terminated)
    }

    pub(crate) fn on_publication(&mut self, publication: PublicationId, endpoint: EndpointId) {
        let new = (endpoint, PublicationState::Publishing);
        let before = self.publications.insert(publication, new);
        assert!(before.is_none(), "{publication} is used again");
    }

    /// The publications that are not over.
    pub(crate) fn open_publications(&self) -> impl Iterator<Item = PublicationId> {
        let all = self.publications.iter();
        all.filter(|(_, (_, state))| *state != PublicationState::Removed)
            .map(|(id, _)| *id)
    }

    fn watcher_alive(&self, watcher: WatcherId, event: &Event) {
        let known = self.watchers.get(&watcher);
        assert!(known.is_some_and(|(_, is_over)| !is_over), "{event:?}: {known:?}");
    }

    /// The subscriptions of others that are not over.
    pub(crate) fn open_watchers(&self) -> impl Iterator<Item = WatcherId> {
        let all = self.watchers.iter();
        all.filter(|(_, (_, is_over))| !is_over).map(|(id, _)| *id)
    }

    pub(crate) fn on_connect(&mut self, conn: ConnId) {
        self.closed.remove(&conn);
    }

    pub(crate) fn on_close(&mut self, conn: ConnId) {
        assert!(self.closed.insert(conn), "{conn} is closed twice");
    }

    /// What is held for the application carries nothing (C21).
    pub(crate) fn on_transmit(&self, conn: ConnId) {
        assert_ne!(self.connections.get(&conn), Some(&Told::Asked), "{conn} is held");
    }

    pub(crate) fn on_event(&mut self, at: Time, event: &Event) {
        match event {
            Event::Completed { operation, result } => self.on_completed(at, *operation, result.is_ok()),
            Event::Registration {
                endpoint, old, new, ..
            } => {
                self.alive(*endpoint, event);
                let known = self.registrations.insert(*endpoint, *new);
                assert_eq!(
                    known.unwrap_or(RegistrationState::Unregistered),
                    *old,
                    "{event:?}"
                );
                assert_ne!(old, new, "{event:?}");
                self.registered.push(*new);
            }
            Event::PeerToPeer {
                endpoint, old, new, ..
            } => {
                self.alive(*endpoint, event);
                // What it begins with is its manager's affair, which may listen already.
                let known = self.peers.insert(*endpoint, *new);
                assert_eq!(known.unwrap_or(*old), *old, "{event:?}");
                assert_ne!(old, new, "{event:?}");
            }
            Event::ServerChanged { endpoint, .. }
            | Event::Associated { endpoint, .. }
            | Event::Outage { endpoint, .. } => self.alive(*endpoint, event),
            Event::Forgotten { endpoint, .. } => {
                self.alive(*endpoint, event);
                let state = self.registration(*endpoint);
                assert_eq!(state, RegistrationState::Registered, "{event:?}");
            }
            Event::MessageReceived { endpoint, .. } => {
                self.alive(*endpoint, event);
                self.messages += 1;
            }
            Event::SessionReceived {
                endpoint, session, ..
            } => {
                self.alive(*endpoint, event);
                self.know(*session, *endpoint, SessionState::Incoming);
            }
            Event::Session {
                session, old, new, ..
            } => self.on_session_changed(*session, *old, *new, event),
            Event::Referral {
                session,
                referral,
                state,
                ..
            } => {
                self.session_alive(*session, event);
                let before = self.referrals.insert(*referral, *state);
                assert!(before.is_none_or(|before| !before.is_final()), "{event:?}");
                self.transfers.push(*state);
            }
            Event::ReferReceived {
                session, referral, ..
            } => {
                self.session_alive(*session, event);
                assert!(self.asked.insert(*referral), "{event:?}");
            }
            Event::Provisional { session, .. }
            | Event::Explained { session, .. }
            | Event::Redirected { session, .. }
            | Event::RefreshNeeded { session }
            | Event::Route { session, .. }
            | Event::OfferReceived { session, .. }
            | Event::AnswerReceived { session, .. }
            | Event::RenegotiationReceived { session, .. }
            | Event::RenegotiationWithdrawn { session }
            | Event::SessionMessage { session, .. } => self.session_alive(*session, event),
            Event::Subscription {
                subscription,
                old,
                new,
                ..
            } => {
                let (endpoint, state) = self.subscription_alive(*subscription, event);
                assert_eq!(state, *old, "{event:?}");
                assert_ne!(old, new, "{event:?}");
                self.subscriptions.insert(*subscription, (endpoint, *new));
                self.watched.push(*new);
            }
            Event::SubscriptionForked { of, subscription } => {
                let (endpoint, _) = self.subscription_alive(*of, event);
                self.know_subscription(*subscription, endpoint, SubscriptionState::Subscribed);
            }
            Event::Notified { subscription, .. } => {
                self.subscription_alive(*subscription, event);
            }
            Event::Publication {
                publication,
                old,
                new,
                ..
            } => {
                let known = self.publications.get_mut(publication);
                let (_, state) = known.unwrap_or_else(|| panic!("{event:?}: never made"));
                assert!(*state == *old && old != new, "{event:?}: {state:?}");
                assert_ne!(*old, PublicationState::Removed, "{event:?}");
                *state = *new;
                self.published.push(*new);
            }
            Event::WatcherReceived {
                endpoint, watcher, ..
            } => {
                self.alive(*endpoint, event);
                let before = self.watchers.insert(*watcher, (*endpoint, false));
                assert!(before.is_none(), "{watcher} is used again");
            }
            Event::WatcherRefreshed { watcher, .. } => self.watcher_alive(*watcher, event),
            Event::WatcherEnded { watcher, .. } => {
                self.watcher_alive(*watcher, event);
                if let Some((_, is_over)) = self.watchers.get_mut(watcher) {
                    *is_over = true;
                }
            }
            Event::Listening { listener, address } => {
                // Once more where the address has changed.
                let before = self.listening.insert(*listener, *address);
                assert_ne!(before, Some(*address), "{event:?}");
            }
            Event::ListeningEnded { listener, .. } => {
                self.listening.remove(listener);
            }
            Event::AuthorizationRequested { conn, .. } => {
                assert_eq!(self.connections.insert(*conn, Told::Asked), None, "{event:?}");
            }
            Event::ConnectionAdded { conn, .. } => {
                let before = self.connections.insert(*conn, Told::Added);
                assert!(matches!(before, None | Some(Told::Asked)), "{event:?}");
            }
            Event::ConnectionRemoved { conn, .. } => {
                let before = self.connections.insert(*conn, Told::Removed);
                assert!(matches!(before, Some(Told::Asked | Told::Added)), "{event:?}");
            }
            Event::PoolAdded {
                manager,
                host,
                port,
                transport,
            } => {
                let pool = (*manager, host.clone(), *port, *transport);
                assert!(self.pools.insert(pool), "{event:?}");
            }
            Event::PoolRemoved {
                manager,
                host,
                port,
                transport,
            } => {
                let pool = (*manager, host.clone(), *port, *transport);
                assert!(self.pools.remove(&pool), "{event:?}");
            }
            Event::ConnectionThrottled { conn, .. } => {
                let told = self.connections.get(conn);
                assert!(matches!(told, Some(Told::Added)), "{event:?}");
            }
            Event::EndpointTerminated { endpoint } => self.on_terminated(*endpoint),
            // A peer that speaks no TLS belongs to no object; a later kind of event is not known here.
            Event::IncomingTlsFailed { .. } | _ => {}
        }
    }

    /// Forgets what was over before this time, for who watches long. Names are not used again: what is said of something
    /// that is forgotten is about nothing that was ever begun.
    pub(crate) fn forget(&mut self, before: Time) {
        self.operations
            .retain(|_, operation| operation.completed.is_none_or(|at| at >= before));
        let operations = self.operations.values();
        let wanted: BTreeSet<SessionId> = operations.filter_map(|operation| operation.establishes).collect();
        self.sessions
            .retain(|id, session| session.state != SessionState::Disconnected || wanted.contains(id));
        self.subscriptions
            .retain(|_, (_, state)| *state != SubscriptionState::Terminated);
        self.watched.clear();
        self.watchers.retain(|_, (_, is_over)| !*is_over);
        self.publications
            .retain(|_, (_, state)| *state != PublicationState::Removed);
        self.published.clear();
        self.connections.retain(|_, told| !matches!(told, Told::Removed));
        self.referrals.retain(|_, state| !state.is_final());
        self.asked.clear();
        self.transfers.clear();
        self.registered.clear();
        self.changes.clear();
    }

    fn on_terminated(&mut self, endpoint: EndpointId) {
        assert!(self.terminated.insert(endpoint), "{endpoint} ended twice");
        let mut sessions = self.sessions.iter();
        let open = sessions
            .find(|(_, session)| session.endpoint == endpoint && session.state != SessionState::Disconnected);
        assert!(open.is_none(), "{endpoint} ended before {open:?}");
        let mut subscriptions = self.subscriptions.iter();
        let open =
            subscriptions.find(|(_, (of, state))| *of == endpoint && *state != SubscriptionState::Terminated);
        assert!(open.is_none(), "{endpoint} ended before {open:?}");
        let mut publications = self.publications.iter();
        let open =
            publications.find(|(_, (of, state))| *of == endpoint && *state != PublicationState::Removed);
        assert!(open.is_none(), "{endpoint} ended before {open:?}");
        let mut watchers = self.watchers.iter();
        let open = watchers.find(|(_, (of, is_over))| *of == endpoint && !is_over);
        assert!(open.is_none(), "{endpoint} ended before {open:?}");
        let registration = self.registrations.get(&endpoint);
        assert!(
            registration.is_none_or(|state| *state == RegistrationState::Unregistered),
            "{endpoint} ended while {registration:?}"
        );
    }

    fn on_completed(&mut self, at: Time, operation: OperationId, well: bool) {
        let known = self.operations.get_mut(&operation);
        let known = known.unwrap_or_else(|| panic!("{operation} completes and was never begun"));
        assert!(known.completed.is_none(), "{operation} completes twice");
        known.completed = Some(at);
        let took = at.since(known.begun);
        let patience = self.patience.unwrap_or(Duration::MAX);
        assert!(took <= patience, "{operation} took {took:?}");
        self.succeeded += usize::from(well);
        // X3: a completion comes after the events that it caused.
        if let Some(session) = known.establishes.and_then(|id| self.sessions.get(&id)) {
            if well {
                assert!(
                    session.was_connected,
                    "{operation} succeeds without {session:?} connected"
                );
            } else {
                assert_eq!(
                    session.state,
                    SessionState::Disconnected,
                    "{operation} fails before its session"
                );
            }
        }
    }

    fn on_session_changed(&mut self, id: SessionId, old: SessionState, new: SessionState, event: &Event) {
        self.session_alive(id, event);
        if let Some(session) = self.sessions.get_mut(&id) {
            assert_eq!(session.state, old, "{event:?}");
            assert_ne!(old, new, "{event:?}");
            session.state = new;
            self.changes.push(new);
            session.was_connected |= new == SessionState::Connected;
        }
    }

    /// Whether an operation was under way at this time.
    pub(crate) fn is_busy(&self, at: Time) -> bool {
        let busy = |operation: &Operation| {
            operation.begun <= at && operation.completed.is_none_or(|ended| ended >= at)
        };
        self.operations.values().any(busy)
    }

    /// The sessions that have not ended, with the state that was told last.
    pub(crate) fn open_sessions(&self) -> impl Iterator<Item = (SessionId, SessionState)> {
        let open = self.sessions.iter().map(|(id, session)| (*id, session.state));
        open.filter(|(_, state)| *state != SessionState::Disconnected)
    }

    /// How many operations have been begun and are not complete.
    pub(crate) fn open_operations(&self) -> usize {
        let operations = self.operations.values();
        operations
            .filter(|operation| operation.completed.is_none())
            .count()
    }

    /// Where the stack listens.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = ListenerId> {
        self.listening.keys().copied()
    }

    /// The state that was told last.
    pub(crate) fn registration(&self, endpoint: EndpointId) -> RegistrationState {
        let known = self.registrations.get(&endpoint).copied();
        known.unwrap_or(RegistrationState::Unregistered)
    }

    fn alive(&self, endpoint: EndpointId, event: &Event) {
        assert!(self.endpoints.contains(&endpoint), "nobody's: {event:?}");
        assert!(
            !self.terminated.contains(&endpoint),
            "after the end of {endpoint}: {event:?}"
        );
    }

    fn session_alive(&self, id: SessionId, event: &Event) {
        let session = self
            .sessions
            .get(&id)
            .unwrap_or_else(|| panic!("nobody's: {event:?}"));
        assert_ne!(
            session.state,
            SessionState::Disconnected,
            "after the end: {event:?}"
        );
        self.alive(session.endpoint, event);
    }

    pub(crate) fn judge_the_end(&self) {
        let open = self
            .operations
            .iter()
            .find(|(_, operation)| operation.completed.is_none());
        assert!(open.is_none(), "never completed: {open:?}");
        let open = self
            .sessions
            .iter()
            .find(|(_, session)| session.state != SessionState::Disconnected);
        assert!(open.is_none(), "never ended: {open:?}");
        for endpoint in &self.endpoints {
            assert!(self.terminated.contains(endpoint), "{endpoint} never ended");
        }
        assert!(self.pools.is_empty(), "still there: {:?}", self.pools);
        let open = self.connections.iter().find(|(_, told)| **told != Told::Removed);
        assert!(open.is_none(), "never removed: {open:?}");
        assert!(self.listening.is_empty(), "never ended: {:?}", self.listening);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use sansip::{Completion, Config, SessionReason, SipEndpointConfig, Stack, UnixTime};

    use super::*;

    /// Whether the oracle objects.
    fn objects(to: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(to)).is_err()
    }

    /// Real ids: an endpoint, a session and two operations.
    fn ids() -> (EndpointId, SessionId, [OperationId; 2]) {
        let now = Time::ZERO;
        let mut stack = Stack::new(Config::default(), [0; 32], now, UnixTime(0));
        let endpoint = stack
            .add_sip_endpoint(now, SipEndpointConfig::new("sip:a@example.com"))
            .expect("one");
        let mut view = stack.endpoint(now, endpoint).expect("there");
        let session = view.create_session("sip:b@example.com").expect("one");
        (endpoint, session, [view.terminate(), view.terminate()])
    }

    fn completed(operation: OperationId) -> Event {
        Event::Completed {
            operation,
            result: Ok(Completion::Done),
        }
    }

    #[test]
    fn operations_complete_once_and_only_those_begun() {
        let (_, _, [first, second]) = ids();
        let mut oracle = Contract::default();
        oracle.on_started(Time::ZERO, first, None);
        assert!(
            objects(|| oracle.on_event(Time::ZERO, &completed(second))),
            "never begun"
        );
        assert!(objects(|| oracle.judge_the_end()), "not completed");
        oracle.on_event(Time::ZERO, &completed(first));
        oracle.judge_the_end();
        assert!(
            objects(|| oracle.on_event(Time::ZERO, &completed(first))),
            "twice"
        );
    }

    #[test]
    fn sessions_are_chains_that_end_before_their_endpoint() {
        let (endpoint, session, [operation, _]) = ids();
        let mut oracle = Contract {
            endpoints: vec![endpoint],
            ..Contract::default()
        };
        let change = |old, new| Event::Session {
            session,
            old,
            new,
            reason: SessionReason::None,
        };
        let begins = change(SessionState::Idle, SessionState::Connecting);
        let ends = change(SessionState::Connecting, SessionState::Disconnected);
        assert!(objects(|| oracle.on_event(Time::ZERO, &begins)), "nobody's");
        oracle.on_session(session, endpoint);
        oracle.on_started(Time::ZERO, operation, Some(session));
        assert!(objects(|| oracle.on_event(Time::ZERO, &ends)), "a gap");
        oracle.on_event(Time::ZERO, &begins);
        assert!(
            objects(|| oracle.on_event(Time::ZERO, &completed(operation))),
            "well, and not connected"
        );
        assert!(
            objects(|| oracle.on_event(Time::ZERO, &Event::EndpointTerminated { endpoint })),
            "before its session"
        );
        let mut oracle = Contract {
            endpoints: vec![endpoint],
            ..Contract::default()
        };
        oracle.on_session(session, endpoint);
        oracle.on_event(Time::ZERO, &begins);
        oracle.on_event(Time::ZERO, &ends);
        assert!(objects(|| oracle.on_event(
            Time::ZERO,
            &change(SessionState::Disconnected, SessionState::Connected)
        )));
        oracle.on_event(Time::ZERO, &Event::EndpointTerminated { endpoint });
        oracle.judge_the_end();
        assert!(
            objects(|| oracle.on_event(Time::ZERO, &Event::EndpointTerminated { endpoint })),
            "ended twice"
        );
    }
}
