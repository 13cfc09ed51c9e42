//! The life of a session: INVITE, CANCEL, ACK and BYE from either end (RFC 3261 sections 9, 13, 15; rules S1, S2, S3,
//! S10, S12). The machine knows no messages: its session sends what it asks for.
//!
//! ```text
//!                        +--- Redirecting <--+
//!                        | retry             | redirected: another target
//!                        v                   |
//!  caller:  Idle --establish--> Inviting --2xx--> Connected          callee:  Offered --accept--> Accepting
//!                                  |  \--2xx with offer--> Answering              |                   | ACK
//!                        terminate |                          | answer            | reject,          v
//!                                  v                          v                   | CANCEL         Connected
//!                              Cancelling --2xx--+        Connected               v                   |
//!                                  | 487 ...     |            | terminate     Disconnected            | terminate
//!                                  v             +--> Leaving (BYE) <-----------------------------------+
//!                            Disconnected <------------- answered
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::event::{OperationError, OperationFailure, SessionReason, SessionState};
use crate::ids::{OperationId, SessionId};
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
mod fingerprint;
#[cfg(test)]
mod tests;

pub(super) use fingerprint::Fingerprint;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Made by the application.
    Idle,
    /// The INVITE is on its way; `alerted` once a provisional response was seen.
    Inviting {
        operation: OperationId,
        alerted: bool,
        limit: Option<TimerId>,
    },
    /// The peer has sent us elsewhere, and the application decides whether the INVITE goes there.
    Redirecting {
        operation: OperationId,
        limit: Option<TimerId>,
    },
    /// The same as Inviting, and CANCEL was asked for: by the application, or because it took too long.
    Cancelling {
        establish: OperationId,
        alerted: bool,
        leaving: Vec<OperationId>,
        reason: SessionReason,
    },
    /// The 2xx brought the offer: the ACK waits for the application's answer, as long as the peer waits for the ACK.
    Answering { operation: OperationId, limit: TimerId },
    /// The peer's INVITE waits for the application.
    Offered { limit: Option<TimerId> },
    /// Our 2xx waits for its ACK; a session that is to end waits for it too (RFC 3261 section 15).
    Accepting {
        operation: OperationId,
        interval: Duration,
        again: TimerId,
        limit: TimerId,
        leaving: Vec<OperationId>,
    },
    /// Established.
    Connected,
    /// BYE is on its way. What waits for the end of the session completes so.
    Leaving {
        waiting: Vec<OperationId>,
        failed: Option<(OperationId, Failed)>,
        from: SessionState,
        reason: SessionReason,
    },
    /// Over.
    Disconnected,
}

/// How an establish or accept fails when its session is ended by BYE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Timeout,
    Terminated,
}

impl Failed {
    const fn error(self) -> OperationError {
        match self {
            Self::Timeout => OperationError::Timeout,
            Self::Terminated => OperationError::OperationFailure(OperationFailure::SessionTerminated),
        }
    }
}

/// The timers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The 2xx again.
    Again,
    /// The end of patience.
    Limit,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Establish(OperationId),
    Accept(OperationId),
    /// The application's 3xx to 6xx to the peer's INVITE.
    Decline(SessionReason),
    /// The application's answer to an offer in a 2xx.
    Answer,
    Terminate(OperationId),
    /// 101 to 199.
    Provisional,
    /// Our INVITE has failed, and there is another target that it can be sent to.
    Redirected,
    /// It is to go there.
    Retry,
    /// 2xx to our INVITE; `offer` if it brought one that waits for an answer.
    Success {
        offer: bool,
    },
    /// Any other end of our INVITE.
    Failure(OperationError, SessionReason),
    Ack,
    Bye,
    Cancel,
    /// Our BYE was answered, or will not be.
    ByeDone,
    /// A request inside was answered 481: the peer knows no such session.
    Gone,
    /// A change was not answered, or our 2xx to one not acknowledged: nobody may be there any more (RFC 3261 sections
    /// 12.2.1.2 and 14).
    Unanswered,
    Fired(Timer),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    SendInvite,
    SendCancel,
    SendAck,
    SendBye,
    /// Send the 2xx again.
    RepeatSuccess,
    /// Answer the peer's INVITE with this status.
    Refuse(u16),
    /// The state that the application sees has changed.
    Changed {
        old: SessionState,
        new: SessionState,
        reason: SessionReason,
    },
    Complete(OperationId, Result<(), OperationError>),
}

/// The machine of one session.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    session: SessionId,
    state: State,
}

impl Invitation {
    pub(crate) const fn outgoing(session: SessionId) -> Self {
        Self {
            session,
            state: State::Idle,
        }
    }

    pub(crate) fn incoming(cx: &mut Cx<'_>, session: SessionId) -> Self {
        let limit = limit(cx, session);
        Self {
            session,
            state: State::Offered { limit },
        }
    }

    pub(crate) const fn machine_state(&self) -> &State {
        &self.state
    }

    /// The state as the application sees it (S1).
    pub(crate) const fn state(&self) -> SessionState {
        match &self.state {
            State::Idle => SessionState::Idle,
            State::Inviting { alerted: false, .. }
            | State::Cancelling { alerted: false, .. }
            | State::Answering { .. }
            | State::Accepting { .. } => SessionState::Connecting,
            State::Inviting { alerted: true, .. } | State::Cancelling { alerted: true, .. } => {
                SessionState::Alerted
            }
            State::Redirecting { .. } => SessionState::Redirecting,
            State::Offered { .. } => SessionState::Incoming,
            State::Connected => SessionState::Connected,
            State::Leaving { from, .. } => *from,
            State::Disconnected => SessionState::Disconnected,
        }
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        use SessionReason as Reason;
        visit!(cx, self.state, input);
        let old = self.state();
        let mut reason = Reason::None;
        // The change comes before the completions that it causes (X3).
        let mut done: Vec<(OperationId, Result<(), OperationError>)> = Vec::new();
        self.state = match (core::mem::replace(&mut self.state, State::Disconnected), input) {
            // Caller.
            (State::Idle, Input::Establish(operation)) => {
                out.push(Effect::SendInvite);
                State::Inviting {
                    operation,
                    alerted: false,
                    limit: limit(cx, self.session),
                }
            }
            (State::Inviting { operation, limit, .. }, Input::Provisional) => {
                reason = Reason::ProvisionalResponseReceived;
                State::Inviting {
                    operation,
                    alerted: true,
                    limit,
                }
            }
            (State::Inviting { operation, limit, .. }, Input::Success { offer }) => {
                stop(cx, limit);
                if offer {
                    State::Answering {
                        operation,
                        limit: self.set(cx, cx.config.t1.saturating_mul(64), Timer::Limit),
                    }
                } else {
                    out.push(Effect::SendAck);
                    done.push((operation, Ok(())));
                    State::Connected
                }
            }
            (State::Inviting { operation, limit, .. }, Input::Failure(error, why)) => {
                stop(cx, limit);
                reason = why;
                done.push((operation, Err(error)));
                State::Disconnected
            }
            // S13: from one target to the next.
            (State::Inviting { operation, limit, .. }, Input::Redirected) => {
                State::Redirecting { operation, limit }
            }
            (State::Redirecting { operation, limit }, Input::Retry) => {
                out.push(Effect::SendInvite);
                State::Inviting {
                    operation,
                    alerted: false,
                    limit,
                }
            }
            (State::Redirecting { operation, limit }, Input::Failure(error, why)) => {
                stop(cx, limit);
                reason = why;
                done.push((operation, Err(error)));
                State::Disconnected
            }
            (State::Redirecting { operation, limit }, Input::Terminate(leaving)) => {
                stop(cx, limit);
                reason = Reason::TerminatedLocally;
                done.push((operation, Err(Failed::Terminated.error())));
                done.push((leaving, Ok(())));
                State::Disconnected
            }
            (State::Redirecting { operation, .. }, Input::Fired(Timer::Limit)) => {
                cx.counters.timeouts.establish += 1;
                reason = Reason::Timeout;
                done.push((operation, Err(Failed::Timeout.error())));
                State::Disconnected
            }
            (
                State::Inviting {
                    operation,
                    alerted,
                    limit,
                },
                Input::Terminate(leaving),
            ) => {
                stop(cx, limit);
                out.push(Effect::SendCancel);
                let leaving = alloc::vec![leaving];
                State::Cancelling {
                    establish: operation,
                    alerted,
                    leaving,
                    reason: Reason::TerminatedLocally,
                }
            }
            (
                State::Inviting {
                    operation, alerted, ..
                },
                Input::Fired(Timer::Limit),
            ) => {
                cx.counters.timeouts.establish += 1;
                out.push(Effect::SendCancel);
                State::Cancelling {
                    establish: operation,
                    alerted,
                    leaving: Vec::new(),
                    reason: Reason::Timeout,
                }
            }
            (
                State::Cancelling {
                    establish,
                    alerted,
                    mut leaving,
                    reason,
                },
                Input::Terminate(operation),
            ) => {
                leaving.push(operation);
                State::Cancelling {
                    establish,
                    alerted,
                    leaving,
                    reason,
                }
            }
            // The CANCEL came too late: the session that the peer believes in is ended in order (S10).
            (
                State::Cancelling {
                    establish,
                    alerted,
                    leaving,
                    reason: why,
                },
                Input::Success { .. },
            ) => {
                out.push(Effect::SendAck);
                out.push(Effect::SendBye);
                let failed = if why == Reason::Timeout {
                    Failed::Timeout
                } else {
                    Failed::Terminated
                };
                let from = if alerted {
                    SessionState::Alerted
                } else {
                    SessionState::Connecting
                };
                State::Leaving {
                    waiting: leaving,
                    failed: Some((establish, failed)),
                    from,
                    reason: why,
                }
            }
            (
                State::Cancelling {
                    establish,
                    leaving,
                    reason: why,
                    ..
                },
                Input::Failure(..),
            ) => {
                reason = why;
                let failed = if why == Reason::Timeout {
                    Failed::Timeout
                } else {
                    Failed::Terminated
                };
                done.push((establish, Err(failed.error())));
                done.extend(leaving.into_iter().map(|operation| (operation, Ok(()))));
                State::Disconnected
            }
            (State::Answering { operation, limit }, Input::Answer) => {
                cx.timers.stop(limit);
                out.push(Effect::SendAck);
                done.push((operation, Ok(())));
                State::Connected
            }
            // The peer's 2xx has to be acknowledged before the session that it made can be ended.
            (State::Answering { operation, limit }, Input::Terminate(leaving)) => {
                cx.timers.stop(limit);
                out.push(Effect::SendAck);
                out.push(Effect::SendBye);
                State::Leaving {
                    waiting: alloc::vec![leaving],
                    failed: Some((operation, Failed::Terminated)),
                    from: SessionState::Connecting,
                    reason: Reason::TerminatedLocally,
                }
            }
            // The peer has waited for the ACK for 64*T1 and gives the session up (RFC 3261 section 13.3.1.4).
            (State::Answering { operation, .. }, Input::Fired(Timer::Limit)) => {
                cx.counters.timeouts.offer += 1;
                out.push(Effect::SendAck);
                out.push(Effect::SendBye);
                State::Leaving {
                    waiting: Vec::new(),
                    failed: Some((operation, Failed::Timeout)),
                    from: SessionState::Connecting,
                    reason: Reason::Timeout,
                }
            }
            (State::Answering { operation, limit }, Input::Bye) => {
                cx.timers.stop(limit);
                out.push(Effect::SendAck);
                reason = Reason::TerminatedRemotely;
                done.push((operation, Err(Failed::Terminated.error())));
                State::Disconnected
            }

            // Callee.
            (State::Offered { limit }, Input::Accept(operation)) => {
                stop(cx, limit);
                let interval = cx.config.t1;
                let again = self.set(cx, interval, Timer::Again);
                let limit = self.set(cx, cx.config.t1.saturating_mul(64), Timer::Limit);
                State::Accepting {
                    operation,
                    interval,
                    again,
                    limit,
                    leaving: Vec::new(),
                }
            }
            (State::Offered { limit }, Input::Decline(why)) => {
                stop(cx, limit);
                reason = why;
                State::Disconnected
            }
            (State::Offered { limit }, Input::Terminate(operation)) => {
                stop(cx, limit);
                reason = Reason::TerminatedLocally;
                out.push(Effect::Refuse(480));
                done.push((operation, Ok(())));
                State::Disconnected
            }
            (State::Offered { limit }, Input::Cancel) => {
                stop(cx, limit);
                reason = Reason::Canceled;
                out.push(Effect::Refuse(487));
                State::Disconnected
            }
            // RFC 3261 section 15.1.2: a BYE in an early dialog ends the INVITE too.
            (State::Offered { limit }, Input::Bye) => {
                stop(cx, limit);
                reason = Reason::TerminatedRemotely;
                out.push(Effect::Refuse(487));
                State::Disconnected
            }
            (State::Offered { .. }, Input::Fired(Timer::Limit)) => {
                cx.counters.timeouts.establish += 1;
                reason = Reason::Timeout;
                out.push(Effect::Refuse(480));
                State::Disconnected
            }
            (
                State::Accepting {
                    operation,
                    interval,
                    limit,
                    leaving,
                    ..
                },
                Input::Fired(Timer::Again),
            ) => {
                out.push(Effect::RepeatSuccess);
                let interval = (interval * 2).min(cx.config.t2);
                let again = self.set(cx, interval, Timer::Again);
                State::Accepting {
                    operation,
                    interval,
                    again,
                    limit,
                    leaving,
                }
            }
            (
                State::Accepting {
                    operation,
                    again,
                    limit,
                    leaving,
                    ..
                },
                Input::Ack,
            ) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                if leaving.is_empty() {
                    done.push((operation, Ok(())));
                    State::Connected
                } else {
                    out.push(Effect::SendBye);
                    State::Leaving {
                        waiting: leaving,
                        failed: Some((operation, Failed::Terminated)),
                        from: SessionState::Connecting,
                        reason: Reason::TerminatedLocally,
                    }
                }
            }
            // RFC 3261 section 13.3.1.4: no ACK for 64*T1.
            (
                State::Accepting {
                    operation,
                    again,
                    leaving,
                    ..
                },
                Input::Fired(Timer::Limit),
            ) => {
                cx.counters.timeouts.ack += 1;
                cx.timers.stop(again);
                out.push(Effect::SendBye);
                State::Leaving {
                    waiting: leaving,
                    failed: Some((operation, Failed::Timeout)),
                    from: SessionState::Connecting,
                    reason: Reason::Timeout,
                }
            }
            (
                State::Accepting {
                    operation,
                    again,
                    limit,
                    leaving,
                    ..
                },
                Input::Bye,
            ) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                reason = Reason::TerminatedRemotely;
                done.push((operation, Err(Failed::Terminated.error())));
                done.extend(leaving.into_iter().map(|operation| (operation, Ok(()))));
                State::Disconnected
            }
            (
                State::Accepting {
                    operation,
                    interval,
                    again,
                    limit,
                    mut leaving,
                },
                Input::Terminate(ending),
            ) => {
                leaving.push(ending);
                State::Accepting {
                    operation,
                    interval,
                    again,
                    limit,
                    leaving,
                }
            }

            // Both.
            (State::Idle, Input::Terminate(operation)) => {
                reason = Reason::TerminatedLocally;
                done.push((operation, Ok(())));
                State::Disconnected
            }
            (State::Connected, Input::Terminate(operation)) => {
                out.push(Effect::SendBye);
                State::Leaving {
                    waiting: alloc::vec![operation],
                    failed: None,
                    from: SessionState::Connected,
                    reason: Reason::TerminatedLocally,
                }
            }
            (State::Connected, Input::Bye) => {
                reason = Reason::TerminatedRemotely;
                State::Disconnected
            }
            (State::Connected, Input::Gone) => {
                reason = Reason::SessionDoesNotExist;
                State::Disconnected
            }
            (State::Connected, Input::Unanswered) => {
                out.push(Effect::SendBye);
                State::Leaving {
                    waiting: Vec::new(),
                    failed: None,
                    from: SessionState::Connected,
                    reason: Reason::Timeout,
                }
            }
            (
                State::Leaving {
                    mut waiting,
                    failed,
                    from,
                    reason,
                },
                Input::Terminate(operation),
            ) => {
                waiting.push(operation);
                State::Leaving {
                    waiting,
                    failed,
                    from,
                    reason,
                }
            }
            (
                State::Leaving {
                    waiting,
                    failed,
                    reason: why,
                    ..
                },
                Input::ByeDone,
            ) => {
                reason = why;
                if let Some((operation, failed)) = failed {
                    done.push((operation, Err(failed.error())));
                }
                done.extend(waiting.into_iter().map(|operation| (operation, Ok(()))));
                State::Disconnected
            }
            (State::Disconnected, Input::Terminate(operation)) => {
                done.push((operation, Ok(())));
                State::Disconnected
            }

            // A repeated 2xx says that the ACK did not arrive: it goes out again (RFC 3261 section 13.2.2.4).
            (state @ (State::Connected | State::Leaving { .. }), Input::Success { .. }) => {
                out.push(Effect::SendAck);
                state
            }

            // Ignored. While the application thinks, a repeated 2xx waits for its ACK.
            (state @ State::Answering { .. }, Input::Success { .. }) => state,
            // Nothing was asked for by INVITE, or it has had its outcome.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Disconnected),
                Input::Success { .. },
            ) => state,
            (
                state @ (State::Idle
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Failure(..),
            ) => state,
            // A provisional response when none is waited for any more, or after the CANCEL.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Provisional,
            ) => state,
            // An ACK to a 2xx that was not sent, or that has its ACK already.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Inviting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Ack,
            ) => state,
            // Before its 2xx a callee sends no BYE (section 15), and both may send one at the same time.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Inviting { .. }
                | State::Cancelling { .. }
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Bye,
            ) => state,
            // A CANCEL changes nothing after the final response (section 9.2), and a caller gets none.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Inviting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Cancel,
            ) => state,
            // No BYE is under way.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Inviting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Disconnected),
                Input::ByeDone,
            ) => state,
            // Before it is established a session has no requests inside; after, the BYE ends it.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Inviting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Gone | Input::Unanswered,
            ) => state,
            // No such timer is set.
            (
                state @ (State::Idle
                | State::Cancelling { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Fired(Timer::Again | Timer::Limit),
            ) => state,
            (
                state @ (State::Inviting { .. }
                | State::Redirecting { .. }
                | State::Answering { .. }
                | State::Offered { .. }),
                Input::Fired(Timer::Again),
            ) => state,
            // Only an INVITE that is under way is redirected, and only one that was is sent again.
            (
                state @ (State::Idle
                | State::Redirecting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Redirected,
            ) => state,
            (
                state @ (State::Idle
                | State::Inviting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Retry,
            ) => state,
            // Misuse, refused before it comes here.
            (
                state @ (State::Inviting { .. }
                | State::Redirecting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Establish(_),
            ) => state,
            (
                state @ (State::Idle
                | State::Inviting { .. }
                | State::Redirecting { .. }
                | State::Cancelling { .. }
                | State::Answering { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Accept(_) | Input::Decline(_),
            ) => state,
            (
                state @ (State::Idle
                | State::Inviting { .. }
                | State::Redirecting { .. }
                | State::Cancelling { .. }
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Answer,
            ) => state,
        };
        let new = self.state();
        if old != new {
            out.push(Effect::Changed { old, new, reason });
        }
        out.extend(
            done.into_iter()
                .map(|(operation, result)| Effect::Complete(operation, result)),
        );
    }

    /// Ends the machine at once, with its timers; for an endpoint that ends without the network.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>) {
        match core::mem::replace(&mut self.state, State::Disconnected) {
            State::Inviting { limit, .. } | State::Redirecting { limit, .. } | State::Offered { limit } => {
                stop(cx, limit);
            }
            State::Answering { limit, .. } => {
                cx.timers.stop(limit);
            }
            State::Accepting { again, limit, .. } => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
            }
            State::Idle
            | State::Cancelling { .. }
            | State::Connected
            | State::Leaving { .. }
            | State::Disconnected => {}
        }
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration, timer: Timer) -> TimerId {
        cx.timers.set(
            cx.now + after,
            TimerKey::Session(self.session, super::Timer::Invitation(timer)),
        )
    }
}

fn limit(cx: &mut Cx<'_>, session: SessionId) -> Option<TimerId> {
    let patience = cx.config.max_connect_duration;
    (!patience.is_zero()).then(|| {
        cx.timers.set(
            cx.now + patience,
            TimerKey::Session(session, super::Timer::Invitation(Timer::Limit)),
        )
    })
}

fn stop(cx: &mut Cx<'_>, timer: Option<TimerId>) {
    if let Some(timer) = timer {
        cx.timers.stop(timer);
    }
}
