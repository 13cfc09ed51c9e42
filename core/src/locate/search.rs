//! One walk over the addresses of one next hop.
//!
//! ```text
//!          an address, or a port is given
//!  Fresh ──────────────────────────────────────────► Hosts ⟲ an address at a time, until none is left
//!    │                                                 ▲
//!    │ no port         answered, or it failed          │
//!    └──────► Service ─────────────────────────────────┘
//! ```
//! Read RFC 3263 section 4.2 and RFC 2782 first, then rules C25 and R18. The hosts of a service are all asked for at
//! once; the walk waits only for the one whose turn it is. An address that failed lately is put off to the end.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;
use core::net::{IpAddr, SocketAddr};

use super::query::Resolution;
use super::{Hop, Locator, cache, srv};
use crate::action::{Answer, CloseReason, Question, ResolveError, SrvRecord};
use crate::cx::Cx;
use crate::event::{ConnectionFailure, OperationError};
use crate::ids::ConnId;

/// How many addresses of one host are tried.
const ADDRESSES: usize = 32;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    hop: Hop,
    state: State,
    /// Those tried, and those that the request had failed on before.
    seen: Vec<SocketAddr>,
    /// Why the last address, or the last name, did not do.
    error: Option<OperationError>,
}

#[derive(Clone, Debug)]
enum State {
    Fresh,
    Service {
        question: Question,
    },
    Hosts {
        hosts: VecDeque<Host>,
        put_off: VecDeque<SocketAddr>,
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
            seen: avoid.to_vec(),
            error: None,
        }
    }

    /// Begins again, as if no address had been tried: the host is in another network (R20).
    pub(crate) fn start_over(&mut self) {
        self.state = State::Fresh;
        self.seen.clear();
        self.error = None;
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
                State::Fresh => match self.hop.service() {
                    None => self.state = self.itself(),
                    Some(question) => match locator.ask(cx, &question, waiter) {
                        None => self.state = State::Service { question },
                        Some(answer) => self.serve(cx, &Ok(answer)),
                    },
                },
                State::Service { .. } => return Found::Wait,
                State::Hosts { hosts, put_off } => {
                    for host in hosts
                        .iter_mut()
                        .filter(|host| matches!(host.addresses, Addresses::Unasked))
                    {
                        host.ask(cx, locator, waiter, &mut self.error);
                    }
                    let Some(host) = hosts.front_mut() else {
                        return match put_off.pop_front() {
                            Some(address) => Found::Target(address),
                            None => Found::Exhausted(self.exhausted()),
                        };
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
                                self.seen.push(address);
                                if !locator.dead.contains(cx.now, address) {
                                    return Found::Target(address);
                                }
                                put_off.push_back(address);
                            }
                        },
                    }
                }
            }
        }
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
            (State::Service { question: asked }, Question::Srv(_)) if asked == question => {
                self.serve(cx, resolution)
            }
            (State::Hosts { hosts, .. }, Question::Addresses(name)) => {
                let waiting =
                    |host: &&mut Host| host.name == *name && matches!(host.addresses, Addresses::Asked);
                for host in hosts.iter_mut().filter(waiting) {
                    host.learn(locator, resolution, &mut self.error);
                }
            }
            // Nothing waits for it: an answer that had been given up.
            (State::Fresh | State::Service { .. } | State::Hosts { .. }, Question::Srv(_))
            | (State::Fresh | State::Service { .. }, Question::Addresses(_)) => {}
        }
    }

    /// The service is known, or is known not to be: then it is at the domain itself (RFC 2782, RFC 3263 section 4.2).
    fn serve(&mut self, cx: &mut Cx<'_>, resolution: &Resolution) {
        self.state = match resolution {
            Ok(Answer::Srv { records, .. }) if srv::is_refusal(records) => {
                self.error = Some(unresolved(self.hop.host(), ResolveError::NoSuchName));
                State::Hosts {
                    hosts: VecDeque::new(),
                    put_off: VecDeque::new(),
                }
            }
            Ok(Answer::Srv { records, .. }) if !records.is_empty() => {
                let hosts = srv::order(records, cx.entropy)
                    .into_iter()
                    .map(Host::of)
                    .collect();
                State::Hosts {
                    hosts,
                    put_off: VecDeque::new(),
                }
            }
            Ok(Answer::Srv { .. } | Answer::Addresses { .. }) | Err(_) => self.itself(),
        };
    }

    fn itself(&self) -> State {
        let host = Host::new(self.hop.host().to_string(), self.hop.port_or_default());
        State::Hosts {
            hosts: VecDeque::from([host]),
            put_off: VecDeque::new(),
        }
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
        let (state, hosts, put_off) = match &self.state {
            State::Fresh => ("fresh", Vec::new(), 0),
            State::Service { .. } => ("service", Vec::new(), 0),
            State::Hosts { hosts, put_off } => {
                ("hosts", hosts.iter().map(Host::left).collect(), put_off.len())
            }
        };
        SearchPrint {
            state,
            hosts,
            put_off,
            seen: self.seen.len(),
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
            Ok(Answer::Srv { .. }) | Err(_) => Vec::new(),
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
        self.addresses = Addresses::Known(known.into_iter().take(ADDRESSES).collect());
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
            "fresh" | "service" => &[],
            "hosts asked" => &[srv()],
            "hosts known" => &[srv(), host("a.example.com", 1)],
            other => panic!("{other}"),
        };
        if name != "fresh" {
            assert_eq!(search.next(&mut services.cx(), &mut locator, waiter), Found::Wait);
        }
        for (place, (question, resolution)) in path.iter().enumerate() {
            search.learn(&mut services.cx(), &mut locator, question, resolution);
            if place + 1 < 2 {
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
        let inputs: [(&str, Learned); 4] = [
            ("next", None),
            ("srv", Some(srv())),
            ("a", Some(host("a.example.com", 2))),
            ("b", Some(host("b", 2))),
        ];
        let print = |state, hosts: &[Option<usize>], seen| SearchPrint {
            state,
            hosts: hosts.to_vec(),
            put_off: 0,
            seen,
        };
        let (fresh, service) = (print("fresh", &[], 0), print("service", &[], 0));
        let (asked, known) = (print("hosts", &[None], 0), print("hosts", &[Some(1)], 0));
        let tried = print("hosts", &[Some(0)], 1);
        // State, input, next state, what `next` gave, how many questions it asked.
        let table = [
            ("fresh", "next", &service, Some(Found::Wait), 1),
            ("fresh", "srv", &fresh, None, 0),
            ("fresh", "a", &fresh, None, 0),
            ("fresh", "b", &fresh, None, 0),
            ("service", "next", &service, Some(Found::Wait), 0),
            ("service", "srv", &asked, None, 0),
            ("service", "a", &service, None, 0),
            ("service", "b", &service, None, 0),
            ("hosts asked", "next", &asked, Some(Found::Wait), 0),
            ("hosts asked", "srv", &asked, None, 0),
            ("hosts asked", "a", &known, None, 0),
            ("hosts asked", "b", &asked, None, 0),
            ("hosts known", "next", &tried, Some(target(1, 5070)), 0),
            ("hosts known", "srv", &known, None, 0),
            // A second answer changes nothing.
            ("hosts known", "a", &known, None, 0),
            ("hosts known", "b", &known, None, 0),
        ];
        let mut rows = table.iter();
        for state in ["fresh", "service", "hosts asked", "hosts known"] {
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

    // rules: C31
    #[test]
    fn of_one_name_so_many_addresses_are_tried_and_no_more() {
        let (mut services, mut locator) = (Services::new(), Locator::new(HashKey(1, 2)));
        let waiter = services.ids.next();
        let mut search = Search::new(Hop::new("example.com", Some(5060), Transport::Tcp), &[]);
        assert_eq!(search.next(&mut services.cx(), &mut locator, waiter), Found::Wait);
        let addresses = (0..=255).map(|last| IpAddr::from([192, 0, 2, last])).collect();
        let answer = Ok(Answer::Addresses { addresses, ttl: TTL });
        search.learn(
            &mut services.cx(),
            &mut locator,
            &Question::Addresses("example.com".to_string()),
            &answer,
        );
        let tried = core::iter::from_fn(|| match search.next(&mut services.cx(), &mut locator, waiter) {
            Found::Target(address) => Some(address),
            Found::Wait | Found::Exhausted(_) => None,
        });
        assert_eq!(tried.count(), ADDRESSES);
    }
}
