//! The registration of one SipEndpoint (rules R1 to R8, R10, R13, R14, R16, R21).
//!
//! The machine knows no messages: its endpoint sends what it asks for and tells it how that ended. Never are two
//! REGISTERs under way.
//!
//! ```text
//!                    register                  accepted
//!   Unregistered -----------------> Registering ----------> Registered <--+
//!    ^   ^   ^  \                        |                   |  |  |      | accepted, or refused
//!    |   |   |   +-- refused <-----------+                   |  |  +------+ and tried again (R7)
//!    |   |   |                                    unregister |  |
//!    |   |   +-------- answered -- Unregistering <-----------+  | binding ran out, or the server
//!    |   |                                                      v does not have it
//!    |   +-- unregister, bad credentials -------------------- Lapsed --- accepted ---> Registered
//!    +------ connection dropped, refresh disabled (R5) ----- Registered
//!    +------ deregistered by the server (R13) -------------- Registered
//!    +------ refused -- Dismissed <-- deregistered (R13) --- Registered, refreshing
//!                          +--------- accepted ------------> Registered
//! ```
//!
//! Lapsed is Unregistered to the application; the stack goes on trying. Dismissed is Unregistered, too: the server has
//! deregistered us while a REGISTER was under way, whose answer counts, and is not tried again. What wants to unregister
//! while a REGISTER is under way waits for its answer (R16).
//!
//! A NOTIFY that deregisters ends a registration and nothing else: before one, the answer to the REGISTER under way says
//! what the server has, behind one the next REGISTER does, and who unregisters is to be unregistered anyway.

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::{Cx, visit};
use crate::error::Misuse;
use crate::event::{OperationError, OperationFailure, RegistrationReason, RegistrationState};
use crate::exchange::retry_after;
use crate::ids::{EndpointId, OperationId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(crate) mod cells;
#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    endpoint: EndpointId,
    auto_refresh: bool,
    state: State,
    /// Unregister commands that wait for the answer to a REGISTER under way (R16).
    leaving: Vec<OperationId>,
    /// While a registered endpoint is out of order: how many attempts have failed since (R7).
    outage: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Unregistered,
    Registering {
        operation: OperationId,
    },
    /// The server keeps our contact until then. The timer fires when the next REGISTER is due, and at the end of the
    /// binding where that comes first.
    Registered {
        until: Time,
        timer: TimerId,
        next: Next,
    },
    /// Without a timer a REGISTER is under way.
    Lapsed {
        again: Option<TimerId>,
    },
    /// Deregistered by the server while a REGISTER was under way (R13).
    Dismissed,
    Unregistering {
        operations: Vec<OperationId>,
    },
}

/// What a registered endpoint waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The time of the next REGISTER, which may be after the end of the binding (R7, R21).
    Again(Time),
    /// The answer to the one under way.
    Answer,
    /// The end of the binding: refresh is disabled.
    End,
}

/// What can happen to a registration.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Register(OperationId),
    Unregister(OperationId),
    /// A 2xx that keeps our contact for so long. `anew` where the server says that it did not have it before (R14).
    Accepted {
        granted: Duration,
        anew: bool,
    },
    /// A 2xx that does not name our contact: the server does not have us (R21). The error is for who wanted it to.
    Missing(OperationError),
    /// Any other end of the REGISTER.
    Refused(OperationError),
    /// The timer of [`TimerKey::Registration`].
    Fired,
    /// The connection to the server is gone.
    Dropped(OnDrop),
    /// The host is in another network: what the server has of us is no good any more (R20).
    NetworkChanged,
    /// The server has deregistered us with a NOTIFY (R13).
    Deregistered(RegistrationReason),
}

/// What a lost connection means (R6).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OnDrop {
    /// Make a new one soon and refresh over it.
    Reconnect(OperationError),
    /// Make none: the registration is over (R5).
    GiveUp,
    /// Stay registered: the next message makes a new one.
    Keep,
}

/// What the endpoint has to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Send a REGISTER that asks for the configured expiry.
    SendRegister,
    /// Send a REGISTER with Expires 0.
    SendUnregister,
    /// The state that the application sees has changed.
    Changed {
        old: RegistrationState,
        new: RegistrationState,
        reason: RegistrationReason,
    },
    /// The server had lost us and has taken us anew (R14).
    Forgotten,
    /// A stretch of outage begins (R7), or ends for good with credentials that were refused (A7).
    Outage(OperationError),
    /// An operation is complete.
    Complete(OperationId, Result<(), OperationError>),
}

/// The machine in canonical form: times from now, nothing that names or was drawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    state: &'static str,
    auto_refresh: bool,
    /// How long the binding lasts.
    left: Option<Duration>,
    /// When the next REGISTER is due.
    due: Option<Duration>,
    /// When the timer fires.
    timer: Option<Duration>,
    /// Operations that wait in this state, and unregister commands that wait for it to end.
    waiting: (usize, usize),
    outage: Option<u32>,
}

impl Registration {
    pub(crate) const fn new(endpoint: EndpointId, auto_refresh: bool) -> Self {
        Self {
            endpoint,
            auto_refresh,
            state: State::Unregistered,
            leaving: Vec::new(),
            outage: None,
        }
    }

    /// The state as the application sees it.
    pub(crate) const fn state(&self) -> RegistrationState {
        match self.state {
            State::Unregistered | State::Lapsed { .. } | State::Dismissed => RegistrationState::Unregistered,
            State::Registering { .. } => RegistrationState::Registering,
            State::Registered { .. } => RegistrationState::Registered,
            State::Unregistering { .. } => RegistrationState::Unregistering,
        }
    }

    /// Whether the stack refreshes by itself (R4, R5).
    pub(crate) const fn refreshes(&self) -> bool {
        self.auto_refresh
    }

    /// Whether the server may hold a binding that an unregister should remove.
    pub(crate) const fn is_bound(&self) -> bool {
        !matches!(self.state, State::Unregistered)
    }

    /// Whether the server has deregistered us while a REGISTER was under way.
    pub(crate) const fn is_dismissed(&self) -> bool {
        matches!(self.state, State::Dismissed)
    }

    /// R2.
    pub(crate) const fn may_register(&self) -> Result<(), Misuse> {
        let state = match self.state {
            State::Unregistered | State::Lapsed { .. } | State::Dismissed => return Ok(()),
            State::Registering { .. } => "Registering",
            State::Registered { .. } => "Registered",
            State::Unregistering { .. } => "Unregistering",
        };
        Err(Misuse::State {
            operation: "register",
            state,
        })
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        use RegistrationReason as Reason;
        visit!(cx, self.state, input);
        let old = self.state();
        let mut reason = Reason::None;
        let mut forgotten = false;
        // The change comes before the completions that it causes (X3).
        let mut done: Vec<(OperationId, Result<(), OperationError>)> = Vec::new();
        self.state = match (core::mem::replace(&mut self.state, State::Unregistered), input) {
            (State::Unregistered, Input::Register(operation)) => {
                out.push(Effect::SendRegister);
                State::Registering { operation }
            }
            (State::Lapsed { again: Some(timer) }, Input::Register(operation)) => {
                cx.timers.stop(timer);
                out.push(Effect::SendRegister);
                State::Registering { operation }
            }
            // The REGISTER under way answers the command. Who wanted to be unregistered is, and the later command counts.
            (State::Lapsed { again: None } | State::Dismissed, Input::Register(operation)) => {
                done.extend(self.leaving.drain(..).map(|operation| (operation, Ok(()))));
                State::Registering { operation }
            }

            (State::Unregistered, Input::Unregister(operation)) => {
                done.push((operation, Ok(())));
                State::Unregistered
            }
            (State::Lapsed { again: Some(timer) }, Input::Unregister(operation)) => {
                cx.timers.stop(timer);
                self.outage = None;
                done.push((operation, Ok(())));
                State::Unregistered
            }
            (
                State::Registered {
                    timer,
                    next: Next::Again(_) | Next::End,
                    ..
                },
                Input::Unregister(operation),
            ) => {
                cx.timers.stop(timer);
                self.outage = None;
                out.push(Effect::SendUnregister);
                State::Unregistering {
                    operations: alloc::vec![operation],
                }
            }
            (
                state @ (State::Registering { .. }
                | State::Registered {
                    next: Next::Answer, ..
                }
                | State::Lapsed { again: None }
                | State::Dismissed),
                Input::Unregister(operation),
            ) => {
                self.leaving.push(operation);
                state
            }
            (State::Unregistering { mut operations }, Input::Unregister(operation)) => {
                operations.push(operation);
                State::Unregistering { operations }
            }

            // Of a first registration nobody asks whether it is new.
            (State::Registering { operation }, Input::Accepted { granted, anew: _ }) => {
                done.push((operation, Ok(())));
                self.on_accepted(cx, granted)
            }
            (
                State::Registered {
                    timer,
                    next: Next::Answer,
                    ..
                },
                Input::Accepted { granted, anew },
            ) => {
                cx.timers.stop(timer);
                cx.counters.registrations.refreshed += 1;
                forgotten = anew;
                self.on_accepted(cx, granted)
            }
            (State::Lapsed { again: None } | State::Dismissed, Input::Accepted { granted, anew }) => {
                forgotten = anew;
                self.on_accepted(cx, granted)
            }
            // What a 2xx to Expires 0 lists are the contacts of others.
            (State::Unregistering { operations }, Input::Accepted { .. } | Input::Missing(_)) => {
                done.extend(operations.into_iter().map(|operation| (operation, Ok(()))));
                State::Unregistered
            }

            (State::Registering { operation }, Input::Missing(error) | Input::Refused(error)) => {
                reason = reason_of(&error);
                self.outage = None;
                done.push((operation, Err(error)));
                State::Unregistered
            }
            (
                State::Registered {
                    timer,
                    next: Next::Answer,
                    ..
                },
                Input::Refused(error),
            ) if is_for_good(&error) => {
                cx.timers.stop(timer);
                reason = reason_of(&error);
                self.on_credentials_refused(cx, error, out)
            }
            (State::Lapsed { again: None }, Input::Refused(error)) if is_for_good(&error) => {
                self.on_credentials_refused(cx, error, out)
            }
            // Tried again until the binding runs out, and after that too (R10).
            (
                State::Registered {
                    until,
                    timer,
                    next: Next::Answer,
                },
                Input::Refused(error),
            ) => {
                cx.timers.stop(timer);
                let at = self.after_failure(cx, error, out);
                self.registered(cx, until, Next::Again(at))
            }
            (
                State::Registered {
                    timer,
                    next: Next::Answer,
                    ..
                },
                Input::Missing(error),
            ) => {
                cx.timers.stop(timer);
                reason = Reason::RefreshFailed;
                let at = self.after_failure(cx, error, out);
                self.lapsed(cx, at)
            }
            (State::Lapsed { again: None }, Input::Missing(error) | Input::Refused(error)) => {
                let at = self.after_failure(cx, error, out);
                self.lapsed(cx, at)
            }
            (State::Dismissed, Input::Missing(_) | Input::Refused(_)) => {
                cx.counters.registrations.refresh_failed += 1;
                State::Unregistered
            }
            (State::Unregistering { operations }, Input::Refused(error)) => {
                done.extend(
                    operations
                        .into_iter()
                        .map(|operation| (operation, Err(error.clone()))),
                );
                State::Unregistered
            }

            (
                State::Registered {
                    until,
                    next: Next::Again(at),
                    ..
                },
                Input::Fired,
            ) if until <= cx.now && cx.now < at => {
                reason = Reason::RefreshFailed;
                self.lapsed(cx, at)
            }
            (
                State::Registered {
                    until,
                    next: Next::Again(_),
                    ..
                },
                Input::Fired,
            ) => {
                out.push(Effect::SendRegister);
                if until <= cx.now {
                    reason = Reason::RefreshFailed;
                    State::Lapsed { again: None }
                } else {
                    self.registered(cx, until, Next::Answer)
                }
            }
            (
                State::Registered {
                    next: Next::Answer, ..
                },
                Input::Fired,
            ) => {
                reason = Reason::RefreshFailed;
                State::Lapsed { again: None }
            }
            (State::Registered { next: Next::End, .. }, Input::Fired) => {
                reason = Reason::RefreshFailed;
                State::Unregistered
            }
            (State::Lapsed { again: Some(_) }, Input::Fired) => {
                out.push(Effect::SendRegister);
                State::Lapsed { again: None }
            }

            (
                State::Registered {
                    until,
                    timer,
                    next: Next::Again(_),
                },
                Input::Dropped(OnDrop::Reconnect(error)),
            ) if self.outage.is_none() => {
                cx.timers.stop(timer);
                self.outage = Some(0);
                out.push(Effect::Outage(error));
                let at = cx.now + cx.entropy.up_to(cx.config.reconnect_jitter);
                self.registered(cx, until, Next::Again(at))
            }
            (
                State::Registered {
                    timer,
                    next: Next::Again(_) | Next::End,
                    ..
                },
                Input::Dropped(OnDrop::GiveUp),
            ) => {
                cx.timers.stop(timer);
                self.outage = None;
                reason = Reason::ConnectionDropped;
                State::Unregistered
            }

            // All that failed before has failed elsewhere: the back-off starts anew.
            (
                State::Registered {
                    until,
                    timer,
                    next: Next::Again(_),
                },
                Input::NetworkChanged,
            ) => {
                cx.timers.stop(timer);
                self.outage = self.outage.map(|_| 0);
                let at = cx.now + cx.entropy.up_to(cx.config.reconnect_jitter);
                self.registered(cx, until, Next::Again(at))
            }
            (State::Lapsed { again: Some(timer) }, Input::NetworkChanged) => {
                cx.timers.stop(timer);
                self.outage = self.outage.map(|_| 0);
                let at = cx.now + cx.entropy.up_to(cx.config.reconnect_jitter);
                self.lapsed(cx, at)
            }
            // The REGISTER under way is the one that is wanted: its exchange sends it over a new connection where its own is
            // lost. Should it fail, the next comes soon.
            (
                state @ (State::Registered {
                    next: Next::Answer, ..
                }
                | State::Lapsed { again: None }),
                Input::NetworkChanged,
            ) => {
                self.outage = self.outage.map(|_| 0);
                state
            }

            (
                State::Registered {
                    timer,
                    next: Next::Again(_) | Next::End,
                    ..
                },
                Input::Deregistered(why),
            ) => {
                cx.timers.stop(timer);
                self.outage = None;
                reason = why;
                State::Unregistered
            }
            (
                State::Registered {
                    timer,
                    next: Next::Answer,
                    ..
                },
                Input::Deregistered(why),
            ) => {
                cx.timers.stop(timer);
                self.outage = None;
                reason = why;
                State::Dismissed
            }

            // Misuse, refused before it comes here.
            (
                state @ (State::Registering { .. } | State::Registered { .. } | State::Unregistering { .. }),
                Input::Register(_),
            ) => state,
            // The answer under way says what a lost connection means.
            (
                state @ (State::Registering { .. }
                | State::Registered {
                    next: Next::Answer, ..
                }
                | State::Lapsed { again: None }
                | State::Dismissed
                | State::Unregistering { .. }),
                Input::Dropped(_),
            ) => state,
            // The next attempt has its time already, and makes a new connection; a connection that is made and lost
            // again must not hasten it (R7).
            (
                state @ (State::Registered {
                    next: Next::Again(_), ..
                }
                | State::Lapsed { again: Some(_) }),
                Input::Dropped(OnDrop::Reconnect(_)),
            ) => state,
            // The next message makes a new connection.
            (
                state @ State::Registered {
                    next: Next::Again(_) | Next::End,
                    ..
                },
                Input::Dropped(OnDrop::Keep),
            ) => state,
            // With refresh disabled, nothing reconnects by itself (R5).
            (state @ State::Registered { next: Next::End, .. }, Input::Dropped(OnDrop::Reconnect(_))) => {
                state
            }
            // Unregistered already, and tries again whatever the connection.
            (state @ State::Lapsed { again: Some(_) }, Input::Dropped(OnDrop::GiveUp | OnDrop::Keep)) => {
                state
            }
            // Who is not registered, or is about to be or not to be, needs no other REGISTER than the one under way; with
            // refresh disabled the stack sends none by itself (R5).
            (
                state @ (State::Unregistered
                | State::Registering { .. }
                | State::Registered { next: Next::End, .. }
                | State::Dismissed
                | State::Unregistering { .. }),
                Input::NetworkChanged,
            ) => state,
            // Nothing depends on the connection.
            (state @ State::Unregistered, Input::Dropped(_)) => state,
            // The answer to the REGISTER under way, or to the next one, says what the server has.
            (
                state @ (State::Registering { .. } | State::Lapsed { .. } | State::Dismissed),
                Input::Deregistered(_),
            ) => state,
            // Is to be unregistered, and is.
            (state @ (State::Unregistered | State::Unregistering { .. }), Input::Deregistered(_)) => state,
            // No REGISTER is under way: nothing can be answered.
            (
                state @ (State::Unregistered
                | State::Registered {
                    next: Next::Again(_) | Next::End,
                    ..
                }
                | State::Lapsed { again: Some(_) }),
                Input::Accepted { .. } | Input::Missing(_) | Input::Refused(_),
            ) => state,
            // No timer is set.
            (
                state @ (State::Unregistered
                | State::Registering { .. }
                | State::Lapsed { again: None }
                | State::Dismissed
                | State::Unregistering { .. }),
                Input::Fired,
            ) => state,
        };
        let new = self.state();
        if old != new {
            count_change(cx, old, new);
            out.push(Effect::Changed { old, new, reason });
        }
        if forgotten {
            out.push(Effect::Forgotten);
        }
        out.extend(
            done.into_iter()
                .map(|(operation, result)| Effect::Complete(operation, result)),
        );
        if !self.awaits_answer() {
            for operation in core::mem::take(&mut self.leaving) {
                self.step(cx, Input::Unregister(operation), out);
            }
        }
    }

    /// Whether a REGISTER is under way that is not to unregister.
    pub(crate) const fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Registering { .. }
            | State::Registered {
                next: Next::Answer, ..
            }
            | State::Lapsed { again: None }
            | State::Dismissed => true,
            State::Unregistered
            | State::Registered {
                next: Next::Again(_) | Next::End,
                ..
            }
            | State::Lapsed { again: Some(_) }
            | State::Unregistering { .. } => false,
        }
    }

    fn on_accepted(&mut self, cx: &mut Cx<'_>, granted: Duration) -> State {
        self.outage = None;
        // No refresh can come before the end of a binding that is no longer than the floor. It is held until its refresh
        // has had as long again to be answered, rather than lost and found at every one (R21).
        let floor = cx.config.refresh_floor;
        let brief = self.auto_refresh && granted <= floor;
        let granted = if brief { floor.saturating_mul(2) } else { granted };
        let until = cx.now + granted;
        let next = if self.auto_refresh {
            Next::Again(cx.now + cx.refresh_after(granted))
        } else {
            Next::End
        };
        self.registered(cx, until, next)
    }

    /// Wrong credentials are tried once (A7): the application is told, and has to register again.
    fn on_credentials_refused(
        &mut self,
        cx: &mut Cx<'_>,
        error: OperationError,
        out: &mut Vec<Effect>,
    ) -> State {
        cx.counters.registrations.refresh_failed += 1;
        self.outage = None;
        out.push(Effect::Outage(error));
        State::Unregistered
    }

    /// When to try again after a failure (R7). One event tells of a stretch of outage; who leaves has no use for it.
    fn after_failure(&mut self, cx: &mut Cx<'_>, error: OperationError, out: &mut Vec<Effect>) -> Time {
        cx.counters.registrations.refresh_failed += 1;
        // What its exchange has not waited for, because it does so once only (E12).
        let told = match &error {
            OperationError::Register { response, .. } => retry_after(response),
            OperationError::ConnectionFailure(_)
            | OperationError::Tls(_)
            | OperationError::Timeout
            | OperationError::Authentication { .. }
            | OperationError::MessageParsing(_)
            | OperationError::FailureResponse(_)
            | OperationError::OperationFailure(_) => None,
        };
        if self.outage.is_none() && self.leaving.is_empty() {
            out.push(Effect::Outage(error));
        }
        let failures = self.outage.unwrap_or(0);
        self.outage = Some(failures.saturating_add(1));
        let told = told.map_or(Duration::ZERO, |told| told.min(cx.config.retry_after_cap));
        cx.now + cx.backoff(failures).max(told)
    }

    fn registered(&self, cx: &mut Cx<'_>, until: Time, next: Next) -> State {
        let at = match next {
            Next::Again(at) => at.min(until),
            Next::Answer | Next::End => until,
        };
        State::Registered {
            until,
            timer: cx.timers.set(at, TimerKey::Registration(self.endpoint)),
            next,
        }
    }

    fn lapsed(&self, cx: &mut Cx<'_>, at: Time) -> State {
        State::Lapsed {
            again: Some(cx.timers.set(at, TimerKey::Registration(self.endpoint))),
        }
    }

    /// The timers of this machine, stopped; it is about to be dropped.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>) {
        if let State::Registered { timer, .. } | State::Lapsed { again: Some(timer) } = self.state {
            cx.timers.stop(timer);
        }
        self.state = State::Unregistered;
    }

    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let mut print = Fingerprint {
            state: "Unregistered",
            auto_refresh: self.auto_refresh,
            left: None,
            due: None,
            timer: None,
            waiting: (0, self.leaving.len()),
            outage: self.outage,
        };
        match &self.state {
            State::Unregistered => {}
            State::Registering { .. } => (print.state, print.waiting.0) = ("Registering", 1),
            State::Registered { until, timer, next } => {
                (print.left, print.timer) = (Some(until.since(now)), Some(timer.at().since(now)));
                print.state = match next {
                    Next::Again(at) => {
                        print.due = Some(at.since(now));
                        "Registered"
                    }
                    Next::Answer => "Registered, refreshing",
                    Next::End => "Registered, refresh disabled",
                };
            }
            State::Lapsed { again } => {
                print.state = if again.is_some() {
                    "Lapsed"
                } else {
                    "Lapsed, refreshing"
                };
                print.timer = again.map(|timer| timer.at().since(now));
            }
            State::Dismissed => print.state = "Dismissed",
            State::Unregistering { operations } => {
                (print.state, print.waiting.0) = ("Unregistering", operations.len());
            }
        }
        print
    }
}

/// A change of state that the application sees, as it is counted.
const fn count_change(cx: &mut Cx<'_>, old: RegistrationState, new: RegistrationState) {
    use RegistrationState as Is;
    let registrations = &mut cx.counters.registrations;
    match (old, new) {
        (_, Is::Registered) => registrations.made += 1,
        (Is::Registering, Is::Unregistered) => registrations.failed += 1,
        (Is::Registered, Is::Unregistered) => registrations.lost += 1,
        (Is::Unregistering, Is::Unregistered) => registrations.ended += 1,
        (_, Is::Registering | Is::Unregistering) | (Is::Unregistered, Is::Unregistered) => {}
    }
}

/// Whether a refresh is not tried again: the user is refused. A center of Kerberos that gives no ticket may do so later.
fn is_for_good(error: &OperationError) -> bool {
    matches!(error, OperationError::Authentication { failure, .. } if !failure.may_pass())
}

/// The reason of R8 for the failure of a REGISTER.
fn reason_of(error: &OperationError) -> RegistrationReason {
    use crate::auth::AuthenticationFailureReason as Auth;
    match error {
        OperationError::ConnectionFailure(_)
        | OperationError::Tls(_)
        | OperationError::OperationFailure(OperationFailure::ConnectionNotAuthorized) => {
            RegistrationReason::ConnectionFailure
        }
        OperationError::Timeout => RegistrationReason::Timeout,
        OperationError::Register { reason, .. } => *reason,
        OperationError::Authentication { failure, .. } => match failure.reason {
            Auth::InvalidCredentials | Auth::MissingCredentials => RegistrationReason::Credentials,
            Auth::NoCommonProtocols
            | Auth::NoAuthenticatingAuthority
            | Auth::SkewedClock
            | Auth::UnchallengingServer => RegistrationReason::Authentication,
        },
        OperationError::MessageParsing(_)
        | OperationError::FailureResponse(_)
        | OperationError::OperationFailure(_) => RegistrationReason::Refused,
    }
}
