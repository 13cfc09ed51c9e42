//! Calls that are sent elsewhere, as the caller and the callee see them (rules S1, S2, S13).

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
    Event, Misuse, OperationError, OperationFailure, PeerToPeerConfig, RedirectAction as Action,
    ReliableResponses, SessionId, SessionReason as Reason, SessionState as State, SessionView, Transport,
};
use sansip_testkit::world::{self, LineId, PeerId, World};

use common::stage::{
    ALLOW, BOB, CAROL, Call, answer, call, command, confirm, ended_by, last, offered, states, terminate,
};
use common::{Callee, Caller, callee, failure_code, field, next_request, sdp, secs};

/// A caller that decides about redirections, and a scripted peer that it calls.
fn deciding(world: &mut World) -> Caller {
    let caller = common::caller(world);
    let mut config = PeerToPeerConfig::new("sip:anna@one.invalid");
    config.profile.redirects = true;
    let alice = world.peer_to_peer_endpoint(caller.host, config);
    Caller { alice, ..caller }
}

/// A further peer that can be called at this name.
fn elsewhere(world: &mut World, name: &str) -> PeerId {
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    world.names.set_addresses(name, &[address.ip()]);
    peer
}

/// What the application was asked: the target, those after it, and the status of the failure.
fn asked(world: &World, call: &Call) -> Vec<(String, Vec<String>, u16)> {
    let asked = |(_, event): &(_, Event)| match event {
        Event::Redirected {
            session,
            target,
            others,
            error,
        } if *session == call.session => {
            let status = error
                .response()
                .and_then(Message::status)
                .map_or(0, StatusCode::code);
            Some((target.clone(), others.clone(), status))
        }
        _ => None,
    };
    world.events(call.host).iter().filter_map(asked).collect()
}

fn decide(world: &mut World, call: &Call, action: Action) {
    command(world, call.host, call.session, |view| {
        view.follow_redirect(action)
    })
    .unwrap();
    world.run_for(secs(1));
}

/// The INVITE that a peer has got, and over which line.
fn invited(world: &mut World, peer: PeerId) -> (LineId, Message) {
    let line = *world.lines(peer).last().expect("it was called");
    (line, next_request(world, line, &Method::Invite))
}

/// A peer answers its INVITE.
fn says(world: &mut World, (line, invite): &(LineId, Message), status: &str, more: &str) {
    let contact = "Contact: <sip:x@10.3.0.9:5060;transport=tcp>";
    let more = if status.starts_with('3') {
        more.to_owned()
    } else {
        format!("{contact}\n{more}")
    };
    world.say(*line, &answer(invite, status, "x", &more));
    world.run_for(secs(1));
}

fn redirected(world: &mut World, caller: &Caller, contacts: &str) -> Call {
    // The connection of an earlier call is used again.
    let (session, made) = world.invite(caller.alice, CAROL, Some(sdp()));
    world.run_for(Duration::from_millis(100));
    let line = *world.lines(caller.peer).last().unwrap();
    let call = Call {
        host: caller.host,
        session,
        made,
        line,
        invite: next_request(world, line, &Method::Invite),
    };
    let text = answer(&call.invite, "302 Moved Temporarily", "t", contacts);
    world.say(call.line, &text);
    world.run_for(secs(1));
    call
}

// rules: S13, S1
#[test]
fn a_call_that_is_redirected_goes_where_the_application_says() {
    world::run(1, |world| {
        let caller = deciding(world);
        let dave = elsewhere(world, "dave.invalid");
        // The best first.
        let call = redirected(
            world,
            &caller,
            "Contact: <sip:e@erin.invalid>;q=0.1, <sip:d@dave.invalid?Subject=x>;q=0.9",
        );
        let (target, other) = ("sip:d@dave.invalid".to_owned(), "sip:e@erin.invalid".to_owned());
        assert_eq!(asked(world, &call), [(target, vec![other], 302)]);
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Redirecting, Reason::None))
        );
        decide(world, &call, Action::TryThis);
        let invite = invited(world, dave);
        // RFC 3261 section 8.1.3.4: the same call, with the next number.
        assert_eq!(invite.1.request_uri(), "sip:d@dave.invalid");
        for name in [HeaderName::CallId, HeaderName::From, HeaderName::To] {
            assert_eq!(field(&invite.1, name), field(&call.invite, name), "{name}");
        }
        let number = |invite: &Message| invite.cseq().unwrap().number;
        assert_eq!(number(&invite.1), number(&call.invite) + 1);
        assert_eq!(invite.1.body_bytes(), call.invite.body_bytes());
        says(world, &invite, "180 Ringing", "");
        says(world, &invite, "200 OK", ALLOW);
        assert!(world.result(call.host, call.made).is_ok());
        let seen: Vec<State> = states(world, call.host, call.session)
            .into_iter()
            .map(|(state, _)| state)
            .collect();
        assert_eq!(
            seen,
            [
                State::Connecting,
                State::Redirecting,
                State::Connecting,
                State::Alerted,
                State::Connected
            ]
        );
        let ack = next_request(world, invite.0, &Method::Ack);
        assert_eq!(ack.request_uri(), "sip:x@10.3.0.9:5060;transport=tcp");
    });
}

// rules: S13
#[test]
fn a_target_that_fails_is_asked_about_again_or_the_next_is_tried_at_once() {
    for all in [false, true] {
        world::run(2, |world| {
            let caller = deciding(world);
            let (dave, erin) = (elsewhere(world, "dave.invalid"), elsewhere(world, "erin.invalid"));
            let call = redirected(
                world,
                &caller,
                "Contact: <sip:d@dave.invalid>, <sip:e@erin.invalid>",
            );
            let action = if all { Action::TryAll } else { Action::TryThis };
            decide(world, &call, action);
            let invite = invited(world, dave);
            says(world, &invite, "486 Busy Here", "");
            let erins = "sip:e@erin.invalid".to_owned();
            if all {
                assert_eq!(asked(world, &call).len(), 1, "no more asking");
            } else {
                assert_eq!(asked(world, &call)[1..], [(erins, vec![], 486)]);
                decide(world, &call, Action::TryThis);
            }
            let invite = invited(world, erin);
            says(world, &invite, "480 Not Here", "");
            // The last failure is that of the call.
            assert_eq!(failure_code(&world.result(call.host, call.made)), 480);
            assert_eq!(
                last(world, call.host, call.session),
                Some((State::Disconnected, Reason::TemporarilyUnavailable))
            );
        });
    }
}

// rules: S13
#[test]
fn a_target_is_skipped_and_the_call_given_up() {
    world::run(3, |world| {
        let caller = deciding(world);
        let erin = elsewhere(world, "erin.invalid");
        let both = "Contact: <sip:d@dave.invalid>, <sip:e@erin.invalid>";
        let call = redirected(world, &caller, both);
        decide(world, &call, Action::Skip);
        assert_eq!(asked(world, &call)[1].0, "sip:e@erin.invalid");
        decide(world, &call, Action::TryThis);
        let invite = invited(world, erin);
        says(world, &invite, "200 OK", ALLOW);
        assert!(world.result(call.host, call.made).is_ok());
        for (contacts, actions) in [
            (both, &[Action::GiveUp][..]),
            (both, &[Action::Skip, Action::Skip]),
        ] {
            let call = redirected(world, &caller, contacts);
            for action in actions {
                decide(world, &call, *action);
            }
            assert_eq!(failure_code(&world.result(call.host, call.made)), 302);
            let late = world.with(call.host, |stack, now| {
                stack
                    .session(now, call.session)
                    .map(|mut view| view.follow_redirect(Action::TryThis))
            });
            assert!(matches!(late, Err(Misuse::Unknown(_))));
        }
    });
}

// rules: S13
#[test]
fn loops_and_our_own_address_are_refused() {
    world::run(4, |world| {
        let caller = deciding(world);
        let dave = elsewhere(world, "dave.invalid");
        // Only we ourselves, whom was called already, and what cannot be called.
        for contacts in [
            "Contact: <sip:anna@one.invalid>",
            "Contact: <sip:Anna@ONE.invalid>",
            "Contact: <sip:carol@peer.invalid:5060>",
            "Contact: <mailto:a@b.invalid>",
            "Contact: *",
            "",
        ] {
            let call = redirected(world, &caller, contacts);
            assert_eq!(asked(world, &call), [], "{contacts}");
            assert_eq!(failure_code(&world.result(call.host, call.made)), 302);
        }
        // One that leads back.
        let call = redirected(world, &caller, "Contact: <sip:d@dave.invalid>");
        decide(world, &call, Action::TryThis);
        let invite = invited(world, dave);
        says(
            world,
            &invite,
            "302 Moved",
            "Contact: <sip:carol@peer.invalid:5060>, <sip:d@dave.invalid>, <sip:anna@one.invalid>",
        );
        assert_eq!(asked(world, &call).len(), 1);
        assert_eq!(failure_code(&world.result(call.host, call.made)), 302);
    });
}

// rules: S13
#[test]
fn a_6xx_ends_the_search_and_who_does_not_want_to_be_asked_is_not() {
    world::run(5, |world| {
        let caller = deciding(world);
        let dave = elsewhere(world, "dave.invalid");
        let both = "Contact: <sip:d@dave.invalid>, <sip:e@erin.invalid>";
        let call = redirected(world, &caller, both);
        decide(world, &call, Action::TryAll);
        let invite = invited(world, dave);
        says(world, &invite, "603 Decline", "");
        assert_eq!(failure_code(&world.result(call.host, call.made)), 603);
        let caller = common::caller(world);
        let call = redirected(world, &caller, both);
        assert_eq!(asked(world, &call), []);
        assert_eq!(failure_code(&world.result(call.host, call.made)), 302);
        assert_eq!(
            last(world, call.host, call.session),
            Some((State::Disconnected, Reason::Unreachable))
        );
    });
}

// rules: S13, S12, X3
#[test]
fn a_call_that_waits_for_the_application_ends_by_command_or_when_its_time_is_over() {
    world::run(6, |world| {
        let caller = deciding(world);
        let call = redirected(world, &caller, "Contact: <sip:d@dave.invalid>");
        let ended = terminate(world, call.host, call.session);
        world.result(call.host, ended).unwrap();
        let terminated = ended_by(OperationFailure::SessionTerminated);
        assert_eq!(world.result(call.host, call.made), terminated);
        let call = redirected(world, &caller, "Contact: <sip:d@dave.invalid>");
        let begun = common::stage::changes(world, call.host, call.session)[0].0;
        world.run_for((begun + secs(180)).since(world.now()) - common::TICK);
        assert_eq!(world.ended(call.host, call.made), None);
        world.run_for(common::TICK);
        assert_eq!(
            world.ended(call.host, call.made),
            Some(&Err(OperationError::Timeout))
        );
        let counted = common::stage::counted(world, call.host);
        assert_eq!(counted.timeouts.establish, 1);
    });
}

// rules: S13, X2
#[test]
fn it_is_misuse_to_decide_where_nothing_is_asked() {
    world::run(7, |world| {
        let caller = deciding(world);
        let call = call(world, &caller, Some(sdp()));
        let refused = command(world, call.host, call.session, |view| {
            view.follow_redirect(Action::TryThis)
        });
        assert!(matches!(
            refused,
            Err(Misuse::State {
                operation: "follow_redirect",
                ..
            })
        ));
        let call = redirected(world, &caller, "Contact: <sip:d@dave.invalid>");
        let twice = command(world, call.host, call.session, |view| {
            view.follow_redirect(Action::TryThis).unwrap();
            view.follow_redirect(Action::TryThis)
        });
        assert!(matches!(twice, Err(Misuse::State { .. })), "once");
    });
}

// ---------------------------------------------------------------- the callee

fn redirects(
    world: &mut World,
    it: &Callee,
    session: SessionId,
    status: Option<StatusCode>,
    target: &str,
) -> Result<(), Misuse> {
    let redirected = command(world, it.host, session, |view| view.redirect(status, &[target]));
    world.run_for(Duration::from_millis(20));
    redirected
}

// rules: S2
#[test]
fn a_callee_redirects_with_302_unless_it_says_otherwise_and_not_to_itself_or_the_caller() {
    world::run(8, |world| {
        let it = callee(world);
        for (number, status, code) in [(1, None, 302), (2, StatusCode::new(305), 305)] {
            let session = offered(world, &it, number, ALLOW);
            for own in [BOB, "sip:BOB@two.invalid", "sip:p@peer.invalid"] {
                let refused = redirects(world, &it, session, status, own);
                assert!(matches!(refused, Err(Misuse::Argument { .. })), "{own}");
            }
            redirects(world, &it, session, status, "sip:x@y.invalid").unwrap();
            let heard = world.heard(it.line);
            let answer = heard.last().unwrap();
            assert_eq!(answer.status().map(StatusCode::code), Some(code));
            assert_eq!(field(answer, HeaderName::Contact), "<sip:x@y.invalid>");
        }
        for code in [299, 400] {
            let session = offered(world, &it, 3, ALLOW);
            let refused = redirects(world, &it, session, StatusCode::new(code), "sip:x@y.invalid");
            assert!(matches!(refused, Err(Misuse::Argument { .. })), "{code}");
        }
    });
}

// rules: S13, S6, S7
#[test]
fn what_is_open_in_an_early_dialog_ends_where_its_call_is_redirected() {
    for ours in [true, false] {
        world::run(60, |world| {
            let caller = common::caller(world);
            let mut config = PeerToPeerConfig::new("sip:anna@one.invalid");
            config.profile.redirects = true;
            config.profile.reliable_responses = ReliableResponses::Supported;
            let alice = world.peer_to_peer_endpoint(caller.host, config);
            let caller = Caller { alice, ..caller };
            let dave = elsewhere(world, "dave.invalid");
            let call = call(world, &caller, Some(sdp()));
            let body = "Content-Type: application/sdp\n\nv=1\n";
            call.say(
                world,
                "183 Session Progress",
                "t",
                &format!("Require: 100rel\nRSeq: 5\n{body}"),
            );
            confirm(world, call.line, &Method::Prack, "200 OK");
            let changed = ours.then(|| {
                let update = |view: &mut SessionView<'_>| view.renegotiate(Method::Update, sdp());
                command(world, call.host, call.session, update).unwrap()
            });
            world.run_for(Duration::from_millis(20));
            if !ours {
                call.side("t").say(world, "UPDATE", body);
            }
            world.heard(call.line);
            let text = answer(
                &call.invite,
                "302 Moved Temporarily",
                "t",
                "Contact: <sip:d@dave.invalid>",
            );
            world.say(call.line, &text);
            world.run_for(secs(1));
            if let Some(changed) = changed {
                assert_eq!(
                    world.ended(call.host, changed),
                    Some(&ended_by(OperationFailure::Aborted))
                );
            } else {
                let heard = world.heard(call.line);
                let refused = |heard: &&Message| heard.status() == Some(StatusCode::REQUEST_TERMINATED);
                assert_eq!(heard.iter().filter(refused).count(), 1, "{heard:?}");
                let late = command(world, call.host, call.session, |view| {
                    view.accept_renegotiation(sdp())
                });
                assert!(matches!(late, Err(Misuse::State { .. })), "{late:?}");
            }
            // The other target begins with nothing.
            decide(world, &call, Action::TryThis);
            let invite = invited(world, dave);
            let early = command(world, call.host, call.session, |view| {
                view.renegotiate(Method::Update, sdp())
            });
            assert!(matches!(early, Err(Misuse::State { .. })), "{early:?}");
            says(world, &invite, "200 OK", &format!("{ALLOW}\n{body}"));
            assert!(world.result(call.host, call.made).is_ok());
        });
    }
}
