//! Whether requests reach a peer-to-peer endpoint: the listening of its manager as the endpoint sees it (P1).
//!
//! ```text
//!                 listening is asked for              an address is there
//!  Disconnected ────────────────────────► Connecting ─────────────────────► Connected
//!   │    ▲  ▲                               │  │ ▲                            │  │ │
//!   │    │  │     none could be had         │  │ └──── another is asked for ──┘  │ │
//!   │    │  └───── UnableToListen ──────────┘  │         still                   │ │
//!   │    │                                     │                                 │ │
//!   │    └───────── Disconnecting ◄────────────┴──────── by command ─────────────┘ │
//!   │    │           StoppedListening                                              │
//!   │    └───────────────────────── the last is gone: NoListeningAddresses ────────┘
//!   ▼
//!  from every state, as the endpoint ends: Disconnected, TerminatedLocally
//! ```
//! Listening ends as soon as it is told to, so Disconnecting is passed through in one step. In Disconnected the endpoint can
//! still send.

use crate::cx::{Cx, visit};
use crate::event::{Event, PeerToPeerReason as Reason, PeerToPeerState};
use crate::ids::EndpointId;

#[cfg(any(test, feature = "cells"))]
pub(crate) mod cells;
#[cfg(test)]
pub(crate) mod laws;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    endpoint: EndpointId,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Disconnected,
    Connecting,
    Connected,
}

/// What happens to the listening of the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Its first address is asked for.
    Starting,
    /// It has an address, and had none before.
    Listening,
    /// It has none, and no longer gets one that it had or wanted; whether others are still asked for.
    Gone { others: bool },
    /// The same by command.
    Stopped { others: bool },
    /// The endpoint ends; it is told nothing more.
    Ended,
}

impl Reach {
    /// An endpoint whose manager listens already, or is about to, or does neither.
    pub(crate) const fn new(endpoint: EndpointId, listening: bool, starting: bool) -> Self {
        let state = match (listening, starting) {
            (true, _) => State::Connected,
            (false, true) => State::Connecting,
            (false, false) => State::Disconnected,
        };
        Self { endpoint, state }
    }

    /// One step.
    pub(crate) fn step(&mut self, input: Input, cx: &mut Cx<'_>) {
        use {Input as I, State as S};
        visit!(cx, self.state, input);
        match (self.state, input) {
            (S::Disconnected, I::Starting) => self.go(S::Connecting, Reason::Listening, cx),
            (S::Connecting, I::Listening) => self.go(S::Connected, Reason::Listening, cx),
            (S::Connecting, I::Gone { others: false }) => self.go(S::Disconnected, Reason::UnableToListen, cx),
            (S::Connected, I::Gone { others: false }) => {
                self.go(S::Disconnected, Reason::NoListeningAddresses, cx);
            }
            (S::Connected, I::Gone { others: true }) => {
                self.go(S::Connecting, Reason::NoListeningAddresses, cx);
            }
            (S::Connected, I::Stopped { others: true }) => self.go(S::Connecting, Reason::StoppedListening, cx),
            (S::Connecting | S::Connected, I::Stopped { others: false }) => {
                let (before, between, after) = (
                    self.state(),
                    PeerToPeerState::Disconnecting,
                    PeerToPeerState::Disconnected,
                );
                self.state = S::Disconnected;
                self.tell(before, between, Reason::StoppedListening, cx);
                self.tell(between, after, Reason::StoppedListening, cx);
            }
            (S::Connecting | S::Connected, I::Ended) => {
                self.go(S::Disconnected, Reason::TerminatedLocally, cx);
            }
            // It has never been reached, and what it was asked for can still come.
            (S::Disconnected, I::Ended)
            | (S::Connecting, I::Gone { others: true } | I::Stopped { others: true })
            // The manager tells only what changes its listening as a whole.
            | (S::Disconnected, I::Listening | I::Gone { .. } | I::Stopped { .. })
            | (S::Connecting, I::Starting)
            | (S::Connected, I::Starting | I::Listening) => {}
        }
    }

    fn go(&mut self, next: State, reason: Reason, cx: &mut Cx<'_>) {
        let before = self.state();
        self.state = next;
        self.tell(before, self.state(), reason, cx);
    }

    fn tell(&self, old: PeerToPeerState, new: PeerToPeerState, reason: Reason, cx: &mut Cx<'_>) {
        cx.out.event(Event::PeerToPeer {
            endpoint: self.endpoint,
            old,
            new,
            reason,
        });
    }

    pub(crate) const fn state(&self) -> PeerToPeerState {
        match self.state {
            State::Disconnected => PeerToPeerState::Disconnected,
            State::Connecting => PeerToPeerState::Connecting,
            State::Connected => PeerToPeerState::Connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::action::Action;
    use crate::connection::testing::Services;
    use crate::ids::FromNumber;

    // rules: P1
    #[test]
    fn every_state_and_input() {
        use {PeerToPeerState as P, Reason as R, State as S};
        let (last, first) = (false, true);
        let (gone, stopped) = (
            |others| Input::Gone { others },
            |others| Input::Stopped { others },
        );
        // What does nothing is not listed. State, input, and the states that follow with their reason.
        let table: [(State, Input, &[P], R); 11] = [
            (S::Disconnected, Input::Starting, &[P::Connecting], R::Listening),
            (S::Connecting, Input::Listening, &[P::Connected], R::Listening),
            (S::Connecting, gone(last), &[P::Disconnected], R::UnableToListen),
            (
                S::Connecting,
                stopped(last),
                &[P::Disconnecting, P::Disconnected],
                R::StoppedListening,
            ),
            (
                S::Connecting,
                Input::Ended,
                &[P::Disconnected],
                R::TerminatedLocally,
            ),
            (
                S::Connected,
                gone(last),
                &[P::Disconnected],
                R::NoListeningAddresses,
            ),
            (
                S::Connected,
                gone(first),
                &[P::Connecting],
                R::NoListeningAddresses,
            ),
            (
                S::Connected,
                stopped(last),
                &[P::Disconnecting, P::Disconnected],
                R::StoppedListening,
            ),
            (
                S::Connected,
                stopped(first),
                &[P::Connecting],
                R::StoppedListening,
            ),
            (
                S::Connected,
                Input::Ended,
                &[P::Disconnected],
                R::TerminatedLocally,
            ),
            // Listed to be sure of it: who was never reached is told nothing at its end.
            (S::Disconnected, Input::Ended, &[], R::TerminatedLocally),
        ];
        let inputs = [
            Input::Starting,
            Input::Listening,
            gone(last),
            gone(first),
            stopped(last),
            stopped(first),
            Input::Ended,
        ];
        for state in [S::Disconnected, S::Connecting, S::Connected] {
            for input in inputs {
                let endpoint = EndpointId::from_number(7);
                let mut services = Services::new();
                let mut reach = Reach { endpoint, state };
                let mut old = reach.state();
                let row = table.iter().find(|row| (row.0, row.1) == (state, input));
                let (path, reason) = row.map_or((&[][..], R::Listening), |row| (row.2, row.3));
                reach.step(input, &mut services.cx());
                let actions: Vec<Action> = core::iter::from_fn(|| services.out.pop()).collect();
                let mut expected = Vec::new();
                for new in path.iter().copied() {
                    expected.push(Action::Event(Event::PeerToPeer {
                        endpoint,
                        old,
                        new,
                        reason,
                    }));
                    old = new;
                }
                assert_eq!(actions, expected, "{state:?}, {input:?}");
                assert_eq!(reach.state(), old, "{state:?}, {input:?}");
            }
        }
    }

    // rules: P1
    #[test]
    fn an_endpoint_begins_as_its_manager_stands() {
        use PeerToPeerState::{Connected, Connecting, Disconnected};
        let begins =
            |listening, starting| Reach::new(EndpointId::from_number(1), listening, starting).state();
        assert_eq!(begins(false, false), Disconnected);
        assert_eq!(begins(false, true), Connecting);
        assert_eq!([begins(true, false), begins(true, true)], [Connected; 2]);
    }
}
