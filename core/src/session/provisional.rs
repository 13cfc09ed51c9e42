//! Provisional responses, from either side (rules S2, S7, S8): what the application and the network bring to the machine of
//! [`reliable`](super::reliable), and what it asks for as messages.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use super::change::refuse_clash;
use super::invitation::{Input, State};
use super::offer::{self, Carrier, Meaning, Offers};
use super::receive::content_of;
use super::reliable::{self, InOrder, Reliable};
use super::{Below, Session, Sessions, let_go, start_over};
use crate::cx::Cx;
use crate::dialog::Dialog;
use crate::endpoint::ReliableResponses;
use crate::error::Misuse;
use crate::event::{Content, Event, OperationError, OperationFailure, SessionReason};
use crate::exchange::{ContactTemplate, Draft, Pending, Reply, SessionPart};
use crate::ids::{ConnId, ExchangeId, OperationId, SequenceId, SessionId};
use crate::wire::header::{Header, RAck, RSeq, Require, Supported};
use crate::wire::{HeaderName, Message, Method, StatusCode};

/// The option tag of RFC 3262.
pub(crate) const RELIABLE: &str = "100rel";

/// A fork that has answered provisionally.
#[derive(Clone, Debug)]
pub(super) struct Early {
    pub(super) dialog: Dialog,
    /// What is open between it and us: each answers our offer for itself.
    pub(super) offers: Offers,
    /// The CSeq counter of the dialog, once there was a request in it: each counts on from the INVITE.
    sequence: Option<SequenceId>,
    /// The last PRACK.
    prack: Option<ExchangeId>,
    order: InOrder,
    /// The number of the response whose offer waits for the application's answer.
    unanswered: Option<u32>,
}

/// A fork in canonical form: what is open, whether reliable responses have come, and whether one waits for an answer.
pub(super) type Fingerprint = (offer::State, bool, bool);

impl Early {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let begun = self.order != InOrder::default();
        (self.offers.state(), begun, self.unanswered.is_some())
    }
}

/// The callee's side.
#[derive(Clone, Debug)]
pub(super) struct Provisionals {
    machine: Reliable,
    /// The CSeq number of the INVITE that they answer: a PRACK names it, and may come after the end of that (RFC 3262
    /// section 3).
    invite: u32,
    rest: Option<Box<Rest>>,
}

/// What a callee has besides who sends one.
#[derive(Clone, Debug, Default)]
struct Rest {
    /// The response that waits for its PRACK, and whether it has a body.
    last: Option<(StatusCode, Bytes)>,
    has_body: bool,
    /// Those that wait behind it.
    queue: VecDeque<(StatusCode, Option<Content>)>,
    /// The application has accepted: a 2xx waits for the PRACK, too (RFC 3262 section 3).
    accept: Option<(OperationId, Option<Content>)>,
}

impl Provisionals {
    pub(super) const fn new(session: SessionId, branch: u8) -> Self {
        Self {
            machine: Reliable::new(session, branch),
            invite: 0,
            rest: None,
        }
    }

    /// Nothing is acknowledged any more, and an accept that has waited for it is no more.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>) -> Option<OperationId> {
        if !self.machine.is_idle() {
            self.machine.step(cx, reliable::Input::Over, &mut Vec::new());
        }
        let rest = self.rest.take()?;
        rest.accept.map(|(operation, _)| operation)
    }

    /// Whether no response waits for its PRACK.
    pub(super) const fn is_idle(&self) -> bool {
        self.machine.is_idle()
    }

    /// Whether one that waits for its turn has a body.
    pub(super) fn has_body_to_come(&self) -> bool {
        let rest = self.rest.as_ref();
        rest.is_some_and(|rest| rest.queue.iter().any(|(_, content)| content.is_some()))
    }

    pub(super) fn fingerprint(&self, now: crate::time::Time) -> (reliable::Fingerprint, usize, bool) {
        let rest = self.rest.as_ref();
        let queued = rest.map_or(0, |rest| rest.queue.len());
        let accepts = rest.is_some_and(|rest| rest.accept.is_some());
        (self.machine.fingerprint(now), queued, accepts)
    }
}

/// Whether the sender of an INVITE takes reliable responses.
pub(crate) fn takes_reliable(invite: &Message) -> bool {
    let mut supported = invite.list::<Supported<'_>>();
    supported.any(|tag| tag.is_ok_and(|tag| tag.0.eq_ignore_ascii_case(RELIABLE)))
        || requires_reliable(invite)
}

fn requires_reliable(message: &Message) -> bool {
    let mut required = message.list::<Require<'_>>();
    required.any(|tag| tag.is_ok_and(|tag| tag.0.eq_ignore_ascii_case(RELIABLE)))
}

/// The callee's side: what the application commands.
impl Sessions {
    pub(crate) fn provisional(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        status: StatusCode,
        content: Option<Content>,
    ) -> Result<(), Misuse> {
        let Some(session) = self.table.get_mut(&id) else {
            return Ok(());
        };
        if !session.is_reliable {
            if let Some(bytes) = session.send_provisional(cx, below, status, content.as_ref(), &[]) {
                session.ring(cx, id, status, bytes);
            }
            return Ok(());
        }
        let provisionals = &mut session.provisionals;
        if provisionals.machine.is_waiting() {
            let rest = provisionals.rest.get_or_insert_default();
            if rest.queue.len() >= cx.config.limits.pending_per_session {
                cx.counters.refusals.pending_per_session += 1;
                return Err(Misuse::Limit("provisional responses that wait in one session"));
            }
            rest.queue.push_back((status, content));
            return Ok(());
        }
        self.send_reliably(cx, below, id, status, content);
        Ok(())
    }

    /// Whether an accept has to wait for a PRACK: a body is under way that has to be there before the 2xx is.
    pub(super) fn defer_accept(
        &mut self,
        id: SessionId,
        operation: OperationId,
        content: &Option<Content>,
    ) -> bool {
        let Some(session) = self.table.get_mut(&id) else {
            return false;
        };
        let waits = session.provisionals.machine.is_waiting();
        match session
            .provisionals
            .rest
            .as_mut()
            .filter(|rest| waits && rest.has_body)
        {
            Some(rest) => {
                rest.queue.clear();
                rest.accept = Some((operation, content.clone()));
                true
            }
            None => false,
        }
    }

    fn send_reliably(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        status: StatusCode,
        content: Option<Content>,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        let machine = &mut session.provisionals.machine;
        machine.step(cx, reliable::Input::Send, &mut effects);
        let Some(number) = effects.iter().find_map(|effect| match effect {
            reliable::Effect::Send(number) => Some(*number),
            reliable::Effect::Repeat
            | reliable::Effect::Acknowledged
            | reliable::Effect::Unknown
            | reliable::Effect::Expired => None,
        }) else {
            return;
        };
        let headers = [
            (HeaderName::Require, Box::from(RELIABLE)),
            (HeaderName::RSeq, number.to_string().into_boxed_str()),
        ];
        let bytes = session.send_provisional(cx, below, status, content.as_ref(), &headers);
        // The first body answers the offer, or is the offer that the INVITE asked for; later ones say nothing.
        if content.is_some() && session.change.offers.awaits_response() {
            session
                .change
                .offers
                .step(cx, offer::Input::Sent(Carrier::Reliable));
        }
        let invite = session.invite.as_ref().map(|invite| invite.message.cseq());
        session.provisionals.invite = invite.map_or(0, |cseq| cseq.map_or(0, |cseq| cseq.number));
        let rest = session.provisionals.rest.get_or_insert_default();
        rest.has_body = content.is_some();
        rest.last = bytes.map(|bytes| (status, bytes));
    }

    fn step_reliable(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        input: reliable::Input,
    ) -> bool {
        let mut effects = Vec::new();
        if let Some(session) = self.table.get_mut(&id) {
            session.provisionals.machine.step(cx, input, &mut effects);
        }
        for effect in &effects {
            match effect {
                reliable::Effect::Repeat => {
                    if let Some(session) = self.table.get(&id)
                        && let Some(invite) = &session.invite
                        && let Some((status, bytes)) = session
                            .provisionals
                            .rest
                            .as_ref()
                            .and_then(|rest| rest.last.clone())
                    {
                        below.low.send_reply(cx, invite, status, bytes);
                    }
                }
                reliable::Effect::Expired => {
                    let status = StatusCode::SERVER_TIMEOUT;
                    self.refuse_invite(cx, below, id, &Reply::new(status));
                    self.step(cx, below, id, Input::Decline(SessionReason::Timeout));
                }
                // Its sender and its receiver see to these.
                reliable::Effect::Send(_) | reliable::Effect::Acknowledged | reliable::Effect::Unknown => {}
            }
        }
        effects.contains(&reliable::Effect::Acknowledged)
    }

    pub(super) fn handle_reliable_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        (branch, timer): (u8, reliable::Timer),
    ) {
        if let Some(session) = self.table.get_mut(&id) {
            session.enter(branch);
        }
        self.step_reliable(cx, below, id, reliable::Input::Fired(timer));
    }

    /// The INVITE has its final response: nothing is repeated any more.
    pub(super) fn close_provisionals(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let waits = |session: &Session| session.provisionals.machine.is_waiting();
        if self.table.get(&id).is_some_and(waits) {
            self.step_reliable(cx, below, id, reliable::Input::Final);
        }
        if let Some(session) = self.table.get_mut(&id) {
            session.provisionals.rest = None;
        }
    }

    /// The callee's side: a PRACK (RFC 3262 section 3).
    pub(super) fn on_prack(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        prack: &Pending,
    ) {
        let session = self.table.get(&id);
        let number = session.map(|session| session.provisionals.invite);
        let rack = prack.message.typed::<RAck>().ok().flatten();
        let rack = rack.filter(|rack| rack.method == Method::Invite && Some(rack.number) == number);
        let offer = content_of(&prack.message);
        // One change at a time waits for the application, in whichever early dialog: the PRACK is to come again.
        let busy = offer.is_some()
            && self.table.get(&id).is_some_and(|session| {
                let answers = matches!(session.change.offers.state(), offer::State::Ours(_));
                session.change.awaits_update() && !answers
            });
        if busy {
            refuse_clash(cx, below, prack, Meaning::Busy);
            return;
        }
        let known = rack.is_some_and(|rack| {
            let input = reliable::Input::Prack(rack.response);
            self.step_reliable(cx, below, id, input)
        });
        let Some(session) = self.table.get_mut(&id).filter(|_| known) else {
            below.low.reply(cx, prack, &Reply::new(StatusCode::NO_SUCH_CALL));
            return;
        };
        let meaning = match &offer {
            Some(_) => session
                .change
                .offers
                .step(cx, offer::Input::Received(Carrier::Prack)),
            None => Meaning::Nothing,
        };
        if meaning == Meaning::Offer {
            self.propose(cx, below, id, prack, offer);
        } else if !refuse_clash(cx, below, prack, meaning) {
            below.low.reply(cx, prack, &Reply::new(StatusCode::OK));
            match (meaning, offer) {
                (Meaning::Answer, Some(answer)) => {
                    cx.out.event(Event::AnswerReceived { session: id, answer })
                }
                // An offer of ours without an answer is void.
                _ if matches!(
                    session.change.offers.state(),
                    offer::State::Ours(Carrier::Reliable)
                ) =>
                {
                    session.change.settle(cx);
                }
                _ => {}
            }
        }
        self.send_next(cx, below, id);
    }

    /// What has waited for a PRACK goes out.
    fn send_next(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let Some(rest) = session.provisionals.rest.as_mut() else {
            return;
        };
        if let Some((operation, content)) = rest.accept.take() {
            self.accept(cx, below, id, operation, content);
        } else if let Some((status, content)) = rest.queue.pop_front() {
            self.send_reliably(cx, below, id, status, content);
        } else {
            session.provisionals.rest = None;
            self.free_change(cx, below, id);
        }
    }
}

/// The caller's side.
impl Sessions {
    pub(super) fn on_provisional(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        response: Box<Message>,
    ) {
        let limit = cx.config.limits.forks;
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let tag = response.to().ok().and_then(|to| to.tag().map(ToOwned::to_owned));
        if let Some(tag) = &tag
            && session.early(Some(tag)).is_none()
            && let Ok(dialog) = Dialog::from_response(&response, session.sequence)
        {
            if session.early.len() < limit {
                session.early.push(Early {
                    dialog,
                    offers: session.change.offers,
                    sequence: None,
                    prack: None,
                    order: InOrder::default(),
                    unanswered: None,
                });
            } else {
                cx.counters.refusals.forks += 1;
            }
        }
        let number = session.number_of(&response);
        if let Some(number) = number
            && let Some(early) = session.early_mut(tag.as_deref())
            && !early.order.take(number)
        {
            cx.counters.retransmissions.received += 1;
            return;
        }
        let content = content_of(&response);
        let status = response.status().unwrap_or(StatusCode::TRYING);
        self.step(cx, below, id, Input::Provisional);
        self.report(cx, below, id, status);
        if self.table.contains_key(&id) {
            cx.out.event(Event::Provisional {
                session: id,
                message: response,
            });
        }
        if let (Some(number), Some(tag)) = (number, tag) {
            self.take_reliable(cx, below, id, (&tag, number), content);
        }
    }

    /// A reliable response is acknowledged; one that brings an offer when the application has answered it.
    fn take_reliable(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        (tag, number): (&str, u32),
        content: Option<Content>,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let over = session.known.over;
        let Some(early) = session.early_mut(Some(tag)) else {
            return;
        };
        let meaning = match &content {
            Some(_) if !early.offers.is_settled() => {
                early.offers.step(cx, offer::Input::Received(Carrier::Reliable))
            }
            Some(_) | None => Meaning::Nothing,
        };
        match (meaning, content) {
            (Meaning::Offer, Some(offer)) if !over => {
                early.unanswered = Some(number);
                session.known.offer = true;
                return cx.out.event(Event::OfferReceived { session: id, offer });
            }
            (Meaning::Answer, Some(answer)) if !over => {
                cx.out.event(Event::AnswerReceived { session: id, answer });
            }
            _ => {}
        }
        if !self.offers_in_prack(cx, below, id, (tag, number))
            && let Some(session) = self.table.get_mut(&id)
        {
            session.send_prack(cx, below, id, (tag, number), None);
        }
    }

    /// The application's answer to an offer in a reliable response; whether there is one.
    pub(super) fn answer_in_prack(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        answer: &Content,
    ) -> bool {
        let Some(session) = self.table.get_mut(&id) else {
            return false;
        };
        if !matches!(session.invitation.machine_state(), State::Inviting { .. }) {
            return false;
        }
        let mut waiting = session
            .early
            .iter_mut()
            .filter(|early| early.unanswered.is_some());
        let Some(early) = waiting.next() else {
            return false;
        };
        session.known.offer = waiting.next().is_some();
        let Some(number) = early.unanswered.take() else {
            return false;
        };
        early.offers.step(cx, offer::Input::Sent(Carrier::Prack));
        let tag = early.dialog.remote_tag.clone().unwrap_or_default();
        session.send_prack(cx, below, id, (&tag, number), Some(answer.clone()));
        true
    }
}

impl Session {
    pub(super) fn early(&self, tag: Option<&str>) -> Option<&Early> {
        self.early.iter().find(|early| early.dialog.is_with(tag))
    }

    pub(super) fn early_mut(&mut self, tag: Option<&str>) -> Option<&mut Early> {
        self.early.iter_mut().find(|early| early.dialog.is_with(tag))
    }

    /// The dialog that a request of the peer is in.
    pub(super) fn dialog_of(&mut self, request: &Message) -> Option<&mut Dialog> {
        if self.dialog.is_some() {
            return self.dialog.as_mut();
        }
        let from = request.from_().ok()?;
        self.early_mut(from.tag()).map(|early| &mut early.dialog)
    }

    /// What is open there.
    pub(super) fn offers_of(&mut self, request: &Message) -> &mut Offers {
        let tag = request
            .from_()
            .ok()
            .and_then(|from| from.tag().map(ToOwned::to_owned));
        self.offers_with(tag.as_deref())
    }

    /// What is open with this fork, or in the one dialog.
    pub(super) fn offers_with(&mut self, tag: Option<&str>) -> &mut Offers {
        let early = self.early.iter_mut();
        let mut with = early.filter(|early| early.dialog.is_with(tag));
        match with.next() {
            Some(early) => &mut early.offers,
            None => &mut self.change.offers,
        }
    }

    /// The number of a response that asks for a PRACK. What this side has not offered to take is as any other.
    fn number_of(&self, response: &Message) -> Option<u32> {
        if self.local.reliable == ReliableResponses::Unsupported || !requires_reliable(response) {
            return None;
        }
        let RSeq(number) = response.typed::<RSeq>().ok().flatten()?;
        Some(number)
    }

    pub(super) fn send_prack(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        (tag, number): (&str, u32),
        content: Option<Content>,
    ) -> Option<ExchangeId> {
        let (mut draft, cseq, conn) = self.request_in_fork(cx, below, tag, Method::Prack, None)?;
        let rack = RAck {
            response: number,
            number: cseq,
            method: Method::Invite,
        };
        let mut value = alloc::string::String::new();
        rack.write(&mut value);
        let block = self.local.voice.request(&Method::Prack);
        draft.block = block.and([(HeaderName::RAck.as_str(), &*value)]);
        draft.content = content;
        let prack = start_over(cx, below, self, id, (draft, SessionPart::Prack), conn);
        if let Some(early) = self.early_mut(Some(tag)) {
            early.prack = Some(prack);
        }
        Some(prack)
    }

    /// A request in the dialog of a fork, the number of its INVITE, and the connection that it goes out over.
    pub(super) fn request_in_fork(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        tag: &str,
        method: Method,
        contact: Option<ContactTemplate>,
    ) -> Option<(Draft, u32, Option<ConnId>)> {
        let facts = self.exchange.and_then(|exchange| below.exchanges.facts(exchange));
        let (cseq, conn) = facts.map(|facts| (facts.cseq, facts.conn))?;
        let via_proxy = self.local.via_proxy;
        let early = self.early_mut(Some(tag))?;
        let begin = || below.exchanges.new_sequence(cx, cseq.saturating_add(1));
        early.dialog.sequence = *early.sequence.get_or_insert_with(begin);
        // Before it has its own connection a dialog goes the way of its INVITE, where an outbound proxy stays in it (P3).
        let conn = conn.filter(|_| early.dialog.is_routed() || !via_proxy);
        Some((early.dialog.request(method, contact), cseq, conn))
    }

    fn send_provisional(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        status: StatusCode,
        content: Option<&Content>,
        headers: &[(HeaderName, Box<str>)],
    ) -> Option<Bytes> {
        let extra = self.take_attached();
        let invite = self.invite.as_ref()?;
        let reply = Reply {
            extra: &extra,
            contact: Some(&self.local.contact),
            block: Some(&self.local.voice.description()),
            headers,
            content,
            record_route: true,
            ..Reply::new(status)
        };
        Some(below.low.reply(cx, invite, &reply))
    }

    /// Forgets the forks, and keeps the CSeq counter of the one that has won. Where the others are leaves with the INVITE,
    /// for the BYE that ends what they may still accept; gives the highest number in their dialogs.
    pub(super) fn drop_early(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        winner: Option<&str>,
    ) -> u32 {
        let mut highest = 0;
        for early in core::mem::take(&mut self.early) {
            let wins = winner.is_some() && early.dialog.is_with(winner);
            if wins {
                self.prack = early.prack;
            } else if let Some(prack) = early.prack {
                let_go(cx, below, prack);
            }
            match early.sequence {
                Some(sequence) if wins => {
                    below.exchanges.drop_sequence(self.sequence);
                    self.sequence = sequence;
                }
                Some(sequence) => {
                    let tag = early.dialog.remote_tag.as_deref().unwrap_or_default();
                    highest = highest.max(below.exchanges.leave_fork(self.exchange, tag, sequence));
                }
                None => {}
            }
        }
        highest
    }
}

/// How an accept ends that had no time to go out.
pub(super) const fn ended() -> OperationError {
    OperationError::OperationFailure(OperationFailure::SessionTerminated)
}
