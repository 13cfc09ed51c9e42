//! What the options for calls do: two commands that call each other, and what passed between them.

use crate::common::{ALICE, Outcome, Running, absent, file, folder, sansip};
use crate::keep::{count, ladder};

const LISTEN: [&str; 3] = ["listen", "--listen", "tcp:127.0.0.1:0"];

fn listen(options: &[&str]) -> (Running, String) {
    let mut running = Running::start(&[&LISTEN, options].concat());
    let target = format!("sip:bob@{}", running.listening());
    (running, target)
}

fn call(target: &str, options: &[&str]) -> Outcome {
    let common = ["call", "--direct", "--json", "--duration", "60000"];
    sansip(&[&common, &ALICE[..], options, &[target]].concat())
}

/// The messages of a call that ends in order.
fn captured(name: &str, target: &str, options: &[&str]) -> Vec<String> {
    let capture = absent("sessions", name);
    let outcome = call(target, &[&["--pcap", &capture], options].concat());
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    ladder(&capture)
}

// rules: S7
#[test]
fn provisional_responses_are_reliable_where_both_sides_say_so() {
    let (mut bob, target) = listen(&[
        "--early",
        "20",
        "--ring",
        "20",
        "--reliable",
        "supported",
        "--hangup",
        "20",
    ]);
    let seen = captured("reliable", &target, &["--reliable", "required"]);
    assert_eq!(count(&seen, "183 Session Progress (INVITE)"), 1, "{seen:?}");
    assert_eq!(count(&seen, "180 Ringing (INVITE)"), 1, "{seen:?}");
    assert_eq!(count(&seen, "PRACK"), 2, "{seen:?}");
    let seen = captured("unreliable", &target, &[]);
    assert_eq!(count(&seen, "183 Session Progress (INVITE)"), 1, "{seen:?}");
    assert_eq!(count(&seen, "PRACK"), 0, "{seen:?}");
    assert_eq!(bob.interrupt(), Some(0));

    let (mut cannot, target) = listen(&[]);
    assert!(call(&target, &["--reliable", "required"]).stderr.contains("420 "));
    assert_eq!(cannot.interrupt(), Some(0));
    let (mut demands, target) = listen(&["--reliable", "required"]);
    assert!(call(&target, &[]).stderr.contains("421 "));
    assert_eq!(demands.interrupt(), Some(0));
}

// rules: S11
#[test]
fn a_session_timer_is_asked_for_and_its_shortest_interval_held() {
    let (mut bob, target) = listen(&["--min-session-timer", "1800", "--hangup", "20"]);
    let refused = "422 Session Interval Too Small (INVITE)";
    let seen = captured("short", &target, &["--session-timer", "90"]);
    assert_eq!(
        (count(&seen, "INVITE"), count(&seen, refused)),
        (2, 1),
        "{seen:?}"
    );
    let seen = captured("long", &target, &["--session-timer", "1800"]);
    assert_eq!(
        (count(&seen, "INVITE"), count(&seen, refused)),
        (1, 0),
        "{seen:?}"
    );
    assert_eq!(bob.interrupt(), Some(0));
    let outcome = call(&target, &["--session-timer", "89"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.complaint().contains("session_timer"),
        "{}",
        outcome.stderr
    );
}

// rules: S6
#[test]
fn a_listener_puts_calls_on_hold_by_the_request_that_is_named() {
    for (request, invites, updates) in [("invite", 2, 0), ("update", 1, 1)] {
        let (mut bob, target) = listen(&["--hold", request, "--hangup", "200"]);
        let seen = captured(request, &target, &[]);
        let counted = (count(&seen, "INVITE"), count(&seen, "UPDATE"));
        assert_eq!(counted, (invites, updates), "{seen:?}");
        assert_eq!(bob.interrupt(), Some(0));
    }
}

// rules: S6, S7
#[test]
fn a_caller_changes_a_session_by_update_before_it_is_taken_and_after() {
    let (mut bob, target) = listen(&["--early", "400", "--reliable", "supported", "--hangup", "600"]);
    let options = ["--reliable", "supported", "--early-update"];
    let seen = captured("early", &target, &options);
    let at = |message: &str| seen.iter().position(|it| it == message).unwrap();
    assert_eq!(
        (count(&seen, "INVITE"), count(&seen, "UPDATE")),
        (1, 1),
        "{seen:?}"
    );
    assert!(at("PRACK") < at("UPDATE") && at("UPDATE") < at("ACK"), "{seen:?}");
    let held = [&options[..], &["--hold", "20", "--hold-by", "update"]].concat();
    let seen = captured("held", &target, &held);
    // Once more, on hold, and back.
    assert_eq!(
        (count(&seen, "INVITE"), count(&seen, "UPDATE")),
        (1, 3),
        "{seen:?}"
    );
    assert_eq!(bob.interrupt(), Some(0));
    // Who takes the call at once leaves nothing to be updated early.
    let (mut quick, target) = listen(&["--hangup", "20"]);
    let outcome = call(&target, &options);
    assert!(
        outcome.failure().contains("not updated early"),
        "{}",
        outcome.stderr
    );
    let (mut unreliable, target) = listen(&["--early", "50", "--hangup", "20"]);
    let outcome = call(&target, &options);
    assert!(
        outcome.failure().contains("not updated early"),
        "{}",
        outcome.stderr
    );
    for listener in [&mut quick, &mut unreliable] {
        assert_eq!(listener.interrupt(), Some(0));
    }
}

// rules: S2, S13
#[test]
fn a_listener_redirects_and_a_caller_follows_if_told_to() {
    let (mut carol, carols) = listen(&["--hangup", "20"]);
    let elsewhere = carols.replace("bob", "carol");
    let (mut bob, target) = listen(&["--redirect-to", &elsewhere, "--hangup", "20"]);
    assert!(call(&target, &[]).stderr.contains("302 "));
    let outcome = call(&target, &["--follow-redirects"]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    carol.wait("session", |event| event["reason"] == "TerminatedLocally");
    assert_eq!(carol.interrupt(), Some(0));
    // Whom the address names is not sent on.
    let outcome = call(&target.replace("bob", "carol"), &[]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(bob.interrupt(), Some(0));
}

/// The caller would wait in vain.
#[test]
fn what_a_listener_cannot_do_it_says_and_the_caller_is_refused() {
    let (mut bob, target) = listen(&["--redirect-to", ALICE[1]]);
    assert!(call(&target, &[]).stderr.contains("500 "));
    let said = bob.wait("failed", |event| event["error"].is_string());
    let said = said["error"].as_str().unwrap();
    assert!(said.starts_with("cannot send the call elsewhere: "), "{said}");
    assert_eq!(bob.interrupt(), Some(0));
}

/// It would be no body, and a call cannot be answered without one.
#[test]
fn an_empty_session_description_is_refused_at_once() {
    let empty = file("sessions", "empty.sdp", "");
    let commands = [
        [&LISTEN[..], &["--sdp", &empty]].concat(),
        [
            &["call", "--direct", "--sdp", &empty, "sip:bob@127.0.0.1:9"],
            &ALICE[..],
        ]
        .concat(),
    ];
    for command in commands {
        assert_eq!(sansip(&command).failure(), format!("{empty} is empty"));
    }
}

// rules: E12, S2
#[test]
fn a_refusal_says_when_to_try_again() {
    let (mut bob, target) = listen(&["--answer", "503", "--retry-after", "1"]);
    let capture = absent("sessions", "later.pcapng");
    // The caller does as it is told, once.
    assert!(call(&target, &["--pcap", &capture]).stderr.contains("503 "));
    let seen = ladder(&capture);
    assert_eq!(count(&seen, "INVITE"), 2, "{seen:?}");
    let bytes = std::fs::read(&capture).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\r\nRetry-After: 1\r\n"));
    assert_eq!(bob.interrupt(), Some(0));
}

// rules: S6
#[test]
fn a_listener_refuses_the_first_change_of_a_call() {
    let (mut bob, target) = listen(&["--refuse-change", "488", "--hangup", "300"]);
    let capture = absent("sessions", "changes.pcapng");
    let outcome = call(&target, &["--hold", "60000", "--pcap", &capture]);
    assert!(outcome.failure().contains("488 "), "{}", outcome.stderr);
    let seen = ladder(&capture);
    let refused = "488 Not Acceptable Here (INVITE)";
    assert_eq!(
        (count(&seen, "INVITE"), count(&seen, refused)),
        (2, 1),
        "{seen:?}"
    );
    assert_eq!(bob.interrupt(), Some(0));
}

// rules: S17
#[test]
fn a_caller_takes_part_in_the_recovery_of_routes_if_told_to() {
    let (mut bob, target) = listen(&["--hangup", "20"]);
    for (name, options) in [
        ("lost", &[][..]),
        ("limited", &["--recover-route", "limited"]),
        ("maximum", &["--recover-route", "maximum"]),
    ] {
        captured(name, &target, options);
        let bytes = std::fs::read(folder("sessions").join(name)).unwrap();
        let said = String::from_utf8_lossy(&bytes).contains("Ms-Dialog-Route-Set-Update");
        assert_eq!(said, !options.is_empty(), "{name}");
    }
    assert_eq!(bob.interrupt(), Some(0));
}

// rules: S14
#[test]
fn a_listener_transfers_its_caller_who_goes_if_told_to() {
    let (mut carol, carols) = listen(&[]);
    let (mut bob, target) = listen(&["--transfer-to", &carols, "--hangup", "20"]);
    let outcome = call(&target, &["--follow-transfers"]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    bob.wait("referral", |event| event["state"] == "Succeeded");
    carol.wait("session", |event| event["state"] == "established");
    // Who does not take transfers is called to the end all the same.
    assert_eq!(call(&target, &[]).code, Some(0));
    for mut listener in [bob, carol] {
        assert_eq!(listener.interrupt(), Some(0));
    }
}

/// Calls bob, and then carol, whom bob is to call in our place. Gives the outcome and the messages that we saw.
fn consults(name: &str, bob: &str, carol: &str) -> (Outcome, Vec<String>) {
    let capture = absent("sessions", name);
    let options = [
        "--duration",
        "20",
        "--transfer-to",
        carol,
        "--consult",
        "--pcap",
        &capture,
    ];
    let outcome = sansip(&[&["call", "--direct", "--json"], &ALICE[..], &options, &[bob]].concat());
    (outcome, ladder(&capture))
}

// rules: S14
#[test]
fn a_caller_transfers_to_a_third_whom_it_has_called_first() {
    let (mut carol, carols) = listen(&[]);
    let (mut bob, bobs) = listen(&[]);
    let (outcome, seen) = consults("consults", &bobs, &carols);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    let ended = |reason: &str| {
        let events = outcome.json();
        let ended = events
            .iter()
            .filter(|event| event["event"] == "session" && event["reason"] == reason);
        ended.count()
    };
    // Carol ends the call whose place is taken, and we the first.
    assert_eq!((ended("TerminatedRemotely"), ended("TerminatedLocally")), (1, 1));
    for (message, times) in [("INVITE", 2), ("REFER", 1), ("BYE", 2)] {
        assert_eq!(count(&seen, message), times, "{message}: {seen:?}");
    }
    // Carol has had two calls, of which the second has taken the place of the first, in whichever order she says so.
    let (mut began, mut ended) = (0, 0);
    carol.wait("session", |event| {
        began += i32::from(event["state"] == "established");
        ended += i32::from(event["reason"] == "TerminatedLocally");
        (began, ended) == (2, 1)
    });
    bob.wait("session", |event| event["reason"] == "TerminatedRemotely");
    assert_eq!(carol.interrupt(), Some(0));
    bob.wait("session", |event| event["reason"] == "TerminatedRemotely");
    assert_eq!(bob.interrupt(), Some(0));
}

// rules: S14
#[test]
fn a_third_who_does_not_answer_is_nobody_to_transfer_to() {
    let (mut bob, bobs) = listen(&[]);
    let (mut busy, busys) = listen(&["--answer", "486"]);
    let (outcome, seen) = consults("refused", &bobs, &busys);
    let said = outcome.failure();
    assert!(
        said.contains("not transferred") && said.contains("486 "),
        "{said}"
    );
    assert_eq!((count(&seen, "REFER"), count(&seen, "BYE")), (0, 1), "{seen:?}");
    bob.wait("session", |event| event["reason"] == "TerminatedRemotely");
    assert_eq!(bob.interrupt(), Some(0));
    // The first call ends while the third rings: nobody is left in a call.
    let (mut leaves, leavers) = listen(&["--hangup", "300"]);
    let (mut rings, ringers) = listen(&["--ring", "60000"]);
    let (outcome, seen) = consults("left", &leavers, &ringers);
    assert!(outcome.failure().contains("before the third party had answered"));
    assert_eq!(
        (count(&seen, "REFER"), count(&seen, "CANCEL")),
        (0, 1),
        "{seen:?}"
    );
    for listener in [&mut leaves, &mut rings, &mut busy] {
        assert_eq!(listener.interrupt(), Some(0));
    }
}
