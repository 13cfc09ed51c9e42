//! A lone stack whose embedder, peers, resolver and application do what the script has them do.

use std::fmt::Write;
use std::hash::Hasher;
use std::time::Duration;

use bytes::Bytes;
use sansip::security::{
    Credentials, KerberosFailure, KerberosFailureKind, MessageSecurity, Secret, SecurityContext,
};
use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{MessageLimits, Method, StatusCode};
use sansip::{
    Action, Authenticate, CloseReason, Config, ConnId, Connect, Content, EndOfSubscription, EndpointId,
    Established, Event, IncomingId, ListenError, ListenerId, LostAddresses, Misuse, OperationId,
    PeerCertificate, PeerToPeerConfig, PublicationId, PublishOptions, QueryId, Question, RedirectAction,
    ReferralId, ReliableResponses, ResolveError, RouteRecovery, SendOptions, Server, SessionId,
    SipEndpointConfig, Stack, SubscribeOptions, SubscriptionId, Throttle, Time, Transport, UnixTime,
    WatcherId,
};
use siphasher::sip::SipHasher13;

use super::frontend::Hashed;
use super::resolver::{address, answer_to, no_addresses};
use super::script::Script;
use super::talk::Talk;
use crate::oracle::{Contract, sent};

/// A context that signs so often, and takes everything for the server's.
#[derive(Clone, Debug)]
struct Tired(usize);

impl MessageSecurity for Tired {
    fn sign(&mut self, _text: &[u8]) -> Option<Vec<u8>> {
        self.0 = self.0.checked_sub(1)?;
        Some(vec![0; 16])
    }

    fn verify(&mut self, _text: &[u8], _signature: &[u8]) -> bool {
        true
    }

    fn share(&self) -> Box<dyn MessageSecurity> {
        Box::new(self.clone())
    }
}

/// Waits, in milliseconds.
const WAITS: [u64; 16] = [
    0, 1, 100, 500, 1_000, 2_000, 4_000, 5_000, 10_000, 32_000, 61_000, 181_000, 300_000, 600_000, 1_000_000,
    3_600_000,
];

/// No stack with a few endpoints has more to do in an hour.
const BUSY: usize = 4_000;

/// No single input makes a stack want more than this.
const WANTS: usize = 2_000;

/// Where requests go.
const TARGETS: [&str; 8] = [
    "sip:bob@example.com",
    "sip:p@192.0.2.1;transport=tcp",
    "sip:p@peer.invalid;transport=tcp",
    "sips:p@peer.invalid",
    "tel:+15551234",
    "sip:p@[2001:db8::1]:5070;transport=tcp",
    "sip:carol@192.0.2.1:5062;transport=tls",
    "mailto:p@example.com",
];

const COMMANDS: [Method; 8] = [
    Method::Message,
    Method::Info,
    Method::Options,
    Method::Service,
    Method::Notify,
    Method::Benotify,
    Method::Message,
    Method::Invite,
];

const FINAL: [u16; 8] = [200, 202, 404, 486, 488, 500, 603, 180];

/// A stack under a scenario. The first two bytes choose its settings; then come letters with their arguments, which
/// are written as digits (and `:;<=>?` for 10 to 15). A session, request or connection is counted from the last.
///
/// | letter | arguments | what happens |
/// |---|---|---|
/// | `a` | session, content | the application accepts |
/// | `b` | connection, count | so many bytes of the script arrive as they stand |
/// | `c` | connect, outcome | the embedder reports on a connection that is to be made |
/// | `d` | query, answer | the embedder answers a question |
/// | `e` | session, offer | an idle session is established |
/// | `f` | request, status, variant | a peer answers what it has heard |
/// | `g` | connection, method, kind | a peer sends a request |
/// | `h` | request | the application holds a request |
/// | `i` | endpoint, target, offer | the application calls |
/// | `k` | | a peer connects |
/// | `l` | how long | time passes, and nobody looks meanwhile |
/// | `m` | endpoint, target, method | the application sends a request |
/// | `n` | session, method | the same in a session |
/// | `o` | session | the application answers an offer |
/// | `p` | session | a provisional response |
/// | `q` | request, status | the application answers a request |
/// | `r` `u` `z` | endpoint | it registers, unregisters, ends |
/// | `s` | endpoint, target | an idle session is made |
/// | `t` | session | the application ends it |
/// | `v` | session, way | the application refuses or redirects |
/// | `w` | how long | time passes |
/// | `x` | connection, way | a connection is gone, stalls or goes on, is closed by command, allowed or denied |
/// | `y` | count, changes | what a peer said last comes once more, with some bytes changed |
/// | `j` | way | listening ends, the embedder gets lazy or diligent, new connections are held for the application or not |
/// | `j` | 5, endpoint, methods | an endpoint takes other methods |
/// | `j` | 6, request, body | a peer says that who registers there is registered no more |
/// | `j` | 7, time | the stack is to end gracefully |
/// | `j` | 12, session | the application asks the peer to call somebody |
/// | `j` | 13, how | it follows or refuses the last REFER of a peer |
/// | `j` | 15, session, how | the application decides where a call goes that is redirected |
/// | `j` | 14, request, report, id | a peer says what came of a REFER |
/// | `j` | 8, session, way | a session is changed: by INVITE, by UPDATE, not after all; a change of the peer is taken, refused; another early dialog rings, is accepted; by an offer in a PRACK; another early dialog rings and is changed |
/// | `j` | 3, watcher, what | the application accepts, refuses, notifies or ends a subscription of a peer |
/// | `j` | 9, endpoint, target, way | the application subscribes, asks once, or publishes |
/// | `j` | 10, subscription, what | it begins one, changes it, or ends it; 5, publication, what: it removes or changes what is published |
/// | `j` | 11, request, state, variant | a peer sends a NOTIFY to a SUBSCRIBE that it has heard |
///
/// The oracle sees commands, events and bytes. Everything is done twice, once with all bytes in pieces of one, and has
/// to come out the same.
///
/// # Panics
/// The oracle finds something.
pub fn stack(bytes: &[u8]) -> usize {
    let first = Run::new(bytes, usize::MAX).live();
    let second = Run::new(bytes, 1).live();
    assert_eq!(
        first, second,
        "two runs differ (steps, and a hash of all actions and bytes)"
    );
    first.0 * 2
}

/// The recording of the stack in such a scenario.
///
/// # Panics
/// As [`stack`].
pub fn recording(bytes: &[u8]) -> Vec<u8> {
    let mut run = Run::of(bytes, usize::MAX, |config, seed, now, unix| {
        Stack::recorded(config, seed, now, unix, usize::MAX)
    });
    run.live();
    run.stack.take_recording()
}

struct Run<'a> {
    script: Script<'a>,
    chunk: usize,
    stack: Stack,
    now: Time,
    endpoints: Vec<EndpointId>,
    sessions: Vec<SessionId>,
    subscriptions: Vec<SubscriptionId>,
    watchers: Vec<WatcherId>,
    publications: Vec<PublicationId>,
    incomings: Vec<IncomingId>,
    /// REFERs of peers that nobody has decided on.
    referrals: Vec<(EndpointId, SessionId, ReferralId)>,
    listeners: Vec<ListenerId>,
    lines: Vec<Line>,
    connects: Vec<Connect>,
    queries: Vec<(QueryId, Question)>,
    /// The security contexts that are asked for.
    contexts: Vec<Authenticate>,
    uris: Vec<String>,
    talk: Talk,
    oracle: Contract,
    /// Connections and questions succeed at once.
    willing: bool,
    /// Actions are not taken for now.
    lazy: bool,
    /// New connections are held for the application.
    holding: bool,
    seen: SipHasher13,
    steps: usize,
}

/// A connection, as its embedder knows it.
struct Line {
    conn: ConnId,
    open: bool,
    /// Its socket takes nothing.
    stalled: bool,
    /// Its last byte has been sent: half a message may be the last.
    framer: Framer,
}
fn sdp() -> Content {
    Content::new("application/sdp", "v=0\r\n")
}

fn why() -> (String, String) {
    (String::from("Reason"), String::from("SIP;cause=200"))
}

fn small() -> Config {
    let mut config = Config::default();
    let limits = &mut config.limits;
    (limits.connections, limits.transactions, limits.sessions) = (3, 4, 2);
    (limits.forks, limits.operations, limits.pending_per_session) = (2, 6, 1);
    (limits.subscriptions, limits.publications) = (2, 1);
    (limits.referrals, limits.redirects) = (1, 1);
    (
        limits.events,
        limits.dns_cache,
        limits.attempts,
        limits.send_queue,
    ) = (4, 1, 2, 1500);
    (
        limits.unauthorized,
        limits.learned_hosts,
        limits.certificate_entries,
    ) = (600, 1, 1);
    (limits.outstanding, limits.targets) = (1, 2);
    limits.message = MessageLimits {
        header_block: 1200,
        headers: 14,
        body: 50,
    };
    config.connection_throttle = Some(Throttle { high: 2, low: 2 });
    config.message_throttle = Some(Throttle { high: 2, low: 1 });
    config
}

impl<'a> Run<'a> {
    fn new(bytes: &'a [u8], chunk: usize) -> Self {
        Self::of(bytes, chunk, Stack::new)
    }

    fn of(
        bytes: &'a [u8],
        chunk: usize,
        stack: impl FnOnce(Config, [u8; 32], Time, UnixTime) -> Stack,
    ) -> Self {
        let mut script = Script::new(bytes);
        let (first, second) = (script.pick(16), script.pick(16));
        let mut config = if first & 1 == 0 {
            Config::default()
        } else {
            small()
        };
        config.strict_dispatch = first & 2 == 0;
        let now = Time::from_secs(1);
        let mut run = Self {
            script,
            chunk,
            stack: stack(config, [9; 32], now, UnixTime(1_700_000_000)),
            now,
            endpoints: Vec::new(),
            sessions: Vec::new(),
            subscriptions: Vec::new(),
            watchers: Vec::new(),
            publications: Vec::new(),
            incomings: Vec::new(),
            referrals: Vec::new(),
            listeners: Vec::new(),
            lines: Vec::new(),
            connects: Vec::new(),
            queries: Vec::new(),
            contexts: Vec::new(),
            uris: Vec::new(),
            talk: Talk::default(),
            oracle: Contract::default(),
            willing: first & 4 == 0,
            lazy: false,
            holding: false,
            seen: SipHasher13::new(),
            steps: 0,
        };
        run.settle(first, second);
        run
    }

    /// Two endpoints at servers, and a peer-to-peer endpoint that listens.
    fn settle(&mut self, first: usize, second: usize) {
        for (user, transport) in [("alice", Transport::Tcp), ("bob", Transport::Tls)] {
            let mut config = SipEndpointConfig::new(format!("sip:{user}@example.com"));
            config.transport = transport;
            config.auto_refresh = first & 8 == 0;
            config.epid = Some(format!("epid{user}"));
            if second & 1 == 0 {
                let port = (second & 2 == 0).then_some(transport.default_port());
                config.server = Some(Server {
                    host: String::from("server.invalid"),
                    port,
                });
            }
            config.expires = (second & 4 != 0).then_some(Duration::from_secs(60));
            config.profile.retry_after = second & 8 == 0;
            config.credentials = vec![Credentials::new(user, Secret::new("secret"))];
            let added = self.stack.add_sip_endpoint(self.now, config);
            self.endpoints.push(added.expect("a SipEndpoint"));
        }
        let mut carol = PeerToPeerConfig::new("sip:carol@two.invalid");
        carol.profile.reliable_responses = ReliableResponses::Supported;
        carol.profile.route_recovery = RouteRecovery::MaximumRetry;
        carol.profile.methods.push(Method::Refer);
        carol.profile.session_timer = Some(Duration::from_secs(90));
        carol.profile.redirects = true;
        carol.profile.methods.push(Method::Subscribe);
        let carol = self.stack.add_peer_to_peer_endpoint(self.now, carol);
        let carol = carol.expect("a peer-to-peer endpoint");
        self.endpoints.push(carol);
        self.oracle.endpoints.clone_from(&self.endpoints);
        let manager = self.stack.server_tcp_manager();
        let view = self.stack.manager(self.now, manager);
        let listener = view.and_then(|mut view| view.listen(address(1, 5060)));
        self.listeners.push(listener.expect("a listener"));
        self.drain();
        self.uris.push(String::from("sip:carol@two.invalid"));
    }

    fn live(&mut self) -> (usize, u64) {
        while let Some(letter) = self.script.letter() {
            self.steps += 1;
            self.learn_uris();
            self.act(letter);
            self.drain();
        }
        self.end();
        (self.steps, self.seen.finish())
    }

    /// Everything is told to end; peers that hold on to their connections let go at last; then nothing may be held.
    fn end(&mut self) {
        self.lazy = false;
        self.drain();
        for id in self.endpoints.clone() {
            let operation = self.stack.terminate(self.now, id);
            self.oracle.on_started(self.now, operation, None);
            self.drain();
        }
        let manager = self.stack.server_tcp_manager();
        for listener in self.listeners.clone() {
            if let Ok(mut view) = self.stack.manager(self.now, manager) {
                // It may have ended before.
                let _ = view.stop_listening(listener);
            }
            self.drain();
        }
        self.wait(Duration::from_secs(300));
        for line in 0..self.lines.len() {
            self.lose(line, CloseReason::Closed);
        }
        self.wait(Duration::from_secs(1200));
        self.oracle.judge_the_end();
        let census = self.stack.census();
        assert!(census.is_quiescent(), "held at the end: {census:?}");
    }

    /// What peers know of where the endpoints are.
    fn learn_uris(&mut self) {
        for (at, id) in self.endpoints.iter().take(2).enumerate() {
            if let Ok(view) = self.stack.endpoint(self.now, *id)
                && let Some(uri) = view.endpoint_uri()
            {
                self.uris.truncate(at + 1);
                self.uris.push(uri);
            }
        }
    }

    // --- what happens

    fn act(&mut self, letter: char) {
        match letter {
            'b' => {
                let (line, count) = (self.line(), self.script.number());
                let bytes = self.script.raw(count);
                self.arrive(line, bytes);
            }
            'c' => self.answer_connect(),
            'd' => self.answer_query(),
            'f' => {
                if let Some((line, bytes)) = self.talk.respond(&mut self.script) {
                    self.arrive(Some(line), &bytes);
                }
            }
            'g' => {
                let line = self.line();
                let (line, bytes) = self.talk.request(line.unwrap_or(0), &self.uris, &mut self.script);
                self.arrive(Some(line), &bytes);
            }
            'k' => self.accept_connection(),
            'l' => {
                self.now = self.now + self.time();
                self.stack.handle_timeout(self.now);
            }
            'w' => {
                let time = self.time();
                self.wait(time);
            }
            'x' => self.harm(),
            'y' => {
                if let Some((line, bytes)) = self.talk.garble(&mut self.script) {
                    self.arrive(Some(line), &bytes);
                }
            }
            'j' => match self.script.pick(16) {
                0 => {
                    let error = ListenError::Other(String::from("as the script has it"));
                    let listener = self.listeners.first().copied();
                    listener
                        .into_iter()
                        .for_each(|id| self.stack.handle_listener_lost(self.now, id, error.clone()));
                }
                1 => self.willing = !self.willing,
                2 => self.answer_context(),
                4 => {
                    self.holding = !self.holding;
                    for manager in [self.stack.client_manager(), self.stack.server_tcp_manager()] {
                        let view = self.stack.manager(self.now, manager);
                        view.expect("a manager").set_authorizes(self.holding);
                    }
                }
                5 => self.set_methods(),
                6 => {
                    if let Some((line, bytes)) = self.talk.dismiss(&mut self.script) {
                        self.arrive(Some(line), &bytes);
                    }
                }
                8 => self.change_session(),
                7 => {
                    let patience = self.time();
                    let operation = self.stack.drain(self.now, patience);
                    self.oracle.on_started(self.now, operation, None);
                }
                12 => self.refer(),
                13 => self.decide(),
                15 => self.follow(),
                14 => {
                    if let Some((line, bytes)) = self.talk.report(&mut self.script) {
                        self.arrive(Some(line), &bytes);
                    }
                }
                3 => self.command_watcher(),
                9 => self.subscribe(),
                10 => self.command_subscription(),
                11 => {
                    if let Some((line, bytes)) = self.talk.notify(&mut self.script) {
                        self.arrive(Some(line), &bytes);
                    }
                }
                _ => self.lazy = !self.lazy,
            },
            'h' | 'q' => self.answer_request(letter),
            'a' | 'e' | 'n' | 'o' | 'p' | 't' | 'v' => self.command_session(letter),
            'i' | 'm' | 'r' | 's' | 'u' | 'z' => self.command_endpoint(letter),
            _ => {}
        }
    }

    fn time(&mut self) -> Duration {
        Duration::from_millis(WAITS.get(self.script.pick(16)).copied().unwrap_or(0))
    }

    fn line(&mut self) -> Option<usize> {
        self.script.latest(self.lines.len())
    }

    fn answer_connect(&mut self) {
        let (at, outcome) = (self.script.latest(self.connects.len()), self.script.pick(5));
        let Some(at) = at else { return };
        let connect = self.connects.remove(at);
        let conn = connect.conn;
        match outcome {
            0 => self.connected(&connect, true),
            1 | 2 => {
                let reason = if outcome == 1 {
                    CloseReason::Refused
                } else {
                    CloseReason::TimedOut
                };
                self.find(conn)
                    .into_iter()
                    .for_each(|line| self.lose(line, reason.clone()));
            }
            3 => self.connected(&connect, false),
            _ => self.connects.insert(at, connect),
        }
    }

    /// `fits`: whether a certificate names what was asked for.
    fn connected(&mut self, connect: &Connect, fits: bool) {
        let peer = connect.tls.as_ref().map(|name| {
            let name = if fits {
                name.clone()
            } else {
                String::from("other.invalid")
            };
            Box::new(PeerCertificate {
                dns_names: vec![name],
                ..PeerCertificate::default()
            })
        });
        let established = Established {
            local: address(1, 40_000),
            remote: connect.remote,
            peer,
        };
        self.stack.handle_connected(self.now, connect.conn, established);
    }

    /// With a context, or with a reason why there is none; the context signs for a while.
    fn answer_context(&mut self) {
        let (at, answer) = (self.script.latest(self.contexts.len()), self.script.pick(16));
        let Some(at) = at else { return };
        let Authenticate {
            endpoint, handshake, ..
        } = self.contexts.remove(at);
        let failures = [
            KerberosFailureKind::Unsupported,
            KerberosFailureKind::NoTicket,
            KerberosFailureKind::WrongCredentials,
            KerberosFailureKind::UnknownService,
            KerberosFailureKind::Unreachable,
            KerberosFailureKind::SkewedClock,
            KerberosFailureKind::Other,
        ];
        let result = match failures.get(answer) {
            Some(kind) => Err(KerberosFailure::new(*kind)),
            None => Ok(SecurityContext {
                token: Bytes::from_static(b"ticket"),
                lifetime: (answer & 1 != 0).then_some(Duration::from_secs(400)),
                security: Box::new(Tired(answer - failures.len())),
            }),
        };
        self.stack
            .handle_authenticated(self.now, endpoint, handshake, result);
        // Nobody waits for it any more.
        let again = Err(KerberosFailure::new(KerberosFailureKind::Other));
        self.stack
            .handle_authenticated(self.now, endpoint, handshake, again);
    }

    fn answer_query(&mut self) {
        let (at, answer) = (self.script.latest(self.queries.len()), self.script.pick(5));
        let Some(at) = at else { return };
        let (query, question) = self.queries.remove(at);
        match answer {
            0 => self.resolved(query, &question),
            1 => self
                .stack
                .handle_resolved(self.now, query, Err(ResolveError::NoSuchName)),
            2 => self
                .stack
                .handle_resolved(self.now, query, Err(ResolveError::ServerFailure)),
            3 => self
                .stack
                .handle_resolved(self.now, query, Err(ResolveError::NoResolver)),
            // The answer to another question.
            _ => self.stack.handle_resolved(self.now, query, Ok(no_addresses())),
        }
    }

    fn resolved(&mut self, query: QueryId, question: &Question) {
        self.stack
            .handle_resolved(self.now, query, Ok(answer_to(question)));
    }

    fn accept_connection(&mut self) {
        let Some(listener) = self.listeners.first().copied() else {
            return;
        };
        let conn = self
            .stack
            .handle_accepted(self.now, listener, address(1, 5060), address(2, 50_000));
        self.add_line(conn);
    }

    fn add_line(&mut self, conn: ConnId) {
        let framer = Framer::new(MessageLimits::default());
        self.lines.push(Line {
            conn,
            open: true,
            stalled: false,
            framer,
        });
    }

    /// A connection that failed at one address is tried at the next, under the same name.
    fn open(&mut self, conn: ConnId) {
        self.oracle.on_connect(conn);
        match self.find(conn).and_then(|at| self.lines.get_mut(at)) {
            Some(line) => {
                assert!(!line.open, "{conn} is used again");
                line.open = true;
            }
            None => self.add_line(conn),
        }
    }

    fn harm(&mut self) {
        let (line, way) = (self.line(), self.script.pick(9));
        if way == 8 {
            // The addresses are those of `address`: the first of the peers' is nobody's here.
            let lost = match self.script.pick(3) {
                0 => LostAddresses::All,
                1 => LostAddresses::These(vec![address(1, 5060).ip()]),
                _ => LostAddresses::These(vec![address(2, 5060).ip()]),
            };
            self.stack.network_changed(self.now, &lost);
            return self.drain();
        }
        let Some(line) = line else { return };
        match way {
            0 => self.lose(line, CloseReason::Closed),
            1 => self.lose(line, CloseReason::Reset),
            2 => self.lose(line, CloseReason::TimedOut),
            3 => {
                if let Some(line) = self.lines.get_mut(line) {
                    line.stalled = !line.stalled;
                }
                self.take(line);
            }
            4 => {
                if let Some(line) = self.lines.get(line) {
                    self.stack.disconnect(self.now, line.conn);
                }
            }
            6 | 7 => {
                if let Some(line) = self.lines.get(line) {
                    // One that is not held is misuse.
                    let _ = if way == 6 {
                        self.stack.allow_connection(self.now, line.conn)
                    } else {
                        self.stack.deny_connection(self.now, line.conn)
                    };
                }
            }
            _ => {
                if let Some(line) = self.lines.get(line) {
                    // A connection that is gone, or one of a client manager, is misuse.
                    let _ = self.stack.set_idle(self.now, line.conn, Duration::from_secs(5));
                    let known = self.stack.connection(line.conn);
                    if let Some(manager) = known.map(|known| known.manager)
                        && let Ok(mut manager) = self.stack.manager(self.now, manager)
                    {
                        let _ = manager.set_idle(Some(Duration::from_secs(7)), None);
                        let _ = manager.apply_idle();
                    }
                }
            }
        }
    }

    /// A line that is gone already is told of once more: a late report does nothing.
    fn lose(&mut self, line: usize, reason: CloseReason) {
        if let Some(line) = self.lines.get_mut(line) {
            line.open = false;
            let conn = line.conn;
            self.stack.handle_closed(self.now, conn, reason);
        }
        self.drain();
    }

    fn arrive(&mut self, line: Option<usize>, bytes: &[u8]) {
        let Some(conn) = line.and_then(|line| self.lines.get(line)).map(|line| line.conn) else {
            return;
        };
        self.show(&format!("{conn} arrives: {}", String::from_utf8_lossy(bytes)));
        for piece in bytes.chunks(self.chunk) {
            self.stack.handle_bytes(self.now, conn, piece);
        }
    }

    // --- the application

    fn command_endpoint(&mut self, letter: char) {
        let at = self.script.pick(self.endpoints.len());
        let Some(id) = self.endpoints.get(at).copied() else {
            return;
        };
        if letter == 'z' {
            let operation = self.stack.terminate(self.now, id);
            return self.oracle.on_started(self.now, operation, None);
        }
        let (target, choice) = if matches!(letter, 'i' | 'm' | 's') {
            let target = TARGETS.get(self.script.pick(8)).copied().unwrap_or_default();
            (target, if letter == 's' { 0 } else { self.script.pick(8) })
        } else {
            ("", 0)
        };
        let Ok(mut view) = self.stack.endpoint(self.now, id) else {
            return;
        };
        let options = SendOptions::default();
        match letter {
            'r' => self.started(|run| run.stack.endpoint(run.now, id)?.register()),
            'u' => self.started(|run| run.stack.endpoint(run.now, id)?.unregister()),
            's' => {
                if let Ok(session) = view.create_session(target) {
                    self.know_session(session, id);
                }
            }
            'm' => {
                let method = COMMANDS.get(choice).cloned().unwrap_or(Method::Message);
                let content = (choice % 3 == 0).then(|| Content::text("hello"));
                self.started(|run| {
                    run.stack
                        .endpoint(run.now, id)?
                        .send_message(target, method, content, options)
                });
            }
            _ => {
                if let Ok((session, operation)) = view.invite(target, (choice & 1 != 0).then(sdp), options) {
                    self.know_session(session, id);
                    self.oracle.on_started(self.now, operation, Some(session));
                }
            }
        }
    }

    fn subscribe(&mut self) {
        let (at, target, way) = (
            self.script.pick(self.endpoints.len()),
            TARGETS.get(self.script.pick(8)).copied().unwrap_or_default(),
            self.script.pick(5),
        );
        let Some(id) = self.endpoints.get(at).copied() else {
            return;
        };
        if way == 4 {
            return self.publish(id, target);
        }
        let Ok(mut view) = self.stack.endpoint(self.now, id) else {
            return;
        };
        let mut options = SubscribeOptions::new("presence");
        options.expires = (way == 3).then(|| Duration::from_secs(60));
        if way & 1 == 0 {
            if let Ok(made) = view.create_subscription(target, options) {
                self.know_subscription(made, id);
                if way == 2 {
                    self.started(|run| run.stack.subscription(run.now, made)?.query());
                }
            }
        } else if let Ok((made, operation)) = view.subscribe(target, options) {
            self.know_subscription(made, id);
            self.oracle.on_started(self.now, operation, None);
        }
    }

    fn know_subscription(&mut self, subscription: SubscriptionId, endpoint: EndpointId) {
        self.oracle.on_subscription(subscription, endpoint);
        self.subscriptions.push(subscription);
    }

    fn command_subscription(&mut self) {
        let (at, choice) = (self.script.latest(self.subscriptions.len()), self.script.pick(6));
        if choice == 5 {
            return self.command_publication();
        }
        let Some(id) = at.and_then(|at| self.subscriptions.get(at)).copied() else {
            return;
        };
        self.started(|run| {
            let mut view = run.stack.subscription(run.now, id)?;
            match choice {
                0 => Ok(view.terminate()),
                1 => view.update(Some(Content::text("filter"))),
                2 => view.update(None),
                3 => view.subscribe(),
                _ => view.query(),
            }
        });
    }

    fn publish(&mut self, id: EndpointId, target: &str) {
        let Ok(mut view) = self.stack.endpoint(self.now, id) else {
            return;
        };
        let state = Content::text("state");
        if let Ok((made, operation)) = view.publish(target, PublishOptions::new("presence"), state) {
            self.oracle.on_publication(made, id);
            self.oracle.on_started(self.now, operation, None);
            self.publications.push(made);
        }
    }

    fn command_publication(&mut self) {
        let (at, choice) = (self.script.latest(self.publications.len()), self.script.pick(2));
        let Some(id) = at.and_then(|at| self.publications.get(at)).copied() else {
            return;
        };
        self.started(|run| {
            let mut view = run.stack.publication(run.now, id)?;
            if choice == 0 {
                return Ok(view.remove());
            }
            view.modify(Content::text("other"))
        });
    }

    fn command_watcher(&mut self) {
        let (at, choice) = (self.script.latest(self.watchers.len()), self.script.pick(6));
        let Some(id) = at.and_then(|at| self.watchers.get(at)).copied() else {
            return;
        };
        let state = Some(Content::text("state"));
        let Ok(mut view) = self.stack.watcher(self.now, id) else {
            return;
        };
        // What its state does not let be done is misuse.
        let begun = match choice {
            0 => view.accept(None, state).map(|()| None),
            1 => view.accept_pending(Some(Duration::from_secs(60))).map(|()| None),
            2 => view.reject(StatusCode::DECLINE, None).map(|()| None),
            3 => view.notify(state).map(Some),
            4 => view.notify(None).map(Some),
            _ => view.terminate(EndOfSubscription::GivenUp(None), None).map(Some),
        };
        if let Ok(Some(operation)) = begun {
            self.oracle.on_started(self.now, operation, None);
        }
    }

    fn set_methods(&mut self) {
        let (at, count) = (self.script.pick(self.endpoints.len()), self.script.pick(16));
        let methods = COMMANDS.iter().take(count).cloned().collect();
        if let Some(id) = self.endpoints.get(at)
            && let Ok(mut view) = self.stack.endpoint(self.now, *id)
        {
            // Of an endpoint that is ending it is misuse.
            let _ = view.set_methods(methods);
        }
    }

    fn refer(&mut self) {
        let at = self.script.latest(self.sessions.len());
        let Some(id) = at.and_then(|at| self.sessions.get(at)).copied() else {
            return;
        };
        self.started(|run| {
            let mut view = run.stack.session(run.now, id)?;
            view.refer("sip:p@192.0.2.7", Vec::new())
                .map(|(_, operation)| operation)
        });
    }

    fn follow(&mut self) {
        let (at, how) = (self.script.latest(self.sessions.len()), self.script.pick(4));
        let actions = [
            RedirectAction::TryThis,
            RedirectAction::TryAll,
            RedirectAction::Skip,
            RedirectAction::GiveUp,
        ];
        if let (Some(id), Some(action)) = (at.and_then(|at| self.sessions.get(at)), actions.get(how))
            && let Ok(mut view) = self.stack.session(self.now, *id)
        {
            // Where nothing is asked it is misuse.
            let _ = view.follow_redirect(*action);
        }
    }

    /// What a peer asks for is done or not; a session that has ended meanwhile may still be named.
    fn decide(&mut self) {
        let how = self.script.pick(3);
        let Some((endpoint, session, referral)) = self.referrals.pop() else {
            return;
        };
        if how == 0 {
            if let Ok(mut view) = self.stack.session(self.now, session) {
                let _ = view.reject_referral(referral, StatusCode::DECLINE);
            }
            return;
        }
        let Ok(mut view) = self.stack.endpoint(self.now, endpoint) else {
            return;
        };
        let target = TARGETS.get(how).copied().unwrap_or_default();
        let Ok(call) = view.create_session(target) else {
            return;
        };
        self.know_session(call, endpoint);
        if let Ok(mut view) = self.stack.session(self.now, session) {
            let _ = view.accept_referral(referral, call);
        }
    }

    fn know_session(&mut self, session: SessionId, endpoint: EndpointId) {
        self.oracle.on_session(session, endpoint);
        self.sessions.push(session);
    }

    /// A command that may be misuse in the state that there is; where it is not, it completes.
    fn started(&mut self, command: impl FnOnce(&mut Self) -> Result<OperationId, Misuse>) {
        if let Ok(operation) = command(self) {
            self.oracle.on_started(self.now, operation, None);
        }
    }

    fn command_session(&mut self, letter: char) {
        let (at, choice) = (self.script.latest(self.sessions.len()), self.script.pick(8));
        let Some(id) = at.and_then(|at| self.sessions.get(at)).copied() else {
            return;
        };
        let Ok(mut view) = self.stack.session(self.now, id) else {
            return;
        };
        let content = (choice & 1 != 0).then(sdp);
        let code = FINAL
            .get(choice)
            .copied()
            .and_then(StatusCode::new)
            .unwrap_or(StatusCode::OK);
        let operation = match letter {
            'a' => view.accept(content).ok(),
            'e' => {
                let operation = view.establish(content, SendOptions::default()).ok();
                operation
                    .into_iter()
                    .for_each(|operation| self.oracle.on_started(self.now, operation, Some(id)));
                None
            }
            'n' => {
                let method = COMMANDS.get(choice).cloned().unwrap_or(Method::Info);
                view.send(method, content, Vec::new()).ok()
            }
            'o' => view.answer(sdp()).map_or(None, |()| None),
            'p' => view
                .provisional(StatusCode::RINGING, content)
                .map_or(None, |()| None),
            'v' if choice & 1 != 0 => view
                .redirect(StatusCode::MOVED_TEMPORARILY, &["sip:p@192.0.2.7"])
                .map_or(None, |()| None),
            'v' => view.reject(code, None).map_or(None, |()| None),
            // Every other end says why.
            _ if choice & 1 != 0 => {
                let _ = view.attach(vec![why()]);
                Some(view.terminate())
            }
            _ => Some(view.terminate()),
        };
        operation
            .into_iter()
            .for_each(|operation| self.oracle.on_started(self.now, operation, None));
    }

    fn change_session(&mut self) {
        let (at, way) = (self.script.latest(self.sessions.len()), self.script.pick(9));
        let Some(id) = at.and_then(|at| self.sessions.get(at)).copied() else {
            return;
        };
        let Ok(mut view) = self.stack.session(self.now, id) else {
            return;
        };
        let refusal = StatusCode::NOT_ACCEPTABLE_HERE;
        let begun = match way {
            0 => view.renegotiate(Method::Invite, sdp()).ok(),
            1 => view.renegotiate(Method::Update, sdp()).ok(),
            7 => view.renegotiate(Method::Prack, sdp()).ok(),
            2 => {
                view.cancel_renegotiation();
                None
            }
            3 => view.accept_renegotiation(sdp()).ok(),
            5 | 6 | 8 => match view.early_dialog() {
                Ok(early) if way == 6 => view.accept_in(early, Some(sdp())).ok(),
                Ok(early) => {
                    // It may have too many that wait.
                    let _ = view.provisional_in(early, StatusCode::SESSION_PROGRESS, Some(sdp()));
                    (way == 8)
                        .then(|| view.renegotiate_in(early, sdp()).ok())
                        .flatten()
                }
                Err(_) => None,
            },
            _ => view.reject_renegotiation(refusal, None).map_or(None, |()| None),
        };
        begun
            .into_iter()
            .for_each(|operation| self.oracle.on_started(self.now, operation, None));
    }

    fn answer_request(&mut self, letter: char) {
        let at = self.script.latest(self.incomings.len());
        let code = FINAL.get(self.script.pick(8)).copied().and_then(StatusCode::new);
        let (Some(id), Some(code)) = (at.and_then(|at| self.incomings.get(at)).copied(), code) else {
            return;
        };
        let Ok(mut view) = self.stack.incoming(self.now, id) else {
            return;
        };
        let _ = if letter == 'h' {
            view.hold()
        } else {
            view.answer(code, None, None, &[])
        };
    }

    // --- time

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        if self.lazy {
            self.now = end;
            return self.stack.handle_timeout(end);
        }
        for _ in 0..BUSY {
            let deadline = self.stack.poll_timeout();
            let Some((at, reason)) = deadline.filter(|(at, _)| *at <= end) else {
                self.now = end;
                self.stack.handle_timeout(end);
                let early = self.stack.poll_action();
                assert!(early.is_none(), "before its deadline: {early:?}");
                assert_eq!(self.stack.poll_timeout(), deadline, "a deadline moved by itself");
                return;
            };
            self.steps += 1;
            let _ = write!(Hashed(&mut self.seen), "{at} {reason}");
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            self.drain();
            let next = self.stack.poll_timeout();
            assert!(
                next.is_none_or(|(next, _)| next > self.now),
                "no progress at a deadline for {reason}: {next:?}"
            );
        }
        panic!("busy for {time:?}");
    }

    // --- carrying out

    fn drain(&mut self) {
        if self.lazy {
            return;
        }
        for _ in 0..WANTS {
            let Some(action) = self.stack.poll_action() else {
                return;
            };
            self.steps += 1;
            let _ = write!(Hashed(&mut self.seen), "{} {action:?}", self.now);
            self.show(&format!("{action:?}"));
            self.carry_out(action);
        }
        panic!("more than {WANTS} actions at one time");
    }

    fn show(&self, what: &str) {
        show(self.now, what);
    }

    fn find(&self, conn: ConnId) -> Option<usize> {
        self.lines.iter().position(|line| line.conn == conn)
    }

    fn open_line(&self, conn: ConnId, what: &str) -> Option<usize> {
        let at = self.find(conn);
        let open = at.and_then(|at| self.lines.get(at)).is_some_and(|line| line.open);
        // The embedder may have reported its loss while the action was in the queue.
        assert!(at.is_some(), "{what} of {conn}, which was never there");
        at.filter(|_| open)
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect(connect) => {
                self.open(connect.conn);
                if self.willing {
                    self.connected(&connect, true);
                } else {
                    self.connects.push(connect);
                }
            }
            Action::Transmit(conn) => {
                if let Some(at) = self.open_line(conn, "Transmit") {
                    self.take(at);
                }
            }
            Action::Reading(conn, _) => {
                self.open_line(conn, "Reading");
            }
            Action::Close(conn) => {
                self.oracle.on_close(conn);
                self.connects.retain(|connect| connect.conn != conn);
                if let Some(at) = self.open_line(conn, "Close")
                    && let Some(line) = self.lines.get_mut(at)
                {
                    line.open = false;
                }
            }
            Action::Listen {
                listener, address, ..
            } => {
                self.stack.handle_listening(self.now, listener, Ok(address));
            }
            Action::StopListening(listener) => {
                assert!(self.listeners.contains(&listener), "{listener} was never there");
            }
            Action::Resolve { query, question } => {
                if self.willing {
                    self.resolved(query, &question);
                } else {
                    self.queries.push((query, question));
                }
            }
            Action::Authenticate(wanted) => self.contexts.push(wanted),
            Action::Event(event) => self.on_event(&event),
        }
    }

    fn on_event(&mut self, event: &Event) {
        self.oracle.on_event(self.now, event);
        if let Event::MessageReceived { incoming, .. } | Event::SessionMessage { incoming, .. } = event {
            self.incomings.push(*incoming);
        }
        if let Event::SessionReceived { session, .. } = event {
            self.sessions.push(*session);
        }
        if let Event::ReferReceived {
            session, referral, ..
        } = event
            && let Ok(view) = self.stack.session(self.now, *session)
        {
            self.referrals.push((view.endpoint(), *session, *referral));
        }
        if let Event::WatcherReceived { watcher, .. } = event {
            self.watchers.push(*watcher);
        }
        if let Event::SubscriptionForked { subscription, .. } = event {
            self.subscriptions.push(*subscription);
        }
    }

    /// The socket takes what waits.
    fn take(&mut self, at: usize) {
        let Some(line) = self.lines.get_mut(at).filter(|line| line.open && !line.stalled) else {
            return;
        };
        let waiting: Vec<u8> = self.stack.transmit(line.conn).flatten().copied().collect();
        if waiting.is_empty() {
            return;
        }
        self.oracle.on_transmit(line.conn);
        self.seen.write(&waiting);
        show(self.now, &String::from_utf8_lossy(&waiting));
        line.framer.push(&waiting);
        while let Some(frame) = line.framer.next() {
            match frame {
                Frame::Message { bytes, .. } => self.talk.hear(at, sent(bytes)),
                Frame::Crlf { .. } | Frame::Ping { .. } => {}
                Frame::Error(error) => panic!("sent: {}: {}", error.kind, waiting.escape_ascii()),
            }
        }
        assert_eq!(line.framer.buffered(), 0, "half a message was sent");
        self.stack.handle_transmitted(self.now, line.conn, waiting.len());
    }
}

/// Prints what happens, where the environment variable `SANSIP_SHOW` is set: to look into a finding.
fn show(now: Time, what: &str) {
    if std::env::var_os("SANSIP_SHOW").is_some() {
        eprintln!("{now} {what}");
    }
}

#[cfg(test)]
mod tests {
    use sansip::{PublicationState, ReferralState, RegistrationState, SessionState, SubscriptionState};

    use super::*;

    fn told(scenario: &str) -> Contract {
        let mut run = Run::new(scenario.as_bytes(), usize::MAX);
        run.live();
        run.oracle
    }

    fn count<T: PartialEq>(seen: &[T], wanted: T) -> usize {
        seen.iter().filter(|seen| **seen == wanted).count()
    }

    #[test]
    fn a_scenario_of_a_registration_is_one() {
        let told = told("00 r0 f060 f030 w9 u0 f030");
        assert_eq!(count(&told.registered, RegistrationState::Registered), 1);
        assert_eq!(count(&told.registered, RegistrationState::Unregistering), 1);
        let told = self::told("00 r0 f060 f030 j601 r0 j502 f030");
        assert_eq!(count(&told.registered, RegistrationState::Registered), 2);
    }

    #[test]
    fn scenarios_of_calls_are_some() {
        let answered = told("00 k i211 f010 f033 w1 g020 n01 f030 g0621 t00 f030");
        assert_eq!(count(&answered.changes, SessionState::Alerted), 1);
        assert_eq!(count(&answered.changes, SessionState::Connected), 1);
        let taken = told("00 k g001 p00 a01 g015 w3 g062 n00 f030 g022");
        assert_eq!(count(&taken.changes, SessionState::Connected), 1);
        let cancelled = told("00 k g001 p00 g037 g017 w9");
        assert_eq!(count(&cancelled.changes, SessionState::Connected), 0);
        assert_eq!(count(&cancelled.changes, SessionState::Disconnected), 1);
    }

    #[test]
    fn scenarios_of_transfers_are_some() {
        let ours = told("00 k i211 f033 w1 j<0 f040 j>000 j>020");
        let ends = [
            ReferralState::Accepted,
            ReferralState::Trying,
            ReferralState::Succeeded,
        ];
        assert_eq!(ours.transfers, ends);
        assert_eq!(told("00 k g001 a01 g015 g0:2 j=1").asked.len(), 1);
    }

    #[test]
    fn scenarios_of_changes_are_some() {
        // A call that is taken, and three ends of endpoints; one change by each side.
        let ours = told("00 k g001 a01 g015 j800 f031");
        assert_eq!(ours.succeeded, 1 + 1 + 3);
        let theirs = told("00 k g001 a01 g015 g003 j803 g015");
        assert_eq!(theirs.succeeded, 1 + 1 + 3);
    }

    #[test]
    fn scenarios_of_held_connections_are_some() {
        let request = "g050 q04";
        assert_eq!(told(&format!("00 j4 k {request}")).messages, 0);
        assert_eq!(told(&format!("00 j4 k {request} x06")).messages, 1);
        assert_eq!(told(&format!("00 j4 k {request} x07")).messages, 0);
        // What was sent, and the end of three endpoints.
        assert_eq!(told("00 j4 m210 x06 f030").succeeded, 4);
        assert_eq!(told("00 j4 m210 x07 f030").succeeded, 3);
    }

    #[test]
    fn scenarios_of_subscriptions_are_some() {
        // Made, changed, notified, and ended by each side.
        let made = "00 j9211 f030";
        let states = |scenario: &str| told(scenario).watched;
        let seen = states(&format!("{made} j;000 j:01 f030 j:00 f030 j;050"));
        assert_eq!(count(&seen, SubscriptionState::Subscribed), 1);
        assert_eq!(count(&seen, SubscriptionState::Terminating), 1);
        assert_eq!(count(&seen, SubscriptionState::Terminated), 1);
        assert_eq!(
            count(
                &states(&format!("{made} j;020 w9")),
                SubscriptionState::Terminated
            ),
            1
        );
        assert_eq!(
            count(&states("00 j9211 f0=0 w4"), SubscriptionState::WaitingForRetry),
            1
        );
        assert_eq!(
            count(&states("00 j9212 f030 j;050"), SubscriptionState::Terminated),
            1
        );
        // A fork ends by itself.
        assert_eq!(
            count(
                &states(&format!("{made} j;000 j;004 j;024")),
                SubscriptionState::Terminated
            ),
            2
        );
    }

    #[test]
    fn scenarios_of_publications_are_some() {
        let states = |scenario: &str| told(scenario).published;
        let seen = states("00 j9214 f030 j:0501 f030 j:0500 f030");
        assert_eq!(count(&seen, PublicationState::Published), 1);
        assert_eq!(count(&seen, PublicationState::Removed), 1);
        assert_eq!(
            count(&states("00 j9214 f0=0 w4"), PublicationState::WaitingForRetry),
            1
        );
        // 412: published anew.
        let seen = states("00 j9214 f030 j:0501 f040 f030");
        assert_eq!(count(&seen, PublicationState::Published), 2);
    }

    #[test]
    fn scenarios_of_messages_are_some() {
        assert_eq!(told("00 k g050 q04 g050 h0 w9").messages, 2);
        assert_eq!(
            told("00 m210 f030").succeeded,
            4,
            "the message, and the end of three endpoints"
        );
    }
}
