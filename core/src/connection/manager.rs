//! Connection managers: what kind of connections they make, and whom they trust (C1, C18 to C20).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::lifetime::Terms;
use super::pool::Pool;
use super::trust;
use crate::action::{PeerCertificate, TlsFailure, Transport};
use crate::config::Config;
use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::ConnectionFailure;
use crate::locate::Hop;
use crate::map::{HashKey, Map};

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
    /// IP address. The local host is on it ([`Config::local_host_name`]; without that, the address that the peer has
    /// connected to), and so is each host that the manager has connected to, the latest
    /// [`Limits::learned_hosts`](crate::Limits::learned_hosts) of them (C19). So an empty list admits the local host alone.
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
    /// Extended key usages that the certificate of every peer must have, all of them, as dotted object identifiers (C20):
    /// of every server, and with mutual TLS of every client.
    pub required_key_usages: Vec<String>,
    /// Whether the application decides on each connection, from both sides (C21): it is held once it is up, TLS included, and
    /// [`Event::AuthorizationRequested`](crate::Event::AuthorizationRequested) asks. Nothing of the application flows
    /// before [`Stack::allow_connection`](crate::Stack::allow_connection).
    pub authorizes: bool,
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
            authorizes: false,
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
        if let Some(usage) = self.required_key_usages.iter().find(|usage| !is_oid(usage)) {
            return Err(Misuse::argument(
                "required_key_usages",
                alloc::format!("'{usage}' is no dotted object identifier"),
            ));
        }
        if let MutualTls::Allowed(names) = &self.mutual_tls
            && let Some(name) = names.iter().find(|name| !trust::is_entry(name))
        {
            return Err(Misuse::argument(
                "mutual_tls",
                alloc::format!("'{name}' is no name, no .domain and no address"),
            ));
        }
        Ok(())
    }
}

/// What no certificate could ever have would turn everybody away.
fn is_oid(text: &str) -> bool {
    let is_arc = |arc: &str| !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
    text.contains('.') && text.split('.').all(is_arc)
}

/// A manager and its pools.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    pub(super) config: ManagerConfig,
    pub(super) pools: Map<Hop, Pool>,
    local_host_name: Option<String>,
    /// The hosts that were connected to, the latest first (C19).
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

    /// Whom it lets connect from now on (C18).
    pub(super) fn set_mutual_tls(&mut self, mutual_tls: MutualTls) -> Result<(), Misuse> {
        let config = ManagerConfig {
            mutual_tls,
            ..self.config.clone()
        };
        config.check()?;
        if !matches!(config.mutual_tls, MutualTls::Allowed(_)) {
            self.learned.clear();
        }
        self.config = config;
        Ok(())
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

    /// What applies to a new connection.
    pub(super) fn terms(&self, incoming: bool, stack: &Config) -> Terms {
        Terms {
            idle: self.idle(incoming, stack),
            holds: self.config.authorizes,
        }
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
        cx: &mut Cx<'_>,
    ) -> Result<Box<str>, TlsFailure> {
        let matched = trust::verify_server(host, certificate, &self.config.required_key_usages)?;
        if matches!(self.config.mutual_tls, MutualTls::Allowed(_)) && self.learned.front() != Some(&matched) {
            let before = self.learned.len();
            self.learned.retain(|known| *known != matched);
            if self.learned.len() == before && before >= cx.config.limits.learned_hosts {
                cx.counters.refusals.learned_hosts += 1;
            }
            self.learned.push_front(matched.clone());
            self.learned.truncate(cx.config.limits.learned_hosts);
        }
        Ok(matched)
    }

    /// Checks a peer that connected over TLS to this address of ours (C18). It returns the name that let it in, where one was
    /// asked for.
    pub(super) fn admit(
        &self,
        here: IpAddr,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Option<Box<str>>, TlsFailure> {
        let required = &self.config.required_key_usages;
        match &self.config.mutual_tls {
            MutualTls::Off => Ok(None),
            MutualTls::Anyone => trust::admit_anyone(certificate, required),
            MutualTls::Allowed(names) => {
                let local = self.local_host_name.clone().unwrap_or_else(|| here.to_string());
                let configured = names.iter().chain([&local]).map(String::as_str);
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
    use crate::connection::testing::Services;

    const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 100));

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
            // What no certificate could ever have.
            ManagerConfig {
                mutual_tls: allowed("a b.example.com"),
                ..tls()
            },
            ManagerConfig {
                mutual_tls: allowed("b\u{fc}cher.example"),
                ..tls()
            },
            ManagerConfig {
                mutual_tls: allowed("..example.com"),
                ..tls()
            },
            ManagerConfig {
                required_key_usages: vec!["serverAuth".to_string()],
                ..tls()
            },
            ManagerConfig {
                required_key_usages: vec!["1.3..6".to_string()],
                ..tls()
            },
        ] {
            assert!(manager(config.clone()).is_err(), "{config:?}");
        }
        assert!(
            manager(ManagerConfig {
                mutual_tls: allowed(".example.com"),
                pool_size: Some(1),
                required_key_usages: vec!["1.3.6.1.5.5.7.3.20".to_string()],
                ..tls()
            })
            .is_ok()
        );
        for name in [
            "host",
            "host.example.com.",
            "_sip.example.com",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            let config = ManagerConfig {
                mutual_tls: allowed(name),
                ..tls()
            };
            assert!(manager(config).is_ok(), "{name}");
        }
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
        let mut services = Services::new();
        services.config.limits.learned_hosts = 3;
        let mut connects = |manager: &mut Manager, host: &str, shown: &str| {
            manager.verify_server(host, Some(&shows(shown)), &mut services.cx())
        };
        let admits = |manager: &Manager, name| manager.admit(HERE, Some(&shows(name)));
        assert_eq!(
            admits(&manager, "me.example.com").unwrap().as_deref(),
            Some("me.example.com")
        );
        let peer = "peer.example.com";
        assert!(admits(&manager, peer).is_err());
        // Who was not whom we wanted does not join.
        assert!(connects(&mut manager, peer, "other.example.com").is_err());
        assert!(admits(&manager, peer).is_err() && admits(&manager, "other.example.com").is_err());
        connects(&mut manager, peer, peer).unwrap();
        assert_eq!(admits(&manager, peer).unwrap().as_deref(), Some(peer));
        // What is learned is bounded: two more keep it, and so does a third after it was connected to again.
        for host in ["h1.example.com", "h2.example.com", peer, "h3.example.com"] {
            connects(&mut manager, host, host).unwrap();
            assert!(admits(&manager, peer).is_ok(), "{host}");
        }
        let known = |manager: &Manager, name| admits(manager, name).is_ok();
        assert_eq!(
            ["h1.example.com", "h2.example.com", "h3.example.com"].map(|name| known(&manager, name)),
            [false, true, true]
        );
        connects(&mut manager, "h4.example.com", "h4.example.com").unwrap();
        assert!(!known(&manager, "h2.example.com") && known(&manager, peer));
        assert_eq!(services.counters.refusals.learned_hosts, 2);
    }

    // rules: C18
    #[test]
    fn without_a_name_the_local_host_is_its_address() {
        let config = ManagerConfig {
            mutual_tls: MutualTls::Allowed(Vec::new()),
            ..ManagerConfig::new(ManagerKind::ServerTls)
        };
        let manager = manager(config).unwrap();
        let at = |address: IpAddr| PeerCertificate {
            addresses: vec![address],
            ..PeerCertificate::default()
        };
        assert_eq!(
            manager.admit(HERE, Some(&at(HERE))).unwrap().as_deref(),
            Some("192.0.2.100")
        );
        let other = IpAddr::from([192, 0, 2, 1]);
        assert!(manager.admit(HERE, Some(&at(other))).is_err());
    }

    // rules: C18, C19, X2
    #[test]
    fn the_allow_list_can_be_changed() {
        let allowed = |names: &[&str]| MutualTls::Allowed(names.iter().map(ToString::to_string).collect());
        let mut manager = manager(ManagerConfig {
            mutual_tls: allowed(&["a.com"]),
            ..ManagerConfig::new(ManagerKind::ServerTls)
        })
        .unwrap();
        let mut services = Services::new();
        manager
            .verify_server("c.com", Some(&shows("c.com")), &mut services.cx())
            .unwrap();
        let admits = |manager: &Manager| {
            ["a.com", "b.com", "c.com"].map(|name| manager.admit(HERE, Some(&shows(name))).is_ok())
        };
        assert_eq!(admits(&manager), [true, false, true]);
        manager.set_mutual_tls(allowed(&["b.com"])).unwrap();
        assert_eq!(admits(&manager), [false, true, true]);
        assert!(manager.set_mutual_tls(allowed(&["*.com"])).is_err());
        assert_eq!(admits(&manager), [false, true, true]);
        // To turn it off is to begin anew.
        manager.set_mutual_tls(MutualTls::Off).unwrap();
        manager.set_mutual_tls(allowed(&[])).unwrap();
        assert_eq!(admits(&manager), [false; 3]);
        let tcp = ManagerConfig::new(ManagerKind::ServerTcp);
        let mut tcp = Manager::new(tcp, &Config::default(), HashKey(1, 2)).unwrap();
        assert!(matches!(
            tcp.set_mutual_tls(MutualTls::Anyone),
            Err(Misuse::Kind(_))
        ));
    }

    // rules: C19
    #[test]
    fn without_mutual_tls_nothing_is_learned() {
        let mut services = Services::new();
        for mutual_tls in [MutualTls::Off, MutualTls::Anyone] {
            let config = ManagerConfig {
                mutual_tls,
                ..ManagerConfig::new(ManagerKind::ServerTls)
            };
            let mut manager = manager(config).unwrap();
            let name = "peer.example.com";
            manager
                .verify_server(name, Some(&shows(name)), &mut services.cx())
                .unwrap();
            assert!(manager.learned.is_empty());
        }
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
                .admit(HERE, Some(&shows("a.com")))
                .is_err()
        );
        assert!(with(MutualTls::Anyone).admit(HERE, Some(&shows("a.com"))).is_ok());
        assert!(with(MutualTls::Anyone).admit(HERE, None).is_err());
        assert_eq!(with(MutualTls::Off).admit(HERE, None), Ok(None));
    }
}
