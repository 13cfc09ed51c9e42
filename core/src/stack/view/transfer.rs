//! Transfers of a session (rule S14).

use alloc::string::String;

use super::{SessionView, check_cargo, check_target, start};
use crate::error::Misuse;
use crate::event::{ExtraHeaders, SessionState};
use crate::ids::{OperationId, ReferralId, SessionId};
use crate::stack::parts::below;
use crate::stack::record;
use crate::wire::StatusCode;

impl SessionView<'_> {
    /// Asks the peer to call this target (REFER, RFC 3515). A URI with header fields is good:
    /// [`replacement`](Self::replacement) of another session makes it an attended transfer. Referred-By names the
    /// endpoint where `headers` does not.
    ///
    /// The operation completes with the peer's answer to the REFER, and [`Event::Referral`](crate::Event::Referral) says
    /// how the call goes. The first REFER of a session goes alone; others may have to wait for it.
    ///
    /// # Errors
    /// Any state but Connected; a malformed target or header field; too many under way.
    pub fn refer(
        &mut self,
        target: &str,
        headers: ExtraHeaders,
    ) -> Result<(ReferralId, OperationId), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Refer {
                session: self.id,
                target: String::from(target),
                headers: headers.clone()
            }
        );
        check_target(target)?;
        check_cargo(None, &headers)?;
        self.stack
            .sessions
            .may(self.id, "refer", SessionState::Connected)?;
        if let Some(operation) = self.overtaken() {
            let operation = operation?;
            return Ok((self.stack.ids.next(), operation));
        }
        if self.stack.sessions.referrals(self.id) >= self.stack.config.limits.referrals {
            self.stack.counters.refusals.referrals += 1;
            return Err(Misuse::Limit("referrals in one session"));
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        let referral = self.stack.step(self.stack.now, |p| {
            p.sessions
                .refer(&mut p.cx, below!(p), id, target, headers, operation)
        });
        Ok((referral, operation))
    }

    /// Accepts a REFER of the peer: `call` is the session that was made for it, and the peer is told how it goes, until
    /// it is answered or [`Config::referral_expires`](crate::Config::referral_expires) is over.
    ///
    /// # Errors
    /// No such referral, or it has been decided on; no such call.
    pub fn accept_referral(&mut self, referral: ReferralId, call: SessionId) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AcceptReferral {
                session: self.id,
                referral,
                call
            }
        );
        let sessions = &self.stack.sessions;
        if sessions.state(call).is_none() && sessions.ended(call).is_none() {
            return Err(Misuse::Unknown("session"));
        }
        if sessions.may_decide_referral(self.id, referral)? {
            let id = self.id;
            self.stack.step(self.stack.now, |p| {
                p.sessions
                    .accept_referral(&mut p.cx, below!(p), id, referral, call);
            });
        }
        Ok(())
    }

    /// Refuses a REFER of the peer with 300 to 699 (603 is the usual one).
    ///
    /// # Errors
    /// No such referral, or it has been decided on; a status outside the range.
    pub fn reject_referral(&mut self, referral: ReferralId, status: StatusCode) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            RejectReferral {
                session: self.id,
                referral,
                status
            }
        );
        if !(300..=699).contains(&status.code()) {
            return Err(Misuse::argument("status", "300 to 699"));
        }
        if self.stack.sessions.may_decide_referral(self.id, referral)? {
            let id = self.id;
            self.stack.step(self.stack.now, |p| {
                p.sessions
                    .reject_referral(&mut p.cx, below!(p), id, referral, status);
            });
        }
        Ok(())
    }

    /// The target that [`refer`](Self::refer) in another session names, so that who is referred takes our place in this
    /// one: an attended transfer (RFC 3891). `None` where there is no dialog yet, or the peer is reached by no SIP URI.
    pub fn replacement(&self) -> Option<String> {
        self.stack.sessions.replacement(self.id)
    }
}
