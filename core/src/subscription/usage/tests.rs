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
#[derive(Clone)]
struct Bench {
    services: Services,
    machine: Usage,
    operations: u64,
}

/// Every input of the table.
const INPUTS: [&str; 18] = [
    "subscribe",
    "query",
    "update",
    "terminate",
    "terminate in haste",
    "2xx",
    "refused for now",
    "refused",
    "withdrawn",
    "active",
    "rejected",
    "noresource",
    "deactivated",
    "timeout",
    "giveup",
    "lost",
    "due",
    "silent",
];

impl Bench {
    fn new() -> Self {
        Self {
            services: Services::new(),
            machine: Usage::new(SubscriptionId::from_number(1)),
            operations: 0,
        }
    }

    /// A machine in one of the states of the table, so long after its last SUBSCRIBE in a new dialog that another one at
    /// once is no busy loop.
    fn of(state: &str) -> Self {
        let path: &[&str] = match state {
            "idle" => &[],
            "subscribing" => &["subscribe"],
            "subscribing, notified" => &["subscribe", "active"],
            "subscribing, over" => &["subscribe", "rejected"],
            "querying" => &["query"],
            "querying, notified" => &["query", "active"],
            "querying, answered" => &["query", "2xx"],
            "subscribed, silent" => &["subscribe", "2xx"],
            "subscribed" => &["subscribe", "2xx", "active"],
            "refreshing, silent" => &["subscribe", "2xx", "update"],
            "refreshing" => &["subscribe", "2xx", "active", "update"],
            "waiting" => &["subscribe", "refused for now"],
            "ending, first" => &["subscribe", "terminate"],
            "ending" => &["subscribe", "2xx", "active", "update", "terminate"],
            "leaving" => &["subscribe", "2xx", "active", "terminate"],
            "leaving in haste" => &["subscribe", "2xx", "active", "terminate in haste"],
            "leaving, answered" => &["subscribe", "2xx", "active", "terminate", "2xx"],
            "terminated" => &["terminate"],
            other => panic!("{other}"),
        };
        let mut bench = Self::new();
        for input in path {
            bench.take(input);
        }
        bench.services.now = bench.services.now + secs(5);
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
        let over = |why| Input::Notified(Standing::Over { why, after: None });
        let input = match input {
            "subscribe" => Input::Subscribe(operation()),
            "query" => Input::Query(operation()),
            "update" => Input::Update(operation()),
            "terminate" => Input::Terminate {
                operation: operation(),
                patient: true,
            },
            "terminate in haste" => Input::Terminate {
                operation: operation(),
                patient: false,
            },
            "2xx" => Input::Accepted { granted: secs(3600) },
            "refused for now" => Input::Refused(Refusal::Temporary { after: None }, OperationError::Timeout),
            "refused" => {
                let gone = SubscriptionReason::SubscriptionDoesNotExist;
                Input::Refused(Refusal::Final(gone), OperationError::Timeout)
            }
            "withdrawn" => Input::Withdrawn,
            "active" => Input::Notified(Standing::Lasts { expires: None }),
            "rejected" => over(Why::Rejected),
            "noresource" => over(Why::NoResource),
            "deactivated" => over(Why::Deactivated),
            "timeout" => over(Why::Timeout),
            "giveup" => over(Why::GivenUp),
            "lost" => Input::Lost(SubscriptionReason::Forgotten),
            "due" => Input::Fired(Timer::Due),
            "silent" => Input::Fired(Timer::Silent),
            other => panic!("{other}"),
        };
        self.step(input)
    }

    /// State and effects.
    fn show(&self, effects: &[Effect]) -> String {
        let print = self.machine.fingerprint(secs(64), self.services.now);
        let mut shown = vec![print.state.to_string()];
        shown.extend(effects.iter().map(|effect| match effect {
            Effect::SendSubscribe => "SUBSCRIBE".into(),
            Effect::SendQuery => "fetch".into(),
            Effect::SendRefresh { update: true } => "SUBSCRIBE with body".into(),
            Effect::SendRefresh { update: false } => "refresh".into(),
            Effect::SendUnsubscribe => "unsubscribe".into(),
            Effect::Hurry => "hurry".into(),
            Effect::Drop => "drop".into(),
            Effect::Changed { new, reason, .. } => format!("{new:?} ({reason:?})"),
            Effect::Complete(operation, Ok(())) => format!("{operation} ok"),
            Effect::Complete(operation, Err(OperationError::Timeout)) => format!("{operation} no answer"),
            Effect::Complete(operation, Err(_)) => format!("{operation} ended"),
        }));
        shown.join(", ")
    }

    /// When each timer fires, in seconds.
    fn timers(&self) -> Vec<(Timer, Duration)> {
        let mut timers = self.services.timers.clone();
        let fired = core::iter::from_fn(|| timers.pop_due(Time::MAX));
        fired
            .map(|(at, key)| {
                let TimerKey::Subscription(_, timer) = key else {
                    panic!("{key:?}")
                };
                (timer, at.since(self.services.now))
            })
            .collect()
    }

    fn fire(&mut self) -> (Timer, Vec<Effect>) {
        let (at, key) = self.services.timers.pop_due(Time::MAX).unwrap();
        self.services.now = at;
        let TimerKey::Subscription(_, timer) = key else {
            panic!("{key:?}")
        };
        (timer, self.step(Input::Fired(timer)))
    }
}

/// What each input does in each state; what is not here does nothing.
const TABLE: &[(&str, &[(&str, &str)])] = &[
    (
        "idle",
        &[
            ("subscribe", "Subscribing, Subscribing (None), SUBSCRIBE"),
            ("query", "Querying, Subscribing (None), fetch"),
            ("update", "Idle, o1 ended"),
            ("terminate", "Terminated, Terminated (TerminatedLocally), o1 ok"),
            (
                "terminate in haste",
                "Terminated, Terminated (TerminatedLocally), o1 ok",
            ),
        ],
    ),
    (
        "subscribing",
        &[
            ("update", "Subscribing"),
            ("terminate", "Ending, first answer, Terminating (None), hurry"),
            (
                "terminate in haste",
                "Ending in haste, first answer, Terminating (None), hurry",
            ),
            ("2xx", "Subscribed, Subscribed (None), o1 ok"),
            (
                "refused for now",
                "WaitingForRetry, WaitingForRetry (TemporaryFailure), o1 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o1 no answer",
            ),
            ("active", "Subscribing"),
            ("rejected", "Subscribing"),
            ("noresource", "Subscribing"),
            ("deactivated", "Subscribing"),
            ("timeout", "Subscribing"),
            ("giveup", "Subscribing"),
        ],
    ),
    (
        "subscribing, notified",
        &[
            ("update", "Subscribing"),
            ("terminate", "Ending, first answer, Terminating (None), hurry"),
            (
                "terminate in haste",
                "Ending in haste, first answer, Terminating (None), hurry",
            ),
            ("2xx", "Subscribed, Subscribed (None), o1 ok"),
            (
                "refused for now",
                "WaitingForRetry, WaitingForRetry (TemporaryFailure), o1 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o1 no answer",
            ),
            ("rejected", "Subscribing"),
            ("noresource", "Subscribing"),
            ("deactivated", "Subscribing"),
            ("timeout", "Subscribing"),
            ("giveup", "Subscribing"),
        ],
    ),
    (
        "subscribing, over",
        &[
            ("update", "Subscribing"),
            ("terminate", "Ending, first answer, Terminating (None), hurry"),
            (
                "terminate in haste",
                "Ending in haste, first answer, Terminating (None), hurry",
            ),
            ("2xx", "Terminated, Terminated (Rejected), o1 ok"),
            (
                "refused for now",
                "WaitingForRetry, WaitingForRetry (TemporaryFailure), o1 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o1 no answer",
            ),
            ("active", "Subscribing"),
            ("noresource", "Subscribing"),
            ("deactivated", "Subscribing"),
            ("timeout", "Subscribing"),
            ("giveup", "Subscribing"),
        ],
    ),
    (
        "querying",
        &[
            ("update", "Querying, o2 ended"),
            (
                "terminate",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            (
                "terminate in haste",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            ("2xx", "Querying"),
            (
                "refused for now",
                "Terminated, Terminated (TemporaryFailure), o1 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o1 no answer",
            ),
            ("active", "Querying, notified"),
            ("rejected", "Querying, notified"),
            ("noresource", "Querying, notified"),
            ("deactivated", "Querying, notified"),
            ("timeout", "Querying, notified"),
            ("giveup", "Querying, notified"),
            ("silent", "Terminated, Terminated (Silent), o1 no answer"),
        ],
    ),
    (
        "querying, notified",
        &[
            ("update", "Querying, notified, o2 ended"),
            (
                "terminate",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            (
                "terminate in haste",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            ("2xx", "Terminated, Terminated (None), o1 ok"),
            (
                "refused for now",
                "Terminated, Terminated (TemporaryFailure), o1 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o1 no answer",
            ),
            ("silent", "Terminated, Terminated (Silent), o1 no answer"),
        ],
    ),
    (
        "querying, answered",
        &[
            ("update", "Querying, o2 ended"),
            (
                "terminate",
                "Terminated, Terminated (TerminatedLocally), o1 ended, o2 ok",
            ),
            (
                "terminate in haste",
                "Terminated, Terminated (TerminatedLocally), o1 ended, o2 ok",
            ),
            (
                "refused for now",
                "Terminated, Terminated (TemporaryFailure), o1 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o1 no answer",
            ),
            ("active", "Terminated, Terminated (None), o1 ok"),
            ("rejected", "Terminated, Terminated (None), o1 ok"),
            ("noresource", "Terminated, Terminated (None), o1 ok"),
            ("deactivated", "Terminated, Terminated (None), o1 ok"),
            ("timeout", "Terminated, Terminated (None), o1 ok"),
            ("giveup", "Terminated, Terminated (None), o1 ok"),
            ("silent", "Terminated, Terminated (Silent), o1 no answer"),
        ],
    ),
    (
        "subscribed, silent",
        &[
            ("update", "Subscribed, refreshing, SUBSCRIBE with body"),
            ("terminate", "Leaving, Terminating (None), unsubscribe"),
            (
                "terminate in haste",
                "Leaving in haste, Terminating (None), unsubscribe",
            ),
            ("active", "Subscribed"),
            ("rejected", "Terminated, Terminated (Rejected)"),
            ("noresource", "Terminated, Terminated (NoResource)"),
            ("deactivated", "Subscribing, Subscribing (Deactivated), SUBSCRIBE"),
            ("timeout", "Subscribing, Subscribing (Expired), SUBSCRIBE"),
            ("giveup", "WaitingForRetry, WaitingForRetry (GivenUp)"),
            ("lost", "Subscribing, Subscribing (Forgotten), SUBSCRIBE"),
            ("due", "Subscribed, refreshing, refresh"),
            ("silent", "WaitingForRetry, WaitingForRetry (Silent)"),
        ],
    ),
    (
        "subscribed",
        &[
            ("update", "Subscribed, refreshing, SUBSCRIBE with body"),
            ("terminate", "Leaving, Terminating (None), unsubscribe"),
            (
                "terminate in haste",
                "Leaving in haste, Terminating (None), unsubscribe",
            ),
            ("rejected", "Terminated, Terminated (Rejected)"),
            ("noresource", "Terminated, Terminated (NoResource)"),
            ("deactivated", "Subscribing, Subscribing (Deactivated), SUBSCRIBE"),
            ("timeout", "Subscribing, Subscribing (Expired), SUBSCRIBE"),
            ("giveup", "WaitingForRetry, WaitingForRetry (GivenUp)"),
            ("lost", "Subscribing, Subscribing (Forgotten), SUBSCRIBE"),
            ("due", "Subscribed, refreshing, refresh"),
        ],
    ),
    (
        "refreshing, silent",
        &[
            ("update", "Subscribed, refreshing"),
            ("terminate", "Ending, answer, Terminating (None), hurry"),
            (
                "terminate in haste",
                "Ending in haste, answer, Terminating (None), hurry",
            ),
            ("2xx", "Subscribed, o2 ok"),
            (
                "refused for now",
                "WaitingForRetry, WaitingForRetry (TemporaryFailure), o2 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o2 no answer",
            ),
            ("active", "Subscribed, refreshing"),
            ("rejected", "Terminated, Terminated (Rejected), drop, o2 ended"),
            (
                "noresource",
                "Terminated, Terminated (NoResource), drop, o2 ended",
            ),
            (
                "deactivated",
                "Subscribing, Subscribing (Deactivated), drop, SUBSCRIBE",
            ),
            ("timeout", "Subscribing, Subscribing (Expired), drop, SUBSCRIBE"),
            (
                "giveup",
                "WaitingForRetry, WaitingForRetry (GivenUp), drop, o2 ended",
            ),
            ("lost", "Subscribing, Subscribing (Forgotten), drop, SUBSCRIBE"),
            (
                "silent",
                "WaitingForRetry, WaitingForRetry (Silent), drop, o2 no answer",
            ),
        ],
    ),
    (
        "refreshing",
        &[
            ("update", "Subscribed, refreshing"),
            ("terminate", "Ending, answer, Terminating (None), hurry"),
            (
                "terminate in haste",
                "Ending in haste, answer, Terminating (None), hurry",
            ),
            ("2xx", "Subscribed, o2 ok"),
            (
                "refused for now",
                "WaitingForRetry, WaitingForRetry (TemporaryFailure), o2 no answer",
            ),
            (
                "refused",
                "Terminated, Terminated (SubscriptionDoesNotExist), o2 no answer",
            ),
            ("rejected", "Terminated, Terminated (Rejected), drop, o2 ended"),
            (
                "noresource",
                "Terminated, Terminated (NoResource), drop, o2 ended",
            ),
            (
                "deactivated",
                "Subscribing, Subscribing (Deactivated), drop, SUBSCRIBE",
            ),
            ("timeout", "Subscribing, Subscribing (Expired), drop, SUBSCRIBE"),
            (
                "giveup",
                "WaitingForRetry, WaitingForRetry (GivenUp), drop, o2 ended",
            ),
            ("lost", "Subscribing, Subscribing (Forgotten), drop, SUBSCRIBE"),
        ],
    ),
    (
        "waiting",
        &[
            ("update", "Subscribing, Subscribing (None), SUBSCRIBE"),
            ("terminate", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            (
                "terminate in haste",
                "Terminated, Terminated (TerminatedLocally), o2 ok",
            ),
            ("rejected", "Terminated, Terminated (Rejected)"),
            ("noresource", "Terminated, Terminated (NoResource)"),
            ("lost", "Subscribing, Subscribing (Forgotten), SUBSCRIBE"),
            ("due", "Subscribing, Subscribing (None), SUBSCRIBE"),
        ],
    ),
    (
        "ending, first",
        &[
            ("update", "Ending, first answer, o3 ended"),
            ("terminate", "Ending, first answer"),
            ("terminate in haste", "Ending in haste, first answer"),
            ("2xx", "Leaving, unsubscribe"),
            (
                "refused for now",
                "Terminated, Terminated (TerminatedLocally), o1 ended, o2 ok",
            ),
            (
                "refused",
                "Terminated, Terminated (TerminatedLocally), o1 ended, o2 ok",
            ),
            (
                "withdrawn",
                "Terminated, Terminated (TerminatedLocally), o1 ended, o2 ok",
            ),
            (
                "rejected",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            (
                "noresource",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            (
                "deactivated",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            (
                "timeout",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            (
                "giveup",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
            (
                "lost",
                "Terminated, Terminated (TerminatedLocally), drop, o1 ended, o2 ok",
            ),
        ],
    ),
    (
        "ending",
        &[
            ("update", "Ending, answer, o4 ended"),
            ("terminate", "Ending, answer"),
            ("terminate in haste", "Ending in haste, answer"),
            ("2xx", "Leaving, unsubscribe"),
            ("refused for now", "Leaving, unsubscribe"),
            (
                "refused",
                "Terminated, Terminated (TerminatedLocally), o2 ended, o3 ok",
            ),
            ("withdrawn", "Leaving, unsubscribe"),
            (
                "rejected",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ended, o3 ok",
            ),
            (
                "noresource",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ended, o3 ok",
            ),
            (
                "deactivated",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ended, o3 ok",
            ),
            (
                "timeout",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ended, o3 ok",
            ),
            (
                "giveup",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ended, o3 ok",
            ),
            (
                "lost",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ended, o3 ok",
            ),
        ],
    ),
    (
        "leaving",
        &[
            ("update", "Leaving, o3 ended"),
            ("terminate", "Leaving"),
            ("terminate in haste", "Leaving in haste"),
            ("2xx", "Leaving, answered"),
            (
                "refused for now",
                "Terminated, Terminated (TerminatedLocally), o2 ok",
            ),
            ("refused", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("withdrawn", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            (
                "rejected",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "noresource",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "deactivated",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "timeout",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "giveup",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            ("lost", "Terminated, Terminated (TerminatedLocally), drop, o2 ok"),
        ],
    ),
    (
        "leaving in haste",
        &[
            ("update", "Leaving in haste, o3 ended"),
            ("2xx", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            (
                "refused for now",
                "Terminated, Terminated (TerminatedLocally), o2 ok",
            ),
            ("refused", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("withdrawn", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            (
                "rejected",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "noresource",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "deactivated",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "timeout",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            (
                "giveup",
                "Terminated, Terminated (TerminatedLocally), drop, o2 ok",
            ),
            ("lost", "Terminated, Terminated (TerminatedLocally), drop, o2 ok"),
        ],
    ),
    (
        "leaving, answered",
        &[
            ("update", "Leaving, answered, o3 ended"),
            ("terminate", "Leaving, answered"),
            (
                "terminate in haste",
                "Terminated, Terminated (TerminatedLocally), o2 ok, o3 ok",
            ),
            ("rejected", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("noresource", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("deactivated", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("timeout", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("giveup", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("lost", "Terminated, Terminated (TerminatedLocally), o2 ok"),
            ("silent", "Terminated, Terminated (TerminatedLocally), o2 ok"),
        ],
    ),
    (
        "terminated",
        &[
            ("update", "Terminated, o2 ended"),
            ("terminate", "Terminated, o2 ok"),
            ("terminate in haste", "Terminated, o2 ok"),
        ],
    ),
];

// rules: B1, B2, B4, B7
#[test]
fn each_input_in_each_state_does_what_the_table_says() {
    let mut wrong = Vec::new();
    for (state, row) in TABLE {
        for (input, _) in *row {
            assert!(INPUTS.contains(input), "{input}");
        }
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

/// When the one timer of this kind fires.
#[track_caller]
fn only(bench: &Bench, timer: Timer) -> Duration {
    let timers = bench.timers();
    let [(found, after)] = timers[..] else {
        panic!("{timers:?}")
    };
    assert_eq!(found, timer);
    after
}

// rules: B1, R4
#[test]
fn a_refresh_comes_before_the_end_and_at_most_a_quarter_sooner() {
    // Nine tenths of an hour; half a minute before the end of four; half of what is shorter than one.
    for (granted, latest) in [(3600, 3240), (240, 210), (40, 20)] {
        let mut bench = Bench::new();
        bench.take("subscribe");
        bench.take("active");
        bench.step(Input::Accepted {
            granted: secs(granted),
        });
        let after = only(&bench, Timer::Due);
        assert!(
            (secs(latest) * 3 / 4..=secs(latest)).contains(&after),
            "{granted}: {after:?}"
        );
    }
    // What is kept for no time at all makes no busy loop (R21).
    let mut bench = Bench::of("subscribed");
    bench.fire();
    bench.step(Input::Accepted {
        granted: Duration::ZERO,
    });
    assert_eq!(only(&bench, Timer::Due), secs(5));
}

// rules: B2
#[test]
fn a_notify_moves_the_refresh_only_where_it_would_come_too_late() {
    let lasts = |expires: Option<u64>| {
        let expires = expires.map(secs);
        Input::Notified(Standing::Lasts { expires })
    };
    let mut bench = Bench::of("subscribed");
    let due = only(&bench, Timer::Due);
    // No word of it, the time that is left, and more than that.
    for expires in [None, Some(3590), Some(7200)] {
        bench.step(lasts(expires));
        assert_eq!(only(&bench, Timer::Due), due, "{expires:?}");
    }
    // Not even a notifier that counts down to the end puts the refresh off.
    let end = bench.services.now + secs(3590);
    let at = bench.services.now + due;
    while bench.services.now + secs(60) < at {
        bench.services.now = bench.services.now + secs(60);
        let left = end.since(bench.services.now).as_secs();
        bench.step(lasts(Some(left)));
        assert_eq!(bench.services.now + only(&bench, Timer::Due), at);
    }
    let mut bench = Bench::of("subscribed");
    bench.step(lasts(Some(100)));
    let sooner = only(&bench, Timer::Due);
    assert!((secs(70) * 3 / 4..=secs(70)).contains(&sooner), "{sooner:?}");
}

// rules: B2
#[test]
fn without_a_notify_it_is_made_again_after_64_t1() {
    let mut bench = Bench::new();
    bench.take("subscribe");
    bench.take("2xx");
    assert_eq!(bench.timers()[0], (Timer::Silent, secs(32)));
    let (timer, effects) = bench.fire();
    assert_eq!(timer, Timer::Silent);
    assert_eq!(bench.show(&effects), "WaitingForRetry, WaitingForRetry (Silent)");
}

// rules: B1
#[test]
fn the_last_notify_is_waited_for_64_t1() {
    let bench = {
        let mut bench = Bench::of("leaving");
        bench.take("2xx");
        bench
    };
    assert_eq!(only(&bench, Timer::Silent), secs(32));
    let mut query = Bench::of("querying");
    query.take("2xx");
    assert_eq!(only(&query, Timer::Silent), secs(32));
}

// rules: B2
#[test]
fn what_is_to_be_made_again_at_once_makes_no_busy_loop() {
    let mut bench = Bench::new();
    bench.take("subscribe");
    bench.take("2xx");
    bench.take("active");
    bench.services.now = bench.services.now + secs(4);
    let effects = bench.take("deactivated");
    assert_eq!(
        bench.show(&effects),
        "WaitingForRetry, WaitingForRetry (Deactivated)"
    );
    assert_eq!(only(&bench, Timer::Due), secs(1));
    let (_, effects) = bench.fire();
    assert_eq!(bench.show(&effects), "Subscribing, Subscribing (None), SUBSCRIBE");
}

// rules: B2
#[test]
fn a_notifier_is_asked_again_when_it_says() {
    for (why, after, least) in [
        (Why::Probation, Some(600), 600),
        (Why::GivenUp, Some(90), 90),
        (Why::Other, Some(30), 30),
        (Why::Probation, None, 1),
        (Why::Other, None, 1),
    ] {
        let mut bench = Bench::of("subscribed");
        let after = after.map(secs);
        bench.step(Input::Notified(Standing::Over { why, after }));
        let due = only(&bench, Timer::Due);
        // Without a time of its own, the back-off of a first failure: one to two seconds.
        let most = if after.is_some() { least } else { 2 };
        assert!((secs(least)..=secs(most)).contains(&due), "{why:?}: {due:?}");
    }
}

// rules: B4, R7
#[test]
fn a_server_that_is_out_is_tried_with_back_off() {
    let mut bench = Bench::new();
    bench.take("subscribe");
    for (least, most) in [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (32, 64)] {
        bench.take("refused for now");
        let due = only(&bench, Timer::Due);
        assert!((secs(least)..=secs(most)).contains(&due), "{least}: {due:?}");
        bench.fire();
    }
    // A server that says when counts.
    let after = Some(secs(200));
    bench.step(Input::Refused(
        Refusal::Temporary { after },
        OperationError::Timeout,
    ));
    assert_eq!(only(&bench, Timer::Due), secs(200));
    bench.fire();
    // What has lasted begins anew.
    bench.take("2xx");
    bench.take("active");
    bench.services.now = bench.services.now + secs(64);
    bench.take("update");
    bench.take("refused for now");
    assert!(only(&bench, Timer::Due) <= secs(2));
}

// rules: B1
#[test]
fn updates_that_meet_go_out_together() {
    let mut bench = Bench::of("subscribed");
    bench.take("update");
    for _ in 0..2 {
        let effects = bench.take("update");
        assert_eq!(bench.show(&effects), "Subscribed, refreshing");
    }
    let effects = bench.take("2xx");
    assert_eq!(
        bench.show(&effects),
        "Subscribed, refreshing, SUBSCRIBE with body, o2 ok"
    );
    let effects = bench.take("2xx");
    assert_eq!(bench.show(&effects), "Subscribed, o3 ok, o4 ok");
    // What waits when a subscription has to be made anew goes out with that.
    bench.take("update");
    bench.take("update");
    let effects = bench.take("lost");
    assert_eq!(
        bench.show(&effects),
        "Subscribing, Subscribing (Forgotten), drop, SUBSCRIBE"
    );
    let effects = bench.take("2xx");
    assert_eq!(
        bench.show(&effects),
        "Subscribed, Subscribed (None), o5 ok, o6 ok"
    );
}
