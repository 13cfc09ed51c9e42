//! The subscription of somebody under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::watching::{Effect, Input, State, Watching, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{FromNumber, Ids, OperationId, WatcherId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;

#[derive(Clone, Debug)]
pub(crate) struct Watched(Watching);

const GRANTED: Duration = Duration::from_secs(60);

impl Subject for Watched {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 3;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] =
        &[("Offered", &["Fired"]), ("Watched", &["Fired"])];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let mut new = Self(Watching::new(&mut services.cx(), WatcherId::from_number(1)));
        let granted = Some(GRANTED);
        let path = [Input::Accept { granted }, Input::Left];
        for input in path.into_iter().take(way) {
            new.step(input, services);
        }
        new
    }

    fn inputs(ids: &mut Ids) -> Vec<Input> {
        vec![
            Input::Accept {
                granted: Some(GRANTED),
            },
            Input::Accept { granted: None },
            Input::Reject,
            Input::Notify,
            Input::Terminate(ids.next()),
            Input::Refreshed { granted: GRANTED },
            Input::Left,
            Input::Settled,
            Input::Gone,
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        let completion = |effect: &Effect| match effect {
            Effect::Complete(operation) => format!("Complete({operation}, Ok)"),
            Effect::SendNotify | Effect::SendLast(_) | Effect::Refuse(_) | Effect::Ended(_) => {
                format!("{effect:?}")
            }
        };
        effects.iter().map(completion).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        assert!(matches!(key, TimerKey::Watcher(_)), "{key:?}");
        self.step(Input::Fired, services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        matches!(self.0.machine_state(), State::Over)
    }

    /// Its table has dropped it by then; a command for it would complete at once.
    fn ignores(&self, input: &Input) -> bool {
        self.is_over() && !matches!(input, Input::Terminate(_))
    }

    /// The application ends it, and the last NOTIFY is answered in the time of its exchange.
    fn closing(ids: &mut Ids) -> Vec<Input> {
        vec![Input::Terminate(ids.next()), Input::Settled]
    }

    fn bound(_config: &Config) -> Duration {
        Duration::ZERO
    }

    fn operation(input: &Input) -> Option<OperationId> {
        match input {
            Input::Terminate(operation) => Some(*operation),
            Input::Accept { .. }
            | Input::Reject
            | Input::Notify
            | Input::Refreshed { .. }
            | Input::Left
            | Input::Settled
            | Input::Gone
            | Input::Fired => None,
        }
    }
}
