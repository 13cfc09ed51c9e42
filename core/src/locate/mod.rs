//! From a name to addresses, in the order in which they are to be tried: RFC 3263, rules C25 and R18.
//!
//! - [`search`]: one walk over the addresses of one next hop, the machine to read first;
//! - [`query`]: the questions to the domain name system, identical ones asked once;
//! - [`bound`]: what of an answer is looked at, since it comes from the network;
//! - [`cache`], [`dead`]: kept answers and their rotation, addresses that failed;
//! - [`naptr`], [`srv`]: the names of the services, and the order of RFC 2782.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::action::{Answer, Question, ResolveError, Transport};
use crate::cx::Cx;
use crate::ids::{ConnId, QueryId};
use crate::map::HashKey;
use crate::time::Time;

mod bound;
mod cache;
mod dead;
#[cfg(test)]
pub(crate) mod laws;
mod naptr;
mod query;
mod search;
mod srv;

#[cfg(any(test, feature = "cells"))]
pub(crate) use query::cells::MACHINE as QUERY;
pub(crate) use query::{QueryPrint, Resolution, Told};
pub(crate) use search::{Found, Search, SearchPrint};

/// Where a request goes, before names become addresses: the key of a pool (C3), with the name that a certificate is
/// checked against (C17).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hop {
    host: Box<str>,
    port: Option<u16>,
    transport: Transport,
}

impl Hop {
    /// `host` is a name or an IP address, an IPv6 one with or without brackets. Without a port the service is looked
    /// up first (RFC 3263 section 4.2).
    pub(crate) fn new(host: &str, port: Option<u16>, transport: Transport) -> Self {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        Self {
            host: bare.to_ascii_lowercase().into_boxed_str(),
            port,
            transport,
        }
    }

    /// The name as it was asked for, in lower case, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same host and port over another transport.
    pub(crate) fn with_transport(&self, transport: Transport) -> Self {
        Self {
            transport,
            ..self.clone()
        }
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.transport
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn port_or_default(&self) -> u16 {
        self.port.unwrap_or_else(|| self.transport.default_port())
    }

    /// Which services the domain has, where that is to be looked at: neither for an address nor beside a port (RFC 3263
    /// sections 4.1 and 4.2).
    fn pointers(&self) -> Option<Question> {
        let is_domain = self.port.is_none() && self.address().is_none();
        is_domain.then(|| Question::Naptr(self.host.to_string()))
    }

    /// The names of the SRV records: those that are `named`, else the usual one of the transport.
    fn services(&self, named: Vec<String>) -> Vec<String> {
        if !named.is_empty() {
            return named;
        }
        let prefix = match self.transport {
            Transport::Tcp => "_sip._tcp.",
            Transport::Tls => "_sips._tcp.",
        };
        Vec::from([String::from(prefix) + &self.host])
    }
}

/// What all searches share.
#[derive(Clone, Debug)]
pub(crate) struct Locator {
    cache: cache::Cache,
    dead: dead::Dead,
    queries: query::Queries,
}

impl Locator {
    /// Forgets the answers and the dead addresses of another network (R20). What is being asked goes on.
    pub(crate) fn forget(&mut self) {
        self.cache.clear();
        self.dead = dead::Dead::default();
    }

    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            cache: cache::Cache::new(key),
            dead: dead::Dead::default(),
            queries: query::Queries::new(key),
        }
    }

    /// The answer, where it is known; otherwise the waiter is told when it comes.
    fn ask(&mut self, cx: &mut Cx<'_>, question: &Question, waiter: ConnId) -> Option<Answer> {
        let known = self.cache.fresh(cx.now, question).cloned();
        if known.is_none() {
            self.queries.ask(cx, question.clone(), waiter);
        }
        known
    }

    /// The resolver answered. Those who waited go on with [`Search::learn`]; the rest of many follow with
    /// [`Self::handle_timer`].
    pub(crate) fn handle_resolved(
        &mut self,
        cx: &mut Cx<'_>,
        query: QueryId,
        resolution: Resolution,
    ) -> Option<Told> {
        let told = self.queries.resolved(cx, query, bound::bound(resolution));
        self.keep(cx, told)
    }

    /// The resolver took too long, or there are more who wait for its answer.
    pub(crate) fn handle_timer(&mut self, cx: &mut Cx<'_>, query: QueryId) -> Option<Told> {
        let told = self.queries.timer(cx, query);
        self.keep(cx, told)
    }

    fn keep(&mut self, cx: &mut Cx<'_>, told: Option<Told>) -> Option<Told> {
        let mut told = told?;
        if !is_to_the_point(&told.question, &told.resolution) {
            told.resolution = Err(ResolveError::ServerFailure);
        }
        if told.first
            && let Ok(answer) = &told.resolution
        {
            let limit = cx.config.limits.dns_cache;
            cx.counters.refusals.dns_cache += self.cache.store(cx.now, &told.question, answer, limit);
        }
        Some(told)
    }

    /// The address did not work: it is tried last for a while.
    pub(crate) fn address_failed(&mut self, cx: &Cx<'_>, address: SocketAddr) {
        let until = cx.now + cx.config.dead_address_hold;
        self.dead.mark(cx.now, address, until, cx.config.limits.dns_cache);
    }

    /// The address worked.
    pub(crate) fn address_works(&mut self, address: SocketAddr) {
        self.dead.clear(address);
    }

    /// Whether the hop is known to have an address that is not among `tried`.
    pub(crate) fn has_other_target(&self, hop: &Hop, tried: &[SocketAddr]) -> bool {
        let is_other = |address: IpAddr, port: u16| !tried.contains(&SocketAddr::new(address, port));
        let has_other = |host: &str, port: u16| match host.parse() {
            Ok(address) => is_other(address, port),
            Err(_) => match self.cache.last(&Question::Addresses(host.to_string())) {
                Some(Answer::Addresses { addresses, .. }) => {
                    addresses.iter().any(|address| is_other(*address, port))
                }
                Some(Answer::Naptr { .. } | Answer::Srv { .. }) | None => false,
            },
        };
        let Some(pointers) = hop.pointers() else {
            return has_other(hop.host(), hop.port_or_default());
        };
        let named = match self.cache.last(&pointers) {
            Some(Answer::Naptr { records, .. }) => naptr::services(records, hop.transport()),
            Some(Answer::Srv { .. } | Answer::Addresses { .. }) | None => Vec::new(),
        };
        let services = hop.services(named).into_iter().map(Question::Srv);
        let mut records = services.filter_map(|question| match self.cache.last(&question) {
            Some(Answer::Srv { records, .. }) if !records.is_empty() => Some(records),
            Some(_) | None => None,
        });
        let Some(first) = records.next() else {
            return has_other(hop.host(), hop.port_or_default());
        };
        core::iter::once(first)
            .chain(records)
            .flatten()
            .filter(|record| srv::is_server(record))
            .any(|record| has_other(&record.target, record.port))
    }

    /// How many questions are under way.
    pub(crate) fn queries(&self) -> usize {
        self.queries.len()
    }

    /// The questions under way in canonical form, in the order in which they were asked.
    pub(crate) fn fingerprint(&self, now: Time) -> Vec<QueryPrint> {
        self.queries.fingerprint(now)
    }
}

/// Whether an answer is of the kind that was asked for: the embedder may mix them up.
const fn is_to_the_point(question: &Question, resolution: &Resolution) -> bool {
    match (question, resolution) {
        (Question::Naptr(_), Ok(Answer::Naptr { .. }))
        | (Question::Srv(_), Ok(Answer::Srv { .. }))
        | (Question::Addresses(_), Ok(Answer::Addresses { .. }))
        | (_, Err(_)) => true,
        (Question::Naptr(_), Ok(Answer::Srv { .. } | Answer::Addresses { .. }))
        | (Question::Srv(_), Ok(Answer::Naptr { .. } | Answer::Addresses { .. }))
        | (Question::Addresses(_), Ok(Answer::Naptr { .. } | Answer::Srv { .. })) => false,
    }
}
