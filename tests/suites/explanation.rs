//! What is said besides: why something is refused or ended, who asserts what of a caller, and that a phone still rings
//! (rules S19, S20, S21).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::wire::header::{Header, MsDiagnostics, PAssertedIdentity, Privacy, Reason, field};
use sansip::wire::{Message, Method, StatusCode};
use sansip::{DiagnosticsFrom, Event, Explanation, ExtraHeaders, Misuse, SendOptions, SessionState as State};
use sansip_testkit::world::{self, LineId, StackId, World};

use common::stage::{ALLOW, BOB, CAROL, Side, call, command, connected, offered, sent, taken, terminate};
use common::{Callee, TICK, callee, caller, next_line, next_request, request, sdp, secs};

fn busy_elsewhere() -> ExtraHeaders {
    let mut reason = Reason::new("SIP");
    reason.params.set("cause", "600");
    reason.params.set_quoted("text", "Busy Everywhere");
    vec![field(&reason)]
}

fn asserted(value: &str) -> PAssertedIdentity<'_> {
    PAssertedIdentity::parse(value).unwrap()
}

/// The cause and the words of the Reason in a message.
fn cause(message: &Message) -> Option<(u32, String)> {
    let explanation = Explanation::of(message);
    let reason = explanation.reasons.first()?;
    Some((reason.cause()?, reason.text()?.into_owned()))
}

fn elsewhere() -> Option<(u32, String)> {
    Some((600, "Busy Everywhere".to_owned()))
}

/// The number of the diagnostics in a message.
fn diagnostics(message: &Message) -> Option<u32> {
    Explanation::of(message).diagnostics.map(|it| it.id)
}

/// The final responses that a line has brought.
fn finals(world: &mut World, line: LineId) -> Vec<Message> {
    let heard = world.heard(line);
    let is_final = |message: &Message| message.status().is_some_and(StatusCode::is_final);
    heard.into_iter().filter(is_final).collect()
}

#[track_caller]
fn only_final(world: &mut World, line: LineId) -> Message {
    let [message] = finals(world, line).try_into().expect("one final response");
    message
}

fn explained(world: &World, host: StackId) -> Vec<Message> {
    let explained = |(_, event): &(_, Event)| match event {
        Event::Explained { message, .. } => Some((**message).clone()),
        _ => None,
    };
    world.events(host).iter().filter_map(explained).collect()
}

// ---------------------------------------------------------------- S20

// rules: S20
#[test]
fn what_the_application_attaches_goes_with_what_is_sent_next_and_with_nothing_after() {
    world::run(1, |world| {
        let it = callee(world);
        let asserted = asserted("<sip:bob@two.invalid>");
        let session = offered(world, &it, 1, ALLOW);
        let attach = |world: &mut World, headers: ExtraHeaders| {
            command(world, it.host, session, |view| view.attach(headers)).unwrap();
        };
        attach(world, vec![field(&asserted)]);
        attach(world, busy_elsewhere());
        command(world, it.host, session, |view| {
            view.provisional(StatusCode::RINGING, None)
        })
        .unwrap();
        world.run_for(secs(1));
        let heard = world.heard(it.line);
        let ringing = heard
            .iter()
            .find(|it| it.status() == Some(StatusCode::RINGING))
            .unwrap();
        assert_eq!(cause(ringing), elsewhere());
        let identity = ringing.list::<PAssertedIdentity<'_>>().next().unwrap().unwrap();
        assert_eq!(identity.0.uri.to_string(), "sip:bob@two.invalid");
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(30));
        let success = only_final(world, it.line);
        assert_eq!(cause(&success), None, "once");
        // With the 2xx itself, too.
        let session = offered(world, &it, 2, ALLOW);
        command(world, it.host, session, |view| {
            view.attach(busy_elsewhere()).unwrap();
            view.accept(Some(sdp()))
        })
        .unwrap();
        world.run_for(Duration::from_millis(30));
        assert_eq!(cause(&only_final(world, it.line)), elsewhere());
    });
}

// rules: S20
#[test]
fn a_refusal_a_redirection_a_bye_and_a_cancel_carry_the_reason_of_the_application() {
    world::run(2, |world| {
        let it = callee(world);
        for redirects in [false, true] {
            let session = offered(world, &it, 1 + u32::from(redirects), ALLOW);
            command(world, it.host, session, |view| {
                view.attach(busy_elsewhere()).unwrap();
                if redirects {
                    view.redirect(StatusCode::MOVED_TEMPORARILY, &["sip:x@y.invalid"])
                } else {
                    view.reject(StatusCode::BUSY_HERE, None)
                }
            })
            .unwrap();
            world.run_for(secs(1));
            assert_eq!(cause(&only_final(world, it.line)), elsewhere());
        }
        let session = offered(world, &it, 3, ALLOW);
        command(world, it.host, session, |view| view.attach(busy_elsewhere())).unwrap();
        terminate(world, it.host, session);
        world.run_for(secs(1));
        let declined = only_final(world, it.line);
        assert_eq!((cause(&declined), diagnostics(&declined)), (elsewhere(), None));
        let (session, _) = taken(world, &it, 4);
        command(world, it.host, session, |view| view.attach(busy_elsewhere())).unwrap();
        terminate(world, it.host, session);
        let bye = next_request(world, it.line, &Method::Bye);
        assert_eq!((cause(&bye), diagnostics(&bye)), (elsewhere(), None));

        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "180 Ringing", "t", "");
        command(world, call.host, call.session, |view| {
            view.attach(busy_elsewhere())
        })
        .unwrap();
        terminate(world, call.host, call.session);
        let cancel = next_request(world, call.line, &Method::Cancel);
        assert_eq!(cause(&cancel), elsewhere());
    });
}

// rules: S20, E11
#[test]
fn what_is_the_stacks_own_or_for_a_session_that_ends_is_not_attached() {
    world::run(3, |world| {
        let it = callee(world);
        let (session, _) = taken(world, &it, 1);
        let own = vec![("Call-ID".to_owned(), "x".to_owned())];
        let refused = command(world, it.host, session, |view| view.attach(own));
        assert!(matches!(refused, Err(Misuse::Argument { .. })));
        let late = command(world, it.host, session, |view| {
            view.terminate();
            view.attach(busy_elsewhere())
        });
        assert!(matches!(late, Err(Misuse::State { .. })));
    });
}

// rules: S20
#[test]
fn an_invite_carries_asserted_identity_and_privacy_both_ways() {
    world::run(4, |world| {
        let caller = caller(world);
        let asserted = asserted("\"Alice\" <sip:alice@one.invalid>");
        let privacy = Privacy::parse("id;critical").unwrap();
        let options = SendOptions {
            headers: vec![field(&asserted), field(&privacy)],
            ..SendOptions::default()
        };
        world.with(caller.host, |stack, now| {
            let mut view = stack.endpoint(now, caller.alice.id).unwrap();
            view.invite(CAROL, None, options).unwrap();
        });
        let line = next_line(world, caller.peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        let said = |message: &Message| {
            let identity = message.list::<PAssertedIdentity<'_>>().next().unwrap().unwrap();
            let privacy = message.typed::<Privacy<'_>>().unwrap().unwrap();
            (
                identity.0.uri.to_string(),
                privacy.contains("id"),
                privacy.contains("user"),
            )
        };
        assert_eq!(said(&invite), ("sip:alice@one.invalid".to_owned(), true, false));
        let it = callee(world);
        offered(
            world,
            &it,
            1,
            "P-Asserted-Identity: <sip:p@peer.invalid>\nPrivacy: id",
        );
        let received = world.events(it.host).iter().find_map(|(_, event)| match event {
            Event::SessionReceived { message, .. } => Some(message.clone()),
            _ => None,
        });
        assert_eq!(
            said(&received.unwrap()),
            ("sip:p@peer.invalid".to_owned(), true, false)
        );
    });
}

// rules: S19, S20, X3
#[test]
fn a_bye_and_a_cancel_that_say_why_are_told_before_the_end() {
    world::run(5, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        let why = "Reason: Q.850;cause=16;text=\"Terminated\"\nms-client-diagnostics: 51004;reason=\"Ended\"";
        side.say(world, "BYE", why);
        let events = world.events(it.host);
        let told = events
            .iter()
            .position(|(_, event)| matches!(event, Event::Explained { session: of, .. } if *of == session));
        let ended = events.iter().position(|(_, event)| {
            matches!(event, Event::Session { session: of, new: State::Disconnected, .. } if *of == session)
        });
        assert!(told.unwrap() < ended.unwrap());
        let bye = explained(world, it.host).pop().unwrap();
        assert_eq!(cause(&bye), Some((16, "Terminated".to_owned())));
        let diagnostics = Explanation::of(&bye).diagnostics.unwrap();
        assert_eq!(
            (diagnostics.from, diagnostics.id),
            (DiagnosticsFrom::Client, 51004)
        );
        // A CANCEL.
        offered(world, &it, 2, ALLOW);
        let cancel = request(
            "CANCEL",
            BOB,
            "<sip:bob@two.invalid>",
            2,
            "Reason: SIP;cause=200;text=\"Call completed elsewhere\"",
        );
        world.say(it.line, &cancel);
        world.run_for(secs(1));
        let cancel = explained(world, it.host).pop().unwrap();
        assert_eq!(cause(&cancel), Some((200, "Call completed elsewhere".to_owned())));
        // One that says nothing.
        finals(world, it.line);
        let (_, mut side) = taken(world, &it, 3);
        side.say(world, "BYE", "");
        assert_eq!(explained(world, it.host).len(), 2);
    });
}

// rules: S19, S20
#[test]
fn a_refusal_says_why_in_the_failure_of_its_operation() {
    world::run(6, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        let why = "ms-diagnostics: 1003;reason=\"User does not exist\";source=\"a.invalid\"";
        call.say(world, "404 Not Found", "t", why);
        let failure = world.result(call.host, call.made).unwrap_err();
        let found = Explanation::of(failure.response().unwrap()).diagnostics.unwrap();
        assert_eq!((found.from, found.id), (DiagnosticsFrom::Server, 1003));
        assert_eq!(found.reason().as_deref(), Some("User does not exist"));
    });
}

// ---------------------------------------------------------------- S19: the stack's own

#[track_caller]
fn refused(world: &mut World, it: &Callee, status: u16, id: u32) {
    let message = only_final(world, it.line);
    let code = message.status().map(StatusCode::code);
    assert_eq!((code, diagnostics(&message)), (Some(status), Some(id)));
    let diagnostics = message.typed::<MsDiagnostics<'_>>().unwrap().unwrap();
    assert!(diagnostics.reason().is_some());
}

// rules: S19
#[test]
fn what_the_stack_refuses_says_why() {
    world::run(7, |world| {
        let it = callee(world);
        let ask = |world: &mut World, method: &str, uri: &str, to: &str, number: u32| {
            let more = format!("Contact: <sip:p@{}>", world.ip(it.peer));
            world.say(it.line, &request(method, uri, to, number, &more));
            world.run_for(Duration::from_millis(30));
        };
        ask(world, "BYE", BOB, "<sip:bob@two.invalid>;tag=x", 1);
        refused(world, &it, 481, 24083);
        ask(
            world,
            "MESSAGE",
            "sip:nobody@two.invalid",
            "<sip:nobody@two.invalid>",
            2,
        );
        refused(world, &it, 404, 61008);
        let (_, side) = taken(world, &it, 3);
        finals(world, it.line);
        side.say_numbered(world, "INFO", 9, "");
        finals(world, it.line);
        side.say_numbered(world, "INFO", 8, "");
        refused(world, &it, 500, 61010);
        // An INVITE that nobody answers: three minutes.
        offered(world, &it, 4, ALLOW);
        world.run_for(secs(181));
        refused(world, &it, 480, 61001);
        // A host that goes down takes no calls.
        world.with(it.host, |stack, now| stack.drain(now, secs(60)));
        ask(world, "INVITE", BOB, "<sip:bob@two.invalid>", 5);
        refused(world, &it, 480, 61006);
    });
}

// rules: S19
#[test]
fn what_the_stack_ends_says_why() {
    world::run(8, |world| {
        // No ACK.
        let it = callee(world);
        let session = offered(world, &it, 1, ALLOW);
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(secs(33));
        let bye = next_request(world, it.line, &Method::Bye);
        assert_eq!(diagnostics(&bye), Some(61002));
        // An offer in a 2xx that the application never answers.
        let caller = caller(world);
        let call = call(world, &caller, None);
        call.say(
            world,
            "200 OK",
            "t",
            &format!("{ALLOW}\nContent-Type: application/sdp\n\nv=0\n"),
        );
        world.run_for(secs(33));
        let bye = next_request(world, call.line, &Method::Bye);
        assert_eq!(diagnostics(&bye), Some(61003));
        // A fork that comes too late.
        let (call, _) = connected(world, &caller);
        call.say(world, "200 OK", "other", ALLOW);
        let bye = next_request(world, call.line, &Method::Bye);
        assert_eq!(diagnostics(&bye), Some(61005));
        // Its endpoint.
        world.terminate(caller.alice);
        world.run_for(secs(1));
        let bye = next_request(world, call.line, &Method::Bye);
        assert_eq!(diagnostics(&bye), Some(24081));
    });
}

// ---------------------------------------------------------------- S21

fn ringing(world: &mut World, line: LineId) -> Vec<u16> {
    let heard = world.heard(line);
    let code = |message: &Message| message.status().map(StatusCode::code);
    heard.iter().filter_map(code).filter(|code| *code > 100).collect()
}

// rules: S21
#[test]
fn a_phone_that_rings_says_so_again_every_minute() {
    world::run(9, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, ALLOW);
        world.run_for(secs(100));
        assert!(ringing(world, it.line).is_empty(), "it has not said so yet");
        let ring = |world: &mut World, status| {
            command(world, it.host, session, |view| view.provisional(status, None)).unwrap();
            let at = world.now();
            world.run_for(Duration::from_millis(20));
            assert_eq!(ringing(world, it.line), [status.code()]);
            at
        };
        ring(world, StatusCode::RINGING);
        world.run_for(secs(10));
        // Another one takes its place: a minute from then on.
        let began = ring(world, StatusCode::SESSION_PROGRESS);
        let way = Duration::from_millis(10);
        world.run_for((began + secs(60) + way).since(world.now()) - TICK);
        assert!(ringing(world, it.line).is_empty());
        world.run_for(TICK);
        assert_eq!(ringing(world, it.line), [183]);
        // Three minutes are over then (S12).
        world.run_for(secs(60));
        assert_eq!(ringing(world, it.line), [480]);
        world.run_for(secs(120));
        assert!(ringing(world, it.line).is_empty());
    });
}

// rules: S21, X6
#[test]
fn a_call_that_is_answered_refused_or_cancelled_rings_no_more() {
    world::run(10, |world| {
        let it = callee(world);
        for (number, code) in [(1, 200), (2, 486), (3, 487)] {
            let session = offered(world, &it, number, ALLOW);
            command(world, it.host, session, |view| {
                view.provisional(StatusCode::RINGING, None)
            })
            .unwrap();
            world.run_for(secs(30));
            assert_eq!(ringing(world, it.line), [180]);
            match code {
                200 => {
                    command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
                    world.run_for(Duration::from_millis(20));
                    let success = only_final(world, it.line);
                    Side::caller(it.line, &success).say(world, "ACK", "");
                }
                486 => command(world, it.host, session, |view| {
                    view.reject(StatusCode::BUSY_HERE, None)
                })
                .unwrap(),
                _ => {
                    let cancel = request("CANCEL", BOB, "<sip:bob@two.invalid>", number, "");
                    world.say(it.line, &cancel);
                }
            }
            world.run_for(secs(100));
            let heard = ringing(world, it.line);
            assert!(!heard.contains(&180), "{code}: {heard:?}");
        }
        assert!(!sent(world, it.host, &["180 Ringing"]).is_empty());
    });
}

// rules: S21
#[test]
fn an_ack_out_of_place_does_not_silence_a_phone_that_rings() {
    world::run(11, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, ALLOW);
        command(world, it.host, session, |view| {
            view.provisional(StatusCode::RINGING, None)
        })
        .unwrap();
        let began = world.now();
        world.run_for(Duration::from_millis(20));
        let ringing_once = world.heard(it.line).pop().unwrap();
        assert_eq!(ringing_once.status(), Some(StatusCode::RINGING));
        // In the early dialog, and of another transaction than the INVITE: there is nothing that it could acknowledge.
        Side::caller(it.line, &ringing_once).say(world, "ACK", "");
        let way = Duration::from_millis(10);
        world.run_for((began + secs(60) + way).since(world.now()) - TICK);
        assert!(ringing(world, it.line).is_empty());
        world.run_for(TICK);
        assert_eq!(ringing(world, it.line), [180]);
    });
}

// rules: S21, X6
#[test]
fn a_call_that_has_rung_holds_no_more_than_one_that_has_not() {
    let timers_of = |rings: bool| {
        let mut world = World::new(12);
        let it = callee(&mut world);
        let session = offered(&mut world, &it, 1, ALLOW);
        if rings {
            command(&mut world, it.host, session, |view| {
                view.provisional(StatusCode::RINGING, None)
            })
            .unwrap();
        }
        command(&mut world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let success = only_final(&mut world, it.line);
        Side::caller(it.line, &success).say(&mut world, "ACK", "");
        let state = command(&mut world, it.host, session, |view| view.state());
        assert_eq!(state, State::Connected);
        let timers = world.with(it.host, |stack, _| stack.census().timers);
        world.finish();
        timers
    };
    assert_eq!(timers_of(true), timers_of(false));
}
