//! Signaling sessions (rules S1 to S4, S10, S15, S18): the invitation machine with its messages, the dialog set, and
//! the requests inside.

mod invitation;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::connection::{Connections, Lease};
use crate::cx::Cx;
use crate::dialog::Dialog;
use crate::error::{Misuse, ParseError};
use crate::exchange::NextHop;
use crate::event::{
    Completion, Content, Event, ExtraHeaders, OperationError, OperationFailure, SessionReason, SessionState,
};
use crate::exchange::{
    ContactTemplate, Draft, Exchanges, Facts, Indication, Lower, Outcome, Owner, Pending, Policy, Reply, Request,
    Sequence, SessionPart, What,
};
use crate::ids::{ConnId, EndpointId, ExchangeId, OperationId, SequenceId, SessionId, TransactionId};
use crate::map::{HashKey, Map};
use crate::time::Time;
use crate::wire::header::Allow;
use crate::wire::{HeaderName, Message, Method, StatusCode};

pub(crate) use invitation::{Fingerprint, Timer};
use invitation::{Effect, Input, Invitation, State};

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
    /// Allow, Supported and User-Agent.
    pub(crate) headers: Vec<(HeaderName, Box<str>)>,
    pub(crate) extra: ExtraHeaders,
}

impl Local {
    /// Whether it is a peer-to-peer endpoint: only who has a server answers challenges (A10).
    const fn is_peer_to_peer(&self) -> bool {
        self.policy.identity.is_none()
    }

    /// The value of From with this tag.
    pub(crate) fn from(&self, tag: &str) -> Box<str> {
        alloc::format!("{};tag={tag}{}", self.address, self.parameters).into()
    }

    /// The header fields of the stack in every request of this endpoint.
    pub(crate) fn request_headers(&self, method: &Method) -> Vec<(HeaderName, Box<str>)> {
        let describes = matches!(method, Method::Invite | Method::Update | Method::Options);
        let wanted = |name: &HeaderName| describes || *name == HeaderName::UserAgent;
        self.headers.iter().filter(|(name, _)| wanted(name)).cloned().collect()
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
    early: Vec<Dialog>,
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
    /// What the ACK repeats, and the answer that it carries.
    ack: Option<Ack>,
    /// Our offer went out in the INVITE, or in the 2xx.
    offered: bool,
    /// The peer takes UPDATE.
    updates: bool,
    refreshing: bool,
    known: Known,
}

/// What the application has seen of a session and done to it: what is misuse is judged by this (X2).
#[derive(Clone, Copy, Debug)]
struct Known {
    state: SessionState,
    /// The application has ended it.
    over: bool,
    /// It was given an offer that it has not answered.
    offer: bool,
}

impl Known {
    const fn new(state: SessionState) -> Self {
        Self { state, over: false, offer: false }
    }
}

#[derive(Clone, Debug)]
struct Ack {
    facts: Facts,
    answer: Option<Content>,
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
        Self { table: Map::new(key), by_dialog: Map::new(key), by_invite: Map::new(key), ended: BTreeMap::new(), just_ended: Vec::new() }
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

    /// The invitation of a session in canonical form.
    pub(crate) fn fingerprint(&self, id: SessionId, now: Time) -> Option<Fingerprint> {
        self.table.get(&id).map(|session| session.invitation.fingerprint(now))
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

    pub(crate) fn target(&self, id: SessionId) -> Option<&str> {
        let session = self.table.get(&id)?;
        Some(session.dialog.as_ref().map_or(&session.target, Dialog::target))
    }

    /// The URI that the next hop of a session's next request is found from: inside the dialog its route or target, before
    /// it the target of the INVITE. The flag says whether it is the dialog's.
    pub(crate) fn next_hop(&self, id: SessionId) -> Option<(&str, bool)> {
        let session = self.table.get(&id)?;
        Some(session.dialog.as_ref().map_or((&*session.target, false), |dialog| (dialog.next_hop(), true)))
    }

    /// Where the application wants the INVITE of a session to go.
    pub(crate) fn first_hop(&self, id: SessionId) -> Option<&NextHop> {
        self.table.get(&id)?.first_hop.as_ref()
    }

    /// The INVITE that a session waits to answer, or has answered.
    pub(crate) fn invite(&self, transaction: TransactionId) -> Option<&Pending> {
        self.table.get(self.by_invite.get(&transaction)?)?.invite.as_ref()
    }

    /// The sessions that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<(SessionId, EndpointId)> {
        core::mem::take(&mut self.just_ended)
    }

    /// A session to establish later (state Idle).
    pub(crate) fn create(&mut self, cx: &mut Cx<'_>, exchanges: &mut Exchanges, local: Local, target: &str) -> SessionId {
        let id: SessionId = cx.ids.next();
        let call_id = cx.entropy.hex(32).into_boxed_str();
        let tag = cx.entropy.hex(16).into_boxed_str();
        let sequence = exchanges.new_sequence(cx, 1);
        self.by_dialog.insert(key(&call_id, &tag), id);
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
                lease: None,
                exchange: None,
                requests: BTreeMap::new(),
                cargo: Cargo::default(),
                first_hop: None,
                invite: None,
                success: None,
                ack: None,
                offered: false,
                updates: false,
                refreshing: false,
                known: Known::new(SessionState::Idle),
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
        let call_id = dialog.call_id.clone();
        self.by_dialog.insert(key(&call_id, &invite.tag), id);
        self.by_invite.insert(invite.transaction, id);
        let session = Session {
            invitation: Invitation::incoming(cx, id),
            local: Box::new(local),
            target: dialog.target().into(),
            call_id,
            tag: invite.tag.clone(),
            sequence,
            lease: low.connections.share(cx, invite.conn),
            early: Vec::new(),
            exchange: None,
            requests: BTreeMap::new(),
            cargo: Cargo::default(),
            first_hop: None,
            success: None,
            ack: None,
            offered: false,
            updates: allows_update(&invite.message),
            refreshing: false,
            known: Known::new(SessionState::Incoming),
            dialog: Some(dialog),
            invite: Some(invite),
        };
        self.table.insert(id, session);
        Ok(id)
    }

    // Commands. Each is legal only in the state of rule S2, as far as the application has seen it; else it is misuse and
    // changes nothing.

    pub(crate) fn may(&self, id: SessionId, operation: &'static str, legal: SessionState) -> Result<(), Misuse> {
        let known = self.known(id)?;
        if known.over {
            Err(Misuse::State { operation, state: "ended by the application" })
        } else if known.state != legal {
            Err(Misuse::State { operation, state: state_name(known.state) })
        } else {
            Ok(())
        }
    }

    fn known(&self, id: SessionId) -> Result<Known, Misuse> {
        let live = self.table.get(&id).map(|session| session.known);
        live.or_else(|| self.ended.get(&id).map(|(_, known)| *known)).ok_or(Misuse::Unknown("session"))
    }

    pub(crate) fn establish(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        cargo: Cargo,
        next_hop: Option<NextHop>,
    ) {
        let Some(session) = self.table.get_mut(&id) else { return };
        session.offered = cargo.content.is_some();
        session.cargo = cargo;
        session.first_hop = next_hop;
        session.known.state = SessionState::Connecting;
        self.step(cx, below, id, Input::Establish(operation));
    }

    pub(crate) fn accept(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        content: Option<Content>,
    ) {
        let Some(session) = self.table.get_mut(&id) else { return };
        let Some(invite) = &session.invite else { return };
        session.offered = content.is_some() && invite.message.body_bytes().is_empty();
        let reply = Reply {
            contact: Some(&session.local.contact),
            headers: &session.local.headers,
            content: content.as_ref(),
            record_route: true,
            ..Reply::new(StatusCode::OK)
        };
        session.success = Some(below.low.reply(cx, invite, &reply));
        session.known.state = SessionState::Connecting;
        self.step(cx, below, id, Input::Accept(operation));
    }

    /// Answers the INVITE with a final response of 300 to 699.
    pub(crate) fn decline(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        status: StatusCode,
        reason: Option<&str>,
        targets: &[&str],
    ) {
        let Some(session) = self.table.get_mut(&id) else { return };
        let Some(invite) = &session.invite else { return };
        let contacts: Vec<String> = targets.iter().map(|target| alloc::format!("<{target}>")).collect();
        let headers: Vec<(HeaderName, Box<str>)> =
            contacts.into_iter().map(|contact| (HeaderName::Contact, contact.into_boxed_str())).collect();
        below.low.reply(cx, invite, &Reply { reason, headers: &headers, ..Reply::new(status) });
        self.by_invite.remove(&invite.transaction);
        session.invite = None;
        session.known.over = true;
        self.step(cx, below, id, Input::Decline(SessionReason::Declined));
    }

    pub(crate) fn provisional(
        &self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        status: StatusCode,
        content: Option<&Content>,
    ) {
        let Some(session) = self.table.get(&id) else { return };
        let Some(invite) = &session.invite else { return };
        let reply = Reply {
            contact: Some(&session.local.contact),
            headers: &session.local.headers,
            content,
            record_route: true,
            ..Reply::new(status)
        };
        below.low.reply(cx, invite, &reply);
    }

    /// The application's answer to the offer of a 2xx; misuse if none waits for it.
    pub(crate) fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        answer: Content,
    ) -> Result<(), Misuse> {
        let known = self.known_mut(id).ok_or(Misuse::Unknown("session"))?;
        if known.over || !core::mem::take(&mut known.offer) {
            return Err(Misuse::State { operation: "answer", state: "no offer waits for an answer" });
        }
        let Some(session) = self.table.get_mut(&id) else { return Ok(()) };
        // It may have taken too long, and the application not know it yet.
        if !matches!(session.invitation.machine_state(), State::Answering { .. }) {
            return Ok(());
        }
        if let Some(ack) = &mut session.ack {
            ack.answer = Some(answer);
        }
        self.step(cx, below, id, Input::Answer);
        Ok(())
    }

    pub(crate) fn terminate(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
    ) {
        if let Some(known) = self.known_mut(id) {
            known.over = true;
        }
        self.step(cx, below, id, Input::Terminate(operation));
    }

    /// A request inside the session (S15).
    pub(crate) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        method: Method,
        cargo: Cargo,
    ) {
        let Some(session) = self.table.get_mut(&id) else { return };
        let Some(dialog) = &session.dialog else { return };
        let mut draft = dialog.request(method.clone(), None);
        draft.headers = session.local.request_headers(&method);
        draft.content = cargo.content;
        draft.extra = session.local.extra.iter().cloned().chain(cargo.extra).collect();
        let part = SessionPart::Request(operation);
        let exchange = start(cx, below, session, id, draft, part);
        session.requests.insert(operation, exchange);
    }

    /// How many requests of a session are under way.
    pub(crate) fn pending(&self, id: SessionId) -> usize {
        self.table.get(&id).map_or(0, |session| session.requests.len())
    }

    /// The session's own connection, for a request inside that asks for one: several that a lost connection held get one
    /// new one, and keep their order (S4).
    pub(crate) fn share(
        &self,
        cx: &mut Cx<'_>,
        connections: &mut Connections,
        id: SessionId,
        avoid: &[SocketAddr],
    ) -> Option<Lease> {
        let session = self.table.get(&id)?;
        session.dialog.as_ref()?;
        let conn = session.lease.as_ref().map(Lease::conn).filter(|conn| connections.is_usable(*conn))?;
        let avoided = connections.ends(conn).is_some_and(|(_, remote)| avoid.contains(&remote));
        if avoided { None } else { connections.share(cx, conn) }
    }

    /// A connection was made for a session whose own was gone: it keeps it, and tells the peer our new address where
    /// our Contact named the lost one (C13). To be called before the request that asked for it is supplied.
    pub(crate) fn adopt(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, conn: ConnId) {
        let Some(session) = self.table.get_mut(&id) else { return };
        if session.dialog.is_none() || matches!(session.invitation.machine_state(), State::Disconnected) {
            return;
        }
        let Some(lease) = below.low.connections.share(cx, conn) else { return };
        if let Some(old) = session.lease.replace(lease) {
            below.low.connections.release(cx, old);
        }
        let Some(dialog) = &session.dialog else { return };
        let manager = below.low.connections.manager_of(conn).map(|(manager, _)| manager);
        let listens = manager.is_some_and(|manager| below.low.connections.is_listening(manager));
        let named = session.local.contact.gruu.is_none() && !listens;
        let lasts = matches!(session.invitation.machine_state(), State::Connected);
        if named && session.updates && !session.refreshing && lasts {
            let mut draft = dialog.request(Method::Update, Some(session.local.contact.clone()));
            draft.headers = session.local.request_headers(&Method::Update);
            session.refreshing = true;
            start(cx, below, session, id, draft, SessionPart::Refresh);
        }
    }

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
            (SessionPart::Invite, What::Provisional(response)) => self.on_provisional(cx, below, id, response),
            (SessionPart::Invite, What::Outcome(outcome)) => match outcome.result {
                Ok(response) => self.on_success(cx, below, id, &response, outcome.facts),
                Err(error) => self.on_failure(cx, below, id, error),
            },
            (SessionPart::Invite, What::Further(response)) => {
                let facts = below.exchanges.facts(exchange).cloned().unwrap_or_default();
                self.on_further(cx, below, Some(id), facts, &response);
            }
            (SessionPart::Bye, What::Outcome(_)) => self.step(cx, below, id, Input::ByeDone),
            (SessionPart::Refresh, What::Outcome(outcome)) => {
                if let Some(session) = self.table.get_mut(&id) {
                    session.refreshing = false;
                    if let (Ok(response), Some(dialog)) = (&outcome.result, &mut session.dialog) {
                        dialog.refresh_target(response);
                    }
                }
                self.on_request_outcome(cx, below, id, None, *outcome);
            }
            (SessionPart::Request(operation), What::Outcome(outcome)) => {
                self.on_request_outcome(cx, below, id, Some(operation), *outcome);
            }
            // Provisional responses to other requests say nothing. The ACK needs no report.
            (
                SessionPart::Bye | SessionPart::Refresh | SessionPart::Request(_) | SessionPart::Ack,
                What::Provisional(_) | What::Further(_),
            )
            | (SessionPart::Ack, What::Outcome(_))
            | (_, What::Taken) => {}
            // The stack has dealt with these.
            (_, What::NeedConnection(_) | What::Redirected(_)) => {}
        }
    }

    fn on_provisional(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, response: Box<Message>) {
        let limit = cx.config.limits.forks;
        let Some(session) = self.table.get_mut(&id) else { return };
        let tag = response.to().ok().and_then(|to| to.tag().map(ToOwned::to_owned));
        if let Some(tag) = tag
            && session.early.len() < limit
            && !session.early.iter().any(|dialog| dialog.is_with(Some(&tag)))
            && let Ok(dialog) = Dialog::from_response(&response, session.sequence)
        {
            session.early.push(dialog);
        }
        self.step(cx, below, id, Input::Provisional);
        if self.table.contains_key(&id) {
            cx.out.event(Event::Provisional { session: id, message: response });
        }
    }

    /// The first 2xx: its dialog wins, the others are dropped.
    fn on_success(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        response: &Message,
        facts: Facts,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return self.on_further(cx, below, None, facts, response);
        };
        let dialog = match Dialog::from_response(response, session.sequence) {
            Ok(dialog) => dialog,
            Err(error) => return self.on_failure(cx, below, id, OperationError::MessageParsing(error)),
        };
        let hop_is_ours = dialog.is_routed() || !session.local.via_proxy;
        session.dialog = Some(dialog);
        session.early = Vec::new();
        session.updates = allows_update(response);
        // The session's own connection is the one that its INVITE went over, unless that led to an outbound proxy that
        // stays out of the dialog (P3).
        if hop_is_ours
            && let Some(conn) = facts.conn
            && let Some(lease) = below.low.connections.share(cx, conn)
            && let Some(old) = session.lease.replace(lease)
        {
            below.low.connections.release(cx, old);
        }
        session.ack = Some(Ack { facts, answer: None });
        let cancelled = matches!(session.invitation.machine_state(), State::Cancelling { .. });
        let content = content_of(response);
        let offer = !session.offered && content.is_some();
        match content {
            Some(content) if offer && !cancelled => {
                session.known.offer = true;
                cx.out.event(Event::OfferReceived { session: id, offer: content });
            }
            Some(answer) if !cancelled => cx.out.event(Event::AnswerReceived { session: id, answer }),
            Some(_) | None => {}
        }
        self.step(cx, below, id, Input::Success { offer });
    }

    fn on_failure(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, error: OperationError) {
        if let Some(session) = self.table.get_mut(&id) {
            session.exchange = None;
        }
        let reason = reason_of(&error);
        self.step(cx, below, id, Input::Failure(error, reason));
    }

    /// A further 2xx: of the session's own dialog it is a repetition, acknowledged again; of another fork, or of a
    /// session that has ended, it makes a dialog that is acknowledged and ended (RFC 3261 section 13.2.2.4, S8).
    pub(crate) fn on_further(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: Option<SessionId>,
        facts: Facts,
        response: &Message,
    ) {
        let session = id.and_then(|id| self.table.get_mut(&id));
        let tag = response.to().ok().and_then(|to| to.tag().map(ToOwned::to_owned));
        if let (Some(id), Some(session)) = (id, &session)
            && session.dialog.as_ref().is_some_and(|dialog| dialog.is_with(tag.as_deref()))
        {
            return self.step(cx, below, id, Input::Success { offer: false });
        }
        end_fork(cx, below, response, facts);
    }

    fn on_request_outcome(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: Option<OperationId>,
        outcome: Outcome,
    ) {
        let Some(session) = self.table.get_mut(&id) else { return };
        if let Some(operation) = operation {
            session.requests.remove(&operation);
        }
        let gone = outcome.result.as_ref().err().and_then(OperationError::response).and_then(Message::status)
            == Some(StatusCode::NO_SUCH_CALL);
        if gone {
            self.step(cx, below, id, Input::Gone);
        }
        if let Some(operation) = operation {
            cx.out.complete(operation, outcome.result.map(Completion::Response));
        }
    }

    /// A timer of this session.
    pub(crate) fn handle_timer(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, timer: Timer) {
        self.step(cx, below, id, Input::Fired(timer));
    }

    /// The session that a request with these values belongs to.
    pub(crate) fn find(&self, request: &Message) -> Option<SessionId> {
        let to = request.to().ok()?;
        let id = *self.by_dialog.get(&*key(request.call_id().ok()?, to.tag()?))?;
        let from = request.from_().ok()?;
        let session = self.table.get(&id)?;
        let known = session.dialog.iter().chain(&session.early).any(|dialog| dialog.is_with(from.tag()));
        known.then_some(id)
    }

    /// The session whose INVITE has these values and was accepted, and how that went out, for a 2xx that no transaction
    /// takes.
    pub(crate) fn find_inviting(&self, response: &Message) -> Option<(SessionId, Facts)> {
        let from = response.from_().ok()?;
        let id = *self.by_dialog.get(&*key(response.call_id().ok()?, from.tag()?))?;
        let ack = self.table.get(&id)?.ack.as_ref()?;
        Some((id, ack.facts.clone()))
    }

    /// A CANCEL has met the transaction of this INVITE.
    pub(crate) fn handle_cancel(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, invite: TransactionId) {
        if let Some(id) = self.by_invite.get(&invite).copied() {
            self.step(cx, below, id, Input::Cancel);
        }
    }

    /// The ACK to a 2xx.
    pub(crate) fn handle_ack(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, ack: &Message) {
        let Some(session) = self.table.get_mut(&id) else { return };
        let waiting = matches!(session.invitation.machine_state(), State::Accepting { .. });
        if waiting
            && session.offered
            && let Some(answer) = content_of(ack)
        {
            cx.out.event(Event::AnswerReceived { session: id, answer });
        }
        self.step(cx, below, id, Input::Ack);
    }

    /// Takes the CSeq of a request inside a session; `false` if it is out of order (RFC 3261 section 12.2.2).
    pub(crate) fn take_cseq(&mut self, id: SessionId, request: &Message) -> bool {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let dialog = self.table.get_mut(&id).and_then(|session| session.dialog.as_mut());
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
        let Some(session) = self.table.get_mut(&id) else { return Inside::Done };
        let Some(method) = request.message.method() else { return Inside::Done };
        let number = request.message.cseq().map_or(0, |cseq| cseq.number);
        let in_order = session.dialog.as_mut().is_none_or(|dialog| dialog.take_cseq(number));
        if !in_order {
            let reason = Some("CSeq is lower than the last");
            below.low.reply(cx, request, &Reply { reason, ..Reply::new(StatusCode::SERVER_INTERNAL_ERROR) });
            return Inside::Done;
        }
        session.follow(cx, below, request.conn);
        match method {
            Method::Bye => {
                below.low.reply(cx, request, &Reply::new(StatusCode::OK));
                self.step(cx, below, id, Input::Bye);
                Inside::Done
            }
            Method::Invite | Method::Update => {
                self.on_refresh(cx, below, id, request);
                Inside::Done
            }
            Method::Ack
            | Method::Cancel
            | Method::Options
            | Method::Register
            | Method::Message
            | Method::Info
            | Method::Prack
            | Method::Refer
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Service
            | Method::Benotify
            | Method::Other(_) => Inside::ForApplication(id, session.local.endpoint),
        }
    }

    /// A target refresh of the peer. One that offers nothing is taken; one that would change the session is refused
    /// and leaves it as it was (RFC 3261 section 14.2).
    fn on_refresh(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, request: &Pending) {
        let Some(session) = self.table.get_mut(&id) else { return };
        let update = request.message.method() == Some(&Method::Update);
        if update && request.message.body_bytes().is_empty() {
            if let Some(dialog) = &mut session.dialog {
                dialog.refresh_target(&request.message);
            }
            let reply = Reply {
                contact: Some(&session.local.contact),
                headers: &session.local.headers,
                ..Reply::new(StatusCode::OK)
            };
            below.low.reply(cx, request, &reply);
        } else {
            below.low.reply(cx, request, &Reply::new(StatusCode::NOT_ACCEPTABLE_HERE));
        }
    }

    fn step(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, input: Input) {
        let Some(session) = self.table.get_mut(&id) else { return };
        let mut effects = Vec::new();
        session.invitation.step(cx, input, &mut effects);
        for effect in effects {
            self.carry_out(cx, below, id, effect);
        }
    }

    fn carry_out(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, effect: Effect) {
        let session = self.table.get_mut(&id);
        match (effect, session) {
            (Effect::Complete(operation, result), _) => {
                cx.out.complete(operation, result.map(|()| Completion::Done));
            }
            (Effect::Changed { old, new, reason }, Some(session)) => {
                let endpoint = session.local.endpoint;
                cx.out.event(Event::Session { session: id, old, new, reason });
                if new == SessionState::Disconnected {
                    self.end(cx, below, id, endpoint);
                }
            }
            (Effect::SendInvite, Some(session)) => {
                let draft = session.invite_draft();
                session.exchange = Some(start(cx, below, session, id, draft, SessionPart::Invite));
            }
            (Effect::SendCancel, Some(session)) => {
                if let Some(exchange) = session.exchange {
                    below.exchanges.cancel(cx, below.low, exchange, below.up);
                }
            }
            (Effect::SendAck, Some(session)) => {
                if let (Some(dialog), Some(ack)) = (&session.dialog, &session.ack) {
                    let mut draft = dialog.request(Method::Ack, None);
                    draft.sequence = Sequence::Fixed(ack.facts.cseq);
                    draft.headers = session.local.request_headers(&Method::Ack);
                    draft.headers.extend(
                        ack.facts.credentials.iter().map(|(name, value)| (*name, value.clone().into_boxed_str())),
                    );
                    draft.content.clone_from(&ack.answer);
                    start(cx, below, session, id, draft, SessionPart::Ack);
                }
            }
            (Effect::SendBye, Some(session)) => {
                if let Some(dialog) = &session.dialog {
                    let mut draft = dialog.request(Method::Bye, None);
                    draft.headers = session.local.request_headers(&Method::Bye);
                    session.exchange = Some(start(cx, below, session, id, draft, SessionPart::Bye));
                }
            }
            (Effect::RepeatSuccess, Some(session)) => {
                if let (Some(invite), Some(success)) = (&session.invite, &session.success) {
                    below.low.send_reply(cx, invite, StatusCode::OK, success.clone());
                }
            }
            (Effect::Refuse(code), Some(session)) => {
                if let (Some(invite), Some(status)) = (session.invite.take(), StatusCode::new(code)) {
                    self.by_invite.remove(&invite.transaction);
                    below.low.reply(cx, &invite, &Reply::new(status));
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

    /// Gives back all that a session held; what its requests waited for completes as SessionTerminated.
    fn end(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, endpoint: EndpointId) {
        let Some(mut session) = self.table.remove(&id) else { return };
        session.invitation.stop(cx);
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
    }
}

impl Session {
    /// The peer has made a new connection in place of one that is gone: it is the session's from now on, for where it
    /// does not listen it cannot be reached otherwise (C13). A SipEndpoint has the connection to its server (R22).
    fn follow(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, conn: ConnId) {
        let held = self.lease.as_ref().is_some_and(|lease| below.low.connections.is_usable(lease.conn()));
        if held || !self.local.is_peer_to_peer() {
            return;
        }
        if let Some(lease) = below.low.connections.share(cx, conn)
            && let Some(old) = self.lease.replace(lease)
        {
            below.low.connections.release(cx, old);
        }
    }

    fn invite_draft(&self) -> Draft {
        Draft {
            method: Method::Invite,
            uri: self.target.clone(),
            route: self.local.route.clone(),
            from: self.local.from(&self.tag),
            to: alloc::format!("<{}>", self.target).into(),
            call_id: self.call_id.clone(),
            sequence: Sequence::Counter(self.sequence),
            contact: Some(self.local.contact.clone()),
            headers: self.local.request_headers(&Method::Invite),
            extra: self.local.extra.iter().chain(&self.cargo.extra).cloned().collect(),
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
    let lease = held.and_then(|conn| below.low.connections.share(cx, conn));
    let owner = Owner::Session(id, part);
    // The end of a session does not wait for a better time; told twice, it is the end all the same (C35).
    let ends = part == SessionPart::Bye;
    let policy = session.local.policy;
    let policy = Policy {
        retry_after: policy.retry_after && !ends,
        repeatable: policy.repeatable || ends || part == SessionPart::Refresh,
        ..policy
    };
    let request = Request { draft, lease, owner, policy };
    below.exchanges.start(cx, below.low, request, below.up)
}

/// Acknowledges and ends a dialog that no session wants.
fn end_fork(
    cx: &mut Cx<'_>,
    below: &mut Below<'_, '_>,
    response: &Message,
    facts: Facts,
) {
    let Facts { conn, credentials, identity, .. } = facts;
    let cseq = response.cseq().map_or(1, |cseq| cseq.number);
    let sequence = below.exchanges.new_sequence(cx, cseq.saturating_add(1));
    let Ok(dialog) = Dialog::from_response(response, sequence) else {
        below.exchanges.drop_sequence(sequence);
        return;
    };
    let mut ack = dialog.request(Method::Ack, None);
    ack.sequence = Sequence::Fixed(cseq);
    ack.headers = credentials.into_iter().map(|(name, value)| (name, value.into_boxed_str())).collect();
    let mut bye = dialog.request(Method::Bye, None);
    bye.sequence = Sequence::Fixed(cseq.saturating_add(1));
    below.exchanges.drop_sequence(sequence);
    for draft in [ack, bye] {
        let Some(lease) = conn.and_then(|conn| below.low.connections.share(cx, conn)) else { return };
        let policy = Policy { retry_after: false, repeatable: false, redirects: 0, identity };
        let request = Request { draft, lease: Some(lease), owner: Owner::Nobody, policy };
        below.exchanges.start(cx, below.low, request, below.up);
    }
}

fn key(call_id: &str, local_tag: &str) -> Box<str> {
    let mut key = String::with_capacity(call_id.len() + local_tag.len() + 1);
    key.push_str(call_id);
    // Neither holds a blank.
    key.push(' ');
    key.push_str(local_tag);
    key.into_boxed_str()
}

fn content_of(message: &Message) -> Option<Content> {
    if message.body_bytes().is_empty() {
        return None;
    }
    let content_type = message.raw(HeaderName::ContentType).unwrap_or(b"application/sdp");
    Some(Content::new(String::from_utf8_lossy(content_type).trim(), message.body()))
}

fn allows_update(message: &Message) -> bool {
    message.list::<Allow>().any(|method| method.is_ok_and(|Allow(method)| method == Method::Update))
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
        486 | 600 => SessionReason::Busy,
        487 => SessionReason::Canceled,
        488 | 606 => SessionReason::NotAcceptableMedia,
        603 | 605 => SessionReason::Declined,
        404 | 410 | 604 | 300..=399 | 500..=599 => SessionReason::Unreachable,
        _ => SessionReason::NotAcceptable,
    }
}

const fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Idle => "Idle",
        SessionState::Incoming => "Incoming",
        SessionState::Connecting => "Connecting",
        SessionState::Alerted => "Alerted",
        SessionState::Redirecting => "Redirecting",
        SessionState::Connected => "Connected",
        SessionState::Disconnected => "Disconnected",
    }
}
