//! The invitation under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::invitation::{Effect, Input, Invitation, State, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::event::{OperationError, SessionReason};
use crate::ids::{FromNumber, Ids, OperationId, SessionId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;

#[derive(Clone, Debug)]
pub(crate) struct Inviting(Invitation);

impl Subject for Inviting {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 5;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("Inviting", &["FiredLimit"]),
        ("Redirecting", &["FiredLimit"]),
        ("Answering", &["FiredLimit"]),
        ("Offered", &["FiredLimit"]),
        ("Accepting", &["FiredAgain", "FiredLimit"]),
    ];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let id = SessionId::from_number(1);
        // So few repetitions that a history comes to the end of the wait for the ACK.
        services.config.t2 = services.config.t1 * 64;
        // S12: zero is no limit.
        if way == 3 {
            services.config.max_connect_duration = Duration::ZERO;
        }
        let mut new = Self(match way {
            0..=2 => Invitation::outgoing(id),
            _ => Invitation::incoming(&mut services.cx(), id),
        });
        // Further along from the start, or hardly a history would come to the answer.
        let path = [
            Input::Establish(services.ids.next()),
            Input::Success { offer: true },
        ];
        let steps = [0, 1, 2, 0, 0];
        for input in path.into_iter().take(steps[way]) {
            new.step(input, services);
        }
        new
    }

    fn inputs(ids: &mut Ids) -> Vec<Input> {
        vec![
            Input::Establish(ids.next()),
            Input::Establish(ids.next()),
            Input::Accept(ids.next()),
            Input::Accept(ids.next()),
            Input::Decline(SessionReason::Declined),
            Input::Answer,
            Input::Terminate(ids.next()),
            Input::Provisional,
            Input::Redirected,
            Input::Retry,
            Input::Success { offer: false },
            Input::Success { offer: true },
            Input::Failure(OperationError::Timeout, SessionReason::Timeout),
            Input::Ack,
            Input::Bye,
            Input::Cancel,
            Input::ByeDone,
            Input::Gone,
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Session(_, timer) = key else {
            panic!("{key:?}")
        };
        self.step(Input::Fired(timer), services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        matches!(self.0.machine_state(), State::Disconnected)
    }

    /// Its session is gone by then; a command for it would complete at once.
    fn ignores(&self, input: &Input) -> bool {
        self.is_over() && !matches!(input, Input::Terminate(_))
    }

    /// The application ends it, and what it has sent is answered in the time of its exchange.
    fn closing(ids: &mut Ids) -> Vec<Input> {
        let failure = Input::Failure(OperationError::Timeout, SessionReason::Timeout);
        vec![Input::Terminate(ids.next()), failure, Input::ByeDone]
    }

    /// A 2xx waits for its ACK.
    fn bound(config: &Config) -> Duration {
        config.t1 * 64
    }

    fn operation(input: &Input) -> Option<OperationId> {
        match input {
            Input::Establish(operation) | Input::Accept(operation) | Input::Terminate(operation) => {
                Some(*operation)
            }
            Input::Decline(_)
            | Input::Answer
            | Input::Provisional
            | Input::Redirected
            | Input::Retry
            | Input::Success { .. }
            | Input::Failure(..)
            | Input::Ack
            | Input::Bye
            | Input::Cancel
            | Input::ByeDone
            | Input::Gone
            | Input::Fired(_) => None,
        }
    }
}
