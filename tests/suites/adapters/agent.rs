//! What the cases ask of an adapter: a small application around it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sansip::record::{Input, Replay, Step};
use sansip::security::{Credentials, Secret};
use sansip::wire::Message;
use sansip::{
    Completion, Config, ConnId, EndpointId, Event, ListenError, ManagerConfig, ManagerId, ManagerKind,
    MutualTls, OperationError, OperationId, PeerToPeerConfig, RegistrationState, RemovalReason, Server,
    SessionReason, SessionState, SipEndpointConfig, Stack, Time, TlsFailureKind, Transport, UnixTime,
};
use sansip_net::{Hosts, Kerberos, Recording, ResolvConf, TlsClientConfig, TlsServerConfig};

/// Only reached when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What a callee hears inside a session to end it.
pub(crate) const GO: &str = "hang up, please";

pub(crate) const OFFER: &str = "v=0 offer";
pub(crate) const ANSWER: &str = "v=0 answer";

/// Status and body of the final response; 0 where an operation has none.
pub(crate) type Outcome = Result<(u16, Vec<u8>), OperationError>;

pub(crate) fn outcome(completion: &Completion) -> (u16, Vec<u8>) {
    completion.response().map_or((0, Vec::new()), |response| {
        let status = response.status().map_or(0, |status| status.code());
        (status, response.body_bytes().to_vec())
    })
}

/// What an application has noticed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// A MESSAGE, outside a session or inside one.
    Message(String),
    Call,
    Answer(String),
    Session(SessionState, SessionReason),
    Registration(RegistrationState),
    IncomingTlsFailed(TlsFailureKind),
    AuthorizationRequested(ConnId),
    ConnectionAdded,
    ConnectionRemoved(RemovalReason),
    Listening(SocketAddr),
    ListeningEnded(Option<ListenError>),
    Completed(OperationId, Outcome),
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.body_bytes().to_vec()).unwrap()
}

/// What there is to notice in one event of the stack; not what its reader answers.
pub(crate) fn hear(event: &Event) -> Option<Heard> {
    Some(match event {
        Event::AnswerReceived { answer, .. } => {
            Heard::Answer(String::from_utf8(answer.body.to_vec()).unwrap())
        }
        Event::Session { new, reason, .. } => Heard::Session(*new, *reason),
        Event::Registration { new, .. } => Heard::Registration(*new),
        Event::IncomingTlsFailed { failure, .. } => Heard::IncomingTlsFailed(failure.kind),
        Event::AuthorizationRequested { conn, .. } => Heard::AuthorizationRequested(*conn),
        Event::ConnectionAdded { .. } => Heard::ConnectionAdded,
        Event::ConnectionRemoved { reason, .. } => Heard::ConnectionRemoved(reason.clone()),
        Event::Listening { address, .. } => Heard::Listening(*address),
        Event::ListeningEnded { error, .. } => Heard::ListeningEnded(error.clone()),
        Event::Completed { operation, result } => Heard::Completed(
            *operation,
            result.as_ref().map(outcome).map_err(OperationError::clone),
        ),
        _ => return None,
    })
}

/// Where the driver's thread puts what is noticed, and the test finds it.
#[derive(Debug)]
pub(crate) struct Ears {
    receiver: Receiver<Heard>,
    heard: VecDeque<Heard>,
}

impl Ears {
    pub(crate) fn new() -> (Sender<Heard>, Self) {
        let (sender, receiver) = channel();
        let ears = Self {
            receiver,
            heard: VecDeque::new(),
        };
        (sender, ears)
    }

    /// The first that fits, which is taken away.
    pub(crate) fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Heard) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut at = 0;
        loop {
            while let Some(heard) = self.heard.get(at) {
                if let Some(found) = pick(heard) {
                    self.heard.remove(at);
                    return found;
                }
                at += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left) {
                Ok(heard) => self.heard.push_back(heard),
                Err(error) => panic!("never: {what} ({error}); heard: {:#?}", self.heard),
            }
        }
    }
}

/// Who an agent is.
#[derive(Clone)]
pub(crate) enum Role {
    /// A peer-to-peer endpoint.
    Peer {
        uri: String,
        transport: Transport,
        mutual: MutualTls,
    },
    /// A user of a server.
    User {
        uri: String,
        name: String,
        password: String,
        server: SocketAddr,
        transport: Transport,
    },
}

/// What the stack of an agent has recorded, and what is needed to make that stack again.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    written: Arc<Mutex<Vec<u8>>>,
    config: Config,
    seed: [u8; 32],
    password: Option<String>,
}

impl Tape {
    pub(crate) fn recording(&self) -> Recording {
        Recording::to(self.clone())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.written.lock().unwrap().clone()
    }

    /// An empty one for the same stack.
    pub(crate) fn blank(&self) -> Self {
        Self {
            written: Arc::default(),
            ..self.clone()
        }
    }

    /// Replays everything to the same actions (X1, X8), and gives the steps.
    pub(crate) fn replay(&self) -> Vec<Step> {
        let replay = Replay::open(self.bytes()).unwrap();
        assert!(replay.is_complete());
        let secret = |_: &str, _: &Credentials| self.password.clone().map(Secret::new);
        let mut replay = replay.with_secret(secret);
        let next = || replay.step().unwrap_or_else(|error| panic!("{error}"));
        std::iter::from_fn(next).collect()
    }

    /// The stack once more, after the same inputs.
    pub(crate) fn again(&self, steps: Vec<Step>) -> Stack {
        let (now, unix) = Replay::open(self.bytes()).unwrap().start();
        let mut stack = Stack::recorded(self.config.clone(), self.seed, now, unix, LIMIT);
        for Step { now, mut input, .. } in steps {
            if let Input::AddSipEndpoint { config } = &mut input {
                for credentials in &mut config.credentials {
                    credentials.password = Secret::new(self.password.clone().unwrap());
                }
            }
            let times = if let Input::Polled { times } = input {
                times
            } else {
                0
            };
            // Misuse, where it was misuse.
            let _ = stack.apply(now, input);
            (0..times).for_each(|_| drop(stack.poll_action()));
        }
        stack
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of a recording; a long message and its echo fit.
const LIMIT: usize = 1 << 26;

/// How an agent is made.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) client: Option<TlsClientConfig>,
    pub(crate) server: Option<TlsServerConfig>,
    pub(crate) hosts: String,
    pub(crate) name_servers: Vec<SocketAddr>,
    /// Of the accepting side.
    pub(crate) handshake_timeout: Duration,
    /// Of the system, in bytes.
    pub(crate) send_buffer: Option<usize>,
    /// Calls are accepted, or only rung.
    pub(crate) accepts: bool,
    /// Each connection is held for the application (C21); of a peer.
    pub(crate) authorizes: bool,
    /// Extended key usages that every certificate must have (C20); of a peer over TLS.
    pub(crate) required: Vec<String>,
    pub(crate) kerberos: Option<Arc<dyn Kerberos>>,
}

impl Setup {
    fn new(role: Role) -> Self {
        Self {
            role,
            config: Config::default(),
            client: None,
            server: None,
            hosts: "127.0.0.1 alice.example.com bob.example.com".to_owned(),
            name_servers: Vec::new(),
            handshake_timeout: Duration::from_secs(30),
            send_buffer: None,
            accepts: true,
            authorizes: false,
            required: Vec::new(),
            kerberos: None,
        }
    }

    /// A peer at `name`.example.com.
    pub(crate) fn peer(name: &str, transport: Transport) -> Self {
        Self::new(Role::Peer {
            uri: format!("sip:{name}@{name}.example.com"),
            transport,
            mutual: MutualTls::Off,
        })
    }

    /// A peer over TLS whose own certificate and trust these are.
    pub(crate) fn tls(name: &str, client: Option<TlsClientConfig>, server: Option<TlsServerConfig>) -> Self {
        let mut setup = Self::peer(name, Transport::Tls);
        setup.client = client;
        setup.server = server;
        setup
    }

    /// The same that asks its clients for a certificate.
    pub(crate) fn mutual(mut self, allowed: &[&str]) -> Self {
        if let Role::Peer { mutual, .. } = &mut self.role {
            *mutual = MutualTls::Allowed(allowed.iter().map(ToString::to_string).collect());
        }
        self
    }

    pub(crate) fn user(name: &str, password: &str, server: SocketAddr, transport: Transport) -> Self {
        Self::new(Role::User {
            uri: format!("sip:{name}@example.com"),
            name: name.to_owned(),
            password: password.to_owned(),
            server,
            transport,
        })
    }

    pub(crate) fn tape(&self, seed: [u8; 32]) -> Tape {
        let password = match &self.role {
            Role::User { password, .. } => Some(password.clone()),
            Role::Peer { .. } => None,
        };
        Tape {
            written: Arc::default(),
            config: self.config.clone(),
            seed,
            password,
        }
    }

    pub(crate) fn name_servers(&self) -> ResolvConf {
        ResolvConf::new(self.name_servers.clone())
    }

    pub(crate) fn hosts(&self) -> Hosts {
        Hosts::parse(&self.hosts)
    }

    /// The stack, its endpoint, and the manager to listen with.
    pub(crate) fn stack(&self, seed: [u8; 32], unix: UnixTime) -> (Stack, EndpointId, ManagerId) {
        let mut stack = Stack::recorded(self.config.clone(), seed, Time::ZERO, unix, LIMIT);
        match &self.role {
            Role::Peer {
                uri,
                transport,
                mutual,
            } => {
                let manager = match transport {
                    Transport::Tcp => stack.server_tcp_manager(),
                    Transport::Tls => {
                        let mut config = ManagerConfig::new(ManagerKind::ServerTls);
                        config.mutual_tls = mutual.clone();
                        config.required_key_usages.clone_from(&self.required);
                        stack.add_manager(config).unwrap()
                    }
                };
                let mut view = stack.manager(Time::ZERO, manager).unwrap();
                view.set_authorizes(self.authorizes);
                let mut config = PeerToPeerConfig::new(uri.clone());
                config.manager = Some(manager);
                let endpoint = stack.add_peer_to_peer_endpoint(Time::ZERO, config).unwrap();
                (stack, endpoint, manager)
            }
            Role::User {
                uri,
                name,
                password,
                server,
                transport,
            } => {
                let mut config = SipEndpointConfig::new(uri.clone());
                config.server = Some(Server {
                    host: server.ip().to_string(),
                    port: Some(server.port()),
                });
                config.transport = *transport;
                config.credentials = vec![Credentials::new(name.clone(), Secret::new(password.clone()))];
                let endpoint = stack.add_sip_endpoint(Time::ZERO, config).unwrap();
                let manager = stack.client_manager();
                (stack, endpoint, manager)
            }
        }
    }
}

/// An application of an adapter. It echoes messages, takes calls, and ends one in which it hears [`GO`]. Every method
/// waits until the thing is done.
pub(crate) trait Agent: Sized {
    const NAME: &'static str;
    /// A message under way.
    type Sent;

    fn start(setup: Setup) -> Self;
    fn ears(&mut self) -> &mut Ears;
    fn listen(&mut self, at: SocketAddr) -> Result<SocketAddr, ListenError>;
    fn register(&mut self) -> Outcome;
    /// Begins to register, and does not wait.
    fn begin_register(&mut self);
    fn unregister(&mut self) -> Outcome;
    /// Sends a MESSAGE, and does not wait.
    fn begin_message(&mut self, target: &str, text: &str) -> Self::Sent;
    /// What became of it.
    fn finish_message(&mut self, sent: Self::Sent) -> Outcome;
    /// Calls, and gives the answer to the offer.
    fn call(&mut self, target: &str) -> Result<String, OperationError>;
    /// Calls, gives up when it rings, and says how the call ended.
    fn call_and_cancel(&mut self, target: &str) -> Outcome;
    /// Sends a MESSAGE inside the call.
    fn say(&mut self, text: &str) -> Outcome;
    fn hang_up(&mut self) -> Outcome;
    /// How the call that this side made has ended.
    fn ended(&mut self) -> SessionReason;
    /// Decides on a connection that is held.
    fn decide(&mut self, conn: ConnId, allow: bool);
    /// Speaks TLS like this from now on.
    fn set_tls(&mut self, client: Option<TlsClientConfig>, server: Option<TlsServerConfig>);
    /// Whether it ended in order, in this time.
    fn shut_down(self, grace: Duration) -> bool;
    /// What its stack records.
    fn tape(&self) -> Tape;
    /// Drives this stack to its end, and has what it recorded written there.
    fn drive(stack: Stack, recording: Recording);

    fn message(&mut self, target: &str, text: &str) -> Outcome {
        let sent = self.begin_message(target, text);
        self.finish_message(sent)
    }

    fn heard(&mut self, expected: &Heard) {
        self.ears().wait(&format!("{expected:?}"), |heard| {
            (heard == expected).then_some(())
        });
    }

    /// The connection that the application is asked about.
    fn asked(&mut self) -> ConnId {
        self.ears().wait("the question", |heard| match heard {
            Heard::AuthorizationRequested(conn) => Some(*conn),
            _ => None,
        })
    }

    /// How the call that the other side made has ended.
    fn left(&mut self) -> SessionReason {
        self.ears().wait("the end of the call", |heard| match heard {
            Heard::Session(SessionState::Disconnected, reason) => Some(*reason),
            _ => None,
        })
    }

    /// Ends in order; and all that was done can be replayed.
    fn end(self) {
        let tape = self.tape();
        assert!(self.shut_down(PATIENCE), "{}: no orderly end", Self::NAME);
        tape.replay();
    }
}
