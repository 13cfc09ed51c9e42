//! Subscriptions to the state of others, against scripted notifiers (rules B1, B2, B4, B7).

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
    Action, CloseReason, Completion, ConnId, Content, EndpointId, Event, EventList, Misuse, OperationError,
    OperationFailure, OperationId, SubscribeOptions, SubscriptionId, SubscriptionReason as Reason,
    SubscriptionState as State, SubscriptionView, Time,
};

use common::host::{Host, registered_as};
use common::stage::answer;
use common::{TICK, failure_code, field, secs};

const TARGET: &str = "sip:n@10.0.0.9;transport=tcp";
const CONTACT: &str = "Contact: <sip:n@10.0.0.9:5060;transport=tcp>";
const GRANTED: &str = "Contact: <sip:n@10.0.0.9:5060;transport=tcp>\nExpires: 3600";

/// A watcher that is driven by hand, and what it was told.
struct Watcher {
    host: Host,
    endpoint: EndpointId,
    conn: ConnId,
    id: SubscriptionId,
    operation: OperationId,
    /// The SUBSCRIBE that made the present dialog.
    subscribe: Message,
    events: Vec<(Time, Event)>,
    wants: Vec<Action>,
}

impl Deref for Watcher {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl DerefMut for Watcher {
    fn deref_mut(&mut self) -> &mut Host {
        &mut self.host
    }
}

fn presence() -> SubscribeOptions {
    SubscribeOptions {
        accept: vec![String::from("application/pidf+xml")],
        ..SubscribeOptions::new("presence")
    }
}

/// bob, who listens, has sent a SUBSCRIBE.
fn watcher(options: SubscribeOptions) -> Watcher {
    // Connections are not closed for idleness, so that a notifier has one for hours.
    let host = Host::of(|config| (config.idle_incoming, config.idle_outgoing) = (secs(0), secs(0)));
    watcher_on(host, options)
}

fn watcher_on(mut host: Host, options: SubscribeOptions) -> Watcher {
    let (now, bob) = (host.now, host.bob);
    let (id, operation) = host
        .stack
        .endpoint(now, bob)
        .unwrap()
        .subscribe(TARGET, options)
        .unwrap();
    sent_to_a_peer(host, id, operation)
}

/// The connection for the first SUBSCRIBE of bob is made, and takes it.
fn sent_to_a_peer(mut host: Host, id: SubscriptionId, operation: OperationId) -> Watcher {
    let begun = host.drain();
    let conn = common::host::connect_to(&mut host, &begun);
    let now = host.now;
    let events = begun.into_iter().filter_map(|action| match action {
        Action::Event(event) => Some((now, event)),
        _ => None,
    });
    let events = events.collect();
    host.drain();
    let subscribe = host.asked(conn);
    Watcher {
        endpoint: host.bob,
        host,
        conn,
        id,
        operation,
        subscribe,
        events,
        wants: Vec::new(),
    }
}

/// The same with a 2xx and a first NOTIFY.
fn established() -> Watcher {
    let mut it = watcher(presence());
    it.respond("200 OK", GRANTED);
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    it
}

/// alice, who is registered at a server, and is subscribed through it.
fn at_a_server(more: &str) -> Watcher {
    let (mut host, alice, conn) = registered_as(|_| {}, more);
    let now = host.now;
    let (id, operation) = host
        .stack
        .endpoint(now, alice)
        .unwrap()
        .subscribe("sip:bob@example.com", presence())
        .unwrap();
    host.drain();
    let subscribe = host.asked(conn);
    let mut it = Watcher {
        endpoint: alice,
        host,
        conn,
        id,
        operation,
        subscribe,
        events: Vec::new(),
        wants: Vec::new(),
    };
    it.respond("200 OK", GRANTED);
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    it
}

impl Watcher {
    fn take(&mut self) {
        let now = self.host.now;
        for action in self.host.drain() {
            match action {
                Action::Event(event) => self.events.push((now, event)),
                other => self.wants.push(other),
            }
        }
    }

    fn tell(&mut self, text: &str) {
        let conn = self.conn;
        self.host.say(conn, text);
        self.take();
    }

    fn respond(&mut self, status: &str, more: &str) {
        let subscribe = self.subscribe.clone();
        self.respond_to(&subscribe, status, more);
    }

    fn respond_to(&mut self, request: &Message, status: &str, more: &str) {
        self.tell(&answer(request, status, "bob", more));
    }

    /// A NOTIFY of the notifier with this tag, and how it is answered.
    fn notify(&mut self, tag: &str, number: u32, state: &str) -> u16 {
        self.notify_with(
            tag,
            number,
            &format!("Event: presence\nSubscription-State: {state}"),
        )
    }

    fn notify_with(&mut self, tag: &str, number: u32, more: &str) -> u16 {
        let text = notify_of(&self.subscribe, tag, number, more);
        self.tell(&text);
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].status().unwrap().code()
    }

    fn sent(&mut self) -> Vec<Message> {
        let conn = self.conn;
        let sent = self.host.sent(conn);
        self.take();
        sent
    }

    /// The one request that is queued.
    fn next(&mut self) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// The SUBSCRIBE that makes a new dialog.
    fn made_again(&mut self) {
        let again = self.next();
        assert_eq!(again.method(), Some(&Method::Subscribe));
        assert_eq!(again.to().unwrap().tag(), None);
        assert_ne!(again.call_id().unwrap(), self.subscribe.call_id().unwrap());
        self.subscribe = again;
    }

    fn lose_connection(&mut self) {
        let (conn, now) = (self.conn, self.host.now);
        self.host.stack.handle_closed(now, conn, CloseReason::Reset);
        self.take();
    }

    /// The connection that was asked for last is made.
    fn reconnect(&mut self) {
        self.conn = common::host::connect_to(&mut self.host, &self.wants);
        self.take();
    }

    fn pass_to(&mut self, until: Time) {
        while let Some((at, _)) = self.host.stack.poll_timeout().filter(|(at, _)| *at <= until) {
            self.host.now = self.host.now.max(at);
            let now = self.host.now;
            self.host.stack.handle_timeout(now);
            self.take();
        }
        self.host.now = until;
    }

    fn pass(&mut self, time: Duration) {
        let until = self.host.now + time;
        self.pass_to(until);
    }

    /// Lets time pass until the next SUBSCRIBE, and says when it was.
    fn until_next(&mut self, within: Duration) -> (Duration, Message) {
        let (start, end) = (self.host.now, self.host.now + within);
        loop {
            let at = self.host.stack.poll_timeout().map(|(at, _)| at);
            let at = at.filter(|at| *at <= end).expect("a SUBSCRIBE in time");
            self.pass_to(at);
            let mut sent = self.sent();
            if !sent.is_empty() {
                assert_eq!(sent.len(), 1, "{sent:?}");
                return (self.host.now.since(start), sent.remove(0));
            }
        }
    }

    fn with<T>(&mut self, command: impl FnOnce(&mut SubscriptionView<'_>) -> T) -> T {
        let (now, id) = (self.host.now, self.id);
        let result = command(&mut self.host.stack.subscription(now, id).unwrap());
        self.take();
        result
    }

    fn states(&self) -> Vec<(State, Reason)> {
        self.states_of(self.id)
    }

    fn states_of(&self, id: SubscriptionId) -> Vec<(State, Reason)> {
        let of = self.events.iter().filter_map(|(_, event)| match event {
            Event::Subscription {
                subscription,
                new,
                reason,
                ..
            } if *subscription == id => Some((*new, *reason)),
            _ => None,
        });
        of.collect()
    }

    fn last(&self) -> (State, Reason) {
        *self.states().last().unwrap()
    }

    fn bodies(&self, id: SubscriptionId) -> Vec<String> {
        let of = self.events.iter().filter_map(|(_, event)| match event {
            Event::Notified {
                subscription,
                message,
            } if *subscription == id => Some(String::from_utf8_lossy(message.body_bytes()).into_owned()),
            _ => None,
        });
        of.collect()
    }

    fn result(&self, operation: OperationId) -> Option<Result<Completion, OperationError>> {
        let mut all = self.events.iter();
        all.find_map(|(_, event)| match event {
            Event::Completed {
                operation: which,
                result,
            } if *which == operation => Some(result.clone()),
            _ => None,
        })
    }

    fn is_done(&self, operation: OperationId) -> bool {
        self.result(operation).is_some_and(|result| result.is_ok())
    }

    fn is_held(&self) -> (usize, usize) {
        let census = self.host.stack.census();
        (census.subscriptions, census.dialogs)
    }
}

fn notify_of(subscribe: &Message, tag: &str, number: u32, more: &str) -> String {
    let to = field(subscribe, HeaderName::To);
    let (head, body) = more.split_once("\n\n").unwrap_or((more, ""));
    let lines = [
        String::from("NOTIFY sip:bob@10.0.0.1 SIP/2.0"),
        format!(
            "Via: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bK{tag}{number}{}",
            more.len()
        ),
        String::from("Max-Forwards: 70"),
        format!("From: {to};tag={tag}"),
        format!("To: {}", field(subscribe, HeaderName::From)),
        format!("Call-ID: {}", field(subscribe, HeaderName::CallId)),
        format!("CSeq: {number} NOTIFY"),
        format!("Contact: <sip:{tag}@10.0.0.9:5060;transport=tcp>"),
        head.to_owned(),
    ];
    format!("{}\n\n{body}", lines.join("\n"))
}

fn expires(message: &Message) -> String {
    field(message, HeaderName::Expires)
}

/// The tag of To and the number of CSeq of a request in a dialog.
fn place(message: &Message) -> (Option<String>, u32) {
    let tag = message.to().unwrap().tag().map(str::to_owned);
    (tag, message.cseq().unwrap().number)
}

fn bob(number: u32) -> (Option<String>, u32) {
    (Some(String::from("bob")), number)
}

fn body(text: &'static str) -> Content {
    Content::new("application/simple-filter+xml", text)
}

// rules: B1
#[test]
fn a_subscription_is_made_refreshed_changed_and_ended() {
    let mut options = presence();
    options.content = Some(body("<filter/>"));
    options.headers = vec![(String::from("X-Own"), String::from("1"))];
    let mut it = watcher(options);
    let first = it.subscribe.clone();
    assert_eq!(first.request_uri(), TARGET);
    assert_eq!(field(&first, HeaderName::Event), "presence");
    assert_eq!(field(&first, HeaderName::Accept), "application/pidf+xml");
    assert_eq!(
        (&*expires(&first), first.body_bytes()),
        ("3600", &b"<filter/>"[..])
    );
    assert_eq!(first.raw_by_name("X-Own").count(), 1);
    assert_eq!(first.count(HeaderName::Contact), 1);
    let (target, call_id) = it.with(|view| {
        let own = |text: Option<&str>| text.map(str::to_owned);
        (own(view.target()), own(view.call_id()))
    });
    assert_eq!(target.as_deref(), Some(TARGET));
    assert_eq!(call_id.as_deref(), first.call_id().ok());
    it.respond("200 OK", GRANTED);
    assert_eq!(it.is_held(), (1, 1));
    assert_eq!(it.last(), (State::Subscribed, Reason::None));
    let done = it.result(it.operation).unwrap().unwrap();
    assert_eq!(done.response().unwrap().status().unwrap().code(), 200);
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    let more =
        "Event: presence\nSubscription-State: active\nContent-Type: application/pidf+xml\n\n<presence/>";
    assert_eq!(it.notify_with("bob", 2, more), 200);
    assert_eq!(it.bodies(it.id), ["", "<presence/>"]);

    // The refresh is in the dialog, without the body; at nine tenths of the time, or up to a quarter sooner.
    let (after, refresh) = it.until_next(secs(3600));
    assert!((secs(2430)..=secs(3240)).contains(&after), "{after:?}");
    assert_eq!(place(&refresh), bob(2));
    assert_eq!((&*expires(&refresh), refresh.body_bytes()), ("3600", &b""[..]));
    assert_eq!(field(&refresh, HeaderName::Event), "presence");
    assert_eq!(refresh.request_uri(), "sip:bob@10.0.0.9:5060;transport=tcp");
    it.respond_to(&refresh, "200 OK", GRANTED);

    let update = it.with(|view| view.update(Some(body("<other/>")))).unwrap();
    let changed = it.next();
    assert_eq!(
        (place(&changed), changed.body_bytes()),
        (bob(3), &b"<other/>"[..])
    );
    assert!(!it.is_done(update));
    it.respond_to(&changed, "200 OK", GRANTED);
    assert!(it.is_done(update));
    assert_eq!(it.states().len(), 2, "{:?}", it.states());

    let end = it.with(|view| view.terminate());
    let leave = it.next();
    assert_eq!((place(&leave), &*expires(&leave)), (bob(4), "0"));
    it.respond_to(&leave, "200 OK", "Expires: 0");
    assert_eq!(it.last(), (State::Terminating, Reason::None));
    assert_eq!(it.notify("bob", 3, "terminated;reason=timeout"), 200);
    assert_eq!(it.last(), (State::Terminated, Reason::TerminatedLocally));
    // The last state comes before the end.
    assert_eq!(it.bodies(it.id).len(), 3);
    assert!(it.is_done(end));
    assert_eq!(it.is_held(), (0, 0));
    assert_eq!(it.notify("bob", 4, "active"), 481);
}

// rules: B1
#[test]
fn the_end_waits_64_t1_for_the_last_notify_and_no_longer() {
    let mut it = established();
    let end = it.with(|view| view.terminate());
    let leave = it.next();
    it.respond_to(&leave, "200 OK", "Expires: 0");
    let answered = it.now;
    it.pass_to(answered + secs(32) - TICK);
    assert_eq!(it.last().0, State::Terminating);
    it.pass_to(answered + secs(32));
    assert_eq!(it.last(), (State::Terminated, Reason::TerminatedLocally));
    assert!(it.is_done(end));
    assert_eq!(it.stack.counters().timeouts.notify, 1);
}

// rules: B1
#[test]
fn it_can_be_ended_at_any_time() {
    // Before it was begun.
    let mut it = established();
    let (now, endpoint) = (it.now, it.endpoint);
    let mut view = it.host.stack.endpoint(now, endpoint).unwrap();
    let idle = view.create_subscription(TARGET, presence()).unwrap();
    let ends = it.host.stack.subscription(now, idle).unwrap().terminate();
    it.take();
    assert!(it.is_done(ends));
    assert_eq!(
        it.states_of(idle),
        [(State::Terminated, Reason::TerminatedLocally)]
    );

    // Before the answer: what was made all the same is ended.
    let mut it = watcher(presence());
    let end = it.with(|view| view.terminate());
    assert_eq!(it.last(), (State::Terminating, Reason::None));
    assert_eq!(it.sent(), []);
    it.respond("200 OK", GRANTED);
    let leave = it.next();
    assert_eq!((place(&leave), &*expires(&leave)), (bob(2), "0"));
    it.respond_to(&leave, "481 Gone", "");
    assert!(it.is_done(end));
    let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
    assert_eq!(it.result(it.operation), Some(Err(ended)));

    // Where nothing was sent yet, nothing is.
    let mut host = Host::new(|_| {});
    let (now, bob) = (host.now, host.bob);
    let mut view = host.stack.endpoint(now, bob).unwrap();
    let (id, _) = view.subscribe(TARGET, presence()).unwrap();
    host.stack.subscription(now, id).unwrap().terminate();
    host.drain();
    assert_eq!(host.stack.census().exchanges, 0);

    // While it waits for the next attempt.
    let mut it = watcher(presence());
    it.respond("503 Out", "");
    assert_eq!(it.last(), (State::WaitingForRetry, Reason::TemporaryFailure));
    let end = it.with(|view| view.terminate());
    assert!(it.is_done(end));
    assert_eq!((it.is_held(), it.sent()), ((0, 0), vec![]));
}

// rules: B1, B4, X7
#[test]
fn a_query_asks_once() {
    let query = |mut host: Host| {
        let (now, bob) = (host.now, host.bob);
        let mut view = host.stack.endpoint(now, bob).unwrap();
        let id = view.create_subscription(TARGET, presence()).unwrap();
        let operation = host.stack.subscription(now, id).unwrap().query().unwrap();
        let it = sent_to_a_peer(host, id, operation);
        assert_eq!(expires(&it.subscribe), "0");
        it
    };
    // 2xx and NOTIFY in either order.
    for first in [true, false] {
        let mut it = query(Host::new(|_| {}));
        if first {
            it.respond("200 OK", "Contact: <sip:n@10.0.0.9>\nExpires: 0");
            assert!(!it.is_done(it.operation));
        }
        assert_eq!(it.notify("bob", 1, "terminated;reason=timeout"), 200);
        if !first {
            assert!(!it.is_done(it.operation));
            it.respond("200 OK", "Contact: <sip:n@10.0.0.9>\nExpires: 0");
        }
        assert!(it.is_done(it.operation));
        assert_eq!(it.last(), (State::Terminated, Reason::None));
        assert_eq!((it.bodies(it.id).len(), it.is_held()), (1, (0, 0)));
    }
    // Without the NOTIFY it ends 64 T1 after the answer.
    let mut it = query(Host::new(|_| {}));
    it.respond("200 OK", "Contact: <sip:n@10.0.0.9>\nExpires: 0");
    it.pass(secs(32) - TICK);
    assert_eq!(it.result(it.operation), None);
    it.pass(TICK);
    assert_eq!(it.result(it.operation), Some(Err(OperationError::Timeout)));
    assert_eq!(it.last(), (State::Terminated, Reason::Silent));
    assert_eq!(it.stack.counters().timeouts.notify, 1);
    // It is never tried again.
    let mut it = query(Host::new(|_| {}));
    it.respond("503 Out", "");
    assert_eq!(failure_code(&it.result(it.operation).unwrap()), 503);
    assert_eq!(it.last(), (State::Terminated, Reason::TemporaryFailure));
    it.pass(secs(600));
    assert_eq!(it.sent(), []);
}

// rules: B1
#[test]
fn what_it_is_given_is_checked_first() {
    let mut host = Host::new(|_| {});
    let (now, bob) = (host.now, host.bob);
    let refused = |host: &mut Host, target: &str, options: SubscribeOptions| {
        let before = host.stack.fingerprint();
        let misuse = host.stack.endpoint(now, bob).unwrap().subscribe(target, options);
        assert_eq!(before, host.stack.fingerprint());
        match misuse {
            Err(Misuse::Argument { argument, .. }) => argument,
            other => panic!("{other:?}"),
        }
    };
    let with = |change: &dyn Fn(&mut SubscribeOptions)| {
        let mut options = presence();
        change(&mut options);
        options
    };
    let field = |name: &str| vec![(String::from(name), String::from("1"))];
    assert_eq!(refused(&mut host, "mailto:a@b", presence()), "target");
    for event in ["", "a b", "a..b", "presence\r\nX: 1"] {
        let options = SubscribeOptions::new(event);
        assert_eq!(refused(&mut host, TARGET, options), "event");
    }
    let options = with(&|options| options.accept = vec![String::from("pidf")]);
    assert_eq!(refused(&mut host, TARGET, options), "accept");
    for name in ["Event", "expires", "Accept", "Contact", "Subscription-State"] {
        let options = with(&|options| options.headers = field(name));
        assert_eq!(refused(&mut host, TARGET, options), "headers", "{name}");
    }
    let options = with(&|options| options.content = Some(body("")));
    assert_eq!(refused(&mut host, TARGET, options), "content");

    // What its state does not allow.
    let misuse = |result: Result<OperationId, Misuse>| matches!(result, Err(Misuse::State { .. }));
    let mut view = host.stack.endpoint(now, bob).unwrap();
    let idle = view.create_subscription(TARGET, presence()).unwrap();
    assert!(misuse(host.stack.subscription(now, idle).unwrap().update(None)));
    let mut it = established();
    assert!(misuse(it.with(|view| view.subscribe())));
    assert!(misuse(it.with(|view| view.query())));
    // What the application has ended it does not change, whether or not it has seen what that led to.
    it.with(|view| {
        view.terminate();
        assert!(misuse(view.update(None)));
    });
    assert!(misuse(it.with(|view| view.update(None))));
    let mut view = it.host.stack.endpoint(now, bob).unwrap();
    let asks = view.create_subscription(TARGET, presence()).unwrap();
    let mut view = it.host.stack.subscription(now, asks).unwrap();
    view.query().unwrap();
    assert!(misuse(view.update(None)));
}

/// A subscription in this state, as its application knows.
fn stage(name: &str) -> Watcher {
    let made = || {
        let mut it = established();
        let (now, bob) = (it.host.now, it.host.bob);
        let mut view = it.host.stack.endpoint(now, bob).unwrap();
        it.id = view.create_subscription(TARGET, presence()).unwrap();
        it
    };
    match name {
        "Idle" => made(),
        "Subscribing" => watcher(presence()),
        "Subscribed" => established(),
        "WaitingForRetry" => {
            let mut it = watcher(presence());
            it.respond("503 Out", "");
            assert_eq!(it.last().0, State::WaitingForRetry);
            it
        }
        "Querying" => {
            let mut it = made();
            it.with(|view| view.query()).unwrap();
            it
        }
        "Terminating" => {
            let mut it = established();
            it.with(|view| view.terminate());
            assert_eq!(it.last().0, State::Terminating);
            it
        }
        _ => panic!("{name}"),
    }
}

// rules: B1, B4, X2
#[test]
fn each_command_is_legal_where_the_rule_says_and_misuse_elsewhere() {
    let legal: [(&str, &[&str]); 6] = [
        ("Idle", &["subscribe", "query"]),
        ("Subscribing", &["update"]),
        ("Subscribed", &["update"]),
        ("WaitingForRetry", &["update"]),
        ("Querying", &[]),
        ("Terminating", &[]),
    ];
    for (at, legal) in legal {
        for name in ["subscribe", "query", "update", "terminate"] {
            let mut it = stage(at);
            let before = it.host.stack.fingerprint();
            let result = it.with(|view| match name {
                "subscribe" => view.subscribe(),
                "query" => view.query(),
                "update" => view.update(Some(body("other"))),
                _ => Ok(view.terminate()),
            });
            if legal.contains(&name) || name == "terminate" {
                assert!(result.is_ok(), "{name} in {at}: {result:?}");
            } else {
                let fits = matches!(result, Err(Misuse::State { .. }));
                assert!(fits, "{name} in {at}: {result:?}");
                assert!(it.host.stack.fingerprint() == before, "misuse changes nothing");
            }
        }
    }
}

// rules: P9
#[test]
fn a_subscribe_goes_to_the_next_hop_that_it_names() {
    let mut host = Host::new(|_| {});
    let (now, bob) = (host.now, host.bob);
    let options = SubscribeOptions {
        next_hop: Some(sansip::NextHop {
            host: String::from("10.0.0.77"),
            port: Some(5099),
            transport: None,
        }),
        ..presence()
    };
    let mut view = host.stack.endpoint(now, bob).unwrap();
    view.subscribe(TARGET, options).unwrap();
    let remotes: Vec<String> = host
        .drain()
        .iter()
        .filter_map(|action| match action {
            Action::Connect(connect) => Some(connect.remote.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(remotes, ["10.0.0.77:5099"]);
}

// rules: B1, C31, X7
#[test]
fn changes_that_wait_for_each_other_are_bounded() {
    let mut it = watcher_on(Host::new(|limits| limits.pending_per_session = 3), presence());
    it.respond("200 OK", GRANTED);
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    // One is on its way, and two wait for it.
    for _ in 0..3 {
        assert!(it.with(|view| view.update(None)).is_ok());
    }
    let more = it.with(|view| view.update(None));
    assert!(matches!(more, Err(Misuse::Limit(_))), "{more:?}");
    assert_eq!(it.stack.counters().refusals.pending_per_session, 1);
}

// rules: C35
#[test]
fn a_subscribe_that_may_have_arrived_is_sent_once_more_where_its_connection_is_lost() {
    let mut it = watcher(presence());
    it.lose_connection();
    it.reconnect();
    let again = it.next();
    assert_eq!(again.call_id(), it.subscribe.call_id());
    it.respond_to(&again, "200 OK", GRANTED);
    assert_eq!(it.last(), (State::Subscribed, Reason::None));
}

// rules: B1, X2
#[test]
fn what_the_network_has_overtaken_succeeds_and_completes_as_ended() {
    let mut it = established();
    // The application has not taken the event yet.
    let text = notify_of(
        &it.subscribe,
        "bob",
        2,
        "Event: presence\nSubscription-State: terminated;reason=noresource",
    );
    let (conn, now, id) = (it.conn, it.now, it.id);
    it.host.say(conn, &text);
    let update = it.host.stack.subscription(now, id).unwrap().update(None).unwrap();
    let end = it.host.stack.subscription(now, id).unwrap().terminate();
    it.take();
    let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
    assert_eq!(it.result(update), Some(Err(ended)));
    assert!(it.is_done(end));
    assert!(it.host.stack.subscription(now, id).is_err());
}

// rules: B2
#[test]
fn a_notify_before_the_2xx_is_taken() {
    let mut it = watcher(presence());
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    assert_eq!(it.bodies(it.id).len(), 1);
    assert_eq!(it.states(), [(State::Subscribing, Reason::None)]);
    it.respond("200 OK", GRANTED);
    assert_eq!(it.last(), (State::Subscribed, Reason::None));
    // No further NOTIFY is waited for.
    it.pass(secs(40));
    assert_eq!(it.last(), (State::Subscribed, Reason::None));

    // One that ends it does so after the 2xx.
    let mut it = watcher(presence());
    assert_eq!(it.notify("bob", 1, "terminated;reason=rejected"), 200);
    it.respond("200 OK", GRANTED);
    assert!(it.is_done(it.operation));
    assert_eq!(it.last(), (State::Terminated, Reason::Rejected));
}

// rules: B2, C31
#[test]
fn the_notify_of_a_fork_makes_a_subscription_of_its_own() {
    let mut it = watcher_on(Host::new(|limits| limits.forks = 1), presence());
    it.respond("200 OK", GRANTED);
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    assert_eq!(it.notify("carol", 1, "active;expires=100"), 200);
    let forked = it.events.iter().find_map(|(_, event)| match event {
        Event::SubscriptionForked { of, subscription } if *of == it.id => Some(*subscription),
        _ => None,
    });
    let forked = forked.unwrap();
    assert_eq!((it.bodies(it.id).len(), it.bodies(forked).len()), (1, 1));
    // One above the limit.
    assert_eq!(it.notify("dave", 1, "active;expires=100"), 481);
    assert_eq!(it.stack.counters().refusals.forks, 1);
    // Each is refreshed in its own dialog: the fork before its own end.
    let (after, refresh) = it.until_next(secs(3600));
    assert!(after <= secs(70), "{after:?}");
    // Its CSeq goes on from that of the SUBSCRIBE that was forked (RFC 3261 section 12.2.1.1).
    assert_eq!(place(&refresh), (Some(String::from("carol")), 2));
    it.respond_to(&refresh, "481 No", "");
    assert_eq!(
        it.states_of(forked),
        [(State::Terminated, Reason::SubscriptionDoesNotExist)]
    );
    assert_eq!(it.last().0, State::Subscribed);
    let now = it.now;
    let endpoint = it.endpoint;
    assert_eq!(
        it.host.stack.endpoint(now, endpoint).unwrap().subscriptions(),
        [it.id]
    );
}

// rules: B2
#[test]
fn forks_are_taken_for_64_t1_after_the_answer() {
    for (after, expected) in [(secs(32) - TICK, 200), (secs(32), 481)] {
        let mut it = watcher(presence());
        it.respond("200 OK", GRANTED);
        assert_eq!(it.notify("bob", 1, "active"), 200);
        it.pass(after);
        assert_eq!(it.notify("carol", 1, "active"), expected);
        // Where the first NOTIFY comes before the answer, too.
        let mut it = watcher(presence());
        assert_eq!(it.notify("bob", 1, "active"), 200);
        it.respond("200 OK", GRANTED);
        it.pass(after);
        assert_eq!(it.notify("carol", 1, "active"), expected);
    }
    // One that is over already is none.
    let mut it = watcher(presence());
    it.respond("200 OK", GRANTED);
    assert_eq!(it.notify("bob", 1, "active"), 200);
    assert_eq!(it.notify("carol", 1, "terminated"), 481);
}

// rules: B2
#[test]
fn a_notify_that_is_none_of_ours_is_refused() {
    let mut it = established();
    let active = "Subscription-State: active";
    assert_eq!(it.notify_with("bob", 2, &format!("Event: dialog\n{active}")), 489);
    assert_eq!(
        it.notify_with("bob", 2, &format!("Event: presence;id=1\n{active}")),
        489
    );
    assert_eq!(it.notify_with("bob", 2, active), 489);
    assert_eq!(it.notify_with("bob", 2, "Event: presence"), 400);
    assert_eq!(it.notify("bob", 5, "active"), 200);
    assert_eq!(it.notify("bob", 4, "active"), 500);
    assert_eq!(
        it.notify_with("bob", 6, &format!("Require: x\nEvent: presence\n{active}")),
        420
    );
    assert_eq!(it.bodies(it.id).len(), 2);
    assert_eq!(it.last().0, State::Subscribed);
}

// rules: B2
#[test]
fn the_end_of_a_subscription_says_what_follows() {
    for (reason, state, why) in [
        ("rejected", State::Terminated, Reason::Rejected),
        ("noresource", State::Terminated, Reason::NoResource),
        ("invariant", State::Terminated, Reason::Invariant),
        ("deactivated", State::Subscribing, Reason::Deactivated),
        ("TIMEOUT", State::Subscribing, Reason::Expired),
        ("probation", State::WaitingForRetry, Reason::Probation),
        ("giveup", State::WaitingForRetry, Reason::GivenUp),
        ("whim", State::WaitingForRetry, Reason::TerminatedRemotely),
    ] {
        let mut it = established();
        it.pass(secs(10));
        let text = notify_of(
            &it.subscribe,
            "bob",
            2,
            &format!("Event: presence\nSubscription-State: terminated;reason={reason};retry-after=60"),
        );
        it.tell(&text);
        assert_eq!(it.last(), (state, why), "{reason}");
        let mut sent = it.sent();
        assert_eq!(sent.iter().filter(|it| !it.is_request()).count(), 1);
        sent.retain(Message::is_request);
        match state {
            State::Subscribing => assert_eq!((sent.len(), sent[0].to().unwrap().tag()), (1, None)),
            State::WaitingForRetry => {
                let ended = it.now;
                it.pass_to(ended + secs(60) - TICK);
                assert_eq!(it.sent(), [], "{reason}");
                it.pass_to(ended + secs(60));
                it.made_again();
            }
            _ => assert_eq!((sent.len(), it.is_held()), (0, (0, 0)), "{reason}"),
        }
    }
}

// rules: B2
#[test]
fn a_notify_without_expires_keeps_the_deadline() {
    let refreshed = |state: &str| {
        let mut it = established();
        it.notify("bob", 2, state);
        it.until_next(secs(3600)).0
    };
    let deadline = refreshed("active;expires=3600");
    assert_eq!(refreshed("active"), deadline);
    assert_eq!(refreshed("pending;expires=7200"), deadline);
    assert!(refreshed("active;expires=100") <= secs(70));
}

// rules: B2
#[test]
fn a_481_ends_it() {
    let mut it = established();
    let update = it.with(|view| view.update(None)).unwrap();
    let refresh = it.next();
    it.respond_to(&refresh, "481 No", "");
    assert_eq!(it.last(), (State::Terminated, Reason::SubscriptionDoesNotExist));
    assert_eq!(failure_code(&it.result(update).unwrap()), 481);
    assert_eq!(it.is_held(), (0, 0));
}

// rules: B2
#[test]
fn a_first_subscribe_is_refused_for_good_or_asked_for_longer() {
    let mut it = watcher(presence());
    it.respond("489 Bad Event", "Allow-Events: dialog");
    assert_eq!(it.last(), (State::Terminated, Reason::BadEvent));
    assert_eq!(failure_code(&it.result(it.operation).unwrap()), 489);
    let mut it = watcher(presence());
    it.respond("403 No", "");
    assert_eq!(it.last(), (State::Terminated, Reason::Refused));
    // 423: the least that the notifier takes.
    let mut options = presence();
    options.expires = Some(secs(60));
    let mut it = watcher(options);
    assert_eq!(expires(&it.subscribe), "60");
    it.respond("423 Brief", "Min-Expires: 600");
    let longer = it.next();
    assert_eq!((&*expires(&longer), longer.cseq().unwrap().number), ("600", 2));
}

// rules: B2
#[test]
fn a_2xx_without_a_notify_is_no_subscription() {
    let mut it = watcher(presence());
    it.respond("200 OK", GRANTED);
    it.pass(secs(32) - TICK);
    assert_eq!(it.last(), (State::Subscribed, Reason::None));
    it.pass(TICK);
    assert_eq!(it.last(), (State::WaitingForRetry, Reason::Silent));
    assert_eq!(it.stack.counters().timeouts.notify, 1);
}

// rules: B2
#[test]
fn the_answer_to_a_refresh_of_what_was_given_up_is_nobodys() {
    let mut it = watcher(presence());
    it.respond("200 OK", GRANTED);
    it.with(|view| view.update(None)).unwrap();
    let refresh = it.next();
    // No NOTIFY has come: it is made anew, in another dialog.
    it.pass(secs(32));
    assert_eq!(it.last(), (State::WaitingForRetry, Reason::Silent));
    let (_, again) = it.until_next(secs(2));
    assert_ne!(again.call_id(), it.subscribe.call_id());
    it.respond_to(&refresh, "200 OK", GRANTED);
    assert_eq!(it.last().0, State::Subscribing);
    it.subscribe = again;
    it.respond("200 OK", GRANTED);
    assert_eq!(it.last().0, State::Subscribed);
}

// rules: B2, C31, X7
#[test]
fn a_fork_above_the_limit_of_subscriptions_is_refused_and_counted_as_that() {
    let mut it = watcher_on(Host::new(|limits| limits.subscriptions = 1), presence());
    it.respond("200 OK", GRANTED);
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    assert_eq!(it.notify("carol", 1, "active;expires=3600"), 481);
    let refusals = it.stack.counters().refusals;
    assert_eq!((refusals.subscriptions, refusals.forks), (1, 0));
}

// rules: B4
#[test]
fn a_server_that_is_out_of_order_is_asked_again() {
    for status in ["500 Out", "503 Out", "504 Out", "408 Out", "480 Out"] {
        let mut it = watcher(presence());
        it.respond(status, "");
        assert_eq!(it.last(), (State::WaitingForRetry, Reason::TemporaryFailure));
        assert!(it.result(it.operation).unwrap().is_err(), "{status}");
        let (after, again) = it.until_next(secs(2));
        assert!(after >= secs(1), "{after:?}");
        assert_ne!(again.call_id().unwrap(), it.subscribe.call_id().unwrap());
        assert_eq!(it.last(), (State::Subscribing, Reason::None));
        it.subscribe = again;
        it.respond("200 OK", GRANTED);
        assert_eq!(it.last(), (State::Subscribed, Reason::None));
    }
    // Whatever names a time asks to be asked again then (RFC 3261 section 20.33).
    let mut it = watcher(presence());
    it.respond("486 Busy", "Retry-After: 600");
    assert_eq!(it.last(), (State::WaitingForRetry, Reason::TemporaryFailure));
    it.pass(secs(600) - TICK);
    assert_eq!(it.last().0, State::WaitingForRetry);
    it.pass(TICK);
    assert_eq!(it.last().0, State::Subscribing);
    // What is there stays there meanwhile: NOTIFYs are taken.
    let mut it = established();
    it.with(|view| view.update(None)).unwrap();
    let refresh = it.next();
    it.respond_to(&refresh, "503 Out", "Retry-After: 600");
    assert_eq!(it.last(), (State::WaitingForRetry, Reason::TemporaryFailure));
    assert_eq!(it.notify("bob", 2, "active"), 200);
    // And a command does not wait.
    let update = it.with(|view| view.update(Some(body("<now/>")))).unwrap();
    it.made_again();
    assert_eq!(it.subscribe.body_bytes(), b"<now/>");
    it.respond("200 OK", GRANTED);
    assert!(it.is_done(update));
}

// rules: B4
#[test]
fn no_answer_is_a_failure_that_passes() {
    let mut it = watcher(presence());
    it.pass(secs(32) - TICK);
    assert_eq!(it.last(), (State::Subscribing, Reason::None));
    it.pass(TICK);
    assert_eq!(it.last(), (State::WaitingForRetry, Reason::TemporaryFailure));
    assert_eq!(it.result(it.operation), Some(Err(OperationError::Timeout)));
}

// rules: B7, R14
#[test]
fn a_server_that_had_lost_the_endpoint_is_asked_anew() {
    let mut it = at_a_server("\nPresence-State: register-action=\"added\"");
    // The refresh of the registration says that the server has taken the endpoint anew.
    let register = loop {
        let (_, request) = it.until_next(secs(3600));
        if request.method() == Some(&Method::Register) {
            break request;
        }
        it.respond_to(&request, "200 OK", GRANTED);
    };
    let contact = field(&register, HeaderName::Contact);
    it.respond_to(
        &register,
        "200 OK",
        &format!("Contact: {contact};expires=3600\nPresence-State: register-action=\"fixed\""),
    );
    assert_eq!(it.last(), (State::Subscribing, Reason::Forgotten));
    it.made_again();
    it.respond("200 OK", GRANTED);
    assert_eq!(it.last(), (State::Subscribed, Reason::None));
}

// rules: B7
#[test]
fn another_server_is_asked_anew() {
    for moves in [false, true] {
        let mut it = at_a_server("");
        it.lose_connection();
        // The first try comes within the jitter.
        it.pass(secs(3));
        it.reconnect();
        if moves {
            let register = it.next();
            it.respond_to(
                &register,
                "302 Moved",
                "Contact: <sip:10.0.0.8:5060;transport=tcp>",
            );
            it.reconnect();
        }
        let register = it.next();
        let contact = field(&register, HeaderName::Contact);
        it.respond_to(&register, "200 OK", &format!("Contact: {contact};expires=3600"));
        if moves {
            assert_eq!(it.last(), (State::Subscribing, Reason::FailedOver));
            it.made_again();
        } else {
            assert_eq!((it.last().0, it.sent()), (State::Subscribed, vec![]));
        }
    }
}

// rules: C9, C13
#[test]
fn a_subscription_keeps_its_connection_and_survives_its_loss() {
    let mut it = established();
    // Longer than a connection without a user is kept.
    it.pass(secs(200));
    let kept = |it: &Watcher| !it.wants.iter().any(|want| matches!(want, Action::Close(_)));
    assert!(kept(&it));
    it.lose_connection();
    assert_eq!(it.last().0, State::Subscribed);
    it.with(|view| view.update(None)).unwrap();
    it.reconnect();
    let refresh = it.next();
    assert_eq!(place(&refresh), bob(2));
    it.respond_to(&refresh, "200 OK", GRANTED);
    // That one is kept now.
    it.pass(secs(200));
    assert!(kept(&it));
    let end = it.with(|view| view.terminate());
    let leave = it.next();
    it.respond_to(&leave, "481 No", "");
    assert!(it.is_done(end));
    it.pass(secs(60));
    assert!(!kept(&it));
}

// rules: C8, C9, C13
#[test]
fn a_dialog_keeps_the_connection_that_was_made_for_it_whatever_was_answered_there() {
    let closed = |it: &Watcher| {
        let of = it.conn;
        it.wants
            .iter()
            .any(|want| matches!(want, Action::Close(conn) if *conn == of))
    };
    let later = "Retry-After: 600";
    // Its own was lost, and the refresh over the new one is refused for a time.
    let mut it = established();
    it.lose_connection();
    it.with(|view| view.update(None)).unwrap();
    it.reconnect();
    let refresh = it.next();
    it.respond_to(&refresh, "503 Out", later);
    assert_eq!(it.last().0, State::WaitingForRetry);
    it.pass(secs(200));
    assert!(!closed(&it));
    // Where no dialog has come about there is none to keep.
    let mut it = watcher(presence());
    it.respond("503 Out", later);
    it.pass(secs(61));
    assert!(closed(&it));
}

// rules: C9, C13
#[test]
fn a_notify_over_another_connection_is_followed_only_where_its_own_is_gone() {
    let state = "Event: presence\nSubscription-State: active";
    // Its own lasts: what is sent next goes there.
    let mut it = established();
    let other = it.host.peer();
    let text = notify_of(&it.subscribe, "bob", 2, state);
    it.host.say(other, &text);
    it.take();
    assert_eq!(it.host.codes(other), [200]);
    it.with(|view| view.update(None)).unwrap();
    assert_eq!(it.next().method(), Some(&Method::Subscribe));
    // It is lost while a SUBSCRIBE waits for the time that the notifier has named, and the notifier comes by another way.
    let mut it = established();
    it.with(|view| view.update(None)).unwrap();
    let refresh = it.next();
    it.respond_to(&refresh, "503 Out", "Retry-After: 30");
    it.lose_connection();
    let other = it.host.peer();
    let text = notify_of(&it.subscribe, "bob", 2, state);
    it.host.say(other, &text);
    it.take();
    assert_eq!(it.host.codes(other), [200]);
    it.conn = other;
    let (after, again) = it.until_next(secs(31));
    assert_eq!((after, place(&again)), (secs(30), bob(3)));
}

// rules: E7, E13, B1
#[test]
fn an_endpoint_ends_its_subscriptions_and_waits_for_no_notify() {
    let mut it = established();
    let (now, endpoint) = (it.now, it.endpoint);
    let end = it.host.stack.terminate(now, endpoint);
    it.take();
    let leave = it.next();
    assert_eq!(expires(&leave), "0");
    assert!(!it.is_done(end));
    it.respond_to(&leave, "200 OK", "Expires: 0");
    assert!(it.is_done(end));
    assert_eq!(it.last(), (State::Terminated, Reason::TerminatedLocally));
    // It may be asked to end again meanwhile (E13).
    let mut it = established();
    let ends = [(); 2].map(|()| it.host.stack.terminate(now, endpoint));
    it.take();
    let leave = it.next();
    it.respond_to(&leave, "200 OK", "Expires: 0");
    assert_eq!(ends.map(|end| it.is_done(end)), [true; 2]);
    assert_eq!(
        it.states()
            .iter()
            .filter(|(state, _)| *state == State::Terminated)
            .count(),
        1
    );
    // As one that was ended before and waits for its NOTIFY.
    let mut it = established();
    it.with(|view| view.terminate());
    let leave = it.next();
    it.respond_to(&leave, "200 OK", "Expires: 0");
    let end = it.host.stack.terminate(now, endpoint);
    it.take();
    assert!(it.is_done(end));
    // And the graceful end of everything.
    let mut it = established();
    let drained = it.host.stack.drain(now, secs(10));
    it.take();
    let leave = it.next();
    it.respond_to(&leave, "200 OK", "Expires: 0");
    it.pass(secs(3));
    assert!(it.is_done(drained));
    assert!(
        it.host.stack.census().is_quiescent(),
        "{:?}",
        it.host.stack.census()
    );
}

// rules: B1, X7
#[test]
fn subscriptions_are_counted() {
    let mut it = established();
    let counted = |it: &Watcher| {
        let counts = it.stack.counters().subscriptions;
        (counts.outgoing.started, counts.outgoing.ended, counts.refreshed)
    };
    assert_eq!(counted(&it), (1, 0, 0));
    it.with(|view| view.update(None)).unwrap();
    let refresh = it.next();
    it.respond_to(&refresh, "200 OK", GRANTED);
    assert_eq!(counted(&it), (1, 0, 1));
    it.notify("bob", 2, "terminated;reason=noresource");
    assert_eq!(counted(&it), (1, 1, 1));
    assert_eq!(CONTACT, &GRANTED[..CONTACT.len()]);
}

// rules: B3
#[test]
fn a_list_and_what_a_notifier_may_do_are_said_in_every_subscribe() {
    let tags = |subscribe: &Message| {
        [
            HeaderName::Supported,
            HeaderName::Require,
            HeaderName::ProxyRequire,
        ]
        .map(|name| field(subscribe, name))
    };
    assert_eq!(tags(&watcher(presence()).subscribe), ["", "", ""]);
    let at_notifier = SubscribeOptions {
        list: EventList::AtNotifier,
        ..presence()
    };
    assert_eq!(tags(&watcher(at_notifier).subscribe), ["eventlist", "", ""]);
    let list = SubscribeOptions {
        list: EventList::Carried,
        benotify: true,
        piggyback: true,
        content: Some(Content::new("application/adrl+xml", "bob and carol")),
        ..presence()
    };
    let supported = "eventlist, ms-benotify, ms-piggyback-first-notify";
    let mut it = watcher(list);
    assert_eq!(tags(&it.subscribe), [supported, "adhoclist", "ms-benotify"]);
    it.respond("200 OK", GRANTED);
    assert_eq!(it.notify("bob", 1, "active;expires=3600"), 200);
    // Another list goes out in the dialog; without one there is nothing that has to be understood.
    let changed = it
        .with(|view| view.update(Some(Content::new("application/adrl+xml", "dave"))))
        .unwrap();
    let update = it.next();
    assert_eq!(
        (update.body_bytes(), update.to().unwrap().tag()),
        (&b"dave"[..], Some("bob"))
    );
    assert_eq!(tags(&update), [supported, "adhoclist", "ms-benotify"]);
    it.respond_to(&update, "200 OK", GRANTED);
    assert!(it.is_done(changed));
    let (_, refresh) = it.until_next(secs(3600));
    assert_eq!(refresh.body_bytes(), b"");
    assert_eq!(tags(&refresh), [supported, "", "ms-benotify"]);
}

// rules: B3, E10
#[test]
fn a_notify_of_a_list_is_for_who_has_asked_for_lists() {
    let list = "Require: eventlist\nEvent: presence\nSubscription-State: active;expires=3600\n\
        Content-Type: multipart/related;type=\"application/rlmi+xml\";boundary=x\n\n--x--";
    for (kind, code) in [
        (EventList::None, 420),
        (EventList::AtNotifier, 200),
        (EventList::Carried, 200),
    ] {
        let mut it = watcher(SubscribeOptions {
            list: kind,
            ..presence()
        });
        it.respond("200 OK", GRANTED);
        assert_eq!(it.notify_with("bob", 1, list), code, "{kind:?}");
        let taken = it.bodies(it.id);
        assert_eq!(taken.len(), usize::from(code == 200));
        assert!(taken.iter().all(|body| body.starts_with("--x--")), "as it came");
        // The same in a BENOTIFY, which nothing answers.
        let benotify = notify_of(&it.subscribe, "bob", 2, list).replace("NOTIFY", "BENOTIFY");
        it.tell(&benotify);
        assert_eq!((it.sent(), it.bodies(it.id).len()), (vec![], 2 * taken.len()));
    }
}

// rules: B3, B1
#[test]
fn a_first_state_in_the_2xx_counts_as_a_notify() {
    const PIGGYBACK: &str = "Supported: ms-benotify\nSupported: ms-piggyback-first-notify\n";
    let state = format!("{GRANTED}\n{PIGGYBACK}Content-Type: application/pidf+xml\n\nopen");
    let asks = |piggyback| SubscribeOptions {
        piggyback,
        ..presence()
    };
    let mut it = watcher(asks(true));
    it.respond("200 OK", &state);
    assert_eq!(it.bodies(it.id), ["open"]);
    assert_eq!(it.last(), (State::Subscribed, Reason::None));
    let order: Vec<_> = it
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Notified { .. } | Event::Completed { .. }))
        .collect();
    assert!(
        matches!(
            order[..],
            [(_, Event::Notified { .. }), (_, Event::Completed { .. })]
        ),
        "X3: {order:?}"
    );
    // No NOTIFY is missed: it comes when the state changes.
    it.pass(secs(100));
    assert_eq!(
        (it.last(), it.sent()),
        ((State::Subscribed, Reason::None), vec![])
    );
    assert_eq!(it.notify("bob", 1, "active"), 200);
    // Each refresh brings one, too.
    let (_, refresh) = it.until_next(secs(3600));
    it.respond_to(&refresh, "200 OK", &state.replace("open", "closed"));
    assert_eq!(it.bodies(it.id), ["open", "", "closed"]);

    // Who has not asked, and a 2xx that does not say so or brings nothing: the NOTIFY is waited for (B2).
    for (piggyback, more) in [
        (false, state.clone()),
        (true, state.replace(PIGGYBACK, "")),
        (true, format!("{GRANTED}\n{PIGGYBACK}")),
    ] {
        let mut it = watcher(asks(piggyback));
        it.respond("200 OK", &more);
        assert_eq!(it.bodies(it.id), [""; 0]);
        it.pass(secs(32));
        assert_eq!(it.last(), (State::WaitingForRetry, Reason::Silent));
    }

    // A query is complete with it.
    let mut host = Host::of(|_| {});
    let (now, bob) = (host.now, host.bob);
    let mut endpoint = host.stack.endpoint(now, bob).unwrap();
    let id = endpoint.create_subscription(TARGET, asks(true)).unwrap();
    let asked = host.stack.subscription(now, id).unwrap().query().unwrap();
    let mut it = sent_to_a_peer(host, id, asked);
    it.respond("200 OK", &state.replace("3600", "0"));
    assert_eq!(it.bodies(it.id), ["open"]);
    assert!(it.is_done(asked));
    assert_eq!(it.last().0, State::Terminated);
}
