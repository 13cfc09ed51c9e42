//! A long time: endpoints that live for days, months or a year with a fault every hour, under the eyes of the oracle.
//!
//! Two servers serve the domain. Every hour brings a fault of some length, messages, and calls; at its end everything
//! that was wrong is right again. Who was told to be registered is bound at one of the servers again within
//! two hours (R6, R7, R10); all that the scenarios of [`soak`](super) promise holds, too. Nothing grows with time:
//! the oracle forgets what is over for as long.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sansip::security::{Credentials, Secret};
use sansip::wire::Method;
use sansip::{
    Config, Content, EndpointId, Event, OperationId, RegistrationState, ResolveError, SendOptions, Server,
    SipEndpointConfig, Time, TlsFailureKind, Transport,
};

use super::cast::{Desk, Shared, body, on_event};
use super::life::{LONGEST, RECOVERY};
use super::{Objection, Tally, watch};
use crate::frontend::{FrontEndConfig, FrontEndEvent, Manner, Memory};
use crate::oracle::{Contract, Talked};
use crate::world::{Chunks, Endpoint, Fault, FrontEndId, Host, Reachability, StackId, World};

const HOUR: Duration = Duration::from_secs(3600);

/// So long something that is over is remembered.
const MEMORY: Duration = Duration::from_secs(2 * 3600);

/// How many endpoints live on one host.
const ON_A_HOST: usize = 4;

/// How many messages and calls there are in an hour.
const TRAFFIC: [usize; 2] = [12, 3];

/// A call that was accepted is ended after this time.
const TALK: Duration = Duration::from_secs(120);

/// Who has lost its connection for good, because it does not refresh (R5), registers again after this time.
const CARE: Duration = Duration::from_secs(60);

/// So late in its hour a fault begins at most, and so long it lasts.
const BEGINS: Duration = Duration::from_secs(20 * 60);
const LASTS: Duration = Duration::from_secs(15 * 60);

/// Which time of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Years {
    /// How many hours are lived.
    pub hours: u64,
    /// How many endpoints live.
    pub endpoints: usize,
    /// What the entropy of the world is made of, and what happens in it.
    pub seed: u64,
}

/// Something that was not as it should be.
#[derive(Clone, Debug)]
pub struct Finding {
    years: Years,
    /// In which hour, and what its fault was.
    hour: u64,
    what: String,
    message: String,
    tail: String,
}

impl fmt::Display for Finding {
    /// All that somebody needs who looks for the cause, with the command that shows it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Years { endpoints, seed, .. } = self.years;
        writeln!(f, "{}", self.tail)?;
        writeln!(
            f,
            "seed {seed}, hour {} ({}): {}",
            self.hour, self.what, self.message
        )?;
        write!(
            f,
            "again: cargo run --release -p sansip-testkit --bin soak -- --hours {} --endpoints {endpoints} --seed {seed}",
            self.hour + 1
        )
    }
}

impl std::error::Error for Finding {}

/// Lives so long, twice, and compares hour by hour. `at` is told which of the two it is, the hour, and what has come of
/// it so far.
///
/// # Errors
/// Something objected, or the two lives differ.
pub fn run(years: Years, at: impl Fn(usize, u64, &Tally)) -> Result<Tally, Box<Finding>> {
    let digests = RefCell::new(Vec::new());
    let once = |time: usize| {
        let place = RefCell::new((0, "nothing yet"));
        let lived = watch(World::lasting(years.seed), |world| {
            years.live(world, |hour, what, tally, digest| {
                *place.borrow_mut() = (hour, what);
                let Some(digest) = digest else { return };
                at(time, hour, tally);
                if time == 0 {
                    digests.borrow_mut().push(digest);
                } else {
                    let hour = usize::try_from(hour).unwrap_or(usize::MAX);
                    let first = digests.borrow().get(hour).copied();
                    assert_eq!(first, Some(digest), "two runs differ");
                }
            })
        });
        let (hour, what) = *place.borrow();
        lived.map_err(|Objection { message, tail }| {
            Box::new(Finding {
                years,
                hour,
                what: what.to_owned(),
                message,
                tail,
            })
        })
    };
    let first = once(0)?;
    once(1)?;
    Ok(Tally {
        cells: first.cells,
        ..first.come
    })
}

/// The faults that such a time should have seen, and has not; once every fault had its hour.
pub fn missing(tally: &Tally, years: Years) -> Vec<String> {
    if years.hours < u64::try_from(HARMS.len()).unwrap_or(u64::MAX) {
        return Vec::new();
    }
    let never = tally
        .faults
        .iter()
        .filter(|(fault, all, _)| *all == 0 && STRIKE.contains(fault));
    never.map(|(fault, ..)| format!("never: {fault}")).collect()
}

/// What strikes in a long time.
const STRIKE: [Fault; 19] = [
    Fault::Latency,
    Fault::Jitter,
    Fault::Rechunking,
    Fault::Laziness,
    Fault::Stall,
    Fault::Reset,
    Fault::HalfOpen,
    Fault::BlackHole,
    Fault::OneWay,
    Fault::HalfClosed,
    Fault::SlowReader,
    Fault::Redirected,
    Fault::RedirectLoop,
    Fault::TooBrief,
    Fault::Unavailable,
    Fault::ServerRestart,
    Fault::ServerLoss,
    Fault::ServerCrash,
    Fault::HostRestart,
];

/// How an endpoint is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// At the domain by its name, over this transport.
    Named(Transport),
    /// The same, with a server that its service record names.
    Found,
    /// The same without refresh.
    Careless,
    /// On a server manager that listens: a lost connection is made again by what is sent next (R6).
    Listening,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    host: usize,
    endpoint: EndpointId,
    kind: Kind,
    /// When a server was seen to reach it last, or told that it has bound it.
    reached: Time,
    /// When its application registers it again.
    again: Option<Time>,
}

/// A host, and what is known of it from outside.
struct Place {
    id: StackId,
    desk: Shared,
    contract: Contract,
    talked: Talked,
}

struct Sent {
    at: Time,
    text: String,
    host: usize,
    operation: OperationId,
    succeeded: bool,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Message,
    Call,
    Harm(usize),
    Mend,
    Look,
}

/// The faults of the hours, each with a word for it.
const HARMS: [&str; 22] = [
    "a server restarts",
    "a server restarts without memory",
    "a server crashes",
    "a server crashes without memory",
    "both servers restart without memory",
    "a server is away",
    "connections are reset",
    "connections are half-open",
    "connections are black holes",
    "connections are black holes one way",
    "connections are half-closed",
    "connections stall",
    "readers are slow",
    "the domain name system fails",
    "handshakes fail",
    "a server redirects",
    "the servers redirect to each other",
    "expiries are too brief",
    "the servers are unavailable",
    "a host's process dies",
    "the network is slow and cuts",
    "adapters are late",
];

struct Lasting<'a> {
    world: &'a mut World,
    dice: ChaCha12Rng,
    servers: [FrontEndId; 2],
    places: Vec<Place>,
    members: Vec<Member>,
    sent: Vec<Sent>,
    said: u64,
    /// When each text came first, and to whom: the host and the endpoint.
    delivered: BTreeMap<String, (Time, Vec<(usize, EndpointId)>)>,
    /// Endpoints that have lost their connection or their binding, by their address of record.
    outages: BTreeMap<String, Time>,
    tally: Tally,
}

impl Years {
    /// `at` is told the hour, its fault, and at its end the digest of all that has happened.
    fn live(self, world: &mut World, at: impl Fn(u64, &'static str, &Tally, Option<u64>)) -> Tally {
        let mut lasting = Lasting::new(world, self);
        lasting.enroll();
        for hour in 0..self.hours {
            let harm = lasting.harm_of(hour);
            let word = HARMS.get(harm).copied().unwrap_or_default();
            at(hour, word, &lasting.tally, None);
            lasting.live_an_hour(harm);
            let digest = lasting.world.trace().digest();
            at(hour, word, &lasting.tally, Some(digest));
        }
        lasting.end();
        lasting.tally
    }
}

impl<'a> Lasting<'a> {
    fn new(world: &'a mut World, years: Years) -> Self {
        world.network.user_timeout = Some(Duration::from_secs(30));
        let mut settings = FrontEndConfig::new("example.com");
        for number in 0..years.endpoints {
            settings = settings.with_user(user(number), "secret");
        }
        let servers = world.front_ends(&settings, years.seed.is_multiple_of(2));
        let mut lasting = Self {
            world,
            dice: ChaCha12Rng::seed_from_u64(years.seed),
            servers,
            places: Vec::new(),
            members: Vec::new(),
            sent: Vec::new(),
            said: 0,
            delivered: BTreeMap::new(),
            outages: BTreeMap::new(),
            tally: Tally::default(),
        };
        for number in 0..years.endpoints {
            if number.is_multiple_of(ON_A_HOST) {
                lasting.open_place();
            }
            lasting.enter(number);
        }
        lasting
    }

    fn open_place(&mut self) {
        let id = self.world.stack_with(Config::default());
        let desk: Shared = Rc::new(RefCell::new(Desk::default()));
        let shared = Rc::clone(&desk);
        self.world
            .on_event(id, move |stack, now, event| on_event(&shared, stack, now, event));
        self.listen(id);
        self.places.push(Place {
            id,
            desk,
            contract: Contract::patient(LONGEST),
            talked: Talked::default(),
        });
    }

    fn listen(&mut self, id: StackId) {
        let address = SocketAddr::new(self.world.ip(id), 5060);
        let asked = self.world.with(id, |stack, now| {
            let manager = stack.server_tcp_manager();
            stack.manager(now, manager)?.listen(address)
        });
        asked.expect("a stack that does not listen yet");
    }

    /// An endpoint comes to its host.
    fn enter(&mut self, number: usize) {
        let host = number / ON_A_HOST;
        let kind = match number % 10 {
            7 => Kind::Found,
            8 => Kind::Careless,
            9 => Kind::Listening,
            even if even % 2 == 0 => Kind::Named(Transport::Tcp),
            _ => Kind::Named(Transport::Tls),
        };
        let name = user(number);
        let mut config = SipEndpointConfig::new(aor(number));
        config.epid = Some(format!("e{number}"));
        config.transport = Transport::Tcp;
        config.server = Some(Server {
            host: String::from("example.com"),
            port: Some(5060),
        });
        let place = self.places.get_mut(host).expect("the host of an endpoint");
        match kind {
            Kind::Named(transport) => {
                config.transport = transport;
                config.server = Some(Server {
                    host: String::from("example.com"),
                    port: Some(transport.default_port()),
                });
            }
            Kind::Found => config.server = None,
            Kind::Careless => config.auto_refresh = false,
            Kind::Listening => {
                config.manager = Some(self.world.with(place.id, |stack, _| stack.server_tcp_manager()));
            }
        }
        config.credentials = vec![Credentials::new(name, Secret::new("secret")).with_realm("example.com")];
        let endpoint = self.world.sip_endpoint(place.id, config).id;
        place.contract.endpoints.push(endpoint);
        let member = Member {
            host,
            endpoint,
            kind,
            reached: self.world.now(),
            again: None,
        };
        match self.members.get_mut(number) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    fn enroll(&mut self) {
        for number in 0..self.members.len() {
            self.register(number);
        }
        self.world.run_for(Duration::from_secs(60));
        self.collect();
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound.max(1)).unwrap_or(u32::MAX);
        usize::try_from(self.dice.next_u32() % bound).unwrap_or_default()
    }

    fn up_to(&mut self, time: Duration) -> Duration {
        let millis = usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
        Duration::from_millis(u64::try_from(self.below(millis)).unwrap_or_default())
    }

    /// Every fault in turn, so that a few days have them all, and then as chance has it.
    fn harm_of(&mut self, hour: u64) -> usize {
        let first = usize::try_from(hour).unwrap_or(usize::MAX);
        if first < HARMS.len() {
            return first;
        }
        self.below(HARMS.len())
    }

    // --- an hour

    fn live_an_hour(&mut self, harm: usize) {
        let begun = self.world.now();
        let mut plan: Vec<(Duration, Act)> = Vec::new();
        for (act, times) in [Act::Message, Act::Call].into_iter().zip(TRAFFIC) {
            for _ in 0..times {
                plan.push((self.up_to(HOUR - TALK), act));
            }
        }
        let at = self.up_to(BEGINS);
        plan.push((at, Act::Harm(harm)));
        plan.push((at + self.up_to(LASTS), Act::Mend));
        plan.extend((1..=12_u32).map(|part| (HOUR * part / 12, Act::Look)));
        plan.sort_by_key(|(at, _)| *at);
        for (at, act) in plan {
            self.world.run_for((begun + at).since(self.world.now()));
            self.collect();
            match act {
                Act::Message => self.message(),
                Act::Call => self.call(),
                Act::Harm(harm) => self.harm(harm),
                Act::Mend => self.mend(),
                Act::Look => self.hang_up(),
            }
        }
        self.judge_the_hour();
        self.forget();
    }

    fn register(&mut self, number: usize) {
        let Some((member, host)) = self.member(number) else {
            return;
        };
        let result = self.world.with(host, |stack, now| {
            stack.endpoint(now, member.endpoint)?.register()
        });
        if let Ok(operation) = result {
            self.began(member.host, operation, None);
        }
    }

    fn member(&self, number: usize) -> Option<(Member, StackId)> {
        let member = *self.members.get(number)?;
        Some((member, self.places.get(member.host)?.id))
    }

    fn began(&mut self, host: usize, operation: OperationId, establishes: Option<sansip::SessionId>) {
        let now = self.world.now();
        if let Some(place) = self.places.get_mut(host) {
            place.contract.on_started(now, operation, establishes);
        }
    }

    fn message(&mut self) {
        let (from, to) = (self.below(self.members.len()), self.below(self.members.len()));
        let Some((member, host)) = self.member(from) else {
            return;
        };
        let text = format!("message {}", self.said);
        self.said += 1;
        let content = Some(Content::text(text.as_str()));
        let result = self.world.with(host, |stack, now| {
            let mut view = stack.endpoint(now, member.endpoint)?;
            view.send_message(&aor(to), Method::Message, content, SendOptions::default())
        });
        if let Ok(operation) = result {
            self.began(member.host, operation, None);
            self.sent.push(Sent {
                at: self.world.now(),
                text,
                host: member.host,
                operation,
                succeeded: false,
            });
        }
    }

    fn call(&mut self) {
        let (from, to) = (self.below(self.members.len()), self.below(self.members.len()));
        let Some((member, host)) = self.member(from) else {
            return;
        };
        let made = self.world.with(host, |stack, now| {
            let mut view = stack.endpoint(now, member.endpoint)?;
            view.invite(&aor(to), Some(body()), SendOptions::default())
        });
        if let (Ok((session, operation)), Some(place)) = (made, self.places.get_mut(member.host)) {
            place.contract.on_session(session, member.endpoint);
            self.began(member.host, operation, Some(session));
        }
    }

    /// Every five minutes all calls are ended.
    fn hang_up(&mut self) {
        for at in 0..self.places.len() {
            let Some(place) = self.places.get(at) else {
                continue;
            };
            let (id, open) = (place.id, place.contract.open_sessions().collect::<Vec<_>>());
            for (session, _) in open {
                let ended = self.world.with(id, |stack, now| {
                    stack.session(now, session).map(|mut view| view.terminate())
                });
                if let Ok(operation) = ended {
                    self.began(at, operation, None);
                }
            }
        }
    }

    // --- harm

    fn harm(&mut self, harm: usize) {
        let [server, other] = self.one_and_the_other();
        match harm {
            0 => self.world.restart(server, Memory::Kept),
            1 => self.world.restart(server, Memory::Lost),
            2 => self.world.crash(server, Memory::Kept),
            3 => self.world.crash(server, Memory::Lost),
            4 => {
                self.world.restart(server, Memory::Lost);
                self.world.restart(other, Memory::Lost);
            }
            5 => self.take_away(server),
            6..=12 => self.harm_links(harm),
            13 => self.harm_names(),
            14 => {
                let kinds = [
                    TlsFailureKind::CertificateExpired,
                    TlsFailureKind::UntrustedRemoteCertificate,
                    TlsFailureKind::RemoteDisconnected,
                    TlsFailureKind::NegotiationFailure,
                ];
                match kinds.get(self.below(5)) {
                    Some(kind) => self.world.set_certificate_fault(server, Some(*kind)),
                    None => self.world.set_wrong_certificate(server, true),
                }
                self.world.restart(server, Memory::Kept);
            }
            15 | 16 => {
                let to = |world: &World, server: FrontEndId| {
                    let ip = world.ip(server);
                    Manner::Redirect(vec![format!("<sip:{ip};transport=tcp>")])
                };
                let (there, back) = (to(self.world, other), to(self.world, server));
                self.set_manner(server, there);
                if harm == 16 {
                    self.set_manner(other, back);
                }
                self.world.restart(server, Memory::Kept);
            }
            17 => {
                for server in self.servers {
                    self.set_manner(server, Manner::TooBrief(Duration::from_secs(4000)));
                    self.world.restart(server, Memory::Kept);
                }
            }
            18 => {
                let seconds = [None, Some(5), Some(30), Some(200), Some(2000)];
                let seconds = seconds.get(self.below(seconds.len())).copied().flatten();
                for server in self.servers {
                    self.set_manner(server, Manner::Unavailable(seconds));
                    self.world.restart(server, Memory::Kept);
                }
            }
            19 => {
                let host = self.below(self.places.len());
                self.replace(host);
            }
            20 => {
                self.world.network.latency = Duration::from_millis(300);
                self.world.network.jitter = Duration::from_millis(100);
                self.world.network.chunks = Chunks::Random;
                self.world.restart(server, Memory::Kept);
            }
            _ => self.world.laziness = Duration::from_millis(200),
        }
    }

    fn one_and_the_other(&mut self) -> [FrontEndId; 2] {
        let [first, second] = self.servers;
        if self.below(2) == 0 {
            [first, second]
        } else {
            [second, first]
        }
    }

    fn set_manner(&mut self, server: FrontEndId, manner: Manner) {
        self.world
            .with_server(server, |server, _| server.set_manner(manner));
    }

    /// The server is gone, and who connects to it fares ill.
    fn take_away(&mut self, server: FrontEndId) {
        let ways = [
            Reachability::Refused,
            Reachability::Unreachable,
            Reachability::BlackHole,
            Reachability::TimedOut,
        ];
        let way = ways.get(self.below(ways.len())).copied();
        for transport in [Transport::Tcp, Transport::Tls] {
            let address = self.world.address(server, transport);
            self.world
                .set_reachability(address, way.unwrap_or(Reachability::Refused));
        }
        self.world.restart(server, Memory::Kept);
    }

    /// Half of the connections with one of the servers.
    fn harm_links(&mut self, harm: usize) {
        let [server, _] = self.one_and_the_other();
        for link in self.world.links_of(server) {
            if self.below(2) == 0 {
                continue;
            }
            let hosts = self.world.hosts_of(link);
            let side = hosts.get(self.below(2)).copied().unwrap_or_else(|| server.into());
            match harm {
                6 => self.world.reset(link),
                7 => self.world.half_open(link, side),
                8 => self.world.black_hole(link),
                9 => self.world.black_hole_from(link, side),
                10 => self.world.half_close(link, server),
                11 => self.world.stall(link, Duration::from_secs(40)),
                _ => self.world.set_slow(link, side, true),
            }
        }
        if harm == 12 {
            self.world.network.window = 300;
        }
    }

    /// Who has to connect anew finds no address.
    fn harm_names(&mut self) {
        let errors = [
            Some(ResolveError::NoSuchName),
            Some(ResolveError::Timeout),
            Some(ResolveError::ServerFailure),
            None,
        ];
        let way = errors.get(self.below(errors.len())).copied().flatten();
        for name in NAMES {
            match way {
                Some(error) => self.world.names.fail(name, error),
                None => self.world.names.silence(name),
            };
        }
        let [server, _] = self.one_and_the_other();
        // What was found before is known for a minute.
        for link in self.world.links_of(server) {
            self.world.half_open(link, server);
        }
    }

    /// A host's process dies; its application starts again, and registers its endpoints.
    fn replace(&mut self, at: usize) {
        self.collect();
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        let id = place.id;
        *place.desk.borrow_mut() = Desk::default();
        self.tally.spoken += place.talked.messages;
        (place.contract, place.talked) = (Contract::patient(LONGEST), Talked::default());
        self.world.replace_stack(id, Config::default());
        self.world.take_events(id);
        self.collect();
        self.sent.retain(|sent| sent.host != at);
        // Its endpoints have the names of those before.
        for (_, devices) in self.delivered.values_mut() {
            devices.retain(|(host, _)| *host != at);
        }
        self.listen(id);
        for number in 0..self.members.len() {
            let Some((member, _)) = self.member(number).filter(|(member, _)| member.host == at) else {
                continue;
            };
            self.outages.remove(&aor(number));
            self.enter(number);
            if let Some(known) = self.members.get_mut(number) {
                known.reached = member.reached;
            }
            self.register(number);
        }
    }

    fn mend(&mut self) {
        for server in self.servers {
            for transport in [Transport::Tcp, Transport::Tls] {
                let address = self.world.address(server, transport);
                self.world.set_reachability(address, Reachability::Open);
            }
            self.set_manner(server, Manner::Usual);
            self.world.set_certificate_fault(server, None);
            self.world.set_wrong_certificate(server, false);
            for link in self.world.links_of(server) {
                for host in self.world.hosts_of(link) {
                    self.world.set_slow(link, host, false);
                }
            }
        }
        for name in NAMES {
            self.world.names.mend(name);
        }
        let usual = crate::world::Network::default();
        let user_timeout = self.world.network.user_timeout;
        self.world.network = crate::world::Network {
            user_timeout,
            ..usual
        };
        self.world.laziness = Duration::ZERO;
    }

    // --- the eyes of the oracle

    fn collect(&mut self) {
        let now = self.world.now();
        for at in 0..self.places.len() {
            self.collect_events(at);
        }
        for passage in self.world.take_passages() {
            if let Some(place) = place_of(&mut self.places, passage.host) {
                let line = (passage.link, passage.side);
                place.talked.on_passage(passage.at, line, &passage.what);
            }
        }
        for strike in self.world.take_strikes() {
            let Some(place) = place_of(&mut self.places, strike.host) else {
                continue;
            };
            let busy = place.contract.is_busy(strike.at);
            self.tally.faults.count(strike.fault, busy);
            if !matches!(
                strike.fault,
                Fault::Jitter | Fault::Rechunking | Fault::Laziness | Fault::Repeated
            ) {
                place.talked.on_trouble(strike.at);
            }
        }
        for place in &mut self.places {
            place.talked.judge(now);
        }
        self.collect_recoveries();
        self.care(now);
        self.judge_what_is_held();
    }

    fn collect_events(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        for (when, operation) in place.desk.borrow_mut().begun.drain(..) {
            place.contract.on_started(when, operation, None);
        }
        for (when, event) in self.world.take_events(place.id) {
            place.contract.on_event(when, &event);
            self.tally.on_event(&event);
            match event {
                Event::MessageReceived {
                    endpoint, message, ..
                } => {
                    let text = String::from_utf8_lossy(message.body_bytes()).into_owned();
                    let known = self.delivered.entry(text).or_insert((when, Vec::new()));
                    let device = (at, endpoint);
                    assert!(!known.1.contains(&device), "delivered twice to one device (C35)");
                    known.1.push(device);
                }
                Event::Completed { operation, result } => {
                    let mut sent = self.sent.iter_mut();
                    if let Some(sent) = sent.find(|sent| sent.host == at && sent.operation == operation) {
                        sent.succeeded = result.is_ok();
                    }
                }
                Event::Outage { endpoint, .. } => {
                    if let Some(number) = number_of(&self.members, at, endpoint) {
                        self.outages.entry(aor(number)).or_insert(when);
                    }
                }
                Event::Registration { endpoint, new, .. } => {
                    let number = number_of(&self.members, at, endpoint);
                    let member = number.and_then(|number| self.members.get_mut(number));
                    // An outage of who does not refresh, or a first REGISTER that has failed, is ended by nobody else.
                    if let Some(member) = member {
                        let lost = new == RegistrationState::Unregistered;
                        member.again = lost.then(|| when + CARE);
                    }
                }
                _ => {}
            }
        }
    }

    /// The application of those who are not registered by themselves.
    fn care(&mut self, now: Time) {
        for number in 0..self.members.len() {
            let due = self
                .members
                .get_mut(number)
                .filter(|member| member.again.is_some_and(|at| at <= now));
            if let Some(member) = due {
                member.again = None;
                self.register(number);
            }
        }
    }

    /// An outage is over as soon as a server has bound the endpoint anew.
    fn collect_recoveries(&mut self) {
        for server in self.servers {
            for (at, event) in self.world.take_server_events(server) {
                let FrontEndEvent::Registered { aor, .. } = event else {
                    continue;
                };
                let number = aor.strip_prefix("sip:u").and_then(|rest| rest.split('@').next());
                let number = number.and_then(|number| number.parse::<usize>().ok());
                if let Some(member) = number.and_then(|number| self.members.get_mut(number)) {
                    member.reached = at;
                }
                if let Some(since) = self.outages.get(&aor).copied().filter(|since| *since <= at) {
                    self.outages.remove(&aor);
                    self.tally.recoveries.add(at.since(since));
                }
            }
        }
    }

    fn judge_what_is_held(&self) {
        for place in &self.places {
            let Some(census) = self.world.held(place.id) else {
                continue;
            };
            let known = (
                place.contract.open_sessions().count(),
                place.contract.open_operations(),
            );
            let held = (census.sessions, census.operations);
            assert_eq!(held, known, "sessions and operations of {}", Host::from(place.id));
        }
    }

    /// Everybody is to be registered: who is not bound at a server has not been so for long (R6, R7, R10). Who listens
    /// loses its connection when it is idle (C10), and the binding with it; its refreshes bind it again.
    fn judge_the_hour(&mut self) {
        let now = self.world.now();
        for number in 0..self.members.len() {
            let epid = format!("e{number}");
            let bound = self.servers.iter().any(|server| {
                let bindings = self.world.server(*server).bindings(&aor(number));
                let mut bindings = bindings.iter();
                bindings.any(|binding| binding.epid.as_ref() == Some(&epid) && binding.conn.is_some())
            });
            let Some(member) = self.members.get_mut(number) else {
                continue;
            };
            if bound {
                member.reached = now;
            }
            let out = now.since(member.reached);
            assert!(
                out <= RECOVERY,
                "{epid}, {:?}, is not bound at a server for {out:?}",
                member.kind
            );
        }
        // Where its sender was told 2xx a MESSAGE came to somebody (C35).
        for sent in self.sent.iter().filter(|sent| sent.succeeded) {
            let came = self.delivered.contains_key(&sent.text);
            assert!(came, "{} was answered and never delivered", sent.text);
        }
    }

    fn forget(&mut self) {
        let before = self.world.now() - MEMORY;
        for place in &mut self.places {
            place.contract.forget(before);
            place.talked.forget(before);
        }
        self.sent.retain(|sent| sent.at >= before);
        self.delivered.retain(|_, (at, _)| *at >= before);
        self.world.forget_the_past();
    }

    /// Everything is told to end.
    fn end(&mut self) {
        self.world.run_for(RECOVERY);
        self.collect();
        self.judge_the_hour();
        for number in 0..self.members.len() {
            if let Some((member, host)) = self.member(number) {
                let id = member.endpoint;
                let operation = self.world.terminate(Endpoint { host, id });
                self.began(member.host, operation, None);
            }
        }
        for at in 0..self.places.len() {
            let Some(id) = self.places.get(at).map(|place| place.id) else {
                continue;
            };
            self.world.with(id, |stack, now| {
                let manager = stack.server_tcp_manager();
                let Ok(mut view) = stack.manager(now, manager) else {
                    return;
                };
                for (listener, ..) in view.listeners() {
                    let _ = view.stop_listening(listener);
                }
            });
        }
        self.world.run_for(Duration::from_secs(1500));
        self.collect();
        for place in &mut self.places {
            place.contract.judge_the_end();
            place.talked.judge_the_end();
            self.tally.spoken += place.talked.messages;
        }
        for server in self.servers {
            let bound = self.world.server(server).registered();
            assert!(bound.is_empty(), "bound at the end: {bound:?}");
        }
    }
}

/// The names by which the servers are found.
const NAMES: [&str; 5] = [
    "example.com",
    "s1.example.com",
    "s2.example.com",
    "_sip._tcp.example.com",
    "_sips._tcp.example.com",
];

fn user(number: usize) -> String {
    format!("u{number}")
}

fn aor(number: usize) -> String {
    format!("sip:{}@example.com", user(number))
}

fn place_of(places: &mut [Place], host: Host) -> Option<&mut Place> {
    places.iter_mut().find(|place| Host::from(place.id) == host)
}

fn number_of(members: &[Member], host: usize, endpoint: EndpointId) -> Option<usize> {
    let own = |member: &Member| (member.host, member.endpoint) == (host, endpoint);
    members.iter().position(own)
}
