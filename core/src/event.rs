//! What the stack tells the application, and how operations end.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::action::{CloseReason, ListenError, ResolveError, TlsFailure, Transport};
use crate::auth::{AuthenticationFailure, AuthenticationProtocol};
use crate::error::ParseError;
use crate::ids::{
    ConnId, EndpointId, IncomingId, ListenerId, ManagerId, OperationId, PublicationId, ReferralId, SessionId,
    SubscriptionId, WatcherId,
};
use crate::wire::{Message, StatusCode};

/// A body and its type; the stack does not look inside.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Content {
    /// The value of Content-Type, such as `text/plain;charset=UTF-8`.
    pub content_type: String,
    /// The bytes.
    pub body: Bytes,
}

impl Content {
    /// A body of this type.
    pub fn new(content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            body: body.into(),
        }
    }

    /// UTF-8 text as `text/plain`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new("text/plain;charset=UTF-8", Bytes::from(text.into()))
    }
}

impl fmt::Debug for Content {
    /// Shows type and length only: bodies are private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({}, {} bytes)", self.content_type, self.body.len())
    }
}

/// Something for the application. Events of one object come in order; after its terminated event nothing but
/// completions of its pending operations follows (rule X3).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Event {
    /// An operation is complete; it comes after the events that it caused (X3).
    Completed {
        /// The operation, as the command returned it.
        operation: OperationId,
        /// How it ended.
        result: Result<Completion, OperationError>,
    },
    /// The registration of a SipEndpoint changed (R1).
    Registration {
        /// Whose.
        endpoint: EndpointId,
        /// Before.
        old: RegistrationState,
        /// Now.
        new: RegistrationState,
        /// Why.
        reason: RegistrationReason,
        /// The connection that brought the change: over which the server answered, which was lost, or which could not be
        /// made. `None` for a command, and for a binding that ran out.
        conn: Option<ConnId>,
    },
    /// The endpoint and its server have made a security association: from now on each signs what it sends (A4).
    Associated {
        /// Whose.
        endpoint: EndpointId,
        /// How the user was proved.
        protocol: AuthenticationProtocol,
        /// To what the user has logged on.
        realm: String,
        /// The server, by its own name.
        target: String,
        /// What is signed: version 2, 3 or 4 of MS-SIPAE.
        version: u32,
    },
    /// The server has sent the endpoint to another one; or it is back at the server that it was told, since the other one
    /// failed or it registers anew (R9).
    ServerChanged {
        /// Whose.
        endpoint: EndpointId,
        /// The new server.
        host: String,
        /// Its port, where it was named.
        port: Option<u16>,
    },
    /// The server had lost the endpoint, which wanted to refresh its registration, and has taken it anew (R14). Its
    /// established sessions count as dead: each ends with [`SessionReason::SessionDoesNotExist`]. What it has subscribed to
    /// or published there is to be made again.
    Forgotten {
        /// Whose.
        endpoint: EndpointId,
        /// The connection over which the server said so.
        conn: Option<ConnId>,
    },
    /// The state of a peer-to-peer endpoint changed (P1).
    PeerToPeer {
        /// Whose.
        endpoint: EndpointId,
        /// Before.
        old: PeerToPeerState,
        /// Now.
        new: PeerToPeerState,
        /// Why.
        reason: PeerToPeerReason,
    },
    /// The connection of a registered endpoint is gone and is being made anew; one event for a stretch of outage (R7).
    Outage {
        /// Whose.
        endpoint: EndpointId,
        /// What happened to the connection or the refresh.
        error: OperationError,
        /// The connection to the server that was lost, that could not be made, or over which the refresh failed.
        conn: Option<ConnId>,
    },
    /// A request outside a session arrived (M1). Answer it through [`Stack::incoming`](crate::Stack::incoming); if it
    /// is let pass it is answered 200 (M4).
    MessageReceived {
        /// The endpoint that it is for.
        endpoint: EndpointId,
        /// The name of the request; for a BENOTIFY there is nothing to answer (M3).
        incoming: IncomingId,
        /// The request.
        message: Box<Message>,
    },
    /// A session was offered by an INVITE; it is in state Incoming (S2).
    SessionReceived {
        /// The endpoint that it is for.
        endpoint: EndpointId,
        /// The new session.
        session: SessionId,
        /// The INVITE; its body is the offer, where it has one.
        message: Box<Message>,
        /// The session that it is to take the place of (RFC 3891): when this one is accepted, the stack ends it (S14).
        replaces: Option<SessionId>,
    },
    /// A session changed its state (S1).
    Session {
        /// Which.
        session: SessionId,
        /// Before.
        old: SessionState,
        /// Now.
        new: SessionState,
        /// Why.
        reason: SessionReason,
    },
    /// A provisional response (101 to 199) to our INVITE, from whichever fork (S8).
    Provisional {
        /// Which session.
        session: SessionId,
        /// The response.
        message: Box<Message>,
    },
    /// The peer's offer came in the 2xx to an INVITE without one: give the answer with
    /// [`answer`](crate::SessionView::answer); the ACK waits for it (S5).
    OfferReceived {
        /// Which session.
        session: SessionId,
        /// The offer.
        offer: Content,
    },
    /// The route set of an established session is being recovered, or is healthy again (S17).
    Route {
        /// The session.
        session: SessionId,
        /// What it is now.
        state: RouteState,
        /// What has failed, where it is being recovered.
        error: Option<OperationError>,
    },
    /// The peer's answer to our offer (S5).
    AnswerReceived {
        /// Which session.
        session: SessionId,
        /// The answer.
        answer: Content,
    },
    /// The peer offers a change of the session, by re-INVITE or UPDATE (S6). Decide with
    /// [`accept_renegotiation`](crate::SessionView::accept_renegotiation) or
    /// [`reject_renegotiation`](crate::SessionView::reject_renegotiation); what is not decided in
    /// [`answer_timeout`](crate::Config::answer_timeout) is answered 500.
    RenegotiationReceived {
        /// Which session.
        session: SessionId,
        /// The offer. A re-INVITE without one asks for ours, which the peer answers in its ACK.
        offer: Option<Content>,
        /// The request.
        message: Box<Message>,
    },
    /// The peer has cancelled its change, or it was not decided in time: the session is as it was (S6).
    RenegotiationWithdrawn {
        /// Which session.
        session: SessionId,
    },
    /// A request inside a session arrived (S15); answered as with [`Event::MessageReceived`].
    SessionMessage {
        /// Which session.
        session: SessionId,
        /// The name of the request.
        incoming: IncomingId,
        /// The request.
        message: Box<Message>,
    },
    /// The callee has sent the call elsewhere, or it has failed where it was sent to and there are other targets (S13): decide
    /// with [`follow_redirect`](crate::SessionView::follow_redirect). It is asked of endpoints whose profile has
    /// [`redirects`](crate::Profile::redirects).
    Redirected {
        /// Which session.
        session: SessionId,
        /// The target to decide about.
        target: String,
        /// Those after it, the best first.
        others: Vec<String>,
        /// How the last attempt failed: by a 3xx, or how the call to the last target did.
        error: OperationError,
    },
    /// A session has to be refreshed, and its peer takes no UPDATE: negotiate anew, or the session ends when its interval is
    /// over (S11).
    RefreshNeeded {
        /// Which session.
        session: SessionId,
    },
    /// The peer ends the session with this BYE or CANCEL, which says why (S19, S20):
    /// [`Explanation::of`](crate::Explanation::of). The change of the state follows. Where it says nothing there is no such
    /// event.
    Explained {
        /// Which session.
        session: SessionId,
        /// The request.
        message: Box<Message>,
    },
    /// A REFER of ours has come so far (S14).
    Referral {
        /// In which session.
        session: SessionId,
        /// Which, as the command has named it.
        referral: ReferralId,
        /// How far.
        state: ReferralState,
        /// What the peer has answered, or what it says that it was answered.
        status: Option<StatusCode>,
    },
    /// The peer asks to call somebody (S14). Make the call with [`invite`](crate::EndpointView::invite) and name it with
    /// [`accept_referral`](crate::SessionView::accept_referral), or
    /// [`reject_referral`](crate::SessionView::reject_referral); who does neither within
    /// [`Config::answer_timeout`](crate::Config::answer_timeout) has it answered 500.
    ReferReceived {
        /// In which session.
        session: SessionId,
        /// Its name.
        referral: ReferralId,
        /// Whom to call: the URI of Refer-To without header fields.
        target: String,
        /// What the INVITE is to carry: the header fields of that URI that are the application's to give, Replaces
        /// among them, and Referred-By as it came.
        headers: ExtraHeaders,
        /// The request.
        message: Box<Message>,
    },
    /// A subscription changed its state (B1).
    Subscription {
        /// Which.
        subscription: SubscriptionId,
        /// Before.
        old: SubscriptionState,
        /// Now.
        new: SubscriptionState,
        /// Why.
        reason: SubscriptionReason,
    },
    /// A SUBSCRIBE has reached more than one notifier, and a further one has sent its NOTIFY, which follows: it is a
    /// subscription of its own from now on, in state Subscribed (B2).
    SubscriptionForked {
        /// The one that was commanded.
        of: SubscriptionId,
        /// The new one.
        subscription: SubscriptionId,
    },
    /// A NOTIFY arrived in a subscription; it has been answered (B1).
    Notified {
        /// Which.
        subscription: SubscriptionId,
        /// The NOTIFY; its body is the state, where it has one.
        message: Box<Message>,
    },
    /// Somebody wants to subscribe to a state of an endpoint (B5): answer with [`WatcherView`](crate::WatcherView); what the
    /// application does not answer is answered 500 after [`Config::answer_timeout`](crate::Config::answer_timeout) (M9).
    WatcherReceived {
        /// The endpoint that it is for.
        endpoint: EndpointId,
        /// The new subscription.
        watcher: WatcherId,
        /// The SUBSCRIBE.
        message: Box<Message>,
    },
    /// The subscriber has refreshed its subscription, or ended it, or sent another body; it has been answered, and gets the
    /// state that was notified last once more (B5).
    WatcherRefreshed {
        /// Which.
        watcher: WatcherId,
        /// The SUBSCRIBE.
        message: Box<Message>,
    },
    /// A subscription of somebody is over (B5).
    WatcherEnded {
        /// Which.
        watcher: WatcherId,
        /// Why.
        reason: WatcherReason,
    },
    /// A published state changed its standing at the server (B6).
    Publication {
        /// Whose.
        endpoint: EndpointId,
        /// Which.
        publication: PublicationId,
        /// Before.
        old: PublicationState,
        /// Now.
        new: PublicationState,
        /// Why.
        reason: PublicationReason,
    },
    /// Listening began, or its address has changed; the port is the one in use (C14).
    Listening {
        /// Which listener.
        listener: ListenerId,
        /// The address.
        address: SocketAddr,
    },
    /// Listening ended, by command (`None`), or because it could not begin or go on (C14).
    ListeningEnded {
        /// Which listener.
        listener: ListenerId,
        /// What went wrong.
        error: Option<ListenError>,
    },
    /// A connection is up, and held until the application decides on it with
    /// [`Stack::allow_connection`](crate::Stack::allow_connection) or
    /// [`Stack::deny_connection`](crate::Stack::deny_connection), now or later (C21).
    /// [`Stack::connection`](crate::Stack::connection) says more of it. [`Event::ConnectionAdded`] or
    /// [`Event::ConnectionRemoved`] follows.
    AuthorizationRequested {
        /// Which.
        conn: ConnId,
        /// Of which manager.
        manager: ManagerId,
        /// The other end.
        remote: SocketAddr,
        /// Whether the peer made it.
        incoming: bool,
        /// What it speaks.
        transport: Transport,
        /// As in [`Event::ConnectionAdded`].
        matched: Option<String>,
    },
    /// A connection is ready for data (C16).
    ConnectionAdded {
        /// Which.
        conn: ConnId,
        /// Of which manager.
        manager: ManagerId,
        /// The other end.
        remote: SocketAddr,
        /// Whether the peer made it.
        incoming: bool,
        /// What it speaks.
        transport: Transport,
        /// Over TLS, the name that its certificate was accepted for: the host, or the entry of the allow list (C17, C18).
        matched: Option<String>,
    },
    /// A connection that was ready, or held for the application to decide, is gone (C16).
    ConnectionRemoved {
        /// Which.
        conn: ConnId,
        /// Of which manager.
        manager: ManagerId,
        /// The other end.
        remote: SocketAddr,
        /// Whether the peer made it.
        incoming: bool,
        /// What it spoke.
        transport: Transport,
        /// As in [`Event::ConnectionAdded`].
        matched: Option<String>,
        /// Why.
        reason: RemovalReason,
    },
    /// A server manager has its first connection to a next hop, which may still be on its way (C3, C16).
    PoolAdded {
        /// Of which manager.
        manager: ManagerId,
        /// The host that was asked for, before any look-up.
        host: String,
        /// The port that was asked for, where one was.
        port: Option<u16>,
        /// What its connections speak.
        transport: Transport,
    },
    /// The last connection of a pool has left it (C16): [`Event::ConnectionRemoved`] says why, before, or later where it is
    /// still sending its last bytes. Of one that never was ready, the request that wanted it says so.
    PoolRemoved {
        /// Of which manager.
        manager: ManagerId,
        /// As in [`Event::PoolAdded`].
        host: String,
        /// As in [`Event::PoolAdded`].
        port: Option<u16>,
        /// What its connections spoke.
        transport: Transport,
    },
    /// A connection has too much outstanding, or no more (C22).
    ConnectionThrottled {
        /// Which.
        conn: ConnId,
        /// Whether new requests over it fail from now on.
        throttled: bool,
    },
    /// A peer that connected to us could not be talked to over TLS (C28).
    IncomingTlsFailed {
        /// Which manager listened.
        manager: ManagerId,
        /// Who it was.
        remote: SocketAddr,
        /// Why.
        failure: TlsFailure,
    },
    /// The endpoint is gone (E13); only completions of its pending operations follow.
    EndpointTerminated {
        /// Which.
        endpoint: EndpointId,
    },
}

impl Event {
    /// Whether it brings a request of a peer.
    pub(crate) const fn brings_request(&self) -> bool {
        matches!(
            self,
            Self::MessageReceived { .. }
                | Self::SessionMessage { .. }
                | Self::SessionReceived { .. }
                | Self::RenegotiationReceived { .. }
                | Self::Notified { .. }
                | Self::WatcherReceived { .. }
                | Self::WatcherRefreshed { .. }
                | Self::ReferReceived { .. }
        )
    }
}

/// How an operation succeeded.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum Completion {
    /// By this final response.
    Response(Box<Message>),
    /// Nothing more to say.
    Done,
}

impl Completion {
    /// The response, where there is one.
    pub fn response(&self) -> Option<&Message> {
        match self {
            Self::Response(message) => Some(message),
            Self::Done => None,
        }
    }
}

/// Why an operation failed (X4, after the UCMA tree).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum OperationError {
    /// No connection to the next hop could be made, or it was lost while the request was on it.
    ConnectionFailure(ConnectionFailure),
    /// TLS could not be set up, found at this side (C27).
    Tls(TlsFailure),
    /// No final response in time.
    Timeout,
    /// The response cannot be understood.
    MessageParsing(ParseError),
    /// A final response of 300 to 699.
    FailureResponse(Box<Message>),
    /// The server refused the registration.
    Register {
        /// The kind of refusal.
        reason: RegistrationReason,
        /// The response.
        response: Box<Message>,
    },
    /// The server's challenge could not be met (A7).
    Authentication {
        /// Why.
        failure: AuthenticationFailure,
        /// The challenge.
        response: Box<Message>,
    },
    /// Ended by something else than the network.
    OperationFailure(OperationFailure),
}

impl OperationError {
    /// The response that ended the operation, where one did.
    pub fn response(&self) -> Option<&Message> {
        match self {
            Self::FailureResponse(response)
            | Self::Register { response, .. }
            | Self::Authentication { response, .. } => Some(response),
            Self::ConnectionFailure(_)
            | Self::Tls(_)
            | Self::Timeout
            | Self::MessageParsing(_)
            | Self::OperationFailure(_) => None,
        }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionFailure(failure) => write!(f, "{failure}"),
            Self::Tls(failure) => write!(f, "TLS: {failure}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::MessageParsing(error) => write!(f, "the response is malformed: {error}"),
            Self::FailureResponse(response) | Self::Register { response, .. } => write_status(f, response),
            Self::Authentication { failure, .. } => write!(f, "{failure}"),
            Self::OperationFailure(failure) => write!(f, "{failure}"),
        }
    }
}

fn write_status(f: &mut fmt::Formatter<'_>, response: &Message) -> fmt::Result {
    let code = response.status().map_or(0, StatusCode::code);
    write!(f, "{code} {}", String::from_utf8_lossy(response.reason()))
}

impl core::error::Error for OperationError {}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum ConnectionFailure {
    /// The name of the next hop did not resolve.
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        error: ResolveError,
    },
    /// The last address tried.
    Connect {
        /// It.
        remote: SocketAddr,
        /// What happened there.
        reason: CloseReason,
    },
    /// The connection was lost while the request was on it.
    Lost(CloseReason),
    /// This side closed the connection while the request was on it.
    Closed(RemovalReason),
    /// The endpoint makes no connection: it was registered without automatic refresh and its connection dropped (R5).
    NotConnected,
    /// A limit on connections or on queued bytes was reached (C30, C31).
    Limit(&'static str),
    /// The next hop asks for a transport that the manager does not have.
    NoTransport(&'static str),
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, error } => write!(f, "cannot resolve {host}: {error}"),
            Self::Connect { remote, reason } => write!(f, "cannot connect to {remote}: {reason}"),
            Self::Lost(reason) => write!(f, "connection lost: {reason}"),
            Self::Closed(reason) => write!(f, "connection closed: {reason}"),
            Self::NotConnected => f.write_str("not connected: register first"),
            Self::Limit(what) => write!(f, "the limit of {what} is reached"),
            Self::NoTransport(what) => write!(f, "{what}"),
        }
    }
}

/// Ends that no response and no connection caused (X4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum OperationFailure {
    /// By the application.
    Aborted,
    /// Its endpoint was terminated.
    EndpointTerminated,
    /// Its session ended first.
    SessionTerminated,
    /// A limit of the stack was reached.
    LimitReached,
    /// The application denied the connection that it needed, or did not allow it in time (C21).
    ConnectionNotAuthorized,
    /// Its connection has too much outstanding (C22).
    ConnectionThrottled,
}

impl fmt::Display for OperationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "aborted",
            Self::EndpointTerminated => "the endpoint was terminated",
            Self::SessionTerminated => "the session ended",
            Self::LimitReached => "a limit of the stack is reached",
            Self::ConnectionNotAuthorized => "the application did not allow the connection",
            Self::ConnectionThrottled => "the connection has too much outstanding",
        })
    }
}

/// R1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum RegistrationState {
    /// The server does not know this endpoint.
    Unregistered,
    /// The first REGISTER is under way.
    Registering,
    /// The server sends us what is for this endpoint.
    Registered,
    /// The last REGISTER is under way.
    Unregistering,
}

/// R8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum RegistrationReason {
    /// By command.
    None,
    /// The server has more endpoints of this user than it allows.
    TooManyActiveEndpoints,
    /// The user was changed or removed at the server.
    UserChanged,
    /// The user has another home server.
    UserMoved,
    /// No answer in time.
    Timeout,
    /// The credentials are good but not for this URI.
    UnauthorizedAccess,
    /// The credentials are not good.
    Credentials,
    /// The handshake failed for another reason.
    Authentication,
    /// No connection could be made.
    ConnectionFailure,
    /// The connection is gone and is not made anew (R5).
    ConnectionDropped,
    /// The server refused a refresh, or the binding ran out.
    RefreshFailed,
    /// The server prefers another one.
    PreferredRegistrarChanged,
    /// The server's user services are down.
    UserServicesUnavailable,
    /// The server refused the REGISTER with another response, which is attached to the operation.
    Refused,
}

/// P1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum PeerToPeerState {
    /// Can send, receives nothing.
    Disconnected,
    /// Listening begins.
    Connecting,
    /// Sends and receives.
    Connected,
    /// Listening ends.
    Disconnecting,
}

/// P1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum PeerToPeerReason {
    /// The manager listens.
    Listening,
    /// The manager could not listen.
    UnableToListen,
    /// The manager stopped listening.
    StoppedListening,
    /// The last listening address is gone.
    NoListeningAddresses,
    /// The endpoint was terminated.
    TerminatedLocally,
}

/// S1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum SessionState {
    /// Made, not yet established.
    Idle,
    /// Offered by the peer.
    Incoming,
    /// The INVITE is sent, or the 2xx waits for its ACK.
    Connecting,
    /// The peer has sent a provisional response.
    Alerted,
    /// The peer has redirected us.
    Redirecting,
    /// Established.
    Connected,
    /// Over.
    Disconnected,
}

/// S1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum SessionReason {
    /// By an operation that says it already.
    None,
    /// A provisional response arrived.
    ProvisionalResponseReceived,
    /// 486, 600, or another 6xx without a reason of its own.
    Busy,
    /// The caller gave up, or 487.
    Canceled,
    /// 603 or 605.
    Declined,
    /// 406 or another 4xx without a reason of its own.
    NotAcceptable,
    /// 488 or 606.
    NotAcceptableMedia,
    /// 481.
    SessionDoesNotExist,
    /// The session timer ran out.
    SessionTimerExpired,
    /// 480.
    TemporarilyUnavailable,
    /// By this side.
    TerminatedLocally,
    /// By a BYE of the peer.
    TerminatedRemotely,
    /// No response, or 408.
    Timeout,
    /// 404, 5xx, or no connection.
    Unreachable,
    /// The route set could not be recovered.
    RecoveryFailed,
}

/// Whether the requests of an established session find their way (S17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum RouteState {
    /// They do, as far as is known.
    Healthy,
    /// A proxy has lost what the route set stands for, and it is being recovered.
    Recovering,
}

/// What becomes of a call that was redirected (S13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum RedirectAction {
    /// Call the target, and ask again where it fails.
    TryThis,
    /// Call one target after the other until one answers, and ask no more.
    TryAll,
    /// Ask about the next target; without one the call has failed.
    Skip,
    /// The call has failed.
    GiveUp,
}

/// How far a REFER of ours has come (S14, RFC 3515).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum ReferralState {
    /// The peer will do it (2xx).
    Accepted,
    /// It does (100).
    Trying,
    /// Who is called has answered provisionally (101 to 199).
    Alerted,
    /// 2xx: the call is there. The end.
    Succeeded,
    /// 3xx. The end.
    Redirected,
    /// 400 to 699: the call did not come about. The end.
    Failed,
    /// The peer refused the REFER. The end.
    Rejected,
    /// The REFER was never answered. The end.
    Unanswered,
    /// The peer says no more, and has not said how it ended. The end.
    Lapsed,
}

impl ReferralState {
    /// What this status of the call that is made means.
    pub(crate) const fn of(status: StatusCode) -> Self {
        match status.code() {
            ..=100 => Self::Trying,
            101..=199 => Self::Alerted,
            200..=299 => Self::Succeeded,
            300..=399 => Self::Redirected,
            400.. => Self::Failed,
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Accepted | Self::Trying | Self::Alerted => false,
            Self::Succeeded
            | Self::Redirected
            | Self::Failed
            | Self::Rejected
            | Self::Unanswered
            | Self::Lapsed => true,
        }
    }
}

/// B1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum SubscriptionState {
    /// Made, not yet begun.
    Idle,
    /// A SUBSCRIBE is under way that is to make it, or to make it again.
    Subscribing,
    /// The notifier has it, and sends its state.
    Subscribed,
    /// The notifier is out of order, or wants to be asked again later: a SUBSCRIBE follows (B4).
    WaitingForRetry,
    /// The end is under way.
    Terminating,
    /// Over.
    Terminated,
}

/// B1; why a subscription came into its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum SubscriptionReason {
    /// By an operation that says it already, or as it was to be.
    None,
    /// By this side.
    TerminatedLocally,
    /// By the notifier, without a reason that is known.
    TerminatedRemotely,
    /// The server, or the way to it, is out of order (B4).
    TemporaryFailure,
    /// No NOTIFY came.
    Silent,
    /// A response that does not get better: the one of the operation, or to a refresh.
    Refused,
    /// 489: the notifier does not know the event package.
    BadEvent,
    /// 481: the notifier has no such subscription.
    SubscriptionDoesNotExist,
    /// The server had lost the endpoint, and its subscriptions with it (R14, B7).
    Forgotten,
    /// The endpoint is registered at another server than the one that has the subscription (B7).
    FailedOver,
    /// NOTIFY: ended, and to be made again at once.
    Deactivated,
    /// NOTIFY: ended, and to be made again later.
    Probation,
    /// NOTIFY: the notifier does not allow it any more.
    Rejected,
    /// NOTIFY: it was not refreshed in time.
    Expired,
    /// NOTIFY: nobody has allowed it in time.
    GivenUp,
    /// NOTIFY: what it is about is there no more.
    NoResource,
    /// NOTIFY: the state does not change any more.
    Invariant,
}

/// B6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum PublicationState {
    /// The whole state is on its way to the server.
    Publishing,
    /// The server has it.
    Published,
    /// The server is out of order: a PUBLISH follows.
    WaitingForRetry,
    /// It is about to be removed.
    Removing,
    /// Over.
    Removed,
}

/// B6; why a publication came into its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum PublicationReason {
    /// By an operation that says it already, or as it was to be.
    None,
    /// By this side.
    TerminatedLocally,
    /// The server, or the way to it, is out of order.
    TemporaryFailure,
    /// 412: the server did not have it any more.
    Stale,
    /// A response that does not get better: the one of the operation, or to a refresh.
    Refused,
    /// The server had lost the endpoint, and its publications with it (R14, B7).
    Forgotten,
    /// The endpoint is registered at another server than the one that has it (B7).
    FailedOver,
}

/// Why a subscription of somebody is over (B5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum WatcherReason {
    /// By this side.
    TerminatedLocally,
    /// The application has refused it.
    Rejected,
    /// The application has not answered it in time.
    Unanswered,
    /// It was to ask once, and was told.
    Queried,
    /// By the subscriber.
    Unsubscribed,
    /// It was not refreshed in time.
    Expired,
    /// The subscriber does not know it, or does not answer.
    SubscriptionDoesNotExist,
}

/// Why a connection is gone that was ready, or was held for the application to decide.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum RemovalReason {
    /// The other side or the network.
    Remote(CloseReason),
    /// No user for the linger time (C8).
    Released,
    /// No traffic for the idle time (C10).
    Idle,
    /// Nothing valid arrived in the first minute (C12).
    Unproven,
    /// Its framing was lost (C29).
    FramingLost(String),
    /// The send queue was full (C30), or the peer took no bytes for [`Config::write_timeout`](crate::Config::write_timeout)
    /// (R19).
    SlowReader,
    /// A request over it, or a keep-alive, was never answered: it is as good as dead (R19).
    Unanswered,
    /// Its local address is lost ([`Stack::network_changed`](crate::Stack::network_changed), R20).
    NetworkChanged,
    /// By command, or because its owner was terminated.
    Local,
    /// A limit was reached (C31).
    Limit(&'static str),
    /// The certificate does not fit (C17, C18).
    Untrusted(TlsFailure),
    /// The application denied it (C21).
    Denied,
    /// The application did not allow it in time (C21).
    NotAuthorized,
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(reason) => write!(f, "{reason}"),
            Self::Released => f.write_str("released and not used again"),
            Self::Idle => f.write_str("idle"),
            Self::Unproven => f.write_str("no valid message in time"),
            Self::FramingLost(why) => write!(f, "framing lost: {why}"),
            Self::SlowReader => f.write_str("the peer does not read"),
            Self::Unanswered => f.write_str("the peer does not answer"),
            Self::NetworkChanged => f.write_str("the network has changed"),
            Self::Local => f.write_str("closed by this side"),
            Self::Limit(what) => write!(f, "the limit of {what} is reached"),
            Self::Untrusted(failure) => write!(f, "{failure}"),
            Self::Denied => f.write_str("denied by the application"),
            Self::NotAuthorized => f.write_str("not allowed by the application in time"),
        }
    }
}

/// One name and value for a header field that the application adds; checked before anything is sent (E11).
pub type ExtraHeaders = Vec<(String, String)>;
