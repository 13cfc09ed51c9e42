//! A life: a scenario carried out in a world, under the eyes of the oracle.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sansip::wire::{Method, StatusCode};
use sansip::{
    Content, EndOfSubscription, EndpointId, Event, ListenError, ListenerId, ManagerId, Misuse, OperationId,
    PeerCertificate, PublicationId, PublishOptions, RegistrationState, SendOptions, SessionId, SessionState,
    SrvRecord, SubscribeOptions, SubscriptionId, SubscriptionState, Time, Transport,
};

use super::Tally;
use super::cast::{
    CAST, Desk, HOSTS, INSIDE, Kind, LISTENING, OUTSIDE, Role, Setup, Shared, Sharing, body, on_event,
    tls_manager,
};
use super::registration::told_after;
use super::step::{Scenario, Step, What};
use crate::frontend::Memory;
use crate::fuzz::script::Script;
use crate::fuzz::talk::Talk;
use crate::oracle::{Contract, Talked};
use crate::world::{Chunks, Endpoint, Fault, FrontEndId, Host, LineId, PeerId, StackId, World};

/// After this time of a whole network everything has come right: a binding and its refresh, a timed-out request, the
/// longest back-off.
pub(super) const RECOVERY: Duration = Duration::from_secs(2 * 3600);

/// No operation takes longer: the longest is an INVITE that rings until it is cancelled, and is not answered then, or
/// one that waits for a Retry-After.
pub(super) const LONGEST: Duration = Duration::from_secs(900);

/// Waits, in milliseconds.
const WAITS: [u64; 16] = [
    0, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 32_000, 65_000, 190_000, 1_000_000,
];

/// How often the mischief-maker answers by itself in one step.
const MOST_ANSWERS: usize = 60;

const FINAL: [StatusCode; 8] = [
    StatusCode::OK,
    StatusCode::ACCEPTED,
    StatusCode::NOT_FOUND,
    StatusCode::BUSY_HERE,
    StatusCode::NOT_ACCEPTABLE_HERE,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::DECLINE,
    StatusCode::RINGING,
];

/// A host with its stack, and what is known of it from outside.
pub(super) struct Place {
    pub(super) id: StackId,
    pub(super) tls: ManagerId,
    pub(super) desk: Shared,
    /// Where it has been told to listen.
    pub(super) listening: Vec<(ManagerId, ListenerId)>,
    pub(super) contract: Contract,
    pub(super) talked: Talked,
    /// How many of its events were looked at.
    pub(super) seen: usize,
    /// Endpoints that are not those of the cast any more, with who they were.
    pub(super) gone: Vec<Actor>,
}

#[derive(Clone, Copy)]
pub(super) struct Actor {
    pub(super) role: Role,
    pub(super) endpoint: EndpointId,
    /// Whether it has been told to be registered.
    pub(super) told: bool,
    /// How many others were in its role before on this host.
    pub(super) generation: u32,
    /// Its first REGISTER has failed since.
    pub(super) failed: bool,
}

pub(super) struct Message {
    pub(super) text: String,
    pub(super) host: usize,
    pub(super) operation: OperationId,
    pub(super) succeeded: bool,
}

pub(super) struct Life<'a> {
    pub(super) world: &'a mut World,
    pub(super) setup: Setup,
    /// One, or two of one domain.
    pub(super) servers: Vec<FrontEndId>,
    pub(super) mallory: PeerId,
    pub(super) lines: Vec<LineId>,
    pub(super) talk: Talk,
    /// How the mischief-maker answers by itself.
    pub(super) manner: Option<[u8; 2]>,
    pub(super) places: Vec<Place>,
    pub(super) actors: Vec<Actor>,
    pub(super) messages: Vec<Message>,
    /// How many messages there were, those of hosts included that are no more.
    said: usize,
    /// How often each text came to each endpoint of the cast.
    pub(super) delivered: BTreeMap<(String, usize, EndpointId), usize>,
    /// Since when those who lost their connection or their binding are out of reach.
    pub(super) outages: Vec<(Time, Role)>,
    /// How many events of each server were looked at.
    pub(super) heard_of_servers: Vec<usize>,
    pub(super) tally: Tally,
}

/// One of a list, by a number.
pub(super) fn one<T: Clone>(list: &[T], choice: u8) -> Option<T> {
    list.get(usize::from(choice) % list.len().max(1)).cloned()
}

/// One of a list, counted from its end.
pub(super) fn latest<T: Clone>(list: &[T], choice: u8) -> Option<T> {
    let back = usize::from(choice) % list.len().max(1);
    list.len()
        .checked_sub(1 + back)
        .and_then(|at| list.get(at))
        .cloned()
}

/// Lives a scenario in a world that is empty so far; `at` is told the step that is being taken.
pub(super) fn live(world: &mut World, scenario: &Scenario, at: impl Fn(usize)) -> Tally {
    let mut life = Life::new(world, Setup::of(scenario.setup));
    for (number, step) in scenario.steps.iter().enumerate() {
        at(number);
        life.take(*step);
    }
    at(scenario.steps.len());
    life.come_to_rest();
    life.end();
    life.tally
}

impl<'a> Life<'a> {
    fn new(world: &'a mut World, setup: Setup) -> Self {
        world.network.chunks = if setup.random_chunks {
            Chunks::Random
        } else {
            Chunks::Whole
        };
        (world.network.jitter, world.laziness) = (setup.jitter, setup.laziness);
        // As the adapters set it: what finds a connection that died without a word once something is sent on it.
        world.network.user_timeout = Some(Duration::from_secs(30));
        if setup.far {
            world.set_clock(Time::MAX - Duration::from_secs(7 * 24 * 3600));
        }
        let servers = match setup.servers {
            Some(Sharing(shared)) => world.front_ends(&setup.front_end(), shared).to_vec(),
            None => vec![world.front_end(setup.front_end())],
        };
        let mallory = world.peer();
        let mut life = Self {
            world,
            setup,
            servers,
            mallory,
            lines: Vec::new(),
            talk: Talk::default(),
            manner: None,
            places: Vec::new(),
            actors: Vec::new(),
            messages: Vec::new(),
            said: 0,
            delivered: BTreeMap::new(),
            outages: Vec::new(),
            heard_of_servers: Vec::new(),
            tally: Tally::default(),
        };
        life.settle();
        life
    }

    pub(super) fn settle(&mut self) {
        let ip = self.world.ip(self.mallory);
        self.world.names.set_addresses("mallory.invalid", &[ip]);
        self.certify(self.mallory, "mallory.invalid");
        for (port, transport) in [(5060, Transport::Tcp), (5061, Transport::Tls)] {
            self.world.peer_listens(self.mallory, port, transport);
        }
        for at in 0..HOSTS {
            let place = self.open_place();
            if let Some((_, name)) = LISTENING.iter().find(|(host, _)| *host == at && at != 5) {
                self.certify(place.id, name);
                let nobody = SocketAddr::from(([10, 9, 9, 9], 0)).ip();
                let addresses = if at == 3 { vec![nobody] } else { Vec::new() };
                let addresses = [addresses, vec![self.world.ip(place.id)]].concat();
                self.world.names.set_addresses(name, &addresses);
            }
            self.places.push(place);
            self.furnish(at);
        }
        let nobody = SocketAddr::from(([10, 9, 9, 8], 0)).ip();
        self.world.names.set_addresses("gone.invalid", &[nobody]);
        let records = [(1, "gone.invalid"), (2, "dave.invalid")].map(|(priority, target)| SrvRecord {
            priority,
            weight: 1,
            port: 5060,
            target: target.to_owned(),
        });
        self.world.names.set_services("_sip._tcp.dave.invalid", &records);
        self.world.names.set_ttl(Duration::from_secs(5));
        for role in CAST {
            let actor = self.enter(role, 0);
            self.actors.push(actor);
        }
        self.collect();
    }

    pub(super) fn certify(&mut self, host: impl Into<Host>, name: &str) {
        let certificate = PeerCertificate {
            dns_names: vec![name.to_owned()],
            ..PeerCertificate::default()
        };
        self.world.set_certificate(host, certificate);
    }

    pub(super) fn open_place(&mut self) -> Place {
        let id = self.world.stack_with(self.setup.stack());
        let desk: Shared = Rc::new(RefCell::new(Desk::default()));
        let shared = Rc::clone(&desk);
        self.world
            .on_event(id, move |stack, now, event| on_event(&shared, stack, now, event));
        Place {
            id,
            tls: self.world.with(id, |stack, _| stack.server_tcp_manager()),
            desk,
            listening: Vec::new(),
            contract: Contract::patient(LONGEST),
            talked: Talked::default(),
            seen: 0,
            gone: Vec::new(),
        }
    }

    /// The managers and listeners of a new stack.
    pub(super) fn furnish(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        let added = self
            .world
            .with(place.id, |stack, _| stack.add_manager(tls_manager(at)));
        place.tls = added.expect("a manager");
        self.listen(at);
    }

    /// On both ports, where it does not yet.
    pub(super) fn listen(&mut self, at: usize) {
        if !LISTENING.iter().any(|(host, _)| *host == at) || (at == 5 && !self.setup.plain) {
            return;
        }
        self.listen_at(at);
    }

    pub(super) fn listen_at(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        let (ip, tls) = (self.world.ip(place.id), place.tls);
        let asked = self.world.with(place.id, |stack, now| {
            let tcp = stack.server_tcp_manager();
            [(tcp, 5060), (tls, 5061)].map(|(manager, port)| {
                let view = stack.manager(now, manager);
                // Where it listens already it is misuse.
                let listener = view.and_then(|mut view| view.listen(SocketAddr::new(ip, port)));
                listener.ok().map(|listener| (manager, listener))
            })
        });
        place.listening.extend(asked.into_iter().flatten());
    }

    pub(super) fn enter(&mut self, role: Role, generation: u32) -> Actor {
        let server = self.server(0);
        let place = self.places.get_mut(role.host).expect("a host of the cast");
        let (id, tls) = (place.id, place.tls);
        let endpoint = if role.has_server() {
            let mut config = role.sip_config(self.world, server, generation);
            if self.setup.plain && matches!(role.kind, Kind::Careless | Kind::Misled) {
                config.manager = Some(self.world.with(id, |stack, _| stack.server_tcp_manager()));
                config.transport = Transport::Tcp;
            }
            self.world.sip_endpoint(id, config)
        } else {
            self.world.peer_to_peer_endpoint(id, role.peer_config(tls))
        };
        place.contract.endpoints.push(endpoint.id);
        Actor {
            role,
            endpoint: endpoint.id,
            told: false,
            generation,
            failed: false,
        }
    }

    // --- the eyes of the oracle

    /// Looks at all that has happened since the last time. Says how many requests the mischief-maker has heard.
    pub(super) fn collect(&mut self) -> usize {
        let now = self.world.now();
        for at in 0..self.places.len() {
            self.collect_events(at);
        }
        self.collect_from_servers();
        for passage in self.world.take_passages() {
            if let Some(place) = self
                .places
                .iter_mut()
                .find(|place| Host::from(place.id) == passage.host)
            {
                place
                    .talked
                    .on_passage(passage.at, (passage.link, passage.side), &passage.what);
            }
        }
        for strike in self.world.take_strikes() {
            let place = self
                .places
                .iter_mut()
                .find(|place| Host::from(place.id) == strike.host);
            let Some(place) = place else { continue };
            let busy = place.contract.is_busy(strike.at);
            self.tally.faults.count(strike.fault, busy);
            if !matches!(
                strike.fault,
                Fault::Jitter
                    | Fault::Rechunking
                    | Fault::Laziness
                    | Fault::Repeated
                    | Fault::AssociationsLost
                    | Fault::AssociationOver
                    | Fault::Doubted
                    | Fault::Replayed
                    | Fault::WrongSignature
                    | Fault::MissingSignature
            ) {
                place.talked.on_trouble(strike.at);
            }
        }
        for place in &mut self.places {
            place.talked.judge(now);
        }
        self.listen_to_mallory()
    }

    pub(super) fn collect_events(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        for (when, operation) in place.desk.borrow_mut().begun.drain(..) {
            place.contract.on_started(when, operation, None);
        }
        for (session, endpoint) in place.desk.borrow_mut().made.drain(..) {
            place.contract.on_session(session, endpoint);
        }
        let events = self.world.events(place.id);
        let fresh = events.get(place.seen..).unwrap_or_default();
        place.seen = events.len();
        for (when, event) in fresh {
            place.contract.on_event(*when, event);
            self.tally.on_event(event);
            match event {
                Event::MessageReceived {
                    endpoint, message, ..
                } if message.method() == Some(&Method::Message) => {
                    assert!(
                        !place.talked.is_unheard(message),
                        "badly signed, and heard: {}",
                        message.bytes().escape_ascii()
                    );
                    let text = String::from_utf8_lossy(message.body_bytes()).into_owned();
                    *self.delivered.entry((text, at, *endpoint)).or_default() += 1;
                }
                Event::Completed { operation, result } => {
                    let mut sent = self.messages.iter_mut();
                    if let Some(sent) = sent.find(|sent| sent.host == at && sent.operation == *operation) {
                        sent.succeeded = result.is_ok();
                    }
                }
                Event::Outage { endpoint, .. } => {
                    let mut actors = self.actors.iter();
                    let actor = actors.find(|actor| (actor.role.host, actor.endpoint) == (at, *endpoint));
                    self.outages.extend(actor.map(|actor| (*when, actor.role)));
                }
                Event::Registration {
                    endpoint,
                    old,
                    new,
                    reason,
                    ..
                } => {
                    let failed =
                        (*old, *new) == (RegistrationState::Registering, RegistrationState::Unregistered);
                    let mut actors = self.actors.iter_mut();
                    if let Some(actor) =
                        actors.find(|actor| actor.role.host == at && actor.endpoint == *endpoint)
                    {
                        actor.failed = failed;
                        actor.told = told_after(actor.told, (*old, *new), *reason);
                        if *new != RegistrationState::Registered {
                            let role = actor.role;
                            self.outages.retain(|(_, out)| *out != role);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn listen_to_mallory(&mut self) -> usize {
        let mut requests = 0;
        for line in self.world.lines(self.mallory) {
            if !self.lines.contains(&line) {
                self.lines.push(line);
            }
        }
        for (at, line) in self.lines.iter().enumerate() {
            for message in self.world.heard(*line) {
                requests += usize::from(message.is_request() && message.method() != Some(&Method::Ack));
                self.talk.hear(at, message);
            }
        }
        requests
    }

    // --- steps

    pub(super) fn take(&mut self, step: Step) {
        self.act(step);
        self.pass(self.setup.pause);
        self.judge_what_is_held();
    }

    /// Lets time pass, in which the mischief-maker may answer at once.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.world.now() + time;
        for _ in 0..MOST_ANSWERS {
            let left = end.since(self.world.now());
            let heard = self
                .world
                .run_until_or(left, |world| self.manner.is_some() && world.has_heard());
            let requests = self.collect();
            let Some([status, variant]) = self.manner.filter(|_| heard) else {
                break;
            };
            for back in (0..requests).rev() {
                let back = u8::try_from(back).unwrap_or_default();
                let said = self.talk.respond(&mut Script::new(&[back, status, variant]));
                self.say(said);
            }
        }
        let left = end.since(self.world.now());
        self.world.run_for(left);
        self.collect();
    }

    pub(super) fn say(&mut self, said: Option<(usize, Vec<u8>)>) {
        if let Some((line, bytes)) = said
            && let Some(line) = self.lines.get(line)
        {
            self.world.say_bytes(*line, &bytes);
        }
    }

    pub(super) fn act(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        match step.what {
            What::Enroll | What::Register | What::Unregister => self.act_on_registration(step),
            What::Message => self.message(first, second, third),
            What::Call | What::Create => self.call(step),
            What::Establish
            | What::Accept
            | What::Ring
            | What::Reject
            | What::Redirect
            | What::Answer
            | What::Inside
            | What::Refer
            | What::Change
            | What::Settle
            | What::HangUp => self.act_on_session(step),
            What::Subscribe => self.subscribe(first, second, third),
            What::Renew | What::Unsubscribe => self.act_on_subscription(step),
            What::Publish => self.publish(first, second),
            What::Republish | What::Withdraw => self.act_on_publication(step),
            What::Tell => self.tell(first, second),
            What::Habit => {
                if let Some(place) = self.place(first) {
                    let mut desk = place.desk.borrow_mut();
                    (desk.calls, desk.messages) = (second, third);
                }
            }
            What::Release => self.release(first, second),
            What::Follow => self.follow(first, second),
            What::End => {
                let at = usize::from(first) % CAST.len();
                if second & 1 != 0 {
                    self.end_once(at);
                }
                self.end_actor(at);
            }
            What::EndAll => {
                let host = usize::from(first) % HOSTS;
                (0..CAST.len())
                    .filter(|at| CAST.get(*at).is_some_and(|role| role.host == host))
                    .for_each(|at| self.end_actor(at));
            }
            What::Disconnect | What::Idle => self.act_on_connection(step),
            What::Authorize => self.authorize(first, second, third),
            What::Decide => self.decide(first, second, third),
            What::StopListening | What::Listen => self.act_on_listening(step),
            What::Wait => {
                let time = one(&WAITS, first).unwrap_or_default() + u64::from(second);
                self.pass(Duration::from_millis(time));
            }
            What::Reset
            | What::HalfOpen
            | What::HalfClose
            | What::BlackHole
            | What::OneWay
            | What::Stall
            | What::Slow => self.harm_a_link(step),
            What::Reachability | What::Dns | What::Tls => self.harm_all(step),
            What::Deregister | What::Lose => self.unbind(step),
            What::Methods => self.set_methods(first, second),
            What::Restart => {
                let server = self.server(second);
                match first % 4 {
                    0 => self.world.restart(server, Memory::Kept),
                    1 => self.world.restart(server, Memory::Lost),
                    2 => self.world.crash(server, Memory::Kept),
                    _ => self.world.crash(server, Memory::Lost),
                }
            }
            What::Registrar => self.instruct(first, second, third),
            What::Replace => self.replace(usize::from(first) % HOSTS),
            What::Chunks => {
                self.world.network.chunks = match first % 4 {
                    0 => Chunks::Whole,
                    1 => Chunks::Random,
                    2 => Chunks::Of(1),
                    _ => Chunks::Of(usize::from(second)),
                };
            }
            What::Latency => {
                let millis = |value: u8| Duration::from_millis(u64::from(value));
                (self.world.network.latency, self.world.network.jitter) = (millis(first), millis(second));
            }
            What::Laziness => self.world.laziness = Duration::from_millis(u64::from(first) % 100),
            What::Window => {
                self.world.network.window = one(&[64 << 10, 4096, 1000, 300], first).unwrap_or(64 << 10);
            }
            What::Mend => self.mend(),
            What::Manner => self.manner = (first & 1 != 0).then_some([second, third]),
            What::Echo => self.echo(first, second, third),
            What::Crowd => self.crowd(),
            What::Network => self.change_network(first, second),
            What::Center => self.trouble_center([first, second, third]),
            What::Dissociate | What::Doubt | What::Replay | What::Sign => self.harm_associations(step),
            What::Dial
            | What::Ask
            | What::Reply
            | What::Notify
            | What::Dismiss
            | What::Report
            | What::Garble
            | What::Misbehave => {
                self.mischief(step);
            }
        }
    }

    pub(super) fn server(&self, choice: u8) -> FrontEndId {
        one(&self.servers, choice).expect("a life has a server")
    }

    pub(super) fn place(&self, choice: u8) -> Option<&Place> {
        self.places.get(usize::from(choice) % self.places.len().max(1))
    }

    pub(super) fn began(&mut self, host: usize, operation: OperationId, establishes: Option<SessionId>) {
        let now = self.world.now();
        if let Some(place) = self.places.get_mut(host) {
            place.contract.on_started(now, operation, establishes);
        }
    }

    pub(super) fn endpoint(&self, at: usize) -> Option<(Actor, Endpoint)> {
        let actor = *self.actors.get(at)?;
        let host = self.places.get(actor.role.host)?.id;
        let id = actor.endpoint;
        Some((actor, Endpoint { host, id }))
    }

    pub(super) fn message(&mut self, first: u8, second: u8, third: u8) {
        let Some((actor, endpoint)) = self.endpoint(usize::from(first) % CAST.len()) else {
            return;
        };
        let (target, text) = (actor.role.target(second), format!("message {}", self.said));
        // Never the same again: what a host has sent that is no more may still arrive.
        self.said += 1;
        let method = one(&OUTSIDE, third).unwrap_or(Method::Message);
        let is_message = method == Method::Message;
        let content = Some(Content::text(text.as_str()));
        let result = self.world.with(endpoint.host, |stack, now| {
            stack
                .endpoint(now, endpoint.id)?
                .send_message(target, method, content, SendOptions::default())
        });
        if let Ok(operation) = result {
            self.began(actor.role.host, operation, None);
            let misled = target.contains("mallory") || actor.role.kind == Kind::Misled;
            if is_message && !misled {
                self.messages.push(Message {
                    text,
                    host: actor.role.host,
                    operation,
                    succeeded: false,
                });
            }
        }
    }

    pub(super) fn call(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        let Some((actor, endpoint)) = self.endpoint(usize::from(first) % CAST.len()) else {
            return;
        };
        let (target, host) = (actor.role.target(second), actor.role.host);
        let offer = (!third.is_multiple_of(3)).then(body);
        if step.what == What::Create {
            let made = self.world.with(endpoint.host, |stack, now| {
                stack.endpoint(now, endpoint.id)?.create_session(target)
            });
            if let (Ok(session), Some(place)) = (made, self.places.get_mut(host)) {
                place.contract.on_session(session, endpoint.id);
            }
            return;
        }
        let made = self.world.with(endpoint.host, |stack, now| {
            stack
                .endpoint(now, endpoint.id)?
                .invite(target, offer, SendOptions::default())
        });
        if let (Ok((session, operation)), Some(place)) = (made, self.places.get_mut(host)) {
            place.contract.on_session(session, endpoint.id);
            self.began(host, operation, Some(session));
        }
    }

    /// The sessions that have not ended, as their applications know, in an order that does not change.
    pub(super) fn sessions(&self) -> Vec<(usize, SessionId, SessionState)> {
        let places = self.places.iter().enumerate();
        places
            .flat_map(|(at, place)| {
                let sessions = place.contract.open_sessions();
                sessions.map(move |(session, state)| (at, session, state))
            })
            .collect()
    }

    /// What the application of a session may do in the state that it has seen; anything else is misuse.
    pub(super) fn act_on_session(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        // Among those for which the step is meant, where there are any.
        let mut sessions = self.sessions();
        let fits = |state: SessionState| match step.what {
            What::Establish => state == SessionState::Idle,
            What::Accept | What::Ring | What::Reject | What::Redirect => state == SessionState::Incoming,
            What::Inside | What::Refer | What::Change => state == SessionState::Connected,
            _ => true,
        };
        if sessions.iter().any(|(.., state)| fits(*state)) {
            sessions.retain(|(.., state)| fits(*state));
        }
        let Some((at, id, _)) = latest(&sessions, first) else {
            return;
        };
        let Some(host) = self.places.get(at).map(|place| place.id) else {
            return;
        };
        let content = (second & 1 != 0).then(body);
        let status = one(&FINAL, second).unwrap_or(StatusCode::DECLINE);
        let result = self.world.with(host, |stack, now| {
            let mut view = stack.session(now, id)?;
            Ok::<_, Misuse>(match step.what {
                What::Establish => Some(view.establish(content, SendOptions::default())?),
                // In another early dialog.
                What::Accept if second & 2 != 0 => {
                    let early = view.early_dialog()?;
                    Some(view.accept_in(early, content)?)
                }
                What::Accept => Some(view.accept(content)?),
                What::Ring => {
                    let status = one(&[StatusCode::RINGING, StatusCode::SESSION_PROGRESS], second);
                    let (status, content) =
                        (status.unwrap_or(StatusCode::RINGING), (third & 1 != 0).then(body));
                    if third & 2 == 0 {
                        view.provisional(status, content)?;
                    } else {
                        let early = view.early_dialog()?;
                        view.provisional_in(early, status, content)?;
                    }
                    None
                }
                What::Reject => {
                    view.reject(status, None)?;
                    None
                }
                What::Redirect => {
                    let target = Role::target(CAST[4], second);
                    view.redirect(StatusCode::MOVED_TEMPORARILY, &[target])?;
                    None
                }
                What::Answer => {
                    view.answer(body())?;
                    None
                }
                What::Inside => {
                    let method = one(&INSIDE, second).unwrap_or(Method::Info);
                    Some(view.send(method, Some(Content::text("in the call")), Vec::new())?)
                }
                What::Refer => {
                    let target = Role::target(CAST[4], second);
                    Some(view.refer(target, Vec::new())?.1)
                }
                What::HangUp if second & 1 != 0 => {
                    let why = (String::from("Reason"), String::from("SIP;cause=200"));
                    view.attach(vec![why])?;
                    Some(view.terminate())
                }
                What::Change if second % 4 == 3 => {
                    view.cancel_renegotiation();
                    None
                }
                What::Change => {
                    let method = match second % 8 {
                        1 | 5 => Method::Update,
                        6 => Method::Prack,
                        _ => Method::Invite,
                    };
                    Some(view.renegotiate(method, body())?)
                }
                What::Settle if second % 4 == 3 => {
                    view.reject_renegotiation(StatusCode::NOT_ACCEPTABLE_HERE, None)?;
                    None
                }
                What::Settle => Some(view.accept_renegotiation(body())?),
                _ => Some(view.terminate()),
            })
        });
        if let Ok(Some(operation)) = result {
            let establishes = (step.what == What::Establish).then_some(id);
            self.began(at, operation, establishes);
        }
    }

    pub(super) fn subscribe(&mut self, first: u8, second: u8, third: u8) {
        let Some((actor, endpoint)) = self.endpoint(usize::from(first) % CAST.len()) else {
            return;
        };
        let (target, host) = (actor.role.target(second), actor.role.host);
        let mut options = SubscribeOptions::new("presence");
        options.expires = (third & 4 != 0).then(|| Duration::from_secs(120));
        (options.piggyback, options.benotify) = (third & 8 != 0, third & 8 != 0);
        let made = self.world.with(endpoint.host, |stack, now| {
            let mut view = stack.endpoint(now, endpoint.id)?;
            if third & 2 == 0 {
                let (subscription, operation) = view.subscribe(target, options)?;
                return Ok::<_, Misuse>((subscription, Some(operation)));
            }
            let subscription = view.create_subscription(target, options)?;
            let query = third & 1 != 0;
            let begun = query.then(|| stack.subscription(now, subscription)?.query());
            // It is there, also where too much is under way to begin it.
            Ok((subscription, begun.and_then(Result::ok)))
        });
        if let (Ok((subscription, operation)), Some(place)) = (made, self.places.get_mut(host)) {
            place.contract.on_subscription(subscription, endpoint.id);
            if let Some(operation) = operation {
                self.began(host, operation, None);
            }
        }
    }

    /// The subscriptions that have not ended, as their applications know, in an order that does not change.
    fn subscriptions(&self) -> Vec<(usize, StackId, SubscriptionId)> {
        let places = self.places.iter().enumerate();
        places
            .flat_map(|(at, place)| {
                let open = place.contract.open_subscriptions();
                open.map(move |(id, _)| (at, place.id, id))
            })
            .collect()
    }

    pub(super) fn end_subscriptions(&mut self) {
        for (at, host, id) in self.subscriptions() {
            let ended = self.world.with(host, |stack, now| {
                stack.subscription(now, id).map(|mut view| view.terminate())
            });
            if let Ok(operation) = ended {
                self.began(at, operation, None);
            }
        }
        for (at, host, id) in self.publications() {
            let ended = self.world.with(host, |stack, now| {
                stack.publication(now, id).map(|mut view| view.remove())
            });
            if let Ok(operation) = ended {
                self.began(at, operation, None);
            }
        }
    }

    /// What the application of a subscription may do in the state that it has seen; anything else is misuse.
    pub(super) fn act_on_subscription(&mut self, step: Step) {
        let [first, second, _] = step.arguments;
        let Some((at, host, id)) = latest(&self.subscriptions(), first) else {
            return;
        };
        let result = self.world.with(host, |stack, now| {
            let mut view = stack.subscription(now, id)?;
            if step.what == What::Unsubscribe {
                return Ok::<_, Misuse>(view.terminate());
            }
            match view.state() {
                SubscriptionState::Idle if second & 1 != 0 => view.query(),
                SubscriptionState::Idle => view.subscribe(),
                _ => view.update((second & 1 != 0).then(|| Content::text("filter"))),
            }
        });
        if let Ok(operation) = result {
            self.began(at, operation, None);
        }
    }

    pub(super) fn publish(&mut self, first: u8, second: u8) {
        let Some((actor, endpoint)) = self.endpoint(usize::from(first) % CAST.len()) else {
            return;
        };
        let (target, host) = (actor.role.target(second), actor.role.host);
        let made = self.world.with(endpoint.host, |stack, now| {
            let options = PublishOptions::new("presence");
            let state = Content::text("state");
            stack.endpoint(now, endpoint.id)?.publish(target, options, state)
        });
        if let (Ok((publication, operation)), Some(place)) = (made, self.places.get_mut(host)) {
            place.contract.on_publication(publication, endpoint.id);
            self.began(host, operation, None);
        }
    }

    /// The publications that are not over, as their applications know, in an order that does not change.
    fn publications(&self) -> Vec<(usize, StackId, PublicationId)> {
        let places = self.places.iter().enumerate();
        places
            .flat_map(|(at, place)| {
                let open = place.contract.open_publications();
                open.map(move |id| (at, place.id, id))
            })
            .collect()
    }

    fn act_on_publication(&mut self, step: Step) {
        let [first, ..] = step.arguments;
        let Some((at, host, id)) = latest(&self.publications(), first) else {
            return;
        };
        let result = self.world.with(host, |stack, now| {
            let mut view = stack.publication(now, id)?;
            if step.what == What::Withdraw {
                return Ok::<_, Misuse>(view.remove());
            }
            view.modify(Content::text("other"))
        });
        if let Ok(operation) = result {
            self.began(at, operation, None);
        }
    }

    /// A subscription of somebody is accepted, refused, notified or ended, where its state lets it.
    pub(super) fn tell(&mut self, first: u8, second: u8) {
        let places = self.places.iter().enumerate();
        let all: Vec<_> = places
            .flat_map(|(at, place)| place.contract.open_watchers().map(move |id| (at, place.id, id)))
            .collect();
        let Some((at, host, id)) = latest(&all, first) else {
            return;
        };
        let content = Some(Content::text("state"));
        let result = self.world.with(host, |stack, now| {
            let mut view = stack.watcher(now, id)?;
            Ok::<_, Misuse>(match second % 5 {
                0 => view.accept(None, content).map(|()| None)?,
                1 => view
                    .accept_pending(Some(Duration::from_secs(300)))
                    .map(|()| None)?,
                2 => view.reject(StatusCode::FORBIDDEN, None).map(|()| None)?,
                3 => Some(view.notify(content)?),
                _ => Some(view.terminate(EndOfSubscription::NoResource, None)?),
            })
        });
        if let Ok(Some(operation)) = result {
            self.began(at, operation, None);
        }
    }

    pub(super) fn release(&mut self, first: u8, second: u8) {
        let Some(place) = self.place(first) else { return };
        let status = one(&FINAL, second).unwrap_or(StatusCode::OK);
        let held = if status.is_final() {
            place.desk.borrow_mut().held.pop()
        } else {
            place.desk.borrow().held.last().copied()
        };
        if let Some(incoming) = held {
            self.world.with(place.id, |stack, now| {
                // It may have been answered for the application meanwhile.
                if let Ok(mut view) = stack.incoming(now, incoming) {
                    let _ = view.answer(status, None, None, &[]);
                }
            });
        }
    }

    /// Decides on the REFER that was left last.
    pub(super) fn follow(&mut self, first: u8, second: u8) {
        let Some(place) = self.place(first) else { return };
        let Some((session, referral)) = place.desk.borrow_mut().referrals.pop() else {
            return;
        };
        self.world.with(place.id, |stack, now| {
            // Its session may have ended, which is no mistake of the application.
            let Ok(mut view) = stack.session(now, session) else {
                return;
            };
            let _ = if second & 1 == 0 {
                view.accept_referral(referral, session)
            } else {
                view.reject_referral(referral, StatusCode::DECLINE)
            };
        });
    }

    pub(super) fn end_for_good(&mut self, at: usize) {
        let Some(actor) = self.end_once(at) else { return };
        if let Some(place) = self.places.get_mut(actor.role.host) {
            place.gone.push(actor);
        }
    }

    /// The command to end, which may be given more than once (E13).
    fn end_once(&mut self, at: usize) -> Option<Actor> {
        let (actor, endpoint) = self.endpoint(at)?;
        let operation = self.world.terminate(endpoint);
        self.began(actor.role.host, operation, None);
        Some(actor)
    }

    /// An endpoint ends, and another takes its place.
    pub(super) fn end_actor(&mut self, at: usize) {
        let Some(actor) = self.actors.get(at).copied() else {
            return;
        };
        self.end_for_good(at);
        self.outages.retain(|(_, out)| *out != actor.role);
        let next = self.enter(actor.role, actor.generation + 1);
        if let Some(actor) = self.actors.get_mut(at) {
            *actor = next;
        }
    }

    pub(super) fn act_on_connection(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        let Some(place) = self.place(first) else { return };
        let conns = self.world.conns_of(place.id);
        let Some(conn) = latest(&conns, second) else {
            return;
        };
        self.world.with(place.id, |stack, now| {
            if step.what == What::Disconnect {
                stack.disconnect(now, conn);
            } else {
                // Of a client manager's it is misuse.
                let idle = Duration::from_secs(u64::from(third) % 64);
                let _ = stack.set_idle(now, conn, idle);
                if third > 240
                    && let Some(manager) = stack.connection(conn).map(|known| known.manager)
                    && let Ok(mut manager) = stack.manager(now, manager)
                {
                    let _ = manager.set_idle(Some(idle), None);
                    let _ = manager.apply_idle();
                }
            }
        });
    }

    /// Whether the application of a host decides on new connections, and how.
    pub(super) fn authorize(&mut self, at: u8, on: u8, how: u8) {
        let Some(place) = self.place(at) else { return };
        let tls = place.tls;
        place.desk.borrow_mut().decides = how;
        self.world.with(place.id, |stack, now| {
            for manager in [stack.client_manager(), stack.server_tcp_manager(), tls] {
                if let Ok(mut view) = stack.manager(now, manager) {
                    view.set_authorizes(on & 1 != 0);
                }
            }
        });
    }

    fn decide(&mut self, at: u8, which: u8, allows: u8) {
        let Some(place) = self.place(at) else { return };
        let asked = place.desk.borrow().asked.clone();
        let Some(conn) = latest(&asked, which) else {
            return;
        };
        place.desk.borrow_mut().asked.retain(|other| *other != conn);
        self.world.with(place.id, |stack, now| {
            // The time for it may be over: then it is gone, and this does nothing.
            let decided = if allows & 1 == 0 {
                stack.allow_connection(now, conn)
            } else {
                stack.deny_connection(now, conn)
            };
            assert_eq!(decided, Ok(()), "{conn} is not held, and has not been decided on");
        });
    }

    pub(super) fn act_on_listening(&mut self, step: Step) {
        let [first, second, _] = step.arguments;
        let at = one(&[3, 4, 5, 0], first).unwrap_or_default();
        if step.what == What::Listen {
            // The last has no certificate to show, and the one before may be one that does not listen.
            return self.listen_at(at);
        }
        let Some(place) = self.places.get(at) else { return };
        if second & 1 == 0 {
            let error = ListenError::Other(String::from("the address is gone"));
            self.world.lose_listening(place.id, &error);
            return;
        }
        self.stop_listening(at);
    }

    pub(super) fn stop_listening(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        let listening = std::mem::take(&mut place.listening);
        self.world.with(place.id, |stack, now| {
            for (manager, listener) in listening {
                let view = stack.manager(now, manager);
                // It may have ended by itself.
                let _ = view.and_then(|mut view| view.stop_listening(listener));
            }
        });
    }
}
