use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;
use crate::time::Time;
use crate::wire::{Message, MessageLimits};

/// The machine with its services, at 100 s.
#[derive(Clone)]
struct Bench {
    services: Services,
    machine: Invitation,
}

impl Bench {
    fn outgoing() -> Self {
        Self {
            services: Services::new(),
            machine: Invitation::outgoing(SessionId::from_number(1)),
        }
    }

    fn incoming() -> Self {
        let mut services = Services::new();
        let machine = Invitation::incoming(&mut services.cx(), SessionId::from_number(1));
        Self { services, machine }
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        effects
    }

    /// The next timer, at its time.
    fn pop(&mut self) -> Option<Timer> {
        let (at, key) = self.services.timers.pop_due(Time::MAX)?;
        self.services.now = at;
        Some(timer_of(key))
    }

    /// Lets time pass to where this timer fires; if it is not set, it fires all the same.
    fn fire(&mut self, timer: Timer) -> Vec<Effect> {
        while self.is_set(timer) {
            let Some(next) = self.pop() else { break };
            let effects = self.step(Input::Fired(next));
            if next == timer {
                return effects;
            }
        }
        self.step(Input::Fired(timer))
    }

    fn is_set(&self, timer: Timer) -> bool {
        let name = if timer == Timer::Again { "again" } else { "limit" };
        self.timers().iter().any(|set| set.starts_with(name))
    }

    fn timers(&self) -> Vec<String> {
        let mut timers = self.services.timers.clone();
        let fired = core::iter::from_fn(|| timers.pop_due(Time::MAX));
        let seconds = |at: Time| at.since(Time::ZERO).as_secs_f64();
        fired
            .map(|(at, key)| match timer_of(key) {
                Timer::Again => format!("again {}", seconds(at)),
                Timer::Limit => format!("limit {}", seconds(at)),
            })
            .collect()
    }

    fn show(&self, effects: &[Effect]) -> String {
        let print = self.machine.fingerprint(self.services.now);
        let waiting = if print.waiting == 0 {
            String::new()
        } else {
            format!(" +{}", print.waiting)
        };
        let effects: Vec<String> = effects.iter().map(show).collect();
        let timers = self.timers();
        let seen = self.machine.state();
        format!(
            "{} ({seen:?}){waiting} | {} | {}",
            print.state,
            effects.join(", "),
            timers.join(", ")
        )
    }

    /// A machine in one of the states of the table.
    fn of(state: &str) -> Self {
        let (mut bench, path): (Self, &[&str]) = match state {
            "idle" => (Self::outgoing(), &[]),
            "inviting" => (Self::outgoing(), &["establish"]),
            "alerted" => (Self::outgoing(), &["establish", "provisional"]),
            "redirecting" => (Self::outgoing(), &["establish", "redirected"]),
            "cancelling" => (Self::outgoing(), &["establish", "terminate"]),
            "answering" => (Self::outgoing(), &["establish", "2xx, offer"]),
            "offered" => (Self::incoming(), &[]),
            "accepting" => (Self::incoming(), &["accept"]),
            "connected" => (Self::outgoing(), &["establish", "2xx"]),
            "leaving" => (Self::outgoing(), &["establish", "2xx", "terminate"]),
            "disconnected" => (Self::outgoing(), &["establish", "failure"]),
            other => panic!("{other}"),
        };
        for (number, input) in (1..).zip(path) {
            bench.take(input, number);
        }
        bench
    }

    fn take(&mut self, input: &str, operation: u64) -> Vec<Effect> {
        let operation = OperationId::from_number(operation);
        self.step(match input {
            "again" => return self.fire(Timer::Again),
            "limit" => return self.fire(Timer::Limit),
            "establish" => Input::Establish(operation),
            "accept" => Input::Accept(operation),
            "decline" => Input::Decline(SessionReason::Declined),
            "answer" => Input::Answer,
            "terminate" => Input::Terminate(operation),
            "provisional" => Input::Provisional,
            "2xx" => Input::Success { offer: false },
            "2xx, offer" => Input::Success { offer: true },
            "failure" => Input::Failure(OperationError::FailureResponse(busy()), SessionReason::Busy),
            "ack" => Input::Ack,
            "bye" => Input::Bye,
            "cancel" => Input::Cancel,
            "bye done" => Input::ByeDone,
            "gone" => Input::Gone,
            "redirected" => Input::Redirected,
            "retry" => Input::Retry,
            "unanswered" => Input::Unanswered,
            other => panic!("{other}"),
        })
    }
}

fn timer_of(key: TimerKey) -> Timer {
    let TimerKey::Session(session, crate::session::Timer::Invitation(timer)) = key else {
        panic!("{key:?}")
    };
    assert_eq!(session, SessionId::from_number(1));
    timer
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::SendInvite => "INVITE".to_string(),
        Effect::SendCancel => "CANCEL".to_string(),
        Effect::SendAck => "ACK".to_string(),
        Effect::SendBye => "BYE".to_string(),
        Effect::RepeatSuccess => "2xx".to_string(),
        Effect::Refuse(status) => format!("{status}"),
        Effect::Changed { old, new, reason } => format!("{old:?}>{new:?} {reason:?}"),
        Effect::Complete(operation, Ok(())) => format!("{operation} ok"),
        Effect::Complete(operation, Err(OperationError::Timeout)) => format!("{operation} timeout"),
        Effect::Complete(operation, Err(OperationError::FailureResponse(_))) => {
            format!("{operation} refused")
        }
        Effect::Complete(
            operation,
            Err(OperationError::OperationFailure(OperationFailure::SessionTerminated)),
        ) => {
            format!("{operation} terminated")
        }
        Effect::Complete(operation, Err(error)) => format!("{operation} {error:?}"),
    }
}

fn busy() -> alloc::boxed::Box<Message> {
    let text = "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n\
                From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\n\
                CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    Message::parse(Bytes::from(text), &MessageLimits::default())
        .unwrap()
        .into()
}

const INPUTS: [&str; 19] = [
    "establish",
    "accept",
    "decline",
    "answer",
    "terminate",
    "provisional",
    "2xx",
    "2xx, offer",
    "failure",
    "ack",
    "bye",
    "cancel",
    "bye done",
    "gone",
    "unanswered",
    "redirected",
    "retry",
    "again",
    "limit",
];

/// For each state, with its timers, what follows every input: the next state, the effects in order and the timers. `=`
/// stands for no change and no effect. The operations before are o1 and so on, the one of the input o9; the last input
/// before was at 100 s, T1 is 500 ms and the time to connect 180 s.
#[rustfmt::skip]
const TABLE: [(&str, [(&str, &str); 19]); 11] = [
    ("idle", [
        ("establish", "Inviting (Connecting) | INVITE, Idle>Connecting None | limit 280"),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Disconnected (Disconnected) | Idle>Disconnected TerminatedLocally, o9 ok | "),
        ("provisional", "="),
        ("2xx", "="),
        ("2xx, offer", "="),
        ("failure", "="),
        ("ack", "="),
        ("bye", "="),
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "="),
        ("again", "="),
        ("limit", "="),
    ]),
    ("inviting", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Cancelling (Connecting) +1 | CANCEL | "),
        ("provisional", "Inviting (Alerted) | Connecting>Alerted ProvisionalResponseReceived | limit 280"),
        // RFC 3261 section 13.2.2.4.
        ("2xx", "Connected (Connected) | ACK, Connecting>Connected None, o1 ok | "),
        // The peer repeats its 2xx for 64*T1.
        ("2xx, offer", "Answering (Connecting) |  | limit 132"),
        ("failure", "Disconnected (Disconnected) | Connecting>Disconnected Busy, o1 refused | "),
        ("ack", "="),
        // RFC 3261 section 15: a callee sends none in an early dialog.
        ("bye", "="),
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "Redirecting (Redirecting) | Connecting>Redirecting None | limit 280"),
        ("retry", "="),
        ("again", "="),
        // S12.
        ("limit", "Cancelling (Connecting) | CANCEL | "),
    ]),
    ("alerted", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Cancelling (Alerted) +1 | CANCEL | "),
        ("provisional", "="),
        ("2xx", "Connected (Connected) | ACK, Alerted>Connected None, o1 ok | "),
        ("2xx, offer", "Answering (Connecting) | Alerted>Connecting None | limit 132"),
        ("failure", "Disconnected (Disconnected) | Alerted>Disconnected Busy, o1 refused | "),
        ("ack", "="),
        ("bye", "="),
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "Redirecting (Redirecting) | Alerted>Redirecting None | limit 280"),
        ("retry", "="),
        ("again", "="),
        ("limit", "Cancelling (Alerted) | CANCEL | "),
    ]),
    ("redirecting", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Disconnected (Disconnected) | Redirecting>Disconnected TerminatedLocally, o1 terminated, o9 ok | "),
        ("provisional", "="),
        ("2xx", "="),
        ("2xx, offer", "="),
        ("failure", "Disconnected (Disconnected) | Redirecting>Disconnected Busy, o1 refused | "),
        ("ack", "="),
        ("bye", "="),
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "Inviting (Connecting) | INVITE, Redirecting>Connecting None | limit 280"),
        ("again", "="),
        ("limit", "Disconnected (Disconnected) | Redirecting>Disconnected Timeout, o1 timeout | "),
    ]),
    ("cancelling", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Cancelling (Connecting) +2 |  | "),
        ("provisional", "="),
        // S10: the race ends in ACK and BYE.
        ("2xx", "Leaving (Connecting) +1 | ACK, BYE | "),
        ("2xx, offer", "Leaving (Connecting) +1 | ACK, BYE | "),
        ("failure", "Disconnected (Disconnected) | Connecting>Disconnected TerminatedLocally, o1 terminated, o2 ok | "),
        ("ack", "="),
        ("bye", "="),
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "="),
        ("again", "="),
        ("limit", "="),
    ]),
    ("answering", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "Connected (Connected) | ACK, Connecting>Connected None, o1 ok | "),
        ("terminate", "Leaving (Connecting) +1 | ACK, BYE | "),
        ("provisional", "="),
        ("2xx", "="),
        ("2xx, offer", "="),
        ("failure", "="),
        ("ack", "="),
        // The peer repeats its 2xx until it is acknowledged, whatever became of the session.
        ("bye", "Disconnected (Disconnected) | ACK, Connecting>Disconnected TerminatedRemotely, o1 terminated | "),
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "="),
        ("again", "="),
        // X3: complete in bounded time.
        ("limit", "Leaving (Connecting) | ACK, BYE | "),
    ]),
    ("offered", [
        ("establish", "="),
        // RFC 3261 section 13.3.1.4: again after T1, no more after 64*T1.
        ("accept", "Accepting (Connecting) | Incoming>Connecting None | again 100.5, limit 132"),
        ("decline", "Disconnected (Disconnected) | Incoming>Disconnected Declined | "),
        ("answer", "="),
        ("terminate", "Disconnected (Disconnected) | 480, Incoming>Disconnected TerminatedLocally, o9 ok | "),
        ("provisional", "="),
        ("2xx", "="),
        ("2xx, offer", "="),
        ("failure", "="),
        ("ack", "="),
        // RFC 3261 section 15.1.2.
        ("bye", "Disconnected (Disconnected) | 487, Incoming>Disconnected TerminatedRemotely | "),
        // RFC 3261 section 9.2.
        ("cancel", "Disconnected (Disconnected) | 487, Incoming>Disconnected Canceled | "),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "="),
        ("again", "="),
        ("limit", "Disconnected (Disconnected) | 480, Incoming>Disconnected Timeout | "),
    ]),
    ("accepting", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        // RFC 3261 section 15: no BYE before the ACK.
        ("terminate", "Accepting (Connecting) +1 |  | again 100.5, limit 132"),
        ("provisional", "="),
        ("2xx", "="),
        ("2xx, offer", "="),
        ("failure", "="),
        ("ack", "Connected (Connected) | Connecting>Connected None, o1 ok | "),
        ("bye", "Disconnected (Disconnected) | Connecting>Disconnected TerminatedRemotely, o1 terminated | "),
        // RFC 3261 section 9.2: no effect after the final response.
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "="),
        ("again", "Accepting (Connecting) | 2xx | again 101.5, limit 132"),
        ("limit", "Leaving (Connecting) | BYE | "),
    ]),
    ("connected", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Leaving (Connected) +1 | BYE | "),
        ("provisional", "="),
        // RFC 3261 section 13.2.2.4: an ACK for each.
        ("2xx", "Connected (Connected) | ACK | "),
        ("2xx, offer", "Connected (Connected) | ACK | "),
        ("failure", "="),
        ("ack", "="),
        ("bye", "Disconnected (Disconnected) | Connected>Disconnected TerminatedRemotely | "),
        ("cancel", "="),
        ("bye done", "="),
        // RFC 3261 section 12.2.1.2.
        ("gone", "Disconnected (Disconnected) | Connected>Disconnected SessionDoesNotExist | "),
        ("unanswered", "Leaving (Connected) | BYE | "),
        ("redirected", "="),
        ("retry", "="),
        ("again", "="),
        ("limit", "="),
    ]),
    ("leaving", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Leaving (Connected) +2 |  | "),
        ("provisional", "="),
        ("2xx", "Leaving (Connected) +1 | ACK | "),
        ("2xx, offer", "Leaving (Connected) +1 | ACK | "),
        ("failure", "="),
        ("ack", "="),
        ("bye", "="),
        ("cancel", "="),
        ("bye done", "Disconnected (Disconnected) | Connected>Disconnected TerminatedLocally, o3 ok | "),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "="),
        ("again", "="),
        ("limit", "="),
    ]),
    ("disconnected", [
        ("establish", "="),
        ("accept", "="),
        ("decline", "="),
        ("answer", "="),
        ("terminate", "Disconnected (Disconnected) | o9 ok | "),
        ("provisional", "="),
        ("2xx", "="),
        ("2xx, offer", "="),
        ("failure", "="),
        ("ack", "="),
        ("bye", "="),
        ("cancel", "="),
        ("bye done", "="),
        ("gone", "="),
        ("unanswered", "="),
        ("redirected", "="),
        ("retry", "="),
        ("again", "="),
        ("limit", "="),
    ]),
];

// rules: S1, S2, S3, S10, S12, X3
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    for (state, rows) in TABLE {
        for (input, (named, expected)) in INPUTS.into_iter().zip(rows) {
            assert_eq!(input, named, "the next row of {state}");
            let mut bench = Bench::of(state);
            let before = bench.show(&[]);
            let effects = bench.take(input, 9);
            let expected = if expected == "=" {
                before.as_str()
            } else {
                expected
            };
            assert_eq!(bench.show(&effects), expected, "{state}, {input}");
        }
    }
}

fn after(state: &str, inputs: &[&str]) -> String {
    let mut bench = Bench::of(state);
    let effects: Vec<Effect> = (9..)
        .zip(inputs)
        .flat_map(|(number, input)| bench.take(input, number))
        .collect();
    bench.show(&effects)
}

// rules: S10, S12, X3
#[test]
fn a_session_that_is_ended_early_ends_in_order() {
    let cases: &[(&str, &[&str], &str)] = &[
        // The CANCEL/2xx race.
        (
            "cancelling",
            &["2xx", "bye done"],
            "Disconnected (Disconnected) | ACK, BYE, Connecting>Disconnected TerminatedLocally, o1 terminated, o2 ok | ",
        ),
        // Both BYEs cross.
        (
            "leaving",
            &["bye", "bye done"],
            "Disconnected (Disconnected) | Connected>Disconnected TerminatedLocally, o3 ok | ",
        ),
        (
            "inviting",
            &["limit", "failure"],
            "Disconnected (Disconnected) | CANCEL, Connecting>Disconnected Timeout, o1 timeout | ",
        ),
        (
            "alerted",
            &["limit", "2xx", "bye done"],
            "Disconnected (Disconnected) | CANCEL, ACK, BYE, Alerted>Disconnected Timeout, o1 timeout | ",
        ),
        (
            "answering",
            &["limit", "bye done"],
            "Disconnected (Disconnected) | ACK, BYE, Connecting>Disconnected Timeout, o1 timeout | ",
        ),
        (
            "answering",
            &["terminate", "2xx", "bye done"],
            "Disconnected (Disconnected) | ACK, BYE, ACK, Connecting>Disconnected TerminatedLocally, o1 terminated, \
             o9 ok | ",
        ),
        // RFC 3261 section 15: the callee's BYE waits for the ACK, or for the end of its transaction.
        (
            "accepting",
            &["terminate", "ack", "bye done"],
            "Disconnected (Disconnected) | BYE, Connecting>Disconnected TerminatedLocally, o1 terminated, o9 ok | ",
        ),
        (
            "accepting",
            &["limit", "terminate", "bye done"],
            "Disconnected (Disconnected) | BYE, Connecting>Disconnected Timeout, o1 timeout, o10 ok | ",
        ),
        (
            "accepting",
            &["terminate", "bye"],
            "Disconnected (Disconnected) | Connecting>Disconnected TerminatedRemotely, o1 terminated, o9 ok | ",
        ),
        (
            "accepting",
            &["ack", "ack", "cancel"],
            "Connected (Connected) | Connecting>Connected None, o1 ok | ",
        ),
    ];
    for (state, inputs, expected) in cases {
        assert_eq!(after(state, inputs), *expected, "{state}, {inputs:?}");
    }
}

// rules: S3
#[test]
fn a_2xx_is_repeated_at_doubling_intervals_up_to_t2_until_64_times_t1() {
    let mut bench = Bench::of("accepting");
    let mut sent = Vec::new();
    loop {
        let timer = bench.pop().unwrap();
        let effects = bench.step(Input::Fired(timer));
        let at = bench.services.now.since(Time::from_secs(100)).as_millis();
        if effects == [Effect::SendBye] {
            assert_eq!(at, 32_000);
            break;
        }
        assert_eq!(effects, [Effect::RepeatSuccess]);
        sent.push(at);
    }
    assert_eq!(
        sent,
        [
            500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert!(bench.services.timers.is_empty());
}

// rules: S12
#[test]
fn the_time_to_connect_can_be_unbounded() {
    for mut bench in [Bench::outgoing(), Bench::incoming()] {
        let incoming = bench.machine.state() == SessionState::Incoming;
        assert_eq!(bench.services.timers.len(), usize::from(incoming));
        bench.services.timers = crate::timers::Timers::default();
        bench.services.config.max_connect_duration = Duration::ZERO;
        if incoming {
            Invitation::incoming(&mut bench.services.cx(), SessionId::from_number(1));
        } else {
            bench.take("establish", 1);
        }
        assert!(bench.services.timers.is_empty());
    }
}

#[test]
fn a_machine_that_is_dropped_leaves_no_timer() {
    for (state, _) in TABLE {
        let mut bench = Bench::of(state);
        bench.machine.stop(&mut bench.services.cx());
        assert!(bench.services.timers.is_empty(), "{state}");
        assert_eq!(bench.machine.state(), SessionState::Disconnected);
    }
}

#[test]
fn fingerprints_tell_states_apart_and_nothing_else() {
    let print = |bench: &Bench| bench.machine.fingerprint(bench.services.now);
    let all: Vec<_> = TABLE.iter().map(|(state, _)| print(&Bench::of(state))).collect();
    for one in &all {
        assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{one:?}");
    }
    // Another operation, an hour later.
    let mut later = Bench::outgoing();
    later.services.now = Time::from_secs(3700);
    later.take("establish", 70);
    assert_eq!(print(&later), print(&Bench::of("inviting")));
}

proptest! {
    // rules: S1, S10, X3
    #[test]
    fn whatever_happens_every_operation_completes_once_and_the_end_is_the_end(
        incoming: bool,
        inputs in proptest::collection::vec(0..INPUTS.len(), 0..40),
    ) {
        let mut bench = if incoming { Bench::incoming() } else { Bench::outgoing() };
        let mut seen = bench.machine.state();
        // What the network still owes us.
        let mut owed: BTreeMap<&str, bool> = BTreeMap::new();
        let (mut asked, mut completed) = (vec![], vec![]);
        let mut inputs: Vec<&str> = inputs.into_iter().map(|input| INPUTS[input]).collect();
        // At the end the application leaves, and what is under way is answered or times out.
        inputs.extend(["terminate", "failure", "limit", "bye done"]);
        for (number, input) in (1..).zip(inputs) {
            let state = bench.machine.state();
            let legal = match input {
                "establish" => state == SessionState::Idle,
                "accept" | "decline" => state == SessionState::Incoming,
                "answer" => matches!(bench.machine.machine_state(), State::Answering { .. }),
                "failure" if state == SessionState::Redirecting => true,
                "2xx" | "2xx, offer" | "failure" => owed.get("INVITE") == Some(&true),
                "redirected" => matches!(bench.machine.machine_state(), State::Inviting { .. }),
                "retry" => state == SessionState::Redirecting,
                "bye done" => owed.get("BYE") == Some(&true),
                "again" => bench.is_set(Timer::Again),
                "limit" => bench.is_set(Timer::Limit),
                _ => true,
            };
            if !legal {
                continue;
            }
            match input {
                "establish" | "accept" | "terminate" => asked.push(OperationId::from_number(number)),
                "2xx" | "2xx, offer" | "failure" | "redirected" => {
                    owed.insert("INVITE", false);
                }
                _ => {}
            }
            for effect in bench.take(input, number) {
                match effect {
                    Effect::Complete(operation, _) => completed.push(operation),
                    _ if state == SessionState::Disconnected => prop_assert!(false, "{effect:?} after the end"),
                    Effect::Changed { old, new, .. } => {
                        prop_assert_eq!(old, seen);
                        prop_assert_ne!(old, new);
                        seen = new;
                    }
                    // One after the other, where it is redirected.
                    Effect::SendInvite => prop_assert_ne!(owed.insert("INVITE", true), Some(true)),
                    Effect::SendBye => prop_assert_eq!(owed.insert("BYE", true), None),
                    Effect::SendCancel => prop_assert_eq!(owed.insert("CANCEL", true), None),
                    Effect::SendAck | Effect::RepeatSuccess | Effect::Refuse(_) => {}
                }
            }
            prop_assert_eq!(bench.machine.state(), seen);
        }
        asked.sort_unstable();
        completed.sort_unstable();
        prop_assert_eq!(asked, completed);
        prop_assert_eq!(seen, SessionState::Disconnected);
        prop_assert!(bench.services.timers.is_empty());
    }
}
