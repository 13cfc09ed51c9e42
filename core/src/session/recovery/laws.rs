//! The recovery of a route set under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::{Effect, Input, Recovery, Remedy, State, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{FromNumber, Ids, SessionId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;

const INTERVAL: Duration = Duration::from_secs(90);

#[derive(Clone, Debug)]
pub(crate) struct Recovering(Recovery);

impl Subject for Recovering {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 2;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("Healing", &["FiredLimit"]),
        ("Waiting", &["FiredAgain", "FiredLimit"]),
        ("Registering", &["FiredLimit"]),
    ];
    type Input = Input;

    fn make(way: usize, _services: &mut Services) -> Self {
        Self(Recovery::new(SessionId::from_number(1), way == 1))
    }

    fn inputs(_ids: &mut Ids) -> Vec<Input> {
        vec![
            Input::Failed(Remedy::Dialog),
            Input::Failed(Remedy::Registration),
            Input::Failed(Remedy::Wait),
            Input::Healed,
            Input::NotHealed { far: true },
            Input::NotHealed { far: false },
            Input::Registered,
            Input::Over,
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, INTERVAL, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Session(_, crate::session::Timer::Recovery(timer)) = key else {
            unreachable!("its own timers only")
        };
        self.step(Input::Fired(timer), services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.0.state == State::Over
    }

    /// Its session ends.
    fn closing(_ids: &mut Ids) -> Vec<Input> {
        vec![Input::Over]
    }

    fn bound(config: &Config) -> Duration {
        config.route_recovery_limit
    }
}
