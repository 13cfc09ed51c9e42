//! [`sansip_mio::Server`] around a machine of a few lines.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use common::{Ca, Host, PATIENCE, loopback, pattern, settings};
use sansip::{CloseReason, Time, Transport};
use sansip_mio::{ConnectTls, Machine, MachineOutput, Server};

/// Greets, answers `bye` with a megabyte and closes, everything else with itself; ticks when asked to.
struct Greeter {
    out: VecDeque<MachineOutput>,
    tick: Option<Time>,
    log: mpsc::Sender<String>,
}

impl Machine for Greeter {
    fn handle_accepted(
        &mut self,
        _: Time,
        conn: u64,
        local: SocketAddr,
        remote: SocketAddr,
        transport: Transport,
    ) {
        assert_ne!(local, remote);
        self.log.send(format!("accepted over {transport}")).unwrap();
        self.out
            .push_back(MachineOutput::Send(conn, Bytes::from_static(b"hello\n")));
    }

    fn handle_bytes(&mut self, now: Time, conn: u64, bytes: &[u8]) {
        match bytes {
            b"bye" => {
                self.out
                    .push_back(MachineOutput::Send(conn, Bytes::from(pattern(1 << 20))));
                self.out.push_back(MachineOutput::Close(conn));
            }
            b"tick" => self.tick = Some(now + Duration::from_millis(20)),
            b"flood" => {
                for _ in 0..64 {
                    self.out
                        .push_back(MachineOutput::Send(conn, Bytes::from(pattern(1 << 18))));
                }
            }
            _ => self
                .out
                .push_back(MachineOutput::Send(conn, Bytes::copy_from_slice(bytes))),
        }
    }

    fn handle_closed(&mut self, _: Time, _: u64, reason: CloseReason) {
        self.log.send(format!("closed: {reason}")).unwrap();
    }

    fn handle_timeout(&mut self, now: Time) {
        assert!(self.tick.take().unwrap() <= now);
        self.log.send("tick".to_owned()).unwrap();
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.tick
    }

    fn poll_output(&mut self) -> Option<MachineOutput> {
        self.out.pop_front()
    }
}

struct Running {
    plain: SocketAddr,
    tls: SocketAddr,
    ca: Ca,
    log: mpsc::Receiver<String>,
    handle: sansip_mio::Handle<Greeter>,
    thread: thread::JoinHandle<()>,
}

fn start() -> Running {
    let ca = Ca::new("root");
    let (sender, log) = mpsc::channel();
    let greeter = Greeter {
        out: VecDeque::new(),
        tick: None,
        log: sender,
    };
    let mut server = Server::new(greeter, &settings()).unwrap();
    let plain = server.listen(loopback(), None).unwrap();
    let tls = server
        .listen(loopback(), Some(ca.server("server.example.com")))
        .unwrap();
    let handle = server.handle();
    let thread = thread::spawn(move || server.run().unwrap());
    Running {
        plain,
        tls,
        ca,
        log,
        handle,
        thread,
    }
}

impl Running {
    fn expect(&self, words: &str) {
        assert_eq!(self.log.recv_timeout(PATIENCE).unwrap(), words);
    }

    fn connect(&self) -> TcpStream {
        let mut peer = TcpStream::connect(self.plain).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut greeting = [0; 6];
        peer.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello\n");
        self.expect("accepted over tcp");
        peer
    }
}

#[test]
fn a_machine_serves_and_ends_in_order() {
    let server = start();
    let mut peer = server.connect();
    peer.write_all(b"tick").unwrap();
    server.expect("tick");
    peer.write_all(b"bye").unwrap();
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    assert!(rest == pattern(1 << 20));
    let other = server.connect();
    drop(other);
    server.expect("closed: closed by the peer");

    let mut last = server.connect();
    server.handle.stop();
    assert_eq!(last.read(&mut [0; 1]).unwrap(), 0);
    drop(last);
    server.thread.join().unwrap();
    assert!(TcpStream::connect(server.plain).is_err());
}

#[test]
fn a_machine_serves_over_tls() {
    let server = start();
    let config = server.ca.client(None);
    let mut client = Host::new(&settings());
    let socket = client.connect(
        server.tls,
        Some(ConnectTls {
            config: &config,
            name: "server.example.com",
        }),
    );
    client.send(socket, b"echo");
    client.until("echoed", |client| client.seen(socket).received == b"hello\necho");
    server.expect("accepted over tls");
    client.net.close(socket);
    client.until("gone", |client| client.net.connections() == 0);
    server.expect("closed: closed by the peer");
    server.handle.stop();
    server.thread.join().unwrap();
}

#[test]
fn a_peer_that_does_not_read_is_left() {
    let server = start();
    let mut peer = server.connect();
    peer.write_all(b"flood").unwrap();
    server.expect("closed: the peer does not read");
    server.handle.stop();
    server.thread.join().unwrap();
}

#[test]
fn commands_reach_the_machine() {
    let server = start();
    let (sender, receiver) = mpsc::channel();
    server
        .handle
        .with(move |greeter: &mut Greeter| sender.send(greeter.out.len()).unwrap())
        .unwrap();
    assert_eq!(receiver.recv_timeout(PATIENCE), Ok(0));
    server.handle.stop();
    server.thread.join().unwrap();
}
