//! One walk over the addresses of one next hop.
//!
//! ```text
//!          no port: which services?      answered, or it failed
//!  Fresh ───────────────► Pointers ─────────────────────────► Hosts ⟲ an address at a time, until none is left
//!    │                                                        ▲ │  ▲
//!    │                              answered, or it failed    │ │  │
//!    │                          Service ──────────────────────┘ │  │
//!    │                             ▲      the next service      │  │
//!    │                             └────────────────────────────┘  │
//!    └─ an address, or a port is given ────────────────────────────┘
//! ```
//! Read RFC 3263 sections 4.1 and 4.2 and RFC 2782 first, then rules C25 and R18. The NAPTR records name the services of the
//! hop's transport, without them it is the usual one; without a service its host is the domain itself. The hosts of a
//! service are all asked for at once; the walk waits only for the one whose turn it is. An address that failed lately is
//! put off to the end.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;
use core::net::{IpAddr, SocketAddr};

use super::query::Resolution;
use super::{Hop, Locator, cache, naptr, srv};
use crate::action::{Answer, CloseReason, Question, ResolveError, SrvRecord};
use crate::cx::Cx;
use crate::event::{ConnectionFailure, OperationError};
use crate::ids::ConnId;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    hop: Hop,
    state: State,
    /// The names of the services that have not been asked for.
    services: VecDeque<String>,
    /// Whether there was a service, be it one that is decidedly not there: then the domain itself is no host of it.
    served: bool,
    /// Addresses that failed lately.
    put_off: VecDeque<SocketAddr>,
    /// Those tried, and those that the request had failed on before.
    seen: Vec<SocketAddr>,
    /// Why the last address, or the last name, did not do.
    error: Option<OperationError>,
}

#[derive(Clone, Debug)]
enum State {
    Fresh,
    Pointers {
        question: Question,
    },
    Service {
        question: Question,
    },
    /// Those of one service. When they have been tried, the next service is asked for.
    Hosts {
        hosts: VecDeque<Host>,
    },
}

#[derive(Clone, Debug)]
struct Host {
    name: String,
    port: u16,
    addresses: Addresses,
}

#[derive(Clone, Debug)]
enum Addresses {
    Unasked,
    Asked,
    Known(VecDeque<IpAddr>),
}

/// The next step of a walk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// Try this one.
    Target(SocketAddr),
    /// The answer to a question comes first.
    Wait,
    /// There is no other; why the last one did not do.
    Exhausted(OperationError),
}

/// The state of a search in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SearchPrint {
    pub(crate) state: &'static str,
    /// How many services are left to be asked for, and whether there was one.
    pub(crate) services: (usize, bool),
    /// For each host that is left, how many of its addresses; `None` while they are asked for.
    pub(crate) hosts: Vec<Option<usize>>,
    pub(crate) put_off: usize,
    pub(crate) seen: usize,
}

impl Search {
    /// A walk over the addresses of `hop` but those of `avoid`.
    pub(crate) fn new(hop: Hop, avoid: &[SocketAddr]) -> Self {
        Self {
            hop,
            state: State::Fresh,
            services: VecDeque::new(),
            served: false,
            put_off: VecDeque::new(),
            seen: avoid.to_vec(),
            error: None,
        }
    }

    /// Begins again, as if no address had been tried: the host is in another network (R20).
    pub(crate) fn start_over(&mut self) {
        *self = Self::new(self.hop.clone(), &[]);
    }

    /// The address given out last did not work.
    pub(crate) fn failed(&mut self, error: OperationError) {
        self.error = Some(error);
    }

    /// The next address. `waiter` is told when a question that this asks is answered; it then calls
    /// [`learn`](Self::learn), and this again.
    pub(crate) fn next(&mut self, cx: &mut Cx<'_>, locator: &mut Locator, waiter: ConnId) -> Found {
        loop {
            match &mut self.state {
                State::Fresh => match self.hop.pointers() {
                    None => self.state = State::none(),
                    Some(question) => match locator.ask(cx, &question, waiter) {
                        None => self.state = State::Pointers { question },
                        Some(answer) => self.point(&Ok(answer)),
                    },
                },
                State::Pointers { .. } | State::Service { .. } => return Found::Wait,
                State::Hosts { hosts } => {
                    for host in hosts
                        .iter_mut()
                        .filter(|host| matches!(host.addresses, Addresses::Unasked))
                    {
                        host.ask(cx, locator, waiter, &mut self.error);
                    }
                    let Some(host) = hosts.front_mut() else {
                        match self.next_service(cx, locator, waiter) {
                            Some(found) => return found,
                            None => continue,
                        }
                    };
                    let port = host.port;
                    match &mut host.addresses {
                        Addresses::Unasked | Addresses::Asked => return Found::Wait,
                        Addresses::Known(addresses) => match addresses.pop_front() {
                            None => drop(hosts.pop_front()),
                            Some(address) => {
                                let address = SocketAddr::new(address, port);
                                if self.seen.contains(&address) {
                                    continue;
                                }
                                if self.seen.len() >= cx.config.limits.targets {
                                    self.stop_short(cx);
                                    continue;
                                }
                                self.seen.push(address);
                                if !locator.dead.contains(cx.now, address) {
                                    return Found::Target(address);
                                }
                                self.put_off.push_back(address);
                            }
                        },
                    }
                }
            }
        }
    }

    /// The hosts of a service have been tried: the next service, then the domain itself where there was none, then what
    /// was put off. `None` where there are hosts again.
    fn next_service(&mut self, cx: &mut Cx<'_>, locator: &mut Locator, waiter: ConnId) -> Option<Found> {
        if let Some(name) = self.services.pop_front() {
            let question = Question::Srv(name);
            match locator.ask(cx, &question, waiter) {
                None => self.state = State::Service { question },
                Some(answer) => self.serve(cx, &Ok(answer)),
            }
            return None;
        }
        if !mem::replace(&mut self.served, true) {
            let host = Host::new(self.hop.host().to_string(), self.hop.port_or_default());
            self.state = State::Hosts {
                hosts: VecDeque::from([host]),
            };
            return None;
        }
        Some(match self.put_off.pop_front() {
            Some(address) => Found::Target(address),
            None => Found::Exhausted(self.exhausted()),
        })
    }

    /// So many addresses are enough for one request: only those that were put off are still tried (C31).
    fn stop_short(&mut self, cx: &mut Cx<'_>) {
        cx.counters.refusals.targets += 1;
        self.services.clear();
        self.served = true;
        self.state = State::none();
    }

    /// The answer to a question that [`next`](Self::next) asked.
    pub(crate) fn learn(
        &mut self,
        cx: &mut Cx<'_>,
        locator: &mut Locator,
        question: &Question,
        resolution: &Resolution,
    ) {
        match (&mut self.state, question) {
            (State::Pointers { question: asked }, Question::Naptr(_)) if asked == question => {
                self.point(resolution);
            }
            (State::Service { question: asked }, Question::Srv(_)) if asked == question => {
                self.serve(cx, resolution);
            }
            (State::Hosts { hosts }, Question::Addresses(name)) => {
                let waiting =
                    |host: &&mut Host| host.name == *name && matches!(host.addresses, Addresses::Asked);
                for host in hosts.iter_mut().filter(waiting) {
                    host.learn(locator, resolution, &mut self.error);
                }
            }
            // Nothing waits for it: an answer that had been given up.
            (
                State::Fresh | State::Pointers { .. } | State::Service { .. } | State::Hosts { .. },
                Question::Naptr(_) | Question::Srv(_),
            )
            | (State::Fresh | State::Pointers { .. } | State::Service { .. }, Question::Addresses(_)) => {}
        }
    }

    /// The names of the services are known, or are known not to be: then it is the usual one (RFC 3263 section 4.1).
    fn point(&mut self, resolution: &Resolution) {
        let named = match resolution {
            Ok(Answer::Naptr { records, .. }) => naptr::services(records, self.hop.transport()),
            Ok(Answer::Srv { .. } | Answer::Addresses { .. }) | Err(_) => Vec::new(),
        };
        self.services = self.hop.services(named).into();
        self.state = State::none();
    }

    /// The hosts of a service are known, or are known not to be.
    fn serve(&mut self, cx: &mut Cx<'_>, resolution: &Resolution) {
        self.state = State::none();
        let Ok(Answer::Srv { records, .. }) = resolution else {
            return;
        };
        if records.is_empty() {
            return;
        }
        self.served = true;
        let hosts: VecDeque<Host> = srv::order(records, cx.entropy)
            .into_iter()
            .map(Host::of)
            .collect();
        if hosts.is_empty() {
            let error = if srv::is_refusal(records) {
                ResolveError::NoSuchName
            } else {
                ResolveError::ServerFailure
            };
            self.error = Some(unresolved(self.hop.host(), error));
        }
        self.state = State::Hosts { hosts };
    }

    fn exhausted(&mut self) -> OperationError {
        mem::take(&mut self.error).unwrap_or_else(|| {
            OperationError::ConnectionFailure(match self.seen.last() {
                // Only those were left that the request had failed on before.
                Some(remote) => ConnectionFailure::Connect {
                    remote: *remote,
                    reason: CloseReason::Other("there is no other address".to_string()),
                },
                None => ConnectionFailure::Resolve {
                    host: self.hop.host().to_string(),
                    error: ResolveError::NoSuchName,
                },
            })
        })
    }

    pub(crate) fn fingerprint(&self) -> SearchPrint {
        let (state, hosts) = match &self.state {
            State::Fresh => ("fresh", Vec::new()),
            State::Pointers { .. } => ("pointers", Vec::new()),
            State::Service { .. } => ("service", Vec::new()),
            State::Hosts { hosts } => ("hosts", hosts.iter().map(Host::left).collect()),
        };
        SearchPrint {
            state,
            services: (self.services.len(), self.served),
            hosts,
            put_off: self.put_off.len(),
            seen: self.seen.len(),
        }
    }
}

impl State {
    /// No host is left.
    const fn none() -> Self {
        Self::Hosts {
            hosts: VecDeque::new(),
        }
    }
}

impl Host {
    const fn new(name: String, port: u16) -> Self {
        Self {
            name,
            port,
            addresses: Addresses::Unasked,
        }
    }

    fn of(record: SrvRecord) -> Self {
        let mut name = record.target;
        name.make_ascii_lowercase();
        if name.ends_with('.') {
            name.pop();
        }
        Self::new(name, record.port)
    }

    fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        locator: &mut Locator,
        waiter: ConnId,
        error: &mut Option<OperationError>,
    ) {
        if let Ok(address) = self.name.parse() {
            self.addresses = Addresses::Known(VecDeque::from([address]));
            return;
        }
        self.addresses = Addresses::Asked;
        if let Some(answer) = locator.ask(cx, &Question::Addresses(self.name.clone()), waiter) {
            self.learn(locator, &Ok(answer), error);
        }
    }

    fn learn(&mut self, locator: &mut Locator, resolution: &Resolution, error: &mut Option<OperationError>) {
        let known = match resolution {
            Ok(Answer::Addresses { addresses, .. }) => {
                let turn = locator.cache.take_turn(&Question::Addresses(self.name.clone()));
                cache::rotate(addresses, turn)
            }
            Ok(Answer::Naptr { .. } | Answer::Srv { .. }) | Err(_) => Vec::new(),
        };
        if known.is_empty() {
            *error = Some(unresolved(
                &self.name,
                resolution
                    .as_ref()
                    .err()
                    .copied()
                    .unwrap_or(ResolveError::NoSuchName),
            ));
        }
        self.addresses = Addresses::Known(known.into());
    }

    fn left(&self) -> Option<usize> {
        match &self.addresses {
            Addresses::Unasked | Addresses::Asked => None,
            Addresses::Known(addresses) => Some(addresses.len()),
        }
    }
}

fn unresolved(host: &str, error: ResolveError) -> OperationError {
    OperationError::ConnectionFailure(ConnectionFailure::Resolve {
        host: host.to_string(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::action::{Action, Transport};
    use crate::connection::testing::Services;
    use crate::map::HashKey;

    const TTL: Duration = Duration::from_secs(60);

    fn target(last: u8, port: u16) -> Found {
        Found::Target(SocketAddr::from(([192, 0, 2, last], port)))
    }

    fn srv() -> (Question, Resolution) {
        let record = SrvRecord {
            priority: 1,
            weight: 1,
            port: 5070,
            target: "a.example.com".to_string(),
        };
        (
            Question::Srv("_sip._tcp.example.com".to_string()),
            Ok(Answer::Srv {
                records: Vec::from([record]),
                ttl: TTL,
            }),
        )
    }

    fn naptr() -> (Question, Resolution) {
        let records = Vec::new();
        (
            Question::Naptr("example.com".to_string()),
            Ok(Answer::Naptr { records, ttl: TTL }),
        )
    }

    fn host(name: &str, last: u8) -> (Question, Resolution) {
        let addresses = Vec::from([IpAddr::from([192, 0, 2, last])]);
        (
            Question::Addresses(name.to_string()),
            Ok(Answer::Addresses { addresses, ttl: TTL }),
        )
    }

    /// Each state of a search for a name without a port.
    fn in_state(name: &str) -> (Search, Locator, Services) {
        let (mut services, mut locator) = (Services::new(), Locator::new(HashKey(1, 2)));
        let mut search = Search::new(Hop::new("example.com", None, Transport::Tcp), &[]);
        let waiter = services.ids.next();
        let path: &[(Question, Resolution)] = match name {
            "fresh" | "pointers" => &[],
            "service" => &[naptr()],
            "hosts asked" => &[naptr(), srv()],
            "hosts known" => &[naptr(), srv(), host("a.example.com", 1)],
            other => panic!("{other}"),
        };
        if name != "fresh" {
            assert_eq!(search.next(&mut services.cx(), &mut locator, waiter), Found::Wait);
        }
        for (question, resolution) in path {
            search.learn(&mut services.cx(), &mut locator, question, resolution);
            if !matches!(question, Question::Addresses(_)) {
                assert_eq!(search.next(&mut services.cx(), &mut locator, waiter), Found::Wait);
            }
        }
        while services.out.pop().is_some() {}
        (search, locator, services)
    }

    // rules: R18, C25
    #[test]
    fn every_state_and_input() {
        type Learned = Option<(Question, Resolution)>;
        let inputs: [(&str, Learned); 5] = [
            ("next", None),
            ("naptr", Some(naptr())),
            ("srv", Some(srv())),
            ("a", Some(host("a.example.com", 2))),
            ("b", Some(host("b", 2))),
        ];
        let print = |state, services, hosts: &[Option<usize>], seen| SearchPrint {
            state,
            services,
            hosts: hosts.to_vec(),
            put_off: 0,
            seen,
        };
        let (fresh, pointers) = (
            print("fresh", (0, false), &[], 0),
            print("pointers", (0, false), &[], 0),
        );
        // The name of the service is known; it is asked for; its hosts are.
        let (pointed, service) = (
            print("hosts", (1, false), &[], 0),
            print("service", (0, false), &[], 0),
        );
        let served = |hosts: &[Option<usize>], seen| print("hosts", (0, true), hosts, seen);
        let (asked, known, tried) = (served(&[None], 0), served(&[Some(1)], 0), served(&[Some(0)], 1));
        // State, input, next state, what `next` gave, how many questions it asked.
        let table = [
            ("fresh", "next", &pointers, Some(Found::Wait), 1),
            ("fresh", "naptr", &fresh, None, 0),
            ("fresh", "srv", &fresh, None, 0),
            ("fresh", "a", &fresh, None, 0),
            ("fresh", "b", &fresh, None, 0),
            ("pointers", "next", &pointers, Some(Found::Wait), 0),
            ("pointers", "naptr", &pointed, None, 0),
            ("pointers", "srv", &pointers, None, 0),
            ("pointers", "a", &pointers, None, 0),
            ("pointers", "b", &pointers, None, 0),
            ("service", "next", &service, Some(Found::Wait), 0),
            ("service", "naptr", &service, None, 0),
            ("service", "srv", &asked, None, 0),
            ("service", "a", &service, None, 0),
            ("service", "b", &service, None, 0),
            ("hosts asked", "next", &asked, Some(Found::Wait), 0),
            ("hosts asked", "naptr", &asked, None, 0),
            ("hosts asked", "srv", &asked, None, 0),
            ("hosts asked", "a", &known, None, 0),
            ("hosts asked", "b", &asked, None, 0),
            ("hosts known", "next", &tried, Some(target(1, 5070)), 0),
            ("hosts known", "naptr", &known, None, 0),
            ("hosts known", "srv", &known, None, 0),
            // A second answer changes nothing.
            ("hosts known", "a", &known, None, 0),
            ("hosts known", "b", &known, None, 0),
        ];
        let mut rows = table.iter();
        for state in ["fresh", "pointers", "service", "hosts asked", "hosts known"] {
            for (name, learned) in &inputs {
                let (row_state, row_input, next, found, questions) = rows.next().unwrap();
                assert_eq!((*row_state, *row_input), (state, *name));
                let (mut search, mut locator, mut services) = in_state(state);
                let waiter = services.ids.next();
                let gave = match learned {
                    None => Some(search.next(&mut services.cx(), &mut locator, waiter)),
                    Some((question, resolution)) => {
                        search.learn(&mut services.cx(), &mut locator, question, resolution);
                        None
                    }
                };
                assert_eq!((&gave, &search.fingerprint()), (found, *next), "{state}, {name}");
                let asked = core::iter::from_fn(|| services.out.pop());
                assert_eq!(
                    asked.filter(|it| matches!(it, Action::Resolve { .. })).count(),
                    *questions
                );
            }
        }
        assert!(rows.next().is_none());
    }

    // rules: C25
    #[test]
    fn the_dead_and_the_avoided_and_the_same_address_twice() {
        let (mut services, mut locator) = (Services::new(), Locator::new(HashKey(1, 2)));
        let waiter = services.ids.next();
        let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 5060));
        let mut search = Search::new(Hop::new("example.com", Some(5060), Transport::Tcp), &[address(2)]);
        assert_eq!(search.next(&mut services.cx(), &mut locator, waiter), Found::Wait);
        let addresses = [1, 2, 3, 3, 4]
            .map(|last| IpAddr::from([192, 0, 2, last]))
            .to_vec();
        let answer = Ok(Answer::Addresses { addresses, ttl: TTL });
        search.learn(
            &mut services.cx(),
            &mut locator,
            &Question::Addresses("example.com".to_string()),
            &answer,
        );
        locator.address_failed(&services.cx(), address(1));
        locator.address_failed(&services.cx(), address(3));
        locator.address_works(address(3));
        for last in [3, 4, 1] {
            assert_eq!(
                search.next(&mut services.cx(), &mut locator, waiter),
                target(last, 5060)
            );
        }
        search.failed(OperationError::Timeout);
        let end = search.next(&mut services.cx(), &mut locator, waiter);
        assert_eq!(end, Found::Exhausted(OperationError::Timeout));
    }

    // rules: C25, C31
    #[test]
    fn so_many_addresses_are_tried_of_all_servers_together_and_then_the_dead_ones() {
        // Three servers of two addresses: six are not cut, a seventh would be.
        for (targets, expected) in [(6, [1, 3, 4, 5, 6, 2].as_slice()), (5, &[1, 3, 4, 5, 2])] {
            let (mut services, mut locator) = (Services::new(), Locator::new(HashKey(1, 2)));
            services.config.limits.targets = targets;
            let waiter = services.ids.next();
            let mut search = Search::new(Hop::new("example.com", None, Transport::Tcp), &[]);
            locator.address_failed(&services.cx(), SocketAddr::from(([192, 0, 2, 2], 5060)));
            let records = [(1, "a"), (2, "b"), (3, "c")].map(|(priority, target)| SrvRecord {
                priority,
                weight: 1,
                port: 5060,
                target: target.to_string(),
            });
            let records = records.to_vec();
            let (name, nothing) = naptr();
            let addresses = |first: u8| {
                let addresses = [first, first + 1]
                    .map(|last| IpAddr::from([192, 0, 2, last]))
                    .to_vec();
                Ok(Answer::Addresses { addresses, ttl: TTL })
            };
            for (question, resolution) in [
                (name, nothing),
                (srv().0, Ok(Answer::Srv { records, ttl: TTL })),
                (Question::Addresses("a".to_string()), addresses(1)),
                (Question::Addresses("b".to_string()), addresses(3)),
                (Question::Addresses("c".to_string()), addresses(5)),
            ] {
                let is_first = search.fingerprint().hosts == [None; 3];
                if is_first || !matches!(question, Question::Addresses(_)) {
                    assert_eq!(search.next(&mut services.cx(), &mut locator, waiter), Found::Wait);
                }
                search.learn(&mut services.cx(), &mut locator, &question, &resolution);
            }
            let tried: Vec<u8> =
                core::iter::from_fn(|| match search.next(&mut services.cx(), &mut locator, waiter) {
                    Found::Target(SocketAddr::V4(address)) => Some(address.ip().octets()[3]),
                    Found::Target(_) | Found::Wait | Found::Exhausted(_) => None,
                })
                .collect();
            assert_eq!(tried, expected);
            let cut = u64::from(targets == 5);
            assert_eq!(services.counters.refusals.targets, cut);
        }
    }
}
