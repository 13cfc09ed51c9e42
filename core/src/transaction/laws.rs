//! The four machines under the laws, with what the table does for one: its timers.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::machine::{Effect, Reliability, Step, Timer, TimerConfig};
use super::{client, client_invite, server, server_invite};
use crate::cells::Machine;
use crate::config::Config;
use crate::connection::testing::Services;
use crate::ids::{Ids, TransactionId};
use crate::laws::Subject;
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

const ACK: Bytes = Bytes::from_static(b"ACK");
const REQUEST: Bytes = Bytes::from_static(b"request");
const RESPONSE: Bytes = Bytes::from_static(b"response");

/// A machine and its timers.
#[derive(Clone, Debug)]
pub(crate) struct Alone<M> {
    machine: M,
    armed: Vec<(Timer, TimerId)>,
}

pub(crate) type ClientInvite = Alone<client_invite::ClientInvite>;
pub(crate) type Client = Alone<client::Client>;
pub(crate) type ServerInvite = Alone<server_invite::ServerInvite>;
pub(crate) type Server = Alone<server::Server>;

impl<M> Alone<M> {
    fn carry_out(&mut self, effects: SmallVec<[Effect; 4]>, services: &mut Services) -> Vec<String> {
        let mut wants = Vec::new();
        for effect in effects {
            match effect {
                Effect::Set(timer, after) => {
                    assert!(
                        self.armed.iter().all(|(other, _)| *other != timer),
                        "{timer:?} is set twice"
                    );
                    let key = TimerKey::Transaction(TransactionId::FIRST, timer);
                    self.armed
                        .push((timer, services.timers.set(services.now + after, key)));
                }
                Effect::Stop(timer) => self.armed.retain(|(other, id)| {
                    if *other == timer {
                        services.timers.stop(*id);
                    }
                    *other != timer
                }),
                other @ (Effect::Send(_) | Effect::Resend(_) | Effect::Ack { .. } | Effect::Inform(_)) => {
                    wants.push(format!("{other:?}"));
                }
            }
        }
        wants
    }
}

const fn reliability(way: usize) -> Reliability {
    if way == 0 {
        Reliability::Unreliable
    } else {
        Reliability::Reliable
    }
}

macro_rules! subject {
    ($module:ident::$machine:ident, $start:expr, timers: $timers:expr, inputs: $inputs:expr, closing: $closing:expr, bound: $bound:expr) => {
        impl Subject for Alone<$module::$machine> {
            const MACHINE: Machine = $module::cells::MACHINE;
            const WAYS: usize = 2;
            const TIMERS: &'static [(&'static str, &'static [&'static str])] = $timers;
            type Input = $module::Input;

            fn make(way: usize, services: &mut Services) -> Self {
                let mut effects = SmallVec::new();
                let cx = &mut services.cx();
                let machine = $start(reliability(way), &mut Step::new(cx, &mut effects));
                let mut new = Self {
                    machine,
                    armed: Vec::new(),
                };
                new.carry_out(effects, services);
                new
            }

            fn inputs(_: &mut Ids) -> Vec<Self::Input> {
                $inputs
            }

            fn step(&mut self, input: Self::Input, services: &mut Services) -> Vec<String> {
                let mut effects = SmallVec::new();
                self.machine
                    .step(input, &mut Step::new(&mut services.cx(), &mut effects));
                self.carry_out(effects, services)
            }

            fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
                let TimerKey::Transaction(_, timer) = key else {
                    panic!("{key:?}")
                };
                self.armed.retain(|(other, _)| *other != timer);
                let input = $module::Input::fired(timer).expect("a timer of this machine");
                self.step(input, services)
            }

            fn print(&self, now: Time) -> String {
                let mut armed: Vec<_> = self
                    .armed
                    .iter()
                    .map(|(timer, id)| (*timer, id.at().since(now)))
                    .collect();
                armed.sort_unstable();
                format!("{:?} {armed:?}", self.machine.fingerprint())
            }

            fn is_over(&self) -> bool {
                self.machine.is_terminated()
            }

            fn closing(_: &mut Ids) -> Vec<Self::Input> {
                $closing
            }

            fn bound(config: &Config) -> Duration {
                $bound(TimerConfig::from(config))
            }
        }
    };
}

subject!(
    client_invite::ClientInvite,
    |reliability, cx: &mut Step<'_>| client_invite::ClientInvite::start(REQUEST, reliability, cx),
    timers: &[("Calling", &["TimerA", "TimerB"]), ("Completed", &["TimerD"]), ("Accepted", &["TimerM"])],
    inputs: vec![
        client_invite::Input::Provisional,
        client_invite::Input::Success,
        client_invite::Input::Failure { ack: ACK },
        client_invite::Input::TransportError,
    ],
    // A peer that has answered provisionally owes a final response; its transaction's user bounds the wait (S12).
    closing: vec![client_invite::Input::Failure { ack: ACK }],
    bound: |times: TimerConfig| times.timeout().max(times.wait_d())
);

subject!(
    client::Client,
    |reliability, cx: &mut Step<'_>| client::Client::start(REQUEST, reliability, cx),
    timers: &[("Trying", &["TimerE", "TimerF"]), ("Proceeding", &["TimerE", "TimerF"]), ("Completed", &["TimerK"])],
    inputs: vec![client::Input::Provisional, client::Input::Final, client::Input::TransportError],
    closing: vec![],
    bound: |times: TimerConfig| times.timeout()
);

subject!(
    server_invite::ServerInvite,
    |reliability, cx: &mut Step<'_>| server_invite::ServerInvite::start(reliability, cx),
    timers: &[
        ("ProceedingUnanswered", &["TimerTrying"]),
        ("Completed", &["TimerG", "TimerH"]),
        ("Confirmed", &["TimerI"]),
        ("Accepted", &["TimerL"]),
    ],
    inputs: vec![
        server_invite::Input::Invite,
        server_invite::Input::Ack,
        server_invite::Input::Provisional(RESPONSE),
        server_invite::Input::Success(RESPONSE),
        server_invite::Input::Failure(RESPONSE),
        server_invite::Input::TransportError,
    ],
    // The user owes a final response (S12, M9).
    closing: vec![server_invite::Input::Failure(RESPONSE)],
    bound: |times: TimerConfig| times.timeout()
);

subject!(
    server::Server,
    |reliability, _: &mut Step<'_>| server::Server::start(reliability),
    timers: &[("Completed", &["TimerJ"])],
    inputs: vec![
        server::Input::Request,
        server::Input::Provisional(RESPONSE),
        server::Input::Final(RESPONSE),
        server::Input::TransportError,
    ],
    // The user owes a final response (M9).
    closing: vec![server::Input::Final(RESPONSE)],
    bound: |times: TimerConfig| times.timeout()
);
