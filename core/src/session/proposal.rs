//! A change of the session that the peer offers, by re-INVITE or UPDATE (RFC 3261 section 14.2, RFC 3311 section 5.2;
//! rules S5, S6). The machine knows no messages: its session answers as it asks.
//!
//! ```text
//!            received              accepted: UPDATE
//!   Idle ---------------> Asked ----------------------> Idle
//!    ^                    |   \  accepted: INVITE
//!    |   rejected,        |    \----------------> Accepted --- received: implies the ACK ---> Asked
//!    |   CANCEL,          |                          |
//!    +--- no answer ------+          ACK             |
//!    +-----------------------------------------------+
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::event::{OperationError, OperationFailure};
use crate::ids::{OperationId, SessionId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    /// It waits for the application.
    Asked {
        limit: TimerId,
    },
    /// Our 2xx to a re-INVITE waits for its ACK.
    Accepted {
        operation: OperationId,
        interval: Duration,
        again: TimerId,
        limit: TimerId,
    },
}

/// The timers of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The 2xx again.
    Again,
    /// The end of patience.
    Limit,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A change that meets nothing else.
    Received,
    /// The application takes it; `acknowledged` if an ACK is to come.
    Accept {
        operation: OperationId,
        acknowledged: bool,
    },
    /// It does not.
    Reject,
    Cancel,
    Ack,
    /// The session ends.
    Over,
    Fired(Timer),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Answer it with this status.
    Refuse(u16),
    /// Tell the application that there is nothing left to decide.
    Withdrawn,
    /// Send the 2xx again.
    Repeat,
    /// No ACK has come: the session is to end (RFC 3261 section 14.2).
    Unacknowledged,
    Complete(OperationId, Result<(), OperationError>),
}

/// The machine of one session.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    session: SessionId,
    state: State,
}

impl Proposal {
    pub(crate) const fn new(session: SessionId) -> Self {
        Self {
            session,
            state: State::Idle,
        }
    }

    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether the application has to decide.
    pub(crate) const fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        visit!(cx, self.state, input);
        self.state = match (core::mem::replace(&mut self.state, State::Idle), input) {
            (State::Idle, Input::Received) => self.asked(cx),
            // Who asks again has had the answer: its ACK was lost (RFC 5407 section 3.1.4).
            (
                State::Accepted {
                    operation,
                    again,
                    limit,
                    ..
                },
                Input::Received,
            ) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                out.push(Effect::Complete(operation, Ok(())));
                self.asked(cx)
            }
            (
                State::Asked { limit },
                Input::Accept {
                    operation,
                    acknowledged,
                },
            ) => {
                cx.timers.stop(limit);
                if acknowledged {
                    let interval = cx.config.t1;
                    State::Accepted {
                        operation,
                        interval,
                        again: self.set(cx, interval, Timer::Again),
                        limit: self.set(cx, cx.config.t1.saturating_mul(64), Timer::Limit),
                    }
                } else {
                    out.push(Effect::Complete(operation, Ok(())));
                    State::Idle
                }
            }
            (State::Asked { limit }, Input::Reject) => {
                cx.timers.stop(limit);
                State::Idle
            }
            (State::Asked { limit }, Input::Cancel) => {
                cx.timers.stop(limit);
                out.push(Effect::Refuse(487));
                out.push(Effect::Withdrawn);
                State::Idle
            }
            // RFC 3261 section 15.1.2: what waits in a dialog that ends is answered 487.
            (State::Asked { limit }, Input::Over) => {
                cx.timers.stop(limit);
                out.push(Effect::Refuse(487));
                State::Idle
            }
            (State::Asked { .. }, Input::Fired(Timer::Limit)) => {
                cx.counters.timeouts.answer += 1;
                out.push(Effect::Refuse(500));
                out.push(Effect::Withdrawn);
                State::Idle
            }
            (
                State::Accepted {
                    operation,
                    again,
                    limit,
                    ..
                },
                Input::Ack,
            ) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                out.push(Effect::Complete(operation, Ok(())));
                State::Idle
            }
            (
                State::Accepted {
                    operation,
                    interval,
                    limit,
                    ..
                },
                Input::Fired(Timer::Again),
            ) => {
                out.push(Effect::Repeat);
                let interval = interval.saturating_mul(2).min(cx.config.t2);
                State::Accepted {
                    operation,
                    interval,
                    again: self.set(cx, interval, Timer::Again),
                    limit,
                }
            }
            (State::Accepted { operation, again, .. }, Input::Fired(Timer::Limit)) => {
                cx.timers.stop(again);
                cx.counters.timeouts.ack += 1;
                out.push(Effect::Complete(operation, Err(OperationError::Timeout)));
                out.push(Effect::Unacknowledged);
                State::Idle
            }
            (
                State::Accepted {
                    operation,
                    again,
                    limit,
                    ..
                },
                Input::Over,
            ) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
                out.push(Effect::Complete(operation, Err(ended)));
                State::Idle
            }

            // Ignored. Most sessions end without a change.
            (State::Idle, Input::Over) => State::Idle,
            // A CANCEL changes nothing after the final response (RFC 3261 section 9.2).
            (state @ (State::Idle | State::Accepted { .. }), Input::Cancel) => state,
            // It has its ACK, or it is the ACK of something else.
            (state @ (State::Idle | State::Asked { .. }), Input::Ack) => state,
            // The session answers a second change before the first is answered itself.
            (state @ State::Asked { .. }, Input::Received) => state,
            // Misuse, or overtaken: it does not come here.
            (state @ (State::Idle | State::Accepted { .. }), Input::Accept { .. } | Input::Reject) => state,
            // No such timer is set.
            (State::Idle, Input::Fired(Timer::Again | Timer::Limit)) => State::Idle,
            (state @ State::Asked { .. }, Input::Fired(Timer::Again)) => state,
        };
    }

    fn asked(&self, cx: &mut Cx<'_>) -> State {
        State::Asked {
            limit: self.set(cx, cx.config.answer_timeout, Timer::Limit),
        }
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration, timer: Timer) -> TimerId {
        let key = TimerKey::Session(self.session, super::Timer::Proposal(timer));
        cx.timers.set(cx.now + after, key)
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let left = |timer: TimerId| Some(timer.at().since(now));
        let (state, interval, again, limit) = match self.state {
            State::Idle => ("Idle", Duration::ZERO, None, None),
            State::Asked { limit } => ("Asked", Duration::ZERO, None, left(limit)),
            State::Accepted {
                interval,
                again,
                limit,
                ..
            } => ("Accepted", interval, left(again), left(limit)),
        };
        Fingerprint {
            state,
            interval,
            again,
            limit,
        }
    }
}

/// The machine in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    state: &'static str,
    interval: Duration,
    again: Option<Duration>,
    limit: Option<Duration>,
}
