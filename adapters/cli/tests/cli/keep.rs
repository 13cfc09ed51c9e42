//! What is kept of a run, `--pcap` and `--record`, and what is made of it, `ladder` and `replay`.
use std::fs;

use serde_json::Value;

use crate::common::{
    ALICE, BOB, Outcome, Running, absent, file, folder, identity, over_tcp, sansip, sansip_with,
};

/// The messages of a ladder, in their order.
fn messages(outcome: &Outcome) -> Vec<String> {
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    let events = outcome.json();
    let messages = events.iter().filter(|event| event["event"] == "message");
    messages
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn ladder(capture: &str) -> Vec<String> {
    messages(&sansip(&["ladder", capture, "--json"]))
}

pub(crate) fn count(messages: &[String], wanted: &str) -> usize {
    messages.iter().filter(|message| *message == wanted).count()
}

fn is_for_its_owner_only(path: &str) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{path}");
    }
}

/// The same call over TCP and over TLS: what was captured is what was recorded.
// rules: X1, X8
#[test]
fn a_call_is_captured_recorded_and_replayed() {
    let name = "kept";
    let (alices, bobs) = (file(name, "alice", "secret-a\n"), file(name, "bob", "secret-b\n"));
    let wrong = file(name, "wrong", "secret-x\n");
    let (cert, key) = identity(name, "127.0.0.1");
    let servers = absent(name, "server.pcapng");
    let users = ["--user", "alice:secret-a", "--user", "bob:secret-b"];
    let tls = ["--listen", "tls:127.0.0.1:0", "--cert", &cert, "--key", &key];
    let serve = [
        &["serve", "--listen", "tcp:127.0.0.1:0", "--pcap", &servers][..],
        &tls,
        &users,
    ]
    .concat();
    let mut server = Running::start(&serve);
    let (plain, secure) = (server.listening(), server.listening());
    let mut of_all = Vec::new();
    for (transport, address) in [("tcp", &plain), ("tls", &secure)] {
        let at = |what: &str| absent(name, &format!("{transport}.{what}"));
        let common = ["--transport", transport, "--server", address, "--ca", &cert];
        let (bobs_pcap, bobs_record) = (at("bob.pcapng"), at("bob.rec"));
        let args = [
            "--password-file",
            &bobs,
            "--answer",
            "200",
            "--pcap",
            &bobs_pcap,
            "--record",
            &bobs_record,
        ];
        let mut bob = Running::start(&[&["register"][..], &common, &BOB, &args].concat());
        bob.wait("registration", |event| event["state"] == "registered");

        let (pcap, record) = (at("alice.pcapng"), at("alice.rec"));
        let args = [
            "sip:bob@example.com",
            "--duration",
            "50",
            "--message",
            "inside",
            "--password-file",
            &alices,
        ];
        let kept = ["--pcap", &pcap, "--record", &record];
        let outcome = sansip(&[&["call"][..], &common, &ALICE, &args, &kept].concat());
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert_eq!(bob.interrupt(), Some(0));

        let captured = ladder(&pcap);
        for (message, times) in [
            ("REGISTER", 3),
            ("401 Unauthorized (REGISTER)", 1),
            ("INVITE", 2),
            ("407 Proxy Authentication Required (INVITE)", 1),
            ("200 OK (INVITE)", 1),
            ("ACK", 2),
            ("MESSAGE", 1),
            ("BYE", 1),
            ("200 OK (BYE)", 1),
        ] {
            assert_eq!(count(&captured, message), times, "{message}: {captured:?}");
        }
        let replay = |record: &str, password: &str, more: &[&str]| {
            sansip(&[&["replay", record, "--json", "--password-file", password], more].concat())
        };
        let again = at("again.pcapng");
        let outcome = replay(&record, &alices, &["--pcap", &again]);
        assert_eq!(messages(&outcome), captured);
        assert_eq!(ladder(&again), captured);
        let last: Value = outcome.json().pop().unwrap();
        assert_eq!(
            (&last["event"], &last["messages"]),
            (&"same".into(), &captured.len().into())
        );
        assert!(
            last["inputs"].as_u64() > Some(20) && last["actions"].as_u64() > Some(10),
            "{last}"
        );
        let with_bob = ladder(&bobs_pcap);
        assert_eq!(messages(&replay(&bobs_record, &bobs, &[])), with_bob);
        of_all.extend(captured.clone());
        of_all.extend(with_bob);

        // The password is not in it, and nothing else will do.
        assert!(
            !fs::read(&record)
                .unwrap()
                .windows(8)
                .any(|bytes| bytes == b"secret-a")
        );
        let outcome = sansip(&["replay", &record]);
        assert!(
            outcome.failure().contains("--password-file"),
            "{}",
            outcome.stderr
        );
        let outcome = replay(&record, &wrong, &[]);
        assert!(
            outcome.failure().contains("other bytes sent") && outcome.failure().contains("is the password"),
            "{}",
            outcome.stderr
        );
        let args = ["replay", &record, "--json", "--password-file", "-"];
        assert_eq!(messages(&sansip_with(&args, b"secret-a\n")), captured);
        for path in [&pcap, &record, &again, &bobs_pcap] {
            is_for_its_owner_only(path);
        }
    }
    assert_eq!(server.interrupt(), Some(0));
    // The server saw what its clients saw, in some order.
    let mut of_server = ladder(&servers);
    of_server.sort();
    of_all.sort();
    assert_eq!(of_server, of_all);
}

#[test]
fn a_listener_that_is_interrupted_or_killed_leaves_whole_files() {
    let name = "listener";
    let direct = |target: &str, command: &str, rest: &[&str]| {
        let pcap = absent(name, "direct.pcapng");
        let args = [
            &[command, "--direct", "--pcap", &pcap][..],
            &ALICE,
            &[target],
            rest,
        ]
        .concat();
        let outcome = sansip(&args);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        ladder(&pcap)
    };
    for is_killed in [false, true] {
        let (pcap, record) = (absent(name, "listen.pcapng"), absent(name, "listen.rec"));
        let listen = [
            "listen",
            "--listen",
            "tcp:127.0.0.1:0",
            "--pcap",
            &pcap,
            "--record",
            &record,
        ];
        let mut listener = Running::start(&listen);
        let target = format!("sip:anybody@{}", listener.listening());
        let asked = ["OPTIONS", "200 OK (OPTIONS)"];
        assert_eq!(direct(&target, "options", &[]), asked);
        assert_eq!(
            direct(&target, "message", &["hello"]),
            ["MESSAGE", "200 OK (MESSAGE)"]
        );
        if is_killed {
            drop(listener);
        } else {
            assert_eq!(listener.interrupt(), Some(0));
        }
        let all = [&asked[..], &["MESSAGE", "200 OK (MESSAGE)"]].concat();
        assert_eq!(ladder(&pcap), all);
        assert_eq!(messages(&sansip(&["replay", &record, "--json"])), all);
    }
}

#[test]
fn the_demonstration_is_captured_at_its_server() {
    let pcap = absent("demo", "demo.pcapng");
    let outcome = sansip(&["demo", "--pcap", &pcap, "--json"]);
    let drawn = messages(&outcome);
    assert_eq!(count(&drawn, "REGISTER"), 12);
    let mut captured = ladder(&pcap);
    let mut drawn = drawn;
    captured.sort();
    drawn.sort();
    assert_eq!(captured, drawn);
    // Six parties of three: readable, too, in columns.
    let outcome = sansip(&["ladder", &pcap]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(
        outcome
            .stdout
            .lines()
            .filter(|line| line.contains("- REGISTER -"))
            .count(),
        12
    );
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 130));
    let outcome = sansip(&["ladder", &pcap, "--hosts", "--json"]);
    assert!(outcome.json().iter().all(|event| event["from"] == "127.0.0.1"));
}

#[test]
fn a_recording_ends_at_its_limit_and_says_so() {
    let mut server = Running::start(&["serve", "--listen", "tcp:127.0.0.1:0"]);
    let address = server.listening();
    let record = absent("limit", "record");
    let args = ["--for", "0", "--record", &record, "--record-limit", "1500"];
    let outcome = sansip(&over_tcp("register", &ALICE, &address, &args));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let said = "is not of the whole run: its limit of 1500 bytes was reached";
    assert!(
        outcome.stdout.contains(&format!("{record} {said}")),
        "{}",
        outcome.stdout
    );
    let length = fs::metadata(&record).unwrap().len();
    assert!((1000..=1500).contains(&length), "{length}");
    let outcome = sansip(&["replay", &record, "--json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.json().iter().any(|event| event["event"] == "incomplete"));
}

#[test]
fn files_that_cannot_be_read_are_one_line() {
    let name = "unread";
    let directory = folder(name).to_str().unwrap().to_owned();
    let (empty, text) = (
        file(name, "empty", ""),
        file(name, "text", "INVITE sip:a SIP/2.0\r\n\r\n"),
    );
    for command in ["ladder", "replay"] {
        for (path, word) in [
            ("no/such/file", "cannot read"),
            (&directory, "irectory"),
            (&empty, ""),
            (&text, "no "),
        ] {
            let outcome = sansip(&[command, path]);
            let line = outcome.failure();
            assert!(line.contains(path) && line.contains(word), "{line}");
            assert_eq!(outcome.stdout, "");
        }
    }
    // What is whole in a file that breaks off is told, and then where it does.
    let (pcap, record) = (absent(name, "pcapng"), absent(name, "record"));
    let mut listener = Running::start(&["listen", "--listen", "tcp:127.0.0.1:0"]);
    let target = format!("sip:anybody@{}", listener.listening());
    let kept = ["--pcap", &pcap, "--record", &record];
    let outcome = sansip(&[&["options", "--direct", &target][..], &ALICE, &kept].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(listener.interrupt(), Some(0));
    let whole = fs::read(&pcap).unwrap();
    fs::write(&pcap, &whole[..whole.len() - 2]).unwrap();
    let outcome = sansip(&["ladder", &pcap, "--json"]);
    assert!(
        outcome.failure().contains("the file ends in it"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stdout.contains("OPTIONS") && outcome.stdout.contains("offset"),
        "{}",
        outcome.stdout
    );
    let mut damaged = fs::read(&record).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    fs::write(&record, damaged).unwrap();
    let outcome = sansip(&["replay", &record]);
    assert!(outcome.failure().contains(&record), "{}", outcome.stderr);
}

#[test]
fn files_that_cannot_be_written_are_one_line_and_those_that_exist_stay() {
    let name = "unwritten";
    let existing = file(name, "existing", "precious");
    let target = "sip:b@127.0.0.1:9";
    let user = ["--direct", ALICE[0], ALICE[1]];
    let commands = [
        vec!["serve", "--listen", "tcp:127.0.0.1:0"],
        vec!["demo"],
        vec!["register", ALICE[0], ALICE[1]],
        vec!["listen", "--listen", "tcp:127.0.0.1:0"],
        [&["message"][..], &user, &[target, "text"]].concat(),
        [&["options"][..], &user, &[target]].concat(),
        [&["call"][..], &user, &[target]].concat(),
    ];
    for command in &commands {
        let records = !matches!(command[0], "serve" | "demo");
        for option in ["--pcap", "--record"].into_iter().take(1 + usize::from(records)) {
            for path in ["no/such/folder/file", &existing] {
                let outcome = sansip_with(&[command.as_slice(), &[option, path]].concat(), b"");
                let line = outcome.failure();
                assert!(line.starts_with(&format!("cannot write {path}: ")), "{line}");
            }
        }
    }
    assert_eq!(fs::read_to_string(&existing).unwrap(), "precious");
}

/// What was mistyped is put right, and the same files are named again.
#[test]
fn no_file_is_made_where_something_cannot_be_read() {
    let name = "unmade";
    let (pcap, record) = (absent(name, "pcapng"), absent(name, "record"));
    let existing = file(name, "existing", "precious");
    let user = [
        &["message", "--direct"][..],
        &ALICE,
        &["sip:b@127.0.0.1:9", "text"],
    ]
    .concat();
    let commands = [
        [&["register"][..], &ALICE, &["--password-file", "no/such/file"]].concat(),
        [&user[..], &["--ca", "no/such/file"]].concat(),
        [&["listen", "--listen", "tls:127.0.0.1:0", "--sdp", "no/such/file"][..]].concat(),
        [&["listen", "--listen", "tls:127.0.0.1:0", "--ca", "no/such/file"][..]].concat(),
    ];
    for command in &commands {
        let kept = ["--pcap", &pcap, "--record", &record];
        let outcome = sansip(&[command.as_slice(), &kept].concat());
        assert!(outcome.failure().contains("no/such/file"), "{}", outcome.stderr);
        assert!(
            !fs::exists(&pcap).unwrap() && !fs::exists(&record).unwrap(),
            "{command:?}"
        );
    }
    let outcome = sansip(&[&user[..], &["--pcap", &pcap, "--record", &existing]].concat());
    assert!(
        outcome.failure().contains("it exists already"),
        "{}",
        outcome.stderr
    );
    assert!(!fs::exists(&pcap).unwrap());
    assert_eq!(fs::read_to_string(&existing).unwrap(), "precious");
}

/// Neither a recording nor a password: no more is read than tells so.
#[test]
#[cfg(unix)]
fn files_without_an_end_are_refused_at_once() {
    let outcome = sansip(&["replay", "/dev/zero"]);
    assert_eq!(outcome.failure(), "/dev/zero: this is no recording");
    let args = [&["register"][..], &ALICE, &["--password-file", "/dev/zero"]].concat();
    let outcome = sansip(&args);
    assert!(
        outcome.failure().contains("first line of /dev/zero"),
        "{}",
        outcome.stderr
    );
}
