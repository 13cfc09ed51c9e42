//! The counters of a stack: known flows, and every number that they make (rule X7). What is expected stands in the flow
//! and in the RFC that it follows. That the numbers are those of an observer on the links, and that what is alive by
//! them is what the census finds, every world of every suite looks at.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Action, Config, Content, Counters, Established, Event, Limits, ManagerConfig, ManagerKind, Misuse,
    MutualTls, PeerCertificate, PeerToPeerConfig, PublishOptions, SendOptions, Server, SessionId,
    SipEndpointConfig, Stack, SubscribeOptions, Throttle, Time, Transport, UnixTime,
};
use sansip_testkit::frontend::{FrontEndConfig, Protocol, Signing};
use sansip_testkit::world::{self, LineId, Reachability, StackId, World};

use common::{
    Callee, Caller, answer, at, callee, caller, grant, hold_requests, next_line, next_request, request,
    scripted_server, sdp, secs, served,
};

const BOB: &str = "sip:bob@two.invalid";
const CAROL: &str = "sip:carol@peer.invalid:5060";
const T1_64: Duration = Duration::from_secs(32);

/// The numbers that some flow has asserted to be more than zero.
#[derive(Default)]
struct Ledger(RefCell<BTreeSet<String>>);

impl Ledger {
    /// These numbers and no others have grown since; the bytes are not in the list, the observer of the world has them.
    #[track_caller]
    fn check(&self, grown: Counters, expected: &[(&str, u64)]) {
        let mut found = BTreeMap::new();
        grown.for_each(|name, value| {
            if value > 0 && !name.starts_with("bytes_") {
                found.insert(name.to_owned(), value);
            }
        });
        let expected: BTreeMap<String, u64> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        assert_eq!(found, expected);
        self.0.borrow_mut().extend(expected.into_keys());
    }

    #[track_caller]
    fn all(&self, world: &mut World, host: StackId, expected: &[(&str, u64)]) {
        self.check(counters(world, host), expected);
    }
}

fn counters(world: &mut World, host: StackId) -> Counters {
    world.with(host, |stack, _| stack.counters())
}

// ---------------------------------------------------------------- the stage

/// As [`common::caller`], with other limits.
fn caller_of(world: &mut World, change: impl FnOnce(&mut Limits)) -> Caller {
    common::caller_with(world, limited(change))
}

/// As [`common::callee`], with other limits.
fn callee_of(world: &mut World, change: impl FnOnce(&mut Limits)) -> Callee {
    let host = world.stack_with(limited(change));
    let callee = common::callee_on(world, host, PeerToPeerConfig::new(BOB));
    world.run_for(secs(1));
    callee
}

fn limited(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = Config::default();
    change(&mut config.limits);
    config
}

fn invited(world: &mut World, caller: &Caller, offer: Option<Content>) -> (SessionId, LineId, Message) {
    let (session, _) = world.invite(caller.alice, CAROL, offer);
    let line = next_line(world, caller.peer, 0);
    let invite = next_request(world, line, &Method::Invite);
    (session, line, invite)
}

fn say(world: &mut World, line: LineId, request: &Message, status: &str, tag: &str) {
    let text = answer(request, status, tag, "Contact: <sip:carol@peer.invalid:5060>");
    world.say(line, &text);
    world.run_for(Duration::from_millis(50));
}

fn hang_up(world: &mut World, host: StackId, session: SessionId) {
    world.with(host, |stack, now| {
        stack.session(now, session).unwrap().terminate()
    });
}

fn ask(world: &mut World, callee: &Callee, method: &str, number: u32) {
    let text = request(
        method,
        BOB,
        "<sip:bob@two.invalid>",
        number,
        "Contact: <sip:p@peer.invalid>",
    );
    world.say(callee.line, &text);
    world.run_for(Duration::from_millis(50));
}

/// What the making of one connection counts.
const OUT: [(&str, u64); 2] = [
    ("connections.outgoing.started", 1),
    ("connections.outgoing.made", 1),
];
const IN: [(&str, u64); 2] = [
    ("connections.incoming.started", 1),
    ("connections.incoming.made", 1),
];

// ---------------------------------------------------------------- registrations

/// RFC 3261 section 22.2: REGISTER, 401, REGISTER with credentials, 200; then a last one with Expires 0.
fn a_registration_with_a_challenge(world: &mut World, ledger: &Ledger) {
    let server = served(world);
    let alice = at(world, server, "alice");
    let operation = world.register(alice);
    world.result(alice.host, operation).unwrap();
    let [started, made] = OUT;
    ledger.all(
        world,
        alice.host,
        &[
            ("sent.REGISTER", 2),
            ("received.4xx", 1),
            ("received.2xx", 1),
            ("transactions.client.started", 2),
            ("transactions.client.ended", 2),
            ("registrations.made", 1),
            started,
            made,
        ],
    );
    let before = counters(world, alice.host);
    let operation = world.unregister(alice);
    world.result(alice.host, operation).unwrap();
    let grown = counters(world, alice.host) - before;
    ledger.check(
        grown,
        &[
            ("sent.REGISTER", 1),
            ("received.2xx", 1),
            ("transactions.client.started", 1),
            ("transactions.client.ended", 1),
            ("registrations.ended", 1),
        ],
    );
}

/// A4: under a security association, what the server does not sign, signs wrongly or says twice is dropped.
fn a_server_that_signs_badly(world: &mut World, ledger: &Ledger) {
    let config = FrontEndConfig::new("example.com")
        .with_user("alice", "secret")
        .with_protocols(&[Protocol::Ntlm]);
    let server = world.front_end(config);
    let mut config = world.account(server, "alice");
    for credentials in &mut config.credentials {
        (credentials.realm, credentials.domain) = (None, Some("EXAMPLE".into()));
    }
    config.association.without_tls = true;
    let host = world.stack();
    let alice = world.sip_endpoint(host, config);
    let operation = world.register(alice);
    world.result(host, operation).unwrap();
    let before = counters(world, host);
    world.with_server(server, |front, _| front.replay("sip:alice@example.com", None));
    world.run_for(Duration::from_millis(100));
    let grown = counters(world, host) - before;
    ledger.check(grown, &[("received.2xx", 1), ("dropped.replayed", 1)]);
    for (signing, number) in [
        (Signing::Wrong, "dropped.forged"),
        (Signing::Missing, "dropped.unsigned"),
    ] {
        let before = counters(world, host);
        world.with_server(server, |front, _| front.set_signing(signing));
        world.message(alice, "sip:alice@example.com", "hello");
        world.run_for(Duration::from_millis(100));
        let grown = counters(world, host) - before;
        ledger.check(
            grown,
            &[
                ("sent.MESSAGE", 1),
                ("transactions.client.started", 1),
                ("received.MESSAGE", 1),
                (number, 1),
            ],
        );
    }
}

/// A refresh, one that is refused and tried again (R10), and a 2xx that does not name us any more (R21).
fn a_registration_that_is_lost(world: &mut World, ledger: &Ledger) {
    let (peer, alice) = scripted_server(world);
    world.register(alice);
    let line = next_line(world, peer, 0);
    grant(world, line, 60, "");
    grant(world, line, 60, "");
    let refresh = next_request(world, line, &Method::Register);
    world.say(line, &answer(&refresh, "403 Forbidden", "server", ""));
    let again = next_request(world, line, &Method::Register);
    world.say(line, &answer(&again, "200 OK", "server", ""));
    world.run_for(Duration::from_millis(50));
    let [started, made] = OUT;
    ledger.all(
        world,
        alice.host,
        &[
            ("sent.REGISTER", 4),
            ("received.2xx", 3),
            ("received.4xx", 1),
            ("transactions.client.started", 4),
            ("transactions.client.ended", 4),
            ("registrations.made", 1),
            ("registrations.refreshed", 1),
            ("registrations.refresh_failed", 2),
            ("registrations.lost", 1),
            started,
            made,
        ],
    );
}

fn a_registration_that_fails(world: &mut World, ledger: &Ledger) {
    let (peer, alice) = scripted_server(world);
    world.register(alice);
    let line = next_line(world, peer, 0);
    let register = next_request(world, line, &Method::Register);
    let before = counters(world, alice.host);
    world.say(line, &answer(&register, "403 Forbidden", "server", ""));
    world.run_for(Duration::from_millis(50));
    let grown = counters(world, alice.host) - before;
    assert_eq!(grown.registrations.failed, 1);
    assert_eq!(grown.registrations.active(), 0);
    ledger.0.borrow_mut().insert("registrations.failed".to_owned());
}

// ---------------------------------------------------------------- messages

fn a_message_out(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    world.message(caller.alice, CAROL, "hello");
    let line = next_line(world, caller.peer, 0);
    let message = next_request(world, line, &Method::Message);
    say(world, line, &message, "200 OK", "carol");
    let [started, made] = OUT;
    let sent = [
        ("sent.MESSAGE", 1),
        ("received.2xx", 1),
        ("transactions.client.started", 1),
        ("transactions.client.ended", 1),
        started,
        made,
    ];
    ledger.all(world, caller.host, &sent);
    let before = counters(world, caller.host);
    // Other classes of responses, over the same connection, which the peer closes then.
    for (status, class) in [
        ("302 Moved", "3xx"),
        ("480 Gone", "4xx"),
        ("500 Error", "5xx"),
        ("603 Decline", "6xx"),
    ] {
        let before = counters(world, caller.host);
        world.message(caller.alice, CAROL, "hello");
        let message = next_request(world, line, &Method::Message);
        say(world, line, &message, status, "carol");
        let grown = counters(world, caller.host) - before;
        ledger.check(
            grown,
            &[
                ("sent.MESSAGE", 1),
                (&format!("received.{class}"), 1),
                ("transactions.client.started", 1),
                ("transactions.client.ended", 1),
            ],
        );
    }
    world.hang_up(line);
    world.run_for(secs(1));
    let grown = counters(world, caller.host) - before;
    assert_eq!(grown.connections.outgoing.closed, 1);
    ledger
        .0
        .borrow_mut()
        .insert("connections.outgoing.closed".to_owned());
}

/// A request, one of a method that nobody knows (501), and one that is malformed: its CSeq names another method (400,
/// without a transaction).
fn messages_in(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    ask(world, &callee, "MESSAGE", 1);
    ask(world, &callee, "FROBNICATE", 2);
    let bad =
        request("MESSAGE", BOB, "<sip:bob@two.invalid>", 3, "").replace("CSeq: 1 MESSAGE", "CSeq: 1 INFO");
    world.say(callee.line, &bad);
    world.run_for(Duration::from_millis(50));
    let [started, made] = IN;
    ledger.all(
        world,
        callee.host,
        &[
            ("received.MESSAGE", 1),
            ("received.Other", 1),
            ("malformed", 1),
            ("sent.2xx", 1),
            ("sent.5xx", 1),
            ("sent.4xx", 1),
            ("transactions.server.started", 2),
            ("transactions.server.ended", 2),
            started,
            made,
        ],
    );
}

/// Bytes: what the peer has heard and said.
fn bytes_are_those_on_the_line(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    let text = common::wire(&request("OPTIONS", BOB, "<sip:bob@two.invalid>", 1, ""));
    world.say_bytes(callee.line, &text);
    // A keep-alive and its answer (RFC 5626 section 3.5.1) are bytes and no message.
    world.say_bytes(callee.line, b"\r\n\r\n");
    world.run_for(secs(1));
    let heard = world.heard_bytes(callee.line);
    assert!(
        heard.ends_with(b"\r\n\r\n\r\n"),
        "the answer to the ping comes last"
    );
    let counters = counters(world, callee.host);
    assert_eq!(counters.bytes_received, u64::try_from(text.len() + 4).unwrap());
    assert_eq!(counters.bytes_sent, u64::try_from(heard.len()).unwrap());
    assert_eq!((counters.received.requests(), counters.sent.responses()), (1, 1));
    ledger
        .0
        .borrow_mut()
        .extend(["bytes_received".to_owned(), "bytes_sent".to_owned()]);
}

// ---------------------------------------------------------------- calls

/// RFC 3261 section 9.1: INVITE, 180, CANCEL, its 200, 487, ACK.
fn a_call_that_is_cancelled(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    let (session, line, invite) = invited(world, &caller, Some(sdp()));
    say(world, line, &invite, "180 Ringing", "carol");
    hang_up(world, caller.host, session);
    let cancel = next_request(world, line, &Method::Cancel);
    say(world, line, &cancel, "200 OK", "carol");
    say(world, line, &invite, "487 Request Terminated", "carol");
    let [started, made] = OUT;
    ledger.all(
        world,
        caller.host,
        &[
            ("sent.INVITE", 1),
            ("sent.CANCEL", 1),
            ("sent.ACK", 1),
            ("received.1xx", 1),
            ("received.2xx", 1),
            ("received.4xx", 1),
            ("transactions.client_invite.started", 1),
            ("transactions.client_invite.ended", 1),
            ("transactions.client.started", 1),
            ("transactions.client.ended", 1),
            ("sessions.outgoing.started", 1),
            ("sessions.outgoing.ended", 1),
            started,
            made,
        ],
    );
}

/// RFC 3261 section 13.2.2.4: of two forks that ring one is over the limit; both answer, one has the session, and the
/// other is acknowledged and ended. A repeated 2xx is acknowledged again.
fn a_call_that_forks(world: &mut World, ledger: &Ledger) {
    let caller = caller_of(world, |limits| limits.forks = 1);
    let (session, line, invite) = invited(world, &caller, Some(sdp()));
    say(world, line, &invite, "180 Ringing", "one");
    say(world, line, &invite, "180 Ringing", "two");
    say(world, line, &invite, "200 OK", "one");
    say(world, line, &invite, "200 OK", "one");
    say(world, line, &invite, "200 OK", "two");
    let bye = next_request(world, line, &Method::Bye);
    say(world, line, &bye, "200 OK", "two");
    hang_up(world, caller.host, session);
    let bye = next_request(world, line, &Method::Bye);
    say(world, line, &bye, "200 OK", "one");
    // The INVITE's transaction waits for further forks for 64*T1 (RFC 6026 section 7.2).
    world.run_for(T1_64);
    let [started, made] = OUT;
    ledger.all(
        world,
        caller.host,
        &[
            ("sent.INVITE", 1),
            ("sent.ACK", 3),
            ("sent.BYE", 2),
            ("received.1xx", 2),
            ("received.2xx", 5),
            ("retransmissions.received", 1),
            ("refusals.forks", 1),
            ("transactions.client_invite.started", 1),
            ("transactions.client_invite.ended", 1),
            ("transactions.client.started", 2),
            ("transactions.client.ended", 2),
            ("sessions.outgoing.started", 1),
            ("sessions.outgoing.connected", 1),
            ("sessions.outgoing.ended", 1),
            started,
            made,
        ],
    );
}

/// A call from outside: 180, its repetition over another connection after the first is lost, 200, ACK, BYE.
fn a_call_over_a_connection_that_dies(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    let invite = request(
        "INVITE",
        BOB,
        "<sip:bob@two.invalid>",
        1,
        "Contact: <sip:p@peer.invalid>",
    );
    world.say(callee.line, &invite);
    world.run_for(Duration::from_millis(50));
    let session = last_session(world, callee.host);
    world.with(callee.host, |stack, now| {
        stack
            .session(now, session)
            .unwrap()
            .provisional(StatusCode::RINGING, None)
            .unwrap();
    });
    world.run_for(Duration::from_millis(50));
    world.hang_up(callee.line);
    world.run_for(Duration::from_millis(50));
    let line = world.dial(callee.peer, callee.address, None);
    world.run_for(Duration::from_millis(50));
    world.say(line, &invite);
    world.run_for(Duration::from_millis(50));
    world.with(callee.host, |stack, now| {
        stack.session(now, session).unwrap().accept(Some(sdp())).unwrap();
    });
    world.run_for(Duration::from_millis(50));
    let ok = world.heard(line).pop().unwrap();
    let to = common::field(&ok, HeaderName::To);
    let ack = request("ACK", BOB, &to, 1, "").replace("z9hG4bK1", "z9hG4bK2");
    world.say(line, &ack);
    let bye = request("BYE", BOB, &to, 1, "")
        .replace("z9hG4bK1", "z9hG4bK3")
        .replace("CSeq: 1", "CSeq: 2");
    world.say(line, &bye);
    // RFC 6026 section 7.1: the INVITE's transaction goes on for 64*T1 after its 2xx.
    world.run_for(T1_64);
    ledger.all(
        world,
        callee.host,
        &[
            ("received.INVITE", 2),
            ("received.ACK", 1),
            ("received.BYE", 1),
            // 100 goes out after 200 ms only, and 180 comes before.
            ("sent.1xx", 2),
            ("sent.2xx", 2),
            ("retransmissions.received", 1),
            ("retransmissions.sent", 1),
            ("transactions.server_invite.started", 1),
            ("transactions.server_invite.ended", 1),
            ("transactions.server.started", 1),
            ("transactions.server.ended", 1),
            ("sessions.incoming.started", 1),
            ("sessions.incoming.connected", 1),
            ("sessions.incoming.ended", 1),
            ("connections.incoming.started", 2),
            ("connections.incoming.made", 2),
            ("connections.incoming.closed", 1),
        ],
    );
}

fn last_session(world: &World, host: StackId) -> SessionId {
    world
        .events(host)
        .iter()
        .rev()
        .find_map(|(_, event)| match event {
            Event::SessionReceived { session, .. } => Some(*session),
            _ => None,
        })
        .expect("a call has come")
}

// ---------------------------------------------------------------- connections that come to nothing

fn connections_that_fail(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    let address = (world.ip(caller.peer), 5060).into();
    world.set_reachability(address, Reachability::Refused);
    world.message(caller.alice, CAROL, "hello");
    world.run_for(secs(1));
    ledger.all(
        world,
        caller.host,
        &[
            ("connections.outgoing.started", 1),
            ("connections.outgoing.failed", 1),
        ],
    );
    world.set_reachability(address, Reachability::BlackHole);
    let before = counters(world, caller.host);
    let (session, _) = world.invite(caller.alice, CAROL, None);
    world.run_for(secs(1));
    hang_up(world, caller.host, session);
    world.run_for(secs(1));
    let grown = counters(world, caller.host) - before;
    ledger.check(
        grown,
        &[
            ("connections.outgoing.started", 1),
            ("connections.outgoing.abandoned", 1),
            ("sessions.outgoing.started", 1),
            ("sessions.outgoing.ended", 1),
        ],
    );
}

/// Peers that connect to a TLS listener: one never shakes hands, one is cut off in the middle.
fn handshakes(_: &mut World, ledger: &Ledger) {
    let start = Time::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32], start, UnixTime(0));
    let manager = stack
        .add_manager(ManagerConfig::new(ManagerKind::ServerTls))
        .unwrap();
    let address = "192.0.2.1:5061".parse().unwrap();
    let listener = stack.manager(start, manager).unwrap().listen(address).unwrap();
    common::actions(&mut stack);
    stack.handle_listening(start, listener, Ok(address));
    let remote = "192.0.2.9:40000".parse().unwrap();
    stack.handle_accepted(start, listener, address, remote);
    let second = stack.handle_accepted(start, listener, address, remote);
    stack.disconnect(start, second);
    stack.handle_timeout(start + secs(60));
    common::actions(&mut stack);
    ledger.check(
        stack.counters(),
        &[
            ("connections.incoming.started", 2),
            ("connections.incoming.failed", 1),
            ("connections.incoming.abandoned", 1),
            ("timeouts.handshake", 1),
        ],
    );
}

/// The application says nothing of two connections to hosts, of which a list has room for one; of one from the local host
/// it hears no more, since that talks too much before; and a third has too much in its certificate.
fn connections_that_nobody_allows(_: &mut World, ledger: &Ledger) {
    let start = Time::from_secs(1);
    let config = limited(|limits| {
        (
            limits.unauthorized,
            limits.learned_hosts,
            limits.certificate_entries,
        ) = (10, 1, 1);
    });
    let mut stack = Stack::new(config, [1; 32], start, UnixTime(0));
    let mut config = ManagerConfig::new(ManagerKind::ServerTls);
    (config.authorizes, config.mutual_tls) = (true, MutualTls::Allowed(Vec::new()));
    let manager = stack.add_manager(config).unwrap();
    let mut config = PeerToPeerConfig::new("sip:bob@two.invalid");
    (config.manager, config.default_transport) = (Some(manager), Transport::Tls);
    let bob = stack.add_peer_to_peer_endpoint(start, config).unwrap();
    let address: SocketAddr = "192.0.2.1:5061".parse().unwrap();
    let listener = stack.manager(start, manager).unwrap().listen(address).unwrap();
    common::actions(&mut stack);
    stack.handle_listening(start, listener, Ok(address));
    let shown = |names: &[&str]| {
        Some(Box::new(PeerCertificate {
            addresses: names.iter().map(|name| name.parse().unwrap()).collect(),
            ..PeerCertificate::default()
        }))
    };
    let enters = |stack: &mut Stack, names: &[&str]| {
        let remote = "192.0.2.9:40000".parse().unwrap();
        let conn = stack.handle_accepted(start, listener, address, remote);
        let (local, peer) = (address, shown(names));
        stack.handle_connected(start, conn, Established { local, remote, peer });
        conn
    };
    let local = enters(&mut stack, &["192.0.2.1"]);
    stack.handle_bytes(start, local, b"INVITE sip:");
    enters(&mut stack, &["192.0.2.1", "192.0.2.2"]);
    for host in ["192.0.2.7", "192.0.2.8"] {
        let mut view = stack.endpoint(start, bob).unwrap();
        let (target, options) = (format!("sip:p@{host}"), SendOptions::default());
        view.send_message(&target, Method::Message, None, options)
            .unwrap();
        for action in common::actions(&mut stack) {
            if let Action::Connect(connect) = action {
                let (local, remote, peer) = (address, connect.remote, shown(&[host]));
                stack.handle_connected(start, connect.conn, Established { local, remote, peer });
            }
        }
    }
    stack.handle_timeout(start + secs(32));
    ledger.check(
        stack.counters(),
        &[
            ("connections.incoming.started", 2),
            ("connections.incoming.failed", 2),
            ("connections.outgoing.started", 2),
            ("connections.outgoing.failed", 2),
            ("timeouts.authorization", 2),
            ("refusals.unauthorized", 1),
            ("refusals.learned_hosts", 1),
            ("refusals.certificate_entries", 1),
        ],
    );
}

// ---------------------------------------------------------------- what does not come in time

/// These grow among others.
#[track_caller]
fn grew(world: &mut World, ledger: &Ledger, host: StackId, expected: &[(&str, u64)]) {
    let mut found = BTreeMap::new();
    counters(world, host).for_each(|name, value| {
        found.insert(name.to_owned(), value);
    });
    for (name, value) in expected {
        assert_eq!(found.get(*name), Some(value), "{name}");
        if *value > 0 {
            ledger.0.borrow_mut().insert((*name).to_owned());
        }
    }
    // One kind of time that is over, and no other.
    let timeouts: u64 = found
        .iter()
        .filter(|(name, _)| name.starts_with("timeouts."))
        .map(|(_, value)| value)
        .sum();
    let wanted: u64 = expected
        .iter()
        .filter(|(name, _)| name.starts_with("timeouts."))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(timeouts, wanted, "{found:?}");
}

fn requests_without_an_answer(world: &mut World, ledger: &Ledger) {
    let one = caller(world);
    world.invite(one.alice, CAROL, None);
    world.run_for(secs(40));
    grew(
        world,
        ledger,
        one.host,
        &[
            ("timeouts.invite", 1),
            ("sent.INVITE", 1),
            ("sessions.outgoing.ended", 1),
        ],
    );
}

fn messages_without_an_answer(world: &mut World, ledger: &Ledger) {
    let two = caller(world);
    world.message(two.alice, CAROL, "hello");
    world.run_for(secs(40));
    grew(
        world,
        ledger,
        two.host,
        &[("timeouts.request", 1), ("sent.MESSAGE", 1)],
    );
}

/// RFC 3261 section 9.1: no final response for 64*T1 after the CANCEL.
fn a_cancel_without_an_end(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    let (session, line, invite) = invited(world, &caller, None);
    say(world, line, &invite, "180 Ringing", "carol");
    hang_up(world, caller.host, session);
    let cancel = next_request(world, line, &Method::Cancel);
    say(world, line, &cancel, "200 OK", "carol");
    world.run_for(T1_64);
    grew(
        world,
        ledger,
        caller.host,
        &[("timeouts.cancel", 1), ("transactions.client_invite.ended", 1)],
    );
}

/// S12: after three minutes of ringing the INVITE is cancelled.
fn a_call_that_rings_for_ever(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    let (_, line, invite) = invited(world, &caller, None);
    say(world, line, &invite, "180 Ringing", "carol");
    world.run_for(secs(180));
    let cancel = next_request(world, line, &Method::Cancel);
    say(world, line, &cancel, "200 OK", "carol");
    say(world, line, &invite, "487 Request Terminated", "carol");
    grew(
        world,
        ledger,
        caller.host,
        &[("timeouts.establish", 1), ("sent.CANCEL", 1)],
    );
}

/// S12, seen from the other side: nobody answers the call.
fn a_call_that_nobody_takes(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    ask(world, &callee, "INVITE", 1);
    world.run_for(secs(180));
    // 100 after 200 ms (RFC 3261 section 17.2.1), and 480 in the end.
    grew(
        world,
        ledger,
        callee.host,
        &[("timeouts.establish", 1), ("sent.1xx", 1), ("sent.4xx", 1)],
    );
}

/// RFC 3261 section 13.3.1.4: the 2xx after T1, doubled up to T2, and BYE after 64*T1. At 0.5, 1.5, 3.5, 7.5 s and every
/// 4 s from then on: ten times within 32 s.
fn a_success_without_an_ack(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    common::accept_calls(world, callee.host);
    ask(world, &callee, "INVITE", 1);
    world.run_for(T1_64);
    grew(
        world,
        ledger,
        callee.host,
        &[
            ("timeouts.ack", 1),
            ("sent.2xx", 11),
            ("retransmissions.sent", 10),
            ("sent.BYE", 1),
        ],
    );
}

/// RFC 3261 section 17.2.1: timer H.
fn a_refusal_without_an_ack(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    ask(world, &callee, "INVITE", 1);
    let session = last_session(world, callee.host);
    world.with(callee.host, |stack, now| {
        stack
            .session(now, session)
            .unwrap()
            .reject(StatusCode::BUSY_HERE, None)
            .unwrap();
    });
    world.run_for(T1_64 + secs(1));
    grew(
        world,
        ledger,
        callee.host,
        &[("timeouts.ack", 1), ("sent.4xx", 1), ("retransmissions.sent", 0)],
    );
}

fn an_offer_without_an_answer(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    let (_, line, invite) = invited(world, &caller, None);
    let text = answer(
        &invite,
        "200 OK",
        "carol",
        "Contact: <sip:carol@peer.invalid:5060>\nContent-Type: application/sdp",
    );
    world.say(line, &format!("{text}\nv=0\r\n"));
    world.run_for(T1_64);
    let bye = next_request(world, line, &Method::Bye);
    say(world, line, &bye, "200 OK", "carol");
    grew(
        world,
        ledger,
        caller.host,
        &[("timeouts.offer", 1), ("sent.ACK", 1), ("sent.BYE", 1)],
    );
}

fn a_session_that_nobody_refreshes(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    let (_, line, invite) = invited(world, &caller, Some(sdp()));
    let text = answer(
        &invite,
        "200 OK",
        "carol",
        "Contact: <sip:carol@peer.invalid:5060>\nSession-Expires: 90;refresher=uas",
    );
    world.say(line, &text);
    world.run_for(secs(61));
    let bye = next_request(world, line, &Method::Bye);
    say(world, line, &bye, "200 OK", "carol");
    grew(
        world,
        ledger,
        caller.host,
        &[("timeouts.session", 1), ("sent.ACK", 1), ("sent.BYE", 1)],
    );
}

/// M9.
fn a_request_that_is_held_for_ever(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    hold_requests(world, callee.host);
    ask(world, &callee, "MESSAGE", 1);
    world.run_for(T1_64);
    grew(
        world,
        ledger,
        callee.host,
        &[("timeouts.answer", 1), ("sent.5xx", 1)],
    );
}

fn an_address_that_is_silent(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    let address = (world.ip(caller.peer), 5060).into();
    world.set_reachability(address, Reachability::BlackHole);
    world.message(caller.alice, CAROL, "hello");
    world.run_for(secs(11));
    grew(
        world,
        ledger,
        caller.host,
        &[("timeouts.connect", 1), ("connections.outgoing.failed", 1)],
    );
}

fn a_name_that_does_not_resolve_in_time(world: &mut World, ledger: &Ledger) {
    let caller = caller(world);
    world.names.silence("peer.invalid");
    world.message(caller.alice, CAROL, "hello");
    world.run_for(secs(11));
    grew(
        world,
        ledger,
        caller.host,
        &[("timeouts.resolve", 1), ("connections.outgoing.failed", 1)],
    );
}

/// R19: the server has promised to answer keep-alives, and does not.
fn a_keep_alive_without_an_answer(world: &mut World, ledger: &Ledger) {
    let (peer, alice) = scripted_server(world);
    let operation = world.register(alice);
    let line = next_line(world, peer, 0);
    grant(world, line, 3600, "Flow-Timer: 90");
    world.result(alice.host, operation).unwrap();
    world.run_for(secs(71));
    grew(
        world,
        ledger,
        alice.host,
        &[("timeouts.pong", 1), ("connections.outgoing.closed", 1)],
    );
}

/// R19: a peer that takes no bytes.
fn a_peer_that_does_not_read(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    world.network.window = 0;
    world.say_bytes(callee.line, b"\r\n\r\n");
    world.run_for(secs(31));
    world.network.window = 64 << 10;
    grew(
        world,
        ledger,
        callee.host,
        &[("timeouts.write", 1), ("connections.incoming.closed", 1)],
    );
}

/// C12.
fn a_peer_that_says_nothing(world: &mut World, ledger: &Ledger) {
    let callee = callee(world);
    world.run_for(secs(61));
    grew(
        world,
        ledger,
        callee.host,
        &[("timeouts.unproven", 1), ("connections.incoming.closed", 1)],
    );
}

// ---------------------------------------------------------------- limits

#[track_caller]
fn refused(world: &mut World, ledger: &Ledger, host: StackId, name: &str) {
    let counters = counters(world, host);
    let mut found = Vec::new();
    counters.for_each(|known, value| {
        if known.starts_with("refusals.") && value > 0 {
            found.push((known.to_owned(), value));
        }
    });
    assert_eq!(found, [(name.to_owned(), 1)]);
    ledger.0.borrow_mut().insert(name.to_owned());
}

fn limits_of_requests(world: &mut World, ledger: &Ledger) {
    let callee = callee_of(world, |limits| limits.transactions = 1);
    hold_requests(world, callee.host);
    ask(world, &callee, "MESSAGE", 1);
    refused_none(world, callee.host);
    ask(world, &callee, "MESSAGE", 2);
    refused(world, ledger, callee.host, "refusals.transactions");
    assert_eq!(
        counters(world, callee.host)
            .sent
            .of_class(StatusCode::SERVICE_UNAVAILABLE),
        1
    );

    let callee = callee_of(world, |limits| limits.events = 1);
    let three: Vec<u8> = (1..=3)
        .flat_map(|number| common::wire(&request("MESSAGE", BOB, "<sip:bob@two.invalid>", number, "")))
        .collect();
    // To listen makes events of its own.
    let before = counters(world, callee.host);
    world.say_bytes(callee.line, &three);
    world.run_for(secs(1));
    let grown = counters(world, callee.host) - before;
    assert_eq!(
        (grown.refusals.events, grown.received.of(&Method::Message)),
        (1, 3)
    );
    ledger.0.borrow_mut().insert("refusals.events".to_owned());

    // C30: not even the answer has room.
    let callee = callee_of(world, |limits| limits.send_queue = 10);
    ask(world, &callee, "MESSAGE", 1);
    refused(world, ledger, callee.host, "refusals.send_queue");
    assert_eq!(counters(world, callee.host).sent.responses(), 0);

    let callee = callee_of(world, |limits| limits.message.body = 4);
    let text = request(
        "MESSAGE",
        BOB,
        "<sip:bob@two.invalid>",
        1,
        "Content-Type: text/plain",
    );
    world.say(callee.line, &format!("{text}\n1234"));
    world.run_for(secs(1));
    refused_none(world, callee.host);
    world.say(callee.line, &format!("{text}\n12345"));
    world.run_for(secs(1));
    refused(world, ledger, callee.host, "refusals.message");
    assert_eq!(counters(world, callee.host).malformed, 1);
}

#[track_caller]
fn refused_none(world: &mut World, host: StackId) {
    let refusals = counters(world, host).refusals;
    assert_eq!(refusals, Counters::default().refusals);
}

fn limits_of_connections(world: &mut World, ledger: &Ledger) {
    let callee = callee_of(world, |limits| limits.connections = 1);
    refused_none(world, callee.host);
    world.dial(callee.peer, callee.address, None);
    world.run_for(secs(1));
    refused(world, ledger, callee.host, "refusals.connections");

    let caller = caller_of(world, |limits| limits.dns_cache = 1);
    let ip = world.ip(caller.peer);
    world.names.set_addresses("second.invalid", &[ip]);
    world.message(caller.alice, CAROL, "hello");
    world.run_for(secs(1));
    refused_none(world, caller.host);
    world.message(caller.alice, "sip:carol@second.invalid:5060", "hello");
    world.run_for(secs(1));
    refused(world, ledger, caller.host, "refusals.dns_cache");
}

/// Subscribed, refreshed by a command, and ended without the last NOTIFY.
fn subscriptions(world: &mut World, ledger: &Ledger) {
    let Caller { alice, host, peer } = caller(world);
    let (id, _) = world.with(host, |stack, now| {
        let mut alice = stack.endpoint(now, alice.id).unwrap();
        alice.subscribe(CAROL, SubscribeOptions::new("presence")).unwrap()
    });
    let line = next_line(world, peer, 0);
    let granted = "Contact: <sip:carol@peer.invalid:5060>\nExpires: 600";
    let first = next_request(world, line, &Method::Subscribe);
    world.say(line, &answer(&first, "200 OK", "carol", granted));
    let notify = format!(
        "NOTIFY sip:alice@one.invalid SIP/2.0\nVia: SIP/2.0/TCP peer.invalid;branch=z9hG4bK1\n\
         From: {};tag=carol\nTo: {}\nCall-ID: {}\nCSeq: 1 NOTIFY\nContact: <sip:carol@peer.invalid:5060>\n\
         Event: presence\nSubscription-State: active",
        common::field(&first, HeaderName::To),
        common::field(&first, HeaderName::From),
        common::field(&first, HeaderName::CallId)
    );
    world.say(line, &notify);
    world.run_for(secs(1));
    world.with(host, |stack, now| {
        stack.subscription(now, id).unwrap().update(None).unwrap();
    });
    let second = next_request(world, line, &Method::Subscribe);
    world.say(line, &answer(&second, "200 OK", "carol", granted));
    world.run_for(secs(1));
    let before = counters(world, host);
    assert_eq!(before.subscriptions.outgoing.started, 1);
    world.with(host, |stack, now| {
        stack.subscription(now, id).unwrap().terminate()
    });
    let last = next_request(world, line, &Method::Subscribe);
    world.say(line, &answer(&last, "200 OK", "carol", "Expires: 0"));
    world.run_for(secs(40));
    ledger.all(
        world,
        host,
        &[
            ("sent.SUBSCRIBE", 3),
            ("sent.2xx", 1),
            ("received.2xx", 3),
            ("received.NOTIFY", 1),
            ("transactions.client.started", 3),
            ("transactions.client.ended", 3),
            ("transactions.server.started", 1),
            ("transactions.server.ended", 1),
            ("connections.outgoing.started", 1),
            ("connections.outgoing.made", 1),
            ("subscriptions.outgoing.started", 1),
            ("subscriptions.outgoing.ended", 1),
            ("subscriptions.refreshed", 1),
            ("timeouts.notify", 1),
        ],
    );
}

/// A subscription of somebody that the application does not answer.
fn subscriptions_in(world: &mut World, ledger: &Ledger) {
    let mut config = PeerToPeerConfig::new(BOB);
    config.profile.methods.push(Method::Subscribe);
    let Callee { host, line, .. } = common::callee_with(world, config);
    let fields = "Contact: <sip:p@peer.invalid>\nEvent: presence";
    world.say(
        line,
        &request("SUBSCRIBE", BOB, "<sip:bob@two.invalid>", 1, fields),
    );
    world.run_for(secs(40));
    let found = counters(world, host);
    let lives = found.subscriptions.incoming;
    assert_eq!((lives.started, lives.ended, found.timeouts.answer), (1, 1, 1));
    ledger
        .0
        .borrow_mut()
        .extend(["subscriptions.incoming.started", "subscriptions.incoming.ended"].map(str::to_owned));
}

/// Published and removed; a second one is too much.
fn publications(world: &mut World, ledger: &Ledger) {
    let Caller { alice, host, peer } = caller_of(world, |limits| limits.publications = 1);
    let publish = |world: &mut World| {
        world.with(host, |stack, now| {
            let mut alice = stack.endpoint(now, alice.id).unwrap();
            alice.publish(CAROL, PublishOptions::new("presence"), Content::text("here"))
        })
    };
    let (id, _) = publish(world).unwrap();
    assert!(matches!(publish(world), Err(Misuse::Limit(_))));
    let line = next_line(world, peer, 0);
    for tag in ["one", "none"] {
        let request = next_request(world, line, &Method::Publish);
        let granted = format!("SIP-ETag: {tag}\nExpires: 600");
        world.say(line, &answer(&request, "200 OK", "carol", &granted));
        world.run_for(secs(1));
        world.with(host, |stack, now| {
            let left = stack.publication(now, id).map(|mut view| view.remove());
            assert_eq!(left.is_ok(), tag == "one");
        });
    }
    let found = counters(world, host);
    let (lives, refused) = (found.publications, found.refusals.publications);
    assert_eq!((lives.started, lives.ended, refused), (1, 1, 1));
    ledger.0.borrow_mut().extend(
        [
            "publications.started",
            "publications.ended",
            "refusals.publications",
        ]
        .map(str::to_owned),
    );
}

fn limits_of_commands(world: &mut World, ledger: &Ledger) {
    let caller = caller_of(world, |limits| limits.operations = 1);
    let send = |world: &mut World| {
        let id = caller.alice.id;
        world.with(caller.host, |stack, now| {
            let mut alice = stack.endpoint(now, id).unwrap();
            alice.send_message(
                CAROL,
                Method::Message,
                Some(Content::text("hello")),
                SendOptions::default(),
            )
        })
    };
    send(world).unwrap();
    refused_none(world, caller.host);
    assert!(matches!(send(world), Err(Misuse::Limit(_))));
    refused(world, ledger, caller.host, "refusals.operations");

    let caller = caller_of(world, |limits| limits.sessions = 1);
    let create = |world: &mut World| {
        let id = caller.alice.id;
        world.with(caller.host, |stack, now| {
            stack.endpoint(now, id).unwrap().create_session(CAROL)
        })
    };
    create(world).unwrap();
    refused_none(world, caller.host);
    assert!(matches!(create(world), Err(Misuse::Limit(_))));
    refused(world, ledger, caller.host, "refusals.sessions");

    let caller = caller_of(world, |limits| limits.subscriptions = 1);
    let create = |world: &mut World| {
        let id = caller.alice.id;
        world.with(caller.host, |stack, now| {
            let mut alice = stack.endpoint(now, id).unwrap();
            alice.create_subscription(CAROL, SubscribeOptions::new("presence"))
        })
    };
    create(world).unwrap();
    refused_none(world, caller.host);
    assert!(matches!(create(world), Err(Misuse::Limit(_))));
    refused(world, ledger, caller.host, "refusals.subscriptions");

    let caller = caller_of(world, |limits| limits.endpoints = 1);
    let second = PeerToPeerConfig::new("sip:eve@one.invalid");
    let result = world.with(caller.host, |stack, now| {
        stack.add_peer_to_peer_endpoint(now, second)
    });
    assert!(matches!(result, Err(Misuse::Limit(_))));
    refused(world, ledger, caller.host, "refusals.endpoints");
}

fn limits_of_a_session(world: &mut World, ledger: &Ledger) {
    let caller = caller_of(world, |limits| limits.pending_per_session = 1);
    let (session, line, invite) = invited(world, &caller, Some(sdp()));
    say(world, line, &invite, "200 OK", "carol");
    let send = |world: &mut World| {
        world.with(caller.host, |stack, now| {
            let mut call = stack.session(now, session).unwrap();
            call.send(Method::Info, None, Vec::new())
        })
    };
    send(world).unwrap();
    refused_none(world, caller.host);
    assert!(matches!(send(world), Err(Misuse::Limit(_))));
    refused(world, ledger, caller.host, "refusals.pending_per_session");

    let caller = caller_of(world, |limits| limits.redirects = 1);
    let mut config = PeerToPeerConfig::new("sip:anna@one.invalid");
    config.profile.redirects = true;
    let alice = world.peer_to_peer_endpoint(caller.host, config);
    let (_, line, invite) = invited(world, &Caller { alice, ..caller }, None);
    let text = answer(
        &invite,
        "302 Moved",
        "carol",
        "Contact: <sip:a@b.invalid>, <sip:c@d.invalid>",
    );
    world.say(line, &text);
    world.run_for(secs(1));
    refused(world, ledger, caller.host, "refusals.redirects");

    let caller = caller_of(world, |limits| limits.referrals = 1);
    let (session, line, invite) = invited(world, &caller, Some(sdp()));
    say(world, line, &invite, "200 OK", "carol");
    let refer = |world: &mut World| {
        world.with(caller.host, |stack, now| {
            let mut call = stack.session(now, session).unwrap();
            call.refer("sip:dave@four.invalid", Vec::new())
        })
    };
    refer(world).unwrap();
    refused_none(world, caller.host);
    assert!(matches!(refer(world), Err(Misuse::Limit(_))));
    refused(world, ledger, caller.host, "refusals.referrals");
}

/// The 401 wants another REGISTER, and one was all.
fn limits_of_attempts(world: &mut World, ledger: &Ledger) {
    let server = served(world);
    let host = world.stack_with(limited(|limits| limits.attempts = 1));
    let account = world.account(server, "alice");
    let alice = world.sip_endpoint(host, account);
    world.register(alice);
    world.run_for(secs(1));
    refused(world, ledger, host, "refusals.attempts");
    assert_eq!(counters(world, host).registrations.failed, 1);
}

/// Two addresses of one name, of which the second is not tried; and a MESSAGE that never has its turn.
fn limits_of_targets_and_turns(world: &mut World, ledger: &Ledger) {
    let caller = caller_of(world, |limits| limits.targets = 1);
    let silent = ["192.0.2.77", "192.0.2.78"].map(|text| text.parse().unwrap());
    world.names.set_addresses("two.addresses.invalid", &silent);
    world.message(caller.alice, "sip:carol@two.addresses.invalid:5060", "hello");
    world.run_for(secs(60));
    refused(world, ledger, caller.host, "refusals.targets");

    let host = world.stack_with(limited(|limits| limits.outstanding = 1));
    let peer = world.peer();
    world.peer_listens(peer, 5060, Transport::Tcp);
    let mut config = SipEndpointConfig::new("sip:alice@example.com");
    let (at, port) = (world.ip(peer).to_string(), Some(5060));
    config.server = Some(Server { host: at, port });
    config.transport = Transport::Tcp;
    let alice = world.sip_endpoint(host, config);
    // The second has its turn when the first is given up, the third has none within 32 s.
    for _ in 0..2 {
        world.message(alice, CAROL, "hello");
    }
    world.run_for(secs(10));
    world.message(alice, CAROL, "hello");
    // The server itself is there (R19).
    for line in world.lines(peer) {
        world.say_bytes(line, b"\r\n");
    }
    world.run_for(T1_64 - secs(1));
    let timeouts = counters(world, host).timeouts;
    assert_eq!((timeouts.held, timeouts.request), (0, 1));
    world.run_for(secs(2));
    let timeouts = counters(world, host).timeouts;
    assert_eq!((timeouts.held, timeouts.request), (1, 1));
    ledger.0.borrow_mut().insert("timeouts.held".to_owned());
}

/// Two requests each way are one too many.
fn throttles(world: &mut World, ledger: &Ledger) {
    let config = Config {
        pool_size: 1,
        connection_throttle: Some(Throttle { high: 1, low: 1 }),
        ..Config::default()
    };
    let caller = common::caller_with(world, config);
    for _ in 0..2 {
        world.message(caller.alice, CAROL, "hello");
    }
    world.run_for(secs(1));
    refused_none(world, caller.host);
    world.message(caller.alice, CAROL, "hello");
    world.run_for(secs(1));
    refused(world, ledger, caller.host, "refusals.connection_throttle");

    let host = world.stack_with(Config {
        message_throttle: Some(Throttle { high: 0, low: 1 }),
        ..Config::default()
    });
    let callee = common::callee_on(world, host, PeerToPeerConfig::new(BOB));
    world.run_for(secs(1));
    let two: Vec<u8> = (1..=2)
        .flat_map(|number| common::wire(&request("MESSAGE", BOB, "<sip:bob@two.invalid>", number, "")))
        .collect();
    world.say_bytes(callee.line, &two);
    world.run_for(secs(1));
    refused(world, ledger, host, "refusals.message_throttle");
    assert_eq!(
        counters(world, host)
            .sent
            .of_class(StatusCode::SERVICE_UNAVAILABLE),
        1
    );
}

type Flow = fn(&mut World, &Ledger);

const FLOWS: &[(&str, Flow)] = &[
    ("a registration with a challenge", a_registration_with_a_challenge),
    ("a registration that is lost", a_registration_that_is_lost),
    ("a registration that fails", a_registration_that_fails),
    ("a message out", a_message_out),
    ("messages in", messages_in),
    ("bytes", bytes_are_those_on_the_line),
    ("a call that is cancelled", a_call_that_is_cancelled),
    ("a call that forks", a_call_that_forks),
    (
        "a call over a connection that dies",
        a_call_over_a_connection_that_dies,
    ),
    ("connections that fail", connections_that_fail),
    ("handshakes", handshakes),
    ("connections that nobody allows", connections_that_nobody_allows),
    ("an INVITE without an answer", requests_without_an_answer),
    ("a MESSAGE without an answer", messages_without_an_answer),
    ("a CANCEL without an end", a_cancel_without_an_end),
    ("a call that rings for ever", a_call_that_rings_for_ever),
    ("a call that nobody takes", a_call_that_nobody_takes),
    ("a 2xx without an ACK", a_success_without_an_ack),
    ("a 486 without an ACK", a_refusal_without_an_ack),
    ("an offer without an answer", an_offer_without_an_answer),
    ("a session that nobody refreshes", a_session_that_nobody_refreshes),
    ("a request that is held for ever", a_request_that_is_held_for_ever),
    ("an address that is silent", an_address_that_is_silent),
    (
        "a name that does not resolve in time",
        a_name_that_does_not_resolve_in_time,
    ),
    ("a peer that says nothing", a_peer_that_says_nothing),
    ("a keep-alive without an answer", a_keep_alive_without_an_answer),
    ("a peer that does not read", a_peer_that_does_not_read),
    ("limits of requests", limits_of_requests),
    ("limits of connections", limits_of_connections),
    ("subscriptions", subscriptions),
    ("publications", publications),
    ("subscriptions in", subscriptions_in),
    ("limits of commands", limits_of_commands),
    ("a server that signs badly", a_server_that_signs_badly),
    ("limits of a session", limits_of_a_session),
    ("limits of attempts", limits_of_attempts),
    ("limits of targets and turns", limits_of_targets_and_turns),
    ("throttles", throttles),
];

// rules: X7
#[test]
fn every_number_is_what_the_flow_says() {
    let ledger = Ledger::default();
    for (seed, (name, flow)) in (1..).zip(FLOWS) {
        println!("{name}");
        world::run(seed, |world| flow(world, &ledger));
    }
    let asserted = ledger.0.into_inner();
    let mut missing = Vec::new();
    Counters::default().for_each(|name, _| {
        // Methods and classes are counted in one place each; some of each were asserted.
        let is_detail = name.starts_with("sent.") || name.starts_with("received.");
        if !is_detail && !asserted.contains(name) {
            missing.push(name.to_owned());
        }
    });
    assert_eq!(missing, [""; 0], "a number that no flow has asserted");
}
