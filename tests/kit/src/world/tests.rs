use sansip::wire::StatusCode;
use sansip::{Content, OperationError, PeerToPeerConfig, RegistrationState, SessionState, Transport};

use super::*;
use crate::frontend::FrontEndConfig;

fn served(world: &mut World) -> FrontEndId {
    world.front_end(
        FrontEndConfig::new("example.com")
            .with_user("alice", "secret")
            .with_user("bob", "hidden"),
    )
}

fn at(world: &mut World, server: FrontEndId, user: &str) -> Endpoint {
    let host = world.stack();
    let config = world.account(server, user);
    world.sip_endpoint(host, config)
}

#[track_caller]
fn registered(world: &mut World, server: FrontEndId, user: &str) -> Endpoint {
    let endpoint = at(world, server, user);
    let operation = world.register(endpoint);
    world.result(endpoint.host, operation).expect("registers");
    endpoint
}

fn state(world: &mut World, endpoint: Endpoint) -> Option<RegistrationState> {
    world.with(endpoint.host, |stack, now| {
        stack.endpoint(now, endpoint.id).unwrap().registration_state()
    })
}

fn accept_calls(world: &mut World, host: StackId) {
    world.on_event(host, |stack, now, event| {
        if let Event::SessionReceived { session, .. } = event {
            let mut call = stack.session(now, *session).unwrap();
            call.provisional(StatusCode::RINGING, None).unwrap();
            call.accept(Some(Content::new("application/sdp", "v=0\r\n")))
                .unwrap();
        }
    });
}

fn session_states(world: &World, host: StackId) -> Vec<SessionState> {
    let state = |(_, event): &(Time, Event)| {
        if let Event::Session { new, .. } = event {
            Some(*new)
        } else {
            None
        }
    };
    world.events(host).iter().filter_map(state).collect()
}

// rules: R1, R2, X6
#[test]
fn an_endpoint_registers_stays_registered_and_unregisters() {
    run(1, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        assert_eq!(state(world, alice), Some(RegistrationState::Registered));
        assert_eq!(world.server(server).bindings("sip:alice@example.com").len(), 1);
        world.run_for(Duration::from_secs(4 * 3600));
        assert_eq!(
            world.server(server).bindings("sip:alice@example.com").len(),
            1,
            "refreshed"
        );
        let gone = world.unregister(alice);
        world.result(alice.host, gone).expect("unregisters");
        assert_eq!(world.server(server).census().bindings, 0);
    });
}

// rules: M1, M4
#[test]
fn messages_go_both_ways_through_the_front_end() {
    run(2, |world| {
        let server = served(world);
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        for (from, to, uri) in [
            (alice, bob, "sip:bob@example.com"),
            (bob, alice, "sip:alice@example.com"),
        ] {
            let sent = world.message(from, uri, "hello");
            let response = world.result(from.host, sent).expect("delivered");
            assert_eq!(response.response().unwrap().status(), Some(StatusCode::OK));
            let heard = world.events(to.host).iter().any(|(_, event)| {
                matches!(event, Event::MessageReceived { message, .. } if message.body_bytes() == b"hello")
            });
            assert!(heard);
        }
    });
}

// rules: S1, S10
#[test]
fn a_call_is_made_and_hung_up_through_the_front_end() {
    run(3, |world| {
        let server = served(world);
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        accept_calls(world, bob.host);
        let (call, made) = world.invite(
            alice,
            "sip:bob@example.com",
            Some(Content::new("application/sdp", "v=0\r\n")),
        );
        world.result(alice.host, made).expect("answered");
        world.run_for(Duration::from_secs(60));
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Connected)
        );
        let ended = world.with(alice.host, |stack, now| {
            stack.session(now, call).unwrap().terminate()
        });
        world.result(alice.host, ended).expect("hung up");
        world.run_for(Duration::from_secs(1));
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Disconnected)
        );
    });
}

// rules: P1, P2, C7, C8
#[test]
fn peers_call_each_other_directly() {
    run(4, |world| {
        let (one, two) = (world.stack(), world.stack());
        let alice = world.peer_to_peer_endpoint(one, PeerToPeerConfig::new("sip:alice@one.invalid"));
        world.peer_to_peer_endpoint(two, PeerToPeerConfig::new("sip:bob@two.invalid"));
        let address = world.listen(two, 5060);
        world.names.set_addresses("two.invalid", &[address.ip()]);
        let sent = world.message(alice, "sip:bob@two.invalid;transport=tcp", "hi");
        world.result(one, sent).expect("delivered");
        let link = world.link_between(one, two);
        world.run_for(Duration::from_secs(59));
        assert!(world.is_open(link));
        world.run_for(Duration::from_secs(2));
        assert!(!world.is_open(link));
    });
}

// rules: R6, R7
#[test]
fn an_endpoint_comes_back_after_a_restart_of_its_server() {
    for memory in [Memory::Kept, Memory::Lost] {
        run(5, move |world| {
            let server = served(world);
            let alice = registered(world, server, "alice");
            world.run_for(Duration::from_secs(10));
            world.restart(server, memory);
            world.run_for(Duration::from_secs(30));
            let bound = world.server(server).bindings("sip:alice@example.com");
            assert!(bound.iter().any(|binding| binding.conn.is_some()), "{bound:?}");
            assert_eq!(state(world, alice), Some(RegistrationState::Registered));
        });
    }
}

#[test]
fn a_stack_that_died_starts_anew_and_takes_its_binding_over() {
    run(20, |world| {
        let server = served(world);
        let host = world.stack();
        let mut config = world.account(server, "alice");
        config.epid = Some("0123".to_owned());
        let alice = world.sip_endpoint(host, config.clone());
        let operation = world.register(alice);
        world.result(host, operation).expect("registers");
        let before = world.server(server).bindings("sip:alice@example.com");
        world.replace_stack(host, Config::default());
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        world.result(host, operation).expect("registers again");
        let after = world.server(server).bindings("sip:alice@example.com");
        assert_eq!((before.len(), after.len()), (1, 1));
        assert_eq!(before[0].instance, after[0].instance);
        assert_ne!(before[0].conn, after[0].conn);
    });
}

// rules: X5
#[test]
fn adapters_that_take_actions_late_make_things_late_and_nothing_else() {
    let bodies = |laziness: Duration| {
        let mut world = World::new(21);
        world.laziness = laziness;
        let server = served(&mut world);
        let (alice, bob) = (
            registered(&mut world, server, "alice"),
            registered(&mut world, server, "bob"),
        );
        accept_calls(&mut world, bob.host);
        let (_, made) = world.invite(
            alice,
            "sip:bob@example.com",
            Some(Content::new("application/sdp", "v=0\r\n")),
        );
        world.result(alice.host, made).expect("answered");
        world.run_for(Duration::from_secs(1));
        let states = session_states(&world, bob.host);
        let end = world.now();
        world.finish();
        (states, end)
    };
    let (prompt, early) = bodies(Duration::ZERO);
    let (lazy, late) = bodies(Duration::from_millis(200));
    assert_eq!(prompt, lazy);
    assert!(late > early);
}

#[test]
fn what_cannot_be_reached_fails_in_bounded_time() {
    for reachability in [
        Reachability::Refused,
        Reachability::Unreachable,
        Reachability::BlackHole,
    ] {
        run(6, move |world| {
            let server = served(world);
            let address = world.address(server, Transport::Tcp);
            world.set_reachability(address, reachability);
            let alice = at(world, server, "alice");
            let before = world.now();
            let operation = world.register(alice);
            let error = world.result(alice.host, operation).expect_err("nobody is there");
            assert!(matches!(error, OperationError::ConnectionFailure(_)), "{error:?}");
            assert!(world.now().since(before) <= Duration::from_secs(11));
        });
    }
}

#[test]
fn a_name_that_does_not_resolve_fails() {
    run(7, |world| {
        let server = served(world);
        world.names.fail("example.com", ResolveError::Timeout);
        let alice = at(world, server, "alice");
        let operation = world.register(alice);
        let error = world.result(alice.host, operation).expect_err("no name");
        assert!(matches!(error, OperationError::ConnectionFailure(_)), "{error:?}");
        world.names.mend("example.com").silence("example.com");
        let operation = world.register(alice);
        world.result(alice.host, operation).expect_err("no answer");
    });
}

// rules: C17, C27
#[test]
fn tls_works_with_the_right_certificate_only() {
    run(8, |world| {
        let server = served(world);
        let tls = |world: &mut World, user: &str| {
            let host = world.stack();
            let mut config = world.account(server, user);
            config.transport = Transport::Tls;
            config.server.as_mut().unwrap().port = None;
            world.sip_endpoint(host, config)
        };
        let alice = tls(world, "alice");
        let operation = world.register(alice);
        world.result(alice.host, operation).expect("the right name");
        world.set_certificate(
            server,
            PeerCertificate {
                dns_names: vec!["other.invalid".into()],
                ..Default::default()
            },
        );
        let bob = tls(world, "bob");
        let operation = world.register(bob);
        let error = world.result(bob.host, operation).expect_err("another name");
        assert!(
            matches!(&error, OperationError::Tls(failure)
            if failure.kind == TlsFailureKind::IncorrectNameInRemoteCertificate),
            "{error:?}"
        );
        world.set_certificate_fault(server, Some(TlsFailureKind::UntrustedRemoteCertificate));
        let operation = world.register(bob);
        let error = world.result(bob.host, operation).expect_err("not trusted");
        assert!(
            matches!(&error, OperationError::Tls(failure)
            if failure.kind == TlsFailureKind::UntrustedRemoteCertificate),
            "{error:?}"
        );
    });
}

/// What the applications see does not depend on how the network cuts bytes (law 3).
#[test]
fn any_chunking_gives_the_same_events() {
    let events = |chunks: Chunks| {
        let mut world = World::new(9);
        world.network.chunks = chunks;
        let server = served(&mut world);
        let (alice, bob) = (
            registered(&mut world, server, "alice"),
            registered(&mut world, server, "bob"),
        );
        accept_calls(&mut world, bob.host);
        let (_, made) = world.invite(
            alice,
            "sip:bob@example.com",
            Some(Content::new("application/sdp", "v=0\r\n")),
        );
        world.result(alice.host, made).expect("answered");
        world.run_for(Duration::from_secs(1));
        let seen = [alice, bob].map(|endpoint| format!("{:?}", world.events(endpoint.host)));
        world.finish();
        seen
    };
    let whole = events(Chunks::Whole);
    for size in [1, 2, 17, 1000] {
        assert_eq!(events(Chunks::Of(size)), whole, "pieces of {size}");
    }
}

/// A scripted peer on either side of a link, to test the links themselves.
fn line(world: &mut World) -> (PeerId, PeerId, LineId, LineId) {
    let (one, two) = (world.peer(), world.peer());
    let address = world.peer_listens(two, 5060, Transport::Tcp);
    let dialled = world.dial(one, address, None);
    world.run_for(Duration::from_millis(20));
    (one, two, dialled, world.lines(two)[0])
}

#[test]
fn bytes_arrive_in_order_after_the_latency_however_they_are_cut() {
    let mut world = World::new(10);
    let (_, _, a, b) = line(&mut world);
    world.network.jitter = Duration::from_millis(50);
    for chunks in [Chunks::Whole, Chunks::Of(3), Chunks::Random] {
        world.network.chunks = chunks;
        let text: Vec<u8> = (0..=255).collect();
        for part in text.chunks(50) {
            world.say_bytes(a, part);
        }
        world.run_for(Duration::from_millis(9));
        assert_eq!(world.heard_bytes(b), b"");
        world.run_for(Duration::from_millis(51));
        assert_eq!(world.heard_bytes(b), text);
    }
    world.finish();
}

#[test]
fn what_is_sent_before_the_end_arrives_before_it() {
    let mut world = World::new(11);
    let (_, _, a, b) = line(&mut world);
    world.say_bytes(a, b"bye");
    world.hang_up(a);
    assert!(world.is_line_open(b));
    world.run_for(Duration::from_millis(10));
    assert_eq!(world.heard_bytes(b), b"bye");
    assert!(!world.is_line_open(b));
    world.finish();
}

#[test]
fn a_reset_loses_what_is_on_its_way() {
    let mut world = World::new(12);
    let (one, two, a, b) = line(&mut world);
    world.say_bytes(a, b"lost");
    let link = world.link_between(one, two);
    world.reset(link);
    world.run_for(Duration::from_millis(10));
    assert_eq!(world.heard_bytes(b), b"");
    assert!(!world.is_line_open(a) && !world.is_line_open(b));
    world.finish();
}

#[test]
fn a_black_hole_tells_nobody_and_a_half_open_end_answers_with_a_reset() {
    let mut world = World::new(13);
    let (one, two, a, b) = line(&mut world);
    let link = world.link_between(one, two);
    world.black_hole_from(link, one);
    world.say_bytes(a, b"unheard");
    world.say_bytes(b, b"heard");
    world.run_for(Duration::from_secs(100));
    assert_eq!(
        (world.heard_bytes(b), world.heard_bytes(a)),
        (b"".to_vec(), b"heard".to_vec())
    );
    assert!(world.is_open(link));

    let (one, two, a, b) = line(&mut world);
    let link = world.link_between(one, two);
    world.half_open(link, two);
    world.run_for(Duration::from_secs(100));
    assert!(world.is_line_open(a) && !world.is_line_open(b));
    world.say_bytes(a, b"anybody?");
    world.run_for(Duration::from_millis(19));
    assert!(world.is_line_open(a));
    world.run_for(Duration::from_millis(1));
    assert!(!world.is_line_open(a));
    world.finish();
}

#[test]
fn a_system_that_is_told_to_gives_up_on_a_black_hole() {
    let mut world = World::new(14);
    world.network.user_timeout = Some(Duration::from_secs(20));
    let (one, two, a, b) = line(&mut world);
    let link = world.link_between(one, two);
    world.black_hole(link);
    world.say_bytes(a, b"x");
    world.run_for(Duration::from_millis(19_999));
    assert!(world.is_line_open(a));
    world.run_for(Duration::from_millis(1));
    assert!(!world.is_line_open(a) && world.is_line_open(b));
    world.finish();
}

#[test]
fn a_refused_connection_is_lost_after_a_round_trip() {
    let mut world = World::new(15);
    let (one, two) = (world.peer(), world.peer());
    let address = SocketAddr::new(world.ip(two), 9);
    let a = world.dial(one, address, None);
    world.run_for(Duration::from_millis(19));
    assert!(world.is_line_open(a));
    world.run_for(Duration::from_millis(1));
    assert!(!world.is_line_open(a));
    world.finish();
}

#[test]
fn a_stack_answers_what_a_scripted_peer_says() {
    run(16, |world| {
        let host = world.stack();
        world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:bob@two.invalid"));
        let address = world.listen(host, 5060);
        let peer = world.peer();
        let line = world.dial(peer, address, None);
        world.say(
            line,
            &format!(
                "OPTIONS sip:bob@{address} SIP/2.0
                 Via: SIP/2.0/TCP peer.invalid;branch=z9hG4bK1
                 Max-Forwards: 70
                 From: <sip:p@peer.invalid>;tag=1
                 To: <sip:bob@two.invalid>
                 Call-ID: 1
                 CSeq: 1 OPTIONS"
            ),
        );
        world.run_for(Duration::from_secs(1));
        let heard = world.heard(line);
        assert_eq!(heard.first().unwrap().status(), Some(StatusCode::OK), "{heard:?}");
        assert_eq!(heard.len(), 1);
    });
}

#[test]
#[should_panic(expected = "a world ends with finish()")]
fn a_world_that_is_dropped_without_its_census_fails_the_test() {
    drop(World::new(17));
}

#[test]
#[should_panic(expected = "two runs differ")]
fn a_scenario_that_is_not_deterministic_is_found() {
    let runs = std::cell::Cell::new(0u64);
    run(18, |world| {
        runs.set(runs.get() + 1);
        let (_, _, a, _) = line(world);
        world.say_bytes(a, &runs.get().to_be_bytes());
    });
}

#[test]
#[should_panic(expected = "holds something at the end")]
fn the_census_finds_what_is_held() {
    let config = Config {
        idle_incoming: Duration::ZERO,
        ..Config::default()
    };
    let mut world = World::new(19);
    let host = world.stack_with(config);
    world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:bob@two.invalid"));
    let address = world.listen(host, 5060);
    let peer = world.peer();
    let line = world.dial(peer, address, None);
    world.say(
        line,
        "OPTIONS sip:bob@two.invalid SIP/2.0
        Via: SIP/2.0/TCP peer.invalid;branch=z9hG4bK1
        Max-Forwards: 70
        From: <sip:p@peer.invalid>;tag=1
        To: <sip:bob@two.invalid>
        Call-ID: 1
        CSeq: 1 OPTIONS",
    );
    world.run_for(Duration::from_secs(1));
    // The peer's end vanishes without a word, and this stack never closes for idleness.
    let link = world.link_between(host, peer);
    world.black_hole(link);
    world.finish();
}

/// Two servers of one domain, and one who finds them by its service record.
fn doubly_served(world: &mut World, sharing: bool) -> ([FrontEndId; 2], Endpoint) {
    let config = FrontEndConfig::new("example.com").with_user("alice", "secret");
    let servers = world.front_ends(&config, sharing);
    let host = world.stack();
    let mut account = world.account(servers[0], "alice");
    (account.server, account.epid) = (None, Some(String::from("desk")));
    let alice = world.sip_endpoint(host, account);
    let operation = world.register(alice);
    world.result(host, operation).expect("registers");
    (servers, alice)
}

/// How many bindings each server knows of, and at how many it has its endpoint.
fn known(world: &World, servers: [FrontEndId; 2]) -> [(usize, usize); 2] {
    servers.map(|server| {
        let bindings = world.server(server).bindings("sip:alice@example.com");
        let reached = bindings.iter().filter(|binding| binding.conn.is_some());
        (bindings.len(), reached.count())
    })
}

fn struck(world: &mut World, fault: Fault) -> usize {
    let strikes = world.take_strikes();
    strikes.iter().filter(|strike| strike.fault == fault).count()
}

// rules: R6, R7, R18
#[test]
fn an_endpoint_fails_over_between_two_servers_that_share_their_bindings_or_do_not() {
    for (sharing, fault) in [(true, Fault::FailOver), (false, Fault::FailOverLoss)] {
        run(20, |world| {
            let (servers, alice) = doubly_served(world, sharing);
            // The record names the first one before the other.
            assert_eq!(known(world, servers), [(1, 1), (usize::from(sharing), 0)]);
            let address = world.address(servers[0], Transport::Tcp);
            world.set_reachability(address, Reachability::Refused);
            world.restart(servers[0], Memory::Kept);
            world.run_for(Duration::from_secs(10));
            let [first, second] = known(world, servers);
            assert_eq!((first.1, second), (0, (1, 1)), "sharing {sharing}");
            assert_eq!(struck(world, fault), 1);
            assert_eq!(state(world, alice), Some(RegistrationState::Registered));
            // What was one binding at the first is the same at the second where they share it.
            let events = world.server_events(servers[1]);
            let mut bound = events.iter().filter_map(|(_, event)| {
                if let FrontEndEvent::Registered { refreshed, .. } = event {
                    Some(*refreshed)
                } else {
                    None
                }
            });
            assert_eq!(bound.next(), Some(sharing));
        });
    }
}

#[test]
fn what_one_of_two_sharing_servers_has_lost_it_takes_from_the_other() {
    for sharing in [true, false] {
        run(21, |world| {
            let (servers, _) = doubly_served(world, sharing);
            world.crash(servers[0], Memory::Lost);
            let left = usize::from(sharing);
            assert_eq!(known(world, servers), [(left, 0), (left, 0)]);
        });
    }
}

// rules: R9
#[test]
fn a_redirect_is_followed_and_a_loop_of_them_ends() {
    run(22, |world| {
        let config = FrontEndConfig::new("example.com").with_user("alice", "secret");
        let servers = world.front_ends(&config, false);
        let to = |world: &World, server: FrontEndId| {
            Manner::Redirect(vec![format!("<sip:{};transport=tcp>", world.ip(server))])
        };
        let (there, back) = (to(world, servers[1]), to(world, servers[0]));
        let address = world.ip(servers[0]);
        let mut account = world.account(servers[0], "alice");
        if let Some(server) = &mut account.server {
            server.host = address.to_string();
        }
        world.with_server(servers[0], |server, _| server.set_manner(there));
        world.with_server(servers[1], |server, _| server.set_manner(back));
        let host = world.stack();
        let alice = world.sip_endpoint(host, account);
        let operation = world.register(alice);
        let failed = world.result(host, operation).unwrap_err();
        assert!(matches!(failed, OperationError::Register { .. }), "{failed:?}");
        assert_eq!(struck(world, Fault::RedirectLoop), 4, "followed three times");
        world.with_server(servers[1], |server, _| server.set_manner(Manner::Usual));
        let operation = world.register(alice);
        world.result(host, operation).expect("registers at the other");
        assert_eq!(known(world, servers), [(0, 0), (1, 1)]);
    });
}

// rules: R10
#[test]
fn an_expiry_that_is_too_brief_is_raised_to_the_least() {
    run(23, |world| {
        let server = served(world);
        let least = Manner::TooBrief(Duration::from_secs(5000));
        world.with_server(server, |server, _| server.set_manner(least));
        registered(world, server, "alice");
        assert_eq!(struck(world, Fault::TooBrief), 1);
        let bound = world.server(server).bindings("sip:alice@example.com");
        let left = bound[0].expires_at.since(world.now());
        assert!(left > Duration::from_secs(4990), "{left:?}");
    });
}

#[test]
fn a_half_closed_connection_is_over_at_both_ends_after_a_round_trip() {
    run(24, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        let link = world.link_between(alice.host, server);
        world.half_close(link, server);
        world.run_for(Duration::from_millis(9));
        assert!(world.is_open(link));
        world.run_for(Duration::from_millis(1));
        assert!(!world.is_open(link));
        assert_eq!(
            world.server(server).census().connections,
            1,
            "the server reads on"
        );
        world.run_for(Duration::from_millis(10));
        assert_eq!(world.server(server).census().connections, 0);
    });
}

#[test]
fn a_system_may_give_up_connecting_before_the_stack_does() {
    run(25, |world| {
        let server = served(world);
        let address = world.address(server, Transport::Tcp);
        world.set_reachability(address, Reachability::TimedOut);
        let (alice, begun) = (at(world, server, "alice"), world.now());
        let operation = world.register(alice);
        world.result(alice.host, operation).unwrap_err();
        let took = world.now().since(begun);
        assert!((5..6).contains(&took.as_secs()), "{took:?}");
    });
}

// rules: R4, R7, X5
#[test]
fn endpoints_live_on_at_the_end_of_the_range_of_time() {
    run(26, |world| {
        world.set_clock(Time::MAX - Duration::from_secs(3 * 3600));
        let server = served(world);
        let alice = registered(world, server, "alice");
        world.restart(server, Memory::Lost);
        world.run_for(Duration::from_secs(2 * 3600));
        assert_eq!(state(world, alice), Some(RegistrationState::Registered));
        assert_eq!(known_at(world, server), 1);
        assert!(struck(world, Fault::FarClock) > 1);
    });
}

fn known_at(world: &World, server: FrontEndId) -> usize {
    world.server(server).bindings("sip:alice@example.com").len()
}

#[test]
fn a_world_that_lasts_forgets_what_is_over() {
    let mut world = World::lasting(27);
    let server = served(&mut world);
    let alice = registered(&mut world, server, "alice");
    for _ in 0..50 {
        world.restart(server, Memory::Kept);
        world.run_for(Duration::from_secs(60));
        world.forget_the_past();
        world.take_passages();
        assert!(world.links.len() <= 2, "{} links", world.links.len());
        assert!(!world.take_events(alice.host).is_empty());
    }
    assert_eq!(world.trace().lines().len(), 80);
    world.finish();
}
