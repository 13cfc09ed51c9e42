//! The subscription under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::usage::{Effect, Input, Refusal, Standing, State, Usage, Why, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::event::{OperationError, SubscriptionReason};
use crate::ids::{FromNumber, Ids, OperationId, SubscriptionId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;

#[derive(Clone, Debug)]
pub(crate) struct Subscribing(Usage);

const GRANTED: Duration = Duration::from_secs(60);

impl Subject for Subscribing {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 12;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("QueryingAnswered", &["FiredSilent"]),
        ("SubscribedSilent", &["FiredDue", "FiredSilent"]),
        ("Subscribed", &["FiredDue"]),
        ("RefreshingSilent", &["FiredSilent"]),
        ("WaitingForRetry", &["FiredDue"]),
        ("LeavingAnswered", &["FiredSilent"]),
    ];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let id = SubscriptionId::from_number(1);
        if way == 1 {
            let usage = Usage::forked(&mut services.cx(), id, GRANTED);
            return Self(usage);
        }
        let mut new = Self(Usage::new(id));
        // Further along from the start, or hardly a history would come to the end of it.
        let operation = |services: &mut Services| services.ids.next();
        let lasts = Input::Notified(Standing::Lasts { expires: None });
        let over = Input::Notified(Standing::Over {
            why: Why::Deactivated,
            after: None,
        });
        let terminate = |services: &mut Services, patient| Input::Terminate {
            operation: operation(services),
            patient,
        };
        let accepted = || Input::Accepted { granted: GRANTED };
        let mut path = vec![match way {
            2 | 3 | 10 => Input::Query(operation(services)),
            _ => Input::Subscribe(operation(services)),
        }];
        match way {
            0 => path.clear(),
            2 => path.push(accepted()),
            3 => path.push(lasts),
            4 => path.push(accepted()),
            5 => path.push(over),
            6 => path.extend([accepted(), lasts, Input::Update(operation(services))]),
            7 => path.extend([accepted(), Input::Update(operation(services))]),
            8 => path.extend([accepted(), lasts, terminate(services, true), accepted()]),
            10 => {}
            9 => path.extend([accepted(), lasts, terminate(services, false)]),
            _ => path.extend([
                accepted(),
                lasts,
                Input::Update(operation(services)),
                terminate(services, true),
            ]),
        }
        for input in path {
            new.step(input, services);
        }
        new
    }

    fn inputs(ids: &mut Ids) -> Vec<Input> {
        let notified = |why, after: Option<u64>| {
            let after = after.map(Duration::from_secs);
            Input::Notified(Standing::Over { why, after })
        };
        let lasts = |expires: Option<u64>| {
            let expires = expires.map(Duration::from_secs);
            Input::Notified(Standing::Lasts { expires })
        };
        vec![
            Input::Subscribe(ids.next()),
            Input::Query(ids.next()),
            Input::Update(ids.next()),
            Input::Update(ids.next()),
            Input::Terminate {
                operation: ids.next(),
                patient: true,
            },
            Input::Terminate {
                operation: ids.next(),
                patient: false,
            },
            Input::Accepted { granted: GRANTED },
            Input::Accepted {
                granted: Duration::ZERO,
            },
            Input::Refused(Refusal::Temporary { after: None }, OperationError::Timeout),
            Input::Refused(
                Refusal::Final(SubscriptionReason::Refused),
                OperationError::Timeout,
            ),
            Input::Withdrawn,
            lasts(None),
            lasts(Some(10)),
            notified(Why::Rejected, None),
            notified(Why::Deactivated, None),
            notified(Why::GivenUp, Some(20)),
            Input::Lost(SubscriptionReason::Forgotten),
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Subscription(_, timer) = key else {
            panic!("{key:?}")
        };
        self.step(Input::Fired(timer), services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(Config::default().backoff_max, now))
    }

    fn is_over(&self) -> bool {
        matches!(self.0.machine_state(), State::Terminated)
    }

    /// Its table has dropped it by then; a command for it would complete at once.
    fn ignores(&self, input: &Input) -> bool {
        self.is_over() && !matches!(input, Input::Terminate { .. } | Input::Update(_))
    }

    fn holds(&self) -> usize {
        self.0.pending()
    }

    /// The application ends it, and what it has sent is answered in the time of its exchange.
    fn closing(ids: &mut Ids) -> Vec<Input> {
        let operation = ids.next();
        let refused = || {
            Input::Refused(
                Refusal::Final(SubscriptionReason::Refused),
                OperationError::Timeout,
            )
        };
        let patient = true;
        vec![Input::Terminate { operation, patient }, refused()]
    }

    /// The last NOTIFY is waited for.
    fn bound(config: &Config) -> Duration {
        config.t1 * 64
    }

    fn operation(input: &Input) -> Option<OperationId> {
        match input {
            Input::Subscribe(operation)
            | Input::Query(operation)
            | Input::Update(operation)
            | Input::Terminate { operation, .. } => Some(*operation),
            Input::Accepted { .. }
            | Input::Refused(..)
            | Input::Withdrawn
            | Input::Notified(_)
            | Input::Lost(_)
            | Input::Fired(_) => None,
        }
    }
}
