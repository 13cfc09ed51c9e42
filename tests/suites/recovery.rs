//! The route set of a session, lost by a proxy and recovered (S17; MS-SIPRE sections 3.7.5.3.1 and 3.7.5.3.4).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Event, OperationFailure, OperationId, PeerToPeerConfig, RouteRecovery, RouteState,
    SessionReason as Reason, SessionState as State, Time,
};
use sansip_testkit::world::{self, World};

use common::stage::{ALLOW, Call, Side, answer, call, command, ended_by, info, last, methods, sent};
use common::{Caller, TICK, codes, field, grant, next_line, next_request, scripted_server_with, sdp, secs};

const SOON: Duration = Duration::from_millis(20);
const DIALOG: &str = "P-Dialog-Recovery-Action: dialog-route-set-update";
const WAIT: &str = "P-Dialog-Recovery-Action: Wait-For-Session-Update";
const BOTH: &str = "P-Dialog-Recovery-Action: Registration-Route-Set-Update, Dialog-Route-Set-Update";
/// The route of the call, and the one that heals it, as proxies write them.
const OLD: &str = "Record-Route: <sip:10.3.0.1:5060;transport=tcp;lr;old>";
const NEW: &str =
    "Record-Route: <sip:10.3.0.1:5060;transport=tcp;lr;last>, <sip:10.3.0.1:5060;transport=tcp;lr;new>";

fn caller_with(world: &mut World, mode: RouteRecovery, timer: bool) -> Caller {
    let host = world.stack();
    let mut config = PeerToPeerConfig::new("sip:alice@one.invalid");
    config.profile.route_recovery = mode;
    config.profile.session_timer = timer.then(|| secs(600));
    let alice = world.peer_to_peer_endpoint(host, config);
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, sansip::Transport::Tcp);
    world.names.set_addresses("peer.invalid", &[address.ip()]);
    Caller { alice, host, peer }
}

/// A call through a proxy, and the peer's side of it.
fn routed(world: &mut World, mode: RouteRecovery, timer: bool) -> (Call, Side) {
    let caller = caller_with(world, mode, timer);
    let call = call(world, &caller, Some(sdp()));
    let timer = if timer {
        "Session-Expires: 600;refresher=uac\nRequire: timer\n"
    } else {
        ""
    };
    let more = format!("{OLD}\n{timer}{ALLOW}\nContent-Type: application/sdp\n\nv=0\n");
    call.say(world, "200 OK", "t", &more);
    next_request(world, call.line, &Method::Ack);
    let side = call.side("t");
    (call, side)
}

/// The request that comes next, which is answered so.
fn confirm(world: &mut World, call: &Call, method: Method, status: &str, more: &str) -> Message {
    let request = next_request(world, call.line, &method);
    world.say(call.line, &answer(&request, status, "", more));
    world.run_for(SOON);
    request
}

fn routes(world: &World, call: &Call) -> Vec<(RouteState, bool)> {
    let route = |(_, event): &(Time, Event)| match event {
        Event::Route {
            session,
            state,
            error,
        } if *session == call.session => Some((*state, error.is_some())),
        _ => None,
    };
    world.events(call.host).iter().filter_map(route).collect()
}

fn route_of(request: &Message) -> Vec<String> {
    let routes = request.raw_all(HeaderName::Route);
    routes
        .map(|route| String::from_utf8_lossy(route).into_owned())
        .collect()
}

fn healed(world: &mut World, call: &Call) -> Message {
    let more = format!("{NEW}\nContact: <sip:carol@10.3.0.1:5060;transport=tcp;moved>");
    confirm(world, call, Method::Update, "200 OK", &more)
}

fn outcome(world: &World, call: &Call, operation: OperationId) -> Option<u16> {
    let result = world.ended(call.host, operation)?;
    let response = match result {
        Ok(completion) => completion.response(),
        Err(error) => error.response(),
    };
    Some(response.and_then(Message::status).map_or(0, StatusCode::code))
}

// rules: S17
#[test]
fn a_request_that_is_answered_430_goes_out_again_over_the_recovered_route() {
    for mode in [RouteRecovery::LimitedRetry, RouteRecovery::MaximumRetry] {
        world::run(1, |world| {
            let (call, _) = routed(world, mode, false);
            let sent = info(world, call.host, call.session);
            let first = confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
            assert_eq!(route_of(&first), ["<sip:10.3.0.1:5060;transport=tcp;lr;old>"]);
            assert_eq!(field(&first, HeaderName::Supported), "Ms-Dialog-Route-Set-Update");
            assert_eq!(routes(world, &call), [(RouteState::Recovering, true)]);
            let state = command(world, call.host, call.session, |view| view.route_state());
            assert_eq!(state, RouteState::Recovering);
            // What comes meanwhile waits behind it.
            let later = info(world, call.host, call.session);
            let update = healed(world, &call);
            assert_eq!((route_of(&update), update.body_bytes()), (vec![], &b""[..]));
            assert_eq!(update.request_uri(), "sip:carol@10.3.0.1:5060;transport=tcp");
            assert!(field(&update, HeaderName::Contact).starts_with("<sip:alice@"));
            assert_eq!(routes(world, &call)[1..], [(RouteState::Healthy, false)]);
            let released = world.heard(call.line);
            assert_eq!(released.len(), 2);
            for (operation, again) in [sent, later].into_iter().zip(&released) {
                assert_eq!(outcome(world, &call, operation), None);
                world.say(call.line, &answer(again, "200 OK", "", ""));
                world.run_for(SOON);
                let route =
                    ["new", "last"].map(|name| format!("<sip:10.3.0.1:5060;transport=tcp;lr;{name}>"));
                assert_eq!(route_of(again), route);
                assert_eq!(again.request_uri(), "sip:carol@10.3.0.1:5060;transport=tcp;moved");
                assert!(again.cseq().unwrap().number > update.cseq().unwrap().number);
                assert_eq!(outcome(world, &call, operation), Some(200));
            }
        });
    }
}

// rules: S17
#[test]
fn who_takes_no_part_fails_and_says_nothing_of_it() {
    world::run(2, |world| {
        let (call, _) = routed(world, RouteRecovery::None, false);
        assert!(!field(&call.invite, HeaderName::Supported).contains("Ms-Dialog"));
        let sent = info(world, call.host, call.session);
        let first = confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        assert_eq!(field(&first, HeaderName::Supported), "");
        assert_eq!(outcome(world, &call, sent), Some(430));
        assert_eq!(
            (routes(world, &call), methods(world, call.line)),
            (vec![], vec![])
        );
    });
    // Nor does a 430 that asks for nothing, or for nothing that is known.
    for more in ["", "P-Dialog-Recovery-Action: something-new"] {
        world::run(3, |world| {
            let (call, _) = routed(world, RouteRecovery::MaximumRetry, false);
            assert!(field(&call.invite, HeaderName::Supported).contains("Ms-Dialog-Route-Set-Update"));
            let sent = info(world, call.host, call.session);
            confirm(world, &call, Method::Info, "430 Flow Failed", more);
            assert_eq!(outcome(world, &call, sent), Some(430));
            assert_eq!(
                (routes(world, &call), methods(world, call.line)),
                (vec![], vec![])
            );
        });
    }
}

// MS-SIPRE section 3.7.5.3.4: an UPDATE of the peer brings the new route set; nothing else does, nor for who takes no part.
// rules: S17, S4
#[test]
fn the_route_set_is_the_first_one_but_for_an_update_of_the_peer_to_who_takes_part() {
    for (mode, method, takes) in [
        (RouteRecovery::LimitedRetry, "UPDATE", true),
        (RouteRecovery::LimitedRetry, "INVITE", false),
        (RouteRecovery::None, "UPDATE", false),
    ] {
        world::run(15, |world| {
            let (call, mut side) = routed(world, mode, false);
            let more = format!("Contact: <sip:carol@10.3.0.1:5060;transport=tcp>\n{NEW}");
            side.say(
                world,
                method,
                &format!("{more}\nContent-Type: application/sdp\n\nv=1\n"),
            );
            command(world, call.host, call.session, |view| {
                view.accept_renegotiation(sdp())
            })
            .unwrap();
            world.run_for(SOON);
            let success = world.heard(call.line).pop().unwrap();
            assert_eq!(success.status(), Some(StatusCode::OK));
            assert_eq!(
                success.count(HeaderName::RecordRoute) > 0,
                takes,
                "{mode:?} {method}"
            );
            if method == "INVITE" {
                side.say_numbered(world, "ACK", side.cseq, "");
            }
            info(world, call.host, call.session);
            let request = next_request(world, call.line, &Method::Info);
            let is_new = route_of(&request).iter().any(|route| route.contains("new"));
            assert_eq!(is_new, takes, "{mode:?} {method}");
        });
    }
}

// rules: S17, C31
#[test]
fn what_waits_for_a_recovery_is_bounded() {
    world::run(16, |world| {
        let mut config = sansip::Config::default();
        config.limits.pending_per_session = 2;
        let host = world.stack_with(config);
        let mut alice = PeerToPeerConfig::new("sip:alice@one.invalid");
        alice.profile.route_recovery = RouteRecovery::LimitedRetry;
        let alice = world.peer_to_peer_endpoint(host, alice);
        let peer = world.peer();
        let address = world.peer_listens(peer, 5060, sansip::Transport::Tcp);
        world.names.set_addresses("peer.invalid", &[address.ip()]);
        let call = call(world, &Caller { alice, host, peer }, Some(sdp()));
        let more = format!("{OLD}\n{ALLOW}\nContent-Type: application/sdp\n\nv=0\n");
        call.say(world, "200 OK", "t", &more);
        next_request(world, call.line, &Method::Ack);
        info(world, call.host, call.session);
        confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        for fits in [true, false] {
            let sent = command(world, call.host, call.session, |view| {
                view.send(Method::Info, None, Vec::new())
            });
            assert_eq!(sent.is_ok(), fits, "one waits already");
        }
    });
}

// rules: S17
#[test]
fn one_request_goes_out_again_twice_and_no_more() {
    world::run(4, |world| {
        let (call, _) = routed(world, RouteRecovery::MaximumRetry, false);
        let sent = info(world, call.host, call.session);
        for _ in 0..2 {
            confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
            healed(world, &call);
        }
        assert_eq!(outcome(world, &call, sent), None);
        confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        assert_eq!(outcome(world, &call, sent), Some(430));
        assert_eq!(methods(world, call.line), []);
    });
}

// rules: S17, S1, S19
#[test]
fn what_cannot_be_healed_is_tried_for_three_minutes_and_then_the_session_ends() {
    world::run(5, |world| {
        let (call, _) = routed(world, RouteRecovery::LimitedRetry, false);
        let sent = info(world, call.host, call.session);
        let request = next_request(world, call.line, &Method::Info);
        world.say(call.line, &answer(&request, "430 Flow Failed", "", DIALOG));
        let begun = world.now() + Duration::from_millis(10);
        world.run_for(SOON);
        // MS-SIPRE: the failure of the request is that of the request.
        confirm(world, &call, Method::Update, "503 No", "");
        assert_eq!(outcome(world, &call, sent), Some(430));
        let waits = info(world, call.host, call.session);
        // After 4, 8, 16, 32 and 64 s.
        for _ in 0..5 {
            confirm(world, &call, Method::Update, "503 No", "");
        }
        let rest = (begun + secs(180) - TICK).since(world.now());
        world.run_for(rest);
        assert_eq!(
            (
                outcome(world, &call, waits),
                last(world, call.host, call.session).unwrap().0
            ),
            (None, State::Connected)
        );
        world.run_for(TICK);
        let bye = next_request(world, call.line, &Method::Bye);
        assert!(field(&bye, HeaderName::MsDiagnostics).starts_with("61018;"));
        // The application does not know yet, and its command is no misuse (X2).
        let late = info(world, call.host, call.session);
        assert_eq!(
            world.ended(call.host, late),
            Some(&ended_by(OperationFailure::SessionTerminated))
        );
        world.say(call.line, &answer(&bye, "200 OK", "", ""));
        world.run_for(SOON);
        assert_eq!(
            world.ended(call.host, waits),
            Some(&ended_by(OperationFailure::SessionTerminated))
        );
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::RecoveryFailed))
        );
    });
}

// rules: S17, S11
#[test]
fn where_only_the_peer_can_heal_its_update_is_waited_for() {
    for mode in [RouteRecovery::LimitedRetry, RouteRecovery::MaximumRetry] {
        world::run(6, |world| {
            let (call, mut side) = routed(world, mode, true);
            let sent = info(world, call.host, call.session);
            let request = next_request(world, call.line, &Method::Info);
            world.say(call.line, &answer(&request, "430 Flow Failed", "", WAIT));
            world.run_for(SOON);
            assert_eq!(outcome(world, &call, sent), Some(430), "it fails at once");
            assert_eq!(routes(world, &call), [(RouteState::Recovering, true)]);
            let next = info(world, call.host, call.session);
            world.run_for(SOON);
            let tries = mode == RouteRecovery::MaximumRetry;
            assert_eq!(methods(world, call.line).len(), usize::from(tries), "{mode:?}");
            // The peer has another route to us, which we take from its request as it is.
            side.say(
                world,
                "UPDATE",
                &format!("{NEW}\nContact: <sip:carol@10.3.0.1:5060;transport=tcp;moved>\n"),
            );
            let heard = world.heard(call.line);
            let reply = heard
                .iter()
                .find(|it| it.status() == Some(StatusCode::OK))
                .unwrap();
            assert_eq!(
                reply.raw_all(HeaderName::RecordRoute).count(),
                1,
                "it goes back with it"
            );
            assert_eq!(routes(world, &call)[1..], [(RouteState::Healthy, false)]);
            if !tries {
                let again = heard
                    .iter()
                    .find(|it| it.method() == Some(&Method::Info))
                    .unwrap();
                let route =
                    ["last", "new"].map(|name| format!("<sip:10.3.0.1:5060;transport=tcp;lr;{name}>"));
                assert_eq!(route_of(again), route);
                world.say(call.line, &answer(again, "200 OK", "", ""));
                world.run_for(SOON);
                assert_eq!(outcome(world, &call, next), Some(200));
            }
            assert_eq!(
                command(world, call.host, call.session, |view| view.session_timer()).map(|it| it.0),
                Some(secs(600))
            );
        });
    }
}

// rules: S17, S11
#[test]
fn who_is_patient_asks_at_the_interval_of_the_session_timer_which_stands_still() {
    world::run(7, |world| {
        let (call, _) = routed(world, RouteRecovery::MaximumRetry, true);
        info(world, call.host, call.session);
        let request = next_request(world, call.line, &Method::Info);
        world.say(call.line, &answer(&request, "430 Flow Failed", "", WAIT));
        let begun = world.now() + Duration::from_millis(10);
        for number in 1..=3 {
            let rest = (begun + secs(600) * number - TICK).since(world.now());
            world.run_for(rest);
            assert_eq!(methods(world, call.line), [], "{number}");
            let update = next_request(world, call.line, &Method::Update);
            assert!(route_of(&update).is_empty());
            assert!(field(&update, HeaderName::SessionExpires).starts_with("600;"));
            if number < 3 {
                world.say(call.line, &answer(&update, "430 Flow Failed", "", WAIT));
                world.run_for(SOON - Duration::from_millis(20));
            } else {
                world.say(
                    call.line,
                    &answer(
                        &update,
                        "200 OK",
                        "",
                        &format!("{NEW}\nSession-Expires: 600;refresher=uac\nRequire: timer"),
                    ),
                );
            }
        }
        world.run_for(SOON);
        assert_eq!(routes(world, &call).last(), Some(&(RouteState::Healthy, false)));
        assert!(command(world, call.host, call.session, |view| view.session_timer()).is_some());
    });
}

// rules: S17
#[test]
fn a_change_and_a_refresh_that_are_answered_430_begin_the_recovery() {
    world::run(8, |world| {
        let (call, _) = routed(world, RouteRecovery::LimitedRetry, false);
        let changed = command(world, call.host, call.session, |view| {
            view.renegotiate(Method::Update, sdp())
        })
        .unwrap();
        confirm(world, &call, Method::Update, "430 Flow Failed", DIALOG);
        assert_eq!(outcome(world, &call, changed), Some(430));
        healed(world, &call);
        assert_eq!(routes(world, &call).len(), 2);
        let sent = info(world, call.host, call.session);
        assert_eq!(
            route_of(&confirm(world, &call, Method::Info, "200 OK", "")).len(),
            2
        );
        assert_eq!(outcome(world, &call, sent), Some(200));
    });
    world::run(9, |world| {
        let (call, _) = routed(world, RouteRecovery::LimitedRetry, true);
        world.run_for(secs(300));
        confirm(world, &call, Method::Update, "430 Flow Failed", DIALOG);
        healed(world, &call);
        assert_eq!(routes(world, &call).len(), 2);
    });
}

// rules: S17, X3, X6
#[test]
fn what_waits_for_a_recovery_ends_with_the_session() {
    world::run(10, |world| {
        let (call, mut side) = routed(world, RouteRecovery::LimitedRetry, false);
        let sent = info(world, call.host, call.session);
        confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        let waits = info(world, call.host, call.session);
        next_request(world, call.line, &Method::Update);
        side.say(world, "BYE", "");
        assert_eq!(codes(world, call.line), [200]);
        assert_eq!(outcome(world, &call, sent), Some(430));
        assert_eq!(
            world.ended(call.host, waits),
            Some(&ended_by(OperationFailure::SessionTerminated))
        );
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::TerminatedRemotely))
        );
    });
    // No timer of it is left: three minutes are not over yet, and the connection has been let go.
    world::run(14, |world| {
        let (call, mut side) = routed(world, RouteRecovery::LimitedRetry, false);
        info(world, call.host, call.session);
        confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        confirm(world, &call, Method::Update, "503 No", "");
        side.say(world, "BYE", "");
        world.run_for(secs(100));
        assert_eq!(world.with(call.host, |stack, _| stack.census().timers), 0);
    });
    // Nothing of it goes out after our BYE, though its connection dies with both.
    world::run(13, |world| {
        let (call, _) = routed(world, RouteRecovery::LimitedRetry, false);
        info(world, call.host, call.session);
        confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        next_request(world, call.line, &Method::Update);
        command(world, call.host, call.session, |view| view.terminate());
        world.run_for(secs(200));
        assert_eq!(sent(world, call.host, &["UPDATE sip:"]).len(), 1);
        assert_eq!(
            last(world, call.host, call.session).unwrap().0,
            State::Disconnected
        );
    });
    // What answers our target refresh when our BYE is on its way heals nothing any more.
    world::run(15, |world| {
        let (call, _) = routed(world, RouteRecovery::LimitedRetry, false);
        info(world, call.host, call.session);
        confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        let update = next_request(world, call.line, &Method::Update);
        command(world, call.host, call.session, |view| view.terminate());
        next_request(world, call.line, &Method::Bye);
        world.say(call.line, &answer(&update, "200 OK", "", NEW));
        world.run_for(SOON);
        assert_eq!(routes(world, &call), [(RouteState::Recovering, true)]);
    });
    // The peer knows no such session any more.
    world::run(11, |world| {
        let (call, _) = routed(world, RouteRecovery::LimitedRetry, false);
        info(world, call.host, call.session);
        confirm(world, &call, Method::Info, "430 Flow Failed", DIALOG);
        confirm(world, &call, Method::Update, "481 Gone", "");
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::SessionDoesNotExist))
        );
    });
}

// rules: S17, R21
#[test]
fn where_the_registration_is_lost_too_it_is_refreshed_first_and_all_dialogs_are_recovered() {
    world::run(12, |world| {
        let (peer, alice) = scripted_server_with(world, |config| {
            config.profile.route_recovery = RouteRecovery::LimitedRetry;
        });
        let host = alice.host;
        world.register(alice);
        let line = next_line(world, peer, 0);
        grant(world, line, 3600, "");
        world.run_for(SOON);
        let calls = [0, 1].map(|number| {
            let (session, made) = world.invite(alice, "sip:carol@example.com", Some(sdp()));
            let invite = next_request(world, line, &Method::Invite);
            let call = Call {
                host,
                session,
                made,
                line,
                invite,
            };
            let tag = ["t0", "t1"][number];
            call.say(
                world,
                "200 OK",
                tag,
                &format!("{OLD}\n{ALLOW}\nContent-Type: application/sdp\n\nv=0\n"),
            );
            next_request(world, line, &Method::Ack);
            call
        });
        let (subscription, _) = world.with(host, |stack, now| {
            let options = sansip::SubscribeOptions::new("presence");
            stack
                .endpoint(now, alice.id)
                .unwrap()
                .subscribe("sip:bob@example.com", options)
                .unwrap()
        });
        let subscribe = next_request(world, line, &Method::Subscribe);
        world.say(
            line,
            &answer(
                &subscribe,
                "200 OK",
                "s",
                "Expires: 600\nContact: <sip:s@10.3.0.1>",
            ),
        );
        world.run_for(SOON);
        let sent = info(world, host, calls[0].session);
        confirm(world, &calls[0], Method::Info, "430 Flow Failed", BOTH);
        assert_eq!(outcome(world, &calls[0], sent), Some(430), "it fails upward");
        assert_eq!(routes(world, &calls[0]), [(RouteState::Recovering, true)]);
        assert_eq!(routes(world, &calls[1]), []);
        let waits = info(world, host, calls[0].session);
        // Of a fleet each waits for a random part of two seconds (R6).
        let begun = world.now();
        let register = next_request(world, line, &Method::Register);
        assert!(world.now().since(begun) <= secs(2));
        assert_eq!(methods(world, line), []);
        let registered = format!("Contact: {};expires=3600", field(&register, HeaderName::Contact));
        world.say(line, &answer(&register, "200 OK", "server", &registered));
        world.run_for(SOON);
        let heard = world.heard(line);
        let mut requests: Vec<_> = heard.iter().filter_map(Message::method).collect();
        requests.sort_by_key(|method| method.as_str().to_owned());
        assert_eq!(requests, [&Method::Subscribe, &Method::Update, &Method::Update]);
        let forgotten = |(_, event): &(Time, Event)| matches!(event, Event::Subscription { subscription: of, reason: sansip::SubscriptionReason::Forgotten, .. } if *of == subscription);
        assert!(
            world.events(host).iter().any(forgotten),
            "what is not recovered is made again"
        );
        for update in heard.iter().filter(|it| it.method() == Some(&Method::Update)) {
            assert!(route_of(update).is_empty());
            world.say(
                line,
                &answer(
                    update,
                    "200 OK",
                    "",
                    &format!("{NEW}\nContact: <sip:carol@10.3.0.1:5060;transport=tcp>"),
                ),
            );
        }
        world.run_for(SOON);
        for call in &calls {
            assert_eq!(routes(world, call).last(), Some(&(RouteState::Healthy, false)));
        }
        let released = confirm(world, &calls[0], Method::Info, "200 OK", "");
        assert_eq!(route_of(&released).len(), 2);
        assert_eq!(outcome(world, &calls[0], waits), Some(200));
    });
}

// rules: S17
#[test]
fn a_session_keeps_nothing_of_requests_that_were_answered() {
    world::run(18, |world| {
        let (call, _) = routed(world, RouteRecovery::LimitedRetry, false);
        let held_after = |world: &mut World, requests: usize| {
            for _ in 0..requests {
                let sent = info(world, call.host, call.session);
                confirm(world, &call, Method::Info, "200 OK", "");
                assert_eq!(outcome(world, &call, sent), Some(200));
            }
            world.run_for(secs(60));
            // But for the connection, which says how long it has been idle.
            let held = world.with(call.host, |stack, _| format!("{:?}", stack.fingerprint()));
            held.split_once("}, transactions")
                .expect("its parts")
                .1
                .to_owned()
        };
        let after_one = held_after(world, 1);
        assert!(after_one.contains("route: Some"), "{after_one}");
        assert_eq!(after_one, held_after(world, 99));
    });
}
