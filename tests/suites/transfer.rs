//! Transfers, as the three who have to do with them see them (rule S14: RFC 3515, 3891, 3892).

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
    Completion, Event, Explanation, ExtraHeaders, Misuse, OperationError, OperationFailure, PeerToPeerConfig,
    ReferralId, ReferralState as Referral, SendOptions, SessionId, SessionReason as Reason,
    SessionState as State, Stack, Time,
};
use sansip_testkit::world::{self, Endpoint, StackId, World};

use common::stage::{
    ALLOW, Call, Side, answer, call, changes, command, connected, counted, ended_by, last, offered, received,
    taken, terminate,
};
use common::{
    Callee, TICK, accept_calls, callee_with, caller, codes, failure_code, field, next_request, request, sdp,
    secs,
};

const TRANSFEREE: &str = "sip:bob@two.invalid";

/// A peer-to-peer endpoint that takes REFER and listens, found under the domain of its URI.
fn phone(world: &mut World, uri: &str) -> Endpoint {
    let host = world.stack();
    let domain = uri.split('@').nth(1).unwrap().to_owned();
    let endpoint = world.peer_to_peer_endpoint(host, taking_refer(uri));
    let address = world.listen(host, 5060);
    world.names.set_addresses(&domain, &[address.ip()]);
    endpoint
}

fn taking_refer(uri: &str) -> PeerToPeerConfig {
    let mut config = PeerToPeerConfig::new(uri);
    config.profile.methods.push(Method::Refer);
    config
}

/// The application accepts every call, and makes every call that it is asked to.
fn follow(world: &mut World, phone: Endpoint) {
    world.on_event(phone.host, move |stack, now, event| {
        if let Event::SessionReceived { session, .. } = event {
            stack.session(now, *session).unwrap().accept(Some(sdp())).unwrap();
        }
        follow_referral(stack, now, phone, event);
    });
}

fn follow_referral(stack: &mut Stack, now: Time, phone: Endpoint, event: &Event) {
    if let Event::ReferReceived {
        session,
        referral,
        target,
        headers,
        ..
    } = event
    {
        let options = SendOptions {
            headers: headers.clone(),
            ..SendOptions::default()
        };
        let mut view = stack.endpoint(now, phone.id).unwrap();
        let (call, _) = view.invite(target, Some(sdp()), options).unwrap();
        let mut view = stack.session(now, *session).unwrap();
        view.accept_referral(*referral, call).unwrap();
    }
}

/// What was told of the REFERs of a stack: when, of which, how far, with which status.
fn told(world: &World, host: StackId) -> Vec<(Time, ReferralId, Referral, Option<u16>)> {
    let told = |(at, event): &(Time, Event)| match event {
        Event::Referral {
            referral,
            state,
            status,
            ..
        } => Some((*at, *referral, *state, status.map(StatusCode::code))),
        _ => None,
    };
    world.events(host).iter().filter_map(told).collect()
}

fn states(world: &World, host: StackId) -> Vec<(Referral, Option<u16>)> {
    told(world, host).into_iter().map(|it| (it.2, it.3)).collect()
}

/// The REFERs that a stack was sent.
fn asked(world: &World, host: StackId) -> Vec<(Time, SessionId, ReferralId, String, ExtraHeaders)> {
    let asked = |(at, event): &(Time, Event)| match event {
        Event::ReferReceived {
            session,
            referral,
            target,
            headers,
            ..
        } => Some((*at, *session, *referral, target.clone(), headers.clone())),
        _ => None,
    };
    world.events(host).iter().filter_map(asked).collect()
}

/// Connects two phones.
fn connect(world: &mut World, from: Endpoint, to: Endpoint, target: &str) -> (SessionId, SessionId) {
    let (session, made) = world.invite(from, target, Some(sdp()));
    world.result(from.host, made).unwrap();
    world.run_for(secs(1));
    (session, *received(world, to.host).last().unwrap())
}

const ENDED: (State, Reason) = (State::Disconnected, Reason::TerminatedRemotely);

// ---------------------------------------------------------------- end to end

// rules: S14
#[test]
fn a_blind_transfer_ends_with_the_other_two_in_a_call() {
    world::run(1, |world| {
        let alice = phone(world, "sip:alice@one.invalid");
        let bob = phone(world, TRANSFEREE);
        let carol = phone(world, "sip:carol@three.invalid");
        follow(world, bob);
        world.on_event(carol.host, |stack, now, event| {
            if let Event::SessionReceived { session, .. } = event {
                let mut view = stack.session(now, *session).unwrap();
                view.provisional(StatusCode::RINGING, None).unwrap();
                view.accept(Some(sdp())).unwrap();
            }
        });
        let (out, into) = connect(world, alice, bob, TRANSFEREE);
        let (_, referred) = command(world, alice.host, out, |view| {
            view.refer("sip:carol@three.invalid", Vec::new())
        })
        .unwrap();
        let result = world.result(alice.host, referred).unwrap();
        assert_eq!(result.response().unwrap().status(), Some(StatusCode::ACCEPTED));
        world.run_for(secs(1));
        assert_eq!(
            states(world, alice.host),
            [
                (Referral::Accepted, Some(202)),
                (Referral::Trying, Some(100)),
                (Referral::Alerted, Some(180)),
                (Referral::Succeeded, Some(200)),
            ]
        );
        let ended = terminate(world, alice.host, out);
        world.result(alice.host, ended).unwrap();
        world.run_for(secs(1));
        assert_eq!(last(world, bob.host, into), Some(ENDED));
        let with_carol = received(world, carol.host)[0];
        assert_eq!(
            last(world, carol.host, with_carol),
            Some((State::Connected, Reason::None))
        );
        // Referred-By is passed on (RFC 3892).
        let invite = world
            .events(carol.host)
            .iter()
            .find_map(|(_, event)| match event {
                Event::SessionReceived { message, .. } => Some(message.clone()),
                _ => None,
            });
        let by = field(&invite.unwrap(), HeaderName::ReferredBy);
        assert_eq!(by, "<sip:alice@one.invalid>");
    });
}

// rules: S14
#[test]
fn an_attended_transfer_takes_the_place_of_the_second_call() {
    world::run(2, |world| {
        let alice = phone(world, "sip:alice@one.invalid");
        let bob = phone(world, TRANSFEREE);
        let carol = phone(world, "sip:carol@three.invalid");
        follow(world, bob);
        accept_calls(world, carol.host);
        let (to_bob, _) = connect(world, alice, bob, TRANSFEREE);
        let (to_carol, at_carol) = connect(world, alice, carol, "sip:carol@three.invalid");
        let target = command(world, alice.host, to_carol, |view| view.replacement()).unwrap();
        command(world, alice.host, to_bob, |view| view.refer(&target, Vec::new())).unwrap();
        world.run_for(secs(2));
        let replaced = world
            .events(carol.host)
            .iter()
            .find_map(|(_, event)| match event {
                Event::SessionReceived {
                    session,
                    replaces: Some(replaces),
                    ..
                } => Some((*session, *replaces)),
                _ => None,
            });
        let (from_bob, replaced) = replaced.unwrap();
        assert_eq!(replaced, at_carol);
        assert_eq!(
            last(world, carol.host, from_bob),
            Some((State::Connected, Reason::None))
        );
        // The stack has ended the call that was replaced, with BYE.
        assert_eq!(
            last(world, carol.host, at_carol),
            Some((State::Disconnected, Reason::TerminatedLocally))
        );
        assert_eq!(last(world, alice.host, to_carol), Some(ENDED));
        assert_eq!(
            states(world, alice.host).last(),
            Some(&(Referral::Succeeded, Some(200)))
        );
    });
}

// rules: S14
#[test]
fn a_call_that_does_not_come_about_is_told_with_its_status() {
    for (status, state) in [
        (StatusCode::BUSY_HERE, Referral::Failed),
        (StatusCode::DECLINE, Referral::Failed),
    ] {
        world::run(3, |world| {
            let alice = phone(world, "sip:alice@one.invalid");
            let bob = phone(world, TRANSFEREE);
            let carol = phone(world, "sip:carol@three.invalid");
            follow(world, bob);
            world.on_event(carol.host, move |stack, now, event| {
                if let Event::SessionReceived { session, .. } = event {
                    stack
                        .session(now, *session)
                        .unwrap()
                        .reject(status, None)
                        .unwrap();
                }
            });
            let (out, _) = connect(world, alice, bob, TRANSFEREE);
            command(world, alice.host, out, |view| {
                view.refer("sip:carol@three.invalid", Vec::new())
            })
            .unwrap();
            world.run_for(secs(2));
            let expected = Some(&(state, Some(status.code())));
            assert_eq!(states(world, alice.host).last(), expected);
            assert_eq!(
                last(world, alice.host, out),
                Some((State::Connected, Reason::None)),
                "the first call goes on"
            );
        });
    }
}

// rules: S14
#[test]
fn a_call_that_ends_before_its_outcome_is_told_as_487_and_one_that_cannot_be_made_as_503() {
    world::run(4, |world| {
        let alice = phone(world, "sip:alice@one.invalid");
        let bob = phone(world, TRANSFEREE);
        let carol = phone(world, "sip:carol@three.invalid");
        follow(world, bob);
        let (out, _) = connect(world, alice, bob, TRANSFEREE);
        let refer = |world: &mut World, target: &str| {
            command(world, alice.host, out, |view| view.refer(target, Vec::new())).unwrap();
            world.run_for(secs(2));
        };
        refer(world, "sip:carol@three.invalid");
        let call = *world
            .with(bob.host, |stack, now| {
                stack.endpoint(now, bob.id).unwrap().sessions()
            })
            .last()
            .unwrap();
        terminate(world, bob.host, call);
        world.run_for(secs(2));
        assert_eq!(received(world, carol.host).len(), 1);
        assert_eq!(
            states(world, alice.host).last(),
            Some(&(Referral::Failed, Some(487)))
        );
        refer(world, "sip:carol@nowhere.invalid");
        assert_eq!(
            states(world, alice.host).last(),
            Some(&(Referral::Failed, Some(503)))
        );
    });
}

// ---------------------------------------------------------------- a REFER of ours, with a scripted peer

/// The peer answers the next REFER.
fn answer_refer(world: &mut World, call: &Call, status: &str) -> Message {
    let refer = next_request(world, call.line, &Method::Refer);
    let contact = "Contact: <sip:carol@10.3.0.1:5060;transport=tcp>";
    world.say(call.line, &answer(&refer, status, "", contact));
    world.run_for(Duration::from_millis(20));
    refer
}

/// A NOTIFY about a REFER.
fn notify(world: &mut World, side: &mut Side, event: &str, state: &str, line: &str) {
    let more = format!(
        "Event: {event}\nSubscription-State: {state}\nContact: <sip:carol@10.3.0.1:5060;transport=tcp>\n\
         Content-Type: message/sipfrag;version=2.0\n\n{line}\r\n"
    );
    side.say(world, "NOTIFY", &more);
}

fn number(refer: &Message) -> u32 {
    refer.cseq().unwrap().number
}

fn refer(world: &mut World, call: &Call, target: &str) -> (ReferralId, sansip::OperationId) {
    command(world, call.host, call.session, |view| {
        view.refer(target, Vec::new())
    })
    .unwrap()
}

fn refers(world: &mut World, call: &Call) -> usize {
    let heard = world.heard(call.line);
    heard
        .iter()
        .filter(|message| message.method() == Some(&Method::Refer))
        .count()
}

// rules: S14
#[test]
fn a_refer_says_whom_to_call_and_who_asks() {
    world::run(5, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let by = ("Referred-By".to_owned(), "<sip:boss@one.invalid>".to_owned());
        refer(
            world,
            &call,
            "sip:dave@four.invalid?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2",
        );
        let first = answer_refer(world, &call, "202 Accepted");
        assert_eq!(
            field(&first, HeaderName::ReferTo),
            "<sip:dave@four.invalid?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>"
        );
        assert_eq!(field(&first, HeaderName::ReferredBy), "<sip:alice@one.invalid>");
        assert!(
            !field(&first, HeaderName::Contact).is_empty(),
            "RFC 3515 section 2.2"
        );
        let mut side = call.side("t");
        notify(
            world,
            &mut side,
            "refer",
            "terminated;reason=noresource",
            "SIP/2.0 200 OK",
        );
        command(world, call.host, call.session, |view| {
            view.refer("sip:dave@four.invalid", vec![by])
        })
        .unwrap();
        let second = next_request(world, call.line, &Method::Refer);
        assert_eq!(field(&second, HeaderName::ReferredBy), "<sip:boss@one.invalid>");
    });
}

// rules: S14, X3
#[test]
fn a_refer_is_refused_or_never_answered() {
    world::run(6, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let (_, refused) = refer(world, &call, "sip:dave@four.invalid");
        answer_refer(world, &call, "603 Decline");
        assert_eq!(failure_code(&world.result(call.host, refused)), 603);
        let (_, lost) = refer(world, &call, "sip:dave@four.invalid");
        next_request(world, call.line, &Method::Refer);
        assert_eq!(world.result(call.host, lost), Err(OperationError::Timeout));
        assert_eq!(
            states(world, call.host),
            [(Referral::Rejected, Some(603)), (Referral::Unanswered, None)]
        );
    });
}

// rules: S14
#[test]
fn several_go_at_once_where_the_first_notify_has_an_id_and_one_by_one_where_it_has_none() {
    for has_id in [true, false] {
        world::run(7, |world| {
            let caller = caller(world);
            let (call, mut side) = connected(world, &caller);
            let ids: Vec<ReferralId> = (0..3)
                .map(|_| refer(world, &call, "sip:dave@four.invalid").0)
                .collect();
            let first = answer_refer(world, &call, "202 Accepted");
            world.run_for(secs(5));
            assert_eq!(refers(world, &call), 0, "nobody knows yet");
            let event = if has_id {
                format!("refer;id={}", number(&first))
            } else {
                "refer".to_owned()
            };
            notify(
                world,
                &mut side,
                &event,
                "active;expires=60",
                "SIP/2.0 100 Trying",
            );
            if has_id {
                let more: Vec<Message> = world
                    .heard(call.line)
                    .into_iter()
                    .filter(|message| message.method() == Some(&Method::Refer))
                    .collect();
                let [second, third] = more.try_into().unwrap();
                for refer in [&second, &third] {
                    world.say(call.line, &answer(refer, "202 Accepted", "", ""));
                }
                // Each hears of its own.
                for (refer, status) in [
                    (&third, "SIP/2.0 486 Busy Here"),
                    (&second, "SIP/2.0 200 OK"),
                    (&first, "SIP/2.0 302 Moved"),
                ] {
                    let event = format!("refer;id={}", number(refer));
                    notify(world, &mut side, &event, "terminated;reason=noresource", status);
                }
                let ends: Vec<_> = told(world, call.host)
                    .into_iter()
                    .filter(|it| it.2.is_final())
                    .map(|it| (it.1, it.3))
                    .collect();
                assert_eq!(
                    ends,
                    [(ids[2], Some(486)), (ids[1], Some(200)), (ids[0], Some(302))]
                );
            } else {
                for _ in 0..2 {
                    world.run_for(secs(5));
                    assert_eq!(refers(world, &call), 0, "one at a time");
                    notify(
                        world,
                        &mut side,
                        "refer",
                        "terminated;reason=noresource",
                        "SIP/2.0 200 OK",
                    );
                    answer_refer(world, &call, "202 Accepted");
                }
            }
        });
    }
}

// rules: S14
#[test]
fn a_notify_may_overtake_the_answer_to_its_refer() {
    world::run(8, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        let (_, operation) = refer(world, &call, "sip:dave@four.invalid");
        let refer = next_request(world, call.line, &Method::Refer);
        let event = format!("refer;id={}", number(&refer));
        notify(
            world,
            &mut side,
            &event,
            "active;expires=60",
            "SIP/2.0 180 Ringing",
        );
        assert_eq!(world.ended(call.host, operation), None);
        world.say(call.line, &answer(&refer, "202 Accepted", "", ""));
        world.run_for(secs(1));
        assert!(world.result(call.host, operation).is_ok());
        assert_eq!(states(world, call.host), [(Referral::Alerted, Some(180))]);
    });
}

// rules: S14
#[test]
fn a_promise_that_is_not_kept_runs_out_at_its_time() {
    world::run(9, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        // No NOTIFY at all: 64*T1 after the 202. One that says 60 s: so long after it.
        for (expires, lasts) in [(None, 32), (Some("active;expires=60"), 60)] {
            refer(world, &call, "sip:dave@four.invalid");
            answer_refer(world, &call, "202 Accepted");
            if let Some(state) = expires {
                notify(world, &mut side, "refer", state, "SIP/2.0 100 Trying");
            }
            let from = told(world, call.host).last().unwrap().0;
            world.run_for((from + secs(lasts)).since(world.now()) - TICK);
            assert!(!told(world, call.host).last().unwrap().2.is_final());
            world.run_for(TICK);
            let end = *told(world, call.host).last().unwrap();
            assert_eq!((end.0, end.2), (from + secs(lasts), Referral::Lapsed));
        }
        // What comes later is about nothing.
        notify(world, &mut side, "refer", "active;expires=60", "SIP/2.0 200 OK");
        assert_eq!(codes(world, call.line).pop(), Some(481));
    });
}

// rules: S14, X2, X7
#[test]
fn a_notify_that_says_nothing_is_refused_and_changes_nothing() {
    world::run(10, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        refer(world, &call, "sip:dave@four.invalid");
        let refer = answer_refer(world, &call, "202 Accepted");
        codes(world, call.line);
        let fragment = "Content-Type: message/sipfrag\n\n";
        let event = format!("Event: refer;id={}", number(&refer));
        let cases = [
            (
                format!("Event: refer;id=1\nSubscription-State: active\n{fragment}SIP/2.0 200 OK"),
                481,
            ),
            (
                format!("Event: refer;id=x\nSubscription-State: active\n{fragment}SIP/2.0 200 OK"),
                481,
            ),
            (format!("{event}\n{fragment}SIP/2.0 200 OK"), 400),
            (
                format!("{event}\nSubscription-State: active\n{fragment}hello"),
                400,
            ),
            (
                format!("{event}\nSubscription-State: active\n{fragment}SIP/2.0 99 Low"),
                400,
            ),
            (
                format!("{event}\nSubscription-State: active\nContent-Type: text/plain\n\nSIP/2.0 200 OK"),
                415,
            ),
            (format!("{event}\nSubscription-State: active"), 415),
        ];
        let malformed = |world: &mut World| counted(world, call.host).malformed;
        for (more, code) in cases {
            let before = malformed(world);
            side.say(world, "NOTIFY", &more);
            let [refused] = world.heard(call.line).try_into().expect("one answer");
            assert_eq!(refused.status().unwrap().code(), code, "{more}");
            // RFC 3261 section 21.4.13: what it takes instead.
            let takes = if code == 415 { "message/sipfrag" } else { "" };
            assert_eq!(field(&refused, HeaderName::Accept), takes, "{more}");
            assert_eq!(malformed(world) - before, u64::from(code == 400), "{more}");
        }
        assert_eq!(states(world, call.host), [(Referral::Accepted, Some(202))]);
    });
}

// rules: S14
#[test]
fn who_says_that_it_will_say_no_more_leaves_the_outcome_unknown() {
    world::run(34, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        // RFC 6665 section 4.1.3: terminated, or active for no time at all.
        for state in ["terminated;reason=timeout", "active;expires=0"] {
            let before = states(world, call.host).len();
            refer(world, &call, "sip:dave@four.invalid");
            answer_refer(world, &call, "202 Accepted");
            notify(world, &mut side, "refer", state, "SIP/2.0 100 Trying");
            assert_eq!(
                states(world, call.host)[before..],
                [
                    (Referral::Accepted, Some(202)),
                    (Referral::Trying, Some(100)),
                    (Referral::Lapsed, None)
                ],
                "{state}"
            );
        }
    });
}

// rules: S14
#[test]
fn an_end_with_parameters_that_cannot_be_read_is_an_end() {
    world::run(33, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        refer(world, &call, "sip:dave@four.invalid");
        answer_refer(world, &call, "202 Accepted");
        codes(world, call.line);
        // Not RFC 6665 section 8.4, and yet what a user agent says.
        notify(
            world,
            &mut side,
            "refer",
            "terminated;reason=reason=noresource",
            "SIP/2.0 200 OK",
        );
        assert_eq!(codes(world, call.line), [200]);
        assert_eq!(
            states(world, call.host).last(),
            Some(&(Referral::Succeeded, Some(200)))
        );
        // What goes on has to say until when.
        notify(
            world,
            &mut side,
            "refer",
            "active;expires=expires=60",
            "SIP/2.0 200 OK",
        );
        assert_eq!(codes(world, call.line), [400]);
    });
}

// rules: S14, X2, X3, X6
#[test]
fn the_end_of_a_session_is_the_end_of_its_refers() {
    world::run(11, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        let waiting = [0, 1].map(|_| refer(world, &call, "sip:dave@four.invalid").1);
        next_request(world, call.line, &Method::Refer);
        side.say(world, "BYE", "");
        for operation in waiting {
            let ended = ended_by(OperationFailure::SessionTerminated);
            assert_eq!(world.ended(call.host, operation), Some(&ended));
        }
        assert_eq!(states(world, call.host), []);
    });
    // What was promised for five minutes is waited for no longer (X6): the connection is let go after one.
    world::run(11, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        refer(world, &call, "sip:dave@four.invalid");
        answer_refer(world, &call, "202 Accepted");
        notify(
            world,
            &mut side,
            "refer",
            "active;expires=300",
            "SIP/2.0 100 Trying",
        );
        side.say(world, "BYE", "");
        world.run_for(secs(100));
        assert_eq!(world.with(call.host, |stack, _| stack.census().timers), 0);
    });
}

// rules: S14, S2, X2
#[test]
fn refer_is_for_connected_and_for_what_can_be_called() {
    world::run(12, |world| {
        let caller = caller(world);
        let ringing = call(world, &caller, Some(sdp()));
        let refused = command(world, caller.host, ringing.session, |view| {
            view.refer("sip:dave@four.invalid", Vec::new())
        });
        assert!(matches!(
            refused,
            Err(Misuse::State {
                operation: "refer",
                ..
            })
        ));
        let (call, _) = connected(world, &caller);
        for target in ["mailto:dave@four.invalid", "dave"] {
            let refused = command(world, call.host, call.session, |view| {
                view.refer(target, Vec::new())
            });
            assert!(matches!(refused, Err(Misuse::Argument { .. })), "{target}");
        }
        let unknown = refer(world, &call, "sip:dave@four.invalid").0;
        let decided = command(world, call.host, call.session, |view| {
            view.reject_referral(unknown, StatusCode::DECLINE)
        });
        assert_eq!(decided, Err(Misuse::Unknown("referral")), "a referral of ours");
    });
}

// ---------------------------------------------------------------- a REFER of the peer

/// A callee that takes REFER, in a call with the scripted peer.
fn referred(world: &mut World) -> (Callee, SessionId, Side) {
    let it = callee_with(world, taking_refer(TRANSFEREE));
    let (session, side) = taken(world, &it, 1);
    codes(world, it.line);
    (it, session, side)
}

fn decide<T>(
    world: &mut World,
    it: &Callee,
    how: impl FnOnce(&mut sansip::SessionView<'_>, ReferralId) -> T,
) -> T {
    let (_, session, referral, ..) = asked(world, it.host).pop().unwrap();
    let decided = command(world, it.host, session, |view| how(view, referral));
    world.run_for(Duration::from_millis(20));
    decided
}

/// The Subscription-State and the status line of each NOTIFY that has come.
fn notifies(world: &mut World, line: world::LineId) -> Vec<(String, String)> {
    let heard = world.heard(line);
    let notify = |message: &Message| {
        (message.method() == Some(&Method::Notify)).then(|| {
            (
                field(message, HeaderName::SubscriptionState),
                String::from_utf8_lossy(message.body_bytes()).trim().to_owned(),
            )
        })
    };
    heard.iter().filter_map(notify).collect()
}

// rules: S14, M6, X7
#[test]
fn a_refer_that_cannot_be_done_is_refused() {
    world::run(13, |world| {
        let (it, _, mut side) = referred(world);
        let cases = [
            ("", 400),
            ("Refer-To: nonsense", 400),
            (
                "Refer-To: <sip:dave@four.invalid>\nRefer-To: <sip:erin@four.invalid>",
                400,
            ),
            ("Refer-To: <sip:dave@four.invalid?Subject=%ff>", 400),
            ("Refer-To: <sip:dave@four.invalid>\nReferred-By: nonsense", 400),
            ("Refer-To: <mailto:dave@four.invalid>", 416),
            ("Refer-To: <sip:dave@four.invalid;method=BYE>", 603),
        ];
        let malformed = |world: &mut World| counted(world, it.host).malformed;
        for (more, code) in cases {
            let before = malformed(world);
            side.say(world, "REFER", more);
            assert_eq!(codes(world, it.line), [code], "{more}");
            assert_eq!(malformed(world) - before, u64::from(code == 400), "{more}");
        }
        // Outside a session there is no dialog to tell of it.
        let outside = request(
            "REFER",
            TRANSFEREE,
            "<sip:bob@two.invalid>",
            9,
            "Contact: <sip:p@10.3.0.1>\nRefer-To: <sip:dave@four.invalid>",
        );
        world.say(it.line, &outside);
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [403]);
        assert_eq!(asked(world, it.host), []);
        // An endpoint that does not take it.
        let it = common::callee(world);
        let (_, mut side) = taken(world, &it, 1);
        codes(world, it.line);
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        assert_eq!(codes(world, it.line), [405]);
    });
}

// rules: S14, E11
#[test]
fn a_refer_names_the_target_and_what_its_invite_is_to_carry() {
    world::run(14, |world| {
        let (it, _, mut side) = referred(world);
        side.say(
            world,
            "REFER",
            "Refer-To: <sip:dave@four.invalid;method=INVITE?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2\
             &Call-ID=stolen&Route=%3Csip:evil.invalid%3E&Subject=x>\nReferred-By: <sip:boss@one.invalid>;cid=\"1@a\"",
        );
        let (_, _, _, target, headers) = asked(world, it.host).pop().unwrap();
        assert_eq!(target, "sip:dave@four.invalid");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            headers,
            [
                pair("Replaces", "a@b;to-tag=1;from-tag=2"),
                pair("Subject", "x"),
                pair("Referred-By", "<sip:boss@one.invalid>;cid=\"1@a\""),
            ]
        );
        let refused = decide(world, &it, |view, id| view.reject_referral(id, StatusCode::OK));
        assert!(matches!(refused, Err(Misuse::Argument { .. })));
        let decide_it = |world: &mut World| {
            decide(world, &it, |view, id| {
                view.reject_referral(id, StatusCode::DECLINE)
            })
        };
        assert_eq!(decide_it(world), Ok(()));
        assert_eq!(codes(world, it.line), [603]);
        assert_eq!(decide_it(world), Err(Misuse::Unknown("referral")), "once");
    });
}

// rules: S14, M9
#[test]
fn a_refer_that_nobody_decides_on_is_answered_500_after_32_seconds() {
    world::run(15, |world| {
        let (it, _, mut side) = referred(world);
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        let came = asked(world, it.host)[0].0;
        // One way takes 10 ms.
        world.run_for((came + secs(32)).since(world.now()) + Duration::from_millis(10) - TICK);
        assert!(codes(world, it.line).is_empty());
        world.run_for(TICK);
        let [lapsed] = world.heard(it.line).try_into().expect("one answer");
        assert_eq!(lapsed.status().unwrap().code(), 500);
        // The stack's own answer says why (S19): the application did not answer in time.
        let why = Explanation::of(&lapsed).diagnostics.map(|it| it.id);
        assert_eq!(why, Some(61001));
        assert_eq!(counted(world, it.host).timeouts.answer, 1);
        // Too late is no misuse (X2).
        let late = decide(world, &it, |view, id| {
            view.reject_referral(id, StatusCode::DECLINE)
        });
        assert_eq!(late, Ok(()));
        assert!(codes(world, it.line).is_empty());
    });
}

// rules: S14
#[test]
fn the_peer_is_told_how_the_call_goes_until_the_promise_is_over() {
    world::run(16, |world| {
        let (it, _, mut side) = referred(world);
        let bob = it.bob;
        // Nobody answers there.
        let silent = world.peer();
        let at = world.peer_listens(silent, 5060, sansip::Transport::Tcp);
        world.names.set_addresses("four.invalid", &[at.ip()]);
        world.on_event(bob.host, move |stack, now, event| {
            follow_referral(stack, now, bob, event)
        });
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid:5060>");
        let came = asked(world, it.host)[0].0;
        let refer = side.cseq;
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(it.line);
        assert_eq!(heard[0].status(), Some(StatusCode::ACCEPTED));
        assert!(
            !field(&heard[0], HeaderName::Contact).is_empty(),
            "a dialog begins with it"
        );
        let first = &heard[1];
        assert_eq!(field(first, HeaderName::Event), format!("refer;id={refer}"));
        assert_eq!(field(first, HeaderName::SubscriptionState), "active;expires=300");
        assert_eq!(
            field(first, HeaderName::ContentType),
            "message/sipfrag;version=2.0"
        );
        assert_eq!(first.body_bytes(), b"SIP/2.0 100 Trying\r\n");
        world.say(it.line, &answer(first, "200 OK", "", ""));
        // It rings for ever, on and on (S12 is off for neither: the bound is 3 min, then CANCEL, 32 s, and no answer).
        let call = world.lines(silent)[0];
        let invite = next_request(world, call, &Method::Invite);
        world.say(call, &answer(&invite, "180 Ringing", "x", ""));
        world.run_for(secs(1));
        let ringing = notifies(world, it.line);
        assert_eq!(ringing.len(), 1);
        assert_eq!(ringing[0].1, "SIP/2.0 180 Ringing");
        assert!(came + secs(300) > world.now());
    });
}

// rules: S14
#[test]
fn nothing_is_told_after_our_bye() {
    world::run(16, |world| {
        let (it, session, mut side) = referred(world);
        let bob = it.bob;
        let fourth = world.peer();
        let at = world.peer_listens(fourth, 5060, sansip::Transport::Tcp);
        world.names.set_addresses("four.invalid", &[at.ip()]);
        world.on_event(bob.host, move |stack, now, event| {
            follow_referral(stack, now, bob, event)
        });
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid:5060>");
        world.run_for(Duration::from_millis(50));
        let call = world.lines(fourth)[0];
        let invite = next_request(world, call, &Method::Invite);
        let first = next_request(world, it.line, &Method::Notify);
        world.say(it.line, &answer(&first, "200 OK", "", ""));
        let ended = terminate(world, it.host, session);
        let bye = next_request(world, it.line, &Method::Bye);
        world.say(call, &answer(&invite, "404 Not Found", "x", ""));
        world.run_for(secs(1));
        assert_eq!(notifies(world, it.line), []);
        world.say(it.line, &answer(&bye, "200 OK", "", ""));
        world.result(it.host, ended).unwrap();
    });
}

// rules: S14, X2
#[test]
fn a_refer_is_decided_on_once() {
    world::run(35, |world| {
        let (it, _, mut side) = referred(world);
        let bob = it.bob;
        world.names.set_addresses("four.invalid", &[world.ip(it.peer)]);
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        let call = world.with(bob.host, |stack, now| {
            let mut view = stack.endpoint(now, bob.id).unwrap();
            view.create_session("sip:dave@four.invalid").unwrap()
        });
        decide(world, &it, |view, id| view.accept_referral(id, call)).unwrap();
        let again = decide(world, &it, |view, id| view.accept_referral(id, call));
        assert_eq!(again, Err(Misuse::Answered));
        let other = decide(world, &it, |view, id| {
            view.reject_referral(id, StatusCode::DECLINE)
        });
        assert_eq!(other, Err(Misuse::Answered));
        assert_eq!(codes(world, it.line), [202]);
    });
}

// rules: S14, X6
#[test]
fn a_promise_to_tell_ends_with_its_session() {
    world::run(39, |world| {
        let (it, _, mut side) = referred(world);
        let bob = it.bob;
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        let call = world.with(bob.host, |stack, now| {
            let mut view = stack.endpoint(now, bob.id).unwrap();
            view.create_session("sip:dave@four.invalid").unwrap()
        });
        decide(world, &it, |view, id| view.accept_referral(id, call)).unwrap();
        let first = next_request(world, it.line, &Method::Notify);
        world.say(it.line, &answer(&first, "200 OK", "", ""));
        side.say(world, "BYE", "");
        world.hang_up(it.line);
        // Five minutes were promised.
        world.run_for(secs(100));
        assert_eq!(world.with(it.host, |stack, _| stack.census().timers), 0);
    });
}

// rules: S14
#[test]
fn before_the_session_is_established_there_is_no_transfer() {
    world::run(36, |world| {
        let it = callee_with(world, taking_refer(TRANSFEREE));
        let session = offered(world, &it, 1, ALLOW);
        command(world, it.host, session, |view| {
            view.provisional(StatusCode::RINGING, None)
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let mut side = Side::caller(it.line, world.heard(it.line).last().unwrap());
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        assert_eq!(codes(world, it.line), [403]);
        assert_eq!(asked(world, it.host), []);
        // Between the 2xx and its ACK there may be one.
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        assert_eq!(codes(world, it.line), [200]);
        assert_eq!(asked(world, it.host).len(), 1);
    });
}

// rules: S14
#[test]
fn a_promise_to_tell_ends_at_its_time_and_by_a_notify_that_is_refused() {
    world::run(17, |world| {
        let (it, _, mut side) = referred(world);
        let bob = it.bob;
        world.names.set_addresses("four.invalid", &[world.ip(it.peer)]);
        // The call is never established, so that nothing comes of it.
        let follow = move |world: &mut World, it: &Callee| {
            let call = world.with(bob.host, |stack, now| {
                let mut view = stack.endpoint(now, bob.id).unwrap();
                view.create_session("sip:dave@four.invalid").unwrap()
            });
            decide(world, it, |view, id| view.accept_referral(id, call)).unwrap();
            call
        };
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        let accepted = world.now();
        follow(world, &it);
        let first = next_request(world, it.line, &Method::Notify);
        world.say(it.line, &answer(&first, "200 OK", "", ""));
        world.run_for((accepted + secs(300)).since(world.now()) + Duration::from_millis(10) - TICK);
        assert_eq!(notifies(world, it.line), []);
        world.run_for(TICK);
        let last = (
            "terminated;reason=timeout".to_owned(),
            "SIP/2.0 100 Trying".to_owned(),
        );
        assert_eq!(notifies(world, it.line), [last]);
        // A NOTIFY that the peer refuses ends the promise, and nothing else (RFC 5057).
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        let call = follow(world, &it);
        let first = next_request(world, it.line, &Method::Notify);
        world.say(it.line, &answer(&first, "481 Gone", "", ""));
        world.run_for(secs(1));
        terminate(world, bob.host, call);
        world.run_for(secs(1));
        assert_eq!(notifies(world, it.line), []);
        let lives = changes(world, it.host, received(world, it.host)[0])
            .pop()
            .unwrap();
        assert_eq!(lives.1, State::Connected);
    });
}

// rules: S14
#[test]
fn a_refer_that_waits_when_its_session_ends_is_answered_487() {
    world::run(18, |world| {
        let (it, session, mut side) = referred(world);
        side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>");
        let (_, _, referral, ..) = asked(world, it.host).pop().unwrap();
        side.say(world, "BYE", "");
        let mut codes = codes(world, it.line);
        codes.sort_unstable();
        assert_eq!(codes, [200, 487]);
        let late = world.with(it.host, |stack, now| {
            stack
                .session(now, session)
                .map(|mut view| view.reject_referral(referral, StatusCode::DECLINE))
        });
        assert!(
            matches!(late, Err(Misuse::Unknown("session"))),
            "its end was told"
        );
    });
}

// rules: S14, S16, X3
#[test]
fn a_refer_that_crosses_a_bye_is_answered_481_and_both_sides_end() {
    world::run(24, |world| {
        let alice = phone(world, "sip:alice@one.invalid");
        let bob = phone(world, TRANSFEREE);
        accept_calls(world, bob.host);
        let (out, into) = connect(world, alice, bob, TRANSFEREE);
        let (_, referred) = command(world, alice.host, out, |view| {
            view.refer("sip:carol@three.invalid", Vec::new())
        })
        .unwrap();
        let ended = terminate(world, bob.host, into);
        world.result(bob.host, ended).unwrap();
        // The BYE is there before the answer.
        let terminated = ended_by(OperationFailure::SessionTerminated);
        assert_eq!(world.result(alice.host, referred), terminated);
        assert_eq!(asked(world, bob.host), []);
        world.run_for(secs(1));
        assert_eq!(last(world, alice.host, out), Some(ENDED));
        assert!(!common::stage::sent(world, bob.host, &["481 Call"]).is_empty());
    });
}

// ---------------------------------------------------------------- Replaces

/// The codes of the answers to an INVITE of the peer with this Replaces; it leaves the session as it is where it is
/// refused.
fn replacing(world: &mut World, it: &Callee, number: u32, replaces: &str) -> Vec<u16> {
    let more = format!(
        "Contact: <sip:p@{};transport=tcp>\n{replaces}\nRequire: replaces",
        world.ip(it.peer)
    );
    codes(world, it.line);
    let invite = request("INVITE", TRANSFEREE, "<sip:bob@two.invalid>", number, &more);
    world.say(it.line, &invite);
    world.run_for(Duration::from_millis(20));
    codes(world, it.line)
}

/// The tags of a session of the callee with the scripted peer: its own, the peer's.
fn tags(side: &Side) -> (String, String) {
    let tag = |value: &str| {
        value
            .split(";tag=")
            .nth(1)
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    };
    (tag(&side.remote), tag(&side.local))
}

// rules: S14
#[test]
fn replaces_that_names_no_dialog_is_refused() {
    world::run(19, |world| {
        let (it, session, side) = referred(world);
        let (own, theirs) = tags(&side);
        let cases = [
            (format!("Replaces: call-9;to-tag={own};from-tag={theirs}"), 481),
            (format!("Replaces: call-1;to-tag=x;from-tag={theirs}"), 481),
            (format!("Replaces: call-1;to-tag={own};from-tag=x"), 481),
            // That is for a dialog whose other side gave no tag (RFC 3891 section 3).
            (format!("Replaces: call-1;to-tag={own};from-tag=0"), 481),
            // From the peer's view.
            (format!("Replaces: call-1;to-tag={theirs};from-tag={own}"), 481),
            // Confirmed, and wanted only while it was early.
            (
                format!("Replaces: call-1;to-tag={own};from-tag={theirs};early-only"),
                486,
            ),
            (format!("Replaces: call-1;to-tag={own}"), 400),
            (
                format!(
                    "Replaces: call-1;to-tag={own};from-tag={theirs}\nReplaces: call-2;to-tag=1;from-tag=2"
                ),
                400,
            ),
            (
                format!("Replaces: call-1;to-tag={own};from-tag={theirs}\nJoin: call-2;to-tag=1;from-tag=2"),
                400,
            ),
        ];
        for (number, (replaces, code)) in (10..).zip(cases) {
            assert_eq!(replacing(world, &it, number, &replaces), [code], "{replaces}");
        }
        let other = format!("Replaces: call-1;to-tag={own};from-tag={theirs}");
        let message = request("MESSAGE", TRANSFEREE, "<sip:bob@two.invalid>", 30, &other);
        world.say(it.line, &message);
        world.run_for(secs(1));
        assert_eq!(codes(world, it.line), [400], "only an INVITE replaces");
        assert_eq!(received(world, it.host), [session]);
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S14
#[test]
fn a_peer_that_gave_no_tag_is_named_by_zero() {
    world::run(38, |world| {
        let it = callee_with(world, taking_refer(TRANSFEREE));
        // RFC 2543 wants no tag of a caller.
        let more = format!("Contact: <sip:p@{};transport=tcp>", world.ip(it.peer));
        let invite = request("INVITE", TRANSFEREE, "<sip:bob@two.invalid>", 1, &more);
        world.say(it.line, &invite.replace(";tag=p1", ""));
        world.run_for(Duration::from_millis(20));
        let old = received(world, it.host)[0];
        command(world, it.host, old, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let mut side = Side::caller(it.line, world.heard(it.line).last().unwrap());
        side.say(world, "ACK", "");
        let own = side.remote.split(";tag=").nth(1).unwrap().to_owned();
        // RFC 3891 section 3.
        let replaces = |tag: &str| format!("Replaces: call-1;to-tag={own};from-tag={tag}");
        assert_eq!(replacing(world, &it, 10, &replaces("1")), [481]);
        assert_eq!(replacing(world, &it, 11, &replaces("0")), [0; 0]);
        assert_eq!(received(world, it.host).len(), 2, "the application decides");
    });
}

// rules: S14
#[test]
fn a_dialog_that_is_being_ended_is_not_replaced() {
    world::run(20, |world| {
        let (it, session, side) = referred(world);
        let (own, theirs) = tags(&side);
        terminate(world, it.host, session);
        let replaces = format!("Replaces: call-1;to-tag={own};from-tag={theirs}");
        assert_eq!(replacing(world, &it, 10, &replaces), [603]);
    });
}

// rules: S14
#[test]
fn an_early_dialog_is_replaced_only_at_its_caller() {
    world::run(21, |world| {
        // The callee's own early dialog.
        let it = callee_with(world, taking_refer(TRANSFEREE));
        let ringing = offered(world, &it, 1, ALLOW);
        command(world, it.host, ringing, |view| {
            view.provisional(StatusCode::RINGING, None)
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(it.line);
        let provisional = heard
            .iter()
            .find(|it| it.status() == Some(StatusCode::RINGING))
            .unwrap();
        let side = Side::caller(it.line, provisional);
        let (own, theirs) = tags(&side);
        let replaces = format!("Replaces: call-1;to-tag={own};from-tag={theirs}");
        assert_eq!(replacing(world, &it, 10, &replaces), [481]);
        // The caller's.
        let caller = caller(world);
        let address = world.listen(caller.host, 5060);
        let out = call(world, &caller, Some(sdp()));
        out.say(world, "180 Ringing", "t", "");
        let (own, theirs) = tags(&out.side("t"));
        let id = field(&out.invite, HeaderName::CallId);
        let line = world.dial(caller.peer, address, None);
        let more = format!(
            "Contact: <sip:p@{};transport=tcp>\nReplaces: {id};to-tag={own};from-tag={theirs};early-only",
            world.ip(caller.peer)
        );
        let alice = "sip:alice@one.invalid";
        world.say(
            line,
            &request("INVITE", alice, "<sip:alice@one.invalid>", 40, &more),
        );
        world.run_for(Duration::from_millis(20));
        let new = received(world, caller.host)[0];
        // Until it is accepted nothing is ended.
        assert_eq!(common::stage::methods(world, out.line), []);
        command(world, caller.host, new, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, line).last(), Some(&200));
        assert_eq!(common::stage::methods(world, out.line), [Method::Cancel]);
    });
}

// rules: S14
#[test]
fn a_session_that_was_to_be_replaced_may_end_first_and_is_left_where_the_other_is_refused() {
    world::run(22, |world| {
        let (it, session, mut side) = referred(world);
        let (own, theirs) = tags(&side);
        let replaces = format!("Replaces: call-1;to-tag={own};from-tag={theirs}");
        assert!(replacing(world, &it, 10, &replaces).is_empty());
        let refused = received(world, it.host)[1];
        command(world, it.host, refused, |view| {
            view.reject(StatusCode::BUSY_HERE, None)
        })
        .unwrap();
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
        assert_eq!(replacing(world, &it, 11, &replaces), [486]);
        side.say(world, "BYE", "");
        let taken = received(world, it.host)[2];
        let accepted = command(world, it.host, taken, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let success = world.heard(it.line).pop().unwrap();
        Side::caller(it.line, &success).say(world, "ACK", "");
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
    });
}

// rules: S14
#[test]
fn a_body_in_a_notify_may_be_more_than_its_status_line() {
    world::run(23, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        refer(world, &call, "sip:dave@four.invalid");
        answer_refer(world, &call, "202 Accepted");
        let more = "SIP/2.0 200 OK\r\nTo: <sip:dave@four.invalid>;tag=1\r\n";
        notify(world, &mut side, "refer", "terminated;reason=noresource", more);
        assert_eq!(
            states(world, call.host).last(),
            Some(&(Referral::Succeeded, Some(200)))
        );
    });
}
