//! The handles of an endpoint: what commands it, and what hears of it.

use sansip::wire::{Message, Method};
use sansip::{Content, EndpointId, EndpointView, Event, Misuse, OperationId, SendOptions};

use crate::handle::{Client, Events, Operation, Reply};
use crate::incoming::Incoming;
use crate::session::{Invitation, Session, SessionEvents};
use crate::watcher::{Watcher, WatcherEvents};

/// What happens to an endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub enum EndpointEvent {
    /// A request outside a session arrived (rule M1).
    Message(Incoming),
    /// A session was offered by an INVITE; it is in state Incoming (rule S2).
    Session {
        /// What answers it.
        session: Session,
        /// What happens to it.
        events: SessionEvents,
        /// The INVITE; its body is the offer, where it has one.
        message: Box<Message>,
    },
    /// Somebody wants to subscribe to a state of the endpoint (rule B5).
    Watcher {
        /// What answers it.
        watcher: Watcher,
        /// What happens to it.
        events: WatcherEvents,
        /// The SUBSCRIBE.
        message: Box<Message>,
    },
    /// One of the stack's own events that name this endpoint.
    Event(Event),
}

/// Commands an endpoint. Cloning it is cheap; dropping it changes nothing: the endpoint lives until
/// [`Endpoint::terminate`].
#[derive(Clone, Debug)]
pub struct Endpoint {
    id: EndpointId,
    client: Client,
}

impl Endpoint {
    pub(crate) const fn new(client: Client, id: EndpointId) -> Self {
        Self { id, client }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Which endpoint.
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// See [`EndpointView::register`].
    pub fn register(&self) -> Operation {
        self.operate(|endpoint| endpoint.register())
    }

    /// See [`EndpointView::unregister`].
    pub fn unregister(&self) -> Operation {
        self.operate(|endpoint| endpoint.unregister())
    }

    /// See [`EndpointView::set_methods`].
    pub fn set_methods(&self, methods: Vec<Method>) -> Reply<()> {
        let id = self.id;
        self.client.call(move |host| {
            let now = host.adapter.now();
            host.adapter.stack().endpoint(now, id)?.set_methods(methods)?;
            Ok(())
        })
    }

    /// Sends a text in a MESSAGE.
    pub fn message(&self, target: &str, text: &str, options: SendOptions) -> Operation {
        self.send(target, Method::Message, Some(Content::text(text)), options)
    }

    /// See [`EndpointView::send_message`].
    pub fn send(
        &self,
        target: &str,
        method: Method,
        content: Option<Content>,
        options: SendOptions,
    ) -> Operation {
        let target = target.to_owned();
        self.operate(move |endpoint| endpoint.send_message(&target, method, content, options))
    }

    /// Makes a session and sends its INVITE; see [`EndpointView::invite`]. The session can be used at once. It comes to
    /// nothing where the invitation is misuse.
    pub fn invite(
        &self,
        target: &str,
        offer: Option<Content>,
        options: SendOptions,
    ) -> (Invitation, SessionEvents) {
        let (sender, events) = SessionEvents::new(self.client.bound());
        let session = Session::unnamed(self.client.clone());
        let (id, named, target) = (self.id, session.clone(), target.to_owned());
        let operation = self.client.operate(move |host, now| {
            let mut endpoint = host.adapter.stack().endpoint(now, id)?;
            let (session, operation) = endpoint.invite(&target, offer, options)?;
            named.set_id(session);
            host.desk.add_session(session, id, sender);
            Ok(operation)
        });
        (Invitation::new(session, operation), events)
    }

    /// See [`EndpointView::create_session`]. [`Session::establish`] sends its INVITE.
    pub fn create_session(&self, target: &str) -> Reply<(Session, SessionEvents)> {
        let (client, id, target) = (self.client.clone(), self.id, target.to_owned());
        self.client.call(move |host| {
            let now = host.adapter.now();
            let session = host.adapter.stack().endpoint(now, id)?.create_session(&target)?;
            let (sender, events) = SessionEvents::new(client.bound());
            host.desk.add_session(session, id, sender);
            Ok((Session::named(client, session), events))
        })
    }

    /// Ends the endpoint (rule E13); see [`EndpointView::terminate`].
    pub fn terminate(&self) -> Operation {
        let id = self.id;
        self.client
            .operate(move |host, now| Ok(host.adapter.stack().terminate(now, id)))
    }

    fn operate(
        &self,
        command: impl FnOnce(&mut EndpointView<'_>) -> Result<OperationId, Misuse> + Send + 'static,
    ) -> Operation {
        let id = self.id;
        self.client
            .operate(move |host, now| command(&mut host.adapter.stack().endpoint(now, id)?))
    }
}

/// What happens to one endpoint: a stream that ends behind [`Event::EndpointTerminated`].
///
/// It keeps [`Settings::events`](crate::Settings::events) events. While it, or that of a session of the endpoint, is full,
/// no event of the endpoint and its sessions is handed out; everything else goes on. When it is dropped, messages to the
/// endpoint are answered 200 (rule M4), and calls and subscriptions are refused.
pub type EndpointEvents = Events<EndpointEvent>;
