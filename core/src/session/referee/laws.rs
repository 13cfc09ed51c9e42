//! A REFER of the peer under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::{Effect, Input, Referee, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{FromNumber, Ids, ReferralId, SessionId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;
use crate::wire::StatusCode;

#[derive(Clone, Debug)]
pub(crate) struct Referred(Referee);

impl Subject for Referred {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 2;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] =
        &[("Asked", &["Fired"]), ("Following", &["Fired"])];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let (session, id) = (SessionId::from_number(1), ReferralId::from_number(2));
        let mut new = Self(Referee::new(&mut services.cx(), session, id));
        if way == 1 {
            new.step(Input::Accept, services);
        }
        new
    }

    fn inputs(_ids: &mut Ids) -> Vec<Input> {
        vec![
            Input::Accept,
            Input::Refuse(StatusCode::DECLINE),
            Input::Progress(StatusCode::RINGING),
            Input::Progress(StatusCode::OK),
            Input::Unheard,
        ]
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let mut effects: Vec<Effect> = Vec::new();
        self.0.step(&mut services.cx(), input, &mut effects);
        effects.iter().map(|effect| format!("{effect:?}")).collect()
    }

    fn fire(&mut self, _key: TimerKey, services: &mut Services) -> Vec<String> {
        self.step(Input::Fired, services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?}", self.0.fingerprint(now))
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// The application refuses it, or the call that it made comes to its end.
    fn closing(_ids: &mut Ids) -> Vec<Input> {
        vec![
            Input::Refuse(StatusCode::DECLINE),
            Input::Progress(StatusCode::REQUEST_TIMEOUT),
        ]
    }

    fn bound(_config: &Config) -> Duration {
        Duration::ZERO
    }
}
