//! What the network brings to a session: the outcomes of its requests, and the requests of the peer.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;

use super::invitation::{Input, State};
use super::offer::{self, Carrier, Meaning};
use super::{Ack, Below, Inside, Session, Sessions, Timer, key};
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::dialog::Dialog;
use crate::endpoint::ReliableResponses;
use crate::event::{Completion, Content, Event, OperationError, OperationFailure, SessionReason};
use crate::exchange::{Facts, Outcome, Owner, Pending, Policy, Reply, Request, Sequence, SessionPart, What};
use crate::ids::{ConnId, ExchangeId, OperationId, SessionId, TransactionId};
use crate::time::Time;
use crate::wire::header::{Allow, ContentDisposition};
use crate::wire::write::HeaderBlock;
use crate::wire::{HeaderName, Message, Method, StatusCode};

impl Sessions {
    /// What an exchange of a session reports.
    pub(crate) fn handle_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        part: SessionPart,
        exchange: ExchangeId,
        what: What,
    ) {
        match (part, what) {
            (SessionPart::Invite, What::Provisional(response)) => {
                self.on_provisional(cx, below, id, response)
            }
            (SessionPart::Invite, What::Outcome(outcome)) => match outcome.result {
                Ok(response) => self.on_success(cx, below, (id, exchange), response, outcome.facts),
                Err(error) => self.on_failure(cx, below, id, error),
            },
            (SessionPart::Invite, What::Further(response)) => {
                let facts = below.exchanges.facts(exchange).cloned().unwrap_or_default();
                let fork = Fork::of(cx, below, exchange, &response);
                self.on_further(cx, below, Some(id), facts, &response, fork);
            }
            // A PRACK without an offer that fails leaves the INVITE to its own end.
            (SessionPart::Renegotiate | SessionPart::Prack, What::Outcome(outcome)) => {
                self.on_renegotiated(cx, below, (id, exchange), *outcome);
            }
            (SessionPart::Renegotiate, What::Further(response)) => {
                let facts = below.exchanges.facts(exchange).cloned().unwrap_or_default();
                self.on_further(cx, below, Some(id), facts, &response, Fork::KNOWN);
            }
            (SessionPart::Bye, What::Outcome(_)) => self.step(cx, below, id, Input::ByeDone),
            (SessionPart::Refresh, What::Outcome(outcome)) => {
                if let Some(session) = self.table.get_mut(&id) {
                    session.refresh = None;
                    if let (Ok(response), Some(dialog)) = (&outcome.result, &mut session.dialog) {
                        dialog.refresh_target(response);
                    }
                }
                self.on_refresh_outcome(cx, below, id, &outcome.result);
                if let Err(error) = &outcome.result {
                    self.on_flow_failed(cx, below, id, None, error);
                }
                self.on_request_outcome(cx, below, id, None, *outcome);
            }
            (SessionPart::Heal, What::Outcome(outcome)) => {
                self.on_healing(cx, below, (id, exchange), outcome.result);
            }
            (SessionPart::Request(operation), What::Outcome(outcome)) => {
                if let Err(error) = &outcome.result
                    && self.on_flow_failed(cx, below, id, Some(operation), error)
                {
                    return;
                }
                self.forget_request(id, operation);
                self.on_refer_outcome(cx, below, id, operation, &outcome);
                self.on_request_outcome(cx, below, id, Some(operation), *outcome);
            }
            (SessionPart::Report(referral), What::Outcome(outcome)) => {
                self.on_report_outcome(cx, below, id, referral, &outcome);
            }
            // Provisional responses to other requests say nothing. The ACK needs no report.
            (
                SessionPart::Bye
                | SessionPart::Refresh
                | SessionPart::Heal
                | SessionPart::Request(_)
                | SessionPart::Report(_)
                | SessionPart::Ack,
                What::Provisional(_) | What::Further(_),
            )
            | (SessionPart::Prack, What::Provisional(_) | What::Further(_))
            | (SessionPart::Renegotiate, What::Provisional(_))
            | (SessionPart::Ack, What::Outcome(_))
            | (_, What::Taken) => {}
            // The stack has dealt with these.
            (_, What::NeedConnection(_) | What::Redirected(_)) => {}
        }
    }

    /// The first 2xx: its dialog wins, the others are dropped.
    fn on_success(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        (id, invite): (SessionId, ExchangeId),
        response: Box<Message>,
        facts: Facts,
    ) {
        let tag = response.to().ok().and_then(|to| to.tag().map(ToOwned::to_owned));
        self.withdraw_elsewhere(cx, below, id, (None, tag.as_deref()));
        // No session ends before the outcome of its INVITE.
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        // What is open is open with this fork.
        if let Some(early) = session.early(tag.as_deref()) {
            session.change.offers = early.offers;
        }
        let last = session.drop_early(cx, below, tag.as_deref());
        self.drop_change_elsewhere(cx, below, id, tag.as_deref());
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let dialog = match Dialog::from_response(&response, session.sequence) {
            Ok(dialog) => dialog,
            Err(error) => return self.on_failure(cx, below, id, OperationError::MessageParsing(error)),
        };
        let hop_is_ours = dialog.is_routed() || !session.local.via_proxy;
        session.dialog = Some(dialog);
        session.updates = allows_update(&response);
        // The session's own connection is the one that its INVITE went over, unless that led to an outbound proxy that
        // stays out of the dialog (P3).
        if hop_is_ours
            && let Some(conn) = facts.conn
            && let Some(lease) = below.low.connections.share(cx, conn)
            && let Some(old) = session.lease.replace(lease)
        {
            below.low.connections.release(cx, old);
        }
        session.ack = Some(Ack {
            last,
            ..Ack::new(cx, facts, Some(invite))
        });
        let cancelled = matches!(session.invitation.machine_state(), State::Cancelling { .. });
        if !cancelled {
            self.on_agreed(cx, below, id, &response);
        }
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let content = content_of(&response);
        session.response = (!cancelled).then_some(response);
        let meaning = match content {
            Some(_) if !session.change.offers.is_settled() => session
                .change
                .offers
                .step(cx, offer::Input::Received(Carrier::Success)),
            Some(_) | None => Meaning::Nothing,
        };
        match (meaning, content) {
            (Meaning::Offer, Some(offer)) if !cancelled => {
                session.known.offer = true;
                cx.out.event(Event::OfferReceived { session: id, offer });
            }
            (Meaning::Answer, Some(answer)) if !cancelled => {
                cx.out.event(Event::AnswerReceived { session: id, answer });
            }
            (Meaning::Offer | Meaning::Answer, _) => {}
            // A change that is open in the early dialog goes on.
            (Meaning::Nothing | Meaning::Glare | Meaning::Busy, _) => {
                if session.change.offers.is_of_invite() {
                    session.change.settle(cx);
                }
            }
        }
        if !cancelled {
            self.report(cx, below, id, StatusCode::OK);
        }
        let offer = meaning == Meaning::Offer;
        self.step(cx, below, id, Input::Success { offer });
    }

    fn on_failure(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        error: OperationError,
    ) {
        if let Some(session) = self.table.get_mut(&id) {
            session.exchange = None;
        }
        if !self.redirects(cx, below, id, &error) {
            self.give_up(cx, below, id, error);
        }
    }

    /// Our INVITE has failed for good.
    pub(super) fn give_up(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        error: OperationError,
    ) {
        let reason = reason_of(&error);
        let status = error.response().and_then(Message::status);
        // RFC 3515 section 2.4.4: what no response says is said for it.
        let status = status.unwrap_or(if error == OperationError::Timeout {
            StatusCode::REQUEST_TIMEOUT
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        });
        self.report(cx, below, id, status);
        self.step(cx, below, id, Input::Failure(error, reason));
    }

    /// A further 2xx: of the session's own dialog it is a repetition, acknowledged again; of another fork, or of a
    /// session that has ended, it makes a dialog that is acknowledged and, the first time, ended (RFC 3261 section
    /// 13.2.2.4, S8).
    pub(super) fn on_further(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: Option<SessionId>,
        facts: Facts,
        response: &Message,
        fork: Fork,
    ) {
        let session = id.and_then(|id| self.table.get_mut(&id));
        let tag = response.to().ok().and_then(|to| to.tag().map(ToOwned::to_owned));
        if let (Some(id), Some(session)) = (id, &session)
            && session
                .dialog
                .as_ref()
                .is_some_and(|dialog| dialog.is_with(tag.as_deref()))
        {
            cx.counters.retransmissions.received += 1;
            let first = session.ack.as_ref().map(|ack| ack.facts.cseq);
            if response.cseq().is_ok_and(|cseq| Some(cseq.number) == first) {
                self.step(cx, below, id, Input::Success { offer: false });
            } else {
                self.acknowledge_again(cx, below, id, response);
            }
            return;
        }
        end_fork(cx, below, response, facts, fork);
    }

    fn on_request_outcome(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: Option<OperationId>,
        outcome: Outcome,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        if let Some(operation) = operation {
            session.requests.remove(&operation);
        }
        let gone = outcome
            .result
            .as_ref()
            .err()
            .and_then(OperationError::response)
            .and_then(Message::status)
            == Some(StatusCode::NO_SUCH_CALL);
        if gone {
            self.step(cx, below, id, Input::Gone);
        }
        if let Some(operation) = operation {
            cx.out
                .complete(operation, outcome.result.map(Completion::Response));
        }
    }

    /// A timer of this session.
    pub(crate) fn handle_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        timer: Timer,
    ) {
        match timer {
            Timer::Invitation(timer) => {
                if let Some(session) = self.table.get_mut(&id)
                    && matches!(session.invitation.machine_state(), State::Offered { .. })
                {
                    session.why = Some(Diagnosis::NotAnswered);
                }
                self.step(cx, below, id, Input::Fired(timer));
            }
            Timer::Renegotiation(timer) => self.handle_renegotiation_timer(cx, below, id, timer),
            Timer::Recovery(timer) => self.handle_recovery_timer(cx, below, id, timer),
            Timer::Proposal(timer) => self.handle_proposal_timer(cx, below, id, timer),
            Timer::Reliable(branch, timer) => {
                self.handle_reliable_timer(cx, below, id, (branch, timer));
            }
        }
    }

    /// The session that a request with these values belongs to.
    pub(crate) fn find(&self, request: &Message) -> Option<SessionId> {
        let to = request.to().ok()?;
        let id = *self.by_dialog.get(&*key(request.call_id().ok()?, to.tag()?))?;
        let from = request.from_().ok()?;
        let session = self.table.get(&id)?;
        let known = session
            .dialog
            .iter()
            .chain(session.early.iter().map(|early| &early.dialog))
            .any(|dialog| dialog.is_with(from.tag()));
        known.then_some(id)
    }

    /// The session whose INVITE has these values and was accepted, and how that went out, for a 2xx that no transaction
    /// takes.
    fn find_inviting(&self, response: &Message) -> Option<(SessionId, &Ack)> {
        let from = response.from_().ok()?;
        let id = *self.by_dialog.get(&*key(response.call_id().ok()?, from.tag()?))?;
        Some((id, self.table.get(&id)?.ack.as_ref()?))
    }

    /// Whether a 2xx comes again so late that its INVITE is over (RFC 3261 section 13.2.2.4: 64*T1 after the first one).
    fn is_acknowledged(&self, id: SessionId, response: &Message, now: Time) -> bool {
        let Some(session) = self.table.get(&id) else {
            return false;
        };
        let to = response.to().ok();
        let tag = to.as_ref().and_then(|to| to.tag());
        let acks = [session.ack.as_ref(), session.change.ack.as_deref()];
        let number = response.cseq().map_or(0, |cseq| cseq.number);
        let mut acks = acks.into_iter().flatten();
        session.dialog.as_ref().is_some_and(|dialog| dialog.is_with(tag))
            && acks.any(|ack| ack.facts.cseq == number && now >= ack.until)
    }

    /// A 2xx to INVITE that no transaction takes any more: repeated, or from a late fork.
    pub(crate) fn handle_stray(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        conn: ConnId,
        response: &Message,
    ) {
        let Some((id, ack)) = self.find_inviting(response) else {
            return;
        };
        if self.is_acknowledged(id, response, cx.now) {
            cx.counters.retransmissions.received += 1;
            return;
        }
        let facts = Facts {
            conn: Some(conn),
            ..ack.facts.clone()
        };
        let last = ack.last;
        let fork = match ack.invite {
            // Strictly higher is enough (RFC 3261 section 12.2.1.1).
            Some(invite) => Fork::of(cx, below, invite, response).or_after(last),
            None => Fork::KNOWN,
        };
        self.on_further(cx, below, Some(id), facts, response, fork);
    }

    /// A CANCEL has met the transaction of this INVITE.
    pub(crate) fn handle_cancel(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        invite: TransactionId,
        cancel: &Message,
    ) {
        let Some(id) = self.by_invite.get(&invite).copied() else {
            return;
        };
        let session = self.table.get(&id);
        if session.is_some_and(|session| session.change.request(invite).is_some()) {
            self.on_proposal_cancelled(cx, below, id);
        } else {
            self.tell_why(cx, id, cancel);
            self.step(cx, below, id, Input::Cancel);
        }
    }

    /// The peer ends a session, and may say why (S19, S20).
    fn tell_why(&self, cx: &mut Cx<'_>, id: SessionId, message: &Message) {
        let ends = self.table.get(&id).is_some_and(|session| {
            matches!(
                session.invitation.machine_state(),
                State::Answering { .. } | State::Offered { .. } | State::Accepting { .. } | State::Connected
            )
        });
        let says = [
            HeaderName::Reason,
            HeaderName::MsDiagnostics,
            HeaderName::MsDiagnosticsPublic,
            HeaderName::MsClientDiagnostics,
        ];
        if ends && says.iter().any(|name| message.raw(*name).is_some()) {
            cx.out.event(Event::Explained {
                session: id,
                message: Box::new(message.to_owned_small()),
            });
        }
    }

    /// The ACK to a 2xx.
    pub(crate) fn handle_ack(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        ack: &Message,
    ) {
        if self.on_proposal_acknowledged(cx, below, id, ack) {
            return;
        }
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        if matches!(session.invitation.machine_state(), State::Accepting { .. }) {
            let number = |message: &Message| message.cseq().map(|cseq| cseq.number).ok();
            let invite = session.invite.as_ref().and_then(|invite| number(&invite.message));
            // That of a change which was refused, by its number.
            if number(ack) != invite {
                return;
            }
            // An UPDATE of ours that is open has its own answer.
            if session.change.offers.is_of_invite() {
                session.take_answer(cx, id, ack, Carrier::Ack);
            }
        }
        self.step(cx, below, id, Input::Ack);
    }

    /// Takes the CSeq of a request inside a session; `false` if it is out of order (RFC 3261 section 12.2.2).
    pub(crate) fn take_cseq(&mut self, id: SessionId, request: &Message) -> bool {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let dialog = self
            .table
            .get_mut(&id)
            .and_then(|session| session.dialog.as_mut());
        dialog.is_none_or(|dialog| dialog.take_cseq(number))
    }

    /// A request inside a session, but ACK and CANCEL. The methods that the endpoint does not take have been refused.
    pub(crate) fn handle_request(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        request: &Pending,
    ) -> Inside {
        let Some(session) = self.table.get_mut(&id) else {
            return Inside::Done;
        };
        let Some(method) = request.message.method() else {
            return Inside::Done;
        };
        session.enter_of(&request.message);
        let number = request.message.cseq().map_or(0, |cseq| cseq.number);
        let in_order = session
            .dialog_of(&request.message)
            .is_none_or(|dialog| dialog.take_cseq(number));
        if !in_order {
            let reason = Some("CSeq is lower than the last");
            below.low.reply(
                cx,
                request,
                &Reply {
                    reason,
                    ..Reply::refusal(StatusCode::SERVER_INTERNAL_ERROR, Diagnosis::OutOfOrder)
                },
            );
            return Inside::Done;
        }
        session.follow(cx, below, request.conn);
        match method {
            // Before its 2xx a callee sends no BYE (RFC 3261 section 15), and what may still be established is not over.
            Method::Bye if session.dialog.is_none() => {
                below
                    .low
                    .reply(cx, request, &Reply::new(StatusCode::NO_SUCH_CALL));
                Inside::Done
            }
            Method::Bye => {
                below.low.reply(cx, request, &Reply::new(StatusCode::OK));
                self.tell_why(cx, id, &request.message);
                self.on_bye(cx, below, id);
                Inside::Done
            }
            Method::Invite | Method::Update => {
                self.on_proposal(cx, below, id, request);
                Inside::Done
            }
            Method::Prack if session.local.reliable != ReliableResponses::Unsupported => {
                self.on_prack(cx, below, id, request);
                Inside::Done
            }
            Method::Refer => {
                self.on_refer(cx, below, id, request);
                Inside::Done
            }
            Method::Notify if Session::is_report(&request.message) => {
                self.on_report(cx, below, id, request);
                Inside::Done
            }
            Method::Ack
            | Method::Cancel
            | Method::Options
            | Method::Register
            | Method::Message
            | Method::Info
            | Method::Prack
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Service
            | Method::Benotify
            | Method::Other(_) => Inside::ForApplication(id, session.local.endpoint),
        }
    }

    /// The peer's BYE was answered, and the dialog is over (RFC 3261 section 15.1.2). A BYE of this side that still waits
    /// for its connection has nothing left to end and is not sent; one that has gone out is answered by the peer, and not
    /// sent again.
    fn on_bye(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        below.exchanges.close_sequence(session.sequence);
        let leaves = matches!(session.invitation.machine_state(), State::Leaving { .. });
        let unsent = session
            .exchange
            .take_if(|exchange| leaves && below.exchanges.is_waiting(*exchange));
        match unsent {
            Some(exchange) => {
                below.exchanges.abandon(cx, below.low, exchange);
                self.step(cx, below, id, Input::ByeDone);
            }
            None => {
                if let Some(exchange) = session.exchange.filter(|_| leaves) {
                    below.exchanges.repeat_no_more(exchange);
                }
                self.step(cx, below, id, Input::Bye);
            }
        }
    }
}

/// The fork that a 2xx comes from, as its INVITE knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    /// The 2xx is its first.
    is_new: bool,
    /// The CSeq number of the last request in its dialog, where there was one besides the INVITE.
    last: Option<u32>,
}

impl Fork {
    /// No dialog that is to be ended.
    pub(super) const KNOWN: Self = Self {
        is_new: false,
        last: None,
    };

    fn of(cx: &Cx<'_>, below: &mut Below<'_, '_>, invite: ExchangeId, response: &Message) -> Self {
        let to = response.to().ok();
        let tag = to.as_ref().and_then(|to| to.tag()).unwrap_or_default();
        Self {
            is_new: below.exchanges.is_new_fork(invite, tag, cx.config.limits.forks),
            last: below.exchanges.last_of_fork(invite, tag),
        }
    }

    /// Where its own number is not known any more, counts on from this one.
    fn or_after(self, last: u32) -> Self {
        Self {
            last: self.last.or(Some(last)),
            ..self
        }
    }
}

/// Acknowledges a dialog that no session wants, and ends it where that was not done yet.
fn end_fork(cx: &mut Cx<'_>, below: &mut Below<'_, '_>, response: &Message, facts: Facts, fork: Fork) {
    let Facts {
        conn,
        credentials,
        identity,
        ..
    } = facts;
    let cseq = response.cseq().map_or(1, |cseq| cseq.number);
    let next = fork.last.unwrap_or(0).max(cseq).saturating_add(1);
    let sequence = below.exchanges.new_sequence(cx, next);
    let Ok(dialog) = Dialog::from_response(response, sequence) else {
        below.exchanges.drop_sequence(sequence);
        return;
    };
    let mut ack = dialog.request(Method::Ack, None);
    ack.sequence = Sequence::Fixed(cseq);
    ack.block = HeaderBlock::new(credentials.iter().map(|(name, value)| (name.as_str(), &**value)));
    let mut bye = dialog.request(Method::Bye, None);
    bye.sequence = Sequence::Fixed(next);
    let (name, value) = Diagnosis::ForkNotWanted.field(cx.config);
    bye.extra.push((name.as_str().to_owned(), String::from(value)));
    below.exchanges.drop_sequence(sequence);
    for draft in core::iter::once(ack).chain(fork.is_new.then_some(bye)) {
        let Some(lease) = conn.and_then(|conn| below.low.connections.share(cx, conn)) else {
            return;
        };
        let policy = Policy {
            retry_after: false,
            repeatable: false,
            redirects: 0,
            identity,
        };
        let request = Request {
            draft,
            lease: Some(lease),
            owner: Owner::Nobody,
            policy,
        };
        below.exchanges.start(cx, below.low, request, below.up);
    }
}

/// The session description of a message. A body that is to be taken for anything else (RFC 3261 section 20.11) is only the
/// application's; one that does not say what it is for is for the session, whatever its type.
pub(super) fn content_of(message: &Message) -> Option<Content> {
    if message.body_bytes().is_empty() || !describes_session(message) {
        return None;
    }
    let content_type = message.raw(HeaderName::ContentType).unwrap_or(b"application/sdp");
    Some(Content::new(
        String::from_utf8_lossy(content_type).trim(),
        message.body(),
    ))
}

pub(super) fn describes_session(message: &Message) -> bool {
    let disposition = message.typed::<ContentDisposition<'_>>().ok().flatten();
    disposition.is_none_or(|disposition| disposition.kind.eq_ignore_ascii_case("session"))
}

/// Whether a request is for a user, not for one endpoint by its GRUU or epid: then a server forks it (S8).
pub(super) fn names_user(request: &Message) -> bool {
    request.to().is_ok_and(|to| {
        let names_endpoint = to.0.uri.as_sip().is_some_and(|uri| uri.is_gruu());
        to.epid().is_none() && !names_endpoint
    })
}

pub(super) fn allows_update(message: &Message) -> bool {
    message
        .list::<Allow>()
        .any(|method| method.is_ok_and(|Allow(method)| method == Method::Update))
}

/// The reason of S1 for the failure of an INVITE.
fn reason_of(error: &OperationError) -> SessionReason {
    let Some(code) = error.response().and_then(Message::status).map(StatusCode::code) else {
        return match error {
            OperationError::Timeout => SessionReason::Timeout,
            OperationError::OperationFailure(OperationFailure::Aborted) => SessionReason::Canceled,
            OperationError::ConnectionFailure(_)
            | OperationError::Tls(_)
            | OperationError::MessageParsing(_)
            | OperationError::FailureResponse(_)
            | OperationError::Register { .. }
            | OperationError::Authentication { .. }
            | OperationError::OperationFailure(_) => SessionReason::Unreachable,
        };
    };
    match code {
        408 => SessionReason::Timeout,
        480 => SessionReason::TemporarilyUnavailable,
        481 => SessionReason::SessionDoesNotExist,
        // Also for a 6xx that nobody knows, which counts as 600 (RFC 3261 section 8.1.3.2).
        486 | 600..=602 | 607..=699 => SessionReason::Busy,
        487 => SessionReason::Canceled,
        488 | 606 => SessionReason::NotAcceptableMedia,
        603 | 605 => SessionReason::Declined,
        404 | 410 | 604 | 300..=399 | 500..=599 => SessionReason::Unreachable,
        _ => SessionReason::NotAcceptable,
    }
}
