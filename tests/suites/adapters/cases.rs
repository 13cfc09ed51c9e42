//! The cases. Each is a function of the adapter that it runs through; main.rs lists them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sansip::record::{Input, Step};
use sansip::{
    CloseReason, ConnectionFailure, ListenError, OperationError, OperationFailure, RegistrationState,
    ResolveError, SessionReason, TlsFailureKind, Transport,
};

use crate::agent::{ANSWER, Agent, GO, Heard, Outcome, PATIENCE, Setup};
use crate::certificates::{ALICE, BOB, Ca, client, mutual_server};
use crate::peers::{
    Front, dead, deaf_name_server, loopback, name_server, naming_name_server, read_some, reset, server,
    wordy_name_server,
};

/// A message both ways, a call that the caller ends, and a call that the callee ends.
fn converse<A: Agent>(alice: &mut A, bob: &mut A, target: &str) {
    assert_eq!(
        alice.message(target, "hello bob"),
        Ok((200, b"hello bob".to_vec()))
    );
    bob.heard(&Heard::Message("hello bob".to_owned()));

    assert_eq!(alice.call(target).as_deref(), Ok(ANSWER));
    bob.heard(&Heard::Call);
    assert_eq!(alice.say("inside").map(|(status, _)| status), Ok(200));
    bob.heard(&Heard::Message("inside".to_owned()));
    assert_eq!(alice.hang_up(), Ok((0, Vec::new())));
    assert_eq!(alice.ended(), SessionReason::TerminatedLocally);
    assert_eq!(bob.left(), SessionReason::TerminatedRemotely);

    assert_eq!(alice.call(target).as_deref(), Ok(ANSWER));
    assert_eq!(alice.say(GO).map(|(status, _)| status), Ok(200));
    assert_eq!(alice.ended(), SessionReason::TerminatedRemotely);
    assert_eq!(bob.left(), SessionReason::TerminatedLocally);
}

fn converse_and_end<A: Agent>(
    mut alice: A,
    mut bob: A,
    at: SocketAddr,
    target: impl Fn(SocketAddr) -> String,
) {
    let address = bob.listen(at).unwrap();
    assert_ne!(address.port(), 0);
    converse(&mut alice, &mut bob, &target(address));
    alice.end();
    bob.end();
}

fn bob_at(address: SocketAddr, transport: Transport) -> String {
    format!("sip:bob@{BOB}:{};transport={transport}", address.port())
}

// rules: P2, M2, S1
pub(crate) fn peers_converse_over_tcp<A: Agent>() {
    let [alice, bob] = ["alice", "bob"].map(|name| A::start(Setup::peer(name, Transport::Tcp)));
    converse_and_end(alice, bob, loopback(), |at| bob_at(at, Transport::Tcp));
}

// rules: P4, C17
pub(crate) fn peers_converse_over_tls<A: Agent>() {
    let ca = Ca::new();
    let alice = A::start(Setup::tls("alice", Some(ca.client()), Some(ca.server(ALICE))));
    let bob = A::start(Setup::tls("bob", Some(ca.client()), Some(ca.server(BOB))));
    converse_and_end(alice, bob, loopback(), |at| bob_at(at, Transport::Tls));
}

// rules: C18, P6
pub(crate) fn peers_converse_over_mutual_tls<A: Agent>() {
    let ca = Ca::new();
    let [alice, bob] = [("alice", ALICE), ("bob", BOB)].map(|(user, name)| {
        let client = client(ca.trust(), Some(ca.identity(name)));
        let server = mutual_server(ca.identity(name), ca.trust());
        A::start(Setup::tls(user, Some(client), Some(server)).mutual(&[".example.com"]))
    });
    converse_and_end(alice, bob, loopback(), |at| bob_at(at, Transport::Tls));
}

// rules: C18, C19
pub(crate) fn whom_we_have_connected_to_may_connect_to_us<A: Agent>() {
    let ca = Ca::new();
    let agent = |user: &str, name: &str, allowed: &[&str]| {
        let client = client(ca.trust(), Some(ca.identity(name)));
        let server = mutual_server(ca.identity(name), ca.trust());
        let mut agent = A::start(Setup::tls(user, Some(client), Some(server)).mutual(allowed));
        let address = agent.listen(loopback()).unwrap();
        (agent, address)
    };
    let (mut alice, at_alice) = agent("alice", ALICE, &[".example.com"]);
    let (mut bob, at_bob) = agent("bob", BOB, &[]);
    let to_bob = bob_at(at_bob, Transport::Tls);
    let refused = alice.message(&to_bob, "let me in");
    assert!(
        matches!(refused, Err(OperationError::ConnectionFailure(_))),
        "{refused:?}"
    );
    let wrong = TlsFailureKind::IncorrectNameInRemoteCertificate;
    bob.heard(&Heard::IncomingTlsFailed(wrong));
    let to_alice = format!("sip:alice@{ALICE}:{};transport=tls", at_alice.port());
    assert_eq!(bob.message(&to_alice, "hello"), Ok((200, b"hello".to_vec())));
    assert_eq!(alice.message(&to_bob, "hello"), Ok((200, b"hello".to_vec())));
    alice.end();
    bob.end();
}

// rules: C34
pub(crate) fn certificates_are_replaced_while_running<A: Agent>() {
    let [old, new] = ["the old root", "the new root"].map(Ca::called);
    let mut bob = A::start(Setup::tls("bob", None, Some(old.server(BOB))));
    let to_bob = bob_at(bob.listen(loopback()).unwrap(), Transport::Tls);
    let client_of = |ca: &Ca| A::start(Setup::tls("alice", Some(ca.client()), None));
    let untrusted = |outcome: Outcome| {
        let Err(OperationError::Tls(failure)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(failure.kind, TlsFailureKind::UntrustedRemoteCertificate);
    };
    let [mut before, mut after] = [client_of(&old), client_of(&new)];
    assert_eq!(before.message(&to_bob, "one").map(|(status, _)| status), Ok(200));
    untrusted(after.message(&to_bob, "too early"));
    bob.set_tls(None, Some(new.server(BOB)));
    // The connection that is there goes on; a new one is shown the new certificate.
    assert_eq!(before.message(&to_bob, "two").map(|(status, _)| status), Ok(200));
    assert_eq!(after.message(&to_bob, "three").map(|(status, _)| status), Ok(200));
    let mut late = client_of(&old);
    untrusted(late.message(&to_bob, "too late"));
    for agent in [before, after, late, bob] {
        agent.end();
    }
}

// rules: C34, C27
pub(crate) fn a_client_shows_its_new_certificate<A: Agent>() {
    let ca = Ca::new();
    let server = mutual_server(ca.identity(BOB), ca.trust());
    let mut bob = A::start(Setup::tls("bob", None, Some(server)).mutual(&[ALICE]));
    let to_bob = bob_at(bob.listen(loopback()).unwrap(), Transport::Tls);
    let mut alice = A::start(Setup::tls("alice", Some(ca.client()), None));
    let refused = alice.message(&to_bob, "without");
    assert!(refused.is_err(), "{refused:?}");
    alice.set_tls(Some(client(ca.trust(), Some(ca.identity(ALICE)))), None);
    assert_eq!(alice.message(&to_bob, "with"), Ok((200, b"with".to_vec())));
    alice.end();
    bob.end();
}

/// Alice writes to bob; while one of the two holds the connection, nobody hears of it.
fn held<A: Agent>(transport: Transport, holder: &str, allow: bool) -> Outcome {
    let ca = Ca::new();
    let [mut alice, mut bob] = [("alice", ALICE), ("bob", BOB)].map(|(user, name)| {
        let mut setup = match transport {
            Transport::Tcp => Setup::peer(user, transport),
            Transport::Tls => Setup::tls(user, Some(ca.client()), Some(ca.server(name))),
        };
        setup.authorizes = user == holder;
        A::start(setup)
    });
    let target = bob_at(bob.listen(loopback()).unwrap(), transport);
    let sent = alice.begin_message(&target, "may I?");
    let agent = if holder == "alice" { &mut alice } else { &mut bob };
    let conn = agent.asked();
    agent.decide(conn, allow);
    let outcome = alice.finish_message(sent);
    if allow {
        bob.heard(&Heard::Message("may I?".to_owned()));
    }
    alice.end();
    bob.end();
    outcome
}

// rules: C21
pub(crate) fn a_connection_is_held_until_it_is_allowed<A: Agent>() {
    for transport in [Transport::Tcp, Transport::Tls] {
        for holder in ["alice", "bob"] {
            let outcome = held::<A>(transport, holder, true);
            assert_eq!(outcome, Ok((200, b"may I?".to_vec())), "{transport}, {holder}");
            let outcome = held::<A>(transport, holder, false);
            let not_authorized = OperationFailure::ConnectionNotAuthorized;
            let expected = if holder == "alice" {
                outcome == Err(OperationError::OperationFailure(not_authorized))
            } else {
                // The peer only sees that it is closed.
                matches!(outcome, Err(OperationError::ConnectionFailure(_)))
            };
            assert!(expected, "{transport}, {holder}: {outcome:?}");
        }
    }
}

pub(crate) fn peers_converse_over_ipv6<A: Agent>() {
    let at: SocketAddr = "[::1]:0".parse().unwrap();
    if std::net::TcpListener::bind(at).is_err() {
        sansip_testkit::vectors::skipped("this host has no IPv6");
        return;
    }
    let [alice, bob] = ["alice", "bob"].map(|name| A::start(Setup::peer(name, Transport::Tcp)));
    converse_and_end(alice, bob, at, |at| format!("sip:bob@{at};transport=tcp"));
}

/// With Digest, and every message through the front end.
fn converse_through_a_front_end<A: Agent>(front: &Front, setup: impl Fn(&str, &str) -> Setup) {
    let [mut alice, mut bob] = [("alice", "ecila"), ("bob", "bob")].map(|(name, password)| {
        let mut agent = A::start(setup(name, password));
        assert_eq!(agent.register(), Ok((0, Vec::new())));
        agent.heard(&Heard::Registration(RegistrationState::Registered));
        agent
    });
    assert_eq!(front.bindings("sip:bob@example.com"), 1);
    converse(&mut alice, &mut bob, "sip:bob@example.com");
    assert_eq!(bob.unregister(), Ok((0, Vec::new())));
    bob.heard(&Heard::Registration(RegistrationState::Unregistered));
    assert_eq!(front.bindings("sip:bob@example.com"), 0);
    match alice.message("sip:bob@example.com", "still there?") {
        Err(OperationError::FailureResponse(response)) => {
            assert_eq!(response.status().map(|status| status.code()), Some(480));
        }
        other => panic!("{other:?}"),
    }
    alice.end();
    bob.end();
}

// rules: R1, R16, M2, S1
pub(crate) fn users_converse_through_a_front_end_over_tcp<A: Agent>() {
    let front = Front::start(None);
    let at = front.address;
    converse_through_a_front_end::<A>(&front, |name, password| {
        Setup::user(name, password, at, Transport::Tcp)
    });
    front.end();
}

// rules: R1, C17
pub(crate) fn users_converse_through_a_front_end_over_tls<A: Agent>() {
    let ca = Ca::new();
    let front = Front::start(Some(ca.server_at_loopback()));
    let at = front.address;
    converse_through_a_front_end::<A>(&front, |name, password| {
        let mut setup = Setup::user(name, password, at, Transport::Tls);
        setup.client = Some(ca.client());
        setup
    });
    front.end();
}

// rules: A7
pub(crate) fn a_wrong_password_is_told<A: Agent>() {
    let front = Front::start(None);
    let mut alice = A::start(Setup::user("alice", "alice", front.address, Transport::Tcp));
    let outcome = alice.register();
    assert!(
        matches!(outcome, Err(OperationError::Authentication { .. })),
        "{outcome:?}"
    );
    assert_eq!(front.bindings("sip:alice@example.com"), 0);
    alice.end();
    front.end();
}

// rules: S10
pub(crate) fn a_call_is_given_up<A: Agent>() {
    let mut alice = A::start(Setup::peer("alice", Transport::Tcp));
    let mut setup = Setup::peer("bob", Transport::Tcp);
    setup.accepts = false;
    let mut bob = A::start(setup);
    let address = bob.listen(loopback()).unwrap();
    let outcome = alice.call_and_cancel(&bob_at(address, Transport::Tcp));
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(alice.ended(), SessionReason::TerminatedLocally);
    assert_eq!(bob.left(), SessionReason::Canceled);
    alice.end();
    bob.end();
}

fn failed_to_connect(remote: SocketAddr, reason: CloseReason) -> OperationError {
    OperationError::ConnectionFailure(ConnectionFailure::Connect { remote, reason })
}

pub(crate) fn nobody_listens<A: Agent>() {
    let ca = Ca::new();
    let (_bound, address) = dead();
    for (setup, transport) in [
        (Setup::peer("alice", Transport::Tcp), Transport::Tcp),
        (Setup::tls("alice", Some(ca.client()), None), Transport::Tls),
    ] {
        let mut alice = A::start(setup);
        let target = format!("sip:bob@{address};transport={transport}");
        assert_eq!(
            alice.message(&target, "anyone?"),
            Err(failed_to_connect(address, CloseReason::Refused))
        );
        alice.end();
    }
}

fn lost<A: Agent>(reason: CloseReason, behave: impl FnOnce(std::net::TcpStream) + Send + 'static) {
    let (address, peer) = server(behave);
    let mut alice = A::start(Setup::peer("alice", Transport::Tcp));
    let target = format!("sip:bob@{address};transport=tcp");
    assert_eq!(
        alice.message(&target, "anyone?"),
        Err(OperationError::ConnectionFailure(ConnectionFailure::Lost(reason)))
    );
    peer.join().unwrap();
    alice.end();
}

pub(crate) fn the_peer_resets<A: Agent>() {
    lost::<A>(CloseReason::Reset, |mut stream| {
        read_some(&mut stream);
        reset(stream);
    });
}

pub(crate) fn the_peer_closes<A: Agent>() {
    lost::<A>(CloseReason::Closed, |mut stream| read_some(&mut stream));
}

fn unresolved<A: Agent>(name_server: SocketAddr, change: impl FnOnce(&mut Setup), error: ResolveError) {
    let mut setup = Setup::peer("alice", Transport::Tcp);
    setup.name_servers = vec![name_server];
    change(&mut setup);
    let mut alice = A::start(setup);
    let host = "nowhere.example.com".to_owned();
    assert_eq!(
        alice.message("sip:bob@nowhere.example.com:5060;transport=tcp", "anyone?"),
        Err(OperationError::ConnectionFailure(ConnectionFailure::Resolve {
            host,
            error
        }))
    );
    alice.end();
}

pub(crate) fn the_name_is_unknown<A: Agent>() {
    unresolved::<A>(name_server(), |_| {}, ResolveError::NoSuchName);
}

pub(crate) fn a_long_answer_comes_over_tcp<A: Agent>() {
    let mut setup = Setup::peer("alice", Transport::Tcp);
    setup.name_servers = vec![wordy_name_server()];
    setup.hosts = String::new();
    let mut alice = A::start(setup);
    let mut bob = A::start(Setup::peer("bob", Transport::Tcp));
    let target = bob_at(bob.listen(loopback()).unwrap(), Transport::Tcp);
    assert_eq!(alice.message(&target, "hello"), Ok((200, b"hello".to_vec())));
    alice.end();
    bob.end();
}

// rules: R18
pub(crate) fn a_domain_names_its_service<A: Agent>() {
    let mut bob = A::start(Setup::peer("bob", Transport::Tcp));
    let address = bob.listen(loopback()).unwrap();
    let mut setup = Setup::peer("alice", Transport::Tcp);
    setup.name_servers = vec![naming_name_server(address.port())];
    setup.hosts = String::new();
    let mut alice = A::start(setup);
    let target = format!("sip:bob@{BOB};transport=tcp");
    assert_eq!(alice.message(&target, "hello"), Ok((200, b"hello".to_vec())));
    alice.end();
    bob.end();
}

pub(crate) fn no_name_server_answers<A: Agent>() {
    let (_deaf, address) = deaf_name_server();
    let change = |setup: &mut Setup| setup.config.resolve_timeout = Duration::from_millis(200);
    unresolved::<A>(address, change, ResolveError::Timeout);
}

// rules: C14
pub(crate) fn listening_fails_with_its_reason<A: Agent>() {
    let mut alice = A::start(Setup::peer("alice", Transport::Tcp));
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    assert_eq!(
        alice.listen(taken.local_addr().unwrap()),
        Err(ListenError::AddressInUse)
    );
    // RFC 5737: an address of documentation, that no host has.
    assert_eq!(
        alice.listen("192.0.2.1:0".parse().unwrap()),
        Err(ListenError::AddressNotAvailable)
    );
    alice.end();
    let mut bob = A::start(Setup::tls("bob", None, None));
    assert_eq!(bob.listen(loopback()), Err(ListenError::NoCertificate));
    bob.end();
}

/// A message that no buffer of the system holds: it is written and read in many parts.
pub(crate) fn a_long_message_passes_a_small_buffer<A: Agent>() {
    let ca = Ca::new();
    for transport in [Transport::Tcp, Transport::Tls] {
        let [mut alice, mut bob] = [("alice", ALICE), ("bob", BOB)].map(|(user, name)| {
            let mut setup = match transport {
                Transport::Tcp => Setup::peer(user, transport),
                Transport::Tls => Setup::tls(user, Some(ca.client()), Some(ca.server(name))),
            };
            setup.send_buffer = Some(4096);
            A::start(setup)
        });
        let address = bob.listen(loopback()).unwrap();
        let text: String = (0..100_000).map(|number| format!("{number:07}")).collect();
        let (status, echo) = alice.message(&bob_at(address, transport), &text).unwrap();
        assert_eq!(status, 200);
        assert!(
            echo == text.as_bytes(),
            "{} bytes came back otherwise",
            echo.len()
        );
        alice.end();
        bob.end();
    }
}

// rules: E13
pub(crate) fn shutting_down_hangs_up_and_unregisters<A: Agent>() {
    let front = Front::start(None);
    let [mut alice, mut bob] = [("alice", "ecila"), ("bob", "bob")].map(|(name, password)| {
        let mut agent = A::start(Setup::user(name, password, front.address, Transport::Tcp));
        agent.register().unwrap();
        agent
    });
    assert_eq!(alice.call("sip:bob@example.com").as_deref(), Ok(ANSWER));
    bob.heard(&Heard::Call);
    alice.end();
    assert_eq!(bob.left(), SessionReason::TerminatedRemotely);
    assert_eq!(front.bindings("sip:alice@example.com"), 0);
    assert_eq!(front.bindings("sip:bob@example.com"), 1);
    bob.end();
    assert_eq!(front.bindings("sip:bob@example.com"), 0);
    front.end();
}

pub(crate) fn shutting_down_takes_no_longer_than_it_may<A: Agent>() {
    // Reads and says nothing, until the other end has gone.
    let (address, peer) = server(|mut stream| {
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    });
    let mut alice = A::start(Setup::user("alice", "ecila", address, Transport::Tcp));
    alice.begin_register();
    alice.heard(&Heard::ConnectionAdded);
    let start = Instant::now();
    assert!(!alice.shut_down(Duration::from_millis(200)));
    assert!((Duration::from_millis(200)..PATIENCE).contains(&start.elapsed()));
    peer.join().unwrap();
}

/// What was done, one line for each call, and what came of it. How many polls are one input depends on when what was
/// recorded was taken.
fn lines(steps: &[Step]) -> Vec<String> {
    let line = |step: &Step| match step.input {
        Input::Polled { .. } => step
            .actions
            .iter()
            .map(|action| format!("{} {action:?}", step.now))
            .collect(),
        _ => vec![format!("{} {:?} {:?}", step.now, step.input, step.sent)],
    };
    steps.iter().flat_map(line).collect()
}

/// A run that was recorded through one adapter, its inputs once more on a stack that the other one records: that recording
/// says the same inputs, and the same came of them. That each run replays is seen in every case.
// rules: X1, X8
pub(crate) fn a_recorded_run_is_the_same_through_the_other_adapter<A: Agent, B: Agent>() {
    let front = Front::start(None);
    let at = front.address;
    let [mut alice, mut bob] = [("alice", "ecila"), ("bob", "bob")].map(|(name, password)| {
        let mut agent = A::start(Setup::user(name, password, at, Transport::Tcp));
        assert_eq!(agent.register(), Ok((0, Vec::new())));
        agent
    });
    converse(&mut alice, &mut bob, "sip:bob@example.com");
    let tapes = [alice.tape(), bob.tape()];
    alice.end();
    bob.end();
    front.end();
    for tape in tapes {
        let first = tape.replay();
        let again = tape.blank();
        B::drive(tape.again(first.clone()), again.recording());
        let (first, second) = (lines(&first), lines(&again.replay()));
        assert!(first.len() > 50, "{} lines", first.len());
        let differs = first.iter().zip(&second).find(|(a, b)| a != b);
        assert_eq!(differs, None, "through {} and through {}", A::NAME, B::NAME);
        assert!(second.len() >= first.len());
    }
}
