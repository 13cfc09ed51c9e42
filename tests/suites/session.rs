//! Signaling sessions, as their applications and their peers see them (group S of the rules, with C9, C13, X2, X3, X6).

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
    Completion, Config, Content, Counters, EarlyDialog, Event, Misuse, OperationError, OperationId,
    PeerToPeerConfig, RedirectAction, ReferralId, ReliableResponses, SendOptions, SessionId,
    SessionReason as Reason, SessionState as State, SessionView, Stack, Time, Transport,
};
use sansip_testkit::world::{self, Endpoint, LineId, Reachability, StackId, World};

use common::stage::{
    ALLOW, BOB, CAROL, Call, Pair, SESSION_TERMINATED, Side, answer, assert_established, call, changes,
    command, confirm, connected, counted, ended_by, info, last, methods, offered, pair, received, sent,
    states, taken, terminate,
};
use common::{
    Callee, Caller, TICK, accept_calls, callee, callee_with, caller, codes, failure_code, field,
    hold_requests, next_line, next_request, registered, request, sdp, secs, served,
};

/// RFC 3261: timers B, F, H and what follows them are 64*T1.
const T1_64: Duration = Duration::from_secs(32);

// ---------------------------------------------------------------- S1: states and reasons

// rules: S1, S10, X3, X6
#[test]
fn a_call_through_the_front_end_is_connected_and_ended() {
    world::run(1, |world| {
        let server = served(world);
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        accept_calls(world, bob.host);
        let (out, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(alice.host, made).unwrap();
        world.run_for(secs(1));
        let into = received(world, bob.host)[0];
        let both = [
            (State::Connecting, Reason::None),
            (State::Connected, Reason::None),
        ];
        assert_eq!(states(world, alice.host, out), both);
        assert_eq!(states(world, bob.host, into), both);
        let ended = terminate(world, alice.host, out);
        world.result(alice.host, ended).unwrap();
        assert_eq!(
            last(world, alice.host, out),
            Some((State::Disconnected, Reason::TerminatedLocally))
        );
        assert_eq!(
            last(world, bob.host, into),
            Some((State::Disconnected, Reason::TerminatedRemotely))
        );
    });
}

// rules: S1, M2
#[test]
fn every_refusal_has_its_reason() {
    let cases = [
        (486, Reason::Busy),
        (600, Reason::Busy),
        (487, Reason::Canceled),
        (603, Reason::Declined),
        (605, Reason::Declined),
        (406, Reason::NotAcceptable),
        (488, Reason::NotAcceptableMedia),
        (606, Reason::NotAcceptableMedia),
        (480, Reason::TemporarilyUnavailable),
        (481, Reason::SessionDoesNotExist),
        (408, Reason::Timeout),
        (404, Reason::Unreachable),
        (500, Reason::Unreachable),
        (503, Reason::Unreachable),
        (504, Reason::Unreachable),
        (513, Reason::Unreachable),
    ];
    world::run(2, |world| {
        let caller = caller(world);
        for (code, reason) in cases {
            for ringing in [false, true] {
                let session = {
                    let (session, made) = world.invite(caller.alice, CAROL, Some(sdp()));
                    let line = match world.lines(caller.peer).last() {
                        Some(line) => *line,
                        None => next_line(world, caller.peer, 0),
                    };
                    let invite = next_request(world, line, &Method::Invite);
                    let call = Call {
                        host: caller.host,
                        session,
                        made,
                        line,
                        invite,
                    };
                    if ringing {
                        call.say(world, "180 Ringing", "t", "");
                    }
                    call.say(world, &format!("{code} No"), "t", "");
                    assert_eq!(failure_code(&world.result(call.host, made)), code);
                    assert!(
                        methods(world, line).contains(&Method::Ack),
                        "{code} is acknowledged"
                    );
                    session
                };
                let alerted = ringing.then_some((State::Alerted, Reason::ProvisionalResponseReceived));
                let expected: Vec<_> = [(State::Connecting, Reason::None)]
                    .into_iter()
                    .chain(alerted)
                    .chain([(State::Disconnected, reason)])
                    .collect();
                assert_eq!(states(world, caller.host, session), expected, "{code}");
            }
        }
    });
}

// rules: S1, S3
#[test]
fn an_invite_that_nobody_answers_times_out_after_64_times_t1() {
    world::run(3, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        let left = sent(world, call.host, &["INVITE sip:carol"]);
        assert_eq!(world.result(call.host, call.made), Err(OperationError::Timeout));
        let (at, state, reason) = changes(world, call.host, call.session).pop().unwrap();
        assert_eq!(
            (at, state, reason),
            (left[0] + T1_64, State::Disconnected, Reason::Timeout)
        );
        assert_eq!(left.len(), 1, "a stream repeats nothing");
    });
}

// rules: S1, R18
#[test]
fn where_nobody_can_be_reached_the_session_is_unreachable() {
    world::run(4, |world| {
        let caller = caller(world);
        let refused = std::net::SocketAddr::new(world.ip(caller.peer), 5099);
        world.set_reachability(refused, Reachability::Refused);
        for target in ["sip:carol@nowhere.invalid:5060", "sip:carol@peer.invalid:5099"] {
            let (session, made) = world.invite(caller.alice, target, Some(sdp()));
            let result = world.result(caller.host, made);
            assert!(
                matches!(result, Err(OperationError::ConnectionFailure(_))),
                "{target}: {result:?}"
            );
            assert_eq!(
                states(world, caller.host, session),
                [
                    (State::Connecting, Reason::None),
                    (State::Disconnected, Reason::Unreachable)
                ]
            );
        }
    });
}

// rules: S1, S2, S10, S12
#[test]
fn a_callee_ends_an_incoming_session_in_its_five_ways() {
    type Way = fn(&mut World, &Callee, SessionId);
    let ways: [(&str, Way, u16, Reason); 5] = [
        (
            "reject",
            |world, it, id| command(world, it.host, id, |view| view.reject(status(486), None)).unwrap(),
            486,
            Reason::Declined,
        ),
        (
            "redirect",
            |world, it, id| {
                command(world, it.host, id, |view| {
                    view.redirect(status(302), &["sip:b2@two.invalid"])
                })
                .unwrap();
            },
            302,
            Reason::Declined,
        ),
        (
            "terminate",
            |world, it, id| {
                let ended = terminate(world, it.host, id);
                assert_eq!(world.ended(it.host, ended), Some(&Ok(Completion::Done)));
            },
            480,
            Reason::TerminatedLocally,
        ),
        (
            "CANCEL",
            |world, it, _| world.say(it.line, &request("CANCEL", BOB, "<sip:bob@two.invalid>", 1, "")),
            487,
            Reason::Canceled,
        ),
        (
            "nothing",
            |world, _, _| world.run_for(secs(180)),
            480,
            Reason::Timeout,
        ),
    ];
    for (seed, (name, way, code, reason)) in (5..).zip(ways) {
        world::run(seed, |world| {
            let it = callee(world);
            let session = offered(world, &it, 1, "");
            command(world, it.host, session, |view| {
                view.provisional(StatusCode::RINGING, None)
            })
            .unwrap();
            world.run_for(Duration::from_millis(20));
            let ringing = world.heard(it.line).pop().unwrap();
            assert_eq!(ringing.status(), Some(StatusCode::RINGING));
            way(world, &it, session);
            world.run_for(Duration::from_millis(40));
            let heard = world.heard(it.line);
            let invite = |message: &&Message| message.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
            let last_one = heard.iter().rfind(invite).unwrap();
            assert_eq!(last_one.status().unwrap().code(), code, "{name}");
            let tag = |message: &Message| message.to().unwrap().tag().map(str::to_owned);
            assert!(
                heard.iter().all(|message| tag(message) == tag(&ringing)),
                "one To tag (RFC 3261 section 9.2)"
            );
            if name == "redirect" {
                assert_eq!(field(last_one, HeaderName::Contact), "<sip:b2@two.invalid>");
            }
            assert_eq!(
                states(world, it.host, session),
                [(State::Disconnected, reason)],
                "{name}"
            );
        });
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}

// ---------------------------------------------------------------- S16: RFC 5407, what no two stacks of this make

/// The callee has rung and answered, of which the caller knows nothing yet: the 2xx, the session, its accept.
fn answered_unseen(world: &mut World, it: &Callee) -> (Message, SessionId, OperationId) {
    let more = format!("{ALLOW}\nContent-Type: application/sdp\n\nv=0\n");
    let session = offered(world, it, 1, &more);
    command(world, it.host, session, |view| {
        view.provisional(StatusCode::RINGING, None)
    })
    .unwrap();
    let accepted = command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
    world.run_for(Duration::from_millis(20));
    let heard = world.heard(it.line);
    let success = heard.iter().find(|m| m.status() == Some(StatusCode::OK)).unwrap();
    (success.clone(), session, accepted)
}

// rules: S16, S3
#[test]
fn rfc_5407_section_3_1_1_an_invite_that_comes_again_after_the_2xx_is_absorbed() {
    world::run(190, |world| {
        let it = callee(world);
        let (success, session, accepted) = answered_unseen(world, &it);
        // The same bytes over another connection.
        let more = format!("Contact: <sip:p@{};transport=tcp>\n", world.ip(it.peer));
        let more = format!("{more}{ALLOW}\nContent-Type: application/sdp\n\nv=0\n");
        let again = world.dial(it.peer, it.address, None);
        world.say(again, &request("INVITE", BOB, "<sip:bob@two.invalid>", 1, &more));
        world.run_for(Duration::from_millis(100));
        for line in [again, it.line] {
            assert!(world.heard(line).is_empty());
        }
        assert_eq!(counted(world, it.host).retransmissions.received, 1);
        assert_eq!(received(world, it.host), [session], "it is no second call");
        Side::caller(it.line, &success).say(world, "ACK", "");
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
        world.run_for(T1_64);
        assert!(world.heard(it.line).is_empty(), "the 2xx has been acknowledged");
    });
}

// rules: S16, X2
#[test]
fn rfc_5407_section_3_1_3_a_bye_of_the_early_dialog_that_meets_the_2xx_ends_the_call() {
    world::run(191, |world| {
        let it = callee(world);
        let (success, session, accepted) = answered_unseen(world, &it);
        let mut side = Side::caller(it.line, &success);
        side.say(world, "BYE", "");
        assert_eq!(codes(world, it.line), [200]);
        assert_eq!(
            states(world, it.host, session),
            [
                (State::Connecting, Reason::None),
                (State::Disconnected, Reason::TerminatedRemotely)
            ]
        );
        assert_eq!(
            world.ended(it.host, accepted),
            Some(&ended_by(SESSION_TERMINATED))
        );
        // The caller acknowledges the 2xx all the same, which is not sent again however late that is.
        world.run_for(secs(10));
        side.say_numbered(world, "ACK", 1, "");
        world.run_for(T1_64);
        assert!(world.heard(it.line).is_empty());
    });
}

// ---------------------------------------------------------------- S2, X2: what is misuse

/// The commands of a session, each as harmless as it can be.
const COMMANDS: [&str; 23] = [
    "establish",
    "accept",
    "accept_in",
    "reject",
    "redirect",
    "provisional",
    "provisional_in",
    "early_dialog",
    "answer",
    "send",
    "refer",
    "accept_referral",
    "reject_referral",
    "renegotiate",
    "renegotiate by UPDATE",
    "renegotiate by PRACK",
    "renegotiate_in",
    "accept_renegotiation",
    "reject_renegotiation",
    "cancel_renegotiation",
    "follow_redirect",
    "attach",
    "terminate",
];

fn give(view: &mut SessionView<'_>, command: &str) -> Result<Option<OperationId>, Misuse> {
    match command {
        "establish" => view.establish(Some(sdp()), SendOptions::default()).map(Some),
        "accept" => view.accept(Some(sdp())).map(Some),
        "reject" => view.reject(status(486), None).map(|()| None),
        "redirect" => view.redirect(status(302), &["sip:b2@two.invalid"]).map(|()| None),
        "provisional" => view.provisional(StatusCode::RINGING, None).map(|()| None),
        "early_dialog" => view.early_dialog().map(|_| None),
        "answer" => view.answer(sdp()).map(|()| None),
        "send" => view.send(Method::Info, None, Vec::new()).map(Some),
        "refer" => {
            let referred = view.refer("sip:dave@four.invalid", Vec::new());
            referred.map(|(_, operation)| Some(operation))
        }
        "renegotiate" => view.renegotiate(Method::Invite, sdp()).map(Some),
        "renegotiate by UPDATE" => view.renegotiate(Method::Update, sdp()).map(Some),
        "renegotiate by PRACK" => view.renegotiate(Method::Prack, sdp()).map(Some),
        "accept_renegotiation" => view.accept_renegotiation(sdp()).map(Some),
        "reject_renegotiation" => view.reject_renegotiation(status(488), None).map(|()| None),
        "cancel_renegotiation" => {
            assert!(!view.cancel_renegotiation(), "there is none to give up");
            Ok(None)
        }
        "follow_redirect" => view.follow_redirect(RedirectAction::Skip).map(|()| None),
        "attach" => {
            let headers = vec![("Reason".to_owned(), "SIP;cause=200".to_owned())];
            view.attach(headers).map(|()| None)
        }
        "terminate" => Ok(Some(view.terminate())),
        _ => panic!("{command}"),
    }
}

/// What a command of [`give_naming`] names besides its session.
struct Names {
    early: EarlyDialog,
    referral: ReferralId,
    /// The call that was made for the referral.
    call: SessionId,
}

/// The same with those that name something.
fn give_naming(
    view: &mut SessionView<'_>,
    command: &str,
    names: &Names,
) -> Result<Option<OperationId>, Misuse> {
    let Names {
        early,
        referral,
        call,
    } = *names;
    match command {
        "accept_in" => view.accept_in(early, Some(sdp())).map(Some),
        "provisional_in" => view
            .provisional_in(early, StatusCode::RINGING, None)
            .map(|()| None),
        "renegotiate_in" => view.renegotiate_in(early, sdp()).map(Some),
        "accept_referral" => view.accept_referral(referral, call).map(|()| None),
        "reject_referral" => view.reject_referral(referral, status(603)).map(|()| None),
        _ => give(view, command),
    }
}

/// An early dialog and a referral of sessions that have nothing to do with those of a test.
fn of_others() -> (EarlyDialog, ReferralId) {
    let mut world = World::new(7);
    let (host, session) = stage(&mut world, "Incoming");
    let early = command(&mut world, host, session, |view| view.early_dialog()).unwrap();
    let (host, session) = stage(&mut world, "Connected");
    let target = "sip:dave@four.invalid";
    let (referral, _) = command(&mut world, host, session, |view| view.refer(target, Vec::new())).unwrap();
    world.finish();
    (early, referral)
}

/// A callee of one profile for all that the peer may ask for: reliable responses and REFER.
fn able_callee(world: &mut World) -> Callee {
    let mut config = PeerToPeerConfig::new("sip:bob@two.invalid");
    config.profile.reliable_responses = ReliableResponses::Supported;
    config.profile.methods.push(Method::Refer);
    callee_with(world, config)
}

/// The callee has answered the peer's offer in a reliable response of this early dialog, which has its PRACK.
fn answers_early(world: &mut World, early: impl FnOnce(&mut SessionView<'_>)) -> (StackId, SessionId) {
    let it = able_callee(world);
    let more = format!("Supported: 100rel\n{ALLOW}\nContent-Type: application/sdp\n\nv=0\n");
    let session = offered(world, &it, 1, &more);
    command(world, it.host, session, early);
    world.run_for(Duration::from_millis(20));
    let response = world.heard(it.line).pop().unwrap();
    let rack = format!("RAck: {} 1 INVITE\n", field(&response, HeaderName::RSeq));
    Side::caller(it.line, &response).say(world, "PRACK", &rack);
    assert_eq!(codes(world, it.line), [200]);
    (it.host, session)
}

/// A caller that is told of redirections, and takes reliable responses.
fn able_caller(world: &mut World) -> Caller {
    let caller = caller(world);
    let mut config = PeerToPeerConfig::new("sip:anna@one.invalid");
    config.profile.reliable_responses = ReliableResponses::Supported;
    config.profile.redirects = true;
    let alice = world.peer_to_peer_endpoint(caller.host, config);
    Caller { alice, ..caller }
}

/// Brings a session to a state that its application knows.
fn stage(world: &mut World, stage: &str) -> (StackId, SessionId) {
    match stage {
        "Incoming" | "Accepted" | "Connected callee" => {
            let it = callee(world);
            if stage == "Connected callee" {
                return (it.host, taken(world, &it, 1).0);
            }
            let session = offered(world, &it, 1, "");
            if stage == "Accepted" {
                command(world, it.host, session, |view| view.accept(None)).unwrap();
            }
            (it.host, session)
        }
        "Referred" => {
            let it = able_callee(world);
            let (session, mut side) = taken(world, &it, 1);
            side.say(world, "REFER", "Refer-To: <sip:dave@four.invalid>\n");
            (it.host, session)
        }
        "Answered early" => answers_early(world, |view| {
            view.provisional(StatusCode::SESSION_PROGRESS, Some(sdp()))
                .unwrap();
        }),
        "Answered in another" => answers_early(world, |view| {
            let early = view.early_dialog().unwrap();
            view.provisional_in(early, StatusCode::SESSION_PROGRESS, Some(sdp()))
                .unwrap();
        }),
        "Redirecting" | "Connecting with 100rel" | "Was answered early" => {
            let caller = able_caller(world);
            let call = call(world, &caller, Some(sdp()));
            match stage {
                "Redirecting" => {
                    let moved = answer(&call.invite, "302 Moved", "t", "Contact: <sip:dave@four.invalid>");
                    world.say(call.line, &moved);
                    world.run_for(Duration::from_millis(20));
                }
                "Was answered early" => {
                    let more = "Require: 100rel\nRSeq: 1\nContent-Type: application/sdp\n\nv=0\n";
                    call.say(world, "183 Session Progress", "t", more);
                    confirm(world, call.line, &Method::Prack, "200 OK");
                }
                _ => {}
            }
            (call.host, call.session)
        }
        _ => {
            let caller = caller(world);
            if stage == "Idle" {
                let host = caller.host;
                let made =
                    |stack: &mut Stack, now| stack.endpoint(now, caller.alice.id)?.create_session(CAROL);
                return (host, world.with(host, made).unwrap());
            }
            if stage == "Connected" || stage == "Leaving" {
                let (call, _) = connected(world, &caller);
                if stage == "Leaving" {
                    terminate(world, call.host, call.session);
                }
                return (call.host, call.session);
            }
            let offer = (stage != "Offer in 2xx").then(sdp);
            let call = call(world, &caller, offer);
            match stage {
                "Offer in 2xx" => call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\nv=0\n"),
                "Alerted" | "Cancelling" => call.say(world, "180 Ringing", "t", ""),
                _ => {}
            }
            if stage == "Cancelling" {
                terminate(world, call.host, call.session);
            }
            (call.host, call.session)
        }
    }
}

/// The REFER that the application of a stack was asked about.
fn referred(world: &World, host: StackId) -> Option<ReferralId> {
    world.events(host).iter().find_map(|(_, event)| match event {
        Event::ReferReceived { referral, .. } => Some(*referral),
        _ => None,
    })
}

// rules: S2, S6, S9, S13, S14, S20, X2
#[test]
fn each_command_is_legal_where_the_rule_says_and_misuse_elsewhere() {
    // What says nothing, and what is legal until the application has ended the session.
    const ALWAYS: [&str; 2] = ["terminate", "cancel_renegotiation"];
    const INCOMING: [&str; 7] = [
        "accept",
        "accept_in",
        "reject",
        "redirect",
        "provisional",
        "provisional_in",
        "early_dialog",
    ];
    const CONNECTED: [&str; 4] = ["send", "refer", "renegotiate", "renegotiate by UPDATE"];
    let legal: [(&str, &[&str], &[&str]); 16] = [
        ("Idle", &["establish"], &[]),
        ("Connecting", &[], &[]),
        ("Connecting with 100rel", &["renegotiate by PRACK"], &[]),
        ("Alerted", &[], &[]),
        (
            "Was answered early",
            &["renegotiate by UPDATE", "renegotiate by PRACK"],
            &[],
        ),
        ("Redirecting", &["follow_redirect"], &[]),
        ("Cancelling", &[], &[]),
        ("Offer in 2xx", &["answer"], &[]),
        ("Incoming", &[], &INCOMING),
        ("Answered early", &["renegotiate by UPDATE"], &INCOMING),
        ("Answered in another", &["renegotiate_in"], &INCOMING),
        ("Accepted", &[], &[]),
        ("Connected", &[], &CONNECTED),
        ("Connected callee", &[], &CONNECTED),
        ("Referred", &["accept_referral", "reject_referral"], &CONNECTED),
        ("Leaving", &[], &[]),
    ];
    let others = of_others();
    for (at, more, legal) in legal {
        for name in COMMANDS {
            let mut world = World::new(7);
            let (host, session) = stage(&mut world, at);
            let names = world.with(host, |stack, now| {
                let mut view = stack.session(now, session).unwrap();
                let endpoint = view.endpoint();
                let incoming = view.state() == State::Incoming && at != "Answered in another";
                // That of this stage is the second one, as that of the others.
                let early = if incoming {
                    view.early_dialog().unwrap()
                } else {
                    others.0
                };
                let mut view = stack.endpoint(now, endpoint).unwrap();
                let call = view.create_session("sip:dave@four.invalid").unwrap();
                (early, call)
            });
            let names = Names {
                early: names.0,
                referral: referred(&world, host).unwrap_or(others.1),
                call: names.1,
            };
            let before = world.trace().lines().len();
            let result = command(&mut world, host, session, |view| give_naming(view, name, &names));
            let attaches = name == "attach" && !["Cancelling", "Leaving"].contains(&at);
            if more.contains(&name) || legal.contains(&name) || ALWAYS.contains(&name) || attaches {
                assert!(result.is_ok(), "{name} in {at}: {result:?}");
            } else {
                let fits = if name.ends_with("_referral") {
                    matches!(result, Err(Misuse::Unknown("referral")))
                } else {
                    matches!(result, Err(Misuse::State { .. }))
                };
                assert!(fits, "{name} in {at}: {result:?}");
                assert_eq!(world.trace().lines().len(), before, "misuse changes nothing");
            }
            world.finish();
        }
    }
}

// rules: S2, X2
#[test]
fn a_command_is_given_once() {
    for (at, first, then) in [
        ("Idle", "establish", "establish"),
        ("Incoming", "accept", "accept"),
        ("Incoming", "accept", "reject"),
        ("Incoming", "accept", "provisional"),
        ("Offer in 2xx", "answer", "answer"),
        ("Idle", "terminate", "establish"),
        ("Incoming", "terminate", "accept"),
        ("Incoming", "reject", "accept"),
        ("Connected", "terminate", "send"),
    ] {
        let mut world = World::new(8);
        let (host, session) = stage(&mut world, at);
        // Both in one breath: no event is taken between them.
        let result = world.with(host, |stack, now| {
            let mut view = stack.session(now, session).unwrap();
            give(&mut view, first).unwrap();
            give(&mut view, then)
        });
        assert!(
            matches!(result, Err(Misuse::State { .. })),
            "{then} after {first}: {result:?}"
        );
        world.finish();
    }
}

// rules: S2
#[test]
fn arguments_out_of_range_are_misuse() {
    let mut world = World::new(9);
    let (host, session) = stage(&mut world, "Incoming");
    command(&mut world, host, session, |view| {
        let argument = |result: Result<(), Misuse>| {
            assert!(matches!(result, Err(Misuse::Argument { .. })), "{result:?}")
        };
        for code in [200, 302, 399] {
            argument(view.reject(status(code), None));
        }
        argument(view.reject(status(486), Some("two\r\nlines")));
        for code in [200, 400] {
            argument(view.redirect(status(code), &["sip:b2@two.invalid"]));
        }
        argument(view.redirect(status(302), &[]));
        argument(view.redirect(status(302), &["not a uri"]));
        for code in [100, 200] {
            argument(view.provisional(status(code), None));
        }
        view.provisional(status(101), None).unwrap();
        view.provisional(status(199), None).unwrap();
        view.reject(status(400), None).unwrap();
    });
    world.finish();
    for method in [
        Method::Invite,
        Method::Bye,
        Method::Ack,
        Method::Cancel,
        Method::Register,
        Method::Update,
    ] {
        let mut world = World::new(10);
        let (host, session) = stage(&mut world, "Connected");
        let result = command(&mut world, host, session, |view| {
            view.send(method.clone(), None, Vec::new())
        });
        assert!(matches!(result, Err(Misuse::Argument { .. })), "{method:?}");
        world.finish();
    }
}

type Results = std::rc::Rc<std::cell::RefCell<Vec<Result<Option<OperationId>, Misuse>>>>;

/// An application that gives a command as soon as it has seen an event that `when` chooses, and keeps what it got.
fn on(
    world: &mut World,
    host: StackId,
    when: fn(&Event) -> Option<SessionId>,
    name: &'static str,
) -> Results {
    let results = Results::default();
    let kept = results.clone();
    world.on_event(host, move |stack, now, event| {
        if let Some(session) = when(event) {
            let result = give(&mut stack.session(now, session).unwrap(), name);
            kept.borrow_mut().push(result);
        }
    });
    results
}

// rules: X2
#[test]
fn what_the_network_has_overtaken_succeeds_and_completes_as_session_terminated() {
    // INVITE and CANCEL arrive in one piece: the application is told the one while the other has happened.
    for name in ["accept", "reject", "redirect", "provisional"] {
        world::run(11, |world| {
            let it = callee(world);
            let results = on(
                world,
                it.host,
                |event| match event {
                    Event::SessionReceived { session, .. } => Some(*session),
                    _ => None,
                },
                name,
            );
            let invite = request(
                "INVITE",
                BOB,
                "<sip:bob@two.invalid>",
                1,
                "Contact: <sip:p@10.3.0.1>",
            );
            let cancel = request("CANCEL", BOB, "<sip:bob@two.invalid>", 1, "");
            let bytes: String = [invite, cancel]
                .iter()
                .map(|text| format!("{}Content-Length: 0\r\n\r\n", crlf(text)))
                .collect();
            world.say_bytes(it.line, bytes.as_bytes());
            world.run_for(secs(1));
            let result = results.borrow()[0]
                .clone()
                .unwrap_or_else(|misuse| panic!("{name}: {misuse:?}"));
            if let Some(operation) = result {
                assert_eq!(
                    world.ended(it.host, operation),
                    Some(&ended_by(SESSION_TERMINATED))
                );
            }
            assert_eq!(codes(world, it.line), [200, 487]);
            let session = received(world, it.host)[0];
            assert_eq!(
                states(world, it.host, session),
                [(State::Disconnected, Reason::Canceled)]
            );
        });
    }
}

fn crlf(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\r\n"))
        .collect()
}

// rules: X2, S15
#[test]
fn a_request_in_a_session_that_has_ended_unseen_completes_as_session_terminated() {
    world::run(12, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        let results = on(
            world,
            call.host,
            |event| match event {
                Event::Session {
                    session,
                    new: State::Connected,
                    ..
                } => Some(*session),
                _ => None,
            },
            "send",
        );
        // The 2xx and the BYE arrive in one piece.
        let success = answer(&call.invite, "200 OK", "t", "Contact: <sip:carol@10.3.0.1>");
        let side = call.side("t");
        let bye = format!(
            "BYE {} SIP/2.0\nVia: SIP/2.0/TCP p;branch=z9hG4bKbye\nMax-Forwards: 70\nFrom: {}\nTo: {}\nCall-ID: {}\nCSeq: 1 BYE\n",
            side.target, side.local, side.remote, side.call_id
        );
        let bytes: String = [success, bye]
            .iter()
            .map(|text| format!("{}Content-Length: 0\r\n\r\n", crlf(text)))
            .collect();
        world.say_bytes(call.line, bytes.as_bytes());
        world.run_for(secs(1));
        let operation = results.borrow()[0].clone().unwrap().unwrap();
        assert_eq!(
            world.ended(call.host, operation),
            Some(&ended_by(SESSION_TERMINATED))
        );
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::TerminatedRemotely))
        );
        assert_eq!(
            methods(world, call.line),
            [Method::Ack],
            "nothing but the ACK has left"
        );
        assert!(
            world.with(call.host, |stack, now| stack.session(now, call.session).is_err()),
            "now it is gone"
        );
    });
}

// rules: S2, X2
#[test]
fn what_the_application_has_not_seen_is_not_there_yet() {
    world::run(13, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        let results = on(
            world,
            call.host,
            |event| match event {
                Event::Provisional { session, .. } => Some(*session),
                _ => None,
            },
            "send",
        );
        let texts = ["180 Ringing", "200 OK"].map(|status| {
            let text = answer(&call.invite, status, "t", "Contact: <sip:carol@10.3.0.1>");
            format!("{}Content-Length: 0\r\n\r\n", crlf(&text))
        });
        world.say_bytes(call.line, texts.concat().as_bytes());
        world.run_for(secs(1));
        assert!(
            matches!(results.borrow()[0], Err(Misuse::State { state: "Alerted", .. })),
            "{:?}",
            results.borrow()
        );
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S5, X2
#[test]
fn an_answer_that_comes_too_late_is_no_misuse() {
    world::run(14, |world| {
        let caller = caller(world);
        let call = call(world, &caller, None);
        call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\nv=0\n");
        world.run_for(T1_64);
        // The session is being ended, of which the application has heard nothing so far.
        assert_eq!(
            states(world, call.host, call.session),
            [(State::Connecting, Reason::None)]
        );
        command(world, call.host, call.session, |view| view.answer(sdp())).unwrap();
        assert_eq!(methods(world, call.line), [Method::Ack, Method::Bye]);
    });
}

// ---------------------------------------------------------------- S3: 2xx and ACK

/// When the 2xx of a callee that accepts at 0 s leaves, in milliseconds: T1, 2*T1 and so on up to T2.
const SUCCESSES: [u64; 11] = [
    0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
];

fn millis(start: Time, times: &[Time]) -> Vec<u64> {
    times
        .iter()
        .map(|at| u64::try_from(at.since(start).as_millis()).unwrap())
        .collect()
}

// rules: S3, S10
#[test]
fn a_2xx_is_repeated_until_64_times_t1_and_then_the_session_is_ended() {
    world::run(20, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        let start = world.now();
        let accepted = command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(T1_64);
        assert_eq!(
            millis(
                start,
                &sent(world, it.host, &["SIP/2.0 200 OK", "CSeq: 1 INVITE"])
            ),
            SUCCESSES
        );
        assert_eq!(sent(world, it.host, &["BYE sip:p@"]), [start + T1_64]);
        let heard = world.heard(it.line);
        let successes: Vec<&[u8]> = heard
            .iter()
            .filter(|m| m.status() == Some(StatusCode::OK))
            .map(|m| m.bytes().as_ref())
            .collect();
        assert!(
            successes.windows(2).all(|pair| pair[0] == pair[1]),
            "byte by byte the same"
        );
        assert_eq!(
            states(world, it.host, session),
            [(State::Connecting, Reason::None)],
            "until the BYE is answered"
        );
        assert_eq!(world.ended(it.host, accepted), None);
        world.run_for(Duration::from_millis(10));
        let bye = world
            .heard(it.line)
            .into_iter()
            .chain(heard)
            .find(|m| m.method() == Some(&Method::Bye))
            .unwrap();
        world.say(
            it.line,
            &answer(&bye, "481 Call/Transaction Does Not Exist", "", ""),
        );
        assert_eq!(world.result(it.host, accepted), Err(OperationError::Timeout));
        assert_eq!(
            last(world, it.host, session),
            Some((State::Disconnected, Reason::Timeout))
        );
    });
}

// rules: S3
#[test]
fn the_ack_ends_the_repetition_of_the_2xx() {
    world::run(21, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        let start = world.now();
        let accepted = command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(secs(4));
        let success = world.heard(it.line).pop().unwrap();
        let mut side = Side::caller(it.line, &success);
        side.say(world, "ACK", "");
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
        world.run_for(secs(60));
        assert_eq!(
            millis(
                start,
                &sent(world, it.host, &["SIP/2.0 200 OK", "CSeq: 1 INVITE"])
            ),
            SUCCESSES[..4]
        );
        let connected = [
            (State::Connecting, Reason::None),
            (State::Connected, Reason::None),
        ];
        assert_eq!(states(world, it.host, session), connected);
        side.say(world, "ACK", "");
        assert_eq!(
            states(world, it.host, session),
            connected,
            "a second ACK says nothing"
        );
    });
}

// rules: S3
#[test]
fn a_repeated_2xx_is_acknowledged_again() {
    world::run(22, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        for repetition in 1..=4 {
            call.say(world, "200 OK", "t", "");
            let acks = world.heard(call.line);
            assert_eq!(acks.len(), 1, "{repetition}");
            assert_eq!(acks[0].method(), Some(&Method::Ack));
            assert_eq!(acks[0].cseq().unwrap().number, call.invite.cseq().unwrap().number);
            world.run_for(secs(7));
        }
        let connected = [
            (State::Connecting, Reason::None),
            (State::Connected, Reason::None),
        ];
        assert_eq!(
            states(world, call.host, call.session),
            connected,
            "it is connected once"
        );
    });
    // RFC 3261 section 13.2.2.4: 64*T1 after the first one the INVITE is over, and that of a change, too.
    // What comes at that instant comes before its timer.
    for (after, acknowledged) in [(secs(32), true), (secs(32) + TICK, false), (secs(90), false)] {
        world::run(22, |world| {
            let caller = caller(world);
            let call = call(world, &caller, Some(sdp()));
            let begun = world.now();
            call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\nv=0\n");
            assert_eq!(methods(world, call.line), [Method::Ack]);
            let rest = (begun + after).since(world.now());
            world.run_for(rest);
            call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\nv=0\n");
            assert_eq!(
                methods(world, call.line),
                [Method::Ack; 1][..usize::from(acknowledged)],
                "{after:?}"
            );
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Connected, Reason::None))
            );
            command(world, call.host, call.session, |view| {
                view.renegotiate(Method::Invite, sdp())
            })
            .unwrap();
            let invite = next_request(world, call.line, &Method::Invite);
            let begun = world.now();
            let success = answer(&invite, "200 OK", "", "Content-Type: application/sdp\n\nv=0\n");
            for (at, acks) in [(Duration::ZERO, 1), (after, usize::from(acknowledged))] {
                let rest = (begun + at).since(world.now());
                world.run_for(rest);
                world.say(call.line, &success);
                world.run_for(Duration::from_millis(20));
                assert_eq!(methods(world, call.line).len(), acks, "{at:?}");
            }
        });
    }
}

// rules: P9
#[test]
fn an_invite_goes_to_the_next_hop_that_it_names_and_what_follows_to_the_peer() {
    world::run(58, |world| {
        let caller = caller(world);
        let hop = world.peer();
        let at = world.peer_listens(hop, 5090, Transport::Tcp);
        world.names.set_addresses("hop.invalid", &[at.ip()]);
        let next_hop = Some(sansip::NextHop {
            host: "hop.invalid".into(),
            port: Some(5090),
            transport: None,
        });
        let options = SendOptions {
            next_hop,
            ..SendOptions::default()
        };
        let alice = caller.alice;
        world.with(caller.host, |stack, now| {
            let mut view = stack.endpoint(now, alice.id).unwrap();
            view.invite(CAROL, Some(sdp()), options).unwrap();
        });
        let line = next_line(world, hop, 0);
        let invite = next_request(world, line, &Method::Invite);
        assert_eq!(invite.request_uri(), CAROL);
        assert_eq!(world.lines(caller.peer).len(), 0);
    });
}

// rules: C9, C13
#[test]
fn a_session_stays_with_its_connection_whichever_way_its_peer_comes() {
    world::run(59, |world| {
        let it = callee(world);
        let (session, side) = taken(world, &it, 1);
        let second = world.dial(it.peer, it.address, None);
        let mut other = Side { line: second, ..side };
        other.say(world, "INFO", "");
        world.run_for(secs(1));
        assert_eq!(codes(world, second), [200]);
        codes(world, it.line);
        let told = info(world, it.host, session);
        confirm(world, it.line, &Method::Info, "200 OK");
        world.result(it.host, told).unwrap();
    });
}

// RFC 3261 section 15.1.1: a BYE is a transaction of its own, and over with its final response.
// rules: S10, S16, X3
#[test]
fn an_end_that_crosses_the_peers_is_complete_when_its_own_bye_is_answered() {
    world::run(61, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        let ended = terminate(world, call.host, call.session);
        let bye = next_request(world, call.line, &Method::Bye);
        side.say(world, "BYE", "");
        assert_eq!(codes(world, call.line), [200]);
        assert_eq!(world.ended(call.host, ended), None);
        world.say(call.line, &answer(&bye, "200 OK", "", ""));
        world.result(call.host, ended).unwrap();
    });
}

// RFC 3261 section 13.2.2.4: for 64*T1 after the first 2xx others are waited for.
// rules: S3, S8, X7
#[test]
fn a_2xx_that_comes_again_after_64_times_t1_is_not_acknowledged_and_one_of_another_fork_is_ended() {
    world::run(60, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        world.run_for(secs(33));
        let before = counted(world, call.host).retransmissions.received;
        call.say(world, "200 OK", "t", "");
        assert_eq!(methods(world, call.line), []);
        let after = counted(world, call.host).retransmissions.received;
        assert_eq!(after - before, 1);
        call.say(world, "200 OK", "other", "");
        assert_eq!(methods(world, call.line), [Method::Ack, Method::Bye]);
        // Over the connection that it has come by.
        let address = world.listen(caller.host, 5060);
        let second = world.dial(caller.peer, address, None);
        let more = "Contact: <sip:carol@10.3.0.1:5060;transport=tcp>";
        world.say(second, &answer(&call.invite, "200 OK", "third", more));
        world.run_for(secs(1));
        assert_eq!(methods(world, second), [Method::Ack, Method::Bye]);
    });
}

// ---------------------------------------------------------------- S4: dialogs

// rules: S4
#[test]
fn a_lower_cseq_is_answered_500_and_not_seen() {
    world::run(30, |world| {
        let caller = caller(world);
        let (call, side) = connected(world, &caller);
        for (number, code) in [(50, 200), (49, 500), (51, 200), (1, 500), (70, 200), (69, 500)] {
            side.say_numbered(world, "INFO", number, "");
            let [answer] = world.heard(call.line).try_into().expect("one answer");
            assert_eq!(answer.status().unwrap().code(), code, "CSeq {number}");
            if code == 500 {
                assert!(String::from_utf8_lossy(answer.reason()).contains("CSeq"));
            }
        }
        // The dialog is that of the INVITE.
        let call_id = command(world, call.host, call.session, |view| {
            view.call_id().unwrap().to_owned()
        });
        assert_eq!(call_id, field(&call.invite, HeaderName::CallId));
        let seen = world
            .events(call.host)
            .iter()
            .filter(|(_, event)| matches!(event, Event::SessionMessage { .. }));
        assert_eq!(seen.count(), 3);
        side.say_numbered(world, "BYE", 5, "");
        assert_eq!(codes(world, call.line), [500], "nor is a BYE out of order taken");
        // RFC 3261 section 12.2.2: one that is not lower.
        side.say_numbered(world, "MESSAGE", 70, "");
        assert_eq!(codes(world, call.line), [200]);
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
    });
}

/// What the sessions of a stack are in, without what goes by: transactions, and how long connections have been idle.
fn standing(world: &mut World, host: StackId) -> String {
    let all = world.with(host, |stack, _| format!("{:?}", stack.fingerprint()));
    all.split_once("endpoints: ").expect("its parts").1.to_owned()
}

/// The messages that were counted, and the repeated ones among them that have come.
fn messages_since(world: &mut World, host: StackId, before: Counters) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    (counted(world, host) - before).for_each(|name, value| {
        if value > 0 && (name.starts_with("received.") || name.starts_with("sent.")) {
            found.push((name.to_owned(), value));
        }
    });
    found.sort();
    found
}

// rules: S3, S4, S5, X7
#[test]
fn what_is_out_of_place_is_answered_counted_and_harms_no_session() {
    type Say = fn(&mut World, &Call, &mut Side);
    let mistaken = |side: &Side, from: &str, to: &str| Side {
        line: side.line,
        local: side.local.replace(";tag=t", from),
        remote: side.remote.replace(";tag=", to),
        target: side.target.clone(),
        call_id: side.call_id.clone(),
        cseq: side.cseq,
    };
    // What is said, what the peer hears, and what is counted.
    type Case = (
        &'static str,
        Say,
        &'static [&'static str],
        &'static [&'static str],
    );
    let of_call: [Case; 5] = [
        (
            "a provisional response after the 2xx (RFC 6026 section 7.2)",
            |world, call, _| call.say(world, "183 Session Progress", "t", ""),
            &[],
            &["received.1xx"],
        ),
        (
            "one of another fork",
            |world, call, _| call.say(world, "180 Ringing", "u", ""),
            &[],
            &["received.1xx"],
        ),
        (
            "a refusal after the 2xx",
            |world, call, _| call.say(world, "486 Busy Here", "t", ""),
            &[],
            &["received.4xx"],
        ),
        (
            "a second answer in the 2xx, which is acknowledged again (RFC 3261 section 13.2.2.4)",
            |world, call, _| call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\nv=9\n"),
            &["ACK"],
            &["received.2xx", "sent.ACK"],
        ),
        (
            "a CANCEL of nothing (RFC 3261 section 9.2)",
            |world, _, side| side.cancel(world, 700),
            &["481"],
            &["received.CANCEL", "sent.4xx"],
        ),
    ];
    // RFC 3261 section 12.2.2: a tag that no dialog has, on either side.
    let of_nobody: [Case; 3] = [
        (
            "INFO",
            |world, _, side| side.say_numbered(world, "INFO", 900, ""),
            &["481"],
            &["received.INFO", "sent.4xx"],
        ),
        (
            "BYE",
            |world, _, side| side.say_numbered(world, "BYE", 901, ""),
            &["481"],
            &["received.BYE", "sent.4xx"],
        ),
        (
            "ACK",
            |world, _, side| side.say_numbered(world, "ACK", 902, ""),
            &[],
            &["received.ACK"],
        ),
    ];
    world::run(192, |world| {
        let caller = caller(world);
        let (call, mut side) = connected(world, &caller);
        let events = world.events(call.host).len();
        let stands = standing(world, call.host);
        let try_one = |world: &mut World, (name, say, heard, counts): &Case, side: &mut Side| {
            let before = counted(world, call.host);
            say(world, &call, side);
            let answers = world.heard(call.line);
            let answers = answers.iter().map(|message| match message.method() {
                Some(method) => method.as_str().to_owned(),
                None => message.status().unwrap().code().to_string(),
            });
            assert_eq!(answers.collect::<Vec<_>>(), *heard, "{name}");
            let counts = counts.iter().map(|name| ((*name).to_owned(), 1));
            let found = messages_since(world, call.host, before);
            assert_eq!(found, counts.collect::<Vec<_>>(), "{name}");
            assert_eq!(standing(world, call.host), stands, "{name}");
            assert_eq!(world.events(call.host).len(), events, "{name} is not told");
        };
        for case in &of_call {
            try_one(world, case, &mut side);
        }
        for (from, to) in [(";tag=other", ";tag="), (";tag=t", ";tag=x"), ("", ";tag=")] {
            for case in &of_nobody {
                try_one(world, case, &mut mistaken(&side, from, to));
            }
        }
        // None of their numbers counts in the dialog.
        side.say(world, "INFO", "");
        assert_eq!(codes(world, call.line), [200]);
        // RFC 3261 section 12.2.2: a gap is no error, and what is lower is 500.
        let seen = world.events(call.host).len();
        let told = |world: &World| {
            let events = world.events(call.host)[seen..].iter();
            let told = events.filter(|(_, event)| matches!(event, Event::SessionMessage { .. }));
            told.count()
        };
        for (number, code) in [(5_000, 200), (4_999, 500)] {
            side.say_numbered(world, "INFO", number, "");
            assert_eq!(codes(world, call.line), [code], "CSeq {number}");
            assert_eq!(told(world), 1, "CSeq {number}");
        }
        // What comes again before its answer is one request (section 17.2.2).
        hold_requests(world, call.host);
        let before = counted(world, call.host).retransmissions.received;
        for again in [0, 1] {
            side.say_numbered(world, "INFO", 5_001, "");
            assert!(world.heard(call.line).is_empty());
            assert_eq!(told(world), 2);
            let after = counted(world, call.host).retransmissions.received;
            assert_eq!(after - before, again);
        }
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S5
#[test]
fn an_answer_in_the_ack_without_an_offer_means_nothing() {
    world::run(193, |world| {
        let it = callee(world);
        let (success, session, accepted) = answered_unseen(world, &it);
        Side::caller(it.line, &success).say(world, "ACK", "Content-Type: application/sdp\n\nv=9\n");
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
        let told = world.events(it.host).iter();
        let mut told = told.filter(|(_, event)| matches!(event, Event::AnswerReceived { .. }));
        assert!(told.next().is_none());
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S4
#[test]
fn the_route_set_of_a_caller_is_the_record_route_reversed() {
    world::run(31, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        let routes = "Record-Route: <sip:p3.invalid;lr>, <sip:p2.invalid:5070;lr;x=1>\nRecord-Route: <sip:p1.invalid;lr>";
        call.say(world, "200 OK", "t", routes);
        let ack = next_request(world, call.line, &Method::Ack);
        command(world, call.host, call.session, |view| {
            view.send(Method::Info, None, Vec::new())
        })
        .unwrap();
        let info = confirm(world, call.line, &Method::Info, "200 OK");
        terminate(world, call.host, call.session);
        let bye = confirm(world, call.line, &Method::Bye, "200 OK");
        for (request, number) in [(&ack, 1), (&info, 2), (&bye, 3)] {
            let routes: Vec<&[u8]> = request.raw_all(HeaderName::Route).collect();
            let expected: [&[u8]; 3] = [
                b"<sip:p1.invalid;lr>",
                b"<sip:p2.invalid:5070;lr;x=1>",
                b"<sip:p3.invalid;lr>",
            ];
            assert_eq!(routes, expected);
            assert_eq!(request.request_uri(), "sip:carol@10.3.0.1:5060;transport=tcp");
            assert_eq!(request.cseq().unwrap().number, number);
            assert_eq!(
                field(request, HeaderName::To),
                format!("{};tag=t", field(&call.invite, HeaderName::To))
            );
        }
    });
}

// rules: S4
#[test]
fn the_route_set_of_a_callee_is_the_record_route_as_it_is_and_the_2xx_repeats_it() {
    world::run(32, |world| {
        let it = callee(world);
        let routes = "Record-Route: <sip:p2.invalid;lr>\nRecord-Route: <sip:p1.invalid;lr>";
        let session = offered(world, &it, 1, routes);
        command(world, it.host, session, |view| {
            view.provisional(StatusCode::RINGING, None)
        })
        .unwrap();
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let expected: [&[u8]; 2] = [b"<sip:p2.invalid;lr>", b"<sip:p1.invalid;lr>"];
        let responses = world.heard(it.line);
        assert_eq!(responses.len(), 2);
        for response in &responses {
            assert_eq!(
                response.raw_all(HeaderName::RecordRoute).collect::<Vec<_>>(),
                expected
            );
        }
        Side::caller(it.line, &responses[1]).say(world, "ACK", "");
        command(world, it.host, session, |view| {
            view.send(Method::Info, None, Vec::new())
        })
        .unwrap();
        let info = confirm(world, it.line, &Method::Info, "200 OK");
        assert_eq!(info.raw_all(HeaderName::Route).collect::<Vec<_>>(), expected);
        assert_eq!(
            info.request_uri(),
            format!("sip:p@{};transport=tcp", world.ip(it.peer))
        );
    });
}

// rules: S4
#[test]
fn a_strict_router_finds_itself_in_the_request_uri() {
    world::run(33, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        call.say(
            world,
            "200 OK",
            "t",
            "Record-Route: <sip:far.invalid;lr>, <sip:strict.invalid:5080>",
        );
        for request in [next_request(world, call.line, &Method::Ack), {
            terminate(world, call.host, call.session);
            confirm(world, call.line, &Method::Bye, "200 OK")
        }] {
            assert_eq!(request.request_uri(), "sip:strict.invalid:5080");
            let expected: [&[u8]; 2] = [
                b"<sip:far.invalid;lr>",
                b"<sip:carol@10.3.0.1:5060;transport=tcp>",
            ];
            assert_eq!(request.raw_all(HeaderName::Route).collect::<Vec<_>>(), expected);
        }
    });
}

// rules: S4, S15, R22
#[test]
fn requests_in_a_session_follow_the_route_through_the_front_end() {
    world::run(34, |world| {
        let server = served(world);
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        accept_calls(world, bob.host);
        let (out, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(alice.host, made).unwrap();
        world.run_for(secs(1));
        let into = received(world, bob.host)[0];
        for (host, session) in [(alice.host, out), (bob.host, into)] {
            let sent = command(world, host, session, |view| {
                view.send(Method::Info, None, Vec::new())
            })
            .unwrap();
            world.result(host, sent).unwrap();
        }
        let infos = world
            .server_events(server)
            .iter()
            .filter(|(_, event)| event.to_string().contains("INFO"));
        assert!(infos.count() >= 2, "both have passed the server");
        assert!(world.links(alice.host, bob.host).is_empty());
        let ended = terminate(world, bob.host, into);
        world.result(bob.host, ended).unwrap();
        assert_eq!(
            last(world, alice.host, out),
            Some((State::Disconnected, Reason::TerminatedRemotely))
        );
    });
}

// ---------------------------------------------------------------- S5: offer and answer

/// The offers and answers that an application has seen; the scripts write a line each.
fn bodies(world: &World, host: StackId) -> Vec<(&'static str, Vec<u8>)> {
    let line = |body: &[u8]| body.trim_ascii_end().to_vec();
    let body = |(_, event): &(Time, Event)| match event {
        Event::SessionReceived { message, .. } => Some(("received", line(message.body_bytes()))),
        Event::OfferReceived { offer, .. } => Some(("offer", line(&offer.body))),
        Event::AnswerReceived { answer, .. } => Some(("answer", line(&answer.body))),
        _ => None,
    };
    world.events(host).iter().filter_map(body).collect()
}

fn body(text: &str) -> Content {
    Content::new("application/sdp", text.to_owned())
}

// rules: S5
#[test]
fn an_offer_in_the_invite_is_answered_in_the_2xx() {
    world::run(40, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(body("offer")));
        assert_eq!(call.invite.body_bytes(), b"offer");
        assert_eq!(field(&call.invite, HeaderName::ContentType), "application/sdp");
        call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\nanswer");
        assert_eq!(bodies(world, call.host), [("answer", b"answer".to_vec())]);
        let ack = next_request(world, call.line, &Method::Ack);
        assert!(ack.body_bytes().is_empty());

        let it = callee(world);
        let session = offered(world, &it, 1, "Content-Type: application/sdp\n\noffer");
        assert_eq!(bodies(world, it.host), [("received", b"offer".to_vec())]);
        command(world, it.host, session, |view| view.accept(Some(body("answer")))).unwrap();
        world.run_for(Duration::from_millis(20));
        let success = world.heard(it.line).pop().unwrap();
        assert_eq!(success.body_bytes(), b"answer");
        Side::caller(it.line, &success).say(world, "ACK", "Content-Type: application/sdp\n\nnonsense");
        assert_eq!(bodies(world, it.host).len(), 1, "an answer has no answer");
    });
}

// rules: S5
#[test]
fn an_offer_in_the_2xx_is_answered_in_the_ack_which_waits_for_the_application() {
    world::run(41, |world| {
        let caller = caller(world);
        let call = call(world, &caller, None);
        assert!(call.invite.body_bytes().is_empty());
        call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\noffer");
        assert_eq!(bodies(world, call.host), [("offer", b"offer".to_vec())]);
        for _ in 0..3 {
            world.run_for(secs(5));
            call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\noffer");
        }
        assert!(world.heard(call.line).is_empty(), "the ACK waits");
        assert_eq!(
            bodies(world, call.host).len(),
            1,
            "a repeated 2xx brings no other offer"
        );
        assert_eq!(
            states(world, call.host, call.session),
            [(State::Connecting, Reason::None)]
        );
        command(world, call.host, call.session, |view| view.answer(body("answer"))).unwrap();
        world.run_for(Duration::from_millis(20));
        call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\noffer");
        let acks = world.heard(call.line);
        assert_eq!(acks.len(), 2, "one for the 2xx that crossed it");
        assert!(
            acks.iter()
                .all(|ack| ack.method() == Some(&Method::Ack) && ack.body_bytes() == b"answer")
        );
        assert_established(world.ended(call.host, call.made).unwrap());
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S5, S10
#[test]
fn an_offer_in_the_2xx_that_nobody_answers_ends_the_session() {
    for leave in [false, true] {
        world::run(42, |world| {
            let caller = caller(world);
            let call = call(world, &caller, None);
            call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\noffer");
            let start = changes(world, call.host, call.session).len();
            assert_eq!(start, 1);
            if leave {
                terminate(world, call.host, call.session);
            }
            confirm(world, call.line, &Method::Bye, "200 OK");
            let (reason, result) = if leave {
                (Reason::TerminatedLocally, ended_by(SESSION_TERMINATED))
            } else {
                (Reason::Timeout, Err(OperationError::Timeout))
            };
            assert_eq!(world.ended(call.host, call.made), Some(&result));
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Disconnected, reason))
            );
            assert_eq!(sent(world, call.host, &["ACK sip:carol"]).len(), 1);
        });
    }
}

// rules: S5
#[test]
fn an_invite_without_offer_is_accepted_with_one_and_answered_in_the_ack() {
    world::run(43, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        command(world, it.host, session, |view| view.accept(Some(body("offer")))).unwrap();
        world.run_for(Duration::from_millis(20));
        let success = world.heard(it.line).pop().unwrap();
        assert_eq!(success.body_bytes(), b"offer");
        let mut side = Side::caller(it.line, &success);
        for _ in 0..2 {
            side.say(world, "ACK", "Content-Type: application/sdp\n\nanswer");
        }
        assert_eq!(
            bodies(world, it.host),
            [("received", Vec::new()), ("answer", b"answer".to_vec())]
        );
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
    });
}

// ---------------------------------------------------------------- S8: forks

fn alive(world: &World, endpoint: Endpoint) -> Vec<SessionId> {
    let connected =
        |id: &SessionId| last(world, endpoint.host, *id) == Some((State::Connected, Reason::None));
    received(world, endpoint.host)
        .into_iter()
        .filter(connected)
        .collect()
}

// rules: S8, S10, X6
#[test]
fn of_two_callees_that_answer_a_forked_invite_one_has_the_session() {
    for seed in 50..54 {
        world::run(seed, |world| {
            let server = served(world);
            let alice = registered(world, server, "alice");
            let bobs = [registered(world, server, "bob"), registered(world, server, "bob")];
            let (out, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
            world.run_for(secs(1));
            // Both ring, and both take the call before they can know of each other.
            for name in ["provisional", "accept"] {
                for bob in bobs {
                    let session = received(world, bob.host)[0];
                    command(world, bob.host, session, |view| give(view, name)).unwrap();
                }
                world.run_for(if name == "accept" { Duration::ZERO } else { secs(1) });
            }
            assert_established(&world.result(alice.host, made));
            world.run_for(secs(1));
            let tags: std::collections::BTreeSet<String> = world
                .events(alice.host)
                .iter()
                .filter_map(|(_, event)| match event {
                    Event::Provisional { message, .. } => {
                        Some(message.to().unwrap().tag().unwrap().to_owned())
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(tags.len(), 2, "the provisional responses of both");
            let alive: Vec<_> = bobs.iter().map(|bob| alive(world, *bob).len()).collect();
            assert!(alive == [1, 0] || alive == [0, 1], "{alive:?}");
            let loser = bobs[usize::from(alive == [1, 0])];
            let session = received(world, loser.host)[0];
            assert_eq!(
                states(world, loser.host, session),
                [
                    (State::Connecting, Reason::None),
                    (State::Connected, Reason::None),
                    (State::Disconnected, Reason::TerminatedRemotely)
                ],
                "first the ACK, then the BYE"
            );
            assert_eq!(
                last(world, alice.host, out),
                Some((State::Connected, Reason::None))
            );
            let told = command(world, alice.host, out, |view| {
                view.send(Method::Info, None, Vec::new())
            })
            .unwrap();
            world.result(alice.host, told).unwrap();
            let ended = terminate(world, alice.host, out);
            world.result(alice.host, ended).unwrap();
            for bob in bobs {
                assert_eq!(world.with(bob.host, |stack, _| stack.census().sessions), 0);
            }
        });
    }
}

// rules: S8
#[test]
fn an_incoming_session_says_whether_it_was_forked() {
    world::run(54, |world| {
        let server = served(world);
        let alice = registered(world, server, "alice");
        let bobs = [registered(world, server, "bob"), registered(world, server, "bob")];
        let own = world.with(bobs[0].host, |stack, now| {
            stack
                .endpoint(now, bobs[0].id)
                .unwrap()
                .gruu()
                .unwrap()
                .to_owned()
        });
        for (target, forked) in [("sip:bob@example.com", true), (own.as_str(), false)] {
            world.invite(alice, target, Some(sdp()));
            world.run_for(secs(1));
            let session = *received(world, bobs[0].host).last().unwrap();
            let says = command(world, bobs[0].host, session, |view| view.is_forked());
            assert_eq!(says, forked, "{target}");
        }
        assert_eq!(
            received(world, bobs[1].host).len(),
            1,
            "the second was for the first alone"
        );
    });
    // Nobody forks for a peer without a server.
    world::run(55, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        assert!(!command(world, it.host, session, |view| view.is_forked()));
    });
}

// rules: S8, S3
#[test]
fn the_2xx_of_another_fork_is_acknowledged_and_ended_in_its_own_dialog() {
    world::run(55, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        for (tag, contact) in [("a", "carol"), ("b", "dave")] {
            let more = format!("Contact: <sip:{contact}@fork.invalid>\nRecord-Route: <sip:{tag}.invalid;lr>");
            world.say(call.line, &answer(&call.invite, "180 Ringing", tag, &more));
        }
        world.run_for(Duration::from_millis(20));
        let success = |world: &mut World, tag: &str| {
            let more = format!("Contact: <sip:{tag}@fork.invalid>\nRecord-Route: <sip:{tag}.invalid;lr>");
            world.say(call.line, &answer(&call.invite, "200 OK", tag, &more));
            world.run_for(Duration::from_millis(20));
            world.heard(call.line)
        };
        let won = success(world, "b");
        assert_eq!(
            won.iter().filter_map(Message::method).collect::<Vec<_>>(),
            [&Method::Ack]
        );
        let lost = success(world, "a");
        assert_eq!(
            lost.iter().filter_map(Message::method).collect::<Vec<_>>(),
            [&Method::Ack, &Method::Bye]
        );
        for (request, number) in lost.iter().zip([1, 2]) {
            assert_eq!(request.request_uri(), "sip:a@fork.invalid");
            assert_eq!(field(request, HeaderName::Route), "<sip:a.invalid;lr>");
            assert_eq!(request.to().unwrap().tag(), Some("a"));
            assert_eq!(request.cseq().unwrap().number, number);
        }
        world.say(call.line, &answer(&lost[1], "200 OK", "", ""));
        world.run_for(Duration::from_millis(20));
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Connected, Reason::None))
        );

        // After the end of the session, too.
        terminate(world, call.host, call.session);
        confirm(world, call.line, &Method::Bye, "200 OK");
        let late = success(world, "c");
        assert_eq!(
            late.iter().filter_map(Message::method).collect::<Vec<_>>(),
            [&Method::Ack, &Method::Bye]
        );
        world.say(call.line, &answer(&late[1], "200 OK", "", ""));
        let provisionals = world
            .events(call.host)
            .iter()
            .filter(|(_, e)| matches!(e, Event::Provisional { .. }));
        assert_eq!(provisionals.count(), 2);
    });
}

// rules: S4, S8
#[test]
fn a_2xx_that_comes_again_after_the_end_of_its_dialog_is_only_acknowledged() {
    world::run(57, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        let success = |world: &mut World, tag: &str| {
            let more = format!("Contact: <sip:{tag}@fork.invalid>");
            world.say(call.line, &answer(&call.invite, "200 OK", tag, &more));
            world.run_for(Duration::from_millis(20));
            let heard = world.heard(call.line);
            heard
                .iter()
                .filter_map(|message| message.method().cloned())
                .collect::<Vec<_>>()
        };
        assert_eq!(success(world, "a"), [Method::Ack]);
        assert_eq!(
            success(world, "b"),
            [Method::Ack, Method::Bye],
            "the fork has lost"
        );
        assert_eq!(success(world, "b"), [Method::Ack], "its BYE is under way");
        terminate(world, call.host, call.session);
        confirm(world, call.line, &Method::Bye, "200 OK");
        world.run_for(Duration::from_millis(20));
        world.heard(call.line);
        assert_eq!(
            success(world, "a"),
            [Method::Ack],
            "the session has ended its dialog"
        );
    });
}

// rules: S8, A1
#[test]
fn the_bye_to_a_fork_that_lost_answers_a_challenge() {
    world::run(56, |world| {
        let (peer, alice) = common::scripted_server_with(world, |config| {
            config.credentials = vec![
                sansip::security::Credentials::new("alice", sansip::security::Secret::new("secret"))
                    .with_realm("example.com"),
            ];
        });
        let (_, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        for tag in ["a", "b"] {
            let more = format!("Contact: <sip:{tag}@fork.invalid>");
            world.say(line, &answer(&invite, "200 OK", tag, &more));
        }
        world.result(alice.host, made).unwrap();
        let bye = next_request(world, line, &Method::Bye);
        let challenge =
            "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\", algorithm=MD5";
        world.say(
            line,
            &answer(&bye, "407 Proxy Authentication Required", "", challenge),
        );
        let again = confirm(world, line, &Method::Bye, "200 OK");
        assert!(field(&again, HeaderName::ProxyAuthorization).contains("username=\"alice\""));
        assert!(again.cseq().unwrap().number > bye.cseq().unwrap().number);
        assert_eq!(again.to().unwrap().tag(), Some("b"));
    });
}

// ---------------------------------------------------------------- S10: the end in every state

// rules: S10
#[test]
fn before_the_invite_has_left_nothing_leaves() {
    world::run(60, |world| {
        let caller = caller(world);
        for wait in [0, 10, 30] {
            let (session, made) = world.invite(caller.alice, CAROL, Some(sdp()));
            world.run_for(Duration::from_millis(wait));
            let ended = terminate(world, caller.host, session);
            assert_eq!(
                world.ended(caller.host, ended),
                Some(&Ok(Completion::Done)),
                "after {wait} ms"
            );
            assert_eq!(
                world.ended(caller.host, made),
                Some(&ended_by(SESSION_TERMINATED))
            );
            assert_eq!(
                last(world, caller.host, session),
                Some((State::Disconnected, Reason::TerminatedLocally))
            );
            world.run_for(secs(100));
            assert!(sent(world, caller.host, &["INVITE"]).is_empty());
        }
    });
}

// rules: S10
#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    world::run(61, |world| {
        let caller = caller(world);
        for provisional in ["100 Trying", "180 Ringing"] {
            let call = call_again(world, &caller);
            let ended = terminate(world, call.host, call.session);
            world.run_for(secs(20));
            assert!(world.heard(call.line).is_empty(), "RFC 3261 section 9.1");
            call.say(world, provisional, "t", "");
            let cancel = confirm(world, call.line, &Method::Cancel, "200 OK");
            for name in [
                HeaderName::Via,
                HeaderName::From,
                HeaderName::To,
                HeaderName::CallId,
            ] {
                assert_eq!(field(&cancel, name), field(&call.invite, name));
            }
            assert_eq!(cancel.request_uri(), call.invite.request_uri());
            assert_eq!(cancel.cseq().unwrap().number, call.invite.cseq().unwrap().number);
            assert_eq!(
                world.ended(call.host, ended),
                None,
                "the session ends with the INVITE"
            );
            call.say(world, "487 Request Terminated", "t", "");
            assert_eq!(methods(world, call.line), [Method::Ack]);
            assert_eq!(world.ended(call.host, ended), Some(&Ok(Completion::Done)));
            assert_eq!(
                world.ended(call.host, call.made),
                Some(&ended_by(SESSION_TERMINATED))
            );
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Disconnected, Reason::TerminatedLocally))
            );
        }
    });
}

/// As [`call`], over a connection that may exist already.
fn call_again(world: &mut World, caller: &Caller) -> Call {
    let (session, made) = world.invite(caller.alice, CAROL, Some(sdp()));
    let line = match world.lines(caller.peer).last() {
        Some(line) => *line,
        None => next_line(world, caller.peer, 0),
    };
    let invite = next_request(world, line, &Method::Invite);
    Call {
        host: caller.host,
        session,
        made,
        line,
        invite,
    }
}

// rules: S10
#[test]
fn a_cancel_that_never_left_is_not_missed() {
    world::run(62, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        let left = sent(world, call.host, &["INVITE sip:carol"])[0];
        let ended = terminate(world, call.host, call.session);
        assert_eq!(world.result(call.host, ended), Ok(Completion::Done));
        assert_eq!(world.now(), left + T1_64);
        assert!(world.heard(call.line).is_empty());
    });
}

// rules: S10
#[test]
fn a_cancelled_invite_without_final_response_ends_64_times_t1_after_the_cancel() {
    world::run(63, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "180 Ringing", "t", "");
        world.run_for(secs(10));
        let ended = terminate(world, call.host, call.session);
        let start = world.now();
        assert_eq!(sent(world, call.host, &["CANCEL sip:carol"]), [start], "at once");
        confirm(world, call.line, &Method::Cancel, "200 OK");
        assert_eq!(world.result(call.host, ended), Ok(Completion::Done));
        assert_eq!(world.now(), start + T1_64);
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::TerminatedLocally))
        );
    });
}

// rules: S10
#[test]
fn a_2xx_that_crosses_the_cancel_is_acknowledged_and_ended() {
    for provisional in [false, true] {
        for offer in [false, true] {
            world::run(64, |world| {
                let caller = caller(world);
                let call = call(world, &caller, offer.then(sdp));
                if provisional {
                    call.say(world, "180 Ringing", "t", "");
                }
                let ended = terminate(world, call.host, call.session);
                call.say(world, "200 OK", "t", "Content-Type: application/sdp\n\nv=0\n");
                let heard = world.heard(call.line);
                let methods: Vec<_> = heard.iter().filter_map(Message::method).collect();
                let cancel = provisional.then_some(&Method::Cancel);
                assert_eq!(
                    methods,
                    cancel
                        .into_iter()
                        .chain([&Method::Ack, &Method::Bye])
                        .collect::<Vec<_>>()
                );
                assert_eq!(world.ended(call.host, ended), None);
                for request in heard
                    .iter()
                    .filter(|request| request.method() != Some(&Method::Ack))
                {
                    world.say(call.line, &answer(request, "200 OK", "", ""));
                }
                world.run_for(Duration::from_millis(20));
                assert_eq!(world.ended(call.host, ended), Some(&Ok(Completion::Done)));
                assert_eq!(
                    world.ended(call.host, call.made),
                    Some(&ended_by(SESSION_TERMINATED))
                );
                let all = states(world, call.host, call.session);
                assert!(
                    !all.contains(&(State::Connected, Reason::None)),
                    "no ghost: {all:?}"
                );
                assert_eq!(
                    all.last(),
                    Some(&(State::Disconnected, Reason::TerminatedLocally))
                );
                assert!(
                    bodies(world, call.host).is_empty(),
                    "nobody asks for an answer any more"
                );
            });
        }
    }
}

// rules: S10
#[test]
fn a_callee_that_ends_before_the_ack_waits_for_it() {
    world::run(65, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        let accepted = command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let success = world.heard(it.line).pop().unwrap();
        let ended = terminate(world, it.host, session);
        world.run_for(secs(5));
        assert!(
            sent(world, it.host, &["BYE sip:"]).is_empty(),
            "RFC 3261 section 15: not before the ACK"
        );
        Side::caller(it.line, &success).say(world, "ACK", "");
        let acknowledged = world.now();
        let bye = confirm(world, it.line, &Method::Bye, "200 OK");
        assert!(sent(world, it.host, &["BYE sip:"])[0] < acknowledged);
        assert_eq!(bye.to().unwrap().tag(), success.from_().unwrap().tag());
        assert_eq!(world.ended(it.host, ended), Some(&Ok(Completion::Done)));
        assert_eq!(
            world.ended(it.host, accepted),
            Some(&ended_by(SESSION_TERMINATED))
        );
        assert_eq!(
            last(world, it.host, session),
            Some((State::Disconnected, Reason::TerminatedLocally))
        );
    });
}

// rules: S10
#[test]
fn a_callee_that_ends_and_gets_no_ack_sends_bye_after_64_times_t1() {
    world::run(66, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        let start = world.now();
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        let ended = terminate(world, it.host, session);
        world.run_for(T1_64);
        assert_eq!(sent(world, it.host, &["BYE sip:"]), [start + T1_64]);
        confirm(world, it.line, &Method::Bye, "200 OK");
        assert_eq!(world.ended(it.host, ended), Some(&Ok(Completion::Done)));
    });
}

// rules: S10
#[test]
fn a_cancel_after_the_accept_changes_nothing() {
    world::run(67, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let success = world.heard(it.line).pop().unwrap();
        world.say(it.line, &request("CANCEL", BOB, "<sip:bob@two.invalid>", 1, ""));
        world.run_for(Duration::from_millis(20));
        let answered = world.heard(it.line).pop().unwrap();
        assert_eq!(
            (answered.status(), answered.cseq().unwrap().method),
            (Some(StatusCode::OK), Method::Cancel)
        );
        assert_eq!(answered.to().unwrap().tag(), success.to().unwrap().tag());
        Side::caller(it.line, &success).say(world, "ACK", "");
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
    });
}

// rules: S10, S1
#[test]
fn a_cancel_of_a_ringing_call_is_seen_by_the_callee() {
    world::run(68, |world| {
        let server = served(world);
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        world.on_event(bob.host, |stack, now, event| {
            if let Event::SessionReceived { session, .. } = event {
                stack
                    .session(now, *session)
                    .unwrap()
                    .provisional(StatusCode::RINGING, None)
                    .unwrap();
            }
        });
        let (out, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.run_for(secs(5));
        assert_eq!(
            last(world, alice.host, out),
            Some((State::Alerted, Reason::ProvisionalResponseReceived))
        );
        let ended = terminate(world, alice.host, out);
        assert_eq!(world.result(alice.host, ended), Ok(Completion::Done));
        assert_eq!(world.ended(alice.host, made), Some(&ended_by(SESSION_TERMINATED)));
        let into = received(world, bob.host)[0];
        assert_eq!(
            states(world, bob.host, into),
            [(State::Disconnected, Reason::Canceled)]
        );
        assert_eq!(
            last(world, alice.host, out),
            Some((State::Disconnected, Reason::TerminatedLocally))
        );
    });
}

// rules: S10
#[test]
fn two_byes_that_cross_end_the_session_once() {
    world::run(69, |world| {
        let server = served(world);
        let (alice, bob) = (
            registered(world, server, "alice"),
            registered(world, server, "bob"),
        );
        accept_calls(world, bob.host);
        let (out, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(alice.host, made).unwrap();
        world.run_for(secs(1));
        let into = received(world, bob.host)[0];
        let ends = [(alice.host, out), (bob.host, into)]
            .map(|(host, session)| (host, terminate(world, host, session)));
        for (host, ended) in ends {
            assert_eq!(world.result(host, ended), Ok(Completion::Done));
        }
        for (host, session) in [(alice.host, out), (bob.host, into)] {
            let ends = states(world, host, session)
                .into_iter()
                .filter(|(state, _)| *state == State::Disconnected);
            assert_eq!(ends.count(), 1);
        }
    });
}

// rules: S10
#[test]
fn a_bye_of_a_callee_that_still_rings_is_refused() {
    world::run(69, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "180 Ringing", "t", "Contact: <sip:carol@peer.invalid>");
        let mut side = call.side("t");
        side.say(world, "BYE", "");
        let answered = world.heard(call.line).pop().unwrap();
        assert_eq!(answered.status(), Some(StatusCode::NO_SUCH_CALL));
        call.say(
            world,
            "200 OK",
            "t",
            &format!("{ALLOW}\nContent-Type: application/sdp\n\nv=0\n"),
        );
        next_request(world, call.line, &Method::Ack);
        assert_established(&world.result(call.host, call.made));
    });
}

// rules: S10, X3
#[test]
fn a_bye_that_waits_for_a_connection_is_not_sent_after_the_peers() {
    world::run(69, |world| {
        let it = callee(world);
        world.peer_listens(it.peer, 5060, Transport::Tcp);
        let (session, mut side) = taken(world, &it, 1);
        let other = world.dial(it.peer, it.address, None);
        world.run_for(Duration::from_millis(50));
        world.break_off(it.line);
        world.run_for(Duration::from_millis(50));
        // What is connected from now on takes a second.
        world.network.latency = Duration::from_millis(500);
        let ended = terminate(world, it.host, session);
        world.run_for(Duration::from_millis(50));
        assert_eq!(world.ended(it.host, ended), None, "the BYE waits");
        side.line = other;
        side.say(world, "BYE", "");
        let answers = world.heard(other);
        assert_eq!(
            answers.iter().filter_map(Message::status).collect::<Vec<_>>(),
            [StatusCode::OK]
        );
        assert_eq!(world.ended(it.host, ended), Some(&Ok(Completion::Done)));
        assert_eq!(
            last(world, it.host, session),
            Some((State::Disconnected, Reason::TerminatedLocally))
        );
        world.run_for(secs(60));
        assert_eq!(sent(world, it.host, &["BYE sip:"]), [], "the dialog is over");
    });
}

// rules: S10, C35
#[test]
fn a_bye_is_not_sent_again_after_the_peers() {
    for crossed in [false, true] {
        world::run(78, |world| {
            let it = callee(world);
            world.peer_listens(it.peer, 5060, Transport::Tcp);
            let (session, mut side) = taken(world, &it, 1);
            let other = world.dial(it.peer, it.address, None);
            world.run_for(Duration::from_millis(50));
            let ended = terminate(world, it.host, session);
            world.run_for(Duration::from_millis(50));
            next_request(world, it.line, &Method::Bye);
            side.line = other;
            if crossed {
                side.say(world, "BYE", "");
            }
            world.run_for(Duration::from_millis(50));
            world.break_off(it.line);
            world.run_for(secs(60));
            assert!(world.ended(it.host, ended).is_some());
            let byes = sent(world, it.host, &["BYE sip:"]).len();
            assert_eq!(
                byes,
                if crossed { 1 } else { 2 },
                "lost without an answer it is sent once more"
            );
        });
    }
}

// rules: S10, X3
#[test]
fn however_a_bye_is_answered_the_session_is_over() {
    for status in [
        "200 OK",
        "481 Call/Transaction Does Not Exist",
        "500 No",
        "408 Request Timeout",
        "",
    ] {
        world::run(70, |world| {
            let caller = caller(world);
            let (call, _) = connected(world, &caller);
            let start = world.now();
            let ends: Vec<OperationId> = (0..3)
                .map(|_| terminate(world, call.host, call.session))
                .collect();
            if !status.is_empty() {
                confirm(world, call.line, &Method::Bye, status);
            }
            for ended in ends {
                assert_eq!(world.result(call.host, ended), Ok(Completion::Done), "{status}");
            }
            assert_eq!(sent(world, call.host, &["BYE sip:"]).len(), 1);
            let (at, state, reason) = changes(world, call.host, call.session).pop().unwrap();
            assert_eq!((state, reason), (State::Disconnected, Reason::TerminatedLocally));
            if status.is_empty() {
                assert_eq!(at, start + T1_64, "timer F");
            }
        });
    }
}

// RFC 3261 section 12.2.1.1
// rules: S4, S10
#[test]
fn a_session_by_sips_is_ended_by_sips() {
    world::run(79, |world| {
        let (peer, alice) = common::scripted_server(world);
        let (session, made) = world.invite(alice, "sips:bob@two.invalid", Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        let more = "Contact: <sips:b@far.invalid>";
        world.say(line, &answer(&invite, "200 OK", "t", more));
        assert_established(&world.result(alice.host, made));
        next_request(world, line, &Method::Ack);
        terminate(world, alice.host, session);
        let bye = confirm(world, line, &Method::Bye, "200 OK");
        assert_eq!(bye.request_uri(), "sips:b@far.invalid");
        assert_eq!(field(&bye, HeaderName::To), "<sips:bob@two.invalid>;tag=t");
    });
}

// rules: S10, S16
#[test]
fn a_bye_of_the_caller_ends_what_still_rings() {
    world::run(71, |world| {
        let it = callee(world);
        let session = offered(world, &it, 1, "");
        command(world, it.host, session, |view| {
            view.provisional(StatusCode::RINGING, None)
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let ringing = world.heard(it.line).pop().unwrap();
        Side::caller(it.line, &ringing).say(world, "BYE", "");
        assert_eq!(codes(world, it.line), [200, 487]);
        assert_eq!(
            states(world, it.host, session),
            [(State::Disconnected, Reason::TerminatedRemotely)]
        );
    });
}

// ---------------------------------------------------------------- S12

// rules: S12
#[test]
fn a_caller_waits_three_minutes() {
    world::run(72, |world| {
        let caller = caller(world);
        let start = world.now();
        let call = call(world, &caller, Some(sdp()));
        for _ in 0..3 {
            call.say(world, "180 Ringing", "t", "");
            world.run_for(secs(50));
        }
        let cancel = confirm(world, call.line, &Method::Cancel, "200 OK");
        assert!(cancel.is_request());
        assert_eq!(sent(world, call.host, &["CANCEL sip:"]), [start + secs(180)]);
        call.say(world, "487 Request Terminated", "t", "");
        assert_eq!(
            world.ended(call.host, call.made),
            Some(&Err(OperationError::Timeout))
        );
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::Timeout))
        );
    });
}

// rules: S12
#[test]
fn a_callee_waits_three_minutes() {
    world::run(73, |world| {
        let it = callee(world);
        let before = world.now();
        let session = offered(world, &it, 1, "");
        world.run_for(secs(200));
        let (at, state, reason) = changes(world, it.host, session).pop().unwrap();
        assert_eq!((state, reason), (State::Disconnected, Reason::Timeout));
        let came = world
            .events(it.host)
            .iter()
            .find(|(_, event)| matches!(event, Event::SessionReceived { .. }));
        let came = came.unwrap().0;
        assert!(came > before);
        assert_eq!(at, came + secs(180));
    });
}

// rules: S12
#[test]
fn without_a_bound_both_wait_as_long_as_it_takes() {
    world::run(74, |world| {
        let patient = || Config {
            max_connect_duration: Duration::ZERO,
            ..Config::default()
        };
        let (a, b) = (world.stack_with(patient()), world.stack_with(patient()));
        let alice = world.peer_to_peer_endpoint(a, PeerToPeerConfig::new("sip:alice@one.invalid"));
        world.peer_to_peer_endpoint(b, PeerToPeerConfig::new(BOB));
        let address = world.listen(b, 5060);
        world.names.set_addresses("two.invalid", &[address.ip()]);
        let (out, made) = world.invite(alice, "sip:bob@two.invalid:5060", Some(sdp()));
        world.run_for(secs(1));
        let into = received(world, b)[0];
        for _ in 0..4 {
            command(world, b, into, |view| view.provisional(StatusCode::RINGING, None)).unwrap();
            world.run_for(secs(600));
        }
        assert_eq!(
            last(world, a, out),
            Some((State::Alerted, Reason::ProvisionalResponseReceived))
        );
        command(world, b, into, |view| view.accept(Some(sdp()))).unwrap();
        assert_established(&world.result(a, made));
    });
}

// ---------------------------------------------------------------- S15: requests inside

/// The bodies of the requests that an application has seen in its sessions.
fn heard_inside(world: &World, host: StackId) -> Vec<(Method, String)> {
    let inside = |(_, event): &(Time, Event)| match event {
        Event::SessionMessage { message, .. } => {
            let text = String::from_utf8_lossy(message.body_bytes()).into_owned();
            Some((message.method().unwrap().clone(), text))
        }
        _ => None,
    };
    world.events(host).iter().filter_map(inside).collect()
}

// rules: S15, S4, M4
#[test]
fn a_hundred_requests_each_way_arrive_in_order_and_are_answered() {
    const METHODS: [Method; 4] = [Method::Message, Method::Info, Method::Options, Method::Notify];
    for through in [false, true] {
        world::run(75, |world| {
            let it = if through {
                let server = served(world);
                let (alice, bob) = (
                    registered(world, server, "alice"),
                    registered(world, server, "bob"),
                );
                accept_calls(world, bob.host);
                let (out, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
                world.result(alice.host, made).unwrap();
                world.run_for(secs(1));
                Pair {
                    a: alice.host,
                    b: bob.host,
                    out,
                    into: received(world, bob.host)[0],
                }
            } else {
                pair(world, false)
            };
            world.network.chunks = world::Chunks::Random;
            world.network.jitter = Duration::from_millis(5);
            let mut sent = Vec::new();
            for number in 0..100 {
                let method = METHODS[number % 4].clone();
                for (host, session) in [(it.a, it.out), (it.b, it.into)] {
                    let content = Some(Content::text(format!("{number}")));
                    let send = |view: &mut SessionView<'_>| view.send(method.clone(), content, Vec::new());
                    sent.push((host, command(world, host, session, send).unwrap()));
                }
                if number % 7 == 0 {
                    world.run_for(Duration::from_millis(3));
                }
            }
            for (host, operation) in sent {
                let response = world.result(host, operation).unwrap();
                assert_eq!(response.response().unwrap().status(), Some(StatusCode::OK));
            }
            let expected: Vec<_> = (0..100)
                .map(|number| (METHODS[number % 4].clone(), number.to_string()))
                .collect();
            assert_eq!(heard_inside(world, it.a), expected);
            assert_eq!(heard_inside(world, it.b), expected);
        });
    }
}

// rules: S15, M4, M9
#[test]
fn a_held_request_is_answered_by_the_application_or_after_32_seconds() {
    world::run(76, |world| {
        let it = pair(world, false);
        hold_requests(world, it.b);
        let (first, second) = (info(world, it.a, it.out), info(world, it.a, it.out));
        world.run_for(secs(10));
        assert_eq!(world.ended(it.a, first), None);
        let incomings: Vec<_> = world
            .events(it.b)
            .iter()
            .filter_map(|(at, event)| match event {
                Event::SessionMessage { incoming, .. } => Some((*at, *incoming)),
                _ => None,
            })
            .collect();
        let answer = |world: &mut World| {
            world.with(it.b, |stack, now| {
                stack.incoming(now, incomings[0].1)?.answer(
                    status(488),
                    Some("No"),
                    Some(Content::text("why")),
                    &[],
                )
            })
        };
        answer(world).unwrap();
        assert_eq!(answer(world), Err(Misuse::Answered));
        let result = world.result(it.a, first);
        assert_eq!(failure_code(&result), 488);
        // Who asks gives up after the same time, which began earlier.
        assert_eq!(world.result(it.a, second), Err(OperationError::Timeout));
        world.run_for(secs(1));
        assert_eq!(sent(world, it.b, &["SIP/2.0 500"]), [incomings[1].0 + secs(32)]);
        assert_eq!(
            last(world, it.a, it.out),
            Some((State::Connected, Reason::None)),
            "a failure inside is no end"
        );
    });
}

// rules: S1, S15, X3
#[test]
fn a_481_to_a_request_inside_ends_the_session() {
    world::run(77, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        let (first, second) = (
            info(world, call.host, call.session),
            info(world, call.host, call.session),
        );
        confirm(
            world,
            call.line,
            &Method::Info,
            "481 Call/Transaction Does Not Exist",
        );
        assert_eq!(failure_code(&world.result(call.host, first)), 481);
        assert_eq!(
            world.ended(call.host, second),
            Some(&ended_by(SESSION_TERMINATED))
        );
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::SessionDoesNotExist))
        );
        assert!(
            sent(world, call.host, &["BYE sip:"]).is_empty(),
            "there is nobody to say it to"
        );
        let end = |event: &Event| {
            matches!(
                event,
                Event::Session {
                    new: State::Disconnected,
                    ..
                }
            )
        };
        let events: Vec<&Event> = world.events(call.host).iter().map(|(_, event)| event).collect();
        let end = events.iter().position(|event| end(event)).unwrap();
        let done = |operation| {
            let done =
                |event: &&Event| matches!(event, Event::Completed { operation: of, .. } if *of == operation);
            events.iter().position(done).unwrap()
        };
        assert!(
            end < done(first) && end < done(second),
            "completions come after what they caused"
        );
    });
}

// ---------------------------------------------------------------- S18, C9, C13: the session and its connection

// rules: S18, C9, C8
#[test]
fn a_session_keeps_its_connection_beyond_the_linger_time() {
    world::run(80, |world| {
        let it = pair(world, false);
        let link = world.link_between(it.a, it.b);
        for _ in 0..5 {
            world.run_for(secs(600));
            let told = info(world, it.b, it.into);
            world.result(it.b, told).unwrap();
            assert_eq!(world.link_between(it.a, it.b), link);
        }
        let ended = terminate(world, it.a, it.out);
        world.result(it.a, ended).unwrap();
        world.run_for(secs(59));
        assert!(world.is_open(link), "a minute");
        world.run_for(secs(2));
        assert!(!world.is_open(link));
    });
}

// rules: S18, C13, S4
#[test]
fn a_session_survives_the_loss_of_its_connection() {
    for both in [false, true] {
        world::run(81, |world| {
            let it = pair(world, both);
            for _ in 0..3 {
                let link = world.link_between(it.a, it.b);
                world.reset(link);
                world.run_for(secs(1));
                assert!(world.links(it.a, it.b).is_empty());
                let told = info(world, it.a, it.out);
                world.result(it.a, told).unwrap();
                world.run_for(secs(1));
                world.link_between(it.a, it.b);
                // The other side has learnt where to.
                let told = info(world, it.b, it.into);
                world.result(it.b, told).unwrap();
                world.link_between(it.a, it.b);
            }
            let refreshes = sent(world, it.a, &["UPDATE sip:"]).len();
            assert_eq!(
                refreshes,
                if both { 0 } else { 3 },
                "only where our Contact named the lost connection"
            );
            world.run_for(secs(300));
            world.link_between(it.a, it.b);
            let ended = terminate(world, it.b, it.into);
            world.result(it.b, ended).unwrap();
            assert_eq!(
                last(world, it.a, it.out),
                Some((State::Disconnected, Reason::TerminatedRemotely))
            );
        });
    }
}

// rules: S18, C13
#[test]
fn the_callee_too_makes_a_new_connection() {
    world::run(82, |world| {
        let it = pair(world, true);
        world.reset(world.link_between(it.a, it.b));
        world.run_for(secs(1));
        let told = info(world, it.b, it.into);
        world.result(it.b, told).unwrap();
        world.run_for(secs(300));
        let link = world.link_between(it.a, it.b);
        let told = info(world, it.a, it.out);
        world.result(it.a, told).unwrap();
        assert_eq!(
            world.link_between(it.a, it.b),
            link,
            "one connection is enough for both"
        );
    });
}

// rules: S18, C13, S10
#[test]
fn a_bye_needs_no_target_refresh() {
    world::run(83, |world| {
        let it = pair(world, false);
        world.reset(world.link_between(it.a, it.b));
        world.run_for(secs(1));
        let ended = terminate(world, it.a, it.out);
        assert_eq!(world.result(it.a, ended), Ok(Completion::Done));
        assert_eq!(
            last(world, it.b, it.into),
            Some((State::Disconnected, Reason::TerminatedRemotely))
        );
        assert!(sent(world, it.a, &["UPDATE sip:"]).is_empty());
    });
}

// rules: S18, S4, C13, C35
#[test]
fn requests_that_never_left_a_lost_connection_go_out_in_order_over_one_new_one() {
    for both in [false, true] {
        world::run(88, |world| {
            let it = pair(world, both);
            let link = world.link_between(it.a, it.b);
            // The system takes no more bytes of this connection.
            world.network.window = 0;
            let told: Vec<OperationId> = (0..5)
                .map(|number| {
                    let content = Some(Content::text(format!("{number}")));
                    let send = |view: &mut SessionView<'_>| view.send(Method::Message, content, Vec::new());
                    command(world, it.a, it.out, send).unwrap()
                })
                .collect();
            world.run_for(secs(1));
            world.reset(link);
            world.network.window = 64 << 10;
            for operation in told {
                world.result(it.a, operation).unwrap();
            }
            let expected: Vec<_> = (0..5)
                .map(|number| (Method::Message, number.to_string()))
                .collect();
            assert_eq!(heard_inside(world, it.b), expected);
            world.link_between(it.a, it.b);
        });
    }
}

// rules: S18, C10, C13
#[test]
fn a_session_survives_that_its_connection_is_closed_for_idleness() {
    world::run(89, |world| {
        let it = pair(world, true);
        world.run_for(secs(20 * 60));
        assert!(world.links(it.a, it.b).is_empty());
        for (host, session) in [(it.b, it.into), (it.a, it.out)] {
            let told = info(world, host, session);
            world.result(host, told).unwrap();
        }
        world.link_between(it.a, it.b);
    });
}

// rules: S10, C35
#[test]
fn a_bye_whose_connection_is_lost_under_it_is_sent_again() {
    world::run(84, |world| {
        let it = pair(world, false);
        let link = world.link_between(it.a, it.b);
        world.black_hole(link);
        let ended = terminate(world, it.a, it.out);
        world.reset(link);
        assert_eq!(world.result(it.a, ended), Ok(Completion::Done));
        world.run_for(secs(1));
        assert_eq!(
            last(world, it.b, it.into),
            Some((State::Disconnected, Reason::TerminatedRemotely)),
            "no ghost"
        );
        assert_eq!(sent(world, it.a, &["BYE sip:"]).len(), 2);
    });
}

// rules: S18, C13, R22
#[test]
fn a_session_of_a_sip_endpoint_survives_the_loss_of_the_server_connection() {
    for registers in [true, false] {
        world::run(85, |world| {
            let server = world.front_end(sansip_testkit::frontend::FrontEndConfig::new("example.com"));
            let bob = registered(world, server, "bob");
            let alice = if registers {
                registered(world, server, "alice")
            } else {
                common::at(world, server, "alice")
            };
            accept_calls(world, bob.host);
            let (out, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
            world.result(alice.host, made).unwrap();
            world.run_for(secs(1));
            let into = received(world, bob.host)[0];
            world.reset(world.link_between(alice.host, server));
            world.run_for(secs(10));
            let told = info(world, alice.host, out);
            world.result(alice.host, told).unwrap();
            world.run_for(secs(1));
            assert_eq!(heard_inside(world, bob.host).len(), 1);
            world.link_between(alice.host, server);
            let refreshes = sent(world, alice.host, &["UPDATE sip:"]).len();
            assert_eq!(refreshes, usize::from(!registers), "a GRUU stands for itself");
            let ended = terminate(world, alice.host, out);
            world.result(alice.host, ended).unwrap();
            assert_eq!(
                last(world, bob.host, into),
                Some((State::Disconnected, Reason::TerminatedRemotely))
            );
        });
    }
}

// rules: C33, C36, S3
#[test]
fn a_2xx_after_the_loss_of_the_connection_goes_where_via_says_and_names_our_contact() {
    world::run(86, |world| {
        let (a, b) = (world.stack(), world.stack());
        let alice = world.peer_to_peer_endpoint(a, PeerToPeerConfig::new("sip:alice@one.invalid"));
        world.peer_to_peer_endpoint(b, PeerToPeerConfig::new(BOB));
        world.listen(a, 5060);
        let address = world.listen(b, 5060);
        world.names.set_addresses("two.invalid", &[address.ip()]);
        let peer = world.peer();
        let line = world.dial(peer, address, None);
        let home = world.peer_listens(peer, 5070, Transport::Tcp);
        world.run_for(secs(1));
        let more = format!("Contact: <sip:p@{home};transport=tcp>");
        let invite = request("INVITE", BOB, "<sip:bob@two.invalid>", 1, &more)
            .replace("TCP peer.invalid;", &format!("TCP {home};"));
        world.say(line, &invite);
        world.run_for(secs(1));
        let session = received(world, b)[0];
        world.break_off(line);
        world.run_for(secs(1));
        let accepted = command(world, b, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(secs(1));
        let back = *world.lines(peer).last().expect("the callee has connected");
        let success = world.heard(back).pop().expect("the 2xx");
        assert_eq!(success.status(), Some(StatusCode::OK));
        let contact = field(&success, HeaderName::Contact);
        assert!(contact.contains(&format!("@{address}")), "Contact: {contact}");
        let mut side = Side::caller(back, &success);
        side.say(world, "ACK", "");
        assert_eq!(world.ended(b, accepted), Some(&Ok(Completion::Done)));
        assert!(alice.host == a);
        let told = info(world, b, session);
        confirm(world, back, &Method::Info, "200 OK");
        assert!(world.result(b, told).is_ok());
    });
}

// rules: C33, S1, X6
#[test]
fn responses_that_wait_for_connections_of_their_own_all_leave_over_the_first() {
    for second in [Reachability::Open, Reachability::Refused] {
        world::run(87, |world| {
            let it = callee(world);
            let home = world.peer_listens(it.peer, 5070, Transport::Tcp);
            let more = format!("Contact: <sip:p@{home};transport=tcp>");
            let invite = request("INVITE", BOB, "<sip:bob@two.invalid>", 1, &more);
            world.say(
                it.line,
                &invite.replace("TCP peer.invalid;", &format!("TCP {home};")),
            );
            world.run_for(secs(1));
            let session = received(world, it.host)[0];
            world.break_off(it.line);
            world.run_for(secs(1));
            command(world, it.host, session, |view| {
                view.provisional(StatusCode::RINGING, None)
            })
            .unwrap();
            world.set_reachability(home, second);
            command(world, it.host, session, |view| view.reject(status(486), None)).unwrap();
            world.run_for(secs(1));
            let all: Vec<u16> = world
                .lines(it.peer)
                .into_iter()
                .flat_map(|line| codes(world, line))
                .collect();
            assert_eq!(all, [180, 486]);
        });
    }
}

// rules: S4, C13
#[test]
fn an_update_without_body_refreshes_the_target() {
    world::run(91, |world| {
        let it = callee(world);
        let (session, mut side) = taken(world, &it, 1);
        side.say(
            world,
            "UPDATE",
            "Contact: <sip:moved@198.51.100.7:5090;transport=tcp>",
        );
        let answered = world.heard(it.line).pop().unwrap();
        assert_eq!(answered.status(), Some(StatusCode::OK));
        assert!(
            !field(&answered, HeaderName::Contact).is_empty(),
            "RFC 3311: the 2xx has a Contact"
        );
        let told = info(world, it.host, session);
        let request = confirm(world, it.line, &Method::Info, "200 OK");
        assert_eq!(request.request_uri(), "sip:moved@198.51.100.7:5090;transport=tcp");
        assert!(world.result(it.host, told).is_ok());
        // A lower CSeq refreshes nothing.
        side.say_numbered(world, "UPDATE", 1, "Contact: <sip:old@198.51.100.8>");
        assert_eq!(codes(world, it.line), [500]);
        let target = command(world, it.host, session, |view| view.target().map(str::to_owned));
        assert_eq!(
            target.as_deref(),
            Some("sip:moved@198.51.100.7:5090;transport=tcp")
        );
    });
}

// ---------------------------------------------------------------- E13: the end of an endpoint

// rules: E13, E7, S10, X3, X6
#[test]
fn an_endpoint_that_ends_takes_sessions_in_every_state_along() {
    world::run(95, |world| {
        let it = callee(world);
        let home = world.peer_listens(it.peer, 5060, Transport::Tcp);
        let target = format!("sip:p@{home};transport=tcp");
        // As callee: offered, accepted and not acknowledged, connected.
        let offered_one = offered(world, &it, 1, "");
        let accepted = offered(world, &it, 2, "");
        let accepting = command(world, it.host, accepted, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        world.heard(it.line);
        let (connected, _) = taken(world, &it, 3);
        // As caller: idle, invited, ringing, asked for an answer.
        let made = |stack: &mut Stack, now| stack.endpoint(now, it.bob.id)?.create_session(&target);
        let idle = world.with(it.host, made).unwrap();
        let calls: Vec<(SessionId, OperationId)> = (0..3)
            .map(|number| world.invite(it.bob, &target, (number < 2).then(sdp)))
            .collect();
        world.run_for(secs(1));
        let invites: Vec<(LineId, Message)> = world
            .lines(it.peer)
            .into_iter()
            .flat_map(|line| world.heard(line).into_iter().map(move |message| (line, message)))
            .filter(|(_, message)| message.method() == Some(&Method::Invite))
            .collect();
        assert_eq!(invites.len(), 3);
        let contact = format!("Contact: <sip:p@{home};transport=tcp>");
        let ringing = answer(&invites[1].1, "180 Ringing", "r", &contact);
        let success = answer(
            &invites[2].1,
            "200 OK",
            "s",
            &format!("{contact}\nContent-Type: application/sdp\n\nv=0\n"),
        );
        world.say(invites[1].0, &ringing);
        world.say(invites[2].0, &success);
        world.run_for(Duration::from_millis(20));
        let told = info(world, it.host, connected);
        let ended = world.terminate(it.bob);
        let again = world.terminate(it.bob);
        world.run_for(Duration::from_millis(20));
        // The peer does what it should.
        let all: Vec<(LineId, Message)> = world
            .lines(it.peer)
            .into_iter()
            .flat_map(|line| world.heard(line).into_iter().map(move |message| (line, message)))
            .collect();
        let count = |method: &Method| {
            all.iter()
                .filter(|(_, message)| message.method() == Some(method))
                .count()
        };
        assert_eq!(
            (count(&Method::Cancel), count(&Method::Bye), count(&Method::Ack)),
            (1, 2, 1)
        );
        let refused = all
            .iter()
            .filter(|(_, message)| message.status() == Some(status(480)))
            .count();
        assert_eq!(refused, 1, "the offered one");
        for (line, message) in &all {
            if matches!(message.method(), Some(Method::Bye | Method::Cancel)) {
                world.say(*line, &answer(message, "200 OK", "", ""));
            }
        }
        world.say(
            invites[1].0,
            &answer(&invites[1].1, "487 Request Terminated", "r", ""),
        );
        world.run_for(secs(1));
        assert_eq!(
            world.ended(it.host, ended),
            None,
            "one waits for a response, one for its ACK"
        );
        for operation in [ended, again] {
            assert_eq!(world.result(it.host, operation), Ok(Completion::Done));
        }
        for session in [
            offered_one,
            accepted,
            connected,
            idle,
            calls[0].0,
            calls[1].0,
            calls[2].0,
        ] {
            // The ACK that the accepted one waited for has never come.
            let why = if session == accepted {
                Reason::Timeout
            } else {
                Reason::TerminatedLocally
            };
            assert_eq!(
                last(world, it.host, session),
                Some((State::Disconnected, why)),
                "{session}"
            );
        }
        for operation in [accepting, calls[0].1, calls[1].1, calls[2].1, told] {
            assert!(
                matches!(world.ended(it.host, operation), Some(Err(_))),
                "{operation}"
            );
        }
        let events = world.events(it.host);
        let gone = events
            .iter()
            .position(|(_, event)| matches!(event, Event::EndpointTerminated { .. }))
            .unwrap();
        assert!(
            events[gone + 1..]
                .iter()
                .all(|(_, event)| matches!(event, Event::Completed { .. } | Event::ConnectionRemoved { .. })),
            "only completions follow"
        );
    });
}

// ---------------------------------------------------------------- everything at once

/// A sequence that is the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What the applications of two hosts have seen: the sessions that they know, by Call-ID.
fn believed(world: &mut World, hosts: [StackId; 2]) -> [std::collections::BTreeMap<String, SessionId>; 2] {
    hosts.map(|host| {
        let mut last_seen = std::collections::BTreeMap::new();
        for (_, event) in world.events(host) {
            if let Event::Session { session, new, .. } = event {
                last_seen.insert(*session, *new);
            }
        }
        let alive: Vec<SessionId> = last_seen
            .into_iter()
            .filter(|(_, state)| *state == State::Connected)
            .map(|(session, _)| session)
            .collect();
        alive
            .into_iter()
            .map(|session| {
                (
                    command(world, host, session, |view| view.call_id().unwrap().to_owned()),
                    session,
                )
            })
            .collect()
    })
}

/// Every session of a host that its application knows and that has not ended, with the state that it has seen.
fn known(world: &World, host: StackId) -> Vec<(SessionId, State)> {
    let mut known = std::collections::BTreeMap::new();
    for (_, event) in world.events(host) {
        match event {
            Event::SessionReceived { session, .. } => {
                known.insert(*session, State::Incoming);
            }
            Event::Session { session, new, .. } => {
                known.insert(*session, *new);
            }
            _ => {}
        }
    }
    known
        .into_iter()
        .filter(|(_, state)| *state != State::Disconnected)
        .collect()
}

/// Two hosts that listen call, answer, cancel, end and talk at random; with `resets` their links break. Then the
/// network is whole, everybody who believes in a session says something in it, and both ends have to agree.
fn entangle(world: &mut World, seed: u64, resets: bool) -> usize {
    let mut dice = Dice(seed);
    world.network.latency = Duration::from_millis(1 + dice.below(200));
    world.network.jitter = Duration::from_millis(dice.below(100));
    if dice.below(2) == 0 {
        world.network.chunks = world::Chunks::Random;
    }
    let hosts = [world.stack(), world.stack()];
    let uris = ["sip:alice@one.invalid", BOB];
    let mut endpoints = Vec::new();
    for (host, (uri, name)) in hosts
        .into_iter()
        .zip(uris.into_iter().zip(["one.invalid", "two.invalid"]))
    {
        endpoints.push(world.peer_to_peer_endpoint(host, PeerToPeerConfig::new(uri)));
        let address = world.listen(host, 5060);
        world.names.set_addresses(name, &[address.ip()]);
    }
    let mut operations = Vec::new();
    for _ in 0..40 {
        let side = usize::from(dice.below(2) == 1);
        let host = hosts[side];
        let sessions = known(world, host);
        let chosen = sessions
            .get(usize::try_from(dice.below(sessions.len().max(1) as u64)).unwrap())
            .copied();
        match (dice.below(12), chosen) {
            (0..=1, _) | (_, None) => {
                let offer = (dice.below(3) > 0).then(sdp);
                let (_, operation) =
                    world.invite(endpoints[side], &format!("{}:5060", uris[1 - side]), offer);
                operations.push((host, operation));
            }
            (2, _) if resets => {
                let links = world.links(hosts[0], hosts[1]);
                if let Some(link) = links.get(usize::try_from(dice.below(links.len().max(1) as u64)).unwrap())
                {
                    world.reset(*link);
                }
            }
            (choice, Some((session, state))) => {
                let name = match (state, choice) {
                    (State::Incoming, 3..=4) => "provisional",
                    (State::Incoming, 5..=8) => "accept",
                    (State::Incoming, 9) => "reject",
                    (State::Connecting, 3..=6) => "answer",
                    (State::Connected, 3..=4) => "send",
                    (State::Connected, 5..=6) => "renegotiate",
                    (State::Connected | State::Connecting, 7) => "accept_renegotiation",
                    (State::Connected | State::Connecting, 8) => "reject_renegotiation",
                    (_, 10..=11) => "terminate",
                    _ => continue,
                };
                // An answer may be wanted or not, a change be under way or not; everything else is legal by what this
                // application has seen and done.
                if let Ok(Some(operation)) = command(world, host, session, |view| give(view, name)) {
                    operations.push((host, operation));
                }
            }
        }
        world.run_for(Duration::from_millis(dice.below(400)));
    }
    // Longer than all that can be under way: three minutes of ringing, then a CANCEL without final response.
    world.run_for(secs(300));
    if resets {
        for (host, sessions) in hosts.into_iter().zip(believed(world, hosts)) {
            for session in sessions.into_values() {
                let told = info(world, host, session);
                operations.push((host, told));
            }
        }
        world.run_for(secs(100));
    }
    let [ours, theirs] = believed(world, hosts);
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        theirs.keys().collect::<Vec<_>>(),
        "both ends agree"
    );
    for (host, operation) in operations {
        let ends = world
            .events(host)
            .iter()
            .filter(|(_, event)| matches!(event, Event::Completed { operation: of, .. } if *of == operation));
        assert_eq!(ends.count(), 1, "{operation} completes once");
    }
    for host in hosts {
        let mut seen = std::collections::BTreeMap::new();
        for (_, event) in world.events(host) {
            if let Event::Session {
                session, old, new, ..
            } = event
                && let Some(before) = seen.insert(*session, *new)
            {
                assert_eq!(
                    (before, before == State::Disconnected),
                    (*old, false),
                    "{session}: a chain"
                );
            }
        }
    }
    ours.len()
}

// rules: S1, S10, S15, S16, X1, X2, X3, X6
#[test]
fn at_random_both_ends_agree_whether_there_is_a_session() {
    let alive = std::cell::Cell::new(0);
    for seed in world::seeds(250) {
        world::run(seed, |world| {
            alive.set(alive.get() + entangle(world, seed, false))
        });
    }
    assert!(
        alive.get() > 0 || std::env::var("SANSIP_SEED").is_ok(),
        "some calls have lasted"
    );
}

// rules: S10, S18, C13, C35, X1, X2, X3, X6
#[test]
fn at_random_over_breaking_links_both_ends_agree_whether_there_is_a_session() {
    let alive = std::cell::Cell::new(0);
    for seed in world::seeds(250) {
        world::run(seed, |world| alive.set(alive.get() + entangle(world, seed, true)));
    }
    assert!(
        alive.get() > 0 || std::env::var("SANSIP_SEED").is_ok(),
        "some calls have lasted"
    );
}
