//! A REFER of ours under the laws.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::{Effect, Input, Lasts, Referral, cells};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{FromNumber, Ids, ReferralId, SessionId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;
use crate::wire::StatusCode;

#[derive(Clone, Debug)]
pub(crate) struct Referring(Referral);

impl Subject for Referring {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 3;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[("Watching", &["Fired"])];
    type Input = Input;

    /// Further along from the start, or hardly a history would come to the end of the promise.
    fn make(way: usize, services: &mut Services) -> Self {
        let mut new = Self(Referral::new(
            SessionId::from_number(1),
            ReferralId::from_number(2),
        ));
        let path = [Input::Release, Input::Accepted(StatusCode::ACCEPTED)];
        for input in path.into_iter().take(way) {
            new.step(input, services);
        }
        new
    }

    fn inputs(_ids: &mut Ids) -> Vec<Input> {
        let report = |status, lasts| Input::Report { status, lasts };
        vec![
            Input::Release,
            Input::Accepted(StatusCode::ACCEPTED),
            Input::Refused(StatusCode::DECLINE),
            Input::Unanswered,
            report(StatusCode::TRYING, Lasts::For(Duration::from_secs(60))),
            report(StatusCode::RINGING, Lasts::AsBefore),
            report(StatusCode::OK, Lasts::AsBefore),
            report(StatusCode::RINGING, Lasts::Ended),
            report(StatusCode::OK, Lasts::Ended),
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

    /// It goes, and the answer comes in the time of its exchange; the peer's promise runs out.
    fn closing(_ids: &mut Ids) -> Vec<Input> {
        vec![Input::Release, Input::Unanswered]
    }

    /// What a NOTIFY may promise here.
    fn bound(_config: &Config) -> Duration {
        Duration::from_secs(60)
    }
}
