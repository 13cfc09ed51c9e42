//! The INVITE server transaction: RFC 3261 section 17.2.1 with the Accepted state of RFC 6026 section 7.1.
//!
//! ```text
//!                      INVITE
//!                      pass to TU, set Trying
//!                             |
//!                             v
//!         INVITE      +---------------+   1xx from TU
//!         resend 1xx+>|               |-- send it ------+
//!                   +-|  Proceeding   |<----------------+
//!     Trying fires  +>|               |
//!     tell TU to    +-|               |<-+ transport error
//!     send a 100      +---------------+--+ inform TU
//!       300-699 from TU   |       |   2xx from TU
//!       send it, set G,H  |       |   send it, set L
//!             +-----------+       +-----------+
//!             v                               v
//!     +---------------+                +---------------+
//!     |   Completed   |--+             |   Accepted    |--+ INVITE: nothing
//!     |               |<-+             |               |  | ACK: pass to TU
//!     +---------------+ INVITE or      |               |  | 2xx from TU: send it
//!         |     |       G fires:       |               |<-+ transport error: inform TU
//!         |     |       resend;        +---------------+
//!         |     |       transport            |
//!         | ACK | error: inform TU           | L fires
//!         |     | H fires: inform TU         |
//!         v     +------------------------+   |
//!     +---------------+                  |   |
//!     |   Confirmed   | I fires          v   v
//!     |               |-----------> [ Terminated ]
//!     +---------------+
//! ```
//!
//! On a reliable transport there is no timer G, and timer I is zero: Confirmed is passed through within the step.
//!
//! A transport error ends nothing (RFC 6026 section 7.1): the transaction goes on absorbing the request that it has
//! served. Timer H informs the user of the failure as the text of RFC 3261 section 17.2.1 has it.

use bytes::Bytes;
use core::mem;
use core::time::Duration;

use super::machine::{Inform, Reliability, StatePrint, Step, Timer, TimerConfig};
use crate::cx::visit;
use crate::wire::StatusCode;

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Proceeding {
        /// The last provisional response, once there was one.
        response: Option<Bytes>,
    },
    Completed {
        response: Bytes,
        /// The running value of timer G.
        interval: Duration,
    },
    Confirmed,
    Accepted,
    Terminated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The INVITE has come once more.
    Invite,
    /// An ACK that belongs to the INVITE.
    Ack,
    /// The user sends a 1xx response.
    Provisional(Bytes),
    /// The user sends a 2xx response, for the first time or again.
    Success(Bytes),
    /// The user sends a 300-699 response.
    Failure(Bytes),
    /// A response could not be sent by any way.
    TransportError,
    TimerTrying,
    TimerG,
    TimerH,
    TimerI,
    TimerL,
}

impl Input {
    pub(crate) const fn response(status: StatusCode, response: Bytes) -> Self {
        if status.is_failure() {
            Self::Failure(response)
        } else if status.is_success() {
            Self::Success(response)
        } else {
            Self::Provisional(response)
        }
    }

    /// `None` for the timers of other machines.
    pub(crate) const fn fired(timer: Timer) -> Option<Self> {
        match timer {
            Timer::Trying => Some(Self::TimerTrying),
            Timer::G => Some(Self::TimerG),
            Timer::H => Some(Self::TimerH),
            Timer::I => Some(Self::TimerI),
            Timer::L => Some(Self::TimerL),
            Timer::A | Timer::B | Timer::D | Timer::E | Timer::F | Timer::J | Timer::K | Timer::M => None,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInvite {
    state: State,
    reliability: Reliability,
}

impl ServerInvite {
    pub(crate) fn start(reliability: Reliability, cx: &mut Step<'_>) -> Self {
        cx.set(Timer::Trying, TimerConfig::TRYING);
        Self {
            state: State::Proceeding { response: None },
            reliability,
        }
    }

    pub(crate) fn step(&mut self, input: Input, cx: &mut Step<'_>) {
        visit!(cx, self.state, input);
        self.state = match (mem::replace(&mut self.state, State::Terminated), input) {
            (State::Proceeding { response: Some(response) }, Input::Invite) => {
                cx.resend(&response);
                State::Proceeding { response: Some(response) }
            }
            (State::Proceeding { response: last }, Input::Provisional(response)) => {
                stop_trying(last.as_ref(), cx);
                cx.send(response.clone());
                State::Proceeding { response: Some(response) }
            }
            (State::Proceeding { response: last }, Input::Success(response)) => {
                stop_trying(last.as_ref(), cx);
                cx.send(response);
                cx.set(Timer::L, cx.times.timeout());
                State::Accepted
            }
            (State::Proceeding { response: last }, Input::Failure(response)) => {
                stop_trying(last.as_ref(), cx);
                cx.send(response.clone());
                if self.reliability == Reliability::Unreliable {
                    cx.set(Timer::G, cx.times.t1);
                }
                cx.set(Timer::H, cx.times.timeout());
                State::Completed { response, interval: cx.times.t1 }
            }
            (state @ State::Proceeding { response: None }, Input::TimerTrying) => {
                cx.inform(Inform::SendTrying);
                state
            }

            (State::Completed { response, interval }, Input::Invite) => {
                cx.resend(&response);
                State::Completed { response, interval }
            }
            (State::Completed { .. }, Input::Ack) => {
                self.stop_retransmission(cx);
                cx.stop(Timer::H);
                match self.reliability {
                    Reliability::Reliable => State::Terminated,
                    Reliability::Unreliable => {
                        cx.set(Timer::I, cx.times.t4);
                        State::Confirmed
                    }
                }
            }
            (State::Completed { response, interval }, Input::TimerG) => {
                let interval = cx.times.doubled(interval);
                cx.resend(&response);
                cx.set(Timer::G, interval);
                State::Completed { response, interval }
            }
            (State::Completed { .. }, Input::TimerH) => {
                self.stop_retransmission(cx);
                cx.inform(Inform::TimedOut);
                State::Terminated
            }

            (State::Confirmed, Input::TimerI) => State::Terminated,

            (State::Accepted, Input::Ack) => {
                cx.inform(Inform::Ack);
                State::Accepted
            }
            (State::Accepted, Input::Success(response)) => {
                cx.resend(&response);
                State::Accepted
            }
            (State::Accepted, Input::TimerL) => State::Terminated,

            (
                state @ (State::Proceeding { .. } | State::Completed { .. } | State::Accepted),
                Input::TransportError,
            ) => {
                cx.inform(Inform::TransportError);
                state
            }

            // There is nothing to answer with yet; timer Trying sees to it.
            (state @ State::Proceeding { response: None }, Input::Invite)
            // No final response has gone out that this could acknowledge.
            | (state @ State::Proceeding { .. }, Input::Ack)
            // The final response has been chosen; the user's later ones are discarded.
            | (
                state @ (State::Completed { .. } | State::Confirmed),
                Input::Provisional(_) | Input::Success(_) | Input::Failure(_),
            )
            | (state @ State::Accepted, Input::Provisional(_) | Input::Failure(_))
            // The user retransmits a 2xx, not this machine (RFC 3261 section 13.3.1.4).
            | (state @ State::Accepted, Input::Invite)
            // Confirmed is there to absorb these, and it sends nothing.
            | (state @ State::Confirmed, Input::Invite | Input::Ack | Input::TransportError)
            // A timer that was stopped, or not yet set, does not fire.
            | (state @ State::Proceeding { response: Some(_) }, Input::TimerTrying)
            | (state @ State::Proceeding { .. }, Input::TimerG | Input::TimerH | Input::TimerI | Input::TimerL)
            | (state @ State::Completed { .. }, Input::TimerTrying | Input::TimerI | Input::TimerL)
            | (state @ State::Confirmed, Input::TimerTrying | Input::TimerG | Input::TimerH | Input::TimerL)
            | (state @ State::Accepted, Input::TimerTrying | Input::TimerG | Input::TimerH | Input::TimerI)
            // A terminated machine is removed before its next input.
            | (
                state @ State::Terminated,
                Input::Invite
                | Input::Ack
                | Input::Provisional(_)
                | Input::Success(_)
                | Input::Failure(_)
                | Input::TransportError
                | Input::TimerTrying
                | Input::TimerG
                | Input::TimerH
                | Input::TimerI
                | Input::TimerL,
            ) => state,
        };
    }

    fn stop_retransmission(&self, cx: &mut Step<'_>) {
        if self.reliability == Reliability::Unreliable {
            cx.stop(Timer::G);
        }
    }

    /// Whether the user may still choose the final response.
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    pub(crate) const fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted)
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn fingerprint(&self) -> StatePrint {
        let (state, interval, kept) = match &self.state {
            State::Proceeding { response } => ("Proceeding", Duration::ZERO, response.is_some()),
            State::Completed { interval, .. } => ("Completed", *interval, true),
            State::Confirmed => ("Confirmed", Duration::ZERO, false),
            State::Accepted => ("Accepted", Duration::ZERO, false),
            State::Terminated => ("Terminated", Duration::ZERO, false),
        };
        StatePrint {
            state: ("server INVITE", state),
            interval,
            kept,
            reliable: self.reliability == Reliability::Reliable,
        }
    }
}

/// The first response ends the wait for one.
fn stop_trying(last: Option<&Bytes>, cx: &mut Step<'_>) {
    if last.is_none() {
        cx.stop(Timer::Trying);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use smallvec::SmallVec;

    use super::super::machine::Effect;
    use super::super::testing;
    use super::*;
    use crate::cells::Cells;

    const RINGING: Bytes = Bytes::from_static(b"180");
    const PROGRESS: Bytes = Bytes::from_static(b"183");
    const OK: Bytes = Bytes::from_static(b"200");
    const BUSY: Bytes = Bytes::from_static(b"486");
    const DECLINE: Bytes = Bytes::from_static(b"603");
    const T1: Duration = Duration::from_millis(500);
    const T2: Duration = Duration::from_secs(4);
    const T4: Duration = Duration::from_secs(5);
    const SECS_32: Duration = Duration::from_secs(32);

    fn completed(interval: Duration) -> State {
        State::Completed {
            response: BUSY,
            interval,
        }
    }

    fn states() -> Vec<State> {
        vec![
            State::Proceeding { response: None },
            State::Proceeding {
                response: Some(RINGING),
            },
            completed(T1),
            completed(T2),
            State::Confirmed,
            State::Accepted,
            State::Terminated,
        ]
    }

    fn inputs() -> Vec<Input> {
        vec![
            Input::Invite,
            Input::Ack,
            Input::Provisional(PROGRESS),
            Input::Success(OK),
            Input::Failure(DECLINE),
            Input::TransportError,
            Input::TimerTrying,
            Input::TimerG,
            Input::TimerH,
            Input::TimerI,
            Input::TimerL,
        ]
    }

    /// The figure: what leaves a state or has an effect. Every pair that is not here changes nothing.
    fn table(reliability: Reliability) -> Vec<(State, Input, State, Vec<Effect>)> {
        use Effect::{Resend, Send, Set, Stop};
        let inform = Effect::Inform;
        let new = State::Proceeding { response: None };
        let ringing = State::Proceeding {
            response: Some(RINGING),
        };
        let progress = State::Proceeding {
            response: Some(PROGRESS),
        };
        let declined = State::Completed {
            response: DECLINE,
            interval: T1,
        };
        let error = vec![inform(Inform::TransportError)];
        let set_l = Set(Timer::L, SECS_32);
        let mut rows = vec![
            (
                new.clone(),
                Input::TimerTrying,
                new.clone(),
                vec![inform(Inform::SendTrying)],
            ),
            (
                new.clone(),
                Input::Provisional(PROGRESS),
                progress.clone(),
                vec![Stop(Timer::Trying), Send(PROGRESS)],
            ),
            (
                new.clone(),
                Input::Success(OK),
                State::Accepted,
                vec![Stop(Timer::Trying), Send(OK), set_l.clone()],
            ),
            (new.clone(), Input::TransportError, new.clone(), error.clone()),
            (
                ringing.clone(),
                Input::Invite,
                ringing.clone(),
                vec![Resend(RINGING)],
            ),
            (
                ringing.clone(),
                Input::Provisional(PROGRESS),
                progress,
                vec![Send(PROGRESS)],
            ),
            (
                ringing.clone(),
                Input::Success(OK),
                State::Accepted,
                vec![Send(OK), set_l],
            ),
            (
                ringing.clone(),
                Input::TransportError,
                ringing.clone(),
                error.clone(),
            ),
            (
                State::Accepted,
                Input::Ack,
                State::Accepted,
                vec![inform(Inform::Ack)],
            ),
            (
                State::Accepted,
                Input::Success(OK),
                State::Accepted,
                vec![Resend(OK)],
            ),
            (
                State::Accepted,
                Input::TransportError,
                State::Accepted,
                error.clone(),
            ),
            (State::Accepted, Input::TimerL, State::Terminated, vec![]),
        ];
        rows.extend([
            (completed(T1), Input::Invite, completed(T1), vec![Resend(BUSY)]),
            (completed(T1), Input::TransportError, completed(T1), error.clone()),
        ]);
        match reliability {
            Reliability::Unreliable => {
                let timers = vec![Set(Timer::G, T1), Set(Timer::H, SECS_32)];
                rows.extend([
                    (
                        new,
                        Input::Failure(DECLINE),
                        declined.clone(),
                        [vec![Stop(Timer::Trying), Send(DECLINE)], timers.clone()].concat(),
                    ),
                    (
                        ringing,
                        Input::Failure(DECLINE),
                        declined,
                        [vec![Send(DECLINE)], timers].concat(),
                    ),
                    (
                        completed(T1),
                        Input::TimerG,
                        completed(T1 * 2),
                        vec![Resend(BUSY), Set(Timer::G, T1 * 2)],
                    ),
                    (
                        completed(T2),
                        Input::TimerG,
                        completed(T2),
                        vec![Resend(BUSY), Set(Timer::G, T2)],
                    ),
                    (completed(T2), Input::Invite, completed(T2), vec![Resend(BUSY)]),
                    (completed(T2), Input::TransportError, completed(T2), error),
                    (State::Confirmed, Input::TimerI, State::Terminated, vec![]),
                ]);
                for interval in [T1, T2] {
                    rows.extend([
                        (
                            completed(interval),
                            Input::Ack,
                            State::Confirmed,
                            vec![Stop(Timer::G), Stop(Timer::H), Set(Timer::I, T4)],
                        ),
                        (
                            completed(interval),
                            Input::TimerH,
                            State::Terminated,
                            vec![Stop(Timer::G), inform(Inform::TimedOut)],
                        ),
                    ]);
                }
            }
            Reliability::Reliable => rows.extend([
                (
                    new,
                    Input::Failure(DECLINE),
                    declined.clone(),
                    vec![Stop(Timer::Trying), Send(DECLINE), Set(Timer::H, SECS_32)],
                ),
                (
                    ringing,
                    Input::Failure(DECLINE),
                    declined,
                    vec![Send(DECLINE), Set(Timer::H, SECS_32)],
                ),
                (completed(T1), Input::Ack, State::Terminated, vec![Stop(Timer::H)]),
                (
                    completed(T1),
                    Input::TimerH,
                    State::Terminated,
                    vec![inform(Inform::TimedOut)],
                ),
            ]),
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
                    // On a reliable transport there is no timer G, so its interval stays, and Confirmed is no state
                    // at rest.
                    let impossible =
                        state == completed(T2) || state == State::Confirmed || input == Input::TimerG;
                    if reliability == Reliability::Reliable && impossible {
                        continue;
                    }
                    let row = table.iter().find(|row| row.0 == state && row.1 == input);
                    used += usize::from(row.is_some());
                    let (next, effects) =
                        row.map_or_else(|| (state.clone(), vec![]), |row| (row.2.clone(), row.3.clone()));
                    let mut machine = ServerInvite {
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
    fn starting_waits_200_ms_for_the_first_response() {
        let run = testing::run(
            |cx| ServerInvite::start(Reliability::Reliable, cx),
            |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
        );
        assert_eq!(run.informed, [(200, Inform::SendTrying)]);
        assert_eq!(run.machine.state, State::Proceeding { response: None });
    }

    // rules: S3
    #[test]
    fn an_unacknowledged_failure_is_sent_at_the_times_of_the_rfc_for_32_s() {
        let unreliable = vec![
            0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ];
        for (reliability, sent) in [
            (Reliability::Unreliable, unreliable),
            (Reliability::Reliable, vec![0]),
        ] {
            let run = testing::run(
                |cx| {
                    let mut machine = ServerInvite::start(reliability, cx);
                    machine.step(Input::Failure(BUSY), cx);
                    machine
                },
                |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
            );
            assert_eq!(run.sent, sent);
            assert_eq!(run.informed, [(32_000, Inform::TimedOut)]);
            assert!(run.machine.is_terminated());
        }
    }

    // rules: S3
    #[test]
    fn what_is_waited_for_after_the_end() {
        let times = [
            (
                vec![Input::Failure(BUSY), Input::Ack],
                Reliability::Unreliable,
                5_000,
            ),
            (vec![Input::Failure(BUSY), Input::Ack], Reliability::Reliable, 0),
            (vec![Input::Success(OK)], Reliability::Unreliable, 32_000),
            (vec![Input::Success(OK)], Reliability::Reliable, 32_000),
        ];
        for (inputs, reliability, end) in times {
            let run = testing::run(
                |cx| {
                    let mut machine = ServerInvite::start(reliability, cx);
                    for input in inputs.clone() {
                        machine.step(input, cx);
                    }
                    machine
                },
                |machine, timer, cx| machine.step(Input::fired(timer).unwrap(), cx),
            );
            assert!(run.machine.is_terminated());
            assert_eq!((run.end, run.sent, run.informed), (end, vec![0], vec![]));
        }
    }
}
