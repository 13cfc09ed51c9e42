//! The server transaction of every request but INVITE and ACK: RFC 3261 section 17.2.2.
//!
//! ```text
//!                    request
//!                    pass to TU
//!                        |
//!                        v
//!                +---------------+   200-699 from TU
//!                |    Trying     |-- send it -----------+
//!                +---------------+                      |
//!                    |      | transport error           |
//!        1xx from TU |      +-- inform TU (see below) --|---------+
//!        send it     v                                  |         |
//!   request      +---------------+  1xx from TU         |         |
//!   resend 1xx+->|               |- send it -+          |         |
//!             +--|  Proceeding   |<----------+          |         |
//!                +---------------+                      |         |
//!     200-699 from TU |     | transport error           |         |
//!     send it         |     +-- inform TU --------------|-------->|
//!                     v                                 |         |
//!   request      +---------------+                      |         |
//!   resend    +->|   Completed   |<---------------------+         |
//!             +--|               | set J                          |
//!                +---------------+                                |
//!                    | J fires, or transport error: inform TU     v
//!                    +-----------------------------------> [ Terminated ]
//! ```
//!
//! On a reliable transport timer J is zero: Completed is passed through within the step.
//!
//! Beyond the figure: a transport error ends Trying, too. Nothing has been sent there, but the user may have tried to
//! answer and found neither the connection of the request nor another.

use bytes::Bytes;
use core::mem;
use core::time::Duration;

use super::machine::{Inform, Reliability, StatePrint, Step, Timer};
use crate::cx::visit;
use crate::wire::StatusCode;

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Trying,
    Proceeding {
        /// The last provisional response.
        response: Bytes,
    },
    Completed {
        response: Bytes,
    },
    Terminated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The request has come once more.
    Request,
    /// The user sends a 1xx response.
    Provisional(Bytes),
    /// The user sends a 200-699 response.
    Final(Bytes),
    /// A response could not be sent by any way.
    TransportError,
    TimerJ,
}

impl Input {
    pub(crate) const fn response(status: StatusCode, response: Bytes) -> Self {
        if status.is_final() {
            Self::Final(response)
        } else {
            Self::Provisional(response)
        }
    }

    /// `None` for the timers of other machines.
    pub(crate) const fn fired(timer: Timer) -> Option<Self> {
        match timer {
            Timer::J => Some(Self::TimerJ),
            Timer::A
            | Timer::B
            | Timer::D
            | Timer::E
            | Timer::F
            | Timer::G
            | Timer::H
            | Timer::I
            | Timer::K
            | Timer::L
            | Timer::M
            | Timer::Trying => None,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    state: State,
    reliability: Reliability,
}

impl Server {
    pub(crate) const fn start(reliability: Reliability) -> Self {
        Self {
            state: State::Trying,
            reliability,
        }
    }

    pub(crate) fn step(&mut self, input: Input, cx: &mut Step<'_>) {
        visit!(cx, self.state, input);
        self.state = match (mem::replace(&mut self.state, State::Terminated), input) {
            (State::Trying | State::Proceeding { .. }, Input::Provisional(response)) => {
                cx.send(response.clone());
                State::Proceeding { response }
            }
            (State::Trying | State::Proceeding { .. }, Input::Final(response)) => {
                cx.send(response.clone());
                match self.reliability {
                    Reliability::Reliable => State::Terminated,
                    Reliability::Unreliable => {
                        cx.set(Timer::J, cx.times.timeout());
                        State::Completed { response }
                    }
                }
            }
            (State::Trying | State::Proceeding { .. }, Input::TransportError) => {
                cx.inform(Inform::TransportError);
                State::Terminated
            }
            (State::Proceeding { response }, Input::Request) => {
                cx.resend(&response);
                State::Proceeding { response }
            }
            (State::Completed { response }, Input::Request) => {
                cx.resend(&response);
                State::Completed { response }
            }
            (State::Completed { .. }, Input::TransportError) => {
                cx.stop(Timer::J);
                cx.inform(Inform::TransportError);
                State::Terminated
            }
            (State::Completed { .. }, Input::TimerJ) => State::Terminated,

            // There is nothing to answer with yet.
            (state @ State::Trying, Input::Request)
            // The final response has been chosen; the user's later ones are discarded.
            | (state @ State::Completed { .. }, Input::Provisional(_) | Input::Final(_))
            // A timer that is not yet set does not fire.
            | (state @ (State::Trying | State::Proceeding { .. }), Input::TimerJ)
            // A terminated machine is removed before its next input.
            | (
                state @ State::Terminated,
                Input::Request | Input::Provisional(_) | Input::Final(_) | Input::TransportError | Input::TimerJ,
            ) => state,
        };
    }

    /// Whether the user may still choose the final response.
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding { .. })
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn fingerprint(&self) -> StatePrint {
        let (state, kept) = match &self.state {
            State::Trying => ("Trying", false),
            State::Proceeding { .. } => ("Proceeding", true),
            State::Completed { .. } => ("Completed", true),
            State::Terminated => ("Terminated", false),
        };
        StatePrint {
            state: ("server", state),
            interval: Duration::ZERO,
            kept,
            reliable: self.reliability == Reliability::Reliable,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use smallvec::SmallVec;

    use super::super::machine::{Effect, TimerConfig};
    use super::super::testing;
    use super::*;
    use crate::cells::Cells;

    const TRYING: Bytes = Bytes::from_static(b"100");
    const PROGRESS: Bytes = Bytes::from_static(b"183");
    const OK: Bytes = Bytes::from_static(b"200");
    const FAILURE: Bytes = Bytes::from_static(b"500");
    const SECS_32: Duration = Duration::from_secs(32);

    fn states() -> Vec<State> {
        vec![
            State::Trying,
            State::Proceeding { response: TRYING },
            State::Completed { response: OK },
            State::Terminated,
        ]
    }

    fn inputs() -> Vec<Input> {
        vec![
            Input::Request,
            Input::Provisional(PROGRESS),
            Input::Final(FAILURE),
            Input::TransportError,
            Input::TimerJ,
        ]
    }

    /// The figure: what leaves a state or has an effect. Every pair that is not here changes nothing.
    fn table(reliability: Reliability) -> Vec<(State, Input, State, Vec<Effect>)> {
        use Effect::{Resend, Send, Set, Stop};
        let error = Effect::Inform(Inform::TransportError);
        let [trying, proceeding, completed, terminated] = states().try_into().unwrap();
        let next = State::Proceeding { response: PROGRESS };
        let mut rows = vec![
            (
                trying.clone(),
                Input::Provisional(PROGRESS),
                next.clone(),
                vec![Send(PROGRESS)],
            ),
            (
                trying.clone(),
                Input::TransportError,
                terminated.clone(),
                vec![error.clone()],
            ),
            (
                proceeding.clone(),
                Input::Request,
                proceeding.clone(),
                vec![Resend(TRYING)],
            ),
            (
                proceeding.clone(),
                Input::Provisional(PROGRESS),
                next,
                vec![Send(PROGRESS)],
            ),
            (
                proceeding.clone(),
                Input::TransportError,
                terminated.clone(),
                vec![error.clone()],
            ),
        ];
        rows.extend(match reliability {
            Reliability::Unreliable => {
                let next = State::Completed { response: FAILURE };
                let effects = vec![Send(FAILURE), Set(Timer::J, SECS_32)];
                vec![
                    (trying, Input::Final(FAILURE), next.clone(), effects.clone()),
                    (proceeding, Input::Final(FAILURE), next, effects),
                    (
                        completed.clone(),
                        Input::Request,
                        completed.clone(),
                        vec![Resend(OK)],
                    ),
                    (
                        completed.clone(),
                        Input::TransportError,
                        terminated.clone(),
                        vec![Stop(Timer::J), error],
                    ),
                    (completed, Input::TimerJ, terminated, vec![]),
                ]
            }
            Reliability::Reliable => vec![
                (
                    trying,
                    Input::Final(FAILURE),
                    terminated.clone(),
                    vec![Send(FAILURE)],
                ),
                (proceeding, Input::Final(FAILURE), terminated, vec![Send(FAILURE)]),
            ],
        });
        rows
    }

    // rules: S3
    #[test]
    fn every_state_and_input() {
        for reliability in [Reliability::Unreliable, Reliability::Reliable] {
            let table = table(reliability);
            let mut used = 0;
            for state in states() {
                // Not a state at rest on a reliable transport.
                if reliability == Reliability::Reliable && matches!(state, State::Completed { .. }) {
                    continue;
                }
                for input in inputs() {
                    let row = table.iter().find(|row| row.0 == state && row.1 == input);
                    used += usize::from(row.is_some());
                    let (next, effects) =
                        row.map_or_else(|| (state.clone(), vec![]), |row| (row.2.clone(), row.3.clone()));
                    let mut machine = Server {
                        state: state.clone(),
                        reliability,
                    };
                    let mut happened = SmallVec::new();
                    machine.step(
                        input.clone(),
                        &mut Step {
                            times: TimerConfig::default(),
                            cells: &mut Cells::default(),
                            effects: &mut happened,
                        },
                    );
                    let pair = alloc::format!("{state:?} {input:?} {reliability:?}");
                    assert_eq!(machine.state, next, "{pair}");
                    assert_eq!(happened.into_vec(), effects, "{pair}");
                }
            }
            assert_eq!(
                used,
                table.len(),
                "a row names a pair that is not among the states and inputs"
            );
        }
    }

    #[test]
    fn a_request_waits_for_its_user_without_a_timer() {
        let run = testing::run(
            |_| Server::start(Reliability::Unreliable),
            |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
        );
        assert_eq!(run.machine.state, State::Trying);
        assert_eq!((run.end, run.sent, run.informed), (0, vec![], vec![]));
    }

    // rules: S3
    #[test]
    fn retransmissions_are_answered_for_32_s_where_the_transport_is_unreliable() {
        for (reliability, end) in [(Reliability::Unreliable, 32_000), (Reliability::Reliable, 0)] {
            let run = testing::run(
                |cx| {
                    let mut machine = Server::start(reliability);
                    machine.step(Input::Final(OK), cx);
                    machine
                },
                |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
            );
            assert!(run.machine.is_terminated() && !run.machine.is_proceeding());
            assert_eq!((run.end, run.sent), (end, vec![0]));
        }
    }
}
