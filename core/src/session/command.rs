//! What the application commands a session (rule S2). Each command is legal only in the state that the rule names, as far
//! as the application has seen it; else it is misuse and changes nothing.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::invitation::{Input, State};
use super::offer::{self, Carrier};
use super::{Below, Cargo, Known, Sessions, start};
use crate::connection::{Connections, Lease};
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::error::Misuse;
use crate::event::{Content, ExtraHeaders, SessionReason, SessionState};
use crate::exchange::{NextHop, Reply, SessionPart};
use crate::ids::{ConnId, OperationId, SessionId};
use crate::wire::{HeaderName, Method, StatusCode};

impl Sessions {
    pub(crate) fn may(
        &self,
        id: SessionId,
        operation: &'static str,
        legal: SessionState,
    ) -> Result<(), Misuse> {
        let known = self.known(id)?;
        if known.over {
            Err(Misuse::State {
                operation,
                state: "ended by the application",
            })
        } else if known.state != legal {
            Err(Misuse::State {
                operation,
                state: state_name(known.state),
            })
        } else {
            Ok(())
        }
    }

    pub(super) fn known(&self, id: SessionId) -> Result<Known, Misuse> {
        let live = self.table.get(&id).map(|session| session.known);
        live.or_else(|| self.ended.get(&id).map(|(_, known)| *known))
            .ok_or(Misuse::Unknown("session"))
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
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let input = match cargo.content {
            Some(_) => offer::Input::Sent(Carrier::Invite),
            None => offer::Input::Asks,
        };
        session.change.offers.step(cx, input);
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
        if let Some(known) = self.known_mut(id) {
            known.state = SessionState::Connecting;
        }
        if self.defer_accept(id, operation, &content) {
            return;
        }
        self.close_provisionals(cx, below, id);
        self.drop_other_branches(cx, below, id);
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let extra = session.take_attached();
        let Some(invite) = &session.invite else { return };
        let awaited = session.change.offers.awaits_response();
        let content = content.filter(|_| !session.is_reliable || awaited);
        let (agreed, fields) = session.agree(&invite.message, cx.config);
        let reply = Reply {
            extra: &extra,
            headers: &fields,
            contact: Some(&session.local.contact),
            block: Some(&session.local.voice.description()),
            content: content.as_ref(),
            record_route: true,
            ..Reply::new(StatusCode::OK)
        };
        session.success = Some(below.low.reply(cx, invite, &reply));
        match content {
            Some(_) => {
                session
                    .change
                    .offers
                    .step(cx, offer::Input::Sent(Carrier::Success));
            }
            None if awaited => session.change.settle(cx),
            None => {}
        }
        self.step(cx, below, id, Input::Accept(operation));
        self.step_timer(cx, below, id, agreed);
        self.end_replaced(cx, below, id);
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
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        if session.invite.is_none() {
            return;
        }
        let extra = session.take_attached();
        let contacts: Vec<String> = targets
            .iter()
            .map(|target| alloc::format!("<{target}>"))
            .collect();
        let headers: Vec<(HeaderName, Box<str>)> = contacts
            .into_iter()
            .map(|contact| (HeaderName::Contact, contact.into_boxed_str()))
            .collect();
        session.known.over = true;
        let reply = Reply {
            reason,
            headers: &headers,
            extra: &extra,
            ..Reply::new(status)
        };
        self.refuse_invite(cx, below, id, &reply);
        self.step(cx, below, id, Input::Decline(SessionReason::Declined));
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
            return Err(Misuse::State {
                operation: "answer",
                state: "no offer waits for an answer",
            });
        }
        if self.answer_in_prack(cx, below, id, &answer) {
            return Ok(());
        }
        let Some(session) = self.table.get_mut(&id) else {
            return Ok(());
        };
        // It may have taken too long, and the application not know it yet.
        if !matches!(session.invitation.machine_state(), State::Answering { .. }) {
            return Ok(());
        }
        if let Some(ack) = &mut session.ack {
            ack.answer = Some(answer);
        }
        session.change.offers.step(cx, offer::Input::Sent(Carrier::Ack));
        self.step(cx, below, id, Input::Answer);
        Ok(())
    }

    /// Ends a session; `why`, where it is the stack itself that does.
    pub(crate) fn terminate(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        why: Option<Diagnosis>,
    ) {
        if let Some(known) = self.known_mut(id)
            && why.is_none_or(Diagnosis::is_commanded)
        {
            known.over = true;
        }
        if let Some(session) = self.table.get_mut(&id) {
            session.why = session.why.or(why);
        }
        self.step(cx, below, id, Input::Terminate(operation));
    }

    /// Header fields for what is sent next; they are of no use where nothing more is.
    pub(crate) fn attach(&mut self, id: SessionId, headers: ExtraHeaders) -> Result<(), Misuse> {
        if self.known(id)?.over {
            return Err(Misuse::State {
                operation: "attach",
                state: "ended by the application",
            });
        }
        if let Some(session) = self.table.get_mut(&id) {
            session.attached.get_or_insert_default().extend(headers);
        }
        Ok(())
    }

    /// The server has forgotten the dialog of an established session (R14): there is nobody left to be told.
    pub(crate) fn forget(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let session = self.table.get(&id);
        if session.is_some_and(|session| matches!(session.invitation.machine_state(), State::Connected)) {
            self.step(cx, below, id, Input::Gone);
        }
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
        if !self.holds(id, operation, &method, &cargo) {
            self.send_now(cx, below, id, operation, method, cargo);
        }
    }

    pub(super) fn send_now(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        method: Method,
        cargo: Cargo,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let Some(dialog) = &session.dialog else { return };
        // RFC 3515 section 2.2.
        let contact = (method == Method::Refer).then(|| session.local.contact.clone());
        let mut draft = dialog.request(method.clone(), contact);
        let block = session.local.voice.full_request(&method);
        draft.block = block.and(session.route_field(&method));
        draft.content = cargo.content;
        draft.extra = cargo.extra;
        let part = SessionPart::Request(operation);
        let exchange = start(cx, below, session, id, draft, part);
        session.requests.insert(operation, exchange);
    }

    /// Whether the stack is ending a session that its application has not ended (X2).
    pub(crate) fn is_leaving(&self, id: SessionId) -> bool {
        self.table
            .get(&id)
            .is_some_and(|session| matches!(session.invitation.machine_state(), State::Leaving { .. }))
    }

    /// How many requests of a session are under way.
    pub(crate) fn pending(&self, id: SessionId) -> usize {
        self.table
            .get(&id)
            .map_or(0, |session| session.requests.len() + session.held())
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
        connections.share_own(cx, session.lease.as_ref(), avoid)
    }

    /// A connection was made for a session whose own was gone: it keeps it, and tells the peer our new address where
    /// our Contact named the lost one (C13). To be called before the request that asked for it is supplied.
    pub(crate) fn adopt(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, conn: ConnId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        if session.dialog.is_none() || matches!(session.invitation.machine_state(), State::Disconnected) {
            return;
        }
        let Some(lease) = below.low.connections.share(cx, conn) else {
            return;
        };
        if let Some(old) = session.lease.replace(lease) {
            below.low.connections.release(cx, old);
        }
        let manager = below.low.connections.manager_of(conn).map(|(manager, _)| manager);
        let listens = manager.is_some_and(|manager| below.low.connections.is_listening(manager));
        let named = session.local.contact.gruu.is_none() && !listens;
        let lasts = matches!(session.invitation.machine_state(), State::Connected);
        if named && session.updates && session.refresh.is_none() && lasts {
            self.send_refresh(cx, below, id);
        }
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
