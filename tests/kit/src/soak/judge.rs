//! What the oracle says when all is over.

use std::time::Duration;

use bytes::Bytes;
use sansip::RegistrationState;
use sansip::wire::{Message, MessageLimits, Method};

use super::cast::{Kind, Role};
use super::life::{Actor, Life, RECOVERY};
use crate::frontend::{FrontEndEvent, Signing};
use crate::world::Host;

impl Life<'_> {
    /// The network is whole again, sessions are ended, and time heals the rest.
    pub(super) fn come_to_rest(&mut self) {
        self.mend();
        self.manner = None;
        // Nobody answers those who trust the mischief-maker any more.
        for at in 0..self.actors.len() {
            if self
                .actors
                .get(at)
                .is_some_and(|actor| actor.role.kind == Kind::Misled)
            {
                self.set_registered(at, false);
            }
        }
        for (at, session, _) in self.sessions() {
            let Some(host) = self.places.get(at).map(|place| place.id) else {
                continue;
            };
            let ended = self.world.with(host, |stack, now| {
                stack.session(now, session).map(|mut view| view.terminate())
            });
            if let Ok(operation) = ended {
                self.began(at, operation, None);
            }
        }
        self.end_subscriptions();
        self.world.run_for(RECOVERY);
        self.collect();
        self.judge_sessions();
        self.judge_registrations();
        self.judge_messages();
    }

    /// Everything is told to end; who holds on to a connection lets go at last.
    pub(super) fn end(&mut self) {
        for at in 0..self.actors.len() {
            self.end_for_good(at);
        }
        for at in 0..self.places.len() {
            self.stop_listening(at);
        }
        self.world.run_for(Duration::from_secs(300));
        self.collect();
        for line in self.world.lines(self.mallory) {
            self.world.hang_up(line);
        }
        self.world.run_for(Duration::from_secs(1200));
        self.collect();
        for place in &mut self.places {
            place.contract.judge_the_end();
            place.talked.judge_the_end();
            self.tally.spoken += place.talked.messages;
        }
        self.judge_the_gone();
    }

    /// An outage is over as soon as the server has bound the endpoint anew. What it signs badly nobody hears (A4).
    pub(super) fn collect_from_servers(&mut self) {
        self.heard_of_servers.resize(self.servers.len(), 0);
        let mut bound = Vec::new();
        for (server, heard) in self.servers.iter().zip(&mut self.heard_of_servers) {
            let events = self.world.server_events(*server);
            let fresh = events.get(*heard..).unwrap_or_default();
            *heard = events.len();
            for (_, event) in fresh {
                if let FrontEndEvent::SignedBadly { how, message, .. } = event
                    && (*how == Signing::Wrong || !may_be_unsigned(message))
                {
                    let places = self.places.iter_mut();
                    places.for_each(|place| place.talked.will_not_hear(message, *how == Signing::Wrong));
                }
            }
            bound.extend(fresh.iter().filter_map(|(at, event)| match event {
                FrontEndEvent::Registered { aor, contact, .. } => Some((*at, aor, contact)),
                _ => None,
            }));
        }
        bound.sort_by_key(|(at, ..)| *at);
        for (at, aor, contact) in bound {
            self.outages.retain(|(since, role)| {
                let ip = self.places.get(role.host).map(|place| self.world.ip(place.id));
                let is_own = ip.is_some_and(|ip| contact.contains(&format!("@{ip}:")));
                let is_over = *since <= at && role.uri() == *aor && is_own;
                if is_over {
                    self.tally.recoveries.add(at.since(*since));
                }
                !is_over
            });
        }
    }

    /// Once all is taken, a stack holds what its application has been told of, and nothing else.
    pub(super) fn judge_what_is_held(&self) {
        for place in &self.places {
            let Some(census) = self.world.held(place.id) else {
                continue;
            };
            let held = (
                census.sessions,
                census.subscriptions,
                census.publications,
                census.operations,
            );
            let known = (
                place.contract.open_sessions().count(),
                place.contract.open_subscriptions().count() + place.contract.open_watchers().count(),
                place.contract.open_publications().count(),
                place.contract.open_operations(),
            );
            assert_eq!(
                held,
                known,
                "sessions, subscriptions, publications and operations of {}",
                Host::from(place.id)
            );
        }
    }

    fn judge_sessions(&self) {
        for (at, place) in self.places.iter().enumerate() {
            let open = place.contract.open_sessions().next();
            assert!(open.is_none(), "{open:?} of host {at} has not ended");
            let open = place.contract.open_subscriptions().next();
            assert!(open.is_none(), "{open:?} of host {at} has not ended");
            let open = place.contract.open_publications().next();
            assert!(open.is_none(), "{open:?} of host {at} has not ended");
        }
    }

    /// Where its sender was told 2xx a MESSAGE came to somebody, and to no device twice (C35).
    fn judge_messages(&self) {
        let twice = self.delivered.iter().find(|((text, ..), times)| {
            // Others than those of the cast may say the same more than once.
            **times > 1 && text.starts_with("message ")
        });
        assert!(twice.is_none(), "delivered twice to one device: {twice:?}");
        for message in self.messages.iter().filter(|message| message.succeeded) {
            assert!(
                self.delivered.keys().any(|(text, ..)| *text == message.text),
                "{} was answered and never delivered",
                message.text
            );
        }
    }

    /// Who was told to be registered, and nobody else, is registered and reachable after a time of a whole network;
    /// a first REGISTER that failed ends it, what was registered once stays so (R7).
    fn judge_registrations(&self) {
        for actor in &self.actors {
            let Some(place) = self.places.get(actor.role.host) else {
                continue;
            };
            let state = place.contract.registration(actor.endpoint);
            if !matches!(actor.role.kind, Kind::User(_)) {
                assert!(
                    matches!(
                        state,
                        RegistrationState::Registered | RegistrationState::Unregistered
                    ),
                    "{} of {} is {state:?}",
                    actor.role.user,
                    Host::from(place.id)
                );
                continue;
            }
            let expected = if actor.told && !actor.failed {
                RegistrationState::Registered
            } else {
                RegistrationState::Unregistered
            };
            let who = format!(
                "{} of {}",
                actor.role.epid(actor.generation),
                Host::from(place.id)
            );
            assert_eq!(state, expected, "{who}");
            assert_eq!(
                self.is_bound(actor),
                expected == RegistrationState::Registered,
                "{who} at the server"
            );
        }
    }

    fn is_bound(&self, actor: &Actor) -> bool {
        let epid = actor.role.epid(actor.generation);
        let bound = self.servers.iter().flat_map(|server| {
            let server = self.world.server(*server);
            server.bindings(&Role::uri(actor.role))
        });
        let mut bound = bound.filter(|binding| binding.conn.is_some());
        bound.any(|binding| binding.epid.as_ref() == Some(&epid))
    }

    /// The binding of an endpoint is gone with it (E13).
    fn judge_the_gone(&self) {
        for actor in self.places.iter().flat_map(|place| &place.gone) {
            assert!(
                !self.is_bound(actor),
                "{} is still bound",
                actor.role.epid(actor.generation)
            );
        }
    }
}

/// What endpoints take without a signature: challenges, and responses to REGISTER (A4).
fn may_be_unsigned(bytes: &Bytes) -> bool {
    let Ok(message) = Message::parse(bytes.clone(), &MessageLimits::default()) else {
        return false;
    };
    let challenges = |code| matches!(code, 401 | 407);
    let registers = || message.cseq().is_ok_and(|cseq| cseq.method == Method::Register);
    message
        .status()
        .is_some_and(|status| challenges(status.code()) || registers())
}
