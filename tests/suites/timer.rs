//! Session timers, as their two sides see them (rule S11, RFC 4028).

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
    Config, Event, Explanation, Misuse, PeerToPeerConfig, SessionId, SessionReason as Reason,
    SessionState as State, Time,
};
use sansip_testkit::world::{self, LineId, StackId, World};

use common::stage::{ALLOW, BOB, Call, Side, answer, call, command, last, offered, received};
use common::{
    Callee, Caller, TICK, callee, callee_with, caller_with, codes, failure_code, field, next_request,
    request, sdp, secs,
};

/// One way over a link.
const WAY: Duration = Duration::from_millis(10);
const EXPIRED: Option<(State, Reason)> = Some((State::Disconnected, Reason::SessionTimerExpired));
const CONNECTED: Option<(State, Reason)> = Some((State::Connected, Reason::None));

/// An endpoint that asks for timers of so many seconds.
fn asking(uri: &str, seconds: u64) -> PeerToPeerConfig {
    let mut config = PeerToPeerConfig::new(uri);
    config.profile.session_timer = Some(secs(seconds));
    config
}

/// Connections are kept however long nothing passes over them.
fn busy() -> Config {
    Config {
        idle_outgoing: Duration::ZERO,
        idle_incoming: Duration::ZERO,
        ..Config::default()
    }
}

/// A caller whose endpoint asks for timers.
fn asking_caller(world: &mut World, seconds: u64) -> Caller {
    let caller = caller_with(world, busy());
    let alice = world.peer_to_peer_endpoint(caller.host, asking("sip:anna@one.invalid", seconds));
    Caller { alice, ..caller }
}

/// A call that the peer has answered so, and the time when the 2xx came.
fn answered(world: &mut World, caller: &Caller, more: &str) -> (Call, Side, Time) {
    let call = call(world, caller, Some(sdp()));
    call.say(
        world,
        "200 OK",
        "t",
        &format!("{more}\nContent-Type: application/sdp\n\nv=0\n"),
    );
    next_request(world, call.line, &Method::Ack);
    let at = world
        .events(call.host)
        .iter()
        .find_map(|(at, event)| match event {
            Event::Session {
                session,
                new: State::Connected,
                ..
            } if *session == call.session => Some(*at),
            _ => None,
        })
        .unwrap();
    let side = call.side("t");
    (call, side, at)
}

/// Lets the world run until just before this time; what it would bring has not been.
fn until(world: &mut World, at: Time) {
    world.run_for(at.since(world.now()) - TICK);
}

/// The requests of a method that a line has brought.
fn requests(world: &mut World, line: LineId, method: &Method) -> Vec<Message> {
    let heard = world.heard(line);
    heard
        .into_iter()
        .filter(|message| message.method() == Some(method))
        .collect()
}

#[track_caller]
fn one(world: &mut World, line: LineId, method: &Method) -> Message {
    let [request] = requests(world, line, method).try_into().expect("one request");
    request
}

fn expires(message: &Message) -> String {
    field(message, HeaderName::SessionExpires)
}

fn agreed(world: &mut World, host: StackId, session: SessionId) -> Option<(u64, bool)> {
    let agreed = command(world, host, session, |view| view.session_timer());
    agreed.map(|(interval, ours)| (interval.as_secs(), ours))
}

/// A BYE is answered, and its session over.
fn bye(world: &mut World, line: LineId) -> Option<u32> {
    let bye = one(world, line, &Method::Bye);
    world.say(line, &answer(&bye, "200 OK", "", ""));
    world.run_for(Duration::from_millis(20));
    Explanation::of(&bye).diagnostics.map(|it| it.id)
}

// ---------------------------------------------------------------- the caller

// rules: S11
#[test]
fn a_caller_asks_and_refreshes_at_half_of_the_interval_by_an_update_without_body() {
    world::run(1, |world| {
        let caller = asking_caller(world, 1800);
        let (call, _, mut from) = answered(
            world,
            &caller,
            &format!("{ALLOW}\nSession-Expires: 1800;refresher=uac\nRequire: timer"),
        );
        assert_eq!(expires(&call.invite), "1800", "the callee chooses who refreshes");
        assert!(field(&call.invite, HeaderName::Supported).contains("timer"));
        assert_eq!(field(&call.invite, HeaderName::MinSe), "", "90 s is understood");
        assert_eq!(agreed(world, call.host, call.session), Some((1800, true)));
        for _ in 0..3 {
            until(world, from + secs(900) + WAY);
            assert_eq!(requests(world, call.line, &Method::Update), []);
            world.run_for(TICK);
            let update = one(world, call.line, &Method::Update);
            assert_eq!(expires(&update), "1800;refresher=uac");
            assert!(update.body_bytes().is_empty());
            assert!(!field(&update, HeaderName::Contact).is_empty());
            world.say(
                call.line,
                &answer(&update, "200 OK", "", "Session-Expires: 1800;refresher=uac"),
            );
            from = world.now() + WAY;
            world.run_for(WAY);
        }
        assert_eq!(last(world, call.host, call.session), CONNECTED);
    });
}

// rules: S11
#[test]
fn a_session_that_the_peer_does_not_refresh_is_ended_in_time() {
    // The lesser of 32 s and a third of the interval before its end.
    for (interval, after) in [(1800, 1768), (90, 60)] {
        world::run(2, |world| {
            let caller = asking_caller(world, 1800);
            let (call, mut side, from) = answered(
                world,
                &caller,
                &format!("{ALLOW}\nSession-Expires: {interval};refresher=uas"),
            );
            assert_eq!(agreed(world, call.host, call.session), Some((interval, false)));
            until(world, from + secs(after));
            // A refresh at the last moment.
            let update = format!("Supported: timer\nSession-Expires: {interval};refresher=uac");
            side.say(world, "UPDATE", &update);
            let refreshed = world.now() - Duration::from_millis(20) + WAY;
            assert_eq!(refreshed, from + secs(after) - TICK + WAY);
            assert_eq!(
                requests(world, call.line, &Method::Bye).len(),
                1,
                "it came too late by its way"
            );
        });
        world::run(3, |world| {
            let caller = asking_caller(world, 1800);
            let (call, mut side, from) = answered(
                world,
                &caller,
                &format!("{ALLOW}\nSession-Expires: {interval};refresher=uas"),
            );
            until(world, from + secs(after) - WAY);
            let update = format!("Supported: timer\nSession-Expires: {interval};refresher=uac");
            side.say(world, "UPDATE", &update);
            let refreshed = from + secs(after) - TICK;
            assert_eq!(codes(world, call.line), [200]);
            until(world, refreshed + secs(after) + WAY);
            assert_eq!(requests(world, call.line, &Method::Bye), []);
            world.run_for(TICK);
            assert_eq!(bye(world, call.line), Some(61014));
            assert_eq!(last(world, call.host, call.session), EXPIRED);
        });
    }
}

// rules: S11
#[test]
fn without_session_expires_in_the_2xx_there_is_no_timer_and_a_later_one_ends_it() {
    world::run(4, |world| {
        let caller = asking_caller(world, 90);
        let (call, mut side, _) = answered(world, &caller, ALLOW);
        assert_eq!(agreed(world, call.host, call.session), None);
        world.run_for(secs(400));
        assert_eq!(last(world, call.host, call.session), CONNECTED);
        side.say(
            world,
            "UPDATE",
            "Supported: timer\nSession-Expires: 100;refresher=uas",
        );
        assert_eq!(agreed(world, call.host, call.session), Some((100, true)));
        world.run_for(secs(51));
        let update = one(world, call.line, &Method::Update);
        world.say(call.line, &answer(&update, "200 OK", "", ""));
        world.run_for(WAY);
        assert_eq!(agreed(world, call.host, call.session), None);
        world.run_for(secs(400));
        assert_eq!(last(world, call.host, call.session), CONNECTED);
    });
}

// rules: S11
#[test]
fn who_takes_no_less_than_three_hundred_seconds_says_so() {
    world::run(15, |world| {
        let config = Config {
            min_session_expires: secs(300),
            ..busy()
        };
        let caller = caller_with(world, config);
        let alice = world.peer_to_peer_endpoint(caller.host, asking("sip:anna@one.invalid", 200));
        let caller = Caller { alice, ..caller };
        let call = call(world, &caller, Some(sdp()));
        assert_eq!(expires(&call.invite), "300");
        assert_eq!(
            field(&call.invite, HeaderName::MinSe),
            "300",
            "RFC 4028 section 7.1"
        );
    });
}

// rules: S11
#[test]
fn who_does_not_ask_says_nothing_and_takes_what_the_peer_wants() {
    world::run(5, |world| {
        let caller = caller_with(world, Config::default());
        let (call, _, _) = answered(
            world,
            &caller,
            &format!("{ALLOW}\nSession-Expires: 200;refresher=uac"),
        );
        assert_eq!(expires(&call.invite), "");
        assert_eq!(agreed(world, call.host, call.session), Some((200, true)));
    });
}

// rules: S11
#[test]
fn a_refresh_that_times_out_or_finds_nobody_ends_the_session_and_one_that_is_refused_is_tried_again() {
    for (status, after) in [
        ("408 Request Timeout", Some(0)),
        ("481 No Such Call", Some(0)),
        ("", Some(32)),
        ("500 Busy", None),
    ] {
        world::run(6, |world| {
            let caller = asking_caller(world, 90);
            let (call, _, from) = answered(
                world,
                &caller,
                &format!("{ALLOW}\nSession-Expires: 200;refresher=uac"),
            );
            until(world, from + secs(100) + WAY);
            world.run_for(TICK);
            let update = one(world, call.line, &Method::Update);
            if !status.is_empty() {
                world.say(call.line, &answer(&update, status, "", ""));
            }
            let Some(after) = after else {
                // Half of what is left of 200 s less 32 s: 34 s later.
                let refused = from + secs(100) + WAY + WAY;
                let left = (from + secs(168)).since(refused);
                until(world, refused + left / 2 + WAY);
                assert_eq!(requests(world, call.line, &Method::Update), []);
                world.run_for(TICK);
                let second = one(world, call.line, &Method::Update);
                world.say(call.line, &answer(&second, status, "", ""));
                // The third is never answered, and there is no more time for that.
                until(world, from + secs(168) + WAY);
                assert_eq!(requests(world, call.line, &Method::Bye), []);
                world.run_for(TICK);
                assert_eq!(bye(world, call.line), Some(61014));
                return;
            };
            world.run_for(secs(after) + WAY + WAY);
            assert_eq!(last(world, call.host, call.session), CONNECTED, "{status}");
            // What never answers is no connection any more (R19): the BYE goes over another one.
            let line = match after {
                0 => call.line,
                _ => {
                    world.run_for(WAY);
                    *world.lines(caller.peer).last().unwrap()
                }
            };
            world.run_for(WAY * 4);
            assert_eq!(bye(world, line), Some(61015), "{status}");
            assert_eq!(last(world, call.host, call.session), EXPIRED, "{status}");
        });
    }
}

// rules: S11
#[test]
fn where_the_peer_takes_no_update_the_application_is_asked_to_negotiate() {
    world::run(7, |world| {
        let caller = asking_caller(world, 90);
        let allow = "Allow: INVITE, ACK, BYE, CANCEL";
        let (call, _, from) = answered(
            world,
            &caller,
            &format!("{allow}\nSession-Expires: 90;refresher=uac"),
        );
        let needed = |world: &World| {
            let events = world.events(call.host).iter();
            let mut needed = events.filter(
                |(_, event)| matches!(event, Event::RefreshNeeded { session } if *session == call.session),
            );
            needed.next().map(|(at, _)| *at)
        };
        until(world, from + secs(45));
        assert_eq!(needed(world), None);
        world.run_for(TICK);
        assert_eq!(needed(world), Some(from + secs(45)));
        until(world, from + secs(60) + WAY);
        assert_eq!(requests(world, call.line, &Method::Bye), []);
        world.run_for(TICK);
        assert_eq!(bye(world, call.line), Some(61014));
        assert_eq!(last(world, call.host, call.session), EXPIRED);
    });
}

// rules: S11
#[test]
fn where_a_change_that_was_to_refresh_is_refused_the_application_is_asked_again() {
    world::run(17, |world| {
        let caller = asking_caller(world, 90);
        let allow = "Allow: INVITE, ACK, BYE, CANCEL";
        let agreed = format!("{allow}\nSession-Expires: 200;refresher=uac");
        let (call, _, from) = answered(world, &caller, &agreed);
        let needed = |world: &World| -> Vec<Time> {
            let events = world.events(call.host).iter();
            let needed = events.filter(|(_, event)| matches!(event, Event::RefreshNeeded { .. }));
            needed.map(|(at, _)| *at).collect()
        };
        world.run_for((from + secs(100)).since(world.now()));
        assert_eq!(needed(world), [from + secs(100)]);
        command(world, call.host, call.session, |view| {
            view.renegotiate(Method::Invite, sdp())
        })
        .unwrap();
        let change = next_request(world, call.line, &Method::Invite);
        world.say(call.line, &answer(&change, "488 No", "t", ""));
        let refused = world.now() + WAY;
        // Half of what is left of 200 s less 32 s later.
        let again = refused + (from + secs(168)).since(refused) / 2;
        until(world, again);
        assert_eq!(needed(world).len(), 1);
        world.run_for(TICK);
        assert_eq!(needed(world)[1..], [again]);
    });
}

// rules: S11
#[test]
fn a_422_is_answered_once_with_the_interval_that_it_names() {
    for again in [false, true] {
        world::run(8, |world| {
            let caller = asking_caller(world, 90);
            let call = call(world, &caller, Some(sdp()));
            let small = "422 Session Interval Too Small";
            call.say(world, small, "t", "Min-SE: 300");
            let second = next_request(world, call.line, &Method::Invite);
            assert_eq!(
                (expires(&second), field(&second, HeaderName::MinSe)),
                ("300".to_owned(), "300".to_owned())
            );
            assert_eq!(
                field(&second, HeaderName::CallId),
                field(&call.invite, HeaderName::CallId)
            );
            if again {
                world.say(call.line, &answer(&second, small, "u", "Min-SE: 400"));
                assert_eq!(failure_code(&world.result(call.host, call.made)), 422);
                return;
            }
            let contact = "Contact: <sip:carol@10.3.0.1:5060;transport=tcp>";
            let more = format!("{contact}\n{ALLOW}\nSession-Expires: 300;refresher=uas");
            world.say(call.line, &answer(&second, "200 OK", "u", &more));
            assert!(world.result(call.host, call.made).is_ok());
            assert_eq!(agreed(world, call.host, call.session), Some((300, false)));
        });
    }
}

// rules: S11
#[test]
fn a_422_that_asks_for_nothing_more_is_the_end() {
    for more in ["", "Min-SE: 60", "Min-SE: nonsense"] {
        world::run(9, |world| {
            let caller = asking_caller(world, 90);
            let call = call(world, &caller, Some(sdp()));
            call.say(world, "422 Session Interval Too Small", "t", more);
            assert_eq!(failure_code(&world.result(call.host, call.made)), 422, "{more}");
        });
    }
}

// rules: S11, X2
#[test]
fn no_interval_is_shorter_than_90_seconds() {
    for peers in [0, 1, 89] {
        world::run(16, |world| {
            let caller = asking_caller(world, 90);
            let more = format!("{ALLOW}\nSession-Expires: {peers};refresher=uac");
            let (call, _, _) = answered(world, &caller, &more);
            assert_eq!(agreed(world, call.host, call.session), Some((90, true)));
        });
    }
    world::run(10, |world| {
        let host = world.stack();
        let refused = world.with(host, |stack, now| {
            stack.add_peer_to_peer_endpoint(now, asking("sip:a@one.invalid", 89))
        });
        assert!(matches!(refused, Err(Misuse::Argument { .. })));
        let allowed = world.with(host, |stack, now| {
            stack.add_peer_to_peer_endpoint(now, asking("sip:a@one.invalid", 90))
        });
        assert!(allowed.is_ok());
    });
}

// ---------------------------------------------------------------- the callee

/// The 2xx to an INVITE with these lines, and its session.
fn accepted(world: &mut World, it: &Callee, number: u32, more: &str) -> (Message, SessionId) {
    let session = offered(world, it, number, &format!("{ALLOW}\n{more}"));
    command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
    world.run_for(Duration::from_millis(20));
    let heard = world.heard(it.line);
    let success = heard
        .into_iter()
        .find(|message| message.status() == Some(StatusCode::OK))
        .unwrap();
    Side::caller(it.line, &success).say(world, "ACK", "");
    (success, session)
}

// rules: S11
#[test]
fn a_callee_says_who_refreshes() {
    world::run(11, |world| {
        let it = callee(world);
        let cases = [
            // Who knows timers refreshes, and has to know that it does.
            (
                "Supported: timer\nSession-Expires: 100",
                "100;refresher=uac",
                "timer",
                Some((100, false)),
            ),
            (
                "Supported: timer\nSession-Expires: 100;refresher=uac",
                "100;refresher=uac",
                "timer",
                Some((100, false)),
            ),
            (
                "Supported: timer\nSession-Expires: 100;refresher=uas",
                "100;refresher=uas",
                "",
                Some((100, true)),
            ),
            // Put in by a proxy, for a caller who knows nothing of it: it is not refused.
            ("Session-Expires: 100", "100;refresher=uas", "", Some((100, true))),
            ("Session-Expires: 60", "90;refresher=uas", "", Some((90, true))),
            ("Supported: timer", "", "", None),
            ("", "", "", None),
        ];
        for (number, (more, says, require, timer)) in (1..).zip(cases) {
            let (success, session) = accepted(world, &it, number, more);
            assert_eq!(expires(&success), says, "{more}");
            assert_eq!(field(&success, HeaderName::Require), require, "{more}");
            assert_eq!(agreed(world, it.host, session), timer, "{more}");
        }
    });
}

// rules: S11
#[test]
fn a_callee_that_wants_a_timer_has_one_whether_the_caller_knows_of_it_or_not() {
    world::run(12, |world| {
        let it = callee_with(world, asking(BOB, 120));
        let cases = [
            ("Supported: timer", "120;refresher=uac"),
            ("Supported: timer\nMin-SE: 500", "500;refresher=uac"),
            ("", "120;refresher=uas"),
            ("Supported: timer\nSession-Expires: 1800", "1800;refresher=uac"),
        ];
        for (number, (more, says)) in (1..).zip(cases) {
            let (success, _) = accepted(world, &it, number, more);
            assert_eq!(expires(&success), says, "{more}");
        }
    });
}

// rules: S11
#[test]
fn too_short_an_interval_is_answered_422_with_the_least_that_is_taken() {
    for (least, says) in [(90, "90"), (20, "90"), (300, "300")] {
        world::run(13, |world| {
            let host = world.stack_with(Config {
                min_session_expires: secs(least),
                ..Config::default()
            });
            let it = common::callee_on(world, host, PeerToPeerConfig::new(BOB));
            let floor: u32 = says.parse().unwrap();
            let invite = |world: &mut World, number: u32, seconds: u32| {
                let more = format!(
                    "Contact: <sip:p@{}>\nSupported: timer\nSession-Expires: {seconds}",
                    world.ip(it.peer)
                );
                world.say(
                    it.line,
                    &request("INVITE", BOB, "<sip:bob@two.invalid>", number, &more),
                );
                world.run_for(Duration::from_millis(20));
            };
            invite(world, 1, floor - 1);
            let heard = world.heard(it.line);
            let refused = heard.last().unwrap();
            assert_eq!(refused.status(), Some(StatusCode::SESSION_INTERVAL_TOO_SMALL));
            assert_eq!(field(refused, HeaderName::MinSe), says);
            assert_eq!(received(world, it.host), []);
            invite(world, 2, floor);
            assert_eq!(received(world, it.host).len(), 1);
        });
    }
}

// rules: S11
#[test]
fn a_refresh_of_the_peer_keeps_who_refreshes_and_is_refused_where_it_is_too_short() {
    world::run(14, |world| {
        let it = callee(world);
        let (success, session) = accepted(
            world,
            &it,
            1,
            "Supported: timer\nSession-Expires: 200;refresher=uac",
        );
        let mut side = Side::caller(it.line, &success);
        side.say(world, "UPDATE", "Supported: timer\nSession-Expires: 89");
        let [refused] = world.heard(it.line).try_into().expect("one answer");
        assert_eq!(refused.status(), Some(StatusCode::SESSION_INTERVAL_TOO_SMALL));
        // RFC 4028 section 6: with the least that is taken.
        assert_eq!(field(&refused, HeaderName::MinSe), "90");
        assert_eq!(agreed(world, it.host, session), Some((200, false)));
        side.say(world, "UPDATE", "Supported: timer\nSession-Expires: 400");
        assert_eq!(agreed(world, it.host, session), Some((400, false)));
        // Section 9: the answer says what was agreed; and as any to an UPDATE what this side takes (RFC 3261 section 20.5).
        let [success] = world.heard(it.line).try_into().expect("one answer");
        assert_eq!(expires(&success), "400;refresher=uac");
        assert_eq!(field(&success, HeaderName::Require), "timer");
        assert!(field(&success, HeaderName::Allow).contains("UPDATE"));
        // One that says nothing of it is a refresh all the same.
        side.say(world, "UPDATE", "Supported: timer");
        assert_eq!(agreed(world, it.host, session), Some((400, false)));
        let from = world.now() - WAY;
        until(world, from + secs(368) + WAY);
        assert_eq!(requests(world, it.line, &Method::Bye), []);
        world.run_for(TICK);
        assert_eq!(bye(world, it.line), Some(61014));
        assert_eq!(last(world, it.host, session), EXPIRED);
    });
}

// rules: S11
#[test]
fn a_change_says_how_long_the_session_lasts_and_so_does_its_answer() {
    let offer = "Content-Type: application/sdp\n\nv=1\n";
    world::run(16, |world| {
        // RFC 4028 section 7.4: who refreshes stays as it is.
        let caller = asking_caller(world, 1800);
        let timer = "Session-Expires: 1800;refresher=uas";
        let (call, mut side, _) = answered(world, &caller, &format!("{ALLOW}\n{timer}"));
        command(world, call.host, call.session, |view| {
            view.renegotiate(Method::Invite, sdp())
        })
        .unwrap();
        let change = next_request(world, call.line, &Method::Invite);
        assert_eq!(expires(&change), "1800;refresher=uas");
        let more = format!("Session-Expires: 1200;refresher=uas\n{offer}");
        world.say(call.line, &answer(&change, "200 OK", "t", &more));
        next_request(world, call.line, &Method::Ack);
        assert_eq!(agreed(world, call.host, call.session), Some((1200, false)));
        // Section 9: and of the peer's.
        let more = format!("Supported: timer\nSession-Expires: 900\n{offer}");
        side.say(world, "UPDATE", &more);
        command(world, call.host, call.session, |view| {
            view.accept_renegotiation(sdp())
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let success = world.heard(call.line).pop().unwrap();
        assert_eq!(success.status(), Some(StatusCode::OK));
        assert_eq!(expires(&success), "900;refresher=uac");
    });
}

// rules: S11, X2, X6
#[test]
fn a_session_that_ends_has_no_timer_and_a_command_that_its_end_overtakes_is_no_misuse() {
    world::run(15, |world| {
        let it = callee(world);
        let (_, session) = accepted(
            world,
            &it,
            1,
            "Supported: timer\nSession-Expires: 90;refresher=uac",
        );
        world.run_for(secs(61));
        // The BYE is not answered yet, and the application has not heard of the end.
        assert_eq!(last(world, it.host, session), CONNECTED);
        let sent = command(world, it.host, session, |view| {
            view.send(Method::Info, None, Vec::new())
        });
        let operation = sent.unwrap();
        bye(world, it.line);
        assert_eq!(last(world, it.host, session), EXPIRED);
        assert!(world.ended(it.host, operation).is_some());
        let (_, session) = accepted(
            world,
            &it,
            2,
            "Supported: timer\nSession-Expires: 90;refresher=uac",
        );
        let ended = common::stage::terminate(world, it.host, session);
        let bye = next_request(world, it.line, &Method::Bye);
        world.say(it.line, &answer(&bye, "200 OK", "", ""));
        world.result(it.host, ended).unwrap();
        let census = world.with(it.host, |stack, _| stack.census());
        assert_eq!(census.sessions, 0);
        world.run_for(secs(100));
        assert_eq!(requests(world, it.line, &Method::Bye), []);
    });
}

// rules: S11, X3
#[test]
fn no_refresh_is_sent_again_once_its_session_is_over() {
    world::run(16, |world| {
        let caller = asking_caller(world, 90);
        let (call, _, from) = answered(
            world,
            &caller,
            &format!("{ALLOW}\nSession-Expires: 90;refresher=uac"),
        );
        until(world, from + secs(45) + WAY);
        world.run_for(TICK);
        let update = one(world, call.line, &Method::Update);
        let ended = common::stage::terminate(world, call.host, call.session);
        let bye = next_request(world, call.line, &Method::Bye);
        world.say(call.line, &answer(&bye, "200 OK", "", ""));
        world.result(call.host, ended).unwrap();
        // Now the refresh may be sent again at once, and nobody wants it any more.
        world.say(
            call.line,
            &answer(&update, "503 Service Unavailable", "", "Retry-After: 0"),
        );
        world.run_for(secs(5));
        assert_eq!(requests(world, call.line, &Method::Update), []);
    });
}
