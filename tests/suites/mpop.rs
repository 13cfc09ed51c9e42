//! Multiple points of presence: a thousand endpoints of one user in one stack, and how a request finds its own.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::collections::BTreeMap;

use sansip::wire::uri::Uri;
use sansip::wire::{HeaderName, Message};
use sansip::{Event, PeerToPeerConfig};
use sansip_testkit::world::{self, Endpoint, World};

use common::{Callee, accept_calls, callee_with, codes, field, receivers, request, secs};

const BOB: &str = "sip:bob@two.invalid";

/// How many endpoints he has.
const MANY: u32 = 1000;

/// Every second one has a GRUU, and so no `ms-opaque` in its Contact.
fn config(number: u32) -> PeerToPeerConfig {
    PeerToPeerConfig {
        epid: Some(format!("e{number}")),
        gruu: number.is_multiple_of(2).then(|| gruu(number)),
        ..PeerToPeerConfig::new(BOB)
    }
}

fn gruu(number: u32) -> String {
    format!("{BOB};gr=urn:uuid:{number}")
}

/// All of them in one stack, and a peer that is connected with it.
fn many(world: &mut World) -> (Callee, Vec<Endpoint>) {
    let it = callee_with(world, config(0));
    let others = (1..MANY).map(|number| world.peer_to_peer_endpoint(it.host, config(number)));
    let all: Vec<Endpoint> = others.collect();
    let all = [vec![it.bob], all].concat();
    (it, all)
}

/// What the peer says comes to these, in this order, and all of it is answered 200.
fn judge(world: &mut World, it: &Callee, already: usize, expected: &[Endpoint]) {
    world.run_for(secs(5));
    let found = receivers(world, it.host).split_off(already);
    let expected: Vec<_> = expected.iter().map(|endpoint| endpoint.id).collect();
    assert!(found == expected, "{} of {}", found.len(), expected.len());
    let codes = codes(world, it.line);
    assert_eq!(codes.len(), expected.len());
    assert!(codes.iter().all(|code| *code == 200), "{codes:?}");
}

// rules: E2, M5, E9
#[test]
fn each_of_a_thousand_endpoints_of_one_user_is_found_by_its_epid() {
    world::run(1, |world| {
        let (it, all) = many(world);
        // In any order, and in any way to write the user and the device.
        let mut order = Vec::new();
        for number in (0..MANY).map(|number| number * 7 % MANY) {
            let (uri, epid) = if number.is_multiple_of(3) {
                ("sip:BOB@Two.INVALID", format!("E{number}"))
            } else {
                (BOB, format!("e{number}"))
            };
            let to = format!("<{BOB}>;epid={epid}");
            world.say(it.line, &request("MESSAGE", uri, &to, number, ""));
            order.push(all[usize::try_from(number).unwrap()]);
        }
        judge(world, &it, 0, &order);
        // Nobody's epid, and none: the oldest.
        for (number, to) in [
            (MANY, format!("<{BOB}>;epid=other")),
            (MANY + 1, format!("<{BOB}>")),
        ] {
            world.say(it.line, &request("MESSAGE", BOB, &to, number, ""));
        }
        judge(world, &it, order.len(), &[all[0], all[0]]);
    });
}

// rules: E2, E4, M5
#[test]
fn each_of_a_thousand_endpoints_of_one_user_is_found_by_its_gruu_or_its_contact() {
    world::run(2, |world| {
        let (it, all) = many(world);
        accept_calls(world, it.host);
        let contact = "Contact: <sip:p@peer.invalid>";
        for number in 0..MANY {
            let to = format!("<{BOB}>;epid=e{number}");
            world.say(it.line, &request("INVITE", BOB, &to, number, contact));
        }
        world.run_for(secs(1));
        let mut uris: BTreeMap<u32, String> = BTreeMap::new();
        for answer in world.heard(it.line) {
            if let Some((number, uri)) = contact_of(&answer) {
                uris.insert(number, uri);
            }
        }
        assert_eq!(uris.len(), all.len());
        let sessions = receivers(world, it.host);
        assert!(sessions.iter().zip(&all).all(|(id, endpoint)| *id == endpoint.id));
        // The one that is named by the Request-URI takes it, whoever is named elsewhere.
        for (number, uri) in &uris {
            let own = gruu(*number);
            assert_eq!(*uri == own, number.is_multiple_of(2), "{uri}");
            assert_eq!(uri.contains("ms-opaque="), !number.is_multiple_of(2), "{uri}");
            let to = format!("<{BOB}>;epid=e{}", (number + 1) % MANY);
            world.say(it.line, &request("MESSAGE", uri, &to, MANY + number, ""));
        }
        world.run_for(secs(5));
        let found = receivers(world, it.host).split_off(sessions.len());
        assert!(found == sessions, "{} of {}", found.len(), sessions.len());
    });
}

/// The number of the request that this 200 answers, and the URI of its Contact.
fn contact_of(answer: &Message) -> Option<(u32, String)> {
    let number = answer.call_id().ok()?.strip_prefix("call-")?.parse().ok()?;
    let contact = field(answer, HeaderName::Contact);
    let uri = contact.split_once('<')?.1.split_once('>')?.0;
    Uri::parse(uri).ok()?;
    Some((number, uri.to_owned()))
}

// rules: E2, M5
#[test]
fn a_request_in_a_dialog_finds_its_session_among_a_thousand_whatever_else_it_says() {
    world::run(3, |world| {
        let (it, _) = many(world);
        accept_calls(world, it.host);
        let contact = "Contact: <sip:p@peer.invalid>";
        for number in 0..MANY {
            let to = format!("<{BOB}>;epid=e{number}");
            world.say(it.line, &request("INVITE", BOB, &to, number, contact));
        }
        world.run_for(secs(1));
        let answers = world.heard(it.line);
        let mut tags: BTreeMap<u32, String> = BTreeMap::new();
        for answer in answers {
            if let Some((number, _)) = contact_of(&answer) {
                tags.insert(number, answer.to().unwrap().tag().unwrap().to_owned());
            }
        }
        let calls: Vec<_> = sessions(world, &it, |event| match event {
            Event::SessionReceived { session, .. } => Some(*session),
            _ => None,
        });
        for (number, tag) in tags.iter().rev() {
            // To names another device, and the Request-URI all of them.
            let to = format!("<{BOB}>;tag={tag};epid=e{}", (number + 1) % MANY);
            let ack = request("ACK", BOB, &to, *number, "");
            world.say(it.line, &ack.replace("branch=z9hG4bK", "branch=z9hG4bKa"));
            let info = request("INFO", BOB, &to, *number, "");
            let info = info.replace("branch=z9hG4bK", "branch=z9hG4bKi");
            world.say(it.line, &info.replace("CSeq: 1 INFO", "CSeq: 2 INFO"));
        }
        world.run_for(secs(5));
        let found: Vec<_> = sessions(world, &it, |event| match event {
            Event::SessionMessage { session, .. } => Some(*session),
            _ => None,
        });
        let expected: Vec<_> = calls.into_iter().rev().collect();
        assert_eq!(found.len(), expected.len());
        assert!(found == expected);
    });
}

fn sessions(
    world: &World,
    it: &Callee,
    of: impl Fn(&Event) -> Option<sansip::SessionId>,
) -> Vec<sansip::SessionId> {
    let events = world.events(it.host).iter();
    events.filter_map(|(_, event)| of(event)).collect()
}
