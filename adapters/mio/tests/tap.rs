//! What a [`sansip_mio::Tap`] sees.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use common::{Ca, Host, loopback, pattern, settings, until};
use sansip_mio::{ConnectTls, Settings, Tap, Tapped};

const NAME: &str = "sip.example.com";

/// One connection as a tap saw it.
#[derive(Debug, Default)]
struct Conn {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    outgoing: bool,
    tls: bool,
    received: Vec<u8>,
    sent: Vec<u8>,
    closed: Option<bool>,
}

type Conns = Arc<Mutex<BTreeMap<u64, Conn>>>;

/// Settings with a tap, and what it sees. Nothing may come before a connection is ready or after it is closed.
fn tapped() -> (Settings, Conns) {
    let conns = Conns::default();
    let seen = Arc::clone(&conns);
    let tap = Tap::new(move |tapped| {
        let mut conns = seen.lock().unwrap();
        match *tapped {
            Tapped::Ready {
                socket,
                local,
                remote,
                outgoing,
                tls,
            } => {
                let conn = Conn {
                    local: Some(local),
                    remote: Some(remote),
                    outgoing,
                    tls,
                    ..Conn::default()
                };
                assert!(conns.insert(socket.number(), conn).is_none());
            }
            Tapped::Received { socket, bytes } => open(&mut conns, socket.number()).received.extend(bytes),
            Tapped::Sent { socket, bytes } => open(&mut conns, socket.number()).sent.extend(bytes),
            Tapped::Closed { socket, ours } => {
                if conns.contains_key(&socket.number()) {
                    open(&mut conns, socket.number()).closed = Some(ours);
                }
            }
        }
    });
    let settings = Settings {
        tap: Some(tap),
        ..settings()
    };
    (settings, conns)
}

fn open(conns: &mut BTreeMap<u64, Conn>, number: u64) -> &mut Conn {
    let conn = conns.get_mut(&number).unwrap();
    assert_eq!(conn.closed, None);
    conn
}

#[test]
fn both_ends_see_in_plain_what_passes() {
    let ca = Ca::new("root");
    let config = ca.client(None);
    for tls in [false, true] {
        let (server_settings, at_server) = tapped();
        let (client_settings, at_client) = tapped();
        let (mut server, address) = Host::echo(&server_settings, tls.then(|| ca.server(NAME)));
        let mut client = Host::new(&client_settings);
        let name = ConnectTls {
            config: &config,
            name: NAME,
        };
        let socket = client.connect(address, tls.then_some(name));
        let sent = pattern(300_000);
        client.send(socket, &sent);
        until("echoed", &mut client, &mut server, |client, _| {
            client.seen(socket).received.len() == sent.len()
        });
        client.net.close(socket);
        until("closed", &mut client, &mut server, |_, server| {
            server.net.connections() == 0
        });

        let (at_client, at_server) = (at_client.lock().unwrap(), at_server.lock().unwrap());
        let (here, there) = (
            at_client.values().next().unwrap(),
            at_server.values().next().unwrap(),
        );
        assert_eq!((at_client.len(), at_server.len()), (1, 1));
        assert!(here.sent == sent && here.received == sent && there.sent == sent && there.received == sent);
        assert_eq!((here.tls, there.tls), (tls, tls));
        assert!(here.outgoing && !there.outgoing);
        assert_eq!((here.remote, here.local), (Some(address), there.remote));
        assert_eq!(there.local, Some(address));
        assert_eq!((here.closed, there.closed), (Some(true), Some(false)));
    }
}

#[test]
fn a_connection_that_could_not_be_made_is_not_seen() {
    let (settings, conns) = tapped();
    let mut host = Host::new(&settings);
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let socket = host.connect(address, None);
    host.until("refused", |host| host.seen(socket).closed.is_some());
    assert!(conns.lock().unwrap().is_empty());
}
