//! SIPp's scenarios and an application on async-std: for each that can be, one that answers SIPp or drives it. Through mio it is the
//! command `sansip` that meets them, in `.ci/lab`, which also says which scenarios cannot be. What is asserted is that the scenario matched,
//! what the application saw, and that all has come to its end in order.
//!
//! Met by the command alone are `uac_407` and `uac_register`, which drive the server `sansip serve`; `uac_cancel_race` and
//! `uas_cancel_race`, for which what the stack says at once has to come to SIPp one by one, through a relay of the lab; and `uas_timer`, which
//! waits 45 s for a refresh.

use std::future::Future;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use async_std::future::timeout;
use async_std::task;
use sansip::security::{Credentials, Secret};
use sansip::wire::header::{RetryAfter, field};
use sansip::wire::{Method, StatusCode};
use sansip::{
    Completion, Config, Content, EndOfSubscription, Event, PeerToPeerConfig, Profile, RedirectAction,
    ReferralState, ReliableResponses, SendOptions, Server, SessionReason, SessionState, SipEndpointConfig,
    Stack, SubscribeOptions, SubscriptionReason, Time, Transport,
};
use sansip_async_std::{
    Client, Driver, Endpoint, EndpointEvent, EndpointEvents, Error, Incoming, Session, SessionEvent,
    SessionEvents, Settings, Subscription, SubscriptionEvents, Watcher, WatcherEvents, seed, unix_time,
};

use crate::Lab;
use crate::agent::{ANSWER, OFFER, PATIENCE};

/// Where SIPp answers.
const SIPP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 5, 9)), 5079);
/// Where SIPp finds us: one of the ports that the lab's dissector reads.
const OURS: SocketAddr = SocketAddr::new(SIPP.ip(), 5083);
/// SIPp takes no message that comes with the one before, where its scenario says something in between.
const APART: Duration = Duration::from_millis(200);

fn sdp(text: &str) -> Option<Content> {
    Some(change(text))
}

fn change(text: &str) -> Content {
    Content::new("application/sdp", text.to_owned())
}

/// An application at 127.0.5.9: an endpoint and what happens to it.
struct Stage {
    client: Client,
    endpoint: Endpoint,
    events: EndpointEvents,
    address: SocketAddr,
}

/// How the endpoint of a stage differs from others.
#[derive(Default)]
struct With {
    config: Config,
    profile: Profile,
    /// It has a password, and SIPp for its server.
    user: bool,
}

impl With {
    fn reliable(reliable_responses: ReliableResponses) -> Self {
        Self::profile(Profile {
            reliable_responses,
            ..Profile::default()
        })
    }

    fn method(method: Method) -> Self {
        let mut profile = Profile::default();
        profile.methods.push(method);
        Self::profile(profile)
    }

    fn profile(profile: Profile) -> Self {
        Self {
            profile,
            ..Self::default()
        }
    }

    fn user(config: Config) -> Self {
        Self {
            config,
            user: true,
            ..Self::default()
        }
    }
}

impl Stage {
    async fn set(with: With) -> Self {
        let config = Config {
            strict_dispatch: false,
            ..with.config
        };
        let stack = Stack::new(config, seed().unwrap(), Time::ZERO, unix_time());
        let manager = stack.server_tcp_manager();
        let client = Driver::spawn(stack, Settings::default()).unwrap();
        let (_, address) = client.listen(manager, OURS).await.unwrap();
        let (endpoint, events) = if with.user {
            let mut config = SipEndpointConfig::new("sip:sipp@lab.test");
            config.server = Some(Server {
                host: SIPP.ip().to_string(),
                port: Some(SIPP.port()),
            });
            config.transport = Transport::Tcp;
            config.credentials = vec![Credentials::new("sipp", Secret::new("pw-sipp"))];
            config.profile = with.profile;
            client.add_sip_endpoint(config).await.unwrap()
        } else {
            let mut config = PeerToPeerConfig::new("sip:bob@127.0.5.9");
            config.manager = Some(manager);
            config.profile = with.profile;
            client.add_peer_to_peer_endpoint(config).await.unwrap()
        };
        Self {
            client,
            endpoint,
            events,
            address,
        }
    }

    /// The next that is none of the stack's own events.
    async fn next(&mut self) -> EndpointEvent {
        loop {
            match self.events.next().await.unwrap() {
                EndpointEvent::Event(_) => {}
                other => return other,
            }
        }
    }

    async fn message(&mut self) -> Incoming {
        match self.next().await {
            EndpointEvent::Message(incoming) => incoming,
            other => panic!("{other:?}"),
        }
    }

    async fn called(&mut self) -> Call {
        match self.next().await {
            EndpointEvent::Session { session, events, .. } => Call { session, events },
            other => panic!("{other:?}"),
        }
    }

    async fn answered(&mut self) -> Call {
        let call = self.called().await;
        call.accept().await;
        call
    }

    async fn watched(&mut self) -> (Watcher, WatcherEvents) {
        match self.next().await {
            EndpointEvent::Watcher { watcher, events, .. } => (watcher, events),
            other => panic!("{other:?}"),
        }
    }

    /// Whom SIPp answers for.
    fn peer(&self) -> String {
        format!("sip:bob@{SIPP};transport=tcp")
    }

    /// Calls, and gives the call and what its INVITE comes to.
    async fn call(&self) -> (Call, Result<Completion, Error>) {
        let (call, invitation) = self.calls();
        let outcome = invitation.await;
        (call, outcome)
    }

    fn calls(&self) -> (Call, sansip_async_std::Invitation) {
        let (invitation, events) = self
            .endpoint
            .invite(&self.peer(), sdp(OFFER), SendOptions::default());
        let session = invitation.session().clone();
        (Call { session, events }, invitation)
    }

    async fn talks(&self) -> Call {
        let (call, outcome) = self.call().await;
        outcome.unwrap();
        call
    }

    async fn subscribes(&self) -> (Subscription, SubscriptionEvents) {
        let options = SubscribeOptions::new("presence");
        self.endpoint
            .create_subscription(&self.peer(), options)
            .await
            .unwrap()
    }
}

struct Call {
    session: Session,
    events: SessionEvents,
}

impl Call {
    async fn accept(&self) {
        self.session.accept(sdp(ANSWER)).await.unwrap();
    }

    async fn provisional(&self, status: StatusCode, content: Option<Content>) {
        self.session.provisional(status, content).await.unwrap();
    }

    /// The first of the call's events that fits.
    async fn until<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            match self.events.next().await.unwrap() {
                SessionEvent::Event(event) => {
                    if let Some(found) = pick(&event) {
                        return found;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn is_changed(&mut self) {
        self.until(|event| matches!(event, Event::RenegotiationReceived { .. }).then_some(()))
            .await;
        self.session.accept_renegotiation(change(ANSWER)).await.unwrap();
    }

    /// The peer ends it.
    async fn left(&mut self) {
        assert_eq!(self.ended().await, SessionReason::TerminatedRemotely);
    }

    async fn ended(&mut self) -> SessionReason {
        self.until(|event| match event {
            Event::Session {
                new: SessionState::Disconnected,
                reason,
                ..
            } => Some(*reason),
            _ => None,
        })
        .await
    }

    async fn hang_up(&self) {
        self.session.terminate().await.unwrap();
    }

    /// What the peer says of the call that it was asked for.
    async fn is_transferred(&mut self) {
        let state = self.until(|event| match event {
            Event::Referral { state, .. } if state.is_final() => Some(*state),
            _ => None,
        });
        assert_eq!(state.await, ReferralState::Succeeded);
    }

    /// Makes the call that the peer asks for: to somebody here, who takes a while to answer.
    async fn is_sent_on(&mut self, stage: &mut Stage) {
        let referral = self.until(|event| match event {
            Event::ReferReceived { referral, .. } => Some(*referral),
            _ => None,
        });
        let referral = referral.await;
        let third = format!("sip:third@{};transport=tcp", stage.address);
        let (invitation, _events) = stage.endpoint.invite(&third, sdp(OFFER), SendOptions::default());
        let call = invitation.session();
        self.session.accept_referral(referral, call).await.unwrap();
        let third = stage.called().await;
        task::sleep(APART).await;
        third.accept().await;
        invitation.await.unwrap();
    }
}

fn status(outcome: Result<Completion, Error>) -> u16 {
    match outcome {
        Err(Error::Operation(error)) => error.response().and_then(|response| response.status()),
        Ok(completion) => completion.response().and_then(|response| response.status()),
        Err(other) => panic!("{other}"),
    }
    .map_or(0, StatusCode::code)
}

/// SIPp in a scenario; ended with the case that fails.
struct Sipp(Option<Child>);

impl Sipp {
    fn start(lab: &Lab, scenario: &str, more: &[String]) -> Self {
        let child = Command::new("bash")
            .arg(lab.dir.join("sipp/run.sh"))
            .arg(scenario)
            .args(more)
            .args(["--timeout", "15"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(Some(child.unwrap()))
    }

    fn matched(mut self, scenario: &str) {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{scenario}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // Its own limit ends SIPp, of which this is the parent.
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Only looks: a connection to try would be a peer to SIPp.
fn until_it_listens() {
    let begun = Instant::now();
    loop {
        let source = format!("src {} and sport = :{}", SIPP.ip(), SIPP.port());
        let shown = Command::new("ss").args(["-Hltn", &source]).output().unwrap();
        if !shown.stdout.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "SIPp does not listen");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Plays one scenario: `uac_` drives what `case` does, `uas_` answers it.
fn play<F: Future<Output = Stage>>(scenario: &str, with: With, case: impl FnOnce(Stage) -> F) {
    let Some(lab) = Lab::enter() else { return };
    let wait = |future| task::block_on(timeout(PATIENCE, future));
    let stage = task::block_on(Stage::set(with));
    let sipp = if scenario.starts_with("uac_") {
        Sipp::start(&lab, scenario, &[stage.address.to_string()])
    } else {
        let sipp = Sipp::start(&lab, scenario, &["--at".to_owned(), SIPP.to_string()]);
        until_it_listens();
        sipp
    };
    let stage = wait(case(stage)).unwrap_or_else(|_| panic!("{scenario}: it hangs"));
    sipp.matched(scenario);
    let ended = task::block_on(stage.client.shutdown(PATIENCE));
    assert_eq!(ended, Ok(true), "{scenario}: no orderly end");
    eprintln!("async-std: SIPp's scenario {scenario} matched");
}

/// Each scenario that this meets, by name: how the endpoint is made, and what it does.
macro_rules! pairs {
    ($($scenario:ident: $with:expr, |$stage:ident| $case:block)*) => {
        $(#[test] fn $scenario() {
            play(stringify!($scenario), $with, |$stage: Stage| async move {
                #[allow(unused_mut, reason = "some cases only send")]
                let mut $stage = $stage;
                $case
                $stage
            });
        })*
    };
}

pairs! {
    uac_basic: With::default(), |stage| {
        stage.answered().await.left().await;
    }
    uac_bye_recv: With::default(), |stage| {
        stage.answered().await.hang_up().await;
    }
    uac_cancel: With::default(), |stage| {
        let mut call = stage.called().await;
        call.provisional(StatusCode::RINGING, None).await;
        assert_eq!(call.ended().await, SessionReason::Canceled);
    }
    uac_early183: With::default(), |stage| {
        let mut call = stage.called().await;
        call.provisional(StatusCode::SESSION_PROGRESS, sdp(ANSWER)).await;
        call.provisional(StatusCode::RINGING, None).await;
        call.accept().await;
        call.left().await;
    }
    uac_100rel: With::reliable(ReliableResponses::Supported), |stage| {
        let mut call = stage.called().await;
        call.provisional(StatusCode::SESSION_PROGRESS, sdp(ANSWER)).await;
        task::sleep(APART).await;
        call.accept().await;
        call.left().await;
    }
    uac_100rel2: With::reliable(ReliableResponses::Supported), |stage| {
        let mut call = stage.called().await;
        call.provisional(StatusCode::SESSION_PROGRESS, sdp(ANSWER)).await;
        task::sleep(APART).await;
        call.provisional(StatusCode::RINGING, None).await;
        task::sleep(APART).await;
        call.accept().await;
        call.left().await;
    }
    uac_update: With::reliable(ReliableResponses::Supported), |stage| {
        let mut call = stage.called().await;
        call.provisional(StatusCode::SESSION_PROGRESS, sdp(ANSWER)).await;
        call.is_changed().await;
        task::sleep(APART).await;
        call.accept().await;
        call.left().await;
    }
    uac_reinvite: With::default(), |stage| {
        let mut call = stage.answered().await;
        call.is_changed().await;
        call.left().await;
    }
    uac_reinvite_491: With::default(), |stage| {
        let mut call = stage.answered().await;
        call.until(|event| matches!(event, Event::RenegotiationReceived { .. }).then_some(())).await;
        call.session.reject_renegotiation(StatusCode::REQUEST_PENDING).await.unwrap();
        call.is_changed().await;
        call.left().await;
    }
    uac_reinvite_recv: With::default(), |stage| {
        let call = stage.answered().await;
        assert_eq!(status(call.session.renegotiate(Method::Invite, change(OFFER)).await), 200);
        call.hang_up().await;
    }
    uac_update_recv: With::default(), |stage| {
        let call = stage.answered().await;
        // Its 200 has no answer, which is not what RFC 3311 section 5.2 says.
        drop(call.session.renegotiate(Method::Update, change(OFFER)).await);
        call.hang_up().await;
    }
    uac_refer: With::method(Method::Refer), |stage| {
        let mut call = stage.answered().await;
        call.is_sent_on(&mut stage).await;
        call.left().await;
    }
    uac_refer_recv: With::default(), |stage| {
        let mut call = stage.answered().await;
        call.session.refer("sip:third@lab.test", Vec::new()).await.unwrap();
        call.is_transferred().await;
        call.hang_up().await;
    }
    uac_timer: With::default(), |stage| {
        stage.answered().await.left().await;
    }
    uac_timer422: With { config: Config { min_session_expires: Duration::from_secs(1800), ..Config::default() }, ..With::default() }, |stage| {
        stage.answered().await.left().await;
    }
    uac_302: With::default(), |stage| {
        let call = stage.called().await;
        let moved = format!("sip:moved@{};transport=tcp", stage.address);
        call.session.redirect(None, &[&moved]).await.unwrap();
        stage.answered().await.left().await;
    }
    uac_reject: With::default(), |stage| {
        stage.called().await.session.reject(StatusCode::BUSY_HERE).await.unwrap();
    }
    uac_503: With::default(), |stage| {
        let call = stage.called().await;
        call.session.attach(vec![field(&RetryAfter::new(5))]).await.unwrap();
        call.session.reject(StatusCode::SERVICE_UNAVAILABLE).await.unwrap();
    }
    uac_fork: With::default(), |stage| {
        let mut call = stage.called().await;
        call.provisional(StatusCode::RINGING, None).await;
        let other = call.session.early_dialog().await.unwrap();
        call.session.provisional_in(other, StatusCode::RINGING, None).await.unwrap();
        call.session.accept_in(other, sdp(ANSWER)).await.unwrap();
        call.left().await;
    }
    uac_message: With::default(), |stage| {
        stage.message().await.answer(StatusCode::OK, None).await.unwrap();
    }
    uac_options: With::default(), |stage| {
        stage.message().await.answer(StatusCode::OK, None).await.unwrap();
    }
    uac_subscribe: With::method(Method::Subscribe), |stage| {
        let (watcher, mut events) = stage.watched().await;
        watcher.accept(None, Some(Content::new("application/pidf+xml", "open"))).await.unwrap();
        let mut refreshed = 0;
        while let Some(event) = events.next().await {
            refreshed += usize::from(matches!(event, Event::WatcherRefreshed { .. }));
        }
        assert_eq!(refreshed, 2);
    }
    uac_subscribe_term: With::method(Method::Subscribe), |stage| {
        let (watcher, _events) = stage.watched().await;
        watcher.accept(None, Some(Content::new("application/pidf+xml", "open"))).await.unwrap();
        task::sleep(APART).await;
        watcher.terminate(EndOfSubscription::NoResource, None).await.unwrap();
    }

    uas_basic: With::default(), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_bye_recv: With::default(), |stage| {
        stage.talks().await.left().await;
    }
    uas_cancel: With::default(), |stage| {
        let (mut call, invitation) = stage.calls();
        call.until(|event| matches!(event, Event::Provisional { .. }).then_some(())).await;
        invitation.cancel().await.unwrap();
        assert!(invitation.await.is_err());
        assert_eq!(call.ended().await, SessionReason::TerminatedLocally);
    }
    uas_early183: With::default(), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_100rel: With::reliable(ReliableResponses::Supported), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_100rel2: With::reliable(ReliableResponses::Required), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_reinvite: With::default(), |stage| {
        let call = stage.talks().await;
        assert_eq!(status(call.session.renegotiate(Method::Invite, change(OFFER)).await), 200);
        call.hang_up().await;
    }
    uas_reinvite_491: With::default(), |stage| {
        // Offered once more by the stack itself, after a while.
        let call = stage.talks().await;
        assert_eq!(status(call.session.renegotiate(Method::Invite, change(OFFER)).await), 200);
        call.hang_up().await;
    }
    uas_reinvite_recv: With::default(), |stage| {
        let mut call = stage.talks().await;
        call.is_changed().await;
        call.left().await;
    }
    uas_update_recv: With::default(), |stage| {
        stage.talks().await.left().await;
    }
    uas_update: With::reliable(ReliableResponses::Supported), |stage| {
        let (mut call, invitation) = stage.calls();
        call.until(|event| matches!(event, Event::AnswerReceived { .. }).then_some(())).await;
        task::sleep(APART).await;
        assert_eq!(status(call.session.renegotiate(Method::Update, change(OFFER)).await), 200);
        invitation.await.unwrap();
        assert_eq!(status(call.session.renegotiate(Method::Update, change(OFFER)).await), 200);
        call.hang_up().await;
    }
    uas_refer: With::default(), |stage| {
        let mut call = stage.talks().await;
        call.session.refer("sip:third@lab.test", Vec::new()).await.unwrap();
        call.is_transferred().await;
        call.hang_up().await;
    }
    uas_refer_recv: With::method(Method::Refer), |stage| {
        let mut call = stage.talks().await;
        call.is_sent_on(&mut stage).await;
        call.left().await;
    }
    uas_timer_uas: With::default(), |stage| {
        stage.talks().await.left().await;
    }
    uas_timer422: With::profile(Profile { session_timer: Some(Duration::from_secs(90)), ..Profile::default() }), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_302: With::profile(Profile { redirects: true, ..Profile::default() }), |stage| {
        let (mut call, invitation) = stage.calls();
        call.until(|event| matches!(event, Event::Redirected { .. }).then_some(())).await;
        call.session.follow_redirect(RedirectAction::TryAll).await.unwrap();
        invitation.await.unwrap();
        call.hang_up().await;
    }
    uas_reject: With::default(), |stage| {
        assert_eq!(status(stage.call().await.1), 486);
    }
    uas_503: With::profile(Profile { retry_after: false, ..Profile::default() }), |stage| {
        assert_eq!(status(stage.call().await.1), 503);
    }
    uas_fork: With::default(), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_fork2: With::default(), |stage| {
        // The other fork's answer is acknowledged and ended by the stack, and SIPp wants no more than that.
        let mut call = stage.talks().await;
        task::sleep(APART).await;
        drop(call.session.terminate());
        assert_eq!(call.ended().await, SessionReason::TerminatedLocally);
    }
    uas_401: With::user(Config::default()), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_407: With::user(Config::default()), |stage| {
        stage.talks().await.hang_up().await;
    }
    uas_register: With::user(Config { refresh_floor: Duration::from_secs(2), ..Config::default() }), |stage| {
        stage.endpoint.register().await.unwrap();
        // It is kept for 4 s, and refreshed when half of that is over.
        task::sleep(Duration::from_secs(3)).await;
        stage.endpoint.unregister().await.unwrap();
    }
    uas_message: With::default(), |stage| {
        let sent = stage.endpoint.message(&stage.peer(), "hello", SendOptions::default());
        assert_eq!(status(sent.await), 200);
    }
    uas_options: With::default(), |stage| {
        let sent = stage.endpoint.send(&stage.peer(), Method::Options, None, SendOptions::default());
        assert_eq!(status(sent.await), 200);
    }
    uas_subscribe: With::default(), |stage| {
        let (subscription, _events) = stage.subscribes().await;
        assert_eq!(status(subscription.subscribe().await), 200);
        task::sleep(APART).await;
        assert_eq!(status(subscription.update(None).await), 200);
        task::sleep(APART).await;
        subscription.terminate().await.unwrap();
    }
    uas_subscribe_first: With::default(), |stage| {
        let (subscription, _events) = stage.subscribes().await;
        subscription.query().await.unwrap();
    }
    uas_subscribe_term: With::default(), |stage| {
        let (subscription, mut events) = stage.subscribes().await;
        assert_eq!(status(subscription.subscribe().await), 200);
        loop {
            if let Event::Subscription { reason: SubscriptionReason::Deactivated, .. } = events.next().await.unwrap() {
                break;
            }
        }
        // It is to be made again, and SIPp is there no more.
        drop(subscription.terminate());
    }
}
