//! Connection managers: what kind of connections they make, and whom they trust (C1, C18 to C20).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::pool::Pool;
use super::trust;
use crate::action::{PeerCertificate, TlsFailure, Transport};
use crate::config::Config;
use crate::error::Misuse;
use crate::event::ConnectionFailure;
use crate::locate::Hop;
use crate::map::{HashKey, Map};

/// How many hosts that we connected to are remembered for the allow list (C19); the oldest goes first.
const LEARNED: usize = 1024;

/// Why the settings of idle times and of pools are misuse on a client manager.
pub(super) const CLOSES_NOTHING: &str = "a client manager closes no connection for idleness";
pub(super) const SHARES_NOTHING: &str = "a client manager shares no connections";

/// What a connection manager is for (rule C1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum ManagerKind {
    /// For SipEndpoints: connections over TCP and TLS to a server, one for each endpoint (C5).
    Client,
    /// For both kinds of endpoint: shared connections over TCP, and listening.
    ServerTcp,
    /// For both kinds of endpoint: shared connections over TLS, and listening.
    ServerTls,
}

impl ManagerKind {
    /// What a listener of such a manager speaks; a client manager does not listen.
    pub const fn listens_on(self) -> Option<Transport> {
        match self {
            Self::Client => None,
            Self::ServerTcp => Some(Transport::Tcp),
            Self::ServerTls => Some(Transport::Tls),
        }
    }
}

/// Whether a peer that connects to us over TLS must show a certificate, and whose (rule C18).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum MutualTls {
    /// No certificate is asked for.
    #[default]
    Off,
    /// Its certificate must be for a name on this list: a whole name, `.domain` for every name below a domain, or an
    /// IP address. [`Config::local_host_name`] is on it, and so is each host that the manager has connected to (C19).
    Allowed(Vec<String>),
    /// It must show a certificate whose chain is trusted; whose it is does not matter.
    Anyone,
}

/// The settings of a connection manager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct ManagerConfig {
    /// What it is for.
    pub kind: ManagerKind,
    /// Whom it lets connect over TLS; for [`ManagerKind::ServerTls`] only.
    pub mutual_tls: MutualTls,
    /// How many connections a new pool may hold (C4), at least 1; `usize::MAX` means no sharing; `None` for
    /// [`Config::pool_size`]. For server managers only.
    pub pool_size: Option<usize>,
    /// Extended key usages that the certificate of every peer must have, as dotted object identifiers (C20).
    pub required_key_usages: Vec<String>,
    /// How long an incoming connection may be without traffic (C10), zero for ever; `None` for
    /// [`Config::idle_incoming`]. For server managers only.
    pub idle_incoming: Option<Duration>,
    /// How long an outgoing connection may be without traffic (C10), zero for ever; `None` for
    /// [`Config::idle_outgoing`]. For server managers only.
    pub idle_outgoing: Option<Duration>,
}

impl ManagerConfig {
    /// The default settings of a manager of this kind.
    pub const fn new(kind: ManagerKind) -> Self {
        Self {
            kind,
            mutual_tls: MutualTls::Off,
            pool_size: None,
            required_key_usages: Vec::new(),
            idle_incoming: None,
            idle_outgoing: None,
        }
    }

    fn check(&self) -> Result<(), Misuse> {
        let is_server = self.kind != ManagerKind::Client;
        if !is_server && (self.idle_incoming.is_some() || self.idle_outgoing.is_some()) {
            return Err(Misuse::Kind(CLOSES_NOTHING));
        }
        if !is_server && self.pool_size.is_some() {
            return Err(Misuse::Kind(SHARES_NOTHING));
        }
        if self.pool_size == Some(0) {
            return Err(Misuse::argument("pool_size", "must be at least 1"));
        }
        if self.kind != ManagerKind::ServerTls && self.mutual_tls != MutualTls::Off {
            return Err(Misuse::Kind("mutual TLS is for a server manager of TLS"));
        }
        if let MutualTls::Allowed(names) = &self.mutual_tls
            && let Some(name) = names
                .iter()
                .find(|name| name.trim_matches('.').is_empty() || name.contains('*'))
        {
            return Err(Misuse::argument(
                "mutual_tls",
                alloc::format!("'{name}' is no name and no .domain"),
            ));
        }
        Ok(())
    }
}

/// A manager and its pools.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    pub(super) config: ManagerConfig,
    pub(super) pools: Map<Hop, Pool>,
    local_host_name: Option<String>,
    learned: VecDeque<Box<str>>,
}

impl Manager {
    pub(super) fn new(config: ManagerConfig, stack: &Config, key: HashKey) -> Result<Self, Misuse> {
        config.check()?;
        let local_host_name = stack.local_host_name.clone();
        Ok(Self {
            config,
            pools: Map::new(key),
            local_host_name,
            learned: VecDeque::new(),
        })
    }

    /// C1.
    pub(super) const fn check_transport(&self, transport: Transport) -> Result<(), ConnectionFailure> {
        match (self.config.kind, transport) {
            (ManagerKind::Client, Transport::Tcp | Transport::Tls)
            | (ManagerKind::ServerTcp, Transport::Tcp)
            | (ManagerKind::ServerTls, Transport::Tls) => Ok(()),
            (ManagerKind::ServerTcp, Transport::Tls) => Err(ConnectionFailure::NoTransport(
                "a server manager of TCP makes no TLS connections",
            )),
            (ManagerKind::ServerTls, Transport::Tcp) => Err(ConnectionFailure::NoTransport(
                "a server manager of TLS makes no plain TCP connections",
            )),
        }
    }

    /// C4, C5.
    pub(super) fn shares(&self) -> bool {
        self.config.kind != ManagerKind::Client
    }

    pub(super) fn pool_size(&self, stack: &Config) -> usize {
        self.config.pool_size.unwrap_or(stack.pool_size).max(1)
    }

    /// The idle time of a new connection (C10).
    pub(super) fn idle(&self, incoming: bool, stack: &Config) -> Duration {
        match (self.config.kind, incoming) {
            (ManagerKind::Client, _) => Duration::ZERO,
            (ManagerKind::ServerTcp | ManagerKind::ServerTls, true) => {
                self.config.idle_incoming.unwrap_or(stack.idle_incoming)
            }
            (ManagerKind::ServerTcp | ManagerKind::ServerTls, false) => {
                self.config.idle_outgoing.unwrap_or(stack.idle_outgoing)
            }
        }
    }

    /// Checks the server at the other end of a connection that we made; the host joins the allow list (C17, C19).
    pub(super) fn verify_server(
        &mut self,
        host: &str,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Box<str>, TlsFailure> {
        let matched = trust::verify_server(host, certificate, &self.config.required_key_usages)?;
        if matches!(self.config.mutual_tls, MutualTls::Allowed(_)) && !self.learned.contains(&matched) {
            self.learned.truncate(LEARNED - 1);
            self.learned.push_front(matched.clone());
        }
        Ok(matched)
    }

    /// Checks a peer that connected to us over TLS (C18). It returns the name that let it in, where one was asked for.
    pub(super) fn admit(
        &self,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Option<Box<str>>, TlsFailure> {
        let required = &self.config.required_key_usages;
        match &self.config.mutual_tls {
            MutualTls::Off => Ok(None),
            MutualTls::Anyone => trust::admit_anyone(certificate, required).map(Some),
            MutualTls::Allowed(names) => {
                let configured = names.iter().chain(&self.local_host_name).map(String::as_str);
                let allowed = configured.chain(self.learned.iter().map(AsRef::as_ref));
                trust::admit_client(allowed, certificate, required).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn manager(config: ManagerConfig) -> Result<Manager, Misuse> {
        Manager::new(config, &Config::default(), HashKey(1, 2))
    }

    fn shows(name: &str) -> PeerCertificate {
        PeerCertificate {
            dns_names: vec![name.to_string()],
            ..PeerCertificate::default()
        }
    }

    // rules: C1
    #[test]
    fn each_kind_has_its_transports() {
        use ManagerKind::{Client, ServerTcp, ServerTls};
        let table = [
            (Client, true, true, None),
            (ServerTcp, true, false, Some(Transport::Tcp)),
            (ServerTls, false, true, Some(Transport::Tls)),
        ];
        for (kind, tcp, tls, listens) in table {
            let manager = manager(ManagerConfig::new(kind)).unwrap();
            assert_eq!(manager.check_transport(Transport::Tcp).is_ok(), tcp);
            assert_eq!(manager.check_transport(Transport::Tls).is_ok(), tls);
            assert_eq!(manager.shares(), kind != Client);
            assert_eq!(kind.listens_on(), listens);
        }
    }

    // rules: C4, C11, C18
    #[test]
    fn settings_that_do_not_fit_are_misuse() {
        let client = || ManagerConfig::new(ManagerKind::Client);
        let tls = || ManagerConfig::new(ManagerKind::ServerTls);
        let idle = Some(Duration::from_secs(1));
        let allowed = |name: &str| MutualTls::Allowed(vec![name.to_string()]);
        for config in [
            ManagerConfig {
                idle_incoming: idle,
                ..client()
            },
            ManagerConfig {
                idle_outgoing: idle,
                ..client()
            },
            ManagerConfig {
                pool_size: Some(2),
                ..client()
            },
            ManagerConfig {
                mutual_tls: MutualTls::Anyone,
                ..client()
            },
            ManagerConfig {
                mutual_tls: MutualTls::Anyone,
                ..ManagerConfig::new(ManagerKind::ServerTcp)
            },
            ManagerConfig {
                pool_size: Some(0),
                ..tls()
            },
            ManagerConfig {
                mutual_tls: allowed("*.example.com"),
                ..tls()
            },
            ManagerConfig {
                mutual_tls: allowed(""),
                ..tls()
            },
            ManagerConfig {
                mutual_tls: allowed("."),
                ..tls()
            },
        ] {
            assert!(manager(config.clone()).is_err(), "{config:?}");
        }
        assert!(
            manager(ManagerConfig {
                mutual_tls: allowed(".example.com"),
                pool_size: Some(1),
                ..tls()
            })
            .is_ok()
        );
    }

    // rules: C10
    #[test]
    fn idle_times_are_those_of_the_manager_then_of_the_stack_and_never_of_a_client_manager() {
        let stack = Config::default();
        let (quarter, short) = (Duration::from_secs(900), Duration::from_secs(7));
        let of = |config| {
            let manager = manager(config).unwrap();
            (manager.idle(true, &stack), manager.idle(false, &stack))
        };
        assert_eq!(of(ManagerConfig::new(ManagerKind::ServerTcp)), (quarter, quarter));
        let set = ManagerConfig {
            idle_outgoing: Some(short),
            ..ManagerConfig::new(ManagerKind::ServerTls)
        };
        assert_eq!(of(set), (quarter, short));
        assert_eq!(
            of(ManagerConfig::new(ManagerKind::Client)),
            (Duration::ZERO, Duration::ZERO)
        );
    }

    // rules: C18, C19
    #[test]
    fn the_allow_list_has_the_local_host_and_the_hosts_connected_to() {
        let stack = Config {
            local_host_name: Some("me.example.com".to_string()),
            ..Config::default()
        };
        let config = ManagerConfig {
            mutual_tls: MutualTls::Allowed(Vec::new()),
            ..ManagerConfig::new(ManagerKind::ServerTls)
        };
        let mut manager = Manager::new(config, &stack, HashKey(1, 2)).unwrap();
        assert_eq!(
            manager.admit(Some(&shows("me.example.com"))).unwrap().as_deref(),
            Some("me.example.com")
        );
        assert!(manager.admit(Some(&shows("peer.example.com"))).is_err());
        assert!(
            manager
                .verify_server("peer.example.com", Some(&shows("other.example.com")))
                .is_err()
        );
        assert!(manager.admit(Some(&shows("peer.example.com"))).is_err());
        manager
            .verify_server("peer.example.com", Some(&shows("peer.example.com")))
            .unwrap();
        assert!(manager.admit(Some(&shows("peer.example.com"))).is_ok());
        // What is learned is bounded: 1,023 more keep it, one more drops it.
        for n in 0..LEARNED - 1 {
            let host = alloc::format!("h{n}.example.com");
            manager.verify_server(&host, Some(&shows(&host))).unwrap();
        }
        assert!(manager.admit(Some(&shows("peer.example.com"))).is_ok());
        manager
            .verify_server("last.example.com", Some(&shows("last.example.com")))
            .unwrap();
        assert!(manager.admit(Some(&shows("peer.example.com"))).is_err());
    }

    // rules: C18
    #[test]
    fn an_empty_list_admits_no_one_and_anyone_is_said_in_words() {
        let with = |mutual_tls| {
            manager(ManagerConfig {
                mutual_tls,
                ..ManagerConfig::new(ManagerKind::ServerTls)
            })
            .unwrap()
        };
        assert!(
            with(MutualTls::Allowed(Vec::new()))
                .admit(Some(&shows("a.com")))
                .is_err()
        );
        assert!(with(MutualTls::Anyone).admit(Some(&shows("a.com"))).is_ok());
        assert!(with(MutualTls::Anyone).admit(None).is_err());
        assert_eq!(with(MutualTls::Off).admit(None), Ok(None));
    }
}
