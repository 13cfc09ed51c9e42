//! The publication under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::publishing::{Effect, Input, Publishing, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::event::{OperationError, PublicationReason, SubscriptionReason};
use crate::ids::{FromNumber, Ids, OperationId, PublicationId};
use crate::laws::Subject;
use crate::subscription::Refusal;
use crate::time::Time;
use crate::timers::TimerKey;

#[derive(Clone, Debug)]
pub(crate) struct Published(Publishing);

const GRANTED: Duration = Duration::from_secs(60);

fn refused() -> Input {
    let final_ = Refusal::Final(SubscriptionReason::Refused);
    Input::Refused(final_, OperationError::Timeout)
}

impl Subject for Published {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 4;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] =
        &[("Published", &["Fired"]), ("WaitingForRetry", &["Fired"])];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let id = PublicationId::from_number(1);
        let mut new = Self(Publishing::new(id, services.ids.next()));
        let (modify, remove) = (services.ids.next(), services.ids.next());
        let path = [
            Input::Accepted { granted: GRANTED },
            Input::Modify(modify),
            Input::Remove(remove),
        ];
        for input in path.into_iter().take(way) {
            new.step(input, services);
        }
        new
    }

    fn inputs(ids: &mut Ids) -> Vec<Input> {
        let temporary = Refusal::Temporary { after: None };
        vec![
            Input::Modify(ids.next()),
            Input::Modify(ids.next()),
            Input::Remove(ids.next()),
            Input::Accepted { granted: GRANTED },
            Input::Accepted {
                granted: Duration::ZERO,
            },
            Input::Stale(OperationError::Timeout),
            Input::Refused(temporary, OperationError::Timeout),
            refused(),
            Input::Withdrawn,
            Input::Lost(PublicationReason::Forgotten),
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        assert!(matches!(key, TimerKey::Publication(_)), "{key:?}");
        self.step(Input::Fired, services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Its table has dropped it by then; a command for it would complete at once.
    fn ignores(&self, input: &Input) -> bool {
        self.is_over() && !matches!(input, Input::Remove(_) | Input::Modify(_))
    }

    fn holds(&self) -> usize {
        self.0.pending()
    }

    /// The application removes it, and what it has sent is answered in the time of its exchange.
    fn closing(ids: &mut Ids) -> Vec<Input> {
        vec![Input::Remove(ids.next()), refused(), refused()]
    }

    fn bound(_config: &Config) -> Duration {
        Duration::ZERO
    }

    fn operation(input: &Input) -> Option<OperationId> {
        match input {
            Input::Modify(operation) | Input::Remove(operation) => Some(*operation),
            Input::Accepted { .. }
            | Input::Stale(_)
            | Input::Refused(..)
            | Input::Withdrawn
            | Input::Lost(_)
            | Input::Fired => None,
        }
    }
}
