//! Changes of an established session, from either side (S5, S6, with C13, S3, S4, S12, S16, X2, X3). The races are those
//! of RFC 5407, whose sections the tests name.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Completion, Content, Event, Misuse, OperationError, OperationFailure, OperationId, SessionId,
    SessionReason as Reason, SessionState as State, Time,
};
use sansip_testkit::world::{self, LineId, StackId, World};

use common::stage::{
    ALLOW, SESSION_TERMINATED, answer, call, command, confirm, connected, counted, ended_by, info, last,
    methods, offered, pair, sent, taken, terminate,
};
use common::{TICK, callee, caller, codes, failure_code, field, next_line, next_request, sdp, secs, wire};

const SDP: &str = "Content-Type: application/sdp";
const HOLD: &str = "Content-Type: application/sdp\n\nv=1\n";
const METHODS: [Method; 2] = [Method::Invite, Method::Update];

fn body(text: &str) -> Content {
    Content::new("application/sdp", text.to_owned())
}

fn run_to(world: &mut World, time: Time) {
    let rest = time.since(world.now());
    world.run_for(rest);
}

/// The application offers a change.
fn renegotiate(world: &mut World, host: StackId, session: SessionId, method: Method) -> OperationId {
    command(world, host, session, |view| {
        view.renegotiate(method, body("offer"))
    })
    .unwrap()
}

fn accept(world: &mut World, host: StackId, session: SessionId) -> OperationId {
    command(world, host, session, |view| {
        view.accept_renegotiation(body("answer"))
    })
    .unwrap()
}

/// The application takes every change that its peers offer.
fn accept_changes(world: &mut World, host: StackId) {
    world.on_event(host, |stack, now, event| {
        if let Event::RenegotiationReceived { session, .. } = event {
            let taken = stack
                .session(now, *session)
                .unwrap()
                .accept_renegotiation(body("answer"));
            taken.unwrap();
        }
    });
}

/// What an application has seen of changes, in order.
fn seen(world: &World, host: StackId) -> Vec<String> {
    let text = |content: &Content| String::from_utf8_lossy(&content.body).trim().to_owned();
    let change = |(_, event): &(Time, Event)| match event {
        Event::RenegotiationReceived { offer, message, .. } => {
            let offer = offer.as_ref().map_or_else(|| "nothing".to_owned(), text);
            Some(format!("{} {offer}", message.method().unwrap().as_str()))
        }
        Event::RenegotiationWithdrawn { .. } => Some("withdrawn".to_owned()),
        Event::AnswerReceived { answer, .. } => Some(format!("answer {}", text(answer))),
        _ => None,
    };
    world.events(host).iter().filter_map(change).collect()
}

/// The next request of a stack in the dialog has this target.
#[track_caller]
fn assert_target(world: &mut World, (host, session): (StackId, SessionId), line: LineId, target: &str) {
    let told = info(world, host, session);
    let request = confirm(world, line, &Method::Info, "200 OK");
    assert_eq!(request.request_uri(), target);
    assert!(world.result(host, told).is_ok());
}

#[track_caller]
fn assert_changed(result: &Result<Completion, OperationError>) {
    let status = result
        .as_ref()
        .ok()
        .and_then(Completion::response)
        .and_then(Message::status);
    assert_eq!(status, Some(StatusCode::OK), "{result:?}");
}

/// The requests of this method that a line has brought, with their times, when the peer says nothing for so long.
fn heard(world: &mut World, line: LineId, method: &Method) -> Vec<Message> {
    let all = world.heard(line);
    all.into_iter()
        .filter(|message| message.method() == Some(method))
        .collect()
}

// ---------------------------------------------------------------- a change and what comes of it

// rules: S5, S6, X3, X6
#[test]
fn either_side_changes_the_session_by_invite_or_update() {
    for method in METHODS {
        for from_caller in [true, false] {
            world::run(1, |world| {
                let it = pair(world, false);
                let ends = [(it.a, it.out), (it.b, it.into)];
                let [(host, session), (other, _)] = if from_caller { ends } else { [ends[1], ends[0]] };
                accept_changes(world, other);
                let before = seen(world, host).len();
                let changed = renegotiate(world, host, session, method.clone());
                assert_changed(&world.result(host, changed));
                world.run_for(secs(1));
                assert_eq!(seen(world, host)[before..], ["answer answer"]);
                assert_eq!(
                    seen(world, other).last().unwrap(),
                    &format!("{} offer", method.as_str())
                );
                for (host, session) in ends {
                    assert_eq!(last(world, host, session), Some((State::Connected, Reason::None)));
                }
                let acks = usize::from(method == Method::Invite);
                assert_eq!(
                    sent(world, host, &["ACK sip:"]).len(),
                    acks + usize::from(from_caller)
                );
                let ended = terminate(world, host, session);
                assert_eq!(world.result(host, ended), Ok(Completion::Done));
            });
        }
    }
}

// rules: S6, S4
#[test]
fn a_change_that_the_peer_takes_refreshes_the_target_at_both_ends() {
    for method in METHODS {
        world::run(2, |world| {
            let it = callee(world);
            let (session, mut side) = taken(world, &it, 1);
            let contact = "Contact: <sip:moved@198.51.100.7:5090;transport=tcp>";
            side.say(world, method.as_str(), &format!("{contact}\n{HOLD}"));
            let accepted = accept(world, it.host, session);
            world.run_for(Duration::from_millis(20));
            let success = world.heard(it.line).pop().unwrap();
            assert_eq!(success.status(), Some(StatusCode::OK));
            assert_eq!(success.body_bytes(), b"answer");
            assert!(
                !field(&success, HeaderName::Contact).is_empty()
                    && !field(&success, HeaderName::Allow).is_empty()
            );
            if method == Method::Invite {
                assert_eq!(world.ended(it.host, accepted), None, "it waits for the ACK");
                side.say_numbered(world, "ACK", side.cseq, "");
            }
            assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
            assert_target(
                world,
                (it.host, session),
                it.line,
                "sip:moved@198.51.100.7:5090;transport=tcp",
            );
        });
        world::run(3, |world| {
            let caller = caller(world);
            let (call, _) = connected(world, &caller);
            let changed = renegotiate(world, call.host, call.session, method.clone());
            let request = next_request(world, call.line, &method);
            assert_eq!(request.body_bytes(), b"offer");
            assert!(
                !field(&request, HeaderName::Contact).is_empty(),
                "a target refresh"
            );
            let more = format!("Contact: <sip:moved@198.51.100.9;transport=tcp>\n{SDP}\n\nv=2\n");
            world.say(call.line, &answer(&request, "200 OK", "t", &more));
            assert_changed(&world.result(call.host, changed));
            let target = "sip:moved@198.51.100.9;transport=tcp";
            if method == Method::Invite {
                let ack = next_request(world, call.line, &Method::Ack);
                assert_eq!(ack.request_uri(), target);
                let (ack, invite) = (ack.cseq().unwrap().number, request.cseq().unwrap().number);
                assert_eq!(ack, invite);
            }
            assert_target(world, (call.host, call.session), call.line, target);
        });
    }
}

// rules: S5, S6
#[test]
fn a_reinvite_without_offer_gets_ours_and_its_ack_brings_the_answer() {
    world::run(4, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        side.say(world, "INVITE", "Contact: <sip:p@198.51.100.1>");
        assert_eq!(seen(world, it.host), ["INVITE nothing"]);
        let accepted = command(world, it.host, session, |view| {
            view.accept_renegotiation(body("offer"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        assert_eq!(world.heard(it.line).pop().unwrap().body_bytes(), b"offer");
        side.say_numbered(world, "ACK", side.cseq, &format!("{SDP}\n\nv=3\n"));
        assert_eq!(seen(world, it.host), ["INVITE nothing", "answer v=3"]);
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
    });
}

// rules: S6, S4
#[test]
fn a_refused_change_leaves_the_session_as_it_was() {
    for method in METHODS {
        world::run(5, |world| {
            let it = callee(world);
            let (session, mut side) = taken(world, &it, 1);
            side.say(
                world,
                method.as_str(),
                &format!("Contact: <sip:other@198.51.100.1>\n{HOLD}"),
            );
            command(world, it.host, session, |view| {
                view.reject_renegotiation(StatusCode::NOT_ACCEPTABLE_HERE, Some("No video"))
            })
            .unwrap();
            world.run_for(Duration::from_millis(20));
            let heard = world.heard(it.line);
            let refused: Vec<_> = heard
                .iter()
                .filter_map(|it| Some((it.status()?.code(), it.reason())))
                .filter(|(code, _)| *code > 100)
                .collect();
            assert_eq!(refused, [(488, &b"No video"[..])], "{method:?}");
            if method == Method::Invite {
                side.say_numbered(world, "ACK", side.cseq, "");
            }
            let target = format!("sip:p@{};transport=tcp", world.ip(it.peer));
            assert_target(world, (it.host, session), it.line, &target);
            assert_eq!(
                last(world, it.host, session),
                Some((State::Connected, Reason::None))
            );
        });
        world::run(6, |world| {
            let caller = caller(world);
            let (call, _) = connected(world, &caller);
            let changed = renegotiate(world, call.host, call.session, method.clone());
            let request = next_request(world, call.line, &method);
            let more = "Contact: <sip:other@198.51.100.1>";
            world.say(call.line, &answer(&request, "488 Not Acceptable Here", "t", more));
            assert_eq!(failure_code(&world.result(call.host, changed)), 488);
            assert_target(
                world,
                (call.host, call.session),
                call.line,
                "sip:carol@10.3.0.1:5060;transport=tcp",
            );
            // The next one may begin at once, and so may the peer's.
            renegotiate(world, call.host, call.session, method.clone());
        });
    }
}

// RFC 3261 section 14.2
// rules: S6
#[test]
fn a_caller_refuses_a_change_and_keeps_the_session() {
    for method in METHODS {
        world::run(7, |world| {
            let caller = caller(world);
            let (call, mut side) = connected(world, &caller);
            side.say(
                world,
                method.as_str(),
                &format!("Contact: <sip:other@198.51.100.1>\n{HOLD}"),
            );
            command(world, call.host, call.session, |view| {
                view.reject_renegotiation(StatusCode::NOT_ACCEPTABLE_HERE, None)
            })
            .unwrap();
            world.run_for(Duration::from_millis(20));
            assert_eq!(codes(world, call.line), [488], "{method:?}");
            if method == Method::Invite {
                side.say_numbered(world, "ACK", side.cseq, "");
            }
            assert_target(
                world,
                (call.host, call.session),
                call.line,
                "sip:carol@10.3.0.1:5060;transport=tcp",
            );
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Connected, Reason::None))
            );
        });
    }
}

// rules: S2, S6, X2
#[test]
fn one_change_at_a_time_and_only_in_a_session_that_lasts() {
    world::run(7, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, HOLD);
        let misuse = |result: Result<OperationId, Misuse>| {
            assert!(matches!(result, Err(Misuse::State { .. })), "{result:?}");
        };
        let change = |world: &mut World, session| {
            command(world, it.host, session, |view| {
                view.renegotiate(Method::Invite, sdp())
            })
        };
        misuse(change(world, session));
        misuse(command(world, it.host, session, |view| {
            view.accept_renegotiation(sdp())
        }));
        let (session, mut side) = taken(world, &it, 2);
        let wrong = command(world, it.host, session, |view| {
            view.renegotiate(Method::Info, sdp())
        });
        assert!(matches!(wrong, Err(Misuse::Argument { .. })), "{wrong:?}");
        misuse(command(world, it.host, session, |view| {
            view.accept_renegotiation(sdp())
        }));
        assert!(!command(world, it.host, session, |view| view.cancel_renegotiation()));
        change(world, session).unwrap();
        misuse(change(world, session));
        confirm(world, it.line, &Method::Invite, "488 No");
        side.say(world, "UPDATE", HOLD);
        misuse(change(world, session));
        for code in [399, 700] {
            let status = StatusCode::new(code).unwrap_or(StatusCode::OK);
            let wrong = command(world, it.host, session, |view| {
                view.reject_renegotiation(status, None)
            });
            assert!(matches!(wrong, Err(Misuse::Argument { .. })), "{wrong:?}");
        }
        accept(world, it.host, session);
        misuse(command(world, it.host, session, |view| {
            view.accept_renegotiation(sdp())
        }));
        change(world, session).unwrap();
    });
}

// rules: M9, S6
#[test]
fn a_change_that_nobody_decides_on_is_answered_500_after_32_seconds() {
    for method in METHODS {
        world::run(8, |world| {
            let it = callee(world);
            let (session, mut side) = taken(world, &it, 1);
            side.say(world, method.as_str(), HOLD);
            let asked = world.events(it.host).last().unwrap().0;
            run_to(world, asked + secs(32) - TICK);
            assert_eq!(sent(world, it.host, &["SIP/2.0 500"]), []);
            assert_eq!(seen(world, it.host), [format!("{} v=1", method.as_str())]);
            world.run_for(TICK);
            assert_eq!(sent(world, it.host, &["SIP/2.0 500"]), [asked + secs(32)]);
            assert_eq!(seen(world, it.host)[1..], ["withdrawn"]);
            assert_eq!(counted(world, it.host).timeouts.answer, 1);
            let late = command(world, it.host, session, |view| view.accept_renegotiation(sdp()));
            assert!(matches!(late, Err(Misuse::State { .. })), "{late:?}");
            assert_eq!(
                last(world, it.host, session),
                Some((State::Connected, Reason::None))
            );
        });
    }
}

// ---------------------------------------------------------------- offers that meet

// rules: S5
#[test]
fn a_change_of_the_peer_that_meets_ours_is_answered_491() {
    for ours in METHODS {
        for theirs in METHODS {
            world::run(10, |world| {
                let caller = caller(world);
                let (call, mut side) = connected(world, &caller);
                let changed = renegotiate(world, call.host, call.session, ours.clone());
                let request = next_request(world, call.line, &ours);
                side.say(world, theirs.as_str(), HOLD);
                assert_eq!(codes(world, call.line), [491], "{ours:?}, {theirs:?}");
                assert!(!seen(world, call.host).contains(&format!("{} v=1", theirs.as_str())));
                if theirs == Method::Invite {
                    side.say_numbered(world, "ACK", side.cseq, "");
                }
                // One that offers nothing is no change.
                side.say(world, "UPDATE", "");
                assert_eq!(codes(world, call.line), [200]);
                world.say(call.line, &answer(&request, "200 OK", "t", HOLD));
                assert_changed(&world.result(call.host, changed));
            });
        }
    }
}

// rules: S5
#[test]
fn who_gets_a_491_asks_once_more_after_the_time_of_his_role() {
    for method in METHODS {
        for owner in [true, false] {
            let waits = RefCell::new(BTreeSet::new());
            for seed in 0..12 {
                world::run(seed, |world| {
                    let (host, session, line) = if owner {
                        let caller = caller(world);
                        let (call, _) = connected(world, &caller);
                        (call.host, call.session, call.line)
                    } else {
                        let it = callee(world);
                        let (session, _) = taken(world, &it, 1);
                        (it.host, session, it.line)
                    };
                    let changed = renegotiate(world, host, session, method.clone());
                    let first = confirm(world, line, &method, "491 Request Pending");
                    let words = [&format!("{} sip:", method.as_str())[..]];
                    let arrived = sent(world, host, &["ACK sip:"]).last().copied();
                    let before = sent(world, host, &words).len();
                    world.run_until(|world| sent(world, host, &words).len() > before);
                    let wait = |from: Time| sent(world, host, &words).last().unwrap().since(from);
                    if method == Method::Invite {
                        // The ACK to the 491 goes out as it comes.
                        let wait = u64::try_from(wait(arrived.unwrap()).as_micros()).unwrap();
                        assert_eq!(wait % 10_000, 0, "{wait}");
                        let range = if owner {
                            2_100_000..=4_000_000
                        } else {
                            0..=2_000_000
                        };
                        assert!(range.contains(&wait), "{wait}");
                        waits.borrow_mut().insert(wait);
                    }
                    let second = confirm(world, line, &method, "491 Request Pending");
                    assert_eq!(second.body_bytes(), first.body_bytes());
                    assert!(second.cseq().unwrap().number > first.cseq().unwrap().number);
                    assert_eq!(
                        failure_code(&world.result(host, changed)),
                        491,
                        "once more, not for ever"
                    );
                    assert_eq!(last(world, host, session).unwrap().0, State::Connected);
                });
            }
            let drawn = waits.into_inner();
            assert!(
                method == Method::Update || drawn.len() > 6,
                "drawn from the seed: {drawn:?}"
            );
        }
    }
}

// rules: S5
#[test]
fn a_second_change_before_the_first_is_answered_gets_500_with_retry_after() {
    let told = RefCell::new(BTreeSet::new());
    for seed in 0..30 {
        for first in METHODS {
            for second in METHODS {
                world::run(seed, |world| {
                    let it = callee(world);
                    let (session, mut side) = taken(world, &it, 1);
                    side.say(world, first.as_str(), HOLD);
                    let number = side.cseq;
                    if first == Method::Invite {
                        // One that offers nothing is no change.
                        side.say(world, "UPDATE", "");
                        assert_eq!(codes(world, it.line), [200]);
                    }
                    side.say(world, second.as_str(), HOLD);
                    let refused = world.heard(it.line).pop().unwrap();
                    assert_eq!(refused.status().unwrap().code(), 500, "{first:?}, {second:?}");
                    let wait: u32 = field(&refused, HeaderName::RetryAfter).parse().unwrap();
                    assert!(wait <= 10);
                    told.borrow_mut().insert(wait);
                    assert_eq!(seen(world, it.host), [format!("{} v=1", first.as_str())]);
                    // The first is as it was.
                    let accepted = accept(world, it.host, session);
                    if first == Method::Invite {
                        world.run_for(Duration::from_millis(20));
                        side.say_numbered(world, "ACK", number, "");
                    }
                    assert_eq!(world.result(it.host, accepted), Ok(Completion::Done));
                });
            }
        }
    }
    // RFC 3261 section 14.2: 0 to 10 seconds.
    assert_eq!(told.into_inner(), (0..=10).collect());
}

// rules: E12, S6
#[test]
fn a_retry_after_is_waited_for_up_to_the_cap_and_where_the_endpoint_wants_it() {
    // 5 minutes by default.
    for (wants, wait, again) in [(true, 300, true), (true, 301, false), (false, 3, false)] {
        world::run(45, |world| {
            let caller = caller(world);
            let mut config = sansip::PeerToPeerConfig::new("sip:anna@one.invalid");
            config.profile.retry_after = wants;
            let alice = world.peer_to_peer_endpoint(caller.host, config);
            let (call, _) = connected(world, &common::Caller { alice, ..caller });
            let changed = renegotiate(world, call.host, call.session, Method::Update);
            let request = next_request(world, call.line, &Method::Update);
            let busy = answer(&request, "500 Later", "t", &format!("Retry-After: {wait}"));
            world.say(call.line, &busy);
            world.run_for(secs(wait + 1));
            assert_eq!(world.ended(call.host, changed).is_none(), again, "{wants} {wait}");
            let sent = heard(world, call.line, &Method::Update);
            assert_eq!(sent.len(), usize::from(again));
        });
    }
}

// RFC 3261 section 9.1: only an INVITE can be cancelled.
// rules: S6
#[test]
fn an_update_that_is_on_its_way_is_not_given_up() {
    world::run(46, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Update);
        let request = next_request(world, call.line, &Method::Update);
        let given_up = command(world, call.host, call.session, |view| view.cancel_renegotiation());
        assert!(!given_up);
        // It goes on as if nobody had asked: it is offered once more after a 491.
        world.say(call.line, &answer(&request, "491 Request Pending", "t", ""));
        let again = next_request(world, call.line, &Method::Update);
        world.say(call.line, &answer(&again, "200 OK", "t", HOLD));
        assert_changed(&world.result(call.host, changed));
        assert_eq!(seen(world, call.host).last().unwrap(), "answer v=1");
    });
}

// rules: E12, S6
#[test]
fn a_retry_after_is_waited_for_once() {
    world::run(11, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        for _ in 0..2 {
            let request = next_request(world, call.line, &Method::Invite);
            let busy = answer(&request, "500 Later", "t", "Retry-After: 3");
            world.say(call.line, &busy);
            next_request(world, call.line, &Method::Ack);
        }
        let times = sent(world, call.host, &["INVITE sip:"]);
        let acks = sent(world, call.host, &["ACK sip:"]);
        assert_eq!(times[2].since(acks[1]), secs(3));
        assert_eq!(failure_code(&world.result(call.host, changed)), 500);
    });
}

// rules: S5, S6, S16, X3
#[test]
fn rfc_5407_section_3_3_1_and_3_3_2_changes_that_cross_both_come_about() {
    for (ours, theirs) in METHODS
        .into_iter()
        .flat_map(|ours| METHODS.map(|theirs| (ours.clone(), theirs)))
    {
        world::run(12, |world| {
            let it = pair(world, false);
            accept_changes(world, it.a);
            accept_changes(world, it.b);
            let (asked, before) = (world.now(), seen(world, it.a).len());
            let one = renegotiate(world, it.a, it.out, ours.clone());
            let other = renegotiate(world, it.b, it.into, theirs.clone());
            assert_changed(&world.result(it.a, one));
            assert_changed(&world.result(it.b, other));
            world.run_for(secs(1));
            assert_eq!(sent(world, it.a, &["SIP/2.0 491"]).len(), 1);
            assert_eq!(sent(world, it.b, &["SIP/2.0 491"]).len(), 1);
            // Who does not own the Call-ID goes first.
            let last = seen(world, it.a)[before..].to_vec();
            assert_eq!(
                last,
                [format!("{} offer", theirs.as_str()), "answer answer".to_owned()]
            );
            assert!(world.now().since(asked) < secs(8));
        });
    }
}

// RFC 3311 section 5.2: an UPDATE before the last one is answered, whether or not it offers anything.
// rules: S5
#[test]
fn an_update_that_offers_nothing_waits_for_the_answer_to_the_one_before_it() {
    world::run(47, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        codes(world, it.line);
        side.say(world, "UPDATE", HOLD);
        side.say(world, "UPDATE", "");
        let [refused] = world.heard(it.line).try_into().expect("one answer");
        assert_eq!(refused.status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
        assert!(!field(&refused, HeaderName::RetryAfter).is_empty());
        accept(world, it.host, session);
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, it.line), [200]);
        side.say(world, "UPDATE", "");
        assert_eq!(codes(world, it.line), [200]);
    });
}

// rules: S6
#[test]
fn a_change_that_was_cancelled_is_not_offered_again() {
    world::run(48, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        world.say(call.line, &answer(&request, "180 Ringing", "t", ""));
        world.run_for(Duration::from_millis(20));
        assert!(command(world, call.host, call.session, |view| view.cancel_renegotiation()));
        confirm(world, call.line, &Method::Cancel, "200 OK");
        // Its final response says nothing of the session any more, whatever it is.
        world.say(call.line, &answer(&request, "491 Request Pending", "t", ""));
        world.run_for(secs(10));
        assert_eq!(heard(world, call.line, &Method::Invite), []);
        assert!(world.ended(call.host, changed).is_some());
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
    });
}

// RFC 3311 section 5.1: an UPDATE may come before the ACK; an offer that the 2xx has left without an answer is void.
// rules: S5
#[test]
fn a_2xx_without_an_answer_ends_the_offer_of_its_invite() {
    world::run(53, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, HOLD);
        command(world, it.host, session, |view| view.accept(None)).unwrap();
        world.run_for(Duration::from_millis(20));
        let said = world.heard(it.line);
        let mut side = common::stage::Side::caller(it.line, said.last().unwrap());
        side.say(world, "UPDATE", HOLD);
        assert_eq!(codes(world, it.line), [0; 0]);
        assert_eq!(seen(world, it.host), ["UPDATE v=1"]);
    });
}

// RFC 3261 section 14.2: our INVITE is in progress until its ACK has gone out.
// rules: S5
#[test]
fn a_reinvite_before_our_ack_is_answered_491() {
    world::run(50, |world| {
        let caller = caller(world);
        let call = call(world, &caller, None);
        call.say(world, "200 OK", "t", HOLD);
        call.side("t").say(world, "INVITE", HOLD);
        assert_eq!(codes(world, call.line), [491]);
        command(world, call.host, call.session, |view| view.answer(sdp())).unwrap();
        next_request(world, call.line, &Method::Ack);
    });
}

// RFC 3261 sections 13.2.2.4 and 14.1: each INVITE has 64*T1 of its own.
// rules: S3
#[test]
fn the_2xx_to_a_reinvite_is_acknowledged_again_whenever_the_first_invite_was() {
    world::run(51, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        world.run_for(secs(33));
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        let success = answer(&request, "200 OK", "t", HOLD);
        world.say(call.line, &success);
        next_request(world, call.line, &Method::Ack);
        assert_changed(&world.result(call.host, changed));
        // With a branch that is none of ours no transaction takes it.
        world.say(call.line, &success.replace("branch=z9hG4bK", "branch=z9hG4bKx"));
        world.run_for(Duration::from_millis(20));
        assert_eq!(methods(world, call.line), [Method::Ack]);
    });
}

// rules: S6, S10
#[test]
fn what_a_cancelled_change_is_answered_says_nothing_of_the_session() {
    for status in ["408 Request Timeout", "487 Request Terminated"] {
        world::run(52, |world| {
            let caller = caller(world);
            let (call, _) = connected(world, &caller);
            let changed = renegotiate(world, call.host, call.session, Method::Invite);
            let request = next_request(world, call.line, &Method::Invite);
            world.say(call.line, &answer(&request, "180 Ringing", "t", ""));
            world.run_for(Duration::from_millis(20));
            assert!(command(world, call.host, call.session, |view| view.cancel_renegotiation()));
            confirm(world, call.line, &Method::Cancel, "200 OK");
            world.say(call.line, &answer(&request, status, "t", ""));
            world.run_for(secs(1));
            assert!(world.ended(call.host, changed).is_some());
            assert_eq!(heard(world, call.line, &Method::Bye), [], "{status}");
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Connected, Reason::None))
            );
        });
    }
}

// rules: S6, C13
#[test]
fn a_change_that_is_lost_with_its_connection_leaves_the_session() {
    for method in METHODS {
        world::run(49, |world| {
            let caller = caller(world);
            let (call, _) = connected(world, &caller);
            let changed = renegotiate(world, call.host, call.session, method.clone());
            next_request(world, call.line, &method);
            world.hang_up(call.line);
            let lost = world.result(call.host, changed);
            assert!(
                matches!(lost, Err(OperationError::ConnectionFailure(_))),
                "{lost:?}"
            );
            world.run_for(secs(40));
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Connected, Reason::None))
            );
        });
    }
}

// rules: S6, X2
#[test]
fn a_change_waits_for_one_of_the_peer_that_the_application_has_not_seen() {
    world::run(13, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        side.say(world, "INVITE", HOLD);
        let number = side.cseq;
        accept(world, it.host, session);
        // The ACK is missing yet.
        let changed = renegotiate(world, it.host, session, Method::Invite);
        world.run_for(secs(1));
        assert_eq!(heard(world, it.line, &Method::Invite), []);
        side.say_numbered(world, "ACK", number, "");
        let request = next_request(world, it.line, &Method::Invite);
        world.say(it.line, &answer(&request, "200 OK", "", HOLD));
        assert_changed(&world.result(it.host, changed));
        // One that waits can be given up before it has left.
        side.say(world, "INVITE", HOLD);
        accept(world, it.host, session);
        let changed = renegotiate(world, it.host, session, Method::Update);
        assert!(command(world, it.host, session, |view| view.cancel_renegotiation()));
        assert_eq!(
            world.result(it.host, changed),
            ended_by(OperationFailure::Aborted)
        );
        side.say_numbered(world, "ACK", side.cseq, "");
        world.run_for(secs(1));
        assert_eq!(heard(world, it.line, &Method::Update), []);
    });
}

// ---------------------------------------------------------------- given up

// rules: S6, S10
#[test]
fn a_reinvite_is_cancelled_after_its_first_provisional_response() {
    world::run(20, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        assert!(command(world, call.host, call.session, |view| view.cancel_renegotiation()));
        world.run_for(secs(1));
        assert_eq!(
            heard(world, call.line, &Method::Cancel),
            [],
            "not before a response"
        );
        world.say(call.line, &answer(&request, "100 Trying", "", ""));
        confirm(world, call.line, &Method::Cancel, "200 OK");
        assert!(
            command(world, call.host, call.session, |view| view.cancel_renegotiation()),
            "armed"
        );
        world.say(call.line, &answer(&request, "487 Request Terminated", "t", ""));
        assert_eq!(
            world.result(call.host, changed),
            ended_by(OperationFailure::Aborted)
        );
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
        assert!(!command(world, call.host, call.session, |view| view.cancel_renegotiation()));
    });
}

// rules: S6, S16
#[test]
fn a_2xx_that_crosses_the_cancel_of_a_reinvite_has_changed_the_session() {
    world::run(21, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        world.say(call.line, &answer(&request, "100 Trying", "", ""));
        world.run_for(Duration::from_millis(20));
        assert!(command(world, call.host, call.session, |view| view.cancel_renegotiation()));
        world.say(call.line, &answer(&request, "200 OK", "t", HOLD));
        next_request(world, call.line, &Method::Ack);
        assert_changed(&world.result(call.host, changed));
        assert_eq!(seen(world, call.host).last().unwrap(), "answer v=1");
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S6, X2
#[test]
fn the_peer_may_cancel_what_the_application_has_not_decided() {
    world::run(22, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        side.say(world, "INVITE", HOLD);
        let number = side.cseq;
        side.cancel(world, number);
        let mut said = codes(world, it.line);
        said.sort_unstable();
        assert_eq!(said, [200, 487]);
        assert_eq!(seen(world, it.host), ["INVITE v=1", "withdrawn"]);
        side.say_numbered(world, "ACK", number, "");
        // One that is overtaken succeeds as a call (X2): here the cancel comes with the change that follows.
        side.say(world, "INVITE", HOLD);
        let conn = world.conns_of(it.host)[0];
        let bytes = wire(&side.cancel_text(side.cseq));
        let taken = world.with_bytes(it.host, (conn, &bytes), |stack, now| {
            stack.session(now, session).unwrap().accept_renegotiation(sdp())
        });
        assert_eq!(
            world.result(it.host, taken.unwrap()),
            ended_by(OperationFailure::Aborted)
        );
        assert_eq!(seen(world, it.host)[2..], ["INVITE v=1", "withdrawn"]);
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S12, S6
#[test]
fn a_reinvite_that_rings_is_given_up_after_three_minutes() {
    world::run(23, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        let begun = *sent(world, call.host, &["INVITE sip:"]).last().unwrap();
        world.say(call.line, &answer(&request, "180 Ringing", "t", ""));
        run_to(world, begun + secs(180) - TICK);
        assert_eq!(sent(world, call.host, &["CANCEL sip:"]), []);
        world.run_for(TICK);
        assert_eq!(sent(world, call.host, &["CANCEL sip:"]), [begun + secs(180)]);
        confirm(world, call.line, &Method::Cancel, "200 OK");
        world.say(call.line, &answer(&request, "487 Request Terminated", "t", ""));
        assert_eq!(world.result(call.host, changed), Err(OperationError::Timeout));
        assert_eq!(counted(world, call.host).timeouts.establish, 1);
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
    });
}

// ---------------------------------------------------------------- what ends the session

// rules: S6
#[test]
fn a_408_or_481_to_a_change_ends_the_session() {
    for method in METHODS {
        for (status, reason, byes) in [
            ("481 No Such Call", Reason::SessionDoesNotExist, 0),
            ("408 Request Timeout", Reason::Timeout, 1),
        ] {
            world::run(30, |world| {
                let caller = caller(world);
                let (call, _) = connected(world, &caller);
                let changed = renegotiate(world, call.host, call.session, method.clone());
                confirm(world, call.line, &method, status);
                let code: u16 = status[..3].parse().unwrap();
                assert_eq!(failure_code(&world.result(call.host, changed)), code);
                if byes > 0 {
                    // What the application commands meanwhile is overtaken (X2).
                    let told = info(world, call.host, call.session);
                    assert_eq!(world.result(call.host, told), ended_by(SESSION_TERMINATED));
                    confirm(world, call.line, &Method::Bye, "200 OK");
                }
                assert_eq!(
                    last(world, call.host, call.session),
                    Some((State::Disconnected, reason))
                );
                assert_eq!(sent(world, call.host, &["BYE sip:"]).len(), byes);
            });
        }
    }
}

// rules: S6
#[test]
fn a_change_that_nobody_answers_ends_the_session_after_64_times_t1() {
    for method in METHODS {
        world::run(31, |world| {
            let caller = caller(world);
            let (call, _) = connected(world, &caller);
            let changed = renegotiate(world, call.host, call.session, method.clone());
            next_request(world, call.line, &method);
            let words = [&format!("{} sip:", method.as_str())[..]];
            let begun = *sent(world, call.host, &words).last().unwrap();
            run_to(world, begun + secs(32) - TICK);
            assert_eq!(world.ended(call.host, changed), None);
            world.run_for(TICK);
            assert_eq!(
                world.ended(call.host, changed),
                Some(&Err(OperationError::Timeout))
            );
            world.run_for(secs(64));
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Disconnected, Reason::Timeout))
            );
        });
    }
}

// rules: S3, S6
#[test]
fn a_2xx_to_a_reinvite_without_ack_is_repeated_and_ends_the_session_after_64_times_t1() {
    world::run(32, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        side.say(world, "INVITE", HOLD);
        let accepted = accept(world, it.host, session);
        let begun = world.now();
        world.run_for(secs(32) - TICK);
        assert_eq!(world.ended(it.host, accepted), None);
        let number = format!("CSeq: {} INVITE", side.cseq);
        let again: Vec<u64> = sent(world, it.host, &["SIP/2.0 200", "INVITE"])
            .iter()
            .filter(|at| **at >= begun)
            .map(|at| u64::try_from(at.since(begun).as_millis()).unwrap())
            .collect();
        let expected = [
            0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ];
        assert_eq!(again, expected, "{number}");
        world.run_for(TICK);
        assert_eq!(
            world.ended(it.host, accepted),
            Some(&Err(OperationError::Timeout))
        );
        assert_eq!(counted(world, it.host).timeouts.ack, 1);
        confirm(world, it.line, &Method::Bye, "200 OK");
        assert_eq!(
            last(world, it.host, session),
            Some((State::Disconnected, Reason::Timeout))
        );
    });
}

// rules: S3
#[test]
fn a_repeated_2xx_to_a_reinvite_is_acknowledged_again() {
    world::run(33, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        let success = answer(&request, "200 OK", "t", HOLD);
        for wait in [0, 1, 25] {
            world.run_for(secs(wait));
            world.say(call.line, &success);
            let ack = next_request(world, call.line, &Method::Ack);
            assert_eq!(ack.cseq().unwrap().number, request.cseq().unwrap().number);
        }
        assert_changed(&world.result(call.host, changed));
        // That of the first INVITE has its own.
        call.say(world, "200 OK", "t", &format!("{ALLOW}\n{HOLD}"));
        let ack = next_request(world, call.line, &Method::Ack);
        assert_eq!(ack.cseq().unwrap().number, call.invite.cseq().unwrap().number);
    });
}

// ---------------------------------------------------------------- RFC 5407

// rules: S16, S5
#[test]
fn rfc_5407_section_3_1_4_a_reinvite_in_place_of_a_lost_ack_is_taken() {
    world::run(40, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, HOLD);
        let accepted = command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let mut side = world
            .heard(it.line)
            .into_iter()
            .find(|m| m.status() == Some(StatusCode::OK))
            .map(|success| common::stage::Side::caller(it.line, &success))
            .unwrap();
        side.say(world, "INVITE", HOLD);
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
        let changed = accept(world, it.host, session);
        world.run_for(Duration::from_millis(20));
        // And the same for the ACK of a re-INVITE.
        side.say(world, "INVITE", HOLD);
        assert_eq!(world.ended(it.host, changed), Some(&Ok(Completion::Done)));
        let again = accept(world, it.host, session);
        world.run_for(Duration::from_millis(20));
        side.say_numbered(world, "ACK", side.cseq, "");
        assert_eq!(world.ended(it.host, again), Some(&Ok(Completion::Done)));
    });
}

// rules: S6
#[test]
fn an_ack_is_not_that_of_a_change_which_is_not_answered_yet() {
    world::run(42, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, HOLD);
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(it.line);
        let success = heard.iter().find(|m| m.status() == Some(StatusCode::OK)).unwrap();
        let mut side = common::stage::Side::caller(it.line, success);
        let number = success.cseq().unwrap().number;
        // With the number of the INVITE, whose ACK comes after it.
        side.say_numbered(world, "INVITE", number, "");
        side.say_numbered(world, "ACK", number, "");
        side.cseq = number;
        side.say(world, "UPDATE", HOLD);
        // RFC 3311 section 5.2: another one is not answered yet, and is still to be decided on.
        assert_eq!(codes(world, it.line), [500]);
        accept(world, it.host, session);
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, it.line), [200]);
    });
}

// rules: S16, S5
#[test]
fn rfc_5407_section_3_1_5_a_reinvite_before_the_answer_in_the_ack_is_answered_491() {
    world::run(41, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        let accepted = command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let success = world
            .heard(it.line)
            .into_iter()
            .find(|m| m.status() == Some(StatusCode::OK));
        let mut side = common::stage::Side::caller(it.line, &success.unwrap());
        side.say(world, "INVITE", HOLD);
        assert!(codes(world, it.line).contains(&491));
        side.say_numbered(world, "ACK", side.cseq, "");
        assert_eq!(world.ended(it.host, accepted), None);
        side.say_numbered(world, "ACK", 1, &format!("{SDP}\n\nv=5\n"));
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
        assert_eq!(seen(world, it.host), ["answer v=5"]);
    });
}

// rules: S16
#[test]
fn rfc_5407_section_3_2_2_a_reinvite_that_crosses_our_bye_is_answered_481() {
    world::run(42, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        let ended = terminate(world, it.host, session);
        side.say(world, "INVITE", HOLD);
        assert_eq!(codes(world, it.line), [481]);
        side.say_numbered(world, "ACK", side.cseq, "");
        assert_eq!(world.ended(it.host, ended), None);
        world.run_for(Duration::from_millis(20));
        let bye = sent(world, it.host, &["BYE sip:"]);
        assert_eq!(bye.len(), 1);
        assert_eq!(seen(world, it.host), Vec::<String>::new());
    });
}

// rules: S16, S6, X3
#[test]
fn rfc_5407_section_3_2_3_a_2xx_to_our_reinvite_that_crosses_a_bye_is_acknowledged() {
    // Our own BYE.
    world::run(43, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        let ended = terminate(world, call.host, call.session);
        let bye = next_request(world, call.line, &Method::Bye);
        world.say(call.line, &answer(&request, "200 OK", "t", HOLD));
        let ack = next_request(world, call.line, &Method::Ack);
        assert_eq!(ack.cseq().unwrap().number, request.cseq().unwrap().number);
        world.say(call.line, &answer(&bye, "200 OK", "t", ""));
        assert_eq!(world.result(call.host, ended), Ok(Completion::Done));
        assert_eq!(world.result(call.host, changed), ended_by(SESSION_TERMINATED));
    });
    // The peer's.
    world::run(44, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let request = next_request(world, call.line, &Method::Invite);
        side.say(world, "BYE", "");
        assert_eq!(world.result(call.host, changed), ended_by(SESSION_TERMINATED));
        assert_eq!(codes(world, call.line), [200]);
        world.say(call.line, &answer(&request, "200 OK", "t", HOLD));
        let ack = next_request(world, call.line, &Method::Ack);
        assert_eq!(ack.cseq().unwrap().number, request.cseq().unwrap().number);
        world.run_for(secs(1));
        assert_eq!(methods(world, call.line), [], "and no BYE");
    });
}

// rules: S16, S6
#[test]
fn a_bye_that_comes_while_its_own_reinvite_waits_ends_both() {
    for method in METHODS {
        world::run(45, |world| {
            let it = callee(world);
            let (session, mut side) = taken(world, &it, 1);
            side.say(world, method.as_str(), HOLD);
            side.say(world, "BYE", "");
            let mut said = codes(world, it.line);
            said.sort_unstable();
            assert_eq!(said, [200, 487], "RFC 3261 section 15.1.2");
            assert_eq!(
                last(world, it.host, session),
                Some((State::Disconnected, Reason::TerminatedRemotely))
            );
        });
    }
}

// ---------------------------------------------------------------- connections

// rules: C13, S6, S18
#[test]
fn a_reinvite_after_the_loss_of_the_connection_tells_the_new_contact() {
    world::run(50, |world| {
        let caller = caller(world);
        // A peer that takes no UPDATE.
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "200 OK", "t", HOLD);
        next_request(world, call.line, &Method::Ack);
        world.result(call.host, call.made).unwrap();
        world.break_off(call.line);
        world.run_for(secs(1));
        let known = world.lines(caller.peer).len();
        let changed = renegotiate(world, call.host, call.session, Method::Invite);
        let line = next_line(world, caller.peer, known);
        let request = next_request(world, line, &Method::Invite);
        let contact = field(&request, HeaderName::Contact);
        assert_ne!(contact, field(&call.invite, HeaderName::Contact), "a new port");
        let via = field(&request, HeaderName::Via);
        let port = via
            .split(['/', ' ', ';'])
            .find(|part| part.contains(':'))
            .unwrap()
            .to_owned();
        assert!(contact.contains(&port), "{contact} {via}");
        world.say(line, &answer(&request, "200 OK", "t", HOLD));
        assert_changed(&world.result(call.host, changed));
    });
}
