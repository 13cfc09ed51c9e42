//! Which event goes to which handle.
//!
//! The events of one endpoint, its sessions' among them, keep their order: while one handle is full, all of them wait in
//! the endpoint's lane, and nobody else does. Completions wait for nobody: each has its own place, for which the limit on
//! operations is the bound.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::task::Waker;

use sansip::wire::{Message, StatusCode};
use sansip::{
    EndpointId, Event, IncomingId, ListenerId, OperationId, PublicationId, PublicationState, SessionId,
    SessionState, SubscriptionId, SubscriptionState, WatcherId,
};

use crate::adapter::Adapter;
use crate::driver::Command;
use crate::endpoint::EndpointEvent;
use crate::handle::{Client, Error, Outcome};
use crate::incoming::Incoming;
use crate::queue::{Refusal, Sender, WeakSender};
use crate::session::{Session, SessionEvent, SessionEvents};
use crate::settings::Settings;
use crate::watcher::{Watcher, WatcherEvents};

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
    streams: BTreeMap<Key, OfStream>,
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

/// What has a handle of its own that hears events and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Subscription(SubscriptionId),
    /// A subscription of somebody.
    Watcher(WatcherId),
    Publication(PublicationId),
}

#[derive(Debug)]
struct OfStream {
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
    Stream(Key, Event),
    EndOfStream(Key),
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
            streams: BTreeMap::new(),
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

    pub(crate) fn add_stream(&mut self, key: Key, endpoint: EndpointId, sender: Sender<Event>) {
        self.streams.insert(key, OfStream { endpoint, sender });
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
                let is_last = new == SubscriptionState::Terminated;
                self.post_stream(adapter, Key::Subscription(subscription), event, is_last, task);
            }
            Event::Notified { subscription, .. } => {
                self.post_stream(adapter, Key::Subscription(subscription), event, false, task);
            }
            Event::SubscriptionForked { of, subscription } => {
                // Who hears of the first one hears of what it has led to.
                if let Some(known) = self.streams.get(&Key::Subscription(of)) {
                    let (endpoint, sender) = (known.endpoint, known.sender.clone());
                    let key = Key::Subscription(subscription);
                    self.add_stream(key, endpoint, sender);
                    self.post_stream(adapter, key, event, false, task);
                }
            }
            Event::WatcherReceived {
                endpoint,
                watcher,
                message,
            } => self.receive_watcher(adapter, endpoint, watcher, message, task),
            Event::WatcherRefreshed { watcher, .. } => {
                self.post_stream(adapter, Key::Watcher(watcher), event, false, task);
            }
            Event::WatcherEnded { watcher, .. } => {
                self.post_stream(adapter, Key::Watcher(watcher), event, true, task);
            }
            Event::Publication { publication, new, .. } => {
                let is_last = new == PublicationState::Removed;
                self.post_stream(adapter, Key::Publication(publication), event, is_last, task);
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

    fn receive_watcher(
        &mut self,
        adapter: &mut Adapter,
        endpoint: EndpointId,
        watcher: WatcherId,
        message: Box<Message>,
        task: &Waker,
    ) {
        let is_received = self.endpoints.get(&endpoint).is_some_and(Sender::is_received);
        match self.client().filter(|_| is_received) {
            Some(client) => {
                let (sender, events) = WatcherEvents::new(self.events);
                self.add_stream(Key::Watcher(watcher), endpoint, sender);
                let event = EndpointEvent::Watcher {
                    watcher: Watcher::new(client, watcher),
                    events,
                    message,
                };
                self.post(adapter, Some(endpoint), Parcel::Endpoint(endpoint, event), task);
            }
            None => {
                // Nobody is there who could ever answer.
                let now = adapter.now();
                if let Ok(mut watcher) = adapter.stack().watcher(now, watcher) {
                    let _ = watcher.reject(StatusCode::TEMPORARILY_UNAVAILABLE, None);
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

    /// For the handle of this; one whose last event it is ends behind it.
    fn post_stream(&mut self, adapter: &mut Adapter, key: Key, event: Event, is_last: bool, task: &Waker) {
        let Some(of) = self.streams.get(&key) else {
            return;
        };
        let lane = Some(of.endpoint);
        self.post(adapter, lane, Parcel::Stream(key, event), task);
        if is_last {
            self.post(adapter, lane, Parcel::EndOfStream(key), task);
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
            Parcel::Stream(key, event) => {
                let sender = &self.streams.get(&key)?.sender;
                Some(Parcel::Stream(key, refused(sender.push(event, Some(task)))?))
            }
            Parcel::EndOfStream(key) => {
                self.streams.remove(&key);
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
