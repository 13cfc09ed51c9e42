//! A REFER of the peer: the application decides, and the peer hears how the call goes that comes of it (RFC 3515; rule S14).
//!
//! ```text
//!         accept: 202, NOTIFY 100              outcome: last NOTIFY
//!  Asked -------------------------> Following ----------------------> Over
//!   |  \--- refused ---------------------------------------------------^
//!   | nobody decides: 500                                              |
//!   +----------> Lapsed --- the application decides, too late ---------+
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::ids::{ReferralId, SessionId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};
use crate::wire::StatusCode;

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The application has to decide, within this.
    Asked { limit: TimerId },
    /// It did not in time, and does not know that it is too late.
    Lapsed,
    /// The peer is told how the call goes; not for longer than this.
    Following { limit: TimerId, last: StatusCode },
    /// Nothing is left to tell.
    Over,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Accept,
    Refuse(StatusCode),
    /// The call that is made has come so far.
    Progress(StatusCode),
    /// The peer does not want to hear more: it refused a NOTIFY, or did not answer it.
    Unheard,
    Fired,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answer the REFER.
    Answer(StatusCode),
    /// Send a NOTIFY with this status; the last one says why it is.
    Notify(StatusCode, Option<&'static str>),
}

/// The machine of one REFER of the peer.
#[derive(Clone, Debug)]
pub(crate) struct Referee {
    session: SessionId,
    id: ReferralId,
    state: State,
}

/// A referee in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(super) state: &'static str,
    left: Option<Duration>,
    last: Option<u16>,
}

impl Referee {
    pub(super) fn new(cx: &mut Cx<'_>, session: SessionId, id: ReferralId) -> Self {
        let patience = cx.config.answer_timeout;
        let limit = cx.timers.set(cx.now + patience, TimerKey::Referral(session, id));
        Self {
            session,
            id,
            state: State::Asked { limit },
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// How long the peer has still to be told.
    pub(super) fn left(&self, now: Time) -> Duration {
        match self.state {
            State::Following { limit, .. } => limit.at().since(now),
            State::Asked { .. } | State::Lapsed | State::Over => Duration::ZERO,
        }
    }

    pub(super) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        visit!(cx, self.state, input);
        self.state = match (core::mem::replace(&mut self.state, State::Over), input) {
            (State::Asked { limit }, Input::Accept) => {
                cx.timers.stop(limit);
                out.push(Effect::Answer(StatusCode::ACCEPTED));
                // RFC 3515 section 2.4.4: the first NOTIFY comes at once.
                out.push(Effect::Notify(StatusCode::TRYING, None));
                let lasts = cx.config.referral_expires;
                let key = TimerKey::Referral(self.session, self.id);
                State::Following {
                    limit: cx.timers.set(cx.now + lasts, key),
                    last: StatusCode::TRYING,
                }
            }
            (State::Asked { limit }, Input::Refuse(status)) => {
                cx.timers.stop(limit);
                out.push(Effect::Answer(status));
                State::Over
            }
            (State::Asked { .. }, Input::Fired) => {
                cx.counters.timeouts.answer += 1;
                out.push(Effect::Answer(StatusCode::SERVER_INTERNAL_ERROR));
                State::Lapsed
            }
            (State::Lapsed, Input::Accept | Input::Refuse(_)) => State::Over,
            (State::Following { limit, .. }, Input::Progress(status)) => {
                if status.is_final() {
                    cx.timers.stop(limit);
                    out.push(Effect::Notify(status, Some("noresource")));
                    State::Over
                } else {
                    out.push(Effect::Notify(status, None));
                    State::Following { limit, last: status }
                }
            }
            (State::Following { limit, .. }, Input::Unheard) => {
                cx.timers.stop(limit);
                State::Over
            }
            (State::Following { last, .. }, Input::Fired) => {
                out.push(Effect::Notify(last, Some("timeout")));
                State::Over
            }

            // Ignored. No call is followed, and no NOTIFY was sent.
            (state @ (State::Asked { .. } | State::Lapsed), Input::Progress(_) | Input::Unheard) => state,
            // Its timer has fired.
            (state @ State::Lapsed, Input::Fired) => state,
            // Decided on twice: refused as misuse before it comes here.
            (state @ State::Following { .. }, Input::Accept | Input::Refuse(_)) => state,
            // Its session has forgotten it.
            (
                state @ State::Over,
                Input::Accept | Input::Refuse(_) | Input::Progress(_) | Input::Unheard | Input::Fired,
            ) => state,
        };
    }

    /// Its session is over.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Asked { limit } | State::Following { limit, .. } => {
                cx.timers.stop(limit);
            }
            State::Lapsed | State::Over => {}
        }
    }

    /// Whether the application has decided, as far as it knows.
    pub(super) const fn is_decided(&self) -> bool {
        matches!(self.state, State::Following { .. } | State::Over)
    }

    pub(super) fn fingerprint(&self, now: Time) -> Fingerprint {
        let (state, limit, last) = match self.state {
            State::Asked { limit } => ("Asked", Some(limit), None),
            State::Lapsed => ("Lapsed", None, None),
            State::Following { limit, last } => ("Following", Some(limit), Some(last.code())),
            State::Over => ("Over", None, None),
        };
        Fingerprint {
            state,
            left: limit.map(|limit| limit.at().since(now)),
            last,
        }
    }
}
