//! Flows of RFC 3665 that concern a user agent, as the exact bytes at exact times.
//!
//! Every message is written from the RFC's, with these changes, which are all:
//!
//! - **Identifiers** (branches, tags, Call-IDs, epid, instance, cnonce) are the stack's own, each taken where it is sent
//!   first and held to from then on.
//! - **Values**: names shown to people are quoted; `Via` has `rport` (RFC 3581), and `received` stands on its line;
//!   `From` has our `epid` (rule E3); our `Contact` has its port and the parameter by which it is known again.
//! - **Fields that we add**: User-Agent in requests but ACK and CANCEL of a refused or pending INVITE; Allow and
//!   Supported in INVITE and REGISTER; those of rule R12 in REGISTER; Allow, Supported and Server in a 180 and in a 200
//!   to INVITE. A binding is removed by its own Contact with `Expires: 0` (rule R16), not by `*`.
//! - **Order** (without meaning, RFC 3261 section 7.3.1): as it stands in the functions here.
//! - **Transport** is TCP throughout, and the proxies of the RFC are left out: what they would send comes from the peer.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};

use md5::{Digest, Md5};
use sansip::security::{Credentials, Secret};
use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{HeaderName, Message, MessageLimits, StatusCode};
use sansip::{
    Action, Answer, Config, ConnId, Content, EndpointId, Established, Event, PeerToPeerConfig, Proxy,
    QueryId, Question, RegistrationReason, RegistrationState, SendOptions, Server, SessionId, SessionReason,
    SessionState, SipEndpointConfig, Stack, Time, Transport, UnixTime,
};

use common::{TICK, actions, field, secs, take_bytes};

const ALLOW: &str = "INVITE, MESSAGE, INFO, OPTIONS, NOTIFY, ACK, BYE, CANCEL, UPDATE";

/// The offer and the answer of section 3.1, with the line ends that the RFC's page does not show.
const OFFER: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 client.atlanta.example.com\r\ns=-\r\n\
    c=IN IP4 192.0.2.101\r\nt=0 0\r\nm=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
const ANSWER: &str = "v=0\r\no=bob 2890844527 2890844527 IN IP4 client.biloxi.example.com\r\ns=-\r\n\
    c=IN IP4 192.0.2.201\r\nt=0 0\r\nm=audio 3456 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// The lines of a text as a message: CRLF at their ends, an empty line, and a body.
fn message(text: &str, body: &str) -> String {
    let mut out: String = text.lines().map(|line| format!("{}\r\n", line.trim())).collect();
    out.push_str("\r\n");
    out + body
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One stack with one endpoint and one connection, and what was said over it.
struct Agent {
    stack: Stack,
    endpoint: EndpointId,
    now: Time,
    conn: Option<ConnId>,
    events: Vec<(Time, Event)>,
}

impl Agent {
    /// Alice or Bob, listening at their address on port 5060; the other one's address is the next hop.
    fn new(name: &str, uri: &str, client: &str, own: &str, other: &str) -> Self {
        let config = Config {
            local_host_name: Some(client.to_owned()),
            ..Config::default()
        };
        let now = Time::from_secs(1);
        let mut stack = Stack::new(config, [1; 32], now, UnixTime(1_700_000_000));
        let mut config = PeerToPeerConfig::new(uri);
        config.profile.display_name = Some(name.to_owned());
        config.outbound_proxy = Some(Proxy {
            host: other.to_owned(),
            port: Some(5060),
            transport: Transport::Tcp,
        });
        let endpoint = stack.add_peer_to_peer_endpoint(now, config).unwrap();
        let manager = stack.server_tcp_manager();
        let listening = address(&format!("{own}:5060"));
        let listener = stack.manager(now, manager).unwrap().listen(listening).unwrap();
        stack.handle_listening(now, listener, Ok(listening));
        let mut agent = Self {
            stack,
            endpoint,
            now,
            conn: None,
            events: Vec::new(),
        };
        if name == "Bob" {
            let conn =
                agent
                    .stack
                    .handle_accepted(now, listener, listening, address(&format!("{other}:5060")));
            agent.conn = Some(conn);
        }
        agent.drain();
        agent
    }

    fn alice() -> Self {
        let (own, other) = ("192.0.2.101", "192.0.2.201");
        Self::new(
            "Alice",
            "sip:alice@atlanta.example.com",
            "client.atlanta.example.com",
            own,
            other,
        )
    }

    fn bob() -> Self {
        let (own, other) = ("192.0.2.201", "192.0.2.101");
        Self::new(
            "Bob",
            "sip:bob@biloxi.example.com",
            "client.biloxi.example.com",
            own,
            other,
        )
    }

    fn drain(&mut self) {
        loop {
            let wanted = actions(&mut self.stack);
            if wanted.is_empty() {
                return;
            }
            for action in wanted {
                match action {
                    Action::Connect(connect) => {
                        let established = Established {
                            local: address("192.0.2.201:40000"),
                            remote: connect.remote,
                            peer: None,
                        };
                        self.stack.handle_connected(self.now, connect.conn, established);
                        self.conn = Some(connect.conn);
                    }
                    Action::Event(event) => self.events.push((self.now, event)),
                    Action::Resolve { query, question } => self.resolve(query, &question),
                    Action::Transmit(_)
                    | Action::Reading(..)
                    | Action::Close(_)
                    | Action::Listen { .. }
                    | Action::StopListening(_) => {}
                }
            }
        }
    }

    /// Both clients are known by their names, without SRV records.
    fn resolve(&mut self, query: QueryId, question: &Question) {
        let ttl = secs(3600);
        let answer = match question {
            Question::Srv(_) => Answer::Srv {
                records: Vec::new(),
                ttl,
            },
            Question::Addresses(name) => {
                let last = if name.starts_with("client.atlanta") {
                    101
                } else {
                    201
                };
                Answer::Addresses {
                    addresses: vec![Ipv4Addr::new(192, 0, 2, last).into()],
                    ttl,
                }
            }
        };
        self.stack.handle_resolved(self.now, query, Ok(answer));
    }

    /// What it says now.
    fn says(&mut self) -> String {
        self.drain();
        let bytes = take_bytes(&mut self.stack, self.now, self.conn.unwrap());
        self.drain();
        String::from_utf8(bytes).unwrap()
    }

    /// What the other one says.
    fn hears(&mut self, text: &str) {
        self.stack
            .handle_bytes(self.now, self.conn.unwrap(), text.as_bytes());
        self.drain();
    }

    /// Time passes until then, and nothing is said meanwhile.
    fn silent_until(&mut self, end: Time) {
        while let Some((at, _)) = self.stack.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.stack.handle_timeout(at);
            assert_eq!(self.says(), "", "at {at}");
        }
        self.now = end;
    }

    fn invite(&mut self) -> SessionId {
        let offer = Some(Content::new("application/sdp", OFFER));
        let mut alice = self.stack.endpoint(self.now, self.endpoint).unwrap();
        alice
            .invite("sip:bob@biloxi.example.com", offer, SendOptions::default())
            .unwrap()
            .0
    }

    fn session(&self) -> SessionId {
        let found = self.events.iter().find_map(|(_, event)| match event {
            Event::SessionReceived { session, .. } => Some(*session),
            _ => None,
        });
        found.unwrap()
    }

    /// The states of the session, with their times.
    fn states(&self) -> Vec<(Time, SessionState, SessionReason)> {
        let states = self.events.iter().filter_map(|(at, event)| match event {
            Event::Session { new, reason, .. } => Some((*at, *new, *reason)),
            _ => None,
        });
        states.collect()
    }
}

fn parse(text: &str) -> Message {
    let mut framer = Framer::new(MessageLimits::default());
    framer.push(text.as_bytes());
    let Some(Frame::Message { bytes, .. }) = framer.next() else {
        panic!("not one message: {text}")
    };
    assert_eq!(framer.buffered(), 0, "more than one message: {text}");
    Message::parse(bytes, &MessageLimits::default()).unwrap()
}

/// The identifiers of a request that an agent sent.
struct Ids {
    branch: String,
    tag: String,
    epid: String,
    call_id: String,
    known: String,
}

fn ids(text: &str) -> Ids {
    let message = parse(text);
    let from = message.from_().unwrap();
    let value = |field: &str, name: &str| {
        let (_, after) = field.split_once(name).unwrap_or_default();
        after.split([';', '>']).next().unwrap().to_owned()
    };
    Ids {
        branch: message.via_top().unwrap().branch().unwrap().to_owned(),
        tag: from.tag().unwrap().to_owned(),
        epid: value(&field(&message, HeaderName::From), ";epid="),
        call_id: message.call_id().unwrap().to_owned(),
        known: value(&field(&message, HeaderName::Contact), ";ms-opaque="),
    }
}

/// F1 of 3.1, as Alice sends it.
fn invite_of_alice(ids: &Ids) -> String {
    let Ids {
        branch,
        tag,
        epid,
        call_id,
        known,
    } = ids;
    message(
        &format!(
            "INVITE sip:bob@biloxi.example.com SIP/2.0
            Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch={branch};rport
            Max-Forwards: 70
            From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
            To: <sip:bob@biloxi.example.com>
            Call-ID: {call_id}
            CSeq: 1 INVITE
            Contact: <sip:alice@client.atlanta.example.com:5060;transport=tcp;ms-opaque={known}>
            Allow: {ALLOW}
            Supported: gruu
            User-Agent: {PRODUCT}
            Content-Type: application/sdp
            Content-Length: {}",
            OFFER.len()
        ),
        OFFER,
    )
}

const PRODUCT: &str = concat!("sansip/", env!("CARGO_PKG_VERSION"));

/// A response of Bob's to Alice, in the RFC's own order.
fn response_of_bob(ids: &Ids, status: &str, cseq: &str, more: &str, body: &str) -> String {
    let Ids {
        branch,
        tag,
        epid,
        call_id,
        ..
    } = ids;
    let to_tag = if cseq.ends_with("CANCEL") || status.starts_with("100") {
        ""
    } else {
        ";tag=8321234356"
    };
    message(
        &format!(
            "SIP/2.0 {status}
            Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch={branch};received=192.0.2.101;rport=5060
            From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
            To: <sip:bob@biloxi.example.com>{to_tag}
            Call-ID: {call_id}
            CSeq: {cseq}
            {more}Content-Length: {}",
            body.len()
        ),
        body,
    )
}

/// An ACK or a CANCEL of Alice's to the INVITE itself: same Request-URI, same branch (RFC 3261 sections 9.1, 17.1.1.3).
fn follow_up_of_alice(ids: &Ids, method: &str, to_tag: &str) -> String {
    let Ids {
        branch,
        tag,
        epid,
        call_id,
        ..
    } = ids;
    message(
        &format!(
            "{method} sip:bob@biloxi.example.com SIP/2.0
            Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch={branch};rport
            Max-Forwards: 70
            From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
            Call-ID: {call_id}
            To: <sip:bob@biloxi.example.com>{to_tag}
            CSeq: 1 {method}
            Content-Length: 0"
        ),
        "",
    )
}

const CONTACT_OF_BOB: &str = "Contact: <sip:bob@client.biloxi.example.com;transport=tcp>\n";
const BOB: &str = ";tag=8321234356";

fn rings(alice: &mut Agent, ids: &Ids) {
    alice.hears(&response_of_bob(
        ids,
        "180 Ringing",
        "1 INVITE",
        CONTACT_OF_BOB,
        "",
    ));
    assert_eq!(alice.says(), "");
}

/// RFC 3665, 3.1, at Alice's side.
// rules: S1, S5, S10
#[test]
fn a_session_is_established_and_ended_by_the_callee() {
    let mut alice = Agent::alice();
    let begun = alice.now;
    alice.invite();
    let f1 = alice.says();
    let ids = ids(&f1);
    assert_eq!(f1, invite_of_alice(&ids));
    alice.silent_until(begun + secs(1));
    rings(&mut alice, &ids);
    alice.silent_until(begun + secs(5));
    let more = format!("{CONTACT_OF_BOB}Content-Type: application/sdp\n");
    alice.hears(&response_of_bob(&ids, "200 OK", "1 INVITE", &more, ANSWER));
    let f4 = alice.says();
    let branch = branch_of(&f4);
    assert_ne!(branch, ids.branch, "an ACK of a 2xx is a transaction of its own");
    let Ids {
        tag, epid, call_id, ..
    } = &ids;
    let expected = format!(
        "ACK sip:bob@client.biloxi.example.com;transport=tcp SIP/2.0
        Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch={branch};rport
        Max-Forwards: 70
        From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
        To: <sip:bob@biloxi.example.com>{BOB}
        Call-ID: {call_id}
        CSeq: 1 ACK
        User-Agent: {PRODUCT}
        Content-Length: 0"
    );
    assert_eq!(f4, message(&expected, ""));
    // It talks for a while, as the two lines of RTP in the figure say.
    alice.silent_until(begun + secs(60));
    let f5 = format!(
        "BYE sip:alice@client.atlanta.example.com SIP/2.0
        Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch=z9hG4bKnashds7
        Max-Forwards: 70
        From: Bob <sip:bob@biloxi.example.com>{BOB}
        To: Alice <sip:alice@atlanta.example.com>;tag={tag}
        Call-ID: {call_id}
        CSeq: 1 BYE
        Content-Length: 0"
    );
    alice.hears(&message(&f5, ""));
    let f6 = format!(
        "SIP/2.0 200 OK
        Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch=z9hG4bKnashds7;received=192.0.2.201
        From: Bob <sip:bob@biloxi.example.com>{BOB}
        To: Alice <sip:alice@atlanta.example.com>;tag={tag}
        Call-ID: {call_id}
        CSeq: 1 BYE
        Content-Length: 0"
    );
    assert_eq!(alice.says(), message(&f6, ""));
    let none = SessionReason::None;
    assert_eq!(
        alice.states(),
        [
            (begun, SessionState::Connecting, none),
            (
                begun + secs(1),
                SessionState::Alerted,
                SessionReason::ProvisionalResponseReceived
            ),
            (begun + secs(5), SessionState::Connected, none),
            (
                begun + secs(60),
                SessionState::Disconnected,
                SessionReason::TerminatedRemotely
            ),
        ]
    );
}

fn branch_of(text: &str) -> String {
    parse(text).via_top().unwrap().branch().unwrap().to_owned()
}

/// RFC 3665, 3.8, at Alice's side: nobody answers, and she gives up.
// rules: S10, S11
#[test]
fn a_session_that_nobody_answers_is_cancelled() {
    let mut alice = Agent::alice();
    let begun = alice.now;
    let session = alice.invite();
    let f1 = alice.says();
    let ids = ids(&f1);
    assert_eq!(f1, invite_of_alice(&ids));
    alice.hears(&response_of_bob(&ids, "100 Trying", "1 INVITE", "", ""));
    rings(&mut alice, &ids);
    alice.silent_until(begun + secs(20));
    alice.stack.session(alice.now, session).unwrap().terminate();
    assert_eq!(alice.says(), follow_up_of_alice(&ids, "CANCEL", ""));
    alice.hears(&response_of_bob(&ids, "200 OK", "1 CANCEL", "", ""));
    assert_eq!(alice.says(), "");
    alice.hears(&response_of_bob(
        &ids,
        "487 Request Terminated",
        "1 INVITE",
        "",
        "",
    ));
    assert_eq!(alice.says(), follow_up_of_alice(&ids, "ACK", BOB));
    alice.silent_until(begun + secs(120));
}

fn refused(status: &str, reason: SessionReason) {
    let mut alice = Agent::alice();
    let begun = alice.now;
    alice.invite();
    let f1 = alice.says();
    let ids = ids(&f1);
    assert_eq!(f1, invite_of_alice(&ids));
    alice.hears(&response_of_bob(&ids, "100 Trying", "1 INVITE", "", ""));
    alice.silent_until(begun + secs(2));
    alice.hears(&response_of_bob(&ids, status, "1 INVITE", "", ""));
    assert_eq!(alice.says(), follow_up_of_alice(&ids, "ACK", BOB));
    alice.silent_until(begun + secs(120));
    assert_eq!(
        alice.states().last(),
        Some(&(begun + secs(2), SessionState::Disconnected, reason))
    );
}

/// RFC 3665, 3.9 and 3.11, at Alice's side.
// rules: S1, S9
#[test]
fn a_busy_or_an_absent_callee_is_acknowledged() {
    refused("486 Busy Here", SessionReason::Busy);
    refused(
        "480 Temporarily Unavailable",
        SessionReason::TemporarilyUnavailable,
    );
}

/// RFC 3665, 3.10: no answer at all. Over TCP nothing is sent again, and timer B is 32 s.
// rules: S1
#[test]
fn a_callee_who_says_nothing_times_out() {
    let mut alice = Agent::alice();
    let begun = alice.now;
    alice.invite();
    let f1 = alice.says();
    assert_eq!(f1, invite_of_alice(&ids(&f1)));
    let end = begun + secs(32);
    alice.silent_until(end - TICK);
    assert_eq!(alice.states().len(), 1, "not ended before timer B");
    alice.silent_until(end);
    let last = (end, SessionState::Disconnected, SessionReason::Timeout);
    assert_eq!(alice.states().last(), Some(&last));
}

/// F1 of 3.1 as Bob hears it: the RFC's own bytes.
fn invite_of_the_rfc() -> String {
    message(
        &format!(
            "INVITE sip:bob@biloxi.example.com SIP/2.0
            Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9
            Max-Forwards: 70
            From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
            To: Bob <sip:bob@biloxi.example.com>
            Call-ID: 3848276298220188511@atlanta.example.com
            CSeq: 1 INVITE
            Contact: <sip:alice@client.atlanta.example.com;transport=tcp>
            Content-Type: application/sdp
            Content-Length: {}",
            OFFER.len()
        ),
        OFFER,
    )
}

/// A response of Bob's; `more` are fields after those that every response has.
fn says_bob(status: &str, tag: &str, more: &str, body: &str) -> String {
    message(
        &format!(
            "SIP/2.0 {status}
            Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;received=192.0.2.101
            From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
            To: Bob <sip:bob@biloxi.example.com>;tag={tag}
            Call-ID: 3848276298220188511@atlanta.example.com
            CSeq: 1 INVITE
            {more}Content-Length: {}",
            body.len()
        ),
        body,
    )
}

/// RFC 3665, 3.1, at Bob's side, who ends it.
// rules: S2, S5, S10
#[test]
fn a_session_is_accepted_and_ended_by_the_callee() {
    let mut bob = Agent::bob();
    let begun = bob.now;
    bob.hears(&invite_of_the_rfc());
    let session = bob.session();
    bob.stack
        .session(bob.now, session)
        .unwrap()
        .provisional(StatusCode::RINGING, None)
        .unwrap();
    let f2 = bob.says();
    let to = field(&parse(&f2), HeaderName::To);
    let tag = to.split_once(";tag=").unwrap().1.to_owned();
    let known = known_by(&f2);
    let contact =
        format!("Contact: <sip:bob@client.biloxi.example.com:5060;transport=tcp;ms-opaque={known}>\n");
    let more = format!("{contact}Allow: {ALLOW}\nSupported: gruu\nServer: {PRODUCT}\n");
    assert_eq!(f2, says_bob("180 Ringing", &tag, &more, ""));
    bob.silent_until(begun + secs(3));
    let answer = Content::new("application/sdp", ANSWER);
    bob.stack
        .session(bob.now, session)
        .unwrap()
        .accept(Some(answer))
        .unwrap();
    let typed = format!("{more}Content-Type: application/sdp\n");
    assert_eq!(bob.says(), says_bob("200 OK", &tag, &typed, ANSWER));
    let f4 = format!(
        "ACK sip:bob@client.biloxi.example.com SIP/2.0
        Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bd5
        Max-Forwards: 70
        From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
        To: Bob <sip:bob@biloxi.example.com>;tag={tag}
        Call-ID: 3848276298220188511@atlanta.example.com
        CSeq: 1 ACK
        Content-Length: 0"
    );
    bob.hears(&message(&f4, ""));
    assert_eq!(bob.says(), "");
    bob.silent_until(begun + secs(60));
    bob.stack.session(bob.now, session).unwrap().terminate();
    let f5 = bob.says();
    let branch = branch_of(&f5);
    let expected = format!(
        "BYE sip:alice@client.atlanta.example.com;transport=tcp SIP/2.0
        Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch={branch};rport
        Max-Forwards: 70
        From: Bob <sip:bob@biloxi.example.com>;tag={tag}
        To: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
        Call-ID: 3848276298220188511@atlanta.example.com
        CSeq: 1 BYE
        User-Agent: {PRODUCT}
        Content-Length: 0"
    );
    assert_eq!(f5, message(&expected, ""));
}

fn known_by(text: &str) -> String {
    let contact = field(&parse(text), HeaderName::Contact);
    contact
        .split_once(";ms-opaque=")
        .unwrap()
        .1
        .trim_end_matches('>')
        .to_owned()
}

/// RFC 3665, 3.9, at Bob's side.
// rules: S2
#[test]
fn a_busy_callee_says_so() {
    let mut bob = Agent::bob();
    bob.hears(&invite_of_the_rfc());
    let session = bob.session();
    bob.stack
        .session(bob.now, session)
        .unwrap()
        .reject(StatusCode::BUSY_HERE, None)
        .unwrap();
    let busy = bob.says();
    let to = field(&parse(&busy), HeaderName::To);
    let tag = to.split_once(";tag=").unwrap().1;
    assert_eq!(busy, says_bob("486 Busy Here", tag, "", ""));
    let ack = format!(
        "ACK sip:bob@biloxi.example.com SIP/2.0
        Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9
        Max-Forwards: 70
        From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
        To: Bob <sip:bob@biloxi.example.com>;tag={tag}
        Call-ID: 3848276298220188511@atlanta.example.com
        CSeq: 1 ACK
        Content-Length: 0"
    );
    bob.hears(&message(&ack, ""));
    let later = bob.now + secs(120);
    bob.silent_until(later);
}

// --- registration

fn md5(text: &str) -> String {
    Md5::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What Bob's REGISTERs have of their own.
struct Binding {
    tag: String,
    epid: String,
    call_id: String,
    contact: String,
}

fn binding(f1: &str) -> Binding {
    let Ids {
        tag, epid, call_id, ..
    } = ids(f1);
    Binding {
        tag,
        epid,
        call_id,
        contact: field(&parse(f1), HeaderName::Contact),
    }
}

/// A REGISTER of Bob's, with what rule R12 adds.
fn register(binding: &Binding, branch: &str, cseq: u32, expires: u32, authorization: &str) -> String {
    let Binding {
        tag,
        epid,
        call_id,
        contact,
    } = binding;
    // What only a registration that lasts has use for.
    let lasting = "Event: registration\nms-keep-alive: UAC;hop-hop=yes\n";
    let more = if expires > 0 { lasting } else { "" };
    message(
        &format!(
            "REGISTER sip:biloxi.example.com SIP/2.0
            Via: SIP/2.0/TCP 192.0.2.201:40000;branch={branch};rport
            Max-Forwards: 70
            From: \"Bob\" <sip:bob@biloxi.example.com>;tag={tag};epid={epid}
            To: \"Bob\" <sip:bob@biloxi.example.com>
            Call-ID: {call_id}
            CSeq: {cseq} REGISTER
            Contact: {contact}
            {authorization}Expires: {expires}
            Supported: gruu, gruu-10, ms-forking, path, outbound
            {more}Allow: {ALLOW}
            User-Agent: {PRODUCT}
            Content-Length: 0"
        ),
        "",
    )
}

/// An answer of the registrar.
fn of_registrar(binding: &Binding, branch: &str, cseq: u32, status: &str, more: &str) -> String {
    let Binding {
        tag, epid, call_id, ..
    } = binding;
    message(
        &format!(
            "SIP/2.0 {status}
            Via: SIP/2.0/TCP 192.0.2.201:40000;branch={branch};received=192.0.2.201;rport=40000
            From: \"Bob\" <sip:bob@biloxi.example.com>;tag={tag};epid={epid}
            To: \"Bob\" <sip:bob@biloxi.example.com>;tag=1410948204
            Call-ID: {call_id}
            CSeq: {cseq} REGISTER
            {more}Content-Length: 0"
        ),
        "",
    )
}

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"atlanta.example.com\", qop=\"auth\", \
    nonce=\"ea9c8e88df84f1cec4341ae6cbe5a359\", opaque=\"\", stale=FALSE, algorithm=MD5\n";

/// The Authorization that answers it (RFC 7616 section 3.4.1), for Bob's password of the RFC.
fn authorization(text: &str, count: u32) -> String {
    let value = field(&parse(text), HeaderName::Authorization);
    let (_, after) = value.split_once("cnonce=\"").unwrap_or_default();
    let cnonce = after.split('"').next().unwrap();
    let (uri, nonce) = ("sip:biloxi.example.com", "ea9c8e88df84f1cec4341ae6cbe5a359");
    let ha1 = md5("bob:atlanta.example.com:zanzibar");
    let ha2 = md5(&format!("REGISTER:{uri}"));
    let response = md5(&format!("{ha1}:{nonce}:{count:08x}:{cnonce}:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"bob\", realm=\"atlanta.example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=MD5, opaque=\"\", cnonce=\"{cnonce}\", qop=auth, nc={count:08x}\n"
    )
}

fn registering() -> Agent {
    let now = Time::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32], now, UnixTime(1_700_000_000));
    let mut config = SipEndpointConfig::new("sip:bob@biloxi.example.com");
    config.server = Some(Server {
        host: String::from("192.0.2.1"),
        port: Some(5060),
    });
    config.transport = Transport::Tcp;
    config.profile.display_name = Some(String::from("Bob"));
    config.credentials = vec![Credentials::new("bob", Secret::new("zanzibar"))];
    let endpoint = stack.add_sip_endpoint(now, config).unwrap();
    stack.endpoint(now, endpoint).unwrap().register().unwrap();
    let mut agent = Agent {
        stack,
        endpoint,
        now,
        conn: None,
        events: Vec::new(),
    };
    agent.drain();
    agent
}

/// RFC 3665, 2.1 and 2.4: a registration that is challenged, and its end.
// rules: R1, R10, R12, R16
#[test]
fn a_registration_is_challenged_made_and_cancelled() {
    let mut bob = registering();
    let begun = bob.now;
    let f1 = bob.says();
    let binding = binding(&f1);
    let branch = branch_of(&f1);
    assert_eq!(f1, register(&binding, &branch, 1, 3600, ""));
    bob.hears(&of_registrar(&binding, &branch, 1, "401 Unauthorized", CHALLENGE));
    let f3 = bob.says();
    let branch = branch_of(&f3);
    assert_eq!(f3, register(&binding, &branch, 2, 3600, &authorization(&f3, 1)));
    let contact = format!("Contact: {};expires=3600\n", binding.contact);
    bob.hears(&of_registrar(&binding, &branch, 2, "200 OK", &contact));
    assert_eq!(bob.says(), "");
    bob.silent_until(begun + secs(10));
    bob.stack
        .endpoint(bob.now, bob.endpoint)
        .unwrap()
        .unregister()
        .unwrap();
    let last = bob.says();
    let branch = branch_of(&last);
    assert_eq!(last, register(&binding, &branch, 3, 0, &authorization(&last, 2)));
    bob.hears(&of_registrar(&binding, &branch, 3, "200 OK", ""));
    let states: Vec<_> = bob
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Registration { new, .. } => Some((*at, *new)),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        [
            (begun, RegistrationState::Registering),
            (begun, RegistrationState::Registered),
            (begun + secs(10), RegistrationState::Unregistering),
            (begun + secs(10), RegistrationState::Unregistered),
        ]
    );
}

/// RFC 3665, 2.5: the password is wrong, and is not tried again.
// rules: R10, A7
#[test]
fn a_registration_with_a_wrong_password_ends() {
    let mut bob = registering();
    let f1 = bob.says();
    let binding = binding(&f1);
    let branch = branch_of(&f1);
    bob.hears(&of_registrar(&binding, &branch, 1, "401 Unauthorized", CHALLENGE));
    let f3 = bob.says();
    let branch = branch_of(&f3);
    assert_eq!(f3, register(&binding, &branch, 2, 3600, &authorization(&f3, 1)));
    bob.hears(&of_registrar(&binding, &branch, 2, "401 Unauthorized", CHALLENGE));
    assert_eq!(bob.says(), "");
    let later = bob.now + secs(120);
    bob.silent_until(later);
    let last = bob.events.iter().rev().find_map(|(at, event)| match event {
        Event::Registration { new, reason, .. } => Some((*at, *new, *reason)),
        _ => None,
    });
    let begun = Time::from_secs(1);
    let expected = (
        begun,
        RegistrationState::Unregistered,
        RegistrationReason::Credentials,
    );
    assert_eq!(last, Some(expected));
}
