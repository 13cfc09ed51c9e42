//! The INVITE client transaction: RFC 3261 section 17.1.1 with the Accepted state of RFC 6026 section 7.2.
//!
//! ```text
//!                      INVITE from TU
//!                      send INVITE, set A (unreliable), set B
//!                                |
//!      A fires                   v
//!      resend INVITE     +---------------+   B fires or transport error
//!      set A doubled  +->|    Calling    |-- inform TU ----------------------+
//!                     +--|               |                                   |
//!                        +---------------+                                   |
//!                 300-699   |    |    |  2xx                                 |
//!        +------------------+    |    +----------------------+               |
//!        | send ACK,             | 1xx                       | pass to TU,   |
//!        | pass to TU, set D     | pass to TU                | set M         |
//!        |                       v                           |               |
//!        |     1xx       +---------------+    2xx            |               |
//!        |  pass to TU +->|  Proceeding  |-------------------+               |
//!        |             +--|              |    pass to TU,    |               |
//!        |               +---------------+    set M          |               |
//!        |  300-699          |       |                       |               |
//!        +<------------------+       | transport error       |               |
//!        | send ACK,                 | inform TU (see below) |               |
//!        | pass to TU, set D         +-------------------------------------->+
//!        v                                                   v               |
//!  +---------------+ transport error             +---------------+           |
//!  |   Completed   |--- inform TU ----+       +->|   Accepted    |           |
//!  |               |                  |       +--|               |           |
//!  +---------------+                  |      2xx +---------------+           |
//!    |  ^       |                     |   pass to TU   | M fires              |
//!    +--+       | D fires             |                |                      |
//!  300-699      v                     v                v                      v
//!  resend ACK  [                          Terminated                          ]
//! ```
//!
//! On a reliable transport timer D is zero: Completed is passed through within the step.
//!
//! Beyond the figure: a transport error ends Proceeding, too. The figure has none there because nothing is sent in
//! that state; here the input also says that the connection is lost, over which alone a response was to come.

use bytes::Bytes;
use core::mem;
use core::time::Duration;

use super::machine::{Inform, Reliability, StatePrint, Step, Timer};
use crate::cx::visit;

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Calling {
        request: Bytes,
        /// The running value of timer A.
        interval: Duration,
    },
    Proceeding {
        request: Bytes,
    },
    Completed {
        ack: Bytes,
    },
    Accepted,
    Terminated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A 1xx response.
    Provisional,
    /// A 2xx response.
    Success,
    /// A 300-699 response, with the ACK for it; the ACK is not looked at once one has been sent.
    Failure {
        ack: Bytes,
    },
    /// A message could not be sent, or the connection is lost.
    TransportError,
    TimerA,
    TimerB,
    TimerD,
    TimerM,
}

impl Input {
    /// `None` for the timers of other machines.
    pub(crate) const fn fired(timer: Timer) -> Option<Self> {
        match timer {
            Timer::A => Some(Self::TimerA),
            Timer::B => Some(Self::TimerB),
            Timer::D => Some(Self::TimerD),
            Timer::M => Some(Self::TimerM),
            Timer::E
            | Timer::F
            | Timer::G
            | Timer::H
            | Timer::I
            | Timer::J
            | Timer::K
            | Timer::L
            | Timer::Trying => None,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientInvite {
    state: State,
    reliability: Reliability,
}

impl ClientInvite {
    pub(crate) fn start(request: Bytes, reliability: Reliability, cx: &mut Step<'_>) -> Self {
        cx.send(request.clone());
        if reliability == Reliability::Unreliable {
            cx.set(Timer::A, cx.times.t1);
        }
        cx.set(Timer::B, cx.times.timeout());
        Self {
            state: State::Calling {
                request,
                interval: cx.times.t1,
            },
            reliability,
        }
    }

    pub(crate) fn step(&mut self, input: Input, cx: &mut Step<'_>) {
        visit!(cx, self.state, input);
        self.state = match (mem::replace(&mut self.state, State::Terminated), input) {
            (State::Calling { request, .. }, Input::Provisional) => {
                self.stop_calling(cx);
                cx.inform(Inform::Provisional);
                State::Proceeding { request }
            }
            (State::Calling { .. }, Input::Success) => {
                self.stop_calling(cx);
                accept(cx)
            }
            (State::Calling { .. }, Input::Failure { ack }) => {
                self.stop_calling(cx);
                self.complete(ack, cx)
            }
            (State::Calling { .. }, Input::TransportError) => {
                self.stop_calling(cx);
                cx.inform(Inform::TransportError);
                State::Terminated
            }
            (State::Calling { request, interval }, Input::TimerA) => {
                let interval = interval.saturating_mul(2);
                cx.resend(&request);
                cx.set(Timer::A, interval);
                State::Calling { request, interval }
            }
            (State::Calling { .. }, Input::TimerB) => {
                self.stop_retransmission(cx);
                cx.inform(Inform::TimedOut);
                State::Terminated
            }

            (state @ State::Proceeding { .. }, Input::Provisional) => {
                cx.inform(Inform::Provisional);
                state
            }
            (State::Proceeding { .. }, Input::Success) => accept(cx),
            (State::Proceeding { .. }, Input::Failure { ack }) => self.complete(ack, cx),
            (State::Proceeding { .. }, Input::TransportError) => {
                cx.inform(Inform::TransportError);
                State::Terminated
            }

            (State::Completed { ack }, Input::Failure { .. }) => {
                cx.ack(&ack, true);
                State::Completed { ack }
            }
            (State::Completed { .. }, Input::TransportError) => {
                cx.stop(Timer::D);
                cx.inform(Inform::TransportError);
                State::Terminated
            }
            (State::Completed { .. }, Input::TimerD) => State::Terminated,

            (State::Accepted, Input::Success) => {
                cx.inform(Inform::Final);
                State::Accepted
            }
            (State::Accepted, Input::TimerM) => State::Terminated,

            // A response of another class after the final one is late or a contradiction.
            (state @ State::Completed { .. }, Input::Provisional | Input::Success)
            | (state @ State::Accepted, Input::Provisional | Input::Failure { .. })
            // Nothing is sent in Accepted: the transaction user sends each ACK and sees it fail.
            | (state @ State::Accepted, Input::TransportError)
            // A timer that was stopped, or not yet set, does not fire.
            | (state @ State::Calling { .. }, Input::TimerD | Input::TimerM)
            | (state @ State::Proceeding { .. }, Input::TimerA | Input::TimerB | Input::TimerD | Input::TimerM)
            | (state @ State::Completed { .. }, Input::TimerA | Input::TimerB | Input::TimerM)
            | (state @ State::Accepted, Input::TimerA | Input::TimerB | Input::TimerD)
            // A terminated machine is removed before its next input.
            | (
                state @ State::Terminated,
                Input::Provisional
                | Input::Success
                | Input::Failure { .. }
                | Input::TransportError
                | Input::TimerA
                | Input::TimerB
                | Input::TimerD
                | Input::TimerM,
            ) => state,
        };
    }

    fn complete(&self, ack: Bytes, cx: &mut Step<'_>) -> State {
        cx.ack(&ack, false);
        cx.inform(Inform::Final);
        match self.reliability {
            Reliability::Reliable => State::Terminated,
            Reliability::Unreliable => {
                cx.set(Timer::D, cx.times.wait_d());
                State::Completed { ack }
            }
        }
    }

    fn stop_calling(&self, cx: &mut Step<'_>) {
        self.stop_retransmission(cx);
        cx.stop(Timer::B);
    }

    fn stop_retransmission(&self, cx: &mut Step<'_>) {
        if self.reliability == Reliability::Unreliable {
            cx.stop(Timer::A);
        }
    }

    /// The INVITE, while no final response has come.
    pub(crate) const fn request(&self) -> Option<&Bytes> {
        match &self.state {
            State::Calling { request, .. } | State::Proceeding { request } => Some(request),
            State::Completed { .. } | State::Accepted | State::Terminated => None,
        }
    }

    /// Whether a provisional response has come and no final one: the time to CANCEL (RFC 3261 section 9.1).
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn fingerprint(&self) -> StatePrint {
        let (state, interval, kept) = match &self.state {
            State::Calling { interval, .. } => ("Calling", *interval, true),
            State::Proceeding { .. } => ("Proceeding", Duration::ZERO, true),
            State::Completed { .. } => ("Completed", Duration::ZERO, true),
            State::Accepted => ("Accepted", Duration::ZERO, false),
            State::Terminated => ("Terminated", Duration::ZERO, false),
        };
        StatePrint {
            state: ("client INVITE", state),
            interval,
            kept,
            reliable: self.reliability == Reliability::Reliable,
        }
    }
}

fn accept(cx: &mut Step<'_>) -> State {
    cx.inform(Inform::Final);
    cx.set(Timer::M, cx.times.timeout());
    State::Accepted
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

    const INVITE: Bytes = Bytes::from_static(b"INVITE");
    const ACK: Bytes = Bytes::from_static(b"ACK");
    const OTHER_ACK: Bytes = Bytes::from_static(b"ACK for a retransmission");
    const T1: Duration = Duration::from_millis(500);
    const SECS_32: Duration = Duration::from_secs(32);

    fn states() -> Vec<State> {
        vec![
            State::Calling {
                request: INVITE,
                interval: T1,
            },
            State::Proceeding { request: INVITE },
            State::Completed { ack: ACK },
            State::Accepted,
            State::Terminated,
        ]
    }

    fn inputs() -> Vec<Input> {
        vec![
            Input::Provisional,
            Input::Success,
            Input::Failure { ack: OTHER_ACK },
            Input::TransportError,
            Input::TimerA,
            Input::TimerB,
            Input::TimerD,
            Input::TimerM,
        ]
    }

    /// The figure: what leaves a state or has an effect. Every pair that is not here changes nothing.
    fn table(reliability: Reliability) -> Vec<(State, Input, State, Vec<Effect>)> {
        use Effect::{Ack, Resend, Set, Stop};
        let [calling, proceeding, completed, accepted, terminated] = states().try_into().unwrap();
        let [
            provisional,
            success,
            failure,
            error,
            timer_a,
            timer_b,
            timer_d,
            timer_m,
        ] = inputs().try_into().unwrap();
        let inform = Effect::Inform;
        let ack = Ack {
            ack: OTHER_ACK,
            again: false,
        };
        match reliability {
            Reliability::Unreliable => {
                let next = State::Completed { ack: OTHER_ACK };
                vec![
                    (
                        calling.clone(),
                        provisional.clone(),
                        proceeding.clone(),
                        vec![Stop(Timer::A), Stop(Timer::B), inform(Inform::Provisional)],
                    ),
                    (
                        calling.clone(),
                        success.clone(),
                        accepted.clone(),
                        vec![
                            Stop(Timer::A),
                            Stop(Timer::B),
                            inform(Inform::Final),
                            Set(Timer::M, SECS_32),
                        ],
                    ),
                    (
                        calling.clone(),
                        failure.clone(),
                        next.clone(),
                        vec![
                            Stop(Timer::A),
                            Stop(Timer::B),
                            ack.clone(),
                            inform(Inform::Final),
                            Set(Timer::D, SECS_32),
                        ],
                    ),
                    (
                        calling.clone(),
                        error.clone(),
                        terminated.clone(),
                        vec![Stop(Timer::A), Stop(Timer::B), inform(Inform::TransportError)],
                    ),
                    (
                        calling.clone(),
                        timer_a,
                        State::Calling {
                            request: INVITE,
                            interval: T1 * 2,
                        },
                        vec![Resend(INVITE), Set(Timer::A, T1 * 2)],
                    ),
                    (
                        calling,
                        timer_b,
                        terminated.clone(),
                        vec![Stop(Timer::A), inform(Inform::TimedOut)],
                    ),
                    (
                        proceeding.clone(),
                        provisional,
                        proceeding.clone(),
                        vec![inform(Inform::Provisional)],
                    ),
                    (
                        proceeding.clone(),
                        success.clone(),
                        accepted.clone(),
                        vec![inform(Inform::Final), Set(Timer::M, SECS_32)],
                    ),
                    (
                        proceeding.clone(),
                        failure.clone(),
                        next,
                        vec![ack, inform(Inform::Final), Set(Timer::D, SECS_32)],
                    ),
                    (
                        proceeding,
                        error.clone(),
                        terminated.clone(),
                        vec![inform(Inform::TransportError)],
                    ),
                    // The ACK that was sent goes out again, not one made for the retransmission.
                    (
                        completed.clone(),
                        failure,
                        completed.clone(),
                        vec![Ack {
                            ack: ACK,
                            again: true,
                        }],
                    ),
                    (
                        completed.clone(),
                        error,
                        terminated.clone(),
                        vec![Stop(Timer::D), inform(Inform::TransportError)],
                    ),
                    (completed, timer_d, terminated.clone(), vec![]),
                    (
                        accepted.clone(),
                        success,
                        accepted.clone(),
                        vec![inform(Inform::Final)],
                    ),
                    (accepted, timer_m, terminated, vec![]),
                ]
            }
            Reliability::Reliable => vec![
                (
                    calling.clone(),
                    provisional.clone(),
                    proceeding.clone(),
                    vec![Stop(Timer::B), inform(Inform::Provisional)],
                ),
                (
                    calling.clone(),
                    success.clone(),
                    accepted.clone(),
                    vec![Stop(Timer::B), inform(Inform::Final), Set(Timer::M, SECS_32)],
                ),
                (
                    calling.clone(),
                    failure.clone(),
                    terminated.clone(),
                    vec![Stop(Timer::B), ack.clone(), inform(Inform::Final)],
                ),
                (
                    calling.clone(),
                    error.clone(),
                    terminated.clone(),
                    vec![Stop(Timer::B), inform(Inform::TransportError)],
                ),
                (
                    calling,
                    timer_b,
                    terminated.clone(),
                    vec![inform(Inform::TimedOut)],
                ),
                (
                    proceeding.clone(),
                    provisional,
                    proceeding.clone(),
                    vec![inform(Inform::Provisional)],
                ),
                (
                    proceeding.clone(),
                    success.clone(),
                    accepted.clone(),
                    vec![inform(Inform::Final), Set(Timer::M, SECS_32)],
                ),
                (
                    proceeding.clone(),
                    failure,
                    terminated.clone(),
                    vec![ack, inform(Inform::Final)],
                ),
                (
                    proceeding,
                    error,
                    terminated.clone(),
                    vec![inform(Inform::TransportError)],
                ),
                (
                    accepted.clone(),
                    success,
                    accepted.clone(),
                    vec![inform(Inform::Final)],
                ),
                (accepted, timer_m, terminated, vec![]),
            ],
        }
    }

    // rules: S3
    #[test]
    fn every_state_and_input() {
        for reliability in [Reliability::Unreliable, Reliability::Reliable] {
            let table = table(reliability);
            let mut used = 0;
            for state in states() {
                // Not a state at rest on a reliable transport, where timer A cannot fire either.
                if reliability == Reliability::Reliable && matches!(state, State::Completed { .. }) {
                    continue;
                }
                for input in inputs() {
                    let impossible = matches!((&state, &input), (State::Calling { .. }, Input::TimerA));
                    if reliability == Reliability::Reliable && impossible {
                        continue;
                    }
                    let row = table.iter().find(|row| row.0 == state && row.1 == input);
                    used += usize::from(row.is_some());
                    let (next, effects) =
                        row.map_or_else(|| (state.clone(), vec![]), |row| (row.2.clone(), row.3.clone()));
                    let mut machine = ClientInvite {
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
                vec![Effect::Set(Timer::A, T1), Effect::Set(Timer::B, SECS_32)],
            ),
            (Reliability::Reliable, vec![Effect::Set(Timer::B, SECS_32)]),
        ] {
            let mut effects = SmallVec::new();
            let cx = &mut Step {
                times: TimerConfig::default(),
                cells: &mut Cells::default(),
                effects: &mut effects,
            };
            let machine = ClientInvite::start(INVITE, reliability, cx);
            assert_eq!(
                machine.state,
                State::Calling {
                    request: INVITE,
                    interval: T1
                }
            );
            assert_eq!(effects.into_vec(), [vec![Effect::Send(INVITE)], timers].concat());
        }
    }

    // rules: S3
    #[test]
    fn an_unanswered_invite_is_sent_at_doubling_intervals_for_32_s() {
        for (reliability, sent) in [
            (
                Reliability::Unreliable,
                vec![0, 500, 1500, 3500, 7500, 15_500, 31_500],
            ),
            (Reliability::Reliable, vec![0]),
        ] {
            let run = testing::run(
                |cx| ClientInvite::start(INVITE, reliability, cx),
                |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
            );
            assert_eq!(run.sent, sent);
            assert_eq!(run.informed, [(32_000, Inform::TimedOut)]);
            assert!(run.machine.is_terminated());
        }
    }

    // rules: S3
    #[test]
    fn what_is_waited_for_after_a_final_response() {
        let times = [
            (Input::Success, Reliability::Unreliable, 32_000),
            (Input::Success, Reliability::Reliable, 32_000),
            (Input::Failure { ack: ACK }, Reliability::Unreliable, 32_000),
            (Input::Failure { ack: ACK }, Reliability::Reliable, 0),
        ];
        for (input, reliability, end) in times {
            let run = testing::run(
                |cx| {
                    let mut machine = ClientInvite::start(INVITE, reliability, cx);
                    machine.step(input.clone(), cx);
                    machine
                },
                |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
            );
            assert!(run.machine.is_terminated());
            assert_eq!((run.end, run.informed), (end, vec![(0, Inform::Final)]));
        }
    }
}
