//! A host whose network changes, or that sleeps: rule R20. And idle times that change while connections are there: C10.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sansip::wire::{Message, Method};
use sansip::{
    Action, Config, ConnId, EndpointId, Established, Event, LostAddresses, Misuse, OperationError,
    PeerToPeerConfig, RegistrationState, RemovalReason, Server, SipEndpointConfig, Stack, Time, Transport,
    UnixTime,
};
use sansip_testkit::world::{self, Endpoint, LineId, Reachability, StackId, World};

use common::{
    TICK, accept_calls, actions, answer, bound, callee, caller, grant, next_line, next_request, registered,
    scripted_server, scripted_server_with, sdp, secs, served, take_bytes,
};

const CAROL: &str = "sip:carol@peer.invalid:5060";

fn removed(world: &World, host: StackId) -> Vec<RemovalReason> {
    let events = world.events(host).iter();
    events
        .filter_map(|(_, event)| match event {
            Event::ConnectionRemoved { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect()
}

fn changed(world: &mut World, host: StackId, lost: &LostAddresses) {
    world.with(host, |stack, now| stack.network_changed(now, lost));
}

fn state(world: &mut World, endpoint: Endpoint) -> Option<RegistrationState> {
    world.with(endpoint.host, |stack, now| {
        stack.endpoint(now, endpoint.id).unwrap().registration_state()
    })
}

/// When REGISTERs came to a scripted server, which answers none of them.
fn registers(world: &mut World, line: LineId) -> usize {
    let got = world.heard(line);
    got.iter()
        .filter(|message| message.method() == Some(&Method::Register))
        .count()
}

// ---------------------------------------------------------------- one call

// rules: R20, R17
#[test]
fn all_connections_are_closed_and_every_endpoint_registers_again_within_the_jitter() {
    world::run(1, |world| {
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
        let never = world.account(server, "alice");
        let never = world.sip_endpoint(
            host,
            SipEndpointConfig {
                epid: Some("never".to_owned()),
                ..never
            },
        );
        world.run_for(secs(100));
        let old = world.links(host, server);
        changed(world, host, &LostAddresses::All);
        assert_eq!(
            removed(world, host),
            [RemovalReason::NetworkChanged, RemovalReason::NetworkChanged]
        );
        // The greatest jitter, and the time of a REGISTER with its challenge.
        world.run_for(secs(2) + Duration::from_millis(100));
        let new = world.links(host, server);
        assert_eq!(new.len(), 2);
        assert!(new.iter().all(|link| !old.contains(link)));
        for endpoint in endpoints {
            assert_eq!(state(world, endpoint), Some(RegistrationState::Registered));
        }
        assert_eq!(
            state(world, never),
            Some(RegistrationState::Unregistered),
            "nobody told it to"
        );
        for user in ["sip:alice@example.com", "sip:bob@example.com"] {
            let bindings = world.server(server).bindings(user);
            assert_eq!(bindings.len(), 1, "the same binding, over another connection");
        }
    });
}

// rules: R20
#[test]
fn connections_of_other_addresses_stay_and_their_endpoints_register_again_over_them() {
    world::run(2, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 3600, "");
        world.result(alice.host, operation).unwrap();
        let elsewhere: IpAddr = "192.0.2.7".parse().unwrap();
        changed(world, alice.host, &LostAddresses::These(vec![elsewhere]));
        assert_eq!(removed(world, alice.host), []);
        world.run_for(secs(2) + Duration::from_millis(10));
        assert_eq!(registers(world, line), 1);
        // While it waits for its answer, nothing else is needed, however often it is said.
        for _ in 0..3 {
            changed(world, alice.host, &LostAddresses::These(Vec::new()));
            world.run_for(secs(5));
        }
        assert_eq!(registers(world, line), 0);
        let own = world.ip(alice.host);
        changed(world, alice.host, &LostAddresses::These(vec![elsewhere, own]));
        assert_eq!(removed(world, alice.host), [RemovalReason::NetworkChanged]);
        world.run_for(secs(1));
        // The REGISTER that was under way went over at once; there is no second one.
        let fresh = next_line(world, peer, 0);
        assert_ne!(fresh, line);
        assert_eq!(registers(world, fresh), 1);
        world.run_for(secs(10));
        assert_eq!(registers(world, fresh), 0);
    });
}

// rules: R20, R7
#[test]
fn the_back_off_starts_anew_and_dead_addresses_are_forgotten() {
    world::run(3, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        let address = world.address(server, Transport::Tcp);
        world.set_reachability(address, Reachability::Refused);
        world.reset(world.link_between(alice.host, server));
        // So many failures that the next attempt is far away.
        world.run_for(secs(600));
        world.set_reachability(address, Reachability::Open);
        changed(world, alice.host, &LostAddresses::All);
        world.run_for(secs(2) + Duration::from_millis(100));
        assert_eq!(state(world, alice), Some(RegistrationState::Registered));
        assert_eq!(world.links(alice.host, server).len(), 1);
    });
    // Lapsed: the application has been told that it is unregistered, and it comes back all the same.
    world::run(4, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        let address = world.address(server, Transport::Tcp);
        world.set_reachability(address, Reachability::Refused);
        world.reset(world.link_between(alice.host, server));
        world.run_for(secs(4000));
        assert_eq!(state(world, alice), Some(RegistrationState::Unregistered));
        world.set_reachability(address, Reachability::Open);
        changed(world, alice.host, &LostAddresses::All);
        world.run_for(secs(2) + Duration::from_millis(100));
        assert_eq!(state(world, alice), Some(RegistrationState::Registered));
    });
}

// rules: R20, C25
#[test]
fn an_address_that_was_dead_in_the_other_network_is_tried_first_in_this_one() {
    for (seed, changes) in [(10, false), (11, true)] {
        world::run(seed, move |world| {
            let host = world.stack();
            let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@one.invalid"));
            let (first, second) = (world.peer(), world.peer());
            world.peer_listens(second, 5060, Transport::Tcp);
            let addresses = [world.ip(first), world.ip(second)];
            world.names.set_addresses("peer.invalid", &addresses);
            world.message(alice, CAROL, "one");
            world.run_for(secs(1));
            let line = world.lines(second)[0];
            let got = next_request(world, line, &Method::Message);
            world.say(line, &answer(&got, "200 OK", "c", ""));
            world.run_for(secs(1));
            world.peer_listens(first, 5060, Transport::Tcp);
            if changes {
                changed(world, host, &LostAddresses::All);
            } else {
                world.hang_up(line);
            }
            world.run_for(secs(1));
            world.message(alice, CAROL, "two");
            world.run_for(secs(1));
            assert_eq!(
                (world.lines(first).len(), world.lines(second).len()),
                if changes { (1, 0) } else { (0, 1) }
            );
        });
    }
}

// rules: R20, R16
#[test]
fn what_is_being_connected_starts_anew_and_nothing_is_lost() {
    world::run(5, |world| {
        let server = served(world);
        let alice = common::at(world, server, "alice");
        let address = world.address(server, Transport::Tcp);
        world.set_reachability(address, Reachability::BlackHole);
        let operation = world.register(alice);
        world.run_for(secs(3));
        world.set_reachability(address, Reachability::Open);
        changed(world, alice.host, &LostAddresses::All);
        world.run_for(secs(1));
        // Without the call it would have waited for ten seconds, and failed.
        assert!(matches!(world.ended(alice.host, operation), Some(Ok(_))));
    });
}

// rules: R20, R5, R6
#[test]
fn who_does_not_refresh_and_who_listens_do_what_they_do_at_any_loss() {
    world::run(6, |world| {
        let (peer, alice) = scripted_server_with(world, |config| config.auto_refresh = false);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 3600, "");
        world.result(alice.host, operation).unwrap();
        changed(world, alice.host, &LostAddresses::These(Vec::new()));
        world.run_for(secs(10));
        assert_eq!(
            (registers(world, line), state(world, alice)),
            (0, Some(RegistrationState::Registered))
        );
        changed(world, alice.host, &LostAddresses::All);
        assert_eq!(state(world, alice), Some(RegistrationState::Unregistered));
        world.run_for(secs(100));
        assert_eq!(world.lines(peer), []);
    });
    world::run(7, |world| {
        let host = world.stack();
        let manager = world.with(host, |stack, _| stack.server_tcp_manager());
        world.listen(host, 5060);
        let server = served(world);
        let mut config = world.account(server, "alice");
        config.manager = Some(manager);
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        world.result(host, operation).unwrap();
        world.run_for(secs(10));
        let before = world.server_events(server).len();
        changed(world, host, &LostAddresses::All);
        world.run_for(secs(3));
        assert_eq!(state(world, alice), Some(RegistrationState::Registered));
        assert!(
            world.server_events(server).len() > before,
            "its Contact is told anew"
        );
    });
}

// rules: R20, S18, C13
#[test]
fn sessions_live_on_and_requests_under_way_fail_or_go_over() {
    world::run(8, |world| {
        let it = callee(world);
        let host = world.stack();
        let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@one.invalid"));
        accept_calls(world, it.host);
        let target = format!("sip:bob@{};transport=tcp", it.address);
        let (session, made) = world.invite(alice, &target, Some(sdp()));
        world.result(host, made).unwrap();
        world.run_for(secs(1));
        changed(world, host, &LostAddresses::All);
        world.run_for(secs(1));
        let sent = world.with(host, |stack, now| {
            stack
                .session(now, session)
                .unwrap()
                .send(Method::Info, None, Vec::new())
                .unwrap()
        });
        world.result(host, sent).unwrap();
        let ended = world.with(host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        world.result(host, ended).unwrap();
    });
    world::run(9, |world| {
        let it = caller(world);
        let sent = world.message(it.alice, CAROL, "hi");
        let line = next_line(world, it.peer, 0);
        next_request(world, line, &Method::Message);
        changed(world, it.host, &LostAddresses::All);
        assert!(matches!(
            world.ended(it.host, sent),
            Some(Err(OperationError::ConnectionFailure(_)))
        ));
    });
}

// ---------------------------------------------------------------- a host that has slept

/// A stack without a world, and its one endpoint, which is registered for an hour over the first connection.
fn awake() -> (Stack, EndpointId, ConnId) {
    let mut stack = Stack::new(Config::default(), [7; 32], Time::ZERO, UnixTime(1_700_000_000));
    let mut config = SipEndpointConfig::new("sip:alice@example.com");
    config.server = Some(Server {
        host: "192.0.2.1".to_owned(),
        port: Some(5060),
    });
    config.transport = Transport::Tcp;
    config.probe = Some(secs(60));
    let alice = stack.add_sip_endpoint(Time::ZERO, config).unwrap();
    stack.endpoint(Time::ZERO, alice).unwrap().register().unwrap();
    let conn = connect(&mut stack, Time::ZERO);
    let got = said(&mut stack, Time::ZERO, conn);
    accept(&mut stack, Time::ZERO, conn, &got[0], "Flow-Timer: 120");
    actions(&mut stack);
    (stack, alice, conn)
}

/// The connection that the stack asks for is up.
#[track_caller]
fn connect(stack: &mut Stack, now: Time) -> ConnId {
    let asked = actions(stack);
    let asked: Vec<ConnId> = asked
        .iter()
        .filter_map(|action| match action {
            Action::Connect(connect) => Some(connect.conn),
            _ => None,
        })
        .collect();
    assert_eq!(asked.len(), 1, "one connection for one endpoint");
    let (local, remote): (SocketAddr, SocketAddr) = (
        "192.0.2.100:40000".parse().unwrap(),
        "192.0.2.1:5060".parse().unwrap(),
    );
    let established = Established {
        local,
        remote,
        peer: None,
    };
    stack.handle_connected(now, asked[0], established);
    asked[0]
}

/// The REGISTERs that wait on a connection.
fn said(stack: &mut Stack, now: Time, conn: ConnId) -> Vec<Message> {
    let bytes = take_bytes(stack, now, conn);
    let text = String::from_utf8(bytes).unwrap();
    let limits = sansip::wire::MessageLimits::default();
    text.split_inclusive("\r\n\r\n")
        .filter(|part| part.starts_with("REGISTER"))
        .map(|part| Message::parse(part.to_owned().into(), &limits).unwrap())
        .collect()
}

fn accept(stack: &mut Stack, now: Time, conn: ConnId, register: &Message, more: &str) {
    let text = answer(
        register,
        "200 OK",
        "s",
        &format!("{}\n{more}", bound(register, 3600)),
    );
    stack.handle_bytes(now, conn, &common::wire(&text));
}

fn is(stack: &mut Stack, now: Time, alice: EndpointId) -> Option<RegistrationState> {
    stack.endpoint(now, alice).unwrap().registration_state()
}

/// Runs the timers of a stack until there is something to do for the embedder, an hour at most.
fn next_action(stack: &mut Stack, now: Time) -> Time {
    let mut now = now;
    loop {
        let (at, reason) = stack.poll_timeout().unwrap();
        if reason == sansip::Reason::Drain {
            return now;
        }
        now = now.max(at);
        stack.handle_timeout(now);
    }
}

// rules: R20, X5
#[test]
fn after_a_sleep_one_register_goes_out_whichever_call_comes_first() {
    for first in ["network", "timers", "network only", "twice"] {
        // Short: only keep-alive and probe are due. Long: the refresh. Very long: the binding is gone.
        for slept in [secs(200), secs(3300), secs(30_000), secs(3_000_000)] {
            let (mut stack, alice, old) = awake();
            let now = Time::ZERO + slept;
            match first {
                "network" => {
                    stack.network_changed(now, &LostAddresses::All);
                    stack.handle_timeout(now);
                }
                "timers" => {
                    stack.handle_timeout(now);
                    stack.network_changed(now, &LostAddresses::All);
                }
                "twice" => {
                    stack.network_changed(now, &LostAddresses::All);
                    stack.handle_timeout(now);
                    stack.network_changed(now, &LostAddresses::All);
                }
                _ => stack.network_changed(now, &LostAddresses::All),
            }
            assert!(stack.connection(old).is_none(), "{first} {slept:?}");
            let mut asked = Vec::new();
            let mut at = now;
            let conn = loop {
                asked.extend(actions(&mut stack));
                let found = asked.iter().find_map(|action| match action {
                    Action::Connect(connect) => Some(connect.conn),
                    _ => None,
                });
                if let Some(conn) = found {
                    break conn;
                }
                at = next_action(&mut stack, at);
            };
            assert!(at <= now + secs(2), "{first} {slept:?}: within the jitter, {at}");
            let (local, remote) = ("192.0.2.200:40000", "192.0.2.1:5060");
            let established = Established {
                local: local.parse().unwrap(),
                remote: remote.parse().unwrap(),
                peer: None,
            };
            stack.handle_connected(at, conn, established);
            let registers = said(&mut stack, at, conn);
            assert_eq!(registers.len(), 1, "{first} {slept:?}");
            // Nothing else is asked for while it is under way.
            let connects = actions(&mut stack);
            assert!(
                !connects.iter().any(|action| matches!(action, Action::Connect(_))),
                "{first} {slept:?}"
            );
            accept(&mut stack, at, conn, &registers[0], "");
            assert_eq!(is(&mut stack, at, alice), Some(RegistrationState::Registered));
        }
    }
}

// rules: R20, R4, R10
#[test]
fn who_sleeps_and_says_nothing_comes_back_too() {
    // The connection is still there, as far as the host knows.
    for (slept, is_bound) in [(secs(3300), true), (secs(30_000), false)] {
        let (mut stack, alice, conn) = awake();
        let now = Time::ZERO + slept;
        stack.handle_timeout(now);
        assert_eq!(
            is(&mut stack, now, alice) == Some(RegistrationState::Registered),
            is_bound,
            "{slept:?}"
        );
        assert_eq!(said(&mut stack, now, conn).len(), 1, "{slept:?}");
    }
}

// rules: R20
#[test]
fn two_registers_are_never_under_way_whatever_changes_when() {
    // At every tenth of a second of a life with a lost connection, a refresh and a REGISTER without an answer.
    for tenth in 0..60_u64 {
        let (mut stack, _, old) = awake();
        let lost = Time::from_secs(100);
        stack.handle_timeout(lost);
        stack.handle_closed(lost, old, sansip::CloseReason::Reset);
        let change = lost + Duration::from_millis(tenth * 100);
        let (mut conns, mut under_way) = (Vec::new(), Vec::new());
        let mut now = lost;
        let mut has_changed = false;
        while now < lost + secs(40) {
            let due = stack.poll_timeout().map_or(Time::MAX, |(at, _)| at);
            if !has_changed && change <= due {
                now = now.max(change);
                has_changed = true;
                stack.network_changed(now, &LostAddresses::All);
            } else {
                now = now.max(due);
                stack.handle_timeout(now);
            }
            for action in actions(&mut stack) {
                match action {
                    Action::Connect(connect) => {
                        let established = Established {
                            local: "192.0.2.100:40000".parse().unwrap(),
                            remote: connect.remote,
                            peer: None,
                        };
                        conns.push(connect.conn);
                        stack.handle_connected(now, connect.conn, established);
                    }
                    Action::Close(conn) => under_way.retain(|(on, _)| *on != conn),
                    _ => {}
                }
            }
            // What ended without an answer is over.
            under_way.retain(|(_, since)| now.since(*since) < secs(32));
            for conn in conns.clone() {
                for _ in said(&mut stack, now, conn) {
                    under_way.push((conn, now));
                }
            }
            assert!(under_way.len() <= 1, "{tenth}: {under_way:?} at {now}");
        }
    }
}

// ---------------------------------------------------------------- idle times

// rules: C10, C11
#[test]
fn the_idle_times_of_a_manager_are_for_new_connections_until_they_are_applied() {
    world::run(20, |world| {
        let it = callee(world);
        let host = it.host;
        let manager = world.with(host, |stack, _| stack.server_tcp_manager());
        let set = |world: &mut World, incoming, outgoing| {
            world.with(host, |stack, now| {
                stack.manager(now, manager).unwrap().set_idle(incoming, outgoing)
            })
        };
        let options = common::request("OPTIONS", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 1, "");
        world.say(it.line, &options);
        world.run_for(secs(1));
        set(world, Some(secs(30)), Some(secs(40))).unwrap();
        world.run_for(secs(100));
        assert_eq!(removed(world, host), [], "what is there keeps what it has");
        // A new one of each direction.
        let line = world.dial(it.peer, it.address, None);
        let remote = world.peer_listens(it.peer, 5060, Transport::Tcp);
        let begun = world.now();
        world.message(it.bob, &format!("sip:p@{remote}"), "hi");
        world.say(
            line,
            &options
                .replace("z9hG4bK1", "z9hG4bK2")
                .replace("call-1", "call-2"),
        );
        world.run_for(Duration::from_millis(100));
        let out = world.lines(it.peer).pop().unwrap();
        let got = next_request(world, out, &Method::Message);
        world.say(out, &answer(&got, "200 OK", "p", ""));
        world.run_for(secs(29));
        assert_eq!(removed(world, host), []);
        world.run_for(secs(5));
        assert_eq!(removed(world, host), [RemovalReason::Idle], "the incoming one");
        world.run_for(secs(10));
        assert_eq!(
            removed(world, host),
            [RemovalReason::Idle, RemovalReason::Idle],
            "and the outgoing one"
        );
        assert!(world.is_line_open(it.line) && world.now() < begun + secs(60));
        // Applied to all, what is idle for longer already goes at once.
        let applied = world.with(host, |stack, now| {
            stack.manager(now, manager).unwrap().apply_idle()
        });
        applied.unwrap();
        world.run_for(TICK);
        assert_eq!(
            removed(world, host),
            [RemovalReason::Idle, RemovalReason::Idle, RemovalReason::Idle]
        );
    });
    // To the microsecond, and zero is never.
    world::run(21, |world| {
        let it = callee(world);
        let host = it.host;
        let manager = world.with(host, |stack, _| stack.server_tcp_manager());
        let options = common::request("OPTIONS", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 1, "");
        world.say(it.line, &options);
        world.run_for(Duration::from_millis(10));
        let traffic = world.now();
        let apply = |world: &mut World, incoming| {
            world.with(host, |stack, now| {
                let mut manager = stack.manager(now, manager).unwrap();
                manager.set_idle(Some(incoming), None).unwrap();
                manager.apply_idle().unwrap();
            });
        };
        apply(world, Duration::ZERO);
        world.run_for(secs(2000));
        assert_eq!(removed(world, host), []);
        apply(world, secs(2500));
        let left = (traffic + secs(2500)).since(world.now());
        world.run_for(left - TICK);
        assert_eq!(removed(world, host), []);
        world.run_for(TICK);
        assert_eq!(removed(world, host), [RemovalReason::Idle]);
    });
    world::run(22, |world| {
        let host = world.stack();
        world.with(host, |stack, now| {
            let client = stack.client_manager();
            let mut manager = stack.manager(now, client).unwrap();
            assert!(matches!(manager.set_idle(None, None), Err(Misuse::Kind(_))));
            assert!(matches!(manager.apply_idle(), Err(Misuse::Kind(_))));
        });
    });
}
