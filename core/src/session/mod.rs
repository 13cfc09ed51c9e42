//! Signaling sessions (rules S1 to S6, S10, S15, S18): the table of them, and what their machines ask for as messages.
//! Beside this file: the machines of the invitation, of offer and answer, of a change from either side; what the
//! application commands, what the network brings, and changes with both.

mod branch;
mod change;
mod command;
mod early;
mod expiry;
mod invitation;
#[cfg(test)]
pub(crate) mod laws;
mod offer;
mod proposal;
mod provisional;
mod receive;
mod recovery;
mod redirect;
pub(crate) mod refer;
pub(crate) mod referee;
mod reliable;
mod renegotiation;
mod ringing;
mod route;
pub(crate) mod timer;
mod transfer;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::connection::Lease;
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::dialog::Dialog;
use crate::endpoint::{ReliableResponses, RouteRecovery};
use crate::error::ParseError;
use crate::event::{
    Completion, Content, Event, ExtraHeaders, OperationError, OperationFailure, SessionReason, SessionState,
};
use crate::exchange::{
    ContactTemplate, Draft, Exchanges, Facts, Indication, Lower, NextHop, Owner, Pending, Policy, Reply,
    Request, Sequence, SessionPart, Voice, to_of,
};
use crate::ids::{ConnId, EndpointId, ExchangeId, OperationId, SequenceId, SessionId, TransactionId};
use crate::map::{HashKey, Map};
use crate::time::Time;
use crate::wire::write::Parties;
use crate::wire::{HeaderName, Message, Method, StatusCode};

use branch::Branch;
pub use branch::EarlyDialog;
use change::Change;
pub(crate) use early::Offered;
pub(crate) use expiry::{TAG as TIMER_TAG, too_brief};
#[cfg(any(test, feature = "cells"))]
pub(crate) use invitation::cells::MACHINE as INVITATION;
use invitation::{Effect, Input, Invitation, State};
#[cfg(any(test, feature = "cells"))]
pub(crate) use offer::cells::MACHINE as OFFER;
#[cfg(any(test, feature = "cells"))]
pub(crate) use proposal::cells::MACHINE as PROPOSAL;
use provisional::{Early, Provisionals};
pub(crate) use provisional::{RELIABLE, takes_reliable};
use receive::{allows_update, names_user};
#[cfg(any(test, feature = "cells"))]
pub(crate) use recovery::cells::MACHINE as RECOVERY;
#[cfg(test)]
pub(crate) use recovery::laws::Recovering;
use redirect::Redirection;
#[cfg(any(test, feature = "cells"))]
pub(crate) use refer::cells::MACHINE as REFERRAL;
#[cfg(any(test, feature = "cells"))]
pub(crate) use referee::cells::MACHINE as REFEREE;
#[cfg(any(test, feature = "cells"))]
pub(crate) use reliable::cells::MACHINE as RELIABLE_RESPONSES;
#[cfg(any(test, feature = "cells"))]
pub(crate) use renegotiation::cells::MACHINE as RENEGOTIATION;
use ringing::Ringing;
use route::Route;
pub(crate) use route::TAG as ROUTE_TAG;
use timer::SessionTimer;
#[cfg(any(test, feature = "cells"))]
pub(crate) use timer::cells::MACHINE as TIMER;
pub(crate) use timer::{FLOOR as TIMER_FLOOR, Timer as RefreshTimer};
use transfer::Transfers;

/// The timers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    Invitation(invitation::Timer),
    Renegotiation(renegotiation::Timer),
    Proposal(proposal::Timer),
    Reliable(u8, reliable::Timer),
    Recovery(recovery::Timer),
}

/// How an endpoint appears in its requests. The texts are ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) endpoint: EndpointId,
    /// The address of From, without tag.
    pub(crate) address: Box<str>,
    /// The parameters of From after its tag.
    pub(crate) parameters: Box<str>,
    pub(crate) contact: ContactTemplate,
    pub(crate) policy: Policy,
    /// Requests outside dialogs go to an outbound proxy.
    pub(crate) via_proxy: bool,
    /// The preloaded route of requests outside dialogs (R17).
    pub(crate) route: Vec<Box<str>>,
    /// Whether provisional responses are acknowledged (S7).
    pub(crate) reliable: ReliableResponses,
    pub(crate) voice: Voice,
    /// The application decides about redirections.
    pub(crate) redirects: bool,
    /// The interval of the session timer that it asks for.
    pub(crate) session_timer: Option<Duration>,
    pub(crate) route_recovery: RouteRecovery,
}

impl Local {
    /// Whether it is a peer-to-peer endpoint: only who has a server answers challenges (A10).
    pub(crate) const fn is_peer_to_peer(&self) -> bool {
        self.policy.identity.is_none()
    }

    /// The value of From with this tag.
    pub(crate) fn from(&self, tag: &str) -> Box<str> {
        alloc::format!("{};tag={tag}{}", self.address, self.parameters).into()
    }
}

/// What a request of the application carries besides its method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cargo {
    pub(crate) content: Option<Content>,
    pub(crate) extra: ExtraHeaders,
}

/// What a received request means to the layer above.
#[derive(Debug)]
pub(crate) enum Inside {
    /// Dealt with.
    Done,
    /// The application has to see it.
    ForApplication(SessionId, EndpointId),
}

#[derive(Clone, Debug)]
struct Session {
    invitation: Invitation,
    local: Box<Local>,
    target: Box<str>,
    call_id: Box<str>,
    tag: Box<str>,
    sequence: SequenceId,
    /// The dialog that won, or that the callee made.
    dialog: Option<Dialog>,
    /// The forks that have answered provisionally, by their tags.
    early: Vec<Early>,
    /// The last PRACK of the one that has won.
    prack: Option<ExchangeId>,
    lease: Option<Lease>,
    /// The INVITE or BYE under way.
    exchange: Option<ExchangeId>,
    requests: BTreeMap<OperationId, ExchangeId>,
    /// The offer of an INVITE to send; the peer's INVITE to answer.
    cargo: Cargo,
    /// Where the application wants the INVITE to go (P9).
    first_hop: Option<NextHop>,
    invite: Option<Pending>,
    success: Option<bytes::Bytes>,
    /// The 2xx that completes the establish command.
    response: Option<Box<Message>>,
    /// What the ACK repeats, and the answer that it carries.
    ack: Option<Ack>,
    change: Change,
    /// Of a callee; and whether the caller takes reliable ones, and the endpoint sends them.
    provisionals: Provisionals,
    is_reliable: bool,
    /// The callee's early dialog that is at work, and its others (S9).
    branch: u8,
    branches: Vec<Branch>,
    /// The peer takes UPDATE.
    updates: bool,
    /// The UPDATE under way that refreshes the session (S11).
    refresh: Option<ExchangeId>,
    /// Header fields of the application for what it sends next (S20).
    attached: Option<Box<ExtraHeaders>>,
    /// Why the stack itself ends it, where it does (S19).
    why: Option<Diagnosis>,
    ringing: Option<Box<Ringing>>,
    redirection: Option<Box<Redirection>>,
    /// Where one was agreed on.
    timer: Option<Box<SessionTimer>>,
    /// Where its endpoint recovers routes, and it has sent something (S17).
    route: Option<Box<Route>>,
    /// Few sessions have to do with them.
    transfers: Option<Box<Transfers>>,
    known: Known,
    /// The peer invited; by an INVITE that its server may have forked.
    incoming: bool,
    forked: bool,
}

/// What the application has seen of a session and done to it: what is misuse is judged by this (X2).
#[derive(Clone, Copy, Debug)]
struct Known {
    state: SessionState,
    /// The application has ended it.
    over: bool,
    /// It was given an offer that it has not answered.
    offer: bool,
    /// It has seen a change of the peer, by the CSeq of its request, that it has not decided on.
    asked: Option<u32>,
}

impl Known {
    const fn new(state: SessionState) -> Self {
        Self {
            state,
            over: false,
            offer: false,
            asked: None,
        }
    }
}

/// What decides how a session goes on, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    invitation: invitation::Fingerprint,
    change: change::Fingerprint,
    transfers: Option<transfer::Fingerprint>,
    /// When it says again that it rings.
    rings: Option<Duration>,
    timer: Option<timer::Fingerprint>,
    route: Option<route::Fingerprint>,
    why: Option<Diagnosis>,
    /// What is still to be tried, how many are known, and whether all are to be.
    redirection: Option<(Vec<Box<str>>, usize, bool)>,
    provisionals: (reliable::Fingerprint, usize, bool),
    branches: Vec<branch::Fingerprint>,
    early: Vec<provisional::Fingerprint>,
}

#[derive(Clone, Debug)]
struct Ack {
    facts: Facts,
    answer: Option<Content>,
    /// The INVITE that has made the session, which knows its forks.
    invite: Option<ExchangeId>,
    /// The highest CSeq number in the dialogs of the forks that have lost, for what they accept when the INVITE is forgotten.
    last: u32,
    /// When a 2xx that comes again is not acknowledged any more.
    until: Time,
}

impl Ack {
    fn new(cx: &Cx<'_>, facts: Facts, invite: Option<ExchangeId>) -> Self {
        Self {
            facts,
            answer: None,
            invite,
            last: 0,
            until: cx.now + cx.config.t1.saturating_mul(64),
        }
    }
}

/// All sessions of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    table: Map<SessionId, Session>,
    by_dialog: Map<Box<str>, SessionId>,
    by_invite: Map<TransactionId, SessionId>,
    /// Ended, but the application has not taken the event yet (X2).
    ended: BTreeMap<SessionId, (EndpointId, Known)>,
    just_ended: Vec<(SessionId, EndpointId)>,
    /// Whose registration is to be refreshed for their dialogs.
    unrouted: Vec<EndpointId>,
    /// No peer begins a session any more.
    closed: bool,
}

type Up = alloc::collections::VecDeque<Indication>;

/// The layers below a session, lent for one step.
pub(crate) struct Below<'a, 'b> {
    pub(crate) low: &'a mut Lower<'b>,
    pub(crate) exchanges: &'a mut Exchanges,
    pub(crate) up: &'a mut Up,
}

impl Sessions {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            table: Map::new(key),
            by_dialog: Map::new(key),
            by_invite: Map::new(key),
            ended: BTreeMap::new(),
            just_ended: Vec::new(),
            unrouted: Vec::new(),
            closed: false,
        }
    }

    /// Whether a peer's INVITE makes a session from now on.
    pub(crate) const fn close(&mut self, closed: bool) {
        self.closed = closed;
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many dialogs are held.
    pub(crate) fn dialogs(&self) -> usize {
        self.by_dialog.len()
    }

    /// Whether a session has ended without the application having seen it, and whose it was.
    pub(crate) fn ended(&self, id: SessionId) -> Option<EndpointId> {
        self.ended.get(&id).map(|(endpoint, _)| *endpoint)
    }

    /// The application has taken the event that tells this state.
    pub(crate) fn seen(&mut self, id: SessionId, state: SessionState) {
        if state == SessionState::Disconnected {
            self.ended.remove(&id);
        } else if let Some(known) = self.known_mut(id) {
            known.state = state;
        }
    }

    fn known_mut(&mut self, id: SessionId) -> Option<&mut Known> {
        match self.table.get_mut(&id) {
            Some(session) => Some(&mut session.known),
            None => self.ended.get_mut(&id).map(|(_, known)| known),
        }
    }

    /// The machines of a session in canonical form.
    pub(crate) fn fingerprint(&self, id: SessionId, now: Time) -> Option<Fingerprint> {
        let session = self.table.get(&id)?;
        let transfers = session.transfers.as_ref();
        Some(Fingerprint {
            invitation: session.invitation.fingerprint(now),
            change: session.change.fingerprint(now),
            provisionals: session.provisionals.fingerprint(now),
            branches: session.branches_fingerprint(now),
            early: session.early.iter().map(Early::fingerprint).collect(),
            transfers: transfers.map(|transfers| transfers.fingerprint(now)),
            rings: session
                .ringing
                .as_ref()
                .map(|ringing| ringing.again().at().since(now)),
            timer: session.timer.as_ref().map(|timer| timer.fingerprint(now)),
            route: session.route.as_ref().map(|route| route.fingerprint(now)),
            why: session.why,
            redirection: session
                .redirection
                .as_ref()
                .map(|redirection| redirection.fingerprint()),
        })
    }

    pub(crate) fn state(&self, id: SessionId) -> Option<SessionState> {
        self.table.get(&id).map(|session| session.invitation.state())
    }

    pub(crate) fn endpoint(&self, id: SessionId) -> Option<EndpointId> {
        self.table.get(&id).map(|session| session.local.endpoint)
    }

    pub(crate) fn call_id(&self, id: SessionId) -> Option<&str> {
        self.table.get(&id).map(|session| &*session.call_id)
    }

    pub(crate) fn is_forked(&self, id: SessionId) -> bool {
        self.table.get(&id).is_some_and(|session| session.forked)
    }

    pub(crate) fn target(&self, id: SessionId) -> Option<&str> {
        let session = self.table.get(&id)?;
        Some(session.dialog.as_ref().map_or(&session.target, Dialog::target))
    }

    /// The URI that the next hop of a session's next request is found from: inside the dialog its route or target, before
    /// it the target of the INVITE. The flag says whether it is the dialog's.
    pub(crate) fn next_hop(&self, id: SessionId) -> Option<(&str, bool)> {
        let session = self.table.get(&id)?;
        Some(
            session
                .dialog
                .as_ref()
                .map_or((&*session.target, false), |dialog| (dialog.next_hop(), true)),
        )
    }

    /// Where the application wants the INVITE of a session to go.
    pub(crate) fn first_hop(&self, id: SessionId) -> Option<&NextHop> {
        self.table.get(&id)?.first_hop.as_ref()
    }

    /// The INVITE of the peer that a session waits to answer, or has answered.
    pub(crate) fn invite(&self, transaction: TransactionId) -> Option<&Pending> {
        let session = self.table.get(self.by_invite.get(&transaction)?)?;
        let first = session.invite.as_ref();
        first
            .filter(|invite| invite.transaction == transaction)
            .or_else(|| session.change.request(transaction))
    }

    /// The sessions that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<(SessionId, EndpointId)> {
        core::mem::take(&mut self.just_ended)
    }

    /// A session to establish later (state Idle).
    pub(crate) fn create(
        &mut self,
        cx: &mut Cx<'_>,
        exchanges: &mut Exchanges,
        local: Local,
        target: &str,
    ) -> SessionId {
        let id: SessionId = cx.ids.next();
        let call_id = cx.entropy.hex(32).into_boxed_str();
        let tag = cx.entropy.hex(16).into_boxed_str();
        let sequence = exchanges.new_sequence(cx, 1);
        self.by_dialog.insert(key(&call_id, &tag), id);
        cx.counters.sessions.outgoing.started += 1;
        self.table.insert(
            id,
            Session {
                invitation: Invitation::outgoing(id),
                local: Box::new(local),
                target: target.into(),
                call_id,
                tag,
                sequence,
                dialog: None,
                early: Vec::new(),
                prack: None,
                lease: None,
                exchange: None,
                requests: BTreeMap::new(),
                cargo: Cargo::default(),
                first_hop: None,
                invite: None,
                success: None,
                response: None,
                ack: None,
                change: Change::new(id),
                provisionals: Provisionals::new(id, 0),
                is_reliable: false,
                branch: 0,
                branches: Vec::new(),
                updates: false,
                refresh: None,
                attached: None,
                why: None,
                ringing: None,
                redirection: None,
                timer: None,
                route: None,
                transfers: None,
                known: Known::new(SessionState::Idle),
                incoming: false,
                forked: false,
            },
        );
        id
    }

    /// A session that the peer offers (state Incoming). The INVITE has been checked; an `Err` is the status to refuse it
    /// with and why.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        exchanges: &mut Exchanges,
        low: &mut Lower<'_>,
        local: Local,
        invite: Pending,
        replaces: Option<SessionId>,
    ) -> Result<SessionId, ParseError> {
        let sequence = exchanges.new_sequence(cx, 1);
        let dialog = match Dialog::from_request(&invite.message, &invite.tag, sequence) {
            Ok(dialog) => dialog,
            Err(error) => {
                exchanges.drop_sequence(sequence);
                return Err(error);
            }
        };
        let id: SessionId = cx.ids.next();
        let call_id = Box::from(dialog.call_id());
        let mut change = Change::new(id);
        change.offers.step(cx, branch::offer_of(&invite.message));
        self.by_dialog.insert(key(&call_id, &invite.tag), id);
        self.by_invite.insert(invite.transaction, id);
        let session = Session {
            invitation: Invitation::incoming(cx, id),
            target: dialog.target().into(),
            call_id,
            tag: invite.tag.clone(),
            sequence,
            lease: low.connections.share(cx, invite.conn),
            early: Vec::new(),
            prack: None,
            exchange: None,
            requests: BTreeMap::new(),
            cargo: Cargo::default(),
            first_hop: None,
            success: None,
            response: None,
            ack: None,
            change,
            provisionals: Provisionals::new(id, 0),
            branch: 0,
            branches: Vec::new(),
            is_reliable: local.reliable != ReliableResponses::Unsupported && takes_reliable(&invite.message),
            updates: allows_update(&invite.message),
            refresh: None,
            attached: None,
            why: None,
            ringing: None,
            redirection: None,
            timer: None,
            route: None,
            transfers: replaces.map(|replaces| Box::new(Transfers::replacing(replaces))),
            known: Known::new(SessionState::Incoming),
            incoming: true,
            forked: !local.is_peer_to_peer() && names_user(&invite.message),
            dialog: Some(dialog),
            local: Box::new(local),
            invite: Some(invite),
        };
        cx.counters.sessions.incoming.started += 1;
        self.table.insert(id, session);
        Ok(id)
    }

    fn step(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, input: Input) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        session.invitation.step(cx, input, &mut effects);
        if session.ringing.is_some() && !matches!(session.invitation.machine_state(), State::Offered { .. }) {
            session.stop_ringing(cx);
        }
        for effect in effects {
            self.carry_out(cx, below, id, effect);
        }
    }

    fn carry_out(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, effect: Effect) {
        let session = self.table.get_mut(&id);
        match (effect, session) {
            (Effect::Complete(operation, result), session) => {
                let response = session.and_then(|session| session.response.take());
                let completion = || response.map_or(Completion::Done, Completion::Response);
                cx.out.complete(operation, result.map(|()| completion()));
            }
            (Effect::Changed { old, new, reason }, Some(session)) => {
                let endpoint = session.local.endpoint;
                // An established session that ends itself so does it by BYE, and ends by nothing else any more.
                let reason = match session.why {
                    Some(Diagnosis::Expired | Diagnosis::NotRefreshed) => SessionReason::SessionTimerExpired,
                    Some(Diagnosis::RouteLost) => SessionReason::RecoveryFailed,
                    Some(_) | None => reason,
                };
                cx.out.event(Event::Session {
                    session: id,
                    old,
                    new,
                    reason,
                });
                if new == SessionState::Connected {
                    cx.counters.calls(session.incoming).connected += 1;
                    self.settle(id);
                    self.free_change(cx, below, id);
                }
                if new == SessionState::Disconnected {
                    self.end(cx, below, id, endpoint);
                }
            }
            (Effect::SendInvite, Some(session)) => {
                let draft = session.invite_draft(cx.config);
                session.exchange = Some(start(cx, below, session, id, draft, SessionPart::Invite));
            }
            (Effect::SendCancel, Some(session)) => {
                if let Some(exchange) = session.exchange {
                    let headers = session.parting_words(cx);
                    below.exchanges.cancel(cx, below.low, exchange, headers, below.up);
                }
            }
            (Effect::SendAck, Some(session)) => {
                if let Some(ack) = &session.ack {
                    session.send_ack(cx, below, id, ack);
                }
            }
            (Effect::SendBye, Some(_)) => self.send_bye(cx, below, id),
            (Effect::RepeatSuccess, Some(session)) => {
                if let (Some(invite), Some(success)) = (&session.invite, &session.success) {
                    below.low.send_reply(cx, invite, StatusCode::OK, success.clone());
                }
            }
            (Effect::Refuse(code), Some(session)) => {
                if let Some(status) = StatusCode::new(code) {
                    let reply = Reply {
                        extra: &session.take_attached(),
                        why: session.why,
                        ..Reply::new(status)
                    };
                    self.refuse_invite(cx, below, id, &reply);
                }
            }
            (
                Effect::Changed { .. }
                | Effect::SendInvite
                | Effect::SendCancel
                | Effect::SendAck
                | Effect::SendBye
                | Effect::RepeatSuccess
                | Effect::Refuse(_),
                None,
            ) => {}
        }
    }

    /// Answers the peer's INVITE with a final response that ends it.
    fn refuse_invite(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        reply: &Reply<'_>,
    ) {
        let session = self.table.get_mut(&id);
        if let Some(invite) = session.and_then(|session| session.invite.take()) {
            self.by_invite.remove(&invite.transaction);
            below.low.reply(cx, &invite, reply);
        }
    }

    fn send_bye(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        self.end_changes(cx, below, id);
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        session.leave_route(cx, below);
        let extra = session.parting_words(cx);
        if let Some(dialog) = &session.dialog {
            let mut draft = dialog.request(Method::Bye, None);
            draft.extra = extra;
            draft.block = session.local.voice.request(&Method::Bye);
            session.exchange = Some(start(cx, below, session, id, draft, SessionPart::Bye));
        }
    }

    /// An established session needs nothing more of how it came about.
    fn settle(&mut self, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        session.cargo = Cargo::default();
        session.success = None;
        session.redirection = None;
        if let Some(invite) = session.invite.take() {
            self.by_invite.remove(&invite.transaction);
        }
    }

    /// Gives back all that a session held; what its requests waited for completes as SessionTerminated.
    fn end(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, endpoint: EndpointId) {
        self.end_changes(cx, below, id);
        self.drop_other_branches(cx, below, id);
        let Some(mut session) = self.table.remove(&id) else {
            return;
        };
        if let Some(exchange) = session.change.exchange.take() {
            let_go(cx, below, exchange);
        }
        session.drop_early(cx, below, None);
        for exchange in session.prack.take().into_iter().chain(session.refresh.take()) {
            let_go(cx, below, exchange);
        }
        if let Some(operation) = session.provisionals.end(cx) {
            cx.out.complete(operation, Err(provisional::ended()));
        }
        cx.counters.calls(session.incoming).ended += 1;
        session.invitation.stop(cx);
        session.stop_ringing(cx);
        if let Some(timer) = &mut session.timer {
            timer.stop(cx);
        }
        self.by_dialog.remove(&*key(&session.call_id, &session.tag));
        if let Some(invite) = &session.invite {
            self.by_invite.remove(&invite.transaction);
        }
        self.ended.insert(id, (endpoint, session.known));
        self.just_ended.push((id, endpoint));
        below.exchanges.drop_sequence(session.sequence);
        if let Some(lease) = session.lease.take() {
            below.low.connections.release(cx, lease);
        }
        for (operation, exchange) in session.requests {
            below.exchanges.abandon(cx, below.low, exchange);
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            cx.out.complete(operation, Err(ended));
        }
        Self::end_route(cx, below, session.route);
        self.end_transfers(cx, below, session.transfers);
    }
}

impl Session {
    /// What the application has attached to what is sent next.
    fn take_attached(&mut self) -> ExtraHeaders {
        self.attached.take().map(|headers| *headers).unwrap_or_default()
    }

    /// What a CANCEL or a BYE carries: the words of the application, and those of the stack where the end is its own.
    fn parting_words(&mut self, cx: &Cx<'_>) -> ExtraHeaders {
        let why = self.why.or_else(|| match self.invitation.machine_state() {
            State::Leaving {
                reason: SessionReason::Timeout,
                from,
                ..
            } => Some(if *from == SessionState::Connected {
                Diagnosis::ChangeLost
            } else if self.incoming {
                Diagnosis::NotAcknowledged
            } else if self.known.offer {
                Diagnosis::OfferNotAnswered
            } else {
                Diagnosis::ForkNotWanted
            }),
            State::Cancelling {
                reason: SessionReason::Timeout,
                ..
            } => Some(Diagnosis::NotAnswered),
            State::Idle
            | State::Inviting { .. }
            | State::Redirecting { .. }
            | State::Cancelling { .. }
            | State::Answering { .. }
            | State::Offered { .. }
            | State::Accepting { .. }
            | State::Connected
            | State::Leaving { .. }
            | State::Disconnected => None,
        });
        let mut headers = self.take_attached();
        headers.extend(why.map(|why| {
            let (name, value) = why.field(cx.config);
            (String::from(name.as_str()), String::from(value))
        }));
        headers
    }

    /// The peer has made a new connection in place of one that is gone: it is the session's from now on, for where it
    /// does not listen it cannot be reached otherwise (C13). A SipEndpoint has the connection to its server (R22), and a
    /// fork that may lose decides nothing.
    fn follow(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, conn: ConnId) {
        let held = self
            .lease
            .as_ref()
            .is_some_and(|lease| below.low.connections.is_usable(lease.conn()));
        if held || self.dialog.is_none() || !self.local.is_peer_to_peer() {
            return;
        }
        if let Some(lease) = below.low.connections.share(cx, conn)
            && let Some(old) = self.lease.replace(lease)
        {
            below.low.connections.release(cx, old);
        }
    }

    /// The ACK to a 2xx.
    fn send_ack(&self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, ack: &Ack) {
        if let Some(dialog) = &self.dialog {
            let mut draft = dialog.request(Method::Ack, None);
            draft.sequence = Sequence::Fixed(ack.facts.cseq);
            let credentials = ack.facts.credentials.iter();
            draft.block = self
                .local
                .voice
                .request(&Method::Ack)
                .and(credentials.map(|(name, value)| (name.as_str(), &**value)));
            draft.content.clone_from(&ack.answer);
            start(cx, below, self, id, draft, SessionPart::Ack);
        }
    }

    fn invite_draft(&self, config: &Config) -> Draft {
        let mut extra = self.cargo.extra.clone();
        extra.extend(self.invite_fields(config));
        let redirection = self.redirection.as_ref();
        let origin = redirection.map_or(&*self.target, |redirection| &redirection.origin);
        let block = self.local.voice.full_request(&Method::Invite);
        let requires = self.local.reliable == ReliableResponses::Required;
        let block = block.and(requires.then_some((HeaderName::Require.as_str(), RELIABLE)));
        Draft {
            method: Method::Invite,
            uri: self.target.clone(),
            route: self.local.route.clone(),
            parties: Parties::new(&self.local.from(&self.tag), &to_of(origin), &self.call_id),
            sequence: Sequence::Counter(self.sequence),
            contact: Some(self.local.contact.clone()),
            expires: None,
            block,
            extra,
            content: self.cargo.content.clone(),
        }
    }
}

fn start(
    cx: &mut Cx<'_>,
    below: &mut Below<'_, '_>,
    session: &Session,
    id: SessionId,
    draft: Draft,
    part: SessionPart,
) -> ExchangeId {
    let held = session.lease.as_ref().map(Lease::conn);
    start_over(cx, below, session, id, (draft, part), held)
}

/// The same over this connection.
fn start_over(
    cx: &mut Cx<'_>,
    below: &mut Below<'_, '_>,
    session: &Session,
    id: SessionId,
    (draft, part): (Draft, SessionPart),
    conn: Option<ConnId>,
) -> ExchangeId {
    let lease = conn.and_then(|conn| below.low.connections.share(cx, conn));
    let owner = Owner::Session(id, part);
    // The end of a session does not wait for a better time; told twice, it is the end all the same (C35).
    let ends = part == SessionPart::Bye;
    let policy = session.local.policy;
    let policy = Policy {
        // A change that waits leaves the peer's the way, a PRACK is repeated with its response, and what a NOTIFY told may
        // be old by then.
        retry_after: policy.retry_after
            && !ends
            && !matches!(
                part,
                SessionPart::Renegotiate | SessionPart::Prack | SessionPart::Report(_)
            ),
        repeatable: policy.repeatable
            || ends
            || matches!(
                part,
                SessionPart::Refresh | SessionPart::Prack | SessionPart::Heal
            ),
        ..policy
    };
    let request = Request {
        draft,
        lease,
        owner,
        policy,
    };
    below.exchanges.start(cx, below.low, request, below.up)
}

/// Lets go of a request whose session, or dialog, ends: one that is on its way is answered still, but not sent again.
fn let_go(cx: &mut Cx<'_>, below: &mut Below<'_, '_>, exchange: ExchangeId) {
    if below.exchanges.is_waiting(exchange) {
        below.exchanges.abandon(cx, below.low, exchange);
    } else {
        below.exchanges.repeat_no_more(exchange);
    }
}

/// What finds a dialog by its Call-ID and our tag.
pub(crate) fn key(call_id: &str, local_tag: &str) -> Box<str> {
    let mut key = String::with_capacity(call_id.len() + local_tag.len() + 1);
    key.push_str(call_id);
    // Neither holds a blank.
    key.push(' ');
    key.push_str(local_tag);
    key.into_boxed_str()
}
