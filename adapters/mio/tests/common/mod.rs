//! What the suites share: one or two [`Net`]s under one eye, and certificates.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every suite uses everything")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use sansip::{Answer, CloseReason, Established, ListenError, PeerCertificate, ResolveError};
use sansip_mio::{ConnectTls, LookupId, Net, NetEvent, Settings, SocketId};
use sansip_net::{Hosts, Identity, ResolvConf, TlsClientConfig, TlsServerConfig, TrustStore};

/// Only reached when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Settings that ask nobody for names.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.dns.conf = ResolvConf::new(Vec::new());
    settings.dns.hosts = Hosts::parse("");
    settings
}

/// What a connection has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) established: Option<Established>,
    pub(crate) received: Vec<u8>,
    pub(crate) writable: usize,
    pub(crate) closed: Option<CloseReason>,
    /// To be written as the socket takes it.
    pub(crate) outbox: Vec<u8>,
}

impl Seen {
    pub(crate) fn peer(&self) -> Option<&PeerCertificate> {
        self.established.as_ref()?.peer.as_deref()
    }
}

/// A [`Net`], its `Poll`, and what it told.
pub(crate) struct Host {
    poll: Poll,
    events: Events,
    pub(crate) net: Net,
    /// Every accepted connection is answered with what it sends.
    pub(crate) echo: bool,
    pub(crate) accepted: Vec<SocketId>,
    pub(crate) seen: HashMap<SocketId, Seen>,
    pub(crate) lost: Vec<(SocketId, ListenError)>,
    pub(crate) resolved: Vec<(LookupId, Result<Answer, ResolveError>)>,
    pub(crate) turns: usize,
}

impl Host {
    pub(crate) fn new(settings: &Settings) -> Self {
        let poll = Poll::new().unwrap();
        let net = Net::new(poll.registry(), settings).unwrap();
        Self {
            poll,
            events: Events::with_capacity(256),
            net,
            echo: false,
            accepted: Vec::new(),
            seen: HashMap::new(),
            lost: Vec::new(),
            resolved: Vec::new(),
            turns: 0,
        }
    }

    /// An echo server.
    pub(crate) fn echo(settings: &Settings, tls: Option<TlsServerConfig>) -> (Self, SocketAddr) {
        let mut host = Self::new(settings);
        host.echo = true;
        let (_, address) = host.net.listen(loopback(), tls).unwrap();
        (host, address)
    }

    pub(crate) fn connect(&mut self, remote: SocketAddr, tls: Option<ConnectTls<'_>>) -> SocketId {
        let socket = self.net.connect(remote, tls);
        self.seen.insert(socket, Seen::default());
        socket
    }

    pub(crate) fn send(&mut self, socket: SocketId, bytes: &[u8]) {
        self.seen
            .get_mut(&socket)
            .unwrap()
            .outbox
            .extend_from_slice(bytes);
        self.pump(socket);
    }

    fn pump(&mut self, socket: SocketId) {
        let seen = self.seen.get_mut(&socket).unwrap();
        let taken = self.net.write_all(socket, &seen.outbox);
        seen.outbox.drain(..taken);
    }

    pub(crate) fn seen(&self, socket: SocketId) -> &Seen {
        self.seen.get(&socket).unwrap()
    }

    pub(crate) fn turn(&mut self, wait: Duration) {
        self.turns += 1;
        let wait = self.net.timeout().into_iter().chain([wait]).min();
        self.poll.poll(&mut self.events, wait).unwrap();
        for event in &self.events {
            self.net.handle_event(event);
        }
        self.net.handle_deadline();
        while let Some(event) = self.net.poll() {
            let mut write = None;
            match event {
                NetEvent::Accepted {
                    socket,
                    local,
                    remote,
                    ..
                } => {
                    assert_ne!(local, remote);
                    self.accepted.push(socket);
                    self.seen.insert(socket, Seen::default());
                }
                NetEvent::Connected { socket, established } => {
                    let seen = self.seen.get_mut(&socket).unwrap();
                    assert_eq!(seen.established, None, "connected twice");
                    seen.established = Some(established);
                    write = Some(socket);
                }
                NetEvent::Received { socket, bytes } => {
                    assert!(!bytes.is_empty());
                    let seen = self.seen.get_mut(&socket).unwrap();
                    assert_eq!(seen.closed, None, "data after the end");
                    seen.received.extend_from_slice(bytes);
                    if self.echo {
                        seen.outbox.extend_from_slice(bytes);
                        write = Some(socket);
                    }
                }
                NetEvent::Writable { socket } => {
                    self.seen.get_mut(&socket).unwrap().writable += 1;
                    write = Some(socket);
                }
                NetEvent::Closed { socket, reason } => {
                    let seen = self.seen.get_mut(&socket).unwrap();
                    assert_eq!(seen.closed.replace(reason), None, "closed twice");
                }
                NetEvent::ListenerLost { listener, error } => self.lost.push((listener, error)),
                NetEvent::Resolved { lookup, result } => self.resolved.push((lookup, result)),
            }
            if let Some(socket) = write {
                self.pump(socket);
            }
        }
    }

    /// Turns until it is so.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(
                Instant::now() < end,
                "never: {what}; connections: {:?}",
                self.seen
            );
            self.turn(Duration::from_millis(50));
        }
    }
}

/// Turns both until it is so.
pub(crate) fn until(
    what: &str,
    left: &mut Host,
    right: &mut Host,
    mut is_so: impl FnMut(&mut Host, &mut Host) -> bool,
) {
    let end = Instant::now() + PATIENCE;
    while !is_so(left, right) {
        assert!(
            Instant::now() < end,
            "never: {what}; {:?} and {:?}",
            left.seen,
            right.seen
        );
        left.turn(Duration::from_millis(1));
        right.turn(Duration::from_millis(1));
    }
}

/// A certification authority.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn trust(&self) -> TrustStore {
        let mut trust = TrustStore::empty();
        assert_eq!(trust.add_pem(self.0.pem().as_bytes()), Ok(1));
        trust
    }

    fn issue(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap().pem();
        Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// A certificate for this host name.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.issue(&params(name))
    }

    /// One that is no longer valid.
    pub(crate) fn expired_identity(&self, name: &str) -> Identity {
        let mut params = params(name);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.issue(&params)
    }

    pub(crate) fn client(&self, identity: Option<Identity>) -> TlsClientConfig {
        let builder = TlsClientConfig::builder(self.trust());
        match identity {
            Some(identity) => builder.identity(identity).build().unwrap(),
            None => builder.build().unwrap(),
        }
    }

    pub(crate) fn server(&self, name: &str) -> TlsServerConfig {
        TlsServerConfig::builder(self.identity(name)).build().unwrap()
    }

    pub(crate) fn mutual_server(&self, name: &str) -> TlsServerConfig {
        TlsServerConfig::builder(self.identity(name))
            .require_client_certificate(self.trust())
            .build()
            .unwrap()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    params
}

/// Bytes in which every place is told from its neighbours.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| u8::try_from((i ^ (i >> 8) ^ (i >> 16)) & 0xff).unwrap())
        .collect()
}
