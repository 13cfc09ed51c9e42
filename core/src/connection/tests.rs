//! The room as a whole, by the rules.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::testing::{MESSAGE, World, address, addresses, certificate, established, naptr, srv, tcp};
use super::*;
use crate::action::{Action, CloseReason, Question, ResolveError, TlsFailure, TlsFailureKind};
use crate::counters::Label;
use crate::error::Misuse;
use crate::event::{ConnectionFailure, Event, OperationFailure};
use crate::ids::QueryId;
use crate::time::Time;
use crate::wire::Method;

const SERVER_TCP: ManagerKind = ManagerKind::ServerTcp;

fn secs(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn unresolved(host: &str, error: ResolveError) -> OperationError {
    ConnectionFailure::Resolve {
        host: host.to_string(),
        error,
    }
    .into()
}

fn not_connected(remote: &str, reason: CloseReason) -> OperationError {
    ConnectionFailure::Connect {
        remote: address(remote),
        reason,
    }
    .into()
}

/// The target of a connection to this address.
fn went_to(host: &str) -> Option<(Hop, SocketAddr)> {
    Some((tcp(host), format!("{host}:5060").parse().unwrap()))
}

fn names(questions: &[(QueryId, Question)]) -> Vec<String> {
    let name = |question: &Question| match question {
        Question::Naptr(name) => format!("NAPTR {name}"),
        Question::Srv(name) => format!("SRV {name}"),
        Question::Addresses(name) => name.clone(),
    };
    questions.iter().map(|(_, question)| name(question)).collect()
}

// rules: C4
#[test]
fn a_pool_fills_to_its_maximum_and_then_takes_turns() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let hop = tcp("192.0.2.1");
    let leases: Vec<Lease> = (0..12).map(|_| world.acquire(manager, &hop)).collect();
    let places: Vec<usize> = leases
        .iter()
        .map(|lease| leases.iter().position(|other| other.conn == lease.conn).unwrap())
        .collect();
    // Five by default; those that are still connecting count.
    assert_eq!(places, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
    assert_eq!((world.room.connections(), world.room.leases()), (5, 12));
    assert_eq!(world.room.info(leases[0].conn).unwrap().users, 3);
}

// rules: C4
#[test]
fn the_maximum_can_be_set_for_new_pools_and_for_one_pool() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let count = |world: &mut World, host: &str, requests: usize| {
        let before = world.room.connections();
        (0..requests).for_each(|_| drop(world.acquire(manager, &tcp(host))));
        world.room.connections() - before
    };
    assert_eq!(count(&mut world, "192.0.2.1", 6), 5);
    world.room.set_pool_size(manager, 2).unwrap();
    assert_eq!(count(&mut world, "192.0.2.1", 1), 0);
    assert_eq!(count(&mut world, "192.0.2.2", 6), 2);
    world
        .room
        .set_pool_maximum(manager, &tcp("192.0.2.2"), 3)
        .unwrap();
    assert_eq!(count(&mut world, "192.0.2.2", 6), 1);
    // Unlimited: no sharing.
    world.room.set_pool_size(manager, usize::MAX).unwrap();
    assert_eq!(count(&mut world, "192.0.2.3", 50), 50);
    assert_eq!(
        world.room.set_pool_size(manager, 0).unwrap_err(),
        Misuse::argument("size", "must be at least 1")
    );
    assert!(
        world
            .room
            .set_pool_maximum(manager, &tcp("192.0.2.9"), 3)
            .is_err()
    );
    let client = world.manager(ManagerConfig::new(ManagerKind::Client));
    assert!(matches!(
        world.room.set_pool_size(client, 3),
        Err(Misuse::Kind(_))
    ));
}

// rules: C4, C8
#[test]
fn a_released_connection_lingers_for_a_minute_and_is_closed() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let lease = world.connected(manager, &tcp("192.0.2.1"));
    let conn = lease.conn;
    world.until(secs(130));
    world.release(lease);
    world.almost(secs(190));
    assert_eq!((world.actions(), world.indications()), (vec![], vec![]));
    assert!(world.room.is_ready(conn));
    world.until(secs(190));
    let (reason, remote) = (RemovalReason::Released, address("192.0.2.1:5060"));
    let removed = Event::ConnectionRemoved {
        conn,
        manager,
        remote,
        incoming: false,
        transport: Transport::Tcp,
        matched: None,
        reason: reason.clone(),
    };
    let empty = Event::PoolRemoved {
        manager,
        host: "192.0.2.1".to_string(),
        port: Some(5060),
        transport: Transport::Tcp,
    };
    assert_eq!(
        world.actions(),
        [Action::Close(conn), Action::Event(removed), Action::Event(empty)]
    );
    assert_eq!(
        world.indications(),
        [Indication::Lost {
            conn,
            reason,
            taken: 0,
            target: went_to("192.0.2.1"),
        }]
    );
    assert_eq!((world.room.connections(), world.services.timers.len()), (0, 0));
}

// rules: C4, C8
#[test]
fn a_message_within_the_minute_reuses_the_connection_before_a_new_one_is_made() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let hop = tcp("192.0.2.1");
    let busy = world.connected(manager, &hop);
    let lease = world.connected(manager, &hop);
    let conn = lease.conn;
    world.release(lease);
    world.almost(secs(160));
    let again = world.acquire(manager, &hop);
    assert_eq!(again.conn, conn);
    assert_ne!(again.conn, busy.conn);
    // The minute begins anew with the next release.
    world.until(secs(200));
    world.release(again);
    world.almost(secs(260));
    assert!(world.room.is_ready(conn));
    world.until(secs(260));
    assert!(!world.room.is_ready(conn));
    // Two users: the release of one of them begins nothing.
    let other = world.go(|room, cx| room.share(cx, busy.conn)).unwrap();
    world.release(other);
    world.until(secs(500));
    assert!(world.room.is_ready(busy.conn));
}

// rules: C5, C6
#[test]
fn a_client_manager_gives_each_its_own_and_closes_it_when_released() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = tcp("192.0.2.1");
    let (first, second) = (world.connected(manager, &hop), world.connected(manager, &hop));
    assert_ne!(first.conn, second.conn);
    let conn = first.conn;
    world.release(first);
    assert_eq!(world.wants(), [Action::Close(conn)]);
    // With bytes queued it is closed once they have gone, ...
    let conn = second.conn;
    world
        .go(|room, cx| {
            room.send(
                cx,
                conn,
                Bytes::from_static(b"last words"),
                Label::request(&Method::Message),
            )
        })
        .unwrap();
    world.release(second);
    assert_eq!(world.wants(), [Action::Transmit(conn)]);
    assert!(world.go(|room, cx| room.share(cx, conn)).is_none());
    assert_eq!(
        world.go(|room, cx| room.send(
            cx,
            conn,
            Bytes::from_static(b"x"),
            Label::request(&Method::Message)
        )),
        Err(SendError::Gone)
    );
    world.go(|room, cx| room.handle_transmitted(cx, conn, 9));
    assert_eq!(world.wants(), []);
    world.go(|room, cx| room.handle_transmitted(cx, conn, 1));
    assert_eq!(world.wants(), [Action::Close(conn)]);
    // ... but not for ever.
    let third = world.connected(manager, &hop);
    let conn = third.conn;
    world
        .go(|room, cx| {
            room.send(
                cx,
                conn,
                Bytes::from_static(b"last words"),
                Label::request(&Method::Message),
            )
        })
        .unwrap();
    world.release(third);
    world.almost(secs(110));
    assert_eq!(world.wants(), [Action::Transmit(conn)]);
    world.until(secs(110));
    assert_eq!(world.wants(), [Action::Close(conn)]);
    assert_eq!(
        (
            world.room.connections(),
            world.room.queued_bytes(),
            world.services.timers.len()
        ),
        (0, 0, 0)
    );
}

// rules: C3
#[test]
fn two_names_for_one_address_are_two_pools_and_incoming_connections_are_in_none() {
    let (mut world, manager) = World::with(SERVER_TCP);
    world.room.set_pool_size(manager, 1).unwrap();
    let incoming = world.accepted(manager);
    world.actions();
    let hops = [
        tcp("192.0.2.1"),
        Hop::new("192.0.2.1", None, Transport::Tcp),
        Hop::new("192.0.2.1", Some(40000), Transport::Tcp),
    ];
    let conns = hops.map(|hop| world.acquire(manager, &hop).conn);
    assert!(conns[0] != conns[1] && conns[1] != conns[2] && !conns.contains(&incoming));
    let targets: Vec<_> = world
        .wants()
        .into_iter()
        .map(|action| {
            if let Action::Connect(connect) = action {
                connect.remote
            } else {
                panic!("{action:?}")
            }
        })
        .collect();
    assert_eq!(
        targets,
        ["192.0.2.1:5060", "192.0.2.1:5060", "192.0.2.1:40000"].map(address)
    );
    // The case of a name is no difference.
    let (upper, lower) = (
        world.acquire(manager, &tcp("A.example.com")),
        world.acquire(manager, &tcp("a.example.com")),
    );
    assert_eq!(upper.conn, lower.conn);
}

// rules: C3, C5
#[test]
fn managers_do_not_share_with_each_other() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let other = world.manager(ManagerConfig {
        pool_size: Some(1),
        ..ManagerConfig::new(SERVER_TCP)
    });
    world.room.set_pool_size(manager, 1).unwrap();
    let hop = tcp("192.0.2.1");
    assert_ne!(world.acquire(manager, &hop).conn, world.acquire(other, &hop).conn);
}

// rules: C1
#[test]
fn a_manager_makes_only_connections_of_its_kind() {
    let mut world = World::new();
    let (tcp, tls) = (
        world.manager(ManagerConfig::new(SERVER_TCP)),
        world.manager(ManagerConfig::new(ManagerKind::ServerTls)),
    );
    let mut acquire = |manager, transport| {
        world.go(|room, cx| room.acquire(cx, manager, &Hop::new("192.0.2.1", None, transport), &[]))
    };
    assert!(matches!(
        acquire(tcp, Transport::Tls),
        Err(ConnectionFailure::NoTransport(_))
    ));
    assert!(matches!(
        acquire(tls, Transport::Tcp),
        Err(ConnectionFailure::NoTransport(_))
    ));
    assert!(acquire(tcp, Transport::Tcp).is_ok() && acquire(tls, Transport::Tls).is_ok());
    assert_eq!(world.room.leases(), 2);
}

// rules: C16, C25
#[test]
fn a_refused_connect_fails_with_its_reason_and_voids_the_leases() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let lease = world.acquire(manager, &tcp("192.0.2.1"));
    let conn = lease.conn;
    let shared = world.go(|room, cx| room.share(cx, conn));
    assert!(shared.is_some_and(|shared| shared == lease));
    assert_eq!(world.target(), address("192.0.2.1:5060"));
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Refused));
    let error = not_connected("192.0.2.1:5060", CloseReason::Refused);
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    assert_eq!((world.room.leases(), world.room.connections()), (0, 0));
    // A void lease can be given back, and a late report is about nothing.
    assert_eq!(world.wants(), []);
    world.release(lease);
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Reset));
    assert_eq!(
        (world.actions(), world.indications(), world.room.leases()),
        (vec![], vec![], 0)
    );
    assert_eq!(world.services.counters.connections.outgoing.failed, 1);
}

// rules: C25
#[test]
fn an_attempt_takes_no_longer_than_the_connect_timeout() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.acquire(manager, &tcp("192.0.2.1")).conn;
    world.actions();
    world.almost(secs(110));
    assert_eq!(world.indications(), []);
    world.until(secs(110));
    let error = not_connected("192.0.2.1:5060", CloseReason::TimedOut);
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    assert_eq!(world.wants(), [Action::Close(conn)]);
}

// rules: C17, C27
#[test]
fn a_certificate_for_another_name_fails_the_connection() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = Hop::new("example.com", Some(5061), Transport::Tls);
    let lease = world.acquire(manager, &hop);
    let conn = lease.conn;
    let [(query, _)] = world.questions()[..] else {
        panic!()
    };
    world.answer(query, addresses(&["192.0.2.1"], 60));
    let wants = world.wants();
    let [Action::Connect(connect)] = wants.as_slice() else {
        panic!("{wants:?}")
    };
    assert_eq!(connect.tls.as_deref(), Some("example.com"));
    world.connect_as(conn, Some(certificate("evil.example.net")));
    assert_eq!(world.wants(), [Action::Close(conn)]);
    let indications = world.indications();
    let [
        Indication::Failed {
            error: OperationError::Tls(failure),
            ..
        },
    ] = indications.as_slice()
    else {
        panic!("{indications:?}")
    };
    assert_eq!(failure.kind, TlsFailureKind::IncorrectNameInRemoteCertificate);

    // What the adapter found by itself comes through with its kind.
    let conn = world.acquire(manager, &hop).conn;
    world.actions();
    let expired = TlsFailure {
        kind: TlsFailureKind::CertificateExpired,
        detail: String::new(),
    };
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Tls(expired.clone())));
    assert_eq!(
        world.indications(),
        [Indication::Failed {
            conn,
            error: OperationError::Tls(expired)
        }]
    );
}

// rules: C17, C20, R18
#[test]
fn over_tls_the_name_before_the_look_up_is_verified() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = Hop::new("Example.com", None, Transport::Tls);
    let conn = world.acquire(manager, &hop).conn;
    world.points_nowhere("example.com");
    let questions = world.questions();
    assert_eq!(names(&questions), ["SRV _sips._tcp.example.com"]);
    world.answer(
        questions[0].0,
        srv(
            &[
                (1, 1, 5443, "a.host.example.net"),
                (2, 1, 5444, "b.host.example.net"),
            ],
            60,
        ),
    );
    let questions = world.questions();
    assert_eq!(names(&questions), ["a.host.example.net", "b.host.example.net"]);
    world.answer(questions[0].0, addresses(&["192.0.2.1"], 60));
    assert_eq!(world.target(), address("192.0.2.1:5443"));
    world.answer(questions[1].0, addresses(&["192.0.2.2"], 60));
    // A certificate for the host that the SRV record names is not good enough.
    world.connect_as(conn, Some(certificate("a.host.example.net")));
    assert_eq!(
        world.wants()[1..],
        [Action::Connect(crate::action::Connect {
            conn,
            manager,
            remote: address("192.0.2.2:5444"),
            tls: Some("example.com".to_string()),
        })]
    );
    world.connect_as(conn, Some(certificate("example.com")));
    assert_eq!(world.indications(), [Indication::Ready(conn)]);
    let info = world.room.info(conn).unwrap();
    assert_eq!(
        (info.matched, info.host),
        (Some("example.com"), Some("example.com"))
    );
    assert_eq!(info.remote, Some(address("192.0.2.2:5444")));
}

// rules: R18
#[test]
fn the_servers_of_a_service_are_tried_by_priority_until_one_does() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let conn = world
        .acquire(manager, &Hop::new("example.com", None, Transport::Tcp))
        .conn;
    world.points_nowhere("example.com");
    let questions = world.questions();
    assert_eq!(names(&questions), ["SRV _sip._tcp.example.com"]);
    world.answer(
        questions[0].0,
        srv(
            &[
                (20, 1, 5070, "c"),
                (10, 0, 5071, "A."),
                (15, 9, 5072, "192.0.2.33"),
            ],
            60,
        ),
    );
    let questions = world.questions();
    assert_eq!(names(&questions), ["a", "c"]);
    // The walk waits only for the one whose turn it is.
    world.answer(questions[1].0, addresses(&["192.0.2.3"], 60));
    assert_eq!(world.wants(), []);
    world.answer(questions[0].0, addresses(&["192.0.2.1", "192.0.2.2"], 60));
    for expected in [
        "192.0.2.1:5071",
        "192.0.2.2:5071",
        "192.0.2.33:5072",
        "192.0.2.3:5070",
    ] {
        assert_eq!(world.target(), address(expected));
        world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Unreachable));
    }
    let error = not_connected("192.0.2.3:5070", CloseReason::Unreachable);
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    assert_eq!((world.actions(), world.room.queries()), (vec![], 0));
}

// rules: R18
#[test]
fn the_domain_says_where_the_services_of_a_transport_are() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let conn = world
        .acquire(manager, &Hop::new("Example.com", None, Transport::Tls))
        .conn;
    let questions = world.questions();
    assert_eq!(names(&questions), ["NAPTR example.com"]);
    // RFC 3263 section 4.1; what leads around TLS is not looked at, though the domain likes it best.
    world.answer(
        questions[0].0,
        naptr(
            &[
                (10, 1, "SIP+D2T", "_sip._tcp.example.com"),
                (30, 1, "SIPS+D2T", "_sips._tcp.second.example.net."),
                (20, 1, "SIPS+D2T", "_sips._tcp.first.example.net"),
            ],
            60,
        ),
    );
    let questions = world.questions();
    assert_eq!(names(&questions), ["SRV _sips._tcp.first.example.net"]);
    world.answer(questions[0].0, srv(&[(1, 1, 5443, "192.0.2.1")], 60));
    assert_eq!(world.target(), address("192.0.2.1:5443"));
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Refused));
    // The servers of the first have failed: the second, and still the name before all look-ups is verified.
    let questions = world.questions();
    assert_eq!(names(&questions), ["SRV _sips._tcp.second.example.net"]);
    world.answer(questions[0].0, srv(&[(1, 1, 5444, "192.0.2.2")], 60));
    let wants = world.wants();
    let [Action::Connect(connect)] = wants.as_slice() else {
        panic!("{wants:?}")
    };
    assert_eq!(
        (connect.remote, connect.tls.as_deref()),
        (address("192.0.2.2:5444"), Some("example.com"))
    );
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Refused));
    // There was a service, so the domain itself is none of its hosts (RFC 2782).
    let error = not_connected("192.0.2.2:5444", CloseReason::Refused);
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    assert_eq!(world.questions(), []);
}

// rules: R18
#[test]
fn without_a_service_of_the_transport_the_usual_name_is_asked_for() {
    let other = naptr(&[(1, 1, "SIP+D2U", "_sip._udp.example.com")], 60);
    for answer in [
        Ok(naptr(&[], 60)),
        Ok(other),
        Ok(srv(&[(1, 1, 1, "x")], 60)),
        Err(ResolveError::Timeout),
        Err(ResolveError::ServerFailure),
        Err(ResolveError::NoSuchName),
    ] {
        let (mut world, manager) = World::with(ManagerKind::Client);
        _ = world.acquire(manager, &Hop::new("example.com", None, Transport::Tcp));
        let query = world.questions()[0].0;
        world.go(|room, cx| room.handle_resolved(cx, query, answer));
        assert_eq!(names(&world.questions()), ["SRV _sip._tcp.example.com"]);
    }
}

// rules: R18
#[test]
fn where_the_named_services_have_no_records_it_is_the_domain_itself() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    _ = world.acquire(manager, &Hop::new("example.com", None, Transport::Tcp));
    let query = world.questions()[0].0;
    let named = [
        (1, 1, "SIP+D2T", "x.example.com"),
        (2, 1, "SIP+D2T", "y.example.com"),
    ];
    world.answer(query, naptr(&named, 60));
    for name in ["SRV x.example.com", "SRV y.example.com"] {
        let questions = world.questions();
        assert_eq!(names(&questions), [name]);
        world.answer(questions[0].0, srv(&[], 60));
    }
    assert_eq!(names(&world.questions()), ["example.com"]);
}

// rules: R18, C31
#[test]
fn records_that_name_no_server_are_a_failure_of_the_name_servers() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let conn = world
        .acquire(manager, &Hop::new("example.com", None, Transport::Tcp))
        .conn;
    world.points_nowhere("example.com");
    let query = world.questions()[0].0;
    world.answer(query, srv(&[(1, 1, 0, "a.example.com"), (1, 1, 5060, ".")], 60));
    let error = unresolved("example.com", ResolveError::ServerFailure);
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
}

// rules: R18, C15
#[test]
fn without_srv_records_the_service_is_at_the_domain_itself() {
    for (transport, port) in [(Transport::Tcp, 5060), (Transport::Tls, 5061)] {
        for answer in [
            Ok(srv(&[], 60)),
            Err(ResolveError::ServerFailure),
            Ok(addresses(&["192.0.2.9"], 60)),
        ] {
            let (mut world, manager) = World::with(ManagerKind::Client);
            _ = world.acquire(manager, &Hop::new("example.com", None, transport));
            world.points_nowhere("example.com");
            let query = world.questions()[0].0;
            world.go(|room, cx| room.handle_resolved(cx, query, answer));
            let questions = world.questions();
            assert_eq!(names(&questions), ["example.com"]);
            world.answer(questions[0].0, addresses(&["2001:db8::1"], 60));
            assert_eq!(world.target(), format!("[2001:db8::1]:{port}").parse().unwrap());
        }
    }
}

// rules: R18
#[test]
fn with_a_port_or_an_address_the_service_is_not_looked_up() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    _ = world.acquire(manager, &Hop::new("example.com", Some(5060), Transport::Tcp));
    assert_eq!(names(&world.questions()), ["example.com"]);
    for (host, port, expected) in [
        ("192.0.2.1", None, "192.0.2.1:5061"),
        ("[2001:db8::1]", None, "[2001:db8::1]:5061"),
        ("2001:DB8::1", Some(7), "[2001:db8::1]:7"),
    ] {
        _ = world.acquire(manager, &Hop::new(host, port, Transport::Tls));
        assert_eq!(world.target(), address(expected));
    }
}

// rules: R18
#[test]
fn what_the_resolver_cannot_say_fails_with_its_error() {
    for error in [
        ResolveError::NoSuchName,
        ResolveError::ServerFailure,
        ResolveError::NoResolver,
    ] {
        let (mut world, manager) = World::with(ManagerKind::Client);
        let conn = world
            .acquire(manager, &Hop::new("example.com", None, Transport::Tcp))
            .conn;
        for _ in ["NAPTR", "SRV", "A"] {
            let query = world.questions()[0].0;
            world.go(|room, cx| room.handle_resolved(cx, query, Err(error)));
        }
        assert_eq!(
            world.indications(),
            [Indication::Failed {
                conn,
                error: unresolved("example.com", error)
            }]
        );
    }
    // No address is no name; the target "." is a service that is decidedly not there.
    for (port, answer) in [(Some(1), addresses(&[], 60)), (None, srv(&[(0, 0, 0, ".")], 60))] {
        let (mut world, manager) = World::with(ManagerKind::Client);
        let conn = world
            .acquire(manager, &Hop::new("example.com", port, Transport::Tcp))
            .conn;
        if port.is_none() {
            world.points_nowhere("example.com");
        }
        let query = world.questions()[0].0;
        world.answer(query, answer);
        let error = unresolved("example.com", ResolveError::NoSuchName);
        assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    }
}

// rules: R18
#[test]
fn a_question_waits_for_the_resolve_timeout_only() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let conn = world
        .acquire(manager, &Hop::new("example.com", Some(5060), Transport::Tcp))
        .conn;
    let query = world.questions()[0].0;
    world.almost(secs(110));
    assert_eq!((world.indications(), world.room.queries()), (vec![], 1));
    world.until(secs(110));
    let error = unresolved("example.com", ResolveError::Timeout);
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    assert_eq!((world.room.queries(), world.services.timers.len()), (0, 0));
    world.answer(query, addresses(&["192.0.2.1"], 60));
    assert_eq!(world.actions(), []);
}

// rules: C25
#[test]
fn identical_questions_are_asked_once_and_many_waiters_are_told_in_slices() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = Hop::new("example.com", Some(5060), Transport::Tcp);
    let leases: Vec<Lease> = (0..600).map(|_| world.acquire(manager, &hop)).collect();
    let questions = world.questions();
    assert_eq!(questions.len(), 1);
    let gone = leases[3].clone();
    world.release(gone);
    // Nothing of it is kept, so that the answer must reach everyone by itself.
    world.answer(questions[0].0, addresses(&["192.0.2.1"], 0));
    assert_eq!(world.wants().len(), 255);
    assert_eq!(world.services.timers.next().unwrap().0, world.services.now);
    // One who asks meanwhile joins.
    _ = world.acquire(manager, &hop);
    world.until(world.services.now);
    assert_eq!(world.wants().len(), 600 - 256 + 1);
    assert_eq!(world.room.queries(), 0);
}

// rules: C25
#[test]
fn answers_are_kept_for_their_time_to_live_and_their_addresses_are_rotated() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    world.services.config.connect_timeout = Duration::from_secs(1000);
    let hop = Hop::new("example.com", Some(5060), Transport::Tcp);
    _ = world.acquire(manager, &hop);
    let query = world.questions()[0].0;
    world.answer(query, addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], 30));
    let mut targets = vec![world.target()];
    world.almost(secs(130));
    for _ in 0..3 {
        _ = world.acquire(manager, &hop);
        targets.push(world.target());
    }
    assert_eq!(
        targets,
        [
            "192.0.2.1:5060",
            "192.0.2.2:5060",
            "192.0.2.3:5060",
            "192.0.2.1:5060"
        ]
        .map(address)
    );
    world.until(secs(130));
    _ = world.acquire(manager, &hop);
    assert_eq!(names(&world.questions()), ["example.com"]);
}

// rules: C25
#[test]
fn an_address_that_failed_goes_last_for_ten_minutes() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = Hop::new("example.com", Some(5060), Transport::Tcp);
    let both = || addresses(&["192.0.2.1", "192.0.2.2"], 100_000);
    let conn = world.acquire(manager, &hop).conn;
    let query = world.questions()[0].0;
    world.answer(query, both());
    assert_eq!(world.target(), address("192.0.2.1:5060"));
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Refused));
    assert_eq!(world.target(), address("192.0.2.2:5060"));
    world.connect(conn);
    // Each search begins with another address, but the dead one never comes first, until its time is over.
    world.almost(secs(700));
    for _ in 0..4 {
        _ = world.acquire(manager, &hop);
        assert_eq!(world.target(), address("192.0.2.2:5060"));
    }
    world.until(secs(700));
    let firsts = [(); 2].map(|()| {
        _ = world.acquire(manager, &hop);
        world.target()
    });
    assert!(firsts.contains(&address("192.0.2.1:5060")));
}

// rules: C25
#[test]
fn an_address_that_works_again_is_not_skipped() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = Hop::new("example.com", Some(5060), Transport::Tcp);
    let conn = world.acquire(manager, &hop).conn;
    let query = world.questions()[0].0;
    world.answer(query, addresses(&["192.0.2.1", "192.0.2.2"], 100_000));
    let [first, second] = ["192.0.2.1:5060", "192.0.2.2:5060"].map(address);
    assert_eq!(world.target(), first);
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Refused));
    assert_eq!(world.target(), second);
    // No other remains for this one, and now it answers.
    let other = world
        .go(|room, cx| room.acquire(cx, manager, &hop, &[second]))
        .unwrap();
    assert_eq!(world.target(), first);
    world.connect(other.conn);
    world.actions();
    let firsts = [(); 2].map(|()| {
        _ = world.acquire(manager, &hop);
        world.target()
    });
    assert!(firsts.contains(&first), "{firsts:?}");
}

// rules: C25
#[test]
fn while_no_other_remains_the_dead_are_tried() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    world.go(|room, cx| room.address_failed(cx, address("192.0.2.1:5060")));
    _ = world.acquire(manager, &tcp("192.0.2.1"));
    assert_eq!(world.target(), address("192.0.2.1:5060"));
}

// rules: C25, C35
#[test]
fn a_request_that_failed_on_an_address_gets_another_one() {
    let (mut world, manager) = World::with(SERVER_TCP);
    world.room.set_pool_size(manager, 1).unwrap();
    let hop = Hop::new("example.com", Some(5060), Transport::Tcp);
    let [first, second] = ["192.0.2.1:5060", "192.0.2.2:5060"].map(address);
    assert!(!world.room.has_other_target(&hop, &[]));
    let lease = world.acquire(manager, &hop);
    let query = world.questions()[0].0;
    world.answer(query, addresses(&["192.0.2.1", "192.0.2.2"], 0));
    world.connect(lease.conn);
    assert!(world.room.has_other_target(&hop, &[first]));
    assert!(!world.room.has_other_target(&hop, &[first, second]));
    // The pool is full, but of a connection to the address that failed.
    let other = world
        .go(|room, cx| room.acquire(cx, manager, &hop, &[first]))
        .unwrap();
    let query = world.questions()[0].0;
    world.answer(query, addresses(&["192.0.2.1", "192.0.2.2"], 0));
    assert_eq!(world.target(), second);
    world.connect(other.conn);
    world.indications();
    let again = world
        .go(|room, cx| room.acquire(cx, manager, &hop, &[first]))
        .unwrap();
    assert_eq!(again.conn, other.conn);
    // With nothing left it fails instead of going where it has been.
    let none = world
        .go(|room, cx| room.acquire(cx, manager, &hop, &[first, second]))
        .unwrap();
    let query = world.questions()[0].0;
    world.answer(query, addresses(&["192.0.2.1", "192.0.2.2"], 0));
    let reason = CloseReason::Other("there is no other address".to_string());
    let error = not_connected("192.0.2.2:5060", reason);
    assert_eq!(
        world.indications(),
        [Indication::Failed {
            conn: none.conn,
            error
        }]
    );
}

// rules: R18
#[test]
fn other_targets_are_known_through_the_service_too() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = Hop::new("example.com", None, Transport::Tcp);
    _ = world.acquire(manager, &hop);
    world.points_nowhere("example.com");
    let query = world.questions()[0].0;
    world.answer(
        query,
        srv(
            &[(1, 1, 5070, "a"), (2, 1, 5071, "b"), (3, 1, 5072, "192.0.2.3")],
            60,
        ),
    );
    for (place, (query, _)) in world.questions().into_iter().enumerate() {
        world.answer(query, addresses(&[&format!("192.0.2.{}", place + 1)], 60));
    }
    let tried = ["192.0.2.1:5070", "192.0.2.2:5071", "192.0.2.3:5072"].map(address);
    assert!((0..3).all(|count| world.room.has_other_target(&hop, &tried[..count])));
    assert!(!world.room.has_other_target(&hop, &tried));
    // And through the services that the domain names.
    world.actions();
    let hop = Hop::new("example.org", None, Transport::Tcp);
    _ = world.acquire(manager, &hop);
    let query = world.questions()[0].0;
    let named = [
        (1, 1, "SIP+D2T", "x.example.org"),
        (2, 1, "SIP+D2T", "y.example.org"),
    ];
    world.answer(query, naptr(&named, 60));
    let query = world.questions()[0].0;
    world.answer(
        query,
        srv(&[(1, 1, 5080, "192.0.2.8"), (1, 1, 0, "192.0.2.9")], 60),
    );
    assert!(world.room.has_other_target(&hop, &tried));
    assert!(!world.room.has_other_target(&hop, &[address("192.0.2.8:5080")]));
    let literal = tcp("192.0.2.7");
    assert!(world.room.has_other_target(&literal, &tried));
    assert!(
        !world
            .room
            .has_other_target(&literal, &[address("192.0.2.7:5060")])
    );
}

#[test]
fn a_late_report_of_an_attempt_does_not_touch_the_next_one() {
    let (mut world, manager) = World::with(ManagerKind::Client);
    let hop = Hop::new("example.com", Some(5060), Transport::Tcp);
    let conn = world.acquire(manager, &hop).conn;
    let query = world.questions()[0].0;
    world.answer(query, addresses(&["192.0.2.1", "192.0.2.2"], 60));
    world.actions();
    world.until(secs(110));
    // The embedder has not yet seen that the first attempt is over.
    world.go(|room, cx| room.handle_connected(cx, conn, established(None)));
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Reset));
    assert_eq!(world.indications(), []);
    let info = world.room.info(conn).unwrap();
    assert_eq!(
        (info.ready, info.local, info.remote),
        (false, None, Some(address("192.0.2.2:5060")))
    );
    world.connect(conn);
    assert_eq!(world.indications(), [Indication::Ready(conn)]);
    // And once it is up, being told so again changes nothing.
    world.go(|room, cx| room.handle_connected(cx, conn, established(None)));
    assert_eq!((world.indications().len(), world.events().len()), (0, 1));
}

#[test]
fn a_connection_that_loses_its_users_before_it_is_ready_is_given_up() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let connecting = world.acquire(manager, &tcp("192.0.2.1"));
    let conn = connecting.conn;
    world.actions();
    world.release(connecting);
    assert_eq!(world.wants(), [Action::Close(conn)]);
    let locating = world.acquire(manager, &tcp("example.com"));
    let query = world.questions()[0].0;
    world.release(locating);
    world.answer(query, addresses(&["192.0.2.1"], 60));
    assert_eq!(
        (world.wants(), world.indications(), world.room.connections()),
        (vec![], vec![], 0)
    );
    assert_eq!(world.services.timers.len(), 0);
}

// rules: C30
#[test]
fn the_send_queue_holds_its_limit_and_one_byte_more_closes_the_connection() {
    let (mut world, manager) = World::with(SERVER_TCP);
    world.services.config.limits.send_queue = 10;
    let conn = world.connected(manager, &tcp("192.0.2.1")).conn;
    let send = |world: &mut World, bytes: &'static [u8]| {
        world.go(|room, cx| {
            room.send(
                cx,
                conn,
                Bytes::from_static(bytes),
                Label::request(&Method::Message),
            )
        })
    };
    assert_eq!(send(&mut world, b"0123"), Ok(Sent { start: 0, end: 4 }));
    assert_eq!(send(&mut world, b"456789"), Ok(Sent { start: 4, end: 10 }));
    // One action for one turn from empty to not.
    assert_eq!(world.actions(), [Action::Transmit(conn)]);
    assert_eq!(world.room.queued_bytes(), 10);
    world.go(|room, cx| room.handle_transmitted(cx, conn, 5));
    let left: Vec<&[u8]> = world.room.transmit(conn).map(AsRef::as_ref).collect();
    assert_eq!(left, [b"56789"]);
    assert_eq!(world.room.taken(conn), Some(5));
    assert_eq!(send(&mut world, b"abcdef"), Err(SendError::Full));
    let reason = RemovalReason::SlowReader;
    assert_eq!(
        world.indications(),
        [Indication::Lost {
            conn,
            reason,
            taken: 5,
            target: went_to("192.0.2.1"),
        }]
    );
    assert_eq!(world.wants(), [Action::Close(conn)]);
    assert_eq!(
        (
            world.room.queued_bytes(),
            world.room.leases(),
            world.room.taken(conn)
        ),
        (0, 0, None)
    );
    assert_eq!(send(&mut world, b"a"), Err(SendError::Gone));
    assert_eq!(
        (
            world.services.counters.refusals.send_queue,
            world.services.counters.bytes_sent
        ),
        (1, 5)
    );
}

#[test]
fn nothing_is_sent_before_the_connection_is_ready_and_each_emptying_is_a_new_turn() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.acquire(manager, &tcp("192.0.2.1")).conn;
    let send = |world: &mut World| {
        world.go(|room, cx| {
            room.send(
                cx,
                conn,
                Bytes::from_static(b"x"),
                Label::request(&Method::Message),
            )
        })
    };
    assert_eq!(send(&mut world), Err(SendError::NotReady));
    world.connect(conn);
    world.actions();
    for _ in 0..3 {
        send(&mut world).unwrap();
        assert_eq!(world.actions(), [Action::Transmit(conn)]);
        // More than there is counts as all.
        world.go(|room, cx| room.handle_transmitted(cx, conn, 99));
    }
    assert_eq!(
        (world.room.taken(conn), world.services.counters.bytes_sent),
        (Some(3), 3)
    );
}

// rules: R19
#[test]
fn that_the_socket_took_nothing_is_no_progress() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.connected(manager, &tcp("192.0.2.1")).conn;
    let (began, bound) = (world.services.now, world.services.config.write_timeout);
    world
        .go(|room, cx| {
            let label = Label::request(&Method::Message);
            room.send(cx, conn, Bytes::from_static(b"x"), label)
        })
        .unwrap();
    world.until(began + bound / 2);
    world.go(|room, cx| room.handle_transmitted(cx, conn, 0));
    world.almost(began + bound);
    assert!(world.room.is_ready(conn));
    world.until(began + bound);
    assert!(!world.room.is_ready(conn));
}

// rules: C12, C16
#[test]
fn an_incoming_connection_has_a_minute_for_its_first_valid_message() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.accepted(manager);
    let remote = address("192.0.2.1:40000");
    let transport = Transport::Tcp;
    let added = Event::ConnectionAdded {
        conn,
        manager,
        remote,
        incoming: true,
        transport,
        matched: None,
    };
    assert_eq!(world.events().last(), Some(&added));
    assert_eq!(world.indications().last(), Some(&Indication::Ready(conn)));
    world.receive(conn, MESSAGE);
    world.almost(secs(160));
    assert!(world.room.is_ready(conn));
    world.until(secs(160));
    assert_eq!(world.wants(), [Action::Close(conn)]);
    let reason = RemovalReason::Unproven;
    assert_eq!(
        world.indications().last(),
        Some(&Indication::Lost {
            conn,
            reason,
            taken: 0,
            target: None,
        })
    );

    let conn = world.accepted(manager);
    world.until(secs(219));
    world.go(|room, cx| room.proven(cx, conn));
    world.until(secs(1000));
    assert!(world.room.is_ready(conn));
}

// rules: C12, C28
#[test]
fn an_incoming_handshake_that_fails_or_takes_a_minute_is_an_event() {
    let (mut world, manager) = World::with(ManagerKind::ServerTls);
    let remote = address("192.0.2.1:40000");
    let conn = world.accepted(manager);
    world.actions();
    world.indications();
    // Nothing counts before the handshake is done.
    world.receive(conn, MESSAGE);
    assert!(world.go(|room, cx| room.share(cx, conn)).is_none());
    let failure = TlsFailure {
        kind: TlsFailureKind::NegotiationFailure,
        detail: "no cipher".to_string(),
    };
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Tls(failure.clone())));
    assert_eq!(
        world.actions(),
        [Action::Event(Event::IncomingTlsFailed {
            manager,
            remote,
            failure
        })]
    );

    let conn = world.accepted(manager);
    world.actions();
    world.until(secs(160));
    let failure = TlsFailure {
        kind: TlsFailureKind::Other,
        detail: "timed out".to_string(),
    };
    let event = Event::IncomingTlsFailed {
        manager,
        remote,
        failure,
    };
    assert_eq!(world.actions(), [Action::Close(conn), Action::Event(event)]);
    // The minute counts from the arrival, not from the end of the handshake.
    let conn = world.accepted(manager);
    world.until(secs(200));
    world.connect(conn);
    world.until(secs(220));
    assert_eq!(world.wants(), [Action::Close(conn)]);
    assert_eq!(world.room.connections(), 0);
    let only_listening = |indication: &Indication| matches!(indication, Indication::Listening { .. });
    assert_eq!(
        world
            .indications()
            .iter()
            .filter(|indication| !only_listening(indication))
            .count(),
        2
    );
}

// rules: C18, C20, C28
#[test]
fn with_mutual_tls_only_the_allowed_get_in() {
    let mut world = World::new();
    let usage = "1.3.6.1.5.5.7.3.20".to_string();
    let manager = world.manager(ManagerConfig {
        mutual_tls: MutualTls::Allowed(vec![".example.com".to_string()]),
        required_key_usages: vec![usage.clone()],
        ..ManagerConfig::new(ManagerKind::ServerTls)
    });
    let mut shows = |certificate: Option<PeerCertificate>| {
        let conn = world.accepted(manager);
        world.connect_as(conn, certificate);
        let matched = world
            .room
            .info(conn)
            .map(|info| info.matched.unwrap().to_string());
        let failed = world.events().into_iter().find_map(|event| {
            if let Event::IncomingTlsFailed { failure, .. } = event {
                Some(failure.kind)
            } else {
                None
            }
        });
        assert_eq!(matched.is_some(), failed.is_none());
        matched.ok_or(failed)
    };
    let with_usage = |name| PeerCertificate {
        key_usages: vec![usage.clone()],
        ..certificate(name)
    };
    assert_eq!(shows(Some(with_usage("a.example.com"))).unwrap(), ".example.com");
    assert_eq!(
        shows(Some(with_usage("example.com"))),
        Err(Some(TlsFailureKind::IncorrectNameInRemoteCertificate))
    );
    assert_eq!(
        shows(Some(certificate("a.example.com"))),
        Err(Some(TlsFailureKind::RemoteCertificateInvalidUsage))
    );
    assert_eq!(shows(None), Err(Some(TlsFailureKind::UntrustedRemoteCertificate)));
}

// rules: C18
#[test]
fn another_allow_list_is_for_those_who_connect_from_then_on() {
    let mut world = World::new();
    let allowed = |name: &str| MutualTls::Allowed(vec![name.to_string()]);
    let manager = world.manager(ManagerConfig {
        mutual_tls: allowed("a.example.com"),
        ..ManagerConfig::new(ManagerKind::ServerTls)
    });
    let admitted = |world: &mut World| {
        ["a.example.com", "b.example.com"].map(|name| {
            let conn = world.accepted(manager);
            world.connect_as(conn, Some(certificate(name)));
            world.room.info(conn).is_some()
        })
    };
    assert_eq!(admitted(&mut world), [true, false]);
    world
        .go(|room, _| room.set_mutual_tls(manager, allowed("b.example.com")))
        .unwrap();
    assert_eq!(admitted(&mut world), [false, true]);
    let nobody: ManagerId = world.services.ids.next();
    let misuse = world.go(|room, _| room.set_mutual_tls(nobody, MutualTls::Off));
    assert!(matches!(misuse, Err(Misuse::Unknown(_))));
}

// rules: C10
#[test]
fn on_server_managers_a_connection_without_traffic_is_closed_even_with_users() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let lease = world.connected(manager, &tcp("192.0.2.1"));
    let incoming = world.accepted(manager);
    world.go(|room, cx| room.proven(cx, incoming));
    world.until(secs(300));
    world
        .go(|room, cx| {
            room.send(
                cx,
                lease.conn,
                Bytes::from_static(b"x"),
                Label::request(&Method::Message),
            )
        })
        .unwrap();
    world.go(|room, cx| room.handle_transmitted(cx, lease.conn, 1));
    world.until(secs(400));
    world.receive(incoming, MESSAGE);
    // Keep-alives, either way, are no traffic.
    world.until(secs(500));
    world
        .go(|room, cx| room.send_ping(cx, lease.conn, false))
        .unwrap();
    world.receive(lease.conn, b"\r\n");
    world.receive(incoming, b"\r\n\r\n");
    world.go(|room, cx| room.handle_transmitted(cx, lease.conn, 4));
    world.go(|room, cx| room.handle_transmitted(cx, incoming, 2));
    world.actions();
    world.almost(secs(1200));
    assert_eq!(world.wants(), []);
    world.until(secs(1200));
    assert_eq!(world.wants(), [Action::Close(lease.conn)]);
    world.almost(secs(1300));
    assert_eq!(world.wants(), []);
    world.until(secs(1300));
    assert_eq!(world.wants(), [Action::Close(incoming)]);
    let reason = RemovalReason::Idle;
    assert_eq!(
        world.indications().last(),
        Some(&Indication::Lost {
            conn: incoming,
            reason,
            taken: 2,
            target: None,
        })
    );
}

// rules: C10, C11
#[test]
fn idle_times_can_be_set_and_client_managers_have_none() {
    let mut world = World::new();
    let manager = world.manager(ManagerConfig {
        idle_outgoing: Some(Duration::from_secs(30)),
        idle_incoming: Some(Duration::ZERO),
        ..ManagerConfig::new(SERVER_TCP)
    });
    let client = world.manager(ManagerConfig::new(ManagerKind::Client));
    let short = world.connected(manager, &tcp("192.0.2.1")).conn;
    let own = world.connected(manager, &tcp("192.0.2.1")).conn;
    let incoming = world.accepted(manager);
    world.go(|room, cx| room.proven(cx, incoming));
    let of_client = world.connected(client, &tcp("192.0.2.1")).conn;
    world
        .go(|room, cx| room.set_idle(cx, own, Duration::from_secs(50)))
        .unwrap();
    let misuse = world.go(|room, cx| room.set_idle(cx, of_client, Duration::from_secs(50)));
    assert!(matches!(misuse, Err(Misuse::Kind(_))));
    world.almost(secs(130));
    assert!(world.room.is_ready(short));
    world.until(secs(130));
    assert!(!world.room.is_ready(short));
    world.almost(secs(150));
    assert!(world.room.is_ready(own));
    world.until(secs(150));
    assert!(!world.room.is_ready(own));
    world.until(secs(1_000_000));
    assert!(world.room.is_ready(incoming) && world.room.is_ready(of_client));
}

// rules: C10, C11
#[test]
fn other_idle_times_are_for_new_connections_until_they_are_applied_to_all() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let client = world.manager(ManagerConfig::new(ManagerKind::Client));
    for id in [client, manager] {
        let set = world.go(|room, _| {
            room.set_idle_defaults(id, Some(Duration::from_secs(50)), Some(Duration::from_secs(30)))
        });
        let is_server = id == manager;
        assert_eq!(set.is_ok(), is_server);
        assert_eq!(
            world.go(|room, cx| room.apply_idle_defaults(cx, id)).is_ok(),
            is_server
        );
    }
    world
        .go(|room, _| room.set_idle_defaults(manager, None, None))
        .unwrap();
    let old = world.connected(manager, &tcp("192.0.2.1")).conn;
    let incoming = world.accepted(manager);
    world.go(|room, cx| room.proven(cx, incoming));
    world
        .go(|room, _| {
            room.set_idle_defaults(
                manager,
                Some(Duration::from_secs(50)),
                Some(Duration::from_secs(30)),
            )
        })
        .unwrap();
    let new = world.connected(manager, &tcp("192.0.2.1")).conn;
    let began = world.services.now;
    world.almost(began + Duration::from_secs(30));
    assert!(world.room.is_ready(new));
    world.until(began + Duration::from_secs(30));
    assert!(!world.room.is_ready(new) && world.room.is_ready(old));
    // What was without traffic for longer goes at once, and the other counts on from its last traffic.
    world
        .go(|room, cx| room.apply_idle_defaults(cx, manager))
        .unwrap();
    world.until(began + Duration::from_secs(30));
    assert!(!world.room.is_ready(old) && world.room.is_ready(incoming));
    world.almost(began + Duration::from_secs(50));
    assert!(world.room.is_ready(incoming));
    world.until(began + Duration::from_secs(50));
    assert!(!world.room.is_ready(incoming));
}

// rules: C29
#[test]
fn when_framing_is_lost_a_last_answer_goes_out_and_the_connection_is_closed() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.accepted(manager);
    world.actions();
    world.indications();
    let bad = b"OPTIONS sip:a@example.com SIP/2.0\r\nContent-Length: -1\r\n\r\n";
    world.receive(conn, &[MESSAGE, bad, MESSAGE].concat());
    let indications = world.indications();
    let [
        Indication::Message { bytes, .. },
        Indication::BadFraming { error, .. },
    ] = indications.as_slice()
    else {
        panic!("{indications:?}")
    };
    assert_eq!(
        (bytes.as_ref(), error.offset, error.head.as_ref()),
        (MESSAGE, MESSAGE.len() as u64, &bad[..])
    );
    world
        .go(|room, cx| {
            room.send(
                cx,
                conn,
                Bytes::from_static(b"SIP/2.0 400"),
                Label::request(&Method::Message),
            )
        })
        .unwrap();
    world.receive(conn, MESSAGE);
    world.until(world.services.now);
    assert_eq!(
        (world.wants(), world.indications()),
        (vec![Action::Transmit(conn)], vec![])
    );
    assert_eq!(
        world.go(|room, cx| room.send(
            cx,
            conn,
            Bytes::from_static(b"x"),
            Label::request(&Method::Message)
        )),
        Err(SendError::Gone)
    );
    world.go(|room, cx| room.handle_transmitted(cx, conn, 11));
    assert_eq!(world.wants(), [Action::Close(conn)]);
    let reason = RemovalReason::FramingLost("bad Content-Length".to_string());
    assert_eq!(
        world.indications(),
        [Indication::Lost {
            conn,
            reason,
            taken: 11,
            target: None,
        }]
    );
    assert_eq!(world.services.timers.len(), 0);

    // With nothing to answer it is closed at the next deadline, which is now.
    let conn = world.accepted(manager);
    world.actions();
    world.receive(conn, b"GET / HTTP/1.1\r\n\r\n");
    world.until(world.services.now);
    assert_eq!(world.wants(), [Action::Close(conn)]);
}

// rules: X5, C29
#[test]
fn a_report_that_it_is_up_changes_nothing_of_a_connection_that_is_leaving() {
    for leaving in ["parting", "closing"] {
        let (mut world, manager) = World::with(SERVER_TCP);
        let conn = world.accepted(manager);
        world.actions();
        let ends = |world: &World| world.room.info(conn).map(|known| (known.local, known.remote));
        let known = ends(&world);
        world.receive(conn, b"GET / HTTP/1.1\r\n\r\n");
        if leaving == "closing" {
            let last = Bytes::from_static(b"SIP/2.0 400");
            world
                .go(|room, cx| room.send(cx, conn, last, Label::request(&Method::Message)))
                .unwrap();
            world.until(world.services.now);
        }
        world.connect(conn);
        assert_eq!(ends(&world), known, "{leaving}");
        assert!(
            known.is_some() && !world.room.info(conn).unwrap().ready,
            "{leaving}"
        );
    }
}

// rules: C26
#[test]
fn a_double_crlf_is_answered_with_a_single_one_however_it_is_split() {
    let stream = [MESSAGE, b"\r\n\r\n", MESSAGE, b"\r\n\r\n\r\n\r\n"].concat();
    for size in 1..=stream.len() {
        let (mut world, manager) = World::with(SERVER_TCP);
        let conn = world.accepted(manager);
        world.indications();
        for chunk in stream.chunks(size) {
            world.receive(conn, chunk);
        }
        let message = || Indication::Message {
            conn,
            bytes: Bytes::from_static(MESSAGE),
        };
        let ping = || Indication::Ping(conn);
        assert_eq!(
            world.indications(),
            [message(), ping(), message(), ping(), ping()]
        );
        let answered: Vec<u8> = world.room.transmit(conn).flatten().copied().collect();
        assert_eq!(answered, b"\r\n\r\n\r\n");
    }
}

// rules: C26
#[test]
fn a_single_crlf_is_the_answer_to_a_keep_alive_only_where_one_was_sent() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.connected(manager, &tcp("192.0.2.1")).conn;
    world.receive(conn, b"\r\n");
    assert_eq!(world.indications(), []);
    let conn = world.connected(manager, &tcp("192.0.2.1")).conn;
    world.go(|room, cx| room.send_ping(cx, conn, false)).unwrap();
    let sent: Vec<u8> = world.room.transmit(conn).flatten().copied().collect();
    assert_eq!(sent, b"\r\n\r\n");
    // The answer, and then a keep-alive of the peer's own.
    world.receive(conn, b"\r\n\r\n\r\n");
    assert_eq!(
        world.indications(),
        [Indication::Pong(conn), Indication::Ping(conn)]
    );
}

// rules: C30, C26
#[test]
fn a_peer_that_pings_and_does_not_read_is_closed() {
    let (mut world, manager) = World::with(SERVER_TCP);
    world.services.config.limits.send_queue = 4;
    let conn = world.accepted(manager);
    world.indications();
    world.receive(conn, &b"\r\n\r\n".repeat(5));
    let reason = RemovalReason::SlowReader;
    assert_eq!(
        world.indications(),
        [
            Indication::Ping(conn),
            Indication::Ping(conn),
            Indication::Lost {
                conn,
                reason,
                taken: 0,
                target: None,
            }
        ]
    );
}

// rules: C31
#[test]
fn the_limit_of_connections_closes_the_incoming_and_fails_the_outgoing() {
    let (mut world, manager) = World::with(SERVER_TCP);
    world.services.config.limits.connections = 2;
    let lease = world.connected(manager, &tcp("192.0.2.1"));
    let second = world.accepted(manager);
    assert!(world.room.is_ready(second));
    let third = world.accepted(manager);
    assert_eq!(world.wants().last(), Some(&Action::Close(third)));
    assert!(world.room.info(third).is_none());
    let refused = world.go(|room, cx| room.acquire(cx, manager, &tcp("192.0.2.2"), &[]));
    assert_eq!(refused, Err(ConnectionFailure::Limit("connections")));
    assert_eq!(world.services.counters.refusals.connections, 2);
    world.go(|room, cx| room.disconnect(cx, lease.conn, RemovalReason::Local));
    assert!(
        world
            .go(|room, cx| room.acquire(cx, manager, &tcp("192.0.2.2"), &[]))
            .is_ok()
    );
}

// rules: C32
#[test]
fn disconnect_closes_now_and_does_nothing_twice() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.connected(manager, &tcp("192.0.2.1")).conn;
    world
        .go(|room, cx| {
            room.send(
                cx,
                conn,
                Bytes::from_static(b"x"),
                Label::request(&Method::Message),
            )
        })
        .unwrap();
    world.actions();
    for expected in [vec![Action::Close(conn)], vec![]] {
        world.go(|room, cx| room.disconnect(cx, conn, RemovalReason::Local));
        assert_eq!(world.wants(), expected);
    }
    assert_eq!(
        world.indications(),
        [Indication::Lost {
            conn,
            reason: RemovalReason::Local,
            taken: 0,
            target: went_to("192.0.2.1"),
        }]
    );
    assert_eq!((world.room.queued_bytes(), world.room.leases()), (0, 0));
}

// rules: C16
#[test]
fn a_connection_that_the_peer_closes_is_reported_with_what_it_took() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.connected(manager, &tcp("192.0.2.1")).conn;
    world
        .go(|room, cx| {
            room.send(
                cx,
                conn,
                Bytes::from_static(b"abc"),
                Label::request(&Method::Message),
            )
        })
        .unwrap();
    world.go(|room, cx| room.handle_transmitted(cx, conn, 2));
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Closed));
    let reason = RemovalReason::Remote(CloseReason::Closed);
    assert_eq!(
        world.indications(),
        [Indication::Lost {
            conn,
            reason: reason.clone(),
            taken: 2,
            target: went_to("192.0.2.1"),
        }]
    );
    let remote = address("192.0.2.1:5060");
    assert_eq!(
        world.events(),
        [
            Event::ConnectionRemoved {
                conn,
                manager,
                remote,
                incoming: false,
                transport: Transport::Tcp,
                matched: None,
                reason
            },
            Event::PoolRemoved {
                manager,
                host: "192.0.2.1".to_string(),
                port: Some(5060),
                transport: Transport::Tcp
            }
        ]
    );
    // The pool does not give it out any more.
    assert_ne!(world.acquire(manager, &tcp("192.0.2.1")).conn, conn);
}

// rules: C14
#[test]
fn listening_begins_is_refused_is_lost_and_ends() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let (asked, got) = (address("192.0.2.100:0"), address("192.0.2.100:33333"));
    let listener = world.go(|room, cx| room.listen(cx, manager, asked)).unwrap();
    let action = Action::Listen {
        listener,
        manager,
        address: asked,
        transport: Transport::Tcp,
    };
    assert_eq!(world.actions(), [action]);
    assert_eq!(world.room.listening_addresses(manager).count(), 0);
    world.go(|room, cx| room.handle_listening(cx, listener, Ok(got)));
    assert_eq!(
        world.events(),
        [Event::Listening {
            listener,
            address: got
        }]
    );
    assert_eq!(world.indications(), [Indication::Listening { listener, manager }]);
    let now: Vec<_> = world.room.listening_addresses(manager).collect();
    assert_eq!(now, [(listener, got, Transport::Tcp)]);
    // The same address again is misuse; another one, or another port of the system's choice, is not.
    assert!(matches!(
        world.go(|room, cx| room.listen(cx, manager, got)),
        Err(Misuse::Argument { .. })
    ));
    let second = world.go(|room, cx| room.listen(cx, manager, asked)).unwrap();
    world.actions();
    world.go(|room, cx| room.handle_listening(cx, second, Err(ListenError::AddressInUse)));
    let ended = |listener, error| Event::ListeningEnded { listener, error };
    assert_eq!(world.events(), [ended(second, Some(ListenError::AddressInUse))]);
    let not = |listener, error| Indication::NotListening {
        listener,
        manager,
        error,
    };
    assert_eq!(
        world.indications(),
        [not(second, Some(ListenError::AddressInUse))]
    );
    // Stopped: what came in over it goes on, what comes late is closed.
    let (local, remote) = (got, address("192.0.2.1:40000"));
    let early = world.go(|room, cx| room.handle_accepted(cx, listener, local, remote));
    world.actions();
    world
        .go(|room, cx| room.stop_listening(cx, manager, listener))
        .unwrap();
    assert_eq!(
        world.actions(),
        [
            Action::StopListening(listener),
            Action::Event(ended(listener, None))
        ]
    );
    let late = world.go(|room, cx| room.handle_accepted(cx, listener, local, remote));
    assert_eq!(world.actions(), [Action::Close(late)]);
    assert!(world.room.is_ready(early));
    world.go(|room, cx| room.handle_listening(cx, listener, Ok(got)));
    assert_eq!((world.actions(), world.room.listeners()), (vec![], 0));
    let misuse = world.go(|room, cx| room.stop_listening(cx, manager, listener));
    assert_eq!(misuse, Err(Misuse::Unknown("the listener")));
}

// rules: P1
#[test]
fn a_manager_starts_while_an_address_of_its_own_is_not_there_yet() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let other = world.manager(ManagerConfig::new(SERVER_TCP));
    let listener = world
        .go(|room, cx| room.listen(cx, manager, address("192.0.2.100:5060")))
        .unwrap();
    let is = |world: &World, id| (world.room.is_starting(id), world.room.is_listening(id));
    assert_eq!(
        [manager, other].map(|id| is(&world, id)),
        [(true, false), (false, false)]
    );
    world.go(|room, cx| room.handle_listening(cx, listener, Ok(address("192.0.2.100:5060"))));
    assert_eq!(
        [manager, other].map(|id| is(&world, id)),
        [(false, true), (false, false)]
    );
}

// rules: C14
#[test]
fn a_listener_can_be_stopped_before_it_began_and_lost_after() {
    let (mut world, manager) = World::with(ManagerKind::ServerTls);
    let listen = |world: &mut World| {
        let listener = world
            .go(|room, cx| room.listen(cx, manager, address("192.0.2.100:5061")))
            .unwrap();
        let wants = world.wants();
        assert!(matches!(
            &wants[..],
            [Action::Listen {
                transport: Transport::Tls,
                ..
            }]
        ));
        listener
    };
    let listener = listen(&mut world);
    world
        .go(|room, cx| room.stop_listening(cx, manager, listener))
        .unwrap();
    assert_eq!(world.wants(), [Action::StopListening(listener)]);
    let listener = listen(&mut world);
    assert!(
        world
            .go(|room, cx| room.listen(cx, manager, address("192.0.2.100:5061")))
            .is_err()
    );
    world.go(|room, cx| room.handle_listening(cx, listener, Ok(address("192.0.2.100:5061"))));
    world.go(|room, cx| room.handle_listening(cx, listener, Err(ListenError::PermissionDenied)));
    assert_eq!(world.room.listeners(), 1);
    let lost = ListenError::Other("interface gone".to_string());
    world.go(|room, cx| room.handle_listener_lost(cx, listener, lost.clone()));
    assert_eq!(
        world.events().last(),
        Some(&Event::ListeningEnded {
            listener,
            error: Some(lost)
        })
    );
    assert_eq!(world.room.listeners(), 0);
    let client = world.manager(ManagerConfig::new(ManagerKind::Client));
    let misuse = world.go(|room, cx| room.listen(cx, client, address("192.0.2.100:5062")));
    assert!(matches!(misuse, Err(Misuse::Kind(_))));
}

// rules: C31
#[test]
fn while_the_application_lags_only_those_who_bring_something_are_stopped() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let [brings, silent, goes] = [(); 3].map(|()| world.accepted(manager));
    world.actions();
    world.room.pause_all();
    for conn in [brings, brings, goes] {
        world.receive(conn, MESSAGE);
    }
    assert_eq!(
        world.actions(),
        [Action::Reading(brings, false), Action::Reading(goes, false)]
    );
    // What was read before it stopped is not lost.
    let is_message = |indication: &Indication| matches!(indication, Indication::Message { .. });
    assert_eq!(
        world
            .indications()
            .iter()
            .filter(|indication| is_message(indication))
            .count(),
        3
    );
    world.go(|room, cx| room.handle_closed(cx, goes, CloseReason::Reset));
    world.actions();
    world.go(Connections::resume_all);
    assert_eq!(world.actions(), [Action::Reading(brings, true)]);
    world.receive(silent, MESSAGE);
    assert_eq!(world.actions(), []);
}

// rules: C31, X5
#[test]
fn while_the_application_lags_nobody_is_stopped_of_whom_all_is_taken() {
    let (mut world, manager) = World::with(SERVER_TCP);
    let conn = world.accepted(manager);
    world.receive(conn, MESSAGE);
    world.actions();
    world.room.pause_all();
    world.go(|room, cx| room.hold_back(cx, conn));
    assert_eq!(world.actions(), []);
    world.receive(conn, &MESSAGE[..9]);
    assert_eq!(world.actions(), [Action::Reading(conn, false)]);
}

// rules: C21, X5
#[test]
fn a_held_connection_is_not_read_from_when_the_application_has_caught_up() {
    let mut world = World::new();
    let manager = authorizing(&mut world, SERVER_TCP);
    let conn = world.accepted(manager);
    assert_eq!(world.wants().pop(), Some(Action::Reading(conn, false)));
    world.room.pause_all();
    world.receive(conn, MESSAGE);
    world.go(Connections::resume_all);
    assert_eq!(world.actions(), []);
}

#[test]
fn a_fingerprint_does_not_depend_on_ids_or_on_the_hour() {
    let history = |ids: usize, start: u64| {
        let mut world = World::new();
        world.services.now = secs(start);
        for _ in 0..ids {
            world.services.ids.next::<ConnId>();
        }
        let manager = world.manager(ManagerConfig::new(SERVER_TCP));
        let lease = world.connected(manager, &tcp("192.0.2.1"));
        _ = world.acquire(manager, &tcp("example.com"));
        world.until(secs(start + 5));
        world.release(lease);
        (world.room.fingerprint(world.services.now), world)
    };
    let (first, mut world) = history(0, 0);
    assert_eq!(first, history(7, 1000).0);
    assert_eq!(first.connections.len(), 2);
    assert_eq!(first.connections[0].0.remaining, Some(Duration::from_secs(60)));
    world.until(secs(6));
    assert_ne!(first, world.room.fingerprint(secs(6)));
}

#[derive(Clone, Debug)]
enum Operation {
    Acquire { manager: usize, hop: usize },
    Share(usize),
    Release(usize),
    Accept,
    Connected(usize),
    Closed(usize),
    Send(usize, usize),
    Taken(usize, usize),
    Receive(usize, usize),
    Proven(usize),
    Disconnect(usize),
    Resolved(usize, bool),
    Wait(u64),
    Drain,
}

fn operation() -> impl Strategy<Value = Operation> {
    let which = 0..8_usize;
    prop_oneof![
        4 => (0..3_usize, 0..4_usize).prop_map(|(manager, hop)| Operation::Acquire { manager, hop }),
        1 => which.clone().prop_map(Operation::Share),
        3 => which.clone().prop_map(Operation::Release),
        1 => Just(Operation::Accept),
        4 => which.clone().prop_map(Operation::Connected),
        1 => which.clone().prop_map(Operation::Closed),
        2 => (which.clone(), 0..9_usize).prop_map(|(conn, size)| Operation::Send(conn, size)),
        2 => (which.clone(), 0..9_usize).prop_map(|(conn, size)| Operation::Taken(conn, size)),
        1 => (which.clone(), 0..4_usize).prop_map(|(conn, what)| Operation::Receive(conn, what)),
        1 => which.clone().prop_map(Operation::Proven),
        1 => which.clone().prop_map(Operation::Disconnect),
        2 => (which, any::<bool>()).prop_map(|(query, found)| Operation::Resolved(query, found)),
        2 => (0..70_u64).prop_map(Operation::Wait),
        3 => Just(Operation::Drain),
    ]
}

/// What an embedder and the layers above know: nothing of the room's own state.
struct Model {
    world: World,
    managers: Vec<ManagerId>,
    listener: ListenerId,
    /// The leases that are held, and have not been told to be void.
    held: Vec<Lease>,
    conns: Vec<ConnId>,
    queries: Vec<(QueryId, Question)>,
}

impl Model {
    fn new() -> Self {
        let mut world = World::new();
        world.services.config.pool_size = 2;
        world.services.config.limits.send_queue = 20;
        let kinds = [
            ManagerKind::Client,
            ManagerKind::ServerTcp,
            ManagerKind::ServerTcp,
        ];
        let managers = kinds.map(|kind| world.manager(ManagerConfig::new(kind))).to_vec();
        let local = address("192.0.2.100:5060");
        let listener = world.go(|room, cx| room.listen(cx, managers[1], local)).unwrap();
        world.go(|room, cx| room.handle_listening(cx, listener, Ok(local)));
        let (held, conns, queries) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            world,
            managers,
            listener,
            held,
            conns,
            queries,
        }
    }

    fn conn(&self, place: usize) -> Option<ConnId> {
        self.conns.get(place.checked_rem(self.conns.len())?).copied()
    }

    fn run(&mut self, operation: Operation) {
        let Self {
            world,
            managers,
            listener,
            ..
        } = self;
        match operation {
            Operation::Acquire { manager, hop } => {
                let hops = [
                    tcp("192.0.2.1"),
                    tcp("192.0.2.2"),
                    Hop::new("example.com", None, Transport::Tcp),
                    tcp("example.com"),
                ];
                let lease = world.acquire(managers[manager], &hops[hop]);
                if !self.conns.contains(&lease.conn) {
                    self.conns.push(lease.conn);
                }
                self.held.push(lease);
            }
            Operation::Share(place) => {
                let Some(conn) = self.conn(place) else { return };
                let lease = self.world.go(|room, cx| room.share(cx, conn));
                self.held.extend(lease);
            }
            Operation::Release(place) => {
                let Some(place) = place.checked_rem(self.held.len()) else {
                    return;
                };
                let lease = self.held.swap_remove(place);
                self.world.release(lease);
            }
            Operation::Accept => {
                let (listener, local) = (*listener, address("192.0.2.100:5060"));
                let remote = address("192.0.2.1:40000");
                self.conns
                    .push(world.go(|room, cx| room.handle_accepted(cx, listener, local, remote)));
            }
            Operation::Drain => self.drain(),
            Operation::Wait(seconds) => {
                let then = self.world.services.now + Duration::from_secs(seconds);
                self.world.until(then);
            }
            Operation::Resolved(place, found) => {
                let Some(place) = place.checked_rem(self.queries.len()) else {
                    return;
                };
                let (query, question) = self.queries.swap_remove(place);
                let answer = match question {
                    _ if !found => Err(ResolveError::NoSuchName),
                    Question::Naptr(_) => Ok(naptr(
                        &[(1, 1, "SIP+D2T", "x.invalid"), (2, 1, "SIP+D2T", "y.invalid")],
                        30,
                    )),
                    Question::Srv(_) => Ok(srv(
                        &[(1, 1, 5070, "a"), (1, 1, 5071, "b"), (2, 0, 5072, "b")],
                        30,
                    )),
                    Question::Addresses(_) => Ok(addresses(&["192.0.2.7", "192.0.2.8"], 30)),
                };
                self.world.go(|room, cx| room.handle_resolved(cx, query, answer));
            }
            Operation::Connected(place) => {
                self.on(place, |room, cx, conn| {
                    room.handle_connected(cx, conn, established(None))
                });
            }
            Operation::Closed(place) => {
                self.on(place, |room, cx, conn| {
                    room.handle_closed(cx, conn, CloseReason::Reset)
                });
            }
            Operation::Send(place, size) => {
                self.on(place, |room, cx, conn| {
                    _ = room.send(
                        cx,
                        conn,
                        Bytes::from(vec![b'x'; size]),
                        Label::request(&Method::Message),
                    );
                });
            }
            Operation::Taken(place, size) => {
                self.on(place, |room, cx, conn| room.handle_transmitted(cx, conn, size));
            }
            Operation::Receive(place, what) => {
                let bytes: &[u8] = [MESSAGE, b"\r\n\r\n", b"garbage that is no SIP\r\n", b"\r\n"][what];
                self.on(place, |room, cx, conn| room.receive(cx, conn, bytes));
            }
            Operation::Proven(place) => self.on(place, Connections::proven),
            Operation::Disconnect(place) => {
                self.on(place, |room, cx, conn| {
                    room.disconnect(cx, conn, RemovalReason::Local)
                });
            }
        }
    }

    fn on(&mut self, place: usize, call: impl FnOnce(&mut Connections, &mut crate::cx::Cx<'_>, ConnId)) {
        if let Some(conn) = self.conn(place) {
            self.world.go(|room, cx| call(room, cx, conn));
        }
    }

    fn drain(&mut self) {
        for action in self.world.actions() {
            if let Action::Resolve { query, question } = action {
                self.queries.push((query, question));
            }
        }
    }

    fn check(&mut self) {
        for indication in self.world.indications() {
            if let Indication::Failed { conn, .. } | Indication::Lost { conn, .. } = indication {
                assert!(self.world.room.info(conn).is_none());
                self.held.retain(|lease| lease.conn != conn);
            }
        }
        let room = &self.world.room;
        assert_eq!(room.leases(), self.held.len());
        let mut queued = 0;
        for conn in &self.conns {
            let users = self.held.iter().filter(|lease| lease.conn == *conn).count();
            let info = room.info(*conn);
            assert_eq!(info.as_ref().map_or(0, |info| info.users), users);
            let waiting: usize = room.transmit(*conn).map(Bytes::len).sum();
            assert_eq!(info.map_or(0, |info| info.queued), waiting);
            assert!(waiting <= 20);
            queued += waiting;
        }
        assert_eq!(room.queued_bytes(), queued);
        // A client manager's connection has one user, unless it was shared by name.
        for connection in room.fingerprint(self.world.services.now).connections {
            assert!(connection.3.is_none_or(|pool| pool.members <= 2));
        }
    }

    fn finish(mut self) {
        for lease in core::mem::take(&mut self.held) {
            self.world.release(lease);
        }
        self.drain();
        let then = self.world.services.now + Duration::from_secs(1000);
        self.world.until(then);
        self.drain();
        self.check();
        let room = &self.world.room;
        assert_eq!(
            (
                room.connections(),
                room.leases(),
                room.queued_bytes(),
                room.queries()
            ),
            (0, 0, 0, 0)
        );
        assert_eq!(self.world.services.timers.len(), 0);
        assert!(room.managers.values().all(|manager| manager.pools.len() == 0));
    }
}

proptest! {
    // rules: C4, C8, C9
    #[test]
    fn no_lease_is_ever_lost_and_nothing_is_left(operations in proptest::collection::vec(operation(), 0..80)) {
        let mut model = Model::new();
        for operation in operations {
            model.run(operation);
            model.check();
        }
        model.finish();
    }

    // rules: C29
    #[test]
    fn any_split_of_the_bytes_gives_the_same(cuts in proptest::collection::vec(1..40_usize, 0..20)) {
        let stream = [b"\r\n", MESSAGE, b"\r\n\r\n", MESSAGE, MESSAGE, b"nonsense\r\n\r\n"].concat();
        let play = |cuts: &[usize]| {
            let (mut world, manager) = World::with(SERVER_TCP);
            let conn = world.accepted(manager);
            let mut rest = stream.as_slice();
            for cut in cuts {
                let (chunk, later) = rest.split_at((*cut).min(rest.len()));
                world.receive(conn, chunk);
                rest = later;
            }
            world.receive(conn, rest);
            (world.actions(), world.indications())
        };
        prop_assert_eq!(play(&cuts), play(&[]));
    }
}

// The word of the application.

fn authorizing(world: &mut World, kind: ManagerKind) -> ManagerId {
    world.manager(ManagerConfig {
        authorizes: true,
        ..ManagerConfig::new(kind)
    })
}

/// What the application is asked, and what is told of the end of a connection.
fn asked_and_removed(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| {
        if let Event::AuthorizationRequested { incoming, .. } = event {
            Some(format!("asked, incoming {incoming}"))
        } else if let Event::ConnectionRemoved { reason, .. } = event {
            Some(format!("removed: {reason}"))
        } else {
            matches!(event, Event::ConnectionAdded { .. }).then(|| "added".to_string())
        }
    };
    events.iter().filter_map(told).collect()
}

// rules: C21
#[test]
fn a_held_connection_carries_nothing_until_it_is_allowed() {
    let mut world = World::new();
    let manager = authorizing(&mut world, SERVER_TCP);
    let lease = world.acquire(manager, &tcp("192.0.2.1"));
    let conn = lease.conn;
    world.connect(conn);
    assert_eq!(world.indications(), []);
    let actions = world.actions();
    let (remote, transport) = (address("192.0.2.1:5060"), Transport::Tcp);
    let asked = Event::AuthorizationRequested {
        conn,
        manager,
        remote,
        incoming: false,
        transport,
        matched: None,
    };
    assert_eq!(actions, [Action::Reading(conn, false), Action::Event(asked)]);
    // Nothing goes out, nothing comes in; another request can wait for it, too.
    let label = Label::request(&Method::Message);
    let sent = world.go(|room, cx| room.send(cx, conn, Bytes::from_static(b"x"), label));
    assert_eq!(sent, Err(SendError::NotReady));
    assert_eq!(
        world.go(|room, cx| room.send_ping(cx, conn, false)),
        Err(SendError::NotReady)
    );
    world.receive(conn, MESSAGE);
    assert_eq!((world.actions(), world.indications()), (vec![], vec![]));
    assert!(world.room.is_usable(conn) && !world.room.is_ready(conn));
    assert!(world.go(|room, cx| room.share(cx, conn)).is_some());
    world.until(secs(120));
    world.go(|room, cx| room.authorize(cx, conn, true)).unwrap();
    assert_eq!(world.indications(), [Indication::Ready(conn)]);
    let added = Event::ConnectionAdded {
        conn,
        manager,
        remote,
        incoming: false,
        transport,
        matched: None,
    };
    assert_eq!(
        world.actions(),
        [Action::Reading(conn, true), Action::Event(added)]
    );
    // What had been read before is not lost.
    world.receive(conn, b"");
    let bytes = Bytes::from_static(MESSAGE);
    assert_eq!(world.indications(), [Indication::Message { conn, bytes }]);
    // It was asked once.
    for allowed in [true, false] {
        let again = world.go(|room, cx| room.authorize(cx, conn, allowed));
        assert_eq!(again, Err(Misuse::Answered));
    }
    assert_eq!(world.actions(), []);
}

// rules: C21
#[test]
fn a_denied_connection_fails_who_waits_for_it() {
    let mut world = World::new();
    let manager = authorizing(&mut world, SERVER_TCP);
    let conn = world.acquire(manager, &tcp("192.0.2.1")).conn;
    world.connect(conn);
    world.actions();
    world.go(|room, cx| room.authorize(cx, conn, false)).unwrap();
    let error = OperationError::OperationFailure(OperationFailure::ConnectionNotAuthorized);
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    let actions = world.actions();
    assert_eq!(actions[0], Action::Close(conn));
    assert!(matches!(
        actions[1..],
        [
            Action::Event(Event::ConnectionRemoved {
                reason: RemovalReason::Denied,
                ..
            }),
            Action::Event(Event::PoolRemoved { .. })
        ]
    ));
    assert_eq!((world.room.connections(), world.room.leases()), (0, 0));
    assert_eq!(world.services.timers.len(), 0);
    assert_eq!(world.services.counters.connections.outgoing.failed, 1);
    // Its address is not to blame.
    assert_eq!(world.room.authorize(&mut world.services.cx(), conn, true), Ok(()));
    assert_eq!(world.actions(), []);
}

// rules: C21, R20
#[test]
fn a_held_connection_whose_address_is_lost_fails_who_waits_for_it() {
    let mut world = World::new();
    let manager = authorizing(&mut world, SERVER_TCP);
    let conn = world.acquire(manager, &tcp("192.0.2.1")).conn;
    world.connect(conn);
    world.actions();
    let local = world.room.info(conn).unwrap().local.unwrap();
    let other = LostAddresses::These(vec![address("192.0.2.77:1").ip()]);
    world.go(|room, cx| room.network_changed(cx, &other));
    assert_eq!((world.actions(), world.indications()), (vec![], vec![]));
    world.go(|room, cx| room.network_changed(cx, &LostAddresses::These(vec![local.ip()])));
    let reason = RemovalReason::NetworkChanged;
    let error = ConnectionFailure::Closed(reason.clone()).into();
    assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
    let is_removed =
        |event: &Event| matches!(event, Event::ConnectionRemoved { reason: why, .. } if *why == reason);
    assert!(world.events().iter().any(is_removed));
    assert_eq!((world.room.connections(), world.services.timers.len()), (0, 0));
}

// rules: C21
#[test]
fn an_application_that_says_nothing_for_32_seconds_has_denied() {
    for incoming in [false, true] {
        let mut world = World::new();
        let manager = authorizing(&mut world, SERVER_TCP);
        let conn = if incoming {
            world.accepted(manager)
        } else {
            let conn = world.acquire(manager, &tcp("192.0.2.1")).conn;
            world.connect(conn);
            conn
        };
        let events = world.events();
        assert_eq!(
            asked_and_removed(&events),
            [format!("asked, incoming {incoming}")]
        );
        world.indications();
        world.almost(secs(132));
        assert_eq!((world.actions(), world.indications()), (vec![], vec![]));
        world.until(secs(132));
        let error = OperationError::OperationFailure(OperationFailure::ConnectionNotAuthorized);
        assert_eq!(world.indications(), [Indication::Failed { conn, error }]);
        let told = asked_and_removed(&world.events());
        assert_eq!(told, ["removed: not allowed by the application in time"]);
        assert_eq!(world.services.counters.timeouts.authorization, 1);
        assert_eq!((world.room.connections(), world.services.timers.len()), (0, 0));
    }
}

// rules: C12, C21
#[test]
fn the_minute_for_the_first_message_begins_when_an_incoming_connection_is_allowed() {
    let mut world = World::new();
    let manager = authorizing(&mut world, SERVER_TCP);
    let conn = world.accepted(manager);
    world.actions();
    world.until(secs(131));
    world.go(|room, cx| room.authorize(cx, conn, true)).unwrap();
    assert_eq!(asked_and_removed(&world.events()), ["added"]);
    world.almost(secs(191));
    assert!(world.room.is_ready(conn));
    world.until(secs(191));
    assert_eq!(
        asked_and_removed(&world.events()),
        ["removed: no valid message in time"]
    );
}

// rules: C18, C21, C28
#[test]
fn the_application_is_asked_after_tls_and_only_about_who_would_get_in() {
    let mut world = World::new();
    let manager = world.manager(ManagerConfig {
        mutual_tls: MutualTls::Allowed(vec![".example.com".to_string()]),
        authorizes: true,
        ..ManagerConfig::new(ManagerKind::ServerTls)
    });
    let conn = world.accepted(manager);
    assert_eq!(asked_and_removed(&world.events()), Vec::<String>::new());
    world.connect_as(conn, Some(certificate("a.example.com")));
    let events = world.events();
    let [
        Event::AuthorizationRequested {
            matched, transport, ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (matched.as_deref(), *transport),
        (Some(".example.com"), Transport::Tls)
    );
    assert_eq!(
        world.room.info(conn).unwrap().certificate,
        Some(&certificate("a.example.com"))
    );
    // A repeated report changes nothing.
    world.connect_as(conn, Some(certificate("b.example.com")));
    assert_eq!(world.actions(), []);
    let stranger = world.accepted(manager);
    world.connect_as(stranger, Some(certificate("a.example.net")));
    let events = world.events();
    assert!(
        matches!(events[..], [Event::IncomingTlsFailed { .. }]),
        "{events:?}"
    );
}

// rules: C21, C32
#[test]
fn a_held_connection_that_ends_is_told_and_does_not_go_on_to_the_next_address() {
    for why in [
        "reset by the peer",
        "closed by this side",
        "released and not used again",
    ] {
        let mut world = World::new();
        let manager = authorizing(&mut world, SERVER_TCP);
        let conn = world
            .acquire(manager, &Hop::new("example.com", Some(5060), Transport::Tcp))
            .conn;
        let query = world.questions()[0].0;
        world.answer(query, addresses(&["192.0.2.1", "192.0.2.2"], 60));
        world.connect(conn);
        world.actions();
        match why {
            "reset by the peer" => world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Reset)),
            "closed by this side" => world.go(|room, cx| room.disconnect(cx, conn, RemovalReason::Local)),
            _ => world.release(Lease { conn }),
        }
        let connects = |action: &Action| matches!(action, Action::Connect(_));
        let again = world.clone().wants().iter().any(connects);
        assert!(!again, "{why}");
        assert_eq!(asked_and_removed(&world.events()), [format!("removed: {why}")]);
        assert!(matches!(world.indications()[..], [Indication::Failed { .. }]));
        assert_eq!((world.room.connections(), world.room.leases()), (0, 0));
    }
}

// rules: C21, C31
#[test]
fn what_comes_before_a_connection_is_allowed_is_bounded() {
    for split in [1, 100, 1000] {
        let mut world = World::new();
        world.services.config.limits.unauthorized = 1000;
        let manager = authorizing(&mut world, SERVER_TCP);
        let conn = world.accepted(manager);
        world.actions();
        let bytes = [b'x'; 1000];
        bytes.chunks(split).for_each(|chunk| world.receive(conn, chunk));
        assert_eq!((world.actions(), world.room.connections()), (vec![], 1));
        world.receive(conn, b"x");
        let told = asked_and_removed(&world.events());
        let limit = "removed: the limit of bytes before the connection is allowed is reached";
        assert_eq!(told, [limit]);
        assert_eq!(world.services.counters.refusals.unauthorized, 1);
    }
}

// rules: C16
#[test]
fn pools_and_connections_are_told_as_they_come_and_go() {
    let mut world = World::new();
    let manager = world.manager(ManagerConfig {
        pool_size: Some(2),
        ..ManagerConfig::new(ManagerKind::ServerTls)
    });
    let hop = Hop::new("192.0.2.1", None, Transport::Tls);
    let (first, second) = (world.acquire(manager, &hop), world.acquire(manager, &hop));
    let pool = |added: bool| {
        let (host, port, transport) = ("192.0.2.1".to_string(), None, Transport::Tls);
        if added {
            Event::PoolAdded {
                manager,
                host,
                port,
                transport,
            }
        } else {
            Event::PoolRemoved {
                manager,
                host,
                port,
                transport,
            }
        }
    };
    assert_eq!(world.events(), [pool(true)]);
    let mut shown = certificate("example.com");
    shown.addresses = vec!["192.0.2.1".parse().unwrap()];
    for lease in [&first, &second] {
        let conn = lease.conn;
        world.connect_as(conn, Some(shown.clone()));
        let added = Event::ConnectionAdded {
            conn,
            manager,
            remote: address("192.0.2.1:5061"),
            incoming: false,
            transport: Transport::Tls,
            matched: Some("192.0.2.1".to_string()),
        };
        assert_eq!(world.events(), [added]);
    }
    let removed = |conn, reason| Event::ConnectionRemoved {
        conn,
        manager,
        remote: address("192.0.2.1:5061"),
        incoming: false,
        transport: Transport::Tls,
        matched: Some("192.0.2.1".to_string()),
        reason,
    };
    let conn = first.conn;
    world.go(|room, cx| room.handle_closed(cx, conn, CloseReason::Closed));
    let reason = RemovalReason::Remote(CloseReason::Closed);
    assert_eq!(world.events(), [removed(conn, reason)]);
    // The last one takes the pool with it.
    let conn = second.conn;
    world.release(second);
    world.until(secs(160));
    assert_eq!(
        world.events(),
        [removed(conn, RemovalReason::Released), pool(false)]
    );
    // What could never be made is told by the request; of it only the pool is seen.
    let third = world.acquire(manager, &hop);
    world.actions();
    world.go(|room, cx| room.handle_closed(cx, third.conn, CloseReason::Refused));
    assert_eq!(world.events(), [pool(false)]);
    // A client manager has no pools.
    let client = world.manager(ManagerConfig::new(ManagerKind::Client));
    let _lease = world.connected(client, &tcp("192.0.2.1"));
    let pools = |event: &Event| matches!(event, Event::PoolAdded { .. } | Event::PoolRemoved { .. });
    assert!(!world.events().iter().any(pools));
}
