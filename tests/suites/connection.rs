//! Connections as endpoints use them: pools, linger, loss, listening, TLS names (group C of the rules).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Action, CloseReason, Config, ConnId, ConnectionFailure, Content, Established, Event, ListenError,
    ManagerConfig, ManagerId, ManagerKind, Misuse, OperationError, OperationFailure, OperationId,
    PeerCertificate, PeerToPeerConfig, RegistrationReason, RegistrationState, RemovalReason, ResolveError,
    SendOptions, Server, SessionState, SipEndpointConfig, TlsFailureKind, Transport,
};
use sansip_testkit::world::{self, Chunks, Endpoint, LineId, PeerId, StackId, World};

use common::host::{Host, failure, heard};
use common::{
    TICK, accept_calls, answer, callee, codes, field, grant, hold_requests, next_line, next_request,
    receivers, registered, request, scripted_server, scripted_server_with, sdp, secs, served, session_states,
};

const BOB: &str = "sip:bob@two.invalid";

fn to_bob(method: &str, number: u32, more: &str) -> String {
    request(method, BOB, "<sip:bob@two.invalid>", number, more)
}

/// A peer-to-peer endpoint that does not listen, and a scripted peer behind the names peer.invalid and other.invalid.
fn caller(world: &mut World) -> (Endpoint, PeerId) {
    caller_with(world, Config::default())
}

fn caller_with(world: &mut World, config: Config) -> (Endpoint, PeerId) {
    let host = world.stack_with(config);
    let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@one.invalid"));
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    for name in ["peer.invalid", "other.invalid"] {
        world.names.set_addresses(name, &[address.ip()]);
    }
    (alice, peer)
}

const CAROL: &str = "sip:carol@peer.invalid:5060";

/// Sends a message and has the peer answer it.
#[track_caller]
fn exchange(world: &mut World, alice: Endpoint, peer: PeerId, target: &str) -> LineId {
    let sent = world.message(alice, target, "hi");
    for _ in 0..1000 {
        for line in world.lines(peer) {
            if let Some(got) = world.heard(line).pop() {
                world.say(line, &answer(&got, "200 OK", "c", ""));
                world.result(alice.host, sent).unwrap();
                return line;
            }
        }
        world.run_for(Duration::from_millis(10));
    }
    panic!("the message has not come");
}

/// The connections of a stack that became ready, with their managers.
fn added(world: &World, host: StackId) -> Vec<(ConnId, ManagerId)> {
    let events = world.events(host).iter();
    events
        .filter_map(|(_, event)| match event {
            Event::ConnectionAdded { conn, manager, .. } => Some((*conn, *manager)),
            _ => None,
        })
        .collect()
}

/// Why connections of a stack that were ready are gone.
fn removed(world: &World, host: StackId) -> Vec<RemovalReason> {
    let events = world.events(host).iter();
    events
        .filter_map(|(_, event)| match event {
            Event::ConnectionRemoved { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect()
}

fn users(world: &mut World, host: StackId, conn: ConnId) -> Option<usize> {
    world.with(host, |stack, _| stack.connection(conn).map(|info| info.users))
}

// ---------------------------------------------------------------- managers and pools

// rules: C1, C2
#[test]
fn each_kind_of_endpoint_has_its_managers() {
    world::run(1, |world| {
        let (alice, peer) = caller(world);
        let (client, server) = world.with(alice.host, |stack, _| {
            (stack.client_manager(), stack.server_tcp_manager())
        });
        let on_client = PeerToPeerConfig {
            manager: Some(client),
            ..PeerToPeerConfig::new("sip:x@y.invalid")
        };
        let refused = world.with(alice.host, |stack, now| {
            stack.add_peer_to_peer_endpoint(now, on_client)
        });
        assert!(matches!(refused, Err(Misuse::Kind(_))), "{refused:?}");
        exchange(world, alice, peer, CAROL);
        assert_eq!(added(world, alice.host)[0].1, server);
        // A SipEndpoint is on the client manager unless it is told otherwise.
        let sip = |manager| SipEndpointConfig {
            manager,
            transport: Transport::Tcp,
            server: Some(Server {
                host: "peer.invalid".into(),
                port: Some(5060),
            }),
            ..SipEndpointConfig::new("sip:alice@example.com")
        };
        let usual = world.sip_endpoint(alice.host, sip(None));
        exchange(world, usual, peer, CAROL);
        assert_eq!(added(world, alice.host)[1].1, client);
        let told = world.sip_endpoint(alice.host, sip(Some(server)));
        let conn = added(world, alice.host)[0].0;
        exchange(world, told, peer, CAROL);
        assert_eq!(
            added(world, alice.host).len(),
            2,
            "it shares the lingering one of its manager"
        );
        assert_eq!(users(world, alice.host, conn), Some(1), "and caches it (C6)");
    });
}

// rules: C3
#[test]
fn two_names_for_one_address_are_two_pools_and_incoming_connections_are_in_none() {
    world::run(2, |world| {
        let (alice, peer) = caller(world);
        let first = exchange(world, alice, peer, CAROL);
        let second = exchange(world, alice, peer, "sip:carol@other.invalid:5060");
        let again = exchange(world, alice, peer, "sip:carol@PEER.invalid:5060");
        let address = world.ip(peer);
        let literal = exchange(world, alice, peer, &format!("sip:carol@{address}:5060"));
        assert_eq!(first, again, "a name has one pool in any case");
        assert!(first != second && second != literal && first != literal);
        // A connection that the peer has made is not used for requests of our own.
        let it = callee(world);
        world.say(it.line, &to_bob("OPTIONS", 1, ""));
        world.run_for(secs(1));
        let address = world.peer_listens(it.peer, 5060, Transport::Tcp);
        world.message(it.bob, &format!("sip:p@{address}"), "hi");
        world.run_for(secs(1));
        assert_eq!(world.lines(it.peer).len(), 2);
    });
}

// rules: C4
#[test]
fn a_pool_grows_to_five_and_then_takes_turns() {
    world::run(3, |world| {
        let (alice, peer) = caller(world);
        for _ in 0..12 {
            world.message(alice, CAROL, "hi");
        }
        world.run_for(secs(1));
        let heard: Vec<usize> = world
            .lines(peer)
            .into_iter()
            .map(|line| world.heard(line).len())
            .collect();
        assert_eq!(
            heard,
            [3, 3, 2, 2, 2],
            "five connections, the twelve requests over them in turn"
        );
    });
}

// rules: C4, C8
#[test]
fn a_connection_without_a_user_goes_before_a_new_one() {
    world::run(4, |world| {
        let (alice, peer) = caller(world);
        let idle = exchange(world, alice, peer, CAROL);
        world.message(alice, CAROL, "one");
        world.message(alice, CAROL, "two");
        world.run_for(secs(1));
        let lines = world.lines(peer);
        assert_eq!((lines.len(), lines[0]), (2, idle));
        assert_eq!((world.heard(lines[0]).len(), world.heard(lines[1]).len()), (1, 1));
    });
}

// rules: C4
#[test]
fn the_size_of_pools_can_be_set() {
    for (size, lines) in [(1, 1), (2, 2), (usize::MAX, 7)] {
        world::run(5, move |world| {
            let (alice, peer) = caller(world);
            world.with(alice.host, |stack, now| {
                let manager = stack.server_tcp_manager();
                stack.manager(now, manager).unwrap().set_pool_size(size).unwrap();
            });
            for _ in 0..7 {
                world.message(alice, CAROL, "hi");
            }
            world.run_for(secs(1));
            assert_eq!(world.lines(peer).len(), lines, "size {size}");
        });
    }
    world::run(6, |world| {
        let (alice, peer) = caller(world);
        exchange(world, alice, peer, CAROL);
        world.with(alice.host, |stack, now| {
            let (client, server) = (stack.client_manager(), stack.server_tcp_manager());
            assert!(
                stack.manager(now, client).unwrap().set_pool_size(3).is_err(),
                "a client manager does not share"
            );
            let mut manager = stack.manager(now, server).unwrap();
            assert!(manager.set_pool_size(0).is_err());
            assert!(
                manager
                    .set_pool_maximum("far.invalid", None, Transport::Tcp, 3)
                    .is_err(),
                "there is no such pool"
            );
            manager
                .set_pool_maximum("peer.invalid", Some(5060), Transport::Tcp, 1)
                .unwrap();
        });
        for _ in 0..3 {
            world.message(alice, CAROL, "hi");
            world.message(alice, "sip:carol@other.invalid:5060", "hi");
        }
        world.run_for(secs(1));
        assert_eq!(
            world.lines(peer).len(),
            1 + 3,
            "one pool is bounded, the other is not"
        );
    });
}

// rules: C5, C6, R22
#[test]
fn each_sip_endpoint_has_one_connection_for_everything_until_it_is_terminated() {
    world::run(7, |world| {
        let server = served(world);
        let host = world.stack();
        let mut endpoints = Vec::new();
        for user in ["alice", "bob"] {
            let config = world.account(server, user);
            let endpoint = world.sip_endpoint(host, config);
            let operation = world.register(endpoint);
            world.result(host, operation).unwrap();
            endpoints.push(endpoint);
        }
        let links = world.links(host, server);
        assert_eq!(links.len(), 2, "a client manager does not share");
        let alice = endpoints[0];
        // Far from linger and idle times: messages, whatever the target, go over the one connection.
        for target in [
            "sip:bob@example.com",
            "sip:x@far.invalid;transport=tls",
            "tel:+4989123",
            "sip:y@192.0.2.77:9",
        ] {
            world.run_for(secs(1200));
            let sent = world.message(alice, target, "hi");
            let _ = world.result(host, sent);
        }
        assert_eq!(world.links(host, server), links);
        let elsewhere = added(world, host).len();
        assert_eq!(elsewhere, 2, "nothing was sent elsewhere");
        let ended = world.terminate(alice);
        world.result(host, ended).unwrap();
        world.run_for(secs(1));
        assert_eq!(
            world.links(host, server),
            links[1..],
            "released with its endpoint, and not kept"
        );
    });
}

// rules: C7, C8
#[test]
fn a_released_connection_is_kept_for_a_minute() {
    world::run(8, |world| {
        let (alice, peer) = caller(world);
        let sent = world.message(alice, CAROL, "hi");
        let line = next_line(world, peer, 0);
        let got = next_request(world, line, &Method::Message);
        let conn = added(world, alice.host)[0].0;
        assert_eq!(
            users(world, alice.host, conn),
            Some(1),
            "the transaction holds it"
        );
        world.say(line, &answer(&got, "200 OK", "c", ""));
        world.result(alice.host, sent).unwrap();
        assert_eq!(users(world, alice.host, conn), Some(0), "and releases it");
        let link = world.link_between(alice.host, peer);
        world.run_for(secs(60) - TICK);
        assert!(world.is_open(link));
        world.run_for(TICK);
        assert!(!world.is_open(link));
        assert_eq!(removed(world, alice.host), [RemovalReason::Released]);
        // Used again within the minute, it has a minute anew.
        let first = exchange(world, alice, peer, CAROL);
        world.run_for(secs(59));
        let second = exchange(world, alice, peer, CAROL);
        assert_eq!(first, second);
        let link = world.link_between(alice.host, peer);
        world.run_for(secs(60) - TICK);
        assert!(world.is_open(link));
        world.run_for(TICK);
        assert!(!world.is_open(link));
        world.run_for(secs(1));
        assert_ne!(exchange(world, alice, peer, CAROL), second);
    });
}

// rules: C8
#[test]
fn the_time_that_a_connection_is_kept_can_be_set() {
    world::run(9, |world| {
        let (alice, peer) = caller_with(
            world,
            Config {
                linger: secs(5),
                ..Config::default()
            },
        );
        exchange(world, alice, peer, CAROL);
        let link = world.link_between(alice.host, peer);
        world.run_for(secs(5) - TICK);
        assert!(world.is_open(link));
        world.run_for(TICK);
        assert!(!world.is_open(link));
    });
}

/// Establishes a session with a scripted callee on this line, or on the next one; gives it with its INVITE.
fn establish(
    world: &mut World,
    alice: Endpoint,
    line: Option<LineId>,
    peer: PeerId,
    more: &str,
) -> (sansip::SessionId, Message, LineId) {
    let known = world.lines(peer).len();
    let (session, made) = world.invite(alice, CAROL, Some(sdp()));
    let line = line.unwrap_or_else(|| next_line(world, peer, known));
    let invite = next_request(world, line, &Method::Invite);
    let contact = format!("Contact: <{CAROL}>\n{more}");
    world.say(line, &answer(&invite, "200 OK", "c", &contact));
    world.result(alice.host, made).unwrap();
    next_request(world, line, &Method::Ack);
    (session, invite, line)
}

fn hang_up(world: &mut World, alice: Endpoint, session: sansip::SessionId, line: LineId) {
    let ended = world.with(alice.host, |stack, now| {
        stack.session(now, session).unwrap().terminate()
    });
    let bye = next_request(world, line, &Method::Bye);
    world.say(line, &answer(&bye, "200 OK", "c", ""));
    world.result(alice.host, ended).unwrap();
}

// rules: C9, C8
#[test]
fn sessions_keep_their_connection_and_users_are_counted_across_endpoints() {
    world::run(10, |world| {
        let config = Config {
            pool_size: 1,
            ..Config::default()
        };
        let (alice, peer) = caller_with(world, config);
        let second = world.peer_to_peer_endpoint(alice.host, PeerToPeerConfig::new("sip:second@one.invalid"));
        let (first_session, _, line) = establish(world, alice, None, peer, "");
        let (second_session, _, _) = establish(world, second, Some(line), peer, "");
        let conn = added(world, alice.host)[0].0;
        world.run_for(secs(40));
        assert_eq!(users(world, alice.host, conn), Some(2), "one for each session");
        world.run_for(secs(600));
        hang_up(world, alice, first_session, line);
        assert_eq!(users(world, alice.host, conn), Some(1));
        world.run_for(secs(120));
        assert!(world.is_line_open(line), "the other endpoint's session holds it");
        let link = world.link_between(alice.host, peer);
        hang_up(world, second, second_session, line);
        world.run_for(secs(60) - TICK);
        assert!(world.is_open(link));
        world.run_for(TICK);
        assert!(!world.is_open(link));
    });
}

// rules: C12
#[test]
fn an_incoming_connection_has_a_minute_for_its_first_valid_message() {
    world::run(11, |world| {
        let it = callee(world);
        let proven = it.line;
        let silent = world.dial(it.peer, it.address, None);
        let noisy = world.dial(it.peer, it.address, None);
        world.run_for(Duration::from_millis(10));
        let links = world.links(it.host, it.peer);
        world.run_for(secs(50));
        world.say(proven, &to_bob("OPTIONS", 1, ""));
        // Keep-alives and what is refused as malformed are no valid message.
        world.say_bytes(noisy, b"\r\n\r\n");
        world.say(noisy, &to_bob("OPTIONS", 2, "").replace("CSeq: 1", "CSeq: x"));
        world.run_for(secs(10) - TICK);
        assert!(links.iter().all(|link| world.is_open(*link)));
        world.run_for(TICK);
        let open: Vec<bool> = links.iter().map(|link| world.is_open(*link)).collect();
        assert_eq!(open, [true, false, false]);
        assert_eq!(
            removed(world, it.host),
            [RemovalReason::Unproven, RemovalReason::Unproven]
        );
        world.run_for(secs(1));
        assert!(world.is_line_open(proven) && !world.is_line_open(silent) && !world.is_line_open(noisy));
    });
}

// ---------------------------------------------------------------- loss

// rules: C13, S18, C36
#[test]
fn a_session_survives_its_connection_and_tells_the_peer_its_new_address() {
    world::run(12, |world| {
        let (alice, peer) = caller(world);
        let (session, invite, line) =
            establish(world, alice, None, peer, "Allow: INVITE, ACK, BYE, UPDATE, INFO");
        world.break_off(line);
        world.run_for(secs(300));
        assert_eq!(
            session_states(world, alice.host).last(),
            Some(&SessionState::Connected)
        );
        assert_eq!(
            world.lines(peer),
            [],
            "no new one before there is something to say"
        );
        let sent = world.with(alice.host, |stack, now| {
            stack
                .session(now, session)
                .unwrap()
                .send(Method::Info, None, vec![])
                .unwrap()
        });
        let fresh = next_line(world, peer, 0);
        world.run_for(secs(1));
        let heard = world.heard(fresh);
        let methods: Vec<&Method> = heard.iter().filter_map(Message::method).collect();
        assert!(
            methods.contains(&&Method::Update) && methods.contains(&&Method::Info) && methods.len() == 2,
            "{methods:?}"
        );
        let update = heard
            .iter()
            .find(|message| message.method() == Some(&Method::Update))
            .unwrap();
        assert_ne!(
            field(update, HeaderName::Contact),
            field(&invite, HeaderName::Contact)
        );
        for got in &heard {
            world.say(fresh, &answer(got, "200 OK", "c", ""));
        }
        world.result(alice.host, sent).unwrap();
        hang_up(world, alice, session, fresh);
    });
}

// rules: C13
#[test]
fn where_the_contact_names_a_listening_address_nothing_has_to_be_told() {
    world::run(13, |world| {
        let (alice, peer) = caller(world);
        world.listen(alice.host, 5060);
        let (session, invite, line) =
            establish(world, alice, None, peer, "Allow: INVITE, ACK, BYE, UPDATE, INFO");
        let listening = format!("{}:5060", world.ip(alice.host));
        assert!(field(&invite, HeaderName::Contact).contains(&listening));
        world.break_off(line);
        world.run_for(secs(1));
        let ended = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        let fresh = next_line(world, peer, 0);
        world.run_for(secs(1));
        let heard = world.heard(fresh);
        assert_eq!(
            heard.iter().filter_map(Message::method).collect::<Vec<_>>(),
            [&Method::Bye]
        );
        world.say(fresh, &answer(&heard[0], "200 OK", "c", ""));
        world.result(alice.host, ended).unwrap();
    });
}

// rules: C33
#[test]
fn a_response_goes_over_the_connection_of_its_request_or_to_the_address_in_via() {
    world::run(14, |world| {
        let it = callee(world);
        hold_requests(world, it.host);
        let sent_by = world.peer_listens(it.peer, 5099, Transport::Tcp);
        let second = world.dial(it.peer, it.address, None);
        let from = |number: u32| {
            to_bob("MESSAGE", number, "").replace("peer.invalid;branch", &format!("{sent_by};branch"))
        };
        // Two requests over two connections: each answer over its own.
        world.say(it.line, &from(1));
        world.say(second, &from(2));
        world.run_for(secs(1));
        let held: Vec<_> = world
            .events(it.host)
            .iter()
            .filter_map(|(_, event)| match event {
                Event::MessageReceived { incoming, .. } => Some(*incoming),
                _ => None,
            })
            .collect();
        let reply = |world: &mut World, place: usize| {
            world.with(it.host, |stack, now| {
                stack
                    .incoming(now, held[place])
                    .unwrap()
                    .answer(StatusCode::ACCEPTED, None, None, &[])
                    .unwrap();
            });
            world.run_for(secs(1));
        };
        reply(world, 1);
        assert_eq!((codes(world, it.line), codes(world, second)), (vec![], vec![202]));
        // The first connection goes before its answer: a new one to the address in Via carries it.
        world.hang_up(it.line);
        world.run_for(secs(1));
        reply(world, 0);
        let lines = world.lines(it.peer);
        let fresh = *lines.last().unwrap();
        assert_ne!(fresh, second);
        let heard = world.heard(fresh);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].call_id().unwrap(), "call-1");
        assert_eq!(heard[0].status().unwrap().code(), 202);
    });
}

/// Where the Via and the Contact of a message say that a host which listens at these addresses is, when the message goes over
/// a connection from 10.0.0.1:50000.
fn told_address(listens: &[&str], name: Option<&str>) -> (String, String) {
    let now = sansip::Time::from_secs(1);
    let config = Config {
        local_host_name: name.map(str::to_owned),
        ..Config::default()
    };
    let mut stack = sansip::Stack::new(config, [7; 32], now, sansip::UnixTime(1_700_000_000));
    let bob = PeerToPeerConfig::new(BOB);
    let bob = stack.add_peer_to_peer_endpoint(now, bob).unwrap();
    let manager = stack.server_tcp_manager();
    for address in listens {
        let address: SocketAddr = address.parse().unwrap();
        let listener = stack.manager(now, manager).unwrap().listen(address).unwrap();
        stack.handle_listening(now, listener, Ok(address));
    }
    let mut view = stack.endpoint(now, bob).unwrap();
    let options = SendOptions::default();
    view.send_message("sip:p@10.0.0.2", Method::Options, None, options)
        .unwrap();
    while let Some(action) = stack.poll_action() {
        if let Action::Connect(connect) = action {
            let established = Established {
                local: "10.0.0.1:50000".parse().unwrap(),
                remote: connect.remote,
                peer: None,
            };
            stack.handle_connected(now, connect.conn, established);
            let bytes: Vec<u8> = stack.transmit(connect.conn).flatten().copied().collect();
            let sent = Message::parse(bytes.into(), &sansip::wire::MessageLimits::default()).unwrap();
            let via = sent.via_top().unwrap();
            let sent_by = format!("{}:{}", via.host, via.port.unwrap());
            let contact = field(&sent, HeaderName::Contact);
            let host = contact.split(['@', ';']).nth(1).unwrap_or_default();
            return (sent_by, host.to_owned());
        }
    }
    panic!("no connection is asked for");
}

// rules: C36, P7
#[test]
fn a_message_names_the_address_that_its_receiver_has_the_best_chance_to_reach() {
    for (listens, expected) in [
        // Where nobody listens there is the connection itself.
        (&[][..], "10.0.0.1:50000"),
        (&["10.0.0.1:5060"], "10.0.0.1:5060"),
        // At all addresses: the one that the connection has.
        (&["0.0.0.0:5070"], "10.0.0.1:5070"),
        (
            &["10.0.0.9:5060", "0.0.0.0:5070", "10.0.0.1:5080"],
            "10.0.0.1:5080",
        ),
        (&["10.0.0.9:5060", "0.0.0.0:5070"], "10.0.0.1:5070"),
        (&["0.0.0.0:5070", "10.0.0.9:5060"], "10.0.0.1:5070"),
        (&["10.0.0.9:5060"], "10.0.0.9:5060"),
        // Of no use to another host, or to one that speaks IPv4.
        (&["127.0.0.1:5060"], "10.0.0.1:50000"),
        (&["[2001:db8::1]:5060"], "10.0.0.1:50000"),
        (&["[::]:5060"], "10.0.0.1:50000"),
    ] {
        let both = (expected.to_owned(), expected.to_owned());
        assert_eq!(told_address(listens, None), both, "{listens:?}");
    }
    // A name is that of a host that can be called.
    let named = "bob.example.com:5060".to_owned();
    assert_eq!(
        told_address(&["10.0.0.1:5060"], Some("bob.example.com")),
        (named.clone(), named)
    );
    let own = "10.0.0.1:50000".to_owned();
    assert_eq!(told_address(&[], Some("bob.example.com")), (own.clone(), own));
}

// rules: C33, X6
#[test]
fn a_response_is_held_while_it_waits_for_its_connection() {
    let mut host = Host::new(|_| {});
    let conn = host.peer();
    for number in 1..=2 {
        let asks = to_bob("MESSAGE", number, "").replace("peer.invalid;branch", "10.0.0.2:5099;branch");
        host.say(conn, &asks);
    }
    let now = host.now;
    let mut asked = Vec::new();
    while let Some(action) = host.stack.poll_action() {
        if let Action::Event(Event::MessageReceived { incoming, .. }) = action {
            host.stack.incoming(now, incoming).unwrap().hold().unwrap();
            asked.push(incoming);
        }
    }
    assert_eq!(host.stack.census().incoming, 2);
    host.stack.handle_closed(now, conn, CloseReason::Reset);
    for (place, incoming) in asked.into_iter().enumerate() {
        let mut view = host.stack.incoming(now, incoming).unwrap();
        view.answer(StatusCode::ACCEPTED, None, None, &[]).unwrap();
        assert_eq!(host.stack.census().replies, place + 1);
    }
    let actions = host.drain();
    let wanted: Vec<ConnId> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Connect(connect) => Some(connect.conn),
            _ => None,
        })
        .collect();
    let mut answers = Vec::new();
    for conn in wanted {
        let established = Established {
            local: "10.0.0.1:50000".parse().unwrap(),
            remote: "10.0.0.2:5099".parse().unwrap(),
            peer: None,
        };
        host.stack.handle_connected(now, conn, established);
        answers.extend(host.codes(conn));
    }
    assert_eq!(answers, [202, 202]);
    let census = host.stack.census();
    assert_eq!((census.replies, census.incoming), (0, 0));
}

// RFC 3261 section 12.1.1: by the Request-URI, or the top Record-Route, or where there is none by the Contact.
// rules: C36, S4
#[test]
fn the_answer_to_who_is_reached_by_sips_names_sips() {
    let (sip, sips) = ("Contact: <sip:p@10.0.0.2>", "Contact: <sips:p@10.0.0.2>");
    for (number, (more, expected)) in [
        (sip.to_owned(), "<sip:"),
        (sips.to_owned(), "<sips:"),
        (format!("{sip}\nRecord-Route: <sips:10.0.0.2;lr>"), "<sips:"),
        (format!("{sips}\nRecord-Route: <sip:10.0.0.2;lr>"), "<sip:"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut host = Host::new(|_| {});
        let conn = host.peer();
        host.say(conn, &to_bob("INVITE", u32::try_from(number).unwrap(), &more));
        let received = |event: &Event| match event {
            Event::SessionReceived { session, .. } => Some(*session),
            _ => None,
        };
        let session = heard(&host.drain(), received)[0];
        let mut view = host.stack.session(host.now, session).unwrap();
        view.accept(None).unwrap();
        host.drain();
        let contact = field(host.sent(conn).last().unwrap(), HeaderName::Contact);
        assert!(contact.starts_with(expected), "{more}: {contact}");
    }
}

// rules: E13
#[test]
fn an_endpoint_is_not_over_while_one_of_its_requests_is_to_be_answered() {
    let mut host = Host::new(|_| {});
    let conn = host.peer();
    let now = host.now;
    let mut asked = Vec::new();
    for number in 1..=2 {
        host.say(conn, &to_bob("MESSAGE", number, ""));
        while let Some(action) = host.stack.poll_action() {
            if let Action::Event(Event::MessageReceived { incoming, .. }) = action {
                host.stack.incoming(now, incoming).unwrap().hold().unwrap();
                asked.push(incoming);
            }
        }
    }
    let bob = host.bob;
    let ends = host.stack.terminate(now, bob);
    let is_over = |host: &mut Host| {
        let told = |event: &Event| matches!(event, Event::Completed { operation, .. } if *operation == ends);
        !heard(&host.drain(), |event| told(event).then_some(())).is_empty()
    };
    assert!(!is_over(&mut host));
    for (incoming, last) in asked.into_iter().zip([false, true]) {
        let mut view = host.stack.incoming(now, incoming).unwrap();
        view.answer(StatusCode::OK, None, None, &[]).unwrap();
        assert_eq!(is_over(&mut host), last);
    }
}

fn sends(world: &mut World, alice: Endpoint, method: Method, content: Option<Content>) -> OperationId {
    world
        .with(alice.host, |stack, now| {
            stack
                .endpoint(now, alice.id)?
                .send_message(CAROL, method, content, SendOptions::default())
        })
        .unwrap()
}

// rules: C35
#[test]
fn a_request_that_may_have_arrived_is_not_sent_again() {
    world::run(15, |world| {
        let (alice, peer) = caller(world);
        let sent = world.message(alice, CAROL, "once");
        let line = next_line(world, peer, 0);
        next_request(world, line, &Method::Message);
        world.break_off(line);
        let error = world.result(alice.host, sent).unwrap_err();
        assert_eq!(
            error,
            OperationError::ConnectionFailure(ConnectionFailure::Lost(CloseReason::Reset))
        );
        world.run_for(secs(10));
        assert_eq!(world.lines(peer), [], "the peer has seen it once");
        assert_eq!(
            world.with(alice.host, |stack, _| stack.counters().sent.requests()),
            1
        );
    });
}

// rules: C35
#[test]
fn a_request_of_which_no_byte_has_left_is_sent_once_more() {
    world::run(16, |world| {
        let (alice, peer) = caller_with(
            world,
            Config {
                pool_size: 1,
                ..Config::default()
            },
        );
        exchange(world, alice, peer, CAROL);
        let link = world.link_between(alice.host, peer);
        // What is on the connection now fills the window; the next request waits behind it.
        world.black_hole_from(link, alice.host);
        let first = sends(
            world,
            alice,
            Method::Message,
            Some(Content::text("x".repeat(70_000))),
        );
        let second = world.message(alice, CAROL, "waits");
        world.run_for(secs(1));
        world.reset(link);
        world.run_for(secs(1));
        let error = world.ended(alice.host, first).cloned();
        assert_eq!(
            error,
            Some(Err(OperationError::ConnectionFailure(ConnectionFailure::Lost(
                CloseReason::Reset
            ))))
        );
        assert_eq!(world.ended(alice.host, second), None);
        let line = world.lines(peer)[0];
        let again = next_request(world, line, &Method::Message);
        assert_eq!(again.body_bytes(), b"waits");
        assert_eq!(world.heard(line), [], "that one, and once");
        // Lost again, it fails: once more means once.
        world.break_off(line);
        let error = world.result(alice.host, second).unwrap_err();
        assert!(matches!(error, OperationError::ConnectionFailure(_)), "{error:?}");
        world.run_for(secs(10));
        assert_eq!(world.lines(peer), []);
    });
}

// rules: C35, C36
#[test]
fn what_may_be_repeated_safely_goes_out_again_over_a_fresh_connection() {
    world::run(17, |world| {
        let (alice, peer) = caller(world);
        let sent = sends(world, alice, Method::Options, None);
        let line = next_line(world, peer, 0);
        let first = next_request(world, line, &Method::Options);
        world.break_off(line);
        world.run_for(secs(1));
        let line = world.lines(peer)[0];
        let second = next_request(world, line, &Method::Options);
        let branch = |message: &Message| message.via_top().unwrap().branch().unwrap().to_owned();
        assert_ne!(branch(&first), branch(&second), "a new transaction");
        assert_eq!(first.call_id().unwrap(), second.call_id().unwrap());
        world.say(line, &answer(&second, "200 OK", "c", ""));
        world.result(alice.host, sent).unwrap();
    });
}

// rules: C35
#[test]
fn a_pooled_connection_that_was_dead_before_is_not_counted_against_a_request() {
    world::run(18, |world| {
        let (alice, peer) = caller(world);
        let line = exchange(world, alice, peer, CAROL);
        // The end arrives before the request is written: nothing has left, and the pool makes a new one.
        world.hang_up(line);
        world.run_for(Duration::from_millis(10));
        let fresh = exchange(world, alice, peer, CAROL);
        assert_ne!(line, fresh);
    });
}

// rules: C36
#[test]
fn via_and_contact_name_the_connection_that_carries_the_request() {
    world::run(19, |world| {
        let (peer, alice) = scripted_server(world);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let sent = sends(world, alice, Method::Options, None);
            let line = next_line(world, peer, 0);
            let got = next_request(world, line, &Method::Options);
            world.say(line, &answer(&got, "200 OK", "c", ""));
            world.result(alice.host, sent).unwrap();
            let conn = added(world, alice.host).last().unwrap().0;
            let local = world.with(alice.host, |stack, _| {
                stack.connection(conn).unwrap().local.unwrap()
            });
            assert!(
                field(&got, HeaderName::Via).starts_with(&format!("SIP/2.0/TCP {local};")),
                "{got:?}"
            );
            assert!(
                field(&got, HeaderName::Contact).contains(&format!("@{local};transport=tcp")),
                "{got:?}"
            );
            seen.push(local);
            world.hang_up(line);
            world.run_for(secs(1));
        }
        assert_ne!(seen[0], seen[1]);
    });
}

// rules: C30, C29
#[test]
fn a_peer_that_does_not_read_cannot_make_the_queue_grow() {
    world::run(20, |world| {
        let mut config = Config {
            pool_size: 1,
            ..Config::default()
        };
        config.limits.send_queue = 100_000;
        let (alice, peer) = caller_with(world, config);
        exchange(world, alice, peer, CAROL);
        let link = world.link_between(alice.host, peer);
        world.black_hole(link);
        // 64 KiB are in the peer's window; 100,000 bytes may wait besides.
        let mut sent = Vec::new();
        for _ in 0..4 {
            sent.push(sends(
                world,
                alice,
                Method::Message,
                Some(Content::text("x".repeat(40_000))),
            ));
        }
        let queued = world.with(alice.host, |stack, _| stack.census().queued_bytes);
        assert!((90_000..=100_000).contains(&queued), "{queued}");
        assert_eq!(removed(world, alice.host), []);
        let last = sends(
            world,
            alice,
            Method::Message,
            Some(Content::text("x".repeat(8_000))),
        );
        assert_eq!(removed(world, alice.host), [RemovalReason::SlowReader]);
        world.run_for(secs(1));
        for operation in &sent[..2] {
            let error = world.ended(alice.host, *operation).unwrap().as_ref().unwrap_err();
            assert_eq!(
                *error,
                OperationError::ConnectionFailure(ConnectionFailure::Closed(RemovalReason::SlowReader))
            );
        }
        // Those of which no byte had left are on a fresh connection (C35).
        let line = world.lines(peer).into_iter().next_back().unwrap();
        assert!(!world.heard(line).is_empty());
        let _ = world.result(alice.host, last);
    });
}

// rules: C29
#[test]
fn any_split_gives_the_same_and_lost_framing_closes_the_connection() {
    for chunks in [Chunks::Whole, Chunks::Of(1), Chunks::Of(7), Chunks::Random] {
        world::run(21, move |world| {
            world.network.chunks = chunks;
            let it = callee(world);
            world.say_bytes(it.line, b"\r\n\r\n\r\n");
            for number in 1..=3 {
                let body = format!("Content-Type: text/plain\n\nbody {number}\r\n\r\nOPTIONS x SIP/2.0");
                world.say(
                    it.line,
                    &format!("{}\n{body}", to_bob("MESSAGE", number, "").trim_end()),
                );
            }
            world.run_for(secs(1));
            let bodies: Vec<usize> = common::messages(world, it.host)
                .iter()
                .map(|message| message.body_bytes().len())
                .collect();
            assert_eq!(bodies, [6 + 4 + 17; 3]);
            assert_eq!(codes(world, it.line), [200; 3]);
            assert!(world.is_line_open(it.line));
        });
    }
    for (length, status) in [
        ("Content-Length: -1", 400),
        ("Content-Length: 5\nContent-Length: 6", 400),
        ("Content-Length: abc", 400),
        ("Content-Length: 99999999999999999999", 413),
    ] {
        world::run(22, move |world| {
            let it = callee(world);
            world.say(it.line, &to_bob("MESSAGE", 1, length));
            world.say(it.line, &to_bob("OPTIONS", 2, ""));
            world.run_for(secs(1));
            let got = codes(world, it.line);
            assert!(got == [status] || got == [400], "{length}: {got:?}");
            assert!(!world.is_line_open(it.line), "{length}");
            assert_eq!(receivers(world, it.host), [], "what follows means nothing");
            assert!(matches!(
                removed(world, it.host)[..],
                [RemovalReason::FramingLost(_)]
            ));
        });
    }
}

// ---------------------------------------------------------------- listening

// rules: C14
#[test]
fn listening_starts_stops_and_is_misuse_twice() {
    world::run(23, |world| {
        let host = world.stack();
        let bob = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let ip = world.ip(host);
        let chosen = world.listen(host, 0);
        assert_ne!(chosen.port(), 0, "the one in use is reported");
        let fixed = world.listen(host, 5080);
        let addresses = world.with(host, |stack, now| {
            let (client, server) = (stack.client_manager(), stack.server_tcp_manager());
            assert!(matches!(
                stack.manager(now, client).unwrap().listen(fixed),
                Err(Misuse::Kind(_))
            ));
            let mut manager = stack.manager(now, server).unwrap();
            assert!(matches!(
                manager.listen(fixed),
                Err(Misuse::Argument {
                    argument: "address",
                    ..
                })
            ));
            assert!(matches!(
                manager.listen(chosen),
                Err(Misuse::Argument {
                    argument: "address",
                    ..
                })
            ));
            manager.listeners()
        });
        assert_eq!(
            addresses
                .iter()
                .map(|(_, address, _)| *address)
                .collect::<Vec<_>>(),
            [chosen, fixed]
        );
        // Both bring requests.
        let peer = world.peer();
        for (number, address) in [(1, chosen), (2, fixed)] {
            let line = world.dial(peer, address, None);
            world.say(line, &to_bob("OPTIONS", number, ""));
            world.run_for(secs(1));
            assert_eq!(codes(world, line), [200]);
        }
        // Stopping one leaves the other and what was accepted.
        world.with(host, |stack, now| {
            let server = stack.server_tcp_manager();
            let mut manager = stack.manager(now, server).unwrap();
            manager.stop_listening(addresses[0].0).unwrap();
            assert!(manager.stop_listening(addresses[0].0).is_err());
        });
        let old = world.lines(peer)[0];
        world.say(old, &to_bob("OPTIONS", 3, ""));
        let refused = world.dial(peer, chosen, None);
        world.run_for(secs(1));
        assert_eq!(codes(world, old), [200]);
        assert!(!world.is_line_open(refused));
        assert_eq!(receivers(world, host), [bob.id; 3]);
        // Addresses that are in use, or of another host.
        for (address, error) in [
            (SocketAddr::new(ip, 5080), ListenError::AddressInUse),
            (
                "192.0.2.1:5060".parse().unwrap(),
                ListenError::AddressNotAvailable,
            ),
        ] {
            let asked = world.with(host, |stack, now| {
                let manager = stack
                    .add_manager(ManagerConfig::new(ManagerKind::ServerTcp))
                    .unwrap();
                stack.manager(now, manager).unwrap().listen(address).unwrap()
            });
            world.run_for(secs(1));
            let ended = world.events(host).iter().find_map(|(_, event)| match event {
                Event::ListeningEnded { listener, error } if *listener == asked => error.clone(),
                _ => None,
            });
            assert_eq!(ended, Some(error));
        }
    });
}

// rules: C15
#[test]
fn without_a_port_it_is_5060_or_5061() {
    assert_eq!(
        (Transport::Tcp.default_port(), Transport::Tls.default_port()),
        (5060, 5061)
    );
    world::run(24, |world| {
        let (alice, peer) = caller(world);
        exchange(world, alice, peer, "sip:carol@peer.invalid");
    });
}

// ---------------------------------------------------------------- TLS

// rules: C17
#[test]
fn a_connection_is_used_only_for_the_name_that_its_certificate_is_for() {
    world::run(25, |world| {
        let host = world.stack();
        let manager = world.with(host, |stack, _| {
            stack
                .add_manager(ManagerConfig::new(ManagerKind::ServerTls))
                .unwrap()
        });
        let config = PeerToPeerConfig {
            manager: Some(manager),
            default_transport: Transport::Tls,
            ..PeerToPeerConfig::new("sip:alice@one.invalid")
        };
        let alice = world.peer_to_peer_endpoint(host, config);
        let peer = world.peer();
        world.set_certificate(
            peer,
            PeerCertificate {
                dns_names: vec!["peer.invalid".into()],
                common_name: Some("other.invalid".into()),
                ..PeerCertificate::default()
            },
        );
        let address = world.peer_listens(peer, 5061, Transport::Tls);
        for name in ["peer.invalid", "other.invalid"] {
            world.names.set_addresses(name, &[address.ip()]);
        }
        exchange(world, alice, peer, "sips:carol@peer.invalid");
        let conn = added(world, host)[0].0;
        let matched = world.with(host, |stack, _| {
            stack.connection(conn).unwrap().matched.map(str::to_string)
        });
        assert_eq!(matched.as_deref(), Some("peer.invalid"));
        // The same address under another name: its own connection, whose certificate does not do. The common name does
        // not count where there is a subjectAltName (RFC 5922 section 7.1).
        let sent = world.message(alice, "sips:carol@other.invalid", "hi");
        let error = world.result(host, sent).unwrap_err();
        assert!(
            matches!(&error, OperationError::Tls(failure) if failure.kind == TlsFailureKind::IncorrectNameInRemoteCertificate),
            "{error:?}"
        );
        let lines = world.lines(peer);
        assert!(
            lines.iter().all(|line| world.heard(*line).is_empty()),
            "not a byte went to it"
        );
    });
}

// rules: C17
#[test]
fn the_name_is_the_one_before_the_look_up() {
    world::run(26, |world| {
        let server = served(world);
        let ip = world.ip(server);
        // The service of example.com is at another host; the certificate has to name example.com.
        let record = sansip::SrvRecord {
            priority: 0,
            weight: 0,
            port: 5061,
            target: "edge.hoster.invalid".into(),
        };
        world
            .names
            .set_services("_sips._tcp.example.com", std::slice::from_ref(&record));
        world.names.set_addresses("edge.hoster.invalid", &[ip]);
        let config = |world: &World| {
            let mut config = world.account(server, "alice");
            config.server = None;
            config.transport = Transport::Tls;
            config
        };
        let host = world.stack();
        let good = config(world);
        let alice = world.sip_endpoint(host, good);
        let operation = world.register(alice);
        world.result(host, operation).unwrap();
        world.set_certificate(
            server,
            PeerCertificate {
                dns_names: vec!["edge.hoster.invalid".into()],
                ..PeerCertificate::default()
            },
        );
        let other = config(world);
        let second = world.sip_endpoint(host, other);
        let operation = world.register(second);
        let error = world.result(host, operation).unwrap_err();
        assert!(
            matches!(&error, OperationError::Tls(failure) if failure.kind == TlsFailureKind::IncorrectNameInRemoteCertificate),
            "{error:?}"
        );
    });
}

// rules: C17, R22
#[test]
fn over_tls_everything_works_as_over_tcp() {
    world::run(27, |world| {
        let server = served(world);
        let mut endpoints = Vec::new();
        for user in ["alice", "bob"] {
            let mut config = world.account(server, user);
            config.transport = Transport::Tls;
            config.server.as_mut().unwrap().port = None;
            let host = world.stack();
            let endpoint = world.sip_endpoint(host, config);
            let operation = world.register(endpoint);
            world.result(host, operation).unwrap();
            endpoints.push(endpoint);
        }
        accept_calls(world, endpoints[1].host);
        let (_, made) = world.invite(endpoints[0], "sip:bob@example.com", Some(sdp()));
        world.result(endpoints[0].host, made).unwrap();
    });
}

// rules: C6, C13, R22
#[test]
fn in_dialogs_too_everything_goes_over_the_servers_connection() {
    world::run(28, |world| {
        let (peer, alice) = scripted_server_with(world, |config| config.auto_refresh = true);
        let registered = world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 3600, "");
        world.result(alice.host, registered).unwrap();
        let (session, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        let invite = next_request(world, line, &Method::Invite);
        let elsewhere = "Contact: <sip:bob@192.0.2.50:7777;transport=tls>\nRecord-Route: <sip:192.0.2.60;lr>";
        world.say(line, &answer(&invite, "200 OK", "b", elsewhere));
        world.result(alice.host, made).unwrap();
        let ack = next_request(world, line, &Method::Ack);
        assert_eq!(ack.request_uri(), "sip:bob@192.0.2.50:7777;transport=tls");
        assert_eq!(
            field(&ack, HeaderName::Route),
            "<sip:192.0.2.60;lr>",
            "the route set fills the headers"
        );
        let ended = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        let bye = next_request(world, line, &Method::Bye);
        world.say(line, &answer(&bye, "200 OK", "b", ""));
        world.result(alice.host, ended).unwrap();
        let asked = world
            .trace()
            .lines()
            .filter(|line| line.what().starts_with("Connect("))
            .count();
        assert_eq!(asked, 1);
        // Leaving: the server answers the last REGISTER.
        let gone = world.terminate(alice);
        grant(world, line, 0, "");
        world.result(alice.host, gone).unwrap();
    });
}

// rules: C10, R6
#[test]
fn a_client_managers_connection_is_not_closed_for_idleness() {
    world::run(29, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        let link = world.link_between(alice.host, server);
        world.run_for(secs(24 * 3600));
        assert!(world.is_open(link));
    });
}

// ---------------------------------------------------------------- the word of the application

fn authorize(world: &mut World, host: StackId) {
    world.with(host, |stack, now| {
        for manager in [stack.client_manager(), stack.server_tcp_manager()] {
            stack.manager(now, manager).unwrap().set_authorizes(true);
        }
    });
}

/// The connections that the application has been asked about, with who made them.
fn asked(world: &World, host: StackId) -> Vec<(ConnId, bool)> {
    let events = world.events(host).iter();
    events
        .filter_map(|(_, event)| match event {
            Event::AuthorizationRequested { conn, incoming, .. } => Some((*conn, *incoming)),
            _ => None,
        })
        .collect()
}

fn not_authorized<T>(result: &Result<T, OperationError>) -> bool {
    let expected = OperationError::OperationFailure(OperationFailure::ConnectionNotAuthorized);
    result.as_ref().is_err_and(|error| *error == expected)
}

// rules: C21
#[test]
fn requests_wait_for_the_word_of_the_application() {
    world::run(30, |world| {
        let (alice, peer) = caller(world);
        authorize(world, alice.host);
        world.with(alice.host, |stack, now| {
            let manager = stack.server_tcp_manager();
            stack.manager(now, manager).unwrap().set_pool_size(1).unwrap();
        });
        let first = world.message(alice, CAROL, "one");
        let second = world.message(alice, CAROL, "two");
        world.run_for(secs(31));
        let line = world.lines(peer)[0];
        assert_eq!(world.heard(line).len(), 0, "it is connected, and carries nothing");
        let [(conn, false)] = asked(world, alice.host)[..] else {
            panic!("asked once for both")
        };
        assert_eq!(added(world, alice.host), []);
        world.with(alice.host, |stack, now| {
            assert!(!stack.connection(conn).unwrap().ready);
            stack.allow_connection(now, conn).unwrap();
            assert_eq!(stack.allow_connection(now, conn), Err(Misuse::Answered));
            assert_eq!(stack.deny_connection(now, conn), Err(Misuse::Answered));
        });
        world.run_for(secs(1));
        let heard = world.heard(line);
        let texts: Vec<&[u8]> = heard.iter().map(Message::body_bytes).collect();
        assert_eq!(texts, [b"one", b"two"]);
        for (got, sent) in heard.iter().zip([first, second]) {
            world.say(line, &answer(got, "200 OK", "c", ""));
            world.result(alice.host, sent).unwrap();
        }
        assert_eq!(added(world, alice.host).len(), 1);
        // The connection that was allowed is used again without a question.
        exchange(world, alice, peer, CAROL);
        assert_eq!(asked(world, alice.host).len(), 1);
    });
}

// rules: C21, X4, S1, R8
#[test]
fn what_waits_for_a_denied_connection_fails() {
    world::run(31, |world| {
        let (alice, peer) = caller(world);
        let (server, carol) = scripted_server(world);
        for host in [alice.host, carol.host] {
            authorize(world, host);
            world.on_event(host, |stack, now, event| {
                if let Event::AuthorizationRequested { conn, .. } = event {
                    stack.deny_connection(now, *conn).unwrap();
                }
            });
        }
        let sent = world.message(alice, CAROL, "hi");
        assert!(not_authorized(&world.result(alice.host, sent)));
        let (_, call) = world.invite(alice, CAROL, None);
        assert!(not_authorized(&world.result(alice.host, call)));
        assert_eq!(
            session_states(world, alice.host).last(),
            Some(&SessionState::Disconnected)
        );
        assert_eq!(removed(world, alice.host), vec![RemovalReason::Denied; 2]);
        let registering = world.register(carol);
        assert!(not_authorized(&world.result(carol.host, registering)));
        let reasons: Vec<_> = world
            .events(carol.host)
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Registration { new, reason, .. } => Some((*new, *reason)),
                _ => None,
            })
            .collect();
        let failed = (
            RegistrationState::Unregistered,
            RegistrationReason::ConnectionFailure,
        );
        assert_eq!(reasons.last(), Some(&failed));
        world.run_for(secs(1));
        for peer in [peer, server] {
            for line in world.lines(peer) {
                assert!(world.heard(line).is_empty() && !world.is_line_open(line));
            }
        }
    });
}

// rules: C21, C12
#[test]
fn what_comes_in_waits_for_the_word_of_the_application() {
    world::run(32, |world| {
        let host = world.stack();
        let bob = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let address = world.listen(host, 5060);
        authorize(world, host);
        let peer = world.peer();
        let lines = [1, 2, 3].map(|number| {
            let line = world.dial(peer, address, None);
            world.say(line, &to_bob("MESSAGE", number, ""));
            world.run_for(secs(1));
            line
        });
        let conns = asked(world, host);
        assert!(
            matches!(conns[..], [(_, true), (_, true), (_, true)]),
            "{conns:?}"
        );
        assert_eq!(receivers(world, host), []);
        world.with(host, |stack, now| {
            stack.allow_connection(now, conns[0].0).unwrap();
            stack.deny_connection(now, conns[1].0).unwrap();
        });
        world.run_for(secs(1));
        assert_eq!(codes(world, lines[0]), [200]);
        assert_eq!(receivers(world, host), [bob.id]);
        // Of the third it says nothing: 32 s after the question it is denied.
        world.run_for(secs(32));
        let open = lines.map(|line| world.is_line_open(line));
        assert_eq!(open, [true, false, false]);
        assert_eq!(
            removed(world, host),
            [RemovalReason::Denied, RemovalReason::NotAuthorized]
        );
        assert_eq!(receivers(world, host), [bob.id]);
        // What is over can be decided on without harm.
        world.with(host, |stack, now| {
            assert_eq!(stack.allow_connection(now, conns[2].0), Ok(()));
        });
    });
}

// rules: C16
#[test]
fn a_server_reads_who_came_and_why_each_left() {
    world::run(33, |world| {
        let (alice, peer) = caller(world);
        exchange(world, alice, peer, CAROL);
        world.run_for(secs(61));
        let told: Vec<String> = world
            .events(alice.host)
            .iter()
            .filter_map(|(_, event)| match event {
                Event::PoolAdded { host, port, .. } => Some(format!("pool {host} {port:?}")),
                Event::PoolRemoved { host, port, .. } => Some(format!("no pool {host} {port:?}")),
                Event::ConnectionAdded {
                    incoming,
                    transport,
                    matched,
                    ..
                } => Some(format!("added {incoming} {transport} {matched:?}")),
                Event::ConnectionRemoved {
                    incoming,
                    transport,
                    matched,
                    reason,
                    ..
                } => Some(format!("removed {incoming} {transport} {matched:?} {reason}")),
                _ => None,
            })
            .collect();
        assert_eq!(
            told,
            [
                "pool peer.invalid Some(5060)",
                "added false tcp None",
                "removed false tcp None released and not used again",
                "no pool peer.invalid Some(5060)",
            ]
        );
    });
}

// ---------------------------------------------------------------- very many users of one connection

/// The requests that are queued, and those of the operations that have completed.
fn heard_of(host: &mut Host, conn: ConnId) -> (usize, usize) {
    let completed = heard(&host.drain(), |event| match event {
        Event::Completed { .. } => Some(()),
        _ => None,
    });
    (host.sent(conn).len(), completed.len())
}

// rules: C9, R5, X3, X5
#[test]
fn a_connection_of_two_thousand_endpoints_is_made_and_lost_in_slices() {
    const SLICE: usize = 256;
    const ALL: usize = 2_000;
    let mut host = Host::of(|config| config.pool_size = 1);
    let manager = host
        .stack
        .add_manager(ManagerConfig::new(ManagerKind::ServerTcp))
        .unwrap();
    for number in 0..ALL {
        let config = SipEndpointConfig {
            server: Some(Server {
                host: "10.0.0.9".into(),
                port: Some(5060),
            }),
            transport: Transport::Tcp,
            manager: Some(manager),
            ..SipEndpointConfig::new(format!("sip:u{number}@example.com"))
        };
        let endpoint = host.stack.add_sip_endpoint(host.now, config).unwrap();
        host.message_of(endpoint, "sip:carol@example.com");
    }
    let conn = host.connect();
    let mut sent = host.sent(conn).len();
    assert_eq!(sent, SLICE);
    while sent < ALL {
        // The rest is due now, and each time a slice of it.
        assert_eq!(host.stack.poll_timeout().unwrap().0, host.now);
        host.stack.handle_timeout(host.now);
        let (more, _) = heard_of(&mut host, conn);
        assert!((1..=SLICE).contains(&more), "{more}");
        sent += more;
    }
    assert_eq!(sent, ALL);
    assert!(host.stack.poll_timeout().unwrap().0 > host.now);

    host.stack.handle_closed(host.now, conn, CloseReason::Reset);
    let (_, mut completed) = heard_of(&mut host, conn);
    assert_eq!(completed, SLICE);
    let mut turns = 0;
    while host.stack.poll_timeout().is_some_and(|(at, _)| at == host.now) {
        host.stack.handle_timeout(host.now);
        let (_, more) = heard_of(&mut host, conn);
        assert!(more <= SLICE, "{more}");
        completed += more;
        turns += 1;
        // Whoever wants something in between is not kept waiting.
        if turns == 2 {
            let bob = host.bob;
            host.message_of(bob, "sip:p@10.0.0.3:5060");
            let wants = host.drain();
            assert!(wants.iter().any(|action| matches!(action, Action::Connect(_))));
        }
    }
    assert_eq!(completed, ALL, "each once");
    // Transactions, then endpoints, each in slices; every endpoint has let go of it.
    assert!(turns >= 2 * (ALL / SLICE));
    assert_eq!(host.stack.census().leases, 1, "that of bob");
}

// ---------------------------------------------------------------- names

// rules: R18, X3
#[test]
fn a_name_server_that_is_silent_keeps_nobody_else_waiting_and_ends_in_thirty_seconds() {
    let mut host = Host::of(|_| {});
    let begun = host.now;
    let silent = host.message("sip:p@silent.invalid").unwrap();
    let mut asked = Vec::new();
    let mut drain = |host: &mut Host| -> Vec<Action> {
        let actions = host.drain();
        asked.extend(actions.iter().filter_map(|action| match action {
            Action::Resolve { question, .. } => Some(format!("{question:?}")),
            _ => None,
        }));
        actions
    };
    drain(&mut host);
    // An address needs no name server.
    host.message("sip:p@10.0.0.9:5060").unwrap();
    let wants = drain(&mut host);
    assert!(wants.iter().any(|action| matches!(action, Action::Connect(_))));
    // NAPTR, SRV and the addresses each have their 10 s.
    let mut failed = None;
    for seconds in [10, 20, 30] {
        for at in [secs(seconds) - TICK, secs(seconds)] {
            assert_eq!(failed, None, "{at:?}");
            host.now = begun + at;
            host.stack.handle_timeout(host.now);
            let actions = drain(&mut host);
            failed = failure(&actions, silent);
        }
    }
    assert_eq!(
        failed,
        Some(OperationError::ConnectionFailure(ConnectionFailure::Resolve {
            host: "silent.invalid".to_owned(),
            error: ResolveError::Timeout,
        }))
    );
    assert_eq!(
        asked,
        [
            "Naptr(\"silent.invalid\")",
            "Srv(\"_sip._tcp.silent.invalid\")",
            "Addresses(\"silent.invalid\")"
        ]
    );
}
