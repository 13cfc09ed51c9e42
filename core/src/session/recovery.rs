//! The recovery of a session's route set after a 430 (MS-SIPRE sections 3.7.5.3.1 and 3.7.5.3.4; rule S17). The machine knows
//! no messages: its session sends what it asks for.
//!
//! ```text
//!                     430: dialog              healed
//!   Healthy -------------------------> Healing ---------------> Healthy
//!     | \                               |  ^ ^
//!     |  \ 430: registration, dialog    |  |  \ again, 430: dialog
//!     |   +-------------> Registering --|--+   \
//!     |                    registered   |       |
//!     | 430: wait                       | not healed
//!     +---------------------------------+-----> Waiting -- healed by the peer --> Healthy
//!
//!   Healing, Registering, Waiting -- the time is up --> Over
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::event::RouteState;
use crate::ids::SessionId;
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod tests;

/// See the module. `limit` is the end of patience, where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Healthy,
    /// The target refresh without a route set is under way; so many have failed before. `far`: it is for the peer to heal
    /// the route.
    Healing {
        failed: u32,
        far: bool,
        limit: Option<TimerId>,
    },
    /// The next one goes out later.
    Waiting {
        again: TimerId,
        failed: u32,
        far: bool,
        limit: Option<TimerId>,
    },
    /// The registration is refreshed first.
    Registering {
        limit: Option<TimerId>,
    },
    /// It is given up, or the session ends.
    Over,
}

/// The timers of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The next target refresh.
    Again,
    /// The end of patience.
    Limit,
}

/// What P-Dialog-Recovery-Action asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Dialog-Route-Set-Update.
    Dialog,
    /// Registration-Route-Set-Update, and then the same.
    Registration,
    /// Wait-For-Session-Update.
    Wait,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// A request was answered 430.
    Failed(Remedy),
    /// A target refresh has brought a route: of ours, or of the peer.
    Healed,
    /// Ours was refused or not answered; `far` where it was answered 430 and the peer is to be waited for.
    NotHealed {
        far: bool,
    },
    /// The registration was refreshed for this, or cannot be.
    Registered,
    /// The session ends.
    Over,
    Fired(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Tell the application.
    Changed(RouteState),
    /// Send the target refresh.
    Heal,
    /// Refresh the registration.
    Register,
    /// What was held goes out.
    Release,
    /// What has failed and waits for the recovery has failed for good.
    Fail,
    /// The session is to end.
    GiveUp,
}

/// The machine of one session.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    session: SessionId,
    /// It waits for ever where only the peer can heal the route.
    patient: bool,
    state: State,
}

impl Recovery {
    pub(crate) const fn new(session: SessionId, patient: bool) -> Self {
        Self {
            session,
            patient,
            state: State::Healthy,
        }
    }

    pub(crate) const fn state(&self) -> RouteState {
        match self.state {
            State::Healthy => RouteState::Healthy,
            State::Healing { .. } | State::Waiting { .. } | State::Registering { .. } | State::Over => {
                RouteState::Recovering
            }
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether requests go out: they are tried where it is for the peer to heal the route, as long as that takes.
    pub(crate) const fn sends(&self) -> bool {
        match self.state {
            State::Healthy => true,
            State::Healing { far, .. } | State::Waiting { far, .. } => far && self.patient,
            State::Registering { .. } | State::Over => false,
        }
    }

    /// `interval`: how long to wait for the peer before it is asked.
    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, interval: Duration, out: &mut Vec<Effect>) {
        visit!(cx, self.state, input);
        self.state = match (core::mem::replace(&mut self.state, State::Over), input) {
            (State::Healthy, Input::Failed(remedy)) => {
                out.push(Effect::Changed(RouteState::Recovering));
                self.begin(cx, remedy, (0, None), interval, out)
            }
            // The dialogs of an endpoint are recovered together.
            (State::Healthy, Input::Registered) => {
                out.push(Effect::Changed(RouteState::Recovering));
                self.begin(cx, Remedy::Dialog, (0, None), interval, out)
            }
            (State::Healing { limit, .. } | State::Registering { limit }, Input::Healed) => {
                stop(cx, limit);
                healed(out)
            }
            (State::Waiting { again, limit, .. }, Input::Healed) => {
                stop(cx, Some(again));
                stop(cx, limit);
                healed(out)
            }
            (State::Healing { failed, limit, .. }, Input::NotHealed { far: true }) => {
                out.push(Effect::Fail);
                self.begin(cx, Remedy::Wait, (failed, limit), interval, out)
            }
            (State::Healing { failed, far, limit }, Input::NotHealed { far: false }) => {
                out.push(Effect::Fail);
                let wait = cx
                    .config
                    .t2
                    .saturating_mul(1 << failed.min(16))
                    .min(cx.config.backoff_max);
                State::Waiting {
                    again: self.set(cx, wait, Timer::Again),
                    failed: failed + 1,
                    far,
                    limit,
                }
            }
            (
                State::Waiting {
                    again, failed, limit, ..
                },
                Input::Failed(remedy @ (Remedy::Dialog | Remedy::Registration)),
            ) => {
                stop(cx, Some(again));
                self.begin(cx, remedy, (failed, limit), interval, out)
            }
            (
                State::Waiting {
                    again,
                    failed,
                    limit,
                    far: false,
                },
                Input::Failed(Remedy::Wait),
            ) => {
                stop(cx, Some(again));
                self.begin(cx, Remedy::Wait, (failed, limit), interval, out)
            }
            (
                State::Waiting {
                    again, failed, limit, ..
                },
                Input::Registered,
            ) => {
                stop(cx, Some(again));
                self.begin(cx, Remedy::Dialog, (failed, limit), interval, out)
            }
            (
                State::Waiting {
                    failed, far, limit, ..
                },
                Input::Fired(Timer::Again),
            ) => {
                out.push(Effect::Heal);
                State::Healing { failed, far, limit }
            }
            (State::Registering { limit }, Input::Registered) => {
                self.begin(cx, Remedy::Dialog, (0, limit), interval, out)
            }
            (State::Healing { .. } | State::Registering { .. }, Input::Fired(Timer::Limit)) => {
                out.push(Effect::GiveUp);
                State::Over
            }
            (State::Waiting { again, .. }, Input::Fired(Timer::Limit)) => {
                stop(cx, Some(again));
                out.push(Effect::GiveUp);
                State::Over
            }
            (State::Healing { limit, .. } | State::Registering { limit }, Input::Over) => {
                stop(cx, limit);
                State::Over
            }
            (State::Waiting { again, limit, .. }, Input::Over) => {
                stop(cx, Some(again));
                stop(cx, limit);
                State::Over
            }
            (State::Healthy, Input::Over) => State::Over,

            // Ignored. What was under way when the recovery began fails as it does; it is under way already.
            (state @ (State::Healing { .. } | State::Registering { .. }), Input::Failed(_)) => state,
            (state @ State::Waiting { far: true, .. }, Input::Failed(Remedy::Wait)) => state,
            (state @ State::Healing { .. }, Input::Registered) => state,
            // Its session hears of the refresh under way, and of no other.
            (
                state @ (State::Healthy | State::Waiting { .. } | State::Registering { .. }),
                Input::NotHealed { .. },
            ) => state,
            // Every target refresh of the peer heals what there may be to heal.
            (State::Healthy, Input::Healed) => State::Healthy,
            // No such timer is set.
            (State::Healthy, Input::Fired(Timer::Again | Timer::Limit)) => State::Healthy,
            (state @ (State::Healing { .. } | State::Registering { .. }), Input::Fired(Timer::Again)) => {
                state
            }
            // The session ends.
            (
                State::Over,
                Input::Failed(_)
                | Input::Healed
                | Input::NotHealed { .. }
                | Input::Registered
                | Input::Over
                | Input::Fired(Timer::Again | Timer::Limit),
            ) => State::Over,
        };
    }

    fn begin(
        &self,
        cx: &mut Cx<'_>,
        remedy: Remedy,
        (failed, limit): (u32, Option<TimerId>),
        interval: Duration,
        out: &mut Vec<Effect>,
    ) -> State {
        let far = remedy == Remedy::Wait;
        let limit = if far && self.patient {
            stop(cx, limit);
            None
        } else {
            limit.or_else(|| Some(self.set(cx, cx.config.route_recovery_limit, Timer::Limit)))
        };
        match remedy {
            Remedy::Dialog => {
                out.push(Effect::Heal);
                State::Healing { failed, far, limit }
            }
            Remedy::Registration => {
                out.push(Effect::Register);
                State::Registering { limit }
            }
            Remedy::Wait => State::Waiting {
                again: self.set(cx, interval, Timer::Again),
                failed,
                far,
                limit,
            },
        }
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration, timer: Timer) -> TimerId {
        let key = TimerKey::Session(self.session, super::Timer::Recovery(timer));
        cx.timers.set(cx.now + after, key)
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let left = |timer: &TimerId| timer.at().since(now);
        let (state, failed, far, again, limit) = match &self.state {
            State::Healthy => ("Healthy", 0, false, None, None),
            State::Healing { failed, far, limit } => ("Healing", *failed, *far, None, limit.as_ref()),
            State::Waiting {
                again,
                failed,
                far,
                limit,
            } => ("Waiting", *failed, *far, Some(again), limit.as_ref()),
            State::Registering { limit } => ("Registering", 0, false, None, limit.as_ref()),
            State::Over => ("Over", 0, false, None, None),
        };
        Fingerprint {
            state,
            failed: failed.min(16),
            far,
            patient: self.patient,
            again: again.map(left),
            limit: limit.map(left),
        }
    }
}

/// The machine in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    state: &'static str,
    failed: u32,
    far: bool,
    patient: bool,
    again: Option<Duration>,
    limit: Option<Duration>,
}

fn healed(out: &mut Vec<Effect>) -> State {
    out.push(Effect::Changed(RouteState::Healthy));
    out.push(Effect::Release);
    State::Healthy
}

fn stop(cx: &mut Cx<'_>, timer: Option<TimerId>) {
    if let Some(timer) = timer {
        cx.timers.stop(timer);
    }
}
