//! Twelve usual messages of a user agent behind a proxy: a registration, a call, a subscription, a page.

use bytes::Bytes;

/// What every message is known by, and its text with bare line feeds.
const TEXTS: [(&str, &str); 12] = [
    (
        "REGISTER",
        "REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKk3wq9x71b;rport
Max-Forwards: 70
From: <sip:alice@example.com>;tag=5f1c09ab;epid=01ab23cd45
To: <sip:alice@example.com>
Call-ID: 8f2b1c6e5d4a49b0a7c3
CSeq: 2 REGISTER
Contact: <sip:192.0.2.17:51234;transport=tls>;expires=3600;+sip.instance=\"<urn:uuid:4b1c2d3e-5f60-5718-9293-a4b5c6d7e8f9>\"
Supported: gruu-10, path, outbound
Expires: 3600
User-Agent: Bench/1.0
Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"Zm9vYmFyYmF6\", uri=\"sip:example.com\", response=\"0a4f113b0a4f113b0a4f113b0a4f113b\", algorithm=MD5, cnonce=\"5ccc069c\", qop=auth, nc=00000001
Content-Length: 0

",
    ),
    (
        "401 to it",
        "SIP/2.0 401 Unauthorized
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKk3wq9x71b;rport
From: <sip:alice@example.com>;tag=5f1c09ab;epid=01ab23cd45
To: <sip:alice@example.com>;tag=d80e51
Call-ID: 8f2b1c6e5d4a49b0a7c3
CSeq: 2 REGISTER
WWW-Authenticate: Digest realm=\"example.com\", nonce=\"dGhlIG5leHQgb25l\", stale=true, algorithm=MD5, qop=\"auth\"
Server: Registrar/4.2
Content-Length: 0

",
    ),
    (
        "200 to it",
        "SIP/2.0 200 OK
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKk3wq9x71b;rport
From: <sip:alice@example.com>;tag=5f1c09ab;epid=01ab23cd45
To: <sip:alice@example.com>;tag=d80e51
Call-ID: 8f2b1c6e5d4a49b0a7c3
CSeq: 2 REGISTER
Contact: <sip:192.0.2.17:51234;transport=tls>;expires=3600;+sip.instance=\"<urn:uuid:4b1c2d3e-5f60-5718-9293-a4b5c6d7e8f9>\";pub-gruu=\"sip:alice@example.com;gr=urn:uuid:4b1c2d3e\"
Contact: <sip:alice@192.0.2.99:5060>;expires=120
Date: Tue, 03 Mar 2026 10:20:30 GMT
Server: Registrar/4.2
Content-Length: 0

",
    ),
    (
        "INVITE",
        "INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKm81ty20qa;rport
Max-Forwards: 70
From: \"Alice Liddell\" <sip:alice@example.com>;tag=91bb73cc;epid=01ab23cd45
To: <sip:bob@example.com>
Call-ID: 11cf30a977b24de5b0f1
CSeq: 1 INVITE
Contact: <sip:alice@192.0.2.17:51234;transport=tls>
Route: <sip:proxy.example.com:5061;transport=tls;lr>
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO
Supported: 100rel, timer, replaces
User-Agent: Bench/1.0
Content-Type: application/sdp

v=0
o=alice 2890844526 2890844526 IN IP4 192.0.2.17
s=-
c=IN IP4 192.0.2.17
t=0 0
m=audio 49172 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv
",
    ),
    (
        "100 to it",
        "SIP/2.0 100 Trying
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKm81ty20qa;rport
From: \"Alice Liddell\" <sip:alice@example.com>;tag=91bb73cc;epid=01ab23cd45
To: <sip:bob@example.com>
Call-ID: 11cf30a977b24de5b0f1
CSeq: 1 INVITE
Content-Length: 0

",
    ),
    (
        "180 to it",
        "SIP/2.0 180 Ringing
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKm81ty20qa;rport
From: \"Alice Liddell\" <sip:alice@example.com>;tag=91bb73cc;epid=01ab23cd45
To: <sip:bob@example.com>;tag=77a1c0
Call-ID: 11cf30a977b24de5b0f1
CSeq: 1 INVITE
Contact: <sip:bob@198.51.100.23:5061;transport=tls>
Record-Route: <sip:proxy.example.com:5061;transport=tls;lr>
Server: Other/7.1
Content-Length: 0

",
    ),
    (
        "200 to it",
        "SIP/2.0 200 OK
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKm81ty20qa;rport
From: \"Alice Liddell\" <sip:alice@example.com>;tag=91bb73cc;epid=01ab23cd45
To: <sip:bob@example.com>;tag=77a1c0
Call-ID: 11cf30a977b24de5b0f1
CSeq: 1 INVITE
Contact: <sip:bob@198.51.100.23:5061;transport=tls>
Record-Route: <sip:proxy.example.com:5061;transport=tls;lr>
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE
Supported: timer, replaces
Server: Other/7.1
Content-Type: application/sdp

v=0
o=bob 2808844564 2808844564 IN IP4 198.51.100.23
s=-
c=IN IP4 198.51.100.23
t=0 0
m=audio 30210 RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv
",
    ),
    (
        "ACK",
        "ACK sip:bob@198.51.100.23:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKp02sd77zz;rport
Max-Forwards: 70
From: \"Alice Liddell\" <sip:alice@example.com>;tag=91bb73cc;epid=01ab23cd45
To: <sip:bob@example.com>;tag=77a1c0
Call-ID: 11cf30a977b24de5b0f1
CSeq: 1 ACK
Route: <sip:proxy.example.com:5061;transport=tls;lr>
User-Agent: Bench/1.0
Content-Length: 0

",
    ),
    (
        "BYE",
        "BYE sip:bob@198.51.100.23:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKq49jf60rw;rport
Max-Forwards: 70
From: \"Alice Liddell\" <sip:alice@example.com>;tag=91bb73cc;epid=01ab23cd45
To: <sip:bob@example.com>;tag=77a1c0
Call-ID: 11cf30a977b24de5b0f1
CSeq: 2 BYE
Route: <sip:proxy.example.com:5061;transport=tls;lr>
User-Agent: Bench/1.0
Content-Length: 0

",
    ),
    (
        "SUBSCRIBE",
        "SUBSCRIBE sip:bob@example.com SIP/2.0
Via: SIP/2.0/TLS 192.0.2.17:51234;branch=z9hG4bKs55lo18ge;rport
Max-Forwards: 70
From: <sip:alice@example.com>;tag=30cd12ef;epid=01ab23cd45
To: <sip:bob@example.com>
Call-ID: e6d09a7b4c2148f1b3a5
CSeq: 1 SUBSCRIBE
Contact: <sip:alice@192.0.2.17:51234;transport=tls>
Route: <sip:proxy.example.com:5061;transport=tls;lr>
Event: presence
Expires: 3600
Accept: application/pidf+xml, application/rlmi+xml
Supported: eventlist
User-Agent: Bench/1.0
Content-Length: 0

",
    ),
    (
        "NOTIFY",
        "NOTIFY sip:alice@192.0.2.17:51234;transport=tls SIP/2.0
Via: SIP/2.0/TLS 203.0.113.5:5061;branch=z9hG4bKproxy7741.1;rport
Max-Forwards: 69
From: <sip:bob@example.com>;tag=b71e0c
To: <sip:alice@example.com>;tag=30cd12ef;epid=01ab23cd45
Call-ID: e6d09a7b4c2148f1b3a5
CSeq: 1 NOTIFY
Via: SIP/2.0/TCP presence.example.com;branch=z9hG4bKn0912;received=198.51.100.40;rport=40312
Contact: <sip:presence.example.com;transport=tls>
Record-Route: <sip:proxy.example.com:5061;transport=tls;lr>
Event: presence
Subscription-State: active;expires=3599
Content-Type: application/pidf+xml

<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\">
<tuple id=\"a1\"><status><basic>open</basic></status><contact>sip:bob@198.51.100.23</contact></tuple>
</presence>
",
    ),
    (
        "MESSAGE",
        "MESSAGE sip:alice@192.0.2.17:51234;transport=tls SIP/2.0
Via: SIP/2.0/TLS 203.0.113.5:5061;branch=z9hG4bKproxy7742.1;rport
Max-Forwards: 68
From: \"Bob\" <sip:bob@example.com>;tag=44fa90
To: <sip:alice@example.com>
Call-ID: 55a0cb19d7
CSeq: 7 MESSAGE
Via: SIP/2.0/TLS 198.51.100.23:40021;branch=z9hG4bKx1b2c3;received=198.51.100.23
User-Agent: Other/7.1
Date: Tue, 03 Mar 2026 10:21:00 GMT
Content-Type: text/plain; charset=UTF-8

Are you there?
",
    ),
];

/// The requests that the responses among them answer.
pub const ANSWERED: [(usize, usize); 5] = [(1, 0), (2, 0), (4, 3), (5, 3), (6, 3)];

/// The twelve messages as they go over the wire: every line ends with CRLF, and a body has its Content-Length.
pub fn all() -> Vec<Bytes> {
    TEXTS.iter().map(|(_, text)| wire(text)).collect()
}

/// What the messages are called, in the same order.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

fn wire(text: &str) -> Bytes {
    let text = text.replace('\n', "\r\n");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    if head.contains("Content-Length") {
        return text.into();
    }
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}
