//! The registration of a SipEndpoint on the wire and over time (group R of the rules).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::wire::header::{Contact, Supported};
use sansip::wire::{HeaderName, Message, Method};
use sansip::{
    Completion, ConnectionFailure, Event, ManagerConfig, ManagerKind, Misuse, OperationError,
    RegistrationReason, RegistrationState, Time, Transport,
};
use sansip_testkit::frontend::{FrontEndConfig, FrontEndEvent};
use sansip_testkit::world::{self, Endpoint, LineId, Reachability, World};

use RegistrationReason as Reason;
use RegistrationState::{Registered, Registering, Unregistered, Unregistering};
use common::{
    TICK, accept_calls, answer, at, bound, codes, failure_code, field, grant, next_line, next_request,
    registered, request, scripted_server, scripted_server_with, sdp, secs, served,
};

type Change = (RegistrationState, RegistrationState, RegistrationReason);

fn changes(world: &World, endpoint: Endpoint) -> Vec<Change> {
    timed_changes(world, endpoint)
        .into_iter()
        .map(|(_, change)| change)
        .collect()
}

fn timed_changes(world: &World, endpoint: Endpoint) -> Vec<(Time, Change)> {
    let events = world.events(endpoint.host).iter();
    events
        .filter_map(|(at, event)| match event {
            Event::Registration {
                endpoint: id,
                old,
                new,
                reason,
                ..
            } if *id == endpoint.id => Some((*at, (*old, *new, *reason))),
            _ => None,
        })
        .collect()
}

fn state(world: &mut World, endpoint: Endpoint) -> Option<RegistrationState> {
    world.with(endpoint.host, |stack, now| {
        stack.endpoint(now, endpoint.id).unwrap().registration_state()
    })
}

/// Registers alice at a scripted server for so many seconds; gives the line and the REGISTER.
#[track_caller]
fn register_at(
    world: &mut World,
    peer: world::PeerId,
    alice: Endpoint,
    seconds: u32,
    more: &str,
) -> (LineId, Message) {
    let known = world.lines(peer).len();
    let operation = world.register(alice);
    let line = if known == 0 {
        next_line(world, peer, 0)
    } else {
        world.lines(peer)[known - 1]
    };
    let register = grant(world, line, seconds, more);
    world.result(alice.host, operation).unwrap();
    (line, register)
}

/// Leaves, with the last REGISTER answered, so that the end of the world has nothing to wait for.
#[track_caller]
fn leave(world: &mut World, alice: Endpoint, line: LineId) -> Message {
    let operation = world.unregister(alice);
    let register = grant(world, line, 0, "");
    world.result(alice.host, operation).unwrap();
    register
}

// ---------------------------------------------------------------- states

// rules: R1, R2, R16
#[test]
fn each_change_of_state_is_an_event() {
    world::run(1, |world| {
        let server = served(world);
        let alice = at(world, server, "alice");
        assert_eq!(state(world, alice), Some(Unregistered));
        for _ in 0..2 {
            let operation = world.register(alice);
            assert_eq!(state(world, alice), Some(Registering));
            world.result(alice.host, operation).unwrap();
            assert_eq!(state(world, alice), Some(Registered));
            let operation = world.unregister(alice);
            assert_eq!(state(world, alice), Some(Unregistering));
            world.result(alice.host, operation).unwrap();
            assert_eq!(state(world, alice), Some(Unregistered));
        }
        let round = [
            (Unregistered, Registering, Reason::None),
            (Registering, Registered, Reason::None),
            (Registered, Unregistering, Reason::None),
            (Unregistering, Unregistered, Reason::None),
        ];
        assert_eq!(changes(world, alice), [round, round].concat());
    });
}

// rules: R2, X2
#[test]
fn register_is_legal_only_from_unregistered() {
    world::run(2, |world| {
        let server = served(world);
        let alice = at(world, server, "alice");
        let refused = |world: &mut World, state: &str| {
            let before = world.with(alice.host, |stack, _| (stack.census(), stack.counters()));
            let result = world.with(alice.host, |stack, now| {
                stack.endpoint(now, alice.id).unwrap().register()
            });
            assert!(
                matches!(&result, Err(Misuse::State { state: is, .. }) if *is == state),
                "{state}: {result:?}"
            );
            assert_eq!(
                world.with(alice.host, |stack, _| (stack.census(), stack.counters())),
                before
            );
        };
        let operation = world.register(alice);
        refused(world, "Registering");
        world.result(alice.host, operation).unwrap();
        refused(world, "Registered");
        let operation = world.unregister(alice);
        refused(world, "Unregistering");
        world.result(alice.host, operation).unwrap();
        let operation = world.register(alice);
        world.result(alice.host, operation).unwrap();
        let host = world.stack();
        let peer = world.peer_to_peer_endpoint(host, sansip::PeerToPeerConfig::new("sip:p@q.invalid"));
        for result in [
            world.with(host, |stack, now| {
                stack.endpoint(now, peer.id).unwrap().register()
            }),
            world.with(host, |stack, now| {
                stack.endpoint(now, peer.id).unwrap().unregister()
            }),
        ] {
            assert!(matches!(result, Err(Misuse::Kind(_))), "{result:?}");
        }
    });
}

// rules: R3
#[test]
fn an_unregistered_endpoint_can_send_and_call() {
    world::run(3, |world| {
        let server = served(world);
        let bob = registered(world, server, "bob");
        accept_calls(world, bob.host);
        let alice = at(world, server, "alice");
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        world.result(alice.host, sent).unwrap();
        let (session, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(alice.host, made).unwrap();
        let ended = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        world.result(alice.host, ended).unwrap();
        assert_eq!(changes(world, alice), []);
    });
}

// ---------------------------------------------------------------- refresh

/// When REGISTERs came to a front end from an endpoint that stays registered.
fn registered_at(world: &World, server: world::FrontEndId) -> Vec<Time> {
    let events = world.server_events(server).iter();
    events
        .filter(|(_, event)| matches!(event, FrontEndEvent::Registered { .. }))
        .map(|(at, _)| *at)
        .collect()
}

// rules: R4
#[test]
fn refreshes_come_before_the_expiry_and_not_all_at_once() {
    world::run(4, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        world.run_for(secs(24 * 3600));
        let times = registered_at(world, server);
        let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        assert!(pauses.len() >= 24, "{pauses:?}");
        // The answer of an hour's binding arrives 10 ms after it was made.
        assert!(
            pauses.iter().all(|pause| *pause < secs(3600)),
            "always earlier than the expiry"
        );
        assert!(
            pauses.iter().all(|pause| *pause > secs(1800)),
            "and no more than needed"
        );
        let distinct: std::collections::BTreeSet<_> = pauses.iter().collect();
        assert!(distinct.len() > pauses.len() / 2, "jitter: {pauses:?}");
        assert_eq!(changes(world, alice).len(), 2, "no change of state");
        assert_eq!(world.server(server).bindings("sip:alice@example.com").len(), 1);
    });
}

// rules: R4, R21
#[test]
fn short_bindings_are_refreshed_in_time_and_never_in_a_busy_loop() {
    for (granted, least) in [
        (60, secs(5)),
        (20, secs(5)),
        (8, secs(5)),
        (6, secs(5)),
        (5, secs(5)),
        (4, secs(5)),
        (2, secs(5)),
        (1, secs(5)),
    ] {
        world::run(5, move |world| {
            let (peer, alice) = scripted_server(world);
            let (line, _) = register_at(world, peer, alice, granted, "");
            let mut last = world.now();
            for _ in 0..5 {
                grant(world, line, granted, "");
                let pause = world.now().since(last);
                assert!(pause >= least - Duration::from_millis(40), "{granted}: {pause:?}");
                assert!(pause <= secs(u64::from(granted.max(6))), "{granted}: {pause:?}");
                if granted >= 20 {
                    assert!(pause < secs(u64::from(granted)), "{granted}: {pause:?}");
                }
                last = world.now();
            }
            world.run_for(secs(1));
            // It is not lost and found at every refresh, however short it is.
            assert_eq!(changes(world, alice).len(), 2, "{granted}");
            leave(world, alice, line);
        });
    }
}

// rules: R5
#[test]
fn without_automatic_refresh_the_binding_runs_out() {
    world::run(6, |world| {
        let (peer, alice) = scripted_server_with(world, |config| config.auto_refresh = false);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 120, "");
        world.result(alice.host, operation).unwrap();
        world.run_for(secs(120) - TICK);
        assert_eq!(state(world, alice), Some(Registered));
        world.run_for(TICK);
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Registered, Unregistered, Reason::RefreshFailed))
        );
        world.run_for(secs(600));
        assert_eq!(world.heard(line), [], "nothing is refreshed");
    });
}

// rules: R5, R6
#[test]
fn without_automatic_refresh_a_dropped_connection_ends_the_registration_and_all_sending() {
    world::run(7, |world| {
        let server = served(world);
        let bob = registered(world, server, "bob");
        accept_calls(world, bob.host);
        let host = world.stack();
        let mut config = world.account(server, "alice");
        config.auto_refresh = false;
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        world.result(host, operation).unwrap();
        let (session, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(host, made).unwrap();
        let link = world.link_between(host, server);
        world.reset(link);
        world.run_for(secs(600));
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Registered, Unregistered, Reason::ConnectionDropped))
        );
        assert_eq!(world.links(host, server), [], "no new connection is made");
        // Every send fails, in sessions too, and still makes none.
        let not_connected = Err(OperationError::ConnectionFailure(ConnectionFailure::NotConnected));
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        assert_eq!(world.result(host, sent), not_connected);
        let inside = world.with(host, |stack, now| {
            stack
                .session(now, session)
                .unwrap()
                .send(Method::Info, None, vec![])
                .unwrap()
        });
        assert_eq!(world.result(host, inside), not_connected);
        let (_, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        assert_eq!(world.result(host, made), not_connected);
        assert_eq!(world.links(host, server), []);
        // Until it registers again.
        let operation = world.register(alice);
        world.result(host, operation).unwrap();
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        world.result(host, sent).unwrap();
    });
}

// rules: R6
#[test]
fn with_refresh_a_client_manager_reconnects_within_two_seconds_without_a_message() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let mut world = World::new(seed);
        let server = served(&mut world);
        let alice = registered(&mut world, server, "alice");
        let link = world.link_between(alice.host, server);
        world.run_for(secs(100));
        world.reset(link);
        world.run_for(Duration::from_millis(10));
        let dropped = world.now();
        assert_eq!(world.links(alice.host, server), []);
        world.run_until(|world| registered_at(world, server).iter().any(|at| *at > dropped));
        let wait = world.now().since(dropped);
        // A connection, a challenge or a good nonce, and the answer: round trips of 20 ms.
        assert!(wait <= secs(2) + Duration::from_millis(100), "{wait:?}");
        waits.push(wait);
        world.run_for(secs(1));
        assert_eq!(changes(&world, alice).len(), 2, "it stays Registered");
        let outages = world
            .events(alice.host)
            .iter()
            .filter(|(_, event)| matches!(event, Event::Outage { .. }))
            .count();
        assert_eq!(outages, 1, "one event for a stretch of outage");
        world.finish();
    }
    waits.sort();
    assert!(
        waits[0] < Duration::from_millis(600) && waits[19] > Duration::from_millis(1400),
        "uniform: {waits:?}"
    );
}

/// Manager, listening, refresh; what follows when the connection of a registered endpoint drops: its state, whether a
/// connection is made by itself, and whether a request makes one.
const DROPS: [(ManagerKind, bool, bool, RegistrationState, bool, bool); 10] = [
    (ManagerKind::Client, false, true, Registered, true, true),
    (ManagerKind::Client, false, false, Unregistered, false, false),
    (ManagerKind::ServerTcp, false, true, Registered, true, true),
    (ManagerKind::ServerTcp, false, false, Unregistered, false, false),
    (ManagerKind::ServerTcp, true, true, Registered, false, true),
    (ManagerKind::ServerTcp, true, false, Registered, false, true),
    (ManagerKind::ServerTls, false, true, Registered, true, true),
    (ManagerKind::ServerTls, false, false, Unregistered, false, false),
    (ManagerKind::ServerTls, true, true, Registered, false, true),
    (ManagerKind::ServerTls, true, false, Registered, false, true),
];

/// How an endpoint came to be as it is when its connection drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Registered,
    UnregisteredByCommand,
    NeverRegistered,
}

// rules: R6, R5, C13
#[test]
fn what_a_dropped_connection_means_depends_on_manager_listening_refresh_and_registration() {
    for (kind, listening, refresh, after, reconnects, sends) in DROPS {
        for came in [
            Came::Registered,
            Came::UnregisteredByCommand,
            Came::NeverRegistered,
        ] {
            // Who is not registered makes a connection with the next request, whatever the rest.
            let expected = match came {
                Came::Registered => (after, reconnects, sends),
                Came::UnregisteredByCommand | Came::NeverRegistered => (Unregistered, false, true),
            };
            for in_session in [false, true] {
                let case = format!(
                    "{kind:?}, listening {listening}, refresh {refresh}, {came:?}, session {in_session}"
                );
                world::run(8, move |world| {
                    let (alice, server) = about_to_drop(world, kind, listening, refresh);
                    drop_connection(world, alice, server, came, in_session, expected, &case);
                });
            }
        }
    }
}

/// An endpoint on such a manager.
fn about_to_drop(
    world: &mut World,
    kind: ManagerKind,
    listening: bool,
    refresh: bool,
) -> (Endpoint, world::FrontEndId) {
    let server = served(world);
    let host = world.stack();
    let mut config = world.account(server, "alice");
    config.auto_refresh = refresh;
    if kind == ManagerKind::ServerTls {
        config.transport = Transport::Tls;
        config.server.as_mut().unwrap().port = Some(5061);
        let certificate = sansip::PeerCertificate {
            dns_names: vec!["alice.invalid".to_owned()],
            ..sansip::PeerCertificate::default()
        };
        world.set_certificate(host, certificate);
    }
    let manager = world.with(host, |stack, _| {
        stack.add_manager(ManagerConfig::new(kind)).unwrap()
    });
    config.manager = Some(manager);
    let alice = world.sip_endpoint(host, config);
    if listening {
        world.listen_with(host, manager, 5060);
    }
    (alice, server)
}

fn drop_connection(
    world: &mut World,
    alice: Endpoint,
    server: world::FrontEndId,
    came: Came,
    in_session: bool,
    (after, reconnects, sends): (RegistrationState, bool, bool),
    case: &str,
) {
    let host = alice.host;
    let bob = registered(world, server, "bob");
    accept_calls(world, bob.host);
    if came != Came::NeverRegistered {
        let operation = world.register(alice);
        world.result(host, operation).unwrap();
    }
    if came == Came::UnregisteredByCommand {
        let operation = world.unregister(alice);
        world.result(host, operation).unwrap();
    }
    let session = in_session.then(|| {
        let (session, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(host, made).unwrap();
        session
    });
    if session.is_none() {
        // So that there is a connection to drop.
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        world.result(host, sent).unwrap();
    }
    world.run_for(secs(1));
    let link = world.link_between(host, server);
    world.reset(link);
    world.run_for(secs(60));
    assert_eq!(state(world, alice), Some(after), "{case}");
    assert_eq!(!world.links(host, server).is_empty(), reconnects, "{case}");
    let sent = world.with(host, |stack, now| match session {
        Some(session) => {
            let mut view = stack
                .session(now, session)
                .expect("it does not end with its connection");
            view.send(Method::Info, None, vec![]).unwrap()
        }
        None => {
            let mut view = stack.endpoint(now, alice.id).unwrap();
            let options = sansip::SendOptions::default();
            view.send_message("sip:bob@example.com", Method::Message, None, options)
                .unwrap()
        }
    });
    let result = world.result(host, sent);
    assert_eq!(!world.links(host, server).is_empty(), sends, "{case}");
    let not_connected = OperationError::ConnectionFailure(ConnectionFailure::NotConnected);
    let expected = if sends { None } else { Some(not_connected) };
    assert_eq!(result.err(), expected, "{case}");
}

// rules: R6
#[test]
fn an_endpoint_that_is_not_registered_makes_a_connection_with_its_next_message() {
    world::run(9, |world| {
        let server = served(world);
        for refresh in [true, false] {
            let host = world.stack();
            let mut config = world.account(server, "alice");
            config.auto_refresh = refresh;
            let alice = world.sip_endpoint(host, config);
            // Never registered, and unregistered by command.
            for registers in [false, true] {
                if registers {
                    let operation = world.register(alice);
                    world.result(host, operation).unwrap();
                    let operation = world.unregister(alice);
                    world.result(host, operation).unwrap();
                }
                let sent = world.message(alice, "sip:alice@example.com", "hi");
                let _ = world.result(host, sent);
                let link = world.link_between(host, server);
                world.reset(link);
                world.run_for(secs(60));
                assert_eq!(world.links(host, server), [], "none is made by itself");
                let sent = world.message(alice, "sip:alice@example.com", "hi");
                assert_eq!(
                    failure_code(&world.result(host, sent)),
                    480,
                    "it reached the server: nobody is registered"
                );
            }
        }
    });
}

// ---------------------------------------------------------------- failures

// rules: R10
#[test]
fn an_interval_that_is_too_brief_is_raised_to_what_the_server_takes() {
    world::run(10, |world| {
        let server = world.front_end(FrontEndConfig {
            min_expires: secs(1800),
            ..FrontEndConfig::new("example.com")
        });
        let host = world.stack();
        let mut config = world.account(server, "alice");
        config.expires = Some(secs(300));
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        world.result(host, operation).unwrap();
        let granted = world
            .server_events(server)
            .iter()
            .find_map(|(_, event)| match event {
                FrontEndEvent::Registered { expires, .. } => Some(*expires),
                _ => None,
            });
        assert_eq!(granted, Some(1800));
    });
}

// rules: R10
#[test]
fn a_423_that_asks_for_no_more_than_was_offered_ends_it() {
    for least in ["", "Min-Expires: 60", "Min-Expires: 3600", "Min-Expires: x"] {
        world::run(11, move |world| {
            let (peer, alice) = scripted_server(world);
            let operation = world.register(alice);
            let line = next_line(world, peer, 0);
            let register = next_request(world, line, &Method::Register);
            world.say(line, &answer(&register, "423 Interval Too Brief", "s", least));
            let result = world.result(alice.host, operation);
            assert_eq!(failure_code(&result), 423, "{least}");
            assert!(matches!(result, Err(OperationError::Register { .. })));
            assert_eq!(world.heard(line), [], "{least}: no loop");
            assert_eq!(changes(world, alice).last().unwrap().1, Unregistered);
        });
    }
}

// rules: R10, A7, R8
#[test]
fn wrong_credentials_end_the_registration_and_are_tried_once() {
    world::run(12, |world| {
        let server = served(world);
        let host = world.stack();
        let mut config = world.account(server, "alice");
        config.credentials = vec![sansip::security::Credentials::new(
            "alice",
            sansip::security::Secret::new("wrong"),
        )];
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        let error = world.result(host, operation).unwrap_err();
        assert!(
            matches!(error, OperationError::Authentication { .. }),
            "{error:?}"
        );
        assert_eq!(
            error.response().unwrap().status().unwrap().code(),
            401,
            "the challenge is attached"
        );
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Registering, Unregistered, Reason::Credentials))
        );
        assert_eq!(
            world.with(host, |stack, _| stack.counters().sent.requests()),
            2,
            "once without, once with them"
        );
        world.run_for(secs(600));
        assert_eq!(world.with(host, |stack, _| stack.counters().sent.requests()), 2);
    });
}

// rules: R10, E12
#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    world::run(13, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let first = next_request(world, line, &Method::Register);
        world.say(line, &answer(&first, "503 Later", "s", "Retry-After: 20"));
        world.run_for(secs(20));
        assert_eq!(world.heard(line), []);
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(line);
        let second = heard.first().expect("after 20 s and the way");
        assert_eq!(state(world, alice), Some(Registering));
        world.say(line, &answer(second, "503 Later", "s", "Retry-After: 20"));
        let result = world.result(alice.host, operation);
        assert_eq!(failure_code(&result), 503, "once");
    });
}

// rules: R10, R8
#[test]
fn any_other_failure_ends_a_first_registration_with_the_response() {
    for (status, code, expected) in [
        ("403 Forbidden", 403, Reason::UnauthorizedAccess),
        ("404 Not Found", 404, Reason::Refused),
        ("480 Gone", 480, Reason::Refused),
        ("500 Broken", 500, Reason::Refused),
        ("604 Nowhere", 604, Reason::Refused),
    ] {
        world::run(14, move |world| {
            let (peer, alice) = scripted_server(world);
            let operation = world.register(alice);
            let line = next_line(world, peer, 0);
            let register = next_request(world, line, &Method::Register);
            world.say(line, &answer(&register, status, "s", ""));
            let result = world.result(alice.host, operation);
            assert_eq!(failure_code(&result), code);
            let Err(OperationError::Register { reason, .. }) = result else {
                panic!("{result:?}")
            };
            assert_eq!(reason, expected);
            assert_eq!(changes(world, alice)[1..], [(Registering, Unregistered, reason)]);
            world.run_for(secs(600));
            assert_eq!(world.heard(line), [], "a first registration is not repeated");
        });
    }
}

// rules: R10, R11
#[test]
fn a_first_registration_fails_in_bounded_time_whatever_is_wrong() {
    for (reachability, bound) in [
        (Reachability::Refused, secs(1)),
        (Reachability::Unreachable, secs(1)),
        (Reachability::BlackHole, secs(11)),
    ] {
        world::run(15, move |world| {
            let server = served(world);
            let address = world.address(server, Transport::Tcp);
            world.set_reachability(address, reachability);
            let alice = at(world, server, "alice");
            let before = world.now();
            let operation = world.register(alice);
            let error = world.result(alice.host, operation).unwrap_err();
            assert!(matches!(error, OperationError::ConnectionFailure(_)), "{error:?}");
            assert!(world.now().since(before) <= bound);
            assert_eq!(
                changes(world, alice).last(),
                Some(&(Registering, Unregistered, Reason::ConnectionFailure))
            );
        });
    }
    // A server that takes the request and says nothing: timer F, 32 s from when it was sent.
    world::run(16, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        next_request(world, line, &Method::Register);
        let before = world.now();
        assert_eq!(world.result(alice.host, operation), Err(OperationError::Timeout));
        let time = world.now().since(before);
        assert!(time <= secs(32) && time > secs(31), "{time:?}");
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Registering, Unregistered, Reason::Timeout))
        );
    });
}

// rules: R10
#[test]
fn a_failed_refresh_is_tried_again_until_the_binding_runs_out_and_after() {
    world::run(17, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_at(world, peer, alice, 600, "");
        let granted = timed_changes(world, alice)[1].0;
        let mut refused = 0;
        while world.now().since(granted) < secs(640) {
            world.run_for(Duration::from_millis(100));
            for register in world.heard(line) {
                refused += 1;
                world.say(line, &answer(&register, "500 Broken", "s", ""));
            }
            let expected = if world.now().since(granted) < secs(600) {
                Registered
            } else {
                Unregistered
            };
            assert_eq!(
                state(world, alice),
                Some(expected),
                "{refused} refused, {} s",
                world.now().since(granted).as_secs()
            );
        }
        assert!((3..60).contains(&refused), "{refused}: it backs off");
        let (at, change) = timed_changes(world, alice)[2];
        assert_eq!(change, (Registered, Unregistered, Reason::RefreshFailed));
        assert_eq!(at.since(granted), secs(600), "when the binding runs out");
        // And still retried.
        let late = next_request(world, line, &Method::Register);
        world.say(line, &answer(&late, "200 OK", "s", &bound(&late, 600)));
        world.run_for(secs(1));
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Unregistered, Registered, Reason::None))
        );
        leave(world, alice, line);
    });
}

// ---------------------------------------------------------------- what is in a REGISTER, and in its answer

// rules: R12, E5
#[test]
fn a_register_carries_what_servers_look_for() {
    world::run(18, |world| {
        let (peer, alice) = scripted_server_with(world, |config| config.epid = Some("01010101".into()));
        let (line, register) = register_at(world, peer, alice, 3600, "");
        assert_eq!(register.request_uri(), "sip:example.com");
        assert_eq!(register.from_().unwrap().epid().as_deref(), Some("01010101"));
        assert_eq!(register.to().unwrap().0.uri.to_string(), "sip:alice@example.com");
        let contacts: Vec<Contact<'_>> = register.list::<Contact<'_>>().map(Result::unwrap).collect();
        assert_eq!(contacts.len(), 1);
        // The pair of MS-SIPRE's example.
        let instance = "<urn:uuid:4b1682a8-f968-5701-83fc-7c6741dc6697>";
        assert_eq!(
            contacts[0].instance().unwrap().trim_matches(['<', '>']),
            instance.trim_matches(['<', '>'])
        );
        assert_eq!(contacts[0].reg_id(), Some(1));
        let methods = contacts[0]
            .address()
            .unwrap()
            .params
            .get("methods")
            .unwrap()
            .into_owned();
        for method in [
            "INVITE", "MESSAGE", "INFO", "OPTIONS", "NOTIFY", "ACK", "BYE", "CANCEL",
        ] {
            assert!(
                methods.split(", ").any(|known| known == method),
                "{method} in {methods}"
            );
        }
        let supported: Vec<String> = register
            .list::<Supported<'_>>()
            .map(|tag| tag.unwrap().0.into_owned())
            .collect();
        for tag in ["gruu-10", "ms-forking", "outbound", "path"] {
            assert!(
                supported.iter().any(|known| known == tag),
                "{tag} in {supported:?}"
            );
        }
        assert_eq!(
            register.raw_all(HeaderName::Event).collect::<Vec<_>>(),
            [b"registration"]
        );
        assert_eq!(register.count(HeaderName::MsKeepAlive), 1);
        assert_eq!(field(&register, HeaderName::Expires), "3600");
        let last = leave(world, alice, line);
        assert_eq!(field(&last, HeaderName::Expires), "0");
        assert_eq!(
            last.list::<Contact<'_>>().map(Result::unwrap).count(),
            1,
            "our contact, never all of them"
        );
    });
}

// rules: R12, R17, E4
#[test]
fn what_the_server_says_is_taken() {
    world::run(19, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        let own = bound(&register, 600).replace(
            ";expires",
            ";gruu=\"sip:alice@example.com;opaque=x;gruu\";expires",
        );
        let route = "Service-Route: <sip:one.invalid;lr>, <sip:two.invalid;lr>";
        world.say(
            line,
            &answer(&register, "200 OK", "s", &format!("{own}\n{route}")),
        );
        world.result(alice.host, operation).unwrap();
        let gruu = world.with(alice.host, |stack, now| {
            stack.endpoint(now, alice.id).unwrap().gruu().map(str::to_owned)
        });
        assert_eq!(gruu.as_deref(), Some("sip:alice@example.com;opaque=x;gruu"));
        // The route of requests outside dialogs, in this order; not of the REGISTER.
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        let message = next_request(world, line, &Method::Message);
        let routes: Vec<String> = message
            .raw_all(HeaderName::Route)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect();
        assert_eq!(routes.join(", "), "<sip:one.invalid;lr>, <sip:two.invalid;lr>");
        assert_eq!(message.request_uri(), "sip:bob@example.com");
        world.say(line, &answer(&message, "200 OK", "b", ""));
        world.result(alice.host, sent).unwrap();
        let refresh = grant(world, line, 600, "");
        assert_eq!(refresh.count(HeaderName::Route), 0);
        // A refresh that names none takes the route away.
        world.run_for(secs(1));
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        let message = next_request(world, line, &Method::Message);
        assert_eq!(message.count(HeaderName::Route), 0);
        world.say(line, &answer(&message, "200 OK", "b", ""));
        world.result(alice.host, sent).unwrap();
        leave(world, alice, line);
    });
}

// rules: R12, C26
#[test]
fn the_servers_keep_alive_timeout_is_kept() {
    world::run(20, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_at(
            world,
            peer,
            alice,
            3600,
            "ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=90",
        );
        world.heard_bytes(line);
        // Two thirds of 90 s after the last bytes, which were sent 20 ms before the answer came.
        world.run_for(secs(59));
        assert_eq!(world.heard_bytes(line), b"");
        world.run_for(secs(1));
        assert_eq!(world.heard_bytes(line), b"\r\n\r\n");
        world.run_for(secs(60));
        assert_eq!(world.heard_bytes(line), b"\r\n\r\n");
        leave(world, alice, line);
    });
}

// RFC 3261 section 10.2.1: the Contact of a sips address is a sips URI; RFC 3665 section 2.1 has the Request-URI so.
// rules: R12
#[test]
fn a_sips_address_is_registered_as_one() {
    world::run(62, |world| {
        let (peer, alice) =
            scripted_server_with(world, |config| config.uri = "sips:alice@example.com".into());
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        assert_eq!(register.request_uri(), "sips:example.com");
        let contact = field(&register, HeaderName::Contact);
        assert!(contact.starts_with("<sips:alice@"), "{contact}");
        // A registrar that keeps no instance: our contact is found by its URI (R21).
        let own = contact.split('>').next().unwrap().to_owned() + ">";
        let extra = format!("Contact: {own};expires=600");
        world.say(line, &answer(&register, "200 OK", "r", &extra));
        world.result(alice.host, operation).unwrap();
        assert_eq!(state(world, alice), Some(Registered));
        leave(world, alice, line);
    });
}

// rules: R21
#[test]
fn our_own_contact_counts_and_not_anothers() {
    // How the contacts of the 2xx are written, given our own; and for how long we are registered.
    type Write = fn(&str) -> String;
    let cases: [(&str, Write, Option<u64>); 7] = [
        (
            "by instance, where the server knows us at another address",
            |own| {
                let parameters = own.split_once('>').unwrap().1;
                format!(
                    "Contact: <sip:alice@192.0.2.1>;+sip.instance=\"<urn:uuid:0>\";reg-id=1;expires=30\nContact: <sip:alice@192.0.2.2>{parameters};expires=900"
                )
            },
            Some(900),
        ),
        (
            "another comes first",
            |own| format!("Contact: <sip:alice@192.0.2.1>;expires=30, {own};expires=900"),
            Some(900),
        ),
        (
            "another instance at the same reg-id",
            |own| {
                format!(
                    "Contact: <sip:alice@192.0.2.1>;+sip.instance=\"<urn:uuid:0>\";reg-id=1;expires=30\nContact: {own};expires=900"
                )
            },
            Some(900),
        ),
        (
            "by URI, where the server repeats no instance",
            |own| {
                format!(
                    "Contact: <sip:alice@192.0.2.1>;expires=30\nContact: {};expires=900",
                    own.split('>').next().unwrap().to_owned() + ">"
                )
            },
            Some(900),
        ),
        (
            "by URI, where the server keeps no parameter that it does not know",
            |own| {
                let uri = own.split(";ms-opaque").next().unwrap();
                format!("Contact: <sip:alice@192.0.2.1>;expires=30\nContact: {uri}>;expires=900")
            },
            Some(900),
        ),
        (
            "by the Expires header field",
            |own| format!("Contact: {own}\nExpires: 900"),
            Some(900),
        ),
        (
            "not there",
            |_| "Contact: <sip:alice@192.0.2.1>;expires=900".to_owned(),
            None,
        ),
    ];
    for (what, write, expected) in cases {
        world::run(21, move |world| {
            let (peer, alice) = scripted_server_with(world, |config| config.auto_refresh = false);
            let operation = world.register(alice);
            let line = next_line(world, peer, 0);
            let register = next_request(world, line, &Method::Register);
            let own = field(&register, HeaderName::Contact);
            world.say(line, &answer(&register, "200 OK", "s", &write(&own)));
            let result = world.result(alice.host, operation);
            let Some(seconds) = expected else {
                assert!(
                    result.is_err(),
                    "{what}: a server that does not name us does not have us"
                );
                assert_eq!(changes(world, alice).last().unwrap().1, Unregistered);
                return;
            };
            result.unwrap();
            // Without refresh the end of the binding shows what was taken.
            world.run_for(secs(seconds) - TICK);
            assert_eq!(state(world, alice), Some(Registered), "{what}");
            world.run_for(TICK);
            assert_eq!(state(world, alice), Some(Unregistered), "{what}");
        });
    }
}

// rules: R17
#[test]
fn the_call_id_stays_and_cseq_grows() {
    world::run(22, |world| {
        let (peer, alice) = scripted_server(world);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (line, register) = register_at(world, peer, alice, 60, "");
            seen.push(register);
            seen.push(grant(world, line, 60, ""));
            world.run_for(secs(1));
            seen.push(leave(world, alice, line));
        }
        let ids: Vec<&str> = seen.iter().map(|register| register.call_id().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let numbers: Vec<u32> = seen
            .iter()
            .map(|register| register.cseq().unwrap().number)
            .collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        let tags: Vec<String> = seen
            .iter()
            .map(|register| register.from_().unwrap().tag().unwrap().to_owned())
            .collect();
        assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
    });
}

// rules: R22
#[test]
fn everything_goes_to_the_server_whatever_the_target() {
    world::run(23, |world| {
        let (peer, alice) = scripted_server(world);
        for target in [
            "sip:bob@192.0.2.9:7000",
            "sips:bob@far.invalid",
            "tel:+4930123",
            "sip:bob@other.invalid;transport=tls",
        ] {
            let sent = world.message(alice, target, "hi");
            let line = next_line(world, peer, 0);
            let got = next_request(world, line, &Method::Message);
            assert_eq!(got.request_uri(), target);
            world.say(line, &answer(&got, "200 OK", "b", ""));
            world.result(alice.host, sent).unwrap();
        }
        assert_eq!(world.lines(peer).len(), 1);
        let asked = world
            .trace()
            .lines()
            .filter(|line| line.what().starts_with("Connect("))
            .count();
        let names = world
            .trace()
            .lines()
            .filter(|line| line.what().starts_with("Resolve"))
            .count();
        assert_eq!((asked, names), (1, 1), "and no other name is looked up");
    });
}

// ---------------------------------------------------------------- unregister

// rules: R16
#[test]
fn unregister_ends_in_unregistered_whatever_the_answer() {
    for (status, fails) in [("200 OK", false), ("403 Forbidden", true), ("500 Broken", true)] {
        world::run(24, move |world| {
            let (peer, alice) = scripted_server(world);
            let (line, _) = register_at(world, peer, alice, 3600, "");
            let operation = world.unregister(alice);
            let last = next_request(world, line, &Method::Register);
            assert_eq!(field(&last, HeaderName::Expires), "0");
            world.say(line, &answer(&last, status, "s", ""));
            assert_eq!(world.result(alice.host, operation).is_err(), fails);
            assert_eq!(
                changes(world, alice).last(),
                Some(&(Unregistering, Unregistered, Reason::None))
            );
            world.run_for(secs(3600 * 2));
            assert_eq!(world.heard(line), [], "and nothing is refreshed");
        });
    }
    world::run(25, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_at(world, peer, alice, 3600, "");
        let before = world.now();
        let operation = world.unregister(alice);
        next_request(world, line, &Method::Register);
        assert_eq!(
            world.result(alice.host, operation),
            Err(OperationError::Timeout),
            "said on the operation"
        );
        assert_eq!(world.now().since(before), secs(32), "in bounded time");
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Unregistering, Unregistered, Reason::None))
        );
    });
}

// rules: R16, R20
#[test]
fn unregister_waits_for_the_answer_of_a_register_under_way() {
    world::run(26, |world| {
        let (peer, alice) = scripted_server(world);
        let registering = world.register(alice);
        let line = next_line(world, peer, 0);
        let first = next_request(world, line, &Method::Register);
        let leaving = world.unregister(alice);
        let also = world.unregister(alice);
        world.run_for(secs(3));
        assert_eq!(world.heard(line), [], "never are two under way");
        assert_eq!(world.ended(alice.host, leaving), None);
        world.say(line, &answer(&first, "200 OK", "s", &bound(&first, 600)));
        let last = next_request(world, line, &Method::Register);
        assert_eq!(field(&last, HeaderName::Expires), "0");
        assert_eq!(world.ended(alice.host, registering), Some(&Ok(Completion::Done)));
        world.say(line, &answer(&last, "200 OK", "s", ""));
        for operation in [leaving, also] {
            world.result(alice.host, operation).unwrap();
        }
        assert_eq!(state(world, alice), Some(Unregistered));
        // The same while a refresh is under way.
        let (line, _) = register_at(world, peer, alice, 60, "");
        let refresh = next_request(world, line, &Method::Register);
        let leaving = world.unregister(alice);
        world.run_for(secs(1));
        assert_eq!(world.heard(line), []);
        world.say(line, &answer(&refresh, "200 OK", "s", &bound(&refresh, 60)));
        let last = next_request(world, line, &Method::Register);
        assert_eq!(field(&last, HeaderName::Expires), "0");
        world.say(line, &answer(&last, "200 OK", "s", ""));
        world.result(alice.host, leaving).unwrap();
    });
}

// rules: R16
#[test]
fn unregister_of_an_unregistered_endpoint_completes_at_once() {
    world::run(27, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.unregister(alice);
        assert_eq!(world.ended(alice.host, operation), Some(&Ok(Completion::Done)));
        assert_eq!(changes(world, alice), []);
        world.run_for(secs(10));
        assert_eq!(world.lines(peer), [], "nothing is sent");
    });
}

// rules: E13, R16
#[test]
fn a_terminated_endpoint_unregisters_and_answers_no_more() {
    world::run(28, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_at(world, peer, alice, 3600, "");
        let ended = world.terminate(alice);
        let last = next_request(world, line, &Method::Register);
        assert_eq!(field(&last, HeaderName::Expires), "0");
        world.say(
            line,
            &request(
                "OPTIONS",
                "sip:alice@example.com",
                "<sip:alice@example.com>",
                1,
                "",
            ),
        );
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [480]);
        world.say(line, &answer(&last, "200 OK", "s", ""));
        world.result(alice.host, ended).unwrap();
    });
}
