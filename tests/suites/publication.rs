//! States that are published at a scripted server (rule B6).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method};
use sansip::{
    CloseReason, Config, Content, EndpointId, Event, Misuse, OperationError, OperationFailure, OperationId,
    PublicationId, PublicationReason as Reason, PublicationState as State, PublicationView, PublishOptions,
    SendOptions,
};

use common::host::{Stage, connect_to, registered_as};
use common::{answer, failure_code, field, secs};

/// alice, who is registered at a server and has published there.
struct Publisher {
    stage: Stage,
    alice: EndpointId,
    id: PublicationId,
    operation: OperationId,
}

impl Deref for Publisher {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for Publisher {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

fn state(text: &'static str) -> Content {
    Content::new("application/pidf+xml", text)
}

fn publishing() -> Publisher {
    publishing_with(PublishOptions::new("presence"))
}

fn publishing_with(options: PublishOptions) -> Publisher {
    publishing_on(|_| {}, options)
}

fn publishing_on(change: impl FnOnce(&mut Config), options: PublishOptions) -> Publisher {
    let (mut host, alice, conn) = registered_as(change, "\nPresence-State: register-action=\"added\"");
    let now = host.now;
    let (id, operation) = host
        .stack
        .endpoint(now, alice)
        .unwrap()
        .publish("sip:alice@example.com", options, state("one"))
        .unwrap();
    Publisher {
        stage: Stage::new(host, conn),
        alice,
        id,
        operation,
    }
}

/// The same, which the server has taken with the entity tag `a`.
fn published() -> Publisher {
    let mut it = publishing();
    let first = it.next();
    it.respond(&first, "200 OK", "SIP-ETag: a\nExpires: 3600");
    it
}

impl Publisher {
    /// The one PUBLISH that is queued.
    fn next(&mut self) -> Message {
        self.only(&Method::Publish)
    }

    fn respond(&mut self, request: &Message, status: &str, more: &str) {
        self.tell(&answer(request, status, "server", more));
    }

    fn with<T>(&mut self, command: impl FnOnce(&mut PublicationView<'_>) -> T) -> T {
        let (now, id) = (self.host.now, self.id);
        let result = command(&mut self.host.stack.publication(now, id).unwrap());
        self.take();
        result
    }

    /// Lets time pass until a request of this method, and says when it was.
    fn until_next(&mut self, method: &Method) -> (Duration, Message) {
        let start = self.host.now;
        loop {
            let (at, _) = self.host.stack.poll_timeout().unwrap();
            assert!(at <= start + secs(3600), "a request in time");
            self.pass_to(at);
            let sent = self.sent();
            // The registration goes on meanwhile.
            for register in sent
                .iter()
                .filter(|sent| sent.method() == Some(&Method::Register))
            {
                let contact = field(register, HeaderName::Contact);
                self.respond(register, "200 OK", &format!("Contact: {contact};expires=3600"));
            }
            let found = sent.into_iter().find(|sent| sent.method() == Some(method));
            if let Some(found) = found {
                return (self.host.now.since(start), found);
            }
        }
    }

    fn states(&self) -> Vec<(State, Reason)> {
        let of = self.events.iter().filter_map(|event| match event {
            Event::Publication {
                publication,
                new,
                reason,
                ..
            } if *publication == self.id => Some((*new, *reason)),
            _ => None,
        });
        of.collect()
    }

    fn last(&self) -> (State, Reason) {
        *self.states().last().unwrap()
    }
}

fn tag(publish: &Message) -> String {
    field(publish, HeaderName::SipIfMatch)
}

fn expires(publish: &Message) -> String {
    field(publish, HeaderName::Expires)
}

// rules: B6
#[test]
fn a_state_is_published_refreshed_changed_and_removed() {
    let mut it = publishing();
    let first = it.next();
    assert_eq!(first.request_uri(), "sip:alice@example.com");
    assert_eq!(
        (&*field(&first, HeaderName::Event), &*tag(&first)),
        ("presence", "")
    );
    assert_eq!((&*expires(&first), first.body_bytes()), ("3600", &b"one"[..]));
    assert_eq!(it.result(it.operation), None);
    it.respond(&first, "200 OK", "SIP-ETag: a\nExpires: 3600");
    assert_eq!(it.result(it.operation), Some(Ok(())));
    assert_eq!(it.states(), [(State::Published, Reason::None)]);
    // The refresh has the tag and no body (RFC 3903 section 4.1).
    let (after, refresh) = it.until_next(&Method::Publish);
    assert!((secs(2430)..=secs(3240)).contains(&after), "{after:?}");
    assert_eq!((&*tag(&refresh), refresh.body_bytes()), ("a", &b""[..]));
    assert_eq!(refresh.call_id().unwrap(), first.call_id().unwrap());
    assert_eq!(refresh.cseq().unwrap().number, 2);
    it.respond(&refresh, "200 OK", "SIP-ETag: b\nExpires: 3600");
    let changed = it.with(|view| view.modify(state("two"))).unwrap();
    let modify = it.next();
    assert_eq!((&*tag(&modify), modify.body_bytes()), ("b", &b"two"[..]));
    // Of what is given meanwhile the last goes out next.
    let more = [state("three"), state("four")].map(|state| it.with(|view| view.modify(state)).unwrap());
    assert_eq!(it.sent(), []);
    it.respond(&modify, "200 OK", "SIP-ETag: c\nExpires: 3600");
    assert_eq!(it.result(changed), Some(Ok(())));
    let modify = it.next();
    assert_eq!((&*tag(&modify), modify.body_bytes()), ("c", &b"four"[..]));
    it.respond(&modify, "200 OK", "SIP-ETag: d\nExpires: 3600");
    assert_eq!(
        more.map(|operation| it.result(operation)),
        [Some(Ok(())), Some(Ok(()))]
    );
    let gone = it.with(|view| view.remove());
    let remove = it.next();
    assert_eq!(
        (&*tag(&remove), &*expires(&remove), remove.body_bytes()),
        ("d", "0", &b""[..])
    );
    it.respond(&remove, "200 OK", "SIP-ETag: e\nExpires: 0");
    assert_eq!(
        (it.result(gone), it.last()),
        (Some(Ok(())), (State::Removed, Reason::TerminatedLocally))
    );
    assert_eq!(it.host.stack.census().publications, 0);
}

// rules: B6
#[test]
fn what_the_server_has_forgotten_is_published_anew() {
    let mut it = published();
    let changed = it.with(|view| view.modify(state("two"))).unwrap();
    let modify = it.next();
    it.respond(&modify, "412 Gone", "");
    assert_eq!(it.last(), (State::Publishing, Reason::Stale));
    let anew = it.next();
    assert_eq!((&*tag(&anew), anew.body_bytes()), ("", &b"two"[..]));
    it.respond(&anew, "200 OK", "SIP-ETag: z\nExpires: 3600");
    assert_eq!(
        (it.result(changed), it.last()),
        (Some(Ok(())), (State::Published, Reason::None))
    );
    // A refresh, too, brings the whole state then.
    let (_, refresh) = it.until_next(&Method::Publish);
    it.respond(&refresh, "412 Gone", "");
    assert_eq!(it.next().body_bytes(), b"two");
    // 412 to what has no tag is a refusal.
    let mut it = publishing();
    let first = it.next();
    it.respond(&first, "412 What", "");
    assert_eq!(it.last(), (State::Removed, Reason::Refused));
}

// rules: B6
#[test]
fn refusals_pass_or_end_it() {
    let mut it = publishing();
    let first = it.next();
    it.respond(&first, "503 Out", "");
    assert_eq!(it.last(), (State::WaitingForRetry, Reason::TemporaryFailure));
    assert_eq!(failure_code(&it.result(it.operation).unwrap()), 503);
    let (after, again) = it.until_next(&Method::Publish);
    assert!((secs(1)..=secs(2)).contains(&after), "{after:?}");
    assert_eq!(again.body_bytes(), b"one");
    it.respond(&again, "489 What", "");
    assert_eq!(it.last(), (State::Removed, Reason::Refused));
    // 423: the least that the server takes.
    let mut options = PublishOptions::new("presence");
    options.expires = Some(secs(60));
    let mut it = publishing_with(options);
    let first = it.next();
    assert_eq!(expires(&first), "60");
    it.respond(&first, "423 Brief", "Min-Expires: 600");
    assert_eq!(expires(&it.next()), "600");
    // What the server may have is still removed while it is out of order.
    let mut it = published();
    it.with(|view| view.modify(state("two"))).unwrap();
    let modify = it.next();
    it.respond(&modify, "500 Out", "");
    let gone = it.with(|view| view.remove());
    let remove = it.next();
    assert_eq!((&*tag(&remove), &*expires(&remove)), ("a", "0"));
    it.respond(&remove, "412 Gone", "");
    assert_eq!(it.result(gone), Some(Ok(())));
}

// rules: B6, X2
#[test]
fn what_it_is_given_is_checked_first() {
    let mut it = published();
    let (now, alice) = (it.host.now, it.alice);
    let mut refused = |target: &str, options: PublishOptions, content: Content| {
        let mut view = it.host.stack.endpoint(now, alice).unwrap();
        match view.publish(target, options, content) {
            Err(Misuse::Argument { argument, .. }) => argument,
            other => panic!("{other:?}"),
        }
    };
    let own = "sip:alice@example.com";
    assert_eq!(
        refused("mailto:a@b", PublishOptions::new("presence"), state("x")),
        "target"
    );
    assert_eq!(refused(own, PublishOptions::new("a b"), state("x")), "event");
    assert_eq!(
        refused(own, PublishOptions::new("presence"), state("")),
        "content"
    );
    let mut options = PublishOptions::new("presence");
    options.headers = vec![(String::from("SIP-If-Match"), String::from("x"))];
    assert_eq!(refused(own, options, state("x")), "headers");
    it.with(|view| view.remove());
    let late = it.with(|view| view.modify(state("two")));
    assert!(matches!(late, Err(Misuse::State { .. })));
    // What the network has overtaken succeeds, and completes as ended.
    let mut it = published();
    it.with(|view| view.modify(state("two"))).unwrap();
    let modify = it.next();
    let (conn, id) = (it.conn, it.id);
    it.host.say(conn, &answer(&modify, "403 No", "server", ""));
    let late = it
        .host
        .stack
        .publication(now, id)
        .unwrap()
        .modify(state("x"))
        .unwrap();
    it.take();
    let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
    assert_eq!(it.result(late), Some(Err(ended)));
    assert!(it.host.stack.publication(now, id).is_err());
}

// rules: B6, X2
#[test]
fn each_command_is_legal_where_the_rule_says_and_misuse_elsewhere() {
    for at in ["Publishing", "Published", "WaitingForRetry", "Removing"] {
        for name in ["modify", "remove"] {
            let mut it = match at {
                "Publishing" => publishing(),
                _ => published(),
            };
            match at {
                "WaitingForRetry" => {
                    it.with(|view| view.modify(state("two"))).unwrap();
                    let modify = it.next();
                    it.respond(&modify, "500 Out", "");
                    assert_eq!(it.last().0, State::WaitingForRetry);
                }
                "Removing" => {
                    it.with(|view| view.remove());
                    assert_eq!(it.last().0, State::Removing);
                }
                _ => {}
            }
            let before = it.host.stack.fingerprint();
            let result = it.with(|view| match name {
                "modify" => view.modify(state("three")),
                _ => Ok(view.remove()),
            });
            if at == "Removing" && name == "modify" {
                assert!(matches!(result, Err(Misuse::State { .. })), "{result:?}");
                assert!(it.host.stack.fingerprint() == before, "misuse changes nothing");
            } else {
                assert!(result.is_ok(), "{name} in {at}: {result:?}");
            }
        }
    }
}

// rules: B6, C31, X7
#[test]
fn changes_that_wait_for_each_other_are_bounded() {
    let options = PublishOptions::new("presence");
    let mut it = publishing_on(|config| config.limits.pending_per_session = 3, options);
    let first = it.next();
    it.respond(&first, "200 OK", "SIP-ETag: a\nExpires: 3600");
    // One is on its way, and two wait for it.
    for _ in 0..3 {
        assert!(it.with(|view| view.modify(state("two"))).is_ok());
    }
    let more = it.with(|view| view.modify(state("two")));
    assert!(matches!(more, Err(Misuse::Limit(_))), "{more:?}");
    assert_eq!(it.host.stack.counters().refusals.pending_per_session, 1);
}

// rules: B6, E7, E13
#[test]
fn the_end_of_an_endpoint_removes_what_it_has_published() {
    let mut it = published();
    let (now, alice) = (it.host.now, it.alice);
    let done = it.host.stack.terminate(now, alice);
    it.take();
    let sent = it.sent();
    let remove = sent
        .iter()
        .find(|sent| sent.method() == Some(&Method::Publish))
        .unwrap();
    assert_eq!(expires(remove), "0");
    let unregister = sent
        .iter()
        .find(|sent| sent.method() == Some(&Method::Register))
        .unwrap();
    it.respond(unregister, "200 OK", "");
    assert_eq!(it.result(done), None);
    it.respond(remove, "200 OK", "Expires: 0");
    assert_eq!(it.result(done), Some(Ok(())));
}

/// Lets time pass until the endpoint refreshes its registration.
fn next_register(it: &mut Publisher) -> Message {
    loop {
        let (at, _) = it.host.stack.poll_timeout().unwrap();
        it.pass_to(at);
        let sent = it.sent();
        for publish in sent.iter().filter(|sent| sent.method() == Some(&Method::Publish)) {
            it.respond(publish, "200 OK", "SIP-ETag: b\nExpires: 3600");
        }
        let found = sent
            .into_iter()
            .find(|sent| sent.method() == Some(&Method::Register));
        if let Some(found) = found {
            return found;
        }
    }
}

/// The server takes a REGISTER for that of an endpoint that it does not know.
fn forget(it: &mut Publisher, register: &Message) {
    let contact = field(register, HeaderName::Contact);
    let fixed = format!("Contact: {contact};expires=3600\nPresence-State: register-action=\"fixed\"");
    it.respond(register, "200 OK", &fixed);
    assert_eq!(it.last(), (State::Publishing, Reason::Forgotten));
}

// What answers the PUBLISH that was under way then speaks of what is gone.
// rules: B6, B7
#[test]
fn what_was_under_way_to_a_server_that_had_lost_the_endpoint_says_nothing_any_more() {
    let mut it = published();
    let register = next_register(&mut it);
    it.with(|view| view.modify(state("two"))).unwrap();
    let modify = it.next();
    forget(&mut it, &register);
    let anew = it.next();
    assert_eq!((&*tag(&anew), anew.body_bytes()), ("", &b"two"[..]));
    it.respond(&anew, "200 OK", "SIP-ETag: new\nExpires: 3600");
    it.respond(&modify, "200 OK", "SIP-ETag: old\nExpires: 3600");
    let (_, refresh) = it.until_next(&Method::Publish);
    assert_eq!(tag(&refresh), "new");
}

// A connection that is lost may have taken it along: whether it has is not known, and it does no harm where it arrives twice.
// rules: B6, C35
#[test]
fn what_a_lost_connection_has_taken_is_published_again() {
    let mut it = publishing();
    it.next();
    let (now, conn) = (it.host.now, it.conn);
    it.host.stack.handle_closed(now, conn, CloseReason::Reset);
    let actions = it.host.drain();
    it.conn = connect_to(&mut it.stage.host, &actions);
    let again = it.next();
    assert_eq!((&*tag(&again), again.body_bytes()), ("", &b"one"[..]));
    it.respond(&again, "200 OK", "SIP-ETag: a\nExpires: 3600");
    assert_eq!(it.last(), (State::Published, Reason::None));
}

// RFC 3903 section 4.1: there is nothing to refresh it by.
// rules: B6
#[test]
fn what_the_server_gives_no_tag_is_published_as_a_whole_each_time() {
    let mut it = publishing();
    let first = it.next();
    it.respond(&first, "200 OK", "Expires: 3600");
    let (_, again) = it.until_next(&Method::Publish);
    assert_eq!((&*tag(&again), again.body_bytes()), ("", &b"one"[..]));
    // With a tag a refresh has no body.
    it.respond(&again, "200 OK", "SIP-ETag: a\nExpires: 3600");
    let (_, refresh) = it.until_next(&Method::Publish);
    assert_eq!((&*tag(&refresh), refresh.body_bytes()), ("a", &b""[..]));
}

// rules: B6, B7
#[test]
fn a_server_that_had_lost_the_endpoint_is_told_anew() {
    let mut it = published();
    let register = next_register(&mut it);
    forget(&mut it, &register);
    let anew = it.next();
    assert_eq!((&*tag(&anew), anew.body_bytes()), ("", &b"one"[..]));
}

// rules: B6
#[test]
fn a_service_request_has_whatever_body_the_application_gives() {
    let mut it = published();
    let (now, alice) = (it.host.now, it.alice);
    let body = Content::new("application/msrtc-category-publish+xml", "<publish/>");
    let mut view = it.host.stack.endpoint(now, alice).unwrap();
    let operation = view
        .send_message(
            "sip:alice@example.com",
            Method::Service,
            Some(body),
            SendOptions::default(),
        )
        .unwrap();
    let sent = it.sent();
    assert_eq!(
        (sent[0].method(), sent[0].body_bytes()),
        (Some(&Method::Service), &b"<publish/>"[..])
    );
    let said = "Content-Type: application/msrtc-fault+xml";
    it.respond(&sent[0], "409 No", said);
    let error = it.result(operation).unwrap().unwrap_err();
    assert_eq!(
        field(error.response().unwrap(), HeaderName::ContentType),
        "application/msrtc-fault+xml"
    );
}
