//! A stack in canonical form, for a search that has to know when it has been somewhere before.

use alloc::vec::Vec;

use super::Stack;
use crate::connection;
use crate::endpoint::Life;
use crate::exchange;
use crate::notifier;
use crate::publication;
use crate::registration;
use crate::session;
use crate::subscription;
use crate::transaction;

type EventStates = (
    Vec<subscription::Fingerprint>,
    Vec<notifier::Fingerprint>,
    Vec<publication::Fingerprint>,
);

/// What decides how a stack goes on: the state of every machine in the order of their making, timers relative to now;
/// no ids, no entropy, no counters. Two stacks with one fingerprint and the same inputs do the same from here on, but
/// for what they draw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    connections: connection::Fingerprint,
    transactions: Vec<transaction::Fingerprint>,
    exchanges: Vec<exchange::Fingerprint>,
    /// For each endpoint its registration, where it has one, and its sessions.
    endpoints: Vec<(Option<registration::Fingerprint>, Vec<session::Fingerprint>)>,
    /// For each endpoint its subscriptions, those of others to it, and what it has published.
    subscriptions: Vec<EventStates>,
    /// Requests that wait for the application's answer; actions that wait to be taken; connections of whose end some have
    /// still to hear.
    waiting: (usize, usize, usize),
}

impl Stack {
    /// The state of the stack in canonical form.
    pub fn fingerprint(&self) -> Fingerprint {
        let now = self.now;
        let endpoint = |id| {
            let sessions = self.endpoints.sessions(id);
            let sessions = sessions
                .into_iter()
                .filter_map(|session| self.sessions.fingerprint(session, now));
            (
                self.endpoints.registration_fingerprint(id, now),
                sessions.collect(),
            )
        };
        let subscriptions = |id| {
            let (mut ours, mut theirs, mut published) = (Vec::new(), Vec::new(), Vec::new());
            for life in self.endpoints.lives(id) {
                match life {
                    Life::Subscription(id) => {
                        let cap = self.config.backoff_max;
                        ours.extend(self.subscriptions.fingerprint(id, cap, now));
                    }
                    Life::Watcher(id) => theirs.extend(self.watchers.fingerprint(id, now)),
                    Life::Publication(id) => published.extend(self.publications.fingerprint(id, now)),
                }
            }
            (ours, theirs, published)
        };
        Fingerprint {
            connections: self.connections.fingerprint(now),
            transactions: self.transactions.fingerprint(now),
            exchanges: self.exchanges.fingerprint(now),
            endpoints: self.endpoints.all().into_iter().map(endpoint).collect(),
            subscriptions: self.endpoints.all().into_iter().map(subscriptions).collect(),
            waiting: (self.incomings.len(), self.out.len(), self.telling.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use crate::wire::Method;
    use crate::{Action, Config, Content, Established, PeerToPeerConfig, SendOptions, Stack, Time, UnixTime};

    fn sending(seed: u8, start: Time) -> Stack {
        let mut stack = Stack::new(Config::default(), [seed; 32], start, UnixTime(0));
        let alice = stack
            .add_peer_to_peer_endpoint(start, PeerToPeerConfig::new("sip:alice@example.com"))
            .unwrap();
        let text = Some(Content::text("hello"));
        let mut view = stack.endpoint(start, alice).unwrap();
        view.send_message("sip:bob@192.0.2.1", Method::Message, text, SendOptions::default())
            .unwrap();
        let (local, remote): (SocketAddr, SocketAddr) = (
            "192.0.2.2:4000".parse().unwrap(),
            "192.0.2.1:5060".parse().unwrap(),
        );
        while let Some(action) = stack.poll_action() {
            if let Action::Connect(to) = action {
                stack.handle_connected(
                    start,
                    to.conn,
                    Established {
                        local,
                        remote,
                        peer: None,
                    },
                );
            }
        }
        stack
    }

    #[test]
    fn entropy_and_the_origin_of_time_do_not_show_but_state_and_time_do() {
        let (one, other) = (sending(1, Time::from_secs(1)), sending(2, Time::from_secs(900)));
        assert_eq!(one.fingerprint(), other.fingerprint());
        let mut later = one.clone();
        later.handle_timeout(Time::from_secs(2));
        assert_ne!(one.fingerprint(), later.fingerprint());
        assert_ne!(
            one.fingerprint(),
            Stack::new(Config::default(), [1; 32], Time::ZERO, UnixTime(0)).fingerprint()
        );
    }
}
