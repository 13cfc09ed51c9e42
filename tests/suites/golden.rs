//! Flows of RFC 3665 that concern a user agent, as the exact bytes at exact times.
//!
//! | flow | here | why so |
//! |---|---|---|
//! | 2.1 Successful New Registration | `a_registration_is_challenged_made_and_cancelled` | all of it |
//! | 2.2 Update of Contact List | `a_registration_is_refreshed_among_other_contacts` | the list as it comes back, with another's contact in it (R21), and our own refresh (R4). An endpoint registers its own contact only, so F1 (a mailto contact) is not sent |
//! | 2.3 Request for Current Contact List | none | an endpoint never asks for the list alone: no rule wants it, and every 2xx brings it; its answer is that of 2.2 |
//! | 2.4 Cancellation of Registration | `a_registration_is_challenged_made_and_cancelled` | with our own contact, not `*`, which would remove the other devices of the user (R16, E2; RFC 3261 section 10.2.2) |
//! | 2.5 Unsuccessful Registration | `a_registration_with_a_wrong_password_ends` | all of it |
//! | 3.1 Successful Session Establishment | `a_session_is_established_and_ended_by_the_callee`, `a_session_is_accepted_and_ended_by_the_callee` | either side |
//! | 3.2 Through Two Proxies | `a_session_goes_through_two_proxies`, `a_callee_answers_through_two_proxies` | either side |
//! | 3.3 Multiple Proxy Authentication | `each_of_two_proxies_is_answered` | the caller up to F13; the rest is 3.2 |
//! | 3.4 With Proxy Failure | `a_dead_proxy_is_passed_by` | over TCP a dead proxy refuses the connection; one that takes the INVITE and says nothing is 3.10 (C35) |
//! | 3.5 Through a SIP ALG | none | to either user agent the same as 3.2; what differs is the ALG's own doing |
//! | 3.6 Redirect, SDP in ACK | `a_session_is_redirected_and_answers_in_ack` | the INVITE to the new target is the application's: following by itself (S13) is not built |
//! | 3.7 re-INVITE (IP Address Change) | `a_session_is_changed_by_the_callee` | F8 to F12 |
//! | 3.8 Unsuccessful No Answer | `a_session_that_nobody_answers_is_cancelled`, `a_cancelled_callee_says_so` | either side |
//! | 3.9 Unsuccessful Busy | `a_refusal_through_the_proxies_is_acknowledged`, `a_callee_refuses_through_two_proxies` | either side |
//! | 3.10 No Response from User Agent | `a_refusal_through_the_proxies_is_acknowledged`, `a_callee_who_says_nothing_times_out` | with a proxy that reports it and without |
//! | 3.11 Unsuccessful Temporarily Unavailable | `a_refusal_through_the_proxies_is_acknowledged`, `a_callee_refuses_through_two_proxies` | either side |
//!
//! There are no others: gateways are RFC 3666. What the RFC's figures cannot show, since their messages all arrive:
//! `an_accepted_session_without_an_ack_ends`, `a_registrar_who_says_nothing_times_out`.
//!
//! The proxies are played by the test. Transport is TCP, and TLS for registration, as in 3.1 and 2.1: the flows that the
//! RFC draws over UDP stand here without the retransmissions that UDP needs.
//!
//! Every message is written from the RFC's, with these changes, which are all; what only one message has is said there.
//!
//! - **Identifiers** (branches, tags, Call-IDs, epid, ms-opaque, cnonce) are the stack's own, each taken where it is sent
//!   first and held to from then on. A retried request keeps its From tag (RFC 3261 section 8.1.3.5), which 2.1 changes.
//! - **Via** has `rport` (RFC 3581 section 3) and, like Contact, the address that the connection has (rule C36): the
//!   listening one of a peer-to-peer endpoint, else the connection's own. A folded line stands on one line, and a list
//!   of routes on several (RFC 3261 section 7.3.1).
//! - **From** has our `epid` (E1, E3), and quotes around the display name (section 25.1 lets either). **To** has no display
//!   name in a request outside a dialog: the application names a URI (section 8.1.1.2).
//! - **Contact** has the port (P8) and the `ms-opaque` by which a request for it is known (M5). In REGISTER it has what
//!   R12, E5 and RFC 5626 section 4.2.1 want.
//! - **Request-URI** in a dialog is the whole remote target (section 12.2.1.1): the RFC's figures leave out its
//!   `transport=tcp`. That of REGISTER is the domain (section 10.2), not the registrar.
//! - **Route**: a SipEndpoint has that which its registrar gave it (R17), as if configured. In an ACK of a refusal and in
//!   CANCEL it is repeated (sections 9.1 and 17.1.1.3), also where the figure leaves it out.
//! - **Authorization**, Proxy-Authorization: qop, cnonce and nc, since the challenge has qop (RFC 7616 section 3.4), and
//!   its algorithm. An ACK repeats that of its INVITE (section 22.1), also the ACK of a 2xx; a CANCEL has none.
//! - **Fields that we add**: Allow and Supported in INVITE and in its 2xx (sections 13.2.1 and 13.3.1.4), and in its 1xx
//!   as far as they make a dialog (RFC 3311: the peer may send UPDATE in it); those of R12 in REGISTER;
//!   Expires in REGISTER (section 10.2.1.1).
//!
//! The stack's own choice, where the RFC leaves it one:
//!
//! - **User-Agent** (E11; sections 20.41 and 20.35) is in all requests but those written from the bytes of another, the
//!   ACK of a refusal and CANCEL; **Server** in the 1xx and 2xx that describe the endpoint, not in other responses.
//! - **Order** (without meaning, section 7.3.1), that of `exchange/write.rs`, `exchange/reply.rs` and
//!   `transaction/follow.rs`: Via, Max-Forwards, From, To, Call-ID, CSeq, Route, Contact, credentials, the rest, with the
//!   body's last; in a response Contact, Record-Route, the rest; in ACK of a refusal and CANCEL Route before From, and To
//!   after Call-ID.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::net::{IpAddr, SocketAddr};

use md5::{Digest, Md5};
use sansip::security::{Credentials, Secret};
use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{HeaderName, Message, MessageLimits, StatusCode};
use sansip::{
    Action, Answer, CloseReason, Config, ConnId, Content, EndpointId, Established, Event, PeerCertificate,
    PeerToPeerConfig, QueryId, Question, RegistrationReason, RegistrationState, SendOptions, Server,
    SessionId, SessionReason, SessionState, SipEndpointConfig, Stack, Time, Transport, UnixTime,
};

use common::{TICK, actions, answer, field, secs, take_bytes};

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

const BEGUN: Time = Time::from_secs(1);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One stack with one endpoint and its latest connection, and what was said over it.
struct Agent {
    stack: Stack,
    endpoint: EndpointId,
    now: Time,
    /// Its address, and where its connections come from.
    local: SocketAddr,
    /// Where it can be reached, as it stands in Via and Contact.
    own: &'static str,
    conn: Option<ConnId>,
    /// Where it has made connections to.
    connected: Vec<SocketAddr>,
    /// How many of its next connections are refused.
    refusals: usize,
    events: Vec<(Time, Event)>,
}

/// What the domain name system knows; there are no SRV records.
const NAMES: [(&str, &[[u8; 4]]); 5] = [
    ("biloxi.example.com", &[[192, 0, 2, 201]]),
    ("chicago.example.com", &[[192, 0, 2, 233]]),
    ("ss1.atlanta.example.com", &[[192, 0, 2, 111]]),
    ("ss2.biloxi.example.com", &[[192, 0, 2, 222]]),
    ("proxies.example.com", &[[192, 0, 2, 111], [192, 0, 2, 222]]),
];

impl Agent {
    fn new(stack: Stack, endpoint: EndpointId, local: &str, own: &'static str) -> Self {
        Self {
            stack,
            endpoint,
            now: BEGUN,
            local: address(local),
            own,
            conn: None,
            connected: Vec::new(),
            refusals: 0,
            events: Vec::new(),
        }
    }

    /// A peer-to-peer endpoint that listens at this address on port 5060; a connection comes from `caller`, if any.
    fn listening(name: &str, uri: &str, own: &'static str, ip: &str, caller: Option<&str>) -> Self {
        let (client, _) = own.split_once(':').unwrap();
        let config = Config {
            local_host_name: Some(client.to_owned()),
            ..Config::default()
        };
        let mut stack = Stack::new(config, [1; 32], BEGUN, UnixTime(1_700_000_000));
        let mut config = PeerToPeerConfig::new(uri);
        config.profile.display_name = Some(name.to_owned());
        let endpoint = stack.add_peer_to_peer_endpoint(BEGUN, config).unwrap();
        let manager = stack.server_tcp_manager();
        let listening = address(&format!("{ip}:5060"));
        let listener = stack.manager(BEGUN, manager).unwrap().listen(listening).unwrap();
        stack.handle_listening(BEGUN, listener, Ok(listening));
        let conn = caller.map(|caller| {
            let caller = address(&format!("{caller}:40000"));
            stack.handle_accepted(BEGUN, listener, listening, caller)
        });
        let mut agent = Self::new(stack, endpoint, &format!("{ip}:40000"), own);
        agent.conn = conn;
        agent.drain();
        agent
    }

    fn alice() -> Self {
        let (uri, own) = ("sip:alice@atlanta.example.com", "client.atlanta.example.com:5060");
        Self::listening("Alice", uri, own, "192.0.2.101", None)
    }

    /// Bob, with a connection from this address.
    fn bob(caller: &str) -> Self {
        let (uri, own) = ("sip:bob@biloxi.example.com", "client.biloxi.example.com:5060");
        Self::listening("Bob", uri, own, "192.0.2.201", Some(caller))
    }

    /// An endpoint that lives at this server.
    fn served(config: SipEndpointConfig, local: &'static str) -> Self {
        let mut stack = Stack::new(Config::default(), [1; 32], BEGUN, UnixTime(1_700_000_000));
        let endpoint = stack.add_sip_endpoint(BEGUN, config).unwrap();
        Self::new(stack, endpoint, local, local)
    }

    /// Alice at a proxy of this name, with her passwords for the realms of both proxies.
    fn alice_at(proxy: &str) -> Self {
        let mut config = SipEndpointConfig::new("sip:alice@atlanta.example.com");
        config.server = Some(Server {
            host: proxy.to_owned(),
            port: Some(5060),
        });
        config.transport = Transport::Tcp;
        config.profile.display_name = Some(String::from("Alice"));
        config.credentials = vec![
            Credentials::new("alice", Secret::new("wonderland")).with_realm("atlanta.example.com"),
            Credentials::new("alice", Secret::new("glass")).with_realm("biloxi.example.com"),
        ];
        Self::served(config, "192.0.2.101:40000")
    }

    /// Alice at ss1, registered, which puts ss1 into her route (RFC 3608).
    fn alice_of_ss1() -> Self {
        let mut alice = Self::alice_at("ss1.atlanta.example.com");
        let (now, endpoint) = (alice.now, alice.endpoint);
        alice.stack.endpoint(now, endpoint).unwrap().register().unwrap();
        let register = parse(&alice.says());
        let contact = field(&register, HeaderName::Contact);
        let more = format!("Contact: {contact};expires=3600\nService-Route: {SS1}\nContent-Length: 0");
        alice.hears(&message(&answer(&register, "200 OK", "1", &more), ""));
        alice
    }

    fn drain(&mut self) {
        loop {
            let wanted = actions(&mut self.stack);
            if wanted.is_empty() {
                return;
            }
            for action in wanted {
                match action {
                    Action::Connect(connect) if self.refusals > 0 => {
                        self.refusals -= 1;
                        self.stack
                            .handle_closed(self.now, connect.conn, CloseReason::Refused);
                    }
                    Action::Connect(connect) => {
                        let peer = connect.tls.map(|_| {
                            Box::new(PeerCertificate {
                                dns_names: vec![String::from("ss2.biloxi.example.com")],
                                ..PeerCertificate::default()
                            })
                        });
                        let established = Established {
                            local: self.local,
                            remote: connect.remote,
                            peer,
                        };
                        self.stack.handle_connected(self.now, connect.conn, established);
                        self.conn = Some(connect.conn);
                        self.connected.push(connect.remote);
                    }
                    Action::Event(event) => self.events.push((self.now, event)),
                    Action::Resolve { query, question } => self.resolve(query, &question),
                    Action::Authenticate(_) => panic!("no server offers Kerberos"),
                    Action::Transmit(_)
                    | Action::Reading(..)
                    | Action::Close(_)
                    | Action::Listen { .. }
                    | Action::StopListening(_) => {}
                }
            }
        }
    }

    fn resolve(&mut self, query: QueryId, question: &Question) {
        let ttl = secs(3600);
        let answer = match question {
            Question::Naptr(_) => Answer::Naptr {
                records: Vec::new(),
                ttl,
            },
            Question::Srv(_) => Answer::Srv {
                records: Vec::new(),
                ttl,
            },
            Question::Addresses(name) => {
                let (_, known) = NAMES.iter().find(|(known, _)| known == name).unwrap();
                let addresses = known.iter().map(|octets| IpAddr::from(*octets)).collect();
                Answer::Addresses { addresses, ttl }
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

    /// What it says next, if it says anything until then.
    fn said_next(&mut self, end: Time) -> Option<(Time, String)> {
        while let Some((at, _)) = self.stack.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.stack.handle_timeout(at);
            let text = self.says();
            if !text.is_empty() {
                return Some((at, text));
            }
        }
        self.now = end;
        None
    }

    /// What it says until then, with the times.
    fn said_until(&mut self, end: Time) -> Vec<(Time, String)> {
        std::iter::from_fn(|| self.said_next(end)).collect()
    }

    /// Time passes until then, and nothing is said meanwhile.
    fn silent_until(&mut self, end: Time) {
        assert_eq!(self.said_until(end), []);
    }

    fn invite(&mut self, target: &str, offer: Option<&'static str>) -> SessionId {
        let offer = offer.map(|offer| Content::new("application/sdp", offer));
        let mut alice = self.stack.endpoint(self.now, self.endpoint).unwrap();
        alice.invite(target, offer, SendOptions::default()).unwrap().0
    }

    fn ring(&mut self, session: SessionId) -> String {
        let mut session = self.stack.session(self.now, session).unwrap();
        session.provisional(StatusCode::RINGING, None).unwrap();
        self.says()
    }

    fn accept(&mut self, session: SessionId) -> String {
        let answer = Content::new("application/sdp", ANSWER);
        let mut session = self.stack.session(self.now, session).unwrap();
        session.accept(Some(answer)).unwrap();
        self.says()
    }

    fn reject(&mut self, status: StatusCode) -> String {
        let session = self.session();
        let mut session = self.stack.session(self.now, session).unwrap();
        session.reject(status, None).unwrap();
        self.says()
    }

    fn terminate(&mut self, session: SessionId) -> String {
        self.stack.session(self.now, session).unwrap().terminate();
        self.says()
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
    own: &'static str,
    branch: String,
    tag: String,
    epid: String,
    call_id: String,
    known: String,
}

fn ids(agent: &Agent, text: &str) -> Ids {
    let message = parse(text);
    let from = message.from_().unwrap();
    let value = |field: &str, name: &str| {
        let (_, after) = field.split_once(name).unwrap_or_default();
        after.split([';', '>']).next().unwrap().to_owned()
    };
    Ids {
        own: agent.own,
        branch: branch_of(text),
        tag: from.tag().unwrap().to_owned(),
        epid: value(&field(&message, HeaderName::From), ";epid="),
        call_id: message.call_id().unwrap().to_owned(),
        known: value(&field(&message, HeaderName::Contact), ";ms-opaque="),
    }
}

fn branch_of(text: &str) -> String {
    parse(text).via_top().unwrap().branch().unwrap().to_owned()
}

const PRODUCT: &str = concat!("sansip/", env!("CARGO_PKG_VERSION"));
const BILOXI: &str = "sip:bob@biloxi.example.com";
const SS1: &str = "<sip:ss1.atlanta.example.com;lr>";
const SS2: &str = "<sip:ss2.biloxi.example.com;lr>";
/// The route of Alice at ss1, before there is a dialog.
const TO_SS1: &str = "Route: <sip:ss1.atlanta.example.com;lr>\n";

/// An INVITE of Alice's.
fn invite_of_alice(
    ids: &Ids,
    target: &str,
    cseq: u32,
    (route, credentials): (&str, &str),
    offer: &str,
) -> String {
    let Ids {
        own,
        branch,
        tag,
        epid,
        call_id,
        known,
    } = ids;
    let (to, _) = target.split_once(";transport=").unwrap_or((target, ""));
    let typed = if offer.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    message(
        &format!(
            "INVITE {target} SIP/2.0
            Via: SIP/2.0/TCP {own};branch={branch};rport
            Max-Forwards: 70
            From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
            To: <{to}>
            Call-ID: {call_id}
            CSeq: {cseq} INVITE
            {route}Contact: <sip:alice@{own};transport=tcp;ms-opaque={known}>
            {credentials}Allow: {ALLOW}
            Supported: gruu, replaces, timer
            User-Agent: {PRODUCT}
            {typed}Content-Length: {}",
            offer.len()
        ),
        offer,
    )
}

/// A response to Alice, in the RFC's own order. Her connections all come from port 40000 (RFC 3581 section 4).
fn response_to_alice(
    ids: &Ids,
    status: &str,
    cseq: &str,
    (target, to_tag): (&str, &str),
    more: &str,
    body: &str,
) -> String {
    let Ids {
        own,
        branch,
        tag,
        epid,
        call_id,
        ..
    } = ids;
    message(
        &format!(
            "SIP/2.0 {status}
            Via: SIP/2.0/TCP {own};branch={branch};received=192.0.2.101;rport=40000
            From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
            To: <{target}>{to_tag}
            Call-ID: {call_id}
            CSeq: {cseq}
            {more}Content-Length: {}",
            body.len()
        ),
        body,
    )
}

/// An ACK or a CANCEL of Alice's to the INVITE itself: same Request-URI, same branch, same route (RFC 3261 sections 9.1,
/// 17.1.1.3); the ACK with its credentials (section 22.1).
fn follow_up_of_alice(
    ids: &Ids,
    method: &str,
    cseq: u32,
    to_tag: &str,
    (route, credentials): (&str, &str),
) -> String {
    let Ids {
        own,
        branch,
        tag,
        epid,
        call_id,
        ..
    } = ids;
    message(
        &format!(
            "{method} {BILOXI} SIP/2.0
            Via: SIP/2.0/TCP {own};branch={branch};rport
            Max-Forwards: 70
            {route}From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
            Call-ID: {call_id}
            To: <{BILOXI}>{to_tag}
            CSeq: {cseq} {method}
            {credentials}Content-Length: 0"
        ),
        "",
    )
}

/// A request of Alice's in the dialog, with these fields after User-Agent; it has a transaction of its own.
fn inside_of_alice(
    ids: &Ids,
    (method, cseq): (&str, u32),
    (uri, to): (&str, &str),
    (route, more): (&str, &str),
    text: &str,
    body: &str,
) -> String {
    let Ids {
        own,
        tag,
        epid,
        call_id,
        ..
    } = ids;
    let branch = branch_of(text);
    assert_ne!(branch, ids.branch, "a transaction of its own");
    message(
        &format!(
            "{method} {uri} SIP/2.0
            Via: SIP/2.0/TCP {own};branch={branch};rport
            Max-Forwards: 70
            From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
            To: {to}
            Call-ID: {call_id}
            CSeq: {cseq} {method}
            {route}User-Agent: {PRODUCT}
            {more}Content-Length: {}",
            body.len()
        ),
        body,
    )
}

const CONTACT_OF_BOB: &str = "Contact: <sip:bob@client.biloxi.example.com;transport=tcp>\n";
const CLIENT_OF_BOB: &str = "sip:bob@client.biloxi.example.com;transport=tcp";
const SDP: &str = "Content-Type: application/sdp\n";
/// Bob's tags of 3.1, and of the others.
const BOB: &str = ";tag=8321234356";
const PI: &str = ";tag=314159";
const DIRECT: (&str, &str) = ("", "");

/// F1 to F4 of 3.1 at Alice's side: called, ringing after 1 s, answered after 5 s.
fn established() -> (Agent, SessionId, Ids) {
    let mut alice = Agent::alice();
    let session = alice.invite(BILOXI, Some(OFFER));
    let f1 = alice.says();
    let ids = ids(&alice, &f1);
    assert_eq!(f1, invite_of_alice(&ids, BILOXI, 1, DIRECT, OFFER));
    alice.silent_until(BEGUN + secs(1));
    let f2 = response_to_alice(&ids, "180 Ringing", "1 INVITE", (BILOXI, BOB), CONTACT_OF_BOB, "");
    alice.hears(&f2);
    assert_eq!(alice.says(), "");
    alice.silent_until(BEGUN + secs(5));
    let more = format!("{CONTACT_OF_BOB}{SDP}");
    let f3 = response_to_alice(&ids, "200 OK", "1 INVITE", (BILOXI, BOB), &more, ANSWER);
    alice.hears(&f3);
    let f4 = alice.says();
    let to = format!("<{BILOXI}>{BOB}");
    let expected = inside_of_alice(&ids, ("ACK", 1), (CLIENT_OF_BOB, &to), DIRECT, &f4, "");
    assert_eq!(f4, expected);
    // RFC 3261 section 13.2.2.4: the 2xx again, the same ACK again.
    alice.hears(&f3);
    let again = alice.says();
    assert_eq!(
        again,
        inside_of_alice(&ids, ("ACK", 1), (CLIENT_OF_BOB, &to), DIRECT, &again, "")
    );
    assert_eq!(alice.connected, [address("192.0.2.201:5060")], "S18");
    (alice, session, ids)
}

/// RFC 3665, 3.1, at Alice's side.
// rules: S1, S5, S10, S18, C33, C36
#[test]
fn a_session_is_established_and_ended_by_the_callee() {
    let (mut alice, _, ids) = established();
    // It talks for a while, as the two lines of RTP in the figure say.
    alice.silent_until(BEGUN + secs(60));
    let Ids { tag, call_id, .. } = &ids;
    let bye = |first: &str, received: &str, max: &str| {
        message(
            &format!(
                "{first}
                Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch=z9hG4bKnashds7{received}
                {max}From: Bob <sip:bob@biloxi.example.com>{BOB}
                To: Alice <sip:alice@atlanta.example.com>;tag={tag}
                Call-ID: {call_id}
                CSeq: 1 BYE
                Content-Length: 0"
            ),
            "",
        )
    };
    alice.hears(&bye(
        "BYE sip:alice@client.atlanta.example.com SIP/2.0",
        "",
        "Max-Forwards: 70\n",
    ));
    assert_eq!(alice.says(), bye("SIP/2.0 200 OK", ";received=192.0.2.201", ""));
    let none = SessionReason::None;
    assert_eq!(
        alice.states(),
        [
            (BEGUN, SessionState::Connecting, none),
            (
                BEGUN + secs(1),
                SessionState::Alerted,
                SessionReason::ProvisionalResponseReceived
            ),
            (BEGUN + secs(5), SessionState::Connected, none),
            (
                BEGUN + secs(60),
                SessionState::Disconnected,
                SessionReason::TerminatedRemotely
            ),
        ]
    );
}

/// RFC 3665, 3.7, at Alice's side: Bob is somewhere else, and says so. Her answer is as before; her BYE goes to his new
/// target, over the connection that the session has still.
// rules: S4, S5, S6, S10
#[test]
fn a_session_is_changed_by_the_callee() {
    let (mut alice, session, ids) = established();
    alice.silent_until(BEGUN + secs(30));
    let Ids {
        tag,
        epid,
        call_id,
        own,
        known,
        ..
    } = &ids;
    let common = format!(
        "From: Bob <sip:bob@biloxi.example.com>{BOB}
        To: Alice <sip:alice@atlanta.example.com>;tag={tag}
        Call-ID: {call_id}"
    );
    let changed = ANSWER
        .replace("client.biloxi", "client.chicago")
        .replace("0.2.201", "0.2.100");
    let uri = format!("sip:alice@{own};transport=tcp;ms-opaque={known}");
    let f8 = format!(
        "INVITE {uri} SIP/2.0
        Via: SIP/2.0/TCP client.chicago.example.com:5060;branch=z9hG4bKlkld5l
        Max-Forwards: 70
        {common}
        CSeq: 14 INVITE
        Contact: <sip:bob@client.chicago.example.com;transport=tcp>
        {SDP}Content-Length: {}",
        changed.len()
    );
    alice.hears(&message(&f8, &changed));
    assert_eq!(alice.says(), "", "the application decides");
    let mut view = alice.stack.session(alice.now, session).unwrap();
    let accepted = view
        .accept_renegotiation(Content::new("application/sdp", OFFER))
        .unwrap();
    let f9 = format!(
        "SIP/2.0 200 OK
        Via: SIP/2.0/TCP client.chicago.example.com:5060;branch=z9hG4bKlkld5l;received=192.0.2.201
        {common}
        CSeq: 14 INVITE
        Contact: <{uri}>
        Allow: {ALLOW}
        Supported: gruu, replaces, timer
        Server: {PRODUCT}
        {SDP}Content-Length: {}",
        OFFER.len()
    );
    assert_eq!(alice.says(), message(&f9, OFFER));
    let f10 = format!(
        "ACK {uri} SIP/2.0
        Via: SIP/2.0/TCP client.chicago.example.com:5060;branch=z9hG4bKlkld5l
        Max-Forwards: 70
        {common}
        CSeq: 14 ACK
        Content-Length: 0"
    );
    alice.hears(&message(&f10, ""));
    let done = |(_, event): &(Time, Event)| matches!(event, Event::Completed { operation, .. } if *operation == accepted);
    assert!(alice.events.iter().any(done), "with the ACK");
    alice.silent_until(BEGUN + secs(70));
    let f11 = alice.terminate(session);
    let (to, moved) = (
        format!("<{BILOXI}>{BOB}"),
        "sip:bob@client.chicago.example.com;transport=tcp",
    );
    let expected = inside_of_alice(&ids, ("BYE", 2), (moved, &to), DIRECT, &f11, "");
    assert_eq!(f11, expected);
    assert_eq!(alice.states().len(), 3, "it waits for the answer");
    let f12 = format!(
        "SIP/2.0 200 OK
        Via: SIP/2.0/TCP {own};branch={};received=192.0.2.101;rport=40000
        From: \"Alice\" <sip:alice@atlanta.example.com>;tag={tag};epid={epid}
        To: {to}
        Call-ID: {call_id}
        CSeq: 2 BYE
        Content-Length: 0",
        branch_of(&f11)
    );
    alice.hears(&message(&f12, ""));
    alice.silent_until(BEGUN + secs(120));
    let (at, state, reason) = *alice.states().last().unwrap();
    assert_eq!((at, state), (BEGUN + secs(70), SessionState::Disconnected));
    assert_eq!(reason, SessionReason::TerminatedLocally);
}

/// RFC 3665, 3.6, at Alice's side. She calls the new target herself, so F4 has a Call-ID and a To of its own; the Route of
/// F11 is the proxy's Record-Route.
// rules: S1, S5, P2
#[test]
fn a_session_is_redirected_and_answers_in_ack() {
    let mut alice = Agent::alice();
    alice.invite(BILOXI, None);
    let f1 = alice.says();
    let first = ids(&alice, &f1);
    assert_eq!(f1, invite_of_alice(&first, BILOXI, 1, DIRECT, ""));
    let (moved, tag) = ("302 Moved Temporarily", ";tag=53fHlqlQ2");
    let contact = "Contact: <sip:bob@chicago.example.com;transport=tcp>\n";
    let f2 = response_to_alice(&first, moved, "1 INVITE", (BILOXI, tag), contact, "");
    alice.hears(&f2);
    assert_eq!(alice.says(), follow_up_of_alice(&first, "ACK", 1, tag, DIRECT));
    let last = (BEGUN, SessionState::Disconnected, SessionReason::Unreachable);
    assert_eq!(alice.states().last(), Some(&last));

    // The way to the target is no part of its name: To has no transport (RFC 3261 section 19.1.1, table 1).
    let chicago = "sip:bob@chicago.example.com";
    let target = format!("{chicago};transport=tcp");
    let session = alice.invite(&target, None);
    let f4 = alice.says();
    let ids = ids(&alice, &f4);
    assert_eq!(f4, invite_of_alice(&ids, &target, 1, DIRECT, ""));
    assert_eq!(
        alice.connected,
        [address("192.0.2.201:5060"), address("192.0.2.233:5060")]
    );
    assert_ne!((&first.call_id, &first.tag), (&ids.call_id, &ids.tag));
    let record = "Record-Route: <sip:ss3.chicago.example.com;lr>
        Contact: <sip:bob@client.chicago.example.com;transport=tcp>\n";
    let trying = response_to_alice(&ids, "100 Trying", "1 INVITE", (chicago, ""), "", "");
    let ringing = response_to_alice(&ids, "180 Ringing", "1 INVITE", (chicago, PI), record, "");
    alice.hears(&(trying + &ringing));
    let offer = ANSWER.replace("client.biloxi", "client.chicago");
    let more = format!("{record}{SDP}");
    alice.hears(&response_to_alice(
        &ids,
        "200 OK",
        "1 INVITE",
        (chicago, PI),
        &more,
        &offer,
    ));
    // The ACK waits for the answer (S5), here 1 s.
    assert_eq!(alice.says(), "");
    alice.silent_until(BEGUN + secs(1));
    let answer = Content::new("application/sdp", OFFER);
    alice
        .stack
        .session(alice.now, session)
        .unwrap()
        .answer(answer)
        .unwrap();
    let f11 = alice.says();
    let target = "sip:bob@client.chicago.example.com;transport=tcp";
    let to = format!("<{chicago}>{PI}");
    let route = "Route: <sip:ss3.chicago.example.com;lr>\n";
    let expected = inside_of_alice(&ids, ("ACK", 1), (target, &to), (route, SDP), &f11, OFFER);
    assert_eq!(f11, expected);
}

/// RFC 3665, 3.10 without the proxies: no answer at all. Over TCP nothing is sent again, and timer B is 32 s.
// rules: S1, C35
#[test]
fn a_callee_who_says_nothing_times_out() {
    let mut alice = Agent::alice();
    alice.invite(BILOXI, Some(OFFER));
    let f1 = alice.says();
    assert_eq!(f1, invite_of_alice(&ids(&alice, &f1), BILOXI, 1, DIRECT, OFFER));
    let end = BEGUN + secs(32);
    alice.silent_until(end - TICK);
    assert_eq!(alice.states().len(), 1, "not ended before timer B");
    alice.silent_until(end);
    let last = (end, SessionState::Disconnected, SessionReason::Timeout);
    assert_eq!(alice.states().last(), Some(&last));
}

// --- through proxies, at Alice's side

/// The challenge of a proxy, and the answer to it.
struct Challenge {
    realm: &'static str,
    password: &'static str,
    nonce: &'static str,
}

const ATLANTA: Challenge = Challenge {
    realm: "atlanta.example.com",
    password: "wonderland",
    nonce: "f84f1cec41e6cbe5aea9c8e88d359",
};
const SECOND: Challenge = Challenge {
    realm: "biloxi.example.com",
    password: "glass",
    nonce: "c1e22c41ae6cbe5ae983a9c8e88d359",
};

impl Challenge {
    fn line(&self) -> String {
        let Self { realm, nonce, .. } = self;
        format!(
            "Proxy-Authenticate: Digest realm=\"{realm}\", qop=\"auth\", nonce=\"{nonce}\", opaque=\"\", \
             stale=FALSE, algorithm=MD5\n"
        )
    }

    /// The line with the answer to it in an INVITE to Bob.
    fn answered(&self, text: &str, count: u32) -> String {
        let Self {
            realm,
            password,
            nonce,
        } = self;
        let digest = digest(text, ("alice", realm, password), ("INVITE", BILOXI), nonce, count);
        format!("Proxy-Authorization: {digest}\n")
    }
}

/// The credentials that a request has for a realm, as RFC 7616 section 3.4.1 has them; only the cnonce is the request's.
fn digest(
    text: &str,
    (user, realm, password): (&str, &str, &str),
    (method, uri): (&str, &str),
    nonce: &str,
    count: u32,
) -> String {
    let of_realm = format!("Authorization: Digest username=\"{user}\", realm=\"{realm}\"");
    let line = text
        .lines()
        .find(|line| line.contains(&of_realm))
        .unwrap_or_default();
    let (_, after) = line.split_once("cnonce=\"").unwrap_or_default();
    let cnonce = after.split('"').next().unwrap();
    let ha1 = md5(&format!("{user}:{realm}:{password}"));
    let ha2 = md5(&format!("{method}:{uri}"));
    let response = md5(&format!("{ha1}:{nonce}:{count:08x}:{cnonce}:auth:{ha2}"));
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm=MD5, opaque=\"\", cnonce=\"{cnonce}\", qop=auth, nc={count:08x}"
    )
}

fn md5(text: &str) -> String {
    Md5::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// F1 to F6 of 3.2: a call, the challenge, and the call again with the answer (`CSeq` 2, a branch of its own).
fn challenged(alice: &mut Agent, route: &str) -> (SessionId, Ids, String) {
    let session = alice.invite(BILOXI, Some(OFFER));
    let f1 = alice.says();
    let first = ids(alice, &f1);
    assert_eq!(f1, invite_of_alice(&first, BILOXI, 1, (route, ""), OFFER));
    let (required, tag) = ("407 Proxy Authorization Required", ";tag=3flal12sf");
    let challenge = ATLANTA.line();
    alice.hears(&response_to_alice(
        &first,
        required,
        "1 INVITE",
        (BILOXI, tag),
        &challenge,
        "",
    ));
    let said = alice.says();
    let ack = follow_up_of_alice(&first, "ACK", 1, tag, (route, ""));
    let f4 = said
        .strip_prefix(&*ack)
        .unwrap_or_else(|| panic!("F3 is not\n{ack}\nbut\n{said}"));
    let ids = ids(alice, f4);
    assert_ne!(ids.branch, first.branch);
    assert_eq!(
        (&ids.call_id, &ids.tag),
        (&first.call_id, &first.tag),
        "section 8.1.3.5"
    );
    let credentials = ATLANTA.answered(f4, 1);
    assert_eq!(f4, invite_of_alice(&ids, BILOXI, 2, (route, &credentials), OFFER));
    alice.hears(&response_to_alice(
        &ids,
        "100 Trying",
        "2 INVITE",
        (BILOXI, ""),
        "",
        "",
    ));
    assert_eq!(alice.says(), "");
    (session, ids, credentials)
}

const RECORD_ROUTE: &str =
    "Record-Route: <sip:ss2.biloxi.example.com;lr>, <sip:ss1.atlanta.example.com;lr>\n";

/// RFC 3665, 3.2, at Alice's side. The ACK repeats the credentials (RFC 3261 section 22.1), which the figure leaves out.
// rules: S4, S5, R17, R22, A8, C6
#[test]
fn a_session_goes_through_two_proxies() {
    let mut alice = Agent::alice_of_ss1();
    let (_, ids, credentials) = challenged(&mut alice, TO_SS1);
    let made = format!("{RECORD_ROUTE}{CONTACT_OF_BOB}");
    alice.silent_until(BEGUN + secs(1));
    alice.hears(&response_to_alice(
        &ids,
        "180 Ringing",
        "2 INVITE",
        (BILOXI, PI),
        &made,
        "",
    ));
    assert_eq!(alice.says(), "");
    alice.silent_until(BEGUN + secs(5));
    let more = format!("{made}{SDP}");
    alice.hears(&response_to_alice(
        &ids,
        "200 OK",
        "2 INVITE",
        (BILOXI, PI),
        &more,
        ANSWER,
    ));
    let ack = alice.says();
    let route = format!("Route: {SS1}\nRoute: {SS2}\n");
    let to = format!("<{BILOXI}>{PI}");
    let expected = inside_of_alice(
        &ids,
        ("ACK", 2),
        (CLIENT_OF_BOB, &to),
        (&route, &credentials),
        &ack,
        "",
    );
    assert_eq!(ack, expected);
    alice.silent_until(BEGUN + secs(60));
    let Ids {
        own,
        tag,
        call_id,
        known,
        ..
    } = &ids;
    let bye = |first: &str, received: &str, max: &str| {
        message(
            &format!(
                "{first}
                Via: SIP/2.0/TCP ss1.atlanta.example.com:5060;branch=z9hG4bK2d4790.1{received}
                Via: SIP/2.0/TCP ss2.biloxi.example.com:5060;branch=z9hG4bK721e4.1;received=192.0.2.222
                Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch=z9hG4bKnashds7;received=192.0.2.201
                {max}From: Bob <sip:bob@biloxi.example.com>{PI}
                To: Alice <sip:alice@atlanta.example.com>;tag={tag}
                Call-ID: {call_id}
                CSeq: 1 BYE
                Content-Length: 0"
            ),
            "",
        )
    };
    let first = format!("BYE sip:alice@{own};transport=tcp;ms-opaque={known} SIP/2.0");
    alice.hears(&bye(&first, "", "Max-Forwards: 68\n"));
    assert_eq!(alice.says(), bye("SIP/2.0 200 OK", ";received=192.0.2.111", ""));
    assert_eq!(alice.connected, [address("192.0.2.111:5060")], "C6, R22");
}

/// RFC 3665, 3.3, at Alice's side. The second INVITE's ACK and the third INVITE have what the first proxy wanted too; the
/// third keeps its Route, which the figure leaves out of F11.
// rules: A8, A9
#[test]
fn each_of_two_proxies_is_answered() {
    let mut alice = Agent::alice_of_ss1();
    let (_, second, credentials) = challenged(&mut alice, TO_SS1);
    let (required, tag) = ("407 Proxy Authorization Required", ";tag=838209");
    let challenge = SECOND.line();
    alice.hears(&response_to_alice(
        &second,
        required,
        "2 INVITE",
        (BILOXI, tag),
        &challenge,
        "",
    ));
    let said = alice.says();
    let ack = follow_up_of_alice(&second, "ACK", 2, tag, (TO_SS1, &credentials));
    let f11 = said
        .strip_prefix(&*ack)
        .unwrap_or_else(|| panic!("not\n{ack}\nbut\n{said}"));
    let third = ids(&alice, f11);
    assert!(third.branch != second.branch && third.call_id == second.call_id);
    // Counted anew where it is used again (RFC 7616 section 3.4).
    let both = ATLANTA.answered(f11, 2) + &SECOND.answered(f11, 1);
    assert_eq!(f11, invite_of_alice(&third, BILOXI, 3, (TO_SS1, &both), OFFER));
}

/// RFC 3665, 3.4, at Alice's side, who is not registered (R3): the first proxy refuses the connection, and the same INVITE
/// goes to the second at once. Nothing left before, so it is `CSeq` 1 still.
// rules: C25, C35, R3
#[test]
fn a_dead_proxy_is_passed_by() {
    let mut alice = Agent::alice_at("proxies.example.com");
    alice.refusals = 1;
    challenged(&mut alice, "");
    assert_eq!((alice.now, alice.connected.len(), alice.refusals), (BEGUN, 1, 0));
}

/// RFC 3665, 3.8, at Alice's side: nobody answers, and she gives up after 20 s. The CANCEL has the Route, no credentials.
// rules: S10
#[test]
fn a_session_that_nobody_answers_is_cancelled() {
    let mut alice = Agent::alice_of_ss1();
    let (session, ids, credentials) = challenged(&mut alice, TO_SS1);
    let made = format!("{RECORD_ROUTE}{CONTACT_OF_BOB}");
    alice.hears(&response_to_alice(
        &ids,
        "180 Ringing",
        "2 INVITE",
        (BILOXI, PI),
        &made,
        "",
    ));
    assert_eq!(alice.says(), "");
    alice.silent_until(BEGUN + secs(20));
    let f9 = alice.terminate(session);
    assert_eq!(f9, follow_up_of_alice(&ids, "CANCEL", 2, "", (TO_SS1, "")));
    alice.hears(&response_to_alice(
        &ids,
        "200 OK",
        "2 CANCEL",
        (BILOXI, ""),
        "",
        "",
    ));
    assert_eq!(alice.says(), "");
    alice.silent_until(BEGUN + secs(21));
    let ended = "487 Request Terminated";
    alice.hears(&response_to_alice(&ids, ended, "2 INVITE", (BILOXI, PI), "", ""));
    let f20 = alice.says();
    assert_eq!(
        f20,
        follow_up_of_alice(&ids, "ACK", 2, PI, (TO_SS1, &credentials))
    );
    alice.silent_until(BEGUN + secs(120));
    let last = (
        BEGUN + secs(21),
        SessionState::Disconnected,
        SessionReason::TerminatedLocally,
    );
    assert_eq!(alice.states().last(), Some(&last));
}

/// RFC 3665, 3.9, 3.10 and 3.11, at Alice's side: one after the other, so that from the second on the INVITE has the
/// credentials at once, as in the figures (`CSeq` 1, RFC 7616 section 3.6).
// rules: S1, A8
#[test]
fn a_refusal_through_the_proxies_is_acknowledged() {
    let mut alice = Agent::alice_of_ss1();
    let (_, call, credentials) = challenged(&mut alice, TO_SS1);
    let refused = |alice: &mut Agent, call: &Ids, cseq: u32, credentials: &str, status: &str, reason| {
        let at = alice.now + secs(2);
        alice.silent_until(at);
        let invite = format!("{cseq} INVITE");
        let refusal = response_to_alice(call, status, &invite, (BILOXI, PI), "", "");
        alice.hears(&refusal);
        let ack = follow_up_of_alice(call, "ACK", cseq, PI, (TO_SS1, credentials));
        assert_eq!(alice.says(), ack);
        // The refusal again: timer D is zero over TCP, so its transaction is gone.
        alice.silent_until(at + TICK);
        alice.hears(&refusal);
        alice.silent_until(at + secs(40));
        let last = (at, SessionState::Disconnected, reason);
        assert_eq!(alice.states().last(), Some(&last));
    };
    refused(
        &mut alice,
        &call,
        2,
        &credentials,
        "486 Busy Here",
        SessionReason::Busy,
    );
    for (count, status) in [(2, "480 No Response"), (3, "480 Temporarily Unavailable")] {
        alice.invite(BILOXI, Some(OFFER));
        let f1 = alice.says();
        let call = ids(&alice, &f1);
        let credentials = ATLANTA.answered(&f1, count);
        assert_eq!(
            f1,
            invite_of_alice(&call, BILOXI, 1, (TO_SS1, &credentials), OFFER)
        );
        alice.hears(&response_to_alice(
            &call,
            "100 Trying",
            "1 INVITE",
            (BILOXI, ""),
            "",
            "",
        ));
        let reason = SessionReason::TemporarilyUnavailable;
        refused(&mut alice, &call, 1, &credentials, status, reason);
    }
}

// --- at Bob's side

/// How the INVITE came to Bob.
struct Way {
    uri: &'static str,
    /// The topmost Via, which gets `received` in the responses, and the others.
    top: &'static str,
    received: &'static str,
    below: &'static str,
    max_forwards: u8,
    record_route: &'static str,
}

const ALONE: Way = Way {
    uri: BILOXI,
    top: "Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9",
    received: "192.0.2.101",
    below: "",
    max_forwards: 70,
    record_route: "",
};
const THROUGH_PROXIES: Way = Way {
    uri: "sip:bob@client.biloxi.example.com",
    top: "Via: SIP/2.0/TCP ss2.biloxi.example.com:5060;branch=z9hG4bK721e4.1",
    received: "192.0.2.222",
    below: "Via: SIP/2.0/TCP ss1.atlanta.example.com:5060;branch=z9hG4bK2d4790.1;received=192.0.2.111
        Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;received=192.0.2.101\n",
    max_forwards: 68,
    record_route: RECORD_ROUTE,
};

const FROM_ALICE: &str = "From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl";
const CALL: &str = "Call-ID: 3848276298220188511@atlanta.example.com";

impl Way {
    /// The INVITE as Bob hears it: the RFC's own bytes.
    fn invite(&self) -> String {
        let Self {
            uri,
            top,
            below,
            max_forwards,
            record_route,
            ..
        } = self;
        message(
            &format!(
                "INVITE {uri} SIP/2.0
                {top}
                {below}Max-Forwards: {max_forwards}
                {record_route}{FROM_ALICE}
                To: Bob <sip:bob@biloxi.example.com>
                {CALL}
                CSeq: 1 INVITE
                Contact: <sip:alice@client.atlanta.example.com;transport=tcp>
                {SDP}Content-Length: {}",
                OFFER.len()
            ),
            OFFER,
        )
    }

    /// A response of Bob's; `more` are fields after those that every response has.
    fn response(&self, status: &str, tag: &str, more: &str, body: &str) -> String {
        let Self {
            top, received, below, ..
        } = self;
        message(
            &format!(
                "SIP/2.0 {status}
                {top};received={received}
                {below}{FROM_ALICE}
                To: Bob <sip:bob@biloxi.example.com>;tag={tag}
                {CALL}
                CSeq: 1 INVITE
                {more}Content-Length: {}",
                body.len()
            ),
            body,
        )
    }

    /// An ACK of the hop before, or a CANCEL: only its own Via (RFC 3261 sections 9.1 and 17.1.1.3).
    fn follow_up(&self, method: &str, to_tag: &str) -> String {
        let Self { uri, top, .. } = self;
        message(
            &format!(
                "{method} {uri} SIP/2.0
                {top}
                Max-Forwards: 70
                {FROM_ALICE}
                To: Bob <sip:bob@biloxi.example.com>{to_tag}
                {CALL}
                CSeq: 1 {method}
                Content-Length: 0"
            ),
            "",
        )
    }

    /// What a response that makes a dialog has besides.
    fn making(&self, known: &str) -> String {
        let record_route = self.record_route;
        format!(
            "Contact: <sip:bob@client.biloxi.example.com:5060;transport=tcp;ms-opaque={known}>
            {record_route}Allow: {ALLOW}
            Supported: gruu, replaces, timer
            Server: {PRODUCT}\n"
        )
    }

    /// The call up to the 180; the tag of Bob's, and what his responses that make a dialog have besides.
    fn ringing(&self) -> (Agent, String, String) {
        let mut bob = Agent::bob(self.received);
        bob.hears(&self.invite());
        let session = bob.session();
        let ringing = bob.ring(session);
        let tag = tag_of(&ringing);
        let contact = field(&parse(&ringing), HeaderName::Contact);
        let (_, known) = contact.split_once(";ms-opaque=").unwrap();
        let more = self.making(known.trim_end_matches('>'));
        assert_eq!(ringing, self.response("180 Ringing", &tag, &more, ""));
        (bob, tag, more)
    }

    /// The call answered after 3 s, acknowledged, and ended by Bob after a minute.
    fn answered_and_ended(&self, branch_of_ack: &str, route: &str) {
        let (mut bob, tag, more) = self.ringing();
        let session = bob.session();
        bob.silent_until(BEGUN + secs(3));
        let ok = bob.accept(session);
        assert_eq!(ok, self.response("200 OK", &tag, &format!("{more}{SDP}"), ANSWER));
        let (below, max_forwards) = (self.below, self.max_forwards);
        let (top, _) = self.top.split_once(";branch=").unwrap();
        let ack = format!(
            "ACK {CLIENT_OF_BOB} SIP/2.0
            {top};branch={branch_of_ack}
            {below}Max-Forwards: {max_forwards}
            {FROM_ALICE}
            To: Bob <sip:bob@biloxi.example.com>;tag={tag}
            {CALL}
            CSeq: 1 ACK
            Content-Length: 0"
        );
        bob.hears(&message(&ack, ""));
        assert_eq!(bob.says(), "");
        bob.silent_until(BEGUN + secs(60));
        let bye = bob.terminate(session);
        assert_eq!(bye, bye_of_bob(&bye, &tag, route));
        let reply = answer(&parse(&bye), "200 OK", "", "Content-Length: 0");
        bob.hears(&message(&reply, ""));
        bob.silent_until(BEGUN + secs(120));
        let states: Vec<_> = bob.states().iter().map(|(at, new, _)| (*at, *new)).collect();
        assert_eq!(
            states,
            [
                (BEGUN + secs(3), SessionState::Connecting),
                (BEGUN + secs(3), SessionState::Connected),
                (BEGUN + secs(60), SessionState::Disconnected),
            ]
        );
        assert_eq!(
            bob.connected,
            [],
            "over the connection that the call came by (S18)"
        );
    }

    /// The call refused at once, and acknowledged.
    fn refused(&self, status: StatusCode, line: &str) {
        let mut bob = Agent::bob(self.received);
        bob.hears(&self.invite());
        let refusal = bob.reject(status);
        let tag = tag_of(&refusal);
        assert_eq!(refusal, self.response(line, &tag, "", ""));
        bob.hears(&self.follow_up("ACK", &format!(";tag={tag}")));
        bob.silent_until(BEGUN + secs(120));
    }
}

fn tag_of(response: &str) -> String {
    let to = field(&parse(response), HeaderName::To);
    to.split_once(";tag=").unwrap().1.to_owned()
}

fn bye_of_bob(text: &str, tag: &str, route: &str) -> String {
    let branch = branch_of(text);
    message(
        &format!(
            "BYE sip:alice@client.atlanta.example.com;transport=tcp SIP/2.0
            Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch={branch};rport
            Max-Forwards: 70
            From: Bob <sip:bob@biloxi.example.com>;tag={tag}
            To: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
            {CALL}
            CSeq: 1 BYE
            {route}User-Agent: {PRODUCT}
            Content-Length: 0"
        ),
        "",
    )
}

/// RFC 3665, 3.1, at Bob's side, who ends it.
// rules: S2, S5, S10, S18
#[test]
fn a_session_is_accepted_and_ended_by_the_callee() {
    ALONE.answered_and_ended("z9hG4bK74bd5", "");
}

/// RFC 3665, 3.2, at Bob's side: the Vias and the Record-Route go back as they came, and his BYE follows the route.
// rules: S2, S4, S10, S18
#[test]
fn a_callee_answers_through_two_proxies() {
    THROUGH_PROXIES.answered_and_ended("z9hG4bK721e4.2", &format!("Route: {SS2}\nRoute: {SS1}\n"));
}

/// RFC 3665, 3.9 and 3.11, at Bob's side. Over TCP there is no timer G: the refusal goes out once, whether the ACK comes
/// or not. Nor does it wait longer than timer H for it.
// rules: S2, S3
#[test]
fn a_callee_refuses_through_two_proxies() {
    for way in [ALONE, THROUGH_PROXIES] {
        way.refused(StatusCode::BUSY_HERE, "486 Busy Here");
        way.refused(StatusCode::TEMPORARILY_UNAVAILABLE, "480 Temporarily Unavailable");
    }
    let mut bob = Agent::bob("192.0.2.222");
    bob.hears(&THROUGH_PROXIES.invite());
    bob.reject(StatusCode::BUSY_HERE);
    let transactions = |bob: &Agent| bob.stack.census().transactions;
    bob.silent_until(BEGUN + secs(32) - TICK);
    assert_eq!(transactions(&bob), 1);
    bob.silent_until(BEGUN + secs(32));
    assert_eq!(transactions(&bob), 0);
}

/// RFC 3665, 3.8, at Bob's side. The 200 has the To tag of the 487 (RFC 3261 section 9.2), which F14 leaves out.
// rules: S1, S10
#[test]
fn a_cancelled_callee_says_so() {
    let way = THROUGH_PROXIES;
    let (mut bob, tag, _) = way.ringing();
    bob.silent_until(BEGUN + secs(20));
    bob.hears(&way.follow_up("CANCEL", ""));
    let Way { top, received, .. } = way;
    let f14 = format!(
        "SIP/2.0 200 OK
        {top};received={received}
        {FROM_ALICE}
        To: Bob <sip:bob@biloxi.example.com>;tag={tag}
        {CALL}
        CSeq: 1 CANCEL
        Content-Length: 0"
    );
    let f15 = way.response("487 Request Terminated", &tag, "", "");
    assert_eq!(bob.says(), message(&f14, "") + &f15);
    bob.hears(&way.follow_up("ACK", &format!(";tag={tag}")));
    bob.silent_until(BEGUN + secs(120));
    let last = (
        BEGUN + secs(20),
        SessionState::Disconnected,
        SessionReason::Canceled,
    );
    assert_eq!(bob.states().last(), Some(&last));
}

/// 3.1 where F4 is lost: the 200 goes out again after T1, and after twice as long each time up to T2, over TCP too; after
/// 64 times T1 a BYE ends it (RFC 3261 section 13.3.1.4).
// rules: S1, S3
#[test]
fn an_accepted_session_without_an_ack_ends() {
    let (mut bob, tag, more) = ALONE.ringing();
    let session = bob.session();
    let ok = bob.accept(session);
    assert_eq!(
        ok,
        ALONE.response("200 OK", &tag, &format!("{more}{SDP}"), ANSWER)
    );
    let mut said = bob.said_until(BEGUN + secs(32));
    let (at, bye) = said.pop().unwrap();
    // S19: the stack says why.
    let why = "ms-diagnostics: 61002;reason=\"No ACK came for the 2xx\";source=\"client.biloxi.example.com\";component=\"sansip\"";
    let length = "Content-Length: 0";
    let expected = bye_of_bob(&bye, &tag, "").replace(length, &format!("{why}\r\n{length}"));
    assert_eq!((at, bye), (BEGUN + secs(32), expected));
    let halves = [1, 3, 7, 15, 23, 31, 39, 47, 55, 63];
    let expected = halves.map(|half| (BEGUN + secs(half) / 2, ok.clone()));
    assert_eq!(said, expected);
    bob.silent_until(BEGUN + secs(64));
    let last = (
        BEGUN + secs(64),
        SessionState::Disconnected,
        SessionReason::Timeout,
    );
    assert_eq!(bob.states().last(), Some(&last));
}

// --- registration

/// What Bob's REGISTERs have of their own.
struct Binding {
    tag: String,
    call_id: String,
    contact: String,
}

/// The epid of Bob's device, and the instance that MS-SIPRE derives from it in its own example.
const EPID: &str = "01010101";
const INSTANCE: &str = "urn:uuid:4b1682a8-f968-5701-83fc-7c6741dc6697";

/// Contact has the instance (E5), the flow (RFC 5626 section 4.2.1) and the methods (R15); a sips URI needs no transport.
fn binding(bob: &Agent, f1: &str) -> Binding {
    let Ids {
        tag, call_id, known, ..
    } = ids(bob, f1);
    let contact = format!(
        "<sips:bob@192.0.2.201:40000;ms-opaque={known}>;+sip.instance=\"<{INSTANCE}>\";reg-id=1;methods=\"{ALLOW}\""
    );
    Binding {
        tag,
        call_id,
        contact,
    }
}

/// A REGISTER of Bob's, with what rule R12 adds.
fn register(binding: &Binding, branch: &str, cseq: u32, expires: u32, authorization: &str) -> String {
    let Binding {
        tag,
        call_id,
        contact,
    } = binding;
    message(
        &format!(
            "REGISTER sips:biloxi.example.com SIP/2.0
            Via: SIP/2.0/TLS 192.0.2.201:40000;branch={branch};rport
            Max-Forwards: 70
            From: \"Bob\" <sips:bob@biloxi.example.com>;tag={tag};epid={EPID}
            To: \"Bob\" <sips:bob@biloxi.example.com>
            Call-ID: {call_id}
            CSeq: {cseq} REGISTER
            Contact: {contact}
            {authorization}Expires: {expires}
            Supported: gruu, gruu-10, ms-forking, path, outbound
            Event: registration
            ms-keep-alive: UAC;hop-hop=yes
            Allow: {ALLOW}
            User-Agent: {PRODUCT}
            Content-Length: 0"
        ),
        "",
    )
}

/// An answer of the registrar.
fn of_registrar(
    binding: &Binding,
    branch: &str,
    (cseq, to_tag): (u32, &str),
    status: &str,
    more: &str,
) -> String {
    let Binding { tag, call_id, .. } = binding;
    message(
        &format!(
            "SIP/2.0 {status}
            Via: SIP/2.0/TLS 192.0.2.201:40000;branch={branch};received=192.0.2.201;rport=40000
            From: \"Bob\" <sips:bob@biloxi.example.com>;tag={tag};epid={EPID}
            To: \"Bob\" <sips:bob@biloxi.example.com>;tag={to_tag}
            Call-ID: {call_id}
            CSeq: {cseq} REGISTER
            {more}Content-Length: 0"
        ),
        "",
    )
}

fn challenge(nonce: &str) -> String {
    format!(
        "WWW-Authenticate: Digest realm=\"atlanta.example.com\", qop=\"auth\", nonce=\"{nonce}\", opaque=\"\", \
         stale=FALSE, algorithm=MD5\n"
    )
}

/// The Authorization that answers it, for a password of the test's own: the RFC tells none.
fn authorization(text: &str, nonce: &str, count: u32) -> String {
    let user = ("bob", "atlanta.example.com", "zanzibar");
    let digest = digest(text, user, ("REGISTER", "sips:biloxi.example.com"), nonce, count);
    format!("Authorization: {digest}\n")
}

const UNAUTHORIZED: &str = "401 Unauthorized";
const NONCE: &str = "ea9c8e88df84f1cec4341ae6cbe5a359";

/// Bob at his registrar ss2, who has begun to register.
fn registering() -> Agent {
    let mut config = SipEndpointConfig::new("sips:bob@biloxi.example.com");
    config.epid = Some(EPID.to_owned());
    config.server = Some(Server {
        host: String::from("ss2.biloxi.example.com"),
        port: Some(5061),
    });
    config.transport = Transport::Tls;
    config.profile.display_name = Some(String::from("Bob"));
    config.credentials = vec![Credentials::new("bob", Secret::new("zanzibar"))];
    let mut bob = Agent::served(config, "192.0.2.201:40000");
    bob.stack
        .endpoint(BEGUN, bob.endpoint)
        .unwrap()
        .register()
        .unwrap();
    bob.drain();
    bob
}

/// 2.1: challenged, and registered for an hour; `others` are contacts that are not Bob's.
fn registered(others: &str) -> (Agent, Binding) {
    let mut bob = registering();
    let f1 = bob.says();
    let binding = binding(&bob, &f1);
    let branch = branch_of(&f1);
    assert_eq!(f1, register(&binding, &branch, 1, 3600, ""));
    let f2 = of_registrar(
        &binding,
        &branch,
        (1, "1410948204"),
        UNAUTHORIZED,
        &challenge(NONCE),
    );
    bob.hears(&f2);
    let f3 = bob.says();
    let second = branch_of(&f3);
    assert_ne!(second, branch);
    let credentials = authorization(&f3, NONCE, 1);
    assert_eq!(f3, register(&binding, &second, 2, 3600, &credentials));
    let contact = format!("{others}Contact: {};expires=3600\n", binding.contact);
    bob.hears(&of_registrar(
        &binding,
        &second,
        (2, "37GkEhwl6"),
        "200 OK",
        &contact,
    ));
    assert_eq!(bob.says(), "");
    (bob, binding)
}

fn registrations(agent: &Agent) -> Vec<(Time, RegistrationState, RegistrationReason)> {
    let states = agent.events.iter().filter_map(|(at, event)| match event {
        Event::Registration { new, reason, .. } => Some((*at, *new, *reason)),
        _ => None,
    });
    states.collect()
}

/// RFC 3665, 2.1 and 2.4: a registration that is challenged, and its end. The end has the nonce of before, counted on
/// (RFC 7616 section 3.4), and the next `CSeq` of the same Call-ID (R17), where the figure begins anew.
// rules: R1, R10, R12, R16, R17, E5
#[test]
fn a_registration_is_challenged_made_and_cancelled() {
    let (mut bob, binding) = registered("");
    bob.silent_until(BEGUN + secs(10));
    bob.stack
        .endpoint(bob.now, bob.endpoint)
        .unwrap()
        .unregister()
        .unwrap();
    let last = bob.says();
    let branch = branch_of(&last);
    let credentials = authorization(&last, NONCE, 2);
    assert_eq!(last, register(&binding, &branch, 3, 0, &credentials));
    // Whatever it says of keep-alives, there is nothing to keep alive any more, and nothing to wait for.
    let more = "ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300\n";
    bob.hears(&of_registrar(
        &binding,
        &branch,
        (3, "1418nmdsrf"),
        "200 OK",
        more,
    ));
    assert_eq!(bob.says(), "");
    // What has been sent is looked after once, and has gone (R19).
    bob.silent_until(BEGUN + secs(100));
    assert_eq!(bob.stack.poll_timeout(), None);
    let states: Vec<_> = registrations(&bob)
        .iter()
        .map(|(at, new, _)| (*at, *new))
        .collect();
    assert_eq!(
        states,
        [
            (BEGUN, RegistrationState::Registering),
            (BEGUN, RegistrationState::Registered),
            (BEGUN + secs(10), RegistrationState::Unregistering),
            (BEGUN + secs(10), RegistrationState::Unregistered),
        ]
    );
}

/// RFC 3665, 2.2: the list has another contact, which lasts for ever. Ours counts: it is refreshed at nine tenths of its
/// hour or up to a quarter sooner, once, by the same binding with the next `CSeq`.
// rules: R4, R17, R21
#[test]
fn a_registration_is_refreshed_among_other_contacts() {
    let (mut bob, binding) = registered("Contact: <mailto:bob@biloxi.example.com>;expires=4294967295\n");
    let (at, refresh) = bob.said_next(BEGUN + secs(3240)).unwrap();
    assert!(at >= BEGUN + secs(2430), "{at}");
    let branch = branch_of(&refresh);
    let credentials = authorization(&refresh, NONCE, 2);
    assert_eq!(refresh, register(&binding, &branch, 3, 3600, &credentials));
    let contact = format!("Contact: {};expires=3600\n", binding.contact);
    bob.hears(&of_registrar(
        &binding,
        &branch,
        (3, "37GkEhwl6"),
        "200 OK",
        &contact,
    ));
    bob.silent_until(at + secs(2430) - TICK);
}

/// RFC 3665, 2.5: the password is wrong, and is not tried again, though the second challenge has another nonce.
// rules: R10, A7
#[test]
fn a_registration_with_a_wrong_password_ends() {
    let mut bob = registering();
    let f1 = bob.says();
    let binding = binding(&bob, &f1);
    let branch = branch_of(&f1);
    assert_eq!(f1, register(&binding, &branch, 1, 3600, ""));
    let (first, second) = (
        "f1cec4341ae6ca9c8e88df84be55a359",
        "84f1c1ae6cbe5ua9c8e88dfa3ecm3459",
    );
    let tag = "1410948204";
    bob.hears(&of_registrar(
        &binding,
        &branch,
        (1, tag),
        UNAUTHORIZED,
        &challenge(first),
    ));
    let f3 = bob.says();
    let branch = branch_of(&f3);
    let credentials = authorization(&f3, first, 1);
    assert_eq!(f3, register(&binding, &branch, 2, 3600, &credentials));
    bob.hears(&of_registrar(
        &binding,
        &branch,
        (2, tag),
        UNAUTHORIZED,
        &challenge(second),
    ));
    assert_eq!(bob.says(), "");
    bob.silent_until(BEGUN + secs(120));
    let expected = (
        BEGUN,
        RegistrationState::Unregistered,
        RegistrationReason::Credentials,
    );
    assert_eq!(registrations(&bob).last(), Some(&expected));
}

/// 2.1 without F2. Over TLS nothing is sent again, and timer F is 32 s.
// rules: R8, R10
#[test]
fn a_registrar_who_says_nothing_times_out() {
    let mut bob = registering();
    let f1 = bob.says();
    assert_eq!(f1, register(&binding(&bob, &f1), &branch_of(&f1), 1, 3600, ""));
    let end = BEGUN + secs(32);
    bob.silent_until(end - TICK);
    assert_eq!(registrations(&bob).len(), 1, "not ended before timer F");
    bob.silent_until(end);
    let last = (end, RegistrationState::Unregistered, RegistrationReason::Timeout);
    assert_eq!(registrations(&bob).last(), Some(&last));
}
