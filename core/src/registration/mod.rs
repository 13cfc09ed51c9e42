//! The registration of one SipEndpoint (rules R1 to R8, R10, R16, R21).
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
//!    |   |   +-------- answered -- Unregistering <-----------+  | binding ran out, still refused
//!    |   |                                                      v
//!    |   +-- unregister ------------------------------------- Lapsed --- accepted ---> Registered
//!    +------ connection dropped, refresh disabled (R5) ----- Registered
//! ```
//!
//! Lapsed is Unregistered to the application; the stack goes on trying.

use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::{ConnectionFailure, OperationError, RegistrationReason, RegistrationState};
use crate::ids::{EndpointId, OperationId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    endpoint: EndpointId,
    auto_refresh: bool,
    state: State,
    /// Unregister commands that wait for the answer to a REGISTER under way (R16).
    leaving: Vec<OperationId>,
    /// Failed attempts in a row since the endpoint was last known to be registered (R7).
    failures: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Unregistered,
    Registering { operation: OperationId },
    Registered { until: Time, next: Next },
    Lapsed { next: Next },
    Unregistering { operations: Vec<OperationId> },
}

/// What a registered endpoint waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The time of the next REGISTER, or of the end of the binding where refresh is disabled.
    Timer(TimerId),
    /// The answer to the one under way.
    Answer,
}

/// What can happen to a registration.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Register(OperationId),
    Unregister(OperationId),
    /// A 2xx: how long the server keeps our contact, `None` if it does not name it (R21).
    Accepted(Option<Duration>),
    /// Any other end of the REGISTER.
    Refused(OperationError),
    /// The timer of [`TimerKey::Registration`].
    Fired,
    /// The connection to the server is gone while nothing of this machine was on it.
    Dropped(OnDrop),
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
    Changed { old: RegistrationState, new: RegistrationState, reason: RegistrationReason },
    /// A stretch of outage begins (R7).
    Outage(OperationError),
    /// An operation is complete.
    Complete(OperationId, Result<(), OperationError>),
}

impl Registration {
    pub(crate) const fn new(endpoint: EndpointId, auto_refresh: bool) -> Self {
        Self { endpoint, auto_refresh, state: State::Unregistered, leaving: Vec::new(), failures: 0 }
    }

    /// The state as the application sees it.
    pub(crate) const fn state(&self) -> RegistrationState {
        match self.state {
            State::Unregistered | State::Lapsed { .. } => RegistrationState::Unregistered,
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

    /// R2.
    pub(crate) const fn may_register(&self) -> Result<(), Misuse> {
        let state = match self.state {
            State::Unregistered | State::Lapsed { .. } => return Ok(()),
            State::Registering { .. } => "Registering",
            State::Registered { .. } => "Registered",
            State::Unregistering { .. } => "Unregistering",
        };
        Err(Misuse::State { operation: "register", state })
    }

    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, input: Input, out: &mut Vec<Effect>) {
        use RegistrationReason as Reason;
        let old = self.state();
        let state = core::mem::replace(&mut self.state, State::Unregistered);
        let mut reason = Reason::None;
        self.state = match (state, input) {
            (State::Unregistered, Input::Register(operation)) => {
                out.push(Effect::SendRegister);
                State::Registering { operation }
            }
            (State::Lapsed { next: Next::Timer(timer) }, Input::Register(operation)) => {
                cx.timers.stop(timer);
                out.push(Effect::SendRegister);
                State::Registering { operation }
            }
            // The REGISTER under way answers the command.
            (State::Lapsed { next: Next::Answer }, Input::Register(operation)) => State::Registering { operation },

            (State::Unregistered, Input::Unregister(operation)) => {
                out.push(Effect::Complete(operation, Ok(())));
                State::Unregistered
            }
            (State::Lapsed { next: Next::Timer(timer) }, Input::Unregister(operation)) => {
                cx.timers.stop(timer);
                out.push(Effect::Complete(operation, Ok(())));
                State::Unregistered
            }
            (State::Registered { next: Next::Timer(timer), .. }, Input::Unregister(operation)) => {
                cx.timers.stop(timer);
                out.push(Effect::SendUnregister);
                State::Unregistering { operations: alloc::vec![operation] }
            }
            (
                state @ (State::Registering { .. }
                | State::Registered { next: Next::Answer, .. }
                | State::Lapsed { next: Next::Answer }),
                Input::Unregister(operation),
            ) => {
                self.leaving.push(operation);
                state
            }
            (State::Unregistering { mut operations }, Input::Unregister(operation)) => {
                operations.push(operation);
                State::Unregistering { operations }
            }

            (State::Registering { operation }, Input::Accepted(Some(granted))) => {
                out.push(Effect::Complete(operation, Ok(())));
                self.on_accepted(cx, granted, out)
            }
            (
                State::Registered { next: Next::Answer, .. } | State::Lapsed { next: Next::Answer },
                Input::Accepted(Some(granted)),
            ) => self.on_accepted(cx, granted, out),
            (State::Unregistering { operations }, Input::Accepted(_)) => {
                out.extend(operations.into_iter().map(|operation| Effect::Complete(operation, Ok(()))));
                State::Unregistered
            }
            // A 2xx without our contact: the server does not have us (R21).
            (State::Registering { operation }, Input::Accepted(None)) => {
                reason = Reason::Refused;
                let failure = OperationError::ConnectionFailure(ConnectionFailure::NotConnected);
                out.push(Effect::Complete(operation, Err(failure)));
                self.leave(out);
                State::Unregistered
            }
            (state @ (State::Registered { .. } | State::Lapsed { .. }), Input::Accepted(None)) => {
                let failure = OperationError::ConnectionFailure(ConnectionFailure::NotConnected);
                self.on_refresh_failed(cx, &state, failure, &mut reason, out)
            }

            (State::Registering { operation }, Input::Refused(error)) => {
                reason = reason_of(&error);
                out.push(Effect::Complete(operation, Err(error)));
                self.leave(out);
                State::Unregistered
            }
            (state @ (State::Registered { .. } | State::Lapsed { .. }), Input::Refused(error)) => {
                self.on_refresh_failed(cx, &state, error, &mut reason, out)
            }
            (State::Unregistering { operations }, Input::Refused(error)) => {
                let completed = operations.into_iter().map(|operation| Effect::Complete(operation, Err(error.clone())));
                out.extend(completed);
                State::Unregistered
            }

            (State::Registered { until, .. }, Input::Fired) if cx.now >= until => {
                reason = Reason::RefreshFailed;
                if self.auto_refresh {
                    out.push(Effect::SendRegister);
                    State::Lapsed { next: Next::Answer }
                } else {
                    State::Unregistered
                }
            }
            (State::Registered { until, .. }, Input::Fired) => {
                out.push(Effect::SendRegister);
                State::Registered { until, next: Next::Answer }
            }
            (State::Lapsed { .. }, Input::Fired) => {
                out.push(Effect::SendRegister);
                State::Lapsed { next: Next::Answer }
            }

            (State::Registered { until, next: Next::Timer(timer) }, Input::Dropped(OnDrop::Reconnect(error))) => {
                cx.timers.stop(timer);
                if self.failures == 0 {
                    out.push(Effect::Outage(error));
                }
                self.failures = self.failures.max(1);
                let wait = cx.entropy.up_to(cx.config.reconnect_jitter);
                State::Registered { until, next: self.wait(cx, wait) }
            }
            (State::Registered { next: Next::Timer(timer), .. }, Input::Dropped(OnDrop::GiveUp)) => {
                cx.timers.stop(timer);
                reason = Reason::ConnectionDropped;
                State::Unregistered
            }

            // Misuse, refused before it comes here.
            (
                state @ (State::Registering { .. } | State::Registered { .. } | State::Unregistering { .. }),
                Input::Register(_),
            ) => state,
            // While a REGISTER is under way, its own outcome says what a lost connection means.
            (
                state @ (State::Registering { .. }
                | State::Registered { next: Next::Answer, .. }
                | State::Lapsed { .. }
                | State::Unregistering { .. }),
                Input::Dropped(_),
            ) => state,
            (state @ State::Registered { .. }, Input::Dropped(OnDrop::Keep)) => state,
            // No REGISTER is under way, or no timer is set: nothing can arrive.
            (
                state @ (State::Registered { next: Next::Timer(_), .. } | State::Lapsed { next: Next::Timer(_) }),
                Input::Accepted(Some(_)),
            ) => state,
            (
                state @ State::Unregistered,
                Input::Accepted(_) | Input::Refused(_) | Input::Fired | Input::Dropped(_),
            ) => state,
            (state @ (State::Registering { .. } | State::Unregistering { .. }), Input::Fired) => state,
        };
        let new = self.state();
        if old != new {
            // The change comes before the completions that it causes (X3).
            let first = out.iter().position(|effect| matches!(effect, Effect::Complete(..))).unwrap_or(out.len());
            out.insert(first, Effect::Changed { old, new, reason });
        }
    }

    fn on_accepted(&mut self, cx: &mut Cx<'_>, granted: Duration, out: &mut Vec<Effect>) -> State {
        self.failures = 0;
        let operations = core::mem::take(&mut self.leaving);
        if !operations.is_empty() {
            out.push(Effect::SendUnregister);
            return State::Unregistering { operations };
        }
        let wait = if self.auto_refresh { refresh_after(cx, granted) } else { granted };
        State::Registered { until: cx.now + granted, next: self.wait(cx, wait) }
    }

    /// A refresh that failed is tried again until the binding runs out, and after that too; but never with
    /// credentials that were refused (R10, A7).
    fn on_refresh_failed(
        &mut self,
        cx: &mut Cx<'_>,
        state: &State,
        error: OperationError,
        reason: &mut RegistrationReason,
        out: &mut Vec<Effect>,
    ) -> State {
        if !self.leaving.is_empty() {
            let operations = core::mem::take(&mut self.leaving);
            out.push(Effect::SendUnregister);
            return State::Unregistering { operations };
        }
        if matches!(error, OperationError::Authentication { .. }) {
            *reason = reason_of(&error);
            out.push(Effect::Outage(error));
            return State::Unregistered;
        }
        if self.failures == 0 {
            out.push(Effect::Outage(error));
        }
        let wait = backoff(cx, self.failures);
        self.failures = self.failures.saturating_add(1);
        match state {
            State::Registered { until, .. } if *until > cx.now => {
                let wait = wait.min(until.since(cx.now));
                State::Registered { until: *until, next: self.wait(cx, wait) }
            }
            State::Registered { .. } => {
                *reason = RegistrationReason::RefreshFailed;
                State::Lapsed { next: self.wait(cx, wait) }
            }
            State::Lapsed { .. } | State::Unregistered | State::Registering { .. } | State::Unregistering { .. } => {
                State::Lapsed { next: self.wait(cx, wait) }
            }
        }
    }

    /// What waited to unregister finds nothing to do.
    fn leave(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.leaving.drain(..).map(|operation| Effect::Complete(operation, Ok(()))));
    }

    fn wait(&self, cx: &mut Cx<'_>, wait: Duration) -> Next {
        Next::Timer(cx.timers.set(cx.now + wait, TimerKey::Registration(self.endpoint)))
    }

    /// The timers of this machine, stopped; it is about to be dropped.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>) {
        if let State::Registered { next: Next::Timer(timer), .. } | State::Lapsed { next: Next::Timer(timer) } = self.state
        {
            cx.timers.stop(timer);
        }
        self.state = State::Unregistered;
    }
}

/// When to refresh a binding of this length: at nine tenths of it, but 30 s before its end where it is shorter than
/// five minutes and half of it where it is shorter than one; and up to a quarter sooner, so that a fleet spreads (R4).
/// Never sooner than the floor (R21).
fn refresh_after(cx: &mut Cx<'_>, granted: Duration) -> Duration {
    let latest = if granted < Duration::from_secs(60) {
        granted / 2
    } else {
        (granted * 9 / 10).min(granted.saturating_sub(Duration::from_secs(30)))
    };
    let sooner = cx.entropy.up_to(latest / 4);
    latest.saturating_sub(sooner).max(cx.config.refresh_floor)
}

/// Exponential between the stated bounds, with a jitter of half (R7).
fn backoff(cx: &mut Cx<'_>, failures: u32) -> Duration {
    let full = cx.config.backoff_min.saturating_mul(1 << failures.min(16)).min(cx.config.backoff_max);
    full / 2 + cx.entropy.up_to(full / 2)
}

/// The reason of R8 for the failure of a REGISTER.
fn reason_of(error: &OperationError) -> RegistrationReason {
    use crate::auth::AuthenticationFailureReason as Auth;
    match error {
        OperationError::ConnectionFailure(_) | OperationError::Tls(_) => RegistrationReason::ConnectionFailure,
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
