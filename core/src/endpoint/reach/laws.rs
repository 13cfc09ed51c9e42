//! The state of a peer-to-peer endpoint under the laws.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{EndpointId, FromNumber, Ids};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::TimerKey;

/// It is never over for good: Disconnected is where it rests.
#[derive(Clone, Debug)]
pub(crate) struct Reaching(Reach);

impl Subject for Reaching {
    const MACHINE: Machine = cells::MACHINE;
    const WAYS: usize = 3;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[];
    type Input = Input;

    fn make(way: usize, _: &mut Services) -> Self {
        Self(Reach::new(EndpointId::from_number(1), way == 2, way == 1))
    }

    fn inputs(_: &mut Ids) -> Vec<Input> {
        let each = |others| [Input::Gone { others }, Input::Stopped { others }];
        let mut inputs = vec![Input::Starting, Input::Listening, Input::Ended];
        inputs.extend([true, false].into_iter().flat_map(each));
        inputs
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        self.0.step(input, &mut services.cx());
        Vec::new()
    }

    fn fire(&mut self, key: TimerKey, _: &mut Services) -> Vec<String> {
        panic!("{key:?}")
    }

    fn print(&self, _: Time) -> String {
        format!("{:?}", self.0.state)
    }

    fn is_over(&self) -> bool {
        self.0.state == State::Disconnected
    }

    fn ignores(&self, input: &Input) -> bool {
        self.is_over() && *input != Input::Starting
    }

    fn closing(_: &mut Ids) -> Vec<Input> {
        vec![Input::Ended]
    }

    fn bound(_: &Config) -> Duration {
        Duration::ZERO
    }
}
