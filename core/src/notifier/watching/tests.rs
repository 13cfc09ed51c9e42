use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The machine with its services, at 100 s.
struct Bench {
    services: Services,
    machine: Watching,
    operations: u64,
}

/// Every input of the table.
const INPUTS: [&str; 10] = [
    "accept",
    "accept once",
    "reject",
    "notify",
    "terminate",
    "refreshed",
    "left",
    "settled",
    "gone",
    "fired",
];

impl Bench {
    fn of(state: &str) -> Self {
        let path: &[&str] = match state {
            "offered" => &[],
            "watched" => &["accept"],
            "leaving" => &["accept", "terminate"],
            "over" => &["reject"],
            other => panic!("{other}"),
        };
        let mut services = Services::new();
        let machine = Watching::new(&mut services.cx(), WatcherId::from_number(1));
        let mut bench = Self {
            services,
            machine,
            operations: 0,
        };
        for input in path {
            bench.take(input);
        }
        bench
    }

    fn take(&mut self, input: &str) -> Vec<Effect> {
        let input = match input {
            "accept" => Input::Accept {
                granted: Some(secs(600)),
            },
            "accept once" => Input::Accept { granted: None },
            "reject" => Input::Reject,
            "notify" => Input::Notify,
            "terminate" => {
                self.operations += 1;
                Input::Terminate(OperationId::from_number(self.operations))
            }
            "refreshed" => Input::Refreshed { granted: secs(300) },
            "left" => Input::Left,
            "settled" => Input::Settled,
            "gone" => Input::Gone,
            "fired" => Input::Fired,
            other => panic!("{other}"),
        };
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        effects
    }

    fn show(&self, effects: &[Effect]) -> String {
        let print = self.machine.fingerprint(self.services.now);
        let mut shown = vec![print.state.to_string()];
        shown.extend(print.timer.map(|left| format!("{} s", left.as_secs())));
        shown.extend(effects.iter().map(|effect| match effect {
            Effect::SendNotify => "NOTIFY".into(),
            Effect::SendLast(reason) => format!("last NOTIFY ({reason:?})"),
            Effect::Refuse(code) => code.to_string(),
            Effect::Ended(reason) => format!("ended ({reason:?})"),
            Effect::Complete(operation) => format!("{operation} done"),
        }));
        shown.join(", ")
    }

    fn timers(&self) -> usize {
        let mut timers = self.services.timers.clone();
        core::iter::from_fn(|| timers.pop_due(Time::MAX)).count()
    }
}

/// What each input does in each state; what is not here does nothing.
const TABLE: &[(&str, &[(&str, &str)])] = &[
    (
        "offered",
        &[
            ("accept", "Watched, 600 s, NOTIFY"),
            ("accept once", "Leaving, last NOTIFY (Queried)"),
            ("reject", "Over, ended (Rejected)"),
            ("terminate", "Over, 480, ended (TerminatedLocally), o1 done"),
            ("fired", "Over, 500, ended (Unanswered)"),
        ],
    ),
    (
        "watched",
        &[
            ("notify", "Watched, 600 s, NOTIFY"),
            ("terminate", "Leaving, last NOTIFY (TerminatedLocally)"),
            ("refreshed", "Watched, 300 s, NOTIFY"),
            ("left", "Leaving, last NOTIFY (Unsubscribed)"),
            ("gone", "Over, ended (SubscriptionDoesNotExist)"),
            ("fired", "Leaving, last NOTIFY (Expired)"),
        ],
    ),
    (
        "leaving",
        &[
            ("terminate", "Leaving"),
            ("settled", "Over, ended (TerminatedLocally), o1 done"),
            ("gone", "Over, ended (TerminatedLocally), o1 done"),
        ],
    ),
    ("over", &[("terminate", "Over, o1 done")]),
];

// rules: B5
#[test]
fn each_input_in_each_state_does_what_the_table_says() {
    let mut wrong = Vec::new();
    for (state, row) in TABLE {
        for input in INPUTS {
            let mut bench = Bench::of(state);
            let before = (bench.show(&[]), bench.timers());
            let effects = bench.take(input);
            let shown = bench.show(&effects);
            match row.iter().find(|(known, _)| *known == input) {
                Some((_, expected)) if shown != *expected => {
                    wrong.push(format!("{state} <- {input}: {shown}, not {expected}"));
                }
                None if (&shown, bench.timers()) != (&before.0, before.1) => {
                    wrong.push(format!("{state} <- {input}: {shown}, not as it was"));
                }
                Some(_) | None => {}
            }
        }
        assert!(row.iter().all(|(input, _)| INPUTS.contains(input)));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

// rules: B5, M9
#[test]
fn a_timer_is_set_while_it_waits_for_the_application_and_while_it_lasts() {
    let offered = Bench::of("offered");
    assert_eq!(offered.show(&[]), "Offered, 32 s");
    for (state, timers) in [("offered", 1), ("watched", 1), ("leaving", 0), ("over", 0)] {
        assert_eq!(Bench::of(state).timers(), timers, "{state}");
    }
}
