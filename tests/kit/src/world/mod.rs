//! A simulated world: real stacks, front ends and scripted peers, the links between them and a domain name system,
//! under one virtual clock and one seed.
//!
//! Nothing in it waits: time goes on from one thing that happens to the next. The same seed and the same calls give
//! the same world, byte for byte. A scenario reads like prose and ends with the census (rule X6):
//!
//! ```
//! use std::time::Duration;
//! use sansip_testkit::frontend::FrontEndConfig;
//! use sansip_testkit::world;
//!
//! world::run(1, |world| {
//!     let server = world.front_end(FrontEndConfig::new("example.com").with_user("alice", "secret"));
//!     let host = world.stack();
//!     let config = world.account(server, "alice");
//!     let alice = world.sip_endpoint(host, config);
//!     let registered = world.register(alice);
//!     world.result(host, registered).expect("alice is registered");
//!     world.run_for(Duration::from_secs(3600));
//!     assert_eq!(world.server(server).bindings("sip:alice@example.com").len(), 1);
//! });
//! ```
//!
//! [`run`] does everything twice and compares; a failure prints the seed and the end of the trace.

mod actors;
mod fault;
mod kerberos;
mod links;
mod names;
mod net;
mod observer;
mod peer;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sansip::security::{KerberosFailure, SecurityContext};
use sansip::{
    Action, Answer, CloseReason, Config, ConnId, EndpointId, Event, Fingerprint, HandshakeId, ListenError,
    ListenerId, PeerCertificate, QueryId, ResolveError, Stack, Time, TlsFailureKind, UnixTime,
};

use crate::frontend::{Conn, FrontEnd, FrontEndEvent, Manner, Memory, Output, Signing};

pub use self::fault::{Connecting, Fault, Passage, Passed, Strike};
pub use self::kerberos::Center;
pub use self::names::Names;
pub use self::net::{Chunks, LinkId, Network, Reachability};
pub use self::peer::LineId;
pub use self::trace::{Line, Trace};

use self::net::{Link, Listening, Name, Side};
use self::observer::Observer;
use self::peer::Heard;

/// The wall clock of every world at its beginning.
const EPOCH: UnixTime = UnixTime(1_700_000_000);

/// How long an operation may take before [`World::result`] calls it hung.
const PATIENCE: Duration = Duration::from_secs(600);

macro_rules! hosts {
    ($($(#[$doc:meta])* $name:ident $variant:ident $prefix:literal,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(usize);

            impl From<$name> for Host {
                fn from(id: $name) -> Self {
                    Self::$variant(id)
                }
            }
        )*

        /// Somebody in a world.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Host {
            $($(#[$doc])* $variant($name),)*
        }

        impl fmt::Display for Host {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(id) => write!(f, concat!($prefix, "{}"), id.0 + 1),)*
                }
            }
        }
    };
}

hosts! {
    /// A host with a stack.
    StackId Stack "stack",
    /// A front end.
    FrontEndId FrontEnd "server",
    /// A scripted peer.
    PeerId Peer "peer",
}

/// An endpoint of a stack in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Where it lives.
    pub host: StackId,
    /// Its name there.
    pub id: EndpointId,
}

/// What an application does with an event as soon as it has taken it.
type Application = Box<dyn FnMut(&mut Stack, Time, &Event)>;

struct StackHost {
    stack: Stack,
    events: Vec<(Time, Event)>,
    application: Option<Application>,
    /// Who has logged on there: the principal of the ticket cache.
    user: Option<String>,
    /// Who counts what passes on its links.
    observer: Observer,
    /// Its adapter will take actions later.
    is_late: bool,
    /// What it was after a deadline that left work to do at once.
    left: Option<(Time, Fingerprint)>,
    /// Its adapter is taking them: what is wanted meanwhile is taken by the same loop.
    is_draining: bool,
}

impl StackHost {
    fn receive(&mut self, now: Time, conn: ConnId, bytes: &[u8]) {
        // What comes after the stack has closed is nobody's.
        let known = self.stack.connection(conn);
        let held = known.is_some_and(|known| known.held);
        let open = held || known.is_some_and(|known| known.ready);
        if open {
            self.observer.received.pass(conn, bytes);
        }
        self.stack.handle_bytes(now, conn, bytes);
        // What comes on a connection that is held may never be looked at.
        self.observer.closed_within |= held || (open && self.stack.connection(conn).is_none());
    }
}

struct ServerHost {
    front_end: FrontEnd,
    events: Vec<(Time, FrontEndEvent)>,
}

/// How long the pieces are that bytes arrive in: each as drawn, and after that each the same.
#[derive(Clone, Debug, Default)]
struct Pieces {
    drawn: std::vec::IntoIter<usize>,
    every: usize,
}

impl Pieces {
    fn first(&self) -> usize {
        self.drawn.as_slice().first().copied().unwrap_or(self.every)
    }

    fn next(&mut self) -> usize {
        self.drawn.next().unwrap_or(self.every)
    }
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
enum Happening {
    Drain(StackId),
    Syn(LinkId),
    Ready(LinkId, Side),
    /// What is left to arrive, and in which pieces.
    Arrive(LinkId, Side, Bytes, Pieces),
    Readable(LinkId, Side),
    Ended(LinkId, Side, CloseReason),
    UserTimeout(LinkId, Side),
    Listening(StackId, ListenerId, Result<SocketAddr, ListenError>),
    Resolved(StackId, QueryId, Result<Answer, ResolveError>),
    Authenticated(
        StackId,
        EndpointId,
        HandshakeId,
        Result<SecurityContext, KerberosFailure>,
    ),
}

impl Happening {
    /// The connection that it is about.
    const fn link(&self) -> Option<LinkId> {
        match self {
            Self::Syn(link)
            | Self::Ready(link, _)
            | Self::Arrive(link, ..)
            | Self::Readable(link, _)
            | Self::Ended(link, ..)
            | Self::UserTimeout(link, _) => Some(*link),
            Self::Drain(_) | Self::Listening(..) | Self::Resolved(..) | Self::Authenticated(..) => None,
        }
    }
}

/// See the [module](self).
pub struct World {
    /// How connections made and bytes sent from now on fare.
    pub network: Network,
    /// What the domain name system says from now on.
    pub names: Names,
    /// Who gives tickets of Kerberos from now on.
    pub center: Center,
    /// Up to this much later than at once, evenly distributed, adapters take what their stacks want; nothing. That
    /// makes things late, never wrong (law 1).
    pub laziness: Duration,
    /// The limit of the recordings that stacks made from now on make of their input, in bytes; `None` makes none.
    pub recording: Option<usize>,
    /// Whether what passes between stacks and links is kept until it is [taken](Self::take_passages).
    pub watched: bool,
    seed: u64,
    now: Time,
    entropy: ChaCha12Rng,
    stacks: Vec<StackHost>,
    servers: Vec<ServerHost>,
    /// Front ends that share their bindings.
    sharing: BTreeSet<FrontEndId>,
    /// Where each address of record was registered last, from each host.
    registered_at: BTreeMap<(String, Host), FrontEndId>,
    peers: usize,
    hosts: BTreeMap<Host, IpAddr>,
    by_ip: BTreeMap<IpAddr, Host>,
    links: BTreeMap<LinkId, Link>,
    /// How many links there were.
    joined: usize,
    /// The ends that hosts have, by what they call them.
    ends: BTreeMap<(Host, Name), (LinkId, Side)>,
    listeners: BTreeMap<SocketAddr, Listening>,
    reachability: BTreeMap<SocketAddr, Reachability>,
    certificates: BTreeMap<Host, PeerCertificate>,
    certificate_faults: BTreeMap<Host, TlsFailureKind>,
    /// Of hosts that show another's at present.
    own_certificates: BTreeMap<Host, PeerCertificate>,
    strikes: Vec<Strike>,
    /// Of stacks that are no more.
    cells: sansip::cells::Cells,
    passages: Vec<Passage>,
    /// Connections that stacks have asked for, where somebody wants to know.
    connects: Option<Vec<Connecting>>,
    heard: BTreeMap<LineId, Heard>,
    last_port: u16,
    /// What is going to happen at each instant, in this order.
    queue: BTreeMap<Time, VecDeque<Happening>>,
    /// When each host that waits for a time wants to be told.
    deadlines: BTreeSet<(Time, Host)>,
    deadline_of: BTreeMap<Host, Time>,
    trace: Trace,
    finished: bool,
}

/// Runs a scenario twice in worlds of this seed, with the census at the end of each, and compares all that was done
/// and sent (law 4 of the stack's contract). Gives the trace.
///
/// # Panics
/// The two runs differ, or a host holds something at the end.
#[track_caller]
pub fn run(seed: u64, scenario: impl Fn(&mut World)) -> Trace {
    let once = || {
        let mut world = World::new(seed);
        scenario(&mut world);
        world.finish()
    };
    let (first, second) = (once(), once());
    if let Some((a, b)) = first.difference(&second) {
        let show = |line: Option<Line>| line.map_or_else(|| String::from("nothing"), |line| line.to_string());
        panic!(
            "seed {seed}: two runs differ\n  first:  {}\n  second: {}",
            show(a),
            show(b)
        );
    }
    first
}

/// The seeds of a test that tries many: 0 up to `count`, or the one that the environment variable `SANSIP_SEED` names.
///
/// # Panics
/// The variable holds no number.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SANSIP_SEED") {
        Ok(seed) => vec![seed.parse().expect("SANSIP_SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self::starting_at(seed, Time::from_secs(1), Trace::default())
    }

    /// An empty world of bounded memory, for who lets it live long: its trace is a [brief](Trace::brief) one. Who lives
    /// in it takes events and passages as they come, and lets it [forget](Self::forget_the_past).
    pub fn lasting(seed: u64) -> Self {
        Self::starting_at(seed, Time::from_secs(1), Trace::brief())
    }

    fn starting_at(seed: u64, now: Time, trace: Trace) -> Self {
        Self {
            network: Network::default(),
            names: Names::default(),
            center: Center::new(seed),
            laziness: Duration::ZERO,
            recording: None,
            watched: true,
            seed,
            now,
            entropy: ChaCha12Rng::seed_from_u64(seed),
            stacks: Vec::new(),
            servers: Vec::new(),
            sharing: BTreeSet::new(),
            registered_at: BTreeMap::new(),
            peers: 0,
            hosts: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            links: BTreeMap::new(),
            joined: 0,
            ends: BTreeMap::new(),
            listeners: BTreeMap::new(),
            reachability: BTreeMap::new(),
            certificates: BTreeMap::new(),
            certificate_faults: BTreeMap::new(),
            own_certificates: BTreeMap::new(),
            strikes: Vec::new(),
            cells: sansip::cells::Cells::default(),
            passages: Vec::new(),
            connects: None,
            heard: BTreeMap::new(),
            last_port: 40_000,
            queue: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            trace,
            finished: false,
        }
    }

    /// Sets the clock of a world in which nobody lives yet.
    ///
    /// # Panics
    /// Somebody does.
    pub fn set_clock(&mut self, now: Time) {
        assert!(
            self.hosts.is_empty(),
            "a clock is set before somebody lives by it"
        );
        self.now = now;
    }

    /// Forgets the connections that are over.
    pub fn forget_the_past(&mut self) {
        self.forget_links();
    }

    // --- what happens to hosts

    /// A front end's process stops and starts. Its connections are reset; with [`Memory::Kept`] it still knows its
    /// bindings.
    pub fn restart(&mut self, server: FrontEndId, memory: Memory) {
        let host = Host::FrontEnd(server);
        self.note(host, format!("restarts, memory {memory:?}"));
        self.strike_server(
            server,
            match memory {
                Memory::Kept => Fault::ServerRestart,
                Memory::Lost => Fault::ServerLoss,
            },
        );
        self.cut_off(host, true);
        self.restart_server(server, memory);
    }

    /// A front end's machine fails and comes back: as [`restart`](Self::restart), but nobody is told. Who sends
    /// something over an old connection gets a reset.
    pub fn crash(&mut self, server: FrontEndId, memory: Memory) {
        let host = Host::FrontEnd(server);
        self.note(host, format!("crashes, memory {memory:?}"));
        self.strike_server(server, Fault::ServerCrash);
        self.cut_off(host, false);
        self.restart_server(server, memory);
    }

    /// What one has lost the others still have, where there are others that share it.
    fn restart_server(&mut self, server: FrontEndId, memory: Memory) {
        self.server_mut(server).front_end.restart(memory);
        let mut others = self.sharing.iter().filter(|other| **other != server);
        if memory == Memory::Lost
            && self.sharing.contains(&server)
            && let Some(other) = others.next().copied()
        {
            let other = self.server(other).clone();
            self.server_mut(server).front_end.share_all(&other);
        }
        self.drain(server.into());
    }

    /// A host's process dies and a new stack takes its place, which knows nothing. Connections are reset, nobody
    /// listens any more, and its events are forgotten.
    pub fn replace_stack(&mut self, id: StackId, config: Config) {
        let host = Host::Stack(id);
        self.note(host, "dies and starts anew");
        self.strike(host, Fault::HostRestart);
        self.cut_off(host, true);
        self.listeners.retain(|_, known| known.host != host);
        let stays = |happening: &Happening| match happening {
            Happening::Drain(stack)
            | Happening::Listening(stack, ..)
            | Happening::Resolved(stack, ..)
            | Happening::Authenticated(stack, ..) => *stack != id,
            Happening::Syn(_)
            | Happening::Ready(..)
            | Happening::Arrive(..)
            | Happening::Readable(..)
            | Happening::Ended(..)
            | Happening::UserTimeout(..) => true,
        };
        self.queue.retain(|_, happenings| {
            happenings.retain(stays);
            !happenings.is_empty()
        });
        let stack = self.new_stack(config);
        let cells = self.host_mut(id).stack.cells().clone();
        self.cells.absorb(&cells);
        let host = self.host_mut(id);
        host.stack = stack;
        host.observer = Observer::default();
        (host.is_late, host.is_draining) = (false, false);
        // Its ids begin anew: old events would be taken for its own.
        host.events.clear();
        self.schedule(id.into());
    }

    /// Whoever is connected with a server is struck with it.
    fn strike_server(&mut self, server: FrontEndId, fault: Fault) {
        let server = Host::FrontEnd(server);
        for link in self.link_ids() {
            for side in [0, 1] {
                if self.end(link, side).host == server && self.is_open(link) {
                    self.strike(self.end(link, 1 - side).host, fault);
                }
            }
        }
    }

    fn cut_off(&mut self, host: Host, tell: bool) {
        for id in self.link_ids() {
            for side in [0, 1] {
                if self.end(id, side).host == host && self.end(id, side).open {
                    self.drop_end(id, side);
                    if tell {
                        let latency = self.latency();
                        self.after(latency, Happening::Ended(id, 1 - side, CloseReason::Reset));
                    }
                }
            }
        }
    }

    // --- time

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until something is so.
    ///
    /// # Panics
    /// It is not so after ten minutes.
    #[track_caller]
    pub fn run_until(&mut self, so: impl Fn(&Self) -> bool) {
        assert!(
            self.run_until_or(PATIENCE, so),
            "nothing came of it in {} s",
            PATIENCE.as_secs()
        );
    }

    /// Lets time pass until something is so, or the time is over; says whether it is so.
    pub fn run_until_or(&mut self, time: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            if so(self) {
                return true;
            }
            if !self.step(end) {
                return so(self);
            }
        }
    }

    /// The next thing that happens, if it does until `end`.
    fn step(&mut self, end: Time) -> bool {
        let queued = self.queue.first_key_value().map(|(at, _)| *at);
        let due = self.deadlines.first().copied();
        let Some(next) = queued
            .into_iter()
            .chain(due.map(|(at, _)| at))
            .min()
            .filter(|at| *at <= end)
        else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        self.disturb(due.map(|(_, host)| host));
        if queued.is_some_and(|at| at <= self.now)
            && let Some(happening) = self.next_happening()
        {
            self.happen(happening);
            return true;
        }
        if let Some((_, host)) = due {
            self.time_out(host);
        }
        true
    }

    /// Takes what is first in the queue.
    fn next_happening(&mut self) -> Option<Happening> {
        let mut first = self.queue.first_entry()?;
        if let Some(Happening::Arrive(link, side, bytes, pieces)) = first.get_mut().front_mut() {
            let size = pieces.next();
            if size < bytes.len() {
                let piece = bytes.split_to(size);
                return Some(Happening::Arrive(*link, *side, piece, Pieces::default()));
            }
        }
        let happening = first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        happening
    }

    /// Law 2: before its deadline a call of `handle_timeout` does nothing, whoever it is made to.
    fn disturb(&mut self, due: Option<Host>) {
        if self.stacks.is_empty() {
            return;
        }
        let id = StackId(self.below(self.stacks.len()));
        let now = self.now;
        let stack = &mut self.host_mut(id).stack;
        let deadline = stack.poll_timeout();
        if due == Some(Host::Stack(id)) || deadline.is_some_and(|(at, _)| at <= now) {
            return;
        }
        stack.handle_timeout(now);
        let (after, action) = (stack.poll_timeout(), stack.poll_action());
        assert!(
            after == deadline && action.is_none(),
            "{} acts before its deadline: {action:?}, {deadline:?}, {after:?}",
            Host::Stack(id)
        );
    }

    /// Keeps the time at which a host wants to be told; whatever was done to it has ended with this. One whose adapter is
    /// late is told nothing before that has taken its actions.
    fn schedule(&mut self, host: Host) {
        let wanted = match host {
            Host::Stack(id) => {
                let host = self.host_mut(id);
                let due = host.stack.poll_timeout().map(|(at, _)| at);
                due.filter(|_| !host.is_late)
            }
            Host::FrontEnd(id) => self.server_mut(id).front_end.poll_timeout(),
            Host::Peer(_) => None,
        };
        let known = self.deadline_of.get(&host).copied();
        if known == wanted {
            return;
        }
        if let Some(at) = known {
            self.deadlines.remove(&(at, host));
        }
        match wanted {
            Some(at) => {
                self.deadlines.insert((at, host));
                self.deadline_of.insert(host, at);
            }
            None => {
                self.deadline_of.remove(&host);
            }
        }
    }

    /// A deadline has come. Law 2: the next one is later, since all actions are taken; or it is now, for a further slice of
    /// work, and each of these leaves the stack otherwise than the one before.
    fn time_out(&mut self, host: Host) {
        let now = self.now;
        match host {
            Host::Stack(id) => {
                let reason = self
                    .host_mut(id)
                    .stack
                    .poll_timeout()
                    .map(|(_, reason)| reason.to_string());
                self.note(host, format!("deadline: {}", reason.unwrap_or_default()));
                self.host_mut(id).stack.handle_timeout(now);
                self.drain(host);
                let stack_host = self.host_mut(id);
                let next = stack_host.stack.poll_timeout().map(|(at, _)| at);
                let left = next
                    .is_some_and(|next| next <= now)
                    .then(|| (now, stack_host.stack.fingerprint()));
                assert!(
                    stack_host.is_late || left.is_none() || left != stack_host.left,
                    "{host}: no progress at a deadline"
                );
                stack_host.left = left;
            }
            Host::FrontEnd(id) => {
                self.server_mut(id).front_end.handle_timeout(now);
                self.drain(host);
                let next = self.server_mut(id).front_end.poll_timeout();
                assert!(
                    next.is_none_or(|next| next > now),
                    "{host}: no progress at a deadline"
                );
            }
            Host::Peer(_) => {}
        }
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Drain(id) => {
                self.host_mut(id).is_late = false;
                self.drain_now(id);
                self.schedule(id.into());
            }
            Happening::Syn(link) => self.on_syn(link),
            Happening::Ready(link, side) => self.on_ready(link, side),
            Happening::Arrive(link, side, bytes, _) => self.on_arrival(link, side, bytes),
            Happening::Readable(link, side) => self.deliver(link, side),
            Happening::Ended(link, side, reason) => self.on_ended(link, side, reason),
            Happening::UserTimeout(link, side) => self.on_user_timeout(link, side),
            Happening::Listening(id, listener, result) => {
                self.host_mut(id).stack.handle_listening(now, listener, result);
                self.drain(Host::Stack(id));
            }
            Happening::Authenticated(id, endpoint, handshake, result) => {
                self.host_mut(id)
                    .stack
                    .handle_authenticated(now, endpoint, handshake, result);
                self.drain(Host::Stack(id));
            }
            Happening::Resolved(id, query, result) => {
                self.host_mut(id).stack.handle_resolved(now, query, result);
                self.drain(Host::Stack(id));
            }
        }
    }

    fn after(&mut self, time: Duration, happening: Happening) {
        self.at(self.now + time, happening);
    }

    fn at(&mut self, time: Time, happening: Happening) {
        self.queue.entry(time).or_default().push_back(happening);
    }

    fn note(&mut self, who: impl Into<Option<Host>>, what: impl Into<String>) {
        self.trace.push(self.now, who.into(), what);
    }

    // --- carrying out

    /// Does all that a host wants.
    fn drain(&mut self, host: Host) {
        match host {
            Host::Stack(id) if self.laziness.is_zero() => self.drain_now(id),
            Host::Stack(id) => {
                let wants = self
                    .host_mut(id)
                    .stack
                    .poll_timeout()
                    .is_some_and(|(at, _)| at <= self.now);
                if wants && !self.host_mut(id).is_late {
                    self.host_mut(id).is_late = true;
                    let time = self.up_to(self.laziness);
                    self.strike(id, Fault::Laziness);
                    self.after(time, Happening::Drain(id));
                }
            }
            Host::FrontEnd(id) => {
                while let Some(output) = self.server_mut(id).front_end.poll_output() {
                    self.carry_out_output(id, output);
                }
            }
            Host::Peer(_) => {}
        }
        self.schedule(host);
    }

    fn drain_now(&mut self, id: StackId) {
        if std::mem::replace(&mut self.host_mut(id).is_draining, true) {
            return;
        }
        while let Some(action) = self.host_mut(id).stack.poll_action() {
            self.note(Host::Stack(id), format!("{action:?}"));
            self.carry_out(id, action);
        }
        self.host_mut(id).is_draining = false;
        observer::judge_active(&self.host_mut(id).stack, Host::Stack(id));
    }

    fn carry_out(&mut self, id: StackId, action: Action) {
        let host = Host::Stack(id);
        let end = |world: &Self, conn| world.ends.get(&(host, Name::Stack(conn))).copied();
        match action {
            Action::Connect(connect) => self.connect(id, connect),
            Action::Transmit(conn) => {
                if let Some((link, side)) = end(self, conn) {
                    self.pump(link, side);
                }
            }
            Action::Reading(conn, reading) => {
                if let Some((link, side)) = end(self, conn) {
                    self.set_reading(link, side, reading);
                }
            }
            Action::Close(conn) => {
                if let Some((link, side)) = end(self, conn) {
                    self.close_end(link, side);
                }
            }
            Action::Listen {
                listener,
                address,
                transport,
                ..
            } => {
                self.listen_stack(id, listener, address, transport);
            }
            Action::StopListening(listener) => self.stop_listening(host, listener),
            Action::Resolve { query, question } => {
                let answer = self.names.answer(&question);
                match &answer {
                    None => self.strike(id, Fault::DnsSilence),
                    Some(Err(error)) => self.strike(id, Fault::of_resolver(*error)),
                    Some(Ok(_)) => {}
                }
                if let Some(answer) = answer {
                    let time = self.latency() * 2;
                    if self.names.twice {
                        self.after(time, Happening::Resolved(id, query, answer.clone()));
                    }
                    self.after(time, Happening::Resolved(id, query, answer));
                }
            }
            Action::Authenticate(wanted) => {
                let logged_on = self.host_mut(id).user.clone();
                let result = self.center.issue(self.now, &wanted, logged_on.as_deref());
                if !self.center.delay.is_zero() {
                    self.strike(id, Fault::LateTicket);
                }
                if let Err(failure) = &result {
                    self.strike(id, Fault::NoTicket);
                    self.trace
                        .push(self.now, Some(Host::Stack(id)), format!("no ticket: {failure}"));
                }
                let time = self.latency() * 2 + self.center.delay;
                self.after(
                    time,
                    Happening::Authenticated(id, wanted.endpoint, wanted.handshake, result),
                );
            }
            Action::Event(event) => self.on_stack_event(id, event),
        }
    }

    fn on_stack_event(&mut self, id: StackId, event: Event) {
        let now = self.now;
        let host = self.host_mut(id);
        if let Some(application) = &mut host.application {
            application(&mut host.stack, now, &event);
        }
        host.events.push((now, event));
    }

    fn carry_out_output(&mut self, id: FrontEndId, output: Output) {
        let host = Host::FrontEnd(id);
        let end = |world: &Self, conn| world.ends.get(&(host, Name::FrontEnd(conn))).copied();
        match output {
            Output::Send { conn, bytes } => {
                if let Some((link, side)) = end(self, conn) {
                    self.transfer(link, side, bytes);
                }
            }
            Output::Close(conn) => {
                if let Some((link, side)) = end(self, conn) {
                    self.close_end(link, side);
                }
            }
            Output::Log(event) => {
                self.note(host, event.to_string());
                self.on_server_event(id, &event);
                let now = self.now;
                self.server_mut(id).events.push((now, event));
            }
        }
    }

    fn on_server_event(&mut self, id: FrontEndId, event: &FrontEndEvent) {
        if let FrontEndEvent::Registered { aor, .. } | FrontEndEvent::Unregistered { aor, .. } = event {
            self.share(id, aor);
        }
        let far = |world: &Self, conn: Conn| {
            let (link, side) = world.ends.get(&(id.into(), Name::FrontEnd(conn)))?;
            Some(world.end(*link, 1 - side).host)
        };
        if let FrontEndEvent::Registered { aor, conn, .. } = event
            && self.servers.len() > 1
            && let Some(host) = far(self, *conn)
        {
            let before = self.registered_at.insert((aor.clone(), host), id);
            if before.is_some_and(|before| before != id) {
                let shared = self.sharing.contains(&id);
                self.strike(
                    host,
                    if shared {
                        Fault::FailOver
                    } else {
                        Fault::FailOverLoss
                    },
                );
            }
        }
        let badly = if let FrontEndEvent::SignedBadly { conn, how, .. } = event {
            let fault = if *how == Signing::Wrong {
                Fault::WrongSignature
            } else {
                Fault::MissingSignature
            };
            Some((*conn, fault))
        } else if let FrontEndEvent::Replayed { conn } = event {
            Some((*conn, Fault::Replayed))
        } else {
            None
        };
        if let Some((conn, fault)) = badly
            && let Some(host) = far(self, conn)
        {
            self.strike(host, fault);
        }
        if let FrontEndEvent::TurnedAway { conn, status, .. } = event
            && let Some(host) = far(self, *conn)
        {
            let redirects = |host: &ServerHost| matches!(host.front_end.manner(), Manner::Redirect(_));
            let fault = match status.code() {
                302 if self.servers.iter().all(redirects) => Fault::RedirectLoop,
                302 => Fault::Redirected,
                423 => Fault::TooBrief,
                _ => Fault::Unavailable,
            };
            self.strike(host, fault);
        }
    }

    /// What has changed at one server is known at once to those that share its bindings.
    fn share(&mut self, server: FrontEndId, aor: &str) {
        if !self.sharing.contains(&server) {
            return;
        }
        for other in self.sharing.clone().into_iter().filter(|other| *other != server) {
            let [from, to] = [server.0, other.0];
            if let Ok([from, to]) = self.servers.get_disjoint_mut([from, to]) {
                to.front_end.share(&from.front_end, aor);
            }
            self.schedule(other.into());
        }
    }

    fn host_mut(&mut self, id: StackId) -> &mut StackHost {
        self.stacks.get_mut(id.0).expect("a stack of this world")
    }

    fn server_mut(&mut self, id: FrontEndId) -> &mut ServerHost {
        self.servers.get_mut(id.0).expect("a front end of this world")
    }

    // --- the end

    /// Ends every endpoint and all listening, lets everything come to rest, and looks that nothing is held (X6) and that
    /// the stacks have counted what passed on their links (X7). Gives the trace.
    ///
    /// # Panics
    /// Something is held, or counted wrongly.
    pub fn finish(mut self) -> Trace {
        self.conclude();
        self.abandon().0
    }

    /// The census, for who has to see the world after a panic.
    pub(crate) fn conclude(&mut self) {
        self.note(None, "comes to its end");
        for id in (0..self.stacks.len()).map(StackId) {
            self.with(id, Stack::terminate_all);
        }
        // Longer than any transaction, linger or retry; then whatever peers still hold is closed, and the idle time of
        // server connections passes.
        self.run_for(Duration::from_secs(300));
        for peer in (0..self.peers).map(PeerId) {
            for line in self.lines(peer) {
                self.hang_up(line);
            }
        }
        self.run_for(Duration::from_secs(1200));
        for (id, host) in self.stacks.iter().enumerate() {
            let who = Host::Stack(StackId(id));
            observer::judge_active(&host.stack, who);
            host.observer.judge(&host.stack, who);
            assert_eq!(
                host.stack.counters().registrations.active(),
                0,
                "{who}: registrations"
            );
            let census = host.stack.census();
            assert!(
                census.is_quiescent(),
                "{} holds something at the end: {census:?}",
                Host::Stack(StackId(id))
            );
        }
        for (id, host) in self.servers.iter().enumerate() {
            let census = host.front_end.census();
            assert_eq!(
                census.transactions,
                0,
                "requests under way in {}",
                Host::FrontEnd(FrontEndId(id))
            );
        }
    }

    /// The cells that the machines of all stacks have been in.
    pub(crate) fn cells(&self) -> sansip::cells::Cells {
        let mut cells = self.cells.clone();
        for host in &self.stacks {
            cells.absorb(host.stack.cells());
        }
        cells
    }

    /// The trace of a world that is over, or in which something has gone wrong, and its end for people.
    pub(crate) fn abandon(mut self) -> (Trace, String) {
        self.finished = true;
        let tail = self.trace.tail();
        (std::mem::take(&mut self.trace), tail)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Drop for World {
    /// After a failure: the seed, and the last that happened; all of it goes to the file that `SANSIP_TRACE` names. A
    /// world that was not finished has skipped the census.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tail = self.trace.tail();
            eprintln!(
                "the world of seed {} at {} (SANSIP_SEED={}):\n{tail}",
                self.seed, self.now, self.seed
            );
            if let Ok(path) = std::env::var("SANSIP_TRACE") {
                let written = std::fs::write(&path, self.trace.to_string());
                eprintln!("the whole trace is in {path}: {written:?}");
            }
        } else {
            assert!(self.finished, "a world ends with finish(), for the census");
        }
    }
}
