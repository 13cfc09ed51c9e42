//! The room alone with its services, for tests: what it wants is looked at, time is told.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::{Connections, Hop, Indication, Lease, ManagerConfig, ManagerKind, Timer};
use crate::action::{
    Action, Answer, Established, NaptrRecord, PeerCertificate, Question, SrvRecord, Transport,
};
use crate::cells::Cells;
use crate::config::Config;
use crate::counters::Counters;
use crate::cx::{Cx, Outbox};
use crate::entropy::Entropy;
use crate::event::Event;
use crate::ids::{ConnId, Ids, ManagerId, QueryId};
use crate::map::HashKey;
use crate::time::{Time, UnixTime};
use crate::timers::{TimerKey, Timers};
use crate::wire::write::Scratch;

/// What every machine is lent, owned.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) now: Time,
    pub(crate) unix: UnixTime,
    pub(crate) timers: Timers,
    pub(crate) ids: Ids,
    pub(crate) entropy: Entropy,
    pub(crate) out: Outbox,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) cells: Cells,
    pub(crate) scratch: Scratch,
}

impl Services {
    pub(crate) fn new() -> Self {
        Self {
            now: Time::from_secs(100),
            unix: UnixTime(0),
            timers: Timers::default(),
            ids: Ids::default(),
            entropy: Entropy::new([9; 32]),
            out: Outbox::default(),
            config: Config::default(),
            counters: Counters::default(),
            cells: Cells::default(),
            scratch: Scratch::default(),
        }
    }

    pub(crate) fn cx(&mut self) -> Cx<'_> {
        Cx {
            now: self.now,
            unix: self.unix,
            timers: &mut self.timers,
            ids: &mut self.ids,
            entropy: &mut self.entropy,
            out: &mut self.out,
            config: &self.config,
            counters: &mut self.counters,
            cells: &mut self.cells,
            scratch: &mut self.scratch,
        }
    }
}

/// The room and its services.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) services: Services,
    pub(super) room: Connections,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            services: Services::new(),
            room: Connections::new(HashKey(1, 2)),
        }
    }

    /// A world with one manager of default settings.
    pub(super) fn with(kind: ManagerKind) -> (Self, ManagerId) {
        let mut world = Self::new();
        let manager = world.manager(ManagerConfig::new(kind));
        (world, manager)
    }

    pub(super) fn manager(&mut self, config: ManagerConfig) -> ManagerId {
        self.go(|room, cx| room.add_manager(cx, config)).unwrap()
    }

    pub(super) fn go<R>(&mut self, call: impl FnOnce(&mut Connections, &mut Cx<'_>) -> R) -> R {
        call(&mut self.room, &mut self.services.cx())
    }

    /// Takes all actions.
    pub(super) fn actions(&mut self) -> Vec<Action> {
        core::iter::from_fn(|| self.services.out.pop()).collect()
    }

    /// Takes all actions, and gives those that are no events.
    pub(super) fn wants(&mut self) -> Vec<Action> {
        self.actions()
            .into_iter()
            .filter(|action| !matches!(action, Action::Event(_)))
            .collect()
    }

    /// Takes all actions, and gives the events.
    pub(super) fn events(&mut self) -> Vec<Event> {
        let event = |action| {
            if let Action::Event(event) = action {
                Some(event)
            } else {
                None
            }
        };
        self.actions().into_iter().filter_map(event).collect()
    }

    pub(super) fn indications(&mut self) -> Vec<Indication> {
        core::iter::from_fn(|| self.room.next_indication()).collect()
    }

    /// Lets time pass: timers fire at their times.
    pub(super) fn until(&mut self, time: Time) {
        while let Some((at, key)) = self.services.timers.pop_due(time) {
            self.services.now = self.services.now.max(at);
            if let TimerKey::Connection(conn, timer) = key {
                self.fire(conn, timer);
                continue;
            }
            let TimerKey::Resolve(query) = key else {
                panic!("{key:?}")
            };
            self.go(|room, cx| room.handle_resolve_timer(cx, query));
        }
        self.services.now = time;
    }

    fn fire(&mut self, conn: ConnId, timer: Timer) {
        self.go(|room, cx| room.handle_timer(cx, conn, timer));
    }

    /// Lets time pass but for the last microsecond.
    pub(super) fn almost(&mut self, time: Time) {
        self.until(time - Duration::from_micros(1));
    }

    pub(super) fn acquire(&mut self, manager: ManagerId, hop: &Hop) -> Lease {
        self.go(|room, cx| room.acquire(cx, manager, hop, &[])).unwrap()
    }

    pub(super) fn release(&mut self, lease: Lease) {
        self.go(|room, cx| room.release(cx, lease));
    }

    /// Takes all actions, and reports the connection as up.
    pub(super) fn connect(&mut self, conn: ConnId) {
        self.connect_as(conn, None);
    }

    pub(super) fn connect_as(&mut self, conn: ConnId, certificate: Option<PeerCertificate>) {
        self.actions();
        let established = established(certificate);
        self.go(|room, cx| room.handle_connected(cx, conn, established));
    }

    /// A ready connection with one user.
    pub(super) fn connected(&mut self, manager: ManagerId, hop: &Hop) -> Lease {
        let lease = self.acquire(manager, hop);
        self.connect(lease.conn());
        self.actions();
        self.indications();
        lease
    }

    /// A listener of the manager that listens, and a connection that it has accepted.
    pub(super) fn accepted(&mut self, manager: ManagerId) -> ConnId {
        let listener = self
            .go(|room, cx| room.listen(cx, manager, address("192.0.2.100:0")))
            .unwrap();
        self.go(|room, cx| room.handle_listening(cx, listener, Ok(address("192.0.2.100:5060"))));
        let (local, remote) = (address("192.0.2.100:5060"), address("192.0.2.1:40000"));
        self.go(|room, cx| room.handle_accepted(cx, listener, local, remote))
    }

    pub(super) fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        self.go(|room, cx| room.receive(cx, conn, bytes));
    }

    /// The address of the only `Connect` among the actions.
    pub(super) fn target(&mut self) -> SocketAddr {
        match self.wants().as_slice() {
            [Action::Connect(connect)] => connect.remote,
            other => panic!("{other:?}"),
        }
    }

    /// The questions among the actions.
    pub(super) fn questions(&mut self) -> Vec<(QueryId, Question)> {
        let question = |action| {
            let Action::Resolve { query, question } = action else {
                panic!("{action:?}")
            };
            (query, question)
        };
        self.wants().into_iter().map(question).collect()
    }

    /// The domain names no services.
    pub(super) fn points_nowhere(&mut self, domain: &str) {
        let questions = self.questions();
        let [(query, question)] = questions.as_slice() else {
            panic!("{questions:?}")
        };
        assert_eq!(*question, Question::Naptr(domain.to_string()));
        self.answer(*query, naptr(&[], 60));
    }

    pub(super) fn answer(&mut self, query: QueryId, answer: Answer) {
        self.go(|room, cx| room.handle_resolved(cx, query, Ok(answer)));
    }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn tcp(host: &str) -> Hop {
    Hop::new(host, Some(5060), Transport::Tcp)
}

pub(super) fn established(certificate: Option<PeerCertificate>) -> Established {
    let (local, remote) = (address("192.0.2.100:50000"), address("192.0.2.1:5060"));
    Established {
        local,
        remote,
        peer: certificate.map(Box::new),
    }
}

pub(super) fn certificate(name: &str) -> PeerCertificate {
    PeerCertificate {
        dns_names: vec![name.to_string()],
        ..PeerCertificate::default()
    }
}

pub(super) fn addresses(texts: &[&str], ttl: u64) -> Answer {
    let addresses = texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
    Answer::Addresses {
        addresses,
        ttl: Duration::from_secs(ttl),
    }
}

pub(super) fn naptr(records: &[(u16, u16, &str, &str)], ttl: u64) -> Answer {
    let record = |(order, preference, services, replacement): &(u16, u16, &str, &str)| NaptrRecord {
        order: *order,
        preference: *preference,
        flags: "s".to_string(),
        services: services.to_string(),
        regexp: "".to_string(),
        replacement: replacement.to_string(),
    };
    Answer::Naptr {
        records: records.iter().map(record).collect(),
        ttl: Duration::from_secs(ttl),
    }
}

pub(super) fn srv(records: &[(u16, u16, u16, &str)], ttl: u64) -> Answer {
    let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| SrvRecord {
        priority: *priority,
        weight: *weight,
        port: *port,
        target: target.to_string(),
    };
    Answer::Srv {
        records: records.iter().map(record).collect(),
        ttl: Duration::from_secs(ttl),
    }
}

pub(super) const MESSAGE: &[u8] = b"OPTIONS sip:a@example.com SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";
