//! `sansip inspect`, from the outside.
use crate::common::{sansip, sansip_with};
use serde_json::{Value, json};

/// A request with every field that is shown.
const INVITE: &str = "INVITE sip:bob@example.com;transport=tcp SIP/2.0\r\n\
    Via: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKa, SIP/2.0/TCP h.example.com;branch=z9hG4bKb\r\n\
    v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKc\r\n\
    From: \"Alice \\\"A\\\"\" <sip:alice@example.com>;tag=1\r\n\
    To: <sip:bob@example.com>\r\n\
    Call-ID: one@example.com\r\n\
    CSeq: 7 INVITE\r\n\
    Contact: <sip:alice@192.0.2.1:5070>;q=0.5;flag\r\n\
    Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>\r\n\
    Record-Route: <sip:r.example.com;lr>\r\n\
    Max-Forwards: 70\r\n\
    Expires: 180\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n";

/// No field that is not as usual.
const USUAL: (&str, &str) = ("Max-Forwards", "70");

/// A message with this start line and the fields that every one has, but for one field; an empty value leaves it out.
fn request(line: &str, (name, value): (&str, &str)) -> String {
    let mut fields = vec![
        ("Via", "SIP/2.0/TCP h.example.com;branch=z9hG4bKa"),
        ("From", "<sip:a@example.com>;tag=1"),
        ("To", "<sip:b@example.com>"),
        ("Call-ID", "one"),
        ("CSeq", "1 OPTIONS"),
        ("Max-Forwards", "70"),
        ("Content-Length", "0"),
    ];
    fields.retain(|(field, _)| *field != name);
    if !value.is_empty() {
        fields.push((name, value));
    }
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{line}\r\n{fields}\r\n")
}

fn inspect(message: &str) -> (Option<i32>, Value) {
    let outcome = sansip_with(&["inspect", "--json", "-"], message.as_bytes());
    assert_eq!(outcome.stderr, "");
    let [value] = outcome.json().try_into().unwrap();
    (outcome.code, value)
}

#[test]
fn every_field_of_an_accepted_message_is_shown() {
    let (code, shown) = inspect(INVITE);
    assert_eq!(code, Some(0));
    let wanted = json!({
        "verdict": "accept", "code": 200, "reason": null, "header": null,
        "kind": "request", "method": "INVITE", "uri": "sip:bob@example.com;transport=tcp", "status": null,
        "call_id": "one@example.com", "cseq": [7, "INVITE"],
        "from": { "display": "Alice \"A\"", "uri": "sip:alice@example.com", "tag": "1" },
        "to": { "display": null, "uri": "sip:bob@example.com", "tag": null },
        "via": [
            { "transport": "TLS", "host": "[2001:db8::1]", "port": 5061, "branch": "z9hG4bKa" },
            { "transport": "TCP", "host": "h.example.com", "port": null, "branch": "z9hG4bKb" },
            { "transport": "UDP", "host": "192.0.2.1", "port": null, "branch": "z9hG4bKc" },
        ],
        "contact": [{ "uri": "sip:alice@192.0.2.1:5070", "params": { "q": "0.5", "flag": null } }],
        "route": ["sip:p1.example.com;lr", "sip:p2.example.com;lr"],
        "record_route": ["sip:r.example.com;lr"],
        "max_forwards": 70, "expires": 180, "content_type": "application/sdp", "body_len": 5,
    });
    assert_eq!(shown, wanted);
}

#[test]
fn a_response_is_never_answered() {
    let response = request("SIP/2.0 180 Ringing", USUAL);
    let (code, shown) = inspect(&response);
    assert_eq!(code, Some(0));
    assert_eq!(
        (&shown["kind"], &shown["status"], &shown["code"]),
        (&json!("response"), &json!(180), &json!(null))
    );
}

// rules: M6
#[test]
fn each_refusal_has_its_code_and_names_its_header() {
    let options = "OPTIONS sip:b@example.com SIP/2.0";
    // The request line, a field that is not as usual, and what comes of it.
    let cases = [
        (options, ("CSeq", ""), "reject", json!(400), json!("CSeq")),
        (options, ("CSeq", "1 INVITE"), "reject", json!(400), json!("CSeq")),
        (
            options,
            ("To", "\"B <sip:b@example.com>"),
            "reject",
            json!(400),
            json!("To"),
        ),
        (
            "OPTIONS  sip:b@example.com SIP/2.0",
            USUAL,
            "reject",
            json!(400),
            json!("Request-Line"),
        ),
        (
            "OPTIONS sip:b@example.com SIP/7.0",
            USUAL,
            "reject",
            json!(505),
            json!("Request-Line"),
        ),
        (
            "REGISTER sip:example.com SIP/2.0",
            ("CSeq", "1 REGISTER"),
            "accept",
            json!(405),
            json!("Request-Line"),
        ),
        (
            "DANCE sip:b@example.com SIP/2.0",
            ("CSeq", "1 DANCE"),
            "accept",
            json!(501),
            json!("Request-Line"),
        ),
        (
            "OPTIONS gopher:b SIP/2.0",
            USUAL,
            "accept",
            json!(416),
            json!("Request-URI"),
        ),
        (
            options,
            ("Require", "teleport"),
            "accept",
            json!(420),
            json!("Require"),
        ),
        (
            options,
            ("To", "<sip:b@example.com>;tag=2"),
            "accept",
            json!(481),
            json!(null),
        ),
        (
            "ACK sip:b@example.com SIP/2.0",
            ("CSeq", "1 ACK"),
            "accept",
            json!(null),
            json!(null),
        ),
        (options, USUAL, "accept", json!(200), json!(null)),
    ];
    for (line, change, verdict, code, header) in cases {
        let (exit, shown) = inspect(&request(line, change));
        let seen = (&shown["verdict"], &shown["code"], &shown["header"]);
        assert_eq!(seen, (&json!(verdict), &code, &header), "{line} {change:?}");
        assert_eq!(exit, Some(i32::from(verdict == "reject")));
    }
}

#[test]
fn what_is_no_sip_is_rejected_in_silence() {
    for bytes in ["", "\r\n", "nonsense", "\u{1}\u{2}\u{3}"] {
        let (code, shown) = inspect(bytes);
        assert_eq!(
            (code, &shown["verdict"], &shown["code"]),
            (Some(1), &json!("reject"), &json!(null)),
            "{bytes:?}"
        );
        assert!(shown["reason"].is_string());
    }
}

#[test]
fn people_read_what_is_there() {
    let outcome = sansip_with(&["inspect", "-"], INVITE.as_bytes());
    assert_eq!(outcome.code, Some(0));
    assert!(
        outcome.stdout.starts_with("verdict       accept\n"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stdout.contains("call_id       one@example.com\n"));
    assert!(!outcome.stdout.contains("reason"));
}

#[test]
fn a_message_is_written_anew_from_its_values() {
    let message = "OPTIONS sip:b@example.com SIP/2.0\r\nv:SIP/2.0/TCP h ;branch=z9hG4bK1\r\n\
        f:sip:a@example.com;tag=1\r\nt: \"B\"<sip:b@example.com>\r\ni:one\r\ncseq: 0001\r\n OPTIONS\r\n\
        X-Other:  kept \r\nl: 0\r\n\r\n";
    let rebuilt = "OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\
        From: <sip:a@example.com>;tag=1\r\nTo: \"B\" <sip:b@example.com>\r\nCall-ID: one\r\nCSeq: 1 OPTIONS\r\n\
        X-Other: kept\r\nContent-Length: 0\r\n\r\n";
    let outcome = sansip_with(&["inspect", "--roundtrip", "-"], message.as_bytes());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), rebuilt));
    let refused = sansip_with(&["inspect", "--roundtrip", "-"], b"OPTIONS sip:b SIP/2.0\r\n\r\n");
    assert!(refused.failure().contains("Via"), "{}", refused.stderr);
}

// rules: C29
#[test]
fn a_stream_is_cut_the_same_at_any_chunk_size() {
    let message = request("OPTIONS sip:b@example.com SIP/2.0", USUAL);
    let length = message.len();
    let stream = format!("\r\n{message}\r\n\r\n{message}NO COLON HERE\r\n\r\n");
    let wanted = [
        json!({ "event": "crlf", "offset": 0, "len": 2 }),
        json!({ "event": "message", "offset": 2, "len": length }),
        json!({ "event": "ping", "offset": 2 + length, "len": 4 }),
        json!({ "event": "message", "offset": 6 + length, "len": length }),
        json!({ "event": "error", "offset": 6 + 2 * length, "reason": "missing Content-Length" }),
    ];
    for chunk in ["1", "2", "3", "64", "100000"] {
        let outcome = sansip_with(
            &["inspect", "--stream", "--chunk", chunk, "--json", "-"],
            stream.as_bytes(),
        );
        assert_eq!(outcome.json(), wanted, "chunk {chunk}");
        assert_eq!(outcome.code, Some(1));
    }
    let sound = sansip_with(&["inspect", "--stream", "--json", "-"], message.as_bytes());
    assert_eq!((sound.code, sound.stderr.as_str()), (Some(0), ""));
    let half = sansip_with(
        &["inspect", "--stream", "--json", "-"],
        message.split_at(length - 1).0.as_bytes(),
    );
    assert_eq!(
        (half.stdout.as_str(), half.complaint()),
        ("", "the message at offset 0 is not complete")
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let outcome = sansip(&["inspect", "no/such/file"]);
    assert!(
        outcome.failure().starts_with("cannot read no/such/file: "),
        "{}",
        outcome.stderr
    );
}
