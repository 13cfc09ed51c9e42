//! States that are watched without a server between: what the options of the watcher and of who is watched do.

use std::fs;

use crate::common::{ALICE, Outcome, Running, absent, file, sansip};
use crate::keep::{count, ladder};

fn listen(options: &[&str]) -> (Running, String) {
    let common = ["listen", "--listen", "tcp:127.0.0.1:0"];
    let mut running = Running::start(&[&common, options].concat());
    let target = format!("sip:bob@{}", running.listening());
    (running, target)
}

fn watch(target: &str, options: &[&str]) -> Outcome {
    sansip(&[&["watch", "--direct", "--json"], &ALICE[..], options, &[target]].concat())
}

fn states(outcome: &Outcome) -> Vec<(String, String)> {
    let events = outcome.json().into_iter();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    events
        .filter(|event| event["event"] == "notified")
        .map(|event| (word(&event["content_type"]), word(&event["text"])))
        .collect()
}

// rules: B1, B5
#[test]
fn a_listener_tells_its_state_to_whoever_subscribes() {
    let state = file("states", "state", "<at-home/>");
    let (mut bob, target) = listen(&["--state", &format!("@{state}"), "--type", "text/xml"]);
    let wanted = (String::from("text/xml"), String::from("<at-home/>"));
    let once = watch(&target, &["--once"]);
    assert_eq!((once.code, states(&once)), (Some(0), vec![wanted.clone()]));
    bob.wait("watcher_ended", |event| event["reason"] == "Queried");

    let capture = absent("states", "again.pcapng");
    let outcome = watch(&target, &["--again", "100", "--for", "1", "--pcap", &capture]);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(states(&outcome)[..2], [wanted.clone(), wanted]);
    // One for the first, one to ask again, one for the end: each has its NOTIFY, also the last.
    let seen = ladder(&capture);
    assert_eq!(
        (count(&seen, "SUBSCRIBE"), count(&seen, "NOTIFY")),
        (3, 3),
        "{seen:?}"
    );
    assert_eq!(count(&seen, "200 OK (NOTIFY)"), 3, "{seen:?}");
    bob.wait("watcher_ended", |event| event["reason"] == "Unsubscribed");

    let other = watch(&target, &["--event", "dialog"]);
    assert!(other.failure().contains("489 "), "{}", other.stderr);
    assert_eq!(bob.interrupt(), Some(0));
}

// rules: B5
#[test]
fn a_listener_ends_subscriptions_after_a_time_and_takes_none_without_a_state() {
    let (mut bob, target) = listen(&["--state", "open", "--event", "weather", "--hangup", "100"]);
    let outcome = watch(&target, &["--event", "weather"]);
    assert!(outcome.failure().contains("there no more"), "{}", outcome.stderr);
    bob.wait("watcher_ended", |event| event["reason"] == "TerminatedLocally");
    assert_eq!(bob.interrupt(), Some(0));

    let (mut carol, target) = listen(&[]);
    assert_eq!(watch(&target, &[]).code, Some(1));
    assert_eq!(carol.interrupt(), Some(0));
}

// rules: B3
#[test]
fn a_watcher_says_what_of_microsofts_servers_it_takes() {
    let (mut bob, target) = listen(&["--state", "open"]);
    let asked = |name: &str, options: &[&str]| {
        let capture = absent("states", name);
        let kept = [options, &["--once", "--pcap", &capture]].concat();
        let outcome = watch(&target, &kept);
        let bytes = fs::read(&capture).unwrap();
        (outcome, String::from_utf8_lossy(&bytes).to_ascii_lowercase())
    };
    let (plain, bytes) = asked("plain.pcapng", &[]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    for tag in [
        "eventlist",
        "ms-piggyback-first-notify",
        "ms-benotify",
        "adhoclist",
    ] {
        assert!(!bytes.contains(tag), "{tag}");
    }
    let (more, bytes) = asked("more.pcapng", &["--list", "--piggyback", "--benotify"]);
    assert_eq!(more.code, Some(0), "{}", more.stderr);
    for tag in ["eventlist", "ms-piggyback-first-notify", "ms-benotify"] {
        assert!(bytes.contains(tag), "{tag}");
    }
    // Who is asked here keeps no lists that a SUBSCRIBE brings.
    let members = file("states", "members", "<adhoclist/>");
    let members = format!("@{members}");
    let (refused, bytes) = asked("members.pcapng", &["--members", &members]);
    assert!(refused.failure().contains("420 "), "{}", refused.stderr);
    assert!(bytes.contains("adhoclist") && bytes.contains("application/adrl+xml"));
    assert_eq!(bob.interrupt(), Some(0));
}
