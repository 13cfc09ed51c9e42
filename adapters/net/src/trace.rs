//! What an adapter traces: each action of a stack and each thing that its sockets saw, as `tracing` events with fields.
//!
#![doc = include_str!("trace.md")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each function has its own kinds of events, and the stack may get new ones"
)]

use std::net::SocketAddr;

use sansip::security::KerberosFailure;
use sansip::wire::{Message, Method, StatusCode};
use sansip::{
    Action, Answer, CloseReason, ConnId, Established, Event, Explanation, ListenError, ListenerId,
    OperationError, QueryId, Question, Reason, RegistrationReason, RegistrationState, RemovalReason,
    ResolveError, TlsFailureKind,
};
use tracing::field::display;
use tracing::{debug, info, trace, warn};

use crate::kerberos::Authenticated;

const REGISTRATION: &str = "sansip::registration";
const ENDPOINT: &str = "sansip::endpoint";
const SESSION: &str = "sansip::session";
const SUBSCRIPTION: &str = "sansip::subscription";
const MESSAGE: &str = "sansip::message";
const OPERATION: &str = "sansip::operation";
const LISTENER: &str = "sansip::listener";
const CONNECTION: &str = "sansip::connection";
const DNS: &str = "sansip::dns";
const TIMER: &str = "sansip::timer";

/// What a stack wants, or tells its application.
pub fn action(action: &Action) {
    match action {
        Action::Connect(to) => {
            let (conn, manager, remote, tls) = (to.conn, to.manager, to.remote, to.tls.as_deref());
            debug!(target: CONNECTION, %conn, %manager, %remote, tls, "connect");
        }
        Action::Close(conn) => debug!(target: CONNECTION, %conn, "close"),
        Action::Reading(conn, on) => trace!(target: CONNECTION, %conn, on, "reading"),
        // The bytes are traced when the socket has taken them.
        Action::Transmit(_) => {}
        Action::Listen {
            listener,
            manager,
            address,
            transport,
        } => debug!(target: LISTENER, %listener, %manager, %address, %transport, "listen"),
        Action::StopListening(listener) => debug!(target: LISTENER, %listener, "stop listening"),
        Action::Resolve { query, question } => {
            let (kind, name) = match question {
                Question::Naptr(name) => ("naptr", name),
                Question::Srv(name) => ("srv", name),
                Question::Addresses(name) => ("addresses", name),
            };
            debug!(target: DNS, %query, kind, name, "resolve");
        }
        Action::Authenticate(wanted) => {
            debug!(target: REGISTRATION, endpoint = %wanted.endpoint, handshake = %wanted.handshake, server = wanted.target, "context wanted");
        }
        Action::Event(told) => event(told),
    }
}

/// What came of a security context of Kerberos. What the library said is not traced: it names users.
pub fn authenticated(answer: &Authenticated) {
    let (endpoint, handshake) = (answer.endpoint, answer.handshake);
    match &answer.result {
        Ok(context) => {
            let seconds = context.lifetime.map(|lifetime| lifetime.as_secs());
            debug!(target: REGISTRATION, %endpoint, %handshake, seconds, "context made");
        }
        Err(failure) => {
            warn!(target: REGISTRATION, %endpoint, %handshake, error = ?failure.kind, "no context");
        }
    }
}

/// Something for the application.
fn event(event: &Event) {
    match event {
        Event::Completed { operation, result } => match result {
            Ok(completion) => {
                let status = completion.response().and_then(status_of);
                debug!(target: OPERATION, %operation, status, "completed");
            }
            Err(error) => {
                let (detail, status) = (detail_of(error), error.response().and_then(status_of));
                warn!(target: OPERATION, %operation, error = error_kind(error), detail, status, "failed");
            }
        },
        Event::Registration { .. }
        | Event::Outage { .. }
        | Event::Forgotten { .. }
        | Event::Associated { .. }
        | Event::ServerChanged { .. } => registration(event),
        Event::PeerToPeer {
            endpoint,
            old,
            new,
            reason,
        } => info!(target: ENDPOINT, %endpoint, ?old, ?new, ?reason, "peer to peer"),
        Event::EndpointTerminated { endpoint } => info!(target: ENDPOINT, %endpoint, "endpoint terminated"),
        Event::MessageReceived {
            endpoint,
            incoming,
            message,
        } => {
            let (method, bytes) = (method_of(message), message.body_bytes().len());
            debug!(target: MESSAGE, %endpoint, %incoming, method, bytes, "message received");
        }
        Event::SessionMessage {
            session,
            incoming,
            message,
        } => {
            let (method, bytes) = (method_of(message), message.body_bytes().len());
            debug!(target: MESSAGE, %session, %incoming, method, bytes, "message received");
        }
        Event::SessionReceived { .. }
        | Event::Session { .. }
        | Event::Provisional { .. }
        | Event::OfferReceived { .. }
        | Event::AnswerReceived { .. }
        | Event::Explained { .. }
        | Event::Redirected { .. }
        | Event::RefreshNeeded { .. }
        | Event::Route { .. }
        | Event::Referral { .. }
        | Event::ReferReceived { .. }
        | Event::RenegotiationReceived { .. }
        | Event::RenegotiationWithdrawn { .. } => session(event),
        Event::Subscription { .. }
        | Event::SubscriptionForked { .. }
        | Event::Notified { .. }
        | Event::WatcherReceived { .. }
        | Event::WatcherRefreshed { .. }
        | Event::WatcherEnded { .. }
        | Event::Publication { .. } => subscription(event),
        Event::Listening { listener, address } => info!(target: LISTENER, %listener, %address, "listening"),
        Event::ListeningEnded {
            listener,
            error: None,
        } => info!(target: LISTENER, %listener, "listening ended"),
        Event::ListeningEnded {
            listener,
            error: Some(detail),
        } => warn!(target: LISTENER, %listener, %detail, "listening ended"),
        Event::AuthorizationRequested { .. }
        | Event::ConnectionAdded { .. }
        | Event::ConnectionRemoved { .. }
        | Event::ConnectionThrottled { .. }
        | Event::PoolAdded { .. }
        | Event::PoolRemoved { .. }
        | Event::IncomingTlsFailed { .. } => connection(event),
        // A kind that is younger than this list.
        _ => debug!(target: ENDPOINT, "other"),
    }
}

fn registration(event: &Event) {
    match event {
        Event::Registration {
            endpoint,
            old,
            new,
            reason,
            conn,
        } => {
            let conn = conn.map(display);
            if *new == RegistrationState::Unregistered && *reason != RegistrationReason::None {
                warn!(target: REGISTRATION, %endpoint, ?old, ?new, ?reason, conn, "registration");
            } else {
                info!(target: REGISTRATION, %endpoint, ?old, ?new, ?reason, conn, "registration");
            }
        }
        Event::Outage {
            endpoint,
            error,
            conn,
        } => {
            let (conn, status) = (conn.map(display), error.response().and_then(status_of));
            let (detail, error) = (detail_of(error), error_kind(error));
            warn!(target: REGISTRATION, %endpoint, conn, error, detail, status, "outage");
        }
        Event::Forgotten { endpoint, conn } => {
            let conn = conn.map(display);
            warn!(target: REGISTRATION, %endpoint, conn, "forgotten");
        }
        Event::ServerChanged { endpoint, host, port } => {
            info!(target: REGISTRATION, %endpoint, host, port, "server changed");
        }
        Event::Associated {
            endpoint,
            protocol,
            realm,
            target,
            version,
        } => {
            info!(target: REGISTRATION, %endpoint, ?protocol, realm, server = target, version, "associated");
        }
        _ => {}
    }
}

fn session(event: &Event) {
    match event {
        Event::SessionReceived {
            endpoint,
            session,
            message,
            replaces,
        } => {
            let (bytes, replaces) = (message.body_bytes().len(), replaces.map(display));
            info!(target: SESSION, %endpoint, %session, bytes, replaces, "session received");
        }
        Event::Session {
            session,
            old,
            new,
            reason,
        } => info!(target: SESSION, %session, ?old, ?new, ?reason, "session"),
        Event::Provisional { session, message } => {
            debug!(target: SESSION, %session, status = status_of(message), "provisional");
        }
        Event::OfferReceived { session, offer } => {
            debug!(target: SESSION, %session, bytes = offer.body.len(), "offer");
        }
        Event::AnswerReceived { session, answer } => {
            debug!(target: SESSION, %session, bytes = answer.body.len(), "answer");
        }
        Event::RefreshNeeded { session } => warn!(target: SESSION, %session, "refresh needed"),
        Event::Route {
            session,
            state,
            error,
        } => {
            let error = error.as_ref().map(ToString::to_string);
            warn!(target: SESSION, %session, ?state, error, "route");
        }
        Event::Redirected {
            session,
            others,
            error,
            ..
        } => info!(target: SESSION, %session, others = others.len(), %error, "redirected"),
        Event::Explained { session, message } => {
            let explanation = Explanation::of(message);
            let cause = explanation.reasons.first().and_then(|reason| reason.cause());
            let diagnostics = explanation.diagnostics.map(|it| it.id);
            info!(target: SESSION, %session, cause, diagnostics, "explained");
        }
        Event::Referral {
            session,
            referral,
            state,
            status,
        } => {
            let status = status.map(StatusCode::code);
            info!(target: SESSION, %session, %referral, ?state, status, "referral");
        }
        Event::ReferReceived {
            session, referral, ..
        } => info!(target: SESSION, %session, %referral, "refer received"),
        Event::RenegotiationReceived {
            session,
            offer,
            message,
        } => {
            let bytes = offer.as_ref().map_or(0, |offer| offer.body.len());
            info!(target: SESSION, %session, method = method_of(message), bytes, "renegotiation received");
        }
        Event::RenegotiationWithdrawn { session } => {
            info!(target: SESSION, %session, "renegotiation withdrawn");
        }
        _ => {}
    }
}

fn subscription(event: &Event) {
    match event {
        Event::Subscription {
            subscription,
            old,
            new,
            reason,
        } => info!(target: SUBSCRIPTION, %subscription, ?old, ?new, ?reason, "subscription"),
        Event::SubscriptionForked { of, subscription } => {
            info!(target: SUBSCRIPTION, %subscription, %of, "forked");
        }
        Event::Notified {
            subscription,
            message,
        } => {
            let bytes = message.body_bytes().len();
            debug!(target: SUBSCRIPTION, %subscription, bytes, "notified");
        }
        Event::Publication {
            endpoint,
            publication,
            old,
            new,
            reason,
        } => info!(target: SUBSCRIPTION, %endpoint, %publication, ?old, ?new, ?reason, "publication"),
        Event::WatcherReceived {
            endpoint, watcher, ..
        } => info!(target: SUBSCRIPTION, %endpoint, %watcher, "watcher received"),
        Event::WatcherRefreshed { watcher, .. } => {
            debug!(target: SUBSCRIPTION, %watcher, "watcher refreshed");
        }
        Event::WatcherEnded { watcher, reason } => {
            info!(target: SUBSCRIPTION, %watcher, ?reason, "watcher ended");
        }
        _ => {}
    }
}

fn connection(event: &Event) {
    match event {
        Event::AuthorizationRequested {
            conn,
            manager,
            remote,
            incoming,
            transport,
            matched,
        } => {
            debug!(target: CONNECTION, %conn, %manager, %remote, incoming, %transport, matched, "authorization requested");
        }
        Event::ConnectionAdded {
            conn,
            manager,
            remote,
            incoming,
            transport,
            matched,
        } => {
            debug!(target: CONNECTION, %conn, %manager, %remote, incoming, %transport, matched, "connection added")
        }
        Event::PoolAdded {
            manager,
            host,
            port,
            transport,
        } => debug!(target: CONNECTION, %manager, host, port, %transport, "pool added"),
        Event::PoolRemoved {
            manager,
            host,
            port,
            transport,
        } => debug!(target: CONNECTION, %manager, host, port, %transport, "pool removed"),
        Event::ConnectionRemoved {
            conn,
            manager,
            remote,
            incoming,
            transport,
            matched,
            reason: why,
        } => {
            let (reason, detail) = (removal_kind(why), display(why));
            let (socket, tls) = match why {
                RemovalReason::Remote(reason) => (Some(close_kind(reason)), tls_kind(reason)),
                RemovalReason::Untrusted(failure) => (None, Some(failure.kind)),
                _ => (None, None),
            };
            let tls = tls.map(tracing::field::debug);
            debug!(
                target: CONNECTION,
                %conn, %manager, %remote, incoming, %transport, matched, reason, socket, tls, %detail,
                "connection removed"
            );
        }
        Event::ConnectionThrottled { conn, throttled } => {
            warn!(target: CONNECTION, %conn, throttled, "connection throttled");
        }
        Event::IncomingTlsFailed {
            manager,
            remote,
            failure,
        } => {
            let detail = display(failure);
            warn!(target: CONNECTION, %manager, %remote, tls = ?failure.kind, %detail, "incoming tls failed");
        }
        _ => {}
    }
}

/// A listener has accepted a connection.
pub fn accepted(conn: ConnId, listener: ListenerId, local: SocketAddr, remote: SocketAddr) {
    debug!(target: CONNECTION, %conn, %listener, %local, %remote, "accepted");
}

/// A connection is ready, after TLS where there is TLS.
pub fn connected(conn: ConnId, established: &Established) {
    let Established { local, remote, peer } = established;
    let certificate = peer.as_deref().map(|peer| tracing::field::debug(&peer.dns_names));
    debug!(target: CONNECTION, %conn, %local, %remote, certificate, "connected");
}

/// A connection could not be made, or is gone: the socket's own words.
pub fn closed(conn: ConnId, reason: &CloseReason) {
    let (detail, tls) = (display(reason), tls_kind(reason).map(tracing::field::debug));
    debug!(target: CONNECTION, %conn, reason = close_kind(reason), tls, %detail, "closed");
}

/// The socket has taken so many bytes.
pub fn sent(conn: ConnId, bytes: usize) {
    trace!(target: CONNECTION, %conn, bytes, "sent");
}

/// So many bytes have arrived.
pub fn received(conn: ConnId, bytes: usize) {
    trace!(target: CONNECTION, %conn, bytes, "received");
}

/// The domain name system has answered.
pub fn resolved(query: QueryId, result: &Result<Answer, ResolveError>) {
    match result {
        Ok(Answer::Naptr { records, .. }) => {
            debug!(target: DNS, %query, kind = "naptr", answers = records.len(), "resolved");
        }
        Ok(Answer::Srv { records, .. }) => {
            debug!(target: DNS, %query, kind = "srv", answers = records.len(), "resolved");
        }
        Ok(Answer::Addresses { addresses, .. }) => {
            debug!(target: DNS, %query, kind = "addresses", answers = ?addresses, "resolved");
        }
        Err(detail) => warn!(target: DNS, %query, %detail, "not resolved"),
    }
}

/// A listener does not accept any more.
pub fn listener_lost(listener: ListenerId, detail: &ListenError) {
    debug!(target: LISTENER, %listener, %detail, "listener lost");
}

/// A deadline of the stack has come.
pub fn due(reason: Reason) {
    trace!(target: TIMER, %reason, "due");
}

fn status_of(message: &Message) -> Option<u16> {
    message.status().map(StatusCode::code)
}

fn method_of(message: &Message) -> &str {
    message.method().map_or("", Method::as_str)
}

/// What this side knows of a failure; of a response its status says enough, and its words are the peer's.
fn detail_of(error: &OperationError) -> Option<String> {
    match error {
        OperationError::FailureResponse(_) | OperationError::Register { .. } => None,
        OperationError::Authentication { failure, .. } => {
            let mut failure = failure.clone();
            // The words of the library name users.
            failure.kerberos = failure
                .kerberos
                .map(|kerberos| KerberosFailure::new(kerberos.kind));
            Some(failure.to_string())
        }
        OperationError::ConnectionFailure(_)
        | OperationError::Tls(_)
        | OperationError::Timeout
        | OperationError::MessageParsing(_)
        | OperationError::OperationFailure(_) => Some(error.to_string()),
    }
}

const fn error_kind(error: &OperationError) -> &'static str {
    match error {
        OperationError::ConnectionFailure(_) => "connection failure",
        OperationError::Tls(_) => "tls",
        OperationError::Timeout => "timeout",
        OperationError::MessageParsing(_) => "message parsing",
        OperationError::FailureResponse(_) => "failure response",
        OperationError::Register { .. } => "register",
        OperationError::Authentication { .. } => "authentication",
        OperationError::OperationFailure(_) => "operation failure",
    }
}

const fn close_kind(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Closed => "closed",
        CloseReason::Reset => "reset",
        CloseReason::Refused => "refused",
        CloseReason::Unreachable => "unreachable",
        CloseReason::TimedOut => "timed out",
        CloseReason::Tls(_) => "tls",
        CloseReason::Other(_) => "other",
    }
}

const fn tls_kind(reason: &CloseReason) -> Option<TlsFailureKind> {
    match reason {
        CloseReason::Tls(failure) => Some(failure.kind),
        CloseReason::Closed
        | CloseReason::Reset
        | CloseReason::Refused
        | CloseReason::Unreachable
        | CloseReason::TimedOut
        | CloseReason::Other(_) => None,
    }
}

const fn removal_kind(reason: &RemovalReason) -> &'static str {
    match reason {
        RemovalReason::Remote(_) => "remote",
        RemovalReason::Released => "released",
        RemovalReason::Idle => "idle",
        RemovalReason::Unproven => "unproven",
        RemovalReason::FramingLost(_) => "framing lost",
        RemovalReason::SlowReader => "slow reader",
        RemovalReason::Unanswered => "unanswered",
        RemovalReason::NetworkChanged => "network changed",
        RemovalReason::Local => "local",
        RemovalReason::Limit(_) => "limit",
        RemovalReason::Untrusted(_) => "untrusted",
        RemovalReason::Denied => "denied",
        RemovalReason::NotAuthorized => "not authorized",
    }
}
