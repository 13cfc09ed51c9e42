//! Everything that can be done to a stack, as data.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::action::{Answer, CloseReason, Established, ListenError, ResolveError, Transport};
use crate::connection::{LostAddresses, ManagerConfig, MutualTls};
use crate::endpoint::{PeerToPeerConfig, SendOptions, SipEndpointConfig};
use crate::error::Misuse;
use crate::event::{Content, ExtraHeaders, RedirectAction};
use crate::ids::{
    ConnId, EndpointId, HandshakeId, IncomingId, ListenerId, ManagerId, PublicationId, QueryId, ReferralId,
    SessionId, SubscriptionId, WatcherId,
};
use crate::notifier::EndOfSubscription;
use crate::publication::PublishOptions;
use crate::security::{ContextAnswer, KerberosFailure, SecurityContext};
use crate::session::EarlyDialog;
use crate::stack::Stack;
use crate::subscription::SubscribeOptions;
use crate::time::Time;
use crate::wire::{Method, StatusCode};

/// One call of the embedder or the application that can change a [`Stack`].
///
/// A call that was refused as misuse is an input, too; opening a view is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are the arguments of the call that each names"
)]
pub enum Input {
    /// So many calls of [`Stack::poll_action`] in a row, each of which gave an action or did something.
    Polled { times: u32 },
    /// [`Stack::handle_timeout`], when it was due.
    Timeout,
    /// [`Stack::handle_bytes`].
    Bytes { conn: ConnId, bytes: Bytes },
    /// [`Stack::handle_transmitted`].
    Transmitted { conn: ConnId, bytes: usize },
    /// [`Stack::handle_connected`].
    Connected { conn: ConnId, established: Established },
    /// [`Stack::handle_accepted`].
    Accepted {
        listener: ListenerId,
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// [`Stack::handle_closed`].
    Closed { conn: ConnId, reason: CloseReason },
    /// [`Stack::handle_listening`].
    Listening {
        listener: ListenerId,
        result: Result<SocketAddr, ListenError>,
    },
    /// [`Stack::handle_listener_lost`].
    ListenerLost {
        listener: ListenerId,
        error: ListenError,
    },
    /// [`Stack::handle_resolved`].
    Resolved {
        query: QueryId,
        result: Result<Answer, ResolveError>,
    },
    /// [`Stack::handle_authenticated`]; the context is the embedder's.
    Authenticated {
        endpoint: EndpointId,
        handshake: HandshakeId,
        result: Result<SecurityContext, KerberosFailure>,
    },
    /// What the context of a handshake has answered, in order. It is no call.
    Answered {
        handshake: HandshakeId,
        answer: ContextAnswer,
    },
    /// [`Stack::add_manager`].
    AddManager { config: ManagerConfig },
    /// [`Stack::disconnect`].
    Disconnect { conn: ConnId },
    /// [`Stack::network_changed`].
    NetworkChanged { lost: LostAddresses },
    /// [`Stack::allow_connection`].
    AllowConnection { conn: ConnId },
    /// [`Stack::deny_connection`].
    DenyConnection { conn: ConnId },
    /// [`Stack::set_idle`].
    SetIdle { conn: ConnId, after: Duration },
    /// [`Stack::add_sip_endpoint`]; the passwords are empty.
    AddSipEndpoint { config: Box<SipEndpointConfig> },
    /// [`Stack::add_peer_to_peer_endpoint`].
    AddPeerToPeerEndpoint { config: Box<PeerToPeerConfig> },
    /// [`Stack::set_default_endpoint`].
    SetDefaultEndpoint { endpoint: Option<EndpointId> },
    /// [`Stack::terminate`], and [`EndpointView::terminate`](crate::EndpointView::terminate).
    Terminate { endpoint: EndpointId },
    /// [`Stack::terminate_all`].
    TerminateAll,
    /// [`Stack::drain`].
    Drain { patience: Duration },
    /// [`ManagerView::listen`](crate::ManagerView::listen).
    Listen { manager: ManagerId, address: SocketAddr },
    /// [`ManagerView::stop_listening`](crate::ManagerView::stop_listening).
    StopListening {
        manager: ManagerId,
        listener: ListenerId,
    },
    /// [`ManagerView::set_pool_size`](crate::ManagerView::set_pool_size).
    SetPoolSize { manager: ManagerId, size: usize },
    /// [`ManagerView::set_pool_maximum`](crate::ManagerView::set_pool_maximum).
    SetPoolMaximum {
        manager: ManagerId,
        host: String,
        port: Option<u16>,
        transport: Transport,
        size: usize,
    },
    /// [`ManagerView::set_authorizes`](crate::ManagerView::set_authorizes).
    SetAuthorizes { manager: ManagerId, on: bool },
    /// [`ManagerView::set_mutual_tls`](crate::ManagerView::set_mutual_tls).
    SetMutualTls {
        manager: ManagerId,
        mutual_tls: MutualTls,
    },
    /// [`ManagerView::set_idle`](crate::ManagerView::set_idle).
    SetManagerIdle {
        manager: ManagerId,
        incoming: Option<Duration>,
        outgoing: Option<Duration>,
    },
    /// [`ManagerView::apply_idle`](crate::ManagerView::apply_idle).
    ApplyIdle { manager: ManagerId },
    /// [`EndpointView::register`](crate::EndpointView::register).
    Register { endpoint: EndpointId },
    /// [`EndpointView::unregister`](crate::EndpointView::unregister).
    Unregister { endpoint: EndpointId },
    /// [`EndpointView::send_message`](crate::EndpointView::send_message).
    SendMessage {
        endpoint: EndpointId,
        target: String,
        method: Method,
        content: Option<Content>,
        options: SendOptions,
    },
    /// [`EndpointView::create_session`](crate::EndpointView::create_session).
    CreateSession { endpoint: EndpointId, target: String },
    /// [`EndpointView::invite`](crate::EndpointView::invite).
    Invite {
        endpoint: EndpointId,
        target: String,
        offer: Option<Content>,
        options: SendOptions,
    },
    /// [`SessionView::establish`](crate::SessionView::establish).
    Establish {
        session: SessionId,
        offer: Option<Content>,
        options: SendOptions,
    },
    /// [`SessionView::accept`](crate::SessionView::accept).
    Accept {
        session: SessionId,
        content: Option<Content>,
    },
    /// [`SessionView::reject`](crate::SessionView::reject).
    Reject {
        session: SessionId,
        status: StatusCode,
        reason: Option<String>,
    },
    /// [`SessionView::redirect`](crate::SessionView::redirect).
    Redirect {
        session: SessionId,
        status: StatusCode,
        targets: Vec<String>,
    },
    /// [`SessionView::provisional`](crate::SessionView::provisional).
    Provisional {
        session: SessionId,
        status: StatusCode,
        content: Option<Content>,
    },
    /// [`SessionView::early_dialog`](crate::SessionView::early_dialog).
    EarlyDialog { session: SessionId },
    /// [`SessionView::provisional_in`](crate::SessionView::provisional_in).
    ProvisionalIn {
        session: SessionId,
        early: EarlyDialog,
        status: StatusCode,
        content: Option<Content>,
    },
    /// [`SessionView::accept_in`](crate::SessionView::accept_in).
    AcceptIn {
        session: SessionId,
        early: EarlyDialog,
        content: Option<Content>,
    },
    /// [`SessionView::answer`](crate::SessionView::answer).
    Answer { session: SessionId, answer: Content },
    /// [`SessionView::renegotiate`](crate::SessionView::renegotiate).
    Renegotiate {
        session: SessionId,
        method: Method,
        offer: Content,
    },
    /// [`SessionView::renegotiate_in`](crate::SessionView::renegotiate_in).
    RenegotiateIn {
        session: SessionId,
        early: EarlyDialog,
        offer: Content,
    },
    /// [`SessionView::cancel_renegotiation`](crate::SessionView::cancel_renegotiation).
    CancelRenegotiation { session: SessionId },
    /// [`SessionView::accept_renegotiation`](crate::SessionView::accept_renegotiation).
    AcceptRenegotiation { session: SessionId, content: Content },
    /// [`SessionView::reject_renegotiation`](crate::SessionView::reject_renegotiation).
    RejectRenegotiation {
        session: SessionId,
        status: StatusCode,
        reason: Option<String>,
    },
    /// [`SessionView::send`](crate::SessionView::send).
    Send {
        session: SessionId,
        method: Method,
        content: Option<Content>,
        headers: ExtraHeaders,
    },
    /// [`SessionView::refer`](crate::SessionView::refer).
    Refer {
        session: SessionId,
        target: String,
        headers: ExtraHeaders,
    },
    /// [`SessionView::accept_referral`](crate::SessionView::accept_referral).
    AcceptReferral {
        session: SessionId,
        referral: ReferralId,
        call: SessionId,
    },
    /// [`SessionView::reject_referral`](crate::SessionView::reject_referral).
    RejectReferral {
        session: SessionId,
        referral: ReferralId,
        status: StatusCode,
    },
    /// [`SessionView::follow_redirect`](crate::SessionView::follow_redirect).
    FollowRedirect {
        session: SessionId,
        action: RedirectAction,
    },
    /// [`SessionView::attach`](crate::SessionView::attach).
    Attach {
        session: SessionId,
        headers: ExtraHeaders,
    },
    /// [`SessionView::terminate`](crate::SessionView::terminate).
    TerminateSession { session: SessionId },
    /// [`EndpointView::create_subscription`](crate::EndpointView::create_subscription).
    CreateSubscription {
        endpoint: EndpointId,
        target: String,
        options: Box<SubscribeOptions>,
    },
    /// [`EndpointView::subscribe`](crate::EndpointView::subscribe).
    SubscribeTo {
        endpoint: EndpointId,
        target: String,
        options: Box<SubscribeOptions>,
    },
    /// [`SubscriptionView::subscribe`](crate::SubscriptionView::subscribe).
    Subscribe { subscription: SubscriptionId },
    /// [`SubscriptionView::query`](crate::SubscriptionView::query).
    Query { subscription: SubscriptionId },
    /// [`SubscriptionView::update`](crate::SubscriptionView::update).
    UpdateSubscription {
        subscription: SubscriptionId,
        content: Option<Content>,
    },
    /// [`SubscriptionView::terminate`](crate::SubscriptionView::terminate).
    TerminateSubscription { subscription: SubscriptionId },
    /// [`WatcherView::accept`](crate::WatcherView::accept).
    AcceptWatcher {
        watcher: WatcherId,
        longest: Option<Duration>,
        content: Option<Content>,
    },
    /// [`WatcherView::accept_pending`](crate::WatcherView::accept_pending).
    AcceptWatcherPending {
        watcher: WatcherId,
        longest: Option<Duration>,
    },
    /// [`WatcherView::reject`](crate::WatcherView::reject).
    RejectWatcher {
        watcher: WatcherId,
        status: StatusCode,
        reason: Option<String>,
    },
    /// [`WatcherView::notify`](crate::WatcherView::notify).
    NotifyWatcher {
        watcher: WatcherId,
        content: Option<Content>,
    },
    /// [`WatcherView::terminate`](crate::WatcherView::terminate).
    TerminateWatcher {
        watcher: WatcherId,
        end: EndOfSubscription,
        content: Option<Content>,
    },
    /// [`EndpointView::publish`](crate::EndpointView::publish).
    Publish {
        endpoint: EndpointId,
        target: String,
        options: Box<PublishOptions>,
        content: Content,
    },
    /// [`PublicationView::modify`](crate::PublicationView::modify).
    ModifyPublication {
        publication: PublicationId,
        content: Content,
    },
    /// [`PublicationView::remove`](crate::PublicationView::remove).
    RemovePublication { publication: PublicationId },
    /// [`IncomingView::answer`](crate::IncomingView::answer).
    AnswerIncoming {
        incoming: IncomingId,
        status: StatusCode,
        reason: Option<String>,
        content: Option<Content>,
        headers: ExtraHeaders,
    },
    /// [`IncomingView::hold`](crate::IncomingView::hold).
    Hold { incoming: IncomingId },
    /// [`EndpointView::set_methods`](crate::EndpointView::set_methods).
    SetMethods {
        endpoint: EndpointId,
        methods: Vec<Method>,
    },
}

impl Input {
    /// Whether something comes out with it: a check follows.
    pub(crate) const fn is_checked(&self) -> bool {
        matches!(self, Self::Polled { .. } | Self::Transmitted { .. })
    }
}

impl Stack {
    /// Makes the call that this input is, at its time. Of [`Input::Polled`] only the time counts: the calls are the
    /// caller's to make, who gets the actions.
    ///
    /// # Errors
    /// The call is misuse here; where it was when it was recorded, that is no difference.
    pub fn apply(&mut self, now: Time, input: Input) -> Result<(), Misuse> {
        match input {
            Input::Polled { .. } => self.advance(now),
            Input::Timeout => self.handle_timeout(now),
            Input::Bytes { conn, bytes } => self.handle_bytes(now, conn, &bytes),
            Input::Transmitted { conn, bytes } => self.handle_transmitted(now, conn, bytes),
            Input::Connected { conn, established } => self.handle_connected(now, conn, established),
            Input::Accepted {
                listener,
                local,
                remote,
            } => {
                self.handle_accepted(now, listener, local, remote);
            }
            Input::Closed { conn, reason } => self.handle_closed(now, conn, reason),
            Input::Listening { listener, result } => self.handle_listening(now, listener, result),
            Input::ListenerLost { listener, error } => self.handle_listener_lost(now, listener, error),
            Input::Resolved { query, result } => self.handle_resolved(now, query, result),
            Input::Authenticated {
                endpoint,
                handshake,
                result,
            } => self.handle_authenticated(now, endpoint, handshake, result),
            Input::Answered { .. } => self.advance(now),
            Input::AddManager { config } => {
                self.advance(now);
                self.add_manager(config)?;
            }
            Input::Disconnect { conn } => self.disconnect(now, conn),
            Input::NetworkChanged { lost } => self.network_changed(now, &lost),
            Input::AllowConnection { conn } => self.allow_connection(now, conn)?,
            Input::DenyConnection { conn } => self.deny_connection(now, conn)?,
            Input::SetIdle { conn, after } => self.set_idle(now, conn, after)?,
            Input::AddSipEndpoint { config } => {
                self.add_sip_endpoint(now, *config)?;
            }
            Input::AddPeerToPeerEndpoint { config } => {
                self.add_peer_to_peer_endpoint(now, *config)?;
            }
            Input::SetDefaultEndpoint { endpoint } => {
                self.advance(now);
                self.set_default_endpoint(endpoint);
            }
            Input::Terminate { endpoint } => {
                self.terminate(now, endpoint);
            }
            Input::TerminateAll => self.terminate_all(now),
            Input::Drain { patience } => {
                self.drain(now, patience);
            }
            Input::Listen { manager, address } => {
                self.manager(now, manager)?.listen(address)?;
            }
            Input::StopListening { manager, listener } => {
                self.manager(now, manager)?.stop_listening(listener)?;
            }
            Input::SetPoolSize { manager, size } => self.manager(now, manager)?.set_pool_size(size)?,
            Input::SetPoolMaximum {
                manager,
                host,
                port,
                transport,
                size,
            } => self
                .manager(now, manager)?
                .set_pool_maximum(&host, port, transport, size)?,
            Input::SetAuthorizes { manager, on } => self.manager(now, manager)?.set_authorizes(on),
            Input::SetMutualTls { manager, mutual_tls } => {
                self.manager(now, manager)?.set_mutual_tls(mutual_tls)?;
            }
            Input::SetManagerIdle {
                manager,
                incoming,
                outgoing,
            } => self.manager(now, manager)?.set_idle(incoming, outgoing)?,
            Input::ApplyIdle { manager } => self.manager(now, manager)?.apply_idle()?,
            Input::Register { endpoint } => {
                self.endpoint(now, endpoint)?.register()?;
            }
            Input::Unregister { endpoint } => {
                self.endpoint(now, endpoint)?.unregister()?;
            }
            Input::SetMethods { endpoint, methods } => {
                self.endpoint(now, endpoint)?.set_methods(methods)?;
            }
            Input::SendMessage {
                endpoint,
                target,
                method,
                content,
                options,
            } => drop(
                self.endpoint(now, endpoint)?
                    .send_message(&target, method, content, options)?,
            ),
            Input::CreateSession { endpoint, target } => {
                self.endpoint(now, endpoint)?.create_session(&target)?;
            }
            Input::Invite {
                endpoint,
                target,
                offer,
                options,
            } => {
                self.endpoint(now, endpoint)?.invite(&target, offer, options)?;
            }
            Input::Establish {
                session,
                offer,
                options,
            } => {
                self.session(now, session)?.establish(offer, options)?;
            }
            Input::Accept { session, content } => {
                self.session(now, session)?.accept(content)?;
            }
            Input::Reject {
                session,
                status,
                reason,
            } => self.session(now, session)?.reject(status, reason.as_deref())?,
            Input::Redirect {
                session,
                status,
                targets,
            } => {
                let targets: Vec<_> = targets.iter().map(String::as_str).collect();
                self.session(now, session)?.redirect(status, &targets)?;
            }
            Input::Provisional {
                session,
                status,
                content,
            } => self.session(now, session)?.provisional(status, content)?,
            Input::EarlyDialog { session } => {
                self.session(now, session)?.early_dialog()?;
            }
            Input::ProvisionalIn {
                session,
                early,
                status,
                content,
            } => self
                .session(now, session)?
                .provisional_in(early, status, content)?,
            Input::AcceptIn {
                session,
                early,
                content,
            } => {
                self.session(now, session)?.accept_in(early, content)?;
            }
            Input::Answer { session, answer } => self.session(now, session)?.answer(answer)?,
            Input::Renegotiate {
                session,
                method,
                offer,
            } => {
                self.session(now, session)?.renegotiate(method, offer)?;
            }
            Input::RenegotiateIn {
                session,
                early,
                offer,
            } => {
                self.session(now, session)?.renegotiate_in(early, offer)?;
            }
            Input::CancelRenegotiation { session } => {
                self.session(now, session)?.cancel_renegotiation();
            }
            Input::AcceptRenegotiation { session, content } => {
                self.session(now, session)?.accept_renegotiation(content)?;
            }
            Input::RejectRenegotiation {
                session,
                status,
                reason,
            } => self
                .session(now, session)?
                .reject_renegotiation(status, reason.as_deref())?,
            Input::Send {
                session,
                method,
                content,
                headers,
            } => {
                self.session(now, session)?.send(method, content, headers)?;
            }
            Input::Refer {
                session,
                target,
                headers,
            } => {
                self.session(now, session)?.refer(&target, headers)?;
            }
            Input::AcceptReferral {
                session,
                referral,
                call,
            } => self.session(now, session)?.accept_referral(referral, call)?,
            Input::RejectReferral {
                session,
                referral,
                status,
            } => self.session(now, session)?.reject_referral(referral, status)?,
            Input::FollowRedirect { session, action } => {
                self.session(now, session)?.follow_redirect(action)?
            }
            Input::Attach { session, headers } => self.session(now, session)?.attach(headers)?,
            Input::TerminateSession { session } => {
                self.session(now, session)?.terminate();
            }
            Input::CreateSubscription {
                endpoint,
                target,
                options,
            } => {
                self.endpoint(now, endpoint)?
                    .create_subscription(&target, *options)?;
            }
            Input::SubscribeTo {
                endpoint,
                target,
                options,
            } => {
                self.endpoint(now, endpoint)?.subscribe(&target, *options)?;
            }
            Input::Subscribe { subscription } => {
                self.subscription(now, subscription)?.subscribe()?;
            }
            Input::Query { subscription } => {
                self.subscription(now, subscription)?.query()?;
            }
            Input::UpdateSubscription {
                subscription,
                content,
            } => {
                self.subscription(now, subscription)?.update(content)?;
            }
            Input::TerminateSubscription { subscription } => {
                self.subscription(now, subscription)?.terminate();
            }
            Input::AcceptWatcher {
                watcher,
                longest,
                content,
            } => self.watcher(now, watcher)?.accept(longest, content)?,
            Input::AcceptWatcherPending { watcher, longest } => {
                self.watcher(now, watcher)?.accept_pending(longest)?;
            }
            Input::RejectWatcher {
                watcher,
                status,
                reason,
            } => self.watcher(now, watcher)?.reject(status, reason.as_deref())?,
            Input::NotifyWatcher { watcher, content } => {
                self.watcher(now, watcher)?.notify(content)?;
            }
            Input::TerminateWatcher {
                watcher,
                end,
                content,
            } => {
                self.watcher(now, watcher)?.terminate(end, content)?;
            }
            Input::Publish {
                endpoint,
                target,
                options,
                content,
            } => drop(
                self.endpoint(now, endpoint)?
                    .publish(&target, *options, content)?,
            ),
            Input::ModifyPublication { publication, content } => {
                self.publication(now, publication)?.modify(content)?;
            }
            Input::RemovePublication { publication } => {
                self.publication(now, publication)?.remove();
            }
            Input::AnswerIncoming {
                incoming,
                status,
                reason,
                content,
                headers,
            } => self
                .incoming(now, incoming)?
                .answer(status, reason.as_deref(), content, &headers)?,
            Input::Hold { incoming } => self.incoming(now, incoming)?.hold()?,
        }
        Ok(())
    }
}
