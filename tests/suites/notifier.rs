//! Subscriptions of others to states of ours (rule B5), against scripted subscribers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Action, Content, EndOfSubscription, Event, Misuse, OperationError, OperationFailure, WatcherId,
    WatcherReason as Reason, WatcherView,
};

use common::host::{BOB, Host, Stage, TO_BOB};
use common::{TICK, answer, field, request, secs};

/// bob, who takes subscriptions, and a peer that has sent one.
struct Notifier {
    stage: Stage,
    id: WatcherId,
    /// The tag of bob in the answer.
    tag: String,
}

impl Deref for Notifier {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for Notifier {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

const FIELDS: &str = "Contact: <sip:p@10.0.0.2:5070;transport=tcp>\nEvent: presence;id=7\nExpires: 600";

fn taking() -> Host {
    let mut host = Host::of(|config| (config.idle_incoming, config.idle_outgoing) = (secs(0), secs(0)));
    let (now, bob) = (host.now, host.bob);
    let mut view = host.stack.endpoint(now, bob).unwrap();
    view.set_methods(vec![Method::Subscribe, Method::Invite]).unwrap();
    host
}

fn asked_with(fields: &str) -> Notifier {
    let mut host = taking();
    let conn = host.peer();
    host.say(conn, &request("SUBSCRIBE", BOB, TO_BOB, 1, fields));
    let actions = host.drain();
    let received = actions.iter().find_map(|action| match action {
        Action::Event(Event::WatcherReceived { watcher, .. }) => Some(*watcher),
        _ => None,
    });
    Notifier {
        stage: Stage::new(host, conn),
        id: received.unwrap(),
        tag: String::new(),
    }
}

fn asked() -> Notifier {
    asked_with(FIELDS)
}

/// Accepted with a first state, which the subscriber has taken.
fn watched() -> Notifier {
    let mut it = asked();
    it.with(|view| view.accept(None, state("one"))).unwrap();
    let sent = it.sent();
    assert_eq!(sent[0].status(), Some(StatusCode::OK));
    it.tag = sent[0].to().unwrap().tag().unwrap().to_owned();
    it.respond(&sent[1], "200 OK");
    it
}

fn state(text: &'static str) -> Option<Content> {
    Some(Content::new("application/pidf+xml", text))
}

impl Notifier {
    /// The one NOTIFY that is queued.
    fn notify(&mut self) -> Message {
        self.only(&Method::Notify)
    }

    fn respond(&mut self, request: &Message, status: &str) {
        self.tell(&answer(request, status, "", ""));
    }

    /// A SUBSCRIBE in the dialog, and all that it leads to.
    fn resubscribe(&mut self, number: u32, expires: u32) -> Vec<Message> {
        let text = request(
            "SUBSCRIBE",
            BOB,
            &format!("{TO_BOB};tag={}", self.tag),
            1,
            &format!(
                "Contact: <sip:q@10.0.0.2:5070;transport=tcp>\nEvent: presence;id=7\nExpires: {expires}"
            ),
        );
        let text = text
            .replace("CSeq: 1", &format!("CSeq: {number}"))
            .replace("branch=z9hG4bK1", &format!("branch=z9hG4bK1-{number}"));
        self.tell(&text);
        self.sent()
    }

    fn with<T>(&mut self, command: impl FnOnce(&mut WatcherView<'_>) -> T) -> T {
        let (now, id) = (self.host.now, self.id);
        let result = command(&mut self.host.stack.watcher(now, id).unwrap());
        self.take();
        result
    }

    fn pass(&mut self, time: Duration) {
        let until = self.host.now + time;
        self.pass_to(until);
    }

    fn ended(&self) -> Vec<Reason> {
        let of = self.events.iter().filter_map(|event| match event {
            Event::WatcherEnded { watcher, reason } if *watcher == self.id => Some(*reason),
            _ => None,
        });
        of.collect()
    }

    fn is_held(&self) -> (usize, usize) {
        let census = self.host.stack.census();
        (census.subscriptions, census.dialogs)
    }
}

fn standing(notify: &Message) -> String {
    field(notify, HeaderName::SubscriptionState)
}

// rules: B5
#[test]
fn a_subscription_is_accepted_and_notified_at_once() {
    let mut it = asked();
    // Nothing is said before the application has decided.
    assert_eq!(it.sent(), []);
    it.with(|view| view.accept(Some(secs(300)), state("one")))
        .unwrap();
    let sent = it.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].status(), Some(StatusCode::OK));
    assert_eq!(field(&sent[0], HeaderName::Expires), "300");
    assert_eq!(sent[0].count(HeaderName::Contact), 1);
    let notify = &sent[1];
    assert_eq!(notify.method(), Some(&Method::Notify));
    assert_eq!(notify.request_uri(), "sip:p@10.0.0.2:5070;transport=tcp");
    assert_eq!(field(notify, HeaderName::Event), "presence;id=7");
    assert_eq!(standing(notify), "active;expires=300");
    assert_eq!(notify.body_bytes(), b"one");
    assert_eq!(notify.from_().unwrap().tag(), sent[0].to().unwrap().tag());
    it.respond(notify, "200 OK");
    it.pass(secs(100));
    let told = it.with(|view| view.notify(state("two"))).unwrap();
    let notify = it.notify();
    assert_eq!(
        (&*standing(&notify), notify.body_bytes()),
        ("active;expires=200", &b"two"[..])
    );
    assert_eq!(notify.cseq().unwrap().number, 2);
    assert_eq!(it.result(told), None);
    it.respond(&notify, "200 OK");
    assert_eq!(it.result(told), Some(Ok(())));
}

// rules: B5
#[test]
fn one_that_is_pending_says_so_until_it_is_notified() {
    let mut it = asked();
    it.with(|view| view.accept_pending(None)).unwrap();
    let sent = it.sent();
    assert_eq!(
        (&*standing(&sent[1]), sent[1].body_bytes()),
        ("pending;expires=600", &b""[..])
    );
    it.with(|view| view.notify(state("one"))).unwrap();
    assert_eq!(standing(&it.notify()), "active;expires=600");
}

// rules: B5
#[test]
fn a_refresh_lasts_longer_and_brings_the_state_again() {
    let mut it = watched();
    it.pass(secs(500));
    let sent = it.resubscribe(2, 600);
    assert_eq!(sent.len(), 2);
    assert_eq!(
        (sent[0].status(), &*field(&sent[0], HeaderName::Expires)),
        (Some(StatusCode::OK), "600")
    );
    assert_eq!(
        (&*standing(&sent[1]), sent[1].body_bytes()),
        ("active;expires=600", &b"one"[..])
    );
    // It is a target refresh.
    assert_eq!(sent[1].request_uri(), "sip:q@10.0.0.2:5070;transport=tcp");
    it.respond(&sent[1], "200 OK");
    assert!(
        it.events
            .iter()
            .any(|event| matches!(event, Event::WatcherRefreshed { .. }))
    );
    it.pass(secs(599));
    assert_eq!(it.ended(), []);
    // An old one is none.
    let codes: Vec<_> = it
        .resubscribe(1, 600)
        .iter()
        .filter_map(Message::status)
        .collect();
    assert_eq!(codes, [StatusCode::SERVER_INTERNAL_ERROR]);
}

// rules: B5
#[test]
fn what_is_not_refreshed_ends_with_a_last_notify() {
    let mut it = watched();
    let begun = it.host.now;
    it.pass_to(begun + secs(600) - TICK);
    assert_eq!(it.sent(), []);
    it.pass_to(begun + secs(600));
    let last = it.notify();
    assert_eq!(standing(&last), "terminated;reason=timeout");
    assert_eq!(it.ended(), []);
    it.respond(&last, "200 OK");
    assert_eq!(it.ended(), [Reason::Expired]);
    assert_eq!(it.is_held(), (0, 0));
    let codes: Vec<_> = it
        .resubscribe(2, 600)
        .iter()
        .filter_map(Message::status)
        .collect();
    assert_eq!(codes, [StatusCode::NO_SUCH_CALL]);
}

// rules: B5
#[test]
fn either_side_ends_it() {
    // The subscriber.
    let mut it = watched();
    let sent = it.resubscribe(2, 0);
    assert_eq!(field(&sent[0], HeaderName::Expires), "0");
    assert_eq!(standing(&sent[1]), "terminated;reason=timeout");
    it.respond(&sent[1], "200 OK");
    assert_eq!(it.ended(), [Reason::Unsubscribed]);
    // This side, with what the subscriber is to do.
    for (end, expected) in [
        (EndOfSubscription::Deactivated, "terminated;reason=deactivated"),
        (
            EndOfSubscription::Probation(Some(secs(60))),
            "terminated;reason=probation;retry-after=60",
        ),
        (EndOfSubscription::Rejected, "terminated;reason=rejected"),
        (EndOfSubscription::GivenUp(None), "terminated;reason=giveup"),
        (EndOfSubscription::NoResource, "terminated;reason=noresource"),
        (EndOfSubscription::Invariant, "terminated;reason=invariant"),
    ] {
        let mut it = watched();
        let done = it.with(|view| view.terminate(end, state("last"))).unwrap();
        let last = it.notify();
        assert_eq!((&*standing(&last), last.body_bytes()), (expected, &b"last"[..]));
        assert_eq!(it.result(done), None);
        it.respond(&last, "200 OK");
        assert_eq!(
            (it.result(done), it.ended()),
            (Some(Ok(())), vec![Reason::TerminatedLocally])
        );
    }
    // No answer to the last NOTIFY is waited for longer than any is.
    let mut it = watched();
    let done = it
        .with(|view| view.terminate(EndOfSubscription::Deactivated, None))
        .unwrap();
    it.notify();
    it.pass(secs(32) - TICK);
    assert_eq!(it.result(done), None);
    it.pass(TICK);
    assert_eq!((it.result(done), it.is_held()), (Some(Ok(())), (0, 0)));
}

// rules: B5
#[test]
fn a_subscriber_that_is_not_there_ends_it() {
    for status in ["481 No", "404 No", "489 No"] {
        let mut it = watched();
        it.with(|view| view.notify(state("two"))).unwrap();
        let notify = it.notify();
        it.respond(&notify, status);
        assert_eq!(it.ended(), [Reason::SubscriptionDoesNotExist], "{status}");
        assert_eq!(it.is_held(), (0, 0));
    }
    // Any other refusal is one of this NOTIFY only.
    let mut it = watched();
    let told = it.with(|view| view.notify(state("two"))).unwrap();
    let notify = it.notify();
    it.respond(&notify, "500 Not now");
    assert!(it.result(told).unwrap().is_err());
    assert_eq!(it.ended(), []);
    // No answer is an end.
    let mut it = watched();
    it.with(|view| view.notify(state("two"))).unwrap();
    it.notify();
    it.pass(secs(32));
    assert_eq!(it.ended(), [Reason::SubscriptionDoesNotExist]);
}

// rules: B5
#[test]
fn who_asks_once_is_told_once() {
    let mut it = asked_with("Contact: <sip:p@10.0.0.2>\nEvent: presence\nExpires: 0");
    it.with(|view| view.accept(None, state("one"))).unwrap();
    let sent = it.sent();
    assert_eq!(field(&sent[0], HeaderName::Expires), "0");
    assert_eq!(
        (&*standing(&sent[1]), sent[1].body_bytes()),
        ("terminated;reason=timeout", &b"one"[..])
    );
    it.respond(&sent[1], "200 OK");
    assert_eq!((it.ended(), it.is_held()), (vec![Reason::Queried], (0, 0)));
}

// rules: B5, M9
#[test]
fn what_is_refused_or_not_answered_is_none() {
    let mut it = asked();
    it.with(|view| view.reject(StatusCode::FORBIDDEN, Some("Not you")))
        .unwrap();
    let sent = it.sent();
    assert_eq!((sent.len(), sent[0].status()), (1, Some(StatusCode::FORBIDDEN)));
    assert_eq!((it.ended(), it.is_held()), (vec![Reason::Rejected], (0, 0)));
    let mut it = asked();
    it.pass(secs(32) - TICK);
    assert_eq!(it.sent(), []);
    it.pass(TICK);
    let sent = it.sent();
    assert_eq!(sent[0].status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
    assert_eq!(it.ended(), [Reason::Unanswered]);
    // Without a package, or a way back, there is nothing to ask the application.
    for (fields, expected) in [
        ("Contact: <sip:p@10.0.0.2>", StatusCode::BAD_EVENT),
        ("Contact: <sip:p@10.0.0.2>\nEvent: a..b", StatusCode::BAD_EVENT),
        ("Event: presence", StatusCode::BAD_REQUEST),
    ] {
        let mut host = taking();
        let conn = host.peer();
        host.say(conn, &request("SUBSCRIBE", BOB, TO_BOB, 1, fields));
        assert_eq!(host.codes(conn), [expected.code()], "{fields}");
    }
}

// rules: B5, X2
#[test]
fn what_its_state_does_not_allow_is_misuse() {
    let state_misuse = |result: Result<(), Misuse>| matches!(result, Err(Misuse::State { .. }));
    let mut it = asked();
    assert!(state_misuse(it.with(|view| view.notify(None)).map(drop)));
    let end = EndOfSubscription::Deactivated;
    assert!(state_misuse(it.with(|view| view.terminate(end, None)).map(drop)));
    let busy = it.with(|view| view.reject(StatusCode::OK, None));
    assert!(matches!(busy, Err(Misuse::Argument { .. })));
    let mut it = watched();
    assert!(state_misuse(it.with(|view| view.accept(None, None))));
    assert!(state_misuse(
        it.with(|view| view.reject(StatusCode::FORBIDDEN, None))
    ));
    // What the network has overtaken succeeds, and completes as ended.
    it.with(|view| view.notify(state("two"))).unwrap();
    let notify = it.notify();
    let (conn, now, id) = (it.conn, it.host.now, it.id);
    it.host.say(conn, &answer(&notify, "481 No", "", ""));
    let told = it.host.stack.watcher(now, id).unwrap().notify(None).unwrap();
    it.take();
    let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
    assert_eq!(it.result(told), Some(Err(ended)));
    assert!(it.host.stack.watcher(now, id).is_err());
}

// rules: B5, X2
#[test]
fn each_command_is_legal_where_the_rule_says_and_misuse_elsewhere() {
    let end = EndOfSubscription::Deactivated;
    let legal: [(&str, &[&str]); 4] = [
        ("Asked", &["accept", "accept_pending", "reject"]),
        ("Pending", &["notify", "terminate"]),
        ("Watched", &["notify", "terminate"]),
        ("Ending", &[]),
    ];
    for (at, legal) in legal {
        for name in ["accept", "accept_pending", "reject", "notify", "terminate"] {
            let mut it = match at {
                "Asked" | "Pending" => asked(),
                _ => watched(),
            };
            match at {
                "Pending" => it.with(|view| view.accept_pending(None)).unwrap(),
                "Ending" => it.with(|view| view.terminate(end, None)).map(drop).unwrap(),
                _ => {}
            }
            let before = it.host.stack.fingerprint();
            let result = it.with(|view| match name {
                "accept" => view.accept(None, state("two")),
                "accept_pending" => view.accept_pending(None),
                "reject" => view.reject(StatusCode::FORBIDDEN, None),
                "notify" => view.notify(state("two")).map(drop),
                _ => view.terminate(end, None).map(drop),
            });
            if legal.contains(&name) {
                assert!(result.is_ok(), "{name} in {at}: {result:?}");
            } else {
                let fits = matches!(result, Err(Misuse::State { .. }));
                assert!(fits, "{name} in {at}: {result:?}");
                assert!(it.host.stack.fingerprint() == before, "misuse changes nothing");
            }
        }
    }
}

// rules: E7, E13, B5
#[test]
fn an_endpoint_ends_the_subscriptions_to_it() {
    let mut it = watched();
    let (now, bob) = (it.host.now, it.host.bob);
    let done = it.host.stack.terminate(now, bob);
    it.take();
    let last = it.notify();
    assert_eq!(standing(&last), "terminated;reason=deactivated");
    assert_eq!(it.result(done), None);
    it.respond(&last, "200 OK");
    assert_eq!((it.result(done), it.is_held()), (Some(Ok(())), (0, 0)));
    let mut it = asked();
    it.host.stack.terminate(now, bob);
    it.take();
    assert_eq!(it.sent()[0].status(), Some(StatusCode::TEMPORARILY_UNAVAILABLE));
}
