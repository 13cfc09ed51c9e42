//! The life of one subscription at the notifier (RFC 6665 section 4.2; rule B5): a SUBSCRIBE of somebody to a state of ours.
//! The machine knows no messages: its watcher sends what it asks for.
//!
//! ```text
//!             accept               refresh, notify
//!   Offered ----------> Watched <------------------+
//!    |  \                 |  \---------------------+
//!    |   \ accept,        |
//!    |    \ asked once    | terminate, expiry, Expires 0
//!    |     v              v
//!    |    Leaving (the last NOTIFY) ---- answered ----> Over
//!    |                                                   ^
//!    +--- reject, no answer of the application ----------+---- 481 to a NOTIFY: Watched, Leaving
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::event::WatcherReason;
use crate::ids::{OperationId, WatcherId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The SUBSCRIBE waits for the application.
    Offered { limit: TimerId },
    /// Accepted, until the timer fires.
    Watched { end: TimerId },
    /// The last NOTIFY is under way. What waits for the end completes so.
    Leaving {
        waiting: Vec<OperationId>,
        reason: WatcherReason,
    },
    /// Over.
    Over,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The application accepts it for so long; no time for one that asks once.
    Accept { granted: Option<Duration> },
    /// The application has refused it.
    Reject,
    /// The application has another state.
    Notify,
    /// The application, or the end of its endpoint.
    Terminate(OperationId),
    /// A SUBSCRIBE in the dialog, for so long.
    Refreshed { granted: Duration },
    /// One with Expires 0.
    Left,
    /// No NOTIFY is under way any more.
    Settled,
    /// The subscriber has no such subscription, or is not there (RFC 6665 section 4.2.2).
    Gone,
    /// The application has not answered in time, or the subscription was not refreshed in time.
    Fired,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// The present state.
    SendNotify,
    /// The last one, which says why.
    SendLast(WatcherReason),
    /// Answer the SUBSCRIBE with this status.
    Refuse(u16),
    /// It is over.
    Ended(WatcherReason),
    Complete(OperationId),
}

/// The machine of one subscription of somebody.
#[derive(Clone, Debug)]
pub(crate) struct Watching {
    watcher: WatcherId,
    state: State,
}

/// The machine in canonical form: times from now, nothing that names or was drawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(super) state: &'static str,
    timer: Option<Duration>,
    waiting: usize,
    /// The number of the [`WatcherReason`] of the end.
    reason: Option<u8>,
}

impl Watching {
    pub(crate) fn new(cx: &mut Cx<'_>, watcher: WatcherId) -> Self {
        let limit = cx
            .timers
            .set(cx.now + cx.config.answer_timeout, TimerKey::Watcher(watcher));
        let state = State::Offered { limit };
        Self { watcher, state }
    }

    pub(crate) const fn machine_state(&self) -> &State {
        &self.state
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        use WatcherReason as Reason;
        visit!(cx, self.state, input);
        self.state = match (core::mem::replace(&mut self.state, State::Over), input) {
            (
                State::Offered { limit },
                Input::Accept {
                    granted: Some(granted),
                },
            ) => {
                cx.timers.stop(limit);
                out.push(Effect::SendNotify);
                self.watched(cx, granted)
            }
            (State::Offered { limit }, Input::Accept { granted: None }) => {
                cx.timers.stop(limit);
                leave(Reason::Queried, None, out)
            }
            (State::Offered { limit }, Input::Reject) => {
                cx.timers.stop(limit);
                out.push(Effect::Ended(Reason::Rejected));
                State::Over
            }
            (State::Offered { limit }, Input::Terminate(operation)) => {
                cx.timers.stop(limit);
                out.push(Effect::Refuse(480));
                out.push(Effect::Ended(Reason::TerminatedLocally));
                out.push(Effect::Complete(operation));
                State::Over
            }
            // M9.
            (State::Offered { .. }, Input::Fired) => {
                cx.counters.timeouts.answer += 1;
                out.push(Effect::Refuse(500));
                out.push(Effect::Ended(Reason::Unanswered));
                State::Over
            }
            (state @ State::Watched { .. }, Input::Notify) => {
                out.push(Effect::SendNotify);
                state
            }
            (State::Watched { end }, Input::Refreshed { granted }) => {
                cx.timers.stop(end);
                out.push(Effect::SendNotify);
                self.watched(cx, granted)
            }
            (State::Watched { end }, Input::Terminate(operation)) => {
                cx.timers.stop(end);
                leave(Reason::TerminatedLocally, Some(operation), out)
            }
            (State::Watched { end }, Input::Left) => {
                cx.timers.stop(end);
                leave(Reason::Unsubscribed, None, out)
            }
            (State::Watched { .. }, Input::Fired) => leave(Reason::Expired, None, out),
            (State::Watched { end }, Input::Gone) => {
                cx.timers.stop(end);
                out.push(Effect::Ended(Reason::SubscriptionDoesNotExist));
                State::Over
            }
            (State::Leaving { mut waiting, reason }, Input::Terminate(operation)) => {
                waiting.push(operation);
                State::Leaving { waiting, reason }
            }
            (State::Leaving { waiting, reason }, Input::Settled | Input::Gone) => {
                out.push(Effect::Ended(reason));
                out.extend(waiting.into_iter().map(Effect::Complete));
                State::Over
            }
            // Its table has dropped it by then.
            (State::Over, Input::Terminate(operation)) => {
                out.push(Effect::Complete(operation));
                State::Over
            }
            // Refused as misuse, or by the table: nothing is notified of before it is accepted, nor after the last NOTIFY.
            (
                state @ (State::Watched { .. } | State::Leaving { .. } | State::Over),
                Input::Accept { .. } | Input::Reject,
            )
            | (state @ (State::Offered { .. } | State::Leaving { .. } | State::Over), Input::Notify)
            | (
                state @ (State::Offered { .. } | State::Leaving { .. } | State::Over),
                Input::Refreshed { .. } | Input::Left,
            ) => state,
            // Further ones follow.
            (state @ State::Watched { .. }, Input::Settled) => state,
            // No NOTIFY has been sent.
            (state @ (State::Offered { .. } | State::Over), Input::Settled | Input::Gone) => state,
            // No timer is set.
            (state @ (State::Leaving { .. } | State::Over), Input::Fired) => state,
        };
    }

    fn watched(&self, cx: &mut Cx<'_>, granted: Duration) -> State {
        State::Watched {
            end: cx.timers.set(cx.now + granted, TimerKey::Watcher(self.watcher)),
        }
    }

    /// How long it lasts yet.
    pub(crate) fn left(&self, now: Time) -> Duration {
        match &self.state {
            State::Watched { end } => end.at().since(now),
            State::Offered { .. } | State::Leaving { .. } | State::Over => Duration::ZERO,
        }
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let mut print = Fingerprint {
            state: "Over",
            timer: None,
            waiting: 0,
            reason: None,
        };
        match &self.state {
            State::Offered { limit } => {
                (print.state, print.timer) = ("Offered", Some(limit.at().since(now)));
            }
            State::Watched { end } => (print.state, print.timer) = ("Watched", Some(end.at().since(now))),
            State::Leaving { waiting, reason } => {
                (print.state, print.waiting, print.reason) = ("Leaving", waiting.len(), Some(*reason as u8));
            }
            State::Over => {}
        }
        print
    }
}

fn leave(reason: WatcherReason, operation: Option<OperationId>, out: &mut Vec<Effect>) -> State {
    out.push(Effect::SendLast(reason));
    let waiting = operation.into_iter().collect();
    State::Leaving { waiting, reason }
}
