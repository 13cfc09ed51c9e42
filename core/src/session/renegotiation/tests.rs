use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;

struct Bench {
    services: Services,
    machine: Renegotiation,
}

const WAIT: Duration = Duration::from_millis(2_500);

impl Bench {
    fn of(state: &str) -> Self {
        let mut bench = Self {
            services: Services::new(),
            machine: Renegotiation::new(SessionId::from_number(1)),
        };
        let path: &[&str] = match state {
            "idle" => &[],
            "held" => &["renegotiate, not free"],
            "sent" => &["renegotiate"],
            "sent again" => &["renegotiate", "refused for now", "again"],
            "held again" => &["renegotiate", "refused for now", "again, not free"],
            "cancelling" => &["renegotiate", "cancel"],
            "late" => &["renegotiate", "limit"],
            "waiting" => &["renegotiate", "refused for now"],
            other => panic!("{other}"),
        };
        for input in path {
            bench.take(input);
        }
        bench
    }

    fn take(&mut self, input: &str) -> String {
        let begin = |free| Input::Renegotiate {
            operation: OperationId::from_number(7),
            free,
            bounded: true,
        };
        let fired = |timer, free| Input::Fired {
            timer,
            free,
            bounded: true,
        };
        let input = match input {
            "renegotiate" => begin(true),
            "renegotiate, not free" => begin(false),
            "free" => Input::Free { bounded: true },
            "taken" => Input::Taken,
            "refused for now" => Input::Refused(OperationError::Timeout, Some(WAIT)),
            "refused" => Input::Refused(OperationError::Timeout, None),
            "cancel" => Input::Cancel,
            "over" => Input::Over,
            "again" => fired(Timer::Again, true),
            "again, not free" => fired(Timer::Again, false),
            "limit" => fired(Timer::Limit, true),
            other => panic!("{other}"),
        };
        // A timer that fires is no longer in the queue.
        if matches!(input, Input::Fired { .. }) {
            self.services.timers.pop_due(Time::MAX);
        }
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        let effects: Vec<String> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Send => String::from("send"),
                Effect::SendCancel => String::from("cancel"),
                Effect::Complete(operation, Ok(())) => format!("{operation} done"),
                Effect::Complete(operation, Err(OperationError::Timeout)) => format!("{operation} timeout"),
                Effect::Complete(operation, Err(OperationError::OperationFailure(why))) => {
                    format!("{operation} {why:?}")
                }
                Effect::Complete(operation, Err(error)) => panic!("{operation}: {error}"),
            })
            .collect();
        let print = self.machine.fingerprint(self.services.now);
        let again = if print.again { "+" } else { "" };
        let left = print
            .left
            .map_or(String::new(), |left| format!(" {}", left.as_secs_f64()));
        let set = self.services.timers.len();
        assert_eq!(
            set,
            usize::from(print.left.is_some()),
            "one timer for each that is named"
        );
        format!("{}{again}{left} | {}", print.state, effects.join(", "))
    }
}

// rules: S5, S6, S12
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let same = "=";
    let table: &[(&str, &[(&str, &str)])] = &[
        (
            "idle",
            &[
                ("renegotiate", "Sent 180 | send"),
                ("renegotiate, not free", "Held | "),
                ("free", same),
                ("taken", same),
                ("refused for now", same),
                ("refused", same),
                ("cancel", same),
                ("over", same),
                ("again", same),
                ("limit", same),
            ],
        ),
        (
            "held",
            &[
                ("renegotiate", same),
                ("free", "Sent 180 | send"),
                ("taken", same),
                ("refused for now", same),
                ("refused", same),
                ("cancel", "Idle | o7 Aborted"),
                ("over", "Idle | o7 SessionTerminated"),
                ("again", same),
                ("limit", same),
            ],
        ),
        (
            "sent",
            &[
                ("renegotiate", same),
                ("free", same),
                ("taken", "Idle | o7 done"),
                ("refused for now", "Waiting+ 2.5 | "),
                ("refused", "Idle | o7 timeout"),
                ("cancel", "Cancelling | cancel"),
                ("over", "Idle | o7 SessionTerminated"),
                ("limit", "Cancelling+ | cancel"),
            ],
        ),
        (
            "sent again",
            &[
                ("taken", "Idle | o7 done"),
                // RFC 3261 section 14.1: once more.
                ("refused for now", "Idle | o7 timeout"),
                ("refused", "Idle | o7 timeout"),
                ("cancel", "Cancelling | cancel"),
            ],
        ),
        (
            "held again",
            &[("free", "Sent+ 180 | send"), ("cancel", "Idle | o7 Aborted")],
        ),
        (
            "cancelling",
            &[
                ("renegotiate", same),
                ("free", same),
                ("taken", "Idle | o7 done"),
                ("refused for now", "Idle | o7 Aborted"),
                ("refused", "Idle | o7 Aborted"),
                ("cancel", same),
                ("over", "Idle | o7 SessionTerminated"),
                ("again", same),
                ("limit", same),
            ],
        ),
        (
            "late",
            &[("taken", "Idle | o7 done"), ("refused", "Idle | o7 timeout")],
        ),
        (
            "waiting",
            &[
                ("renegotiate", same),
                ("free", same),
                ("taken", same),
                ("refused for now", same),
                ("refused", same),
                ("cancel", "Idle | o7 Aborted"),
                ("over", "Idle | o7 SessionTerminated"),
                ("again", "Sent+ 180 | send"),
                ("again, not free", "Held+ | "),
            ],
        ),
    ];
    for (state, rows) in table {
        for (input, expected) in *rows {
            let mut bench = Bench::of(state);
            if *expected == same {
                let before = bench.machine.fingerprint(bench.services.now);
                let timers = bench.services.timers.clone();
                let said = bench.take_ignored(input);
                assert_eq!(said, "", "{state} <- {input}");
                assert_eq!(
                    bench.machine.fingerprint(bench.services.now),
                    before,
                    "{state} <- {input}"
                );
                assert_eq!(bench.services.timers.len(), timers.len(), "{state} <- {input}");
            } else {
                assert_eq!(bench.take(input), *expected, "{state} <- {input}");
            }
        }
    }
}

impl Bench {
    /// What an input that is ignored wants: nothing.
    fn take_ignored(&mut self, input: &str) -> String {
        if matches!(input, "again" | "limit") {
            let timer = if input == "again" {
                Timer::Again
            } else {
                Timer::Limit
            };
            let mut effects = Vec::new();
            let fired = Input::Fired {
                timer,
                free: true,
                bounded: true,
            };
            self.machine.step(&mut self.services.cx(), fired, &mut effects);
            return format!("{effects:?}").replace("[]", "");
        }
        let said = self.take(input);
        said.split_once("| ")
            .map(|(_, effects)| String::from(effects))
            .unwrap_or_default()
    }
}

// rules: S12
#[test]
fn an_update_and_a_session_without_a_bound_have_no_limit() {
    for (bounded, patience) in [(false, 180), (true, 0)] {
        let mut services = Services::new();
        services.config.max_connect_duration = Duration::from_secs(patience);
        let mut machine = Renegotiation::new(SessionId::from_number(1));
        let input = Input::Renegotiate {
            operation: OperationId::from_number(7),
            free: true,
            bounded,
        };
        machine.step(&mut services.cx(), input, &mut Vec::new());
        assert!(machine.is_open() && services.timers.is_empty());
    }
}

// rules: S5
#[test]
fn who_got_a_491_waits_as_rfc_3261_says() {
    let mut services = Services::new();
    for (owner, range) in [(true, 2_100..=4_000), (false, 0..=2_000)] {
        let drawn: BTreeSet<u64> = (0..20_000)
            .map(|_| u64::try_from(back_off(&mut services.cx(), owner).as_millis()).unwrap())
            .collect();
        let all: BTreeSet<u64> = range.step_by(10).collect();
        assert_eq!(drawn, all, "every step of 10 ms is drawn, and nothing else");
    }
}
