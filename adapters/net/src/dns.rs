//! A stub resolver as a machine over messages and time; read RFC 1034 section 5.3.1 and RFC 3263 first.
//!
//! ```text
//!  ask ──┬─ literal, localhost, hosts file ───────────────────────────────┐
//!        └─ lookup: one name after the other (search list)                 ├─▶ poll_answer
//!             └─ leg: one type of record (NAPTR, SRV, or AAAA and A side by side) ─┘
//!                  └─ turn: one server, one socket, one random id
//!                       UDP ──truncated──▶ TCP
//!                        └──no answer in time, failure──▶ the next turn
//! ```
//!
//! A forged response has to hit the id, the question, the server's address and the port of the query. For the
//! last the adapter is needed: **every [`SocketId`] is a socket of its own, bound to a port that the system
//! chooses afresh**.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sansip::{Answer, NaptrRecord, QueryId, Question, ResolveError, SrvRecord, Time};

use crate::hosts::{Hosts, normal};
use crate::message::{self, Found, Reading, absolute};
use crate::resolv_conf::ResolvConf;

/// How many questions are put to the servers at a time, so that sockets do not run out; the others wait.
const MAX_RUNNING: usize = 64;
/// How long the other family of addresses is still waited for when one has come. RFC 8305 section 3 says 50
/// ms for a user who waits; here completeness is worth more, for the answer is kept and failed over within.
const OTHER_FAMILY_WAIT: Duration = Duration::from_secs(1);
/// How long an answer at most holds in which one family is missing because no server answered for it.
const PARTIAL_TTL: Duration = Duration::from_secs(30);
/// How long an answer holds that asked no server.
const LOCAL_TTL: Duration = Duration::from_secs(60);

/// One socket of the resolver: a new one for each message sent, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u64);

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dns{}", self.0)
    }
}

/// How a message goes to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One datagram, from a port that the system chooses for this socket alone.
    Udp,
    /// A connection; the bytes carry the length in front that RFC 1035 section 4.2.2 wants.
    Tcp,
}

/// A message to send on a new socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The name of the socket in later calls.
    pub socket: SocketId,
    /// The server to send to.
    pub server: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// All the bytes.
    pub bytes: Vec<u8>,
}

/// A stub resolver: questions, messages and time in, messages and answers out.
///
/// After each call, drain [`poll_transmit`](Self::poll_transmit), [`poll_close`](Self::poll_close) and
/// [`poll_answer`](Self::poll_answer); call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) is due. `Q` is what a question is called: a [`QueryId`] for the
/// stack.
///
/// Nothing is kept beyond the answer: the cache is the core's (rule C25).
pub struct Resolver<Q = QueryId> {
    conf: ResolvConf,
    hosts: Hosts,
    entropy: ChaCha12Rng,
    sockets: u64,
    /// The server to start with, where `rotate` is set.
    start: usize,
    running: Vec<Lookup<Q>>,
    waiting: VecDeque<Lookup<Q>>,
    transmits: VecDeque<Transmit>,
    closes: VecDeque<SocketId>,
    answers: VecDeque<(Q, Result<Answer, ResolveError>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Pointers,
    Services,
    Addresses,
}

struct Lookup<Q> {
    query: Q,
    wanted: Wanted,
    /// The names still to be tried after the current one.
    names: VecDeque<Name>,
    /// How long it holds that an earlier name of the search list exists without addresses.
    empty: Option<u32>,
    legs: Vec<Leg>,
    /// When the other family of addresses is given up.
    cutoff: Option<Time>,
}

/// The way to the records of one type.
struct Leg {
    kind: RecordType,
    /// The name asked for, the end of the aliases so far.
    name: Name,
    aliases: Vec<Name>,
    /// The shortest time that an alias on the way holds; seconds.
    ttl: u32,
    start: usize,
    turn: usize,
    /// Whether a server has answered that it cannot.
    refused: bool,
    state: LegState,
}

enum LegState {
    Asked {
        socket: SocketId,
        server: SocketAddr,
        id: u16,
        protocol: Protocol,
        deadline: Time,
        received: Vec<u8>,
    },
    Done(Outcome),
}

#[derive(Debug)]
enum Outcome {
    Records { found: Vec<Found>, ttl: u32 },
    Empty { ttl: u32 },
    NoSuchName,
    Failed(ResolveError),
}

impl<Q: Copy> Resolver<Q> {
    /// A resolver that asks these servers. The seed must be unpredictable and secret: the ids of the queries
    /// come from it.
    pub fn new(conf: ResolvConf, hosts: Hosts, seed: [u8; 32]) -> Self {
        Self {
            conf,
            hosts,
            entropy: ChaCha12Rng::from_seed(seed),
            sockets: 0,
            start: 0,
            running: Vec::new(),
            waiting: VecDeque::new(),
            transmits: VecDeque::new(),
            closes: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// Goes on with another configuration, when the system's has changed. Messages under way are still
    /// awaited.
    pub fn configure(&mut self, conf: ResolvConf, hosts: Hosts) {
        self.conf = conf;
        self.hosts = hosts;
    }

    /// Asks; the answer comes once, through [`poll_answer`](Self::poll_answer).
    ///
    /// Without a server being asked: IP literals (in brackets or not), `localhost` and names below it, names
    /// in the hosts file, and names below `invalid`, which never exist (RFC 6761 section 6).
    pub fn ask(&mut self, now: Time, query: Q, question: Question) {
        let (wanted, name) = match question {
            Question::Naptr(name) => (Wanted::Pointers, name),
            Question::Srv(name) => (Wanted::Services, name),
            Question::Addresses(name) => (Wanted::Addresses, name),
        };
        if let Some(answer) = self.known(wanted, &name) {
            self.answers.push_back((query, answer));
            return;
        }
        let names = match wanted {
            Wanted::Pointers | Wanted::Services => absolute(&name).into_iter().collect(),
            Wanted::Addresses => self.candidates(&name),
        };
        let lookup = Lookup {
            query,
            wanted,
            names,
            empty: None,
            legs: Vec::new(),
            cutoff: None,
        };
        self.waiting.push_back(lookup);
        self.start_waiting(now);
    }

    /// What needs no server.
    fn known(&self, wanted: Wanted, name: &str) -> Option<Result<Answer, ResolveError>> {
        let name = normal(name);
        let below = |domain: &str| {
            name.strip_suffix(domain)
                .is_some_and(|left| left.is_empty() || left.ends_with('.'))
        };
        let addresses = |addresses: &[IpAddr]| {
            Ok(Answer::Addresses {
                addresses: addresses.to_vec(),
                ttl: LOCAL_TTL,
            })
        };
        if wanted != Wanted::Addresses {
            return if below("localhost") || below("invalid") {
                let seconds = u32::try_from(LOCAL_TTL.as_secs()).unwrap_or(u32::MAX);
                Some(Ok(wanted.answer(Vec::new(), seconds)))
            } else {
                self.conf
                    .servers
                    .is_empty()
                    .then_some(Err(ResolveError::NoResolver))
            };
        }
        let literal = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&name);
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Some(addresses(&[address]));
        }
        if below("localhost") {
            return Some(addresses(&[
                Ipv4Addr::LOCALHOST.into(),
                Ipv6Addr::LOCALHOST.into(),
            ]));
        }
        match self.hosts.addresses(&name) {
            [] if below("invalid") => Some(Err(ResolveError::NoSuchName)),
            [] if self.conf.servers.is_empty() => Some(Err(ResolveError::NoResolver)),
            [] => None,
            found => Some(addresses(found)),
        }
    }

    /// The names to ask for, in order: a name of few dots is first looked for in the search list. One of more
    /// dots is never, so that no stranger's domain answers for a name that does not exist (RFC 1535).
    fn candidates(&self, name: &str) -> VecDeque<Name> {
        let is_relative = !name.ends_with('.') && name.matches('.').count() < self.conf.ndots;
        let search = self.conf.search.iter().filter(|_| is_relative);
        search
            .map(|domain| format!("{name}.{domain}"))
            .chain(std::iter::once(name.to_owned()))
            .filter_map(|name| absolute(&name))
            .collect()
    }

    fn start_waiting(&mut self, now: Time) {
        while self.running.len() < MAX_RUNNING
            && let Some(mut lookup) = self.waiting.pop_front()
        {
            self.next_name(now, &mut lookup);
            if let Some(answer) = self.settle(now, &mut lookup) {
                self.answers.push_back((lookup.query, answer));
            } else {
                self.running.push(lookup);
            }
        }
    }

    /// Starts the legs of the next name; without one left there are no legs.
    fn next_name(&mut self, now: Time, lookup: &mut Lookup<Q>) {
        lookup.cutoff = None;
        lookup.legs.clear();
        let Some(name) = lookup.names.pop_front() else {
            return;
        };
        let kinds: &[RecordType] = match lookup.wanted {
            Wanted::Pointers => &[RecordType::NAPTR],
            Wanted::Services => &[RecordType::SRV],
            // The order of preference (RFC 6724 section 2.1).
            Wanted::Addresses => &[RecordType::AAAA, RecordType::A],
        };
        let start = self.start;
        if self.conf.rotate {
            self.start = self.start.wrapping_add(1);
        }
        for &kind in kinds {
            let mut leg = Leg {
                kind,
                name: name.clone(),
                aliases: Vec::new(),
                ttl: u32::MAX,
                start,
                turn: 0,
                refused: false,
                state: LegState::Done(Outcome::Failed(ResolveError::Timeout)),
            };
            self.take_turn(now, &mut leg);
            lookup.legs.push(leg);
        }
    }

    /// Asks the server whose turn it is, or gives up after the last.
    fn take_turn(&mut self, now: Time, leg: &mut Leg) {
        let servers = self.conf.servers.len();
        let server = leg
            .start
            .wrapping_add(leg.turn)
            .checked_rem(servers)
            .and_then(|i| self.conf.servers.get(i));
        match server {
            Some(&server) if leg.turn < servers.saturating_mul(self.conf.attempts) => {
                leg.turn += 1;
                let protocol = if self.conf.tcp {
                    Protocol::Tcp
                } else {
                    Protocol::Udp
                };
                self.send(now, leg, server, protocol);
            }
            Some(_) | None => {
                let error = if leg.refused {
                    ResolveError::ServerFailure
                } else {
                    ResolveError::Timeout
                };
                self.finish(leg, Outcome::Failed(error));
            }
        }
    }

    fn send(&mut self, now: Time, leg: &mut Leg, server: SocketAddr, protocol: Protocol) {
        let [high, low, ..] = self.entropy.next_u32().to_be_bytes();
        let id = u16::from_be_bytes([high, low]);
        let Some(message) = message::query(id, &leg.name, leg.kind) else {
            self.finish(leg, Outcome::NoSuchName);
            return;
        };
        let bytes = match (protocol, u16::try_from(message.len())) {
            (Protocol::Tcp, Ok(length)) => [length.to_be_bytes().as_slice(), &message].concat(),
            (Protocol::Udp, _) | (Protocol::Tcp, Err(_)) => message,
        };
        self.sockets += 1;
        let socket = SocketId(self.sockets);
        let deadline = now + self.conf.timeout;
        self.enter(
            leg,
            LegState::Asked {
                socket,
                server,
                id,
                protocol,
                deadline,
                received: Vec::new(),
            },
        );
        self.transmits.push_back(Transmit {
            socket,
            server,
            protocol,
            bytes,
        });
    }

    fn finish(&mut self, leg: &mut Leg, outcome: Outcome) {
        self.enter(leg, LegState::Done(outcome));
    }

    /// The one place where a leg's state changes: the socket of the old one is done with.
    fn enter(&mut self, leg: &mut Leg, state: LegState) {
        if let LegState::Asked { socket, .. } = std::mem::replace(&mut leg.state, state) {
            let queued = self.transmits.len();
            self.transmits.retain(|transmit| transmit.socket != socket);
            // A socket that the adapter has not heard of needs no closing.
            if self.transmits.len() == queued {
                self.closes.push_back(socket);
            }
        }
    }

    /// A datagram came on this socket, from this address. Whatever is no response to what was sent there is
    /// ignored.
    pub fn handle_datagram(&mut self, now: Time, socket: SocketId, from: SocketAddr, bytes: &[u8]) {
        self.with_leg(now, socket, |resolver, leg| {
            if let LegState::Asked {
                server,
                protocol: Protocol::Udp,
                ..
            } = &leg.state
                && is_same(*server, from)
            {
                resolver.handle_message(now, leg, bytes);
            }
        });
    }

    /// Bytes came on this connection, in pieces of any size.
    pub fn handle_tcp(&mut self, now: Time, socket: SocketId, bytes: &[u8]) {
        self.with_leg(now, socket, |resolver, leg| {
            let LegState::Asked {
                protocol: Protocol::Tcp,
                received,
                ..
            } = &mut leg.state
            else {
                return;
            };
            received.extend_from_slice(bytes);
            if let Some((length, rest)) = received.split_first_chunk::<2>()
                && let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length)))
            {
                let message = message.to_vec();
                resolver.handle_message(now, leg, &message);
            }
        });
    }

    /// The socket cannot be used: it could not be opened, the server refuses it, or the connection has ended.
    pub fn handle_failed(&mut self, now: Time, socket: SocketId) {
        self.with_leg(now, socket, |resolver, leg| resolver.take_turn(now, leg));
    }

    /// Time has passed; does nothing before [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Time) {
        let mut position = 0;
        while let Some(lookup) = self.running.get(position) {
            if lookup.deadline().is_none_or(|deadline| deadline > now) {
                position += 1;
                continue;
            }
            let mut lookup = self.running.remove(position);
            let is_cut_off = lookup.cutoff.is_some_and(|cutoff| cutoff <= now);
            for leg in &mut lookup.legs {
                match &leg.state {
                    LegState::Asked { .. } if is_cut_off => {
                        self.finish(leg, Outcome::Failed(ResolveError::Timeout));
                    }
                    LegState::Asked { deadline, .. } if *deadline <= now => self.take_turn(now, leg),
                    LegState::Asked { .. } | LegState::Done(_) => {}
                }
            }
            self.put_back(now, position, lookup);
        }
        self.start_waiting(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.running.iter().filter_map(Lookup::deadline).min()
    }

    /// The next message to send, on a new socket of this name.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next socket that is not needed any more; to be closed without a word.
    pub fn poll_close(&mut self) -> Option<SocketId> {
        self.closes.pop_front()
    }

    /// The next answer.
    pub fn poll_answer(&mut self) -> Option<(Q, Result<Answer, ResolveError>)> {
        self.answers.pop_front()
    }

    /// Whether no question is open and nothing is queued.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
            && self.waiting.is_empty()
            && self.transmits.is_empty()
            && self.closes.is_empty()
            && self.answers.is_empty()
    }

    /// Moves the leg that waits on a socket; a socket that nothing waits on is a late report and ignored.
    fn with_leg(&mut self, now: Time, socket: SocketId, step: impl FnOnce(&mut Self, &mut Leg)) {
        let Some(position) = self
            .running
            .iter()
            .position(|lookup| lookup.leg(socket).is_some())
        else {
            return;
        };
        let mut lookup = self.running.remove(position);
        if let Some(leg) = lookup.leg(socket)
            && let Some(leg) = lookup.legs.get_mut(leg)
        {
            step(self, leg);
        }
        self.put_back(now, position, lookup);
        self.start_waiting(now);
    }

    /// Answers where the lookup has come to its end; otherwise it goes back to its place.
    fn put_back(&mut self, now: Time, position: usize, mut lookup: Lookup<Q>) {
        if let Some(answer) = self.settle(now, &mut lookup) {
            self.answers.push_back((lookup.query, answer));
        } else {
            self.running.insert(position, lookup);
        }
    }

    fn handle_message(&mut self, now: Time, leg: &mut Leg, bytes: &[u8]) {
        let LegState::Asked {
            server, id, protocol, ..
        } = leg.state
        else {
            return;
        };
        match message::read(bytes, id, &leg.name, leg.kind, &mut leg.aliases) {
            // Over a connection nobody but the server can have sent it.
            Reading::Foreign if protocol == Protocol::Udp => {}
            Reading::Truncated if protocol == Protocol::Udp => self.send(now, leg, server, Protocol::Tcp),
            Reading::Foreign | Reading::Truncated | Reading::Failed => {
                leg.refused = true;
                self.take_turn(now, leg);
            }
            Reading::AliasLoop => self.finish(leg, Outcome::Failed(ResolveError::ServerFailure)),
            Reading::Alias { name, ttl } => {
                leg.name = name;
                leg.ttl = leg.ttl.min(ttl);
                leg.turn = 0;
                self.take_turn(now, leg);
            }
            Reading::Records { found, ttl } => {
                let ttl = leg.ttl.min(ttl);
                self.finish(leg, Outcome::Records { found, ttl });
            }
            Reading::Empty { ttl } => {
                let ttl = leg.ttl.min(ttl);
                self.finish(leg, Outcome::Empty { ttl });
            }
            Reading::NoSuchName => self.finish(leg, Outcome::NoSuchName),
        }
    }

    /// Looks at the legs: the answer where there is one, else the next name, or the wait for the other
    /// family.
    fn settle(&mut self, now: Time, lookup: &mut Lookup<Q>) -> Option<Result<Answer, ResolveError>> {
        loop {
            if lookup.legs.iter().any(Leg::is_asked) {
                let is_decided = |leg: &Leg| {
                    matches!(
                        leg.state,
                        LegState::Done(Outcome::Records { .. } | Outcome::NoSuchName)
                    )
                };
                if lookup.cutoff.is_none() && lookup.legs.iter().any(is_decided) {
                    lookup.cutoff = Some(now + OTHER_FAMILY_WAIT);
                }
                return None;
            }
            match lookup.outcome() {
                Outcome::Records { found, ttl } => return Some(Ok(lookup.wanted.answer(found, ttl))),
                Outcome::Failed(error) => return Some(Err(error)),
                Outcome::Empty { ttl } => {
                    lookup.empty = Some(lookup.empty.map_or(ttl, |before| before.min(ttl)));
                }
                Outcome::NoSuchName => {}
            }
            if lookup.names.is_empty() {
                return Some(match (lookup.empty, lookup.wanted) {
                    (Some(ttl), wanted) => Ok(wanted.answer(Vec::new(), ttl)),
                    (None, wanted @ (Wanted::Pointers | Wanted::Services)) => {
                        Ok(wanted.answer(Vec::new(), 0))
                    }
                    (None, Wanted::Addresses) => Err(ResolveError::NoSuchName),
                });
            }
            self.next_name(now, lookup);
        }
    }
}

impl<Q> fmt::Debug for Resolver<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("conf", &self.conf)
            .field("running", &self.running.len())
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Wanted {
    fn answer(self, found: Vec<Found>, ttl: u32) -> Answer {
        let ttl = Duration::from_secs(ttl.into());
        match self {
            Self::Pointers => Answer::Naptr {
                records: found.into_iter().filter_map(Found::pointer).collect(),
                ttl,
            },
            Self::Services => Answer::Srv {
                records: found.into_iter().filter_map(Found::service).collect(),
                ttl,
            },
            Self::Addresses => Answer::Addresses {
                addresses: found.into_iter().filter_map(Found::address).collect(),
                ttl,
            },
        }
    }
}

impl Found {
    fn pointer(self) -> Option<NaptrRecord> {
        if let Self::Pointer(record) = self {
            Some(record)
        } else {
            None
        }
    }

    fn service(self) -> Option<SrvRecord> {
        if let Self::Service(record) = self {
            Some(record)
        } else {
            None
        }
    }

    fn address(self) -> Option<IpAddr> {
        if let Self::Address(address) = self {
            Some(address)
        } else {
            None
        }
    }
}

impl Leg {
    const fn is_asked(&self) -> bool {
        matches!(self.state, LegState::Asked { .. })
    }
}

impl<Q> Lookup<Q> {
    fn leg(&self, wanted: SocketId) -> Option<usize> {
        self.legs
            .iter()
            .position(|leg| matches!(leg.state, LegState::Asked { socket, .. } if socket == wanted))
    }

    fn deadline(&self) -> Option<Time> {
        let legs = self.legs.iter().filter_map(|leg| match leg.state {
            LegState::Asked { deadline, .. } => Some(deadline),
            LegState::Done(_) => None,
        });
        legs.chain(self.cutoff).min()
    }

    /// What the finished legs say together. Addresses of one family are an answer, whatever became of the
    /// other.
    fn outcome(&self) -> Outcome {
        let (mut all, mut shortest) = (Vec::new(), u32::MAX);
        let (mut empty, mut failed, mut absent) = (None::<u32>, None, false);
        for leg in &self.legs {
            match &leg.state {
                LegState::Done(Outcome::Records { found, ttl }) => {
                    all.extend(found.iter().cloned());
                    shortest = shortest.min(*ttl);
                }
                LegState::Done(Outcome::Empty { ttl }) => {
                    empty = Some(empty.map_or(*ttl, |other| other.min(*ttl)))
                }
                LegState::Done(Outcome::NoSuchName) => absent = true,
                LegState::Done(Outcome::Failed(error)) => failed = Some(*error),
                LegState::Asked { .. } => {}
            }
        }
        let partial = u32::try_from(PARTIAL_TTL.as_secs()).unwrap_or(u32::MAX);
        match (all.is_empty(), absent, failed, empty) {
            (false, _, Some(_), _) => Outcome::Records {
                found: all,
                ttl: shortest.min(partial),
            },
            (false, _, None, _) => Outcome::Records {
                found: all,
                ttl: shortest,
            },
            (true, true, _, _) => Outcome::NoSuchName,
            (true, false, Some(error), _) => Outcome::Failed(error),
            (true, false, None, Some(ttl)) => Outcome::Empty { ttl },
            // No leg at all: the name was not one.
            (true, false, None, None) => Outcome::NoSuchName,
        }
    }
}

/// The scope and flow label of an IPv6 address are this host's business and may differ in what the system
/// reports.
fn is_same(server: SocketAddr, from: SocketAddr) -> bool {
    server.ip() == from.ip() && server.port() == from.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u16 = 1;
    const CNAME: u16 = 5;
    const SOA: u16 = 6;
    const AAAA: u16 = 28;
    const SRV: u16 = 33;
    const NAPTR: u16 = 35;

    const NO_ERROR: u8 = 0;
    const SERVER_FAILURE: u8 = 2;
    const NO_SUCH_NAME: u8 = 3;

    const FIRST: &str = "192.0.2.53:53";
    const SECOND: &str = "[2001:db8::53]:53";

    /// A message made by hand after RFC 1035 section 4, so that the library's reader is not proved by its
    /// writer.
    struct Response {
        query: Vec<u8>,
        flags: [u8; 2],
        answers: Vec<Vec<u8>>,
        authorities: Vec<Vec<u8>>,
    }

    impl Response {
        /// To a datagram: a response (QR), recursion desired and available, with this code.
        fn to(query: &[u8], code: u8) -> Self {
            Self {
                query: query.to_vec(),
                flags: [0x81, 0x80 | code],
                answers: vec![],
                authorities: vec![],
            }
        }

        fn truncated(mut self) -> Self {
            self.flags[0] |= 0x02;
            self
        }

        fn record(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
            let length = u16::try_from(data.len()).unwrap();
            [
                wire_name(name).as_slice(),
                &kind.to_be_bytes(),
                &1_u16.to_be_bytes(),
                &ttl.to_be_bytes(),
                &length.to_be_bytes(),
                data,
            ]
            .concat()
        }

        fn answer(mut self, name: &str, kind: u16, ttl: u32, data: &[u8]) -> Self {
            self.answers.push(Self::record(name, kind, ttl, data));
            self
        }

        fn address(self, name: &str, ttl: u32, address: &str) -> Self {
            match address.parse().unwrap() {
                IpAddr::V4(v4) => self.answer(name, A, ttl, &v4.octets()),
                IpAddr::V6(v6) => self.answer(name, AAAA, ttl, &v6.octets()),
            }
        }

        fn alias(self, name: &str, ttl: u32, target: &str) -> Self {
            self.answer(name, CNAME, ttl, &wire_name(target))
        }

        fn service(self, name: &str, ttl: u32, [priority, weight, port]: [u16; 3], target: &str) -> Self {
            let numbers = [priority.to_be_bytes(), weight.to_be_bytes(), port.to_be_bytes()].concat();
            self.answer(name, SRV, ttl, &[numbers, wire_name(target)].concat())
        }

        /// RFC 3403 section 4.1: three texts, each with its length in front, and a name.
        fn pointer(
            self,
            name: &str,
            ttl: u32,
            [order, preference]: [u16; 2],
            texts: [&[u8]; 3],
            next: &str,
        ) -> Self {
            let numbers = [order.to_be_bytes(), preference.to_be_bytes()].concat();
            let texts = texts.map(|text| [&[u8::try_from(text.len()).unwrap()], text].concat());
            let data = [numbers, texts.concat(), wire_name(next)].concat();
            self.answer(name, NAPTR, ttl, &data)
        }

        /// The start of authority that makes "nothing" hold for `minimum` seconds.
        fn authority(mut self, zone: &str, ttl: u32, minimum: u32) -> Self {
            let names = [wire_name("ns.example"), wire_name("admin.example")].concat();
            let numbers = [1, 3600, 600, 86400, minimum].map(u32::to_be_bytes).concat();
            self.authorities
                .push(Self::record(zone, SOA, ttl, &[names, numbers].concat()));
            self
        }

        fn bytes(&self) -> Vec<u8> {
            let count = |records: &[Vec<u8>]| u16::try_from(records.len()).unwrap().to_be_bytes();
            [
                &self.query[..2],
                &self.flags,
                &[0, 1],
                &count(&self.answers),
                &count(&self.authorities),
                &[0, 0],
                &self.query[12..],
                &self.answers.concat(),
                &self.authorities.concat(),
            ]
            .concat()
        }
    }

    fn wire_name(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    /// The name and type of a query.
    fn asked(query: &[u8]) -> (String, u16) {
        let (mut name, mut at) = (String::new(), 12);
        while query[at] != 0 {
            let end = at + 1 + usize::from(query[at]);
            name.push_str(std::str::from_utf8(&query[at + 1..end]).unwrap());
            name.push('.');
            at = end;
        }
        (name, u16::from_be_bytes([query[at + 1], query[at + 2]]))
    }

    fn servers(list: &[&str]) -> ResolvConf {
        ResolvConf::new(list.iter().map(|server| server.parse().unwrap()).collect())
    }

    fn resolver(conf: ResolvConf) -> Resolver<u32> {
        Resolver::new(conf, Hosts::default(), [7; 32])
    }

    fn addresses(list: &[&str], seconds: u64) -> Result<Answer, ResolveError> {
        let addresses = list.iter().map(|address| address.parse().unwrap()).collect();
        Ok(Answer::Addresses {
            addresses,
            ttl: Duration::from_secs(seconds),
        })
    }

    fn services(records: Vec<SrvRecord>, seconds: u64) -> Result<Answer, ResolveError> {
        Ok(Answer::Srv {
            records,
            ttl: Duration::from_secs(seconds),
        })
    }

    fn ask_addresses(resolver: &mut Resolver<u32>, now: Time, name: &str) {
        resolver.ask(now, 1, Question::Addresses(name.to_owned()));
    }

    fn sent(resolver: &mut Resolver<u32>) -> Transmit {
        resolver.poll_transmit().expect("a message to send")
    }

    /// The queries for AAAA and A, which go out together.
    fn sent_pair(resolver: &mut Resolver<u32>) -> (Transmit, Transmit) {
        let pair = (sent(resolver), sent(resolver));
        assert_eq!((asked(&pair.0.bytes).1, asked(&pair.1.bytes).1), (AAAA, A));
        pair
    }

    fn reply(resolver: &mut Resolver<u32>, now: Time, to: &Transmit, response: &Response) {
        resolver.handle_datagram(now, to.socket, to.server, &response.bytes());
    }

    fn answer(resolver: &mut Resolver<u32>) -> Option<Result<Answer, ResolveError>> {
        resolver.poll_answer().map(|(query, answer)| {
            assert_eq!(query, 1);
            answer
        })
    }

    fn closed(resolver: &mut Resolver<u32>) -> Vec<SocketId> {
        std::iter::from_fn(|| resolver.poll_close()).collect()
    }

    const NOW: Time = Time::from_secs(100);

    #[test]
    fn a_query_is_recursive_and_asks_one_question_of_class_internet() {
        let mut resolver = resolver(servers(&[FIRST]));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.Example.com".to_owned()));
        let query = sent(&mut resolver);
        assert_eq!(
            (query.protocol, query.server),
            (Protocol::Udp, FIRST.parse().unwrap())
        );
        let expected = [
            &query.bytes[..2],
            &[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0],
            b"\x04_sip\x04_tcp\x07Example\x03com\x00",
            &[0, 33, 0, 1],
        ]
        .concat();
        assert_eq!(query.bytes, expected);
    }

    // rules: R18
    #[test]
    fn services_come_with_the_shortest_time_and_without_the_final_dot() {
        let mut resolver = resolver(servers(&[FIRST]));
        resolver.ask(NOW, 1, Question::Srv("_sips._tcp.example.com".to_owned()));
        let query = sent(&mut resolver);
        let response = Response::to(&query.bytes, NO_ERROR)
            .service("_SIPS._tcp.example.COM", 300, [10, 60, 5061], "a.example.com")
            .service("_sips._tcp.example.com", 200, [20, 0, 5061], ".")
            .service("_other._tcp.example.com", 1, [0, 0, 1], "b.example.com")
            .address("a.example.com", 1, "192.0.2.1");
        reply(&mut resolver, NOW, &query, &response);
        let expected = vec![
            SrvRecord {
                priority: 10,
                weight: 60,
                port: 5061,
                target: "a.example.com".to_owned(),
            },
            SrvRecord {
                priority: 20,
                weight: 0,
                port: 5061,
                target: ".".to_owned(),
            },
        ];
        assert_eq!(answer(&mut resolver), Some(services(expected, 200)));
        assert_eq!(closed(&mut resolver), [query.socket]);
        assert!(resolver.is_idle() && resolver.poll_timeout().is_none());
    }

    // rules: R18
    #[test]
    fn pointers_come_as_they_are_written() {
        let mut resolver = resolver(servers(&[FIRST]));
        resolver.ask(NOW, 1, Question::Naptr("example.com".to_owned()));
        let query = sent(&mut resolver);
        assert_eq!(asked(&query.bytes), ("example.com.".to_owned(), NAPTR));
        let response = Response::to(&query.bytes, NO_ERROR)
            .pointer(
                "Example.com",
                300,
                [50, 51],
                [b"s", b"SIPS+D2T", b""],
                "_sips._tcp.example.com",
            )
            .pointer(
                "example.com",
                200,
                [90, 1],
                [b"U", b"E2U+sip", b"!^.*$!sip:\xff!"],
                ".",
            )
            .pointer(
                "example.org",
                1,
                [1, 1],
                [b"s", b"SIP+D2T", b""],
                "_sip._tcp.example.org",
            )
            .service("example.com", 1, [1, 1, 1], "a.example.com");
        reply(&mut resolver, NOW, &query, &response);
        let record = |order, preference, texts: [&str; 3], replacement: &str| {
            let [flags, services, regexp] = texts.map(str::to_owned);
            NaptrRecord {
                order,
                preference,
                flags,
                services,
                regexp,
                replacement: replacement.to_owned(),
            }
        };
        let expected = Answer::Naptr {
            records: vec![
                record(50, 51, ["s", "SIPS+D2T", ""], "_sips._tcp.example.com"),
                record(90, 1, ["U", "E2U+sip", "!^.*$!sip:\u{fffd}!"], "."),
            ],
            ttl: Duration::from_secs(200),
        };
        assert_eq!(answer(&mut resolver), Some(Ok(expected)));
    }

    // rules: R18
    #[test]
    fn no_such_service_is_an_empty_answer() {
        for response in [
            |query: &[u8]| Response::to(query, NO_SUCH_NAME).authority("example.com", 60, 60),
            |query: &[u8]| Response::to(query, NO_ERROR),
        ] {
            let mut resolver = resolver(servers(&[FIRST]));
            resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
            let query = sent(&mut resolver);
            reply(&mut resolver, NOW, &query, &response(&query.bytes));
            assert_eq!(answer(&mut resolver), Some(services(vec![], 0)));
            resolver.ask(NOW, 2, Question::Naptr("example.com".to_owned()));
            let query = sent(&mut resolver);
            reply(&mut resolver, NOW, &query, &response(&query.bytes));
            let none = Answer::Naptr {
                records: vec![],
                ttl: Duration::ZERO,
            };
            assert_eq!(resolver.poll_answer(), Some((2, Ok(none))));
        }
    }

    // rules: C31
    #[test]
    fn of_one_name_256_records_are_read_and_no_more() {
        for (count, expected) in [(255_u16, 255), (256, 256), (257, 256), (2_000, 256)] {
            let mut conf = servers(&[FIRST]);
            conf.tcp = true;
            let mut resolver = resolver(conf);
            resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
            let query = sent(&mut resolver);
            let mut response = Response::to(&query.bytes[2..], NO_ERROR);
            for number in 0..count {
                response = response.service("_sip._tcp.example.com", 60, [number, 1, 1], "a.example");
            }
            let bytes = response.bytes();
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
            resolver.handle_tcp(NOW, query.socket, &[length.as_slice(), &bytes].concat());
            match answer(&mut resolver) {
                Some(Ok(Answer::Srv { records, .. })) => assert_eq!(records.len(), expected),
                // More than a message holds.
                other => assert!(bytes.len() > 65_535, "{other:?}"),
            }
        }
    }

    // rules: R18
    #[test]
    fn both_families_are_asked_at_once_and_make_one_answer() {
        for v4_first in [false, true] {
            let mut resolver = resolver(servers(&[FIRST]));
            ask_addresses(&mut resolver, NOW, "sip.example.com");
            let (v6, v4) = sent_pair(&mut resolver);
            assert_ne!(v6.socket, v4.socket);
            let six = Response::to(&v6.bytes, NO_ERROR).address("sip.example.com", 60, "2001:db8::1");
            let four = Response::to(&v4.bytes, NO_ERROR)
                .address("sip.example.com", 300, "192.0.2.1")
                .address("sip.example.com", 90, "192.0.2.2")
                .address("sip.example.com", 90, "192.0.2.1");
            let mut replies = [(&v6, &six), (&v4, &four)];
            if v4_first {
                replies.reverse();
            }
            reply(&mut resolver, NOW, replies[0].0, replies[0].1);
            assert_eq!(answer(&mut resolver), None);
            reply(&mut resolver, NOW, replies[1].0, replies[1].1);
            assert_eq!(
                answer(&mut resolver),
                Some(addresses(&["2001:db8::1", "192.0.2.1", "192.0.2.2"], 60))
            );
            assert!(closed(&mut resolver).len() == 2 && resolver.is_idle());
        }
    }

    // rules: R18
    #[test]
    fn a_family_that_stays_silent_is_waited_for_one_second() {
        let mut resolver = resolver(servers(&[FIRST]));
        ask_addresses(&mut resolver, NOW, "sip.example.com");
        let (_, v4) = sent_pair(&mut resolver);
        let came = NOW + Duration::from_millis(20);
        let four = Response::to(&v4.bytes, NO_ERROR).address("sip.example.com", 300, "192.0.2.1");
        reply(&mut resolver, came, &v4, &four);
        let given_up = came + Duration::from_secs(1);
        assert_eq!(resolver.poll_timeout(), Some(given_up));
        resolver.handle_timeout(given_up - Duration::from_micros(1));
        assert_eq!(answer(&mut resolver), None);
        resolver.handle_timeout(given_up);
        // Half an answer is not kept for its full time.
        assert_eq!(answer(&mut resolver), Some(addresses(&["192.0.2.1"], 30)));
        assert!(closed(&mut resolver).len() == 2 && resolver.is_idle());
    }

    // rules: R18
    #[test]
    fn a_name_without_addresses_is_empty_and_one_that_does_not_exist_is_an_error() {
        let cases = [
            (NO_ERROR, NO_ERROR, addresses(&[], 40)),
            (NO_SUCH_NAME, NO_SUCH_NAME, Err(ResolveError::NoSuchName)),
            (NO_ERROR, NO_SUCH_NAME, Err(ResolveError::NoSuchName)),
        ];
        for (six, four, expected) in cases {
            let mut resolver = resolver(servers(&[FIRST]));
            ask_addresses(&mut resolver, NOW, "sip.example.com");
            let (v6, v4) = sent_pair(&mut resolver);
            let six = Response::to(&v6.bytes, six).authority("example.com", 50, 900);
            let four = Response::to(&v4.bytes, four).authority("example.com", 900, 40);
            reply(&mut resolver, NOW, &v6, &six);
            reply(&mut resolver, NOW, &v4, &four);
            assert_eq!(answer(&mut resolver), Some(expected));
        }
    }

    // rules: R18, C31
    #[test]
    fn a_response_has_to_fit_in_id_question_source_and_socket() {
        let mut resolver = resolver(servers(&[FIRST, SECOND]));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        let query = sent(&mut resolver);
        let good = Response::to(&query.bytes, NO_ERROR)
            .service("_sip._tcp.example.com", 60, [1, 1, 5060], "forged.example.com")
            .bytes();
        let with = |at: usize, flip: u8| {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            bytes
        };
        let from: SocketAddr = FIRST.parse().unwrap();
        let other_port: SocketAddr = "192.0.2.53:5353".parse().unwrap();
        let other_socket = SocketId(query.socket.0 + 1);
        for (what, socket, from, bytes) in [
            ("id", query.socket, from, with(0, 0x01)),
            ("is a query", query.socket, from, with(2, 0x80)),
            ("operation code", query.socket, from, with(2, 0x08)),
            ("name", query.socket, from, with(14, 0x01)),
            ("type", query.socket, from, with(query.bytes.len() - 3, 0x20)),
            ("class", query.socket, from, with(query.bytes.len() - 1, 0x02)),
            (
                "another server",
                query.socket,
                SECOND.parse().unwrap(),
                good.clone(),
            ),
            ("another port", query.socket, other_port, good.clone()),
            ("another socket", other_socket, from, good.clone()),
            ("half", query.socket, from, good[..good.len() / 2].to_vec()),
            ("garbage", query.socket, from, vec![0xff; 40]),
            ("nothing", query.socket, from, vec![]),
        ] {
            resolver.handle_datagram(NOW, socket, from, &bytes);
            assert!(
                answer(&mut resolver).is_none() && resolver.poll_transmit().is_none(),
                "{what}"
            );
        }
        resolver.handle_datagram(NOW, query.socket, from, &good);
        assert!(matches!(answer(&mut resolver), Some(Ok(_))));
        resolver.handle_datagram(NOW, query.socket, from, &good);
        assert_eq!(answer(&mut resolver), None, "a second response");
    }

    #[test]
    fn the_case_of_an_echoed_name_does_not_matter() {
        let mut resolver = resolver(servers(&[FIRST]));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        let query = sent(&mut resolver);
        let mut response = Response::to(&query.bytes, NO_ERROR).service(
            "_SIP._TCP.EXAMPLE.COM",
            60,
            [1, 1, 5060],
            "A.example",
        );
        response.query[12..].make_ascii_uppercase();
        reply(&mut resolver, NOW, &query, &response);
        let expected = SrvRecord {
            priority: 1,
            weight: 1,
            port: 5060,
            target: "A.example".to_owned(),
        };
        assert_eq!(answer(&mut resolver), Some(services(vec![expected], 60)));
    }

    // rules: R11
    #[test]
    fn servers_are_asked_in_turn_and_the_end_comes_at_an_exact_time() {
        let mut resolver = resolver(servers(&[FIRST, SECOND]));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        let (mut sockets, mut ids) = (vec![], vec![]);
        for (turn, server) in [FIRST, SECOND, FIRST, SECOND].into_iter().enumerate() {
            let query = sent(&mut resolver);
            assert_eq!(
                (query.server, query.protocol),
                (server.parse().unwrap(), Protocol::Udp)
            );
            sockets.push(query.socket);
            ids.push([query.bytes[0], query.bytes[1]]);
            assert_eq!((resolver.poll_transmit(), answer(&mut resolver)), (None, None));
            let due = NOW + Duration::from_secs(5) * u32::try_from(turn + 1).unwrap();
            assert_eq!(resolver.poll_timeout(), Some(due));
            resolver.handle_timeout(due - Duration::from_micros(1));
            assert_eq!((resolver.poll_transmit(), resolver.poll_close()), (None, None));
            resolver.handle_timeout(due);
            assert_eq!(closed(&mut resolver), [query.socket]);
        }
        assert_eq!(answer(&mut resolver), Some(Err(ResolveError::Timeout)));
        assert!(resolver.is_idle() && resolver.poll_timeout().is_none());
        sockets.dedup();
        ids.dedup();
        assert_eq!(
            (sockets.len(), ids.len()),
            (4, 4),
            "every turn has its own socket and id"
        );
    }

    // rules: R18
    #[test]
    fn a_server_that_fails_is_left_for_the_next_at_once() {
        let mut conf = servers(&[FIRST, SECOND]);
        conf.attempts = 1;
        for code in [1, SERVER_FAILURE, 4, 5, 9] {
            let mut resolver = resolver(conf.clone());
            resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
            for server in [FIRST, SECOND] {
                assert_eq!(answer(&mut resolver), None);
                let query = sent(&mut resolver);
                assert_eq!(query.server, server.parse().unwrap());
                let response = Response::to(&query.bytes, code);
                reply(&mut resolver, NOW, &query, &response);
            }
            assert_eq!(
                answer(&mut resolver),
                Some(Err(ResolveError::ServerFailure)),
                "code {code}"
            );
        }
    }

    // rules: R18
    #[test]
    fn a_socket_that_fails_and_a_referral_take_the_next_turn() {
        let mut resolver = resolver(servers(&[FIRST, SECOND]));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        let query = sent(&mut resolver);
        resolver.handle_failed(NOW, query.socket);
        let query = sent(&mut resolver);
        assert_eq!(query.server, SECOND.parse().unwrap());
        let mut referral = Response::to(&query.bytes, NO_ERROR);
        referral.flags[1] &= 0x7f;
        reply(&mut resolver, NOW, &query, &referral);
        assert_eq!(sent(&mut resolver).server, FIRST.parse().unwrap());
        assert_eq!(answer(&mut resolver), None);
    }

    // rules: R18
    #[test]
    fn a_truncated_response_is_asked_for_again_over_tcp_in_any_pieces() {
        for piece in [1, 3, 4096] {
            let mut resolver = resolver(servers(&[FIRST, SECOND]));
            resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
            let query = sent(&mut resolver);
            let later = NOW + Duration::from_secs(1);
            reply(
                &mut resolver,
                later,
                &query,
                &Response::to(&query.bytes, NO_ERROR).truncated(),
            );
            let tcp = sent(&mut resolver);
            assert_eq!(
                (tcp.protocol, tcp.server),
                (Protocol::Tcp, FIRST.parse().unwrap())
            );
            assert_eq!(closed(&mut resolver), [query.socket]);
            assert_eq!(resolver.poll_timeout(), Some(later + Duration::from_secs(5)));
            let (length, message) = tcp.bytes.split_at(2);
            assert_eq!(length, u16::try_from(message.len()).unwrap().to_be_bytes());
            let mut response = Response::to(message, NO_ERROR);
            for port in 1..=100 {
                response = response.service("_sip._tcp.example.com", 60, [1, 1, port], "a.example.com");
            }
            let bytes = response.bytes();
            assert!(bytes.len() > 512);
            let framed = [
                u16::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(),
                &bytes,
            ]
            .concat();
            for chunk in framed.chunks(piece) {
                assert_eq!(answer(&mut resolver), None);
                resolver.handle_tcp(later, tcp.socket, chunk);
            }
            let Some(Ok(Answer::Srv { records, .. })) = answer(&mut resolver) else {
                panic!("no answer")
            };
            assert_eq!(records.len(), 100);
            assert_eq!(closed(&mut resolver), [tcp.socket]);
        }
    }

    // rules: R18
    #[test]
    fn a_connection_that_ends_early_or_talks_nonsense_takes_the_next_turn() {
        let mut conf = servers(&[FIRST, SECOND]);
        (conf.tcp, conf.attempts) = (true, 1);
        let mut resolver = resolver(conf);
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        let first = sent(&mut resolver);
        assert_eq!(first.protocol, Protocol::Tcp);
        resolver.handle_tcp(NOW, first.socket, &[0, 40, 1, 2]);
        resolver.handle_failed(NOW, first.socket);
        let second = sent(&mut resolver);
        assert_eq!(second.server, SECOND.parse().unwrap());
        resolver.handle_tcp(NOW, second.socket, &[0, 3, 1, 2, 3]);
        assert_eq!(answer(&mut resolver), Some(Err(ResolveError::ServerFailure)));
        assert!(closed(&mut resolver).len() == 2 && resolver.is_idle());
    }

    // rules: R18
    #[test]
    fn aliases_are_followed_within_a_response_and_beyond_it() {
        let mut conf = servers(&[FIRST]);
        conf.search = vec!["corp.example".to_owned()];
        let mut resolver = resolver(conf);
        ask_addresses(&mut resolver, NOW, "sip.example.com");
        let (v6, v4) = sent_pair(&mut resolver);
        // Out of order on purpose: the chain counts, not the place.
        let six = Response::to(&v6.bytes, NO_ERROR)
            .address("c.example.com", 300, "2001:db8::1")
            .alias("b.example.com", 20, "c.example.com")
            .alias("sip.example.com", 100, "b.example.com");
        reply(&mut resolver, NOW, &v6, &six);
        let four = Response::to(&v4.bytes, NO_ERROR).alias("sip.example.com", 10, "d.example.com");
        reply(&mut resolver, NOW, &v4, &four);
        let again = sent(&mut resolver);
        assert_eq!(asked(&again.bytes), ("d.example.com.".to_owned(), A));
        let end = Response::to(&again.bytes, NO_ERROR).address("d.example.com", 300, "192.0.2.1");
        reply(&mut resolver, NOW, &again, &end);
        assert_eq!(
            answer(&mut resolver),
            Some(addresses(&["2001:db8::1", "192.0.2.1"], 10))
        );
    }

    #[test]
    fn an_alias_of_a_name_without_records_is_empty() {
        let mut resolver = resolver(servers(&[FIRST]));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        let query = sent(&mut resolver);
        let response = Response::to(&query.bytes, NO_ERROR)
            .alias("_sip._tcp.example.com", 30, "_sip._tcp.example.net")
            .authority("example.net", 60, 60);
        reply(&mut resolver, NOW, &query, &response);
        assert_eq!(answer(&mut resolver), Some(services(vec![], 30)));
    }

    // rules: R18, C31
    #[test]
    fn aliases_in_a_circle_are_a_server_failure() {
        let start = "_sip._tcp.example.com";
        for inside in [true, false] {
            let mut resolver = resolver(servers(&[FIRST, SECOND]));
            resolver.ask(NOW, 1, Question::Srv(start.to_owned()));
            let query = sent(&mut resolver);
            let response = Response::to(&query.bytes, NO_ERROR).alias(start, 60, "b.example");
            if inside {
                let response = response.alias("b.example", 60, "_SIP._tcp.example.com");
                reply(&mut resolver, NOW, &query, &response);
            } else {
                reply(&mut resolver, NOW, &query, &response);
                let query = sent(&mut resolver);
                let response = Response::to(&query.bytes, NO_ERROR).alias("b.example", 60, start);
                reply(&mut resolver, NOW, &query, &response);
            }
            assert_eq!(answer(&mut resolver), Some(Err(ResolveError::ServerFailure)));
        }
    }

    // rules: C31
    #[test]
    fn sixteen_aliases_are_followed_and_no_more() {
        for (aliases, expected) in [(16, services(vec![], 0)), (17, Err(ResolveError::ServerFailure))] {
            let mut resolver = resolver(servers(&[FIRST]));
            resolver.ask(NOW, 1, Question::Srv("n0.example".to_owned()));
            let mut followed = 0;
            while let Some(query) = resolver.poll_transmit() {
                let mut response = Response::to(&query.bytes, NO_ERROR);
                if followed < aliases {
                    let (name, target) = (
                        format!("n{followed}.example"),
                        format!("n{}.example", followed + 1),
                    );
                    assert_eq!(asked(&query.bytes).0, format!("{name}."));
                    response = response.alias(&name, 60, &target);
                    followed += 1;
                }
                reply(&mut resolver, NOW, &query, &response);
            }
            assert_eq!(answer(&mut resolver), Some(expected), "{aliases} aliases");
        }
    }

    #[test]
    fn literals_localhost_hosts_and_invalid_ask_no_server() {
        let hosts = Hosts::parse("192.0.2.9 proxy.example.com proxy\n192.0.2.66 localhost 192.0.2.1\n");
        let mut resolver: Resolver<u32> = Resolver::new(servers(&[FIRST]), hosts, [7; 32]);
        let local = addresses(&["127.0.0.1", "::1"], 60);
        for (name, expected) in [
            ("192.0.2.1", addresses(&["192.0.2.1"], 60)),
            ("2001:DB8::1", addresses(&["2001:db8::1"], 60)),
            ("[2001:db8::1]", addresses(&["2001:db8::1"], 60)),
            ("localhost", local.clone()),
            ("LocalHost.", local.clone()),
            ("a.localhost", local),
            ("Proxy.Example.com.", addresses(&["192.0.2.9"], 60)),
            ("proxy", addresses(&["192.0.2.9"], 60)),
            ("anonymous.invalid", Err(ResolveError::NoSuchName)),
            ("", Err(ResolveError::NoSuchName)),
            ("a..b", Err(ResolveError::NoSuchName)),
        ] {
            ask_addresses(&mut resolver, NOW, name);
            assert_eq!(answer(&mut resolver), Some(expected), "{name}");
        }
        for name in ["_sip._tcp.localhost", "_sip._tcp.anonymous.invalid", "a..b"] {
            resolver.ask(NOW, 1, Question::Srv(name.to_owned()));
            assert!(
                matches!(answer(&mut resolver), Some(Ok(Answer::Srv { records, .. })) if records.is_empty())
            );
        }
        assert!(resolver.is_idle());
        // A name that only ends alike is an ordinary one.
        ask_addresses(&mut resolver, NOW, "notlocalhost.example");
        ask_addresses(&mut resolver, NOW, "mylocalhost");
        assert_eq!(std::iter::from_fn(|| resolver.poll_transmit()).count(), 4);
    }

    // rules: R18
    #[test]
    fn without_servers_there_is_no_resolver() {
        let mut resolver = resolver(servers(&[]));
        ask_addresses(&mut resolver, NOW, "sip.example.com");
        assert_eq!(answer(&mut resolver), Some(Err(ResolveError::NoResolver)));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        assert_eq!(answer(&mut resolver), Some(Err(ResolveError::NoResolver)));
        ask_addresses(&mut resolver, NOW, "localhost");
        assert!(matches!(answer(&mut resolver), Some(Ok(_))));
    }

    #[test]
    fn a_single_label_is_looked_for_in_the_search_list_first() {
        let mut conf = servers(&[FIRST]);
        conf.search = vec!["one.example".to_owned(), "two.example.".to_owned()];
        let mut resolver = resolver(conf);
        ask_addresses(&mut resolver, NOW, "proxy");
        for name in ["proxy.one.example.", "proxy.two.example.", "proxy."] {
            assert_eq!(answer(&mut resolver), None);
            let (v6, v4) = sent_pair(&mut resolver);
            assert_eq!(asked(&v6.bytes).0, name);
            for query in [&v6, &v4] {
                reply(
                    &mut resolver,
                    NOW,
                    query,
                    &Response::to(&query.bytes, NO_SUCH_NAME),
                );
            }
        }
        assert_eq!(answer(&mut resolver), Some(Err(ResolveError::NoSuchName)));

        for (name, first) in [("proxy.", "proxy."), ("proxy.example", "proxy.example.")] {
            ask_addresses(&mut resolver, NOW, name);
            let (v6, v4) = sent_pair(&mut resolver);
            assert_eq!(asked(&v6.bytes).0, first);
            for query in [&v6, &v4] {
                reply(
                    &mut resolver,
                    NOW,
                    query,
                    &Response::to(&query.bytes, NO_SUCH_NAME),
                );
            }
            assert_eq!(
                answer(&mut resolver),
                Some(Err(ResolveError::NoSuchName)),
                "{name}"
            );
        }
        resolver.ask(NOW, 1, Question::Srv("proxy".to_owned()));
        assert_eq!(asked(&sent(&mut resolver).bytes), ("proxy.".to_owned(), SRV));
    }

    #[test]
    fn a_name_of_the_search_list_without_addresses_is_remembered() {
        let mut conf = servers(&[FIRST]);
        conf.search = vec!["one.example".to_owned()];
        let mut resolver = resolver(conf);
        ask_addresses(&mut resolver, NOW, "proxy");
        for (code, _) in [(NO_ERROR, "proxy.one.example."), (NO_SUCH_NAME, "proxy.")] {
            let (v6, v4) = sent_pair(&mut resolver);
            for query in [&v6, &v4] {
                let response = Response::to(&query.bytes, code).authority("example", 25, 25);
                reply(&mut resolver, NOW, query, &response);
            }
        }
        assert_eq!(answer(&mut resolver), Some(addresses(&[], 25)));
    }

    #[test]
    fn rotation_starts_each_question_at_the_next_server() {
        let mut conf = servers(&[FIRST, SECOND]);
        conf.rotate = true;
        let mut resolver = resolver(conf);
        for server in [FIRST, SECOND, FIRST] {
            ask_addresses(&mut resolver, NOW, "sip.example.com");
            let (v6, v4) = sent_pair(&mut resolver);
            assert_eq!(
                (v6.server, v4.server),
                (server.parse().unwrap(), server.parse().unwrap())
            );
        }
    }

    #[test]
    fn sixty_four_questions_run_and_the_others_wait_their_turn() {
        let mut resolver = resolver(servers(&[FIRST]));
        for query in 0..65 {
            resolver.ask(NOW, query, Question::Srv(format!("_sip._tcp.d{query}.example")));
        }
        let sent: Vec<Transmit> = std::iter::from_fn(|| resolver.poll_transmit()).collect();
        assert_eq!(sent.len(), 64);
        let last = &sent[63];
        reply(&mut resolver, NOW, last, &Response::to(&last.bytes, NO_SUCH_NAME));
        assert_eq!(resolver.poll_answer().map(|(query, _)| query), Some(63));
        let waited = resolver.poll_transmit().unwrap();
        assert_eq!(asked(&waited.bytes).0, "_sip._tcp.d64.example.");
        // All end, in the order of asking, at their time.
        for _ in 0..2 {
            let due = resolver.poll_timeout().unwrap();
            resolver.handle_timeout(due);
        }
        let ended: Vec<u32> = std::iter::from_fn(|| resolver.poll_answer())
            .map(|(query, _)| query)
            .collect();
        assert_eq!(ended, (0..63).chain([64]).collect::<Vec<_>>());
        while resolver.poll_close().is_some() {}
        assert!(resolver.is_idle());
    }

    #[test]
    fn the_same_seed_gives_the_same_ids_and_another_gives_others() {
        let ids = |seed| {
            let mut resolver: Resolver<u32> = Resolver::new(servers(&[FIRST]), Hosts::default(), [seed; 32]);
            for query in 0..8 {
                resolver.ask(NOW, query, Question::Srv("_sip._tcp.example.com".to_owned()));
            }
            std::iter::from_fn(|| resolver.poll_transmit())
                .map(|sent| [sent.bytes[0], sent.bytes[1]])
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn a_message_not_yet_taken_is_withdrawn_with_its_socket() {
        let mut resolver = resolver(servers(&[FIRST, SECOND]));
        resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
        resolver.handle_timeout(NOW + Duration::from_secs(5));
        assert_eq!(sent(&mut resolver).server, SECOND.parse().unwrap());
        assert_eq!((resolver.poll_transmit(), resolver.poll_close()), (None, None));
    }

    // rules: C31
    #[test]
    fn no_damage_to_a_response_does_harm() {
        let mut damage = ChaCha12Rng::from_seed([3; 32]);
        let mut resolver = resolver(servers(&[FIRST]));
        for _ in 0..5_000 {
            resolver.ask(NOW, 1, Question::Srv("_sip._tcp.example.com".to_owned()));
            let mut turns = 0;
            while let Some(query) = resolver.poll_transmit() {
                turns += 1;
                assert!(turns < 100, "asks without end");
                let message = if query.protocol == Protocol::Tcp {
                    &query.bytes[2..]
                } else {
                    &query.bytes
                };
                let mut bytes = Response::to(message, NO_ERROR)
                    .alias("_sip._tcp.example.com", 60, "b.example")
                    .service("b.example", 60, [1, 2, 3], "c.example")
                    .authority("example", 60, 60)
                    .bytes();
                let length = u64::try_from(bytes.len()).unwrap();
                for _ in 0..3 {
                    let at = usize::try_from(damage.next_u64() % length).unwrap();
                    bytes[at] = u8::try_from(damage.next_u64() & 0xff).unwrap();
                }
                if query.protocol == Protocol::Tcp {
                    let framed = [
                        u16::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(),
                        &bytes,
                    ]
                    .concat();
                    resolver.handle_tcp(NOW, query.socket, &framed);
                    resolver.handle_failed(NOW, query.socket);
                } else {
                    resolver.handle_datagram(NOW, query.socket, query.server, &bytes);
                    resolver.handle_failed(NOW, query.socket);
                }
            }
            assert!(answer(&mut resolver).is_some());
            assert_eq!(closed(&mut resolver).len(), turns);
            assert!(resolver.is_idle());
        }
    }
}
