//! The life of one subscription at the subscriber: SUBSCRIBE and NOTIFY of one usage of a dialog, and what is made in its
//! place when it ends (RFC 6665 section 4.1; rules B1, B2, B4, B7). The machine knows no messages: its subscription sends
//! what it asks for.
//!
//! ```text
//!                subscribe                 2xx                      terminate
//!   Idle -----------------> Subscribing --------> Subscribed -----------------------> Terminating
//!    |                       ^  ^  |  \             |  |  ^                            |      |
//!    | query                 |  |  |   \            |  |  +--- 2xx to a refresh        |      | last NOTIFY, no 2xx,
//!    v                       |  |  |    \           |  |       or an update            |      | or 64*T1
//!   Querying                 |  |  |     \ no       |  |                               |      v
//!    |                 again |  |  |      \ good    |  | 481, rejected, noresource     |  Terminated
//!    | 2xx and NOTIFY,       |  |  |       +------> | -+-------------------------------+----> ^
//!    | or none               |  |  | server out     |                                         |
//!    |                       |  |  v                | server out, probation, giveup           |
//!    |                WaitingForRetry <-------------+                                         |
//!    |                       |  +-- deactivated, timeout, server lost us -- Subscribed        |
//!    +-----------------------+----------------------------------------------------------------+
//!                             terminate
//! ```
//!
//! A NOTIFY that comes before the 2xx is kept in mind until the 2xx: what it ends, ends then. Each SUBSCRIBE waits for the
//! answer to the one before, so that the last one counts.

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::event::{OperationError, OperationFailure, SubscriptionReason, SubscriptionState};
use crate::ids::{OperationId, SubscriptionId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Made by the application.
    Idle,
    /// A SUBSCRIBE that makes a dialog is under way; what a NOTIFY has said meanwhile.
    Subscribing { notified: Option<Standing> },
    /// A SUBSCRIBE with Expires 0 is under way, or was answered; its NOTIFY may come first. The timer is set once the
    /// NOTIFY alone is missing.
    Querying { notified: bool, silent: Option<TimerId> },
    /// The notifier has it. The second timer is set while the first NOTIFY is missing.
    Subscribed { next: Next, silent: Option<TimerId> },
    /// The server is out of order, or has said to come back later.
    WaitingForRetry { again: TimerId },
    /// It is to end.
    Terminating(Ending),
    /// Over.
    Terminated,
}

/// What a subscription waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The time of the next refresh.
    Refresh(TimerId),
    /// The answer to the SUBSCRIBE under way.
    Answer,
}

/// How far the end of a subscription has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The SUBSCRIBE that was under way is not answered yet; whether there is a dialog already.
    Answer { in_dialog: bool, patient: bool },
    /// A SUBSCRIBE with Expires 0 is under way.
    Leaving { patient: bool },
    /// It was answered: the last NOTIFY is missing.
    Last { silent: TimerId },
}

/// What a NOTIFY says of its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Active, pending, or a word of its own: it lasts, for so long where that is said.
    Lasts { expires: Option<Duration> },
    /// Terminated, for this reason; and after what time the notifier wants to be asked again.
    Over { why: Why, after: Option<Duration> },
}

/// The reasons of RFC 6665 section 4.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Deactivated,
    Probation,
    Rejected,
    Timeout,
    GivenUp,
    NoResource,
    Invariant,
    /// None, or one that is not known.
    Other,
}

/// Why a SUBSCRIBE came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server, or the way to it, is out of order (B4); it may say for how long.
    Temporary { after: Option<Duration> },
    /// Asking again is of no use.
    Final(SubscriptionReason),
}

/// The timers of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The next SUBSCRIBE.
    Due,
    /// The end of the wait for a NOTIFY (RFC 6665 section 4.1.2.4, timer N).
    Silent,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Subscribe(OperationId),
    Query(OperationId),
    /// Another body.
    Update(OperationId),
    /// The end, by the application; without patience the last NOTIFY is not waited for.
    Terminate {
        operation: OperationId,
        patient: bool,
    },
    /// A 2xx to the SUBSCRIBE under way, for so long.
    Accepted {
        granted: Duration,
    },
    /// Any other end of it.
    Refused(Refusal, OperationError),
    /// It was given up before it was sent.
    Withdrawn,
    Notified(Standing),
    /// The server that had it has it no more (B7).
    Lost(SubscriptionReason),
    Fired(Timer),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// In a new dialog.
    SendSubscribe,
    /// The same with Expires 0.
    SendQuery,
    /// In the dialog, with the body of the application where it has given another one.
    SendRefresh {
        update: bool,
    },
    /// In the dialog, with Expires 0.
    SendUnsubscribe,
    /// The SUBSCRIBE under way is not to be repeated; where it was not sent, it is given up.
    Hurry,
    /// The SUBSCRIBE under way is of no interest any more.
    Drop,
    /// The state that the application sees has changed.
    Changed {
        old: SubscriptionState,
        new: SubscriptionState,
        reason: SubscriptionReason,
    },
    Complete(OperationId, Result<(), OperationError>),
}

/// The machine of one subscription.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    subscription: SubscriptionId,
    state: State,
    /// The commands that the SUBSCRIBE under way answers.
    carried: Vec<OperationId>,
    /// Updates for the one after it.
    waiting: Vec<OperationId>,
    leaving: Vec<OperationId>,
    /// How often it had to be made anew in a row (R7).
    failures: u32,
    /// When the last dialog was begun.
    made: Time,
}

/// The machine in canonical form: times from now, nothing that names or was drawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(super) state: &'static str,
    due: Option<Duration>,
    silent: Option<Duration>,
    /// What a NOTIFY has said before the 2xx: of what may follow only whether it is over, why, and the times.
    notified: Option<(u8, Option<Duration>)>,
    /// Commands that are carried, wait, and wait for the end.
    pub(super) operations: (usize, usize, usize),
    failures: u32,
    /// How long ago the last dialog was begun, as far as that counts.
    age: Duration,
}

impl Usage {
    pub(crate) const fn new(subscription: SubscriptionId) -> Self {
        Self {
            subscription,
            state: State::Idle,
            carried: Vec::new(),
            waiting: Vec::new(),
            leaving: Vec::new(),
            failures: 0,
            made: Time::ZERO,
        }
    }

    /// That of a further notifier, which a NOTIFY of its own has made (RFC 6665 section 4.4.1).
    pub(crate) fn forked(cx: &mut Cx<'_>, subscription: SubscriptionId, expires: Duration) -> Self {
        let mut usage = Self::new(subscription);
        usage.made = cx.now;
        let next = usage.refresh_in(cx, expires);
        usage.state = State::Subscribed { next, silent: None };
        usage
    }

    pub(crate) const fn machine_state(&self) -> &State {
        &self.state
    }

    /// The state as the application sees it (B1).
    pub(crate) const fn state(&self) -> SubscriptionState {
        match &self.state {
            State::Idle => SubscriptionState::Idle,
            State::Subscribing { .. } | State::Querying { .. } => SubscriptionState::Subscribing,
            State::Subscribed { .. } => SubscriptionState::Subscribed,
            State::WaitingForRetry { .. } => SubscriptionState::WaitingForRetry,
            State::Terminating(_) => SubscriptionState::Terminating,
            State::Terminated => SubscriptionState::Terminated,
        }
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        use SubscriptionReason as Reason;
        visit!(cx, self.state, input);
        let (old, first) = (self.state(), out.len());
        let mut reason = Reason::None;
        // The change comes before the completions that it causes (X3).
        let mut done: Vec<(OperationId, Result<(), OperationError>)> = Vec::new();
        self.state = match (core::mem::replace(&mut self.state, State::Terminated), input) {
            (State::Idle, Input::Subscribe(operation)) => {
                self.carried.push(operation);
                self.subscribe(cx, out)
            }
            (State::Idle, Input::Query(operation)) => {
                self.carried.push(operation);
                out.push(Effect::SendQuery);
                State::Querying {
                    notified: false,
                    silent: None,
                }
            }

            (
                State::Subscribed {
                    next: Next::Refresh(timer),
                    silent,
                },
                Input::Update(operation),
            ) => {
                cx.timers.stop(timer);
                self.carried.push(operation);
                out.push(Effect::SendRefresh { update: true });
                let next = Next::Answer;
                State::Subscribed { next, silent }
            }
            (
                state @ (State::Subscribing { .. }
                | State::Subscribed {
                    next: Next::Answer, ..
                }),
                Input::Update(operation),
            ) => {
                self.waiting.push(operation);
                state
            }
            // A reason to try now.
            (State::WaitingForRetry { again }, Input::Update(operation)) => {
                cx.timers.stop(again);
                self.carried.push(operation);
                self.subscribe(cx, out)
            }

            (State::Subscribing { notified: None }, Input::Accepted { granted }) => {
                done.extend(self.carried.drain(..).map(|operation| (operation, Ok(()))));
                let silent = Some(self.silence(cx));
                self.subscribed(cx, granted, silent, out)
            }
            (
                State::Subscribing {
                    notified: Some(Standing::Lasts { .. }),
                },
                Input::Accepted { granted },
            ) => {
                done.extend(self.carried.drain(..).map(|operation| (operation, Ok(()))));
                self.subscribed(cx, granted, None, out)
            }
            (
                State::Subscribing {
                    notified: Some(Standing::Over { why, after }),
                },
                Input::Accepted { .. },
            ) => {
                done.extend(self.carried.drain(..).map(|operation| (operation, Ok(()))));
                reason = why.reason();
                self.on_over(cx, why, after, out)
            }
            (
                State::Querying {
                    notified: false,
                    silent: None,
                },
                Input::Accepted { .. },
            ) => State::Querying {
                notified: false,
                silent: Some(self.silence(cx)),
            },
            (State::Querying { notified: true, .. }, Input::Accepted { .. }) => {
                done.extend(self.carried.drain(..).map(|operation| (operation, Ok(()))));
                State::Terminated
            }
            (
                State::Subscribed {
                    next: Next::Answer,
                    silent,
                },
                Input::Accepted { granted },
            ) => {
                cx.counters.subscriptions.refreshed += 1;
                done.extend(self.carried.drain(..).map(|operation| (operation, Ok(()))));
                self.subscribed(cx, granted, silent, out)
            }
            // What was asked for before it was to end is there now, and is ended.
            (State::Terminating(Ending::Answer { patient, .. }), Input::Accepted { .. }) => {
                out.push(Effect::SendUnsubscribe);
                State::Terminating(Ending::Leaving { patient })
            }
            (State::Terminating(Ending::Leaving { patient: true }), Input::Accepted { .. }) => {
                let silent = self.silence(cx);
                State::Terminating(Ending::Last { silent })
            }
            (State::Terminating(Ending::Leaving { patient: false }), Input::Accepted { .. }) => {
                reason = Reason::TerminatedLocally;
                State::Terminated
            }

            (State::Subscribing { .. }, Input::Refused(Refusal::Temporary { after }, error)) => {
                reason = Reason::TemporaryFailure;
                self.fail(&error, &mut done);
                self.wait(cx, after)
            }
            (
                State::Subscribed {
                    next: Next::Answer,
                    silent,
                },
                Input::Refused(Refusal::Temporary { after }, error),
            ) => {
                stop(cx, silent);
                reason = Reason::TemporaryFailure;
                self.fail(&error, &mut done);
                self.wait(cx, after)
            }
            (State::Subscribing { .. }, Input::Refused(Refusal::Final(why), error)) => {
                reason = why;
                self.fail(&error, &mut done);
                State::Terminated
            }
            (
                State::Subscribed {
                    next: Next::Answer,
                    silent,
                },
                Input::Refused(Refusal::Final(why), error),
            ) => {
                stop(cx, silent);
                reason = why;
                self.fail(&error, &mut done);
                State::Terminated
            }
            // A query is never tried again (B4).
            (State::Querying { silent, .. }, Input::Refused(refusal, error)) => {
                stop(cx, silent);
                reason = match refusal {
                    Refusal::Temporary { .. } => Reason::TemporaryFailure,
                    Refusal::Final(why) => why,
                };
                self.fail(&error, &mut done);
                State::Terminated
            }
            // Nothing was made.
            (
                State::Terminating(Ending::Answer { in_dialog: false, .. }),
                Input::Refused(..) | Input::Withdrawn,
            ) => {
                reason = Reason::TerminatedLocally;
                State::Terminated
            }
            // What was there before may be there still.
            (
                State::Terminating(Ending::Answer {
                    in_dialog: true,
                    patient,
                }),
                Input::Refused(Refusal::Temporary { .. }, _) | Input::Withdrawn,
            ) => {
                out.push(Effect::SendUnsubscribe);
                State::Terminating(Ending::Leaving { patient })
            }
            (
                State::Terminating(Ending::Answer { .. } | Ending::Leaving { .. }),
                Input::Refused(..) | Input::Withdrawn,
            ) => {
                reason = Reason::TerminatedLocally;
                State::Terminated
            }

            (State::Subscribing { .. }, Input::Notified(standing)) => State::Subscribing {
                notified: Some(standing),
            },
            (
                State::Querying {
                    silent: Some(silent), ..
                },
                Input::Notified(_),
            ) => {
                cx.timers.stop(silent);
                done.extend(self.carried.drain(..).map(|operation| (operation, Ok(()))));
                State::Terminated
            }
            (State::Querying { silent: None, .. }, Input::Notified(_)) => State::Querying {
                notified: true,
                silent: None,
            },
            (State::Subscribed { next, silent }, Input::Notified(Standing::Lasts { expires })) => {
                stop(cx, silent);
                let next = match (next, expires) {
                    (Next::Refresh(timer), Some(expires)) => self.sooner(cx, timer, expires),
                    // Without a word of it the old deadline stands; the answer under way brings a new one.
                    (Next::Refresh(_) | Next::Answer, None) | (Next::Answer, Some(_)) => next,
                };
                State::Subscribed { next, silent: None }
            }
            (State::Subscribed { next, silent }, Input::Notified(Standing::Over { why, after })) => {
                stop(cx, silent);
                match next {
                    Next::Refresh(timer) => {
                        cx.timers.stop(timer);
                    }
                    Next::Answer => out.push(Effect::Drop),
                }
                reason = why.reason();
                let state = self.on_over(cx, why, after, out);
                if !matches!(state, State::Subscribing { .. }) {
                    let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
                    self.fail(&ended, &mut done);
                }
                state
            }
            // It is made anew in any case, but for what nobody can have.
            (State::WaitingForRetry { again }, Input::Notified(Standing::Over { why, .. })) => {
                if why.is_final() {
                    cx.timers.stop(again);
                    reason = why.reason();
                    State::Terminated
                } else {
                    State::WaitingForRetry { again }
                }
            }
            (State::Terminating(ending), Input::Notified(Standing::Over { .. }) | Input::Lost(_)) => {
                match ending {
                    Ending::Answer { .. } | Ending::Leaving { .. } => out.push(Effect::Drop),
                    Ending::Last { silent } => {
                        cx.timers.stop(silent);
                    }
                }
                reason = Reason::TerminatedLocally;
                State::Terminated
            }

            (State::Subscribed { next, silent }, Input::Lost(why)) => {
                stop(cx, silent);
                match next {
                    Next::Refresh(timer) => {
                        cx.timers.stop(timer);
                    }
                    Next::Answer => out.push(Effect::Drop),
                }
                reason = why;
                self.failures = 0;
                self.subscribe(cx, out)
            }
            (State::WaitingForRetry { again }, Input::Lost(why)) => {
                cx.timers.stop(again);
                reason = why;
                self.failures = 0;
                self.subscribe(cx, out)
            }

            (State::Idle, Input::Terminate { operation, .. }) => {
                self.leaving.push(operation);
                reason = Reason::TerminatedLocally;
                State::Terminated
            }
            (State::WaitingForRetry { again }, Input::Terminate { operation, .. }) => {
                cx.timers.stop(again);
                self.leaving.push(operation);
                reason = Reason::TerminatedLocally;
                State::Terminated
            }
            // The server keeps nothing of it.
            (State::Querying { silent, .. }, Input::Terminate { operation, .. }) => {
                if silent.is_none() {
                    out.push(Effect::Drop);
                }
                stop(cx, silent);
                self.leaving.push(operation);
                reason = Reason::TerminatedLocally;
                State::Terminated
            }
            (State::Subscribing { .. }, Input::Terminate { operation, patient }) => {
                self.leaving.push(operation);
                out.push(Effect::Hurry);
                State::Terminating(Ending::Answer {
                    in_dialog: false,
                    patient,
                })
            }
            (
                State::Subscribed {
                    next: Next::Answer,
                    silent,
                },
                Input::Terminate { operation, patient },
            ) => {
                stop(cx, silent);
                self.leaving.push(operation);
                out.push(Effect::Hurry);
                State::Terminating(Ending::Answer {
                    in_dialog: true,
                    patient,
                })
            }
            (
                State::Subscribed {
                    next: Next::Refresh(timer),
                    silent,
                },
                Input::Terminate { operation, patient },
            ) => {
                cx.timers.stop(timer);
                stop(cx, silent);
                self.leaving.push(operation);
                out.push(Effect::SendUnsubscribe);
                State::Terminating(Ending::Leaving { patient })
            }
            // Its endpoint does not wait for a NOTIFY.
            (
                State::Terminating(Ending::Last { silent }),
                Input::Terminate {
                    operation,
                    patient: false,
                },
            ) => {
                cx.timers.stop(silent);
                self.leaving.push(operation);
                reason = Reason::TerminatedLocally;
                State::Terminated
            }
            (
                State::Terminating(Ending::Leaving { .. }),
                Input::Terminate {
                    operation,
                    patient: false,
                },
            ) => {
                self.leaving.push(operation);
                State::Terminating(Ending::Leaving { patient: false })
            }
            (
                State::Terminating(Ending::Answer { in_dialog, .. }),
                Input::Terminate {
                    operation,
                    patient: false,
                },
            ) => {
                self.leaving.push(operation);
                State::Terminating(Ending::Answer {
                    in_dialog,
                    patient: false,
                })
            }
            (state @ State::Terminating(_), Input::Terminate { operation, .. }) => {
                self.leaving.push(operation);
                state
            }

            (
                State::Subscribed {
                    next: Next::Refresh(_),
                    silent,
                },
                Input::Fired(Timer::Due),
            ) => {
                out.push(Effect::SendRefresh { update: false });
                let next = Next::Answer;
                State::Subscribed { next, silent }
            }
            (State::WaitingForRetry { .. }, Input::Fired(Timer::Due)) => self.subscribe(cx, out),
            // Without a NOTIFY nobody has subscribed to anything: it is made anew.
            (
                State::Subscribed {
                    next,
                    silent: Some(_),
                },
                Input::Fired(Timer::Silent),
            ) => {
                cx.counters.timeouts.notify += 1;
                match next {
                    Next::Refresh(timer) => {
                        cx.timers.stop(timer);
                    }
                    Next::Answer => out.push(Effect::Drop),
                }
                reason = Reason::Silent;
                self.fail(&OperationError::Timeout, &mut done);
                self.wait(cx, None)
            }
            (State::Querying { .. }, Input::Fired(Timer::Silent)) => {
                cx.counters.timeouts.notify += 1;
                reason = Reason::Silent;
                self.fail(&OperationError::Timeout, &mut done);
                State::Terminated
            }
            (State::Terminating(Ending::Last { .. }), Input::Fired(Timer::Silent)) => {
                cx.counters.timeouts.notify += 1;
                reason = Reason::TerminatedLocally;
                State::Terminated
            }

            // Over: a command for it is complete at once.
            (State::Terminated, Input::Terminate { operation, .. }) => {
                self.leaving.push(operation);
                State::Terminated
            }
            (
                state @ (State::Terminating(_) | State::Terminated | State::Idle | State::Querying { .. }),
                Input::Update(operation),
            ) => {
                self.waiting.push(operation);
                let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
                done.extend(
                    self.waiting
                        .drain(..)
                        .map(|operation| (operation, Err(ended.clone()))),
                );
                state
            }
            // Refused as misuse.
            (
                state @ (State::Subscribing { .. }
                | State::Querying { .. }
                | State::Subscribed { .. }
                | State::WaitingForRetry { .. }
                | State::Terminating(_)
                | State::Terminated),
                Input::Subscribe(_) | Input::Query(_),
            ) => state,
            // It goes on, or is taken for what it says.
            (
                state @ (State::WaitingForRetry { .. } | State::Terminating(_)),
                Input::Notified(Standing::Lasts { .. }),
            ) => state,
            // Its answer says what the server has.
            (
                state
                @ (State::Idle | State::Subscribing { .. } | State::Querying { .. } | State::Terminated),
                Input::Lost(_),
            ) => state,
            // Nothing is under way that could be answered.
            (
                state @ (State::Idle
                | State::Querying {
                    notified: false,
                    silent: Some(_),
                }
                | State::Subscribed {
                    next: Next::Refresh(_),
                    ..
                }
                | State::WaitingForRetry { .. }
                | State::Terminating(Ending::Last { .. })
                | State::Terminated),
                Input::Accepted { .. },
            )
            | (
                state @ (State::Idle
                | State::Subscribed {
                    next: Next::Refresh(_),
                    ..
                }
                | State::WaitingForRetry { .. }
                | State::Terminating(Ending::Last { .. })
                | State::Terminated),
                Input::Refused(..),
            )
            | (
                state @ (State::Idle
                | State::Subscribing { .. }
                | State::Querying { .. }
                | State::Subscribed { .. }
                | State::WaitingForRetry { .. }
                | State::Terminating(Ending::Last { .. })
                | State::Terminated),
                Input::Withdrawn,
            ) => state,
            // There is no dialog.
            (state @ (State::Idle | State::Terminated), Input::Notified(_)) => state,
            // No timer of this kind is set.
            (
                state @ (State::Idle
                | State::Subscribing { .. }
                | State::Querying { .. }
                | State::Subscribed {
                    next: Next::Answer, ..
                }
                | State::Terminating(_)
                | State::Terminated),
                Input::Fired(Timer::Due),
            )
            | (
                state @ (State::Idle
                | State::Subscribing { .. }
                | State::Subscribed { silent: None, .. }
                | State::WaitingForRetry { .. }
                | State::Terminating(Ending::Answer { .. } | Ending::Leaving { .. })
                | State::Terminated),
                Input::Fired(Timer::Silent),
            ) => state,
        };
        let new = self.state();
        if old != new {
            // It is told before what follows from it, which may change the state again.
            out.insert(first, Effect::Changed { old, new, reason });
        }
        if new == SubscriptionState::Terminated {
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            self.fail(&ended, &mut done);
            done.extend(self.leaving.drain(..).map(|operation| (operation, Ok(()))));
        }
        out.extend(
            done.into_iter()
                .map(|(operation, result)| Effect::Complete(operation, result)),
        );
    }

    /// How many changes wait for something.
    pub(crate) fn pending(&self) -> usize {
        self.carried.len() + self.waiting.len()
    }

    /// A SUBSCRIBE that makes a dialog.
    fn subscribe(&mut self, cx: &Cx<'_>, out: &mut Vec<Effect>) -> State {
        self.made = cx.now;
        // It has the last body that the application has given.
        self.carried.append(&mut self.waiting);
        out.push(Effect::SendSubscribe);
        State::Subscribing { notified: None }
    }

    /// The notifier has it for so long. What waits goes out next.
    fn subscribed(
        &mut self,
        cx: &mut Cx<'_>,
        granted: Duration,
        silent: Option<TimerId>,
        out: &mut Vec<Effect>,
    ) -> State {
        let next = if self.waiting.is_empty() {
            self.refresh_in(cx, granted)
        } else {
            self.carried.append(&mut self.waiting);
            out.push(Effect::SendRefresh { update: true });
            Next::Answer
        };
        State::Subscribed { next, silent }
    }

    fn refresh_in(&self, cx: &mut Cx<'_>, granted: Duration) -> Next {
        let at = cx.now + cx.refresh_after(granted);
        Next::Refresh(cx.timers.set(at, self.key(Timer::Due)))
    }

    /// The notifier keeps it for this time only: the refresh comes sooner where it would come too late, never later.
    fn sooner(&self, cx: &mut Cx<'_>, timer: TimerId, expires: Duration) -> Next {
        if cx.now + cx.config.latest_refresh(expires) < timer.at() {
            cx.timers.stop(timer);
            self.refresh_in(cx, expires)
        } else {
            Next::Refresh(timer)
        }
    }

    /// The notifier has ended it (RFC 6665 section 4.1.3).
    fn on_over(
        &mut self,
        cx: &mut Cx<'_>,
        why: Why,
        after: Option<Duration>,
        out: &mut Vec<Effect>,
    ) -> State {
        match why {
            Why::Rejected | Why::NoResource | Why::Invariant => State::Terminated,
            // At once, where that makes no busy loop.
            Why::Deactivated | Why::Timeout => {
                let soonest = self.made + cx.config.refresh_floor;
                if soonest <= cx.now {
                    self.subscribe(cx, out)
                } else {
                    let again = cx.timers.set(soonest, self.key(Timer::Due));
                    State::WaitingForRetry { again }
                }
            }
            Why::Probation | Why::GivenUp | Why::Other => self.wait(cx, after),
        }
    }

    /// Until it is tried again: as long as the server has said, and never sooner than the back-off (R7).
    fn wait(&mut self, cx: &mut Cx<'_>, after: Option<Duration>) -> State {
        if cx.now.since(self.made) >= cx.config.backoff_max {
            self.failures = 0;
        }
        let wait = cx.backoff(self.failures).max(after.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        State::WaitingForRetry {
            again: cx.timers.set(cx.now + wait, self.key(Timer::Due)),
        }
    }

    /// All that waits for an answer fails so.
    fn fail(&mut self, error: &OperationError, done: &mut Vec<(OperationId, Result<(), OperationError>)>) {
        let all = self.carried.drain(..).chain(self.waiting.drain(..));
        done.extend(all.map(|operation| (operation, Err(error.clone()))));
    }

    fn silence(&self, cx: &mut Cx<'_>) -> TimerId {
        let at = cx.now + cx.config.t1.saturating_mul(64);
        cx.timers.set(at, self.key(Timer::Silent))
    }

    const fn key(&self, timer: Timer) -> TimerKey {
        TimerKey::Subscription(self.subscription, timer)
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, cx_floor: Duration, now: Time) -> Fingerprint {
        let left = |timer: &TimerId| timer.at().since(now);
        let mut print = Fingerprint {
            state: "Idle",
            due: None,
            silent: None,
            notified: None,
            operations: (self.carried.len(), self.waiting.len(), self.leaving.len()),
            failures: self.failures,
            age: now.since(self.made).min(cx_floor),
        };
        match &self.state {
            State::Idle => {}
            State::Subscribing { notified } => {
                print.state = "Subscribing";
                print.notified = notified.map(|standing| match standing {
                    Standing::Lasts { .. } => (0, None),
                    Standing::Over { why, after } => (1 + why as u8, after),
                });
            }
            State::Querying { notified, silent } => {
                print.state = if *notified {
                    "Querying, notified"
                } else {
                    "Querying"
                };
                print.silent = silent.as_ref().map(left);
            }
            State::Subscribed { next, silent } => {
                print.silent = silent.as_ref().map(left);
                print.state = match next {
                    Next::Refresh(timer) => {
                        print.due = Some(left(timer));
                        "Subscribed"
                    }
                    Next::Answer => "Subscribed, refreshing",
                };
            }
            State::WaitingForRetry { again } => {
                (print.state, print.due) = ("WaitingForRetry", Some(left(again)));
            }
            State::Terminating(ending) => {
                let patient = |yes, in_haste, patient: &bool| if *patient { yes } else { in_haste };
                print.state = match ending {
                    Ending::Answer {
                        in_dialog: false,
                        patient: how,
                    } => patient("Ending, first answer", "Ending in haste, first answer", how),
                    Ending::Answer {
                        in_dialog: true,
                        patient: how,
                    } => patient("Ending, answer", "Ending in haste, answer", how),
                    Ending::Leaving { patient: how } => patient("Leaving", "Leaving in haste", how),
                    Ending::Last { silent } => {
                        print.silent = Some(left(silent));
                        "Leaving, answered"
                    }
                };
            }
            State::Terminated => print.state = "Terminated",
        }
        print
    }
}

impl Why {
    /// Whether asking again is of no use.
    const fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::NoResource | Self::Invariant)
    }

    const fn reason(self) -> SubscriptionReason {
        match self {
            Self::Deactivated => SubscriptionReason::Deactivated,
            Self::Probation => SubscriptionReason::Probation,
            Self::Rejected => SubscriptionReason::Rejected,
            Self::Timeout => SubscriptionReason::Expired,
            Self::GivenUp => SubscriptionReason::GivenUp,
            Self::NoResource => SubscriptionReason::NoResource,
            Self::Invariant => SubscriptionReason::Invariant,
            Self::Other => SubscriptionReason::TerminatedRemotely,
        }
    }
}

fn stop(cx: &mut Cx<'_>, timer: Option<TimerId>) {
    if let Some(timer) = timer {
        cx.timers.stop(timer);
    }
}
