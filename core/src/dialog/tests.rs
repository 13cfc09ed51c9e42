use alloc::format;
use alloc::vec;

use bytes::Bytes;

use super::*;
use crate::error::Place;
use crate::ids::FromNumber;
use crate::wire::MessageLimits;

fn sequence() -> SequenceId {
    SequenceId::from_number(1)
}

fn message(first_line: &str, headers: &str) -> Message {
    let text = format!(
        "{first_line}\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: \"A. G. Bell\" <sip:caller@u1.example.com>\
         ;tag=314159;epid=1\r\nTo: Callee <sip:callee@domain.com>{}\r\nCall-ID: call@u1\r\nCSeq: 17 INVITE\r\n{headers}\
         Content-Length: 0\r\n\r\n",
        if first_line.starts_with("SIP") {
            ";tag=2718"
        } else {
            ""
        }
    );
    Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
}

fn invite(headers: &str) -> Message {
    message("INVITE sip:callee@u2.domain.com SIP/2.0", headers)
}

fn success(headers: &str) -> Message {
    message("SIP/2.0 200 OK", headers)
}

fn at_caller(headers: &str) -> Dialog {
    Dialog::from_response(&success(headers), sequence()).unwrap()
}

fn at_callee(headers: &str) -> Dialog {
    Dialog::from_request(&invite(headers), "2718", sequence()).unwrap()
}

/// The Request-URI and the route of a request inside.
fn way(dialog: &Dialog) -> (String, Vec<String>) {
    let draft = dialog.request(Method::Bye, None);
    (
        draft.uri.into(),
        draft.route.into_iter().map(String::from).collect(),
    )
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).into()).collect()
}

// rules: S4
#[test]
fn both_ends_route_through_the_proxies_that_recorded_themselves() {
    // RFC 3261 section 16.12.1.1.
    let recorded = "Record-Route: <sip:p2.domain.com;lr>\r\nRecord-Route: <sip:p1.example.com;lr>\r\n";
    let caller = at_caller(&format!("{recorded}Contact: sip:callee@u2.domain.com\r\n"));
    assert_eq!(
        way(&caller),
        (
            "sip:callee@u2.domain.com".into(),
            strings(&["<sip:p1.example.com;lr>", "<sip:p2.domain.com;lr>"])
        )
    );
    assert_eq!(caller.next_hop(), "sip:p1.example.com;lr");
    let callee = at_callee(&format!("{recorded}Contact: sip:caller@u1.example.com\r\n"));
    assert_eq!(
        way(&callee),
        (
            "sip:caller@u1.example.com".into(),
            strings(&["<sip:p2.domain.com;lr>", "<sip:p1.example.com;lr>"])
        )
    );
    assert_eq!(callee.next_hop(), "sip:p2.domain.com;lr");
    // One field with a list says the same as several.
    let list = "Record-Route: <sip:p2.domain.com;lr>, <sip:p1.example.com;lr>\r\nContact: sip:callee@u2.domain.com\r\n";
    assert_eq!(at_caller(list), caller);
}

// rules: S4
#[test]
fn a_strict_router_further_on_changes_nothing_for_the_end() {
    // RFC 3261 section 16.12.1.2: P3 is a strict router.
    let recorded = "Record-Route: <sip:p4.domain.com;lr>\r\nRecord-Route: <sip:p3.middle.com>\r\n\
                    Record-Route: <sip:p2.example.com;lr>\r\nRecord-Route: <sip:p1.example.com;lr>\r\n";
    let callee = at_callee(&format!("{recorded}Contact: sip:caller@u1.example.com\r\n"));
    let route = [
        "<sip:p4.domain.com;lr>",
        "<sip:p3.middle.com>",
        "<sip:p2.example.com;lr>",
        "<sip:p1.example.com;lr>",
    ];
    assert_eq!(
        way(&callee),
        ("sip:caller@u1.example.com".into(), strings(&route))
    );
    assert_eq!(callee.next_hop(), "sip:p4.domain.com;lr");
}

// rules: S4
#[test]
fn a_strict_router_first_takes_the_request_uri() {
    // RFC 3261 section 12.2.1.1, its example.
    let recorded = "Record-Route: <sip:proxy1>, <sip:proxy2>, <sip:proxy3;lr>, <sip:proxy4>\r\n";
    let callee = at_callee(&format!("{recorded}Contact: <sip:user@remoteua>\r\n"));
    let route = [
        "<sip:proxy2>",
        "<sip:proxy3;lr>",
        "<sip:proxy4>",
        "<sip:user@remoteua>",
    ];
    assert_eq!(way(&callee), ("sip:proxy1".into(), strings(&route)));
    assert_eq!(callee.next_hop(), "sip:proxy1");
    // What may not stand in a Request-URI is left out.
    let callee = at_callee("Record-Route: <sip:proxy1?Subject=x>\r\nContact: <sip:user@remoteua>\r\n");
    assert_eq!(
        way(&callee),
        ("sip:proxy1".into(), strings(&["<sip:user@remoteua>"]))
    );
}

// rules: S4
#[test]
fn without_proxies_requests_go_to_the_target() {
    let caller =
        at_caller("Contact: \"C\" <sip:callee@192.0.2.4:5070;transport=tcp>;+sip.instance=\"<urn:x>\"\r\n");
    assert_eq!(
        way(&caller),
        ("sip:callee@192.0.2.4:5070;transport=tcp".into(), vec![])
    );
    assert_eq!(caller.next_hop(), "sip:callee@192.0.2.4:5070;transport=tcp");
    assert!(!caller.is_routed());
}

// rules: S4, C36
#[test]
fn a_request_inside_has_the_names_of_its_dialog() {
    let caller = at_caller("Contact: <sip:callee@u2.domain.com>\r\n");
    let draft = caller.request(Method::Info, None);
    let (from, to) = (
        "\"A. G. Bell\" <sip:caller@u1.example.com>;tag=314159;epid=1",
        "Callee <sip:callee@domain.com>;tag=2718",
    );
    assert_eq!(
        (draft.parties, draft.sequence),
        (Parties::new(from, to, "call@u1"), Sequence::Counter(sequence()))
    );
    assert_eq!(
        (&*caller.local_tag, caller.remote_tag.as_deref()),
        ("314159", Some("2718"))
    );
    assert!(caller.is_with(Some("2718")) && !caller.is_with(Some("314159")) && !caller.is_with(None));

    let callee = at_callee("Contact: <sip:caller@u1.example.com>\r\n");
    let draft = callee.request(Method::Info, None);
    assert_eq!(draft.parties, Parties::new(to, from, "call@u1"));
    assert_eq!(
        (&*callee.local_tag, callee.remote_tag.as_deref()),
        ("2718", Some("314159"))
    );
}

// rules: S4
#[test]
fn a_peer_of_rfc_2543_has_no_tag() {
    let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
                To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:b@192.0.2.1>\r\n\
                Content-Length: 0\r\n\r\n";
    let response = Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap();
    let dialog = Dialog::from_response(&response, sequence()).unwrap();
    assert!(dialog.is_with(None) && !dialog.is_with(Some("1")));
}

// rules: S4
#[test]
fn the_requests_of_the_peer_come_in_the_order_of_their_numbers() {
    // The INVITE had 17.
    let mut callee = at_callee("Contact: <sip:caller@u1.example.com>\r\n");
    assert!(!callee.take_cseq(16));
    assert!(callee.take_cseq(18));
    assert!(callee.take_cseq(1000), "gaps are legal (RFC 3261 section 12.2.2)");
    assert!(!callee.take_cseq(999));
    assert!(callee.take_cseq(1001));
    // A caller knows no number of the peer before its first request, which may be 0.
    let mut caller = at_caller("Contact: <sip:callee@u2.domain.com>\r\n");
    assert!(caller.take_cseq(0));
    assert!(caller.take_cseq(2_147_483_647));
    assert!(!caller.take_cseq(1));
}

// rules: S4
#[test]
fn a_target_refresh_changes_the_target_and_never_the_route() {
    let mut dialog =
        at_caller("Record-Route: <sip:p1.example.com;lr>\r\nContact: <sip:callee@u2.domain.com>\r\n");
    dialog.refresh_target(&success(
        "Record-Route: <sip:p9.example.com;lr>\r\nContact: <sip:callee@u3.domain.com>\r\n",
    ));
    assert_eq!(
        way(&dialog),
        (
            "sip:callee@u3.domain.com".into(),
            strings(&["<sip:p1.example.com;lr>"])
        )
    );
    // None, or none that can be used, leaves it.
    for headers in ["", "Contact: *\r\n", "Contact: <sip:\r\n"] {
        dialog.refresh_target(&success(headers));
        assert_eq!(dialog.target(), "sip:callee@u3.domain.com");
    }
}

// rules: S4
#[test]
fn a_request_without_a_contact_makes_no_dialog() {
    for headers in ["", "Contact: *\r\n"] {
        let error = Dialog::from_request(&invite(headers), "2718", sequence()).unwrap_err();
        assert_eq!(error.place, Place::Header(HeaderName::Contact));
    }
    let error = Dialog::from_request(
        &invite("Record-Route: <sip:\r\nContact: <sip:caller@u1.example.com>\r\n"),
        "2718",
        sequence(),
    );
    assert_eq!(error.unwrap_err().place, Place::Header(HeaderName::RecordRoute));
}

// rules: S4
#[test]
fn parameters_of_a_recorded_route_come_back() {
    let callee = at_callee(
        "Record-Route: <sip:p1.example.com;lr>;ms-received=1\r\nContact: <sip:caller@u1.example.com>\r\n",
    );
    assert_eq!(
        way(&callee).1,
        strings(&["<sip:p1.example.com;lr>;ms-received=1"])
    );
}
