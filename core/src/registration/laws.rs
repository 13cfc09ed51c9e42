//! The machine under the laws.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use bytes::Bytes;

use super::{Effect, Input, OnDrop, Registration, State, cells};
use crate::auth::{AuthenticationFailure, AuthenticationFailureReason};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::event::{OperationError, RegistrationReason};
use crate::ids::{EndpointId, FromNumber, Ids, OperationId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;
use crate::wire::{Message, MessageLimits};

/// It is never over for good: Unregistered is where it rests.
#[derive(Clone, Debug)]
pub(crate) struct Registering(Registration);

fn accepted(seconds: u64, anew: bool) -> Input {
    Input::Accepted {
        granted: Duration::from_secs(seconds),
        anew,
    }
}

fn unauthorized() -> Message {
    let bytes = Bytes::from_static(b"SIP/2.0 401 Unauthorized\r\n\r\n");
    Message::parse(bytes, &MessageLimits::default()).expect("a message")
}

impl Subject for Registering {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 3;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("Registered", &["Fired"]),
        ("RegisteredRefreshing", &["Fired"]),
        ("RegisteredToTheEnd", &["Fired"]),
        ("Lapsed", &["Fired"]),
    ];
    type Input = Input;

    /// With and without refresh; and in the midst of one, from where histories reach what they come to late.
    fn make(way: usize, services: &mut Services) -> Self {
        let mut registering = Self(Registration::new(EndpointId::from_number(1), way != 1));
        if way == 2 {
            let operation = services.ids.next();
            registering.step(Input::Register(operation), services);
            registering.step(accepted(3600, false), services);
            if let Some((at, key)) = services.timers.pop_due(Time::MAX) {
                services.now = at;
                registering.fire(key, services);
            }
        }
        registering
    }

    fn inputs(ids: &mut Ids) -> Vec<Input> {
        let failure = AuthenticationFailure {
            reason: AuthenticationFailureReason::InvalidCredentials,
            realm: None,
            offered: Vec::new(),
            kerberos: None,
        };
        let refused = OperationError::Authentication {
            failure,
            response: Box::new(unauthorized()),
        };
        vec![
            Input::Register(ids.next()),
            Input::Unregister(ids.next()),
            accepted(3600, false),
            accepted(8, false),
            accepted(3600, true),
            Input::Missing(OperationError::Timeout),
            Input::Refused(refused),
            Input::Refused(OperationError::Timeout),
            Input::Dropped(OnDrop::Reconnect(OperationError::Timeout)),
            Input::Dropped(OnDrop::GiveUp),
            Input::Dropped(OnDrop::Keep),
            Input::NetworkChanged,
            Input::Deregistered(RegistrationReason::UserMoved),
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, _: TimerKey, services: &mut Services) -> Vec<String> {
        self.step(Input::Fired, services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        !self.0.is_bound()
    }

    fn ignores(&self, input: &Input) -> bool {
        self.is_over() && !matches!(input, Input::Register(_) | Input::Unregister(_))
    }

    fn holds(&self) -> usize {
        let waiting = match &self.0.state {
            State::Unregistered | State::Registered { .. } | State::Lapsed { .. } | State::Dismissed => 0,
            State::Registering { .. } => 1,
            State::Unregistering { operations } => operations.len(),
        };
        waiting + self.0.leaving.len()
    }

    /// The application unregisters, and each REGISTER under way has its answer in the time of its exchange.
    fn closing(ids: &mut Ids) -> Vec<Input> {
        let timeout = || Input::Refused(OperationError::Timeout);
        vec![Input::Unregister(ids.next()), timeout(), timeout()]
    }

    fn bound(_: &Config) -> Duration {
        Duration::ZERO
    }

    fn operation(input: &Input) -> Option<OperationId> {
        match input {
            Input::Register(operation) | Input::Unregister(operation) => Some(*operation),
            Input::Accepted { .. }
            | Input::Missing(_)
            | Input::Refused(_)
            | Input::Fired
            | Input::Dropped(_)
            | Input::NetworkChanged
            | Input::Deregistered(_) => None,
        }
    }
}
