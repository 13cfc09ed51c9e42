//! Which event goes to which handle.
//!
//! The events of one endpoint, its sessions' among them, keep their order: while one handle is full, all of them wait in
//! the endpoint's lane, and nobody else does. Completions wait for nobody: each has its own place, for which the limit on
//! operations is the bound.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::task::Waker;

use sansip::wire::Message;
use sansip::{
    EndpointId, Event, IncomingId, ListenerId, OperationId, SessionId, SessionState, SubscriptionId,
    SubscriptionState, WatcherId,
};

use crate::adapter::Adapter;
use crate::driver::Command;
use crate::endpoint::EndpointEvent;
use crate::handle::{Client, Error, Outcome};
use crate::incoming::Incoming;
use crate::queue::{Refusal, Sender, WeakSender};
use crate::session::{Session, SessionEvent, SessionEvents};
use crate::settings::Settings;

pub(crate) type Listened = Result<(ListenerId, SocketAddr), Error>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    commands: WeakSender<Command>,
    /// The bound of a handle's queue.
    events: usize,
    /// Above so many waiting parcels the connections are not read.
    mark: usize,
    waiting: usize,
    endpoints: BTreeMap<EndpointId, Sender<EndpointEvent>>,
    sessions: BTreeMap<SessionId, OfSession>,
    subscriptions: BTreeMap<SubscriptionId, OfSubscription>,
    /// Whose the subscriptions of others are.
    watched: BTreeMap<WatcherId, EndpointId>,
    operations: BTreeMap<OperationId, Sender<Outcome>>,
    listening: BTreeMap<ListenerId, Sender<Listened>>,
    /// Who hears what belongs to no endpoint.
    watchers: Vec<Sender<Event>>,
    /// What waits for room, by endpoint; `None` for the watchers. No lane is empty.
    lanes: BTreeMap<Option<EndpointId>, VecDeque<Parcel>>,
}

#[derive(Debug)]
struct OfSession {
    endpoint: EndpointId,
    sender: Sender<SessionEvent>,
}

#[derive(Debug)]
struct OfSubscription {
    endpoint: EndpointId,
    sender: Sender<Event>,
}

/// One thing for one handle.
#[derive(Debug)]
enum Parcel {
    Endpoint(EndpointId, EndpointEvent),
    EndOfEndpoint(EndpointId),
    Session(SessionId, SessionEvent),
    EndOfSession(SessionId),
    Subscription(SubscriptionId, Event),
    EndOfSubscription(SubscriptionId),
    Watcher(Sender<Event>, Event),
}

impl Desk {
    pub(crate) const fn new(settings: &Settings, commands: WeakSender<Command>) -> Self {
        Self {
            commands,
            events: settings.events,
            mark: settings.waiting_events,
            waiting: 0,
            endpoints: BTreeMap::new(),
            sessions: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            watched: BTreeMap::new(),
            operations: BTreeMap::new(),
            listening: BTreeMap::new(),
            watchers: Vec::new(),
            lanes: BTreeMap::new(),
        }
    }

    // --- who wants to hear what

    pub(crate) fn watch(&mut self, watcher: Sender<Event>) {
        self.watchers.push(watcher);
    }

    /// The latest handle of an endpoint hears its events.
    pub(crate) fn add_endpoint(&mut self, endpoint: EndpointId, sender: Sender<EndpointEvent>) {
        self.endpoints.insert(endpoint, sender);
    }

    pub(crate) fn add_session(
        &mut self,
        session: SessionId,
        endpoint: EndpointId,
        sender: Sender<SessionEvent>,
    ) {
        self.sessions.insert(session, OfSession { endpoint, sender });
    }

    pub(crate) fn add_subscription(
        &mut self,
        subscription: SubscriptionId,
        endpoint: EndpointId,
        sender: Sender<Event>,
    ) {
        self.subscriptions
            .insert(subscription, OfSubscription { endpoint, sender });
    }

    pub(crate) fn add_operation(&mut self, operation: OperationId, sender: Sender<Outcome>) {
        self.operations.insert(operation, sender);
    }

    pub(crate) fn add_listener(&mut self, listener: ListenerId, sender: Sender<Listened>) {
        self.listening.insert(listener, sender);
    }

    // --- what they hear

    /// Hands an event on. A request that a handle gets is held for it (rule M4).
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list of events is open; what names no endpoint and no session is the whole stack's"
    )]
    pub(crate) fn deliver(&mut self, adapter: &mut Adapter, event: Event, task: &Waker) {
        match event {
            Event::Completed { operation, result } => {
                if let Some(sender) = self.operations.remove(&operation) {
                    // Who let go of the future does not want to know.
                    let _ = sender.push(result.map_err(Error::from), None);
                }
            }
            Event::MessageReceived {
                endpoint,
                incoming,
                message,
            } => {
                if self.endpoints.get(&endpoint).is_some_and(Sender::is_received)
                    && let Some(incoming) = self.hold(adapter, incoming, message)
                {
                    let parcel = Parcel::Endpoint(endpoint, EndpointEvent::Message(incoming));
                    self.post(adapter, Some(endpoint), parcel, task);
                }
            }
            Event::SessionReceived {
                endpoint,
                session,
                message,
                ..
            } => self.receive_session(adapter, endpoint, session, message, task),
            Event::SessionMessage {
                session,
                incoming,
                message,
            } => {
                if let Some(of) = self.sessions.get(&session).filter(|of| of.sender.is_received()) {
                    let endpoint = of.endpoint;
                    if let Some(incoming) = self.hold(adapter, incoming, message) {
                        let parcel = Parcel::Session(session, SessionEvent::Message(incoming));
                        self.post(adapter, Some(endpoint), parcel, task);
                    }
                }
            }
            Event::Session { session, new, .. } => {
                self.post_session(adapter, session, event, task);
                if new == SessionState::Disconnected
                    && let Some(of) = self.sessions.get(&session)
                {
                    self.post(adapter, Some(of.endpoint), Parcel::EndOfSession(session), task);
                }
            }
            Event::Provisional { session, .. }
            | Event::OfferReceived { session, .. }
            | Event::AnswerReceived { session, .. }
            | Event::Explained { session, .. }
            | Event::Redirected { session, .. }
            | Event::RefreshNeeded { session }
            | Event::Route { session, .. }
            | Event::Referral { session, .. }
            | Event::ReferReceived { session, .. }
            | Event::RenegotiationReceived { session, .. }
            | Event::RenegotiationWithdrawn { session } => self.post_session(adapter, session, event, task),
            Event::Subscription {
                subscription, new, ..
            } => {
                self.post_subscription(adapter, subscription, event, task);
                if new == SubscriptionState::Terminated
                    && let Some(of) = self.subscriptions.get(&subscription)
                {
                    let parcel = Parcel::EndOfSubscription(subscription);
                    self.post(adapter, Some(of.endpoint), parcel, task);
                }
            }
            Event::WatcherReceived {
                endpoint, watcher, ..
            } => {
                self.watched.insert(watcher, endpoint);
                let parcel = Parcel::Endpoint(endpoint, EndpointEvent::Event(event));
                self.post(adapter, Some(endpoint), parcel, task);
            }
            Event::WatcherRefreshed { watcher, .. } => {
                if let Some(endpoint) = self.watched.get(&watcher).copied() {
                    let parcel = Parcel::Endpoint(endpoint, EndpointEvent::Event(event));
                    self.post(adapter, Some(endpoint), parcel, task);
                }
            }
            Event::WatcherEnded { watcher, .. } => {
                if let Some(endpoint) = self.watched.remove(&watcher) {
                    let parcel = Parcel::Endpoint(endpoint, EndpointEvent::Event(event));
                    self.post(adapter, Some(endpoint), parcel, task);
                }
            }
            Event::Publication { endpoint, .. } => {
                let parcel = Parcel::Endpoint(endpoint, EndpointEvent::Event(event));
                self.post(adapter, Some(endpoint), parcel, task);
            }
            Event::Notified { subscription, .. } => {
                self.post_subscription(adapter, subscription, event, task);
            }
            Event::SubscriptionForked { of, subscription } => {
                // Who hears of the first one hears of what it has led to.
                if let Some(known) = self.subscriptions.get(&of) {
                    let (endpoint, sender) = (known.endpoint, known.sender.clone());
                    self.add_subscription(subscription, endpoint, sender);
                    self.post_subscription(adapter, subscription, event, task);
                }
            }
            Event::Registration { endpoint, .. }
            | Event::ServerChanged { endpoint, .. }
            | Event::Associated { endpoint, .. }
            | Event::PeerToPeer { endpoint, .. }
            | Event::Forgotten { endpoint, .. }
            | Event::Outage { endpoint, .. } => {
                let parcel = Parcel::Endpoint(endpoint, EndpointEvent::Event(event));
                self.post(adapter, Some(endpoint), parcel, task);
            }
            Event::EndpointTerminated { endpoint } => {
                let parcel = Parcel::Endpoint(endpoint, EndpointEvent::Event(event));
                self.post(adapter, Some(endpoint), parcel, task);
                self.post(adapter, Some(endpoint), Parcel::EndOfEndpoint(endpoint), task);
            }
            Event::Listening { listener, address } => {
                self.answer_listener(listener, Ok((listener, address)));
                self.tell(adapter, &event, task);
            }
            Event::ListeningEnded { listener, ref error } => {
                let error = error.clone().map_or(Error::Stopped, Error::Listen);
                self.answer_listener(listener, Err(error));
                self.tell(adapter, &event, task);
            }
            Event::AuthorizationRequested { conn, .. } => {
                self.tell(adapter, &event, task);
                if self.watchers.is_empty() {
                    // Nobody is there who could ever answer.
                    let now = adapter.now();
                    let _ = adapter.stack().deny_connection(now, conn);
                }
            }
            _ => self.tell(adapter, &event, task),
        }
    }

    /// Keeps a request for its handle; where the stack wants no answer of the application, nothing is kept.
    fn hold(&self, adapter: &mut Adapter, id: IncomingId, message: Box<Message>) -> Option<Incoming> {
        let client = self.client()?;
        let now = adapter.now();
        let is_open = adapter
            .stack()
            .incoming(now, id)
            .and_then(|mut incoming| incoming.hold())
            .is_ok();
        Some(Incoming::new(id, message, client, is_open))
    }

    fn receive_session(
        &mut self,
        adapter: &mut Adapter,
        endpoint: EndpointId,
        session: SessionId,
        message: Box<Message>,
        task: &Waker,
    ) {
        let is_received = self.endpoints.get(&endpoint).is_some_and(Sender::is_received);
        match self.client().filter(|_| is_received) {
            Some(client) => {
                let (sender, events) = SessionEvents::new(self.events);
                self.add_session(session, endpoint, sender);
                let event = EndpointEvent::Session {
                    session: Session::named(client, session),
                    events,
                    message,
                };
                self.post(adapter, Some(endpoint), Parcel::Endpoint(endpoint, event), task);
            }
            None => {
                // Nobody is there who could ever answer.
                let now = adapter.now();
                if let Ok(mut session) = adapter.stack().session(now, session) {
                    session.terminate();
                }
            }
        }
    }

    fn client(&self) -> Option<Client> {
        Some(Client::new(self.commands.upgrade()?, self.events))
    }

    fn answer_listener(&mut self, listener: ListenerId, result: Listened) {
        if let Some(sender) = self.listening.remove(&listener) {
            // Who let go of the future does not want to know.
            let _ = sender.push(result, None);
        }
    }

    fn post_session(&mut self, adapter: &mut Adapter, session: SessionId, event: Event, task: &Waker) {
        if let Some(of) = self.sessions.get(&session) {
            let parcel = Parcel::Session(session, SessionEvent::Event(event));
            self.post(adapter, Some(of.endpoint), parcel, task);
        }
    }

    fn post_subscription(&mut self, adapter: &mut Adapter, id: SubscriptionId, event: Event, task: &Waker) {
        if let Some(of) = self.subscriptions.get(&id) {
            let endpoint = of.endpoint;
            self.post(adapter, Some(endpoint), Parcel::Subscription(id, event), task);
        }
    }

    fn tell(&mut self, adapter: &mut Adapter, event: &Event, task: &Waker) {
        self.watchers.retain(Sender::is_received);
        for watcher in self.watchers.clone() {
            self.post(adapter, None, Parcel::Watcher(watcher, event.clone()), task);
        }
    }

    // --- lanes

    fn post(&mut self, adapter: &mut Adapter, lane: Option<EndpointId>, parcel: Parcel, task: &Waker) {
        let parcel = if self.lanes.contains_key(&lane) {
            Some(parcel)
        } else {
            self.hand_over(parcel, task)
        };
        if let Some(parcel) = parcel {
            self.lanes.entry(lane).or_default().push_back(parcel);
            self.waiting += 1;
            if self.waiting > self.mark {
                adapter.set_intake(false);
            }
        }
    }

    /// Hands on what waited, where there is room now.
    pub(crate) fn flush(&mut self, adapter: &mut Adapter, task: &Waker) {
        let lanes: Vec<_> = self.lanes.keys().copied().collect();
        for key in lanes {
            let mut lane = self.lanes.remove(&key).unwrap_or_default();
            while let Some(parcel) = lane.pop_front() {
                if let Some(parcel) = self.hand_over(parcel, task) {
                    lane.push_front(parcel);
                    self.lanes.insert(key, lane);
                    break;
                }
                self.waiting -= 1;
            }
        }
        if self.waiting <= self.mark / 2 {
            adapter.set_intake(true);
        }
    }

    /// Gives back what there is no room for; what nobody wants is dropped.
    fn hand_over(&mut self, parcel: Parcel, task: &Waker) -> Option<Parcel> {
        match parcel {
            Parcel::Endpoint(id, event) => {
                let sender = self.endpoints.get(&id)?;
                Some(Parcel::Endpoint(id, refused(sender.push(event, Some(task)))?))
            }
            Parcel::Session(id, event) => {
                let sender = &self.sessions.get(&id)?.sender;
                Some(Parcel::Session(id, refused(sender.push(event, Some(task)))?))
            }
            Parcel::Subscription(id, event) => {
                let sender = &self.subscriptions.get(&id)?.sender;
                Some(Parcel::Subscription(id, refused(sender.push(event, Some(task)))?))
            }
            Parcel::EndOfSubscription(id) => {
                self.subscriptions.remove(&id);
                None
            }
            Parcel::Watcher(sender, event) => {
                let event = refused(sender.push(event, Some(task)))?;
                Some(Parcel::Watcher(sender, event))
            }
            Parcel::EndOfEndpoint(id) => {
                self.endpoints.remove(&id);
                None
            }
            Parcel::EndOfSession(id) => {
                self.sessions.remove(&id);
                None
            }
        }
    }
}

fn refused<T>(result: Result<(), Refusal<T>>) -> Option<T> {
    match result {
        Err(Refusal::Full(item)) => Some(item),
        Ok(()) | Err(Refusal::Closed(_)) => None,
    }
}
