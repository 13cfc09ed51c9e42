//! Commands that talk to each other over the loopback interface, and what they say when they cannot.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use std::time::{Duration, Instant};

use crate::common::{ALICE, BOB, Outcome, Running, file, identity, over_tcp, sansip, sansip_with};
use serde_json::Value;

fn has(events: &[Value], name: &str, field: &str, value: &str) -> bool {
    events
        .iter()
        .any(|event| event["event"] == name && event[field] == value)
}

#[test]
fn the_demonstration_runs_to_its_end() {
    let outcome = sansip(&["demo"]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    let arrows = |word: &str| {
        outcome
            .stdout
            .lines()
            .filter(|line| line.contains(&format!("- {word} -")))
            .count()
    };
    // Over TLS and over TCP two register and unregister; each registration is challenged once.
    assert_eq!(arrows("REGISTER"), 12);
    assert_eq!(arrows("401 Unauthorized"), 4);
    // Through the server, so each is seen twice.
    assert_eq!((arrows("ACK"), arrows("BYE"), arrows("200 OK (BYE)")), (2, 2, 2));
    // Two page messages over each transport and one in the call. The first of each side is challenged.
    assert_eq!(arrows("200 OK (MESSAGE)"), 10);
    assert!(outcome.stdout.trim_end().ends_with("Every step happened."));
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80));

    let outcome = sansip(&["demo", "--json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(has(&outcome.json(), "message", "message", "INVITE"));
    assert!(outcome.json().iter().all(|event| event["time"].is_number()));
}

#[test]
fn two_endpoints_message_and_call_through_a_server() {
    let (alices, bobs) = (
        file("server", "alice", "secret-a\n"),
        file("server", "bob", "secret-b\r\n"),
    );
    let mut server = Running::start(&[
        "serve",
        "--listen",
        "tcp:127.0.0.1:0",
        "--user",
        "alice:secret-a",
        "--user",
        "bob:secret-b",
    ]);
    let address = server.listening();
    let answering = [
        "--password-file",
        &bobs,
        "--answer",
        "200",
        "--ring",
        "20",
        "--echo",
    ];
    let mut bob = Running::start(&over_tcp("register", &BOB, &address, &answering));
    bob.wait("registration", |event| event["state"] == "registered");

    let message = [
        "--password-file",
        &alices,
        "sip:bob@example.com",
        "Hello!",
        "--wait",
        "20000",
        "--json",
    ];
    let outcome = sansip(&over_tcp("message", &ALICE, &address, &message));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        has(&outcome.json(), "message", "text", "Hello!"),
        "no echo: {}",
        outcome.stdout
    );
    bob.wait("message", |event| {
        event["text"] == "Hello!" && event["from"] == "sip:alice@example.com"
    });

    let options = ["--password-file", "-", "sip:bob@example.com", "--json"];
    let outcome = sansip_with(&over_tcp("options", &ALICE, &address, &options), b"secret-a\n");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(has(&outcome.json(), "ability", "header", "Allow"));

    let call = [
        "--password-file",
        &alices,
        "sip:bob@example.com",
        "--duration",
        "50",
        "--hold",
        "20",
        "--message",
        "inside",
        "--json",
    ];
    for offer in [None, Some("--no-offer")] {
        let mut args = over_tcp("call", &ALICE, &address, &call);
        args.extend(offer);
        let outcome = sansip(&args);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(has(&outcome.json(), "session", "state", "established"));
        assert!(has(&outcome.json(), "session", "reason", "TerminatedLocally"));
        assert!(has(&outcome.json(), "provisional", "reason", "Ringing"));
        let told = |event: &Value| event["text"] == "inside" && event["session"].is_number();
        // On hold, and back.
        bob.wait("renegotiation", |event| event["method"] == "INVITE");
        bob.wait("message", told);
        bob.wait("renegotiation", |event| event["method"] == "INVITE");
        bob.wait("session", |event| event["reason"] == "TerminatedRemotely");
    }

    let call = ["--password-file", &alices, "sip:nobody@example.com"];
    let outcome = sansip(&over_tcp("call", &ALICE, &address, &call));
    assert!(outcome.failure().starts_with("404 "), "{}", outcome.stderr);

    assert_eq!(bob.interrupt(), Some(0));
    assert!(bob.said("registration", "state", "unregistered"));
    server.wait("unregistered", |event| {
        event["text"].as_str().unwrap().starts_with("sip:bob@example.com")
    });
    assert_eq!(server.interrupt(), Some(0));
}

#[test]
fn ctrl_c_ends_a_call_and_the_registration() {
    let mut server = Running::start(&["serve", "--listen", "tcp:127.0.0.1:0"]);
    let address = server.listening();
    let mut bob = Running::start(&over_tcp("register", &BOB, &address, &["--answer", "200"]));
    bob.wait("registration", |event| event["state"] == "registered");
    let call = ["sip:bob@example.com", "--duration", "600000"];
    let mut alice = Running::start(&over_tcp("call", &ALICE, &address, &call));
    alice.wait("session", |event| event["state"] == "established");
    assert_eq!(alice.interrupt(), Some(0));
    assert!(alice.said("registration", "state", "unregistered"));
    bob.wait("session", |event| event["reason"] == "TerminatedRemotely");
}

// rules: B1, B6
#[test]
fn one_publishes_and_another_watches_through_a_server() {
    let (alices, bobs) = (
        file("presence", "alice", "secret-a\n"),
        file("presence", "bob", "secret-b\n"),
    );
    let (alices, bobs) = (["--password-file", &alices], ["--password-file", &bobs]);
    let users = ["--user", "alice:secret-a", "--user", "bob:secret-b"];
    let serve = ["serve", "--listen", "tcp:127.0.0.1:0"];
    let mut server = Running::start(&[serve.as_slice(), &users].concat());
    let address = server.listening();
    let watch = [alices.as_slice(), &["sip:bob@example.com"]].concat();
    let mut alice = Running::start(&over_tcp("watch", &ALICE, &address, &watch));
    // Nothing is published yet, which a NOTIFY says as well.
    let first = alice.wait("notified", |_| true);
    assert!(first["text"].is_null(), "{first}");
    assert!(
        first["subscription_state"]
            .as_str()
            .unwrap()
            .starts_with("active")
    );

    let state = "<presence entity=\"pres:bob@example.com\"/>";
    let path = format!("@{}", file("presence", "state.xml", state));
    let publish = [bobs.as_slice(), &["--body", &path]].concat();
    let mut bob = Running::start(&over_tcp("publish", &BOB, &address, &publish));
    bob.wait("publication", |event| event["state"] == "established");
    let told = alice.wait("notified", |event| event["text"] == state);
    assert_eq!(told["content_type"], "application/pidf+xml");

    let once = [bobs.as_slice(), &["sip:bob@example.com", "--once", "--json"]].concat();
    let outcome = sansip(&over_tcp("watch", &BOB, &address, &once));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        has(&outcome.json(), "notified", "text", state),
        "{}",
        outcome.stdout
    );

    // Ctrl-C takes the state away, and ends the subscription.
    assert_eq!(bob.interrupt(), Some(0));
    assert!(bob.said("publication", "state", "ended"));
    alice.wait("notified", |event| event["text"].is_null());
    assert_eq!(alice.interrupt(), Some(0));
    assert!(alice.said("subscription", "reason", "TerminatedLocally"));
    server.wait("unsubscribed", |event| {
        event["text"].as_str().unwrap().contains("sip:alice@example.com")
    });
}

#[test]
fn a_state_that_cannot_be_watched_or_published_is_one_line() {
    let mut server = Running::start(&["serve", "--listen", "tcp:127.0.0.1:0"]);
    let address = server.listening();
    let outcome = sansip(&over_tcp("watch", &ALICE, &address, &["sip:nobody@example.com"]));
    assert!(outcome.failure().starts_with("404 "), "{}", outcome.stderr);
    let dialogs = ["--event", "dialog", "--body", "x"];
    let outcome = sansip(&over_tcp("publish", &ALICE, &address, &dialogs));
    assert!(outcome.failure().starts_with("489 "), "{}", outcome.stderr);
    let nothing = ["--body", "@/nowhere/at/all"];
    let outcome = sansip(&over_tcp("publish", &ALICE, &address, &nothing));
    assert!(
        outcome.failure().starts_with("cannot read "),
        "{}",
        outcome.stderr
    );
}

// rules: E13
#[test]
fn with_drain_ctrl_c_lets_a_call_come_to_its_end_and_takes_no_other() {
    let mut server = Running::start(&["serve", "--listen", "tcp:127.0.0.1:0"]);
    let address = server.listening();
    let answering = ["--answer", "200", "--drain", "600"];
    let mut bob = Running::start(&over_tcp("register", &BOB, &address, &answering));
    bob.wait("registration", |event| event["state"] == "registered");
    let call = ["sip:bob@example.com", "--duration", "600000"];
    let mut alice = Running::start(&over_tcp("call", &ALICE, &address, &call));
    alice.wait("session", |event| event["state"] == "established");
    bob.signal();
    // It takes a moment until the signal has come.
    let mut refused = None;
    for _ in 0..100 {
        let another = [
            "sip:bob@example.com",
            "--duration",
            "1",
            "--no-register",
            "--json",
        ];
        let outcome = sansip(&over_tcp("call", &ALICE, &address, &another));
        if outcome.code != Some(0) {
            refused = Some(outcome);
            break;
        }
    }
    let refused = refused.expect("no call is taken any more");
    assert!(refused.failure().starts_with("480 "), "{}", refused.stderr);
    assert!(
        !bob.said("registration", "state", "unregistered"),
        "the first call goes on"
    );
    assert_eq!(alice.interrupt(), Some(0));
    assert_eq!(bob.code(), Some(0));
    assert!(bob.said("registration", "state", "unregistered"));
}

#[test]
fn peers_talk_without_a_server() {
    let mut bob = Running::start(&["listen", "--listen", "tcp:127.0.0.1:0", "--hangup", "50"]);
    let target = format!("sip:anybody@{}", bob.listening());
    let direct = |command: &'static str, rest: &[&'static str]| -> Outcome {
        let mut args = vec![command, "--direct", "--json"];
        args.extend(ALICE);
        args.push(&target);
        args.extend(rest);
        sansip(&args)
    };
    let outcome = direct("message", &["Hello!"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    bob.wait("message", |event| event["text"] == "Hello!");
    assert_eq!(direct("options", &[]).code, Some(0));
    // The peer hangs up first.
    let outcome = direct("call", &["--duration", "600000"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        has(&outcome.json(), "session", "reason", "TerminatedRemotely"),
        "{}",
        outcome.stdout
    );
    assert_eq!(bob.interrupt(), Some(0));

    let mut busy = Running::start(&["listen", "--listen", "tcp:127.0.0.1:0", "--answer", "486"]);
    let target = format!("sip:anybody@{}", busy.listening());
    let args: Vec<&str> = ["call", "--direct"]
        .into_iter()
        .chain(ALICE)
        .chain([target.as_str()])
        .collect();
    assert!(sansip(&args).failure().starts_with("486 "));
}

// rules: S14
#[test]
fn a_call_is_transferred_to_a_third() {
    let mut bob = Running::start(&["listen", "--listen", "tcp:127.0.0.1:0"]);
    let mut carol = Running::start(&["listen", "--listen", "tcp:127.0.0.1:0", "--hangup", "50"]);
    let mut busy = Running::start(&["listen", "--listen", "tcp:127.0.0.1:0", "--answer", "486"]);
    let target = format!("sip:bob@{}", bob.listening());
    let transfer = |to: &str| {
        let mut args = vec![
            "call",
            "--direct",
            "--json",
            "--duration",
            "20",
            "--transfer-to",
            to,
        ];
        args.extend(ALICE);
        args.push(&target);
        sansip(&args)
    };
    let outcome = transfer(&format!("sip:carol@{}", carol.listening()));
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(has(&outcome.json(), "referral", "state", "Succeeded"));
    assert!(has(&outcome.json(), "session", "reason", "TerminatedLocally"));
    bob.wait("refer_received", |event| {
        event["target"].as_str().unwrap().contains("carol")
    });
    carol.wait("session", |event| event["state"] == "established");
    carol.wait("session", |event| event["reason"] == "TerminatedLocally");
    let outcome = transfer(&format!("sip:carol@{}", busy.listening()));
    assert!(
        outcome.stderr.contains("transfer failed (486)"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(1));
    for listener in [bob, carol, busy] {
        let mut listener = listener;
        assert_eq!(listener.interrupt(), Some(0));
    }
}

// rules: C27
#[test]
fn tls_works_with_the_right_certificate_and_says_what_is_wrong_with_others() {
    let identity = |name| identity("tls", name);
    let (good, good_key) = identity("127.0.0.1");
    let (other, other_key) = identity("other.example.com");
    let serve = |certificate: &str, key: &str| {
        let args = [
            "serve",
            "--listen",
            "tls:127.0.0.1:0",
            "--cert",
            certificate,
            "--key",
            key,
        ];
        let mut server = Running::start(&args);
        let address = server.listening();
        (server, address)
    };
    let register = |address: &str, extra: &[&str]| {
        let mut args = vec!["register", "--server", address, "--for", "0"];
        args.extend(ALICE);
        args.extend(extra);
        sansip(&args)
    };
    let (_server, address) = serve(&good, &good_key);
    let outcome = register(&address, &["--ca", &good]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let outcome = register(&address, &["--ca", &other]);
    assert!(
        outcome.failure().contains("not trusted") && outcome.failure().contains("--ca"),
        "{}",
        outcome.stderr
    );
    let outcome = register(&address, &["--transport", "tcp"]);
    assert!(outcome.failure().contains("--transport"), "{}", outcome.stderr);
    let (_server, address) = serve(&other, &other_key);
    let outcome = register(&address, &["--ca", &other]);
    assert!(
        outcome.failure().contains("names another host"),
        "{}",
        outcome.stderr
    );
    let outcome = register(&address, &["--ca", "no/such/file"]);
    assert!(
        outcome.failure().starts_with("no/such/file: "),
        "{}",
        outcome.stderr
    );
}

// rules: C18
#[test]
fn listening_over_mutual_tls_takes_whom_it_allows() {
    let identity = |name| identity("allow", name);
    let (host, host_key) = identity("127.0.0.1");
    let (alice, alice_key) = identity("alice.example.com");
    let (mallory, mallory_key) = identity("mallory.example.net");
    let roots = [&alice, &mallory].map(|file| std::fs::read_to_string(file).unwrap());
    let roots = file("allow", "roots.pem", &roots.concat());
    let args = [
        "listen",
        "--listen",
        "tls:127.0.0.1:0",
        "--cert",
        &host,
        "--key",
        &host_key,
    ];
    let mut bob = Running::start(&[&args[..], &["--ca", &roots, "--allow", ".example.com"]].concat());
    let target = format!("sip:bob@{};transport=tls", bob.listening());
    let send = |shows: &[&str]| {
        let args = ["message", "--direct", "--ca", &host];
        sansip(&[&args[..], &ALICE, shows, &[&target, "Hello!"]].concat())
    };
    let outcome = send(&["--cert", &alice, "--key", &alice_key]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let added = bob.wait("connected", |_| true);
    assert_eq!(added["matched"], ".example.com");
    bob.wait("message", |event| event["text"] == "Hello!");
    assert_eq!(send(&["--cert", &mallory, "--key", &mallory_key]).code, Some(1));
    bob.wait("tls_failed", |event| {
        event["error"].as_str().unwrap().contains("mallory.example.net")
    });
    assert_eq!(send(&[]).code, Some(1));
    assert_eq!(bob.interrupt(), Some(0));
    let outcome = sansip(&[&args[..], &["--allow", "*.example.com"]].concat());
    assert!(
        outcome.complaint().contains("*.example.com"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_wrong_password_is_said_and_not_tried_again() {
    let mut server = Running::start(&["serve", "--listen", "tcp:127.0.0.1:0", "--user", "alice:right"]);
    let address = server.listening();
    let wrong = file("password", "wrong", "wrong");
    let outcome = sansip(&over_tcp(
        "register",
        &ALICE,
        &address,
        &["--password-file", &wrong],
    ));
    assert!(outcome.failure().contains("password"), "{}", outcome.stderr);
    let outcome = sansip(&over_tcp("register", &ALICE, &address, &[]));
    assert!(
        outcome.failure().contains("--password-file"),
        "{}",
        outcome.stderr
    );
    let outcome = sansip(&over_tcp(
        "register",
        &ALICE,
        &address,
        &["--password-file", "no/such/file"],
    ));
    assert!(outcome.failure().contains("no/such/file"), "{}", outcome.stderr);
}

// rules: A1, A3
#[test]
fn a_server_asks_with_the_protocols_that_it_was_told_in_their_order() {
    for (auth, realms) in [
        ("ntlm,digest", ["NTLM", "Digest"].as_slice()),
        ("digest,ntlm", ["Digest", "NTLM"].as_slice()),
        ("ntlm", ["NTLM"].as_slice()),
    ] {
        let args = [
            "--user",
            "alice:secret",
            "--algorithm",
            "MD5",
            "--realm",
            "here",
            "--auth",
            auth,
        ];
        let mut server = Running::start(&[&["serve", "--listen", "tcp:127.0.0.1:0"], &args[..]].concat());
        let mut line = TcpStream::connect(server.listening()).unwrap();
        line.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = "REGISTER sip:example.com SIP/2.0\r\n\
            Via: SIP/2.0/TCP a.invalid;branch=z9hG4bK1\r\n\
            From: <sip:alice@example.com>;tag=1;epid=01\r\n\
            To: <sip:alice@example.com>\r\n\
            Call-ID: 1\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
        line.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        for head in BufReader::new(line).lines() {
            let head = head.unwrap();
            if head.is_empty() {
                break;
            }
            answer.push_str(&head);
            answer.push('\n');
        }
        assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
        assert!(answer.contains("\nDate: "), "{answer}");
        let asked = answer
            .lines()
            .filter_map(|head| head.strip_prefix("WWW-Authenticate: "));
        let asked: Vec<&str> = asked.collect();
        assert!(
            asked.iter().all(|challenge| challenge.contains("realm=\"here\"")),
            "{answer}"
        );
        let schemes: Vec<&str> = asked
            .iter()
            .filter_map(|challenge| challenge.split(' ').next())
            .collect();
        assert_eq!(schemes, realms, "{answer}");
    }
}

// rules: A9, X7
#[test]
fn counters_and_logs_are_shown_on_request_and_hold_no_secret() {
    let mut server = Running::start(&["serve", "--listen", "tcp:127.0.0.1:0", "--user", "alice:secret-a"]);
    let address = server.listening();
    let password = file("counters", "alice", "secret-a");
    let rest = [
        "--password-file",
        &password,
        "--for",
        "0",
        "--counters",
        "--log",
        "trace",
        "--json",
    ];
    let outcome = sansip(&over_tcp("register", &ALICE, &address, &rest));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let events = outcome.json();
    let shown = events.last().unwrap();
    assert_eq!(shown["event"], "counters");
    let counters = &shown["counters"];
    // REGISTER, 401, REGISTER with credentials, 200; and the last one with Expires 0.
    for (name, value) in [
        ("sent.REGISTER", 3),
        ("received.4xx", 1),
        ("received.2xx", 2),
        ("registrations.made", 1),
        ("registrations.ended", 1),
        ("connections.outgoing.made", 1),
        ("connections.outgoing.closed", 1),
        ("refusals.forks", 0),
    ] {
        assert_eq!(counters[name], value, "{name} in {counters}");
    }
    for target in ["sansip::registration", "sansip::connection"] {
        assert!(outcome.stderr.contains(target), "{}", outcome.stderr);
    }
    for secret in ["secret-a", "Digest", "response="] {
        assert!(!outcome.stderr.contains(secret), "{}", outcome.stderr);
    }
    let outcome = sansip(&over_tcp("register", &ALICE, &address, &["--log", "sansip=loud"]));
    assert_eq!(outcome.code, Some(2));
}

#[test]
fn nobody_there_is_one_line_at_once() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let start = Instant::now();
    let outcome = sansip(&over_tcp("register", &ALICE, &free, &[]));
    assert!(
        outcome.failure().contains(&format!("{free}: connection refused")),
        "{}",
        outcome.stderr
    );
    let outcome = sansip(&over_tcp("register", &ALICE, &free, &["--json"]));
    assert!(
        has(&outcome.json(), "error", "error", outcome.failure()),
        "{}",
        outcome.stdout
    );
    let outcome = sansip(&over_tcp("register", &ALICE, "nobody.invalid", &[]));
    assert!(outcome.failure().contains("nobody.invalid"), "{}", outcome.stderr);
    assert!(
        start.elapsed() < Duration::from_secs(45),
        "longer than the limits on names and connections allow"
    );
}

/// A registrar that keeps every binding for 2 s, and counts the REGISTERs until its peer is gone.
fn brief_registrar(listener: &TcpListener) -> usize {
    let (socket, _) = listener.accept().unwrap();
    let (mut lines, mut registers) = (BufReader::new(&socket).lines(), 0);
    while let Some(Ok(first)) = lines.next() {
        if !first.starts_with("REGISTER ") {
            continue;
        }
        registers += 1;
        let fields = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty());
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        for field in fields {
            match field.split_once(':').map_or("", |(name, _)| name) {
                "Contact" => answer.push_str(&format!("{field};expires=2\r\n")),
                "To" => answer.push_str(&format!("{field};tag=r\r\n")),
                "Via" | "From" | "Call-ID" | "CSeq" => answer.push_str(&format!("{field}\r\n")),
                _ => {}
            }
        }
        answer.push_str("Content-Length: 0\r\n\r\n");
        (&socket).write_all(answer.as_bytes()).unwrap();
    }
    registers
}

// rules: R21
#[test]
fn refreshes_come_no_sooner_than_the_floor_that_is_set() {
    for (options, refreshes) in [(&[][..], false), (&["--refresh-floor", "1"], true)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registers = std::thread::spawn(move || brief_registrar(&listener));
        let rest = [options, &["--for", "2"]].concat();
        let outcome = sansip(&over_tcp("register", &ALICE, &address, &rest));
        assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
        // One begins and one ends it. The default floor is 5 s.
        let registers = registers.join().unwrap();
        assert_eq!(registers > 2, refreshes, "{registers} with {options:?}");
    }
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let start = Instant::now();
    let outcome = sansip(&over_tcp("register", &ALICE, &address, &["--timeout", "1"]));
    assert!(
        outcome.failure().contains("no answer in time"),
        "{}",
        outcome.stderr
    );
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_port_in_use_is_said() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp:{}", held.local_addr().unwrap());
    for command in ["listen", "serve"] {
        let outcome = sansip(&[command, "--listen", &at]);
        assert!(outcome.failure().contains("in use"), "{}", outcome.stderr);
    }
    for command in ["listen", "serve"] {
        let outcome = sansip(&[command, "--listen", "tls:127.0.0.1:0"]);
        assert!(outcome.failure().contains("--cert"), "{}", outcome.stderr);
    }
}
