//! Defects that were mended in the rooms from exchange upward: each test failed before its cause was removed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use sansip::security::{Credentials, Secret};
use sansip::wire::{HeaderName, Message, MessageLimits, Method, StatusCode};
use sansip::{
    Action, CloseReason, Config, ConnectionFailure, Established, Event, Limits, Misuse, NextHop,
    OperationError, PeerToPeerConfig, RegistrationState, SendOptions, SipEndpointConfig, SrvRecord, Stack,
    Time, Transport, UnixTime,
};
use sansip_testkit::world::{self, Endpoint, PeerId, Reachability, World};

use common::{
    accept_calls, actions, answer, callee, callee_with, codes, failure_code, field, grant, hold_requests,
    messages, next_line, next_request, request, scripted_server, scripted_server_with, sdp, secs, take_bytes,
};

const BOB: &str = "sip:bob@two.invalid";
const TO_BOB: &str = "<sip:bob@two.invalid>";

fn stack_with(limits: Limits) -> Stack {
    let config = Config {
        limits,
        ..Config::default()
    };
    Stack::new(config, [7; 32], Time::ZERO, UnixTime(1_700_000_000))
}

/// Drives a stack without a world: it listens on each address, and the ids of its listeners come back.
fn listening(stack: &mut Stack, addresses: &[&str]) -> Vec<sansip::ListenerId> {
    let now = Time::ZERO;
    let manager = stack.server_tcp_manager();
    let listeners: Vec<_> = addresses
        .iter()
        .map(|address| {
            let address: SocketAddr = address.parse().unwrap();
            let id = stack.manager(now, manager).unwrap().listen(address).unwrap();
            (id, address)
        })
        .collect();
    actions(stack);
    for (id, address) in &listeners {
        stack.handle_listening(now, *id, Ok(*address));
    }
    actions(stack);
    listeners.into_iter().map(|(id, _)| id).collect()
}

fn parsed(bytes: Vec<u8>) -> Message {
    Message::parse(bytes.into(), &MessageLimits::default()).unwrap()
}

fn wire(text: &str) -> Vec<u8> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    format!("{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n")).into_bytes()
}

// A keep-alive that is due while the connection is still being made has nothing to be sent over, and its timer must
// not be armed for a time that is past: handle_timeout would never come back.
// rules: R12, X3
#[test]
fn a_keep_alive_that_is_due_while_the_server_is_not_reached_does_not_hang_the_stack() {
    world::run(900, |world| {
        let (peer, alice) = scripted_server(world);
        let address = SocketAddr::new(world.ip(peer), 5060);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 600, "ms-keep-alive: UAS; hop-hop=yes; timeout=1");
        world.result(alice.host, operation).expect("registers");
        world.set_reachability(address, Reachability::BlackHole);
        world.break_off(line);
        world.run_for(secs(30));
        world.set_reachability(address, Reachability::Open);
    });
}

// Requests that came in one read with the one whose answer closed their connection belong to nobody: a transaction for
// them would wait for ever.
// rules: X6, M9
#[test]
fn requests_behind_the_one_that_closed_their_connection_leave_nothing() {
    world::run(901, |world| {
        let limits = Limits {
            send_queue: 400,
            ..Limits::default()
        };
        let host = world.stack_with(Config {
            limits,
            ..Config::default()
        });
        world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let address = world.listen(host, 5060);
        let peer = world.peer();
        let line = world.dial(peer, address, None);
        let mut all = Vec::new();
        for number in 1..=4 {
            let (uri, to) = if number < 3 {
                ("sip:nobody@far.invalid", "<sip:nobody@far.invalid>")
            } else {
                (BOB, TO_BOB)
            };
            all.extend(wire(&request("MESSAGE", uri, to, number, "")));
        }
        world.say_bytes(line, &all);
        world.run_for(secs(60));
        assert!(!world.is_line_open(line));
        let census = world.with(host, |stack, _| stack.census());
        assert_eq!((census.transactions, census.incoming), (0, 0));
    });
}

// RFC 3261 section 13.3.1.4: the 2xx has a Contact, also when it goes back another way.
// rules: C33, S4
#[test]
fn a_2xx_that_goes_back_over_another_connection_is_whole() {
    world::run(902, |world| {
        let it = callee(world);
        let back = world.peer_listens(it.peer, 5070, Transport::Tcp);
        let invite = request(
            "INVITE",
            BOB,
            TO_BOB,
            1,
            &format!("Contact: <sip:p@{back};transport=tcp>"),
        )
        .replace("peer.invalid;branch", &format!("{back};rport;branch"));
        world.say(it.line, &invite);
        world.run_for(secs(1));
        world.hang_up(it.line);
        world.run_for(secs(1));
        let session = world
            .events(it.host)
            .iter()
            .find_map(|(_, event)| match event {
                Event::SessionReceived { session, .. } => Some(*session),
                _ => None,
            })
            .unwrap();
        world.with(it.host, |stack, now| {
            stack.session(now, session).unwrap().accept(Some(sdp())).unwrap();
        });
        world.run_for(secs(1));
        let line = world.lines(it.peer)[0];
        let response = world
            .heard(line)
            .into_iter()
            .find(|message| message.status() == Some(StatusCode::OK))
            .expect("a 2xx");
        let contact = field(&response, HeaderName::Contact);
        assert!(contact.contains(&it.address.to_string()), "{contact:?}");
        assert!(field(&response, HeaderName::Via).contains("rport="));
    });
}

fn two_servers(world: &mut World) -> (Vec<PeerId>, Endpoint) {
    let mut records = Vec::new();
    let mut peers = Vec::new();
    for (name, priority) in [("a.invalid", 1), ("b.invalid", 2)] {
        let peer = world.peer();
        let address = world.peer_listens(peer, 5060, Transport::Tcp);
        world.names.set_addresses(name, &[address.ip()]);
        records.push(SrvRecord {
            priority,
            weight: 0,
            port: 5060,
            target: name.to_owned(),
        });
        peers.push(peer);
    }
    world.names.set_services("_sip._tcp.example.com", &records);
    let host = world.stack();
    let mut config = SipEndpointConfig::new("sip:alice@example.com");
    config.transport = Transport::Tcp;
    let alice = world.sip_endpoint(host, config);
    (peers, alice)
}

// The connection that the server keeps for a registered endpoint is not given up because one message met a 503.
// rules: C6, R22
#[test]
fn a_503_to_a_message_does_not_cost_the_endpoint_its_server_connection() {
    world::run(903, |world| {
        let (peers, alice) = two_servers(world);
        let operation = world.register(alice);
        let line = next_line(world, peers[0], 0);
        grant(world, line, 600, "");
        world.result(alice.host, operation).expect("registers");
        let sent = world.message(alice, BOB, "hi");
        let message = next_request(world, line, &Method::Message);
        world.say(line, &answer(&message, "503 Service Unavailable", "x", ""));
        assert_eq!(failure_code(&world.result(alice.host, sent)), 503);
        world.run_for(secs(1));
        assert!(world.is_line_open(line));
        assert_eq!(world.lines(peers[1]).len(), 0);
    });
}

// What a server calls a GRUU is written into Contact: it has to be a URI.
// rules: E4, E11
#[test]
fn a_gruu_that_is_no_uri_is_not_taken() {
    world::run(904, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        let contact = format!(
            "Contact: {};expires=600;gruu=\"sip:a@b>, <sip:evil@evil.invalid\"",
            field(&register, HeaderName::Contact)
        );
        world.say(line, &answer(&register, "200 OK", "x", &contact));
        world.result(alice.host, operation).expect("registers");
        let gruu = world.with(alice.host, |stack, now| {
            stack.endpoint(now, alice.id).unwrap().gruu().map(str::to_owned)
        });
        assert_eq!(gruu, None);
    });
}

fn with_password(config: &mut SipEndpointConfig) {
    config.credentials = vec![Credentials::new("alice", Secret::new("secret"))];
}

const CHALLENGE: &str = "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\"";

// The proxy that asks who sends an INVITE asks who sends the BYE to its losing fork, too.
// rules: S8, A1
#[test]
fn the_end_of_a_losing_fork_is_authenticated() {
    world::run(905, |world| {
        let (peer, alice) = scripted_server_with(world, with_password);
        let (session, made) = world.invite(alice, BOB, Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&invite, "407 Proxy Authentication Required", "p", CHALLENGE),
        );
        let invite = next_request(world, line, &Method::Invite);
        for fork in ["first", "second"] {
            let contact = format!("Contact: <sip:{fork}@far.invalid>");
            world.say(line, &answer(&invite, "200 OK", fork, &contact));
        }
        world.result(alice.host, made).expect("connected");
        let bye = next_request(world, line, &Method::Bye);
        assert!(field(&bye, HeaderName::To).contains("second"));
        world.say(
            line,
            &answer(&bye, "407 Proxy Authentication Required", "", CHALLENGE),
        );
        let bye = next_request(world, line, &Method::Bye);
        assert!(field(&bye, HeaderName::ProxyAuthorization).contains("response="));
        world.say(line, &answer(&bye, "200 OK", "", ""));
        world.run_for(secs(1));
        let over = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        let bye = next_request(world, line, &Method::Bye);
        world.say(line, &answer(&bye, "200 OK", "", ""));
        world.result(alice.host, over).expect("ended");
    });
}

// rules: A9
#[test]
fn no_debug_output_of_a_stack_shows_an_authorization() {
    world::run(906, |world| {
        let (peer, alice) = scripted_server_with(world, with_password);
        let (_, made) = world.invite(alice, BOB, Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&invite, "407 Proxy Authentication Required", "p", CHALLENGE),
        );
        let invite = next_request(world, line, &Method::Invite);
        let authorization = field(&invite, HeaderName::ProxyAuthorization);
        let response = authorization
            .split("response=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let shown = world.with(alice.host, |stack, _| format!("{stack:?} {stack:#?}"));
        assert!(!shown.contains(response), "{shown}");
        world.say(line, &answer(&invite, "486 Busy Here", "b", ""));
        assert_eq!(failure_code(&world.result(alice.host, made)), 486);
    });
}

// rules: E10, M5
#[test]
fn a_benotify_that_asks_too_much_or_claims_a_dialog_is_dropped() {
    world::run(907, |world| {
        let it = callee(world);
        world.say(it.line, &request("BENOTIFY", BOB, TO_BOB, 1, "Require: nothing"));
        world.say(
            it.line,
            &request("BENOTIFY", BOB, &format!("{TO_BOB};tag=x"), 2, ""),
        );
        world.run_for(secs(1));
        assert_eq!(messages(world, it.host), []);
        world.say(it.line, &request("BENOTIFY", BOB, TO_BOB, 3, ""));
        world.run_for(secs(1));
        assert_eq!(messages(world, it.host).len(), 1);
        assert_eq!(world.heard(it.line), []);
    });
}

// rules: C36
#[test]
fn contact_is_the_listening_address_that_the_connection_came_in_on() {
    let mut stack = stack_with(Limits::default());
    let now = Time::ZERO;
    stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(BOB))
        .unwrap();
    let listeners = listening(&mut stack, &["127.0.0.1:5060", "192.0.2.1:5062"]);
    let (local, remote) = (
        "192.0.2.1:5062".parse().unwrap(),
        "192.0.2.9:40000".parse().unwrap(),
    );
    let conn = stack.handle_accepted(now, listeners[1], local, remote);
    let invite = request("INVITE", BOB, TO_BOB, 1, "Contact: <sip:p@192.0.2.9>");
    stack.handle_bytes(now, conn, &wire(&invite));
    let session = actions(&mut stack)
        .into_iter()
        .find_map(|action| match action {
            Action::Event(Event::SessionReceived { session, .. }) => Some(session),
            _ => None,
        })
        .unwrap();
    stack
        .session(now, session)
        .unwrap()
        .provisional(StatusCode::RINGING, None)
        .unwrap();
    let ringing = parsed(take_bytes(&mut stack, now, conn));
    let contact = field(&ringing, HeaderName::Contact);
    assert!(contact.contains("192.0.2.1:5062"), "{contact}");
}

// RFC 3261 section 8.1.1.8: the Contact of a request to a sips URI is a sips URI; section 12.1.1: that of the answer too.
// rules: C36, S4
#[test]
fn what_is_sips_has_a_sips_contact() {
    world::run(908, |world| {
        let (peer, alice) = scripted_server(world);
        let (_, made) = world.invite(alice, "sips:bob@two.invalid", Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        let contact = field(&invite, HeaderName::Contact);
        assert!(contact.starts_with("<sips:alice@"), "{contact}");
        world.say(line, &answer(&invite, "486 Busy Here", "b", ""));
        assert_eq!(failure_code(&world.result(alice.host, made)), 486);

        let it = callee(world);
        let contact = "Contact: <sips:p@peer.invalid>";
        world.say(
            it.line,
            &request("INVITE", "sips:bob@two.invalid", TO_BOB, 1, contact),
        );
        world.run_for(secs(1));
        let session = world
            .events(it.host)
            .iter()
            .find_map(|(_, event)| match event {
                Event::SessionReceived { session, .. } => Some(*session),
                _ => None,
            })
            .unwrap();
        world.with(it.host, |stack, now| {
            let mut call = stack.session(now, session).unwrap();
            call.provisional(StatusCode::RINGING, None).unwrap();
            call.reject(StatusCode::BUSY_HERE, None).unwrap();
        });
        world.run_for(secs(1));
        let ringing = world
            .heard(it.line)
            .into_iter()
            .find(|message| message.status() == Some(StatusCode::RINGING))
            .unwrap();
        let contact = field(&ringing, HeaderName::Contact);
        assert!(contact.starts_with("<sips:bob@"), "{contact}");
    });
}

// RFC 3261 section 19.1.1, table 1: a Request-URI has no headers. The application gives headers apart, and those of a
// Contact are not for requests inside.
// rules: S4, X2
#[test]
fn no_request_uri_has_headers() {
    world::run(909, |world| {
        let (peer, alice) = scripted_server(world);
        let misuse = world.with(alice.host, |stack, now| {
            let mut alice = stack.endpoint(now, alice.id).unwrap();
            alice.send_message(
                "sip:bob@two.invalid?Subject=x",
                Method::Message,
                None,
                SendOptions::default(),
            )
        });
        assert!(
            matches!(
                misuse,
                Err(Misuse::Argument {
                    argument: "target",
                    ..
                })
            ),
            "{misuse:?}"
        );

        let (session, made) = world.invite(alice, BOB, Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&invite, "200 OK", "b", "Contact: <sip:b@far.invalid?Subject=x>"),
        );
        world.result(alice.host, made).expect("connected");
        let ack = next_request(world, line, &Method::Ack);
        assert_eq!(ack.request_uri(), "sip:b@far.invalid");
        let over = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        let bye = next_request(world, line, &Method::Bye);
        world.say(line, &answer(&bye, "200 OK", "", ""));
        world.result(alice.host, over).expect("ended");
    });
}

// rules: X2
#[test]
fn an_invite_that_is_refused_as_misuse_leaves_no_session() {
    let mut stack = stack_with(Limits {
        operations: 0,
        ..Limits::default()
    });
    let now = Time::ZERO;
    let alice = stack
        .add_sip_endpoint(now, SipEndpointConfig::new("sip:alice@example.com"))
        .unwrap();
    let refused = stack
        .endpoint(now, alice)
        .unwrap()
        .invite(BOB, None, SendOptions::default());
    assert_eq!(refused, Err(Misuse::Limit("operations")));
    assert_eq!(stack.census().sessions, 0);
}

// rules: R9, R10
#[test]
fn a_register_is_not_sent_again_to_the_server_that_redirects_it_to_no_server() {
    world::run(910, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        world.say(
            line,
            &answer(
                &register,
                "302 Moved Temporarily",
                "x",
                "Contact: <tel:+15550100>",
            ),
        );
        assert_eq!(failure_code(&world.result(alice.host, operation)), 302);
        assert_eq!(world.heard(line), []);
    });
}

// rules: C13, S10
#[test]
fn a_session_that_is_ending_does_not_refresh_its_target() {
    world::run(911, |world| {
        let (peer, alice) = scripted_server(world);
        let (session, made) = world.invite(alice, BOB, Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        let more = "Contact: <sip:b@far.invalid>\nAllow: INVITE, UPDATE, BYE";
        world.say(line, &answer(&invite, "200 OK", "b", more));
        world.result(alice.host, made).expect("connected");
        next_request(world, line, &Method::Ack);
        world.break_off(line);
        world.run_for(secs(1));
        let over = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        let line = next_line(world, peer, 0);
        world.run_for(secs(1));
        let heard = world.heard(line);
        let methods: Vec<_> = heard.iter().filter_map(Message::method).collect();
        assert_eq!(methods, [&Method::Bye]);
        world.say(line, &answer(&heard[0], "200 OK", "", ""));
        world.result(alice.host, over).expect("ended");
    });
}

// rules: P4, P9
#[test]
fn a_sips_target_means_tls_at_a_next_hop_that_names_no_transport() {
    let mut stack = stack_with(Limits::default());
    let now = Time::ZERO;
    let bob = stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(BOB))
        .unwrap();
    let next_hop = Some(NextHop {
        host: "192.0.2.9".to_owned(),
        port: None,
        transport: None,
    });
    let options = SendOptions {
        next_hop,
        ..SendOptions::default()
    };
    stack
        .endpoint(now, bob)
        .unwrap()
        .send_message("sips:p@peer.invalid", Method::Message, None, options)
        .unwrap();
    let plain = actions(&mut stack)
        .iter()
        .any(|action| matches!(action, Action::Connect(connect) if connect.tls.is_none()));
    assert!(!plain);
}

// rules: X4, R11
#[test]
fn a_name_that_is_known_not_to_resolve_says_so_every_time() {
    world::run(912, |world| {
        // RFC 2782: the service is decidedly not available.
        let none = SrvRecord {
            priority: 0,
            weight: 0,
            port: 0,
            target: ".".to_owned(),
        };
        world.names.set_services("_sip._tcp.two.invalid", &[none]);
        let host = world.stack();
        let peer = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:p@one.invalid"));
        let mut config = SipEndpointConfig::new("sip:alice@two.invalid");
        config.transport = Transport::Tcp;
        let alice = world.sip_endpoint(host, config);
        for endpoint in [peer, peer, alice, alice] {
            let sent = world.message(endpoint, BOB, "hi");
            let result = world.result(host, sent);
            let failure = OperationError::ConnectionFailure(ConnectionFailure::Resolve {
                host: "two.invalid".to_owned(),
                error: sansip::ResolveError::NoSuchName,
            });
            assert_eq!(result, Err(failure));
        }
    });
}

// RFC 3261 table 1: From has no port; the URI of an account may name the one of its server.
// rules: E8
#[test]
fn from_has_no_port() {
    world::run(913, |world| {
        let peer = world.peer();
        let address = world.peer_listens(peer, 5060, Transport::Tcp);
        let host = world.stack();
        let mut config = SipEndpointConfig::new("sip:alice@example.com:5060");
        config.transport = Transport::Tcp;
        config.server = Some(sansip::Server {
            host: address.ip().to_string(),
            port: Some(5060),
        });
        let alice = world.sip_endpoint(host, config);
        let sent = world.message(alice, BOB, "hi");
        let line = next_line(world, peer, 0);
        let message = next_request(world, line, &Method::Message);
        let from = field(&message, HeaderName::From);
        assert!(from.starts_with("<sip:alice@example.com>;tag="), "{from}");
        world.say(line, &answer(&message, "200 OK", "x", ""));
        world.result(host, sent).expect("delivered");
    });
}

// A late 2xx to REGISTER must not lead requests to an endpoint that is ending.
// rules: E13, E4
#[test]
fn a_gruu_that_comes_when_the_endpoint_is_ending_finds_nobody() {
    world::run(914, |world| {
        let (peer, alice) = scripted_server(world);
        world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        let over = world.terminate(alice);
        let gruu = "sip:alice@example.com;opaque=1;gruu";
        let contact = format!(
            "Contact: {};expires=600;gruu=\"{gruu}\"",
            field(&register, HeaderName::Contact)
        );
        world.say(line, &answer(&register, "200 OK", "x", &contact));
        let leave = next_request(world, line, &Method::Register);
        world.say(
            line,
            &request("MESSAGE", gruu, "<sip:somebody@far.invalid>", 1, ""),
        );
        world.run_for(secs(1));
        assert_eq!(messages(world, alice.host), []);
        world.say(line, &answer(&leave, "200 OK", "x", ""));
        world.result(alice.host, over).expect("ended");
        // Its user is one of ours still, but takes nothing.
        assert_eq!(codes(world, line), [480]);
    });
}

// rules: E13, X6
#[test]
fn many_endpoints_end_together() {
    let mut stack = stack_with(Limits::default());
    let now = Time::ZERO;
    for number in 0..3000 {
        let mut config = SipEndpointConfig::new(format!("sip:u{number}@example.com"));
        config.server = Some(sansip::Server {
            host: "192.0.2.1".to_owned(),
            port: Some(5060),
        });
        config.transport = Transport::Tcp;
        let id = stack.add_sip_endpoint(now, config).unwrap();
        stack.endpoint(now, id).unwrap().register().unwrap();
        assert_eq!(
            stack.endpoint(now, id).unwrap().registration_state(),
            Some(RegistrationState::Registering)
        );
    }
    stack.terminate_all(now);
    let mut now = now;
    while stack.census().endpoints > 0 {
        actions(&mut stack);
        let Some((at, _)) = stack.poll_timeout() else {
            break;
        };
        now = at;
        stack.handle_timeout(now);
    }
    actions(&mut stack);
    assert_eq!((stack.census().endpoints, stack.census().operations), (0, 0));
    assert!(now < Time::ZERO + Duration::from_secs(60));
}

// rules: M4, E13
#[test]
fn what_two_endpoints_hold_is_counted_apart() {
    world::run(915, |world| {
        let it = callee_with(world, PeerToPeerConfig::new(BOB));
        let carol = world.peer_to_peer_endpoint(it.host, PeerToPeerConfig::new("sip:carol@two.invalid"));
        hold_requests(world, it.host);
        world.say(
            it.line,
            &request(
                "MESSAGE",
                "sip:carol@two.invalid",
                "<sip:carol@two.invalid>",
                1,
                "",
            ),
        );
        world.run_for(secs(1));
        let over = world.terminate(it.bob);
        world.result(it.host, over).expect("nothing of bob is held");
        let over = world.terminate(carol);
        world.run_for(secs(1));
        assert_eq!(world.ended(it.host, over), None);
        world.result(it.host, over).expect("answered 500 in the end");
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [500]);
    });
}

// rules: E11, X2
#[test]
fn what_an_endpoint_takes_cannot_break_its_messages() {
    let mut stack = stack_with(Limits::default());
    let mut refused = |argument: &str, change: &dyn Fn(&mut PeerToPeerConfig)| {
        let mut config = PeerToPeerConfig::new(BOB);
        change(&mut config);
        let result = stack.add_peer_to_peer_endpoint(Time::ZERO, config);
        let named = matches!(&result, Err(Misuse::Argument { argument: named, .. }) if *named == argument);
        assert!(named, "{argument}: {result:?}");
    };
    refused("methods", &|config| {
        config.profile.methods.push(Method::Other("A\", b=\"".into()))
    });
    refused("content_types", &|config| {
        config.profile.content_types.push("text/plain\r\nX: y".to_owned())
    });
    // These are the stack's own in Contact (R12).
    for name in ["expires", "q", "+sip.instance", "reg-id", "methods", "gruu"] {
        let own = (name.to_owned(), Some("1".to_owned()));
        refused("feature_parameters", &|config| {
            config.profile.feature_parameters.push(own.clone())
        });
    }
    refused("gruu", &|config| {
        config.gruu = Some("mailto:bob@two.invalid".to_owned())
    });
}

// RFC 3261 section 13.2.2.4: the first request over a session's own connection is the ACK.
// rules: P3, C13
#[test]
fn a_session_that_leaves_the_proxy_behind_begins_with_its_ack() {
    world::run(916, |world| {
        let (proxy, callee) = (world.peer(), world.peer());
        let proxied = world.peer_listens(proxy, 5060, Transport::Tcp);
        let address = world.peer_listens(callee, 5060, Transport::Tcp);
        let host = world.stack();
        let mut config = PeerToPeerConfig::new("sip:alice@one.invalid");
        config.outbound_proxy = Some(sansip::Proxy {
            host: proxied.ip().to_string(),
            port: Some(5060),
            transport: Transport::Tcp,
        });
        let alice = world.peer_to_peer_endpoint(host, config);
        let (session, made) = world.invite(alice, BOB, Some(sdp()));
        let line = next_line(world, proxy, 0);
        let invite = next_request(world, line, &Method::Invite);
        let more = format!("Contact: <sip:b@{address};transport=tcp>\nAllow: INVITE, UPDATE, BYE");
        world.say(line, &answer(&invite, "200 OK", "b", &more));
        world.result(host, made).expect("connected");
        let line = next_line(world, callee, 0);
        world.run_for(secs(1));
        let methods: Vec<_> = world
            .heard(line)
            .iter()
            .filter_map(|message| message.method().cloned())
            .collect();
        assert_eq!(methods.first(), Some(&Method::Ack), "{methods:?}");
        let over = world.with(host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        let bye = next_request(world, line, &Method::Bye);
        world.say(line, &answer(&bye, "200 OK", "", ""));
        world.result(host, over).expect("ended");
    });
}

// RFC 3261 section 25.1: an IPv6 address stands in brackets, RFC 3581 section 4: but not in received.
// rules: C36
#[test]
fn an_ipv6_address_stands_in_brackets() {
    let mut stack = stack_with(Limits::default());
    let now = Time::ZERO;
    stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new("sip:bob@[2001:db8::1]"))
        .unwrap();
    let listeners = listening(&mut stack, &["[2001:db8::1]:5060"]);
    let (local, remote) = (
        "[2001:db8::1]:5060".parse().unwrap(),
        "[2001:db8::9]:40000".parse().unwrap(),
    );
    let conn = stack.handle_accepted(now, listeners[0], local, remote);
    let invite = request(
        "INVITE",
        "sip:bob@[2001:db8::1]",
        "<sip:bob@[2001:db8::1]>",
        1,
        "Contact: <sip:p@[2001:db8::9]>",
    )
    .replace(";branch", ";rport;branch");
    stack.handle_bytes(now, conn, &wire(&invite));
    let session = actions(&mut stack)
        .into_iter()
        .find_map(|action| match action {
            Action::Event(Event::SessionReceived { session, .. }) => Some(session),
            _ => None,
        })
        .unwrap();
    stack.session(now, session).unwrap().accept(Some(sdp())).unwrap();
    let accepted = parsed(take_bytes(&mut stack, now, conn));
    let contact = field(&accepted, HeaderName::Contact);
    assert!(
        contact.starts_with("<sip:bob@[2001:db8::1]:5060;transport=tcp;"),
        "{contact}"
    );
    let via = field(&accepted, HeaderName::Via);
    assert!(
        via.contains("rport=40000") && via.contains("received=2001:db8::9"),
        "{via}"
    );
    let ack = request(
        "ACK",
        "sip:bob@[2001:db8::1]",
        &field(&accepted, HeaderName::To),
        1,
        "",
    )
    .replace("K1", "K2");
    stack.handle_bytes(now, conn, &wire(&ack));
    let over = stack.session(now, session).unwrap().terminate();
    let bye = parsed(take_bytes(&mut stack, now, conn));
    assert_eq!(bye.request_uri(), "sip:p@[2001:db8::9]");
    assert!(field(&bye, HeaderName::Via).starts_with("SIP/2.0/TCP [2001:db8::1]:5060;"));
    stack.handle_bytes(now, conn, &wire(&answer(&bye, "200 OK", "", "")));
    let ended = actions(&mut stack)
        .iter()
        .any(|action| matches!(action, Action::Event(Event::Completed { operation, result: Ok(_) }) if *operation == over));
    assert!(ended);
}

// rules: M5
#[test]
fn targets_that_end_their_brackets_are_misuse() {
    let mut stack = stack_with(Limits::default());
    let now = Time::ZERO;
    let bob = stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(BOB))
        .unwrap();
    for target in [
        "sip:a@b>",
        "sip:a@b>;x=<y",
        "sip:a@b\r\nX: y",
        "sip:a@b ",
        " sip:a@b",
        "sip:a>b@c",
        "sip:a@b;x=>",
        "tel:+1;x=>",
        "tel:+1>",
        "sip:a@b;x=\"y\"",
        "sip:a:b>c@d",
        "<sip:a@b>",
        "sip:a@b\u{0}",
        "sip:a@b;\n=1",
    ] {
        let sent = stack.endpoint(now, bob).unwrap().send_message(
            target,
            Method::Message,
            None,
            SendOptions::default(),
        );
        assert!(
            matches!(
                sent,
                Err(Misuse::Argument {
                    argument: "target",
                    ..
                })
            ),
            "{target:?}"
        );
    }
}

// What the one that is ending still says to its server, Expires 0 for its instance, would end the binding of the other.
// rules: E1
#[test]
fn a_pair_is_not_free_while_its_endpoint_is_still_unregistering() {
    world::run(917, |world| {
        let (peer, alice) = scripted_server_with(world, |config| config.epid = Some("one".to_owned()));
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 600, "");
        world.result(alice.host, operation).expect("registers");
        let again = |world: &mut World| {
            let mut config = SipEndpointConfig::new("sip:alice@example.com");
            config.epid = Some("one".to_owned());
            world.with(alice.host, |stack, now| stack.add_sip_endpoint(now, config))
        };
        let over = world.terminate(alice);
        let leave = next_request(world, line, &Method::Register);
        assert!(matches!(again(world), Err(Misuse::Duplicate(_))));
        world.say(line, &answer(&leave, "200 OK", "x", ""));
        world.result(alice.host, over).expect("ended");
        assert!(again(world).is_ok());
    });
}

// rules: C35, M3
#[test]
fn a_benotify_that_never_left_is_sent_over_a_fresh_connection() {
    let mut stack = stack_with(Limits::default());
    let now = Time::ZERO;
    let bob = stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(BOB))
        .unwrap();
    let sent = stack
        .endpoint(now, bob)
        .unwrap()
        .send_message("sip:p@192.0.2.9", Method::Benotify, None, SendOptions::default())
        .unwrap();
    let connect = |stack: &mut Stack| {
        let conn = actions(stack)
            .into_iter()
            .find_map(|action| match action {
                Action::Connect(connect) => Some(connect.conn),
                _ => None,
            })
            .expect("a connection is asked for");
        let established = Established {
            local: "192.0.2.1:40000".parse().unwrap(),
            remote: "192.0.2.9:5060".parse().unwrap(),
            peer: None,
        };
        stack.handle_connected(now, conn, established);
        conn
    };
    let first = connect(&mut stack);
    stack.handle_closed(now, first, CloseReason::Reset);
    let second = connect(&mut stack);
    let benotify = parsed(take_bytes(&mut stack, now, second));
    assert_eq!(benotify.method(), Some(&Method::Benotify));
    let done = actions(&mut stack).iter().any(|action| {
        matches!(action, Action::Event(Event::Completed { operation, result: Ok(_) }) if *operation == sent)
    });
    assert!(done);
}

// rules: S4, M3
#[test]
fn a_benotify_in_a_session_keeps_the_order_of_its_dialog() {
    world::run(918, |world| {
        let it = callee(world);
        accept_calls(world, it.host);
        let contact = "Contact: <sip:p@peer.invalid>";
        world.say(
            it.line,
            &request("INVITE", BOB, TO_BOB, 1, contact).replace("CSeq: 1", "CSeq: 9"),
        );
        world.run_for(secs(1));
        let accepted = world
            .heard(it.line)
            .into_iter()
            .find(|message| message.status() == Some(StatusCode::OK))
            .unwrap();
        let to = field(&accepted, HeaderName::To);
        let mut say = |method: &str, cseq: u32, branch: u32| {
            let text = request(method, BOB, &to, 1, "")
                .replace("CSeq: 1", &format!("CSeq: {cseq}"))
                .replace("z9hG4bK1", &format!("z9hG4bK{branch}"));
            world.say(it.line, &text);
        };
        say("ACK", 9, 2);
        say("BENOTIFY", 8, 3);
        say("BENOTIFY", 10, 4);
        say("BYE", 11, 5);
        world.run_for(secs(1));
        let seen: Vec<u32> = world
            .events(it.host)
            .iter()
            .filter_map(|(_, event)| match event {
                Event::SessionMessage { message, .. } => Some(message.cseq().unwrap().number),
                _ => None,
            })
            .collect();
        assert_eq!(seen, [10]);
    });
}
