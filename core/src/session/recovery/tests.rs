use alloc::vec::Vec;

use super::Effect::{Changed, Fail, GiveUp, Heal, Register, Release};
use super::*;
use crate::connection::testing::Services;
use crate::event::RouteState::{Healthy, Recovering};
use crate::ids::FromNumber;

const INTERVAL: Duration = Duration::from_secs(90);

const FAILED: [Input; 3] = [
    Input::Failed(Remedy::Dialog),
    Input::Failed(Remedy::Registration),
    Input::Failed(Remedy::Wait),
];

struct Bench {
    services: Services,
    machine: Recovery,
}

impl Bench {
    fn new(patient: bool, path: &[Input]) -> Self {
        let mut bench = Self {
            services: Services::new(),
            machine: Recovery::new(SessionId::from_number(1), patient),
        };
        for input in path {
            bench.step(*input);
        }
        bench
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.machine
            .step(&mut self.services.cx(), input, INTERVAL, &mut out);
        out
    }

    fn name(&self) -> &'static str {
        self.machine.fingerprint(self.services.now).state
    }

    /// How long until each of its timers.
    fn timers(&self) -> [Option<u64>; 2] {
        let print = self.machine.fingerprint(self.services.now);
        [print.again, print.limit].map(|left| left.map(|left| left.as_secs()))
    }
}

// rules: S17
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let [dialog, registration, wait] = FAILED;
    let not = |far| Input::NotHealed { far };
    let (again, limit) = (Input::Fired(Timer::Again), Input::Fired(Timer::Limit));
    let healthy: &[Input] = &[];
    let healing: &[Input] = &[dialog];
    let waiting: &[Input] = &[dialog, Input::NotHealed { far: false }];
    let far: &[Input] = &[wait];
    let registering: &[Input] = &[registration];
    let over: &[Input] = &[Input::Over];
    let begun = Changed(Recovering);
    let well: &[Effect] = &[Changed(Healthy), Release];
    let table: &[(&[Input], Input, &str, &[Effect])] = &[
        (healthy, dialog, "Healing", &[begun, Heal]),
        (healthy, registration, "Registering", &[begun, Register]),
        (healthy, wait, "Waiting", &[begun]),
        (healthy, Input::Healed, "Healthy", &[]),
        (healthy, not(true), "Healthy", &[]),
        (healthy, not(false), "Healthy", &[]),
        (healthy, Input::Registered, "Healing", &[begun, Heal]),
        (healthy, Input::Over, "Over", &[]),
        (healthy, again, "Healthy", &[]),
        (healthy, limit, "Healthy", &[]),
        (healing, dialog, "Healing", &[]),
        (healing, registration, "Healing", &[]),
        (healing, wait, "Healing", &[]),
        (healing, Input::Healed, "Healthy", well),
        (healing, not(true), "Waiting", &[Fail]),
        (healing, not(false), "Waiting", &[Fail]),
        (healing, Input::Registered, "Healing", &[]),
        (healing, Input::Over, "Over", &[]),
        (healing, again, "Healing", &[]),
        (healing, limit, "Over", &[GiveUp]),
        (waiting, dialog, "Healing", &[Heal]),
        (waiting, registration, "Registering", &[Register]),
        (waiting, wait, "Waiting", &[]),
        (waiting, Input::Healed, "Healthy", well),
        (waiting, not(true), "Waiting", &[]),
        (waiting, not(false), "Waiting", &[]),
        (waiting, Input::Registered, "Healing", &[Heal]),
        (waiting, Input::Over, "Over", &[]),
        (waiting, again, "Healing", &[Heal]),
        (waiting, limit, "Over", &[GiveUp]),
        (far, dialog, "Healing", &[Heal]),
        (far, registration, "Registering", &[Register]),
        (far, wait, "Waiting", &[]),
        (far, Input::Healed, "Healthy", well),
        (far, again, "Healing", &[Heal]),
        (far, limit, "Over", &[GiveUp]),
        (registering, dialog, "Registering", &[]),
        (registering, registration, "Registering", &[]),
        (registering, wait, "Registering", &[]),
        (registering, Input::Healed, "Healthy", well),
        (registering, not(true), "Registering", &[]),
        (registering, not(false), "Registering", &[]),
        (registering, Input::Registered, "Healing", &[Heal]),
        (registering, Input::Over, "Over", &[]),
        (registering, again, "Registering", &[]),
        (registering, limit, "Over", &[GiveUp]),
        (over, dialog, "Over", &[]),
        (over, registration, "Over", &[]),
        (over, wait, "Over", &[]),
        (over, Input::Healed, "Over", &[]),
        (over, not(true), "Over", &[]),
        (over, not(false), "Over", &[]),
        (over, Input::Registered, "Over", &[]),
        (over, Input::Over, "Over", &[]),
        (over, again, "Over", &[]),
        (over, limit, "Over", &[]),
    ];
    for (path, input, state, effects) in table {
        let mut bench = Bench::new(false, path);
        let before = bench.name();
        assert_eq!(bench.step(*input), *effects, "{before} <- {input:?}");
        assert_eq!(bench.name(), *state, "{before} <- {input:?}");
    }
}

// rules: S17
#[test]
fn it_is_tried_again_ever_later_and_not_for_ever() {
    let mut bench = Bench::new(false, &[FAILED[0]]);
    assert_eq!(bench.timers(), [None, Some(180)]);
    for wait in [4, 8, 16, 32, 64, 64] {
        bench.step(Input::NotHealed { far: false });
        assert_eq!(bench.timers(), [Some(wait), Some(180)]);
        bench.step(Input::Fired(Timer::Again));
        assert_eq!(bench.timers(), [None, Some(180)]);
    }
    // Who can only wait asks at the interval of the session timer.
    bench.step(Input::NotHealed { far: true });
    assert_eq!(bench.timers(), [Some(90), Some(180)]);
}

// rules: S17
#[test]
fn who_is_patient_waits_for_the_peer_for_ever_and_sends_meanwhile() {
    for (patient, limit, sends) in [(false, Some(180), false), (true, None, true)] {
        let mut bench = Bench::new(patient, &[FAILED[2]]);
        assert_eq!(
            (bench.timers(), bench.machine.sends()),
            ([Some(90), limit], sends)
        );
        bench.step(Input::Fired(Timer::Again));
        assert_eq!((bench.timers(), bench.machine.sends()), ([None, limit], sends));
        bench.step(Input::NotHealed { far: false });
        assert_eq!((bench.timers()[1], bench.machine.sends()), (limit, sends));
        // What this side can heal is bounded, and held back, for both.
        bench.step(FAILED[0]);
        assert_eq!(
            (bench.timers(), bench.machine.sends()),
            ([None, Some(180)], false)
        );
        bench.step(Input::NotHealed { far: true });
        assert_eq!(
            (bench.timers(), bench.machine.sends()),
            ([Some(90), limit], sends)
        );
        bench.step(Input::Healed);
        assert_eq!((bench.timers(), bench.machine.sends()), ([None, None], true));
    }
}
