//! Names over real sockets: a name server of a few lines answers on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{Host, PATIENCE, loopback, settings};
use sansip::{Answer, Question, ResolveError};
use sansip_mio::Settings;
use sansip_net::{Hosts, ResolvConf};

/// RFC 1035 section 4.1: the question, and what is said of it. A name below `big.` is truncated over UDP.
fn answer(query: &[u8], over_tcp: bool) -> Vec<u8> {
    const ANSWERED: [u8; 2] = [0x81, 0x80];
    const TRUNCATED: [u8; 2] = [0x83, 0x80];
    let name_length = query[12..].iter().position(|&byte| byte == 0).unwrap() + 1;
    let question = &query[12..12 + name_length + 4];
    let kind = question[name_length + 1];
    let is_big = question.starts_with(b"\x03big");
    let (data, kind): (&[u8], u8) = match kind {
        1 => (&[192, 0, 2, 7], 1),
        35 => (
            b"\x00\x32\x00\x01\x01s\x07SIP+D2T\x00\x04_sip\x04_tcp\x07example\x00",
            35,
        ),
        33 => (b"\x00\x0a\x00\x05\x13\xc4\x04host\x07example\x00", 33),
        _ => (&[], 0),
    };
    let mut response = query[..2].to_vec();
    if is_big && !over_tcp {
        response.extend(TRUNCATED);
        response.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        response.extend(question);
        return response;
    }
    response.extend(ANSWERED);
    response.extend([0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0]);
    response.extend(question);
    if !data.is_empty() {
        // The name of the question, the type, class IN, a minute.
        response.extend([
            0xc0,
            12,
            0,
            kind,
            0,
            1,
            0,
            0,
            0,
            60,
            0,
            u8::try_from(data.len()).unwrap(),
        ]);
        response.extend(data);
    }
    response
}

struct NameServer {
    address: SocketAddr,
    /// Who has asked over UDP.
    askers: Arc<Mutex<Vec<SocketAddr>>>,
}

fn name_server() -> NameServer {
    // The port has to be free for both; the system tells for one.
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind(loopback()).unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let askers = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&askers);
    thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut query) {
            list.lock().unwrap().push(from);
            udp.send_to(&answer(&query[..length], false), from).unwrap();
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let response = answer(&query, true);
            let length = u16::try_from(response.len()).unwrap().to_be_bytes();
            // In pieces, as a stream may.
            for piece in [&length[..1], &length[1..], &response[..20], &response[20..]] {
                stream.write_all(piece).unwrap();
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    NameServer { address, askers }
}

fn with_server(server: SocketAddr) -> Settings {
    let mut settings = settings();
    settings.dns.conf = ResolvConf::new(vec![server]);
    settings.dns.conf.timeout = Duration::from_millis(100);
    settings.dns.conf.attempts = 2;
    settings
}

fn resolve(host: &mut Host, question: Question) -> Result<Answer, ResolveError> {
    let lookup = host.net.resolve(question);
    host.until("resolved", |host| {
        host.resolved.iter().any(|(id, _)| *id == lookup)
    });
    host.resolved
        .iter()
        .find(|(id, _)| *id == lookup)
        .unwrap()
        .1
        .clone()
}

fn addresses(name: &str) -> Question {
    Question::Addresses(name.to_owned())
}

#[test]
fn addresses_and_services_are_found_each_from_a_port_of_its_own() {
    let server = name_server();
    let mut host = Host::new(&with_server(server.address));
    let found = resolve(&mut host, addresses("sip.example.com"));
    let expected = Answer::Addresses {
        addresses: vec!["192.0.2.7".parse().unwrap()],
        ttl: Duration::from_secs(60),
    };
    assert_eq!(found, Ok(expected));
    let Ok(Answer::Srv { records, .. }) =
        resolve(&mut host, Question::Srv("_sip._tcp.example.com".to_owned()))
    else {
        panic!("no records");
    };
    let record = &records[0];
    assert_eq!((record.priority, record.weight, record.port), (10, 5, 5060));
    assert_eq!(record.target.trim_end_matches('.'), "host.example");
    let Ok(Answer::Naptr { records, .. }) = resolve(&mut host, Question::Naptr("example.com".to_owned()))
    else {
        panic!("no records");
    };
    let record = &records[0];
    assert_eq!((record.order, record.preference), (50, 1));
    assert_eq!(
        [
            &record.flags,
            &record.services,
            &record.regexp,
            &record.replacement
        ],
        ["s", "SIP+D2T", "", "_sip._tcp.example"]
    );
    let askers = server.askers.lock().unwrap().clone();
    assert!(askers.len() >= 4, "A, AAAA, SRV and NAPTR: {askers:?}");
    let ports: BTreeSet<_> = askers.iter().map(SocketAddr::port).collect();
    assert_eq!(ports.len(), askers.len(), "a port was used twice: {askers:?}");
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    let server = name_server();
    let mut settings = with_server(server.address);
    settings.dns.conf.timeout = Duration::from_secs(20);
    let mut host = Host::new(&settings);
    let Ok(Answer::Addresses { addresses, .. }) = resolve(&mut host, addresses("big.example.com")) else {
        panic!("no addresses");
    };
    assert_eq!(addresses, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn a_silent_server_times_out_and_nobody_is_blocked() {
    let silent = UdpSocket::bind(loopback()).unwrap();
    let mut host = Host::new(&with_server(silent.local_addr().unwrap()));
    let lookup = host.net.resolve(addresses("sip.example.com"));
    assert!(host.resolved.is_empty());
    host.until("given up", |host| !host.resolved.is_empty());
    assert_eq!(host.resolved, [(lookup, Err(ResolveError::Timeout))]);
    assert_eq!(host.net.timeout(), None, "nothing is left to be done");
}

#[test]
fn a_refusing_server_fails_at_once() {
    // Bound and closed again: an ICMP error says so.
    let address = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    let mut settings = with_server(address);
    settings.dns.conf.timeout = PATIENCE * 10;
    let mut host = Host::new(&settings);
    let result = resolve(&mut host, addresses("sip.example.com"));
    assert!(
        matches!(result, Err(ResolveError::Timeout | ResolveError::ServerFailure)),
        "{result:?}"
    );
}

#[test]
fn some_names_need_no_server() {
    let mut settings = settings();
    settings.dns.hosts = Hosts::parse("192.0.2.9 lab");
    let mut host = Host::new(&settings);
    let found = resolve(&mut host, addresses("lab"));
    assert!(
        matches!(&found, Ok(Answer::Addresses { addresses, .. }) if addresses == &["192.0.2.9".parse::<std::net::IpAddr>().unwrap()]),
        "{found:?}"
    );
    assert_eq!(
        resolve(&mut host, addresses("elsewhere")),
        Err(ResolveError::NoResolver)
    );
}
