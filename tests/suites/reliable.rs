//! Reliable provisional responses, what they carry, and several early dialogs of one callee (S7, S9, with S5, S8 and E10;
//! RFC 3262, RFC 3311).

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
    Completion, Content, EarlyDialog, Event, Misuse, OperationError, OperationFailure, OperationId,
    PeerToPeerConfig, ReliableResponses, SessionId, SessionReason as Reason, SessionState as State, Time,
};
use sansip_testkit::world::{self, StackId, World};

use common::stage::{
    Call, SESSION_TERMINATED, Side, answer, assert_established, call, command, counted, ended_by, last,
    offered, received, sent,
};
use common::{Callee, Caller, TICK, callee_with, codes, field, next_request, request, sdp, secs};

const SUPPORTED: &str = "Supported: 100rel\n";
const BODY: &str = "Content-Type: application/sdp\n\nv=1\n";

fn body(text: &str) -> Content {
    Content::new("application/sdp", text.to_owned())
}

fn callee(world: &mut World, policy: ReliableResponses) -> Callee {
    let mut config = PeerToPeerConfig::new("sip:bob@two.invalid");
    config.profile.reliable_responses = policy;
    callee_with(world, config)
}

fn caller(world: &mut World, policy: ReliableResponses) -> Caller {
    let host = world.stack();
    let mut config = PeerToPeerConfig::new("sip:alice@one.invalid");
    config.profile.reliable_responses = policy;
    let alice = world.peer_to_peer_endpoint(host, config);
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, sansip::Transport::Tcp);
    world.names.set_addresses("peer.invalid", &[address.ip()]);
    Caller { alice, host, peer }
}

fn ring(world: &mut World, host: StackId, session: SessionId, status: StatusCode, content: Option<Content>) {
    command(world, host, session, |view| view.provisional(status, content)).unwrap();
    world.run_for(Duration::from_millis(20));
}

/// The last response to the INVITE that the peer has heard, and its number.
fn heard(world: &mut World, it: &Callee) -> (Message, u32) {
    let response = world.heard(it.line).pop().expect("a response");
    let number = field(&response, HeaderName::RSeq).parse().unwrap_or(0);
    assert_eq!(
        field(&response, HeaderName::Require) == "100rel",
        number > 0,
        "both or none"
    );
    (response, number)
}

fn prack(world: &mut World, side: &mut Side, rack: &str, more: &str) {
    side.say(world, "PRACK", &format!("RAck: {rack}\n{more}"));
}

/// What an application has seen of offers and answers, in order.
fn seen(world: &World, host: StackId) -> Vec<String> {
    let text = |content: &Content| String::from_utf8_lossy(&content.body).trim().to_owned();
    let change = |(_, event): &(Time, Event)| match event {
        Event::RenegotiationReceived { offer, message, .. } => {
            let offer = offer.as_ref().map_or_else(|| "nothing".to_owned(), text);
            Some(format!("{} {offer}", message.method().unwrap().as_str()))
        }
        Event::OfferReceived { offer, .. } => Some(format!("offer {}", text(offer))),
        Event::AnswerReceived { answer, .. } => Some(format!("answer {}", text(answer))),
        _ => None,
    };
    world.events(host).iter().filter_map(change).collect()
}

/// The peer says a reliable response of its fork.
fn say(world: &mut World, call: &Call, tag: &str, number: u32, more: &str) {
    call.say(
        world,
        "183 Session Progress",
        tag,
        &format!("Require: 100rel\nRSeq: {number}\n{more}"),
    );
}

/// The PRACK that comes next, which the peer answers.
fn acknowledged(world: &mut World, call: &Call) -> Message {
    let prack = next_request(world, call.line, &Method::Prack);
    world.say(call.line, &answer(&prack, "200 OK", "", ""));
    world.run_for(Duration::from_millis(20));
    prack
}

// ---------------------------------------------------------------- who takes part

// rules: S7, E10
#[test]
fn what_each_side_wants_decides_whether_responses_are_reliable() {
    use ReliableResponses::{Required, Supported, Unsupported};
    let (required, none) = ("Require: 100rel\n", "");
    for (policy, invite, expected) in [
        (Unsupported, none, 180),
        (Unsupported, SUPPORTED, 180),
        (Unsupported, required, 420),
        (Supported, none, 180),
        (Supported, SUPPORTED, 1180),
        (Supported, required, 1180),
        (Required, none, 421),
        (Required, SUPPORTED, 1180),
        (Required, required, 1180),
    ] {
        world::run(1, |world| {
            let it = callee(world, policy);
            if expected < 1000 && expected != 180 {
                let more = format!("Contact: <sip:p@192.0.2.1>\n{invite}");
                let text = request("INVITE", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 1, &more);
                world.say(it.line, &text);
                world.run_for(Duration::from_millis(20));
                let refused = world.heard(it.line).pop().unwrap();
                assert_eq!(refused.status().unwrap().code(), expected, "{policy:?}, {invite}");
                let name = if expected == 420 {
                    HeaderName::Unsupported
                } else {
                    HeaderName::Require
                };
                assert_eq!(field(&refused, name), "100rel");
                assert_eq!(received(world, it.host), []);
                return;
            }
            let session = offered(world, &it, 1, &format!("{invite}{BODY}"));
            ring(world, it.host, session, StatusCode::RINGING, None);
            let (_, number) = heard(world, &it);
            assert_eq!(number > 0, expected > 1000, "{policy:?}, {invite}");
        });
    }
}

// rules: S7
#[test]
fn a_caller_says_what_it_takes() {
    use ReliableResponses::{Required, Supported, Unsupported};
    for (policy, supports, requires) in [
        (Unsupported, false, false),
        (Supported, true, false),
        (Required, true, true),
    ] {
        world::run(2, |world| {
            let caller = caller(world, policy);
            let call = call(world, &caller, Some(sdp()));
            assert_eq!(
                field(&call.invite, HeaderName::Supported).contains("100rel"),
                supports
            );
            assert_eq!(field(&call.invite, HeaderName::Allow).contains("PRACK"), supports);
            assert_eq!(field(&call.invite, HeaderName::Require) == "100rel", requires);
            // What was not offered is a response like any other.
            say(world, &call, "t", 7, "");
            assert_eq!(
                sent(world, call.host, &["PRACK sip:"]).len(),
                usize::from(supports)
            );
            assert_eq!(last(world, call.host, call.session).unwrap().0, State::Alerted);
        });
    }
}

// ---------------------------------------------------------------- the callee

// rules: S7
#[test]
fn a_reliable_response_is_repeated_until_its_prack() {
    world::run(10, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        let begun = world.now();
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (response, number) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        world.run_for(secs(4) - Duration::from_millis(20));
        let again: Vec<Duration> = sent(world, it.host, &["SIP/2.0 180"])
            .iter()
            .map(|at| at.since(begun))
            .collect();
        assert_eq!(again, [0, 500, 1_500, 3_500].map(Duration::from_millis));
        prack(world, &mut side, &format!("{number} 1 INVITE"), "");
        assert_eq!(codes(world, it.line).last(), Some(&200));
        world.run_for(secs(60));
        assert_eq!(sent(world, it.host, &["SIP/2.0 180"]).len(), 4);
        assert_eq!(last(world, it.host, session), None, "it rings");
    });
}

// rules: S7
#[test]
fn a_prack_of_nothing_is_answered_481() {
    world::run(11, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (response, number) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        let right = format!("{number} 1 INVITE");
        for wrong in [
            format!("{} 1 INVITE", number + 1),
            format!("{number} 2 INVITE"),
            format!("{number} 1 UPDATE"),
        ] {
            prack(world, &mut side, &wrong, "");
            assert_eq!(codes(world, it.line), [481], "{wrong}");
        }
        side.say(world, "PRACK", "");
        assert_eq!(codes(world, it.line), [481], "no RAck");
        prack(world, &mut side, &right, "");
        assert_eq!(codes(world, it.line), [200]);
        prack(world, &mut side, &right, "");
        assert_eq!(codes(world, it.line), [481], "once more");
    });
}

// rules: S7
#[test]
fn responses_go_out_one_after_the_other_in_order() {
    world::run(12, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        for status in [
            StatusCode::RINGING,
            StatusCode::SESSION_PROGRESS,
            StatusCode::RINGING,
        ] {
            ring(world, it.host, session, status, None);
        }
        let (response, first) = heard(world, &it);
        assert_eq!(response.status(), Some(StatusCode::RINGING));
        let mut side = Side::caller(it.line, &response);
        for (further, status) in [(1, 183), (2, 180)] {
            prack(world, &mut side, &format!("{} 1 INVITE", first + further - 1), "");
            let (response, number) = heard(world, &it);
            assert_eq!(
                (response.status().unwrap().code(), number),
                (status, first + further)
            );
        }
    });
}

// rules: S7
#[test]
fn without_a_prack_the_invite_is_refused_after_64_times_t1() {
    world::run(13, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        let begun = world.now();
        ring(world, it.host, session, StatusCode::RINGING, None);
        world.run_for(secs(32) - TICK - Duration::from_millis(20));
        assert_eq!(sent(world, it.host, &["SIP/2.0 504"]), []);
        world.run_for(TICK);
        assert_eq!(sent(world, it.host, &["SIP/2.0 504"]), [begun + secs(32)]);
        assert_eq!(counted(world, it.host).timeouts.ack, 1);
        assert_eq!(
            last(world, it.host, session),
            Some((State::Disconnected, Reason::Timeout))
        );
    });
}

// rules: S7, S5
#[test]
fn a_2xx_waits_for_the_prack_of_an_answer_and_says_it_not_again() {
    world::run(14, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        ring(
            world,
            it.host,
            session,
            StatusCode::SESSION_PROGRESS,
            Some(body("answer")),
        );
        let (response, number) = heard(world, &it);
        assert_eq!(response.body_bytes(), b"answer");
        let mut side = Side::caller(it.line, &response);
        let accepted = command(world, it.host, session, |view| view.accept(Some(body("answer")))).unwrap();
        world.run_for(Duration::from_millis(20));
        assert!(codes(world, it.line).is_empty(), "not yet");
        prack(world, &mut side, &format!("{number} 1 INVITE"), "");
        let heard = world.heard(it.line);
        let success = heard
            .iter()
            .find(|it| it.cseq().unwrap().method == Method::Invite)
            .unwrap();
        assert_eq!(success.status(), Some(StatusCode::OK));
        assert_eq!(
            success.body_bytes(),
            b"",
            "RFC 6337 section 2.2: the answer was there"
        );
        side.say_numbered(world, "ACK", 1, "");
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
    });
    // Where it carried nothing, nothing is waited for, and the PRACK may come later.
    world::run(15, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (response, number) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        command(world, it.host, session, |view| view.accept(Some(body("answer")))).unwrap();
        world.run_for(Duration::from_millis(20));
        assert_eq!(world.heard(it.line).pop().unwrap().body_bytes(), b"answer");
        prack(world, &mut side, &format!("{number} 1 INVITE"), "");
        assert_eq!(codes(world, it.line), [200]);
    });
}

// rules: S7, X3
#[test]
fn an_accept_that_waits_for_a_prack_ends_with_its_session() {
    for cancels in [true, false] {
        world::run(16, |world| {
            let it = callee(world, ReliableResponses::Supported);
            let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
            ring(
                world,
                it.host,
                session,
                StatusCode::SESSION_PROGRESS,
                Some(body("answer")),
            );
            let accepted = command(world, it.host, session, |view| view.accept(None)).unwrap();
            if cancels {
                let text = request("CANCEL", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 1, "");
                world.say(it.line, &text);
            }
            world.run_for(secs(40));
            assert_eq!(
                world.ended(it.host, accepted),
                Some(&ended_by(SESSION_TERMINATED))
            );
            assert_eq!(last(world, it.host, session).unwrap().0, State::Disconnected);
        });
    }
}

// rules: S7, S5
#[test]
fn an_offer_in_a_reliable_response_is_answered_in_the_prack_and_a_prack_may_offer() {
    world::run(17, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, SUPPORTED);
        ring(
            world,
            it.host,
            session,
            StatusCode::SESSION_PROGRESS,
            Some(body("offer")),
        );
        let (response, number) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        // RFC 3311 section 5.2: an offer of the peer meets ours.
        side.say(world, "UPDATE", BODY);
        assert_eq!(codes(world, it.line), [491]);
        prack(world, &mut side, &format!("{number} 1 INVITE"), BODY);
        assert_eq!(codes(world, it.line), [200]);
        assert_eq!(seen(world, it.host), ["answer v=1"]);
        // Now the dialog is early and settled: an UPDATE changes it.
        side.say(world, "UPDATE", BODY);
        let taken = command(world, it.host, session, |view| {
            view.accept_renegotiation(body("answer"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let (success, _) = heard(world, &it);
        assert_eq!(
            (success.status(), success.body_bytes()),
            (Some(StatusCode::OK), &b"answer"[..])
        );
        assert_eq!(world.ended(it.host, taken), Some(&Ok(Completion::Done)));
        // And a PRACK may offer.
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (_, number) = heard(world, &it);
        prack(world, &mut side, &format!("{number} 1 INVITE"), BODY);
        assert!(codes(world, it.line).is_empty(), "the application decides");
        command(world, it.host, session, |view| {
            view.accept_renegotiation(body("again"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let (success, _) = heard(world, &it);
        assert_eq!(success.cseq().unwrap().method, Method::Prack);
        assert_eq!(success.body_bytes(), b"again");
        assert_eq!(seen(world, it.host), ["answer v=1", "UPDATE v=1", "PRACK v=1"]);
    });
}

// rules: S5, S7
#[test]
fn a_prack_without_an_answer_is_the_end_of_our_offer_and_of_nothing_else() {
    world::run(26, |world| {
        // RFC 3262 section 5: the offer in a reliable response is to be answered in its PRACK.
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, SUPPORTED);
        let content = Some(body("offer"));
        ring(world, it.host, session, StatusCode::SESSION_PROGRESS, content);
        let (response, number) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        prack(world, &mut side, &format!("{number} 1 INVITE"), "");
        assert_eq!(codes(world, it.line), [200]);
        side.say(world, "UPDATE", BODY);
        assert_eq!(seen(world, it.host), ["UPDATE v=1"], "nothing is open any more");
        // The offer of the INVITE waits for its answer still (RFC 3311 section 5.2).
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (response, number) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        prack(world, &mut side, &format!("{number} 1 INVITE"), "");
        assert_eq!(codes(world, it.line), [200]);
        side.say(world, "UPDATE", BODY);
        let (refused, _) = heard(world, &it);
        assert_eq!(refused.status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
        assert!(!field(&refused, HeaderName::RetryAfter).is_empty());
    });
}

// rules: S7, E10
#[test]
fn who_takes_no_part_takes_no_prack() {
    world::run(18, |world| {
        let it = callee(world, ReliableResponses::Unsupported);
        let session = offered(world, &it, 1, SUPPORTED);
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (response, _) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        prack(world, &mut side, "1 1 INVITE", "");
        assert_eq!(codes(world, it.line), [405]);
        // Unless the application takes it: then it is as any other request.
        let mut config = PeerToPeerConfig::new("sip:bob@two.invalid");
        config.profile.reliable_responses = ReliableResponses::Unsupported;
        config.profile.methods.push(Method::Prack);
        let it = callee_with(world, config);
        let session = offered(world, &it, 1, SUPPORTED);
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (response, _) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        prack(world, &mut side, "1 1 INVITE", "");
        assert_eq!(codes(world, it.line), [200]);
    });
}

// rules: S7, S4
#[test]
fn a_prack_is_no_target_refresh() {
    world::run(19, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        ring(world, it.host, session, StatusCode::RINGING, Some(body("answer")));
        let (response, number) = heard(world, &it);
        let mut side = Side::caller(it.line, &response);
        // RFC 3262 section 3: it has no Contact. One that has it, and offers, moves nobody.
        let moved = format!("Contact: <sip:elsewhere@10.9.9.9>\n{BODY}");
        prack(world, &mut side, &format!("{number} 1 INVITE"), &moved);
        command(world, it.host, session, |view| {
            view.accept_renegotiation(body("again"))
        })
        .unwrap();
        command(world, it.host, session, |view| view.accept(None)).unwrap();
        world.run_for(Duration::from_millis(20));
        side.say_numbered(world, "ACK", 1, "");
        world.heard(it.line);
        common::stage::info(world, it.host, session);
        let info = next_request(world, it.line, &Method::Info);
        assert_eq!(
            info.request_uri(),
            format!("sip:p@{};transport=tcp", world.ip(it.peer))
        );
    });
}

// ---------------------------------------------------------------- the caller

// rules: S7, S5
#[test]
fn an_answer_in_a_reliable_response_is_the_answer_and_later_bodies_say_nothing() {
    world::run(20, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        say(world, &call, "t", 5, BODY);
        let prack = acknowledged(world, &call);
        let number = call.invite.cseq().unwrap().number;
        assert_eq!(field(&prack, HeaderName::RAck), format!("5 {number} INVITE"));
        assert_eq!(prack.body_bytes(), b"");
        assert_eq!(prack.request_uri(), "sip:carol@10.3.0.1:5060;transport=tcp");
        assert!(prack.cseq().unwrap().number > number);
        assert_eq!(seen(world, call.host), ["answer v=1"]);
        say(world, &call, "t", 6, BODY);
        acknowledged(world, &call);
        call.say(world, "200 OK", "t", BODY);
        next_request(world, call.line, &Method::Ack);
        assert_established(&world.result(call.host, call.made));
        assert_eq!(seen(world, call.host), ["answer v=1"]);
    });
}

// rules: S7, S5
#[test]
fn an_offer_in_a_reliable_response_waits_for_the_application() {
    world::run(21, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, None);
        say(world, &call, "t", 5, BODY);
        world.run_for(secs(2));
        assert_eq!(seen(world, call.host), ["offer v=1"]);
        assert_eq!(sent(world, call.host, &["PRACK sip:"]), []);
        command(world, call.host, call.session, |view| view.answer(body("answer"))).unwrap();
        assert_eq!(acknowledged(world, &call).body_bytes(), b"answer");
        let again = command(world, call.host, call.session, |view| view.answer(sdp()));
        assert!(again.is_err(), "{again:?}");
        call.say(world, "200 OK", "t", "");
        assert_eq!(next_request(world, call.line, &Method::Ack).body_bytes(), b"");
        assert_established(&world.result(call.host, call.made));
    });
}

// rules: S7, S10, X3
#[test]
fn what_comes_for_a_session_that_was_ended_is_acknowledged_and_told_to_nobody() {
    for offers in [true, false] {
        world::run(24, |world| {
            let caller = caller(world, ReliableResponses::Supported);
            let call = call(world, &caller, (!offers).then(sdp));
            command(world, call.host, call.session, |view| view.terminate());
            // RFC 3262 section 4: it has to be acknowledged; nobody is there to answer what it offers.
            say(world, &call, "t", 5, BODY);
            let prack = acknowledged(world, &call);
            assert_eq!(prack.body_bytes(), b"");
            assert_eq!(seen(world, call.host), [""; 0]);
        });
    }
}

// rules: S7, X7
#[test]
fn a_reliable_response_that_comes_again_is_a_retransmission() {
    world::run(25, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        for _ in 0..3 {
            say(world, &call, "t", 5, "");
        }
        assert_eq!(counted(world, call.host).retransmissions.received, 2);
    });
}

// rules: S7
#[test]
fn a_caller_acknowledges_in_order_and_once() {
    world::run(22, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        let mut acknowledged = Vec::new();
        for number in [5, 5, 7, 6, 6, 7] {
            say(world, &call, "t", number, "");
            let pracks = world.heard(call.line);
            acknowledged.extend(pracks.iter().map(|prack| field(prack, HeaderName::RAck)));
        }
        assert_eq!(acknowledged, ["5 1 INVITE", "6 1 INVITE", "7 1 INVITE"]);
        let provisional = |(_, event): &&(Time, Event)| matches!(event, Event::Provisional { .. });
        assert_eq!(world.events(call.host).iter().filter(provisional).count(), 3);
    });
}

// rules: S7, S8
#[test]
fn each_fork_answers_and_is_acknowledged_for_itself() {
    world::run(23, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        for (tag, number) in [("t1", 5), ("t2", 900)] {
            say(
                world,
                &call,
                tag,
                number,
                &format!("Content-Type: application/sdp\n\nof {tag}\n"),
            );
            let prack = acknowledged(world, &call);
            assert_eq!(field(&prack, HeaderName::RAck), format!("{number} 1 INVITE"));
            assert!(field(&prack, HeaderName::To).ends_with(&format!(";tag={tag}")));
            // RFC 3261 section 12.2.1.1: each dialog counts for itself.
            assert_eq!(prack.cseq().unwrap().number, 2);
        }
        assert_eq!(seen(world, call.host), ["answer of t1", "answer of t2"]);
        call.say(world, "200 OK", "t2", "");
        next_request(world, call.line, &Method::Ack);
        command(world, call.host, call.session, |view| view.terminate());
        assert_eq!(
            next_request(world, call.line, &Method::Bye)
                .cseq()
                .unwrap()
                .number,
            3
        );
    });
}

// rules: S7, S8
#[test]
fn the_bye_of_a_fork_that_comes_too_late_counts_on_from_its_pracks() {
    for hung_up in [false, true] {
        world::run(28, |world| {
            let caller = caller(world, ReliableResponses::Supported);
            let call = call(world, &caller, Some(sdp()));
            for number in [5, 6] {
                say(world, &call, "late", number, "");
                acknowledged(world, &call);
            }
            call.say(world, "200 OK", "first", BODY);
            next_request(world, call.line, &Method::Ack);
            if hung_up {
                command(world, call.host, call.session, |view| view.terminate());
                common::stage::confirm(world, call.line, &Method::Bye, "200 OK");
            }
            // RFC 3261 section 12.2.1.1: one more than the second PRACK, whoever has held the count.
            call.say(world, "200 OK", "late", BODY);
            let heard = world.heard(call.line);
            let [ack, bye] = &heard[..] else {
                panic!("{heard:?}")
            };
            let numbers = [ack, bye].map(|request| request.cseq().unwrap().number);
            assert_eq!(
                (ack.method(), bye.method()),
                (Some(&Method::Ack), Some(&Method::Bye))
            );
            assert_eq!((numbers, tag(bye).as_str()), ([1, 4], "late"));
            world.say(call.line, &answer(bye, "200 OK", "", ""));
            // What it repeats is acknowledged once more, and not ended once more; if the branch is not ours, as long as
            // there is a session that it can be of.
            call.say(world, "200 OK", "late", BODY);
            assert_eq!(common::stage::methods(world, call.line), [Method::Ack]);
            let more = format!("Contact: <sip:carol@10.3.0.1>\n{BODY}");
            let stray =
                answer(&call.invite, "200 OK", "late", &more).replace("branch=z9hG4bK", "branch=z9hG4bKx");
            world.say(call.line, &stray);
            world.run_for(Duration::from_millis(20));
            let acknowledged = common::stage::methods(world, call.line);
            assert_eq!(acknowledged, [Method::Ack][usize::from(hung_up)..]);
        });
    }
}

// rules: S7, S8
#[test]
fn the_bye_of_a_fork_counts_on_from_its_pracks_when_its_invite_is_forgotten() {
    // RFC 3261 section 12.2.1.1, on both sides of 64*T1 after the first 2xx, when the transaction of the INVITE ends.
    for wait in [secs(31), secs(33)] {
        world::run(29, |world| {
            let caller = caller(world, ReliableResponses::Supported);
            let call = call(world, &caller, Some(sdp()));
            for (tag, number) in [("late", 5), ("late", 6), ("other", 1)] {
                say(world, &call, tag, number, "");
                acknowledged(world, &call);
            }
            call.say(world, "200 OK", "first", BODY);
            next_request(world, call.line, &Method::Ack);
            world.run_for(wait);
            for tag in ["late", "other", "unheard-of"] {
                call.say(world, "200 OK", tag, BODY);
                let heard = world.heard(call.line);
                let [ack, bye] = &heard[..] else {
                    panic!("{heard:?}")
                };
                let numbers = [ack, bye].map(|request| request.cseq().unwrap().number);
                assert_eq!(bye.method(), Some(&Method::Bye));
                let last = match tag {
                    "late" => 3,
                    "other" => 2,
                    _ => 1,
                };
                assert_eq!(numbers[0], 1);
                assert!(numbers[1] > last, "{tag}: {numbers:?}");
                world.say(call.line, &answer(bye, "200 OK", "", ""));
            }
        });
    }
}

// rules: S7, S5, S6
#[test]
fn an_update_in_an_early_dialog_is_for_the_caller_once_its_offer_is_answered() {
    world::run(24, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "180 Ringing", "t", "");
        let mut side = call.side("t");
        side.say(world, "UPDATE", BODY);
        assert_eq!(codes(world, call.line), [491], "RFC 3311 section 5.2");
        say(world, &call, "t", 5, BODY);
        acknowledged(world, &call);
        side.say(
            world,
            "UPDATE",
            &format!("Contact: <sip:moved@10.3.0.1:5060;transport=tcp>\n{BODY}"),
        );
        assert_eq!(seen(world, call.host), ["answer v=1", "UPDATE v=1"]);
        command(world, call.host, call.session, |view| {
            view.accept_renegotiation(body("answer"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, call.line), [200]);
        // A lower number is refused there, too.
        side.say_numbered(world, "UPDATE", 1, "");
        assert_eq!(codes(world, call.line), [500]);
        say(world, &call, "t", 6, "");
        let prack = acknowledged(world, &call);
        assert_eq!(
            prack.request_uri(),
            "sip:moved@10.3.0.1:5060;transport=tcp",
            "a target refresh"
        );
    });
}

// RFC 3261 section 14.2: an INVITE that meets one which has not had its end, though both may have agreed already.
// rules: S5, S7
#[test]
fn an_invite_before_the_end_of_the_first_is_refused_at_either_side() {
    world::run(45, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        say(world, &call, "t", 5, BODY);
        acknowledged(world, &call);
        let mut side = call.side("t");
        side.say(world, "INVITE", BODY);
        assert_eq!(codes(world, call.line), [491]);
        let (it, _, mut side, rack) = answering(world);
        prack(world, &mut side, &rack, "");
        assert_eq!(codes(world, it.line), [200]);
        side.say(world, "INVITE", BODY);
        let (refused, _) = heard(world, &it);
        assert_eq!(refused.status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
        assert!(!field(&refused, HeaderName::RetryAfter).is_empty());
        assert_eq!(seen(world, it.host), [""; 0]);
    });
}

// rules: S6, S8
#[test]
fn a_change_in_the_fork_that_wins_is_decided_on_after_the_2xx() {
    world::run(46, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        say(world, &call, "t", 5, BODY);
        acknowledged(world, &call);
        let mut side = call.side("t");
        side.say(world, "UPDATE", BODY);
        call.say(world, "200 OK", "t", "");
        next_request(world, call.line, &Method::Ack);
        let withdrawn = |(_, event): &&(Time, Event)| matches!(event, Event::RenegotiationWithdrawn { .. });
        assert_eq!(world.events(call.host).iter().filter(withdrawn).count(), 0);
        command(world, call.host, call.session, |view| {
            view.accept_renegotiation(body("answer"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, call.line), [200]);
    });
}

// rules: S7
#[test]
fn a_final_response_ends_the_repetition_of_a_reliable_one() {
    world::run(47, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        ring(world, it.host, session, StatusCode::RINGING, None);
        let (_, number) = heard(world, &it);
        // RFC 3262 section 3: nothing waits for its PRACK that the 2xx would have to wait for.
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(secs(3));
        let said = world.heard(it.line);
        let statuses: Vec<u16> = said.iter().map(|it| it.status().unwrap().code()).collect();
        // At 0, 0.5 and 1.5 s.
        assert_eq!(statuses, [200; 3]);
        let mut side = Side::caller(it.line, &said[0]);
        side.say(world, "ACK", "");
        world.run_for(secs(40));
        assert_eq!(codes(world, it.line), [0; 0]);
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
        // A PRACK for what was outstanding then is answered all the same, once.
        let rack = format!("{number} 1 INVITE");
        prack(world, &mut side, &rack, "");
        prack(world, &mut side, &rack, "");
        assert_eq!(codes(world, it.line), [200, 481]);
    });
}

// rules: S7, S10, X6
#[test]
fn what_waits_for_a_prack_ends_with_its_session() {
    world::run(48, |world| {
        let it = callee(world, ReliableResponses::Supported);
        // The connection's own timers are there before.
        let timers = |world: &mut World| world.with(it.host, |stack, _| stack.census().timers);
        world.run_for(secs(1));
        offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        let refused = received(world, it.host)[0];
        command(world, it.host, refused, |view| {
            view.reject(StatusCode::BUSY_HERE, None)
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let ack = |number: u32| request("ACK", "sip:bob@two.invalid", "<sip:bob@two.invalid>", number, "");
        world.say(it.line, &ack(1));
        world.run_for(secs(1));
        let before = timers(world);
        let session = offered(world, &it, 2, &format!("{SUPPORTED}{BODY}"));
        ring(world, it.host, session, StatusCode::RINGING, None);
        let cancel = request("CANCEL", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 2, "");
        world.say(it.line, &cancel);
        world.run_for(Duration::from_millis(20));
        world.say(it.line, &ack(2));
        world.run_for(secs(1));
        assert_eq!(last(world, it.host, session).unwrap().0, State::Disconnected);
        assert_eq!(timers(world), before);
    });
}

// rules: S7, S10, X6
#[test]
fn a_prack_that_is_put_off_does_not_outlive_its_session() {
    world::run(27, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        say(world, &call, "t", 5, "");
        let prack = next_request(world, call.line, &Method::Prack);
        world.say(call.line, &answer(&prack, "503 Later", "", "Retry-After: 3"));
        call.say(world, "200 OK", "t", BODY);
        next_request(world, call.line, &Method::Ack);
        let ended = command(world, call.host, call.session, |view| view.terminate());
        common::stage::confirm(world, call.line, &Method::Bye, "200 OK");
        assert_eq!(world.result(call.host, ended), Ok(Completion::Done));
        world.run_for(secs(10));
        assert_eq!(common::stage::methods(world, call.line), []);
    });
}

// rules: S7, S8, S6
#[test]
fn a_change_in_a_fork_that_loses_is_withdrawn() {
    world::run(25, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        say(world, &call, "t1", 5, BODY);
        acknowledged(world, &call);
        call.side("t1").say(world, "UPDATE", BODY);
        call.say(world, "200 OK", "t2", BODY);
        assert!(codes(world, call.line).contains(&487));
        let late = command(world, call.host, call.session, |view| {
            view.accept_renegotiation(sdp())
        });
        assert!(matches!(late, Err(Misuse::State { .. })), "{late:?}");
        assert_established(&world.result(call.host, call.made));
        assert_eq!(seen(world, call.host), ["answer v=1", "UPDATE v=1", "answer v=1"]);
    });
    // The same where the callee has two early dialogs.
    world::run(26, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        ring(
            world,
            it.host,
            session,
            StatusCode::SESSION_PROGRESS,
            Some(body("one")),
        );
        let (first, one) = heard(world, &it);
        let mut side = Side::caller(it.line, &first);
        prack(world, &mut side, &format!("{one} 1 INVITE"), "");
        side.say(world, "UPDATE", BODY);
        world.heard(it.line);
        let other = early(world, &it, session);
        let accept = |view: &mut sansip::SessionView<'_>| view.accept_in(other, Some(body("two")));
        command(world, it.host, session, accept).unwrap();
        world.run_for(Duration::from_millis(20));
        let answers = world.heard(it.line);
        let codes: Vec<u16> = answers.iter().map(|it| it.status().unwrap().code()).collect();
        assert_eq!(codes, [487, 200]);
        assert_eq!(
            (tag(&answers[0]), answers[1].body_bytes()),
            (tag(&first), &b"two"[..])
        );
        assert_ne!(tag(&answers[1]), tag(&first));
    });
}

/// A callee whose answer is in a reliable response, which waits for its PRACK.
fn answering(world: &mut World) -> (Callee, SessionId, Side, String) {
    let it = callee(world, ReliableResponses::Supported);
    let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
    ring(
        world,
        it.host,
        session,
        StatusCode::SESSION_PROGRESS,
        Some(body("answer")),
    );
    let (response, number) = heard(world, &it);
    let side = Side::caller(it.line, &response);
    (it, session, side, format!("{number} 1 INVITE"))
}

/// An offer of the application, by UPDATE or in a PRACK, and its operation.
fn offer(world: &mut World, host: StackId, session: SessionId, method: Method, text: &str) -> OperationId {
    let offered = command(world, host, session, |view| view.renegotiate(method, body(text)));
    world.run_for(Duration::from_millis(20));
    offered.unwrap()
}

/// The UPDATE that has come, which the peer answers with this body.
fn update_answered(world: &mut World, it: &Callee, text: &str) -> Message {
    let update = next_request(world, it.line, &Method::Update);
    let more = format!(
        "Contact: <sip:moved@{};transport=tcp>\nContent-Type: application/sdp\n\n{text}",
        world.ip(it.peer)
    );
    world.say(it.line, &answer(&update, "200 OK", "", &more));
    world.run_for(Duration::from_millis(20));
    update
}

// rules: S5, S6, S7
#[test]
fn a_callee_changes_an_early_dialog_by_update_when_its_answer_has_its_prack() {
    world::run(31, |world| {
        let (it, session, mut side, rack) = answering(world);
        let changed = offer(world, it.host, session, Method::Update, "early offer");
        assert!(
            world.heard(it.line).is_empty(),
            "RFC 3311 section 5.1: not before the PRACK"
        );
        prack(world, &mut side, &rack, "");
        let update = next_request(world, it.line, &Method::Update);
        assert_eq!(update.body_bytes(), b"early offer");
        assert_eq!(
            field(&update, HeaderName::SessionExpires),
            "",
            "that is for the INVITE"
        );
        // RFC 3311 section 5.2: what the peer offers meets ours.
        side.say(world, "UPDATE", BODY);
        assert_eq!(codes(world, it.line), [491]);
        world.say(
            it.line,
            &answer(
                &update,
                "200 OK",
                "",
                "Contact: <sip:moved@192.0.2.7>\nContent-Type: application/sdp\n\nearly answer",
            ),
        );
        world.run_for(Duration::from_millis(20));
        let done = world.result(it.host, changed).unwrap();
        assert_eq!(done.response().and_then(Message::status), Some(StatusCode::OK));
        assert_eq!(seen(world, it.host), ["answer early answer"]);
        // The dialog is settled again: another one, either way, and the 2xx says nothing more.
        side.say(world, "UPDATE", BODY);
        command(world, it.host, session, |view| {
            view.accept_renegotiation(body("taken"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, it.line), [200]);
        let again = offer(world, it.host, session, Method::Update, "again");
        assert_eq!(
            update_answered(world, &it, "yes").request_uri(),
            "sip:moved@192.0.2.7",
            "a target refresh"
        );
        assert!(world.result(it.host, again).is_ok());
        let accepted = command(world, it.host, session, |view| view.accept(Some(body("late")))).unwrap();
        world.run_for(Duration::from_millis(20));
        let (success, _) = heard(world, &it);
        assert_eq!(
            (success.status(), success.body_bytes()),
            (Some(StatusCode::OK), &b""[..])
        );
        side.say_numbered(world, "ACK", 1, "");
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
    });
}

// rules: S6, S7
#[test]
fn an_early_change_that_fails_leaves_the_invite_as_it_was() {
    for status in ["488 No", "481 Gone", "408 Late"] {
        world::run(32, |world| {
            let (it, session, mut side, rack) = answering(world);
            prack(world, &mut side, &rack, "");
            let changed = offer(world, it.host, session, Method::Update, "offer");
            common::stage::confirm(world, it.line, &Method::Update, status);
            let error = world.result(it.host, changed).unwrap_err();
            assert_eq!(
                error.response().unwrap().status().unwrap().code(),
                status[..3].parse::<u16>().unwrap()
            );
            assert_eq!(last(world, it.host, session), None, "it rings: {status}");
            // The offer is void, and the peer may make one.
            side.say(world, "UPDATE", BODY);
            assert_eq!(seen(world, it.host), ["UPDATE v=1"]);
        });
    }
    // RFC 3311 section 5.2: one that has met the peer's goes out once more.
    world::run(33, |world| {
        let (it, session, mut side, rack) = answering(world);
        prack(world, &mut side, &rack, "");
        let changed = offer(world, it.host, session, Method::Update, "offer");
        common::stage::confirm(world, it.line, &Method::Update, "491 Pending");
        world.run_for(secs(2));
        update_answered(world, &it, "yes");
        assert!(world.result(it.host, changed).is_ok());
    });
}

// rules: S6, S7, X3
#[test]
fn an_early_change_that_is_held_goes_out_in_the_session_or_ends_with_it() {
    for accepts in [true, false] {
        world::run(34, |world| {
            let it = callee(world, ReliableResponses::Supported);
            let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
            ring(
                world,
                it.host,
                session,
                StatusCode::SESSION_PROGRESS,
                Some(body("answer")),
            );
            ring(world, it.host, session, StatusCode::RINGING, None);
            let (response, number) = heard(world, &it);
            let mut side = Side::caller(it.line, &response);
            let changed = offer(world, it.host, session, Method::Update, "offer");
            prack(world, &mut side, &format!("{number} 1 INVITE"), "");
            assert_eq!(
                codes(world, it.line),
                [200, 180],
                "another response waits for its PRACK"
            );
            if !accepts {
                command(world, it.host, session, |view| {
                    view.reject(StatusCode::BUSY_HERE, None)
                })
                .unwrap();
                world.run_for(Duration::from_millis(20));
                assert_eq!(world.ended(it.host, changed), Some(&ended_by(SESSION_TERMINATED)));
                return;
            }
            command(world, it.host, session, |view| view.accept(None)).unwrap();
            world.run_for(Duration::from_millis(20));
            assert_eq!(codes(world, it.line), [200]);
            side.say_numbered(world, "ACK", 1, "");
            update_answered(world, &it, "yes");
            assert!(world.result(it.host, changed).is_ok());
        });
    }
}

// What was answered 491 goes out again, but not into a change of the peer, which may be open still when the session is
// established (RFC 3261 section 14.1).
// rules: S5, S6
#[test]
fn an_early_change_waits_for_the_end_of_the_peers_across_the_2xx() {
    world::run(38, |world| {
        let (it, session, mut side, rack) = answering(world);
        prack(world, &mut side, &rack, "");
        let changed = offer(world, it.host, session, Method::Update, "offer");
        let update = next_request(world, it.line, &Method::Update);
        world.say(it.line, &answer(&update, "491 Request Pending", "", ""));
        world.run_for(Duration::from_millis(20));
        side.say(world, "UPDATE", BODY);
        // It waits for 4 s at the most, and the application takes longer.
        world.run_for(secs(5));
        assert!(world.heard(it.line).is_empty());
        command(world, it.host, session, |view| view.accept(None)).unwrap();
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, it.line), [200]);
        side.say_numbered(world, "ACK", 1, "");
        assert!(world.heard(it.line).is_empty(), "the peer's is open");
        command(world, it.host, session, |view| {
            view.accept_renegotiation(body("taken"))
        })
        .unwrap();
        assert_eq!(update_answered(world, &it, "yes").body_bytes(), b"offer");
        assert!(world.result(it.host, changed).is_ok());
    });
}

// rules: S7, S6
#[test]
fn a_2xx_may_overtake_the_answer_to_an_early_change() {
    world::run(35, |world| {
        let (it, session, mut side, rack) = answering(world);
        prack(world, &mut side, &rack, "");
        let changed = offer(world, it.host, session, Method::Update, "offer");
        let update = next_request(world, it.line, &Method::Update);
        let accepted = command(world, it.host, session, |view| view.accept(None)).unwrap();
        world.run_for(Duration::from_millis(20));
        side.say_numbered(world, "ACK", 1, "");
        assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
        side.say(world, "UPDATE", BODY);
        assert!(codes(world, it.line).contains(&491), "ours is open still");
        world.say(
            it.line,
            &answer(&update, "200 OK", "", "Content-Type: application/sdp\n\nlate"),
        );
        world.run_for(Duration::from_millis(20));
        assert!(world.result(it.host, changed).is_ok());
        assert_eq!(seen(world, it.host), ["answer late"]);
    });
}

// rules: S6, S7, X2
#[test]
fn an_early_change_is_for_who_can_make_one() {
    let state = |result: Result<OperationId, Misuse>| match result {
        Err(Misuse::State { state, .. }) => state,
        other => panic!("{other:?}"),
    };
    let change =
        |method: Method| move |view: &mut sansip::SessionView<'_>| view.renegotiate(method, body("offer"));
    // A callee that has said nothing, or nothing reliably; a PRACK is the caller's.
    for supported in [SUPPORTED, ""] {
        world::run(36, |world| {
            let it = callee(world, ReliableResponses::Supported);
            let session = offered(world, &it, 1, &format!("{supported}{BODY}"));
            let early = "no reliable response has answered the peer, or made an offer";
            assert_eq!(
                state(command(world, it.host, session, change(Method::Update))),
                early
            );
            ring(world, it.host, session, StatusCode::RINGING, None);
            assert_eq!(
                state(command(world, it.host, session, change(Method::Update))),
                early
            );
            assert_eq!(
                state(command(world, it.host, session, change(Method::Invite))),
                "Incoming"
            );
            assert_eq!(
                state(command(world, it.host, session, change(Method::Prack))),
                "Incoming"
            );
            ring(
                world,
                it.host,
                session,
                StatusCode::SESSION_PROGRESS,
                Some(body("answer")),
            );
            let result = command(world, it.host, session, change(Method::Update));
            assert_eq!(
                result.is_ok(),
                supported == SUPPORTED,
                "one that waits for its turn counts"
            );
            if result.is_ok() {
                let second = state(command(world, it.host, session, change(Method::Update)));
                assert_eq!(second, "a renegotiation is under way");
                command(world, it.host, session, |view| view.accept(None)).unwrap();
                assert_eq!(
                    state(command(world, it.host, session, change(Method::Update))),
                    "Connecting"
                );
                assert_eq!(
                    state(command(world, it.host, session, change(Method::Prack))),
                    "it is the peer that acknowledges"
                );
            }
        });
    }
    // A caller.
    for policy in [ReliableResponses::Unsupported, ReliableResponses::Supported] {
        world::run(37, |world| {
            let caller = caller(world, policy);
            let call = call(world, &caller, Some(sdp()));
            let unanswered = "no fork has answered in a reliable response";
            call.say(world, "183 Session Progress", "t", BODY);
            assert_eq!(
                state(command(world, call.host, call.session, change(Method::Update))),
                unanswered
            );
            let result = command(world, call.host, call.session, change(Method::Prack));
            if policy == ReliableResponses::Unsupported {
                assert_eq!(state(result), "its provisional responses are not acknowledged");
            } else {
                result.unwrap();
            }
            call.say(world, "200 OK", "t", BODY);
            assert_eq!(
                state(command(world, call.host, call.session, change(Method::Prack))),
                "Connected"
            );
        });
    }
}

// rules: S5, S7
#[test]
fn a_caller_offers_in_the_prack_of_the_response_that_answers() {
    world::run(38, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        let changed = offer(world, call.host, call.session, Method::Prack, "second offer");
        say(world, &call, "t", 5, "");
        assert_eq!(
            acknowledged(world, &call).body_bytes(),
            b"",
            "the INVITE's is open"
        );
        say(world, &call, "t", 6, BODY);
        let prack = next_request(world, call.line, &Method::Prack);
        assert_eq!(
            (field(&prack, HeaderName::RAck).as_str(), prack.body_bytes()),
            ("6 1 INVITE", &b"second offer"[..])
        );
        // RFC 3311 section 5.2: until it is answered, what the peer offers meets it.
        let mut side = call.side("t");
        side.say(world, "UPDATE", BODY);
        assert_eq!(codes(world, call.line), [491]);
        world.say(
            call.line,
            &answer(
                &prack,
                "200 OK",
                "",
                "Content-Type: application/sdp\n\nsecond answer",
            ),
        );
        world.run_for(Duration::from_millis(20));
        assert!(world.result(call.host, changed).is_ok());
        assert_eq!(seen(world, call.host), ["answer v=1", "answer second answer"]);
        side.say(world, "UPDATE", BODY);
        assert_eq!(seen(world, call.host).last().unwrap(), "UPDATE v=1");
        command(world, call.host, call.session, |view| {
            view.accept_renegotiation(sdp())
        })
        .unwrap();
        // One without an answer in its response offers, too, where nothing is open.
        let again = offer(world, call.host, call.session, Method::Prack, "third");
        say(world, &call, "t", 7, "");
        assert_eq!(acknowledged(world, &call).body_bytes(), b"third");
        assert!(world.result(call.host, again).is_ok());
        call.say(world, "200 OK", "t", "");
        next_request(world, call.line, &Method::Ack);
        assert_established(&world.result(call.host, call.made));
    });
}

// rules: S5, S7, S8
#[test]
fn an_offer_goes_in_one_prack_and_those_of_other_forks_have_none() {
    world::run(44, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        offer(world, call.host, call.session, Method::Prack, "offer");
        say(world, &call, "t1", 5, BODY);
        let prack = next_request(world, call.line, &Method::Prack);
        assert_eq!(prack.body_bytes(), b"offer");
        // Before that one is answered another fork answers the INVITE: its response wants a PRACK, too.
        say(world, &call, "t2", 9, BODY);
        let other = next_request(world, call.line, &Method::Prack);
        assert_eq!(
            (field(&other, HeaderName::RAck).as_str(), other.body_bytes()),
            ("9 1 INVITE", &b""[..])
        );
    });
}

// rules: S5, S7, S8, X3
#[test]
fn an_offer_in_a_prack_ends_with_its_prack_or_its_fork() {
    let offering = |world: &mut World| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        let changed = offer(world, call.host, call.session, Method::Prack, "offer");
        (call, changed)
    };
    // Refused: the session goes on, and a 491 is not met with a PRACK once more.
    for status in ["488 No", "491 Pending"] {
        world::run(39, |world| {
            let (call, changed) = offering(world);
            say(world, &call, "t", 5, BODY);
            common::stage::confirm(world, call.line, &Method::Prack, status);
            let error = world.result(call.host, changed).unwrap_err();
            assert_eq!(
                error.response().unwrap().status().unwrap().code(),
                status[..3].parse::<u16>().unwrap()
            );
            world.run_for(secs(5));
            assert_eq!(common::stage::methods(world, call.line), []);
            call.say(world, "200 OK", "t", "");
            next_request(world, call.line, &Method::Ack);
            assert_established(&world.result(call.host, call.made));
        });
    }
    // No reliable response comes, or it is given up, or another fork has it.
    for way in ["none", "cancelled", "elsewhere"] {
        world::run(40, |world| {
            let (call, changed) = offering(world);
            match way {
                "none" => {}
                "cancelled" => {
                    assert!(command(world, call.host, call.session, |view| view.cancel_renegotiation()))
                }
                _ => {
                    say(world, &call, "loses", 5, BODY);
                    let prack = next_request(world, call.line, &Method::Prack);
                    assert_eq!(prack.body_bytes(), b"offer");
                }
            }
            if way != "cancelled" {
                assert_eq!(world.ended(call.host, changed), None);
                call.say(world, "200 OK", "wins", BODY);
                next_request(world, call.line, &Method::Ack);
            }
            assert_eq!(
                world.ended(call.host, changed),
                Some(&ended_by(OperationFailure::Aborted))
            );
        });
    }
    // The 2xx overtakes the answer.
    world::run(41, |world| {
        let (call, changed) = offering(world);
        say(world, &call, "t", 5, BODY);
        let prack = next_request(world, call.line, &Method::Prack);
        call.say(world, "200 OK", "t", "");
        next_request(world, call.line, &Method::Ack);
        world.say(
            call.line,
            &answer(&prack, "200 OK", "", "Content-Type: application/sdp\n\nlate"),
        );
        world.run_for(Duration::from_millis(20));
        assert!(world.result(call.host, changed).is_ok());
        assert_eq!(seen(world, call.host), ["answer v=1", "answer late"]);
    });
}

/// A call whose fork has answered in a reliable response, and an UPDATE of the caller in that early dialog.
fn updating(world: &mut World) -> (Call, OperationId, Message) {
    let caller = caller(world, ReliableResponses::Supported);
    let call = call(world, &caller, Some(sdp()));
    say(world, &call, "t", 5, BODY);
    acknowledged(world, &call);
    let changed = offer(world, call.host, call.session, Method::Update, "second offer");
    let update = next_request(world, call.line, &Method::Update);
    (call, changed, update)
}

const ANSWER: &str =
    "Contact: <sip:moved@10.3.0.1:5060;transport=tcp>\nContent-Type: application/sdp\n\nsecond";

// RFC 3311 section 5.1.
// rules: S5, S6, S7
#[test]
fn a_caller_changes_an_early_dialog_by_update_when_its_offer_is_answered() {
    world::run(42, |world| {
        let (call, changed, update) = updating(world);
        assert_eq!(update.body_bytes(), b"second offer");
        assert_eq!(tag(&update), "t");
        // RFC 3261 section 12.2.1.1: one more than the PRACK.
        assert_eq!(update.cseq().unwrap().number, 3);
        assert_ne!(field(&update, HeaderName::Contact), "", "a target refresh");
        // RFC 3311 section 5.2: until it is answered, what the peer offers meets it.
        call.side("t").say(world, "UPDATE", BODY);
        assert_eq!(codes(world, call.line), [491]);
        world.say(call.line, &answer(&update, "200 OK", "", ANSWER));
        world.run_for(Duration::from_millis(20));
        assert!(world.result(call.host, changed).is_ok());
        assert_eq!(seen(world, call.host), ["answer v=1", "answer second"]);
        // The target is the new one, in the early dialog, and the dialog counts on where it is established.
        say(world, &call, "t", 6, "");
        let prack = acknowledged(world, &call);
        assert_eq!(prack.request_uri(), "sip:moved@10.3.0.1:5060;transport=tcp");
        assert_eq!(prack.cseq().unwrap().number, 4);
        call.say(world, "200 OK", "t", "");
        next_request(world, call.line, &Method::Ack);
        assert_established(&world.result(call.host, call.made));
        command(world, call.host, call.session, |view| view.terminate());
        let bye = next_request(world, call.line, &Method::Bye);
        assert_eq!(bye.cseq().unwrap().number, 5);
    });
}

// rules: S5, S6, S8, X3
#[test]
fn an_early_update_of_a_caller_ends_once_whatever_becomes_of_its_call() {
    // Refused: the INVITE goes on. 491 is met with another one, after the time of who has begun the call.
    world::run(43, |world| {
        let (call, changed, update) = updating(world);
        world.say(call.line, &answer(&update, "488 No", "", ""));
        world.run_for(Duration::from_millis(20));
        let error = world.result(call.host, changed).unwrap_err();
        assert_eq!(error.response().unwrap().status().unwrap().code(), 488);
        let again = offer(world, call.host, call.session, Method::Update, "third");
        let update = next_request(world, call.line, &Method::Update);
        world.say(call.line, &answer(&update, "491 Pending", "", ""));
        world.run_for(Duration::from_millis(2_090));
        assert_eq!(common::stage::methods(world, call.line), []);
        world.run_for(Duration::from_millis(2_000));
        let update = next_request(world, call.line, &Method::Update);
        world.say(call.line, &answer(&update, "200 OK", "", ANSWER));
        world.run_for(Duration::from_millis(20));
        assert!(world.result(call.host, again).is_ok());
        call.say(world, "200 OK", "t", "");
        assert_established(&world.result(call.host, call.made));
    });
    // The 2xx overtakes the answer.
    world::run(44, |world| {
        let (call, changed, update) = updating(world);
        call.say(world, "200 OK", "t", "");
        next_request(world, call.line, &Method::Ack);
        world.say(call.line, &answer(&update, "200 OK", "", ANSWER));
        world.run_for(Duration::from_millis(20));
        assert!(world.result(call.host, changed).is_ok());
        assert_eq!(seen(world, call.host), ["answer v=1", "answer second"]);
        command(world, call.host, call.session, |view| view.terminate());
        let bye = next_request(world, call.line, &Method::Bye);
        assert_eq!(bye.request_uri(), "sip:moved@10.3.0.1:5060;transport=tcp");
    });
    // Another fork wins, or the call is refused, or it is given up.
    for (way, ending) in [
        ("elsewhere", OperationFailure::Aborted),
        ("refused", OperationFailure::SessionTerminated),
        ("given up", OperationFailure::SessionTerminated),
    ] {
        world::run(45, |world| {
            let (call, changed, update) = updating(world);
            match way {
                "elsewhere" => call.say(world, "200 OK", "wins", BODY),
                "refused" => call.say(world, "486 Busy", "t", ""),
                _ => {
                    command(world, call.host, call.session, |view| view.terminate());
                    call.say(world, "487 Terminated", "t", "");
                }
            }
            assert_eq!(world.ended(call.host, changed), Some(&ended_by(ending)), "{way}");
            world.say(call.line, &answer(&update, "200 OK", "", ANSWER));
            world.run_for(secs(40));
            assert_ne!(seen(world, call.host).last().unwrap(), "answer second");
        });
    }
}

// rules: S6, S8
#[test]
fn an_early_update_of_a_caller_is_for_the_fork_that_was_heard_of_last() {
    world::run(46, |world| {
        let caller = caller(world, ReliableResponses::Supported);
        let call = call(world, &caller, Some(sdp()));
        for tag in ["t1", "t2"] {
            say(world, &call, tag, 5, BODY);
            acknowledged(world, &call);
        }
        // One that has only rung has answered nothing.
        call.say(world, "180 Ringing", "t3", "");
        let changed = offer(world, call.host, call.session, Method::Update, "second offer");
        let update = next_request(world, call.line, &Method::Update);
        assert_eq!(tag(&update), "t2");
        // What is open is open with that one only.
        call.side("t1").say(world, "UPDATE", BODY);
        assert_eq!(seen(world, call.host).last().unwrap(), "UPDATE v=1");
        world.say(call.line, &answer(&update, "200 OK", "", ANSWER));
        world.run_for(Duration::from_millis(20));
        assert!(world.result(call.host, changed).is_ok());
        // One more is misuse as long as that of the peer waits for the application; then it goes out.
        let asked = command(world, call.host, call.session, |view| {
            view.renegotiate(Method::Update, body("third"))
        });
        assert!(matches!(asked, Err(Misuse::State { .. })), "{asked:?}");
        command(world, call.host, call.session, |view| {
            view.accept_renegotiation(body("answer"))
        })
        .unwrap();
        offer(world, call.host, call.session, Method::Update, "third");
        next_request(world, call.line, &Method::Update);
    });
}

// rules: S7
#[test]
fn two_stacks_agree_on_reliable_responses() {
    world::run(30, |world| {
        let (a, b) = (world.stack(), world.stack());
        let mut configs = ["sip:alice@one.invalid", "sip:bob@two.invalid"].map(PeerToPeerConfig::new);
        for config in &mut configs {
            config.profile.reliable_responses = ReliableResponses::Required;
        }
        let [alice, bob] = configs;
        let alice = world.peer_to_peer_endpoint(a, alice);
        world.peer_to_peer_endpoint(b, bob);
        let address = world.listen(b, 5060);
        world.names.set_addresses("two.invalid", &[address.ip()]);
        world.on_event(b, |stack, now, event| {
            if let Event::SessionReceived { session, .. } = event {
                let mut view = stack.session(now, *session).unwrap();
                view.provisional(StatusCode::SESSION_PROGRESS, Some(body("early")))
                    .unwrap();
                view.accept(Some(body("late"))).unwrap();
            }
        });
        let (_, made) = world.invite(alice, "sip:bob@two.invalid:5060", Some(sdp()));
        let result: Result<Completion, OperationError> = world.result(a, made);
        assert_established(&result);
        assert_eq!(seen(world, a), ["answer early"]);
    });
}

// ---------------------------------------------------------------- several early dialogs

/// Another early dialog.
fn early(world: &mut World, it: &Callee, session: SessionId) -> EarlyDialog {
    command(world, it.host, session, |view| view.early_dialog()).unwrap()
}

fn ring_in(world: &mut World, it: &Callee, session: SessionId, early: EarlyDialog, content: Option<Content>) {
    command(world, it.host, session, |view| {
        view.provisional_in(early, StatusCode::SESSION_PROGRESS, content)
    })
    .unwrap();
    world.run_for(Duration::from_millis(20));
}

fn tag(message: &Message) -> String {
    message.to().unwrap().tag().unwrap().to_owned()
}

// rules: S9
#[test]
fn a_callee_has_several_early_dialogs_and_accepts_one() {
    for accepts_second in [true, false] {
        world::run(40, |world| {
            let it = callee(world, ReliableResponses::Unsupported);
            let session = offered(world, &it, 1, BODY);
            ring(world, it.host, session, StatusCode::RINGING, None);
            let (first, _) = heard(world, &it);
            let other = early(world, &it, session);
            ring_in(world, &it, session, other, None);
            let (second, _) = heard(world, &it);
            assert_ne!(tag(&first), tag(&second), "each has a tag of its own");
            let accepted = command(world, it.host, session, |view| {
                if accepts_second {
                    view.accept_in(other, Some(sdp()))
                } else {
                    view.accept(Some(sdp()))
                }
            })
            .unwrap();
            world.run_for(Duration::from_millis(20));
            let (success, _) = heard(world, &it);
            let (winner, loser) = if accepts_second {
                (&second, &first)
            } else {
                (&first, &second)
            };
            assert_eq!(tag(&success), tag(winner));
            Side::caller(it.line, &success).say(world, "ACK", "");
            assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
            assert_eq!(world.with(it.host, |stack, _| stack.census().dialogs), 1);
            Side::caller(it.line, loser).say(world, "BYE", "");
            assert_eq!(codes(world, it.line), [481], "the other is no more");
            let told = common::stage::info(world, it.host, session);
            let request = common::stage::confirm(world, it.line, &Method::Info, "200 OK");
            assert_eq!(request.from_().unwrap().tag(), Some(&*tag(winner)));
            assert!(world.result(it.host, told).is_ok());
            Side::caller(it.line, winner).say(world, "BYE", "");
            assert_eq!(codes(world, it.line), [200]);
        });
    }
}

// rules: S9, S7, S5
#[test]
fn each_early_dialog_has_its_own_responses_offers_and_numbers() {
    world::run(41, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        let other = early(world, &it, session);
        let begun = world.now();
        ring(
            world,
            it.host,
            session,
            StatusCode::SESSION_PROGRESS,
            Some(body("one")),
        );
        let (first, one) = heard(world, &it);
        ring_in(world, &it, session, other, Some(body("two")));
        let (second, two) = heard(world, &it);
        assert_eq!(
            (first.body_bytes(), second.body_bytes()),
            (&b"one"[..], &b"two"[..])
        );
        let mut sides = [&first, &second].map(|response| Side::caller(it.line, response));
        // Each is repeated until its own PRACK has come.
        prack(world, &mut sides[0], &format!("{two} 1 INVITE"), "");
        assert_eq!(codes(world, it.line), [481]);
        prack(world, &mut sides[0], &format!("{one} 1 INVITE"), "");
        assert_eq!(codes(world, it.line), [200]);
        let rest = (begun + secs(2)).since(world.now());
        world.run_for(rest);
        let again: std::collections::BTreeSet<String> = world.heard(it.line).iter().map(tag).collect();
        assert_eq!(again, [tag(&second)].into());
        // The first is settled, and can be changed; in the second the answer is under way.
        sides[0].say(world, "UPDATE", BODY);
        command(world, it.host, session, |view| {
            view.accept_renegotiation(body("changed"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let (changed, _) = heard(world, &it);
        assert_eq!(
            (tag(&changed), changed.body_bytes()),
            (tag(&first), &b"changed"[..])
        );
        prack(world, &mut sides[1], &format!("{two} 1 INVITE"), "");
        assert_eq!(codes(world, it.line), [200]);
        ring_in(world, &it, session, other, None);
        assert_eq!(heard(world, &it).1, two + 1);
        // A CANCEL ends all.
        let cancel = request("CANCEL", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 1, "");
        world.say(it.line, &cancel);
        world.run_for(secs(1));
        assert_eq!(
            last(world, it.host, session),
            Some((State::Disconnected, Reason::Canceled))
        );
        assert_eq!(world.with(it.host, |stack, _| stack.census().dialogs), 0);
    });
}

// rules: S9, S7, S5
#[test]
fn an_offer_in_one_early_dialog_waits_until_that_in_another_is_decided() {
    world::run(44, |world| {
        let it = callee(world, ReliableResponses::Supported);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        let other = early(world, &it, session);
        ring(
            world,
            it.host,
            session,
            StatusCode::SESSION_PROGRESS,
            Some(body("one")),
        );
        let (first, one) = heard(world, &it);
        ring_in(world, &it, session, other, Some(body("two")));
        let (second, two) = heard(world, &it);
        let mut sides = [&first, &second].map(|response| Side::caller(it.line, response));
        prack(world, &mut sides[0], &format!("{one} 1 INVITE"), BODY);
        assert!(codes(world, it.line).is_empty(), "the application decides");
        // RFC 3311 section 5.2 has it for UPDATE: one that waits for its answer is not overtaken.
        let second_prack = format!("RAck: {two} 1 INVITE\n{BODY}");
        sides[1].say_numbered(world, "PRACK", 3, &second_prack);
        let refused = world.heard(it.line);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
        assert!(refused[0].raw(HeaderName::RetryAfter).is_some());
        let accept = |world: &mut World| {
            command(world, it.host, session, |view| {
                view.accept_renegotiation(body("answer"))
            })
            .unwrap();
            world.run_for(Duration::from_millis(20));
            heard(world, &it).0
        };
        assert_eq!(tag(&accept(world)), tag(&first));
        // The response is not acknowledged yet; now it may be.
        sides[1].say_numbered(world, "PRACK", 4, &second_prack);
        assert_eq!(tag(&accept(world)), tag(&second));
        assert_eq!(seen(world, it.host), ["PRACK v=1", "PRACK v=1"]);
    });
}

// rules: S9, C31, X2, X7
#[test]
fn early_dialogs_are_bounded_and_belong_to_their_session() {
    world::run(42, |world| {
        let it = callee(world, ReliableResponses::Unsupported);
        let session = offered(world, &it, 1, BODY);
        // The one that it begins with is the first of 16.
        let last = (0..15).map(|_| early(world, &it, session)).last().unwrap();
        let more = command(world, it.host, session, |view| view.early_dialog());
        assert!(matches!(more, Err(Misuse::Limit(_))), "{more:?}");
        assert_eq!(counted(world, it.host).refusals.forks, 1);
        let other = offered(world, &it, 2, BODY);
        let foreign = command(world, it.host, other, |view| {
            view.provisional_in(last, StatusCode::RINGING, None)
        });
        assert!(matches!(foreign, Err(Misuse::Unknown(_))), "{foreign:?}");
        let foreign = command(world, it.host, other, |view| view.accept_in(last, None));
        assert!(matches!(foreign, Err(Misuse::Unknown(_))), "{foreign:?}");
        command(world, it.host, session, |view| view.accept_in(last, None)).unwrap();
        let late = command(world, it.host, session, |view| view.early_dialog());
        assert!(matches!(late, Err(Misuse::State { .. })), "{late:?}");
    });
}

// rules: S7, C31, X7
#[test]
fn provisional_responses_that_wait_for_a_prack_are_bounded() {
    world::run(43, |world| {
        let mut config = sansip::Config::default();
        config.limits.pending_per_session = 2;
        let host = world.stack_with(config);
        let mut profile = PeerToPeerConfig::new("sip:bob@two.invalid");
        profile.profile.reliable_responses = ReliableResponses::Supported;
        let it = common::callee_on(world, host, profile);
        let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
        for fits in [true, true, true, false] {
            let result = command(world, host, session, |view| {
                view.provisional(StatusCode::RINGING, None)
            });
            assert_eq!(result.is_ok(), fits, "one is out, two may wait");
        }
        assert_eq!(counted(world, host).refusals.pending_per_session, 1);
    });
}

// rules: S9, S6, S8
#[test]
fn a_change_is_made_in_one_of_several_early_dialogs() {
    for accepts_it in [true, false] {
        world::run(43, |world| {
            let it = callee(world, ReliableResponses::Supported);
            let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
            let other = early(world, &it, session);
            ring(
                world,
                it.host,
                session,
                StatusCode::SESSION_PROGRESS,
                Some(body("one")),
            );
            heard(world, &it);
            let change = |view: &mut sansip::SessionView<'_>| view.renegotiate_in(other, body("offer"));
            let nothing = command(world, it.host, session, change);
            assert!(
                matches!(nothing, Err(Misuse::State { .. })),
                "it has answered in the first only: {nothing:?}"
            );
            ring_in(world, &it, session, other, Some(body("two")));
            let (second, two) = heard(world, &it);
            let changed = command(world, it.host, session, change).unwrap();
            let mut side = Side::caller(it.line, &second);
            prack(world, &mut side, &format!("{two} 1 INVITE"), "");
            let update = next_request(world, it.line, &Method::Update);
            assert_eq!(
                (update.from_().unwrap().tag().unwrap(), update.body_bytes()),
                (&*tag(&second), &b"offer"[..])
            );
            // What goes on in the first meanwhile does not mix with it.
            ring(world, it.host, session, StatusCode::RINGING, None);
            if accepts_it {
                world.say(
                    it.line,
                    &answer(&update, "200 OK", "", "Content-Type: application/sdp\n\nanswer"),
                );
                world.run_for(Duration::from_millis(20));
                assert!(world.result(it.host, changed).is_ok());
                assert_eq!(seen(world, it.host), ["answer answer"]);
                let accept = |view: &mut sansip::SessionView<'_>| view.accept_in(other, None);
                command(world, it.host, session, accept).unwrap();
            } else {
                let more = common::stage::methods(world, it.line);
                assert_eq!(more, []);
                let accept = |view: &mut sansip::SessionView<'_>| view.reject(StatusCode::BUSY_HERE, None);
                command(world, it.host, session, accept).unwrap();
                world.run_for(Duration::from_millis(20));
                assert_eq!(world.ended(it.host, changed), Some(&ended_by(SESSION_TERMINATED)));
            }
        });
    }
    // The other one is accepted: the change is nobody's, and its answer says nothing any more.
    for sent in [true, false] {
        world::run(44, |world| {
            let it = callee(world, ReliableResponses::Supported);
            let session = offered(world, &it, 1, &format!("{SUPPORTED}{BODY}"));
            let other = early(world, &it, session);
            ring_in(world, &it, session, other, Some(body("two")));
            let (second, two) = heard(world, &it);
            let changed = command(world, it.host, session, |view| {
                view.renegotiate_in(other, body("offer"))
            })
            .unwrap();
            let mut side = Side::caller(it.line, &second);
            if sent {
                prack(world, &mut side, &format!("{two} 1 INVITE"), "");
            }
            command(world, it.host, session, |view| view.accept(Some(body("one")))).unwrap();
            world.run_for(Duration::from_millis(20));
            assert_eq!(
                world.ended(it.host, changed),
                Some(&ended_by(OperationFailure::Aborted))
            );
            if sent {
                let update = next_request(world, it.line, &Method::Update);
                world.say(it.line, &answer(&update, "481 Gone", "", ""));
                world.run_for(Duration::from_millis(20));
            }
            assert_eq!(last(world, it.host, session).unwrap().0, State::Connecting);
            assert_eq!(seen(world, it.host), [""; 0]);
        });
    }
}
