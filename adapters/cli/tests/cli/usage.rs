//! The command line itself: help, and what is wrong usage.
use std::process::{Command, Stdio};

use crate::common::{file, sansip};

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let outcome = sansip(&["--help"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    for command in [
        "demo", "serve", "register", "message", "options", "call", "watch", "publish", "listen", "inspect",
        "ladder", "replay",
    ] {
        assert!(outcome.stdout.contains(&format!("\n  {command} ")), "{command}");
        let help = sansip(&[command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}");
        assert!(help.stdout.contains("Usage: sansip"), "{command}");
    }
    assert!(outcome.stdout.contains("Exit codes: 0"));
    assert!(sansip(&["serve", "--help"]).stdout.contains("laboratory"));
}

#[test]
fn wrong_usage_exits_with_2() {
    let user = ["--user", "sip:a@example.com"];
    let cases: [&[&str]; 41] = [
        &[],
        &["dance"],
        &["inspect"],
        &["inspect", "--chunk", "0", "--stream", "-"],
        &["inspect", "--chunk", "5", "-"],
        &["register"],
        &["register", "--user", "alice"],
        &[
            "register",
            user[0],
            user[1],
            "--record",
            "r",
            "--record-limit",
            "1023",
        ],
        &["register", user[0], user[1], "--server", "a:0"],
        &["register", user[0], user[1], "--transport", "udp"],
        &["register", user[0], user[1], "--answer", "302"],
        &["register", user[0], user[1], "--cert", "only-one"],
        &["call", user[0], user[1]],
        &[
            "call",
            "--direct",
            "--server",
            "x",
            user[0],
            user[1],
            "sip:b@example.com",
        ],
        &["message", user[0], user[1], "not a uri", "text"],
        &["watch", user[0], user[1]],
        &[
            "watch",
            user[0],
            user[1],
            "sip:b@example.com",
            "--once",
            "--for",
            "1",
        ],
        &["publish", user[0], user[1]],
        &["publish", user[0], user[1], "--body", ""],
        &["listen", "--listen", "udp:127.0.0.1:5060"],
        &["serve", "--listen", "tcp:127.0.0.1:0", "--algorithm", "ROT13"],
        &["serve", "--listen", "tcp:127.0.0.1:0", "--auth", "basic"],
        &["serve", "--listen", "tcp:127.0.0.1:0", "--auth", "ntlm,ntlm"],
        &["serve", "--listen", "tcp:127.0.0.1:0", "--auth", ""],
        &["serve", "--listen", "tcp:127.0.0.1:0", "--realm", "a\"b"],
        &["serve", "--listen", "tcp:127.0.0.1:0", "--signature-version", "5"],
        &["listen", "--listen", "tcp:127.0.0.1:0", "--reliable", "perhaps"],
        &["listen", "--listen", "tcp:127.0.0.1:0", "--hold", "message"],
        // It takes the place of hanging up.
        &[
            "listen",
            "--listen",
            "tcp:127.0.0.1:0",
            "--transfer-to",
            "sip:c@example.com",
        ],
        &[
            "call",
            "--direct",
            user[0],
            user[1],
            "sip:b@example.com",
            "--consult",
        ],
        &[
            "call",
            "--direct",
            user[0],
            user[1],
            "sip:b@example.com",
            "--hold-by",
            "update",
        ],
        &[
            "call",
            "--direct",
            user[0],
            user[1],
            "sip:b@example.com",
            "--early-update",
        ],
        &["listen", "--listen", "tcp:127.0.0.1:0", "--retry-after", "5"],
        &["listen", "--listen", "tcp:127.0.0.1:0", "--refuse-change", "200"],
        &["listen", "--listen", "tcp:127.0.0.1:0", "--event", "presence"],
        &["listen", "--listen", "tcp:127.0.0.1:0", "--state", ""],
        &["register", user[0], user[1], "--refresh-floor", "0"],
        &["ladder"],
        &["replay"],
        &["register", user[0], user[1], "--record-limit", "1000"],
        // A recording is of one stack.
        &[
            "listen",
            "--listen",
            "tcp:127.0.0.1:0",
            "--listen",
            "tls:127.0.0.1:0",
            "--record",
            "x",
        ],
    ];
    for args in cases {
        let outcome = sansip(args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {}", outcome.stderr);
        assert!(
            !outcome.stderr.is_empty() && outcome.stdout.is_empty(),
            "{args:?}"
        );
    }
}

// rules: A1, A2
#[test]
fn whoever_wants_kerberos_gets_as_far_as_the_server_or_is_told_how_to_build_it() {
    let (code, word) = if cfg!(feature = "kerberos") {
        (1, "refused")
    } else {
        (2, "--features kerberos")
    };
    for wanted in [["--auth", "ntlm,kerberos"].as_slice(), &["--default-credential"]] {
        let account = [
            "register",
            "--user",
            "sip:a@example.com",
            "--server",
            "127.0.0.1:1",
            "--transport",
            "tcp",
        ];
        let outcome = sansip(&[&account, wanted].concat());
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    }
    if !cfg!(feature = "kerberos") {
        let serve = ["serve", "--listen", "tcp:127.0.0.1:0", "--user", "a:b"];
        let outcome = sansip(&[&serve[..], &["--auth", "kerberos"]].concat());
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    }
}

/// What only the stack can know to be wrong is wrong usage as well, in one line.
#[test]
fn what_the_stack_refuses_as_misuse_exits_with_2() {
    let common = [
        "--direct",
        "--user",
        "sip:a@example.com",
        "sip:b@127.0.0.1:9",
        "text",
    ];
    for (extra, word) in [
        (["--header", "Via: SIP/2.0/TCP h"], "Via"),
        (["--epid", "more-than-16-characters"], "epid"),
    ] {
        let args: Vec<&str> = ["message"].into_iter().chain(extra).chain(common).collect();
        let outcome = sansip(&args);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.complaint().contains(word), "{}", outcome.stderr);
    }
}

/// What a command has to say is what it is for; but who reads no further has what they wanted.
#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_printed_is_a_failure() {
    let message = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:c@c>;tag=1\r\n\
        To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let path = file("unprinted", "message", message);
    for rest in [&[][..], &["--json"], &["--roundtrip"], &["--stream"]] {
        let run = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sansip"));
            command.args(["inspect", &path]).args(rest).stdout(stdout);
            command.output().unwrap()
        };
        assert_eq!(run(Stdio::piped()).status.code(), Some(0), "{rest:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = run(full.into());
        let said = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(1), "{rest:?}: {said}");
        assert!(
            said.starts_with("sansip: cannot write to standard output: "),
            "{said}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(writer.into()).status.code(), Some(0), "{rest:?}");
    }
}

#[test]
fn a_key_log_needs_a_file() {
    let listen = ["listen", "--listen", "tcp:127.0.0.1:0", "--key-log", "--for", "0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_sansip"));
    let unset = command.args(listen).env_remove("SSLKEYLOGFILE").output().unwrap();
    let said = String::from_utf8(unset.stderr).unwrap();
    assert_eq!(unset.status.code(), Some(2), "{said}");
    assert!(said.contains("SSLKEYLOGFILE"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sansip"));
    let bad = command
        .args(listen)
        .env("SSLKEYLOGFILE", "no/such/folder/keys")
        .output()
        .unwrap();
    let said = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(bad.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("sansip: no/such/folder/keys: cannot be written: "),
        "{said}"
    );
}
