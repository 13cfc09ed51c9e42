//! Random lives: a small world in which everybody does what they may, and the network what it likes.
//!
//! The oracle sees what an application sees, and no state of a stack: the commands given, the events taken, and the
//! bindings at the front end. It says (rules X2, X3, R7, C35):
//!
//! - every operation completes exactly once, in bounded time, and nothing else completes;
//! - a message is delivered at most once to a device, and to somebody where its sender was told 2xx;
//! - a session's events are a chain: each one begins where the last has ended, and nothing follows its end;
//! - who was told to be registered, and nothing else, is registered when the network has been whole for long enough.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an application passes over the events that it does not know"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sansip::wire::StatusCode;
use sansip::{
    Content, Event, OperationId, PeerToPeerConfig, RegistrationState, SessionId, SessionState, Stack, Time,
    Transport,
};

use crate::frontend::{FrontEndConfig, Memory};
use crate::world::{Chunks, Endpoint, FrontEndId, Host, LinkId, Reachability, StackId, World};

/// After this time of a whole network everything has come right: a binding and its refresh, a timed-out request, the
/// longest back-off.
const RECOVERY: Duration = Duration::from_secs(2 * 3600);

/// No operation takes longer: the longest is an INVITE that rings until it is cancelled, and is not answered then.
const LONGEST: Duration = Duration::from_secs(600);

struct Life<'a> {
    world: &'a mut World,
    dice: ChaCha12Rng,
    server: FrontEndId,
    endpoints: Vec<Actor>,
    /// Those that were terminated.
    gone: Vec<(Actor, String)>,
    operations: Vec<(StackId, OperationId, Time, String)>,
    /// The MESSAGEs sent: their text, and the operation.
    messages: Vec<(String, StackId, OperationId)>,
    faults: Vec<LinkId>,
}

#[derive(Clone)]
struct Actor {
    endpoint: Endpoint,
    /// What it was made with, to be made again.
    account: Account,
    uri: String,
    /// Whether it has been told to be registered; `None` for a peer-to-peer endpoint.
    registered: Option<bool>,
}

#[derive(Clone)]
enum Account {
    User {
        name: &'static str,
        transport: Transport,
    },
    Peer {
        uri: String,
    },
}

/// What came of a life, to see that it was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations that ended well.
    pub succeeded: usize,
    /// Operations that did not.
    pub failed: usize,
    /// Times that an endpoint became registered.
    pub registrations: usize,
    /// Connections that registered endpoints lost.
    pub outages: usize,
    /// Messages delivered.
    pub messages: usize,
    /// Sessions that were connected, at either side.
    pub connected: usize,
    /// Endpoints that were terminated.
    pub terminated: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.registrations += other.registrations;
        self.outages += other.outages;
        self.messages += other.messages;
        self.connected += other.connected;
        self.terminated += other.terminated;
    }
}

/// A life of so many steps in a world that is empty so far. The same seed gives the same life.
///
/// # Panics
/// The oracle finds something.
pub fn live(world: &mut World, seed: u64, steps: usize) -> Tally {
    let mut dice = ChaCha12Rng::seed_from_u64(seed);
    world.network.chunks = if dice.next_u32() % 2 == 0 {
        Chunks::Whole
    } else {
        Chunks::Random
    };
    world.network.jitter = Duration::from_millis(u64::from(dice.next_u32() % 30));
    world.laziness = Duration::from_millis(if dice.next_u32() % 2 == 0 { 0 } else { 20 });
    // As the adapters set it: what finds a connection that died without a word once something is sent on it.
    world.network.user_timeout = Some(Duration::from_secs(30));
    let mut config = FrontEndConfig::new("example.com")
        .with_user("alice", "secret")
        .with_user("bob", "hidden");
    config.remove_lost_flows = dice.next_u32() % 2 == 0;
    let server = world.front_end(config);
    let mut life = Life {
        world,
        dice,
        server,
        endpoints: Vec::new(),
        gone: Vec::new(),
        operations: Vec::new(),
        messages: Vec::new(),
        faults: Vec::new(),
    };
    life.settle();
    for _ in 0..steps {
        life.step();
    }
    life.come_to_rest();
    life.judge();
    life.tally()
}

impl Life<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.dice.next_u64() % bound).unwrap_or_default()
    }

    /// Two users with two devices each, two of which share a stack and one of which speaks TLS, and two peer-to-peer
    /// endpoints.
    fn settle(&mut self) {
        let shared = self.host();
        let (third, fourth) = (self.host(), self.host());
        let devices = [
            (shared, "alice", Transport::Tcp),
            (shared, "bob", Transport::Tcp),
            (third, "alice", Transport::Tls),
            (fourth, "bob", Transport::Tcp),
        ];
        for (host, name, transport) in devices {
            let actor = self.enter(host, Account::User { name, transport });
            self.endpoints.push(actor);
        }
        for user in ["carol", "dave"] {
            let host = self.host();
            let domain = format!("{user}.invalid");
            let address = self.world.listen(host, 5060);
            self.world.names.set_addresses(&domain, &[address.ip()]);
            let actor = self.enter(
                host,
                Account::Peer {
                    uri: format!("sip:{user}@{domain}"),
                },
            );
            self.endpoints.push(actor);
        }
    }

    fn enter(&mut self, host: StackId, account: Account) -> Actor {
        let (endpoint, uri, registered) = match &account {
            Account::User { name, transport } => {
                let mut config = self.world.account(self.server, name);
                config.transport = *transport;
                if let Some(server) = &mut config.server {
                    server.port = Some(transport.default_port());
                }
                (
                    self.world.sip_endpoint(host, config),
                    format!("sip:{name}@example.com"),
                    Some(false),
                )
            }
            Account::Peer { uri } => {
                let endpoint = self
                    .world
                    .peer_to_peer_endpoint(host, PeerToPeerConfig::new(uri.as_str()));
                (endpoint, format!("{uri};transport=tcp"), None)
            }
        };
        Actor {
            endpoint,
            account,
            uri,
            registered,
        }
    }

    /// An endpoint ends, and another takes its place.
    fn terminate(&mut self) {
        let (at, endpoint) = self.actor();
        let epid = self.world.with(endpoint.host, |stack, now| {
            stack
                .endpoint(now, endpoint.id)
                .expect("it was not terminated")
                .epid()
                .to_owned()
        });
        let operation = self.world.terminate(endpoint);
        self.note(endpoint.host, operation, format!("{} ends", endpoint.id));
        let Some(old) = self.endpoints.get(at).cloned() else {
            return;
        };
        let new = self.enter(endpoint.host, old.account.clone());
        if let Some(actor) = self.endpoints.get_mut(at) {
            *actor = new;
        }
        self.gone.push((old, epid));
    }

    /// A stack whose application takes calls in one of four ways, by the number of the call.
    fn host(&mut self) -> StackId {
        let host = self.world.stack();
        self.world.on_event(host, |stack, now, event| match event {
            Event::SessionReceived { session, .. } => take_call(stack, now, *session),
            Event::OfferReceived { session, .. } => {
                if let Ok(mut view) = stack.session(now, *session) {
                    // It may have ended meanwhile, which is no mistake of the application.
                    let _ = view.answer(body());
                }
            }
            _ => {}
        });
        host
    }

    fn actor(&mut self) -> (usize, Endpoint) {
        let at = self.below(self.endpoints.len());
        (at, self.endpoints.get(at).expect("in range").endpoint)
    }

    fn note(&mut self, host: StackId, operation: OperationId, what: impl Into<String>) {
        self.operations
            .push((host, operation, self.world.now(), what.into()));
    }

    fn step(&mut self) {
        match self.below(20) {
            0..=3 => self.register(),
            4 => self.unregister(),
            5..=7 => self.message(),
            8..=10 => self.call(),
            11..=13 => self.move_a_session(),
            14 => self.harm_a_link(),
            15 => self.harm_the_server(),
            16 => self.mend(),
            17 => self.terminate(),
            _ => {
                let time = Duration::from_millis(u64::try_from(self.below(60_000)).unwrap_or(0));
                self.world.run_for(time);
            }
        }
        let time = Duration::from_millis(u64::try_from(self.below(300)).unwrap_or(0));
        self.world.run_for(time);
    }

    fn register(&mut self) {
        let (at, endpoint) = self.actor();
        let result = self.world.with(endpoint.host, |stack, now| {
            stack.endpoint(now, endpoint.id).and_then(|mut e| e.register())
        });
        if let Ok(operation) = result {
            self.note(endpoint.host, operation, "register");
            self.set_registered(at, true);
        }
    }

    fn unregister(&mut self) {
        let (at, endpoint) = self.actor();
        let result = self.world.with(endpoint.host, |stack, now| {
            stack.endpoint(now, endpoint.id).and_then(|mut e| e.unregister())
        });
        if let Ok(operation) = result {
            self.note(endpoint.host, operation, "unregister");
            self.set_registered(at, false);
        }
    }

    fn set_registered(&mut self, at: usize, registered: bool) {
        if let Some(actor) = self.endpoints.get_mut(at) {
            actor.registered = Some(registered);
        }
    }

    /// Somebody whom this endpoint can reach: users through the server, peers directly.
    fn target(&mut self, at: usize) -> String {
        let users = self
            .endpoints
            .get(at)
            .is_some_and(|actor| actor.registered.is_some());
        let candidates: Vec<String> = self
            .endpoints
            .iter()
            .filter(|other| other.registered.is_some() == users)
            .map(|other| other.uri.clone())
            .collect();
        let chosen = self.below(candidates.len());
        candidates.get(chosen).cloned().unwrap_or_default()
    }

    fn message(&mut self) {
        let (at, endpoint) = self.actor();
        let target = self.target(at);
        let text = format!("message {}", self.messages.len());
        let operation = self.world.message(endpoint, &target, &text);
        self.note(endpoint.host, operation, format!("{text} to {target}"));
        self.messages.push((text, endpoint.host, operation));
    }

    fn call(&mut self) {
        let (at, endpoint) = self.actor();
        let target = self.target(at);
        let offer = (self.below(3) > 0).then(body);
        let (session, operation) = self.world.invite(endpoint, &target, offer);
        self.note(endpoint.host, operation, format!("{session} invites {target}"));
    }

    /// Something that the application of a session may do in the state that it has seen.
    fn move_a_session(&mut self) {
        let sessions = self.sessions();
        let chosen = self.below(sessions.len());
        let Some((host, session, state)) = sessions.get(chosen).copied() else {
            return;
        };
        let choice = self.below(4);
        let result = self.world.with(host, |stack, now| {
            let mut view = stack.session(now, session)?;
            match (state, choice) {
                (SessionState::Incoming, 0) => view.reject(StatusCode::DECLINE, None).map(|()| None),
                (SessionState::Incoming, 1) => view.provisional(StatusCode::RINGING, None).map(|()| None),
                (SessionState::Incoming, _) => view.accept(Some(body())).map(Some),
                (SessionState::Connected, 0 | 1) => {
                    let headers = Vec::new();
                    view.send(
                        sansip::wire::Method::Info,
                        Some(Content::text("in the call")),
                        headers,
                    )
                    .map(Some)
                }
                _ => Ok(Some(view.terminate())),
            }
        });
        if let Ok(Some(operation)) = result {
            self.note(
                host,
                operation,
                format!("{session}: choice {choice} in {state:?}"),
            );
        }
    }

    /// Every session that its application knows and that has not ended, with the state that it knows.
    fn sessions(&self) -> Vec<(StackId, SessionId, SessionState)> {
        let mut states = BTreeMap::new();
        for host in self.hosts() {
            for (_, event) in self.world.events(host) {
                match event {
                    Event::SessionReceived { session, .. } => {
                        states.insert((host, *session), SessionState::Incoming);
                    }
                    Event::Session { session, new, .. } => {
                        states.insert((host, *session), *new);
                    }
                    _ => {}
                }
            }
        }
        states
            .into_iter()
            .filter(|(_, state)| *state != SessionState::Disconnected)
            .map(|((host, session), state)| (host, session, state))
            .collect()
    }

    fn hosts(&self) -> BTreeSet<StackId> {
        self.endpoints.iter().map(|actor| actor.endpoint.host).collect()
    }

    fn harm_a_link(&mut self) {
        let (_, endpoint) = self.actor();
        let others: Vec<Host> = self
            .hosts()
            .into_iter()
            .map(Host::from)
            .chain([Host::from(self.server)])
            .collect();
        let links: Vec<LinkId> = others
            .iter()
            .flat_map(|other| self.world.links(endpoint.host, *other))
            .collect();
        let chosen = self.below(links.len());
        let Some(link) = links.get(chosen).copied() else {
            return;
        };
        match self.below(4) {
            0 | 1 => self.world.reset(link),
            2 => self.world.half_open(link, endpoint.host),
            _ => self.world.black_hole(link),
        }
        self.faults.push(link);
    }

    fn harm_the_server(&mut self) {
        let address = self.world.address(self.server, Transport::Tcp);
        match self.below(6) {
            0 => self.world.restart(self.server, Memory::Kept),
            1 => self.world.restart(self.server, Memory::Lost),
            2 => self.world.crash(self.server, Memory::Lost),
            3 => self.world.set_reachability(address, Reachability::Refused),
            4 => self.world.set_reachability(address, Reachability::BlackHole),
            _ => {
                self.world
                    .names
                    .fail("example.com", sansip::ResolveError::ServerFailure);
            }
        }
    }

    fn mend(&mut self) {
        let address = self.world.address(self.server, Transport::Tcp);
        self.world.set_reachability(address, Reachability::Open);
        self.world.names.mend("example.com");
    }

    /// The network is whole again, sessions are ended, and time heals the rest.
    fn come_to_rest(&mut self) {
        self.mend();
        for (host, session, _) in self.sessions() {
            let ended = self.world.with(host, |stack, now| {
                stack.session(now, session).map(|mut view| view.terminate())
            });
            if let Ok(operation) = ended {
                self.note(host, operation, format!("{session}: the last"));
            }
        }
        self.world.run_for(RECOVERY);
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for host in self.hosts() {
            for (_, event) in self.world.events(host) {
                match event {
                    Event::Completed { result: Ok(_), .. } => tally.succeeded += 1,
                    Event::Completed { result: Err(_), .. } => tally.failed += 1,
                    Event::Registration {
                        new: RegistrationState::Registered,
                        ..
                    } => tally.registrations += 1,
                    Event::Outage { .. } => tally.outages += 1,
                    Event::MessageReceived { .. } => tally.messages += 1,
                    Event::Session {
                        new: SessionState::Connected,
                        ..
                    } => tally.connected += 1,
                    Event::EndpointTerminated { .. } => tally.terminated += 1,
                    _ => {}
                }
            }
        }
        tally
    }

    // --- the oracle

    fn judge(&mut self) {
        self.judge_operations();
        self.judge_messages();
        self.judge_sessions();
        self.judge_registrations();
        self.judge_the_gone();
    }

    /// Nothing but completions follows the end of an endpoint, and its binding is gone with it (E13, X3).
    fn judge_the_gone(&self) {
        for (actor, epid) in &self.gone {
            let (endpoint, mut ended) = (actor.endpoint, None);
            for (at, event) in self.world.events(endpoint.host) {
                match event {
                    Event::EndpointTerminated { endpoint: whose } if *whose == endpoint.id => {
                        assert_eq!(ended, None, "{} ended twice", endpoint.id);
                        ended = Some(*at);
                    }
                    Event::Registration { endpoint: whose, .. }
                    | Event::MessageReceived { endpoint: whose, .. }
                    | Event::SessionReceived { endpoint: whose, .. }
                    | Event::Outage { endpoint: whose, .. } => {
                        assert!(
                            *whose != endpoint.id || ended.is_none(),
                            "{whose} after its end: {event:?}"
                        );
                    }
                    _ => {}
                }
            }
            assert!(
                ended.is_some(),
                "{} of {} has not ended",
                endpoint.id,
                Host::from(endpoint.host)
            );
            let bound = self.world.server(self.server).bindings(&actor.uri);
            assert!(
                bound.iter().all(|binding| binding.epid.as_ref() != Some(epid)),
                "{epid} is still bound"
            );
        }
    }

    fn judge_operations(&self) {
        let mut completed: BTreeMap<(StackId, OperationId), Vec<Time>> = BTreeMap::new();
        for host in self.hosts() {
            for (at, event) in self.world.events(host) {
                if let Event::Completed { operation, .. } = event {
                    completed.entry((host, *operation)).or_default().push(*at);
                }
            }
        }
        for (host, operation, begun, what) in &self.operations {
            let times = completed.remove(&(*host, *operation)).unwrap_or_default();
            let [ended] = times.as_slice() else {
                panic!(
                    "{operation} ({what}) of {} completed {} times",
                    Host::from(*host),
                    times.len()
                );
            };
            let took = ended.since(*begun);
            assert!(took <= LONGEST, "{operation} ({what}) took {took:?}");
        }
        // The application's own answers to calls are operations, too; they are not noted.
        let twice = completed.iter().find(|(_, times)| times.len() > 1);
        assert!(twice.is_none(), "completed twice: {twice:?}");
    }

    fn judge_messages(&self) {
        let mut delivered: BTreeMap<(String, Endpoint), usize> = BTreeMap::new();
        for host in self.hosts() {
            for (_, event) in self.world.events(host) {
                if let Event::MessageReceived {
                    endpoint, message, ..
                } = event
                {
                    let text = String::from_utf8_lossy(message.body_bytes()).into_owned();
                    *delivered
                        .entry((text, Endpoint { host, id: *endpoint }))
                        .or_default() += 1;
                }
            }
        }
        let twice = delivered.iter().find(|(_, times)| **times > 1);
        assert!(twice.is_none(), "delivered twice to one device: {twice:?}");
        for (text, host, operation) in &self.messages {
            if matches!(self.world.ended(*host, *operation), Some(Ok(_))) {
                assert!(
                    delivered.keys().any(|(body, _)| body == text),
                    "{text} was answered and never delivered"
                );
            }
        }
    }

    fn judge_sessions(&self) {
        for host in self.hosts() {
            let mut states: BTreeMap<SessionId, SessionState> = BTreeMap::new();
            for (at, event) in self.world.events(host) {
                match event {
                    Event::SessionReceived { session, .. } => {
                        let known = states.insert(*session, SessionState::Incoming);
                        assert_eq!(known, None, "{session} was received twice");
                    }
                    Event::Session {
                        session, old, new, ..
                    } => {
                        let known = states.insert(*session, *new).unwrap_or(SessionState::Idle);
                        assert_eq!(known, *old, "{session} of {} at {at}", Host::from(host));
                        assert_ne!(
                            known,
                            SessionState::Disconnected,
                            "{session} went on after its end"
                        );
                    }
                    _ => {}
                }
            }
            for (session, state) in states {
                assert_eq!(
                    state,
                    SessionState::Disconnected,
                    "{session} of {} has not ended",
                    Host::from(host)
                );
            }
        }
    }

    fn judge_registrations(&mut self) {
        for at in 0..self.endpoints.len() {
            let Some(actor) = self.endpoints.get(at) else {
                return;
            };
            let (endpoint, uri) = (actor.endpoint, actor.uri.clone());
            let Some(told) = actor.registered else { continue };
            let (state, epid) = self.world.with(endpoint.host, |stack, now| {
                let view = stack.endpoint(now, endpoint.id).expect("it was not terminated");
                (view.registration_state(), view.epid().to_owned())
            });
            let bound = self.world.server(self.server).bindings(&uri);
            let bound = bound
                .iter()
                .any(|binding| binding.epid.as_deref() == Some(&epid) && binding.conn.is_some());
            // The first REGISTER may have failed, which ends it; what was registered once stays so.
            let failed_first = self.first_register_failed(endpoint);
            let expected = if told && !failed_first {
                RegistrationState::Registered
            } else {
                RegistrationState::Unregistered
            };
            assert_eq!(
                state,
                Some(expected),
                "{uri} with epid {epid} of {}",
                Host::from(endpoint.host)
            );
            assert_eq!(
                bound,
                expected == RegistrationState::Registered,
                "{uri} with epid {epid} at the server"
            );
        }
    }

    /// Whether the endpoint's last change was from Registering to Unregistered.
    fn first_register_failed(&self, endpoint: Endpoint) -> bool {
        let changes = self.world.events(endpoint.host).iter().filter_map(|(_, event)| {
            if let Event::Registration {
                endpoint: whose,
                old,
                new,
                ..
            } = event
                && *whose == endpoint.id
            {
                return Some((*old, *new));
            }
            None
        });
        changes.last() == Some((RegistrationState::Registering, RegistrationState::Unregistered))
    }
}

fn body() -> Content {
    Content::new("application/sdp", "v=0\r\n")
}

/// At once; never; ringing until something happens; busy.
fn take_call(stack: &mut Stack, now: Time, session: SessionId) {
    let Ok(mut call) = stack.session(now, session) else {
        return;
    };
    // A call that the caller has cancelled meanwhile may be commanded until its end was taken; its answers are void.
    let _ = match session.number() % 4 {
        0 => call.accept(Some(body())).map(|_| ()),
        1 => Ok(()),
        2 => call.provisional(StatusCode::RINGING, None),
        _ => call.reject(StatusCode::BUSY_HERE, None),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world;

    /// How long a life is; longer ones are lived by setting `SANSIP_STEPS`.
    fn steps() -> usize {
        std::env::var("SANSIP_STEPS").map_or(120, |steps| steps.parse().expect("SANSIP_STEPS is a number"))
    }

    // rules: E13, X1, X3, X6, R7, C35
    #[test]
    fn whatever_happens_everything_ends_as_it_should() {
        let seeds = world::seeds(12);
        let mut all = Tally::default();
        for seed in &seeds {
            let tally = std::cell::Cell::new(Tally::default());
            world::run(*seed, |world| tally.set(live(world, *seed, steps())));
            all += tally.get();
        }
        // A life in which nothing happens proves nothing.
        let Tally {
            succeeded,
            failed,
            registrations,
            outages,
            messages,
            connected,
            terminated,
        } = all;
        for count in [
            succeeded,
            failed,
            registrations,
            outages,
            messages,
            connected,
            terminated,
        ] {
            assert!(count > 0 || seeds.len() == 1, "{all:?}");
        }
    }
}
