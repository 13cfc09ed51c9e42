//! TLS that fails: one row for each way, on real handshakes, with what either side is told.

use std::fmt::Write;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose as Usage, SanType};
use sansip::{
    CloseReason, ConnectionFailure, OperationError, RemovalReason, TlsFailure, TlsFailureKind as Kind,
};
use sansip_net::{TlsClientConfig, TlsServerConfig};

use crate::agent::{Agent, Heard, Setup};
use crate::certificates::{ALICE, BOB, Ca, SIP_DOMAIN, client, mutual_server, server};
use crate::on_async_std::AsyncStd;
use crate::on_mio::Mio;
use crate::peers::{self, loopback, read_some};

/// What a side is told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// TLS could not be set up: the connecting side's operation fails with it, the accepting side gets an event.
    Failed(Kind),
    /// TLS was set up, and then the peer said why not.
    Broken(Kind),
    /// The connection could not be made in time.
    TimedOut,
    /// A connection that was ready is gone: the peer closed it.
    Closed,
    /// Nothing: the message came through.
    Talked,
}

/// Two agents, of which the first writes to the second.
struct Row {
    name: &'static str,
    client: TlsClientConfig,
    server: TlsServerConfig,
    /// The accepting side wants a certificate for a name on this list.
    allowed: Option<&'static [&'static str]>,
    /// Both sides want the other's certificate to be for a SIP domain (C20).
    sip_domain: bool,
    connecting: Told,
    accepting: Told,
}

fn rows() -> Vec<Row> {
    let (ca, other) = (Ca::new(), Ca::called("another root"));
    let plain = |name, trust, identity, connecting, accepting| Row {
        name,
        client: client(trust, None),
        server: server(identity),
        allowed: None,
        sip_domain: false,
        connecting: Told::Failed(connecting),
        accepting,
    };
    // The core matches names, when the handshake is done.
    let named = |name, identity, kind: Option<Kind>| Row {
        name,
        client: client(ca.trust(), None),
        server: server(identity),
        allowed: None,
        sip_domain: false,
        connecting: kind.map_or(Told::Talked, Told::Failed),
        accepting: if kind.is_some() {
            Told::Closed
        } else {
            Told::Talked
        },
    };
    let listed = |name, identity, allowed, kind: Option<Kind>| Row {
        name,
        client: client(ca.trust(), Some(identity)),
        server: mutual_server(ca.identity(BOB), ca.trust()),
        allowed: Some(allowed),
        sip_domain: false,
        connecting: if kind.is_some() {
            Told::Closed
        } else {
            Told::Talked
        },
        accepting: kind.map_or(Told::Talked, Told::Failed),
    };
    let wrong_name = Some(Kind::IncorrectNameInRemoteCertificate);
    let loopback = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    let mutual = |name, identity, trust, connecting, accepting| Row {
        name,
        client: client(ca.trust(), identity),
        server: mutual_server(ca.identity(BOB), trust),
        allowed: Some(&[".example.com"]),
        sip_domain: false,
        connecting: Told::Broken(connecting),
        accepting: Told::Failed(accepting),
    };
    let refused = Told::Failed(Kind::NegotiationFailure);
    let wanted = |row: Row| Row {
        sip_domain: true,
        ..row
    };
    let wrong_usage = Some(Kind::RemoteCertificateInvalidUsage);
    vec![
        wanted(named("wanted usage", ca.sip_domain(BOB), None)),
        wanted(named(
            "wanted usage is missing",
            ca.only_for(BOB, Usage::ServerAuth),
            wrong_usage,
        )),
        wanted(named(
            "no usage where one is wanted",
            ca.identity(BOB),
            wrong_usage,
        )),
        wanted(Row {
            server: mutual_server(ca.sip_domain(BOB), ca.trust()),
            ..listed("client: wanted usage", ca.sip_domain(ALICE), &[ALICE], None)
        }),
        wanted(Row {
            server: mutual_server(ca.sip_domain(BOB), ca.trust()),
            ..listed(
                "client: wanted usage is missing",
                ca.only_for(ALICE, Usage::ClientAuth),
                &[ALICE],
                wrong_usage,
            )
        }),
        named("wrong name", ca.identity("mallory.example.com"), wrong_name),
        named("wildcard", ca.identity("*.example.com"), wrong_name),
        named("wildcard inside", ca.identity("b*b.example.com"), wrong_name),
        named("the domain above", ca.identity("example.com"), wrong_name),
        named("empty name", ca.raw(b""), wrong_name),
        named("NUL behind the name", ca.raw(b"bob.example.com\0"), wrong_name),
        named(
            "NUL in the name",
            ca.raw(b"bob.example.com\0.example.net"),
            wrong_name,
        ),
        named(
            "a letter that looks alike",
            ca.raw("b\u{43e}b.example.com".as_bytes()),
            wrong_name,
        ),
        named("no text at all", ca.raw(b"\xff\xfe\x00\x80"), wrong_name),
        named(
            "an address for a name",
            ca.named(vec![loopback.clone()]),
            wrong_name,
        ),
        named("common name", ca.common(BOB), None),
        named(
            "common name with NUL",
            ca.common("bob.example.com\0.example.net"),
            wrong_name,
        ),
        named("900 names", ca.of_many(900, BOB), None),
        named("2,000 names", ca.of_many(2000, BOB), Some(Kind::Other)),
        listed(
            "client: on the list",
            ca.identity(ALICE),
            &["carol.example.net", ALICE],
            None,
        ),
        listed(
            "client: below a domain",
            ca.identity("a.b.example.com"),
            &[".example.com"],
            None,
        ),
        listed(
            "client: not on the list",
            ca.identity(ALICE),
            &[BOB, ".example.net"],
            wrong_name,
        ),
        listed(
            "client: the domain itself",
            ca.identity("example.com"),
            &[".example.com"],
            wrong_name,
        ),
        listed(
            "client: a longer word",
            ca.identity("badexample.com"),
            &[".example.com"],
            wrong_name,
        ),
        listed(
            "client: wildcard",
            ca.identity("*.example.com"),
            &[".example.com"],
            wrong_name,
        ),
        listed("client: empty list", ca.identity(ALICE), &[], wrong_name),
        // Without a name of its own the local host is its address (C18).
        listed(
            "client: the local host",
            ca.named(vec![loopback.clone()]),
            &[],
            None,
        ),
        listed(
            "client: an address",
            ca.named(vec![loopback]),
            &["127.0.0.1"],
            None,
        ),
        listed(
            "client: NUL",
            ca.raw(b"alice.example.com\0"),
            &[ALICE, ".com"],
            wrong_name,
        ),
        listed("client: 900 names", ca.of_many(900, ALICE), &[ALICE], None),
        listed(
            "client: 2,000 names",
            ca.of_many(2000, ALICE),
            &[ALICE],
            Some(Kind::Other),
        ),
        plain(
            "unknown CA",
            ca.trust(),
            other.identity(BOB),
            Kind::UntrustedRemoteCertificate,
            refused,
        ),
        plain(
            "expired",
            ca.trust(),
            ca.expired(BOB),
            Kind::CertificateExpired,
            refused,
        ),
        plain(
            "not yet valid",
            ca.trust(),
            ca.not_yet_valid(BOB),
            Kind::CertificateExpired,
            refused,
        ),
        plain(
            "wrong usage",
            ca.trust(),
            ca.only_for(BOB, Usage::ClientAuth),
            Kind::RemoteCertificateInvalidUsage,
            refused,
        ),
        plain(
            "revoked",
            ca.revoking(),
            ca.revoked(BOB),
            Kind::RemoteCertificateRevoked,
            refused,
        ),
        mutual(
            "no client certificate",
            None,
            ca.trust(),
            Kind::LocalCertificateNotFound,
            Kind::UntrustedRemoteCertificate,
        ),
        mutual(
            "client: unknown CA",
            Some(other.identity(ALICE)),
            ca.trust(),
            Kind::NegotiationFailure,
            Kind::UntrustedRemoteCertificate,
        ),
        mutual(
            "client: expired",
            Some(ca.expired(ALICE)),
            ca.trust(),
            Kind::NegotiationFailure,
            Kind::CertificateExpired,
        ),
        mutual(
            "client: not yet valid",
            Some(ca.not_yet_valid(ALICE)),
            ca.trust(),
            Kind::NegotiationFailure,
            Kind::CertificateExpired,
        ),
        mutual(
            "client: wrong usage",
            Some(ca.only_for(ALICE, Usage::ServerAuth)),
            ca.trust(),
            Kind::NegotiationFailure,
            Kind::RemoteCertificateInvalidUsage,
        ),
        mutual(
            "client: revoked",
            Some(ca.revoked(ALICE)),
            ca.revoking(),
            Kind::NegotiationFailure,
            Kind::RemoteCertificateRevoked,
        ),
    ]
}

#[track_caller]
fn told(outcome: Result<(u16, Vec<u8>), OperationError>) -> Told {
    match outcome {
        Err(OperationError::Tls(failure)) => Told::Failed(failure.kind),
        Err(OperationError::ConnectionFailure(ConnectionFailure::Lost(CloseReason::Tls(TlsFailure {
            kind,
            ..
        })))) => Told::Broken(kind),
        Err(OperationError::ConnectionFailure(ConnectionFailure::Connect {
            reason: CloseReason::TimedOut,
            ..
        })) => Told::TimedOut,
        // By what the system makes of a close while bytes of ours are on their way.
        Err(OperationError::ConnectionFailure(ConnectionFailure::Lost(
            CloseReason::Closed | CloseReason::Reset,
        ))) => Told::Closed,
        Ok((200, _)) => Told::Talked,
        other => panic!("{other:?}"),
    }
}

/// What the accepting side is told of its first connection.
fn told_accepting<A: Agent>(bob: &mut A) -> Told {
    bob.ears().wait("the end of the connection", |heard| match heard {
        Heard::IncomingTlsFailed(kind) => Some(Told::Failed(*kind)),
        Heard::ConnectionRemoved(RemovalReason::Remote(CloseReason::Closed)) => Some(Told::Closed),
        Heard::Message(_) => Some(Told::Talked),
        _ => None,
    })
}

fn two_agents<A: Agent>(row: &Row) -> (Told, Told) {
    let required: Vec<String> = row
        .sip_domain
        .then(|| SIP_DOMAIN.to_owned())
        .into_iter()
        .collect();
    let mut setup = Setup::tls("alice", Some(row.client.clone()), None);
    setup.required.clone_from(&required);
    let mut alice = A::start(setup);
    let mut setup = Setup::tls("bob", None, Some(row.server.clone()));
    setup.required = required;
    if let Some(allowed) = row.allowed {
        setup = setup.mutual(allowed);
    }
    let mut bob = A::start(setup);
    let address = bob.listen(loopback()).unwrap();
    let outcome = alice.message(
        &format!("sip:bob@{BOB}:{};transport=tls", address.port()),
        "let me in",
    );
    let seen = (told(outcome), told_accepting(&mut bob));
    alice.end();
    bob.end();
    seen
}

/// An agent that writes to a server that misbehaves in the handshake.
fn connecting<A: Agent>(behave: fn(TcpStream)) -> Told {
    let ca = Ca::new();
    let (address, peer) = peers::server(behave);
    let mut setup = Setup::tls("alice", Some(ca.client()), None);
    setup.config.connect_timeout = Duration::from_millis(300);
    let mut alice = A::start(setup);
    let outcome = alice.message(&format!("sip:bob@{address};transport=tls"), "let me in");
    alice.end();
    peer.join().unwrap();
    told(outcome)
}

/// An agent that is connected to by a client that misbehaves in the handshake.
fn accepting<A: Agent>(behave: fn(TcpStream)) -> Told {
    let ca = Ca::new();
    let mut setup = Setup::tls("bob", None, Some(ca.server(BOB)));
    setup.handshake_timeout = Duration::from_millis(300);
    let mut bob = A::start(setup);
    let address: SocketAddr = bob.listen(loopback()).unwrap();
    let peer = std::thread::spawn(move || behave(TcpStream::connect(address).unwrap()));
    let seen = told_accepting(&mut bob);
    peer.join().unwrap();
    bob.end();
    seen
}

/// Takes what comes and says nothing, until the other end has gone.
fn stall(mut stream: TcpStream) {
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// The head of a record that never comes.
fn begin_and_stall(mut stream: TcpStream) {
    stream.write_all(b"\x16\x03\x01").unwrap();
    // The other end may reset: it does not wait for what it does not want.
    let _ = stream.read_to_end(&mut Vec::new());
}

fn close(mut stream: TcpStream) {
    read_some(&mut stream);
}

fn begin_and_close(mut stream: TcpStream) {
    stream.write_all(b"\x16\x03\x01").unwrap();
}

/// Leaves without a farewell.
fn begin_and_reset(mut stream: TcpStream) {
    stream.write_all(b"\x16\x03\x01").unwrap();
    peers::reset(stream);
}

fn read_and_reset(mut stream: TcpStream) {
    read_some(&mut stream);
    peers::reset(stream);
}

/// The length of a record that no TLS has.
fn promise_too_much(mut stream: TcpStream) {
    stream.write_all(b"\x16\x03\x03\xff\xff").unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

fn speak_no_tls(mut stream: TcpStream) {
    read_some(&mut stream);
    stream.write_all(b"SIP/2.0 400 What is this?\r\n\r\n").unwrap();
    stall(stream);
}

/// Every row of the table through one adapter: its name and what was told.
fn table<A: Agent>() -> Vec<(&'static str, Vec<Told>)> {
    let mut table: Vec<_> = rows()
        .iter()
        .map(|row| {
            let (connecting, accepting) = two_agents::<A>(row);
            (row.name, vec![connecting, accepting])
        })
        .collect();
    for (name, behave) in SERVERS.map(|(name, behave, _)| (name, behave)) {
        table.push((name, vec![connecting::<A>(behave)]));
    }
    for (name, behave) in CLIENTS.map(|(name, behave, _)| (name, behave)) {
        table.push((name, vec![accepting::<A>(behave)]));
    }
    table
}

type Misbehaviour = (&'static str, fn(TcpStream), Told);

const SERVERS: [Misbehaviour; 6] = [
    ("server stalls", stall, Told::TimedOut),
    ("server begins and stalls", begin_and_stall, Told::TimedOut),
    (
        "server promises too much",
        promise_too_much,
        Told::Failed(Kind::Other),
    ),
    (
        "server resets",
        read_and_reset,
        Told::Failed(Kind::RemoteDisconnected),
    ),
    ("server closes", close, Told::Failed(Kind::RemoteDisconnected)),
    ("server speaks no TLS", speak_no_tls, Told::Failed(Kind::Other)),
];

const CLIENTS: [Misbehaviour; 5] = [
    ("client says nothing", stall, Told::Failed(Kind::Other)),
    (
        "client promises too much",
        promise_too_much,
        Told::Failed(Kind::Other),
    ),
    (
        "client resets",
        begin_and_reset,
        Told::Failed(Kind::RemoteDisconnected),
    ),
    ("client stalls", begin_and_stall, Told::Failed(Kind::Other)),
    (
        "client closes",
        begin_and_close,
        Told::Failed(Kind::RemoteDisconnected),
    ),
];

fn expected() -> Vec<(&'static str, Vec<Told>)> {
    let rows = rows();
    let rows = rows
        .iter()
        .map(|row| (row.name, vec![row.connecting, row.accepting]));
    let lone = SERVERS.iter().chain(&CLIENTS);
    rows.chain(lone.map(|(name, _, told)| (*name, vec![*told])))
        .collect()
}

// rules: C17, C18, C20, C27, C28, C31, R11
#[test]
fn every_failure_of_tls_is_told_by_its_kind_and_alike_through_both_adapters() {
    let (expected, mio, async_std) = (expected(), table::<Mio>(), table::<AsyncStd>());
    let mut print = String::new();
    for (((name, expected), (_, mio)), (_, async_std)) in expected.iter().zip(&mio).zip(&async_std) {
        let verdict = if mio == expected && async_std == expected {
            "ok"
        } else {
            "WRONG"
        };
        writeln!(
            print,
            "{name:32} {verdict:5} expected {expected:?}\n{:38} mio {mio:?}\n{:38} async-std {async_std:?}",
            "", ""
        )
        .unwrap();
    }
    println!("{print}");
    assert!(mio == expected && async_std == expected, "\n{print}");
}
