//! What the fuzzers have found, as scenarios that say what went wrong.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::net::SocketAddr;

use sansip::{
    Action, Answer, CloseReason, Config, Connect, Established, PeerToPeerConfig, Stack, Time, UnixTime,
};

use common::{actions, secs, take_bytes};

fn here() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

/// A stack with a peer-to-peer endpoint whose caller has gone away, with the 100 and the final response both due.
fn deserted_call() -> (Stack, Vec<Connect>) {
    let now = Time::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32], now, UnixTime(1_700_000_000));
    stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new("sip:carol@two.invalid"))
        .unwrap();
    let manager = stack.server_tcp_manager();
    let listener = stack.manager(now, manager).unwrap().listen(here()).unwrap();
    stack.handle_listening(now, listener, Ok(here()));
    let conn = stack.handle_accepted(now, listener, here(), "192.0.2.9:50000".parse().unwrap());
    let invite = "INVITE sip:carol@two.invalid SIP/2.0\r\n\
        Via: SIP/2.0/TCP peer.invalid;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\n\
        From: <sip:p@peer.invalid>;tag=1\r\n\
        To: <sip:carol@two.invalid>\r\n\
        Call-ID: 1\r\n\
        CSeq: 1 INVITE\r\n\
        Contact: <sip:p@192.0.2.9;transport=tcp>\r\n\
        Content-Length: 0\r\n\r\n";
    stack.handle_bytes(now, conn, invite.as_bytes());
    stack.handle_closed(now, conn, CloseReason::Reset);
    actions(&mut stack);
    // An adapter that slept: the 100 is due and the session has timed out.
    stack.handle_timeout(now + secs(1000));
    let mut connects = Vec::new();
    loop {
        let wanted = actions(&mut stack);
        if wanted.is_empty() {
            break;
        }
        for action in wanted {
            match action {
                Action::Resolve { query, .. } => {
                    let (addresses, ttl) = (vec!["192.0.2.9".parse().unwrap()], secs(60));
                    let now = stack.now();
                    stack.handle_resolved(now, query, Ok(Answer::Addresses { addresses, ttl }));
                }
                Action::Connect(connect) => connects.push(connect),
                _ => {}
            }
        }
    }
    (stack, connects)
}

fn connected(stack: &mut Stack, connect: &Connect) -> String {
    let now = stack.now();
    let established = Established {
        local: "192.0.2.1:40000".parse().unwrap(),
        remote: connect.remote,
        peer: None,
    };
    stack.handle_connected(now, connect.conn, established);
    String::from_utf8(take_bytes(stack, now, connect.conn)).unwrap()
}

/// Lets all deadlines pass, and then nothing may be held.
fn comes_to_rest(mut stack: Stack) {
    let now = stack.now();
    stack.terminate_all(now);
    for _ in 0..1000 {
        actions(&mut stack);
        let Some((at, _)) = stack.poll_timeout() else {
            break;
        };
        stack.handle_timeout(at);
    }
    let census = stack.census();
    assert_eq!(
        (census.transactions, census.replies, census.timers),
        (0, 0, 0),
        "{census:?}"
    );
}

// rules: X5, X6, C9
#[test]
fn responses_that_look_for_a_connection_at_one_time_all_find_one() {
    let (mut stack, connects) = deserted_call();
    let mut said: String = connects
        .iter()
        .map(|connect| connected(&mut stack, connect))
        .collect();
    let now = stack.now();
    for connect in &connects {
        said += &String::from_utf8(take_bytes(&mut stack, now, connect.conn)).unwrap();
    }
    assert!(said.contains("SIP/2.0 100 "), "{said}");
    assert_eq!(said.matches("SIP/2.0 4").count(), 1, "the final response: {said}");
    comes_to_rest(stack);
}

// rules: X5, X6, C9
#[test]
fn a_response_whose_connection_fails_goes_where_another_went() {
    let (mut stack, connects) = deserted_call();
    let (first, rest) = connects.split_first().unwrap();
    let mut said = connected(&mut stack, first);
    for connect in rest {
        let now = stack.now();
        stack.handle_closed(now, connect.conn, CloseReason::Refused);
        said += &String::from_utf8(take_bytes(&mut stack, now, first.conn)).unwrap();
    }
    assert_eq!(said.matches("SIP/2.0 4").count(), 1, "the final response: {said}");
    comes_to_rest(stack);
}
