//! What parsing and writing allocate, by an allocator that counts. Alone in its binary: no other test may allocate meanwhile.

use std::alloc::System;

use bytes::Bytes;
use sansip::Transport;
use sansip::security::ms::Info;
use sansip::security::ntlm::server::{Authenticate, OFFERED, Offer};
use sansip::security::ntlm::{Challenge, Client, FileTime, Fresh, Identity, NtHash, authenticate};
use sansip::security::signing::{self, Version};
use sansip::security::window::ReplayWindow;
use sansip::wire::header::{AuthenticationInfo, CSeq, From, Header, To, Via};
use sansip::wire::uri::Uri;
use sansip::wire::write::{
    HeaderBlock, MAX_FORWARDS, OwnHop, Parties, RequestBuilder, ResponseBuilder, Scratch,
};
use sansip::wire::{HeaderName, Message, MessageLimits, Method, StatusCode, check};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const INVITE: &[u8] = b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/TCP bigbox3.site3.example.com;branch=z9hG4bK77ef4c2312983.1\r\n\
    Via: SIP/2.0/TCP pc33.example.com:5060;branch=z9hG4bKnashds8;received=192.0.2.1;rport=1234\r\n\
    Max-Forwards: 70\r\n\
    Record-Route: <sip:bigbox3.site3.example.com;lr>\r\n\
    To: Bob <sip:bob@biloxi.example.com>\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\n\
    Call-ID: a84b4c76e66710@pc33.example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:alice@pc33.example.com;transport=tcp>\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE\r\n\
    Supported: replaces, timer\r\n\
    User-Agent: example/1.0\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 4\r\n\r\nv=0\n";

/// Allocations and reallocations in `work`, the fewest of some runs: the thread of the test harness, which waits for this
/// one, may allocate meanwhile.
fn allocations<T>(mut work: impl FnMut() -> T) -> (usize, T) {
    let mut measure = || {
        let region = Region::new(ALLOCATOR);
        let result = work();
        let change = region.change();
        (change.allocations + change.reallocations, result)
    };
    let (mut fewest, mut result) = measure();
    for _ in 0..4 {
        let (count, again) = measure();
        (fewest, result) = (fewest.min(count), again);
    }
    (fewest, result)
}

/// One test, so that no other one allocates meanwhile.
#[test]
fn a_usual_message_is_one_buffer() {
    parsing_allocates_nothing_beyond_the_buffer();
    writing_allocates_the_finished_bytes_and_nothing_else();
    verifying_and_signing_allocate_nothing();
}

fn parsing_allocates_nothing_beyond_the_buffer() {
    let limits = MessageLimits::default();
    let (buffered, bytes) = allocations(|| Bytes::copy_from_slice(INVITE));
    assert_eq!(buffered, 1, "the allocator counts");

    // A buffer that has been shared once is shared for nothing.
    let _shared = bytes.clone();
    let (parsed, message) =
        allocations(|| Message::parse(bytes.clone(), &limits).expect("the message is good"));
    assert_eq!(parsed, 0, "parsing");

    let (typed, ()) = allocations(|| {
        assert_eq!(message.method(), Some(&Method::Invite));
        assert_eq!(
            message.via_top().expect("the message is good").branch(),
            Some("z9hG4bK77ef4c2312983.1")
        );
        assert_eq!(
            message.from_().expect("the message is good").tag(),
            Some("1928301774")
        );
        assert_eq!(message.to().expect("the message is good").tag(), None);
        assert_eq!(message.cseq().expect("the message is good").number, 314_159);
        assert_eq!(
            message.call_id().expect("the message is good"),
            "a84b4c76e66710@pc33.example.com"
        );
        assert_eq!(message.raw(HeaderName::MaxForwards), Some(&b"70"[..]));
        assert_eq!(message.body_bytes(), b"v=0\n");
    });
    assert_eq!(typed, 0, "reading typed values");

    let (checked, verdict) = allocations(|| check::request(&message));
    assert_eq!((checked, verdict), (0, Ok(())), "checking");
}

fn writing_allocates_the_finished_bytes_and_nothing_else() {
    let invite =
        Message::parse(Bytes::from_static(INVITE), &MessageLimits::default()).expect("the message is good");
    let (uri, via) = (
        Uri::parse(invite.request_uri()).expect("the message is good"),
        invite.via_top().expect("the message is good"),
    );
    let (from, to) = (
        invite.from_().expect("the message is good"),
        invite.to().expect("the message is good"),
    );
    let cseq = CSeq::new(314_159, Method::Invite);
    let body = Bytes::from_static(&[b'v'; 3000]);
    let mut scratch = Scratch::default();
    // The first message makes the scratch as large as messages are here.
    typed_request(&mut scratch, &uri, &via, (&from, &to), &cseq, body.clone());
    let (typed, bytes) =
        allocations(|| typed_request(&mut scratch, &uri, &via, (&from, &to), &cseq, body.clone()));
    assert_eq!(
        (typed, bytes.ends_with(&body)),
        (1, true),
        "a request of typed values"
    );

    let block = HeaderBlock::new([("Allow", "INVITE, ACK, BYE")]);
    let parties = Parties::new("<sip:a@example.com>;tag=1", "<sip:b@example.com>", "c");
    let (of_parts, bytes) = allocations(|| {
        let method = Method::Invite;
        let uri = "sip:b@example.com";
        let hop = OwnHop {
            transport: Transport::Tcp,
            host: &via.host,
            port: 5060,
            branch: "z9hG4bK1",
        };
        let mut builder =
            RequestBuilder::of_parts(&mut scratch, &method, uri, &hop, &parties, 1, MAX_FORWARDS);
        builder.text(HeaderName::UserAgent, "example/1.0");
        builder.block(&block);
        builder.body("application/sdp", body.clone());
        builder.finish()
    });
    assert_eq!(
        (of_parts, bytes.ends_with(&body)),
        (1, true),
        "a request of parts"
    );

    for body in [Bytes::new(), body] {
        let (response, bytes) = allocations(|| {
            let mut builder = ResponseBuilder::new(&mut scratch, &invite, StatusCode::OK, None, Some("314"));
            builder.record_route();
            builder.text(HeaderName::Contact, "<sip:bob@192.0.2.4>");
            builder.body("application/sdp", body.clone());
            builder.finish()
        });
        assert_eq!((response, bytes.ends_with(&body)), (1, true), "a response");
    }
}

fn typed_request(
    scratch: &mut Scratch,
    uri: &Uri<'_>,
    via: &Via<'_>,
    (from, to): (&From<'_>, &To<'_>),
    cseq: &CSeq,
    body: Bytes,
) -> Bytes {
    let mut builder = RequestBuilder::new(
        scratch,
        &Method::Invite,
        uri,
        via,
        from,
        to,
        "c",
        cseq,
        MAX_FORWARDS,
    );
    builder.header(via);
    builder.body("application/sdp", body);
    builder.finish()
}

/// What an association does for each message, with a buffer that has grown: read the proof, compare the number, verify,
/// sign.
fn verifying_and_signing_allocate_nothing() {
    let offer = Offer {
        flags: OFFERED,
        nonce: [3; 8],
        version: [0; 8],
        domain: "CONTOSO".into(),
        computer: "FE1".into(),
        dns_domain: "contoso.com".into(),
        dns_computer: "fe1.contoso.com".into(),
        time: None,
    };
    let token = offer.write().expect("short names");
    let challenge = Challenge::parse(&token).expect("a challenge that was made");
    let identity = Identity::new("alice", None, NtHash::new([1; 16]));
    let fresh = Fresh::new([4; 8], [5; 16], FileTime(0));
    let (answer, client) =
        authenticate(&challenge, &identity, &Client::default(), &fresh).expect("short names");
    let answer = Authenticate::parse(&answer).expect("an answer that was made");
    let server = answer.verify(&challenge, &identity.hash).expect("the hash");

    let message = Message::parse(Bytes::from_static(INVITE), &MessageLimits::default()).expect("a message");
    let value = "NTLM rspauth=\"0100000029618e9651b65a7764000000\", srand=\"13317733\", snum=\"1\", \
        targetname=\"fe1.contoso.com\", realm=\"SIP Communications Service\"";
    let field = AuthenticationInfo::parse(value).expect("a proof").0;
    let mut out = Vec::with_capacity(512);
    let window = ReplayWindow::new();
    let (count, result) = allocations(|| {
        let info = Info::read(&field).expect("a proof");
        let signature = info.signature.as_ref().expect("a signature");
        let stamp = info.stamp().expect("a signature");
        let is_new = window.clone().record(signature.number);
        signing::buffer(&mut out, Version::V4, &stamp, &message).expect("a message");
        let forged = client.verify(&out, &signature.mic);
        (is_new, forged, client.verify(&out, &server.sign(&out)))
    });
    assert_eq!(result, (true, false, true));
    assert_eq!(count, 0);
}
