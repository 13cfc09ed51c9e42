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
