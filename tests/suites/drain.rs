//! The graceful end of a stack: no new calls, a wait for those there are, and then the end of everything.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::wire::{HeaderName, Method};
use sansip::{
    Census, Event, Misuse, OperationId, PeerToPeerConfig, Reason, RegistrationState, SessionState,
    SipEndpointConfig,
};
use sansip_testkit::frontend::FrontEndConfig;
use sansip_testkit::world::{self, Endpoint, StackId, World};

use common::{
    TICK, accept_calls, answer, callee, caller, codes, field, next_line, next_request, registered, request,
    scripted_server, sdp, secs, served, session_states,
};

const BOB: &str = "sip:bob@two.invalid";

fn drain(world: &mut World, host: StackId, patience: Duration) -> OperationId {
    world.with(host, |stack, now| stack.drain(now, patience))
}

fn is_draining(world: &mut World, host: StackId) -> bool {
    world.with(host, |stack, _| stack.is_draining())
}

/// Alice and bob, registered and in a call that alice has made.
fn in_call(world: &mut World) -> (world::FrontEndId, Endpoint, Endpoint, sansip::SessionId) {
    let server = served(world);
    let (alice, bob) = (
        registered(world, server, "alice"),
        registered(world, server, "bob"),
    );
    accept_calls(world, bob.host);
    let (session, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
    world.result(alice.host, made).unwrap();
    (server, alice, bob, session)
}

// rules: E13, R16, X3, X6
#[test]
fn a_call_comes_to_its_own_end_and_then_everything_ends() {
    world::run(1, |world| {
        let (server, alice, bob, session) = in_call(world);
        let ended = drain(world, bob.host, secs(600));
        world.run_for(secs(300));
        assert_eq!(world.ended(bob.host, ended), None);
        assert_eq!(world.server(server).bindings("sip:bob@example.com").len(), 1);
        let hung_up = world.with(alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        world.result(alice.host, hung_up).unwrap();
        world.result(bob.host, ended).unwrap();
        assert_eq!(world.server(server).bindings("sip:bob@example.com"), []);
        let last = world.events(bob.host).last().map(|(_, event)| event.clone());
        assert!(
            matches!(last, Some(Event::Completed { operation, .. }) if operation == ended),
            "{last:?}"
        );
        world.with(bob.host, |stack, _| {
            assert_eq!(stack.census(), Census::default());
            assert!(!stack.is_draining());
        });
    });
}

// rules: E13, M5
#[test]
fn no_new_call_comes_in_and_none_goes_out() {
    world::run(2, |world| {
        let (server, alice, bob, _) = in_call(world);
        let ended = drain(world, bob.host, secs(600));
        let (_, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        let refused = world.result(alice.host, made);
        assert_eq!(common::failure_code(&refused), 480);
        // What is no call goes on.
        let sent = world.message(alice, "sip:bob@example.com", "hi");
        world.result(alice.host, sent).unwrap();
        let account = world.account(server, "bob");
        world.with(bob.host, |stack, now| {
            let draining = |operation| {
                Some(Misuse::State {
                    operation,
                    state: "draining",
                })
            };
            let mut endpoint = stack.endpoint(now, bob.id).unwrap();
            assert_eq!(
                endpoint.create_session("sip:alice@example.com").err(),
                draining("create_session")
            );
            let invite = endpoint.invite("sip:alice@example.com", None, sansip::SendOptions::default());
            assert_eq!(invite.err(), draining("create_session"));
            let another = SipEndpointConfig {
                epid: Some("other".to_owned()),
                ..account
            };
            assert_eq!(
                stack.add_sip_endpoint(now, another).err(),
                draining("add_sip_endpoint")
            );
            let peer = PeerToPeerConfig::new("sip:carol@one.invalid");
            assert_eq!(
                stack.add_peer_to_peer_endpoint(now, peer).err(),
                draining("add_peer_to_peer_endpoint")
            );
            let manager = stack.server_tcp_manager();
            let address = "127.0.0.1:5060".parse().unwrap();
            let listening = stack.manager(now, manager).unwrap().listen(address);
            assert_eq!(listening.err(), draining("listen"));
        });
        assert_eq!(world.ended(bob.host, ended), None);
    });
}

// rules: E13
#[test]
fn patience_has_an_end() {
    world::run(3, |world| {
        let (_, _, bob, _) = in_call(world);
        let ended = drain(world, bob.host, secs(20));
        world.run_for(secs(20) - TICK);
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Connected)
        );
        let (deadline, now) = world.with(bob.host, |stack, now| (stack.poll_timeout(), now));
        assert_eq!(deadline, Some((now + TICK, Reason::Ending)));
        world.run_for(secs(1));
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Disconnected)
        );
        world.result(bob.host, ended).unwrap();
    });
}

// rules: E13, X3
#[test]
fn a_further_call_waits_for_the_same_end_and_only_shortens_the_wait() {
    world::run(4, |world| {
        let (_, _, bob, _) = in_call(world);
        let first = drain(world, bob.host, secs(100));
        let longer = drain(world, bob.host, secs(200));
        world.run_for(secs(10));
        let shorter = drain(world, bob.host, secs(30));
        world.run_for(secs(30) - TICK);
        assert!(
            [first, longer, shorter]
                .iter()
                .all(|one| world.ended(bob.host, *one).is_none())
        );
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Connected)
        );
        let (deadline, now) = world.with(bob.host, |stack, now| (stack.poll_timeout(), now));
        assert_eq!(deadline, Some((now + TICK, Reason::Ending)));
        world.run_for(secs(1));
        assert_eq!(
            session_states(world, bob.host).last(),
            Some(&SessionState::Disconnected)
        );
        let while_ending = drain(world, bob.host, secs(100));
        for operation in [first, longer, shorter, while_ending] {
            world.result(bob.host, operation).unwrap();
        }
    });
}

// rules: E13, X6
#[test]
fn a_stack_without_calls_ends_at_once_and_can_begin_again() {
    world::run(5, |world| {
        let server = served(world);
        let empty = world.stack();
        let nothing = drain(world, empty, secs(100));
        world.run_for(TICK);
        assert!(matches!(world.ended(empty, nothing), Some(Ok(_))));
        let alice = registered(world, server, "alice");
        let begun = world.with(alice.host, |_, now| now);
        let ended = drain(world, alice.host, secs(100));
        world.result(alice.host, ended).unwrap();
        assert!(world.with(alice.host, |_, now| now.since(begun)) < secs(5));
        let account = world.account(server, "alice");
        let again = world.sip_endpoint(alice.host, account);
        let operation = world.register(again);
        world.result(again.host, operation).unwrap();
        assert_eq!(world.server(server).bindings("sip:alice@example.com").len(), 1);
    });
}

// rules: C14, C8, X6
#[test]
fn listening_ends_and_lingering_connections_are_closed() {
    world::run(6, |world| {
        let it = callee(world);
        world.say(it.line, &request("OPTIONS", BOB, &format!("<{BOB}>"), 1, ""));
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [200]);
        let ended = drain(world, it.host, secs(100));
        world.result(it.host, ended).unwrap();
        world.run_for(secs(1));
        assert!(!world.is_line_open(it.line));
        let again = world.dial(it.peer, it.address, None);
        world.run_for(secs(1));
        assert!(!world.is_line_open(again), "nobody listens");
        // A connection that lingers in its pool.
        let from = caller(world);
        let sent = world.message(from.alice, "sip:p@peer.invalid:5060", "hi");
        let line = next_line(world, from.peer, 0);
        let message = next_request(world, line, &Method::Message);
        world.say(line, &answer(&message, "200 OK", "b", ""));
        world.result(from.host, sent).unwrap();
        let ended = drain(world, from.host, secs(100));
        world.result(from.host, ended).unwrap();
        world.run_for(secs(1));
        assert!(!world.is_line_open(line));
    });
}

// rules: R16, X3
#[test]
fn a_server_that_does_not_answer_holds_it_up_for_a_bounded_time() {
    world::run(7, |world| {
        let (peer, alice) = scripted_server(world);
        let registered = world.register(alice);
        let line = next_line(world, peer, 0);
        common::grant(world, line, 3600, "");
        world.result(alice.host, registered).unwrap();
        let ended = drain(world, alice.host, secs(100));
        let leaving = next_request(world, line, &Method::Register);
        assert_eq!(field(&leaving, HeaderName::Expires), "0");
        // RFC 3261's timer F.
        world.run_for(secs(32) - Duration::from_millis(100));
        assert_eq!(world.ended(alice.host, ended), None);
        world.run_for(secs(1));
        assert!(matches!(world.ended(alice.host, ended), Some(Ok(_))));
    });
}

// rules: C30, X3
#[test]
fn what_is_still_to_be_sent_holds_it_up_for_two_seconds() {
    world::run(8, |world| {
        let it = callee(world);
        world.say(it.line, &request("OPTIONS", BOB, &format!("<{BOB}>"), 1, ""));
        world.run_for(secs(1));
        let link = world.link_between(it.host, it.peer);
        world.set_slow(link, it.peer, true);
        // More than a slow reader's socket holds.
        for number in 2..2000 {
            world.say(it.line, &request("OPTIONS", BOB, &format!("<{BOB}>"), number, ""));
        }
        world.run_for(Duration::from_millis(100));
        let queued = world.with(it.host, |stack, _| stack.census().queued_bytes);
        assert!(queued > 0);
        let ended = drain(world, it.host, secs(100));
        world.run_for(secs(2) - TICK);
        assert_eq!(world.ended(it.host, ended), None);
        world.run_for(TICK);
        assert!(matches!(world.ended(it.host, ended), Some(Ok(_))));
    });
}

// rules: X5
#[test]
fn many_endpoints_end_in_slices() {
    world::run(9, |world| {
        let many = 600;
        let users = (0..many).fold(FrontEndConfig::new("example.com"), |config, number| {
            config.with_user(format!("user{number}"), "secret")
        });
        let server = world.front_end(users);
        let host = world.stack();
        for number in 0..many {
            let account = world.account(server, &format!("user{number}"));
            let endpoint = world.sip_endpoint(host, account);
            let operation = world.register(endpoint);
            world.result(host, operation).unwrap();
        }
        let slices = world.with(host, |stack, now| {
            stack.drain(now, Duration::ZERO);
            let leaving = |stack: &mut sansip::Stack| {
                let mut states = Vec::new();
                for id in stack.endpoints() {
                    states.push(stack.endpoint(now, id).unwrap().registration_state());
                }
                states
                    .iter()
                    .filter(|state| **state == Some(RegistrationState::Unregistering))
                    .count()
            };
            let mut seen = vec![leaving(stack)];
            while seen.last().is_some_and(|last| *last < many) {
                assert_eq!(stack.poll_timeout().map(|(at, _)| at), Some(now));
                stack.handle_timeout(now);
                seen.push(leaving(stack));
            }
            seen
        });
        assert_eq!(slices, [256, 512, 600]);
        world.run_until(|world| {
            world
                .server(server)
                .bindings("sip:user599@example.com")
                .is_empty()
        });
        world.run_for(secs(5));
        assert!(!is_draining(world, host));
        world.with(host, |stack, _| assert_eq!(stack.census(), Census::default()));
    });
}

// rules: E13, X2
#[test]
fn an_endpoint_can_be_terminated_while_the_stack_waits() {
    world::run(10, |world| {
        let (_, _, bob, _) = in_call(world);
        let ended = drain(world, bob.host, secs(100));
        let terminated = world.terminate(bob);
        world.result(bob.host, terminated).unwrap();
        world.result(bob.host, ended).unwrap();
    });
}
