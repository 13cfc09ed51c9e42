//! What a final response to an exchange's request leads to, or none.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Cancel, Exchanges, Indication, Lost, Lower, Outcome, Owner, State, Up, What};
use crate::action::Transport;
use crate::auth::{Challenged, Next, Unanswered};
use crate::connection::Hop;
use crate::cx::Cx;
use crate::event::{ExtraHeaders, OperationError};
use crate::ids::{EndpointId, ExchangeId, HandshakeId};
use crate::security::{KerberosFailure, SecurityContext};
use crate::timers::TimerKey;
use crate::wire::header::{Contact, MinExpires, MinSe, RetryAfter, field};
use crate::wire::{HeaderName, Message, Method, StatusCode};

impl Exchanges {
    pub(super) fn on_final(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        self.uncount(id);
        let Some(exchange) = self.table.get(&id) else {
            return;
        };
        let cancelled = matches!(
            exchange.state,
            State::Sent {
                cancel: Cancel::Sent(_) | Cancel::Armed,
                ..
            }
        );
        let status = response.status().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        if let Some(endpoint) = exchange.policy.identity
            && !matches!(status.code(), 401 | 407)
            && low.auth.handle_final(cx, endpoint, id, status.is_success())
        {
            self.gate(low, endpoint);
        }
        let Some(exchange) = self.table.get(&id) else {
            return;
        };
        if status.is_success() {
            return self.on_success(cx, low, id, response, up);
        }
        let is_worn = exchange.attempts >= cx.config.limits.attempts
            && match status.code() {
                401 | 407 | 422 | 423 => true,
                300..=399 => exchange.policy.redirects > 0,
                _ => false,
            };
        if cancelled || is_worn || exchange.is_last {
            cx.counters.refusals.attempts += u64::from(is_worn && !cancelled && !exchange.is_last);
            return self.finish(cx, low, id, Err(OperationError::FailureResponse(response)), up);
        }
        match status.code() {
            401 | 407 => self.on_challenge(cx, low, id, response, up),
            422 => self.on_session_too_brief(cx, low, id, response, up),
            423 => self.on_interval_too_brief(cx, low, id, response, up),
            300..=399 => self.on_redirect(cx, low, id, response, up),
            503 => self.on_unavailable(cx, low, id, response, up),
            _ => self.pause_or_fail(cx, low, id, response, up),
        }
    }

    fn on_success(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        if let Some(endpoint) = exchange.policy.identity {
            low.auth.handle_success(endpoint, &response, &exchange.auth);
        }
        let State::Sent {
            transaction, cancel, ..
        } = exchange.state
        else {
            return;
        };
        if exchange.draft.method != Method::Invite {
            return self.finish(cx, low, id, Ok(response), up);
        }
        if let Cancel::Sent(timer) = cancel {
            cx.timers.stop(timer);
        }
        let to = response.to().ok();
        if let Some(tag) = to.as_ref().and_then(|to| to.tag()) {
            exchange.accepted_by(tag, cx.config.limits.forks);
        }
        exchange.state = State::Accepted { transaction };
        // The session has a hold of its own; waiting for further forks does not keep the connection longer (C8).
        if let Some(lease) = exchange.lease.take() {
            low.connections.release(cx, lease);
        }
        let outcome = Outcome {
            result: Ok(response),
            facts: exchange.facts.clone(),
        };
        let owner = exchange.owner;
        up.push_back(Indication {
            exchange: id,
            owner,
            what: What::Outcome(Box::new(outcome)),
        });
    }

    fn on_challenge(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        let endpoint = self.table.get(&id).and_then(|exchange| exchange.policy.identity);
        let Some(endpoint) = endpoint else {
            return self.finish(cx, low, id, Err(OperationError::FailureResponse(response)), up);
        };
        let over = self
            .table
            .get(&id)
            .and_then(|exchange| low.connections.manager_of(exchange.facts.conn?));
        let unanswered = Unanswered {
            challenge: response,
            secure: over.is_some_and(|(_, transport)| transport == Transport::Tls),
        };
        let led = low.auth.leader(endpoint) == Some(id);
        self.answer(cx, low, (id, endpoint), unanswered, led, up);
    }

    /// The embedder has answered who was to make a security context: its leader goes out, or answers the challenge with
    /// something else.
    pub(crate) fn handle_authenticated(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        (endpoint, handshake): (EndpointId, HandshakeId),
        result: Result<SecurityContext, KerberosFailure>,
        up: &mut Up,
    ) {
        let Some((leader, outcome)) = low.auth.handle_authenticated(endpoint, handshake, result) else {
            return;
        };
        self.release(cx, leader, endpoint);
        match outcome {
            Ok(()) => self.send_or_wait(cx, low, leader, up),
            Err(unanswered) => self.answer(cx, low, (leader, endpoint), unanswered, true, up),
        }
    }

    /// Answers a challenge to a request; whether it led a handshake, which this may be the end of.
    fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        (id, endpoint): (ExchangeId, EndpointId),
        unanswered: Unanswered,
        led: bool,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let Unanswered {
            challenge: response,
            secure,
        } = unanswered;
        let challenged = Challenged {
            endpoint,
            exchange: id,
            conn: exchange.facts.conn,
            secure,
            response: &response,
        };
        let next = low.auth.handle_challenge(cx, challenged, &mut exchange.auth);
        self.gate(low, endpoint);
        match next {
            Ok(Next::Again) => self.send_or_wait(cx, low, id, up),
            Ok(Next::Wait) => self.hold(cx, id, endpoint),
            Err(failure) => {
                let error = OperationError::Authentication { failure, response };
                // Wrong credentials are tried once (A7): those who have waited do not try them again.
                if led {
                    self.fail_held(cx, low, endpoint, &error, up);
                }
                self.finish(cx, low, id, Err(error), up);
            }
        }
    }

    /// 423: asks for the least that the server takes, where that is more than was asked for (R10). Who asked for the end
    /// does not ask for more.
    fn on_interval_too_brief(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let asked = exchange.draft.expires;
        let least = response
            .typed::<MinExpires>()
            .ok()
            .flatten()
            .map(|MinExpires(seconds)| seconds);
        match (asked, least) {
            (Some(asked), Some(least)) if asked > 0 && least > asked => {
                exchange.draft.expires = Some(least);
                self.send_or_wait(cx, low, id, up);
            }
            _ => self.finish(cx, low, id, Err(OperationError::FailureResponse(response)), up),
        }
    }

    /// 422: asks once for the least that the peer takes, where that is more than was asked for (RFC 4028 section 7.3).
    fn on_session_too_brief(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        if !exchange.enlarged && enlarge(&mut exchange.draft.extra, &response) {
            exchange.enlarged = true;
            self.send_or_wait(cx, low, id, up);
        } else {
            self.finish(cx, low, id, Err(OperationError::FailureResponse(response)), up);
        }
    }

    fn on_redirect(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let target =
            response
                .list::<Contact<'_>>()
                .filter_map(Result::ok)
                .find_map(|contact| match contact {
                    // Only a server can be registered with.
                    Contact::Address(address) if address.uri.as_sip().is_some() => {
                        Some(alloc::format!("{}", address.uri).into_boxed_str())
                    }
                    Contact::Star | Contact::Address(_) => None,
                });
        match (exchange.policy.redirects.checked_sub(1), target) {
            (Some(left), Some(target)) => {
                exchange.policy.redirects = left;
                exchange.state = State::Moving;
                let owner = exchange.owner;
                up.push_back(Indication {
                    exchange: id,
                    owner,
                    what: What::Redirected(target),
                });
            }
            _ => self.finish(cx, low, id, Err(OperationError::FailureResponse(response)), up),
        }
    }

    /// 503: the next target, where there is one; else Retry-After (RFC 3263 section 4.3, rule E12).
    fn on_unavailable(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        if self.next_target(cx, low, id) {
            self.need_connection(id, up);
        } else {
            self.pause_or_fail(cx, low, id, response, up);
        }
    }

    /// Whether the hop of this exchange has an address left after the one in use, which is marked as failed.
    fn next_target(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId) -> bool {
        let conn = self.table.get(&id).and_then(|exchange| exchange.facts.conn);
        let Some((_, remote)) = conn.and_then(|conn| low.connections.ends(conn)) else {
            return false;
        };
        let Some(hop) = conn.and_then(|conn| low.connections.hop(conn)).cloned() else {
            return false;
        };
        self.fail_over(cx, low, id, &hop, remote)
    }

    /// Whether the hop has an address left after this one, which is marked as failed.
    pub(super) fn fail_over(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        hop: &Hop,
        remote: SocketAddr,
    ) -> bool {
        let Some(exchange) = self.table.get_mut(&id) else {
            return false;
        };
        // A SipEndpoint keeps the connection to its server (C6); where that server is not good, its REGISTER finds out.
        if matches!(exchange.owner, Owner::Probe(_))
            || exchange.policy.identity.is_some() && !matches!(exchange.owner, Owner::Registration(_))
        {
            return false;
        }
        if !exchange.failed.contains(&remote) {
            exchange.failed.push(remote);
        }
        low.connections.address_failed(cx, remote);
        if !low.connections.has_other_target(hop, &exchange.failed) {
            return false;
        }
        if exchange.failed.len() >= cx.config.limits.targets {
            cx.counters.refusals.targets += 1;
            return false;
        }
        // What the next one asks for is its own affair.
        exchange.attempts = 0;
        exchange.auth.go_elsewhere();
        true
    }

    fn pause_or_fail(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        response: Box<Message>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let wait = retry_after(&response).filter(|wait| *wait <= cx.config.retry_after_cap);
        match wait {
            Some(wait) if exchange.policy.retry_after && !exchange.waited => {
                exchange.waited = true;
                exchange.state = State::Paused {
                    timer: cx.timers.set(cx.now + wait, TimerKey::Exchange(id)),
                };
            }
            _ => self.finish(cx, low, id, Err(OperationError::FailureResponse(response)), up),
        }
    }

    /// No final response. What may be repeated safely goes to the next target, where there is one (R18).
    ///
    /// The connection is closed where that proves it dead (R19): where what the server itself has to answer (a REGISTER, a
    /// probe) has no final response; and where any other request has no response at all, and nothing else has come since
    /// it was sent. A request with a provisional response proves nothing, nor does one that others may have kept waiting
    /// while their messages came.
    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId, up: &mut Up) {
        self.uncount(id);
        let moves = self.next_target(cx, low, id);
        let Some(exchange) = self.table.get(&id) else {
            return;
        };
        let repeatable = exchange.policy.repeatable;
        let itself = matches!(exchange.owner, Owner::Registration(_) | Owner::Probe(_));
        if let (State::Sent { at, alerted, .. }, Some(conn)) = (&exchange.state, exchange.facts.conn)
            && (itself || !alerted)
        {
            low.connections.unanswered(cx, conn, *at, itself);
        }
        if moves && repeatable {
            self.need_connection(id, up);
        } else {
            self.finish(cx, low, id, Err(OperationError::Timeout), up);
        }
    }

    /// The connection died under the request: once more over a fresh one if no byte of it had left, or if it may be
    /// repeated safely (C35).
    pub(super) fn on_lost(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        lost: &Lost<'_>,
        up: &mut Up,
    ) {
        self.uncount(id);
        let Some(exchange) = self.table.get(&id) else {
            return;
        };
        // The handshake that it may have led went with the connection.
        if let Some(endpoint) = exchange.policy.identity {
            self.gate(low, endpoint);
        }
        let Some(exchange) = self.table.get(&id) else {
            return;
        };
        let State::Sent { place, cancel, .. } = &exchange.state else {
            return;
        };
        let unsent = lost.taken <= place.start;
        if *cancel == Cancel::No && (unsent || exchange.policy.repeatable) {
            self.again_or_fail(cx, low, id, lost, up);
        } else {
            self.finish(cx, low, id, Err(lost.error.clone()), up);
        }
    }
}

/// How long the server wants nothing from us, where it says so.
pub(crate) fn retry_after(response: &Message) -> Option<Duration> {
    let told = response.typed::<RetryAfter<'_>>().ok().flatten()?;
    Some(Duration::from_secs(u64::from(told.seconds)))
}

/// A request that was answered 422 asks for what the peer takes at the least (RFC 4028 section 7.3): its fields, where
/// they asked for less.
fn enlarge(fields: &mut ExtraHeaders, response: &Message) -> bool {
    let Some(least) = response.typed::<MinSe<'_>>().ok().flatten() else {
        return false;
    };
    let is = |name: &str, known| HeaderName::from_bytes(name.as_bytes()) == Some(known);
    let Some((_, value)) = fields
        .iter_mut()
        .find(|(name, _)| is(name, HeaderName::SessionExpires))
    else {
        return false;
    };
    let interval: String = value.chars().take_while(char::is_ascii_digit).collect();
    let tail = value.get(interval.len()..).unwrap_or_default().to_owned();
    if interval.parse::<u32>().is_ok_and(|asked| asked >= least.seconds) {
        return false;
    }
    *value = alloc::format!("{}{tail}", least.seconds);
    fields.retain(|(name, _)| !is(name, HeaderName::MinSe));
    fields.push(field(&MinSe::new(least.seconds)));
    true
}
