//! The machines of a session under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::invitation::{Effect, Input, Invitation, State, cells};
use super::offer::{self, Carrier, Offers};
use super::proposal::{self, Proposal};
use super::reliable::{self, Reliable};
use super::renegotiation::{self, Renegotiation};
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
    const WAYS: usize = 6;
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
            0..=2 | 5 => Invitation::outgoing(id),
            _ => Invitation::incoming(&mut services.cx(), id),
        });
        // Further along from the start, or hardly a history would come to the answer, or to a redirection.
        let path = [
            Input::Establish(services.ids.next()),
            if way == 5 {
                Input::Redirected
            } else {
                Input::Success { offer: true }
            },
        ];
        let steps = [0, 1, 2, 0, 0, 2];
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
            Input::Unanswered,
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Session(_, super::Timer::Invitation(timer)) = key else {
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
            | Input::Unanswered
            | Input::Fired(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Offering(Offers);

impl Subject for Offering {
    const MACHINE: Machine = offer::cells::MACHINE;
    const WAYS: usize = 1;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[];
    type Input = offer::Input;

    fn make(_: usize, _: &mut Services) -> Self {
        Self(Offers::new())
    }

    fn inputs(_: &mut Ids) -> Vec<offer::Input> {
        use offer::Input::{Asked, Asks, Lapsed, Received, Sent};
        let carriers = [
            Carrier::Invite,
            Carrier::Reliable,
            Carrier::Success,
            Carrier::Ack,
            Carrier::Prack,
            Carrier::PrackSuccess,
            Carrier::Update,
            Carrier::UpdateSuccess,
        ];
        let bodies = carriers
            .into_iter()
            .flat_map(|carrier| [Sent(carrier), Received(carrier)]);
        bodies.chain([Asks, Asked, Lapsed]).collect()
    }

    fn step(&mut self, input: offer::Input, services: &mut Services) -> Vec<String> {
        vec![format!("{:?}", self.0.step(&mut services.cx(), input))]
    }

    fn fire(&mut self, key: TimerKey, _: &mut Services) -> Vec<String> {
        panic!("{key:?}")
    }

    fn print(&self, _: Time) -> String {
        format!("{:?}", self.0.state())
    }

    fn is_over(&self) -> bool {
        self.0.is_settled()
    }

    /// There may always be another.
    fn ignores(&self, _: &offer::Input) -> bool {
        false
    }

    fn closing(_: &mut Ids) -> Vec<offer::Input> {
        vec![offer::Input::Lapsed]
    }

    fn bound(_: &Config) -> Duration {
        Duration::ZERO
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Renegotiating(Renegotiation);

impl Subject for Renegotiating {
    const MACHINE: Machine = renegotiation::cells::MACHINE;
    const WAYS: usize = 1;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] =
        &[("Sent", &["FiredLimit"]), ("Waiting", &["FiredAgain"])];
    type Input = renegotiation::Input;

    fn make(_: usize, _: &mut Services) -> Self {
        Self(Renegotiation::new(SessionId::from_number(1)))
    }

    fn inputs(ids: &mut Ids) -> Vec<renegotiation::Input> {
        use renegotiation::Input as In;
        let mut begin = |free, bounded| In::Renegotiate {
            operation: ids.next(),
            free,
            bounded,
        };
        vec![
            begin(true, true),
            begin(true, false),
            begin(false, true),
            begin(true, true),
            begin(false, false),
            In::Free { bounded: true },
            In::Free { bounded: false },
            In::Taken,
            In::Refused(OperationError::Timeout, None),
            In::Refused(OperationError::Timeout, Some(Duration::from_millis(2_100))),
            In::Cancel,
            In::Over,
        ]
    }

    fn step(&mut self, input: renegotiation::Input, services: &mut Services) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Session(_, super::Timer::Renegotiation(timer)) = key else {
            panic!("{key:?}")
        };
        let input = renegotiation::Input::Fired {
            timer,
            free: true,
            bounded: true,
        };
        self.step(input, services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.0.is_idle()
    }

    /// There may always be another.
    fn ignores(&self, _: &renegotiation::Input) -> bool {
        false
    }

    fn closing(_: &mut Ids) -> Vec<renegotiation::Input> {
        vec![renegotiation::Input::Over]
    }

    fn bound(_: &Config) -> Duration {
        Duration::ZERO
    }

    fn operation(input: &renegotiation::Input) -> Option<OperationId> {
        use renegotiation::Input as In;
        match input {
            In::Renegotiate { operation, .. } => Some(*operation),
            In::Free { .. } | In::Taken | In::Refused(..) | In::Cancel | In::Over | In::Fired { .. } => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Proposing(Proposal);

impl Subject for Proposing {
    const MACHINE: Machine = proposal::cells::MACHINE;
    const WAYS: usize = 1;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("Asked", &["FiredLimit"]),
        ("Accepted", &["FiredAgain", "FiredLimit"]),
    ];
    type Input = proposal::Input;

    fn make(_: usize, services: &mut Services) -> Self {
        // So few repetitions that a history comes to the end of the wait for the ACK.
        services.config.t2 = services.config.t1 * 64;
        Self(Proposal::new(SessionId::from_number(1)))
    }

    fn inputs(ids: &mut Ids) -> Vec<proposal::Input> {
        use proposal::Input as In;
        let mut accept = |acknowledged| In::Accept {
            operation: ids.next(),
            acknowledged,
        };
        vec![
            In::Received,
            In::Received,
            accept(true),
            accept(true),
            accept(false),
            In::Reject,
            In::Cancel,
            In::Ack,
            In::Over,
        ]
    }

    fn step(&mut self, input: proposal::Input, services: &mut Services) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Session(_, super::Timer::Proposal(timer)) = key else {
            panic!("{key:?}")
        };
        self.step(proposal::Input::Fired(timer), services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.0.is_idle()
    }

    /// There may always be another.
    fn ignores(&self, _: &proposal::Input) -> bool {
        false
    }

    fn closing(_: &mut Ids) -> Vec<proposal::Input> {
        vec![proposal::Input::Over]
    }

    fn bound(_: &Config) -> Duration {
        Duration::ZERO
    }

    fn operation(input: &proposal::Input) -> Option<OperationId> {
        use proposal::Input as In;
        match input {
            In::Accept { operation, .. } => Some(*operation),
            In::Received | In::Reject | In::Cancel | In::Ack | In::Over | In::Fired(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Replying(Reliable);

impl Subject for Replying {
    const MACHINE: Machine = reliable::cells::MACHINE;
    const WAYS: usize = 1;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] =
        &[("Waiting", &["FiredAgain", "FiredLimit"])];
    type Input = reliable::Input;

    fn make(_: usize, _: &mut Services) -> Self {
        Self(Reliable::new(SessionId::from_number(1), 0))
    }

    fn inputs(_: &mut Ids) -> Vec<reliable::Input> {
        use reliable::Input as In;
        vec![In::Send, In::Send, In::Send, In::Prack(0), In::Final, In::Over]
    }

    fn step(&mut self, input: reliable::Input, services: &mut Services) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        // The number is drawn.
        let shown = |effect: &reliable::Effect| match effect {
            reliable::Effect::Send(_) => String::from("Send"),
            reliable::Effect::Repeat
            | reliable::Effect::Acknowledged
            | reliable::Effect::Unknown
            | reliable::Effect::Expired => format!("{effect:?}"),
        };
        effects.iter().map(shown).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Session(_, super::Timer::Reliable(_, timer)) = key else {
            panic!("{key:?}")
        };
        self.step(reliable::Input::Fired(timer), services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.0.is_idle()
    }

    /// There may always be another.
    fn ignores(&self, _: &reliable::Input) -> bool {
        false
    }

    fn closing(_: &mut Ids) -> Vec<reliable::Input> {
        vec![reliable::Input::Over]
    }

    fn bound(_: &Config) -> Duration {
        Duration::ZERO
    }
}
