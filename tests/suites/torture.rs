//! Torture messages at a real endpoint: what comes back over the connection, what the application sees, what is held.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a suite, a panic is a failed test"
)]

#[path = "common/mod.rs"]
mod common;
#[path = "common/protos.rs"]
mod protos;

use sansip::wire::{HeaderName, Message, StatusCode};
use sansip::{Config, Event, PeerToPeerConfig};
use sansip_testkit::vectors;
use sansip_testkit::world::{LineId, StackId, World};
use serde_json::Value;

use common::{answer, codes, field, request, secs};

struct Subject {
    host: StackId,
    address: std::net::SocketAddr,
    peer: sansip_testkit::world::PeerId,
    numbers: u32,
}

/// A stack with one peer-to-peer endpoint that refuses every call with 486.
fn subject(world: &mut World, strict: bool) -> Subject {
    let config = Config {
        strict_dispatch: strict,
        ..Config::default()
    };
    let host = world.stack_with(config);
    let mut bob = PeerToPeerConfig::new("sip:bob@two.invalid");
    bob.profile.content_types = ["application/sdp", "text/plain", "multipart/signed"]
        .map(String::from)
        .to_vec();
    world.peer_to_peer_endpoint(host, bob);
    world.on_event(host, |stack, now, event| {
        if let Event::SessionReceived { session, .. } = event {
            stack
                .session(now, *session)
                .unwrap()
                .reject(StatusCode::BUSY_HERE, None)
                .unwrap();
        }
    });
    let address = world.listen(host, 5060);
    let peer = world.peer();
    Subject {
        host,
        address,
        peer,
        numbers: 0,
    }
}

impl Subject {
    fn line(&self, world: &mut World) -> LineId {
        let line = world.dial(self.peer, self.address, None);
        world.run_for(std::time::Duration::from_millis(20));
        line
    }

    /// After whatever was said before, the endpoint serves the next one.
    fn still_serves(&mut self, world: &mut World, what: &str) {
        self.numbers += 1;
        let line = self.line(world);
        world.say(
            line,
            &request(
                "OPTIONS",
                "sip:bob@two.invalid",
                "<sip:bob@two.invalid>",
                self.numbers,
                "",
            ),
        );
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [200], "after {what}");
        world.hang_up(line);
    }

    fn sessions(&self, world: &World) -> usize {
        let events = world.events(self.host).iter();
        events
            .filter(|(_, event)| matches!(event, Event::SessionReceived { .. }))
            .count()
    }
}

fn finals(heard: &[Message]) -> Vec<u16> {
    let statuses = heard
        .iter()
        .filter_map(Message::status)
        .filter(|status| status.is_final());
    statuses.map(StatusCode::code).collect()
}

fn manifest(name: &str) -> Option<Vec<(Value, Vec<u8>)>> {
    let manifest = vectors::json(&format!("{name}/manifest.json"))?;
    let messages = manifest["messages"].as_array().unwrap();
    let read = |entry: &Value| {
        let file = entry["file"].as_str().unwrap();
        (entry.clone(), vectors::bytes(&format!("{name}/{file}")).unwrap())
    };
    Some(messages.iter().map(read).collect())
}

/// The codes that the manifest allows.
fn allowed(entry: &Value) -> Vec<u16> {
    let codes = entry["expect"]["ua"]["codes"].as_array();
    let number = |code: &Value| u16::try_from(code.as_u64().unwrap()).unwrap();
    codes
        .map(|codes| codes.iter().map(number).collect())
        .unwrap_or_default()
}

/// One message, at an endpoint that takes every request: what comes back, and what the application sees, by the manifest.
fn judge(world: &mut World, subject: &mut Subject, entry: &Value, bytes: &[u8]) {
    let file = entry["file"].as_str().unwrap();
    let expect = &entry["expect"];
    let action = expect["ua"]["action"].as_str().unwrap();
    let framing = expect["framing"]["stream"].as_str().unwrap();
    let before = world.with(subject.host, |stack, _| stack.counters());
    let sessions = subject.sessions(world);
    let line = subject.line(world);
    world.say_bytes(line, bytes);
    world.run_for(secs(1));
    let heard = world.heard(line);
    let finals = finals(&heard);
    let after = world.with(subject.host, |stack, _| stack.counters());
    match (framing, entry["kind"].as_str().unwrap(), action) {
        // On a stream, bytes that may be the beginning of more are waited for, until C12.
        ("need_more", _, _) => {
            assert_eq!(heard, [], "{file}: not whole yet");
            world.run_for(secs(60));
            assert!(!world.is_line_open(line), "{file}: never whole");
        }
        // On a stream, a length that cannot be known is always refused, and the stream is over (C29).
        ("error_close", _, _) => {
            assert_eq!(finals, [400], "{file}");
            assert!(!world.is_line_open(line), "{file}: framing is lost");
        }
        (_, "response", "discard") => {
            assert_eq!(heard, [], "{file}: nothing answers a response");
            assert_eq!(
                (after.malformed, after.received.responses()),
                (before.malformed + 1, before.received.responses())
            );
        }
        (_, "response", _) => {
            assert_eq!(heard, [], "{file}: nothing answers a response");
            assert_eq!(
                (after.malformed, after.received.responses()),
                (before.malformed, before.received.responses() + 1)
            );
        }
        (_, _, "process") => {
            assert_eq!(
                subject.sessions(world),
                sessions + 1,
                "{file}: the application sees the call"
            );
            assert_eq!(finals, [486], "{file}");
        }
        _ => {
            let first = *finals.first().unwrap_or_else(|| panic!("{file}: no answer"));
            assert!(
                allowed(entry).contains(&first),
                "{file}: {first} not of {:?}",
                allowed(entry)
            );
            assert_eq!(
                subject.sessions(world),
                sessions,
                "{file}: nothing for the application"
            );
            if framing == "complete"
                && bytes.len()
                    == usize::try_from(expect["framing"]["stream_consumed"].as_u64().unwrap()).unwrap()
            {
                assert_eq!(finals.len(), 1, "{file}: one request, one answer");
                assert!(world.is_line_open(line), "{file}: its framing is good");
            }
            let response = heard
                .iter()
                .find(|message| message.status().is_some_and(StatusCode::is_final))
                .unwrap();
            names_the_reason(file, response, &expect["ua"]["header"]);
        }
    }
    world.hang_up(line);
    subject.still_serves(world, file);
}

/// The header fields that go with a refusal (rules E10, M6); a 400 names what is wrong.
fn names_the_reason(file: &str, response: &Message, wanted: &Value) {
    match response.status().unwrap().code() {
        400 => assert_ne!(
            response.reason(),
            b"Bad Request",
            "{file}: the reason names the place"
        ),
        405 | 501 => assert!(field(response, HeaderName::Allow).contains("OPTIONS"), "{file}"),
        415 => assert!(
            field(response, HeaderName::Accept).contains("application/sdp"),
            "{file}"
        ),
        _ => {}
    }
    if let Some((name, value)) = wanted.as_str().and_then(|wanted| wanted.split_once(": "))
        && name == "Unsupported"
    {
        assert_eq!(field(response, HeaderName::Unsupported), value, "{file}");
    }
}

// rules: E10, M5, M6, M7, C12, C29
#[test]
fn an_endpoint_answers_the_torture_messages_of_rfc_4475() {
    let Some(messages) = manifest("rfc4475") else {
        return;
    };
    assert_eq!(messages.len(), 49);
    let mut world = World::new(1);
    let mut subject = subject(&mut world, false);
    for (entry, bytes) in &messages {
        judge(&mut world, &mut subject, entry, bytes);
    }
    world.finish();
}

// rules: M5, M6
#[test]
fn an_endpoint_answers_the_ipv6_messages_of_rfc_5118() {
    let Some(messages) = manifest("rfc5118") else {
        return;
    };
    assert_eq!(messages.len(), 12);
    let mut world = World::new(2);
    let mut subject = subject(&mut world, false);
    for (entry, bytes) in &messages {
        let file = entry["file"].as_str().unwrap();
        let line = subject.line(&mut world);
        world.say_bytes(line, bytes);
        world.run_for(secs(1));
        let finals = finals(&world.heard(line));
        let first = *finals.first().unwrap_or_else(|| panic!("{file}: no answer"));
        // An INVITE that the endpoint would take is refused by its application.
        let taken = first == 486 && allowed(entry).contains(&200);
        assert!(
            taken || allowed(entry).contains(&first),
            "{file}: {first} not of {:?}",
            allowed(entry)
        );
        assert!(world.is_line_open(line), "{file}");
        world.hang_up(line);
        subject.still_serves(&mut world, file);
    }
    world.finish();
}

// rules: M5
#[test]
fn with_strict_dispatch_a_stranger_is_not_found() {
    let Some(messages) = manifest("rfc4475") else {
        return;
    };
    let mut world = World::new(3);
    let mut subject = subject(&mut world, true);
    for (entry, bytes) in &messages {
        let file = entry["file"].as_str().unwrap();
        if [
            "esc01.dat",
            "lwsdisp.dat",
            "longreq.dat",
            "semiuri.dat",
            "transports.dat",
            "zeromf.dat",
        ]
        .contains(&file)
        {
            let line = subject.line(&mut world);
            world.say_bytes(line, bytes);
            world.run_for(secs(1));
            assert_eq!(finals(&world.heard(line)), [404], "{file}");
            world.hang_up(line);
            subject.still_serves(&mut world, file);
        }
    }
    assert_eq!(subject.sessions(&world), 0);
    world.finish();
}

// rules: M3, M6, X6
#[test]
fn an_endpoint_takes_what_ocs_sends_without_harm() {
    let Some(messages) = manifest("ocs") else { return };
    assert_eq!(messages.len(), 29);
    let mut world = World::new(4);
    let mut subject = subject(&mut world, false);
    for (entry, bytes) in &messages {
        let file = entry["file"].as_str().unwrap();
        let line = subject.line(&mut world);
        let before = world.with(subject.host, |stack, _| stack.counters().malformed);
        world.say_bytes(line, bytes);
        world.run_for(secs(1));
        let heard = world.heard(line);
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let silent = [&b"SIP/2.0 "[..], b"ACK ", b"BENOTIFY "]
            .iter()
            .any(|start| text.starts_with(start));
        assert_eq!(finals(&heard).len(), usize::from(!silent), "{file}: {heard:?}");
        assert_eq!(
            world.with(subject.host, |stack, _| stack.counters().malformed),
            before,
            "{file} is well-formed"
        );
        assert!(
            finals(&heard).iter().all(|code| ![400, 500].contains(code)),
            "{file}: {heard:?}"
        );
        assert!(world.is_line_open(line), "{file}");
        world.hang_up(line);
        subject.still_serves(&mut world, file);
    }
    world.finish();
}

// rules: M6, C12, C29, C31, C33, X6
#[test]
fn malformed_invites_do_no_harm_to_an_endpoint() {
    let Some(folder) = vectors::path("protos_like") else {
        return;
    };
    let Some(records) = protos::generated(&folder) else {
        return;
    };
    let index = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
    let lines: Vec<Vec<&str>> = index.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((records.len(), lines.len()), (5820, 5820));
    for (batch, (records, lines)) in records.chunks(200).zip(lines.chunks(200)).enumerate() {
        let mut world = World::new(100 + u64::try_from(batch).unwrap());
        let mut subject = subject(&mut world, false);
        for (bytes, columns) in records.iter().zip(lines) {
            let what = format!("{} {} {} {}", columns[0], columns[1], columns[2], columns[3]);
            let sessions = subject.sessions(&world);
            let line = subject.line(&mut world);
            world.say_bytes(line, bytes);
            world.run_for(secs(1));
            let heard = world.heard(line);
            let taken = subject.sessions(&world) - sessions;
            assert!(
                heard.iter().all(|message| !message.is_request()),
                "{what}: {heard:?}"
            );
            match columns[6] {
                "ok" => {
                    let sent = 1 + usize::from(columns[2] == "two-messages");
                    assert_eq!(taken, sent, "{what}: {heard:?}");
                    assert!(finals(&heard).contains(&486), "{what}: {heard:?}");
                }
                "bad" => {
                    assert_eq!(taken, 0, "{what}: {heard:?}");
                    assert_eq!(finals(&heard).first(), Some(&400), "{what}: {heard:?}");
                }
                _ => assert!(taken <= 2, "{what}"),
            }
            world.hang_up(line);
            // They are all one transaction: 64*T1 for the ACK that never comes (RFC 3261 timer H) keeps them apart.
            world.run_for(secs(33));
        }
        subject.still_serves(&mut world, &format!("batch {batch}"));
        world.run_for(secs(33));
        let census = world.with(subject.host, |stack, _| stack.census());
        let held = (
            census.connections,
            census.transactions,
            census.sessions,
            census.dialogs,
            census.incoming,
        );
        assert_eq!(held, (0, 0, 0, 0, 0), "batch {batch}: {census:?}");
        let connects = world
            .trace()
            .lines()
            .filter(|line| line.what().starts_with("Connect("))
            .count();
        assert_eq!(connects, 0, "nothing is sent to where a message points");
        world.finish();
    }
}

// rules: C29, M6
#[test]
fn what_is_no_request_at_all_is_answered_with_nothing() {
    let mut world = World::new(5);
    let mut subject = subject(&mut world, false);
    let line = subject.line(&mut world);
    let text = request("OPTIONS", "sip:bob@two.invalid", "<sip:bob@two.invalid>", 900, "");
    world.say(line, &text);
    world.run_for(secs(1));
    let heard = world.heard(line);
    // Its own answer, sent back to it: a response to nothing.
    let echo = answer(
        &Message::parse(heard[0].bytes().clone(), &Default::default()).unwrap(),
        "200 OK",
        "x",
        "",
    );
    world.say(line, &echo);
    world.run_for(secs(1));
    assert_eq!(world.heard(line), []);
    assert!(world.is_line_open(line));
    world.hang_up(line);
    subject.still_serves(&mut world, "an answer to nothing");
    world.finish();
}
