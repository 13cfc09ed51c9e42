//! The handle of a session.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_core::Stream;
use sansip::wire::{Method, StatusCode};
use sansip::{Content, Event, ExtraHeaders, Misuse, OperationId, SendOptions, SessionId, SessionView};

use crate::driver::Host;
use crate::handle::{Client, Operation, Outcome, Reply};
use crate::incoming::Incoming;
use crate::queue::{Receiver, Sender, queue};

/// What happens to a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A request inside the session arrived (rule S15).
    Message(Incoming),
    /// One of the stack's own events that name this session.
    Event(Event),
}

/// The name of a session, which it gets when the driver has made it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Name(Arc<OnceLock<SessionId>>);

impl Name {
    pub(crate) fn set(&self, id: SessionId) {
        self.0.get_or_init(|| id);
    }

    fn view<'a>(&self, host: &'a mut Host) -> Result<SessionView<'a>, Misuse> {
        let id = self.0.get().ok_or(Misuse::Unknown("session"))?;
        let now = host.adapter.now();
        host.adapter.stack().session(now, *id)
    }
}

/// Commands a session, and hears of it as a [`Stream`] that ends behind the state Disconnected. Dropping it changes
/// nothing but that nobody hears: the session lives until [`Session::terminate`], the peer's end of it, or its
/// endpoint's end.
///
/// It keeps [`Settings::events`](crate::Settings::events) events. While it is full, no event of its endpoint and its
/// endpoint's sessions is handed out; everything else goes on.
#[derive(Debug)]
pub struct Session {
    name: Name,
    client: Client,
    events: Receiver<SessionEvent>,
}

impl Session {
    /// One that the driver is about to make.
    pub(crate) fn unknown(client: Client) -> (Self, Sender<SessionEvent>) {
        let (sender, events) = queue(client.bound());
        let name = Name::default();
        (Self { name, client, events }, sender)
    }

    pub(crate) fn known(client: Client, id: SessionId) -> (Self, Sender<SessionEvent>) {
        let (session, sender) = Self::unknown(client);
        session.name.set(id);
        (session, sender)
    }

    pub(crate) fn name(&self) -> Name {
        self.name.clone()
    }

    pub(crate) fn invitation(&self, operation: Operation) -> Invitation {
        Invitation {
            operation,
            name: self.name(),
            client: self.client.clone(),
        }
    }

    /// Which session; `None` while the driver has not made it.
    pub fn id(&self) -> Option<SessionId> {
        self.name.0.get().copied()
    }

    /// The next event; `None` behind the last one, or when the driver has ended.
    pub async fn next(&mut self) -> Option<SessionEvent> {
        poll_fn(|cx| Pin::new(&mut self.events).poll_next(cx)).await
    }

    /// See [`SessionView::establish`].
    pub fn establish(&self, offer: Option<Content>, options: SendOptions) -> Invitation {
        let operation = self.operate(move |session| session.establish(offer, options));
        self.invitation(operation)
    }

    /// See [`SessionView::accept`].
    pub fn accept(&self, content: Option<Content>) -> Operation {
        self.operate(move |session| session.accept(content))
    }

    /// See [`SessionView::reject`].
    pub fn reject(&self, status: StatusCode) -> Reply<()> {
        self.call(move |session| session.reject(status, None))
    }

    /// See [`SessionView::redirect`].
    pub fn redirect(&self, status: StatusCode, targets: &[&str]) -> Reply<()> {
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        self.call(move |session| {
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            session.redirect(status, &targets)
        })
    }

    /// See [`SessionView::provisional`].
    pub fn provisional(&self, status: StatusCode, content: Option<Content>) -> Reply<()> {
        self.call(move |session| session.provisional(status, content))
    }

    /// See [`SessionView::answer`].
    pub fn answer(&self, answer: Content) -> Reply<()> {
        self.call(move |session| session.answer(answer))
    }

    /// See [`SessionView::send`].
    pub fn send(&self, method: Method, content: Option<Content>, headers: ExtraHeaders) -> Operation {
        self.operate(move |session| session.send(method, content, headers))
    }

    /// Ends the session as its state asks for: CANCEL, BYE or a decline (rule S10).
    pub fn terminate(&self) -> Operation {
        self.operate(|session| Ok(session.terminate()))
    }

    fn operate(
        &self,
        command: impl FnOnce(&mut SessionView<'_>) -> Result<OperationId, Misuse> + Send + 'static,
    ) -> Operation {
        let name = self.name();
        self.client.operate(move |host, _| command(&mut name.view(host)?))
    }

    fn call(
        &self,
        command: impl FnOnce(&mut SessionView<'_>) -> Result<(), Misuse> + Send + 'static,
    ) -> Reply<()> {
        let name = self.name();
        self.client.call(move |host| Ok(command(&mut name.view(host)?)?))
    }
}

impl Stream for Session {
    type Item = SessionEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SessionEvent>> {
        Pin::new(&mut self.events).poll_next(cx)
    }
}

/// An INVITE under way: an [`Operation`] that can be given up. Dropping it gives nothing up.
#[derive(Debug)]
#[must_use = "the outcome is lost; `drop` it to say so"]
pub struct Invitation {
    operation: Operation,
    name: Name,
    client: Client,
}

impl Invitation {
    /// Gives up: the INVITE is cancelled (RFC 3261 section 9), and a session that was established meanwhile is ended.
    /// The invitation ends then as well.
    pub fn cancel(&self) -> Operation {
        let name = self.name.clone();
        self.client
            .operate(move |host, _| Ok(name.view(host)?.terminate()))
    }
}

impl Future for Invitation {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.operation).poll(cx)
    }
}
