//! Kerberos end to end: SipEndpoints that ask for a ticket at the center of their world and show it to a front end that
//! verifies and signs, and what becomes of them when the center gives none.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::record::Replay;
use sansip::security::signing::Version;
use sansip::security::{KerberosFailureKind as Kind, Secret};
use sansip::wire::StatusCode;
use sansip::{
    AuthenticationFailure, AuthenticationFailureReason as Reason, AuthenticationProtocol, Completion, Event,
    OperationError, RegistrationState, SessionState,
};
use sansip_testkit::frontend::{FrontEndEvent, Protocol, Signing};
use sansip_testkit::world::{self, Endpoint, FrontEndId, World};

use common::logon::{
    account, all_is_well, associations, counts, dropped, endpoint, heard, live_and_leave, registered, says,
    served, state,
};
use common::{TICK, sdp, secs};

const BOB: &str = "sip:bob@example.com";
const ALL: [Protocol; 3] = [Protocol::Digest, Protocol::Ntlm, Protocol::Kerberos];

fn protocol(world: &mut World, of: Endpoint) -> Option<AuthenticationProtocol> {
    world.with(of.host, |stack, now| {
        stack.endpoint(now, of.id).unwrap().authentication_protocol()
    })
}

fn refused(result: Result<Completion, OperationError>) -> AuthenticationFailure {
    match result {
        Err(OperationError::Authentication { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

/// An endpoint of whoever has logged on at its host.
fn by_default(world: &mut World, server: FrontEndId, user: &str) -> Endpoint {
    let mut config = account(world, server, user);
    config.credentials.clear();
    config.default_credential = true;
    let host = world.stack();
    world.sip_endpoint(host, config)
}

// rules: A1, A2, A4, A11
#[test]
fn endpoints_register_say_something_call_and_leave_with_every_message_signed() {
    for (seed, version) in (1..).zip([Version::V2, Version::V3, Version::V4]) {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Kerberos], |config| {
                config.associations.version = version;
            });
            // The one by its password, the other by the ticket cache of its host.
            let mut config = account(world, server, "alice");
            config.association.least_version = 2;
            let host = world.stack();
            let alice = world.sip_endpoint(host, config.clone());
            config.uri = BOB.to_owned();
            config.credentials.clear();
            config.default_credential = true;
            let host = world.stack();
            world.log_on(host, Some((server, "bob")));
            let bob = world.sip_endpoint(host, config);
            for endpoint in [alice, bob] {
                let operation = world.register(endpoint);
                world.result(endpoint.host, operation).unwrap();
                assert_eq!(protocol(world, endpoint), Some(AuthenticationProtocol::Kerberos));
            }
            live_and_leave(world, server, [alice, bob]);
        });
    }
}

// rules: A3
#[test]
fn kerberos_is_the_strongest_and_is_not_used_where_it_is_not_allowed() {
    for (seed, allowed, expected) in [
        (10, true, AuthenticationProtocol::Kerberos),
        (11, false, AuthenticationProtocol::Ntlm),
    ] {
        world::run(seed, |world| {
            let server = served(world, &ALL, |_| {});
            let mut config = account(world, server, "alice");
            if !allowed {
                config.protocols = config.protocols.without(AuthenticationProtocol::Kerberos);
            }
            let host = world.stack();
            let alice = world.sip_endpoint(host, config);
            let operation = world.register(alice);
            world.result(host, operation).unwrap();
            assert_eq!(protocol(world, alice), Some(expected));
        });
    }
}

// A server of nothing but Kerberos: what the application is told (A7). MS-SIP section 3.1: where the center is out of
// reach, the other protocols serve.
// rules: A3, A7, A11
#[test]
fn without_a_ticket_the_next_protocol_is_used_and_where_there_is_none_the_reason_is_told() {
    let cases = [
        (Kind::Unsupported, Reason::NoCommonProtocols),
        (Kind::NoTicket, Reason::MissingCredentials),
        (Kind::UnknownService, Reason::NoAuthenticatingAuthority),
        (Kind::Unreachable, Reason::NoAuthenticatingAuthority),
        (Kind::SkewedClock, Reason::SkewedClock),
        (Kind::Other, Reason::NoAuthenticatingAuthority),
    ];
    for (seed, (kind, reason)) in (20..).zip(cases) {
        world::run(seed, |world| {
            world.center.failure = Some(kind);
            let server = served(world, &[Protocol::Kerberos], |_| {});
            let alice = endpoint(world, server, "alice");
            let operation = world.register(alice);
            let failure = refused(world.result(alice.host, operation));
            assert_eq!(failure.reason, reason, "{kind:?}");
            assert_eq!(failure.kerberos.map(|kerberos| kerberos.kind), Some(kind));
            assert_eq!(failure.realm.as_deref(), Some("SIP Communications Service"));
            assert_eq!(failure.offered.len(), 1);
        });
        for protocols in [&ALL[1..], &[Protocol::Kerberos, Protocol::Digest]] {
            world::run(seed, |world| {
                world.center.failure = Some(kind);
                let server = served(world, protocols, |_| {});
                let alice = registered(world, server, "alice");
                let ntlm = protocols.contains(&Protocol::Ntlm);
                assert_eq!(
                    protocol(world, alice),
                    ntlm.then_some(AuthenticationProtocol::Ntlm)
                );
            });
        }
    }
}

// Every protocol that the server offers would try it once more, and so would a second ticket: a directory locks who does that.
// rules: A3, A7
#[test]
fn a_password_that_the_center_does_not_take_is_tried_once() {
    world::run(30, |world| {
        let server = served(world, &ALL, |_| {});
        let mut config = account(world, server, "alice");
        config.credentials[0].password = Secret::new("wrong");
        let host = world.stack();
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        let failure = refused(world.result(host, operation));
        assert_eq!(failure.reason, Reason::InvalidCredentials);
        assert_eq!(failure.realm.as_deref(), Some("SIP Communications Service"));
        assert_eq!(
            failure.kerberos.map(|kerberos| kerberos.kind),
            Some(Kind::WrongCredentials)
        );
        assert_eq!(failure.offered.len(), 4, "Digest twice, NTLM, Kerberos");
        world.run_for(secs(3600));
        assert_eq!(world.center.asked(), 1);
        let challenged = world
            .server_events(server)
            .iter()
            .filter(|(_, event)| matches!(event, FrontEndEvent::Challenged { .. }));
        assert_eq!(challenged.count(), 1, "the one REGISTER, without credentials");
    });
}

// rules: A2, A7
#[test]
fn who_has_not_logged_on_at_the_host_has_no_default_credential() {
    world::run(35, |world| {
        let server = served(world, &[Protocol::Kerberos], |_| {});
        let alice = by_default(world, server, "alice");
        let operation = world.register(alice);
        let failure = refused(world.result(alice.host, operation));
        assert_eq!(failure.reason, Reason::MissingCredentials);
        world.log_on(alice.host, Some((server, "alice")));
        let operation = world.register(alice);
        world.result(alice.host, operation).unwrap();
        assert_eq!(protocol(world, alice), Some(AuthenticationProtocol::Kerberos));
    });
    // Nor is it for NTLM.
    world::run(36, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let alice = by_default(world, server, "alice");
        world.log_on(alice.host, Some((server, "alice")));
        let operation = world.register(alice);
        let failure = refused(world.result(alice.host, operation));
        assert_eq!(failure.reason, Reason::MissingCredentials);
    });
}

// A ticket of another user does not do for the address (MS-SIPAE section 3.3.5.2).
// rules: A7
#[test]
fn the_ticket_of_somebody_else_is_no_good() {
    world::run(37, |world| {
        let server = served(world, &[Protocol::Kerberos], |_| {});
        let alice = by_default(world, server, "alice");
        world.log_on(alice.host, Some((server, "bob")));
        let operation = world.register(alice);
        assert!(world.result(alice.host, operation).is_err());
        assert_eq!(counts(world, server).made, 0);
    });
}

// A request waits for an answer of 64*T1 (RFC 3261 section 17.1.2.2), and so it does for a ticket.
// rules: A7, A11
#[test]
fn an_embedder_that_says_nothing_is_waited_for_as_long_as_a_server() {
    for (seed, late) in [(40, true), (41, false)] {
        world::run(seed, |world| {
            world.network.latency = Duration::ZERO;
            world.center.delay = if late { secs(32) + TICK } else { secs(32) - TICK };
            let server = served(world, &[Protocol::Kerberos], |_| {});
            let alice = endpoint(world, server, "alice");
            let operation = world.register(alice);
            let begun = world.now();
            let result = world.result(alice.host, operation);
            if late {
                assert_eq!(world.now().since(begun), secs(32));
                let failure = refused(result);
                assert_eq!(failure.reason, Reason::NoAuthenticatingAuthority);
                assert_eq!(
                    failure.kerberos.map(|kerberos| kerberos.kind),
                    Some(Kind::Unreachable)
                );
            } else {
                result.unwrap();
            }
            // What comes too late is dropped.
            world.run_for(secs(1));
            assert_eq!(associations(world, alice), usize::from(!late));
        });
    }
}

// rules: A5
#[test]
fn an_association_is_renewed_before_its_ticket_ends_and_nothing_is_lost() {
    // A ticket of an hour is renewed five minutes before; one that is good for long, before the eight hours of
    // MS-SIPAE section 3.2.2.
    for (seed, lifetime, renewed_at) in [(50, 3600, 3300), (51, 36_000, 28_500)] {
        world::run(seed, |world| {
            world.center.lifetime = secs(lifetime);
            let server = served(world, &[Protocol::Kerberos], |_| {});
            let alice = registered(world, server, "alice");
            let bob = registered(world, server, "bob");
            let made = |world: &World| {
                let associated = world
                    .events(alice.host)
                    .iter()
                    .filter(|(_, event)| matches!(event, Event::Associated { .. }));
                associated.map(|(at, _)| *at).collect::<Vec<_>>()
            };
            let [first] = made(world)[..] else {
                panic!("one association")
            };
            while made(world).len() == 1 {
                world.run_for(secs(600));
                says(world, alice, BOB).unwrap();
            }
            let after = made(world)[1].since(first);
            assert!(
                after >= secs(renewed_at) && after < secs(renewed_at + 60),
                "{after:?}"
            );
            world.run_for(secs(40_000));
            says(world, alice, BOB).unwrap();
            all_is_well(world, server, &[alice, bob]);
        });
    }
}

// rules: A5
#[test]
fn a_ticket_that_is_at_its_end_is_not_asked_for_again_and_again() {
    world::run(55, |world| {
        world.center.lifetime = secs(120);
        let server = served(world, &[Protocol::Kerberos], |_| {});
        let alice = registered(world, server, "alice");
        world.run_for(secs(600));
        let made = associations(world, alice);
        assert!((5..=11).contains(&made), "{made}: once a minute at the most");
        assert_eq!(state(world, alice), Some(RegistrationState::Registered));
    });
}

// A call that leads a handshake rings longer than an answer is waited for: nobody else waits for it, and it is answered, or given
// up, as any other. The server names the association only when it has answered.
// rules: A4, A5, S10
#[test]
fn a_call_that_rings_long_holds_up_no_other_request_and_can_be_answered_and_given_up() {
    for (seed, protocol) in [(56, Protocol::Kerberos), (57, Protocol::Ntlm)] {
        for answered in [true, false] {
            world::run(seed, |world| {
                let server = served(world, &[protocol], |_| {});
                let alice = registered(world, server, "alice");
                let bob = registered(world, server, "bob");
                world.with_server(server, |front, _| {
                    front.expire_associations("sip:alice@example.com", None)
                });
                let (call, made) = world.invite(alice, BOB, Some(sdp()));
                world.run_for(secs(1));
                let received = world.events(bob.host).iter().find_map(|(_, event)| match event {
                    Event::SessionReceived { session, .. } => Some(*session),
                    _ => None,
                });
                let session = received.unwrap();
                world
                    .with(bob.host, |stack, now| {
                        let mut call = stack.session(now, session).unwrap();
                        call.provisional(StatusCode::RINGING, None)
                    })
                    .unwrap();
                world.run_for(secs(40));
                let begun = world.now();
                says(world, alice, BOB).unwrap();
                assert!(world.now().since(begun) < secs(1));
                assert_eq!((heard(world, bob), associations(world, alice)), (1, 2));
                if answered {
                    let accepted = world.with(bob.host, |stack, now| {
                        stack.session(now, session).unwrap().accept(Some(sdp()))
                    });
                    world.result(bob.host, accepted.unwrap()).unwrap();
                    world.result(alice.host, made).unwrap();
                } else {
                    let ended = world.with(alice.host, |stack, now| {
                        stack.session(now, call).unwrap().terminate()
                    });
                    world.result(alice.host, ended).unwrap();
                    world.run_for(secs(1));
                    let states = common::session_states(world, bob.host);
                    assert!(states.contains(&SessionState::Disconnected), "{states:?}");
                }
                assert_eq!((dropped(world, alice), dropped(world, bob)), ([0; 3], [0; 3]));
            });
        }
    }
}

// Between the token and the first response of the callee nothing is proven; what belongs to the call is signed all the same.
// rules: A4, S10
#[test]
fn a_call_is_given_up_before_it_rings_with_a_signature() {
    world::run(58, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let alice = registered(world, server, "alice");
        let bob = registered(world, server, "bob");
        world.with_server(server, |front, _| {
            front.expire_associations("sip:alice@example.com", None)
        });
        let (call, _) = world.invite(alice, BOB, Some(sdp()));
        // 100 has come, and nothing else.
        world.run_for(secs(1));
        let ended = world.with(alice.host, |stack, now| {
            stack.session(now, call).unwrap().terminate()
        });
        world.result(alice.host, ended).unwrap();
        world.run_for(secs(1));
        let states = common::session_states(world, bob.host);
        assert!(states.contains(&SessionState::Disconnected), "{states:?}");
        let counts = counts(world, server);
        assert_eq!((counts.unsigned, counts.forged), (0, 0));
    });
}

// rules: A5, A11
#[test]
fn while_a_ticket_is_asked_for_the_others_wait_and_whoever_leaves_gets_away() {
    world::run(60, |world| {
        let server = served(world, &[Protocol::Kerberos], |_| {});
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        world.with_server(server, |front, _| {
            front.expire_associations("sip:alice@example.com", None)
        });
        world.center.delay = secs(5);
        let asked: Vec<_> = (0..5).map(|_| world.message(alice, BOB, "hello")).collect();
        world.run_for(secs(4));
        assert_eq!(heard(world, bob), 0);
        // The connection may go meanwhile: a ticket is not bound to it.
        world.reset(world.link_between(alice.host, server));
        for operation in asked {
            let result = world.result(alice.host, operation);
            assert!(result.is_ok(), "{result:?}");
        }
        assert_eq!(heard(world, bob), 5);
        assert_eq!((dropped(world, alice), dropped(world, bob)), ([0; 3], [0; 3]));
    });
    world::run(61, |world| {
        let server = served(world, &[Protocol::Kerberos], |_| {});
        world.center.delay = secs(20);
        let alice = endpoint(world, server, "alice");
        world.register(alice);
        let message = world.message(alice, BOB, "hello");
        world.run_for(secs(1));
        // A REGISTER that is under way is waited for, whatever it waits for.
        let begun = world.now();
        let ended = world.with(alice.host, |stack, now| stack.terminate(now, alice.id));
        assert!(world.result(alice.host, message).is_err());
        world.result(alice.host, ended).unwrap();
        assert!(world.now().since(begun) < secs(20));
        let census = world.with(alice.host, |stack, _| stack.census());
        assert_eq!(census.exchanges, 0, "nothing waits");
    });
}

// rules: A4
#[test]
fn what_the_server_does_not_sign_well_or_says_twice_nobody_hears_of() {
    for (seed, signing, expected) in [(70, Signing::Wrong, [0, 1, 0]), (71, Signing::Missing, [1, 0, 0])] {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Kerberos], |_| {});
            let alice = registered(world, server, "alice");
            let bob = registered(world, server, "bob");
            world.with_server(server, |front, _| front.set_signing(signing));
            let operation = world.message(alice, BOB, "hello");
            world.run_for(secs(1));
            assert_eq!(heard(world, bob), 0);
            assert_eq!(dropped(world, bob).map(|count| count.min(1)), expected);
            assert!(world.result(alice.host, operation).is_err());
            world.with_server(server, |front, _| front.set_signing(Signing::Right));
            world.run_for(secs(600));
            says(world, alice, BOB).unwrap();
            assert_eq!(heard(world, bob), 1);
            let before = dropped(world, bob)[2];
            assert_eq!(world.with_server(server, |front, _| front.replay(BOB, None)), 1);
            world.run_for(secs(1));
            assert_eq!((heard(world, bob), dropped(world, bob)[2] - before), (1, 1));
        });
    }
}

// rules: A5, R6
#[test]
fn a_restart_of_the_server_is_overcome() {
    world::run(80, |world| {
        let server = served(world, &[Protocol::Kerberos], |_| {});
        let alice = registered(world, server, "alice");
        let bob = registered(world, server, "bob");
        assert_eq!(world.with_server(server, |front, _| front.lose_associations()), 2);
        world.reset(world.link_between(alice.host, server));
        world.reset(world.link_between(bob.host, server));
        world.run_for(secs(60));
        assert_eq!((associations(world, alice), associations(world, bob)), (2, 2));
        says(world, alice, BOB).unwrap();
        all_is_well(world, server, &[alice, bob]);
    });
}

// What was registered once goes on trying: a center may be back as a server may (R7). Only what is said of the password is
// for good.
// rules: A7, R7
#[test]
fn a_center_that_is_gone_for_a_while_ends_no_registration_and_one_that_refuses_the_password_does() {
    for (seed, kind, ends) in [
        (85, Kind::Unreachable, false),
        (86, Kind::NoTicket, false),
        (87, Kind::SkewedClock, false),
        (88, Kind::WrongCredentials, true),
    ] {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Kerberos], |_| {});
            let alice = registered(world, server, "alice");
            world.center.failure = Some(kind);
            world.with_server(server, |front, _| front.lose_associations());
            world.run_for(secs(7200));
            let outages = world.events(alice.host).iter();
            let outages = outages
                .filter(|(_, event)| matches!(event, Event::Outage { .. }))
                .count();
            assert_eq!(outages, 1, "{kind:?}");
            world.center.failure = None;
            world.run_for(secs(70));
            let expected = if ends {
                RegistrationState::Unregistered
            } else {
                RegistrationState::Registered
            };
            assert_eq!(state(world, alice), Some(expected), "{kind:?}");
        });
    }
}

// rules: A6
#[test]
fn who_has_a_default_credential_expects_to_be_asked() {
    for (seed, allowed) in [(90, false), (91, true)] {
        world::run(seed, |world| {
            let server = common::served(world);
            let mut config = sansip::SipEndpointConfig {
                default_credential: true,
                ..account(world, server, "nobody")
            };
            config.association.unchallenging = allowed;
            // It knows nobody, and so asks nobody who they are.
            let open = world.front_end(sansip_testkit::frontend::FrontEndConfig::new("example.org"));
            config.uri = "sip:alice@example.org".to_owned();
            config.server = Some(sansip::Server {
                host: "example.org".to_owned(),
                port: Some(5060),
            });
            let host = world.stack();
            let alice = world.sip_endpoint(host, config);
            let operation = world.register(alice);
            let result = world.result(host, operation);
            if allowed {
                result.unwrap();
            } else {
                assert_eq!(refused(result).reason, Reason::UnchallengingServer);
            }
            let _ = open;
        });
    }
}

// Whoever replays has neither center nor ticket: what the context has said is in the recording.
// rules: X8, A9, A11
#[test]
fn a_recording_has_what_the_context_has_said_and_no_password() {
    let recordings = std::cell::RefCell::new(Vec::new());
    world::run(100, |world| {
        world.recording = Some(1 << 20);
        let server = served(world, &[Protocol::Kerberos], |_| {});
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        says(world, alice, BOB).unwrap();
        // One that is dropped is in it, too.
        assert_eq!(world.with_server(server, |front, _| front.replay(BOB, None)), 1);
        world.with_server(server, |front, _| front.set_signing(Signing::Wrong));
        world.message(alice, BOB, "hello");
        world.run_for(secs(40));
        assert_eq!(dropped(world, bob).map(|count| count.min(1)), [0, 1, 1]);
        recordings.replace(world.take_recordings());
    });
    let recordings = recordings.into_inner();
    assert_eq!(recordings.len(), 2);
    for recording in recordings {
        for secret in ["Pa55word", "Geheim"] {
            assert!(
                !recording
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes())
            );
        }
        let mut replay = Replay::open(recording).unwrap();
        let mut associated = 0;
        while let Some(step) = replay.step().unwrap() {
            let made =
                |action: &&sansip::Action| matches!(action, sansip::Action::Event(Event::Associated { .. }));
            associated += step.actions.iter().filter(made).count();
        }
        assert_eq!(associated, 1);
        assert!(replay.is_complete());
    }
}
