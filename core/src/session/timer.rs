//! The timer of a session (RFC 4028, rule S11): who refreshes, when, and when it counts as dead.
//!
//! ```text
//!         agreed, ours                    half of it is over
//!  Off -----------------> Waiting ----------------------------> Refreshing
//!   ^                      ^   ^                                  |     |
//!   | not agreed           |   +--- refused: half of what is left +     | lost, or nothing in time
//!   +--- any state         +------- agreed, ours -----------------+     v
//!         agreed, the peer's                                           Over (BYE)
//!  Off -----------------> Watching ------- nothing in time -------------^
//! ```
//! Every 2xx to INVITE and UPDATE agrees anew, or not. In time is until the lesser of 32 s and a third of the interval
//! before its end (section 10).

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::ids::SessionId;
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod tests;

/// The shortest interval that there is (RFC 4028 section 4).
pub(crate) const FLOOR: Duration = Duration::from_secs(90);

/// A refresh that was refused is tried again after this at the least.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The session lasts until it is ended.
    Off,
    /// This side refreshes, when it is due.
    Waiting { due: TimerId, end: TimerId },
    /// It does so now.
    Refreshing { end: TimerId },
    /// The peer does.
    Watching { end: TimerId },
    /// The session counts as dead.
    Over,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A 2xx says how long the session lasts, and whether this side refreshes it.
    Agreed {
        interval: Duration,
        ours: bool,
    },
    /// A 2xx says nothing of it.
    NotAgreed,
    /// The refresh was refused, which says nothing of the session.
    Refused,
    /// The refresh was never answered, or the peer knows no such session.
    Lost,
    Fired(Timer),
}

/// Its timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// To refresh.
    Due,
    /// The end of the session.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Refresh the session.
    Refresh,
    /// End it.
    Expire,
}

/// The machine of one session.
#[derive(Clone, Debug)]
pub(crate) struct SessionTimer {
    session: SessionId,
    state: State,
    /// What was agreed last.
    interval: Duration,
}

/// The machine in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(super) state: &'static str,
    pub(super) due: Option<Duration>,
    pub(super) end: Option<Duration>,
    interval: Duration,
}

impl SessionTimer {
    pub(crate) const fn new(session: SessionId) -> Self {
        Self {
            session,
            state: State::Off,
            interval: Duration::ZERO,
        }
    }

    /// How long the session lasts without a refresh, and whether this side refreshes it.
    pub(crate) const fn agreed(&self) -> Option<(Duration, bool)> {
        match self.state {
            State::Off | State::Over => None,
            State::Waiting { .. } | State::Refreshing { .. } => Some((self.interval, true)),
            State::Watching { .. } => Some((self.interval, false)),
        }
    }

    pub(crate) const fn is_refreshing(&self) -> bool {
        matches!(self.state, State::Refreshing { .. })
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        visit!(cx, self.state, input);
        self.state = match (core::mem::replace(&mut self.state, State::Over), input) {
            (
                state @ (State::Off
                | State::Waiting { .. }
                | State::Refreshing { .. }
                | State::Watching { .. }),
                Input::Agreed { interval, ours },
            ) => {
                stop(cx, &state);
                self.interval = interval;
                let end = self.set(cx, interval.saturating_sub(margin(interval)), Timer::End);
                if ours {
                    let due = self.set(cx, interval / 2, Timer::Due);
                    State::Waiting { due, end }
                } else {
                    State::Watching { end }
                }
            }
            (
                state @ (State::Waiting { .. } | State::Refreshing { .. } | State::Watching { .. }),
                Input::NotAgreed,
            ) => {
                stop(cx, &state);
                State::Off
            }
            (State::Waiting { end, .. }, Input::Fired(Timer::Due)) => {
                out.push(Effect::Refresh);
                State::Refreshing { end }
            }
            (State::Refreshing { end }, Input::Refused) => {
                let left = end.at().since(cx.now);
                let due = self.set(cx, (left / 2).max(PAUSE), Timer::Due);
                State::Waiting { due, end }
            }
            (state @ State::Refreshing { .. }, Input::Lost) => {
                stop(cx, &state);
                out.push(Effect::Expire);
                State::Over
            }
            (
                state @ (State::Waiting { .. } | State::Refreshing { .. } | State::Watching { .. }),
                Input::Fired(Timer::End),
            ) => {
                cx.counters.timeouts.session += 1;
                stop(cx, &state);
                out.push(Effect::Expire);
                State::Over
            }

            // Ignored. A refresh of the peer's, or of another kind, that says nothing of the session.
            (
                state @ (State::Off | State::Waiting { .. } | State::Watching { .. }),
                Input::Refused | Input::Lost,
            ) => state,
            (state @ State::Off, Input::NotAgreed) => state,
            // No such timer is set.
            (state @ State::Off, Input::Fired(Timer::Due | Timer::End)) => state,
            (state @ (State::Refreshing { .. } | State::Watching { .. }), Input::Fired(Timer::Due)) => state,
            // The session ends.
            (
                state @ State::Over,
                Input::Agreed { .. }
                | Input::NotAgreed
                | Input::Refused
                | Input::Lost
                | Input::Fired(Timer::Due | Timer::End),
            ) => state,
        };
    }

    /// The session is over.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>) {
        stop(cx, &core::mem::replace(&mut self.state, State::Over));
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration, timer: Timer) -> TimerId {
        cx.timers
            .set(cx.now + after, TimerKey::Refresh(self.session, timer))
    }

    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let (state, due, end) = match self.state {
            State::Off => ("Off", None, None),
            State::Waiting { due, end } => ("Waiting", Some(due), Some(end)),
            State::Refreshing { end } => ("Refreshing", None, Some(end)),
            State::Watching { end } => ("Watching", None, Some(end)),
            State::Over => ("Over", None, None),
        };
        Fingerprint {
            state,
            due: due.map(|due| due.at().since(now)),
            end: end.map(|end| end.at().since(now)),
            interval: self.interval,
        }
    }
}

/// How long before its end a session counts as dead (RFC 4028 section 10).
fn margin(interval: Duration) -> Duration {
    (interval / 3).min(Duration::from_secs(32))
}

fn stop(cx: &mut Cx<'_>, state: &State) {
    match state {
        State::Off | State::Over => {}
        State::Waiting { due, end } => {
            cx.timers.stop(*due);
            cx.timers.stop(*end);
        }
        State::Refreshing { end } | State::Watching { end } => {
            cx.timers.stop(*end);
        }
    }
}
