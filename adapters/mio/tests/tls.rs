//! TLS on loopback, at the level of [`sansip_mio::Net`].
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::{Ca, Host, PATIENCE, loopback, pattern, settings, until};
use sansip::{CloseReason, TlsFailure, TlsFailureKind};
use sansip_mio::{ConnectTls, SocketId};
use sansip_net::{TlsClientConfig, TlsServerConfig};

const NAME: &str = "sip.example.com";

fn pair(server: TlsServerConfig, client: &TlsClientConfig) -> (Host, Host, SocketId) {
    let (server, address) = Host::echo(&settings(), Some(server));
    let mut host = Host::new(&settings());
    let socket = host.connect(
        address,
        Some(ConnectTls {
            config: client,
            name: NAME,
        }),
    );
    (host, server, socket)
}

#[track_caller]
fn kind(reason: Option<&CloseReason>) -> TlsFailureKind {
    match reason {
        Some(CloseReason::Tls(TlsFailure { kind, .. })) => *kind,
        other => panic!("no TLS failure: {other:?}"),
    }
}

#[test]
fn data_goes_both_ways_and_the_certificate_is_reported() {
    let ca = Ca::new("root");
    let (mut client, mut server, socket) = pair(ca.server(NAME), &ca.client(None));
    let sent = pattern(1 << 20);
    // Queued before the handshake, so that the first data follows it at once.
    client.send(socket, &sent);
    until("echoed", &mut client, &mut server, |client, _| {
        client.seen(socket).received.len() == sent.len()
    });
    assert!(client.seen(socket).received == sent);
    assert_eq!(client.seen(socket).peer().unwrap().dns_names, [NAME]);
    let accepted = server.accepted[0];
    assert!(server.seen(accepted).established.is_some());
    assert_eq!(server.seen(accepted).peer(), None);
}

#[test]
fn both_ends_close_in_order() {
    let ca = Ca::new("root");
    let (mut client, mut server, socket) = pair(ca.server(NAME), &ca.client(None));
    client.send(socket, b"hello");
    until("echoed", &mut client, &mut server, |client, _| {
        client.seen(socket).received == b"hello"
    });
    client.net.close(socket);
    let accepted = server.accepted[0];
    until("closed", &mut client, &mut server, |_, server| {
        server.seen(accepted).closed.is_some()
    });
    assert_eq!(server.seen(accepted).closed, Some(CloseReason::Closed));
    until("gone", &mut client, &mut server, |client, server| {
        client.net.connections() == 0 && server.net.connections() == 0
    });
}

#[test]
fn closing_sends_what_was_taken() {
    let ca = Ca::new("root");
    let (mut client, mut server, socket) = pair(ca.server(NAME), &ca.client(None));
    server.echo = false;
    until("connected", &mut client, &mut server, |client, _| {
        client.seen(socket).established.is_some()
    });
    let sent = pattern(50_000);
    let taken = client.net.write_all(socket, &sent);
    assert!(taken > 0);
    client.net.close(socket);
    until("closed", &mut client, &mut server, |_, server| {
        server
            .accepted
            .first()
            .is_some_and(|&accepted| server.seen(accepted).closed.is_some())
    });
    let seen = server.seen(server.accepted[0]);
    assert_eq!(seen.closed, Some(CloseReason::Closed));
    assert!(seen.received == sent[..taken]);
}

// rules: C18
#[test]
fn mutual_tls_reports_the_certificate_of_the_client() {
    let ca = Ca::new("root");
    let client = ca.client(Some(ca.identity("client.example.com")));
    let (mut client, mut server, socket) = pair(ca.mutual_server(NAME), &client);
    client.send(socket, b"hello");
    until("echoed", &mut client, &mut server, |client, _| {
        client.seen(socket).received == b"hello"
    });
    assert_eq!(
        server.seen(server.accepted[0]).peer().unwrap().dns_names,
        ["client.example.com"]
    );
}

// rules: C27, C28
#[test]
fn a_client_without_a_certificate_learns_that_it_needs_one() {
    let ca = Ca::new("root");
    let (mut client, mut server, socket) = pair(ca.mutual_server(NAME), &ca.client(None));
    until("failed", &mut client, &mut server, |client, server| {
        client.seen(socket).closed.is_some()
            && server
                .accepted
                .first()
                .is_some_and(|&accepted| server.seen(accepted).closed.is_some())
    });
    assert_eq!(
        kind(client.seen(socket).closed.as_ref()),
        TlsFailureKind::LocalCertificateNotFound
    );
    let seen = server.seen(server.accepted[0]);
    assert_eq!(
        kind(seen.closed.as_ref()),
        TlsFailureKind::UntrustedRemoteCertificate
    );
    assert_eq!(seen.established, None);
}

// rules: C27, R11
#[test]
fn an_untrusted_server_is_its_own_failure_and_the_server_is_told() {
    let (ca, other) = (Ca::new("root"), Ca::new("another root"));
    let (mut client, mut server, socket) = pair(other.server(NAME), &ca.client(None));
    until("failed", &mut client, &mut server, |client, server| {
        client.seen(socket).closed.is_some()
            && server
                .accepted
                .first()
                .is_some_and(|&accepted| server.seen(accepted).closed.is_some())
    });
    let seen = client.seen(socket);
    assert_eq!(
        kind(seen.closed.as_ref()),
        TlsFailureKind::UntrustedRemoteCertificate
    );
    assert_eq!(seen.established, None);
    // By the alert.
    let seen = server.seen(server.accepted[0]);
    assert_eq!(kind(seen.closed.as_ref()), TlsFailureKind::NegotiationFailure);
    until("gone", &mut client, &mut server, |client, server| {
        client.net.connections() == 0 && server.net.connections() == 0
    });
}

// rules: C27
#[test]
fn an_expired_certificate_is_its_own_failure() {
    let ca = Ca::new("root");
    let server = TlsServerConfig::builder(ca.expired_identity(NAME))
        .build()
        .unwrap();
    let (mut client, mut server, socket) = pair(server, &ca.client(None));
    until("failed", &mut client, &mut server, |client, _| {
        client.seen(socket).closed.is_some()
    });
    assert_eq!(
        kind(client.seen(socket).closed.as_ref()),
        TlsFailureKind::CertificateExpired
    );
}

// rules: C27
#[test]
fn a_peer_that_leaves_during_the_handshake_is_its_own_failure() {
    let ca = Ca::new("root");
    let config = ca.client(None);
    let listener = TcpListener::bind(loopback()).unwrap();
    let mut client = Host::new(&settings());
    let tls = ConnectTls {
        config: &config,
        name: NAME,
    };
    let socket = client.connect(listener.local_addr().unwrap(), Some(tls));
    let (mut peer, _) = listener.accept().unwrap();
    client.turn(Duration::from_millis(20));
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    // Read what was sent, or leaving would be a reset.
    let mut hello = [0; 4096];
    std::thread::scope(|scope| {
        scope.spawn(move || {
            assert!(peer.read(&mut hello).unwrap() > 0);
        });
        client.until("failed", |client| client.seen(socket).closed.is_some());
    });
    assert_eq!(
        kind(client.seen(socket).closed.as_ref()),
        TlsFailureKind::RemoteDisconnected
    );
    assert_eq!(client.net.connections(), 0);
}

#[test]
fn a_server_that_speaks_no_tls_is_a_tls_failure() {
    let ca = Ca::new("root");
    let config = ca.client(None);
    let (mut server, address) = Host::echo(&settings(), None);
    let mut client = Host::new(&settings());
    let socket = client.connect(
        address,
        Some(ConnectTls {
            config: &config,
            name: NAME,
        }),
    );
    // It echoes the client's own greeting, which is no greeting of a server.
    until("failed", &mut client, &mut server, |client, _| {
        client.seen(socket).closed.is_some()
    });
    let _: TlsFailureKind = kind(client.seen(socket).closed.as_ref());
}

#[test]
fn a_client_that_says_nothing_is_given_up() {
    let ca = Ca::new("root");
    let mut settings = settings();
    settings.handshake_timeout = Duration::from_millis(100);
    let mut host = Host::new(&settings);
    let (_, address) = host.net.listen(loopback(), Some(ca.server(NAME))).unwrap();
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(b"\x16\x03\x01").unwrap();
    host.until("given up", |host| {
        host.accepted
            .first()
            .is_some_and(|&accepted| host.seen(accepted).closed.is_some())
    });
    assert_eq!(host.seen(host.accepted[0]).closed, Some(CloseReason::TimedOut));
    assert_eq!(host.net.connections(), 0);
}

// rules: C34
#[test]
fn a_new_certificate_is_shown_to_new_connections_only() {
    let ca = Ca::new("root");
    let config = ca.client(None);
    let tls = Some(ConnectTls {
        config: &config,
        name: NAME,
    });
    let mut server = Host::new(&settings());
    server.echo = true;
    let (listener, address) = server
        .net
        .listen(loopback(), Some(ca.server("old.example.com")))
        .unwrap();
    let mut client = Host::new(&settings());
    let old = client.connect(address, tls);
    until("connected", &mut client, &mut server, |client, _| {
        client.seen(old).established.is_some()
    });
    server
        .net
        .set_listener_tls(listener, ca.server("new.example.com"));
    let new = client.connect(address, tls);
    client.send(old, b"old");
    client.send(new, b"new");
    until("echoed", &mut client, &mut server, |client, _| {
        client.seen(old).received == b"old" && client.seen(new).received == b"new"
    });
    assert_eq!(client.seen(old).peer().unwrap().dns_names, ["old.example.com"]);
    assert_eq!(client.seen(new).peer().unwrap().dns_names, ["new.example.com"]);
}

#[test]
fn data_that_is_not_read_stays_and_comes_in_order() {
    let ca = Ca::new("root");
    let (mut client, mut server, socket) = pair(ca.server(NAME), &ca.client(None));
    until("connected", &mut client, &mut server, |client, _| {
        client.seen(socket).established.is_some()
    });
    client.net.set_reading(socket, false);
    let sent = pattern(300_000);
    client.send(socket, &sent);
    for _ in 0..50 {
        client.turn(Duration::from_millis(1));
        server.turn(Duration::from_millis(1));
    }
    assert_eq!(client.seen(socket).received, b"");
    client.net.set_reading(socket, true);
    until("echoed", &mut client, &mut server, |client, _| {
        client.seen(socket).received.len() == sent.len()
    });
    assert!(client.seen(socket).received == sent);
}
