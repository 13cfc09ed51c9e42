//! What handles promise: dropping lets go, only `cancel` cancels, a full one holds up nobody else, and all of them end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for single events")]

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_std::future::timeout;
use async_std::task;
use sansip::wire::{Method, StatusCode};
use sansip::{
    Completion, Config, Content, EndOfSubscription, Event, LostAddresses, ManagerId, Misuse,
    PeerToPeerConfig, PublishOptions, RemovalReason, SendOptions, SessionReason, SessionState, Stack,
    SubscribeOptions, Time,
};
use sansip_async_std::{
    Client, Driver, Endpoint, EndpointEvent, EndpointEvents, Error, Events, Incoming, Operation, Session,
    SessionEvent, SessionEvents, Settings, Watcher, WatcherEvents, seed, unix_time,
};
use sansip_net::{Hosts, ResolvConf};

/// Only reached when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.dns.conf = ResolvConf::new(Vec::new());
    settings.dns.hosts = Hosts::parse("");
    settings
}

fn stack() -> Stack {
    let config = Config {
        // One connection to each peer, which keeps the order of what is sent over it.
        pool_size: 1,
        ..Config::default()
    };
    Stack::new(config, seed().unwrap(), Time::ZERO, unix_time())
}

fn run(case: impl Future<Output = ()>) {
    task::block_on(timeout(PATIENCE, case)).expect("it hangs");
}

/// A driver that listens.
struct Host {
    client: Client,
    manager: ManagerId,
    address: SocketAddr,
}

impl Host {
    async fn start(settings: Settings) -> Self {
        let stack = stack();
        let manager = stack.server_tcp_manager();
        let client = Driver::spawn(stack, settings).unwrap();
        let (_, address) = client
            .listen(manager, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        Self {
            client,
            manager,
            address,
        }
    }

    async fn endpoint(&self, user: &str) -> (Endpoint, EndpointEvents) {
        let config = PeerToPeerConfig::new(format!("sip:{user}@127.0.0.1"));
        self.client.add_peer_to_peer_endpoint(config).await.unwrap()
    }

    fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{};transport=tcp", self.address)
    }
}

fn message(from: &Endpoint, to: &str, text: &str) -> Operation {
    from.message(to, text, SendOptions::default())
}

async fn next_message(events: &mut EndpointEvents) -> Incoming {
    loop {
        match events.next().await.unwrap() {
            EndpointEvent::Message(incoming) => return incoming,
            EndpointEvent::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn next_session(events: &mut EndpointEvents) -> (Session, SessionEvents) {
    loop {
        match events.next().await.unwrap() {
            EndpointEvent::Session { session, events, .. } => return (session, events),
            EndpointEvent::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn end_of(events: &mut SessionEvents) -> SessionReason {
    let mut last = None;
    while let Some(event) = events.next().await {
        if let SessionEvent::Event(Event::Session { new, reason, .. }) = event {
            last = Some((new, reason));
        }
    }
    let (state, reason) = last.unwrap();
    assert_eq!(state, SessionState::Disconnected);
    reason
}

fn status(outcome: &Result<Completion, Error>) -> Option<StatusCode> {
    match outcome {
        Ok(completion) => completion.response()?.status(),
        Err(Error::Operation(error)) => error.response()?.status(),
        Err(_) => None,
    }
}

// rules: R20
#[test]
fn a_change_of_the_network_closes_connections_and_the_next_message_makes_another() {
    run(async {
        let (bob, alice) = (Host::start(settings()).await, Host::start(settings()).await);
        let (_bob, mut inbox) = bob.endpoint("bob").await;
        let (endpoint, _) = alice.endpoint("alice").await;
        let mut events = alice.client.events();
        for lost in [
            LostAddresses::These(vec!["127.0.0.1".parse().unwrap()]),
            LostAddresses::All,
        ] {
            let sent = message(&endpoint, &bob.uri("bob"), "hello");
            next_message(&mut inbox)
                .await
                .answer(StatusCode::OK, None)
                .await
                .unwrap();
            sent.await.unwrap();
            alice.client.network_changed(lost).await.unwrap();
            loop {
                if let Event::ConnectionRemoved { reason, .. } = events.next().await.unwrap() {
                    assert_eq!(reason, RemovalReason::NetworkChanged);
                    break;
                }
            }
        }
    });
}

#[test]
fn a_dropped_future_lets_its_operation_go_on() {
    run(async {
        let (bob, alice) = (Host::start(settings()).await, Host::start(settings()).await);
        let (_bob, mut inbox) = bob.endpoint("bob").await;
        let (endpoint, _) = alice.endpoint("alice").await;
        drop(message(&endpoint, &bob.uri("bob"), "unattended"));
        assert_eq!(
            next_message(&mut inbox).await.message().body_bytes(),
            b"unattended"
        );

        let (invitation, events) = endpoint.invite(&bob.uri("bob"), None, SendOptions::default());
        let session = invitation.session().clone();
        drop((invitation, events));
        let (taken, mut events) = next_session(&mut inbox).await;
        let offer = Content::new("application/sdp", "v=0 offer");
        let accepted = taken.accept(Some(offer));
        // The peer's offer came in the 2xx; the session goes on without any other handle than this.
        while session
            .answer(Content::new("application/sdp", "v=0 answer"))
            .await
            .is_err()
        {
            task::yield_now().await;
        }
        accepted.await.unwrap();
        assert!(session.id().is_some());
        session.terminate().await.unwrap();
        assert_eq!(end_of(&mut events).await, SessionReason::TerminatedRemotely);
    });
}

#[test]
fn only_cancel_cancels() {
    run(async {
        let (bob, alice) = (Host::start(settings()).await, Host::start(settings()).await);
        let (_bob, mut inbox) = bob.endpoint("bob").await;
        let (endpoint, _) = alice.endpoint("alice").await;
        let (invitation, mut events) = endpoint.invite(&bob.uri("bob"), None, SendOptions::default());
        let (taken, mut taken_events) = next_session(&mut inbox).await;
        taken.provisional(StatusCode::RINGING, None).await.unwrap();
        while !matches!(
            events.next().await.unwrap(),
            SessionEvent::Event(Event::Session {
                new: SessionState::Alerted,
                ..
            })
        ) {}
        invitation.cancel().await.unwrap();
        assert!(invitation.await.is_err());
        assert_eq!(end_of(&mut events).await, SessionReason::TerminatedLocally);
        assert_eq!(end_of(&mut taken_events).await, SessionReason::Canceled);
    });
}

#[test]
fn a_full_handle_holds_up_its_endpoint_and_nobody_else() {
    run(async {
        let mut few = settings();
        few.events = 2;
        let bob = Host::start(few).await;
        let (slow, mut slow_inbox) = bob.endpoint("slow").await;
        let (_quick, mut quick_inbox) = bob.endpoint("quick").await;
        let alice = Host::start(settings()).await;
        let (endpoint, mut answers) = alice.endpoint("alice").await;
        let sent: Vec<_> = (0..20)
            .map(|number| message(&endpoint, &bob.uri("slow"), &number.to_string()))
            .collect();
        // It comes behind the twenty, and passes them.
        let last = message(&endpoint, &bob.uri("quick"), "quick");
        next_message(&mut quick_inbox)
            .await
            .answer(StatusCode::ACCEPTED, None)
            .await
            .unwrap();
        assert_eq!(status(&last.await), Some(StatusCode::ACCEPTED));
        // Completions come to the endpoint that is held up, too.
        let back = message(&slow, &alice.uri("alice"), "slow but alive");
        drop(next_message(&mut answers).await);
        assert_eq!(status(&back.await), Some(StatusCode::OK));
        for (number, sent) in sent.into_iter().enumerate() {
            let incoming = next_message(&mut slow_inbox).await;
            assert_eq!(incoming.message().body_bytes(), number.to_string().as_bytes());
            incoming.answer(StatusCode::ACCEPTED, None).await.unwrap();
            assert_eq!(status(&sent.await), Some(StatusCode::ACCEPTED));
        }
    });
}

#[test]
fn far_behind_the_driver_stops_reading_until_it_has_caught_up() {
    run(async {
        let mut few = settings();
        few.events = 1;
        few.waiting_events = 4;
        let bob = Host::start(few).await;
        let (_slow, mut slow_inbox) = bob.endpoint("slow").await;
        let (_quick, mut quick_inbox) = bob.endpoint("quick").await;
        let alice = Host::start(settings()).await;
        let (endpoint, _) = alice.endpoint("alice").await;
        let sent: Vec<_> = (0..300)
            .map(|_| message(&endpoint, &bob.uri("slow"), &"x".repeat(1000)))
            .collect();
        let mut last = message(&endpoint, &bob.uri("quick"), "quick");
        assert!(timeout(Duration::from_millis(200), &mut last).await.is_err());
        for sent in sent {
            next_message(&mut slow_inbox)
                .await
                .answer(StatusCode::ACCEPTED, None)
                .await
                .unwrap();
            assert_eq!(status(&sent.await), Some(StatusCode::ACCEPTED));
        }
        drop(next_message(&mut quick_inbox).await);
        assert_eq!(status(&last.await), Some(StatusCode::OK));
    });
}

// rules: M4
#[test]
fn what_nobody_answers_is_answered() {
    run(async {
        let (bob, alice) = (Host::start(settings()).await, Host::start(settings()).await);
        let (bob_endpoint, mut inbox) = bob.endpoint("bob").await;
        let (endpoint, _) = alice.endpoint("alice").await;
        // Taken and dropped.
        let sent = message(&endpoint, &bob.uri("bob"), "one");
        drop(next_message(&mut inbox).await);
        assert_eq!(status(&sent.await), Some(StatusCode::OK));
        // Waiting when the events are dropped.
        let sent = message(&endpoint, &bob.uri("bob"), "two");
        let (invitation, _) = endpoint.invite(&bob.uri("bob"), None, SendOptions::default());
        let (session, _) = next_session_behind(&mut inbox).await;
        drop((inbox, session));
        assert_eq!(status(&sent.await), Some(StatusCode::OK));
        drop(invitation);
        // Come when nobody hears any more.
        assert_eq!(
            status(&message(&endpoint, &bob.uri("bob"), "three").await),
            Some(StatusCode::OK)
        );
        let (invitation, _) = endpoint.invite(&bob.uri("bob"), None, SendOptions::default());
        assert!(status(&invitation.await).unwrap().code() >= 400);
        // Until somebody does again.
        let (_, mut inbox) = bob.client.endpoint(bob_endpoint.id()).await.unwrap();
        let sent = message(&endpoint, &bob.uri("bob"), "four");
        let mut incoming = next_message(&mut inbox).await;
        incoming
            .respond(StatusCode::ACCEPTED, None, Vec::new())
            .await
            .unwrap();
        let again = incoming.respond(StatusCode::OK, None, Vec::new()).await;
        assert_eq!(again, Err(Error::Misuse(Misuse::Answered)));
        assert_eq!(status(&sent.await), Some(StatusCode::ACCEPTED));
    });
}

/// Leaves the messages before it where they are: unanswered, until `events` is dropped.
async fn next_session_behind(events: &mut EndpointEvents) -> (Session, Vec<Incoming>) {
    let mut kept = Vec::new();
    loop {
        match events.next().await.unwrap() {
            EndpointEvent::Session { session, .. } => return (session, kept),
            EndpointEvent::Message(incoming) => kept.push(incoming),
            _ => {}
        }
    }
}

/// The state of each event of a subscription or its watcher, until the stream ends.
async fn told(events: &mut Events<Event>) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(match event {
            Event::Subscription { new, .. } => format!("{new:?}"),
            Event::Notified { message, .. } => String::from_utf8_lossy(message.body_bytes()).into_owned(),
            Event::WatcherRefreshed { .. } => String::from("refreshed"),
            Event::WatcherEnded { reason, .. } => format!("{reason:?}"),
            Event::Publication { new, .. } => format!("{new:?}"),
            other => panic!("{other:?}"),
        });
    }
    told
}

async fn next_watcher(events: &mut EndpointEvents) -> (Watcher, WatcherEvents) {
    loop {
        match events.next().await.unwrap() {
            EndpointEvent::Watcher {
                watcher,
                events,
                message,
            } => {
                assert_eq!(message.method(), Some(&Method::Subscribe));
                return (watcher, events);
            }
            EndpointEvent::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn state(text: &str) -> Option<Content> {
    Some(Content::new("application/pidf+xml", text.to_owned()))
}

// rules: B1, B5
#[test]
fn a_subscription_has_handles_at_both_ends() {
    run(async {
        let (bob, alice) = (Host::start(settings()).await, Host::start(settings()).await);
        let (bob_endpoint, mut inbox) = bob.endpoint("bob").await;
        bob_endpoint.set_methods(vec![Method::Subscribe]).await.unwrap();
        let (endpoint, _) = alice.endpoint("alice").await;
        let subscribe = || endpoint.create_subscription(&bob.uri("bob"), SubscribeOptions::new("presence"));

        let (subscription, mut seen) = subscribe().await.unwrap();
        let subscribed = subscription.subscribe();
        let (watcher, mut watched) = next_watcher(&mut inbox).await;
        watcher.accept(None, state("one")).await.unwrap();
        assert_eq!(status(&subscribed.await), Some(StatusCode::OK));
        assert_eq!(status(&watcher.notify(state("two")).await), Some(StatusCode::OK));
        assert_eq!(status(&subscription.update(None).await), Some(StatusCode::OK));
        let again = watcher.accept(None, None).await;
        assert!(matches!(again, Err(Error::Misuse(_))), "{again:?}");
        let ended = watcher.terminate(EndOfSubscription::NoResource, state("three"));
        assert!(ended.await.is_ok());
        assert_eq!(told(&mut watched).await, ["refreshed", "TerminatedLocally"]);
        assert_eq!(
            told(&mut seen).await,
            [
                "Subscribing",
                "Subscribed",
                "one",
                "two",
                "two",
                "three",
                "Terminated"
            ]
        );

        // One that is refused, and one for which nobody is there who could answer.
        let (subscription, _) = subscribe().await.unwrap();
        let subscribed = subscription.subscribe();
        let (watcher, mut watched) = next_watcher(&mut inbox).await;
        watcher.reject(StatusCode::FORBIDDEN).await.unwrap();
        assert_eq!(status(&subscribed.await), Some(StatusCode::FORBIDDEN));
        assert_eq!(told(&mut watched).await, ["Rejected"]);
        drop(inbox);
        let (subscription, _) = subscribe().await.unwrap();
        let refused = status(&subscription.query().await);
        assert_eq!(refused, Some(StatusCode::TEMPORARILY_UNAVAILABLE));
    });
}

/// A server that takes every PUBLISH, and says what each was for and brought.
fn publisher(listener: &std::net::TcpListener) -> Vec<(Option<String>, String)> {
    let (socket, _) = listener.accept().unwrap();
    let (mut reader, mut taken) = (BufReader::new(&socket), Vec::new());
    loop {
        let (mut answer, mut length, mut tag) = (String::from("SIP/2.0 200 OK\r\n"), 0, None);
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            match line.split_once(": ").unwrap_or((&line, "")) {
                ("To", value) => answer.push_str(&format!("To: {};tag=s\r\n", value.trim())),
                ("Via" | "From" | "Call-ID" | "CSeq", _) => answer.push_str(&line),
                ("SIP-If-Match", value) => tag = Some(value.trim().to_owned()),
                ("Content-Length", value) => length = value.trim().parse().unwrap(),
                _ => {}
            }
            line.clear();
        }
        if !answer.contains("CSeq") {
            return taken;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        taken.push((tag, String::from_utf8(body).unwrap()));
        let expires = if taken.len() == 3 { 0 } else { 600 };
        answer.push_str(&format!(
            "SIP-ETag: {}\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n",
            taken.len()
        ));
        (&socket).write_all(answer.as_bytes()).unwrap();
    }
}

// rules: B6
#[test]
fn a_publication_has_handles() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("sip:alice@{};transport=tcp", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || publisher(&listener));
        let alice = Host::start(settings()).await;
        let (endpoint, _) = alice.endpoint("alice").await;
        let publish = |text: &str| {
            let content = Content::new("application/pidf+xml", text.to_owned());
            endpoint.publish(&target, PublishOptions::new("presence"), content)
        };
        let (publication, mut seen, published) = publish("one");
        assert_eq!(status(&published.await), Some(StatusCode::OK));
        assert!(publication.id().is_some());
        let modified = publication.modify(state("two").unwrap());
        assert_eq!(status(&modified.await), Some(StatusCode::OK));
        assert!(publication.remove().await.is_ok());
        let states = told(&mut seen).await;
        assert_eq!(states, ["Published", "Removing", "Removed"]);
        let modified = publication.modify(state("three").unwrap()).await;
        assert!(matches!(modified, Err(Error::Misuse(_))), "{modified:?}");
        // An empty state is none.
        let (publication, mut seen, published) = publish("");
        assert!(matches!(published.await, Err(Error::Misuse(_))));
        assert_eq!((publication.id(), told(&mut seen).await), (None, vec![]));
        assert!(alice.client.shutdown(PATIENCE).await.unwrap());
        let tag = |tag: &str| Some(tag.to_owned());
        let text = str::to_owned;
        assert_eq!(
            server.join().unwrap(),
            [(None, text("one")), (tag("1"), text("two")), (tag("2"), text(""))]
        );
    });
}

#[test]
fn a_command_that_should_not_have_been_given_says_so() {
    run(async {
        let alice = Host::start(settings()).await;
        let (endpoint, _) = alice.endpoint("alice").await;
        assert!(matches!(endpoint.register().await, Err(Error::Misuse(_))));
        let (invitation, mut events) = endpoint.invite("not a uri", None, SendOptions::default());
        assert_eq!(invitation.session().id(), None);
        assert!(matches!(
            invitation.session().terminate().await,
            Err(Error::Misuse(Misuse::Unknown("session")))
        ));
        assert!(matches!(
            invitation.await,
            Err(Error::Misuse(Misuse::Argument { .. }))
        ));
        assert!(events.next().await.is_none());
        let listening = alice.client.listen(alice.manager, alice.address).await;
        assert!(matches!(listening, Err(Error::Misuse(_))), "{listening:?}");
    });
}

#[test]
fn too_many_commands_are_refused_and_none_is_lost() {
    run(async {
        let mut few = settings();
        few.commands = 2;
        let (client, driver) = Driver::new(stack(), few).unwrap();
        let taken: Vec<_> = (0..2).map(|number| client.run(move |_, _| number)).collect();
        assert_eq!(client.run(|_, _| ()).await, Err(Error::Busy));
        let driver = task::spawn(driver);
        for (number, taken) in taken.into_iter().enumerate() {
            assert_eq!(taken.await, Ok(number));
        }
        client.stop();
        assert!(!driver.await);
    });
}

#[test]
fn a_stopped_driver_ends_every_future_and_stream() {
    run(async {
        // Accepts and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let alice = Host::start(settings()).await;
        let (endpoint, mut inbox) = alice.endpoint("alice").await;
        let mut events = alice.client.events();
        let target = format!("sip:bob@{};transport=tcp", silent.local_addr().unwrap());
        let sent = message(&endpoint, &target, "anyone?");
        let (invitation, mut session_events) = endpoint.invite(&target, None, SendOptions::default());
        alice.client.stop();
        assert_eq!(sent.await, Err(Error::Stopped));
        assert_eq!(invitation.await, Err(Error::Stopped));
        while inbox.next().await.is_some() {}
        while session_events.next().await.is_some() {}
        while events.next().await.is_some() {}
        assert_eq!(endpoint.terminate().await, Err(Error::Stopped));
        assert_eq!(alice.client.shutdown(PATIENCE).await, Err(Error::Stopped));
    });
}

#[test]
fn an_endpoint_that_ends_ends_its_stream() {
    run(async {
        let alice = Host::start(settings()).await;
        let (endpoint, mut inbox) = alice.endpoint("alice").await;
        endpoint.terminate().await.unwrap();
        let mut last = None;
        while let Some(event) = inbox.next().await {
            last = Some(event);
        }
        assert!(matches!(
            last,
            Some(EndpointEvent::Event(Event::EndpointTerminated { endpoint: id })) if id == endpoint.id()
        ));
        // It never fails, and may be called again.
        assert!(endpoint.terminate().await.is_ok());
    });
}

// rules: E13
#[test]
fn without_a_handle_a_driver_ends_in_order() {
    run(async {
        let bob = Host::start(settings()).await;
        let (_bob, mut inbox) = bob.endpoint("bob").await;
        let (client, driver) = Driver::new(stack(), settings()).unwrap();
        let driver = task::spawn(driver);
        let config = PeerToPeerConfig::new("sip:alice@127.0.0.1");
        let (endpoint, events) = client.add_peer_to_peer_endpoint(config).await.unwrap();
        let offer = Content::new("application/sdp", "v=0 offer");
        let (invitation, session_events) =
            endpoint.invite(&bob.uri("bob"), Some(offer), SendOptions::default());
        let (session, mut taken) = next_session(&mut inbox).await;
        drop(session.accept(Some(Content::new("application/sdp", "v=0 answer"))));
        invitation.await.unwrap();
        drop((client, endpoint, events, session_events));
        assert!(driver.await);
        assert_eq!(end_of(&mut taken).await, SessionReason::TerminatedRemotely);
    });
}

/// Counts how often a future is polled.
struct Counted<F> {
    future: F,
    polls: Arc<AtomicUsize>,
}

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.future).poll(cx)
    }
}

#[test]
fn a_driver_with_nothing_to_do_sleeps() {
    run(async {
        let bob = Host::start(settings()).await;
        let (_bob, mut inbox) = bob.endpoint("bob").await;
        let (client, future) = Driver::new(stack(), settings()).unwrap();
        let polls = Arc::new(AtomicUsize::new(0));
        let driver = task::spawn(Counted {
            future,
            polls: Arc::clone(&polls),
        });
        let config = PeerToPeerConfig::new("sip:alice@127.0.0.1");
        let (endpoint, _) = client.add_peer_to_peer_endpoint(config).await.unwrap();
        let sent = message(&endpoint, &bob.uri("bob"), "hello");
        drop(next_message(&mut inbox).await);
        assert_eq!(status(&sent.await), Some(StatusCode::OK));
        let before = polls.load(Ordering::Relaxed);
        assert!(before > 0);
        task::sleep(Duration::from_millis(300)).await;
        let meanwhile = polls.load(Ordering::Relaxed) - before;
        assert!(meanwhile < 10, "{meanwhile} turns in 300 ms");
        assert_eq!(client.shutdown(PATIENCE).await, Ok(true));
        assert!(driver.await);
    });
}
