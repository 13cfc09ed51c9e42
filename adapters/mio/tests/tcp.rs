//! TCP on loopback, at the level of [`sansip_mio::Net`].
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{Host, PATIENCE, loopback, pattern, settings, until};
use sansip::{CloseReason, ListenError};
use sansip_mio::Settings;

fn small_buffers() -> Settings {
    let mut settings = settings();
    settings.socket.send_buffer = Some(4096);
    settings
}

/// A plain socket of the standard library that has connected to a fresh host.
fn host_and_peer(settings: &Settings) -> (Host, TcpStream) {
    let mut host = Host::new(settings);
    let (_, address) = host.net.listen(loopback(), None).unwrap();
    let peer = TcpStream::connect(address).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    host.until("accepted", |host| !host.accepted.is_empty());
    (host, peer)
}

#[test]
fn bytes_go_both_ways_through_sockets_that_take_them_in_parts() {
    let (mut server, address) = Host::echo(&small_buffers(), None);
    let mut client = Host::new(&small_buffers());
    let socket = client.connect(address, None);
    let sent = pattern(1 << 20);
    client.send(socket, &sent);
    until("echoed", &mut client, &mut server, |client, _| {
        client.seen(socket).received.len() == sent.len()
    });
    assert!(client.seen(socket).received == sent);
    let seen = client.seen(socket);
    assert!(
        seen.writable > 10,
        "the socket took it all at once: {}",
        seen.writable
    );
    let established = seen.established.as_ref().unwrap();
    assert_eq!(established.remote, address);
    assert_ne!(established.local.port(), 0);
    assert_eq!(established.peer, None);
}

// rules: C14
#[test]
fn port_zero_reports_the_real_port_and_a_port_in_use_is_its_own_error() {
    let mut host = Host::new(&settings());
    let (listener, address) = host.net.listen(loopback(), None).unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!(
        host.net.listen(address, None).unwrap_err(),
        ListenError::AddressInUse
    );
    host.net.stop_listening(listener);
    assert_eq!(
        TcpStream::connect(address).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    host.net.listen(address, None).unwrap();
}

#[test]
fn a_foreign_address_cannot_be_listened_on() {
    let mut host = Host::new(&settings());
    // RFC 5737: an address of documentation, that no host has.
    let error = host.net.listen("192.0.2.1:0".parse().unwrap(), None).unwrap_err();
    assert_eq!(error, ListenError::AddressNotAvailable);
}

#[test]
fn ipv6_works_and_leaves_ipv4_alone() {
    let mut host = Host::new(&settings());
    host.echo = true;
    let Ok((_, six)) = host.net.listen("[::1]:0".parse().unwrap(), None) else {
        // Not `eprintln!`: the test runner swallows that when the test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: this host has no IPv6");
        return;
    };
    let socket = host.connect(six, None);
    host.send(socket, b"over six");
    // The client is at the same host, which echoes everything: the message goes round and round.
    host.until("echoed", |host| {
        host.seen(socket).received.starts_with(b"over six")
    });
    assert!(host.seen(socket).established.as_ref().unwrap().local.is_ipv6());

    let (_, any) = host.net.listen("[::]:0".parse().unwrap(), None).unwrap();
    let four = format!("0.0.0.0:{}", any.port()).parse().unwrap();
    host.net.listen(four, None).unwrap();
}

#[test]
fn nobody_listens() {
    // Bound, so that nobody else gets the port, but not listening.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&loopback().into()).unwrap();
    let mut host = Host::new(&settings());
    let socket = host.connect(bound.local_addr().unwrap().as_socket().unwrap(), None);
    host.until("refused", |host| host.seen(socket).closed.is_some());
    assert_eq!(host.seen(socket).closed, Some(CloseReason::Refused));
    assert_eq!(host.net.connections(), 0);
}

#[test]
fn the_end_of_input_comes_behind_the_last_byte() {
    let (mut host, mut peer) = host_and_peer(&settings());
    let socket = host.accepted[0];
    let sent = pattern(200_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            peer.write_all(&sent).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
        });
        host.until("ended", |host| host.seen(socket).closed.is_some());
    });
    assert_eq!(host.seen(socket).closed, Some(CloseReason::Closed));
    assert!(host.seen(socket).received == sent);
    assert_eq!(host.net.connections(), 0);
}

#[test]
fn a_reset_is_told_as_one() {
    let (mut host, peer) = host_and_peer(&settings());
    let socket = host.accepted[0];
    socket2::SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    host.until("reset", |host| host.seen(socket).closed.is_some());
    assert_eq!(host.seen(socket).closed, Some(CloseReason::Reset));
}

#[test]
fn what_arrived_ahead_of_a_failed_write_is_delivered() {
    let (mut host, mut peer) = host_and_peer(&settings());
    let socket = host.accepted[0];
    host.net.set_reading(socket, false);
    // The peer answers, and leaves with our bytes unread: that resets the connection.
    host.send(socket, b"unread");
    peer.write_all(b"last words").unwrap();
    let mut first = [0; 1];
    assert_eq!(peer.read(&mut first).unwrap(), 1);
    drop(peer);
    let end = Instant::now() + PATIENCE;
    // A write finds out.
    while host.net.write_all(socket, b"more") > 0 {
        assert!(Instant::now() < end);
        host.turn(Duration::from_millis(1));
    }
    assert_eq!(host.seen(socket).closed, None, "the owner does not read now");
    host.net.set_reading(socket, true);
    host.until("ended", |host| host.seen(socket).closed.is_some());
    assert_eq!(host.seen(socket).received, b"last words");
    assert_eq!(host.seen(socket).closed, Some(CloseReason::Reset));
}

#[test]
fn a_connection_that_is_not_read_is_read_where_it_was_left() {
    let (mut host, mut peer) = host_and_peer(&settings());
    let socket = host.accepted[0];
    peer.write_all(b"one").unwrap();
    host.until("one", |host| host.seen(socket).received == b"one");
    host.net.set_reading(socket, false);
    peer.write_all(b"two").unwrap();
    drop(peer);
    for _ in 0..20 {
        host.turn(Duration::from_millis(5));
    }
    assert_eq!(host.seen(socket).received, b"one");
    assert_eq!(host.seen(socket).closed, None);
    let turns = host.turns;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(200) {
        host.turn(Duration::from_millis(200));
    }
    assert!(host.turns - turns < 10, "it spins while it is not read");
    host.net.set_reading(socket, true);
    host.until("two", |host| host.seen(socket).closed.is_some());
    assert_eq!(host.seen(socket).received, b"onetwo");
    assert_eq!(host.seen(socket).closed, Some(CloseReason::Closed));
}

#[test]
fn closing_sends_what_was_taken_and_spares_the_peer_a_reset() {
    let mut settings = settings();
    settings.close_timeout = PATIENCE;
    let (mut host, mut peer) = host_and_peer(&settings);
    let socket = host.accepted[0];
    // Input that is never read would reset the connection if it were simply dropped.
    host.net.set_reading(socket, false);
    peer.write_all(&pattern(100_000)).unwrap();
    let sent = pattern(1 << 20);
    let taken = host.net.write_all(socket, &sent);
    assert!(taken > 0);
    host.net.close(socket);
    let (received, mut peer) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).unwrap();
            (received, peer)
        });
        host.until("read to the end", |_| reader.is_finished());
        reader.join().unwrap()
    });
    assert!(received == sent[..taken]);
    assert_eq!(host.net.connections(), 1, "it waits for the peer's end");
    peer.flush().unwrap();
    drop(peer);
    host.until("gone", |host| host.net.connections() == 0);
    assert_eq!(host.seen(socket).closed, None, "nothing is said of it any more");
}

#[test]
fn a_peer_that_does_not_close_is_not_waited_for_for_ever() {
    let mut settings = settings();
    settings.close_timeout = Duration::from_millis(100);
    let (mut host, peer) = host_and_peer(&settings);
    let socket = host.accepted[0];
    host.net.close(socket);
    assert_eq!(host.net.connections(), 1);
    host.until("gone", |host| host.net.connections() == 0);
    drop(peer);
}

#[test]
fn a_connection_closed_before_it_is_made_is_gone_without_a_word() {
    let (_server, address) = Host::echo(&settings(), None);
    let mut host = Host::new(&settings());
    let socket = host.connect(address, None);
    host.net.close(socket);
    assert_eq!(host.net.connections(), 0);
    for _ in 0..5 {
        host.turn(Duration::from_millis(5));
    }
    assert_eq!(host.seen(socket).established, None);
    assert_eq!(host.seen(socket).closed, None);
    assert_eq!(host.net.write_all(socket, b"late"), 0);
}

#[test]
fn a_burst_of_connections_is_accepted_and_served() {
    let (mut server, address) = Host::echo(&settings(), None);
    let mut client = Host::new(&settings());
    let sockets: Vec<_> = (0..300).map(|_| client.connect(address, None)).collect();
    for (i, &socket) in sockets.iter().enumerate() {
        client.send(socket, format!("number {i}").as_bytes());
    }
    until("all echoed", &mut client, &mut server, |client, _| {
        sockets
            .iter()
            .enumerate()
            .all(|(i, &socket)| client.seen(socket).received == format!("number {i}").as_bytes())
    });
    assert_eq!(server.accepted.len(), 300);
    for socket in sockets {
        client.net.close(socket);
    }
    until("all gone", &mut client, &mut server, |client, server| {
        client.net.connections() == 0 && server.net.connections() == 0
    });
}

#[test]
fn a_flood_on_one_connection_does_not_hold_up_another() {
    let (mut host, mut flood) = host_and_peer(&settings());
    let flooded = host.accepted[0];
    let address = flood.peer_addr().unwrap();
    let mut quiet = TcpStream::connect(address).unwrap();
    host.until("accepted", |host| host.accepted.len() == 2);
    let other = host.accepted[1];
    std::thread::scope(|scope| {
        let flooding = scope.spawn(move || {
            let block = pattern(1 << 16);
            // It ends when the host has gone.
            while flood.write_all(&block).is_ok() {}
        });
        host.until("flooded", |host| host.seen(flooded).received.len() > 1 << 20);
        quiet.write_all(b"and me").unwrap();
        let before = host.seen(flooded).received.len();
        host.until("the other was heard", |host| {
            host.seen(other).received == b"and me"
        });
        let meanwhile = host.seen(flooded).received.len() - before;
        // A wake-up's work is bounded; the quiet one was found after a few of them.
        assert!(meanwhile < 64 << 20, "{meanwhile} bytes of the flood went first");
        host.net.close(flooded);
        host.net.close(other);
        drop(host);
        flooding.join().unwrap();
    });
}

#[test]
fn without_a_token_to_give_connections_wait_and_nothing_spins() {
    let mut settings = settings();
    settings.tokens = 10..12;
    settings.accept_pause = Duration::from_millis(50);
    let (mut host, mut first) = host_and_peer(&settings);
    let address = first.peer_addr().unwrap();
    let mut second = TcpStream::connect(address).unwrap();
    second.write_all(b"second").unwrap();
    let (turns, start) = (host.turns, Instant::now());
    while start.elapsed() < Duration::from_millis(300) {
        host.turn(Duration::from_millis(300));
    }
    let turns = host.turns - turns;
    assert!(turns < 30, "{turns} turns in 300 ms");
    assert_eq!(host.accepted.len(), 1);
    first.write_all(b"x").unwrap();
    drop(first);
    host.until("the first has gone", |host| {
        host.seen(host.accepted[0]).closed.is_some()
    });
    host.until("the second is served", |host| {
        host.accepted
            .get(1)
            .is_some_and(|&socket| host.seen(socket).received == b"second")
    });
}

/// Runs itself in a shell that allows few descriptors.
#[cfg(unix)]
#[test]
fn without_descriptors_connections_wait_and_nothing_spins() {
    const INSIDE: &str = "SANSIP_MIO_FEW_DESCRIPTORS";
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 40 && exec \"$0\" --exact --nocapture \"$1\""])
            .arg(this)
            .arg("without_descriptors_connections_wait_and_nothing_spins")
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("out of descriptors: "), "{said}");
        return;
    }
    let mut host = Host::new(&settings());
    let (_, address) = host.net.listen(loopback(), None).unwrap();
    // Clients of the same process use descriptors up, too; one is put by for the last of them.
    let mut spare = Some(TcpListener::bind(loopback()).unwrap());
    let mut clients = Vec::new();
    loop {
        let client = TcpStream::connect(address).or_else(|_| {
            spare.take();
            TcpStream::connect(address)
        });
        clients.push(client.unwrap());
        if spare.is_none() {
            break;
        }
        let expected = clients.len();
        let end = Instant::now() + Duration::from_millis(20);
        while host.accepted.len() < expected && Instant::now() < end {
            host.turn(Duration::from_millis(5));
        }
    }
    let accepted = host.accepted.len();
    assert!(accepted < clients.len());
    let (turns, start) = (host.turns, Instant::now());
    while start.elapsed() < Duration::from_millis(500) {
        host.turn(Duration::from_millis(500));
    }
    let turns = host.turns - turns;
    assert!(turns < 30, "{turns} turns in 500 ms");
    assert_eq!(host.accepted.len(), accepted);
    println!(
        "out of descriptors: {accepted} of {} accepted, {turns} turns",
        clients.len()
    );
    let waiting = clients.len() - accepted;
    clients.drain(..accepted);
    host.until("those that waited are accepted", |host| {
        host.accepted.len() == accepted + waiting
    });
}
