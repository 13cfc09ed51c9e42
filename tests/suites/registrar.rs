//! What a registrar says besides yes and no: go elsewhere (R9), you are registered no more (R13), I had lost you (R14),
//! and whatever a broken or hostile one says.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method};
use sansip::{
    EndpointId, Event, ManagerConfig, ManagerKind, Misuse, OperationError, RegistrationReason,
    RegistrationState, SessionReason, SessionState, Time, TlsFailureKind, Transport,
};
use sansip_testkit::frontend::{Deregistration, FrontEndConfig, FrontEndEvent, Lost};
use sansip_testkit::world::{self, Endpoint, FrontEndId, LineId, PeerId, Reachability, World};

use RegistrationReason as Reason;
use RegistrationState::{Registered, Registering, Unregistered, Unregistering};
use common::{
    TICK, accept_calls, answer, at, bound, codes, failure_code, field, grant, hold_requests, messages,
    next_line, next_request, registered, request, scripted_server, scripted_server_with, sdp, secs, served,
};

type Change = (RegistrationState, RegistrationState, RegistrationReason);

fn told<T>(world: &World, endpoint: Endpoint, pick: impl Fn(EndpointId, &Event) -> Option<T>) -> Vec<T> {
    let events = world.events(endpoint.host).iter();
    events.filter_map(|(_, event)| pick(endpoint.id, event)).collect()
}

fn changes(world: &World, endpoint: Endpoint) -> Vec<Change> {
    told(world, endpoint, |id, event| match event {
        Event::Registration {
            endpoint,
            old,
            new,
            reason,
            ..
        } if *endpoint == id => Some((*old, *new, *reason)),
        _ => None,
    })
}

fn servers(world: &World, endpoint: Endpoint) -> Vec<String> {
    told(world, endpoint, |id, event| match event {
        Event::ServerChanged { endpoint, host, .. } if *endpoint == id => Some(host.clone()),
        _ => None,
    })
}

fn outages(world: &World, endpoint: Endpoint) -> usize {
    told(world, endpoint, |id, event| match event {
        Event::Outage { endpoint, .. } if *endpoint == id => Some(()),
        _ => None,
    })
    .len()
}

fn forgotten(world: &World, endpoint: Endpoint) -> usize {
    told(world, endpoint, |id, event| match event {
        Event::Forgotten { endpoint, .. } if *endpoint == id => Some(()),
        _ => None,
    })
    .len()
}

fn session_ends(world: &World, endpoint: Endpoint) -> Vec<SessionReason> {
    told(world, endpoint, |_, event| match event {
        Event::Session {
            new: SessionState::Disconnected,
            reason,
            ..
        } => Some(*reason),
        _ => None,
    })
}

fn state(world: &mut World, endpoint: Endpoint) -> RegistrationState {
    world.with(endpoint.host, |stack, now| {
        stack
            .endpoint(now, endpoint.id)
            .unwrap()
            .registration_state()
            .unwrap()
    })
}

fn gruu(world: &mut World, endpoint: Endpoint) -> Option<String> {
    world.with(endpoint.host, |stack, now| {
        stack
            .endpoint(now, endpoint.id)
            .unwrap()
            .gruu()
            .map(str::to_owned)
    })
}

fn malformed(world: &mut World, endpoint: Endpoint) -> u64 {
    world.with(endpoint.host, |stack, _| stack.counters().malformed)
}

/// Registers at a scripted server for so many seconds; gives the line and the REGISTER.
#[track_caller]
fn register_for(world: &mut World, peer: PeerId, alice: Endpoint, seconds: u32) -> (LineId, Message) {
    let operation = world.register(alice);
    let line = next_line(world, peer, 0);
    let register = grant(world, line, seconds, "");
    world.result(alice.host, operation).unwrap();
    (line, register)
}

/// Leaves, with the last REGISTER answered, so that the end of the world has nothing to wait for.
#[track_caller]
fn leave(world: &mut World, alice: Endpoint, line: LineId) {
    let operation = world.unregister(alice);
    grant(world, line, 0, "");
    world.result(alice.host, operation).unwrap();
}

/// Another server by this name.
fn further_server(world: &mut World, name: &str) -> PeerId {
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    world.names.set_addresses(name, &[address.ip()]);
    peer
}

/// Lets the world run until a scripted peer has another newest connection than this one, and gives it.
#[track_caller]
fn line_after(world: &mut World, peer: PeerId, known: Option<LineId>) -> LineId {
    let newest = |world: &World| {
        world
            .lines(peer)
            .last()
            .copied()
            .filter(|line| Some(*line) != known)
    };
    world.run_until_or(secs(4000), |world| newest(world).is_some());
    newest(world).expect("somebody has connected")
}

#[track_caller]
fn redirect(world: &mut World, line: LineId, to: &str) -> Message {
    let register = next_request(world, line, &Method::Register);
    let contact = format!("Contact: <sip:{to}:5060;transport=tcp>");
    world.say(line, &answer(&register, "302 Moved Temporarily", "s", &contact));
    register
}

// ---------------------------------------------------------------- redirects

// rules: R9
#[test]
fn so_many_redirects_are_followed_as_were_allowed_and_no_more() {
    for allowed in 0..=5_u8 {
        world::run(100 + u64::from(allowed), move |world| {
            let (peer, alice) = scripted_server_with(world, |config| config.redirects = allowed);
            let address = world.ip(peer);
            let operation = world.register(alice);
            let mut line = None;
            for number in 0..=allowed {
                let name = format!("s{number}.invalid");
                world.names.set_addresses(&name, &[address]);
                line = Some(line_after(world, peer, line));
                redirect(world, line.unwrap(), &name);
            }
            let result = world.result(alice.host, operation);
            assert!(
                matches!(&result, Err(OperationError::Register { .. })),
                "{result:?}"
            );
            assert_eq!(failure_code(&result), 302);
            let mut expected: Vec<String> = (0..allowed).map(|number| format!("s{number}.invalid")).collect();
            // Where there is no more to try, it is back at home.
            expected.extend((allowed > 0).then(|| "server.invalid".to_owned()));
            assert_eq!(servers(world, alice), expected);
            world.run_for(secs(600));
            let lines = world.lines(peer);
            assert!(
                lines.iter().all(|line| world.heard(*line).is_empty()),
                "{allowed}"
            );
            assert_eq!(
                changes(world, alice).last(),
                Some(&(Registering, Unregistered, Reason::Refused))
            );
        });
    }
}

// rules: R9, X2
#[test]
fn more_than_five_redirects_are_misuse_and_three_are_the_default() {
    let default = sansip::SipEndpointConfig::new("sip:alice@example.com");
    assert_eq!(default.redirects, 3);
    world::run(110, |world| {
        let host = world.stack();
        for (redirects, taken) in [(6, false), (255, false), (5, true)] {
            let mut config = sansip::SipEndpointConfig::new("sip:alice@example.com");
            config.redirects = redirects;
            let result = world.with(host, |stack, now| stack.add_sip_endpoint(now, config));
            let misuse = matches!(result, Err(Misuse::Argument { .. }));
            assert_eq!(
                (result.is_ok(), misuse),
                (taken, !taken),
                "{redirects}: {result:?}"
            );
        }
    });
}

// rules: R9, R7
#[test]
fn an_endpoint_goes_home_when_the_server_it_was_sent_to_is_no_good() {
    for how in ["gone", "refuses", "silent", "knows it not", "challenges in vain"] {
        world::run(111, move |world| {
            let (home, alice) = scripted_server(world);
            let away = further_server(world, "away.invalid");
            let operation = world.register(alice);
            let first = next_line(world, home, 0);
            redirect(world, first, "away.invalid");
            let line = next_line(world, away, 0);
            grant(world, line, 600, "");
            world.result(alice.host, operation).unwrap();
            assert_eq!(servers(world, alice), ["away.invalid"]);
            let known = world.lines(home).len();
            match how {
                "gone" => {
                    let ip = world.ip(away);
                    world.set_reachability((ip, 5060).into(), Reachability::Refused);
                    world.break_off(line);
                }
                "refuses" => {
                    let refresh = next_request(world, line, &Method::Register);
                    world.say(line, &answer(&refresh, "500 Broken", "s", ""));
                }
                "knows it not" => {
                    let refresh = next_request(world, line, &Method::Register);
                    world.say(line, &answer(&refresh, "200 OK", "s", ""));
                }
                "challenges in vain" => {
                    let refresh = next_request(world, line, &Method::Register);
                    let challenge = "WWW-Authenticate: Digest realm=\"away\", nonce=\"1\"";
                    world.say(line, &answer(&refresh, "401 Unauthorized", "s", challenge));
                    world.run_for(secs(1));
                    // Credentials that are not good end it (A7), at home again.
                    assert_eq!(servers(world, alice), ["away.invalid", "server.invalid"]);
                    assert_eq!(state(world, alice), Unregistered);
                    return;
                }
                _ => {
                    next_request(world, line, &Method::Register);
                }
            }
            let back = next_line(world, home, known);
            assert_eq!(world.heard(line), [], "{how}: one failure is enough");
            grant(world, back, 600, "");
            world.run_for(secs(1));
            assert_eq!(servers(world, alice), ["away.invalid", "server.invalid"], "{how}");
            assert_eq!(outages(world, alice), 1, "{how}");
            assert_eq!(state(world, alice), Registered, "{how}");
            leave(world, alice, back);
        });
    }
}

// rules: R9, R16
#[test]
fn whoever_registers_anew_begins_at_the_server_it_was_told() {
    world::run(112, |world| {
        let (home, alice) = scripted_server(world);
        let away = further_server(world, "away.invalid");
        for round in 1..=2 {
            let known = world.lines(home).len();
            let operation = world.register(alice);
            let first = next_line(world, home, known);
            redirect(world, first, "away.invalid");
            let line = next_line(world, away, 0);
            grant(world, line, 600, "");
            world.result(alice.host, operation).unwrap();
            // Where it is registered it is unregistered.
            let operation = world.unregister(alice);
            assert_eq!(field(&grant(world, line, 0, ""), HeaderName::Expires), "0");
            world.result(alice.host, operation).unwrap();
            world.break_off(line);
            world.run_for(secs(100));
            assert_eq!(servers(world, alice).len(), round * 2 - 1);
        }
        assert_eq!(
            servers(world, alice),
            ["away.invalid", "server.invalid", "away.invalid"]
        );
    });
}

// rules: R9, A9
#[test]
fn credentials_serve_at_home_again_after_a_server_that_they_were_not_given_for() {
    world::run(113, |world| {
        let (home, alice) = scripted_server_with(world, |config| {
            let password = sansip::security::Secret::new("secret");
            config.credentials = vec![sansip::security::Credentials::new("alice", password)];
        });
        let away = further_server(world, "away.invalid");
        let challenge = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"1\", qop=\"auth\"";
        let operation = world.register(alice);
        let first = next_line(world, home, 0);
        redirect(world, first, "away.invalid");
        // Nobody has named a realm before: this server gets nothing.
        let line = next_line(world, away, 0);
        let register = next_request(world, line, &Method::Register);
        world.say(line, &answer(&register, "401 Unauthorized", "s", challenge));
        let result = world.result(alice.host, operation);
        assert!(
            matches!(result, Err(OperationError::Authentication { .. })),
            "{result:?}"
        );
        assert_eq!(world.heard(line), []);
        // Home is what they were given for.
        let known = world.lines(home).len();
        let operation = world.register(alice);
        let line = next_line(world, home, known);
        let register = next_request(world, line, &Method::Register);
        world.say(line, &answer(&register, "401 Unauthorized", "s", challenge));
        let again = grant(world, line, 600, "");
        assert_eq!(again.count(HeaderName::Authorization), 1);
        world.result(alice.host, operation).unwrap();
    });
}

// rules: R9, R10, C31
#[test]
fn servers_that_send_to_each_other_are_left_after_the_last_redirect() {
    world::run(114, |world| {
        let (home, alice) = scripted_server(world);
        let ip = world.ip(home);
        world.names.set_addresses("other.invalid", &[ip]);
        let operation = world.register(alice);
        let mut line = None;
        for to in ["other", "server", "other", "server"] {
            line = Some(line_after(world, home, line));
            redirect(world, line.unwrap(), &format!("{to}.invalid"));
        }
        assert_eq!(failure_code(&world.result(alice.host, operation)), 302);
        assert_eq!(
            servers(world, alice),
            [
                "other.invalid",
                "server.invalid",
                "other.invalid",
                "server.invalid"
            ]
        );
    });
}

/// The Contact of a 3xx, and the name that it leads to; none where it leads nowhere.
const ELSEWHERE: &[(&str, Option<&str>)] = &[
    ("", None),
    ("Contact: *", None),
    ("Contact:", None),
    ("Contact: <sip:>", None),
    ("Contact: <sip:away.invalid:99999>", None),
    ("Contact: nonsense", None),
    ("Contact: <mailto:a@away.invalid>", None),
    (
        "Contact: <sip:>, <tel:+1>, <sip:away.invalid:5060>",
        Some("away.invalid"),
    ),
    (
        "Contact: <sip:away.invalid:5060>, <sip:other.invalid>",
        Some("away.invalid"),
    ),
    (
        "Contact: <sip:away.invalid:5060;transport=udp>",
        Some("away.invalid"),
    ),
    (
        "Contact: <sip:alice@away.invalid:5060;lr?X=y>;q=0.0;expires=-1",
        Some("away.invalid"),
    ),
    (
        "Contact: <sip:other.invalid:5060;maddr=away.invalid>",
        Some("away.invalid"),
    ),
    ("Contact: sip:away.invalid:5060", Some("away.invalid")),
];

// rules: R9, C31
#[test]
fn whatever_a_redirect_says_is_followed_or_is_the_end() {
    for (contact, leads) in ELSEWHERE {
        for status in [
            "300 Choose",
            "301 Moved",
            "302 Moved",
            "305 Proxy",
            "380 Else",
            "399 What",
        ] {
            world::run(115, move |world| {
                let (home, alice) = scripted_server(world);
                let away = further_server(world, "away.invalid");
                let operation = world.register(alice);
                let line = next_line(world, home, 0);
                let register = next_request(world, line, &Method::Register);
                world.say(line, &answer(&register, status, "s", contact));
                if let Some(host) = leads {
                    let line = next_line(world, away, 0);
                    grant(world, line, 600, "");
                    world.result(alice.host, operation).unwrap();
                    assert_eq!(servers(world, alice), [*host], "{contact}");
                    leave(world, alice, line);
                } else {
                    let result = world.result(alice.host, operation);
                    assert_eq!(failure_code(&result) / 100, 3, "{contact}: {result:?}");
                    assert_eq!(servers(world, alice), [] as [String; 0], "{contact}");
                    assert_eq!(world.heard(line), []);
                }
            });
        }
    }
}

// rules: R9, P4
#[test]
fn a_server_over_tls_sends_nobody_to_one_without() {
    world::run(116, |world| {
        let (home, alice) = tls_server(world);
        let away = tls_peer(world, "away.invalid", 5070);
        let operation = world.register(alice);
        let line = next_line(world, home, 0);
        let register = next_request(world, line, &Method::Register);
        let contact = "Contact: <sip:away.invalid:5070;transport=tcp>";
        world.say(line, &answer(&register, "302 Moved", "s", contact));
        let line = next_line(world, away, 0);
        grant(world, line, 600, "");
        world.result(alice.host, operation).unwrap();
        let transport = world.with(alice.host, |stack, now| {
            let view = stack.endpoint(now, alice.id).unwrap();
            view.server().map(|(_, _, transport)| transport)
        });
        assert_eq!(transport, Some(Transport::Tls));
        leave(world, alice, line);
    });
}

// rules: R10, C31
#[test]
fn a_server_that_wants_more_and_more_gets_it_a_bounded_number_of_times() {
    for (least, asked) in [
        ("Min-Expires: 4294967295", Some("4294967295")),
        ("Min-Expires: 4294967296", None),
        ("Min-Expires: -1", None),
        ("Min-Expires: 0", None),
        ("Min-Expires: 7200\nMin-Expires: 7300", None),
    ] {
        world::run(117, move |world| {
            let (peer, alice) = scripted_server(world);
            let operation = world.register(alice);
            let line = next_line(world, peer, 0);
            let register = next_request(world, line, &Method::Register);
            world.say(line, &answer(&register, "423 Interval Too Brief", "s", least));
            if let Some(asked) = asked {
                let again = next_request(world, line, &Method::Register);
                assert_eq!(field(&again, HeaderName::Expires), asked);
                world.say(line, &answer(&again, "423 Interval Too Brief", "s", least));
            }
            let result = world.result(alice.host, operation);
            assert_eq!(failure_code(&result), 423, "{least}");
            assert_eq!(world.heard(line), [], "{least}");
        });
    }
    // One more each time: eight REGISTERs are sent (`Limits::attempts`), and the eighth answer is the end.
    world::run(118, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        for number in 1..=8 {
            let register = next_request(world, line, &Method::Register);
            let least = format!("Min-Expires: {}", 3600 + number);
            world.say(line, &answer(&register, "423 Interval Too Brief", "s", &least));
        }
        assert_eq!(failure_code(&world.result(alice.host, operation)), 423);
        assert_eq!(world.heard(line), []);
        let refused = world.with(alice.host, |stack, _| stack.counters().refusals.attempts);
        assert_eq!(refused, 1);
    });
}

// ---------------------------------------------------------------- deregistration

/// A NOTIFY of the package, with these lines instead of the usual ones behind CSeq.
fn notify(register: &Message, number: u32, more: &str, body: &str) -> String {
    let contact = field(register, HeaderName::Contact);
    let uri = contact.split(['<', '>']).nth(1).unwrap();
    let (from, call_id) = (
        field(register, HeaderName::From),
        field(register, HeaderName::CallId),
    );
    let more: String = more.lines().map(|line| format!("{}\n", line.trim())).collect();
    format!(
        "NOTIFY {uri} SIP/2.0
         Via: SIP/2.0/TCP server.invalid;branch=z9hG4bKn{number}
         Max-Forwards: 70
         From: <sip:alice@example.com>;tag=registrar
         To: {from}
         Call-ID: {call_id}
         CSeq: {number} NOTIFY
         {more}

{body}"
    )
}

const USUAL: &str = "Event: registration-notify
    Subscription-State: terminated;expires=0
    Content-Type: text/registration-event";

const REJECTED: &str = "deregistered;event=rejected";

const REASONS: [(Deregistration, Reason); 5] = [
    (Deregistration::Unregistered, Reason::TooManyActiveEndpoints),
    (Deregistration::Rejected, Reason::UserChanged),
    (Deregistration::Deactivated, Reason::UserMoved),
    (
        Deregistration::UserServicesUnavailable,
        Reason::UserServicesUnavailable,
    ),
    (
        Deregistration::PreferredRegistrarChange,
        Reason::PreferredRegistrarChanged,
    ),
];

fn notified(world: &World, server: FrontEndId) -> Vec<u16> {
    let events = world.server_events(server).iter();
    events
        .filter_map(|(_, event)| match event {
            FrontEndEvent::Notified { status, .. } => Some(status.code()),
            _ => None,
        })
        .collect()
}

// rules: R13, R8, E4
#[test]
fn a_server_deregisters_with_a_notify_and_says_why() {
    assert_eq!(REASONS.map(|(why, _)| why), Deregistration::ALL);
    for (why, reason) in REASONS {
        world::run(120, move |world| {
            let server = served(world);
            let alice = registered(world, server, "alice");
            assert!(gruu(world, alice).is_some());
            let count = world.with_server(server, |server, _| {
                server.deregister("sip:alice@example.com", None, why)
            });
            assert_eq!(count, 1);
            world.run_for(secs(1));
            assert_eq!(
                changes(world, alice)[2..],
                [(Registered, Unregistered, reason)],
                "{why:?}"
            );
            assert_eq!(notified(world, server), [200]);
            assert_eq!(messages(world, alice.host), [], "it is the stack's to answer");
            assert_eq!(gruu(world, alice), None);
            // It is told, and not tried again: two endpoints of one user would throw each other out for ever.
            world.run_for(secs(24 * 3600));
            assert_eq!(changes(world, alice).len(), 3);
            assert_eq!(world.server(server).bindings("sip:alice@example.com"), []);
            // Until the application wants to.
            let operation = world.register(alice);
            world.result(alice.host, operation).unwrap();
            assert_eq!(state(world, alice), Registered);
        });
    }
}

// rules: R13, E2
#[test]
fn of_several_endpoints_of_a_user_the_one_that_is_meant_is_deregistered() {
    world::run(121, |world| {
        let server = served(world);
        let host = world.stack();
        let both = ["one", "two"].map(|epid| {
            let mut config = world.account(server, "alice");
            config.epid = Some(epid.to_owned());
            let endpoint = world.sip_endpoint(host, config);
            let operation = world.register(endpoint);
            world.result(host, operation).unwrap();
            endpoint
        });
        world.with_server(server, |server, _| {
            server.deregister("sip:alice@example.com", Some("two"), Deregistration::Unregistered)
        });
        world.run_for(secs(1));
        assert_eq!(
            both.map(|endpoint| state(world, endpoint)),
            [Registered, Unregistered]
        );
        // Both at once, each with its own NOTIFY.
        let operation = world.register(both[1]);
        world.result(host, operation).unwrap();
        let count = world.with_server(server, |server, _| {
            server.deregister("sip:alice@example.com", None, Deregistration::Rejected)
        });
        assert_eq!(count, 2);
        world.run_for(secs(1));
        assert_eq!(both.map(|endpoint| state(world, endpoint)), [Unregistered; 2]);
        assert_eq!(notified(world, server), [200, 200, 200]);
    });
}

// rules: R13, R15, E10
#[test]
fn an_endpoint_that_takes_no_notify_is_deregistered_all_the_same() {
    world::run(122, |world| {
        let (peer, alice) = scripted_server_with(world, |config| {
            config.profile.methods = vec![Method::Message];
            config.profile.content_types = vec!["text/plain".to_owned()];
        });
        let (line, register) = register_for(world, peer, alice, 600);
        assert!(
            field(&register, HeaderName::Contact).contains("methods=\"MESSAGE, NOTIFY\""),
            "the server is told that it can: {register:?}"
        );
        // Another NOTIFY is refused, as was said.
        let other = request(
            "NOTIFY",
            "sip:alice@example.com",
            "<sip:alice@example.com>",
            1,
            "Event: x",
        );
        world.say(line, &other);
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [405]);
        // What it does not understand it does not obey.
        world.say(
            line,
            &notify(&register, 1, &format!("Require: x\n{USUAL}"), REJECTED),
        );
        world.run_for(secs(1));
        assert_eq!((codes(world, line), state(world, alice)), (vec![420], Registered));
        world.say(line, &notify(&register, 2, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!(
            (codes(world, line), state(world, alice)),
            (vec![200], Unregistered)
        );
        assert_eq!(messages(world, alice.host), []);
    });
}

// rules: R13, M3
#[test]
fn a_benotify_deregisters_and_is_not_answered() {
    world::run(123, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, register) = register_for(world, peer, alice, 600);
        let benotify = |number, more: &str, body: &str| {
            notify(&register, number, more, body).replace("NOTIFY", "BENOTIFY")
        };
        world.say(line, &benotify(1, USUAL, "deregistered;event=what"));
        world.say(line, &benotify(2, &format!("Require: x\n{USUAL}"), REJECTED));
        world.run_for(secs(1));
        assert_eq!((state(world, alice), malformed(world, alice)), (Registered, 1));
        world.say(line, &benotify(3, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!(state(world, alice), Unregistered);
        assert_eq!(world.heard(line), []);
        assert_eq!(messages(world, alice.host), []);
    });
}

/// What a NOTIFY does to a registered endpoint: its answer, and whether it counts as malformed. None of these deregisters.
const HARMLESS: &[(&str, &str, &str, u16, u64)] = &[
    ("no body", USUAL, "", 400, 1),
    ("an unknown event", USUAL, "deregistered;event=expired", 400, 1),
    ("no event", USUAL, "deregistered", 400, 1),
    (
        "two events",
        USUAL,
        "deregistered;event=rejected;event=unregistered",
        400,
        1,
    ),
    (
        "a state that there is not",
        USUAL,
        "banished;event=rejected",
        400,
        1,
    ),
    ("no text", USUAL, "\u{0}\u{1}", 400, 1),
    (
        "another type",
        "Event: registration-notify\nSubscription-State: terminated\nContent-Type: application/reginfo+xml",
        REJECTED,
        415,
        0,
    ),
    (
        "no type",
        "Event: registration-notify\nSubscription-State: terminated",
        REJECTED,
        415,
        0,
    ),
    (
        "another package",
        "Event: presence\nSubscription-State: terminated\nContent-Type: text/registration-event",
        REJECTED,
        481,
        0,
    ),
    (
        "no package",
        "Subscription-State: terminated\nContent-Type: text/registration-event",
        REJECTED,
        481,
        0,
    ),
    (
        "a registration that stands",
        USUAL,
        "registered;event=userservices-unavailable",
        200,
        0,
    ),
];

// rules: R13, C31, X2
#[test]
fn what_does_not_deregister_is_answered_counted_and_changes_nothing() {
    world::run(124, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, register) = register_for(world, peer, alice, 3600);
        for (number, (what, more, body, status, counted)) in (1..).zip(HARMLESS) {
            let before = malformed(world, alice);
            world.say(line, &notify(&register, number, more, body));
            world.run_for(secs(1));
            assert_eq!(codes(world, line), [*status], "{what}");
            assert_eq!(malformed(world, alice) - before, *counted, "{what}");
            assert_eq!(state(world, alice), Registered, "{what}");
        }
        // What stands is said by others than presence, so the application hears of it.
        assert_eq!(messages(world, alice.host).len(), 1);
        // A body as long as can be.
        let long = format!("deregistered;event={}", "x".repeat(60_000));
        world.say(line, &notify(&register, 99, USUAL, &long));
        world.run_for(secs(1));
        assert_eq!((codes(world, line), state(world, alice)), (vec![400], Registered));
        leave(world, alice, line);
    });
}

// rules: R13
#[test]
fn only_the_server_deregisters() {
    // Over the connection of another endpoint.
    world::run(125, |world| {
        let (peer, alice) = scripted_server(world);
        let (first, register) = register_for(world, peer, alice, 3600);
        let mut config = sansip::SipEndpointConfig::new("sip:bob@example.com");
        config.server = Some(sansip::Server {
            host: "server.invalid".to_owned(),
            port: Some(5060),
        });
        config.transport = Transport::Tcp;
        let bob = world.sip_endpoint(alice.host, config);
        let operation = world.register(bob);
        let second = next_line(world, peer, 1);
        grant(world, second, 3600, "");
        world.result(bob.host, operation).unwrap();
        let guessed = notify(&register, 1, USUAL, REJECTED)
            .replace(&field(&register, HeaderName::CallId), "another-call");
        world.say(second, &guessed);
        world.run_for(secs(1));
        assert_eq!(codes(world, second), [481]);
        assert_eq!(
            [alice, bob].map(|endpoint| state(world, endpoint)),
            [Registered; 2]
        );
        // Over its own it is believed, whatever dialog it names.
        world.say(first, &guessed);
        world.run_for(secs(1));
        assert_eq!(codes(world, first), [200]);
        assert_eq!(
            [alice, bob].map(|endpoint| state(world, endpoint)),
            [Unregistered, Registered]
        );
        leave(world, bob, second);
    });
    // To a port that a server manager listens on, from whoever connects: the REGISTER is the proof.
    world::run(126, |world| {
        let peer = world.peer();
        let address = world.peer_listens(peer, 5060, Transport::Tcp);
        world.names.set_addresses("server.invalid", &[address.ip()]);
        let host = world.stack();
        let manager = world.with(host, |stack, _| {
            stack
                .add_manager(ManagerConfig::new(ManagerKind::ServerTcp))
                .unwrap()
        });
        let port = world.listen_with(host, manager, 5060);
        let mut config = sansip::SipEndpointConfig::new("sip:alice@example.com");
        config.server = Some(sansip::Server {
            host: "server.invalid".to_owned(),
            port: Some(5060),
        });
        config.transport = Transport::Tcp;
        config.manager = Some(manager);
        let alice = world.sip_endpoint(host, config);
        let (line, register) = register_for(world, peer, alice, 3600);
        let (call_id, tag) = (
            field(&register, HeaderName::CallId),
            register.from_().unwrap().tag().unwrap().to_owned(),
        );
        let dialled = world.dial(peer, port, None);
        let right = notify(&register, 1, USUAL, REJECTED);
        for (number, wrong) in [right.replace(&call_id, "guess"), right.replace(&tag, "guess")]
            .into_iter()
            .enumerate()
        {
            world.say(dialled, &wrong.replace("z9hG4bKn1", &format!("z9hG4bKw{number}")));
            world.run_for(secs(1));
            assert_eq!(
                (codes(world, dialled), state(world, alice)),
                (vec![481], Registered)
            );
        }
        world.say(dialled, &right);
        world.run_for(secs(1));
        assert_eq!(
            (codes(world, dialled), state(world, alice)),
            (vec![200], Unregistered)
        );
        world.hang_up(line);
        world.hang_up(dialled);
    });
}

// rules: R13, S15
#[test]
fn what_is_in_the_dialog_of_a_session_is_the_sessions() {
    world::run(127, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, register) = register_for(world, peer, alice, 3600);
        let (_, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        let invite = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&invite, "200 OK", "bob", "Contact: <sip:bob@192.0.2.9>"),
        );
        world.result(alice.host, made).unwrap();
        next_request(world, line, &Method::Ack);
        let inside = notify(&register, 1, USUAL, REJECTED)
            .replace(
                &field(&register, HeaderName::CallId),
                &field(&invite, HeaderName::CallId),
            )
            .replace(
                &field(&register, HeaderName::From),
                &field(&invite, HeaderName::From),
            )
            .replace("tag=registrar", "tag=bob");
        world.say(line, &inside);
        world.run_for(secs(1));
        assert_eq!((codes(world, line), state(world, alice)), (vec![200], Registered));
        let heard = told(world, alice, |_, event| match event {
            Event::SessionMessage { message, .. } => message.method().cloned(),
            _ => None,
        });
        assert_eq!(heard, [Method::Notify]);
    });
}

// rules: R13, R16, R20
#[test]
fn a_deregistration_that_crosses_a_register_leaves_the_last_word_to_its_answer() {
    // While it is registering: the answer says what the server has.
    world::run(128, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        world.say(line, &notify(&register, 1, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!(
            (codes(world, line), state(world, alice)),
            (vec![200], Registering)
        );
        world.say(line, &answer(&register, "200 OK", "s", &bound(&register, 600)));
        world.result(alice.host, operation).unwrap();
        assert_eq!(state(world, alice), Registered);
        let left = world.unregister(alice);
        // While it is unregistering: it is to be unregistered, and will be.
        let last = next_request(world, line, &Method::Register);
        world.say(line, &notify(&register, 2, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!(
            (codes(world, line), state(world, alice)),
            (vec![200], Unregistering)
        );
        world.say(line, &answer(&last, "200 OK", "s", ""));
        world.result(alice.host, left).unwrap();
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Unregistering, Unregistered, Reason::None))
        );
        // And when it is, there is nothing to end.
        world.say(line, &notify(&register, 3, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!((codes(world, line), changes(world, alice).len()), (vec![481], 4));
    });
    // While it is refreshing: it is deregistered at once, no second REGISTER goes out, and the answer counts.
    for (status, after) in [("200 OK", Registered), ("403 Forbidden", Unregistered)] {
        world::run(129, move |world| {
            let (peer, alice) = scripted_server(world);
            let (line, _) = register_for(world, peer, alice, 60);
            let refresh = next_request(world, line, &Method::Register);
            world.say(
                line,
                &notify(&refresh, 1, USUAL, "deregistered;event=deactivated"),
            );
            world.say(line, &notify(&refresh, 2, USUAL, REJECTED));
            world.run_for(secs(1));
            assert_eq!(codes(world, line), [200, 200]);
            assert_eq!(
                changes(world, alice)[2..],
                [(Registered, Unregistered, Reason::UserMoved)],
                "told once"
            );
            assert_eq!(gruu(world, alice), None);
            world.say(line, &answer(&refresh, status, "s", &bound(&refresh, 600)));
            world.run_for(secs(1));
            assert_eq!(state(world, alice), after);
            let expected: &[Change] = if after == Registered {
                &[(Unregistered, Registered, Reason::None)]
            } else {
                &[]
            };
            assert_eq!(&changes(world, alice)[3..], expected);
            assert_eq!(outages(world, alice), 0);
            if after == Registered {
                leave(world, alice, line);
            } else {
                world.run_for(secs(24 * 3600));
                assert_eq!(world.heard(line), [], "and is not tried again");
            }
        });
    }
}

// rules: R13, E12
#[test]
fn a_refresh_that_waits_for_a_better_time_is_given_up_by_a_deregistration() {
    world::run(132, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_for(world, peer, alice, 600);
        let refresh = next_request(world, line, &Method::Register);
        world.say(line, &answer(&refresh, "503 Later", "s", "Retry-After: 30"));
        world.run_for(secs(1));
        world.say(line, &notify(&refresh, 1, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!(
            (codes(world, line), state(world, alice)),
            (vec![200], Unregistered)
        );
        // It would be a new registration, which nobody wants.
        world.run_for(secs(24 * 3600));
        assert_eq!(world.heard(line), []);
        assert_eq!(
            changes(world, alice)[2..],
            [(Registered, Unregistered, Reason::UserChanged)]
        );
        assert_eq!(outages(world, alice), 0);
        let operation = world.register(alice);
        grant(world, line, 600, "");
        world.result(alice.host, operation).unwrap();
        leave(world, alice, line);
    });
    // A first registration that waits for it goes out: the NOTIFY is of one before.
    world::run(133, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        world.say(line, &answer(&register, "503 Later", "s", "Retry-After: 30"));
        world.run_for(secs(1));
        world.say(line, &notify(&register, 1, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!(
            (codes(world, line), state(world, alice)),
            (vec![200], Registering)
        );
        world.run_for(secs(30));
        grant(world, line, 600, "");
        world.result(alice.host, operation).unwrap();
        leave(world, alice, line);
    });
}

// rules: R13, E13
#[test]
fn an_endpoint_that_ends_while_it_is_deregistered_waits_for_what_is_under_way() {
    world::run(131, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_for(world, peer, alice, 60);
        let refresh = next_request(world, line, &Method::Register);
        world.say(line, &notify(&refresh, 1, USUAL, REJECTED));
        world.run_for(secs(1));
        let ended = world.terminate(alice);
        // What is said to an endpoint that is ending is said too late.
        world.say(line, &notify(&refresh, 2, USUAL, REJECTED));
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [200, 481]);
        assert_eq!(world.ended(alice.host, ended), None);
        // The server has taken it back after all: it is asked to let go.
        world.say(line, &answer(&refresh, "200 OK", "s", &bound(&refresh, 600)));
        assert_eq!(field(&grant(world, line, 0, ""), HeaderName::Expires), "0");
        world.result(alice.host, ended).unwrap();
    });
}

// rules: R13
#[test]
fn a_deregistration_that_comes_twice_is_one() {
    world::run(130, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, register) = register_for(world, peer, alice, 3600);
        let once = notify(&register, 1, USUAL, REJECTED);
        world.say(line, &once);
        world.say(line, &once);
        world.run_for(secs(1));
        // Over a stream a transaction ends with its answer: the second finds nothing to end.
        assert_eq!(codes(world, line), [200, 481]);
        assert_eq!(
            changes(world, alice)[2..],
            [(Registered, Unregistered, Reason::UserChanged)]
        );
        let operation = world.register(alice);
        grant(world, line, 600, "");
        world.result(alice.host, operation).unwrap();
        leave(world, alice, line);
    });
}

// ---------------------------------------------------------------- a server that had lost us

/// A front end that says what it had.
fn frank(world: &mut World) -> FrontEndId {
    world.front_end(FrontEndConfig {
        presence_state: true,
        remove_lost_flows: false,
        ..FrontEndConfig::new("example.com")
            .with_user("alice", "secret")
            .with_user("bob", "hidden")
    })
}

// rules: R14
#[test]
fn a_refresh_that_finds_nothing_to_refresh_ends_the_sessions_and_is_told_once() {
    for lost in [None, Some(Lost::Binding), Some(Lost::Endpoint)] {
        world::run(140, move |world| {
            let server = frank(world);
            let bob = registered(world, server, "bob");
            accept_calls(world, bob.host);
            let alice = registered(world, server, "alice");
            assert_eq!(
                (forgotten(world, alice), forgotten(world, bob)),
                (0, 0),
                "new is not lost"
            );
            let (session, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
            world.result(alice.host, made).unwrap();
            if let Some(lost) = lost {
                world.with_server(server, |server, _| {
                    server.lose("sip:alice@example.com", None, lost)
                });
            }
            world.run_for(secs(3600));
            let expected = usize::from(lost.is_some());
            assert_eq!(forgotten(world, alice), expected, "{lost:?}");
            assert_eq!(changes(world, alice).len(), 2, "it is registered all the same");
            assert_eq!(outages(world, alice), 0);
            let ends = vec![SessionReason::SessionDoesNotExist; expected];
            assert_eq!(session_ends(world, alice), ends, "{lost:?}");
            if lost.is_some() {
                // The event comes before what it is the cause of.
                let order = told(world, alice, |_, event| match event {
                    Event::Forgotten { .. } => Some("forgotten"),
                    Event::Session {
                        new: SessionState::Disconnected,
                        ..
                    } => Some("ended"),
                    _ => None,
                });
                assert_eq!(order, ["forgotten", "ended"]);
                // The server does not know the dialog: it hears no BYE.
                assert_eq!(session_ends(world, bob), []);
                let gone = world.with(alice.host, |stack, now| stack.session(now, session).is_err());
                assert!(gone);
            }
            // The next refresh is one again.
            world.run_for(secs(3600));
            assert_eq!(forgotten(world, alice), expected);
        });
    }
}

// rules: R14, S2
#[test]
fn only_what_is_established_is_dead() {
    world::run(141, |world| {
        let (peer, alice) = scripted_server(world);
        hold_requests(world, alice.host);
        let (line, _) = register_for(world, peer, alice, 60);
        // One rings at the peer, one here, one is idle, and one is established.
        let (ringing, _) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        let first = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&first, "180 Ringing", "b", "Contact: <sip:b@192.0.2.9>"),
        );
        let (connected, made) = world.invite(alice, "sip:carol@example.com", Some(sdp()));
        let second = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&second, "200 OK", "c", "Contact: <sip:c@192.0.2.9>"),
        );
        world.result(alice.host, made).unwrap();
        let more = "Contact: <sip:d@192.0.2.9>";
        world.say(
            line,
            &request(
                "INVITE",
                "sip:alice@example.com",
                "<sip:alice@example.com>",
                5,
                more,
            ),
        );
        world.run_for(secs(1));
        let idle = world.with(alice.host, |stack, now| {
            let mut view = stack.endpoint(now, alice.id).unwrap();
            view.create_session("sip:eve@example.com").unwrap()
        });
        grant(world, line, 600, "Presence-State: register-action=\"fixed\"");
        world.run_for(secs(1));
        assert_eq!(
            (forgotten(world, alice), session_ends(world, alice).len()),
            (1, 1)
        );
        let states = [ringing, connected, idle].map(|session| {
            world.with(alice.host, |stack, now| {
                stack.session(now, session).ok().map(|view| view.state())
            })
        });
        assert_eq!(
            states,
            [Some(SessionState::Alerted), None, Some(SessionState::Idle)]
        );
        // Operations inside the dead one complete with it; the others go on.
        world.say(line, &answer(&first, "486 Busy", "b", ""));
        world.run_for(secs(1));
        leave(world, alice, line);
    });
}

// rules: R14, X3
#[test]
fn what_was_under_way_in_a_dead_session_completes_once() {
    world::run(142, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_for(world, peer, alice, 60);
        let (session, made) = world.invite(alice, "sip:carol@example.com", Some(sdp()));
        let invite = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&invite, "200 OK", "c", "Contact: <sip:c@192.0.2.9>"),
        );
        world.result(alice.host, made).unwrap();
        let inside = world.with(alice.host, |stack, now| {
            stack
                .session(now, session)
                .unwrap()
                .send(Method::Info, None, vec![])
                .unwrap()
        });
        grant(world, line, 600, "Presence-State: register-action=\"added\"");
        let result = world.result(alice.host, inside);
        assert!(
            matches!(result, Err(OperationError::OperationFailure(_))),
            "{result:?}"
        );
        leave(world, alice, line);
    });
}

// rules: R14
#[test]
fn a_presence_state_that_says_nothing_is_none() {
    for value in [
        "register-action=\"refreshed\"",
        "register-action=\"removed\"",
        "register-action",
        "register-action=\"added\";register-action=\"fixed\"",
        "primary-cluster-type=\"central\"",
        "\"added\"",
        ";;;",
    ] {
        world::run(143, move |world| {
            let (peer, alice) = scripted_server(world);
            let (line, _) = register_for(world, peer, alice, 60);
            grant(world, line, 600, &format!("Presence-State: {value}"));
            world.run_for(secs(1));
            assert_eq!(
                (forgotten(world, alice), state(world, alice)),
                (0, Registered),
                "{value}"
            );
            leave(world, alice, line);
        });
    }
}

// rules: R14
#[test]
fn a_binding_that_ran_out_was_lost_too() {
    world::run(144, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, _) = register_for(world, peer, alice, 60);
        let refresh = next_request(world, line, &Method::Register);
        world.run_for(secs(60));
        assert_eq!(state(world, alice), Unregistered);
        // The one under way timed out, and so did its connection (R19).
        assert!(!world.is_line_open(line), "{refresh:?}");
        let line = next_line(world, peer, 0);
        grant(world, line, 600, "Presence-State: register-action=\"added\"");
        world.run_for(secs(1));
        assert_eq!((forgotten(world, alice), state(world, alice)), (1, Registered));
        leave(world, alice, line);
    });
}

// ---------------------------------------------------------------- methods

fn set_methods(world: &mut World, endpoint: Endpoint, methods: &[Method]) -> Result<(), Misuse> {
    let methods = methods.to_vec();
    world.with(endpoint.host, |stack, now| {
        stack.endpoint(now, endpoint.id).unwrap().set_methods(methods)
    })
}

/// The methods of a Contact, and those of Allow.
fn declared(register: &Message) -> (String, String) {
    let contact = field(register, HeaderName::Contact);
    let methods = contact
        .split("methods=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    (methods.to_owned(), field(register, HeaderName::Allow))
}

// rules: R15, M6
#[test]
fn another_set_of_methods_goes_out_with_the_next_refresh() {
    world::run(150, |world| {
        let (peer, alice) = scripted_server(world);
        let (line, register) = register_for(world, peer, alice, 600);
        let all = "INVITE, MESSAGE, INFO, OPTIONS, NOTIFY, ACK, BYE, CANCEL, UPDATE";
        assert_eq!(declared(&register), (all.to_owned(), all.to_owned()));
        set_methods(world, alice, &[Method::Message, Method::Notify]).unwrap();
        world.run_for(secs(1));
        assert_eq!(world.heard(line), [], "nothing goes out because of it");
        // Here it counts at once.
        for (number, (method, status)) in (1..).zip([("INVITE", 405), ("INFO", 405), ("MESSAGE", 200)]) {
            let more = "Contact: <sip:d@192.0.2.9>";
            let text = request(
                method,
                "sip:alice@example.com",
                "<sip:alice@example.com>",
                number,
                more,
            );
            world.say(line, &text);
            world.run_for(secs(1));
            let heard = world.heard(line);
            assert_eq!(heard[0].status().unwrap().code(), status, "{method}");
            if status == 405 {
                assert_eq!(field(&heard[0], HeaderName::Allow), "MESSAGE, NOTIFY");
            }
        }
        let refresh = grant(world, line, 600, "");
        let few = "MESSAGE, NOTIFY";
        assert_eq!(declared(&refresh), (few.to_owned(), few.to_owned()));
        // And back.
        set_methods(world, alice, &[Method::Invite, Method::Notify]).unwrap();
        let refresh = grant(world, line, 600, "");
        let back = "INVITE, NOTIFY, ACK, BYE, CANCEL, UPDATE";
        assert_eq!(declared(&refresh), (back.to_owned(), back.to_owned()));
        leave(world, alice, line);
    });
}

// rules: R15, S3
#[test]
fn whoever_takes_no_calls_can_make_them_and_its_peer_can_end_them() {
    world::run(151, |world| {
        let (peer, alice) =
            scripted_server_with(world, |config| config.profile.methods = vec![Method::Message]);
        let (_, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        let line = next_line(world, peer, 0);
        let invite = next_request(world, line, &Method::Invite);
        world.say(
            line,
            &answer(&invite, "200 OK", "bob", "Contact: <sip:bob@192.0.2.9>"),
        );
        world.result(alice.host, made).unwrap();
        next_request(world, line, &Method::Ack);
        let from = field(&invite, HeaderName::From);
        let inside = |method: &str, number: u32| {
            request(method, "sip:alice@example.com", &from, number, "")
                .replace(&format!("call-{number}"), &field(&invite, HeaderName::CallId))
                .replace(
                    &format!("<sip:p@peer.invalid>;tag=p{number}"),
                    "<sip:bob@example.com>;tag=bob",
                )
                .replace("CSeq: 1", &format!("CSeq: {number}"))
        };
        world.say(line, &inside("INFO", 1));
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [405], "which it does not take anywhere");
        world.say(line, &inside("BYE", 2));
        world.run_for(secs(1));
        assert_eq!(codes(world, line), [200]);
        assert_eq!(session_ends(world, alice), [SessionReason::TerminatedRemotely]);
    });
}

// rules: R15, X2
#[test]
fn a_set_of_methods_that_would_break_a_message_is_misuse() {
    world::run(152, |world| {
        let (peer, alice) = scripted_server(world);
        for wrong in ["", "A B", "INVITE\r\nX: y"] {
            let refused = set_methods(world, alice, &[Method::Message, Method::Other(wrong.into())]);
            assert!(
                matches!(refused, Err(Misuse::Argument { .. })),
                "{wrong:?}: {refused:?}"
            );
        }
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = grant(world, line, 600, "");
        world.result(alice.host, operation).unwrap();
        assert!(
            declared(&register).0.starts_with("INVITE, MESSAGE"),
            "it changes nothing"
        );
        let ended = world.terminate(alice);
        let refused = set_methods(world, alice, &[]);
        assert!(matches!(refused, Err(Misuse::State { .. })), "{refused:?}");
        grant(world, line, 0, "");
        world.result(alice.host, ended).unwrap();
    });
}

// ---------------------------------------------------------------- what a 2xx says

// rules: R12, R17
#[test]
fn the_path_and_the_route_can_be_read_while_it_is_registered() {
    world::run(160, |world| {
        let read = |world: &mut World, alice: Endpoint| {
            world.with(alice.host, |stack, now| {
                let view = stack.endpoint(now, alice.id).unwrap();
                let text = |values: Vec<&str>| values.join(", ");
                (text(view.path().collect()), text(view.service_route().collect()))
            })
        };
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let more = "Path: <sip:edge.invalid;lr;ob>\nPath: <sip:core.invalid;lr>\nService-Route: <sip:one.invalid;lr>";
        grant(world, line, 600, more);
        world.result(alice.host, operation).unwrap();
        let (path, route) = (
            "<sip:edge.invalid;lr;ob>, <sip:core.invalid;lr>",
            "<sip:one.invalid;lr>",
        );
        assert_eq!(read(world, alice), (path.to_owned(), route.to_owned()));
        let left = world.unregister(alice);
        grant(world, line, 0, more);
        world.result(alice.host, left).unwrap();
        assert_eq!(read(world, alice), (String::new(), String::new()));
    });
}

/// What a 2xx says, given our own Contact, and what comes of it: for how many seconds we are registered (`None`: not at
/// all), and how many parts of it were malformed.
type Says = fn(&str) -> String;

fn plain(own: &str) -> &str {
    own.split('>').next().unwrap().trim_start_matches('<')
}

const HOSTILE: &[(&str, Says, Option<u64>, u64)] = &[
    // RFC 3261 section 10.2.1.1: what is no number, or none of 32 bits, counts as an hour.
    (
        "an expiry that is negative",
        |own| format!("Contact: {own};expires=-5"),
        Some(3600),
        0,
    ),
    (
        "an expiry that is no number",
        |own| format!("Contact: {own};expires=soon"),
        Some(3600),
        0,
    ),
    (
        "an expiry of more than 32 bits",
        |own| format!("Contact: {own};expires=4294967296"),
        Some(3600),
        0,
    ),
    (
        "the longest expiry",
        |own| format!("Contact: {own};expires=4294967295"),
        Some(4_294_967_295),
        0,
    ),
    ("no expiry at all", |own| format!("Contact: {own}"), Some(3600), 0),
    (
        "an Expires that is malformed",
        |own| format!("Contact: {own}\nExpires: -1"),
        Some(3600),
        0,
    ),
    (
        "an expiry of 0",
        |own| format!("Contact: {own};expires=0"),
        None,
        0,
    ),
    (
        "an Expires of 0",
        |own| format!("Contact: {own}\nExpires: 0"),
        None,
        0,
    ),
    (
        "both, at odds",
        |own| format!("Contact: {own};expires=700\nExpires: 10"),
        Some(700),
        0,
    ),
    (
        "an expiry of 0 beside an Expires",
        |own| format!("Contact: {own};expires=0\nExpires: 700"),
        None,
        0,
    ),
    ("no Contact", |_| String::new(), None, 0),
    ("an empty Contact", |_| "Contact:".to_owned(), None, 0),
    (
        "a Contact of nothing and everything",
        |_| "Contact: *".to_owned(),
        None,
        0,
    ),
    (
        "a Contact that is malformed",
        |_| "Contact: <sip:alice@".to_owned(),
        None,
        0,
    ),
    (
        "another's instance at our URI",
        |own| {
            format!(
                "Contact: <{}>;+sip.instance=\"<urn:uuid:0>\";expires=700",
                plain(own)
            )
        },
        None,
        0,
    ),
    (
        "our instance at another reg-id",
        |own| format!("Contact: {};expires=700", own.replace("reg-id=1", "reg-id=2")),
        None,
        0,
    ),
    (
        "our instance at an earlier address, and here",
        |own| {
            let earlier = own.replacen(plain(own), "sip:alice@10.9.9.9:1", 1);
            format!("Contact: {earlier};expires=5, {own};expires=700")
        },
        Some(700),
        0,
    ),
    (
        "here, and our instance at an earlier address",
        |own| {
            let earlier = own.replacen(plain(own), "sip:alice@10.9.9.9:1", 1);
            format!("Contact: {own};expires=700, {earlier};expires=5")
        },
        Some(700),
        0,
    ),
    (
        "ours after thousands of others",
        |own| {
            let others: Vec<String> = (0..2000).map(|n| format!("<sip:{n}>")).collect();
            format!("Contact: {}\nContact: {own};expires=700", others.join(","))
        },
        Some(700),
        0,
    ),
    (
        "a route of which a part cannot be read",
        |own| {
            format!(
                "Contact: {own};expires=700\nService-Route: <sip:one.invalid;lr>, <sip:>, <sip:two.invalid;lr>"
            )
        },
        Some(700),
        1,
    ),
    (
        "a path of which a part cannot be read",
        |own| format!("Contact: {own};expires=700\nPath: nonsense"),
        Some(700),
        1,
    ),
    (
        "a GRUU that is no URI",
        |own| format!("Contact: {own};expires=700;gruu=\"nonsense\";pub-gruu=\"<>\""),
        Some(700),
        0,
    ),
    (
        "a GRUU of another scheme",
        |own| format!("Contact: {own};expires=700;gruu=\"tel:+15550100\""),
        Some(700),
        0,
    ),
    (
        "keep-alives that cannot be",
        |own| format!("Contact: {own};expires=700\nms-keep-alive: UAS;hop-hop=yes;timeout=0\nFlow-Timer: -1"),
        Some(700),
        0,
    ),
];

// rules: R12, R21, E4, C31
#[test]
fn whatever_a_2xx_says_is_taken_for_what_it_is() {
    for (what, says, expected, counted) in HOSTILE {
        world::run(161, move |world| {
            let (peer, alice) = scripted_server_with(world, |config| config.auto_refresh = false);
            let operation = world.register(alice);
            let line = next_line(world, peer, 0);
            let register = next_request(world, line, &Method::Register);
            let own = field(&register, HeaderName::Contact);
            world.say(line, &answer(&register, "200 OK", "s", &says(&own)));
            let result = world.result(alice.host, operation);
            assert_eq!(result.is_ok(), expected.is_some(), "{what}: {result:?}");
            assert_eq!(malformed(world, alice), *counted, "{what}");
            assert_eq!(gruu(world, alice), None, "{what}");
            let route = world.with(alice.host, |stack, now| {
                let view = stack.endpoint(now, alice.id).unwrap();
                view.service_route().count() + view.path().count()
            });
            assert_eq!(route, 0, "{what}");
            let Some(seconds) = expected else {
                assert_eq!(
                    changes(world, alice).last(),
                    Some(&(Registering, Unregistered, Reason::Refused)),
                    "{what}"
                );
                world.run_for(secs(24 * 3600));
                assert_eq!(world.heard(line), [], "{what}");
                return;
            };
            // Without refresh the end of the binding shows what was taken.
            if *seconds <= 3600 {
                world.run_for(secs(*seconds) - TICK);
                assert_eq!(state(world, alice), Registered, "{what}");
                world.run_for(TICK);
                assert_eq!(state(world, alice), Unregistered, "{what}");
            } else {
                world.run_for(secs(7 * 24 * 3600));
                assert_eq!(state(world, alice), Registered, "{what}");
                leave(world, alice, line);
            }
        });
    }
}

// rules: R21, R10, R14
#[test]
fn a_refresh_that_is_answered_without_us_takes_nothing_of_the_answer() {
    for more in [
        "Contact: OWN;expires=0;gruu=\"sip:a@x.invalid;gruu\"",
        "Contact: <sip:b@192.0.2.1>;expires=900",
    ] {
        world::run(162, move |world| {
            let (peer, alice) = scripted_server(world);
            let (line, _) = register_for(world, peer, alice, 60);
            let refresh = next_request(world, line, &Method::Register);
            let own = field(&refresh, HeaderName::Contact);
            let more = format!(
                "{}\nService-Route: <sip:x.invalid;lr>\nPresence-State: register-action=\"added\"\n\
                 ms-keep-alive: UAS; hop-hop=yes; timeout=9",
                more.replace("OWN", &own)
            );
            world.say(line, &answer(&refresh, "200 OK", "s", &more));
            world.run_for(Duration::from_millis(500));
            assert_eq!(
                changes(world, alice).last(),
                Some(&(Registered, Unregistered, Reason::RefreshFailed))
            );
            assert_eq!((outages(world, alice), forgotten(world, alice)), (1, 0));
            assert_eq!(gruu(world, alice), None);
            // And it is tried again, and the same answer is no news.
            let again = next_request(world, line, &Method::Register);
            world.say(line, &answer(&again, "200 OK", "s", &more));
            world.run_for(Duration::from_millis(500));
            assert_eq!((outages(world, alice), gruu(world, alice)), (1, None));
            grant(world, line, 600, "");
            world.run_for(secs(1));
            assert_eq!(state(world, alice), Registered);
            // No keep-alive was agreed on with what did not have us.
            world.heard_bytes(line);
            world.run_for(secs(60));
            assert_eq!(world.heard_bytes(line), b"");
            leave(world, alice, line);
        });
    }
}

// rules: R10, C29, C31
#[test]
fn an_answer_that_is_too_long_ends_the_registration_in_bounded_time() {
    world::run(164, |world| {
        let (peer, alice) = scripted_server(world);
        let operation = world.register(alice);
        // The REGISTER goes out once more over a fresh connection, which it may (C35).
        let mut line = None;
        for _ in 0..2 {
            line = Some(line_after(world, peer, line));
            let register = next_request(world, line.unwrap(), &Method::Register);
            let others: Vec<String> = (0..20_000).map(|n| format!("<sip:{n}>")).collect();
            let more = format!("{}\nContact: {}", bound(&register, 600), others.join(","));
            world.say(line.unwrap(), &answer(&register, "200 OK", "s", &more));
        }
        let result = world.result(alice.host, operation);
        assert!(
            matches!(result, Err(OperationError::ConnectionFailure(_))),
            "{result:?}"
        );
        assert_eq!(malformed(world, alice), 2);
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Registering, Unregistered, Reason::ConnectionFailure))
        );
        world.run_for(secs(24 * 3600));
        assert_eq!(world.lines(peer), []);
    });
}

// rules: E4, M5
#[test]
fn the_public_gruu_counts_before_the_drafts_and_that_before_a_temporary_one() {
    let all = [
        ("pub-gruu", "sip:alice@example.com;gr=1"),
        ("gruu", "sip:alice@example.com;opaque=x;gruu"),
        ("temp-gruu", "sip:t@example.com;gr"),
    ];
    for first in 0..all.len() {
        world::run(165, move |world| {
            let (peer, alice) = scripted_server(world);
            let operation = world.register(alice);
            let line = next_line(world, peer, 0);
            let register = next_request(world, line, &Method::Register);
            let mut more = bound(&register, 600);
            for (name, gruu) in all.iter().skip(first).rev() {
                more.push_str(&format!(";{name}=\"{gruu}\""));
            }
            world.say(line, &answer(&register, "200 OK", "s", &more));
            world.result(alice.host, operation).unwrap();
            assert_eq!(gruu(world, alice).as_deref(), Some(all[first].1));
            // It leads requests here, and no other of the three.
            let to = "<sip:t@example.com>";
            for (number, (_, uri)) in (1..).zip(all) {
                world.say(line, &request("OPTIONS", uri, to, number, ""));
            }
            world.run_for(secs(1));
            let found = codes(world, line);
            assert_eq!(
                found,
                [200, 200, if first == 2 { 200 } else { 404 }],
                "{}",
                all[first].1
            );
            leave(world, alice, line);
            assert_eq!(gruu(world, alice), None);
        });
    }
}

// rules: E4
#[test]
fn a_gruu_that_another_endpoint_has_is_not_taken() {
    world::run(163, |world| {
        let (peer, alice) = scripted_server(world);
        let mut config = sansip::PeerToPeerConfig::new("sip:bob@two.invalid");
        config.gruu = Some("sip:bob@two.invalid;gr=1".to_owned());
        let bob = world.peer_to_peer_endpoint(alice.host, config);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let register = next_request(world, line, &Method::Register);
        let own = field(&register, HeaderName::Contact);
        let more = format!("Contact: {own};expires=600;pub-gruu=\"sip:bob@two.invalid;gr=1\"");
        world.say(line, &answer(&register, "200 OK", "s", &more));
        world.result(alice.host, operation).unwrap();
        assert_eq!((gruu(world, alice), state(world, alice)), (None, Registered));
        assert_eq!(gruu(world, bob).as_deref(), Some("sip:bob@two.invalid;gr=1"));
        leave(world, alice, line);
    });
}

// ---------------------------------------------------------------- TLS

/// A scripted server over TLS, by this name.
fn tls_peer(world: &mut World, name: &str, port: u16) -> PeerId {
    let peer = world.peer();
    let certificate = sansip::PeerCertificate {
        dns_names: vec![name.to_owned()],
        ..sansip::PeerCertificate::default()
    };
    world.set_certificate(peer, certificate);
    let address = world.peer_listens(peer, port, Transport::Tls);
    world.names.set_addresses(name, &[address.ip()]);
    peer
}

fn tls_server(world: &mut World) -> (PeerId, Endpoint) {
    let peer = tls_peer(world, "server.invalid", 5061);
    let host = world.stack();
    let mut config = sansip::SipEndpointConfig::new("sip:alice@example.com");
    config.server = Some(sansip::Server {
        host: "server.invalid".to_owned(),
        port: Some(5061),
    });
    (peer, world.sip_endpoint(host, config))
}

// rules: R11, R8
#[test]
fn a_tls_server_that_never_answers_is_a_timeout_after_32_seconds() {
    world::run(170, |world| {
        let (peer, alice) = tls_server(world);
        let operation = world.register(alice);
        let line = next_line(world, peer, 0);
        let sent = first_sent(world, alice);
        next_request(world, line, &Method::Register);
        // 64 times T1 after the REGISTER was sent (timer F).
        let end = sent + secs(32);
        world.run_for(end.since(world.now()) - TICK);
        assert_eq!(world.ended(alice.host, operation), None);
        world.run_for(TICK);
        assert_eq!(
            world.ended(alice.host, operation),
            Some(&Err(OperationError::Timeout))
        );
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Registering, Unregistered, Reason::Timeout))
        );
    });
}

/// When the connection of an endpoint was ready, which is when its REGISTER was sent.
fn first_sent(world: &mut World, alice: Endpoint) -> Time {
    let added = |world: &World| {
        let mut events = world.events(alice.host).iter();
        events.find_map(|(at, event)| matches!(event, Event::ConnectionAdded { .. }).then_some(*at))
    };
    world.run_until(|world| added(world).is_some());
    added(world).unwrap()
}

// rules: R11, C27, R8
#[test]
fn a_failure_of_tls_that_is_found_here_is_told_as_what_it_is() {
    for kind in [
        TlsFailureKind::UntrustedRemoteCertificate,
        TlsFailureKind::CertificateExpired,
        TlsFailureKind::RemoteCertificateRevoked,
        TlsFailureKind::NegotiationFailure,
        TlsFailureKind::IncorrectNameInRemoteCertificate,
    ] {
        world::run(171, move |world| {
            let (peer, alice) = tls_server(world);
            if kind == TlsFailureKind::IncorrectNameInRemoteCertificate {
                world.set_wrong_certificate(peer, true);
            } else {
                world.set_certificate_fault(peer, Some(kind));
            }
            let before = world.now();
            let operation = world.register(alice);
            let result = world.result(alice.host, operation);
            let Err(OperationError::Tls(failure)) = &result else {
                panic!("{kind:?}: {result:?}")
            };
            assert_eq!(failure.kind, kind);
            assert!(
                world.now().since(before) < secs(1),
                "and at once, not when the time is over"
            );
            assert_eq!(
                changes(world, alice).last(),
                Some(&(Registering, Unregistered, Reason::ConnectionFailure))
            );
        });
    }
}

// rules: R11
#[test]
fn a_handshake_that_never_ends_is_given_up_in_bounded_time() {
    world::run(172, |world| {
        let (peer, alice) = tls_server(world);
        let address = (world.ip(peer), 5061).into();
        world.set_reachability(address, Reachability::BlackHole);
        let operation = world.register(alice);
        let connected = |world: &World| {
            let mut lines = world.trace().lines();
            lines.find_map(|line| line.what().starts_with("Connect(").then_some(line.at))
        };
        world.run_until(|world| connected(world).is_some());
        let end = connected(world).unwrap() + secs(10);
        world.run_for(end.since(world.now()) - TICK);
        assert_eq!(world.ended(alice.host, operation), None);
        world.run_for(TICK);
        let result = world.ended(alice.host, operation);
        assert!(
            matches!(result, Some(Err(OperationError::ConnectionFailure(_)))),
            "{result:?}"
        );
        assert_eq!(
            changes(world, alice).last(),
            Some(&(Registering, Unregistered, Reason::ConnectionFailure))
        );
    });
}

// ---------------------------------------------------------------- endpoints of one stack

// rules: E14
#[test]
fn endpoints_of_one_stack_talk_to_each_other_through_the_server_and_directly() {
    world::run(180, |world| {
        let server = served(world);
        let host = world.stack();
        accept_calls(world, host);
        let users = ["alice", "bob"].map(|user| {
            let config = world.account(server, user);
            let endpoint = world.sip_endpoint(host, config);
            let operation = world.register(endpoint);
            world.result(host, operation).unwrap();
            endpoint
        });
        let peers = ["carol", "dave"].map(|user| {
            let config = sansip::PeerToPeerConfig::new(format!("sip:{user}@local.invalid"));
            world.peer_to_peer_endpoint(host, config)
        });
        let address = world.listen(host, 5060);
        world.names.set_addresses("local.invalid", &[address.ip()]);
        for ([from, to], target) in [
            (users, "sip:bob@example.com".to_owned()),
            (peers, format!("sip:dave@local.invalid:{}", address.port())),
        ] {
            let sent = world.message(from, &target, "hi");
            world.result(host, sent).unwrap();
            let got = told(world, to, |id, event| match event {
                Event::MessageReceived { endpoint, .. } => Some(*endpoint == id),
                _ => None,
            });
            assert_eq!(got.last(), Some(&true), "{target}");
            let (session, made) = world.invite(from, &target, Some(sdp()));
            world.result(host, made).unwrap();
            let ended = world.with(host, |stack, now| {
                stack.session(now, session).unwrap().terminate()
            });
            world.result(host, ended).unwrap();
            world.run_for(secs(1));
        }
        // To itself, too.
        let sent = world.message(users[0], "sip:alice@example.com", "note");
        world.result(host, sent).unwrap();
        let ends = session_ends(world, users[0]);
        assert_eq!(ends.len(), 4, "both sides of both calls: {ends:?}");
        let left = at(world, server, "alice");
        assert_eq!(state(world, left), Unregistered);
    });
}
