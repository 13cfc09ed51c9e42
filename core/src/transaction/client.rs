//! The client transaction of every request but INVITE and ACK: RFC 3261 section 17.1.2.
//!
//! ```text
//!                    request from TU
//!                    send request, set E (unreliable), set F
//!                              |
//!    E fires                   v
//!    resend request    +---------------+   F fires or transport error
//!    set E: doubled,+->|    Trying     |-- inform TU ----------------+
//!    at most T2     +--|               |                             |
//!                      +---------------+                             |
//!            200-699      |         | 1xx                            |
//!         +---------------+         | pass to TU                     |
//!         |                         v                                |
//!         |  E fires, set T2  +---------------+  F fires or          |
//!         |  resend request+->|  Proceeding   |  transport error     |
//!         |                +--|               |-- inform TU -------->|
//!         |                   +---------------+                      |
//!         |        200-699        |   |  ^ 1xx                       |
//!         +<----------------------+   +--+ pass to TU                |
//!         | pass to TU, set K                                        |
//!         v                                                          |
//!    +---------------+   K fires                                     v
//!    |   Completed   |------------------------------------> [ Terminated ]
//!    +---------------+
//! ```
//!
//! On a reliable transport timer K is zero: Completed is passed through within the step.

use bytes::Bytes;
use core::mem;
use core::time::Duration;

use super::machine::{Inform, Reliability, StatePrint, Step, Timer};
use crate::cx::visit;

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Trying {
        request: Bytes,
        /// The running value of timer E.
        interval: Duration,
    },
    Proceeding {
        request: Bytes,
    },
    Completed,
    Terminated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A 1xx response.
    Provisional,
    /// A 200-699 response.
    Final,
    /// A message could not be sent, or the connection is lost.
    TransportError,
    TimerE,
    TimerF,
    TimerK,
}

impl Input {
    /// `None` for the timers of other machines.
    pub(crate) const fn fired(timer: Timer) -> Option<Self> {
        match timer {
            Timer::E => Some(Self::TimerE),
            Timer::F => Some(Self::TimerF),
            Timer::K => Some(Self::TimerK),
            Timer::A
            | Timer::B
            | Timer::D
            | Timer::G
            | Timer::H
            | Timer::I
            | Timer::J
            | Timer::L
            | Timer::M
            | Timer::Trying => None,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    state: State,
    reliability: Reliability,
}

impl Client {
    pub(crate) fn start(request: Bytes, reliability: Reliability, cx: &mut Step<'_>) -> Self {
        cx.send(request.clone());
        if reliability == Reliability::Unreliable {
            cx.set(Timer::E, cx.times.t1);
        }
        cx.set(Timer::F, cx.times.timeout());
        Self {
            state: State::Trying {
                request,
                interval: cx.times.t1,
            },
            reliability,
        }
    }

    pub(crate) fn step(&mut self, input: Input, cx: &mut Step<'_>) {
        visit!(cx, self.state, input);
        self.state = match (mem::replace(&mut self.state, State::Terminated), input) {
            (State::Trying { request, .. } | State::Proceeding { request }, Input::Provisional) => {
                cx.inform(Inform::Provisional);
                State::Proceeding { request }
            }
            (State::Trying { .. } | State::Proceeding { .. }, Input::Final) => {
                self.stop_retransmission(cx);
                cx.stop(Timer::F);
                cx.inform(Inform::Final);
                match self.reliability {
                    Reliability::Reliable => State::Terminated,
                    Reliability::Unreliable => {
                        cx.set(Timer::K, cx.times.t4);
                        State::Completed
                    }
                }
            }
            (State::Trying { .. } | State::Proceeding { .. }, Input::TransportError) => {
                self.stop_retransmission(cx);
                cx.stop(Timer::F);
                cx.inform(Inform::TransportError);
                State::Terminated
            }
            (State::Trying { request, interval }, Input::TimerE) => {
                let interval = cx.times.doubled(interval);
                cx.resend(&request);
                cx.set(Timer::E, interval);
                State::Trying { request, interval }
            }
            (State::Proceeding { request }, Input::TimerE) => {
                cx.resend(&request);
                cx.set(Timer::E, cx.times.t2);
                State::Proceeding { request }
            }
            (State::Trying { .. } | State::Proceeding { .. }, Input::TimerF) => {
                self.stop_retransmission(cx);
                cx.inform(Inform::TimedOut);
                State::Terminated
            }
            (State::Completed, Input::TimerK) => State::Terminated,

            // Completed is there to absorb these.
            (state @ State::Completed, Input::Provisional | Input::Final)
            // The outcome is known, and nothing more is sent.
            | (state @ State::Completed, Input::TransportError)
            // A timer that was stopped, or not yet set, does not fire.
            | (state @ (State::Trying { .. } | State::Proceeding { .. }), Input::TimerK)
            | (state @ State::Completed, Input::TimerE | Input::TimerF)
            // A terminated machine is removed before its next input.
            | (
                state @ State::Terminated,
                Input::Provisional
                | Input::Final
                | Input::TransportError
                | Input::TimerE
                | Input::TimerF
                | Input::TimerK,
            ) => state,
        };
    }

    fn stop_retransmission(&self, cx: &mut Step<'_>) {
        if self.reliability == Reliability::Unreliable {
            cx.stop(Timer::E);
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn fingerprint(&self) -> StatePrint {
        let (state, interval, kept) = match &self.state {
            State::Trying { interval, .. } => ("Trying", *interval, true),
            State::Proceeding { .. } => ("Proceeding", Duration::ZERO, true),
            State::Completed => ("Completed", Duration::ZERO, false),
            State::Terminated => ("Terminated", Duration::ZERO, false),
        };
        StatePrint {
            state: ("client", state),
            interval,
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

    const REQUEST: Bytes = Bytes::from_static(b"MESSAGE");
    const T1: Duration = Duration::from_millis(500);
    const T2: Duration = Duration::from_secs(4);
    const T4: Duration = Duration::from_secs(5);
    const SECS_32: Duration = Duration::from_secs(32);

    fn trying(interval: Duration) -> State {
        State::Trying {
            request: REQUEST,
            interval,
        }
    }

    fn states() -> Vec<State> {
        vec![
            trying(T1),
            trying(T2),
            State::Proceeding { request: REQUEST },
            State::Completed,
            State::Terminated,
        ]
    }

    fn inputs() -> Vec<Input> {
        vec![
            Input::Provisional,
            Input::Final,
            Input::TransportError,
            Input::TimerE,
            Input::TimerF,
            Input::TimerK,
        ]
    }

    /// The figure: what leaves a state or has an effect. Every pair that is not here changes nothing.
    fn table(reliability: Reliability) -> Vec<(State, Input, State, Vec<Effect>)> {
        use Effect::{Resend, Set, Stop};
        let inform = Effect::Inform;
        let proceeding = State::Proceeding { request: REQUEST };
        let mut rows = Vec::new();
        for state in [trying(T1), trying(T2), proceeding.clone()] {
            rows.push((
                state.clone(),
                Input::Provisional,
                proceeding.clone(),
                vec![inform(Inform::Provisional)],
            ));
            rows.extend(match reliability {
                Reliability::Unreliable => vec![
                    (
                        state.clone(),
                        Input::Final,
                        State::Completed,
                        vec![
                            Stop(Timer::E),
                            Stop(Timer::F),
                            inform(Inform::Final),
                            Set(Timer::K, T4),
                        ],
                    ),
                    (
                        state.clone(),
                        Input::TransportError,
                        State::Terminated,
                        vec![Stop(Timer::E), Stop(Timer::F), inform(Inform::TransportError)],
                    ),
                    (
                        state,
                        Input::TimerF,
                        State::Terminated,
                        vec![Stop(Timer::E), inform(Inform::TimedOut)],
                    ),
                ],
                Reliability::Reliable => vec![
                    (
                        state.clone(),
                        Input::Final,
                        State::Terminated,
                        vec![Stop(Timer::F), inform(Inform::Final)],
                    ),
                    (
                        state.clone(),
                        Input::TransportError,
                        State::Terminated,
                        vec![Stop(Timer::F), inform(Inform::TransportError)],
                    ),
                    (
                        state,
                        Input::TimerF,
                        State::Terminated,
                        vec![inform(Inform::TimedOut)],
                    ),
                ],
            });
        }
        if reliability == Reliability::Unreliable {
            rows.extend([
                (
                    trying(T1),
                    Input::TimerE,
                    trying(T1 * 2),
                    vec![Resend(REQUEST), Set(Timer::E, T1 * 2)],
                ),
                (
                    trying(T2),
                    Input::TimerE,
                    trying(T2),
                    vec![Resend(REQUEST), Set(Timer::E, T2)],
                ),
                (
                    proceeding.clone(),
                    Input::TimerE,
                    proceeding,
                    vec![Resend(REQUEST), Set(Timer::E, T2)],
                ),
                (State::Completed, Input::TimerK, State::Terminated, vec![]),
            ]);
        }
        rows
    }

    // rules: S3
    #[test]
    fn every_state_and_input() {
        for reliability in [Reliability::Unreliable, Reliability::Reliable] {
            let table = table(reliability);
            let mut used = 0;
            for state in states() {
                for input in inputs() {
                    // Not a state at rest on a reliable transport, where timer E does not exist either.
                    if reliability == Reliability::Reliable
                        && (state == State::Completed || input == Input::TimerE)
                    {
                        continue;
                    }
                    let row = table.iter().find(|row| row.0 == state && row.1 == input);
                    used += usize::from(row.is_some());
                    let (next, effects) =
                        row.map_or_else(|| (state.clone(), vec![]), |row| (row.2.clone(), row.3.clone()));
                    let mut machine = Client {
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
    fn starting_sends_and_arms() {
        for (reliability, timers) in [
            (
                Reliability::Unreliable,
                vec![Effect::Set(Timer::E, T1), Effect::Set(Timer::F, SECS_32)],
            ),
            (Reliability::Reliable, vec![Effect::Set(Timer::F, SECS_32)]),
        ] {
            let mut effects = SmallVec::new();
            let cx = &mut Step {
                times: TimerConfig::default(),
                cells: &mut Cells::default(),
                effects: &mut effects,
            };
            let machine = Client::start(REQUEST, reliability, cx);
            assert_eq!(machine.state, trying(T1));
            assert_eq!(effects.into_vec(), [vec![Effect::Send(REQUEST)], timers].concat());
        }
    }

    // rules: S3
    #[test]
    fn an_unanswered_request_is_sent_at_the_times_of_the_rfc_for_32_s() {
        let unreliable = vec![
            0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ];
        for (reliability, sent) in [
            (Reliability::Unreliable, unreliable),
            (Reliability::Reliable, vec![0]),
        ] {
            let run = testing::run(
                |cx| Client::start(REQUEST, reliability, cx),
                |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
            );
            assert_eq!(run.sent, sent);
            assert_eq!(run.informed, [(32_000, Inform::TimedOut)]);
            assert!(run.machine.is_terminated());
        }
    }

    #[test]
    fn a_provisional_response_slows_retransmission_to_t2_and_does_not_prolong_it() {
        let run = testing::run(
            |cx| {
                let mut machine = Client::start(REQUEST, Reliability::Unreliable, cx);
                machine.step(Input::Provisional, cx);
                machine
            },
            |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
        );
        // The running timer goes on; from then on the interval is T2.
        assert_eq!(
            run.sent,
            [0, 500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500]
        );
        assert_eq!(
            run.informed,
            [(0, Inform::Provisional), (32_000, Inform::TimedOut)]
        );
    }

    #[test]
    fn what_is_waited_for_after_a_final_response() {
        for (reliability, end) in [(Reliability::Unreliable, 5_000), (Reliability::Reliable, 0)] {
            let run = testing::run(
                |cx| {
                    let mut machine = Client::start(REQUEST, reliability, cx);
                    machine.step(Input::Final, cx);
                    machine
                },
                |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
            );
            assert!(run.machine.is_terminated());
            assert_eq!((run.end, run.informed), (end, vec![(0, Inform::Final)]));
        }
    }
}
