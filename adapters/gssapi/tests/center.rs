//! At a key distribution center: what it gives tickets for an acceptor takes, and what it refuses is told apart.
//!
//! The laboratory has one, and starts each module in the surroundings that it is for, which `SANSIP_CENTER` names: `up` with
//! a ticket of alice, `accepting` with the keytab of the servers besides, `empty` without one, `down` where nobody listens. Without it there is nothing to test with.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use sansip::security::{Credentials, KerberosFailureKind as Kind, Secret, SecurityContext};
use sansip_gssapi::{accept, initiate};

const SERVER: &str = "sip/server.example.com";

/// Whether these are the surroundings; says loudly that nothing is tested where there are none.
fn is(surroundings: &str) -> bool {
    match std::env::var("SANSIP_CENTER") {
        Ok(here) => here == surroundings || panic!("the center is {here}, and not {surroundings}"),
        Err(_) => {
            // Not `println!`: the test runner swallows that when the test passes.
            let _ = std::io::stderr().write_all(b"SKIPPED: no key distribution center\n");
            false
        }
    }
}

fn alice(password: &str) -> Credentials {
    Credentials::new("alice", Secret::new(password)).with_domain("EXAMPLE.COM")
}

fn kind(target: &str, credentials: Option<&Credentials>) -> Kind {
    let failure = initiate(target, credentials).unwrap_err();
    println!("{failure}");
    let has_words = !failure.detail.is_empty() && !failure.detail.contains("Pa55");
    assert!(has_words, "{failure:?}");
    failure.kind
}

/// MIT's library as the server, which `SANSIP_ACCEPTOR` starts.
struct Acceptor {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Acceptor {
    fn start(server: &str) -> Self {
        let mut process = Command::new(std::env::var("SANSIP_ACCEPTOR").unwrap())
            .args(["accept", "krb5", &server.replace('/', "@")])
            .env("GSSORACLE_FLAGS", "integ")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acceptor = Self {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        };
        assert_eq!(acceptor.line(), "READY");
        acceptor
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str, arguments: &[&[u8]]) -> String {
        let arguments = arguments.iter().map(|argument| format!(" {}", hex(argument)));
        writeln!(self.commands, "{command}{}", arguments.collect::<String>()).unwrap();
        self.line()
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// The acceptor is convinced by the token alone; both verify what the other signs, in any order, and nothing else.
fn converse(server: &str, mut context: SecurityContext) {
    let lifetime = context.lifetime.unwrap();
    let most = Duration::from_secs(10 * 3600);
    assert!(lifetime > most / 2 && lifetime <= most, "{lifetime:?}");
    let mut acceptor = Acceptor::start(server);
    let done = acceptor.ask("STEP", &[&context.token]);
    // Integrity (0x20) was asked for; mutual (0x2), replay (0x4) and sequence (0x8) were not.
    let flags = done.rsplit_once("flags=").unwrap().1;
    let flags = u32::from_str_radix(flags, 16).unwrap();
    assert!(done.starts_with("DONE - ") && flags & 0x2e == 0x20, "{done}");
    let mut shared = context.clone().security;
    let first = context.security.sign(b"<one>").unwrap();
    let second = shared.sign(b"<two>").unwrap();
    assert_eq!(acceptor.ask("VERIFY", &[b"<two>", &second]), "OK");
    assert_eq!(acceptor.ask("VERIFY", &[b"<one>", &first]), "OK");
    assert!(acceptor.ask("VERIFY", &[b"<two>", &first]).starts_with("FAIL"));
    let mut signed = |text: &[u8]| unhex(acceptor.ask("MIC", &[text]).strip_prefix("MIC ").unwrap());
    let [one, two] = [signed(b"<one>"), signed(b"<two>")];
    assert!(shared.verify(b"<two>", &two));
    assert!(context.security.verify(b"<one>", &one));
    assert!(!context.security.verify(b"<one>", &two));
    assert!(!context.security.verify(b"<one>", &one[1..]));
    assert!(!context.security.verify(b"<one>", &[]));
}

mod up {
    use super::*;

    // rules: A2, A11
    #[test]
    fn a_password_makes_a_context_that_the_server_takes() {
        if !is("up") {
            return;
        }
        converse(SERVER, initiate(SERVER, Some(&alice("Pa55word"))).unwrap());
        for user in ["alice", "alice@EXAMPLE.COM", "EXAMPLE.COM\\alice"] {
            let credentials = Credentials::new(user, Secret::new("Pa55word"));
            converse(SERVER, initiate(SERVER, Some(&credentials)).unwrap());
        }
    }

    // rules: A2, A11
    #[test]
    fn the_ticket_of_the_process_makes_a_context() {
        if is("up") {
            converse(SERVER, initiate(SERVER, None).unwrap());
        }
    }

    // rules: A7
    #[test]
    fn what_the_center_refuses_is_told_apart() {
        if !is("up") {
            return;
        }
        let wrong = Some(&alice("Pa55w0rd"));
        assert_eq!(kind(SERVER, wrong), Kind::WrongCredentials);
        let nobody = Credentials::new("nobody", Secret::new("Pa55word"));
        assert_eq!(kind(SERVER, Some(&nobody)), Kind::WrongCredentials);
        for credentials in [None, Some(&alice("Pa55word"))] {
            assert_eq!(kind("sip/other.example.com", credentials), Kind::UnknownService);
        }
        let elsewhere = alice("Pa55word").with_domain("ELSEWHERE.TEST");
        assert_eq!(kind(SERVER, Some(&elsewhere)), Kind::Unreachable);
        assert_eq!(kind("server.example.com", None), Kind::Other);
    }
}

mod accepting {
    use super::*;

    // rules: A11
    #[test]
    fn a_server_takes_a_ticket_of_its_own_once() {
        if !is("accepting") {
            return;
        }
        let mut client = initiate(SERVER, None).unwrap();
        // That of another server is none: the key in the keytab does not open it.
        let other = accept("sip/rc4.example.com", &client.token).unwrap_err();
        assert!(!other.detail.is_empty(), "{other:?}");
        let mut server = accept(SERVER, &client.token).unwrap();
        assert_eq!(server.user, "alice@EXAMPLE.COM");
        // The library allows for a clock that is five minutes late (RFC 4120 section 1.6).
        let longest = client.lifetime.unwrap() + Duration::from_secs(300);
        assert!(server.lifetime.is_some_and(|lifetime| lifetime <= longest));
        let asked = client.security.sign(b"<one>").unwrap();
        assert!(server.security.verify(b"<one>", &asked));
        assert!(!server.security.verify(b"<two>", &asked));
        let told = server.security.sign(b"<three>").unwrap();
        assert!(client.security.verify(b"<three>", &told));
        assert!(!client.security.verify(b"<one>", &told));
        // Shown again it is a replay (RFC 4120 section 3.2.3).
        assert!(accept(SERVER, &client.token).is_err());
        for bad in [&b""[..], b"no token", &client.token[1..], &client.token[..40]] {
            assert!(accept(SERVER, bad).is_err());
        }
        assert!(accept("server.example.com", &client.token).is_err());
    }
}

mod empty {
    use super::*;

    // rules: A7
    #[test]
    fn without_a_ticket_there_is_no_context() {
        if is("empty") {
            assert_eq!(kind(SERVER, None), Kind::NoTicket);
            converse(SERVER, initiate(SERVER, Some(&alice("Pa55word"))).unwrap());
        }
    }
}

mod down {
    use super::*;

    // rules: A7
    #[test]
    fn a_center_that_is_away_is_told() {
        if is("down") {
            assert_eq!(kind(SERVER, Some(&alice("Pa55word"))), Kind::Unreachable);
            // The ticket is there, and none for the server.
            assert_eq!(kind(SERVER, None), Kind::Unreachable);
        }
    }
}
