//! The three throttles: too many requests outstanding to the server of an endpoint (C24), too many transactions open on a
//! connection (C22), too many requests that the application has not taken (C23).

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
    Action, CloseReason, Config, ConnId, EndpointId, Event, IncomingId, ManagerConfig, ManagerKind,
    OperationError, OperationFailure, OperationId, RemovalReason, SessionId, Throttle,
};

use common::host::{BOB, Host, TO_BOB, failure, heard, incoming, registered, registered_as};
use common::{TICK, answer, field, request, sdp, secs};

const T1_64: Duration = Duration::from_secs(32);

/// So many MESSAGEs of alice, the first to number `first`.
fn messages(host: &mut Host, alice: EndpointId, first: usize, count: usize) -> Vec<OperationId> {
    (first..first + count)
        .map(|number| host.message_of(alice, &format!("sip:n{number}@example.com")))
        .collect()
}

fn targets(sent: &[Message]) -> Vec<String> {
    sent.iter().map(|it| it.request_uri().to_owned()).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("sip:n{number}@example.com")).collect()
}

fn wait(host: &mut Host, time: Duration) -> Vec<Action> {
    host.now = host.now + time;
    host.stack.handle_timeout(host.now);
    host.drain()
}

// rules: C24
#[test]
fn twenty_are_outstanding_and_the_next_ones_go_out_in_order_as_answers_come() {
    let (mut host, alice, conn) = registered(|_| {});
    messages(&mut host, alice, 0, 19);
    assert_eq!(targets(&host.sent(conn)), numbers(0..19));
    messages(&mut host, alice, 19, 1);
    let twentieth = host.sent(conn);
    assert_eq!(targets(&twentieth), numbers(19..20));
    messages(&mut host, alice, 20, 3);
    assert_eq!(targets(&host.sent(conn)), [""; 0]);
    // Each final answer makes room for one; a provisional one does not.
    host.say(conn, &answer(&twentieth[0], "100 Trying", "", ""));
    assert_eq!(targets(&host.sent(conn)), [""; 0]);
    host.say(conn, &answer(&twentieth[0], "200 OK", "x", ""));
    let next = host.sent(conn);
    assert_eq!(targets(&next), numbers(20..21));
    // One that begins later does not go before.
    messages(&mut host, alice, 23, 1);
    host.say(conn, &answer(&next[0], "404 Not Found", "x", ""));
    assert_eq!(targets(&host.sent(conn)), numbers(21..22));
}

// rules: C24, M2
#[test]
fn what_has_no_turn_in_thirty_two_seconds_is_a_timeout() {
    let (mut host, alice, conn) = registered(|_| {});
    // The first twenty are never answered; twenty more take their places after 32 s, and so the last has none.
    messages(&mut host, alice, 0, 40);
    assert_eq!(targets(&host.sent(conn)), numbers(0..20));
    wait(&mut host, secs(10));
    // The server itself is there (R19).
    host.stack.handle_bytes(host.now, conn, b"\r\n");
    let last = messages(&mut host, alice, 40, 1)[0];
    let actions = wait(&mut host, T1_64 - secs(10));
    assert_eq!(failure(&actions, last), None);
    assert_eq!(targets(&host.sent(conn)), numbers(20..40));
    let actions = wait(&mut host, secs(10) - TICK);
    assert_eq!(failure(&actions, last), None);
    let actions = wait(&mut host, TICK);
    assert_eq!(failure(&actions, last), Some(OperationError::Timeout));
    assert_eq!(host.stack.counters().timeouts.held, 1);
    assert_eq!(targets(&host.sent(conn)), [""; 0]);
}

/// A call that alice has made, and its INVITE.
fn call(host: &mut Host, alice: EndpointId, conn: ConnId) -> (SessionId, Message) {
    let mut view = host.stack.endpoint(host.now, alice).unwrap();
    let session = view.create_session("sip:carol@example.com").unwrap();
    let mut view = host.stack.session(host.now, session).unwrap();
    view.establish(Some(sdp()), sansip::SendOptions::default())
        .unwrap();
    (session, host.asked(conn))
}

fn methods(sent: &[Message]) -> Vec<Method> {
    sent.iter().filter_map(|it| it.method().cloned()).collect()
}

const CAROL: &str = "Contact: <sip:carol@10.0.0.9>";

// rules: C24, S10, X3
#[test]
fn what_waits_for_its_turn_is_not_sent_after_the_bye_of_its_dialog() {
    let (mut host, alice, conn) = registered(|config| config.limits.outstanding = 2);
    let (session, invite) = call(&mut host, alice, conn);
    host.say(conn, &answer(&invite, "200 OK", "x", CAROL));
    assert_eq!(methods(&host.sent(conn)), [Method::Ack]);
    host.drain();
    let inside = |host: &mut Host| {
        let mut view = host.stack.session(host.now, session).unwrap();
        view.send(Method::Info, None, Vec::new()).unwrap()
    };
    let operations: Vec<OperationId> = (0..3).map(|_| inside(&mut host)).collect();
    let sent = host.sent(conn);
    assert_eq!(methods(&sent), [Method::Info, Method::Info]);
    host.stack.session(host.now, session).unwrap().terminate();
    let bye = host.asked(conn);
    // With the BYE alone outstanding it is the turn of the third.
    for info in &sent {
        host.say(conn, &answer(info, "200 OK", "x", ""));
    }
    assert_eq!(methods(&host.sent(conn)), []);
    let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
    assert_eq!(failure(&host.drain(), operations[2]), Some(ended));
    host.say(conn, &answer(&bye, "200 OK", "x", ""));
    assert_eq!(methods(&host.sent(conn)), []);
}

// rules: C24, S6
#[test]
fn a_change_that_has_no_turn_says_nothing_of_its_session() {
    let (mut host, alice, conn) = registered(|config| config.limits.outstanding = 2);
    let (session, invite) = call(&mut host, alice, conn);
    host.say(conn, &answer(&invite, "200 OK", "x", CAROL));
    assert_eq!(methods(&host.sent(conn)), [Method::Ack]);
    host.drain();
    // Two are never answered, and two more take their places after 32 s.
    messages(&mut host, alice, 0, 4);
    assert_eq!(methods(&host.sent(conn)), [Method::Message, Method::Message]);
    wait(&mut host, secs(10));
    host.stack.handle_bytes(host.now, conn, b"\r\n");
    let mut view = host.stack.session(host.now, session).unwrap();
    let changed = view.renegotiate(Method::Update, sdp()).unwrap();
    let actions = wait(&mut host, T1_64);
    assert_eq!(failure(&actions, changed), Some(OperationError::Timeout));
    assert_eq!(methods(&host.sent(conn)), [Method::Message, Method::Message]);
    let view = host.stack.session(host.now, session).unwrap();
    assert_eq!(view.state(), sansip::SessionState::Connected);
}

// rules: C24
#[test]
fn an_invite_leaves_with_its_first_provisional_and_what_ends_something_never_waits() {
    let (mut host, alice, conn) = registered(|_| {});
    let (ringing, invite) = call(&mut host, alice, conn);
    messages(&mut host, alice, 0, 20);
    // The INVITE is the twentieth, until it is answered in any way.
    let mut sent = host.sent(conn);
    assert_eq!(targets(&sent), numbers(0..19));
    host.say(conn, &answer(&invite, "100 Trying", "", ""));
    sent.extend(host.sent(conn));
    assert_eq!(targets(&sent), numbers(0..20));
    let (_, second) = {
        // A second call waits; it has its place when a MESSAGE is answered.
        let mut view = host.stack.endpoint(host.now, alice).unwrap();
        let session = view.create_session("sip:dave@example.com").unwrap();
        let mut view = host.stack.session(host.now, session).unwrap();
        view.establish(Some(sdp()), sansip::SendOptions::default())
            .unwrap();
        assert!(host.sent(conn).is_empty());
        host.say(conn, &answer(&sent[0], "200 OK", "x", ""));
        (session, host.asked(conn))
    };
    host.say(conn, &answer(&second, "180 Ringing", "d", ""));
    messages(&mut host, alice, 20, 1);
    host.sent(conn);
    // All twenty places are taken: ACK, CANCEL, REGISTER and BYE go out at once, a MESSAGE does not.
    messages(&mut host, alice, 21, 1);
    assert!(host.sent(conn).is_empty());
    host.say(conn, &answer(&second, "200 OK", "d", CAROL));
    host.drain();
    assert_eq!(methods(&host.sent(conn)), [Method::Ack]);
    host.stack.session(host.now, ringing).unwrap().terminate();
    assert_eq!(methods(&host.sent(conn)), [Method::Cancel]);
    let answered = host.stack.endpoint(host.now, alice).unwrap().sessions();
    for session in answered {
        host.stack.session(host.now, session).unwrap().terminate();
    }
    assert_eq!(methods(&host.sent(conn)), [Method::Bye]);
    host.stack
        .endpoint(host.now, alice)
        .unwrap()
        .unregister()
        .unwrap();
    assert_eq!(methods(&host.sent(conn)), [Method::Register]);
    // They count: with their answers alone nobody else has room, with one more the MESSAGE has.
    host.say(conn, &answer(&sent[1], "200 OK", "x", ""));
    assert!(host.sent(conn).is_empty());
    host.say(conn, &answer(&sent[2], "200 OK", "x", ""));
    assert!(host.sent(conn).is_empty());
    host.say(conn, &answer(&sent[3], "200 OK", "x", ""));
    assert_eq!(targets(&host.sent(conn)), numbers(21..22));
}

// rules: C24
#[test]
fn over_a_server_manager_nothing_is_held() {
    let mut host = Host::new(|_| {});
    let manager = host
        .stack
        .add_manager(ManagerConfig::new(ManagerKind::ServerTcp))
        .unwrap();
    let config = sansip::SipEndpointConfig {
        server: Some(sansip::Server {
            host: "10.0.0.9".into(),
            port: Some(5060),
        }),
        transport: sansip::Transport::Tcp,
        manager: Some(manager),
        ..sansip::SipEndpointConfig::new("sip:alice@example.com")
    };
    let alice = host.stack.add_sip_endpoint(host.now, config).unwrap();
    messages(&mut host, alice, 0, 25);
    let conn = host.connect();
    assert_eq!(targets(&host.sent(conn)), numbers(0..25));
}

// rules: C24, C35
#[test]
fn what_is_held_goes_over_a_fresh_connection_when_its_own_is_lost() {
    let (mut host, alice, conn) = registered(|_| {});
    let all = messages(&mut host, alice, 0, 22);
    assert_eq!(host.sent(conn).len(), 20);
    host.stack.handle_closed(host.now, conn, CloseReason::Reset);
    let actions = host.drain();
    let failed = all.iter().filter(|id| failure(&actions, **id).is_some()).count();
    assert_eq!(failed, 20, "those whose bytes had left");
    let connect = actions.iter().find_map(|action| match action {
        Action::Connect(connect) => Some(connect.clone()),
        _ => None,
    });
    let established = sansip::Established {
        local: "10.0.0.1:50001".parse().unwrap(),
        remote: connect.as_ref().unwrap().remote,
        peer: None,
    };
    let fresh = connect.unwrap().conn;
    host.stack.handle_connected(host.now, fresh, established);
    let sent = host.sent(fresh);
    let messages: Vec<Message> = sent
        .into_iter()
        .filter(|it| it.method() == Some(&Method::Message))
        .collect();
    assert_eq!(targets(&messages), numbers(20..22));
}

// ---------------------------------------------------------------- a connection

fn throttled(high: usize, low: usize) -> impl FnOnce(&mut Config) {
    move |config| config.connection_throttle = Some(Throttle { high, low })
}

/// What was told of the throttle, and of reading.
fn throttling(actions: &[Action], conn: ConnId) -> Vec<(&'static str, bool)> {
    let told = |action: &Action| match action {
        Action::Event(Event::ConnectionThrottled {
            conn: which,
            throttled,
        }) => {
            assert_eq!(*which, conn);
            Some(("throttled", *throttled))
        }
        Action::Reading(which, reading) => {
            assert_eq!(*which, conn);
            Some(("reading", *reading))
        }
        _ => None,
    };
    actions.iter().filter_map(told).collect()
}

/// A request to bob, which his application holds.
fn held(host: &mut Host, conn: ConnId, number: u32) -> (Vec<IncomingId>, Vec<Action>) {
    host.ask(conn, "MESSAGE", number);
    hold_all(host)
}

fn hold_all(host: &mut Host) -> (Vec<IncomingId>, Vec<Action>) {
    let (mut ids, mut actions) = (Vec::new(), Vec::new());
    while let Some(action) = host.stack.poll_action() {
        if let Action::Event(event) = &action
            && let Some(id) = incoming(event)
        {
            host.stack.incoming(host.now, id).unwrap().hold().unwrap();
            ids.push(id);
        }
        actions.push(action);
    }
    (ids, actions)
}

fn ok(host: &mut Host, id: IncomingId) -> Vec<Action> {
    host.stack
        .incoming(host.now, id)
        .unwrap()
        .answer(StatusCode::OK, None, None, &[])
        .unwrap();
    host.drain()
}

// rules: C22
#[test]
fn above_the_high_mark_a_connection_is_not_read_from_until_below_the_low_one() {
    let mut host = Host::of(throttled(3, 2));
    let conn = host.peer();
    let mut ids = Vec::new();
    for number in 1..=3 {
        let (id, actions) = held(&mut host, conn, number);
        ids.extend(id);
        assert_eq!(throttling(&actions, conn), [], "at the mark, not above");
    }
    let (id, actions) = held(&mut host, conn, 4);
    ids.extend(id);
    assert_eq!(
        throttling(&actions, conn),
        [("throttled", true), ("reading", false)]
    );
    // What arrives all the same is kept, whole and in pieces.
    let (none, actions) = held(&mut host, conn, 5);
    assert_eq!((none.len(), throttling(&actions, conn)), (0, vec![]));
    let more = common::wire(&request("MESSAGE", BOB, TO_BOB, 6, ""));
    host.stack.handle_bytes(host.now, conn, &more[..20]);
    host.stack.handle_bytes(host.now, conn, &more[20..]);
    assert_eq!(hold_all(&mut host).0.len(), 0);
    // What we answer goes out; at the low mark it is still off, below it on again.
    for id in &ids[..2] {
        assert_eq!(throttling(&ok(&mut host, *id), conn), []);
        assert_eq!(host.codes(conn), [200]);
    }
    host.stack
        .incoming(host.now, ids[2])
        .unwrap()
        .answer(StatusCode::OK, None, None, &[])
        .unwrap();
    let (waited, actions) = hold_all(&mut host);
    assert_eq!(
        throttling(&actions, conn),
        [("throttled", false), ("reading", true)]
    );
    assert_eq!(waited.len(), 2, "what had arrived is heard now");
    for id in waited.into_iter().chain([ids[3]]) {
        ok(&mut host, id);
    }
    assert_eq!(host.codes(conn), [200; 4]);
}

// rules: C22
#[test]
fn a_connection_that_is_read_no_more_in_the_middle_of_what_came_goes_on_where_it_was() {
    // All in one piece, or each byte alone: it makes no difference (law 3).
    let run = |piece: usize| {
        let mut host = Host::of(throttled(1, 1));
        let conn = host.peer();
        let bytes: Vec<u8> = (1..=5)
            .flat_map(|number| common::wire(&request("MESSAGE", BOB, TO_BOB, number, "")))
            .collect();
        for piece in bytes.chunks(piece) {
            host.stack.handle_bytes(host.now, conn, piece);
        }
        let mut log = Vec::new();
        let (mut waiting, actions) = hold_all(&mut host);
        log.push((waiting.len(), throttling(&actions, conn)));
        while let Some(id) = waiting.pop() {
            host.stack
                .incoming(host.now, id)
                .unwrap()
                .answer(StatusCode::OK, None, None, &[])
                .unwrap();
            let (more, actions) = hold_all(&mut host);
            log.push((more.len(), throttling(&actions, conn)));
            waiting.extend(more);
        }
        (log, host.codes(conn).len())
    };
    let (log, answers) = run(usize::MAX);
    assert_eq!(
        (log.iter().map(|(count, _)| count).sum::<usize>(), answers),
        (5, 5)
    );
    assert_eq!(log[0], (2, vec![("throttled", true), ("reading", false)]));
    assert_eq!(run(1), (log, answers));
}

/// A request of the server to alice.
fn to_alice(host: &mut Host, conn: ConnId, alice: EndpointId, number: u32) {
    let uri = host
        .stack
        .endpoint(host.now, alice)
        .unwrap()
        .owner_uri()
        .to_owned();
    host.say(conn, &request("MESSAGE", &uri, &format!("<{uri}>"), number, ""));
}

// rules: C22
#[test]
fn above_the_high_mark_new_requests_fail_and_answers_are_read_all_the_same() {
    let (mut host, alice, conn) = registered(throttled(3, 2));
    messages(&mut host, alice, 0, 3);
    assert_eq!(throttling(&host.drain(), conn), [], "at the mark, not above");
    messages(&mut host, alice, 3, 1);
    let actions = host.drain();
    // Nothing waits for an answer of ours: only by reading can it become less.
    assert_eq!(throttling(&actions, conn), [("throttled", true)]);
    let sent = host.sent(conn);
    assert_eq!(sent.len(), 4);
    let refused = messages(&mut host, alice, 4, 1)[0];
    let error = OperationError::OperationFailure(OperationFailure::ConnectionThrottled);
    assert_eq!(failure(&host.drain(), refused), Some(error.clone()));
    assert_eq!(host.stack.counters().refusals.connection_throttle, 1);
    assert!(host.sent(conn).is_empty());
    // To unregister ends something.
    host.stack
        .endpoint(host.now, alice)
        .unwrap()
        .unregister()
        .unwrap();
    let unregister = host.asked(conn);
    // Five are open, now four, three, two: at the low mark it still is on.
    for request in &sent[..3] {
        host.say(conn, &answer(request, "200 OK", "x", ""));
        assert_eq!(throttling(&host.drain(), conn), []);
        let refused = messages(&mut host, alice, 5, 1)[0];
        assert_eq!(failure(&host.drain(), refused), Some(error.clone()));
    }
    host.say(conn, &answer(&sent[3], "200 OK", "x", ""));
    assert_eq!(throttling(&host.drain(), conn), [("throttled", false)]);
    messages(&mut host, alice, 6, 1);
    assert_eq!(host.sent(conn).len(), 1);
    host.say(conn, &answer(&unregister, "200 OK", "x", ""));
}

// rules: C22
#[test]
fn what_waits_for_unread_input_stands_still_meanwhile() {
    let (mut host, alice, conn) = registered(throttled(3, 2));
    let begun = host.now;
    let waits = messages(&mut host, alice, 0, 1)[0];
    let sent = host.asked(conn);
    // After ten seconds it is not read from, for twenty.
    wait(&mut host, secs(10));
    let mut ids = Vec::new();
    for number in 1..=3 {
        to_alice(&mut host, conn, alice, number);
        let (id, actions) = hold_all(&mut host);
        ids.extend(id);
        assert_eq!(throttling(&actions, conn).len(), if number == 3 { 2 } else { 0 });
    }
    // One that begins meanwhile stands still from its beginning.
    wait(&mut host, secs(5));
    let unregister = host
        .stack
        .endpoint(host.now, alice)
        .unwrap()
        .unregister()
        .unwrap();
    host.drain();
    host.sent(conn);
    // The answer of the first has come and is not read.
    host.say(conn, &answer(&sent, "200 OK", "x", ""));
    let actions = wait(&mut host, secs(15));
    assert_eq!(failure(&actions, waits), None);
    for id in ids {
        host.stack
            .incoming(host.now, id)
            .unwrap()
            .answer(StatusCode::OK, None, None, &[])
            .unwrap();
    }
    let actions = host.drain();
    assert!(throttling(&actions, conn).contains(&("reading", true)));
    let answered = heard(&actions, |event| match event {
        Event::Completed { operation, result } if *operation == waits => Some(result.is_ok()),
        _ => None,
    });
    assert_eq!(answered, [true]);
    host.sent(conn);
    // Twenty seconds stood the first one's timer, fifteen that of the REGISTER.
    assert_eq!(host.now, begun + secs(30));
    let actions = wait(&mut host, T1_64 - TICK);
    assert_eq!(failure(&actions, unregister), None);
    let actions = wait(&mut host, TICK);
    assert_eq!(failure(&actions, unregister), Some(OperationError::Timeout));
}

// rules: C22
#[test]
fn a_timer_that_stood_still_has_the_time_left_that_it_had() {
    let (mut host, alice, conn) = registered(throttled(2, 1));
    let waits = messages(&mut host, alice, 0, 1)[0];
    host.drain();
    host.sent(conn);
    wait(&mut host, secs(10));
    let mut ids = Vec::new();
    for number in 1..=2 {
        to_alice(&mut host, conn, alice, number);
        ids.extend(hold_all(&mut host).0);
    }
    assert_eq!(failure(&wait(&mut host, secs(25)), waits), None);
    for id in ids {
        ok(&mut host, id);
    }
    // 10 s before and 22 s after.
    assert_eq!(failure(&wait(&mut host, secs(22) - TICK), waits), None);
    assert_eq!(
        failure(&wait(&mut host, TICK), waits),
        Some(OperationError::Timeout)
    );
}

// rules: C22, R19
#[test]
fn an_answer_to_a_keep_alive_that_is_not_read_is_not_missed() {
    for answers in [true, false] {
        let (mut host, alice, conn) = registered_as(throttled(2, 1), "\nFlow-Timer: 90");
        wait(&mut host, secs(60));
        let ping: Vec<u8> = host.stack.transmit(conn).flatten().copied().collect();
        assert_eq!(ping, b"\r\n\r\n");
        host.sent(conn);
        let mut ids = Vec::new();
        for number in 1..=3 {
            to_alice(&mut host, conn, alice, number);
            ids.extend(hold_all(&mut host).0);
        }
        if answers {
            host.stack.handle_bytes(host.now, conn, b"\r\n");
        }
        // It may have come in the ten seconds, and has not been read in twenty-five.
        let actions = wait(&mut host, secs(25));
        assert_eq!(heard(&actions, unanswered), [] as [(); 0]);
        for id in ids {
            ok(&mut host, id);
        }
        host.sent(conn);
        // The ten seconds began anew when they were found to be over.
        assert_eq!(
            heard(&wait(&mut host, secs(10) - TICK), unanswered),
            [] as [(); 0]
        );
        let gone = heard(&wait(&mut host, TICK), unanswered);
        assert_eq!(gone.is_empty(), answers);
        assert_eq!(host.stack.connection(conn).is_some(), answers);
    }
}

// rules: R19, X5
#[test]
fn the_silence_of_a_connection_that_is_not_read_proves_nothing() {
    for lags in [true, false] {
        let (mut host, alice, conn) = registered(|config| config.limits.events = 2);
        let waits = messages(&mut host, alice, 0, 1)[0];
        host.sent(conn);
        if lags {
            // More than the application takes; it does not look for 32 s.
            for number in 1..=4 {
                to_alice(&mut host, conn, alice, number);
            }
        }
        let actions = wait(&mut host, T1_64);
        assert_eq!(failure(&actions, waits), Some(OperationError::Timeout));
        assert_eq!(heard(&actions, unanswered).is_empty(), lags);
    }
}

fn unanswered(event: &Event) -> Option<()> {
    let reason = RemovalReason::Unanswered;
    matches!(event, Event::ConnectionRemoved { reason: why, .. } if *why == reason).then_some(())
}

// rules: C22, C23
#[test]
fn without_marks_there_is_no_throttle() {
    let mut host = Host::new(|_| {});
    let conn = host.peer();
    for number in 1..=500 {
        host.ask(conn, "MESSAGE", number);
    }
    let (ids, actions) = hold_all(&mut host);
    assert_eq!((ids.len(), throttling(&actions, conn)), (500, vec![]));
    assert!(host.codes(conn).is_empty());
}

// rules: C22, C31
#[test]
fn a_throttled_connection_that_is_lost_leaves_nothing() {
    let mut host = Host::of(throttled(1, 1));
    let conn = host.peer();
    let mut ids = held(&mut host, conn, 1).0;
    ids.extend(held(&mut host, conn, 2).0);
    held(&mut host, conn, 3);
    host.stack.handle_closed(host.now, conn, CloseReason::Reset);
    host.drain();
    for id in ids {
        ok(&mut host, id);
    }
    let bob = host.bob;
    host.stack.terminate_all(host.now);
    host.drain();
    for _ in 0..20 {
        wait(&mut host, secs(60));
    }
    assert!(host.stack.endpoint(host.now, bob).is_err());
    assert!(host.stack.census().is_quiescent(), "{:?}", host.stack.census());
}

// ---------------------------------------------------------------- messages

/// The statuses of what was sent, and Retry-After of the last one; no event is taken.
fn answers(host: &mut Host, conn: ConnId) -> (Vec<u16>, String) {
    let sent = host.sent(conn);
    let codes = sent
        .iter()
        .filter_map(|it| it.status().map(StatusCode::code))
        .collect();
    let retry = sent
        .last()
        .map_or_else(String::new, |it| field(it, HeaderName::RetryAfter));
    (codes, retry)
}

/// The application takes so many requests.
fn take(host: &mut Host, mut count: usize) {
    while count > 0 {
        let Some(action) = host.stack.poll_action() else {
            panic!("no request is there");
        };
        if let Action::Event(event) = &action
            && let Some(id) = incoming(event)
        {
            host.stack.incoming(host.now, id).unwrap().hold().unwrap();
            count -= 1;
        }
    }
}

// rules: C23
#[test]
fn above_the_high_mark_of_messages_not_taken_new_ones_are_answered_503_until_below_the_low_one() {
    let marks = Throttle { high: 3, low: 2 };
    let mut host = Host::of(|config| config.message_throttle = Some(marks));
    let conn = host.peer();
    // The fourth finds three before it, which is the mark.
    for number in 1..=4 {
        host.ask(conn, "MESSAGE", number);
        assert_eq!(answers(&mut host, conn), (vec![], String::new()));
    }
    host.ask(conn, "MESSAGE", 5);
    assert_eq!(answers(&mut host, conn), (vec![503], "5".to_owned()));
    let invite = request("INVITE", BOB, TO_BOB, 6, "Contact: <sip:p@10.0.0.2>");
    host.say(conn, &invite);
    assert_eq!(answers(&mut host, conn).0.last(), Some(&503));
    // At the low mark it is still on.
    take(&mut host, 2);
    host.ask(conn, "MESSAGE", 7);
    assert_eq!(answers(&mut host, conn).0, [503]);
    take(&mut host, 1);
    host.ask(conn, "MESSAGE", 8);
    assert_eq!(answers(&mut host, conn).0, [0; 0]);
    assert_eq!(host.stack.counters().refusals.message_throttle, 3);
    take(&mut host, 2);
}

// rules: C23, M3
#[test]
fn a_benotify_is_dropped_and_what_ends_something_is_let_through() {
    let marks = Throttle { high: 0, low: 1 };
    let mut host = Host::of(|config| config.message_throttle = Some(marks));
    let conn = host.peer();
    host.ask(conn, "MESSAGE", 1);
    host.ask(conn, "BENOTIFY", 2);
    // There is no such call, and that is said instead of 503.
    host.say(conn, &request("BYE", BOB, "<sip:bob@two.invalid>;tag=x", 3, ""));
    host.say(conn, &request("CANCEL", BOB, TO_BOB, 4, ""));
    assert_eq!(answers(&mut host, conn).0, [481, 481]);
    assert_eq!(host.stack.counters().refusals.message_throttle, 1);
    take(&mut host, 1);
    assert_eq!(hold_all(&mut host).0, []);
}
