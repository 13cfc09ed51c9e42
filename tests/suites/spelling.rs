//! However a peer spells its messages (RFC 3261 sections 7 and 19.1.1), a call and a registration come about; and what is
//! no SIP does them no harm. The ledger of conformance (`tests/ledger.tsv`) names the tests of this suite.

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
    PeerToPeerConfig, RegistrationState, SendOptions, SessionReason as Reason, SessionState as State,
};
use sansip_testkit::world::{self, LineId, PeerId, World};

use common::stage::{
    BOB, CAROL, Call, Side, answer, call, command, connected, last, offered, received, taken, terminate,
};
use common::{bound, callee, callee_with, caller, codes, field, next_line, next_request, scripted_server};
use common::{request, sdp, secs, wire};

const SOON: Duration = Duration::from_millis(20);

/// How the whole of a message is written: a name, and what makes it of the usual one.
type Layout = (&'static str, fn(&str) -> String);

/// Its start line, its fields, and what follows the empty line.
fn parts(text: &str) -> (&str, Vec<(&str, &str)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap();
    (
        start,
        lines.map(|line| line.split_once(": ").unwrap()).collect(),
        body,
    )
}

/// The message with its fields written by `write`, without their line ends.
fn with_fields(text: &str, write: impl Fn(&str, &str) -> String) -> String {
    let (start, fields, body) = parts(text);
    let lines: String = fields
        .iter()
        .map(|(name, value)| write(name, value) + "\r\n")
        .collect();
    format!("{start}\r\n{lines}\r\n{body}")
}

/// The message with these lines after its start line.
fn with_lines(text: &str, lines: &str) -> String {
    text.replacen("\r\n", &format!("\r\n{lines}\r\n"), 1)
}

const LAYOUTS: [Layout; 10] = [
    ("as usual", str::to_owned),
    ("the fields in another order", |text| {
        let (start, fields, body) = parts(text);
        let lines = fields.iter().rev();
        let lines: String = lines
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("{start}\r\n{lines}\r\n{body}")
    }),
    ("folded, with blanks at every place", |text| {
        with_fields(text, |name, value| match name {
            // What looks on beside the stack cuts the stream by plain lines.
            "Content-Length" => format!("{name} \t: {value}"),
            _ => format!("{name} \t:\r\n \t {value}  "),
        })
    }),
    ("a list on several lines", |text| {
        with_fields(text, |name, value| match name {
            "Record-Route" => value
                .split(", ")
                .map(|one| format!("Record-Route: {one}"))
                .collect::<Vec<_>>()
                .join("\r\n"),
            _ => format!("{name}: {value}"),
        })
    }),
    ("names in capitals", |text| {
        with_fields(text, |name, value| format!("{}: {value}", name.to_uppercase()))
    }),
    ("names in small letters", |text| {
        with_fields(text, |name, value| format!("{}:{value}", name.to_lowercase()))
    }),
    ("compact names", |text| {
        with_fields(text, |name, value| {
            let name = match name {
                "Via" => "v",
                "From" => "f",
                "To" => "t",
                "Call-ID" => "i",
                "Contact" => "m",
                "Content-Type" => "c",
                "Content-Length" => "l",
                other => other,
            };
            format!("{name}: {value}")
        })
    }),
    ("fields that nobody knows", |text| {
        with_lines(text, "X-Nobody: knows;this=\"one\", or <that>\r\nNew: \u{e9}")
    }),
    ("parameters in another order and case", |text| {
        text.replace(";tag=", ";other=\"a;tag=b\";TAG=")
            .replace(";branch=", ";new;BRANCH=")
    }),
    ("line ends before it", |text| format!("\r\n\r\n\r\n\r\n{text}")),
];

/// A field of this message that has no place in it.
const OUT_OF_PLACE_IN_RESPONSE: Layout = ("fields of requests", |text| {
    with_lines(
        text,
        "Max-Forwards: 70\r\nRoute: <sip:elsewhere.invalid;lr>\r\nProxy-Require: x\r\nSubject: a response",
    )
});
const OUT_OF_PLACE_IN_REQUEST: Layout = ("fields of responses", |text| {
    with_lines(
        text,
        "Retry-After: 5\r\nUnsupported: x\r\nMin-Expires: 60\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"",
    )
});

/// How the start line of a success may read.
const SUCCESSES: [&str; 5] = [
    "200 OK",
    "200 ",
    "200 \u{421}\u{43e} = \"?\" <;>",
    "202 %41",
    "299 Odd",
];

/// URIs with every part that there can be, of a user agent at 10.3.0.1.
const GOOD: [&str; 7] = [
    "sip:carol:secret@10.3.0.1:5060;transport=tcp;user=ip;ttl=15",
    "sip:carol@10.3.0.1;unknown;nobody=knows",
    "sip:%63arol%20%40home&=+$,;?/@10.3.0.1",
    "sip:carol@[2001:db8::10]:5060",
    "sip:10.3.0.1;transport=tcp;maddr=10.3.0.1;lr",
    "sip:carol@10.3.0.1;method=INVITE",
    "sip:+1-212-555-1212:1234@10.3.0.1;user=phone",
];

/// What is no URI, by what is wrong with it.
const BAD: [(&str, &str); 7] = [
    ("the scheme", "carol@10.3.0.1"),
    ("the host", "sip:carol@"),
    ("the port", "sip:carol@10.3.0.1:50x0"),
    ("the user", "sip:car ol@10.3.0.1"),
    ("a parameter", "sip:carol@10.3.0.1;="),
    ("a header", "sip:carol@10.3.0.1?=x"),
    ("an IPv6 reference", "sip:carol@[2001:db8::10"),
];

/// An answer as it goes over the wire; its status line is not trimmed.
fn answered(request: &Message, status: &str, tag: &str, more: &str) -> String {
    let text = String::from_utf8(wire(&answer(request, "200", tag, more))).unwrap();
    text.replacen(" 200\r\n", &format!(" {status}\r\n"), 1)
}

/// The peer says this; line ends before a message go out on their own, as keep-alives do.
fn say(world: &mut World, line: LineId, text: &str) {
    let (before, message) = text.split_at(text.len() - text.trim_start().len());
    for bytes in [before, message] {
        world.say_bytes(line, bytes.as_bytes());
    }
}

/// Whether the application has been told so of the caller's session.
fn is_connected(world: &World, call: &Call) -> bool {
    last(world, call.host, call.session) == Some((State::Connected, Reason::None))
}

/// The 2xx of a scripted peer that the two proxies have recorded themselves in.
fn success(call: &Call, status: &str, contact: &str) -> String {
    let more = format!(
        "Contact: <{contact}>\nRecord-Route: <sip:p2.invalid;lr>, <sip:p1.invalid;lr>\nContent-Type: application/sdp\n\nv=0\n"
    );
    answered(&call.invite, status, "t", &more)
}

/// The 2xx arrives as it is, is acknowledged by its dialog, and the call is connected.
fn assert_taken(world: &mut World, call: &Call, text: &str, contact: &str, what: &str) {
    say(world, call.line, text);
    world.run_for(SOON);
    let heard = world.heard(call.line);
    let [ack] = heard.as_slice() else {
        panic!("{what}: {heard:?}")
    };
    assert_eq!(
        (ack.method(), ack.request_uri()),
        (Some(&Method::Ack), contact),
        "{what}"
    );
    let routes: Vec<&[u8]> = ack.raw_all(HeaderName::Route).collect();
    let expected: [&[u8]; 2] = [b"<sip:p1.invalid;lr>", b"<sip:p2.invalid;lr>"];
    assert_eq!(routes, expected, "{what}");
    assert_eq!(ack.to().unwrap().tag(), Some("t"), "{what}");
    world.result(call.host, call.made).unwrap();
    assert!(is_connected(world, call), "{what}");
}

const CAROL_AT: &str = "sip:carol@10.3.0.1:5060;transport=tcp";

// RFC 3261 sections 7.2 to 7.5
// rules: S3, S4
#[test]
fn a_caller_understands_a_2xx_however_it_is_laid_out() {
    for (what, layout) in LAYOUTS.into_iter().chain([OUT_OF_PLACE_IN_RESPONSE]) {
        world::run(1, |world| {
            let caller = caller(world);
            let call = call(world, &caller, Some(sdp()));
            let text = layout(&success(&call, "200 OK", CAROL_AT));
            assert_taken(world, &call, &text, CAROL_AT, what);
        });
    }
    for status in SUCCESSES {
        world::run(2, |world| {
            let caller = caller(world);
            let call = call(world, &caller, Some(sdp()));
            let text = success(&call, status, CAROL_AT);
            assert_taken(world, &call, &text, CAROL_AT, status);
        });
    }
}

// RFC 3261 section 19.1.1
// rules: S4
#[test]
fn a_caller_takes_any_uri_for_a_target_and_none_that_is_no_uri() {
    for contact in GOOD {
        world::run(3, |world| {
            let caller = caller(world);
            let call = call(world, &caller, Some(sdp()));
            let text = success(&call, "200 OK", contact);
            // Table 1 of section 19.1.1: no `method` in a Request-URI.
            let target = contact.strip_suffix(";method=INVITE").unwrap_or(contact);
            assert_taken(world, &call, &text, target, contact);
        });
    }
    for (what, contact) in BAD {
        world::run(4, |world| {
            let caller = caller(world);
            let call = call(world, &caller, Some(sdp()));
            world.say(
                call.line,
                &answer(&call.invite, "180 Ringing", "t", &format!("Contact: <{contact}>")),
            );
            world.run_for(SOON);
            assert_eq!(world.heard(call.line), [], "{what}");
            assert_eq!(world.ended(call.host, call.made), None, "{what}");
            let text = success(&call, "200 OK", CAROL_AT);
            assert_taken(world, &call, &text, CAROL_AT, what);
        });
    }
}

// RFC 3261 sections 8.1.3.2 and 17.1.1.2
// rules: S1
#[test]
fn an_unknown_code_counts_as_the_first_of_its_class() {
    world::run(5, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        for code in ["188 Odd", "183 Session Progress", "101 Odd", "180 Ringing"] {
            call.say(world, code, "t", "");
            let alerted = (State::Alerted, Reason::ProvisionalResponseReceived);
            assert_eq!(last(world, call.host, call.session), Some(alerted), "{code}");
        }
        // It is provisional in all: a CANCEL may go out.
        terminate(world, call.host, call.session);
        next_request(world, call.line, &Method::Cancel);
    });
    for ringing in [false, true] {
        // As 300, 400, 500 and 600 are told (S1).
        for (code, reason) in [
            ("399 Odd", Reason::Unreachable),
            ("499 Odd", Reason::NotAcceptable),
            ("599 Odd", Reason::Unreachable),
            ("699 Odd", Reason::Busy),
        ] {
            world::run(6, |world| {
                let caller = caller(world);
                let call = call(world, &caller, Some(sdp()));
                if ringing {
                    call.say(world, "180 Ringing", "t", "");
                }
                call.say(world, code, "t", "");
                let ack = next_request(world, call.line, &Method::Ack);
                assert_eq!(field(&ack, HeaderName::Via), field(&call.invite, HeaderName::Via));
                assert_eq!(
                    last(world, call.host, call.session),
                    Some((State::Disconnected, reason)),
                    "{code}"
                );
            });
        }
    }
}

// RFC 3261 section 12.1.2: a peer of RFC 2543 has no tag.
// rules: S4
#[test]
fn a_2xx_without_a_tag_is_acknowledged_without_one() {
    world::run(7, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "200 OK", "", "Content-Type: application/sdp\n\nv=0\n");
        let ack = next_request(world, call.line, &Method::Ack);
        for name in [HeaderName::To, HeaderName::From, HeaderName::CallId] {
            assert_eq!(field(&ack, name), field(&call.invite, name));
        }
        assert_eq!(
            (ack.cseq().unwrap().number, ack.to().unwrap().tag()),
            (call.invite.cseq().unwrap().number, None)
        );
        assert!(is_connected(world, &call));
    });
}

/// The INVITE of a scripted peer, as it goes over the wire.
fn invite(uri: &str, contact: &str) -> String {
    let more = format!(
        "Contact: <{contact}>
        Record-Route: <sip:p2.invalid;lr>, <sip:p1.invalid;lr>
        Content-Type: application/sdp"
    );
    let text = request("INVITE", uri, "<sip:bob@two.invalid>", 1, &more);
    String::from_utf8(wire(&format!("{}\n\nv=0\n", text.trim_end()))).unwrap()
}

/// The INVITE is offered to the application, and its 2xx goes back; then the callee's BYE goes where it says.
fn assert_offered(text: &str, contact: &str, what: &str) {
    world::run(8, |world| {
        let it = callee(world);
        say(world, it.line, text);
        world.run_for(SOON);
        let offers = received(world, it.host);
        assert_eq!(offers.len(), 1, "{what}: {:?}", world.heard(it.line));
        command(world, it.host, offers[0], |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(SOON);
        let success = world.heard(it.line).pop().unwrap();
        assert_eq!(success.status(), Some(StatusCode::OK), "{what}");
        assert_eq!(success.from_().unwrap().tag(), Some("p1"), "{what}");
        assert_eq!(success.call_id().unwrap(), "call-1", "{what}");
        Side::caller(it.line, &success).say(world, "ACK", "");
        assert_eq!(
            last(world, it.host, offers[0]),
            Some((State::Connected, Reason::None)),
            "{what}"
        );
        terminate(world, it.host, offers[0]);
        let bye = next_request(world, it.line, &Method::Bye);
        assert_eq!(bye.request_uri(), contact, "{what}");
        let routes: Vec<&[u8]> = bye.raw_all(HeaderName::Route).collect();
        let expected: [&[u8]; 2] = [b"<sip:p2.invalid;lr>", b"<sip:p1.invalid;lr>"];
        assert_eq!(routes, expected, "{what}");
    });
}

// RFC 3261 sections 7.3 to 7.5 and 18.1.1
// rules: M6, S4
#[test]
fn a_callee_understands_an_invite_however_it_is_laid_out() {
    for (what, layout) in LAYOUTS.into_iter().chain([OUT_OF_PLACE_IN_REQUEST]) {
        assert_offered(&layout(&invite(BOB, CAROL_AT)), CAROL_AT, what);
    }
    let large = "a=x\r\n".repeat(12_000);
    let text = invite(BOB, CAROL_AT).replace(
        "Content-Length: 4",
        &format!("Content-Length: {}", 4 + large.len()),
    );
    assert_offered(&(text + &large), CAROL_AT, "60 kB");
}

// RFC 3261 section 19.1.1
// rules: M5, S4
#[test]
fn a_callee_takes_any_uri_and_refuses_what_is_none() {
    for contact in GOOD {
        let target = contact.strip_suffix(";method=INVITE").unwrap_or(contact);
        assert_offered(&invite(BOB, contact), target, contact);
        let uri = contact
            .replace("10.3.0.1", "two.invalid")
            .replace("[2001:db8::10]", "two.invalid");
        assert_offered(&invite(&uri, CAROL_AT), CAROL_AT, &uri);
    }
    for uri in BAD
        .map(|(_, uri)| uri)
        .into_iter()
        .chain(["sip:bob@two.invalid?Subject=x"])
    {
        world::run(9, |world| {
            let it = callee(world);
            world.say_bytes(it.line, invite(uri, CAROL_AT).as_bytes());
            world.run_for(SOON);
            assert_eq!(codes(world, it.line), [400], "{uri}");
            assert_eq!(received(world, it.host), [], "{uri}");
        });
    }
}

// RFC 3261 section 12.1.1: a peer of RFC 2543 has no tag.
// rules: S4
#[test]
fn an_invite_without_a_tag_is_answered_without_one() {
    world::run(10, |world| {
        let it = callee(world);
        world.say_bytes(it.line, invite(BOB, CAROL_AT).replace(";tag=p1", "").as_bytes());
        world.run_for(SOON);
        let session = received(world, it.host)[0];
        command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
        world.run_for(SOON);
        let success = world.heard(it.line).pop().unwrap();
        assert_eq!(field(&success, HeaderName::From), "<sip:p@peer.invalid>");
        assert!(success.to().unwrap().tag().is_some());
        Side::caller(it.line, &success).say(world, "ACK", "");
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
    });
}

// RFC 3261 section 8.2.2.3: neither Require nor Proxy-Require may stand in an ACK or a CANCEL, and they are ignored there.
// rules: S10, M6
#[test]
fn an_ack_and_a_cancel_are_taken_whatever_they_require() {
    for more in ["Require: nobody-has-it", "Proxy-Require: nobody-has-it"] {
        world::run(11, |world| {
            let it = callee(world);
            let session = offered(world, &it, 1, "");
            world.heard(it.line);
            world.say(it.line, &request("CANCEL", BOB, "<sip:bob@two.invalid>", 1, more));
            world.run_for(SOON);
            let heard = world.heard(it.line);
            let statuses: Vec<u16> = heard
                .iter()
                .filter_map(Message::status)
                .map(StatusCode::code)
                .collect();
            assert_eq!(statuses, [200, 487], "{more}");
            assert_eq!(
                last(world, it.host, session),
                Some((State::Disconnected, Reason::Canceled))
            );
            let transactions =
                |world: &mut World| world.with(it.host, |stack, _| stack.census().transactions);
            assert_eq!(transactions(world), 1, "the 487 waits for its ACK");
            let ack = request("ACK", BOB, &field(&heard[1], HeaderName::To), 1, more);
            world.say(it.line, &ack);
            world.run_for(SOON);
            assert_eq!(world.heard(it.line), [], "{more}");
            assert_eq!(transactions(world), 0, "{more}");
        });
    }
}

// RFC 3261 sections 9.1 and 9.2
// rules: S10
#[test]
fn what_matches_nothing_does_not_disturb_a_call() {
    world::run(12, |world| {
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "180 Ringing", "t", "");
        // Of a CANCEL that was never sent, and of another INVITE.
        for (old, new) in [("1 INVITE", "1 CANCEL"), ("z9hG4bK", "z9hG4bKx")] {
            let stray = answer(&call.invite, "487 Request Terminated", "t", "").replace(old, new);
            world.say(call.line, &stray);
            world.run_for(SOON);
            assert_eq!(world.heard(call.line), [], "{new}");
            assert_eq!(world.ended(call.host, call.made), None, "{new}");
        }
        let text = success(&call, "200 OK", CAROL_AT);
        assert_taken(world, &call, &text, CAROL_AT, "after the strays");
    });
    world::run(13, |world| {
        let it = callee(world);
        let (session, _) = taken(world, &it, 1);
        world.say(it.line, &request("CANCEL", BOB, "<sip:bob@two.invalid>", 2, ""));
        world.run_for(SOON);
        assert_eq!(codes(world, it.line), [481]);
        assert_eq!(
            last(world, it.host, session),
            Some((State::Connected, Reason::None))
        );
    });
}

// RFC 3261 section 11.2
// rules: M2
#[test]
fn an_options_beside_a_call_leaves_it_alone_either_way() {
    world::run(14, |world| {
        let caller = caller(world);
        let (call, _) = connected(world, &caller);
        for status in ["200 OK", "404 Not Found", "481 Call/Transaction Does Not Exist"] {
            let asked = world.with(call.host, |stack, now| {
                let mut alice = stack.endpoint(now, caller.alice.id).unwrap();
                let options = SendOptions::default();
                alice.send_message(CAROL, Method::Options, None, options).unwrap()
            });
            let (line, options) = next_options(world, caller.peer);
            // RFC 3261 section 8.1.1
            assert_ne!(options.call_id().unwrap(), call.invite.call_id().unwrap());
            assert!(options.from_().unwrap().tag().is_some());
            assert_eq!(field(&options, HeaderName::To), "<sip:carol@peer.invalid>");
            assert_eq!(options.cseq().unwrap().method, Method::Options);
            assert_eq!(field(&options, HeaderName::MaxForwards), "70");
            let branch = options.via_top().unwrap().branch().unwrap().to_owned();
            assert!(branch.starts_with("z9hG4bK"), "{branch}");
            world.say(line, &answer(&options, status, "o", ""));
            assert_eq!(
                world.result(call.host, asked).is_ok(),
                status.starts_with('2'),
                "{status}"
            );
            assert!(is_connected(world, &call), "{status}");
        }
    });
}

/// The next OPTIONS, over whichever line of the peer's it comes.
fn next_options(world: &mut World, peer: PeerId) -> (LineId, Message) {
    for _ in 0..1000 {
        for line in world.lines(peer) {
            let mut heard = world.heard(line).into_iter();
            if let Some(found) = heard.find(|message| message.method() == Some(&Method::Options)) {
                return (line, found);
            }
        }
        world.run_for(Duration::from_millis(10));
    }
    panic!("no OPTIONS has come")
}

// RFC 3261 section 8.2.6
// rules: M6
#[test]
fn a_response_repeats_what_it_answers() {
    world::run(15, |world| {
        let it = callee_with(world, PeerToPeerConfig::new(BOB));
        for (number, method) in [(1, "OPTIONS"), (2, "MESSAGE")] {
            let more = "Via: SIP/2.0/TCP second.invalid;branch=z9hG4bKsecond\nVia: SIP/2.0/UDP third.invalid";
            let text = request(method, BOB, "Bob <sip:bob@two.invalid>", number, more);
            world.say(it.line, &text);
            world.run_for(secs(1));
            let response = world.heard(it.line).pop().unwrap();
            assert_eq!(response.status(), Some(StatusCode::OK));
            let vias: Vec<String> = response
                .raw_all(HeaderName::Via)
                .map(|via| String::from_utf8_lossy(via).into_owned())
                .collect();
            assert_eq!(vias.len(), 3);
            assert!(vias[0].starts_with(&format!("SIP/2.0/TCP peer.invalid;branch=z9hG4bK{number}")));
            assert_eq!(vias[1], "SIP/2.0/TCP second.invalid;branch=z9hG4bKsecond");
            assert_eq!(vias[2], "SIP/2.0/UDP third.invalid");
            assert_eq!(
                field(&response, HeaderName::From),
                format!("<sip:p@peer.invalid>;tag=p{number}")
            );
            assert_eq!(field(&response, HeaderName::CallId), format!("call-{number}"));
            assert_eq!(field(&response, HeaderName::CSeq), format!("1 {method}"));
            let to = field(&response, HeaderName::To);
            assert!(to.starts_with("Bob <sip:bob@two.invalid>;tag="), "{to}");
        }
    });
}

/// The answer to a first REGISTER, and that the endpoint is registered with it.
fn assert_registers(write: impl Fn(&Message) -> String, what: &str) {
    world::run(16, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        say(world, line, &write(&register));
        world
            .result(alice.host, operation)
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let state = world.with(alice.host, |stack, now| {
            stack.endpoint(now, alice.id).unwrap().registration_state()
        });
        assert_eq!(state, Some(RegistrationState::Registered), "{what}");
    });
}

/// The success that a registrar answers, with another contact of the user before ours.
fn registered_with(register: &Message, status: &str, other: &str) -> String {
    let more = format!("Contact: <{other}>;expires=30\n{}", bound(register, 700));
    answered(register, status, "s", &more)
}

// RFC 3261 sections 7.2 to 7.5, 10.2.4 and 19.1.1
// rules: R21
#[test]
fn a_registration_comes_about_however_its_answer_is_written() {
    for (what, layout) in LAYOUTS.into_iter().chain([OUT_OF_PLACE_IN_RESPONSE]) {
        assert_registers(
            |register| layout(&registered_with(register, "200 OK", CAROL_AT)),
            what,
        );
    }
    for status in SUCCESSES {
        assert_registers(|register| registered_with(register, status, CAROL_AT), status);
    }
    for other in GOOD.into_iter().chain(BAD.map(|(_, uri)| uri)) {
        assert_registers(|register| registered_with(register, "200 OK", other), other);
    }
}

// rules: M6, S5
#[test]
fn a_body_is_taken_for_what_its_disposition_says() {
    let bob = || {
        let mut config = PeerToPeerConfig::new(BOB);
        config.profile.content_types = vec!["application/sdp".into()];
        config
    };
    let body = |kind: &str, disposition: &str| {
        let disposition = match disposition {
            "" => String::new(),
            value => format!("Content-Disposition: {value}\n"),
        };
        format!("{disposition}Content-Type: {kind}\n\nv=1\n")
    };
    // RFC 3261 sections 8.2.3 and 20.11: what is not understood is refused, unless it may be ignored. What is for anything
    // but the session is no offer: the 2xx has to make one, which the ACK answers.
    for (kind, disposition, outcome) in [
        ("application/sdp", "", Ok((true, "v=1\n"))),
        ("application/sdp", "Session", Ok((true, "v=1\n"))),
        (
            "application/sdp",
            "session;handling=optional",
            Ok((true, "v=1\n")),
        ),
        ("application/sdp", "render", Ok((false, "v=1\n"))),
        ("application/sdp", "icon;handling=optional", Ok((false, "v=1\n"))),
        ("image/gif", "icon;handling=optional", Ok((false, ""))),
        ("image/gif", "session;handling=Optional", Ok((false, ""))),
        ("image/gif", "session;handling=required", Err(415)),
        ("image/gif", "render", Err(415)),
        ("image/gif", "", Err(415)),
        ("image/gif", "not one", Err(415)),
    ] {
        world::run(60, |world| {
            let it = callee_with(world, bob());
            let more = format!(
                "Contact: <sip:p@{};transport=tcp>\n{}",
                world.ip(it.peer),
                body(kind, disposition)
            );
            world.say(
                it.line,
                &request("INVITE", BOB, "<sip:bob@two.invalid>", 1, &more),
            );
            world.run_for(SOON);
            let (offers, left) = match outcome {
                Err(code) => {
                    assert_eq!(codes(world, it.line), [code], "{kind}, {disposition}");
                    assert_eq!(received(world, it.host), []);
                    return;
                }
                Ok(outcome) => outcome,
            };
            let session = *received(world, it.host).last().unwrap();
            let seen = world.events(it.host).iter().find_map(|(_, event)| match event {
                sansip::Event::SessionReceived { message, .. } => Some(message.body()),
                _ => None,
            });
            assert_eq!(
                seen.unwrap(),
                left,
                "{kind}, {disposition}: the application sees it"
            );
            command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
            world.run_for(SOON);
            let success = world.heard(it.line).pop().unwrap();
            let mut side = Side::caller(it.line, &success);
            side.say(world, "ACK", &body("application/sdp", ""));
            let answers = world.events(it.host).iter();
            let answers = answers.filter(|(_, event)| matches!(event, sansip::Event::AnswerReceived { .. }));
            assert_eq!(answers.count(), usize::from(!offers), "{kind}, {disposition}");
        });
    }
    // The same of a request of another kind, and of a response.
    world::run(61, |world| {
        let it = callee_with(world, bob());
        for (number, disposition, code) in [(1, "render;handling=optional", 200), (2, "render", 415)] {
            let text = request(
                "MESSAGE",
                BOB,
                "<sip:bob@two.invalid>",
                number,
                &body("text/html", disposition),
            );
            world.say(it.line, &text);
            world.run_for(SOON);
            assert_eq!(codes(world, it.line), [code], "{disposition}");
        }
        let caller = caller(world);
        let call = call(world, &caller, Some(sdp()));
        call.say(world, "200 OK", "t", &body("application/sdp", "render"));
        let answered = |(_, event): &(sansip::Time, sansip::Event)| {
            matches!(event, sansip::Event::AnswerReceived { .. })
        };
        assert!(
            !world.events(call.host).iter().any(answered),
            "it is for the user"
        );
    });
}
