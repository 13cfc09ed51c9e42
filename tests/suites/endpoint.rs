//! Endpoints, both kinds: identity, dispatch, page-mode messages, the end (groups E, P and M of the rules).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::wire::uri::{Uri, UserCase, equal};
use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Completion, Config, ConnectionFailure, Content, Event, ListenError, ManagerConfig, ManagerKind, Misuse,
    NextHop, OperationError, PeerToPeerConfig, PeerToPeerReason, PeerToPeerState, Proxy, RegistrationState,
    SendOptions, SessionState, SipEndpointConfig, Transport,
};
use sansip_testkit::world::{self, Chunks, Endpoint, PeerId, World};

use common::{
    TICK, accept_calls, answer, at, callee, callee_with, codes, failure_code, field, hold_requests, messages,
    next_line, next_request, receivers, registered, request, scripted_server, sdp, secs, served,
    session_states,
};

const BOB: &str = "sip:bob@two.invalid";

fn to_bob(method: &str, number: u32, more: &str) -> String {
    request(method, BOB, "<sip:bob@two.invalid>", number, more)
}

fn peer_config(uri: &str, epid: &str) -> PeerToPeerConfig {
    PeerToPeerConfig {
        epid: Some(epid.to_owned()),
        ..PeerToPeerConfig::new(uri)
    }
}

fn send(
    world: &mut World,
    endpoint: Endpoint,
    target: &str,
    method: Method,
    content: Option<Content>,
    options: SendOptions,
) -> Result<sansip::OperationId, Misuse> {
    world.with(endpoint.host, |stack, now| {
        stack
            .endpoint(now, endpoint.id)?
            .send_message(target, method, content, options)
    })
}

/// One endpoint at one stack sends to a scripted peer at a name and port of its own.
fn sender(world: &mut World) -> (Endpoint, PeerId) {
    let host = world.stack();
    let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@one.invalid"));
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    world.names.set_addresses("peer.invalid", &[address.ip()]);
    (alice, peer)
}

const PEER: &str = "sip:carol@peer.invalid:5060";

// ---------------------------------------------------------------- identity

// rules: E1, E9
#[test]
fn a_pair_of_uri_and_epid_is_there_once() {
    world::run(1, |world| {
        let host = world.stack();
        world.peer_to_peer_endpoint(host, peer_config(BOB, "one"));
        let add = |world: &mut World, uri: &str, epid: &str| {
            world.with(host, |stack, now| {
                stack.add_peer_to_peer_endpoint(now, peer_config(uri, epid))
            })
        };
        assert_eq!(
            add(world, BOB, "one"),
            Err(Misuse::Duplicate("URI and endpoint id"))
        );
        assert_eq!(
            add(world, "sip:BOB@Two.INVALID", "ONE"),
            Err(Misuse::Duplicate("URI and endpoint id"))
        );
        let both_kinds = SipEndpointConfig {
            epid: Some("one".into()),
            ..SipEndpointConfig::new(BOB)
        };
        let sip = world.with(host, |stack, now| stack.add_sip_endpoint(now, both_kinds));
        assert_eq!(sip, Err(Misuse::Duplicate("URI and endpoint id")));
        assert_eq!(
            world.with(host, |stack, _| stack.endpoints().len()),
            1,
            "misuse changes nothing"
        );
        assert!(add(world, BOB, "two").is_ok());
        assert!(add(world, "sip:bert@two.invalid", "one").is_ok());
    });
}

// rules: E1
#[test]
fn a_pair_is_free_again_when_its_endpoint_is_gone() {
    world::run(2, |world| {
        let host = world.stack();
        let first = world.peer_to_peer_endpoint(host, peer_config(BOB, "one"));
        let ended = world.terminate(first);
        world.result(host, ended).unwrap();
        world.peer_to_peer_endpoint(host, peer_config(BOB, "one"));
    });
}

// rules: E2, M5
#[test]
fn endpoints_of_one_user_are_told_apart_by_epid() {
    world::run(3, |world| {
        let it = callee_with(world, peer_config(BOB, "desk"));
        let mobile = world.peer_to_peer_endpoint(it.host, peer_config(BOB, "mobile"));
        for (number, epid) in [(1, ";epid=mobile"), (2, ";epid=desk"), (3, ";epid=MOBILE")] {
            world.say(
                it.line,
                &request("MESSAGE", BOB, &format!("<{BOB}>{epid}"), number, ""),
            );
        }
        world.run_for(secs(1));
        assert_eq!(receivers(world, it.host), [mobile.id, it.bob.id, mobile.id]);
        assert_eq!(codes(world, it.line), [200, 200, 200]);
    });
}

// rules: E2
#[test]
fn the_epid_is_in_from() {
    world::run(4, |world| {
        let (alice, peer) = sender(world);
        world.message(alice, PEER, "hi");
        let line = next_line(world, peer, 0);
        let sent = next_request(world, line, &Method::Message);
        let epid = world.with(alice.host, |stack, now| {
            stack.endpoint(now, alice.id).unwrap().epid().to_owned()
        });
        assert_eq!(sent.from_().unwrap().epid().as_deref(), Some(epid.as_str()));
        assert_eq!(field(&sent, HeaderName::From).matches(";epid=").count(), 1);
        world.say(line, &answer(&sent, "200 OK", "c", ""));
    });
}

// rules: E3
#[test]
fn an_epid_is_kept_as_given_or_made() {
    world::run(5, |world| {
        let host = world.stack();
        let epid = |world: &mut World, endpoint: Endpoint| {
            world.with(host, |stack, now| {
                stack.endpoint(now, endpoint.id).unwrap().epid().to_owned()
            })
        };
        let sixteen = "0123456789aBcD-~";
        let given = world.peer_to_peer_endpoint(host, peer_config(BOB, sixteen));
        assert_eq!(epid(world, given), sixteen);
        let (one, two) = (PeerToPeerConfig::new(BOB), PeerToPeerConfig::new(BOB));
        let one = world.peer_to_peer_endpoint(host, one);
        let two = world.peer_to_peer_endpoint(host, two);
        let (one, two) = (epid(world, one), epid(world, two));
        assert_ne!(one, two);
        assert!((1..=16).contains(&one.len()) && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        for bad in ["", "0123456789abcdefg", "a b", "a;b", "a\"b", "ä", "a\r\nb"] {
            let result = world.with(host, |stack, now| {
                stack.add_peer_to_peer_endpoint(now, peer_config(BOB, bad))
            });
            assert!(
                matches!(result, Err(Misuse::Argument { argument: "epid", .. })),
                "{bad:?}: {result:?}"
            );
        }
    });
}

// rules: E4, E8
#[test]
fn a_sip_endpoint_has_its_gruu_while_it_is_registered() {
    world::run(6, |world| {
        let server = served(world);
        let alice = at(world, server, "alice");
        let gruu = |world: &mut World| {
            world.with(alice.host, |stack, now| {
                stack.endpoint(now, alice.id).unwrap().gruu().map(str::to_owned)
            })
        };
        assert_eq!(gruu(world), None);
        let operation = world.register(alice);
        assert_eq!(gruu(world), None, "registering is not registered");
        world.result(alice.host, operation).unwrap();
        let own = gruu(world).expect("the server gives GRUUs");
        let uri = Uri::parse(&own).unwrap();
        assert!(uri.as_sip().unwrap().is_gruu(), "{own}");
        let (owner, device) = world.with(alice.host, |stack, now| {
            let endpoint = stack.endpoint(now, alice.id).unwrap();
            (endpoint.owner_uri().to_owned(), endpoint.endpoint_uri())
        });
        assert_eq!(
            (owner.as_str(), device.as_deref()),
            ("sip:alice@example.com", Some(own.as_str()))
        );
        let gone = world.unregister(alice);
        world.result(alice.host, gone).unwrap();
        assert_eq!(gruu(world), None);
    });
}

// rules: E4, M5
#[test]
fn a_gruu_reaches_its_endpoint_and_stands_in_contact() {
    world::run(7, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        let first = registered(world, server, "bob");
        let second = registered(world, server, "bob");
        let gruu = world.with(second.host, |stack, now| {
            stack.endpoint(now, second.id).unwrap().gruu().unwrap().to_owned()
        });
        let sent = world.message(alice, &gruu, "only you");
        world.result(alice.host, sent).unwrap();
        assert_eq!(
            (
                messages(world, first.host).len(),
                messages(world, second.host).len()
            ),
            (0, 1)
        );
        // A dialog-forming request, and the answer to one.
        accept_calls(world, second.host);
        let (session, made) = world.invite(alice, &gruu, Some(sdp()));
        world.result(alice.host, made).unwrap();
        let target = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().target().unwrap().to_owned()
        });
        assert_eq!(target, gruu, "the Contact of the answer");
        let invite = world
            .events(second.host)
            .iter()
            .find_map(|(_, event)| match event {
                Event::SessionReceived { message, .. } => Some((**message).clone()),
                _ => None,
            });
        let own = world.with(alice.host, |stack, now| {
            stack.endpoint(now, alice.id).unwrap().gruu().unwrap().to_owned()
        });
        let contact = field(&invite.unwrap(), HeaderName::Contact);
        assert!(contact.contains(&format!("<{own}>")), "{contact}");
    });
}

// rules: E4
#[test]
fn a_peer_to_peer_endpoint_may_be_given_a_gruu_that_is_unique() {
    world::run(8, |world| {
        let gruu = "sip:bob@two.invalid;gr=urn:uuid:1";
        let with_gruu = |uri: &str| PeerToPeerConfig {
            gruu: Some(gruu.into()),
            ..PeerToPeerConfig::new(uri)
        };
        let it = callee_with(world, with_gruu(BOB));
        let other = world.peer_to_peer_endpoint(it.host, PeerToPeerConfig::new(BOB));
        let twice = world.with(it.host, |stack, now| {
            stack.add_peer_to_peer_endpoint(now, with_gruu("sip:x@y.invalid"))
        });
        assert_eq!(twice, Err(Misuse::Duplicate("GRUU")));
        accept_calls(world, it.host);
        world.say(
            it.line,
            &request("MESSAGE", gruu, "<sip:stranger@far.invalid>", 1, ""),
        );
        let caller = "Contact: <sip:p@peer.invalid>";
        world.say(
            it.line,
            &request("INVITE", gruu, "<sip:stranger@far.invalid>", 2, caller),
        );
        world.run_for(secs(1));
        assert_eq!(receivers(world, it.host), [it.bob.id, it.bob.id]);
        let heard = world.heard(it.line);
        let contact = field(heard.last().unwrap(), HeaderName::Contact);
        assert!(contact.contains(&format!("<{gruu}>")), "{contact}");
        let ended = world.terminate(other);
        world.result(it.host, ended).unwrap();
    });
}

// rules: E5, R12
#[test]
fn the_instance_follows_from_the_epid_or_is_given() {
    world::run(9, |world| {
        let host = world.stack();
        // The pair of MS-SIPRE's example.
        let derived = SipEndpointConfig {
            epid: Some("01010101".into()),
            ..SipEndpointConfig::new("sip:a@example.com")
        };
        let given = SipEndpointConfig {
            instance: Some("urn:uuid:2".into()),
            ..SipEndpointConfig::new("sip:b@example.com")
        };
        let bad = SipEndpointConfig {
            instance: Some("uuid".into()),
            ..SipEndpointConfig::new("sip:c@example.com")
        };
        for (config, instance) in [
            (derived, "urn:uuid:4b1682a8-f968-5701-83fc-7c6741dc6697"),
            (given, "urn:uuid:2"),
        ] {
            let endpoint = world.sip_endpoint(host, config);
            let own = world.with(host, |stack, now| {
                stack.endpoint(now, endpoint.id).unwrap().instance().to_owned()
            });
            assert_eq!(own, instance);
        }
        let refused = world.with(host, |stack, now| stack.add_sip_endpoint(now, bad));
        assert!(matches!(
            refused,
            Err(Misuse::Argument {
                argument: "instance",
                ..
            })
        ));
    });
}

// rules: E6, E7, E8
#[test]
fn both_kinds_of_endpoint_do_the_same_things() {
    world::run(10, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        registered(world, server, "bob");
        let it = callee(world);
        world.names.set_addresses("two.invalid", &[it.address.ip()]);
        let host = world.stack();
        let carol = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:carol@three.invalid"));
        let bob_at_server = world.with(alice.host, |stack, _| stack.endpoints().len());
        assert_eq!(bob_at_server, 1);
        accept_calls(world, it.host);
        // Whatever the kind: a message, a session with a message inside, and an end that takes the session along.
        for (endpoint, target) in [(alice, "sip:bob@example.com"), (carol, BOB)] {
            let sent = world.message(endpoint, target, "hi");
            world.result(endpoint.host, sent).unwrap();
            let session = world.with(endpoint.host, |stack, now| {
                stack
                    .endpoint(now, endpoint.id)
                    .unwrap()
                    .create_session(target)
                    .unwrap()
            });
            let owned = world.with(endpoint.host, |stack, now| {
                let mut endpoint = stack.endpoint(now, endpoint.id).unwrap();
                assert!(!endpoint.owner_uri().is_empty() && !endpoint.epid().is_empty());
                (endpoint.sessions(), endpoint.terminate())
            });
            assert_eq!(owned.0, [session]);
            world.result(endpoint.host, owned.1).unwrap();
            assert_eq!(session_states(world, endpoint.host), [SessionState::Disconnected]);
        }
    });
}

// rules: E9
// The pairs are those of RFC 3261 section 19.1.4.
#[test]
fn uris_compare_as_rfc_3261_says() {
    let same =
        |a: &str, b: &str, case: UserCase| equal(&Uri::parse(a).unwrap(), &Uri::parse(b).unwrap(), case);
    for (a, b) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ] {
        assert!(
            same(a, b, UserCase::Sensitive) && same(b, a, UserCase::Sensitive),
            "{a} {b}"
        );
    }
    for (a, b) in [
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
    ] {
        assert!(
            !same(a, b, UserCase::Insensitive) && !same(b, a, UserCase::Insensitive),
            "{a} {b}"
        );
    }
    let (lower, upper) = ("sip:alice@atlanta.com", "SIP:ALICE@AtLanTa.CoM");
    assert!(
        same(lower, upper, UserCase::Insensitive),
        "the default of this stack"
    );
    assert!(!same(lower, upper, UserCase::Sensitive), "the form of RFC 3261");
}

// rules: E9, M5
#[test]
fn a_user_is_found_in_any_case_and_with_any_parameters() {
    world::run(11, |world| {
        let it = callee(world);
        for (number, uri) in [
            "sip:BOB@TWO.Invalid",
            "sip:%62ob@two.invalid;x=y",
            "sip:bob@two.invalid:5060",
        ]
        .iter()
        .enumerate()
        {
            world.say(
                it.line,
                &request(
                    "OPTIONS",
                    uri,
                    "<sip:x@far.invalid>",
                    u32::try_from(number).unwrap(),
                    "",
                ),
            );
        }
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [200, 200, 200]);
    });
}

// rules: E11
#[test]
fn what_an_endpoint_says_of_itself_is_in_its_messages() {
    world::run(12, |world| {
        let mut config = PeerToPeerConfig::new(BOB);
        config.profile.display_name = Some("Bob \"the\" Builder".into());
        config.profile.user_agent = Some("phone/2.1".into());
        config.profile.feature_parameters = vec![
            ("automata".into(), None),
            ("description".into(), Some("a \"b\"".into())),
        ];
        config.profile.headers = vec![("X-Site".into(), "7".into())];
        let it = callee_with(world, config);
        let address = world.peer_listens(it.peer, 5060, Transport::Tcp);
        let target = format!("sip:p@{address}");
        let operation = send(
            world,
            it.bob,
            &target,
            Method::Options,
            None,
            SendOptions::default(),
        )
        .unwrap();
        let line = next_line(world, it.peer, 1);
        let options = next_request(world, line, &Method::Options);
        let from = options.from_().unwrap();
        assert_eq!(from.0.display.as_deref(), Some("Bob \"the\" Builder"));
        let contact = field(&options, HeaderName::Contact);
        assert!(
            contact.contains(";automata") && contact.contains(r#";description="a \"b\"""#),
            "{contact}"
        );
        assert!(field(&options, HeaderName::UserAgent).starts_with("phone/2.1 sansip/"));
        assert_eq!(options.raw_by_name("X-Site").next(), Some(&b"7"[..]));
        world.say(line, &answer(&options, "200 OK", "c", ""));
        world.result(it.host, operation).unwrap();
        world.say(it.line, &to_bob("OPTIONS", 1, ""));
        world.run_for(secs(1));
        let heard = world.heard(it.line);
        assert!(field(&heard[0], HeaderName::Server).starts_with("phone/2.1 sansip/"));
        // The next one has other things to say.
        let carol = "sip:carol@two.invalid";
        world.peer_to_peer_endpoint(it.host, PeerToPeerConfig::new(carol));
        world.say(it.line, &request("OPTIONS", carol, &format!("<{carol}>"), 2, ""));
        world.run_for(secs(1));
        let heard = world.heard(it.line);
        assert!(field(&heard[0], HeaderName::Server).starts_with("sansip/"));
    });
}

// rules: E11, X2
#[test]
fn a_value_that_would_break_a_message_is_misuse_before_anything_is_sent() {
    world::run(13, |world| {
        let host = world.stack();
        let refused = |world: &mut World, change: &dyn Fn(&mut PeerToPeerConfig), argument: &str| {
            let mut config = PeerToPeerConfig::new(BOB);
            change(&mut config);
            let result = world.with(host, |stack, now| stack.add_peer_to_peer_endpoint(now, config));
            assert!(
                matches!(&result, Err(Misuse::Argument { argument: a, .. }) if *a == argument),
                "{argument}: {result:?}"
            );
        };
        refused(
            world,
            &|c| c.profile.display_name = Some("a\r\nVia: x".into()),
            "display_name",
        );
        refused(
            world,
            &|c| c.profile.user_agent = Some("a\nb".into()),
            "user_agent",
        );
        refused(
            world,
            &|c| c.profile.feature_parameters = vec![("a\r\nb".into(), None)],
            "feature_parameters",
        );
        refused(
            world,
            &|c| c.profile.feature_parameters = vec![("a".into(), Some("b\r\n".into()))],
            "feature_parameters",
        );
        refused(
            world,
            &|c| c.profile.option_tags = vec!["a b".into()],
            "option_tags",
        );
        for (name, value) in [
            ("X-A", "b\r\nc: d"),
            ("X-A", "b\0"),
            ("X A", "b"),
            ("X:A", "b"),
            ("Via", "x"),
            ("v", "x"),
            ("Call-ID", "x"),
            ("content-length", "1"),
        ] {
            refused(
                world,
                &|c| c.profile.headers = vec![(name.into(), value.into())],
                "headers",
            );
        }
        let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@one.invalid"));
        let before = world.with(host, |stack, _| stack.census());
        for (target, content, headers, argument) in [
            ("sip:a@b\r\nX: y", None, vec![], "target"),
            ("http://b", None, vec![], "target"),
            (
                PEER,
                Some(Content::new("text/plain\r\nX: y", "b")),
                vec![],
                "content_type",
            ),
            (PEER, Some(Content::new("text", "b")), vec![], "content_type"),
            (
                PEER,
                None,
                vec![("Route".to_owned(), "<sip:x>".to_owned())],
                "headers",
            ),
            (PEER, None, vec![("X-A".to_owned(), "a\nb".to_owned())], "headers"),
        ] {
            let options = SendOptions {
                headers,
                ..SendOptions::default()
            };
            let result = send(world, alice, target, Method::Message, content, options);
            assert!(
                matches!(&result, Err(Misuse::Argument { argument: a, .. }) if *a == argument),
                "{argument}: {result:?}"
            );
        }
        assert_eq!(
            world.with(host, |stack, _| stack.census()),
            before,
            "misuse changes nothing"
        );
    });
}

// ---------------------------------------------------------------- the end

// rules: E13, E7, X3
#[test]
fn terminate_ends_sessions_and_the_registration_and_then_completes() {
    world::run(14, |world| {
        let server = served(world);
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        accept_calls(world, bob.host);
        let (_, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(alice.host, made).unwrap();
        let ended = world.terminate(alice);
        let again = world.terminate(alice);
        world.result(alice.host, ended).unwrap();
        world.result(alice.host, again).unwrap();
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Disconnected),
            "a BYE was sent"
        );
        assert_eq!(world.server(server).bindings("sip:alice@example.com"), []);
        let events: Vec<&Event> = world.events(alice.host).iter().map(|(_, event)| event).collect();
        let place = |wanted: &dyn Fn(&Event) -> bool| events.iter().position(|event| wanted(event)).unwrap();
        let session = place(&|e| {
            matches!(
                e,
                Event::Session {
                    new: SessionState::Disconnected,
                    ..
                }
            )
        });
        let registration = place(&|e| {
            matches!(
                e,
                Event::Registration {
                    new: RegistrationState::Unregistered,
                    ..
                }
            )
        });
        let gone = place(&|e| matches!(e, Event::EndpointTerminated { endpoint } if *endpoint == alice.id));
        let first = place(&|e| matches!(e, Event::Completed { operation, .. } if *operation == ended));
        let second = place(&|e| matches!(e, Event::Completed { operation, .. } if *operation == again));
        assert!(
            session < gone && registration < gone && gone < first && gone < second,
            "{events:?}"
        );
        let once_more = world.terminate(alice);
        assert_eq!(
            world.ended(alice.host, once_more),
            Some(&Ok(Completion::Done)),
            "and of what is gone"
        );
        let unknown = world.with(alice.host, |stack, now| stack.endpoint(now, alice.id).map(|_| ()));
        assert_eq!(unknown, Err(Misuse::Unknown("endpoint")));
    });
}

// rules: E13, X2, X3
#[test]
fn terminate_waits_for_every_operation_under_way() {
    world::run(15, |world| {
        let (alice, peer) = sender(world);
        let sent = world.message(alice, PEER, "hi");
        let line = next_line(world, peer, 0);
        next_request(world, line, &Method::Message);
        let ended = world.terminate(alice);
        world.run_for(secs(5));
        assert_eq!(world.ended(alice.host, ended), None);
        let refused = send(world, alice, PEER, Method::Message, None, SendOptions::default());
        assert!(
            matches!(
                refused,
                Err(Misuse::State {
                    state: "terminating",
                    ..
                })
            ),
            "{refused:?}"
        );
        world.result(alice.host, ended).unwrap();
        assert_eq!(world.ended(alice.host, sent), Some(&Err(OperationError::Timeout)));
        let order: Vec<bool> = world
            .events(alice.host)
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Completed { operation, .. } => Some(*operation == sent),
                _ => None,
            })
            .collect();
        assert_eq!(order, [true, false]);
    });
}

// rules: E13, M5
#[test]
fn while_an_endpoint_ends_its_user_is_temporarily_unavailable() {
    world::run(16, |world| {
        let it = callee(world);
        let address = world.peer_listens(it.peer, 5060, Transport::Tcp);
        world.message(it.bob, &format!("sip:p@{address}"), "hi");
        world.run_for(secs(1));
        let (ended, again) = (world.terminate(it.bob), world.terminate(it.bob));
        world.say(it.line, &to_bob("OPTIONS", 1, ""));
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [480]);
        world.result(it.host, ended).unwrap();
        world.result(it.host, again).unwrap();
        world.say(it.line, &to_bob("OPTIONS", 2, ""));
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [404]);
    });
}

// rules: E2, E13, M5
#[test]
fn what_is_for_an_endpoint_that_ends_goes_to_no_other_of_its_user() {
    world::run(56, |world| {
        let it = callee(world);
        let mut other = PeerToPeerConfig::new(BOB);
        other.epid = Some("other".to_owned());
        let other = world.peer_to_peer_endpoint(it.host, other);
        let contact = world.with(it.host, |stack, now| {
            stack.set_default_endpoint(Some(other.id));
            stack.endpoint(now, it.bob.id).unwrap().endpoint_uri().unwrap()
        });
        // Something that keeps it from its end.
        let address = world.peer_listens(it.peer, 5060, Transport::Tcp);
        world.message(it.bob, &format!("sip:p@{address}"), "hi");
        world.run_for(secs(1));
        let ended = world.terminate(it.bob);
        world.say(it.line, &request("OPTIONS", &contact, &format!("<{BOB}>"), 1, ""));
        world.say(it.line, &to_bob("OPTIONS", 2, ""));
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [480, 200]);
        assert_eq!(receivers(world, it.host), [other.id]);
        world.result(it.host, ended).unwrap();
    });
}

// rules: E15, R3
#[test]
fn an_unregistered_endpoint_that_a_request_reaches_answers_it() {
    world::run(17, |world| {
        let (peer, alice) = scripted_server(world);
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        let line = next_line(world, peer, 0);
        let message = next_request(world, line, &Method::Message);
        world.say(line, &answer(&message, "200 OK", "b", ""));
        world.result(alice.host, sent).expect("nothing is blocked here");
        world.say(
            line,
            &request(
                "MESSAGE",
                "sip:alice@example.com",
                "<sip:alice@example.com>",
                1,
                "",
            ),
        );
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [200]);
        assert_eq!(receivers(world, alice.host), [alice.id]);
        let ended = world.terminate(alice);
        world.result(alice.host, ended).unwrap();
        world.run_for(secs(1));
        assert!(!world.is_line_open(line), "its connection is released (C6)");
    });
}

// ---------------------------------------------------------------- peer-to-peer

fn peer_states(
    world: &World,
    endpoint: Endpoint,
) -> Vec<(PeerToPeerState, PeerToPeerState, PeerToPeerReason)> {
    world
        .events(endpoint.host)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::PeerToPeer {
                endpoint: id,
                old,
                new,
                reason,
            } if *id == endpoint.id => Some((*old, *new, *reason)),
            _ => None,
        })
        .collect()
}

// rules: P1, P7, C14
#[test]
fn a_peer_to_peer_endpoint_receives_while_its_manager_listens() {
    use PeerToPeerReason as R;
    use PeerToPeerState::{Connected, Connecting, Disconnected, Disconnecting};
    world::run(20, |world| {
        let host = world.stack();
        let bob = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let (alice, peer) = sender(world);
        assert_eq!(peer_states(world, bob), []);
        // Disabled, it can still send.
        world.message(bob, PEER, "hi");
        let line = next_line(world, peer, 0);
        let sent = next_request(world, line, &Method::Message);
        world.say(line, &answer(&sent, "200 OK", "c", ""));
        // But nothing reaches it.
        let address = std::net::SocketAddr::new(world.ip(host), 5060);
        let target = format!("sip:bob@{address}");
        let lost = world.message(alice, &target, "hi");
        let error = world.result(alice.host, lost).unwrap_err();
        assert!(
            matches!(
                error,
                OperationError::ConnectionFailure(ConnectionFailure::Connect { .. })
            ),
            "{error:?}"
        );
        assert_eq!(world.listen(host, 5060), address);
        assert_eq!(
            peer_states(world, bob),
            [
                (Disconnected, Connecting, R::Listening),
                (Connecting, Connected, R::Listening)
            ]
        );
        let target = "sip:bob@two.invalid";
        world.names.set_addresses("two.invalid", &[address.ip()]);
        let sent = world.message(alice, target, "hi");
        world.result(alice.host, sent).unwrap();
        assert_eq!(receivers(world, host), [bob.id]);
        let second = world.peer_to_peer_endpoint(host, peer_config(BOB, "late"));
        let state = world.with(host, |stack, now| {
            stack.endpoint(now, second.id).unwrap().peer_to_peer_state()
        });
        assert_eq!(state, Some(Connected), "made while the manager listens");
        world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            let mut manager = stack.manager(now, manager).unwrap();
            let listener = manager.listeners()[0].0;
            manager.stop_listening(listener).unwrap();
            assert!(
                manager.stop_listening(listener).is_err(),
                "it listens no more: misuse (C14)"
            );
        });
        let stopped = [
            (Connected, Disconnecting, R::StoppedListening),
            (Disconnecting, Disconnected, R::StoppedListening),
        ];
        assert_eq!(peer_states(world, bob)[2..], stopped);
        assert_eq!(peer_states(world, second), stopped);
    });
}

// rules: P1, C14
#[test]
fn an_endpoint_that_cannot_listen_or_no_longer_does_says_why() {
    use PeerToPeerReason as R;
    use PeerToPeerState::{Connected, Connecting, Disconnected};
    world::run(21, |world| {
        let host = world.stack();
        let bob = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let address = std::net::SocketAddr::new(world.ip(host), 5060);
        // Another manager of the host has the port.
        let other = world.with(host, |stack, _| {
            stack
                .add_manager(ManagerConfig::new(ManagerKind::ServerTcp))
                .unwrap()
        });
        world.listen_with(host, other, 5060);
        assert_eq!(peer_states(world, bob), [], "the endpoint is on another manager");
        let listener = world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            stack.manager(now, manager).unwrap().listen(address).unwrap()
        });
        world.run_for(secs(1));
        assert_eq!(
            peer_states(world, bob),
            [
                (Disconnected, Connecting, R::Listening),
                (Connecting, Disconnected, R::UnableToListen)
            ]
        );
        let ended = world.events(host).iter().find_map(|(_, event)| match event {
            Event::ListeningEnded { listener: id, error } if *id == listener => Some(error.clone()),
            _ => None,
        });
        assert_eq!(ended, Some(Some(ListenError::AddressInUse)));
        world.listen(host, 5070);
        assert_eq!(peer_states(world, bob)[2..].len(), 2, "Connecting and Connected");
        world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            let listener = stack.manager(now, manager).unwrap().listeners()[0].0;
            stack.handle_listener_lost(now, listener, ListenError::AddressNotAvailable);
        });
        assert_eq!(
            peer_states(world, bob)[4..],
            [(Connected, Disconnected, R::NoListeningAddresses)]
        );
        world.listen(host, 5071);
        let ended = world.terminate(bob);
        world.result(host, ended).unwrap();
        assert_eq!(
            peer_states(world, bob).last(),
            Some(&(Connected, Disconnected, R::TerminatedLocally))
        );
    });
}

// rules: P1, C14
#[test]
fn an_endpoint_is_reached_as_long_as_its_manager_has_one_address() {
    use PeerToPeerReason as R;
    use PeerToPeerState::{Connected, Connecting, Disconnected, Disconnecting};
    world::run(22, |world| {
        let host = world.stack();
        let bob = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let ip = world.ip(host);
        let ask = |world: &mut World, port| {
            world.with(host, |stack, now| {
                let manager = stack.server_tcp_manager();
                let address = std::net::SocketAddr::new(ip, port);
                stack.manager(now, manager).unwrap().listen(address).unwrap()
            })
        };
        let stop = |world: &mut World, listener| {
            world.with(host, |stack, now| {
                let manager = stack.server_tcp_manager();
                stack.manager(now, manager).unwrap().stop_listening(listener)
            })
        };
        // Two are asked for before either is there; the first to be refused changes nothing.
        let (taken, first) = world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            let mut view = stack.manager(now, manager).unwrap();
            let taken = view.listen("192.0.2.1:5060".parse().unwrap()).unwrap();
            (taken, view.listen(std::net::SocketAddr::new(ip, 5070)).unwrap())
        });
        let late = world.peer_to_peer_endpoint(host, peer_config(BOB, "late"));
        let state = world.with(host, |stack, now| {
            stack.endpoint(now, late.id).unwrap().peer_to_peer_state()
        });
        assert!(matches!(state, Some(Connecting | Connected)), "{state:?}");
        world.run_for(secs(1));
        let begun = [
            (Disconnected, Connecting, R::Listening),
            (Connecting, Connected, R::Listening),
        ];
        assert_eq!(peer_states(world, bob), begun);
        assert_eq!(stop(world, taken), Err(Misuse::Unknown("the listener")));
        // A second address comes and goes, and nothing changes.
        let second = ask(world, 5071);
        world.run_for(secs(1));
        stop(world, second).unwrap();
        assert_eq!(peer_states(world, bob), begun);
        // The last one is stopped while another is asked for.
        world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            let mut view = stack.manager(now, manager).unwrap();
            view.listen(std::net::SocketAddr::new(ip, 5072)).unwrap();
            view.stop_listening(first).unwrap();
        });
        world.run_for(secs(1));
        assert_eq!(
            peer_states(world, bob)[2..],
            [
                (Connected, Connecting, R::StoppedListening),
                (Connecting, Connected, R::Listening)
            ]
        );
        // The listener of another manager is not this one's to stop.
        let other = world.with(host, |stack, _| {
            stack
                .add_manager(ManagerConfig::new(ManagerKind::ServerTcp))
                .unwrap()
        });
        world.listen_with(host, other, 5073);
        let foreign = world.with(host, |stack, now| {
            stack.manager(now, other).unwrap().listeners()[0].0
        });
        assert_eq!(stop(world, foreign), Err(Misuse::Unknown("the listener")));
        assert_eq!(peer_states(world, bob).len(), 4);
        // Asked for and stopped before it was there.
        let own = world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            stack.manager(now, manager).unwrap().listeners()[0].0
        });
        stop(world, own).unwrap();
        world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            let mut view = stack.manager(now, manager).unwrap();
            let never = view.listen(std::net::SocketAddr::new(ip, 5074)).unwrap();
            view.stop_listening(never).unwrap();
        });
        assert_eq!(
            peer_states(world, bob)[4..],
            [
                (Connected, Disconnecting, R::StoppedListening),
                (Disconnecting, Disconnected, R::StoppedListening),
                (Disconnected, Connecting, R::Listening),
                (Connecting, Disconnecting, R::StoppedListening),
                (Disconnecting, Disconnected, R::StoppedListening),
            ]
        );
    });
}

// rules: P1, E13
#[test]
fn an_endpoint_that_ends_is_told_of_no_listening_any_more() {
    use PeerToPeerReason as R;
    use PeerToPeerState::{Connected, Disconnected};
    world::run(24, |world| {
        let host = world.stack();
        let bob = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        world.listen(host, 5060);
        let peer = world.peer();
        let address = world.peer_listens(peer, 5060, Transport::Tcp);
        world.names.set_addresses("peer.invalid", &[address.ip()]);
        // It waits for the answer to its last request.
        world.message(bob, PEER, "hi");
        world.run_for(secs(1));
        world.terminate(bob);
        world.with(host, |stack, now| {
            let manager = stack.server_tcp_manager();
            let mut view = stack.manager(now, manager).unwrap();
            let listener = view.listeners()[0].0;
            view.stop_listening(listener).unwrap();
        });
        world.listen(host, 5061);
        assert_eq!(
            peer_states(world, bob).last(),
            Some(&(Connected, Disconnected, R::TerminatedLocally))
        );
    });
}

// rules: P10, M6
#[test]
fn subscriptions_are_taken_only_where_the_application_allows_them() {
    world::run(25, |world| {
        let host = world.stack();
        world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let mut allowing = PeerToPeerConfig::new("sip:dora@two.invalid");
        allowing.profile.methods.push(Method::Subscribe);
        let dora = world.peer_to_peer_endpoint(host, allowing);
        let address = world.listen(host, 5060);
        let peer = world.peer();
        let line = world.dial(peer, address, None);
        world.say(line, &to_bob("SUBSCRIBE", 1, "Event: presence\r\n"));
        world.run_for(secs(1));
        let refused = world.heard(line).pop().unwrap();
        assert_eq!(refused.status().map(StatusCode::code), Some(405));
        let allow = field(&refused, HeaderName::Allow);
        assert!(!allow.contains("SUBSCRIBE"), "{allow}");
        assert_eq!(receivers(world, host), []);
        let uri = "sip:dora@two.invalid";
        world.on_event(host, |stack, now, event| {
            if let Event::WatcherReceived { watcher, .. } = event {
                stack.watcher(now, *watcher).unwrap().accept(None, None).unwrap();
            }
        });
        let fields = "Event: presence\r\nContact: <sip:p@peer.invalid>\r\n";
        world.say(line, &request("SUBSCRIBE", uri, &format!("<{uri}>"), 2, fields));
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [200]);
        assert_eq!(receivers(world, host), [dora.id]);
    });
}

/// The connections that a stack has asked for: host and port of the remote, and whether over TLS and for which name.
fn connects(world: &World, who: &str) -> Vec<String> {
    world
        .trace()
        .lines()
        .filter(|line| {
            line.who.is_some_and(|host| host.to_string() == who) && line.what().starts_with("Connect(")
        })
        .map(world::Line::what)
        .collect()
}

// rules: P2, P3, P5, P9
#[test]
fn messages_go_to_the_target_or_to_the_proxy_or_where_they_say() {
    world::run(22, |world| {
        let (target, proxy, hop) = (world.peer(), world.peer(), world.peer());
        // Each at a port of its own, so that none is found by default.
        for (peer, name, port) in [
            (target, "target.invalid", 5070),
            (proxy, "proxy.invalid", 5080),
            (hop, "hop.invalid", 5090),
        ] {
            let address = world.peer_listens(peer, port, Transport::Tcp);
            world.names.set_addresses(name, &[address.ip()]);
        }
        let host = world.stack();
        let direct = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:direct@one.invalid"));
        let outbound = Proxy {
            host: "proxy.invalid".into(),
            port: Some(5080),
            transport: Transport::Tcp,
        };
        let via_proxy = PeerToPeerConfig {
            outbound_proxy: Some(outbound),
            ..PeerToPeerConfig::new("sip:proxied@one.invalid")
        };
        let via_proxy = world.peer_to_peer_endpoint(host, via_proxy);
        let next = || SendOptions {
            next_hop: Some(NextHop {
                host: "hop.invalid".into(),
                port: Some(5090),
                transport: None,
            }),
            ..SendOptions::default()
        };
        for (endpoint, options, reached) in [
            (direct, SendOptions::default(), target),
            (via_proxy, SendOptions::default(), proxy),
            (direct, next(), hop),
            (via_proxy, next(), hop),
        ] {
            let sent = send(
                world,
                endpoint,
                "sip:x@target.invalid:5070",
                Method::Message,
                None,
                options,
            )
            .unwrap();
            world.run_for(secs(1));
            let line = world.lines(reached)[0];
            let got = next_request(world, line, &Method::Message);
            assert_eq!(
                got.request_uri(),
                "sip:x@target.invalid:5070",
                "the Request-URI is the target's"
            );
            world.say(line, &answer(&got, "200 OK", "x", ""));
            world.result(host, sent).unwrap();
        }
    });
}

// rules: P9, X2
#[test]
fn a_next_hop_is_misuse_on_a_sip_endpoint() {
    world::run(23, |world| {
        let (_, alice) = scripted_server(world);
        let options = || SendOptions {
            next_hop: Some(NextHop {
                host: "hop.invalid".into(),
                port: None,
                transport: None,
            }),
            ..SendOptions::default()
        };
        let message = send(world, alice, "sip:x@y.invalid", Method::Message, None, options());
        assert!(matches!(message, Err(Misuse::Kind(_))), "{message:?}");
        let invite = world.with(alice.host, |stack, now| {
            stack
                .endpoint(now, alice.id)
                .unwrap()
                .invite("sip:x@y.invalid", None, options())
                .map(|_| ())
        });
        assert!(matches!(invite, Err(Misuse::Kind(_))), "{invite:?}");
        assert_eq!(world.with(alice.host, |stack, _| stack.census().sessions), 0);
    });
}

// rules: P3, C9
#[test]
fn inside_a_session_the_proxy_carries_only_what_it_has_routed_itself_into() {
    for routed in [false, true] {
        world::run(24, move |world| {
            let (proxy, callee) = (world.peer(), world.peer());
            let address = world.peer_listens(proxy, 5060, Transport::Tcp);
            world.names.set_addresses("proxy.invalid", &[address.ip()]);
            let target = world.peer_listens(callee, 5090, Transport::Tcp);
            let host = world.stack();
            let outbound = Proxy {
                host: "proxy.invalid".into(),
                port: Some(5060),
                transport: Transport::Tcp,
            };
            let config = PeerToPeerConfig {
                outbound_proxy: Some(outbound),
                ..PeerToPeerConfig::new("sip:alice@one.invalid")
            };
            let alice = world.peer_to_peer_endpoint(host, config);
            let (session, made) = world.invite(alice, "sip:carol@target.invalid", Some(sdp()));
            let line = next_line(world, proxy, 0);
            let invite = next_request(world, line, &Method::Invite);
            assert_eq!(invite.count(HeaderName::Route), 0);
            let route = if routed {
                format!("Record-Route: <sip:{address};lr>")
            } else {
                String::new()
            };
            world.say(
                line,
                &answer(
                    &invite,
                    "200 OK",
                    "c",
                    &format!("Contact: <sip:carol@{target}>\n{route}"),
                ),
            );
            world.result(host, made).unwrap();
            let inside = if routed { line } else { next_line(world, callee, 0) };
            for method in [Method::Ack, Method::Info, Method::Bye] {
                let under_way = world.with(host, |stack, now| {
                    let mut session = stack.session(now, session).unwrap();
                    match method {
                        Method::Info => Some(session.send(Method::Info, None, vec![]).unwrap()),
                        Method::Bye => Some(session.terminate()),
                        _ => None,
                    }
                });
                let got = next_request(world, inside, &method);
                assert_eq!(got.request_uri(), format!("sip:carol@{target}"));
                assert_eq!(got.count(HeaderName::Route), usize::from(routed));
                if let Some(operation) = under_way {
                    world.say(inside, &answer(&got, "200 OK", "c", ""));
                    world.result(host, operation).unwrap();
                }
            }
            assert_eq!(
                (world.lines(proxy).len(), world.lines(callee).len()),
                (1, usize::from(!routed))
            );
        });
    }
}

// rules: P4, P5, C15
#[test]
fn the_target_names_the_transport_and_sips_means_tls() {
    let run = |kind: ManagerKind, proxy: Option<Transport>, default: Transport, target: &str| {
        let mut world = World::new(25);
        let peer = world.peer();
        let ip = world.ip(peer);
        for name in ["target.invalid", "proxy.invalid"] {
            world.names.set_addresses(name, &[ip]);
        }
        let host = world.stack();
        let manager = world.with(host, |stack, _| {
            stack.add_manager(ManagerConfig::new(kind)).unwrap()
        });
        let proxy = proxy.map(|transport| Proxy {
            host: "proxy.invalid".into(),
            port: None,
            transport,
        });
        let config = PeerToPeerConfig {
            manager: Some(manager),
            outbound_proxy: proxy,
            default_transport: default,
            ..PeerToPeerConfig::new("sip:alice@one.invalid")
        };
        let alice = world.peer_to_peer_endpoint(host, config);
        let sent = world.message(alice, target, "hi");
        let error = world.result(host, sent).unwrap_err();
        let asked = connects(&world, "stack1");
        world.finish();
        match (asked.first(), error) {
            (None, OperationError::ConnectionFailure(ConnectionFailure::NoTransport(_))) => {
                String::from("no transport")
            }
            (Some(connect), _) => {
                let port = connect
                    .split("remote: 10.3.0.1:")
                    .nth(1)
                    .unwrap()
                    .split(',')
                    .next()
                    .unwrap();
                let tls = connect.split("tls: ").nth(1).unwrap().split(" }").next().unwrap();
                format!("{port} {tls}")
            }
            (None, error) => panic!("{error:?}"),
        }
    };
    use ManagerKind::{ServerTcp, ServerTls};
    use Transport::{Tcp, Tls};
    let tcp = "5060 None";
    let tls = r#"5061 Some("target.invalid")"#;
    let proxy_tls = r#"5061 Some("proxy.invalid")"#;
    for (kind, proxy, default, target, expected) in [
        (ServerTcp, None, Tcp, "sip:x@target.invalid", tcp),
        (ServerTls, None, Tls, "sip:x@target.invalid", tls),
        (ServerTls, None, Tcp, "sip:x@target.invalid;transport=tls", tls),
        (ServerTls, None, Tcp, "sips:x@target.invalid", tls),
        (ServerTcp, None, Tls, "sip:x@target.invalid;transport=TCP", tcp),
        (ServerTcp, None, Tls, "sip:x@target.invalid", "no transport"),
        (
            ServerTls,
            None,
            Tls,
            "sip:x@target.invalid;transport=tcp",
            "no transport",
        ),
        // Only TLS overrides the transport of a proxy.
        (
            ServerTls,
            Some(Tls),
            Tcp,
            "sip:x@target.invalid;transport=tcp",
            proxy_tls,
        ),
        (ServerTls, Some(Tcp), Tcp, "sips:x@target.invalid", proxy_tls),
        (
            ServerTls,
            Some(Tcp),
            Tcp,
            "sip:x@target.invalid;transport=tls",
            proxy_tls,
        ),
        (ServerTcp, Some(Tcp), Tls, "sip:x@target.invalid", tcp),
        (
            ServerTcp,
            Some(Tcp),
            Tls,
            "sip:x@target.invalid;transport=tcp",
            tcp,
        ),
    ] {
        assert_eq!(
            run(kind, proxy, default, target),
            expected,
            "{kind:?} {proxy:?} {default:?} {target}"
        );
    }
}

// rules: P6, A10, M2
#[test]
fn a_challenge_ends_the_request_of_a_peer_to_peer_endpoint() {
    world::run(26, |world| {
        served(world);
        let host = world.stack();
        let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@example.com"));
        let sent = world.message(alice, "sip:bob@example.com;transport=tcp", "hi");
        let result = world.result(host, sent);
        assert_eq!(failure_code(&result), 407);
        let challenge = result.unwrap_err().response().unwrap().clone();
        assert!(matches!(
            world.ended(host, sent),
            Some(Err(OperationError::FailureResponse(_)))
        ));
        assert!(challenge.raw(HeaderName::ProxyAuthenticate).is_some());
        assert_eq!(
            world.with(host, |stack, _| stack.counters().sent.requests()),
            1,
            "it is not tried again"
        );
    });
}

// rules: P8, C36, E8
#[test]
fn contact_is_the_listening_address_and_unique() {
    world::run(27, |world| {
        let with_port = world.stack();
        let refused = world.with(with_port, |stack, now| {
            stack.add_peer_to_peer_endpoint(now, PeerToPeerConfig::new("sip:bob@two.invalid:5080"))
        });
        assert!(
            matches!(refused, Err(Misuse::Argument { argument: "uri", .. })),
            "{refused:?}"
        );
        let it = callee(world);
        let other = world.peer_to_peer_endpoint(it.host, PeerToPeerConfig::new(BOB));
        let peer = world.peer_listens(it.peer, 5060, Transport::Tcp);
        let mut contacts = Vec::new();
        for (place, endpoint) in [it.bob, other].into_iter().enumerate() {
            let sent = send(
                world,
                endpoint,
                &format!("sip:p@{peer}"),
                Method::Options,
                None,
                SendOptions::default(),
            )
            .unwrap();
            let line = next_line(world, it.peer, 1);
            let options = next_request(world, line, &Method::Options);
            world.say(line, &answer(&options, "200 OK", "c", ""));
            world.result(it.host, sent).unwrap();
            let contact = field(&options, HeaderName::Contact);
            let uri = contact
                .trim_start_matches('<')
                .split('>')
                .next()
                .unwrap()
                .to_owned();
            let parsed = Uri::parse(&uri).unwrap().into_owned();
            let sip = parsed.as_sip().unwrap();
            assert_eq!(
                (sip.host.to_string(), sip.port),
                (it.address.ip().to_string(), Some(5060)),
                "{place}: {contact}"
            );
            assert!(sip.params.get("ms-opaque").is_some());
            let device = world.with(it.host, |stack, now| {
                stack.endpoint(now, endpoint.id).unwrap().endpoint_uri()
            });
            assert_eq!(device.as_deref(), Some(uri.as_str()));
            contacts.push(uri);
        }
        assert_ne!(contacts[0], contacts[1]);
        // Each brings requests to its own endpoint.
        for (number, uri) in (0..).zip(&contacts) {
            world.say(
                it.line,
                &request("OPTIONS", uri, "<sip:x@far.invalid>", number, ""),
            );
        }
        world.run_for(secs(1));
        assert_eq!(receivers(world, it.host), [it.bob.id, other.id]);
    });
}

// ---------------------------------------------------------------- page-mode messages

// rules: M1, X2
#[test]
fn six_methods_can_be_sent_outside_sessions() {
    world::run(30, |world| {
        let (alice, peer) = sender(world);
        let mut line = None;
        for method in [
            Method::Message,
            Method::Info,
            Method::Options,
            Method::Service,
            Method::Notify,
        ] {
            let options = SendOptions {
                headers: vec![("X-Y".into(), "z".into())],
                ..SendOptions::default()
            };
            let content = Some(Content::new("application/x", &b"\0\r\n\r\nSIP"[..]));
            let sent = send(world, alice, PEER, method.clone(), content, options).unwrap();
            let line = *line.get_or_insert_with(|| next_line(world, peer, 0));
            let got = next_request(world, line, &method);
            assert_eq!(got.request_uri(), PEER);
            assert_eq!(
                (field(&got, HeaderName::ContentType).as_str(), got.body_bytes()),
                ("application/x", &b"\0\r\n\r\nSIP"[..])
            );
            assert_eq!(got.raw_by_name("X-Y").next(), Some(&b"z"[..]));
            world.say(line, &answer(&got, "200 OK", "c", ""));
            world.result(alice.host, sent).unwrap();
        }
        for method in [
            Method::Invite,
            Method::Bye,
            Method::Register,
            Method::Ack,
            Method::Cancel,
            Method::Subscribe,
        ] {
            let refused = send(world, alice, PEER, method.clone(), None, SendOptions::default());
            assert!(
                matches!(
                    refused,
                    Err(Misuse::Argument {
                        argument: "method",
                        ..
                    })
                ),
                "{method:?}"
            );
        }
        let empty = send(
            world,
            alice,
            PEER,
            Method::Message,
            Some(Content::new("text/plain", "")),
            SendOptions::default(),
        );
        assert!(matches!(
            empty,
            Err(Misuse::Argument {
                argument: "content",
                ..
            })
        ));
    });
}

// rules: M2
#[test]
fn an_operation_completes_with_the_final_response() {
    world::run(31, |world| {
        let (alice, peer) = sender(world);
        let mut line = None;
        for (status, fails) in [
            ("200 OK", false),
            ("202 Accepted", false),
            ("302 Moved Temporarily", true),
            ("404 Not Found", true),
            ("480 Gone Out", true),
            ("500 Broken", true),
            ("600 Busy Everywhere", true),
            ("699 Odd", true),
        ] {
            let sent = world.message(alice, PEER, "hi");
            let line = *line.get_or_insert_with(|| next_line(world, peer, 0));
            let got = next_request(world, line, &Method::Message);
            world.say(line, &answer(&got, "100 Trying", "", ""));
            world.run_for(secs(3));
            assert_eq!(
                world.ended(alice.host, sent),
                None,
                "a provisional response is not the end"
            );
            world.say(line, &answer(&got, status, "c", "X-Why: because"));
            let result = world.result(alice.host, sent);
            let code: u16 = status[..3].parse().unwrap();
            let response = match &result {
                Ok(completion) if !fails => completion.response().unwrap(),
                Err(OperationError::FailureResponse(response)) if fails => response,
                other => panic!("{status}: {other:?}"),
            };
            assert_eq!(response.status().unwrap().code(), code);
            assert_eq!(response.raw_by_name("X-Why").next(), Some(&b"because"[..]));
        }
    });
}

// rules: M2
// RFC 3261 section 17.1.2.2: timer F is 64*T1, 32 s, from when the request is given to the transport.
#[test]
fn no_response_is_a_timeout_after_32_seconds() {
    world::run(32, |world| {
        let (alice, peer) = sender(world);
        world.message(alice, PEER, "warm up");
        let line = next_line(world, peer, 0);
        let got = next_request(world, line, &Method::Message);
        world.say(line, &answer(&got, "200 OK", "c", ""));
        world.run_for(secs(1));
        let sent = world.message(alice, PEER, "hi");
        world.run_for(secs(32) - TICK);
        assert_eq!(world.ended(alice.host, sent), None);
        world.run_for(TICK);
        assert_eq!(world.ended(alice.host, sent), Some(&Err(OperationError::Timeout)));
        assert_eq!(world.heard(line).len(), 1, "nothing is repeated over a stream");
    });
}

// rules: M3
#[test]
fn a_benotify_is_answered_with_nothing_and_completes_when_it_has_left() {
    world::run(33, |world| {
        let it = callee(world);
        world.say(
            it.line,
            &to_bob("BENOTIFY", 1, "Event: presence\nSubscription-State: active"),
        );
        world.run_for(secs(60));
        assert_eq!(world.heard(it.line), []);
        assert_eq!(receivers(world, it.host), [it.bob.id]);
        // One that is wrong is not answered either.
        world.say(it.line, &to_bob("BENOTIFY", 2, "Require: nothing"));
        world.say(
            it.line,
            &request("BENOTIFY", BOB, "<sip:bob@two.invalid>;tag=x", 3, "").replace("CSeq: 1", "CSeq: x"),
        );
        world.say(
            it.line,
            &request(
                "BENOTIFY",
                "sip:nobody@far.invalid",
                "<sip:nobody@far.invalid>",
                4,
                "",
            ),
        );
        world.run_for(secs(1));
        assert_eq!(world.heard(it.line), []);

        let address = world.peer_listens(it.peer, 5060, Transport::Tcp);
        let sent = send(
            world,
            it.bob,
            &format!("sip:p@{address}"),
            Method::Benotify,
            None,
            SendOptions::default(),
        )
        .unwrap();
        assert_eq!(world.ended(it.host, sent), None, "there is no connection yet");
        let line = next_line(world, it.peer, 1);
        next_request(world, line, &Method::Benotify);
        assert_eq!(world.ended(it.host, sent), Some(&Ok(Completion::Done)));
    });
}

// rules: M3
#[test]
fn a_benotify_does_not_complete_before_the_socket_has_taken_all_of_it() {
    let mut world = World::new(34);
    let (alice, peer) = sender(&mut world);
    world.network.window = 100;
    let sent = send(
        &mut world,
        alice,
        PEER,
        Method::Benotify,
        Some(Content::text("x".repeat(5_000))),
        SendOptions::default(),
    )
    .unwrap();
    world.run_until(|world| !world.lines(peer).is_empty());
    let link = world.link_between(alice.host, peer);
    world.run_for(Duration::from_millis(15));
    assert_eq!(world.ended(alice.host, sent), None, "100 bytes are on their way");
    assert!(world.is_open(link));
    world.result(alice.host, sent).unwrap();
    world.finish();
}

// rules: M4
#[test]
fn what_the_application_lets_pass_is_answered_200_and_nothing_is_answered_twice() {
    world::run(35, |world| {
        let it = callee(world);
        world.say(it.line, &to_bob("MESSAGE", 1, ""));
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [200]);
        let incoming = world
            .events(it.host)
            .iter()
            .find_map(|(_, event)| match event {
                Event::MessageReceived { incoming, .. } => Some(*incoming),
                _ => None,
            })
            .unwrap();
        let late = world.with(it.host, |stack, now| stack.incoming(now, incoming).map(|_| ()));
        assert_eq!(late, Err(Misuse::Answered));

        world.on_event(it.host, |stack, now, event| {
            if let Event::MessageReceived { incoming, .. } = event {
                let content = Some(Content::text("no"));
                let headers = [("X-A".to_owned(), "b".to_owned())];
                let mut view = stack.incoming(now, *incoming).unwrap();
                assert!(
                    view.answer(StatusCode::TRYING, None, None, &[]).is_err(),
                    "100 is the stack's own"
                );
                assert!(view.answer(StatusCode::OK, Some("a\r\nb"), None, &[]).is_err());
                view.answer(StatusCode::DECLINE, Some("Not today"), content, &headers)
                    .unwrap();
                assert_eq!(
                    view.answer(StatusCode::OK, None, None, &[]),
                    Err(Misuse::Answered)
                );
            }
        });
        world.say(it.line, &to_bob("MESSAGE", 2, ""));
        world.run_for(secs(40));
        let heard = world.heard(it.line);
        assert_eq!(heard.len(), 1);
        assert_eq!(
            (heard[0].status().unwrap().code(), heard[0].reason()),
            (603, &b"Not today"[..])
        );
        assert_eq!(
            (heard[0].body_bytes(), heard[0].raw_by_name("X-A").next()),
            (&b"no"[..], Some(&b"b"[..]))
        );
    });
}

// rules: M9
#[test]
fn a_request_that_is_held_and_never_answered_is_answered_500_after_32_seconds() {
    world::run(36, |world| {
        let it = callee(world);
        hold_requests(world, it.host);
        world.run_for(secs(1));
        world.say(it.line, &to_bob("MESSAGE", 1, ""));
        world.run_for(secs(32) + Duration::from_millis(20) - TICK);
        assert_eq!(codes(world, it.line), [0; 0]);
        world.run_for(TICK);
        assert_eq!(codes(world, it.line), [500]);
        // One that is held and answered in time is answered once.
        world.say(it.line, &to_bob("MESSAGE", 2, ""));
        world.run_for(secs(30));
        let held = world
            .events(it.host)
            .iter()
            .rev()
            .find_map(|(_, event)| match event {
                Event::MessageReceived { incoming, .. } => Some(*incoming),
                _ => None,
            })
            .unwrap();
        world.with(it.host, |stack, now| {
            stack
                .incoming(now, held)
                .unwrap()
                .answer(StatusCode::OK, None, None, &[])
                .unwrap()
        });
        world.run_for(secs(60));
        assert_eq!(codes(world, it.line), [200]);
    });
}

// rules: M5
#[test]
fn a_request_finds_its_endpoint_in_the_stated_order() {
    world::run(37, |world| {
        let it = callee_with(world, peer_config(BOB, "one"));
        let gruu = "sip:carol@two.invalid;gr=g1";
        let carol = world.peer_to_peer_endpoint(
            it.host,
            PeerToPeerConfig {
                gruu: Some(gruu.into()),
                ..PeerToPeerConfig::new("sip:carol@two.invalid")
            },
        );
        let carol_two = world.peer_to_peer_endpoint(it.host, peer_config("sip:carol@two.invalid", "mobile"));
        let fallback =
            world.peer_to_peer_endpoint(it.host, PeerToPeerConfig::new("sip:operator@two.invalid"));
        let bob_contact = world.with(it.host, |stack, now| {
            stack.endpoint(now, it.bob.id).unwrap().endpoint_uri().unwrap()
        });
        let nobody = "sip:nobody@two.invalid";
        let cases = [
            // ms-opaque before everything else, whatever user it says.
            (
                bob_contact.replace("bob@", "carol@"),
                "<sip:carol@two.invalid>;epid=mobile".to_owned(),
                Some(it.bob.id),
            ),
            // The GRUU before its user.
            (
                gruu.to_owned(),
                "<sip:carol@two.invalid>;epid=mobile".to_owned(),
                Some(carol.id),
            ),
            // The Request-URI before To.
            (
                BOB.to_owned(),
                "<sip:carol@two.invalid>".to_owned(),
                Some(it.bob.id),
            ),
            // To, by epid.
            (
                nobody.to_owned(),
                "<sip:carol@two.invalid>;epid=mobile".to_owned(),
                Some(carol_two.id),
            ),
            (
                nobody.to_owned(),
                "<sip:carol@two.invalid>".to_owned(),
                Some(carol.id),
            ),
            // Nobody.
            (nobody.to_owned(), format!("<{nobody}>"), None),
        ];
        for (number, (uri, to, _)) in (0..).zip(&cases) {
            world.say(it.line, &request("MESSAGE", uri, to, number, ""));
        }
        world.run_for(secs(1));
        let expected: Vec<_> = cases.iter().filter_map(|(_, _, endpoint)| *endpoint).collect();
        assert_eq!(receivers(world, it.host), expected);
        assert_eq!(codes(world, it.line), [200, 200, 200, 200, 200, 404]);
        // With a default routing endpoint nobody is unknown, but a dialog is.
        world.with(it.host, |stack, _| stack.set_default_endpoint(Some(fallback.id)));
        world.say(
            it.line,
            &request("MESSAGE", nobody, &format!("<{nobody}>"), 20, ""),
        );
        world.say(
            it.line,
            &request("MESSAGE", nobody, &format!("<{nobody}>;tag=old"), 21, ""),
        );
        world.say(it.line, &request("BYE", BOB, &format!("<{BOB}>;tag=old"), 22, ""));
        world.run_for(secs(1));
        assert_eq!(receivers(world, it.host).last(), Some(&fallback.id));
        assert_eq!(codes(world, it.line), [200, 481, 481]);
    });
}

// rules: M5, C1
#[test]
fn nobody_reaches_an_endpoint_around_its_server_through_another_managers_port() {
    world::run(61, |world| {
        let it = callee(world);
        // In the same stack, at a server of its own over the client manager.
        let carol = world.with(it.host, |stack, now| {
            stack
                .add_sip_endpoint(now, SipEndpointConfig::new("sip:carol@two.invalid"))
                .unwrap()
        });
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
        assert_eq!(codes(world, it.line), [404]);
        assert_eq!(receivers(world, it.host), []);
        world.with(it.host, |stack, now| stack.terminate(now, carol));
        world.run_for(secs(1));
    });
}

// rules: M5
#[test]
fn an_ack_and_a_cancel_of_nothing_do_nothing() {
    world::run(38, |world| {
        let it = callee(world);
        world.say(it.line, &to_bob("ACK", 1, ""));
        world.say(it.line, &to_bob("CANCEL", 2, ""));
        world.run_for(secs(1));
        assert_eq!(
            codes(world, it.line),
            [481],
            "RFC 3261 section 9.2, and nothing for the ACK"
        );
        assert_eq!(receivers(world, it.host), []);
    });
}

// rules: M6, E10
#[test]
fn what_an_endpoint_does_not_take_is_refused_with_the_reason() {
    world::run(39, |world| {
        let mut config = PeerToPeerConfig::new(BOB);
        config.profile.methods = vec![Method::Message, Method::Options];
        config.profile.content_types = vec!["text/plain".into()];
        config.profile.option_tags = vec!["own".into()];
        let it = callee_with(world, config);
        let ask = |world: &mut World, text: String| {
            world.say(it.line, &text);
            world.run_for(secs(1));
            let heard = world.heard(it.line);
            assert_eq!(heard.len(), 1, "{text}: {heard:?}");
            heard[0].clone()
        };
        let code = |message: &Message| message.status().unwrap().code();
        let r = ask(world, to_bob("INFO", 1, ""));
        assert_eq!(
            (code(&r), field(&r, HeaderName::Allow).as_str()),
            (405, "MESSAGE, OPTIONS")
        );
        let r = ask(world, to_bob("FROBNICATE", 2, ""));
        assert_eq!(
            (code(&r), field(&r, HeaderName::Allow).as_str()),
            (501, "MESSAGE, OPTIONS")
        );
        let r = ask(
            world,
            request("MESSAGE", "http://two.invalid", "<sip:bob@two.invalid>", 3, ""),
        );
        assert_eq!(code(&r), 416);
        let r = ask(world, to_bob("MESSAGE", 4, "Require: own, foo\nRequire: bar"));
        assert_eq!(
            (code(&r), field(&r, HeaderName::Unsupported).as_str()),
            (420, "foo, bar")
        );
        let r = ask(world, to_bob("MESSAGE", 5, "Proxy-Require: foo\nRequire: own"));
        assert_eq!(code(&r), 200, "Proxy-Require is ignored");
        let r = ask(
            world,
            format!(
                "{}\nContent-Type: text/html\n\nx",
                to_bob("MESSAGE", 6, "").trim_end()
            ),
        );
        assert_eq!(
            (code(&r), field(&r, HeaderName::Accept).as_str()),
            (415, "text/plain")
        );
        let r = ask(
            world,
            format!(
                "{}\nContent-Type: TEXT/Plain;charset=UTF-8\n\nx",
                to_bob("MESSAGE", 7, "").trim_end()
            ),
        );
        assert_eq!(code(&r), 200);
        let r = ask(world, to_bob("MESSAGE", 8, "").replace("CSeq: 1", "CSeq: one"));
        assert_eq!(code(&r), 400);
        assert!(
            String::from_utf8_lossy(r.reason()).contains("CSeq"),
            "{:?}",
            r.reason()
        );
        let r = ask(world, to_bob("MESSAGE", 9, "").replace("SIP/2.0\n", "SIP/3.0\n"));
        assert_eq!(code(&r), 505);
        let r = ask(
            world,
            to_bob("OPTIONS", 10, "").replace("Max-Forwards: 70", "Max-Forwards: 0"),
        );
        assert_eq!(code(&r), 200, "a user agent is the end of the way");
        assert_eq!(field(&r, HeaderName::Allow), "MESSAGE, OPTIONS");
        assert_eq!(field(&r, HeaderName::Accept), "text/plain");
    });
}

// rules: M6
// RFC 3261 section 8.2.2.2: same From tag, Call-ID and CSeq, another branch.
#[test]
fn a_request_that_comes_a_second_way_is_refused() {
    world::run(40, |world| {
        let it = callee(world);
        hold_requests(world, it.host);
        let first = to_bob("MESSAGE", 1, "");
        world.say(it.line, &first);
        world.say(it.line, &first.replace("z9hG4bK1", "z9hG4bKother"));
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [482]);
        assert_eq!(messages(world, it.host).len(), 1);
    });
}

// rules: M7, M5
#[test]
fn without_strict_dispatch_the_only_peer_to_peer_endpoint_takes_everything() {
    world::run(41, |world| {
        let host = world.stack_with(Config {
            strict_dispatch: false,
            ..Config::default()
        });
        let bob = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(BOB));
        let address = world.listen(host, 5060);
        let peer = world.peer();
        let line = world.dial(peer, address, None);
        let stranger = |number| {
            request(
                "MESSAGE",
                "sip:stranger@far.invalid",
                "<sip:stranger@far.invalid>",
                number,
                "",
            )
        };
        world.say(line, &stranger(1));
        world.run_for(secs(1));
        assert_eq!(
            (codes(world, line), receivers(world, host)),
            (vec![200], vec![bob.id])
        );
        let second = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:two@two.invalid"));
        world.say(line, &stranger(2));
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [404], "two cannot both take it");
        let ended = world.terminate(second);
        world.result(host, ended).unwrap();
        world.say(line, &stranger(3));
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [200]);
    });
}

// rules: M8
#[test]
fn messages_of_one_connection_arrive_in_order_and_start_no_dialog() {
    world::run(42, |world| {
        world.network.chunks = Chunks::Random;
        let it = callee(world);
        for number in 0..50 {
            world.say(
                it.line,
                &to_bob("MESSAGE", number, "Contact: <sip:p@peer.invalid>"),
            );
        }
        world.run_for(secs(1));
        let ids: Vec<String> = messages(world, it.host)
            .iter()
            .map(|message| message.call_id().unwrap().to_owned())
            .collect();
        let sent: Vec<String> = (0..50).map(|number| format!("call-{number}")).collect();
        assert_eq!(ids, sent);
        let heard = world.heard(it.line);
        assert!(
            heard
                .iter()
                .all(|response| field(response, HeaderName::Contact).is_empty()),
            "RFC 3428 section 7"
        );
        assert_eq!(world.with(it.host, |stack, _| stack.census().dialogs), 0);
        // The To tag of an answer makes no dialog: a request that names it is a stranger.
        let tag = heard[0].to().unwrap().tag().unwrap().to_owned();
        world.say(
            it.line,
            &request("MESSAGE", BOB, &format!("<{BOB}>;tag={tag}"), 0, "").replace("z9hG4bK0", "z9hG4bKnew"),
        );
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [481]);

        let address = world.peer_listens(it.peer, 5060, Transport::Tcp);
        world.message(it.bob, &format!("sip:p@{address}"), "hi");
        let line = next_line(world, it.peer, 1);
        let message = next_request(world, line, &Method::Message);
        assert_eq!(message.count(HeaderName::Contact), 0, "RFC 3428 section 4");
        world.say(line, &answer(&message, "200 OK", "c", ""));
    });
}

// rules: E7, E13
#[test]
fn a_session_that_is_ringing_ends_with_its_endpoint() {
    world::run(43, |world| {
        let it = callee(world);
        world.say(it.line, &to_bob("INVITE", 1, "Contact: <sip:p@peer.invalid>"));
        world.run_for(secs(1));
        let ended = world.terminate(it.bob);
        world.run_for(secs(1));
        let heard = world.heard(it.line);
        let last = heard
            .iter()
            .filter_map(Message::status)
            .find(|status| status.is_final())
            .unwrap();
        assert!(
            last.is_failure() || last.is_global_failure(),
            "{last:?}: declined"
        );
        world.say(
            it.line,
            &request("ACK", BOB, &field(&heard[heard.len() - 1], HeaderName::To), 1, ""),
        );
        world.result(it.host, ended).unwrap();
    });
}

// rules: X2, E13
#[test]
fn what_the_application_holds_keeps_the_end_waiting_until_it_is_answered() {
    world::run(44, |world| {
        let it = callee(world);
        hold_requests(world, it.host);
        world.say(it.line, &to_bob("MESSAGE", 1, ""));
        world.run_for(secs(1));
        let ended = world.terminate(it.bob);
        world.run_for(secs(1));
        assert_eq!(world.ended(it.host, ended), None);
        world.result(it.host, ended).unwrap();
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [500], "after the 32 s of M9");
    });
}
