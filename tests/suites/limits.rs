//! Law 6: every bound is in [`Limits`], and holds at n and at n + 1, with the answer that the field names. A new field
//! does not compile before it has its line in the list, with a test behind it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use sansip::wire::{HeaderName, MessageLimits, Method};
use sansip::{
    Action, Answer, CloseReason, Completion, ConnId, ConnectionFailure, Content, Established, Event, Limits,
    ManagerConfig, ManagerKind, Misuse, MutualTls, OperationError, OperationFailure, PeerCertificate,
    PeerToPeerConfig, PublishOptions, RemovalReason, SendOptions, Server, SessionId, SipEndpointConfig,
    SubscribeOptions, Transport,
};

use common::host::{BOB, Host, TO_BOB, address, failure, heard, incoming, registered};
use common::{answer, field, request, sdp, secs, wire};

/// A test for each field; the names of the fields are the compiler's to check.
macro_rules! pairs {
    (message: { $($part:ident,)+ }, $($field:ident,)+) => {
        #[test]
        fn every_limit_is_listed() {
            let Limits { message: MessageLimits { $($part: _),+ }, $($field: _),+ } = Limits::default();
        }

        $(
            // rules: C31
            #[test]
            fn $part() {
                message::$part();
            }
        )+

        $(
            // rules: C31
            #[test]
            fn $field() {
                pairs::$field();
            }
        )+
    };
}

pairs! {
    message: { header_block, headers, body, },
    send_queue,
    connections,
    unauthorized,
    learned_hosts,
    certificate_entries,
    transactions,
    sessions,
    subscriptions,
    publications,
    forks,
    operations,
    pending_per_session,
    redirects,
    referrals,
    events,
    endpoints,
    dns_cache,
    attempts,
    outstanding,
    targets,
}

fn received(event: &Event) -> Option<SessionId> {
    match event {
        Event::SessionReceived { session, .. } => Some(*session),
        _ => None,
    }
}

/// A call of the peer that is taken, and its To.
fn connected(host: &mut Host, conn: ConnId) -> (SessionId, String) {
    host.ask(conn, "INVITE", 1);
    let session = heard(&host.drain(), received)[0];
    let mut view = host.stack.session(host.now, session).unwrap();
    view.accept(Some(sdp())).unwrap();
    host.drain();
    let to = field(&host.asked(conn), HeaderName::To);
    let ack = request("ACK", BOB, &to, 1, "").replace("z9hG4bK1", "z9hG4bKack");
    host.say(conn, &ack);
    host.drain();
    (session, to)
}

// rules: X2, S6
#[test]
fn a_decision_is_on_the_change_that_the_application_has_seen() {
    let mut host = Host::new(|_| {});
    let conn = host.peer();
    let (session, to) = connected(&mut host, conn);
    let offers = |host: &mut Host, number: u32| {
        let body = "Contact: <sip:p@10.0.0.2>\nContent-Type: application/sdp\n\nv=1\n";
        let update = request("UPDATE", BOB, &to, 1, "") + body;
        let update = update.replace("z9hG4bK1", &format!("z9hG4bKu{number}"));
        host.say(conn, &update.replace("CSeq: 1 ", &format!("CSeq: {number} ")));
    };
    offers(&mut host, 2);
    host.drain();
    // It was not decided on in time, and another one has come: neither has been told yet.
    host.now = host.now + secs(32);
    host.stack.handle_timeout(host.now);
    offers(&mut host, 3);
    let mut view = host.stack.session(host.now, session).unwrap();
    let accepted = view.accept_renegotiation(sdp()).unwrap();
    let actions = host.drain();
    let aborted = OperationError::OperationFailure(OperationFailure::Aborted);
    assert_eq!(failure(&actions, accepted), Some(aborted));
    assert_eq!(host.codes(conn), [500]);
    // Now it has seen the second.
    let mut view = host.stack.session(host.now, session).unwrap();
    view.accept_renegotiation(sdp()).unwrap();
    assert_eq!(host.codes(conn), [200]);
}

fn removed(event: &Event) -> Option<RemovalReason> {
    match event {
        Event::ConnectionRemoved { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

/// Of one message.
mod message {
    use super::*;

    /// What a message does to the peer's connection under these limits: the codes of the answers, and whether it is
    /// closed.
    fn told(limits: MessageLimits, bytes: &[u8]) -> (Vec<u16>, bool) {
        let mut host = Host::new(|all| all.message = limits);
        let conn = host.peer();
        host.stack.handle_bytes(host.now, conn, bytes);
        let codes = host.codes(conn);
        host.stack.handle_timeout(host.now);
        (codes, !heard(&host.drain(), removed).is_empty())
    }

    /// An OPTIONS with a body, the length of its header section, and how many fields that has.
    fn options() -> (Vec<u8>, usize, usize) {
        let bytes = wire(&format!(
            "{}\nbody",
            request("OPTIONS", BOB, TO_BOB, 1, "Content-Type: text/plain")
        ));
        let text = String::from_utf8(bytes.clone()).unwrap();
        let head = text.find("\r\n\r\n").unwrap();
        (bytes, head + 4, text[..head].lines().count() - 1)
    }

    pub(super) fn header_block() {
        let (bytes, head, _) = options();
        let limits = |header_block| MessageLimits {
            header_block,
            ..MessageLimits::default()
        };
        assert_eq!(told(limits(head), &bytes), (vec![200], false));
        let (codes, closed) = told(limits(head - 1), &bytes);
        assert!(closed && !codes.contains(&200), "{codes:?}");
    }

    pub(super) fn headers() {
        let (bytes, _, fields) = options();
        let limits = |headers| MessageLimits {
            headers,
            ..MessageLimits::default()
        };
        assert_eq!(told(limits(fields), &bytes), (vec![200], false));
        assert_eq!(told(limits(fields - 1), &bytes), (vec![400], false));
    }

    pub(super) fn body() {
        let (bytes, ..) = options();
        let limits = |body| MessageLimits {
            body,
            ..MessageLimits::default()
        };
        assert_eq!(told(limits(4), &bytes), (vec![200], false));
        assert_eq!(told(limits(3), &bytes), (vec![413], true));
    }
}

/// Of a stack, field by field.
mod pairs {
    use super::*;

    // rules: C30
    pub(super) fn send_queue() {
        let run = |send_queue| {
            let mut host = Host::new(|limits| limits.send_queue = send_queue);
            let operation = host.message("sip:p@10.0.0.9").unwrap();
            let connect = host.drain().into_iter().find_map(|action| match action {
                Action::Connect(connect) => Some(connect),
                _ => None,
            });
            let connect = connect.unwrap();
            let established = Established {
                local: address("10.0.0.1:50000"),
                remote: connect.remote,
                peer: None,
            };
            host.stack.handle_connected(host.now, connect.conn, established);
            let queued: usize = host.stack.transmit(connect.conn).map(|slice| slice.len()).sum();
            let actions = host.drain();
            (queued, heard(&actions, removed), failure(&actions, operation))
        };
        let (length, ..) = run(1 << 20);
        assert_eq!(run(length), (length, vec![], None));
        let (queued, removed, _) = run(length - 1);
        assert_eq!((queued, removed), (0, vec![RemovalReason::SlowReader]));
    }

    pub(super) fn connections() {
        let mut host = Host::new(|limits| limits.connections = 2);
        host.accept();
        let second = host.accept();
        assert!(!host.drain().contains(&Action::Close(second)));
        let third = host.accept();
        assert_eq!(host.drain(), [Action::Close(third)]);
        let operation = host.message("sip:p@10.0.0.9").unwrap();
        let limit = OperationError::ConnectionFailure(ConnectionFailure::Limit("connections"));
        assert_eq!(failure(&host.drain(), operation), Some(limit));
        // With one less there is room again.
        host.stack.handle_closed(host.now, second, CloseReason::Closed);
        host.drain();
        host.message("sip:p@10.0.0.9").unwrap();
        host.connect();
    }

    // rules: C21
    pub(super) fn unauthorized() {
        let mut host = Host::new(|limits| limits.unauthorized = 100);
        let manager = host.stack.server_tcp_manager();
        host.stack
            .manager(host.now, manager)
            .unwrap()
            .set_authorizes(true);
        let conn = host.peer();
        host.stack.handle_bytes(host.now, conn, &[b'x'; 100]);
        assert_eq!(host.drain(), []);
        host.stack.handle_bytes(host.now, conn, b"x");
        let limit = RemovalReason::Limit("bytes before the connection is allowed");
        assert_eq!(heard(&host.drain(), removed), [limit]);
    }

    /// Connects to these hosts, each of which shows a certificate with its name and some more, and says who of them may
    /// connect to us afterwards.
    fn let_in(limit: impl FnOnce(&mut Limits), names: &[&str], more: usize) -> Vec<bool> {
        let mut host = Host::new(limit);
        let mut config = ManagerConfig::new(ManagerKind::ServerTls);
        config.mutual_tls = MutualTls::Allowed(Vec::new());
        let manager = host.stack.add_manager(config).unwrap();
        let mut config = PeerToPeerConfig::new("sip:tess@two.invalid");
        (config.manager, config.default_transport) = (Some(manager), Transport::Tls);
        host.bob = host.stack.add_peer_to_peer_endpoint(host.now, config).unwrap();
        let mut view = host.stack.manager(host.now, manager).unwrap();
        host.listener = view.listen(address("10.0.0.1:5061")).unwrap();
        host.stack
            .handle_listening(host.now, host.listener, Ok(address("10.0.0.1:5061")));
        host.drain();
        let shown = |name: &str| {
            let mut shown = PeerCertificate::default();
            shown.addresses.push(name.parse().unwrap());
            shown.dns_names = (0..more).map(|n| format!("n{n}.invalid")).collect();
            Some(Box::new(shown))
        };
        for name in names {
            host.message(&format!("sip:p@{name}")).unwrap();
            let connect = host.drain().into_iter().find_map(|action| match action {
                Action::Connect(connect) => Some(connect),
                _ => None,
            });
            let connect = connect.unwrap();
            let (local, remote, peer) = (address("10.0.0.1:50000"), connect.remote, shown(name));
            let established = Established { local, remote, peer };
            host.stack.handle_connected(host.now, connect.conn, established);
            host.drain();
        }
        let mut enters = |name: &&str| {
            let conn = host.peer();
            let (local, remote) = (address("10.0.0.1:5061"), address("10.0.0.2:4000"));
            let peer = shown(name);
            let established = Established { local, remote, peer };
            host.stack.handle_connected(host.now, conn, established);
            host.stack.connection(conn).is_some_and(|info| info.ready)
        };
        names.iter().map(&mut enters).collect()
    }

    // rules: C19
    pub(super) fn learned_hosts() {
        let two = |limits: &mut Limits| limits.learned_hosts = 2;
        assert_eq!(let_in(two, &["10.0.0.7", "10.0.0.8"], 0), [true, true]);
        assert_eq!(
            let_in(two, &["10.0.0.7", "10.0.0.8", "10.0.0.9"], 0),
            [false, true, true]
        );
    }

    // rules: C17, C18
    pub(super) fn certificate_entries() {
        let ten = |limits: &mut Limits| limits.certificate_entries = 10;
        assert_eq!(let_in(ten, &["10.0.0.7"], 9), [true]);
        assert_eq!(let_in(ten, &["10.0.0.7"], 10), [false]);
    }

    pub(super) fn transactions() {
        let mut host = Host::new(|limits| limits.transactions = 2);
        let conn = host.peer();
        for number in [1, 2] {
            host.ask(conn, "OPTIONS", number);
            let event = std::iter::from_fn(|| host.stack.poll_action()).find_map(|action| match action {
                Action::Event(event) => incoming(&event),
                _ => None,
            });
            let id = event.expect("the application is asked");
            host.stack.incoming(host.now, id).unwrap().hold().unwrap();
        }
        assert_eq!(host.codes(conn), [] as [u16; 0]);
        host.ask(conn, "OPTIONS", 3);
        host.drain();
        let refused = host.asked(conn);
        assert_eq!(refused.status().unwrap().code(), 503);
        assert_ne!(field(&refused, HeaderName::RetryAfter), "");
        let operation = host.message("sip:p@10.0.0.9").unwrap();
        let conn = host.drain().into_iter().find_map(|action| match action {
            Action::Connect(connect) => Some((connect.conn, connect.remote)),
            _ => None,
        });
        let (conn, remote) = conn.unwrap();
        let local = address("10.0.0.1:50000");
        host.stack.handle_connected(
            host.now,
            conn,
            Established {
                local,
                remote,
                peer: None,
            },
        );
        let limit = OperationError::OperationFailure(OperationFailure::LimitReached);
        assert_eq!(failure(&host.drain(), operation), Some(limit));
    }

    pub(super) fn sessions() {
        let mut host = Host::new(|limits| limits.sessions = 2);
        let conn = host.peer();
        host.ask(conn, "INVITE", 1);
        assert_eq!(heard(&host.drain(), received).len(), 1);
        let mut bob = host.stack.endpoint(host.now, host.bob).unwrap();
        bob.create_session("sip:p@10.0.0.9").unwrap();
        assert_eq!(
            bob.create_session("sip:p@10.0.0.9"),
            Err(Misuse::Limit("sessions"))
        );
        host.sent(conn);
        host.ask(conn, "INVITE", 2);
        assert_eq!(heard(&host.drain(), received), []);
        let refused = host.asked(conn);
        assert_eq!(refused.status().unwrap().code(), 503);
        assert_ne!(field(&refused, HeaderName::RetryAfter), "");
    }

    pub(super) fn subscriptions() {
        let mut host = Host::new(|limits| limits.subscriptions = 2);
        let mut bob = host.stack.endpoint(host.now, host.bob).unwrap();
        let presence = || SubscribeOptions::new("presence");
        bob.subscribe("sip:p@10.0.0.9", presence()).unwrap();
        bob.create_subscription("sip:p@10.0.0.9", presence()).unwrap();
        let full = Misuse::Limit("subscriptions");
        let third = bob.create_subscription("sip:p@10.0.0.9", presence());
        assert_eq!(third, Err(full));
        // Nor is there room for a fork.
        let conn = host.connect();
        let subscribe = host.asked(conn);
        let granted = "Contact: <sip:p@10.0.0.9>\nExpires: 600";
        host.say(conn, &answer(&subscribe, "200 OK", "one", granted));
        let mut notify = |tag: &str| {
            let from = format!("{};tag={tag}", field(&subscribe, HeaderName::To));
            let text = format!(
                "NOTIFY sip:bob@10.0.0.1 SIP/2.0\nVia: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bK{tag}\nFrom: {from}\n\
                 To: {}\nCall-ID: {}\nCSeq: 1 NOTIFY\nContact: <sip:p@10.0.0.9>\nEvent: presence\n\
                 Subscription-State: active",
                field(&subscribe, HeaderName::From),
                field(&subscribe, HeaderName::CallId)
            );
            host.say(conn, &text);
            host.codes(conn)
        };
        assert_eq!(notify("one"), [200]);
        assert_eq!(notify("two"), [481]);
        // Nor for a subscription of somebody.
        for (limit, expected) in [(1, None), (0, Some(503))] {
            let mut host = Host::new(|limits| limits.subscriptions = limit);
            let mut bob = host.stack.endpoint(host.now, host.bob).unwrap();
            bob.set_methods(vec![Method::Subscribe]).unwrap();
            let conn = host.peer();
            let fields = "Contact: <sip:p@10.0.0.2>\nEvent: presence";
            host.say(conn, &request("SUBSCRIBE", BOB, TO_BOB, 1, fields));
            assert_eq!(host.codes(conn).first().copied(), expected);
        }
    }

    pub(super) fn publications() {
        let mut host = Host::new(|limits| limits.publications = 1);
        let mut bob = host.stack.endpoint(host.now, host.bob).unwrap();
        let mut publish = || {
            let state = Content::text("here");
            bob.publish("sip:p@10.0.0.9", PublishOptions::new("presence"), state)
        };
        publish().unwrap();
        assert_eq!(publish(), Err(Misuse::Limit("publications")));
        assert_eq!(host.stack.counters().refusals.publications, 1);
    }

    pub(super) fn forks() {
        let mut host = Host::new(|limits| limits.forks = 2);
        let mut bob = host.stack.endpoint(host.now, host.bob).unwrap();
        bob.invite("sip:p@10.0.0.9", Some(sdp()), SendOptions::default())
            .unwrap();
        let conn = host.connect();
        let invite = host.asked(conn);
        // Each fork makes a dialog that its requests are found in; one more makes none.
        let mut codes = Vec::new();
        for (number, tag) in [(1, "one"), (2, "two"), (3, "three")] {
            host.say(
                conn,
                &answer(&invite, "180 Ringing", tag, "Contact: <sip:p@10.0.0.9>"),
            );
            let (from, to) = (field(&invite, HeaderName::To), field(&invite, HeaderName::From));
            let call_id = field(&invite, HeaderName::CallId);
            let text = request("OPTIONS", BOB, &to, number, "")
                .replace(
                    &format!("From: <sip:p@peer.invalid>;tag=p{number}"),
                    &format!("From: {from};tag={tag}"),
                )
                .replace(&format!("Call-ID: call-{number}"), &format!("Call-ID: {call_id}"));
            host.say(conn, &text);
            codes.extend(host.codes(conn));
        }
        assert_eq!(codes, [200, 200, 481]);
    }

    pub(super) fn operations() {
        let mut host = Host::new(|limits| limits.operations = 2);
        for _ in 0..2 {
            host.message("sip:p@10.0.0.9").unwrap();
        }
        assert_eq!(host.message("sip:p@10.0.0.9"), Err(Misuse::Limit("operations")));
        let conn = host.connect();
        let sent = host.sent(conn);
        host.say(conn, &answer(&sent[0], "200 OK", "x", ""));
        host.message("sip:p@10.0.0.9").unwrap();
    }

    pub(super) fn pending_per_session() {
        let mut host = Host::new(|limits| limits.pending_per_session = 2);
        let conn = host.peer();
        let (session, _) = connected(&mut host, conn);
        let (now, stack) = (host.now, &mut host.stack);
        let mut info = || {
            stack
                .session(now, session)
                .unwrap()
                .send(Method::Info, None, Vec::new())
        };
        assert!(info().is_ok() && info().is_ok());
        assert_eq!(info(), Err(Misuse::Limit("requests under way in one session")));
        host.drain();
        let sent = host.sent(conn);
        host.say(conn, &answer(&sent[0], "200 OK", "", ""));
        assert!(
            host.stack
                .session(now, session)
                .unwrap()
                .send(Method::Info, None, Vec::new())
                .is_ok()
        );
    }

    pub(super) fn redirects() {
        let mut host = Host::new(|limits| limits.redirects = 2);
        let mut config = PeerToPeerConfig::new("sip:anna@two.invalid");
        config.profile.redirects = true;
        let anna = host.stack.add_peer_to_peer_endpoint(host.now, config).unwrap();
        let mut view = host.stack.endpoint(host.now, anna).unwrap();
        view.invite("sip:p@10.0.0.9", None, SendOptions::default())
            .unwrap();
        let conn = host.connect();
        let sent = host.sent(conn);
        let contacts = ["a", "b", "c"].map(|name| format!("Contact: <sip:{name}@10.0.0.9>"));
        host.say(conn, &answer(&sent[0], "302 Moved", "x", &contacts.join("\n")));
        let asked = heard(&host.drain(), |event| match event {
            Event::Redirected { target, others, .. } => Some((target.clone(), others.clone())),
            _ => None,
        });
        let target = |name: &str| format!("sip:{name}@10.0.0.9");
        assert_eq!(asked, [(target("a"), vec![target("b")])]);
        assert_eq!(host.stack.counters().refusals.redirects, 1);
    }

    pub(super) fn referrals() {
        let mut host = Host::new(|limits| limits.referrals = 2);
        let mut methods = sansip::Profile::default().methods;
        methods.push(Method::Refer);
        let bob = host.bob;
        host.stack
            .endpoint(host.now, bob)
            .unwrap()
            .set_methods(methods)
            .unwrap();
        let conn = host.peer();
        let (session, to) = connected(&mut host, conn);
        let (now, target) = (host.now, "sip:p@10.0.0.9");
        let refer = |host: &mut Host| {
            let mut view = host.stack.session(now, session).unwrap();
            view.refer(target, Vec::new()).map(|_| ())
        };
        assert!(refer(&mut host).is_ok() && refer(&mut host).is_ok());
        assert_eq!(refer(&mut host), Err(Misuse::Limit("referrals in one session")));
        let sent = host.sent(conn);
        host.say(conn, &answer(&sent[0], "603 Decline", "", ""));
        host.drain();
        assert_eq!(refer(&mut host), Ok(()), "one is over");
        host.sent(conn);
        // Those of the peer are counted apart.
        let ask = |host: &mut Host, number: u32| {
            let more = format!("Contact: <sip:p@10.0.0.2>\nRefer-To: <{target}>");
            let refer = request("REFER", BOB, &to, 1, &more);
            let refer = refer.replace("z9hG4bK1", &format!("z9hG4bKr{number}"));
            host.say(conn, &refer.replace("CSeq: 1 ", &format!("CSeq: {number} ")));
            host.drain();
            host.sent(conn)
        };
        assert!(ask(&mut host, 2).is_empty() && ask(&mut host, 3).is_empty());
        let [refused] = ask(&mut host, 4).try_into().expect("one answer");
        assert_eq!(refused.status().unwrap().code(), 503);
        assert_eq!(field(&refused, HeaderName::RetryAfter), "5");
        assert_eq!(host.stack.counters().refusals.referrals, 2);
    }

    pub(super) fn events() {
        let run = |count: u32| {
            let mut host = Host::new(|limits| limits.events = 4);
            let conn = host.peer();
            for number in 1..=count {
                host.ask(conn, "OPTIONS", number);
            }
            // Whatever comes now shows whether the connection is still read from.
            host.stack.handle_bytes(host.now, conn, b"\r\n");
            let actions = host.drain();
            let stops = actions
                .iter()
                .position(|action| *action == Action::Reading(conn, false));
            let goes_on = actions
                .iter()
                .position(|action| *action == Action::Reading(conn, true));
            assert_eq!(heard(&actions, incoming).len(), usize::try_from(count).unwrap());
            assert!(stops < goes_on || goes_on.is_none());
            (stops.is_some(), goes_on.is_some())
        };
        assert_eq!(run(4), (false, false));
        assert_eq!(run(5), (true, true));
    }

    pub(super) fn endpoints() {
        let mut host = Host::new(|limits| limits.endpoints = 2);
        let mut add = |user: &str| {
            let config = PeerToPeerConfig::new(format!("sip:{user}@two.invalid"));
            host.stack.add_peer_to_peer_endpoint(host.now, config)
        };
        assert!(add("carol").is_ok());
        assert_eq!(add("dave"), Err(Misuse::Limit("endpoints")));
        let alice = SipEndpointConfig::new("sip:alice@example.com");
        assert_eq!(
            host.stack.add_sip_endpoint(host.now, alice),
            Err(Misuse::Limit("endpoints"))
        );
    }

    // rules: C25
    pub(super) fn dns_cache() {
        let mut host = Host::new(|limits| limits.dns_cache = 2);
        // Whether the name has to be asked for; each port is another next hop.
        let mut asks = |name: &str, port: u16| {
            host.message(&format!("sip:p@{name}.invalid:{port}")).unwrap();
            let query = host.drain().into_iter().find_map(|action| match action {
                Action::Resolve { query, .. } => Some(query),
                _ => None,
            });
            if let Some(query) = query {
                let addresses = vec!["10.0.0.9".parse().unwrap()];
                let answer = Answer::Addresses {
                    addresses,
                    ttl: secs(3600),
                };
                host.stack.handle_resolved(host.now, query, Ok(answer));
                host.drain();
            }
            query.is_some()
        };
        assert_eq!([asks("a", 5001), asks("b", 5001)], [true, true]);
        assert_eq!([asks("a", 5002), asks("b", 5002)], [false, false]);
        assert!(asks("c", 5001));
        assert_eq!(
            [asks("b", 5003), asks("c", 5003), asks("a", 5003)],
            [false, false, true]
        );
    }

    // rules: R10
    pub(super) fn attempts() {
        // So often is the REGISTER found too brief; then it is taken.
        let run = |refusals: u32| {
            let mut host = Host::new(|limits| limits.attempts = 3);
            let alice = SipEndpointConfig {
                server: Some(Server {
                    host: "10.0.0.9".into(),
                    port: Some(5060),
                }),
                transport: Transport::Tcp,
                ..SipEndpointConfig::new("sip:alice@example.com")
            };
            let alice = host.stack.add_sip_endpoint(host.now, alice).unwrap();
            let operation = host.stack.endpoint(host.now, alice).unwrap().register().unwrap();
            let conn = host.connect();
            for number in 1..=refusals {
                let register = host.asked(conn);
                let brief = format!("Min-Expires: {}", 4000 + number);
                host.say(conn, &answer(&register, "423 Interval Too Brief", "x", &brief));
            }
            if let Some(register) = host.sent(conn).pop() {
                let contact = field(&register, HeaderName::Contact);
                host.say(
                    conn,
                    &answer(
                        &register,
                        "200 OK",
                        "x",
                        &format!("Contact: {contact};expires=3600"),
                    ),
                );
            }
            heard(&host.drain(), |event| match event {
                Event::Completed {
                    operation: which,
                    result,
                } if *which == operation => Some(*result == Ok(Completion::Done)),
                _ => None,
            })
        };
        assert_eq!(run(2), [true], "sent three times");
        assert_eq!(run(3), [false], "not a fourth time");
    }

    // rules: C24
    pub(super) fn outstanding() {
        // With room for three, four MESSAGEs: the fourth is held, until one is answered.
        for (limit, at_once) in [(4, 4), (3, 3)] {
            let (mut host, alice, conn) = registered(|config| config.limits.outstanding = limit);
            for _ in 0..4 {
                host.message_of(alice, "sip:bob@example.com");
            }
            let sent = host.sent(conn);
            assert_eq!(sent.len(), at_once);
            host.say(conn, &answer(&sent[0], "200 OK", "x", ""));
            assert_eq!(host.sent(conn).len(), 4 - at_once);
        }
    }

    // rules: C25
    pub(super) fn targets() {
        // Three addresses of one host, all of which refuse.
        let run = |targets: usize| {
            let mut host = Host::new(|limits| limits.targets = targets);
            let operation = host.message("sip:p@three.invalid:5060").unwrap();
            let mut tried = 0;
            loop {
                let actions = host.drain();
                if let Some(error) = failure(&actions, operation) {
                    let is_refused = matches!(
                        error,
                        OperationError::ConnectionFailure(ConnectionFailure::Connect {
                            reason: CloseReason::Refused,
                            ..
                        })
                    );
                    assert!(is_refused, "{error:?}");
                    return tried;
                }
                for action in actions {
                    match action {
                        Action::Resolve { query, .. } => {
                            let addresses = ["10.0.0.7", "10.0.0.8", "10.0.0.9"];
                            let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
                            let ttl = secs(0);
                            let answer = Answer::Addresses { addresses, ttl };
                            host.stack.handle_resolved(host.now, query, Ok(answer));
                        }
                        Action::Connect(to) => {
                            tried += 1;
                            host.stack.handle_closed(host.now, to.conn, CloseReason::Refused);
                        }
                        _ => {}
                    }
                }
            }
        };
        assert_eq!([run(2), run(3), run(4)], [2, 3, 3]);
    }
}
