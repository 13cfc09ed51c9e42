//! Calls against scripted peers, which say what no well-behaved stack would (groups S and X of the rules).

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
    Content, Event, Misuse, OperationError, OperationFailure, OperationId, PeerToPeerConfig, SendOptions,
    SessionId, SessionReason, SessionState, SessionView, Transport,
};
use sansip_testkit::world::{self, Endpoint, LineId, PeerId, StackId, World};

use common::{
    TICK, accept_calls, answer, callee, codes, field, next_line, next_request, registered, sdp, secs, served,
};

/// An endpoint, and a scripted peer that it calls.
struct Call {
    alice: Endpoint,
    peer: PeerId,
    target: String,
}

fn caller(world: &mut World) -> Call {
    let host = world.stack();
    let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@one.invalid"));
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    let target = format!("sip:bob@{address};transport=tcp");
    Call { alice, peer, target }
}

/// A call whose INVITE has come to the peer.
struct Invited {
    alice: Endpoint,
    host: StackId,
    peer: PeerId,
    session: SessionId,
    operation: OperationId,
    line: LineId,
    invite: Message,
}

fn invited(world: &mut World, offer: Option<Content>) -> Invited {
    let Call { alice, peer, target } = caller(world);
    let (session, operation) = world.invite(alice, &target, offer);
    let line = next_line(world, peer, 0);
    let invite = next_request(world, line, &Method::Invite);
    Invited {
        alice,
        host: alice.host,
        peer,
        session,
        operation,
        line,
        invite,
    }
}

impl Invited {
    fn respond(&self, world: &mut World, status: &str, tag: &str, more: &str) {
        respond(world, self.line, &self.invite, status, tag, more);
    }

    fn connect(&self, world: &mut World) {
        self.respond(world, "200 OK", "bob", CONTACT);
        next_request(world, self.line, &Method::Ack);
    }

    fn with<T>(&self, world: &mut World, command: impl FnOnce(&mut SessionView<'_>) -> T) -> T {
        command_session(world, self.host, self.session, command).unwrap()
    }
}

const CONTACT: &str = "Contact: <sip:bob@two.invalid;transport=tcp>";
const OFFER: &str = "Contact: <sip:bob@two.invalid;transport=tcp>\nContent-Type: application/sdp";

fn command_session<T>(
    world: &mut World,
    host: StackId,
    session: SessionId,
    command: impl FnOnce(&mut SessionView<'_>) -> T,
) -> Result<T, Misuse> {
    world.with(host, |stack, now| {
        stack.session(now, session).map(|mut view| command(&mut view))
    })
}

fn respond(world: &mut World, line: LineId, request: &Message, status: &str, tag: &str, more: &str) {
    let body = if more.contains("Content-Type") {
        "\nv=0\r\n"
    } else {
        ""
    };
    let text = answer(request, status, tag, more) + body;
    world.say(line, &text);
    world.run_for(Duration::from_millis(20));
}

/// A request of the scripted peer inside the dialog that its answer with this tag has made.
fn inside(invite: &Message, tag: &str, method: &str, number: u32) -> String {
    let to = field(invite, HeaderName::To);
    format!(
        "{method} sip:alice@one.invalid SIP/2.0
         Via: SIP/2.0/TCP two.invalid;branch=z9hG4bKin{method}{number}
         Max-Forwards: 70
         From: {to};tag={tag}
         To: {}
         Call-ID: {}
         CSeq: {number} {method}
         ",
        field(invite, HeaderName::From),
        field(invite, HeaderName::CallId),
    )
}

/// What was told of a session and its operations, shortly, in order.
fn story(world: &World, host: StackId) -> Vec<String> {
    let tell = |event: &Event| match event {
        Event::Session { old, new, reason, .. } => Some(format!("{old:?}>{new:?} {reason:?}")),
        Event::Provisional { message, .. } => Some(format!("{}", message.status().unwrap().code())),
        Event::OfferReceived { .. } => Some("offer".to_owned()),
        Event::AnswerReceived { .. } => Some("answer".to_owned()),
        Event::SessionReceived { .. } => Some("received".to_owned()),
        Event::SessionMessage { message, .. } => Some(format!("{:?}", message.method().unwrap())),
        Event::Completed { result: Ok(_), .. } => Some("done".to_owned()),
        Event::Completed {
            result: Err(error), ..
        } => Some(match error {
            OperationError::FailureResponse(response) => {
                format!("failed {}", response.status().unwrap().code())
            }
            OperationError::OperationFailure(failure) => format!("{failure:?}"),
            OperationError::Timeout => "timeout".to_owned(),
            other => format!("{other}"),
        }),
        _ => None,
    };
    world
        .events(host)
        .iter()
        .filter_map(|(_, event)| tell(event))
        .collect()
}

fn methods(world: &mut World, line: LineId) -> Vec<Method> {
    let heard = world.heard(line);
    heard
        .iter()
        .filter_map(|message| message.method().cloned())
        .collect()
}

// rules: S1, X3, M2
#[test]
fn each_final_response_has_its_reason() {
    let cases = [
        ("300 Multiple Choices", SessionReason::Unreachable),
        ("302 Moved Temporarily", SessionReason::Unreachable),
        ("404 Not Found", SessionReason::Unreachable),
        ("406 Not Acceptable", SessionReason::NotAcceptable),
        ("408 Request Timeout", SessionReason::Timeout),
        (
            "480 Temporarily Unavailable",
            SessionReason::TemporarilyUnavailable,
        ),
        (
            "481 Call/Transaction Does Not Exist",
            SessionReason::SessionDoesNotExist,
        ),
        ("486 Busy Here", SessionReason::Busy),
        ("487 Request Terminated", SessionReason::Canceled),
        ("488 Not Acceptable Here", SessionReason::NotAcceptableMedia),
        ("500 Server Internal Error", SessionReason::Unreachable),
        ("503 Service Unavailable", SessionReason::Unreachable),
        ("600 Busy Everywhere", SessionReason::Busy),
        ("603 Decline", SessionReason::Declined),
        ("606 Not Acceptable", SessionReason::NotAcceptableMedia),
    ];
    for (status, reason) in cases {
        world::run(1, |world| {
            let call = invited(world, Some(sdp()));
            call.respond(world, status, "bob", "");
            let code = &status[..3];
            assert_eq!(
                story(world, call.host),
                [
                    "Idle>Connecting None".to_owned(),
                    format!("Connecting>Disconnected {reason:?}"),
                    format!("failed {code}"),
                ],
                "{status}"
            );
            // RFC 3261 section 17.1.1.3.
            assert_eq!(methods(world, call.line), [Method::Ack]);
        });
    }
}

// rules: S1, S8, X3
#[test]
fn a_call_is_told_in_order_and_acknowledged() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.respond(world, "100 Trying", "", "");
        call.respond(world, "180 Ringing", "bob", CONTACT);
        call.respond(world, "183 Session Progress", "bob", CONTACT);
        call.respond(world, "200 OK", "bob", OFFER);
        let told = story(world, call.host);
        assert_eq!(told[0], "Idle>Connecting None");
        assert_eq!(
            told[1..4],
            ["Connecting>Alerted ProvisionalResponseReceived", "180", "183"]
        );
        assert_eq!(told[4..], ["answer", "Alerted>Connected None", "done"]);
        let ack = next_request(world, call.line, &Method::Ack);
        assert_eq!(ack.request_uri(), "sip:bob@two.invalid;transport=tcp");
        assert_eq!(ack.cseq().unwrap().number, call.invite.cseq().unwrap().number);
        assert_ne!(
            ack.via_top().unwrap().branch(),
            call.invite.via_top().unwrap().branch()
        );
        assert!(field(&ack, HeaderName::To).ends_with(";tag=bob"));
        // RFC 3261 section 13.2.2.4: each 2xx gets one.
        call.respond(world, "200 OK", "bob", OFFER);
        assert_eq!(methods(world, call.line), [Method::Ack]);
        assert_eq!(story(world, call.host).len(), 7);
    });
}

// rules: S1, X3
#[test]
fn nobody_answers_or_nobody_is_there() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        let sent = world.events(call.host).len();
        assert!(world.result(call.host, call.operation) == Err(OperationError::Timeout));
        assert!(sent < world.events(call.host).len());
        assert_eq!(
            story(world, call.host)[1..],
            ["Connecting>Disconnected Timeout", "timeout"]
        );
    });
    world::run(1, |world| {
        let Call { alice, .. } = caller(world);
        let nobody = world.peer();
        let target = format!("sip:bob@{}:5060;transport=tcp", world.ip(nobody));
        let (_, operation) = world.invite(alice, &target, None);
        assert!(matches!(
            world.result(alice.host, operation),
            Err(OperationError::ConnectionFailure(_))
        ));
        assert_eq!(story(world, alice.host)[1], "Connecting>Disconnected Unreachable");
    });
}

// rules: S5, S10
#[test]
fn an_offer_in_the_2xx_is_answered_in_the_ack() {
    world::run(1, |world| {
        let call = invited(world, None);
        assert!(call.invite.body_bytes().is_empty());
        call.respond(world, "200 OK", "bob", OFFER);
        assert_eq!(story(world, call.host), ["Idle>Connecting None", "offer"]);
        // The ACK waits for the application, however often the 2xx comes.
        call.respond(world, "200 OK", "bob", OFFER);
        assert_eq!(methods(world, call.line), []);
        let answered = Content::new("application/sdp", "v=0\r\ns=answer\r\n");
        call.with(world, |session| session.answer(answered.clone()))
            .unwrap();
        let again = call.with(world, |session| session.answer(answered));
        assert!(matches!(again, Err(Misuse::State { .. })));
        let ack = next_request(world, call.line, &Method::Ack);
        assert_eq!(ack.body_bytes(), b"v=0\r\ns=answer\r\n");
        assert_eq!(
            story(world, call.host)[2..],
            ["Connecting>Connected None", "done"]
        );
        // A repetition is answered with the same.
        call.respond(world, "200 OK", "bob", OFFER);
        assert_eq!(
            next_request(world, call.line, &Method::Ack).body_bytes(),
            b"v=0\r\ns=answer\r\n"
        );
    });
}

// rules: S5, X3
#[test]
fn an_offer_that_is_never_answered_ends_when_the_peer_gives_up() {
    world::run(1, |world| {
        let call = invited(world, None);
        call.respond(world, "200 OK", "bob", OFFER);
        let offered = world
            .events(call.host)
            .iter()
            .find(|(_, event)| matches!(event, Event::OfferReceived { .. }));
        // RFC 3261 section 13.3.1.4: 64*T1.
        let end = offered.unwrap().0 + secs(32);
        let left = end.since(world.now());
        world.run_for(left - TICK);
        assert_eq!(methods(world, call.line), []);
        world.run_for(TICK + Duration::from_millis(20));
        assert_eq!(methods(world, call.line), [Method::Ack, Method::Bye]);
        assert!(world.result(call.host, call.operation) == Err(OperationError::Timeout));
    });
}

// rules: S8, C31
#[test]
fn of_two_forks_that_both_answer_one_lives() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.respond(world, "180 Ringing", "one", CONTACT);
        call.respond(world, "180 Ringing", "two", CONTACT);
        call.respond(world, "200 OK", "one", OFFER);
        let ack = next_request(world, call.line, &Method::Ack);
        assert!(field(&ack, HeaderName::To).ends_with(";tag=one"));
        call.respond(
            world,
            "200 OK",
            "two",
            "Contact: <sip:two@three.invalid;transport=tcp>",
        );
        let ended = world.heard(call.line);
        let show = |message: &Message| (message.method().cloned().unwrap(), field(message, HeaderName::To));
        let to = format!("{};tag=two", field(&call.invite, HeaderName::To));
        let shown: Vec<_> = ended.iter().map(show).collect();
        assert_eq!(shown, [(Method::Ack, to.clone()), (Method::Bye, to)]);
        assert_eq!(ended[0].request_uri(), "sip:two@three.invalid;transport=tcp");
        assert_eq!(
            ended[0].cseq().unwrap().number,
            call.invite.cseq().unwrap().number
        );
        assert!(ended[1].cseq().unwrap().number > ended[0].cseq().unwrap().number);
        respond(world, call.line, &ended[1], "200 OK", "", "");
        assert_eq!(
            world.with(call.host, |stack, now| stack
                .session(now, call.session)
                .unwrap()
                .state()),
            SessionState::Connected
        );
        // It is alive: a request goes and comes.
        let info = call
            .with(world, |session| session.send(Method::Info, None, Vec::new()))
            .unwrap();
        let request = next_request(world, call.line, &Method::Info);
        assert!(field(&request, HeaderName::To).ends_with(";tag=one"));
        respond(world, call.line, &request, "200 OK", "", "");
        world.result(call.host, info).unwrap();
    });
}

// rules: S8, E2
#[test]
fn a_call_to_two_places_of_one_user_leaves_one_session() {
    for seed in world::seeds(8) {
        world::run(seed, |world| {
            let server = served(world);
            let alice = registered(world, server, "alice");
            let places = [registered(world, server, "bob"), registered(world, server, "bob")];
            for place in places {
                accept_calls(world, place.host);
            }
            let (call, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
            world.result(alice.host, made).unwrap();
            world.run_for(secs(40));
            assert_eq!(
                world.with(alice.host, |stack, now| stack.session(now, call).unwrap().state()),
                SessionState::Connected
            );
            let connected = |place: &&Endpoint| {
                let states = common::session_states(world, place.host);
                states.last() == Some(&SessionState::Connected)
            };
            assert_eq!(places.iter().filter(connected).count(), 1);
            let loser = places.iter().find(|place| !connected(place)).unwrap();
            let told = story(world, loser.host);
            let end = told.iter().find(|line| line.contains(">Disconnected")).unwrap();
            // ACK and BYE, or the CANCEL of the proxy came first.
            assert!(
                end.ends_with("TerminatedRemotely") || end.ends_with("Canceled"),
                "{told:?}"
            );
        });
    }
}

// rules: S10, S1, X3
#[test]
fn a_caller_ends_the_call_as_its_state_asks_for() {
    // Before anything was sent.
    world::run(1, |world| {
        let Call { alice, target, peer } = caller(world);
        let session = world
            .with(alice.host, |stack, now| {
                stack.endpoint(now, alice.id).unwrap().create_session(&target)
            })
            .unwrap();
        let ended = command_session(world, alice.host, session, |session| session.terminate()).unwrap();
        world.result(alice.host, ended).unwrap();
        assert_eq!(
            story(world, alice.host),
            ["Idle>Disconnected TerminatedLocally", "done"]
        );
        assert_eq!(world.lines(peer), []);
    });
    // Before a provisional response: CANCEL waits for one (RFC 3261 section 9.1).
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        let ended = call.with(world, |session| session.terminate());
        world.run_for(secs(1));
        assert_eq!(methods(world, call.line), []);
        call.respond(world, "100 Trying", "", "");
        let cancel = next_request(world, call.line, &Method::Cancel);
        assert_eq!(
            cancel.via_top().unwrap().branch(),
            call.invite.via_top().unwrap().branch()
        );
        respond(world, call.line, &cancel, "200 OK", "bob", "");
        assert_eq!(story(world, call.host), ["Idle>Connecting None"]);
        call.respond(world, "487 Request Terminated", "bob", "");
        assert_eq!(methods(world, call.line), [Method::Ack]);
        world.result(call.host, ended).unwrap();
        let end = [
            "Connecting>Disconnected TerminatedLocally",
            "SessionTerminated",
            "done",
        ];
        assert_eq!(story(world, call.host)[1..], end);
    });
    // Ringing.
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.respond(world, "180 Ringing", "bob", CONTACT);
        let ended = call.with(world, |session| session.terminate());
        let cancel = next_request(world, call.line, &Method::Cancel);
        respond(world, call.line, &cancel, "200 OK", "bob", "");
        call.respond(world, "487 Request Terminated", "bob", "");
        world.result(call.host, ended).unwrap();
        let end = [
            "Alerted>Disconnected TerminatedLocally",
            "SessionTerminated",
            "done",
        ];
        assert_eq!(story(world, call.host)[3..], end);
    });
    // The CANCEL crosses with the 2xx: ACK and BYE, and no ghost.
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.respond(world, "180 Ringing", "bob", CONTACT);
        let ended = call.with(world, |session| session.terminate());
        call.respond(world, "200 OK", "bob", OFFER);
        let heard = world.heard(call.line);
        let names: Vec<_> = heard
            .iter()
            .filter_map(|message| message.method().cloned())
            .collect();
        assert_eq!(names, [Method::Cancel, Method::Ack, Method::Bye]);
        respond(world, call.line, &heard[0], "200 OK", "bob", "");
        respond(world, call.line, &heard[2], "200 OK", "", "");
        world.result(call.host, ended).unwrap();
        assert_eq!(
            story(world, call.host)[3..],
            [
                "Alerted>Disconnected TerminatedLocally",
                "SessionTerminated",
                "done"
            ]
        );
    });
    // Connected; the BYE is answered, refused, or not answered at all.
    for status in [
        Some("200 OK"),
        Some("481 Gone"),
        Some("503 Service Unavailable"),
        None,
    ] {
        world::run(1, |world| {
            let call = invited(world, Some(sdp()));
            call.connect(world);
            let ended = call.with(world, |session| session.terminate());
            let twice = call.with(world, |session| session.terminate());
            let bye = next_request(world, call.line, &Method::Bye);
            assert!(bye.cseq().unwrap().number > call.invite.cseq().unwrap().number);
            if let Some(status) = status {
                respond(world, call.line, &bye, status, "", "Retry-After: 120");
                assert!(world.ended(call.host, ended).is_some(), "{status}");
            }
            world.result(call.host, ended).unwrap();
            world.result(call.host, twice).unwrap();
            assert_eq!(
                story(world, call.host)[3..],
                ["Connected>Disconnected TerminatedLocally", "done", "done"]
            );
            assert_eq!(methods(world, call.line), []);
        });
    }
}

/// An INVITE of a scripted peer that has come to bob.
struct Offered {
    bob: Endpoint,
    line: LineId,
    session: SessionId,
    invite: String,
}

fn offered(world: &mut World) -> Offered {
    let callee = callee(world);
    let target = format!("sip:bob@{}", callee.address);
    let more = "Contact: <sip:p@peer.invalid;transport=tcp>\nContent-Type: application/sdp";
    let invite = common::request("INVITE", &target, "<sip:bob@two.invalid>", 1, more);
    world.say(callee.line, &format!("{invite}\nv=0\r\n"));
    world.run_for(Duration::from_millis(30));
    let session = world
        .events(callee.host)
        .iter()
        .find_map(|(_, event)| match event {
            Event::SessionReceived { session, .. } => Some(*session),
            _ => None,
        });
    Offered {
        bob: callee.bob,
        line: callee.line,
        session: session.expect("an INVITE"),
        invite,
    }
}

impl Offered {
    fn with<T>(&self, world: &mut World, command: impl FnOnce(&mut SessionView<'_>) -> T) -> T {
        command_session(world, self.bob.host, self.session, command).unwrap()
    }

    /// A request of the peer: one in the INVITE's own transaction, or inside the dialog where there is a tag.
    fn say(&self, world: &mut World, method: &str, number: u32, tag: &str) {
        let mut text = self
            .invite
            .split("Content-Type")
            .next()
            .unwrap()
            .replace("INVITE", method);
        text = text.replace("CSeq: 1 ", &format!("CSeq: {number} "));
        if method != "CANCEL" {
            text = text.replace("z9hG4bK1", &format!("z9hG4bK{method}{number}"));
        }
        if !tag.is_empty() {
            text = text.replace(
                "To: <sip:bob@two.invalid>",
                &format!("To: <sip:bob@two.invalid>;tag={tag}"),
            );
        }
        world.say(self.line, &text);
        world.run_for(Duration::from_millis(20));
    }

    /// Accepts, and gives the 2xx.
    fn accept(&self, world: &mut World) -> (OperationId, Message) {
        let operation = self.with(world, |session| session.accept(Some(sdp()))).unwrap();
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(self.line);
        let success = heard
            .into_iter()
            .find(|message| message.status() == Some(StatusCode::OK));
        (operation, success.expect("a 2xx"))
    }

    fn connect(&self, world: &mut World) -> String {
        let (_, success) = self.accept(world);
        let tag = tag_of(&success);
        self.say(world, "ACK", 1, &tag);
        tag
    }
}

fn tag_of(message: &Message) -> String {
    message.to().unwrap().tag().unwrap().to_owned()
}

// rules: S2, S3, S1
#[test]
fn a_callee_rings_accepts_and_is_acknowledged() {
    world::run(1, |world| {
        let call = offered(world);
        call.with(world, |session| session.provisional(StatusCode::RINGING, None))
            .unwrap();
        call.with(world, |session| {
            session.provisional(StatusCode::SESSION_PROGRESS, Some(sdp()))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(call.line);
        let ringing: Vec<_> = heard
            .iter()
            .filter_map(Message::status)
            .map(StatusCode::code)
            .collect();
        assert_eq!(ringing, [180, 183]);
        let (accepted, success) = call.accept(world);
        assert_eq!(tag_of(&success), tag_of(&heard[0]), "one dialog");
        assert!(!field(&success, HeaderName::Contact).is_empty());
        assert_eq!(
            story(world, call.bob.host),
            ["received", "Incoming>Connecting None"]
        );
        call.say(world, "ACK", 1, &tag_of(&success));
        world.result(call.bob.host, accepted).unwrap();
        assert_eq!(
            story(world, call.bob.host)[2..],
            ["Connecting>Connected None", "done"]
        );
        // No repetition after it.
        world.run_for(secs(40));
        assert_eq!(codes(world, call.line), [0_u16; 0]);
        call.say(world, "BYE", 2, &tag_of(&success));
        assert_eq!(codes(world, call.line), [200]);
        assert_eq!(
            story(world, call.bob.host)[4..],
            ["Connected>Disconnected TerminatedRemotely"]
        );
    });
}

// rules: S3, X3
#[test]
fn a_2xx_without_ack_is_repeated_and_given_up() {
    world::run(1, |world| {
        let call = offered(world);
        let begun = world.now();
        let accepted = call.with(world, |session| session.accept(Some(sdp()))).unwrap();
        let mut heard = Vec::new();
        for _ in 0..3300 {
            world.run_for(Duration::from_millis(10));
            for message in world.heard(call.line) {
                // Less the way.
                let at = world.now().since(begun).as_millis() - 10;
                heard.push((
                    at,
                    message.status().map(StatusCode::code),
                    message.method().cloned(),
                ));
            }
        }
        let times: Vec<u128> = heard.iter().map(|(at, ..)| *at).collect();
        // RFC 3261 section 13.3.1.4: T1, doubled up to T2, for 64*T1; then BYE.
        assert_eq!(
            times,
            [
                0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000
            ]
        );
        assert!(heard[..11].iter().all(|(_, status, _)| *status == Some(200)));
        assert_eq!(heard[11].2, Some(Method::Bye));
        assert!(world.result(call.bob.host, accepted) == Err(OperationError::Timeout));
        assert_eq!(
            story(world, call.bob.host)[2..],
            ["Connecting>Disconnected Timeout", "timeout"]
        );
    });
}

// rules: S10, S1
#[test]
fn a_callee_ends_the_call_as_its_state_asks_for() {
    // Incoming: a decline.
    world::run(1, |world| {
        let call = offered(world);
        let ended = call.with(world, |session| session.terminate());
        world.result(call.bob.host, ended).unwrap();
        world.run_for(secs(1));
        assert_eq!(codes(world, call.line), [480]);
        assert_eq!(
            story(world, call.bob.host)[1..],
            ["Incoming>Disconnected TerminatedLocally", "done"]
        );
    });
    // Accepted: BYE, but not before the ACK (RFC 3261 section 15).
    world::run(1, |world| {
        let call = offered(world);
        let (accepted, success) = call.accept(world);
        let ended = call.with(world, |session| session.terminate());
        world.run_for(Duration::from_millis(300));
        assert_eq!(methods(world, call.line), []);
        call.say(world, "ACK", 1, &tag_of(&success));
        let bye = next_request(world, call.line, &Method::Bye);
        respond(world, call.line, &bye, "200 OK", "", "");
        world.result(call.bob.host, ended).unwrap();
        let failed = world.result(call.bob.host, accepted);
        assert!(
            failed
                == Err(OperationError::OperationFailure(
                    OperationFailure::SessionTerminated
                ))
        );
        assert_eq!(
            story(world, call.bob.host)[2..],
            [
                "Connecting>Disconnected TerminatedLocally",
                "SessionTerminated",
                "done"
            ]
        );
    });
    // Refused and redirected.
    world::run(1, |world| {
        let call = offered(world);
        call.with(world, |session| {
            session.reject(StatusCode::BUSY_HERE, Some("Not now"))
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(call.line);
        let refusal = heard.last().unwrap();
        assert_eq!(
            (refusal.status(), refusal.reason()),
            (Some(StatusCode::BUSY_HERE), &b"Not now"[..])
        );
        assert_eq!(
            story(world, call.bob.host)[1..],
            ["Incoming>Disconnected Declined"]
        );
    });
    world::run(1, |world| {
        let call = offered(world);
        let moved = StatusCode::new(302).unwrap();
        call.with(world, |session| {
            session.redirect(moved, &["sip:carol@example.com", "sip:dave@example.com"])
        })
        .unwrap();
        world.run_for(Duration::from_millis(20));
        let heard = world.heard(call.line);
        let contacts: Vec<&[u8]> = heard.last().unwrap().raw_all(HeaderName::Contact).collect();
        assert_eq!(
            contacts,
            [&b"<sip:carol@example.com>"[..], &b"<sip:dave@example.com>"[..]]
        );
    });
}

// rules: S1, S10
#[test]
fn a_cancelled_invite_is_answered_487_and_one_that_was_accepted_is_not() {
    world::run(1, |world| {
        let call = offered(world);
        call.say(world, "CANCEL", 1, "");
        let heard = world.heard(call.line);
        let shown: Vec<_> = heard
            .iter()
            .map(|message| (message.status().unwrap().code(), message.cseq().unwrap().method))
            .collect();
        assert_eq!(shown, [(200, Method::Cancel), (487, Method::Invite)]);
        // RFC 3261 section 9.2.
        assert_eq!(tag_of(&heard[0]), tag_of(&heard[1]));
        assert_eq!(
            story(world, call.bob.host)[1..],
            ["Incoming>Disconnected Canceled"]
        );
    });
    world::run(1, |world| {
        let call = offered(world);
        let (_, success) = call.accept(world);
        call.say(world, "CANCEL", 1, "");
        assert_eq!(codes(world, call.line), [200]);
        call.say(world, "ACK", 1, &tag_of(&success));
        assert_eq!(story(world, call.bob.host).last().unwrap(), "done");
        call.say(world, "BYE", 2, &tag_of(&success));
    });
}

// rules: S12
#[test]
fn an_invite_that_the_application_never_answers_is_answered_for_it() {
    world::run(1, |world| {
        let call = offered(world);
        let received = world
            .events(call.bob.host)
            .iter()
            .find(|(_, event)| matches!(event, Event::SessionReceived { .. }));
        let left = (received.unwrap().0 + secs(180)).since(world.now());
        world.run_for(left - TICK);
        assert_eq!(
            codes(world, call.line).iter().filter(|code| **code > 199).count(),
            0
        );
        world.run_for(TICK + Duration::from_millis(20));
        assert_eq!(codes(world, call.line), [480]);
        assert_eq!(
            story(world, call.bob.host)[1..],
            ["Incoming>Disconnected Timeout"]
        );
    });
}

// rules: S15, X3
#[test]
fn requests_inside_go_out_in_their_order_and_complete_with_their_own_answers() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.connect(world);
        let kinds = [
            Method::Message,
            Method::Info,
            Method::Options,
            Method::Notify,
            Method::Message,
        ];
        let operations: Vec<OperationId> = kinds
            .iter()
            .map(|method| {
                let content = Some(Content::text("hello"));
                call.with(world, |session| session.send(method.clone(), content, Vec::new()))
                    .unwrap()
            })
            .collect();
        world.run_for(Duration::from_millis(50));
        let heard = world.heard(call.line);
        let names: Vec<_> = heard
            .iter()
            .filter_map(|message| message.method().cloned())
            .collect();
        assert_eq!(names, kinds);
        let first = call.invite.cseq().unwrap().number;
        let numbers: Vec<u32> = heard
            .iter()
            .map(|message| message.cseq().unwrap().number - first)
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        // Answered in another order, each with a status of its own.
        for (place, status) in [
            (3, "603 Decline"),
            (0, "200 OK"),
            (4, "202 Accepted"),
            (1, "488 No"),
            (2, "200 OK"),
        ] {
            respond(world, call.line, &heard[place], status, "", "");
        }
        let statuses: Vec<u16> = operations
            .iter()
            .map(|operation| match world.result(call.host, *operation) {
                Ok(completion) => completion.response().unwrap().status().unwrap().code(),
                Err(error) => error.response().unwrap().status().unwrap().code(),
            })
            .collect();
        assert_eq!(statuses, [200, 488, 200, 603, 202]);
        assert_eq!(
            story(world, call.host)[3..],
            ["failed 603", "done", "done", "failed 488", "done"]
        );
    });
}

// rules: S15, S4, M4
#[test]
fn requests_of_the_peer_inside_are_told_in_order_and_answered() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.connect(world);
        for (method, number) in [("MESSAGE", 5), ("INFO", 6), ("INFO", 9)] {
            let text = inside(&call.invite, "bob", method, number);
            world.say(call.line, &text);
            world.run_for(Duration::from_millis(20));
        }
        assert_eq!(story(world, call.host)[3..], ["Message", "Info", "Info"]);
        assert_eq!(codes(world, call.line), [200, 200, 200]);
        // RFC 3261 section 12.2.2: a lower number.
        let text = inside(&call.invite, "bob", "INFO", 7);
        world.say(call.line, &text);
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, call.line), [500]);
        // Another dialog.
        let text = inside(&call.invite, "mallory", "INFO", 10);
        world.say(call.line, &text);
        world.run_for(Duration::from_millis(20));
        assert_eq!(codes(world, call.line), [481]);
        assert_eq!(story(world, call.host).len(), 6);
    });
}

// rules: S1, X3
#[test]
fn a_peer_that_knows_no_such_session_ends_it() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.connect(world);
        let [first, second] = [Method::Info, Method::Message].map(|method| {
            call.with(world, |session| session.send(method, None, Vec::new()))
                .unwrap()
        });
        let request = next_request(world, call.line, &Method::Info);
        respond(
            world,
            call.line,
            &request,
            "481 Call/Transaction Does Not Exist",
            "",
            "",
        );
        assert_eq!(common::failure_code(&world.result(call.host, first)), 481);
        let ended = world.result(call.host, second);
        assert!(
            ended
                == Err(OperationError::OperationFailure(
                    OperationFailure::SessionTerminated
                ))
        );
        let told = story(world, call.host);
        assert_eq!(told[3], "Connected>Disconnected SessionDoesNotExist");
        assert_eq!(told.len(), 6);
    });
}

// rules: S18, C9, C13
#[test]
fn a_session_outlives_its_connection() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        let address = call.invite.request_uri().to_owned();
        let contact = format!("Contact: <{address}>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE");
        call.respond(world, "200 OK", "bob", &contact);
        next_request(world, call.line, &Method::Ack);
        // Longer than a released connection is kept.
        world.run_for(secs(300));
        assert!(world.is_line_open(call.line));
        world.break_off(call.line);
        world.run_for(secs(30));
        assert_eq!(
            story(world, call.host).len(),
            3,
            "the session does not end because its connection did"
        );
        let info = call
            .with(world, |session| session.send(Method::Info, None, Vec::new()))
            .unwrap();
        let line = next_line(world, call.peer, 0);
        world.run_for(secs(1));
        let heard = world.heard(line);
        for request in &heard {
            respond(world, line, request, "200 OK", "", &contact);
        }
        world.result(call.host, info).unwrap();
        // Our Contact named the lost connection: the peer is told the new one.
        let update = heard
            .iter()
            .find(|message| message.method() == Some(&Method::Update))
            .unwrap();
        assert_ne!(
            field(update, HeaderName::Contact),
            field(&call.invite, HeaderName::Contact)
        );
        let ended = call.with(world, |session| session.terminate());
        let bye = next_request(world, line, &Method::Bye);
        respond(world, line, &bye, "200 OK", "", "");
        world.result(call.host, ended).unwrap();
    });
}

/// The commands of rule S2 and S15, by name.
const COMMANDS: [&str; 7] = [
    "establish",
    "accept",
    "reject",
    "redirect",
    "provisional",
    "answer",
    "send",
];

fn command(session: &mut SessionView<'_>, name: &str) -> Result<(), Misuse> {
    match name {
        "establish" => session.establish(None, SendOptions::default()).map(drop),
        "accept" => session.accept(None).map(drop),
        "reject" => session.reject(StatusCode::BUSY_HERE, None),
        "redirect" => session.redirect(StatusCode::new(302).unwrap(), &["sip:carol@example.com"]),
        "provisional" => session.provisional(StatusCode::RINGING, None),
        "answer" => session.answer(sdp()),
        "send" => session.send(Method::Info, None, Vec::new()).map(drop),
        other => panic!("{other}"),
    }
}

/// Every command but the legal ones is misuse, and changes nothing.
fn only(world: &mut World, host: StackId, session: SessionId, legal: &[&str]) {
    world.run_for(Duration::from_millis(50));
    for name in COMMANDS {
        if legal.contains(&name) {
            continue;
        }
        let before = (
            world.events(host).len(),
            world.with(host, |stack, _| stack.census()),
        );
        let refused =
            command_session(world, host, session, |session| command(session, name)).and_then(|result| result);
        assert!(
            matches!(refused, Err(Misuse::State { .. } | Misuse::Unknown(_))),
            "{name}: {refused:?}"
        );
        let after = (
            world.events(host).len(),
            world.with(host, |stack, _| stack.census()),
        );
        assert_eq!(before, after, "{name} changes nothing");
    }
}

// rules: S2, X2
#[test]
fn what_a_state_does_not_allow_is_misuse_and_changes_nothing() {
    world::run(1, |world| {
        let Call { alice, target, .. } = caller(world);
        let session = world
            .with(alice.host, |stack, now| {
                stack.endpoint(now, alice.id).unwrap().create_session(&target)
            })
            .unwrap();
        only(world, alice.host, session, &["establish"]);
    });
    world::run(1, |world| {
        let call = invited(world, None);
        only(world, call.host, call.session, &[]);
        call.respond(world, "180 Ringing", "bob", CONTACT);
        only(world, call.host, call.session, &[]);
        call.respond(world, "200 OK", "bob", OFFER);
        only(world, call.host, call.session, &["answer"]);
        call.with(world, |session| session.answer(sdp())).unwrap();
        only(world, call.host, call.session, &["send"]);
        call.with(world, |session| session.terminate());
        only(world, call.host, call.session, &[]);
        let bye = next_request(world, call.line, &Method::Bye);
        respond(world, call.line, &bye, "200 OK", "", "");
        only(world, call.host, call.session, &[]);
    });
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.respond(world, "180 Ringing", "bob", CONTACT);
        call.with(world, |session| session.terminate());
        only(world, call.host, call.session, &[]);
        call.respond(world, "487 Request Terminated", "bob", "");
    });
    world::run(1, |world| {
        let call = offered(world);
        let legal = ["accept", "reject", "redirect", "provisional"];
        only(world, call.bob.host, call.session, &legal);
        call.with(world, |session| session.provisional(StatusCode::RINGING, None))
            .unwrap();
        only(world, call.bob.host, call.session, &legal);
        let (_, success) = call.accept(world);
        only(world, call.bob.host, call.session, &[]);
        call.say(world, "ACK", 1, &tag_of(&success));
        only(world, call.bob.host, call.session, &["send"]);
    });
    // Arguments out of range.
    world::run(1, |world| {
        let call = offered(world);
        call.with(world, |session| {
            for status in [200, 302, 180] {
                assert!(
                    session.reject(StatusCode::new(status).unwrap(), None).is_err(),
                    "{status}"
                );
            }
            for status in [200, 180, 400] {
                assert!(
                    session
                        .redirect(StatusCode::new(status).unwrap(), &["sip:a@b.c"])
                        .is_err(),
                    "{status}"
                );
            }
            for status in [100, 200, 302] {
                assert!(
                    session
                        .provisional(StatusCode::new(status).unwrap(), None)
                        .is_err(),
                    "{status}"
                );
            }
            assert!(session.redirect(StatusCode::new(302).unwrap(), &[]).is_err());
            assert!(
                session
                    .redirect(StatusCode::new(302).unwrap(), &["no uri"])
                    .is_err()
            );
            assert!(session.reject(StatusCode::BUSY_HERE, Some("a\r\nb")).is_err());
            assert_eq!(session.state(), SessionState::Incoming);
        });
    });
}

/// What the peer says, as bytes.
fn bytes(text: &str) -> Vec<u8> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    format!("{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n")).into_bytes()
}

// rules: X2, X3
#[test]
fn a_command_that_the_network_has_overtaken_completes_as_session_terminated() {
    let terminated = Err(OperationError::OperationFailure(
        OperationFailure::SessionTerminated,
    ));
    // The CANCEL is there, the application has not seen it.
    for name in ["accept", "reject", "redirect", "provisional"] {
        world::run(1, |world| {
            let call = offered(world);
            let conn = world
                .events(call.bob.host)
                .iter()
                .find_map(|(_, event)| match event {
                    Event::ConnectionAdded { conn, .. } => Some(*conn),
                    _ => None,
                });
            let text = call
                .invite
                .split("Contact")
                .next()
                .unwrap()
                .replace("INVITE", "CANCEL");
            let session = call.session;
            let come = (conn.unwrap(), bytes(&text));
            let result = world.with_bytes(call.bob.host, (come.0, &come.1), |stack, now| {
                let mut view = stack.session(now, session).unwrap();
                if name == "accept" {
                    return view.accept(Some(sdp())).map(Some);
                }
                command(&mut view, name).map(|()| None)
            });
            let operation = result.expect("it was legal, as far as the application could know");
            world.run_for(secs(1));
            if let Some(operation) = operation {
                assert!(world.result(call.bob.host, operation) == terminated);
            }
            let told = story(world, call.bob.host);
            assert_eq!(told[1], "Incoming>Disconnected Canceled");
            assert_eq!(told.len(), if name == "accept" { 3 } else { 2 });
            assert_eq!(codes(world, call.line), [200, 487]);
            // Now that it has seen the end, it is misuse.
            only(world, call.bob.host, call.session, &[]);
        });
    }
    // The BYE is there.
    world::run(1, |world| {
        let call = offered(world);
        let tag = call.connect(world);
        let conn = world
            .events(call.bob.host)
            .iter()
            .find_map(|(_, event)| match event {
                Event::ConnectionAdded { conn, .. } => Some(*conn),
                _ => None,
            });
        let text = call
            .invite
            .split("Contact")
            .next()
            .unwrap()
            .replace("INVITE", "BYE")
            .replace("z9hG4bK1", "z9hG4bK2");
        let text = text.replace(
            "To: <sip:bob@two.invalid>",
            &format!("To: <sip:bob@two.invalid>;tag={tag}"),
        );
        let text = text.replace("CSeq: 1", "CSeq: 2");
        let session = call.session;
        let come = (conn.unwrap(), bytes(&text));
        let [sent, ended] = world.with_bytes(call.bob.host, (come.0, &come.1), |stack, now| {
            let mut view = stack.session(now, session).unwrap();
            [
                view.send(Method::Info, None, Vec::new()).unwrap(),
                view.terminate(),
            ]
        });
        assert!(world.result(call.bob.host, sent) == terminated);
        world.result(call.bob.host, ended).unwrap();
        let told = story(world, call.bob.host);
        assert_eq!(
            told[4..],
            [
                "Connected>Disconnected TerminatedRemotely",
                "SessionTerminated",
                "done"
            ]
        );
    });
}

// rules: E13, X3, X6
#[test]
fn an_endpoint_that_ends_takes_its_calls_along() {
    world::run(1, |world| {
        let call = invited(world, Some(sdp()));
        call.connect(world);
        let sent = call
            .with(world, |session| session.send(Method::Info, None, Vec::new()))
            .unwrap();
        let ended = world.terminate(call.alice);
        let bye = next_request(world, call.line, &Method::Bye);
        respond(world, call.line, &bye, "200 OK", "", "");
        world.result(call.host, ended).unwrap();
        assert!(world.ended(call.host, sent).is_some());
        let told = story(world, call.host);
        assert_eq!(
            told[3..],
            [
                "Connected>Disconnected TerminatedLocally",
                "SessionTerminated",
                "done"
            ]
        );
    });
}
