//! Presence at the front end.

use super::*;

const BOB: &str = "sip:bob@example.com";

/// bob and alice, registered where presence is kept.
fn with_presence(limits: PresenceLimits) -> (Lab, Conn, Conn) {
    let mut lab = Lab::new(FrontEndConfig {
        presence: Some(limits),
        ..FrontEndConfig::new("example.com")
    });
    let bob = lab.device(1, "bob", "e1");
    let alice = lab.device(2, "alice", "e2");
    (lab, bob, alice)
}

fn lab() -> (Lab, Conn, Conn) {
    with_presence(PresenceLimits::default())
}

fn field(message: &Message, name: HeaderName) -> String {
    String::from_utf8_lossy(message.raw(name).unwrap_or_default()).into_owned()
}

fn body(message: &Message) -> &str {
    std::str::from_utf8(message.body_bytes()).unwrap()
}

impl Lab {
    fn subscribe(&mut self, conn: Conn, uri: &str, user: &str, more: &str) -> Vec<Message> {
        let more = format!("Contact: <sip:{user}@192.0.2.2:40002;transport=tcp>\n{more}");
        let text = self.request("SUBSCRIBE", uri, user, &more);
        self.send(conn, &text);
        self.take(conn)
    }

    /// alice watches bob, and has answered the first NOTIFY; gives the 2xx.
    fn watch(&mut self, alice: Conn) -> Message {
        let mut said = self.subscribe(alice, BOB, "alice", "Event: presence\nExpires: 600");
        assert_eq!(said.len(), 2, "{said:?}");
        let notify = said.pop().unwrap();
        self.respond(alice, &notify, 200, "x", "");
        said.pop().unwrap()
    }

    /// A SUBSCRIBE in the dialog that this 2xx has made.
    fn resubscribe(&mut self, alice: Conn, ok: &Message, more: &str) -> Vec<Message> {
        let contact = field(ok, HeaderName::Contact);
        let uri = contact.trim_matches(['<', '>']);
        let text = self.request("SUBSCRIBE", uri, "alice", more);
        let to = format!("To: {}", field(ok, HeaderName::To));
        let text = text.replace(&format!("To: <{uri}>"), &to);
        self.send(alice, &text);
        self.take(alice)
    }

    /// bob publishes, with these header fields and this body.
    fn publish(&mut self, bob: Conn, more: &str, body: &str) -> Message {
        let type_ = if body.is_empty() {
            ""
        } else {
            "Content-Type: text/plain"
        };
        // An empty line is where the body begins.
        let fields = ["Event: presence", more, type_];
        let fields: Vec<&str> = fields.into_iter().filter(|line| !line.is_empty()).collect();
        let mut text = self.request("PUBLISH", BOB, "bob", &fields.join("\n"));
        text.push_str(&format!("\n\n{body}"));
        self.send(bob, &text);
        self.one(bob)
    }

    /// The NOTIFY that has come, which is answered.
    #[track_caller]
    fn news(&mut self, alice: Conn) -> (String, String) {
        let notify = self.one(alice);
        assert_eq!(method(&notify), "NOTIFY");
        self.respond(alice, &notify, 200, "x", "");
        let state = field(&notify, HeaderName::SubscriptionState);
        (state, body(&notify).to_owned())
    }
}

fn etag(ok: &Message) -> String {
    assert_eq!(ok.status(), Some(StatusCode::OK), "{ok:?}");
    field(ok, HeaderName::SipETag)
}

fn if_match(etag: &str) -> String {
    format!("SIP-If-Match: {etag}")
}

#[test]
fn rfc_6665_section_4_2_1_a_subscribe_is_accepted_and_notified_at_once() {
    let (mut lab, _, alice) = lab();
    let fields = "Event: presence;id=7\nExpires: 600\nRecord-Route: <sip:p2;lr>, <sip:p1;lr>";
    let said = lab.subscribe(alice, BOB, "alice", fields);
    let [ok, notify] = said.as_slice() else {
        panic!("{said:?}")
    };
    assert_eq!(ok.status(), Some(StatusCode::OK));
    assert_eq!(field(ok, HeaderName::Expires), "600");
    assert_eq!(record_route(ok), ["<sip:p2;lr>", "<sip:p1;lr>"]);
    // The dialog of RFC 3261 section 12.1.1, and the state even where nothing is published.
    assert_eq!(notify.request_uri(), "sip:alice@192.0.2.2:40002;transport=tcp");
    let (from, to) = (notify.from_().unwrap(), notify.to().unwrap());
    assert_eq!(from.tag(), ok.to().unwrap().tag());
    assert_eq!(to.tag(), Some("fromalice"));
    assert_eq!(field(notify, HeaderName::CallId), "call-alice");
    let routes: Vec<String> = notify
        .raw_all(HeaderName::Route)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    assert_eq!(routes, ["<sip:p2;lr>", "<sip:p1;lr>"]);
    assert_eq!(field(notify, HeaderName::Event), "presence;id=7");
    let state = field(notify, HeaderName::SubscriptionState);
    assert_eq!((state.as_str(), body(notify)), ("active;expires=600", ""));
    assert_eq!(lab.front.census().subscriptions, 1);
}

#[test]
fn rfc_6665_section_4_2_1_1_what_cannot_be_watched_is_refused() {
    let (mut lab, _, alice) = lab();
    let status = |said: Vec<Message>| said[0].status().unwrap().code();
    let nobody = "sip:nobody@example.com";
    assert_eq!(
        status(lab.subscribe(alice, nobody, "alice", "Event: presence")),
        404
    );
    let server = "sip:example.com";
    let other = lab.subscribe(alice, server, "alice", "Event: dialog");
    assert_eq!(field(&other[0], HeaderName::AllowEvents), "presence");
    assert_eq!(status(other), 489);
    assert_eq!(status(lab.subscribe(alice, server, "alice", "")), 489);
    let brief = lab.subscribe(alice, BOB, "alice", "Event: presence\nExpires: 59");
    assert_eq!(field(&brief[0], HeaderName::MinExpires), "60");
    assert_eq!(status(brief), 423);
    let text = lab.request("SUBSCRIBE", BOB, "alice", "Event: presence");
    lab.send(alice, &text);
    assert_eq!(lab.statuses(alice), [400], "no Contact");
    let long = lab.subscribe(alice, BOB, "alice", "Event: presence\nExpires: 86400");
    assert_eq!(field(&long[0], HeaderName::Expires), "3600");
    assert_eq!(lab.front.census().subscriptions, 1);
}

#[test]
fn other_packages_and_presence_that_is_not_kept_are_for_the_users_endpoints() {
    let (mut lab, bob, alice) = lab();
    assert!(lab.subscribe(alice, BOB, "alice", "Event: dialog").is_empty());
    assert_eq!(field(&lab.one(bob), HeaderName::Event), "dialog");
    let mut lab = Lab::open();
    let (bob, alice) = (lab.device(1, "bob", "e1"), lab.device(2, "alice", "e2"));
    assert!(lab.subscribe(alice, BOB, "alice", "Event: presence").is_empty());
    assert_eq!(method(&lab.one(bob)), "SUBSCRIBE");
}

#[test]
fn rfc_6665_section_4_2_2_a_change_is_notified_and_one_notify_is_under_way_at_a_time() {
    let (mut lab, bob, alice) = lab();
    lab.watch(alice);
    let first = etag(&lab.publish(bob, "", "one"));
    let notify = lab.one(alice);
    assert_eq!(field(&notify, HeaderName::ContentType), "text/plain");
    assert_eq!(body(&notify), "one");
    // Two more changes, of which the last one is told when the first is answered.
    let second = etag(&lab.publish(bob, &if_match(&first), "two"));
    lab.publish(bob, &if_match(&second), "three");
    assert!(lab.take(alice).is_empty());
    lab.respond(alice, &notify, 200, "x", "");
    let last = lab.one(alice);
    assert_eq!(body(&last), "three");
    assert_eq!(last.cseq().unwrap().number, notify.cseq().unwrap().number + 1);
    lab.respond(alice, &last, 200, "x", "");
    assert!(lab.take(alice).is_empty());
}

#[test]
fn rfc_6665_section_4_2_2_who_refuses_a_notify_or_is_silent_is_told_no_more() {
    let (mut lab, bob, alice) = lab();
    lab.watch(alice);
    lab.publish(bob, "", "one");
    let notify = lab.one(alice);
    lab.respond(alice, &notify, 481, "x", "");
    assert_eq!(lab.front.census().subscriptions, 0);
    lab.watch(alice);
    lab.publish(bob, "", "two");
    assert_eq!(body(&lab.one(alice)), "two");
    // 64 T1.
    lab.pass(Duration::from_micros(31_999_999));
    assert_eq!(lab.front.census().subscriptions, 1);
    lab.pass(Duration::from_micros(1));
    assert_eq!(lab.front.census().subscriptions, 0);
    // Nor is it waited for over a connection that is gone.
    lab.watch(alice);
    lab.publish(bob, "", "three");
    lab.lose(alice);
    assert_eq!(lab.front.census().subscriptions, 0);
}

#[test]
fn rfc_6665_section_4_1_2_2_a_refresh_prolongs_and_says_the_state_again() {
    let (mut lab, bob, alice) = lab();
    let ok = lab.watch(alice);
    lab.publish(bob, "", "one");
    lab.news(alice);
    lab.pass(Duration::from_secs(500));
    let mut said = lab.resubscribe(alice, &ok, "Event: presence\nExpires: 600");
    let notify = said.pop().unwrap();
    assert_eq!(said[0].status(), Some(StatusCode::OK));
    assert_eq!(body(&notify), "one");
    lab.respond(alice, &notify, 200, "x", "");
    lab.pass(Duration::from_micros(599_999_999));
    assert!(lab.take(alice).is_empty());
    lab.pass(Duration::from_micros(1));
    let (state, body) = lab.news(alice);
    assert_eq!(
        (state.as_str(), body.as_str()),
        ("terminated;reason=timeout", "one")
    );
    assert_eq!(lab.front.census().subscriptions, 0);
    let late = lab.resubscribe(alice, &ok, "Event: presence\nExpires: 600");
    assert_eq!(late[0].status(), Some(StatusCode::NO_SUCH_CALL));
}

#[test]
fn rfc_6665_section_4_1_2_3_expires_0_ends_a_subscription_with_a_last_notify() {
    let (mut lab, bob, alice) = lab();
    let ok = lab.watch(alice);
    let other = lab.resubscribe(alice, &ok, "Event: dialog\nExpires: 0");
    assert_eq!(other[0].status(), Some(StatusCode::BAD_EVENT));
    let mut said = lab.resubscribe(alice, &ok, "Event: presence\nExpires: 0");
    let notify = said.pop().unwrap();
    assert_eq!(field(&said[0], HeaderName::Expires), "0");
    let state = field(&notify, HeaderName::SubscriptionState);
    assert_eq!(state, "terminated;reason=timeout");
    let late = lab.resubscribe(alice, &ok, "Event: presence");
    assert_eq!(late[0].status(), Some(StatusCode::NO_SUCH_CALL));
    lab.respond(alice, &notify, 200, "x", "");
    lab.publish(bob, "", "one");
    assert!(lab.take(alice).is_empty());
    assert_eq!(lab.front.census().subscriptions, 0);
}

#[test]
fn rfc_6665_section_4_4_3_expires_0_outside_a_dialog_asks_once() {
    let (mut lab, bob, alice) = lab();
    lab.publish(bob, "", "one");
    let mut said = lab.subscribe(alice, BOB, "alice", "Event: presence\nExpires: 0");
    let notify = said.pop().unwrap();
    assert_eq!(said[0].status(), Some(StatusCode::OK));
    let state = field(&notify, HeaderName::SubscriptionState);
    assert_eq!(
        (state.as_str(), body(&notify)),
        ("terminated;reason=timeout", "one")
    );
    lab.respond(alice, &notify, 200, "x", "");
    assert_eq!(lab.front.census().subscriptions, 0);
}

#[test]
fn rfc_3261_section_12_2_2_a_subscribe_that_was_overtaken_is_refused() {
    let (mut lab, _, alice) = lab();
    let ok = lab.watch(alice);
    // The number of the SUBSCRIBE that has made it.
    lab.requests -= 1;
    let late = lab.resubscribe(alice, &ok, "Event: presence\nExpires: 0");
    assert_eq!(late[0].status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
    assert_eq!(late.len(), 1);
    assert_eq!(lab.front.census().subscriptions, 1);
}

#[test]
fn rfc_3903_section_6_each_publish_has_a_tag_of_its_own_and_an_old_one_is_412() {
    let (mut lab, bob, alice) = lab();
    lab.watch(alice);
    let first = lab.publish(bob, "Expires: 600", "one");
    assert_eq!(field(&first, HeaderName::Expires), "600");
    let first = etag(&first);
    assert_eq!(lab.news(alice).1, "one");
    // A refresh changes nothing that is seen.
    let second = etag(&lab.publish(bob, &if_match(&first), ""));
    assert_ne!(first, second);
    assert!(lab.take(alice).is_empty());
    for old in [first.as_str(), "0", "never-given"] {
        let stale = lab.publish(bob, &if_match(old), "x");
        assert_eq!(
            stale.status(),
            Some(StatusCode::CONDITIONAL_REQUEST_FAILED),
            "{old}"
        );
    }
    let third = etag(&lab.publish(bob, &if_match(&second), "two"));
    assert_eq!(lab.news(alice).1, "two");
    let gone = etag(&lab.publish(bob, &format!("{}\nExpires: 0", if_match(&third)), ""));
    assert_eq!(lab.news(alice).1, "");
    assert_eq!(lab.front.census().publications, 0);
    let stale = lab.publish(bob, &if_match(&gone), "");
    assert_eq!(stale.status(), Some(StatusCode::CONDITIONAL_REQUEST_FAILED));
}

#[test]
fn rfc_3903_section_6_what_cannot_be_published_is_refused() {
    let (mut lab, bob, _) = lab();
    assert_eq!(lab.publish(bob, "", "").status(), Some(StatusCode::BAD_REQUEST));
    let brief = lab.publish(bob, "Expires: 59", "x");
    assert_eq!(brief.status(), Some(StatusCode::INTERVAL_TOO_BRIEF));
    let text = lab.request("PUBLISH", BOB, "bob", "Event: dialog");
    lab.send(bob, &text);
    let other = lab.one(bob);
    assert_eq!(other.status(), Some(StatusCode::BAD_EVENT));
    assert_eq!(field(&other, HeaderName::AllowEvents), "presence");
    let text = lab.request("PUBLISH", "sip:nobody@example.com", "bob", "Event: presence");
    lab.send(bob, &text);
    assert_eq!(lab.statuses(bob), [404]);
    // The tag of somebody else.
    let bobs = etag(&lab.publish(bob, "", "x"));
    let fields = format!("Event: presence\n{}", if_match(&bobs));
    let text = lab.request("PUBLISH", "sip:alice@example.com", "bob", &fields);
    lab.send(bob, &text);
    assert_eq!(lab.statuses(bob), [412]);
}

#[test]
fn rfc_3903_section_6_a_publication_that_is_not_refreshed_is_gone_and_the_one_before_is_seen() {
    let (mut lab, bob, alice) = lab();
    lab.watch(alice);
    lab.publish(bob, "Expires: 500", "phone");
    assert_eq!(lab.news(alice).1, "phone");
    lab.publish(bob, "Expires: 100", "desk");
    assert_eq!(lab.news(alice).1, "desk");
    lab.pass(Duration::from_micros(99_999_999));
    assert!(lab.take(alice).is_empty());
    lab.pass(Duration::from_micros(1));
    assert_eq!(lab.news(alice).1, "phone");
    lab.pass(Duration::from_secs(400));
    assert_eq!(lab.news(alice), ("active;expires=100".to_owned(), String::new()));
    assert_eq!(lab.front.census().publications, 0);
}

#[test]
fn rfc_3903_section_14_nobody_publishes_for_another() {
    let mut lab = guarded();
    lab.front.config.presence = Some(PresenceLimits::default());
    let bob = log_on(&mut lab, 2, "bob", "hidden");
    let mut publish = |uri: &str, count: u32| {
        let fields = "Event: presence\nContent-Type: text/plain";
        let text = lab.request("PUBLISH", uri, "bob", fields);
        lab.send(bob, &format!("{text}\n\nx"));
        let asked = lab.one(bob);
        let asked = challenge(&asked, HeaderName::ProxyAuthenticate, Algorithm::Md5);
        let value = answer(&asked, "bob", "hidden", count, "PUBLISH", uri);
        let fields = format!("{fields}\nProxy-Authorization: {value}");
        let text = lab.request("PUBLISH", uri, "bob", &fields);
        lab.send(bob, &format!("{text}\n\nx"));
        lab.statuses(bob)
    };
    assert_eq!(publish(BOB, 1), [200]);
    assert_eq!(publish("sip:alice@example.com", 1), [403]);
}

#[test]
fn no_more_is_kept_than_the_limits_say() {
    let (mut lab, bob, alice) = with_presence(PresenceLimits {
        subscriptions: 1,
        publications: 1,
    });
    lab.watch(alice);
    let more = lab.subscribe(alice, BOB, "alice", "Event: presence");
    assert_eq!(more[0].status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    let tag = etag(&lab.publish(bob, "", "one"));
    let more = lab.publish(bob, "", "two");
    assert_eq!(more.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    // One that is there may be changed.
    etag(&lab.publish(bob, &if_match(&tag), "two"));
}

#[test]
fn a_restart_keeps_presence_or_loses_it() {
    for (memory, kept) in [(Memory::Kept, 1), (Memory::Lost, 0)] {
        let (mut lab, bob, alice) = lab();
        lab.watch(alice);
        lab.publish(bob, "", "one");
        lab.front.restart(memory);
        lab.drain();
        let census = lab.front.census();
        assert_eq!((census.subscriptions, census.publications), (kept, kept));
    }
}
