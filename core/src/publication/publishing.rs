//! The life of one published state (RFC 3903 section 4; rule B6). The machine knows no messages: its publication sends what
//! it asks for, with the entity tag that the server has given.
//!
//! ```text
//!                 2xx                       refresh, modify
//!   Publishing ---------> Published -----------------------> Updating
//!     ^  |   ^              |    ^------------ 2xx ------------+ |  |
//!     |  |   +--- 412, server lost us -------------------------|-+  |
//!     |  | server out       | remove                           |    |
//!     |  v                  v                                  v    |
//!   WaitingForRetry     Removing --- answered ---> Removed <- refused
//! ```
//!
//! Each PUBLISH waits for the answer to the one before.

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::event::{OperationError, OperationFailure, PublicationReason, PublicationState};
use crate::ids::{OperationId, PublicationId};
use crate::subscription::Refusal;
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The whole state is under way.
    Publishing,
    /// The server has it, until the timer fires.
    Published { due: TimerId },
    /// A refresh or another state is under way.
    Updating,
    /// The server is out of order.
    WaitingForRetry { again: TimerId },
    /// To be removed: when the PUBLISH under way is answered.
    Ending,
    /// The PUBLISH that removes it is under way.
    Removing,
    /// Over.
    Removed,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The application has another state.
    Modify(OperationId),
    Remove(OperationId),
    /// A 2xx to the PUBLISH under way, for so long.
    Accepted {
        granted: Duration,
    },
    /// 412: the server does not know the entity tag.
    Stale(OperationError),
    /// Any other end of it.
    Refused(Refusal, OperationError),
    /// It was given up before it was sent.
    Withdrawn,
    /// The server that had it has it no more (B7).
    Lost(PublicationReason),
    /// The next PUBLISH is due.
    Fired,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// With the state, or without it as a refresh; with the entity tag where there is one.
    Send {
        state: bool,
    },
    /// With Expires 0 and the entity tag.
    SendRemove,
    /// The entity tag is of no use any more.
    Forget,
    /// The PUBLISH under way is not to be repeated; where it was not sent, it is given up.
    Hurry,
    /// The PUBLISH under way is of no interest any more.
    Drop,
    /// The state that the application sees has changed.
    Changed {
        old: PublicationState,
        new: PublicationState,
        reason: PublicationReason,
    },
    Complete(OperationId, Result<(), OperationError>),
}

/// The machine of one publication.
#[derive(Clone, Debug)]
pub(crate) struct Publishing {
    publication: PublicationId,
    state: State,
    /// The server has given an entity tag that is good as far as is known.
    held: bool,
    /// The commands that the PUBLISH under way answers.
    carried: Vec<OperationId>,
    /// Other states for the one after it.
    waiting: Vec<OperationId>,
    leaving: Vec<OperationId>,
    /// How often it has failed in a row (R7).
    failures: u32,
}

/// The machine in canonical form: times from now, nothing that names or was drawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(super) state: &'static str,
    timer: Option<Duration>,
    held: bool,
    operations: (usize, usize, usize),
    failures: u32,
}

impl Publishing {
    /// A publication whose first PUBLISH is under way for this command.
    pub(crate) fn new(publication: PublicationId, operation: OperationId) -> Self {
        Self {
            publication,
            state: State::Publishing,
            held: false,
            carried: alloc::vec![operation],
            waiting: Vec::new(),
            leaving: Vec::new(),
            failures: 0,
        }
    }

    /// The state as the application sees it.
    pub(crate) const fn state(&self) -> PublicationState {
        match &self.state {
            State::Publishing => PublicationState::Publishing,
            State::Published { .. } | State::Updating => PublicationState::Published,
            State::WaitingForRetry { .. } => PublicationState::WaitingForRetry,
            State::Ending | State::Removing => PublicationState::Removing,
            State::Removed => PublicationState::Removed,
        }
    }

    /// Whether it is over.
    #[cfg(test)]
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Removed)
    }

    /// How many changes wait for something.
    pub(crate) fn pending(&self) -> usize {
        self.carried.len() + self.waiting.len()
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        use PublicationReason as Reason;
        visit!(cx, self.state, input);
        let (old, first) = (self.state(), out.len());
        let mut reason = Reason::None;
        // The change comes before the completions that it causes (X3).
        let mut done: Vec<(OperationId, Result<(), OperationError>)> = Vec::new();
        self.state = match (core::mem::replace(&mut self.state, State::Removed), input) {
            (State::Published { due: timer }, Input::Modify(operation)) => {
                cx.timers.stop(timer);
                self.carried.push(operation);
                out.push(Effect::Send { state: true });
                State::Updating
            }
            // A reason to try now.
            (State::WaitingForRetry { again: timer }, Input::Modify(operation)) => {
                cx.timers.stop(timer);
                self.carried.push(operation);
                self.publish(out)
            }
            (state @ (State::Publishing | State::Updating), Input::Modify(operation)) => {
                self.waiting.push(operation);
                state
            }
            (State::Publishing | State::Updating, Input::Accepted { granted }) => {
                (self.held, self.failures) = (true, 0);
                done.extend(self.carried.drain(..).map(|operation| (operation, Ok(()))));
                if self.waiting.is_empty() {
                    let at = cx.now + cx.refresh_after(granted);
                    State::Published {
                        due: cx.timers.set(at, TimerKey::Publication(self.publication)),
                    }
                } else {
                    self.carried.append(&mut self.waiting);
                    out.push(Effect::Send { state: true });
                    State::Updating
                }
            }
            // RFC 3903 section 4.1: published anew, as a whole.
            (State::Publishing | State::Updating, Input::Stale(_)) if self.held => {
                self.held = false;
                reason = Reason::Stale;
                out.push(Effect::Forget);
                self.publish(out)
            }
            (State::Publishing | State::Updating, Input::Stale(error)) => {
                reason = Reason::Refused;
                self.fail(&error, &mut done);
                State::Removed
            }
            (State::Publishing | State::Updating, Input::Refused(Refusal::Temporary { after }, error)) => {
                reason = Reason::TemporaryFailure;
                self.fail(&error, &mut done);
                let wait = cx.backoff(self.failures).max(after.unwrap_or_default());
                self.failures = self.failures.saturating_add(1);
                State::WaitingForRetry {
                    again: cx
                        .timers
                        .set(cx.now + wait, TimerKey::Publication(self.publication)),
                }
            }
            (State::Publishing | State::Updating, Input::Refused(Refusal::Final(_), error)) => {
                reason = Reason::Refused;
                self.fail(&error, &mut done);
                State::Removed
            }
            (State::Published { .. }, Input::Fired) => {
                out.push(Effect::Send { state: false });
                State::Updating
            }
            (State::WaitingForRetry { .. }, Input::Fired) => self.publish(out),
            (State::Published { due: timer } | State::WaitingForRetry { again: timer }, Input::Lost(why)) => {
                cx.timers.stop(timer);
                (reason, self.held, self.failures) = (why, false, 0);
                out.push(Effect::Forget);
                self.publish(out)
            }
            (State::Updating, Input::Lost(why)) => {
                (reason, self.held) = (why, false);
                out.push(Effect::Drop);
                out.push(Effect::Forget);
                self.publish(out)
            }

            (
                State::Published { due: timer } | State::WaitingForRetry { again: timer },
                Input::Remove(operation),
            ) => {
                cx.timers.stop(timer);
                self.leaving.push(operation);
                self.remove(&mut reason, out)
            }
            (State::Publishing | State::Updating, Input::Remove(operation)) => {
                self.leaving.push(operation);
                out.push(Effect::Hurry);
                State::Ending
            }
            (state @ (State::Ending | State::Removing), Input::Remove(operation)) => {
                self.leaving.push(operation);
                state
            }
            (State::Ending, Input::Accepted { .. }) => {
                self.held = true;
                self.remove(&mut reason, out)
            }
            (State::Ending, Input::Refused(..) | Input::Withdrawn) => self.remove(&mut reason, out),
            (State::Ending, Input::Stale(_)) => {
                reason = Reason::TerminatedLocally;
                State::Removed
            }
            (
                State::Removing,
                Input::Accepted { .. } | Input::Stale(_) | Input::Refused(..) | Input::Withdrawn,
            ) => {
                reason = Reason::TerminatedLocally;
                State::Removed
            }

            // Over: a command for it is complete at once.
            (State::Removed, Input::Remove(operation)) => {
                self.leaving.push(operation);
                State::Removed
            }
            (state @ (State::Ending | State::Removing | State::Removed), Input::Modify(operation)) => {
                let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
                done.push((operation, Err(ended)));
                state
            }
            // Nothing is under way that could be answered.
            (
                state @ (State::Published { .. } | State::WaitingForRetry { .. } | State::Removed),
                Input::Accepted { .. } | Input::Stale(_) | Input::Refused(..) | Input::Withdrawn,
            ) => state,
            // Only what is to be removed is given up before it is sent.
            (state @ (State::Publishing | State::Updating), Input::Withdrawn) => state,
            // The answer says what the server has; what is to be removed is gone.
            (
                state @ (State::Publishing | State::Ending | State::Removing | State::Removed),
                Input::Lost(_),
            ) => state,
            // No timer is set.
            (
                state @ (State::Publishing
                | State::Updating
                | State::Ending
                | State::Removing
                | State::Removed),
                Input::Fired,
            ) => state,
        };
        let new = self.state();
        if old != new {
            // It is told before what follows from it, which may change the state again.
            out.insert(first, Effect::Changed { old, new, reason });
        }
        if new == PublicationState::Removed {
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            self.fail(&ended, &mut done);
            done.extend(self.leaving.drain(..).map(|operation| (operation, Ok(()))));
        }
        out.extend(
            done.into_iter()
                .map(|(operation, result)| Effect::Complete(operation, result)),
        );
    }

    /// The whole state.
    fn publish(&mut self, out: &mut Vec<Effect>) -> State {
        self.carried.append(&mut self.waiting);
        out.push(Effect::Send { state: true });
        State::Publishing
    }

    /// What the server has is removed; where it has nothing, it is over.
    fn remove(&self, reason: &mut PublicationReason, out: &mut Vec<Effect>) -> State {
        if self.held {
            out.push(Effect::SendRemove);
            State::Removing
        } else {
            *reason = PublicationReason::TerminatedLocally;
            State::Removed
        }
    }

    /// All that waits for an answer fails so.
    fn fail(&mut self, error: &OperationError, done: &mut Vec<(OperationId, Result<(), OperationError>)>) {
        let all = self.carried.drain(..).chain(self.waiting.drain(..));
        done.extend(all.map(|operation| (operation, Err(error.clone()))));
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let (state, timer) = match &self.state {
            State::Publishing => ("Publishing", None),
            State::Published { due } => ("Published", Some(due.at().since(now))),
            State::Updating => ("Updating", None),
            State::WaitingForRetry { again } => ("WaitingForRetry", Some(again.at().since(now))),
            State::Ending => ("Ending", None),
            State::Removing => ("Removing", None),
            State::Removed => ("Removed", None),
        };
        Fingerprint {
            state,
            timer,
            held: self.held,
            operations: (self.carried.len(), self.waiting.len(), self.leaving.len()),
            failures: self.failures,
        }
    }
}
