use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;

struct Bench {
    services: Services,
    machine: Proposal,
}

impl Bench {
    fn of(state: &str) -> Self {
        let mut bench = Self {
            services: Services::new(),
            machine: Proposal::new(SessionId::from_number(1)),
        };
        let path: &[&str] = match state {
            "idle" => &[],
            "asked" => &["received"],
            "accepted" => &["received", "accept"],
            other => panic!("{other}"),
        };
        for input in path {
            bench.take(input);
        }
        bench
    }

    fn step(&mut self, input: Input) -> String {
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        let effects: Vec<String> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Refuse(code) => format!("{code}"),
                Effect::Withdrawn => String::from("withdrawn"),
                Effect::Repeat => String::from("repeat"),
                Effect::Unacknowledged => String::from("end"),
                Effect::Complete(operation, Ok(())) => format!("{operation} done"),
                Effect::Complete(operation, Err(OperationError::Timeout)) => format!("{operation} timeout"),
                Effect::Complete(operation, Err(OperationError::OperationFailure(why))) => {
                    format!("{operation} {why:?}")
                }
                Effect::Complete(operation, Err(error)) => panic!("{operation}: {error}"),
            })
            .collect();
        let print = self.machine.fingerprint(self.services.now);
        let left = |name: &str, left: Option<Duration>| {
            left.map_or(String::new(), |left| format!(" {name} {}", left.as_secs_f64()))
        };
        let (again, limit) = (left("again", print.again), left("limit", print.limit));
        format!("{}{again}{limit} | {}", print.state, effects.join(", "))
    }

    fn take(&mut self, input: &str) -> String {
        let accept = |acknowledged| Input::Accept {
            operation: OperationId::from_number(7),
            acknowledged,
        };
        self.step(match input {
            "received" => Input::Received,
            "accept" => accept(true),
            "accept update" => accept(false),
            "reject" => Input::Reject,
            "cancel" => Input::Cancel,
            "ack" => Input::Ack,
            "over" => Input::Over,
            "again" => Input::Fired(Timer::Again),
            "limit" => Input::Fired(Timer::Limit),
            other => panic!("{other}"),
        })
    }
}

// rules: S5, S6, S16
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let idle = "Idle | ";
    let asked = "Asked limit 32 | ";
    let accepted = "Accepted again 0.5 limit 32 | ";
    let table = [
        (
            "idle",
            vec![
                ("received", asked),
                ("accept", idle),
                ("accept update", idle),
                ("reject", idle),
                ("cancel", idle),
                ("ack", idle),
                ("over", idle),
                ("again", idle),
                ("limit", idle),
            ],
        ),
        (
            "asked",
            vec![
                ("received", asked),
                ("accept", accepted),
                ("accept update", "Idle | o7 done"),
                ("reject", idle),
                ("cancel", "Idle | 487, withdrawn"),
                ("ack", asked),
                ("over", "Idle | 487"),
                ("again", asked),
                ("limit", "Idle | 500, withdrawn"),
            ],
        ),
        (
            "accepted",
            vec![
                ("received", "Asked limit 32 | o7 done"),
                ("accept", accepted),
                ("accept update", accepted),
                ("reject", accepted),
                ("cancel", accepted),
                ("ack", "Idle | o7 done"),
                ("over", "Idle | o7 SessionTerminated"),
                ("again", "Accepted again 1 limit 32 | repeat"),
                ("limit", "Idle | o7 timeout, end"),
            ],
        ),
    ];
    for (state, rows) in table {
        for (input, expected) in rows {
            assert_eq!(Bench::of(state).take(input), expected, "{state} <- {input}");
        }
    }
}

// rules: S3, S6
#[test]
fn the_2xx_is_repeated_at_doubling_intervals_up_to_t2_until_64_times_t1() {
    let mut bench = Bench::of("accepted");
    let begun = bench.services.now;
    let mut repeated = Vec::new();
    loop {
        let (at, key) = bench.services.timers.pop_due(Time::MAX).unwrap();
        bench.services.now = at;
        let TimerKey::Session(_, crate::session::Timer::Proposal(timer)) = key else {
            panic!("{key:?}")
        };
        let said = bench.step(Input::Fired(timer));
        if timer == Timer::Limit {
            assert_eq!(said, "Idle | o7 timeout, end");
            assert_eq!(at.since(begun), Duration::from_secs(32));
            break;
        }
        repeated.push(at.since(begun).as_secs_f64());
    }
    // RFC 3261 section 13.3.1.4: T1, then doubled, up to T2.
    assert_eq!(repeated, [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]);
    assert!(bench.services.timers.is_empty());
}
