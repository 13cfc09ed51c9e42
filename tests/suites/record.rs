//! Recording the input of a stack, and replaying it: the same inputs give the same actions (X1), and a recording says
//! no secret and hurts nobody (X8).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use md4::Md4;
use md5::{Digest, Md5};
use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sansip::record::{Difference, Input, Replay, ReplayError};
use sansip::security::digest::Algorithm;
use sansip::security::{Credentials, Secret};
use sansip::wire::StatusCode;
use sansip::{
    Action, Config, ConnId, Content, Event, LostAddresses, ManagerConfig, ManagerKind, PeerToPeerConfig,
    Stack, Time, Transport, UnixTime,
};
use sansip_testkit::frontend::{FrontEndConfig, Protocol};
use sansip_testkit::fuzz;
use sansip_testkit::soak::{self, Scenario};
use sansip_testkit::world::{World, seeds};
use sha2::Sha256;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/stack");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| (file.display().to_string(), std::fs::read(file).unwrap()))
        .collect()
}

/// The passwords of alice and bob in the kit's scenarios and lives.
fn passwords(bob: &str) -> impl FnMut(&str, &Credentials) -> Option<Secret> {
    move |uri, _| match uri {
        "sip:alice@example.com" => Some(Secret::new("secret")),
        "sip:bob@example.com" => Some(Secret::new(bob)),
        "sip:grace@example.com" => Some(Secret::new("quiet")),
        _ => None,
    }
}

/// How many inputs were replayed, and how many actions were the same.
fn replayed(mut replay: Replay) -> Result<(usize, usize), ReplayError> {
    let (mut inputs, mut actions) = (0, 0);
    while let Some(step) = replay.step()? {
        inputs += 1;
        actions += step.actions.len();
    }
    Ok((inputs, actions))
}

// rules: X1, X8
#[test]
fn every_scenario_of_the_fuzzers_replays_to_the_same_actions() {
    for (file, bytes) in corpus() {
        let recording = fuzz::recording(&bytes);
        let replay = Replay::open(recording).unwrap().with_secret(passwords("secret"));
        assert!(replay.is_complete(), "{file}");
        let (inputs, actions) = replayed(replay).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            inputs > 10 && actions > 10,
            "{file}: {inputs} inputs, {actions} actions"
        );
    }
}

// rules: X1, X8
#[test]
fn random_lives_replay_to_the_same_actions() {
    for seed in seeds(12) {
        let mut world = World::new(seed);
        world.recording = Some(usize::MAX);
        soak::live(&mut world, &Scenario::of_seed(seed, 120));
        let mut seen = 0;
        for (stack, recording) in world.take_recordings().into_iter().enumerate() {
            let replay = Replay::open(recording).unwrap().with_secret(passwords("hidden"));
            let (_, actions) =
                replayed(replay).unwrap_or_else(|error| panic!("SANSIP_SEED={seed}, stack {stack}: {error}"));
            seen += actions;
        }
        assert!(seen > 50, "SANSIP_SEED={seed}: {seen} actions");
        world.finish();
    }
}

/// The name of the call.
fn kind(input: &Input) -> String {
    let shown = format!("{input:?}");
    shown.split([' ', '(']).next().unwrap().to_owned()
}

/// What the scenarios of the fuzzers leave out.
fn managed() -> Vec<u8> {
    let (mut stack, conn) = called_with(Config::default(), usize::MAX);
    let (now, bob) = (stack.now(), stack.endpoints()[0]);
    let tls = stack
        .add_manager(ManagerConfig::new(ManagerKind::ServerTls))
        .unwrap();
    stack.set_default_endpoint(Some(bob));
    stack.set_idle(now, conn, Duration::from_secs(7)).unwrap();
    let mut view = stack.manager(now, tls).unwrap();
    view.set_pool_size(3).unwrap();
    view.set_idle(Some(Duration::from_secs(9)), None).unwrap();
    view.apply_idle().unwrap();
    let elsewhere = LostAddresses::These(vec!["192.0.2.77".parse().unwrap()]);
    stack.network_changed(now, &elsewhere);
    let mut view = stack.manager(now, tls).unwrap();
    view.set_pool_maximum("two.invalid", None, Transport::Tls, 2)
        .unwrap_err();
    stack.handle_bytes(now, conn, MESSAGE.replace('\n', "\r\n").as_bytes());
    let received = drain_until(&mut stack, |event| match event {
        Event::MessageReceived { incoming, .. } => Some(*incoming),
        _ => None,
    });
    stack.incoming(now, received).unwrap().hold().unwrap();
    drain(&mut stack);
    let mut incoming = stack.incoming(now, received).unwrap();
    incoming
        .answer(StatusCode::ACCEPTED, Some("Kept"), None, &[])
        .unwrap();
    drain(&mut stack);
    // The idle time of a moment ago is over first.
    stack.handle_timeout(now + Duration::from_secs(8));
    drain(&mut stack);
    stack.disconnect(stack.now(), conn);
    stack.terminate_all(stack.now());
    drain(&mut stack);
    stack.take_recording()
}

// rules: X8
#[test]
fn every_kind_of_input_is_replayed() {
    let mut kinds = BTreeSet::new();
    let scenarios = corpus().into_iter().map(|(_, bytes)| fuzz::recording(&bytes));
    for recording in scenarios.chain([managed()]) {
        let mut replay = Replay::open(recording).unwrap().with_secret(passwords("secret"));
        while let Some(step) = replay.step().unwrap() {
            kinds.insert(kind(&step.input));
        }
    }
    // All there are.
    assert_eq!(kinds.len(), 55, "{kinds:?}");
}

const PASSWORD: &str = "tr0ub4dor&3";

/// Alice, registered with Digest, and the recording of her stack.
fn registered(algorithm: Algorithm) -> Vec<u8> {
    let mut world = World::new(3);
    world.recording = Some(usize::MAX);
    let mut config = FrontEndConfig::new("example.com").with_user("alice", PASSWORD);
    config.algorithms = vec![algorithm];
    let server = world.front_end(config);
    let host = world.stack();
    let account = world.account(server, "alice");
    let alice = world.sip_endpoint(host, account);
    let operation = world.register(alice);
    world.result(host, operation).unwrap();
    let recording = world.take_recordings().remove(0);
    world.finish();
    recording
}

/// The recording of a log-on with NTLM.
fn logged_on() -> Vec<u8> {
    let mut world = World::new(78);
    world.recording = Some(usize::MAX);
    let config = FrontEndConfig::new("example.com")
        .with_user("alice", PASSWORD)
        .with_protocols(&[Protocol::Ntlm]);
    let server = world.front_end(config);
    let host = world.stack();
    let mut account = world.account(server, "alice");
    account.association.without_tls = true;
    for credentials in &mut account.credentials {
        (credentials.realm, credentials.domain) = (None, Some("EXAMPLE".into()));
    }
    let alice = world.sip_endpoint(host, account);
    let registered = world.register(alice);
    world.result(host, registered).unwrap();
    let recording = world.take_recordings().remove(0);
    world.finish();
    recording
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

// rules: X8, A9
#[test]
fn no_secret_is_in_a_recording_and_it_is_given_again() {
    let a1 = format!("alice:example.com:{PASSWORD}");
    let keys = [
        (Algorithm::Md5, Md5::digest(&a1).to_vec()),
        (Algorithm::Sha256, Sha256::digest(&a1).to_vec()),
    ];
    for (algorithm, key) in keys {
        let recording = registered(algorithm);
        let replay = Replay::open(recording.clone()).unwrap();
        let mut replay = replay.with_secret(|uri, credentials| {
            assert_eq!(
                (uri, credentials.user.as_str()),
                ("sip:alice@example.com", "alice")
            );
            assert_eq!(credentials.password, Secret::new(""));
            Some(Secret::new(PASSWORD))
        });
        let mut sent = Vec::new();
        while let Some(step) = replay.step().unwrap() {
            step.sent
                .iter()
                .for_each(|(_, bytes)| sent.extend_from_slice(bytes));
        }
        let sent = String::from_utf8(sent).unwrap();
        let response = sent
            .split("response=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let response = response.unwrap();
        assert_eq!(
            response.len(),
            hex.len(),
            "the server has asked for Digest: {sent}"
        );
        for secret in [PASSWORD.as_bytes(), hex.as_bytes(), &key, response.as_bytes()] {
            assert!(!contains(&recording, secret), "{}", secret.escape_ascii());
        }
        // What looks for them finds what is there.
        assert!(contains(&recording, b"WWW-Authenticate: Digest"));
    }
}

// rules: X8, A9
#[test]
fn no_secret_of_a_log_on_with_ntlm_is_in_a_recording_and_it_is_replayed() {
    let recording = logged_on();
    let replay = Replay::open(recording.clone()).unwrap();
    let mut replay = replay.with_secret(|_, _| Some(Secret::new(PASSWORD)));
    let mut associated = 0;
    while let Some(step) = replay.step().unwrap() {
        let made = |action: &&Action| matches!(action, Action::Event(Event::Associated { .. }));
        associated += step.actions.iter().filter(made).count();
    }
    assert_eq!(associated, 1);
    // MS-NLMP section 3.3.1: what Windows keeps of it proves the user as the password does.
    let wide: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hash = Md4::digest(&wide).to_vec();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in [PASSWORD.as_bytes(), &wide, &hash, hex.as_bytes()] {
        assert!(!contains(&recording, secret), "{}", secret.escape_ascii());
    }
    assert!(contains(&recording, b"WWW-Authenticate: NTLM"));
}

// rules: X8
#[test]
fn without_the_password_a_replay_says_what_may_be_missing() {
    let recording = registered(Algorithm::Sha256);
    let error = replayed(Replay::open(recording.clone()).unwrap()).unwrap_err();
    let ReplayError::Diverged(divergence) = &error else {
        panic!("{error}")
    };
    assert!(matches!(divergence.what, Difference::Sent(_)), "{error}");
    assert_eq!(
        divergence.without_secret.as_deref(),
        Some("sip:alice@example.com")
    );
    assert!(error.to_string().contains("a secret may be missing"), "{error}");
    // A wrong one is no missing one.
    let replay = Replay::open(recording)
        .unwrap()
        .with_secret(|_, _| Some(Secret::new("other")));
    let ReplayError::Diverged(divergence) = replayed(replay).unwrap_err() else {
        panic!("it diverges")
    };
    assert_eq!(divergence.without_secret, None);
}

/// A short history without a secret: a listener, a peer that calls, and is answered.
fn called(limit: usize) -> Stack {
    called_with(Config::default(), limit).0
}

fn called_with(config: Config, limit: usize) -> (Stack, ConnId) {
    let now = Time::from_secs(1);
    let mut stack = Stack::recorded(config, [7; 32], now, UnixTime(1_700_000_000), limit);
    let bob = stack
        .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new("sip:bob@two.invalid"))
        .unwrap();
    let manager = stack.server_tcp_manager();
    let address = |last, port| SocketAddr::from(([10, 0, 0, last], port));
    let listener = stack
        .manager(now, manager)
        .unwrap()
        .listen(address(1, 5060))
        .unwrap();
    drain(&mut stack);
    stack.handle_listening(now, listener, Ok(address(1, 5060)));
    let conn = stack.handle_accepted(now, listener, address(1, 5060), address(2, 40_000));
    stack.handle_bytes(now, conn, INVITE.replace('\n', "\r\n").as_bytes());
    let session = drain_until(&mut stack, |event| match event {
        Event::SessionReceived { session, .. } => Some(*session),
        _ => None,
    });
    drain(&mut stack);
    let now = now + Duration::from_millis(1_700);
    transmit(&mut stack, now, conn);
    let content = Content::new("application/sdp", "v=0\r\n");
    stack
        .session(now, session)
        .unwrap()
        .accept(Some(content))
        .unwrap();
    drain(&mut stack);
    transmit(&mut stack, now, conn);
    // Misuse is an input, too.
    stack.endpoint(now, bob).unwrap().register().unwrap_err();
    let now = now + Duration::from_secs(40);
    stack.handle_timeout(now);
    drain(&mut stack);
    transmit(&mut stack, now, conn);
    (stack, conn)
}

const INVITE: &str = "INVITE sip:bob@two.invalid SIP/2.0
Via: SIP/2.0/TCP 10.0.0.2:40000;branch=z9hG4bK1
Max-Forwards: 70
From: <sip:eve@one.invalid>;tag=1
To: <sip:bob@two.invalid>
Call-ID: 1@one.invalid
CSeq: 1 INVITE
Contact: <sip:eve@10.0.0.2:40000;transport=tcp>
Content-Type: application/sdp
Content-Length: 5

v=0

";

const MESSAGE: &str = "MESSAGE sip:bob@two.invalid SIP/2.0
Via: SIP/2.0/TCP 10.0.0.2:40000;branch=z9hG4bK2
Max-Forwards: 70
From: <sip:eve@one.invalid>;tag=2
To: <sip:bob@two.invalid>
Call-ID: 2@one.invalid
CSeq: 1 MESSAGE
Content-Length: 0

";

fn drain(stack: &mut Stack) {
    while stack.poll_action().is_some() {}
}

/// Takes actions until there is this event.
fn drain_until<T>(stack: &mut Stack, pick: impl Fn(&Event) -> Option<T>) -> T {
    let actions = std::iter::from_fn(|| stack.poll_action());
    let mut events = actions.filter_map(|action| match action {
        Action::Event(event) => pick(&event),
        _ => None,
    });
    events.next().unwrap()
}

fn transmit(stack: &mut Stack, now: Time, conn: ConnId) {
    let length = stack.transmit(conn).map(Bytes::len).sum();
    stack.handle_transmitted(now, conn, length);
}

/// Whether a recording is complete, and what became of it.
fn outcome(recording: Vec<u8>) -> Result<(bool, usize, usize), ReplayError> {
    let replay = Replay::open(recording)?;
    let is_complete = replay.is_complete();
    replayed(replay).map(|(inputs, actions)| (is_complete, inputs, actions))
}

// rules: X8
#[test]
fn a_recording_is_taken_in_pieces() {
    let mut stack = called(usize::MAX);
    let whole = stack.take_recording();
    assert_eq!(stack.take_recording(), b"");
    let (is_complete, inputs, actions) = outcome(whole.clone()).unwrap();
    assert!(
        is_complete && inputs > 10 && actions > 8,
        "{inputs} inputs, {actions} actions"
    );
    stack.terminate_all(stack.now());
    drain(&mut stack);
    let rest = stack.take_recording();
    let both = [whole, rest].concat();
    let more = outcome(both).unwrap();
    assert!(more.0 && more.1 > inputs && more.2 > actions);
    assert_eq!(
        Stack::new(Config::default(), [0; 32], Time::ZERO, UnixTime(0)).take_recording(),
        b""
    );
}

// rules: X8
#[test]
fn a_recording_that_breaks_off_is_replayed_as_far_as_it_goes() {
    let whole = called(usize::MAX).take_recording();
    let all = outcome(whole.clone()).unwrap();
    let mut last = 0;
    let mut complete = 0;
    for length in 0..whole.len() {
        match outcome(whole[..length].to_vec()) {
            Ok((is_complete, inputs, _)) => {
                assert!(
                    inputs >= last && inputs <= all.1,
                    "{length} bytes: {inputs} inputs"
                );
                last = inputs;
                // Only what could be the end of a recording can be taken for one.
                complete += usize::from(is_complete);
            }
            Err(ReplayError::Truncated { at }) => assert!(at <= length && last == 0),
            Err(error) => panic!("{length} bytes: {error}"),
        }
    }
    assert!(
        last > 0 && complete < 12,
        "{last} inputs, {complete} times complete"
    );
}

// rules: X8
#[test]
fn what_is_no_recording_is_refused() {
    let whole = called(usize::MAX).take_recording();
    let open = |bytes: Vec<u8>| Replay::open(bytes).unwrap_err();
    assert_eq!(
        open(b"REGISTER sip:example.com SIP/2.0\r\n".to_vec()),
        ReplayError::NotARecording
    );
    assert_eq!(open(Vec::new()), ReplayError::Truncated { at: 0 });
    let mut newer = whole.clone();
    newer[8] += 1;
    assert_eq!(open(newer), ReplayError::UnknownFormat(5));
    let more = [whole, vec![0, 0]].concat();
    assert!(matches!(open(more), ReplayError::Corrupt { .. }));
}

proptest! {
    // rules: X8
    #[test]
    fn a_changed_byte_is_found_wherever_it_is(at: prop::sample::Index, change in 1_u8..) {
        let mut recording = called(usize::MAX).take_recording();
        let all = outcome(recording.clone()).unwrap();
        let at = at.index(recording.len());
        recording[at] ^= change;
        match outcome(recording) {
            // A length that leads beyond the end looks as if it broke off.
            Ok((is_complete, inputs, _)) => prop_assert!(!is_complete && inputs < all.1),
            Err(ReplayError::Diverged(divergence)) => prop_assert!(false, "{divergence:?}"),
            Err(_) => {}
        }
    }

    // rules: X8
    #[test]
    fn any_bytes_can_be_opened(bytes: Vec<u8>) {
        let _ = outcome(bytes.clone());
        let begin = &called(usize::MAX).take_recording()[..9];
        let _ = outcome([begin, &bytes].concat());
    }
}

// rules: X8, C31
#[test]
fn the_limit_bounds_a_recording_and_harms_nothing_else() {
    let whole = called(usize::MAX);
    let full = whole.clone().take_recording();
    let mut inputs = 0;
    let mut complete = None;
    for limit in 0..full.len() + 30 {
        let mut stack = called(limit);
        assert_eq!(stack.census(), whole.census(), "limit {limit}");
        let still = stack.is_recording();
        let recording = stack.take_recording();
        assert!(
            recording.len() <= limit,
            "{} bytes, limit {limit}",
            recording.len()
        );
        if recording.is_empty() {
            assert!(!still && inputs == 0);
            continue;
        }
        let (is_complete, replayed, _) =
            outcome(recording.clone()).unwrap_or_else(|e| panic!("{limit}: {e}"));
        assert!(
            replayed >= inputs,
            "limit {limit}: {replayed} inputs after {inputs}"
        );
        inputs = replayed;
        if is_complete {
            assert_eq!(recording, full);
            complete.get_or_insert(limit);
        } else {
            assert!(complete.is_none() && recording.ends_with(&[0]), "limit {limit}");
        }
    }
    // What is kept free for the end: a run of polls, its check, and the marker.
    let complete = complete.unwrap();
    assert_eq!(complete, full.len() + 25, "{} bytes", full.len());
}

/// As the documentation of the module says.
// rules: X8
#[test]
fn an_input_costs_few_bytes_beside_its_contents() {
    let (mut stack, conn) = called_with(Config::default(), usize::MAX);
    let bob = stack.endpoints()[0];
    let mut cost = |input: &mut dyn FnMut(&mut Stack, Time)| {
        stack.take_recording();
        let now = stack.now() + Duration::from_millis(20);
        input(&mut stack, now);
        // What is taken ends in a check of its own, 11 bytes, where no other stands there.
        stack.take_recording().len()
    };
    let stray = "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(20);
    let bytes = cost(&mut |stack, now| stack.handle_bytes(now, conn, stray.as_bytes()));
    assert_eq!(
        bytes,
        stray.len() + 7 + 11,
        "time 3, call 1, connection 1, length 2"
    );
    let polls = cost(&mut |stack, now| {
        stack.endpoint(now, bob).unwrap().unregister().unwrap_err();
        stack
            .endpoint(now, bob)
            .unwrap()
            .create_session("sip:eve@10.0.0.2")
            .unwrap();
    });
    assert_eq!(
        polls,
        (3 + 1 + 1) + (1 + 1 + 1 + 1 + 16) + 11,
        "misuse, and a command with a URI"
    );
    let sent = cost(&mut |stack, now| stack.handle_transmitted(now, conn, 500));
    assert_eq!(sent, 3 + 1 + 1 + 2 + 8, "with its check");
    let nothing = cost(&mut |stack, now| stack.handle_timeout(now));
    assert_eq!(nothing, 0, "before a deadline nothing happens");
}

// rules: X1, X8
#[test]
fn inputs_in_any_order_do_no_harm_and_replay() {
    for (file, bytes) in corpus() {
        let mut replay = Replay::open(fuzz::recording(&bytes))
            .unwrap()
            .with_secret(passwords("secret"));
        let mut inputs = Vec::new();
        while let Some(step) = replay.step().unwrap() {
            inputs.push(step.input);
        }
        let mut dice = ChaCha12Rng::seed_from_u64(u64::try_from(bytes.len()).unwrap());
        // What is made first stays first, or there is nothing to speak of.
        for at in (6..inputs.len()).rev() {
            let other = 5 + usize::try_from(dice.next_u32()).unwrap() % (at - 5);
            inputs.swap(at, other);
        }
        let mut now = Time::from_secs(1);
        let mut stack = Stack::recorded(
            Config::default(),
            [9; 32],
            now,
            UnixTime(1_700_000_000),
            usize::MAX,
        );
        for input in inputs {
            now = now + Duration::from_millis(u64::from(dice.next_u32() % 4_000));
            let times = if let Input::Polled { times } = input {
                times
            } else {
                0
            };
            // Most of it is misuse now.
            let _ = stack.apply(now, input);
            (0..times).for_each(|_| drop(stack.poll_action()));
        }
        let recording = stack.take_recording();
        replayed(Replay::open(recording).unwrap()).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

// rules: X8, C31
#[test]
fn settings_beyond_all_measure_do_no_harm() {
    for time in [Duration::ZERO, Duration::from_micros(1), Duration::MAX] {
        let config = Config {
            t1: time,
            t2: time,
            t4: time,
            connect_timeout: time,
            resolve_timeout: time,
            linger: time,
            unproven: time,
            idle_incoming: time,
            idle_outgoing: time,
            dead_address_hold: time,
            retry_after_cap: time,
            answer_timeout: time,
            max_connect_duration: time,
            register_expires: time,
            reconnect_jitter: time,
            backoff_min: time,
            backoff_max: time,
            refresh_floor: time,
            ..Config::default()
        };
        outcome(called_with(config, usize::MAX).0.take_recording()).unwrap();
    }
}
