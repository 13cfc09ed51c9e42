//! A change of the session that this side offers, by re-INVITE or UPDATE (RFC 3261 section 14.1, RFC 3311 section 5.1;
//! rules S5, S6). The machine knows no messages: its session sends what it asks for.
//!
//! ```text
//!                     peer's change open                           491, or 500 with Retry-After, once
//!   Idle --renegotiate---------------------> Held <-------------+------------------------------------ Sent
//!    ^  \                                     | peer's is over  | peer's change open
//!    |   \--renegotiate--> Sent <-------------+                 |                         +-- time is up -- Waiting <-- 491 ...
//!    |                      | | cancelled, or it took too long  +-------------------------+                    |
//!    |  2xx, refused, lost  | v                                                           \--> Sent            |
//!    +----------------------+ Cancelling --- 2xx, 487, ... ---> Idle <------------------------- cancelled ------+
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
    /// It waits until no change of the peer is open; `again` if it was sent before.
    Held {
        operation: OperationId,
        again: bool,
    },
    /// The request is on its way. A re-INVITE may take as long as an INVITE (S12).
    Sent {
        operation: OperationId,
        again: bool,
        limit: Option<TimerId>,
    },
    /// The same, and CANCEL was asked for: by the application, or because it took too long.
    Cancelling {
        operation: OperationId,
        late: bool,
    },
    /// It is sent once more at this time.
    Waiting {
        operation: OperationId,
        timer: TimerId,
    },
}

/// The timers of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// Once more.
    Again,
    /// The end of patience.
    Limit,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The application offers a change; `free` if no change of the peer is open. `bounded` says that it is a re-INVITE,
    /// which has no other bound.
    Renegotiate {
        operation: OperationId,
        free: bool,
        bounded: bool,
    },
    /// No change of the peer is open any more.
    Free {
        bounded: bool,
    },
    /// The peer has taken it.
    Taken,
    /// It has not; or nobody has answered. With a time it may be asked once more after it.
    Refused(OperationError, Option<Duration>),
    /// The application wants it no more.
    Cancel,
    /// The session ends.
    Over,
    Fired {
        timer: Timer,
        free: bool,
        bounded: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    Send,
    SendCancel,
    /// By the 2xx, where it succeeded.
    Complete(OperationId, Result<(), OperationError>),
}

/// The machine of one session.
#[derive(Clone, Debug)]
pub(crate) struct Renegotiation {
    session: SessionId,
    state: State,
}

impl Renegotiation {
    pub(crate) const fn new(session: SessionId) -> Self {
        Self {
            session,
            state: State::Idle,
        }
    }

    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether it waits for the dialog to let it go out.
    pub(crate) const fn is_held(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }

    /// Whether its request is in the peer's hands, or on its way there.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Sent { .. } | State::Cancelling { .. })
    }

    pub(crate) const fn is_cancelling(&self) -> bool {
        matches!(self.state, State::Cancelling { .. })
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        visit!(cx, self.state, input);
        let aborted = || OperationError::OperationFailure(OperationFailure::Aborted);
        self.state = match (core::mem::replace(&mut self.state, State::Idle), input) {
            (
                State::Idle,
                Input::Renegotiate {
                    operation,
                    free,
                    bounded,
                },
            ) => self.send_or_hold(cx, out, (operation, false), free, bounded),
            (State::Held { operation, again }, Input::Free { bounded }) => {
                self.send_or_hold(cx, out, (operation, again), true, bounded)
            }
            (
                State::Waiting { operation, .. },
                Input::Fired {
                    timer: Timer::Again,
                    free,
                    bounded,
                },
            ) => self.send_or_hold(cx, out, (operation, true), free, bounded),

            (State::Sent { operation, limit, .. }, Input::Taken) => {
                stop(cx, limit);
                out.push(Effect::Complete(operation, Ok(())));
                State::Idle
            }
            // The CANCEL came too late: the session has changed (RFC 3261 section 9.1).
            (State::Cancelling { operation, .. }, Input::Taken) => {
                out.push(Effect::Complete(operation, Ok(())));
                State::Idle
            }
            (
                State::Sent {
                    operation,
                    again: false,
                    limit,
                },
                Input::Refused(_, Some(wait)),
            ) => {
                stop(cx, limit);
                State::Waiting {
                    operation,
                    timer: self.set(cx, wait, Timer::Again),
                }
            }
            (State::Sent { operation, limit, .. }, Input::Refused(error, _)) => {
                stop(cx, limit);
                out.push(Effect::Complete(operation, Err(error)));
                State::Idle
            }
            (State::Cancelling { operation, late }, Input::Refused(..)) => {
                let error = if late { OperationError::Timeout } else { aborted() };
                out.push(Effect::Complete(operation, Err(error)));
                State::Idle
            }

            (State::Held { operation, .. }, Input::Cancel) => {
                out.push(Effect::Complete(operation, Err(aborted())));
                State::Idle
            }
            (State::Waiting { operation, timer }, Input::Cancel) => {
                cx.timers.stop(timer);
                out.push(Effect::Complete(operation, Err(aborted())));
                State::Idle
            }
            (State::Sent { operation, limit, .. }, Input::Cancel) => {
                stop(cx, limit);
                out.push(Effect::SendCancel);
                State::Cancelling {
                    operation,
                    late: false,
                }
            }
            (
                State::Sent { operation, .. },
                Input::Fired {
                    timer: Timer::Limit, ..
                },
            ) => {
                cx.counters.timeouts.establish += 1;
                out.push(Effect::SendCancel);
                State::Cancelling {
                    operation,
                    late: true,
                }
            }

            (State::Held { operation, .. } | State::Cancelling { operation, .. }, Input::Over) => {
                out.push(Effect::Complete(operation, Err(terminated())));
                State::Idle
            }
            (State::Waiting { operation, timer }, Input::Over) => {
                cx.timers.stop(timer);
                out.push(Effect::Complete(operation, Err(terminated())));
                State::Idle
            }
            (State::Sent { operation, limit, .. }, Input::Over) => {
                stop(cx, limit);
                out.push(Effect::Complete(operation, Err(terminated())));
                State::Idle
            }

            // Ignored. Only what is held is freed, and most sessions end without a change.
            (
                state @ (State::Idle | State::Sent { .. } | State::Cancelling { .. } | State::Waiting { .. }),
                Input::Free { .. },
            ) => state,
            (State::Idle, Input::Over) => State::Idle,
            // A session that has ended gets what comes of its last request, and nothing was cancelled that is not there.
            (
                state @ (State::Idle | State::Held { .. } | State::Waiting { .. }),
                Input::Taken | Input::Refused(..),
            ) => state,
            (state @ (State::Idle | State::Cancelling { .. }), Input::Cancel) => state,
            // Misuse, refused before it comes here.
            (
                state @ (State::Held { .. }
                | State::Sent { .. }
                | State::Cancelling { .. }
                | State::Waiting { .. }),
                Input::Renegotiate { .. },
            ) => state,
            // No such timer is set.
            (
                state @ (State::Idle | State::Held { .. } | State::Cancelling { .. }),
                Input::Fired {
                    timer: Timer::Again | Timer::Limit,
                    ..
                },
            ) => state,
            (
                state @ State::Sent { .. },
                Input::Fired {
                    timer: Timer::Again, ..
                },
            ) => state,
            (
                state @ State::Waiting { .. },
                Input::Fired {
                    timer: Timer::Limit, ..
                },
            ) => state,
        };
    }

    fn send_or_hold(
        &self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Effect>,
        (operation, again): (OperationId, bool),
        free: bool,
        bounded: bool,
    ) -> State {
        if !free {
            return State::Held { operation, again };
        }
        out.push(Effect::Send);
        let patience = cx.config.max_connect_duration;
        let limit = (bounded && !patience.is_zero()).then(|| self.set(cx, patience, Timer::Limit));
        State::Sent {
            operation,
            again,
            limit,
        }
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration, timer: Timer) -> TimerId {
        let key = TimerKey::Session(self.session, super::Timer::Renegotiation(timer));
        cx.timers.set(cx.now + after, key)
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let left = |timer: TimerId| Some(timer.at().since(now));
        let (state, again, left) = match self.state {
            State::Idle => ("Idle", false, None),
            State::Held { again, .. } => ("Held", again, None),
            State::Sent { again, limit, .. } => ("Sent", again, limit.and_then(left)),
            State::Cancelling { late, .. } => ("Cancelling", late, None),
            State::Waiting { timer, .. } => ("Waiting", true, left(timer)),
        };
        Fingerprint { state, again, left }
    }
}

/// The machine in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    state: &'static str,
    again: bool,
    left: Option<Duration>,
}

const fn terminated() -> OperationError {
    OperationError::OperationFailure(OperationFailure::SessionTerminated)
}

fn stop(cx: &mut Cx<'_>, timer: Option<TimerId>) {
    if let Some(timer) = timer {
        cx.timers.stop(timer);
    }
}

/// How long who got a 491 waits (RFC 3261 section 14.1): the owner of the Call-ID 2.1 to 4 s, the other up to 2 s, in
/// steps of 10 ms.
pub(crate) fn back_off(cx: &mut Cx<'_>, owner: bool) -> Duration {
    let (first, steps) = if owner { (2_100, 191) } else { (0, 201) };
    Duration::from_millis(first + 10 * cx.entropy.below(steps))
}
