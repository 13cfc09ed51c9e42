use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use super::*;
use crate::connection::testing::Services;
use crate::event::SubscriptionReason;
use crate::ids::FromNumber;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The machine with its services, at 100 s.
struct Bench {
    services: Services,
    machine: Publishing,
    operations: u64,
}

/// Every input of the table.
const INPUTS: [&str; 9] = [
    "modify",
    "remove",
    "2xx",
    "412",
    "refused for now",
    "refused",
    "withdrawn",
    "lost",
    "fired",
];

impl Bench {
    fn of(state: &str) -> Self {
        let path: &[&str] = match state {
            "publishing" => &[],
            "published" => &["2xx"],
            "updating" => &["2xx", "modify"],
            "waiting" => &["refused for now"],
            "waiting, held" => &["2xx", "modify", "refused for now"],
            "ending" => &["remove"],
            "ending, held" => &["2xx", "modify", "remove"],
            "removing" => &["2xx", "remove"],
            "removed" => &["refused"],
            other => panic!("{other}"),
        };
        let mut bench = Self {
            services: Services::new(),
            machine: Publishing::new(PublicationId::from_number(1), OperationId::from_number(1)),
            operations: 1,
        };
        for input in path {
            bench.take(input);
        }
        bench
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        effects
    }

    fn take(&mut self, input: &str) -> Vec<Effect> {
        let mut operation = || {
            self.operations += 1;
            OperationId::from_number(self.operations)
        };
        let input = match input {
            "modify" => Input::Modify(operation()),
            "remove" => Input::Remove(operation()),
            "2xx" => Input::Accepted { granted: secs(3600) },
            "412" => Input::Stale(OperationError::Timeout),
            "refused for now" => Input::Refused(Refusal::Temporary { after: None }, OperationError::Timeout),
            "refused" => {
                let why = Refusal::Final(SubscriptionReason::Refused);
                Input::Refused(why, OperationError::Timeout)
            }
            "withdrawn" => Input::Withdrawn,
            "lost" => Input::Lost(PublicationReason::Forgotten),
            "fired" => Input::Fired,
            other => panic!("{other}"),
        };
        self.step(input)
    }

    fn show(&self, effects: &[Effect]) -> String {
        let mut shown = vec![self.machine.fingerprint(self.services.now).state.to_string()];
        shown.extend(effects.iter().map(|effect| match effect {
            Effect::Send { state: true } => "PUBLISH".into(),
            Effect::Send { state: false } => "refresh".into(),
            Effect::SendRemove => "remove".into(),
            Effect::Forget => "forget".into(),
            Effect::Hurry => "hurry".into(),
            Effect::Drop => "drop".into(),
            Effect::Changed { new, reason, .. } => format!("{new:?} ({reason:?})"),
            Effect::Complete(operation, Ok(())) => format!("{operation} ok"),
            Effect::Complete(operation, Err(OperationError::Timeout)) => format!("{operation} failed"),
            Effect::Complete(operation, Err(_)) => format!("{operation} ended"),
        }));
        shown.join(", ")
    }

    fn timers(&self) -> Vec<Duration> {
        let mut timers = self.services.timers.clone();
        let fired = core::iter::from_fn(|| timers.pop_due(Time::MAX));
        fired.map(|(at, _)| at.since(self.services.now)).collect()
    }
}

/// What each input does in each state; what is not here does nothing.
const TABLE: &[(&str, &[(&str, &str)])] = &[
    (
        "publishing",
        &[
            ("modify", "Publishing"),
            ("remove", "Ending, Removing (None), hurry"),
            ("2xx", "Published, Published (None), o1 ok"),
            ("412", "Removed, Removed (Refused), o1 failed"),
            (
                "refused for now",
                "WaitingForRetry, WaitingForRetry (TemporaryFailure), o1 failed",
            ),
            ("refused", "Removed, Removed (Refused), o1 failed"),
        ],
    ),
    (
        "published",
        &[
            ("modify", "Updating, PUBLISH"),
            ("remove", "Removing, Removing (None), remove"),
            ("lost", "Publishing, Publishing (Forgotten), forget, PUBLISH"),
            ("fired", "Updating, refresh"),
        ],
    ),
    (
        "updating",
        &[
            ("modify", "Updating"),
            ("remove", "Ending, Removing (None), hurry"),
            ("2xx", "Published, o2 ok"),
            ("412", "Publishing, Publishing (Stale), forget, PUBLISH"),
            (
                "refused for now",
                "WaitingForRetry, WaitingForRetry (TemporaryFailure), o2 failed",
            ),
            ("refused", "Removed, Removed (Refused), o2 failed"),
            (
                "lost",
                "Publishing, Publishing (Forgotten), drop, forget, PUBLISH",
            ),
        ],
    ),
    (
        "waiting",
        &[
            ("modify", "Publishing, Publishing (None), PUBLISH"),
            ("remove", "Removed, Removed (TerminatedLocally), o2 ok"),
            ("lost", "Publishing, Publishing (Forgotten), forget, PUBLISH"),
            ("fired", "Publishing, Publishing (None), PUBLISH"),
        ],
    ),
    (
        "waiting, held",
        &[
            ("modify", "Publishing, Publishing (None), PUBLISH"),
            ("remove", "Removing, Removing (None), remove"),
            ("lost", "Publishing, Publishing (Forgotten), forget, PUBLISH"),
            ("fired", "Publishing, Publishing (None), PUBLISH"),
        ],
    ),
    (
        "ending",
        &[
            ("modify", "Ending, o3 ended"),
            ("remove", "Ending"),
            ("2xx", "Removing, remove"),
            ("412", "Removed, Removed (TerminatedLocally), o1 ended, o2 ok"),
            (
                "refused for now",
                "Removed, Removed (TerminatedLocally), o1 ended, o2 ok",
            ),
            ("refused", "Removed, Removed (TerminatedLocally), o1 ended, o2 ok"),
            (
                "withdrawn",
                "Removed, Removed (TerminatedLocally), o1 ended, o2 ok",
            ),
        ],
    ),
    (
        "ending, held",
        &[
            ("modify", "Ending, o4 ended"),
            ("remove", "Ending"),
            ("2xx", "Removing, remove"),
            ("412", "Removed, Removed (TerminatedLocally), o2 ended, o3 ok"),
            ("refused for now", "Removing, remove"),
            ("refused", "Removing, remove"),
            ("withdrawn", "Removing, remove"),
        ],
    ),
    (
        "removing",
        &[
            ("modify", "Removing, o3 ended"),
            ("remove", "Removing"),
            ("2xx", "Removed, Removed (TerminatedLocally), o2 ok"),
            ("412", "Removed, Removed (TerminatedLocally), o2 ok"),
            ("refused for now", "Removed, Removed (TerminatedLocally), o2 ok"),
            ("refused", "Removed, Removed (TerminatedLocally), o2 ok"),
            ("withdrawn", "Removed, Removed (TerminatedLocally), o2 ok"),
        ],
    ),
    (
        "removed",
        &[("modify", "Removed, o2 ended"), ("remove", "Removed, o2 ok")],
    ),
];

// rules: B6
#[test]
fn each_input_in_each_state_does_what_the_table_says() {
    let mut wrong = Vec::new();
    for (state, row) in TABLE {
        assert!(row.iter().all(|(input, _)| INPUTS.contains(input)));
        for input in INPUTS {
            let mut bench = Bench::of(state);
            let before = (bench.show(&[]), bench.timers());
            let effects = bench.take(input);
            let (shown, after) = (bench.show(&effects), bench.timers());
            match row.iter().find(|(known, _)| *known == input) {
                Some((_, expected)) if shown != *expected => {
                    wrong.push(format!("{state} <- {input}: {shown}, not {expected}"));
                }
                None if (&shown, &after) != (&before.0, &before.1) => {
                    wrong.push(format!("{state} <- {input}: {shown}, not as it was"));
                }
                Some(_) | None => {}
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

// rules: B6, R4
#[test]
fn a_refresh_comes_before_the_end_and_a_retry_with_back_off() {
    let bench = Bench::of("published");
    let due = bench.timers()[0];
    assert!((secs(2430)..=secs(3240)).contains(&due), "{due:?}");
    let mut bench = Bench::of("publishing");
    for (least, most) in [(1, 2), (2, 4), (4, 8)] {
        bench.take("refused for now");
        let due = bench.timers()[0];
        assert!((secs(least)..=secs(most)).contains(&due), "{due:?}");
        bench.services.timers.pop_due(Time::MAX);
        bench.take("fired");
    }
    let after = Some(secs(90));
    bench.step(Input::Refused(
        Refusal::Temporary { after },
        OperationError::Timeout,
    ));
    assert_eq!(bench.timers(), [secs(90)]);
}
