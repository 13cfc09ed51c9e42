use alloc::vec;

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;

struct Bench {
    services: Services,
    machine: Reliable,
}

impl Bench {
    fn new() -> Self {
        Self {
            services: Services::new(),
            machine: Reliable::new(SessionId::from_number(1), 0),
        }
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        effects
    }

    /// Sends one, and says its number.
    fn send(&mut self) -> u32 {
        match self.step(Input::Send)[..] {
            [Effect::Send(number)] => number,
            ref other => panic!("{other:?}"),
        }
    }

    fn of(state: &str) -> (Self, u32) {
        let mut bench = Self::new();
        let number = if state == "Idle" { 7 } else { bench.send() };
        if state == "Closed" {
            bench.step(Input::Final);
        }
        assert_eq!(bench.machine.fingerprint(bench.services.now).state, state);
        (bench, number)
    }
}

// rules: S7
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let right = |number| Input::Prack(number);
    let wrong = |number: u32| Input::Prack(number.wrapping_add(1));
    type Row = (&'static str, fn(u32) -> Input, &'static str, &'static [Effect]);
    let table: Vec<Row> = vec![
        ("Idle", right, "Idle", &[Effect::Unknown]),
        ("Idle", |_| Input::Final, "Idle", &[]),
        ("Idle", |_| Input::Over, "Idle", &[]),
        ("Idle", |_| Input::Fired(Timer::Again), "Idle", &[]),
        ("Idle", |_| Input::Fired(Timer::Limit), "Idle", &[]),
        ("Waiting", |_| Input::Send, "Waiting", &[]),
        ("Waiting", right, "Idle", &[Effect::Acknowledged]),
        ("Waiting", wrong, "Waiting", &[Effect::Unknown]),
        ("Waiting", |_| Input::Final, "Closed", &[]),
        ("Waiting", |_| Input::Over, "Idle", &[]),
        (
            "Waiting",
            |_| Input::Fired(Timer::Again),
            "Waiting",
            &[Effect::Repeat],
        ),
        (
            "Waiting",
            |_| Input::Fired(Timer::Limit),
            "Idle",
            &[Effect::Expired],
        ),
        ("Closed", |_| Input::Send, "Closed", &[]),
        ("Closed", right, "Idle", &[Effect::Acknowledged]),
        ("Closed", wrong, "Closed", &[Effect::Unknown]),
        ("Closed", |_| Input::Final, "Closed", &[]),
        ("Closed", |_| Input::Over, "Idle", &[]),
        ("Closed", |_| Input::Fired(Timer::Again), "Closed", &[]),
        ("Closed", |_| Input::Fired(Timer::Limit), "Closed", &[]),
    ];
    for (state, input, next, effects) in table {
        let (mut bench, number) = Bench::of(state);
        let input = input(number);
        let shown = alloc::format!("{state} <- {input:?}");
        // A timer that fires is no longer in the queue.
        if let Input::Fired(timer) = input
            && state == "Waiting"
        {
            while let Some((_, key)) = bench.services.timers.pop_due(Time::MAX) {
                if key
                    == TimerKey::Session(
                        SessionId::from_number(1),
                        crate::session::Timer::Reliable(0, timer),
                    )
                {
                    break;
                }
            }
        }
        assert_eq!(bench.step(input), effects, "{shown}");
        let print = bench.machine.fingerprint(bench.services.now);
        assert_eq!(print.state, next, "{shown}");
        if next != "Waiting" {
            assert!(bench.services.timers.is_empty(), "{shown}");
        }
    }
}

// rules: S7
#[test]
fn numbers_are_drawn_and_follow_on() {
    let mut bench = Bench::new();
    let first = bench.send();
    assert!((1..1 << 31).contains(&first), "RFC 3262 section 3: {first}");
    for further in 1..4 {
        bench.step(Input::Prack(first + further - 1));
        assert_eq!(bench.send(), first + further);
    }
    bench.step(Input::Over);
    // One that has had its PRACK has it once.
    assert_eq!(bench.step(Input::Prack(first)), [Effect::Unknown]);
}

// rules: S7
#[test]
fn a_response_is_repeated_at_doubling_intervals_until_64_times_t1() {
    let mut bench = Bench::new();
    bench.send();
    let begun = bench.services.now;
    let mut repeated = Vec::new();
    loop {
        let (at, key) = bench.services.timers.pop_due(Time::MAX).unwrap();
        bench.services.now = at;
        let TimerKey::Session(_, crate::session::Timer::Reliable(_, timer)) = key else {
            panic!("{key:?}")
        };
        let effects = bench.step(Input::Fired(timer));
        if timer == Timer::Limit {
            assert_eq!(effects, [Effect::Expired]);
            assert_eq!(at.since(begun), Duration::from_secs(32));
            break;
        }
        repeated.push(at.since(begun).as_secs_f64());
    }
    // RFC 3262 section 3: T1, doubled each time, without T2.
    assert_eq!(repeated, [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]);
    assert!(bench.services.timers.is_empty());
}

// rules: S7
#[test]
fn a_caller_takes_what_comes_next_and_nothing_else() {
    let mut order = InOrder::default();
    let taken = [5, 5, 7, 6, 6, 4, 7].map(|number| order.take(number));
    assert_eq!(taken, [true, false, false, true, false, false, true]);
    let mut last = InOrder { last: Some(u32::MAX) };
    assert!(!last.take(0), "2^32 - 1 is the last");
}
