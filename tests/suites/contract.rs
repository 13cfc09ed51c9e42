//! The contract of every call (group X of the rules), on stacks that are driven by hand and on random histories.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{HeaderName, Message, MessageLimits, Method, StatusCode};
use sansip::{
    Action, Answer, CloseReason, Completion, Config, ConnId, Content, EndpointId, Established, Event,
    IncomingId, ListenError, ListenerId, ManagerConfig, ManagerKind, Misuse, OperationError,
    OperationFailure, OperationId, PeerToPeerConfig, Proxy, QueryId, Reason, ResolveError, SendOptions,
    Server, SessionId, SessionState, SipEndpointConfig, Stack, Time, Transport, UnixTime,
};
use sansip_testkit::world;

use common::{TICK, answer, field, request, sdp, secs, wire};

const BOB: &str = "sip:bob@two.invalid";

fn stack() -> Stack {
    Stack::new(
        Config::default(),
        [7; 32],
        Time::from_secs(1),
        UnixTime(1_700_000_000),
    )
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn drain(stack: &mut Stack) -> Vec<Action> {
    std::iter::from_fn(|| stack.poll_action()).collect()
}

fn taken(stack: &mut Stack, now: Time, conn: ConnId) -> Vec<u8> {
    let bytes: Vec<u8> = stack
        .transmit(conn)
        .flat_map(|slice| slice.iter().copied())
        .collect();
    stack.handle_transmitted(now, conn, bytes.len());
    bytes
}

fn parsed(bytes: &[u8]) -> Vec<Message> {
    let mut framer = Framer::new(MessageLimits::default());
    framer.push(bytes);
    let frames = std::iter::from_fn(|| framer.next());
    frames
        .filter_map(|frame| match frame {
            Frame::Message { bytes, .. } => Message::parse(bytes, &MessageLimits::default()).ok(),
            _ => None,
        })
        .collect()
}

/// A stack with bob, listening, and a connection that a peer has made.
fn served() -> (Stack, Time, EndpointId, ConnId) {
    served_by(stack())
}

fn served_by(mut stack: Stack) -> (Stack, Time, EndpointId, ConnId) {
    let now = Time::from_secs(1);
    let bob = stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(BOB))
        .unwrap();
    let manager = stack.server_tcp_manager();
    let listener = stack
        .manager(now, manager)
        .unwrap()
        .listen(address("10.0.0.1:5060"))
        .unwrap();
    drain(&mut stack);
    stack.handle_listening(now, listener, Ok(address("10.0.0.1:5060")));
    let conn = stack.handle_accepted(now, listener, address("10.0.0.1:5060"), address("10.0.0.2:4000"));
    drain(&mut stack);
    (stack, now, bob, conn)
}

/// A session that is connected, its peer behind the connection; all events are taken.
fn connected() -> (Stack, Time, SessionId, ConnId, Message) {
    connected_by(stack())
}

fn connected_by(stack: Stack) -> (Stack, Time, SessionId, ConnId, Message) {
    let (mut stack, now, _, conn) = served_by(stack);
    let invite = request(
        "INVITE",
        BOB,
        "<sip:bob@two.invalid>",
        1,
        "Contact: <sip:p@10.0.0.2:4000>",
    );
    stack.handle_bytes(now, conn, &wire(&invite));
    let session = drain(&mut stack)
        .iter()
        .find_map(|action| match action {
            Action::Event(Event::SessionReceived { session, .. }) => Some(*session),
            _ => None,
        })
        .unwrap();
    stack.session(now, session).unwrap().accept(Some(sdp())).unwrap();
    drain(&mut stack);
    let response = parsed(&taken(&mut stack, now, conn)).pop().unwrap();
    stack.handle_bytes(now, conn, &inside("ACK", &response, 1));
    drain(&mut stack);
    assert_eq!(
        stack.session(now, session).unwrap().state(),
        SessionState::Connected
    );
    (stack, now, session, conn, response)
}

/// A request of the peer inside the dialog of this response.
fn inside(method: &str, response: &Message, cseq: u32) -> Vec<u8> {
    let to = field(response, HeaderName::To);
    let text = request(method, BOB, &to, 1, "").replace("z9hG4bK1", &format!("z9hG4bK{method}{cseq}"));
    wire(&text.replace("CSeq: 1 ", &format!("CSeq: {cseq} ")))
}

// ---------------------------------------------------------------- pieces

/// A stack whose application lags behind with two events.
fn impatient() -> Stack {
    let mut config = Config::default();
    config.limits.events = 1;
    Stack::new(config, [7; 32], Time::from_secs(1), UnixTime(0))
}

/// The actions that follow from these bytes.
fn in_pieces(size: usize, bytes: &[u8]) -> Vec<Action> {
    let (mut stack, now, _, conn) = served_by(impatient());
    for piece in bytes.chunks(size) {
        stack.handle_bytes(now, conn, piece);
    }
    drain(&mut stack)
}

// rules: X1, C31
#[test]
fn a_pause_in_the_middle_of_a_piece_is_one_between_two() {
    let messages: Vec<u8> = (1..=3)
        .flat_map(|number| wire(&request("MESSAGE", BOB, "<sip:bob@two.invalid>", number, "")))
        .collect();
    let whole = in_pieces(usize::MAX, &messages);
    let held_back = whole
        .iter()
        .position(|action| matches!(action, Action::Reading(_, false)));
    // Two are more than one that may wait; the third is what the connection has brought besides.
    assert_eq!(held_back, Some(2), "{whole:?}");
    let told = |action: &&Action| matches!(action, Action::Event(Event::MessageReceived { .. }));
    assert_eq!(whole.iter().filter(told).count(), 3, "{whole:?}");
    for size in [1, 2, 7, messages.len() / 3, messages.len() - 1] {
        assert_eq!(in_pieces(size, &messages), whole, "pieces of {size}");
    }
}

// rules: X1, X2, C31
#[test]
fn a_completion_of_a_command_that_was_overtaken_counts_as_an_event() {
    let (mut stack, now, session, conn, response) = connected_by(impatient());
    // One event, which is not too many, and the completion.
    stack.handle_bytes(now, conn, &inside("BYE", &response, 2));
    stack.session(now, session).unwrap().terminate();
    stack.handle_bytes(now, conn, b"M");
    let actions = drain(&mut stack);
    assert!(actions.contains(&Action::Reading(conn, false)), "{actions:?}");
}

/// A stack whose INVITE has gone out over a connection, and that.
fn inviting() -> (Stack, Time, ConnId, Message) {
    let (mut stack, now) = (stack(), Time::from_secs(1));
    let carol = stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new("sip:carol@two.invalid"))
        .unwrap();
    let target = "sip:p@10.0.0.2;transport=tcp";
    let mut view = stack.endpoint(now, carol).unwrap();
    view.invite(target, Some(sdp()), SendOptions::default()).unwrap();
    let conn = drain(&mut stack)
        .iter()
        .find_map(|action| match action {
            Action::Connect(connect) => Some(connect.conn),
            _ => None,
        })
        .unwrap();
    let established = Established {
        local: address("10.0.0.1:40000"),
        remote: address("10.0.0.2:5060"),
        peer: None,
    };
    stack.handle_connected(now, conn, established);
    drain(&mut stack);
    let invite = parsed(&taken(&mut stack, now, conn)).pop().unwrap();
    (stack, now, conn, invite)
}

// RFC 3261 section 8.2.6.2: a response has the From and the Call-ID of its request.
// rules: S4, X2
#[test]
fn a_response_of_another_call_with_our_branch_is_nobodys() {
    let (mut stack, now, conn, invite) = inviting();
    let contact = "Contact: <sip:p@10.0.0.2:4000>\nContent-Type: application/sdp";
    let ok = answer(&invite, "200 OK", "p", contact);
    let (from, call) = (
        field(&invite, HeaderName::From),
        field(&invite, HeaderName::CallId),
    );
    for other in [
        ok.replace(&call, "another"),
        ok.replace(&from, "<sip:carol@two.invalid>;tag=another"),
        ok.replace(&from, "<sip:carol@two.invalid>"),
    ] {
        assert_ne!(other, ok);
        stack.handle_bytes(now, conn, &wire(&other));
        assert_eq!(drain(&mut stack), [], "{other}");
    }
    stack.handle_bytes(now, conn, &wire(&ok));
    assert!(drain(&mut stack).contains(&Action::Transmit(conn)), "the ACK");
    let ack = parsed(&taken(&mut stack, now, conn)).pop().unwrap();
    assert_eq!(ack.method(), Some(&Method::Ack));
    assert_eq!(field(&ack, HeaderName::CallId), call);
}

// RFC 3261 section 7.3.1: white space around the separators of parameters says nothing, and the name has no case.
// rules: S4
#[test]
fn a_peer_may_write_from_with_other_white_space() {
    for written in ["; tag=", " ;tag=", ";Tag=", " ; tag = "] {
        let (mut stack, now, conn, invite) = inviting();
        let from = field(&invite, HeaderName::From).replace(";tag=", written);
        let contact = "Contact: <sip:p@10.0.0.2:4000>\nContent-Type: application/sdp";
        let ok = answer(&invite, "200 OK", "p", contact).replace(&field(&invite, HeaderName::From), &from);
        stack.handle_bytes(now, conn, &wire(&ok));
        drain(&mut stack);
        taken(&mut stack, now, conn);
        let session = stack.endpoints()[0];
        let session = stack.endpoint(now, session).unwrap().sessions()[0];
        let bye = stack.session(now, session).unwrap().terminate();
        drain(&mut stack);
        let request = parsed(&taken(&mut stack, now, conn)).pop().unwrap();
        assert_eq!(request.method(), Some(&Method::Bye), "{written}");
        stack.handle_bytes(now, conn, &wire(&answer(&request, "200 OK", "", "")));
        let (_, ended) = completion(&drain(&mut stack), bye);
        assert!(ended.is_ok(), "{written}: {ended:?}");
    }
}

// ---------------------------------------------------------------- misuse

// rules: X2
#[test]
fn misuse_is_refused_at_once_and_changes_nothing() {
    let (mut stack, now, session, ..) = connected();
    let alice = stack
        .add_sip_endpoint(now, SipEndpointConfig::new("sip:alice@example.com"))
        .unwrap();
    let bob = stack.endpoints()[0];
    drain(&mut stack);
    let client = stack.client_manager();
    let gone = {
        let mut other = stack.clone();
        other
            .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new("sip:later@two.invalid"))
            .unwrap()
    };
    let content = || Some(Content::text("x"));
    let bad = || vec![("Via".to_owned(), "x".to_owned())];
    type Call<'a> = Box<dyn Fn(&mut Stack) -> Result<(), Misuse> + 'a>;
    let calls: Vec<(&str, Call<'_>)> = vec![
        (
            "an endpoint that is not there",
            Box::new(|s| s.endpoint(now, gone).map(|_| ())),
        ),
        (
            "a bad URI",
            Box::new(|s| {
                s.add_sip_endpoint(now, SipEndpointConfig::new("alice"))
                    .map(|_| ())
            }),
        ),
        (
            "a tel URI",
            Box::new(|s| {
                s.add_peer_to_peer_endpoint(now, PeerToPeerConfig::new("tel:+1"))
                    .map(|_| ())
            }),
        ),
        (
            "a manager for nothing",
            Box::new(|s| {
                s.add_manager(ManagerConfig {
                    pool_size: Some(1),
                    ..ManagerConfig::new(ManagerKind::Client)
                })
                .map(|_| ())
            }),
        ),
        (
            "listening on a client manager",
            Box::new(|s| s.manager(now, client)?.listen(address("10.0.0.1:1")).map(|_| ())),
        ),
        (
            "a peer that registers",
            Box::new(|s| s.endpoint(now, bob)?.register().map(|_| ())),
        ),
        (
            "a method that is none of M1",
            Box::new(|s| {
                s.endpoint(now, alice)?
                    .send_message(BOB, Method::Bye, None, SendOptions::default())
                    .map(|_| ())
            }),
        ),
        (
            "a bad target",
            Box::new(|s| {
                s.endpoint(now, alice)?
                    .send_message("x y", Method::Info, None, SendOptions::default())
                    .map(|_| ())
            }),
        ),
        (
            "a header of the stack",
            Box::new(|s| {
                s.endpoint(now, alice)?
                    .invite(
                        BOB,
                        None,
                        SendOptions {
                            headers: bad(),
                            ..SendOptions::default()
                        },
                    )
                    .map(|_| ())
            }),
        ),
        (
            "establishing what is connected",
            Box::new(|s| {
                s.session(now, session)?
                    .establish(None, SendOptions::default())
                    .map(|_| ())
            }),
        ),
        (
            "accepting what is connected",
            Box::new(|s| s.session(now, session)?.accept(content()).map(|_| ())),
        ),
        (
            "rejecting what is connected",
            Box::new(|s| s.session(now, session)?.reject(StatusCode::BUSY_HERE, None)),
        ),
        (
            "rejecting with success",
            Box::new(|s| s.session(now, session)?.reject(StatusCode::OK, None)),
        ),
        (
            "ringing what is connected",
            Box::new(|s| s.session(now, session)?.provisional(StatusCode::RINGING, None)),
        ),
        (
            "answering no offer",
            Box::new(|s| s.session(now, session)?.answer(sdp())),
        ),
        (
            "BYE as a message",
            Box::new(|s| {
                s.session(now, session)?
                    .send(Method::Bye, None, vec![])
                    .map(|_| ())
            }),
        ),
        (
            "an empty body",
            Box::new(|s| {
                s.session(now, session)?
                    .send(Method::Info, Some(Content::new("a/b", "")), vec![])
                    .map(|_| ())
            }),
        ),
    ];
    for (what, call) in calls {
        let before = format!("{stack:?}");
        assert!(call(&mut stack).is_err(), "{what}");
        assert_eq!(format!("{stack:?}"), before, "{what} has changed something");
        assert_eq!(drain(&mut stack), [], "{what}");
    }
}

/// How an operation ends among these actions, and where.
fn completion(actions: &[Action], operation: OperationId) -> (usize, Result<Completion, OperationError>) {
    let ends = |action: &Action| match action {
        Action::Event(Event::Completed {
            operation: ended,
            result,
        }) if *ended == operation => Some(result.clone()),
        _ => None,
    };
    let mut found = actions
        .iter()
        .enumerate()
        .filter_map(|(place, action)| Some((place, ends(action)?)));
    let first = found.next().expect("it completes");
    assert!(found.next().is_none(), "once");
    first
}

fn told_the_end(actions: &[Action]) -> usize {
    let told = |action: &Action| {
        matches!(
            action,
            Action::Event(Event::Session {
                new: SessionState::Disconnected,
                ..
            })
        )
    };
    actions.iter().position(told).expect("the session ends")
}

const OVERTAKEN: Result<Completion, OperationError> = Err(OperationError::OperationFailure(
    OperationFailure::SessionTerminated,
));

// rules: X2, X3, S2
#[test]
fn a_command_that_a_bye_has_overtaken_succeeds_and_completes_as_session_terminated() {
    let (mut stack, now, session, conn, response) = connected();
    stack.handle_bytes(now, conn, &inside("BYE", &response, 2));
    // The application has not seen the end. To it the session is connected, and so it is judged.
    let mut view = stack.session(now, session).unwrap();
    let sent = view
        .send(Method::Message, Some(Content::text("x")), vec![])
        .unwrap();
    assert!(matches!(
        view.establish(None, SendOptions::default()),
        Err(Misuse::State { .. })
    ));
    assert!(matches!(view.accept(None), Err(Misuse::State { .. })));
    assert!(matches!(
        view.reject(StatusCode::BUSY_HERE, None),
        Err(Misuse::State { .. })
    ));
    let ended = view.terminate();
    let actions = drain(&mut stack);
    let told = told_the_end(&actions);
    let (place, result) = completion(&actions, sent);
    assert!(place > told);
    assert_eq!(result, OVERTAKEN);
    assert_eq!(
        completion(&actions, ended).1,
        Ok(Completion::Done),
        "terminate never fails"
    );
    assert_eq!(
        stack.session(now, session).map(|_| ()),
        Err(Misuse::Unknown("session")),
        "now it has seen it"
    );
}

// rules: X2, X3, S2, S10
#[test]
fn a_command_that_a_cancel_has_overtaken_succeeds_too() {
    let (mut stack, now, _, conn) = served();
    let invite = request(
        "INVITE",
        BOB,
        "<sip:bob@two.invalid>",
        1,
        "Contact: <sip:p@10.0.0.2:4000>",
    );
    stack.handle_bytes(now, conn, &wire(&invite));
    let received = drain(&mut stack);
    let session = received
        .iter()
        .find_map(|action| match action {
            Action::Event(Event::SessionReceived { session, .. }) => Some(*session),
            _ => None,
        })
        .unwrap();
    stack.handle_bytes(
        now,
        conn,
        &wire(&request("CANCEL", BOB, "<sip:bob@two.invalid>", 1, "")),
    );
    let mut view = stack.session(now, session).unwrap();
    view.provisional(StatusCode::RINGING, None).unwrap();
    view.reject(StatusCode::BUSY_HERE, None).unwrap();
    let accepted = view.accept(Some(sdp())).unwrap();
    assert!(
        matches!(view.send(Method::Info, None, vec![]), Err(Misuse::State { .. })),
        "it never was connected"
    );
    let actions = drain(&mut stack);
    let (place, result) = completion(&actions, accepted);
    assert!(place > told_the_end(&actions));
    assert_eq!(result, OVERTAKEN);
    let answers: Vec<u16> = parsed(&taken(&mut stack, now, conn))
        .iter()
        .filter_map(Message::status)
        .map(StatusCode::code)
        .collect();
    assert_eq!(
        answers,
        [200, 487],
        "the answers to the CANCEL and to its INVITE, and no other"
    );
}

// rules: X2
#[test]
fn reports_of_what_is_not_there_do_nothing() {
    let (mut stack, now, _, conn) = served();
    let elsewhere = address("10.0.0.9:9");
    stack.handle_closed(now, conn, CloseReason::Reset);
    drain(&mut stack);
    let before = stack.census();
    let established = Established {
        local: elsewhere,
        remote: elsewhere,
        peer: None,
    };
    stack.handle_connected(now, conn, established);
    stack.handle_bytes(now, conn, b"OPTIONS sip:x SIP/2.0\r\n\r\n");
    stack.handle_transmitted(now, conn, 1_000_000);
    stack.handle_closed(now, conn, CloseReason::Closed);
    stack.disconnect(now, conn);
    assert_eq!(drain(&mut stack), []);
    assert_eq!(stack.census(), before);
    assert_eq!(taken(&mut stack, now, conn), b"");
}

// ---------------------------------------------------------------- time

// rules: X5
#[test]
fn law_2_before_the_deadline_a_timeout_does_nothing_and_at_it_there_is_progress() {
    let (mut stack, start, _, conn) = served();
    stack.handle_bytes(
        start,
        conn,
        &wire(&request(
            "INVITE",
            BOB,
            "<sip:bob@two.invalid>",
            1,
            "Contact: <sip:p@10.0.0.2>",
        )),
    );
    drain(&mut stack);
    taken(&mut stack, start, conn);
    let mut steps = 0;
    while let Some((at, reason)) = stack.poll_timeout() {
        assert_ne!(reason, Reason::Drain);
        let (census, counters) = (stack.census(), stack.counters());
        stack.handle_timeout(Time::from_micros(at.as_micros() - 1));
        assert_eq!(
            (stack.census(), stack.counters(), stack.poll_timeout()),
            (census, counters, Some((at, reason)))
        );
        assert_eq!(drain(&mut stack), []);
        stack.handle_timeout(at);
        let queued = stack.census().actions > 0;
        if queued {
            assert_eq!(
                stack.poll_timeout(),
                Some((at, Reason::Drain)),
                "while actions are queued it says now"
            );
            drain(&mut stack);
        }
        assert!(
            stack.poll_timeout().is_none_or(|(next, _)| next > at),
            "{reason}: the next deadline is later"
        );
        taken(&mut stack, at, conn);
        steps += 1;
        assert!(steps < 100);
    }
    assert!(steps >= 3);
}

// rules: X5
#[test]
fn time_never_runs_backwards() {
    let (mut stack, now, ..) = served();
    stack.handle_timeout(now + secs(5));
    assert_eq!(stack.now(), now + secs(5));
    stack.handle_timeout(now);
    assert_eq!(stack.now(), now + secs(5));
}

// ---------------------------------------------------------------- bytes

/// A conversation of a peer, all in one stream.
fn stream() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n".to_vec();
    bytes.extend(wire(&request("OPTIONS", BOB, "<sip:bob@two.invalid>", 1, "")));
    bytes.extend(wire(&format!(
        "{}\nContent-Type: text/plain\n\nhello",
        request("MESSAGE", BOB, "<sip:bob@two.invalid>", 2, "").trim_end()
    )));
    bytes.extend(b"\r\n");
    bytes.extend(wire(&request(
        "INVITE",
        BOB,
        "<sip:bob@two.invalid>",
        3,
        "Contact: <sip:p@10.0.0.2>",
    )));
    bytes.extend(wire(&request(
        "MESSAGE",
        BOB,
        "<sip:bob@two.invalid>",
        4,
        "CSeq: 2 INFO",
    )));
    bytes.extend(wire(&request(
        "FOO",
        BOB,
        "<sip:bob@two.invalid>",
        5,
        "Require: x",
    )));
    bytes.extend(wire(&request("CANCEL", BOB, "<sip:bob@two.invalid>", 3, "")));
    bytes.extend(b"OPTIONS sip:bob@two.invalid SIP/2.0\r\nContent-Length: -7\r\n\r\n");
    bytes.extend(b"never read");
    bytes
}

// rules: X5, C29
#[test]
fn law_3_any_chunking_gives_the_same_actions() {
    let bytes = stream();
    let run = |chunk: usize| {
        let (mut stack, now, _, conn) = served();
        for part in bytes.chunks(chunk) {
            stack.handle_bytes(now, conn, part);
        }
        let actions = drain(&mut stack);
        let sent = taken(&mut stack, now, conn);
        stack.handle_timeout(now);
        let end = drain(&mut stack);
        // What follows lost framing may not even be read.
        let mut counters = stack.counters();
        counters.bytes_received = 0;
        let answers = parsed(&sent).len();
        (
            format!("{actions:?}"),
            sent.escape_ascii().to_string(),
            counters,
            format!("{end:?}"),
            answers,
        )
    };
    let whole = run(usize::MAX);
    assert!(whole.0.contains("SessionReceived") && whole.0.contains("MessageReceived"));
    assert_eq!(whole.4, 7, "OPTIONS, MESSAGE, 400, 501, CANCEL, 487, 400");
    for chunk in [1, 2, 3, 5, 17, 64, 500] {
        assert_eq!(run(chunk), whole, "chunks of {chunk}");
    }
}

// rules: X5
#[test]
fn law_1_an_adapter_that_drains_late_gets_the_same_later() {
    let bytes = stream();
    let run = |every: usize| {
        let (mut stack, now, _, conn) = served();
        let (mut events, mut sent) = (Vec::new(), Vec::new());
        let mut take = |stack: &mut Stack| {
            for action in drain(stack) {
                match action {
                    Action::Event(event) => events.push(format!("{event:?}")),
                    Action::Transmit(conn) => sent.extend(taken(stack, now, conn)),
                    _ => {}
                }
            }
        };
        for (place, part) in bytes.chunks(1).enumerate() {
            stack.handle_bytes(now, conn, part);
            if place % every == 0 {
                take(&mut stack);
            }
        }
        take(&mut stack);
        // What was answered while the application lagged may be answered in another order; nothing is lost or doubled.
        let mut answers: Vec<String> = parsed(&sent)
            .iter()
            .map(|message| format!("{:?} {:?}", message.status(), field(message, HeaderName::CSeq)))
            .collect();
        answers.sort();
        (events, answers)
    };
    let prompt = run(1);
    for every in [2, 100, 1_000_000] {
        let late = run(every);
        assert_eq!(late.1, prompt.1, "every {every} bytes");
        assert_eq!(late.0, prompt.0, "every {every} bytes");
    }
}

// ---------------------------------------------------------------- random histories

/// Numbers from a seed.
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, things: &[T]) -> Option<T> {
        (!things.is_empty()).then(|| things[self.below(things.len())])
    }

    /// Mostly one of the last few, sometimes any.
    fn recent<T>(&mut self, things: &[T]) -> usize {
        let few = if self.one_in(4) {
            things.len()
        } else {
            things.len().min(3)
        };
        things.len() - 1 - self.below(few)
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// An embedder and an application that do everything in any order, and a network that does too.
#[derive(Clone)]
struct Mess {
    chance: Chance,
    stack: Stack,
    now: Time,
    endpoints: Vec<EndpointId>,
    conns: Vec<ConnId>,
    listeners: Vec<ListenerId>,
    queries: Vec<QueryId>,
    sessions: Vec<SessionId>,
    incomings: Vec<IncomingId>,
    /// What has been sent: the requests and the responses of the stack, each with its connection.
    requests: Vec<(ConnId, Message)>,
    responses: Vec<(ConnId, Message)>,
    numbers: u32,
    started: BTreeSet<OperationId>,
    completed: BTreeMap<OperationId, usize>,
    over: BTreeSet<String>,
    /// Everything that came out.
    log: Vec<String>,
    /// Deadlines that passed with the embedder looking.
    deadlines: usize,
    /// How often a peer said something.
    said: usize,
    /// All that a peer says is tried out before: whole and in pieces it has to lead to the same (law 3).
    in_pieces: bool,
}

/// What bytes in pieces of this size would lead to: actions, bytes to send, and where the stack is then.
fn came(
    stack: &Stack,
    conns: &[ConnId],
    now: Time,
    conn: ConnId,
    bytes: &[u8],
    size: usize,
) -> (Vec<Action>, Vec<u8>, sansip::Fingerprint) {
    let mut stack = stack.clone();
    for part in bytes.chunks(size) {
        stack.handle_bytes(now, conn, part);
    }
    let actions = drain(&mut stack);
    let sent = conns
        .iter()
        .flat_map(|conn| stack.transmit(*conn).flatten().copied());
    let sent = sent.collect();
    (actions, sent, stack.fingerprint())
}

impl Mess {
    fn new(seed: u64) -> Self {
        let now = Time::from_secs(1);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut config = Config {
            strict_dispatch: seed.is_multiple_of(2),
            pool_size: 1 + usize::try_from(seed % 3).unwrap(),
            ..Config::default()
        };
        if seed.is_multiple_of(5) {
            config.limits.events = 4;
            config.limits.sessions = 3;
            config.limits.transactions = 8;
            config.limits.connections = 5;
            config.limits.send_queue = 3000;
        }
        let mut stack = Stack::new(config, key, now, UnixTime(1_700_000_000));
        let server = Server {
            host: "server.invalid".into(),
            port: (seed.is_multiple_of(2)).then_some(5060),
        };
        let alice = SipEndpointConfig {
            transport: if seed.is_multiple_of(7) {
                Transport::Tls
            } else {
                Transport::Tcp
            },
            server: Some(server),
            auto_refresh: !seed.is_multiple_of(3),
            credentials: vec![sansip::security::Credentials::new(
                "alice",
                sansip::security::Secret::new("secret"),
            )],
            ..SipEndpointConfig::new("sip:alice@example.com")
        };
        let proxy = Proxy {
            host: "10.9.9.9".into(),
            port: None,
            transport: Transport::Tcp,
        };
        let carol = PeerToPeerConfig {
            outbound_proxy: Some(proxy),
            ..PeerToPeerConfig::new("sip:carol@three.invalid")
        };
        let endpoints = vec![
            stack.add_sip_endpoint(now, alice).unwrap(),
            stack
                .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(BOB))
                .unwrap(),
            stack.add_peer_to_peer_endpoint(now, carol).unwrap(),
        ];
        Self {
            chance: Chance(seed),
            stack,
            now,
            endpoints,
            conns: Vec::new(),
            listeners: Vec::new(),
            queries: Vec::new(),
            sessions: Vec::new(),
            incomings: Vec::new(),
            requests: Vec::new(),
            responses: Vec::new(),
            numbers: 0,
            started: BTreeSet::new(),
            completed: BTreeMap::new(),
            over: BTreeSet::new(),
            log: Vec::new(),
            deadlines: 0,
            said: 0,
            in_pieces: false,
        }
    }

    fn start(&mut self, operation: Result<OperationId, Misuse>) {
        self.log.push(format!("{operation:?}"));
        if let Ok(operation) = operation {
            assert!(self.started.insert(operation), "an operation's name is new");
        }
    }

    /// One thing that happens.
    fn step(&mut self) {
        match self.chance.below(16) {
            0 | 1 => self.command(),
            2 => self.command_session(),
            3 => self.command_incoming(),
            4 => self.manage(),
            5 => self.connect(),
            6 => self.lose(),
            7 | 8 => self.say_response(),
            9 => self.say_request(),
            10 => self.say_nonsense(),
            11 => self.resolve(),
            12 | 13 => self.wait(),
            _ => self.drain(),
        }
        if self.chance.one_in(3) {
            self.drain();
        }
        // The socket takes more.
        if let Some(conn) = self.chance.of(&self.conns) {
            self.transmit(conn);
        }
    }

    fn command(&mut self) {
        const TARGETS: [&str; 5] = [
            "sip:x@10.9.9.8",
            "sip:x@far.invalid",
            "sips:x@far.invalid",
            BOB,
            "sip:x@10.9.9.8;transport=tls",
        ];
        let (now, target) = (self.now, TARGETS[self.chance.below(5)]);
        let Some(id) = self.chance.of(&self.endpoints) else {
            return;
        };
        let what = self.chance.below(9);
        let content = self.chance.one_in(2).then(|| Content::text("x".repeat(40)));
        let method = [Method::Message, Method::Options, Method::Benotify][self.chance.below(3)].clone();
        let Ok(mut endpoint) = self.stack.endpoint(now, id) else {
            return;
        };
        let result = match what {
            0 | 1 => endpoint.register(),
            2 => endpoint.unregister(),
            3 | 4 => endpoint.send_message(target, method, content, SendOptions::default()),
            5 | 6 => endpoint
                .invite(target, content, SendOptions::default())
                .map(|(session, operation)| {
                    self.sessions.push(session);
                    operation
                }),
            7 => match endpoint.create_session(target) {
                Ok(session) => {
                    self.sessions.push(session);
                    return;
                }
                Err(error) => Err(error),
            },
            _ if self.chance.one_in(4) => Ok(endpoint.terminate()),
            _ => return,
        };
        self.start(result);
    }

    fn command_session(&mut self) {
        let now = self.now;
        let Some(id) = self.chance.of(&self.sessions) else {
            return;
        };
        let what = self.chance.below(8);
        let content = self.chance.one_in(2).then(sdp);
        let Ok(mut session) = self.stack.session(now, id) else {
            return;
        };
        let result = match what {
            0 => session.establish(content, SendOptions::default()),
            1 | 2 => session.accept(content),
            3 => session.send(Method::Info, content, vec![]),
            4 => Ok(session.terminate()),
            5 => {
                return self
                    .log
                    .push(format!("{:?}", session.provisional(StatusCode::RINGING, content)));
            }
            6 => return self.log.push(format!("{:?}", session.answer(sdp()))),
            _ => {
                return self
                    .log
                    .push(format!("{:?}", session.reject(StatusCode::BUSY_HERE, None)));
            }
        };
        self.start(result);
    }

    fn command_incoming(&mut self) {
        let Some(id) = self.chance.of(&self.incomings) else {
            return;
        };
        let what = self.chance.below(3);
        let Ok(mut incoming) = self.stack.incoming(self.now, id) else {
            return;
        };
        let result = match what {
            0 => incoming.hold(),
            1 => incoming.answer(StatusCode::DECLINE, None, None, &[]),
            _ => incoming.answer(StatusCode::new(183).unwrap(), None, None, &[]),
        };
        self.log.push(format!("{result:?}"));
    }

    fn manage(&mut self) {
        let (now, manager) = (self.now, self.stack.server_tcp_manager());
        match self.chance.below(4) {
            0 | 1 => {
                let port = 5060 + u16::try_from(self.chance.below(2)).unwrap();
                let listener = self
                    .stack
                    .manager(now, manager)
                    .unwrap()
                    .listen(SocketAddr::new([10, 0, 0, 1].into(), port));
                self.log.push(format!("{listener:?}"));
                self.listeners.extend(listener.ok());
            }
            2 => {
                if let Some(listener) = self.chance.of(&self.listeners) {
                    let result = match self.chance.below(4) {
                        0 => Err(ListenError::AddressInUse),
                        _ => Ok(address("10.0.0.1:5060")),
                    };
                    self.stack.handle_listening(now, listener, result);
                }
            }
            _ => {
                if let Some(listener) = self.chance.of(&self.listeners)
                    && self.chance.one_in(4)
                {
                    if self.chance.one_in(2) {
                        let result = self.stack.manager(now, manager).unwrap().stop_listening(listener);
                        self.log.push(format!("{result:?}"));
                    } else {
                        self.stack
                            .handle_listener_lost(now, listener, ListenError::AddressNotAvailable);
                    }
                }
            }
        }
    }

    fn connect(&mut self) {
        let now = self.now;
        if let Some(listener) = self.chance.of(&self.listeners)
            && self.chance.one_in(2)
        {
            let remote = SocketAddr::new([10, 0, 0, 2].into(), 4000);
            let conn = self
                .stack
                .handle_accepted(now, listener, address("10.0.0.1:5060"), remote);
            self.conns.push(conn);
        } else if !self.conns.is_empty() {
            let conn = self.conns[self.chance.recent(&self.conns)];
            let established = Established {
                local: address("10.0.0.1:40000"),
                remote: address("10.9.9.9:5060"),
                peer: None,
            };
            self.stack.handle_connected(now, conn, established);
        }
    }

    fn lose(&mut self) {
        let reason = [
            CloseReason::Reset,
            CloseReason::Closed,
            CloseReason::Refused,
            CloseReason::TimedOut,
        ][self.chance.below(4)]
        .clone();
        if let Some(conn) = self.chance.of(&self.conns)
            && self.chance.one_in(5)
        {
            if self.chance.one_in(5) {
                self.stack.disconnect(self.now, conn);
            } else {
                self.stack.handle_closed(self.now, conn, reason);
            }
        }
    }

    fn resolve(&mut self) {
        if self.queries.is_empty() {
            return;
        }
        let query = self.queries[self.chance.recent(&self.queries)];
        let ttl = secs(60);
        let result = match self.chance.below(6) {
            0 => Err(ResolveError::Timeout),
            5 => Ok(Answer::Naptr {
                records: Vec::new(),
                ttl,
            }),
            1 => Ok(Answer::Srv {
                records: Vec::new(),
                ttl,
            }),
            2 => Ok(Answer::Addresses {
                addresses: Vec::new(),
                ttl,
            }),
            _ => Ok(Answer::Addresses {
                addresses: vec![[10, 9, 9, 8].into(), [10, 9, 9, 7].into()],
                ttl,
            }),
        };
        self.stack.handle_resolved(self.now, query, result);
    }

    fn say(&mut self, conn: ConnId, bytes: &[u8]) {
        self.said += 1;
        let size = [1, 7, 100, usize::MAX][self.chance.below(4)];
        if self.in_pieces {
            let whole = came(&self.stack, &self.conns, self.now, conn, bytes, usize::MAX);
            let pieces = came(&self.stack, &self.conns, self.now, conn, bytes, size.min(100));
            assert_eq!(whole, pieces, "in pieces of {size}: {}", bytes.escape_ascii());
        }
        for part in bytes.chunks(size) {
            self.stack.handle_bytes(self.now, conn, part);
        }
    }

    fn say_response(&mut self) {
        const STATUSES: [&str; 14] = [
            "100 Trying",
            "180 Ringing",
            "183 Progress",
            "200 OK",
            "200 OK",
            "200 OK",
            "302 Moved",
            "401 Unauthorized",
            "404 No",
            "423 Brief",
            "481 No",
            "486 Busy",
            "503 Later",
            "603 No",
        ];
        if self.requests.is_empty() {
            return;
        }
        let (conn, request) = self.requests[self.chance.recent(&self.requests)].clone();
        let status = STATUSES[self.chance.below(14)];
        let tag = ["", "one", "two", "three"][self.chance.below(4)];
        let mut more = match &status[..3] {
            "401" => "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"".to_owned(),
            "423" => "Min-Expires: 7000".to_owned(),
            "503" => "Retry-After: 3".to_owned(),
            _ => String::new(),
        };
        let contact = match request.method() {
            Some(Method::Register) => format!(
                "{};expires={}",
                field(&request, HeaderName::Contact),
                [0, 3, 600][self.chance.below(3)]
            ),
            _ => "<sip:x@10.9.9.8:5060>".to_owned(),
        };
        more.push_str(&format!("\nContact: {contact}\nAllow: UPDATE"));
        let text = answer(&request, status, tag, &more);
        let body = if self.chance.one_in(3) {
            "Content-Type: application/sdp\n\nv=0"
        } else {
            ""
        };
        let conn = if self.chance.one_in(10) {
            self.chance.of(&self.conns).unwrap_or(conn)
        } else {
            conn
        };
        self.say(conn, &wire(&format!("{}\n{body}", text.trim_end())));
    }

    fn say_request(&mut self) {
        const METHODS: [&str; 9] = [
            "OPTIONS", "MESSAGE", "INVITE", "INVITE", "BYE", "CANCEL", "ACK", "BENOTIFY", "INFO",
        ];
        let Some(conn) = self.chance.of(&self.conns) else {
            return;
        };
        let method = METHODS[self.chance.below(9)];
        self.numbers += 1;
        // A request of its own, one again, or one inside a dialog that a response of the stack has made.
        let inside = self.chance.one_in(2) && !self.responses.is_empty();
        if inside {
            let (conn, response) = self.responses[self.chance.recent(&self.responses)].clone();
            let call = field(&response, HeaderName::CallId);
            let (from, to) = (
                field(&response, HeaderName::From),
                field(&response, HeaderName::To),
            );
            let cseq = 1 + self.chance.below(4);
            let branch = if self.chance.one_in(3) {
                response
                    .via_top()
                    .unwrap()
                    .branch()
                    .unwrap_or("z9hG4bKx")
                    .to_owned()
            } else {
                format!("z9hG4bKi{}", self.numbers)
            };
            let text = format!(
                "{method} {BOB} SIP/2.0\nVia: SIP/2.0/TCP peer.invalid;branch={branch}\nMax-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {call}\nCSeq: {cseq} {method}\nContact: <sip:p@10.0.0.2:4000>"
            );
            return self.say(conn, &wire(&text));
        }
        let number = if self.chance.one_in(4) {
            self.numbers.saturating_sub(1)
        } else {
            self.numbers
        };
        let uri = [
            BOB,
            "sip:carol@three.invalid",
            "sip:alice@example.com",
            "sip:nobody@far.invalid",
        ][self.chance.below(4)];
        let text = request(
            method,
            uri,
            &format!("<{uri}>"),
            number,
            "Contact: <sip:p@10.0.0.2:4000>",
        );
        self.say(conn, &wire(&text));
    }

    fn say_nonsense(&mut self) {
        const NONSENSE: [&[u8]; 7] = [
            b"\r\n\r\n",
            b"\r\n",
            b"garbage\r\n\r\n",
            b"INVITE sip:x SIP/2.0\r\nContent-Length: -1\r\n\r\n",
            b"\0\xff",
            b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"OPTIONS sip:bob@two.invalid SIP/2.0\r\nContent-Length: 0\r\n\r\n",
        ];
        if let Some(conn) = self.chance.of(&self.conns) {
            let bytes = NONSENSE[self.chance.below(7)];
            self.say(conn, bytes);
        }
    }

    /// Time goes on: to just before the deadline, to it, or anywhere.
    fn wait(&mut self) {
        if !self.chance.one_in(4) {
            let most = if self.chance.one_in(6) { 40_000 } else { 500 };
            self.now = self.now + Duration::from_millis(u64::try_from(self.chance.below(most)).unwrap());
            self.stack.handle_timeout(self.now);
            return;
        }
        self.drain();
        self.pass_deadline();
    }

    /// Law 2, at the next deadline.
    fn pass_deadline(&mut self) -> bool {
        let Some((at, reason)) = self.stack.poll_timeout() else {
            return false;
        };
        assert_ne!(reason, Reason::Drain, "all actions are taken");
        if at > self.now + TICK {
            let mut early = self.stack.clone();
            early.handle_timeout(Time::from_micros(at.as_micros() - 1));
            assert_eq!(
                (early.census(), early.poll_timeout()),
                (self.stack.census(), Some((at, reason))),
                "too early"
            );
            assert_eq!(drain(&mut early), []);
        }
        self.now = self.now.max(at);
        self.stack.handle_timeout(self.now);
        self.drain();
        assert!(
            self.stack.poll_timeout().is_none_or(|(next, _)| next > self.now),
            "{reason}: no progress"
        );
        self.deadlines += 1;
        true
    }

    fn drain(&mut self) {
        while let Some(action) = self.stack.poll_action() {
            self.log.push(format!("{action:?}"));
            match action {
                Action::Connect(connect) => {
                    self.conns.push(connect.conn);
                    if self.chance.one_in(2) {
                        let (local, remote) = (address("10.0.0.1:40000"), connect.remote);
                        self.stack.handle_connected(
                            self.now,
                            connect.conn,
                            Established {
                                local,
                                remote,
                                peer: None,
                            },
                        );
                    }
                }
                Action::Resolve { query, .. } => {
                    self.queries.push(query);
                    if self.chance.one_in(2) {
                        self.resolve();
                    }
                }
                Action::Transmit(conn) => self.transmit(conn),
                Action::Close(conn) => self.conns.retain(|known| *known != conn),
                Action::Event(event) => self.take(event),
                _ => {}
            }
        }
    }

    fn transmit(&mut self, conn: ConnId) {
        let bytes: Vec<u8> = self
            .stack
            .transmit(conn)
            .flat_map(|slice| slice.iter().copied())
            .collect();
        if bytes.is_empty() {
            return;
        }
        let part = if self.chance.one_in(6) {
            self.chance.below(bytes.len() + 1)
        } else {
            bytes.len()
        };
        self.log.push(bytes[..part].escape_ascii().to_string());
        self.stack.handle_transmitted(self.now, conn, part);
        for message in parsed(&bytes) {
            let kept = if message.is_request() {
                &mut self.requests
            } else {
                &mut self.responses
            };
            // A refusal of what has no Via has none either.
            if message.status() != Some(StatusCode::TRYING) && message.via_top().is_ok() {
                kept.push((conn, message));
            }
        }
        // A peer that is quick.
        if self.chance.one_in(3) {
            self.say_response();
        }
    }

    /// X3, for what the application sees.
    fn take(&mut self, event: Event) {
        let object = match &event {
            Event::Completed { operation, .. } => {
                *self.completed.entry(*operation).or_default() += 1;
                None
            }
            Event::Registration { endpoint, .. }
            | Event::PeerToPeer { endpoint, .. }
            | Event::Outage { endpoint, .. }
            | Event::ServerChanged { endpoint, .. }
            | Event::Associated { endpoint, .. }
            | Event::EndpointTerminated { endpoint } => Some(endpoint.to_string()),
            Event::MessageReceived {
                endpoint, incoming, ..
            } => {
                self.incomings.push(*incoming);
                Some(endpoint.to_string())
            }
            Event::SessionReceived {
                endpoint, session, ..
            } => {
                self.sessions.push(*session);
                Some(endpoint.to_string())
            }
            Event::SessionMessage {
                session, incoming, ..
            } => {
                self.incomings.push(*incoming);
                Some(session.to_string())
            }
            Event::Session { session, .. }
            | Event::Provisional { session, .. }
            | Event::OfferReceived { session, .. }
            | Event::AnswerReceived { session, .. } => Some(session.to_string()),
            _ => None,
        };
        if let Some(object) = object {
            assert!(!self.over.contains(&object), "{object} has ended: {event:?}");
            let ends = matches!(
                &event,
                Event::EndpointTerminated { .. }
                    | Event::Session {
                        new: SessionState::Disconnected,
                        ..
                    }
            );
            if ends {
                self.over.insert(object);
            }
        }
    }

    /// Everything comes to rest: nothing can be reached any more, every endpoint ends, and time passes.
    fn finish(mut self) -> Vec<String> {
        self.drain();
        self.stack.terminate_all(self.now);
        for _ in 0..20_000 {
            self.drain();
            for conn in std::mem::take(&mut self.conns) {
                self.stack.handle_closed(self.now, conn, CloseReason::Refused);
            }
            for query in std::mem::take(&mut self.queries) {
                self.stack
                    .handle_resolved(self.now, query, Err(ResolveError::Timeout));
            }
            self.drain();
            if !self.pass_deadline() && self.conns.is_empty() && self.queries.is_empty() {
                break;
            }
        }
        let census = self.stack.census();
        assert!(census.is_quiescent(), "{census:?}");
        for operation in &self.started {
            assert_eq!(
                self.completed.get(operation),
                Some(&1),
                "{operation} completes once"
            );
        }
        assert!(self.completed.values().all(|times| *times == 1));
        assert!(self.now < Time::from_secs(100_000), "in bounded time");
        self.log
    }
}

const STEPS: usize = 400;

fn differs(a: &[String], b: &[String]) -> Option<(Option<String>, Option<String>)> {
    (0..a.len().max(b.len()))
        .find(|place| a.get(*place) != b.get(*place))
        .map(|place| (a.get(place).cloned(), b.get(place).cloned()))
}

// rules: X2, X3, X5, X6
#[test]
fn law_1_and_law_5_whatever_happens_every_operation_completes_once_and_nothing_is_left() {
    // What the histories lead to, to show that they are worth something.
    let wanted = [
        "new: Connected, reason",
        "new: Registered",
        "new: Alerted",
        "SessionMessage",
        "Ok(Response(",
        "Ok(Done)",
        "Err(Timeout)",
        "SessionTerminated",
        "Limit(\"",
        "ConnectionRemoved",
    ];
    let mut seen = [0_usize; 10];
    for seed in world::seeds(200) {
        let run = std::panic::catch_unwind(|| {
            let mut mess = Mess::new(seed);
            for _ in 0..STEPS {
                mess.step();
            }
            mess.finish()
        });
        let log = run.unwrap_or_else(|_| panic!("SANSIP_SEED={seed}"));
        for (count, wanted) in seen.iter_mut().zip(wanted) {
            *count += log.iter().filter(|line| line.contains(wanted)).count();
        }
    }
    let rare = seen.iter().zip(wanted).find(|(count, _)| **count < 2);
    assert!(
        rare.is_none() || std::env::var_os("SANSIP_SEED").is_some(),
        "{seen:?} {rare:?}"
    );
}

// rules: X3, X5, X6, R16
#[test]
fn law_5_an_operation_completes_by_itself_in_bounded_time() {
    for seed in world::seeds(80) {
        let mut mess = Mess::new(seed);
        for _ in 0..STEPS {
            mess.step();
        }
        // Nobody ends anything and nothing more arrives: 3 minutes for a call (S12), 32 s for each request, 5 minutes
        // for a Retry-After, and the pauses between.
        let end = mess.now + secs(1500);
        mess.drain();
        while let Some((at, _)) = mess.stack.poll_timeout()
            && at <= end
        {
            for query in std::mem::take(&mut mess.queries) {
                mess.stack
                    .handle_resolved(mess.now, query, Err(ResolveError::Timeout));
            }
            mess.drain();
            mess.pass_deadline();
        }
        let open: Vec<&OperationId> = mess
            .started
            .iter()
            .filter(|operation| !mess.completed.contains_key(operation))
            .collect();
        assert_eq!(open, [] as [&OperationId; 0], "seed {seed}");
    }
}

// rules: X5
#[test]
fn law_2_holds_at_every_deadline_of_any_history() {
    let mut deadlines = 0;
    for seed in world::seeds(60) {
        let mut mess = Mess::new(seed);
        for _ in 0..STEPS {
            mess.step();
            // Mostly the history goes on before there is a deadline; here each comes at once.
            mess.drain();
            mess.pass_deadline();
        }
        deadlines += mess.deadlines;
    }
    assert!(deadlines > 1_000, "{deadlines} deadlines");
}

// rules: X5, C29
#[test]
fn law_3_holds_for_whatever_a_peer_says_in_any_history() {
    let mut said = 0;
    for seed in world::seeds(60) {
        let mut mess = Mess::new(seed);
        mess.in_pieces = true;
        for _ in 0..STEPS {
            mess.step();
        }
        said += mess.said;
    }
    assert!(said > 1_000, "said {said} times");
}

// rules: X2, X5
#[test]
fn law_4_the_same_seed_and_inputs_give_the_same_to_the_byte() {
    for seed in world::seeds(30) {
        let run = || {
            let mut mess = Mess::new(seed);
            for _ in 0..STEPS {
                mess.step();
            }
            mess.finish()
        };
        assert_eq!(differs(&run(), &run()), None, "seed {seed}");
    }
}

// rules: X5
#[test]
fn law_4_a_clone_goes_on_as_its_original() {
    for seed in world::seeds(30) {
        let mut original = Mess::new(seed);
        for _ in 0..STEPS / 2 {
            original.step();
        }
        let mut clone = original.clone();
        for _ in 0..STEPS / 2 {
            original.step();
            clone.step();
        }
        assert_eq!(
            format!("{:?}", original.stack.census()),
            format!("{:?}", clone.stack.census()),
            "seed {seed}"
        );
        assert_eq!(differs(&original.finish(), &clone.finish()), None, "seed {seed}");
    }
}

// rules: X4
#[test]
fn errors_say_what_went_wrong_and_carry_what_is_needed_to_act() {
    let (mut stack, now, session, conn, _) = connected();
    let sent = stack
        .session(now, session)
        .unwrap()
        .send(Method::Info, None, vec![])
        .unwrap();
    drain(&mut stack);
    let info = parsed(&taken(&mut stack, now, conn)).pop().unwrap();
    stack.handle_bytes(
        now,
        conn,
        &wire(&answer(
            &info,
            "488 Not Like This",
            "",
            "Warning: 399 peer \"why\"",
        )),
    );
    let actions = drain(&mut stack);
    let error = actions
        .iter()
        .find_map(|action| match action {
            Action::Event(Event::Completed {
                operation,
                result: Err(error),
            }) if *operation == sent => Some(error.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(error.to_string(), "488 Not Like This");
    let response = error.response().unwrap();
    assert_eq!(field(response, HeaderName::Warning), "399 peer \"why\"");
    // What ends a session under a request says so, and is no failure of the network.
    let pending = stack
        .session(now, session)
        .unwrap()
        .send(Method::Info, None, vec![])
        .unwrap();
    let ended = stack.session(now, session).unwrap().terminate();
    drain(&mut stack);
    let bye = parsed(&taken(&mut stack, now, conn)).pop().unwrap();
    assert_eq!(bye.method(), Some(&Method::Bye));
    stack.handle_bytes(now, conn, &wire(&answer(&bye, "200 OK", "", "")));
    let actions = drain(&mut stack);
    let order: Vec<OperationId> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Event(Event::Completed { operation, .. }) => Some(*operation),
            _ => None,
        })
        .collect();
    assert!(order.contains(&ended), "{order:?}");
    let failed = actions.iter().find_map(|action| match action {
        Action::Event(Event::Completed {
            operation,
            result: Err(error),
        }) if *operation == pending => Some(error.clone()),
        _ => None,
    });
    assert_eq!(
        failed,
        Some(OperationError::OperationFailure(
            OperationFailure::SessionTerminated
        ))
    );
}
