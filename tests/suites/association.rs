//! Security associations end to end: SipEndpoints that log on with NTLM at a front end that verifies and signs, and what
//! becomes of them when it forgets, doubts, signs wrongly or says a thing twice.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use md4::{Digest, Md4};
use sansip::security::signing::Version;
use sansip::security::{Credentials, Secret};
use sansip::wire::{Method, StatusCode};
use sansip::{
    AuthenticationFailureReason as Reason, AuthenticationProtocol, Completion, Content, ManagerConfig,
    ManagerKind, MutualTls, OperationError, PublishOptions, RegistrationState, SessionState, Transport,
};
use sansip_testkit::frontend::{FrontEndConfig, Memory, Protocol, Signing};
use sansip_testkit::world::{self, FrontEndId, World};

use common::logon::{
    account, all_is_well, associations, counts, dropped, endpoint, heard, live_and_leave, registered, says,
    served, state,
};
use common::{accept_calls, sdp, secs, session_states};

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

// rules: A1, A4
#[test]
fn endpoints_register_say_something_call_and_leave_with_every_message_signed() {
    for (seed, version) in (1..).zip([Version::V2, Version::V3, Version::V4]) {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Ntlm], |config| {
                config.associations.version = version
            });
            let both = ["alice", "bob"].map(|user| {
                let mut config = account(world, server, user);
                config.association.least_version = 2;
                let host = world.stack();
                let endpoint = world.sip_endpoint(host, config);
                let operation = world.register(endpoint);
                world.result(host, operation).unwrap();
                let protocol = world.with(host, |stack, now| {
                    stack
                        .endpoint(now, endpoint.id)
                        .unwrap()
                        .authentication_protocol()
                });
                assert_eq!(protocol, Some(AuthenticationProtocol::Ntlm));
                endpoint
            });
            live_and_leave(world, server, both);
        });
    }
}

// rules: A3, A7
#[test]
fn the_strongest_protocol_is_used_and_a_wrong_password_is_tried_once() {
    world::run(10, |world| {
        let server = served(world, &[Protocol::Digest, Protocol::Ntlm], |_| {});
        let alice = registered(world, server, "alice");
        assert_eq!(associations(world, alice), 1);
    });
    world::run(11, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let mut config = account(world, server, "alice");
        config.credentials[0].password = Secret::new("wrong");
        let host = world.stack();
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        let Err(OperationError::Authentication { failure, .. }) = world.result(host, operation) else {
            panic!("it is refused");
        };
        assert_eq!(failure.reason, Reason::InvalidCredentials);
        world.run_for(secs(3600));
        assert_eq!(counts(world, server).failed, 1);
    });
}

// rules: A6
#[test]
fn a_server_that_never_asks_is_no_good_unless_that_is_allowed() {
    for (seed, allowed) in [(20, false), (21, true)] {
        world::run(seed, |world| {
            // It knows nobody, and so asks nobody who they are.
            let server = world.front_end(FrontEndConfig::new("example.com"));
            let mut config = account(world, server, "alice");
            let credentials = Credentials::new("alice", Secret::new("Pa55word")).with_domain("EXAMPLE");
            config.credentials = vec![credentials];
            config.association.unchallenging = allowed;
            let host = world.stack();
            let alice = world.sip_endpoint(host, config);
            let operation = world.register(alice);
            match world.result(host, operation) {
                Ok(_) => assert!(allowed),
                Err(OperationError::Authentication { failure, .. }) => {
                    assert_eq!((failure.reason, allowed), (Reason::UnchallengingServer, false));
                }
                other => panic!("{other:?}"),
            }
        });
    }
}

// On a manager with mutual TLS both are known by their certificates; on one without, the server knows nobody.
// rules: A6
#[test]
fn who_is_known_by_a_certificate_need_not_be_asked() {
    for (seed, mutual_tls) in [(22, MutualTls::Anyone), (23, MutualTls::Off)] {
        world::run(seed, |world| {
            let server = world.front_end(FrontEndConfig::new("example.com"));
            let host = world.stack();
            let kind = ManagerConfig::new(ManagerKind::ServerTls);
            let is_mutual = mutual_tls != MutualTls::Off;
            let config = ManagerConfig {
                mutual_tls: mutual_tls.clone(),
                ..kind
            };
            let manager = world.with(host, |stack, _| stack.add_manager(config)).unwrap();
            let mut config = account(world, server, "alice");
            let credentials = Credentials::new("alice", Secret::new("Pa55word")).with_domain("EXAMPLE");
            config.credentials = vec![credentials];
            config.manager = Some(manager);
            config.transport = Transport::Tls;
            config.server = None;
            let alice = world.sip_endpoint(host, config);
            let operation = world.register(alice);
            match world.result(host, operation) {
                Ok(_) => assert!(is_mutual),
                Err(OperationError::Authentication { failure, .. }) => {
                    assert_eq!((failure.reason, is_mutual), (Reason::UnchallengingServer, false));
                }
                other => panic!("{other:?}"),
            }
        });
    }
}

// rules: A5
#[test]
fn an_association_is_renewed_before_its_time_and_nothing_is_lost() {
    world::run(30, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        // MS-SIPAE section 3.2.2: eight hours; a day has three of them, and a bit.
        for hour in 1..=24 {
            world.run_for(secs(3600));
            says(world, alice, BOB).unwrap();
            assert_eq!(heard(world, bob), hour);
        }
        assert_eq!((associations(world, alice), associations(world, bob)), (4, 4));
        all_is_well(world, server, &[alice, bob]);
    });
}

// rules: A5
#[test]
fn a_server_that_has_lost_its_associations_gets_new_ones_and_what_was_asked_is_asked_again() {
    let losses: [fn(&mut World, FrontEndId); 3] = [
        |world, server| assert_eq!(world.with_server(server, |front, _| front.lose_associations()), 2),
        |world, server| {
            let over = |user| world.with_server(server, |front, _| front.expire_associations(user, None));
            assert_eq!([ALICE, BOB].map(over), [1, 1]);
        },
        |world, server| {
            let doubted = |user| world.with_server(server, |front, _| front.challenge_again(user, None, 1));
            assert_eq!([ALICE, BOB].map(doubted), [1, 1]);
        },
    ];
    for (seed, lose) in (40..).zip(losses) {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Ntlm], |_| {});
            let (alice, bob) = (
                registered(world, server, "alice"),
                registered(world, server, "bob"),
            );
            accept_calls(world, bob.host);
            let (session, made) = world.invite(alice, BOB, Some(sdp()));
            world.result(alice.host, made).unwrap();
            world.run_for(secs(1));
            lose(world, server);
            // The server can say nothing to bob before he has logged on again, which he does with whatever he asks.
            let unknown = says(world, bob, "sip:nobody@example.com").unwrap_err();
            assert_eq!(
                unknown.response().and_then(|response| response.status()),
                Some(StatusCode::NOT_FOUND)
            );
            // Several at once: one leads the handshake, the others wait for it.
            let asked: Vec<_> = (0..5).map(|_| world.message(alice, BOB, "hello")).collect();
            for operation in asked {
                let result = world.result(alice.host, operation);
                assert!(result.is_ok(), "{result:?}");
            }
            assert_eq!(associations(world, alice), 2);
            // In the middle of a call, too.
            let ended = world.with(alice.host, |stack, now| {
                stack.session(now, session).unwrap().terminate()
            });
            assert_eq!(world.result(alice.host, ended), Ok(Completion::Done));
            world.run_for(secs(4000));
            assert_eq!(state(world, alice), Some(RegistrationState::Registered));
            assert_eq!(state(world, bob), Some(RegistrationState::Registered));
        });
    }
}

// rules: A4
#[test]
fn what_the_server_does_not_sign_well_nobody_hears_of() {
    for (seed, signing, expected) in [(50, Signing::Wrong, [0, 1, 0]), (51, Signing::Missing, [1, 0, 0])] {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Ntlm], |_| {});
            let (alice, bob) = (
                registered(world, server, "alice"),
                registered(world, server, "bob"),
            );
            world.with_server(server, |front, _| front.set_signing(signing));
            let operation = world.message(alice, BOB, "hello");
            world.run_for(secs(1));
            assert_eq!(heard(world, bob), 0);
            let after = dropped(world, bob);
            assert!(
                after
                    .iter()
                    .zip(expected)
                    .all(|(count, least)| (*count > 0) == (least > 0)),
                "{after:?}"
            );
            // It ends as a message does that nobody answers.
            assert!(world.result(alice.host, operation).is_err());
            // The server comes to itself.
            world.with_server(server, |front, _| front.set_signing(Signing::Right));
            world.run_for(secs(600));
            assert_eq!(state(world, bob), Some(RegistrationState::Registered));
            says(world, alice, BOB).unwrap();
            assert_eq!(heard(world, bob), 1);
        });
    }
}

// rules: A4
#[test]
fn what_the_server_says_twice_is_heard_once() {
    world::run(60, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        says(world, alice, BOB).unwrap();
        assert_eq!(world.with_server(server, |front, _| front.replay(BOB, None)), 1);
        world.run_for(secs(1));
        assert_eq!((heard(world, bob), dropped(world, bob)), (1, [0, 0, 1]));
    });
}

// rules: A5, R6
#[test]
fn a_new_connection_has_a_new_association() {
    world::run(70, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let alice = registered(world, server, "alice");
        world.with_server(server, |front, _| front.lose_associations());
        let conns = world.with(alice.host, |stack, _| stack.census().connections);
        assert_eq!(conns, 1);
        world.reset(world.link_between(alice.host, server));
        world.run_for(secs(60));
        assert_eq!(associations(world, alice), 2);
        assert_eq!(state(world, alice), Some(RegistrationState::Registered));
        all_is_well(world, server, &[alice]);
    });
}

// rules: A9
#[test]
fn no_event_or_trace_shows_a_password() {
    // MS-NLMP section 3.3.1: NTOWFv1, which is as good as the password. Not in the trace: it has what was said on the wire.
    let wide: Vec<u8> = "Pa55word".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hash: String = Md4::digest(&wide)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    for protocol in [Protocol::Ntlm, Protocol::Kerberos, Protocol::Digest] {
        world::run(80, |world| {
            let server = served(world, &[protocol], |_| {});
            let mut config = account(world, server, "alice");
            config.credentials[0].realm = None;
            let host = world.stack();
            let alice = world.sip_endpoint(host, config);
            let operation = world.register(alice);
            let before = world.with(host, |stack, _| format!("{stack:?}"));
            world.result(host, operation).unwrap();
            let _ = says(world, alice, BOB);
            let shown = format!("{:?}", world.events(host));
            let after = world.with(host, |stack, _| format!("{stack:?}"));
            for text in [before, shown, after, format!("{:?}", world.trace())] {
                for secret in ["Pa55word", &hash] {
                    assert!(!text.contains(secret), "{protocol:?}");
                }
            }
        });
    }
}

// MS-SIPAE section 3.3.5.1: what is signed depends on the version of the challenge.
// rules: A4
#[test]
fn each_version_is_spoken_with_a_server_that_asks_for_it() {
    for (seed, version) in [(90, Version::V2), (91, Version::V3), (92, Version::V4)] {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Ntlm], |config| {
                config.associations.version = version;
            });
            let [alice, bob] = ["alice", "bob"].map(|user| {
                let mut config = account(world, server, user);
                config.association.least_version = 2;
                let host = world.stack();
                let endpoint = world.sip_endpoint(host, config);
                let operation = world.register(endpoint);
                world.result(host, operation).unwrap();
                endpoint
            });
            says(world, alice, BOB).unwrap();
            // A refresh or two.
            world.run_for(secs(7200));
            says(world, bob, ALICE).unwrap();
            assert_eq!((heard(world, alice), heard(world, bob)), (1, 1));
            all_is_well(world, server, &[alice, bob]);
        });
    }
}

// rules: A5
#[test]
fn a_challenge_in_the_middle_of_a_call_loses_nothing() {
    world::run(93, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        accept_calls(world, bob.host);
        let (session, answered) = world.invite(alice, BOB, Some(sdp()));
        world.result(alice.host, answered).unwrap();
        let faults: [&dyn Fn(&mut World) -> usize; 2] = [
            &|world| world.with_server(server, |front, _| front.challenge_again(ALICE, None, 1)),
            &|world| world.with_server(server, |front, _| front.expire_associations(ALICE, None)),
        ];
        for fault in faults {
            assert_eq!(fault(world), 1);
            let info = world.with(alice.host, |stack, now| {
                stack
                    .session(now, session)
                    .unwrap()
                    .send(Method::Info, None, Vec::new())
            });
            world.result(alice.host, info.unwrap()).unwrap();
        }
        let ended = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        world.result(alice.host, ended).unwrap();
        world.run_for(secs(1));
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Disconnected)
        );
        for of in [alice, bob] {
            assert_eq!(dropped(world, of), [0, 0, 0]);
        }
        let counts = counts(world, server);
        // The one request that came under what had expired was challenged, and nothing dropped.
        assert_eq!(counts.unknown, 1);
        assert_eq!(
            [counts.unsigned, counts.forged, counts.replayed, counts.foreign],
            [0; 4]
        );
    });
}

// rules: A5, R6
#[test]
fn a_restart_of_the_server_is_overcome_with_and_without_its_associations() {
    for (seed, memory) in [(94, Memory::Kept), (95, Memory::Lost)] {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Ntlm], |_| {});
            let (alice, bob) = (
                registered(world, server, "alice"),
                registered(world, server, "bob"),
            );
            world.restart(server, memory);
            world.run_for(secs(120));
            says(world, alice, BOB).unwrap();
            says(world, bob, ALICE).unwrap();
            assert_eq!((heard(world, alice), heard(world, bob)), (1, 1));
            all_is_well(world, server, &[alice, bob]);
        });
    }
}

// A server that has not let somebody in signs nothing, and has no association: what it says is the outcome, and no more.
// rules: A1, A4
#[test]
fn a_refusal_that_is_not_signed_makes_no_association() {
    for (seed, signing, made) in [(96, Signing::Right, 1), (97, Signing::Missing, 0)] {
        world::run(seed, |world| {
            let server = served(world, &[Protocol::Ntlm], |_| {});
            let alice = endpoint(world, server, "alice");
            world.with_server(server, |front, _| front.set_signing(signing));
            let refused = says(world, alice, "sip:nobody@example.com").unwrap_err();
            assert_eq!(
                refused.response().and_then(|response| response.status()),
                Some(StatusCode::NOT_FOUND)
            );
            assert_eq!(associations(world, alice), made);
        });
    }
}

// What has asked for the end of a publication while it leads a handshake is not sent again, and leaves the handshake.
// rules: A5
#[test]
fn a_publication_that_ends_within_a_handshake_holds_up_nobody() {
    world::run(98, |world| {
        let server = served(world, &[Protocol::Ntlm], |_| {});
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        world.with_server(server, |front, _| front.lose_associations());
        let (publication, _) = world
            .with(alice.host, |stack, now| {
                let mut alice = stack.endpoint(now, alice.id).unwrap();
                alice.publish(ALICE, PublishOptions::new("presence"), Content::text("here"))
            })
            .unwrap();
        // The challenge has come, and the empty token has gone out.
        let sent = |world: &World| world.server(server).association_counts().unknown;
        while sent(world) == 0 {
            world.run_for(Duration::from_millis(1));
        }
        world.run_for(Duration::from_millis(45));
        let removed = world.with(alice.host, |stack, now| {
            stack.publication(now, publication).unwrap().remove()
        });
        world.result(alice.host, removed).unwrap();
        let unknown = says(world, bob, "sip:nobody@example.com").unwrap_err();
        assert!(unknown.response().is_some());
        says(world, alice, BOB).unwrap();
        assert_eq!((heard(world, bob), associations(world, alice)), (1, 2));
    });
}
