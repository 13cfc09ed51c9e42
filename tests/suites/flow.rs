//! Connections that die without a word: what finds them, when exactly, and what follows (rules C26, C35, R19).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method};
use sansip::{
    Config, ConnectionFailure, Content, DeadFlow, Event, OperationError, OperationId, RegistrationState,
    RemovalReason, SendOptions, Server, SessionState, SipEndpointConfig, Time, Transport,
};
use sansip_testkit::world::{self, Endpoint, LineId, PeerId, StackId, World};

use common::{
    TICK, answer, callee, caller, codes, field, grant, next_line, next_request, request, sdp, secs,
};

const BOB: &str = "sip:bob@example.com";
const CAROL: &str = "sip:carol@peer.invalid:5060";

/// Without chance: who loses a connection makes the next at once.
fn exact() -> Config {
    Config {
        reconnect_jitter: Duration::ZERO,
        ..Config::default()
    }
}

/// A scripted server at server.invalid, and alice@example.com, registered there for an hour over the first line. What the
/// server says of keep-alives stands in `more`. It is told when the REGISTER went out, and when its answer was there.
struct Served {
    peer: PeerId,
    alice: Endpoint,
    line: LineId,
    sent: Time,
    answered: Time,
}

fn served_with(
    world: &mut World,
    config: Config,
    more: &str,
    change: impl FnOnce(&mut SipEndpointConfig),
) -> Served {
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    world.names.set_addresses("server.invalid", &[address.ip()]);
    let host = world.stack_with(config);
    let mut config = SipEndpointConfig::new("sip:alice@example.com");
    config.server = Some(Server {
        host: "server.invalid".to_owned(),
        port: Some(5060),
    });
    config.transport = Transport::Tcp;
    change(&mut config);
    let alice = world.sip_endpoint(host, config);
    let operation = world.register(alice);
    let line = next_line(world, peer, 0);
    grant(world, line, 3600, more);
    world.result(host, operation).unwrap();
    let sent = added(world, host)[0];
    let answered = world.now();
    Served {
        peer,
        alice,
        line,
        sent,
        answered,
    }
}

fn served(world: &mut World, more: &str) -> Served {
    served_with(world, exact(), more, |_| {})
}

/// When connections of a stack became ready.
fn added(world: &World, host: StackId) -> Vec<Time> {
    let events = world.events(host).iter();
    events
        .filter_map(|(at, event)| matches!(event, Event::ConnectionAdded { .. }).then_some(*at))
        .collect()
}

/// When connections of a stack that were ready went, and why.
fn removed(world: &World, host: StackId) -> Vec<(Time, RemovalReason)> {
    let events = world.events(host).iter();
    events
        .filter_map(|(at, event)| match event {
            Event::ConnectionRemoved { reason, .. } => Some((*at, reason.clone())),
            _ => None,
        })
        .collect()
}

fn run_to(world: &mut World, time: Time) {
    let now = world.now();
    assert!(now <= time, "{now} is after {time}");
    world.run_for(time.since(now));
}

/// Nothing has gone a microsecond before; at the time the connection has, for this reason.
#[track_caller]
fn goes_at(world: &mut World, host: StackId, at: Time, reason: RemovalReason) {
    run_to(world, at - TICK);
    assert_eq!(removed(world, host), []);
    world.run_for(TICK);
    assert_eq!(removed(world, host), [(at, reason)]);
}

/// The line that comes after the first, of whose end the server may know nothing.
#[track_caller]
fn fresh_line(world: &mut World, it: &Served) -> LineId {
    world.run_for(secs(1));
    let last = world.lines(it.peer).pop();
    last.filter(|line| *line != it.line)
        .expect("a new connection within a second")
}

/// The endpoint is registered again, over the next line. Then the server lets it go.
#[track_caller]
fn comes_back(world: &mut World, it: &Served) {
    let line = fresh_line(world, it);
    grant(world, line, 3600, "");
    world.run_for(secs(1));
    let outages = world.events(it.alice.host).iter();
    let outages = outages.filter(|(_, event)| matches!(event, Event::Outage { .. }));
    assert_eq!(outages.count(), 1, "one event for each stretch of outage (R7)");
    leave(world, it.alice, line);
}

#[track_caller]
fn leave(world: &mut World, alice: Endpoint, line: LineId) {
    world.heard(line);
    let gone = world.terminate(alice);
    grant(world, line, 0, "");
    world.result(alice.host, gone).unwrap();
}

fn sends(world: &mut World, from: Endpoint, target: &str, method: Method, repeatable: bool) -> OperationId {
    let options = SendOptions {
        repeatable,
        ..SendOptions::default()
    };
    world
        .with(from.host, |stack, now| {
            stack
                .endpoint(now, from.id)?
                .send_message(target, method, None, options)
        })
        .unwrap()
}

fn is_registered(world: &mut World, alice: Endpoint) -> bool {
    world.with(alice.host, |stack, now| {
        let view = stack.endpoint(now, alice.id).unwrap();
        view.registration_state() == Some(RegistrationState::Registered)
    })
}

// ---------------------------------------------------------------- keep-alives

// rules: C26, R19
#[test]
fn a_keep_alive_goes_out_at_two_thirds_and_its_answer_is_waited_for_ten_seconds() {
    world::run(1, |world| {
        let it = served(world, "Flow-Timer: 90");
        world.heard_bytes(it.line);
        let due = it.sent + secs(60);
        run_to(world, due + Duration::from_millis(10) - TICK);
        assert_eq!(world.heard_bytes(it.line), b"", "it takes 10 ms to arrive");
        world.run_for(TICK);
        assert_eq!(world.heard_bytes(it.line), b"\r\n\r\n");
        goes_at(world, it.alice.host, due + secs(10), RemovalReason::Unanswered);
        let bound = exact().detection_bound(DeadFlow::Pong { timeout: secs(90) });
        assert!(due + secs(10) < it.sent + bound);
        comes_back(world, &it);
    });
}

// rules: C26, R19
#[test]
fn an_answer_in_the_last_moment_is_one() {
    world::run(2, |world| {
        let it = served(world, "Flow-Timer: 90");
        let due = it.sent + secs(60);
        // However it is split.
        run_to(world, due + secs(10) - Duration::from_millis(12));
        world.say_bytes(it.line, b"\r");
        world.run_for(Duration::from_millis(2) - TICK);
        world.say_bytes(it.line, b"\n");
        world.run_for(secs(40));
        assert_eq!(removed(world, it.alice.host), []);
        // The next is due two thirds after this one; its answer comes too late.
        goes_at(world, it.alice.host, due + secs(70), RemovalReason::Unanswered);
        world.say_bytes(it.line, b"\r\n");
        comes_back(world, &it);
    });
}

// rules: C26, R19
#[test]
fn whatever_is_sent_puts_the_keep_alive_off_and_what_comes_in_does_not() {
    world::run(3, |world| {
        let it = served(world, "Flow-Timer: 90");
        run_to(world, it.sent + secs(59));
        world.say_bytes(it.line, b"\r\n");
        let at = world.now();
        let sent = world.message(it.alice, BOB, "hi");
        world.heard_bytes(it.line);
        world.run_for(secs(1));
        let got = world.heard(it.line);
        world.say(it.line, &answer(&got[0], "200 OK", "b", ""));
        world.result(it.alice.host, sent).unwrap();
        world.heard_bytes(it.line);
        run_to(world, at + secs(60));
        assert_eq!(world.heard_bytes(it.line), b"");
        world.run_for(Duration::from_millis(10));
        assert_eq!(world.heard_bytes(it.line), b"\r\n\r\n");
        goes_at(world, it.alice.host, at + secs(70), RemovalReason::Unanswered);
        comes_back(world, &it);
    });
}

// rules: C26, R19
#[test]
fn a_refresh_just_before_the_keep_alive_is_what_finds_it_at_the_bound() {
    world::run(6, |world| {
        // A binding of 10 s is refreshed after 5 s, the floor.
        let peer = world.peer();
        let address = world.peer_listens(peer, 5060, Transport::Tcp);
        world.names.set_addresses("server.invalid", &[address.ip()]);
        let host = world.stack_with(exact());
        let mut config = SipEndpointConfig::new("sip:alice@example.com");
        config.server = Some(Server {
            host: "server.invalid".to_owned(),
            port: Some(5060),
        });
        config.transport = Transport::Tcp;
        let alice = world.sip_endpoint(host, config);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 10, "Flow-Timer: 9");
        world.result(host, operation).unwrap();
        let (sent, answered) = (added(world, host)[0], world.now());
        let refreshed = answered + secs(5);
        assert!(refreshed < sent + secs(6), "the keep-alive would be due then");
        goes_at(world, host, refreshed + secs(32), RemovalReason::Unanswered);
        let bound = exact().detection_bound(DeadFlow::Pong { timeout: secs(9) });
        assert!(refreshed + secs(32) <= answered + bound);
        // The first back-off.
        world.run_for(secs(2) + Duration::from_millis(100));
        let line = world.lines(peer).pop().unwrap();
        grant(world, line, 3600, "");
        world.run_for(secs(1));
        leave(world, alice, line);
    });
}

// rules: C26
#[test]
fn where_no_answer_is_promised_none_is_missed() {
    world::run(4, |world| {
        let it = served(
            world,
            "ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=90",
        );
        world.heard_bytes(it.line);
        world.run_for(secs(200));
        assert_eq!(world.heard_bytes(it.line), b"\r\n\r\n".repeat(3));
        assert_eq!(removed(world, it.alice.host), []);
        leave(world, it.alice, it.line);
    });
    // With both, the shorter time counts, and an answer is promised.
    world::run(5, |world| {
        let both = "ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=90\nFlow-Timer: 30";
        let it = served(world, both);
        goes_at(
            world,
            it.alice.host,
            it.sent + secs(30),
            RemovalReason::Unanswered,
        );
        comes_back(world, &it);
    });
}

// rules: C26
#[test]
fn a_timeout_of_zero_is_none_and_a_huge_one_does_no_harm() {
    for (number, (says, pings)) in [
        ("Flow-Timer: 0", 0),
        (
            "ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=0",
            0,
        ),
        ("Flow-Timer: 4294967295", 0),
        ("Flow-Timer: 99999999999999999999", 0),
        ("Flow-Timer: -1", 0),
    ]
    .into_iter()
    .enumerate()
    {
        world::run(10 + u64::try_from(number).unwrap(), move |world| {
            let it = served(world, says);
            world.heard_bytes(it.line);
            world.run_for(secs(2000));
            assert_eq!(world.heard_bytes(it.line), b"\r\n\r\n".repeat(pings), "{says}");
            assert_eq!(removed(world, it.alice.host), []);
            leave(world, it.alice, it.line);
        });
    }
    // The least there is: two in three seconds, and no more while an answer is waited for.
    world::run(20, |world| {
        let it = served(world, "Flow-Timer: 1");
        world.heard_bytes(it.line);
        run_to(world, it.sent + secs(5));
        assert_eq!(world.heard_bytes(it.line), b"\r\n\r\n");
        world.say_bytes(it.line, b"\r\n");
        world.run_for(secs(4));
        let pings = world.heard_bytes(it.line).len() / 4;
        assert_eq!(pings, 1);
        world.say_bytes(it.line, b"\r\n");
        leave(world, it.alice, it.line);
    });
}

// rules: C26, C30
#[test]
fn a_flood_of_keep_alives_is_answered_and_bounded() {
    world::run(21, |world| {
        let it = callee(world);
        world.say_bytes(it.line, &b"\r\n\r\n".repeat(1000));
        world.run_for(secs(1));
        assert_eq!(world.heard_bytes(it.line), b"\r\n".repeat(1000));
        // An odd number is one that waits for its other half.
        world.say_bytes(it.line, &b"\r\n".repeat(3));
        world.run_for(secs(1));
        assert_eq!(world.heard_bytes(it.line), b"\r\n");
        world.say_bytes(it.line, b"\r");
        world.say_bytes(it.line, b"\n");
        world.run_for(secs(1));
        assert_eq!(world.heard_bytes(it.line), b"\r\n");
        // Nobody has asked for these: they are no answers, and no traffic.
        world.say(
            it.line,
            &request("OPTIONS", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 1, ""),
        );
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [200]);
        assert_eq!(removed(world, it.host), []);
    });
    // Who does not read the answers is closed at the limit of the queue, however small each of them is.
    for (pings, gone) in [(500, None), (501, Some(RemovalReason::SlowReader))] {
        world::run(22, move |world| {
            let mut config = Config::default();
            config.limits.send_queue = 1000;
            let host = world.stack_with(config);
            let it = common::callee_on(world, host, sansip::PeerToPeerConfig::new("sip:bob@two.invalid"));
            world.network.window = 0;
            for _ in 0..pings {
                world.say_bytes(it.line, b"\r\n\r\n");
            }
            world.run_for(secs(1));
            let removed = removed(world, host).pop().map(|(_, reason)| reason);
            assert_eq!(removed, gone, "{pings}");
        });
    }
}

// ---------------------------------------------------------------- probes

// rules: R19
#[test]
fn a_probe_asks_the_server_and_its_silence_closes_the_connection() {
    world::run(30, |world| {
        let it = served_with(world, exact(), "", |config| config.probe = Some(secs(60)));
        run_to(world, it.answered + secs(60));
        assert!(world.heard(it.line).is_empty());
        world.run_for(Duration::from_millis(10));
        let got = world.heard(it.line);
        assert_eq!(got.len(), 1);
        assert_eq!(
            (got[0].method(), got[0].request_uri()),
            (Some(&Method::Options), "sip:example.com")
        );
        assert_eq!(field(&got[0], HeaderName::To), "<sip:example.com>");
        // A refusal is an answer.
        world.run_for(secs(31));
        world.say(it.line, &answer(&got[0], "404 Not Found", "s", ""));
        world.run_for(Duration::from_millis(10));
        let again = world.now() + secs(60);
        run_to(world, again + Duration::from_millis(10) - TICK);
        assert!(world.heard(it.line).is_empty());
        world.run_for(TICK);
        assert_eq!(world.heard(it.line).len(), 1);
        goes_at(world, it.alice.host, again + secs(32), RemovalReason::Unanswered);
        let interval = secs(60);
        let bound = exact().detection_bound(DeadFlow::Probe { interval });
        assert_eq!(again + secs(32), again - interval + bound);
        comes_back(world, &it);
    });
}

// rules: R19
#[test]
fn a_server_that_only_says_that_it_is_trying_does_not_answer_a_probe() {
    world::run(31, |world| {
        let it = served_with(world, exact(), "", |config| config.probe = Some(secs(60)));
        let got = next_request(world, it.line, &Method::Options);
        world.say(it.line, &answer(&got, "100 Trying", "", ""));
        goes_at(
            world,
            it.alice.host,
            it.answered + secs(92),
            RemovalReason::Unanswered,
        );
        comes_back(world, &it);
    });
}

// rules: R19
#[test]
fn probes_are_off_unless_the_stack_or_the_endpoint_wants_them_and_end_with_the_registration() {
    let of_stack = Config {
        probe_interval: secs(100),
        ..exact()
    };
    for (seed, config, own, expected) in [
        (32, exact(), None, 0),
        (33, of_stack.clone(), None, 9),
        (34, of_stack.clone(), Some(Duration::ZERO), 0),
        (35, of_stack, Some(secs(300)), 3),
    ] {
        world::run(seed, move |world| {
            let it = served_with(world, config.clone(), "", |config| config.probe = own);
            let mut asked = 0;
            for _ in 0..100 {
                world.run_for(secs(10));
                for got in world.heard(it.line) {
                    assert_eq!(got.method(), Some(&Method::Options));
                    asked += 1;
                    world.say(it.line, &answer(&got, "200 OK", "s", ""));
                }
            }
            assert_eq!(asked, expected);
            let operation = world.unregister(it.alice);
            grant(world, it.line, 0, "");
            world.result(it.alice.host, operation).unwrap();
            world.run_for(secs(1000));
            assert!(world.heard(it.line).is_empty());
        });
    }
    // Also while one is under way: who ends does not wait for its answer.
    world::run(36, |world| {
        let it = served_with(world, exact(), "", |config| config.probe = Some(secs(60)));
        next_request(world, it.line, &Method::Options);
        leave(world, it.alice, it.line);
        assert_eq!(world.with(it.alice.host, |stack, _| stack.census().exchanges), 0);
    });
    // And who unregisters has nothing to ask any more.
    world::run(37, |world| {
        let it = served_with(world, exact(), "", |config| config.probe = Some(secs(10)));
        let probe = next_request(world, it.line, &Method::Options);
        let operation = world.unregister(it.alice);
        let last = next_request(world, it.line, &Method::Register);
        world.say(it.line, &answer(&probe, "200 OK", "s", ""));
        world.run_for(secs(25));
        assert!(world.heard(it.line).is_empty());
        world.say(it.line, &answer(&last, "200 OK", "s", ""));
        world.result(it.alice.host, operation).unwrap();
    });
}

// ---------------------------------------------------------------- requests

// rules: R19, M2
#[test]
fn a_request_without_any_answer_proves_its_connection_dead() {
    for (seed, method) in [(40, Method::Message), (41, Method::Info), (42, Method::Options)] {
        world::run(seed, move |world| {
            let it = served(world, "");
            world.run_for(secs(100));
            let sent = sends(world, it.alice, BOB, method.clone(), false);
            let at = world.now() + exact().detection_bound(DeadFlow::Request);
            goes_at(world, it.alice.host, at, RemovalReason::Unanswered);
            assert_eq!(
                world.ended(it.alice.host, sent),
                Some(&Err(OperationError::Timeout))
            );
            assert!(is_registered(world, it.alice), "the binding is still there");
            comes_back(world, &it);
        });
    }
    world::run(43, |world| {
        let it = served(world, "");
        let (_, made) = world.invite(it.alice, BOB, Some(sdp()));
        let at = world.now() + secs(32);
        goes_at(world, it.alice.host, at, RemovalReason::Unanswered);
        assert_eq!(
            world.ended(it.alice.host, made),
            Some(&Err(OperationError::Timeout))
        );
        comes_back(world, &it);
    });
}

// rules: R19
#[test]
fn a_provisional_response_or_anything_else_that_comes_is_a_sign_of_life() {
    type Bring = fn(&mut World, LineId, &Message);
    let brings: [(u64, Bring); 3] = [
        (50, |world, line, got| {
            world.say(line, &answer(got, "100 Trying", "", ""))
        }),
        (51, |world, line, _| world.say_bytes(line, b"\r\n\r\n")),
        (52, |world, line, _| {
            let to = "<sip:alice@example.com>";
            world.say(line, &request("OPTIONS", "sip:alice@example.com", to, 1, ""));
        }),
    ];
    for (seed, bring) in brings {
        world::run(seed, move |world| {
            let it = served(world, "");
            let sent = world.message(it.alice, BOB, "hi");
            let got = next_request(world, it.line, &Method::Message);
            bring(world, it.line, &got);
            world.run_for(secs(40));
            assert_eq!(
                world.ended(it.alice.host, sent),
                Some(&Err(OperationError::Timeout))
            );
            assert_eq!(
                removed(world, it.alice.host),
                [],
                "somebody behind the server was silent"
            );
            leave(world, it.alice, it.line);
        });
    }
    // What came before the request says nothing of what came after.
    world::run(53, |world| {
        let it = served(world, "");
        world.say_bytes(it.line, b"\r\n\r\n");
        world.run_for(secs(1));
        world.message(it.alice, BOB, "hi");
        let at = world.now() + secs(32);
        goes_at(world, it.alice.host, at, RemovalReason::Unanswered);
        comes_back(world, &it);
    });
}

// rules: R19, S12
#[test]
fn a_call_that_rings_in_vain_proves_nothing_but_a_cancel_without_an_answer_does() {
    world::run(54, |world| {
        let it = served(world, "");
        let (session, _) = world.invite(it.alice, BOB, Some(sdp()));
        let invite = next_request(world, it.line, &Method::Invite);
        world.say(
            it.line,
            &answer(&invite, "180 Ringing", "b", "Contact: <sip:b@192.0.2.9>"),
        );
        world.run_for(secs(100));
        assert_eq!(removed(world, it.alice.host), []);
        let cancelled = world.now();
        world.with(it.alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        // 64 T1 after the CANCEL, to which not even the server has said anything.
        goes_at(
            world,
            it.alice.host,
            cancelled + secs(32),
            RemovalReason::Unanswered,
        );
        assert!(common::session_states(world, it.alice.host).contains(&SessionState::Disconnected));
        comes_back(world, &it);
    });
    world::run(55, |world| {
        let it = served(world, "");
        let (session, _) = world.invite(it.alice, BOB, Some(sdp()));
        let invite = next_request(world, it.line, &Method::Invite);
        world.say(
            it.line,
            &answer(&invite, "180 Ringing", "b", "Contact: <sip:b@192.0.2.9>"),
        );
        world.run_for(secs(1));
        world.with(it.alice.host, |stack, now| {
            stack.session(now, session).unwrap().terminate()
        });
        let cancel = next_request(world, it.line, &Method::Cancel);
        world.say(it.line, &answer(&cancel, "200 OK", "b", ""));
        world.run_for(secs(100));
        assert_eq!(
            removed(world, it.alice.host),
            [],
            "the server is there; the callee is not"
        );
        leave(world, it.alice, it.line);
    });
}

// rules: R19, R10
#[test]
fn a_register_without_a_final_answer_proves_it_whatever_else_comes() {
    for (seed, says) in [(56, ""), (57, "100 Trying")] {
        world::run(seed, move |world| {
            let it = served(world, "");
            let refresh = next_request(world, it.line, &Method::Register);
            if !says.is_empty() {
                world.say(it.line, &answer(&refresh, says, "", ""));
            }
            world.run_for(secs(30));
            world.say_bytes(it.line, b"\r\n\r\n");
            world.run_for(secs(3));
            let gone = removed(world, it.alice.host);
            assert!(matches!(gone[..], [(_, RemovalReason::Unanswered)]), "{gone:?}");
            let granted = secs(3600);
            let bound = exact().detection_bound(DeadFlow::Refresh { granted });
            assert!(gone[0].0 <= it.answered + bound, "{gone:?}");
            comes_back(world, &it);
        });
    }
}

// rules: R19, C7
#[test]
fn a_pooled_connection_that_swallows_a_request_is_not_used_again() {
    world::run(58, |world| {
        let it = caller(world);
        let first = world.message(it.alice, CAROL, "one");
        let line = next_line(world, it.peer, 0);
        assert_eq!(world.result(it.host, first), Err(OperationError::Timeout));
        world.run_for(secs(1));
        assert!(!world.is_line_open(line));
        let second = world.message(it.alice, CAROL, "two");
        world.run_for(secs(1));
        let fresh = world.lines(it.peer).pop().unwrap();
        assert_ne!(fresh, line);
        let got = next_request(world, fresh, &Method::Message);
        world.say(fresh, &answer(&got, "200 OK", "c", ""));
        world.result(it.host, second).unwrap();
    });
}

// rules: R19, R5
#[test]
fn without_refresh_a_dead_connection_ends_the_registration() {
    world::run(59, |world| {
        let it = served_with(world, exact(), "Flow-Timer: 90", |config| {
            config.auto_refresh = false
        });
        goes_at(
            world,
            it.alice.host,
            it.sent + secs(70),
            RemovalReason::Unanswered,
        );
        assert!(!is_registered(world, it.alice));
        world.run_for(secs(100));
        assert_eq!(added(world, it.alice.host).len(), 1, "no new one is made");
    });
}

// ---------------------------------------------------------------- bytes that nobody takes

fn big(world: &mut World, from: Endpoint, target: &str, size: usize) -> OperationId {
    let content = Some(Content::text("x".repeat(size)));
    world
        .with(from.host, |stack, now| {
            let mut view = stack.endpoint(now, from.id)?;
            view.send_message(target, Method::Message, content, SendOptions::default())
        })
        .unwrap()
}

// rules: R19, C30
#[test]
fn bytes_that_the_peer_does_not_take_for_thirty_seconds_close_the_connection() {
    world::run(60, |world| {
        let it = served(world, "");
        world.run_for(secs(100));
        let link = world.link_between(it.alice.host, it.peer);
        world.set_slow(link, it.peer, true);
        world.network.window = 1000;
        // The system takes the first thousand at once; the rest waits.
        let sent = big(world, it.alice, BOB, 5000);
        let at = world.now() + exact().detection_bound(DeadFlow::Bytes);
        goes_at(world, it.alice.host, at, RemovalReason::SlowReader);
        assert_eq!(
            world.ended(it.alice.host, sent),
            Some(&Err(OperationError::ConnectionFailure(
                ConnectionFailure::Closed(RemovalReason::SlowReader)
            ))),
            "bytes of it have left: it is not sent again (C35)"
        );
        world.network.window = 64 << 10;
        comes_back(world, &it);
    });
}

// rules: R19, C30
#[test]
fn each_byte_taken_starts_the_thirty_seconds_anew() {
    world::run(61, |world| {
        // A request may take longer here, or it would be what finds the connection.
        let patient = Config {
            t1: secs(10),
            ..exact()
        };
        let it = served_with(world, patient, "", |_| {});
        let link = world.link_between(it.alice.host, it.peer);
        world.set_slow(link, it.peer, true);
        world.network.window = 1000;
        let first = big(world, it.alice, BOB, 3000);
        world.run_for(secs(29));
        // The peer takes what there is, and stops again.
        let taken = world.now();
        world.set_slow(link, it.peer, false);
        world.run_for(Duration::from_millis(1));
        world.set_slow(link, it.peer, true);
        world.run_for(secs(20));
        // What is queued besides is no progress.
        big(world, it.alice, BOB, 10);
        goes_at(world, it.alice.host, taken + secs(30), RemovalReason::SlowReader);
        assert!(world.ended(it.alice.host, first).is_some());
        world.network.window = 64 << 10;
        // Of the second not a byte had left: it goes out over the new connection (C35).
        let line = fresh_line(world, &it);
        for got in world.heard(line) {
            let more = common::bound(&got, 3600);
            let is_register = got.method() == Some(&Method::Register);
            world.say(
                line,
                &answer(&got, "200 OK", "s", if is_register { &more } else { "" }),
            );
        }
        world.run_for(secs(1));
        leave(world, it.alice, line);
    });
    world::run(62, |world| {
        let never = Config {
            write_timeout: Duration::ZERO,
            t1: secs(10),
            ..exact()
        };
        let it = served_with(world, never, "", |_| {});
        let link = world.link_between(it.alice.host, it.peer);
        world.set_slow(link, it.peer, true);
        world.network.window = 1000;
        big(world, it.alice, BOB, 5000);
        world.run_for(secs(300));
        assert_eq!(removed(world, it.alice.host), []);
        world.set_slow(link, it.peer, false);
        world.network.window = 64 << 10;
        world.run_for(secs(1));
        leave(world, it.alice, it.line);
    });
}

// ---------------------------------------------------------------- once more, or not

// rules: C35
#[test]
fn what_the_application_says_may_arrive_twice_is_sent_once_more() {
    for (seed, repeatable) in [(70, true), (71, false)] {
        world::run(seed, move |world| {
            let it = caller(world);
            let sent = sends(world, it.alice, CAROL, Method::Info, repeatable);
            let line = next_line(world, it.peer, 0);
            let first = next_request(world, line, &Method::Info);
            world.break_off(line);
            world.run_for(secs(1));
            if !repeatable {
                assert!(matches!(
                    world.ended(it.host, sent),
                    Some(Err(OperationError::ConnectionFailure(ConnectionFailure::Lost(_))))
                ));
                assert_eq!(added(world, it.host).len(), 1);
                return;
            }
            let fresh = next_line(world, it.peer, 0);
            let second = next_request(world, fresh, &Method::Info);
            let via = |message: &Message| field(message, HeaderName::Via);
            assert_ne!(via(&first), via(&second), "a new branch, and the new address");
            assert_eq!(
                field(&first, HeaderName::CallId),
                field(&second, HeaderName::CallId)
            );
            // Once, and not for ever.
            world.break_off(fresh);
            world.run_for(secs(1));
            assert!(matches!(
                world.ended(it.host, sent),
                Some(Err(OperationError::ConnectionFailure(ConnectionFailure::Lost(_))))
            ));
            assert_eq!(added(world, it.host).len(), 2);
        });
    }
}

// rules: C35, R19
#[test]
fn what_was_on_a_dead_connection_is_not_sent_again_and_what_was_not_is() {
    world::run(72, |world| {
        let it = served(world, "Flow-Timer: 90");
        let link = world.link_between(it.alice.host, it.peer);
        run_to(world, it.sent + secs(65));
        world.black_hole(link);
        let vanished = world.message(it.alice, BOB, "into the dark");
        world.network.window = 0;
        let waits = world.message(it.alice, BOB, "not yet");
        goes_at(
            world,
            it.alice.host,
            it.sent + secs(70),
            RemovalReason::Unanswered,
        );
        assert_eq!(
            world.ended(it.alice.host, vanished),
            Some(&Err(OperationError::ConnectionFailure(
                ConnectionFailure::Closed(RemovalReason::Unanswered)
            )))
        );
        assert_eq!(world.ended(it.alice.host, waits), None);
        world.network.window = 64 << 10;
        let line = fresh_line(world, &it);
        let got = world.heard(line);
        let messages: Vec<&Message> = got
            .iter()
            .filter(|message| message.method() == Some(&Method::Message))
            .collect();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].body_bytes(), b"not yet");
        world.say(line, &answer(messages[0], "200 OK", "b", ""));
        world.result(it.alice.host, waits).unwrap();
        let register = got
            .iter()
            .find(|message| message.method() == Some(&Method::Register));
        let register = register.expect("registered again over the new connection");
        let text = answer(register, "200 OK", "s", &common::bound(register, 3600));
        world.say(line, &text);
        world.run_for(secs(1));
        leave(world, it.alice, line);
    });
}
