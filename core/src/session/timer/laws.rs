//! The timer of a session under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::{Effect, Input, SessionTimer, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{FromNumber, Ids, SessionId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;

#[derive(Clone, Debug)]
pub(crate) struct Timing(SessionTimer);

impl Subject for Timing {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 2;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("Waiting", &["FiredDue", "FiredEnd"]),
        ("Refreshing", &["FiredEnd"]),
        ("Watching", &["FiredEnd"]),
    ];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let mut new = Self(SessionTimer::new(SessionId::from_number(1)));
        if way == 1 {
            let interval = Duration::from_secs(90);
            new.step(Input::Agreed { interval, ours: true }, services);
        }
        new
    }

    fn inputs(_ids: &mut Ids) -> Vec<Input> {
        let agreed = |seconds, ours| Input::Agreed {
            interval: Duration::from_secs(seconds),
            ours,
        };
        vec![
            agreed(90, true),
            agreed(2, true),
            agreed(90, false),
            Input::NotAgreed,
            Input::Refused,
            Input::Lost,
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Refresh(_, timer) = key else {
            panic!("{key:?}")
        };
        self.step(Input::Fired(timer), services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Nobody refreshes it any more.
    fn closing(_ids: &mut Ids) -> Vec<Input> {
        vec![Input::Agreed {
            interval: Duration::from_secs(90),
            ours: false,
        }]
    }

    fn bound(_config: &Config) -> Duration {
        Duration::from_secs(60)
    }
}
