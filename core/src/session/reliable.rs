//! Reliable provisional responses (RFC 3262; rule S7), one at a time: the callee's side as a machine, the caller's as the
//! order in which it takes them. The machine knows no messages: its session sends what it asks for.
//!
//! ```text
//!             send                    final response
//!   Idle ----------------> Waiting ------------------> Closed
//!    ^                      |   |                        |
//!    |        PRACK         |   | 64*T1: refused         | PRACK
//!    +----------------------+   v                        |
//!    +<-------------------- the session ends             |
//!    +---------------------------------------------------+
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::ids::SessionId;
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No response waits for its PRACK.
    Idle,
    /// The last one does, and goes out again and again.
    Waiting {
        interval: Duration,
        again: TimerId,
        limit: TimerId,
    },
    /// The same, but the INVITE has its final response: nothing is repeated any more.
    Closed,
}

/// The timers of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The response again.
    Again,
    /// The end of patience.
    Limit,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A response is to go out.
    Send,
    /// A PRACK for the response with this number to our INVITE.
    Prack(u32),
    /// The final response has gone out.
    Final,
    /// There is nothing left that could be acknowledged.
    Over,
    Fired(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send the response, with this number.
    Send(u32),
    Repeat,
    /// The PRACK is the right one.
    Acknowledged,
    /// There is no such response, or it has had its PRACK: 481 (RFC 3262 section 3).
    Unknown,
    /// No PRACK has come: the INVITE is to be refused with a 5xx (the same).
    Expired,
}

/// The machine of one session.
#[derive(Clone, Debug)]
pub(crate) struct Reliable {
    session: SessionId,
    /// Of which of the callee's early dialogs.
    branch: u8,
    state: State,
    /// The number of the last response; the first is drawn (RFC 3262 section 3).
    number: Option<u32>,
}

impl Reliable {
    pub(crate) const fn new(session: SessionId, branch: u8) -> Self {
        Self {
            session,
            branch,
            state: State::Idle,
            number: None,
        }
    }

    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether another response has to wait.
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        visit!(cx, self.state, input);
        self.state = match (core::mem::replace(&mut self.state, State::Idle), input) {
            (State::Idle, Input::Send) => {
                // From 1 to 2^31 - 1; later ones follow on (RFC 3262 section 3).
                let first = || u32::try_from(1 + cx.entropy.below((1 << 31) - 1)).unwrap_or(1);
                let number = self.number.map_or_else(first, |last| last.wrapping_add(1));
                self.number = Some(number);
                out.push(Effect::Send(number));
                let interval = cx.config.t1;
                State::Waiting {
                    interval,
                    again: self.set(cx, interval, Timer::Again),
                    limit: self.set(cx, cx.config.t1.saturating_mul(64), Timer::Limit),
                }
            }
            (State::Waiting { again, limit, .. }, Input::Prack(number)) if Some(number) == self.number => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                out.push(Effect::Acknowledged);
                State::Idle
            }
            (State::Closed, Input::Prack(number)) if Some(number) == self.number => {
                out.push(Effect::Acknowledged);
                State::Idle
            }
            (state @ (State::Idle | State::Waiting { .. } | State::Closed), Input::Prack(_)) => {
                out.push(Effect::Unknown);
                state
            }
            (State::Waiting { again, limit, .. }, Input::Final) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                State::Closed
            }
            (State::Waiting { again, limit, .. }, Input::Over) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                State::Idle
            }
            (State::Closed, Input::Over) => State::Idle,
            // Unlike others these intervals go on doubling.
            (State::Waiting { interval, limit, .. }, Input::Fired(Timer::Again)) => {
                out.push(Effect::Repeat);
                let interval = interval.saturating_mul(2);
                State::Waiting {
                    interval,
                    again: self.set(cx, interval, Timer::Again),
                    limit,
                }
            }
            (State::Waiting { again, .. }, Input::Fired(Timer::Limit)) => {
                cx.timers.stop(again);
                cx.counters.timeouts.ack += 1;
                out.push(Effect::Expired);
                State::Idle
            }

            // Ignored. Most sessions have none.
            (State::Idle, Input::Final | Input::Over) => State::Idle,
            // The session keeps what has to wait, and an INVITE has one final response.
            (state @ State::Waiting { .. }, Input::Send) => state,
            (State::Closed, Input::Send | Input::Final) => State::Closed,
            // No timer is set.
            (state @ (State::Idle | State::Closed), Input::Fired(Timer::Again | Timer::Limit)) => state,
        };
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration, timer: Timer) -> TimerId {
        let key = TimerKey::Session(self.session, super::Timer::Reliable(self.branch, timer));
        cx.timers.set(cx.now + after, key)
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let left = |timer: TimerId| Some(timer.at().since(now));
        let (state, interval, again, limit) = match self.state {
            State::Idle => ("Idle", Duration::ZERO, None, None),
            State::Closed => ("Closed", Duration::ZERO, None, None),
            State::Waiting {
                interval,
                again,
                limit,
            } => ("Waiting", interval, left(again), left(limit)),
        };
        Fingerprint {
            state,
            interval,
            again,
            limit,
            begun: self.number.is_some(),
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
    begun: bool,
}

/// Which reliable responses of one early dialog a caller has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InOrder {
    last: Option<u32>,
}

impl InOrder {
    /// Whether the response with this number is the next one; a repeated one is not, nor is one after a gap (RFC 3262
    /// section 4).
    pub(crate) fn take(&mut self, number: u32) -> bool {
        let is_next = self.last.is_none_or(|last| last.checked_add(1) == Some(number));
        if is_next {
            self.last = Some(number);
        }
        is_next
    }
}
