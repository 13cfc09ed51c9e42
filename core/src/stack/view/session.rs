//! A signaling session.

use core::time::Duration;

use super::{check_cargo, check_refusal, check_target, start};
use crate::endpoint::SendOptions;
use crate::error::Misuse;
use crate::event::{
    Content, ExtraHeaders, OperationError, OperationFailure, RedirectAction, RouteState, SessionState,
};
use crate::ids::{EndpointId, OperationId, SessionId};
use crate::session::{Cargo, EarlyDialog, Offered};
use crate::stack::parts::below;
use crate::stack::{Stack, record};
use crate::wire::{Method, StatusCode};

/// A signaling session.
#[derive(Debug)]
pub struct SessionView<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) id: SessionId,
}

impl SessionView<'_> {
    /// Sends the INVITE. It completes when the session is connected, or with the reason why it is not.
    ///
    /// # Errors
    /// Any state but Idle; a malformed header field or content type; a next hop at a SipEndpoint (P9).
    pub fn establish(&mut self, offer: Option<Content>, options: SendOptions) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Establish {
                session: self.id,
                offer: offer.clone(),
                options: options.clone()
            }
        );
        self.call(offer, options)
    }

    pub(super) fn call(
        &mut self,
        offer: Option<Content>,
        options: SendOptions,
    ) -> Result<OperationId, Misuse> {
        check_cargo(offer.as_ref(), &options.headers)?;
        self.stack
            .sessions
            .may(self.id, "establish", SessionState::Idle)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let endpoint = self.endpoint();
        if options.next_hop.is_some() {
            self.stack.endpoints.may_name_next_hop(endpoint)?;
        }
        let cargo = Cargo {
            content: offer,
            extra: options.headers,
        };
        let (operation, id) = (start(self.stack, endpoint)?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .establish(&mut p.cx, below!(p), id, operation, cargo, options.next_hop);
        });
        Ok(operation)
    }

    /// Accepts the peer's INVITE: with the answer to its offer, or with an offer where it made none (S5). It completes
    /// with the ACK.
    ///
    /// # Errors
    /// Any state but Incoming, or it was accepted before; a malformed content type.
    pub fn accept(&mut self, content: Option<Content>) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Accept {
                session: self.id,
                content: content.clone()
            }
        );
        self.accept_dialog(EarlyDialog::FIRST, content)
    }

    /// The same in another of the session's early dialogs (S9).
    ///
    /// # Errors
    /// As [`accept`](Self::accept); an early dialog of another session.
    pub fn accept_in(&mut self, early: EarlyDialog, content: Option<Content>) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AcceptIn {
                session: self.id,
                early,
                content: content.clone()
            }
        );
        self.accept_dialog(early, content)
    }

    fn accept_dialog(&mut self, early: EarlyDialog, content: Option<Content>) -> Result<OperationId, Misuse> {
        check_cargo(content.as_ref(), &[])?;
        self.stack
            .sessions
            .may(self.id, "accept", SessionState::Incoming)?;
        self.stack.sessions.may_enter(self.id, early)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            let with = (operation, content);
            p.sessions.accept_in(&mut p.cx, below!(p), id, early, with);
        });
        Ok(operation)
    }

    /// Refuses the peer's INVITE with 400 to 699; without `reason` the status has its usual words.
    ///
    /// # Errors
    /// Any state but Incoming; a status outside the range; a malformed reason.
    pub fn reject(&mut self, status: StatusCode, reason: Option<&str>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Reject {
                session: self.id,
                status,
                reason: reason.map(Into::into)
            }
        );
        check_refusal(status, reason)?;
        self.decline("reject", status, reason, &[])
    }

    /// Sends the caller to other targets with 300 to 399, 302 where none is given (S2).
    ///
    /// # Errors
    /// Any state but Incoming; a status outside the range; a malformed target, none, or one that is this endpoint or the
    /// caller.
    pub fn redirect(
        &mut self,
        status: impl Into<Option<StatusCode>>,
        targets: &[&str],
    ) -> Result<(), Misuse> {
        let status = status.into().unwrap_or(StatusCode::MOVED_TEMPORARILY);
        record!(
            self.stack,
            self.stack.now,
            Redirect {
                session: self.id,
                status,
                targets: targets.iter().map(|target| (*target).into()).collect()
            }
        );
        if !status.is_redirection() {
            return Err(Misuse::argument("status", "300 to 399"));
        }
        if targets.is_empty() {
            return Err(Misuse::argument("targets", "at least one is needed"));
        }
        for target in targets {
            check_target(target)?;
            if self.stack.sessions.is_party(self.id, target) {
                return Err(Misuse::argument("targets", "this endpoint, or the caller"));
            }
        }
        self.decline("redirect", status, None, targets)
    }

    fn decline(
        &mut self,
        operation: &'static str,
        status: StatusCode,
        reason: Option<&str>,
        targets: &[&str],
    ) -> Result<(), Misuse> {
        self.stack
            .sessions
            .may(self.id, operation, SessionState::Incoming)?;
        if self.stack.sessions.ended(self.id).is_some() {
            return Ok(());
        }
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .decline(&mut p.cx, below!(p), id, status, reason, targets);
        });
        Ok(())
    }

    /// Sends a provisional response (101 to 199). Where both sides take part it is
    /// [reliable](crate::ReliableResponses) (S7): it waits until the one before has its PRACK, and an answer in it is the
    /// answer.
    ///
    /// # Errors
    /// Any state but Incoming; a status outside the range; a malformed content type.
    pub fn provisional(&mut self, status: StatusCode, content: Option<Content>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Provisional {
                session: self.id,
                status,
                content: content.clone()
            }
        );
        self.provisional_dialog(EarlyDialog::FIRST, status, content)
    }

    /// Another early dialog of an incoming session, with its own To tag, as if another endpoint had been rung: for
    /// [`provisional_in`](Self::provisional_in), and for [`accept_in`](Self::accept_in), of which there is one (S9).
    ///
    /// # Errors
    /// Any state but Incoming; as many as [`Limits::forks`](crate::Limits::forks).
    pub fn early_dialog(&mut self) -> Result<EarlyDialog, Misuse> {
        record!(self.stack, self.stack.now, EarlyDialog { session: self.id });
        self.stack
            .sessions
            .may(self.id, "early_dialog", SessionState::Incoming)?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.early_dialog(&mut p.cx, p.exchanges, id)
        })
    }

    /// Sends a provisional response in another of the session's early dialogs (S9).
    ///
    /// # Errors
    /// As [`provisional`](Self::provisional); an early dialog of another session.
    pub fn provisional_in(
        &mut self,
        early: EarlyDialog,
        status: StatusCode,
        content: Option<Content>,
    ) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            ProvisionalIn {
                session: self.id,
                early,
                status,
                content: content.clone()
            }
        );
        self.provisional_dialog(early, status, content)
    }

    fn provisional_dialog(
        &mut self,
        early: EarlyDialog,
        status: StatusCode,
        content: Option<Content>,
    ) -> Result<(), Misuse> {
        if !(101..=199).contains(&status.code()) {
            return Err(Misuse::argument("status", "101 to 199"));
        }
        check_cargo(content.as_ref(), &[])?;
        self.stack
            .sessions
            .may(self.id, "provisional", SessionState::Incoming)?;
        self.stack.sessions.may_enter(self.id, early)?;
        if self.stack.sessions.ended(self.id).is_some() {
            return Ok(());
        }
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            let with = (status, content);
            p.sessions.provisional_in(&mut p.cx, below!(p), id, early, with)
        })
    }

    /// Answers the offer that came in the 2xx; the answer goes out in the ACK (S5).
    ///
    /// # Errors
    /// No offer waits for an answer; a malformed content type.
    pub fn answer(&mut self, answer: Content) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Answer {
                session: self.id,
                answer: answer.clone()
            }
        );
        check_cargo(Some(&answer), &[])?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.answer(&mut p.cx, below!(p), id, answer)
        })
    }

    /// Offers a change of the session, by INVITE or UPDATE (S6). It completes with the 2xx, whose answer comes as
    /// [`Event::AnswerReceived`](crate::Event::AnswerReceived); refused, it leaves the session as it was. One that meets a
    /// change of the peer is offered once more after a while, by itself.
    ///
    /// Before the session is established a callee offers a change by UPDATE, once it has sent a
    /// [provisional response](Self::provisional) with a body: it goes out when that has its PRACK, and nothing else is
    /// open (RFC 3311 section 5.1). A caller offers one by UPDATE once a fork has answered in a reliable response; of several
    /// that have to the one that was heard of last. Or by PRACK: the next reliable response whose fork has answered takes
    /// it with its PRACK (RFC 3262 section 5). Where no such response comes, or another fork is established, it ends as
    /// Aborted.
    ///
    /// # Errors
    /// INVITE in any state but Connected, UPDATE of a callee in Connecting, PRACK in any state but Connecting and Alerted,
    /// and any in Idle, Redirecting and Disconnected; another method; provisional responses are not reliable here, or none
    /// with a body was sent, or has come; a malformed content type; one is under way; a change that the peer offers waits
    /// for the application.
    pub fn renegotiate(&mut self, method: Method, offer: Content) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Renegotiate {
                session: self.id,
                method: method.clone(),
                offer: offer.clone()
            }
        );
        if !matches!(method, Method::Invite | Method::Update | Method::Prack) {
            return Err(Misuse::argument("method", "INVITE, UPDATE or PRACK"));
        }
        self.renegotiate_dialog(EarlyDialog::FIRST, method, offer)
    }

    /// Offers a change by UPDATE in another of the session's early dialogs (S9).
    ///
    /// # Errors
    /// As [`renegotiate`](Self::renegotiate), and any state but Incoming; an early dialog of another session.
    pub fn renegotiate_in(&mut self, early: EarlyDialog, offer: Content) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            RenegotiateIn {
                session: self.id,
                early,
                offer: offer.clone()
            }
        );
        self.stack
            .sessions
            .may(self.id, "renegotiate_in", SessionState::Incoming)?;
        self.renegotiate_dialog(early, Method::Update, offer)
    }

    fn renegotiate_dialog(
        &mut self,
        early: EarlyDialog,
        method: Method,
        offer: Content,
    ) -> Result<OperationId, Misuse> {
        check_cargo(Some(&offer), &[])?;
        self.stack.sessions.may_renegotiate(self.id, &method, early)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            let offered = Offered::new(method, offer, early);
            p.sessions
                .renegotiate(&mut p.cx, below!(p), id, operation, offered);
        });
        Ok(operation)
    }

    /// Gives up the change that this side offers: what has not left is dropped, a re-INVITE is cancelled after its first
    /// provisional response. Whether there was one to give up; a 2xx may still win.
    pub fn cancel_renegotiation(&mut self) -> bool {
        record!(
            self.stack,
            self.stack.now,
            CancelRenegotiation { session: self.id }
        );
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.cancel_renegotiation(&mut p.cx, below!(p), id)
        })
    }

    /// Takes the change that the peer offers: with the answer to its offer, or with an offer where it made none (S6). It
    /// completes at once for an UPDATE, with the ACK for a re-INVITE; as Aborted where the peer has cancelled meanwhile.
    ///
    /// # Errors
    /// No change waits for a decision; a malformed content type.
    pub fn accept_renegotiation(&mut self, content: Content) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AcceptRenegotiation {
                session: self.id,
                content: content.clone()
            }
        );
        check_cargo(Some(&content), &[])?;
        self.stack.sessions.may_decide(self.id, "accept_renegotiation")?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .accept_renegotiation(&mut p.cx, below!(p), id, operation, &content);
        });
        Ok(operation)
    }

    /// Refuses the change that the peer offers with 400 to 699 (488 is the usual one): the session is as it was (S6).
    /// Without `reason` the status has its usual words.
    ///
    /// # Errors
    /// No change waits for a decision; a status outside the range; a malformed reason.
    pub fn reject_renegotiation(&mut self, status: StatusCode, reason: Option<&str>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            RejectRenegotiation {
                session: self.id,
                status,
                reason: reason.map(Into::into)
            }
        );
        check_refusal(status, reason)?;
        self.stack.sessions.may_decide(self.id, "reject_renegotiation")?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .reject_renegotiation(&mut p.cx, below!(p), id, status, reason);
        });
        Ok(())
    }

    /// Whether the requests of the session find their way (S17).
    pub fn route_state(&self) -> RouteState {
        self.stack.sessions.route_state(self.id)
    }

    /// Sends a request inside the session: MESSAGE, INFO, OPTIONS or NOTIFY (S15). While its route set is being recovered it
    /// waits (S17).
    ///
    /// # Errors
    /// Any state but Connected; another method; a malformed header field or content type; too many under way.
    pub fn send(
        &mut self,
        method: Method,
        content: Option<Content>,
        headers: ExtraHeaders,
    ) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Send {
                session: self.id,
                method: method.clone(),
                content: content.clone(),
                headers: headers.clone()
            }
        );
        if !matches!(
            method,
            Method::Message | Method::Info | Method::Options | Method::Notify
        ) {
            return Err(Misuse::argument("method", "MESSAGE, INFO, OPTIONS or NOTIFY"));
        }
        check_cargo(content.as_ref(), &headers)?;
        self.stack
            .sessions
            .may(self.id, "send", SessionState::Connected)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        if self.stack.sessions.pending(self.id) >= self.stack.config.limits.pending_per_session {
            self.stack.counters.refusals.pending_per_session += 1;
            return Err(Misuse::Limit("requests under way in one session"));
        }
        let cargo = Cargo {
            content,
            extra: headers,
        };
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .send(&mut p.cx, below!(p), id, operation, method, cargo);
        });
        Ok(operation)
    }

    /// Decides about the target of [`Event::Redirected`](crate::Event::Redirected) (S13).
    ///
    /// # Errors
    /// Any state but Redirecting.
    pub fn follow_redirect(&mut self, action: RedirectAction) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            FollowRedirect {
                session: self.id,
                action
            }
        );
        self.stack
            .sessions
            .may(self.id, "follow_redirect", SessionState::Redirecting)?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.follow_redirect(&mut p.cx, below!(p), id, action);
        });
        Ok(())
    }

    /// Header fields for what the session sends next of its own: a response to the peer's INVITE, CANCEL or BYE (S20).
    /// [`field`](crate::wire::header::field) makes one of a typed value, such as a Reason.
    ///
    /// # Errors
    /// A malformed header field, or the session was ended by the application.
    pub fn attach(&mut self, headers: ExtraHeaders) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Attach {
                session: self.id,
                headers: headers.clone()
            }
        );
        check_cargo(None, &headers)?;
        self.stack.sessions.attach(self.id, headers)
    }

    /// Ends the session as its state asks for: CANCEL, BYE or a decline (S10). It never fails.
    pub fn terminate(&mut self) -> OperationId {
        record!(self.stack, self.stack.now, TerminateSession { session: self.id });
        let (endpoint, id) = (self.endpoint(), self.id);
        self.stack.step(self.stack.now, |p| {
            let operation = p.cx.out.start(p.cx.ids, endpoint);
            if p.sessions.state(id).is_some() {
                p.sessions.terminate(&mut p.cx, below!(p), id, operation, None);
            } else {
                p.cx.out.complete(operation, Ok(crate::event::Completion::Done));
            }
            operation
        })
    }

    /// The state (S1).
    pub fn state(&self) -> SessionState {
        self.stack
            .sessions
            .state(self.id)
            .unwrap_or(SessionState::Disconnected)
    }

    /// How long the session lasts without a refresh, and whether this side refreshes it (S11); `None` where no timer was
    /// agreed on.
    pub fn session_timer(&self) -> Option<(Duration, bool)> {
        self.stack.sessions.session_timer(self.id)
    }

    /// Whose session it is.
    pub fn endpoint(&self) -> EndpointId {
        let sessions = &self.stack.sessions;
        sessions
            .endpoint(self.id)
            .or_else(|| sessions.ended(self.id))
            .unwrap_or(EndpointId::FIRST)
    }

    /// Its Call-ID; `None` once it is over.
    pub fn call_id(&self) -> Option<&str> {
        self.stack.sessions.call_id(self.id)
    }

    /// Whether its INVITE may have reached other endpoints, too: it was for a user, at whose server all are rung, and not for
    /// this endpoint by its GRUU or epid (S8). Who answers such a call for nobody takes it away from somebody.
    pub fn is_forked(&self) -> bool {
        self.stack.sessions.is_forked(self.id)
    }

    /// The remote target; before the dialog exists, the URI that is called. `None` once it is over.
    pub fn target(&self) -> Option<&str> {
        self.stack.sessions.target(self.id)
    }

    /// A session that the network has ended, or that the stack is ending, while the application did not know: the command
    /// succeeds, and completes as SessionTerminated (X2).
    pub(super) fn overtaken(&mut self) -> Option<Result<OperationId, Misuse>> {
        let sessions = &self.stack.sessions;
        if sessions.ended(self.id).is_none() && !sessions.is_leaving(self.id) {
            return None;
        }
        let endpoint = self.endpoint();
        Some(start(self.stack, endpoint).inspect(|operation| {
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            self.stack
                .step(self.stack.now, |p| p.cx.out.complete(*operation, Err(ended)));
        }))
    }
}
