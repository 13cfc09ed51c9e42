//! Stacks over real sockets: peer-to-peer endpoints send each other a message and hold a call.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for single events")]

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use common::{Ca, PATIENCE, loopback, settings};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use sansip::wire::{Method, StatusCode};
use sansip::{
    CloseReason, Completion, Config, ConnectionFailure, Content, EndpointId, Event, ListenError,
    LostAddresses, ManagerConfig, ManagerId, ManagerKind, MutualTls, OperationError, OperationId,
    PeerToPeerConfig, RemovalReason, SendOptions, SessionId, SessionReason, SessionState, Stack, Time,
    TlsFailureKind, Transport,
};
use sansip_mio::{Adapter, Driver, Settings, TlsSettings, seed, unix_time};
use sansip_net::Hosts;

const ALICE: &str = "alice.example.com";
const BOB: &str = "bob.example.com";

fn stack() -> Stack {
    Stack::new(Config::default(), seed().unwrap(), Time::ZERO, unix_time())
}

fn named() -> Settings {
    let mut settings = settings();
    settings.dns.hosts = Hosts::parse("127.0.0.1 alice.example.com bob.example.com");
    settings
}

/// A stack with one peer-to-peer endpoint that takes every call and echoes every message.
struct Node {
    driver: Driver,
    manager: ManagerId,
    endpoint: EndpointId,
    events: Vec<Event>,
}

impl Node {
    fn new(
        user: &str,
        host: &str,
        manager: Option<ManagerConfig>,
        settings: impl FnOnce(ManagerId) -> Settings,
    ) -> Self {
        let mut stack = stack();
        let manager = match manager {
            Some(config) => stack.add_manager(config).unwrap(),
            None => stack.server_tcp_manager(),
        };
        let mut config = PeerToPeerConfig::new(format!("sip:{user}@{host}"));
        config.manager = Some(manager);
        let endpoint = stack.add_peer_to_peer_endpoint(Time::ZERO, config).unwrap();
        let driver = Driver::new(stack, settings(manager)).unwrap();
        Self {
            driver,
            manager,
            endpoint,
            events: Vec::new(),
        }
    }

    fn tcp(user: &str, host: &str) -> Self {
        Self::new(user, host, None, |_| named())
    }

    /// The TLS settings are those of the manager alone, so that they are seen to be found there.
    fn tls(user: &str, host: &str, mutual: MutualTls, tls: TlsSettings) -> Self {
        let mut config = ManagerConfig::new(ManagerKind::ServerTls);
        config.mutual_tls = mutual;
        Self::new(user, host, Some(config), |manager| {
            let mut settings = named();
            settings.tls = TlsSettings::default();
            settings.manager_tls.insert(manager, tls);
            settings
        })
    }

    fn listen(&mut self) -> SocketAddr {
        let now = self.driver.now();
        self.driver
            .stack()
            .manager(now, self.manager)
            .unwrap()
            .listen(loopback())
            .unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let listening = self.events.iter().find_map(|event| match event {
                Event::Listening { address, .. } => Some(*address),
                _ => None,
            });
            if let Some(address) = listening {
                assert_ne!(address.port(), 0);
                return address;
            }
            assert!(Instant::now() < end, "{:?}", self.events);
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.driver.turn(Some(Duration::from_millis(1))).unwrap();
        while let Some(event) = self.driver.poll_event() {
            react(self.driver.adapter(), &event);
            self.events.push(event);
        }
    }

    fn message(&mut self, target: &str, text: &str) -> OperationId {
        let now = self.driver.now();
        let mut endpoint = self.driver.stack().endpoint(now, self.endpoint).unwrap();
        endpoint
            .send_message(
                target,
                Method::Message,
                Some(Content::text(text)),
                SendOptions::default(),
            )
            .unwrap()
    }

    fn outcome(&self, operation: OperationId) -> Option<&Result<Completion, OperationError>> {
        self.events.iter().find_map(|event| match event {
            Event::Completed {
                operation: id,
                result,
            } if *id == operation => Some(result),
            _ => None,
        })
    }

    fn status(&self, operation: OperationId) -> Option<StatusCode> {
        match self.outcome(operation)? {
            Ok(completion) => completion.response()?.status(),
            Err(error) => panic!("{error}"),
        }
    }

    fn is_in(&self, session: SessionId, state: SessionState) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Session { session: id, new, .. } if *id == session && *new == state))
    }
}

/// What a small application does.
fn react(adapter: &mut Adapter, event: &Event) {
    let now = adapter.now();
    match event {
        Event::MessageReceived {
            incoming, message, ..
        } => {
            let echo = Content::new("text/plain", message.body());
            let mut incoming = adapter.stack().incoming(now, *incoming).unwrap();
            incoming.answer(StatusCode::OK, None, Some(echo), &[]).unwrap();
        }
        Event::SessionReceived { session, message, .. } => {
            assert_eq!(message.body_bytes(), b"v=0 offer");
            let answer = Content::new("application/sdp", "v=0 answer");
            adapter
                .stack()
                .session(now, *session)
                .unwrap()
                .accept(Some(answer))
                .unwrap();
        }
        _ => {}
    }
}

fn until(what: &str, left: &mut Node, right: &mut Node, mut is_so: impl FnMut(&mut Node, &mut Node) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so(left, right) {
        assert!(
            Instant::now() < end,
            "never: {what}\n{:#?}\n{:#?}",
            left.events,
            right.events
        );
        left.turn();
        right.turn();
    }
}

/// A message, a call with a message inside, and the end of both stacks.
fn converse(mut alice: Node, mut bob: Node, target: &str) {
    let message = alice.message(target, "hello bob");
    until("answered", &mut alice, &mut bob, |alice, _| {
        alice.outcome(message).is_some()
    });
    assert_eq!(alice.status(message), Some(StatusCode::OK));
    let Some(Ok(Completion::Response(response))) = alice.outcome(message) else {
        panic!()
    };
    assert_eq!(response.body_bytes(), b"hello bob");

    let now = alice.driver.now();
    let offer = Content::new("application/sdp", "v=0 offer");
    let mut endpoint = alice.driver.stack().endpoint(now, alice.endpoint).unwrap();
    let (call, invite) = endpoint
        .invite(target, Some(offer), SendOptions::default())
        .unwrap();
    until("called", &mut alice, &mut bob, |alice, _| {
        alice.outcome(invite).is_some()
    });
    assert!(
        matches!(alice.outcome(invite), Some(Ok(_))),
        "{:?}",
        alice.outcome(invite)
    );
    assert!(alice.is_in(call, SessionState::Connected));
    let answer = alice.events.iter().find_map(|event| match event {
        Event::AnswerReceived { session, answer } if *session == call => Some(answer.body.clone()),
        _ => None,
    });
    assert_eq!(answer.as_deref(), Some(b"v=0 answer".as_slice()));

    let taken = bob.events.iter().find_map(|event| match event {
        Event::SessionReceived { session, .. } => Some(*session),
        _ => None,
    });
    let taken = taken.unwrap();
    until("acknowledged", &mut alice, &mut bob, |_, bob| {
        bob.is_in(taken, SessionState::Connected)
    });
    let now = alice.driver.now();
    let mut session = alice.driver.stack().session(now, call).unwrap();
    let inside = session
        .send(Method::Message, Some(Content::text("inside")), Vec::new())
        .unwrap();
    until("answered inside", &mut alice, &mut bob, |alice, _| {
        alice.outcome(inside).is_some()
    });
    assert_eq!(alice.status(inside), Some(StatusCode::OK));
    assert!(
        bob.events
            .iter()
            .any(|event| matches!(event, Event::SessionMessage { session, .. } if *session == taken))
    );

    let now = bob.driver.now();
    bob.driver.stack().session(now, taken).unwrap().terminate();
    until("hung up", &mut alice, &mut bob, |alice, bob| {
        alice.is_in(call, SessionState::Disconnected) && bob.is_in(taken, SessionState::Disconnected)
    });
    shut_down(alice, bob);
}

fn shut_down(alice: Node, bob: Node) {
    let ends = [alice, bob].map(|node| {
        thread::spawn(move || {
            let mut ended = 0;
            let is_clean = node
                .driver
                .shutdown(PATIENCE, |_, event| {
                    ended += usize::from(matches!(event, Event::EndpointTerminated { .. }))
                })
                .unwrap();
            (is_clean, ended)
        })
    });
    for end in ends {
        assert_eq!(end.join().unwrap(), (true, 1));
    }
}

// rules: P2, M2, S1
#[test]
fn a_message_and_a_call_over_tcp() {
    let (alice, mut bob) = (Node::tcp("alice", ALICE), Node::tcp("bob", BOB));
    let address = bob.listen();
    let target = format!("sip:bob@{BOB}:{};transport=tcp", address.port());
    converse(alice, bob, &target);
}

// rules: R20
#[test]
fn a_change_of_the_network_closes_connections_and_the_next_message_makes_another() {
    let (mut alice, mut bob) = (Node::tcp("alice", ALICE), Node::tcp("bob", BOB));
    let address = bob.listen();
    let target = format!("sip:bob@{BOB}:{};transport=tcp", address.port());
    let removed = |node: &Node| {
        node.events
            .iter()
            .filter_map(|event| match event {
                Event::ConnectionRemoved { reason, .. } => Some(reason.clone()),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    for (lost, gone) in [
        (LostAddresses::These(vec!["192.0.2.1".parse().unwrap()]), 0),
        (LostAddresses::These(vec!["127.0.0.1".parse().unwrap()]), 1),
        (LostAddresses::All, 2),
    ] {
        let message = alice.message(&target, "hello");
        until("answered", &mut alice, &mut bob, |alice, _| {
            alice.outcome(message).is_some()
        });
        assert_eq!(alice.status(message), Some(StatusCode::OK));
        alice.driver.adapter().network_changed(&lost);
        until("told", &mut alice, &mut bob, |alice, _| {
            removed(alice).len() == gone
        });
        assert_eq!(removed(&alice), vec![RemovalReason::NetworkChanged; gone]);
    }
    shut_down(alice, bob);
}

// rules: P4, C17
#[test]
fn a_message_and_a_call_over_tls() {
    let ca = Ca::new("root");
    let tls = |name| TlsSettings {
        client: Some(ca.client(None)),
        server: Some(ca.server(name)),
    };
    let alice = Node::tls("alice", ALICE, MutualTls::Off, tls(ALICE));
    let mut bob = Node::tls("bob", BOB, MutualTls::Off, tls(BOB));
    let address = bob.listen();
    let target = format!("sip:bob@{BOB}:{};transport=tls", address.port());
    converse(alice, bob, &target);
}

fn mutual(ca: &Ca, name: &str, allowed: &str, shows: Option<&str>) -> Node {
    let tls = TlsSettings {
        client: Some(ca.client(shows.map(|name| ca.identity(name)))),
        server: Some(ca.mutual_server(name)),
    };
    let (user, _) = name.split_once('.').unwrap();
    Node::tls(user, name, MutualTls::Allowed(vec![allowed.to_owned()]), tls)
}

// rules: C18
#[test]
fn a_message_and_a_call_over_mutual_tls() {
    let ca = Ca::new("root");
    let alice = mutual(&ca, ALICE, BOB, Some(ALICE));
    let mut bob = mutual(&ca, BOB, ".example.com", Some(BOB));
    let address = bob.listen();
    let target = format!("sip:bob@{BOB}:{};transport=tls", address.port());
    converse(alice, bob, &target);
}

// rules: C18, C28
#[test]
fn mutual_tls_turns_away_a_stranger_and_one_without_a_certificate() {
    let ca = Ca::new("root");
    for shows in [Some("stranger.example.org"), None] {
        let mut alice = mutual(&ca, ALICE, BOB, shows);
        let mut bob = mutual(&ca, BOB, ".example.com", Some(BOB));
        let address = bob.listen();
        let message = alice.message(
            &format!("sip:bob@{BOB}:{};transport=tls", address.port()),
            "let me in",
        );
        until("refused", &mut alice, &mut bob, |alice, bob| {
            alice.outcome(message).is_some()
                && bob
                    .events
                    .iter()
                    .any(|event| matches!(event, Event::IncomingTlsFailed { .. }))
        });
        assert!(alice.outcome(message).unwrap().is_err());
        assert!(
            !bob.events
                .iter()
                .any(|event| matches!(event, Event::MessageReceived { .. }))
        );
    }
}

// rules: C17, C27, R11
#[test]
fn a_certificate_of_another_root_or_name_fails_with_its_kind() {
    let (ca, other) = (Ca::new("root"), Ca::new("another root"));
    for (server, expected) in [
        (other.server(BOB), TlsFailureKind::UntrustedRemoteCertificate),
        (
            ca.server("mallory.example.com"),
            TlsFailureKind::IncorrectNameInRemoteCertificate,
        ),
    ] {
        let tls = TlsSettings {
            client: Some(ca.client(None)),
            server: None,
        };
        let mut alice = Node::tls("alice", ALICE, MutualTls::Off, tls);
        let tls = TlsSettings {
            client: None,
            server: Some(server),
        };
        let mut bob = Node::tls("bob", BOB, MutualTls::Off, tls);
        let address = bob.listen();
        let message = alice.message(
            &format!("sip:bob@{BOB}:{};transport=tls", address.port()),
            "who are you",
        );
        until("failed", &mut alice, &mut bob, |alice, _| {
            alice.outcome(message).is_some()
        });
        let Some(Err(OperationError::Tls(failure))) = alice.outcome(message) else {
            panic!("{:?}", alice.outcome(message));
        };
        assert_eq!(failure.kind, expected);
    }
}

// rules: C14, P1
#[test]
fn what_cannot_be_had_is_told() {
    let mut bob = Node::tcp("bob", BOB);
    let address = bob.listen();
    // In use.
    let mut alice = Node::tcp("alice", ALICE);
    let now = alice.driver.now();
    alice
        .driver
        .stack()
        .manager(now, alice.manager)
        .unwrap()
        .listen(address)
        .unwrap();
    until("not listening", &mut alice, &mut bob, |alice, _| {
        alice.events.iter().any(|event| {
            matches!(
                event,
                Event::ListeningEnded {
                    error: Some(ListenError::AddressInUse),
                    ..
                }
            )
        })
    });
    // Refused.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&loopback().into()).unwrap();
    let dead = bound.local_addr().unwrap().as_socket().unwrap();
    let message = alice.message(&format!("sip:bob@{dead};transport=tcp"), "anyone?");
    until("refused", &mut alice, &mut bob, |alice, _| {
        alice.outcome(message).is_some()
    });
    assert_eq!(
        alice.outcome(message),
        Some(&Err(OperationError::ConnectionFailure(
            ConnectionFailure::Connect {
                remote: dead,
                reason: CloseReason::Refused
            }
        )))
    );
    // A TLS listener without a certificate.
    let mut carol = Node::tls("carol", ALICE, MutualTls::Off, TlsSettings::default());
    let now = carol.driver.now();
    carol
        .driver
        .stack()
        .manager(now, carol.manager)
        .unwrap()
        .listen(loopback())
        .unwrap();
    until("no certificate", &mut carol, &mut bob, |carol, _| {
        carol.events.iter().any(|event| {
            matches!(
                event,
                Event::ListeningEnded {
                    error: Some(ListenError::NoCertificate),
                    ..
                }
            )
        })
    });
    assert_eq!(Transport::Tls.default_port(), 5061);
}

#[test]
fn other_threads_command_a_driver_and_stop_it() {
    let mut bob = Node::tcp("bob", BOB);
    let address = bob.listen();
    let mut alice = Node::tcp("alice", ALICE);
    let (handle, endpoint) = (alice.driver.handle(), alice.endpoint);
    let target = format!("sip:bob@{BOB}:{};transport=tcp", address.port());
    let running = thread::spawn(move || {
        alice
            .driver
            .run(|adapter, event| {
                react(adapter, &event);
                match event {
                    Event::Completed { result, .. } => ControlFlow::Break(result.is_ok()),
                    _ => ControlFlow::Continue(()),
                }
            })
            .unwrap()
    });
    handle
        .run(move |stack, now| {
            let mut endpoint = stack.endpoint(now, endpoint).unwrap();
            let content = Some(Content::text("from afar"));
            endpoint
                .send_message(&target, Method::Message, content, SendOptions::default())
                .unwrap();
        })
        .unwrap();
    let end = Instant::now() + PATIENCE;
    while !running.is_finished() {
        assert!(Instant::now() < end);
        bob.turn();
    }
    assert_eq!(running.join().unwrap(), Some(true));

    let handle = bob.driver.handle();
    let running = thread::spawn(move || bob.driver.run(|_, _| ControlFlow::<()>::Continue(())).unwrap());
    handle.stop();
    assert_eq!(running.join().unwrap(), None);
}

/// The application has a `Poll` and a socket of its own; the adapter keeps to its range of tokens.
#[test]
fn a_stack_lives_on_the_poll_of_the_application() {
    const OWN: Token = Token(3);
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(64);
    let mut own = TcpListener::bind(loopback()).unwrap();
    poll.registry()
        .register(&mut own, OWN, Interest::READABLE)
        .unwrap();
    let mut settings = named();
    settings.tokens = 100..200;
    let mut stack = stack();
    let manager = stack.server_tcp_manager();
    stack
        .add_peer_to_peer_endpoint(Time::ZERO, PeerToPeerConfig::new(format!("sip:bob@{BOB}")))
        .unwrap();
    let mut adapter = Adapter::new(stack, poll.registry(), settings).unwrap();
    let now = adapter.now();
    adapter
        .stack()
        .manager(now, manager)
        .unwrap()
        .listen(loopback())
        .unwrap();

    let mut peer = std::net::TcpStream::connect(own.local_addr().unwrap()).unwrap();
    let mut alice = Node::tcp("alice", ALICE);
    let (mut message, mut visited, mut seen) = (None, false, Vec::new());
    let end = Instant::now() + PATIENCE;
    while !(visited && message.is_some_and(|message| alice.outcome(message).is_some())) {
        assert!(Instant::now() < end, "{seen:?}");
        alice.turn();
        let wait = adapter
            .timeout()
            .into_iter()
            .chain([Duration::from_millis(1)])
            .min();
        poll.poll(&mut events, wait).unwrap();
        for event in &events {
            assert_ne!(adapter.owns(event.token()), event.token() == OWN);
            if adapter.owns(event.token()) {
                adapter.handle_event(event);
            } else if let Ok((mut visitor, _)) = own.accept() {
                visitor.write_all(b"hi").unwrap();
                visited = true;
            }
        }
        adapter.handle_deadline();
        while let Some(event) = adapter.poll_event() {
            react(&mut adapter, &event);
            if let Event::Listening { address, .. } = &event {
                message = Some(alice.message(
                    &format!("sip:bob@{BOB}:{};transport=tcp", address.port()),
                    "hello",
                ));
            }
            seen.push(event);
        }
    }
    assert_eq!(alice.status(message.unwrap()), Some(StatusCode::OK));
    let mut greeting = [0; 2];
    peer.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hi");
}

// rules: C34
#[test]
fn certificates_are_replaced_while_a_stack_runs() {
    let ca = Ca::new("root");
    let tls = |server| TlsSettings {
        client: Some(ca.client(None)),
        server,
    };
    let mut bob = Node::tls(
        "bob",
        BOB,
        MutualTls::Off,
        tls(Some(ca.server("wrong.example.com"))),
    );
    let address = bob.listen();
    let target = format!("sip:bob@{BOB}:{};transport=tls", address.port());
    let mut alice = Node::tls("alice", ALICE, MutualTls::Off, tls(None));
    let message = alice.message(&target, "one");
    until("failed", &mut alice, &mut bob, |alice, _| {
        alice.outcome(message).is_some()
    });
    assert!(matches!(
        alice.outcome(message),
        Some(Err(OperationError::Tls(_)))
    ));
    let manager = bob.manager;
    bob.driver
        .adapter()
        .set_tls(Some(manager), tls(Some(ca.server(BOB))));
    // A fresh stack, for the old one passes the address over for a while.
    let mut alice = Node::tls("alice", ALICE, MutualTls::Off, tls(None));
    let message = alice.message(&target, "two");
    until("answered", &mut alice, &mut bob, |alice, _| {
        alice.outcome(message).is_some()
    });
    assert_eq!(alice.status(message), Some(StatusCode::OK));
}

// rules: E13
#[test]
fn shutting_down_hangs_up() {
    let mut bob = Node::tcp("bob", BOB);
    let address = bob.listen();
    let mut alice = Node::tcp("alice", ALICE);
    let target = format!("sip:bob@{BOB}:{};transport=tcp", address.port());
    let now = alice.driver.now();
    let offer = Content::new("application/sdp", "v=0 offer");
    let mut endpoint = alice.driver.stack().endpoint(now, alice.endpoint).unwrap();
    let (call, _) = endpoint
        .invite(&target, Some(offer), SendOptions::default())
        .unwrap();
    until("called", &mut alice, &mut bob, |alice, _| {
        alice.is_in(call, SessionState::Connected)
    });
    let ending = thread::spawn(move || alice.driver.shutdown(PATIENCE, |_, _| {}).unwrap());
    let end = Instant::now() + PATIENCE;
    let hung_up = |bob: &Node| {
        bob.events.iter().any(|event| {
            matches!(
                event,
                Event::Session {
                    reason: SessionReason::TerminatedRemotely,
                    ..
                }
            )
        })
    };
    while !(hung_up(&bob) && ending.is_finished()) {
        assert!(Instant::now() < end, "{:#?}", bob.events);
        bob.turn();
    }
    assert!(ending.join().unwrap());
}

#[test]
fn shutting_down_takes_no_longer_than_it_may() {
    // Accepts and says nothing.
    let silent = std::net::TcpListener::bind(loopback()).unwrap();
    let mut alice = Node::tcp("alice", ALICE);
    let address = silent.local_addr().unwrap();
    alice.message(&format!("sip:bob@{address};transport=tcp"), "anyone?");
    let start = Instant::now();
    assert!(
        !alice
            .driver
            .shutdown(Duration::from_millis(200), |_, _| {})
            .unwrap()
    );
    assert!((Duration::from_millis(200)..PATIENCE).contains(&start.elapsed()));
}

#[test]
fn a_driver_with_nothing_to_do_sleeps() {
    let mut bob = Node::tcp("bob", BOB);
    let address = bob.listen();
    let mut alice = Node::tcp("alice", ALICE);
    let message = alice.message(
        &format!("sip:bob@{BOB}:{};transport=tcp", address.port()),
        "hello",
    );
    until("answered", &mut alice, &mut bob, |alice, _| {
        alice.outcome(message).is_some()
    });
    for node in [&mut alice, &mut bob] {
        let start = Instant::now();
        let mut turns = 0;
        while start.elapsed() < Duration::from_millis(300) {
            node.driver.turn(Some(Duration::from_millis(300))).unwrap();
            assert_eq!(node.driver.poll_event(), None);
            turns += 1;
        }
        assert!(turns < 10, "{turns} turns in 300 ms");
    }
}
