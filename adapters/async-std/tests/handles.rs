//! What handles promise: dropping lets go, only `cancel` cancels, a full one holds up nobody else, and all of them end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for single events")]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_std::future::timeout;
use async_std::task;
use sansip::wire::StatusCode;
use sansip::{
    Completion, Config, Content, Event, LostAddresses, ManagerId, Misuse, PeerToPeerConfig, RemovalReason,
    SendOptions, SessionReason, SessionState, Stack, Time,
};
use sansip_async_std::{
    Client, Driver, Endpoint, EndpointEvent, EndpointEvents, Error, Incoming, Operation, Session,
    SessionEvent, SessionEvents, Settings, seed, unix_time,
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
