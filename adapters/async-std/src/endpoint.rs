//! The handle of an endpoint.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use sansip::wire::{Message, Method};
use sansip::{Content, EndpointId, EndpointView, Event, Misuse, OperationId, SendOptions};

use crate::handle::{Client, Operation, Reply};
use crate::incoming::Incoming;
use crate::queue::{Receiver, Sender, queue};
use crate::session::{Invitation, Session};

/// What happens to an endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub enum EndpointEvent {
    /// A request outside a session arrived (rule M1).
    Message(Incoming),
    /// A session was offered by an INVITE; it is in state Incoming (rule S2), and the message is the INVITE.
    Session(Session, Box<Message>),
    /// One of the stack's own events that name this endpoint.
    Event(Event),
}

/// Commands an endpoint, and hears of it as a [`Stream`] that ends behind
/// [`Event::EndpointTerminated`]. Dropping it changes nothing but that nobody hears: the endpoint lives until
/// [`Endpoint::terminate`], its messages are answered 200, and its calls are refused.
///
/// It keeps [`Settings::events`](crate::Settings::events) events. While it, or a session of the endpoint, is full, no event
/// of the endpoint and its sessions is handed out; everything else goes on.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    client: Client,
    events: Receiver<EndpointEvent>,
}

impl Endpoint {
    pub(crate) fn new(client: Client, id: EndpointId) -> (Self, Sender<EndpointEvent>) {
        let (sender, events) = queue(client.bound());
        (Self { id, client, events }, sender)
    }

    /// Which endpoint.
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// The next event; `None` behind the last one, or when the driver has ended.
    pub async fn next(&mut self) -> Option<EndpointEvent> {
        poll_fn(|cx| Pin::new(&mut self.events).poll_next(cx)).await
    }

    /// See [`EndpointView::register`].
    pub fn register(&self) -> Operation {
        self.operate(|endpoint| endpoint.register())
    }

    /// See [`EndpointView::unregister`].
    pub fn unregister(&self) -> Operation {
        self.operate(|endpoint| endpoint.unregister())
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
    ) -> (Session, Invitation) {
        let (session, sender) = Session::unknown(self.client.clone());
        let (id, name, target) = (self.id, session.name(), target.to_owned());
        let operation = self.client.operate(move |host, now| {
            let mut endpoint = host.adapter.stack().endpoint(now, id)?;
            let (session, operation) = endpoint.invite(&target, offer, options)?;
            name.set(session);
            host.desk.add_session(session, id, sender);
            Ok(operation)
        });
        let invitation = session.invitation(operation);
        (session, invitation)
    }

    /// See [`EndpointView::create_session`]. [`Session::establish`] sends its INVITE.
    pub fn create_session(&self, target: &str) -> Reply<Session> {
        let (client, id, target) = (self.client.clone(), self.id, target.to_owned());
        self.client.call(move |host| {
            let now = host.adapter.now();
            let name = host.adapter.stack().endpoint(now, id)?.create_session(&target)?;
            let (session, sender) = Session::known(client, name);
            host.desk.add_session(name, id, sender);
            Ok(session)
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

impl Stream for Endpoint {
    type Item = EndpointEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EndpointEvent>> {
        Pin::new(&mut self.events).poll_next(cx)
    }
}
