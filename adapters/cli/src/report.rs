//! Events of the stack as lines.

use sansip::wire::{HeaderName, Message, StatusCode, header};
use sansip::{
    Completion, Counters, Event, Explanation, PeerToPeerReason, PeerToPeerState, PublicationReason,
    PublicationState, ReferralState, RegistrationReason, RegistrationState, RouteState, SessionReason,
    SessionState, SubscriptionReason, SubscriptionState, WatcherReason,
};
use serde_json::{Map, Value, json};

use crate::explain::explain;
use crate::output::Output;

/// How much of a text message is shown.
const TEXT: usize = 2000;

/// Prints what a stack has counted: all of it where programs read, what is more than zero where people do.
pub(crate) fn counters(out: Output, counters: &Counters) {
    let (mut all, mut words) = (Map::new(), String::from("counted:"));
    counters.for_each(|name, value| {
        all.insert(name.to_owned(), json!(value));
        if value > 0 {
            words.push_str(&format!(" {name}={value}"));
        }
    });
    out.event("counters", words, vec![("counters", Value::Object(all))]);
}

/// Prints an event.
pub(crate) fn print(out: Output, event: &Event) {
    match event {
        Event::Completed { operation, result } => {
            let id = ("operation", json!(operation.number()));
            match result {
                Ok(Completion::Done) if !out.is_json() => {}
                Ok(Completion::Done) => out.event("completed", "", vec![id]),
                Ok(Completion::Response(response)) => {
                    let words = format!("{} answered {}", method_of(response), status_line(response));
                    let mut fields = vec![id, ("method", json!(method_of(response)))];
                    fields.extend(status_fields(response));
                    out.event("completed", words, fields);
                }
                Err(error) => {
                    let mut fields = vec![id, ("error", json!(explain(error)))];
                    fields.extend(error.response().map(status_fields).unwrap_or_default());
                    out.event("failed", format!("failed: {error}"), fields);
                }
            }
        }
        Event::Registration {
            endpoint,
            new,
            reason,
            ..
        } => {
            let (state, why) = (registration_state(*new), registration_reason(*reason));
            let fields = vec![
                ("endpoint", json!(endpoint.number())),
                ("state", json!(state)),
                ("reason", json!(format!("{reason:?}"))),
            ];
            out.event("registration", join(state, why), fields);
        }
        Event::PeerToPeer {
            endpoint,
            new,
            reason,
            ..
        } => {
            let (state, why) = (peer_to_peer_state(*new), peer_to_peer_reason(*reason));
            let fields = vec![
                ("endpoint", json!(endpoint.number())),
                ("state", json!(state)),
                ("reason", json!(format!("{reason:?}"))),
            ];
            out.event("peer_to_peer", join(&format!("endpoint {state}"), why), fields);
        }
        Event::Outage { endpoint, error, .. } => {
            let fields = vec![
                ("endpoint", json!(endpoint.number())),
                ("error", json!(explain(error))),
            ];
            out.event(
                "outage",
                format!("lost the server: {error}; trying again"),
                fields,
            );
        }
        Event::Forgotten { endpoint, .. } => {
            out.event(
                "forgotten",
                "the server had lost this endpoint, and has it again",
                vec![("endpoint", json!(endpoint.number()))],
            );
        }
        Event::Associated {
            endpoint,
            protocol,
            realm,
            target,
            version,
        } => {
            let fields = vec![
                ("endpoint", json!(endpoint.number())),
                ("protocol", json!(protocol.to_string())),
                ("realm", json!(realm)),
                ("target", json!(target)),
                ("version", json!(version)),
            ];
            let words =
                format!("logged on to {target} with {protocol}, every message is signed (version {version})");
            out.event("associated", words, fields);
        }
        Event::ServerChanged { endpoint, host, port } => {
            let fields = vec![
                ("endpoint", json!(endpoint.number())),
                ("host", json!(host)),
                ("port", json!(port)),
            ];
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            out.event(
                "server_changed",
                format!("sent to another server: {host}{port}"),
                fields,
            );
        }
        Event::EndpointTerminated { endpoint } => {
            out.event(
                "terminated",
                "endpoint ended",
                vec![("endpoint", json!(endpoint.number()))],
            );
        }
        _ => requests(out, event),
    }
}

/// Sessions and requests.
fn requests(out: Output, event: &Event) {
    match event {
        Event::MessageReceived { message, .. } => received(out, None, message),
        Event::SessionMessage { session, message, .. } => received(out, Some(session.number()), message),
        Event::SessionReceived { session, message, .. } => {
            let fields = vec![
                ("session", json!(session.number())),
                ("from", json!(from(message))),
                ("call_id", json!(message.call_id().ok())),
            ];
            out.event("session_received", format!("call from {}", from(message)), fields);
        }
        Event::Session {
            session, new, reason, ..
        } => {
            let (state, why) = (session_state(*new), session_reason(*reason));
            let fields = vec![
                ("session", json!(session.number())),
                ("state", json!(state)),
                ("reason", json!(format!("{reason:?}"))),
            ];
            out.event("session", join(&format!("call {state}"), why), fields);
        }
        Event::Provisional { session, message } => {
            let mut fields = vec![("session", json!(session.number()))];
            fields.extend(status_fields(message));
            out.event("provisional", status_line(message), fields);
        }
        Event::OfferReceived { session, offer } => {
            let fields = vec![
                ("session", json!(session.number())),
                ("content_type", json!(offer.content_type)),
            ];
            out.event("offer", format!("offer received: {}", offer.content_type), fields);
        }
        Event::AnswerReceived { session, answer } => {
            let fields = vec![
                ("session", json!(session.number())),
                ("content_type", json!(answer.content_type)),
            ];
            out.event(
                "answer",
                format!("answer received: {}", answer.content_type),
                fields,
            );
        }
        Event::Route {
            session,
            state,
            error,
        } => {
            let (name, line) = match state {
                RouteState::Healthy => ("healthy", String::from("the route is healthy again")),
                RouteState::Recovering => ("recovering", String::from("the route is being recovered")),
            };
            let fields = vec![
                ("session", json!(session.number())),
                ("state", json!(name)),
                ("error", json!(error.as_ref().map(ToString::to_string))),
            ];
            out.event("route", line, fields);
        }
        Event::RefreshNeeded { session } => {
            let fields = vec![("session", json!(session.number()))];
            out.event("refresh_needed", "the call has to be negotiated anew", fields);
        }
        Event::Redirected { session, target, .. } => {
            let fields = vec![("session", json!(session.number())), ("target", json!(target))];
            out.event("redirected", format!("redirected to {target}"), fields);
        }
        Event::Explained { session, message } => {
            let Explanation {
                reasons, diagnostics, ..
            } = Explanation::of(message);
            let mut why: Vec<String> = reasons.iter().map(header::to_string).collect();
            why.extend(diagnostics.map(|it| it.reason().unwrap_or_else(|| it.id.to_string())));
            let why = why.join(", ");
            let fields = vec![("session", json!(session.number())), ("why", json!(why))];
            out.event("explained", format!("the peer says why: {why}"), fields);
        }
        Event::Referral {
            session,
            state,
            status,
            ..
        } => {
            let status = status.map(StatusCode::code);
            let fields = vec![
                ("session", json!(session.number())),
                ("state", json!(format!("{state:?}"))),
                ("status", json!(status)),
            ];
            let status = status.map(|code| code.to_string());
            out.event(
                "referral",
                join(referral_state(*state), status.as_deref()),
                fields,
            );
        }
        Event::ReferReceived { session, target, .. } => {
            let fields = vec![("session", json!(session.number())), ("target", json!(target))];
            out.event("refer_received", format!("asked to call {target}"), fields);
        }
        Event::RenegotiationReceived {
            session,
            offer,
            message,
        } => {
            let offer = offer.as_ref().map_or("none", |offer| &offer.content_type);
            let method = message.method().map_or("", |method| method.as_str());
            let fields = vec![
                ("session", json!(session.number())),
                ("method", json!(method)),
                ("content_type", json!(offer)),
            ];
            let line = format!("change of the call by {method}: {offer}");
            out.event("renegotiation", line, fields);
        }
        Event::RenegotiationWithdrawn { session } => {
            let fields = vec![("session", json!(session.number()))];
            let line = String::from("change of the call withdrawn");
            out.event("renegotiation-withdrawn", line, fields);
        }
        Event::Subscription { .. } | Event::SubscriptionForked { .. } | Event::Notified { .. } => {
            subscriptions(out, event);
        }
        Event::WatcherReceived { .. }
        | Event::WatcherRefreshed { .. }
        | Event::WatcherEnded { .. }
        | Event::Publication { .. } => states(out, event),
        _ => connections(out, event),
    }
}

pub(crate) const fn referral_state(state: ReferralState) -> &'static str {
    match state {
        ReferralState::Accepted => "transfer accepted",
        ReferralState::Trying => "transfer: calling",
        ReferralState::Alerted => "transfer: ringing",
        ReferralState::Succeeded => "transferred",
        ReferralState::Redirected => "transfer: redirected",
        ReferralState::Failed => "transfer failed",
        ReferralState::Rejected => "transfer refused",
        ReferralState::Unanswered => "transfer not answered",
        ReferralState::Lapsed => "transfer: the peer says no more of it",
    }
}

fn subscriptions(out: Output, event: &Event) {
    match event {
        Event::Subscription {
            subscription,
            new,
            reason,
            ..
        } => {
            let (state, why) = (subscription_state(*new), subscription_reason(*reason));
            let fields = vec![
                ("subscription", json!(subscription.number())),
                ("state", json!(state)),
                ("reason", json!(format!("{reason:?}"))),
            ];
            out.event(
                "subscription",
                join(&format!("subscription {state}"), why),
                fields,
            );
        }
        Event::SubscriptionForked { of, subscription } => {
            let fields = vec![
                ("subscription", json!(subscription.number())),
                ("of", json!(of.number())),
            ];
            out.event("subscription_forked", "one more notifier has it", fields);
        }
        Event::Notified {
            subscription,
            message,
        } => {
            let text = state_of(message);
            let state = message.raw(HeaderName::SubscriptionState).unwrap_or_default();
            let state = String::from_utf8_lossy(state).into_owned();
            let shown = text.as_ref().map_or_else(String::new, |text| format!(": {text}"));
            let words = format!("NOTIFY from {} ({state}){shown}", from(message));
            let fields = vec![
                ("subscription", json!(subscription.number())),
                ("from", json!(from(message))),
                ("subscription_state", json!(state)),
                ("content_type", json!(content_type(message))),
                ("text", json!(text)),
            ];
            out.event("notified", words, fields);
        }
        other => out.event("other", format!("{other:?}"), Vec::new()),
    }
}

/// What others watch, and what is published.
fn states(out: Output, event: &Event) {
    match event {
        Event::WatcherReceived { watcher, message, .. } => {
            let fields = vec![
                ("watcher", json!(watcher.number())),
                ("from", json!(from(message))),
            ];
            let words = format!("{} wants to subscribe", from(message));
            out.event("watcher_received", words, fields);
        }
        Event::WatcherRefreshed { watcher, message } => {
            let fields = vec![
                ("watcher", json!(watcher.number())),
                ("from", json!(from(message))),
            ];
            let words = format!("{} has refreshed or ended its subscription", from(message));
            out.event("watcher_refreshed", words, fields);
        }
        Event::WatcherEnded { watcher, reason } => {
            let fields = vec![
                ("watcher", json!(watcher.number())),
                ("reason", json!(format!("{reason:?}"))),
            ];
            let words = join("a subscriber is gone", Some(watcher_reason(*reason)));
            out.event("watcher_ended", words, fields);
        }
        Event::Publication {
            publication,
            new,
            reason,
            ..
        } => {
            let (state, why) = (publication_state(*new), publication_reason(*reason));
            let fields = vec![
                ("publication", json!(publication.number())),
                ("state", json!(state)),
                ("reason", json!(format!("{reason:?}"))),
            ];
            out.event("publication", join(&format!("publication {state}"), why), fields);
        }
        other => out.event("other", format!("{other:?}"), Vec::new()),
    }
}

fn connections(out: Output, event: &Event) {
    match event {
        Event::Listening { listener, address } => {
            let fields = vec![
                ("listener", json!(listener.number())),
                ("address", json!(address.to_string())),
            ];
            out.event("listening", format!("listening at {address}"), fields);
        }
        Event::ListeningEnded { listener, error } => {
            let why = error.as_ref().map(ToString::to_string);
            let fields = vec![("listener", json!(listener.number())), ("error", json!(why))];
            out.event("listening_ended", join("listening ended", why.as_deref()), fields);
        }
        Event::ConnectionAdded {
            conn,
            remote,
            incoming,
            transport,
            matched,
            ..
        } => {
            let direction = if *incoming { "from" } else { "to" };
            let fields = vec![
                ("connection", json!(conn.number())),
                ("remote", json!(remote.to_string())),
                ("incoming", json!(incoming)),
                ("transport", json!(transport.to_string())),
                ("matched", json!(matched)),
            ];
            out.event(
                "connected",
                format!("connected {direction} {remote} over {transport}"),
                fields,
            );
        }
        Event::ConnectionRemoved {
            conn, remote, reason, ..
        } => {
            let fields = vec![
                ("connection", json!(conn.number())),
                ("remote", json!(remote.to_string())),
                ("reason", json!(reason.to_string())),
            ];
            out.event(
                "disconnected",
                format!("connection with {remote} is gone: {reason}"),
                fields,
            );
        }
        // A pool comes and goes with the connections in it, which are reported.
        Event::PoolAdded { .. } | Event::PoolRemoved { .. } => {}
        Event::ConnectionThrottled { conn, throttled } => {
            let fields = vec![
                ("connection", json!(conn.number())),
                ("throttled", json!(throttled)),
            ];
            let what = if *throttled { "too much" } else { "room again" };
            out.event("throttled", format!("connection has {what} outstanding"), fields);
        }
        Event::IncomingTlsFailed { remote, failure, .. } => {
            let fields = vec![
                ("remote", json!(remote.to_string())),
                ("error", json!(failure.to_string())),
            ];
            out.event("tls_failed", format!("no TLS with {remote}: {failure}"), fields);
        }
        other => out.event("other", format!("{other:?}"), Vec::new()),
    }
}

fn received(out: Output, session: Option<u64>, message: &Message) {
    let method = message.method().map_or("", |method| method.as_str());
    let text = text_of(message);
    let shown = text.as_ref().map_or_else(String::new, |text| format!(": {text}"));
    let inside = if session.is_some() { " in the call" } else { "" };
    let fields = vec![
        ("session", json!(session)),
        ("method", json!(method)),
        ("from", json!(from(message))),
        ("content_type", json!(content_type(message))),
        ("text", json!(text)),
    ];
    out.event(
        "message",
        format!("{method} from {}{inside}{shown}", from(message)),
        fields,
    );
}

/// The body of a message of text.
pub(crate) fn text_of(message: &Message) -> Option<String> {
    let is_text = content_type(message).is_some_and(|value| value.to_ascii_lowercase().starts_with("text/"));
    if !is_text {
        return None;
    }
    Some(
        String::from_utf8_lossy(message.body_bytes())
            .chars()
            .take(TEXT)
            .collect(),
    )
}

/// The state in a NOTIFY, where it is text of any type.
fn state_of(message: &Message) -> Option<String> {
    let text = std::str::from_utf8(message.body_bytes()).ok();
    text.filter(|text| !text.is_empty())
        .map(|text| text.chars().take(TEXT).collect())
}

/// The value of Content-Type as it came.
pub(crate) fn content_type(message: &Message) -> Option<String> {
    message
        .raw(HeaderName::ContentType)
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The URI in From.
pub(crate) fn from(message: &Message) -> String {
    message
        .from_()
        .map_or_else(|_| String::from("nobody"), |from| from.0.uri.to_string())
}

/// The method that a response is for.
fn method_of(response: &Message) -> String {
    response.cseq().map_or_else(
        |_| String::from("request"),
        |cseq| cseq.method.as_str().to_owned(),
    )
}

/// `486 Busy Here`.
pub(crate) fn status_line(response: &Message) -> String {
    let code = response.status().map_or(0, StatusCode::code);
    format!("{code} {}", String::from_utf8_lossy(response.reason()))
        .trim_end()
        .to_owned()
}

fn status_fields(response: &Message) -> Vec<(&'static str, Value)> {
    vec![
        ("status", json!(response.status().map(StatusCode::code))),
        ("reason", json!(String::from_utf8_lossy(response.reason()))),
    ]
}

fn join(what: &str, why: Option<&str>) -> String {
    why.map_or_else(|| what.to_owned(), |why| format!("{what}: {why}"))
}

const fn registration_state(state: RegistrationState) -> &'static str {
    match state {
        RegistrationState::Unregistered => "unregistered",
        RegistrationState::Registering => "registering",
        RegistrationState::Registered => "registered",
        RegistrationState::Unregistering => "unregistering",
    }
}

const fn registration_reason(reason: RegistrationReason) -> Option<&'static str> {
    Some(match reason {
        RegistrationReason::None => return None,
        RegistrationReason::TooManyActiveEndpoints => "too many endpoints of this user",
        RegistrationReason::UserChanged => "the user was changed or removed",
        RegistrationReason::UserMoved => "the user has another home server",
        RegistrationReason::Timeout => "no answer in time",
        RegistrationReason::UnauthorizedAccess => "the credentials are not for this address",
        RegistrationReason::Credentials => "the credentials are not good",
        RegistrationReason::Authentication => "the authentication failed",
        RegistrationReason::ConnectionFailure => "no connection",
        RegistrationReason::ConnectionDropped => "the connection is gone",
        RegistrationReason::RefreshFailed => "the refresh failed",
        RegistrationReason::PreferredRegistrarChanged => "the server prefers another one",
        RegistrationReason::UserServicesUnavailable => "the server's user services are down",
        RegistrationReason::Refused => "refused",
    })
}

const fn peer_to_peer_state(state: PeerToPeerState) -> &'static str {
    match state {
        PeerToPeerState::Disconnected => "disconnected",
        PeerToPeerState::Connecting => "connecting",
        PeerToPeerState::Connected => "connected",
        PeerToPeerState::Disconnecting => "disconnecting",
    }
}

const fn peer_to_peer_reason(reason: PeerToPeerReason) -> Option<&'static str> {
    Some(match reason {
        PeerToPeerReason::Listening => "listening",
        PeerToPeerReason::UnableToListen => "unable to listen",
        PeerToPeerReason::StoppedListening => "stopped listening",
        PeerToPeerReason::NoListeningAddresses => "no listening address is left",
        PeerToPeerReason::TerminatedLocally => "by command",
    })
}

const fn subscription_state(state: SubscriptionState) -> &'static str {
    match state {
        SubscriptionState::Idle => "idle",
        SubscriptionState::Subscribing => "is under way",
        SubscriptionState::Subscribed => "established",
        SubscriptionState::WaitingForRetry => "waits for its next attempt",
        SubscriptionState::Terminating => "ends",
        SubscriptionState::Terminated => "ended",
    }
}

/// Why a subscription changed its state.
pub(crate) const fn subscription_reason(reason: SubscriptionReason) -> Option<&'static str> {
    Some(match reason {
        SubscriptionReason::None => return None,
        SubscriptionReason::TerminatedLocally => "by this side",
        SubscriptionReason::TerminatedRemotely => "by the notifier",
        SubscriptionReason::TemporaryFailure => "the server is out of order",
        SubscriptionReason::Silent => "no NOTIFY came",
        SubscriptionReason::Refused => "refused",
        SubscriptionReason::BadEvent => "the notifier does not know the event",
        SubscriptionReason::SubscriptionDoesNotExist => "the notifier does not know it",
        SubscriptionReason::Forgotten => "the server had lost this endpoint",
        SubscriptionReason::FailedOver => "the endpoint has another server",
        SubscriptionReason::Deactivated => "to be made again",
        SubscriptionReason::Probation => "to be made again later",
        SubscriptionReason::Rejected => "not allowed any more",
        SubscriptionReason::Expired => "it was not refreshed in time",
        SubscriptionReason::GivenUp => "nobody has allowed it in time",
        SubscriptionReason::NoResource => "what it is about is there no more",
        SubscriptionReason::Invariant => "the state does not change any more",
    })
}

const fn publication_state(state: PublicationState) -> &'static str {
    match state {
        PublicationState::Publishing => "is under way",
        PublicationState::Published => "established",
        PublicationState::WaitingForRetry => "waits for its next attempt",
        PublicationState::Removing => "ends",
        PublicationState::Removed => "ended",
    }
}

/// Why a publication changed its state.
pub(crate) const fn publication_reason(reason: PublicationReason) -> Option<&'static str> {
    Some(match reason {
        PublicationReason::None => return None,
        PublicationReason::TerminatedLocally => "by this side",
        PublicationReason::TemporaryFailure => "the server is out of order",
        PublicationReason::Stale => "the server did not have it any more",
        PublicationReason::Refused => "refused",
        PublicationReason::Forgotten => "the server had lost this endpoint",
        PublicationReason::FailedOver => "the endpoint has another server",
    })
}

const fn watcher_reason(reason: WatcherReason) -> &'static str {
    match reason {
        WatcherReason::TerminatedLocally => "by this side",
        WatcherReason::Rejected => "refused",
        WatcherReason::Unanswered => "not answered in time",
        WatcherReason::Queried => "it asked once and was told",
        WatcherReason::Unsubscribed => "by the subscriber",
        WatcherReason::Expired => "it was not refreshed in time",
        WatcherReason::SubscriptionDoesNotExist => "the subscriber does not know it",
    }
}

const fn session_state(state: SessionState) -> &'static str {
    match state {
        SessionState::Idle => "idle",
        SessionState::Incoming => "incoming",
        SessionState::Connecting => "connecting",
        SessionState::Alerted => "ringing",
        SessionState::Redirecting => "redirected",
        SessionState::Connected => "established",
        SessionState::Disconnected => "ended",
    }
}

/// Why a session changed its state.
pub(crate) const fn session_reason(reason: SessionReason) -> Option<&'static str> {
    Some(match reason {
        SessionReason::None | SessionReason::ProvisionalResponseReceived => return None,
        SessionReason::Busy => "busy",
        SessionReason::Canceled => "cancelled",
        SessionReason::Declined => "declined",
        SessionReason::NotAcceptable => "not acceptable",
        SessionReason::NotAcceptableMedia => "the media are not acceptable",
        SessionReason::SessionDoesNotExist => "the peer does not know it",
        SessionReason::SessionTimerExpired => "the session timer ran out",
        SessionReason::TemporarilyUnavailable => "temporarily unavailable",
        SessionReason::TerminatedLocally => "by this side",
        SessionReason::TerminatedRemotely => "by the peer",
        SessionReason::Timeout => "no answer in time",
        SessionReason::Unreachable => "unreachable",
        SessionReason::RecoveryFailed => "the route was lost",
    })
}
