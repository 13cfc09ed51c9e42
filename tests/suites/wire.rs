//! The wire against the shared vectors: torture messages, examples of the RFCs, streams, malformed messages.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a suite, a panic is a failed test"
)]

#[path = "common/protos.rs"]
mod protos;

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use sansip::wire::check::{self, UserAgent, Verdict};
use sansip::wire::frame::{self, Frame, Framer, ScanEvent};
use sansip::wire::header::{self, Contact, Header, ListHeader, NameAddr, Via};
use sansip::wire::uri::{self, Uri};
use sansip::wire::{HeaderName, Message, MessageLimits, Method, StatusCode, rebuild};
use sansip_testkit::vectors;
use serde_json::{Value, json};

const CHUNKS: [usize; 7] = [1, 2, 3, 7, 64, 1000, usize::MAX];

/// The methods of a full user agent that is no registrar.
fn methods() -> [Method; 8] {
    [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Message,
        Method::Info,
        Method::Notify,
    ]
}

fn verdict(bytes: &[u8]) -> Verdict {
    let methods = methods();
    let agent = UserAgent {
        methods: &methods,
        options: &["timer", "100rel", "replaces"],
        content_types: &["application/sdp", "text/plain"],
    };
    check::verdict(bytes, &agent, &MessageLimits::default())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Deterministic chunk sizes from 1 to 199.
fn random_chunks(stream: &[u8], seed: u64) -> Vec<&[u8]> {
    let (mut rest, mut state, mut chunks) = (stream, seed, Vec::new());
    while !rest.is_empty() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let size = usize::try_from((state >> 33) % 199).unwrap() + 1;
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut framer = Framer::new(MessageLimits::default());
    let mut frames = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        frames.extend(std::iter::from_fn(|| framer.next()));
    }
    frames
}

// ---------------------------------------------------------------- values by the names that the manifests use

fn name_addr(address: &NameAddr<'_>, wanted: &Value) -> Value {
    let mut seen = json!({ "uri": address.uri.to_string() });
    if wanted.get("display").is_some() {
        seen["display"] = json!(address.display);
    }
    if wanted.get("params").is_some() {
        let params: serde_json::Map<_, _> = address
            .params
            .iter()
            .map(|param| {
                (
                    param.name.to_string(),
                    json!(param.value.map(|value| value.into_text())),
                )
            })
            .collect();
        seen["params"] = Value::Object(params);
    }
    seen
}

fn via(via: &Via<'_>, wanted: &Value) -> Value {
    let mut seen =
        json!({ "transport": via.transport, "host": via.host.to_string(), "branch": via.branch() });
    if let Some(port) = via.port {
        seen["port"] = json!(port);
    }
    if let Some(rport) = via.rport() {
        seen["rport"] = json!(rport);
    }
    if let Some(received) = via.received() {
        // Brackets around the address are not grammar but are found in the wild (RFC 5118 section 4.5).
        let bracketed = wanted
            .get("received")
            .is_some_and(|text| text.to_string().contains('['));
        seen["received"] = if bracketed {
            json!(format!("[{received}]"))
        } else {
            json!(received.to_string())
        };
    }
    seen
}

fn uri_part(uri: &Uri<'_>, part: &str) -> Value {
    let sip = uri.as_sip().expect("a SIP URI");
    match part {
        "user" => json!(sip.user),
        "password" => json!(sip.password),
        "host" => json!(sip.host.to_string().trim_matches(['[', ']'])),
        "port" => json!(sip.port),
        "params" => {
            let pairs = sip
                .params
                .iter()
                .map(|(name, value)| (name.to_owned(), json!(value)));
            Value::Object(pairs.collect())
        }
        "user_unescaped" => json!(sip.user_unescaped()),
        "user_unescaped_hex" => json!(hex(&sip.user_bytes().unwrap())),
        "param_unescaped" => {
            let plain = |text: &str| uri::unescape_str(text).unwrap().into_owned();
            let pairs = sip
                .params
                .iter()
                .map(|(name, value)| (plain(name), json!(value.map(plain))));
            Value::Object(pairs.collect())
        }
        _ => panic!("unknown part of a URI: {part}"),
    }
}

fn address(address: &NameAddr<'_>, tag: Option<&str>, part: &str) -> Value {
    match part {
        "uri" => json!(address.uri.to_string()),
        "tag" => json!(tag),
        "display" => json!(address.display),
        "display_bytes_hex" => json!(hex(address.display.as_ref().unwrap().as_bytes())),
        "uri_port" => uri_part(&address.uri, "port"),
        _ => uri_part(&address.uri, part),
    }
}

fn contacts(message: &Message) -> Vec<Contact<'_>> {
    message.list::<Contact<'_>>().map(Result::unwrap).collect()
}

fn listed<'a, H: ListHeader<'a> + 'a>(message: &'a Message) -> Vec<String> {
    message
        .list::<H>()
        .map(|value| header::to_string(&value.unwrap()))
        .collect()
}

fn raw(message: &Message, name: &str) -> Vec<String> {
    message
        .raw_by_name(name)
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

fn vias(message: &Message) -> Vec<Via<'_>> {
    message.list::<Via<'_>>().map(Result::unwrap).collect()
}

/// What the message has under the manifest's name `key`, in the manifest's form.
fn value(message: &Message, key: &str, wanted: &Value) -> Value {
    if let Some((field, part)) = key.split_once('.') {
        return match field {
            "ruri" => uri_part(&Uri::parse(message.request_uri()).unwrap(), part),
            "to" => address(&message.to().unwrap(), message.to().unwrap().tag(), part),
            "from" => address(&message.from_().unwrap(), message.from_().unwrap().tag(), part),
            "contact0" => uri_part(contacts(message)[0].uri().unwrap(), part),
            _ => panic!("unknown key {key}"),
        };
    }
    if let Some(name) = key.strip_prefix("hdr:") {
        return json!(raw(message, name)[0]);
    }
    if let Some(name) = key.strip_prefix("hdrs:") {
        return json!(raw(message, name));
    }
    match key {
        "method" => json!(message.method().unwrap().as_str()),
        "ruri" => json!(message.request_uri()),
        "status" => json!(message.status().unwrap().code()),
        "reason" => json!(std::str::from_utf8(message.reason()).unwrap()),
        "reason_hex" => json!(hex(message.reason())),
        "sip_version" => json!(message.version()),
        "cseq" => {
            let cseq = message.cseq().unwrap();
            json!([cseq.number, cseq.method.as_str()])
        }
        "call_id" => json!(message.call_id().unwrap()),
        "max_forwards" => json!(message.typed::<header::MaxForwards>().unwrap().unwrap().0),
        "content_length" => {
            json!(message.typed::<header::ContentLength>().unwrap().unwrap().0)
        }
        "subject" => json!(message.typed::<header::Subject<'_>>().unwrap().unwrap().as_str()),
        "content_type" => {
            json!(header::to_string(
                &message.typed::<header::ContentType<'_>>().unwrap().unwrap()
            ))
        }
        "via" => vias(message)
            .iter()
            .zip(items(wanted))
            .map(|(seen, wanted)| via(seen, wanted))
            .collect(),
        "via0" => via(&vias(message)[0], wanted),
        "via_last" => via(vias(message).last().unwrap(), wanted),
        "via_count" => json!(vias(message).len()),
        "via_header_lines" => json!(message.count(HeaderName::Via)),
        "contact" => {
            let contacts = contacts(message);
            assert_eq!(contacts.len(), items(wanted).len(), "number of contacts");
            let pairs = contacts.iter().zip(items(wanted));
            pairs
                .map(|(contact, wanted)| name_addr(contact.address().unwrap(), wanted))
                .collect()
        }
        "route" => {
            let routes = message
                .list::<header::Route<'_>>()
                .map(|route| route.unwrap().uri.to_string());
            routes.collect()
        }
        "record_route" => message
            .list::<header::RecordRoute<'_>>()
            .map(|route| route.unwrap().uri.to_string())
            .collect(),
        "accept" => json!(listed::<header::Accept<'_>>(message)),
        "require" => json!(listed::<header::Require<'_>>(message)),
        "proxy_require" => json!(listed::<header::ProxyRequire<'_>>(message)),
        "body_parts" => {
            let media = message.typed::<header::ContentType<'_>>().unwrap().unwrap();
            let delimiter = format!("--{}\r\n", media.params().get("boundary").unwrap());
            let body = message.body();
            json!(
                body.windows(delimiter.len())
                    .filter(|part| *part == delimiter.as_bytes())
                    .count()
            )
        }
        "body_len_datagram" => json!(message.body().len()),
        _ => panic!("unknown key {key}"),
    }
}

/// Compares one value of the manifest; counts it when there was something to compare with.
fn compare(file: &str, bytes: &[u8], judged: &Verdict, key: &str, wanted: &Value) -> usize {
    match key {
        "offending" | "missing" => {
            // These say where a strict parser stumbles; a lenient reading is not wrong where both are allowed.
            let Some(header) = judged.header.as_ref() else {
                assert!(judged.accepted, "{file}: refused without a place");
                return 0;
            };
            let named = items(wanted).iter().any(|wanted| text(wanted) == header);
            assert!(named, "{file}: {header} named, not one of {wanted}");
            if key == "missing" {
                let message = judged.message.as_ref().unwrap();
                assert!(
                    items(wanted)
                        .iter()
                        .all(|name| raw(message, text(name)).is_empty()),
                    "{file}"
                );
            }
        }
        "dup" => {
            let message = judged.message.as_ref().unwrap();
            assert!(
                items(wanted)
                    .iter()
                    .all(|name| raw(message, text(name)).len() > 1),
                "{file}"
            );
        }
        "actual_body" => {
            let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            assert_eq!(json!(bytes.len() - head), *wanted, "{file}");
        }
        _ => {
            let Some(message) = judged.message.as_ref() else {
                assert!(!judged.accepted, "{file}");
                return 0;
            };
            assert_eq!(value(message, key, wanted), *wanted, "{file}: {key}");
        }
    }
    1
}

/// The answers of a user agent by the manifest.
fn compare_answer(file: &str, judged: &Verdict, ua: &Value) {
    let code = judged.code.map(StatusCode::code);
    let codes: BTreeSet<u64> = ua.get("codes").map_or_else(BTreeSet::new, |codes| {
        items(codes).iter().map(|code| code.as_u64().unwrap()).collect()
    });
    match text(&ua["action"]) {
        "discard" => assert_eq!(code, None, "{file}: discarded in silence"),
        "respond" => {
            let code = code.unwrap_or_else(|| panic!("{file}: no answer"));
            assert!(
                codes.contains(&u64::from(code)),
                "{file}: {code}, not one of {codes:?}"
            );
        }
        "process" => assert!(
            judged.accepted && code.is_none_or(|code| code < 300)
                || code.is_some_and(|code| codes.contains(&code.into())),
            "{file}: {code:?} where it is to be processed"
        ),
        action => panic!("{file}: unknown action {action}"),
    }
}

fn compare_framing(file: &str, bytes: &[u8], framing: &Value) {
    assert_eq!(framing["size"], json!(bytes.len()), "{file}");
    let limits = MessageLimits::default();
    let whole = frame::scan(bytes, bytes.len(), &limits);
    for chunk in CHUNKS {
        assert_eq!(
            frame::scan(bytes, chunk, &limits),
            whole,
            "{file}: chunks of {chunk}"
        );
    }
    let first = whole.events.first().copied();
    match text(&framing["stream"]) {
        "complete" => {
            let len = usize::try_from(framing["stream_consumed"].as_u64().unwrap()).unwrap();
            assert_eq!(first, Some(ScanEvent::Message { offset: 0, len }), "{file}");
            let head = usize::try_from(framing["header_len"].as_u64().unwrap()).unwrap();
            if let Ok(message) = Message::parse(Bytes::copy_from_slice(&bytes[..len]), &limits) {
                assert_eq!(message.body(), &bytes[head..len], "{file}");
            }
        }
        "need_more" => assert_eq!((first, whole.incomplete), (None, Some(0)), "{file}"),
        "error_close" => assert!(
            matches!(first, Some(ScanEvent::Error { offset: 0, .. })),
            "{file}"
        ),
        end => panic!("{file}: unknown end of a stream {end}"),
    }
}

/// Runs one folder of torture messages; gives how many messages and values were compared.
fn torture(folder: &str) -> Option<(usize, usize)> {
    let manifest = vectors::json(&format!("{folder}/manifest.json"))?;
    let (mut messages, mut values) = (0, 0);
    for entry in items(&manifest["messages"]) {
        let file = text(&entry["file"]);
        let bytes = vectors::bytes(&format!("{folder}/{file}"))?;
        let expect = &entry["expect"];
        let judged = verdict(&bytes);
        match text(&expect["parse"]) {
            "accept" => assert!(judged.accepted, "{file}: refused, {:?}", judged.reason),
            "reject" => assert!(!judged.accepted, "{file}: accepted"),
            "either" => {}
            other => panic!("{file}: unknown expectation {other}"),
        }
        assert!(
            judged.accepted || judged.reason.is_some(),
            "{file}: refused without a reason"
        );
        compare_answer(file, &judged, &expect["ua"]);
        compare_framing(file, &bytes, &expect["framing"]);
        if let Some(keys) = expect.get("key").and_then(Value::as_object) {
            for (key, wanted) in keys {
                values += compare(file, &bytes, &judged, key, wanted);
            }
        }
        messages += 1;
    }
    Some((messages, values))
}

// rules: M6, C29
#[test]
fn rfc4475_torture_messages() {
    let Some((messages, values)) = torture("rfc4475") else {
        return;
    };
    assert_eq!(messages, 49);
    assert!(values > 200, "{values} values compared");
}

#[test]
fn rfc4475_variants() {
    let Some(bytes) = vectors::bytes("rfc4475/variants/archive_extra_test.dat") else {
        return;
    };
    let judged = verdict(&bytes);
    assert_eq!(
        (judged.accepted, judged.code),
        (false, Some(StatusCode::BAD_REQUEST))
    );
    let bytes = vectors::bytes("rfc4475/variants/baddn_terminated.dat").unwrap();
    let judged = verdict(&bytes);
    assert_eq!(
        (judged.code, judged.header.as_deref()),
        (Some(StatusCode::BAD_REQUEST), Some("From"))
    );
    let bytes = vectors::bytes("rfc4475/variants/trws_rfctext.dat").unwrap();
    assert_eq!(verdict(&bytes).header.as_deref(), Some("Request-Line"));
}

// What goes with an answer: RFC 3261 sections 8.2.1, 8.2.2.3 and 8.2.3.
#[test]
fn refusals_say_what_would_be_taken() {
    let methods = methods();
    let agent = UserAgent {
        methods: &methods,
        options: &[],
        content_types: &["application/sdp", "text/plain"],
    };
    let cases = [
        (
            "intmeth",
            HeaderName::Allow,
            "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, NOTIFY",
        ),
        (
            "bext01",
            HeaderName::Unsupported,
            "nothingSupportsThis, nothingSupportsThisEither",
        ),
        ("invut", HeaderName::Accept, "application/sdp, text/plain"),
    ];
    for (file, name, value) in cases {
        let Some(bytes) = vectors::bytes(&format!("rfc4475/{file}.dat")) else {
            return;
        };
        let message = Message::parse(Bytes::from(bytes), &MessageLimits::default()).unwrap();
        check::request(&message).unwrap();
        let refusal = check::support(&message, &agent).unwrap_err();
        assert_eq!(refusal.headers, [(name, value.to_owned())], "{file}");
    }
}

#[test]
fn rfc5118_ipv6_messages() {
    let Some((messages, values)) = torture("rfc5118") else {
        return;
    };
    assert_eq!(messages, 12);
    assert!(values > 40, "{values} values compared");
}

// As published, without carriage returns: LF alone ends no line (RFC 3261 section 7).
#[test]
fn rfc5118_without_carriage_returns_is_refused() {
    let Some(manifest) = vectors::json("rfc5118/manifest.json") else {
        return;
    };
    for entry in items(&manifest["messages"]) {
        let file = text(&entry["raw_file"]);
        let bytes = vectors::bytes(&format!("rfc5118/{file}")).unwrap();
        assert!(!verdict(&bytes).accepted, "{file}");
        let frames = frames(CHUNKS.iter().take(1).flat_map(|chunk| bytes.chunks(*chunk)));
        assert!(
            !frames.iter().any(|frame| matches!(frame, Frame::Message { .. })),
            "{file}"
        );
    }
}

// ---------------------------------------------------------------- round trips

fn same_values<'a, H: Header<'a> + PartialEq + std::fmt::Debug>(a: &'a Message, b: &'a Message) {
    assert_eq!(a.typed::<H>(), b.typed::<H>());
}

fn same_lists<'a, H: ListHeader<'a> + PartialEq + std::fmt::Debug + 'a>(a: &'a Message, b: &'a Message) {
    assert!(
        a.list::<H>().eq(b.list::<H>()),
        "{:?} and {:?}",
        a.raw(H::NAME),
        b.raw(H::NAME)
    );
}

macro_rules! same {
    ($a:ident $b:ident values: $($value:ident)*; lists: $($list:ident)*;) => {
        $(same_values::<header::$value<'_>>($a, $b);)*
        $(same_lists::<header::$list<'_>>($a, $b);)*
    };
}

/// Every typed value of one message is that of the other.
fn same(a: &Message, b: &Message) {
    assert_eq!(
        (a.method(), a.status(), a.reason(), a.body()),
        (b.method(), b.status(), b.reason(), b.body())
    );
    if a.is_request() {
        assert_eq!(
            Uri::parse(a.request_uri()).unwrap(),
            Uri::parse(b.request_uri()).unwrap()
        );
    }
    let names = |message: &Message| message.headers().map(|(known, ..)| known).collect::<Vec<_>>();
    assert_eq!(names(a), names(b));
    assert_eq!(a.cseq(), b.cseq());
    assert_eq!(a.call_id(), b.call_id());
    same_values::<header::MaxForwards>(a, b);
    same_values::<header::Expires>(a, b);
    same_values::<header::Date>(a, b);
    same_values::<header::RSeq>(a, b);
    same_values::<header::RAck>(a, b);
    same_lists::<header::Allow>(a, b);
    same! { a b
        values: From To ContentType ContentDisposition Event SubscriptionState ReferTo ReferredBy Replaces
            SessionExpires MinSe RetryAfter Subject UserAgent Server Privacy SipETag SipIfMatch;
        lists: Via Contact Route RecordRoute Path ServiceRoute Supported Require ProxyRequire Accept AllowEvents
            WwwAuthenticate ProxyAuthenticate Authorization ProxyAuthorization Warning Reason AlertInfo CallInfo;
    }
}

fn round_trip(file: &str, bytes: Vec<u8>) {
    let limits = MessageLimits::default();
    let message = Message::parse(Bytes::from(bytes), &limits).unwrap();
    let rebuilt = rebuild(&message).unwrap_or_else(|error| panic!("{file}: {error}"));
    let again = Message::parse(rebuilt.clone(), &limits).unwrap_or_else(|error| panic!("{file}: {error}"));
    same(&message, &again);
    assert_eq!(
        rebuild(&again).unwrap(),
        rebuilt,
        "{file}: written twice, differently"
    );
}

fn examples(folder: &str) -> Option<usize> {
    let manifest = vectors::json(&format!("{folder}/manifest.json"))?;
    let mut accepted = 0;
    let mut faults = Vec::new();
    for entry in items(&manifest["messages"]) {
        let file = text(&entry["file"]);
        let bytes = vectors::bytes(&format!("{folder}/{file}"))?;
        let judged = verdict(&bytes);
        if text(&entry["expect"]["parse"]) != "accept" {
            continue;
        }
        if judged.accepted {
            round_trip(file, bytes);
        } else {
            faults.push(format!("{file}: {:?}", judged.reason));
        }
        accepted += 1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Some(accepted)
}

#[test]
fn rfc_examples_are_accepted_and_written_back_equal() {
    let Some(accepted) = examples("rfc_examples") else {
        return;
    };
    assert!(accepted >= 500, "{accepted}");
}

#[test]
fn ocs_messages_are_accepted_and_written_back_equal() {
    let Some(accepted) = examples("ocs") else { return };
    assert!(accepted >= 20, "{accepted}");
}

#[test]
fn accepted_torture_messages_are_written_back_equal() {
    for folder in ["rfc4475", "rfc5118"] {
        let Some(manifest) = vectors::json(&format!("{folder}/manifest.json")) else {
            return;
        };
        for entry in items(&manifest["messages"]) {
            let file = text(&entry["file"]);
            // Their oversight is the point of these: what is no SIP is not rebuilt.
            if text(&entry["expect"]["parse"]) == "accept" {
                round_trip(file, vectors::bytes(&format!("{folder}/{file}")).unwrap());
            }
        }
    }
}

// ---------------------------------------------------------------- streams

fn expected_event(event: &Value) -> Option<ScanEvent> {
    let offset = event["offset"].as_u64().unwrap();
    let len = usize::try_from(event["len"].as_u64().unwrap()).unwrap();
    match text(&event["event"]) {
        "message" => Some(ScanEvent::Message { offset, len }),
        "ping" => Some(ScanEvent::Ping { offset }),
        "crlf" | "pong" => Some(ScanEvent::Crlf { offset }),
        "tail" => None,
        other => panic!("unknown event {other}"),
    }
}

/// Each keep-alive as its two line ends.
fn halves(events: &[ScanEvent]) -> Vec<ScanEvent> {
    let split = |event: &ScanEvent| match *event {
        ScanEvent::Ping { offset } => {
            vec![ScanEvent::Crlf { offset }, ScanEvent::Crlf { offset: offset + 2 }]
        }
        ScanEvent::Message { .. } | ScanEvent::Crlf { .. } | ScanEvent::Error { .. } => vec![*event],
    };
    events.iter().flat_map(split).collect()
}

// rules: C29
#[test]
fn streams_give_the_same_events_at_any_chunking() {
    let Some(manifest) = vectors::json("streams/manifest.json") else {
        return;
    };
    let limits = MessageLimits::default();
    let mut streams = 0;
    for entry in items(&manifest["streams"]) {
        let file = text(&entry["file"]);
        let stream = vectors::bytes(&format!("streams/{file}")).unwrap();
        let whole = frame::scan(&stream, stream.len(), &limits);
        let expected: Vec<ScanEvent> = items(&entry["events"])
            .iter()
            .filter_map(expected_event)
            .collect();
        let tail = items(&entry["events"])
            .iter()
            .find(|event| text(&event["event"]) == "tail");
        let tail = tail.map(|event| event["offset"].as_u64().unwrap());
        let (events, error) = match whole.events.split_last() {
            Some((ScanEvent::Error { offset, .. }, before)) => (before, Some(*offset)),
            _ => (whole.events.as_slice(), None),
        };
        if entry["note"]
            .as_str()
            .is_some_and(|note| note.contains("pairs may be reported as ping"))
        {
            assert_eq!(halves(events), halves(&expected), "{file}");
        } else {
            assert_eq!(events, expected, "{file}");
        }
        match text(&entry["end"]) {
            "clean" => assert_eq!((error, whole.incomplete), (None, None), "{file}"),
            "need_more" => assert_eq!((error, whole.incomplete), (None, tail), "{file}"),
            "error_close" => assert_eq!((error, whole.incomplete), (tail, None), "{file}"),
            end => panic!("{file}: unknown end {end}"),
        }
        for chunk in CHUNKS {
            assert_eq!(
                frame::scan(&stream, chunk, &limits),
                whole,
                "{file}: chunks of {chunk}"
            );
        }
        let reference = frames([stream.as_slice()]);
        for seed in 0..20 {
            assert_eq!(
                frames(random_chunks(&stream, seed)),
                reference,
                "{file}: random chunks, seed {seed}"
            );
        }
        streams += 1;
    }
    assert_eq!(streams, 27);
}

// ---------------------------------------------------------------- malformed messages

// rules: M6
#[test]
fn malformed_messages_are_judged_without_harm() {
    let Some(folder) = vectors::path("protos_like") else {
        return;
    };
    let Some(records) = protos::generated(&folder) else {
        return;
    };
    let index = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
    let (mut good, mut bad) = (0, 0);
    for (line, bytes) in index.lines().zip(&records) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (what, oracle) = (
            format!("{} {} {} {}", columns[0], columns[1], columns[2], columns[3]),
            columns[6],
        );
        assert_eq!(
            columns[4],
            bytes.len().to_string(),
            "{what}: not the record of the index"
        );
        let judged = verdict(bytes);
        match oracle {
            "ok" => {
                assert_eq!(
                    (judged.accepted, judged.code),
                    (true, Some(StatusCode::OK)),
                    "{what}: {:?}",
                    judged.reason
                );
                good += 1;
            }
            "bad" => {
                assert_eq!(
                    (judged.accepted, judged.code),
                    (false, Some(StatusCode::BAD_REQUEST)),
                    "{what}"
                );
                bad += 1;
            }
            "any" => {}
            other => panic!("unknown oracle {other}"),
        }
        if let Some(message) = judged.message.filter(|_| judged.accepted) {
            let rebuilt = rebuild(&message);
            let again = rebuilt.map(|bytes| Message::parse(bytes, &MessageLimits::default()));
            assert!(
                !matches!(again, Ok(Err(_))),
                "{what}: rebuilt into something else"
            );
        }
        assert_eq!(frames(bytes.chunks(97)), frames([bytes.as_slice()]), "{what}");
    }
    assert_eq!(records.len(), index.lines().count());
    assert!(good > 30 && bad > 10, "{good} good, {bad} bad");
}

proptest! {
    #[test]
    fn no_bytes_harm_the_wire(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let judged = verdict(&bytes);
        prop_assert!(judged.accepted || judged.reason.is_some());
        frames(bytes.chunks(13));
    }

    /// One changed byte in a good message: judged without harm, and whatever is accepted can be written back.
    #[test]
    fn one_changed_byte_does_no_harm(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\nVia: SIP/2.0/TCP pc33.example.com:5060;branch=z9hG4bKnashds8;rport\r\n\
            Max-Forwards: 70\r\nTo: \"Bob\" <sip:bob@biloxi.example.com;user=phone>\r\nFrom: Alice <sip:alice@example.com>;tag=1928301774\r\n\
            Call-ID: a84b4c76e66710@pc33.example.com\r\nCSeq: 314159 INVITE\r\nContact: <sip:alice@pc33.example.com>;q=0.5\r\n\
            Supported: timer, 100rel\r\nContent-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n".to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let judged = verdict(&bytes);
        if let (true, Some(message)) = (judged.accepted, &judged.message)
            && let Ok(rebuilt) = rebuild(message)
        {
            let again = Message::parse(rebuilt, &MessageLimits::default()).unwrap();
            same(message, &again);
        }
    }
}
