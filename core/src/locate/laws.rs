//! A question to the domain name system under the laws, in its table, which takes it away as it ends.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::query::{self, Queries, Resolution, Told};
use crate::action::{Answer, ResolveError};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{ConnId, FromNumber, Ids, QueryId};
use crate::laws::Subject;
use crate::map::HashKey;
use crate::time::Time;
use crate::timers::TimerKey;

#[derive(Clone, Debug)]
pub(crate) struct Question {
    queries: Queries,
    id: QueryId,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// One more waits for the answer.
    Ask(ConnId),
    Resolved(Resolution),
}

fn question() -> crate::action::Question {
    crate::action::Question::Addresses("example.com".to_string())
}

fn told(told: Option<Told>) -> Vec<String> {
    told.iter().map(|told| format!("{told:?}")).collect()
}

impl Subject for Question {
    const MACHINE: Machine = query::cells::MACHINE;
    const WAYS: usize = 3;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] =
        &[("Asked", &["Timer"]), ("Telling", &["Timer"])];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let mut queries = Queries::new(HashKey(1, 2));
        let waiters = [1, 300, 600];
        for number in 0..waiters[way] {
            queries.ask(&mut services.cx(), question(), ConnId::from_number(number));
        }
        Self {
            queries,
            id: QueryId::from_number(1),
        }
    }

    fn inputs(ids: &mut Ids) -> Vec<Input> {
        let answer = Answer::Addresses {
            addresses: vec![[192, 0, 2, 1].into()],
            ttl: Duration::ZERO,
        };
        vec![
            Input::Ask(ids.next()),
            Input::Resolved(Ok(answer)),
            Input::Resolved(Err(ResolveError::NoSuchName)),
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        match input {
            // Who asks when it is over asks another question.
            Input::Ask(_) if self.is_over() => Vec::new(),
            Input::Ask(waiter) => {
                self.queries.ask(&mut services.cx(), question(), waiter);
                Vec::new()
            }
            Input::Resolved(resolution) => {
                told(self.queries.resolved(&mut services.cx(), self.id, resolution))
            }
        }
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        assert_eq!(key, TimerKey::Resolve(self.id));
        told(self.queries.timer(&mut services.cx(), self.id))
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.queries.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.queries.len() == 0
    }

    fn holds(&self) -> usize {
        self.queries.len()
    }

    fn bound(config: &Config) -> Duration {
        config.resolve_timeout
    }
}
