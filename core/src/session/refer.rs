//! A REFER of ours: its request, its answer, and what the peer tells of the call that it then makes (RFC 3515; rule S14).
//!
//! ```text
//!          release            2xx             NOTIFY that ends it, or it runs out
//!  Queued ---------> Requested ----> Watching --------------------------------> Over
//!                        |                                                        ^
//!                        +--- refused, or no answer ------------------------------+
//! ```
//! The first REFER of a session goes alone; the others wait for its first NOTIFY. One with an `id` tells several REFERs
//! apart, so the others go at once; else they go one after the other: [`Referrals`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::event::ReferralState;
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
    /// Others of its session have to be known more of first.
    Queued,
    /// The request is under way. A NOTIFY may overtake its answer.
    Requested { ended: bool, lasts: Option<Duration> },
    /// The peer has promised to tell how it goes; not for longer than this.
    Watching { limit: TimerId },
    /// Nothing more comes.
    Over,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// It may go.
    Release,
    /// 2xx.
    Accepted(StatusCode),
    /// 300 to 699.
    Refused(StatusCode),
    /// No response, or none that says anything.
    Unanswered,
    /// A NOTIFY.
    Report { status: StatusCode, lasts: Lasts },
    /// The time of the promise is over.
    Fired,
}

/// What a NOTIFY says of the subscription that its REFER has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// No further NOTIFY comes.
    Ended,
    /// It lasts so long from now.
    For(Duration),
    /// As long as was said before.
    AsBefore,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send the REFER.
    Send,
    Tell(ReferralState, Option<StatusCode>),
}

/// The machine of one REFER.
#[derive(Clone, Debug)]
pub(crate) struct Referral {
    session: SessionId,
    id: ReferralId,
    state: State,
    /// What was told last.
    told: Option<(ReferralState, Option<StatusCode>)>,
}

/// A referral in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(super) state: &'static str,
    /// How long the promise has still to last.
    left: Option<Duration>,
    /// What a NOTIFY that has overtaken the answer said of it.
    early: (bool, Option<Duration>),
    told: Option<(u8, Option<u16>)>,
}

impl Referral {
    pub(super) const fn new(session: SessionId, id: ReferralId) -> Self {
        Self {
            session,
            id,
            state: State::Queued,
            told: None,
        }
    }

    pub(super) const fn is_queued(&self) -> bool {
        matches!(self.state, State::Queued)
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(super) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        visit!(cx, self.state, input);
        self.state = match (core::mem::replace(&mut self.state, State::Over), input) {
            (State::Queued, Input::Release) => {
                out.push(Effect::Send);
                State::Requested {
                    ended: false,
                    lasts: None,
                }
            }
            (State::Requested { ended: true, .. }, Input::Accepted(_)) => {
                self.lapse(out);
                State::Over
            }
            (State::Requested { ended: false, lasts }, Input::Accepted(status)) => {
                if self.told.is_none() {
                    self.tell(ReferralState::Accepted, Some(status), out);
                }
                // RFC 6665 section 4.1.2.4: so long for the first NOTIFY to come.
                let lasts = lasts.unwrap_or_else(|| cx.config.t1.saturating_mul(64));
                State::Watching {
                    limit: self.set(cx, lasts),
                }
            }
            (State::Requested { .. }, Input::Refused(status)) => {
                self.tell(ReferralState::Rejected, Some(status), out);
                State::Over
            }
            (State::Requested { .. }, Input::Unanswered) => {
                self.tell(ReferralState::Unanswered, None, out);
                State::Over
            }
            (State::Requested { ended, lasts }, Input::Report { status, lasts: now }) => {
                self.tell(ReferralState::of(status), Some(status), out);
                State::Requested {
                    ended: ended || now == Lasts::Ended,
                    lasts: match now {
                        Lasts::For(time) => Some(time),
                        Lasts::Ended | Lasts::AsBefore => lasts,
                    },
                }
            }
            (State::Watching { limit }, Input::Report { status, lasts }) => {
                self.tell(ReferralState::of(status), Some(status), out);
                match lasts {
                    Lasts::Ended => {
                        cx.timers.stop(limit);
                        self.lapse(out);
                        State::Over
                    }
                    Lasts::For(time) => {
                        cx.timers.stop(limit);
                        State::Watching {
                            limit: self.set(cx, time),
                        }
                    }
                    Lasts::AsBefore => State::Watching { limit },
                }
            }
            (State::Watching { .. }, Input::Fired) => {
                self.lapse(out);
                State::Over
            }

            // Ignored. It has not been sent: nothing answers it, and no NOTIFY is found to be about it.
            (
                state @ State::Queued,
                Input::Accepted(_)
                | Input::Refused(_)
                | Input::Unanswered
                | Input::Report { .. }
                | Input::Fired,
            ) => state,
            // It is sent once, and no timer is set while its exchange sees to its end.
            (state @ State::Requested { .. }, Input::Release | Input::Fired) => state,
            // It has had its one answer.
            (
                state @ State::Watching { .. },
                Input::Release | Input::Accepted(_) | Input::Refused(_) | Input::Unanswered,
            ) => state,
            // Its session has forgotten it.
            (
                state @ State::Over,
                Input::Release
                | Input::Accepted(_)
                | Input::Refused(_)
                | Input::Unanswered
                | Input::Report { .. }
                | Input::Fired,
            ) => state,
        };
    }

    /// Its session is over.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        if let State::Watching { limit } = core::mem::replace(&mut self.state, State::Over) {
            cx.timers.stop(limit);
        }
    }

    /// What has an outcome changes no more, and nothing is told twice.
    fn tell(&mut self, state: ReferralState, status: Option<StatusCode>, out: &mut Vec<Effect>) {
        if self.told == Some((state, status)) || self.told.is_some_and(|(told, _)| told.is_final()) {
            return;
        }
        self.told = Some((state, status));
        out.push(Effect::Tell(state, status));
    }

    /// The peer will say nothing more.
    fn lapse(&mut self, out: &mut Vec<Effect>) {
        self.tell(ReferralState::Lapsed, None, out);
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration) -> TimerId {
        cx.timers
            .set(cx.now + after, TimerKey::Referral(self.session, self.id))
    }

    pub(super) fn fingerprint(&self, now: Time) -> Fingerprint {
        let mut print = Fingerprint {
            state: "Queued",
            left: None,
            early: (false, None),
            told: self
                .told
                .map(|(state, status)| (state as u8, status.map(StatusCode::code))),
        };
        match self.state {
            State::Queued => {}
            State::Requested { ended, lasts } => {
                (print.state, print.early) = ("Requested", (ended, lasts));
            }
            State::Watching { limit } => {
                (print.state, print.left) = ("Watching", Some(limit.at().since(now)));
            }
            State::Over => print.state = "Over",
        }
        print
    }
}

/// The REFERs of one session, oldest first, each with what its owner keeps of it.
#[derive(Clone, Debug)]
pub(super) struct Referrals<T> {
    pub(super) table: BTreeMap<ReferralId, (Referral, T)>,
    /// Whether the peer tells several apart; nobody knows before its first NOTIFY.
    parallel: Option<bool>,
}

impl<T> Default for Referrals<T> {
    fn default() -> Self {
        Self {
            table: BTreeMap::new(),
            parallel: None,
        }
    }
}

impl<T> Referrals<T> {
    /// A NOTIFY has come, with or without an `id`; the first says for all that follow.
    pub(super) fn learn(&mut self, has_id: bool) {
        self.parallel.get_or_insert(has_id);
    }

    /// The one that may go now.
    pub(super) fn next(&self) -> Option<ReferralId> {
        let mut queued = self.table.iter().filter(|(_, (it, _))| it.is_queued());
        let first = queued.next().map(|(id, _)| *id);
        let waits = self.parallel != Some(true);
        let busy = || self.table.values().any(|(it, _)| !it.is_queued());
        first.filter(|_| !(waits && busy()))
    }
}
