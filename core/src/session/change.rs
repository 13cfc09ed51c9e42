//! Changes of an established session (rules S5, S6): what the application and the network bring to the machines of
//! [`renegotiation`](super::renegotiation) and [`proposal`](super::proposal). What these ask for is in [`effects`].

mod effects;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::ToString;
use core::time::Duration;

use bytes::Bytes;

use super::early::{self, aborted, legal_in};
use super::invitation::{self, State};
use super::offer::{self, Carrier, Meaning, Offers};
use super::proposal::{self, Proposal};
use super::receive::{Fork, allows_update, content_of};
use super::renegotiation::{self, Renegotiation};
use super::{Ack, Below, EarlyDialog, Offered, Session, Sessions, start, too_brief};
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::dialog::Dialog;
use crate::error::Misuse;
use crate::event::{Content, Event, OperationError, OperationFailure, SessionState};
use crate::exchange::{Outcome, Pending, Reply, SessionPart, retry_after};
use crate::ids::{ExchangeId, OperationId, SessionId};
use crate::wire::{HeaderName, Message, Method, StatusCode};

/// Where the changes of a session stand.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) offers: Offers,
    pub(super) ours: Renegotiation,
    theirs: Proposal,
    /// What this side offers.
    pub(super) offer: Option<Box<Offered>>,
    pub(super) exchange: Option<ExchangeId>,
    /// What the peer offers.
    request: Option<Box<Proposed>>,
    /// The ACK to the last re-INVITE, for a 2xx that comes again.
    pub(super) ack: Option<Box<Ack>>,
}

/// A re-INVITE or UPDATE of the peer.
#[derive(Clone, Debug)]
struct Proposed {
    pending: Pending,
    /// Our 2xx, as long as it waits for its ACK.
    success: Option<Bytes>,
}

/// The changes of a session in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    offers: offer::State,
    ours: renegotiation::Fingerprint,
    theirs: proposal::Fingerprint,
    offer: Option<early::Fingerprint>,
}

impl Change {
    pub(super) const fn new(session: SessionId) -> Self {
        Self {
            offers: Offers::new(),
            ours: Renegotiation::new(session),
            theirs: Proposal::new(session),
            offer: None,
            exchange: None,
            request: None,
            ack: None,
        }
    }

    pub(super) fn fingerprint(&self, now: crate::time::Time) -> Fingerprint {
        Fingerprint {
            offers: self.offers.state(),
            ours: self.ours.fingerprint(now),
            theirs: self.theirs.fingerprint(now),
            offer: self.offer.as_ref().map(|offered| offered.fingerprint()),
        }
    }

    /// The peer's change, if it came in this transaction.
    pub(super) fn request(&self, transaction: crate::ids::TransactionId) -> Option<&Pending> {
        let pending = &self.request.as_ref()?.pending;
        (pending.transaction == transaction).then_some(pending)
    }

    /// Whether this is the number of the peer's change.
    fn is_of(&self, number: u32) -> bool {
        self.request
            .as_ref()
            .is_some_and(|request| number_of(&request.pending.message) == number)
    }

    /// Whether an UPDATE or PRACK of the peer waits for the application.
    pub(super) fn awaits_update(&self) -> bool {
        let request = self.request.as_ref().filter(|_| self.theirs.is_asked());
        request.is_some_and(|request| request.pending.message.method() != Some(&Method::Invite))
    }

    pub(super) fn is_reinvite(&self) -> bool {
        let offered = self.offer.as_ref();
        offered.is_some_and(|offered| offered.method == Method::Invite)
    }
}

impl Session {
    /// Whether no change of the peer is open, so that one of this side may begin.
    pub(super) fn is_free(&mut self) -> bool {
        if !self.change.theirs.is_idle() {
            return false;
        }
        match self.invitation.machine_state() {
            State::Connected => true,
            State::Offered { .. } => self.is_free_early(),
            State::Inviting { .. } => self.is_fork_free(),
            State::Idle
            | State::Redirecting { .. }
            | State::Cancelling { .. }
            | State::Answering { .. }
            | State::Accepting { .. }
            | State::Leaving { .. }
            | State::Disconnected => false,
        }
    }

    /// Whether an INVITE of this side has not had its end (RFC 3261 section 14.1).
    fn invites(&self) -> bool {
        let begins = matches!(
            self.invitation.machine_state(),
            State::Inviting { .. } | State::Cancelling { .. } | State::Answering { .. }
        );
        begins || (self.change.ours.is_open() && self.change.is_reinvite())
    }
}

/// What the application commands.
impl Sessions {
    /// A change is for an established session, or for an [early](early) dialog, one at a time, and not while one of the
    /// peer's waits for the application.
    pub(crate) fn may_renegotiate(
        &self,
        id: SessionId,
        method: &Method,
        early: EarlyDialog,
    ) -> Result<(), Misuse> {
        let operation = "renegotiate";
        let incoming = self.table.get(&id).is_some_and(|session| session.incoming);
        let legal = legal_in(method, self.known(id)?.state, incoming);
        self.may(id, operation, legal)?;
        if legal != SessionState::Connected {
            self.may_change_early(id, method, early)?;
        }
        if self.known(id)?.asked.is_some() {
            let state = "a change that the peer offers waits for an answer";
            return Err(Misuse::State { operation, state });
        }
        let busy = self
            .table
            .get(&id)
            .is_some_and(|session| !session.change.ours.is_idle());
        if busy {
            let state = "a renegotiation is under way";
            return Err(Misuse::State { operation, state });
        }
        Ok(())
    }

    pub(crate) fn renegotiate(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        mut offered: Offered,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let waits = matches!(
            session.invitation.machine_state(),
            State::Inviting { .. } | State::Redirecting { .. }
        );
        if offered.method == Method::Prack && !waits {
            cx.out.complete(operation, Err(aborted()));
            return;
        }
        session.choose_fork(&mut offered);
        session.change.offer = Some(Box::new(offered));
        let (free, bounded) = (session.is_free(), session.change.is_reinvite());
        let input = renegotiation::Input::Renegotiate {
            operation,
            free,
            bounded,
        };
        self.step_ours(cx, below, id, input);
    }

    /// Whether the change may still not come about.
    pub(crate) fn cancel_renegotiation(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
    ) -> bool {
        let Some(session) = self.table.get(&id) else {
            return false;
        };
        let change = &session.change;
        // An UPDATE cannot be cancelled once it is on its way (RFC 3261 section 9.1).
        let lost = change.ours.is_idle() || (change.ours.is_open() && !change.is_reinvite());
        if !lost && !change.ours.is_cancelling() {
            self.step_ours(cx, below, id, renegotiation::Input::Cancel);
        }
        !lost
    }

    /// A decision is for a change that the application has seen and not decided on.
    pub(crate) fn may_decide(&self, id: SessionId, operation: &'static str) -> Result<(), Misuse> {
        let known = self.known(id)?;
        if known.over || known.asked.is_none() {
            return Err(Misuse::State {
                operation,
                state: "no change that the peer offers waits for an answer",
            });
        }
        Ok(())
    }

    /// The application has taken the event of a change with this CSeq, or that there is none any more.
    pub(crate) fn seen_proposal(&mut self, id: SessionId, number: Option<u32>) {
        if let Some(known) = self.known_mut(id) {
            known.asked = number;
        }
    }

    /// Whether the change that the application decides on is still there.
    fn decides(&mut self, id: SessionId) -> bool {
        let asked = self.known_mut(id).and_then(|known| known.asked.take());
        let Some(session) = self.table.get_mut(&id) else {
            return false;
        };
        session.enter_proposal();
        session.change.theirs.is_asked() && asked.is_some_and(|number| session.change.is_of(number))
    }

    pub(crate) fn accept_renegotiation(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        content: &Content,
    ) {
        let there = self.decides(id);
        let session = self.table.get_mut(&id).filter(|_| there);
        let Some((session, request)) = session.and_then(|session| {
            let request = session.change.request.take()?;
            Some((session, request))
        }) else {
            let gone = OperationError::OperationFailure(OperationFailure::Aborted);
            cx.out.complete(operation, Err(gone));
            return;
        };
        let message = &*request.pending.message;
        let (acknowledged, carrier) = match message.method() {
            Some(Method::Invite) => (true, Carrier::Success),
            Some(Method::Prack) => (false, Carrier::PrackSuccess),
            _ => (false, Carrier::UpdateSuccess),
        };
        // A PRACK is no target refresh.
        let heals = carrier != Carrier::PrackSuccess && session.refresh_by(message);
        let (agreed, fields) = session.agree(message, cx.config);
        let reply = Reply {
            record_route: heals,
            contact: Some(&session.local.contact),
            block: Some(&session.local.voice.description()),
            headers: &fields,
            content: Some(content),
            ..Reply::new(StatusCode::OK)
        };
        let success = below.low.reply(cx, &request.pending, &reply);
        session.offers_of(message).step(cx, offer::Input::Sent(carrier));
        if acknowledged {
            let success = Some(success);
            session.change.request = Some(Box::new(Proposed { success, ..*request }));
        }
        let input = proposal::Input::Accept {
            operation,
            acknowledged,
        };
        self.step_theirs(cx, below, id, input);
        self.step_timer(cx, below, id, agreed);
        if heals {
            self.on_healed(cx, below, id);
        }
    }

    /// Refuses the peer's change with 400 to 699: the session is as it was (RFC 3261 section 14.2).
    pub(crate) fn reject_renegotiation(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        status: StatusCode,
        reason: Option<&str>,
    ) {
        if !self.decides(id) {
            return;
        }
        let reply = Reply {
            reason,
            ..Reply::new(status)
        };
        self.refuse_proposal(cx, below, id, &reply);
        self.step_theirs(cx, below, id, proposal::Input::Reject);
    }
}

/// What the network brings.
impl Sessions {
    /// A re-INVITE or UPDATE of the peer. One that offers nothing refreshes the target; else the application decides,
    /// unless it meets what is open (RFC 3261 section 14.2, RFC 3311 section 5.2).
    pub(super) fn on_proposal(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        request: &Pending,
    ) {
        let invites = request.message.method() == Some(&Method::Invite);
        let offer = content_of(&request.message);
        if invites {
            self.imply_ack(cx, below, id);
        }
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        // The peer does not know yet that the session is over (RFC 5407 section 3.2.2).
        if matches!(session.invitation.machine_state(), State::Leaving { .. }) {
            below
                .low
                .reply(cx, request, &Reply::new(StatusCode::NO_SUCH_CALL));
            return;
        }
        if let Some(least) = too_brief(&request.message, cx.config) {
            let reply = Reply {
                headers: &[least],
                ..Reply::refusal(
                    StatusCode::SESSION_INTERVAL_TOO_SMALL,
                    Diagnosis::IntervalTooSmall,
                )
            };
            below.low.reply(cx, request, &reply);
            return;
        }
        session.updates |= allows_update(&request.message);
        let pending = session.change.theirs.is_asked()
            || matches!(session.invitation.machine_state(), State::Offered { .. });
        let meaning = match (&offer, invites) {
            (_, true) if pending => Meaning::Busy,
            (_, true) if session.invites() => Meaning::Glare,
            (Some(_), true) => {
                let input = offer::Input::Received(Carrier::Invite);
                session.change.offers.step(cx, input)
            }
            (None, true) => session.change.offers.step(cx, offer::Input::Asked),
            (_, false) if session.change.awaits_update() => Meaning::Busy,
            (Some(_), false) => {
                let input = offer::Input::Received(Carrier::Update);
                session.offers_of(&request.message).step(cx, input)
            }
            (None, false) => Meaning::Nothing,
        };
        match meaning {
            Meaning::Offer => self.propose(cx, below, id, request, offer),
            Meaning::Glare | Meaning::Busy => {
                refuse_clash(cx, below, request, meaning);
            }
            Meaning::Nothing | Meaning::Answer => {
                let heals = session.refresh_by(&request.message);
                let (agreed, fields) = session.agree(&request.message, cx.config);
                let reply = Reply {
                    contact: Some(&session.local.contact),
                    block: Some(&session.local.voice.description()),
                    headers: &fields,
                    record_route: heals,
                    ..Reply::new(StatusCode::OK)
                };
                below.low.reply(cx, request, &reply);
                self.step_timer(cx, below, id, agreed);
                if heals {
                    self.on_healed(cx, below, id);
                }
            }
        }
    }

    /// Who sends a re-INVITE has had our 2xx to its INVITE: where nothing waits in the ACK, a lost one is not missed (RFC
    /// 5407 section 3.1.4; where our offer waits for its answer it is, section 3.1.5).
    fn imply_ack(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let implied = self.table.get(&id).is_some_and(|session| {
            matches!(session.invitation.machine_state(), State::Accepting { .. })
                && session.change.offers.is_settled()
        });
        if implied {
            self.step(cx, below, id, invitation::Input::Ack);
        }
    }

    /// A change for the application to decide on.
    pub(super) fn propose(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        request: &Pending,
        offer: Option<Content>,
    ) {
        self.step_theirs(cx, below, id, proposal::Input::Received);
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let pending = request.clone();
        if pending.message.method() == Some(&Method::Invite) {
            self.by_invite.insert(pending.transaction, id);
        }
        let proposed = Proposed {
            pending,
            success: None,
        };
        if let Some(last) = session.change.request.replace(Box::new(proposed)) {
            self.by_invite.remove(&last.pending.transaction);
        }
        cx.out.event(Event::RenegotiationReceived {
            session: id,
            offer,
            message: request.message.clone(),
        });
    }

    /// One early dialog has won: a change that was offered in another is nobody's.
    pub(super) fn withdraw_elsewhere(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        (local, remote): (Option<&str>, Option<&str>),
    ) {
        let request = self
            .table
            .get(&id)
            .and_then(|session| session.change.request.as_ref());
        let elsewhere = request.is_some_and(|request| {
            let message = &request.pending.message;
            let of_peer = message.from_().is_ok_and(|from| from.tag() == remote);
            let ours = local.is_none() || message.to().is_ok_and(|to| to.tag() == local);
            !(of_peer && ours)
        });
        if elsewhere {
            self.step_theirs(cx, below, id, proposal::Input::Cancel);
        }
    }

    /// The peer has cancelled its re-INVITE.
    pub(super) fn on_proposal_cancelled(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
    ) {
        self.step_theirs(cx, below, id, proposal::Input::Cancel);
    }

    /// Whether an ACK was that of a re-INVITE.
    pub(super) fn on_proposal_acknowledged(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        ack: &Message,
    ) -> bool {
        let Some(session) = self.table.get_mut(&id) else {
            return false;
        };
        // One that is not answered yet has no ACK: this one is the INVITE's, of the same number.
        if session.change.theirs.is_asked() || !session.change.is_of(number_of(ack)) {
            return false;
        }
        session.take_answer(cx, id, ack, Carrier::Ack);
        self.step_theirs(cx, below, id, proposal::Input::Ack);
        true
    }

    /// How the request of our change has ended.
    pub(super) fn on_renegotiated(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        (id, exchange): (SessionId, ExchangeId),
        outcome: Outcome,
    ) {
        let Outcome { result, facts } = outcome;
        let Some(session) = self.table.get_mut(&id) else {
            // The peer's BYE has overtaken its 2xx, which has to be acknowledged all the same (RFC 5407 section 3.2.3).
            if let Ok(response) = result
                && is_to_invite(&response)
            {
                self.on_further(cx, below, None, facts, &response, Fork::KNOWN);
            }
            return;
        };
        // The early dialog that it was for may have lost.
        if session.change.exchange != Some(exchange) {
            return;
        }
        session.change.exchange = None;
        session.enter_change();
        let offered = session.change.offer.as_ref();
        let early = offered.is_some_and(|offered| offered.is_early);
        let pracks = offered.is_some_and(|offered| offered.method == Method::Prack);
        match result {
            Ok(response) => {
                // A PRACK is no target refresh.
                if let Some(dialog) = session.dialog_of_change().filter(|_| !pracks) {
                    dialog.refresh_target(&response);
                }
                let mut carrier = if pracks {
                    Carrier::PrackSuccess
                } else {
                    Carrier::UpdateSuccess
                };
                if is_to_invite(&response) {
                    carrier = Carrier::Success;
                    let ack = Ack::new(cx, facts, None);
                    session.send_ack(cx, below, id, &ack);
                    session.change.ack = Some(Box::new(ack));
                }
                session.take_answer(cx, id, &response, carrier);
                if !early {
                    self.on_agreed(cx, below, id, &response);
                }
                let effects = self.advance_ours(cx, id, renegotiation::Input::Taken);
                self.carry_out_ours(cx, below, id, effects, Some(response));
            }
            Err(error) => {
                session.void_offer(cx);
                // One that was given up, that never left, or that was early says nothing of the session.
                let says = facts.cseq > 0 && !session.change.ours.is_cancelling() && !early;
                let ends = end_of(&error).filter(|_| says);
                let lost = error.clone();
                let again = session.may_ask_again(cx, &error).filter(|_| ends.is_none());
                let effects = self.advance_ours(cx, id, renegotiation::Input::Refused(error, again));
                match ends {
                    Some(input) => self.step(cx, below, id, input),
                    // Where it was to refresh the session there may be time for another.
                    None => self.on_not_refreshed(cx, below, id),
                }
                self.on_flow_failed(cx, below, id, None, &lost);
                self.carry_out_ours(cx, below, id, effects, None);
            }
        }
    }

    /// A 2xx to our last re-INVITE has come again: so does the ACK.
    pub(super) fn acknowledge_again(
        &self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        response: &Message,
    ) -> bool {
        let Some(session) = self.table.get(&id) else {
            return false;
        };
        let number = number_of(response);
        let Some(ack) = session.change.ack.as_ref().filter(|ack| ack.facts.cseq == number) else {
            return false;
        };
        session.send_ack(cx, below, id, ack);
        true
    }

    pub(super) fn handle_renegotiation_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        timer: renegotiation::Timer,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let (free, bounded) = (session.is_free(), session.change.is_reinvite());
        let input = renegotiation::Input::Fired { timer, free, bounded };
        self.step_ours(cx, below, id, input);
    }

    /// The session ends: nothing of a change is left open.
    pub(super) fn end_changes(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        self.step_theirs(cx, below, id, proposal::Input::Over);
        self.step_ours(cx, below, id, renegotiation::Input::Over);
    }
}

impl Change {
    /// What was open is void.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        if !self.offers.is_settled() {
            self.offers.step(cx, offer::Input::Lapsed);
        }
    }
}

impl Session {
    /// The application hears of the answer that a message brings; without one our offer is void.
    pub(super) fn take_answer(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        message: &Message,
        carrier: Carrier,
    ) {
        let over = self.known.over;
        let offers = self.offers_of_change();
        if !offers.is_settled()
            && let Some(answer) = content_of(message)
            && offers.step(cx, offer::Input::Received(carrier)) == Meaning::Answer
            && !over
        {
            cx.out.event(Event::AnswerReceived { session: id, answer });
        }
        self.void_offer(cx);
    }

    /// What this side has offered and the peer not answered is void.
    fn void_offer(&mut self, cx: &mut Cx<'_>) {
        let offers = self.offers_of_change();
        if !offers.is_settled() {
            offers.step(cx, offer::Input::Lapsed);
        }
    }

    /// The dialog of our change, which may be early.
    fn dialog_of_change(&mut self) -> Option<&mut Dialog> {
        if self.dialog.is_some() {
            return self.dialog.as_mut();
        }
        let tag = self.change.offer.as_ref()?.fork()?.to_owned();
        self.early_mut(Some(&tag)).map(|fork| &mut fork.dialog)
    }

    /// What is open in the dialog of our change.
    fn offers_of_change(&mut self) -> &mut Offers {
        let offered = self.change.offer.as_ref();
        let fork = offered.and_then(|offered| offered.fork().map(ToOwned::to_owned));
        self.offers_with(fork.as_deref())
    }

    /// Sends our change.
    fn send_change(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let early = self.is_early();
        let (Some(dialog), Some(offered)) = (&self.dialog, &mut self.change.offer) else {
            return self.send_to_fork(cx, below, id);
        };
        offered.is_early = early;
        let method = &offered.method;
        let mut draft = dialog.request(method.clone(), Some(self.local.contact.clone()));
        draft.block = self.local.voice.full_request(method);
        draft.content = Some(offered.content.clone());
        let carrier = if *method == Method::Invite {
            Carrier::Invite
        } else {
            Carrier::Update
        };
        // How long the session lasts is for its INVITE to say (RFC 4028).
        if !early {
            draft.extra = self.change_fields(cx.config);
        }
        self.change.offers.step(cx, offer::Input::Sent(carrier));
        self.change.exchange = Some(start(cx, below, self, id, draft, SessionPart::Renegotiate));
    }

    /// When a change that was refused may be offered once more: after a 491 (RFC 3261 section 14.1), or when the peer says
    /// (E12).
    fn may_ask_again(&self, cx: &mut Cx<'_>, error: &OperationError) -> Option<Duration> {
        let response = error.response()?;
        // A PRACK goes with its response.
        let offered = self.change.offer.as_ref();
        if offered.is_some_and(|offered| offered.method == Method::Prack) {
            return None;
        }
        if !self.change.ours.is_open() || self.change.ours.is_cancelling() {
            return None;
        }
        if response.status() == Some(StatusCode::REQUEST_PENDING) {
            return Some(renegotiation::back_off(cx, !self.incoming));
        }
        retry_after(response)
            .filter(|wait| self.local.policy.retry_after && *wait <= cx.config.retry_after_cap)
    }

    /// Works in the early dialog of the peer's change.
    fn enter_proposal(&mut self) {
        if let Some(request) = self.change.request.take() {
            self.enter_of(&request.pending.message);
            self.change.request = Some(request);
        }
    }
}

/// Refuses an offer of the peer that meets another one; whether it does.
pub(super) fn refuse_clash(
    cx: &mut Cx<'_>,
    below: &mut Below<'_, '_>,
    request: &Pending,
    meaning: Meaning,
) -> bool {
    match meaning {
        Meaning::Glare => {
            let reply = Reply::new(StatusCode::REQUEST_PENDING);
            below.low.reply(cx, request, &reply);
        }
        Meaning::Busy => {
            let seconds = cx.entropy.below(11).to_string();
            let reply = Reply {
                headers: &[(HeaderName::RetryAfter, seconds.into_boxed_str())],
                ..Reply::refusal(StatusCode::SERVER_INTERNAL_ERROR, Diagnosis::NotChanged)
            };
            below.low.reply(cx, request, &reply);
        }
        Meaning::Offer | Meaning::Answer | Meaning::Nothing => return false,
    }
    true
}

/// What a failed change means for the session (RFC 3261 sections 12.2.1.2 and 14.1).
fn end_of(error: &OperationError) -> Option<invitation::Input> {
    let status = error.response().and_then(Message::status);
    match status.map(StatusCode::code) {
        Some(481) => Some(invitation::Input::Gone),
        Some(408) => Some(invitation::Input::Unanswered),
        None if *error == OperationError::Timeout => Some(invitation::Input::Unanswered),
        Some(_) | None => None,
    }
}

fn is_to_invite(response: &Message) -> bool {
    response.cseq().is_ok_and(|cseq| cseq.method == Method::Invite)
}

fn number_of(message: &Message) -> u32 {
    message.cseq().map_or(0, |cseq| cseq.number)
}
