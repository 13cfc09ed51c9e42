//! What the machines of a change ask for, carried out as messages, events and completions.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::offer;
use super::super::{Below, Sessions, invitation, proposal, renegotiation};
use crate::cx::Cx;
use crate::event::{Completion, Event};
use crate::exchange::Reply;
use crate::ids::SessionId;
use crate::wire::{Message, StatusCode};

impl Sessions {
    pub(in crate::session) fn step_ours(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        input: renegotiation::Input,
    ) {
        let effects = self.advance_ours(cx, id, input);
        self.carry_out_ours(cx, below, id, effects, None);
    }

    pub(super) fn advance_ours(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        input: renegotiation::Input,
    ) -> Vec<renegotiation::Effect> {
        let mut effects = Vec::new();
        if let Some(session) = self.table.get_mut(&id) {
            session.change.ours.step(cx, input, &mut effects);
        }
        effects
    }

    pub(super) fn carry_out_ours(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        effects: Vec<renegotiation::Effect>,
        mut response: Option<Box<Message>>,
    ) {
        use renegotiation::Effect;
        for effect in effects {
            match (effect, self.table.get_mut(&id)) {
                (Effect::Send, Some(session)) => session.send_change(cx, below, id),
                (Effect::SendCancel, Some(session)) => {
                    // An UPDATE cannot be cancelled (RFC 3261 section 9.1).
                    if let Some(exchange) = session.change.exchange.filter(|_| session.change.is_reinvite()) {
                        let none = Vec::new();
                        below.exchanges.cancel(cx, below.low, exchange, none, below.up);
                    }
                }
                (Effect::Complete(operation, result), session) => {
                    if let Some(session) = session {
                        session.change.offer = None;
                    }
                    let response = response.take();
                    let completion = || response.map_or(Completion::Done, Completion::Response);
                    cx.out.complete(operation, result.map(|()| completion()));
                }
                (Effect::Send | Effect::SendCancel, None) => {}
            }
        }
    }

    pub(super) fn step_theirs(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        input: proposal::Input,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        session.change.theirs.step(cx, input, &mut effects);
        for effect in effects {
            self.carry_out_theirs(cx, below, id, effect);
        }
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        if session.change.theirs.is_idle() {
            if let Some(request) = session.change.request.take() {
                self.by_invite.remove(&request.pending.transaction);
            }
            self.free_change(cx, below, id);
        }
    }

    pub(in crate::session) fn handle_proposal_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        timer: proposal::Timer,
    ) {
        self.step_theirs(cx, below, id, proposal::Input::Fired(timer));
    }

    pub(super) fn carry_out_theirs(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        effect: proposal::Effect,
    ) {
        use proposal::Effect;
        match effect {
            Effect::Refuse(code) => {
                if let Some(status) = StatusCode::new(code) {
                    self.refuse_proposal(cx, below, id, &Reply::new(status));
                }
            }
            Effect::Withdrawn => cx.out.event(Event::RenegotiationWithdrawn { session: id }),
            Effect::Repeat => {
                let request = self.table.get(&id).and_then(|it| it.change.request.as_ref());
                if let Some(request) = request
                    && let Some(success) = &request.success
                {
                    below
                        .low
                        .send_reply(cx, &request.pending, StatusCode::OK, success.clone());
                }
            }
            Effect::Unacknowledged => self.step(cx, below, id, invitation::Input::Unanswered),
            Effect::Complete(operation, result) => {
                cx.out.complete(operation, result.map(|()| Completion::Done));
            }
        }
    }

    /// Answers the peer's change with a failure: its offer is void.
    pub(super) fn refuse_proposal(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        reply: &Reply<'_>,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        session.enter_proposal();
        let Some(request) = session.change.request.take() else {
            return;
        };
        below.low.reply(cx, &request.pending, reply);
        let offers = session.offers_of(&request.pending.message);
        if !offers.is_settled() {
            offers.step(cx, offer::Input::Lapsed);
        }
        self.by_invite.remove(&request.pending.transaction);
    }
}
