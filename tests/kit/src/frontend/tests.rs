//! The front end over scripted connections: every line that a peer would write is written here.

mod association;
mod presence;

use std::collections::BTreeMap;
use std::time::Duration;

use sansip::security::Secret;
use sansip::security::digest::{Algorithm, Authorization, Challenge, Qop, Quality};
use sansip::wire::MessageLimits;
use sansip::wire::header::{self, Contact, Header, RecordRoute};

use super::*;

struct Lab {
    front: FrontEnd,
    now: Time,
    inbox: BTreeMap<Conn, Vec<Message>>,
    raw: BTreeMap<Conn, Vec<u8>>,
    closed: Vec<Conn>,
    log: Vec<FrontEndEvent>,
    requests: u32,
}

impl Lab {
    fn new(config: FrontEndConfig) -> Self {
        let front = FrontEnd::new(config, 1);
        let (inbox, raw) = (BTreeMap::new(), BTreeMap::new());
        Self {
            front,
            now: Time::ZERO,
            inbox,
            raw,
            closed: Vec::new(),
            log: Vec::new(),
            requests: 0,
        }
    }

    fn open() -> Self {
        Self::new(FrontEndConfig::new("example.com"))
    }

    /// A connection from 192.0.2.n, port 40000 + n.
    fn connect(&mut self, n: u8) -> Conn {
        let conn = Conn(n.into());
        let local = "192.0.2.200:5060".parse().unwrap();
        let remote = SocketAddr::from(([192, 0, 2, n], 40000 + u16::from(n)));
        self.front.handle_accepted(conn, local, remote, Transport::Tcp);
        self.drain();
        conn
    }

    fn lose(&mut self, conn: Conn) {
        self.front.handle_closed(self.now, conn);
        self.drain();
    }

    fn bytes(&mut self, conn: Conn, bytes: &[u8]) {
        self.front.handle_bytes(self.now, conn, bytes);
        self.drain();
    }

    /// Sends a message as [`wire`] reads it.
    fn send(&mut self, conn: Conn, text: &str) {
        self.bytes(conn, wire(text).as_bytes());
    }

    fn drain(&mut self) {
        while let Some(output) = self.front.poll_output() {
            match output {
                Output::Send { conn, bytes } => {
                    match Message::parse(bytes.clone(), &MessageLimits::default()) {
                        Ok(message) => self.inbox.entry(conn).or_default().push(message),
                        Err(_) => self.raw.entry(conn).or_default().extend_from_slice(&bytes),
                    }
                }
                Output::Close(conn) => self.closed.push(conn),
                Output::Log(event) => self.log.push(event),
            }
        }
    }

    /// Lets time pass, stopping at every deadline on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.front.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.front.handle_timeout(at);
            assert!(
                self.front.poll_timeout().is_none_or(|next| next > at),
                "no progress at {at}"
            );
            self.drain();
        }
        self.now = end;
    }

    fn take(&mut self, conn: Conn) -> Vec<Message> {
        self.inbox.remove(&conn).unwrap_or_default()
    }

    /// The one message that has come.
    #[track_caller]
    fn one(&mut self, conn: Conn) -> Message {
        let mut all = self.take(conn);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[track_caller]
    fn statuses(&mut self, conn: Conn) -> Vec<u16> {
        self.take(conn)
            .iter()
            .map(|message| message.status().expect("a response").code())
            .collect()
    }

    /// A request of `user`, with a branch and a CSeq of its own.
    fn request(&mut self, method: &str, uri: &str, user: &str, more: &str) -> String {
        self.requests += 1;
        let n = self.requests;
        format!(
            "{method} {uri} SIP/2.0
             Via: SIP/2.0/TCP client.invalid;branch=z9hG4bKb{n};rport
             Max-Forwards: 70
             From: <sip:{user}@example.com>;tag=from{user};epid=e{user}
             To: <{uri}>
             Call-ID: call-{user}
             CSeq: {n} {method}
             {more}"
        )
    }

    fn register(&mut self, conn: Conn, user: &str, more: &str) -> Message {
        let mut text = self.request("REGISTER", "sip:example.com", user, more);
        text = text.replace("To: <sip:example.com>", &format!("To: <sip:{user}@example.com>"));
        self.send(conn, &text);
        self.one(conn)
    }

    /// Registers a device, and checks that it worked.
    fn device(&mut self, n: u8, user: &str, epid: &str) -> Conn {
        let conn = self.connect(n);
        let contact = format!(
            "Contact: <sip:{user}@192.0.2.{n}:{};transport=tcp>",
            40000 + u16::from(n)
        );
        let text = self.request("REGISTER", "sip:example.com", user, &contact);
        let text = text
            .replace("To: <sip:example.com>", &format!("To: <sip:{user}@example.com>"))
            .replace(&format!("epid=e{user}"), &format!("epid={epid}"))
            .replace(&format!("call-{user}"), &format!("call-{epid}"));
        self.send(conn, &text);
        assert_eq!(self.one(conn).status(), Some(StatusCode::OK));
        conn
    }

    fn respond(&mut self, conn: Conn, request: &Message, status: u16, tag: &str, more: &str) {
        let text = self.response(request, status, tag, more);
        self.send(conn, &text);
    }

    /// A response, for a look at it before it is sent.
    fn response(&self, request: &Message, status: u16, tag: &str, more: &str) -> String {
        let mut text = format!("SIP/2.0 {status} Because\n");
        for (name, _, value) in request.headers() {
            let value = String::from_utf8_lossy(value);
            match name {
                Some(HeaderName::Via | HeaderName::From | HeaderName::CallId | HeaderName::CSeq) => {
                    text.push_str(&format!("{}: {value}\n", name.unwrap()));
                }
                Some(HeaderName::To) if value.contains(";tag=") => text.push_str(&format!("To: {value}\n")),
                Some(HeaderName::To) => text.push_str(&format!("To: {value};tag={tag}\n")),
                Some(HeaderName::RecordRoute) if (101..300).contains(&status) => {
                    text.push_str(&format!("Record-Route: {value}\n"));
                }
                _ => {}
            }
        }
        text.push_str(more);
        text
    }
}

/// The bytes of a message: lines without their ends, then a body after an empty line.
fn wire(text: &str) -> String {
    let (head, body) = text.split_once("\n\n").unwrap_or_else(|| (text.trim_end(), ""));
    let lines: Vec<&str> = head
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    format!(
        "{}\r\nContent-Length: {}\r\n\r\n{body}",
        lines.join("\r\n"),
        body.len()
    )
}

fn contacts(message: &Message) -> Vec<Contact<'_>> {
    message.list::<Contact<'_>>().map(Result::unwrap).collect()
}

fn record_route(message: &Message) -> Vec<String> {
    message
        .list::<RecordRoute<'_>>()
        .map(|value| header::to_string(&value.unwrap()))
        .collect()
}

fn method(message: &Message) -> &str {
    message.method().expect("a request").as_str()
}

// --- the registrar

#[test]
fn a_contact_is_bound_listed_and_removed() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let ok = lab.register(
        conn,
        "alice",
        "Contact: <sip:alice@192.0.2.1:40001>;q=0.5\nExpires: 600",
    );
    let listed = contacts(&ok);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].expires(), Some(600));
    assert_eq!(listed[0].q(), Some(500));
    assert!(ok.to().unwrap().tag().is_some());
    lab.pass(Duration::from_secs(100));
    let asked = lab.register(conn, "alice", "");
    assert_eq!(contacts(&asked)[0].expires(), Some(500));
    let gone = lab.register(conn, "alice", "Contact: <sip:alice@192.0.2.1:40001>;expires=0");
    assert_eq!((gone.status(), contacts(&gone).len()), (Some(StatusCode::OK), 0));
    assert_eq!(lab.front.census().bindings, 0);
}

#[test]
fn a_binding_that_is_not_refreshed_expires() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    lab.register(conn, "alice", "Contact: <sip:alice@192.0.2.1:40001>;expires=100");
    lab.pass(Duration::from_secs(50));
    lab.register(conn, "alice", "Contact: <sip:alice@192.0.2.1:40001>;expires=100");
    lab.pass(Duration::from_secs(99));
    assert_eq!(lab.front.census().bindings, 1);
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.front.census().bindings, 0);
    assert!(matches!(
        lab.log.last(),
        Some(FrontEndEvent::Unregistered {
            reason: Unbound::Expired,
            ..
        })
    ));
    assert_eq!(lab.front.poll_timeout(), None);
}

#[test]
fn a_short_expiry_is_refused_and_a_long_one_cut() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let brief = lab.register(conn, "alice", "Contact: <sip:alice@192.0.2.1:40001>;expires=59");
    assert_eq!(brief.status(), Some(StatusCode::INTERVAL_TOO_BRIEF));
    assert_eq!(brief.raw(HeaderName::MinExpires), Some(&b"60"[..]));
    let long = lab.register(
        conn,
        "alice",
        "Contact: <sip:alice@192.0.2.1:40001>;expires=86400",
    );
    assert_eq!(contacts(&long)[0].expires(), Some(3600));
}

#[test]
fn a_star_removes_all_contacts_and_stands_alone_with_expires_0() {
    let mut lab = Lab::open();
    let (one, two) = (lab.device(1, "alice", "e1"), lab.device(2, "alice", "e2"));
    assert_eq!(lab.front.census().bindings, 2);
    let refused = lab.register(one, "alice", "Contact: *");
    assert_eq!(refused.status(), Some(StatusCode::BAD_REQUEST));
    let done = lab.register(two, "alice", "Contact: *\nExpires: 0");
    assert_eq!((done.status(), contacts(&done).len()), (Some(StatusCode::OK), 0));
    assert_eq!(lab.front.census().bindings, 0);
}

// rules: E2
#[test]
fn devices_are_told_apart_by_instance_then_epid_then_uri() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let register = |lab: &mut Lab, epid: &str, contact: &str| {
        let text = lab.request(
            "REGISTER",
            "sip:example.com",
            "alice",
            &format!("Contact: {contact}"),
        );
        let text = text
            .replace("To: <sip:example.com>", "To: <sip:alice@example.com>")
            .replace(";epid=ealice", epid);
        lab.send(conn, &text);
        contacts(&lab.one(conn)).len()
    };
    let a = "<sip:a@192.0.2.1:1>;+sip.instance=\"<urn:uuid:a>\"";
    assert_eq!(register(&mut lab, ";epid=1", &format!("{a};reg-id=1")), 1);
    assert_eq!(
        register(&mut lab, ";epid=2", &format!("{a};reg-id=1")),
        1,
        "the same instance and flow"
    );
    assert_eq!(
        register(&mut lab, ";epid=1", &format!("{a};reg-id=2")),
        2,
        "another flow of it"
    );
    assert_eq!(
        register(
            &mut lab,
            ";epid=1",
            "<sip:a@192.0.2.1:1>;+sip.instance=\"<urn:uuid:b>\""
        ),
        3
    );
    assert_eq!(register(&mut lab, ";epid=9", "<sip:x@192.0.2.1:9>"), 4);
    assert_eq!(
        register(&mut lab, ";epid=9", "<sip:y@192.0.2.1:9>"),
        4,
        "the same epid"
    );
    assert_eq!(register(&mut lab, "", "<sip:z@192.0.2.1:7>"), 5);
    assert_eq!(register(&mut lab, "", "<sip:Z@192.0.2.1:7>"), 5, "the same URI");
}

#[test]
fn a_register_that_was_overtaken_changes_nothing() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let first = lab.request(
        "REGISTER",
        "sip:example.com",
        "alice",
        "Contact: <sip:a@192.0.2.1:1>",
    );
    let first = first.replace("To: <sip:example.com>", "To: <sip:alice@example.com>");
    lab.register(conn, "alice", "Contact: <sip:b@192.0.2.1:1>");
    lab.send(conn, &first);
    assert_eq!(lab.one(conn).status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
    assert_eq!(
        lab.front.bindings("sip:alice@example.com")[0].contact,
        "sip:b@192.0.2.1:1"
    );
}

#[test]
fn proxy_replace_puts_the_address_of_the_connection_into_the_contact() {
    let mut lab = Lab::open();
    let conn = lab.connect(7);
    let ok = lab.register(
        conn,
        "alice",
        "Contact: <sip:10.9.9.9:1234;transport=tcp;ms-opaque=x>;proxy=replace;+sip.instance=\"<urn:uuid:a>\"",
    );
    let listed = contacts(&ok);
    let uri = listed[0].uri().unwrap().as_sip().unwrap();
    assert_eq!((uri.host.ip(), uri.port), ("192.0.2.7".parse().ok(), Some(40007)));
    assert_eq!(uri.params.get("ms-opaque"), Some("x"));
    assert_eq!(listed[0].instance().as_deref(), Some("<urn:uuid:a>"));
}

#[test]
fn other_domains_and_extensions_are_refused() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let text = lab.request(
        "REGISTER",
        "sip:example.com",
        "alice",
        "Contact: <sip:a@192.0.2.1:1>",
    );
    lab.send(
        conn,
        &text.replace("To: <sip:example.com>", "To: <sip:alice@example.org>"),
    );
    assert_eq!(lab.one(conn).status(), Some(StatusCode::NOT_FOUND));
    let refused = lab.register(conn, "alice", "Require: gruu, foo");
    assert_eq!(refused.status(), Some(StatusCode::BAD_EXTENSION));
    assert_eq!(refused.raw(HeaderName::Unsupported), Some(&b"foo"[..]));
}

#[test]
fn keep_alive_and_outbound_are_answered_where_they_are_asked_for() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let contact = "Contact: <sip:a@192.0.2.1:1>;reg-id=1;+sip.instance=\"<urn:uuid:a>\"";
    let plain = lab.register(conn, "alice", contact);
    assert_eq!(plain.raw(HeaderName::FlowTimer), None);
    assert_eq!(plain.raw(HeaderName::MsKeepAlive), None);
    let asked = lab.register(
        conn,
        "alice",
        &format!("{contact}\nSupported: outbound\nms-keep-alive: UAC;hop-hop=yes"),
    );
    assert_eq!(asked.raw(HeaderName::FlowTimer), Some(&b"300"[..]));
    assert_eq!(asked.raw(HeaderName::Require), Some(&b"outbound"[..]));
    assert!(
        asked
            .raw(HeaderName::MsKeepAlive)
            .unwrap()
            .ends_with(b"timeout=300")
    );
}

// rules: R13
#[test]
fn whoever_is_deregistered_is_told_in_the_words_of_its_subscription() {
    let mut lab = Lab::open();
    let (one, two) = (lab.connect(1), lab.connect(2));
    lab.register(one, "alice", "Contact: <sip:a@192.0.2.1:1;ms-opaque=x>");
    lab.register(two, "bob", "Contact: <sip:b@192.0.2.2:1>");
    for why in Deregistration::ALL {
        assert_eq!(
            lab.front.deregister("sip:alice@example.com", Some("nobody"), why),
            0
        );
        assert_eq!(
            lab.front.deregister("sip:alice@example.com", Some("EALICE"), why),
            1
        );
        lab.drain();
        let notify = lab.one(one);
        assert_eq!(notify.request_uri(), "sip:a@192.0.2.1:1;ms-opaque=x");
        assert_eq!(check::request(&notify), Ok(()));
        let text = |name: HeaderName| String::from_utf8_lossy(notify.raw(name).unwrap()).into_owned();
        assert_eq!(
            text(HeaderName::To),
            "<sip:alice@example.com>;tag=fromalice;epid=ealice"
        );
        assert_eq!(text(HeaderName::CallId), "call-alice");
        assert_eq!(text(HeaderName::Event), "registration-notify");
        assert_eq!(notify.body_bytes(), why.body().as_bytes());
        assert!(lab.front.bindings("sip:alice@example.com").is_empty());
        // The answer is heard; a second one is nobody's.
        let via = text(HeaderName::Via);
        let response =
            format!("SIP/2.0 200 OK\nVia: {via}\nFrom: x:y;tag=1\nTo: x:y;tag=2\nCall-ID: 1\nCSeq: 1 NOTIFY");
        lab.log.clear();
        lab.send(one, &response);
        lab.send(one, &response);
        assert!(
            matches!(
                &lab.log[..],
                [FrontEndEvent::Notified { status, .. }, FrontEndEvent::Dropped { .. }] if *status == StatusCode::OK
            ),
            "{:?}",
            lab.log
        );
        lab.register(one, "alice", "Contact: <sip:a@192.0.2.1:1;ms-opaque=x>");
    }
    assert!(lab.take(two).is_empty());
    assert_eq!(lab.front.bindings("sip:bob@example.com").len(), 1);
}

// rules: R14
#[test]
fn what_the_server_had_before_is_said_where_it_is_to_be() {
    let mut lab = Lab::new(FrontEndConfig {
        presence_state: true,
        ..FrontEndConfig::new("example.com")
    });
    let conn = lab.connect(1);
    let contact = "Contact: <sip:a@192.0.2.1:1>;+sip.instance=\"<urn:uuid:a>\"";
    let said = |lab: &mut Lab| {
        let answer = lab.register(conn, "alice", contact);
        let state = answer.typed::<header::PresenceState<'_>>().unwrap().unwrap();
        state.params.get("register-action").unwrap().into_owned()
    };
    assert_eq!([said(&mut lab), said(&mut lab)], ["added", "refreshed"]);
    for (lost, expected) in [(Lost::Binding, "fixed"), (Lost::Endpoint, "added")] {
        assert_eq!(lab.front.lose("sip:alice@example.com", None, lost), 1);
        assert_eq!(
            [said(&mut lab).as_str(), &said(&mut lab)],
            [expected, "refreshed"]
        );
    }
    lab.pass(Duration::from_secs(3600));
    assert_eq!(said(&mut lab), "fixed", "the endpoint outlives its binding");
    let mut silent = Lab::open();
    let conn = silent.connect(1);
    let answer = silent.register(conn, "alice", contact);
    assert_eq!(answer.count(HeaderName::PresenceState), 0);
}

// --- GRUU

// rules: E4
#[test]
fn a_gruu_leads_to_exactly_one_device() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let mut gruus = Vec::new();
    for n in [1u8, 2] {
        let conn = lab.connect(n);
        let more = format!(
            "Supported: gruu, gruu-10\nContact: <sip:a@192.0.2.{n}:1>;+sip.instance=\"<urn:uuid:{n}>\""
        );
        let text = lab.request("REGISTER", "sip:example.com", "alice", &more);
        let text = text.replace("To: <sip:example.com>", "To: <sip:alice@example.com>");
        lab.send(
            conn,
            &text
                .replace("call-alice", &format!("call-{n}"))
                .replace("epid=ealice", &format!("epid={n}")),
        );
        let ok = lab.one(conn);
        let listed = contacts(&ok);
        let own = listed.last().unwrap();
        let public = own.pub_gruu().unwrap().into_owned();
        assert_eq!(public, format!("sip:alice@example.com;gr=urn:uuid:{n}"));
        gruus.push((
            conn,
            [
                public,
                own.temp_gruu().unwrap().into_owned(),
                own.gruu().unwrap().into_owned(),
            ],
        ));
    }
    for (conn, forms) in gruus.clone() {
        for gruu in forms {
            let text = lab.request("MESSAGE", &gruu, "bob", "");
            lab.send(caller, &text);
            let message = lab.one(conn);
            assert_eq!(message.request_uri(), format!("sip:a@192.0.2.{}:1", conn.0));
            lab.respond(conn, &message, 200, "x", "");
            assert_eq!(lab.statuses(caller), [200]);
        }
    }
    lab.lose(Conn(1));
    let (_, [public, temporary, draft]) = gruus.remove(0);
    for (gruu, status) in [(public, 480), (temporary, 404), (draft, 480)] {
        let text = lab.request("MESSAGE", &gruu, "bob", "");
        lab.send(caller, &text);
        assert_eq!(lab.statuses(caller), [status], "{gruu}");
    }
    assert!(lab.take(Conn(2)).is_empty());
}

#[test]
fn a_gruu_is_given_only_to_who_asks_and_stays_the_same() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let contact = "Contact: <sip:a@192.0.2.1:1>;+sip.instance=\"<urn:uuid:1>\"";
    let ok = lab.register(conn, "alice", contact);
    assert_eq!(
        (contacts(&ok)[0].pub_gruu(), contacts(&ok)[0].gruu()),
        (None, None)
    );
    let more = format!("{contact}\nSupported: gruu, gruu-10");
    let one = lab.register(conn, "alice", &more);
    let two = lab.register(conn, "alice", &more);
    let (one, two) = (contacts(&one), contacts(&two));
    assert_eq!(one[0].pub_gruu(), two[0].pub_gruu());
    assert_eq!(one[0].gruu(), two[0].gruu());
    assert_ne!(one[0].temp_gruu(), two[0].temp_gruu());
}

// --- the proxy

#[test]
fn a_message_goes_to_every_device_and_the_first_2xx_is_the_answer() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let (one, two) = (lab.device(1, "alice", "e1"), lab.device(2, "alice", "e2"));
    let text = lab.request(
        "MESSAGE",
        "sip:alice@example.com",
        "bob",
        "Content-Type: text/plain\nX-Own: as it is\n\nhi",
    );
    lab.send(caller, &text);
    let (a, b) = (lab.one(one), lab.one(two));
    assert_eq!(a.request_uri(), "sip:alice@192.0.2.1:40001;transport=tcp");
    assert_eq!(b.request_uri(), "sip:alice@192.0.2.2:40002;transport=tcp");
    assert_eq!(a.raw(HeaderName::MaxForwards), Some(&b"69"[..]));
    assert_eq!(a.raw_by_name("x-own").next(), Some(&b"as it is"[..]));
    assert_eq!(a.body_bytes(), b"hi");
    assert_eq!(a.count(HeaderName::RecordRoute), 0);
    let vias: Vec<Via<'_>> = a.list().map(Result::unwrap).collect();
    assert_eq!(vias.len(), 2);
    assert_eq!(vias[1].received(), "192.0.2.9".parse().ok());
    assert_eq!(vias[1].rport(), Some(Some(40009)));
    lab.respond(one, &a, 404, "a", "");
    assert!(lab.take(caller).is_empty());
    lab.respond(two, &b, 200, "b", "");
    let ok = lab.one(caller);
    assert_eq!(ok.list::<Via<'_>>().count(), 1);
    assert_eq!(ok.status(), Some(StatusCode::OK));
    assert_eq!(lab.front.census().transactions, 0);
}

fn ringing(lab: &mut Lab) -> (Conn, Conn, Conn, Message, Message) {
    let caller = lab.connect(9);
    let (one, two) = (lab.device(1, "alice", "e1"), lab.device(2, "alice", "e2"));
    let text = lab.request(
        "INVITE",
        "sip:alice@example.com",
        "bob",
        "Contact: <sip:bob@192.0.2.9:40009>",
    );
    lab.send(caller, &text);
    let (a, b) = (lab.one(one), lab.one(two));
    lab.respond(one, &a, 180, "a", "");
    lab.respond(two, &b, 180, "b", "");
    assert_eq!(lab.statuses(caller), [100, 180, 180]);
    (caller, one, two, a, b)
}

/// The request of a dialog whose route set came in `record`, in the order of the Route values.
fn in_dialog(lab: &mut Lab, name: &str, uri: &str, routes: &[String]) -> String {
    let mut more: String = routes.iter().map(|route| format!("Route: {route}\n")).collect();
    more.push_str("Subject: in the dialog");
    lab.request(name, uri, "bob", &more)
        .replace(&format!("To: <{uri}>"), "To: <sip:alice@example.com>;tag=a")
}

#[test]
fn one_device_answers_the_others_are_cancelled_and_the_dialog_runs_through_the_server() {
    let mut lab = Lab::open();
    let (caller, one, two, a, b) = ringing(&mut lab);
    assert_eq!(record_route(&a).len(), 2);
    lab.respond(one, &a, 200, "a", "Contact: <sip:alice@192.0.2.1:40001>");
    let ok = lab.one(caller);
    assert_eq!(ok.status(), Some(StatusCode::OK));
    let cancel = lab.one(two);
    assert_eq!(method(&cancel), "CANCEL");
    assert_eq!(cancel.request_uri(), b.request_uri());
    assert_eq!(cancel.via_top().unwrap().branch(), b.via_top().unwrap().branch());
    assert_eq!(cancel.cseq().unwrap().number, b.cseq().unwrap().number);
    lab.respond(two, &cancel, 200, "b", "");
    lab.respond(two, &b, 487, "b", "");
    let ack = lab.one(two);
    assert_eq!((method(&ack), ack.to().unwrap().tag()), ("ACK", Some("b")));
    assert!(lab.take(caller).is_empty(), "nothing follows a 2xx but 2xx");

    let mut routes = record_route(&ok);
    let callee_routes = routes.clone();
    routes.reverse();
    let text = in_dialog(&mut lab, "ACK", "sip:alice@192.0.2.1:40001", &routes);
    lab.send(caller, &text);
    let ack = lab.one(one);
    assert_eq!(
        (method(&ack), ack.request_uri()),
        ("ACK", "sip:alice@192.0.2.1:40001")
    );
    assert_eq!(ack.count(HeaderName::Route), 0);
    let text = in_dialog(&mut lab, "INFO", "sip:bob@192.0.2.9:40009", &callee_routes);
    lab.send(one, &text);
    let info = lab.one(caller);
    assert_eq!(
        (method(&info), info.request_uri()),
        ("INFO", "sip:bob@192.0.2.9:40009")
    );
    lab.respond(caller, &info, 200, "z", "");
    assert_eq!(lab.statuses(one), [200]);
    let text = in_dialog(&mut lab, "BYE", "sip:alice@192.0.2.1:40001", &routes);
    lab.send(caller, &text);
    let bye = lab.one(one);
    lab.respond(one, &bye, 200, "z", "");
    assert_eq!(lab.statuses(caller), [200]);
    assert!(lab.take(two).is_empty());
    lab.pass(Duration::from_secs(32));
    assert_eq!(lab.front.census().transactions, 0);
}

// rules: S8
#[test]
fn two_devices_that_answer_at_once_are_both_handed_on() {
    let mut lab = Lab::open();
    let (caller, one, two, a, b) = ringing(&mut lab);
    lab.respond(one, &a, 200, "a", "Contact: <sip:alice@192.0.2.1:40001>");
    lab.respond(two, &b, 200, "b", "Contact: <sip:alice@192.0.2.2:40002>");
    let both = lab.take(caller);
    let tags: Vec<_> = both
        .iter()
        .map(|m| {
            (
                m.status().unwrap().code(),
                m.to().unwrap().tag().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(tags, [(200, "a".to_owned()), (200, "b".to_owned())]);
    // A retransmission by the callee, too, while its ACK is missing.
    lab.respond(one, &a, 200, "a", "Contact: <sip:alice@192.0.2.1:40001>");
    assert_eq!(lab.statuses(caller), [200]);
    lab.pass(Duration::from_secs(32));
    assert_eq!(lab.front.census().transactions, 0);
    lab.respond(one, &a, 200, "a", "Contact: <sip:alice@192.0.2.1:40001>");
    assert!(lab.take(caller).is_empty(), "RFC 6026: a stray 2xx goes nowhere");
}

#[test]
fn the_best_refusal_is_chosen_when_all_have_refused() {
    for (first, second, best) in [
        (486, 404, 486),
        (480, 486, 486),
        (503, 500, 503),
        (302, 404, 302),
        (401, 486, 401),
        (408, 603, 603),
    ] {
        let mut lab = Lab::open();
        let (caller, one, two, a, b) = ringing(&mut lab);
        lab.respond(
            one,
            &a,
            first,
            "a",
            "WWW-Authenticate: Digest realm=\"a\", nonce=\"n\"",
        );
        assert_eq!(method(&lab.one(one)), "ACK");
        assert!(lab.take(caller).is_empty());
        lab.respond(two, &b, second, "b", "");
        assert_eq!(method(&lab.one(two)), "ACK");
        let expected = if best == 503 { 500 } else { best };
        assert_eq!(lab.statuses(caller), [expected], "{first} and {second}");
    }
}

#[test]
fn a_603_ends_the_search() {
    let mut lab = Lab::open();
    let (caller, one, two, a, b) = ringing(&mut lab);
    lab.respond(one, &a, 603, "a", "");
    assert_eq!(method(&lab.one(two)), "CANCEL");
    assert!(lab.take(caller).is_empty());
    lab.respond(two, &b, 487, "b", "");
    assert_eq!(lab.statuses(caller), [603]);
}

#[test]
fn challenges_of_all_branches_are_handed_on_together() {
    let mut lab = Lab::open();
    let (caller, one, two, a, b) = ringing(&mut lab);
    lab.respond(
        one,
        &a,
        401,
        "a",
        "WWW-Authenticate: Digest realm=\"a\", nonce=\"n\"",
    );
    lab.respond(
        two,
        &b,
        407,
        "b",
        "Proxy-Authenticate: Digest realm=\"b\", nonce=\"n\"",
    );
    let challenged = lab.one(caller);
    assert_eq!(challenged.count(HeaderName::WwwAuthenticate), 1);
    assert_eq!(challenged.count(HeaderName::ProxyAuthenticate), 1);
}

fn cancel_of(invite: &str) -> String {
    invite
        .lines()
        .map(|line| line.trim().replace("INVITE", "CANCEL"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_cancel_goes_to_a_branch_after_its_first_provisional_response() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let (one, two) = (lab.device(1, "alice", "e1"), lab.device(2, "alice", "e2"));
    let invite = lab.request(
        "INVITE",
        "sip:alice@example.com",
        "bob",
        "Contact: <sip:bob@192.0.2.9:40009>",
    );
    lab.send(caller, &invite);
    let (a, b) = (lab.one(one), lab.one(two));
    lab.respond(one, &a, 180, "a", "");
    assert_eq!(lab.statuses(caller), [100, 180]);
    lab.send(caller, &cancel_of(&invite));
    assert_eq!(lab.statuses(caller), [200]);
    assert_eq!(method(&lab.one(one)), "CANCEL");
    assert!(lab.take(two).is_empty(), "it has not answered at all yet");
    lab.respond(two, &b, 100, "b", "");
    assert_eq!(method(&lab.one(two)), "CANCEL");
    lab.respond(one, &a, 487, "a", "");
    lab.respond(two, &b, 487, "b", "");
    let end = lab.one(caller);
    assert_eq!(end.status(), Some(StatusCode::REQUEST_TERMINATED));
    // The ACK ends here and goes to nobody.
    lab.take(one);
    let ack = invite
        .replace("CSeq: 3 INVITE", "CSeq: 3 ACK")
        .replace("INVITE", "ACK");
    lab.send(caller, &ack);
    assert!(lab.take(one).is_empty());
    assert_eq!(lab.front.census().transactions, 0);
}

#[test]
fn a_cancel_for_nothing_is_answered_481() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let invite = lab.request("INVITE", "sip:alice@example.com", "bob", "");
    lab.send(caller, &cancel_of(&invite));
    assert_eq!(lab.statuses(caller), [481]);
}

#[test]
fn a_cancelled_device_that_says_no_more_is_given_up() {
    let mut lab = Lab::open();
    let (caller, _, _, a, b) = ringing(&mut lab);
    let _ = (a, b);
    let n = lab.requests;
    let text = lab
        .request("INVITE", "sip:alice@example.com", "bob", "")
        .replace(&format!("z9hG4bKb{}", n + 1), &format!("z9hG4bKb{n}"));
    lab.send(caller, &cancel_of(&text));
    assert_eq!(lab.statuses(caller), [200]);
    lab.pass(Duration::from_secs(31));
    assert!(lab.take(caller).is_empty());
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.statuses(caller), [487]);
}

#[test]
fn a_device_that_says_nothing_times_out() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    lab.device(1, "alice", "e1");
    for name in ["MESSAGE", "INVITE"] {
        let text = lab.request(name, "sip:alice@example.com", "bob", "");
        lab.send(caller, &text);
        lab.pass(Duration::from_millis(31_999));
        let early = lab.statuses(caller);
        assert!(early.iter().all(|status| *status == 100), "{early:?}");
        lab.pass(Duration::from_millis(1));
        assert_eq!(lab.statuses(caller), [408], "{name}");
    }
    lab.pass(Duration::from_secs(32));
    assert_eq!(lab.front.census().transactions, 0);
}

#[test]
fn an_invite_that_rings_too_long_is_cancelled() {
    let mut lab = Lab::open();
    let (caller, one, two, a, _) = ringing(&mut lab);
    lab.pass(Duration::from_secs(100));
    lab.respond(one, &a, 180, "a", "");
    assert_eq!(lab.statuses(caller), [180]);
    lab.pass(Duration::from_secs(81));
    assert_eq!(method(&lab.one(two)), "CANCEL");
    assert!(lab.take(one).is_empty(), "its timer C began anew");
    lab.pass(Duration::from_secs(100));
    assert_eq!(method(&lab.one(one)), "CANCEL");
    lab.pass(Duration::from_secs(32));
    assert_eq!(lab.statuses(caller), [408]);
}

#[test]
fn who_is_not_there_and_who_is_not_known() {
    let mut lab = Lab::new(FrontEndConfig::new("example.com").with_user("carol", "pw"));
    lab.front.config.trusted = vec!["192.0.2.9".parse().unwrap()];
    let caller = lab.connect(9);
    for (uri, status) in [
        ("sip:carol@example.com", 480),
        ("sip:nobody@example.com", 404),
        ("sip:alice@example.org", 404),
        ("tel:+15551234", 416),
        ("sip:example.com", 405),
    ] {
        let text = lab.request("MESSAGE", uri, "bob", "");
        lab.send(caller, &text);
        assert_eq!(lab.statuses(caller), [status], "{uri}");
    }
}

#[test]
fn a_request_that_cannot_go_on_is_refused() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let one = lab.device(1, "alice", "e1");
    let text = lab.request("MESSAGE", "sip:alice@example.com", "bob", "");
    lab.send(caller, &text.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(lab.statuses(caller), [483]);
    let text = lab.request(
        "MESSAGE",
        "sip:alice@example.com",
        "bob",
        "Proxy-Require: foo, bar",
    );
    lab.send(caller, &text);
    let refused = lab.one(caller);
    assert_eq!(refused.status(), Some(StatusCode::BAD_EXTENSION));
    assert_eq!(refused.raw(HeaderName::Unsupported), Some(&b"foo, bar"[..]));
    let text = lab.request("MESSAGE", "sip:alice@example.com", "bob", "");
    lab.send(caller, &text.replace("Call-ID: call-bob", "X: y"));
    assert_eq!(lab.statuses(caller), [400]);
    assert!(lab.take(one).is_empty());
}

#[test]
fn options_to_the_server_are_answered_by_it() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    for uri in ["sip:example.com", "sip:192.0.2.200:5060", "sip:192.0.2.200"] {
        let text = lab.request("OPTIONS", uri, "bob", "");
        lab.send(caller, &text);
        let ok = lab.one(caller);
        assert_eq!(ok.status(), Some(StatusCode::OK));
        assert!(ok.raw(HeaderName::Allow).is_some());
    }
}

#[test]
fn a_request_that_comes_again_gets_its_response_again() {
    let mut lab = Lab::open();
    let (caller, one, _, a, _) = ringing(&mut lab);
    let n = lab.requests;
    let again = lab.request("INVITE", "sip:alice@example.com", "bob", "");
    let again = again.replace(&format!("z9hG4bKb{}", n + 1), &format!("z9hG4bKb{n}"));
    lab.send(caller, &again);
    assert_eq!(lab.statuses(caller), [180]);
    assert!(lab.take(one).is_empty());
    let _ = a;
}

#[test]
fn an_invite_that_the_server_refuses_is_acknowledged_to_it() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let invite = lab.request("INVITE", "sip:nobody@example.com", "bob", "");
    lab.send(caller, &invite);
    assert_eq!(lab.statuses(caller), [404]);
    assert_eq!(lab.front.census().transactions, 1);
    lab.send(caller, &invite.replace("INVITE", "ACK"));
    assert_eq!(lab.front.census().transactions, 0);
    assert!(lab.take(caller).is_empty());
    // Without an ACK it is forgotten after timer H.
    let invite = lab.request("INVITE", "sip:nobody@example.com", "bob", "");
    lab.send(caller, &invite);
    lab.pass(Duration::from_secs(32));
    assert_eq!(lab.front.census().transactions, 0);
}

#[test]
fn a_strict_router_behind_us_is_understood() {
    let mut lab = Lab::open();
    let (caller, one, _, a, _) = ringing(&mut lab);
    lab.respond(one, &a, 200, "a", "Contact: <sip:alice@192.0.2.1:40001>");
    let mut routes = record_route(&lab.one(caller));
    routes.reverse();
    let first = routes.remove(0).trim_matches(['<', '>']).to_owned();
    routes.push("<sip:alice@192.0.2.1:40001>".to_owned());
    let text = in_dialog(&mut lab, "BYE", &first, &routes);
    lab.send(caller, &text);
    let bye = lab.one(one);
    assert_eq!(
        (bye.request_uri(), bye.count(HeaderName::Route)),
        ("sip:alice@192.0.2.1:40001", 0)
    );
}

#[test]
fn a_benotify_is_handed_on_and_never_answered() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let one = lab.device(1, "alice", "e1");
    let text = lab.request("BENOTIFY", "sip:alice@example.com", "bob", "");
    lab.send(caller, &text);
    assert_eq!(method(&lab.one(one)), "BENOTIFY");
    let text = lab.request("BENOTIFY", "sip:nobody@example.com", "bob", "");
    lab.send(caller, &text);
    assert!(lab.take(caller).is_empty());
    assert_eq!(lab.front.census().transactions, 0);
}

#[test]
fn sips_goes_over_tls_only() {
    let mut lab = Lab::open();
    let caller = lab.connect(9);
    let plain = lab.device(1, "alice", "e1");
    let text = lab.request("INVITE", "sips:alice@example.com", "bob", "");
    lab.send(caller, &text);
    assert_eq!(lab.statuses(caller), [480]);
    let tls = Conn(50);
    let (local, remote) = (
        "192.0.2.200:5061".parse().unwrap(),
        "192.0.2.50:5".parse().unwrap(),
    );
    lab.front.handle_accepted(tls, local, remote, Transport::Tls);
    lab.register(tls, "alice", "Contact: <sips:alice@192.0.2.50:5>");
    let text = lab.request("INVITE", "sips:alice@example.com", "bob", "");
    lab.send(caller, &text);
    let invite = lab.one(tls);
    assert!(invite.via_top().unwrap().transport.eq_ignore_ascii_case("TLS"));
    assert!(
        record_route(&invite)
            .iter()
            .all(|route| route.starts_with("<sips:"))
    );
    assert!(lab.take(plain).is_empty());
}

// --- connections

#[test]
fn a_lost_connection_takes_its_bindings_and_branches_along() {
    let mut lab = Lab::open();
    let (caller, one, two, a, b) = ringing(&mut lab);
    lab.lose(one);
    assert_eq!(lab.front.census().bindings, 1);
    assert!(lab.take(caller).is_empty(), "the other one still rings");
    lab.lose(two);
    assert_eq!(lab.statuses(caller), [480]);
    let _ = (a, b);
}

#[test]
fn a_binding_may_outlive_its_connection() {
    let mut config = FrontEndConfig::new("example.com");
    config.remove_lost_flows = false;
    let mut lab = Lab::new(config);
    let caller = lab.connect(9);
    let one = lab.device(1, "alice", "e1");
    lab.lose(one);
    assert_eq!(lab.front.census().bindings, 1);
    let text = lab.request("MESSAGE", "sip:alice@example.com", "bob", "");
    lab.send(caller, &text);
    assert_eq!(lab.statuses(caller), [480]);
    let again = lab.device(3, "alice", "e1");
    assert_eq!(lab.front.census().bindings, 1);
    let text = lab.request("MESSAGE", "sip:alice@example.com", "bob", "");
    lab.send(caller, &text);
    assert_eq!(method(&lab.one(again)), "MESSAGE");
}

/// An answered call from 9 to 1; gives the caller's and the callee's route sets.
fn call(lab: &mut Lab) -> (Vec<String>, Vec<String>) {
    let caller = lab.connect(9);
    let one = lab.device(1, "alice", "e1");
    let text = lab.request(
        "INVITE",
        "sip:alice@example.com",
        "bob",
        "Contact: <sip:bob@192.0.2.9:40009>",
    );
    lab.send(caller, &text);
    let a = lab.one(one);
    lab.respond(one, &a, 200, "a", "Contact: <sip:alice@192.0.2.1:40001>");
    let callee_routes = record_route(&lab.take(caller).pop().unwrap());
    let caller_routes = callee_routes.iter().rev().cloned().collect();
    (caller_routes, callee_routes)
}

// rules: C13
#[test]
fn a_dialog_finds_a_device_that_came_back_over_another_connection() {
    let mut lab = Lab::open();
    let (routes, callee_routes) = call(&mut lab);
    lab.lose(Conn(1));
    let text = in_dialog(&mut lab, "INFO", "sip:alice@192.0.2.1:40001", &routes);
    lab.send(Conn(9), &text);
    assert_eq!(lab.statuses(Conn(9)), [430], "its flow has failed");
    let again = lab.device(3, "alice", "e1");
    let text = in_dialog(&mut lab, "INFO", "sip:alice@192.0.2.1:40001", &routes);
    lab.send(Conn(9), &text);
    assert_eq!(method(&lab.one(again)), "INFO");
    // And the other way, from the new connection.
    let text = in_dialog(&mut lab, "BYE", "sip:bob@192.0.2.9:40009", &callee_routes);
    lab.send(again, &text);
    assert_eq!(method(&lab.take(Conn(9)).pop().unwrap()), "BYE");
}

#[test]
fn a_restart_with_memory_keeps_dialogs_and_one_without_does_not() {
    for (memory, status) in [(Memory::Kept, None), (Memory::Lost, Some(430))] {
        let mut lab = Lab::open();
        let (routes, _) = call(&mut lab);
        lab.front.restart(memory);
        assert_eq!(lab.front.census().connections, 0);
        let caller = lab.connect(99);
        // The connections of before have no meaning, even if their names are in the tokens.
        lab.connect(1);
        if memory == Memory::Kept {
            assert_eq!(lab.front.census().bindings, 1);
            lab.device(3, "alice", "e1");
        }
        let text = in_dialog(&mut lab, "BYE", "sip:alice@192.0.2.77:40001", &routes);
        lab.send(caller, &text);
        match status {
            None => assert_eq!(method(&lab.one(Conn(3))), "BYE"),
            Some(status) => assert_eq!(lab.statuses(caller), [status]),
        }
        assert!(lab.take(Conn(1)).is_empty());
    }
}

#[test]
fn a_token_that_we_have_not_written_is_not_believed() {
    let mut lab = Lab::open();
    let (routes, _) = call(&mut lab);
    let forged: Vec<String> = routes
        .iter()
        .map(|route| route.replace("f-0-1-", "f-0-2-"))
        .collect();
    assert_ne!(forged, routes);
    let two = lab.connect(2);
    let text = in_dialog(&mut lab, "INFO", "sip:alice@192.0.2.55:40001", &forged);
    lab.send(Conn(9), &text);
    assert!(lab.take(two).is_empty());
    assert_eq!(lab.statuses(Conn(9)), [403]);
}

#[test]
fn a_response_finds_a_sender_that_came_back_over_another_connection() {
    let mut lab = Lab::open();
    let one = lab.device(1, "alice", "e1");
    let bob = lab.connect(8);
    lab.register(bob, "bob", "Contact: <sip:bob@192.0.2.8:1>");
    let text = lab.request("MESSAGE", "sip:alice@example.com", "bob", "");
    lab.send(bob, &text);
    let message = lab.one(one);
    lab.lose(bob);
    let again = lab.connect(88);
    lab.register(again, "bob", "Contact: <sip:bob@192.0.2.88:1>");
    lab.respond(one, &message, 200, "a", "");
    assert_eq!(lab.statuses(again), [200]);
}

// rules: C26
#[test]
fn a_double_crlf_is_answered_with_a_single_one_however_split() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    lab.bytes(conn, b"\r\n");
    assert!(lab.raw.is_empty());
    lab.bytes(conn, b"\r\n");
    assert_eq!(lab.raw.remove(&conn).unwrap(), b"\r\n");
}

// rules: C29
#[test]
fn lost_framing_is_answered_400_and_closes_the_connection() {
    let mut lab = Lab::open();
    let conn = lab.connect(1);
    let text = lab.request("MESSAGE", "sip:alice@example.com", "bob", "Content-Length: x");
    let bytes = text.lines().map(str::trim).collect::<Vec<_>>().join("\r\n") + "\r\n\r\n";
    lab.bytes(conn, bytes.as_bytes());
    assert_eq!(lab.statuses(conn), [400]);
    assert_eq!(lab.closed, [conn]);
    assert_eq!(lab.front.census().connections, 0);
}

// --- Digest

fn guarded() -> Lab {
    let mut config = FrontEndConfig::new("example.com")
        .with_user("alice", "secret")
        .with_user("bob", "hidden");
    config.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    Lab::new(config)
}

fn challenge(message: &Message, name: HeaderName, algorithm: Algorithm) -> Challenge {
    let challenges = message.raw_all(name).filter_map(|value| {
        let value = std::str::from_utf8(value).unwrap();
        Challenge::read(&header::WwwAuthenticate::parse(value).unwrap().0).ok()
    });
    challenges
        .into_iter()
        .find(|challenge| challenge.algorithm == algorithm)
        .expect("the algorithm is offered")
}

fn answer(challenge: &Challenge, user: &str, password: &str, count: u32, method: &str, uri: &str) -> String {
    let mut authorization = Authorization {
        user: user.to_owned(),
        user_hash: false,
        realm: challenge.realm.clone(),
        nonce: challenge.nonce.clone(),
        uri: uri.to_owned(),
        algorithm: challenge.algorithm,
        opaque: None,
        quality: Some(Quality {
            qop: Qop::Auth,
            count,
            cnonce: "c".to_owned(),
        }),
        response: String::new(),
    };
    let ha1 = challenge
        .algorithm
        .ha1(user, &challenge.realm, &Secret::new(password));
    authorization.sign(&ha1, method, b"");
    header::to_string(&header::Authorization(authorization.to_header()))
}

const ALICE: &str = "Contact: <sip:alice@192.0.2.1:40001>";

// rules: A1, A7
#[test]
fn a_register_is_challenged_and_taken_with_the_right_password_of_its_own_user() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let mut lab = guarded();
        let conn = lab.connect(1);
        let challenged = lab.register(conn, "alice", ALICE);
        assert_eq!(challenged.status(), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(challenged.count(HeaderName::WwwAuthenticate), 2);
        let asked = challenge(&challenged, HeaderName::WwwAuthenticate, algorithm);
        assert_eq!((asked.realm.as_str(), asked.stale), ("example.com", false));
        let mut attempt = |user: &str, password: &str, count: u32| {
            let value = answer(&asked, user, password, count, "REGISTER", "sip:example.com");
            lab.register(conn, "alice", &format!("{ALICE}\nAuthorization: {value}"))
        };
        let wrong = attempt("alice", "wrong", 1);
        assert_eq!(wrong.status(), Some(StatusCode::UNAUTHORIZED));
        assert!(!challenge(&wrong, HeaderName::WwwAuthenticate, algorithm).stale);
        assert_eq!(attempt("bob", "hidden", 1).status(), Some(StatusCode::FORBIDDEN));
        let ok = attempt("alice", "secret", 2);
        assert_eq!(ok.status(), Some(StatusCode::OK));
        assert!(ok.raw(HeaderName::AuthenticationInfo).is_some());
        // The same count again: the password is right, the nonce has been used.
        let replayed = attempt("alice", "secret", 2);
        assert_eq!(replayed.status(), Some(StatusCode::UNAUTHORIZED));
        assert!(challenge(&replayed, HeaderName::WwwAuthenticate, algorithm).stale);
    }
}

// rules: A8
#[test]
fn an_old_nonce_is_stale() {
    let mut lab = guarded();
    let conn = lab.connect(1);
    let first = lab.register(conn, "alice", ALICE);
    let asked = challenge(&first, HeaderName::WwwAuthenticate, Algorithm::Md5);
    for (wait, count, status) in [(299, 1, 200), (1, 2, 401)] {
        lab.pass(Duration::from_secs(wait));
        let value = answer(&asked, "alice", "secret", count, "REGISTER", "sip:example.com");
        let response = lab.register(conn, "alice", &format!("{ALICE}\nAuthorization: {value}"));
        assert_eq!(response.status().unwrap().code(), status);
        if status == 401 {
            assert!(challenge(&response, HeaderName::WwwAuthenticate, Algorithm::Md5).stale);
        }
    }
}

#[test]
fn credentials_for_another_uri_are_refused() {
    let mut lab = guarded();
    let conn = lab.connect(1);
    let first = lab.register(conn, "alice", ALICE);
    let asked = challenge(&first, HeaderName::WwwAuthenticate, Algorithm::Md5);
    let value = answer(&asked, "alice", "secret", 1, "REGISTER", "sip:example.org");
    let response = lab.register(conn, "alice", &format!("{ALICE}\nAuthorization: {value}"));
    assert_eq!(response.status(), Some(StatusCode::BAD_REQUEST));
}

fn log_on(lab: &mut Lab, n: u8, user: &str, password: &str) -> Conn {
    let conn = lab.connect(n);
    let contact = format!("Contact: <sip:{user}@192.0.2.{n}:1>");
    let first = lab.register(conn, user, &contact);
    let asked = challenge(&first, HeaderName::WwwAuthenticate, Algorithm::Md5);
    let value = answer(&asked, user, password, 1, "REGISTER", "sip:example.com");
    let ok = lab.register(conn, user, &format!("{contact}\nAuthorization: {value}"));
    assert_eq!(ok.status(), Some(StatusCode::OK));
    conn
}

#[test]
fn a_request_is_challenged_by_the_proxy_and_its_credentials_go_no_further() {
    let mut lab = guarded();
    let alice = log_on(&mut lab, 1, "alice", "secret");
    let bob = log_on(&mut lab, 2, "bob", "hidden");
    let text = lab.request(
        "INVITE",
        "sip:alice@example.com",
        "bob",
        "Contact: <sip:bob@192.0.2.2:1>",
    );
    lab.send(bob, &text);
    let challenged = lab.one(bob);
    assert_eq!(
        challenged.status(),
        Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED)
    );
    assert!(lab.take(alice).is_empty());
    let asked = challenge(&challenged, HeaderName::ProxyAuthenticate, Algorithm::Sha256);
    let value = answer(&asked, "bob", "hidden", 1, "INVITE", "sip:alice@example.com");
    let more = format!(
        "Contact: <sip:bob@192.0.2.2:1>\nProxy-Authorization: {value}\n\
         Proxy-Authorization: Digest username=\"b\", realm=\"other\", nonce=\"n\", uri=\"u\", response=\"r\""
    );
    let text = lab.request("INVITE", "sip:alice@example.com", "bob", &more);
    lab.send(bob, &text);
    let invite = lab.one(alice);
    assert_eq!(invite.count(HeaderName::ProxyAuthorization), 1);
    assert!(
        invite
            .raw(HeaderName::ProxyAuthorization)
            .unwrap()
            .windows(7)
            .any(|part| part == b"\"other\"")
    );
    lab.respond(alice, &invite, 200, "a", "Contact: <sip:alice@192.0.2.1:1>");
    let mut routes = record_route(&lab.take(bob).pop().unwrap());
    routes.reverse();
    // In the dialog nobody is asked again; who only claims to be in one is.
    let text = in_dialog(&mut lab, "BYE", "sip:alice@192.0.2.1:1", &routes);
    lab.send(bob, &text);
    assert_eq!(method(&lab.one(alice)), "BYE");
    let text = in_dialog(&mut lab, "INFO", "sip:alice@192.0.2.1:1", &[]);
    lab.send(bob, &text);
    assert_eq!(lab.statuses(bob), [407]);
}

#[test]
fn nobody_sends_in_the_name_of_another() {
    let mut lab = guarded();
    log_on(&mut lab, 1, "alice", "secret");
    let bob = log_on(&mut lab, 2, "bob", "hidden");
    let text = lab.request("MESSAGE", "sip:bob@example.com", "alice", "");
    lab.send(bob, &text);
    let asked = challenge(&lab.one(bob), HeaderName::ProxyAuthenticate, Algorithm::Md5);
    let value = answer(&asked, "bob", "hidden", 1, "MESSAGE", "sip:bob@example.com");
    let text = lab.request(
        "MESSAGE",
        "sip:bob@example.com",
        "alice",
        &format!("Proxy-Authorization: {value}"),
    );
    lab.send(bob, &text);
    assert_eq!(lab.statuses(bob), [403]);
}

// rules: P6
#[test]
fn a_trusted_host_is_not_challenged() {
    let mut lab = guarded();
    lab.front.config.trusted = vec!["192.0.2.9".parse().unwrap()];
    let alice = log_on(&mut lab, 1, "alice", "secret");
    let service = lab.connect(9);
    let text = lab.request("MESSAGE", "sip:alice@example.com", "service", "");
    lab.send(service, &text);
    assert_eq!(method(&lab.one(alice)), "MESSAGE");
    assert!(lab.take(service).is_empty());
}

// --- the contract

#[test]
fn the_same_seed_and_calls_give_the_same_bytes() {
    let run = || {
        let mut lab = guarded();
        log_on(&mut lab, 1, "alice", "secret");
        let bob = log_on(&mut lab, 2, "bob", "hidden");
        let text = lab.request("MESSAGE", "sip:alice@example.com", "bob", "");
        lab.send(bob, &text);
        lab.pass(Duration::from_secs(5000));
        (lab.inbox, lab.log)
    };
    assert_eq!(run(), run());
}

#[test]
fn any_chunking_of_the_same_bytes_gives_the_same_output() {
    let run = |chunk: usize| {
        let mut lab = Lab::open();
        let conn = lab.connect(1);
        let mut stream = Vec::from(*b"\r\n\r\n");
        for contact in ["Contact: <sip:a@192.0.2.1:1>", "Contact: *"] {
            let text = lab.request("REGISTER", "sip:example.com", "alice", contact);
            let text = text.replace("To: <sip:example.com>", "To: <sip:alice@example.com>");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            stream.extend_from_slice(lines.join("\r\n").as_bytes());
            stream.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
        }
        for part in stream.chunks(chunk) {
            lab.bytes(conn, part);
        }
        (lab.inbox, lab.raw, lab.log)
    };
    let whole = run(usize::MAX);
    assert_eq!(whole.0.values().map(Vec::len).sum::<usize>(), 2);
    for chunk in [1, 2, 3, 7, 64] {
        assert_eq!(run(chunk), whole, "chunks of {chunk}");
    }
}
