//! Changes of this side before the session is established (rules S5, S6, S7, S9): an UPDATE of either side in an early dialog
//! (RFC 3311 section 5.1), and a caller's offer in a PRACK (RFC 3262 section 5). Each waits in the machine of
//! [`renegotiation`](super::renegotiation) until the dialog lets it go out.

use alloc::boxed::Box;

use super::invitation::State;
use super::offer::{self, Carrier};
use super::renegotiation::Input;
use super::{Below, EarlyDialog, Session, Sessions, let_go, start_over};
use crate::cx::Cx;
use crate::endpoint::ReliableResponses;
use crate::error::Misuse;
use crate::event::{Content, OperationError, OperationFailure, SessionState};
use crate::exchange::SessionPart;
use crate::ids::SessionId;
use crate::wire::Method;

/// A change that this side offers.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    /// The request that carries it.
    pub(super) method: Method,
    pub(super) content: Content,
    /// The early dialog of a callee that it is for.
    early: EarlyDialog,
    /// The fork of a caller that it goes to, by its tag, and the number of the response that a PRACK is for.
    fork: Option<(Box<str>, u32)>,
    /// It went out before the session was established: it says nothing of how long that lasts, or whether it does.
    pub(super) is_early: bool,
}

/// What is offered, in canonical form: by which method, in which early dialog, whether it went out early.
pub(super) type Fingerprint = (Method, EarlyDialog, bool, bool);

impl Offered {
    pub(crate) fn new(method: Method, content: Content, early: EarlyDialog) -> Self {
        Self {
            method,
            content,
            early,
            fork: None,
            is_early: false,
        }
    }

    /// The tag of the fork that it goes to.
    pub(super) fn fork(&self) -> Option<&str> {
        self.fork.as_ref().map(|(tag, _)| &**tag)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        (
            self.method.clone(),
            self.early,
            self.fork.is_some(),
            self.is_early,
        )
    }
}

/// What the application commands.
impl Sessions {
    /// What a change needs before the session is established: for an UPDATE of a callee a reliable response that has taken a
    /// body, in this early dialog; for one of a caller a fork with which nothing of the INVITE is open; for an offer in a
    /// PRACK that this side takes reliable responses.
    pub(super) fn may_change_early(
        &self,
        id: SessionId,
        method: &Method,
        early: EarlyDialog,
    ) -> Result<(), Misuse> {
        let refused = |state| {
            Err(Misuse::State {
                operation: "renegotiate",
                state,
            })
        };
        self.may_enter(id, early)?;
        let Some(session) = self.table.get(&id) else {
            return Ok(());
        };
        let by_prack = *method == Method::Prack;
        if session.incoming {
            if by_prack {
                return refused("it is the peer that acknowledges");
            }
            if !session.has_answered(early) {
                return refused("no reliable response has answered the peer, or made an offer");
            }
        } else if !by_prack && session.is_inviting() && session.answered().is_none() {
            return refused("no fork has answered in a reliable response");
        } else if session.local.reliable == ReliableResponses::Unsupported {
            return refused("its provisional responses are not acknowledged");
        }
        Ok(())
    }

    /// A change that was held back goes out, where the dialog lets it now.
    pub(super) fn free_change(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let bounded = session.change.is_reinvite();
        if session.change.ours.is_held() && session.is_free() {
            self.step_ours(cx, below, id, Input::Free { bounded });
        }
    }

    /// Whether our offer goes out in the PRACK for this response, which is the next of its fork.
    pub(super) fn offers_in_prack(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        (tag, number): (&str, u32),
    ) -> bool {
        let Some(session) = self.table.get_mut(&id) else {
            return false;
        };
        let settled = session
            .early(Some(tag))
            .is_some_and(|fork| fork.offers.is_settled());
        let held = session.change.ours.is_held() && !session.known.over;
        let offered = session.change.offer.as_mut();
        let Some(offered) = offered.filter(|it| it.method == Method::Prack && settled && held) else {
            return false;
        };
        offered.fork = Some((tag.into(), number));
        self.step_ours(cx, below, id, Input::Free { bounded: false });
        true
    }

    /// One early dialog has won, or the last is gone: a change of this side in another comes about nowhere, and one that
    /// waits for a PRACK has no more to wait for.
    pub(super) fn drop_change_elsewhere(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        fork: Option<&str>,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let Some(offered) = &session.change.offer else {
            return;
        };
        let wins = if session.incoming {
            offered.early.0 == session.branch
        } else {
            offered.fork.is_some() && offered.fork() == fork
        };
        if wins {
            return;
        }
        if let Some(exchange) = session.change.exchange.take() {
            let_go(cx, below, exchange);
        }
        let input = if session.change.ours.is_open() {
            Input::Refused(aborted(), None)
        } else {
            Input::Cancel
        };
        self.step_ours(cx, below, id, input);
    }

    /// Our INVITE has had its end and goes to another target: what is open in its forks is nobody's.
    pub(super) fn leave_forks(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        self.withdraw_elsewhere(cx, below, id, (None, None));
        let offer = |session: &Session| session.change.offer.as_ref().is_some_and(|it| it.fork.is_some());
        if self.table.get(&id).is_some_and(offer) {
            self.drop_change_elsewhere(cx, below, id, None);
        }
        if let Some(session) = self.table.get_mut(&id) {
            session.drop_early(cx, below, None);
        }
    }
}

impl Session {
    /// Whether an early dialog of a callee has answered the offer of the INVITE, or made one, in a reliable response.
    fn has_answered(&self, early: EarlyDialog) -> bool {
        let other = self.branches.iter().find(|other| other.number == early.0);
        let (offers, provisionals) = match other {
            Some(other) => (other.offers, &other.provisionals),
            None => (self.change.offers, &self.provisionals),
        };
        self.is_reliable && (!offers.awaits_response() || provisionals.has_body_to_come())
    }

    /// The fork that a caller can offer a change to by UPDATE: with which nothing of its INVITE is open, which a reliable
    /// response has seen to (RFC 3311 section 5.1). Of several the one that was heard of last.
    fn answered(&self) -> Option<&str> {
        let mut forks = self.early.iter().rev();
        let fork = forks.find(|fork| !fork.offers.is_of_invite())?;
        fork.dialog.remote_tag.as_deref()
    }

    /// Our INVITE has had no final response.
    const fn is_inviting(&self) -> bool {
        matches!(self.invitation.machine_state(), State::Inviting { .. })
    }

    /// An UPDATE of a caller is for one of its forks.
    pub(super) fn choose_fork(&self, offered: &mut Offered) {
        if offered.method == Method::Update && self.is_inviting() {
            offered.fork = self.answered().map(|tag| (tag.into(), 0));
        }
    }

    /// Whether the UPDATE of a caller may go out to its fork.
    pub(super) fn is_fork_free(&self) -> bool {
        let offered = self.change.offer.as_ref();
        let tag = offered
            .filter(|it| it.method == Method::Update)
            .and_then(|it| it.fork());
        tag.and_then(|tag| self.early(Some(tag)))
            .is_some_and(|fork| fork.offers.is_settled())
    }

    /// Whether the change that waits may go out before the 2xx: nothing is open, and no response waits for its PRACK (RFC
    /// 3311 section 5.1).
    pub(super) fn is_free_early(&mut self) -> bool {
        let offered = self.change.offer.as_ref();
        let Some(early) = offered
            .filter(|it| it.method == Method::Update)
            .map(|it| it.early)
        else {
            return false;
        };
        self.enter(early.0);
        self.change.offers.is_settled() && self.provisionals.is_idle()
    }

    /// Sends our offer to its fork: in the PRACK that it has waited for, or in an UPDATE.
    pub(super) fn send_to_fork(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(offered) = &mut self.change.offer else {
            return;
        };
        let Some((tag, number)) = offered.fork.clone() else {
            return;
        };
        offered.is_early = true;
        let (method, content) = (offered.method.clone(), offered.content.clone());
        let pracks = method == Method::Prack;
        if let Some(fork) = self.early_mut(Some(&tag)) {
            let carrier = if pracks { Carrier::Prack } else { Carrier::Update };
            fork.offers.step(cx, offer::Input::Sent(carrier));
        }
        if pracks {
            self.change.exchange = self.send_prack(cx, below, id, (&tag, number), Some(content));
            return;
        }
        let contact = self.local.contact.clone();
        let Some((mut draft, _, conn)) = self.request_in_fork(cx, below, &tag, method, Some(contact)) else {
            return;
        };
        draft.block = self.local.voice.full_request(&draft.method);
        draft.content = Some(content);
        let part = SessionPart::Renegotiate;
        self.change.exchange = Some(start_over(cx, below, self, id, (draft, part), conn));
    }

    /// Whether an UPDATE that goes out now is in an early dialog.
    pub(super) const fn is_early(&self) -> bool {
        matches!(self.invitation.machine_state(), State::Offered { .. })
    }

    /// Works in the early dialog of our change.
    pub(super) fn enter_change(&mut self) {
        if let Some(early) = self.change.offer.as_ref().map(|offered| offered.early)
            && self.is_early()
        {
            self.enter(early.0);
        }
    }
}

/// In which state the application has to see a session for a change by this method.
pub(super) const fn legal_in(method: &Method, known: SessionState, incoming: bool) -> SessionState {
    match (method, known) {
        (Method::Prack, SessionState::Connecting) => SessionState::Connecting,
        (Method::Prack, _) => SessionState::Alerted,
        (Method::Update, SessionState::Incoming) => SessionState::Incoming,
        (Method::Update, SessionState::Connecting | SessionState::Alerted) if !incoming => known,
        _ => SessionState::Connected,
    }
}

pub(super) const fn aborted() -> OperationError {
    OperationError::OperationFailure(OperationFailure::Aborted)
}
