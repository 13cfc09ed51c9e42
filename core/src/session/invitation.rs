//! The life of a session: INVITE, CANCEL, ACK and BYE from either end (RFC 3261 sections 9, 13, 15; rules S1, S2, S3,
//! S10, S12). The machine knows no messages: its session sends what it asks for.
//!
//! ```text
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

use crate::cx::Cx;
use crate::event::{OperationError, OperationFailure, SessionReason, SessionState};
use crate::ids::{OperationId, SessionId};
use crate::timers::{TimerId, TimerKey};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Made by the application.
    Idle,
    /// The INVITE is on its way; `alerted` once a provisional response was seen.
    Inviting { operation: OperationId, alerted: bool, limit: Option<TimerId> },
    /// The same, and CANCEL was asked for: by the application, or because it took too long.
    Cancelling { establish: OperationId, alerted: bool, leaving: Vec<OperationId>, reason: SessionReason },
    /// The 2xx brought the offer: the ACK waits for the application's answer.
    Answering { operation: OperationId },
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
    Leaving { waiting: Vec<OperationId>, failed: Option<(OperationId, Failed)>, from: SessionState, reason: SessionReason },
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
pub enum Timer {
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
    /// 2xx to our INVITE; `offer` if it brought one that waits for an answer.
    Success { offer: bool },
    /// Any other end of our INVITE.
    Failure(OperationError, SessionReason),
    Ack,
    Bye,
    Cancel,
    /// Our BYE was answered, or will not be.
    ByeDone,
    /// A request inside was answered 481: the peer knows no such session.
    Gone,
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
    Changed { old: SessionState, new: SessionState, reason: SessionReason },
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
        Self { session, state: State::Idle }
    }

    pub(crate) fn incoming(cx: &mut Cx<'_>, session: SessionId) -> Self {
        let limit = limit(cx, session);
        Self { session, state: State::Offered { limit } }
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
            State::Inviting { alerted: true, .. } | State::Cancelling { alerted: true, .. } => SessionState::Alerted,
            State::Offered { .. } => SessionState::Incoming,
            State::Connected => SessionState::Connected,
            State::Leaving { from, .. } => *from,
            State::Disconnected => SessionState::Disconnected,
        }
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        use SessionReason as Reason;
        let old = self.state();
        let mut reason = Reason::None;
        let state = core::mem::replace(&mut self.state, State::Disconnected);
        self.state = match (state, input) {
            // Caller.
            (State::Idle, Input::Establish(operation)) => {
                out.push(Effect::SendInvite);
                State::Inviting { operation, alerted: false, limit: limit(cx, self.session) }
            }
            (State::Inviting { operation, limit, .. }, Input::Provisional) => {
                reason = Reason::ProvisionalResponseReceived;
                State::Inviting { operation, alerted: true, limit }
            }
            (State::Inviting { operation, limit, .. }, Input::Success { offer }) => {
                stop(cx, limit);
                if offer {
                    State::Answering { operation }
                } else {
                    out.push(Effect::SendAck);
                    out.push(Effect::Complete(operation, Ok(())));
                    State::Connected
                }
            }
            (State::Inviting { operation, limit, .. }, Input::Failure(error, why)) => {
                stop(cx, limit);
                reason = why;
                out.push(Effect::Complete(operation, Err(error)));
                State::Disconnected
            }
            (State::Inviting { operation, alerted, limit }, Input::Terminate(leaving)) => {
                stop(cx, limit);
                out.push(Effect::SendCancel);
                let leaving = alloc::vec![leaving];
                State::Cancelling { establish: operation, alerted, leaving, reason: Reason::TerminatedLocally }
            }
            (State::Inviting { operation, alerted, .. }, Input::Fired(Timer::Limit)) => {
                out.push(Effect::SendCancel);
                State::Cancelling { establish: operation, alerted, leaving: Vec::new(), reason: Reason::Timeout }
            }
            (State::Cancelling { establish, alerted, mut leaving, reason }, Input::Terminate(operation)) => {
                leaving.push(operation);
                State::Cancelling { establish, alerted, leaving, reason }
            }
            // The CANCEL came too late: the session that the peer believes in is ended in order (S10).
            (State::Cancelling { establish, alerted, leaving, reason: why }, Input::Success { .. }) => {
                out.push(Effect::SendAck);
                out.push(Effect::SendBye);
                let failed = if why == Reason::Timeout { Failed::Timeout } else { Failed::Terminated };
                let from = if alerted { SessionState::Alerted } else { SessionState::Connecting };
                State::Leaving { waiting: leaving, failed: Some((establish, failed)), from, reason: why }
            }
            (State::Cancelling { establish, leaving, reason: why, .. }, Input::Failure(..)) => {
                reason = why;
                let failed = if why == Reason::Timeout { Failed::Timeout } else { Failed::Terminated };
                out.push(Effect::Complete(establish, Err(failed.error())));
                out.extend(leaving.into_iter().map(|operation| Effect::Complete(operation, Ok(()))));
                State::Disconnected
            }
            (State::Answering { operation }, Input::Answer) => {
                out.push(Effect::SendAck);
                out.push(Effect::Complete(operation, Ok(())));
                State::Connected
            }
            // The peer's 2xx has to be acknowledged before the session that it made can be ended.
            (State::Answering { operation }, Input::Terminate(leaving)) => {
                out.push(Effect::SendAck);
                out.push(Effect::SendBye);
                State::Leaving {
                    waiting: alloc::vec![leaving],
                    failed: Some((operation, Failed::Terminated)),
                    from: SessionState::Connecting,
                    reason: Reason::TerminatedLocally,
                }
            }
            (State::Answering { operation }, Input::Bye) => {
                out.push(Effect::SendAck);
                reason = Reason::TerminatedRemotely;
                out.push(Effect::Complete(operation, Err(Failed::Terminated.error())));
                State::Disconnected
            }

            // Callee.
            (State::Offered { limit }, Input::Accept(operation)) => {
                stop(cx, limit);
                let interval = cx.config.t1;
                let again = self.set(cx, interval, Timer::Again);
                let limit = self.set(cx, cx.config.t1 * 64, Timer::Limit);
                State::Accepting { operation, interval, again, limit, leaving: Vec::new() }
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
                out.push(Effect::Complete(operation, Ok(())));
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
                reason = Reason::Timeout;
                out.push(Effect::Refuse(480));
                State::Disconnected
            }
            (State::Accepting { operation, interval, limit, leaving, .. }, Input::Fired(Timer::Again)) => {
                out.push(Effect::RepeatSuccess);
                let interval = (interval * 2).min(cx.config.t2);
                let again = self.set(cx, interval, Timer::Again);
                State::Accepting { operation, interval, again, limit, leaving }
            }
            (State::Accepting { operation, again, limit, leaving, .. }, Input::Ack) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                if leaving.is_empty() {
                    out.push(Effect::Complete(operation, Ok(())));
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
            (State::Accepting { operation, again, leaving, .. }, Input::Fired(Timer::Limit)) => {
                cx.timers.stop(again);
                out.push(Effect::SendBye);
                State::Leaving {
                    waiting: leaving,
                    failed: Some((operation, Failed::Timeout)),
                    from: SessionState::Connecting,
                    reason: Reason::Timeout,
                }
            }
            (State::Accepting { operation, again, limit, leaving, .. }, Input::Bye) => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
                reason = Reason::TerminatedRemotely;
                out.push(Effect::Complete(operation, Err(Failed::Terminated.error())));
                out.extend(leaving.into_iter().map(|operation| Effect::Complete(operation, Ok(()))));
                State::Disconnected
            }
            (State::Accepting { operation, interval, again, limit, mut leaving }, Input::Terminate(ending)) => {
                leaving.push(ending);
                State::Accepting { operation, interval, again, limit, leaving }
            }

            // Both.
            (State::Idle, Input::Terminate(operation)) => {
                reason = Reason::TerminatedLocally;
                out.push(Effect::Complete(operation, Ok(())));
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
            (State::Leaving { mut waiting, failed, from, reason }, Input::Terminate(operation)) => {
                waiting.push(operation);
                State::Leaving { waiting, failed, from, reason }
            }
            (State::Leaving { waiting, failed, reason: why, .. }, Input::ByeDone) => {
                reason = why;
                if let Some((operation, failed)) = failed {
                    out.push(Effect::Complete(operation, Err(failed.error())));
                }
                out.extend(waiting.into_iter().map(|operation| Effect::Complete(operation, Ok(()))));
                State::Disconnected
            }
            (State::Disconnected, Input::Terminate(operation)) => {
                out.push(Effect::Complete(operation, Ok(())));
                State::Disconnected
            }

            // A repeated 2xx, or one that the answer already went to: the ACK goes out again.
            (state @ State::Connected, Input::Success { .. }) => {
                out.push(Effect::SendAck);
                state
            }
            // While the application thinks, and while the BYE is on its way, a repeated 2xx waits for its ACK.
            (state @ (State::Answering { .. } | State::Leaving { .. }), Input::Success { .. }) => state,
            // A late report of what no longer matters: the BYEs of both crossed, an ACK came again, a provisional
            // response after the final one, a CANCEL after it (RFC 3261 section 9.2).
            (state @ State::Leaving { .. }, Input::Bye | Input::Ack | Input::Gone | Input::Fired(_)) => state,
            (state, Input::Provisional | Input::Cancel | Input::Ack | Input::ByeDone | Input::Gone | Input::Fired(_)) => {
                state
            }
            (state @ (State::Idle | State::Disconnected | State::Inviting { .. } | State::Cancelling { .. }), Input::Bye) => {
                state
            }
            (
                state @ (State::Idle
                | State::Offered { .. }
                | State::Accepting { .. }
                | State::Connected
                | State::Answering { .. }
                | State::Leaving { .. }
                | State::Disconnected),
                Input::Failure(..),
            ) => state,
            (
                state @ (State::Idle | State::Offered { .. } | State::Accepting { .. } | State::Disconnected),
                Input::Success { .. },
            ) => state,
            // Misuse, refused before it comes here.
            (state, Input::Establish(_) | Input::Accept(_) | Input::Decline(_) | Input::Answer) => state,
        };
        let new = self.state();
        if old != new {
            // The change comes before the completions that it causes (X3).
            let first = out.iter().position(|effect| matches!(effect, Effect::Complete(..))).unwrap_or(out.len());
            out.insert(first, Effect::Changed { old, new, reason });
        }
    }

    /// Ends the machine at once, with its timers; for an endpoint that ends without the network.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>) {
        match core::mem::replace(&mut self.state, State::Disconnected) {
            State::Inviting { limit, .. } | State::Offered { limit } => stop(cx, limit),
            State::Accepting { again, limit, .. } => {
                cx.timers.stop(again);
                cx.timers.stop(limit);
            }
            State::Idle
            | State::Cancelling { .. }
            | State::Answering { .. }
            | State::Connected
            | State::Leaving { .. }
            | State::Disconnected => {}
        }
    }

    fn set(&self, cx: &mut Cx<'_>, after: Duration, timer: Timer) -> TimerId {
        cx.timers.set(cx.now + after, TimerKey::Session(self.session, timer))
    }
}

fn limit(cx: &mut Cx<'_>, session: SessionId) -> Option<TimerId> {
    let patience = cx.config.max_connect_duration;
    (!patience.is_zero()).then(|| cx.timers.set(cx.now + patience, TimerKey::Session(session, Timer::Limit)))
}

fn stop(cx: &mut Cx<'_>, timer: Option<TimerId>) {
    if let Some(timer) = timer {
        cx.timers.stop(timer);
    }
}
