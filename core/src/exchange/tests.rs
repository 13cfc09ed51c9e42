//! Exchanges over real connections and transactions, and an embedder and an owner in memory.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use core::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::action::{Action, Answer, Authenticate, CloseReason, Established, Question, SrvRecord, Transport};
use crate::auth::{AllowedProtocols, AssociationPolicy, AuthTable, AuthenticationFailureReason, Login};
use crate::config::Throttle;
use crate::connection::testing::Services;
use crate::connection::{Connections, Hop, Indication as FromConnection, ManagerConfig, ManagerKind};
use crate::event::{Content, RemovalReason};
use crate::ids::{EndpointId, FromNumber, ManagerId, OperationId};
use crate::security::{Credentials, Secret};
use crate::time::Time;
use crate::transaction::{ResponseMatch, Transactions};
use crate::wire::MessageLimits;
use crate::wire::write::{HeaderBlock, Parties};

#[derive(Clone)]
struct Bench {
    services: Services,
    connections: Connections,
    transactions: Transactions,
    auth: AuthTable,
    replies: Replies,
    exchanges: Exchanges,
    up: VecDeque<Indication>,
    manager: ManagerId,
    hop: Hop,
    /// How many servers the domain has: a, b, ..., the first preferred.
    servers: u8,
    /// Whether the owner gives a connection when it is asked for one.
    supplies: bool,
    /// Whether connections are made at once.
    connects: bool,
    /// Whether the socket takes bytes at once.
    takes: bool,
    /// Connections that the stack wants, with their addresses.
    wanted: Vec<(ConnId, SocketAddr)>,
    /// The security contexts that are asked for.
    contexts: Vec<Authenticate>,
    /// The bytes of each connection that the socket has taken and that are no whole message yet.
    streams: BTreeMap<ConnId, Vec<u8>>,
    /// The messages that the sockets have taken.
    taken: Vec<(ConnId, Message)>,
    /// What was told, in order, but for requests for connections.
    told: Vec<Indication>,
    redirected: Vec<String>,
    asked: Vec<Vec<SocketAddr>>,
}

const ENDPOINT: u64 = 1;

impl Bench {
    fn new() -> Self {
        let mut services = Services::new();
        let mut connections = Connections::new(HashKey(1, 2));
        let config = ManagerConfig::new(ManagerKind::ServerTcp);
        let manager = connections.add_manager(&mut services.cx(), config).unwrap();
        Self {
            services,
            connections,
            transactions: Transactions::new(HashKey(3, 4)),
            auth: AuthTable::new(HashKey(5, 6)),
            replies: Replies::default(),
            exchanges: Exchanges::new(HashKey(7, 8)),
            up: VecDeque::new(),
            manager,
            hop: Hop::new("192.0.2.1", Some(5060), Transport::Tcp),
            servers: 2,
            supplies: true,
            connects: true,
            takes: true,
            wanted: Vec::new(),
            contexts: Vec::new(),
            streams: BTreeMap::new(),
            taken: Vec::new(),
            told: Vec::new(),
            redirected: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// A name with two servers, the first preferred.
    fn of_domain() -> Self {
        Self {
            hop: Hop::new("example.com", None, Transport::Tcp),
            ..Self::new()
        }
    }

    fn go<R>(&mut self, call: impl FnOnce(&mut Exchanges, &mut Cx<'_>, &mut Lower<'_>, &mut Up) -> R) -> R {
        let low = &mut Lower {
            connections: &mut self.connections,
            transactions: &mut self.transactions,
            auth: &mut self.auth,
            replies: &mut self.replies,
        };
        call(&mut self.exchanges, &mut self.services.cx(), low, &mut self.up)
    }

    fn start(&mut self, request: Request) -> ExchangeId {
        let id = self.go(|exchanges, cx, low, up| exchanges.start(cx, low, request, up));
        self.settle();
        id
    }

    fn cancel(&mut self, id: ExchangeId) {
        self.go(|exchanges, cx, low, up| exchanges.cancel(cx, low, id, Vec::new(), up));
        self.settle();
    }

    /// What the stack does between two calls of the embedder, and the embedder with what the stack wants.
    fn settle(&mut self) {
        loop {
            if let Some(indication) = self.connections.next_indication() {
                self.on_connection(indication);
            } else if let Some(indication) = self.up.pop_front() {
                self.on_exchange(indication);
            } else if let Some(action) = self.services.out.pop() {
                self.carry_out(action);
            } else {
                self.go(|exchanges, cx, low, up| exchanges.release_held(cx, low, up));
                if self.up.is_empty() && !self.connections.has_indication() && self.services.out.len() == 0 {
                    return;
                }
            }
        }
    }

    fn on_connection(&mut self, indication: FromConnection) {
        match indication {
            FromConnection::Ready(conn) => {
                self.go(|exchanges, cx, low, up| exchanges.handle_ready(cx, low, conn, up));
            }
            FromConnection::Failed { conn, error } => {
                while self.go(|exchanges, cx, low, up| exchanges.handle_failed(cx, low, conn, &error, up)) {}
            }
            FromConnection::Lost {
                conn,
                reason,
                taken,
                target,
            } => {
                let error = &lost(&reason);
                let target = target.as_ref().map(|(hop, remote)| (hop, *remote));
                let lost = Lost { error, taken, target };
                self.go(|exchanges, cx, low, up| {
                    low.auth.handle_lost(cx, conn);
                    let mut indications = Vec::new();
                    while low
                        .transactions
                        .handle_conn_lost(cx, conn, usize::MAX, &mut indications)
                    {}
                    for indication in indications {
                        exchanges.handle_transaction(cx, low, indication, Some(&lost), up);
                    }
                    while exchanges.handle_lost(cx, low, conn, &lost, up) {}
                });
            }
            FromConnection::Message { bytes, .. } => {
                let response = Message::parse(bytes, &MessageLimits::default()).unwrap();
                self.go(|exchanges, cx, low, up| {
                    let mut out = Vec::new();
                    let found = low
                        .transactions
                        .handle_response(cx, &mut out, &response, |_| true);
                    low.flush(cx, out);
                    if let ResponseMatch::Indication(indication) = found {
                        exchanges.handle_transaction(cx, low, indication, None, up);
                    }
                });
            }
            FromConnection::BadFraming { .. }
            | FromConnection::Ping(_)
            | FromConnection::Pong(_)
            | FromConnection::Listening { .. }
            | FromConnection::NotListening { .. } => panic!("{indication:?}"),
        }
    }

    fn on_exchange(&mut self, indication: Indication) {
        let id = indication.exchange;
        match &indication.what {
            What::NeedConnection(avoid) if self.supplies => {
                let avoid = avoid.clone();
                self.asked.push(avoid.clone());
                let hop = self.hop.clone();
                self.supply(id, &hop, &avoid);
            }
            What::NeedConnection(avoid) => self.asked.push(avoid.clone()),
            What::Redirected(target) => {
                self.redirected.push(target.to_string());
                let hop = Hop::new("192.0.2.200", Some(5060), Transport::Tcp);
                self.supply(id, &hop, &[]);
            }
            What::Provisional(_) | What::Outcome(_) | What::Taken | What::Further(_) => {
                self.told.push(indication)
            }
        }
    }

    fn supply(&mut self, id: ExchangeId, hop: &Hop, avoid: &[SocketAddr]) {
        let manager = self.manager;
        let lease = self
            .connections
            .acquire(&mut self.services.cx(), manager, hop, avoid);
        let lease = lease.map_err(OperationError::ConnectionFailure);
        self.go(|exchanges, cx, low, up| exchanges.supply(cx, low, id, lease, up));
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect(connect) => {
                self.wanted.push((connect.conn, connect.remote));
                if self.connects {
                    self.connect(connect.conn);
                }
            }
            Action::Transmit(conn) if self.takes => self.take(conn, usize::MAX),
            Action::Resolve { query, question } => {
                let ttl = Duration::from_secs(3600);
                let answer = match question {
                    Question::Naptr(_) => Answer::Naptr {
                        records: Vec::new(),
                        ttl,
                    },
                    Question::Srv(_) => {
                        let record = |number: u8| SrvRecord {
                            priority: number.into(),
                            weight: 0,
                            port: 5060,
                            target: format!("{}.example.com", char::from(b'a' + number)),
                        };
                        Answer::Srv {
                            records: (0..self.servers).map(record).collect(),
                            ttl,
                        }
                    }
                    Question::Addresses(name) => {
                        let number = name.as_bytes()[0] - b'a';
                        let address = format!("192.0.2.{}", 11 + number);
                        Answer::Addresses {
                            addresses: vec![address.parse().unwrap()],
                            ttl,
                        }
                    }
                };
                self.connections
                    .handle_resolved(&mut self.services.cx(), query, Ok(answer));
            }
            Action::Authenticate(wanted) => self.contexts.push(wanted),
            Action::Transmit(_) | Action::Close(_) | Action::Reading(..) | Action::Event(_) => {}
            Action::Listen { .. } | Action::StopListening(_) => panic!("{action:?}"),
        }
    }

    fn connect(&mut self, conn: ConnId) {
        let remote = self.remote(conn);
        let established = Established {
            local: "192.0.2.100:40000".parse().unwrap(),
            remote,
            peer: None,
        };
        self.connections
            .handle_connected(&mut self.services.cx(), conn, established);
        self.settle();
    }

    fn remote(&self, conn: ConnId) -> SocketAddr {
        self.wanted.iter().find(|(known, _)| *known == conn).unwrap().1
    }

    /// The socket takes so many of the bytes that wait.
    fn take(&mut self, conn: ConnId, count: usize) {
        let waiting: Vec<u8> = self.connections.transmit(conn).flatten().copied().collect();
        let taken = count.min(waiting.len());
        let stream = self.streams.entry(conn).or_default();
        stream.extend_from_slice(&waiting[..taken]);
        while let Some(head) = stream.windows(4).position(|window| window == b"\r\n\r\n") {
            let message = Message::parse_head(
                Bytes::copy_from_slice(&stream[..head + 4]),
                &MessageLimits::default(),
            );
            let body = message.unwrap().raw(HeaderName::ContentLength).unwrap().to_vec();
            let length = head + 4 + String::from_utf8(body).unwrap().parse::<usize>().unwrap();
            if stream.len() < length {
                break;
            }
            let bytes: Vec<u8> = stream.drain(..length).collect();
            self.taken.push((
                conn,
                Message::parse(bytes.into(), &MessageLimits::default()).unwrap(),
            ));
        }
        self.connections
            .handle_transmitted(&mut self.services.cx(), conn, taken);
        self.go(|exchanges, cx, low, up| exchanges.handle_taken(cx, low, conn, up));
        self.settle();
    }

    fn close(&mut self, conn: ConnId) {
        self.connections
            .handle_closed(&mut self.services.cx(), conn, CloseReason::Reset);
        self.settle();
    }

    /// The peer answers the request that was taken last.
    fn answer(&mut self, status: &str, headers: &str) {
        let (conn, request) = self.taken.last().cloned().unwrap();
        self.respond(conn, &request, status, headers);
    }

    fn respond(&mut self, conn: ConnId, request: &Message, status: &str, headers: &str) {
        self.respond_as(conn, request, status, headers, "peer");
    }

    fn respond_as(&mut self, conn: ConnId, request: &Message, status: &str, headers: &str, tag: &str) {
        let text = |name| String::from_utf8(request.raw(name).unwrap().to_vec()).unwrap();
        let response = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag={tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{headers}\
             Contact: <sip:peer@192.0.2.1>\r\nContent-Length: 0\r\n\r\n",
            text(HeaderName::Via),
            text(HeaderName::From),
            text(HeaderName::To),
            text(HeaderName::CallId),
            text(HeaderName::CSeq),
        );
        self.connections
            .receive(&mut self.services.cx(), conn, response.as_bytes());
        self.settle();
    }

    /// Lets time pass: timers fire at their times.
    fn until(&mut self, time: Time) {
        while let Some((at, key)) = self.services.timers.pop_due(time) {
            self.services.now = self.services.now.max(at);
            match key {
                TimerKey::Exchange(id) => {
                    self.go(|exchanges, cx, low, up| exchanges.handle_timer(cx, low, id, up));
                }
                TimerKey::Transaction(id, timer) => self.go(|exchanges, cx, low, up| {
                    let mut out = Vec::new();
                    let indication = low.transactions.handle_timer(cx, &mut out, id, timer);
                    low.flush(cx, out);
                    if let Some(indication) = indication {
                        exchanges.handle_transaction(cx, low, indication, None, up);
                    }
                }),
                TimerKey::Connection(conn, timer) => {
                    self.connections
                        .handle_timer(&mut self.services.cx(), conn, timer);
                }
                TimerKey::Resolve(query) => self
                    .connections
                    .handle_resolve_timer(&mut self.services.cx(), query),
                TimerKey::Waiting(conn) => {
                    self.go(|exchanges, cx, low, up| exchanges.handle_waiting_timer(cx, low, conn, up));
                }
                TimerKey::Ended
                | TimerKey::Incoming(_)
                | TimerKey::Session(..)
                | TimerKey::Referral(..)
                | TimerKey::Refresh(..)
                | TimerKey::Ringing(_)
                | TimerKey::Registration(_)
                | TimerKey::Association(_)
                | TimerKey::Probe(_)
                | TimerKey::KeepAlive(_)
                | TimerKey::Subscription(..)
                | TimerKey::Watcher(_)
                | TimerKey::Publication(_)
                | TimerKey::Drain => panic!("{key:?}"),
            }
            self.settle();
        }
        self.services.now = time;
    }

    fn pass(&mut self, time: Duration) {
        self.until(self.services.now + time);
    }

    /// What was told of an exchange, shortly.
    fn story(&self, id: ExchangeId) -> Vec<String> {
        let of = |indication: &&Indication| indication.exchange == id;
        self.told
            .iter()
            .filter(of)
            .map(|indication| show(&indication.what))
            .collect()
    }

    /// The outcomes told of an exchange.
    fn outcomes(&self, id: ExchangeId) -> usize {
        let ended =
            |told: &&Indication| told.exchange == id && matches!(told.what, What::Outcome(_) | What::Taken);
        self.told.iter().filter(ended).count()
    }

    /// The requests of this method that the sockets have taken.
    fn sent(&self, method: &Method) -> Vec<&Message> {
        let messages = self.taken.iter().map(|(_, message)| message);
        messages
            .filter(|message| message.method() == Some(method))
            .collect()
    }

    fn last(&self) -> &Message {
        &self.taken.last().unwrap().1
    }

    /// X6, after the connections have lingered.
    fn assert_quiescent(mut self) {
        self.pass(Duration::from_secs(200));
        assert_eq!((self.exchanges.len(), self.transactions.count()), (0, 0));
        assert_eq!(
            (self.exchanges.waiting.len(), self.exchanges.unanswered.len()),
            (0, 0)
        );
        assert_eq!(
            (self.connections.connections(), self.connections.queries()),
            (0, 0)
        );
        assert_eq!(self.services.timers.len(), 0);
        assert_eq!(self.exchanges.fingerprint(self.services.now), []);
    }
}

fn lost(reason: &RemovalReason) -> OperationError {
    OperationError::ConnectionFailure(if let RemovalReason::Remote(reason) = reason {
        ConnectionFailure::Lost(reason.clone())
    } else {
        ConnectionFailure::Closed(reason.clone())
    })
}

fn show(what: &What) -> String {
    let status = |message: &Message| message.status().unwrap().code();
    match what {
        What::Provisional(response) => format!("{}", status(response)),
        What::Further(response) => format!("further {}", status(response)),
        What::Taken => "taken".to_string(),
        What::Outcome(outcome) => match &outcome.result {
            Ok(response) => format!("ok {}", status(response)),
            Err(OperationError::FailureResponse(response)) => format!("failed {}", status(response)),
            Err(OperationError::Authentication { failure, response }) => {
                format!("{:?} {}", failure.reason, status(response))
            }
            Err(OperationError::Timeout) => "timeout".to_string(),
            Err(OperationError::ConnectionFailure(ConnectionFailure::Lost(_))) => "lost".to_string(),
            Err(OperationError::ConnectionFailure(ConnectionFailure::Connect { .. })) => {
                "unreachable".to_string()
            }
            Err(OperationError::OperationFailure(OperationFailure::Aborted)) => "aborted".to_string(),
            Err(error) => format!("{error:?}"),
        },
        What::NeedConnection(_) | What::Redirected(_) => panic!("{what:?}"),
    }
}

const POLICY: Policy = Policy {
    retry_after: true,
    repeatable: false,
    redirects: 0,
    identity: None,
};

const ALICE: &str = "<sip:alice@example.com>;tag=alice";
const BOB: &str = "<sip:bob@example.com>";

fn request(method: Method) -> Request {
    let draft = Draft {
        method,
        uri: "sip:bob@example.com".into(),
        route: Vec::new(),
        parties: Parties::new(ALICE, BOB, "call"),
        sequence: Sequence::Fixed(1),
        contact: Some(ContactTemplate::default()),
        expires: None,
        block: HeaderBlock::default(),
        extra: Vec::new(),
        content: None,
    };
    let owner = Owner::Message(EndpointId::from_number(ENDPOINT), OperationId::from_number(1));
    Request {
        draft,
        lease: None,
        owner,
        policy: POLICY,
    }
}

fn register() -> Request {
    let mut request = request(Method::Register);
    request.draft.expires = Some(600);
    request.policy = Policy {
        repeatable: true,
        redirects: 3,
        ..POLICY
    };
    request
}

/// An endpoint with credentials for `example.com`.
fn authenticated(bench: &mut Bench, request: Request) -> Request {
    let mut credentials = Credentials::new("alice", Secret::new("secret"));
    credentials.realm = Some("example.com".into());
    let endpoint = EndpointId::from_number(ENDPOINT);
    let login = Login {
        credentials: vec![credentials],
        default_credential: false,
        allowed: AllowedProtocols::all(),
        policy: AssociationPolicy::default(),
        epid: "01".into(),
    };
    bench.auth.insert(endpoint, login);
    authenticated_as(request)
}

/// A request of that endpoint.
fn authenticated_as(mut request: Request) -> Request {
    request.policy.identity = Some(EndpointId::from_number(ENDPOINT));
    request
}

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"example.com\",nonce=\"one\",qop=\"auth\",algorithm=SHA-256\r\n";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn branch(message: &Message) -> String {
    message.via_top().unwrap().branch().unwrap().to_string()
}

// rules: C36
#[test]
fn requests_wait_for_their_connection_and_are_written_in_order() {
    let mut bench = Bench::new();
    bench.connects = false;
    // All over the one connection that is being made.
    bench.services.config.pool_size = 1;
    let manager = bench.manager;
    bench.connections.set_pool_size(manager, 1).unwrap();
    let counter = bench.exchanges.new_sequence(&mut bench.services.cx(), 7);
    let ids: Vec<ExchangeId> = (0..4)
        .map(|_| {
            let mut request = request(Method::Message);
            request.draft.sequence = Sequence::Counter(counter);
            bench.start(request)
        })
        .collect();
    assert_eq!(bench.wanted.len(), 1);
    assert_eq!(bench.taken.len(), 0);
    assert!(
        bench.connections.transmit(bench.wanted[0].0).next().is_none(),
        "nothing is written before it is ready"
    );
    bench.connect(bench.wanted[0].0);
    let numbers: Vec<u32> = bench
        .sent(&Method::Message)
        .iter()
        .map(|sent| sent.cseq().unwrap().number)
        .collect();
    assert_eq!(numbers, [7, 8, 9, 10]);
    // Via and Contact are those of the connection.
    let via = bench.last().via_top().unwrap();
    assert_eq!(
        (via.host.to_string().as_str(), via.port),
        ("192.0.2.100", Some(40_000))
    );
    let contact = bench.last().raw(HeaderName::Contact).unwrap();
    assert_eq!(contact, b"<sip:192.0.2.100:40000;transport=tcp>");
    for (conn, request) in bench.taken.clone() {
        bench.respond(conn, &request, "200 OK", "");
    }
    for id in ids {
        assert_eq!(bench.story(id), ["ok 200"]);
    }
    bench.exchanges.drop_sequence(counter);
    bench.assert_quiescent();
}

#[test]
fn a_connection_that_cannot_be_made_fails_what_waits_for_it() {
    let mut bench = Bench::new();
    bench.connects = false;
    let id = bench.start(request(Method::Message));
    bench.close(bench.wanted[0].0);
    assert_eq!(bench.story(id), ["unreachable"]);
    bench.assert_quiescent();
}

// rules: A1, A8
#[test]
fn a_challenge_is_answered_with_the_next_cseq_and_a_new_branch() {
    for method in [Method::Register, Method::Message, Method::Invite] {
        let mut bench = Bench::new();
        let asked = request(method.clone());
        let asked = authenticated(&mut bench, asked);
        let id = bench.start(asked);
        bench.answer("401 Unauthorized", CHALLENGE);
        let sent = bench.sent(&method);
        let [first, second] = sent[..] else {
            panic!("{}", sent.len())
        };
        assert!(first.raw(HeaderName::Authorization).is_none());
        let authorization = String::from_utf8_lossy(second.raw(HeaderName::Authorization).unwrap());
        assert!(authorization.contains("nonce=\"one\"") && authorization.contains("username=\"alice\""));
        assert_eq!(second.cseq().unwrap().number, first.cseq().unwrap().number + 1);
        assert_ne!(branch(first), branch(second));
        assert_eq!(first.call_id(), second.call_id());
        assert_eq!(first.raw(HeaderName::From), second.raw(HeaderName::From));
        assert_eq!(first.raw(HeaderName::To), second.raw(HeaderName::To));
        assert_eq!(bench.wanted.len(), 1, "over the same connection");
        // The ACK to the challenge has been taken in between.
        let conn = bench.wanted[0].0;
        let second = second.clone();
        bench.respond(conn, &second, "200 OK", "");
        assert_eq!(bench.story(id), ["ok 200"]);
        bench.assert_quiescent();
    }
}

// rules: A7
#[test]
fn a_wrong_password_is_tried_once() {
    let mut bench = Bench::new();
    let asked = authenticated(&mut bench, register());
    let id = bench.start(asked);
    bench.answer("401 Unauthorized", CHALLENGE);
    bench.answer("401 Unauthorized", &CHALLENGE.replace("one", "two"));
    assert_eq!(bench.sent(&Method::Register).len(), 2);
    assert_eq!(
        bench.story(id),
        [format!(
            "{:?} 401",
            AuthenticationFailureReason::InvalidCredentials
        )]
    );
    bench.assert_quiescent();
}

// rules: A8
#[test]
fn a_stale_nonce_is_no_wrong_password() {
    let mut bench = Bench::new();
    let asked = authenticated(&mut bench, register());
    let id = bench.start(asked);
    bench.answer("401 Unauthorized", CHALLENGE);
    let stale = CHALLENGE
        .replace("one", "two")
        .replace("algorithm", "stale=true,algorithm");
    bench.answer("401 Unauthorized", &stale);
    bench.answer("200 OK", "");
    assert_eq!(bench.sent(&Method::Register).len(), 3);
    assert_eq!(bench.story(id), ["ok 200"]);
    bench.assert_quiescent();
}

const NTLM: &str = "WWW-Authenticate: NTLM realm=\"r\", targetname=\"fe.example.com\", version=4\r\n";

/// A REGISTER that was challenged by NTLM, a MESSAGE that was, too, and one that has come after.
fn handshake(bench: &mut Bench) -> [ExchangeId; 3] {
    handshake_of(bench, register())
}

/// The same with another leader.
fn handshake_of(bench: &mut Bench, leader: Request) -> [ExchangeId; 3] {
    let mut login = |request| {
        let request = authenticated(bench, request);
        let endpoint = request.policy.identity.unwrap();
        bench.auth.insert(
            endpoint,
            Login {
                credentials: vec![Credentials::new("alice", Secret::new("secret"))],
                default_credential: false,
                allowed: AllowedProtocols::all(),
                policy: AssociationPolicy {
                    without_tls: true,
                    ..AssociationPolicy::default()
                },
                epid: "01".into(),
            },
        );
        request
    };
    let requests = [
        login(leader),
        login(request(Method::Message)),
        login(request(Method::Message)),
    ];
    let [leader, other, later] = requests;
    let [leader, other] = [leader, other].map(|request| bench.start(request));
    let (conn, challenged) = (*bench.streams.keys().last().unwrap(), bench.taken.clone());
    for (_, request) in &challenged {
        bench.respond(conn, request, "401 Unauthorized", NTLM);
    }
    [leader, other, bench.start(later)]
}

// rules: A3
#[test]
fn ntlm_goes_over_tls_alone_unless_the_endpoint_wants_it_otherwise() {
    let mut bench = Bench::new();
    let asked = authenticated(&mut bench, register());
    let login = Login {
        credentials: vec![Credentials::new("alice", Secret::new("secret"))],
        default_credential: false,
        allowed: AllowedProtocols::all(),
        policy: AssociationPolicy::default(),
        epid: "01".into(),
    };
    bench.auth.insert(asked.policy.identity.unwrap(), login);
    let id = bench.start(asked);
    bench.answer("401 Unauthorized", NTLM);
    assert_eq!(bench.sent(&Method::Register).len(), 1, "this is TCP");
    assert_eq!(bench.story(id), ["NoCommonProtocols 401"]);
}

// rules: A5
#[test]
fn while_a_handshake_is_under_way_the_others_wait_and_they_fail_as_it_does() {
    let mut bench = Bench::new();
    let [leader, other, later] = handshake(&mut bench);
    assert_eq!(bench.sent(&Method::Register).len(), 2, "with an empty token");
    assert_eq!(bench.sent(&Method::Message).len(), 1);
    // The server does not go on.
    bench.answer("401 Unauthorized", NTLM);
    for id in [leader, other, later] {
        assert_eq!(
            bench.story(id),
            [format!(
                "{:?} 401",
                AuthenticationFailureReason::NoCommonProtocols
            )]
        );
    }
    assert_eq!(
        bench.sent(&Method::Message).len(),
        1,
        "they do not try what has failed"
    );
    bench.assert_quiescent();
}

// rules: A5
#[test]
fn what_has_waited_for_a_handshake_goes_out_when_it_is_over() {
    let mut bench = Bench::new();
    let [leader, other, later] = handshake(&mut bench);
    // The server is content with what it has.
    bench.answer("200 OK", "");
    assert_eq!(bench.story(leader), ["ok 200"]);
    let again: Vec<Message> = bench
        .sent(&Method::Message)
        .into_iter()
        .skip(1)
        .cloned()
        .collect();
    assert_eq!(again.len(), 2);
    let conn = *bench.streams.keys().last().unwrap();
    for request in &again {
        bench.respond(conn, request, "200 OK", "");
    }
    for id in [other, later] {
        assert_eq!(bench.story(id), ["ok 200"]);
    }
    bench.assert_quiescent();
    // Nobody waits for who leads no more.
    let mut bench = Bench::new();
    let [leader, other, _] = handshake(&mut bench);
    bench.pass(bench.services.config.t1.saturating_mul(64));
    assert_eq!((bench.outcomes(leader), bench.outcomes(other)), (1, 0));
    assert_eq!(bench.sent(&Method::Message).len(), 3);
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.outcomes(other), 1);
    bench.assert_quiescent();
}

// An INVITE with a provisional response waits for its answer without end (RFC 3261 section 17.1.1.2).
// rules: A5
#[test]
fn a_leader_that_never_hears_the_end_holds_up_others_no_longer_than_an_answer_would() {
    let mut bench = Bench::new();
    let [leader, other, later] = handshake_of(&mut bench, request(Method::Invite));
    let invites = bench.sent(&Method::Invite).len();
    assert_eq!(invites, 2, "with an empty token");
    bench.answer("100 Trying", "");
    let longest = bench.services.config.t1.saturating_mul(64);
    bench.pass(longest - Duration::from_micros(1));
    assert_eq!(bench.sent(&Method::Message).len(), 1);
    bench.pass(Duration::from_micros(1));
    // Who has waited for so long is told, and the next one is let go.
    assert_eq!(bench.story(other), ["timeout"]);
    assert_eq!((bench.outcomes(leader), bench.outcomes(later)), (0, 0));
    assert_eq!(bench.sent(&Method::Message).len(), 2);
}

// rules: A5, C35
#[test]
fn a_handshake_that_is_cut_off_holds_up_nobody() {
    let mut bench = Bench::new();
    let [_, other, later] = handshake(&mut bench);
    let led = |(_, request): &&(ConnId, Message)| request.method() == Some(&Method::Register);
    let (conn, _) = bench.taken.iter().rev().find(led).cloned().unwrap();
    bench.close(conn);
    // Nobody waits for an answer to who has led it, who is on the way again like them.
    assert_eq!(bench.sent(&Method::Register).len(), 3);
    assert_eq!(bench.sent(&Method::Message).len(), 3);
    bench.pass(Duration::from_secs(100));
    assert_eq!((bench.outcomes(other), bench.outcomes(later)), (1, 1));
    bench.assert_quiescent();
}

// rules: A5
#[test]
fn who_leads_a_handshake_and_is_not_sent_again_holds_up_nobody() {
    let mut bench = Bench::new();
    let [leader, other, later] = handshake(&mut bench);
    bench.exchanges.repeat_no_more(leader);
    bench.answer("401 Unauthorized", NTLM);
    assert_eq!(bench.story(leader), ["failed 401"]);
    assert_eq!(bench.sent(&Method::Register).len(), 2);
    let again: Vec<Message> = bench
        .sent(&Method::Message)
        .into_iter()
        .skip(1)
        .cloned()
        .collect();
    assert_eq!(again.len(), 2, "both that have waited");
    let conn = *bench.streams.keys().last().unwrap();
    for request in &again {
        bench.respond(conn, request, "200 OK", "");
    }
    for id in [other, later] {
        assert_eq!(bench.story(id), ["ok 200"]);
    }
    bench.assert_quiescent();
}

// rules: A10
#[test]
fn without_an_identity_the_challenge_is_the_outcome() {
    let mut bench = Bench::new();
    let id = bench.start(request(Method::Message));
    bench.answer("401 Unauthorized", CHALLENGE);
    assert_eq!(
        (bench.story(id), bench.taken.len()),
        (vec!["failed 401".to_string()], 1)
    );
    bench.assert_quiescent();
}

// rules: R10
#[test]
fn an_interval_too_brief_is_raised_to_what_the_server_takes() {
    let mut bench = Bench::new();
    let id = bench.start(register());
    bench.answer("423 Interval Too Brief", "Min-Expires: 1800\r\n");
    assert_eq!(bench.last().raw(HeaderName::Expires), Some(&b"1800"[..]));
    assert_eq!(bench.last().cseq().unwrap().number, 2);
    bench.answer("200 OK", "");
    assert_eq!(bench.story(id), ["ok 200"]);
    bench.assert_quiescent();
}

// rules: R10
#[test]
fn a_server_that_talks_nonsense_about_intervals_ends_the_request() {
    // Not more than was asked for, nothing, or no number.
    for headers in [
        "Min-Expires: 600\r\n",
        "Min-Expires: 5\r\n",
        "",
        "Min-Expires: never\r\n",
    ] {
        let mut bench = Bench::new();
        let id = bench.start(register());
        bench.answer("423 Interval Too Brief", headers);
        assert_eq!(
            (bench.story(id), bench.taken.len()),
            (vec!["failed 423".to_string()], 1),
            "{headers}"
        );
        bench.assert_quiescent();
    }
    // Always more: bounded by the limit of attempts.
    let mut bench = Bench::new();
    let id = bench.start(register());
    for more in 1.. {
        bench.answer(
            "423 Interval Too Brief",
            &format!("Min-Expires: {}\r\n", 600 + more),
        );
        if !bench.story(id).is_empty() {
            break;
        }
    }
    assert_eq!(bench.taken.len(), bench.services.config.limits.attempts);
    assert_eq!(bench.story(id), ["failed 423"]);
    bench.assert_quiescent();
    // R16: who unregisters does not register for longer instead.
    let mut bench = Bench::new();
    let mut leave = register();
    leave.draft.expires = Some(0);
    let id = bench.start(leave);
    bench.answer("423 Interval Too Brief", "Min-Expires: 60\r\n");
    assert_eq!(bench.story(id), ["failed 423"]);
    bench.assert_quiescent();
}

// rules: X7, C31
#[test]
fn what_the_limit_of_attempts_ends_is_counted_and_what_ends_without_it_is_not() {
    let too_brief = ("423 Interval Too Brief", "Min-Expires: 1800\r\n");
    let moved = (
        "302 Moved Temporarily",
        "Contact: <sip:other.example.com:5070>\r\n",
    );
    let follows = |redirects| {
        let mut asked = register();
        asked.policy.redirects = redirects;
        asked
    };
    for (asked, (status, headers), counted) in [
        (follows(3), too_brief, 1),
        (follows(3), moved, 1),
        // Who follows none has its answer, as with any other failure.
        (follows(0), moved, 0),
        (follows(3), ("401 Unauthorized", CHALLENGE), 1),
        (follows(3), ("407 Proxy Authentication Required", ""), 1),
        (
            request(Method::Invite),
            ("422 Session Interval Too Small", "Min-SE: 90\r\n"),
            1,
        ),
        (follows(3), ("403 Forbidden", ""), 0),
        (follows(3), ("421 Extension Required", ""), 0),
    ] {
        let mut bench = Bench::new();
        bench.services.config.limits.attempts = 1;
        let asked = authenticated(&mut bench, asked);
        let id = bench.start(asked);
        bench.answer(status, headers);
        assert_eq!(bench.story(id), [format!("failed {}", &status[..3])]);
        let sent = bench.taken.len() - bench.sent(&Method::Ack).len();
        assert_eq!((sent, bench.redirected.len()), (1, 0), "{status}");
        assert_eq!(bench.services.counters.refusals.attempts, counted, "{status}");
    }
    // One attempt below the limit nothing is refused.
    let mut bench = Bench::new();
    bench.services.config.limits.attempts = 2;
    bench.start(register());
    bench.answer(too_brief.0, too_brief.1);
    assert_eq!(bench.taken.len(), 2);
    assert_eq!(bench.services.counters.refusals.attempts, 0);
    // What is given up, or is not sent again whatever is answered, ends by that.
    for given_up in [true, false] {
        let mut bench = Bench::new();
        bench.services.config.limits.attempts = 1;
        let asked = authenticated(&mut bench, request(Method::Invite));
        let id = bench.start(asked);
        if given_up {
            bench.cancel(id);
        } else {
            bench.exchanges.repeat_no_more(id);
        }
        bench.answer("401 Unauthorized", CHALLENGE);
        assert_eq!(bench.story(id), ["failed 401"]);
        assert_eq!(bench.services.counters.refusals.attempts, 0);
    }
}

// rules: R9
#[test]
fn a_redirected_register_is_followed_as_often_as_allowed() {
    for allowed in 0..=4_u8 {
        let mut bench = Bench::new();
        let mut asked = register();
        asked.policy.redirects = allowed;
        let id = bench.start(asked);
        for _ in 0..=allowed {
            assert!(bench.story(id).is_empty());
            // The first Contact of the response counts; the last header field is that of the harness.
            bench.answer(
                "302 Moved Temporarily",
                "Contact: <sip:other.example.com:5070;transport=tcp>\r\n",
            );
        }
        assert_eq!(bench.story(id), ["failed 302"]);
        assert_eq!(bench.taken.len(), usize::from(allowed) + 1);
        assert_eq!(
            bench.redirected,
            vec!["sip:other.example.com:5070;transport=tcp"; usize::from(allowed)]
        );
        bench.assert_quiescent();
    }
}

// rules: R9
#[test]
fn a_register_is_redirected_to_the_first_server_that_is_named() {
    let mut bench = Bench::new();
    bench.start(register());
    bench.answer(
        "302 Moved Temporarily",
        "Contact: <tel:+15550100>, <mailto:a@example.com>, <sip:other.example.com:5070>\r\n",
    );
    assert_eq!(bench.redirected, ["sip:other.example.com:5070"]);
}

// rules: E12
#[test]
fn retry_after_is_waited_for_once_and_exactly() {
    for status in [
        "503 Service Unavailable",
        "500 Server Internal Error",
        "480 Temporarily Unavailable",
    ] {
        let mut bench = Bench::new();
        let id = bench.start(request(Method::Message));
        let begun = bench.services.now;
        bench.answer(status, "Retry-After: 30\r\n");
        bench.until(begun + Duration::from_secs(30) - Duration::from_micros(1));
        assert_eq!((bench.taken.len(), bench.story(id).len()), (1, 0), "{status}");
        bench.until(begun + Duration::from_secs(30));
        assert_eq!(bench.taken.len(), 2, "{status}");
        assert_eq!(bench.last().cseq().unwrap().number, 2);
        bench.answer(status, "Retry-After: 30\r\n");
        assert_eq!(bench.story(id), [format!("failed {}", &status[..3])]);
        bench.assert_quiescent();
    }
}

// rules: E12
#[test]
fn retry_after_has_a_cap_and_can_be_turned_off() {
    for (seconds, retries, waits) in [(300, true, true), (301, true, false), (30, false, false)] {
        let mut bench = Bench::new();
        let mut asked = request(Method::Message);
        asked.policy.retry_after = retries;
        let id = bench.start(asked);
        bench.answer("503 Service Unavailable", &format!("Retry-After: {seconds}\r\n"));
        assert_eq!(bench.story(id).is_empty(), waits, "{seconds}");
        if waits {
            bench.pass(Duration::from_secs(seconds));
            bench.answer("200 OK", "");
            assert_eq!(bench.story(id), ["ok 200"]);
        }
        bench.assert_quiescent();
    }
}

// rules: E12, C25
#[test]
fn what_waits_for_retry_after_is_sent_over_a_new_connection_where_its_own_is_gone() {
    let mut bench = Bench::new();
    let id = bench.start(request(Method::Message));
    bench.answer("503 Service Unavailable", "Retry-After: 30\r\n");
    bench.close(bench.wanted[0].0);
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.wanted.len(), 2);
    assert_eq!(
        bench.asked.last(),
        Some(&vec![]),
        "the server asked to be tried again"
    );
    bench.answer("200 OK", "");
    assert_eq!(bench.story(id), ["ok 200"]);
    bench.assert_quiescent();
}

// rules: E12, R18
#[test]
fn a_503_goes_to_the_next_target_before_retry_after_is_waited_for() {
    let mut bench = Bench::of_domain();
    let id = bench.start(request(Method::Message));
    assert_eq!(bench.wanted[0].1, address("192.0.2.11:5060"));
    bench.answer("503 Service Unavailable", "Retry-After: 30\r\n");
    assert_eq!(bench.asked, [vec![], vec![address("192.0.2.11:5060")]]);
    assert_eq!(bench.wanted[1].1, address("192.0.2.12:5060"));
    let sent = bench.sent(&Method::Message);
    assert_eq!(sent.len(), 2);
    assert_ne!(branch(sent[0]), branch(sent[1]));
    // Both have failed: now it waits, and is not sent before.
    let begun = bench.services.now;
    bench.answer("503 Service Unavailable", "Retry-After: 30\r\n");
    assert!(bench.story(id).is_empty());
    bench.until(begun + Duration::from_secs(30) - Duration::from_micros(1));
    assert_eq!(bench.taken.len(), 2);
    bench.until(begun + Duration::from_secs(30));
    assert_eq!(bench.taken.len(), 3);
    bench.answer("200 OK", "");
    assert_eq!(bench.story(id), ["ok 200"]);
    bench.assert_quiescent();
}

// rules: C6, C25, R18
#[test]
fn only_the_register_of_a_sip_endpoint_leaves_its_server_for_another() {
    let endpoint = EndpointId::from_number(ENDPOINT);
    let other = Owner::Message(endpoint, OperationId::from_number(1));
    for (owner, of_sip_endpoint, moves) in [
        (Owner::Registration(endpoint), true, true),
        (other, true, false),
        // It asks whether this server is there (R19).
        (Owner::Probe(endpoint), true, false),
        (Owner::Probe(endpoint), false, false),
        (other, false, true),
    ] {
        let mut bench = Bench::of_domain();
        let mut asked = request(Method::Options);
        if of_sip_endpoint {
            asked = authenticated(&mut bench, asked);
        }
        asked.owner = owner;
        let id = bench.start(asked);
        bench.answer("503 Service Unavailable", "");
        assert_eq!(
            bench.wanted.len(),
            1 + usize::from(moves),
            "{owner:?} {of_sip_endpoint}"
        );
        assert_eq!(bench.outcomes(id), usize::from(!moves));
    }
}

// Three handshakes are for a server that challenges for ever. One that follows another has done nothing yet, and where there is
// no ticket there was no handshake.
// rules: A5, A7, R18
#[test]
fn each_target_may_ask_for_handshakes_of_its_own_and_a_ticket_that_is_not_given_is_none() {
    let both = format!(
        "{}{NTLM}",
        NTLM.replace("NTLM", "Kerberos").replace("fe.", "sip/fe.")
    );
    for (servers, challenge) in [(4, NTLM), (3, both.as_str())] {
        let mut bench = Bench::of_domain();
        bench.servers = servers;
        let mut asked = authenticated(&mut bench, register());
        asked.owner = Owner::Registration(EndpointId::from_number(ENDPOINT));
        let login = Login {
            credentials: vec![Credentials::new("alice", Secret::new("secret"))],
            default_credential: false,
            allowed: AllowedProtocols::all(),
            policy: AssociationPolicy {
                without_tls: true,
                ..AssociationPolicy::default()
            },
            epid: "01".into(),
        };
        bench.auth.insert(EndpointId::from_number(ENDPOINT), login);
        let id = bench.start(asked);
        for server in 1..=servers {
            bench.answer("401 Unauthorized", challenge);
            for Authenticate {
                endpoint, handshake, ..
            } in core::mem::take(&mut bench.contexts)
            {
                let none = Err(KerberosFailure::new(KerberosFailureKind::Unreachable));
                bench.go(|exchanges, cx, low, up| {
                    exchanges.handle_authenticated(cx, low, (endpoint, handshake), none, up);
                });
                bench.settle();
            }
            assert!(
                bench.story(id).is_empty(),
                "server {server}: {:?}",
                bench.story(id)
            );
            assert_eq!(bench.sent(&Method::Register).len(), 2 * usize::from(server));
            bench.answer("503 Service Unavailable", "");
        }
        assert_eq!(bench.story(id), ["failed 503"]);
    }
}

// rules: C25, R18
#[test]
fn a_target_that_has_refused_a_request_goes_last_for_ten_minutes() {
    let hold = Duration::from_secs(600);
    for (later, expected) in [
        (hold - Duration::from_micros(1), "192.0.2.12:5060"),
        (hold, "192.0.2.11:5060"),
    ] {
        let mut bench = Bench::of_domain();
        bench.start(request(Method::Message));
        let refused = bench.services.now;
        bench.answer("503 Service Unavailable", "");
        bench.answer("200 OK", "");
        // By then nobody uses their connections any more.
        bench.until(refused + later);
        bench.start(request(Method::Message));
        let (_, target) = bench.wanted.last().unwrap();
        assert_eq!(*target, address(expected));
    }
}

// rules: R18, X3
#[test]
fn a_request_without_answer_goes_on_only_where_it_may_be_repeated() {
    let timeout = Duration::from_secs(32);
    let mut bench = Bench::of_domain();
    let id = bench.start(request(Method::Message));
    bench.pass(timeout - Duration::from_micros(1));
    assert!(bench.story(id).is_empty());
    bench.pass(Duration::from_micros(1));
    assert_eq!(
        (bench.story(id), bench.taken.len()),
        (vec!["timeout".to_string()], 1)
    );
    bench.assert_quiescent();

    let mut bench = Bench::of_domain();
    let id = bench.start(register());
    bench.pass(timeout);
    assert_eq!(bench.wanted[1].1, address("192.0.2.12:5060"));
    bench.pass(timeout);
    assert_eq!(
        (bench.story(id), bench.taken.len()),
        (vec!["timeout".to_string()], 2)
    );
    bench.assert_quiescent();
}

// rules: C25, R18
#[test]
fn every_target_is_tried_however_many_there_are_and_the_limit_of_targets_is_one_of_its_own() {
    for (targets, expected) in [(64, 12), (12, 12), (11, 11)] {
        let mut bench = Bench::of_domain();
        bench.servers = 12;
        // Fewer than there are servers: it is about what one target asks for again.
        bench.services.config.limits.attempts = 2;
        bench.services.config.limits.targets = targets;
        let id = bench.start(register());
        for number in 0..expected {
            assert!(bench.story(id).is_empty(), "after {number} of {expected}");
            let min = format!("Min-Expires: {}\r\n", 1000 + number);
            bench.answer("423 Interval Too Brief", &min);
            bench.answer("503 Service Unavailable", "");
        }
        assert_eq!(bench.story(id), ["failed 503"]);
        let tried: Vec<SocketAddr> = bench.wanted.iter().map(|(_, remote)| *remote).collect();
        let all: Vec<SocketAddr> = (0..expected)
            .map(|number| address(&format!("192.0.2.{}:5060", 11 + number)))
            .collect();
        assert_eq!(tried, all);
        assert_eq!(bench.sent(&Method::Register).len(), 2 * all.len());
        let cut = u64::from(expected < 12);
        assert_eq!(bench.services.counters.refusals.targets, cut);
        assert_eq!(bench.services.counters.refusals.attempts, 0);
        bench.assert_quiescent();
    }
}

// rules: C25, C35
#[test]
fn when_the_fresh_connection_is_lost_too_the_next_target_is_tried() {
    let mut bench = Bench::of_domain();
    bench.servers = 3;
    let id = bench.start(register());
    // To the first again, whose connection may have been an old one; then on, until one stays.
    for last in [11, 11, 12, 13] {
        let (conn, remote) = *bench.wanted.last().unwrap();
        assert_eq!(remote, address(&format!("192.0.2.{last}:5060")));
        assert!(bench.story(id).is_empty());
        bench.close(conn);
    }
    assert_eq!(
        (bench.story(id), bench.wanted.len()),
        (vec!["lost".to_string()], 4)
    );
    bench.assert_quiescent();
}

/// So many requests that wait for one connection.
fn crowd(bench: &mut Bench, count: usize) -> Vec<ExchangeId> {
    bench.connects = false;
    let manager = bench.manager;
    bench.connections.set_pool_size(manager, 1).unwrap();
    let ids = (0..count)
        .map(|_| bench.start(request(Method::Message)))
        .collect();
    assert_eq!(bench.wanted.len(), 1);
    ids
}

fn queued(bench: &Bench, conn: ConnId) -> usize {
    bench.connections.transmit(conn).map(Bytes::len).sum()
}

// rules: C30
#[test]
fn those_who_wait_for_a_connection_do_not_overrun_its_queue() {
    let mut bench = Bench::new();
    bench.services.config.limits.send_queue = 4000;
    bench.takes = false;
    let ids = crowd(&mut bench, 40);
    let conn = bench.wanted[0].0;
    bench.connect(conn);
    let mut rounds = 0;
    while queued(&bench, conn) > 0 {
        // More than half of what may wait, but for the last round, and never more than may.
        assert!(queued(&bench, conn) <= 4000);
        assert!(queued(&bench, conn) > 2000 || bench.taken.len() > 30);
        // A part makes no room yet.
        bench.take(conn, 1);
        bench.take(conn, usize::MAX);
        rounds += 1;
    }
    assert!(rounds > 3);
    assert_eq!((bench.taken.len(), bench.wanted.len()), (40, 1));
    for (conn, request) in bench.taken.clone() {
        bench.respond(conn, &request, "200 OK", "");
    }
    for id in ids {
        assert_eq!(bench.story(id), ["ok 200"]);
    }
    bench.assert_quiescent();
}

// rules: C30, X3
#[test]
fn a_peer_that_makes_no_room_for_those_who_wait_is_given_up() {
    let mut bench = Bench::new();
    bench.services.config.limits.send_queue = 4000;
    bench.takes = false;
    let ids = crowd(&mut bench, 40);
    let conn = bench.wanted[0].0;
    bench.connect(conn);
    // One byte is not enough, though it says that the peer is there (R19).
    bench.pass(Duration::from_secs(20));
    bench.take(conn, 1);
    bench.pass(Duration::from_secs(12) - Duration::from_micros(1));
    assert!(bench.connections.is_ready(conn));
    bench.pass(Duration::from_micros(1));
    assert!(!bench.connections.is_usable(conn));
    // The first request has left in part; of the others that were written each had its 32 s; the rest go over a fresh one.
    assert_eq!(bench.wanted.len(), 2);
    assert_eq!(bench.story(*ids.last().unwrap()), [""; 0]);
    bench.takes = true;
    let fresh = bench.wanted[1].0;
    bench.connect(fresh);
    bench.take(fresh, usize::MAX);
    bench.answer("200 OK", "");
    assert_eq!(bench.story(*ids.last().unwrap()), ["ok 200"]);
    for id in ids {
        bench.pass(Duration::from_secs(33));
        assert_eq!(bench.outcomes(id), 1);
    }
    bench.assert_quiescent();
}

// rules: C30
#[test]
fn a_crowd_is_written_in_slices_resumed_by_a_deadline_of_now() {
    let mut bench = Bench::new();
    let count = 2 * SLICE + 1;
    crowd(&mut bench, count);
    let conn = bench.wanted[0].0;
    let established = Established {
        local: "192.0.2.100:40000".parse().unwrap(),
        remote: bench.remote(conn),
        peer: None,
    };
    bench
        .connections
        .handle_connected(&mut bench.services.cx(), conn, established);
    bench.settle();
    let now = bench.services.now;
    for written in [SLICE, 2 * SLICE, count] {
        assert_eq!(bench.sent(&Method::Message).len(), written);
        let due = bench.services.timers.pop_due(now);
        assert_eq!(due, (written < count).then_some((now, TimerKey::Waiting(conn))));
        bench.go(|exchanges, cx, low, up| exchanges.handle_waiting_timer(cx, low, conn, up));
        bench.settle();
    }
    assert!(bench.exchanges.waiting.is_empty());
}

// rules: C25
#[test]
fn a_crowd_is_told_in_slices_that_its_connection_could_not_be_made_or_is_gone() {
    let error = OperationError::ConnectionFailure(ConnectionFailure::NotConnected);
    let count = 2 * SLICE + 1;
    let mut bench = Bench::new();
    let ids = crowd(&mut bench, count);
    let conn = bench.wanted[0].0;
    for told in [SLICE, 2 * SLICE, count] {
        let more = bench.go(|exchanges, cx, low, up| exchanges.handle_failed(cx, low, conn, &error, up));
        assert_eq!((more, bench.up.len()), (told < count, told));
    }
    assert!(bench.exchanges.waiting.is_empty() && bench.exchanges.len() == 0);
    drop(ids);

    // BENOTIFYs wait for their last byte; the others to be written.
    let mut bench = Bench::new();
    bench.takes = false;
    bench.connections.set_pool_size(bench.manager, 1).unwrap();
    for _ in 0..count {
        bench.start(request(Method::Benotify));
    }
    let conn = bench.wanted[0].0;
    let lost = Lost {
        error: &error,
        taken: u64::MAX,
        target: None,
    };
    for told in [SLICE, 2 * SLICE, count] {
        let more = bench.go(|exchanges, cx, low, up| exchanges.handle_lost(cx, low, conn, &lost, up));
        assert_eq!((more, bench.up.len()), (told < count, told));
    }

    // A slice is one of both together: of 300 here, 100 are written and wait for their last byte.
    let mut bench = Bench::new();
    bench.takes = false;
    bench.connects = false;
    bench.connections.set_pool_size(bench.manager, 1).unwrap();
    for place in 0..SLICE + 200 {
        let method = if place < 100 {
            Method::Benotify
        } else {
            Method::Message
        };
        bench.start(request(method));
    }
    let conn = bench.wanted[0].0;
    bench.connect(conn);
    for told in [SLICE, 300] {
        let more = bench.go(|exchanges, cx, low, up| exchanges.handle_lost(cx, low, conn, &lost, up));
        assert_eq!((more, bench.up.len()), (told < 300, told));
    }
}

// rules: C24
#[test]
fn who_begins_in_the_moment_of_a_free_place_does_not_take_it_from_who_waits() {
    let mut bench = Bench::new();
    bench.services.config.limits.outstanding = 1;
    let config = ManagerConfig::new(ManagerKind::Client);
    bench.manager = bench
        .connections
        .add_manager(&mut bench.services.cx(), config)
        .unwrap();
    let (manager, hop) = (bench.manager, bench.hop.clone());
    let lease = bench
        .connections
        .acquire(&mut bench.services.cx(), manager, &hop, &[])
        .unwrap();
    bench.settle();
    let ask = |bench: &mut Bench, call_id: &str| {
        let mut asked = authenticated(bench, request(Method::Message));
        asked.draft.parties = Parties::new(ALICE, BOB, call_id);
        asked.lease = bench.connections.share(&mut bench.services.cx(), lease.conn());
        asked
    };
    let asked = ask(&mut bench, "first");
    let first = bench.start(asked);
    let asked = ask(&mut bench, "second");
    bench.start(asked);
    // Before what is held is looked at, a third begins.
    let asked = ask(&mut bench, "third");
    bench.go(|exchanges, cx, low, up| {
        exchanges.uncount(first);
        exchanges.start(cx, low, asked, up);
    });
    bench.settle();
    let order = |bench: &Bench| -> Vec<String> {
        let sent = bench.sent(&Method::Message);
        sent.iter().map(|it| it.call_id().unwrap().to_string()).collect()
    };
    assert_eq!(order(&bench), ["first", "second"]);
    bench.answer("200 OK", "");
    assert_eq!(order(&bench), ["first", "second", "third"]);
    bench.answer("200 OK", "");
    bench.connections.release(&mut bench.services.cx(), lease);
    assert!(bench.exchanges.windows.is_empty());
}

// rules: C35
#[test]
fn a_request_of_which_no_byte_has_left_is_sent_once_more() {
    for method in [Method::Message, Method::Invite, Method::Benotify, Method::Ack] {
        let mut bench = Bench::new();
        bench.takes = false;
        let id = bench.start(request(method.clone()));
        bench.close(bench.wanted[0].0);
        assert!(bench.story(id).is_empty(), "{method:?}");
        assert_eq!(bench.wanted.len(), 2, "a fresh connection");
        bench.close(bench.wanted[1].0);
        assert_eq!(bench.story(id), ["lost"], "{method:?}");
        assert_eq!(bench.wanted.len(), 2);
        bench.assert_quiescent();
    }
}

// rules: C35
#[test]
fn a_request_that_was_sent_once_more_is_delivered_once() {
    let mut bench = Bench::new();
    bench.takes = false;
    let id = bench.start(request(Method::Message));
    bench.close(bench.wanted[0].0);
    bench.takes = true;
    bench.take(bench.wanted[1].0, usize::MAX);
    assert_eq!(bench.taken.len(), 1);
    bench.answer("200 OK", "");
    assert_eq!(bench.story(id), ["ok 200"]);
    bench.assert_quiescent();
}

// rules: C35
#[test]
fn a_request_of_which_a_byte_has_left_is_lost_with_its_connection() {
    for method in [Method::Message, Method::Invite, Method::Benotify, Method::Ack] {
        let mut bench = Bench::new();
        bench.takes = false;
        let id = bench.start(request(method.clone()));
        bench.take(bench.wanted[0].0, 1);
        bench.close(bench.wanted[0].0);
        assert_eq!(
            (bench.story(id), bench.wanted.len()),
            (vec!["lost".to_string()], 1),
            "{method:?}"
        );
        bench.assert_quiescent();
    }
    // What may be repeated safely is, once.
    let mut bench = Bench::new();
    let id = bench.start(register());
    bench.close(bench.wanted[0].0);
    bench.close(bench.wanted[1].0);
    assert_eq!(
        (bench.story(id), bench.wanted.len()),
        (vec!["lost".to_string()], 2)
    );
    bench.assert_quiescent();
}

// rules: C35
#[test]
fn each_request_on_a_lost_connection_is_judged_by_its_own_bytes() {
    let mut bench = Bench::new();
    bench.takes = false;
    let manager = bench.manager;
    bench.connections.set_pool_size(manager, 1).unwrap();
    let first = bench.start(request(Method::Message));
    let length = bench
        .connections
        .transmit(bench.wanted[0].0)
        .map(Bytes::len)
        .sum();
    let second = bench.start(request(Method::Message));
    bench.take(bench.wanted[0].0, length);
    bench.close(bench.wanted[0].0);
    assert_eq!(bench.story(first), ["lost"]);
    assert!(bench.story(second).is_empty());
    bench.take(bench.wanted[1].0, usize::MAX);
    bench.answer("200 OK", "");
    assert_eq!(bench.story(second), ["ok 200"]);
    bench.assert_quiescent();
}

// rules: S3
#[test]
fn an_ack_that_is_written_anew_keeps_the_number_of_its_invite() {
    let mut bench = Bench::new();
    bench.takes = false;
    let mut ack = request(Method::Ack);
    ack.draft.sequence = Sequence::Fixed(41);
    let id = bench.start(ack);
    bench.close(bench.wanted[0].0);
    bench.takes = true;
    bench.take(bench.wanted[1].0, usize::MAX);
    assert_eq!(bench.last().cseq().unwrap().number, 41);
    assert_eq!(bench.story(id), ["taken"]);
    bench.assert_quiescent();
}

// rules: S3, A8
#[test]
fn an_ack_has_the_credentials_that_its_owner_gives_it_and_no_others() {
    // RFC 3261 section 22.1: those of its INVITE, for nobody can challenge it.
    let mut bench = Bench::new();
    let asked = authenticated(&mut bench, request(Method::Invite));
    bench.start(asked);
    bench.answer("401 Unauthorized", CHALLENGE);
    let invite = bench.sent(&Method::Invite)[1].clone();
    let credentials = String::from_utf8(invite.raw(HeaderName::Authorization).unwrap().to_vec()).unwrap();
    let mut ack = authenticated_as(request(Method::Ack));
    ack.draft.block = HeaderBlock::new([("Authorization", &*credentials)]);
    bench.start(ack);
    let ack = bench.last();
    assert_eq!(ack.method(), Some(&Method::Ack));
    let all: Vec<&[u8]> = ack.raw_all(HeaderName::Authorization).collect();
    assert_eq!(all, [credentials.as_bytes()]);
}

// rules: M3
#[test]
fn what_nothing_answers_is_complete_when_it_has_been_taken() {
    for method in [Method::Benotify, Method::Ack] {
        let mut bench = Bench::new();
        bench.takes = false;
        let id = bench.start(request(method.clone()));
        let conn = bench.wanted[0].0;
        let length: usize = bench.connections.transmit(conn).map(Bytes::len).sum();
        bench.take(conn, length - 1);
        assert!(bench.story(id).is_empty(), "{method:?}");
        bench.take(conn, 1);
        assert_eq!(bench.story(id), ["taken"], "{method:?}");
        bench.close(conn);
        assert_eq!(bench.story(id), ["taken"], "{method:?}");
        bench.assert_quiescent();
    }
}

// rules: S10
#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    // RFC 3261 section 9.1; 100 is one.
    for provisional in ["100 Trying", "180 Ringing"] {
        let mut bench = Bench::new();
        let id = bench.start(request(Method::Invite));
        bench.cancel(id);
        assert!(bench.sent(&Method::Cancel).is_empty());
        let invite = bench.last().clone();
        let conn = bench.wanted[0].0;
        bench.respond(conn, &invite, provisional, "");
        let [cancel] = bench.sent(&Method::Cancel)[..] else {
            panic!("one CANCEL")
        };
        let cancel = cancel.clone();
        assert_eq!(branch(&cancel), branch(&invite));
        assert_eq!(cancel.cseq().unwrap().number, invite.cseq().unwrap().number);
        assert_eq!(
            (cancel.request_uri(), cancel.call_id()),
            (invite.request_uri(), invite.call_id())
        );
        for name in [HeaderName::From, HeaderName::To, HeaderName::Via] {
            assert_eq!(cancel.raw(name), invite.raw(name));
        }
        // Further ones and further commands bring no second CANCEL.
        bench.respond(conn, &invite, "180 Ringing", "");
        bench.cancel(id);
        assert_eq!(bench.sent(&Method::Cancel).len(), 1);
        bench.respond(conn, &cancel, "200 OK", "");
        bench.respond(conn, &invite, "487 Request Terminated", "");
        assert_eq!(bench.story(id).last().unwrap(), "failed 487");
        assert_eq!(bench.outcomes(id), 1);
        bench.assert_quiescent();
    }
}

// rules: S10
#[test]
fn a_cancel_goes_out_at_once_after_a_provisional_response() {
    let mut bench = Bench::new();
    let id = bench.start(request(Method::Invite));
    bench.answer("180 Ringing", "");
    bench.cancel(id);
    assert_eq!(bench.sent(&Method::Cancel).len(), 1);
    // RFC 3261 section 9.1: without final response it is over after 64*T1.
    bench.pass(Duration::from_secs(32) - Duration::from_micros(1));
    assert_eq!(bench.story(id), ["180"]);
    bench.pass(Duration::from_micros(1));
    assert_eq!(bench.story(id), ["180", "timeout"]);
    bench.assert_quiescent();
}

// rules: C22, S10
#[test]
fn the_wait_after_a_cancel_begins_anew_while_nothing_is_read() {
    let mut bench = Bench::new();
    bench.services.config.connection_throttle = Some(Throttle { high: 1, low: 1 });
    let id = bench.start(request(Method::Invite));
    let conn = bench.wanted[0].0;
    bench.answer("180 Ringing", "");
    bench.cancel(id);
    let weigh =
        |bench: &mut Bench, count| bench.go(|_, cx, low, _| low.connections.weigh(cx, conn, count, count));
    assert_eq!(weigh(&mut bench, 9), Some(true));
    let bound = Duration::from_secs(32);
    bench.pass(bound);
    assert_eq!(weigh(&mut bench, 0), Some(false));
    bench.pass(bound - Duration::from_micros(1));
    assert_eq!(bench.story(id), ["180"]);
    bench.pass(Duration::from_micros(1));
    assert_eq!(bench.story(id), ["180", "timeout"]);
}

// rules: S10
#[test]
fn a_2xx_overtakes_a_cancel() {
    // The wish, or the CANCEL itself, crosses with the 2xx.
    for provisional in [false, true] {
        let mut bench = Bench::new();
        let id = bench.start(request(Method::Invite));
        let (conn, invite) = bench.taken.last().cloned().unwrap();
        if provisional {
            bench.answer("180 Ringing", "");
        }
        bench.cancel(id);
        bench.respond(conn, &invite, "200 OK", "");
        assert_eq!(bench.story(id).last().unwrap(), "ok 200");
        assert_eq!(bench.outcomes(id), 1);
        let cancels: Vec<Message> = bench.sent(&Method::Cancel).into_iter().cloned().collect();
        assert_eq!(cancels.len(), usize::from(provisional));
        // What the CANCEL is answered is nothing to the INVITE, of which another fork may be heard still (RFC 3261
        // section 9.1, S8).
        let told = bench.story(id).len();
        for cancel in &cancels {
            bench.respond(conn, cancel, "200 OK", "");
        }
        assert_eq!((bench.story(id).len(), bench.exchanges.len()), (told, 1));
        bench.respond_as(conn, &invite, "200 OK", "", "other");
        assert_eq!(bench.story(id)[told..], ["further 200"]);
        bench.assert_quiescent();
    }
}

// rules: S10
#[test]
fn an_invite_that_was_not_sent_is_given_up_at_once() {
    // Its connection is being made; or it waits for Retry-After.
    let mut bench = Bench::new();
    bench.connects = false;
    let id = bench.start(request(Method::Invite));
    bench.cancel(id);
    assert_eq!(bench.story(id), ["aborted"]);
    bench.assert_quiescent();

    let mut bench = Bench::new();
    let id = bench.start(request(Method::Invite));
    bench.answer("503 Service Unavailable", "Retry-After: 30\r\n");
    bench.cancel(id);
    assert_eq!(bench.story(id), ["aborted"]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.sent(&Method::Invite).len(), 1);
    bench.assert_quiescent();

    // A cancelled INVITE is repeated for no reason.
    for (status, headers) in [
        ("503 Service Unavailable", "Retry-After: 30\r\n"),
        ("401 Unauthorized", CHALLENGE),
        ("423 Interval Too Brief", "Min-Expires: 1800\r\n"),
    ] {
        let mut bench = Bench::new();
        let asked = authenticated(&mut bench, request(Method::Invite));
        let id = bench.start(asked);
        let (conn, invite) = bench.taken.last().cloned().unwrap();
        bench.answer("180 Ringing", "");
        bench.cancel(id);
        bench.respond(conn, &invite, status, headers);
        assert_eq!(bench.sent(&Method::Invite).len(), 1);
        assert_eq!(
            bench.story(id),
            ["180".to_string(), format!("failed {}", &status[..3])]
        );
        bench.assert_quiescent();
    }
}

// rules: S8
#[test]
fn further_2xx_are_told_until_the_transaction_ends() {
    let mut bench = Bench::new();
    let id = bench.start(request(Method::Invite));
    let (conn, invite) = bench.taken.last().cloned().unwrap();
    bench.respond_as(conn, &invite, "180 Ringing", "", "one");
    bench.respond_as(conn, &invite, "183 Session Progress", "", "two");
    bench.respond_as(conn, &invite, "200 OK", "", "one");
    bench.respond_as(conn, &invite, "200 OK", "", "two");
    assert_eq!(bench.story(id), ["180", "183", "ok 200", "further 200"]);
    assert_eq!(bench.exchanges.len(), 1);
    // RFC 6026: timer M.
    bench.pass(Duration::from_secs(32));
    assert_eq!(bench.exchanges.len(), 0);
    bench.assert_quiescent();
}

// rules: S8, C31
#[test]
fn a_fork_that_answers_again_takes_no_place_of_another() {
    let mut bench = Bench::new();
    let id = bench.start(request(Method::Invite));
    let (conn, invite) = bench.taken.last().cloned().unwrap();
    bench.respond_as(conn, &invite, "200 OK", "", "one");
    let mut is_new = |tag| bench.go(|exchanges, _, _, _| exchanges.is_new_fork(id, tag, 2));
    assert_eq!([(); 4].map(|()| is_new("one")), [false; 4]);
    for tag in ["two", "three"] {
        assert_eq!([(); 2].map(|()| is_new(tag)), [true, false], "{tag}");
    }
    assert_eq!([(); 2].map(|()| is_new("four")), [true; 2], "above the limit");
}

// rules: X6
#[test]
fn the_counter_of_a_dialog_goes_with_it() {
    let mut bench = Bench::new();
    let counter = bench.go(|exchanges, cx, _, _| exchanges.new_sequence(cx, 1));
    assert_eq!(bench.exchanges.sequences.len(), 1);
    bench.go(|exchanges, _, _, _| exchanges.drop_sequence(counter));
    assert_eq!(bench.exchanges.sequences.len(), 0);
}

// rules: X6
#[test]
fn an_exchange_whose_owner_is_gone_tells_nothing_and_leaves_nothing() {
    type Step = fn(&mut Bench);
    let steps: [Step; 5] = [
        |bench| bench.connects = false,
        |bench| bench.supplies = false,
        |_| {},
        |bench| bench.takes = false,
        |bench| bench.answer("503 Service Unavailable", "Retry-After: 30\r\n"),
    ];
    for (place, step) in steps.into_iter().enumerate() {
        for method in [Method::Message, Method::Benotify] {
            let mut bench = Bench::new();
            if place < 4 {
                step(&mut bench);
            }
            let id = bench.start(request(method.clone()));
            if place == 4 && method == Method::Message {
                step(&mut bench);
            }
            let told = bench.told.len();
            bench.go(|exchanges, cx, low, _| exchanges.abandon(cx, low, id));
            bench.settle();
            assert_eq!(bench.exchanges.len(), 0);
            bench.supplies = true;
            bench.supply(id, &Hop::new("192.0.2.1", Some(5060), Transport::Tcp), &[]);
            bench.settle();
            if let Some((conn, request)) = bench.taken.last().cloned() {
                bench.respond(conn, &request, "200 OK", "");
            }
            bench.takes = true;
            if let Some((conn, _)) = bench.wanted.first().copied() {
                bench
                    .connections
                    .handle_closed(&mut bench.services.cx(), conn, CloseReason::Reset);
                bench.settle();
            }
            assert_eq!(bench.told.len(), told, "{method:?} {place}");
            bench.assert_quiescent();
        }
    }
}

#[test]
fn a_body_is_written_with_its_type_and_every_route_in_its_order() {
    let mut bench = Bench::new();
    let mut asked = request(Method::Message);
    asked.draft.content = Some(Content::text("hello"));
    asked.draft.route = vec![
        "<sip:one.example.com;lr>".into(),
        "<sip:two.example.com;lr>".into(),
    ];
    asked.draft.extra = vec![("Subject".into(), "greeting".into())];
    bench.start(asked);
    assert_eq!(bench.last().body_bytes(), b"hello");
    assert_eq!(
        bench.last().raw(HeaderName::ContentType),
        Some(&b"text/plain;charset=UTF-8"[..])
    );
    let route: Vec<&[u8]> = bench.last().raw_all(HeaderName::Route).collect();
    assert_eq!(
        route,
        [&b"<sip:one.example.com;lr>"[..], &b"<sip:two.example.com;lr>"[..]]
    );
    assert_eq!(
        bench.last().raw_by_name("Subject").collect::<Vec<_>>(),
        [b"greeting"]
    );
    bench.answer("200 OK", "");
    bench.assert_quiescent();
}

#[test]
fn fingerprints_know_nothing_of_names_and_of_when() {
    let print = |before: u64, second: bool| {
        let mut bench = Bench::new();
        for _ in 0..before {
            bench.services.ids.next::<OperationId>();
        }
        bench.services.now = bench.services.now + Duration::from_secs(before);
        bench.services.entropy = crate::entropy::Entropy::new([u8::try_from(before).unwrap(); 32]);
        bench.start(request(Method::Message));
        bench.answer("503 Service Unavailable", "Retry-After: 30\r\n");
        if second {
            bench.start(request(Method::Invite));
        }
        bench.exchanges.fingerprint(bench.services.now)
    };
    assert_eq!(print(0, true), print(77, true));
    assert_ne!(print(0, true), print(0, false));
    assert_eq!(print(0, false)[0].timer, Some(Duration::from_secs(30)));
}

/// What can happen in a run of [`whatever_happens_every_exchange_completes_once`].
#[derive(Clone, Debug)]
enum Happening {
    Start(usize),
    Cancel(usize),
    /// The peer answers a request that it has got, perhaps again.
    Respond(usize, usize),
    Close(usize),
    Connect(usize),
    Take(usize, usize),
    Pass(u64),
    Supplies(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..5_usize).prop_map(Happening::Start),
        1 => (0..8_usize).prop_map(Happening::Cancel),
        6 => (0..16_usize, 0..RESPONSES.len()).prop_map(|(which, what)| Happening::Respond(which, what)),
        1 => (0..8_usize).prop_map(Happening::Close),
        3 => (0..8_usize).prop_map(Happening::Connect),
        3 => (0..8_usize, 0..1500_usize).prop_map(|(which, count)| Happening::Take(which, count)),
        2 => (0..40_000_u64).prop_map(Happening::Pass),
        1 => any::<bool>().prop_map(Happening::Supplies),
    ]
}

const RESPONSES: [(&str, &str); 9] = [
    ("100 Trying", ""),
    ("180 Ringing", ""),
    ("200 OK", ""),
    ("200 OK", ""),
    ("401 Unauthorized", CHALLENGE),
    ("423 Interval Too Brief", "Min-Expires: 1800\r\n"),
    ("302 Moved Temporarily", "Contact: <sip:other.example.com>\r\n"),
    ("503 Service Unavailable", "Retry-After: 3\r\n"),
    ("486 Busy Here", ""),
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // rules: X3, X6, C35
    #[test]
    fn whatever_happens_every_exchange_completes_once(
        domain: bool,
        happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let mut bench = if domain { Bench::of_domain() } else { Bench::new() };
        bench.connects = false;
        bench.takes = false;
        let methods = [Method::Message, Method::Invite, Method::Register, Method::Benotify, Method::Ack];
        let (mut ids, mut asked_again) = (Vec::new(), Vec::new());
        for happening in happenings {
            match happening {
                Happening::Start(which) => {
                    let asked = if which == 2 { register() } else { request(methods[which].clone()) };
                    let mut asked = authenticated(&mut bench, asked);
                    // What it is, and of whom.
                    let call_id = format!("{}", ids.len());
                    asked.draft.parties = Parties::new(ALICE, BOB, &call_id);
                    ids.push(bench.start(asked));
                }
                Happening::Cancel(which) => {
                    if let Some(id) = ids.get(which) {
                        bench.cancel(*id);
                    }
                }
                Happening::Respond(which, what) => {
                    let Some((conn, request)) = bench.taken.get(which).cloned() else { continue };
                    if matches!(request.method(), Some(Method::Ack | Method::Benotify)) {
                        continue;
                    }
                    let (status, headers) = RESPONSES[what];
                    if status.starts_with('4') || status.starts_with('5') || status.starts_with('3') {
                        asked_again.push(request.call_id().unwrap().to_string());
                    }
                    bench.respond(conn, &request, status, headers);
                }
                Happening::Close(which) => {
                    if let Some((conn, _)) = bench.wanted.get(which).copied() {
                        bench.close(conn);
                    }
                }
                Happening::Connect(which) => {
                    if let Some((conn, _)) = bench.wanted.get(which).copied() {
                        bench.connect(conn);
                    }
                }
                Happening::Take(which, count) => {
                    if let Some((conn, _)) = bench.wanted.get(which).copied() {
                        bench.take(conn, count);
                    }
                }
                Happening::Pass(millis) => bench.pass(Duration::from_millis(millis)),
                // An owner may take its time, but not for ever.
                Happening::Supplies(supplies) => bench.supplies = supplies,
            }
            for id in &ids {
                prop_assert!(bench.outcomes(*id) <= 1);
            }
        }
        // What nobody has supplied is given up.
        bench.supplies = true;
        for id in &ids {
            if matches!(bench.exchanges.table.get(id).map(|exchange| &exchange.state), Some(State::Moving)) {
                let hop = bench.hop.clone();
                bench.supply(*id, &hop, &[]);
                bench.settle();
            }
        }
        // Connections are made and their bytes taken, or they are closed; who rings for ever is cancelled.
        bench.connects = true;
        bench.takes = true;
        for id in &ids {
            bench.cancel(*id);
        }
        for _ in 0..8 {
            for (conn, _) in bench.wanted.clone() {
                bench.connect(conn);
                bench.take(conn, usize::MAX);
            }
            bench.pass(Duration::from_secs(40));
        }
        for id in &ids {
            prop_assert_eq!(bench.outcomes(*id), 1, "{:?}", bench.exchanges.table.get(id));
        }
        // C35: what the peer did not ask for again was not delivered twice.
        for (number, id) in ids.iter().enumerate() {
            let call_id = number.to_string();
            let of = |message: &&Message| {
                let first = matches!(message.method(), Some(Method::Message | Method::Invite | Method::Benotify));
                first && message.call_id().unwrap() == call_id
            };
            let delivered = bench.taken.iter().map(|(_, message)| message).filter(of).count();
            prop_assert!(delivered <= 1 || asked_again.contains(&call_id), "{id}: {delivered}");
        }
        bench.assert_quiescent();
    }
}
