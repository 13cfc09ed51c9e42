//! The handles of a session: what commands it, and what hears of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use sansip::wire::{Method, StatusCode};
use sansip::{
    Content, EarlyDialog, Event, ExtraHeaders, Misuse, OperationId, RedirectAction, ReferralId, SendOptions,
    SessionId, SessionView,
};

use crate::driver::Host;
use crate::handle::{Client, Events, Operation, Outcome, Reply};
use crate::incoming::Incoming;

/// What happens to a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A request inside the session arrived (rule S15).
    Message(Incoming),
    /// One of the stack's own events that name this session.
    Event(Event),
}

/// Commands a session. Cloning it is cheap; dropping it changes nothing: the session lives until
/// [`Session::terminate`], the peer's end of it, or its endpoint's end.
#[derive(Clone, Debug)]
pub struct Session {
    /// Set when the driver has made it.
    id: Arc<OnceLock<SessionId>>,
    client: Client,
}

impl Session {
    /// One that the driver is about to make.
    pub(crate) fn unnamed(client: Client) -> Self {
        Self {
            id: Arc::default(),
            client,
        }
    }

    pub(crate) fn named(client: Client, id: SessionId) -> Self {
        let session = Self::unnamed(client);
        session.set_id(id);
        session
    }

    pub(crate) fn set_id(&self, id: SessionId) {
        self.id.get_or_init(|| id);
    }

    /// Which session; `None` while the driver has not made it.
    pub fn id(&self) -> Option<SessionId> {
        self.id.get().copied()
    }

    fn view<'a>(&self, host: &'a mut Host) -> Result<SessionView<'a>, Misuse> {
        let id = self.id().ok_or(Misuse::Unknown("session"))?;
        let now = host.adapter.now();
        host.adapter.stack().session(now, id)
    }

    /// See [`SessionView::establish`].
    pub fn establish(&self, offer: Option<Content>, options: SendOptions) -> Invitation {
        let operation = self.operate(move |session| session.establish(offer, options));
        Invitation::new(self.clone(), operation)
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
    pub fn redirect(&self, status: impl Into<Option<StatusCode>>, targets: &[&str]) -> Reply<()> {
        let status = status.into();
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

    /// See [`SessionView::early_dialog`].
    pub fn early_dialog(&self) -> Reply<EarlyDialog> {
        let session = self.clone();
        self.client
            .call(move |host| Ok(session.view(host)?.early_dialog()?))
    }

    /// See [`SessionView::provisional_in`].
    pub fn provisional_in(
        &self,
        early: EarlyDialog,
        status: StatusCode,
        content: Option<Content>,
    ) -> Reply<()> {
        self.call(move |session| session.provisional_in(early, status, content))
    }

    /// See [`SessionView::accept_in`].
    pub fn accept_in(&self, early: EarlyDialog, content: Option<Content>) -> Operation {
        self.operate(move |session| session.accept_in(early, content))
    }

    /// See [`SessionView::is_forked`].
    pub fn is_forked(&self) -> Reply<bool> {
        let session = self.clone();
        self.client.call(move |host| Ok(session.view(host)?.is_forked()))
    }

    /// See [`SessionView::renegotiate`].
    pub fn renegotiate(&self, method: Method, offer: Content) -> Operation {
        self.operate(move |session| session.renegotiate(method, offer))
    }

    /// See [`SessionView::renegotiate_in`].
    pub fn renegotiate_in(&self, early: EarlyDialog, offer: Content) -> Operation {
        self.operate(move |session| session.renegotiate_in(early, offer))
    }

    /// See [`SessionView::cancel_renegotiation`].
    pub fn cancel_renegotiation(&self) -> Reply<bool> {
        let session = self.clone();
        self.client
            .call(move |host| Ok(session.view(host)?.cancel_renegotiation()))
    }

    /// See [`SessionView::accept_renegotiation`].
    pub fn accept_renegotiation(&self, content: Content) -> Operation {
        self.operate(move |session| session.accept_renegotiation(content))
    }

    /// See [`SessionView::reject_renegotiation`].
    pub fn reject_renegotiation(&self, status: StatusCode) -> Reply<()> {
        self.call(move |session| session.reject_renegotiation(status, None))
    }

    /// See [`SessionView::send`].
    pub fn send(&self, method: Method, content: Option<Content>, headers: ExtraHeaders) -> Operation {
        self.operate(move |session| session.send(method, content, headers))
    }

    /// See [`SessionView::refer`]. The operation is over with the answer to the REFER; [`Event::Referral`] says how the
    /// call goes.
    pub fn refer(&self, target: &str, headers: ExtraHeaders) -> Operation {
        let target = target.to_owned();
        self.operate(move |session| session.refer(&target, headers).map(|(_, operation)| operation))
    }

    /// See [`SessionView::accept_referral`].
    pub fn accept_referral(&self, referral: ReferralId, call: &Self) -> Reply<()> {
        let call = call.clone();
        self.call(move |session| {
            let call = call.id().ok_or(Misuse::Unknown("session"))?;
            session.accept_referral(referral, call)
        })
    }

    /// See [`SessionView::reject_referral`].
    pub fn reject_referral(&self, referral: ReferralId, status: StatusCode) -> Reply<()> {
        self.call(move |session| session.reject_referral(referral, status))
    }

    /// See [`SessionView::follow_redirect`].
    pub fn follow_redirect(&self, action: RedirectAction) -> Reply<()> {
        self.call(move |session| session.follow_redirect(action))
    }

    /// See [`SessionView::attach`].
    pub fn attach(&self, headers: ExtraHeaders) -> Reply<()> {
        self.call(move |session| session.attach(headers))
    }

    /// Ends the session as its state asks for: CANCEL, BYE or a decline (rule S10).
    pub fn terminate(&self) -> Operation {
        self.operate(|session| Ok(session.terminate()))
    }

    fn operate(
        &self,
        command: impl FnOnce(&mut SessionView<'_>) -> Result<OperationId, Misuse> + Send + 'static,
    ) -> Operation {
        let session = self.clone();
        self.client
            .operate(move |host, _| command(&mut session.view(host)?))
    }

    fn call(
        &self,
        command: impl FnOnce(&mut SessionView<'_>) -> Result<(), Misuse> + Send + 'static,
    ) -> Reply<()> {
        let session = self.clone();
        self.client
            .call(move |host| Ok(command(&mut session.view(host)?)?))
    }
}

/// What happens to one session: a stream that ends behind the state Disconnected.
///
/// It keeps [`Settings::events`](crate::Settings::events) events. While it is full, no event of its endpoint and the
/// endpoint's sessions is handed out; everything else goes on. When it is dropped, requests inside the session are
/// answered 200 (rule M4).
pub type SessionEvents = Events<SessionEvent>;

/// An INVITE under way: an [`Operation`] that can be given up. Dropping it gives nothing up.
#[derive(Debug)]
#[must_use = "the outcome is lost; `drop` it to say so"]
pub struct Invitation {
    session: Session,
    operation: Operation,
}

impl Invitation {
    pub(crate) const fn new(session: Session, operation: Operation) -> Self {
        Self { session, operation }
    }

    /// The session that is to be.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Gives up: the INVITE is cancelled (RFC 3261 section 9), and a session that was established meanwhile is ended.
    /// The invitation ends then as well.
    pub fn cancel(&self) -> Operation {
        self.session.terminate()
    }
}

impl Future for Invitation {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.operation).poll(cx)
    }
}
