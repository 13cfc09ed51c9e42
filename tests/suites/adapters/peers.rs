//! Who the agents meet: the front end of the kit, and peers that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sansip::{CloseReason, Time, Transport};
use sansip_mio::{Handle, Machine, MachineOutput, Server, Settings};
use sansip_net::{Hosts, ResolvConf, TlsServerConfig};
use sansip_testkit::frontend::{Conn, FrontEnd, FrontEndConfig, Output};

use crate::agent::PATIENCE;

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The front end as a machine of the adapter's server.
struct Serving(FrontEnd);

impl Machine for Serving {
    fn handle_accepted(
        &mut self,
        _now: Time,
        conn: u64,
        local: SocketAddr,
        remote: SocketAddr,
        transport: Transport,
    ) {
        self.0.handle_accepted(Conn(conn), local, remote, transport);
    }

    fn handle_bytes(&mut self, now: Time, conn: u64, bytes: &[u8]) {
        self.0.handle_bytes(now, Conn(conn), bytes);
    }

    fn handle_closed(&mut self, now: Time, conn: u64, _reason: CloseReason) {
        self.0.handle_closed(now, Conn(conn));
    }

    fn handle_timeout(&mut self, now: Time) {
        self.0.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.0.poll_timeout()
    }

    fn poll_output(&mut self) -> Option<MachineOutput> {
        loop {
            match self.0.poll_output()? {
                Output::Send { conn, bytes } => return Some(MachineOutput::Send(conn.0, bytes)),
                Output::Close(conn) => return Some(MachineOutput::Close(conn.0)),
                Output::Log(_) => {}
            }
        }
    }
}

/// A front end for example.com with the users alice and bob, whose passwords are their names backwards.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    handle: Handle<Serving>,
    thread: JoinHandle<()>,
}

impl Front {
    pub(crate) fn start(tls: Option<TlsServerConfig>) -> Self {
        let config = FrontEndConfig::new("example.com")
            .with_user("alice", "ecila")
            .with_user("bob", "bob");
        let mut settings = Settings::default();
        settings.dns.conf = ResolvConf::new(Vec::new());
        settings.dns.hosts = Hosts::parse("");
        let mut server = Server::new(Serving(FrontEnd::new(config, 1)), &settings).unwrap();
        let address = server.listen(loopback(), tls).unwrap();
        let handle = server.handle();
        let thread = thread::spawn(move || server.run().unwrap());
        Self {
            address,
            handle,
            thread,
        }
    }

    /// How many contacts this user has.
    pub(crate) fn bindings(&self, aor: &'static str) -> usize {
        let (sender, count) = std::sync::mpsc::channel();
        self.handle
            .with(move |serving| sender.send(serving.0.bindings(aor).len()).unwrap())
            .unwrap();
        count.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn end(self) {
        self.handle.stop();
        self.thread.join().unwrap();
    }
}

/// The next request, which has no body; empty at the end of the connection.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Answers it: what is repeated, and more header fields.
pub(crate) fn answer_to(stream: &mut TcpStream, request: &str, status: &str, more: &str) {
    let repeated: String = request
        .lines()
        .filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .map(|line| match line.strip_prefix("To:") {
            Some(to) => format!("To:{to};tag=server\r\n"),
            None => format!("{line}\r\n"),
        })
        .collect();
    let text = format!("SIP/2.0 {status}\r\n{repeated}{more}Content-Length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
}

/// An address where nobody listens and nobody else can.
pub(crate) fn dead() -> (socket2::Socket, SocketAddr) {
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&loopback().into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    (bound, address)
}

/// A server that does this with its first connection.
pub(crate) fn server(behave: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        behave(stream);
    });
    (address, thread)
}

/// Waits for something to arrive.
pub(crate) fn read_some(stream: &mut TcpStream) {
    assert!(stream.read(&mut [0; 65_536]).unwrap() > 0);
}

/// Leaves without a farewell.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// The question in a response with these flags and so many answers behind it (RFC 1035 section 4.1.1).
fn response(question: &[u8], flags: [u8; 2], answers: &[u8]) -> Vec<u8> {
    let count = u8::from(!answers.is_empty());
    let mut message = question.to_vec();
    // Additional records of the question (EDNS) are not repeated: they stand behind its name, type and class.
    let name = question.iter().skip(12).position(|&byte| byte == 0).unwrap();
    message.truncate(12 + name + 5);
    for (place, byte) in [(2, flags[0]), (3, flags[1]), (7, count), (9, 0), (11, 0)] {
        message[place] = byte;
    }
    message.extend_from_slice(answers);
    message
}

/// A name server that gives every question to this function over UDP. It ends with the process.
fn serve_names(socket: UdpSocket, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) {
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            socket.send_to(&answer(&message[..length]), from).unwrap();
        }
    });
}

/// A name server that knows no name.
pub(crate) fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind(loopback()).unwrap();
    let address = socket.local_addr().unwrap();
    // A response, recursion available, NXDOMAIN.
    serve_names(socket, |question| response(question, [0x81, 0x83], &[]));
    address
}

/// A domain name as it goes over the wire.
fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A name server that names a service for TCP by NAPTR, whose one SRV record is for this port of 127.0.0.1; every other
/// name of SRV records has one for a port where nobody listens.
pub(crate) fn naming_name_server(port: u16) -> SocketAddr {
    let socket = UdpSocket::bind(loopback()).unwrap();
    let address = socket.local_addr().unwrap();
    let service = wire_name("_sip._tcp.pool.example");
    serve_names(socket, move |question| {
        let name = question.iter().skip(12).position(|&byte| byte == 0).unwrap();
        let kind = question[12 + name + 2];
        let data = match kind {
            35 => [&b"\0\x01\0\x01\x01s\x07SIP+D2T\0"[..], &service].concat(),
            33 => {
                let port = if question[12..].starts_with(&service) {
                    port
                } else {
                    1
                };
                [
                    &[0, 1, 0, 1][..],
                    &port.to_be_bytes(),
                    &wire_name("host.pool.example"),
                ]
                .concat()
            }
            1 => vec![127, 0, 0, 1],
            _ => return response(question, [0x81, 0x80], &[]),
        };
        // The name of the question, the type, IN, 60 s.
        let length = u8::try_from(data.len()).unwrap();
        let record = [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length][..], &data].concat();
        response(question, [0x81, 0x80], &record)
    });
    address
}

/// A name server whose answers are too long for a datagram: over TCP every name is 127.0.0.1.
pub(crate) fn wordy_name_server() -> SocketAddr {
    // A port that is free for both.
    let (listener, socket) = loop {
        let listener = TcpListener::bind(loopback()).unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            break (listener, socket);
        }
    };
    let address = listener.local_addr().unwrap();
    // Truncated.
    serve_names(socket, |question| response(question, [0x83, 0x80], &[]));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let name = question.iter().skip(12).position(|&byte| byte == 0).unwrap();
            let is_a = question[12 + name + 2] == 1;
            // The name of the question, A, IN, 60 s, four octets.
            let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1];
            let message = response(&question, [0x81, 0x80], if is_a { &record } else { &[] });
            let length = u16::try_from(message.len()).unwrap().to_be_bytes();
            // In two parts, of which the second comes alone.
            stream.write_all(&[&length[..], &message[..5]].concat()).unwrap();
            stream.flush().unwrap();
            stream.write_all(&message[5..]).unwrap();
        }
    });
    address
}

/// A name server that never answers; it is deaf as long as the socket lives.
pub(crate) fn deaf_name_server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(loopback()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
