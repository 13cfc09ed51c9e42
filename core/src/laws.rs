//! The laws of the contract over every machine there is. A new machine is covered by a line in the one list, [`machines!`],
//! and by saying in a `laws.rs` of its own how it is made, driven and closed: see [`Subject`].
//!
//! Each law is one function over any machine, and is run on histories: inputs of every kind in any order, time that
//! passes, and timers at their times. A timer that the machine has not armed is never fired. The histories come from one
//! seed, so that a run says the same of the same change, and each run has to come to every cell that the machine can be
//! given here: a law that holds because nothing happened is none.
//!
//! Law 3, of bytes in pieces, is held by what takes bytes: the framer, in its own tests, and a connection with its
//! keep-alives, beside its machine. Law 6, of the bounds, is held by a whole stack, in the suite of the limits.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt::Debug;
use core::mem;
use core::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};

use crate::cells::{Cell, Cells, MACHINES, Machine, Reach};
use crate::config::Config;
use crate::connection::testing::Services;
use crate::entropy::Entropy;
use crate::ids::{Ids, OperationId};
use crate::time::Time;
use crate::timers::TimerKey;

/// A machine under the laws.
pub(crate) trait Subject: Clone {
    const MACHINE: Machine;
    /// How many ways there are to make one.
    const WAYS: usize;
    /// The inputs that are timers, by the states in which each may be armed. They are given when it fires, never else.
    const TIMERS: &'static [(&'static str, &'static [&'static str])];
    type Input: Clone + Debug;

    fn make(way: usize, services: &mut Services) -> Self;

    /// Every input that is no timer, some in several forms.
    fn inputs(ids: &mut Ids) -> Vec<Self::Input>;

    /// One step. What it wants, but for actions and timers, as text.
    fn step(&mut self, input: Self::Input, services: &mut Services) -> Vec<String>;

    /// The same for a timer of its own.
    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String>;

    /// Its fingerprint.
    fn print(&self, now: Time) -> String;

    /// Whether nothing more has to happen to it.
    fn is_over(&self) -> bool;

    /// Whether this input is to do nothing, because the machine is over for good.
    fn ignores(&self, _input: &Self::Input) -> bool {
        self.is_over()
    }

    /// How much it holds that is to be zero when it is over: commands that wait, waiters.
    fn holds(&self) -> usize {
        0
    }

    /// What it is told when it is to end, and what those around it owe it then, in this order, again after each timer.
    fn closing(_ids: &mut Ids) -> Vec<Self::Input> {
        Vec::new()
    }

    /// In what time it is over then.
    fn bound(config: &Config) -> Duration;

    /// The operation of the application that an input begins.
    fn operation(_input: &Self::Input) -> Option<OperationId> {
        None
    }
}

/// The list: a module of tests for each machine.
macro_rules! machines {
    ($($name:ident: $subject:ty,)+) => {
        const LISTED: &[Machine] = &[$(<$subject as Subject>::MACHINE),+];

        $(mod $name {
            use super::*;

            // rules: X2, X5
            #[test]
            fn law_1_any_input_in_any_order() {
                any_input_in_any_order::<$subject>();
            }

            // rules: X5
            #[test]
            fn law_2_progress_at_the_deadline_and_nothing_before() {
                progress_at_the_deadline::<$subject>();
            }

            // rules: X1
            #[test]
            fn law_4_the_same_gives_the_same() {
                the_same_gives_the_same::<$subject>();
            }

            // rules: X1
            #[test]
            fn law_4_equal_fingerprints_behave_equally() {
                equal_fingerprints_behave_equally::<$subject>();
            }

            // rules: X3, X6
            #[test]
            fn law_5_nothing_is_held_at_the_end_and_the_end_comes() {
                nothing_is_held_at_the_end::<$subject>();
            }
        })+
    };
}

machines! {
    client_invite_transaction: crate::transaction::laws::ClientInvite,
    client_transaction: crate::transaction::laws::Client,
    server_invite_transaction: crate::transaction::laws::ServerInvite,
    server_transaction: crate::transaction::laws::Server,
    connection: crate::connection::laws::Connection,
    listener: crate::connection::laws::Listening,
    query: crate::locate::laws::Question,
    registration: crate::registration::laws::Registering,
    reach: crate::endpoint::reach::laws::Reaching,
    invitation: crate::session::laws::Inviting,
    referral: crate::session::refer::laws::Referring,
    referee: crate::session::referee::laws::Referred,
    session_timer: crate::session::timer::laws::Timing,
    recovery: crate::session::Recovering,
    offer: crate::session::laws::Offering,
    renegotiation: crate::session::laws::Renegotiating,
    proposal: crate::session::laws::Proposing,
    reliable: crate::session::laws::Replying,
    subscription: crate::subscription::laws::Subscribing,
    watcher: crate::notifier::laws::Watched,
    publication: crate::publication::laws::Published,
}

#[test]
fn every_machine_that_counts_its_cells_is_under_the_laws() {
    let names = |machines: &[Machine]| machines.iter().map(|it| it.name).collect::<BTreeSet<_>>();
    assert_eq!(names(LISTED), names(MACHINES));
    assert_eq!(LISTED.len(), MACHINES.len());
}

/// What happens next in a history.
#[derive(Clone, Debug)]
enum Happening {
    /// One of the inputs.
    Input(usize),
    /// The next timer fires at its time.
    Fire,
    /// Time passes, in milliseconds, but not beyond the next timer.
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..1000_usize).prop_map(Happening::Input),
        3 => Just(Happening::Fire),
        1 => (0..40_000_u64).prop_map(Happening::Wait),
    ]
}

/// Runs `judge` on histories, each with a way to make the machine, a seed of its entropy, and what happens.
fn run<S: Subject>(judge: impl Fn(&mut Bench<S>, &[Happening])) {
    let cases = Cases {
        cases: 1000,
        failure_persistence: None,
        ..Cases::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(cases, rng);
    let histories = (
        0..S::WAYS,
        any::<u8>(),
        proptest::collection::vec(happening(), 0..40),
    );
    let reached = core::cell::RefCell::new(Cells::default());
    let result = runner.run(&histories, |(way, seed, history)| {
        let mut bench = Bench::<S>::new(way, seed);
        judge(&mut bench, &history);
        reached.borrow_mut().absorb(&bench.reached);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    covers::<S>(&reached.into_inner());
}

/// Whether a run has come to every cell that the machine can be given here, and to no other.
fn covers<S: Subject>(reached: &Cells) {
    let machine = S::MACHINE;
    let is_timer = |input: &str| S::TIMERS.iter().any(|(_, timers)| timers.contains(&input));
    let armed = |cell: &Cell| {
        let of_state = S::TIMERS.iter().filter(|(state, _)| *state == cell.state);
        of_state
            .flat_map(|(_, timers)| *timers)
            .any(|timer| *timer == cell.input)
    };
    let given = |cell: &Cell| if is_timer(cell.input) { armed(cell) } else { true };
    let expected: BTreeSet<Cell> = machine.cells().map(|(cell, _)| cell).filter(given).collect();
    let visited: BTreeSet<Cell> = reached.iter().map(|(cell, _)| cell).collect();
    std::println!(
        "{}: {} of {} cells that it can be given",
        machine.name,
        visited.len(),
        expected.len()
    );
    let missed: Vec<String> = expected.difference(&visited).map(ToString::to_string).collect();
    assert_eq!(missed, [] as [String; 0], "never reached");
    let beyond: Vec<String> = visited.difference(&expected).map(ToString::to_string).collect();
    assert_eq!(
        beyond,
        [] as [String; 0],
        "a timer fired in a state that has none"
    );
    assert!(S::TIMERS.iter().all(|(state, timers)| {
        machine.states.contains(state) && timers.iter().all(|timer| machine.inputs.contains(timer))
    }));
}

/// A machine with all that it is lent.
#[derive(Clone)]
struct Bench<S> {
    services: Services,
    subject: S,
    reached: Cells,
    /// Operations that were begun, and how often each has completed.
    operations: BTreeMap<OperationId, usize>,
}

impl<S: Subject> Bench<S> {
    fn new(way: usize, seed: u8) -> Self {
        let mut services = Services::new();
        services.entropy = Entropy::new([seed; 32]);
        let subject = S::make(way, &mut services);
        let mut bench = Self {
            services,
            subject,
            reached: Cells::default(),
            operations: BTreeMap::new(),
        };
        bench.wants(Vec::new());
        bench.services.cells = Cells::default();
        bench
    }

    /// What the last step wanted, actions included.
    fn wants(&mut self, mut wants: Vec<String>) -> Vec<String> {
        wants.extend(core::iter::from_fn(|| self.services.out.pop()).map(|action| format!("{action:?}")));
        for (operation, times) in &mut self.operations {
            let done = format!("Complete({operation}, ");
            *times += wants.iter().filter(|want| want.starts_with(&done)).count();
        }
        wants
    }

    /// Gives an input. An operation that it begins counts where a stack can come to the cell: else it is misuse.
    fn give(&mut self, input: S::Input) -> Vec<String> {
        let operation = S::operation(&input);
        self.operations.extend(operation.map(|operation| (operation, 0)));
        let wants = self.subject.step(input, &mut self.services);
        let visited = mem::take(&mut self.services.cells);
        let is_possible = |cell| S::MACHINE.reach(cell) == Reach::Reachable;
        if let Some(operation) = operation
            && !visited.iter().all(|(cell, _)| is_possible(cell))
        {
            self.operations.remove(&operation);
        }
        self.reached.absorb(&visited);
        self.wants(wants)
    }

    fn pick(&mut self, which: usize) -> S::Input {
        let inputs = S::inputs(&mut self.services.ids);
        inputs[which % inputs.len()].clone()
    }

    fn deadline(&self) -> Option<Time> {
        self.services.timers.next().map(|(at, _)| at)
    }

    /// The next timer, at its time.
    fn fire(&mut self) -> Option<Vec<String>> {
        let (at, key) = self.services.timers.pop_due(Time::MAX)?;
        self.services.now = self.services.now.max(at);
        let wants = self.subject.fire(key, &mut self.services);
        self.reached.absorb(&mem::take(&mut self.services.cells));
        Some(self.wants(wants))
    }

    fn go(&mut self, happening: &Happening) -> Vec<String> {
        match happening {
            Happening::Input(which) => {
                let input = self.pick(*which);
                self.give(input)
            }
            Happening::Fire => self.fire().unwrap_or_default(),
            Happening::Wait(millis) => {
                let until = self.services.now + Duration::from_millis(*millis);
                let last = self.deadline().map_or(until, |at| until.min(at));
                self.services.now = self.services.now.max(last);
                Vec::new()
            }
        }
    }

    fn print(&self) -> String {
        self.subject.print(self.services.now)
    }

    fn armed(&self) -> Vec<(Time, TimerKey)> {
        let mut timers = self.services.timers.clone();
        core::iter::from_fn(|| timers.pop_due(Time::MAX)).collect()
    }
}

/// Law 1: no input in no order makes a machine panic, and none does anything to one that is over.
fn any_input_in_any_order<S: Subject>() {
    run::<S>(|bench, history| {
        for happening in history {
            let Happening::Input(which) = happening else {
                bench.go(happening);
                continue;
            };
            let input = bench.pick(*which);
            let before = bench
                .subject
                .ignores(&input)
                .then(|| (bench.print(), bench.armed()));
            let wants = bench.give(input.clone());
            if let Some(before) = before {
                assert_eq!(wants, [] as [String; 0], "{input:?} when all is over");
                assert_eq!(
                    (bench.print(), bench.armed()),
                    before,
                    "{input:?} when all is over"
                );
            }
        }
    });
}

/// Law 2: before the deadline nothing fires; at it something changes or is wanted, and then the next one is later.
fn progress_at_the_deadline<S: Subject>() {
    /// How many timers of one machine may be due at one time, those that resume a slice included.
    const AT_ONCE: usize = 8;
    run::<S>(|bench, history| {
        for happening in history {
            let (Happening::Fire, Some(at)) = (happening, bench.deadline()) else {
                bench.go(happening);
                continue;
            };
            let just_before = at - Duration::from_micros(1);
            assert!(bench.services.timers.clone().pop_due(just_before).is_none());
            bench.services.now = bench.services.now.max(at);
            let mut fired = 0;
            while bench.deadline().is_some_and(|next| next <= bench.services.now) {
                let (print, armed) = (bench.print(), bench.armed());
                let wants = bench.fire().unwrap();
                let changed = print != bench.print() || armed[1..] != bench.armed();
                assert!(
                    changed || !wants.is_empty(),
                    "{:?} fired for nothing: {print}",
                    armed[0].1
                );
                fired += 1;
                assert!(fired <= AT_ONCE, "{:?} fires at one time for ever", armed[0].1);
            }
        }
    });
}

/// Law 4: the same inputs and the same entropy give the same, and a clone goes on as its original.
fn the_same_gives_the_same<S: Subject>() {
    run::<S>(|bench, history| {
        let mut other = bench.clone();
        let (first, second) = history.split_at(history.len() / 2);
        for (bench_does, other_does) in first.iter().zip(first) {
            assert_eq!(bench.go(bench_does), other.go(other_does));
        }
        let mut clone = bench.clone();
        for happening in second {
            let wants = bench.go(happening);
            assert_eq!(other.go(happening), wants);
            assert_eq!(clone.go(happening), wants);
        }
        let end = (bench.print(), bench.armed());
        assert_eq!((other.print(), other.armed()), end);
        assert_eq!((clone.print(), clone.armed()), end);
    });
}

/// Law 4, for who searches the states: what looks equal is equal. Machines that have come to one fingerprint in two ways
/// give the same to the same inputs, but for names.
fn equal_fingerprints_behave_equally<S: Subject>() {
    let known = core::cell::RefCell::new(BTreeMap::<String, Bench<S>>::new());
    let compared = core::cell::Cell::new(0);
    run::<S>(|bench, history| {
        for (place, happening) in history.iter().enumerate() {
            bench.go(happening);
            let print = bench.print();
            let Some(mut other) = known.borrow().get(&print).cloned() else {
                known.borrow_mut().insert(print, bench.clone());
                continue;
            };
            let mut one = bench.clone();
            one.services.entropy = Entropy::new([7; 32]);
            other.services.entropy = Entropy::new([7; 32]);
            let mut steps = Vec::new();
            for happening in history.iter().skip(place).take(6) {
                let timers = [&one, &other].map(|it| {
                    let now = it.services.now;
                    it.services
                        .timers
                        .next()
                        .map(|(at, key)| (at.since(now), nameless(&format!("{key:?}"))))
                });
                // A wait ends at the next deadline, so both depend on it.
                if matches!(happening, Happening::Fire | Happening::Wait(_)) && timers[0] != timers[1] {
                    break;
                }
                steps.push(match happening {
                    Happening::Input(which) => format!("{:?}", one.clone().pick(*which)),
                    Happening::Fire | Happening::Wait(_) => format!("{happening:?}"),
                });
                let wants =
                    [one.go(happening), other.go(happening)].map(|wants| nameless(&format!("{wants:?}")));
                assert_eq!(wants[0], wants[1], "from {print}, {steps:?}");
                assert_eq!(one.print(), other.print(), "from {print}, {steps:?}");
                compared.set(compared.get() + 1);
            }
        }
    });
    assert!(compared.get() > 500, "{} steps compared", compared.get());
}

/// Ids without their numbers.
fn nameless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let begins = !out.ends_with(|last: char| last.is_alphanumeric() || last == '.');
        out.push(letter);
        rest = if letter.is_ascii_lowercase() && begins {
            &after[digits..]
        } else {
            after
        };
    }
    out
}

/// Law 5: who is over has no timer armed and holds nothing, and each operation has completed once; and from everywhere
/// the end comes, in its time.
fn nothing_is_held_at_the_end<S: Subject>() {
    run::<S>(|bench, history| {
        for happening in history {
            bench.go(happening);
            assert!(
                bench.operations.values().all(|times| *times <= 1),
                "completed twice (X3)"
            );
            if bench.subject.is_over() {
                nothing_is_held(bench);
            }
        }
        let last = bench.services.now + S::bound(&bench.services.config);
        loop {
            for input in S::closing(&mut bench.services.ids) {
                if !bench.subject.is_over() {
                    bench.give(input);
                }
            }
            if bench.subject.is_over() {
                break;
            }
            assert!(bench.fire().is_some(), "it never ends: {}", bench.print());
            assert!(bench.services.now <= last, "it takes too long: {}", bench.print());
        }
        nothing_is_held(bench);
    });
}

fn nothing_is_held<S: Subject>(bench: &Bench<S>) {
    assert_eq!(bench.armed(), vec![], "armed at the end");
    assert_eq!(bench.subject.holds(), 0, "held at the end");
    let open = bench.operations.iter().filter(|(_, times)| **times != 1);
    assert_eq!(open.count(), 0, "operations: {:?}", bench.operations);
}
